//! The client against a provider that follows a script.

use serde_json::json;

use super::super::fake::{Fake, Step, answer, chunk, delta, ending, reply, streaming};
use super::super::{Message, Role, Usage};
use super::*;

use super::super::http_client;
use crate::config::{ProviderConfig, Secret};

fn model(provider: &ProviderConfig, id: &str) -> OpenAiModel {
    let site = Arc::new(Site::of("fake", provider).unwrap());
    let http = http_client::client(&site.base, Duration::from_millis(500)).unwrap();
    OpenAiModel::new(site, http, ModelConfig::named(id))
}

fn request() -> CompletionRequest {
    CompletionRequest { messages: vec![Message { role: Role::User, content: "保证金多少？".into() }], ..CompletionRequest::default() }
}

/// Everything a provider with this script makes of a question.
async fn ask(steps: Vec<Step>) -> Vec<Result<Delta, ModelError>> {
    let fake = Fake::start(move |_| steps.clone()).await;
    let model = model(&fake.provider(), "m");
    match model.stream(request()).await {
        Ok(deltas) => deltas.collect().await,
        Err(error) => vec![Err(error)],
    }
}

fn joined(items: &[Result<Delta, ModelError>]) -> (String, String) {
    let mut joined = (String::new(), String::new());
    for item in items {
        match item {
            Ok(Delta::Reasoning(text)) => joined.0.push_str(text),
            Ok(Delta::Text(text)) => joined.1.push_str(text),
            _ => {}
        }
    }
    joined
}

fn error_of(items: Vec<Result<Delta, ModelError>>) -> ModelError {
    items.into_iter().find_map(Result::err).expect("an error")
}

const FINISH: Delta = Delta::Finish(FinishReason::Stop);

#[tokio::test]
async fn an_answer_comes_with_usage_and_then_the_finish() {
    let fake = Fake::start(|_| answer(&["保证", "金"])).await;
    let model = model(&fake.provider(), "my-model");
    let items: Vec<Delta> = model.stream(request()).await.unwrap().map(Result::unwrap).collect().await;
    let usage = Delta::Usage(Usage { prompt_tokens: 11, completion_tokens: 5, cached_tokens: 0 });
    assert_eq!(items, [Delta::Text("保证".into()), Delta::Text("金".into()), usage, FINISH]);

    let seen = fake.seen().remove(0);
    let head = seen.head.to_lowercase();
    assert!(head.starts_with("post /v1/chat/completions "), "{head}");
    assert!(head.contains("authorization: bearer sk-fake-secret") && !head.contains("openai-organization"), "{head}");
    assert_eq!(seen.body["model"], "my-model");
    assert_eq!(seen.body["messages"], json!([{"role": "user", "content": "保证金多少？"}]));
    assert_eq!(seen.body["stream"], true);
}

#[tokio::test]
async fn without_a_key_no_authorization_is_sent() {
    let fake = Fake::start(|_| answer(&["x"])).await;
    let provider = ProviderConfig { api_key: Secret::default(), ..fake.provider() };
    let model = model(&provider, "m");
    let _ = model.stream(request()).await.unwrap().collect::<Vec<_>>().await;
    assert!(!fake.seen()[0].head.to_lowercase().contains("authorization"));
}

#[tokio::test]
async fn reasoning_in_a_field_of_its_own_is_whole_wherever_it_is_cut() {
    let (reasoning, text) = ("先看来源[1]", "1000 元[1]。");
    let boundaries = |text: &'static str| text.char_indices().map(|(at, _)| at);
    for (field, at) in ["reasoning_content", "reasoning", "thinking"].iter().zip([0, 1, 2].map(|i| i * 3)) {
        for cut in boundaries(text) {
            let parts = [(*field, &reasoning[..at]), (field, &reasoning[at..]), ("content", &text[..cut]), ("content", &text[cut..])];
            let steps = std::iter::once(streaming()).chain(parts.map(|(field, part)| delta(field, part))).chain(ending());
            let items = ask(steps.collect()).await;
            assert_eq!(joined(&items), (reasoning.to_owned(), text.to_owned()));
            assert_eq!(items.last().unwrap().as_ref().unwrap(), &FINISH);
        }
    }
}

#[tokio::test]
async fn bytes_may_be_cut_inside_a_character_and_lines_may_end_in_crlf() {
    let body = "data:{\"choices\":[{\"delta\":{\"content\":\"元\"}}]}\r\n\r\n: keep-alive\r\n\r\ndata: [DONE]\r\n\r\n";
    let (start, rest) = body.as_bytes().split_at(body.find('元').unwrap() + 1);
    let wait = Step::Wait(Duration::from_millis(20));
    let items = ask(vec![streaming(), Step::Bytes(start.to_vec()), wait, Step::Bytes(rest.to_vec())]).await;
    assert_eq!(joined(&items).1, "元");
}

