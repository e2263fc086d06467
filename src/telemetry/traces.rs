//! Traces for an OpenTelemetry collector: what a turn went through, as spans, sent over OTLP/HTTP by a
//! thread of their own. Off unless an endpoint is configured; a collector that cannot be reached costs a
//! bounded queue of spans and a line in the log, and holds nobody up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, StringValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};

use crate::config::OtelConfig;
use crate::error::{Error, Result};
use crate::ids::Timestamp;

pub use opentelemetry::Value;

/// Names this program to the collector.
const SCOPE: &str = "merchant-copilot";
/// Where traces go below the endpoint.
const PATH: &str = "/v1/traces";
/// How long a collector may take with one batch.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How often spans leave.
const EVERY: Duration = Duration::from_secs(2);
/// Spans that may wait; more are dropped.
const WAITING: usize = 4096;
/// How long the last spans may take at a shutdown.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

tokio::task_local! {
    /// The trace that the request at hand belongs to.
    static CALLER: Caller;
}

/// The trace that a request names, or none.
pub type Caller = Context;

/// Does `work` as a part of the trace that a request names, if it names one.
pub async fn called_by<F: Future>(traceparent: Option<&str>, tracestate: Option<&str>, work: F) -> F::Output {
    let Some(traceparent) = traceparent else { return work.await };
    let named = [("traceparent", Some(traceparent)), ("tracestate", tracestate)];
    let named: HashMap<String, String> = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    CALLER.scope(TraceContextPropagator::new().extract_with_context(&Context::new(), &named), work).await
}

/// The trace that the request at hand belongs to; a new one otherwise.
pub fn caller() -> Caller {
    CALLER.try_with(Clone::clone).unwrap_or_default()
}

/// Something that took time, with what happened inside.
#[derive(Debug)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// When it began.
    pub from: Instant,
    /// When it was over.
    pub to: Instant,
    /// Whether it was a call of somebody else.
    pub outside: bool,
    /// What is known of it, by the names of the semantic conventions.
    pub facts: Vec<(&'static str, Value)>,
    /// The stable code of what went wrong.
    pub error: Option<String>,
    /// What happened inside.
    pub inside: Vec<Step>,
}

impl Step {
    /// A step of our own without facts.
    pub fn new(name: impl Into<String>, from: Instant, to: Instant) -> Self {
        Self { name: name.into(), from, to, outside: false, facts: Vec::new(), error: None, inside: Vec::new() }
    }

    /// With a fact more.
    pub fn fact(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.facts.push((name, value.into()));
        self
    }
}

/// A list of one text, where the conventions want a list.
pub fn list(one: &str) -> Value {
    Value::Array(Array::String(vec![StringValue::from(one.to_owned())]))
}

/// Sends traces, when there is somebody to send them to. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Sending>>);

struct Sending {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    content: bool,
}

impl Traces {
    /// Starts sending to the configured endpoint, from within the runtime; sends nothing without one.
    ///
    /// # Errors
    /// `bad_config` when the endpoint is no address.
    pub fn open(config: &OtelConfig) -> Result<Self> {
        if config.endpoint.is_empty() {
            return Ok(Self::default());
        }
        let wrong = |error: &dyn std::fmt::Display| {
            let message = format!("`otel.endpoint` is `{}`: {error}. Give the base address of an OTLP/HTTP collector.", config.endpoint);
            Error::invalid("bad_config", message)
        };
        let endpoint = config.endpoint.trim_end_matches('/').to_owned() + PATH;
        let headers = config.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(&endpoint).map_err(|error| wrong(&error))?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(SEND_WITHIN)
            .with_headers(headers)
            .build()
            .map_err(|error| wrong(&error))?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING).with_scheduled_delay(EVERY).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
            .with_resource(resource.build())
            .build();
        let tracer = provider.tracer(SCOPE);
        Ok(Self(Some(Arc::new(Sending { provider, tracer, content: config.content }))))
    }

    /// Whether anybody is told.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether questions and answers are told too.
    pub fn with_content(&self) -> bool {
        self.0.as_ref().is_some_and(|sending| sending.content)
    }

    /// Tells a step that is over, and what happened inside, as a part of the caller's trace. `now` is the
    /// time of day that it is.
    pub fn tell(&self, step: Step, caller: &Caller, now: Timestamp) {
        let Some(sending) = &self.0 else { return };
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now.0.unsigned_abs());
        sending.tell(step, caller, &Today { now, instant: Instant::now() });
    }

    /// Sends what is left; afterwards nothing is sent any more.
    pub async fn close(&self) {
        let Some(sending) = self.0.clone() else { return };
        let closed = tokio::task::spawn_blocking(move || sending.provider.shutdown_with_timeout(FLUSH_WITHIN)).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!("the last traces did not reach their collector");
        }
    }
}

/// What time of day a moment was.
struct Today {
    now: SystemTime,
    instant: Instant,
}

impl Today {
    fn at(&self, moment: Instant) -> SystemTime {
        self.now - self.instant.saturating_duration_since(moment)
    }
}

impl Sending {
    fn tell(&self, step: Step, parent: &Context, today: &Today) {
        let facts = step.facts.into_iter().map(|(name, value)| KeyValue::new(name, value));
        let error = step.error.iter().map(|code| KeyValue::new("error.type", code.clone()));
        let builder = SpanBuilder::from_name(step.name)
            .with_kind(if step.outside { SpanKind::Client } else { SpanKind::Internal })
            .with_start_time(today.at(step.from))
            .with_attributes(facts.chain(error));
        let mut span = self.tracer.build_with_context(builder, parent);
        if let Some(code) = step.error {
            span.set_status(Status::error(code));
        }
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        for inside in step.inside {
            self.tell(inside, &context, today);
        }
        span.end_with_timestamp(today.at(step.to));
    }
}

/// The way to the collector: the SDK's thread hands a batch over to our runtime and our HTTP client.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: tokio::runtime::Handle,
    failing: AtomicBool,
}

impl Collector {
    fn new(endpoint: &str) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let url = reqwest::Url::parse(endpoint)?;
        let mut builder = reqwest::Client::builder().timeout(SEND_WITHIN).redirect(reqwest::redirect::Policy::none());
        // A collector on this machine is never behind the proxy that the environment may name.
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build()?, runtime: tokio::runtime::Handle::current(), failing: AtomicBool::new(false) })
    }

    /// Says once that traces are lost, and once that they are not any more.
    fn note(&self, failed: Option<&dyn std::fmt::Display>) {
        let before = self.failing.swap(failed.is_some(), Ordering::Relaxed);
        match failed {
            Some(error) if !before => tracing::warn!("traces do not reach their collector: {error}"),
            None if before => tracing::info!("traces reach their collector again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> std::result::Result<http::Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let http = self.http.clone();
        let exchange = self.runtime.spawn(async move {
            let answer = http.execute(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        });
        let (status, headers, body) = match exchange.await? {
            Ok(answer) => answer,
            Err(error) => {
                let error = error.without_url();
                self.note(Some(&error));
                return Err(error.into());
            }
        };
        self.note((!status.is_success()).then_some(&status as &dyn std::fmt::Display));
        let mut answer = http::Response::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}
