//! Finds numbers with their units, dates, times and amounts of money in a normalised text (pure).

use super::{Fact, Kind};
use crate::knowledge::guards::{self, CALENDAR, WEEK};

/// Written before a number or behind it, and its code; of those that begin the same the longer stands first.
#[rustfmt::skip]
const CODES: &[(&str, &str)] = &[
    ("us$", "usd"), ("hk$", "hkd"), ("s$", "sgd"), ("$", "usd"), ("€", "eur"), ("£", "gbp"), ("¥", "cny"), ("₩", "krw"), ("฿", "thb"),
    ("usd", "usd"), ("hkd", "hkd"), ("sgd", "sgd"), ("myr", "myr"), ("cny", "cny"), ("rmb", "cny"), ("eur", "eur"), ("gbp", "gbp"),
    ("jpy", "jpy"), ("krw", "krw"), ("thb", "thb"), ("人民币", "cny"),
];
/// Written behind a number only.
#[rustfmt::skip]
const WORDS: &[(&str, &str)] = &[
    ("美元", "usd"), ("美金", "usd"), ("港元", "hkd"), ("港币", "hkd"), ("新加坡元", "sgd"), ("新币", "sgd"), ("林吉特", "myr"), ("令吉", "myr"),
    ("欧元", "eur"), ("英镑", "gbp"), ("日元", "jpy"), ("韩元", "krw"), ("泰铢", "thb"), ("元", "cny"), ("块", "cny"),
    ("yuan", "cny"), ("dollar", "usd"), ("euro", "eur"), ("pound", "gbp"), ("yen", "jpy"),
];
const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

/// The facts of a normalised text, in order.
pub(super) fn read(text: &str) -> Vec<Fact> {
    let mut reader = Reader { text: text.chars().collect(), facts: Vec::new() };
    let mut at = 0;
    while at < reader.text.len() {
        at = reader.step(at).max(at + 1);
    }
    reader.facts
}

struct Reader {
    text: Vec<char>,
    facts: Vec<Fact>,
}

impl Reader {
    /// Takes what stands here; where it ends.
    fn step(&mut self, at: usize) -> usize {
        let in_word = at > 0 && self.text[at].is_ascii_alphanumeric() && self.text[at - 1].is_ascii_alphanumeric();
        if in_word {
            return at;
        }
        if let Some(end) = self.day_in_words(at).or_else(|| self.day_in_digits(at)).or_else(|| self.sale(at)) {
            return end;
        }
        if self.starts(at, "百分之") {
            let Some((value, end)) = guards::number(&self.text, at + 3) else { return at };
            self.put(Kind::Number, format!("{value} percent"), at, end);
            return end;
        }
        let before = self.currency(at, CODES);
        self.amount(at, before.map_or(at, |(_, end)| self.space(end)), before.map(|(code, _)| code))
    }

    /// A number from `from` on, whose currency may stand before it, with what stands behind it; the first of
    /// `7-15 天` has the unit of the second.
    fn amount(&mut self, at: usize, from: usize, before: Option<&'static str>) -> usize {
        let Some((value, end)) = guards::number(&self.text, from) else { return at };
        if let Some(end) = self.time_of_day(from, value, end) {
            return end;
        }
        let second = matches!(self.text.get(end), Some('-' | '~' | '到' | '至')).then(|| guards::number(&self.text, end + 1)).flatten();
        let (unit_at, is_first) = second.map_or((end, false), |(_, end)| (end, true));
        let behind = self.currency(self.space(unit_at), CODES).or_else(|| self.currency(self.space(unit_at), WORDS));
        let up_to = |after: usize| if is_first { end } else { after };
        if let Some(code) = before.or(behind.map(|(code, _)| code)) {
            let end = if before.is_some() { end } else { up_to(behind.map_or(end, |(_, end)| end)) };
            self.put(Kind::Number, format!("{value} money"), at, end);
            self.put(Kind::Currency, code.to_owned(), at, end);
            return end;
        }
        match guards::unit(&self.text, unit_at) {
            Some((CALENDAR, after)) if !is_first => return self.day_of_month(at, value, after),
            Some((CALENDAR, _)) => self.put(Kind::Date, value.to_string(), at, end),
            Some((WEEK, after)) => self.put(Kind::Number, format!("{} day", value * 7.0), at, up_to(after)),
            Some((unit, after)) => self.put(Kind::Number, format!("{value} {unit}"), at, up_to(after)),
            // 一个, 一般: in characters only an amount is a number.
            None if self.text[from].is_ascii_digit() => self.put(Kind::Number, value.to_string(), at, end),
            None => {}
        }
        end
    }

