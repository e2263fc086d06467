//! Knowledge: the front door of the room. Built once from the config; cheap to clone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::embedders::change::Renewer;
use super::embedders::{Home, Spaces};
use super::gist::Gists;
use super::index::lexical::LexicalIndex;
use super::owner::Owner;
use super::store::{KnowledgeStore, Selection, Stats};
use super::tuning::Tunings;
use super::words::Vocabulary;
use super::{KnowledgeEntry, Revision, places};
use crate::config::{EmbedderConfig, IndexPlace, SearchConfig};
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
    /// What it was opened by; another one that served before is opened by the same keys.
    pub embedding: EmbedderConfig,
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
    spaces: Spaces,
    reranker: Option<Arc<Reranking>>,
    search: SearchConfig,
    index_dir: PathBuf,
    /// Taken by the process that writes the indexes.
    owner: Owner,
    renewer: Renewer,
    looked: Mutex<Instant>,
    seen: AtomicI64,
    ready: watch::Sender<HashSet<TenantId>>,
    /// Countries that each tenant's rows are for.
    markets: Mutex<HashMap<TenantId, BTreeSet<&'static str>>>,
    vocabulary: Vocabulary,
    tunings: Tunings,
    gists: Gists,
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
        let lock = |name: String, file: PathBuf| Owner::of_database(&store.db, name, file);
        let renewer = Renewer::new(lock("vectors".to_owned(), parts.index_dir.join("vectors.lock")), parts.clock.now());
        let (home, owner) = match parts.index {
            IndexPlace::Embedded => {
                let lexical = LexicalIndex::new(parts.index_dir.clone(), database, vocabulary.clone());
                (Home::Folder(Arc::new(lexical)), Owner::by_file(file))
            }
            IndexPlace::Qdrant { url, config } => {
                // Of all its collections, whichever embedder's.
                let owner = lock(format!("index of {} {database}", config.collection), file);
                let vocabulary = vocabulary.clone();
                (Home::Server { url, config, database, vocabulary, clusters: Mutex::default() }, owner)
            }
        };
        let spaces = Spaces::new(parts.embedder, parts.embedding, home);
        // An address or a key that cannot be used is told now.
        spaces.space(Arc::clone(spaces.wanted()))?;
        let knowledge = Self(Arc::new(Inner {
            store,
            clock: parts.clock,
            spaces,
            reranker: parts.reranker,
            search: parts.search,
            index_dir: parts.index_dir,
            owner,
            renewer,
            looked: Mutex::new(Instant::now()),
            seen: AtomicI64::new(-1),
            ready: watch::Sender::default(),
            markets: Mutex::default(),
            vocabulary,
            tunings: Tunings::default(),
            gists: Gists::default(),
            nudge: Notify::new(),
        }));
        knowledge.try_own_index().await?;
        Ok(knowledge)
    }

    /// Takes the index's lock unless another process has it.
    pub async fn try_own_index(&self) -> Result<bool> {
        let before = self.owns_index();
        let owns = self.0.owner.take().await?;
        if let Some(folder) = self.0.spaces.home.folder() {
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
        let space = self.0.spaces.space(Arc::clone(self.embedder()))?;
        let Some(cluster) = space.index.cluster() else { return Ok(None) };
        let version = cluster.check().await?;
        Ok(Some(format!("Qdrant {version}, collection {}", cluster.name())))
    }

    /// Whether it is time to look at the server again though nothing has changed here: a collection can be
    /// lost or cleared by others.
    pub(super) fn should_look(&self) -> bool {
        let mut looked = self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = self.0.spaces.home.folder().is_none() && looked.elapsed() > LOOK_AGAIN;
        if due {
            *looked = Instant::now();
        }
        due
    }

    /// Where another process leaves its wish that this tenant's indexes be built again.
    pub(super) fn rebuild_wish(&self, tenant: &TenantId) -> PathBuf {
        self.0.index_dir.join(format!("{tenant}.rebuild"))
    }

    /// Held during an import, so that two into one tenant come one after the other: a lock of the database where
    /// nodes share one, of the data directory otherwise.
    pub(super) fn import_lock(&self, tenant: &TenantId) -> Owner {
        Owner::of_database(&self.0.store.db, format!("import into {tenant}"), self.0.index_dir.join(format!("{tenant}.import.lock")))
    }

    /// Embedders with the indexes of their vectors.
    pub(super) fn spaces(&self) -> &Spaces {
        &self.0.spaces
    }

    /// What makes vectors that are missing.
    pub(super) fn renewer(&self) -> &Renewer {
        &self.0.renewer
    }

    pub(super) fn reopen_lexical(&self) {
        if let Some(folder) = self.0.spaces.home.folder() {
            folder.reopen();
        }
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
        let mut stats = self.0.store.stats(tenant, &self.serving(tenant).await?.embedder).await?;
        stats.renewal = self.renewal(tenant).await?;
        let words = self.0.store.words(tenant).await?.words;
        (stats.words, stats.synonyms) = (words.words.len(), words.synonyms.len());
        stats.tuning = self.0.store.tuning(tenant).await?;
        Ok(stats)
    }

    /// Deletes the selected entries; returns how many and the revision. `by` is kept in their history.
    pub async fn delete(&self, tenant: &TenantId, selection: &Selection, by: &str) -> Result<(u64, Revision)> {
        let ids = self.0.store.selected(tenant, selection).await?;
        let revision = self.0.store.commit_by(tenant, self.embedder().id(), &[], &ids, by).await?;
        self.nudge();
        Ok((ids.len() as u64, revision))
    }

    /// The room's SQL.
    pub fn store(&self) -> &KnowledgeStore {
        &self.0.store
    }

    /// The configured embedder. While the vectors of a shop are still another's, that one serves it.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        self.0.spaces.wanted()
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
