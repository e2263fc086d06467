//! Leaves a provider alone that failed too often in a row, and lets one call through after a while to see
//! whether it is back. One per provider, whatever number of models it serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::ModelError;
use crate::ids::{Clock, Timestamp};

/// How a provider is, as far as its calls tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nobody asked yet.
    Unknown,
    /// The last call went well.
    Ok,
    /// The last calls failed, or it refuses the key.
    Failing,
    /// It failed too often in a row and is left alone.
    Open,
    /// One call is trying whether it is back.
    Probing,
}

/// The last thing that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastError {
    /// The stable code.
    pub code: String,
    /// What the provider said; for operators.
    pub message: String,
    /// When.
    pub at_ms: Timestamp,
}

/// Tells whoever watches that some provider's health is another.
pub(super) type Changes = Arc<watch::Sender<()>>;

#[derive(Debug)]
pub(super) struct Breaker {
    /// Failures in a row that open it; 0 never.
    limit: u32,
    open_for: Duration,
    state: Mutex<State>,
    changes: Changes,
}

#[derive(Debug, Default)]
struct State {
    called: bool,
    failures: u32,
    /// It is there and does not want the key: nothing to leave alone, and nothing that works.
    locked_out: bool,
    opened: Option<Instant>,
    probing: bool,
    last_error: Option<LastError>,
}

impl Breaker {
    pub(super) fn new(limit: u32, open_for: Duration, changes: Changes) -> Arc<Self> {
        Arc::new(Self { limit, open_for, state: Mutex::default(), changes })
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// `model_unavailable` while the provider is left alone.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Pass, ModelError> {
        let mut state = self.lock();
        let probe = match state.opened {
            None => false,
            Some(opened) if opened.elapsed() >= self.open_for && !state.probing => true,
            Some(_) => {
                let why = state.last_error.as_ref().map_or_else(String::new, |error| format!(": {}", error.message));
                return Err(ModelError::Unavailable(format!("left alone after {} failures in a row{why}", state.failures)));
            }
        };
        state.probing |= probe;
        state.called = true;
        Ok(Pass { breaker: Arc::clone(self), probe, judged: false })
    }

    /// How it is now, and what went wrong last.
    pub(super) fn health(&self) -> (Health, Option<LastError>) {
        let state = self.lock();
        let health = match (state.opened, state.failures) {
            (Some(_), _) if state.probing => Health::Probing,
            (Some(_), _) => Health::Open,
            (None, 0) if state.locked_out => Health::Failing,
            (None, 0) if !state.called => Health::Unknown,
            (None, 0) => Health::Ok,
            (None, _) => Health::Failing,
        };
        (health, state.last_error.clone())
    }

    fn failed(&self, error: &ModelError) {
        let mut state = self.lock();
        let at_ms = Clock::system().now();
        state.last_error = Some(LastError { code: error.code().to_owned(), message: error.to_string(), at_ms });
        state.probing = false;
        state.locked_out = matches!(error, ModelError::Unauthorized(_));
        if is_its_fault(error) {
            state.failures += 1;
            if self.limit > 0 && state.failures >= self.limit {
                state.opened = Some(Instant::now());
            }
        } else {
            // It answered, if only to refuse: it is there.
            (state.failures, state.opened) = (0, None);
        }
    }

