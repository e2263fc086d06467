//! The one table of providers: where each differs from OpenAI's chat completions. C1 to C8 are the
//! sections of the protocol notes that each row was taken from; what is not known to differ is not here.

use reqwest::Url;

use super::attempts::Peer;
use super::keys::{KeyHeader, Keys};
use super::model::ALWAYS_WARY;
use crate::config::{ModelConfig, ProviderConfig, ProviderKind};
use crate::error::{Error, Result};

/// Where a kind of provider differs from the others.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) kind: ProviderKind,
    /// Ends of the host names that tell this kind.
    hosts: &'static [&'static str],
    /// Its usual address; empty when there is none.
    base_url: &'static str,
    /// The version sent when the configuration names none; empty where there is no such thing.
    version: &'static str,
    /// The header that carries the key.
    key: KeyHeader,
    /// The field that limits an answer's length.
    pub(super) max_tokens: &'static str,
    pub(super) thinking: Thinking,
    /// Options that it is known to refuse.
    refuses: &'static [&'static str],
}

/// How an endpoint is told to use its own reasoning, or not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// `reasoning_effort`, only when wanted.
    Effort,
    /// `enable_thinking`, always: hybrid models think unless told not to. With `thinking_budget`.
    Flag,
    /// `thinking.type`, always; and earlier answers must then carry a `reasoning_content`.
    Kind,
    /// `chat_template_kwargs.enable_thinking`, always; templates that do not know it ignore it.
    Template,
    /// Anthropic's `thinking`, only when wanted.
    Blocks,
}

const USUAL: Kind = Kind {
    kind: ProviderKind::Compatible,
    hosts: &[],
    base_url: "",
    version: "",
    key: KeyHeader::Bearer,
    max_tokens: "max_tokens",
    thinking: Thinking::Effort,
    refuses: &[],
};

/// Options that only open models' servers take.
const OPEN_ONLY: &[&str] = &["top_k", "min_p", "repetition_penalty", "enable_thinking", "thinking_budget"];

static KINDS: [Kind; 10] = [
    USUAL,
    // C1. `max_tokens` is the old name; reasoning models take only the new one.
    Kind {
        kind: ProviderKind::Openai,
        hosts: &["api.openai.com"],
        base_url: "https://api.openai.com/v1",
        max_tokens: "max_completion_tokens",
        refuses: OPEN_ONLY,
        ..USUAL
    },
    // C2. The deployment is in the path, the version in the query, the key in a header of its own.
    Kind {
        kind: ProviderKind::Azure,
        hosts: &["openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"],
        version: "2024-10-21",
        key: KeyHeader::Named("api-key"),
        max_tokens: "max_completion_tokens",
        refuses: OPEN_ONLY,
        ..USUAL
    },
    // C3.
    Kind {
        kind: ProviderKind::Dashscope,
        hosts: &["aliyuncs.com"],
        base_url: "https://dashscope.aliyuncs.com/compatible-mode/v1",
        thinking: Thinking::Flag,
        ..USUAL
    },
    // C4. No thinking budget.
    Kind {
        kind: ProviderKind::Deepseek,
        hosts: &["api.deepseek.com"],
        base_url: "https://api.deepseek.com/v1",
        thinking: Thinking::Kind,
        refuses: &["thinking_budget", "enable_thinking"],
        ..USUAL
    },
    // C5. Errors may come as an array; `wire.rs` reads both.
    Kind {
        kind: ProviderKind::Gemini,
        hosts: &["generativelanguage.googleapis.com", "-aiplatform.googleapis.com", "aiplatform.googleapis.com"],
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        refuses: &["enable_thinking", "thinking_budget"],
        ..USUAL
    },
    // C7. Reasoning comes in `reasoning`.
    Kind { kind: ProviderKind::Ollama, base_url: "http://127.0.0.1:11434/v1", ..USUAL },
    // C7. Qwen3's off-switch is in the chat template.
    Kind { kind: ProviderKind::Vllm, base_url: "http://127.0.0.1:8000/v1", thinking: Thinking::Template, ..USUAL },
    // C8. Its usage chunk carries an empty choice; every provider may do so, and is read so.
    Kind { kind: ProviderKind::Litellm, base_url: "http://127.0.0.1:4000/v1", ..USUAL },
    // C6. Another dialect; its current version has no sampling options at all.
    Kind {
        kind: ProviderKind::Anthropic,
        hosts: &["api.anthropic.com"],
        base_url: "https://api.anthropic.com",
        version: "2026-10-21",
        key: KeyHeader::Named("x-api-key"),
        thinking: Thinking::Blocks,
        refuses: &["presence_penalty", "frequency_penalty", "repetition_penalty", "min_p", "seed", "enable_thinking", "n"],
        ..USUAL
    },
];

