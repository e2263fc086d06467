//! An OpenAI-compatible provider whose behaviour is chosen by the model's name. It counts the requests
//! of each model and notices when a caller leaves a stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::SinkExt;
use futures::channel::mpsc;
use merchant_copilot::config::{ModelConfig, ProviderConfig, Secret};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fake_server::FakeServer;

/// What every model answers that answers at all.
pub const ANSWER: [&str; 5] = ["按规则，", "保证金是 ", "10,000 元", "[1]", "。😀"];
/// Pieces of a `slow-N` model's answer, 50 ms apart.
pub const SLOW: usize = 20;
/// What must never reach a client while reasoning is hidden.
pub const SECRET: &str = "机密推理";
/// An answer with a forbidden word, somebody's data and a link that no source has; letter by letter.
pub const CARELESS: &str = "可以代 开-发票[1]，打 139 0013 9000，卡 4111111111111111，见 https://evil.example/pay?x=1 。";
/// What a model that rewrites makes of a follow-up.
pub const REWRITTEN: &str = "<think>想一想</think>{\"intent\": \"question\", \"query\": \"跨境包裹的面单怎么打印？\"}";
/// What the model that judges does not let through.
pub const REFUSED: &str = "做坏事";
/// A forbidden word with a marker of no source in it.
pub const APART: &str = "可以代开[9]发票[1]。";
/// gpt-oss's own format, left in the text.
pub const HARMONY: &str = "<|channel|>analysis<|message|>机密推理<|end|><|start|>assistant<|channel|>final<|message|>答案[1]。<|return|>";
/// Reasoning that ends without having begun.
pub const STRAY: &str = "机密推理</think>\n\n答案[1]。";
/// Ways to a page that the source names, and ways to others.
pub const LINKED: &str = "见 https://rules.example/x ，![i](https://rules.example/x?q=secret) https://me@rules.example/x 和[r]。\n\n[r]: javascript:alert\n//evil.example/y [z](/\\evil.example)";
/// Answers that come in two parts, cut at each place: `NAME-AT`.
const CUT: [(&str, &str); 3] = [("think", INLINE), ("apart", APART), ("harmony", HARMONY)];
/// An answer with its reasoning written inline.
pub const INLINE: &str = "<think>机密推理\n第二行</think>\n\n答案 <b> [1]。";

/// The models it has, beside those of [`CUT`].
const MODELS: [&str; 39] = [
    "normal",
    "uncalled-1",
    "uncalled-2",
    "slow-1",
    "slow-2",
    "slow-3",
    "slow-4",
    "slow-5",
    "endless-1",
    "endless-2",
    "endless-3",
    "reasoning-content",
    "reasoning",
    "unauthorized",
    "rate-limited",
    "server-error",
    "stall-first",
    "stall-middle",
    "dies",
    "error-body",
    "length",
    "obedient",
    "careless",
    "counted",
    "rewriter",
    "rewriter-greets",
    "judge",
    "silent",
    "misspelt",
    "misspelt-400",
    "thinks-only",
    "filtered",
    "stray-once",
    "strays-r1",
    "unfinished-r1",
    "unknown-opens",
    "unknown-plain",
    "unknown-cut",
    "linked",
];

/// The running provider.
pub struct FakeProvider {
    server: FakeServer,
    seen: Arc<Seen>,
}

struct Seen {
    requests: Mutex<Vec<Value>>,
    /// Streams that were left before their end, per model.
    left: watch::Sender<HashMap<String, usize>>,
    stop: CancellationToken,
}

impl FakeProvider {
    /// Starts it.
    pub fn start() -> Self {
        let stop = CancellationToken::new();
        let seen = Arc::new(Seen { requests: Mutex::default(), left: watch::Sender::default(), stop: stop.clone() });
        let app = Router::new().route("/v1/chat/completions", post(complete)).route("/v1/models", get(list)).with_state(Arc::clone(&seen));
        Self { server: FakeServer::start(app, stop), seen }
    }

    /// Its entry in the configuration, with every model.
    pub fn config(&self) -> ProviderConfig {
        let cuts = CUT.iter().flat_map(|(name, text)| (0..=text.chars().count()).map(move |at| format!("{name}-{at}")));
        let models = MODELS.iter().map(|&id| id.to_owned()).chain(cuts).map(model).collect();
        ProviderConfig {
            base_url: format!("http://{}/v1", self.server.address),
            api_key: Secret::new("sk-fake-secret"),
            models,
            ..ProviderConfig::default()
        }
    }

