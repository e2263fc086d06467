//! Hosts that may be called: this machine without encryption, others by https and when they are listed.

use std::net::IpAddr;

use reqwest::Url;

/// Whether a URL's host is this machine by a name that cannot lead elsewhere.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an address leads to one of these hosts (`host` or `host:port`), encrypted unless it is this
/// machine, and names no user.
pub fn is_listed(url: &Url, hosts: &[String]) -> bool {
    let Some(host) = url.host_str() else { return false };
    let loopback = is_loopback(host);
    let plain = url.username().is_empty() && url.password().is_none();
    let encrypted = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    let listed = hosts.iter().map(|listed| listed.to_lowercase()).any(|listed| match url.port() {
        // A local platform's port changes with every start; elsewhere a port has to be named.
        _ if listed == host => loopback || url.port().is_none(),
        Some(port) => listed == format!("{host}:{port}"),
        None => url.port_or_known_default().is_some_and(|port| listed == format!("{host}:{port}")),
    });
    plain && encrypted && listed
}
