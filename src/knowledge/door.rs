//! Knowledge: the front door of the room. Built once from the config; cheap to clone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::gist::Gists;
use super::index::PassageIndex;
use super::index::both::Index;
use super::index::lexical::LexicalIndex;
use super::index::qdrant::{Cluster, Shape};
use super::index::vectors::VectorIndex;
use super::owner::Owner;
use super::store::{KnowledgeStore, Selection, Stats};
use super::tuning::Tunings;
use super::words::Vocabulary;
use super::{KnowledgeEntry, Revision, places};
use crate::config::{IndexPlace, SearchConfig};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{Clock, EntryId, TenantId};
use crate::models::{Embedder, Reranking};

/// How long a search waits for indexes that are being brought up: a few times what a start takes.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How often a process looks at an index server though the database has not changed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

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
    /// Where index folders live, and locks.
    pub index_dir: PathBuf,
    /// Where the indexes are.
    pub index: IndexPlace,
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
    index: Index,
    search: SearchConfig,
    index_dir: PathBuf,
    /// Taken by the process that writes the indexes.
    owner: Owner,
    looked: Mutex<Instant>,
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
        let database = store.database_id().await?;
        let file = parts.index_dir.join("lock");
        let (index, owner) = match &parts.index {
            IndexPlace::Embedded => {
                let lexical = Box::new(LexicalIndex::new(parts.index_dir.clone(), database, vocabulary.clone()));
                (Index::Embedded { lexical, semantic: VectorIndex::default() }, Owner::by_file(file))
            }
            IndexPlace::Qdrant { url, config } => {
                let embedder = &parts.embedder;
                let shape = Shape { database: &database, embedder: embedder.id(), dimensions: embedder.dimensions() };
                let cluster = Cluster::new(url, config, shape, vocabulary.clone())?;
                let owner = match &store.db {
                    db @ Db::Postgres(_) => Owner::by_database(db.clone(), format!("index of {}", cluster.name())),
                    Db::Sqlite(_) => Owner::by_file(file),
                };
                (Index::of(cluster), owner)
            }
        };
        let knowledge = Self(Arc::new(Inner {
            store,
            clock: parts.clock,
            embedder: parts.embedder,
            reranker: parts.reranker,
            index,
            search: parts.search,
            index_dir: parts.index_dir,
            owner,
            looked: Mutex::new(Instant::now()),
            seen: AtomicI64::new(-1),
            ready: watch::Sender::default(),
            markets: Mutex::default(),
            vocabulary,
            tunings: Tunings::default(),
            gists: Gists::default(),
            fresh: Mutex::default(),
            nudge: Notify::new(),
        }));
        knowledge.try_own_index().await?;
        Ok(knowledge)
    }

    /// Takes the index's lock unless another process has it.
    pub async fn try_own_index(&self) -> Result<bool> {
        let before = self.owns_index();
        let owns = self.0.owner.take().await?;
        if let Some(folder) = self.0.index.folder() {
            if owns && !before {
                folder.reopen();
            }
            folder.set_writable(owns);
        }
        Ok(owns)
    }

    /// Whether this process writes the index.
    pub fn owns_index(&self) -> bool {
        self.0.owner.owns()
    }

    /// Whether the index can be reached, where it is on a server; says what answered.
    ///
    /// # Errors
    /// `index_unreachable`, `index_refused`.
    pub async fn check_index(&self) -> Result<Option<String>> {
        let Some(cluster) = self.0.index.cluster() else { return Ok(None) };
        let version = cluster.check().await?;
        Ok(Some(format!("Qdrant {version}, collection {}", cluster.name())))
    }

    /// Whether it is time to look at the server again though nothing has changed here: a collection can be
    /// lost or cleared by others.
    pub(super) fn should_look(&self) -> bool {
        let mut looked = self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.0.index.cluster().is_some() && looked.elapsed() > LOOK_AGAIN;
        if due {
            *looked = Instant::now();
        }
        due
    }

    /// Where another process leaves its wish that this tenant's indexes be built again.
    pub(super) fn rebuild_wish(&self, tenant: &TenantId) -> PathBuf {
        self.0.index_dir.join(format!("{tenant}.rebuild"))
    }

    /// Held during an import, so that two into one tenant come one after the other.
    pub(super) fn import_lock(&self, tenant: &TenantId) -> PathBuf {
        self.0.index_dir.join(format!("{tenant}.import.lock"))
    }

    /// Both legs.
    pub(super) fn index(&self) -> &Index {
        &self.0.index
    }

    pub(super) fn reopen_lexical(&self) {
        if let Some(folder) = self.0.index.folder() {
            folder.reopen();
        }
    }

    pub(super) fn legs(&self) -> (&dyn PassageIndex, &dyn PassageIndex) {
        (self.0.index.lexical(), self.0.index.semantic())
    }

    /// What is kept of tunings, as far as this process has learnt it.
    pub(super) fn tunings(&self) -> &Tunings {
        &self.0.tunings
    }

    /// Weights and thresholds as configured; [`Knowledge::settings`] are those in force for a shop.
    pub fn search_config(&self) -> &SearchConfig {
        &self.0.search
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
    /// `not_ready` when that takes longer than ten seconds; at once what is wrong with an index server.
    pub(super) async fn until_ready(&self, tenant: &TenantId) -> Result<()> {
        if !self.ready(tenant) {
            self.check_index().await?;
        }
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
