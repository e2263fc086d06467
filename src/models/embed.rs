//! Embeddings: in this process, through fastembed, by the model compiled in, one fetched by its name (`hub.rs`), or
//! a directory with the same five files; or from an endpoint (`api.rs`). In this process a small pool of copies serves many callers; each copy computes on one thread (`compute.rs`).

use std::path::Path;
use std::sync::{Arc, Mutex, TryLockError};

use async_trait::async_trait;
use fastembed::{InitOptionsUserDefined, Pooling, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::hub::{self, NamedEmbedder};
use super::{EmbedKind, Embedder, onnx};
use crate::compute;
use crate::config::EmbedderConfig;
use crate::error::{Error, Result};

mod api;

/// The value of `embedder.source` for the model compiled in.
pub const BUILTIN: &str = "builtin";
/// Names the compiled-in vectors; change it whenever `knowledge/embedder/model.onnx` changes.
const BUILTIN_ID: &str = "builtin-static-v3";
/// Texts per call of a model. Also the longest a question waits behind an import.
const BATCH: usize = 32;

/// Opens the embedder the configuration names. Reads or fetches files and computes for a moment: call it at start
/// or from a blocking thread.
///
/// # Errors
/// `embedder_missing` naming what is not there or cannot be fetched, `embedder_broken` when the files do not work
/// together, `bad_config` for an endpoint.
pub fn open(config: &EmbedderConfig) -> Result<Arc<dyn Embedder>> {
    let copies = config.pool.max(1);
    let local = match config.source.as_str() {
        url if url.starts_with("http://") || url.starts_with("https://") => return Ok(Arc::new(api::ApiEmbedder::open(config)?)),
        BUILTIN => LocalEmbedder::open(Files::builtin(), copies)?,
        source => match NamedEmbedder::find(source).filter(|_| !hub::is_directory(source)) {
            Some(named) => LocalEmbedder::named(&named, copies, config)?,
            None => LocalEmbedder::open(Files::read(Path::new(source))?, copies)?,
        },
    };
    Ok(Arc::new(local))
}

/// What runs the embedding model: `onnxruntime` or `tract`.
pub fn runtime() -> &'static str {
    match onnx::backend() {
        onnx::Backend::OnnxRuntime => "onnxruntime",
        onnx::Backend::Tract => "tract",
    }
}

/// A model's files.
struct Files {
    /// Where they came from, for errors and the id.
    label: String,
    onnx: Vec<u8>,
    /// Weights that lie beside it, by name.
    weights: Vec<(String, Vec<u8>)>,
    /// How its tokens become one vector, where a file of its own says so.
    pooling: Option<Vec<u8>>,
    tokenizer: TokenizerFiles,
}

impl Files {
    fn builtin() -> Self {
        Self {
            label: BUILTIN_ID.to_owned(),
            onnx: include_bytes!("../../knowledge/embedder/model.onnx").to_vec(),
            weights: Vec::new(),
            pooling: None,
            tokenizer: TokenizerFiles {
                tokenizer_file: include_bytes!("../../knowledge/embedder/tokenizer.json").to_vec(),
                config_file: include_bytes!("../../knowledge/embedder/config.json").to_vec(),
                special_tokens_map_file: include_bytes!("../../knowledge/embedder/special_tokens_map.json").to_vec(),
                tokenizer_config_file: include_bytes!("../../knowledge/embedder/tokenizer_config.json").to_vec(),
            },
        }
    }

