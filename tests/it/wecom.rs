//! WeCom bots against a platform that speaks its wire: who is let in, that every message has one answer which
//! grows until it is finished, and what happens to one that comes late.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use merchant_copilot::config::{ChannelsConfig, Config};
use merchant_copilot::ids::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tokio::sync::watch;
use tokio::time::timeout;

use super::fake_provider::FakeProvider;
use super::server::{PATIENCE, Server, Setup};

const TOKEN: &str = "tok";
const KEY: [u8; 32] = *b"a key of thirty-two bytes, sharp";
const DIRECT: &str = "普通店保证金要交多少？";
const GROUNDED: &str = "跨境包裹的面单在哪里打印";
const UNKNOWN: &str = "怎么用量子计算机煮鸡蛋？";
const SLOW: fn(&mut Config) = |config| config.models.default = "slow-1".into();

/// The addresses that are written to.
#[derive(Default)]
struct Platform {
    shown: watch::Sender<Vec<(String, String)>>,
    address: OnceLock<String>,
}

impl Platform {
    async fn start() -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let platform = Arc::new(Self::default());
        let router = Router::new().route("/{place}", post(write)).with_state(Arc::clone(&platform));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        platform.address.set(format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        platform
    }

    fn at(&self, place: &str) -> String {
        format!("{}/{place}", self.address.get().unwrap())
    }

    fn bot(&self) -> ChannelsConfig {
        let (key, duty) = (STANDARD.encode(KEY), self.at("duty"));
        let bot = format!(
            "token = \"{TOKEN}\"\nencoding_aes_key = \"{}\"\nname = \"助手\"\nduty_webhook = \"{duty}\"\nduty_user = \"boss\"\nresponse_hosts = [\"127.0.0.1\"]",
            key.trim_end_matches('=')
        );
        toml::from_str(&format!("[wecom.shop]\n{bot}\n")).unwrap()
    }

    async fn server(&self) -> Server {
        Server::start(Setup { channels: self.bot(), ..Setup::default() }).await
    }

    async fn until(&self, count: usize) -> Vec<(String, String)> {
        let mut shown = self.shown.subscribe();
        let all = timeout(PATIENCE, shown.wait_for(|shown| shown.len() >= count)).await.unwrap().unwrap();
        all.clone()
    }
}

async fn write(State(platform): State<Arc<Platform>>, Path(place): Path<String>, Json(body): Json<Value>) -> Json<Value> {
    let text = body["markdown"]["content"].as_str().unwrap().to_owned();
    platform.shown.send_modify(|shown| shown.push((place, text)));
    Json(json!({"errcode": 0, "errmsg": "ok"}))
}

fn sealed(plain: &str) -> String {
    let mut body = [&[7_u8; 16][..], &u32::try_from(plain.len()).unwrap().to_be_bytes(), plain.as_bytes()].concat();
    let padding = 32 - body.len() % 32;
    body.resize(body.len() + padding, u8::try_from(padding).unwrap());
    let filled = body.len();
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(&KEY, &KEY[..16]).unwrap();
    STANDARD.encode(cipher.encrypt_padded::<NoPadding>(&mut body, filled).unwrap())
}

fn opened(sealed: &str) -> Value {
    let mut body = STANDARD.decode(sealed).unwrap();
    let cipher = cbc::Decryptor::<aes::Aes256>::new_from_slices(&KEY, &KEY[..16]).unwrap();
    let plain = cipher.decrypt_padded::<NoPadding>(&mut body).unwrap();
    let length = u32::from_be_bytes(plain[16..20].try_into().unwrap()) as usize;
    serde_json::from_slice(&plain[20..20 + length]).unwrap()
}

