//! Both legs on a Qdrant server, for a cluster of nodes: a point has a dense and a sparse vector, so one
//! collection follows the database once for both, and a search asks for both rankings in one round trip, the
//! first of its three. Writing is idempotent: points first, then the mark that says how far they are, so what a
//! crash broke off is written again. One node writes (`owner.rs`); should two, the mark moves for one of them only.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use qdrant_client::qdrant::points_update_operation::{DeletePoints, Operation, PointStructList};
use qdrant_client::qdrant::vector_output::Vector as Told;
use qdrant_client::qdrant::{Filter as Conditions, QueryPoints, ScoredPoint, UpdateMode};

use self::points::{DENSE, SPARSE, Scope, scored};
use self::server::Server;
pub use self::server::Shape;
use super::both::{Found, missing};
use super::{LegQuery, PassageIndex, Scored, best_per_entry};
use crate::config::QdrantConfig;
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};
use crate::knowledge::Revision;
use crate::knowledge::store::Change;
use crate::knowledge::words::{Terms, Vocabulary};

mod points;
mod server;
mod sparse;
#[cfg(test)]
pub(in crate::knowledge) mod stand_in;
#[cfg(test)]
mod tests;

/// How much is written in one round trip, about: gRPC servers and proxies read 4 MB unless they are told otherwise.
const BYTES: usize = 2 * 1024 * 1024;
/// What a point has beside its dense vector, about.
const POINT_BYTES: usize = 2048;
/// An entry has several passages; this many points are taken for each entry that is wanted.
const PASSAGES_PER_ENTRY: usize = 4;
/// So many passages of each entry are looked through for its score and its support, on average.
const MOST_PASSAGES: usize = 64;
/// How long other nodes may still search with words that were replaced.
const OLD_WORDS: Duration = Duration::from_secs(60);

/// The index of all tenants on a server. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    server: Arc<Server>,
    vocabulary: Vocabulary,
    /// Since when points of a tenant that were cut with other words may be there; `None` once they are gone.
    others: Arc<Mutex<HashMap<TenantId, Option<Instant>>>>,
}

/// One of its legs.
#[derive(Clone)]
pub struct Leg {
    cluster: Cluster,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Words,
    Vectors,
}

impl Cluster {
    /// On the server at `url`, of texts cut with the words of their shop. Connects with the first call.
    pub fn new(url: &str, config: &QdrantConfig, shape: Shape<'_>, vocabulary: Vocabulary) -> Result<Self> {
        Ok(Self { server: Arc::new(Server::new(url, config, shape)?), vocabulary, others: Arc::default() })
    }

    /// The leg that searches by words, and the one that searches by vectors.
    pub fn legs(&self) -> (Leg, Leg) {
        (Leg { cluster: self.clone(), side: Side::Words }, Leg { cluster: self.clone(), side: Side::Vectors })
    }

    /// Where it is, for people.
    pub fn name(&self) -> &str {
        self.server.collection()
    }

    /// The server's version, when it can be reached and takes the key.
    pub async fn check(&self) -> Result<String> {
        self.server.check().await
    }

