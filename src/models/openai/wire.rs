//! What goes over an OpenAI-compatible wire, as data: the request, the chunks of an answer, and the many
//! forms of an error. No network here, so every provider's peculiarity has a plain test.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::super::{CompletionRequest, Delta, FinishReason, ModelError, Role, Usage};
use crate::ids::Clock;

/// Where an endpoint differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quirks {
    /// The key that limits an answer's length.
    max_tokens: &'static str,
    thinking: Thinking,
}

/// How an endpoint is told to use its own reasoning, or not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thinking {
    /// `reasoning_effort`, only when wanted.
    Effort,
    /// `enable_thinking`, always: hybrid models think unless told not to.
    Flag,
    /// `thinking.type`, always; and earlier answers must then carry a `reasoning_content`.
    Kind,
}

const USUAL: Quirks = Quirks { max_tokens: "max_tokens", thinking: Thinking::Effort };

/// Endpoints by the end of their host name.
const KNOWN: [(&str, Quirks); 3] = [
    ("api.openai.com", Quirks { max_tokens: "max_completion_tokens", ..USUAL }),
    ("aliyuncs.com", Quirks { thinking: Thinking::Flag, ..USUAL }),
    ("api.deepseek.com", Quirks { thinking: Thinking::Kind, ..USUAL }),
];

/// The peculiarities of the endpoint on this host.
pub(super) fn quirks(host: &str) -> Quirks {
    let ends = |known: &str| host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    KNOWN.iter().find(|(known, _)| ends(known)).map_or(USUAL, |&(_, quirks)| quirks)
}

