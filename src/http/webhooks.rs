//! `POST /webhooks/…`: messages that chat platforms deliver. A signature stands for the key; what comes is
//! stored and acknowledged at once, and answered here only when the answer is ready in time.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::state::Shared;
use crate::channels::dingtalk::message::{Read, read};
use crate::channels::dingtalk::{button, markdown_body};
use crate::channels::feishu::{card as feishu_card, message as feishu_message};
use crate::channels::slack::message::Read as SlackRead;
use crate::channels::wecom::Signed;
use crate::channels::wecom::message::Read as WeComRead;
use crate::channels::{Inbound, Post, Taken, WeComBot};
use crate::error::{Error, Result};

/// An answer that is ready by then goes back in the callback's own response. Callbacks are repeated when
/// they take longer than about a second and a half.
const IN_TIME: Duration = Duration::from_millis(500);

/// A DingTalk callback.
pub async fn dingtalk(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>> {
    let bot = state.app.channels.dingtalk(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    bot.desk.heard(bot.channel.verify(header("timestamp"), header("sign")))?;
    let inbound = match bot.desk.heard(read(&body))? {
        Read::Message(inbound) => *inbound,
        other => {
            other.tell();
            return Ok(Json(nothing()));
        }
    };
    let (early, answer) = oneshot::channel();
    match bot.desk.told(bot.desk.take(inbound, Some(early)).await)? {
        Taken::Now => Ok(Json(in_time(answer).await.as_ref().map_or_else(nothing, markdown_body))),
        Taken::Before => Ok(Json(nothing())),
    }
}

/// A button on a card of a bot that is called back; what its reader sees then.
pub async fn dingtalk_card(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: String) -> Result<Json<Value>> {
    let bot = state.app.channels.dingtalk(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let genuine = bot.channel.verify_card(header("x-ddpaas-signature-timestamp"), header("x-ddpaas-signature"));
    bot.desk.pulse().callback(genuine)?;
    Ok(Json(button::press(&bot.desk, &body).await))
}

/// A Feishu callback: a message, or a button of a card. It is repeated after three seconds; its answer never
/// shows in the chat, and for a button tells only who pressed it.
pub async fn feishu(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>> {
    let bot = state.app.channels.feishu(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = feishu_message::Signed {
        timestamp: header("x-lark-request-timestamp"),
        nonce: header("x-lark-request-nonce"),
        signature: header("x-lark-signature"),
    };
    match bot.desk.heard(bot.channel.read(&body, signed))? {
        feishu_message::Read::Challenge(challenge) => return Ok(Json(json!({"challenge": challenge}))),
        feishu_message::Read::Nothing(why) => tracing::debug!(why, "a message is not answered"),
        feishu_message::Read::Vote(vote) => return Ok(Json(feishu_card::told(bot.desk.rate(&vote).await?))),
        feishu_message::Read::Message(inbound) => {
            bot.desk.told(bot.desk.take(*inbound, None).await)?;
        }
    }
    Ok(Json(json!({"msg": "success"})))
}

/// An event of Slack. It is delivered again after three seconds, under the same id.
pub async fn slack(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>> {
    let bot = state.app.channels.slack(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match bot.desk.heard(bot.channel.read(&body, header("x-slack-request-timestamp"), header("x-slack-signature")))? {
        SlackRead::Challenge(challenge) => return Ok(Json(json!({"challenge": challenge}))),
        SlackRead::Nothing(why) => tracing::debug!(why, "an event is not answered"),
        SlackRead::Message(inbound) => {
            bot.desk.told(bot.desk.take(*inbound, None).await)?;
        }
    }
    Ok(Json(json!({})))
}

/// What signs a WeCom callback.
#[derive(Deserialize)]
pub struct WeComQuery {
    msg_signature: Option<String>,
    timestamp: Option<String>,
    nonce: Option<String>,
    echostr: Option<String>,
}

impl WeComQuery {
    fn signed(&self) -> Signed<'_> {
        Signed { timestamp: self.timestamp.as_deref(), nonce: self.nonce.as_deref(), signature: self.msg_signature.as_deref() }
    }
}

/// WeCom asks whether the address is this bot's: only who has the key can say what was encrypted.
pub async fn wecom_asks(State(state): State<Shared>, Path(bot): Path<String>, Query(query): Query<WeComQuery>) -> Result<String> {
    let bot = state.app.channels.wecom(&bot)?;
    let opened = bot.channel.open(query.echostr.as_deref().unwrap_or_default(), query.signed());
    let plain = bot.desk.heard(opened)?;
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

/// A WeCom callback: a message, whose answer it asks for again and again; how far that is; or a vote.
pub async fn wecom(State(state): State<Shared>, Path(bot): Path<String>, Query(query): Query<WeComQuery>, body: Bytes) -> Result<Response> {
    let bot = state.app.channels.wecom(&bot)?;
    let reply = match bot.desk.heard(bot.channel.read(&body, query.signed()))? {
        WeComRead::Message(inbound) => wecom_message(bot, *inbound).await,
        WeComRead::Poll(id) => bot.channel.so_far(&id).await?,
        WeComRead::Entered => bot.channel.greeting(),
        WeComRead::Vote(vote) => {
            bot.desk.rate(&vote).await?;
            return Ok(StatusCode::OK.into_response());
        }
        WeComRead::Nothing(why) => {
            tracing::debug!(why, "a callback is not answered");
            return Ok(StatusCode::OK.into_response());
        }
    };
    Ok(Json(bot.channel.seal(&reply)?).into_response())
}

/// Who cannot be answered is told so at once: the platform may not deliver again.
async fn wecom_message(bot: &WeComBot, inbound: Inbound) -> Value {
    let taken = async {
        bot.channel.expect(&inbound).await?;
        if let Err(error) = bot.desk.take(inbound.clone(), None).await {
            // One that is being answered keeps its answer, however busy the bot is.
            if !bot.channel.is_taken(&inbound).await? {
                return Err(error);
            }
        }
        bot.channel.first(&inbound).await
    };
    taken.await.unwrap_or_else(|error: Error| {
        tracing::error!(message = inbound.message_id, code = error.code(), causes = error.causes(), "a message was not taken: {error}");
        bot.channel.refused(&inbound)
    })
}

/// The answer, if it comes in time; afterwards nobody listens any more.
async fn in_time(mut answer: oneshot::Receiver<Post>) -> Option<Post> {
    if let Ok(heard) = timeout(IN_TIME, &mut answer).await {
        return heard.ok();
    }
    // It may have come between the last look and now.
    answer.close();
    answer.try_recv().ok()
}

fn nothing() -> Value {
    json!({"msgtype": "empty"})
}
