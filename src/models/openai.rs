//! Every OpenAI-compatible endpoint, through async-openai with our own types (providers send fields its
//! types do not know). Its retries are replaced: [`super::registry`] alone decides who waits how long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Body, Response, Url};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tower::BoxError;

use super::http_client::{describe, unreachable};
use super::kinds::Site;
use super::{ChatModel, CompletionRequest, Delta, DeltaStream, FinishReason, ModelError, complaint};
use crate::config::ModelConfig;

mod wire;

#[cfg(test)]
mod tests;

/// How long a provider may keep the line open once it has said why it stopped; the token counts come in
/// this time.
const AFTER_FINISH: Duration = Duration::from_secs(2);

/// Put at the end of every body, because async-openai ends its stream in the same way after `[DONE]`,
/// where it reads no further, and after a connection that just closed. No provider sends a bare string.
const END: &str = "\n\ndata: \"the body is over\"\n\n";

/// One model of an OpenAI-compatible provider.
pub(super) struct OpenAiModel {
    client: async_openai::Client<OpenAIConfig>,
    site: Arc<Site>,
    model: ModelConfig,
}

impl OpenAiModel {
    /// Nothing is sent.
    pub(super) fn new(site: Arc<Site>, http: reqwest::Client, model: ModelConfig) -> Self {
        let url = site.completions(&model.id);
        let service = tower::service_fn({
            let (http, site) = (http.clone(), Arc::clone(&site));
            move |factory| exchange(http.clone(), url.clone(), Arc::clone(&site), factory)
        });
        // All four set, because unset ones are taken from the environment and sent to whoever it is.
        let settings = OpenAIConfig::new().with_api_base("http://see.exchange").with_api_key("").with_org_id("").with_project_id("");
        Self { client: async_openai::Client::build(http, settings).with_http_service(service), site, model }
    }
}

#[async_trait]
impl ChatModel for OpenAiModel {
    async fn stream(&self, request: CompletionRequest) -> Result<DeltaStream, ModelError> {
        let body = wire::body(&self.model, self.site.kind, &request);
        let chunks = self.client.chat().create_stream_byot(body).await.map_err(failure)?;
        let reader = Reader {
            chunks,
            site: Arc::clone(&self.site),
            ready: VecDeque::new(),
            name: Name::Unknown,
            finish: None,
            until: None,
            over: false,
        };
        let next = |mut reader: Reader| async move { reader.next().await.map(|item| (item, reader)) };
        Ok(stream::unfold(reader, next).boxed())
    }
}

/// Sends one request to the site's own address with its own header for the key. Refusals become a
/// [`ModelError`] here, where the headers still are.
async fn exchange(http: reqwest::Client, url: Url, site: Arc<Site>, factory: HttpRequestFactory) -> Result<Response, BoxError> {
    let mut request = factory.build().await?;
    *request.url_mut() = url;
    request.headers_mut().remove(AUTHORIZATION);
    let response = site.keys.send(&http, request).await?;
    let status = response.status();
    let headers = response.headers().clone();
    if !status.is_success() {
        let body = response.bytes().await.unwrap_or_default();
        return Err(complaint::refusal(status, &headers, &body, site.keys.last().reveal()).into());
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.contains("json") {
        let body = response.bytes().await.map_err(unreachable)?;
        return Ok(http::Response::new(Body::from(as_events(&body))).into());
    }
    let end = stream::iter([Ok(END.into())]);
    Ok(http::Response::new(Body::wrap_stream(response.bytes_stream().chain(end))).into())
}

/// Events from a body that was not announced as events: one JSON value, or events all the same.
fn as_events(body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => format!("data: {value}\n\ndata: [DONE]\n\n").into_bytes(),
        Err(_) => [body, END.as_bytes()].concat(),
    }
}

/// Reads an answer's chunks; dropping it ends the call.
struct Reader {
    chunks: BoxStream<'static, Result<Value, OpenAIError>>,
    site: Arc<Site>,
    ready: VecDeque<Delta>,
    name: Name,
    /// Kept for the end, so that nobody stops listening before the token counts came.
    finish: Option<FinishReason>,
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
                Ok(Some(deltas)) => self.take(deltas),
                Err(error) if self.finish.is_none() => {
                    self.over = true;
                    return Some(Err(error));
                }
                // What goes wrong after the answer was finished does not matter any more.
                Ok(None) | Err(_) => {
                    self.over = true;
                    return Some(Ok(Delta::Finish(self.finish.unwrap_or(FinishReason::Stop))));
                }
            }
        }
    }

    /// The next chunk's deltas; none at the end of the answer.
    async fn read(&mut self) -> Result<Option<Vec<Delta>>, ModelError> {
        let next = self.chunks.next();
        let item = match self.until {
            Some(until) => timeout_at(until, next).await.unwrap_or(None),
            None => next.await,
        };
        match item {
            None => Ok(None),
            Some(Ok(Value::String(_))) => Err(ModelError::Broken("the connection closed before the end".to_owned())),
            Some(Ok(chunk)) => self.hear(&chunk),
            Some(Err(error)) => Err(failure(error)),
        }
    }

    fn hear(&mut self, chunk: &Value) -> Result<Option<Vec<Delta>>, ModelError> {
        if let (Name::Unknown, Some(name)) = (&self.name, chunk["model"].as_str().filter(|name| !name.is_empty())) {
            self.name = Name::Known(name.to_owned());
        }
        wire::deltas(chunk, self.site.keys.last().reveal()).map(Some)
    }

    fn take(&mut self, deltas: Vec<Delta>) {
        for delta in deltas {
            match delta {
                Delta::Finish(reason) => {
                    self.finish = Some(reason);
                    self.until.get_or_insert_with(|| Instant::now() + AFTER_FINISH);
                }
                said @ (Delta::Text(_) | Delta::Reasoning(_)) => {
                    self.ready.push_back(said);
                    if let Name::Known(name) = std::mem::replace(&mut self.name, Name::Told) {
                        self.ready.push_back(Delta::Model(name));
                    }
                }
                other => self.ready.push_back(other),
            }
        }
    }
}

/// The name that chunks give the model. It is told after the first word: before it, nothing has come yet.
enum Name {
    Unknown,
    Known(String),
    Told,
}

/// Our own error from inside [`exchange`], or what went wrong in reading.
fn failure(error: OpenAIError) -> ModelError {
    match error {
        OpenAIError::Boxed(inner) => match inner.downcast::<ModelError>() {
            Ok(ours) => *ours,
            Err(other) => ModelError::Unavailable(describe(&*other)),
        },
        OpenAIError::Reqwest(error) => unreachable(error),
        OpenAIError::JSONDeserialize(..) => ModelError::Broken("a chunk is not JSON".to_owned()),
        other => ModelError::Broken(describe(&other)),
    }
}
