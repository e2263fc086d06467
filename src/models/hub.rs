//! Models by their name. fastembed knows where each lies on the hub and how it is read; a model is fetched once, into
//! the data directory, and read from there ever after, also without a network.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use fastembed::{EmbeddingModel, QuantizationMode, RerankInitOptions, RerankerModel, TextEmbedding, TextInitOptions, TextRerank};

use super::http_client::describe;
use super::onnx;
use crate::config::HubConfig;
use crate::error::{Error, Result};

/// What a model's makers want in front of a question, and in front of a text that is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    /// Of a question.
    pub query: &'static str,
    /// Of a text.
    pub passage: &'static str,
}

/// An embedding model that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedEmbedder {
    model: EmbeddingModel,
    code: String,
}

impl NamedEmbedder {
    /// The model of that name: as fastembed calls it, as the hub does, or without its owner.
    pub fn find(name: &str) -> Option<Self> {
        let models = TextEmbedding::list_supported_models().into_iter().map(|info| (info.model_code, info.model));
        let (code, model) = pick(name, models, |model| TextEmbedding::get_quantization_mode(model) == QuantizationMode::None)?;
        Some(Self { model, code })
    }

    /// Copies of it, ready to run.
    ///
    /// # Errors
    /// `embedder_missing` when it cannot be fetched, `embedder_broken` when it does not load.
    pub fn load(&self, copies: usize, hub: &HubConfig) -> Result<Vec<TextEmbedding>> {
        onnx::backend();
        tracing::info!(model = self.code, cache = %hub.cache.display(), "loading a model by its name; what is not there is fetched");
        let codes = Codes { key: "embedder.source", missing: "embedder_missing", broken: "embedder_broken" };
        make_cache(&self.code, hub, &codes)?;
        let options = TextInitOptions::new(self.model.clone()).with_cache_dir(hub.cache.clone()).with_intra_threads(1);
        let load = || TextEmbedding::try_new(options.clone());
        (0..copies).map(|_| load()).collect::<std::result::Result<_, _>>().map_err(|error| failed(&self.code, hub, &codes, error))
    }

    /// Names the model and what of it was fetched, since the hub may have a newer one another day.
    pub fn label(&self, hub: &HubConfig) -> String {
        let fetched = hub.cache.join(format!("models--{}", self.code.replace('/', "--"))).join("refs/main");
        let version = std::fs::read_to_string(fetched).unwrap_or_default();
        format!("hub:{:?}:{}", self.model, version.trim().chars().take(12).collect::<String>())
    }

    /// What its makers want in front of texts.
    pub fn prefixes(&self) -> Prefixes {
        let code = self.code.to_lowercase();
        let has = |part: &str| code.contains(part);
        let (query, passage) = if has("-e5-") {
            ("query: ", "passage: ")
        } else if has("nomic-embed") || has("modernbert-embed") {
            ("search_query: ", "search_document: ")
        } else if has("embeddinggemma") {
            ("task: search result | query: ", "title: none | text: ")
        } else if has("bge-") && has("-zh-") {
            ("为这个句子生成表示以用于检索相关文章：", "")
        } else if has("bge-") && has("-en-") || has("mxbai-embed") || has("arctic-embed") {
            ("Represent this sentence for searching relevant passages: ", "")
        } else {
            ("", "")
        };
        Prefixes { query, passage }
    }
}

/// A reranker that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedReranker {
    model: RerankerModel,
    /// As the hub calls it.
    pub code: String,
}

impl NamedReranker {
    /// The model of that name, as [`NamedEmbedder::find`].
    pub fn find(name: &str) -> Option<Self> {
        let models = TextRerank::list_supported_models().into_iter().map(|info| (info.model_code, info.model));
        let (code, model) = pick(name, models, |_| true)?;
        Some(Self { model, code })
    }

    /// One copy of it, ready to run.
    ///
    /// # Errors
    /// `reranker_missing` when it cannot be fetched, `reranker_broken` when it does not load.
    pub fn load(&self, hub: &HubConfig) -> Result<TextRerank> {
        onnx::backend();
        tracing::info!(model = self.code, cache = %hub.cache.display(), "loading a reranker by its name; what is not there is fetched");
        let codes = Codes { key: "rerank.source", missing: "reranker_missing", broken: "reranker_broken" };
        make_cache(&self.code, hub, &codes)?;
        let options = RerankInitOptions::new(self.model.clone()).with_cache_dir(hub.cache.clone()).with_intra_threads(1);
        TextRerank::try_new(options).map_err(|error| failed(&self.code, hub, &codes, error))
    }
}

/// Every name that [`NamedEmbedder::find`] knows, for an error.
pub fn embedders() -> String {
    listed(TextEmbedding::list_supported_models().into_iter().map(|info| format!("{:?}", info.model)))
}

/// Every name that [`NamedReranker::find`] knows, for an error.
pub fn rerankers() -> String {
    listed(TextRerank::list_supported_models().into_iter().map(|info| info.model_code))
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.join(", ")
}

