//! What WeCom sends to a bot, read leniently: messages, the question how far an answer is, and votes on it.

use serde::Deserialize;
use serde_json::Value;

use crate::channels::{Asker, Content, Inbound, ReplyTo, Vote};
use crate::error::{Error, Result};
use crate::ids::Timestamp;
use crate::memory::Rating;

/// How long the address for a late answer is good.
const ADDRESS_MS: i64 = 60 * 60 * 1000;

/// What to do with a callback.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// Answer it.
    Message(Box<Inbound>),
    /// Say how far this answer is.
    Poll(String),
    /// Keep it.
    Vote(Vote),
    /// Greet: somebody opens the chat for the first time today.
    Entered,
    /// Nothing: it is not for us, and why.
    Nothing(&'static str),
}

#[derive(Deserialize)]
struct Callback {
    msgid: Option<String>,
    chatid: Option<String>,
    chattype: Option<String>,
    from: Option<Sender>,
    response_url: Option<String>,
    #[serde(default)]
    msgtype: String,
    text: Option<Words>,
    voice: Option<Words>,
    mixed: Option<Mixed>,
    stream: Option<Stream>,
    event: Option<Value>,
    quote: Option<Value>,
}

#[derive(Deserialize)]
struct Sender {
    #[serde(default)]
    userid: String,
}

#[derive(Deserialize)]
struct Words {
    #[serde(default)]
    content: String,
}

#[derive(Deserialize)]
struct Mixed {
    #[serde(default)]
    msg_item: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<Words>,
}

#[derive(Deserialize)]
struct Stream {
    id: String,
}

/// Reads what a callback holds. `name` is the bot's, as groups mention it.
///
/// # Errors
/// `bad_callback` when it is not JSON or lacks what an answer needs.
pub fn read(plain: &[u8], name: Option<&str>, now: Timestamp) -> Result<Read> {
    let callback: Callback = serde_json::from_slice(plain).map_err(|error| bad(&format!("it is not the platform's JSON ({error})")))?;
    match callback.msgtype.as_str() {
        "stream" => callback.stream.map(|stream| Read::Poll(stream.id)).ok_or_else(|| bad("`stream` is missing")),
        "event" => Ok(callback.happened()),
        "" => Err(bad("`msgtype` is missing")),
        _ => callback.said(name, now),
    }
}

impl Callback {
    fn said(self, name: Option<&str>, now: Timestamp) -> Result<Read> {
        let group = self.chattype.as_deref() == Some("group");
        let content = match self.content() {
            // A group's message keeps the mention that brought it here.
            Content::Text(words) if group => Content::Text(without_us(&words, name)),
            content => content,
        };
        let id = self.from.map(|from| from.userid).filter(|id| !id.is_empty()).ok_or_else(|| bad("`from.userid` is missing"))?;
        let message_id = self.msgid.filter(|id| !id.is_empty()).ok_or_else(|| bad("`msgid` is missing"))?;
        let conversation = match self.chatid.filter(|id| !id.is_empty()) {
            Some(chat) => chat,
            None if group => return Err(bad("`chatid` is missing")),
            None => id.clone(),
        };
        Ok(Read::Message(Box::new(Inbound {
            message_id,
            conversation,
            title: None,
            group,
            asker: Asker { staff_id: Some(id.clone()), id, name: String::new() },
            content,
            quotes: self.quote.as_ref().is_some_and(|quote| !quote.is_null()),
            quoted: self.quote.as_ref().and_then(|quote| quote["text"]["content"].as_str()).map(str::to_owned),
            reply: ReplyTo {
                url: self.response_url.filter(|url| !url.is_empty()),
                expires: Some(Timestamp(now.0 + ADDRESS_MS)),
                request: None,
            },
        })))
    }

