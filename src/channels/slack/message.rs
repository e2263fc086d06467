//! A Slack event, checked and read: signed by the app's secret, and only what is said to the bot is a message. A
//! button comes as a form, signed alike.

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::channels::{Asker, Content, Inbound, ReplyTo, Vote};
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::ids::Timestamp;
use crate::memory::Rating;

/// An event's time may differ from ours by this much.
const WINDOW_MS: u64 = 5 * 60 * 1000;

/// How the body of a button begins.
const FORM: &[u8] = b"payload=";
/// Names of the buttons under an answer.
pub const LIKE: &str = "answer_like";
/// As [`LIKE`].
pub const DISLIKE: &str = "answer_dislike";

/// What to do with an event.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// Answer it.
    Message(Box<Inbound>),
    /// Say this back: the platform asks whether we are there.
    Challenge(String),
    /// Keep it, and say so to whoever pressed.
    Pressed(Pressed),
    /// Nothing: it is not for us, and why.
    Nothing(&'static str),
}

/// A button that was pressed, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Pressed {
    /// What it means.
    pub vote: Vote,
    /// The channel of the answer.
    pub channel: String,
    /// Its thread.
    pub thread: Option<String>,
}

/// Checks `X-Slack-Request-Timestamp` and `X-Slack-Signature` over the very bytes of the body; in constant time.
///
/// # Errors
/// `bad_signature`, `stale_callback`.
pub fn verify(body: &[u8], timestamp: Option<&str>, signature: Option<&str>, secret: &Secret, now: Timestamp) -> Result<()> {
    let forged = || Error::unauthenticated("bad_signature", "The event is not this bot's. Check its signing secret.");
    let (timestamp, signature) = timestamp.zip(signature).ok_or_else(forged)?;
    let shown = signature.strip_prefix("v0=").and_then(bytes).ok_or_else(forged)?;
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("any key");
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    mac.verify_slice(&shown).map_err(|_| forged())?;
    let seconds: i64 = timestamp.parse().map_err(|_| forged())?;
    if now.0.abs_diff(seconds.saturating_mul(1000)) > WINDOW_MS {
        let message = "The event's timestamp is five minutes or more from our time. Check both clocks.";
        return Err(Error::unauthenticated("stale_callback", message));
    }
    Ok(())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (digits && hex.len().is_multiple_of(2)).then(|| (0..hex.len()).step_by(2).map(pair).collect())?
}

#[derive(Deserialize)]
struct Outer {
    #[serde(default, rename = "type")]
    kind: String,
    challenge: Option<String>,
    event_id: Option<String>,
    event: Option<Event>,
    #[serde(default)]
    authorizations: Vec<Authorization>,
}

#[derive(Deserialize)]
struct Authorization {
    user_id: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default, rename = "type")]
    kind: String,
    subtype: Option<String>,
    channel_type: Option<String>,
    bot_id: Option<String>,
    user: Option<String>,
    text: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
    thread_ts: Option<String>,
    files: Option<Value>,
}

/// Reads an event's body.
///
/// # Errors
/// `bad_callback` when it is not JSON or lacks what an answer needs.
pub fn read(body: &[u8]) -> Result<Read> {
    if body.starts_with(FORM) {
        return button(body);
    }
    let outer: Outer = serde_json::from_slice(body).map_err(|error| bad(&format!("it is not the platform's JSON ({error})")))?;
    match (outer.kind.as_str(), outer.event) {
        ("url_verification", _) => Ok(Read::Challenge(outer.challenge.unwrap_or_default())),
        ("event_callback", Some(event)) => {
            let us = outer.authorizations.into_iter().find_map(|one| one.user_id);
            event.said(outer.event_id, us.as_deref())
        }
        _ => Ok(Read::Nothing("it is no event")),
    }
}

