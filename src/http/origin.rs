//! Where a request comes from: the page that made it, our own address as browsers see it, the
//! client's address behind a proxy; and what a page of another origin may read (CORS).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::CorsGrant;
use super::state::Shared;
use crate::config::Config;
use crate::tenants::{OriginPattern, origin_not_allowed};

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, x-visitor-token, x-identity, last-event-id");
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("retry-after, x-visitor-token, x-request-id");

/// The origin of the page that made the request. Browsers leave the header out of a plain GET within
/// one site (never out of a WebSocket's upgrade); the referrer's origin stands in for it there.
pub fn page_origin(parts: &Parts) -> Option<String> {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(origin) = text(header::ORIGIN) {
        return Some(origin.to_owned());
    }
    let plain_get = parts.method == Method::GET && !parts.headers.contains_key(header::UPGRADE);
    let (scheme, rest) = text(header::REFERER).filter(|_| plain_get)?.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{host}"))
}

/// Whether `origin` is the address this request itself was made to, or the configured public one.
pub fn is_own_origin(origin: &str, parts: &Parts, config: &Config) -> bool {
    let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let own = [format!("http://{host}"), format!("https://{host}"), public_origin(config)];
    own.iter().filter(|own| !own.contains('*')).filter_map(|own| OriginPattern::parse(own).ok()).any(|own| own.matches(origin))
}

/// The address that links in answers begin with. Without a configured one it is what the request was made to: by
/// https when a proxy in front says so, or the page of ours that asks.
pub fn public_base(headers: &HeaderMap, config: &Config) -> String {
    if !config.public_url.is_empty() {
        return config.public_url.trim_end_matches('/').to_owned();
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or(&config.listen);
    let secure = format!("https://{host}");
    let page = text(header::ORIGIN).or(text(header::REFERER)).and_then(|page| page.strip_prefix(&secure));
    let forwarded = text(HeaderName::from_static("x-forwarded-proto")).and_then(|list| list.split(',').next());
    let is_secure =
        page.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) || forwarded.is_some_and(|scheme| scheme.trim() == "https");
    if is_secure { secure } else { format!("http://{host}") }
}

fn public_origin(config: &Config) -> String {
    let url = config.public_url.as_str();
    let end = url.find("://").and_then(|scheme| url[scheme + 3..].find('/').map(|path| scheme + 3 + path));
    url[..end.unwrap_or(url.len())].to_owned()
}

/// The pages that our own site key is good for: ours, by every name of this machine.
pub fn own_origins(listen: SocketAddr, config: &Config) -> Vec<String> {
    let port = listen.port();
    let mut origins: Vec<String> = ["127.0.0.1", "localhost", "[::1]"].iter().map(|host| format!("http://{host}:{port}")).collect();
    match listen.ip() {
        ip if ip.is_loopback() => {}
        // Reachable by names we cannot know.
        ip if ip.is_unspecified() => origins.push(format!("http://*:{port}")),
        _ => origins.push(format!("http://{listen}")),
    }
    let public = public_origin(config);
    if OriginPattern::parse(&public).is_ok() {
        origins.push(public);
    }
    origins
}

/// The client's address: the socket's, or what a proxy on this machine wrote down last.
pub fn client_address(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip());
    let peer = peer.to_canonical();
    if !peer.is_loopback() {
        return peer;
    }
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    forwarded.and_then(|list| list.rsplit(',').next()?.trim().parse().ok()).unwrap_or(peer)
}

/// Answers preflights and lets a page read what its own site key fetched.
pub async fn cors(State(state): State<Shared>, mut request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else { return next.run(request).await };
    let preflight = request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if preflight {
        return answer_preflight(&state, origin).await;
    }
    let grant = CorsGrant::default();
    request.extensions_mut().insert(grant.clone());
    let mut response = next.run(request).await;
    if grant.is_given() {
        allow(&mut response, origin);
    }
    response
}

