//! Where webhooks may go: public addresses by https, and private ones only when their host is listed. A
//! name is looked up at every call, and what it leads to is judged then.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::channels::host::is_listed;
use crate::config::Secret;
use crate::error::{Error, Result};

const CONNECT: Duration = Duration::from_secs(5);
/// A receiver that needs longer should put the event aside and answer first.
const PATIENCE: Duration = Duration::from_secs(10);

/// The address, with a client that goes nowhere else; none when it may not be called.
pub fn open(url: &Secret, private_hosts: &[String]) -> Result<Option<(Url, Client)>> {
    let Some(url) = Url::parse(url.reveal()).ok() else { return Ok(None) };
    let listed = is_listed(&url, private_hosts);
    if !listed && !is_public(&url) {
        return Ok(None);
    }
    // No redirect and no proxy: either would call somebody who was not judged.
    let builder = Client::builder().redirect(Policy::none()).no_proxy().connect_timeout(CONNECT).timeout(PATIENCE);
    let builder = if listed { builder } else { builder.dns_resolver(PublicOnly) };
    let http = builder.build().map_err(|error| Error::internal("http_client", "The HTTP client could not be built.").because(error))?;
    Ok(Some((url, http)))
}

/// By https, without a user, and not by a private address's digits; names are judged when they are called.
fn is_public(url: &Url) -> bool {
    let plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    plain && url.host_str().is_some_and(|host| host != "localhost" && bare(host).is_none_or(|ip| !is_private(ip)))
}

/// Looks names up and refuses those that lead inside.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(look_up(name))
    }
}

async fn look_up(name: Name) -> Result<Addrs, Box<dyn StdError + Send + Sync>> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
    if found.iter().any(|address| is_private(address.ip())) {
        return Err(PrivateAddress.into());
    }
    Ok(Box::new(found.into_iter()))
}

/// The name leads to an address that is nobody's in public.
#[derive(Debug)]
pub struct PrivateAddress;

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to a private address")
    }
}

impl StdError for PrivateAddress {}

/// Whether an address is anything but a public one.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_private_v4(v4),
            // Only 2000::/3 is given out.
            None => v6.segments()[0] & 0xe000 != 0x2000,
        },
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        || (a == 192 && b == 0 && c == 0)
}

/// The IPv4 address that an IPv6 one stands for: mapped, NAT64 (64:ff9b::) or 6to4 (2002::).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = v6.segments();
    let two = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match parts {
        [0x64, 0xff9b, ..] => Some(two(parts[6], parts[7])),
        [0x2002, high, low, ..] => Some(two(high, low)),
        _ => v6.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(url: &str, listed: &[&str]) -> bool {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listed: Vec<String> = listed.iter().map(|&host| host.to_owned()).collect();
        open(&Secret::new(url), &listed).unwrap().is_some()
    }

    #[test]
    fn only_public_addresses_and_listed_hosts_are_called() {
        for good in ["https://erp.example.com/hooks?token=x", "https://8.8.8.8/x", "https://[2606:4700::1111]/x"] {
            assert!(may(good, &[]), "{good}");
        }
        for bad in [
            "",
            "erp.example.com",
            "http://erp.example.com/x",
            "https://user:pw@erp.example.com/x",
            "https://localhost/x",
            "http://127.0.0.1:9/x",
            "https://127.0.0.1/x",
            "https://2130706433/x",
            "https://10.1.2.3/x",
            "https://169.254.169.254/latest",
            "https://100.100.100.200/x",
            "https://[::1]/x",
            "https://[fd00::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://[64:ff9b::a00:1]/x",
            "file:///etc/passwd",
        ] {
            assert!(!may(bad, &[]), "{bad}");
        }
        assert!(may("http://127.0.0.1:9000/x", &["127.0.0.1:9000"]) && may("https://10.1.2.3/x", &["10.1.2.3"]));
        assert!(!may("http://10.1.2.3/x", &["10.1.2.3"]) && !may("http://127.0.0.1:9001/x", &["127.0.0.1:9000"]));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_when_it_is_called() {
        let led = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(led.is_err_and(|error| error.is::<PrivateAddress>()));
    }
}
