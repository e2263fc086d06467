//! Whether two questions mean the same (pure, and strict): every character of a question is either in a
//! word that says nothing by itself, or plain punctuation, or in what is compared. So another number,
//! date, name, unit or 不 is another meaning, whatever the vectors say.

use crate::knowledge::text;

/// What a question says, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The words that tell, in order.
    words: Vec<String>,
    /// How it asks: how, when, how much, … sorted.
    asks: Vec<&'static str>,
    /// Signs that are no punctuation: `%`, `<`, `$`, a minus.
    signs: Vec<char>,
    /// Somebody acts in it, so the order of words says who.
    has_actor: bool,
}

/// Ways to ask the same, longest first.
#[rustfmt::skip]
const ASKING: &[(&str, &[&str])] = &[
    ("how long", &["多长时间", "多久", "how long"]),
    ("when", &["什么时候", "什么时间", "何时", "when"]),
    ("how much", &["多少钱", "多少费用", "how much"]),
    ("how many", &["多少", "how many"]),
    ("why", &["为什么", "为何", "为啥", "why"]),
    ("what to do", &["怎么办", "咋办", "what should i do", "what can i do"]),
    ("how", &["怎么样", "怎么", "怎样", "如何", "咋", "how do i", "how can i", "how should i", "how to", "how"]),
    ("where", &["在哪里", "在哪儿", "哪里", "哪儿", "where"]),
    ("which", &["哪些", "哪个", "哪几个", "which"]),
    ("what", &["什么", "啥", "what"]),
    ("can", &["可不可以", "能不能", "可以", "能否", "可否"]),
    ("must", &["需不需要", "要不要", "需要", "是否需要"]),
];

/// Words that say nothing by themselves.
#[rustfmt::skip]
const NEUTRAL: &[&str] = &[
    "的", "了", "吗", "呢", "吧", "啊", "呀", "嘛", "请问", "请", "问", "问一下", "一下", "想", "想问", "我", "我们", "你好", "您好", "麻烦", "这边", "咱们",
    "the", "a", "an", "is", "are", "am", "be", "do", "doe", "did", "i", "my", "me", "we", "our", "pleas", "hi", "hello",
];

/// Who can do something to another.
#[rustfmt::skip]
const ACTORS: &[&str] = &[
    "买家", "卖家", "商家", "平台", "客户", "顾客", "消费者", "供应商", "快递", "对方", "客服", "从", "到", "转", "比", "被", "把", "给", "前", "后", "先", "再",
    "buyer", "seller", "merchant", "custom", "platform", "supplier", "from", "to", "into", "than", "befor", "after", "by", "for", "you", "they", "them",
];

impl Meaning {
    /// Of a question as it is typed.
    pub fn of(question: &str) -> Self {
        let mut rest = format!(" {} ", text::normalise(question).replace('’', "'"));
        let mut asks = Vec::new();
        for (kind, phrases) in ASKING {
            for phrase in *phrases {
                while let Some(at) = phrase_at(&rest, phrase) {
                    rest.replace_range(at..at + phrase.len(), " ");
                    asks.push(*kind);
                }
            }
        }
        asks.sort_unstable();
        let words: Vec<String> = text::tokens(&rest).into_iter().filter(|word| !NEUTRAL.contains(&word.as_str())).collect();
        let has_actor = words.iter().any(|word| ACTORS.contains(&word.as_str()));
        Self { signs: signs(&rest), words, asks, has_actor }
    }

    /// Whether both ask for the same. A topic may stand at the front or at the end, unless somebody acts.
    pub fn same(&self, other: &Self) -> bool {
        let ordered = self.words == other.words || (!self.has_actor && is_rotation(&self.words, &other.words));
        ordered && self.asks == other.asks && self.signs == other.signs && !self.words.is_empty()
    }
}

/// A Chinese phrase anywhere, a Latin one between word borders.
fn phrase_at(text: &str, phrase: &str) -> Option<usize> {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '\'');
    let bordered =
        |at: &usize| !phrase.is_ascii() || !(letter(text[..*at].chars().next_back()) || letter(text[at + phrase.len()..].chars().next()));
    text.match_indices(phrase).map(|(at, _)| at).find(bordered)
}

fn signs(text: &str) -> Vec<char> {
    let plain = |c: char| {
        c.is_alphanumeric()
            || c.is_whitespace()
            || matches!(c, ',' | '.' | '?' | '!' | ':' | ';' | '"' | '\'' | '。' | '、' | '“' | '”' | '「' | '」' | '(' | ')' | '~' | '…')
    };
    text.chars().filter(|c| !plain(*c)).collect()
}

fn is_rotation(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && (1..one.len()).any(|at| one[at..].iter().chain(&one[..at]).eq(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        Meaning::of(one).same(&Meaning::of(other))
    }

    #[test]
    fn other_ways_to_ask_the_same() {
        for (one, other) in [
            ("保证金多久能退？", "请问保证金多长时间能退"),
            ("怎么退保证金", "保证金怎么退？"),
            ("How do I change the return address?", "how to change my return address"),
            ("保證金要交多少", "保证金要交多少？"),
        ] {
            assert!(same(one, other), "{one} / {other}");
        }
    }

    #[test]
    fn anything_that_tells_makes_another_question() {
        for (one, other) in [
            ("7 天无理由怎么退", "15 天无理由怎么退"),
            ("一个月多少钱", "两个月多少钱"),
            ("可以退保证金吗", "不可以退保证金吗"),
            ("没有发货怎么办", "发货怎么办"),
            ("美国站保证金多少", "英国站保证金多少"),
            ("怎么退保证金", "为什么退保证金"),
            ("什么时候退保证金", "怎么退保证金"),
            ("可以交保证金吗", "需要交保证金吗"),
            ("买家拒绝怎么办", "拒绝买家怎么办"),
            ("本地店转跨境店", "跨境店转本地店"),
            ("被投诉怎么办", "投诉怎么办"),
            ("发货前取消", "发货后取消"),
            ("佣金 5% 吗", "佣金 5 吗"),
            ("温度 -5 度", "温度 5 度"),
            ("1.5 公斤运费", "15 公斤运费"),
            ("SKU-4471B 怎么改", "SKU-4471C 怎么改"),
            ("Can I cancel?", "Can't I cancel?"),
            ("3 月 5 日前发货", "3 月 8 日前发货"),
            ("周一发货吗", "周二发货吗"),
            ("Do I ship from US to UK?", "Do I ship from UK to US?"),
        ] {
            assert!(!same(one, other), "{one} / {other}");
        }
    }

    #[test]
    fn a_question_without_words_is_like_no_other() {
        assert!(!same("？？", "？？"));
    }
}
