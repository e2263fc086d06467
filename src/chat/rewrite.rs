//! A follow-up becomes a stand-alone query (pure, no model): an elliptical question such as
//! 那跨境的呢？ takes the subject of the question before it. A question that stands alone is left
//! alone, so that a change of topic is not dragged back.

use std::collections::HashSet;

use crate::knowledge::{decide, text};
use crate::memory::facts::{CODES, shouts};

/// Longest query carried over, in characters.
const CARRIED: usize = 160;

/// What the merchant wants with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// A question, as it should be searched for.
    Ask(String),
    /// A greeting or thanks: nothing to search for.
    Greet,
}

/// Reads a message in the light of the query before it.
pub fn read(before: Option<&str>, message: &str) -> Intent {
    if is_small_talk(message) {
        return Intent::Greet;
    }
    Intent::Ask(standalone(before, message))
}

/// Whether a message only greets, thanks or takes leave: it is one of the usual phrases, or made of
/// nothing but their words.
fn is_small_talk(message: &str) -> bool {
    if GREETINGS.contains(&text::question_key(message).as_str()) {
        return true;
    }
    let words = text::tokens(message);
    let fills = |word: &String| SMALL_TALK.contains(&word.as_str()) || FILLERS.contains(&word.as_str());
    words.iter().all(fills) && words.iter().any(|word| SMALL_TALK.contains(&word.as_str()))
}

/// Whether small talk gives thanks.
pub fn thanks(message: &str) -> bool {
    let normal = text::normalise(message);
    ["谢", "thank", "thx"].iter().any(|word| normal.contains(word))
}

/// The query to search with.
pub fn standalone(before: Option<&str>, question: &str) -> String {
    match before {
        Some(before) if leans(question) || turns(before, question) => join(before, question),
        _ => question.trim().to_owned(),
    }
}

/// The query for a question that found nothing by itself but points at something said before (can they take
/// money out as well?): with the question before it. None when it points at nothing, or was joined already.
pub fn with_what_it_points_at(before: Option<&str>, question: &str) -> Option<String> {
    before
        .filter(|before| !leans(question) && !turns(before, question) && points(&text::normalise(question)))
        .map(|before| join(before, question))
}

#[rustfmt::skip]
const GREETINGS: &[&str] = &[
    "你好", "您好", "你好呀", "嗨", "hi", "hello", "hey", "早上好", "下午好", "晚上好", "在吗", "在么", "谢谢", "谢谢你", "多谢", "感谢", "好的", "好的谢谢",
    "thanks", "thankyou", "thx", "ok", "okay", "好", "知道了", "明白了", "再见", "拜拜", "bye", "goodmorning", "goodafternoon",
];

/// Words that greet, thank and take leave.
#[rustfmt::skip]
const SMALL_TALK: &[&str] = &[
    "你好", "您好", "哈喽", "嗨", "早", "早上", "早上好", "上午好", "中午好", "下午好", "晚上好", "晚安", "在吗", "在", "谢谢", "谢谢你", "谢谢您", "谢谢你们", "多谢", "感谢", "谢", "辛苦", "麻烦",
    "好的", "好", "行", "收到", "明白", "知道", "了解", "懂", "再见", "拜拜", "回头", "再聊", "聊", "没事", "不用", "搞定", "客气",
    "hi", "hello", "hey", "thank", "thx", "ok", "okai", "bye", "goodby", "great", "cool", "perfect", "nice", "sorri", "welcom", "morn", "afternoon", "even",
    "cheer", "understood", "solv", "nevermind", "mind",
];

/// What stands around such words.
#[rustfmt::skip]
const FILLERS: &[&str] = &[
    "了", "啦", "吗", "么", "呀", "啊", "哦", "吧", "的", "你", "您", "你们", "大家", "先", "我", "那", "就", "都", "真", "很", "非常", "太", "有", "人", "今天", "又",
    "是", "这么", "帮忙", "帮", "大忙", "一下", "这样", "already",
    "that", "wa", "is", "quick", "it", "a", "lot", "so", "much", "veri", "you", "for", "your", "help", "all", "good", "never", "myself", "i", "now", "there", "everyon", "to",
    "and", "the", "team", "have", "day", "me", "again",
];

/// Openings that go on from what was said.
#[rustfmt::skip]
const OPENINGS: &[&str] = &[
    "那", "那么", "还有", "另外", "以及", "如果是", "要是", "换成", "and ", "what about", "how about", "what if", "then ", "also ", "same for", "but ",
];

