//! What operators and their tools ask: alive, ready, how busy; and which models there are.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::auth::{Address, Admin};
use super::state::Shared;
use crate::error::{Error, Result};
use crate::models::registry::ModelStatus;

/// Alive.
pub async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Ready when every tenant can be searched, and the database answers, and an index server where there is one.
pub async fn readyz(State(state): State<Shared>) -> Result<Json<Value>> {
    state.app.db.ping().await?;
    state.app.knowledge.check_index().await?;
    let tenants = state.app.tenants.list().await?;
    match tenants.iter().find(|tenant| !state.app.knowledge.ready(&tenant.id)) {
        Some(_) => Err(Error::unavailable("not_ready", "The knowledge is being brought up. Ask again in a moment.")),
        None => Ok(Json(json!({"status": "ready"}))),
    }
}

/// Prometheus text, for this machine or an admin.
pub async fn metrics(State(state): State<Shared>, _: Operator) -> Response {
    state.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}

/// The configured models with their prices, and how their providers are.
pub async fn models(State(state): State<Shared>, _: Admin) -> Json<Vec<ModelStatus>> {
    Json(state.app.models.statuses())
}

/// Somebody on this machine, or an admin.
pub struct Operator;

impl FromRequestParts<Shared> for Operator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self> {
        let Ok(Address(address)) = Address::from_request_parts(parts, state).await;
        if !address.is_loopback() {
            Admin::from_request_parts(parts, state).await?;
        }
        Ok(Self)
    }
}

/// The description of every route.
pub async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}
