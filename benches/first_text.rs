//! `make bench`: from a question on the WebSocket to its first text, with the built-in model and a
//! base of 5,000 entries (starter pack rows with three phrasings, repeated for invented branches). Reports the median, the
//! 99th percentile and their spread over the rounds; it asserts nothing.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use merchant_copilot::app::{self, App, DEMO};
use merchant_copilot::config::{Config, Overrides};
use merchant_copilot::http;
use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::{NewKey, Role};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

mod base;

const ENTRIES: usize = 5_000;
const QUESTIONS: usize = 300;
const ROUNDS: usize = 5;

fn main() {
    // `cargo test --all-targets` runs this binary too, without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(bench());
}

async fn bench() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let flags = Overrides { data_dir: Some(dir.path().join("data")), listen: Some("127.0.0.1:0".into()), ..Default::default() };
    let mut config = Config::load(None, &flags).expect("the defaults");
    (config.limits.key_per_minute, config.limits.address_per_minute) = (1_000_000, 1_000_000);
    let filling = Instant::now();
    base::fill(config.clone(), ENTRIES, true).await;
    println!("{ENTRIES} entries imported in {:.1} s", filling.elapsed().as_secs_f64());
    let listener = app::listen(&config.listen).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = App::build(config).await.expect("the app");
    let demo = TenantId::parse(DEMO).expect("a name");
    let new = NewKey { role: Role::Member, origins: Vec::new(), label: "bench".into(), expires: None };
    let (_, key) = app.tenants.issue(&demo, new).await.expect("a key");
    app.knowledge.catch_up().await.expect("the indexes");
    let stop = CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, app, stop.clone()));

    let questions = base::questions(QUESTIONS);
    let mut request = format!("ws://{address}/ws").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", "copilot.v1".parse().expect("a name"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a socket");
    let open = json!({"type": "session.open", "id": "1", "token": key.reveal()});
    socket.send(Message::text(open.to_string())).await.expect("sent");
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let mut times = Vec::with_capacity(questions.len());
        for (i, question) in questions.iter().enumerate() {
            times.push(first_text(&mut socket, &format!("{round}-{i}"), question).await.as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        // The first round warms up.
        if round > 0 {
            rounds.push((times[times.len() / 2], times[times.len() * 99 / 100]));
        }
    }
    for (name, pick) in [("p50", (|r: &(f64, f64)| r.0) as fn(&(f64, f64)) -> f64), ("p99", |r| r.1)] {
        let mut values: Vec<f64> = rounds.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        let (low, middle, high) = (values[0], values[values.len() / 2], values[values.len() - 1]);
        println!("first text {name}: {middle:.1} ms (from {low:.1} to {high:.1} over {ROUNDS} rounds of {QUESTIONS} questions)");
    }
    stop.cancel();
    server.await.expect("the server stops").expect("cleanly");
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Asks and waits for the end; the time is that of the first text.
async fn first_text(socket: &mut Socket, id: &str, question: &str) -> Duration {
    let asked = Instant::now();
    let message = json!({"type": "message.create", "id": id, "client_msg_id": id, "text": question, "model": "builtin"});
    socket.send(Message::text(message.to_string())).await.expect("sent");
    let mut first = None;
    while let Some(Ok(frame)) = socket.next().await {
        let Ok(text) = frame.to_text() else { continue };
        let Ok(frame) = serde_json::from_str::<Value>(text) else { continue };
        match frame["type"].as_str() {
            Some("response.text.delta") if first.is_none() => first = Some(asked.elapsed()),
            Some("response.done") => break,
            Some("error") => panic!("{frame}"),
            _ => {}
        }
    }
    first.unwrap_or_else(|| asked.elapsed())
}
