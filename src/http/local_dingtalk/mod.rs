//! A local DingTalk: signs and delivers what the platform would, takes what a bot sends, and remembers what
//! would appear in the chat. `simulate` shows it to people, the tests make it misbehave.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post, put};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::channels::dingtalk::sign::sign;
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::ids::{Clock, random_token};

mod api;
mod gateway;

/// How long the platform keeps an address for an answer open.
const SESSION_MS: i64 = 90 * 60 * 1000;

/// Something that stands in the chat.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// `message` or `card`.
    pub kind: &'static str,
    /// Where: a conversation, a person.
    pub place: String,
    /// How a message came: `response`, `session`, `api`.
    pub via: &'static str,
    /// A message's title; a card's id.
    pub title: String,
    /// Markdown.
    pub text: String,
    /// Who was called.
    pub at: Vec<String>,
    /// A message is `sent`; a card is `processing`, `inputting`, `done` or `failed`.
    pub state: &'static str,
    /// How often a card's text changed.
    pub updates: usize,
    /// When it appeared, and each time it changed.
    #[serde(skip)]
    pub times: Vec<Instant>,
}

/// An answer that the platform gives instead of its own.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The path it is for.
    pub path: &'static str,
    /// Its status; 0 lets the call through, so that a later one is met.
    pub status: u16,
    /// Its body; for a redirect the address.
    pub body: Value,
    /// After so long.
    pub delay: Duration,
}

/// The running platform; it stops when dropped.
pub struct LocalDingTalk {
    address: SocketAddr,
    state: Arc<State>,
    http: reqwest::Client,
    _stop: DropGuard,
}

pub(super) struct State {
    client_id: String,
    secret: Secret,
    address: SocketAddr,
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
    clock: Clock,
}

#[derive(Default)]
pub(super) struct Seen {
    shown: Vec<Shown>,
    /// Calls of the API, with their time.
    calls: Vec<(String, Instant)>,
    /// Requests to the API, whatever came of them.
    asked: usize,
    refused: usize,
    per_second: Option<usize>,
    faults: VecDeque<Fault>,
    tokens: usize,
    /// A token before this number is no good.
    good_from: usize,
    tickets: Vec<String>,
    lines: Vec<mpsc::Sender<Value>>,
    opened: usize,
    /// Acknowledgements by message id.
    acks: HashMap<String, Value>,
}

impl State {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let outcome = change(&mut self.seen());
        self.changed.send_modify(|version| *version += 1);
        outcome
    }
}

