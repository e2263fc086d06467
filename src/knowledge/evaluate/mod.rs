//! How good is retrieval? Ranking quality per leg and fused (nDCG, MRR, recall), and how often the
//! decision refuses what the base cannot answer and what it can. Ranking is scored before thresholds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::fuse::Fused;
use super::index::Scored;
use super::search::Concluded;
use super::{Decision, Knowledge, Query};
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId, Timestamp};

pub mod tune;

pub use tune::Tuned;

/// One labelled question.
#[derive(Clone, Debug, Deserialize)]
pub struct LabelledQuery {
    /// What is asked.
    pub query: String,
    /// Rows that answer it; empty when the base cannot.
    pub relevant: Vec<String>,
    /// Rows taken out first (for example the question itself).
    #[serde(default)]
    pub exclude: Vec<String>,
    /// A group to report by.
    #[serde(default)]
    pub kind: Option<String>,
    /// Earlier questions of the conversation, for follow-ups; the caller makes `query` stand alone.
    #[serde(default)]
    pub history: Vec<String>,
    /// Only rows of this market.
    #[serde(default)]
    pub market: Option<String>,
    /// The conversation would answer it with a greeting and search for nothing; the caller says so.
    #[serde(skip)]
    pub small_talk: bool,
    /// The moment it is asked at, for which it was labelled; `None` is now.
    #[serde(skip)]
    pub at: Option<Timestamp>,
}

/// Reads labelled questions, one JSON object a line (plain or `.gz`).
///
/// # Errors
/// `bad_eval_file` naming the line, or that there is none: nothing asked is nothing measured.
pub fn read_labelled(text: &str) -> Result<Vec<LabelledQuery>> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    if lines.peek().is_none() {
        return Err(Error::invalid(
            "bad_eval_file",
            "The file has no question; expected lines of {\"query\":\"…\",\"relevant\":[\"id\"]}.",
        ));
    }
    lines
        .map(|(i, line)| {
            serde_json::from_str(line).map_err(|error| {
                Error::invalid(
                    "bad_eval_file",
                    format!("Line {} is not a labelled question ({error}); expected {{\"query\":\"…\",\"relevant\":[\"id\"]}}.", i + 1),
                )
            })
        })
        .collect()
}

/// Ranking figures of one leg.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Figures {
    /// Normalised discounted cumulative gain of the first ten.
    #[serde(rename = "ndcg@10")]
    pub ndcg10: f64,
    /// Mean reciprocal rank within the first ten.
    #[serde(rename = "mrr@10")]
    pub mrr10: f64,
    /// Share of the relevant rows among the first ten.
    #[serde(rename = "recall@10")]
    pub recall10: f64,
    /// Share among the first fifty.
    #[serde(rename = "recall@50")]
    pub recall50: f64,
}

/// The three rankings side by side.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Legs {
    /// BM25 alone.
    pub lexical: Figures,
    /// Vectors alone.
    pub semantic: Figures,
    /// Both.
    pub fused: Figures,
    /// In the reranker's order, where one is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranked: Option<Figures>,
}

/// How much better one order is than another on the same questions, in nDCG@10.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Gain {
    /// On average.
    pub mean: f64,
    /// The lower end of the 95 % interval of that average (paired t).
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Gain {
    /// From the difference on each question; none for fewer than four, which tell nothing.
    fn of(differences: &[f64]) -> Option<Self> {
        let count = differences.len() as f64;
        let freedom = count - 1.0;
        if freedom < 3.0 {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / count;
        let variance = differences.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / freedom;
        // Student's t at 97.5 % from the normal's 1.96 (Cornish and Fisher), right to 1 %.
        let t = 1.96 + 2.372 / freedom + 2.823 / freedom.powi(2) + 2.556 / freedom.powi(3);
        let reach = t * (variance / count).sqrt();
        Some(Self { mean, low: mean - reach, high: mean + reach })
    }
}

/// The contract's `kb eval` JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EvalReport {
    /// Ids in `relevant` that no row has: slips of the pen look like rows that are not found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<EntryId>,
    /// Questions asked.
    pub queries: usize,
    /// Those of them that some row answers.
    pub answerable: usize,
    /// The figures of what is served: the reranker's order where one is configured, else the fused one.
    #[serde(flatten)]
    pub figures: Figures,
    /// Per leg.
    pub legs: Legs,
    /// Fused against BM25 alone, question by question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<Gain>,
    /// Share of the answerable questions decided `none`.
    pub answerable_none: f64,
    /// Share of the unanswerable questions decided `none`.
    pub unanswerable_none: f64,
    /// Fused nDCG@10 (answerable) or share refused (unanswerable) per kind, with counts.
    pub kinds: BTreeMap<String, KindReport>,
    /// Time of a whole search.
    pub latency_ms: Latency,
    /// What `--tune` found, with its cross-validated figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuned: Option<Tuned>,
}

