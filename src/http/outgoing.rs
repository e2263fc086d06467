//! What was told to the customer's own systems: the log of deliveries, and one sent again.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::state::Shared;
use crate::error::{Error, Result};
use crate::events::store::Wanted;
use crate::ids::Timestamp;

/// Most deliveries in one answer.
const MOST: i64 = 500;

/// `?endpoint=&state=&before=&limit=`
#[derive(Deserialize)]
pub struct Paging {
    endpoint: Option<String>,
    state: Option<String>,
    /// A moment, or the `next` of the page before.
    before: Option<String>,
    limit: Option<i64>,
}

/// Who is told what in the caller's shop.
pub async fn endpoints(State(state): State<Shared>, Admin(caller): Admin) -> Result<Json<Value>> {
    Ok(Json(json!({"endpoints": state.app.outgoing.endpoints(&caller.tenant).await?})))
}

/// `<moment>` or `<moment>:<id>`.
fn place(text: &str) -> Result<(Timestamp, Option<&str>)> {
    let (at, id) = text.split_once(':').map_or((text, None), |(at, id)| (at, Some(id)));
    let wrong = |_| Error::invalid("bad_page", "`before` must be a moment in milliseconds, or the `next` of the page before.");
    Ok((Timestamp(at.parse().map_err(wrong)?), id))
}

/// The newest deliveries of the caller's shop.
pub async fn log(State(state): State<Shared>, Admin(caller): Admin, Query(paging): Query<Paging>) -> Result<Json<Value>> {
    let limit = paging.limit.unwrap_or(100).clamp(1, MOST);
    let wanted = Wanted {
        endpoint: paging.endpoint.as_deref(),
        state: paging.state.as_deref(),
        before: paging.before.as_deref().map(place).transpose()?,
    };
    let deliveries = state.app.outgoing.log(&caller.tenant, &wanted, limit).await?;
    let full = i64::try_from(deliveries.len()) == Ok(limit);
    let next = deliveries.last().filter(|_| full).map(|last| format!("{}:{}", last.created_ms.0, last.id));
    Ok(Json(json!({"deliveries": deliveries, "next": next})))
}

/// Sends one again, under the same id.
pub async fn send_again(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<String>) -> Result<StatusCode> {
    state.app.outgoing.send_again(&caller.tenant, &id).await?;
    Ok(StatusCode::ACCEPTED)
}
