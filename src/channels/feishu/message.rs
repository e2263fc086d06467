//! A Feishu callback, opened and read: what is genuine, the platform's own question whether we are there, and
//! messages to the bot, and buttons of its cards.

use serde::Deserialize;
use serde_json::Value;

use super::{card, crypto};
use crate::channels::{Asker, Content, Inbound, ReplyTo, Vote};
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::ids::Timestamp;

/// An event is this old at most: longer than the platform repeats one (seven hours), and well within the days for
/// which a message is remembered, so that one that was caught on its way is never answered again.
const WINDOW_MS: u64 = 24 * 60 * 60 * 1000;
/// Times from here on are in microseconds: messages have milliseconds, buttons the others.
const MICROS_FROM: i64 = 100_000_000_000_000;

const MESSAGE: &str = "im.message.receive_v1";
const BUTTON: &str = "card.action.trigger";

/// What to do with a callback.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// Answer it.
    Message(Box<Inbound>),
    /// Say this back: the platform asks whether we are there.
    Challenge(String),
    /// Keep it.
    Vote(Vote),
    /// Nothing: it is not for us, and why.
    Nothing(&'static str),
}

/// The headers that sign a callback.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signed<'a> {
    /// `X-Lark-Request-Timestamp`
    pub timestamp: Option<&'a str>,
    /// `X-Lark-Request-Nonce`
    pub nonce: Option<&'a str>,
    /// `X-Lark-Signature`
    pub signature: Option<&'a str>,
}

/// What both sides know.
pub struct Keys<'a> {
    /// In every callback.
    pub token: &'a Secret,
    /// Encrypts and signs them, where it is set.
    pub encrypt_key: Option<&'a Secret>,
}

#[derive(Deserialize)]
struct Received {
    sender: Sender,
    message: Message,
}

#[derive(Deserialize)]
struct Sender {
    sender_id: Option<SenderId>,
    sender_type: Option<String>,
}

#[derive(Deserialize)]
struct SenderId {
    open_id: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    message_id: String,
    chat_id: String,
    chat_type: String,
    message_type: String,
    /// What it replies to.
    parent_id: Option<String>,
    content: String,
    #[serde(default)]
    mentions: Vec<Mentioned>,
}

#[derive(Deserialize)]
struct Mentioned {
    key: String,
    #[serde(default)]
    name: String,
    mentioned_type: Option<String>,
}

/// Opens and reads a callback's body.
///
/// # Errors
/// `bad_signature` when it is not from the platform, `stale_callback` when it is too old, `bad_callback` when it cannot
/// be read.
pub fn read(body: &[u8], signed: Signed<'_>, keys: &Keys<'_>, now: Timestamp) -> Result<Read> {
    let outer: Value = serde_json::from_slice(body).map_err(|error| bad(format!("it is not JSON ({error})")))?;
    let genuine = keys.encrypt_key.is_none_or(|key| is_signed(body, signed, key));
    let inner = match keys.encrypt_key {
        Some(key) => open(&outer, key)?,
        None => outer,
    };
    let token = inner.pointer("/header/token").or(inner.get("token")).and_then(Value::as_str).unwrap_or_default();
    if !crypto::same(token, keys.token.reveal()) {
        return Err(forged());
    }
    // The platform asks this before it signs anything; whoever encrypted it has the key.
    if inner["type"] == "url_verification" {
        return Ok(Read::Challenge(inner["challenge"].as_str().unwrap_or_default().to_owned()));
    }
    if !genuine {
        return Err(forged());
    }
    if created(&inner).is_none_or(|at| now.0.abs_diff(at.0) >= WINDOW_MS) {
        let message = "The event's `create_time` is a day or more from our time, or missing: it may be a repetition of an old one. Check both clocks.";
        return Err(Error::unauthenticated("stale_callback", message));
    }
    match inner.pointer("/header/event_type").and_then(Value::as_str) {
        Some(MESSAGE) => message(&inner["event"]),
        Some(BUTTON) => Ok(card::vote(&inner["event"]).map_or(Read::Nothing("it is no button of ours"), Read::Vote)),
        _ => Ok(Read::Nothing("it is no message to the bot")),
    }
}

/// When the platform made an event: in what it signed, unlike the time of a delivery where nothing is encrypted.
fn created(event: &Value) -> Option<Timestamp> {
    let time = event.pointer("/header/create_time")?;
    let time = time.as_i64().or_else(|| time.as_str()?.parse().ok())?;
    Some(Timestamp(if time >= MICROS_FROM { time / 1000 } else { time }))
}

