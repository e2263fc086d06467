//! What models cost this shop: a month's tokens and money.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::auth::Admin;
use super::state::Shared;
use crate::error::Result;
use crate::ledger::Report;

/// `?month=2026-11`; none is the current one.
#[derive(Deserialize)]
pub struct Asked {
    month: Option<String>,
}

/// The month by model and day.
pub async fn month(State(state): State<Shared>, Admin(caller): Admin, Query(asked): Query<Asked>) -> Result<Json<Report>> {
    Ok(Json(state.app.ledger.report(&caller.tenant, asked.month.as_deref()).await?))
}
