//! The quota of a month: how many calls of a platform's API a bot has made of those that its plan allows,
//! counted in the database so that no restart forgets and all nodes count together.

use std::sync::Mutex;

use chrono::DateTime;

use super::store::BotStore;
use crate::error::Result;
use crate::ids::Timestamp;

/// Platforms count the months of Beijing.
const BEIJING_MS: i64 = 8 * 60 * 60 * 1000;
/// One part in so many is kept for what has to be said: then nothing is streamed any more.
const KEPT: i64 = 10;

/// A bot's quota.
#[derive(Debug)]
pub struct Month {
    store: BotStore,
    most: i64,
    /// The month that was looked at last, with its calls.
    seen: Mutex<(String, i64)>,
}

impl Month {
    /// So many calls a month.
    pub fn new(store: BotStore, most: u32) -> Self {
        Self { store, most: i64::from(most), seen: Mutex::default() }
    }

    /// Counts a call.
    pub async fn count(&self) {
        let month = self.now();
        match self.store.count_call(&month).await {
            Ok(calls) => self.look(month, calls),
            Err(error) => tracing::error!(code = error.code(), causes = error.causes(), "a call was not counted: {error}"),
        }
    }

    /// Calls of this month, by all nodes, and the most there may be.
    ///
    /// # Errors
    /// What the database says.
    pub async fn used(&self) -> Result<(i64, i64)> {
        Ok((self.store.calls(&self.now()).await?, self.most))
    }

    /// Whether what is left is for messages only.
    pub async fn is_scarce(&self) -> bool {
        let month = self.now();
        let known = self.seen().clone();
        if known.0 == month {
            return self.is_spent(known.1);
        }
        match self.store.calls(&month).await {
            Ok(calls) => {
                self.look(month, calls);
                self.is_spent(calls)
            }
            Err(error) => {
                tracing::error!(code = error.code(), causes = error.causes(), "the month's calls are not known: {error}");
                true
            }
        }
    }

    fn is_spent(&self, calls: i64) -> bool {
        calls >= self.most - (self.most / KEPT).max(1)
    }

    fn look(&self, month: String, calls: i64) {
        let mut seen = self.seen();
        if self.is_spent(calls) && !(seen.0 == month && self.is_spent(seen.1)) {
            tracing::warn!(
                calls,
                most = self.most,
                "the month's calls are nearly used up: answers are plain messages until the next month"
            );
        }
        *seen = (month, calls);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, (String, i64)> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn now(&self) -> String {
        month_of(self.store.now())
    }
}

/// As `2026-11`.
fn month_of(at: Timestamp) -> String {
    DateTime::from_timestamp_millis(at.0 + BEIJING_MS).unwrap_or_default().format("%Y-%m").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_in_beijing() {
        // 2026-11-30T15:59:59.999Z and a millisecond later.
        assert_eq!(month_of(Timestamp(1_796_054_399_999)), "2026-11");
        assert_eq!(month_of(Timestamp(1_796_054_400_000)), "2026-12");
    }
}
