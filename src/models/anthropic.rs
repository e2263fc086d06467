//! Anthropic's Messages API: one POST, and its events as deltas. Nobody retries here; who waits how long
//! is decided in `model.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures::stream::{self, BoxStream, StreamExt};
use http::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use self::wire::Talk;
use super::http_client::unreachable;
use super::kinds::Site;
use super::{ChatModel, CompletionRequest, Delta, DeltaStream, ModelError, complaint};
use crate::config::ModelConfig;

mod wire;

#[cfg(test)]
mod tests;

/// The header that names the version of the API.
const VERSION: &str = "anthropic-version";

/// How long it may keep the line open once it has said why it stopped.
const AFTER_FINISH: Duration = Duration::from_secs(2);

/// One model of Anthropic's.
pub(super) struct AnthropicModel {
    site: Arc<Site>,
    http: reqwest::Client,
    model: ModelConfig,
}

impl AnthropicModel {
    /// Nothing is sent.
    pub(super) fn new(site: Arc<Site>, http: reqwest::Client, model: ModelConfig) -> Self {
        Self { site, http, model }
    }

    async fn send(&self, request: &CompletionRequest) -> Result<reqwest::Response, ModelError> {
        let body = wire::body(&self.model, &self.site.version, request);
        let call = self.http.post(self.site.completions(&self.model.id)).header(VERSION, &self.site.version).json(&body);
        let response = self.site.keys.send(&self.http, call.build().map_err(unreachable)?).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let body = response.bytes().await.unwrap_or_default();
        Err(complaint::refusal(status, &headers, &body, self.site.keys.last().reveal()))
    }
}

#[async_trait]
impl ChatModel for AnthropicModel {
    async fn stream(&self, request: CompletionRequest) -> Result<DeltaStream, ModelError> {
        let response = self.send(&request).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.contains("json") {
            let body: Value = serde_json::from_slice(&response.bytes().await.map_err(unreachable)?)
                .map_err(|_| ModelError::Broken("the answer is not JSON".to_owned()))?;
            let deltas = wire::whole(&body, self.site.keys.last().reveal())?;
            return Ok(stream::iter(deltas.into_iter().map(Ok)).boxed());
        }
        let reader = Reader {
            events: response.bytes_stream().eventsource().boxed(),
            site: Arc::clone(&self.site),
            talk: Talk::default(),
            ready: VecDeque::new(),
            until: None,
            over: false,
        };
        let next = |mut reader: Reader| async move { reader.next().await.map(|item| (item, reader)) };
        Ok(stream::unfold(reader, next).boxed())
    }
}

/// Reads an answer's events; dropping it ends the call.
struct Reader {
    events: BoxStream<'static, Result<Event, EventStreamError<reqwest::Error>>>,
    site: Arc<Site>,
    talk: Talk,
    ready: VecDeque<Delta>,
    /// So long it is listened to once it finished, whatever still comes.
    until: Option<Instant>,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Delta, ModelError>> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some(Ok(delta));
            }
            if self.over {
                return None;
            }
            match self.read().await {
                Ok(deltas) => self.ready.extend(deltas),
                Err(error) => {
                    self.over = true;
                    // What goes wrong after the answer was finished does not matter any more.
                    match self.talk.is_finished() {
                        true => self.ready.extend(self.talk.end()),
                        false => return Some(Err(error)),
                    }
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<Delta>, ModelError> {
        let closed = || ModelError::Broken("the connection closed before the end".to_owned());
        let next = self.events.next();
        let next = match self.talk.is_finished() {
            // Its pings do not keep a reader waiting.
            true => timeout_at(*self.until.get_or_insert_with(|| Instant::now() + AFTER_FINISH), next).await.unwrap_or(None),
            false => next.await,
        };
        let event = match next {
            Some(Ok(event)) => event,
            Some(Err(EventStreamError::Transport(_))) | None => return Err(closed()),
            Some(Err(_)) => return Err(ModelError::Broken("an event is not text".to_owned())),
        };
        let data: Value = serde_json::from_str(&event.data).map_err(|_| ModelError::Broken("an event is not JSON".to_owned()))?;
        let deltas = self.talk.hear(&data, self.site.keys.last().reveal())?;
        self.over = self.talk.is_over();
        Ok(deltas)
    }
}
