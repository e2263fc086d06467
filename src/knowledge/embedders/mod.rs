//! Which embedder searches which shop. Vectors of two embedders are never compared: a [`Space`] is an embedder
//! together with the index of its vectors, a search takes one space and stays in it, and changing the embedder
//! is putting another space in its place ([`change`]) once that has every vector.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use self::store::Serving;
use super::index::both::Index;
use super::index::lexical::LexicalIndex;
use super::index::qdrant::{Cluster, Shape};
use super::index::vectors::VectorIndex;
use super::words::Vocabulary;
use super::{Knowledge, Revision};
use crate::config::{EmbedderConfig, EmbedderSource, QdrantConfig};
use crate::error::Result;
use crate::ids::TenantId;
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
    due: Mutex<HashMap<TenantId, Due>>,
}

impl Spaces {
    pub(super) fn new(wanted: Arc<dyn Embedder>, config: EmbedderConfig, home: Home) -> Self {
        let (opened, serving, coming, due) = (Default::default(), RwLock::default(), Mutex::default(), Mutex::default());
        Self { wanted, config, home, opened, serving, coming, due }
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
        let space = self.spaces().space(Arc::clone(self.spaces().wanted()))?;
        self.spaces().set(tenant, Arc::clone(&space));
        Ok(space)
    }

    /// The record of who serves a shop, made when there is none: a shop without rows is served by the embedder
    /// that is configured.
    pub(super) async fn serving(&self, tenant: &TenantId) -> Result<Serving> {
        if let Some(serving) = self.store().serving(tenant).await? {
            return Ok(serving);
        }
        let (wanted, since) = (self.spaces().wanted().id().to_owned(), self.clock().now());
        let first = match self.store().embedder_of_rows(tenant).await? {
            None => Serving { embedder: wanted, source: Some(self.spaces().source()), since, wanted: None },
            // Rows from before embedders were put down; whether all are of one is looked at once.
            Some(own) => {
                let builtin = EmbedderSource { source: embed::BUILTIN.to_owned(), model: String::new(), dimensions: 0 };
                let source = if own == wanted { Some(self.spaces().source()) } else { own.starts_with("builtin-").then_some(builtin) };
                Serving { wanted: Some(own.clone()), embedder: own, source, since }
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
        let embedder = self.writer(tenant).await?;
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
        self.spaces().set(tenant, space);
        Ok(())
    }

    /// A question's vectors in a space. When the embedder of a space that is being replaced fails, the change is
    /// made at once instead, and this question is answered by its words.
    pub(super) async fn embed_question(&self, tenant: &TenantId, space: &Space, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        match space.embedder.embed(texts, EmbedKind::Query).await {
            Err(error) if self.changes_embedder(tenant) && space.embedder.id() != self.spaces().wanted().id() => {
                tracing::warn!(%tenant, embedder = space.embedder.id(), %error, "the embedder that is being replaced fails: it is replaced at once");
                self.spaces().put_due(tenant, Due::GivenUp);
                self.nudge();
                Ok(Vec::new())
            }
            vectors => vectors,
        }
    }

    /// Passages' vectors by whoever serves the shop now, with the embedder that made them.
    pub(super) async fn embed_rows(&self, tenant: &TenantId, texts: Vec<String>) -> Result<(Arc<dyn Embedder>, Vec<Vec<f32>>)> {
        let (embedder, wanted) = (self.writer(tenant).await?, self.spaces().wanted());
        if self.changes_embedder(tenant) && embedder.id() != wanted.id() {
            match embedder.embed(texts.clone(), EmbedKind::Passage).await {
                Ok(vectors) => return Ok((embedder, vectors)),
                Err(error) => tracing::warn!(%tenant, embedder = embedder.id(), %error, "the embedder that is being replaced fails"),
            }
            self.spaces().put_due(tenant, Due::GivenUp);
            self.nudge();
            return Ok((Arc::clone(wanted), wanted.embed(texts, EmbedKind::Passage).await?));
        }
        let vectors = embedder.embed(texts, EmbedKind::Passage).await?;
        Ok((embedder, vectors))
    }
}