/// Words that stand for something said before.
#[rustfmt::skip]
const POINTING: &[&str] = &[
    "这个", "那个", "这种", "那种", "这些", "那些", "这样", "那样", "它", "上面", "上述", "刚才", "刚刚", "前面", "这笔", "这块", "这项",
];
#[rustfmt::skip]
const POINTING_EN: &[&str] = &["it", "that", "this", "those", "these", "them", "they", "one", "there"];

/// Words that ask about a side of something and name nothing themselves.
#[rustfmt::skip]
const SIDES: &[&str] = &[
    "多久", "多长", "长时间", "时间", "时限", "期限", "费用", "收费", "钱", "金额", "流程", "步骤", "材料", "资料", "条件", "要求", "申请", "办理", "提交", "入口",
    "地方", "位置", "查", "看", "查看", "退", "交", "收", "付", "改", "开", "关", "取消", "超时", "超过", "过期", "逾期", "失败", "不行", "通过", "具体", "详细",
    "原因", "区别", "例外", "标准", "比例", "几天", "天", "小时", "工作日", "到账", "生效", "次", "单", "算", "扣", "扣分", "罚", "后果", "处理", "解决", "补", "怎么样",
    "可", "行", "必须", "一定", "最多", "最少", "至少", "上限", "下限", "上线", "钱", "贵", "免", "例如", "比如", "另", "不能", "哪儿", "是否", "谁", "联系",
    "cost", "fee", "time", "long", "step", "process", "document", "deadlin", "limit", "late", "miss", "happen", "appli", "submit", "find", "see", "check",
    "exactli", "exampl", "day", "hour", "week", "pay", "refund", "cancel", "fail", "work", "requir", "rate", "percent", "charg", "free", "sooner", "later",
    "still", "then", "also", "so", "else", "whi", "not", "ye", "ani", "some", "same", "too", "onli",
];

/// Sets of which a merchant means one at a time: naming another replaces the one before.
#[rustfmt::skip]
const FACETS: &[&[&str]] = &[
    &["中国站", "新加坡站", "马来西亚站", "马来站", "美国站", "英国站", "德国站", "日本站", "新加坡", "马来西亚", "美国", "英国", "德国", "日本", "中国", "欧洲",
      "singapore", "malaysia", "japan", "germany", "china site", "china", "united states", "united kingdom"],
    &["普通店", "本地店", "跨境店", "跨境", "本地", "国内店", "cross-border shop", "local shop", "cross-border", "local"],
    &["旗舰店", "专卖店", "专营店", "旗舰", "专卖", "专营", "flagship", "specialty", "general shop"],
    &["国内仓", "保税仓", "海外仓", "保税", "海外直邮", "直邮", "bonded", "direct mail", "domestic"],
];

/// Words that make a question of their own even of such a word alone: how do I open a flagship shop?
const DOING: &[&str] = &[
    "开", "关", "申请", "办理", "取消", "注销", "入驻", "加入", "升级", "切换", "换成", "转", "open", "close", "apply", "join", "switch",
    "register",
];

/// Whether a question turns the one before it to another of its sides and names nothing else: 跨境店要交多少？ after
/// one about 普通店, or any other market. What names a kind of shop or store where none was spoken of may well begin
/// something new.
fn turns(before: &str, question: &str) -> bool {
    let (before, plain) = (spelled_out(before), spelled_out(question));
    let named = |set: &[&str], text: &str| set.iter().any(|word| contains_word(text, word));
    let mut sets = FACETS.iter().copied().enumerate();
    // The first are the markets.
    if !sets.any(|(at, set)| named(set, &plain) && (at == 0 || named(set, &before))) || named(DOING, &plain) {
        return false;
    }
    let (latin, han): (Vec<&str>, Vec<&str>) = FACETS.iter().copied().flatten().copied().partition(|word| word.is_ascii());
    let rest = han.into_iter().fold(plain, |rest, word| rest.replace(word, " "));
    let latin: HashSet<String> = latin.into_iter().filter(|word| contains_word(&rest, word)).flat_map(text::tokens).collect();
    told(&rest).iter().all(|word| latin.contains(word))
}

/// Whether a question leans on the one before it.
fn leans(question: &str) -> bool {
    let plain = text::normalise(question);
    let plain = plain.trim();
    let chars = plain.chars().count();
    let short = chars <= 24 || plain.split(' ').count() <= 8 && plain.is_ascii();
    if !short {
        return false;
    }
    let tail = plain.trim_end_matches(|c: char| !c.is_alphanumeric());
    let opens = OPENINGS.iter().any(|opening| plain.starts_with(opening));
    let trails = tail.ends_with('呢') && chars <= 14;
    opens || trails || (points(plain) && telling(tail) <= 1) || telling(tail) == 0
}

