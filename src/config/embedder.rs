//! `[embedder]`: what turns texts into vectors.

use serde::Deserialize;

use super::Secret;
use super::search::usual_key;

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
        Self { source, pool: 1, model: String::new(), dimensions: 0, api_key, batch: 10, timeout_ms: 10_000 }
    }

    /// A key by its usual name, where the configuration has none.
    pub(super) fn add_usual_key(&mut self, var: impl Fn(&str) -> Option<String>) {
        usual_key(&self.source, &KEYS, &mut self.api_key, var);
    }
}
