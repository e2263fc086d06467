//! Bots as the admins of their shop see them: how each is doing, and a test message that reaches whoever is on duty.

use std::time::{Duration, Instant};

use merchant_copilot::config::{ChannelsConfig, Secret};
use merchant_copilot::http::local_dingtalk::{Fault, LocalDingTalk};
use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::server::{PATIENCE, Server, Setup, issue};

const SECRET: &str = "a-secret-of-the-app";

async fn platform() -> LocalDingTalk {
    let _ = rustls::crypto::ring::default_provider().install_default();
    LocalDingTalk::start("dingapp", &Secret::new(SECRET)).await.unwrap()
}

/// One bot of each kind: called back with somebody on duty, on a line with nobody, and WeCom's.
fn bots(platform: &LocalDingTalk) -> ChannelsConfig {
    let base = platform.base();
    let table = format!("client_id = \"dingapp\"\nclient_secret = \"{SECRET}\"\napi_base = \"{base}\"");
    toml::from_str(&format!(
        "[dingtalk.shop]\n{table}\ncalls_per_month = 5000\nduty_group = \"cid_duty\"\nduty_user = \"boss\"\n[dingtalk.line]\n{table}\nmode = \"stream\"\n\
         [wecom.shop]\ntoken = \"t\"\nencoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"\nduty_user = \"boss\"\n"
    ))
    .unwrap()
}

async fn bot(server: &Server, platform: &str, name: &str) -> Value {
    let told = server.json("/api/v1/bots", &server.admin).await;
    assert_eq!(told["base"], json!(server.url("")), "{told}");
    let all = told["bots"].as_array().unwrap().clone();
    all.into_iter().find(|bot| bot["platform"] == platform && bot["name"] == name).unwrap()
}

async fn becomes(server: &Server, name: &str, state: &str) -> Value {
    let began = Instant::now();
    loop {
        let now = bot(server, "dingtalk", name).await;
        if now["state"] == state {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "{name} does not become {state}: {now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn test(server: &Server, key: &str, bot: &str) -> (u16, Value) {
    let path = format!("/api/v1/bots/{bot}/test");
    let answer = server.request(Method::POST, &path).bearer_auth(key).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_shop_sees_how_its_bots_are_doing() {
    let platform = platform().await;
    let server = Server::start(Setup { channels: bots(&platform), ..Setup::default() }).await;
    let fresh = bot(&server, "dingtalk", "shop").await;
    assert_eq!((&fresh["state"], &fresh["mode"], &fresh["messages_7d"]), (&json!("waiting"), &json!("webhook"), &json!(0)), "{fresh}");
    assert_eq!(
        (&fresh["last_error"], &fresh["calls"]["month_limit"], &fresh["calls"]["month_used"]),
        (&Value::Null, &json!(5000), &json!(0))
    );
    assert_eq!(bot(&server, "dingtalk", "line").await["calls"]["month_limit"], Value::Null, "nothing is counted there");
    becomes(&server, "line", "connected").await;

    let address = server.url("/webhooks/dingtalk/shop");
    let message = platform.message("cid1", true, "u1", "普通店保证金要交多少？");
    assert_eq!(platform.callback_signed(&address, &message, "1", "forged").await.unwrap().0, 401);
    let refused = bot(&server, "dingtalk", "shop").await;
    assert_eq!((&refused["state"], &refused["seen_ms"]), (&json!("waiting"), &Value::Null), "a forged callback is nobody's: {refused}");
    assert!(matches!(refused["refused"]["code"].as_str(), Some("bad_signature" | "stale_callback")), "{refused}");
    assert_eq!(platform.callback(&address, &message).await.unwrap().0, 200);
    let heard = becomes(&server, "shop", "ready").await;
    assert!(heard["seen_ms"].is_i64() && heard["last_message_ms"].is_i64() && heard["messages_7d"] == 1, "{heard}");
}

#[tokio::test]
async fn a_test_message_reaches_whoever_is_on_duty_and_nobody_elses() {
    let platform = platform().await;
    let server = Server::start(Setup { channels: bots(&platform), ..Setup::default() }).await;
    let (status, answer) = test(&server, &server.admin, "dingtalk/shop").await;
    assert_eq!((status, &answer["sent_to"]), (200, &json!(["user", "group"])), "{answer}");
    let shown = platform.shown();
    let places: Vec<&str> = shown.iter().map(|one| one.place.as_str()).collect();
    assert!(shown.len() == 2 && places.contains(&"cid_duty") && shown[0].text.contains("shop"), "{shown:?}");
    assert_eq!(bot(&server, "dingtalk", "shop").await["calls"]["month_used"], 3, "two messages, and the token for them");

    for nobody in ["dingtalk/line", "wecom/shop"] {
        let (status, answer) = test(&server, &server.admin, nobody).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("nobody_on_duty")), "{nobody}: {answer}");
    }
    // The platform's refusal is not one of the admin, and shows in the list until a call works again.
    platform.fail_next(Fault {
        path: "/v1.0/robot/groupMessages/send",
        status: 403,
        body: json!({"code": "Forbidden.AccessDenied"}),
        delay: Duration::ZERO,
    });
    let (status, answer) = test(&server, &server.admin, "dingtalk/shop").await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("bot_test_failed")), "{answer}");
    let failing = becomes(&server, "shop", "failing").await;
    assert!(failing["last_error"]["code"].is_string() && failing["last_error"]["message"].is_string(), "{failing}");
    assert_eq!(test(&server, &server.admin, "dingtalk/shop").await.0, 200);
    becomes(&server, "shop", "waiting").await;

    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (key, _) = issue(&server.tenants, &other, Role::Admin).await;
    assert_eq!(server.json("/api/v1/bots", &key).await["bots"], json!([]));
    let (status, answer) = test(&server, &key, "dingtalk/shop").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("bot_not_found")), "{answer}");
}
