//! What was asked and answered: conversations, a turn's trace, and the very row behind a `[n]`.
//! Visitors and members see their own, admins their tenant's; of anybody else's there is nothing.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Anyone;
use super::rows::row;
use super::state::Shared;
use crate::chat::Source;
use crate::error::{Error, Result};
use crate::ids::{ConversationId, EntryId, TurnId};
use crate::memory::Turn;

/// Most conversations in one answer.
const MOST: i64 = 200;

/// `?limit=`
#[derive(Deserialize)]
pub struct Paging {
    limit: Option<i64>,
}

/// The newest conversations.
pub async fn list(State(state): State<Shared>, Anyone(who): Anyone, Query(paging): Query<Paging>) -> Result<Json<Value>> {
    let limit = paging.limit.unwrap_or(50).clamp(1, MOST);
    let conversations = state.app.memory.conversations(&who.caller.tenant, who.caller.sees(), limit).await?;
    Ok(Json(json!({"conversations": conversations})))
}

/// One conversation with its turns.
pub async fn one(State(state): State<Shared>, Anyone(who): Anyone, Path(id): Path<ConversationId>) -> Result<Json<Value>> {
    let tenant = &who.caller.tenant;
    let conversation = state.app.memory.conversation(tenant, who.caller.sees(), &id).await?;
    let turns = state.app.memory.turns(tenant, &id).await?;
    Ok(Json(json!({"conversation": conversation, "turns": turns.iter().map(without_trace).collect::<Vec<_>>()})))
}

/// How an answer came about.
pub async fn trace(State(state): State<Shared>, Anyone(who): Anyone, Path(id): Path<TurnId>) -> Result<Json<Value>> {
    let turn = state.app.memory.turn(&who.caller.tenant, who.caller.sees(), &id).await?;
    Ok(Json(json!(turn)))
}

/// The row behind source `n` of an answer, as it is now.
pub async fn source(State(state): State<Shared>, Anyone(who): Anyone, Path((id, n)): Path<(TurnId, u32)>) -> Result<Json<Value>> {
    let turn = state.app.memory.turn(&who.caller.tenant, who.caller.sees(), &id).await?;
    let source = numbered(&turn, n)?;
    let entry = state.app.knowledge.entry(&who.caller.tenant, &EntryId::from_text(&source.entry_id)).await?;
    Ok(Json(source_row(&source, &row(entry, state.app.config.zone()))))
}

fn numbered(turn: &Turn, n: u32) -> Result<Source> {
    let sources: Vec<Source> = serde_json::from_value(turn.sources.clone())?;
    let unknown = || Error::not_found("source_not_found", format!("This answer has no source [{n}]."));
    sources.into_iter().find(|source| source.n == n).ok_or_else(unknown)
}

/// The row's fields that concern a reader, with what was quoted of it.
fn source_row(source: &Source, row: &Value) -> Value {
    let told = ["question", "answer", "category", "market", "locale", "valid_from", "valid_to", "source", "url"];
    let mut body: Value = told.iter().map(|&name| (name.to_owned(), row[name].clone())).collect();
    body["n"] = json!(source.n);
    body["entry_id"] = json!(source.entry_id);
    body["snippet"] = json!(source.snippet);
    body
}

/// The trace is long and has a door of its own.
fn without_trace(turn: &Turn) -> Value {
    let mut body = json!(turn);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("trace");
    }
    body
}
