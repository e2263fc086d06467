//! Embeddings from an endpoint in OpenAI's shape, as OpenAI, DashScope, Jina, vLLM, TEI and Ollama have it.

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::super::complaint::refusal;
use super::super::http_client::{client, unreachable};
use super::super::{EmbedKind, Embedder, ModelError};
use super::checked;
use crate::config::{EmbedderConfig, Secret};
use crate::error::{Error, Result};

/// How long it may take to reach the endpoint.
const CONNECT: Duration = Duration::from_secs(5);
/// Pauses before a second and a third try.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// A wait that the provider asks for is kept up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Requests under way at once, so that an import is not as slow as its slowest batch.
const AT_ONCE: usize = 2;

/// A model behind an address.
pub struct ApiEmbedder {
    id: String,
    client: reqwest::Client,
    url: Url,
    model: String,
    key: Secret,
    dimensions: usize,
    batch: usize,
    limit: Duration,
}

impl ApiEmbedder {
    /// For the configured address.
    ///
    /// # Errors
    /// `bad_config` when the address is none, or the model or the length of its vectors is not named.
    pub fn open(config: &EmbedderConfig) -> Result<Self> {
        let wrong = |message: String| Error::invalid("bad_config", message);
        let url = Url::parse(&config.source)
            .map_err(|error| wrong(format!("`embedder.source` is `{}`, which is no address: {error}.", config.source)))?;
        if config.model.is_empty() || config.dimensions == 0 || config.batch == 0 {
            return Err(wrong(
                "An embeddings endpoint needs `embedder.model`, `embedder.dimensions` (how many numbers its vectors have) and `embedder.batch`."
                    .to_owned(),
            ));
        }
        Ok(Self {
            id: format!("api:{}:{}:{}", url.host_str().unwrap_or_default(), config.model, config.dimensions),
            client: client(&url, CONNECT)?,
            url,
            model: config.model.clone(),
            key: config.api_key.clone(),
            dimensions: config.dimensions,
            batch: config.batch,
            limit: Duration::from_millis(config.timeout_ms),
        })
    }

    /// One batch, tried again where that may help.
    async fn ask(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match timeout(self.limit, self.once(&texts)).await {
                Ok(Ok(vectors)) => return vectors.into_iter().map(|vector| checked(vector, self.dimensions)).collect(),
                Ok(Err(error)) => error,
                Err(_) => ModelError::Timeout("embedder.timeout_ms"),
            };
            let Some(pause) = pauses.next().filter(|_| error.retryable()) else { return Err(self.failed(&error)) };
            let pause = match error {
                ModelError::RateLimited(Some(asked)) | ModelError::Overloaded(Some(asked)) => asked.min(LONGEST_WAIT),
                _ => pause,
            };
            tracing::warn!(model = self.model, code = error.code(), %error, wait_ms = pause.as_millis() as u64, "the embedder is asked again");
            sleep(pause).await;
        }
    }

    async fn once(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let body = json!({"model": self.model, "input": texts, "encoding_format": "float"});
        let mut request = self.client.post(self.url.clone()).json(&body);
        if !self.key.is_empty() {
            request = request.bearer_auth(self.key.reveal());
        }
        let answer = request.send().await.map_err(unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(refusal(status, &headers, &body, self.key.reveal()));
        }
        in_order(&body, texts.len())
    }

    fn failed(&self, error: &ModelError) -> Error {
        let message = format!(
            "The embedding model {} at {} did not answer: {error}. Check `embedder.source`, its key and its balance.",
            self.model,
            self.url.host_str().unwrap_or_default()
        );
        if error.retryable() {
            return Error::unavailable("embedder_unavailable", message);
        }
        Error::internal("embedder_refused", message)
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedded>,
}

#[derive(Deserialize)]
struct Embedded {
    index: usize,
    embedding: Vec<f32>,
}

/// The vectors in the texts' order, one for each.
fn in_order(body: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, ModelError> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| ModelError::Broken(format!("its answer has no embeddings ({error})")))?;
    let mut vectors = vec![None; texts];
    for Embedded { index, embedding } in answer.data {
        match vectors.get_mut(index) {
            Some(place) => *place = Some(embedding),
            None => return Err(ModelError::Broken(format!("it embedded text {index} of {texts}"))),
        }
    }
    vectors.into_iter().collect::<Option<_>>().ok_or_else(|| ModelError::Broken(format!("it did not embed each of the {texts} texts")))
}

