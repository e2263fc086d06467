//! WeCom's long connection: we call the platform, so no public address and no encryption of our own is needed.
//! Messages come as frames, and answers go back as frames that carry the message's request id. The platform
//! lets a bot have one line only, so of several nodes one has it, and the others wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::SplitStream;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::WeCom;
use super::api::judge;
use super::message::{self, Read};
use crate::channels::line::{self, Leaving, Socket, goodbye};
use crate::channels::{Desk, Inbound};
use crate::error::{Error, Result};
use crate::ids::random_token;

/// We ping this often, and take a line for dead after two without an answer.
const PING: Duration = Duration::from_secs(20);
const MOST_MISSED: u32 = 2;
/// A node that does not say so for this long has the line no more.
const LEASE_MS: i64 = 50_000;
/// How long the platform may take to let us in, and to acknowledge a frame.
const ADMITTED: Duration = Duration::from_secs(10);
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
/// What has to go out waits this long for a line.
const PATIENCE: Duration = Duration::from_secs(15);
/// What came over a line that takes nothing any more is there at once.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Somebody outside opened another line with the bot's secret. The platform says not to come back: that ends theirs. In
/// case it was a test and is gone, one more try after this long.
const TAKEN_OVER: Duration = Duration::from_secs(60 * 60);

const SUBSCRIBE: &str = "aibot_subscribe";
const RESPOND: &str = "aibot_respond_msg";
const WELCOME: &str = "aibot_respond_welcome_msg";
const SEND: &str = "aibot_send_msg";

/// The way out: whichever line is open.
#[derive(Default)]
pub struct Wire(watch::Sender<Option<mpsc::Sender<Call>>>);

/// A frame on its way out.
struct Call {
    id: String,
    frame: Value,
    acknowledged: oneshot::Sender<Value>,
    /// Set when it goes out.
    written: Arc<AtomicBool>,
}

impl Wire {
    /// Whether this node has the line.
    pub fn stands(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Says something to the message with this request id. What may be left out is not `urgent`.
    pub async fn respond(&self, request: &str, body: Value, urgent: bool) -> Result<()> {
        self.call(RESPOND, request.to_owned(), body, urgent).await
    }

    /// Writes to a chat by itself.
    pub async fn send(&self, chat: &str, markdown: &str) -> Result<()> {
        let body = json!({"chatid": chat, "msgtype": "markdown", "markdown": {"content": markdown}});
        self.call(SEND, random_token("aibot_send_msg_", 16), body, true).await
    }

    /// Has a frame acknowledged. One that went down with its line goes out over the next: the same stream shown twice
    /// is one. A message of its own does so only when it had not gone out: it may have arrived.
    async fn call(&self, command: &str, id: String, body: Value, urgent: bool) -> Result<()> {
        let down = || Error::unavailable("line_down", "There is no line to the platform now.");
        let unsure = || Error::timeout("platform_timeout", "The platform did not acknowledge in time; the frame may have arrived.");
        let mut lines = self.0.subscribe();
        let deadline = Instant::now() + if urgent { PATIENCE } else { Duration::ZERO };
        let frame = frame(command, &id, body);
        loop {
            let line = match timeout_at(deadline, lines.wait_for(Option::is_some)).await {
                Ok(Ok(line)) => line.clone().ok_or_else(down)?,
                _ => return Err(down()),
            };
            let (acknowledged, answer) = oneshot::channel();
            let written = Arc::new(AtomicBool::new(false));
            let call = Call { id: id.clone(), frame: frame.clone(), acknowledged, written: Arc::clone(&written) };
            // A line that is no more drops it, and with it the sender of the answer.
            let _ = line.send(call).await;
            let has_gone_out = || written.load(Ordering::SeqCst);
            // By itself, so that nobody listens any more when it is asked whether the frame has gone out.
            let heard = timeout(ACKNOWLEDGED, answer).await;
            match heard {
                Ok(Ok(answer)) => return judge(200, &answer),
                Err(_) if has_gone_out() => return Err(unsure()),
                Ok(Err(_)) if command == SEND && has_gone_out() => return Err(unsure()),
                Err(_) => return Err(down()),
                Ok(Err(_)) if Instant::now() >= deadline => return Err(if has_gone_out() { unsure() } else { down() }),
                Ok(Err(_)) => {}
            }
            let is_another = |now: &Option<mpsc::Sender<Call>>| now.as_ref().is_none_or(|now| !now.same_channel(&line));
            if timeout_at(deadline, lines.wait_for(is_another)).await.is_err() {
                return Err(if has_gone_out() { unsure() } else { down() });
            }
        }
    }
}

/// Keeps a line open until `stop`.
pub async fn run(channel: &Arc<WeCom>, desk: &Arc<Desk>, stop: &CancellationToken) {
    let node = random_token("node_", 16);
    let connect = || async { connect(channel, &node).await.inspect_err(|error| desk.pulse().no_line(error)) };
    let serve = |socket, leaving| {
        let open = desk.pulse().line();
        let (channel, desk, stop, node) = (Arc::clone(channel), Arc::clone(desk), stop.clone(), node.clone());
        let line = Line { channel, desk, stop, node, leaving, missed: 0, asked: HashMap::new() };
        async move {
            line.serve(socket).await;
            drop(open);
        }
    };
    line::keep(&desk.parts.bot, stop, connect, serve).await;
    if let Err(error) = channel.store.let_line_go(&node, LEASE_MS).await {
        desk.log().warn("the line is another node's only after a moment", &error);
    }
}

/// Opens a line and is let in; none while another node has it.
async fn connect(channel: &WeCom, node: &str) -> Result<Option<Socket>> {
    if !channel.store.hold_line(node, LEASE_MS).await? {
        return Ok(None);
    }
    let mut socket = line::open(channel.config.ws_url.as_str()).await?;
    let id = random_token(&format!("{SUBSCRIBE}_"), 16);
    let (bot, secret) = (channel.config.bot_id.as_deref(), channel.config.secret.as_ref());
    let body = json!({"bot_id": bot, "secret": secret.map(|secret| secret.reveal())});
    let broke = || Error::unavailable("stream_unreachable", "The platform's gateway hung up before it let us in.");
    socket.send(Message::text(frame(SUBSCRIBE, &id, body).to_string())).await.map_err(|error| broke().because(error))?;
    let admitted = async {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let answer: Value = serde_json::from_str(text.as_str()).unwrap_or_default();
            if answer["headers"]["req_id"] == json!(id) {
                return judge(200, &answer);
            }
        }
        Err(broke())
    };
    timeout(ADMITTED, admitted).await.map_err(|_| broke())??;
    Ok(Some(socket))
}

