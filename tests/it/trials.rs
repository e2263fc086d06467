//! A question tried under other settings than those in force: what is found, what a model would be asked, what it
//! answers, and that nothing of it stays in force; and conversations by how their answers went.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::fake_provider::FakeProvider;
use super::server::{Server, Setup};

const ASKED: &str = "在哪里修改退货地址";

async fn post(server: &Server, path: &str, body: &Value) -> (u16, String) {
    let answer = server.request(Method::POST, path).bearer_auth(&server.admin).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The events of an answer.
async fn events(server: &Server, body: Value) -> Vec<Value> {
    let (status, text) = post(server, "/api/v1/trials", &body).await;
    assert_eq!(status, 200, "{text}");
    text.lines().filter_map(|line| line.strip_prefix("data:")).map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn of<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {events:?}"))
}

async fn server() -> Server {
    Server::start(Setup { provider: Some(Arc::new(FakeProvider::start())), ..Setup::default() }).await
}

#[tokio::test]
async fn a_question_is_answered_under_settings_that_are_not_in_force() {
    let server = server().await;
    let as_is = events(&server, json!({"text": ASKED, "model": "normal"})).await;
    let decision = of(&as_is, "response.sources")["decision"].clone();
    assert_ne!(decision, "none", "{as_is:?}");

    let strict = json!({"text": ASKED, "model": "normal", "settings": {"grounded_threshold": 1.0, "direct_threshold": 1.0}});
    let refused = events(&server, strict.clone()).await;
    assert_eq!(of(&refused, "response.sources")["decision"], "none", "{refused:?}");
    assert_eq!(of(&refused, "response.done")["status"], "completed");

    let ranked = json!({"text": ASKED, "settings": {"fusion": "rrf"}});
    let (status, shown) = post(&server, "/api/v1/trials/preview", &ranked).await;
    assert_eq!(status, 200, "{shown}");

    let again = events(&server, json!({"text": ASKED, "model": "normal"})).await;
    assert_eq!(of(&again, "response.sources")["decision"], decision, "the trial stayed in force");
}

#[tokio::test]
async fn a_saved_version_of_a_template_is_asked_with_and_not_put_in_force() {
    let server = server().await;
    let text = server.json("/api/v1/prompts/answer.zh", &server.admin).await["text"].as_str().unwrap().to_owned();
    let changed = text.replacen("## Output", "语气像老朋友。\n\n## Output", 1);
    let (status, saved) = post(&server, "/api/v1/prompts/answer.zh/versions", &json!({"text": changed})).await;
    assert_eq!(status, 201, "{saved}");
    let version = serde_json::from_str::<Value>(&saved).unwrap()["version"].clone();
    let trial = json!({"text": ASKED, "model": "normal", "template": {"name": "answer.zh", "version": version},
        "settings": {"direct_threshold": 1.0, "grounded_threshold": 0.05}});

    let (status, shown) = post(&server, "/api/v1/trials/preview", &trial).await;
    assert_eq!(status, 200, "{shown}");
    assert!(
        shown.contains("语气像老朋友") && serde_json::from_str::<Value>(&shown).unwrap()["tokens"]["total"].as_u64() > Some(0),
        "{shown}"
    );
    let told = events(&server, trial).await;
    let response = of(&told, "response.created")["response_id"].as_str().unwrap().to_owned();
    let trace = server.json(&format!("/api/v1/responses/{response}/trace"), &server.admin).await;
    assert!(trace["trace"]["prompt"].to_string().contains("语气像老朋友"), "{trace}");

    let plain = events(&server, json!({"text": ASKED, "model": "normal", "settings": {"direct_threshold": 1.0}})).await;
    let response = of(&plain, "response.created")["response_id"].as_str().unwrap().to_owned();
    let trace = server.json(&format!("/api/v1/responses/{response}/trace"), &server.admin).await;
    assert!(!trace["trace"]["prompt"].to_string().contains("语气像老朋友"), "{trace}");
}

#[tokio::test]
async fn what_cannot_be_tried_is_told() {
    let server = Server::small().await;
    for (body, code) in [
        (json!({"text": " "}), "message_empty"),
        (json!({"text": ASKED, "settings": {"weight": 1.5}}), "bad_setting"),
        (json!({"text": ASKED, "model": "none"}), "model_not_found"),
    ] {
        for path in ["/api/v1/trials", "/api/v1/trials/preview"] {
            let (status, said) = post(&server, path, &body).await;
            assert!(status >= 400 && said.contains(code), "{path} {body}: {status} {said}");
        }
    }
    let unknown = json!({"text": ASKED, "template": {"name": "answer.zh", "version": 99}});
    assert_eq!(post(&server, "/api/v1/trials/preview", &unknown).await.0, 404);
}

#[tokio::test]
async fn conversations_are_found_by_how_an_answer_went() {
    let server = server().await;
    let mut socket = server.session(&server.admin).await;
    let failed = socket.ask(ASKED, json!({"model": "server-error"})).await;
    let mut other = server.session(&server.admin).await;
    let refused = other.ask("怎么学游泳？", json!({})).await;
    assert_eq!(refused.decision(), "none");
    let listed = async |outcome: &str| {
        let page = server.json(&format!("/api/v1/conversations?outcome={outcome}"), &server.admin).await;
        page["conversations"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("refused").await, [refused.conversation()]);
    assert_eq!(failed.done()["status"], "failed", "{failed:?}");
    assert_eq!(listed("failed").await, [failed.conversation()]);
    assert_eq!(listed("unfinished").await, [failed.conversation()]);
    assert!(listed("incomplete").await.is_empty() && listed("cancelled").await.is_empty());
    let wrong = server.get("/api/v1/conversations?outcome=odd").bearer_auth(&server.admin).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
}
