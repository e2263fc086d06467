//! Entries, passages and the revision in SQL. Every function takes the tenant first.
use crate::db::Db;
use crate::error::Result;
use crate::ids::{Clock, EntryId, TenantId};
use super::{EntryDraft, KnowledgeEntry, Passage, Revision};

/// A passage as stored: with its vector, when its text has one.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPassage {
    /// The piece of text.
    pub passage: Passage,
    /// Its embedding.
    pub vector: Option<Vec<f32>>,
}

/// One entry to write, ready: id made, hash computed, passages embedded.
#[derive(Clone, Debug)]
pub struct EntryWrite {
    pub id: EntryId,
    pub draft: EntryDraft,
    pub question_key: String,
    pub content_hash: String,
    pub passages: Vec<StoredPassage>,
}

/// What changed to one entry since a revision.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: EntryId,
    pub revision: Revision,
    /// `None`: deleted.
    pub entry: Option<(KnowledgeEntry, Vec<StoredPassage>)>,
}

/// What the plan needs to know of a stored entry.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: EntryId,
    pub content_hash: String,
    pub question_key: String,
    /// Vectors were made by another embedder than the current one.
    pub stale_vectors: bool,
}

/// Which entries a deletion means.
#[derive(Clone, Debug)]
pub enum Selection {
    Ids(Vec<EntryId>),
    Source(String),
    All,
}

#[derive(Clone, Debug)]
pub struct KnowledgeStore { db: Db, clock: Clock }

impl KnowledgeStore {
    pub fn new(db: Db, clock: Clock) -> Self { Self { db, clock } }
    pub async fn revision(&self) -> Result<Revision> { unimplemented!() }
    /// Writes and deletes in one transaction under one new revision; returns it (the current one when there is nothing to do).
    pub async fn commit(&self, tenant: &TenantId, embedder: &str, writes: &[EntryWrite], deletes: &[EntryId]) -> Result<Revision> { unimplemented!() }
    pub async fn changes(&self, tenant: &TenantId, after: Revision, limit: usize) -> Result<Vec<Change>> { unimplemented!() }
    pub async fn entries(&self, tenant: &TenantId, ids: &[EntryId]) -> Result<Vec<KnowledgeEntry>> { unimplemented!() }
    /// Live entries with these ids.
    pub async fn known(&self, tenant: &TenantId, embedder: &str, ids: &[EntryId]) -> Result<Vec<Known>> { unimplemented!() }
    /// Live entries (full) whose normalised standard question is one of these keys.
    pub async fn with_question_keys(&self, tenant: &TenantId, keys: &[String]) -> Result<Vec<KnowledgeEntry>> { unimplemented!() }
    /// A page of live entries in id order, for export.
    pub async fn page(&self, tenant: &TenantId, after: Option<&EntryId>, limit: usize) -> Result<Vec<KnowledgeEntry>> { unimplemented!() }
    /// Ids of live entries in the selection.
    pub async fn selected(&self, tenant: &TenantId, selection: &Selection) -> Result<Vec<EntryId>> { unimplemented!() }
}
