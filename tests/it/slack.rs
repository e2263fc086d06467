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

/// A message in a channel: its thread, what it said over time, its buttons, and who alone sees it.
#[derive(Clone, Debug)]
struct Said {
    place: String,
    texts: Vec<String>,
    buttons: Vec<Value>,
    only: Option<String>,
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
    let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
    assert!(blocks.is_empty() || body["markdown_text"].is_null(), "the platform takes one or the other: {body}");
    let text = [&body["markdown_text"], &blocks.first().unwrap_or(&body)["text"]].into_iter().find_map(Value::as_str);
    let text = text.filter(|text| !text.is_empty()).unwrap().to_owned();
    let buttons = blocks.get(1).and_then(|actions| actions["elements"].as_array().cloned()).unwrap_or_default();
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
            ts = format!("9.{}", said.len());
            said.insert(said.len(), Said { place: place(&body), texts: vec![text], buttons, only: None });
        }
        "chat.postEphemeral" => {
            let only = body["user"].as_str().map(str::to_owned);
            said.insert(said.len(), Said { place: place(&body), texts: vec![text], buttons, only });
        }
        "chat.update" => {
            ts = body["ts"].as_str().unwrap().to_owned();
            let one = said.get_mut(&ts[2..].parse::<usize>().unwrap()).unwrap();
            one.texts.push(text);
            one.buttons = buttons;
        }
        other => panic!("{other}"),
    });
    Json(json!({"ok": true, "ts": ts})).into_response()
}

fn place(body: &Value) -> String {
    format!("{}/{}", body["channel"].as_str().unwrap(), body["thread_ts"].as_str().unwrap_or_default())
}