    /// Makes sure that the collection is there and as it should be; the first time a tenant is followed,
    /// what is left of other words is put down to be swept.
    pub async fn prepare(&self, tenant: &TenantId) -> Result<()> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).entry(tenant.clone()).or_insert_with(|| Some(Instant::now()));
        self.server.prepare().await
    }

    /// The same collection with other words of one tenant, to be filled while this one serves.
    pub fn beside(&self, tenant: &TenantId, terms: Arc<Terms>) -> Self {
        let vocabulary = Vocabulary::default();
        vocabulary.set(tenant, terms);
        Self { vocabulary, ..self.clone() }
    }

    /// Serves what was built beside from now on. Points of the old words stay for nodes that still use them.
    pub fn take_over(&self, tenant: &TenantId, beside: &Self) {
        self.vocabulary.set(tenant, beside.vocabulary.of(tenant));
        self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), Some(Instant::now()));
    }

    /// Deletes points of words that nobody uses any more.
    pub async fn sweep(&self) -> Result<()> {
        let old = |since: &Option<Instant>| since.is_some_and(|since| since.elapsed() > OLD_WORDS);
        let due: Vec<TenantId> = {
            let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            others.iter().filter(|(_, since)| old(since)).map(|(tenant, _)| tenant.clone()).collect()
        };
        for tenant in due {
            self.server.update(vec![delete(self.scope(&tenant).of_other_words())]).await?;
            self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, None);
        }
        Ok(())
    }

    /// Both legs' best entries in one round trip, and in a second one each leg's scores of what the other
    /// found.
    pub async fn find(&self, tenant: &TenantId, query: &LegQuery, limit: usize) -> Result<Found> {
        let started = Instant::now();
        let scope = self.scope(tenant);
        let mut found = self.ask(words(&scope, query, None, limit), vectors(&scope, query, None, limit)).await?;
        let took = started.elapsed().as_secs_f64() * 1000.0;
        let by_words = best_per_entry(found.0.iter().filter_map(scored).collect(), limit);
        let nearest = best_per_entry(found.1.iter().filter_map(scored).collect(), limit);
        // Every candidate's passages are compared, so that an entry's support is that of its three best.
        let all: Vec<EntryId> = by_words.iter().chain(&nearest).map(|hit| hit.entry.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let unknown = missing(&nearest, &by_words);
        found = self.ask(words(&scope, query, Some(&unknown), limit), vectors(&scope, query, Some(&all), limit)).await?;
        let lexical_others = best_per_entry(found.0.iter().filter_map(scored).collect(), usize::MAX);
        let supported = supported(&found.1);
        let (semantic, semantic_others) = supported.into_iter().partition(|hit| nearest.iter().any(|near| near.entry == hit.entry));
        Ok(Found { lexical: by_words, lexical_others, semantic, semantic_others, weights: None, lexical_ms: took, semantic_ms: took })
    }

    /// At most one query of each leg, in one round trip.
    async fn ask(&self, words: Option<QueryPoints>, vectors: Option<QueryPoints>) -> Result<(Vec<ScoredPoint>, Vec<ScoredPoint>)> {
        let (any_words, any_vectors) = (words.is_some(), vectors.is_some());
        let queries: Vec<_> = words.into_iter().chain(vectors).collect();
        if queries.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut answers = self.server.query(queries).await?.into_iter();
        let mut next = |any: bool| if any { answers.next().unwrap_or_default() } else { Vec::new() };
        Ok((next(any_words), next(any_vectors)))
    }

    fn scope(&self, tenant: &TenantId) -> Scope {
        Scope::new(tenant, &self.vocabulary.of(tenant))
    }

    async fn applied(&self, tenant: &TenantId) -> Result<Revision> {
        self.server.revision(self.scope(tenant).mark_id()).await
    }

    async fn apply(&self, tenant: &TenantId, changes: &[Change], revision: Revision) -> Result<()> {
        self.server.prepare().await?;
        let terms = self.vocabulary.of(tenant);
        let scope = Scope::new(tenant, &terms);
        let before = self.server.revision(scope.mark_id()).await?;
        let mut left = changes;
        while !left.is_empty() {
            let (rows, later) = left.split_at(rows_of_a_trip(left, self.server.dimensions()));
            left = later;
            let (scope, terms, rows, dimensions) = (scope.clone(), Arc::clone(&terms), rows.to_vec(), self.server.dimensions());
            // Cutting texts is pure computation.
            let operations = tokio::task::spawn_blocking(move || replace(&scope, &terms, &rows, dimensions)).await?;
            self.server.update(operations).await?;
        }
        // Moved only from where it was: rows that somebody else cleared meanwhile are not said to be there.
        let (mode, filter) =
            if before == 0 { (UpdateMode::InsertOnly, None) } else { (UpdateMode::UpdateOnly, Some(points::unmoved(before))) };
        let mark = PointStructList {
            points: vec![scope.mark(revision)],
            update_mode: Some(mode.into()),
            update_filter: filter,
            ..PointStructList::default()
        };
        self.server.update(vec![Operation::Upsert(mark)]).await?;
        match self.server.revision(scope.mark_id()).await? {
            now if now == revision => Ok(()),
            now => Err(Error::unavailable(
                "index_contended",
                format!("Another process changed the index of `{tenant}` meanwhile (it is at revision {now}). It is followed again."),
            )),
        }
    }

    async fn weights(&self, tenant: &TenantId, tokens: &[String]) -> Result<Vec<f32>> {
        let scope = self.scope(tenant);
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let distinct: Vec<&String> = tokens.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let queries = distinct.iter().map(|token| scope.with_word(token)).collect();
        let (answers, pieces) = tokio::try_join!(self.server.query(queries), self.server.count(scope.pieces()))?;
        // BM25's idf of a word that stands nowhere.
        let unknown = (1.0 + (pieces as f32 + 0.5) / 0.5).ln();
        let told: HashMap<&String, f32> = distinct
            .into_iter()
            .zip(&answers)
            .map(|(token, best)| (token, best.first().and_then(|point| told_by(point, sparse::word(token))).unwrap_or(unknown)))
            .collect();
        Ok(tokens.iter().map(|token| told.get(token).copied().unwrap_or(unknown)).collect())
    }
}

