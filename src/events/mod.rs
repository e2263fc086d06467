//! What happened in a shop, for the customer's own systems: an outbox, written in the transaction of what
//! happened. Who is told stands in the database, so every process writes it, whatever its configuration;
//! `channels/outgoing/` empties it.

use serde_json::{Value, json};

use crate::ids::{ConversationId, TenantId, Timestamp, random_token};

pub mod store;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A question was answered.
    AnswerGiven,
    /// The knowledge had nothing.
    QuestionUnanswered,
    /// A reader rated an answer, or took that back.
    FeedbackGiven,
    /// Rows of the knowledge were added, changed or deleted.
    EntryChanged,
    /// A row stops being served within seven days.
    EntryExpiring,
    /// A day's expiring entries, for a group.
    NoticeExpiring,
    /// A day's questions without an answer, for a group.
    NoticeUnanswered,
    /// The month's money runs out, for a group.
    NoticeSpend,
}

impl Kind {
    /// Those that a program may ask to be told of; notices are for people.
    pub const ALL: [Self; 5] = [Self::AnswerGiven, Self::QuestionUnanswered, Self::FeedbackGiven, Self::EntryChanged, Self::EntryExpiring];

    /// The word on the wire, in the configuration and in storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AnswerGiven => "answer.given",
            Self::QuestionUnanswered => "question.unanswered",
            Self::FeedbackGiven => "feedback.given",
            Self::EntryChanged => "entry.changed",
            Self::EntryExpiring => "entry.expiring",
            Self::NoticeExpiring => "notice.expiring",
            Self::NoticeUnanswered => "notice.unanswered",
            Self::NoticeSpend => "notice.spend",
        }
    }

    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Who was told of an id is not told of it again.
    pub id: String,
    /// What.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// The conversation it tells of: deleted with it.
    pub conversation: Option<ConversationId>,
    /// The particulars.
    pub data: Value,
}

impl Event {
    /// Something new.
    pub fn new(kind: Kind, at: Timestamp, data: Value) -> Self {
        Self { id: random_token("evt_", 20), kind, at, conversation: None, data }
    }

    /// The text that is sent, the same at every try.
    pub fn body(&self, tenant: &TenantId) -> String {
        json!({"id": self.id, "type": self.kind.as_str(), "timestamp": self.at.rfc3339(), "tenant": tenant, "data": self.data}).to_string()
    }
}