fn signature(timestamp: &str, nonce: &str, sealed: &str) -> String {
    let mut parts = [TOKEN, timestamp, nonce, sealed];
    parts.sort_unstable();
    Sha1::digest(parts.concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> String {
    (Clock::system().now().0 / 1000).to_string()
}

fn address(bot: &str, query: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("/webhooks/wecom/{bot}?{query}")
}

async fn deliver(server: &Server, body: String, timestamp: &str, signature: &str) -> (u16, String) {
    let query = [("msg_signature", signature), ("timestamp", timestamp), ("nonce", "n1")];
    let answer = server.request(Method::POST, &address("shop", &query)).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Sends something genuine; what is said back, if anything.
async fn tell(server: &Server, plain: &Value) -> Option<Value> {
    let (sealed, now) = (sealed(&plain.to_string()), now());
    let (status, text) = deliver(server, json!({"encrypt": sealed}).to_string(), &now, &signature(&now, "n1", &sealed)).await;
    assert_eq!(status, 200, "{text}");
    let outer: Value = (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())?;
    let (sealed, nonce) = (outer["encrypt"].as_str().unwrap(), outer["nonce"].as_str().unwrap());
    assert_eq!(outer["msgsignature"], signature(&outer["timestamp"].as_i64().unwrap().to_string(), nonce, sealed));
    Some(opened(sealed))
}

fn message(id: &str, group: bool, text: &str) -> Value {
    let text = if group { format!("@助手 {text}") } else { text.to_owned() };
    let mut message = json!({
        "msgid": id, "aibotid": "a1", "chattype": if group { "group" } else { "single" }, "from": {"userid": "u1"},
        "msgtype": "text", "text": {"content": text},
    });
    if group {
        message["chatid"] = json!("c1");
    }
    message
}

async fn poll(server: &Server, id: &str) -> Value {
    let asked =
        json!({"msgid": format!("p-{}", rand::random::<u64>()), "from": {"userid": "u1"}, "msgtype": "stream", "stream": {"id": id}});
    tell(server, &asked).await.unwrap()["stream"].clone()
}

/// Asks as the platform does until the answer is finished; all it was told.
async fn all_of(server: &Server, id: &str) -> Vec<String> {
    let mut told = Vec::new();
    let polling = async {
        loop {
            let stream = poll(server, id).await;
            assert_eq!(stream["id"], id);
            assert!(stream["feedback"].is_null(), "only the first reply names the vote");
            told.push(stream["content"].as_str().unwrap().to_owned());
            if stream["finish"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    timeout(PATIENCE, polling).await.unwrap();
    told
}

async fn ask(server: &Server, message: &Value) -> (String, String) {
    let first = tell(server, message).await.unwrap();
    assert_eq!((&first["msgtype"], &first["stream"]["feedback"]["id"]), (&json!("stream"), &first["stream"]["id"]));
    let id = first["stream"]["id"].as_str().unwrap().to_owned();
    let last = all_of(server, &id).await.pop().unwrap();
    (id, last)
}

#[tokio::test]
async fn the_platform_finds_us_and_nobody_else_is_heard() {
    let platform = Platform::start().await;
    let server = platform.server().await;
    let (echo, at) = (sealed("6277854811"), now());
    let asked = async |signature: String, echo: &str, bot: &str| {
        let query = [("msg_signature", signature.as_str()), ("timestamp", &at), ("nonce", "n1"), ("echostr", echo)];
        server.get(&address(bot, &query)).send().await.unwrap()
    };
    let found = asked(signature(&at, "n1", &echo), &echo, "shop").await;
    assert_eq!((found.status().as_u16(), found.text().await.unwrap()), (200, "6277854811".into()));
    assert_eq!(asked(signature(&at, "n2", &echo), &echo, "shop").await.status(), 401);
    assert_eq!(asked(signature(&at, "n1", &echo), &echo, "none").await.status(), 404);
    assert_eq!(server.get("/webhooks/wecom/shop").send().await.unwrap().status(), 401);

    let genuine = sealed(&message("m1", true, DIRECT).to_string());
    let body = json!({"encrypt": genuine}).to_string();
    let old = (Clock::system().now().0 / 1000 - 3_600).to_string();
    let nonsense = sealed("no json");
    for (body, timestamp, signature, status) in [
        (body.clone(), at.clone(), String::new(), 401),
        (body.clone(), at.clone(), signature(&at, "n2", &genuine), 401),
        (body.clone(), old.clone(), signature(&old, "n1", &genuine), 401),
        (body.clone(), "now".into(), signature("now", "n1", &genuine), 401),
        (json!({"encrypt": "AAAA"}).to_string(), at.clone(), signature(&at, "n1", "AAAA"), 401),
        (json!({"encrypt": nonsense}).to_string(), at.clone(), signature(&at, "n1", &nonsense), 400),
        (message("m1", true, DIRECT).to_string(), at.clone(), signature(&at, "n1", ""), 400),
        ("no json".into(), at.clone(), String::new(), 400),
        ("x".repeat(1 << 18), at.clone(), String::new(), 413),
    ] {
        let (got, answer) = deliver(&server, body, &timestamp, &signature).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(got == status && answer["error"]["code"].is_string(), "{got} {answer}");
    }
    let conversations = server.json("/api/v1/conversations", &server.admin).await;
    assert_eq!(conversations["conversations"], json!([]), "nothing of it was answered");
    assert!(ask(&server, &message("m1", true, DIRECT)).await.1.contains("10,000"));
}

#[tokio::test]
async fn an_answer_grows_until_it_is_finished_and_is_one_however_often_it_is_asked_for() {
    let platform = Platform::start().await;
    let provider = Arc::new(FakeProvider::start());
    let setup = Setup { channels: platform.bot(), provider: Some(Arc::clone(&provider)), config: Some(SLOW), ..Setup::default() };
    let mut server = Server::start(setup).await;
    let asked = message("m1", true, GROUNDED);
    let firsts = join_all((0..10).map(|_| tell(&server, &asked))).await;
    let id = firsts[0].as_ref().unwrap()["stream"]["id"].as_str().unwrap().to_owned();
    assert!(firsts.iter().flatten().all(|first| first["stream"]["id"] == id.as_str()), "{firsts:?}");
    let told = all_of(&server, &id).await;
    let last = told.last().unwrap().clone();
    assert!(told.iter().any(|text| !text.is_empty() && *text != last), "it was seen to grow: {told:?}");
    assert!(last.contains("出处") && last.contains("AI"), "{last}");
    assert!(told.windows(2).all(|pair| pair[1].len() >= pair[0].len()), "{told:?}");
    server.stop();
    let again = Server::start(Setup { data_dir: Some(server.data_dir.clone()), channels: platform.bot(), ..Setup::default() }).await;
    let (same, text) = ask(&again, &asked).await;
    assert_eq!((&same, &text), (&id, &last), "the same message is the same answer");
    let usage = provider.requests("slow-1").len();
    assert_eq!(usage, 1, "one call of the model");
    let unknown = poll(&again, "stream_none").await;
    assert_eq!(unknown["finish"], true, "nobody waits for what there is not: {unknown}");
}

#[tokio::test]
async fn commands_greetings_and_pictures_are_answered_and_two_misses_call_a_person() {
    let platform = Platform::start().await;
    let server = platform.server().await;
    let said = async |id: &str, group: bool, text: &str| ask(&server, &message(id, group, text)).await.1;
    assert!(said("m1", true, "/help").await.contains("/human"));
    assert!(said("m2", false, "/新对话").await.contains("重新开始"));
    assert!(said("m3", true, "/model").await.contains("builtin"));
    assert!(said("m4", true, "").await.contains("/help"));
    let picture = json!({"msgid": "m5", "chattype": "single", "from": {"userid": "u1"}, "msgtype": "image", "image": {"url": "x"}});
    assert!(ask(&server, &picture).await.1.contains("图片"));
    let greeting =
        tell(&server, &json!({"msgtype": "event", "from": {"userid": "u1"}, "event": {"eventtype": "enter_chat"}})).await.unwrap();
    assert!(greeting["msgtype"] == "text" && greeting["text"]["content"].as_str().unwrap().contains("/help"));
    let other = json!({"msgtype": "event", "from": {"userid": "u1"}, "event": {"eventtype": "template_card_event"}});
    assert_eq!(tell(&server, &other).await, None);

    assert!(said("m6", true, UNKNOWN).await.contains("没有找到"));
    assert!(platform.shown.borrow().is_empty());
    assert!(said("m7", true, UNKNOWN).await.contains("连续两次"));
    let (place, note) = platform.until(1).await.remove(0);
    assert!(place == "duty" && note.starts_with("<@boss> ") && note.contains("u1") && note.contains(UNKNOWN), "{note}");
    assert!(said("m8", true, "转人工").await.contains("已经通知"));
    assert_eq!(platform.until(2).await.len(), 2);
}

#[tokio::test]
async fn a_long_note_reaches_whoever_is_on_duty_to_its_end() {
    let platform = Platform::start().await;
    let server = platform.server().await;
    let question = format!("{}怎么用量子计算机煮鸡蛋？", "这一句说的是前因后果。".repeat(300));
    ask(&server, &message("m1", true, &question)).await;
    assert!(ask(&server, &message("m2", true, "转人工")).await.1.contains("已经通知"));
    let notes: Vec<String> = platform.shown.borrow().iter().map(|(_, note)| note.clone()).collect();
    let count = notes.len();
    assert!(count >= 3 && notes.iter().all(|note| note.len() <= 4_096), "{count}");
    assert!(notes.iter().enumerate().all(|(at, note)| note.contains(&format!("({}/{count})", at + 1))), "{notes:?}");
    assert_eq!(notes.concat().matches("这一句说的是前因后果。").count(), 300);
    assert!(notes[0].starts_with("<@boss> ") && notes[count - 1].contains("/回复 "), "its end says how to reply: {notes:?}");
}

#[tokio::test]
async fn a_vote_is_kept_with_the_answer() {
    let platform = Platform::start().await;
    let server = platform.server().await;
    let (id, _) = ask(&server, &message("m1", true, DIRECT)).await;
    let vote = async |who: &str, told: Value| {
        let mut told = json!({"eventtype": "feedback_event", "feedback_event": told});
        told["feedback_event"]["id"] = json!(id);
        assert_eq!(tell(&server, &json!({"msgtype": "event", "from": {"userid": who}, "event": told})).await, None);
        server.json("/api/v1/feedback", &server.admin).await["feedback"].clone()
    };
    assert_eq!(vote("u2", json!({"type": 1})).await, json!([]), "it was not u2 who asked");
    let feedback = vote("u1", json!({"type": 1})).await;
    assert_eq!((&feedback[0]["rating"], &feedback[0]["question"]), (&json!("up"), &json!(DIRECT)));
    let feedback = vote("u1", json!({"type": 2, "content": "金额不对", "inaccurate_reason_list": [3]})).await;
    assert_eq!(
        (&feedback[0]["rating"], &feedback[0]["reasons"], &feedback[0]["comment"]),
        (&json!("down"), &json!(["内容有错误"]), &json!("金额不对"))
    );
    assert_eq!(vote("u1", json!({"type": 3})).await, json!([]));
}

#[tokio::test]
async fn what_a_stop_left_is_answered_by_the_next_start_and_sent_when_nobody_asks_any_more() {
    let platform = Platform::start().await;
    let endless: fn(&mut Config) = |config| {
        config.models.default = "endless-1".into();
        config.chat.drain_ms = 10;
    };
    let setup = || Setup { channels: platform.bot(), provider: Some(Arc::new(FakeProvider::start())), ..Setup::default() };
    let mut server = Server::start(Setup { config: Some(endless), ..setup() }).await;
    let mut ids = Vec::new();
    for (name, url) in [("soon", platform.at("soon")), ("late", platform.at("late")), ("evil", "http://10.0.0.1/evil".to_owned())] {
        let mut asked = message(name, false, GROUNDED);
        asked["response_url"] = json!(url);
        // Each in a chat of its own: a conversation's turns run one after the other.
        asked["from"]["userid"] = json!(name);
        ids.push(tell(&server, &asked).await.unwrap()["stream"]["id"].as_str().unwrap().to_owned());
    }
    server.stop();
    let file = format!("sqlite://{}", server.data_dir.join("copilot.db").display());
    let db = sqlx::SqlitePool::connect(&file).await.unwrap();
    let sql = "update channel_messages set created_ms = created_ms - 400000 where message_id <> 'soon'";
    assert_eq!(sqlx::query(sql).execute(&db).await.unwrap().rows_affected(), 2);
    db.close().await;
    let again = Server::start(Setup { data_dir: Some(server.data_dir.clone()), config: Some(SLOW), ..setup() }).await;
    let soon = all_of(&again, &ids[0]).await.pop().unwrap();
    assert!(soon.contains("出处"), "{soon}");
    let (place, late) = platform.until(1).await.remove(0);
    assert!(place == "late" && late.contains("出处"), "{place} {late}");
    for late in &ids[1..] {
        all_of(&again, late).await;
    }
    assert_eq!(platform.until(1).await.len(), 1, "nothing went elsewhere or twice");
}

#[tokio::test]
async fn two_nodes_that_hear_the_same_message_answer_it_once() {
    let Some(url) = super::postgres_database("two_wecom").await else { return };
    let platform = Platform::start().await;
    let provider = Arc::new(FakeProvider::start());
    let node = async || {
        let provider = Some(Arc::clone(&provider));
        Server::on_postgres(&url, Setup { channels: platform.bot(), provider, config: Some(SLOW), ..Setup::default() }).await
    };
    let nodes = [node().await, node().await];
    for n in 0..4 {
        let asked = message(&format!("m{n}"), false, if n % 2 == 0 { GROUNDED } else { DIRECT });
        let first = join_all(nodes.iter().cycle().take(4).map(|node| tell(node, &asked))).await;
        let ids: Vec<String> = first.into_iter().map(|first| first.unwrap()["stream"]["id"].as_str().unwrap().to_owned()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "every delivery is told the same answer: {ids:?}");
        let told = join_all(nodes.iter().map(|node| all_of(node, &ids[0]))).await;
        assert_eq!(told[0].last(), told[1].last(), "and so is every node");
        assert!(told[0].last().unwrap().contains("出处"), "{told:?}");
    }
    let all = nodes[1].json("/api/v1/conversations", &nodes[1].admin).await["conversations"].clone();
    let path = format!("/api/v1/conversations/{}", all[0]["id"].as_str().unwrap());
    let turns = nodes[0].json(&path, &nodes[0].admin).await["turns"].as_array().unwrap().len();
    assert_eq!((all.as_array().unwrap().len(), turns), (1, 4), "asked once each");
}