fn is_signed(body: &[u8], signed: Signed<'_>, key: &Secret) -> bool {
    let Signed { timestamp: Some(timestamp), nonce: Some(nonce), signature: Some(shown) } = signed else { return false };
    crypto::same(shown, &crypto::signature(timestamp, nonce, key, body))
}

/// One error for everything that can be wrong with it: which one it was would help a forger.
fn open(outer: &Value, key: &Secret) -> Result<Value> {
    let plain = outer["encrypt"].as_str().and_then(|text| crypto::decrypt(key, text)).ok_or_else(forged)?;
    serde_json::from_slice(&plain).map_err(|_| forged())
}

fn message(event: &Value) -> Result<Read> {
    let Received { sender, message } =
        Received::deserialize(event).map_err(|error| bad(format!("the message lacks what an answer needs ({error})")))?;
    if sender.sender_type.as_deref().is_some_and(|kind| kind != "user") {
        return Ok(Read::Nothing("a bot said it"));
    }
    let group = message.chat_type != "p2p";
    if group && !message.mentions.iter().any(Mentioned::may_be_us) {
        return Ok(Read::Nothing("it does not mention the bot"));
    }
    let id = sender.sender_id.and_then(|id| id.open_id).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| bad("`open_id` of the sender is missing".into()))?;
    let content = message.content();
    Ok(Read::Message(Box::new(Inbound {
        message_id: message.message_id,
        conversation: message.chat_id,
        title: None,
        group,
        asker: Asker { staff_id: Some(id.clone()), id, name: String::new() },
        content,
        quotes: message.parent_id.is_some_and(|id| !id.is_empty()),
        quoted: None,
        reply: ReplyTo::default(),
    })))
}

impl Mentioned {
    /// Older callbacks do not say whether a person or a bot was mentioned; without the permission to read
    /// everything a bot hears only what mentions it.
    fn may_be_us(&self) -> bool {
        self.mentioned_type.as_deref().is_none_or(|kind| kind == "bot")
    }
}

impl Message {
    fn content(&self) -> Content {
        let inner: Value = serde_json::from_str(&self.content).unwrap_or_default();
        let words = match self.message_type.as_str() {
            "text" => inner["text"].as_str().unwrap_or_default().to_owned(),
            "post" => rich(&inner),
            "image" => return Content::Unreadable("picture".into()),
            "media" => return Content::Unreadable("video".into()),
            kind => return Content::Unreadable(kind.to_owned()),
        };
        Content::Text(self.without_us(&words))
    }

    /// Names for the placeholders of those mentioned; the bot's own goes.
    fn without_us(&self, words: &str) -> String {
        // The longest first: `@_user_1` is also how `@_user_10` begins.
        let mut mentions: Vec<&Mentioned> = self.mentions.iter().filter(|one| !one.key.is_empty()).collect();
        mentions.sort_by_key(|one| std::cmp::Reverse(one.key.len()));
        let name = |one: &Mentioned| if one.may_be_us() { String::new() } else { format!("@{}", one.name) };
        let words = mentions.iter().fold(words.to_owned(), |words, one| words.replace(&one.key, &name(one)));
        words.trim().to_owned()
    }
}

/// The words of a rich text: its title and its paragraphs.
fn rich(post: &Value) -> String {
    let mut lines: Vec<String> = post["title"].as_str().into_iter().map(str::to_owned).collect();
    for paragraph in post["content"].as_array().into_iter().flatten().filter_map(Value::as_array) {
        // A mention's placeholder stands in `user_id`.
        let word = |part: &Value| part["text"].as_str().or(part["user_id"].as_str()).unwrap_or_default().to_owned();
        lines.push(paragraph.iter().map(word).collect());
    }
    lines.retain(|line| !line.trim().is_empty());
    lines.join("\n")
}

fn forged() -> Error {
    Error::unauthenticated("bad_signature", "The callback is not this bot's. Check its `verification_token` and `encrypt_key`.")
}

