//! Holds the end of a streamed text back just as long as it may still turn into something forbidden, so
//! that a string split over chunks never gets out. What goes out is the same however the text is cut.

use std::sync::Arc;

use super::{Finding, Notes, Rule, Stage, redacted, united};
use crate::models::Language;

/// What is kept of the text already let out, in characters: a rule looks at the word before a number.
const CONTEXT: usize = 32;

/// One streamed text. Feed it with [`push`](Self::push), then [`finish`](Self::finish) once.
pub struct HoldBack {
    rules: Vec<Arc<dyn Rule>>,
    language: Language,
    /// The end of what was let out, as it came in.
    before: String,
    /// What came in and is not let out yet.
    held: String,
    notes: Notes,
}

impl HoldBack {
    /// A text that these rules watch.
    pub fn new(rules: Vec<Arc<dyn Rule>>, language: Language) -> Self {
        Self { rules, language, before: String::new(), held: String::new(), notes: Notes::default() }
    }

    /// Takes the next part of the text, gives what is certain by now.
    pub fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let window = format!("{}{}", self.before, self.held);
        let open = self.rules.iter().map(|rule| rule.open_from(&window)).min().unwrap_or(window.len());
        self.release(&window, open)
    }

    /// The text is over: gives the rest.
    pub fn finish(&mut self) -> String {
        let window = format!("{}{}", self.before, self.held);
        self.release(&window, window.len())
    }

    /// What was found so far.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Lets out everything before `open`, but nothing that is found in part only.
    fn release(&mut self, window: &str, open: usize) -> String {
        let context = self.before.len();
        if open <= context {
            return String::new();
        }
        let open = self.rules.iter().fold(open, |open, rule| rule.untorn(window, open));
        if open <= context {
            return String::new();
        }
        let found: Vec<Finding> = self.rules.iter().flat_map(|rule| rule.find(window, self.language)).collect();
        let found: Vec<Finding> =
            found.into_iter().filter(|finding| finding.span.end > context).map(|finding| after(finding, context)).collect();
        let mut open = open - context;
        while let Some(split) = united(found.clone()).iter().map(|one| &one.span).find(|span| span.start < open && open < span.end) {
            open = split.start;
        }
        let certain: Vec<Finding> = found.into_iter().filter(|finding| finding.span.start < open).collect();
        self.notes.add(Stage::Answer, &certain);
        let out = redacted(&self.held[..open], &certain);
        self.before = window[super::words::tail(&window[..context + open], CONTEXT)..context + open].to_owned();
        self.held.drain(..open);
        out
    }
}

