//! What could be asked next: questions of near rows that the base can answer and that were not asked
//! in this conversation. Worked out once the answer's text is told, and within a time limit, so that
//! it delays nobody.

use std::time::Duration;

use crate::ids::TenantId;
use crate::knowledge::{Decision, Hit, Knowledge, Query, text};

/// Questions suggested after an answer.
const SUGGESTIONS: usize = 3;
/// The end of an answer, whose text is told by then, waits so long for them at most; a busy machine needs a few
/// hundred milliseconds for the searches.
const WITHIN: Duration = Duration::from_millis(1_500);

/// The questions of near rows, the nearest first, without the row that the answer quotes first.
pub fn candidates(hits: &[Hit], sources: &[Hit]) -> Vec<String> {
    let section = |hit: &Hit| hit.entry.draft.question.contains(crate::knowledge::read::markdown_path());
    let used = |hit: &&Hit| section(hit) || sources.iter().take(1).any(|source| source.entry.id == hit.entry.id);
    let questions = hits.iter().filter(|hit| !used(hit)).map(|hit| hit.entry.draft.question.clone());
    questions.filter(|question| !question.is_empty()).collect()
}

/// Those of the candidates that would be answered, and were not asked before.
pub async fn answerable(
    knowledge: &Knowledge,
    tenant: &TenantId,
    market: Option<&str>,
    candidates: Vec<String>,
    asked: &[String],
) -> Vec<String> {
    let mut known: Vec<String> = asked.iter().map(|question| text::question_key(question)).collect();
    let mut found = Vec::new();
    let looking = async {
        for question in candidates {
            let key = text::question_key(&question);
            if found.len() == SUGGESTIONS || known.contains(&key) {
                continue;
            }
            known.push(key);
            if is_answered(knowledge, tenant, market, &question).await {
                found.push(question);
            }
        }
    };
    // What was found in time is told; an answer is worth more than a suggestion.
    let _late = tokio::time::timeout(WITHIN, looking).await;
    found
}

async fn is_answered(knowledge: &Knowledge, tenant: &TenantId, market: Option<&str>, question: &str) -> bool {
    let query = Query { text: question.to_owned(), market: market.map(str::to_owned), top: 1, ..Query::default() };
    match knowledge.search(tenant, &query).await {
        Ok(outcome) => outcome.decision != Decision::None,
        Err(error) => {
            tracing::warn!(code = error.code(), "a suggestion could not be checked: {error}");
            false
        }
    }
}
