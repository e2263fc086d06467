//! What was said before: earlier turns, what older ones come down to, and what the merchant has stated.

use super::Turning;
use crate::chat::summing::LOOK_BACK;
use crate::error::Result;
use crate::memory::Turn;
use crate::memory::facts;
use crate::memory::summary::Remembered;
use crate::models::{Message, Role};

impl Turning {
    pub(super) async fn earlier(&self) -> Result<Vec<Turn>> {
        if self.turn.ordinal <= 1 || self.request.history.is_some() {
            return Ok(Vec::new());
        }
        let memory = &self.engine.0.parts.memory;
        memory.earlier(&self.tenant, &self.turn.conversation_id, self.turn.place, LOOK_BACK).await
    }

    /// What the conversation remembers beside its window, and what this message adds to it.
    pub(super) async fn remembered(&mut self) -> Result<Remembered> {
        let memory = &self.engine.0.parts.memory;
        let known = match &self.request.history {
            Some(history) => told_by(history),
            None if self.turn.ordinal <= 1 => Remembered::default(),
            None => memory.remembered(&self.tenant, &self.turn.conversation_id).await?,
        };
        self.facts = known.facts.clone();
        facts::hear(&mut self.facts, &self.request.text, self.turn.place);
        if self.facts != known.facts && self.request.history.is_none() {
            memory.keep_facts(&self.tenant, &self.turn.conversation_id, &self.facts).await?;
        }
        Ok(known)
    }
}

/// The query before this question: as it was searched with, or the client's last user message.
pub(super) fn earlier_query(earlier: &[Turn], history: Option<&[Message]>) -> Option<String> {
    if let Some(history) = history {
        return history.iter().rev().find(|message| message.role == Role::User).map(|message| message.content.clone());
    }
    let asked = earlier.iter().rev().find(|turn| turn.trace.get("intent").is_none())?;
    Some(if asked.query.is_empty() { asked.question.clone() } else { asked.query.clone() })
}

/// What a stateless client's messages state.
fn told_by(history: &[Message]) -> Remembered {
    let mut known = Remembered::default();
    for message in history.iter().filter(|message| message.role == Role::User) {
        facts::hear(&mut known.facts, &message.content, 0);
    }
    known
}