    fn read(directory: &Path) -> Result<Self> {
        if !directory.is_dir() {
            let message = format!(
                "`embedder.source` is `{}`, which is neither a directory here nor a model that can be fetched by its name: {}.",
                directory.display(),
                hub::embedders()
            );
            return Err(Error::invalid("embedder_missing", message));
        }
        let file = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|error| {
                let message = format!(
                    "The embedding model's file {} cannot be read ({error}). `embedder.source` must be `builtin`, an address, the name \
                     of a model or a directory with model.onnx (or onnx/model.onnx), tokenizer.json, config.json, \
                     special_tokens_map.json and tokenizer_config.json.",
                    path.display()
                );
                Error::invalid("embedder_missing", message)
            })
        };
        // As it lies on the hub, or as people put it together.
        let model = if directory.join("onnx/model.onnx").is_file() { "onnx/model.onnx" } else { "model.onnx" };
        let onnx = file(model)?;
        let name = directory.file_name().unwrap_or(directory.as_os_str()).to_string_lossy();
        let hash: String = Sha256::digest(&onnx).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        // The weights of a large model lie beside it.
        let weights = ["_data", ".data"].map(|ending| directory.join(format!("{model}{ending}")));
        let weights = weights.into_iter().filter(|path| path.is_file());
        let weights = weights.map(|path| Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), std::fs::read(path)?)));
        Ok(Self {
            label: format!("dir:{name}:{hash}"),
            onnx,
            weights: weights.collect::<Result<_>>()?,
            pooling: std::fs::read(directory.join("1_Pooling/config.json")).ok(),
            tokenizer: TokenizerFiles {
                tokenizer_file: file("tokenizer.json")?,
                config_file: file("config.json")?,
                special_tokens_map_file: file("special_tokens_map.json")?,
                tokenizer_config_file: file("tokenizer_config.json")?,
            },
        })
    }

    /// What the model's own `config.json` says to us.
    fn settings(&self) -> Result<Settings> {
        serde_json::from_slice(&self.tokenizer.config_file).map_err(|error| self.broken("config.json", error))
    }

    /// What the model's settings say, or the file that models of sentences have for it; the mean when nobody does.
    fn pooling(&self, settings: &Settings) -> Result<Pooling> {
        if let (None, Some(file)) = (settings.pooling, &self.pooling) {
            let own: OwnPooling = serde_json::from_slice(file).map_err(|error| self.broken("1_Pooling/config.json", error))?;
            return Ok(if own.pooling_mode_cls_token { Pooling::Cls } else { Pooling::Mean });
        }
        Ok(settings.pooling.unwrap_or_default().into())
    }

    /// One copy of the model, ready to run.
    fn load(&self, pooling: &Pooling) -> Result<TextEmbedding> {
        let mut model = UserDefinedEmbeddingModel::new(self.onnx.clone(), self.tokenizer.clone()).with_pooling(pooling.clone());
        for (name, weights) in &self.weights {
            model = model.with_external_initializer(name.clone(), weights.clone());
        }
        let options = InitOptionsUserDefined::new().with_intra_threads(1);
        TextEmbedding::try_new_from_user_defined(model, options).map_err(|error| self.broken("the model", error))
    }

    fn broken(&self, what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        let message = format!("The embedding model {} does not load: {what}: {error}.", self.label);
        Error::invalid("embedder_broken", message).because(error)
    }
}

/// The keys of a model's `config.json` that matter here; the rest is the tokenizer's.
#[derive(Deserialize)]
struct Settings {
    hidden_size: Option<usize>,
    pooling: Option<PoolingName>,
    #[serde(default)]
    query_prefix: String,
    #[serde(default)]
    passage_prefix: String,
}

/// What the makers of sentence models write down about pooling.
#[derive(Deserialize)]
struct OwnPooling {
    #[serde(default)]
    pooling_mode_cls_token: bool,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PoolingName {
    #[default]
    Mean,
    Cls,
}

impl From<PoolingName> for Pooling {
    fn from(name: PoolingName) -> Self {
        match name {
            PoolingName::Mean => Self::Mean,
            PoolingName::Cls => Self::Cls,
        }
    }
}

/// A model of this process.
struct LocalEmbedder {
    id: String,
    dimensions: usize,
    query_prefix: String,
    passage_prefix: String,
    pool: Arc<Pool>,
}

impl LocalEmbedder {
    fn open(files: Files, copies: usize) -> Result<Self> {
        onnx::backend();
        let settings = files.settings()?;
        let pooling = files.pooling(&settings)?;
        let models = (0..copies).map(|_| files.load(&pooling)).collect::<Result<Vec<_>>>()?;
        let mut local = Self::of(&files.label, models)?;
        let dimensions = local.dimensions;
        if let Some(said) = settings.hidden_size.filter(|said| *said != dimensions) {
            let message = format!(
                "The embedding model {} gives vectors of {dimensions} numbers, but its config.json says {said}: \
                 model.onnx and config.json are not of the same model.",
                files.label
            );
            return Err(Error::invalid("embedder_broken", message));
        }
        (local.query_prefix, local.passage_prefix) = (settings.query_prefix, settings.passage_prefix);
        Ok(local)
    }

    fn named(named: &NamedEmbedder, copies: usize, config: &EmbedderConfig) -> Result<Self> {
        let models = named.load(copies, &config.hub)?;
        let prefixes = named.prefixes();
        let (query_prefix, passage_prefix) = (prefixes.query.to_owned(), prefixes.passage.to_owned());
        Ok(Self { query_prefix, passage_prefix, ..Self::of(&named.label(&config.hub), models)? })
    }