    /// `11月11日`, or `11月` alone.
    fn day_of_month(&mut self, at: usize, month: f64, after: usize) -> usize {
        let day = guards::number(&self.text, after);
        let value = day.map_or_else(|| month.to_string(), |(day, _)| format!("{month}-{day}"));
        let end = day.map_or(after, |(_, end)| end + usize::from(matches!(self.text.get(end), Some('日' | '号'))));
        self.put(Kind::Date, value, at, end);
        end
    }

    /// `18:30`, `18 点`, `下午六点`; not `以下三点`.
    fn time_of_day(&mut self, from: usize, hour: f64, end: usize) -> Option<usize> {
        let at = self.space(end);
        let (minutes, end) = match self.text.get(at)? {
            ':' if self.text.get(at + 1..at + 3)?.iter().all(char::is_ascii_digit) => guards::number(&self.text, at + 1)?,
            '点' if self.is_hour(from, at) => (0.0, at + 1),
            _ => return None,
        };
        self.put(Kind::Date, format!("{hour}:{minutes}"), from, end);
        Some(end)
    }

    fn is_hour(&self, from: usize, dot: usize) -> bool {
        let before = from.checked_sub(1).map(|before| self.text[before]);
        let behind = self.text.get(dot + 1);
        let clicks = matches!(behind, Some('击' | '选' | '赞' | '评'));
        let by_day = matches!(before, Some('午' | '早' | '晨' | '晚' | '上'))
            || matches!(behind, Some('钟' | '整' | '半' | '前' | '后' | '以' | '之'));
        !clicks && (self.text[from].is_ascii_digit() || by_day)
    }

    /// `2026-12-01`, `2026/12/1`, `2026年12月1日`.
    fn day_in_digits(&mut self, at: usize) -> Option<usize> {
        let digits = |from: usize, most: usize| {
            let count = self.text[from.min(self.text.len())..].iter().take_while(|c| c.is_ascii_digit()).count();
            let number: String = self.text.get(from..from + count)?.iter().collect();
            (1..=most).contains(&count).then(|| number.parse::<u32>().ok()).flatten().map(|number| (number, from + count))
        };
        let (year, end) = digits(at, 4).filter(|(year, _)| *year >= 1_000)?;
        let between = *self.text.get(end)?;
        if !matches!(between, '-' | '/' | '.' | '年') {
            return None;
        }
        let (month, end) = digits(end + 1, 2)?;
        let (day, end) = (*self.text.get(end)? == if between == '年' { '月' } else { between }).then(|| digits(end + 1, 2)).flatten()?;
        let end = end + usize::from(between == '年' && matches!(self.text.get(end), Some('日' | '号')));
        self.put(Kind::Date, format!("{month}-{day}"), at, end);
        self.put(Kind::Date, format!("year {year}"), at, end);
        Some(end)
    }

    /// `December 1st`, `1 Dec`.
    fn day_in_words(&mut self, at: usize) -> Option<usize> {
        if let Some((month, end)) = self.month(at) {
            let (day, end) = guards::number(&self.text, self.space(end)).filter(|(day, _)| *day <= 31.0)?;
            self.put(Kind::Date, format!("{month}-{day}"), at, end);
            return Some(end);
        }
        let (day, end) = guards::number(&self.text, at).filter(|(day, _)| self.text[at].is_ascii_digit() && *day <= 31.0)?;
        let (month, end) = self.month(self.space(end))?;
        self.put(Kind::Date, format!("{month}-{day}"), at, end);
        Some(end)
    }

