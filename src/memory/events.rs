//! What is told of turns to the customer's own systems: how they ended and what was thought of them.

use serde_json::json;
use sqlx::FromRow;

use super::{Outcome, Rating};
use crate::events::{Event, Kind};
use crate::ids::{ConversationId, Timestamp, TurnId};

/// What a turn that ends was about.
#[derive(FromRow)]
pub(super) struct Ended {
    conversation_id: ConversationId,
    question: String,
    model: Option<String>,
    market: Option<String>,
    locale: Option<String>,
}

impl Ended {
    /// Whatever completed is told, and whether the knowledge had nothing.
    pub(super) fn event(self, id: &TurnId, outcome: &Outcome, at: Timestamp) -> Option<Event> {
        if outcome.status != "completed" {
            return None;
        }
        // A greeting needs no source, and a refusal by a guardrail is no gap in the knowledge.
        let asked = outcome.finish_reason != "content_filter" && outcome.trace["intent"] != "greeting";
        let missed = asked && outcome.decision.as_deref() == Some("none");
        let kind = if missed { Kind::QuestionUnanswered } else { Kind::AnswerGiven };
        let data = json!({
            "response_id": id, "conversation_id": self.conversation_id, "question": self.question, "answer": outcome.answer,
            "decision": outcome.decision, "finish_reason": outcome.finish_reason, "model": self.model, "market": self.market,
            "locale": self.locale, "sources": outcome.sources, "usage": outcome.usage,
        });
        Some(Event { conversation: Some(self.conversation_id), ..Event::new(kind, at, data) })
    }
}

/// The answer that was rated.
#[derive(FromRow)]
pub(super) struct Judged {
    conversation_id: ConversationId,
    question: String,
    answer: String,
}

impl Judged {
    /// A rating, or that it was taken back.
    pub(super) fn event(self, id: &TurnId, rating: Rating, reasons: &[String], comment: Option<&str>, at: Timestamp) -> Event {
        let data = json!({
            "response_id": id, "conversation_id": self.conversation_id, "question": self.question, "answer": self.answer,
            "rating": rating, "reasons": reasons, "comment": comment,
        });
        Event { conversation: Some(self.conversation_id), ..Event::new(Kind::FeedbackGiven, at, data) }
    }
}