#[tokio::test]
async fn refusals_before_the_answer() {
    let body = r#"{"error":{"message":"bad key sk-fake-secret","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let error = error_of(ask(reply(401, "", body)).await);
    assert!(matches!(error, ModelError::Unauthorized(_)) && !error.to_string().contains("fake-secret"), "{error}");

    let error = error_of(ask(reply(429, "Retry-After: 3\r\n", "{}")).await);
    assert!(matches!(error, ModelError::RateLimited(Some(wait)) if wait == Duration::from_secs(3)), "{error}");

    let error = error_of(ask(reply(500, "Content-Type: text/html\r\n", "<html>oops</html>")).await);
    assert!(matches!(&error, ModelError::Unavailable(text) if text == "HTTP 500 Internal Server Error"), "{error}");

    let error = error_of(ask(reply(400, "", r#"{"error":{"message":"too long","code":400}}"#)).await);
    assert!(matches!(error, ModelError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_success_that_is_none() {
    let json = "Content-Type: application/json\r\n";
    let error = error_of(ask(reply(200, json, r#"{"error":{"message":"busy","code":503}}"#)).await);
    assert!(matches!(&error, ModelError::Unavailable(text) if text == "HTTP 503: busy"), "{error}");

    let whole = r#"{"choices":[{"message":{"role":"assistant","content":"all at once"},"finish_reason":"length"}]}"#;
    let items = ask(reply(200, json, whole)).await;
    assert_eq!(joined(&items).1, "all at once");
    assert_eq!(items.last().unwrap().as_ref().unwrap(), &Delta::Finish(FinishReason::Length));
}

#[tokio::test]
async fn an_error_in_the_middle_ends_the_answer() {
    let error = chunk(json!({"error": {"message": "overloaded", "type": "server_error"}}));
    let items = ask(vec![streaming(), delta("content", "half"), error]).await;
    assert_eq!(joined(&items).1, "half");
    assert!(matches!(items.last(), Some(Err(ModelError::Unavailable(text))) if text == "overloaded"), "{items:?}");
}

#[tokio::test]
async fn a_connection_that_closes_early_is_a_broken_answer() {
    let closes = vec![streaming(), delta("content", "half")];
    assert!(matches!(error_of(ask(closes.clone()).await), ModelError::Broken(_)));

    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n40\r\ndata: {";
    assert!(matches!(error_of(ask(vec![Step::Send(chunked.to_owned())]).await), ModelError::Broken(_)));

    let garbage = vec![streaming(), Step::Send("data: {oops\n\n".to_owned())];
    assert!(matches!(error_of(ask(garbage).await), ModelError::Broken(_)));
}

#[tokio::test]
async fn an_end_that_lacks_something_is_still_an_end() {
    let stop = chunk(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}));
    let usage = chunk(json!({"choices": [{"index": 0, "delta": {}}], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}));
    // No [DONE]; and, as LiteLLM does, the counts with an empty choice after the finish.
    let items = ask(vec![streaming(), delta("content", "x"), stop.clone(), usage]).await;
    let counts = Delta::Usage(Usage { prompt_tokens: 2, completion_tokens: 1, cached_tokens: 0 });
    assert_eq!(items.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [Delta::Text("x".into()), counts, FINISH]);
    // [DONE] without a reason.
    let items = ask(vec![streaming(), delta("content", "x"), Step::Send("data: [DONE]\n\n".into())]).await;
    assert_eq!(items.last().unwrap().as_ref().unwrap(), &FINISH);
    // Nothing at all after the reason; or something again and again, and never an end.
    let empty = chunk(json!({"choices": []}));
    let beats: Vec<Step> = (0..20).flat_map(|_| [Step::Wait(Duration::from_millis(500)), empty.clone()]).collect();
    for after in [Vec::new(), beats] {
        let began = std::time::Instant::now();
        let items = ask([vec![streaming(), delta("content", "x"), stop.clone()], after, vec![Step::Hang]].concat()).await;
        assert_eq!(items.last().unwrap().as_ref().unwrap(), &FINISH);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn dropping_the_stream_ends_the_call() {
    let fake = Fake::start(|_| vec![streaming(), delta("content", "x"), Step::Hang]).await;
    let model = model(&fake.provider(), "m");
    let mut deltas = model.stream(request()).await.unwrap();
    assert!(deltas.next().await.unwrap().is_ok());
    drop(deltas);
    tokio::time::timeout(Duration::from_secs(5), fake.somebody_left()).await.expect("the line is closed");
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_says_why() {
    let fake = Fake::start(|_| Vec::new()).await;
    let provider = ProviderConfig { base_url: "http://127.0.0.1:1/v1".to_owned(), ..fake.provider() };
    let model = model(&provider, "m");
    let error = model.stream(request()).await.err().unwrap();
    assert!(matches!(&error, ModelError::Unavailable(text) if text.contains("refused")), "{error}");
}

#[tokio::test]
async fn azure_has_the_deployment_in_the_path_and_the_key_in_a_header_of_its_own() {
    let filtered = chunk(json!({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}));
    let steps: Vec<Step> = [streaming(), filtered].into_iter().chain(answer(&["好"]).into_iter().skip(1)).collect();
    let fake = Fake::start(move |_| steps.clone()).await;
    let base_url = fake.base_url().trim_end_matches("/v1/").to_owned();
    let provider = ProviderConfig { kind: crate::config::ProviderKind::Azure, base_url, ..fake.provider() };
    let items: Vec<_> = model(&provider, "my-deployment").stream(request()).await.unwrap().collect().await;
    assert_eq!(joined(&items).1, "好");
    let head = fake.seen()[0].head.to_lowercase();
    assert!(head.starts_with("post /openai/deployments/my-deployment/chat/completions?api-version=2024-10-21 "), "{head}");
    assert!(head.contains("api-key: sk-fake-secret") && !head.contains("authorization"), "{head}");

    let blocked = r#"{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","innererror":{}}}"#;
    assert!(matches!(error_of(ask(reply(400, "", blocked)).await), ModelError::Refused(_)));
}
