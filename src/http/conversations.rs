//! What was asked and answered: conversations listed, exported and deleted, a turn's trace, and the
//! very row behind a `[n]`. Visitors and members see their own, admins their tenant's; of anybody
//! else's there is nothing.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, Anyone};
use super::rows::row;
use super::state::Shared;
use crate::chat::Source;
use crate::error::{Error, Result};
use crate::ids::{ConversationId, EntryId, Timestamp, TurnId};
use crate::memory::{Conversation, Filter, Rating, Turn, Went};
use crate::tenants::{Caller, Role};

/// Most conversations in one answer.
const MOST: i64 = 200;

/// Conversations read at a time for an export.
const PAGE: i64 = 50;

/// `?q=&rating=&channel=&decision=&outcome=&before=&limit=`
#[derive(Deserialize)]
pub struct Wanted {
    /// Words in a question or an answer.
    q: Option<String>,
    rating: Option<Rating>,
    channel: Option<String>,
    decision: Option<String>,
    /// Refused, failed, broken off.
    outcome: Option<Went>,
    /// The `next` of the page before.
    before: Option<String>,
    limit: Option<i64>,
}

impl Wanted {
    fn filter<'a>(&'a self, who: &'a Caller) -> Result<Filter<'a>> {
        let given = |text: &'a Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        Ok(Filter {
            owner: who.sees(),
            text: given(&self.q),
            rating: self.rating,
            channel: given(&self.channel),
            decision: given(&self.decision),
            went: self.outcome,
            before: given(&self.before).map(place).transpose()?,
        })
    }
}

/// `<updated_ms>:<conversation_id>`: where the next page begins.
fn place(text: &str) -> Result<(Timestamp, ConversationId)> {
    let place = text.split_once(':').and_then(|(at, id)| Some((Timestamp(at.parse().ok()?), ConversationId::from_text(id))));
    place.ok_or_else(|| Error::invalid("bad_page", "`before` must be the `next` of the page before."))
}

fn next_page(page: &[Conversation], limit: i64) -> Option<String> {
    let full = i64::try_from(page.len()).is_ok_and(|len| len == limit);
    page.last().filter(|_| full).map(|last| format!("{}:{}", last.updated.0, last.id))
}

/// Conversations, the last changed first, a page at a time.
pub async fn list(State(state): State<Shared>, Anyone(who): Anyone, Query(wanted): Query<Wanted>) -> Result<Json<Value>> {
    let limit = wanted.limit.unwrap_or(50).clamp(1, MOST);
    let conversations = state.app.memory.conversations(&who.caller.tenant, &wanted.filter(&who.caller)?, limit).await?;
    let next = next_page(&conversations, limit);
    Ok(Json(json!({"conversations": conversations, "next": next})))
}

/// The same conversations whole, one JSON object a line; an error in the middle ends the file short,
/// without its last line.
pub async fn export(State(state): State<Shared>, Admin(caller): Admin, Query(wanted): Query<Wanted>) -> Result<Response> {
    wanted.filter(&caller)?;
    let pages = stream::try_unfold(Some(wanted), move |wanted| {
        let (state, caller) = (Arc::clone(&state), caller.clone());
        async move {
            let Some(mut wanted) = wanted else { return Ok::<_, Error>(None) };
            let page = state.app.memory.conversations(&caller.tenant, &wanted.filter(&caller)?, PAGE).await?;
            let mut lines = String::new();
            for conversation in &page {
                let turns = state.app.memory.turns(&caller.tenant, &conversation.id).await?;
                let replies = state.app.memory.human_replies(&caller.tenant, &conversation.id).await?;
                let turns: Vec<Value> = turns.iter().map(as_told).collect();
                let line = json!({"conversation": conversation, "turns": turns, "replies": replies});
                lines.push_str(&format!("{line}\n"));
            }
            wanted.before = next_page(&page, PAGE);
            let rest = wanted.before.is_some().then_some(wanted);
            Ok(Some((lines, rest)))
        }
    });
    let headers =
        [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CONTENT_DISPOSITION, "attachment; filename=\"conversations.jsonl\"")];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// Deletes a conversation for good.
pub async fn delete(State(state): State<Shared>, Anyone(who): Anyone, Path(id): Path<ConversationId>) -> Result<StatusCode> {
    state.app.engine.delete(&who.caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One conversation with its turns, and what people said where they were called.
pub async fn one(State(state): State<Shared>, Anyone(who): Anyone, Path(id): Path<ConversationId>) -> Result<Json<Value>> {
    let tenant = &who.caller.tenant;
    let conversation = state.app.memory.conversation(tenant, who.caller.sees(), &id).await?;
    let turns = state.app.memory.turns(tenant, &id).await?;
    let replies = state.app.memory.human_replies(tenant, &id).await?;
    Ok(Json(json!({"conversation": conversation, "turns": turns.iter().map(as_told).collect::<Vec<_>>(), "replies": replies})))
}

/// How an answer came about: for the shop's own people, because it shows the prompt.
pub async fn trace(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<TurnId>) -> Result<Json<Value>> {
    let turn = state.app.memory.turn(&caller.tenant, None, &id).await?;
    Ok(Json(json!(turn)))
}

/// The row behind source `n` of an answer, as it is now: for who asks as an answer would tell it, for admins as it
/// was written.
pub async fn source(State(state): State<Shared>, Anyone(who): Anyone, Path((id, n)): Path<(TurnId, u32)>) -> Result<Json<Value>> {
    let turn = state.app.memory.turn(&who.caller.tenant, who.caller.sees(), &id).await?;
    let source = numbered(&turn, n)?;
    let mut entry = state.app.knowledge.entry(&who.caller.tenant, &EntryId::from_text(&source.entry_id)).await?;
    if who.caller.role != Role::Admin {
        entry = state.app.engine.presentable(&who.caller.tenant, entry).await;
    }
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

/// A turn as its conversation tells it. The trace is long and has a door of its own.
fn as_told(turn: &Turn) -> Value {
    let mut body = json!(turn);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("trace");
    }
    body
}
