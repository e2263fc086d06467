//! The shop's bots for its admins: how each is doing, and a test message to whoever is on duty.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::auth::Admin;
use super::state::Shared;
use crate::error::Result;

/// The bots of the caller's shop.
pub async fn list(State(state): State<Shared>, Admin(caller): Admin) -> Result<Json<Value>> {
    Ok(Json(json!({"bots": state.app.channels.bots(&caller.tenant).await?})))
}

/// Writes to whoever is on duty.
pub async fn test(State(state): State<Shared>, Admin(caller): Admin, Path((platform, bot)): Path<(String, String)>) -> Result<Json<Value>> {
    let reached = state.app.channels.test(&caller.tenant, &platform, &bot).await?;
    Ok(Json(json!({"sent_to": reached})))
}
