//! stub: the recipe of a turn
use std::sync::Arc;
use crate::error::Result;
use crate::ids::{ConversationId, TurnId};
use crate::tenants::Caller;
use super::{ChatRequest, replay::Cursor};

/// A stored question whose answer is on its way.
pub struct Accepted {
    pub conversation_id: ConversationId,
    /// The answer's id.
    pub response_id: TurnId,
    /// Whether the same `client_msg_id` had been accepted before.
    pub duplicate: bool,
    /// Reads the events of the conversation from this turn's `message.accepted` on (inclusive);
    /// ends for the transport with the `response.done` of `response_id`.
    pub events: Cursor,
}

#[derive(Clone)]
pub struct ChatEngine { }

impl ChatEngine {
    /// Stores the question and starts its turn; returns as soon as it is stored.
    pub async fn answer(&self, caller: &Caller, request: ChatRequest) -> Result<Accepted> { unimplemented!() }
    /// Stops a running answer of this caller. `response_not_found` when there is none of that id (or it is another's).
    pub fn cancel(&self, caller: &Caller, response: &TurnId) -> Result<()> { unimplemented!() }
    /// Stops accepting, gives running turns the configured time, then ends them as incomplete.
    pub async fn shutdown(&self) { unimplemented!() }
}
