//! Conversations and their turns: what was asked and answered, and how much of it goes into the next
//! prompt. Every look-up takes the tenant and, unless an admin looks, the owner: a conversation of
//! somebody else is answered as if it did not exist.

use serde::Serialize;
use serde_json::Value;

use crate::ids::{ConversationId, OwnerId, Timestamp, TurnId};
use crate::models::{Message, Role, tokens};

mod store;

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
}

/// The newest whole turns that fit the budget, as messages, oldest first.
pub fn window(turns: &[Turn], budget: usize) -> Vec<Message> {
    let mut left = budget;
    let mut pairs = Vec::new();
    for turn in turns.iter().rev().filter(|turn| !turn.answer.is_empty()) {
        let cost = tokens::count(&turn.question) + tokens::count(&turn.answer);
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
