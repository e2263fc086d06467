//! Webhooks out against a receiver of our own: what is told and how it is signed, that a refusal, a silence
//! and a restart lose nothing and change no id, and that a shop hears only of itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use merchant_copilot::config::{Config, NoticeConfig, Secret, WebhookConfig};
use merchant_copilot::db::Db;
use merchant_copilot::events::store::{Outbox, Tried, Wanted, forget, record};
use merchant_copilot::events::{Event, Kind};
use merchant_copilot::http::local_dingtalk::LocalDingTalk;
use merchant_copilot::ids::{Clock, ConversationId, TenantId, Timestamp};
use merchant_copilot::on;
use merchant_copilot::tenants::Role;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use super::server::{PATIENCE, Server, Setup, issue};

const KEY: [u8; 24] = *b"twenty-four random bytes";
const DIRECT: &str = "普通店保证金要交多少？";
const UNKNOWN: &str = "怎么用量子计算机煮鸡蛋？";
const DELIVERIES: &str = "/api/v1/webhooks/deliveries";
/// A status that stands for no answer at all.
const SILENCE: u16 = 0;

/// What came in.
#[derive(Clone, Debug)]
struct Heard {
    id: String,
    body: Value,
    genuine: bool,
}

/// The customer's own system; it ends with its test.
#[derive(Clone)]
struct Receiver {
    address: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// Statuses of the next answers; 204 when there are no more.
    script: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    async fn start(script: &[u16]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap().to_string(),
            heard: Arc::default(),
            script: Arc::new(Mutex::new(script.iter().copied().collect())),
        };
        let router = axum::Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        receiver
    }

    fn config(&self, tenant: &str, events: &[&str]) -> WebhookConfig {
        WebhookConfig {
            tenant: tenant.to_owned(),
            url: Secret::new(format!("http://{}/hooks?token=t", self.address)),
            secret: secret(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            private_hosts: vec![self.address.clone()],
        }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn of(&self, kind: &str) -> Vec<Heard> {
        self.heard().into_iter().filter(|one| one.body["type"] == kind).collect()
    }

    async fn until(&self, count: usize, kind: &str) -> Vec<Heard> {
        let waiting = async {
            while self.of(kind).len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{count} of {kind}: {:?}", self.heard());
        self.of(kind)
    }
}

fn secret() -> Secret {
    Secret::new(format!("whsec_{}", STANDARD.encode(KEY)))
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    let fresh = (Clock::system().now().0 / 1000).abs_diff(at.parse().unwrap()) < 30;
    let shown = signature.strip_prefix("v1,").and_then(|shown| STANDARD.decode(shown).ok()).unwrap_or_default();
    let genuine = fresh && mac.verify_slice(&shown).is_ok();
    receiver.heard.lock().unwrap().push(Heard { id, body: serde_json::from_str(&body).unwrap(), genuine });
    let status = receiver.script.lock().unwrap().pop_front().unwrap_or(204);
    if status == SILENCE {
        tokio::time::sleep(PATIENCE).await;
    }
    StatusCode::from_u16(status.max(200)).unwrap()
}

async fn server(data_dir: Option<&std::path::Path>, webhooks: Vec<(&'static str, WebhookConfig)>) -> Server {
    let change = move |config: &mut Config| {
        config.webhooks = webhooks.into_iter().map(|(name, webhook)| (name.to_owned(), webhook)).collect();
    };
    Server::start(Setup { data_dir: data_dir.map(std::path::Path::to_owned), change: Some(Box::new(change)), ..Setup::default() }).await
}

async fn call(server: &Server, method: Method, path: &str, body: Value) -> u16 {
    server.request(method, path).bearer_auth(&server.admin).json(&body).send().await.unwrap().status().as_u16()
}

/// The log, once nothing in it waits.
async fn settled(server: &Server) -> Vec<Value> {
    loop {
        let log = server.json(DELIVERIES, &server.admin).await["deliveries"].as_array().unwrap().clone();
        if log.iter().all(|line| line["state"] != "waiting") {
            return log;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn everything_that_happens_is_told_once_and_signed() {
    let receiver = Receiver::start(&[]).await;
    let mut first = server(None, vec![("erp", receiver.config("demo", &[]))]).await;
    let mut socket = first.session(&first.admin).await;
    let turn = socket.ask(DIRECT, json!({})).await;
    socket.ask("你好", json!({})).await;
    socket.ask(UNKNOWN, json!({})).await;
    let rating = json!({"response_id": turn.response(), "rating": "down", "reasons": ["wrong"], "comment": "过期了"});
    assert_eq!(call(&first, Method::POST, "/api/v1/feedback", rating).await, 204);
    let soon = Timestamp(Clock::system().now().0 + 2 * 86_400_000).rfc3339()[..10].to_owned();
    let row = json!({"id": "sale", "question": "大促什么时候结束？", "answer": "后天结束。", "valid_to": soon});
    assert!(call(&first, Method::POST, "/api/v1/knowledge/entries", row).await < 300);
    assert!(call(&first, Method::DELETE, "/api/v1/knowledge/entries/label", Value::Null).await < 300);

    let answers = receiver.until(2, "answer.given").await;
    let answer = answers.iter().find(|one| one.body["data"]["question"] == DIRECT).unwrap();
    assert_eq!((&answer.body["tenant"], &answer.body["id"]), (&json!("demo"), &json!(answer.id)));
    let data = &answer.body["data"];
    assert!(data["answer"].as_str().unwrap().contains("10,000") && data["decision"] == "direct", "{data}");
    assert_eq!(data["sources"][0]["entry_id"], "deposit");
    let missed = receiver.until(1, "question.unanswered").await;
    assert_eq!(missed[0].body["data"]["question"], UNKNOWN);
    let rated = &receiver.until(1, "feedback.given").await[0].body["data"];
    assert_eq!((&rated["rating"], &rated["comment"], &rated["response_id"]), (&json!("down"), &json!("过期了"), &json!(turn.response())));
    let changes = receiver.until(2, "entry.changed").await;
    let actions: Vec<&Value> = changes.iter().map(|one| &one.body["data"]["entries"][0]["action"]).collect();
    assert!(actions.contains(&&json!("added")) && actions.contains(&&json!("deleted")), "{changes:?}");

    // What expires is told at the next look, and not again at the one after.
    let dir = first.data_dir.clone();
    first.stop();
    let mut second = server(Some(&dir), vec![("erp", receiver.config("demo", &[]))]).await;
    let expiring = receiver.until(1, "entry.expiring").await;
    assert_eq!(expiring[0].body["data"]["id"], "sale");
    let log = settled(&second).await;
    assert!(log.len() == 7 && log.iter().all(|line| line["state"] == "delivered" && line["attempts"] == 1), "{log:?}");
    second.stop();
    let third = server(Some(&dir), vec![("erp", receiver.config("demo", &[]))]).await;
    let conversation = format!("/api/v1/conversations/{}", turn.conversation());
    assert_eq!(settled(&third).await.len(), 7);
    assert!(call(&third, Method::DELETE, &conversation, Value::Null).await < 300);
    assert_eq!(settled(&third).await.len(), 5, "the log of a deleted conversation goes with it");

    let heard = receiver.heard();
    let mut ids: Vec<&str> = heard.iter().map(|one| one.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(heard.len() == 7 && ids.len() == 7 && heard.iter().all(|one| one.genuine), "{heard:?}");
}

#[tokio::test]
async fn a_refusal_a_silence_and_a_restart_lose_nothing_and_change_no_id() {
    let receiver = Receiver::start(&[500, SILENCE]).await;
    let mut first = server(None, vec![("erp", receiver.config("demo", &["answer.given"]))]).await;
    first.session(&first.member).await.ask(DIRECT, json!({})).await;
    receiver.until(3, "answer.given").await;
    let log = settled(&first).await;
    assert_eq!((log.len(), &log[0]["state"], &log[0]["attempts"], &log[0]["status"]), (1, &json!("delivered"), &json!(3), &json!(204)));
    // It refuses while the first server is there, and takes it from the next one.
    receiver.script.lock().unwrap().extend([503; 100]);
    first.session(&first.member).await.ask(DIRECT, json!({})).await;
    receiver.until(4, "answer.given").await;
    first.stop();
    let before = receiver.heard().len();
    receiver.script.lock().unwrap().clear();
    let second = server(Some(&first.data_dir), vec![("erp", receiver.config("demo", &["answer.given"]))]).await;
    let heard = receiver.until(before + 1, "answer.given").await;
    let (early, late) = heard.split_at(3);
    for same in [early, late] {
        assert!(same.iter().all(|one| one.genuine && one.id == same[0].id && one.body == same[0].body), "{same:?}");
    }
    assert_ne!(early[0].id, late[0].id);
    let log = settled(&second).await;
    assert!(log.len() == 2 && log.iter().all(|line| line["state"] == "delivered" && line["problem"].is_null()), "{log:?}");
    // Sent again on demand: the same event.
    let again = format!("{DELIVERIES}/{}/resend", log[0]["id"].as_str().unwrap());
    assert_eq!(call(&second, Method::POST, &again, Value::Null).await, 202);
    let heard = receiver.until(before + 2, "answer.given").await;
    assert_eq!(heard.last().unwrap().id, late[0].id);
}

#[tokio::test]
async fn a_shop_hears_and_sees_only_of_itself() {
    let (ours, theirs) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let hooks = vec![("erp", ours.config("demo", &["answer.given"])), ("crm", theirs.config("other", &[]))];
    let server = server(None, hooks).await;
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (key, _) = issue(&server.tenants, &other, Role::Admin).await;
    server.session(&server.member).await.ask(DIRECT, json!({})).await;
    server.session(&server.member).await.ask(UNKNOWN, json!({})).await;
    server.session(&key).await.ask(UNKNOWN, json!({})).await;
    assert_eq!(theirs.until(1, "question.unanswered").await[0].body["tenant"], "other");
    assert_eq!(ours.until(1, "answer.given").await[0].body["data"]["question"], DIRECT);
    let log = settled(&server).await;
    assert!(log.len() == 1 && log[0]["endpoint"] == "erp", "{log:?}");
    assert_eq!((ours.heard().len(), theirs.heard().len()), (1, 1), "only what was asked for");
    let foreign = server.json(DELIVERIES, &key).await["deliveries"].clone();
    assert!(foreign.as_array().unwrap().len() == 1 && foreign[0]["endpoint"] == "crm", "{foreign}");
    let stolen = format!("{DELIVERIES}/{}/resend", foreign[0]["id"].as_str().unwrap());
    assert_eq!(call(&server, Method::POST, &stolen, Value::Null).await, 404);
    assert!(!server.json(DELIVERIES, &server.admin).await.to_string().contains("token=t"), "the address is nobody's business");
}

#[tokio::test]
async fn a_group_reads_once_a_day_what_expires_and_what_nobody_could_answer() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let platform = LocalDingTalk::start("dingapp", &Secret::new("SEC1")).await.unwrap();
    let mut first = server(None, Vec::new()).await;
    let soon = Timestamp(Clock::system().now().0 + 2 * 86_400_000).rfc3339()[..10].to_owned();
    let row = json!({"id": "sale", "question": "大促什么时候结束？", "answer": "后天结束。", "valid_to": soon});
    assert!(call(&first, Method::POST, "/api/v1/knowledge/entries", row).await < 300);
    let mut socket = first.session(&first.member).await;
    for question in [UNKNOWN, "你好", DIRECT, UNKNOWN] {
        socket.ask(question, json!({})).await;
    }
    first.stop();
    let day = chrono::DateTime::from_timestamp_millis(Clock::system().now().0).unwrap().with_timezone(&chrono_tz::Asia::Shanghai);
    let spent = "insert into model_usage (tenant_id, day, model, currency, calls, prompt_tokens, completion_tokens, cached_tokens, cost_nano) \
         values ('demo', $1, 'm', 'CNY', 1, 1, 1, 0, 8500000000)";
    let db = Db::open("", &first.data_dir).await.unwrap();
    on!(&db, pool => sqlx::query(spent).bind(day.format("%Y-%m-%d").to_string()).execute(pool).await.map(drop)).unwrap();
    db.close().await;
    let notice = toml::from_str::<NoticeConfig>(&format!(
        "robot = \"{}/robot/send?access_token=t\"\nsecret = \"SEC1\"\nat = \"00:00\"",
        platform.base()
    ))
    .unwrap();
    for _ in 0..2 {
        let (notice, data_dir) = (notice.clone(), Some(first.data_dir.clone()));
        let change = move |config: &mut Config| {
            config.notices.insert("ops".into(), notice);
            config.spend.month = 10.0;
            config.spend.currency = "CNY".into();
        };
        let mut server = Server::start(Setup { data_dir, change: Some(Box::new(change)), ..Setup::default() }).await;
        platform.until(PATIENCE, |shown| shown.len() >= 3).await.unwrap();
        // Long enough for another one, if there were any.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let (shown, log) = (platform.shown(), settled(&server).await);
        server.stop();
        assert!(log.len() == 3 && log.iter().all(|line| line["state"] == "delivered" && line["endpoint"] == "notices.ops"), "{log:?}");
        let has = |words: &[&str]| shown.iter().filter(|one| words.iter().all(|word| one.text.contains(word))).count();
        assert_eq!((shown.len(), has(&["1 条知识", "大促什么时候结束"]), has(&["2 次", UNKNOWN])), (3, 1, 1), "{shown:?}");
        assert_eq!((has(&["80%", "8.50 CNY / 10.00 CNY"]), has(&["你好"])), (1, 0), "{shown:?}");
    }
}

/// The outbox on whichever database.
pub async fn story(db: &Db, clock: &Clock, shop: &TenantId, other: &TenantId) {
    let outbox = Outbox::new(db.clone(), clock.clone());
    let talk = ConversationId::from_text("c_1");
    let event = |kind| Event { conversation: Some(talk.clone()), ..Event::new(kind, clock.now(), json!({"n": 1})) };
    let told = event(Kind::AnswerGiven);
    let write = async |tenant: &TenantId, event: &Event| {
        let mut tx = outbox.begin().await.unwrap();
        record(&mut tx, tenant, event).await.unwrap();
        tx.commit().await.unwrap();
    };
    write(shop, &told).await;
    let all = Wanted::default();
    assert!(outbox.log(shop, &all, 9).await.unwrap().is_empty(), "nobody is to be told");
    let wish = |endpoint: &str, kind| (shop.clone(), endpoint.to_owned(), vec![kind]);
    outbox.subscribe(&[wish("erp", Kind::AnswerGiven), wish("crm", Kind::AnswerGiven), wish("crm", Kind::EntryChanged)]).await.unwrap();
    for _ in 0..2 {
        write(shop, &told).await;
        write(shop, &event(Kind::FeedbackGiven)).await;
        write(other, &told).await;
    }
    let log = outbox.log(shop, &all, 9).await.unwrap();
    assert_eq!(log.iter().map(|line| line.id.clone()).collect::<Vec<_>>(), ["crm", "erp"].map(|to| format!("{}.{to}", told.id)));
    assert!(outbox.log(other, &all, 9).await.unwrap().is_empty());
    let erp = Wanted { endpoint: Some("erp"), state: Some("waiting"), ..all.clone() };
    assert_eq!(outbox.log(shop, &erp, 9).await.unwrap().len(), 1);

    // Two nodes see the same row; one of them sends it, and the other's word no longer counts.
    let due = outbox.due(shop, "erp", 9).await.unwrap();
    let (mut mine, mut theirs) = (due[0].clone(), due[0].clone());
    let lease = Timestamp(clock.now().0 + 60_000);
    assert!(outbox.claim(shop, &mut mine, lease).await.unwrap());
    assert!(!outbox.claim(shop, &mut theirs, Timestamp(lease.0 + 1)).await.unwrap());
    assert!(outbox.due(shop, "erp", 9).await.unwrap().is_empty() && outbox.due(other, "erp", 9).await.unwrap().is_empty());
    let failed = Tried { state: "failed", due: clock.now(), status: Some(500), problem: Some("http_500".into()) };
    outbox.settle(shop, &theirs, &failed).await.unwrap();
    outbox.settle(shop, &mine, &Tried { state: "delivered", status: Some(204), problem: None, ..failed.clone() }).await.unwrap();
    let line = outbox.log(shop, &Wanted { endpoint: Some("erp"), ..all.clone() }, 9).await.unwrap().remove(0);
    assert_eq!((line.state.as_str(), line.attempts, line.status, line.problem), ("delivered", 1, Some(204), None));

    assert_eq!(outbox.send_again(other, &line.id).await.unwrap_err().code(), "delivery_not_found");
    outbox.send_again(shop, &line.id).await.unwrap();
    assert_eq!(outbox.due(shop, "erp", 9).await.unwrap()[0].attempts, 0);
    outbox.take_up(shop, "crm").await.unwrap();
    assert_eq!(outbox.give_up_beyond(shop, "crm").await.unwrap(), 0);
    assert_eq!(outbox.give_up_before(clock.now()).await.unwrap(), 0);
    assert_eq!(outbox.give_up_before(Timestamp(clock.now().0 + 1)).await.unwrap(), 2);
    let given_up = outbox.log(shop, &all, 9).await.unwrap();
    assert!(given_up.iter().all(|line| line.state == "failed" && line.problem.as_deref() == Some("not_sent")), "{given_up:?}");
    let mut tx = outbox.begin().await.unwrap();
    forget(&mut tx, shop, &ConversationId::from_text("c_2")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(outbox.forget_before(clock.now()).await.unwrap(), 0);
    assert_eq!(outbox.forget_before(Timestamp(clock.now().0 + 1)).await.unwrap(), 2);
    outbox.subscribe(&[]).await.unwrap();
}
