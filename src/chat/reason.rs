//! Splits the reasoning a model writes inline, between `<think>` and `</think>`, from its answer, as
//! the text streams in and wherever it is cut.
//!
//! - An opening tag (`<think>`, `<thinking>`, `<reasoning>`, in any case) counts only as the first thing
//!   of an answer, after white space; later it is text.
//! - Without a closing tag all the rest is reasoning.
//! - A closing tag without an opening one (some vLLM templates put the opening one into the prompt) is
//!   taken out, once. What came before it stays text: it was already sent, and holding every answer back
//!   until it is over, in case such a tag comes, would cost every reader the streaming.
//! - White space around the tags goes with them; so does white space before the answer.

const OPENING: [&str; 3] = ["<think>", "<thinking>", "<reasoning>"];
const CLOSING: [&str; 3] = ["</think>", "</thinking>", "</reasoning>"];

/// A piece of a model's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// How it came to the answer.
    Reasoning(String),
    /// The answer.
    Text(String),
}

/// Splits one answer. Feed it with [`push`](Self::push), then [`finish`](Self::finish) once.
#[derive(Debug, Default)]
pub struct ReasonSplitter {
    state: State,
    /// What came in and cannot be told yet.
    held: String,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Nothing but white space so far.
    #[default]
    Start,
    /// Inside the tags; `begun` once anything but white space came.
    Reasoning { begun: bool },
    /// Between the closing tag and the answer.
    Gap,
    /// In the answer; `stray` while a closing tag without an opening one is still taken out.
    Answer { stray: bool },
}

impl ReasonSplitter {
    /// At the start of an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next part of the output, gives what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.step(&mut pieces) {}
        pieces
    }

    /// The output is over: gives what was held back.
    pub fn finish(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        let piece = match self.state {
            State::Reasoning { .. } => Piece::Reasoning(held.trim_end().to_owned()),
            State::Start | State::Gap | State::Answer { .. } => Piece::Text(held),
        };
        let mut pieces = Vec::new();
        emit(&mut pieces, piece);
        pieces
    }

    /// One transition; whether there may be another with what is held.
    fn step(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start => self.start(),
            State::Reasoning { begun } => self.reason(begun, pieces),
            State::Gap => {
                self.skip_white_space();
                if self.held.is_empty() {
                    return false;
                }
                self.state = State::Answer { stray: false };
                true
            }
            State::Answer { stray: true } => self.answer(pieces),
            State::Answer { stray: false } => {
                emit(pieces, Piece::Text(std::mem::take(&mut self.held)));
                false
            }
        }
    }

    fn start(&mut self) -> bool {
        self.skip_white_space();
        if let Some(length) = tag_at(&self.held, &OPENING) {
            self.held.drain(..length);
            self.state = State::Reasoning { begun: false };
        } else if let Some(length) = tag_at(&self.held, &CLOSING) {
            self.held.drain(..length);
            self.state = State::Gap;
        } else if may_become(&self.held, &OPENING) || may_become(&self.held, &CLOSING) {
            return false;
        } else {
            self.state = State::Answer { stray: true };
        }
        true
    }

    fn reason(&mut self, begun: bool, pieces: &mut Vec<Piece>) -> bool {
        if !begun {
            self.skip_white_space();
        }
        let closing = find(&self.held, &CLOSING);
        let until = closing.map_or_else(|| certain(&self.held), |(at, _)| at);
        // White space is held back: it goes if the closing tag follows.
        let said = self.held[..until].trim_end().len();
        emit(pieces, Piece::Reasoning(self.held[..said].to_owned()));
        match closing {
            Some((at, length)) => {
                self.held.drain(..at + length);
                self.state = State::Gap;
            }
            None => {
                self.held.drain(..said);
                self.state = State::Reasoning { begun: begun || said > 0 };
            }
        }
        closing.is_some()
    }

    fn answer(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let closing = find(&self.held, &CLOSING);
        let until = closing.map_or_else(|| certain(&self.held), |(at, _)| at);
        emit(pieces, Piece::Text(self.held[..until].to_owned()));
        let length = closing.map_or(0, |(_, length)| length);
        self.held.drain(..until + length);
        self.state = State::Answer { stray: closing.is_none() };
        closing.is_some()
    }

    fn skip_white_space(&mut self) {
        let length = self.held.len() - self.held.trim_start().len();
        self.held.drain(..length);
    }
}

fn emit(pieces: &mut Vec<Piece>, piece: Piece) {
    let (Piece::Reasoning(text) | Piece::Text(text)) = &piece;
    if !text.is_empty() {
        pieces.push(piece);
    }
}

/// The length of the tag that `text` begins with.
fn tag_at(text: &str, tags: &[&str]) -> Option<usize> {
    let begins = |tag: &&&str| text.as_bytes().get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    tags.iter().find(begins).map(|tag| tag.len())
}

/// Whether more text could make `text` begin with a tag.
fn may_become(text: &str, tags: &[&str]) -> bool {
    let starts = |tag: &&str| tag.as_bytes().get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()));
    tags.iter().any(starts)
}

