//! `POST /webhooks/…`: messages that chat platforms deliver. A signature stands for the key; what comes is
//! stored and acknowledged at once, and answered here only when the answer is ready in time.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::state::Shared;
use crate::channels::dingtalk::markdown_body;
use crate::channels::dingtalk::message::{Read, read};
use crate::channels::feishu::message as feishu_message;
use crate::channels::{Post, Taken};
use crate::error::Result;

/// An answer that is ready by then goes back in the callback's own response. Callbacks are repeated when
/// they take longer than about a second and a half.
const IN_TIME: Duration = Duration::from_millis(500);

/// A DingTalk callback.
pub async fn dingtalk(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>> {
    let bot = state.app.channels.dingtalk(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    bot.channel.verify(header("timestamp"), header("sign"))?;
    let inbound = match read(&body)? {
        Read::Message(inbound) => *inbound,
        other => {
            other.tell();
            return Ok(Json(nothing()));
        }
    };
    let (early, answer) = oneshot::channel();
    match bot.desk.take(inbound, Some(early)).await? {
        Taken::Now => Ok(Json(in_time(answer).await.as_ref().map_or_else(nothing, markdown_body))),
        Taken::Before => Ok(Json(nothing())),
    }
}

/// A Feishu callback. It is repeated after three seconds, and its answer never shows in the chat.
pub async fn feishu(State(state): State<Shared>, Path(bot): Path<String>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>> {
    let bot = state.app.channels.feishu(&bot)?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = feishu_message::Signed {
        timestamp: header("x-lark-request-timestamp"),
        nonce: header("x-lark-request-nonce"),
        signature: header("x-lark-signature"),
    };
    match bot.channel.read(&body, signed)? {
        feishu_message::Read::Challenge(challenge) => return Ok(Json(json!({"challenge": challenge}))),
        feishu_message::Read::Nothing(why) => tracing::debug!(why, "a message is not answered"),
        feishu_message::Read::Message(inbound) => {
            bot.desk.take(*inbound, None).await?;
        }
    }
    Ok(Json(json!({"msg": "success"})))
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