    fn content(&self) -> Content {
        let words = match self.msgtype.as_str() {
            "text" => self.text.as_ref().map(|text| text.content.as_str()).unwrap_or_default().to_owned(),
            // What the platform heard.
            "voice" => match self.voice.as_ref().map(|voice| voice.content.trim()) {
                Some(heard) if !heard.is_empty() => heard.to_owned(),
                _ => return Content::Unreadable("audio".into()),
            },
            "mixed" => {
                let parts = self.mixed.iter().flat_map(|mixed| &mixed.msg_item).filter_map(|part| part.text.as_ref());
                let words = parts.map(|words| words.content.trim()).collect::<Vec<_>>().join("\n");
                if words.trim().is_empty() {
                    return Content::Unreadable("picture".into());
                }
                words
            }
            "image" => return Content::Unreadable("picture".into()),
            kind => return Content::Unreadable(kind.to_owned()),
        };
        Content::Text(words.trim().to_owned())
    }

    fn happened(self) -> Read {
        let Some(event) = self.event else { return Read::Nothing("an event without its name") };
        match event["eventtype"].as_str().unwrap_or_default() {
            "enter_chat" => Read::Entered,
            "feedback_event" => {
                let by = self.from.map(|from| from.userid).unwrap_or_default();
                vote(&event["feedback_event"], by).map_or(Read::Nothing("a vote that says nothing"), Read::Vote)
            }
            _ => Read::Nothing("it is no message to the bot"),
        }
    }
}

fn vote(told: &Value, by: String) -> Option<Vote> {
    let rating = match told["type"].as_i64()? {
        1 => Rating::Up,
        2 => Rating::Down,
        3 => Rating::None,
        _ => return None,
    };
    let reasons: Vec<String> = told["inaccurate_reason_list"].as_array().into_iter().flatten().filter_map(reason).collect();
    Some(Vote::new(told["id"].as_str()?.to_owned(), by, rating, &reasons, told["content"].as_str()))
}

/// The form's boxes as it words them; one that is new keeps its number.
fn reason(ticked: &Value) -> Option<String> {
    Some(match ticked.as_i64() {
        Some(1) => "与问题无关".to_owned(),
        Some(2) => "内容不完整".to_owned(),
        Some(3) => "内容有错误".to_owned(),
        Some(4) => "数据分析错误".to_owned(),
        Some(other) => other.to_string(),
        None => ticked.as_str()?.to_owned(),
    })
}

/// Without the mention of the bot: wherever it stands when its name is known, else the first word.
fn without_us(words: &str, name: Option<&str>) -> String {
    let words = words.trim();
    let rest = match name {
        Some(name) => return words.replace(&format!("@{name}"), "").trim().to_owned(),
        None => words.strip_prefix('@').map(|rest| rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest)),
    };
    rest.unwrap_or(words).trim().to_owned()
}

