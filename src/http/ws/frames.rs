//! The frames of copilot.v1 (pure): what a client may say, and what a server says beside the events
//! of a turn.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::feedback::FeedbackCreate;
use super::super::message::MessageCreate;
use crate::chat::ChatEvent;
use crate::config::AiMark;
use crate::error::{Error, Result};
use crate::ids::{ConversationId, TurnId};
use crate::models::ModelCard;

/// Longest client-chosen `id`.
const ID_CHARS: usize = 128;

/// What a client says.
#[derive(Debug)]
pub enum ClientFrame {
    SessionOpen(SessionOpen),
    MessageCreate(MessageCreate),
    ResponseCancel(ResponseCancel),
    ResponseRegenerate(ResponseRegenerate),
    FeedbackCreate(FeedbackCreate),
    Ping,
}

/// The first frame.
#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SessionOpen {
    /// Left out when the upgrade request showed who asks.
    #[cfg_attr(test, ts(optional))]
    pub token: Option<String>,
    #[cfg_attr(test, ts(optional))]
    pub visitor_token: Option<String>,
    /// A token of the shop's backend that says who the visitor is.
    #[cfg_attr(test, ts(optional))]
    pub identity: Option<String>,
    /// Goes on after a broken line.
    #[cfg_attr(test, ts(optional, type = "{ conversation_id: string, last_seq: number }"))]
    pub resume: Option<Resume>,
}

/// What a client has seen of a conversation.
#[derive(Debug, Deserialize)]
pub struct Resume {
    pub conversation_id: ConversationId,
    /// The number of the last event it has.
    pub last_seq: u64,
}

impl std::fmt::Debug for SessionOpen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionOpen").field("resume", &self.resume).finish_non_exhaustive()
    }
}

/// Stops an answer.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ResponseCancel {
    #[cfg_attr(test, ts(type = "string"))]
    pub response_id: TurnId,
}

/// Answers a question once more.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ResponseRegenerate {
    #[cfg_attr(test, ts(type = "string"))]
    pub response_id: TurnId,
    /// Another model; left out, the one that answered before.
    #[cfg_attr(test, ts(optional))]
    pub model: Option<String>,
}

/// Reads a frame: its `id`, as far as it could be read, and what it says.
pub fn parse(text: &str) -> (Option<String>, Result<ClientFrame>) {
    match serde_json::from_str::<Value>(text) {
        Ok(frame) => match id_of(&frame) {
            Ok(id) => (id, read(frame)),
            Err(error) => (None, Err(error)),
        },
        Err(error) => (None, Err(Error::invalid("malformed_json", format!("The frame is not JSON: {error}.")))),
    }
}

/// Whether a text is a frame that a client may send; for those who try what is not.
///
/// # Errors
/// What a client would be told.
pub fn understood(text: &str) -> Result<()> {
    parse(text).1.map(drop)
}

fn id_of(frame: &Value) -> Result<Option<String>> {
    match &frame["id"] {
        Value::Null => Ok(None),
        Value::String(id) if id.chars().count() <= ID_CHARS => Ok(Some(id.clone())),
        _ => Err(Error::invalid("invalid_frame", format!("`id` must be a text of at most {ID_CHARS} characters."))),
    }
}

fn read(frame: Value) -> Result<ClientFrame> {
    let Some(kind) = frame["type"].as_str() else {
        return Err(Error::invalid("invalid_frame", "A frame is a JSON object with a `type`."));
    };
    Ok(match kind {
        "session.open" => ClientFrame::SessionOpen(fields(frame)?),
        "message.create" => ClientFrame::MessageCreate(required(fields::<MessageCreate>(frame)?)?),
        "response.cancel" => ClientFrame::ResponseCancel(fields(frame)?),
        "response.regenerate" => ClientFrame::ResponseRegenerate(fields(frame)?),
        "feedback.create" => ClientFrame::FeedbackCreate(fields(frame)?),
        "ping" => ClientFrame::Ping,
        other => return Err(Error::invalid("unknown_type", format!("There is no frame type `{other}` in copilot.v1."))),
    })
}

fn fields<T: DeserializeOwned>(frame: Value) -> Result<T> {
    serde_json::from_value(frame).map_err(|error| Error::invalid("invalid_frame", format!("The frame's fields are wrong: {error}.")))
}

/// Over a line that breaks and comes back, only a repeated `client_msg_id` tells a repetition.
fn required(message: MessageCreate) -> Result<MessageCreate> {
    match message.client_msg_id {
        Some(_) => Ok(message),
        None => Err(Error::invalid("invalid_frame", "`client_msg_id` is missing: choose one, and repeat it when you repeat the message.")),
    }
}

/// `session.ready`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type", rename = "session.ready")]
pub struct SessionReady {
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub reference: Option<String>,
    pub session_id: String,
    pub tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub visitor_token: Option<String>,
    /// Empty when the shop keeps the choice to itself.
    pub models: Vec<ModelInfo>,
    /// Says under an answer that AI made it; an empty text says nothing.
    pub ai_mark: AiMark,
    /// Where links in answers may lead beside the hosts of their sources; `null`: anywhere.
    pub link_hosts: Option<Vec<String>>,
    pub limits: Limits,
    pub server_time: String,
}