#[async_trait]
impl Embedder for ApiEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    async fn embed(&self, mut texts: Vec<String>, _: EmbedKind) -> Result<Vec<Vec<f32>>> {
        let mut vectors = vec![vec![0.0; self.dimensions]; texts.len()];
        // Endpoints refuse an empty text, and one of marks alone means nothing.
        let said: Vec<usize> = (0..texts.len()).filter(|&i| texts[i].chars().any(char::is_alphanumeric)).collect();
        let batches: Vec<Vec<String>> =
            said.chunks(self.batch).map(|batch| batch.iter().map(|&i| std::mem::take(&mut texts[i])).collect()).collect();
        let computed: Vec<Vec<Vec<f32>>> = stream::iter(batches).map(|batch| self.ask(batch)).buffered(AT_ONCE).try_collect().await?;
        for (i, vector) in said.into_iter().zip(computed.into_iter().flatten()) {
            vectors[i] = vector;
        }
        Ok(vectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::fake::{Fake, Step, reply};

    fn config(fake: &Fake) -> EmbedderConfig {
        EmbedderConfig {
            source: format!("{}embeddings", fake.base_url()),
            model: "m".into(),
            dimensions: 2,
            api_key: Secret::new("sk-very-secret"),
            batch: 2,
            timeout_ms: 300,
            ..EmbedderConfig::builtin()
        }
    }

    fn embedded(vectors: &[(usize, [f32; 2])]) -> Vec<Step> {
        let data: Vec<_> = vectors.iter().map(|(index, embedding)| json!({"index": index, "embedding": embedding})).collect();
        reply(200, "", &json!({"data": data, "usage": {"total_tokens": 3}}).to_string())
    }

    async fn embed(model: &ApiEmbedder, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        model.embed(texts.iter().map(|&text| text.to_owned()).collect(), EmbedKind::Passage).await
    }

    #[tokio::test]
    async fn texts_come_back_in_their_order_as_unit_vectors_and_marks_are_not_sent() {
        let fake =
            Fake::start(|nth| if nth == 0 { embedded(&[(1, [0.0, 2.0]), (0, [3.0, 4.0])]) } else { embedded(&[(0, [5.0, 0.0])]) }).await;
        let model = ApiEmbedder::open(&config(&fake)).unwrap();
        assert_eq!((model.id(), model.dimensions()), ("api:127.0.0.1:m:2", 2));
        let vectors = embed(&model, &["甲", "……", "乙"]).await.unwrap();
        assert_eq!(vectors, [vec![0.6, 0.8], vec![0.0, 0.0], vec![0.0, 1.0]]);
        let seen = fake.seen();
        assert_eq!((seen.len(), &seen[0].body["input"], &seen[0].body["model"]), (1, &json!(["甲", "乙"]), &json!("m")));
        assert!(seen[0].head.to_lowercase().contains("authorization: bearer sk-very-secret"));
    }

    #[tokio::test]
    async fn a_busy_endpoint_is_asked_again_and_a_refusal_is_told_without_the_key() {
        let fake = Fake::start(|nth| match nth {
            0 => reply(429, "Retry-After: 0\r\n", "{}"),
            1 => vec![Step::Hang],
            _ => embedded(&[(0, [1.0, 0.0])]),
        })
        .await;
        assert_eq!(embed(&ApiEmbedder::open(&config(&fake)).unwrap(), &["甲"]).await.unwrap(), [[1.0, 0.0]]);
        assert_eq!(fake.seen().len(), 3);
        let refusing = Fake::start(|_| reply(401, "", r#"{"error": {"message": "bad key sk-very-secret"}}"#)).await;
        let error = embed(&ApiEmbedder::open(&config(&refusing)).unwrap(), &["甲"]).await.unwrap_err();
        assert_eq!((error.code(), refusing.seen().len()), ("embedder_refused", 1));
        assert!(!format!("{error:?} {}", error.causes()).contains("very-secret"), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_no_answer() {
        for body in [
            json!({"data": []}),
            json!({"data": [{"index": 3, "embedding": [1.0, 0.0]}]}),
            json!({"data": [{"index": 0, "embedding": [1.0, 0.0, 0.0]}]}),
            json!({"object": "list"}),
        ] {
            let fake = Fake::start(move |_| reply(200, "", &body.to_string())).await;
            let error = embed(&ApiEmbedder::open(&config(&fake)).unwrap(), &["甲"]).await.unwrap_err();
            assert!(matches!(error.code(), "embedder_unavailable" | "embedding_failed"), "{error:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let address = |source: &str| EmbedderConfig { source: source.into(), ..EmbedderConfig::builtin() };
        assert!(ApiEmbedder::open(&address("http://")).is_err());
        let error = ApiEmbedder::open(&address("http://127.0.0.1:1/v1/embeddings")).err().unwrap();
        assert!(error.message().contains("embedder.dimensions"));
    }
}