/// Whether a source is a directory: what lies on this machine goes before a name.
pub fn is_directory(source: &str) -> bool {
    Path::new(source).is_dir()
}

/// The first whose name it is; of several with the same, a whole one before a quantised one.
fn pick<M: std::fmt::Debug>(name: &str, models: impl Iterator<Item = (String, M)>, is_whole: impl Fn(&M) -> bool) -> Option<(String, M)> {
    let mut models: Vec<(String, M)> = models.collect();
    models.sort_by_cached_key(|(_, model)| (!is_whole(model), format!("{model:?}")));
    let own = |code: &str| code.rsplit('/').next().unwrap_or_default().to_lowercase();
    let wanted = own(name);
    let find = |is: &dyn Fn(&str, &M) -> bool| models.iter().position(|(code, model)| is(code, model));
    let at = find(&|_, model| format!("{model:?}").eq_ignore_ascii_case(name))
        .or_else(|| find(&|code, _| code.eq_ignore_ascii_case(name)))
        .or_else(|| find(&|code, _| own(code).strip_suffix("-onnx").unwrap_or(&own(code)) == wanted))?;
    Some(models.swap_remove(at))
}

/// The configuration's key and the codes of errors.
struct Codes {
    key: &'static str,
    missing: &'static str,
    broken: &'static str,
}

/// Makes the folder that models are fetched into. It may be what begins the data directory, which is its owner's alone.
fn make_cache(name: &str, hub: &HubConfig, codes: &Codes) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(&hub.cache).map_err(|error| {
        let message = format!(
            "The model {name} cannot be kept in {}: {error}. Give the folder's rights to this user, or name another in HF_HOME.",
            hub.cache.display()
        );
        Error::unavailable(codes.missing, message).because(error)
    })
}

fn failed(name: &str, hub: &HubConfig, codes: &Codes, error: fastembed::Error) -> Error {
    let why = describe(&error);
    if !matches!(error, fastembed::Error::ModelRetrieval { .. } | fastembed::Error::Other(_)) {
        return Error::invalid(codes.broken, format!("The model {name} in {} does not load: {why}.", hub.cache.display())).because(error);
    }
    let message = format!(
        "The model {name} cannot be fetched from {} into {} ({why}). Let this machine reach it, name a mirror in HF_ENDPOINT, or fetch the \
         model elsewhere and give its directory as `{}`.",
        hub.endpoint.as_deref().unwrap_or("the Hugging Face hub"),
        hub.cache.display(),
        codes.key
    );
    Error::unavailable(codes.missing, message).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Option<EmbeddingModel> {
        NamedEmbedder::find(name).map(|named| named.model)
    }

    #[test]
    fn a_model_is_found_by_each_of_its_names() {
        for name in ["BGESmallZHV15", "bgesmallzhv15", "Xenova/bge-small-zh-v1.5", "BAAI/bge-small-zh-v1.5", "bge-small-zh-v1.5"] {
            assert_eq!(found(name), Some(EmbeddingModel::BGESmallZHV15), "{name}");
        }
        assert_eq!(found("nomic-ai/nomic-embed-text-v1.5"), Some(EmbeddingModel::NomicEmbedTextV15), "the whole one");
        assert_eq!(found("NomicEmbedTextV15Q"), Some(EmbeddingModel::NomicEmbedTextV15Q));
        assert_eq!(found("intfloat/multilingual-e5-large"), Some(EmbeddingModel::MultilingualE5Large));
        assert_eq!(found("nobody/nothing"), None);
        assert_eq!(NamedReranker::find("bge-reranker-v2-m3").map(|named| named.model), Some(RerankerModel::BGERerankerV2M3));
        assert!(embedders().contains("BGESmallZHV15") && rerankers().contains("bge-reranker-base"));
    }

    #[test]
    fn every_model_of_the_list_is_found_by_its_own_name() {
        for info in TextEmbedding::list_supported_models() {
            assert_eq!(found(&format!("{:?}", info.model)), Some(info.model));
        }
    }

    #[test]
    fn the_folder_of_models_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let codes = Codes { key: "embedder.source", missing: "embedder_missing", broken: "embedder_broken" };
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().join("data"), folder.path().join("file"));
        let make = |cache: std::path::PathBuf| make_cache("m", &HubConfig { cache, ..HubConfig::default() }, &codes);
        // Twice, because what is there is used.
        for _ in 0..2 {
            make(data.join("models")).unwrap();
        }
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(&file, "x").unwrap();
        let error = make(file.join("models")).unwrap_err();
        assert!(error.code() == "embedder_missing" && error.message().contains("HF_HOME"), "{error}");
    }

    #[test]
    fn texts_have_what_their_model_wants() {
        let prefixes = |name: &str| NamedEmbedder::find(name).unwrap().prefixes();
        assert_eq!(prefixes("MultilingualE5Small"), Prefixes { query: "query: ", passage: "passage: " });
        assert_eq!(prefixes("BGEM3"), Prefixes::default());
        assert!(prefixes("BGESmallZHV15").query.starts_with("为这个句子") && prefixes("BGESmallENV15").query.starts_with("Represent"));
    }
}
