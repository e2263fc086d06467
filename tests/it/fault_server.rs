//! A provider that breaks in a chosen way after a chosen number of tokens: plain TCP, so that it can also
//! announce a wrong length or cut a chunk in two. The model's name says what happens: `close-7` closes the
//! connection after seven tokens. It speaks OpenAI's dialect and Anthropic's, by the path.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use merchant_copilot::config::{ModelConfig, ProviderConfig, ProviderKind, Secret};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Tokens of a whole answer; an answer can be cut before each of them.
pub const TOKENS: usize = 32;
/// The ways to break. `long` announces more bytes than come, `short` fewer.
pub const FAULTS: [&str; 7] = ["close", "stall", "malformed", "429", "500", "long", "short"];
/// Answers whole.
pub const SPARE: &str = "spare";

/// The running provider; it ends with the runtime of its test.
pub struct FaultServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// One token.
pub fn token(at: usize) -> String {
    format!("第{at:02}词，")
}

/// The first tokens together.
pub fn tokens(count: usize) -> String {
    (0..count).map(token).collect()
}

impl FaultServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = Arc::clone(&server.asked);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&asked)));
            }
        });
        server
    }

    /// Its entry in the configuration: one model for each way and place to break, all with the same
    /// stand-in.
    pub fn config(&self, kind: ProviderKind) -> ProviderConfig {
        let faulty = |id: String| ModelConfig { fallback: vec![SPARE.to_owned()], ..priced(id) };
        let broken = FAULTS.iter().flat_map(|fault| (0..TOKENS).map(move |at| format!("{fault}-{at}")));
        let models = match kind {
            ProviderKind::Anthropic => broken.map(|id| faulty(format!("a-{id}"))).collect(),
            _ => broken.map(faulty).chain([priced(SPARE.to_owned())]).collect(),
        };
        ProviderConfig {
            kind,
            base_url: format!("http://{}/v1", self.address),
            api_key: Secret::new("sk-fault"),
            models,
            ..ProviderConfig::default()
        }
    }

    /// How often a model was asked.
    pub fn asked(&self, model: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == model).count()
    }
}

fn priced(id: String) -> ModelConfig {
    ModelConfig { price_in: 1.0, price_out: 2.0, currency: "CNY".into(), ..ModelConfig::named(id) }
}

async fn serve(mut socket: TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let Some((path, body)) = read_request(&mut socket).await else { return };
    let model = body["model"].as_str().unwrap_or_default().to_owned();
    asked.lock().unwrap().push(model.clone());
    let dialect = if path.contains("/messages") { Dialect::Anthropic } else { Dialect::OpenAi };
    let (fault, at) = match model.trim_start_matches("a-").split_once('-') {
        Some((fault, at)) => (fault.to_owned(), at.parse().unwrap()),
        None => (String::new(), TOKENS),
    };
    if at == 0 && matches!(fault.as_str(), "429" | "500") {
        let error = dialect.error(&fault).to_string();
        let head =
            format!("HTTP/1.1 {fault} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", error.len());
        let _ = socket.write_all((head + &error).as_bytes()).await;
        return;
    }
    let said: String = dialect.start() + &(0..at).map(|at| dialect.token(at)).collect::<String>();
    let length = match fault.as_str() {
        "long" => format!("Content-Length: {}\r\n", said.len() + 1000),
        "short" => format!("Content-Length: {}\r\n", said.len()),
        _ => String::new(),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{length}Connection: close\r\n\r\n");
    let _ = socket.write_all((head + &said).as_bytes()).await;
    let _ = match fault.as_str() {
        // Silent until the caller leaves.
        "stall" => socket.read(&mut [0; 1]).await.map(drop),
        "malformed" => socket.write_all(b"data: {\"choices\":[{\"delta\n\n").await,
        "429" | "500" => socket.write_all(format!("event: error\ndata: {}\n\n", dialect.error(&fault)).as_bytes()).await,
        "short" => socket.write_all((dialect.token(at) + &dialect.end()).as_bytes()).await,
        "close" | "long" => Ok(()),
        _ => socket.write_all(dialect.end().as_bytes()).await,
    };
}

async fn read_request(socket: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 8192];
        let count = socket.read(&mut part).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return Some((head.lines().next()?.to_owned(), body));
        }
    }
}

#[derive(Clone, Copy)]
enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    fn event(self, data: &Value) -> String {
        match self {
            Self::OpenAi => format!("data: {data}\n\n"),
            Self::Anthropic => format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()),
        }
    }

    fn start(self) -> String {
        match self {
            Self::OpenAi => String::new(),
            Self::Anthropic => self.event(&json!({"type": "message_start", "message": {"type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 100, "output_tokens": 1}}})),
        }
    }

    fn token(self, at: usize) -> String {
        let text = token(at);
        self.event(&match self {
            Self::OpenAi => json!({"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}),
            Self::Anthropic => json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        })
    }

    fn end(self) -> String {
        match self {
            Self::OpenAi => {
                let finish = self.event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
                let usage =
                    self.event(&json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 32, "total_tokens": 132}}));
                finish + &usage + "data: [DONE]\n\n"
            }
            Self::Anthropic => {
                let finish =
                    self.event(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 32}}));
                finish + &self.event(&json!({"type": "message_stop"}))
            }
        }
    }

    /// As far as a status can be told, in the words of the dialect.
    fn error(self, status: &str) -> Value {
        match (self, status) {
            (Self::OpenAi, "429") => json!({"error": {"message": "slow down", "type": "rate_limit_error", "code": "429"}}),
            (Self::OpenAi, _) => json!({"error": {"message": "oops", "type": "server_error", "code": "500"}}),
            (Self::Anthropic, "429") => json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}),
            (Self::Anthropic, _) => json!({"type": "error", "error": {"type": "api_error", "message": "oops"}}),
        }
    }
}
