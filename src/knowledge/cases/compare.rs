//! A shop's labelled questions under the settings in force and under others: how each comes out, and what
//! changes. Every question is ranked once; what is bounded is how many are asked and for how long.

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::Case;
use crate::config::SearchConfig;
use crate::error::Result;
use crate::ids::{EntryId, TenantId};
use crate::knowledge::evaluate::{figures, served};
use crate::knowledge::search::Ranking;
use crate::knowledge::{Decision, Knowledge, Query};

/// Most questions of one run, the newest.
pub const MOST: usize = 2_000;
/// A run ends after this long with what it has.
const PATIENCE: Duration = Duration::from_secs(45);
/// Questions asked at the same time.
const AT_ONCE: usize = 2;
/// A row further down was not found.
const DEEP: usize = 50;
/// A row within so many may become a source.
const NEAR: usize = 10;

/// How one question came out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Outcome {
    /// The place of the first row that answers it, from 1; none when it is not among the first fifty.
    pub rank: Option<usize>,
    /// What would be done with the question.
    pub decision: Decision,
    #[serde(skip)]
    ndcg10: f64,
}

/// What other settings do to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Change {
    /// It comes out worse.
    Worse,
    /// It comes out better.
    Better,
    /// It comes out the same.
    Same,
}

/// One question of a run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Judged {
    /// The case.
    pub id: String,
    /// What is asked.
    pub query: String,
    /// Asked of this market.
    pub market: Option<String>,
    /// Whether the base can answer it.
    pub answerable: bool,
    /// Whether every row that answers it is gone.
    pub gone: bool,
    /// Under the settings in force.
    pub before: Outcome,
    /// Under the others.
    pub after: Option<Outcome>,
    /// What they do to it.
    pub change: Option<Change>,
}

/// A run in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Summary {
    /// nDCG@10 of the answerable ones.
    #[serde(rename = "ndcg@10")]
    pub ndcg10: f64,
    /// Questions that the base can answer.
    pub answerable: usize,
    /// Of those, refused.
    pub lost: usize,
    /// Questions that it cannot answer.
    pub unanswerable: usize,
    /// Of those, refused.
    pub refused: usize,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Comparison {
    /// Questions kept.
    pub cases: u64,
    /// Questions asked; fewer when there are more than 2,000, or when time was up.
    pub asked: usize,
    /// Under the settings in force.
    pub before: Summary,
    /// Under the others.
    pub after: Option<Summary>,
    /// Every question, what got worse first, then what got better; without other settings what comes out badly first.
    pub questions: Vec<Judged>,
}

impl Outcome {
    /// What is better is more: answered from a row that answers it, then refused, then answered from others; of what
    /// cannot be answered, refused. Among equals a better rank counts.
    fn worth(&self, answerable: bool) -> (u8, usize) {
        let refused = self.decision == Decision::None;
        let place = DEEP + 1 - self.rank.unwrap_or(DEEP + 1).min(DEEP + 1);
        match (answerable, refused) {
            (false, refused) => (u8::from(refused), 0),
            (true, true) => (1, place),
            (true, false) if self.rank.is_some_and(|rank| rank <= NEAR) => (2, place),
            (true, false) => (0, place),
        }
    }
}

impl Judged {
    fn change(&self) -> Option<Change> {
        let after = self.after?.worth(self.answerable);
        Some(match after.cmp(&self.before.worth(self.answerable)) {
            std::cmp::Ordering::Less => Change::Worse,
            std::cmp::Ordering::Greater => Change::Better,
            std::cmp::Ordering::Equal => Change::Same,
        })
    }
}

impl Summary {
    fn of<'a>(outcomes: impl Iterator<Item = (bool, &'a Outcome)>) -> Self {
        let (mut summary, mut sum) = (Self::default(), 0.0);
        for (answerable, outcome) in outcomes {
            let refused = usize::from(outcome.decision == Decision::None);
            if answerable {
                summary.answerable += 1;
                summary.lost += refused;
                sum += outcome.ndcg10;
            } else {
                summary.unanswerable += 1;
                summary.refused += refused;
            }
        }
        summary.ndcg10 = if summary.answerable == 0 { 0.0 } else { sum / summary.answerable as f64 };
        summary
    }
}

