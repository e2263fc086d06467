//! How a bot is doing, as this server sees it: whether its line stands, when something came in, and how the last
//! call to its platform went. Kept in memory; what came in over the last days is counted in the database.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::log::Log;
use crate::error::{Error, Result};
use crate::ids::{Clock, Timestamp};

/// What one bot's desk and doors note down.
#[derive(Debug)]
pub struct Pulse {
    clock: Clock,
    log: Log,
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
    /// Why the platform delivers nothing any more; none once it does.
    pub cut_off: Option<Problem>,
    /// The last message that was given up, or broken off while it was being said.
    pub lost: Option<Problem>,
    /// Messages and changes of cards since the start.
    pub calls: u64,
}

impl Vitals {
    /// Whether something is wrong now.
    pub fn is_failing(&self) -> bool {
        self.cut_off.is_some() || self.failed.is_some()
    }

    /// What is wrong, or else what was lost last.
    pub fn problem(&self) -> Option<&Problem> {
        self.cut_off.as_ref().or(self.failed.as_ref()).or(self.lost.as_ref())
    }
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
    /// Nothing is known yet of the bot with this name.
    pub fn new(bot: &str, clock: Clock) -> Self {
        Self { log: Log::new(bot, clock.clone()), clock, vitals: Mutex::default() }
    }

    /// What is logged of it.
    pub fn log(&self) -> &Log {
        &self.log
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

    /// The platform says that it delivers no more.
    pub fn cut_off(&self, error: &Error) {
        self.held().cut_off = Some(self.problem(error));
    }

    /// It delivered something.
    pub fn delivers(&self) {
        self.held().cut_off = None;
    }

    /// A message will not be answered any more, or nobody knows whether it was.
    pub fn lost(&self, error: &Error) {
        self.held().lost = Some(self.problem(error));
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
        let pulse = Arc::new(Pulse::new("dingtalk/shop", Clock::fixed(Timestamp(5))));
        let busy = || Err::<(), _>(Error::unavailable("platform_error", "Busy."));
        assert!(pulse.called(busy()).is_err());
        let failed = pulse.vitals().failed.unwrap();
        assert_eq!((failed.code.as_str(), failed.at_ms), ("platform_error", Timestamp(5)));
        assert!(pulse.called(Err::<(), _>(Error::invalid("no_address", "Nobody."))).is_err());
        assert_eq!(pulse.vitals().failed.unwrap().code, "platform_error", "nobody to write to says nothing of the platform");
        let lines = (pulse.line(), pulse.line());
        let vitals = pulse.vitals();
        assert_eq!((vitals.lines, vitals.failed, vitals.calls), (2, None, 2));
        drop(lines);
        assert!(pulse.callback(busy()).is_err());
        let vitals = pulse.vitals();
        assert_eq!((vitals.lines, vitals.seen, vitals.failed.is_none(), vitals.refused.is_some()), (0, None, true, true));
    }

    #[test]
    fn what_does_not_come_in_is_wrong_until_something_does_and_what_was_lost_is_remembered() {
        let pulse = Pulse::new("dingtalk/shop", Clock::fixed(Timestamp(5)));
        let code = |pulse: &Pulse| pulse.vitals().problem().map(|problem| problem.code.clone());
        pulse.lost(&Error::timeout("platform_timeout", "Perhaps."));
        pulse.cut_off(&Error::unavailable("callback_quota_spent", "Used up."));
        assert!(pulse.called(Ok(())).is_ok());
        assert_eq!((pulse.vitals().is_failing(), code(&pulse).as_deref()), (true, Some("callback_quota_spent")), "calls still work");
        pulse.delivers();
        assert_eq!((pulse.vitals().is_failing(), code(&pulse).as_deref()), (false, Some("platform_timeout")));
    }
}