/// Whether normalised text has a word for something said before.
fn points(plain: &str) -> bool {
    let mut words = plain.split(|c: char| !c.is_ascii_alphanumeric());
    POINTING.iter().any(|word| plain.contains(word)) || words.any(|word| POINTING_EN.contains(&word))
}

/// How many words name something, and do not only ask about a side of it (要多久, how do I apply) or
/// point back.
fn telling(question: &str) -> usize {
    told(question).len()
}

fn told(question: &str) -> Vec<String> {
    let tells = |word: &String| {
        let word = word.as_str();
        let points = POINTING.contains(&word) || POINTING_EN.contains(&word);
        !(SIDES.contains(&word) || points || decide::is_asking(word) || word.chars().all(|c| c.is_ascii_digit()))
    };
    text::tokens(question).into_iter().filter(tells).collect()
}

/// The question before with what the new one replaces taken out, then the new one.
fn join(before: &str, question: &str) -> String {
    let new = spelled_out(question);
    let replaces = |facet: &[&str]| facet.iter().any(|word| contains_word(&new, word));
    // Codes stay as they were typed, unless another market takes their place.
    let mut carried = if replaces(FACETS[0]) { spelled_out(before) } else { text::normalise(before) };
    for word in FACETS.iter().filter(|facet| replaces(facet)).copied().flatten() {
        carried = without(&carried, word);
    }
    let carried = subject(&carried);
    let skip = carried.chars().count().saturating_sub(CARRIED);
    let carried: String = carried.chars().skip(skip).collect();
    format!("{} {}", carried.trim_end_matches(|c: char| c.is_ascii_punctuation() || "？。！，".contains(c)), strip_opening(question.trim()))
}

/// What a question is about, without the words that ask: the new question asks its own.
fn subject(question: &str) -> String {
    let asks = |word: &str| decide::is_asking(word) || SIDES.contains(&word);
    if !question.chars().any(text::is_han) {
        let words = question.split_whitespace().filter(|word| {
            let stems = text::tokens(word);
            stems.is_empty() || !stems.iter().all(|stem| asks(stem))
        });
        return words.collect::<Vec<_>>().join(" ");
    }
    let mut left = question.to_owned();
    for word in ASKING_ZH {
        left = left.replace(word, " ");
    }
    let left: String = left.chars().filter(|c| c.is_alphanumeric() || c.is_whitespace()).collect();
    let left = left
        .trim()
        .trim_start_matches(['的', '之'])
        .trim_end_matches(['要', '交', '几', '呢', '吗', '的', '了', '收', '付', '算', '被', '会']);
    let left = left.split_whitespace().collect::<Vec<_>>().join(" ");
    if left.is_empty() { question.to_owned() } else { left }
}

#[rustfmt::skip]
const ASKING_ZH: &[&str] = &[
    "请问", "多少钱", "多少", "多久", "多长时间", "怎么办理", "怎么办", "怎么样", "怎么", "如何", "什么时候", "什么", "哪些", "哪里", "可以", "能不能", "是不是",
    "有没有", "需要", "应该", "为什么", "是否", "几天", "要求", "区别",
];

fn strip_opening(question: &str) -> &str {
    let openings = ["那么", "那", "还有", "另外"];
    openings.iter().find_map(|opening| question.strip_prefix(opening)).unwrap_or(question).trim_end_matches(['呢', '？', '?', '。'])
}

/// Normalised, with codes of markets as their names.
fn spelled_out(text: &str) -> String {
    if shouts(text) {
        return text::normalise(text);
    }
    let parts = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let named = |part: &str| {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let (_, name) = CODES.iter().find(|(code, _)| *code == word)?;
        Some(format!("{name}{}", &part[word.len()..]))
    };
    text::normalise(&parts.map(|part| named(part).unwrap_or_else(|| part.to_owned())).collect::<String>())
}

/// A text without a word: a Chinese one anywhere, a Latin one between word borders.
fn without(text: &str, word: &str) -> String {
    if !word.is_ascii() {
        return text.replace(word, " ");
    }
    let (mut left, mut from) = (String::with_capacity(text.len()), 0);
    let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
    for (at, _) in text.match_indices(word) {
        let end = at + word.len();
        if !part_of_word(text[..at].chars().next_back()) && !part_of_word(text[end..].chars().next()) {
            left.push_str(&text[from..at]);
            left.push(' ');
            from = end;
        }
    }
    left + &text[from..]
}

