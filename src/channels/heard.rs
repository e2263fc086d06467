//! What comes in at a bot's door, whichever way: noted in the bot's state, and what is refused, repeated or not
//! understood logged with the bot's name.

use std::sync::Arc;

use super::desk::Early;
use super::log::Log;
use super::{Content, Desk, Inbound, Taken};
use crate::error::{Error, Result};

impl Desk {
    /// Notes whether a callback was let in; a refusal is logged.
    ///
    /// # Errors
    /// The refusal.
    pub fn heard<T>(&self, outcome: Result<T>) -> Result<T> {
        self.parts.pulse.callback(self.told(outcome))
    }

    /// Notes that what came in could not be read. That it could says nothing of who sent it.
    ///
    /// # Errors
    /// The refusal.
    pub fn received<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.or_else(|error| self.heard(Err(error)))
    }

    /// Logs that something that came in was refused.
    ///
    /// # Errors
    /// The refusal.
    pub fn told<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| self.log().warn("a callback was refused", error))
    }

    /// [`Desk::take`] for what the platform delivered.
    ///
    /// # Errors
    /// As there; logged.
    pub async fn receive(self: &Arc<Self>, inbound: Inbound, early: Option<Early>) -> Result<Taken> {
        self.parts.pulse.delivers();
        if let Content::Unreadable(kind) = &inbound.content {
            self.log().info("a message without words is answered so", "message_unreadable", kind);
        }
        let message = inbound.message_id.clone();
        let taken = self.told(self.take(inbound, early).await)?;
        if taken == Taken::Before {
            self.log().info("a message came again and is not answered again", "message_repeated", &message);
        }
        Ok(taken)
    }

    /// Something came in that is not answered.
    pub fn passed_over(&self, why: &'static str) {
        tracing::debug!(bot = self.parts.bot, why, "a callback is not answered");
    }

    /// The platform delivers no more.
    pub fn cut_off(&self, error: &Error) {
        self.parts.pulse.cut_off(error);
        self.log().error("nothing comes in any more", error);
    }

    /// Logs that a vote was not kept.
    pub fn vote_lost(&self, error: &Error) {
        self.log().error("a vote was not kept", error);
    }

    /// The bot's log.
    pub fn log(&self) -> &Log {
        self.parts.pulse.log()
    }
}