async fn deliver(server: &Server, body: &str, secret: &str, age: i64) -> (u16, Value) {
    let answer = send(server, body, secret, age).await;
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn send(server: &Server, body: &str, secret: &str, age: i64) -> reqwest::Response {
    let timestamp = (Clock::system().now().0 / 1000 - age).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = server.request(reqwest::Method::POST, "/webhooks/slack/shop").header("x-slack-request-timestamp", timestamp);
    let request = request.header("x-slack-signature", format!("v0={signature}")).header("x-slack-retry-num", "1");
    request.body(body.to_owned()).send().await.unwrap()
}

/// What the platform sends when somebody presses a button under a message.
fn press(said: &Said, action: &str, who: &str) -> String {
    let button = said.buttons.iter().find(|button| button["action_id"] == action).unwrap();
    let (channel, thread) = said.place.split_once('/').unwrap();
    let payload = json!({
        "type": "block_actions", "user": {"id": who}, "channel": {"id": channel}, "message": {"ts": "9.0", "thread_ts": thread},
        "actions": [{"type": "button", "action_id": action, "value": button["value"], "block_id": "b", "action_ts": "1"}],
    });
    url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish()
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

#[tokio::test]
async fn the_same_event_is_answered_once_also_after_a_restart_and_what_nobody_said_to_the_bot_never() {
    let platform = Platform::start().await;
    let mut server = Server::start(Setup { channels: platform.bot(), ..Setup::default() }).await;
    let body = mention("Ev1", "普通店保证金要交多少？", "1.1");
    assert_eq!(deliver(&server, &body, SECRET, 0).await.0, 200);
    platform.until(|said| said.values().any(|one| one.texts.last().unwrap().contains("10,000"))).await;
    server.stop();
    let again = Server::start(Setup { data_dir: Some(server.data_dir.clone()), channels: platform.bot(), ..Setup::default() }).await;
    // Delivered again; said by the bot itself, by another bot, changed, or to nobody in particular.
    let event = |id: &str, event: Value| {
        json!({"type": "event_callback", "event_id": id, "authorizations": [{"user_id": "U0"}], "event": event}).to_string()
    };
    let own = json!({"type": "app_mention", "user": "U0", "text": "<@U0> x", "channel": "C1", "ts": "1.2"});
    let bot = json!({"type": "app_mention", "user": "U7", "bot_id": "B7", "text": "<@U0> x", "channel": "C1", "ts": "1.3"});
    let changed = json!({"type": "message", "subtype": "message_changed", "channel_type": "im", "channel": "D1", "ts": "1.4"});
    let aside = json!({"type": "message", "channel_type": "channel", "user": "U1", "text": "x", "channel": "C1", "ts": "1.5"});
    for body in [body, event("Ev2", own), event("Ev3", bot), event("Ev4", changed), event("Ev5", aside)] {
        assert_eq!(deliver(&again, &body, SECRET, 0).await.0, 200, "{body}");
    }
    // A chat of two has no threads, unless it is asked in one.
    let alone = json!({"type": "message", "channel_type": "im", "user": "U1", "text": "/help", "channel": "D1", "ts": "1.6"});
    let mut in_thread = alone.clone();
    in_thread["thread_ts"] = json!("1.0");
    for (id, event_) in [("Ev6", alone), ("Ev7", in_thread)] {
        assert_eq!(deliver(&again, &event(id, event_), SECRET, 0).await.0, 200);
    }
    let said = platform.until(|said| said.len() >= 3).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut places: Vec<&str> = said.iter().map(|one| one.place.as_str()).collect();
    places.sort_unstable();
    assert_eq!((places, platform.said.borrow().len()), (vec!["C1/1.1", "D1/", "D1/1.0"], 3), "{said:?}");
    // What cannot be read is not worth another delivery; a bot that is busy or a forger learns nothing of that.
    let hopeless = send(&again, "no json", SECRET, 0).await;
    assert_eq!((hopeless.status().as_u16(), hopeless.headers()["x-slack-no-retry"].to_str().unwrap()), (400, "1"));
    assert!(!send(&again, "no json", "another", 0).await.headers().contains_key("x-slack-no-retry"));
}

#[tokio::test]
async fn buttons_under_an_answer_are_feedback_and_only_who_pressed_is_told() {
    let platform = Platform::start().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let server = Server::start(Setup { channels: platform.bot(), provider, config: Some(SLOW), ..Setup::default() }).await;
    assert_eq!(deliver(&server, &mention("Ev1", GROUNDED, "1.1"), SECRET, 0).await.0, 200);
    let answer = platform.until(|said| said.values().any(|one| !one.buttons.is_empty())).await.remove(0);
    assert!(answer.texts.last().unwrap().contains("出处"), "the whole answer stands above its buttons: {answer:?}");
    let feedback = async || server.json("/api/v1/feedback", &server.admin).await["feedback"].clone();
    assert_eq!(deliver(&server, &press(&answer, "answer_like", "U1"), "another", 0).await.0, 401);
    assert_eq!(deliver(&server, &press(&answer, "answer_like", "U2"), SECRET, 0).await.0, 200, "it was not U2 who asked");
    platform.until(|said| said.len() == 2).await;
    assert_eq!(feedback().await, json!([]));
    for action in ["answer_like", "answer_dislike", "answer_dislike"] {
        assert_eq!(deliver(&server, &press(&answer, action, "U1"), SECRET, 0).await.0, 200);
    }
    let told = feedback().await;
    let one = (told.as_array().unwrap().len(), &told[0]["rating"], &told[0]["question"]);
    assert_eq!(one, (1, &json!("down"), &json!(GROUNDED)), "the last word counts: {told}");
    let said = platform.until(|said| said.len() == 5).await;
    let told: Vec<(&str, Option<&str>)> = said[1..].iter().map(|one| (one.place.as_str(), one.only.as_deref())).collect();
    assert_eq!(told, [("C1/1.1", Some("U2")), ("C1/1.1", Some("U1")), ("C1/1.1", Some("U1")), ("C1/1.1", Some("U1"))]);
    assert!(said[1].texts[0].contains("Only who asked") && said[2].texts[0].contains("Thank you"), "{said:?}");
}

#[tokio::test]
async fn whoever_is_in_the_group_on_duty_replies_in_any_thread_of_it() {
    let platform = Platform::start().await;
    let mut channels = platform.bot();
    channels.slack.get_mut("shop").unwrap().duty_group = Some("C9".into());
    let server = Server::start(Setup { channels, ..Setup::default() }).await;
    assert_eq!(deliver(&server, &mention("Ev1", "/human my shop is closed", "1.1"), SECRET, 0).await.0, 200);
    let says = |word: &'static str| move |said: &BTreeMap<usize, Said>| said.values().any(|one| one.texts.last().unwrap().contains(word));
    let said = platform.until(says("/answer ")).await;
    let alert = said.iter().find(|one| one.place.starts_with("C9/")).unwrap().texts.last().unwrap().clone();
    assert!(alert.contains("my shop is closed"), "{alert}");
    let code = alert.split("/answer ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let reply = |id: &str, channel: &str| {
        let event = json!({"type": "app_mention", "user": "U5", "text": format!("<@U0> /answer {code} it opens again on Monday"), "channel": channel, "ts": "2.1"});
        json!({"type": "event_callback", "event_id": id, "authorizations": [{"user_id": "U0"}], "event": event}).to_string()
    };
    assert_eq!(deliver(&server, &reply("Ev2", "C2"), SECRET, 0).await.0, 200);
    platform.until(says("on duty can use")).await;
    assert_eq!(deliver(&server, &reply("Ev3", "C9"), SECRET, 0).await.0, 200);
    let said = platform.until(says("opens again on Monday")).await;
    assert!(said.iter().any(|one| one.place == "C1/1.1" && one.texts.last().unwrap().contains("Monday")), "{said:?}");
}
