//! What was tried for one answer: which model, how it went, how long it took. It goes into the trace, so
//! it holds stable codes and never a provider's own words.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Serialize, Serializer};

/// The attempts at one answer, in order; shared with whoever reads the trace.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<Vec<Attempt>>>);

/// One call of one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Attempt {
    model: String,
    provider: String,
    /// `running`, `answered`, `left` (the asker cancelled), or a model error's code.
    outcome: &'static str,
    /// From the call to the first piece of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<f64>,
    ms: f64,
}

impl Serialize for Attempts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.lock().serialize(serializer)
    }
}

impl Attempts {
    /// Notes that a model is asked.
    pub(super) fn begin(&self, model: &str, provider: &str) -> Trial {
        let mut all = self.lock();
        let attempt = Attempt { model: model.to_owned(), provider: provider.to_owned(), outcome: "running", first_token_ms: None, ms: 0.0 };
        all.push(attempt);
        Trial { attempts: self.clone(), at: all.len() - 1, started: Instant::now(), ended: false }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt under way; dropped without an end it was left.
#[derive(Debug)]
pub(super) struct Trial {
    attempts: Attempts,
    at: usize,
    started: Instant,
    ended: bool,
}

impl Trial {
    /// Something came.
    pub(super) fn first_token(&self) {
        self.attempts.lock()[self.at].first_token_ms = Some(self.ms());
    }

    /// How it went.
    pub(super) fn end(mut self, outcome: &'static str) {
        self.note(outcome);
    }

    fn note(&mut self, outcome: &'static str) {
        self.ended = true;
        let ms = self.ms();
        let attempt = &mut self.attempts.lock()[self.at];
        (attempt.outcome, attempt.ms) = (outcome, ms);
    }

    /// Milliseconds since the call, to a tenth.
    fn ms(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.ended {
            self.note("left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_is_told_in_order_with_its_end() {
        let attempts = Attempts::default();
        attempts.begin("a", "p").end("model_timeout");
        let trial = attempts.begin("b", "q");
        trial.first_token();
        drop(trial);
        let told = serde_json::to_value(&attempts).unwrap();
        assert_eq!((&told[0]["outcome"], &told[1]["outcome"]), (&"model_timeout".into(), &"left".into()));
        assert!(told[1]["first_token_ms"].is_f64() && told[0].get("first_token_ms").is_none());
    }
}
