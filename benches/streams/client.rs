//! Who asks: a page's socket that speaks copilot.v1, and a program that calls the provider directly.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::provider::Provider;

/// A frame, as far as it matters here.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    delta: String,
    #[serde(default)]
    text: String,
}

/// One answer as it came.
#[derive(Default)]
pub struct Heard {
    /// How long each token was under way.
    pub tokens: Vec<Duration>,
    /// When the first and the last token came.
    pub span: Option<(Instant, Instant)>,
    /// Characters of the whole text, as the server says at the end.
    pub whole: Option<usize>,
    /// Characters that came in pieces.
    pub chars: usize,
    /// Why the socket was closed before the end.
    pub closed: Option<u16>,
}

impl Heard {
    fn heard_at(&mut self, now: Instant) {
        self.span = Some((self.span.map_or(now, |span| span.0), now));
    }
}

pub struct Socket(WebSocketStream<TcpStream>);

/// What a far reader's line looks like, in bytes: the server's own system keeps little for it.
const FAR_SEGMENT: u32 = 1_400;
const FAR_BUFFER: u32 = 4_096;

impl Socket {
    /// Opens a session. `far` is a line with small segments and buffers, as over the Internet; without it
    /// this machine keeps megabytes for every reader that does not read.
    pub async fn open(address: SocketAddr, key: &str, far: bool) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        if far {
            let raw = socket2::SockRef::from(&socket);
            raw.set_tcp_mss(FAR_SEGMENT).expect("small segments");
            raw.set_recv_buffer_size(FAR_BUFFER as usize).expect("a small buffer");
        }
        let stream = socket.connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let mut request = format!("ws://{address}/ws").into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "copilot.v1".parse().expect("a name"));
        let config = WebSocketConfig::default().read_buffer_size(2_048).write_buffer_size(0);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await.expect("an upgrade");
        let mut socket = Self(socket);
        socket.send(json!({"type": "session.open", "id": "1", "token": key})).await;
        let ready = socket.0.next().await.expect("a frame").expect("a frame");
        assert!(ready.to_text().is_ok_and(|text| text.contains("session.ready")), "{ready}");
        socket
    }

    async fn send(&mut self, frame: serde_json::Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("sent");
    }

    /// Asks, and nothing more.
    pub async fn ask(&mut self, id: &str, question: &str, model: &str) -> Instant {
        let asked = Instant::now();
        self.send(json!({"type": "message.create", "id": id, "client_msg_id": id, "text": question, "model": model})).await;
        asked
    }

    /// Reads to the end of the answer.
    pub async fn hear(&mut self, provider: &Provider, chars: usize) -> Heard {
        let (mut heard, mut text) = (Heard::default(), String::new());
        loop {
            let message = match self.0.next().await {
                Some(Ok(Message::Close(frame))) => {
                    heard.closed = Some(frame.map_or(1005, |frame| frame.code.into()));
                    return heard;
                }
                Some(Ok(message)) => message,
                Some(Err(Error::Io(_) | Error::Protocol(_) | Error::ConnectionClosed)) | None => {
                    heard.closed = Some(1006);
                    return heard;
                }
                Some(Err(other)) => panic!("{other}"),
            };
            let Message::Text(json) = message else { continue };
            let frame: Frame<'_> = serde_json::from_str(&json).expect("a frame");
            match &*frame.kind {
                "response.text.delta" => {
                    heard.chars += frame.delta.chars().count();
                    text.push_str(&frame.delta);
                    heard.tokens.extend(provider.under_way(&mut text, chars));
                    heard.heard_at(Instant::now());
                }
                "response.text.done" => heard.whole = Some(frame.text.chars().count()),
                "response.done" => return heard,
                "error" => panic!("{json}"),
                _ => {}
            }
        }
    }
}

/// Asks the provider itself.
pub async fn direct(provider: &Provider, client: &reqwest::Client, chars: usize) -> Heard {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        delta: Content,
    }
    #[derive(Deserialize)]
    struct Content {
        #[serde(default)]
        content: String,
    }
    let body = json!({"model": "direct", "stream": true, "messages": [{"role": "user", "content": "?"}]});
    let answer = client.post(format!("http://{}/v1/chat/completions", provider.address)).json(&body).send().await.expect("an answer");
    let mut bytes = answer.bytes_stream();
    let (mut lines, mut text, mut heard) = (Vec::new(), String::new(), Heard::default());
    while let Some(part) = bytes.next().await {
        lines.extend_from_slice(&part.expect("bytes"));
        while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data: ") else { continue };
            let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { continue };
            for choice in chunk.choices {
                text.push_str(&choice.delta.content);
            }
            let times = provider.under_way(&mut text, chars);
            if !times.is_empty() {
                heard.heard_at(Instant::now());
                heard.tokens.extend(times);
            }
        }
    }
    heard
}
