//! When two questions are nearly the same (pure): the same telling words in the same order. What asks
//! politely or in another form is left out; nothing that could change what is asked, so that rows of one
//! pattern (for another shop, country or number) stay apart.

use super::text;

/// Other forms of the same words, longest first where one begins another.
#[rustfmt::skip]
const FORMS: &[(&str, &str)] = &[
    ("能不能", "可以"), ("可不可以", "可以"), ("能否", "可以"), ("可否", "可以"), ("是不是", ""), ("是否", ""), ("会不会", "会"),
    ("需不需要", "需要"), ("要不要", "需要"), ("用不用", "需要"), ("有没有", "有"), ("如何", "怎么"), ("怎样", "怎么"), ("在哪里", "哪里"),
    ("在哪儿", "哪里"), ("哪儿", "哪里"), ("何时", "什么时候"),
];
/// Tokens (English ones by their stems) that a question is the same without.
#[rustfmt::skip]
const FILLERS: &[&str] = &[
    "请问", "您好", "你好", "麻烦", "想", "想问", "问", "问一下", "一下", "吗", "呢", "啊", "呀", "吧", "嘛", "的", "了", "要", "需要", "会", "是",
    "我", "我们", "能", "能够", "可以", "a", "an", "the", "is", "are", "am", "be", "do", "doe", "i", "we", "my", "our", "can", "could",
    "pleas", "hello", "hi",
];
/// Longer questions are told apart by every character.
const CHARS: usize = 200;

/// What nearly the same questions have in common; empty for a row without a question.
pub fn near_key(question: &str) -> String {
    let mut normal = text::normalise(question);
    if normal.chars().nth(CHARS).is_some() {
        return text::question_key(question);
    }
    for (form, same) in FORMS {
        if normal.contains(form) {
            normal = normal.replace(form, same);
        }
    }
    let mut words = Vec::new();
    text::cut(&normal, &mut words);
    words.retain(|word| !FILLERS.contains(&word.as_str()));
    if words.is_empty() { text::question_key(question) } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::near_key;

    #[test]
    fn another_way_of_asking_is_nearly_the_same() {
        for (one, other) in [
            ("保证金要交多少？", "请问我的保證金需要交多少呢"),
            ("可以退货吗？", "能不能退货"),
            ("如何修改退货地址", "我想问一下怎么修改退货地址？"),
            ("How do I change my return address?", "how can we change the return address"),
            ("退货地址在哪里修改", "退货地址在哪儿修改？"),
        ] {
            assert_eq!(near_key(one), near_key(other), "{one} | {other}");
        }
    }

    #[test]
    fn another_question_is_not() {
        for (one, other) in [
            ("普通店保证金多少", "跨境店保证金多少"),
            ("可以退货吗", "不可以退货吗"),
            ("买家拒收后卖家怎么办", "卖家拒收后买家怎么办"),
            ("第3号仓库几点关门", "第4号仓库几点关门"),
            ("怎么退款", "什么时候退款"),
            ("你们的退货地址", "我的退货地址"),
            ("from Japan to Singapore", "from Singapore to Japan"),
            ("Can I return it", "Why can't I return it"),
            ("是的吗", "会的吗"),
        ] {
            assert_ne!(near_key(one), near_key(other), "{one} | {other}");
        }
        assert_eq!((near_key(""), near_key("？！")), (String::new(), String::new()));
    }
}