/// How many of the first rows go into one round trip, one at least.
fn rows_of_a_trip(changes: &[Change], dimensions: usize) -> usize {
    let most = BYTES / (POINT_BYTES + dimensions * size_of::<f32>());
    let mut points = 0;
    let fits = |change: &&Change| {
        points += change.entry.as_ref().map_or(1, |(_, passages)| passages.len().max(1));
        points <= most
    };
    changes.iter().take_while(fits).count().max(1)
}

#[async_trait]
impl PassageIndex for Leg {
    async fn applied(&self, tenant: &TenantId) -> Result<Revision> {
        self.cluster.applied(tenant).await
    }

    async fn apply(&self, tenant: &TenantId, changes: &[Change], revision: Revision) -> Result<()> {
        self.cluster.apply(tenant, changes, revision).await
    }

    async fn search(&self, tenant: &TenantId, query: &LegQuery, limit: usize) -> Result<Vec<Scored>> {
        let scope = self.cluster.scope(tenant);
        match self.side {
            Side::Words => {
                let (found, _) = self.cluster.ask(words(&scope, query, None, limit), None).await?;
                Ok(best_per_entry(found.iter().filter_map(scored).collect(), limit))
            }
            Side::Vectors => {
                let (_, found) = self.cluster.ask(None, vectors(&scope, query, None, limit)).await?;
                let nearest = best_per_entry(found.iter().filter_map(scored).collect(), limit);
                let entries: Vec<EntryId> = nearest.into_iter().map(|hit| hit.entry).collect();
                self.score(tenant, query, &entries).await
            }
        }
    }

    async fn score(&self, tenant: &TenantId, query: &LegQuery, entries: &[EntryId]) -> Result<Vec<Scored>> {
        let scope = self.cluster.scope(tenant);
        match self.side {
            Side::Words => {
                let (found, _) = self.cluster.ask(words(&scope, query, Some(entries), entries.len()), None).await?;
                Ok(best_per_entry(found.iter().filter_map(scored).collect(), entries.len()))
            }
            Side::Vectors => {
                let (_, found) = self.cluster.ask(None, vectors(&scope, query, Some(entries), entries.len())).await?;
                Ok(supported(&found))
            }
        }
    }

    async fn clear(&self, tenant: &TenantId) -> Result<()> {
        self.cluster.server.prepare().await?;
        self.cluster.server.update(vec![delete(points::of_tenant(tenant))]).await
    }