/// Where the first tag is, and its length.
fn find(text: &str, tags: &[&str]) -> Option<(usize, usize)> {
    text.match_indices('<').find_map(|(at, _)| tag_at(&text[at..], tags).map(|length| (at, length)))
}

/// How much of `text` cannot be the beginning of a closing tag.
fn certain(text: &str) -> usize {
    text.rfind('<').filter(|&at| may_become(&text[at..], &CLOSING)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use proptest::prelude::*;

    use super::*;
    use crate::models::fake::{Fake, answer};
    use crate::models::{CompletionRequest, Delta};

    /// Reasoning and answer, joined, of a text that comes in these parts.
    fn split<'a>(parts: impl IntoIterator<Item = &'a str>) -> (String, String) {
        let mut splitter = ReasonSplitter::new();
        let mut pieces: Vec<Piece> = parts.into_iter().flat_map(|part| splitter.push(part)).collect();
        pieces.extend(splitter.finish());
        let (mut reasoning, mut answer) = (String::new(), String::new());
        for piece in pieces {
            match piece {
                Piece::Reasoning(text) => {
                    assert!(answer.is_empty(), "reasoning comes before the answer");
                    reasoning.push_str(&text);
                }
                Piece::Text(text) => answer.push_str(&text),
            }
        }
        (reasoning, answer)
    }

    const CASES: [(&str, &str, &str); 14] = [
        ("<think>看来源[1]。\n国内站适用。</think>\n\n保证金是 1000 元[1]。", "看来源[1]。\n国内站适用。", "保证金是 1000 元[1]。"),
        (" \n<THINK>\n a < b, so </thin air> \n</Think>  yes", "a < b, so </thin air>", "yes"),
        ("<thinking>one</thinking>two", "one", "two"),
        ("<reasoning>one</reasoning>\ntwo </reasoning>", "one", "two </reasoning>"),
        ("<think></think>\n\nanswer", "", "answer"),
        ("<think>never closed </think", "never closed </think", ""),
        ("<think>only\n\n", "only", ""),
        ("no tags < here", "", "no tags < here"),
        ("the tag <think> in a text</b>", "", "the tag <think> in a text</b>"),
        ("</think>\nanswer", "", "answer"),
        ("prefilled reasoning</think>\nanswer</think>", "", "prefilled reasoning\nanswer</think>"),
        ("<thin", "", "<thin"),
        ("  \n ", "", ""),
        ("<think>a</think><think>b</think>", "a", "<think>b</think>"),
    ];

    #[test]
    fn known_outputs_split_as_expected_wherever_they_are_cut() {
        for (output, reasoning, answer) in CASES {
            let expected = (reasoning.to_owned(), answer.to_owned());
            assert_eq!(split([output]), expected, "{output:?} in one");
            for (at, _) in output.char_indices() {
                assert_eq!(split([&output[..at], &output[at..]]), expected, "{output:?} at {at}");
            }
            let letters: Vec<String> = output.chars().map(String::from).collect();
            assert_eq!(split(letters.iter().map(String::as_str)), expected, "{output:?} letter by letter");
        }
    }

    #[test]
    fn text_is_not_held_back_without_need() {
        let mut splitter = ReasonSplitter::new();
        assert_eq!(splitter.push("保证"), [Piece::Text("保证".into())]);
        assert_eq!(splitter.push("金 "), [Piece::Text("金 ".into())]);
        let mut splitter = ReasonSplitter::new();
        assert_eq!(splitter.push("<think>步骤"), [Piece::Reasoning("步骤".into())]);
    }

    #[tokio::test]
    async fn a_provider_may_cut_its_inline_reasoning_anywhere() {
        let output = "<think>\n看来源[1]\n</think>\n\n1000 元[1]。";
        let cuts: Vec<usize> = output.char_indices().map(|(at, _)| at).collect();
        let script = move |nth: usize| match cuts.get(nth) {
            Some(&at) => answer(&[&output[..at], &output[at..]]),
            None => answer(&output.char_indices().map(|(at, c)| &output[at..at + c.len_utf8()]).collect::<Vec<_>>()),
        };
        let fake = Fake::start(script).await;
        let model = fake.model("m");
        for _ in 0..=output.chars().count() {
            let deltas = model.stream(CompletionRequest::default()).await.unwrap();
            let texts: Vec<String> =
                deltas.filter_map(|delta| async { if let Delta::Text(text) = delta.unwrap() { Some(text) } else { None } }).collect().await;
            assert_eq!(split(texts.iter().map(String::as_str)), ("看来源[1]".into(), "1000 元[1]。".into()), "{texts:?}");
        }
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(
            parts in prop::collection::vec("(<think>|</think>|</THINKING>|<|/|think|>|[ \n]|[a中]){0,4}", 0..8)
        ) {
            let whole = parts.concat();
            prop_assert_eq!(split(parts.iter().map(String::as_str)), split([whole.as_str()]));
        }
    }
}
