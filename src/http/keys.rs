//! A shop's keys for its admins: listed without their secrets, issued (the secret is shown once), ended.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Admin;
use super::problem::Body;
use super::state::Shared;
use crate::error::{Error, Result};
use crate::ids::{KeyId, Timestamp};
use crate::tenants::{ApiKey, NewKey, Role};

const DAY_MS: i64 = 24 * 3_600_000;
/// Longest label, in characters.
const LABEL_CHARS: usize = 200;
/// Most origins of a site key.
const ORIGINS: usize = 50;

/// Every key, also ended ones, oldest first.
pub async fn list(State(state): State<Shared>, Admin(caller): Admin) -> Result<Json<Value>> {
    Ok(Json(json!({"keys": state.app.tenants.keys(&caller.tenant).await?})))
}

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    role: Role,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    label: String,
    /// Days until it expires.
    days: Option<u32>,
}

/// Issues a key; `key` in the answer is its secret, shown here and never again.
pub async fn issue(State(state): State<Shared>, Admin(caller): Admin, Body(wanted): Body<Wanted>) -> Result<Response> {
    if wanted.label.chars().count() > LABEL_CHARS || wanted.origins.len() > ORIGINS || wanted.days == Some(0) {
        let message =
            format!("A key has a label of at most {LABEL_CHARS} characters, at most {ORIGINS} origins, and lasts a day or longer.");
        return Err(Error::invalid("bad_key", message));
    }
    let now = state.app.clock.now();
    let expires = wanted.days.map(|days| Timestamp(now.0 + i64::from(days) * DAY_MS));
    let new = NewKey { role: wanted.role, origins: wanted.origins, label: wanted.label.trim().to_owned(), expires };
    let (key, secret) = state.app.tenants.issue(&caller.tenant, new).await?;
    let mut object = json!(key);
    object["key"] = json!(secret.reveal());
    Ok((StatusCode::CREATED, Json(object)).into_response())
}

/// Ends a key at once; the one that asks cannot end itself.
pub async fn revoke(State(state): State<Shared>, Admin(caller): Admin, Path(id): Path<KeyId>) -> Result<Json<ApiKey>> {
    if id == caller.key {
        return Err(Error::conflict("own_key", "This is the key you are using. Sign in with another one to end it."));
    }
    Ok(Json(state.app.tenants.revoke(&caller.tenant, &id).await?))
}
