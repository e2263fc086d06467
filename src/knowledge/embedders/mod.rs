//! Which embedder searches which shop. Vectors of two embedders are never compared: a [`Space`] is an embedder
//! together with the index of its vectors, a search takes one space and stays in it, and changing the embedder
//! is putting another space in its place ([`change`]) once that has every vector.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;

use self::store::Serving;
use super::index::both::Index;
use super::index::lexical::LexicalIndex;
use super::index::qdrant::{Cluster, Shape};
use super::index::vectors::VectorIndex;
use super::words::Vocabulary;
use super::{Knowledge, Revision};
use crate::config::{EmbedderConfig, EmbedderSource, QdrantConfig};
use crate::error::{Error, Result};
use crate::ids::{TenantId, Timestamp};
use crate::models::{EmbedKind, Embedder, embed};

pub mod change;
pub mod store;
#[cfg(test)]
mod tests;

/// An embedder, and the index of a shop's rows as it sees them.
pub struct Space {
    /// Turns texts into vectors of this space.
    pub embedder: Arc<dyn Embedder>,
    /// Both legs.
    pub index: Index,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("embedder", &self.embedder.id()).finish_non_exhaustive()
    }
}

/// Stands in the place of an embedder that cannot be opened: its index is followed for whoever can, and rows are
/// found by their words.
struct Gone {
    id: String,
    dimensions: usize,
}

impl Gone {
    fn new(id: &str) -> Self {
        // Every id ends with the length of the vectors.
        let dimensions = id.rsplit(':').next().and_then(|last| last.parse().ok()).unwrap_or_default();
        Self { id: id.to_owned(), dimensions }
    }
}

#[async_trait]
impl Embedder for Gone {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    async fn embed(&self, texts: Vec<String>, kind: EmbedKind) -> Result<Vec<Vec<f32>>> {
        match kind {
            EmbedKind::Query => Ok(vec![vec![0.0; self.dimensions]; texts.len()]),
            EmbedKind::Passage => Err(Error::unavailable("embedder_unavailable", format!("{} cannot be opened here.", self.id))),
        }
    }
}

/// Where indexes are.
pub(super) enum Home {
    /// In this process; words in a folder, which all spaces share: they know nothing of vectors.
    Folder(Arc<LexicalIndex>),
    /// On a server, with a collection for each embedder.
    Server {
        url: String,
        config: QdrantConfig,
        database: String,
        vocabulary: Vocabulary,
        /// Those in use, by embedder.
        clusters: Mutex<HashMap<String, Cluster>>,
    },
}

impl Home {
    fn index(&self, embedder: &dyn Embedder) -> Result<Index> {
        match self {
            Self::Folder(lexical) => Ok(Index::Embedded { lexical: Arc::clone(lexical), semantic: VectorIndex::default() }),
            Self::Server { url, config, database, vocabulary, clusters } => {
                let mut clusters = clusters.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(cluster) = clusters.get(embedder.id()) {
                    return Ok(Index::of(cluster.clone()));
                }
                let shape = Shape { database, embedder: embedder.id(), dimensions: embedder.dimensions() };
                let cluster = Cluster::new(url, config, shape, vocabulary.clone())?;
                clusters.insert(embedder.id().to_owned(), cluster.clone());
                Ok(Index::of(cluster))
            }
        }
    }

    /// The folder's index, where there is one.
    pub(super) fn folder(&self) -> Option<&LexicalIndex> {
        match self {
            Self::Folder(lexical) => Some(lexical),
            Self::Server { .. } => None,
        }
    }

    /// Lets go of what no embedder of these needs.
    fn keep_only(&self, embedders: &HashSet<String>) {
        if let Self::Server { clusters, .. } = self {
            clusters.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| embedders.contains(id));
        }
    }

    /// The collections in use, where they are on a server.
    pub(super) fn clusters(&self) -> Vec<Cluster> {
        match self {
            Self::Folder(_) => Vec::new(),
            Self::Server { clusters, .. } => clusters.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect(),
        }
    }
}

/// What the follower has to do about a shop's embedder.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// Every row up to this revision has its vectors of the wanted embedder.
    Filled(Revision),
    /// The one that serves does not answer: the wanted one serves at once, with what it has.
    GivenUp,
}

/// The spaces of all shops.
pub(super) struct Spaces {
    /// The embedder that is configured.
    wanted: Arc<dyn Embedder>,
    config: EmbedderConfig,
    pub(super) home: Home,
    /// Embedders that served before, by id; `None` for those that cannot be opened.
    opened: tokio::sync::Mutex<HashMap<String, Option<Arc<dyn Embedder>>>>,
    serving: RwLock<HashMap<TenantId, Arc<Space>>>,
    /// Spaces that are being filled beside.
    coming: Mutex<HashMap<TenantId, Arc<Space>>>,
    /// Held by whoever fills one of those, or puts it in place.
    moving: tokio::sync::Mutex<()>,
    due: Mutex<HashMap<TenantId, Due>>,
}

