//! Hosts that are this machine: a local platform may be called without encryption, nobody else.

use std::net::IpAddr;

/// Whether a URL's host is this machine by a name that cannot lead elsewhere.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
