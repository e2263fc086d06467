//! One quota of calls per second for all conversations of a bot. What must go out (an answer's end) waits
//! its turn; what may be left out (a card's text so far) goes only when there is room, and the interval
//! between updates stretches with the number of open cards. Where the platform counts by the month as well,
//! nothing that may be left out goes once the month's calls become scarce, and what open cards still need is
//! reserved. As many turns are taken as calls are made: whoever changes or opens a card has taken one for it,
//! and what that needs beside it takes its own.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::Mutex;

use super::client::UNREACHABLE;
use super::month::Month;
use crate::error::Result;

/// A card is never changed more often.
const QUICKEST: Duration = Duration::from_millis(700);
/// Share of the quota that updates may use; the rest is for openings and ends.
const FOR_UPDATES: f64 = 0.6;
/// Cards that would be changed less often than this are not worth their calls.
const SLOWEST: Duration = Duration::from_secs(6);

/// The quota, shared.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    calls: DefaultDirectRateLimiter,
    /// Who waits for a call, in the order they came: the limiter wakes them all and lets any of them go.
    line: Mutex<()>,
    month: Option<Month>,
    per_second: f64,
    open: AtomicUsize,
    waiting: AtomicUsize,
}

/// An open card's share, given back when dropped.
#[derive(Debug)]
pub struct Share(Pace);

/// How busy it is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Most calls a second.
    pub per_second: f64,
    /// Open cards.
    pub open: usize,
    /// Calls that wait for their turn.
    pub waiting: usize,
}

impl Pace {
    /// So many calls a second. They are spread out: the platform counts a burst as well.
    pub fn new(per_second: u32) -> Self {
        Self::within(per_second, None)
    }

    /// The same, within a month's calls.
    pub fn within(per_second: u32, month: Option<Month>) -> Self {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(per_second).allow_burst(NonZeroU32::new(per_second.get() / 5).unwrap_or(NonZeroU32::MIN));
        Self(Arc::new(Inner {
            calls: RateLimiter::direct(quota),
            line: Mutex::default(),
            month,
            per_second: f64::from(per_second.get()),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// How busy it is now.
    pub fn load(&self) -> Load {
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        Load { per_second: self.0.per_second, open: count(&self.0.open), waiting: count(&self.0.waiting) }
    }

    /// Calls of this month and the most there may be, where the platform counts by the month.
    ///
    /// # Errors
    /// What the database says.
    pub async fn month(&self) -> Result<Option<(i64, i64)>> {
        match &self.0.month {
            Some(month) => month.used().await.map(Some),
            None => Ok(None),
        }
    }

    /// Waits until a call may be made, first come, first served.
    pub async fn turn(&self) {
        let _waiting = Waiting::count(&self.0.waiting);
        let first = self.0.line.lock().await;
        // Before the turn: a database that takes its time must not let turns that were spread out go together.
        self.count().await;
        self.0.calls.until_ready().await;
        drop(first);
    }

    /// Makes a call that others wait for: for a token, without which nobody in line gets anywhere, or for a line. It has
    /// the next turn there is. One that could not even be made uses nothing of the month, or a platform out of reach,
    /// which is called again for ever, would use it up.
    ///
    /// # Errors
    /// What the call says.
    pub async fn ahead<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.0.calls.until_ready().await;
        let outcome = call.await;
        if !outcome.as_ref().is_err_and(|error| error.code() == UNREACHABLE) {
            self.count().await;
        }
        outcome
    }

    /// Whether a call that may be left out can be made now; it is counted.
    pub async fn room(&self) -> bool {
        let reserved = self.reserved();
        if !self.has_room(reserved.saturating_add(1)).await || self.0.waiting.load(Ordering::Relaxed) > 0 || self.0.calls.check().is_err() {
            return false;
        }
        match &self.0.month {
            Some(month) => month.count_if_room(reserved).await,
            None => true,
        }
    }

    async fn count(&self) {
        if let Some(month) = &self.0.month {
            month.count().await;
        }
    }

    async fn has_room(&self, calls: i64) -> bool {
        match &self.0.month {
            Some(month) => month.has_room(calls).await,
            None => true,
        }
    }

    /// Calls of the month that the open cards still need: one that could not be ended would hang.
    fn reserved(&self) -> i64 {
        self.0.month.as_ref().map_or(0, |month| month.reserve(self.0.open.load(Ordering::Relaxed)))
    }

    /// A share for one more card; none when there are so many that it would hardly move, or when the month's
    /// calls are scarce.
    pub async fn share(&self) -> Option<Share> {
        // Counted before it is asked for, so that two cards do not get the same room.
        let share = self.any_share();
        if !self.has_room(self.reserved()).await {
            return None;
        }
        (self.stretched(self.0.open.load(Ordering::Relaxed)) <= SLOWEST).then_some(share)
    }

    /// A share whatever the number of cards: for one that is open already.
    pub fn any_share(&self) -> Share {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Share(self.clone())
    }

    fn stretched(&self, open: usize) -> Duration {
        Duration::from_secs_f64(open as f64 / (self.0.per_second * FOR_UPDATES)).max(QUICKEST)
    }
}

impl Share {
    /// Time to the next update.
    pub fn interval(&self) -> Duration {
        self.0.stretched(self.0.0.open.load(Ordering::Relaxed))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts who waits for as long as they wait, also when they give up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn count(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn the_interval_stretches_with_the_open_cards_and_too_many_get_none() {
        let pace = Pace::new(10);
        let first = pace.share().await.unwrap();
        assert_eq!(first.interval(), QUICKEST);
        let shares = async |most: usize| {
            let mut shares = Vec::new();
            while shares.len() < most
                && let Some(share) = pace.share().await
            {
                shares.push(share);
            }
            shares
        };
        let more = shares(29).await;
        assert_eq!(more.len(), 29);
        assert_eq!(first.interval(), Duration::from_secs(5));
        let full = shares(100).await;
        assert_eq!(full.len(), 6, "36 cards are changed every 6 seconds");
        drop((more, full));
        assert_eq!(first.interval(), QUICKEST);
    }

    #[tokio::test]
    async fn calls_stay_within_the_quota_and_who_waits_goes_first() {
        let pace = Pace::new(20);
        let started = Instant::now();
        for _ in 0..30 {
            pace.turn().await;
        }
        assert!(started.elapsed() >= Duration::from_millis(1250), "{:?}", started.elapsed());
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { pace.turn().await }
        });
        tokio::task::yield_now().await;
        assert!(!pace.room().await);
        waiting.await.unwrap();
    }
    #[tokio::test]
    async fn whoever_came_first_goes_first() {
        let (pace, order) = (Pace::new(50), Arc::new(std::sync::Mutex::new(Vec::new())));
        let waiting = (0..30).map(|number| {
            let (pace, order) = (pace.clone(), Arc::clone(&order));
            async move {
                pace.turn().await;
                order.lock().unwrap().push(number);
            }
        });
        futures::future::join_all(waiting).await;
        assert!(order.lock().unwrap().is_sorted(), "{order:?}");
    }
}
