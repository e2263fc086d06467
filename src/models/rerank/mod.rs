//! Rerankers: models that read a question and a text together and say how well the text answers it. A
//! trait with two implementations, an endpoint and a cross-encoder in this process;
//! [`Reranking`] gives either its time limit and its breaker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;

use super::ModelError;
use super::breaker::Breaker;
use crate::config::{ModelsConfig, RerankConfig};
use crate::error::{Error, Result};

mod endpoint;
mod local;

/// A model that judges texts against a question.
#[async_trait]
pub trait Reranker: Send + Sync {
    /// Names the model.
    fn id(&self) -> &str;
    /// How well each text answers the question, in the texts' order; more is better.
    async fn scores(&self, question: &str, texts: &[String]) -> Result<Vec<f32>, ModelError>;
}

/// A reranker within its limits.
pub struct Reranking {
    reranker: Arc<dyn Reranker>,
    breaker: Arc<Breaker>,
    limit: Duration,
    /// Texts it is given at most.
    pub candidates: usize,
}

impl Reranking {
    /// The reranker that the configuration names, if it names one. Reads or fetches files: call it at start or from
    /// a blocking thread.
    ///
    /// # Errors
    /// `reranker_missing` and `reranker_broken` naming the file or the model, `bad_config` for an address.
    pub fn open(config: &RerankConfig, models: &ModelsConfig) -> Result<Option<Arc<Self>>> {
        let reranker: Arc<dyn Reranker> = match config.source.as_str() {
            "" => return Ok(None),
            url if url.starts_with("http://") || url.starts_with("https://") => {
                Arc::new(endpoint::Endpoint::open(config, Duration::from_millis(models.connect_ms))?)
            }
            source => Arc::new(local::CrossEncoder::open(source, &config.hub)?),
        };
        let breaker =
            Breaker::new(models.breaker_failures, Duration::from_millis(models.breaker_open_ms), Arc::new(watch::Sender::new(())));
        Ok(Some(Arc::new(Self::new(reranker, breaker, config))))
    }

    fn new(reranker: Arc<dyn Reranker>, breaker: Arc<Breaker>, config: &RerankConfig) -> Self {
        Self { reranker, breaker, limit: Duration::from_millis(config.timeout_ms), candidates: config.candidates }
    }

    /// Names the model.
    pub fn id(&self) -> &str {
        self.reranker.id()
    }

    /// The scores, within the time limit and unless it failed too often in a row.
    pub async fn scores(&self, question: &str, texts: &[String]) -> Result<Vec<f32>, ModelError> {
        let pass = self.breaker.admit()?;
        let scores = match timeout(self.limit, self.reranker.scores(question, texts)).await {
            Ok(scores) => scores.and_then(|scores| checked(scores, texts.len())),
            Err(_) => Err(ModelError::Timeout("rerank.timeout_ms")),
        };
        match &scores {
            Ok(_) => pass.succeeded(),
            Err(error) => pass.failed(error),
        }
        scores
    }
}

/// One finite number for each text, or the answer is no answer.
fn checked(scores: Vec<f32>, texts: usize) -> Result<Vec<f32>, ModelError> {
    if scores.len() == texts && scores.iter().all(|score| score.is_finite()) {
        return Ok(scores);
    }
    Err(ModelError::Broken(format!("it did not score each of the {texts} texts")))
}

fn broken(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid("reranker_broken", format!("The reranker does not load: {what}: {error}.")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Hangs, or gives what it was told.
    struct Told(Option<Vec<f32>>, AtomicUsize);

    #[async_trait]
    impl Reranker for Told {
        fn id(&self) -> &str {
            "told"
        }
        async fn scores(&self, _: &str, _: &[String]) -> Result<Vec<f32>, ModelError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            match &self.0 {
                Some(scores) => Ok(scores.clone()),
                None => std::future::pending().await,
            }
        }
    }

    fn reranking(told: &Arc<Told>) -> Reranking {
        let breaker = Breaker::new(2, Duration::from_secs(60), Arc::new(watch::Sender::new(())));
        let config = RerankConfig { timeout_ms: 50, ..RerankConfig::default() };
        Reranking::new(Arc::clone(told) as Arc<dyn Reranker>, breaker, &config)
    }

    #[tokio::test]
    async fn one_that_hangs_is_left_alone_after_a_while() {
        let told = Arc::new(Told(None, AtomicUsize::new(0)));
        let reranking = reranking(&told);
        let texts = ["a".to_owned()];
        for _ in 0..2 {
            assert!(matches!(reranking.scores("q", &texts).await, Err(ModelError::Timeout(_))));
        }
        assert!(matches!(reranking.scores("q", &texts).await, Err(ModelError::Unavailable(_))));
        assert_eq!(told.1.load(Ordering::Relaxed), 2, "it is not asked again at once");
    }

    #[tokio::test]
    async fn scores_that_are_not_one_for_each_text_are_refused() {
        for scores in [vec![], vec![0.5], vec![0.5, f32::NAN], vec![0.1, 0.2, 0.3]] {
            let told = Arc::new(Told(Some(scores), AtomicUsize::new(0)));
            let outcome = reranking(&told).scores("q", &["a".to_owned(), "b".to_owned()]).await;
            assert!(matches!(outcome, Err(ModelError::Broken(_))));
        }
    }
}
