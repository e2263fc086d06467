//! A turn as a collector sees it: an OTLP/HTTP collector in this process, what it is told by whom and in
//! whose trace, what it is never told, and that one that cannot be reached holds nobody up.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use merchant_copilot::config::{Config, Secret};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use reqwest::Method;
use serde_json::json;

use super::fake_provider::{ANSWER, FakeProvider};
use super::server::{Server, Setup};

const GROUNDED: &str = "退货地址在哪里修改？";
const KEY: &str = "Bearer collector-key";

/// A collector and what it was told.
struct Collector {
    endpoint: String,
    told: Told,
}

type Told = Arc<Mutex<Vec<Span>>>;

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let told = Told::default();
        let app = Router::new().route("/v1/traces", post(collect)).with_state(Arc::clone(&told));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, told }
    }

    fn spans(&self) -> Vec<Span> {
        self.told.lock().unwrap().clone()
    }
}

async fn collect(State(told): State<Told>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if headers.get("authorization").is_none_or(|key| key != KEY) {
        return StatusCode::UNAUTHORIZED;
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let named = resource.resource.unwrap().attributes;
        assert!(named.iter().any(|fact| fact.key == "service.name" && text(fact.value.as_ref().unwrap().value.as_ref()) == "shop-copilot"));
        told.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    StatusCode::OK
}

fn text(value: Option<&Any>) -> String {
    match value {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(yes)) => yes.to_string(),
        Some(Any::ArrayValue(list)) => list.values.iter().map(|value| text(value.value.as_ref())).collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    }
}

/// What a span says under a name.
fn fact(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|fact| fact.key == name)?;
    Some(text(found.value.as_ref().and_then(|value| value.value.as_ref())))
}

#[track_caller]
fn says(span: &Span, facts: &[(&str, &str)]) {
    for (name, value) in facts {
        assert_eq!(fact(span, name).as_deref(), Some(*value), "{name} of {span:#?}");
    }
}

