//! Conversations and their turns: what was asked and answered, and how much of it goes into the next
//! prompt. Every look-up takes the tenant and, unless an admin looks, the owner.

use serde::Serialize;
use serde_json::Value;

use crate::db::Db;
use crate::error::Result;
use crate::ids::{Clock, ConversationId, OwnerId, TenantId, Timestamp, TurnId};

/// A thread of turns.
#[derive(Clone, Debug, Serialize)]
pub struct Conversation {
    pub id: ConversationId,
    #[serde(skip)]
    pub owner: OwnerId,
    pub channel: String,
    pub title: String,
    pub turns: i64,
    #[serde(rename = "created_ms")]
    pub created: Timestamp,
    #[serde(rename = "updated_ms")]
    pub updated: Timestamp,
}

/// One question with its answer, as stored. JSON columns hold the wire's own shapes.
#[derive(Clone, Debug, Serialize)]
pub struct Turn {
    pub id: TurnId,
    pub conversation_id: ConversationId,
    pub ordinal: i64,
    #[serde(skip)]
    pub owner: OwnerId,
    pub client_msg_id: Option<String>,
    pub question: String,
    /// The stand-alone query that was searched with.
    pub query: String,
    pub answer: String,
    pub decision: Option<String>,
    pub model: Option<String>,
    /// `running`, `completed`, `incomplete`, `cancelled`, `failed`.
    pub status: String,
    pub finish_reason: Option<String>,
    pub error: Option<Value>,
    pub sources: Value,
    pub citations: Value,
    pub suggestions: Value,
    pub usage: Value,
    pub timings: Value,
    pub trace: Value,
    pub created_ms: Timestamp,
    pub done_ms: Option<Timestamp>,
}

/// The room's door.
#[derive(Clone, Debug)]
pub struct Memory { #[allow(dead_code)] db: Db, #[allow(dead_code)] clock: Clock }

impl Memory {
    pub fn new(db: Db, clock: Clock) -> Self { Self { db, clock } }
    /// Newest first.
    pub async fn conversations(&self, tenant: &TenantId, owner: Option<&OwnerId>, limit: i64) -> Result<Vec<Conversation>> { unimplemented!() }
    /// `conversation_not_found` when it does not exist or is another's.
    pub async fn conversation(&self, tenant: &TenantId, owner: Option<&OwnerId>, id: &ConversationId) -> Result<Conversation> { unimplemented!() }
    /// Its turns in order.
    pub async fn turns(&self, tenant: &TenantId, conversation: &ConversationId) -> Result<Vec<Turn>> { unimplemented!() }
    /// `response_not_found` when it does not exist or is another's.
    pub async fn turn(&self, tenant: &TenantId, owner: Option<&OwnerId>, id: &TurnId) -> Result<Turn> { unimplemented!() }
}