/// A model that `message.create` may name.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ModelInfo {
    pub id: String,
    pub name: String,
    pub provider: String,
}

impl From<ModelCard> for ModelInfo {
    fn from(card: ModelCard) -> Self {
        Self { id: card.id, name: card.name, provider: card.provider }
    }
}

/// What the server takes.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Limits {
    pub message_chars: usize,
    pub frame_bytes: usize,
    pub per_minute: u32,
}

/// An event of a turn, with the `id` of the frame that caused it where it is the answer to one.
#[derive(Debug, Serialize)]
pub struct EventFrame<'a> {
    /// The causing frame's `id`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<&'a str>,
    /// The event.
    #[serde(flatten)]
    pub event: &'a ChatEvent,
}

/// `pong`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "pong")]
pub struct Pong<'a> {
    /// The ping's `id`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::EventKind;
    use serde_json::json;

    fn code(text: &str) -> &'static str {
        parse(text).1.unwrap_err().code()
    }

    #[test]
    fn every_frame_of_the_contract_is_read() {
        let (id, frame) = parse(r#"{"type":"session.open","id":"1","token":"site_x","identity":"later"}"#);
        assert_eq!(id.as_deref(), Some("1"));
        assert!(
            matches!(frame.unwrap(), ClientFrame::SessionOpen(open) if (open.token.as_deref(), open.identity.as_deref()) == (Some("site_x"), Some("later")))
        );
        let (_, frame) = parse(r#"{"type":"message.create","id":"2","text":"怎么退保证金","client_msg_id":"m1","metadata":{"a":1}}"#);
        assert!(matches!(frame.unwrap(), ClientFrame::MessageCreate(message) if message.text == "怎么退保证金"));
        let (_, frame) = parse(r#"{"type":"response.cancel","response_id":"r_1"}"#);
        assert!(matches!(frame.unwrap(), ClientFrame::ResponseCancel(cancel) if cancel.response_id.as_str() == "r_1"));
        let (_, frame) = parse(r#"{"type":"response.regenerate","response_id":"r_1","model":"m"}"#);
        assert!(matches!(frame.unwrap(), ClientFrame::ResponseRegenerate(again) if again.model.as_deref() == Some("m")));
        let (_, frame) = parse(r#"{"type":"feedback.create","response_id":"r_1","rating":"down","reasons":["wrong"]}"#);
        assert!(matches!(frame.unwrap(), ClientFrame::FeedbackCreate(said) if said.reasons.as_deref() == Some(&["wrong".to_owned()])));
        let (_, frame) = parse(r#"{"type":"session.open","resume":{"conversation_id":"c_1","last_seq":1000007}}"#);
        assert!(matches!(frame.unwrap(), ClientFrame::SessionOpen(open) if open.resume.as_ref().unwrap().last_seq == 1_000_007));
        assert!(matches!(parse(r#"{"type":"ping"}"#), (None, Ok(ClientFrame::Ping))));
    }

    #[test]
    fn what_is_no_frame_says_why_and_keeps_its_id() {
        for bad in ["", "{", "ping"] {
            assert_eq!(code(bad), "malformed_json", "{bad}");
        }
        for bad in [
            "[]",
            "1",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"ping","id":7}"#,
            r#"{"type":"message.create"}"#,
            r#"{"type":"response.cancel","response_id":[]}"#,
            r#"{"type":"feedback.create","response_id":"r_1","rating":"great"}"#,
            r#"{"type":"session.open","resume":{"conversation_id":"c_1","last_seq":-1}}"#,
        ] {
            assert_eq!(code(bad), "invalid_frame", "{bad}");
        }
        let (id, frame) = parse(r#"{"type":"message.delete","id":"9"}"#);
        assert_eq!((id.as_deref(), frame.unwrap_err().code()), (Some("9"), "unknown_type"));
        let (id, frame) = parse(r#"{"type":"message.create","id":"3","text":"a"}"#);
        assert_eq!(id.as_deref(), Some("3"));
        assert!(frame.unwrap_err().message().contains("client_msg_id"));
    }

    #[test]
    fn an_open_frame_never_shows_its_token() {
        let (_, frame) = parse(r#"{"type":"session.open","token":"mc_admin_secret","visitor_token":"vt_secret"}"#);
        assert!(!format!("{:?}", frame.unwrap()).contains("secret"));
    }

    #[test]
    fn an_event_frame_is_the_event_with_its_cause() {
        let event = ChatEvent {
            conversation_id: ConversationId::from_text("c_1"),
            response_id: Some(TurnId::from_text("r_1")),
            seq: 1_000_001,
            kind: EventKind::MessageAccepted { message_id: "m_1".into(), duplicate: false },
        };
        let expected = json!({"type": "message.accepted", "ref": "2", "conversation_id": "c_1", "response_id": "r_1", "seq": 1_000_001, "message_id": "m_1", "duplicate": false});
        assert_eq!(serde_json::to_value(EventFrame { reference: Some("2"), event: &event }).unwrap(), expected);
        assert_eq!(serde_json::to_value(Pong { reference: None }).unwrap(), json!({"type": "pong"}));
    }
}
