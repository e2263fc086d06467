//! What divides reasoning from an answer in a model's text (pure): tags as models write them, and the tokens of
//! gpt-oss's format ("harmony") where a server has left them in.

/// What a mark does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Reasoning begins.
    Opens,
    /// Reasoning ends.
    Closes,
    /// The answer begins, whatever stood before.
    Answers,
    /// Ends a message or begins one: where reasoning was, it is over, and else it only goes.
    Stands,
    /// Opens nothing and ends nothing: it only goes.
    Empty,
}

/// Names of tags. `seed:think` is what the chat template of Seed-OSS writes.
const NAMES: [&str; 5] = ["think", "thinking", "reasoning", "thought", "seed:think"];
/// Marks of one spelling: those of Kimi's thinking models, and tokens of gpt-oss.
const EXACT: [(&str, Mark); 6] = [
    ("◁think▷", Mark::Opens),
    ("◁/think▷", Mark::Closes),
    ("<|end|>", Mark::Stands),
    ("<|return|>", Mark::Stands),
    ("<|call|>", Mark::Stands),
    (MESSAGE, Mark::Empty),
];
const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
/// What ends the head of a channel, its own message first.
const HEAD_ENDS: [&str; 6] = [MESSAGE, START, CHANNEL, "<|end|>", "<|return|>", "<|call|>"];
/// The channel that is the answer.
const FINAL: &str = "final";
/// What marks begin with.
const BRACKETS: [char; 2] = ['<', '◁'];
/// Longest attributes of a tag, in bytes: so much may be held back for one.
const LONGEST: usize = 96;

/// What a text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// A mark of that length.
    Mark(Mark, usize),
    /// More text may make it one.
    Open,
    Nothing,
}

/// How much of `text` is certainly none of a mark, and the mark behind that with its length, if it is whole.
pub(super) fn next_mark(text: &str) -> (usize, Option<(Mark, usize)>) {
    for (at, _) in text.match_indices(BRACKETS) {
        match mark_at(&text[at..]) {
            Met::Mark(mark, length) => return (at, Some((mark, length))),
            Met::Open => return (at, None),
            Met::Nothing => {}
        }
    }
    (text.len(), None)
}

/// `text` without its marks, and without a description of a channel that was cut short.
pub(super) fn bare(mut text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    loop {
        let (at, mark) = next_mark(text);
        out.push_str(&text[..at]);
        match mark {
            Some((_, length)) => text = &text[at + length..],
            None => {
                let cut_short = text[at..].starts_with(CHANNEL) || text[at..].starts_with(START);
                out.push_str(if cut_short { "" } else { &text[at..] });
                return out;
            }
        }
    }
}

fn mark_at(text: &str) -> Met {
    let exact = EXACT.iter().map(|(token, mark)| match behind(text, token) {
        Behind::This(_) => Met::Mark(*mark, token.len()),
        Behind::Cut => Met::Open,
        Behind::Other => Met::Nothing,
    });
    let met = exact.chain([start(text), channel(text)]).chain(NAMES.iter().map(|name| tag(text, name)));
    met.fold(Met::Nothing, |best, met| match (best, met) {
        (Met::Mark(..), _) | (_, Met::Nothing) => best,
        _ => met,
    })
}

/// `<name>`, `</name>` and `<name/>`, in any case and with attributes.
fn tag(text: &str, name: &str) -> Met {
    let Some(inner) = text.strip_prefix('<') else { return Met::Nothing };
    let (inner, mark) = inner.strip_prefix('/').map_or((inner, Mark::Opens), |inner| (inner, Mark::Closes));
    let rest = match behind(inner, name) {
        Behind::This(rest) => rest,
        Behind::Cut => return Met::Open,
        Behind::Other => return Met::Nothing,
    };
    let named = text.len() - rest.len();
    match rest.chars().next() {
        None => Met::Open,
        Some(c) if c != '>' && c != '/' && !c.is_whitespace() => Met::Nothing,
        Some(_) => match rest.find(['<', '>']) {
            Some(at) if at > LONGEST || !rest[at..].starts_with('>') => Met::Nothing,
            // It holds nothing.
            Some(at) if mark == Mark::Opens && rest[..at].ends_with('/') => Met::Mark(Mark::Empty, named + at + 1),
            Some(at) => Met::Mark(mark, named + at + 1),
            None if rest.len() <= LONGEST => Met::Open,
            None => Met::Nothing,
        },
    }
}

/// Who says a message.
fn start(text: &str) -> Met {
    const ROLE: &str = "assistant";
    match behind(text, START) {
        Behind::This(rest) => match behind(rest, ROLE) {
            Behind::This(_) => Met::Mark(Mark::Stands, START.len() + ROLE.len()),
            Behind::Cut => Met::Open,
            Behind::Other => Met::Mark(Mark::Stands, START.len()),
        },
        Behind::Cut => Met::Open,
        Behind::Other => Met::Nothing,
    }
}

/// A channel up to its message. All but the final one are the model's own business: analysis, calls of tools. However long
/// its description is, it is waited for: told, it would be words of the answer, and taken for too long, its end would be one
/// of the reasoning's.
fn channel(text: &str) -> Met {
    let rest = match behind(text, CHANNEL) {
        Behind::This(rest) => rest,
        Behind::Cut => return Met::Open,
        Behind::Other => return Met::Nothing,
    };
    let ends = HEAD_ENDS.iter().filter_map(|end| Some((rest.find(end)?, *end)));
    let Some((at, end)) = ends.min() else { return Met::Open };
    let answers = rest[..at].trim_start().starts_with(FINAL);
    let message = if end == MESSAGE { MESSAGE.len() } else { 0 };
    Met::Mark(if answers { Mark::Answers } else { Mark::Opens }, CHANNEL.len() + at + message)
}

/// How a text begins, beside a word.
enum Behind<'a> {
    /// With it; what follows.
    This(&'a str),
    /// It is the word's beginning.
    Cut,
    Other,
}

fn behind<'a>(text: &'a str, word: &str) -> Behind<'a> {
    let same = text.len().min(word.len());
    if !text.as_bytes()[..same].eq_ignore_ascii_case(&word.as_bytes()[..same]) {
        return Behind::Other;
    }
    if same == word.len() { Behind::This(&text[same..]) } else { Behind::Cut }
}
