//! Verified visitors over the wire: who a shop's backend says is there sees their conversations on every
//! device, and nobody else does; and what a shop decides for its visitors.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use merchant_copilot::config::{AiMark, TenantAnswers};
use merchant_copilot::ids::{Clock, TenantId};
use merchant_copilot::tenants::Role;
use serde_json::{Value, json};
use sha2::Sha256;

use super::server::{PAGE, Server, Setup, Socket, issue, shared};

const QUESTION: &str = "普通店保证金要交多少？";

/// What a shop's backend does.
fn sign(secret: &str, user: &str, seconds: i64) -> String {
    let now = Clock::system().now().0 / 1000;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(json!({"alg": "HS256", "typ": "JWT"})), part(json!({"sub": user, "exp": now + seconds})));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// A device on the shop's page with that token.
async fn device(server: &Server, identity: &str) -> (Socket, Value) {
    let mut socket = server.socket(Some(PAGE)).await.unwrap();
    let said = socket.open(json!({"token": server.site, "identity": identity})).await;
    (socket, said)
}

async fn conversations(server: &Server, identity: &str) -> Vec<Value> {
    let request = server.get("/api/v1/conversations").bearer_auth(&server.site).header("origin", PAGE).header("x-identity", identity);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    body["conversations"].as_array().unwrap_or_else(|| panic!("{body}")).clone()
}

#[tokio::test]
async fn a_verified_user_has_their_conversations_on_every_device() {
    let (server, _) = shared().await;
    let demo = TenantId::parse("demo").unwrap();
    let (secret, _) = issue(&server.tenants, &demo, Role::Identity).await;
    assert!(secret.starts_with("mc_identity_"));
    let token = sign(&secret, "merchant-7", 300);

    let (mut desk, ready) = device(server, &token).await;
    assert_eq!(ready["type"], "session.ready", "{ready}");
    assert!(ready.get("visitor_token").is_none(), "a verified user needs no token of ours");
    let turn = desk.ask(QUESTION, json!({})).await;

    // Another device, another token, the same user.
    let (mut phone, _) = device(server, &sign(&secret, "merchant-7", 60)).await;
    phone.ask("那什么时候退？", json!({"conversation_id": turn.conversation()})).await.check();
    let mine = conversations(server, &token).await;
    assert_eq!((mine.len(), &mine[0]["id"]), (1, &json!(turn.conversation())));

    // Another user, a visitor with a lifted site key, and the same name in another shop see nothing of it.
    assert!(conversations(server, &sign(&secret, "merchant-8", 60)).await.is_empty());
    for mut other in [device(server, &sign(&secret, "merchant-8", 60)).await.0, server.session(&server.site).await] {
        other.say(QUESTION, json!({"conversation_id": turn.conversation()})).await;
        assert_eq!(other.frame().await["code"], "conversation_not_found");
    }
}

#[tokio::test]
async fn a_token_that_is_forged_expired_or_of_another_shop_is_refused() {
    let server = Server::small().await;
    let demo = TenantId::parse("demo").unwrap();
    let other = TenantId::parse("other").unwrap();
    server.tenants.add(&other, "Other").await.unwrap();
    let (secret, id) = issue(&server.tenants, &demo, Role::Identity).await;
    let (foreign, _) = issue(&server.tenants, &other, Role::Identity).await;

    let refused = [
        (sign(&secret, "a", -60), "identity_expired"),
        (sign(&secret, "a", 24 * 3600), "invalid_identity"),
        (sign(&foreign, "a", 60), "invalid_identity"),
        (sign("guessed", "a", 60), "invalid_identity"),
        ("not a token".to_owned(), "invalid_identity"),
        (String::new(), "invalid_identity"),
    ];
    for (token, code) in refused {
        let (mut socket, said) = device(&server, &token).await;
        assert_eq!(said["code"], code, "{token}");
        assert_eq!(socket.closed().await, 4401);
        if !token.is_empty() {
            let asked = server.get("/api/v1/conversations").bearer_auth(&server.site).header("origin", PAGE);
            let answer = asked.header("x-identity", &token).send().await.unwrap();
            assert_eq!(answer.status(), 401);
            assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], code);
        }
    }

    // The secret is no key, and a member is somebody already.
    let as_key = server.get("/api/v1/conversations").bearer_auth(&secret).send().await.unwrap();
    assert_eq!(as_key.status(), 401);
    let good = sign(&secret, "a", 60);
    let as_member = server.get("/api/v1/conversations").bearer_auth(&server.member).header("x-identity", &good).send().await.unwrap();
    assert_eq!(as_member.json::<Value>().await.unwrap()["error"]["code"], "identity_only_for_site");

    // A revoked secret ends at once; the one issued instead counts.
    assert_eq!(device(&server, &good).await.1["type"], "session.ready");
    let (next, _) = issue(&server.tenants, &demo, Role::Identity).await;
    server.tenants.revoke(&demo, &id).await.unwrap();
    assert_eq!(device(&server, &good).await.1["code"], "invalid_identity");
    assert_eq!(device(&server, &sign(&next, "a", 60)).await.1["type"], "session.ready");
}

#[tokio::test]
async fn a_shop_decides_on_the_mark_and_the_choice_of_models() {
    let (everybody, _) = shared().await;
    let ready = everybody.socket(Some(PAGE)).await.unwrap().open(json!({"token": everybody.site})).await;
    assert_eq!(ready["ai_mark"], json!({"zh": "AI 生成，请以出处为准", "en": "Written by AI; check the sources"}));
    assert_eq!(ready["link_hosts"], json!([]));

    let setup = Setup {
        config: Some(|config| {
            let own = TenantAnswers {
                ai_mark: Some(AiMark { zh: "机器写的".into(), en: String::new() }),
                visitors_choose_model: Some(false),
                ..TenantAnswers::default()
            };
            config.answers.tenants.insert("demo".into(), own);
            config.safety.links = false;
        }),
        ..Setup::default()
    };
    let server = Server::start(setup).await;
    let mut socket = server.socket(Some(PAGE)).await.unwrap();
    let ready = socket.open(json!({"token": server.site})).await;
    assert_eq!((&ready["ai_mark"]["zh"], &ready["models"], &ready["link_hosts"]), (&json!("机器写的"), &json!([]), &Value::Null));
    socket.say(QUESTION, json!({"model": "builtin"})).await;
    assert_eq!(socket.frame().await["code"], "model_choice_off");
    socket.ask(QUESTION, json!({})).await.check();
    let named = server.request(reqwest::Method::POST, "/api/v1/chat").bearer_auth(&server.site).header("origin", PAGE);
    let answer = named.json(&json!({"text": QUESTION, "model": "builtin"})).send().await.unwrap();
    assert_eq!(answer.status(), 403);

    let mut program = server.session(&server.member).await;
    program.ask(QUESTION, json!({"model": "builtin"})).await.check();
}
