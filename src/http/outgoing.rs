//! What was told to the customer's own systems: the log of deliveries, and one sent again.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::state::Shared;
use crate::error::Result;
use crate::events::store::Wanted;
use crate::ids::Timestamp;

/// Most deliveries in one answer.
const MOST: i64 = 500;

/// `?endpoint=&state=&before=&limit=`
#[derive(Deserialize)]
pub struct Paging {
    endpoint: Option<String>,
    state: Option<String>,
    before: Option<i64>,
    limit: Option<i64>,
}

/// The newest deliveries of the caller's shop.
pub async fn log(State(state): State<Shared>, Admin(caller): Admin, Query(paging): Query<Paging>) -> Result<Json<Value>> {
    let limit = paging.limit.unwrap_or(100).clamp(1, MOST);
    let wanted = Wanted { endpoint: paging.endpoint.as_deref(), state: paging.state.as_deref(), before: paging.before.map(Timestamp) };
    let deliveries = state.app.outgoing.log(&caller.tenant, &wanted, limit).await?;
    Ok(Json(json!({"deliveries": deliveries})))
}

/// Sends one again, under the same id.
pub async fn send_again(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<String>) -> Result<StatusCode> {
    state.app.outgoing.send_again(&caller.tenant, &id).await?;
    Ok(StatusCode::ACCEPTED)
}
