//! `[search]` and `[rerank]`: how rows are found and put in order.

use serde::{Deserialize, Serialize};

use super::{HubConfig, Secret};
use crate::error::{Error, Result};

/// `[search]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct SearchConfig {
    pub fusion: Fusion,
    pub lexical_weight: f32,
    pub lexical_weight_bare: f32,
    pub candidates: usize,
    pub direct_threshold: f32,
    pub grounded_threshold: f32,
    pub sources: usize,
}

/// How the two legs' rankings are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// By the legs' scores, each leg's by its weight.
    #[default]
    Weighted,
    /// By the legs' ranks: reciprocal rank fusion.
    Rrf,
}

impl std::str::FromStr for Fusion {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "weighted" => Ok(Self::Weighted),
            "rrf" => Ok(Self::Rrf),
            _ => Err(Error::invalid("unknown_fusion", format!("`{word}` is no fusion: `weighted` or `rrf`."))),
        }
    }
}

/// `[rerank]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct RerankConfig {
    pub source: String,
    pub kind: RerankKind,
    pub model: String,
    pub api_key: Secret,
    pub candidates: usize,
    pub timeout_ms: u64,
    /// For a model by its name.
    #[serde(skip)]
    pub hub: HubConfig,
}

/// Which shape a rerank endpoint's requests have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RerankKind {
    /// Told by the address.
    #[default]
    Auto,
    /// As Jina, Cohere and most others.
    Compatible,
    /// DashScope's own.
    Dashscope,
}

/// Whose endpoint it is by its host, and the usual name of the key.
const RERANK_KEYS: [(&str, &str); 4] = [
    ("api.jina.ai", "JINA_API_KEY"),
    ("api.cohere.com", "COHERE_API_KEY"),
    ("dashscope.aliyuncs.com", "DASHSCOPE_API_KEY"),
    ("dashscope-intl.aliyuncs.com", "DASHSCOPE_API_KEY"),
];

impl RerankConfig {
    /// A key by its usual name, where the configuration has none.
    pub(super) fn add_usual_key(&mut self, var: impl Fn(&str) -> Option<String>) {
        usual_key(&self.source, &RERANK_KEYS, &mut self.api_key, var);
    }
}

/// Fills an empty key from the environment, for an address whose host is the key's own.
pub(super) fn usual_key(source: &str, keys: &[(&str, &str)], key: &mut Secret, var: impl Fn(&str) -> Option<String>) {
    let host = source.split('/').nth(2).unwrap_or_default();
    let named = keys.iter().find(|(owner, _)| source.starts_with("https://") && host == *owner);
    if let (true, Some(found)) = (key.is_empty(), named.and_then(|(_, name)| var(name))) {
        *key = Secret::new(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_key_goes_to_its_own_host_only() {
        let with = |source: &str, key: &str| {
            let mut config = RerankConfig { source: source.into(), api_key: Secret::new(key), ..RerankConfig::default() };
            config.add_usual_key(|name| (name == "JINA_API_KEY").then(|| "from the environment".into()));
            config.api_key.reveal().to_owned()
        };
        assert_eq!(with("https://api.jina.ai/v1/rerank", ""), "from the environment");
        assert_eq!(with("https://api.jina.ai/v1/rerank", "given"), "given");
        for other in ["https://api.jina.ai.example.com/v1/rerank", "http://api.jina.ai/v1/rerank", "/models/jina", ""] {
            assert_eq!(with(other, ""), "", "{other}");
        }
    }
}
