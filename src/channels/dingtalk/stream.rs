//! Stream mode: we call the platform, so no public address is needed. A message is stored before it is
//! acknowledged and answered after. The line is opened again for ever; when the platform announces that it
//! will hang up, the next line stands before the old one is let go.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::DingTalk;
use super::button;
use super::message::read;
use crate::channels::Desk;
use crate::channels::line::{self, Leaving, Socket, goodbye};

/// Messages to the bot.
pub const BOT_TOPIC: &str = "/v1.0/im/bot/messages/get";
/// Buttons on cards.
pub const CARD_TOPIC: &str = "/v1.0/card/instances/callback";
const TOPICS: [(&str, &str); 2] = [("CALLBACK", BOT_TOPIC), ("CALLBACK", CARD_TOPIC)];

/// We ping this often, and take a line for dead after three without any sign of life.
const PING: Duration = Duration::from_secs(20);
/// How long an old line is still listened to after its end was announced.
const DRAIN: Duration = Duration::from_secs(10);

/// Keeps a line open until `stop`.
pub async fn run(channel: &Arc<DingTalk>, desk: &Arc<Desk>, stop: &CancellationToken) {
    let connect = || async {
        let opened = async { line::open(channel.api.open_stream(&TOPICS).await?.as_str()).await.map(Some) }.await;
        opened.inspect_err(|error| desk.pulse().no_line(error))
    };
    let serve = |socket, leaving| {
        let line = Line { desk: Arc::clone(desk), stop: stop.clone(), leaving };
        let open = desk.pulse().line();
        async move {
            line.serve(socket).await;
            drop(open);
        }
    };
    line::keep(&desk.parts.bot, stop, connect, serve).await;
}

/// One open line.
struct Line {
    desk: Arc<Desk>,
    stop: CancellationToken,
    leaving: Leaving,
}

impl Line {
    async fn serve(mut self, socket: Socket) {
        let (mut sink, mut stream) = socket.split();
        let (mut ping, mut heard) = (tokio::time::interval(PING), Instant::now());
        let mut leave: Option<Instant> = None;
        loop {
            let message = tokio::select! {
                message = stream.next() => message,
                _ = ping.tick() => {
                    if heard.elapsed() > PING * 3 || sink.send(Message::Ping(Default::default())).await.is_err() {
                        tracing::warn!(bot = self.desk.parts.bot, "the line is silent, opening another");
                        return;
                    }
                    continue;
                }
                () = until(leave) => break,
                () = self.stop.cancelled() => break,
            };
            heard = Instant::now();
            match message {
                Some(Ok(Message::Text(text))) => {
                    let answer = self.hear(text.as_str()).await;
                    if let Some(answer) = answer
                        && sink.send(Message::text(answer.to_string())).await.is_err()
                    {
                        return;
                    }
                    if self.leaving.is_leaving() && leave.is_none() {
                        leave = Some(Instant::now() + DRAIN);
                    }
                }
                Some(Ok(Message::Close(_))) | None => break,
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!(bot = self.desk.parts.bot, %error, "the line broke");
                    return;
                }
            }
        }
        goodbye(sink).await;
    }

    /// Takes a frame; what is to be answered. No answer means: deliver it again.
    async fn hear(&mut self, text: &str) -> Option<Value> {
        let frame: Value = self.desk.told(line::frame(text)).ok()?;
        self.leaving.heard();
        self.desk.pulse().seen();
        let topic = frame["headers"]["topic"].as_str().unwrap_or_default();
        let data = frame["data"].as_str().unwrap_or_default();
        match (frame["type"].as_str().unwrap_or_default(), topic) {
            ("SYSTEM", "ping") => Some(answer(&frame, 200, data)),
            ("SYSTEM", "disconnect") => {
                self.leaving.leave();
                Some(answer(&frame, 200, data))
            }
            ("SYSTEM", _) => None,
            ("CALLBACK", BOT_TOPIC) => self.message(data).await.then(|| answer(&frame, 200, r#"{"response":null}"#)),
            ("CALLBACK", CARD_TOPIC) => Some(answer(&frame, 200, &json!({"response": button::press(&self.desk, data).await}).to_string())),
            ("EVENT", _) => Some(answer(&frame, 200, r#"{"status":"SUCCESS"}"#)),
            _ => Some(answer(&frame, 404, "{}")),
        }
    }

    /// Whether the message is taken care of.
    async fn message(&self, data: &str) -> bool {
        // One that cannot be read would be as unreadable the next time.
        let Ok(read) = self.desk.told(read(data.as_bytes())) else { return true };
        match read.message(&self.desk) {
            Some(inbound) => self.desk.receive(inbound, None).await.is_ok(),
            None => true,
        }
    }
}

fn answer(frame: &Value, code: u16, data: &str) -> Value {
    let message = if code == 200 { "OK" } else { "not found" };
    let headers = json!({"contentType": "application/json", "messageId": frame["headers"]["messageId"]});
    json!({"code": code, "headers": headers, "message": message, "data": data})
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
