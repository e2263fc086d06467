//! What of a row the decision looks at, computed once per row and kept: its words, its phrasings as
//! words, its numbers and the countries it names. Cutting a row into words takes far longer than
//! comparing them, and the same rows are looked at again and again.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use moka::sync::Cache;

use super::guards::{self, Amounts};
use super::words::Terms;
use super::{EntryDraft, KnowledgeEntry, decide, places, text};
use crate::ids::TenantId;

/// Rows kept; a row takes a few kilobytes.
const KEPT: u64 = 10_000;

/// A word by its hash: comparing needs no more.
pub type Word = u64;

/// Words are hashes already and are not hashed again.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// Distinct words.
pub type Words = HashSet<Word, BuildHasherDefault<AsItIs>>;

/// A phrasing as the decision sees it.
#[derive(Debug, Default)]
pub struct Phrasing {
    /// Its distinct words, with whether they only ask.
    pub words: Vec<(Word, bool)>,
    /// Those of them that tell, in order.
    pub telling: Vec<Word>,
    /// How many words turn it round.
    pub turns: usize,
    /// Its amounts.
    pub amounts: Amounts,
}

/// A row as the decision sees it.
#[derive(Debug, Default)]
pub struct Gist {
    /// The phrasings.
    pub phrasings: Vec<Phrasing>,
    /// `text::question_key` of each phrasing, hashed.
    pub keys: Words,
    /// The same of the phrasings that the row does not answer.
    pub not_keys: Words,
    /// The distinct words of the answer.
    pub answer: Words,
    /// How many words turn the answer round.
    pub answer_turns: usize,
    /// Every amount of the row.
    pub amounts: Amounts,
    /// Every word of the row.
    pub words: Words,
    /// Every number of the row.
    pub numbers: HashSet<String>,
    /// Countries the row names, its market included.
    pub places: BTreeSet<&'static str>,
}

impl Gist {
    /// Of a row's content, in the common words.
    pub fn of(draft: &EntryDraft) -> Self {
        Self::in_terms(draft, &Terms::default())
    }

    /// Of a row's content, in the words of its shop.
    pub fn in_terms(draft: &EntryDraft, terms: &Terms) -> Self {
        let phrasing = |text: &String| {
            let words = distinct(&terms.tokens(text));
            let mut telling: Vec<Word> = words.iter().filter(|(_, asks)| !asks).map(|(word, _)| *word).collect();
            telling.sort_unstable();
            Phrasing { words, telling, turns: guards::turns(text), amounts: guards::amounts(text) }
        };
        let phrasings: Vec<Phrasing> = draft.phrasings().map(phrasing).collect();
        let labels = draft.category.iter().chain(&draft.tags).chain(&draft.market);
        let answer: Words = terms.tokens(&draft.answer).iter().map(|token| word(token)).collect();
        let labels = labels.flat_map(|text| terms.tokens(text)).map(|token| word(&token));
        let words = phrasings
            .iter()
            .flat_map(|phrasing| &phrasing.words)
            .map(|(word, _)| *word)
            .chain(answer.iter().copied())
            .chain(labels)
            .collect();
        let whole: Vec<&String> = draft.phrasings().chain([&draft.answer]).collect();
        let keys = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| word(&text::question_key(text))).collect();
        let mut amounts = guards::amounts(&draft.answer);
        for (unit, values) in phrasings.iter().flat_map(|phrasing| &phrasing.amounts) {
            amounts.entry(unit).or_default().extend(values.iter().cloned());
        }
        Self {
            amounts,
            answer_turns: guards::turns(&draft.answer),
            keys: keys(&mut draft.phrasings()),
            not_keys: keys(&mut draft.negative.iter()),
            numbers: whole.iter().flat_map(|text| text::numbers(text)).collect(),
            places: whole.iter().copied().chain(&draft.market).flat_map(|text| places::named(text)).collect(),
            phrasings,
            answer,
            words,
        }
    }
}

/// The distinct words of a text, with whether they only ask.
pub fn distinct(tokens: &[String]) -> Vec<(Word, bool)> {
    let mut seen = HashSet::new();
    tokens.iter().filter(|token| seen.insert(token.as_str())).map(|token| (word(token), decide::is_asking(token))).collect()
}

/// A word's hash.
pub fn word(token: &str) -> Word {
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    hasher.finish()
}

/// Gists of the rows looked at last.
pub struct Gists(Cache<(TenantId, Word, Word), Arc<Gist>>);

impl Default for Gists {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl Gists {
    /// A row's gist; a row that changed has another hash and is looked at anew, as is every row when the
    /// shop's words have changed.
    pub fn get(&self, tenant: &TenantId, entry: &KnowledgeEntry, terms: &Terms) -> Arc<Gist> {
        let state = format!("{}{}", entry.content_hash, terms.fingerprint());
        let key = (tenant.clone(), word(entry.id.as_str()), word(&state));
        self.0.get_with(key, || Arc::new(Gist::in_terms(&entry.draft, terms)))
    }
}
