//! What question and row must agree in before the one answers the other (pure): yes or no, and amounts
//! with their units. Neither words nor vectors tell 7 days from 15, or `may` from `may not`.

use std::collections::{BTreeMap, BTreeSet};

use super::text;

/// Amounts by unit: `七天` and `7 days` are the same; so are `一周` and `7天`.
pub type Amounts = BTreeMap<&'static str, BTreeSet<String>>;

/// Words with one of the turning characters in them that turn nothing round.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "无理由", "无忧", "无线", "无论", "无锡", "非常", "非洲", "除非", "未来", "未成年", "没问题", "没收", "不同", "不断", "差不多", "不管", "不论",
    "不仅", "不但", "不好意思", "对不起", "不锈", "不知道", "不懂", "不明白", "不清楚", "不太懂", "不太清楚", "不太明白", "不一样",
];
/// The same in English.
const TURNS: &[&str] = &["no", "not", "never", "without", "cannot", "nor", "none", "cant", "dont", "doesnt", "wont"];

/// How many words of a text turn it round. What asks both ways (能不能, 有没有, 到了没有) turns nothing.
pub fn turns(text: &str) -> usize {
    let mut text = text::normalise(text).replace('\u{2019}', "'");
    for plain in PLAIN {
        text = text.replace(plain, " ");
    }
    let chars: Vec<char> = text.chars().collect();
    let chinese = (0..chars.len()).filter(|&at| turns_at(&chars, at)).count() + text.matches("禁止").count();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '\''));
    chinese + words.filter(|word| TURNS.contains(word) || word.ends_with("n't")).count()
}

fn turns_at(chars: &[char], at: usize) -> bool {
    if !matches!(chars[at], '不' | '没' | '无' | '未' | '非' | '勿') {
        return false;
    }
    let before = at.checked_sub(1).map(|before| chars[before]);
    let after = chars.get(at + 1).copied();
    let both_ways = before.is_some() && before == after;
    let rest = &chars[at + 1..];
    let rest = if rest.first() == Some(&'有') { &rest[1..] } else { rest };
    let at_the_end = rest.iter().all(|c| !c.is_alphanumeric() || matches!(c, '啊' | '呀' | '呢'));
    !(both_ways || at_the_end && (chars[at] == '不' || before.is_some_and(|c| matches!(c, '了' | '过' | '好' | '到' | '完'))))
}

/// Spelling and unit; of those that begin the same the longer stands first.
const UNITS: &[(&str, &str)] = &[
    ("个工作日", "workday"),
    ("工作日", "workday"),
    ("working day", "workday"),
    ("business day", "workday"),
    ("天", "day"),
    ("日元", "jpy"),
    ("日", "day"),
    ("day", "day"),
    ("星期", WEEK),
    ("礼拜", WEEK),
    ("周", WEEK),
    ("week", WEEK),
    ("个月", "month"),
    ("month", "month"),
    ("月", CALENDAR),
    ("年", "year"),
    ("year", "year"),
    ("小时", "hour"),
    ("hour", "hour"),
    ("分钟", "minute"),
    ("minute", "minute"),
    ("美元", "usd"),
    ("美金", "usd"),
    ("元", "money"),
    ("块", "money"),
    ("rmb", "money"),
    ("yuan", "money"),
    ("%", "percent"),
    ("percent", "percent"),
    ("公斤", "kg"),
    ("千克", "kg"),
    ("kg", "kg"),
    ("件", "piece"),
    ("次", "time"),
    ("倍", "fold"),
    ("折", "discount"),
];
/// What [`unit()`] calls weeks.
pub(super) const WEEK: &str = "week";
/// What [`unit()`] calls months of the year.
pub(super) const CALENDAR: &str = "date";

