//! The console's look into the knowledge: try a query, count, page through rows.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::problem::Body;
use super::rows::row;
use super::state::Shared;
use crate::config::{Fusion, SearchConfig};
use crate::error::{Error, Result};
use crate::ids::EntryId;
use crate::knowledge::list_store::{Listing, Validity};
use crate::knowledge::store::Stats;
use crate::knowledge::words::Words;
use crate::knowledge::words::store::StoredWords;
use crate::knowledge::{self, Revision};

/// Most rows or hits in one answer.
const MOST: usize = 500;

/// `?q=&top=&market=&locale=`, and settings to try instead of those in force: `weight` of the lexical leg
/// against the semantic one, the two thresholds, `fusion`. `explain` is accepted because every answer explains.
#[derive(Deserialize)]
pub struct Search {
    #[serde(default)]
    q: String,
    top: Option<usize>,
    market: Option<String>,
    locale: Option<String>,
    weight: Option<f32>,
    grounded_threshold: Option<f32>,
    direct_threshold: Option<f32>,
    fusion: Option<Fusion>,
}

impl Search {
    fn tried(&self) -> Tried {
        let Self { weight, grounded_threshold, direct_threshold, fusion, .. } = *self;
        Tried { weight, grounded_threshold, direct_threshold, fusion }
    }
}

/// Settings to try instead of those in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Tried {
    weight: Option<f32>,
    grounded_threshold: Option<f32>,
    direct_threshold: Option<f32>,
    fusion: Option<Fusion>,
}

/// Settings as the console shows them.
pub fn shown(settings: &SearchConfig) -> Value {
    json!({
        "weight": settings.lexical_weight, "grounded_threshold": settings.grounded_threshold,
        "direct_threshold": settings.direct_threshold, "fusion": settings.fusion,
    })
}

impl Tried {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The settings in force with these in their place.
    ///
    /// # Errors
    /// `bad_setting`.
    pub fn over(&self, in_force: &SearchConfig) -> Result<SearchConfig> {
        let set = |value: Option<f32>, name: &str, in_force: f32| match value {
            Some(value) if !(0.0..=1.0).contains(&value) => {
                Err(Error::invalid("bad_setting", format!("`{name}` is a number from 0 to 1.")))
            }
            value => Ok(value.unwrap_or(in_force)),
        };
        Ok(SearchConfig {
            fusion: self.fusion.unwrap_or(in_force.fusion),
            lexical_weight: set(self.weight, "weight", in_force.lexical_weight)?,
            grounded_threshold: set(self.grounded_threshold, "grounded_threshold", in_force.grounded_threshold)?,
            direct_threshold: set(self.direct_threshold, "direct_threshold", in_force.direct_threshold)?,
            ..*in_force
        })
    }
}

/// Hits with their scores per leg, and what would be decided.
pub async fn search(State(state): State<Shared>, Admin(caller): Admin, Query(search): Query<Search>) -> Result<Json<Value>> {
    if search.q.trim().is_empty() {
        return Err(Error::invalid("empty_query", "`q` is empty: what should be searched for?"));
    }
    let settings = search.tried().over(&state.app.knowledge.settings(&caller.tenant).await?)?;
    let filter = |value: Option<String>| value.filter(|value| !value.is_empty());
    let top = search.top.unwrap_or(10).clamp(1, MOST);
    let query = knowledge::Query {
        text: search.q,
        market: filter(search.market),
        locale: filter(search.locale),
        top,
        ..knowledge::Query::default()
    };
    let mut answer = state.app.knowledge.search_by(&caller.tenant, &query, &settings).await?.to_json();
    answer["settings"] = shown(&settings);
    Ok(Json(answer))
}

/// Counts.
pub async fn stats(State(state): State<Shared>, Admin(caller): Admin) -> Result<Json<Stats>> {
    Ok(Json(state.app.knowledge.stats(&caller.tenant).await?))
}

/// `?q=&category=&market=&locale=&source=&direct=&validity=&after=&limit=`
#[derive(Deserialize)]
pub struct Wanted {
    q: Option<String>,
    category: Option<String>,
    market: Option<String>,
    locale: Option<String>,
    source: Option<String>,
    direct: Option<bool>,
    validity: Option<Validity>,
    /// The `next` of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

impl Wanted {
    /// What the store is asked for.
    pub fn listing(&self) -> Listing {
        fn given(text: &Option<String>) -> Option<String> {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        }
        Listing {
            text: given(&self.q),
            category: given(&self.category),
            market: given(&self.market),
            locale: given(&self.locale),
            source: given(&self.source),
            direct: self.direct,
            validity: self.validity,
        }
    }
}

/// `<revision>:<id>`: where the next page begins.
fn place(text: &str) -> Result<(Revision, EntryId)> {
    let place = text.split_once(':').and_then(|(revision, id)| Some((revision.parse().ok()?, EntryId::from_text(id))));
    place.ok_or_else(|| Error::invalid("bad_page", "`after` must be the `next` of the page before."))
}

/// A page of rows, the last changed first; `next` is the `after` of the page behind it. The first page
/// also says how many there are.
pub async fn entries(State(state): State<Shared>, Admin(caller): Admin, Query(wanted): Query<Wanted>) -> Result<Json<Value>> {
    let limit = wanted.limit.unwrap_or(50).clamp(1, MOST);
    let (store, listing) = (state.app.knowledge.store(), wanted.listing());
    let after = wanted.after.as_deref().map(place).transpose()?;
    let (page, total) = match &after {
        Some(after) => (store.listed(&caller.tenant, &listing, Some(after), limit).await?, None),
        None => store.listed_first(&caller.tenant, &listing, limit).await.map(|(page, total)| (page, Some(total)))?,
    };
    let next = page.last().filter(|_| page.len() == limit).map(|entry| format!("{}:{}", entry.revision, entry.id));
    let zone = state.app.config.zone();
    let mut answer = json!({"entries": page.into_iter().map(|entry| row(entry, zone)).collect::<Vec<_>>(), "next": next});
    if let Some(total) = total {
        answer["total"] = json!(total);
    }
    Ok(Json(answer))
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

/// Words, and the revision of those that they were made from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWords {
    words: Vec<String>,
    synonyms: Vec<Vec<String>>,
    revision: Option<Revision>,
}

/// Replaces them, with `revision` only those that were seen; they take effect when the lexical index has been built
/// again.
pub async fn set_words(State(state): State<Shared>, Admin(caller): Admin, Body(new): Body<NewWords>) -> Result<Json<Value>> {
    let words = Words { words: new.words, synonyms: new.synonyms };
    let (words, revision) = state.app.knowledge.set_words(&caller.tenant, words, new.revision, caller.key.as_str()).await?;
    Ok(Json(json!({"words": words.words, "synonyms": words.synonyms, "revision": revision})))
}
