//! Stream mode: we call the platform, so no public address is needed. A message is stored before it is
//! acknowledged and answered after. The line is opened again for ever; when the platform announces that it
//! will hang up, the next line stands before the old one is let go.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::DingTalk;
use super::button;
use super::message::{Read, read};
use crate::channels::Desk;
use crate::error::{Error, Result};

/// Messages to the bot.
pub const BOT_TOPIC: &str = "/v1.0/im/bot/messages/get";
/// Buttons on cards.
pub const CARD_TOPIC: &str = "/v1.0/card/instances/callback";
const TOPICS: [(&str, &str); 2] = [("CALLBACK", BOT_TOPIC), ("CALLBACK", CARD_TOPIC)];

/// Waits between two tries, drawn at random up to a bound that doubles.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A line that stood this long was a good one: waits start over.
const STABLE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);
/// We ping this often, and take a line for dead after three without any sign of life.
const PING: Duration = Duration::from_secs(20);
/// How long an old line is still listened to after its end was announced.
const DRAIN: Duration = Duration::from_secs(10);
const LARGEST_FRAME: usize = 1 << 20;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Keeps a line open until `stop`.
pub async fn run(channel: &Arc<DingTalk>, desk: &Arc<Desk>, stop: &CancellationToken) {
    let lines = TaskTracker::new();
    let mut wait = Backoff::default();
    while !stop.is_cancelled() {
        let began = Instant::now();
        let opened = tokio::select! {
            opened = connect(channel) => opened,
            () = stop.cancelled() => break,
        };
        match opened {
            Ok(socket) => {
                tracing::info!("the line to DingTalk is open");
                let open = desk.pulse().line();
                let (going, gone) = oneshot::channel();
                let line = Line { desk: Arc::clone(desk), stop: stop.clone(), going: Some(going), heard: false };
                lines.spawn(async move {
                    line.serve(socket).await;
                    drop(open);
                });
                // A line that worked was a good one, however short.
                if gone.await.unwrap_or_default() || began.elapsed() >= STABLE {
                    wait = Backoff::default();
                }
            }
            Err(error) => {
                desk.pulse().no_line(&error);
                tracing::warn!(code = error.code(), causes = error.causes(), "no line to DingTalk, trying on: {error}");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait.next()) => {}
            () = stop.cancelled() => {}
        }
    }
    lines.close();
    lines.wait().await;
}

async fn connect(channel: &DingTalk) -> Result<Socket> {
    let url = channel.api.open_stream(&TOPICS).await?;
    let config = WebSocketConfig::default().max_message_size(Some(LARGEST_FRAME)).max_frame_size(Some(LARGEST_FRAME));
    // The address holds a ticket: it stays out of the error.
    let lost = || Error::unavailable("stream_unreachable", "The platform's gateway does not take the connection.");
    let opened = timeout(CONNECT, connect_async_with_config(url.as_str(), Some(config), false)).await.map_err(|_| lost())?;
    opened.map(|(socket, _)| socket).map_err(|error| lost().because(error))
}

/// Waits with full jitter, so that many bots do not come back at the same moment.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    fn bound(&self) -> Duration {
        (SHORTEST_WAIT * 2_u32.saturating_pow(self.0.min(10))).min(LONGEST_WAIT)
    }

    fn next(&mut self) -> Duration {
        // The first one is short: the platform changes its lines as a matter of course.
        let bound = if self.0 == 0 { SHORTEST_WAIT / 4 } else { self.bound() };
        self.0 += 1;
        bound.mul_f64(rand::random::<f64>())
    }
}

