//! The console's look into the knowledge: try a query, count, page through rows.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::problem::Body;
use super::rows::row;
use super::state::Shared;
use crate::config::Fusion;
use crate::error::{Error, Result};
use crate::ids::EntryId;
use crate::knowledge;
use crate::knowledge::store::Stats;
use crate::knowledge::words::Words;
use crate::knowledge::words::store::StoredWords;

/// Most rows or hits in one answer.
const MOST: usize = 500;

/// `?q=&top=&market=&locale=&fusion=`; `explain` is accepted because every answer explains.
#[derive(Deserialize)]
pub struct Search {
    #[serde(default)]
    q: String,
    top: Option<usize>,
    market: Option<String>,
    locale: Option<String>,
    fusion: Option<Fusion>,
}

/// Hits with their scores per leg, and what would be decided.
pub async fn search(State(state): State<Shared>, Admin(caller): Admin, Query(search): Query<Search>) -> Result<Json<Value>> {
    if search.q.trim().is_empty() {
        return Err(Error::invalid("empty_query", "`q` is empty: what should be searched for?"));
    }
    let filter = |value: Option<String>| value.filter(|value| !value.is_empty());
    let top = search.top.unwrap_or(10).clamp(1, MOST);
    let query =
        knowledge::Query { text: search.q, market: filter(search.market), locale: filter(search.locale), top, fusion: search.fusion };
    Ok(Json(state.app.knowledge.search(&caller.tenant, &query).await?.to_json()))
}

/// Counts.
pub async fn stats(State(state): State<Shared>, Admin(caller): Admin) -> Result<Json<Stats>> {
    Ok(Json(state.app.knowledge.stats(&caller.tenant).await?))
}

/// `?after=&limit=`
#[derive(Deserialize)]
pub struct Paging {
    after: Option<EntryId>,
    limit: Option<usize>,
}

/// A page of rows in id order; `next` is the `after` of the page behind it.
pub async fn entries(State(state): State<Shared>, Admin(caller): Admin, Query(paging): Query<Paging>) -> Result<Json<Value>> {
    let limit = paging.limit.unwrap_or(50).clamp(1, MOST);
    let page = state.app.knowledge.store().page(&caller.tenant, paging.after.as_ref(), limit).await?;
    let next = page.last().filter(|_| page.len() == limit).map(|entry| entry.id.clone());
    let zone = state.app.config.zone();
    Ok(Json(json!({"entries": page.into_iter().map(|entry| row(entry, zone)).collect::<Vec<_>>(), "next": next})))
}

/// One row.
pub async fn entry(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<EntryId>) -> Result<Json<Value>> {
    let entry = state.app.knowledge.entry(&caller.tenant, &id).await?;
    Ok(Json(row(entry, state.app.config.zone())))
}

/// The shop's own words.
pub async fn words(State(state): State<Shared>, Admin(caller): Admin) -> Result<Json<StoredWords>> {
    Ok(Json(state.app.knowledge.words(&caller.tenant).await?))
}

/// Replaces them; they take effect when the lexical index has been built again.
pub async fn set_words(State(state): State<Shared>, Admin(caller): Admin, Body(words): Body<Words>) -> Result<Json<Value>> {
    let (words, revision) = state.app.knowledge.set_words(&caller.tenant, words, caller.key.as_str()).await?;
    Ok(Json(json!({"words": words.words, "synonyms": words.synonyms, "revision": revision})))
}
