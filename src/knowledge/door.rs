//! Knowledge: the front door of the room. Built once from the config; cheap to clone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::gist::Gists;
use super::index::PassageIndex;
use super::index::lexical::LexicalIndex;
use super::index::vectors::VectorIndex;
use super::store::{KnowledgeStore, Selection, Stats};
use super::tuning::Tunings;
use super::words::Vocabulary;
use super::{KnowledgeEntry, Revision, places};
use crate::config::SearchConfig;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{Clock, EntryId, TenantId};
use crate::models::{Embedder, Reranking};

/// How long a search waits for indexes that are being brought up: a few times what a start takes.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What the room is built from.
pub struct KnowledgeParts {
    /// Where entries, passages and vectors are kept.
    pub db: Db,
    /// The time that validity is judged by.
    pub clock: Clock,
    /// Turns texts into vectors.
    pub embedder: Arc<dyn Embedder>,
    /// Puts the best rows in order, where one is configured.
    pub reranker: Option<Arc<Reranking>>,
    /// Where index folders live.
    pub index_dir: PathBuf,
    /// Weights and thresholds.
    pub search: SearchConfig,
}

/// What the shop knows: search it, change it, follow it.
#[derive(Clone)]
pub struct Knowledge(Arc<Inner>);

struct Inner {
    store: KnowledgeStore,
    clock: Clock,
    embedder: Arc<dyn Embedder>,
    reranker: Option<Arc<Reranking>>,
    lexical: LexicalIndex,
    semantic: VectorIndex,
    search: SearchConfig,
    index_dir: PathBuf,
    /// Held for as long as this process writes the index folder.
    lock: Mutex<Option<File>>,
    seen: AtomicI64,
    ready: watch::Sender<HashSet<TenantId>>,
    /// Countries that each tenant's rows are for.
    markets: Mutex<HashMap<TenantId, BTreeSet<&'static str>>>,
    vocabulary: Vocabulary,
    tunings: Tunings,
    gists: Gists,
    fresh: Mutex<HashSet<TenantId>>,
    nudge: Notify,
}

impl Knowledge {
    /// Opens the room; the indexes catch up with [`Knowledge::catch_up`].
    pub async fn open(parts: KnowledgeParts) -> Result<Self> {
        std::fs::create_dir_all(&parts.index_dir)?;
        let store = KnowledgeStore::new(parts.db, parts.clock.clone());
        let vocabulary = Vocabulary::default();
        let lexical = LexicalIndex::new(parts.index_dir.clone(), store.database_id().await?, vocabulary.clone());
        let knowledge = Self(Arc::new(Inner {
            store,
            clock: parts.clock,
            embedder: parts.embedder,
            reranker: parts.reranker,
            lexical,
            semantic: VectorIndex::default(),
            search: parts.search,
            index_dir: parts.index_dir,
            lock: Mutex::default(),
            seen: AtomicI64::new(-1),
            ready: watch::Sender::default(),
            markets: Mutex::default(),
            vocabulary,
            tunings: Tunings::default(),
            gists: Gists::default(),
            fresh: Mutex::default(),
            nudge: Notify::new(),
        }));
        knowledge.try_own_index()?;
        Ok(knowledge)
    }

    /// Takes the index folder's lock unless another process has it.
    pub fn try_own_index(&self) -> Result<bool> {
        let mut lock = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            let file = File::options().create(true).append(true).open(self.0.index_dir.join("lock"))?;
            match file.try_lock() {
                Ok(()) => {
                    *lock = Some(file);
                    self.0.lexical.reopen();
                }
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        self.0.lexical.set_writable(lock.is_some());
        Ok(lock.is_some())
    }

    /// Whether this process writes the index folder.
    pub fn owns_index(&self) -> bool {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Where another process leaves its wish that this tenant's indexes be built again.
    pub(super) fn rebuild_wish(&self, tenant: &TenantId) -> PathBuf {
        self.0.index_dir.join(format!("{tenant}.rebuild"))
    }

    /// Held during an import, so that two into one tenant come one after the other.
    pub(super) fn import_lock(&self, tenant: &TenantId) -> PathBuf {
        self.0.index_dir.join(format!("{tenant}.import.lock"))
    }

    pub(super) fn reopen_lexical(&self) {
        self.0.lexical.reopen();
    }

    pub(super) fn legs(&self) -> (&dyn PassageIndex, &dyn PassageIndex) {
        (&self.0.lexical, &self.0.semantic)
    }

    /// What is kept of tunings, as far as this process has learnt it.
    pub(super) fn tunings(&self) -> &Tunings {
        &self.0.tunings
    }

    /// Weights and thresholds as configured; [`Knowledge::settings`] are those in force for a shop.
    pub fn search_config(&self) -> &SearchConfig {
        &self.0.search
    }

    pub(super) fn lexical(&self) -> &LexicalIndex {
        &self.0.lexical
    }

    /// The shops' own words, as far as this process has learnt them.
    pub(super) fn vocabulary(&self) -> &Vocabulary {
        &self.0.vocabulary
    }

    /// Rows as the decision sees them.
    pub(super) fn gists(&self) -> &Gists {
        &self.0.gists
    }

    /// Remembers which countries the tenant's rows are for.
    pub(super) async fn note_markets(&self, tenant: &TenantId) -> Result<()> {
        let markets = self.0.store.markets(tenant).await?;
        let countries = markets.iter().flat_map(|market| places::of_market(market)).collect();
        self.0.markets.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), countries);
        Ok(())
    }

