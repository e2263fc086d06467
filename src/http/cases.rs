//! The shop's labelled questions, and a run of them under the settings in force and under others.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::knowledge::Tried;
use super::problem::Body;
use super::state::Shared;
use crate::error::{Error, Result};
use crate::ids::{EntryId, Timestamp};
use crate::knowledge::cases::{CaseDraft, compare};

/// Most cases in one answer.
const MOST: usize = 500;

/// `?after=&limit=`
#[derive(Deserialize)]
pub struct Paging {
    /// The `next` of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

/// `<moment>:<id>`: where the next page begins.
fn place(text: &str) -> Result<(Timestamp, String)> {
    let place = text.split_once(':').and_then(|(at, id)| Some((Timestamp(at.parse().ok()?), id.to_owned())));
    place.ok_or_else(|| Error::invalid("bad_page", "`after` must be the `next` of the page before."))
}

/// A page of labelled questions, the newest first, with the questions of the rows that answer them.
pub async fn list(State(state): State<Shared>, Admin(caller): Admin, Query(paging): Query<Paging>) -> Result<Json<Value>> {
    let limit = paging.limit.unwrap_or(50).clamp(1, MOST);
    let after = paging.after.as_deref().map(place).transpose()?;
    let store = state.app.knowledge.store();
    let cases = store.cases(&caller.tenant, after.as_ref(), limit).await?;
    let next = cases.last().filter(|_| cases.len() == limit).map(|case| format!("{}:{}", case.created_ms.0, case.id));
    let named: Vec<EntryId> = cases.iter().flat_map(|case| &case.relevant).map(EntryId::from_text).collect();
    let rows = store.entries(&caller.tenant, &named).await?;
    let titles: HashMap<String, String> =
        rows.into_iter().map(|row| (row.id.to_string(), title(&row.draft.question, &row.draft.answer))).collect();
    let total = store.count_cases(&caller.tenant).await?;
    Ok(Json(json!({"cases": cases, "titles": titles, "next": next, "total": total})))
}

/// A row's question, or how its answer begins.
fn title(question: &str, answer: &str) -> String {
    if question.is_empty() { answer.chars().take(80).collect() } else { question.to_owned() }
}

/// `{"cases":[…]}`
#[derive(Deserialize)]
pub struct Keeping {
    cases: Vec<CaseDraft>,
}

/// Keeps labelled questions; one that is known gets its new label.
pub async fn keep(State(state): State<Shared>, Admin(caller): Admin, Body(keeping): Body<Keeping>) -> Result<Response> {
    let kept = state.app.knowledge.keep_cases(&caller.tenant, keeping.cases, caller.key.as_str()).await?;
    Ok((StatusCode::CREATED, Json(json!({"cases": kept}))).into_response())
}

/// Forgets one.
pub async fn forget(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<String>) -> Result<StatusCode> {
    if !state.app.knowledge.store().delete_case(&caller.tenant, &id).await? {
        return Err(Error::not_found("case_not_found", "There is no such labelled question."));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Asks them all. One run at a time: it keeps the processor busy.
pub async fn evaluate(State(state): State<Shared>, Admin(caller): Admin, Body(tried): Body<Tried>) -> Result<Json<Value>> {
    let in_force = state.app.knowledge.settings(&caller.tenant).await?;
    let other = if tried.is_empty() { None } else { Some(tried.over(&in_force)?) };
    let busy = |_| Error::conflict("evaluation_running", "Another evaluation is running. Start this one when it is done.");
    let _turn = state.evaluating.try_acquire().map_err(busy)?;
    let compared = compare::run(&state.app.knowledge, &caller.tenant, other.as_ref()).await?;
    let mut answer = serde_json::to_value(compared)?;
    answer["settings"] = super::knowledge::shown(&in_force);
    answer["tried"] = other.as_ref().map_or(Value::Null, super::knowledge::shown);
    Ok(Json(answer))
}
