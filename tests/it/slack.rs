//! Slack bots against a platform that speaks its wire: who is let in, that every event is answered once, and what
//! the thread sees.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use merchant_copilot::config::{ChannelsConfig, Config};
use merchant_copilot::ids::Clock;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::watch;
use tokio::time::timeout;

use super::fake_provider::FakeProvider;
use super::server::{PATIENCE, Server, Setup};

const SECRET: &str = "a-signing-secret";
const GROUNDED: &str = "跨境包裹的面单在哪里打印";
const SLOW: fn(&mut Config) = |config| config.models.default = "slow-1".into();

/// A message in a channel: its thread, what it said over time.
#[derive(Clone, Debug)]
struct Said {
    place: String,
    texts: Vec<String>,
}

#[derive(Default)]
struct Platform {
    said: watch::Sender<BTreeMap<usize, Said>>,
    address: OnceLock<String>,
    too_fast: std::sync::atomic::AtomicUsize,
}

impl Platform {
    async fn start() -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let platform = Arc::new(Self::default());
        let router = Router::new().route("/api/{method}", post(called)).with_state(Arc::clone(&platform));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        platform.address.set(format!("http://{}/api", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        platform
    }

    fn bot(&self) -> ChannelsConfig {
        let base = self.address.get().unwrap();
        let bot = format!("bot_token = \"xoxb-1\"\nsigning_secret = \"{SECRET}\"\napi_base = \"{base}\"\ncalls_per_second = 20");
        toml::from_str(&format!("[slack.shop]\n{bot}\n")).unwrap()
    }

    async fn until(&self, enough: impl Fn(&BTreeMap<usize, Said>) -> bool) -> Vec<Said> {
        let mut said = self.said.subscribe();
        let found = timeout(PATIENCE, said.wait_for(|said| enough(said))).await.unwrap_or_else(|_| panic!("{:?}", self.said.borrow()));
        found.unwrap().values().cloned().collect()
    }
}

async fn called(
    State(platform): State<Arc<Platform>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    assert_eq!(headers["authorization"], "Bearer xoxb-1");
    let text = body["markdown_text"].as_str().filter(|text| !text.is_empty()).unwrap().to_owned();
    let mut ts = String::new();
    if platform
        .too_fast
        .fetch_update(std::sync::atomic::Ordering::SeqCst, std::sync::atomic::Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
    {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], Json(json!({"ok": false, "error": "ratelimited"}))).into_response();
    }
    platform.said.send_modify(|said| match method.as_str() {
        "chat.postMessage" => {
            let place = format!("{}/{}", body["channel"].as_str().unwrap(), body["thread_ts"].as_str().unwrap_or_default());
            ts = format!("9.{}", said.len());
            said.insert(said.len(), Said { place, texts: vec![text] });
        }
        "chat.update" => {
            ts = body["ts"].as_str().unwrap().to_owned();
            said.get_mut(&ts[2..].parse::<usize>().unwrap()).unwrap().texts.push(text);
        }
        other => panic!("{other}"),
    });
    Json(json!({"ok": true, "ts": ts})).into_response()
}

async fn deliver(server: &Server, body: &str, secret: &str, age: i64) -> (u16, Value) {
    let timestamp = (Clock::system().now().0 / 1000 - age).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = server.request(reqwest::Method::POST, "/webhooks/slack/shop").header("x-slack-request-timestamp", timestamp);
    let request = request.header("x-slack-signature", format!("v0={signature}")).header("x-slack-retry-num", "1");
    let answer = request.body(body.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn mention(id: &str, text: &str, ts: &str) -> String {
    let event = json!({"type": "app_mention", "user": "U1", "text": format!("<@U0> {text}"), "channel": "C1", "ts": ts});
    json!({"type": "event_callback", "event_id": id, "authorizations": [{"user_id": "U0"}], "event": event}).to_string()
}

#[tokio::test]
async fn a_thread_sees_one_answer_grow_however_often_the_platform_delivers() {
    let platform = Platform::start().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let server = Server::start(Setup { channels: platform.bot(), provider, config: Some(SLOW), ..Setup::default() }).await;
    let asked = json!({"type": "url_verification", "challenge": "abc"}).to_string();
    assert_eq!(deliver(&server, &asked, SECRET, 0).await, (200, json!({"challenge": "abc"})));
    let body = mention("Ev1", GROUNDED, "1.1");
    for (secret, age) in [("another", 0), (SECRET, 400)] {
        assert_eq!(deliver(&server, &body, secret, age).await.0, 401);
    }
    assert_eq!(deliver(&server, "no json", SECRET, 0).await.0, 400);
    assert_eq!(deliver(&server, &"x".repeat(1 << 18), SECRET, 0).await.0, 413);
    let nobody = server.request(reqwest::Method::POST, "/webhooks/slack/none").body("{}").send().await.unwrap();
    assert_eq!(nobody.status(), 404);
    assert!(platform.said.borrow().is_empty(), "nothing of it was answered");
    let answers = join_all((0..5).map(|_| deliver(&server, &body, SECRET, 0))).await;
    assert!(answers.iter().all(|answer| answer.0 == 200), "{answers:?}");
    let done = |said: &BTreeMap<usize, Said>| said.values().any(|one| one.texts.last().unwrap().contains("出处"));
    let said = platform.until(done).await;
    assert!(said.len() == 1 && said[0].place == "C1/1.1" && said[0].texts.len() >= 3, "{said:?}");
    // Too fast at the wrong moments: ended all the same.
    platform.too_fast.store(2, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(deliver(&server, &mention("Ev2", "/help", "1.2"), SECRET, 0).await.0, 200);
    let said = platform.until(|said| said.len() == 2).await;
    assert!(said[1].place == "C1/1.2" && said[1].texts[0].starts_with("<@U1> ") && said[1].texts[0].contains("/human"), "{said:?}");
}
