//! Turns under way in this process: who may stop them, how far they are, and the sign of life that
//! lets another process tell what was said so far, or end them when this one is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::numbers::Numbers;
use crate::ids::{ConversationId, OwnerId, TenantId, TurnId};
use crate::ledger::Owed;
use crate::memory::{Memory, Progress};

/// How often running turns are noted down. A crash loses at most so much of an answer.
const NOTE_EVERY: Duration = Duration::from_millis(500);

/// A running turn.
pub struct Running {
    /// Whose it is.
    pub tenant: TenantId,
    /// Who may stop it.
    pub owner: OwnerId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// Stops it.
    pub cancel: CancellationToken,
    /// How far it is.
    pub so_far: Arc<SoFar>,
}

impl Running {
    fn progress(&self, turn: &TurnId) -> Progress {
        let told = self.so_far.told().clone();
        Progress {
            tenant: self.tenant.clone(),
            turn: turn.clone(),
            answer: told.answer,
            decision: told.decision,
            unsourced: told.unsourced,
            sources: if told.sources.is_null() { Value::Array(Vec::new()) } else { told.sources },
            numbers: serde_json::json!(told.numbers),
            owed: told.owed,
        }
    }
}

/// What a running turn has said, for whoever looks on.
#[derive(Debug, Default)]
pub struct SoFar(Mutex<Told>);

/// The content of [`SoFar`].
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The text so far.
    pub answer: String,
    /// As stored with a turn.
    pub decision: Option<String>,
    /// As stored with a turn.
    pub unsourced: bool,
    /// As stored with a turn.
    pub sources: Value,
    /// The numbers it was told with.
    pub numbers: Numbers,
    /// What the call under way owes.
    pub owed: Option<Owed>,
}

impl SoFar {
    /// Looks at it, or changes it.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All running turns.
#[derive(Default)]
pub struct AllRunning(Mutex<HashMap<TurnId, Running>>);

impl AllRunning {
    /// The turns by id.
    pub fn locked(&self) -> MutexGuard<'_, HashMap<TurnId, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> Vec<Progress> {
        self.locked().iter().map(|(turn, running)| running.progress(turn)).collect()
    }

    /// Strikes a turn off; how far it was.
    pub fn strike_off(&self, turn: &TurnId) -> Option<Progress> {
        self.locked().remove(turn).map(|running| running.progress(turn))
    }

    /// Notes down how far they are until `stop`.
    pub async fn note_forever(&self, memory: &Memory, stop: &CancellationToken) {
        let mut beat = tokio::time::interval(NOTE_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                () = stop.cancelled() => return,
            }
            let progress = self.progress();
            if progress.is_empty() {
                continue;
            }
            if let Err(error) = memory.note_progress(&progress).await {
                tracing::warn!(code = error.code(), causes = error.causes(), "running answers could not be noted down: {error}");
            }
        }
    }
}