/// One open line.
struct Line {
    desk: Arc<Desk>,
    stop: CancellationToken,
    /// Told as soon as another line is wanted, with whether this one worked.
    going: Option<oneshot::Sender<bool>>,
    /// Whether anything came.
    heard: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.leave();
    }
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
                        tracing::warn!("the line to DingTalk is silent, opening another");
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
                    if self.going.is_none() && leave.is_none() {
                        leave = Some(Instant::now() + DRAIN);
                    }
                }
                Some(Ok(Message::Close(_))) | None => break,
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "the line to DingTalk broke");
                    return;
                }
            }
        }
        goodbye(sink).await;
    }

    fn leave(&mut self) {
        if let Some(going) = self.going.take() {
            // Nobody waits for it once we stop.
            let _ = going.send(self.heard);
        }
    }

    /// Takes a frame; what is to be answered. No answer means: deliver it again.
    async fn hear(&mut self, text: &str) -> Option<Value> {
        let frame: Value = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::warn!(%error, "a frame that is not JSON was left out");
                return None;
            }
        };
        self.heard = true;
        self.desk.pulse().seen();
        let topic = frame["headers"]["topic"].as_str().unwrap_or_default();
        let data = frame["data"].as_str().unwrap_or_default();
        match (frame["type"].as_str().unwrap_or_default(), topic) {
            ("SYSTEM", "ping") => Some(answer(&frame, 200, data)),
            ("SYSTEM", "disconnect") => {
                self.leave();
                Some(answer(&frame, 200, data))
            }
            ("SYSTEM", _) => None,
            ("CALLBACK", BOT_TOPIC) => self.message(data).await.then(|| answer(&frame, 200, r#"{"response":null}"#)),
            ("CALLBACK", CARD_TOPIC) => Some(answer(&frame, 200, &json!({"response": self.button(data).await}).to_string())),
            ("EVENT", _) => Some(answer(&frame, 200, r#"{"status":"SUCCESS"}"#)),
            _ => Some(answer(&frame, 404, "{}")),
        }
    }

    /// A button on a card; what the card's reader sees then.
    async fn button(&self, data: &str) -> Value {
        let Some(vote) = button::read(data) else {
            tracing::debug!("a button of a card that is no vote");
            return json!({});
        };
        match self.desk.rate(&vote).await {
            Ok(true) => button::pressed(vote.rating),
            Ok(false) => json!({}),
            Err(error) => {
                tracing::error!(code = error.code(), causes = error.causes(), "a vote on a card was not kept: {error}");
                json!({})
            }
        }
    }

    /// Whether the message is taken care of.
    async fn message(&self, data: &str) -> bool {
        match read(data.as_bytes()) {
            Ok(Read::Message(inbound)) => match self.desk.take(*inbound, None).await {
                Ok(_) => true,
                Err(error) => {
                    tracing::warn!(code = error.code(), causes = error.causes(), "a message was not taken: {error}");
                    false
                }
            },
            Ok(other) => {
                other.tell();
                true
            }
            // It would be as unreadable the next time.
            Err(error) => {
                tracing::warn!(code = error.code(), "{error}");
                true
            }
        }
    }
}

impl Read {
    /// Logs what is not answered.
    pub fn tell(&self) {
        match self {
            Self::Message(_) => {}
            Self::Nothing(why) => tracing::debug!(why, "a message is not answered"),
            Self::QuotaSpent => {
                tracing::error!("DingTalk no longer delivers messages: this month's quota of callbacks is used up (20001)");
            }
        }
    }
}

fn answer(frame: &Value, code: u16, data: &str) -> Value {
    let message = if code == 200 { "OK" } else { "not found" };
    let headers = json!({"contentType": "application/json", "messageId": frame["headers"]["messageId"]});
    json!({"code": code, "headers": headers, "message": message, "data": data})
}

async fn goodbye(mut sink: SplitSink<Socket, Message>) {
    let _ = timeout(Duration::from_secs(1), sink.send(Message::Close(None))).await;
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_never_end() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..200).map(|_| backoff.next()).collect();
        assert!(waits[0] <= SHORTEST_WAIT / 4 && waits.iter().all(|wait| *wait <= LONGEST_WAIT));
        assert!(waits[10..].iter().any(|wait| *wait > LONGEST_WAIT / 2));
        assert_eq!(backoff.bound(), LONGEST_WAIT);
    }
}