impl Event {
    fn said(self, event_id: Option<String>, us: Option<&str>) -> Result<Read> {
        let alone = self.channel_type.as_deref() == Some("im");
        if self.bot_id.is_some() || self.user.is_none() || self.user.as_deref() == us {
            return Ok(Read::Nothing("a bot said it"));
        }
        if self.subtype.as_deref().is_some_and(|kind| kind != "file_share") {
            return Ok(Read::Nothing("nothing new was said"));
        }
        if self.kind != "app_mention" && !(self.kind == "message" && alone) {
            return Ok(Read::Nothing("it does not mention the bot"));
        }
        let needed = |field: Option<String>, name: &str| field.ok_or_else(|| bad(&format!("`{name}` is missing")));
        let (channel, ts) = (needed(self.channel, "channel")?, needed(self.ts, "ts")?);
        let words = plain(self.text.as_deref().unwrap_or_default(), us);
        let content = match words.is_empty() && self.files.is_some() {
            true => Content::Unreadable("file".into()),
            false => Content::Text(words),
        };
        // In a channel every thread is a talk of its own; a chat of two goes on where it is.
        let thread = if alone { self.thread_ts } else { Some(self.thread_ts.unwrap_or(ts)) };
        let conversation = thread.as_ref().filter(|_| !alone).map_or_else(|| channel.clone(), |thread| format!("{channel}/{thread}"));
        let id = needed(self.user, "user")?;
        Ok(Read::Message(Box::new(Inbound {
            message_id: needed(event_id, "event_id")?,
            conversation,
            title: None,
            group: !alone,
            asker: Asker { staff_id: Some(id.clone()), id, name: String::new() },
            content,
            quotes: false,
            quoted: None,
            reply: ReplyTo { url: None, expires: None, request: Some(format!("{channel}/{}", thread.unwrap_or_default())) },
        })))
    }
}

fn button(form: &[u8]) -> Result<Read> {
    let payload = url::form_urlencoded::parse(form).next().map(|(_, payload)| payload).unwrap_or_default();
    let payload: Value = serde_json::from_str(&payload).map_err(|error| bad(&format!("the form holds no JSON ({error})")))?;
    Ok(pressed(&payload).map_or(Read::Nothing("it is no button of ours"), Read::Pressed))
}

fn pressed(payload: &Value) -> Option<Pressed> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let action = payload["actions"].get(0).filter(|_| payload["type"] == "block_actions")?;
    let rating = match action["action_id"].as_str()? {
        LIKE => Rating::Up,
        DISLIKE => Rating::Down,
        _ => return None,
    };
    Some(Pressed {
        vote: Vote::new(text(&action["value"])?, text(&payload["user"]["id"])?, rating, &[], None),
        channel: text(&payload["channel"]["id"])?,
        thread: text(&payload["message"]["thread_ts"]),
    })
}

/// What was typed: without the bot's own mention, with what the platform escapes.
fn plain(text: &str, us: Option<&str>) -> String {
    let words = match us {
        Some(us) => text.replace(&format!("<@{us}>"), ""),
        None => text.to_owned(),
    };
    words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").trim().to_owned()
}

