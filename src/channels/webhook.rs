//! The address a message brings along for its answer. It is bound to the sender only weakly, so it is used
//! only for hosts that the configuration lists, encrypted, before it expires, and no redirect is followed. One that
//! leads elsewhere, perhaps into our own network, is logged.

use reqwest::Url;

use crate::channels::ReplyTo;
use crate::channels::host::is_listed;
use crate::channels::log::Log;
use crate::error::Error;
use crate::ids::Timestamp;

/// Not used in the last moments: the call has to arrive before.
const MARGIN_MS: i64 = 10_000;

/// The address, if an answer may be sent there now.
pub fn usable(reply: &ReplyTo, hosts: &[String], now: Timestamp, log: &Log) -> Option<Url> {
    let text = reply.url.as_deref()?;
    let Some(url) = Url::parse(text).ok().filter(|url| is_listed(url, hosts)) else {
        let message = "The host is not one that the configuration lists; the address is not called.";
        log.warn("an address for an answer leads elsewhere", &Error::forbidden("webhook_refused", message));
        return None;
    };
    reply.expires.is_none_or(|expires| now.0 + MARGIN_MS < expires.0).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        Log::new("dingtalk/shop", crate::ids::Clock::fixed(Timestamp(0)))
    }

    fn allowed(url: &str, hosts: &[&str]) -> bool {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let reply = ReplyTo { url: Some(url.to_owned()), expires: Some(Timestamp(100_000)), request: None };
        usable(&reply, &hosts, Timestamp(0), &log()).is_some()
    }

    #[test]
    fn only_listed_hosts_are_called() {
        let hosts = ["oapi.dingtalk.com", "api.example.com:8443", "127.0.0.1:9000"];
        for good in [
            "https://oapi.dingtalk.com/robot/sendBySession?session=x",
            "https://OAPI.dingtalk.com:443/x",
            "https://api.example.com:8443/x",
            "http://127.0.0.1:9000/x",
        ] {
            assert!(allowed(good, &hosts), "{good}");
        }
        for bad in [
            "http://oapi.dingtalk.com/x",
            "https://oapi.dingtalk.com:8443/x",
            "https://api.example.com/x",
            "https://oapi.dingtalk.com.evil.net/x",
            "https://evil.net/oapi.dingtalk.com",
            "https://oapi.dingtalk.com@evil.net/x",
            "https://user:pw@oapi.dingtalk.com/x",
            "http://169.254.169.254/latest",
            "http://127.0.0.1:9001/x",
            "http://localhost:9000/x",
            "http://[::1]:9000/x",
            "http://2130706433:9001/x",
            "file:///etc/passwd",
            "//oapi.dingtalk.com/x",
            "",
        ] {
            assert!(!allowed(bad, &hosts), "{bad}");
        }
        assert!(allowed("http://127.0.0.1:5555/x", &["127.0.0.1"]) && allowed("http://[::1]:5555/x", &["[::1]"]));
        assert!(!allowed("http://10.0.0.1/x", &["10.0.0.1"]), "a listed host that is not this machine needs https");
    }

    #[test]
    fn an_address_is_not_used_when_it_is_about_to_expire() {
        let reply = ReplyTo { url: Some("https://a.com/x".into()), expires: Some(Timestamp(50_000)), request: None };
        let hosts = ["a.com".to_owned()];
        assert!(usable(&reply, &hosts, Timestamp(39_999), &log()).is_some());
        assert!(usable(&reply, &hosts, Timestamp(40_000), &log()).is_none());
        assert!(usable(&ReplyTo { expires: None, ..reply }, &hosts, Timestamp(i64::MAX / 2), &log()).is_some());
        assert!(usable(&ReplyTo::default(), &hosts, Timestamp(0), &log()).is_none());
    }
}
