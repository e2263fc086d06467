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
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    /// Takes one request from both buckets.
    ///
    /// # Errors
    /// `rate_limited` with the time until the next one is welcome.
    pub fn check(&self, key: &KeyId, address: IpAddr) -> Result<()> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1 {
            self.keys.retain_recent();
            self.addresses.retain_recent();
        }
        let now = || self.clock.now();
        self.addresses.check_key(&address).map_err(|early| limited("address", early.wait_time_from(now())))?;
        self.keys.check_key(key).map_err(|early| limited("key", early.wait_time_from(now())))
    }
}

fn limited(whose: &str, wait: Duration) -> Error {
    let wait = wait.max(Duration::from_millis(1));
    let seconds = wait.as_secs_f64().ceil();
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
    }
}
