//! Forbidden words of a shop, found however they are spelled: full width, upper case, traditional,
//! or with a few other characters between the letters. Latin words are found between word borders only,
//! so that `ass` is not found in `assess` or in `as soon`.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::fold::Folded;
use super::{Action, Finding, Rule};
use crate::error::{Error, Result};
use crate::models::Language;

/// Most characters that may stand between two letters of one word: `敏*感*词`, `b . a . d`.
const MOST_BETWEEN: usize = 3;
/// The same in a sentence, where brackets and quotes stand together.
const MOST_BETWEEN_IN_SENTENCES: usize = 8;
/// Shortest sentence of a prompt whose verbatim repetition is a leak, in letters.
const SENTENCE_HAN: usize = 14;
const SENTENCE_LATIN: usize = 40;

/// A list of words, ready to be searched for.
pub struct WordList {
    rule: &'static str,
    action: Action,
    finder: AhoCorasick,
    /// The same words, sorted, to see whether a text's end may become one.
    words: BTreeSet<String>,
    longest: usize,
    between: usize,
}

impl WordList {
    /// From words as the shop writes them.
    ///
    /// # Errors
    /// `bad_word_list` for a word without letters or digits, which would match everywhere.
    pub fn new<'a>(rule: &'static str, action: Action, words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Self::found_by(None, rule, action, words)
    }

    fn found_by<'a>(
        kind: Option<AhoCorasickKind>,
        rule: &'static str,
        action: Action,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let words: BTreeSet<String> = words.into_iter().map(|word| Folded::letters(word).text).collect();
        if words.contains("") {
            return Err(Error::invalid("bad_word_list", "A word in `safety` has no letters or digits. Remove it from the list."));
        }
        let finder = AhoCorasick::builder()
            .kind(kind)
            .build(&words)
            .map_err(|error| Error::invalid("bad_word_list", "The word list in `safety` is too large. Shorten it.").because(error))?;
        let longest = words.iter().map(|word| word.chars().count()).max().unwrap_or_default();
        Ok(Self { rule, action, finder, words, longest, between: MOST_BETWEEN })
    }

    /// The sentences of an instruction that an answer may not repeat.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn sentences(rule: &'static str, prompt: &str) -> Result<Self> {
        let long_enough = |sentence: &&str| {
            let letters = Folded::letters(sentence).text;
            letters.chars().count() >= if letters.is_ascii() { SENTENCE_LATIN } else { SENTENCE_HAN }
        };
        // Built for one answer: what is built fastest, not what searches fastest.
        let kind = Some(AhoCorasickKind::NoncontiguousNFA);
        let list = Self::found_by(kind, rule, Action::Redact, prompt.split(['\n', '。', '；', '.', ';']).filter(long_enough))?;
        Ok(Self { between: MOST_BETWEEN_IN_SENTENCES, ..list })
    }

    /// Whether the folded range is one word of the original: bordered, and not stretched too far.
    fn is_word(&self, text: &str, folded: &Folded, range: &std::ops::Range<usize>) -> bool {
        let span = folded.origin(range);
        bordered(text, &span, &folded.text[range.clone()]) && self.is_close(text, folded, range)
    }

    fn is_close(&self, text: &str, folded: &Folded, range: &std::ops::Range<usize>) -> bool {
        let letters: Vec<usize> = folded.text[range.clone()].char_indices().map(|(at, _)| range.start + at).collect();
        letters.windows(2).all(|pair| {
            let (from, to) = (folded.origin(&(pair[0]..pair[0] + 1)).end, folded.origin_start(pair[1], text));
            from >= to || text[from..to].chars().count() <= self.between
        })
    }
}

impl Rule for WordList {
    fn find(&self, text: &str, language: Language) -> Vec<Finding> {
        if self.words.is_empty() {
            return Vec::new();
        }
        let folded = Folded::letters(text);
        let found = self.finder.find_overlapping_iter(&folded.text).map(|hit| hit.start()..hit.end());
        let found = found.filter(|range| self.is_word(text, &folded, range));
        found
            .map(|range| Finding {
                rule: self.rule,
                action: self.action,
                span: folded.origin(&range),
                instead: instead(language).to_owned(),
            })
            .collect()
    }

    fn open_from(&self, text: &str) -> usize {
        if self.words.is_empty() {
            return text.len();
        }
        let tail = tail(text, self.longest * (self.between + 1));
        let folded = Folded::letters(&text[tail..]);
        let mut starts = folded.text.char_indices().map(|(at, _)| at);
        let open = starts.find(|&at| {
            let end = &folded.text[at..];
            // A whole Latin word is pending too: the next character may be one more letter of it.
            self.words.range(end.to_owned()..).next().is_some_and(|word| word.starts_with(end))
        });
        open.map_or(text.len(), |at| tail + folded.origin_start(at, &text[tail..]))
    }
}

fn instead(language: Language) -> &'static str {
    match language {
        Language::Zh => "[已屏蔽]",
        Language::En => "[removed]",
    }
}

/// A Latin word stands alone; a Chinese one may stand anywhere.
fn bordered(text: &str, span: &std::ops::Range<usize>, word: &str) -> bool {
    let latin = |c: char| c.is_alphanumeric() && !crate::knowledge::text::is_han(c);
    let joined = |inside: Option<char>, outside: Option<char>| inside.is_some_and(latin) && outside.is_some_and(latin);
    let (before, after) = (text[..span.start].chars().next_back(), text[span.end..].chars().next());
    !joined(word.chars().next(), before) && !joined(word.chars().next_back(), after)
}

/// Where the last `chars` characters begin.
pub(super) fn tail(text: &str, chars: usize) -> usize {
    text.char_indices().rev().take(chars).last().map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safety::redacted;

    fn list(words: &[&str]) -> WordList {
        WordList::new("words", Action::Redact, words.iter().copied()).unwrap()
    }

    #[test]
    fn spellings_of_a_word_are_found_and_other_words_are_not() {
        let list = list(&["代开发票", "ass", "刷单"]);
        for (text, shown) in [
            ("可以代开发票吗", "可以[已屏蔽]吗"),
            ("可以代開發票嗎", "可以[已屏蔽]嗎"),
            ("代 开-发*票", "[已屏蔽]"),
            ("刷\u{200b}单，刷單", "[已屏蔽]，[已屏蔽]"),
            ("刷……………单", "刷……………单"),
            ("an ＡＳＳ, a-s-s!", "an [已屏蔽], [已屏蔽]!"),
            ("assess as soon as possible; pass", "assess as soon as possible; pass"),
            ("开发票", "开发票"),
        ] {
            assert_eq!(redacted(text, &list.find(text, Language::Zh)), shown);
        }
    }

    #[test]
    fn a_word_without_letters_is_refused() {
        assert_eq!(WordList::new("words", Action::Refuse, ["。"]).err().unwrap().code(), "bad_word_list");
        assert!(list(&[]).find("任何文字", Language::Zh).is_empty());
    }

    #[test]
    fn only_what_may_become_a_word_is_pending() {
        let list = list(&["代开发票", "refund scam"]);
        let pending = |text: &str| text[list.open_from(text)..].to_owned();
        assert_eq!(pending("可以代开"), "代开");
        assert_eq!(pending("可以退货"), "");
        assert_eq!(pending("a refund sc"), "refund sc");
        assert_eq!(pending("a refund policy"), "");
        assert_eq!(pending("代开发票"), "代开发票", "until the next character shows that nothing longer comes");
    }
}