    async fn against(&self, tenant: &TenantId, query: &LegQuery, best: &[Scored]) -> Result<Vec<Scored>> {
        if self.side == Side::Words || !says_something(query) {
            return Ok(Vec::new());
        }
        let scope = self.cluster.scope(tenant);
        let entries: Vec<EntryId> = best.iter().take(super::BEST).map(|hit| hit.entry.clone()).collect();
        let mut queries = vec![scope.by_not(query, super::NOTS)];
        queries.extend((!entries.is_empty()).then(|| scope.vectors_of(query, &entries, entries.len() * MOST_PASSAGES)));
        let mut answers = self.cluster.server.query(queries).await?.into_iter();
        let (nots, answered) = (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
        let answered: Vec<Vec<f32>> = answered.iter().filter_map(dense).collect();
        let says_the_same = |not: &[f32]| answered.iter().any(|passage| cosine(not, passage) >= super::SAME);
        let counting = nots.iter().filter(|not| not.score > 0.0 && !dense(not).is_some_and(|vector| says_the_same(&vector)));
        Ok(counting.filter_map(scored).take(super::COUNTED).collect())
    }

    async fn weights(&self, tenant: &TenantId, tokens: &[String]) -> Result<Option<Vec<f32>>> {
        match self.side {
            Side::Words => self.cluster.weights(tenant, tokens).await.map(Some),
            Side::Vectors => Ok(None),
        }
    }
}

/// The query by words; none when there is nothing to ask with or of.
fn words(scope: &Scope, query: &LegQuery, entries: Option<&[EntryId]>, limit: usize) -> Option<QueryPoints> {
    let any = !(query.tokens.is_empty() && query.grams.is_empty()) && entries.is_none_or(|entries| !entries.is_empty());
    any.then(|| scope.by_words(query, entries, limit * PASSAGES_PER_ENTRY))
}

/// The query by vector; none when there is nothing to ask with or of.
fn vectors(scope: &Scope, query: &LegQuery, entries: Option<&[EntryId]>, limit: usize) -> Option<QueryPoints> {
    let points = entries.map_or(limit * PASSAGES_PER_ENTRY, |entries| entries.len() * MOST_PASSAGES);
    (says_something(query) && entries.is_none_or(|entries| !entries.is_empty())).then(|| scope.by_vector(query, entries, points))
}

fn says_something(query: &LegQuery) -> bool {
    query.vector.iter().any(|&x| x != 0.0)
}

/// Each entry's best passage, with the mean of its three best.
fn supported(points: &[ScoredPoint]) -> Vec<Scored> {
    let all: Vec<Scored> = points.iter().filter_map(scored).collect();
    let mut scores: HashMap<EntryId, Vec<f32>> = HashMap::new();
    all.iter().for_each(|hit| scores.entry(hit.entry.clone()).or_default().push(hit.score));
    let mut best = best_per_entry(all, usize::MAX);
    for hit in &mut best {
        if let Some(scores) = scores.get_mut(&hit.entry) {
            scores.sort_by(|a, b| b.total_cmp(a));
            scores.truncate(3);
            hit.support = scores.iter().sum::<f32>() / scores.len() as f32;
        }
    }
    best
}

/// Changed rows' points, then the end of what they had before.
fn replace(scope: &Scope, terms: &Terms, changes: &[Change], dimensions: usize) -> Vec<Operation> {
    let rows = changes.iter().filter_map(|change| change.entry.as_ref());
    let points: Vec<_> = rows.flat_map(|(entry, passages)| scope.points(entry, passages, terms, dimensions)).collect();
    let written = points.iter().filter_map(|point| point.id.clone()).collect();
    let entries: Vec<EntryId> = changes.iter().map(|change| change.id.clone()).collect();
    let end = delete(scope.replaced(&entries, written));
    let upsert = (!points.is_empty()).then(|| Operation::Upsert(PointStructList { points, ..PointStructList::default() }));
    upsert.into_iter().chain([end]).collect()
}

fn delete(filter: Conditions) -> Operation {
    Operation::DeletePoints(DeletePoints { points: Some(filter.into()), ..DeletePoints::default() })
}

fn vector_of(point: &ScoredPoint, name: &str) -> Option<Told> {
    point.vectors.as_ref()?.get_vector_by_name(name)
}

fn dense(point: &ScoredPoint) -> Option<Vec<f32>> {
    match vector_of(point, DENSE)? {
        Told::Dense(dense) => Some(dense.data),
        _ => None,
    }
}

/// How much a word tells, from the score that it alone brought a point.
fn told_by(point: &ScoredPoint, dimension: u32) -> Option<f32> {
    let Told::Sparse(sparse) = vector_of(point, SPARSE)? else { return None };
    let at = sparse.indices.iter().position(|&index| index == dimension)?;
    let value = *sparse.values.get(at)?;
    (value > 0.0).then(|| point.score / value)
}

/// Of unit vectors, which a collection compared by cosine keeps.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() == b.len() { a.iter().zip(b).map(|(x, y)| x * y).sum() } else { 0.0 }
}
