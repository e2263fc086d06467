//! What a provider says about an error, in whichever form, as the [`ModelError`] that says what can be
//! done. Shared by every dialect.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::ModelError;
use crate::ids::Clock;

/// The error for a reply that is not a success.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8], key: &str) -> ModelError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    Complaint::in_reply(&body).into_error(Some(status.as_u16()), retry_after(headers), key)
}

/// The error that some providers send in place of a chunk, if it is one.
pub(super) fn in_stream(chunk: &Value, key: &str) -> Option<ModelError> {
    let chunk = if chunk.is_array() { &chunk[0] } else { chunk };
    let error = &chunk["error"];
    let is_one = error.is_object() || error.is_string() || chunk["object"] == "error";
    is_one.then(|| Complaint::in_reply(chunk).into_error(None, None, key))
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
        let detail = text(&error["details"]["error_code"]);
        Self {
            message: message.unwrap_or_default(),
            words: format!("{code} {} {} {detail}", text(&error["type"]), text(&error["status"])).to_lowercase(),
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
            // With a model that is there, 404 is a wrong address: the operator's to put right all the same.
            Some(404) => ModelError::Unknown(text),
            _ if client && self.names_no_model() => ModelError::Unknown(text),
            Some(429) => ModelError::RateLimited(retry_after),
            Some(529) => ModelError::Overloaded(retry_after),
            Some(503) if retry_after.is_some() => ModelError::Overloaded(retry_after),
            Some(408 | 409 | 425 | 500..) => ModelError::Unavailable(text),
            Some(_) => ModelError::Refused(text),
            None if has(&["overloaded"]) => ModelError::Overloaded(None),
            None if has(&["rate_limit", "throttling"]) => ModelError::RateLimited(None),
            None if has(&["invalid_request", "context_length", "content_filter"]) => ModelError::Refused(text),
            None => ModelError::Unavailable(text),
        }
    }

    /// Whether it says that there is no model of that name, in whatever status.
    fn names_no_model(&self) -> bool {
        let message = self.message.to_lowercase();
        let missing = ["does not exist", "not exist", "not found", "invalid model name", "unknown model"];
        ["model_not_found", "model_not_exist", "modelnotfound"].iter().any(|word| self.words.contains(word))
            || (message.contains("model") && missing.iter().any(|words| message.contains(words)))
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
    use super::*;
    use serde_json::json;

    fn error(status: u16, body: Value) -> ModelError {
        let status = StatusCode::from_u16(status).unwrap();
        refusal(status, &HeaderMap::new(), body.to_string().as_bytes(), "sk-secret-key")
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
        assert!(matches!(error(503, Value::Null), E::Unavailable(_)));
        let array = json!([{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]);
        assert!(matches!(error(400, array), E::Unauthorized(_)));
        let plain = json!({"object": "error", "message": "too long", "code": 400});
        assert!(matches!(in_stream(&plain, ""), Some(E::Refused(text)) if text == "HTTP 400: too long"));
        for code in [json!(429), json!("429")] {
            let chunk = json!({"error": {"message": "slow", "code": code}});
            assert!(matches!(in_stream(&chunk, ""), Some(E::RateLimited(None))));
        }
        let chunk = json!({"error": "the model crashed"});
        assert!(matches!(in_stream(&chunk, ""), Some(E::Unavailable(text)) if text == "the model crashed"));
        assert!(in_stream(&json!({"error": null, "choices": []}), "").is_none());
    }

    #[test]
    fn anthropic_s_errors_too() {
        use ModelError as E;
        let message = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_1"});
        assert!(matches!(error(529, message("overloaded_error")), E::Overloaded(None)));
        assert!(matches!(error(400, message("invalid_request_error")), E::Refused(_)));
        assert!(matches!(error(401, message("authentication_error")), E::Unauthorized(_)));
        assert!(matches!(error(504, message("timeout_error")), E::Unavailable(_)));
        let mut limited = message("rate_limit_error");
        assert!(matches!(error(429, limited.clone()), E::RateLimited(None)));
        limited["error"]["details"] = json!({"error_code": "enforced_spend_limit_reached"});
        assert!(matches!(error(429, limited), E::Unauthorized(_)), "waiting does not help");
        assert!(matches!(in_stream(&message("overloaded_error"), ""), Some(E::Overloaded(None))));
        assert!(matches!(in_stream(&message("api_error"), ""), Some(E::Unavailable(_))));
    }

    #[test]
    fn a_model_that_is_not_there_is_told_from_a_refusal() {
        use ModelError as E;
        let said = |message: &str, code: Value| json!({"error": {"message": message, "type": "invalid_request_error", "code": code}});
        assert!(matches!(error(404, said("The model `x` does not exist", json!("model_not_found"))), E::Unknown(_)));
        assert!(matches!(error(404, Value::Null), E::Unknown(_)));
        assert!(matches!(error(400, said("Model Not Exist", Value::Null)), E::Unknown(_)));
        assert!(matches!(error(400, said("Invalid model name passed in model=x", json!("400"))), E::Unknown(_)));
        assert!(matches!(error(400, said("Your request is too long for this model", Value::Null)), E::Refused(_)));
        let known = error(404, Value::Null).about("gpt-4o-mni");
        assert!(known.to_string().contains("`gpt-4o-mni`") && known.code() == "model_unknown" && !known.retryable(), "{known}");
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
