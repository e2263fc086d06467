//! Rerankers: an endpoint played by a small HTTP server in both shapes, well and failing, and a
//! cross-encoder of a directory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use merchant_copilot::config::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::server::{Server, Setup};

const DASHSCOPE: &str = "/api/v1/services/rerank/text-rerank/text-rerank";
const KEY: &str = "sk-rerank";

/// What the endpoint was asked: path, authorization, body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// The endpoint: it puts what says 面单 first. Its model `down` fails, `slow` takes its time, `short`
/// forgets a text.
struct Endpoint {
    address: SocketAddr,
    asked: Asked,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self { address: listener.local_addr().unwrap(), asked: Asked::default() };
        let asked = Arc::clone(&endpoint.asked);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, Arc::clone(&asked)));
            }
        });
        endpoint
    }

    /// A server that has it rerank.
    async fn server(&self, path: &str, model: &'static str, timeout_ms: u64) -> Server {
        let source = format!("http://{}{path}", self.address);
        let change = move |config: &mut merchant_copilot::config::Config| {
            config.rerank.source = source;
            config.rerank.model = model.into();
            config.rerank.api_key = Secret::new(KEY);
            config.rerank.timeout_ms = timeout_ms;
            config.models.breaker_failures = 2;
        };
        Server::start(Setup { change: Some(Box::new(change)), ..Setup::default() }).await
    }
}

async fn answer(mut socket: TcpStream, asked: Asked) {
    let mut read = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).await.unwrap();
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.unwrap().parse::<usize>().unwrap() {
            break (head.to_owned(), serde_json::from_str::<Value>(body).unwrap());
        }
    };
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let key = head.lines().find_map(|line| line.to_lowercase().strip_prefix("authorization: ").map(str::to_owned)).unwrap_or_default();
    asked.lock().unwrap().push((path.clone(), key, body.clone()));
    let texts = if path == DASHSCOPE { &body["input"]["documents"] } else { &body["documents"] };
    let mut results: Vec<Value> = texts
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, text)| json!({"index": i, "relevance_score": if text.as_str().unwrap().contains("面单") { 0.97 } else { 0.1 / (i + 1) as f64 }}))
        .collect();
    results.reverse();
    let (status, answer) = match body["model"].as_str().unwrap() {
        "down" => (500, json!({"error": {"message": "out of order"}})),
        model => {
            if model == "slow" {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            if model == "short" {
                results.pop();
            }
            (
                200,
                if path == DASHSCOPE {
                    json!({"output": {"results": results}, "request_id": "r"})
                } else {
                    json!({"model": model, "results": results})
                },
            )
        }
    };
    let answer = answer.to_string();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    let _ = socket.write_all((head + &answer).as_bytes()).await;
}

async fn search(server: &Server) -> Value {
    server.json("/api/v1/knowledge/search?q=退货地址怎么打印", &server.admin).await
}

fn ids(found: &Value) -> Vec<&str> {
    found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_endpoint_in_either_shape_puts_the_rows_in_order() {
    let plain = search(&Server::small().await).await;
    assert!(plain["rerank"].is_null() && ids(&plain)[0] != "label", "{plain}");
    let endpoint = Endpoint::start().await;
    for path in ["/v1/rerank", DASHSCOPE] {
        let server = endpoint.server(path, "good", 60_000).await;
        let found = search(&server).await;
        assert_eq!(ids(&found)[0], "label", "{found}");
        assert_eq!(found["rerank"], json!({"model": "good", "candidates": 3}));
        assert!(
            (found["hits"][0]["rerank"].as_f64().unwrap() - 0.97).abs() < 1e-6 && found["timings_ms"]["rerank"].as_f64().unwrap() > 0.0
        );
        let (at, key, body) = endpoint.asked.lock().unwrap().last().unwrap().clone();
        assert_eq!((at.as_str(), key.as_str()), (path, "bearer sk-rerank"));
        let (query, texts) =
            if path == DASHSCOPE { (&body["input"]["query"], &body["input"]["documents"]) } else { (&body["query"], &body["documents"]) };
        assert_eq!((query.as_str(), texts.as_array().unwrap().len()), (Some("退货地址怎么打印"), 3));
        let top = if path == DASHSCOPE { &body["parameters"]["top_n"] } else { &body["top_n"] };
        assert_eq!(top, 3);
    }
}

#[tokio::test]
async fn one_that_fails_leaves_the_fused_order_and_says_so() {
    let plain = search(&Server::small().await).await;
    let endpoint = Endpoint::start().await;
    for (model, limit, code) in
        [("down", 60_000, "model_unavailable"), ("slow", 200, "model_timeout"), ("short", 60_000, "model_stream_broken")]
    {
        let server = endpoint.server("/v1/rerank", model, limit).await;
        let before = endpoint.asked.lock().unwrap().len();
        for _ in 0..2 {
            let found = search(&server).await;
            assert_eq!((ids(&found), &found["decision"]), (ids(&plain), &plain["decision"]), "{model}");
            assert_eq!(found["rerank"]["error"]["code"], code, "{found}");
        }
        // Two failures in a row, and it is left alone for a while.
        let found = search(&server).await;
        assert_eq!((ids(&found), found["rerank"]["error"]["code"].as_str()), (ids(&plain), Some("model_unavailable")));
        assert_eq!(endpoint.asked.lock().unwrap().len(), before + 2, "{model} was asked again");
        // A turn's trace says it too.
        let mut socket = server.session(&server.member).await;
        let turn = socket.ask("退货地址怎么打印", json!({"model": "builtin"})).await;
        let response = turn.first("response.created")["response_id"].as_str().unwrap().to_owned();
        let trace = server.json(&format!("/api/v1/responses/{response}/trace"), &server.admin).await;
        assert!(trace.to_string().contains("left alone after 2 failures"), "{trace}");
    }
}

#[tokio::test]
async fn a_cross_encoder_of_a_directory_does_too() {
    let change = |config: &mut merchant_copilot::config::Config| {
        config.rerank.source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cross_encoder").display().to_string();
        config.rerank.timeout_ms = 60_000;
    };
    let server = Server::start(Setup { config: Some(change), ..Setup::default() }).await;
    let found = server.json("/api/v1/knowledge/search?q=跨境包裹的面单怎么打印？", &server.admin).await;
    assert_eq!((ids(&found)[0], &found["rerank"]["model"]), ("label", &json!("cross_encoder")), "{found}");
    let scores: Vec<f64> = found["hits"].as_array().unwrap().iter().map(|hit| hit["rerank"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores[0] > scores[2], "{scores:?}");
}
