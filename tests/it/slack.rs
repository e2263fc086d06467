//! Slack bots against a platform that speaks its wire: who is let in, that every event is answered once, and what
//! the thread sees.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
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
use super::process::{Serving, Shop};
use super::server::{PATIENCE, SMALL, Server, Setup};

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
    metadata: Value,
}

/// What the platform says to the next call of a method instead of its own.
struct Fault {
    method: &'static str,
    status: u16,
    body: Value,
    /// It does what was asked all the same.
    late: bool,
    delay: Duration,
}

#[derive(Default)]
struct Platform {
    said: watch::Sender<BTreeMap<usize, Said>>,
    address: OnceLock<String>,
    faults: Mutex<VecDeque<Fault>>,
    /// The token is no good.
    revoked: AtomicBool,
    /// Methods of calls, in their order.
    calls: Mutex<Vec<String>>,
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

    fn table(&self) -> String {
        let base = self.address.get().unwrap();
        format!("bot_token = \"xoxb-1\"\nsigning_secret = \"{SECRET}\"\napi_base = \"{base}\"\ncalls_per_second = 20\n")
    }

    fn bot(&self) -> ChannelsConfig {
        toml::from_str(&format!("[slack.shop]\n{}", self.table())).unwrap()
    }

    fn on_duty(&self, group: &str) -> ChannelsConfig {
        let mut channels = self.bot();
        channels.slack.get_mut("shop").unwrap().duty_group = Some(group.into());
        channels
    }

    fn fail(&self, method: &'static str, status: u16, body: Value) {
        self.faults.lock().unwrap().push_back(Fault { method, status, body, late: false, delay: Duration::ZERO });
    }

    fn calls(&self, method: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|called| *called == method).count()
    }

    async fn until(&self, enough: impl Fn(&BTreeMap<usize, Said>) -> bool) -> Vec<Said> {
        let mut said = self.said.subscribe();
        let found = timeout(PATIENCE, said.wait_for(|said| enough(said))).await.unwrap_or_else(|_| panic!("{:?}", self.said.borrow()));
        found.unwrap().values().cloned().collect()
    }
}

async fn called(State(platform): State<Arc<Platform>>, Path(method): Path<String>, headers: HeaderMap, sent: Bytes) -> Response {
    assert_eq!(headers["authorization"], "Bearer xoxb-1");
    platform.calls.lock().unwrap().push(method.clone());
    if platform.revoked.load(Ordering::SeqCst) {
        return Json(json!({"ok": false, "error": "token_revoked"})).into_response();
    }
    let fault = {
        let mut faults = platform.faults.lock().unwrap();
        let at = faults.iter().position(|fault| fault.method == method);
        at.and_then(|at| faults.remove(at))
    };
    if fault.as_ref().is_none_or(|fault| fault.late) {
        let answer = platform.does(&method, &headers, &sent);
        let Some(fault) = fault else { return answer };
        tokio::time::sleep(fault.delay).await;
        return (StatusCode::from_u16(fault.status).unwrap(), Json(fault.body)).into_response();
    }
    let fault = fault.unwrap();
    (StatusCode::from_u16(fault.status).unwrap(), [("retry-after", "1")], Json(fault.body)).into_response()
}

impl Platform {
    /// Does what is asked.
    fn does(&self, method: &str, headers: &HeaderMap, sent: &[u8]) -> Response {
        match method {
            "conversations.replies" | "conversations.history" => self.list(headers, sent),
            _ => self.say(method, &serde_json::from_slice(sent).unwrap()),
        }
    }

    /// What stands in a thread; what only reads takes no JSON.
    fn list(&self, headers: &HeaderMap, sent: &[u8]) -> Response {
        assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(sent).into_owned().collect();
        let (from, to): (i64, i64) = (form["oldest"].parse().unwrap(), form["latest"].parse().unwrap());
        assert!((from..to).contains(&(Clock::system().now().0 / 1000)) && form["include_all_metadata"] == "true", "{form:?}");
        let place = format!("{}/{}", form["channel"], form.get("ts").map(String::as_str).unwrap_or_default());
        let said = self.said.borrow().clone();
        let there = said.iter().filter(|(_, one)| one.place == place);
        let messages: Vec<Value> = there.map(|(n, one)| json!({"ts": format!("9.{n}"), "metadata": one.metadata})).collect();
        Json(json!({"ok": true, "messages": messages})).into_response()
    }