fn bad(why: &str) -> Error {
    Error::invalid("bad_callback", format!("The callback cannot be read: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn message(kind: &str, group: bool, more: Value) -> Vec<u8> {
        let mut message = json!({
            "msgid": "m1", "aibotid": "a1", "chattype": if group { "group" } else { "single" }, "from": {"userid": "u1"},
            "response_url": "https://qyapi.weixin.qq.com/x", "msgtype": kind,
        });
        if group {
            message["chatid"] = json!("c1");
        }
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message.to_string().into_bytes()
    }

    fn inbound(plain: &[u8], name: Option<&str>) -> Inbound {
        match read(plain, name, Timestamp(5)).unwrap() {
            Read::Message(inbound) => *inbound,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_read_without_the_mention() {
        let words = |kind, group, more, name| inbound(&message(kind, group, more), name).content;
        let text = |words: &str| json!({"text": {"content": words}});
        let said = |words: &str| Content::Text(words.to_owned());
        assert_eq!(words("text", false, text(" @谁 保证金？ "), None), said("@谁 保证金？"), "nobody is mentioned in a chat of two");
        assert_eq!(words("text", true, text("@助手\u{2005}保证金？"), None), said("保证金？"));
        assert_eq!(words("text", true, text("@我的 助手 /help"), Some("我的 助手")), said("/help"));
        assert_eq!(words("text", true, text("保证金？ @助手"), Some("助手")), said("保证金？"));
        assert_eq!(words("text", true, text("@助手"), None), said(""));
        assert_eq!(words("voice", false, json!({"voice": {"content": "保证金？"}}), None), said("保证金？"));
        let parts = json!([{"msgtype": "text", "text": {"content": "@助手 看图"}}, {"msgtype": "image", "image": {"url": "x"}}]);
        assert_eq!(words("mixed", true, json!({"mixed": {"msg_item": parts}}), None), said("看图"));
        let picture = json!({"mixed": {"msg_item": [{"msgtype": "image", "image": {"url": "x"}}]}});
        for (kind, more, what) in [
            ("mixed", picture, "picture"),
            ("image", json!({}), "picture"),
            ("voice", json!({}), "audio"),
            ("file", json!({}), "file"),
            ("hologram", json!({}), "hologram"),
        ] {
            assert_eq!(words(kind, false, more, None), Content::Unreadable(what.into()));
        }
    }

    #[test]
    fn a_chat_is_the_group_or_the_asker() {
        let text = json!({"text": {"content": "x"}});
        let group = inbound(&message("text", true, text.clone()), None);
        assert_eq!((group.conversation.as_str(), group.group, group.asker.id.as_str()), ("c1", true, "u1"));
        assert_eq!(group.reply.expires, Some(Timestamp(5 + ADDRESS_MS)));
        let alone = inbound(&message("text", false, text), None);
        assert_eq!((alone.conversation.as_str(), alone.group), ("u1", false));
    }

    #[test]
    fn polls_votes_and_greetings_are_told_apart() {
        let read = |plain: Value| read(plain.to_string().as_bytes(), None, Timestamp(0)).unwrap();
        assert_eq!(read(json!({"msgtype": "stream", "stream": {"id": "s1"}})), Read::Poll("s1".into()));
        let event = |event: Value| json!({"msgtype": "event", "from": {"userid": "u1"}, "event": event});
        assert_eq!(read(event(json!({"eventtype": "enter_chat"}))), Read::Entered);
        let told = json!({"id": "s1", "type": 2, "content": " 不对 ", "inaccurate_reason_list": [2, 9]});
        let expected = Vote::new("s1".into(), "u1".into(), Rating::Down, &["内容不完整".into(), "9".into()], Some("不对"));
        assert_eq!(read(event(json!({"eventtype": "feedback_event", "feedback_event": told}))), Read::Vote(expected));
        for (kind, rating) in [(1, Rating::Up), (3, Rating::None)] {
            let told = json!({"eventtype": "feedback_event", "feedback_event": {"id": "s1", "type": kind}});
            assert_eq!(read(event(told)), Read::Vote(Vote::new("s1".into(), "u1".into(), rating, &[], None)));
        }
        for nothing in [json!({}), json!({"eventtype": "template_card_event"}), json!({"eventtype": "feedback_event"})] {
            assert!(matches!(read(event(nothing)), Read::Nothing(_)));
        }
    }

    #[test]
    fn what_lacks_what_an_answer_needs_is_refused() {
        let code = |plain: &str| read(plain.as_bytes(), None, Timestamp(0)).map(drop).map_err(|error| error.code());
        for bad in [
            "no json",
            "{}",
            "[]",
            r#"{"msgtype":"stream"}"#,
            r#"{"msgtype":"text","msgid":"m1","text":{"content":"x"}}"#,
            r#"{"msgtype":"text","from":{"userid":"u1"},"text":{"content":"x"}}"#,
            r#"{"msgtype":"text","msgid":"m1","chattype":"group","from":{"userid":"u1"},"text":{"content":"x"}}"#,
        ] {
            assert_eq!(code(bad), Err("bad_callback"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_words_are_lost_but_the_mention(words in "[a-z@ ]{0,40}") {
            let rest = without_us(&words, None);
            prop_assert!(words.trim().ends_with(&rest));
            prop_assert!(words.trim().starts_with('@') || rest == words.trim());
        }
    }
}
