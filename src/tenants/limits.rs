//! How often each key and each client address may ask: a bucket per minute for either.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::LimitsConfig;
use crate::error::{Error, Result};
use crate::ids::KeyId;

/// After so many checks the buckets that are full again are forgotten, so that passing visitors
/// leave nothing behind.
const PRUNE_EVERY: u32 = 8192;

/// The buckets of everybody who asked lately.
#[derive(Debug)]
pub struct RateLimits {
    keys: DefaultKeyedRateLimiter<KeyId>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    /// Of their own, so that who guesses keys locks nobody out who has one.
    wrong_keys: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    checks: AtomicU32,
}

impl RateLimits {
    /// Full buckets of the configured sizes.
    pub fn new(limits: &LimitsConfig) -> Self {
        let quota = |per_minute| Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
        Self {
            keys: RateLimiter::keyed(quota(limits.key_per_minute)),
            addresses: RateLimiter::keyed(quota(limits.address_per_minute)),
            wrong_keys: RateLimiter::keyed(quota(limits.address_per_minute)),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    /// Takes one request from both buckets.
    ///
    /// # Errors
    /// `rate_limited` with the time until the next one is welcome.
    pub fn check(&self, key: &KeyId, address: IpAddr) -> Result<()> {
        self.prune();
        let now = || self.clock.now();
        self.addresses.check_key(&address).map_err(|early| limited("address", early.wait_time_from(now())))?;
        self.keys.check_key(key).map_err(|early| limited("key", early.wait_time_from(now())))
    }

    /// What to answer who showed something that opens nothing: why it does not, or, too often from one address,
    /// `rate_limited`. Every other error is left as it is.
    pub fn refused(&self, address: IpAddr, error: Error) -> Error {
        if !WRONG.contains(&error.code()) {
            return error;
        }
        self.prune();
        match self.wrong_keys.check_key(&address) {
            Ok(()) => error,
            Err(early) => {
                let (wait, seconds) = rounded(early.wait_time_from(self.clock.now()));
                let message = format!("Too many wrong keys from this address: wait {seconds} s, then show a key that is good.");
                Error::rate_limited("rate_limited", message, wait)
            }
        }
    }

    fn prune(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1 {
            self.keys.retain_recent();
            self.addresses.retain_recent();
            self.wrong_keys.retain_recent();
        }
    }
}

/// What is said of a key, a session and a sign-in link that are none.
const WRONG: [&str; 3] = ["invalid_key", "invalid_session", "invalid_link"];

/// A wait that is one, and in whole seconds.
fn rounded(wait: Duration) -> (Duration, f64) {
    let wait = wait.max(Duration::from_millis(1));
    (wait, wait.as_secs_f64().ceil())
}

fn limited(whose: &str, wait: Duration) -> Error {
    let (wait, seconds) = rounded(wait);
    Error::rate_limited("rate_limited", format!("Too many requests from this {whose}: wait {seconds} s and try again."), wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_and_each_address_has_its_own_bucket() {
        let limits =
            LimitsConfig { key_per_minute: 2, address_per_minute: 3, frame_bytes: 1, upload_bytes: 1, sockets_per_address: 1, sockets: 1 };
        let limits = RateLimits::new(&limits);
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (one, two) = (KeyId::from_text("one"), KeyId::from_text("two"));
        limits.check(&one, here).unwrap();
        limits.check(&one, here).unwrap();
        let refused = limits.check(&one, there).unwrap_err();
        assert_eq!(refused.code(), "rate_limited");
        assert!(refused.message().contains("key") && refused.retry_after().is_some_and(|wait| wait <= Duration::from_secs(30)));
        limits.check(&two, here).unwrap();
        assert!(limits.check(&two, here).unwrap_err().message().contains("address"));
        limits.check(&two, there).unwrap();
        // Wrong keys have a bucket of their own.
        let wrong = |address, code| limits.refused(address, Error::unauthenticated(code, "no"));
        for _ in 0..3 {
            assert_eq!(wrong(there, "invalid_key").code(), "invalid_key");
        }
        let refused = wrong(there, "invalid_session");
        assert!(refused.code() == "rate_limited" && refused.retry_after().is_some_and(|wait| wait <= Duration::from_secs(20)), "{refused}");
        assert_eq!(wrong(there, "identity_expired").code(), "identity_expired", "the key was good");
        assert_eq!(wrong(here, "invalid_key").code(), "invalid_key");
        limits.check(&KeyId::from_text("three"), there).unwrap();
    }
}