/// Asks a shop's labelled questions under the settings in force and, when there are some, under others.
///
/// # Errors
/// What the database or a leg says.
pub async fn run(knowledge: &Knowledge, tenant: &TenantId, other: Option<&SearchConfig>) -> Result<Comparison> {
    let in_force = knowledge.settings(tenant).await?;
    let (all, cases) = (knowledge.store().count_cases(tenant).await?, knowledge.store().cases(tenant, None, MOST).await?);
    let live = live(knowledge, tenant, &cases).await?;
    let one = |case| judge(knowledge, tenant, case, &live, &in_force, other);
    let asked = futures::stream::iter(cases).map(one).buffered(AT_ONCE).take_until(tokio::time::sleep(PATIENCE));
    let mut questions: Vec<Judged> = asked.try_collect().await?;
    let before = Summary::of(questions.iter().map(|one| (one.answerable, &one.before)));
    let after = other.map(|_| Summary::of(questions.iter().filter_map(|one| Some((one.answerable, one.after.as_ref()?)))));
    questions.sort_by_key(|one| (one.change, one.before.worth(one.answerable)));
    Ok(Comparison { cases: all, asked: questions.len(), before, after, questions })
}

/// Which of the rows that cases name are there.
async fn live(knowledge: &Knowledge, tenant: &TenantId, cases: &[Case]) -> Result<HashSet<EntryId>> {
    let named: HashSet<EntryId> = cases.iter().flat_map(|case| &case.relevant).map(EntryId::from_text).collect();
    let rows = knowledge.store().entries(tenant, &named.into_iter().collect::<Vec<_>>()).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

async fn judge(
    knowledge: &Knowledge,
    tenant: &TenantId,
    case: Case,
    live: &HashSet<EntryId>,
    in_force: &SearchConfig,
    other: Option<&SearchConfig>,
) -> Result<Judged> {
    let query = Query { text: case.query.clone(), market: case.market.clone(), top: 10, ..Query::default() };
    let ranking = knowledge.rank(tenant, &query).await?;
    let before = outcome(knowledge, tenant, &query, &case, &ranking, in_force).await?;
    let after = match other {
        Some(settings) => Some(outcome(knowledge, tenant, &query, &case, &ranking, settings).await?),
        None => None,
    };
    let answerable = !case.relevant.is_empty();
    let gone = answerable && !case.relevant.iter().any(|id| live.contains(&EntryId::from_text(id)));
    let judged = Judged { id: case.id, query: case.query, market: case.market, answerable, gone, before, after, change: None };
    Ok(Judged { change: judged.change(), ..judged })
}

async fn outcome(
    knowledge: &Knowledge,
    tenant: &TenantId,
    query: &Query,
    case: &Case,
    ranking: &Ranking,
    settings: &SearchConfig,
) -> Result<Outcome> {
    let fused = ranking.fused(settings.into());
    let order: Vec<EntryId> = fused.iter().take(DEEP).map(|hit| hit.entry.clone()).collect();
    let concluded = knowledge.conclude(tenant, query, ranking, fused, settings).await?;
    let order = served(&concluded, order);
    let rank = order.iter().take(DEEP).position(|id| case.relevant.iter().any(|wanted| wanted == id.as_str())).map(|place| place + 1);
    Ok(Outcome { rank, decision: concluded.decision, ndcg10: figures(&order, &case.relevant).ndcg10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rank: Option<usize>, decision: Decision) -> Outcome {
        Outcome { rank, decision, ndcg10: 1.0 }
    }

    fn change(answerable: bool, before: Outcome, after: Outcome) -> Change {
        let judged = Judged {
            id: String::new(),
            query: String::new(),
            market: None,
            answerable,
            gone: false,
            before,
            after: Some(after),
            change: None,
        };
        judged.change().unwrap()
    }

    #[test]
    fn a_change_is_judged_by_what_the_merchant_gets() {
        use Decision::{Direct, Grounded, None as Refused};
        let (first, fourth) = (outcome(Some(1), Grounded), outcome(Some(4), Grounded));
        assert_eq!(change(true, fourth, first), Change::Better);
        assert_eq!(change(true, first, outcome(Some(1), Refused)), Change::Worse);
        assert_eq!(change(true, outcome(Some(1), Direct), first), Change::Same);
        assert_eq!(
            change(true, outcome(None, Grounded), outcome(None, Refused)),
            Change::Better,
            "no answer is better than one from other rows"
        );
        assert_eq!(change(false, outcome(None, Grounded), outcome(None, Refused)), Change::Better);
        assert!(Change::Worse < Change::Better && Change::Better < Change::Same);
    }

    #[test]
    fn a_summary_counts_what_is_lost_and_what_is_refused() {
        let outcomes = [
            (true, outcome(Some(1), Decision::Grounded)),
            (true, Outcome { ndcg10: 0.5, ..outcome(Some(2), Decision::None) }),
            (false, outcome(None, Decision::None)),
            (false, outcome(None, Decision::Direct)),
        ];
        let summary = Summary::of(outcomes.iter().map(|(answerable, outcome)| (*answerable, outcome)));
        assert_eq!(summary, Summary { ndcg10: 0.75, answerable: 2, lost: 1, unanswerable: 2, refused: 1 });
    }
}
