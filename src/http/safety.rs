//! What the guardrails did: the audit, for admins.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::retention::verdicts_since;
use super::state::Shared;
use crate::error::Result;
use crate::ids::Timestamp;

/// Most verdicts in one answer.
const MOST: i64 = 500;

/// `?limit=` and `?before=` (milliseconds), for the next page.
#[derive(Deserialize)]
pub struct Paging {
    limit: Option<i64>,
    before: Option<i64>,
}

/// The newest verdicts of the caller's shop.
pub async fn verdicts(State(state): State<Shared>, Admin(caller): Admin, Query(paging): Query<Paging>) -> Result<Json<Value>> {
    let limit = paging.limit.unwrap_or(100).clamp(1, MOST);
    let since = verdicts_since(&state.app, &caller.tenant).await?;
    let verdicts = state.app.safety.verdicts(&caller.tenant, since, paging.before.map(Timestamp), limit).await?;
    Ok(Json(json!({"verdicts": verdicts})))
}
