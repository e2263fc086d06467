//! The client against a provider that follows a script.

use std::time::Duration;

use serde_json::json;

use super::super::fake::{Fake, Step, reply, streaming};
use super::super::{FinishReason, Message, Role, Usage, http_client};
use super::*;
use crate::config::{ProviderConfig, ProviderKind};

fn event(data: Value) -> Step {
    Step::Send(format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()))
}

fn start() -> [Step; 2] {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [], "stop_reason": null, "usage": {"input_tokens": 11, "output_tokens": 1}});
    [streaming(), event(json!({"type": "message_start", "message": message}))]
}

fn text(text: &str) -> Step {
    event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}))
}

fn thinking(text: &str) -> Step {
    event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": text}}))
}

fn stop(reason: &str) -> Step {
    event(json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 5}}))
}

fn over() -> Step {
    event(json!({"type": "message_stop"}))
}

async fn model(fake: &Fake) -> AnthropicModel {
    let config = ProviderConfig { kind: ProviderKind::Anthropic, ..fake.provider() };
    let site = Arc::new(Site::of("fake", &config).unwrap());
    let http = http_client::client(&site.base, Duration::from_millis(500)).unwrap();
    AnthropicModel::new(site, http, ModelConfig::named("claude-x"))
}

fn request() -> CompletionRequest {
    CompletionRequest { messages: vec![Message { role: Role::User, content: "保证金多少？".into() }], ..CompletionRequest::default() }
}

async fn ask(steps: Vec<Step>) -> Vec<Result<Delta, ModelError>> {
    let fake = Fake::start(move |_| steps.clone()).await;
    match model(&fake).await.stream(request()).await {
        Ok(deltas) => deltas.collect().await,
        Err(error) => vec![Err(error)],
    }
}

#[tokio::test]
async fn an_answer_comes_with_thinking_usage_and_the_finish() {
    let steps: Vec<Step> = start()
        .into_iter()
        .chain([event(json!({"type": "ping"})), thinking("想"), text("保证"), text("金"), stop("end_turn"), over()])
        .collect();
    let fake = Fake::start(move |_| steps.clone()).await;
    let items: Vec<Delta> = model(&fake).await.stream(request()).await.unwrap().map(Result::unwrap).collect().await;
    let usage = Usage { prompt_tokens: 11, completion_tokens: 5, cached_tokens: 0 };
    let wanted = [
        Delta::Reasoning("想".into()),
        Delta::Text("保证".into()),
        Delta::Text("金".into()),
        Delta::Usage(usage),
        Delta::Finish(FinishReason::Stop),
    ];
    assert_eq!(items, wanted);

    let seen = fake.seen().remove(0);
    let head = seen.head.to_lowercase();
    assert!(head.starts_with("post /v1/messages "), "{head}");
    assert!(head.contains("x-api-key: sk-fake-secret") && head.contains("anthropic-version: 2026-10-21"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
    assert_eq!((&seen.body["model"], &seen.body["stream"]), (&json!("claude-x"), &json!(true)));
    assert_eq!(seen.body["messages"], json!([{"role": "user", "content": "保证金多少？"}]));
    assert!(seen.body.get("temperature").is_none() && seen.body["max_tokens"].is_u64());
}

#[tokio::test]
async fn what_breaks_off_is_broken_and_an_error_event_is_told() {
    let half: Vec<Step> = start().into_iter().chain([text("半")]).collect();
    let items = ask(half.clone()).await;
    assert!(matches!(&items[..], [Ok(Delta::Text(_)), Err(ModelError::Broken(_))]), "{items:?}");

    let overloaded = event(json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}));
    let items = ask(half.iter().cloned().chain([overloaded]).collect()).await;
    assert!(matches!(&items[..], [Ok(_), Err(ModelError::Overloaded(None))]), "{items:?}");

    let items = ask(half.into_iter().chain([Step::Send("data: {oops\n\n".into())]).collect()).await;
    assert!(matches!(&items[..], [Ok(_), Err(ModelError::Broken(_))]), "{items:?}");
}

#[tokio::test]
async fn an_end_without_the_last_event_is_still_an_end() {
    let steps: Vec<Step> = start().into_iter().chain([text("x"), stop("max_tokens")]).collect();
    let items = ask(steps).await;
    assert_eq!(items.last().unwrap().as_ref().unwrap(), &Delta::Finish(FinishReason::Length));
}

#[tokio::test]
async fn after_the_end_pings_keep_nobody_waiting() {
    let pings = (0..20).flat_map(|_| [Step::Wait(Duration::from_millis(500)), event(json!({"type": "ping"}))]);
    let steps: Vec<Step> = start().into_iter().chain([text("x"), stop("end_turn")]).chain(pings).chain([Step::Hang]).collect();
    let began = std::time::Instant::now();
    let items = ask(steps).await;
    assert_eq!(items.last().unwrap().as_ref().unwrap(), &Delta::Finish(FinishReason::Stop));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn refusals_before_the_answer() {
    let error = |status: u16, headers: &'static str, kind: &'static str| async move {
        let body = json!({"type": "error", "error": {"type": kind, "message": "no sk-fake-secret"}}).to_string();
        ask(reply(status, headers, &body)).await.remove(0).unwrap_err()
    };
    let refused = error(401, "", "authentication_error").await;
    assert!(matches!(refused, ModelError::Unauthorized(_)) && !refused.to_string().contains("fake-secret"), "{refused}");
    let busy = error(529, "Retry-After: 2\r\n", "overloaded_error").await;
    assert!(matches!(busy, ModelError::Overloaded(Some(wait)) if wait == Duration::from_secs(2)), "{busy}");
    assert!(matches!(error(400, "", "invalid_request_error").await, ModelError::Refused(_)));
}

#[tokio::test]
async fn dropping_the_stream_ends_the_call() {
    let steps: Vec<Step> = start().into_iter().chain([text("x"), Step::Hang]).collect();
    let fake = Fake::start(move |_| steps.clone()).await;
    let mut deltas = model(&fake).await.stream(request()).await.unwrap();
    assert!(deltas.next().await.unwrap().is_ok());
    drop(deltas);
    tokio::time::timeout(Duration::from_secs(5), fake.somebody_left()).await.expect("the line is closed");
}