/// A preflight carries no key, so it is good for every page that any site key is good for.
async fn answer_preflight(state: &Shared, origin: HeaderValue) -> Response {
    let page = origin.to_str().unwrap_or_default();
    match state.app.tenants.is_known_origin(page).await {
        Ok(true) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            allow(&mut response, origin);
            response
        }
        Ok(false) => origin_not_allowed(Some(page)).into_response(),
        Err(error) => error.into_response(),
    }
}

fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)], peer: [u8; 4]) -> Parts {
        let mut request = Request::builder().method(Method::GET).uri("/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 1))));
        request.into_parts().0
    }

    fn config(public_url: &str) -> Config {
        let mut config = Config::load(None, &crate::config::Overrides::default()).unwrap();
        config.public_url = public_url.to_owned();
        config
    }

    #[test]
    fn our_own_page_is_known_by_host_or_public_url() {
        let config = config("https://copilot.example.com/help");
        let here = parts(&[("host", "127.0.0.1:8787")], [127, 0, 0, 1]);
        assert!(is_own_origin("http://127.0.0.1:8787", &here, &config));
        assert!(is_own_origin("https://copilot.example.com", &here, &config));
        for foreign in ["http://127.0.0.1:9999", "https://evil.example.com", "null", ""] {
            assert!(!is_own_origin(foreign, &here, &config), "{foreign}");
        }
        assert!(!is_own_origin("http://", &parts(&[], [127, 0, 0, 1]), &config));
    }

    #[test]
    fn the_referrer_stands_in_for_a_missing_origin() {
        assert_eq!(page_origin(&parts(&[("referer", "http://a:1/x?y")], [127, 0, 0, 1])).as_deref(), Some("http://a:1"));
        assert_eq!(page_origin(&parts(&[("origin", "null"), ("referer", "http://a/")], [127, 0, 0, 1])).as_deref(), Some("null"));
        assert_eq!(page_origin(&parts(&[], [127, 0, 0, 1])), None);
    }

    #[test]
    fn links_begin_as_the_request_was_made() {
        let base =
            |headers: &[(&'static str, &'static str)], public: &str| public_base(&parts(headers, [127, 0, 0, 1]).headers, &config(public));
        let host = ("host", "c.example.com");
        assert_eq!(base(&[host], ""), "http://c.example.com");
        assert_eq!(base(&[host, ("x-forwarded-proto", "https")], ""), "https://c.example.com");
        assert_eq!(base(&[host, ("x-forwarded-proto", "https, http")], ""), "https://c.example.com", "the outermost proxy counts");
        assert_eq!(base(&[host, ("referer", "https://c.example.com/console/")], ""), "https://c.example.com");
        assert_eq!(base(&[host, ("origin", "https://c.example.com")], ""), "https://c.example.com");
        for foreign in ["https://c.example.com.evil.test", "http://c.example.com", "https://evil.test/https://c.example.com"] {
            assert_eq!(base(&[host, ("origin", foreign)], ""), "http://c.example.com", "{foreign}");
        }
        assert_eq!(base(&[host, ("x-forwarded-proto", "http")], "https://d.example.com/help/"), "https://d.example.com/help");
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        let forwarded = [("x-forwarded-for", "1.1.1.1, 2.2.2.2")];
        assert_eq!(client_address(&parts(&forwarded, [127, 0, 0, 1])), IpAddr::from([2, 2, 2, 2]));
        assert_eq!(client_address(&parts(&forwarded, [9, 9, 9, 9])), IpAddr::from([9, 9, 9, 9]));
        assert_eq!(client_address(&parts(&[], [127, 0, 0, 1])), IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn the_demo_page_works_by_every_name_of_this_machine() {
        let loopback = own_origins(SocketAddr::from(([127, 0, 0, 1], 8787)), &config("https://c.example.com/x"));
        assert_eq!(loopback, ["http://127.0.0.1:8787", "http://localhost:8787", "http://[::1]:8787", "https://c.example.com"]);
        let everywhere = own_origins(SocketAddr::from(([0, 0, 0, 0], 80)), &config(""));
        assert_eq!(everywhere.last().map(String::as_str), Some("http://*:80"));
    }
}
