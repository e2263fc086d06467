//! Splits the reasoning a model writes inline, between `<think>` and `</think>`, from its answer, as
//! the text streams in and wherever it is cut.
//!
//! - What stands between an opening tag (`<think>`, `<thinking>`, `<reasoning>` and the like, in any case) and a closing
//!   one is reasoning, at the beginning and anywhere later: an answer to a merchant has no use for such a
//!   tag, and reasoning that is hidden must not get out.
//! - Without a closing tag all the rest is reasoning.
//! - A closing tag without an opening one (some vLLM templates put the opening one into the prompt) is
//!   taken out, wherever it stands. What came before it is reasoning where the text is still there to be
//!   told so: for a model configured with `thinks_first`, which begins [inside](ReasonSplitter::inside) the
//!   tags, and for one that may think ([unsure](ReasonSplitter::unsure)), whose text waits for such a tag: by its
//!   name, in the first answer of a provider whose templates do so, and in a few answers after one that did.
//!   Of other models it was already sent as text: holding every answer back until it is over would cost
//!   every reader the streaming.
//! - White space after the tags goes with them; so does white space before the answer.

// `<seed:think>` and `◁think▷` are what the chat templates of Seed-OSS and Kimi's thinking models write.
const OPENING: [&str; 6] = ["<think>", "<thinking>", "<reasoning>", "<thought>", "<seed:think>", "◁think▷"];
const CLOSING: [&str; 6] = ["</think>", "</thinking>", "</reasoning>", "</thought>", "</seed:think>", "◁/think▷"];
/// What the tags begin with.
const BRACKETS: [char; 2] = ['<', '◁'];

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
            State::Reasoning { .. } => Piece::Reasoning(held.trim_end().to_owned()),
            State::Start | State::Gap | State::Answer { .. } => Piece::Text(held),
            // What the start would have done with white space.
            State::Unsure => Piece::Text(held.trim_start().to_owned()),
        };
        let mut pieces = Vec::new();
        emit(&mut pieces, piece);
        pieces
    }

    /// One transition; whether there may be another with what is held.
    fn step(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start => self.start(),
            State::Unsure => self.decide(pieces),
            State::Reasoning { begun } => self.reason(begun, pieces),
            State::Gap => {
                self.skip_white_space();
                if self.held.is_empty() {
                    return false;
                }
                self.begin(State::Answer { stray: false })
            }
            State::Answer { stray } => self.answer(stray, pieces),
        }
    }

    fn start(&mut self) -> bool {
        self.skip_white_space();
        if let Some(length) = tag_at(&self.held, &CLOSING) {
            self.held.drain(..length);
            self.state = State::Gap;
            return true;
        }
        if may_become(&self.held, &CLOSING) {
            return false;
        }
        self.begin(State::Answer { stray: true })
    }

    fn decide(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let (opening, closing) = (find(&self.held, &OPENING), find(&self.held, &CLOSING));
        match (opening, closing) {
            (Some((at, length)), closing) if closing.is_none_or(|(other, _)| at < other) => {
                emit(pieces, Piece::Text(self.held[..at].trim_start().to_owned()));
                self.held.drain(..at + length);
                self.state = State::Reasoning { begun: false };
            }
            (_, Some((at, length))) => {
                emit(pieces, Piece::Reasoning(self.held[..at].trim().to_owned()));
                self.held.drain(..at + length);
                self.stray = true;
                self.state = State::Gap;
            }
            _ => return false,
        }
        true
    }

    /// Goes on with reasoning if it opens here, else with the answer; false while that is open.
    fn begin(&mut self, answer: State) -> bool {
        if let Some(length) = tag_at(&self.held, &OPENING) {
            self.held.drain(..length);
            self.state = State::Reasoning { begun: false };
        } else if may_become(&self.held, &OPENING) {
            return false;
        } else {
            self.state = answer;
        }
        true
    }

    fn reason(&mut self, begun: bool, pieces: &mut Vec<Piece>) -> bool {
        if !begun {
            self.skip_white_space();
        }
        let closing = find(&self.held, &CLOSING);
        let until = closing.map_or_else(|| certain(&self.held, &CLOSING), |(at, _)| at);
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

    fn answer(&mut self, stray: bool, pieces: &mut Vec<Piece>) -> bool {
        let opening = find(&self.held, &OPENING);
        let closing = find(&self.held, &CLOSING).filter(|(at, _)| opening.is_none_or(|(other, _)| *at < other));
        let unsure = certain(&self.held, &CLOSING).min(certain(&self.held, &OPENING));
        let until = closing.or(opening).map_or(unsure, |(at, _)| at);
        emit(pieces, Piece::Text(self.held[..until].to_owned()));
        let length = closing.or(opening).map_or(0, |(_, length)| length);
        self.held.drain(..until + length);
        self.stray |= stray && closing.is_some();
        self.state = match (closing, opening) {
            (Some(_), _) => State::Answer { stray: false },
            (None, Some(_)) => State::Reasoning { begun: false },
            (None, None) => State::Answer { stray },
        };
        closing.or(opening).is_some()
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
    text.match_indices(BRACKETS).find_map(|(at, _)| tag_at(&text[at..], tags).map(|length| (at, length)))
}

/// How much of `text` cannot be the beginning of such a tag.
fn certain(text: &str, tags: &[&str]) -> usize {
    text.rfind(BRACKETS).filter(|&at| may_become(&text[at..], tags)).unwrap_or(text.len())
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
        split_by(ReasonSplitter::new(), parts)
    }

    fn split_by<'a>(mut splitter: ReasonSplitter, parts: impl IntoIterator<Item = &'a str>) -> (String, String) {
        let mut pieces: Vec<Piece> = parts.into_iter().flat_map(|part| splitter.push(part)).collect();
        pieces.extend(splitter.finish());
        let (mut reasoning, mut answer) = (String::new(), String::new());
        for piece in pieces {
            match piece {
                Piece::Reasoning(text) => reasoning.push_str(&text),
                Piece::Text(text) => answer.push_str(&text),
            }
        }
        (reasoning, answer)
    }

    const CASES: [(&str, &str, &str); 16] = [
        ("<think>看来源[1]。\n国内站适用。</think>\n\n保证金是 1000 元[1]。", "看来源[1]。\n国内站适用。", "保证金是 1000 元[1]。"),
        (" \n<THINK>\n a < b, so </thin air> \n</Think>  yes", "a < b, so </thin air>", "yes"),
        ("<thinking>one</thinking>two", "one", "two"),
        ("<reasoning>one</reasoning>\ntwo </reasoning>", "one", "two "),
        ("<think></think>\n\nanswer", "", "answer"),
        ("<think>never closed </think", "never closed </think", ""),
        ("<think>only\n\n", "only", ""),
        ("no tags < here", "", "no tags < here"),
        ("the tag <think> in a text</b>", "in a text</b>", "the tag "),
        ("好。<think>再想</think> 答案[1]。", "再想", "好。答案[1]。"),
        ("a <thinly> veiled <th", "", "a <thinly> veiled <th"),
        ("</think>\nanswer", "", "answer"),
        ("prefilled reasoning</think>\nanswer</think>", "", "prefilled reasoning\nanswer"),
        ("<thin", "", "<thin"),
        ("  \n ", "", ""),
        ("<think>a</think>\n<think>b</think>c", "ab", "c"),
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

    #[test]
    fn reasoning_whose_opening_tag_is_in_the_prompt_is_told_from_the_answer() {
        for output in ["机密\n推理</think>\n\n答案", "机密\n推理</THINKING>答案"] {
            let letters: Vec<String> = output.chars().map(String::from).collect();
            let told = split_by(ReasonSplitter::inside(), letters.iter().map(String::as_str));
            assert_eq!(told, ("机密\n推理".into(), "答案".into()));
        }
        let mut splitter = ReasonSplitter::new();
        splitter.push("早已说出</think>答案");
        assert!(splitter.saw_stray());
    }

    #[test]
    fn a_model_that_may_think_is_told_by_the_first_tag_wherever_it_is_cut() {
        for (output, reasoning, answer) in [
            ("机密\n推理</think>\n\n答案</think>[1]。", "机密\n推理", "答案[1]。"),
            ("<think>机密</think>答案", "机密", "答案"),
            ("好。<think>机密</think>答案", "机密", "好。答案"),
            (" 没有标签的答案 <b", "", "没有标签的答案 <b"),
        ] {
            let letters: Vec<String> = output.chars().map(String::from).collect();
            for parts in [letters.iter().map(String::as_str).collect::<Vec<_>>(), vec![output]] {
                assert_eq!(split_by(ReasonSplitter::unsure(), parts), (reasoning.into(), answer.into()), "{output}");
            }
        }
        let mut splitter = ReasonSplitter::unsure();
        assert!(splitter.push("保证金").is_empty());
        splitter.sure();
        assert_eq!(splitter.push("是"), [Piece::Text("保证金是".into())], "the provider has told its reasoning elsewhere");
    }

    /// What stands between tags, and what between those: neither has a letter of the other's.
    fn output() -> impl Strategy<Value = (String, String)> {
        let tags = prop::sample::select(vec![("<think>", "</think>"), ("<Thinking>", "</THINKING>"), ("<reasoning>", "</reasoning>")]);
        let block = (tags, "[机密<>thinkrea \n]{0,12}", "[答案甲<> \n]{0,8}");
        prop::collection::vec(block, 1..4).prop_map(|blocks| {
            let (mut whole, mut answer) = (String::new(), String::new());
            for ((open, close), secret, said) in blocks {
                whole.push_str(&format!("{open}机{secret}密{close}{said}"));
                answer.push_str(&said);
            }
            (whole, answer)
        })
    }

    /// `text` cut at these places.
    fn cut(text: &str, cuts: &[prop::sample::Index]) -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(chars.len() + 1)).collect();
        places.extend([0, chars.len()]);
        places.sort_unstable();
        places.windows(2).map(|pair| chars[pair[0]..pair[1]].iter().collect()).collect()
    }

    proptest! {
        #[test]
        fn hidden_reasoning_is_never_text_wherever_the_output_is_cut(
            (whole, answer) in output(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24)
        ) {
            let parts = cut(&whole, &cuts);
            let (_, said) = split(parts.iter().map(String::as_str));
            prop_assert!(!said.contains(['机', '密', 't', 'h', 'r']), "{said:?} of {whole:?}");
            let told = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(told(&said), told(&answer));
        }

        #[test]
        fn cutting_changes_nothing(
            parts in prop::collection::vec("(<think>|</think>|</THINKING>|<|/|think|>|[ \n]|[a中]){0,4}", 0..8)
        ) {
            let whole = parts.concat();
            prop_assert_eq!(split(parts.iter().map(String::as_str)), split([whole.as_str()]));
            let unsure = |parts: Vec<&str>| split_by(ReasonSplitter::unsure(), parts);
            prop_assert_eq!(unsure(parts.iter().map(String::as_str).collect()), unsure(vec![whole.as_str()]));
        }
    }
}