fn bad(why: &str) -> Error {
    Error::invalid("bad_callback", format!("The event cannot be read: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BODY: &[u8] = b"token=x&team_id=T1";
    const SIGNATURE: &str = "v0=ee1a198e50481730009ed1fa99d3f2d9cc2ef6ebdfc11672345c4cbcf915c217";

    #[test]
    fn only_the_platforms_own_bytes_are_heard_for_five_minutes() {
        let secret = Secret::new("8f742231b10e8888abcd99yyyzzz85a5");
        let code = |body: &[u8], ts: &str, signature: &str, now: i64| {
            verify(body, Some(ts), Some(signature), &secret, Timestamp(now * 1000)).map_err(|error| error.code())
        };
        assert_eq!(code(BODY, "1531420618", SIGNATURE, 1_531_420_618), Ok(()));
        assert_eq!(code(BODY, "1531420618", SIGNATURE, 1_531_420_918), Ok(()));
        assert_eq!(code(BODY, "1531420618", SIGNATURE, 1_531_420_919), Err("stale_callback"));
        assert_eq!(code(BODY, "1531420619", SIGNATURE, 1_531_420_618), Err("bad_signature"));
        assert_eq!(code(b"token=x&team_id=T2", "1531420618", SIGNATURE, 1_531_420_618), Err("bad_signature"));
        for bad in ["", "v0=", "v0=ee", "v0=é", &SIGNATURE[3..], "v0=zz"] {
            assert_eq!(code(BODY, "1531420618", bad, 1_531_420_618), Err("bad_signature"), "{bad}");
        }
        assert!(verify(BODY, None, Some(SIGNATURE), &secret, Timestamp(0)).is_err());
    }

    #[test]
    fn what_is_said_to_the_bot_is_a_message_and_nothing_else() {
        let event = |event: Value| {
            json!({"type": "event_callback", "event_id": "Ev1", "authorizations": [{"user_id": "U0"}], "event": event}).to_string()
        };
        let read = |event: String| read(event.as_bytes()).unwrap();
        let inbound = |event: String| match read(event) {
            Read::Message(inbound) => *inbound,
            other => panic!("{other:?}"),
        };
        let mention = json!({"type": "app_mention", "user": "U1", "text": "<@U0> a &lt; b", "channel": "C1", "ts": "1.1"});
        let first = inbound(event(mention.clone()));
        assert_eq!((first.conversation.as_str(), first.group, &first.content), ("C1/1.1", true, &Content::Text("a < b".into())));
        assert_eq!(first.reply.request.as_deref(), Some("C1/1.1"));
        let mut further = mention.clone();
        further["thread_ts"] = json!("1.0");
        assert_eq!(inbound(event(further)).conversation, "C1/1.0");
        let alone = json!({"type": "message", "channel_type": "im", "user": "U1", "text": "x", "channel": "D1", "ts": "1.1"});
        let alone_read = inbound(event(alone.clone()));
        assert_eq!((alone_read.conversation.as_str(), alone_read.group, alone_read.reply.request.as_deref()), ("D1", false, Some("D1/")));
        for (key, value) in [("bot_id", "B1"), ("subtype", "message_changed"), ("channel_type", "channel"), ("user", "U0")] {
            let mut other = alone.clone();
            other[key] = json!(value);
            assert!(matches!(read(event(other)), Read::Nothing(_)), "{key}");
        }
        assert_eq!(read(json!({"type": "url_verification", "challenge": "c"}).to_string()), Read::Challenge("c".into()));
        assert!(super::read(b"no json").is_err() && super::read(event(json!({"type": "app_mention", "user": "U1"})).as_bytes()).is_err());
    }

    #[test]
    fn a_button_of_ours_is_a_vote_and_another_is_none() {
        let form = |payload: &Value| {
            let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
            read(form.as_bytes()).unwrap()
        };
        let payload = |action: &str| {
            json!({
                "type": "block_actions", "user": {"id": "U1"}, "channel": {"id": "C1"}, "message": {"ts": "9.0", "thread_ts": "1.1"},
                "actions": [{"type": "button", "action_id": action, "value": "card_1"}],
            })
        };
        for (action, rating) in [(LIKE, Rating::Up), (DISLIKE, Rating::Down)] {
            let vote = Vote::new("card_1".into(), "U1".into(), rating, &[], None);
            assert_eq!(form(&payload(action)), Read::Pressed(Pressed { vote, channel: "C1".into(), thread: Some("1.1".into()) }));
        }
        let mut shortcut = payload(LIKE);
        shortcut["type"] = json!("shortcut");
        for other in [payload("approve"), shortcut, json!({"type": "block_actions", "actions": []}), json!([]), json!(1)] {
            assert_eq!(form(&other), Read::Nothing("it is no button of ours"), "{other}");
        }
        assert_eq!(super::read(b"payload=%7B").map_err(|error| error.code()), Err("bad_callback"));
    }
}