    fn month(&self, at: usize) -> Option<(usize, usize)> {
        let word: String = self.text[at.min(self.text.len())..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        let month = MONTHS.iter().position(|month| *month == word || (word.len() == 3 && month.starts_with(&word)))?;
        let end = at + word.len();
        Some((month + 1, end + usize::from(self.text.get(end) == Some(&'.'))))
    }

    /// `双十一`.
    fn sale(&mut self, at: usize) -> Option<usize> {
        let (day, end) = (self.text[at] == '双').then(|| guards::number(&self.text, at + 1)).flatten()?;
        self.put(Kind::Date, format!("{day}-{day}"), at, end);
        Some(end)
    }

    /// The currency named here by one of these spellings, and where it ends.
    fn currency(&self, at: usize, spellings: &[(&str, &'static str)]) -> Option<(&'static str, usize)> {
        spellings.iter().find_map(|(spelling, code)| {
            let mut end = at + spelling.chars().count();
            if !self.starts(at, spelling) {
                return None;
            }
            if spelling.ends_with(|c: char| c.is_ascii_alphabetic()) {
                end += usize::from(self.text.get(end) == Some(&'s'));
                if self.text.get(end).is_some_and(char::is_ascii_alphabetic) {
                    return None;
                }
            }
            Some((*code, end))
        })
    }

    fn starts(&self, at: usize, with: &str) -> bool {
        with.chars().enumerate().all(|(i, c)| self.text.get(at + i) == Some(&c))
    }

    /// Behind a space, where there is one.
    fn space(&self, at: usize) -> usize {
        at + usize::from(self.text.get(at) == Some(&' '))
    }

    fn put(&mut self, kind: Kind, value: String, from: usize, to: usize) {
        self.facts.push(Fact { kind, value, text: self.text[from..to].iter().collect() });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::knowledge::text;

    fn facts(answer: &str) -> String {
        let facts = read(&text::normalise(answer));
        facts.into_iter().map(|fact| format!("{} {}", fact.kind.name(), fact.value)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn facts_are_the_same_however_they_are_written() {
        for (answer, told) in [
            ("七天内退", "number 7 day"),
            ("7 days", "number 7 day"),
            ("保证金 10,000 元", "number 10000 money, currency cny"),
            ("1万块", "number 10000 money, currency cny"),
            ("US$30 起", "number 30 money, currency usd"),
            ("30 美元", "number 30 money, currency usd"),
            ("¥ 30", "number 30 money, currency cny"),
            ("USD 30.50", "number 30.5 money, currency usd"),
            ("从 2026-12-01 起", "date 12-1, date year 2026"),
            ("从2026年12月1日起", "date 12-1, date year 2026"),
            ("12月1号", "date 12-1"),
            ("until December 1st", "date 12-1"),
            ("until 1 Dec.", "date 12-1"),
            ("双十一前", "date 11-11"),
            ("18:30 以前", "date 18:30"),
            ("下午六点前", "date 6:0"),
            ("百分之五", "number 5 percent"),
            ("5%", "number 5 percent"),
            ("一般分 3 步，先点击一个按钮", "number 3"),
            ("7-15天", "number 7 day, number 15 day"),
            ("7天至15天", "number 7 day, number 15 day"),
            ("10~20 美元", "number 10 money, currency usd, number 20 money, currency usd"),
            ("一周", "number 7 day"),
            ("注意以下三点", ""),
            ("订单 SKU4471", ""),
            ("you may ship", ""),
        ] {
            assert_eq!(facts(answer), told, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_to_its_end(text in "[0-9一二十百万点元月日:$€.,/年双a-e -]{0,24}") {
            read(&text::normalise(&text));
        }
    }
}
