//! The only place with error status codes: an [`Error`] becomes a status and the contract's error
//! object, or OpenAI's under `/v1`. Errors that are our fault are logged here, once, with their
//! causes, and shown without them.

use std::any::Any;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::chat::ErrorReport;
use crate::error::{Error, Kind, Result};

/// The status of an error.
pub fn status(kind: Kind, code: &str) -> StatusCode {
    match (kind, code) {
        (_, "body_too_large") => StatusCode::PAYLOAD_TOO_LARGE,
        (_, "method_not_allowed") => StatusCode::METHOD_NOT_ALLOWED,
        (_, "model_not_found") => StatusCode::NOT_FOUND,
        (Kind::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (Kind::Forbidden, _) => StatusCode::FORBIDDEN,
        (Kind::NotFound, _) => StatusCode::NOT_FOUND,
        (Kind::Invalid, _) => StatusCode::BAD_REQUEST,
        (Kind::Conflict, _) => StatusCode::CONFLICT,
        (Kind::RateLimited, _) => StatusCode::TOO_MANY_REQUESTS,
        (Kind::Refused, _) => StatusCode::UNPROCESSABLE_ENTITY,
        (Kind::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Kind::Timeout, _) => StatusCode::GATEWAY_TIMEOUT,
        (Kind::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The contract's error object of `error`, logged on the way when somebody has to look after it.
pub fn report(error: &Error) -> Value {
    match error.kind() {
        Kind::Internal => {
            tracing::error!(code = error.code(), causes = error.causes(), "{error}");
            json!({"code": error.code(), "message": "Something went wrong on our side; the server's log has the details. Try again, and report it if it stays."})
        }
        // Without a cause it is our own "not yet" or "full", which tells itself.
        Kind::Unavailable | Kind::Timeout if !error.causes().is_empty() => {
            tracing::warn!(code = error.code(), causes = error.causes(), "{error}");
            error.body()
        }
        _ => error.body(),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let object = report(&self);
        let mut response = (status(self.kind(), self.code()), Json(json!({"error": &object}))).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs_f64().ceil().max(1.0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        if self.kind() == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Shown(Arc::new(object)));
        response
    }
}

/// The error object of a response, for [`shape`].
#[derive(Clone)]
struct Shown(Arc<Value>);

/// Gives every error its shape: what a library refused by itself gets ours, and under `/v1` all have
/// OpenAI's.
pub async fn shape(request: Request, next: Next) -> Response {
    let openai = request.uri().path().starts_with("/v1/");
    let response = adopt(next.run(request).await).await;
    match response.extensions().get::<Shown>().cloned() {
        Some(Shown(object)) if openai => {
            let body = openai_error(response.status(), &object);
            with_body(response, &body)
        }
        _ => response,
    }
}

/// An extractor of axum's own answers in plain text, e.g. a number that is none in a path.
async fn adopt(response: Response) -> Response {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let plain = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !failed || !plain {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    let object = json!({"code": "invalid_request", "message": String::from_utf8_lossy(&text)});
    let mut response = with_body(Response::from_parts(parts, axum::body::Body::empty()), &json!({"error": &object}));
    response.extensions_mut().insert(Shown(Arc::new(object)));
    response
}

fn with_body(response: Response, body: &Value) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, body.to_string().into())
}

/// An answer that failed before anything of it was sent, in OpenAI's shape.
pub fn failed_answer(report: &ErrorReport) -> Response {
    let status = match report.code.as_str() {
        "model_timeout" => StatusCode::GATEWAY_TIMEOUT,
        "model_rate_limited" | "spend_limit_reached" => StatusCode::TOO_MANY_REQUESTS,
        _ if report.retryable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    };
    let mut response = (status, Json(openai_error(status, &json!(report)))).into_response();
    if !report.retryable {
        // OpenAI's own clients try a 429 again unless they are told not to.
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
    if let Some(wait) = report.retry_after_ms {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    response
}

/// OpenAI's error object.
pub fn openai_error(status: StatusCode, object: &Value) -> Value {
    let kind = match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let code = match object["code"].as_str().unwrap_or_default() {
        "invalid_key" | "missing_key" => "invalid_api_key",
        "rate_limited" => "rate_limit_exceeded",
        code => code,
    };
    let param = object.pointer("/details/param").unwrap_or(&Value::Null);
    json!({"error": {"message": object["message"], "type": kind, "param": param, "code": code}})
}

/// The answer to a path that leads nowhere.
pub async fn no_route(uri: Uri) -> Error {
    Error::not_found("route_not_found", format!("There is nothing at {}.", uri.path()))
}

/// The answer to a path that knows other methods.
pub async fn no_method(method: Method, uri: Uri) -> Error {
    Error::invalid("method_not_allowed", format!("{} does not take {method}.", uri.path()))
}

/// A handler's panic is our fault and nobody else's.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::internal("panicked", "A request handler panicked.").because(text).into_response()
}

/// Why a body could not be read.
pub fn unread(rejection: BytesRejection) -> Error {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Error::invalid("body_too_large", "The body is larger than `limits.frame_bytes` allows.")
    } else {
        Error::invalid("body_unreadable", "The body could not be read to its end.").because(rejection)
    }
}

/// A JSON body, whatever its content type says.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| malformed(&error))
    }
}

fn malformed(error: &serde_json::Error) -> Error {
    match error.classify() {
        serde_json::error::Category::Data => {
            Error::invalid("invalid_request", format!("The JSON body is not what this route takes: {error}."))
        }
        _ => Error::invalid("malformed_json", format!("The body is not JSON: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn body(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn our_own_faults_keep_their_code_and_hide_their_causes() {
        let error = Error::internal("database_error", "select failed").because(std::io::Error::other("secret cause"));
        let response = error.into_response();
        assert_eq!(response.status(), 500);
        let body = body(response).await;
        assert_eq!(body["error"]["code"], "database_error");
        assert!(!body.to_string().contains("secret") && !body.to_string().contains("select"), "{body}");
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds() {
        let response = Error::rate_limited("rate_limited", "wait", Duration::from_millis(1200)).into_response();
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &HeaderValue::from_static("2")));
    }

    #[test]
    fn openai_clients_get_the_words_they_know() {
        let shown = Error::unauthenticated("invalid_key", "no").body();
        let body = openai_error(StatusCode::UNAUTHORIZED, &shown);
        assert_eq!(body, json!({"error": {"message": "no", "type": "authentication_error", "param": null, "code": "invalid_api_key"}}));
        assert_eq!(status(Kind::Invalid, "model_not_found"), 404);
        assert_eq!(status(Kind::Invalid, "body_too_large"), 413);
    }

    #[tokio::test]
    async fn a_body_says_what_is_wrong_with_it() {
        #[derive(Debug, serde::Deserialize)]
        struct Wanted {
            #[expect(dead_code, reason = "only its absence matters")]
            text: String,
        }
        for (sent, code) in
            [("{", "malformed_json"), ("", "malformed_json"), ("{}", "invalid_request"), (r#"{"text":1}"#, "invalid_request")]
        {
            let request = Request::new(axum::body::Body::from(sent));
            let refused = Body::<Wanted>::from_request(request, &()).await.err().unwrap();
            assert_eq!(refused.code(), code, "{sent}");
        }
    }
}