/// One kind of question.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct KindReport {
    /// How many.
    pub queries: usize,
    /// Fused nDCG@10 of the answerable ones.
    #[serde(rename = "ndcg@10", skip_serializing_if = "Option::is_none")]
    pub ndcg10: Option<f64>,
    /// Share decided `none`.
    pub none: f64,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

/// What one question brought, kept for tuning.
struct Sample {
    query: LabelledQuery,
    lexical: Vec<EntryId>,
    semantic: Vec<EntryId>,
    ranking: super::search::Ranking,
    fused: Vec<EntryId>,
    /// Only where a reranker is configured.
    reranked: Option<Vec<EntryId>>,
    decision: Decision,
    confidence: f32,
    millis: f64,
}

impl Sample {
    fn answerable(&self) -> bool {
        !self.query.relevant.is_empty()
    }

    /// The order that is served.
    fn served(&self) -> &[EntryId] {
        self.reranked.as_deref().unwrap_or(&self.fused)
    }
}

/// Asks every question and reports. `progress` is called with the number done.
pub async fn run(
    knowledge: &Knowledge,
    tenant: &TenantId,
    queries: Vec<LabelledQuery>,
    top: usize,
    tune: bool,
    progress: impl Fn(usize),
) -> Result<EvalReport> {
    let named: BTreeSet<&String> = queries.iter().flat_map(|query| &query.relevant).collect();
    let named: Vec<EntryId> = named.into_iter().map(EntryId::from_text).collect();
    let there: HashSet<EntryId> = knowledge.store().entries(tenant, &named).await?.into_iter().map(|entry| entry.id).collect();
    let unknown = named.into_iter().filter(|id| !there.contains(id)).collect();
    let mut samples = Vec::with_capacity(queries.len());
    for (i, query) in queries.into_iter().enumerate() {
        samples.push(ask(knowledge, tenant, query, top).await?);
        progress(i + 1);
    }
    let mut report = EvalReport { unknown, ..summarise(&samples) };
    if tune {
        report.tuned = Some(tune::cross_validated(&samples, &knowledge.settings(tenant).await?));
    }
    Ok(report)
}

async fn ask(knowledge: &Knowledge, tenant: &TenantId, query: LabelledQuery, top: usize) -> Result<Sample> {
    let asked = Query { text: query.query.clone(), market: query.market.clone(), top: 10, at: query.at, ..Query::default() };
    let started = Instant::now();
    let mut ranking = knowledge.rank(tenant, &asked).await?;
    let excluded: Vec<EntryId> = query.exclude.iter().map(EntryId::from_text).collect();
    if !excluded.is_empty() {
        ranking.without(&excluded);
    }
    let in_force = knowledge.settings(tenant).await?;
    let fused = ranking.fused((&in_force).into());
    let order = ids_of_fused(&fused, top);
    let concluded = knowledge.conclude(tenant, &asked, &ranking, fused, &in_force).await?;
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    Ok(Sample {
        lexical: ids(&ranking.lexical, top),
        semantic: ids(&ranking.semantic, top),
        reranked: concluded.reranked.as_ref().map(|_| served(&concluded, order.clone())),
        fused: order,
        decision: if query.small_talk { Decision::None } else { concluded.decision },
        confidence: if query.small_talk { 0.0 } else { concluded.hits.iter().map(|hit| hit.score).fold(0.0, f32::max) },
        millis,
        ranking,
        query,
    })
}

/// The order that is served: the reranker's where one is configured, then what it did not see.
pub(super) fn served(concluded: &Concluded, fused: Vec<EntryId>) -> Vec<EntryId> {
    if concluded.reranked.is_none() {
        return fused;
    }
    let rest = fused.into_iter().filter(|id| !concluded.order.contains(id));
    concluded.order.iter().cloned().chain(rest).collect()
}

fn ids(scored: &[Scored], top: usize) -> Vec<EntryId> {
    scored.iter().take(top.max(50)).map(|hit| hit.entry.clone()).collect()
}

fn ids_of_fused(fused: &[Fused], top: usize) -> Vec<EntryId> {
    fused.iter().take(top.max(50)).map(|hit| hit.entry.clone()).collect()
}

