//! A DingTalk message as JSON, read leniently: what is missing is missing, what is unknown is ignored.

use serde::Deserialize;
use serde_json::Value;

use crate::channels::{Asker, Content, Desk, Inbound, ReplyTo};
use crate::error::{Error, Result};
use crate::ids::Timestamp;

/// What to do with a callback.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// Answer it.
    Message(Box<Inbound>),
    /// Nothing: it is not for us, and why.
    Nothing(&'static str),
    /// Tell the operator: the platform no longer delivers what was said.
    QuotaSpent,
}

impl Read {
    /// The message to answer; what there is instead is noted.
    pub fn message(self, desk: &Desk) -> Option<Inbound> {
        match self {
            Self::Message(inbound) => return Some(*inbound),
            Self::Nothing(why) => desk.passed_over(why),
            Self::QuotaSpent => {
                let message = "DingTalk delivers no more messages: this month's quota of callbacks is used up (20001).";
                desk.cut_off(&Error::unavailable("callback_quota_spent", message));
            }
        }
        None
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Callback {
    msg_id: Option<String>,
    msgtype: Option<String>,
    conversation_id: Option<String>,
    conversation_type: Option<Value>,
    conversation_title: Option<String>,
    sender_id: Option<String>,
    sender_staff_id: Option<String>,
    sender_nick: Option<String>,
    is_in_at_list: Option<bool>,
    session_webhook: Option<String>,
    session_webhook_expired_time: Option<Value>,
    text: Option<Value>,
    content: Option<Value>,
    error_code: Option<Value>,
    err_code: Option<Value>,
}

/// A month's deliveries are used up.
const QUOTA_SPENT: &str = "20001";

/// Reads a callback's body.
///
/// # Errors
/// `bad_callback` when it is not JSON or lacks what an answer needs.
pub fn read(body: &[u8]) -> Result<Read> {
    let callback: Callback = serde_json::from_slice(body).map_err(|error| bad(format!("it is not the platform's JSON ({error})")))?;
    let code = callback.error_code.as_ref().or(callback.err_code.as_ref()).map(plain);
    if code.as_deref() == Some(QUOTA_SPENT) {
        return Ok(Read::QuotaSpent);
    }
    let group = callback.conversation_type.as_ref().map(plain).as_deref() == Some("2");
    if group && callback.is_in_at_list == Some(false) {
        return Ok(Read::Nothing("it does not mention the bot"));
    }
    let needed =
        |field: Option<String>, name: &str| field.filter(|text| !text.is_empty()).ok_or_else(|| bad(format!("`{name}` is missing")));
    let content = callback.content();
    Ok(Read::Message(Box::new(Inbound {
        message_id: needed(callback.msg_id, "msgId")?,
        conversation: needed(callback.conversation_id, "conversationId")?,
        title: callback.conversation_title,
        group,
        asker: Asker {
            id: needed(callback.sender_id.or_else(|| callback.sender_staff_id.clone()), "senderId")?,
            staff_id: callback.sender_staff_id.filter(|id| !id.is_empty()),
            name: callback.sender_nick.unwrap_or_default(),
        },
        content,
        quoted: callback.text.as_ref().and_then(|text| text["repliedMsg"]["content"]["text"].as_str()).map(str::to_owned),
        quotes: callback.text.as_ref().is_some_and(|text| text["isReplyMsg"] == Value::Bool(true)),
        reply: ReplyTo {
            request: None,
            url: callback.session_webhook.filter(|url| !url.is_empty()),
            expires: callback.session_webhook_expired_time.as_ref().and_then(|time| plain(time).parse().ok()).map(Timestamp),
        },
    })))
}

impl Callback {
    fn content(&self) -> Content {
        let kind = self.msgtype.as_deref().unwrap_or("text");
        let words = match kind {
            "text" => self
                .text
                .as_ref()
                .and_then(|text| text["content"].as_str().or(text.as_str()))
                .or(self.content.as_ref().and_then(Value::as_str)),
            // What the platform heard.
            "audio" => self.content.as_ref().and_then(|content| content["recognition"].as_str()),
            "richText" => return rich(self.content.as_ref()),
            _ => None,
        };
        match words {
            Some(words) => Content::Text(words.trim().to_owned()),
            None if kind == "text" => Content::Text(String::new()),
            None => Content::Unreadable(kind.to_owned()),
        }
    }
}

/// The words of a rich text; one of pictures alone is a picture.
fn rich(content: Option<&Value>) -> Content {
    let parts = content.and_then(|content| content["richText"].as_array());
    let words: String = parts.into_iter().flatten().filter_map(|part| part["text"].as_str()).collect();
    match words.trim() {
        "" => Content::Unreadable("picture".to_owned()),
        words => Content::Text(words.to_owned()),
    }
}

/// A number or a text, as text: the platform sends either.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn bad(why: String) -> Error {
    Error::invalid("bad_callback", format!("The callback cannot be read: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn callback(more: Value) -> Value {
        let mut body = json!({
            "msgtype": "text", "msgId": "msg1==", "createAt": 1, "conversationType": "2", "conversationId": "cid1", "conversationTitle": "商家群",
            "senderId": "$:LWCP_v1:$a", "senderStaffId": "u1", "senderNick": "小王", "isInAtList": true, "atUsers": [{"dingtalkId": "x"}],
            "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=1", "sessionWebhookExpiredTime": 5, "text": {"content": " 保证金多少？ "},
            "somethingNew": {"a": [1]},
        });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    }

    fn inbound(more: Value) -> Inbound {
        match read(callback(more).to_string().as_bytes()).unwrap() {
            Read::Message(inbound) => *inbound,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_group_message_is_read() {
        let read = inbound(json!({}));
        assert_eq!(read.content, Content::Text("保证金多少？".into()));
        assert_eq!((read.message_id.as_str(), read.group, read.title.as_deref()), ("msg1==", true, Some("商家群")));
        assert_eq!((read.asker.id.as_str(), read.asker.staff_id.as_deref()), ("$:LWCP_v1:$a", Some("u1")));
        assert_eq!(read.reply.expires, Some(Timestamp(5)));
    }

    #[test]
    fn every_kind_of_content_is_understood_or_named() {
        let rich = |parts: Value| json!({"msgtype": "richText", "text": null, "content": {"richText": parts}});
        for (more, content) in [
            (rich(json!([{"text": "看"}, {"type": "picture", "downloadCode": "d"}, {"text": "这个"}])), Content::Text("看这个".into())),
            (rich(json!([{"type": "picture"}])), Content::Unreadable("picture".into())),
            (json!({"msgtype": "picture", "content": {"downloadCode": "d"}}), Content::Unreadable("picture".into())),
            (json!({"msgtype": "audio", "content": {"recognition": "多少钱"}}), Content::Text("多少钱".into())),
            (json!({"msgtype": "audio", "content": {}}), Content::Unreadable("audio".into())),
            (json!({"msgtype": "holo"}), Content::Unreadable("holo".into())),
            (json!({"text": null, "content": "字符串"}), Content::Text("字符串".into())),
            (json!({"text": null}), Content::Text(String::new())),
        ] {
            assert_eq!(inbound(more.clone()).content, content, "{more}");
        }
    }

    #[test]
    fn numbers_and_texts_are_alike_and_an_outsider_has_no_staff_id() {
        let read = inbound(json!({"conversationType": 1, "sessionWebhookExpiredTime": "77", "senderStaffId": ""}));
        assert_eq!((read.group, read.reply.expires, read.asker.staff_id), (false, Some(Timestamp(77)), None));
    }

    #[test]
    fn what_is_not_for_us_is_told_apart() {
        let outcome = |more| read(callback(more).to_string().as_bytes());
        assert!(matches!(outcome(json!({"isInAtList": false})), Ok(Read::Nothing(_))));
        for field in ["errorCode", "errCode"] {
            assert_eq!(outcome(json!({field: "20001", "text": null})).unwrap(), Read::QuotaSpent);
            assert_eq!(outcome(json!({field: 20001})).unwrap(), Read::QuotaSpent);
        }
        for body in ["", "no json", "[]", "{}", "null"] {
            assert_eq!(read(body.as_bytes()).unwrap_err().code(), "bad_callback", "{body}");
        }
        assert_eq!(outcome(json!({"msgId": ""})).unwrap_err().code(), "bad_callback");
    }
}
