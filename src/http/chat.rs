//! `POST /api/v1/chat`: one question, its events as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};

use super::auth::{Anyone, VISITOR_HEADER};
use super::message::{MessageCreate, check_choice, events};
use super::problem::{Body, report};
use super::state::Shared;
use crate::chat::ChatEvent;
use crate::error::{Error, Result};
use crate::ids::ConversationId;
use crate::tenants::Admission;

/// Where a reader says what it has seen.
const LAST_EVENT_ID: &str = "last-event-id";
/// Proxies close connections that are silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Answers a question with the events of its turn; with `Last-Event-ID` tells what came after that
/// event and what is still to come, whatever the body says. Going away does not stop the turn.
pub async fn answer(
    State(state): State<Shared>,
    Anyone(Admission { caller, visitor_token }): Anyone,
    headers: HeaderMap,
    request: Request,
) -> Result<Response> {
    let mut response = match headers.get(LAST_EVENT_ID) {
        Some(last) => {
            let (conversation, seq) = last_seen(last)?;
            let batches = state.app.engine.resume(&caller, &conversation, seq).await?;
            sse(batches.flat_map(|batch| stream::iter(each(batch))).map(|event| Ok(frame(event))))
        }
        None => {
            let Body(message) = Body::<MessageCreate>::from_request(request, &state).await?;
            check_choice(&state.app.config, &caller, message.model.as_deref())?;
            let channel = if caller.is_console() { "console" } else { "sse" };
            let accepted = state.app.engine.answer(&caller, message.into_request(channel)).await?;
            sse(events(accepted).map(|event| Ok(frame(event))))
        }
    };
    if let Some(token) = visitor_token.and_then(|token| HeaderValue::from_str(&token).ok()) {
        response.headers_mut().insert(HeaderName::from_static(VISITOR_HEADER), token);
    }
    Ok(response)
}

/// `<conversation_id>:<seq>`, the `id` of an event.
fn last_seen(value: &HeaderValue) -> Result<(ConversationId, u64)> {
    let parts = value.to_str().ok().and_then(|text| text.trim().rsplit_once(':'));
    let seen = parts.and_then(|(conversation, seq)| Some((ConversationId::from_text(conversation), seq.parse().ok()?)));
    seen.ok_or_else(|| Error::invalid("bad_last_event_id", "`Last-Event-ID` must be the `id` of an event: <conversation_id>:<seq>."))
}

fn each(batch: Result<Vec<ChatEvent>>) -> Vec<Result<ChatEvent>> {
    match batch {
        Ok(events) => events.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

/// An event stream that proxies pass on at once.
pub fn sse(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// An event as it goes over the wire.
pub fn frame(event: Result<ChatEvent>) -> Event {
    let (id, data) = match event {
        Ok(event) => (Some(format!("{}:{}", event.conversation_id, event.seq)), json!(event)),
        Err(error) => (None, error_frame(&error, None)),
    };
    let kind = data["type"].as_str().unwrap_or("error").to_owned();
    let frame = Event::default().event(kind).data(data.to_string());
    id.into_iter().fold(frame, Event::id)
}

/// The contract's `error` frame.
pub fn error_frame(error: &Error, reference: Option<&str>) -> Value {
    let mut frame = report(error);
    frame["type"] = json!("error");
    frame["retryable"] = json!(error.retryable());
    if let Some(reference) = reference {
        frame["ref"] = json!(reference);
    }
    if let Some(wait) = error.retry_after() {
        frame["retry_after_ms"] = json!(wait.as_millis() as u64);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_by_its_conversation_and_number() {
        let seen = |text: &'static str| last_seen(&HeaderValue::from_static(text));
        assert_eq!(seen(" c_1:2000017 ").unwrap(), (ConversationId::from_text("c_1"), 2_000_017));
        for bad in ["", "c_1", "c_1:", "c_1:x", "c_1:-1"] {
            assert_eq!(seen(bad).unwrap_err().code(), "bad_last_event_id", "{bad}");
        }
    }

    #[test]
    fn an_error_frame_carries_what_a_client_branches_on() {
        let error = Error::rate_limited("rate_limited", "wait", Duration::from_millis(1500));
        let expected =
            json!({"type": "error", "ref": "m1", "code": "rate_limited", "message": "wait", "retryable": true, "retry_after_ms": 1500});
        assert_eq!(error_frame(&error, Some("m1")), expected);
    }
}
