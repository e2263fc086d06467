//! Feishu bots against a platform that speaks its wire: who is let in, that every message is answered exactly
//! once whatever the platform does, and what the chat sees.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use merchant_copilot::config::ChannelsConfig;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;

use super::server::{PATIENCE, Server, Setup};

/// As in the platform's own example.
const KEY: &str = "test-encrypt-key";
const DIRECT: &str = "普通店保证金要交多少？";
const UNKNOWN: &str = "怎么用量子计算机煮鸡蛋？";

/// What the chats show, and how the platform misbehaves.
#[derive(Default)]
struct Platform {
    shown: watch::Sender<Vec<Shown>>,
    uuids: Mutex<HashMap<String, usize>>,
    tokens: Mutex<(usize, usize)>,
    /// Answers to the next messages instead of its own; one that is `late` shows the message all the same.
    faults: Mutex<VecDeque<Fault>>,
    address: std::sync::OnceLock<String>,
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
            .with_state(Arc::clone(&platform));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        platform.address.set(format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        platform
    }

    fn bot(&self, more: &str) -> ChannelsConfig {
        let base = self.address.get().unwrap();
        let bot = format!("app_id = \"cli_1\"\napp_secret = \"app-secret\"\nverification_token = \"tok\"\napi_base = \"{base}\"\n{more}\n");
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

    fn take(&self, headers: &HeaderMap, to: String, body: &Value) -> Response {
        let (last, good_from) = *self.tokens.lock().unwrap();
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer t-").unwrap().parse::<usize>().unwrap();
        if token > last || token < good_from {
            return (StatusCode::BAD_REQUEST, Json(json!({"code": 99_991_663, "msg": "Invalid access token"}))).into_response();
        }
        let fault = self.faults.lock().unwrap().pop_front();
        if fault.as_ref().is_none_or(|fault| fault.late) {
            let uuid = body["uuid"].as_str().unwrap().to_owned();
            let mut uuids = self.uuids.lock().unwrap();
            *uuids.entry(uuid.clone()).or_default() += 1;
            if uuids[&uuid] == 1 {
                assert_eq!(body["msg_type"], "interactive");
                let card: Value = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
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

async fn token(State(platform): State<Arc<Platform>>, Json(body): Json<Value>) -> Json<Value> {
    if body != json!({"app_id": "cli_1", "app_secret": "app-secret"}) {
        return Json(json!({"code": 10014, "msg": "app secret invalid"}));
    }
    let mut tokens = platform.tokens.lock().unwrap();
    tokens.0 += 1;
    Json(json!({"code": 0, "tenant_access_token": format!("t-{}", tokens.0), "expire": 7200}))
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

/// A message of somebody, as the platform would deliver it before it encrypts it.
fn message(id: &str, group: bool, text: &str) -> Value {
    let mentions = json!([{"key": "@_user_1", "id": {"open_id": "ou_bot"}, "name": "助手", "mentioned_type": "bot"}]);
    let text = if group { format!("@_user_1 {text}") } else { text.to_owned() };
    json!({
        "schema": "2.0",
        "header": {"event_id": format!("e-{}", rand::random::<u64>()), "token": "tok", "event_type": "im.message.receive_v1", "app_id": "cli_1"},
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
    for (body, signature, status) in [
        (genuine.clone(), String::new(), 401),
        (genuine.clone(), signature(&plain), 401),
        (genuine.replace("\"}", " \"}"), right.clone(), 401),
        (plain.clone(), signature(&plain), 401),
        (stranger.clone(), signature(&stranger), 401),
        ("no json".to_owned(), signature("no json"), 400),
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
    let other = json!({"header": {"token": "tok", "event_type": "im.chat.updated_v1"}, "event": {}});
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
