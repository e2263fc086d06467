//! What the shop knows: entries come in through [`read`] → [`plan`] → [`ingest`], are kept as
//! passages with vectors in the database, are followed by the indexes ([`follow`]), and are found by
//! [`search`]. [`Knowledge`] is the front door.

use serde::{Deserialize, Serialize};

use crate::ids::{EntryId, Timestamp};

pub mod book;
pub mod commit_store;
pub mod decide;
pub mod edit;
pub mod embedders;
mod events_store;
pub mod cases;
pub mod evaluate;
pub mod export;
mod fold;
pub mod follow;
pub mod fuse;
pub mod gist;
mod guards;
pub mod imports;
pub mod index;
pub mod ingest;
pub mod list_store;
mod near;
mod near_store;
mod owner;
pub mod places;
pub mod plan;
pub mod read;
pub mod report;
mod rerank;
pub mod search;
pub mod split;
pub mod starter;
pub mod store;
pub mod text;
pub mod tuning;
pub mod versions;
pub mod words;

mod door;

pub use door::{Knowledge, KnowledgeParts};
pub use search::{Query, SearchOutcome, SearchTimings};

/// The content of one thing the shop knows: a question with its answer, or a section of a document
/// (whose question is its heading, or empty).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntryDraft {
    /// The row's own id, when the source has one.
    pub id: Option<String>,
    /// The standard question or heading; may be empty.
    pub question: String,
    /// The answer, as people read it.
    pub answer: String,
    /// Further phrasings.
    pub similar: Vec<String>,
    /// Phrasings that it does not answer.
    pub negative: Vec<String>,
    /// Topic.
    pub category: Option<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Only for this market; `None` is for all.
    pub market: Option<String>,
    /// Language tag, e.g. `zh`.
    pub locale: Option<String>,
    /// Served from then on.
    pub valid_from: Option<Timestamp>,
    /// Served up to and excluding then (a date without a time was already moved to the day's end).
    pub valid_to: Option<Timestamp>,
    /// Which file or system it came from.
    pub source: Option<String>,
    /// Where it is published.
    pub url: Option<String>,
    /// Answer with the row itself, without a model, when matched closely.
    pub direct: bool,
}

/// A stored [`EntryDraft`].
#[derive(Clone, Debug, PartialEq)]
pub struct KnowledgeEntry {
    /// Unique within the tenant: the row's own id, or one made from source and question.
    pub id: EntryId,
    /// Its content.
    pub draft: EntryDraft,
    /// SHA-256 of the normalised content; unchanged content is not embedded again.
    pub content_hash: String,
    /// The knowledge version that wrote it.
    pub revision: Revision,
    /// When it first came.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

impl EntryDraft {
    /// The question and its further phrasings.
    pub fn phrasings(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.question).chain(&self.similar).filter(|phrasing| !phrasing.is_empty())
    }
}

impl KnowledgeEntry {
    /// Whether it may be served at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.draft.valid_from.is_none_or(|from| from <= now) && self.draft.valid_to.is_none_or(|to| now < to)
    }
}

/// The knowledge version: grows by one with every commit of knowledge in the whole database.
pub type Revision = i64;

/// A retrievable piece of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Counts from 0 within the entry.
    pub seq: u32,
    /// What it is.
    pub kind: PassageKind,
    /// The text that is indexed and embedded.
    pub text: String,
}

/// What a passage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PassageKind {
    /// The standard question or a further phrasing of it.
    Phrasing,
    /// A piece of the answer.
    Body,
    /// A phrasing that the entry does not answer.
    Not,
    /// A few sentences of a long piece, found by meaning only: the piece as a whole is about too much.
    Sentence,
}

impl PassageKind {
    /// The word in storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phrasing => "phrasing",
            Self::Body => "body",
            Self::Not => "not",
            Self::Sentence => "sentence",
        }
    }
    /// Reads the word in storage.
    pub fn from_word(word: &str) -> Self {
        match word {
            "phrasing" => Self::Phrasing,
            "not" => Self::Not,
            "sentence" => Self::Sentence,
            _ => Self::Body,
        }
    }
}

/// How an answer may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The row itself is the answer; no model is called.
    Direct,
    /// A model answers from the sources.
    Grounded,
    /// The base does not know.
    None,
}

/// One entry that was found, with how each leg ranked it.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The entry.
    pub entry: KnowledgeEntry,
    /// The passage of it that matched best.
    pub passage: String,
    /// Confidence from 0 to 1; thresholds are on this scale.
    pub score: f32,
    /// The fused ranking score.
    pub fused: f32,
    /// Where the BM25 leg had it.
    pub lexical: Option<LegRank>,
    /// Where the vector leg had it.
    pub semantic: Option<LegRank>,
    /// How well the reranker says it answers; `None` when it was not asked.
    pub rerank: Option<f32>,
    /// What spoke for it.
    pub evidence: decide::Evidence,
    /// Its words, as the decision saw them.
    pub gist: std::sync::Arc<gist::Gist>,
    /// Entries that say the same and are not listed beside it.
    pub folded: Vec<EntryId>,
    /// Whether it is good enough to be a source.
    pub passed: bool,
    /// Why not, for people.
    pub reason: Option<String>,
    /// Words of the question that the entry has.
    pub matched: Vec<String>,
    /// Why the entry, though it may answer by itself and comes first, does not.
    pub direct_refused: Option<String>,
}

/// A place in one leg's ranking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LegRank {
    /// From 1; 0 when the leg did not list it among its candidates but could score it.
    pub rank: usize,
    /// The leg's own score: BM25, or cosine.
    pub score: f32,
    /// The leg's score over the entry's best passages together (the vector leg: the mean of three).
    #[serde(skip)]
    pub support: f32,
}
