//! Logs, metrics and traces: tracing to standard error as text or JSON, every metric name in one list, and
//! spans for a collector ([`traces`]).

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::LogConfig;
use crate::error::{Error, Result};

pub mod traces;

/// HTTP requests answered, by `route` and `status`.
pub const HTTP_REQUESTS: &str = "copilot_http_requests_total";
/// Time to the first byte of an HTTP answer, by `route`.
pub const HTTP_SECONDS: &str = "copilot_http_request_seconds";
/// Open WebSocket connections.
pub const SOCKETS: &str = "copilot_sockets";
/// WebSocket connections that ended, by `code`.
pub const SOCKETS_CLOSED: &str = "copilot_sockets_closed_total";
/// Turns ended, by `tenant`, `decision` and `status`.
pub const TURNS: &str = "copilot_turns_total";
/// From a question's arrival to the first text, by `tenant`.
pub const FIRST_TOKEN: &str = "copilot_first_token_seconds";
/// From a question's arrival to the end of its answer, by `tenant`.
pub const TURN_SECONDS: &str = "copilot_turn_seconds";
/// Searching the knowledge, by `tenant`.
pub const RETRIEVAL_SECONDS: &str = "copilot_retrieval_seconds";
/// Tokens sent to and received from models, by `tenant`, `model` and `direction`.
pub const MODEL_TOKENS: &str = "copilot_model_tokens_total";
/// Calls of models, each try by itself, by `model` and `outcome`: `answered`, `left`, or a code.
pub const MODEL_ATTEMPTS: &str = "copilot_model_attempts_total";
/// Answers that a model's failure ended, by `model` and `code`.
pub const MODEL_ERRORS: &str = "copilot_model_errors_total";

/// One leg's ranking of candidates, by `tenant` and `leg`.
pub const LEG_SECONDS: &str = "copilot_retrieval_leg_seconds";
/// Money spent on models in millionths of a unit, by `tenant`, `model` and `currency`.
pub const MODEL_COST: &str = "copilot_model_cost_micros_total";
/// What guardrails found, by `tenant`, `stage`, `rule` and `action`.
pub const SAFETY_FINDINGS: &str = "copilot_safety_findings_total";
/// Answers looked for in the cache, by `tenant` and `result`: `exact`, `similar`, `stale`, `miss`.
pub const CACHE_LOOKUPS: &str = "copilot_cache_lookups_total";

/// Tries to deliver an event to a webhook, by `tenant`, `endpoint` and `result`: `delivered`, `waiting`, `failed`.
pub const EVENT_DELIVERIES: &str = "copilot_event_deliveries_total";

const BUCKETS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Starts logging; a second call in one process (tests) changes nothing.
///
/// # Errors
/// `bad_config` when the filter cannot be read.
pub fn log_to_stderr(log: &LogConfig) -> Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| Error::invalid("bad_config", format!("`log.filter` is `{}`: {error}.", log.filter)))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let _already_started = match log.format.as_str() {
        "json" => lines.json().try_init(),
        _ => lines.try_init(),
    };
    Ok(())
}

/// What `/metrics` renders. The `metrics` crate has one recorder per process, so several apps in one
/// process (tests) share it.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(start_recorder).clone()
}

fn start_recorder() -> PrometheusHandle {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    // The only error is an empty bucket list.
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed: /metrics stays empty");
    }
    describe();
    handle
}

fn describe() {
    metrics::describe_counter!(HTTP_REQUESTS, "HTTP requests answered");
    metrics::describe_histogram!(HTTP_SECONDS, "Time to the first byte of an HTTP answer");
    metrics::describe_gauge!(SOCKETS, "Open WebSocket connections");
    metrics::describe_counter!(SOCKETS_CLOSED, "WebSocket connections that ended");
    metrics::describe_counter!(TURNS, "Turns ended");
    metrics::describe_histogram!(FIRST_TOKEN, "From a question's arrival to the first text");
    metrics::describe_histogram!(TURN_SECONDS, "From a question's arrival to the end of its answer");
    metrics::describe_histogram!(RETRIEVAL_SECONDS, "Searching the knowledge");
    metrics::describe_histogram!(LEG_SECONDS, "One leg's ranking of candidates");
    metrics::describe_counter!(MODEL_TOKENS, "Tokens sent to and received from models");
    metrics::describe_counter!(MODEL_COST, "Money spent on models, in millionths of a unit of the currency");
    metrics::describe_counter!(MODEL_ATTEMPTS, "Calls of models, each try by itself");
    metrics::describe_counter!(MODEL_ERRORS, "Answers that a model's failure ended");
    metrics::describe_counter!(SAFETY_FINDINGS, "What guardrails found in questions, sources and answers");
    metrics::describe_counter!(CACHE_LOOKUPS, "Answers looked for in the cache");
    metrics::describe_counter!(EVENT_DELIVERIES, "Tries to deliver an event to a webhook");
}
