//! Which conversation a completion belongs to: the one that the header `x-conversation-id` names, else the
//! one of the request's `user`. A name may be an id of ours or the client's own word; the same word of the
//! same key is the same conversation. Earlier messages in the request win over our memory of them.

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::chat::ChatRequest;
use crate::chat::engine::Accepted;
use crate::error::Result;
use crate::ids::ConversationId;
use crate::models::Role;
use crate::tenants::Caller;

const HEADER: &str = "x-conversation-id";
/// Longest name, in bytes.
const LONGEST: usize = 256;

/// What the client calls the conversation, if it says.
pub fn name(headers: &HeaderMap, user: Option<&str>) -> Option<String> {
    let header = headers.get(HEADER).and_then(|value| value.to_str().ok()).map(str::trim);
    let given = |name: &&str| !name.is_empty() && name.len() <= LONGEST;
    let user = || user.filter(given).map(|user| format!("user:{user}"));
    header.filter(given).map(str::to_owned).or_else(user)
}

/// Asks in the conversation of that name; the first question opens it.
pub async fn answer(app: &App, caller: &Caller, mut request: ChatRequest, name: Option<&str>) -> Result<Accepted> {
    let Some(name) = name else { return app.engine.answer(caller, request).await };
    let id = find(app, caller, name).await;
    (request.conversation_id, request.opens) = (Some(id), true);
    let told = request.history.iter().flatten().any(|message| message.role != Role::System);
    if !told {
        request.history = None;
    }
    app.engine.answer(caller, request).await
}

/// A conversation of ours by its id, else the one that this caller's word stands for.
async fn find(app: &App, caller: &Caller, name: &str) -> ConversationId {
    let id = ConversationId::from_text(name);
    if app.memory.conversation(&caller.tenant, Some(&caller.owner), &id).await.is_ok() { id } else { of_word(caller, name) }
}

fn of_word(caller: &Caller, word: &str) -> ConversationId {
    let digest = Sha256::digest(format!("{}\n{}\n{word}", caller.tenant, caller.owner));
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    ConversationId::from_text(format!("c_{hex}"))
}

/// Tells the client which conversation it was.
pub fn named(mut response: Response, id: &ConversationId) -> Response {
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HEADER, id);
    }
    response
}
