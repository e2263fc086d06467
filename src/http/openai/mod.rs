//! The OpenAI-compatible API: `/v1/models` and `/v1/chat/completions`. The client sends the history, or
//! names a conversation; one that goes away stops its answer, because nobody could read it later.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use self::answer::{Answer, Ending};
use self::wire::CompletionBody;
use super::auth::Program;
use super::chat::sse;
use super::message::events;
use super::origin::public_base;
use super::problem::{Body, failed_answer, openai_error, report, status};
use super::state::Shared;
use crate::chat::engine::Accepted;
use crate::chat::replay::TooSlow;
use crate::chat::resume::too_slow;
use crate::chat::{ChatEngine, ChatEvent, EventKind};
use crate::error::{Error, Result};
use crate::ids::TurnId;
use crate::models::ModelCard;
use crate::tenants::Caller;

mod answer;
mod conversation;
mod wire;

/// Longest wait of a stream's head for its first word, of a model that thinks or of a conversation's earlier turn:
/// proxies give up on an answer that is silent for a minute, and only a stream can be kept alive.
const HEAD_WAITS: Duration = Duration::from_secs(45);

/// Every model that may be named.
pub async fn models(State(state): State<Shared>, _: Program) -> Json<Value> {
    let created = state.started.0 / 1000;
    let cards: Vec<Value> = state.app.models.cards().iter().map(|card| model_object(card, created)).collect();
    Json(json!({"object": "list", "data": cards}))
}

/// One model.
pub async fn model(State(state): State<Shared>, _: Program, Path(id): Path<String>) -> Result<Json<Value>> {
    let model = state.app.models.select(Some(&id))?;
    Ok(Json(model_object(model.card(), state.started.0 / 1000)))
}

/// Answers the last user message.
pub async fn complete(
    State(state): State<Shared>,
    Program(caller): Program,
    headers: HeaderMap,
    Body(body): Body<CompletionBody>,
) -> Result<Response> {
    // An unknown model is an answer of its own kind, not a failed one.
    let model = state.app.models.select(body.model.as_deref().filter(|model| !model.is_empty()))?;
    body.check()?;
    let (streams, usage) = (body.streams(), body.wants_usage());
    let name = conversation::name(&headers, body.user.as_deref());
    let request = body.into_request()?;
    let accepted = conversation::answer(&state.app, &caller, request, name.as_deref()).await?;
    let created = state.app.clock.now().0 / 1000;
    let answer = Answer::new(accepted.response_id.as_str(), created, &model.card().id, &public_base(&headers, &state.app.config));
    let running = Running::new(&state.app.engine, caller, &accepted);
    let thread = accepted.conversation_id.clone();
    let response = match streams {
        true => streamed(accepted, answer, usage, running).await?,
        false => whole(accepted, answer, running).await?,
    };
    Ok(conversation::named(response, &thread))
}

/// The answer as data lines, `[DONE]` last. Its head waits for the first of them: who failed before a word is told so by
/// a status, upon which clients act by themselves. Behind the head there is only the stream to tell it in.
async fn streamed(accepted: Accepted, mut answer: Answer, usage: bool, mut running: Running) -> Result<Response> {
    let mut events = events(accepted).boxed();
    let mut first = Vec::new();
    let waited = tokio::time::timeout(HEAD_WAITS, async {
        while first.is_empty()
            && let Some(event) = events.next().await
        {
            let event = event?;
            running.saw(&event);
            if let Some(error) = answer.failed_before(&event) {
                return Ok(Some(failed_answer(error)));
            }
            first = answer.chunks(event, usage);
        }
        Ok::<_, Error>(None)
    });
    if let Some(failed) = waited.await.unwrap_or(Ok(None))? {
        return Ok(failed);
    }
    let rest = events.flat_map(move |event| stream::iter(chunks(event, &mut answer, usage, &mut running)));
    let lines = stream::iter(first).chain(rest).map(|chunk| chunk.to_string());
    let lines = lines.chain(stream::once(async { "[DONE]".to_owned() }));
    Ok(sse(lines.map(|data| Ok(Event::default().data(data)))))
}

fn chunks(event: Result<ChatEvent>, answer: &mut Answer, usage: bool, running: &mut Running) -> Vec<Value> {
    match event {
        Ok(event) => {
            running.saw(&event);
            answer.chunks(event, usage)
        }
        Err(error) => vec![openai_error(status(error.kind(), error.code()), &report(&error))],
    }
}

/// The answer in one piece.
async fn whole(accepted: Accepted, mut answer: Answer, mut running: Running) -> Result<Response> {
    let mut events = std::pin::pin!(events(accepted));
    while let Some(event) = events.next().await {
        let event = event?;
        running.saw(&event);
        match answer.collect(event) {
            Some(Ending::Finished(completion)) => return Ok(Json(completion).into_response()),
            Some(Ending::Failed(error)) => return Ok(failed_answer(&error)),
            None => {}
        }
    }
    Err(too_slow(TooSlow))
}

fn model_object(card: &ModelCard, created: i64) -> Value {
    json!({"id": card.id, "object": "model", "created": created, "owned_by": card.provider})
}

/// Cancels the answer when it is dropped before the end was seen.
struct Running {
    engine: ChatEngine,
    caller: Caller,
    response: TurnId,
    ended: bool,
}

impl Running {
    fn new(engine: &ChatEngine, caller: Caller, accepted: &Accepted) -> Self {
        Self { engine: engine.clone(), caller, response: accepted.response_id.clone(), ended: false }
    }

    fn saw(&mut self, event: &ChatEvent) {
        self.ended |= matches!(event.kind, EventKind::ResponseDone(_));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.engine.cancel(&self.caller, &self.response)
        {
            log_cancel(&error);
        }
    }
}

/// It may have ended by itself in the meantime.
fn log_cancel(error: &Error) {
    tracing::debug!(code = error.code(), "an abandoned answer was not cancelled");
}