/// Every number of a text that has a unit, and dates of the year (`11月11日`, `双十一`).
pub fn amounts(text: &str) -> Amounts {
    let text: Vec<char> = text::normalise(text).chars().collect();
    let mut found = Amounts::new();
    let mut put = |unit: &'static str, value: f64| {
        let (unit, value) = if unit == WEEK { ("day", value * 7.0) } else { (unit, value) };
        found.entry(unit).or_default().insert(value.to_string());
    };
    let mut dates = BTreeSet::new();
    // The first number of `7-15天`, which has the unit of the second.
    let mut range = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if let Some((value, end)) = starts(&text, at, "百分之").then(|| number(&text, at + 3)).flatten() {
            put("percent", value);
            at = end;
            continue;
        }
        if let Some((day, end)) = (text[at] == '双').then(|| number(&text, at + 1)).flatten() {
            dates.insert(format!("{day}-{day}"));
            at = end;
            continue;
        }
        // The digits of a code are no amount.
        let in_code = text[at].is_ascii_digit() && at > 0 && text[at - 1].is_ascii_alphanumeric();
        let Some((value, end)) = number(&text, at).filter(|_| !in_code) else {
            at += 1;
            continue;
        };
        match unit(&text, end) {
            Some((CALENDAR, after)) => {
                let day = number(&text, after);
                dates.insert(day.map_or_else(|| value.to_string(), |(day, _)| format!("{value}-{day}")));
                at = day.map_or(after, |(_, end)| end + usize::from(matches!(text.get(end), Some('日' | '号'))));
                range.clear();
            }
            Some((unit, after)) => {
                range.drain(..).chain([value]).for_each(|value| put(unit, value));
                at = after;
            }
            None if matches!(text.get(end), Some('-' | '~' | '到' | '至')) => {
                range.push(value);
                at = end + 1;
            }
            None => {
                range.clear();
                at = end;
            }
        }
    }
    if !dates.is_empty() {
        found.insert(CALENDAR, dates);
    }
    found
}

fn starts(text: &[char], at: usize, with: &str) -> bool {
    with.chars().enumerate().all(|(i, c)| text.get(at + i) == Some(&c))
}

/// The unit behind a number, and where it ends; a Latin one must be the whole word.
pub(super) fn unit(text: &[char], mut at: usize) -> Option<(&'static str, usize)> {
    while text.get(at) == Some(&' ') {
        at += 1;
    }
    UNITS.iter().find_map(|(spelling, unit)| {
        let mut end = at + spelling.chars().count();
        if !starts(text, at, spelling) {
            return None;
        }
        if spelling.ends_with(|c: char| c.is_ascii_alphabetic()) {
            end += usize::from(text.get(end) == Some(&'s'));
            if text.get(end).is_some_and(char::is_ascii_alphabetic) {
                return None;
            }
        }
        Some((*unit, end))
    })
}

/// A number in digits (`1,000`, `1.5万`) or in characters (`一百二十`), and where it ends.
pub(super) fn number(text: &[char], at: usize) -> Option<(f64, usize)> {
    let run = |from: usize, of: fn(char) -> bool| from + text[from.min(text.len())..].iter().take_while(|c| of(**c)).count();
    if text.get(at)?.is_ascii_digit() {
        let mut end = run(at, |c| c.is_ascii_digit() || matches!(c, '.' | ','));
        while matches!(text[end - 1], '.' | ',') {
            end -= 1;
        }
        let digits: String = text[at..end].iter().filter(|c| **c != ',').collect();
        let mut value: f64 = digits.parse().ok()?;
        while let Some(times) = text.get(end).and_then(|c| power(*c)).filter(|times| *times > 10.0) {
            value *= times;
            end += 1;
        }
        return Some((value, end));
    }
    let end = run(at, |c| digit(c).is_some() || power(c).is_some());
    (end > at).then(|| (in_characters(&text[at..end]), end))
}

fn digit(c: char) -> Option<f64> {
    let at = "零一二三四五六七八九".chars().position(|digit| digit == c);
    let value = at.or(match c {
        '〇' => Some(0),
        '两' => Some(2),
        _ => None,
    })?;
    u32::try_from(value).ok().map(f64::from)
}