/// One open line.
struct Line {
    channel: Arc<WeCom>,
    desk: Arc<Desk>,
    stop: CancellationToken,
    node: String,
    leaving: Leaving,
    /// Pings without an answer.
    missed: u32,
    /// Who waits for an acknowledgement, by request id in the order of asking.
    asked: HashMap<String, VecDeque<oneshot::Sender<Value>>>,
}

impl Line {
    async fn serve(mut self, socket: Socket) {
        let (mut sink, mut stream) = socket.split();
        let (calls, mut outgoing) = mpsc::channel(64);
        self.channel.wire.0.send_replace(Some(calls.clone()));
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        let (stop, desk) = (self.stop.clone(), Arc::clone(&self.desk));
        // What was taken is answered over this line, so it stands until that is done.
        let finished = async move {
            stop.cancelled().await;
            desk.drained().await;
        };
        tokio::pin!(finished);
        let mut cut = false;
        loop {
            let out = tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => self.hear(text.as_str()).await,
                    Some(Ok(Message::Close(_))) | None => break,
                    Some(Ok(_)) => None,
                    Some(Err(error)) => {
                        tracing::debug!(bot = self.desk.parts.bot, %error, "the line broke");
                        break;
                    }
                },
                Some(call) = outgoing.recv() => {
                    let Call { id, frame, acknowledged, written } = call;
                    written.store(true, Ordering::SeqCst);
                    // Whoever gave up waiting before that says it again later.
                    if acknowledged.is_closed() {
                        continue;
                    }
                    self.asked.entry(id).or_default().push_back(acknowledged);
                    Some(frame)
                }
                _ = ping.tick() => match self.still_ours().await {
                    true => Some(json!({"cmd": "ping", "headers": {"req_id": random_token("ping_", 16)}})),
                    false => break,
                },
                () = &mut finished => break,
            };
            if let Some(frame) = out
                && sink.send(Message::text(frame.to_string())).await.is_err()
            {
                cut = true;
                break;
            }
            if self.leaving.is_leaving() {
                break;
            }
        }
        // A line that was opened since stays.
        self.channel.wire.0.send_if_modified(|line| line.take_if(|line| line.same_channel(&calls)).is_some());
        if cut {
            self.hear_the_rest(&mut stream).await;
        }
        goodbye(sink).await;
    }

    /// What had arrived before the line was cut: the platform does not say it again.
    async fn hear_the_rest(&mut self, stream: &mut SplitStream<Socket>) {
        while let Ok(Some(Ok(message))) = timeout(LAST_WORDS, stream.next()).await {
            if let Message::Text(text) = message {
                self.hear(text.as_str()).await;
            }
        }
    }

    /// Whether the platform still answers, and no other node took the line over.
    async fn still_ours(&mut self) -> bool {
        if self.missed >= MOST_MISSED {
            tracing::warn!(bot = self.desk.parts.bot, "the line is silent, opening another");
            return false;
        }
        self.missed += 1;
        self.channel.store.hold_line(&self.node, LEASE_MS).await.unwrap_or_else(|error| {
            self.desk.log().warn("whose line it is cannot be asked", &error);
            true
        })
    }

    /// Takes a frame; what is to be said to it at once.
    async fn hear(&mut self, text: &str) -> Option<Value> {
        let frame = self.desk.told(line::frame(text)).ok()?;
        self.leaving.heard();
        self.missed = 0;
        let id = frame["headers"]["req_id"].as_str().unwrap_or_default().to_owned();
        match frame["cmd"].as_str().unwrap_or_default() {
            "aibot_msg_callback" | "aibot_event_callback" => self.happened(id, &frame["body"]).await,
            // Without a command it acknowledges one of ours.
            "" => {
                let waiting = self.asked.get_mut(&id)?.pop_front();
                self.asked.retain(|_, waiting| !waiting.is_empty());
                // Nobody may wait any more.
                let _ = waiting?.send(frame.clone());
                None
            }
            other => {
                tracing::debug!(command = other, "a frame that is not for us");
                None
            }
        }
    }

    async fn happened(&mut self, id: String, body: &Value) -> Option<Value> {
        if body["event"]["eventtype"] == "disconnected_event" {
            let message = "Another program opened a line with this bot's secret; ours is tried again in an hour.";
            let error = Error::conflict("line_taken_over", message);
            self.desk.pulse().no_line(&error);
            self.desk.log().error("the line is gone", &error);
            // No other node opens one meanwhile either.
            let pause_ms = i64::try_from(TAKEN_OVER.as_millis()).unwrap_or(i64::MAX);
            if let Err(error) = self.channel.store.hold_line(&self.node, pause_ms).await {
                self.desk.log().warn("another node may open the line within the hour", &error);
            }
            self.leaving.pause(TAKEN_OVER);
            self.leaving.leave();
            return None;
        }
        match message::read(body.to_string().as_bytes(), self.channel.config.name.as_deref(), self.channel.clock.now()) {
            Ok(Read::Message(inbound)) => self.message(id, *inbound).await,
            Ok(Read::Entered) => Some(self::frame(WELCOME, &id, self.channel.greeting())),
            Ok(Read::Vote(vote)) => {
                if let Err(error) = self.desk.rate(&vote).await {
                    self.desk.vote_lost(&error);
                }
                None
            }
            Ok(Read::Poll(_)) => None,
            Ok(Read::Nothing(why)) => {
                self.desk.passed_over(why);
                None
            }
            Err(error) => {
                // Only to be logged: there is nobody to refuse it to.
                let _ = self.desk.told(Err::<(), _>(error));
                None
            }
        }
    }

    /// Who cannot be answered is told so: the platform does not deliver again.
    async fn message(&self, id: String, mut inbound: Inbound) -> Option<Value> {
        inbound.reply.request = Some(id.clone());
        let taken = async {
            self.channel.expect(&inbound).await?;
            if let Err(error) = self.desk.receive(inbound.clone(), None).await
                && !self.channel.is_taken(&inbound).await?
            {
                return Err(error);
            }
            Ok(())
        };
        let error: Error = taken.await.err()?;
        self.desk.log().error("a message was not taken, which its asker is told", &error);
        Some(frame(RESPOND, &id, self.channel.refused(&inbound)))
    }
}

fn frame(command: &str, id: &str, body: Value) -> Value {
    json!({"cmd": command, "headers": {"req_id": id}, "body": body})
}
