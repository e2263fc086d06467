//! Signing in to the console: a one-time link or an admin key becomes a session cookie that scripts
//! cannot read and other pages cannot use.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::auth::{Admin, SESSION_COOKIE, session_cookie};
use super::problem::Body;
use super::state::Shared;
use crate::config::{Config, Secret};
use crate::error::{Error, Result};
use crate::ids::TenantId;
use crate::tenants::{Credentials, Role, SESSION_MS};

/// What is shown to sign in.
#[derive(Deserialize)]
pub struct SignIn {
    /// A one-time token from a sign-in link, or an admin key.
    token: Secret,
}

/// Signs in.
pub async fn open(State(state): State<Shared>, Body(SignIn { token }): Body<SignIn>) -> Result<Response> {
    let tenant = signed_in(&state, token.reveal().trim()).await?;
    let session = state.app.tenants.open_session(&tenant).await?;
    let cookie = cookie(session.reveal(), SESSION_MS / 1000, &state.app.config);
    Ok(([(header::SET_COOKIE, cookie)], Json(json!({"tenant": tenant, "role": Role::Admin}))).into_response())
}

/// Who is signed in.
pub async fn show(Admin(caller): Admin) -> Response {
    Json(json!({"tenant": caller.tenant, "role": caller.role})).into_response()
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