    fn say(&self, method: &str, body: &Value) -> Response {
        let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
        assert!(blocks.is_empty() || body["markdown_text"].is_null(), "the platform takes one or the other: {body}");
        let text = [&body["markdown_text"], &blocks.first().unwrap_or(body)["text"]].into_iter().find_map(Value::as_str);
        let text = text.filter(|text| !text.is_empty()).unwrap().to_owned();
        let buttons = blocks.get(1).and_then(|actions| actions["elements"].as_array().cloned()).unwrap_or_default();
        let mut ts = String::new();
        let metadata = body["metadata"].clone();
        self.said.send_modify(|said| match method {
            "chat.postMessage" => {
                ts = format!("9.{}", said.len());
                said.insert(said.len(), Said { place: place(body), texts: vec![text], buttons, only: None, metadata });
            }
            "chat.postEphemeral" => {
                let only = body["user"].as_str().map(str::to_owned);
                said.insert(said.len(), Said { place: place(body), texts: vec![text], buttons, only, metadata });
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
    send_to(server.request(reqwest::Method::POST, "/webhooks/slack/shop"), body, secret, age).await
}

async fn send_to(request: reqwest::RequestBuilder, body: &str, secret: &str, age: i64) -> reqwest::Response {
    let timestamp = (Clock::system().now().0 / 1000 - age).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = request.header("x-slack-request-timestamp", timestamp);
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

fn says(word: &'static str) -> impl Fn(&BTreeMap<usize, Said>) -> bool {
    move |said| said.values().any(|one| one.texts.last().unwrap().contains(word))
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
    for _ in 0..2 {
        platform.fail("chat.postMessage", 429, json!({"ok": false, "error": "ratelimited"}));
    }
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
    let server = Server::start(Setup { channels: platform.on_duty("C9"), ..Setup::default() }).await;
    assert_eq!(deliver(&server, &mention("Ev1", "/human my shop is closed", "1.1"), SECRET, 0).await.0, 200);
    let said = platform.until(says("/answer ")).await;
    let alert = said.iter().find(|one| one.place.starts_with("C9/")).unwrap().texts.last().unwrap().clone();
    assert!(alert.contains("my shop is closed"), "{alert}");
    let code = alert.split("/answer ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let reply = |id: &str, channel: &str| {
        let event = json!({"type": "app_mention", "user": "U5", "text": format!("<@U0> /answer {code} it opens again on Monday"), "channel": channel, "ts": "2.1"});
        json!({"type": "event_callback", "event_id": id, "authorizations": [{"user_id": "U0"}], "event": event}).to_string()
    };
    assert_eq!(deliver(&server, &reply("Ev2", "C2"), SECRET, 0).await.0, 200);
    platform.until(says("Only the colleague on duty")).await;
    assert_eq!(deliver(&server, &reply("Ev3", "C9"), SECRET, 0).await.0, 200);
    let said = platform.until(says("opens again on Monday")).await;
    assert!(said.iter().any(|one| one.place == "C1/1.1" && one.texts.last().unwrap().contains("Monday")), "{said:?}");
}

#[tokio::test]
async fn what_is_asked_in_new_threads_is_one_askers_talk_with_whoever_is_on_duty() {
    let platform = Platform::start().await;
    let server = Server::start(Setup { channels: platform.on_duty("C9"), ..Setup::default() }).await;
    let alerts = || platform.said.borrow().values().filter(|one| one.place.starts_with("C9/")).cloned().collect::<Vec<_>>();
    let answered = async |id: &str, text: &str, ts: &'static str| {
        assert_eq!(deliver(&server, &mention(id, text, ts), SECRET, 0).await.0, 200);
        let there = move |said: &BTreeMap<usize, Said>| {
            said.values().any(|one| one.place == format!("C1/{ts}") && !one.texts.last().unwrap().ends_with('…'))
        };
        platform.until(there).await;
    };
    // Two misses, each a message of its own.
    answered("Ev1", "How do I boil an egg with a quantum computer?", "1.1").await;
    assert!(alerts().is_empty());
    answered("Ev2", "How do I boil two eggs with a quantum computer?", "1.2").await;
    platform.until(says("/answer ")).await;
    assert!(alerts()[0].texts[0].contains("two eggs"), "{:?}", alerts());
    // `/human` by itself, also in a new thread, is about what was asked last; `<!channel>` calls nobody.
    answered("Ev3", "How do &lt;!channel&gt; boil three eggs with a quantum computer?", "1.3").await;
    answered("Ev4", "/human", "1.4").await;
    platform.until(|said| said.values().filter(|one| one.place.starts_with("C9/")).count() == 2).await;
    let alert = alerts()[1].texts[0].clone();
    assert!(alert.contains("three eggs") && alert.contains("＜!channel＞") && !alert.contains("<!channel>"), "{alert}");
    let code = alert.split("/answer ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let reply =
        json!({"type": "app_mention", "user": "U5", "text": format!("<@U0> /answer {code} On Monday"), "channel": "C9", "ts": "2.1"});
    let reply = json!({"type": "event_callback", "event_id": "Ev5", "authorizations": [{"user_id": "U0"}], "event": reply}).to_string();
    assert_eq!(deliver(&server, &reply, SECRET, 0).await.0, 200);
    platform.until(says("kept with the conversation")).await;
    let said = platform.until(says("On Monday")).await;
    assert!(said.iter().any(|one| one.place == "C1/1.4" && one.texts[0].contains("On Monday")), "{said:?}");
    // Every thread is a talk of its own all the same, and in the language that was spoken last.
    let all = server.json("/api/v1/conversations", &server.admin).await["conversations"].as_array().unwrap().len();
    assert_eq!(all, 3);
    answered("Ev6", "/help", "1.6").await;
    platform.until(says("Just ask")).await;
}

#[tokio::test]
async fn a_message_whose_id_never_arrived_is_found_and_ended() {
    let platform = Platform::start().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let server = Server::start(Setup { channels: platform.bot(), provider, config: Some(SLOW), ..Setup::default() }).await;
    let late = Fault { method: "chat.postMessage", status: 504, body: json!({}), late: true, delay: Duration::ZERO };
    platform.faults.lock().unwrap().push_back(late);
    assert_eq!(deliver(&server, &mention("Ev1", GROUNDED, "1.1"), SECRET, 0).await.0, 200);
    let said = platform.until(|said| says("出处")(said) && says("答案见后面")(said)).await;
    assert_eq!((said.len(), said[0].texts.as_slice().first().unwrap().as_str()), (2, "…"), "{said:?}");
    assert!(said[0].texts.last().unwrap().contains("答案见后面"), "{said:?}");
}

/// The platform has shown the card, and we are gone before we hear its id.
#[tokio::test]
async fn a_kill_before_the_id_of_a_card_is_heard_leaves_no_card_hanging() {
    let platform = Platform::start().await;
    let provider = FakeProvider::start();
    let shop = Shop::new();
    let model = provider.config().base_url;
    let config = format!(
        "[models]\ndefault = \"slow-1\"\n[models.providers.fake]\nbase_url = \"{model}\"\napi_key = \"sk-fake-secret\"\n\
         [[models.providers.fake.models]]\nid = \"slow-1\"\n[channels.slack.shop]\n{}",
        platform.table()
    );
    let config = shop.file("bots.toml", config);
    shop.import(&shop.file("small.csv", SMALL)).done();
    let environment = [("COPILOT_CONFIG", config.to_str().unwrap())];
    let mut serving = Serving::start_with(&shop.data, &environment);
    serving.ready().await;
    let late = Fault { method: "chat.postMessage", status: 200, body: json!({}), late: true, delay: Duration::from_secs(30) };
    platform.faults.lock().unwrap().push_back(late);
    let address = format!("{}/webhooks/slack/shop", serving.url);
    let answer = send_to(reqwest::Client::new().post(&address), &mention("Ev1", GROUNDED, "1.1"), SECRET, 0).await;
    assert_eq!(answer.status(), 200);
    platform.until(|said| said.len() == 1).await;
    serving.kill();
    let again = Serving::start_with(&shop.data, &environment);
    again.ready().await;
    let said = platform.until(says("出处")).await;
    assert_eq!((said.len(), said[0].texts[0].as_str()), (1, "…"), "the same card was gone on with: {said:?}");
    assert_eq!(platform.calls("conversations.replies"), 1);
}

#[tokio::test]
async fn what_the_platform_refuses_is_said_once_or_lost_loudly() {
    let platform = Platform::start().await;
    let server = Server::start(Setup { channels: platform.bot(), ..Setup::default() }).await;
    let state = async || server.json("/api/v1/bots", &server.admin).await["bots"][0].clone();
    let busy = json!({"ok": false, "error": "ratelimited"});
    // Each of these certainly said nothing: it is said again, and once.
    for (n, (status, body)) in
        [(429, busy.clone()), (200, busy), (500, json!({})), (503, json!({"ok": false, "error": "service_unavailable"}))]
            .into_iter()
            .enumerate()
    {
        platform.fail("chat.postMessage", status, body);
        assert_eq!(deliver(&server, &mention(&format!("Ev{n}"), "/help", &format!("1.{n}")), SECRET, 0).await.0, 200);
        platform.until(|said| said.len() == n + 1).await;
        assert_eq!(platform.calls("chat.postMessage"), 2 * (n + 1));
    }
    // These say no, or nobody knows: not said again, and shown to whoever looks after the bot.
    let refused = |error: &str| json!({"ok": false, "error": error});
    for (n, (status, body, code)) in [
        (403, json!({}), "platform_forbidden"),
        (200, refused("not_in_channel"), "platform_forbidden"),
        (200, refused("channel_not_found"), "platform_refused"),
        (200, refused("fatal_error"), "platform_timeout"),
        (200, json!("x".repeat(2 << 20)), "platform_answer_too_large"),
    ]
    .into_iter()
    .enumerate()
    {
        platform.fail("chat.postMessage", status, body);
        assert_eq!(deliver(&server, &mention(&format!("Lost{n}"), "/help", &format!("2.{n}")), SECRET, 0).await.0, 200);
        let began = std::time::Instant::now();
        while state().await["last_error"]["code"] != code {
            assert!(began.elapsed() < PATIENCE, "{code}: {}", state().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((platform.calls("chat.postMessage"), platform.said.borrow().len()), (13, 4));
}

#[tokio::test]
async fn a_token_revoked_in_mid_answer_ends_the_card_once_it_is_good_again() {
    let platform = Platform::start().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let server = Server::start(Setup { channels: platform.bot(), provider, config: Some(SLOW), ..Setup::default() }).await;
    assert_eq!(deliver(&server, &mention("Ev1", GROUNDED, "1.1"), SECRET, 0).await.0, 200);
    platform.until(|said| said.values().any(|one| one.texts.len() > 1)).await;
    platform.revoked.store(true, Ordering::SeqCst);
    let began = std::time::Instant::now();
    // Its end is refused, and so is the message that takes its place: given up.
    let posted = platform.calls("chat.postMessage");
    while platform.calls("chat.postMessage") == posted {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let state = server.json("/api/v1/bots", &server.admin).await["bots"][0].clone();
    assert_eq!((&state["state"], &state["last_error"]["code"]), (&json!("failing"), &json!("platform_unauthorized")), "{state}");
    platform.revoked.store(false, Ordering::SeqCst);
    let said = platform.until(says("再问一次")).await;
    assert_eq!(said.len(), 1, "nothing is said twice: {said:?}");
}

#[tokio::test]
async fn two_nodes_that_hear_the_same_event_answer_it_once() {
    let Some(url) = super::postgres_database("two_slack").await else { return };
    let platform = Platform::start().await;
    let provider = Arc::new(FakeProvider::start());
    let node = async || {
        let provider = Some(Arc::clone(&provider));
        Server::on_postgres(&url, Setup { channels: platform.bot(), provider, config: Some(SLOW), ..Setup::default() }).await
    };
    let mut nodes = [node().await, node().await];
    let texts = ["普通店保证金要交多少？", "/help", GROUNDED];
    let events: Vec<String> = (0..9).map(|n| mention(&format!("Ev{n}"), texts[n % 3], &format!("1.{n}"))).collect();
    let heard =
        join_all(events.iter().flat_map(|event| nodes.iter().cycle().take(4).map(move |node| deliver(node, event, SECRET, 0)))).await;
    assert!(heard.iter().all(|answer| answer.0 == 200), "{heard:?}");
    let whole = |one: &Said| ["出处", "/human"].iter().any(|word| one.texts.last().unwrap().contains(word));
    platform.until(|said| said.len() >= 9 && said.values().all(whole)).await;
    nodes[0].stop();
    for event in &events {
        assert_eq!(deliver(&nodes[1], event, SECRET, 0).await.0, 200);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut places: Vec<String> = platform.said.borrow().values().map(|one| one.place.clone()).collect();
    places.sort_unstable();
    assert_eq!(places, (0..9).map(|n| format!("C1/1.{n}")).collect::<Vec<_>>(), "one answer each");
}
