//! Puts the best rows in the order of the reranker, where one is configured. One that fails leaves the
//! fused order, and says so.

use std::time::Instant;

use serde::Serialize;

use super::Hit;
use crate::models::Reranking;

/// What the reranker did.
#[derive(Clone, Debug, Serialize)]
pub struct Reranked {
    /// The model.
    pub model: String,
    /// Rows it was given.
    pub candidates: usize,
    /// Why the fused order stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Its milliseconds.
    #[serde(skip)]
    pub ms: f64,
}

/// Why a reranker brought nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The stable code.
    pub code: &'static str,
    /// For operators.
    pub message: String,
}

/// Reorders the first of the hits.
pub async fn rerank(reranker: &Reranking, question: &str, hits: &mut [Hit]) -> Reranked {
    let started = Instant::now();
    let given = hits.len().min(reranker.candidates);
    let mut outcome = Reranked { model: reranker.id().to_owned(), candidates: given, error: None, ms: 0.0 };
    let first = &mut hits[..given];
    if first.len() > 1 {
        let texts: Vec<String> = first.iter().map(text).collect();
        match reranker.scores(question, &texts).await {
            Ok(scores) => {
                first.iter_mut().zip(scores).for_each(|(hit, score)| hit.rerank = Some(score));
                // Stable: what it cannot tell apart stays in the fused order.
                first.sort_by(|a, b| b.rerank.unwrap_or_default().total_cmp(&a.rerank.unwrap_or_default()));
            }
            Err(error) => {
                tracing::warn!(code = error.code(), %error, model = reranker.id(), "the reranker failed; the fused order stands");
                outcome.error = Some(Failure { code: error.code(), message: error.to_string() });
            }
        }
    }
    outcome.ms = started.elapsed().as_secs_f64() * 1000.0;
    outcome
}

/// What the reranker reads of a row: its question, and the piece of the answer that matched.
fn text(hit: &Hit) -> String {
    let draft = &hit.entry.draft;
    let piece = if draft.answer.contains(&hit.passage) && !hit.passage.is_empty() { &hit.passage } else { &draft.answer };
    if draft.question.is_empty() { piece.clone() } else { format!("{}\n{piece}", draft.question) }
}