    /// The bodies of the requests for a model.
    pub fn requests(&self, model: &str) -> Vec<Value> {
        self.seen.requests.lock().unwrap().iter().filter(|body| body["model"] == model).cloned().collect()
    }

    /// Waits until so many streams of a model were left before their end.
    pub async fn left(&self, model: &str, times: usize) {
        let mut left = self.seen.left.subscribe();
        let enough = left.wait_for(|left| left.get(model).copied().unwrap_or_default() >= times);
        tokio::time::timeout(super::server::PATIENCE, enough).await.expect("the stream was not left").unwrap();
    }
}

/// A provider where nobody listens.
pub fn nobody() -> ProviderConfig {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    ProviderConfig {
        base_url: format!("http://{address}/v1"),
        api_key: Secret::new("sk-fake-secret"),
        models: vec![model("unreachable".into())],
        ..ProviderConfig::default()
    }
}

fn model(id: String) -> ModelConfig {
    ModelConfig { price_in: 1.0, price_out: 2.0, currency: "CNY".into(), ..ModelConfig::named(id) }
}

/// What it says it has: not all, as with real ones, and nothing that is misspelt.
async fn list() -> axum::Json<Value> {
    let models: Vec<Value> =
        MODELS.iter().filter(|id| !id.starts_with("misspelt")).map(|id| json!({"id": id, "object": "model"})).collect();
    axum::Json(json!({"object": "list", "data": models}))
}

async fn complete(State(seen): State<Arc<Seen>>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let name = body["model"].as_str().unwrap_or_default().to_owned();
    let obeyed = obeyed(&body);
    let nth = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push(body);
        requests.iter().filter(|body| body["model"] == *name).count()
    };
    let error = |status: StatusCode| {
        (status, axum::Json(json!({"error": {"message": "scripted", "type": "scripted", "code": null}}))).into_response()
    };
    match name.as_str() {
        "unauthorized" => error(StatusCode::UNAUTHORIZED),
        "misspelt" => error(StatusCode::NOT_FOUND),
        "misspelt-400" => (StatusCode::BAD_REQUEST, axum::Json(json!({"error": {"message": "Model Not Exist"}}))).into_response(),
        "server-error" | "server-error-2" => error(StatusCode::INTERNAL_SERVER_ERROR),
        "rate-limited" => ([(header::RETRY_AFTER, "60")], error(StatusCode::TOO_MANY_REQUESTS)).into_response(),
        "error-body" => error(StatusCode::OK),
        "stray-once" if nth > 1 => stream(seen, "paced".to_owned(), obeyed),
        "unknown-cut" if nth == 1 => stream(seen, "length".to_owned(), obeyed),
        "unknown-plain" | "unknown-cut" => stream(seen, "paced".to_owned(), obeyed),
        _ => stream(seen, name, obeyed),
    }
}

/// What a model says that does as it is told: everything it was given, with its instruction first.
fn obeyed(body: &Value) -> String {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let said = |message: &Value| message["content"].as_str().unwrap_or_default().to_owned();
    let first = messages.first().map(said).unwrap_or_default();
    let last = messages.last().map(said).unwrap_or_default();
    format!("{first}\n{last}")
}

