//! `[embedder]`: what turns texts into vectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::search::usual_key;
use super::{ModelsConfig, Secret};

/// `[embedder]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct EmbedderConfig {
    pub source: String,
    pub pool: usize,
    pub model: String,
    pub dimensions: usize,
    pub api_key: Secret,
    pub batch: usize,
    pub timeout_ms: u64,
    /// Every key that this configuration has, by the address it is for: another embedder than the configured
    /// one may have to be asked until its vectors are replaced.
    #[serde(skip)]
    pub keys: BTreeMap<String, Secret>,
    /// For a model by its name.
    #[serde(skip)]
    pub hub: HubConfig,
}

/// Where models are fetched from by their names, and where they are kept. The names of the variables are the hub's.
#[derive(Clone, Debug, Default)]
pub struct HubConfig {
    /// `HF_ENDPOINT`, a mirror.
    pub endpoint: Option<String>,
    /// `HF_HOME`, or `models` in the data directory.
    pub cache: PathBuf,
}

impl HubConfig {
    /// With what the environment says.
    pub(super) fn at(data_dir: &Path, var: impl Fn(&str) -> Option<String>) -> Self {
        Self { endpoint: var("HF_ENDPOINT"), cache: var("HF_HOME").map_or_else(|| data_dir.join("models"), PathBuf::from) }
    }
}

/// What of the settings names an embedder and is kept with its vectors: no secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "config.toml documents the keys of the same names")]
pub struct EmbedderSource {
    pub source: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dimensions: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Whose endpoint it is by its host, and the usual name of the key.
const KEYS: [(&str, &str); 4] = [
    ("api.openai.com", "OPENAI_API_KEY"),
    ("api.jina.ai", "JINA_API_KEY"),
    ("dashscope.aliyuncs.com", "DASHSCOPE_API_KEY"),
    ("dashscope-intl.aliyuncs.com", "DASHSCOPE_API_KEY"),
];

impl EmbedderConfig {
    /// The model compiled in, for tests.
    #[cfg(test)]
    pub fn builtin() -> Self {
        let (source, api_key) = ("builtin".to_owned(), Secret::new(""));
        let (model, keys, hub) = Default::default();
        Self { source, pool: 1, model, dimensions: 0, api_key, batch: 10, timeout_ms: 10_000, keys, hub }
    }

    /// A key by its usual name, where the configuration has none.
    pub(super) fn add_usual_key(&mut self, var: impl Fn(&str) -> Option<String>) {
        usual_key(&self.source, &KEYS, &mut self.api_key, var);
    }

    /// Puts down every key by the address it is for: the usual ones, and those of the models' providers.
    pub(super) fn note_keys(&mut self, models: &ModelsConfig, var: impl Fn(&str) -> Option<String>) {
        let usual = KEYS.iter().filter_map(|(host, name)| Some((format!("https://{host}"), Secret::new(var(name)?))));
        let providers = models.providers.values().filter(|provider| !provider.api_key.is_empty());
        let providers = providers.filter_map(|provider| Some((origin(&provider.base_url)?, provider.api_key.clone())));
        self.keys = usual.chain(providers).collect();
    }

    /// What is kept of it beside the vectors.
    pub fn to_source(&self) -> EmbedderSource {
        let Some(mut url) = address(&self.source) else {
            // A directory is found again from wherever the next process is started; a name is a name.
            let path = Path::new(&self.source);
            let whole = if self.source == "builtin" || !path.is_dir() { None } else { std::path::absolute(path).ok() };
            let source = whole.map_or_else(|| self.source.clone(), |path| path.to_string_lossy().into_owned());
            return EmbedderSource { source, model: String::new(), dimensions: 0 };
        };
        // Some put a key there.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        url.set_query(None);
        EmbedderSource { source: url.into(), model: self.model.clone(), dimensions: self.dimensions }
    }

    /// The same settings for another embedder, with the key that is configured for its address.
    pub fn at(&self, other: &EmbedderSource) -> Self {
        let wanted = origin(&other.source);
        let same = wanted.is_some() && wanted == origin(&self.source);
        let api_key = match wanted {
            _ if same => self.api_key.clone(),
            Some(origin) => self.keys.get(&origin).cloned().unwrap_or_else(|| Secret::new("")),
            None => Secret::new(""),
        };
        // The whole address of the same endpoint, with what was left out of the record.
        let whole = same && self.to_source().source == other.source;
        let source = if whole { self.source.clone() } else { other.source.clone() };
        Self { source, model: other.model.clone(), dimensions: other.dimensions, api_key, ..self.clone() }
    }
}

fn address(source: &str) -> Option<reqwest::Url> {
    reqwest::Url::parse(source).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// Scheme, host and port.
fn origin(source: &str) -> Option<String> {
    address(source).map(|url| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(source: &str) -> EmbedderConfig {
        EmbedderConfig {
            source: source.into(),
            model: "m".into(),
            dimensions: 8,
            api_key: Secret::new("sk-own"),
            keys: BTreeMap::from([("https://old.example".to_owned(), Secret::new("sk-old"))]),
            ..EmbedderConfig::builtin()
        }
    }

    #[test]
    fn what_is_kept_has_no_secret_and_finds_its_key_again() {
        let config = at("https://user:pass@new.example/v1/embeddings?key=hush");
        let kept = config.to_source();
        assert_eq!((kept.source.as_str(), kept.model.as_str(), kept.dimensions), ("https://new.example/v1/embeddings", "m", 8));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("hush") && !text.contains("pass") && !text.contains("sk-"), "{text}");
        let again = config.at(&kept);
        assert_eq!((again.source.as_str(), again.api_key.reveal()), (config.source.as_str(), "sk-own"));
        let old = EmbedderSource { source: "https://old.example/v1/embeddings".into(), model: "old".into(), dimensions: 4 };
        let opened = config.at(&old);
        assert_eq!((opened.api_key.reveal(), opened.model.as_str(), opened.dimensions), ("sk-old", "old", 4));
        for stranger in ["http://old.example/v1", "https://old.example:444/v1", "builtin", "/models/old"] {
            let other = EmbedderSource { source: stranger.into(), ..old.clone() };
            assert!(config.at(&other).api_key.is_empty(), "{stranger} is not given somebody's key");
        }
        assert_eq!(serde_json::to_string(&EmbedderConfig::builtin().to_source()).unwrap(), r#"{"source":"builtin"}"#);
        assert!(std::path::Path::new(&at("knowledge/embedder").to_source().source).is_absolute());
        assert_eq!(at("BAAI/bge-small-zh-v1.5").to_source().source, "BAAI/bge-small-zh-v1.5", "a name is no directory");
    }
}
