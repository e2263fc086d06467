//! From a question to its rows: embed → both legs → fuse → load → rerank → fold → decide. Every hit says how each leg
//! ranked it and, when it was not good enough, why.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

use super::decide::{Asked, Doubt, decide, evidence, is_asking};
use super::embedders::Space;
use super::fuse::{Fused, LegResult, Weights, fuse};
use super::gist::{self, Gist};
use super::index::both::Found;
use super::index::{Filter, LegQuery, Scored};
use super::rerank::{Reranked, rerank};
use super::words::Terms;
use super::{Decision, Hit, Knowledge, KnowledgeEntry, LegRank, Revision, fold, places, text};
use crate::compute;
use crate::config::{Fusion, SearchConfig};
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};

/// Entries beyond those asked for that are loaded, so that rows which `not` or validity takes out
/// leave no gap.
const SPARE: usize = 5;

/// What is searched with.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The stand-alone question.
    pub text: String,
    /// Rows of this market and of none; `None` does not filter.
    pub market: Option<String>,
    /// Rows of this locale and of none; `None` does not filter.
    pub locale: Option<String>,
    /// Most hits to return.
    pub top: usize,
    /// How the legs are put together; `None` as configured.
    pub fusion: Option<Fusion>,
    /// The moment at which rows have to be valid; `None` is now.
    pub at: Option<Timestamp>,
}

/// What a search brought.
#[derive(Clone, Debug)]
pub struct SearchOutcome {
    /// The question searched with.
    pub query: String,
    /// How it may be answered.
    pub decision: Decision,
    /// In rank order, near-misses included (`passed` false).
    pub hits: Vec<Hit>,
    /// The question's words as the lexical leg saw them.
    pub terms: Vec<String>,
    /// What speaks against any answer.
    pub doubt: Doubt,
    /// The question's vector as the semantic leg saw it.
    pub vector: Vec<f32>,
    /// Who made it.
    pub embedder: String,
    /// The knowledge version searched.
    pub revision: Revision,
    /// How the legs were put together.
    pub weights: Weights,
    /// What the reranker did, where one is configured.
    pub reranked: Option<Reranked>,
    /// Time per stage.
    pub timings: SearchTimings,
}

/// Milliseconds per stage.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SearchTimings {
    /// Cutting the question into words and embedding it.
    pub embed: f64,
    /// Both legs, side by side.
    pub legs: f64,
    /// The lexical leg's ranking.
    pub lexical: f64,
    /// The semantic leg's ranking.
    pub semantic: f64,
    /// Fusion.
    pub fuse: f64,
    /// The reranker, where one is configured.
    pub rerank: f64,
    /// Loading the rows and deciding.
    pub decide: f64,
    /// All of it.
    pub total: f64,
}

/// Both legs' rankings and their fusion, before any row is loaded.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// What was searched: all that follows stays in it, whatever serves meanwhile.
    pub(super) space: Arc<Space>,
    /// The BM25 leg, best first.
    pub lexical: Vec<Scored>,
    /// Scores of the other leg's candidates.
    pub lexical_others: Vec<Scored>,
    /// The vector leg, best first.
    pub semantic: Vec<Scored>,
    /// Scores of the other leg's candidates.
    pub semantic_others: Vec<Scored>,
    /// How much each of the question's words tells, where the legs have said it.
    pub weights: Option<Vec<f32>>,
    /// What the legs were asked with.
    pub asked: LegQuery,
    /// Countries the question names, unless the caller said for which market it asks.
    pub named: BTreeSet<&'static str>,
    /// Time so far.
    pub timings: SearchTimings,
}

impl Ranking {
    /// Both legs fused, best first.
    pub fn fused(&self, weights: Weights) -> Vec<Fused> {
        let lexical = LegResult { ranked: &self.lexical, others: &self.lexical_others };
        let semantic = LegResult { ranked: &self.semantic, others: &self.semantic_others };
        fuse(lexical, semantic, weights, &self.named)
    }

    /// Takes entries out, as if they were not there.
    pub fn without(&mut self, ids: &[EntryId]) {
        for list in [&mut self.lexical, &mut self.lexical_others, &mut self.semantic, &mut self.semantic_others] {
            list.retain(|scored| !ids.contains(&scored.entry));
        }
    }
}

impl Knowledge {
    /// Finds the rows for a question and decides how it may be answered.
    pub async fn search(&self, tenant: &TenantId, query: &Query) -> Result<SearchOutcome> {
        let settings = self.settings(tenant).await?;
        self.search_by(tenant, query, &settings).await
    }

