//! The shop's bots for its admins: how each is doing, and a test message to whoever is on duty.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::auth::Admin;
use super::origin::public_base;
use super::state::Shared;
use crate::error::Result;

/// The bots of the caller's shop, and the address that their callbacks begin with.
pub async fn list(State(state): State<Shared>, Admin(caller): Admin, headers: HeaderMap) -> Result<Json<Value>> {
    let bots = state.app.channels.bots(&caller.tenant).await?;
    Ok(Json(json!({"bots": bots, "base": public_base(&headers, &state.app.config)})))
}

/// Writes to whoever is on duty.
pub async fn test(State(state): State<Shared>, Admin(caller): Admin, Path((platform, bot)): Path<(String, String)>) -> Result<Json<Value>> {
    let reached = state.app.channels.test(&caller.tenant, &platform, &bot).await?;
    Ok(Json(json!({"sent_to": reached})))
}
