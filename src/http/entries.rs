//! Single rows over HTTP: add, change, delete, their history, and taking the last change back. A row
//! has the contract's field names and goes through the checks of a row of a file.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::auth::Admin;
use super::problem::Body;
use super::rows::row;
use super::state::Shared;
use crate::error::{Error, Result};
use crate::ids::EntryId;
use crate::knowledge::export::object;
use crate::knowledge::read::row_of_object;
use crate::knowledge::store::Selection;
use crate::knowledge::{EntryDraft, Revision};

/// Versions shown of an entry.
const VERSIONS: usize = 100;

fn draft(object: &Map<String, Value>, zone: Tz) -> Result<EntryDraft> {
    row_of_object(object, zone).map_err(|error| Error::invalid(error.code, error.message))
}

/// `?accept_conflicts=true`
#[derive(Deserialize)]
pub struct Adding {
    #[serde(default)]
    accept_conflicts: bool,
}

/// Adds a row.
pub async fn add(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Query(how): Query<Adding>,
    body: Body<Map<String, Value>>,
) -> Result<Response> {
    let zone = state.app.config.zone();
    let draft = draft(&body.0, zone)?;
    let entry = state.app.knowledge.add(&caller.tenant, draft, how.accept_conflicts, caller.key.as_str()).await?;
    state.app.knowledge.settle(entry.revision).await;
    Ok((StatusCode::CREATED, Json(row(entry, zone))).into_response())
}

/// Gives a row another content; with `revision` only when it is still the one that was seen.
pub async fn change(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Path(id): Path<EntryId>,
    body: Body<Map<String, Value>>,
) -> Result<Json<Value>> {
    let zone = state.app.config.zone();
    // Before its content is looked at: whose row it is not learns nothing of what would be wrong.
    state.app.knowledge.entry(&caller.tenant, &id).await?;
    let seen: Option<Revision> = body.0.get("revision").and_then(Value::as_i64);
    let draft = draft(&body.0, zone)?;
    let entry = state.app.knowledge.change(&caller.tenant, &id, draft, seen, caller.key.as_str()).await?;
    state.app.knowledge.settle(entry.revision).await;
    Ok(Json(row(entry, zone)))
}

/// Deletes a row; its history stays, so that it can be taken back.
pub async fn remove(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<EntryId>) -> Result<Json<Value>> {
    state.app.knowledge.entry(&caller.tenant, &id).await?;
    let (deleted, revision) = state.app.knowledge.delete(&caller.tenant, &Selection::Ids(vec![id]), caller.key.as_str()).await?;
    state.app.knowledge.settle(revision).await;
    Ok(Json(json!({"deleted": deleted, "revision": revision})))
}

/// What a row said before, the newest first: who ended it, when and how.
pub async fn versions(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<EntryId>) -> Result<Json<Value>> {
    let zone = state.app.config.zone();
    let versions = state.app.knowledge.store().versions(&caller.tenant, &id, VERSIONS).await?;
    if versions.is_empty() {
        state.app.knowledge.entry(&caller.tenant, &id).await?;
    }
    let shown = versions.iter().map(|version| {
        json!({"revision": version.revision, "action": version.action, "by": version.by, "at_ms": version.at, "before": object(&version.before, zone)})
    });
    Ok(Json(json!({"versions": shown.collect::<Vec<_>>()})))
}

/// `?revision=`: which change or deletion is meant.
#[derive(Deserialize)]
pub struct Undoing {
    revision: Option<Revision>,
}

/// Takes the last change or the deletion back; with `revision` only when that is the last one still.
pub async fn undo(
    State(state): State<Shared>,
    Admin(caller): Admin,
    Path(id): Path<EntryId>,
    Query(what): Query<Undoing>,
) -> Result<Json<Value>> {
    let entry = state.app.knowledge.undo(&caller.tenant, &id, what.revision, caller.key.as_str()).await?;
    state.app.knowledge.settle(entry.revision).await;
    Ok(Json(row(entry, state.app.config.zone())))
}