async fn server(provider: &Arc<FakeProvider>, endpoint: &str, content: bool) -> Server {
    let endpoint = endpoint.to_owned();
    let change = move |config: &mut Config| {
        config.otel.endpoint = endpoint;
        config.otel.headers.insert("authorization".into(), Secret::new(KEY));
        config.otel.service_name = "shop-copilot".into();
        config.otel.content = content;
        let fake = config.models.providers.get_mut("fake").unwrap();
        fake.models.iter_mut().find(|model| model.id == "unauthorized").unwrap().fallback = vec!["normal".into()];
    };
    Server::start(Setup { provider: Some(Arc::clone(provider)), change: Some(Box::new(change)), ..Setup::default() }).await
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

// Stopping the server holds this thread, and the collector must answer meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_turn_is_one_trace_with_its_search_and_every_call_of_a_model() {
    let (provider, collector) = (Arc::new(FakeProvider::start()), Collector::start().await);
    let mut server = server(&provider, &collector.endpoint, false).await;
    let turn = server.session(&server.member).await.ask(GROUNDED, json!({"model": "unauthorized"})).await;
    // Stopping sends what is left.
    server.stop();
    let spans = collector.spans();
    let root = named(&spans, "invoke_workflow turn");
    assert!(root.parent_span_id.is_empty());
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    says(
        root,
        &[
            ("gen_ai.operation.name", "invoke_workflow"),
            ("gen_ai.conversation.id", turn.conversation()),
            ("copilot.tenant", "demo"),
            ("copilot.response.id", turn.response()),
            ("copilot.channel", "ws"),
            ("copilot.decision", "grounded"),
            ("copilot.status", "completed"),
            ("gen_ai.response.finish_reasons", "stop"),
        ],
    );
    let search = named(&spans, "retrieval demo");
    says(search, &[("gen_ai.operation.name", "retrieval"), ("gen_ai.data_source.id", "demo")]);
    assert_eq!(search.parent_span_id, root.span_id);
    for leg in ["lexical", "semantic"] {
        let span = named(&spans, &format!("retrieval {leg}"));
        says(span, &[("copilot.retrieval.leg", leg)]);
        assert_eq!(span.parent_span_id, search.span_id);
    }
    let refused = named(&spans, "chat unauthorized");
    says(refused, &[("error.type", "model_unauthorized"), ("gen_ai.request.model", "unauthorized")]);
    assert!(fact(refused, "gen_ai.usage.input_tokens").is_none() && fact(refused, "gen_ai.response.model").is_none());
    let address = provider.config().base_url;
    let port = address.trim_start_matches("http://127.0.0.1:").trim_end_matches("/v1").to_owned();
    let answered = named(&spans, "chat normal");
    says(
        answered,
        &[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai_compatible"),
            ("gen_ai.request.model", "normal"),
            ("gen_ai.request.stream", "true"),
            // What the provider itself says.
            ("gen_ai.response.model", "m"),
            ("gen_ai.response.finish_reasons", "stop"),
            ("gen_ai.usage.input_tokens", "100"),
            ("gen_ai.usage.output_tokens", "20"),
            ("gen_ai.conversation.id", turn.conversation()),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
        ],
    );
    assert_eq!((fact(answered, "error.type"), answered.kind), (None, SpanKind::Client as i32));
    for span in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:#?}");
        assert!(root.start_time_unix_nano <= span.start_time_unix_nano && span.end_time_unix_nano <= root.end_time_unix_nano, "{span:#?}");
    }
    let everything = format!("{spans:?}");
    for secret in [GROUNDED, ANSWER[0], "保存后立即生效", "sk-fake-secret", "collector-key", server.member.as_str()] {
        assert!(!everything.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_said_is_told_only_when_wanted() {
    let (provider, collector) = (Arc::new(FakeProvider::start()), Collector::start().await);
    let mut server = server(&provider, &collector.endpoint, true).await;
    server.session(&server.member).await.ask(GROUNDED, json!({"model": "normal"})).await;
    server.stop();
    let spans = collector.spans();
    let answered = named(&spans, "chat normal");
    assert!(fact(answered, "gen_ai.input.messages").unwrap().contains(GROUNDED));
    assert!(fact(answered, "gen_ai.output.messages").unwrap().contains(ANSWER[2]));
    assert!(!format!("{spans:?}").contains("sk-fake-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_s_trace_goes_on_in_the_turn() {
    let (provider, collector) = (Arc::new(FakeProvider::start()), Collector::start().await);
    let mut server = server(&provider, &collector.endpoint, false).await;
    let ask = async |traceparent: &str| {
        let request = server.request(Method::POST, "/api/v1/chat").bearer_auth(&server.member).header("traceparent", traceparent);
        let answer = request.json(&json!({"text": GROUNDED, "model": "normal"})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap();
    };
    ask("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").await;
    // Its caller does not want it recorded; and one that is none begins a trace of its own.
    ask("00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").await;
    ask("00-zz").await;
    server.stop();
    let spans = collector.spans();
    let roots: Vec<&Span> = spans.iter().filter(|span| span.name == "invoke_workflow turn").collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut told: Vec<(String, String)> = roots.iter().map(|root| (hex(&root.trace_id), hex(&root.parent_span_id))).collect();
    told.sort_by_key(|(_, parent)| std::cmp::Reverse(parent.clone()));
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], ("0af7651916cd43dd8448eb211c80319c".into(), "b7ad6b7169203331".into()));
    assert!(told[1].1.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_is_not_there_or_never_answers_holds_nobody_up() {
    let provider = Arc::new(FakeProvider::start());
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for address in [gone, silent.local_addr().unwrap()] {
        let mut server = server(&provider, &format!("http://{address}"), false).await;
        let mut socket = server.session(&server.member).await;
        let asking = Instant::now();
        for _ in 0..5 {
            socket.ask(GROUNDED, json!({"model": "normal"})).await.check();
        }
        assert!(asking.elapsed() < Duration::from_secs(30), "{:?}", asking.elapsed());
        drop(socket);
        let stopping = Instant::now();
        server.stop();
        assert!(stopping.elapsed() < Duration::from_secs(15), "{:?}", stopping.elapsed());
    }
}
