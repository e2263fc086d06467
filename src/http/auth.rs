//! Who is asking, as handler arguments: a handler that takes [`Admin`] cannot forget the check. Keys
//! come as bearer tokens; the console's own pages come with a session cookie instead.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use super::origin::{client_address, is_own_origin, page_origin};
use super::state::Shared;
use crate::error::{Error, Result};
use crate::tenants::{Admission, Caller, Credentials, Role};

/// The console's session cookie.
pub const SESSION_COOKIE: &str = "mc_session";
/// Where a visitor shows who it is, and is told so.
pub const VISITOR_HEADER: &str = "x-visitor-token";
/// Where a page shows what the shop's backend signed.
pub const IDENTITY_HEADER: &str = "x-identity";

/// An admin of a tenant.
pub struct Admin(pub Caller);

/// A program: a member or an admin.
pub struct Program(pub Caller);

/// Anybody with a key, also a visitor of a site.
pub struct Anyone(pub Admission);

impl FromRequestParts<Shared> for Anyone {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self> {
        let admission = admit(parts, state).await?.ok_or_else(missing_key)?;
        if admission.caller.role == Role::Site
            && let Some(grant) = parts.extensions.get::<CorsGrant>()
        {
            grant.give();
        }
        state.app.limits.check(&admission.caller.key, client_address(parts))?;
        Ok(Self(admission))
    }
}

impl FromRequestParts<Shared> for Program {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self> {
        let Anyone(admission) = Anyone::from_request_parts(parts, state).await?;
        if admission.caller.role == Role::Site {
            return Err(Error::forbidden("wrong_role", "A site key only opens the chat. Use a member or admin key here."));
        }
        Ok(Self(admission.caller))
    }
}

impl FromRequestParts<Shared> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self> {
        let Anyone(admission) = Anyone::from_request_parts(parts, state).await?;
        if admission.caller.role != Role::Admin {
            return Err(Error::forbidden("wrong_role", "This needs an admin key: `merchant-copilot key issue --role admin`."));
        }
        Ok(Self(admission.caller))
    }
}

/// The client's address.
pub struct Address(pub IpAddr);

impl FromRequestParts<Shared> for Address {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Self::Rejection> {
        Ok(Self(client_address(parts)))
    }
}

/// Lets in whoever shows a bearer key or a session cookie; `None` when neither is there. What is wrong counts against
/// the address that it came from.
pub async fn admit(parts: &Parts, state: &Shared) -> Result<Option<Admission>> {
    recognise(parts, state).await.map_err(|error| state.app.limits.refused(client_address(parts), error))
}

async fn recognise(parts: &Parts, state: &Shared) -> Result<Option<Admission>> {
    let origin = page_origin(parts);
    if let Some(key) = bearer(&parts.headers)? {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let shown = Credentials { key, origin: origin.as_deref(), visitor: text(VISITOR_HEADER), identity: text(IDENTITY_HEADER) };
        return state.app.tenants.verify(shown).await.map(Some);
    }
    let Some(secret) = session_cookie(&parts.headers) else { return Ok(None) };
    // A browser sends the cookie along by itself, so what changes something must come from our page.
    let harmless = matches!(parts.method, Method::GET | Method::HEAD) && !parts.headers.contains_key(header::UPGRADE);
    if !harmless && !origin.is_some_and(|origin| is_own_origin(&origin, parts, &state.app.config)) {
        return Err(Error::forbidden("foreign_page", "A signed-in console may only be used from its own pages."));
    }
    let caller = state.app.tenants.session(secret).await?;
    Ok(Some(Admission { caller, visitor_token: None }))
}

/// The console session shown with a request.
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='))
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token.map(|(_, token)| token.trim()) {
        Some(token) if !token.is_empty() => Ok(Some(token)),
        _ => Err(missing_key()),
    }
}

fn missing_key() -> Error {
    Error::unauthenticated("missing_key", "Show a key: `Authorization: Bearer …`. Issue one with `merchant-copilot key issue`.")
}

/// Set by the check of a site key, read by the layer that writes CORS headers: a page may read the
/// answer when the key it showed is meant for it.
#[derive(Clone, Default)]
pub struct CorsGrant(Arc<AtomicBool>);

impl CorsGrant {
    /// A page of any origin may read what comes.
    pub fn give(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    /// Whether a site key was let in.
    pub fn is_given(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_bearer_key_is_read_and_another_scheme_is_no_key() {
        assert_eq!(bearer(&headers(header::AUTHORIZATION, "bearer mc_1")).unwrap(), Some("mc_1"));
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        for wrong in ["Basic abc", "Bearer ", "mc_1"] {
            assert_eq!(bearer(&headers(header::AUTHORIZATION, wrong)).unwrap_err().code(), "missing_key");
        }
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        assert_eq!(session_cookie(&headers(header::COOKIE, "a=b; mc_session=in_1; c=d")), Some("in_1"));
        assert_eq!(session_cookie(&headers(header::COOKIE, "xmc_session=in_1; mc_session2=x")), None);
    }
}
