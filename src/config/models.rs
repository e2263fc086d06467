//! `[models]`: which providers and models there are. A provider's usual key in the environment is
//! enough; everything else here is for whoever wants to say more.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Secret;

/// `[models]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct ModelsConfig {
    pub default: String,
    pub connect_ms: u64,
    pub first_token_ms: u64,
    pub stall_ms: u64,
    pub breaker_failures: u32,
    pub breaker_open_ms: u64,
    #[serde(default)]
    pub providers: BTreeMap<String, ProviderConfig>,
}

/// Whose wire a provider speaks, and with which peculiarities (`models/kinds.rs` has the table).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ProviderKind {
    /// Told by the host's name; an unknown host is [`Compatible`](Self::Compatible).
    #[default]
    Auto,
    /// Speaks OpenAI's chat completions and nothing peculiar is known.
    Compatible,
    Openai,
    Azure,
    Dashscope,
    Deepseek,
    Gemini,
    Ollama,
    Vllm,
    Litellm,
    Anthropic,
}

/// `[models.providers.<name>]`: one endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// Whose wire it speaks.
    pub kind: ProviderKind,
    /// Up to and including `/v1` (or what stands for it); empty is the usual address of its kind.
    pub base_url: String,
    /// `api-version` of Azure, `anthropic-version` of Anthropic; empty is the one this version knows.
    pub api_version: String,
    /// Sent in the way of its kind; empty for servers that want none.
    pub api_key: Secret,
    /// A file with the key instead, which somebody else renews; read for every call.
    pub key_file: PathBuf,
    /// The models it serves that clients may select.
    pub models: Vec<ModelConfig>,
}

/// One selectable model of a provider.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The name the provider knows (Azure: the deployment); clients select by it.
    pub id: String,
    /// What people see; empty shows the id.
    pub name: String,
    /// Price of a million prompt tokens.
    pub price_in: f64,
    /// Price of a million completion tokens.
    pub price_out: f64,
    /// Price of a million prompt tokens that the provider had cached; none costs like the others.
    pub price_cached: Option<f64>,
    /// Currency of the prices.
    pub currency: String,
    /// Tokens that prompt and answer may have together; 0 is unknown and limits nothing.
    pub context: usize,
    /// Most tokens of an answer, when less than `chat.answer_tokens`.
    pub answer_tokens: Option<u32>,
    /// Instead of `models.connect_ms`.
    pub connect_ms: Option<u64>,
    /// Instead of `models.first_token_ms`.
    pub first_token_ms: Option<u64>,
    /// Instead of `models.stall_ms`.
    pub stall_ms: Option<u64>,
    /// Calls at the same time; 0 is as many as come.
    pub concurrency: usize,
    /// Calls that may wait for one of those; more are told `model_busy`.
    pub queue: usize,
    /// Ids of the models that are asked in its place, in this order, when it gives no first token.
    pub fallback: Vec<String>,
    /// Whether its chat template opens `<think>` in the prompt, so that answers begin inside it. Where nobody says, a
    /// model of vLLM or Ollama is taken at its first answer, which waits for that, others for none.
    pub thinks_first: Option<bool>,
    /// Sampling and other fields of the request, by the provider's own names.
    pub options: BTreeMap<String, Value>,
}

/// Calls that wait for a free place unless `queue` says otherwise.
const QUEUE: usize = 32;

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            price_in: 0.0,
            price_out: 0.0,
            price_cached: None,
            currency: "USD".to_owned(),
            context: 0,
            answer_tokens: None,
            connect_ms: None,
            first_token_ms: None,
            stall_ms: None,
            concurrency: 0,
            queue: QUEUE,
            fallback: Vec::new(),
            thinks_first: None,
            options: BTreeMap::new(),
        }
    }
}

impl ModelConfig {
    /// A model of which only the name is known.
    pub fn named(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }
}

impl ModelsConfig {
    /// A provider's own key in the environment makes its models available and the default. What a
    /// configuration file says about a provider of the same name stays; the key fills a gap in it.
    pub(super) fn add_usual_providers(&mut self, var: impl Fn(&str) -> Option<String>) {
        for usual in USUAL_PROVIDERS {
            let given = |name: &Option<&str>| name.and_then(&var).filter(|value| !value.is_empty());
            let Some(key) = given(&Some(usual.key)) else { continue };
            let named = given(&usual.model_var).unwrap_or_else(|| usual.model.to_owned());
            let ids: Vec<&str> = named.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
            let provider = self.providers.entry(usual.name.to_owned()).or_insert_with(|| ProviderConfig {
                kind: usual.kind,
                base_url: given(&usual.base_url_var).unwrap_or_default(),
                models: ids.iter().copied().map(ModelConfig::named).collect(),
                ..ProviderConfig::default()
            });
            if provider.api_key.is_empty() && provider.key_file.as_os_str().is_empty() {
                provider.api_key = Secret::new(key);
            }
            if self.default.is_empty() {
                self.default = provider.models.first().map(|model| model.id.clone()).unwrap_or_default();
            }
        }
    }
}