    /// With nothing in front of texts; how long its vectors are is seen.
    fn of(label: &str, models: Vec<TextEmbedding>) -> Result<Self> {
        let pool = Pool::new(models);
        let probe = pool.run(&["商家 shop".to_owned()])?;
        let dimensions = probe.first().map_or(0, Vec::len);
        if dimensions == 0 {
            return Err(Error::invalid("embedder_broken", format!("The embedding model {label} gives no vectors.")));
        }
        let (query_prefix, passage_prefix) = Default::default();
        Ok(Self { id: format!("{label}:{dimensions}"), dimensions, query_prefix, passage_prefix, pool: Arc::new(pool) })
    }
}

#[async_trait]
impl Embedder for LocalEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    async fn embed(&self, mut texts: Vec<String>, kind: EmbedKind) -> Result<Vec<Vec<f32>>> {
        let prefix = match kind {
            EmbedKind::Query => &self.query_prefix,
            EmbedKind::Passage => &self.passage_prefix,
        };
        let dimensions = self.dimensions;
        let mut vectors = vec![vec![0.0; dimensions]; texts.len()];
        // Some models give a text of nothing but marks a vector that is close to everything.
        let mut said: Vec<usize> = (0..texts.len()).filter(|&i| texts[i].chars().any(char::is_alphanumeric)).collect();
        // A batch is as wide as its longest text: texts of one length belong together.
        said.sort_by_key(|&i| texts[i].len());
        let batches: Vec<Vec<String>> =
            said.chunks(BATCH).map(|batch| batch.iter().map(|&i| with_prefix(prefix, std::mem::take(&mut texts[i]))).collect()).collect();
        // No more under way than there are copies, so that a question waits for one batch at most.
        let computed: Vec<Vec<Vec<f32>>> = stream::iter(batches)
            .map(|batch| embed_batch(Arc::clone(&self.pool), batch))
            .buffered(self.pool.models.len())
            .try_collect()
            .await?;
        for (i, vector) in said.into_iter().zip(computed.into_iter().flatten()) {
            if !vector.is_empty() {
                vectors[i] = checked(vector, dimensions)?;
            }
        }
        Ok(vectors)
    }
}

/// A vector as promised: of the right length, and of norm 1.
fn checked(vector: Vec<f32>, dimensions: usize) -> Result<Vec<f32>> {
    if vector.len() != dimensions {
        let message = format!("The embedding model gave {} numbers instead of {dimensions}.", vector.len());
        return Err(Error::internal("embedding_failed", message));
    }
    Ok(unit(vector))
}

fn with_prefix(prefix: &str, text: String) -> String {
    if prefix.is_empty() { text } else { format!("{prefix}{text}") }
}

async fn embed_batch(pool: Arc<Pool>, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
    let permit = Arc::clone(&pool.permits)
        .acquire_owned()
        .await
        .map_err(|closed| Error::internal("embedding_failed", "The embedder is closed.").because(closed))?;
    compute::run(move || {
        let vectors = pool.run(&texts);
        drop(permit);
        vectors
    })
    .await?
}

/// Copies of one model, and as many permits.
struct Pool {
    models: Vec<Mutex<TextEmbedding>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    fn new(models: Vec<TextEmbedding>) -> Self {
        Self { permits: Arc::new(Semaphore::new(models.len())), models: models.into_iter().map(Mutex::new).collect() }
    }

