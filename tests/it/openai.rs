//! `/v1` as OpenAI's own clients use it: models, whole and streamed completions, and errors in the
//! shape they know.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::fake_provider::{ANSWER, FakeProvider};
use super::server::{Server, Setup, shared};

const GROUNDED: &str = "退货地址在哪里修改？";

async fn server() -> (Server, Arc<FakeProvider>) {
    let provider = Arc::new(FakeProvider::start());
    let setup = Setup { provider: Some(Arc::clone(&provider)), ..Setup::default() };
    (Server::start(setup).await, provider)
}

async fn complete(server: &Server, key: &str, body: Value) -> Response {
    server.request(Method::POST, "/v1/chat/completions").bearer_auth(key).json(&body).send().await.unwrap()
}

fn ask(model: &str, more: Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": GROUNDED}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The data lines of a stream, `[DONE]` checked and taken off.
async fn chunks(answer: Response) -> Vec<Value> {
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let text = answer.text().await.unwrap();
    let mut lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(lines.pop(), Some("[DONE]"), "{text}");
    lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn content(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/content")?.as_str()).collect()
}

#[tokio::test]
async fn models_are_listed_and_found_by_name() {
    let (server, _) = shared().await;
    let list = server.json("/v1/models", &server.member).await;
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    for id in ["builtin", "normal"] {
        let model = models.iter().find(|model| model["id"] == id).unwrap();
        assert!(model["object"] == "model" && model["created"].is_i64() && model["owned_by"].is_string(), "{model}");
        assert_eq!(&server.json(&format!("/v1/models/{id}"), &server.member).await, model);
    }
    let none = server.get("/v1/models/gpt-99").bearer_auth(&server.member).send().await.unwrap();
    assert_eq!(none.status(), 404);
    assert_eq!(none.json::<Value>().await.unwrap()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_whole_completion_has_openais_shape() {
    let (server, provider) = server().await;
    let answer = complete(&server, &server.member, ask("normal", json!({"temperature": 0.5, "max_tokens": 77, "unknown": {}}))).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("normal")));
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-") && body["created"].is_i64());
    let choice = &body["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"], &choice["message"]["role"]), (&json!(0), &json!("stop"), &json!("assistant")));
    assert_eq!(choice["message"]["content"], ANSWER.concat());
    assert_eq!(body["usage"], json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}));
    assert_eq!(provider.requests("normal").len(), 1);
    assert_eq!(provider.requests("normal")[0]["max_tokens"], 77);
    // The default model, a text in parts, and a history.
    let parts = json!([{"type": "text", "text": GROUNDED}]);
    let body = json!({"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}, {"role": "user", "content": parts}]});
    let body: Value = complete(&server, &server.member, body).await.json().await.unwrap();
    assert_eq!(body["model"], "builtin");
    assert!(body["choices"][0]["message"]["content"].as_str().unwrap().contains("店铺设置"), "{body}");
}

#[tokio::test]
async fn a_stream_tells_its_usage_only_when_asked() {
    let (server, _provider) = server().await;
    let plain = chunks(complete(&server, &server.member, ask("normal", json!({"stream": true}))).await).await;
    assert_eq!(content(&plain), ANSWER.concat());
    assert_eq!(plain[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(plain.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(
        plain.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == plain[0]["id"] && chunk["model"] == "normal")
    );
    assert!(plain.iter().all(|chunk| chunk.get("usage").is_none_or(Value::is_null)), "{plain:?}");
    let finished = plain.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
    assert_eq!(finished, 1);

    let asked = json!({"stream": true, "stream_options": {"include_usage": true}});
    let told = chunks(complete(&server, &server.member, ask("normal", asked)).await).await;
    let last = told.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(120)));
    assert!(told[..told.len() - 1].iter().all(|chunk| chunk.get("usage").is_none_or(Value::is_null)));
}

#[tokio::test]
async fn refusals_have_openais_shape() {
    let (server, _) = shared().await;
    for key in ["mc_member_wrong", "sk-something"] {
        let answer = complete(server, key, ask("builtin", json!({}))).await;
        assert_eq!(answer.status(), 401);
        let error = answer.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!(
            (&error["type"], &error["code"], &error["param"]),
            (&json!("authentication_error"), &json!("invalid_api_key"), &Value::Null)
        );
        assert!(error["message"].is_string());
    }
    for (body, status, code) in [
        (ask("gpt-99", json!({})), 404, "model_not_found"),
        (ask("gpt-99", json!({"stream": true})), 404, "model_not_found"),
        (json!({"model": "builtin", "messages": []}), 400, "invalid_request"),
        (json!({"model": "builtin"}), 400, "invalid_request"),
        (json!({"model": "builtin", "messages": "hi"}), 400, "invalid_request"),
        (json!({"model": "builtin", "messages": [{"role": "user", "content": "字".repeat(4_001)}]}), 400, "message_too_long"),
    ] {
        let answer = complete(server, &server.member, body.clone()).await;
        assert_eq!(answer.status(), status, "{code}");
        let error = answer.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!((&error["type"], &error["code"]), (&json!("invalid_request_error"), &json!(code)));
    }
    let answer = server.request(Method::POST, "/v1/chat/completions").bearer_auth(&server.member).body("{").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let answer = complete(server, &server.member, json!({"messages": [{"role": "user", "content": "x".repeat(1_100_000)}]})).await;
    assert_eq!((answer.status().as_u16(), answer.json::<Value>().await.unwrap()["error"]["code"].clone()), (413, json!("body_too_large")));
}

#[tokio::test]
async fn a_stream_that_the_servers_stop_breaks_off_says_so() {
    let (mut server, provider) = server().await;
    let mut answer = complete(&server, &server.member, ask("endless-1", json!({"stream": true}))).await;
    let mut text = String::new();
    while !text.contains('无') {
        text += &String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap());
    }
    let stopping = tokio::task::spawn_blocking(move || {
        server.stop();
        server
    });
    text += &answer.text().await.unwrap();
    let mut lines = text.lines().rev().filter_map(|line| line.strip_prefix("data: "));
    assert_eq!(lines.next(), Some("[DONE]"), "{text}");
    let last: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "shutting_down", "{last}");
    assert!(!text.contains(r#""finish_reason":"length""#) && !text.contains(r#""finish_reason":"stop""#), "{text}");
    provider.left("endless-1", 1).await;
    drop(stopping.await.unwrap());
}

#[tokio::test]
async fn a_providers_fault_is_an_error_and_a_client_that_leaves_stops_the_call() {
    let (server, provider) = server().await;
    for (model, status, code) in [
        ("unauthorized", 502, "model_unauthorized"),
        ("rate-limited", 429, "model_rate_limited"),
        ("unreachable", 503, "model_unavailable"),
    ] {
        // Before the first word a stream fails like a whole answer: clients try a 429 again by themselves.
        for streams in [false, true] {
            let answer = complete(&server, &server.member, ask(model, json!({"stream": streams}))).await;
            let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
            assert_eq!(wait.as_deref(), (model == "rate-limited").then_some("60"), "the provider's own wait is passed on");
            let told_not_to = answer.headers().get("x-should-retry").is_some_and(|retry| retry == "false");
            assert_eq!(told_not_to, model == "unauthorized", "{model}");
            assert!(answer.headers().contains_key("x-conversation-id"), "{model}");
            let status_told = answer.status().as_u16();
            let error = answer.json::<Value>().await.unwrap()["error"].clone();
            assert_eq!((status_told, &error["code"]), (status, &json!(code)), "{model}, streamed: {streams}");
            let kind = if status == 429 { "rate_limit_error" } else { "server_error" };
            assert_eq!((&error["type"], error["message"].is_string()), (&json!(kind), true), "{error}");
        }
    }
    // Behind the first word there is only the stream to tell it in.
    let broken = chunks(complete(&server, &server.member, ask("dies", json!({"stream": true}))).await).await;
    assert_eq!((content(&broken).as_str(), &broken.last().unwrap()["error"]["code"]), ("半句", &json!("model_stream_broken")));
    let limited = server.session(&server.member).await.ask(GROUNDED, json!({"model": "rate-limited"})).await;
    let error = &limited.done()["error"];
    assert_eq!(
        (&error["code"], &error["retry_after_ms"], &error["retryable"]),
        (&json!("model_rate_limited"), &json!(60_000), &json!(true))
    );
    assert!(error["message"].as_str().unwrap().contains("60 秒"), "{error}");
    let mut answer = complete(&server, &server.member, ask("endless-3", json!({"stream": true}))).await;
    while !String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()).contains('无') {}
    drop(answer);
    provider.left("endless-3", 1).await;
    // One that leaves while it waits for the first word leaves no call behind either.
    let waiting = complete(&server, &server.member, ask("stall-first", json!({"stream": true})));
    let asked = async {
        while provider.requests("stall-first").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        answer = waiting => panic!("there is no word yet: {answer:?}"),
        () = asked => {}
    }
    provider.left("stall-first", 1).await;
}
