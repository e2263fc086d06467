//! Signing in to the console: a one-time link or an admin key becomes a session cookie that scripts
//! cannot read and other pages cannot use.

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, SESSION_COOKIE, session_cookie};
use super::origin::{client_address, is_own_origin};
use super::problem::Body;
use super::state::Shared;
use crate::config::{Config, Secret};
use crate::error::{Error, Result};
use crate::ids::{TenantId, Timestamp};
use crate::tenants::{Credentials, Role, SESSION_MS};

/// What is shown to sign in.
#[derive(Deserialize)]
pub struct SignIn {
    /// A one-time token from a sign-in link, or an admin key.
    token: Secret,
}

/// Signs in. A page of somebody else's could send a form with a token of its own choice, so a browser's
/// request has to come from our pages.
pub async fn open(State(state): State<Shared>, parts: Parts, Body(SignIn { token }): Body<SignIn>) -> Result<Response> {
    if let Some(origin) = parts.headers.get(header::ORIGIN)
        && !origin.to_str().is_ok_and(|origin| is_own_origin(origin, &parts, &state.app.config))
    {
        return Err(Error::forbidden("foreign_page", "Signing in to the console is only possible on its own pages."));
    }
    let refused = |error| state.app.limits.refused(client_address(&parts), error);
    let tenant = signed_in(&state, token.reveal().trim()).await.map_err(refused)?;
    let session = state.app.tenants.open_session(&tenant).await?;
    let cookie = cookie(session.reveal(), SESSION_MS / 1000, &state.app.config);
    let expires = state.app.tenants.session_expires(session.reveal()).await?;
    let body =
        json!({"tenant": tenant, "role": Role::Admin, "expires_at": expires.map(moment), "link_hosts": state.app.config.safety.linked()});
    Ok(([(header::SET_COOKIE, cookie)], Json(body)).into_response())
}

/// Who is signed in.
pub async fn show(State(state): State<Shared>, Admin(caller): Admin, headers: HeaderMap) -> Result<Json<Value>> {
    let mut shown = json!({"tenant": caller.tenant, "role": caller.role, "link_hosts": state.app.config.safety.linked()});
    if let Some(secret) = session_cookie(&headers)
        && let Some(expires) = state.app.tenants.session_expires(secret).await?
    {
        shown["expires_at"] = json!(moment(expires));
    }
    Ok(Json(shown))
}

fn moment(at: Timestamp) -> String {
    DateTime::from_timestamp_millis(at.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Signs out.
pub async fn end(State(state): State<Shared>, _: Admin, headers: HeaderMap) -> Result<Response> {
    if let Some(secret) = session_cookie(&headers) {
        state.app.tenants.end_session(secret).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie("", 0, &state.app.config))]).into_response())
}

async fn signed_in(state: &Shared, token: &str) -> Result<TenantId> {
    if !token.starts_with("mc_") {
        return state.app.tenants.redeem_link(token).await;
    }
    let caller = state.app.tenants.verify(Credentials { key: token, origin: None, visitor: None, identity: None }).await?.caller;
    match caller.role {
        Role::Admin => Ok(caller.tenant),
        _ => Err(Error::forbidden("wrong_role", "The console needs an admin key: `merchant-copilot key issue --role admin`.")),
    }
}

fn cookie(secret: &str, seconds: i64, config: &Config) -> String {
    let secure = if config.public_url.starts_with("https://") { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}