    /// Closes it. One more failure opens it again, unless the answer went well `to_the_end`.
    fn went_well(&self, to_the_end: bool) {
        let mut state = self.lock();
        if state.opened.take().is_some() {
            state.failures = self.limit.saturating_sub(1);
        }
        state.probing = false;
        if to_the_end {
            (state.failures, state.locked_out) = (0, false);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures that say something about the provider rather than about one question or key.
fn is_its_fault(error: &ModelError) -> bool {
    matches!(error, ModelError::Unavailable(_) | ModelError::Timeout(_) | ModelError::Broken(_) | ModelError::Overloaded(_))
}

/// A call that was let through; without a judgement it says nothing about the provider.
#[derive(Debug)]
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    probe: bool,
    judged: bool,
}

impl Pass {
    /// The first piece of the answer came: a probe has found what it looked for.
    pub(super) fn heard(&mut self) {
        if self.probe {
            self.probe = false;
            self.judge(|breaker| breaker.went_well(false));
        }
    }

    /// The answer came whole.
    pub(super) fn succeeded(mut self) {
        self.judged = true;
        self.judge(|breaker| breaker.went_well(true));
    }

    pub(super) fn failed(mut self, error: &ModelError) {
        self.judged = true;
        self.judge(|breaker| breaker.failed(error));
    }

    fn judge(&self, change: impl FnOnce(&Breaker)) {
        let before = self.breaker.health();
        change(&self.breaker);
        if self.breaker.health() != before {
            self.breaker.changes.send_replace(());
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.probe && !self.judged {
            self.breaker.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than a busy machine stands still between two lines.
    const OPEN_FOR: Duration = Duration::from_secs(1);

    fn breaker(limit: u32) -> Arc<Breaker> {
        Breaker::new(limit, OPEN_FOR, Arc::new(watch::Sender::new(())))
    }

    fn down() -> ModelError {
        ModelError::Unavailable("down".into())
    }

    #[tokio::test]
    async fn it_opens_after_failures_in_a_row_and_one_probe_closes_it() {
        let breaker = breaker(3);
        assert_eq!(breaker.health().0, Health::Unknown);
        for _ in 0..2 {
            breaker.admit().unwrap().failed(&down());
        }
        breaker.admit().unwrap().succeeded();
        for _ in 0..3 {
            assert_ne!(breaker.health().0, Health::Open, "only failures in a row count");
            breaker.admit().unwrap().failed(&down());
        }
        assert_eq!(breaker.health().0, Health::Open);
        let refused = breaker.admit().unwrap_err();
        assert!(refused.code() == "model_unavailable" && refused.to_string().contains("down"), "{refused}");

        tokio::time::sleep(OPEN_FOR).await;
        let probe = breaker.admit().unwrap();
        assert_eq!(breaker.health().0, Health::Probing);
        assert!(breaker.admit().is_err(), "one probe at a time");
        drop(probe);
        breaker.admit().expect("a probe that was left says nothing").failed(&down());
        assert!(breaker.admit().is_err(), "open for as long again");

        tokio::time::sleep(OPEN_FOR).await;
        let mut probe = breaker.admit().unwrap();
        probe.heard();
        breaker.admit().expect("others may come once something was heard").failed(&down());
        assert_eq!(breaker.health().0, Health::Open, "but one failure is enough until an answer came whole");
        probe.succeeded();
        assert_eq!(breaker.health().0, Health::Ok);
    }

    #[test]
    fn what_is_not_the_providers_fault_does_not_open_it_and_0_never_does() {
        let breaker_of_one = breaker(1);
        for error in [ModelError::Refused("x".into()), ModelError::Unauthorized("x".into()), ModelError::RateLimited(None)] {
            breaker_of_one.admit().unwrap().failed(&error);
            assert_eq!(breaker_of_one.health().1.unwrap().code, error.code());
        }
        let never = breaker(0);
        for _ in 0..50 {
            never.admit().unwrap().failed(&down());
        }
        assert_eq!(never.health().0, Health::Failing);
    }

    #[test]
    fn a_refused_key_is_no_health_and_nothing_to_leave_alone() {
        let breaker = breaker(2);
        for _ in 0..3 {
            breaker.admit().unwrap().failed(&ModelError::Unauthorized("wrong key".into()));
        }
        let (health, last) = breaker.health();
        assert_eq!((health, last.unwrap().code.as_str()), (Health::Failing, "model_unauthorized"));
        breaker.admit().expect("a key may be put right at any time").succeeded();
        assert_eq!(breaker.health().0, Health::Ok);
    }
}
