//! Feishu bots against a platform that speaks its wire: who is let in, that every message is answered exactly
//! once whatever the platform does, and what the chat sees.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post, put};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use merchant_copilot::config::{ChannelsConfig, Config};
use merchant_copilot::ids::Clock;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;

use super::fake_provider::FakeProvider;
use super::server::{PATIENCE, Server, Setup};

/// As in the platform's own example.
const KEY: &str = "test-encrypt-key";
const DIRECT: &str = "普通店保证金要交多少？";
const UNKNOWN: &str = "怎么用量子计算机煮鸡蛋？";
/// A row that a model answers from.
const GROUNDED: &str = "跨境包裹的面单在哪里打印";
const CARDS: &str = "cards = true";

/// What the chats show, and how the platform misbehaves.
#[derive(Default)]
struct Platform {
    shown: watch::Sender<Vec<Shown>>,
    uuids: Mutex<HashMap<String, usize>>,
    tokens: Mutex<(usize, usize)>,
    /// Answers to the next messages instead of its own; one that is `late` shows the message all the same.
    faults: Mutex<VecDeque<Fault>>,
    address: std::sync::OnceLock<String>,
    cards: watch::Sender<Vec<Card>>,
    /// Requests, for tokens as well, whatever came of them.
    asked: AtomicUsize,
    /// The code with which the next call of this kind is refused.
    refusals: Mutex<VecDeque<(&'static str, u16, i64)>>,
}

/// A card entity, as strict as the platform's.
#[derive(Clone, Debug)]
struct Card {
    data: Value,
    text: String,
    streaming: bool,
    changes: Vec<(i64, String)>,
    shown: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Shown {
    /// The message that is replied to, or whom it was sent to.
    to: String,
    text: String,
}

struct Fault {
    status: u16,
    body: Value,
    late: bool,
}

impl Platform {
    async fn start() -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let platform = Arc::new(Self::default());
        let router = Router::new()
            .route("/open-apis/auth/v3/tenant_access_token/internal", post(token))
            .route("/open-apis/im/v1/messages/{id}/reply", post(reply))
            .route("/open-apis/im/v1/messages", post(send))
            .route("/open-apis/cardkit/v1/cards", post(create))
            .route("/open-apis/cardkit/v1/cards/{id}/elements/{element}/content", put(stream))
            .route("/open-apis/cardkit/v1/cards/{id}/elements/{element}", put(replace))
            .route("/open-apis/cardkit/v1/cards/{id}/settings", patch(set))
            .layer(from_fn_with_state(Arc::clone(&platform), count))
            .with_state(Arc::clone(&platform));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        platform.address.set(format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        platform
    }

    fn bot(&self, more: &str) -> ChannelsConfig {
        let base = self.address.get().unwrap();
        let bot = format!("app_id = \"cli_1\"\napp_secret = \"app-secret\"\nverification_token = \"tok\"\napi_base = \"{base}\"\n{more}\n");
        let bot = if more.contains("cards =") { bot } else { format!("{bot}cards = false\n") };
        toml::from_str(&format!("[feishu.shop]\n{bot}")).unwrap()
    }

    async fn server(&self, more: &str) -> Server {
        Server::start(Setup { channels: self.bot(&format!("encrypt_key = \"{KEY}\"\n{more}")), ..Setup::default() }).await
    }

    fn fail(&self, status: u16, body: Value, late: bool) {
        self.faults.lock().unwrap().push_back(Fault { status, body, late });
    }

    fn shown(&self) -> Vec<Shown> {
        self.shown.borrow().clone()
    }

    async fn until(&self, count: usize) -> Vec<Shown> {
        let mut shown = self.shown.subscribe();
        let all = timeout(PATIENCE, shown.wait_for(|shown| shown.len() >= count)).await.unwrap().unwrap();
        all.clone()
    }

    fn refuse(&self, call: &'static str, status: u16, code: i64) {
        self.refusals.lock().unwrap().push_back((call, status, code));
    }

    /// How a call that concerns cards is refused, by its token or as planned.
    fn refusal(&self, call: &str, headers: &HeaderMap) -> Option<Response> {
        if !self.is_authorized(headers) {
            return Some(unauthorized());
        }
        let mut refusals = self.refusals.lock().unwrap();
        let at = refusals.iter().position(|(refused, ..)| *refused == call)?;
        let (_, status, code) = refusals.remove(at).unwrap();
        Some(refused(status, code))
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let (last, good_from) = *self.tokens.lock().unwrap();
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer t-").unwrap().parse::<usize>().unwrap();
        token <= last && token >= good_from
    }