    /// Countries that the tenant's rows are for.
    pub(super) fn markets(&self, tenant: &TenantId) -> BTreeSet<&'static str> {
        self.0.markets.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned().unwrap_or_default()
    }

    pub(super) fn saw_revision(&self, revision: Revision) {
        self.0.seen.store(revision, Ordering::Release);
    }

    /// The knowledge version the indexes have followed to.
    pub fn revision_seen(&self) -> Revision {
        self.0.seen.load(Ordering::Acquire)
    }

    pub(super) fn set_ready(&self, tenant: &TenantId) {
        self.0.ready.send_if_modified(|ready| ready.insert(tenant.clone()));
    }

    /// Whether the tenant can be searched.
    pub fn ready(&self, tenant: &TenantId) -> bool {
        self.0.ready.borrow().contains(tenant)
    }

    /// Waits until the tenant can be searched: an index that is still being brought up finds nothing, and
    /// "nothing" would be told as if it were so.
    ///
    /// # Errors
    /// `not_ready` when that takes longer than ten seconds.
    pub(super) async fn until_ready(&self, tenant: &TenantId) -> Result<()> {
        let mut changes = self.0.ready.subscribe();
        let ready = timeout(READY_WITHIN, changes.wait_for(|ready| ready.contains(tenant))).await;
        ready.map(drop).map_err(|_| Error::unavailable("not_ready", "The knowledge is being brought up. Ask again in a moment."))
    }

    pub(super) fn may_be_stale(&self, tenant: &TenantId) -> bool {
        !self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner).contains(tenant)
    }

    pub(super) fn set_fresh(&self, tenant: &TenantId) {
        self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone());
    }

    pub(super) async fn nudged(&self) {
        self.0.nudge.notified().await;
    }

    /// Tells the follower of this process that something was committed.
    pub fn nudge(&self) {
        self.0.nudge.notify_one();
    }

    /// One row, live or not yet valid; `entry_not_found` when it does not exist for this tenant.
    pub async fn entry(&self, tenant: &TenantId, id: &EntryId) -> Result<KnowledgeEntry> {
        let mut found = self.0.store.entries(tenant, std::slice::from_ref(id)).await?;
        found.pop().ok_or_else(|| Error::not_found("entry_not_found", format!("There is no entry `{id}`.")))
    }

    /// Counts of what is stored.
    pub async fn stats(&self, tenant: &TenantId) -> Result<Stats> {
        let mut stats = self.0.store.stats(tenant, self.0.embedder.id()).await?;
        let words = self.0.store.words(tenant).await?.words;
        (stats.words, stats.synonyms) = (words.words.len(), words.synonyms.len());
        stats.tuning = self.0.store.tuning(tenant).await?;
        Ok(stats)
    }

    /// Deletes the selected entries; returns how many and the revision. `by` is kept in their history.
    pub async fn delete(&self, tenant: &TenantId, selection: &Selection, by: &str) -> Result<(u64, Revision)> {
        let ids = self.0.store.selected(tenant, selection).await?;
        let revision = self.0.store.commit_by(tenant, self.0.embedder.id(), &[], &ids, by).await?;
        self.nudge();
        Ok((ids.len() as u64, revision))
    }

    /// The room's SQL.
    pub fn store(&self) -> &KnowledgeStore {
        &self.0.store
    }

    /// The current embedder.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.0.embedder
    }

    /// What puts the best rows in order, where one is configured.
    pub fn reranker(&self) -> Option<&Reranking> {
        self.0.reranker.as_deref()
    }

    /// The time that validity is judged by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }
}
