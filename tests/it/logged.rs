//! One line in the log for each turn, however it ends: who asked what it cost finds it by the request's name, and nobody
//! finds what was said.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::fake_provider::{ANSWER, FakeProvider};
use super::logbook;
use super::server::{PATIENCE, Server, Setup};

const GROUNDED: &str = "退货地址在哪里修改？";
const FORBIDDEN: &str = "你们能代开发票吗";

/// Asks over the OpenAI wire under a name for the request.
async fn ask(server: &Server, request: &str, model: &str, question: &str, stream: bool) -> reqwest::Response {
    let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": question}]});
    let asked = server.request(Method::POST, "/v1/chat/completions").bearer_auth(&server.member).header("x-request-id", request);
    asked.json(&body).send().await.unwrap()
}

/// The only line about the turn of that request, once it is written.
async fn line(request: &str) -> (String, Value) {
    let written = async {
        while logbook::turns(request).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("the turn has a line");
    let lines = logbook::turns(request);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    (lines[0].clone(), line["fields"].clone())
}

#[tokio::test]
async fn each_turn_has_one_line_that_tells_how_it_went_and_nothing_of_what_was_said() {
    logbook::open();
    let provider = Arc::new(FakeProvider::start());
    let forbid = |config: &mut merchant_copilot::config::Config| config.safety.words = vec!["代开发票".into()];
    let setup = Setup { provider: Some(Arc::clone(&provider)), config: Some(forbid), ..Setup::default() };
    let server = Server::start(setup).await;

    assert_eq!(ask(&server, "line-ok", "normal", GROUNDED, false).await.status(), 200);
    assert_eq!(ask(&server, "line-direct", "normal", "普通店保证金要交多少？", false).await.status(), 200);
    assert_eq!(ask(&server, "line-refused", "normal", FORBIDDEN, false).await.status(), 200);
    assert_eq!(ask(&server, "line-failed", "unauthorized", GROUNDED, true).await.status(), 502);
    let mut left = ask(&server, "line-cancelled", "endless-1", GROUNDED, true).await;
    while !String::from_utf8_lossy(&left.chunk().await.unwrap().unwrap()).contains('无') {}
    drop(left);

    for (request, model, decision, status, finish, refused, error) in [
        ("line-ok", "normal", "grounded", "completed", "stop", false, ""),
        ("line-direct", "normal", "direct", "completed", "stop", false, ""),
        ("line-refused", "normal", "none", "completed", "content_filter", true, ""),
        ("line-failed", "unauthorized", "grounded", "failed", "error", false, "model_unauthorized"),
        ("line-cancelled", "endless-1", "grounded", "cancelled", "cancelled", false, ""),
    ] {
        let (raw, fields) = line(request).await;
        let told =
            ["tenant", "channel", "model", "decision", "status", "finish_reason", "error"].map(|name| fields[name].as_str().unwrap());
        assert_eq!(told, ["demo", "openai", model, decision, status, finish, error], "{request}: {raw}");
        assert_eq!(fields["refused"], refused, "{raw}");
        for named in ["conversation", "response"] {
            assert!(fields[named].as_str().is_some_and(|id| !id.is_empty()), "{named}: {raw}");
        }
        for counted in ["prompt_tokens", "completion_tokens"] {
            let paid = matches!(request, "line-ok" | "line-cancelled");
            assert_eq!(fields[counted].as_u64().map(|tokens| tokens > 0), Some(paid), "{counted}: {raw}");
        }
        for time in ["queue_ms", "retrieval_ms", "first_token_ms", "total_ms"] {
            assert!(fields[time].is_f64(), "{time}: {raw}");
        }
        assert!(fields["cost"].is_f64(), "{raw}");
        for secret in [GROUNDED, FORBIDDEN, "保证金", "退货", ANSWER[1], "10,000", "sk-fake-secret", server.member.as_str()] {
            assert!(!raw.contains(secret), "{secret} is in {raw}");
        }
    }
    let (_, ok) = line("line-ok").await;
    assert_eq!((&ok["prompt_tokens"], &ok["completion_tokens"]), (&json!(100), &json!(20)));
}