impl LocalDingTalk {
    /// Starts on a free port of this machine, for an app with these credentials.
    pub async fn start(client_id: &str, secret: &Secret) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            client_id: client_id.to_owned(),
            secret: secret.clone(),
            address,
            seen: Mutex::default(),
            changed: watch::Sender::new(0),
            clock: Clock::system(),
        });
        let router = Router::new()
            .route("/v1.0/oauth2/accessToken", post(api::token))
            .route("/robot/sendBySession", post(api::by_session))
            .route("/robot/send", post(api::custom_robot))
            .route("/v1.0/robot/oToMessages/batchSend", post(api::to_people))
            .route("/v1.0/robot/groupMessages/send", post(api::to_group))
            .route("/v1.0/card/instances/createAndDeliver", post(api::create_card))
            .route("/v1.0/card/streaming", put(api::stream_card))
            .route("/v1.0/gateway/connections/open", post(gateway::open))
            .route("/connect", get(gateway::connect))
            .with_state(Arc::clone(&state));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                () = stopped.cancelled() => {}
            }
        });
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
        let http = http.map_err(|error| Error::internal("http_client", "The HTTP client could not be built.").because(error))?;
        Ok(Self { address, state, http, _stop: stop.drop_guard() })
    }

    /// What a bot's `api_base` has to be.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A message of somebody, as the platform would deliver it.
    pub fn message(&self, conversation: &str, group: bool, who: &str, text: &str) -> Value {
        let now = self.state.clock.now().0;
        let mut body = json!({
            "msgtype": "text", "msgId": random_token("msg", 22), "createAt": now, "text": {"content": format!(" {text} ")},
            "conversationType": if group { "2" } else { "1" }, "conversationId": conversation,
            "senderId": format!("$:LWCP_v1:${who}"), "senderStaffId": who, "senderNick": who, "senderCorpId": "dingcorp", "senderPlatform": "Mac",
            "chatbotCorpId": "dingcorp", "chatbotUserId": "$:LWCP_v1:$bot", "robotCode": self.state.client_id, "isAdmin": false,
            "sessionWebhook": format!("{}/robot/sendBySession?session={conversation}", self.base()), "sessionWebhookExpiredTime": now + SESSION_MS,
        });
        if group {
            body["conversationTitle"] = json!("商家交流群");
            body["isInAtList"] = json!(true);
            body["atUsers"] = json!([{"dingtalkId": "$:LWCP_v1:$bot"}]);
        }
        body
    }

    /// Signs a callback and delivers it; status and body of the answer. A message in it is shown.
    pub async fn callback(&self, url: &str, body: &Value) -> Result<(u16, Value)> {
        let timestamp = self.state.clock.now().0.to_string();
        let signature = sign(&timestamp, &self.state.secret);
        self.callback_signed(url, body, &timestamp, &signature).await
    }

    /// Delivers a callback with whatever signature.
    pub async fn callback_signed(&self, url: &str, body: &Value, timestamp: &str, signature: &str) -> Result<(u16, Value)> {
        let request = self.http.post(url).header("timestamp", timestamp).header("sign", signature).json(body);
        let answer = request.send().await.map_err(unheard)?;
        let status = answer.status().as_u16();
        let body_back: Value = answer.json().await.map_err(unheard)?;
        if status == 200 && body_back["msgtype"] == "markdown" {
            let place = body["conversationId"].as_str().unwrap_or_default().to_owned();
            self.state.change(|seen| seen.shown.push(Shown::message(place, "response", &body_back)));
        }
        Ok((status, body_back))
    }

    /// What stands in the chats.
    pub fn shown(&self) -> Vec<Shown> {
        self.state.seen().shown.clone()
    }

    /// Waits until the chats look like that.
    ///
    /// # Errors
    /// `nothing_shown` when that takes longer.
    pub async fn until(&self, patience: Duration, enough: impl Fn(&[Shown]) -> bool) -> Result<Vec<Shown>> {
        self.until_seen(patience, |seen| enough(&seen.shown).then(|| seen.shown.clone())).await
    }

    async fn until_seen<T>(&self, patience: Duration, look: impl Fn(&Seen) -> Option<T>) -> Result<T> {
        let mut changed = self.state.changed.subscribe();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = look(&self.state.seen()) {
                    return found;
                }
                // The sender lives as long as we do.
                let _ = changed.changed().await;
            }
        };
        let late = |_| Error::timeout("nothing_shown", "What was waited for did not appear in the chat.");
        tokio::time::timeout(patience, waiting).await.map_err(late)
    }

    /// Refuses calls of the API beyond so many within any second.
    pub fn allow_per_second(&self, calls: usize) {
        self.state.change(|seen| seen.per_second = Some(calls));
    }

    /// Calls of the API that came too fast.
    pub fn refused(&self) -> usize {
        self.state.seen().refused
    }

    /// Most calls of the API that were let through within any second.
    pub fn busiest_second(&self) -> usize {
        let times: Vec<Instant> = self.state.seen().calls.iter().map(|(_, at)| *at).collect();
        let within =
            |(first, at): (usize, &Instant)| times[first..].partition_point(|later| later.duration_since(*at) < Duration::from_secs(1));
        times.iter().enumerate().map(within).max().unwrap_or_default()
    }

    /// Calls of the API after `from` and before `to`.
    pub fn calls_between(&self, from: Instant, to: Instant) -> usize {
        self.state.seen().calls.iter().filter(|(_, at)| from < *at && *at < to).count()
    }

    /// Requests to the API, for tokens and lines as well, whatever came of them.
    pub fn asked(&self) -> usize {
        self.state.seen().asked
    }

    /// How often a path was called.
    pub fn calls(&self, path: &str) -> usize {
        self.state.seen().calls.iter().filter(|(called, _)| called == path).count()
    }

    /// Answers the next call of a path differently.
    pub fn fail_next(&self, fault: Fault) {
        self.state.change(|seen| seen.faults.push_back(fault));
    }

    /// Makes every access token handed out so far worthless.
    pub fn revoke_tokens(&self) {
        self.state.change(|seen| seen.good_from = seen.tokens + 1);
    }
}

impl Shown {
    fn message(place: String, via: &'static str, body: &Value) -> Self {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = body.pointer("/at/atUserIds").and_then(Value::as_array).into_iter().flatten();
        Self {
            kind: "message",
            place,
            via,
            title: text("/markdown/title"),
            text: text("/markdown/text"),
            at: at.filter_map(Value::as_str).map(str::to_owned).collect(),
            state: "sent",
            updates: 0,
            times: vec![Instant::now()],
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(&self) -> bool {
        matches!(self.state, "sent" | "done" | "failed")
    }
}

fn unheard(error: reqwest::Error) -> Error {
    Error::unavailable("no_answer", "The bot's address did not answer the callback.").because(error)
}