/// The same finding counted from where the held text begins.
fn after(finding: Finding, context: usize) -> Finding {
    let span = finding.span.start.saturating_sub(context)..finding.span.end - context;
    Finding { span, ..finding }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::safety::Action;
    use crate::safety::links::Links;
    use crate::safety::personal::PersonalData;
    use crate::safety::words::WordList;

    const FORBIDDEN: [&str; 4] = ["代开发票", "开发票刷单", "refund scam", "ass"];

    fn rules() -> Vec<Arc<dyn Rule>> {
        let words = WordList::new("words", Action::Redact, FORBIDDEN).unwrap();
        let sources = ["见 https://shop.cn/rules ，电话 13800138000"];
        vec![Arc::new(words), Arc::new(PersonalData::beside(sources)), Arc::new(Links::of(&[], sources))]
    }

    fn streamed<'a>(chunks: impl IntoIterator<Item = &'a str>) -> String {
        let mut hold = HoldBack::new(rules(), Language::Zh);
        let mut out: String = chunks.into_iter().map(|chunk| hold.push(chunk)).collect();
        out.push_str(&hold.finish());
        out
    }

    /// Cut before every character whose bit is set, and also one character at a time.
    fn cut(text: &str, bits: u64) -> Vec<String> {
        let mut chunks = vec![String::new()];
        for (i, c) in text.chars().enumerate() {
            if bits >> (i % 64) & 1 == 1 {
                chunks.push(String::new());
            }
            chunks.last_mut().unwrap().push(c);
        }
        chunks
    }

    const PIECES: [&str; 35] = [
        "代开",
        "发票",
        "开发票",
        "刷单",
        "refund",
        " ",
        "scam",
        "ass",
        "s",
        "，",
        "保证金",
        "138",
        "0013",
        "8000",
        "13900139000",
        "-",
        "https://",
        "evil.cn",
        "shop.cn",
        "/rules",
        "a@b.cn",
        "。",
        "11010519491231002",
        "X",
        "](",
        "]:",
        "//",
        "javascript:",
        "evil.example",
        "\\",
        "4111111111111111",
        "订单号",
        "\n",
        "/",
        "手机",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn what_goes_out_is_the_same_however_the_text_is_cut(at in prop::collection::vec(0..PIECES.len(), 1..14), bits in any::<u64>()) {
            let text: String = at.into_iter().map(|at| PIECES[at]).collect();
            let whole = streamed([text.as_str()]);
            let chunks = cut(&text, bits);
            prop_assert_eq!(&streamed(chunks.iter().map(String::as_str)), &whole, "{:?}", chunks);
            prop_assert_eq!(&streamed(cut(&text, u64::MAX).iter().map(String::as_str)), &whole);
        }
    }

    #[test]
    fn a_forbidden_string_never_gets_out_over_any_of_its_cuts() {
        for text in ["可以代开发票吗", "a refund-scam here", "写信 a.b@evil.cn 吧", "身份证11010519491231002X好", "去https://evil.cn/x看"]
        {
            let whole = streamed([text]);
            let length = text.chars().count();
            for bits in 0..1_u64 << length.min(14) {
                let chunks = cut(text, bits);
                assert_eq!(streamed(chunks.iter().map(String::as_str)), whole, "{chunks:?}");
            }
            for leak in ["代开发票", "refund-scam", "evil", "11010519491231002X"] {
                assert!(!whole.contains(leak), "{whole}");
            }
        }
    }

    #[test]
    fn an_address_is_not_torn_where_a_word_behind_it_is_waited_for() {
        let text = "](/rules11010519491231002https://refund，代开";
        assert_eq!(streamed(cut(text, u64::MAX).iter().map(String::as_str)), streamed([text]));
    }

    #[test]
    fn harmless_text_waits_only_while_it_may_become_harmful() {
        let mut hold = HoldBack::new(rules(), Language::Zh);
        assert_eq!(hold.push("保证金"), "保证金");
        assert_eq!(hold.push("可以代"), "可以");
        assert_eq!(hold.push("收"), "代收");
        assert_eq!(hold.push("，共 1000"), "，共 ");
        assert_eq!(hold.push("元"), "1000元");
    }

    #[test]
    fn no_spelling_of_a_phone_gets_out_wherever_it_is_cut() {
        #[rustfmt::skip]
        let spellings = [
            "138 . 0013 . 9000", "139_0013_9000", "139·0013·9000", "1 3 9 0 0 1 3 9 0 0 0", "+86 1 3 9 0 0 1 3 9 0 0 0", "010-12345678",
            "(0571) 8765 4321", "（0571）8765 4321", "0755-2654-3210-801", "+86·139·0013·9000", "１３９ ００１３ ９０００",
            "139  0013  9000", "139/0013/9000", "139\n0013\n9000", "139 0013\r\n9000", "+86 139／0013／9000",
        ];
        for phone in spellings {
            let text = format!("请打 {phone} 找我");
            for at in text.char_indices().map(|(at, _)| at) {
                assert_eq!(streamed([&text[..at], &text[at..]]), "请打 [手机号] 找我", "{phone} at {at}");
            }
            let letters: Vec<String> = text.chars().map(String::from).collect();
            assert_eq!(streamed(letters.iter().map(String::as_str)), "请打 [手机号] 找我", "{phone} letter by letter");
        }
    }
}
