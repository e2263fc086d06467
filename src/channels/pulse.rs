//! How a bot is doing, as this server sees it: whether its line stands, when something came in, and how the last
//! call to its platform went. Kept in memory; what came in over the last days is counted in the database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::ids::{Clock, Timestamp};

/// A refusal is not logged again before.
const QUIET_MS: i64 = 60_000;

/// What one bot's desk and doors note down.
#[derive(Debug)]
pub struct Pulse {
    clock: Clock,
    vitals: Mutex<Vitals>,
}

/// What is known of a bot.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// Open lines, where the bot calls the platform; for a moment there are two.
    pub lines: usize,
    /// When something of the platform came in last.
    pub seen: Option<Timestamp>,
    /// The last callback that was refused.
    pub refused: Option<Problem>,
    /// What went wrong with the last call to the platform; none when it went well.
    pub failed: Option<Problem>,
    /// Messages and changes of cards since the start.
    pub calls: u64,
    /// When a refusal of each code was logged last.
    logged: BTreeMap<&'static str, Timestamp>,
}

/// What went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Problem {
    /// When.
    #[cfg_attr(test, ts(type = "number"))]
    pub at_ms: Timestamp,
    /// The error's code.
    pub code: String,
    /// What happened.
    pub message: String,
}

impl Pulse {
    /// Nothing is known yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, vitals: Mutex::default() }
    }

    /// What is known.
    pub fn vitals(&self) -> Vitals {
        self.held().clone()
    }

    /// Something of the platform came in.
    pub fn seen(&self) {
        self.held().seen = Some(self.clock.now());
    }

    /// A callback came in: the platform's, or one that was refused.
    pub fn callback<T>(&self, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => self.seen(),
            Err(error) => self.held().refused = Some(self.problem(error)),
        }
        outcome
    }

    /// A message or a card's change went out, or did not. That there is nobody to write to is not the platform's fault.
    pub fn called<T>(&self, outcome: Result<T>) -> Result<T> {
        let mut held = self.held();
        held.calls += 1;
        match &outcome {
            Ok(_) => held.failed = None,
            Err(error) if error.code() == "no_address" => {}
            Err(error) => held.failed = Some(self.problem(error)),
        }
        drop(held);
        outcome
    }

    /// Whether a refusal is to be logged: of each code one a minute, however many forgers there are.
    pub fn is_news(&self, error: &Error) -> bool {
        let (mut held, now) = (self.held(), self.clock.now());
        let last = held.logged.insert(error.code(), now);
        let is_news = last.is_none_or(|last| now.0 - last.0 >= QUIET_MS);
        if let Some(last) = last.filter(|_| !is_news) {
            held.logged.insert(error.code(), last);
        }
        is_news
    }

    /// A line was opened; it counts for as long as what is returned is held.
    pub fn line(self: &Arc<Self>) -> OpenLine {
        let mut held = self.held();
        held.lines += 1;
        held.failed = None;
        OpenLine(Arc::clone(self))
    }

    /// No line could be opened.
    pub fn no_line(&self, error: &Error) {
        self.held().failed = Some(self.problem(error));
    }

    fn problem(&self, error: &Error) -> Problem {
        Problem { at_ms: self.clock.now(), code: error.code().to_owned(), message: error.message().to_owned() }
    }

    fn held(&self) -> MutexGuard<'_, Vitals> {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line that is open until this is dropped.
#[derive(Debug)]
pub struct OpenLine(Arc<Pulse>);

impl Drop for OpenLine {
    fn drop(&mut self) {
        let mut held = self.0.held();
        held.lines = held.lines.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_tells_whether_a_bot_fails_and_a_line_counts_while_it_is_held() {
        let pulse = Arc::new(Pulse::new(Clock::fixed(Timestamp(5))));
        let busy = || Err::<(), _>(Error::unavailable("platform_error", "Busy."));
        assert!(pulse.called(busy()).is_err());
        let failed = pulse.vitals().failed.unwrap();
        assert_eq!((failed.code.as_str(), failed.at_ms), ("platform_error", Timestamp(5)));
        assert!(pulse.called(Err::<(), _>(Error::invalid("no_address", "Nobody."))).is_err());
        assert_eq!(pulse.vitals().failed.unwrap().code, "platform_error", "nobody to write to says nothing of the platform");
        let forged = Error::unauthenticated("bad_signature", "Forged.");
        assert!(pulse.is_news(&forged) && !pulse.is_news(&forged) && pulse.is_news(&Error::invalid("bad_callback", "Odd.")));
        let lines = (pulse.line(), pulse.line());
        let vitals = pulse.vitals();
        assert_eq!((vitals.lines, vitals.failed, vitals.calls), (2, None, 2));
        drop(lines);
        assert!(pulse.callback(busy()).is_err());
        let vitals = pulse.vitals();
        assert_eq!((vitals.lines, vitals.seen, vitals.failed.is_none(), vitals.refused.is_some()), (0, None, true, true));
    }
}
