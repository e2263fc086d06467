//! Counts tokens before a call, as the model counts them. `o200k_base` is exact for current OpenAI
//! models and the reference for the rest: older ones have a vocabulary of their own; for all others the
//! count is an estimate on the high side, and says so.

use std::sync::{Arc, OnceLock};

use moka::sync::Cache;
use serde::Serialize;
use tiktoken_rs::CoreBPE;
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

use super::registry::BUILTIN;

/// The vocabularies: some megabytes each that take a moment to build, the same for everybody and never
/// changed, so one copy for the process. `None` if the compiled-in ranks could not be read.
static O200K: OnceLock<Option<Vocabulary>> = OnceLock::new();
static CL100K: OnceLock<Option<Vocabulary>> = OnceLock::new();

/// Bytes of pieces whose counts are kept, for each vocabulary.
const KEPT_BYTES: u64 = 4 << 20;
/// Bytes from which a piece is worth keeping: finding a short one takes as long as counting it.
const WORTH_KEEPING: usize = 24;

/// A vocabulary, and what it has counted: prompts are made of the same lines of templates and the same
/// answers again and again, and counting a prompt anew takes longer than finding its rows.
struct Vocabulary {
    ranks: CoreBPE,
    counted: Cache<Arc<str>, usize>,
}

impl Vocabulary {
    fn new(ranks: CoreBPE) -> Self {
        let weigh = |piece: &Arc<str>, _: &usize| u32::try_from(piece.len()).unwrap_or(u32::MAX);
        Self { ranks, counted: Cache::builder().weigher(weigh).max_capacity(KEPT_BYTES).build() }
    }

    fn count(&self, text: &str) -> usize {
        pieces(text).map(|piece| self.count_piece(piece)).sum()
    }

    fn count_piece(&self, piece: &str) -> usize {
        if piece.len() < WORTH_KEEPING {
            return self.ranks.encode_ordinary(piece).len();
        }
        if let Some(count) = self.counted.get(piece) {
            return count;
        }
        let count = self.ranks.encode_ordinary(piece).len();
        self.counted.insert(piece.into(), count);
        count
    }
}

/// Cuts after the newlines that text follows: no token reaches over such a place (property-tested; a slash
/// is the one sign that is joined to newlines before it), so that the pieces have as many tokens as the whole.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let starts = |(at, _): (usize, &str)| {
            rest[at + 1..].chars().next().is_some_and(|next| !next.is_whitespace() && next != '/').then_some(at + 1)
        };
        let end = rest.match_indices('\n').find_map(starts).unwrap_or(rest.len());
        let piece = &rest[..end];
        rest = &rest[end..];
        (!piece.is_empty()).then_some(piece)
    })
}

/// Tokens that a wire adds around each message, and once for the answer's beginning.
const AROUND_A_MESSAGE: usize = 4;
const AROUND_ALL: usize = 3;
/// What an unknown vocabulary may need, in percent of the reference.
const ESTIMATED_PERCENT: usize = 125;

/// Which vocabulary a model counts with, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// OpenAI since GPT-4o: exact.
    O200k,
    /// OpenAI before that: exact.
    Cl100k,
    /// Anything else: estimated from the reference.
    Estimated,
    /// The built-in model, which reads no tokens and costs nothing: by characters, so that a server without another
    /// model keeps no vocabulary in memory.
    Rough,
}

impl Family {
    /// The family of a model by its name.
    pub fn of(model: &str) -> Self {
        // Gateways name models `provider/model`.
        let name = model.rsplit('/').next().unwrap_or(model);
        match get_tokenizer(name) {
            _ if name == BUILTIN => Self::Rough,
            Some(Tokenizer::O200kBase | Tokenizer::O200kHarmony) => Self::O200k,
            Some(Tokenizer::Cl100kBase) => Self::Cl100k,
            _ => Self::Estimated,
        }
    }

    /// Whether counts are those of the provider.
    pub fn is_exact(self) -> bool {
        matches!(self, Self::O200k | Self::Cl100k)
    }

    /// Tokens in `text`.
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::O200k => count(text),
            Self::Cl100k => count_with(cl100k(), text),
            Self::Estimated => (count(text) * ESTIMATED_PERCENT).div_ceil(100),
            Self::Rough => estimate(text),
        }
    }

    /// Tokens of these texts as messages.
    pub fn count_messages<'a>(self, texts: impl Iterator<Item = &'a str>) -> usize {
        texts.map(|text| self.count_message(text)).sum::<usize>() + AROUND_ALL
    }

    /// Tokens of a text as a message.
    pub fn count_message(self, text: &str) -> usize {
        self.count(text) + AROUND_A_MESSAGE
    }
}

/// What a prompt may have, in the tokens of every family that may have to read it: a model's own, and
/// those of the models that stand in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget(Vec<(Family, usize)>);

impl Budget {
    /// So many tokens of each family, the answering model's first; of one named twice, the fewer.
    pub fn new(limits: impl IntoIterator<Item = (Family, usize)>) -> Self {
        let mut all: Vec<(Family, usize)> = Vec::new();
        for (family, tokens) in limits {
            match all.iter_mut().find(|(known, _)| *known == family) {
                Some((_, least)) => *least = tokens.min(*least),
                None => all.push((family, tokens)),
            }
        }
        Self(all)
    }

    /// What the answering model may have.
    pub fn tokens(&self) -> usize {
        self.0.first().map_or(0, |(_, tokens)| *tokens)
    }

