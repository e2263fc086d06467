//! The pages, embedded in the binary: the demo page, the widget and the console. Built by `make web`
//! into `web/dist`; without it a plain page says so.

use std::borrow::Cow;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

use super::state::Shared;
use crate::error::{Error, Result};

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// Where the demo page wants its site key.
const SITE_KEY_MARK: &str = "__SITE_KEY__";
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'";
const NOT_BUILT: &str = "<!doctype html><meta charset=\"utf-8\"><title>merchant-copilot</title><p>The pages are not in this build. Run <code>make web</code> and build again.</p><p>The API works without them: see README.md.</p>";

/// How long a browser may keep a file.
#[derive(Clone, Copy)]
enum Keep {
    /// Asks each time whether it is still the same.
    Ask,
    /// Asks after five minutes: scripts that shops embed under a fixed name.
    Briefly,
    /// For good: the file's name is its content's hash.
    ForGood,
}

/// The demo page with its site key.
pub async fn demo_page(State(state): State<Shared>, headers: HeaderMap) -> Response {
    let Some(file) = Dist::get("index.html") else { return not_built() };
    let key = state.demo_key.as_ref().map_or("", |key| key.reveal());
    let page = String::from_utf8_lossy(&file.data).replace(SITE_KEY_MARK, key);
    send("index.html", page.into_bytes().into(), Keep::Ask, &headers)
}

/// The launcher that shops embed.
pub async fn launcher(headers: HeaderMap) -> Result<Response> {
    Ok(for_other_sites(file("widget.js", Keep::Briefly, &headers)?))
}

/// What the launcher loads on first open.
pub async fn widget(Path(path): Path<String>, headers: HeaderMap) -> Result<Response> {
    Ok(for_other_sites(file(&format!("widget/{path}"), Keep::Briefly, &headers)?))
}

/// `/console` is `/console/`.
pub async fn to_console() -> Redirect {
    Redirect::permanent("/console/")
}

/// The console.
pub async fn console(headers: HeaderMap) -> Response {
    file("console/index.html", Keep::Ask, &headers).unwrap_or_else(|_| not_built())
}

/// The console's parts.
pub async fn console_file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response> {
    let keep = if path.starts_with("assets/") { Keep::ForGood } else { Keep::Ask };
    file(&format!("console/{path}"), keep, &headers)
}

fn file(path: &str, keep: Keep, headers: &HeaderMap) -> Result<Response> {
    let EmbeddedFile { data, .. } =
        Dist::get(path).ok_or_else(|| Error::not_found("route_not_found", format!("There is no file {path}.")))?;
    Ok(send(path, data, keep, headers))
}

fn send(path: &str, data: Cow<'static, [u8]>, keep: Keep, asked: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", &hex_digest(&data)[..32]);
    let same = asked.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).is_some_and(|tags| tags.contains(&tag));
    let mut response = if same { StatusCode::NOT_MODIFIED.into_response() } else { bytes::Bytes::from(data.into_owned()).into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep.as_header()));
    headers.extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
    secure(headers);
    response
}

impl Keep {
    fn as_header(self) -> &'static str {
        match self {
            Self::Ask => "no-cache",
            Self::Briefly => "public, max-age=300",
            Self::ForGood => "public, max-age=31536000, immutable",
        }
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

fn secure(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Our own doors see the page (it stands in for the Origin of a plain GET), other sites nothing.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

/// Shops load these from their own pages.
fn for_other_sites(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    response
}

fn not_built() -> Response {
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    secure(response.headers_mut());
    response
}

fn hex_digest(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_still_the_same_is_not_sent_again() {
        let first = send("a.js", Cow::Borrowed(b"1"), Keep::Briefly, &HeaderMap::new());
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(first.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(send("a.js", Cow::Borrowed(b"1"), Keep::Briefly, &asked).status(), 304);
        assert_eq!(send("a.js", Cow::Borrowed(b"2"), Keep::Briefly, &asked).status(), 200);
    }
}
