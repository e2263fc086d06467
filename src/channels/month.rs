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
    per_card: i64,
    seen: Mutex<Seen>,
}

/// The month that was looked at last.
#[derive(Debug, Default)]
struct Seen {
    month: String,
    /// Its calls; ours are in it before the database knows of them.
    calls: i64,
    /// Whether it was logged that they are scarce.
    told: bool,
}

impl Month {
    /// So many calls a month, of which a card takes `per_card` to be opened and ended.
    pub fn new(store: BotStore, most: u32, per_card: u32) -> Self {
        Self { store, most: i64::from(most), per_card: i64::from(per_card), seen: Mutex::default() }
    }

    /// What so many open cards may still need.
    pub fn reserve(&self, cards: usize) -> i64 {
        i64::try_from(cards).unwrap_or(i64::MAX).saturating_mul(self.per_card)
    }

    /// Counts a call.
    pub async fn count(&self) {
        let month = self.now();
        self.count_here(&month, i64::MAX);
        self.note(month).await;
    }

    /// Counts a call that may be left out, if it and what is reserved leave the part that is kept.
    pub async fn count_if_room(&self, reserved: i64) -> bool {
        if !self.has_room(reserved.saturating_add(1)).await {
            return false;
        }
        let month = self.now();
        // Others have called meanwhile.
        if !self.count_here(&month, self.streamed().saturating_sub(reserved)) {
            return false;
        }
        self.note(month).await;
        true
    }

    /// Counts a call of a month that is known, up to so many.
    fn count_here(&self, month: &str, most: i64) -> bool {
        let mut seen = self.seen();
        let counts = seen.month == month && seen.calls < most;
        seen.calls += i64::from(counts);
        counts
    }

    async fn note(&self, month: String) {
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

    /// Whether so many calls leave the part that is kept for messages.
    pub async fn has_room(&self, calls: i64) -> bool {
        let month = self.now();
        if self.seen().month != month {
            match self.store.calls(&month).await {
                Ok(calls) => self.look(month, calls),
                Err(error) => {
                    tracing::error!(code = error.code(), causes = error.causes(), "the month's calls are not known: {error}");
                    return false;
                }
            }
        }
        let mut seen = self.seen();
        let fits = seen.calls.saturating_add(calls) <= self.streamed();
        if !fits && !std::mem::replace(&mut seen.told, true) {
            tracing::warn!(
                bot = self.store.bot,
                calls = seen.calls,
                most = self.most,
                "the month's calls are nearly used up: beside what open cards need answers are plain messages"
            );
        }
        fits
    }

    /// Calls that streaming may use.
    fn streamed(&self) -> i64 {
        self.most - (self.most / KEPT).max(1)
    }

    /// What the database counts; our own calls that it does not know yet stay counted.
    fn look(&self, month: String, calls: i64) {
        let mut seen = self.seen();
        if seen.month == month {
            seen.calls = seen.calls.max(calls);
        } else {
            *seen = Seen { month, calls, told: false };
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
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