/// From this version on Anthropic refuses what older ones took (C6).
const WITHOUT_SAMPLING: &str = "2026-10-21";
const SAMPLING: [&str; 3] = ["temperature", "top_p", "top_k"];

/// What a request is made of already; an option may not change it.
const OURS: [&str; 8] = ["model", "messages", "system", "stream", "stream_options", "max_tokens", "max_completion_tokens", "tools"];

/// A provider as it is spoken to: its kind, address, version and key.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) kind: &'static Kind,
    pub(super) base: Url,
    pub(super) version: String,
    pub(super) keys: Keys,
}

impl Site {
    /// Reads a provider's configuration; nothing is sent.
    ///
    /// # Errors
    /// `bad_config` when the address or the key cannot be used.
    pub(super) fn of(name: &str, config: &ProviderConfig) -> Result<Self> {
        let wrong = |what: &str| {
            let message = format!("`models.providers.{name}.{what}. Correct it in the configuration.");
            Error::invalid("bad_config", message)
        };
        let address = |text: &str| {
            let url = Url::parse(text.trim_end_matches('/')).ok();
            url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        let given = if config.base_url.is_empty() { by_name(config.kind).base_url } else { &config.base_url };
        let base = address(given).ok_or_else(|| wrong("base_url` is not an http(s) address"))?;
        let kind = match config.kind {
            ProviderKind::Auto => by_host(base.host_str().unwrap_or_default()),
            named => by_name(named),
        };
        let keys = match config.key_file.as_os_str().is_empty() {
            true => Keys::fixed(kind.key, &config.api_key).map_err(|_| wrong("api_key` has a character no key has"))?,
            false if config.api_key.is_empty() => Keys::file(kind.key, &config.key_file),
            false => return Err(wrong("key_file` and its `api_key` are both set: one of them is the key")),
        };
        let version = if config.api_version.is_empty() { kind.version } else { &config.api_version };
        Ok(Self { kind, base, version: version.to_owned(), keys })
    }

    /// Who is called, by OpenTelemetry's names; a kind that it has no name for goes by ours.
    pub(super) fn peer(&self, model: &str) -> Peer {
        let host = self.base.host_str().unwrap_or_default();
        let system = match self.kind.kind {
            ProviderKind::Openai => "openai",
            ProviderKind::Azure => "azure.ai.openai",
            ProviderKind::Deepseek => "deepseek",
            ProviderKind::Anthropic => "anthropic",
            ProviderKind::Gemini if host.ends_with("aiplatform.googleapis.com") => "gcp.vertex_ai",
            ProviderKind::Gemini => "gcp.gemini",
            ProviderKind::Dashscope => "dashscope",
            ProviderKind::Ollama => "ollama",
            ProviderKind::Vllm => "vllm",
            ProviderKind::Litellm => "litellm",
            ProviderKind::Compatible | ProviderKind::Auto => "openai_compatible",
        };
        let server = Some((host.to_owned(), self.base.port_or_known_default().unwrap_or_default()));
        Peer { system: system.to_owned(), model: model.to_owned(), server }
    }

    /// Where a model's answers are asked for.
    pub(super) fn completions(&self, model: &str) -> Url {
        match self.kind.kind {
            ProviderKind::Anthropic => self.at(&["v1", "messages"]),
            ProviderKind::Azure if !self.is_azure_v1() => self.versioned(&["openai", "deployments", model, "chat", "completions"]),
            _ => self.at(&["chat", "completions"]),
        }
    }

    /// Where the models are listed: asking costs nothing.
    pub(super) fn models(&self) -> Url {
        match self.kind.kind {
            ProviderKind::Anthropic => self.at(&["v1", "models"]),
            ProviderKind::Azure if !self.is_azure_v1() => self.versioned(&["openai", "models"]),
            _ => self.at(&["models"]),
        }
    }

    /// Checks what a model's `options` would add to the request.
    ///
    /// # Errors
    /// `bad_config` for an option that this provider is known to refuse, or that is ours to set.
    pub(super) fn check_options(&self, name: &str, model: &ModelConfig) -> Result<()> {
        let old = self.kind.kind == ProviderKind::Anthropic && self.version.as_str() < WITHOUT_SAMPLING;
        let sampling = self.kind.kind == ProviderKind::Anthropic && !old;
        for option in model.options.keys().map(String::as_str) {
            let why = match option {
                ours if OURS.contains(&ours) => "is set by the server itself",
                known if self.kind.refuses.contains(&known) => "is not taken by this kind of provider",
                known if sampling && SAMPLING.contains(&known) => "is refused by this `api_version`; 2023-06-01 still takes it",
                _ => continue,
            };
            let message = format!("The option `{option}` of model `{}` in `models.providers.{name}` {why}. Remove it.", model.id);
            return Err(Error::invalid("bad_config", message));
        }
        Ok(())
    }

    /// Whether the newer surface is meant, which is spoken to like OpenAI (C2).
    fn is_azure_v1(&self) -> bool {
        self.base.path().trim_end_matches('/').ends_with("/v1")
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // The base has a host, so it has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            segments.extend(path);
        }
        // Anthropic's own client wants the address without `/v1`, others with it: both are meant well.
        if url.path().contains("/v1/v1/") {
            let path = url.path().replacen("/v1/v1/", "/v1/", 1);
            url.set_path(&path);
        }
        url
    }

