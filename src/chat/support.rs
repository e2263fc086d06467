//! Sentences of an answer that its sources do not carry (pure): a number that none of them has, or words
//! that hardly any of them shares. A rule of thumb for people who look at an answer, not a judgement: it is
//! told in the trace and changes nothing of the answer.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::knowledge::text;

/// Fewer words than this state nothing.
const WORDS: usize = 4;
/// Share of a sentence's words that a source has to have.
const SHARED: f32 = 0.34;

/// A sentence without support; offsets are in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unsupported {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What is wrong with it.
    pub why: Why,
}

/// Why a sentence counts as unsupported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its sources, the cited ones or any, say something else.
    Words,
    /// It has a number that they do not have.
    Number,
}

/// A sentence with the sources that it cites.
struct Sentence {
    start: usize,
    end: usize,
    text: String,
    cited: Vec<u32>,
}

/// The sentences that neither the sources, by number and text, nor the question carry.
pub fn unsupported(answer: &str, question: &str, sources: &[(u32, String)]) -> Vec<Unsupported> {
    let read: Vec<(u32, BTreeSet<String>, Vec<String>)> = sources.iter().map(|(n, text)| (*n, words(text), text::numbers(text))).collect();
    let (asked, asked_numbers) = (words(question), text::numbers(question));
    let judge = |sentence: Sentence| {
        let said: BTreeSet<String> = words(&sentence.text).difference(&asked).cloned().collect();
        let asks = sentence.text.trim_end().ends_with(['?', '？']);
        if said.len() < WORDS || asks || speaks_of_sources(&sentence.text) {
            return None;
        }
        let counts = |n: &u32| sentence.cited.is_empty() || sentence.cited.contains(n);
        let carrying: Vec<_> = read.iter().filter(|(n, ..)| counts(n)).collect();
        let shared = |words: &BTreeSet<String>| said.intersection(words).count() as f32 / said.len() as f32;
        let best = carrying.iter().map(|(_, words, _)| shared(words)).fold(0.0, f32::max);
        let known = |number: &String| asked_numbers.contains(number) || carrying.iter().any(|(.., numbers)| numbers.contains(number));
        let why = if !text::numbers(&sentence.text).iter().all(known) {
            Why::Number
        } else if best < SHARED {
            Why::Words
        } else {
            return None;
        };
        Some(Unsupported { start: sentence.start, end: sentence.end, why })
    };
    sentences(answer).into_iter().filter_map(judge).collect()
}

fn words(text: &str) -> BTreeSet<String> {
    text::tokens(text).into_iter().collect()
}

/// Says what is missing, which no source can carry.
fn speaks_of_sources(sentence: &str) -> bool {
    let lower = sentence.to_lowercase();
    ["资料", "来源", "知识库", "source", "knowledge base"].iter().any(|word| lower.contains(word))
}

/// Cuts at the ends of sentences and lines; markers behind an end belong to the sentence before them.
fn sentences(answer: &str) -> Vec<Sentence> {
    let chars: Vec<char> = answer.chars().collect();
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    while at < chars.len() {
        let c = chars[at];
        at += 1;
        let latin_stop = c == '.' && chars.get(at).is_none_or(|next| next.is_whitespace() || *next == '[');
        if matches!(c, '。' | '！' | '？' | '!' | '?' | '；' | '\n') || latin_stop {
            at = after_markers(&chars, at);
            found.push(sentence(&chars, start, at));
            start = at;
        }
    }
    found.push(sentence(&chars, start, chars.len()));
    found.retain(|sentence| !sentence.text.trim().is_empty());
    found
}

/// The place behind the markers that begin here.
fn after_markers(chars: &[char], mut at: usize) -> usize {
    while let Some((_, end)) = marker(chars, at) {
        at = end;
    }
    at
}

/// The marker `[n]` that begins here, and its end.
fn marker(chars: &[char], at: usize) -> Option<(u32, usize)> {
    let digits = chars.get(at + 1..)?.iter().take_while(|c| c.is_ascii_digit()).count();
    let end = at + digits + 1;
    let whole = chars.get(at) == Some(&'[') && digits > 0 && chars.get(end) == Some(&']');
    let n = chars.get(at + 1..end)?.iter().collect::<String>().parse().ok()?;
    whole.then_some((n, end + 1))
}

fn sentence(chars: &[char], start: usize, end: usize) -> Sentence {
    let (mut text, mut cited, mut at) = (String::new(), Vec::new(), start);
    while at < end {
        match marker(chars, at) {
            Some((n, after)) => {
                cited.push(n);
                at = after;
            }
            None => {
                text.push(chars[at]);
                at += 1;
            }
        }
    }
    let lead = chars[start..end].iter().take_while(|c| c.is_whitespace()).count();
    Sentence { start: start + lead, end, text: without_list_number(&text), cited }
}

/// `2. Do this` counts nothing.
fn without_list_number(text: &str) -> String {
    let text = text.trim_start();
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.strip_prefix(['.', '、', ')']) {
        Some(item) if rest.len() < text.len() => item.to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sources() -> Vec<(u32, String)> {
        vec![
            (1, "普通店保证金为 10,000 元，跨境店保证金为 60,000 元，入驻时一次交清。".to_owned()),
            (2, "闭店申请通过后有 30 天公示期，期满没有未结纠纷，保证金 5 个工作日内原路退回。".to_owned()),
        ]
    }

    fn flagged(answer: &str) -> Vec<(String, Why)> {
        let chars: Vec<char> = answer.chars().collect();
        let found = unsupported(answer, "保证金要交多少，什么时候退？", &sources());
        found.into_iter().map(|flag| (chars[flag.start..flag.end].iter().collect(), flag.why)).collect()
    }

    #[test]
    fn what_the_sources_say_is_supported() {
        for answer in [
            "普通店的保证金为 10,000 元，入驻时一次交清[1]。闭店申请通过后公示 30 天，没有未结纠纷就原路退回[2]。",
            "1. 普通店保证金为 10,000 元[1]。\n2. 跨境店保证金为 60,000 元。[1]",
            "资料里没有写海外仓商家另外要交的押金数额。",
            "好的。",
        ] {
            assert_eq!(flagged(answer), [], "{answer}");
        }
    }

    #[test]
    fn another_number_and_words_of_nobody_are_flagged_with_their_place() {
        let answer = "普通店保证金为 20,000 元，入驻时一次交清[1]。另外建议您尽快联系专属客户经理申请减免优惠政策。跨境店保证金为 60,000 元，入驻时交清[1]。";
        let wanted = [
            ("普通店保证金为 20,000 元，入驻时一次交清[1]。".to_owned(), Why::Number),
            ("另外建议您尽快联系专属客户经理申请减免优惠政策。".to_owned(), Why::Words),
        ];
        assert_eq!(flagged(answer), wanted);
        // The cited source counts, not another that happens to have it.
        assert_eq!(flagged("跨境店保证金为 60,000 元，入驻时一次交清[2]。").len(), 1);
    }

    proptest! {
        #[test]
        fn places_are_in_the_answer_and_in_order(answer in "[普通店保证金0-9a-z。！.\\[\\] \n]{0,60}") {
            let found = unsupported(&answer, "", &sources());
            let length = answer.chars().count();
            prop_assert!(found.iter().all(|flag| flag.start < flag.end && flag.end <= length));
            prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }
}