    /// Changes a card if the number is larger than those before.
    fn change(
        &self,
        call: &str,
        headers: &HeaderMap,
        id: &str,
        body: &Value,
        change: impl FnOnce(&mut Card) -> Result<(), i64>,
    ) -> Response {
        if let Some(answer) = self.refusal(call, headers) {
            return answer;
        }
        let mut outcome = Err(300_313);
        self.cards.send_modify(|cards| {
            let Some(card) = id.strip_prefix("card-").and_then(|n| cards.get_mut(n.parse::<usize>().unwrap())) else { return };
            let number = body["sequence"].as_i64().unwrap();
            if number < 1 || card.changes.last().is_some_and(|(last, _)| *last >= number) {
                outcome = Err(300_317);
                return;
            }
            card.changes.push((number, call.to_owned()));
            outcome = change(card);
        });
        match outcome {
            Ok(()) => Json(json!({"code": 0, "data": {}})).into_response(),
            Err(code) => refused(400, code),
        }
    }

    async fn until_cards(&self, enough: impl Fn(&[Card]) -> bool) -> Vec<Card> {
        let mut cards = self.cards.subscribe();
        let all = timeout(PATIENCE, cards.wait_for(|cards| enough(cards))).await.unwrap_or_else(|_| panic!("{:?}", self.cards.borrow()));
        all.unwrap().clone()
    }

    fn take(&self, headers: &HeaderMap, to: String, body: &Value) -> Response {
        if !self.is_authorized(headers) {
            return unauthorized();
        }
        let fault = self.faults.lock().unwrap().pop_front();
        if fault.as_ref().is_none_or(|fault| fault.late) {
            let uuid = body["uuid"].as_str().unwrap().to_owned();
            let mut uuids = self.uuids.lock().unwrap();
            *uuids.entry(uuid.clone()).or_default() += 1;
            if uuids[&uuid] == 1 {
                assert_eq!(body["msg_type"], "interactive");
                let card: Value = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
                if let Some(id) = card.pointer("/data/card_id").and_then(Value::as_str) {
                    let n: usize = id.strip_prefix("card-").unwrap().parse().unwrap();
                    self.cards.send_modify(|cards| cards[n].shown.push(to.clone()));
                    return Json(json!({"code": 0, "data": {"message_id": "om_card"}})).into_response();
                }
                let text = card.pointer("/body/elements/0/content").unwrap().as_str().unwrap().to_owned();
                self.shown.send_modify(|shown| shown.push(Shown { to, text }));
            }
        }
        match fault {
            Some(fault) => (StatusCode::from_u16(fault.status).unwrap(), Json(fault.body)).into_response(),
            None => Json(json!({"code": 0, "data": {"message_id": "om_answer"}})).into_response(),
        }
    }
}

async fn count(State(platform): State<Arc<Platform>>, request: Request, next: Next) -> Response {
    platform.asked.fetch_add(1, Ordering::SeqCst);
    next.run(request).await
}

async fn token(State(platform): State<Arc<Platform>>, Json(body): Json<Value>) -> Json<Value> {
    if body != json!({"app_id": "cli_1", "app_secret": "app-secret"}) {
        return Json(json!({"code": 10014, "msg": "app secret invalid"}));
    }
    let mut tokens = platform.tokens.lock().unwrap();
    tokens.0 += 1;
    Json(json!({"code": 0, "tenant_access_token": format!("t-{}", tokens.0), "expire": 7200}))
}

fn unauthorized() -> Response {
    refused(400, 99_991_663)
}

fn refused(status: u16, code: i64) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(json!({"code": code, "msg": "refused"}))).into_response()
}

async fn create(State(platform): State<Arc<Platform>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Some(answer) = platform.refusal("create", &headers) {
        return answer;
    }
    assert_eq!(body["type"], "card_json");
    let data: Value = serde_json::from_str(body["data"].as_str().unwrap()).unwrap();
    let streaming = data.pointer("/config/streaming_mode") == Some(&json!(true));
    let mut id = String::new();
    platform.cards.send_modify(|cards| {
        id = format!("card-{}", cards.len());
        cards.push(Card { data, text: String::new(), streaming, changes: Vec::new(), shown: Vec::new() });
    });
    Json(json!({"code": 0, "data": {"card_id": id}})).into_response()
}

