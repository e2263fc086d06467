//! Splits the reasoning a model writes inline, between `<think>` and `</think>`, from its answer, as
//! the text streams in and wherever it is cut.
//!
//! - What stands between an opening tag (`<think>`, `<thinking>`, `<reasoning>` and the like, in any case, also with
//!   attributes) and a closing one is reasoning, at the beginning and anywhere later: an answer to a merchant has no
//!   use for such a tag, and reasoning that is hidden must not get out.
//! - Where a server leaves gpt-oss's own tokens in the text, `<|channel|>analysis<|message|>` begins reasoning like a
//!   tag, `<|end|>` ends it, and `<|channel|>final<|message|>` begins the answer; none of these tokens is ever told.
//! - Without a closing tag all the rest is reasoning. A tag that closes itself (`<think/>`) opens nothing and ends nothing.
//! - A closing tag without an opening one (some vLLM templates put the opening one into the prompt) is
//!   taken out, wherever it stands. What came before it is reasoning where the text is still there to be
//!   told so: for a model configured with `thinks_first`, which begins [inside](ReasonSplitter::inside) the
//!   tags, and for one that may think ([unsure](ReasonSplitter::unsure)), whose text waits for such a tag: by its
//!   name, in the first answer of a provider whose templates do so, and in a few answers after one that did.
//!   Of other models it was already sent as text: holding every answer back until it is over would cost
//!   every reader the streaming. An answer that is [cut off](ReasonSplitter::cut_off) while it waits was reasoning.
//! - White space after the tags goes with them; so does white space before the answer.

mod marks;

#[cfg(test)]
mod tests;

use super::Model;
use marks::{Mark, bare, next_mark};

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
    /// Whether a closing tag came without an opening one.
    stray: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Nothing but white space so far.
    #[default]
    Start,
    /// Nothing is told before a tag says what it was, or the end that there is none.
    Unsure,
    /// Inside the tags; `begun` once anything but white space came.
    Reasoning { begun: bool },
    /// Between the closing tag and the answer.
    Gap,
    /// In the answer; `stray` while no tag came, so that a closing one would be about what was said.
    Answer { stray: bool },
}

impl ReasonSplitter {
    /// At the start of an answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// At the start of an answer whose opening tag stands in the prompt.
    pub fn inside() -> Self {
        Self { state: State::Reasoning { begun: false }, ..Self::default() }
    }

    /// At the start of an answer of a model that may think without saying where it begins: text waits for the
    /// first tag, and is the answer when none comes.
    pub fn unsure() -> Self {
        Self { state: State::Unsure, ..Self::default() }
    }

    /// The provider tells reasoning in a field of its own, so text is the answer.
    pub fn sure(&mut self) {
        if matches!(self.state, State::Unsure) {
            self.state = State::Start;
        }
    }

    /// Whether it is known what the text is: it waits for no tag.
    pub fn is_sure(&self) -> bool {
        !matches!(self.state, State::Unsure)
    }

