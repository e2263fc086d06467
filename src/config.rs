//! Config: what the operator decides, as plain data. Layers: the compiled-in `config.toml` < the
//! file given by `--config` < `COPILOT_…` in the environment < flags. An unknown key is an error
//! that names it (`wrong.rs`). The only file that reads the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

mod answers;
mod channels;
mod embedder;
mod index;
mod models;
mod otel;
mod search;
mod webhooks;
mod wrong;

pub use answers::{AiMark, AnswersConfig, TenantAnswers};
pub use channels::{BotMemory, BotMode, BotTable, ChannelsConfig, DingTalkConfig, FeishuConfig, SlackConfig, WeComConfig};
pub use embedder::{EmbedderConfig, EmbedderSource, HubConfig};
pub use index::{IndexPlace, QdrantConfig};
pub use models::{ModelConfig, ModelsConfig, ProviderConfig, ProviderKind};
pub use otel::OtelConfig;
pub use search::{Fusion, RerankConfig, RerankKind, SearchConfig};
pub use webhooks::{NoticeConfig, WebhookConfig};

/// The annotated defaults, also printed by `doctor --defaults`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// Environment names that share the prefix but are not configuration keys.
const NOT_KEYS: [&str; 1] = ["config"];

/// A secret text whose `Debug` and serialisation hide it.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// Whether it is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(unset)" } else { "(secret)" })
    }
}

/// Everything the operator decides; see `config.toml` for the meaning of each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: String,
    pub public_url: String,
    pub database: String,
    pub index: String,
    pub time_zone: String,
    pub log: LogConfig,
    pub otel: OtelConfig,
    pub embedder: EmbedderConfig,
    pub qdrant: QdrantConfig,
    pub search: SearchConfig,
    pub rerank: RerankConfig,
    pub chat: ChatConfig,
    pub answers: AnswersConfig,
    pub prompts: PromptsConfig,
    pub safety: SafetyConfig,
    pub cache: CacheConfig,
    pub limits: LimitsConfig,
    pub models: ModelsConfig,
    pub spend: SpendConfig,
    pub channels: ChannelsConfig,
    #[serde(default)]
    pub webhooks: BTreeMap<String, WebhookConfig>,
    #[serde(default)]
    pub notices: BTreeMap<String, NoticeConfig>,
    pub mcp: McpConfig,
}

/// `[mcp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct McpConfig {
    pub hosts: Vec<String>,
    pub origins: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct LogConfig {
    pub filter: String,
    pub format: String,
}

/// `[chat]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct ChatConfig {
    pub message_chars: usize,
    pub memory_tokens: usize,
    pub prompt_tokens: usize,
    pub answer_tokens: u32,
    pub reasoning: String,
    pub rewrite_model: String,
    pub rewrite_ms: u64,
    pub replay_ms: u64,
    pub retention_days: u32,
    pub trace_days: u32,
    pub drain_ms: u64,
}

/// `[prompts]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct PromptsConfig {
    pub dir: PathBuf,
}

/// `[safety]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct SafetyConfig {
    pub personal_data: bool,
    pub injection: String,
    pub words: Vec<String>,
    pub links: bool,
    pub link_hosts: Vec<String>,
    pub judge: String,
    pub audit_days: u32,
    #[serde(default)]
    pub tenants: BTreeMap<String, TenantSafety>,
}

impl SafetyConfig {
    /// The hosts that links in answers may lead to besides what their sources name; `None`: to any.
    pub fn linked(&self) -> Option<Vec<String>> {
        self.links.then(|| self.link_hosts.clone())
    }
}

/// `[safety.tenants.<name>]`: what one shop has beside everybody's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSafety {
    /// Further words for this shop.
    #[serde(default)]
    pub words: Vec<String>,
}

/// `[cache]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct CacheConfig {
    pub enabled: bool,
    pub entries: usize,
    pub ttl_s: u64,
    pub similarity: f32,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct LimitsConfig {
    pub key_per_minute: u32,
    pub address_per_minute: u32,
    pub frame_bytes: usize,
    pub upload_bytes: u64,
    pub sockets_per_address: usize,
    pub sockets: usize,
}

/// `[spend]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct SpendConfig {
    pub month: f64,
    pub currency: String,
    #[serde(default)]
    pub rates: BTreeMap<String, f64>,
    #[serde(default)]
    pub tenants: BTreeMap<String, f64>,
}

impl SpendConfig {
    /// What a tenant may spend in a month, in [`currency`](Self::currency); none is no limit.
    pub fn limit(&self, tenant: &str) -> Option<f64> {
        let limit = self.tenants.get(tenant).copied().unwrap_or(self.month);
        (limit > 0.0).then_some(limit)
    }

    /// Money of another currency in the limit's own; none without a rate.
    pub fn converted(&self, amount: f64, currency: &str) -> Option<f64> {
        if currency == self.currency { Some(amount) } else { self.rates.get(currency).map(|rate| amount * rate) }
    }

    fn validate(&self) -> Result<()> {
        let limits = self.tenants.values().chain([&self.month]);
        let (bad_limit, bad_rate) =
            (|amount: &&f64| !(amount.is_finite() && **amount >= 0.0), |rate: &&f64| !(rate.is_finite() && **rate > 0.0));
        if limits.clone().any(|amount| bad_limit(&amount)) || self.rates.values().any(|rate| bad_rate(&rate)) {
            return Err(Error::invalid("bad_config", "`spend`: limits must be 0 (none) or more, and rates more than 0."));
        }
        Ok(())
    }
}