fn bad(why: String) -> Error {
    Error::invalid("bad_callback", format!("The callback cannot be read: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_796_054_400_000);

    fn event(kind: &str, content: &Value, mentions: Value) -> Vec<u8> {
        let message = json!({
            "message_id": "om_1", "chat_id": "oc_1", "chat_type": if mentions == json!([]) { "p2p" } else { "group" },
            "message_type": kind, "content": content.to_string(), "mentions": mentions,
        });
        let sender = json!({"sender_id": {"open_id": "ou_1"}, "sender_type": "user"});
        json!({
            "schema": "2.0", "header": {"event_id": "e1", "token": "tok", "create_time": NOW.0.to_string(), "event_type": MESSAGE},
            "event": {"sender": sender, "message": message},
        })
        .to_string()
        .into_bytes()
    }

    fn understood(body: &[u8]) -> Result<Read> {
        read(body, Signed::default(), &Keys { token: &Secret::new("tok"), encrypt_key: None }, NOW)
    }

    fn content(kind: &str, inner: Value, mentions: Value) -> Option<Content> {
        match understood(&event(kind, &inner, mentions)).unwrap() {
            Read::Message(inbound) => Some(inbound.content),
            _ => None,
        }
    }

    #[test]
    fn messages_are_read_without_the_bots_name_and_with_those_of_others() {
        let us = json!({"key": "@_user_1", "name": "助手", "mentioned_type": "bot"});
        let other = json!({"key": "@_user_10", "name": "小王", "mentioned_type": "user"});
        let text = |words: &str| Some(Content::Text(words.into()));
        assert_eq!(content("text", json!({"text": "保证金？"}), json!([])), text("保证金？"));
        assert_eq!(content("text", json!({"text": "@_user_1 问 @_user_10"}), json!([us, other])), text("问 @小王"));
        assert_eq!(content("text", json!({"text": "@_user_10 在吗"}), json!([other])), None, "the bot was not mentioned");
        let post =
            json!({"title": "题", "content": [[{"tag": "at", "user_id": "@_user_1"}, {"tag": "text", "text": " 第一"}], [{"tag": "img"}]]});
        assert_eq!(content("post", post, json!([us])), text("题\n 第一"));
        for (kind, what) in [("image", "picture"), ("media", "video"), ("audio", "audio"), ("hologram", "hologram")] {
            assert_eq!(content(kind, json!({}), json!([])), Some(Content::Unreadable(what.into())));
        }
    }

    #[test]
    fn only_the_platform_is_heard() {
        let body = event("text", &json!({"text": "x"}), json!([]));
        let (token, key) = (Secret::new("tok"), Secret::new("test-encrypt-key"));
        let code = |token: &Secret, key: Option<&Secret>, body: &[u8]| {
            read(body, Signed::default(), &Keys { token, encrypt_key: key }, NOW).map(drop).map_err(|error| error.code())
        };
        assert_eq!(code(&token, None, &body), Ok(()));
        assert_eq!(code(&Secret::new("other"), None, &body), Err("bad_signature"));
        assert_eq!(code(&token, Some(&key), &body), Err("bad_signature"), "in the clear where it has to be encrypted");
        assert_eq!(code(&token, None, b"no json"), Err("bad_callback"));
        let header = |kind: &str| json!({"token": "tok", "create_time": NOW.0.to_string(), "event_type": kind});
        let lacking = json!({"header": header(MESSAGE), "event": {}}).to_string();
        assert_eq!(code(&token, None, lacking.as_bytes()), Err("bad_callback"));
        let other = json!({"header": header("im.chat.updated_v1")}).to_string();
        assert_eq!(understood(other.as_bytes()).unwrap(), Read::Nothing("it is no message to the bot"));
    }

    #[test]
    fn an_event_that_may_have_been_forgotten_is_refused() {
        let day = i64::try_from(WINDOW_MS).unwrap();
        let mut body: Value = serde_json::from_slice(&event("text", &json!({"text": "x"}), json!([]))).unwrap();
        let mut code = |time: Value| {
            body["header"]["create_time"] = time;
            understood(body.to_string().as_bytes()).map(drop).map_err(|error| error.code())
        };
        for fine in [NOW.0, NOW.0 - day + 1, NOW.0 + day - 1, NOW.0 * 1000, (NOW.0 - 1) * 1000] {
            assert_eq!((code(json!(fine.to_string())), code(json!(fine))), (Ok(()), Ok(())), "{fine}");
        }
        for old in [NOW.0 - day, NOW.0 + day, (NOW.0 - day) * 1000, NOW.0 - 7 * day - 1, 0, 1] {
            assert_eq!(code(json!(old.to_string())), Err("stale_callback"), "{old}");
        }
        for nothing in [Value::Null, json!(""), json!("soon"), json!(i64::MIN.to_string())] {
            assert_eq!(code(nothing.clone()), Err("stale_callback"), "{nothing}");
        }
    }
}