    /// Whether reasoning ended that had not begun.
    pub fn saw_stray(&self) -> bool {
        self.stray
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
            State::Reasoning { .. } => Piece::Reasoning(bare(&held).trim_end().to_owned()),
            State::Start | State::Gap | State::Answer { .. } => Piece::Text(bare(&held)),
            // What the start would have done with white space.
            State::Unsure => Piece::Text(bare(&held).trim_start().to_owned()),
        };
        let mut pieces = Vec::new();
        emit(&mut pieces, piece);
        pieces
    }

    /// The output broke off: what still waits for the tag that would tell is taken for reasoning, and never told as the answer.
    pub fn cut_off(&mut self) -> Vec<Piece> {
        if matches!(self.state, State::Unsure) {
            self.state = State::Reasoning { begun: false };
            self.skip_white_space();
        }
        self.finish()
    }

    /// One transition; whether there may be another with what is held.
    fn step(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start => self.begin(State::Answer { stray: true }),
            State::Unsure => self.decide(pieces),
            State::Reasoning { begun } => self.reason(begun, pieces),
            State::Gap => self.begin(State::Answer { stray: false }),
            State::Answer { stray } => self.answer(stray, pieces),
        }
    }

    /// Goes on with reasoning if it opens here, else with the answer; false while that is open.
    fn begin(&mut self, answer: State) -> bool {
        self.skip_white_space();
        if self.held.is_empty() {
            return false;
        }
        let (at, mark) = next_mark(&self.held);
        if at > 0 {
            self.state = answer;
            return true;
        }
        let Some((mark, length)) = mark else { return false };
        self.held.drain(..length);
        match mark {
            Mark::Opens => self.state = State::Reasoning { begun: false },
            Mark::Closes | Mark::Answers => self.state = State::Gap,
            Mark::Stands | Mark::Empty => {}
        }
        true
    }

    fn decide(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let mut from = 0;
        let (at, mark, length) = loop {
            let (at, mark) = next_mark(&self.held[from..]);
            let Some((mark, length)) = mark else { return false };
            if !matches!(mark, Mark::Stands | Mark::Empty) {
                break (from + at, mark, length);
            }
            from += at + length;
        };
        let before = bare(&self.held[..at]);
        if mark == Mark::Opens {
            emit(pieces, Piece::Text(before.trim_start().to_owned()));
            self.state = State::Reasoning { begun: false };
        } else {
            let before = before.trim();
            self.stray |= mark == Mark::Closes || !before.is_empty();
            emit(pieces, Piece::Reasoning(before.to_owned()));
            self.state = State::Gap;
        }
        self.held.drain(..at + length);
        true
    }

    fn reason(&mut self, begun: bool, pieces: &mut Vec<Piece>) -> bool {
        if !begun {
            self.skip_white_space();
        }
        let (until, mark) = next_mark(&self.held);
        // White space is held back: it goes if the closing tag follows.
        let said = self.held[..until].trim_end().len();
        emit(pieces, Piece::Reasoning(self.held[..said].to_owned()));
        let within = State::Reasoning { begun: begun || said > 0 };
        match mark {
            Some((mark, length)) => {
                self.held.drain(..until + length);
                self.state = if matches!(mark, Mark::Opens | Mark::Empty) { within } else { State::Gap };
            }
            None => {
                self.held.drain(..said);
                self.state = within;
            }
        }
        mark.is_some()
    }

    fn answer(&mut self, stray: bool, pieces: &mut Vec<Piece>) -> bool {
        let (until, mark) = next_mark(&self.held);
        emit(pieces, Piece::Text(self.held[..until].to_owned()));
        self.held.drain(..until + mark.map_or(0, |(_, length)| length));
        match mark {
            Some((Mark::Opens, _)) => self.state = State::Reasoning { begun: false },
            Some((Mark::Closes | Mark::Answers, _)) => {
                self.stray |= stray;
                self.state = State::Answer { stray: false };
            }
            Some((Mark::Stands | Mark::Empty, _)) | None => {}
        }
        mark.is_some()
    }

    fn skip_white_space(&mut self) {
        let length = self.held.len() - self.held.trim_start().len();
        self.held.drain(..length);
    }
}

/// What a whole text says beside its reasoning: of a call beside an answer. `cut` when it broke off. The model is heard
/// here as in an answer, so that its answers may wait no longer.
pub fn said(text: &str, model: &Model, cut: bool) -> String {
    // Nobody reads along, so that any model's text may wait for its tag.
    let mut split = if model.thinks_first() { ReasonSplitter::inside() } else { ReasonSplitter::unsure() };
    let mut pieces = split.push(text);
    if !text.is_empty() && (!cut || split.is_sure()) {
        model.heard(split.saw_stray());
    }
    pieces.extend(if cut && model.may_think() { split.cut_off() } else { split.finish() });
    let text: String = pieces.into_iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None }).collect();
    text.trim().to_owned()
}

fn emit(pieces: &mut Vec<Piece>, piece: Piece) {
    let (Piece::Reasoning(text) | Piece::Text(text)) = &piece;
    if !text.is_empty() {
        pieces.push(piece);
    }
}
