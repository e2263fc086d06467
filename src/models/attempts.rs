//! What was tried for one answer: which model, how it went, how long it took. It goes into the trace, so
//! it holds stable codes and never a provider's own words.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use super::Usage;
use crate::telemetry;

/// The attempts at one answer, in order; shared with whoever reads the trace.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<Vec<Attempt>>>);

/// Who is called, in the words of OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The kind of provider.
    pub system: String,
    /// The model as the provider knows it.
    pub model: String,
    /// Host and port; none for what runs in this process.
    pub server: Option<(String, u16)>,
}

/// One call of one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attempt {
    model: String,
    provider: String,
    /// `running`, `answered`, `left` (the asker cancelled), or a model error's code.
    outcome: &'static str,
    /// From the call to the first piece of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<f64>,
    ms: f64,
    /// What the provider charges for it, told although it never said a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_vain: Option<Usage>,
    #[serde(skip)]
    paid: bool,
    /// Whether the request went out, and no place in a queue was waited for.
    #[serde(skip)]
    sent: bool,
    #[serde(skip)]
    started: Instant,
    #[serde(skip)]
    peer: Arc<Peer>,
}

impl Attempt {
    /// Whose id it is that was asked.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Who was called.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// When.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        Duration::from_secs_f64(self.ms / 1000.0)
    }

    /// How long nothing came, if anything did.
    pub fn first_token(&self) -> Option<Duration> {
        self.first_token_ms.map(|ms| Duration::from_secs_f64(ms / 1000.0))
    }

    /// The stable code of what went wrong, or `left` when nobody wanted the answer any more.
    pub fn error(&self) -> Option<&'static str> {
        Some(self.outcome).filter(|outcome| !matches!(*outcome, "running" | "answered"))
    }
}

impl Serialize for Attempts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.lock().serialize(serializer)
    }
}

impl Attempts {
    /// Notes that a model is asked.
    pub(super) fn begin(&self, model: &str, provider: &str, peer: &Arc<Peer>) -> Trial {
        let mut all = self.lock();
        let (started, peer) = (Instant::now(), Arc::clone(peer));
        let (model, provider) = (model.to_owned(), provider.to_owned());
        all.push(Attempt {
            model,
            provider,
            outcome: "running",
            first_token_ms: None,
            ms: 0.0,
            in_vain: None,
            paid: false,
            sent: false,
            started,
            peer,
        });
        Trial { attempts: self.clone(), at: all.len() - 1, started, ended: false }
    }

    /// All of them so far.
    pub fn all(&self) -> Vec<Attempt> {
        self.lock().clone()
    }

    /// What was charged for tries that came to nothing, and whose: each is told once.
    pub fn take_unpaid(&self) -> Vec<(String, Usage)> {
        let mut all = self.lock();
        all.iter_mut()
            .filter(|one| !one.paid)
            .filter_map(|one| {
                let usage = one.in_vain?;
                one.paid = true;
                Some((one.model.clone(), usage))
            })
            .collect()
    }

    /// Whether the last one was left while the provider was at work on it.
    pub fn was_cut_off(&self) -> bool {
        self.lock().last().is_some_and(|last| last.sent && last.outcome == "left")
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
    /// The request goes out.
    pub(super) fn sent(&self) {
        self.attempts.lock()[self.at].sent = true;
    }

    /// It came to nothing, and is charged all the same.
    pub(super) fn in_vain(&self, usage: Usage) {
        self.attempts.lock()[self.at].in_vain = Some(usage);
    }

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
        metrics::counter!(telemetry::MODEL_ATTEMPTS, "model" => attempt.model.clone(), "outcome" => outcome).increment(1);
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
        let peer = Arc::new(Peer { system: "openai".into(), model: "m".into(), server: None });
        attempts.begin("a", "p", &peer).end("model_timeout");
        let trial = attempts.begin("b", "q", &peer);
        trial.first_token();
        drop(trial);
        let told = serde_json::to_value(&attempts).unwrap();
        assert_eq!((&told[0]["outcome"], &told[1]["outcome"]), (&"model_timeout".into(), &"left".into()));
        assert!(told[1]["first_token_ms"].is_f64() && told[0].get("first_token_ms").is_none());
        let all = attempts.all();
        assert_eq!((all[0].error(), all[0].first_token(), all[1].error()), (Some("model_timeout"), None, Some("left")));
    }
}