/// A provider known by the name of its key.
struct UsualProvider {
    name: &'static str,
    kind: ProviderKind,
    key: &'static str,
    base_url_var: Option<&'static str>,
    model_var: Option<&'static str>,
    model: &'static str,
}

const USUAL_PROVIDERS: &[UsualProvider] = &[
    UsualProvider {
        name: "openai",
        // By the address: OPENAI_BASE_URL may lead to any endpoint.
        kind: ProviderKind::Auto,
        key: "OPENAI_API_KEY",
        base_url_var: Some("OPENAI_BASE_URL"),
        model_var: Some("OPENAI_MODEL"),
        model: "gpt-4.1-mini",
    },
    UsualProvider {
        name: "dashscope",
        kind: ProviderKind::Dashscope,
        key: "DASHSCOPE_API_KEY",
        base_url_var: Some("DASHSCOPE_BASE_URL"),
        model_var: Some("DASHSCOPE_MODEL"),
        model: "qwen-plus",
    },
    UsualProvider {
        name: "deepseek",
        kind: ProviderKind::Deepseek,
        key: "DEEPSEEK_API_KEY",
        base_url_var: Some("DEEPSEEK_BASE_URL"),
        model_var: Some("DEEPSEEK_MODEL"),
        model: "deepseek-chat",
    },
    UsualProvider {
        name: "anthropic",
        kind: ProviderKind::Anthropic,
        key: "ANTHROPIC_API_KEY",
        base_url_var: Some("ANTHROPIC_BASE_URL"),
        model_var: Some("ANTHROPIC_MODEL"),
        model: "claude-sonnet-5",
    },
    UsualProvider {
        name: "gemini",
        kind: ProviderKind::Gemini,
        key: "GEMINI_API_KEY",
        base_url_var: Some("GEMINI_BASE_URL"),
        model_var: Some("GEMINI_MODEL"),
        model: "gemini-2.5-flash",
    },
];

#[cfg(test)]
mod tests {
    use super::super::DEFAULTS;
    use super::*;
    use figment::Figment;
    use figment::providers::{Format, Toml};

    fn with(toml: &str, vars: &[(&str, &str)]) -> ModelsConfig {
        let mut models: ModelsConfig =
            Figment::from(Toml::string(DEFAULTS)).merge(Toml::string(toml)).extract_inner("models").expect("valid models");
        models.add_usual_providers(|name| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned()));
        models
    }

    #[test]
    fn every_usual_key_makes_its_models_available_and_the_default() {
        for usual in USUAL_PROVIDERS {
            let models = with("", &[(usual.key, "sk-very-secret")]);
            assert_eq!(models.default, usual.model);
            assert_eq!(models.providers[usual.name].models[0].id, usual.model);
            assert!(!format!("{models:?}").contains("very-secret"));
        }
        let models = with("", &[("ANTHROPIC_API_KEY", "k"), ("ANTHROPIC_MODEL", "one, two"), ("ANTHROPIC_BASE_URL", "http://h")]);
        let provider = &models.providers["anthropic"];
        assert_eq!((models.default.as_str(), provider.base_url.as_str(), provider.models.len()), ("one", "http://h", 2));
        assert!(with("", &[("OPENAI_API_KEY", "")]).providers.is_empty(), "an empty key is none");
    }

    #[test]
    fn a_key_in_the_environment_fills_the_gap_in_a_file() {
        let file = r#"
            [models.providers.openai]
            base_url = "http://ours/v1"
            models = [{ id = "m", context = 8000, fallback = ["builtin"], options = { temperature = 0.3, seed = 7 } }]
        "#;
        let models = with(file, &[("OPENAI_API_KEY", "sk-env"), ("OPENAI_MODEL", "other")]);
        let provider = &models.providers["openai"];
        assert_eq!((provider.api_key.reveal(), provider.base_url.as_str()), ("sk-env", "http://ours/v1"));
        assert_eq!((models.default.as_str(), provider.models[0].context, provider.models[0].queue), ("m", 8000, QUEUE));
        assert_eq!(provider.models[0].options["seed"], 7);
    }
}