/// A stream that a task writes into; the task notices when nobody reads any more.
fn stream(seen: Arc<Seen>, model: String, obeyed: String) -> Response {
    let (mut out, lines) = mpsc::channel::<Result<Bytes, std::io::Error>>(0);
    tokio::spawn(async move {
        let played = tokio::select! {
            played = play(&model, &obeyed, &mut out) => played,
            () = seen.stop.cancelled() => Ok(()),
        };
        if played.is_err() {
            seen.left.send_modify(|left| *left.entry(model).or_default() += 1);
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(lines)).into_response()
}

type Out = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// The caller is gone.
struct Left;

async fn play(model: &str, obeyed: &str, out: &mut Out) -> Result<(), Left> {
    match model {
        "stall-first" => return silence(out).await,
        "stall-middle" => {
            text(out, "半句").await?;
            return silence(out).await;
        }
        "dies" => {
            text(out, "半句").await?;
            out.send(Err(std::io::Error::other("scripted"))).await.map_err(|_| Left)?;
            return Ok(());
        }
        endless if endless.starts_with("endless-") => loop {
            text(out, "无").await?;
            pause(out).await?;
        },
        slow if slow.starts_with("slow-") => {
            for piece in ANSWER.iter().cycle().take(SLOW) {
                text(out, piece).await?;
                pause(out).await?;
            }
        }
        "reasoning-content" | "reasoning" => {
            let field = model.replace('-', "_");
            send(out, json!({"role": "assistant", "content": null})).await?;
            send(out, json!({field.as_str(): SECRET})).await?;
            send(out, json!({field.as_str(): SECRET, "content": ""})).await?;
            answer(out).await?;
        }
        "rewriter" => text(out, REWRITTEN).await?,
        "rewriter-greets" => text(out, r#"{"intent": "greeting", "query": ""}"#).await?,
        "judge" => text(out, if obeyed.contains(REFUSED) { "REFUSE" } else { "ALLOW" }).await?,
        // An end without a word.
        "silent" => {}
        "obedient" => {
            for c in obeyed.chars() {
                text(out, &c.to_string()).await?;
            }
        }
        "stray-once" | "strays-r1" | "unknown-opens" => {
            for c in STRAY.chars() {
                text(out, &c.to_string()).await?;
            }
        }
        // Out of tokens before it has told where its thoughts end.
        "unfinished-r1" => {
            text(out, SECRET).await?;
            finish(out, "length").await?;
            return line(out, "[DONE]").await;
        }
        "paced" => {
            for piece in ANSWER {
                text(out, piece).await?;
                pause(out).await?;
            }
        }
        "linked" => {
            for c in LINKED.chars() {
                text(out, &c.to_string()).await?;
            }
        }
        "careless" => {
            for c in CARELESS.chars() {
                text(out, &c.to_string()).await?;
            }
        }
        "thinks-only" => {
            send(out, json!({"reasoning_content": SECRET})).await?;
            finish(out, "length").await?;
            return line(out, "[DONE]").await;
        }
        "filtered" => {
            finish(out, "content_filter").await?;
            return line(out, "[DONE]").await;
        }
        "length" => {
            text(out, "半句").await?;
            finish(out, "length").await?;
            return line(out, "[DONE]").await;
        }
        cut if cut_at(cut).is_some() => {
            let (whole, at) = cut_at(cut).unwrap();
            let (before, after): (Vec<_>, Vec<_>) = whole.chars().enumerate().partition(|(i, _)| *i < at);
            for part in [before, after] {
                text(out, &part.into_iter().map(|(_, c)| c).collect::<String>()).await?;
            }
        }
        _ => answer(out).await?,
    }
    finish(out, "stop").await?;
    line(out, &json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}).to_string()).await?;
    line(out, "[DONE]").await
}

/// The answer of a model of [`CUT`], and where it is cut.
fn cut_at(model: &str) -> Option<(&'static str, usize)> {
    let (name, at) = model.split_once('-')?;
    let (_, text) = CUT.iter().find(|(known, _)| *known == name)?;
    Some((text, at.parse().ok()?))
}

async fn answer(out: &mut Out) -> Result<(), Left> {
    for piece in ANSWER {
        text(out, piece).await?;
    }
    Ok(())
}

async fn text(out: &mut Out, text: &str) -> Result<(), Left> {
    send(out, json!({"content": text})).await
}

async fn send(out: &mut Out, delta: Value) -> Result<(), Left> {
    let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    line(out, &chunk.to_string()).await
}

async fn finish(out: &mut Out, reason: &str) -> Result<(), Left> {
    let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    line(out, &chunk.to_string()).await
}

async fn line(out: &mut Out, data: &str) -> Result<(), Left> {
    out.send(Ok(Bytes::from(format!("data: {data}\n\n")))).await.map_err(|_| Left)
}

/// Says nothing until the caller leaves.
async fn silence(out: &Out) -> Result<(), Left> {
    loop {
        pause(out).await?;
    }
}

/// The pace of a slow model.
async fn pause(out: &Out) -> Result<(), Left> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    if out.is_closed() { Err(Left) } else { Ok(()) }
}
