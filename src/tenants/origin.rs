//! Where a site key may be used from: an allow-list entry and how a browser's `Origin` meets it
//! (pure).

use std::fmt;

use crate::error::{Error, Result};

/// One allow-list entry: `https://shop.example.com`, `https://*.example.com` (any subdomain, not the
/// domain itself), or `http://*:8787` (any host at that port).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl OriginPattern {
    /// Reads an entry that somebody typed.
    ///
    /// # Errors
    /// `bad_origin` with what was expected.
    pub fn parse(text: &str) -> Result<Self> {
        let pattern = split(text).ok_or_else(|| bad_origin(text))?;
        let name = pattern.host.strip_prefix("*.").unwrap_or(&pattern.host);
        if name != "*" && name.contains('*') {
            return Err(bad_origin(text));
        }
        Ok(pattern)
    }

    /// Whether a browser's `Origin` header is meant by this entry; `null` never is.
    pub fn matches(&self, origin: &str) -> bool {
        let Some(origin) = split(origin) else { return false };
        self.scheme == origin.scheme && self.port == origin.port && !origin.host.contains('*') && self.has_host(&origin.host)
    }

    fn has_host(&self, host: &str) -> bool {
        match self.host.strip_prefix('*') {
            Some("") => true,
            Some(parent) => host.len() > parent.len() && host.ends_with(parent),
            None => self.host == host,
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Whether any entry of a key's list means `origin`.
pub fn is_listed(origins: &[String], origin: &str) -> bool {
    origins.iter().filter_map(|entry| split(entry)).any(|pattern| pattern.matches(origin))
}

/// Scheme, host and port in one spelling: lower case, no trailing slash, no default port.
fn split(text: &str) -> Option<OriginPattern> {
    let text = text.trim().to_ascii_lowercase();
    let (scheme, rest) = text.strip_suffix('/').unwrap_or(&text).split_once("://")?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (host, port) = match rest.rsplit_once(':') {
        // The last colon of `[::1]` is inside the address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (rest, None),
    };
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '*' | '_' | '[' | ']' | ':');
    if host.is_empty() || !host.chars().all(legal) || (host.contains(':') && !host.starts_with('[')) {
        return None;
    }
    let port = port.filter(|&port| port != default_port);
    Some(OriginPattern { scheme: scheme.to_owned(), host: host.to_owned(), port })
}

fn bad_origin(text: &str) -> Error {
    Error::invalid(
        "bad_origin",
        format!(
            "`{text}` is not an origin. Give scheme and host as the browser shows them, e.g. https://shop.example.com, http://localhost:3000 or https://*.example.com."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(entry: &str, origin: &str) -> bool {
        OriginPattern::parse(entry).unwrap().matches(origin)
    }

    #[test]
    fn an_origin_is_compared_whole() {
        assert!(matches("https://shop.example.com", "https://shop.example.com"));
        assert!(matches("https://Shop.Example.com:443/", "https://shop.example.com"));
        assert!(matches("http://[::1]:8787", "http://[::1]:8787"));
        assert!(matches("http://[::1]", "http://[::1]"));
        for foreign in [
            "http://shop.example.com",
            "https://shop.example.com:8443",
            "https://shop.example.com.evil.net",
            "https://evil.net/https://shop.example.com",
            "https://user@shop.example.com",
            "null",
            "",
        ] {
            assert!(!matches("https://shop.example.com", foreign), "{foreign}");
        }
    }

    #[test]
    fn a_wildcard_means_subdomains_only() {
        assert!(matches("https://*.example.com", "https://a.example.com"));
        assert!(matches("https://*.example.com", "https://a.b.example.com"));
        for foreign in
            ["https://example.com", "https://.example.com", "https://badexample.com", "https://*.example.com", "http://a.example.com"]
        {
            assert!(!matches("https://*.example.com", foreign), "{foreign}");
        }
        assert!(matches("http://*:8787", "http://192.168.1.5:8787"));
        assert!(!matches("http://*:8787", "http://192.168.1.5"));
    }

    #[test]
    fn what_is_not_an_origin_is_refused_with_an_example() {
        for bad in ["shop.example.com", "ftp://a", "https://", "https://a/b", "https://a*.com", "https://*.*.com", "null", "https://a:x"] {
            let error = OriginPattern::parse(bad).unwrap_err();
            assert_eq!(error.code(), "bad_origin", "{bad}");
            assert!(error.message().contains("https://shop.example.com"));
        }
    }
}