/// A Chinese word anywhere; a Latin one between word borders.
fn contains_word(text: &str, word: &str) -> bool {
    if !word.is_ascii() {
        return text.contains(word);
    }
    let words: HashSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    words.contains(word) || word.contains(' ') && text.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_points_at_something_may_be_read_with_the_question_before() {
        let before = Some("Can the finance role see our bills?");
        let together = with_what_it_points_at(before, "can they take money out as well?").unwrap();
        assert!(together.contains("finance role") && together.ends_with("can they take money out as well"), "{together}");
        assert_eq!(with_what_it_points_at(before, "How do I report a rival who sells fakes?"), None);
        assert_eq!(with_what_it_points_at(None, "can they take money out as well?"), None);
        assert_eq!(with_what_it_points_at(Some("保税仓仓租一天多少"), "那德国呢"), None, "joined already");
    }

    #[test]
    fn an_ellipsis_takes_the_subject_and_replaces_the_facet() {
        let query = standalone(Some("普通店的保证金要交多少？"), "那跨境的呢？");
        assert!(query.contains("保证金") && query.contains("跨境") && !query.contains("普通店"), "{query}");
        let query = standalone(Some("How long do I have to ship on the US site?"), "and for Japan?");
        assert!(query.contains("ship") && query.contains("Japan") && !query.contains("us site"), "{query}");
        assert!(standalone(Some("保税仓怎么入驻"), "要多久？").contains("保税仓"));
        assert_eq!(standalone(Some("普通店的保证金要交多少？"), "那跨境的呢？"), "保证金 跨境的", "no 的 is left of 普通店的");
    }

    #[test]
    fn another_side_by_its_name_alone_is_a_follow_up() {
        let before = "普通店的保证金要交多少？";
        for turned in ["跨境店要交多少？", "跨境店多少钱", "日本站要多少？", "How long in Japan?"] {
            let query = standalone(Some(before), turned);
            assert!(query.contains("保证金"), "{turned}: {query}");
            assert_eq!(query.contains("普通店"), !turned.contains("跨境店"), "{turned}: {query}");
        }
        for own in ["怎么开跨境店？", "跨境店怎么申请", "海外仓怎么收费？", "日本站的运费怎么算？", "How do I open a flagship shop?"]
        {
            assert_eq!(standalone(Some(before), own), own);
        }
    }

    #[test]
    fn a_code_is_a_market_in_capitals_and_by_itself_only() {
        let us = "How long do I have to ship on the US site?";
        for turned in ["and SG?", "那 SG 站呢？", "what about the MY site?"] {
            let query = standalone(Some(us), turned);
            assert!(query.contains("ship") && !query.contains("us site") && !query.contains("united states"), "{turned}: {query}");
        }
        // "my" and "us" are words: nothing of the question before is replaced by them, or inside of others.
        for small in ["and my refund?", "and if customs tell us?", "那 my 呢"] {
            let query = standalone(Some(us), small);
            assert!(query.contains("us site"), "{small}: {query}");
        }
        assert!(standalone(Some("Which customs papers does the US site want?"), "and Japan?").contains("customs"));
        assert!(!turns(us, "where is my refund") && !turns(us, "WHERE IS MY REFUND"));
        assert!(turns(us, "How long in DE?") && turns(us, "How long in CN?") && turns(us, "How long in China?"));
        let query = standalone(Some("How long do I have to ship on the CN site?"), "and SG?");
        assert!(query.contains("ship") && !query.contains("china"), "{query}");
        assert_eq!(spelled_out("US站 and us, BUS"), "united states站 and us, bus");
    }

    #[test]
    fn a_new_topic_stands_alone() {
        for question in
            ["Will it rain tomorrow?", "广告费怎么充值到广告账户？", "开发票需要什么抬头信息", "How do I create a coupon for my shop?"]
        {
            assert_eq!(standalone(Some("普通店的保证金要交多少？"), question), question);
        }
        assert_eq!(standalone(None, "那跨境的呢？"), "那跨境的呢？");
    }

    #[test]
    fn a_greeting_is_not_searched_for() {
        assert_eq!(read(None, "你好！"), Intent::Greet);
        assert_eq!(read(None, "Thank you."), Intent::Greet);
        assert_eq!(read(None, "好的明白啦，谢谢你们"), Intent::Greet);
        assert_eq!(read(None, "Thanks a lot for your help, bye!"), Intent::Greet);
        for question in ["你好，怎么开店", "怎么开店", "好", "谢谢，退款多久", "is it good?", "how much"] {
            let greets = read(None, question) == Intent::Greet;
            assert_eq!(greets, question == "好", "{question}");
        }
    }
}