fn summarise(samples: &[Sample]) -> EvalReport {
    let answerable: Vec<&Sample> = samples.iter().filter(|sample| sample.answerable()).collect();
    let figures = |order: fn(&Sample) -> &[EntryId]| mean_figures(answerable.iter().map(|s| (order(s), s.query.relevant.as_slice())));
    let reranked = samples.iter().any(|s| s.reranked.is_some()).then(|| figures(Sample::served));
    let legs = Legs { lexical: figures(|s| &s.lexical), semantic: figures(|s| &s.semantic), fused: figures(|s| &s.fused), reranked };
    let ndcg = |order: &[EntryId], sample: &Sample| self::figures(order, &sample.query.relevant).ndcg10;
    let mut times: Vec<f64> = samples.iter().map(|sample| sample.millis).collect();
    times.sort_by(f64::total_cmp);
    EvalReport {
        unknown: Vec::new(),
        queries: samples.len(),
        answerable: answerable.len(),
        figures: legs.reranked.unwrap_or(legs.fused),
        legs,
        gain: Gain::of(&answerable.iter().map(|s| ndcg(&s.fused, s) - ndcg(&s.lexical, s)).collect::<Vec<_>>()),
        answerable_none: share(answerable.iter().map(|s| s.decision == Decision::None)),
        unanswerable_none: share(samples.iter().filter(|s| !s.answerable()).map(|s| s.decision == Decision::None)),
        kinds: by_kind(samples),
        latency_ms: Latency { p50: percentile(&times, 0.5), p99: percentile(&times, 0.99) },
        tuned: None,
    }
}

fn by_kind(samples: &[Sample]) -> BTreeMap<String, KindReport> {
    let mut groups: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        if let Some(kind) = &sample.query.kind {
            groups.entry(kind.clone()).or_default().push(sample);
        }
    }
    let report = |group: Vec<&Sample>| {
        let answerable = group.iter().filter(|s| s.answerable()).map(|s| (s.served(), s.query.relevant.as_slice()));
        let any = group.iter().any(|s| s.answerable());
        KindReport {
            queries: group.len(),
            ndcg10: any.then(|| mean_figures(answerable).ndcg10),
            none: share(group.iter().map(|s| s.decision == Decision::None)),
        }
    };
    groups.into_iter().map(|(kind, group)| (kind, report(group))).collect()
}

fn mean_figures<'a>(rankings: impl Iterator<Item = (&'a [EntryId], &'a [String])>) -> Figures {
    let mut sum = Figures::default();
    let mut count = 0.0;
    for (order, relevant) in rankings {
        let one = figures(order, relevant);
        sum.ndcg10 += one.ndcg10;
        sum.mrr10 += one.mrr10;
        sum.recall10 += one.recall10;
        sum.recall50 += one.recall50;
        count += 1.0;
    }
    if count == 0.0 {
        return sum;
    }
    Figures { ndcg10: sum.ndcg10 / count, mrr10: sum.mrr10 / count, recall10: sum.recall10 / count, recall50: sum.recall50 / count }
}

/// The figures of one ranking with binary relevance; gain at rank r is 1 / log2(r + 1).
pub(super) fn figures(order: &[EntryId], relevant: &[String]) -> Figures {
    let hit = |id: &EntryId| relevant.iter().any(|wanted| wanted == id.as_str());
    let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let dcg: f64 = order.iter().take(10).enumerate().filter(|(_, id)| hit(id)).map(|(rank, _)| gain(rank)).sum();
    let ideal: f64 = (0..relevant.len().min(10)).map(gain).sum();
    let first = order.iter().take(10).position(hit);
    let found = |k: usize| order.iter().take(k).filter(|id| hit(id)).count() as f64 / relevant.len().max(1) as f64;
    Figures {
        ndcg10: if ideal > 0.0 { dcg / ideal } else { 0.0 },
        mrr10: first.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0)),
        recall10: found(10),
        recall50: found(50),
    }
}

fn share(of: impl Iterator<Item = bool>) -> f64 {
    let (yes, all) = of.fold((0.0, 0.0), |(yes, all), one| (yes + f64::from(u8::from(one)), all + 1.0));
    if all == 0.0 { 0.0 } else { yes / all }
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_known_ranking() {
        let order: Vec<EntryId> = ["a", "b", "c"].map(EntryId::from_text).to_vec();
        let one = figures(&order, &["b".to_owned()]);
        assert!((one.ndcg10 - 1.0 / 3f64.log2()).abs() < 1e-9);
        assert_eq!((one.mrr10, one.recall10), (0.5, 1.0));
        assert_eq!(figures(&order, &["z".to_owned()]).ndcg10, 0.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
    }

    #[test]
    fn a_gain_has_the_interval_of_a_paired_t() {
        let gain = Gain::of(&[0.1, 0.3, 0.2, 0.4, 0.0, 0.2]).unwrap();
        // By hand: mean 0.2, deviation 0.1414, t 2.571 at five degrees of freedom.
        assert!((gain.mean - 0.2).abs() < 1e-9);
        assert!((gain.high - 0.2 - 2.571 * 0.1414 / 6f64.sqrt()).abs() < 0.003, "{gain:?}");
        assert!((gain.high - gain.mean - (gain.mean - gain.low)).abs() < 1e-9);
        assert!(Gain::of(&[0.5, 0.4, 0.3]).is_none());
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = read_labelled("{\"query\":\"a\",\"relevant\":[]}\n{oops").unwrap_err();
        assert!(error.message().contains("Line 2"), "{error}");
    }
}