    /// The same by other weights and thresholds than those in force, to see what they would do.
    pub async fn search_by(&self, tenant: &TenantId, query: &Query, config: &SearchConfig) -> Result<SearchOutcome> {
        let started = Instant::now();
        self.until_ready(tenant).await?;
        let ranking = self.rank(tenant, query).await?;
        let fusing = Instant::now();
        let weights = Weights::from(config);
        let weights = Weights { fusion: query.fusion.unwrap_or(weights.fusion), ..weights };
        let fused = ranking.fused(weights);
        let mut timings = SearchTimings { fuse: ms(fusing), ..ranking.timings };
        let deciding = Instant::now();
        let concluded = self.conclude(tenant, query, &ranking, fused, config).await?;
        timings.rerank = concluded.reranked.as_ref().map_or(0.0, |reranked| reranked.ms);
        timings.decide = ms(deciding) - timings.rerank;
        timings.total = ms(started);
        let embedder = ranking.space.embedder.id().to_owned();
        let LegQuery { tokens: terms, vector, .. } = ranking.asked;
        Ok(SearchOutcome {
            query: query.text.clone(),
            decision: concluded.decision,
            hits: concluded.hits,
            terms,
            doubt: concluded.doubt,
            vector,
            embedder,
            revision: self.revision_seen(),
            weights,
            reranked: concluded.reranked,
            timings,
        })
    }

    /// Asks both legs side by side, and each for its scores of the other's candidates.
    pub async fn rank(&self, tenant: &TenantId, query: &Query) -> Result<Ranking> {
        let mut timings = SearchTimings::default();
        let started = Instant::now();
        let space = self.space(tenant)?;
        let asked = self.leg_query(tenant, query, &space).await?;
        timings.embed = ms(started);
        let started = Instant::now();
        let found = space.index.find(tenant, &asked, self.search_config().candidates).await?;
        (timings.lexical, timings.semantic, timings.legs) = (found.lexical_ms, found.semantic_ms, ms(started));
        let named = if query.market.is_none() { places::named(&query.text) } else { BTreeSet::new() };
        let Found { lexical, lexical_others, semantic, semantic_others, weights, .. } = found;
        Ok(Ranking { space, lexical, lexical_others, semantic, semantic_others, weights, asked, named, timings })
    }

    async fn leg_query(&self, tenant: &TenantId, query: &Query, space: &Space) -> Result<LegQuery> {
        let terms = self.terms(tenant).await?;
        // Rows are embedded in their own words, so a question is embedded in all that mean the same.
        let texts = std::iter::once(text::normalise(&query.text)).chain(terms.variants(&query.text)).collect();
        let vector = middle(self.embed_question(tenant, space, texts).await?);
        let filter =
            Filter { market: query.market.clone(), locale: query.locale.clone(), now: query.at.unwrap_or_else(|| self.clock().now()) };
        Ok(LegQuery { tokens: terms.tokens(&query.text), grams: terms.grams(&query.text), vector, filter })
    }

    /// Loads the best rows and decides over them.
    pub async fn conclude(
        &self,
        tenant: &TenantId,
        query: &Query,
        ranking: &Ranking,
        fused: Vec<Fused>,
        config: &SearchConfig,
    ) -> Result<Concluded> {
        let asked = &ranking.asked;
        let terms = self.terms(tenant).await?;
        let (lexical, semantic) = (ranking.space.index.lexical(), ranking.space.index.semantic());
        let weights = async {
            match &ranking.weights {
                Some(weights) => Ok(Some(weights.clone())),
                None => lexical.weights(tenant, &asked.tokens).await,
            }
        };
        let (weights, against) = tokio::try_join!(weights, semantic.against(tenant, asked, &ranking.semantic))?;
        let asked_for = Asked::new(query, &asked.tokens, weights.as_deref());
        let wanted = (query.top + SPARE).max(self.reranker().map_or(0, |reranker| reranker.candidates));
        let best: Vec<Fused> = fused.into_iter().take(wanted).collect();
        let ids: BTreeSet<&EntryId> = best.iter().map(|fused| &fused.entry).chain(against.iter().map(|not| &not.entry)).collect();
        let rows = self.store().entries(tenant, &ids.into_iter().cloned().collect::<Vec<_>>()).await?;
        let looking = Looking { knowledge: self.clone(), tenant: tenant.clone(), asked: asked.clone(), terms, against, best, rows };
        let (asked_for, mut hits, doubt) = compute::run(move || {
            let (hits, doubt) = looking.at_rows(&asked_for);
            (asked_for, hits, doubt)
        })
        .await?;
        let reranked = match self.reranker() {
            Some(reranker) => Some(rerank(reranker, &query.text, &mut hits).await),
            None => None,
        };
        let order = hits.iter().map(|hit| hit.entry.id.clone()).collect();
        fold::near_duplicates(&mut hits);
        hits.truncate(query.top);
        let decision = decide(&asked_for, &mut hits, config);
        Ok(Concluded { decision, hits, order, reranked, doubt })
    }
}

/// What is needed to weigh loaded rows.
struct Looking {
    knowledge: Knowledge,
    tenant: TenantId,
    asked: LegQuery,
    terms: Arc<Terms>,
    against: Vec<Scored>,
    best: Vec<Fused>,
    rows: Vec<KnowledgeEntry>,
}

