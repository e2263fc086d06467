//! A cross-encoder in this process, through fastembed, from a directory with its five files or fetched by its name.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use fastembed::{OnnxSource, RerankInitOptionsUserDefined, TextRerank, TokenizerFiles, UserDefinedRerankingModel};

use super::super::hub::{self, NamedReranker};
use super::super::onnx;
use super::{ModelError, Reranker, broken};
use crate::config::HubConfig;
use crate::error::{Error, Result};

/// Texts per call of the model.
const BATCH: usize = 16;

/// One copy of the model; questions take turns.
pub struct CrossEncoder {
    id: String,
    model: Arc<Mutex<TextRerank>>,
}

impl CrossEncoder {
    /// From a directory, or by its name.
    ///
    /// # Errors
    /// `reranker_missing` naming what is not there or cannot be fetched, `reranker_broken`.
    pub fn open(source: &str, hub: &HubConfig) -> Result<Self> {
        if hub::is_directory(source) {
            return Self::read(Path::new(source));
        }
        let Some(named) = NamedReranker::find(source) else {
            let message = format!(
                "`rerank.source` is `{source}`, which is neither a directory here nor a model that can be fetched by its name: {}.",
                hub::rerankers()
            );
            return Err(Error::invalid("reranker_missing", message));
        };
        let model = named.load(hub)?;
        Ok(Self { id: named.code, model: Arc::new(Mutex::new(model)) })
    }

    fn read(directory: &Path) -> Result<Self> {
        onnx::backend();
        let file = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|error| {
                let message = format!(
                    "The reranker's file {} cannot be read ({error}). `rerank.source` must be empty, the address of a \
                     rerank endpoint, the name of a model, or a directory with model.onnx, tokenizer.json, config.json, \
                     special_tokens_map.json and tokenizer_config.json.",
                    path.display()
                );
                Error::invalid("reranker_missing", message)
            })
        };
        let onnx = file("model.onnx")?;
        let tokenizer = TokenizerFiles {
            tokenizer_file: file("tokenizer.json")?,
            config_file: file("config.json")?,
            special_tokens_map_file: file("special_tokens_map.json")?,
            tokenizer_config_file: file("tokenizer_config.json")?,
        };
        // The weights of a large model lie in a file beside it, which is found by the model's path.
        let beside = directory.join("model.onnx.data").exists() || directory.join("model.onnx_data").exists();
        let source = if beside { OnnxSource::File(directory.join("model.onnx")) } else { OnnxSource::Memory(onnx) };
        let model = UserDefinedRerankingModel::new(source, tokenizer);
        let options = RerankInitOptionsUserDefined::default().with_intra_threads(1);
        let model = TextRerank::try_new_from_user_defined(model, options).map_err(|error| broken("the model", error))?;
        let name = directory.file_name().unwrap_or(directory.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { id: name, model: Arc::new(Mutex::new(model)) })
    }
}

#[async_trait]
impl Reranker for CrossEncoder {
    fn id(&self) -> &str {
        &self.id
    }

    async fn scores(&self, question: &str, texts: &[String]) -> Result<Vec<f32>, ModelError> {
        let (model, question, texts) = (Arc::clone(&self.model), question.to_owned(), texts.to_vec());
        let failed = |error: &dyn std::fmt::Display| ModelError::Unavailable(format!("the reranker failed: {error}"));
        let ranked = tokio::task::spawn_blocking(move || {
            // A panic in the middle of a batch leaves nothing half-written in a model.
            model.lock().unwrap_or_else(PoisonError::into_inner).rerank(question, texts, false, Some(BATCH))
        });
        let mut ranked = ranked.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        ranked.sort_by_key(|result| result.index);
        Ok(ranked.into_iter().map(|result| 1.0 / (1.0 + (-result.score).exp())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `make.py` beside it.
    fn tiny() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cross_encoder")
    }

    #[tokio::test]
    async fn a_text_with_the_question_s_characters_comes_first() {
        let model = CrossEncoder::read(&tiny()).unwrap();
        let texts = ["物流多久送达", "保证金怎么交", "保证金要交多少"].map(str::to_owned);
        let scores = model.scores("保证金要交多少", &texts).await.unwrap();
        assert!(scores[2] > scores[1] && scores[1] > scores[0], "{scores:?}");
        assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
        assert_eq!(model.id(), "cross_encoder");
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = CrossEncoder::read(directory.path()).err().expect("there is no model");
        assert!(error.code() == "reranker_missing" && error.message().contains("model.onnx"), "{error}");
        let error = CrossEncoder::open("nobody/nothing", &HubConfig::default()).err().expect("there is no such model");
        assert!(error.code() == "reranker_missing" && error.message().contains("BAAI/bge-reranker-base"), "{error}");
        for entry in std::fs::read_dir(tiny()).unwrap().flatten() {
            std::fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
        }
        std::fs::write(directory.path().join("model.onnx"), "torn").unwrap();
        assert_eq!(CrossEncoder::read(directory.path()).err().unwrap().code(), "reranker_broken");
    }
}