    fn versioned(&self, path: &[&str]) -> Url {
        let mut url = self.at(path);
        url.query_pairs_mut().append_pair("api-version", &self.version);
        url
    }
}

/// Words in the names of models that think before they answer, whoever serves them.
const THINKERS: [&str; 5] = ["r1", "qwq", "qvq", "reasoner", "thinking"];

/// How many answers of a model wait until they are known to be no reasoning, where the configuration does not say: all
/// of one whose name says that it thinks, the first of one whose chat template may open the tag in the prompt, none of
/// others. Any compatible address may hide such a model too, but to hold back every first answer there would cost
/// everybody the stream, and the text of a first answer that breaks off; `thinks_first` is for those.
pub(super) fn wary(id: &str, system: &str) -> u8 {
    let named = id.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).any(|word| THINKERS.contains(&word));
    if named { ALWAYS_WARY } else { u8::from(matches!(system, "vllm" | "ollama")) }
}

fn by_name(kind: ProviderKind) -> &'static Kind {
    KINDS.iter().find(|known| known.kind == kind).unwrap_or(&KINDS[0])
}

fn by_host(host: &str) -> &'static Kind {
    let ends = |known: &&str| {
        let rest = host.strip_suffix(*known);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.') || known.starts_with('-'))
    };
    KINDS.iter().find(|kind| kind.hosts.iter().any(ends)).unwrap_or(&KINDS[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use serde_json::json;

    fn site(kind: ProviderKind, base_url: &str) -> Site {
        let config = ProviderConfig { kind, base_url: base_url.to_owned(), api_key: Secret::new("k"), ..ProviderConfig::default() };
        Site::of("mine", &config).unwrap()
    }

    #[test]
    fn a_host_tells_its_kind() {
        use ProviderKind as K;
        for (base, kind) in [
            ("https://api.openai.com/v1", K::Openai),
            ("https://shop.openai.azure.com", K::Azure),
            ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", K::Dashscope),
            ("https://api.deepseek.com", K::Deepseek),
            ("https://notapi.deepseek.com", K::Compatible),
            ("https://europe-west1-aiplatform.googleapis.com/v1/x", K::Gemini),
            ("https://aiplatform.googleapis.com/v1/x", K::Gemini),
            ("https://api.anthropic.com", K::Anthropic),
            ("http://127.0.0.1:9/v1", K::Compatible),
        ] {
            assert_eq!(site(K::Auto, base).kind.kind, kind, "{base}");
        }
        for kind in &KINDS[1..] {
            let told = by_name(kind.kind);
            assert_eq!(told.kind, kind.kind);
            assert!(!told.base_url.is_empty() || kind.kind == K::Azure, "{kind:?} has a usual address");
        }
    }

    #[test]
    fn addresses_and_keys_are_those_of_the_kind() {
        use ProviderKind as K;
        let url = |kind, base: &str| site(kind, base).completions("my model").to_string();
        assert_eq!(url(K::Auto, "http://h/v1/"), "http://h/v1/chat/completions");
        assert_eq!(url(K::Gemini, ""), "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions");
        let azure = "https://shop.openai.azure.com/openai/deployments/my%20model/chat/completions?api-version=2024-10-21";
        assert_eq!(url(K::Auto, "https://shop.openai.azure.com"), azure);
        assert_eq!(url(K::Azure, "http://h/openai/v1"), "http://h/openai/v1/chat/completions");
        for base in ["http://h", "http://h/", "http://h/v1"] {
            assert_eq!(url(K::Anthropic, base), "http://h/v1/messages");
            assert_eq!(site(K::Anthropic, base).models().to_string(), "http://h/v1/models");
        }
        let header = |kind, base| site(kind, base).keys.header().unwrap();
        assert_eq!(header(K::Azure, "http://h"), "api-key");
        assert_eq!(header(K::Anthropic, ""), "x-api-key");
        assert_eq!(header(K::Vllm, ""), "authorization");
    }

    #[test]
    fn whoever_may_think_unseen_is_heard_once_before_it_is_told() {
        use ProviderKind as K;
        let first = |kind, base: &str, id: &str| wary(id, &site(kind, base).peer(id).system);
        for (kind, waiting) in [(K::Vllm, 1), (K::Ollama, 1), (K::Auto, 0), (K::Litellm, 0)] {
            assert_eq!(first(kind, "http://127.0.0.1:8000/v1", "shop-assistant"), waiting, "{kind:?}");
        }
        let known =
            ["https://api.openai.com/v1", "https://shop.openai.azure.com", "https://api.deepseek.com", "https://dashscope.aliyuncs.com/v1"];
        let more = ["https://api.anthropic.com", "https://aiplatform.googleapis.com/v1/x", "https://generativelanguage.googleapis.com/v1"];
        for base in known.into_iter().chain(more) {
            assert_eq!((first(K::Auto, base, "m"), first(K::Auto, base, "deepseek-r1")), (0, ALWAYS_WARY), "{base}");
        }
        assert_eq!(wary("builtin", "merchant_copilot"), 0);
    }

    #[test]
    fn vertex_has_a_host_for_each_region_and_a_key_from_one_place() {
        let base = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1/endpoints/openapi";
        let config = ProviderConfig { base_url: base.into(), key_file: "token".into(), ..ProviderConfig::default() };
        let site = Site::of("vertex", &config).unwrap();
        assert_eq!(site.completions("google/gemini-2.5-flash").to_string(), format!("{base}/chat/completions"));
        assert_eq!(site.peer("m").system, "gcp.vertex_ai");
        let error = Site::of("vertex", &ProviderConfig { api_key: Secret::new("k"), ..config }).unwrap_err();
        assert!(error.code() == "bad_config" && error.message().contains("key_file"), "{error}");
    }

    #[test]
    fn an_option_that_a_provider_refuses_is_named_at_the_start() {
        let check = |kind, version: &str, option: &str| {
            let config = ProviderConfig { kind, base_url: "http://h".into(), api_version: version.into(), ..ProviderConfig::default() };
            let model = ModelConfig { options: [(option.to_owned(), json!(1))].into(), ..ModelConfig::named("m") };
            Site::of("mine", &config).unwrap().check_options("mine", &model)
        };
        assert!(check(ProviderKind::Vllm, "", "top_k").is_ok());
        assert!(check(ProviderKind::Anthropic, "2023-06-01", "temperature").is_ok());
        for (kind, option) in [
            (ProviderKind::Openai, "top_k"),
            (ProviderKind::Deepseek, "thinking_budget"),
            (ProviderKind::Anthropic, "temperature"),
            (ProviderKind::Vllm, "messages"),
        ] {
            let error = check(kind, "", option).unwrap_err();
            assert!(error.code() == "bad_config" && error.message().contains(option), "{error}");
        }
    }
}
