//! Where a process has its two legs, in itself or on a server, and how both are searched as one.

use std::sync::Arc;
use std::time::Instant;

use super::lexical::{LexicalIndex, Sheet};
use super::qdrant::{Cluster, Leg};
use super::vectors::VectorIndex;
use super::{LegQuery, PassageIndex, Scored};
use crate::compute;
use crate::error::Result;
use crate::ids::{EntryId, TenantId};

/// Both legs.
pub enum Index {
    /// In this process: each follows the database by itself, words once for every embedder.
    Embedded {
        /// BM25.
        lexical: Arc<LexicalIndex>,
        /// Vectors.
        semantic: VectorIndex,
    },
    /// On a server: they are one, and following with either is following with both.
    Cluster {
        /// The collection.
        cluster: Cluster,
        /// Its sparse vectors.
        lexical: Leg,
        /// Its dense vectors.
        semantic: Leg,
    },
}

/// Both legs' rankings, and each leg's scores of the other's candidates.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// By words, best first.
    pub lexical: Vec<Scored>,
    /// Scores of the other leg's candidates.
    pub lexical_others: Vec<Scored>,
    /// By vectors, best first.
    pub semantic: Vec<Scored>,
    /// Scores of the other leg's candidates.
    pub semantic_others: Vec<Scored>,
    /// How much each of the question's words tells, where the search has come to know it.
    pub weights: Option<Vec<f32>>,
    /// Milliseconds until each ranking was there.
    pub lexical_ms: f64,
    /// The same.
    pub semantic_ms: f64,
}

impl Index {
    /// On a server.
    pub fn of(cluster: Cluster) -> Self {
        let (lexical, semantic) = cluster.legs();
        Self::Cluster { cluster, lexical, semantic }
    }

    /// The leg by words.
    pub fn lexical(&self) -> &dyn PassageIndex {
        match self {
            Self::Embedded { lexical, .. } => &**lexical,
            Self::Cluster { lexical, .. } => lexical,
        }
    }

    /// The leg by vectors.
    pub fn semantic(&self) -> &dyn PassageIndex {
        match self {
            Self::Embedded { semantic, .. } => semantic,
            Self::Cluster { semantic, .. } => semantic,
        }
    }

    /// The collection, where it is on a server.
    pub fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::Embedded { .. } => None,
            Self::Cluster { cluster, .. } => Some(cluster),
        }
    }

    /// Asks both legs side by side, and each for its scores of the other's candidates.
    pub async fn find(&self, tenant: &TenantId, query: &LegQuery, limit: usize) -> Result<Found> {
        let (words, vectors) = match self {
            Self::Cluster { cluster, .. } => return cluster.find(tenant, query, limit).await,
            Self::Embedded { lexical, semantic } => (lexical, semantic),
        };
        let _few_at_once = compute::question().await?;
        let (((lexical, sheet), lexical_ms), (semantic, semantic_ms)) =
            tokio::try_join!(timed(words.ranked(tenant, query, limit)), timed(vectors.search(tenant, query, limit)))?;
        let weights = sheet.weights(&query.tokens);
        let (unknown_words, unknown_vectors) = (missing(&semantic, &lexical), missing(&lexical, &semantic));
        let (lexical_others, semantic_others) =
            tokio::try_join!(score(sheet, unknown_words), vectors.score(tenant, query, &unknown_vectors))?;
        Ok(Found { lexical, lexical_others, semantic, semantic_others, weights, lexical_ms, semantic_ms })
    }
}

/// Entries of the first list that are not in the second.
pub(super) fn missing(of: &[Scored], listed: &[Scored]) -> Vec<EntryId> {
    let known: std::collections::HashSet<&EntryId> = listed.iter().map(|hit| &hit.entry).collect();
    of.iter().map(|hit| &hit.entry).filter(|id| !known.contains(id)).cloned().collect()
}

async fn score(sheet: Sheet, entries: Vec<EntryId>) -> Result<Vec<Scored>> {
    if entries.is_empty() { Ok(Vec::new()) } else { compute::run(move || sheet.scores(&entries)).await? }
}

/// With its milliseconds.
async fn timed<T>(leg: impl Future<Output = Result<T>>) -> Result<(T, f64)> {
    let started = Instant::now();
    Ok((leg.await?, started.elapsed().as_secs_f64() * 1000.0))
}
