//! Every OpenAI-compatible endpoint, through async-openai with our own types (providers send fields its
//! types do not know). Its retries are replaced: [`super::registry`] alone decides who waits how long.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Response, Url};
use serde_json::Value;
use tower::BoxError;

use super::{ChatModel, CompletionRequest, Delta, DeltaStream, FinishReason, ModelError};
use crate::config::{ProviderConfig, Secret};
use crate::error::{Error, Result};

mod wire;

#[cfg(test)]
mod tests;

/// How long a provider may keep the line open once it has said why it stopped; the token counts come in
/// this time.
const AFTER_FINISH: Duration = Duration::from_secs(2);

/// Put at the end of every body, because async-openai ends its stream in the same way after `[DONE]`,
/// where it reads no further, and after a connection that just closed. No provider sends a bare string.
const END: &str = "\n\ndata: \"the body is over\"\n\n";

/// One provider: its address, key and peculiarities.
pub struct Endpoint {
    client: async_openai::Client<OpenAIConfig>,
    key: Secret,
    quirks: wire::Quirks,
}

impl Endpoint {
    /// A provider as configured; nothing is sent. `connect` limits the time to reach it.
    ///
    /// # Errors
    /// `bad_config` when the address or the key cannot be used.
    pub fn open(name: &str, config: &ProviderConfig, connect: Duration) -> Result<Arc<Self>> {
        let wrong = |what: &str| {
            let message = format!("`models.providers.{name}.{what}. Correct it in the configuration.");
            Error::invalid("bad_config", message)
        };
        let base_url = config.base_url.trim_end_matches('/');
        let url = Url::parse(base_url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| wrong("base_url` is not an http(s) address"))?;
        let authorization = authorization(&config.api_key).map_err(|_| wrong("api_key` has a character no key has"))?;
        let http = http_client(&url, connect)?;
        let service = tower::service_fn({
            let (http, key) = (http.clone(), config.api_key.clone());
            move |factory| exchange(http.clone(), authorization.clone(), key.clone(), factory)
        });
        // All four set, because unset ones are taken from the environment and sent to whoever it is.
        let settings = OpenAIConfig::new().with_api_base(base_url).with_api_key("").with_org_id("").with_project_id("");
        Ok(Arc::new(Self {
            client: async_openai::Client::build(http, settings).with_http_service(service),
            key: config.api_key.clone(),
            quirks: wire::quirks(url.host_str().unwrap_or_default()),
        }))
    }

    /// One of its models, by the name it knows.
    pub fn model(self: &Arc<Self>, id: &str) -> Arc<dyn ChatModel> {
        Arc::new(RemoteModel { endpoint: Arc::clone(self), id: id.to_owned() })
    }
}

fn authorization(key: &Secret) -> Result<Option<HeaderValue>, http::header::InvalidHeaderValue> {
    if key.is_empty() {
        return Ok(None);
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn http_client(url: &Url, connect: Duration) -> Result<reqwest::Client> {
    // A redirect would turn the POST into a GET: better say that the address is wrong.
    let mut builder = reqwest::Client::builder().connect_timeout(connect).redirect(reqwest::redirect::Policy::none());
    // A model server on this machine is never behind the proxy that the environment may name.
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        let message = format!("The HTTP client for model providers cannot start: {}.", describe(&error));
        Error::internal("http_client", message).because(error)
    })
}

/// One model of an [`Endpoint`].
struct RemoteModel {
    endpoint: Arc<Endpoint>,
    id: String,
}

#[async_trait]
impl ChatModel for RemoteModel {
    async fn stream(&self, request: CompletionRequest) -> Result<DeltaStream, ModelError> {
        let body = wire::body(&self.id, self.endpoint.quirks, &request);
        let chunks = self.endpoint.client.chat().create_stream_byot(body).await.map_err(failure)?;
        let reader = Reader { chunks, endpoint: Arc::clone(&self.endpoint), ready: VecDeque::new(), finish: None, over: false };
        let next = |mut reader: Reader| async move { reader.next().await.map(|item| (item, reader)) };
        Ok(stream::unfold(reader, next).boxed())
    }
}

/// Sends one request. Refusals become a [`ModelError`] here, where the headers still are.
async fn exchange(
    http: reqwest::Client,
    authorization: Option<HeaderValue>,
    key: Secret,
    factory: HttpRequestFactory,
) -> Result<Response, BoxError> {
    let mut request = factory.build().await?;
    request.headers_mut().remove(AUTHORIZATION);
    if let Some(authorization) = authorization {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    let unreachable = |error: reqwest::Error| ModelError::Unavailable(describe(&error.without_url()));
    let response = http.execute(request).await.map_err(unreachable)?;
    let status = response.status();
    let headers = response.headers().clone();
    if !status.is_success() {
        let body = response.bytes().await.unwrap_or_default();
        return Err(wire::refusal(status, &headers, &body, key.reveal()).into());
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
    endpoint: Arc<Endpoint>,
    ready: VecDeque<Delta>,
    /// Kept for the end, so that nobody stops listening before the token counts came.
    finish: Option<FinishReason>,
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
        let item = match self.finish {
            Some(_) => tokio::time::timeout(AFTER_FINISH, next).await.unwrap_or(None),
            None => next.await,
        };
        match item {
            None => Ok(None),
            Some(Ok(Value::String(_))) => Err(ModelError::Broken("the connection closed before the end".to_owned())),
            Some(Ok(chunk)) => wire::deltas(&chunk, self.endpoint.key.reveal()).map(Some),
            Some(Err(error)) => Err(failure(error)),
        }
    }

    fn take(&mut self, deltas: Vec<Delta>) {
        for delta in deltas {
            match delta {
                Delta::Finish(reason) => self.finish = Some(reason),
                other => self.ready.push_back(other),
            }
        }
    }
}

/// Our own error from inside [`exchange`], or what went wrong in reading.
fn failure(error: OpenAIError) -> ModelError {
    match error {
        OpenAIError::Boxed(inner) => match inner.downcast::<ModelError>() {
            Ok(ours) => *ours,
            Err(other) => ModelError::Unavailable(describe(&*other)),
        },
        OpenAIError::Reqwest(error) => ModelError::Unavailable(describe(&error.without_url())),
        OpenAIError::JSONDeserialize(..) => ModelError::Broken("a chunk is not JSON".to_owned()),
        other => ModelError::Broken(describe(&other)),
    }
}

/// An error and its causes in one line.
fn describe(error: &dyn StdError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    std::iter::once(error).chain(causes).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
