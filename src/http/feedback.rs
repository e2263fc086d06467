//! What readers think of answers: `feedback.create` and `POST /api/v1/feedback`; admins read it.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, Anyone};
use super::problem::Body;
use super::state::Shared;
use crate::chat::ChatEngine;
use crate::error::{Error, Result};
use crate::ids::{Timestamp, TurnId};
use crate::memory::Rating;
use crate::tenants::Caller;

/// Most reasons, and characters of one.
const REASONS: usize = 10;
const REASON_CHARS: usize = 64;
/// Longest comment, in characters.
const COMMENT_CHARS: usize = 2_000;
/// Most ratings in one answer.
const MOST: i64 = 200;

/// The fields of `feedback.create`; unknown ones are ignored.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FeedbackCreate {
    #[cfg_attr(test, ts(type = "string"))]
    pub response_id: TurnId,
    pub rating: Rating,
    #[cfg_attr(test, ts(optional))]
    pub reasons: Option<Vec<String>>,
    #[cfg_attr(test, ts(optional))]
    pub comment: Option<String>,
}

impl FeedbackCreate {
    /// Keeps it with the answer, instead of what was said before.
    ///
    /// # Errors
    /// `bad_feedback` when it is too long, `response_not_found` when the answer is another's.
    pub async fn keep(&self, engine: &ChatEngine, caller: &Caller) -> Result<()> {
        let long = |text: &String, most| text.chars().count() > most;
        let reasons = self.reasons.as_deref().unwrap_or_default();
        if reasons.len() > REASONS
            || reasons.iter().any(|reason| long(reason, REASON_CHARS))
            || self.comment.as_ref().is_some_and(|comment| long(comment, COMMENT_CHARS))
        {
            let message = format!(
                "Give at most {REASONS} reasons of at most {REASON_CHARS} characters, and a comment of at most {COMMENT_CHARS} characters."
            );
            return Err(Error::invalid("bad_feedback", message));
        }
        let comment = self.comment.as_deref().map(str::trim).filter(|comment| !comment.is_empty());
        engine.rate(&caller.tenant, &caller.owner, &self.response_id, self.rating, reasons, comment).await
    }
}

/// Rates an answer of one's own.
pub async fn create(State(state): State<Shared>, Anyone(who): Anyone, Body(said): Body<FeedbackCreate>) -> Result<StatusCode> {
    said.keep(&state.app.engine, &who.caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `?rating=&before=&limit=`
#[derive(Deserialize)]
pub struct Wanted {
    rating: Option<Rating>,
    before: Option<i64>,
    limit: Option<i64>,
}

/// Rated answers, the newest rating first.
pub async fn list(State(state): State<Shared>, Admin(caller): Admin, Query(wanted): Query<Wanted>) -> Result<Json<Value>> {
    let limit = wanted.limit.unwrap_or(50).clamp(1, MOST);
    let before = wanted.before.map(Timestamp);
    let feedback = state.app.memory.rated(&caller.tenant, wanted.rating, before, limit).await?;
    Ok(Json(json!({"feedback": feedback})))
}