/// The body of a streaming call.
pub(super) fn body(model: &str, quirks: Quirks, request: &CompletionRequest) -> Value {
    let mut body = json!({
        "model": model,
        "messages": request.messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if let Some(most) = request.max_tokens {
        body[quirks.max_tokens] = most.into();
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = temperature.into();
    }
    let wanted = request.native_reasoning;
    match quirks.thinking {
        Thinking::Effort if wanted => body["reasoning_effort"] = "medium".into(),
        Thinking::Effort => {}
        Thinking::Flag => body["enable_thinking"] = wanted.into(),
        Thinking::Kind => {
            body["thinking"] = json!({"type": if wanted { "enabled" } else { "disabled" }});
            if wanted {
                body["messages"] = request.messages.iter().map(with_reasoning).collect();
            }
        }
    }
    body
}

/// We keep no reasoning of earlier turns; one space satisfies an endpoint that insists on some.
fn with_reasoning(message: &super::super::Message) -> Value {
    let mut value = json!(message);
    if message.role == Role::Assistant {
        value["reasoning_content"] = " ".into();
    }
    value
}

/// What a chunk brings, in the order reasoning, text, usage, finish; nothing for chunks that bring none.
///
/// # Errors
/// The error that some providers send in place of a chunk.
pub(super) fn deltas(chunk: &Value, key: &str) -> Result<Vec<Delta>, ModelError> {
    if let Some(complaint) = Complaint::in_stream(chunk) {
        return Err(complaint.into_error(None, None, key));
    }
    let choice = &chunk["choices"][0];
    let part = if choice["message"].is_object() { &choice["message"] } else { &choice["delta"] };
    let said = |name: &str| part[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let reasoning = ["reasoning_content", "reasoning", "thinking"].into_iter().find_map(said);
    let text = said("content").or_else(|| said("refusal"));
    let found = [
        reasoning.map(Delta::Reasoning),
        text.map(Delta::Text),
        usage(chunk).or_else(|| usage(choice)).map(Delta::Usage),
        choice["finish_reason"].as_str().and_then(finish).map(Delta::Finish),
    ];
    Ok(found.into_iter().flatten().collect())
}

fn usage(holder: &Value) -> Option<Usage> {
    let usage = holder["usage"].as_object()?;
    let tokens = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or_default();
    Some(Usage { prompt_tokens: tokens("prompt_tokens"), completion_tokens: tokens("completion_tokens") })
}

fn finish(reason: &str) -> Option<FinishReason> {
    match reason {
        "" | "null" => None,
        "length" | "max_tokens" => Some(FinishReason::Length),
        "content_filter" | "sensitive" => Some(FinishReason::ContentFilter),
        _ => Some(FinishReason::Stop),
    }
}

/// The error for a reply that is not a success.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8], key: &str) -> ModelError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    Complaint::in_reply(&body).into_error(Some(status.as_u16()), retry_after(headers), key)
}

/// `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |name: &str| text(name).and_then(|text| text.parse::<f64>().ok());
    let date = || {
        let date = chrono::DateTime::parse_from_rfc2822(text("retry-after")?).ok()?;
        Some((date.timestamp_millis() - Clock::system().now().0) as f64 / 1000.0)
    };
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after")).or_else(date)?;
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// What a provider says about an error, in whichever form.
#[derive(Debug, Default)]
struct Complaint {
    message: String,
    /// Its code and type, in lower case.
    words: String,
    /// The status it names itself.
    status: Option<u16>,
}

/// No balance or a spending limit: waiting does not help.
const NO_MONEY: [&str; 6] = ["insufficient_quota", "insufficient_balance", "billing", "credit", "spend", "arrearage"];

impl Complaint {
    /// An error object in place of a chunk.
    fn in_stream(chunk: &Value) -> Option<Self> {
        let chunk = if chunk.is_array() { &chunk[0] } else { chunk };
        let error = &chunk["error"];
        let is_one = error.is_object() || error.is_string() || chunk["object"] == "error";
        is_one.then(|| Self::in_reply(chunk))
    }

    /// The body of a reply that is not a success: `{"error":{…}}`, `{"error":"…"}`, `[{"error":…}]`, or
    /// the fields at the top.
    fn in_reply(body: &Value) -> Self {
        let body = if body.is_array() { &body[0] } else { body };
        let error = if body["error"].is_object() { &body["error"] } else { body };
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let code = text(&error["code"]);
        let message = ["message", "detail", "error"].iter().map(|name| text(&error[name])).find(|text| !text.is_empty());
        Self {
            message: message.unwrap_or_default(),
            words: format!("{code} {} {}", text(&error["type"]), text(&error["status"])).to_lowercase(),
            status: code.parse().ok().filter(|status| (400..600).contains(status)),
        }
    }

    /// The error it means; `status` is the reply's, if it had one of its own.
    fn into_error(self, status: Option<u16>, retry_after: Option<Duration>, key: &str) -> ModelError {
        let words = &self.words;
        let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
        let status = status.or(self.status);
        let no_key = has(&["api_key", "authentication", "permission"]) || self.message.to_lowercase().contains("api key");
        let client = status.is_none_or(|status| (400..500).contains(&status));
        let text = self.text(status, key);
        match status {
            _ if client && (no_key || has(&NO_MONEY)) => ModelError::Unauthorized(text),
            Some(401..=403) => ModelError::Unauthorized(text),
            Some(429) => ModelError::RateLimited(retry_after),
            Some(408 | 409 | 425 | 500..) => ModelError::Unavailable(text),
            Some(_) => ModelError::Refused(text),
            None if has(&["rate_limit", "throttling"]) => ModelError::RateLimited(None),
            None if has(&["invalid_request", "context_length", "content_filter"]) => ModelError::Refused(text),
            None => ModelError::Unavailable(text),
        }
    }

    /// One line for people, without the key that some providers repeat.
    fn text(&self, status: Option<u16>, key: &str) -> String {
        let mut message = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        if key.len() >= 4 {
            message = message.replace(key, "…");
        }
        let message: String = message.chars().take(300).collect();
        match status.and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) if message.is_empty() => format!("HTTP {status}"),
            Some(status) => format!("HTTP {}: {message}", status.as_u16()),
            None if message.is_empty() => "it sent an error without a message".to_owned(),
            None => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Message;
    use super::*;

    fn error(status: u16, body: Value) -> ModelError {
        let status = StatusCode::from_u16(status).unwrap();
        refusal(status, &HeaderMap::new(), body.to_string().as_bytes(), "sk-secret-key")
    }

    #[test]
    fn hosts_have_their_quirks() {
        let request = CompletionRequest {
            messages: vec![Message { role: Role::Assistant, content: "hi".into() }],
            max_tokens: Some(9),
            ..CompletionRequest::default()
        };
        let thinking = CompletionRequest { native_reasoning: true, ..request.clone() };
        let of = |host: &str, request| body("m", quirks(host), request);
        assert_eq!(of("api.openai.com", &request)["max_completion_tokens"], 9);
        assert_eq!(of("127.0.0.1", &request)["max_tokens"], 9);
        assert_eq!(of("127.0.0.1", &request).get("reasoning_effort"), None);
        assert_eq!(of("127.0.0.1", &thinking)["reasoning_effort"], "medium");
        assert_eq!(of("dashscope-intl.aliyuncs.com", &request)["enable_thinking"], false);
        assert_eq!(of("dashscope.aliyuncs.com", &thinking)["enable_thinking"], true);
        assert_eq!(of("api.deepseek.com", &request)["thinking"]["type"], "disabled");
        assert_eq!(of("api.deepseek.com", &thinking)["messages"][0]["reasoning_content"], " ");
        assert_eq!(quirks("notapi.deepseek.com"), USUAL);
        assert_eq!(of("h", &request)["stream_options"]["include_usage"], true);
        assert_eq!(of("h", &request).get("temperature"), None);
    }

    #[test]
    fn chunks_of_every_dialect() {
        let of = |chunk: Value| deltas(&chunk, "").unwrap();
        for name in ["reasoning_content", "reasoning", "thinking"] {
            let chunk = json!({"choices": [{"delta": {name: "why", "content": null}}]});
            assert_eq!(of(chunk), [Delta::Reasoning("why".into())]);
        }
        assert_eq!(of(json!({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": ""}]})), []);
        assert_eq!(of(json!({"choices": [], "prompt_filter_results": []})), []);
        let used = Delta::Usage(Usage { prompt_tokens: 7, completion_tokens: 3 });
        let usage = json!({"prompt_tokens": 7, "completion_tokens": 3});
        assert_eq!(of(json!({"choices": [], "usage": usage})), std::slice::from_ref(&used));
        assert_eq!(of(json!({"choices": [{"index": 0, "delta": {}}], "usage": usage})), std::slice::from_ref(&used));
        let last = json!({"choices": [{"delta": {"content": "x"}, "finish_reason": "length", "usage": usage}], "usage": null});
        assert_eq!(of(last), [Delta::Text("x".into()), used, Delta::Finish(FinishReason::Length)]);
    }

    #[test]
    fn errors_say_what_can_be_done() {
        use ModelError as E;
        let message = |code: &str| json!({"error": {"message": "no", "type": "t", "param": null, "code": code}});
        assert!(matches!(error(401, message("x")), E::Unauthorized(_)));
        assert!(matches!(error(402, message("x")), E::Unauthorized(_)));
        assert!(matches!(error(429, message("rate_limit_exceeded")), E::RateLimited(None)));
        assert!(matches!(error(429, message("insufficient_quota")), E::Unauthorized(_)));
        assert!(matches!(error(400, message("Arrearage")), E::Unauthorized(_)));
        assert!(matches!(error(422, message("x")), E::Refused(_)));
        assert!(matches!(error(302, Value::Null), E::Refused(_)));
        assert!(matches!(error(529, message("overloaded_error")), E::Unavailable(_)));
        let array = json!([{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]);
        assert!(matches!(error(400, array), E::Unauthorized(_)));
        let plain = json!({"object": "error", "message": "too long", "code": 400});
        assert!(matches!(deltas(&plain, ""), Err(E::Refused(text)) if text == "HTTP 400: too long"));
        for code in [json!(429), json!("429")] {
            let chunk = json!({"error": {"message": "slow", "code": code}});
            assert!(matches!(deltas(&chunk, ""), Err(E::RateLimited(None))));
        }
        let chunk = json!({"error": "the model crashed"});
        assert!(matches!(deltas(&chunk, ""), Err(E::Unavailable(text)) if text == "the model crashed"));
    }

    #[test]
    fn a_key_is_never_repeated() {
        let said = json!({"error": {"message": "Incorrect API key\nprovided: sk-secret-key."}});
        let text = error(401, said).to_string();
        assert!(!text.contains("secret") && text.contains("provided: …."), "{text}");
    }

    #[test]
    fn the_wait_is_read_in_every_form() {
        let wait = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(wait("retry-after-ms", "150"), Some(Duration::from_millis(150)));
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("retry-after", "soon"), None);
    }
}
