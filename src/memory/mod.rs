//! Conversations and their turns: what was asked and answered, and how much of it goes into the next
//! prompt. Every look-up takes the tenant and, unless an admin looks, the owner: a conversation of
//! somebody else is answered as if it did not exist.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{ConversationId, OwnerId, Timestamp, TurnId};
use crate::models::{Message, Role, tokens};

mod events;
pub mod facts;
mod feedback_store;
mod human_store;
mod list_store;
pub mod overview;
mod overview_store;
mod replace_store;
mod running_store;
mod store;
pub mod summary;
mod summary_store;

pub use facts::Fact;
pub use feedback_store::Rated;
pub use human_store::{Human, HumanReply, NewHumanReply};
pub use list_store::{Filter, Went};
pub use replace_store::Instead;
pub use running_store::{Progress, Report};
pub use store::{Memory, NewTurn, Outcome, Recorded};

/// A thread of turns.
#[derive(Clone, Debug, Serialize)]
pub struct Conversation {
    /// Its id, random.
    pub id: ConversationId,
    /// Who may see it.
    #[serde(skip)]
    pub owner: OwnerId,
    /// Where it was opened: `ws`, `sse`, `openai`.
    pub channel: String,
    /// Its first question.
    pub title: String,
    /// How many turns it has.
    pub turns: i64,
    /// When it was opened.
    #[serde(rename = "created_ms")]
    pub created: Timestamp,
    /// When it last changed.
    #[serde(rename = "updated_ms")]
    pub updated: Timestamp,
}

/// One question with its answer, as stored. JSON columns hold the wire's own shapes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Turn {
    /// Its id; on the wire the `response_id`.
    pub id: TurnId,
    /// The thread.
    pub conversation_id: ConversationId,
    /// Counts from 1 within the thread.
    pub ordinal: i64,
    /// Who asked.
    #[serde(skip)]
    pub owner: OwnerId,
    /// The asker's own id for it.
    pub client_msg_id: Option<String>,
    /// As it was asked.
    pub question: String,
    /// The stand-alone query that was searched with.
    pub query: String,
    /// The answer so far.
    pub answer: String,
    /// `direct`, `grounded`, `none`.
    pub decision: Option<String>,
    /// Whether a model answers from what it knows itself, because the base had nothing; not of an ended turn without a word.
    pub unsourced: bool,
    /// Who answered.
    pub model: Option<String>,
    /// `running`, `completed`, `incomplete`, `cancelled`, `failed`.
    pub status: String,
    /// Why it ended.
    pub finish_reason: Option<String>,
    /// What went wrong.
    pub error: Option<Value>,
    /// `chat::Source`s.
    pub sources: Value,
    /// `chat::Citation`s.
    pub citations: Value,
    /// Questions that could come next.
    pub suggestions: Value,
    /// Tokens and money.
    pub usage: Value,
    /// Time per stage.
    pub timings: Value,
    /// How the answer came about: for the owner and the knowledge team.
    pub trace: Value,
    /// When it was asked.
    pub created_ms: Timestamp,
    /// When it ended.
    pub done_ms: Option<Timestamp>,
    /// `chat::numbers::Numbers`: how its events were numbered.
    #[serde(skip)]
    pub numbers: Value,
    /// When its process last said that it was at work on it.
    #[serde(skip)]
    pub alive_ms: Timestamp,
    /// Where it stands in memory: its ordinal, or the place of the turn it was asked again for.
    #[serde(skip)]
    pub place: i64,
    /// The market asked about.
    pub market: Option<String>,
    /// The page's language.
    #[serde(skip)]
    pub locale: Option<String>,
    /// The question's id on the wire; an answer asked for again has its first one's.
    pub message_id: String,
    /// The answer this one was asked for instead of.
    pub replaces: Option<TurnId>,
    /// The answer that took its place: this one is kept, but no longer remembered.
    pub replaced_by: Option<TurnId>,
    /// What its reader thought of it.
    pub feedback: Option<Feedback>,
}

/// What a reader thought of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feedback {
    /// Thumbs.
    pub rating: Rating,
    /// Words from the page's list.
    pub reasons: Vec<String>,
    /// In the reader's own words.
    pub comment: Option<String>,
    /// When it was said last.
    #[serde(rename = "rated_ms")]
    pub rated: Timestamp,
}

/// Thumbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum Rating {
    /// It helped.
    Up,
    /// It did not.
    Down,
    /// Taken back.
    None,
}

impl Rating {
    /// The word in storage; nothing is stored of a rating taken back.
    pub fn stored(self) -> Option<&'static str> {
        match self {
            Self::Up => Some("up"),
            Self::Down => Some("down"),
            Self::None => None,
        }
    }
}

/// The newest whole turns that fit the budget, as messages, oldest first.
pub fn window(turns: &[Turn], budget: usize) -> Vec<Message> {
    let told = || turns.iter().rev().filter(|turn| !turn.answer.is_empty());
    let all = tokens::fit(told().flat_map(|turn| [turn.question.as_str(), &turn.answer]), budget);
    let mut left = budget;
    let mut pairs = Vec::new();
    for turn in told() {
        let cost = if all { 0 } else { tokens::count(&turn.question) + tokens::count(&turn.answer) };
        if cost > left {
            break;
        }
        left -= cost;
        pairs.push(turn);
    }
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    let both = |turn: &Turn| [message(Role::User, &turn.question), message(Role::Assistant, &turn.answer)];
    pairs.into_iter().rev().flat_map(both).collect()
}