/// What flags override; `None` leaves the lower layers' value.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Overrides {
    /// `--data-dir`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// `--listen`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// `--database`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// `--index`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    /// `bad_config` with the key, the file or variable it came from, and what was expected.
    pub fn load(file: Option<&Path>, flags: &Overrides) -> Result<Self> {
        let mut layers = Figment::from(Toml::string(DEFAULTS));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(Error::invalid("bad_config", format!("The configuration file {} does not exist.", file.display())));
            }
            layers = layers.merge(Toml::file_exact(file));
        }
        let environment = Env::prefixed("COPILOT_").ignore(&NOT_KEYS).split("__");
        let mut config: Self = layers
            .merge(environment)
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(|error| Error::invalid("bad_config", wrong::describe(&error)))?;
        config.models.add_usual_providers(Env::var);
        config.embedder.add_usual_key(Env::var);
        config.embedder.note_keys(&config.models, Env::var);
        config.rerank.add_usual_key(Env::var);
        config.embedder.hub = HubConfig::at(&config.data_dir, Env::var);
        config.rerank.hub = config.embedder.hub.clone();
        config.qdrant.take_key(Env::var);
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::invalid("bad_config", message));
        if self.listen.parse::<SocketAddr>().is_err() {
            return wrong(format!("`listen` is `{}`; expected an address and a port such as 127.0.0.1:8787.", self.listen));
        }
        if self.time_zone.parse::<chrono_tz::Tz>().is_err() {
            return wrong(format!("`time_zone` is `{}`; expected a name such as Asia/Shanghai.", self.time_zone));
        }
        index::validate(&self.index, &self.qdrant)?;
        for (name, share) in [
            ("search.lexical_weight", self.search.lexical_weight),
            ("search.lexical_weight_bare", self.search.lexical_weight_bare),
            ("search.direct_threshold", self.search.direct_threshold),
            ("search.grounded_threshold", self.search.grounded_threshold),
            ("cache.similarity", self.cache.similarity),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return wrong(format!("`{name}` is {share}; expected a number from 0 to 1."));
            }
        }
        if self.search.candidates == 0 || self.search.sources == 0 || self.embedder.pool == 0 {
            return wrong("`search.candidates`, `search.sources` and `embedder.pool` must be at least 1.".to_owned());
        }
        if self.limits.key_per_minute == 0 || self.limits.address_per_minute == 0 {
            return wrong("`limits.key_per_minute` and `limits.address_per_minute` must be at least 1.".to_owned());
        }
        self.spend.validate()?;
        if !matches!(self.chat.reasoning.as_str(), "" | "off" | "hidden" | "shown" | "native") {
            return wrong(format!("`chat.reasoning` is `{}`; expected off, hidden, shown, native or nothing.", self.chat.reasoning));
        }
        if !matches!(self.safety.injection.as_str(), "off" | "flag" | "refuse") {
            return wrong(format!("`safety.injection` is `{}`; expected off, flag or refuse.", self.safety.injection));
        }
        self.channels.validate()?;
        webhooks::validate(&self.webhooks, &self.notices)?;
        if !(0.0..=1.0).contains(&self.otel.sample) {
            return wrong(format!("`otel.sample` is {}; expected a share from 0 to 1.", self.otel.sample));
        }
        if !matches!(self.log.format.as_str(), "text" | "json") {
            return wrong(format!("`log.format` is `{}`; expected text or json.", self.log.format));
        }
        Ok(())
    }

    /// Where the indexes are.
    pub fn index_place(&self) -> IndexPlace {
        index::place(&self.index, &self.qdrant)
    }

    /// The shop's time zone.
    pub fn zone(&self) -> chrono_tz::Tz {
        self.time_zone.parse().unwrap_or(chrono_tz::UTC)
    }
}

fn demo() -> String {
    "demo".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Config {
        Figment::from(Toml::string(DEFAULTS)).extract().expect("config.toml matches Config")
    }

    #[test]
    fn the_annotated_file_is_the_defaults() {
        defaults().validate().expect("the defaults are valid");
    }

    #[test]
    fn a_bot_needs_little_and_keeps_its_secret() {
        let bot = "[channels.dingtalk.shop]\nclient_id = \"ding1\"\nclient_secret = \"very-secret\"";
        let config: Config = Figment::from(Toml::string(DEFAULTS)).merge(Toml::string(bot)).extract().unwrap();
        config.validate().unwrap();
        let shop = &config.channels.dingtalk["shop"];
        assert_eq!((shop.tenant.as_str(), shop.mode, shop.memory), ("demo", BotMode::Webhook, BotMemory::Asker));
        assert_eq!((shop.api_base.as_str(), shop.session_webhook_hosts.len()), ("https://api.dingtalk.com", 2));
        assert!(!format!("{config:?}").contains("very-secret"));
        let wrong = bot.replace(".shop]", ".Shop]");
        let config: Config = Figment::from(Toml::string(DEFAULTS)).merge(Toml::string(&wrong)).extract().unwrap();
        assert_eq!(config.validate().unwrap_err().code(), "bad_config");
    }
}