impl Spaces {
    pub(super) fn new(wanted: Arc<dyn Embedder>, config: EmbedderConfig, home: Home) -> Self {
        let (opened, moving) = Default::default();
        Self { wanted, config, home, opened, serving: RwLock::default(), coming: Mutex::default(), moving, due: Mutex::default() }
    }

    pub(super) fn wanted(&self) -> &Arc<dyn Embedder> {
        &self.wanted
    }

    fn source(&self) -> EmbedderSource {
        self.config.to_source()
    }

    /// An empty space.
    pub(super) fn space(&self, embedder: Arc<dyn Embedder>) -> Result<Arc<Space>> {
        let index = self.home.index(&*embedder)?;
        Ok(Arc::new(Space { embedder, index }))
    }

    /// The space that serves a shop, as far as this process has learnt it.
    fn learnt(&self, tenant: &TenantId) -> Option<Arc<Space>> {
        self.serving.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    fn set(&self, tenant: &TenantId, space: Arc<Space>) {
        self.serving.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), space);
    }

    fn forget_coming(&self, tenant: &TenantId) {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }

    /// Puts a space in the place of another, and lets go of what nobody uses any more.
    async fn replace(&self, tenant: &TenantId, space: Arc<Space>) {
        self.set(tenant, space);
        self.forget_coming(tenant);
        let ids = |spaces: &HashMap<TenantId, Arc<Space>>| spaces.values().map(|space| space.embedder.id().to_owned()).collect();
        let mut used: HashSet<String> = ids(&self.serving.read().unwrap_or_else(PoisonError::into_inner));
        used.extend::<HashSet<String>>(ids(&self.coming.lock().unwrap_or_else(PoisonError::into_inner)));
        self.home.keep_only(&used);
        self.opened.lock().await.retain(|id, _| used.contains(id));
    }

    /// The embedder that serves by the record, or `None` when it cannot be opened.
    async fn open(&self, serving: &Serving) -> Option<Arc<dyn Embedder>> {
        if serving.embedder == self.wanted.id() {
            return Some(Arc::clone(&self.wanted));
        }
        let mut opened = self.opened.lock().await;
        if let Some(known) = opened.get(&serving.embedder) {
            return known.clone();
        }
        let found = self.open_anew(serving).await;
        let embedder = found.inspect_err(|why| {
            tracing::warn!(
                embedder = serving.embedder,
                wanted = self.wanted.id(),
                "the embedder whose vectors serve cannot be opened: {why} Rows are found by their words until the configured one has \
                 embedded them; to be served by the old vectors meanwhile, put its model or address back and start again."
            );
        });
        let embedder = embedder.ok();
        opened.insert(serving.embedder.clone(), embedder.clone());
        embedder
    }

    async fn open_anew(&self, serving: &Serving) -> std::result::Result<Arc<dyn Embedder>, String> {
        let source = serving.source.as_ref().ok_or("it was not put down where it is.")?;
        let config = self.config.at(source);
        let opened = tokio::task::spawn_blocking(move || embed::open(&config)).await.map_err(|error| error.to_string())?;
        let embedder = opened.map_err(|error| error.to_string())?;
        if embedder.id() == serving.embedder {
            return Ok(embedder);
        }
        Err(format!("{} is now {}.", source.source, embedder.id()))
    }

    fn put_due(&self, tenant: &TenantId, due: Due) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), due);
    }

    fn take_due(&self) -> HashMap<TenantId, Due> {
        std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Knowledge {
    /// What serves a shop: a search takes it once and stays in it.
    pub(super) fn space(&self, tenant: &TenantId) -> Result<Arc<Space>> {
        if let Some(space) = self.spaces().learnt(tenant) {
            return Ok(space);
        }
        // Nobody has followed yet.
        let space = self.spaces().space(Arc::clone(self.spaces().wanted()))?;
        let mut serving = self.spaces().serving.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(serving.entry(tenant.clone()).or_insert(space)))
    }

    /// The record of who serves a shop, made when there is none: a shop without rows is served by the embedder
    /// that is configured.
    pub(super) async fn serving(&self, tenant: &TenantId) -> Result<Serving> {
        if let Some(serving) = self.store().serving(tenant).await? {
            return Ok(serving);
        }
        let (wanted, never) = (self.spaces().wanted().id().to_owned(), Timestamp(0));
        let first = match self.store().embedder_of_rows(tenant).await? {
            None => {
                let source = Some(self.spaces().source());
                Serving { embedder: wanted, source, since: self.clock().now(), wanted: None, wanted_since: never }
            }
            // Rows from before embedders were put down, so every process is newer; whether all are of one is looked
            // at once.
            Some(own) => {
                let builtin = EmbedderSource { source: embed::BUILTIN.to_owned(), model: String::new(), dimensions: 0 };
                let source = if own == wanted { Some(self.spaces().source()) } else { own.starts_with("builtin-").then_some(builtin) };
                Serving { wanted: Some(own.clone()), embedder: own, source, since: never, wanted_since: never }
            }
        };
        self.store().first_serving(tenant, &first).await
    }

    /// What rows of this shop are embedded by now; asked before every commit, since it may change in the middle
    /// of an import.
    pub(super) async fn writer(&self, tenant: &TenantId) -> Result<Arc<dyn Embedder>> {
        let serving = self.serving(tenant).await?;
        Ok(self.spaces().open(&serving).await.unwrap_or_else(|| Arc::clone(self.spaces().wanted())))
    }

    /// Takes over whose vectors serve a shop. When that was changed elsewhere, what serves here goes on until the
    /// other has everything here too.
    pub(super) async fn learn_embedder(&self, tenant: &TenantId) -> Result<()> {
        let serving = self.serving(tenant).await?;
        let embedder = self.spaces().open(&serving).await.unwrap_or_else(|| Arc::new(Gone::new(&serving.embedder)));
        let Some(known) = self.spaces().learnt(tenant) else {
            return self.spaces().space(embedder).map(|space| self.spaces().set(tenant, space));
        };
        if known.embedder.id() == embedder.id() {
            return Ok(());
        }
        tracing::info!(%tenant, from = known.embedder.id(), to = embedder.id(), "the shop's embedder was changed: taking its vectors over");
        let space = self.spaces().space(embedder)?;
        match &space.index {
            Index::Embedded { semantic, .. } => self.follow(semantic, &space, tenant, None).await?,
            Index::Cluster { cluster, lexical, .. } => {
                if self.try_own_index().await? {
                    cluster.prepare(tenant).await?;
                    self.follow(lexical, &space, tenant, None).await?;
                } else {
                    self.wait_for_owner(lexical, &space, tenant).await?;
                }
            }
        }
        self.spaces().replace(tenant, space).await;
        Ok(())
    }

    /// A question's vectors in a space; none when the embedder that is being replaced fails: then the question is
    /// answered by its words.
    pub(super) async fn embed_question(&self, tenant: &TenantId, space: &Space, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        if self.replaces(tenant, space.embedder.id()) {
            return Ok(self.ask_leaving(tenant, &*space.embedder, texts, EmbedKind::Query).await.unwrap_or_default());
        }
        space.embedder.embed(texts, EmbedKind::Query).await
    }

    /// Passages' vectors by whoever serves the shop now, with the embedder that made them; by the wanted one when
    /// that which it replaces fails.
    pub(super) async fn embed_rows(&self, tenant: &TenantId, texts: Vec<String>) -> Result<(Arc<dyn Embedder>, Vec<Vec<f32>>)> {
        let mut embedder = self.writer(tenant).await?;
        if self.replaces(tenant, embedder.id()) {
            if let Some(vectors) = self.ask_leaving(tenant, &*embedder, texts.clone(), EmbedKind::Passage).await {
                return Ok((embedder, vectors));
            }
            embedder = Arc::clone(self.spaces().wanted());
        }
        let vectors = embedder.embed(texts, EmbedKind::Passage).await?;
        Ok((embedder, vectors))
    }

    /// Whether this process knows that this embedder of a shop is to be replaced by the configured one.
    fn replaces(&self, tenant: &TenantId, embedder: &str) -> bool {
        embedder != self.spaces().wanted().id() && self.renewer().changes(tenant)
    }

    /// Asks an embedder that is being replaced. One that refuses, or fails several times running, is not asked
    /// again: the wanted one serves at once.
    async fn ask_leaving(&self, tenant: &TenantId, embedder: &dyn Embedder, texts: Vec<String>, kind: EmbedKind) -> Option<Vec<Vec<f32>>> {
        if self.renewer().gave_up(tenant) {
            return None;
        }
        let answer = embedder.embed(texts, kind).await;
        let gives_up = self.renewer().note(tenant, answer.as_ref().err());
        let error = match answer {
            Ok(vectors) => return Some(vectors),
            Err(error) => error,
        };
        tracing::warn!(%tenant, embedder = embedder.id(), %error, gives_up, "the embedder that is being replaced fails");
        if gives_up {
            self.spaces().put_due(tenant, Due::GivenUp);
            self.nudge();
        }
        None
    }
}
