//! A rerank endpoint. One shape is Jina's, Cohere's and that of most servers (vLLM, Xinference,
//! SiliconFlow …); the other is DashScope's own.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::complaint::refusal;
use super::super::http_client::{client, unreachable};
use super::{ModelError, Reranker};
use crate::config::{RerankConfig, RerankKind, Secret};
use crate::error::{Error, Result};

/// How DashScope's own endpoint is told from others.
const DASHSCOPE_PATH: &str = "/services/rerank/";

/// A model behind an address.
pub struct Endpoint {
    client: reqwest::Client,
    url: Url,
    dashscope: bool,
    model: String,
    key: Secret,
}

impl Endpoint {
    /// For the configured address.
    ///
    /// # Errors
    /// `bad_config` when the address is none or no model is named.
    pub fn open(config: &RerankConfig, connect: Duration) -> Result<Self> {
        let url = Url::parse(&config.source).map_err(|error| {
            Error::invalid("bad_config", format!("`rerank.source` is `{}`, which is no address: {error}.", config.source))
        })?;
        if config.model.is_empty() {
            return Err(Error::invalid("bad_config", "`rerank.model` is empty: the endpoint needs the name of a model."));
        }
        let dashscope = match config.kind {
            RerankKind::Auto => url.path().contains(DASHSCOPE_PATH),
            RerankKind::Compatible => false,
            RerankKind::Dashscope => true,
        };
        Ok(Self { client: client(&url, connect)?, url, dashscope, model: config.model.clone(), key: config.api_key.clone() })
    }

    fn request(&self, question: &str, texts: &[String]) -> Value {
        if self.dashscope {
            return json!({
                "model": self.model,
                "input": {"query": question, "documents": texts},
                "parameters": {"top_n": texts.len(), "return_documents": false},
            });
        }
        json!({"model": self.model, "query": question, "documents": texts, "top_n": texts.len()})
    }
}

/// What both shapes have in common, DashScope's inside `output`.
#[derive(Deserialize)]
struct Ranked {
    results: Vec<Scored>,
}

#[derive(Deserialize)]
struct Scored {
    index: usize,
    relevance_score: f32,
}

#[async_trait]
impl Reranker for Endpoint {
    fn id(&self) -> &str {
        &self.model
    }

    async fn scores(&self, question: &str, texts: &[String]) -> Result<Vec<f32>, ModelError> {
        let mut request = self.client.post(self.url.clone()).json(&self.request(question, texts));
        if !self.key.is_empty() {
            request = request.bearer_auth(self.key.reveal());
        }
        let answer = request.send().await.map_err(unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(refusal(status, &headers, &body, self.key.reveal()));
        }
        in_order(&body, self.dashscope, texts.len())
    }
}

/// The scores in the texts' order.
fn in_order(body: &[u8], dashscope: bool, texts: usize) -> Result<Vec<f32>, ModelError> {
    let unread = |error: serde_json::Error| ModelError::Broken(format!("its answer is not a ranking ({error})"));
    let mut body: Value = serde_json::from_slice(body).map_err(unread)?;
    let ranking = if dashscope { body["output"].take() } else { body };
    let ranked: Ranked = serde_json::from_value(ranking).map_err(unread)?;
    let mut scores = vec![f32::NAN; texts];
    for scored in ranked.results {
        match scores.get_mut(scored.index) {
            Some(score) => *score = scored.relevance_score,
            None => return Err(ModelError::Broken(format!("it scored text {} of {texts}", scored.index))),
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read_in_the_texts_order() {
        let jina = br#"{"model":"m","usage":{"total_tokens":9},"results":[{"index":1,"relevance_score":0.9,"document":{"text":"b"}},{"index":0,"relevance_score":0.1}]}"#;
        assert_eq!(in_order(jina, false, 2).unwrap(), [0.1, 0.9]);
        let dashscope = br#"{"output":{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]},"usage":{"total_tokens":9},"request_id":"r"}"#;
        assert_eq!(in_order(dashscope, true, 2).unwrap(), [0.1, 0.9]);
        assert!(in_order(jina, false, 1).is_err() && in_order(b"<html>", false, 2).is_err() && in_order(b"{}", true, 2).is_err());
    }

    #[test]
    fn what_is_missing_is_said() {
        let config = |source: &str, model: &str| RerankConfig { source: source.into(), model: model.into(), ..RerankConfig::default() };
        let open = |config: &RerankConfig| Endpoint::open(config, Duration::from_secs(1));
        assert!(open(&config("http://", "m")).is_err());
        assert!(open(&config("http://127.0.0.1:1/v1/rerank", "")).err().unwrap().message().contains("rerank.model"));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = "https://dashscope.example.com/api/v1/services/rerank/text-rerank/text-rerank";
        assert!(open(&config(url, "gte-rerank-v2")).unwrap().dashscope);
    }
}