    /// Runs a free copy; a text without a token gives a vector of zeros, or an empty one. With a permit
    /// in hand there always is a free copy.
    fn run(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        for model in &self.models {
            let mut model = match model.try_lock() {
                Ok(model) => model,
                // A panic in the middle of a batch leaves nothing half-written in a model.
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            // A batch without any token would be a tensor of no width, which the backends do not survive.
            let silent = |text: &String| model.tokenizer.encode(text.as_str(), true).is_ok_and(|said| said.is_empty());
            if texts.iter().all(silent) {
                return Ok(vec![Vec::new(); texts.len()]);
            }
            return model
                .embed(texts, Some(BATCH))
                .map_err(|error| Error::internal("embedding_failed", "The embedding model failed; the log has the cause.").because(error));
        }
        Err(Error::internal("embedding_failed", "Every copy of the embedding model is busy."))
    }
}

/// Scales to length 1; a vector without a direction becomes all zero, never NaN.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let scale = if norm.is_finite() && norm > 1e-6 { norm.recip() } else { 0.0 };
    for x in &mut vector {
        *x = if scale == 0.0 { 0.0 } else { *x * scale };
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builtin() -> Arc<dyn Embedder> {
        open(&EmbedderConfig::builtin()).expect("the built-in model loads")
    }

    async fn embed(model: &dyn Embedder, texts: &[&str]) -> Vec<Vec<f32>> {
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        model.embed(texts, EmbedKind::Query).await.expect("it embeds")
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[tokio::test]
    async fn vectors_are_unit_length_and_near_for_near_questions() {
        let model = builtin();
        assert_eq!(model.id(), "builtin-static-v3:256");
        let texts = ["入驻需要交多少保证金？", "开店的保证金是多少", "物流多久可以送达", "How do I get a refund?"];
        let vectors = embed(&*model, &texts).await;
        for vector in &vectors {
            assert_eq!(vector.len(), model.dimensions());
            assert!((dot(vector, vector) - 1.0).abs() < 1e-4);
        }
        assert!(dot(&vectors[0], &vectors[1]) > dot(&vectors[0], &vectors[2]) + 0.1);
    }

    #[tokio::test]
    async fn a_text_without_a_known_token_is_a_zero_vector() {
        let model = builtin();
        for texts in [["", " \n", "？！…"], ["ᐃᓄᒃᑎᑐᑦ", "தமிழ்", "😀"], ["ᐃᓄ", "𪚥", ""], ["退款", "", "ᐃᓄ"]]
        {
            for (text, vector) in texts.iter().zip(embed(&*model, &texts).await) {
                let zero = vector.iter().all(|&x| x == 0.0);
                assert_eq!(zero, *text != "退款", "{text:?}");
            }
        }
    }

    #[tokio::test]
    async fn many_texts_keep_their_order() {
        let model = open(&EmbedderConfig { pool: 2, ..EmbedderConfig::builtin() }).unwrap();
        let texts: Vec<String> = (0..100).map(|i| if i % 7 == 0 { String::new() } else { format!("order {i}") }).collect();
        let together = model.embed(texts.clone(), EmbedKind::Passage).await.unwrap();
        for i in [0, 1, 31, 32, 33, 64, 99] {
            let alone = model.embed(vec![texts[i].clone()], EmbedKind::Passage).await.unwrap();
            assert!(dot(&alone[0], &together[i]) > 0.999 || texts[i].is_empty(), "{i}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let config = |path: &Path| EmbedderConfig { source: path.to_string_lossy().into_owned(), ..EmbedderConfig::builtin() };
        let error = open(&config(directory.path())).err().expect("there is no model");
        assert_eq!(error.code(), "embedder_missing");
        assert!(error.message().contains("model.onnx"), "{error}");
    }

    #[tokio::test]
    async fn a_directory_is_named_by_its_content_and_checked() {
        let directory = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("knowledge/embedder");
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        let config = EmbedderConfig { source: directory.path().to_string_lossy().into_owned(), ..EmbedderConfig::builtin() };
        let model = open(&config).unwrap();
        let name = directory.path().file_name().unwrap().to_string_lossy();
        assert!(model.id().starts_with(&format!("dir:{name}:")) && model.id().ends_with(":256"), "{}", model.id());

        let settings = r#"{"hidden_size": 384, "pad_token_id": 0}"#;
        std::fs::write(directory.path().join("config.json"), settings).unwrap();
        let error = open(&config).err().expect("384 is not 256");
        assert!(error.message().contains("256") && error.message().contains("384"), "{error}");
    }

    #[test]
    fn pooling_is_what_the_model_says_in_either_place() {
        let pooling = |config: &str, own: Option<&str>| {
            let mut files = Files::builtin();
            files.tokenizer.config_file = config.as_bytes().to_vec();
            files.pooling = own.map(|text| text.as_bytes().to_vec());
            files.pooling(&files.settings().unwrap()).ok()
        };
        let cls = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
        assert_eq!(pooling("{}", None), Some(Pooling::Mean));
        assert_eq!(pooling("{}", Some(cls)), Some(Pooling::Cls));
        assert_eq!(pooling(r#"{"pooling": "mean"}"#, Some(cls)), Some(Pooling::Mean));
        assert_eq!(pooling("{}", Some("torn")), None);
    }

    #[test]
    fn no_direction_is_zero() {
        assert_eq!(unit(vec![0.0, f32::NAN]), [0.0, 0.0]);
        assert_eq!(unit(vec![3.0, 4.0]), [0.6, 0.8]);
    }
}
