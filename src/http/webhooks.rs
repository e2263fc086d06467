//! `POST /webhooks/…`: messages that chat platforms deliver. A signature stands for the key; what comes is
//! stored and acknowledged at once, and answered here only when the answer is ready in time.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::problem::unread;
use super::state::Shared;
use crate::channels::dingtalk::message::read;
use crate::channels::dingtalk::{button, markdown_body};
use crate::channels::feishu::{card as feishu_card, message as feishu_message};
use crate::channels::slack::message::Read as SlackRead;
use crate::channels::wecom::message::Read as WeComRead;
use crate::channels::wecom::{self, Signed, WeCom};
use crate::channels::{Bot, Inbound, Post, Taken};
use crate::error::{Error, Kind, Result};

/// An answer that is ready by then goes back in the callback's own response. Callbacks are repeated when
/// they take longer than about a second and a half.
const IN_TIME: Duration = Duration::from_millis(500);

/// A body, or why it is none: its bot notes that it was refused, as it does with a forged one.
type Received = std::result::Result<Bytes, BytesRejection>;

/// A DingTalk callback.
pub async fn dingtalk(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: Received) -> Result<Json<Value>> {
    let bot = state.app.channels.dingtalk(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let body = bot.desk.received(body.map_err(unread))?;
    bot.desk.heard(bot.channel.verify(header("timestamp"), header("sign")))?;
    let Some(inbound) = bot.desk.heard(read(&body))?.message(&bot.desk) else { return Ok(Json(nothing())) };
    let (early, answer) = oneshot::channel();
    match bot.desk.receive(inbound, Some(early)).await? {
        Taken::Now => Ok(Json(in_time(answer).await.as_ref().map_or_else(nothing, markdown_body))),
        Taken::Before => Ok(Json(nothing())),
    }
}

/// A button on a card of a bot that is called back; what its reader sees then.
pub async fn dingtalk_card(
    State(state): State<Shared>,
    Path(bot): Path<String>,
    headers: HeaderMap,
    body: Received,
) -> Result<Json<Value>> {
    let bot = state.app.channels.dingtalk(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let body = bot.desk.received(body.map_err(unread))?;
    let genuine = bot.channel.verify_card(header("x-ddpaas-signature-timestamp"), header("x-ddpaas-signature"));
    bot.desk.heard(genuine)?;
    Ok(Json(button::press(&bot.desk, &String::from_utf8_lossy(&body)).await))
}

/// A Feishu callback: a message, or a button of a card. It is repeated after three seconds; its answer never
/// shows in the chat, and for a button tells only who pressed it.
pub async fn feishu(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: Received) -> Result<Json<Value>> {
    let bot = state.app.channels.feishu(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = feishu_message::Signed {
        timestamp: header("x-lark-request-timestamp"),
        nonce: header("x-lark-request-nonce"),
        signature: header("x-lark-signature"),
    };
    let body = bot.desk.received(body.map_err(unread))?;
    match bot.desk.heard(bot.channel.read(&body, signed))? {
        feishu_message::Read::Challenge(challenge) => return Ok(Json(json!({"challenge": challenge}))),
        feishu_message::Read::Nothing(why) => bot.desk.passed_over(why),
        feishu_message::Read::Vote(vote) => return Ok(Json(feishu_card::told(bot.desk.rate(&vote).await?))),
        feishu_message::Read::Message(inbound) => {
            bot.desk.receive(*inbound, None).await?;
        }
    }
    Ok(Json(json!({"msg": "success"})))
}

/// An event of Slack, or a button. An event is delivered again after three seconds, under the same id, unless it is
/// said that this would help nobody.
pub async fn slack(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: Received) -> Response {
    let error = match slack_event(&state, &bot, &headers, body).await {
        Ok(answer) => return answer,
        Err(error) => error,
    };
    let hopeless = error.kind() == Kind::Invalid;
    let mut answer = error.into_response();
    if hopeless {
        answer.headers_mut().insert("x-slack-no-retry", HeaderValue::from_static("1"));
    }
    answer
}

async fn slack_event(state: &Shared, bot: &str, headers: &HeaderMap, body: Received) -> Result<Response> {
    let bot = state.app.channels.slack(bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let body = bot.desk.received(body.map_err(unread))?;
    match bot.desk.heard(bot.channel.read(&body, header("x-slack-request-timestamp"), header("x-slack-signature")))? {
        SlackRead::Challenge(challenge) => return Ok(Json(json!({"challenge": challenge})).into_response()),
        SlackRead::Nothing(why) => bot.desk.passed_over(why),
        SlackRead::Pressed(pressed) => {
            let kept = bot.desk.rate(&pressed.vote).await?;
            bot.channel.thank(&bot.desk, pressed, kept);
        }
        SlackRead::Message(inbound) => {
            bot.desk.receive(*inbound, None).await?;
        }
    }
    Ok(StatusCode::OK.into_response())
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

/// What an address ends with, or why it is none.
type Asked = std::result::Result<Query<WeComQuery>, QueryRejection>;

/// WeCom asks whether the address is this bot's: only who has the key can say what was encrypted.
pub async fn wecom_asks(State(state): State<Shared>, Path(bot): Path<String>, query: Asked) -> Result<String> {
    let bot = state.app.channels.wecom(&bot)?;
    let Query(query) = bot.desk.heard(query.map_err(|_| wecom::forged()))?;
    let opened = bot.channel.open(query.echostr.as_deref().unwrap_or_default(), query.signed());
    let plain = bot.desk.heard(opened)?;
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

/// A WeCom callback: a message, whose answer it asks for again and again; how far that is; or a vote.
pub async fn wecom(State(state): State<Shared>, Path(bot): Path<String>, query: Asked, body: Received) -> Result<Response> {
    let bot = state.app.channels.wecom(&bot)?;
    let Query(query) = bot.desk.heard(query.map_err(|_| wecom::forged()))?;
    let body = bot.desk.received(body.map_err(unread))?;
    let reply = match bot.desk.heard(bot.channel.read(&body, query.signed()))? {
        WeComRead::Message(inbound) => wecom_message(bot, *inbound).await,
        WeComRead::Poll(id) => bot.channel.so_far(&id).await?,
        WeComRead::Entered => bot.channel.greeting(),
        WeComRead::Vote(vote) => {
            bot.desk.rate(&vote).await?;
            return Ok(StatusCode::OK.into_response());
        }
        WeComRead::Nothing(why) => {
            bot.desk.passed_over(why);
            return Ok(StatusCode::OK.into_response());
        }
    };
    Ok(Json(bot.channel.seal(&reply)?).into_response())
}

/// Who cannot be answered is told so at once: the platform may not deliver again.
async fn wecom_message(bot: &Bot<WeCom>, inbound: Inbound) -> Value {
    let taken = async {
        bot.channel.expect(&inbound).await?;
        if let Err(error) = bot.desk.receive(inbound.clone(), None).await {
            // One that is being answered keeps its answer, however busy the bot is.
            if !bot.channel.is_taken(&inbound).await? {
                return Err(error);
            }
        }
        bot.channel.first(&inbound).await
    };
    taken.await.unwrap_or_else(|error: Error| {
        bot.desk.log().error("a message was not taken, which its asker is told", &error);
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