    /// Takes these messages out of it; false, and nothing is taken, when they do not fit for everybody.
    pub fn take(&mut self, texts: &[&str]) -> bool {
        let costs: Vec<usize> = self.0.iter().map(|(family, _)| texts.iter().map(|text| family.count_message(text)).sum()).collect();
        let fits = self.0.iter().zip(&costs).all(|((_, left), cost)| cost <= left);
        if fits {
            self.0.iter_mut().zip(&costs).for_each(|((_, left), cost)| *left -= cost);
        }
        fits
    }

    /// Leaves nothing of it.
    pub fn exhaust(&mut self) {
        self.0.iter_mut().for_each(|(_, left)| *left = 0);
    }
}

/// Builds the vocabulary now, so that the first question does not wait for it. Takes a moment of
/// computation, and some fifty megabytes: only where a model is configured that is counted by it.
pub fn warm() {
    o200k();
}

/// Tokens in `text` by the reference; special tokens written in it count as ordinary text.
pub fn count(text: &str) -> usize {
    if text.is_empty() { 0 } else { count_with(o200k(), text) }
}

/// Whether these have no more than `budget` tokens by a rough count on the high side, which needs no vocabulary: most that
/// is asked about fits by far.
pub fn fit<'a>(texts: impl IntoIterator<Item = &'a str>, budget: usize) -> bool {
    texts.into_iter().map(estimate).sum::<usize>() <= budget
}

fn count_with(vocabulary: Option<&Vocabulary>, text: &str) -> usize {
    match vocabulary {
        Some(vocabulary) => vocabulary.count(text),
        None => estimate(text),
    }
}

fn o200k() -> Option<&'static Vocabulary> {
    O200K.get_or_init(|| usable(tiktoken_rs::o200k_base())).as_ref()
}

fn cl100k() -> Option<&'static Vocabulary> {
    CL100K.get_or_init(|| usable(tiktoken_rs::cl100k_base())).as_ref()
}

fn usable<E: std::fmt::Display>(built: Result<CoreBPE, E>) -> Option<Vocabulary> {
    built
        .inspect_err(|error| tracing::error!(%error, "a token vocabulary could not be read; tokens are estimated"))
        .ok()
        .map(Vocabulary::new)
}

/// A rough count on the high side: a token a character outside ASCII, one per three bytes inside.
fn estimate(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    text.chars().filter(|c| !c.is_ascii()).count() + ascii.div_ceil(3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_have_as_many_tokens_as_the_whole(text in "([a-z保证金。，!-/:0-9' \\t\\r\\n\u{a0}\u{2028}\u{3000}é]|\\PC|\n){0,60}") {
            prop_assert_eq!(pieces(&text).collect::<String>(), text.as_str());
            for vocabulary in [o200k().unwrap(), cl100k().unwrap()] {
                let whole = vocabulary.ranks.encode_ordinary(&text).len();
                prop_assert_eq!(vocabulary.count(&text), whole);
                prop_assert_eq!(vocabulary.count(&text), whole, "from what is kept");
            }
        }
    }

    const TEXTS: [&str; 3] = [
        "商家入驻需要缴纳多少保证金？普通店 10,000 元，跨境店按类目另算，15 天内可以申请退还。",
        "How long does a refund take to arrive? It depends on the bank: usually 3 to 7 working days.",
        "订单 2026-1125 的面单 (label) 怎么重新打印？",
    ];

    #[test]
    fn counts_chinese_and_english() {
        warm();
        assert_eq!(count(""), 0);
        assert_eq!(count("hello world"), 2);
        let tokens = count("商家入驻需要缴纳多少保证金？");
        assert!((5..=14).contains(&tokens), "{tokens}");
        assert!(count("<|endoftext|>") > 1, "a special token in a question is just text");
    }

    #[test]
    fn the_estimate_is_not_lower_than_the_count() {
        for text in TEXTS {
            assert!(estimate(text) >= count(text), "{text}");
            assert!(fit([text, ""], estimate(text)) && !fit([text, "a"], estimate(text)));
        }
    }

    #[test]
    fn a_name_tells_its_family() {
        for (model, family) in [
            ("gpt-4.1-mini", Family::O200k),
            ("openai/gpt-4o-mini", Family::O200k),
            ("o3", Family::O200k),
            ("gpt-4-turbo", Family::Cl100k),
            ("gpt-35-turbo-16k", Family::Cl100k),
            ("qwen-plus", Family::Estimated),
            ("claude-sonnet-5", Family::Estimated),
            ("my deployment", Family::Estimated),
            ("builtin", Family::Rough),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
            assert_eq!(family.is_exact(), matches!(family, Family::O200k | Family::Cl100k));
        }
    }

    #[test]
    fn a_budget_is_kept_for_every_family_that_may_read() {
        for text in TEXTS {
            let exact = Family::O200k.count_message(text);
            let own = Budget::new([(Family::O200k, exact)]);
            assert!(own.clone().take(&[text]), "{text}");
            // The same number of an estimated family's tokens holds less, and so does a stand-in's.
            assert!(!Budget::new([(Family::Estimated, exact)]).take(&[text]), "{text}");
            let mut both = Budget::new([(Family::O200k, exact), (Family::Estimated, exact)]);
            let before = both.clone();
            assert!(!both.take(&[text]) && both == before && both.tokens() == exact, "{text}");
        }
        let mut budget = Budget::new([(Family::O200k, 20), (Family::O200k, 12)]);
        assert!(budget.take(&["hello world"]) && budget.tokens() == 6 && !budget.take(&["hello big world"]));
        assert_eq!(Family::O200k.count_messages(["hello world", ""].into_iter()), 2 + 2 * 4 + 3);
    }
}