impl Looking {
    /// The hits with what speaks for each of them, and what speaks against any answer.
    fn at_rows(self, asked_for: &Asked) -> (Vec<Hit>, Doubt) {
        let Self { knowledge, tenant, asked, terms, against, best, rows } = self;
        let mut rows: HashMap<EntryId, KnowledgeEntry> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        let nearest: Vec<(f32, String)> = against
            .iter()
            .filter_map(|not| Some((not.score, terms.canonical(&passage_text(&rows.get(&not.entry)?.draft, not.seq)))))
            .collect();
        let doubt = Doubt::new(asked_for, &nearest, &knowledge.markets(&tenant));
        let mut hits = Vec::with_capacity(best.len());
        for fused in best {
            // A row that is gone or no longer valid since the index followed is simply not there.
            let Some(entry) = rows.remove(&fused.entry).filter(|entry| entry.is_valid_at(asked.filter.now)) else { continue };
            let gist = knowledge.gists().get(&tenant, &entry, &terms);
            let (cosine, support) = fused.semantic.map_or((0.0, 0.0), |place| (place.score, place.support));
            let evidence = evidence(asked_for, &gist, cosine, support);
            let matched = matched(&asked.tokens, &gist);
            hits.push(Hit {
                passage: passage_text(&entry.draft, fused.seq),
                entry,
                score: evidence.confidence(doubt),
                evidence,
                gist,
                fused: fused.score,
                lexical: listed(fused.lexical),
                semantic: listed(fused.semantic),
                rerank: None,
                folded: Vec::new(),
                passed: false,
                reason: None,
                matched,
                direct_refused: None,
            });
        }
        (hits, doubt)
    }
}

/// What was decided over loaded rows.
#[derive(Clone, Debug)]
pub struct Concluded {
    /// How the question may be answered.
    pub decision: Decision,
    /// In rank order, near-misses included.
    pub hits: Vec<Hit>,
    /// The rows in rank order before any was folded.
    pub order: Vec<EntryId>,
    /// What the reranker did, where one is configured.
    pub reranked: Option<Reranked>,
    /// What speaks against any answer.
    pub doubt: Doubt,
}

/// The direction between several vectors; the vector itself when there is one.
pub(super) fn middle(mut vectors: Vec<Vec<f32>>) -> Vec<f32> {
    let Some(mut sum) = vectors.pop() else { return Vec::new() };
    if vectors.is_empty() {
        return sum;
    }
    for vector in &vectors {
        sum.iter_mut().zip(vector).for_each(|(all, one)| *all += one);
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        sum.iter_mut().for_each(|x| *x /= length);
    }
    sum
}

/// A leg's place is told only when it scored the entry at all.
fn listed(place: Option<LegRank>) -> Option<LegRank> {
    place.filter(|place| place.rank > 0 || place.score > 0.0)
}

/// The telling words of the question that the row has, each once.
fn matched(tokens: &[String], gist: &Gist) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let told = |token: &&String| !is_asking(token) && gist.words.contains(&gist::word(token));
    tokens.iter().filter(|token| told(token) && seen.insert(*token)).cloned().collect()
}

/// The passage's text, of a sentence the piece it is from; passages are cut the same way every time, so the number is
/// enough.
fn passage_text(draft: &super::EntryDraft, seq: u32) -> String {
    super::split::shown(draft, seq).unwrap_or_default()
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

impl SearchOutcome {
    /// The contract's `kb search` JSON.
    pub fn to_json(&self) -> Value {
        let place = |place: Option<LegRank>| place.map(|place| json!({"rank": place.rank, "score": place.score}));
        let hits: Vec<Value> = self
            .hits
            .iter()
            .map(|hit| {
                let mut row = json!({
                    "id": hit.entry.id, "question": hit.entry.draft.question, "answer": hit.entry.draft.answer,
                    "score": hit.score, "fused": hit.fused, "passage": hit.passage, "evidence": hit.evidence,
                    "lexical": place(hit.lexical), "semantic": place(hit.semantic), "passed": hit.passed, "matched": hit.matched,
                });
                if let Some(market) = &hit.entry.draft.market {
                    row["market"] = json!(market);
                }
                if let Some(score) = hit.rerank {
                    row["rerank"] = json!(score);
                }
                if !hit.folded.is_empty() {
                    row["folded"] = json!(hit.folded);
                }
                if let Some(refused) = &hit.direct_refused {
                    row["direct_refused"] = json!(refused);
                }
                if let Some(reason) = &hit.reason {
                    row["reason"] = json!(reason);
                }
                row
            })
            .collect();
        let mut told = json!({
            "query": self.query, "decision": self.decision, "hits": hits, "terms": self.terms, "doubt": self.doubt,
            "revision": self.revision, "fusion": self.weights.fusion, "timings_ms": self.timings,
            "weights": {"lexical": self.weights.lexical, "lexical_bare": self.weights.lexical_bare},
        });
        if let Some(reranked) = &self.reranked {
            told["rerank"] = json!(reranked);
        }
        told
    }
}
