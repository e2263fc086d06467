//! The local platform's stream gateway: hands out tickets, keeps lines open, sends frames and remembers
//! what was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Query, State as Shared, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{LocalDingTalk, State};
use crate::channels::dingtalk::stream::{BOT_TOPIC, CARD_TOPIC};
use crate::error::{Error, Result};
use crate::http::problem::status;
use crate::ids::random_token;

/// Frames that wait for one line.
const WAITING: usize = 256;

/// `POST /v1.0/gateway/connections/open`
pub async fn open(Shared(state): Shared<Arc<State>>, Json(body): Json<Value>) -> Response {
    state.change(|seen| seen.asked += 1);
    if body["clientId"] != json!(state.client_id) || body["clientSecret"] != json!(state.secret.reveal()) {
        return (status(crate::error::Kind::Invalid, ""), Json(json!({"code": "invalidClientIdOrSecret"}))).into_response();
    }
    let ticket = random_token("ticket", 16);
    state.change(|seen| seen.tickets.push(ticket.clone()));
    Json(json!({"endpoint": format!("ws://{}/connect", state.address), "ticket": ticket})).into_response()
}

#[derive(Deserialize)]
pub struct Ticket {
    ticket: String,
}

/// `GET /connect?ticket=…`; a ticket is good once.
pub async fn connect(Shared(state): Shared<Arc<State>>, Query(query): Query<Ticket>, upgrade: WebSocketUpgrade) -> Response {
    let known = state.change(|seen| {
        let at = seen.tickets.iter().position(|ticket| *ticket == query.ticket)?;
        Some(seen.tickets.swap_remove(at))
    });
    match known {
        Some(_) => upgrade.on_upgrade(move |socket| line(state, socket)),
        None => (status(crate::error::Kind::Unauthenticated, ""), "no such ticket").into_response(),
    }
}

async fn line(state: Arc<State>, mut socket: WebSocket) {
    let (sender, mut frames) = mpsc::channel::<Value>(WAITING);
    state.change(|seen| {
        seen.opened += 1;
        seen.lines.push(sender);
    });
    loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                // `null` pulls the plug.
                Some(Value::Null) | None => return,
                Some(frame) => if socket.send(Message::Text(frame.to_string().into())).await.is_err() { return },
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => acknowledged(&state, text.as_str()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

fn acknowledged(state: &State, text: &str) {
    let Ok(ack) = serde_json::from_str::<Value>(text) else { return };
    let Some(id) = ack["headers"]["messageId"].as_str().map(str::to_owned) else { return };
    state.change(|seen| seen.acks.insert(id, ack));
}

impl LocalDingTalk {
    /// Sends a frame over the newest line; its message id.
    ///
    /// # Errors
    /// `no_line` when nobody opens one.
    pub async fn frame(&self, kind: &str, topic: &str, data: &Value) -> Result<String> {
        let id = random_token("frame", 12);
        let headers =
            json!({"appId": "local", "connectionId": "c", "contentType": "application/json", "messageId": id, "time": "0", "topic": topic});
        self.send(json!({"specVersion": "1.0", "type": kind, "headers": headers, "data": data.to_string()})).await?;
        Ok(id)
    }

    /// Delivers a message over the stream and waits for its acknowledgement.
    ///
    /// # Errors
    /// `no_line`, or `nothing_shown` without an acknowledgement.
    pub async fn push(&self, message: &Value, patience: Duration) -> Result<Value> {
        let id = self.frame("CALLBACK", BOT_TOPIC, message).await?;
        self.acknowledged(&id, patience).await
    }

    /// What the platform says when somebody presses a button on a card.
    pub fn pressed(card: &str, who: &str, params: &Value) -> Value {
        let content = json!({"cardPrivateData": {"actionIds": ["1"], "params": params}}).to_string();
        json!({
            "type": "actionCallback", "outTrackId": card, "corpId": "dingcorp", "userId": who, "userIdType": 1,
            "content": content, "extension": "{}",
        })
    }

    /// Presses a button on a card, with the parameters that its template gives it; what the bot answers.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn press(&self, card: &str, who: &str, params: &Value, patience: Duration) -> Result<Value> {
        let id = self.frame("CALLBACK", CARD_TOPIC, &Self::pressed(card, who, params)).await?;
        let ack = self.acknowledged(&id, patience).await?;
        Ok(ack["data"].as_str().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default())
    }

    /// Waits for what a frame was answered with.
    ///
    /// # Errors
    /// `nothing_shown` when it takes longer.
    pub async fn acknowledged(&self, id: &str, patience: Duration) -> Result<Value> {
        self.until_seen(patience, |seen| seen.acks.get(id).cloned()).await
    }

    /// Pulls the plug of the newest line, without a word.
    pub async fn pull_the_plug(&self) -> Result<()> {
        self.send(Value::Null).await
    }

    /// Waits until so many lines were opened.
    ///
    /// # Errors
    /// `nothing_shown` when it takes longer.
    pub async fn lines(&self, opened: usize, patience: Duration) -> Result<()> {
        self.until_seen(patience, |seen| (seen.opened >= opened).then_some(())).await
    }

    async fn send(&self, frame: Value) -> Result<()> {
        let patience = Duration::from_secs(30);
        loop {
            let open = |seen: &super::Seen| seen.lines.iter().rev().find(|line| !line.is_closed()).cloned();
            let line = self.until_seen(patience, open).await;
            let line = line.map_err(|_| Error::unavailable("no_line", "The bot did not open a stream."))?;
            if line.send(frame.clone()).await.is_ok() {
                return Ok(());
            }
        }
    }
}