fn power(c: char) -> Option<f64> {
    Some(match c {
        '十' => 10.0,
        '百' => 100.0,
        '千' => 1_000.0,
        '万' => 10_000.0,
        '亿' => 100_000_000.0,
        _ => return None,
    })
}

fn in_characters(run: &[char]) -> f64 {
    // 二〇二六: digit by digit.
    if run.iter().all(|c| digit(*c).is_some()) {
        return run.iter().filter_map(|c| digit(*c)).fold(0.0, |value, digit| value * 10.0 + digit);
    }
    let (mut total, mut section, mut last) = (0.0, 0.0, 0.0);
    for &c in run {
        match (digit(c), power(c)) {
            (Some(digit), _) => last = digit,
            (_, Some(power)) if power < 10_000.0 => {
                section += if last > 0.0 { last } else { 1.0 } * power;
                last = 0.0;
            }
            (_, Some(power)) => {
                total = (total + section + last).max(1.0) * power;
                (section, last) = (0.0, 0.0);
            }
            (None, None) => {}
        }
    }
    total + section + last
}

/// Whether a question names an amount where a phrasing names another in the same unit, and the row has
/// none of the question's.
pub fn other_amount(question: &Amounts, phrasing: &Amounts, row: &Amounts) -> bool {
    let disjoint = |values: &BTreeSet<String>, unit: &&str| row.get(unit).is_none_or(|there| there.is_disjoint(values));
    question.iter().any(|(unit, values)| phrasing.contains_key(unit) && disjoint(values, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_both_ways_turns_nothing() {
        for (text, count) in [
            ("佣金超过5%怎么办", 0),
            ("佣金不超过5%怎么办", 1),
            ("可不可以贴牌", 0),
            ("不可以贴牌吗", 1),
            ("能不能退，有没有运费", 0),
            ("发货了没有？", 0),
            ("没有收到货怎么办", 1),
            ("七天无理由退货", 0),
            ("店铺不得不关", 2),
            ("禁止贴牌吗", 1),
            ("保證金無須繳納", 1),
            ("Can't I ship without a label?", 2),
            ("Do you ship on Sunday", 0),
        ] {
            assert_eq!(turns(text), count, "{text}");
        }
    }

    #[test]
    fn amounts_are_the_same_however_they_are_written() {
        let of = |text: &str| {
            let told = amounts(text).into_iter().flat_map(|(unit, values)| values.into_iter().map(move |value| format!("{value} {unit}")));
            told.collect::<Vec<_>>().join(", ")
        };
        for (text, told) in [
            ("七天", "7 day"),
            ("7 days", "7 day"),
            ("一周内", "7 day"),
            ("十五天", "15 day"),
            ("三十天，一百二十件", "30 day, 120 piece"),
            ("佣金超过８％", "8 percent"),
            ("百分之五", "5 percent"),
            ("1,000元 和 1.5万元", "1000 money, 15000 money"),
            ("两万五千块", "25000 money"),
            ("7-15天", "15 day, 7 day"),
            ("11月11日", "11-11 date"),
            ("双十二", "12-12 date"),
            ("十二月十二号", "12-12 date"),
            ("三个月", "3 month"),
            ("3个工作日", "3 workday"),
            ("SKU4471天", ""),
            ("一个问题", ""),
            ("2026年", "2026 year"),
        ] {
            assert_eq!(of(text), told, "{text}");
        }
    }

    #[test]
    fn another_amount_in_the_same_unit_is_noticed() {
        let other = |question: &str, phrasing: &str, row: &str| other_amount(&amounts(question), &amounts(phrasing), &amounts(row));
        assert!(other("佣金超过8%", "佣金超过5%", "佣金超过5%"));
        assert!(other("十五天可以退吗", "7天可以退吗", "7天"));
        assert!(other("12月12日的活动", "11月11日的活动", "11月11日"));
        assert!(!other("十五天可以退吗", "7天可以退吗", "7天，15天内有质量问题也可以"));
        assert!(!other("48小时", "7天", "7天"), "another unit says nothing");
    }
}