async fn stream(
    State(platform): State<Arc<Platform>>,
    Path((id, element)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    platform.change("content", &headers, &id, &body, |card| {
        assert!(card.data["body"]["elements"].as_array().unwrap().iter().any(|one| one["element_id"] == json!(element)), "{element}");
        if !card.streaming {
            return Err(300_309);
        }
        card.text = body["content"].as_str().filter(|text| !text.is_empty()).ok_or(300_000)?.to_owned();
        Ok(())
    })
}

async fn replace(
    State(platform): State<Arc<Platform>>,
    Path((id, _)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    platform.change("replace", &headers, &id, &body, |card| {
        let element: Value = serde_json::from_str(body["element"].as_str().unwrap()).unwrap();
        assert_eq!((&element["tag"], &element["element_id"]), (&json!("markdown"), &json!("answer")));
        card.text = element["content"].as_str().unwrap().to_owned();
        Ok(())
    })
}

async fn set(State(platform): State<Arc<Platform>>, Path(id): Path<String>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    platform.change("settings", &headers, &id, &body, |card| {
        let settings: Value = serde_json::from_str(body["settings"].as_str().unwrap()).unwrap();
        card.streaming = settings.pointer("/config/streaming_mode").and_then(Value::as_bool).unwrap();
        Ok(())
    })
}

async fn reply(State(platform): State<Arc<Platform>>, Path(id): Path<String>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    platform.take(&headers, id, &body)
}

async fn send(
    State(platform): State<Arc<Platform>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    platform.take(&headers, format!("{}:{}", query["receive_id_type"], body["receive_id"].as_str().unwrap()), &body)
}

fn now() -> i64 {
    Clock::system().now().0
}

/// A message of somebody, as the platform would deliver it before it encrypts it.
fn message(id: &str, group: bool, text: &str) -> Value {
    let mentions = json!([{"key": "@_user_1", "id": {"open_id": "ou_bot"}, "name": "助手", "mentioned_type": "bot"}]);
    let text = if group { format!("@_user_1 {text}") } else { text.to_owned() };
    json!({
        "schema": "2.0",
        "header": {"event_id": format!("e-{}", rand::random::<u64>()), "token": "tok", "create_time": now().to_string(), "event_type": "im.message.receive_v1", "app_id": "cli_1"},
        "event": {
            "sender": {"sender_id": {"open_id": "ou_1"}, "sender_type": "user"},
            "message": {
                "message_id": id, "chat_id": "oc_1", "chat_type": if group { "group" } else { "p2p" }, "message_type": "text",
                "content": json!({"text": text}).to_string(), "mentions": if group { mentions } else { json!([]) },
            },
        },
    })
}

fn encrypted(inner: &Value) -> String {
    let iv = [7_u8; 16];
    let plain = inner.to_string();
    let mut body = vec![0; plain.len() + 16];
    body[..plain.len()].copy_from_slice(plain.as_bytes());
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(&Sha256::digest(KEY), &iv).unwrap();
    let sealed = cipher.encrypt_padded::<Pkcs7>(&mut body, plain.len()).unwrap();
    json!({"encrypt": STANDARD.encode([&iv[..], sealed].concat())}).to_string()
}

fn signature(body: &str) -> String {
    let hash = Sha256::digest(format!("1700000000n1{KEY}{body}"));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn deliver(server: &Server, body: String, signature: &str) -> (u16, Value) {
    let request = server.request(reqwest::Method::POST, "/webhooks/feishu/shop").header("x-lark-signature", signature);
    let request = request.header("x-lark-request-timestamp", "1700000000").header("x-lark-request-nonce", "n1");
    let answer = request.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn say(server: &Server, inner: &Value) {
    let body = encrypted(inner);
    let signature = signature(&body);
    assert_eq!(deliver(server, body, &signature).await, (200, json!({"msg": "success"})));
}

#[tokio::test]
async fn the_platform_finds_us_and_nobody_else_is_heard() {
    let platform = Platform::start().await;
    let server = platform.server("").await;
    let asked = encrypted(&json!({"challenge": "abc", "token": "tok", "type": "url_verification"}));
    assert_eq!(deliver(&server, asked, "").await, (200, json!({"challenge": "abc"})));
    let genuine = encrypted(&message("om_1", true, DIRECT));
    let (right, plain) = (signature(&genuine), message("om_1", true, DIRECT).to_string());
    let mut stranger = message("om_1", true, DIRECT);
    stranger["header"]["token"] = json!("another");
    let stranger = encrypted(&stranger);
    // Caught when it was genuine, and sent again once nobody remembers it.
    let mut old = message("om_1", true, DIRECT);
    old["header"]["create_time"] = json!((now() - 8 * 24 * 3_600_000).to_string());
    let old = encrypted(&old);
    for (body, signature, status) in [
        (genuine.clone(), String::new(), 401),
        (genuine.clone(), signature(&plain), 401),
        (genuine.replace("\"}", " \"}"), right.clone(), 401),
        (plain.clone(), signature(&plain), 401),
        (stranger.clone(), signature(&stranger), 401),
        (old.clone(), signature(&old), 401),
        ("no json".to_owned(), signature("no json"), 400),
        ("x".repeat(1 << 18), String::new(), 413),
    ] {
        let (got, answer) = deliver(&server, body, &signature).await;
        assert!(got == status && answer["error"]["code"].is_string(), "{got} {answer}");
    }
    let nobody = server.request(reqwest::Method::POST, "/webhooks/feishu/none").body(plain).send().await.unwrap();
    assert_eq!(nobody.status(), 404);
    assert_eq!(platform.shown(), [], "nothing of it was answered");
    assert_eq!(deliver(&server, genuine, &right).await.0, 200);
    platform.until(1).await;
}

#[tokio::test]
async fn a_chat_sees_one_answer_with_sources_however_often_the_platform_delivers() {
    let platform = Platform::start().await;
    let mut server = platform.server("").await;
    join_all((0..10).map(|_| async { say(&server, &message("om_1", true, DIRECT)).await })).await;
    let shown = platform.until(1).await;
    let text = &shown[0].text;
    assert!(text.starts_with("<at id=ou_1></at> ") && text.contains("10,000") && text.contains("出处"), "{shown:?}");
    assert_eq!(shown[0].to, "om_1");
    server.stop();
    let channels = platform.bot(&format!("encrypt_key = \"{KEY}\""));
    let again = Server::start(Setup { data_dir: Some(server.data_dir.clone()), channels, ..Setup::default() }).await;
    say(&again, &message("om_1", true, DIRECT)).await;
    say(&again, &message("om_2", false, DIRECT)).await;
    let shown = platform.until(2).await;
    assert_eq!(shown.iter().map(|one| one.to.as_str()).collect::<Vec<_>>(), ["om_1", "om_2"]);
    assert!(!shown[1].text.contains("<at"), "nobody is called in a chat of two: {shown:?}");
    let other = json!({"header": {"token": "tok", "create_time": now().to_string(), "event_type": "im.chat.updated_v1"}, "event": {}});
    say(&again, &other).await;
    let mut unnamed = message("om_3", true, DIRECT);
    unnamed["event"]["message"]["mentions"] = json!([]);
    say(&again, &unnamed).await;
    say(&again, &message("om_4", false, "/help")).await;
    assert_eq!(platform.until(3).await[2].to, "om_4", "what does not mention the bot is not answered");
}

#[tokio::test]
async fn an_answer_is_shown_once_whatever_the_platform_says() {
    let platform = Platform::start().await;
    let server = platform.server("").await;
    say(&server, &message("om_1", false, DIRECT)).await;
    platform.until(1).await;
    // Every token so far is no good any more, the message came too fast, and an answer that says no showed it.
    platform.tokens.lock().unwrap().1 = 2;
    platform.fail(400, json!({"code": 230_020, "msg": "frequency limit"}), false);
    platform.fail(500, json!({"code": 2200, "msg": "internal"}), true);
    say(&server, &message("om_2", false, DIRECT)).await;
    platform.until(2).await;
    say(&server, &message("om_3", false, "/help")).await;
    let shown = platform.until(3).await;
    assert_eq!(shown.iter().filter(|one| one.to == "om_2").count(), 1, "{shown:?}");
    assert_eq!(platform.tokens.lock().unwrap().0, 2, "renewed once");
}

#[tokio::test]
async fn two_misses_or_a_word_call_whoever_is_on_duty() {
    let platform = Platform::start().await;
    let server = platform.server("duty_user = \"ou_boss\"\nduty_group = \"oc_duty\"").await;
    let ask = async |id: &str, text: &str| {
        say(&server, &message(id, true, text)).await;
        let mut shown = platform.shown.subscribe();
        let all = timeout(PATIENCE, shown.wait_for(|shown| shown.iter().any(|one| one.to == id))).await.unwrap().unwrap();
        all.iter().find(|one| one.to == id).unwrap().text.clone()
    };
    let alerts = || platform.shown().into_iter().filter(|one| one.to.contains(':')).collect::<Vec<_>>();
    assert!(ask("om_1", UNKNOWN).await.contains("没有找到"));
    assert_eq!(alerts(), []);
    assert!(ask("om_2", UNKNOWN).await.contains("连续两次"));
    let told = alerts();
    assert_eq!(told.iter().map(|one| one.to.as_str()).collect::<Vec<_>>(), ["chat_id:oc_duty", "open_id:ou_boss"]);
    assert!(told[0].text.contains("<at id=ou_1></at>") && told[0].text.contains(UNKNOWN), "{told:?}");
    assert!(ask("om_3", "转人工").await.contains("已经通知"));
    assert_eq!(alerts().len(), 4);
}

fn slow(config: &mut Config) {
    config.models.default = "slow-1".into();
}

fn ended(count: usize) -> impl Fn(&[Card]) -> bool {
    move |cards| cards.len() >= count && cards.iter().all(|card| !card.streaming && !card.text.is_empty())
}

impl Card {
    /// Every change had a larger number than the one before, and the last one switched the streaming off.
    fn assert_whole(&self) {
        assert!(self.changes.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", self.changes);
        assert_eq!(self.changes.last().unwrap().1, "settings", "{:?}", self.changes);
        assert!(self.text.contains("出处"), "{}", self.text);
    }

    fn button(&self, action: &str) -> Value {
        let columns = self.data["body"]["elements"].as_array().unwrap().iter().find(|one| one["tag"] == "column_set").unwrap();
        let values = columns["columns"].as_array().unwrap().iter().map(|one| one.pointer("/elements/0/behaviors/0/value").unwrap());
        values.into_iter().find(|value| value["action"] == action).unwrap().clone()
    }
}

#[tokio::test]
async fn a_card_fills_up_under_rising_numbers_and_ends_whatever_the_platform_does() {
    let platform = Platform::start().await;
    let provider = Some(Arc::new(FakeProvider::start()));
    let channels = platform.bot(&format!("encrypt_key = \"{KEY}\"\n{CARDS}\ncalls_per_month = 100000"));
    let server = Server::start(Setup { channels, provider, config: Some(slow), ..Setup::default() }).await;
    let mut unnamed = message("om_1", true, GROUNDED);
    unnamed["event"]["message"]["mentions"][0].as_object_mut().unwrap().remove("mentioned_type");
    say(&server, &unnamed).await;
    let card = platform.until_cards(ended(1)).await.remove(0);
    card.assert_whole();
    assert!(card.changes.len() >= 3, "it was seen to grow: {:?}", card.changes);
    assert_eq!(card.shown, ["om_1"]);
    assert!(card.data.to_string().contains("<at id=ou_1></at>"), "{}", card.data);
    // The token was revoked in the middle, updates came too fast, the streaming was over, the end failed twice.
    platform.tokens.lock().unwrap().1 = 2;
    platform.refuse("content", 400, 99_991_400);
    platform.refuse("settings", 500, 2200);
    platform.refuse("settings", 400, 99_991_400);
    say(&server, &message("om_2", false, GROUNDED)).await;
    platform.until_cards(ended(2)).await[1].assert_whole();
    say(&server, &message("om_3", false, GROUNDED)).await;
    platform.until_cards(|cards| cards.len() == 3 && !cards[2].text.is_empty()).await;
    platform.cards.send_modify(|cards| cards[2].streaming = false);
    let over = |cards: &[Card]| cards[2].changes.last().is_some_and(|(_, call)| call == "settings");
    let card = platform.until_cards(over).await.remove(2);
    card.assert_whole();
    assert!(card.changes.iter().any(|(_, call)| call == "replace"), "{:?}", card.changes);
    assert_eq!(platform.shown(), [], "no answer was said beside its card");
    // No permission for cards, and a card that nobody could be shown: one plain reply.
    platform.refuse("create", 403, 99_991_672);
    say(&server, &message("om_4", false, GROUNDED)).await;
    assert!(platform.until(1).await[0].text.contains("出处"));
    platform.fail(400, json!({"code": 230_002}), false);
    say(&server, &message("om_5", false, GROUNDED)).await;
    assert!(platform.until(2).await[1].text.contains("出处"));
    // Tokens, what was refused and what was tried again included: as many turns were taken as calls were made.
    super::dingtalk::all_are_counted(&server, || platform.asked.load(Ordering::SeqCst)).await;
    assert_eq!(platform.shown().iter().map(|one| one.to.as_str()).collect::<Vec<_>>(), ["om_4", "om_5"]);
}

#[tokio::test]
async fn a_card_left_hanging_is_ended_by_the_next_start_and_its_buttons_rate_it() {
    let platform = Platform::start().await;
    let endless: fn(&mut Config) = |config| {
        config.models.default = "endless-1".into();
        config.chat.drain_ms = 10;
    };
    let channels = || platform.bot(&format!("encrypt_key = \"{KEY}\"\n{CARDS}"));
    let provider = Some(Arc::new(FakeProvider::start()));
    let mut server = Server::start(Setup { channels: channels(), provider, config: Some(endless), ..Setup::default() }).await;
    say(&server, &message("om_1", true, GROUNDED)).await;
    platform.until_cards(|cards| cards.iter().any(|card| !card.text.is_empty())).await;
    server.stop();
    assert!(platform.cards.borrow()[0].streaming, "it hangs");
    let again = Server::start(Setup { data_dir: Some(server.data_dir.clone()), channels: channels(), ..Setup::default() }).await;
    let cards = platform.until_cards(ended(1)).await;
    cards[0].assert_whole();
    assert_eq!((cards.len(), cards[0].shown.as_slice()), (1, ["om_1".to_owned()].as_slice()), "the same card, shown once");
    let press = async |who: &str, action: &str| {
        let event = json!({
            "schema": "2.0", "header": {"event_id": "e1", "token": "tok", "create_time": (now() * 1000).to_string(), "event_type": "card.action.trigger", "app_id": "cli_1"},
            "event": {"operator": {"open_id": who}, "token": "c-1", "action": {"tag": "button", "value": cards[0].button(action)}},
        });
        let body = encrypted(&event);
        let signature = signature(&body);
        let (status, answer) = deliver(&again, body, &signature).await;
        assert_eq!(status, 200);
        answer["toast"]["type"].as_str().unwrap().to_owned()
    };
    assert_eq!(press("ou_2", "like").await, "info", "it was not ou_2 who asked");
    assert_eq!(press("ou_1", "dislike").await, "success");
    let feedback = again.json("/api/v1/feedback", &again.admin).await["feedback"].clone();
    assert_eq!(
        (feedback.as_array().unwrap().len(), &feedback[0]["rating"], &feedback[0]["question"]),
        (1, &json!("down"), &json!(GROUNDED))
    );
    assert_eq!(platform.shown(), []);
}

#[tokio::test]
async fn two_nodes_that_hear_the_same_message_answer_it_once() {
    let Some(url) = super::postgres_database("two_feishu").await else { return };
    let platform = Platform::start().await;
    let provider = Arc::new(FakeProvider::start());
    let node = async || {
        let slow: fn(&mut Config) = |config| config.models.default = "slow-1".into();
        let channels = platform.bot(&format!("encrypt_key = \"{KEY}\"\n{CARDS}"));
        Server::on_postgres(&url, Setup { channels, provider: Some(Arc::clone(&provider)), config: Some(slow), ..Setup::default() }).await
    };
    let mut nodes = [node().await, node().await];
    let texts = [DIRECT, "/help", GROUNDED];
    let messages: Vec<Value> = (0..9).map(|n| message(&format!("om_{n}"), false, texts[n % 3])).collect();
    join_all(messages.iter().flat_map(|message| nodes.iter().cycle().take(4).map(move |node| say(node, message)))).await;
    let answered = |shown: usize, cards: &[Card]| shown + cards.iter().filter(|card| !card.streaming && !card.text.is_empty()).count();
    let mut cards = platform.cards.subscribe();
    let all = cards.wait_for(|cards| answered(platform.shown().len(), cards) >= messages.len());
    drop(timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{:?}", platform.cards.borrow())).unwrap());
    nodes[0].stop();
    join_all(messages.iter().map(|message| say(&nodes[1], message))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let cards = platform.cards.borrow().clone();
    let mut places: Vec<String> =
        platform.shown().into_iter().map(|one| one.to).chain(cards.iter().flat_map(|card| card.shown.clone())).collect();
    places.sort_unstable();
    assert_eq!(places, (0..9).map(|n| format!("om_{n}")).collect::<Vec<_>>(), "one answer each");
    assert!(!cards.is_empty() && cards.iter().all(|card| !card.streaming), "{cards:?}");
}
