//! A provider for tests that says and does what a script tells it, byte by byte: plain TCP, so that it
//! can also break off in ways a proper server would not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::kinds::Site;
use super::openai::OpenAiModel;
use super::registry::Lines;
use super::{ChatModel, http_client};
use crate::config::{ModelConfig, ProviderConfig, Secret};

/// What the fake does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(String),
    Bytes(Vec<u8>),
    Wait(Duration),
    /// Keeps the line open in silence until the caller leaves.
    Hang,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Value,
}

#[derive(Clone)]
pub(crate) struct Fake {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Callers that left a hanging line.
    left: Arc<AtomicUsize>,
}

impl Fake {
    /// Answers the n-th request (from 0) with the steps of `script(n)`.
    pub(crate) async fn start(script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        // The process-wide TLS provider that main installs; a second test finds it there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self { port: listener.local_addr().unwrap().port(), seen: Arc::default(), left: Arc::default() };
        let server = fake.clone();
        let script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (server, script) = (server.clone(), Arc::clone(&script));
                tokio::spawn(async move { server.serve(socket, &*script).await });
            }
        });
        fake
    }

    pub(crate) fn provider(&self) -> ProviderConfig {
        ProviderConfig { base_url: self.base_url(), api_key: Secret::new("sk-fake-secret"), ..ProviderConfig::default() }
    }

    /// One of its models, in OpenAI's dialect.
    pub(crate) fn model(&self, id: &str) -> Arc<dyn ChatModel> {
        let site = Arc::new(Site::of("fake", &self.provider()).unwrap());
        let http = http_client::client(&site.base, Duration::from_millis(500)).unwrap();
        Arc::new(OpenAiModel::new(site, http, ModelConfig::named(id)))
    }

    /// One of a provider that is configured so.
    pub(crate) fn model_of(&self, provider: &ProviderConfig, id: &str) -> Arc<dyn ChatModel> {
        Lines::open("fake", provider).unwrap().chat(&ModelConfig::named(id), 500).unwrap()
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until somebody has left a hanging line.
    pub(crate) async fn somebody_left(&self) {
        while self.left.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn serve(&self, mut socket: TcpStream, script: &(dyn Fn(usize) -> Vec<Step> + Send + Sync)) {
        let request = read_request(&mut socket).await;
        let nth = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(request);
            seen.len() - 1
        };
        for step in script(nth) {
            match step {
                // A caller that has left already is the test's business, not ours.
                Step::Send(text) => drop(socket.write_all(text.as_bytes()).await),
                Step::Bytes(bytes) => drop(socket.write_all(&bytes).await),
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Hang => {
                    let _ = socket.read(&mut [0; 1]).await;
                    self.left.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = socket.read(&mut part).await.unwrap();
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let body = if head.starts_with("GET ") { Ok(Value::Null) } else { serde_json::from_str(body) };
            if let Ok(body) = body {
                return Seen { head: head.to_owned(), body };
            }
        }
        assert!(count > 0, "the request is incomplete: {text}");
    }
}

/// A reply with a status, more header lines, and a body.
pub(crate) fn reply(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![Step::Send(format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"))]
}

/// The start of a streamed reply that ends with the connection.
pub(crate) fn streaming() -> Step {
    Step::Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n".to_owned())
}

/// One event with this chunk.
pub(crate) fn chunk(chunk: Value) -> Step {
    Step::Send(format!("data: {chunk}\n\n"))
}

/// A chunk with one field of a delta.
pub(crate) fn delta(field: &str, text: &str) -> Step {
    chunk(json!({"choices": [{"index": 0, "delta": {field: text}, "finish_reason": null}], "usage": null}))
}

/// The usual end: why it stopped, token counts, `[DONE]`.
pub(crate) fn ending() -> [Step; 3] {
    [
        chunk(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
        chunk(json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}})),
        Step::Send("data: [DONE]\n\n".to_owned()),
    ]
}

/// A whole streamed answer from these texts.
pub(crate) fn answer(texts: &[&str]) -> Vec<Step> {
    let deltas = texts.iter().map(|text| delta("content", text));
    std::iter::once(streaming()).chain(deltas).chain(ending()).collect()
}
