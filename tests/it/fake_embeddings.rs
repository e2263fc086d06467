//! An embeddings endpoint in OpenAI's shape that notes every text it is sent. Its vectors count pairs of
//! characters, so that like texts are near.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fake_server::FakeServer;

/// The length of its vectors.
pub const DIMENSIONS: usize = 48;

/// The running endpoint.
pub struct Embeddings {
    pub server: FakeServer,
    pub seen: Arc<Seen>,
}

/// What it was sent, and how it behaves.
#[derive(Default)]
pub struct Seen {
    texts: Mutex<Vec<String>>,
    pub refuses: AtomicBool,
    /// Rows wait; questions, which begin with 请问, do not.
    pub holds: AtomicBool,
    /// How long a request of rows takes.
    pace: Duration,
}

impl Seen {
    /// Every text, as it came.
    pub fn texts(&self) -> MutexGuard<'_, Vec<String>> {
        self.texts.lock().unwrap()
    }
}

impl Embeddings {
    /// One that takes so long for a request of rows.
    pub fn start(pace: Duration) -> Self {
        let seen = Arc::new(Seen { pace, ..Seen::default() });
        let app = Router::new().route("/v1/embeddings", post(embeddings)).with_state(Arc::clone(&seen));
        Self { server: FakeServer::start(app, CancellationToken::new()), seen }
    }

    /// What tells the program to use it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COPILOT_EMBEDDER__SOURCE", format!("http://{}/v1/embeddings", self.server.address)),
            ("COPILOT_EMBEDDER__MODEL", "pairs".to_owned()),
            ("COPILOT_EMBEDDER__DIMENSIONS", DIMENSIONS.to_string()),
            ("COPILOT_EMBEDDER__TIMEOUT_MS", "120000".to_owned()),
        ]
    }

    /// How often each text was sent.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for text in self.seen.texts().iter() {
            *counts.entry(text.clone()).or_default() += 1;
        }
        counts
    }
}

async fn embeddings(State(seen): State<Arc<Seen>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    if seen.refuses.load(Ordering::Relaxed) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": {"message": "no such key"}})));
    }
    let texts: Vec<String> = body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    let data: Vec<Value> = texts.iter().enumerate().map(|(i, text)| json!({"index": i, "embedding": pairs(text)})).collect();
    let rows = !texts.iter().any(|text| text.starts_with("请问"));
    // Noted before it is answered: who asks may be killed meanwhile.
    seen.texts().extend(texts);
    if rows {
        while seen.holds.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(seen.pace).await;
    }
    (StatusCode::OK, Json(json!({"data": data, "model": body["model"], "usage": {"total_tokens": 1}})))
}

/// Pairs of characters, counted into as many places as there are.
fn pairs(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; DIMENSIONS];
    let characters: Vec<char> = text.chars().collect();
    for pair in characters.windows(2) {
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        vector[usize::try_from(hasher.finish() % DIMENSIONS as u64).unwrap()] += 1.0;
    }
    vector
}
