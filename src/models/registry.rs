//! Which models there are, built from the configuration; how each is called is in [`super::model`].

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::anthropic::AnthropicModel;
use super::attempts::Peer;
use super::breaker::{Breaker, Changes, Health, LastError};
use super::extractive::ExtractiveModel;
use super::gate::Gate;
use super::kinds::{Site, wary};
use super::model::{Limits, Model, ModelCard};
use super::openai::OpenAiModel;
use super::tokens::Family;
use super::{ChatModel, Embedder, http_client};
use crate::config::{ModelConfig, ModelsConfig, ProviderConfig, ProviderKind};
use crate::error::{Error, Result};

/// The id of the model that is always there.
pub const BUILTIN: &str = "builtin";

/// All configured models; always at least the built-in one.
pub struct Models {
    all: Vec<Arc<Model>>,
    default: String,
    changes: Changes,
}

/// How a provider is, for operators and `doctor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderHealth {
    /// How it is.
    pub health: Health,
    /// What went wrong last, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// A model as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct ModelStatus {
    /// What everybody sees.
    #[serde(flatten)]
    pub card: ModelCard,
    /// Whether it answers when nobody names one.
    pub default: bool,
    /// Who is asked in its place.
    pub fallback: Vec<String>,
    /// Its provider's health.
    #[serde(flatten)]
    pub provider_health: ProviderHealth,
}

impl Models {
    /// The providers' models in order of their names, then the built-in one. Sends nothing.
    ///
    /// # Errors
    /// `bad_config` for an address, key, option or fallback that cannot be used, `model_not_found` when
    /// the default is not among the models.
    pub fn build(config: &ModelsConfig, embedder: Arc<dyn Embedder>) -> Result<Self> {
        let changes: Changes = Arc::new(watch::Sender::new(()));
        let mut taken = HashSet::from([BUILTIN.to_owned()]);
        let mut all = Vec::new();
        let mut fallbacks = Vec::new();
        for (name, provider) in &config.providers {
            let open_for = Duration::from_millis(config.breaker_open_ms);
            let breaker = Breaker::new(config.breaker_failures, open_for, Arc::clone(&changes));
            let mut lines = Lines::open(name, provider)?;
            for model in &provider.models {
                check(name, model)?;
                let chat = lines.chat(model, model.connect_ms.unwrap_or(config.connect_ms))?;
                let card = ModelCard::of(name, model, &mut taken);
                fallbacks.push(model.fallback.clone());
                let peer = lines.site.peer(&model.id);
                all.push(Arc::new(Model::of(card, model, (chat, peer), limits(config, model), Arc::clone(&breaker))));
            }
        }
        let breaker = Breaker::new(0, Duration::ZERO, Arc::clone(&changes));
        let builtin = ModelConfig { name: "Built-in (extractive)".to_owned(), ..ModelConfig::named(BUILTIN) };
        let chat = Arc::new(ExtractiveModel::new(embedder));
        all.push(Arc::new(Model::of(ModelCard::builtin(&builtin), &builtin, (chat, inside(BUILTIN)), limits(config, &builtin), breaker)));
        let models = Self { default: first_choice(config, &all), all, changes };
        models.select(None)?;
        models.link(fallbacks)?;
        Ok(models)
    }

    /// One model that speaks like this, for tests of what stands above it.
    #[cfg(test)]
    pub(crate) fn speaking(config: &ModelsConfig, id: &str, chat: Arc<dyn ChatModel>) -> Self {
        let changes: Changes = Arc::new(watch::Sender::new(()));
        let (model, breaker) = (ModelConfig::named(id), Breaker::new(0, Duration::ZERO, Arc::clone(&changes)));
        let card = ModelCard::of("test", &model, &mut HashSet::new());
        let all = vec![Arc::new(Model::of(card, &model, (chat, inside(id)), limits(config, &model), breaker))];
        Self { all, default: id.to_owned(), changes }
    }

    /// Every model, in the order of [`build`](Self::build).
    pub fn cards(&self) -> Vec<ModelCard> {
        self.all.iter().map(|model| model.card.clone()).collect()
    }

    /// The same with what operators want to know.
    pub fn statuses(&self) -> Vec<ModelStatus> {
        let status = |model: &Arc<Model>| ModelStatus {
            default: model.card.id == self.default,
            fallback: model.stand_ins().iter().map(|other| other.card.id.clone()).collect(),
            provider_health: model.provider_health(),
            card: model.card.clone(),
        };
        self.all.iter().map(status).collect()
    }

    /// Each provider's health by its name.
    pub fn health(&self) -> BTreeMap<String, ProviderHealth> {
        self.all.iter().map(|model| (model.card.provider.clone(), model.provider_health())).collect()
    }

    /// Hears of every change of a provider's health.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The model used when nobody names one.
    pub fn default_id(&self) -> &str {
        &self.default
    }

    /// The model named, or the default.
    ///
    /// # Errors
    /// `model_not_found`, which lists what there is.
    pub fn select(&self, id: Option<&str>) -> Result<Arc<Model>> {
        let id = id.filter(|id| !id.is_empty()).unwrap_or(&self.default);
        self.all.iter().find(|model| model.card.id == id).cloned().ok_or_else(|| {
            let ids: Vec<&str> = self.all.iter().map(|model| model.card.id.as_str()).collect();
            let message = format!("There is no model `{id}`. Choose one of: {}.", ids.join(", "));
            Error::not_found("model_not_found", message).with_details(serde_json::json!({"models": ids}))
        })
    }

    /// Tells each model who stands in for it; `fallbacks` are in the order of the models.
    fn link(&self, fallbacks: Vec<Vec<String>>) -> Result<()> {
        for (model, ids) in self.all.iter().zip(fallbacks) {
            let others = ids.iter().map(|id| match self.select(Some(id)) {
                Ok(other) if !Arc::ptr_eq(&other, model) && !id.is_empty() => Ok(Arc::downgrade(&other)),
                _ => {
                    let message = format!("The `fallback` of model `{}` names `{id}`, which is no other model.", model.card.id);
                    Err(Error::invalid("bad_config", message))
                }
            });
            let _set_once = model.fallback.set(others.collect::<Result<_>>()?);
        }
        Ok(())
    }
}

/// The wires to one provider: an HTTP client for each limit on connecting.
pub(super) struct Lines {
    site: Arc<Site>,
    name: String,
    clients: BTreeMap<u64, reqwest::Client>,
}

impl Lines {
    pub(super) fn open(name: &str, provider: &ProviderConfig) -> Result<Self> {
        Ok(Self { site: Arc::new(Site::of(name, provider)?), name: name.to_owned(), clients: BTreeMap::new() })
    }

    pub(super) fn chat(&mut self, model: &ModelConfig, connect_ms: u64) -> Result<Arc<dyn ChatModel>> {
        self.site.check_options(&self.name, model)?;
        let http = match self.clients.get(&connect_ms) {
            Some(http) => http.clone(),
            None => {
                let http = http_client::client(&self.site.base, Duration::from_millis(connect_ms))?;
                self.clients.insert(connect_ms, http.clone());
                http
            }
        };
        let (site, model) = (Arc::clone(&self.site), model.clone());
        Ok(match site.kind.kind {
            ProviderKind::Anthropic => Arc::new(AnthropicModel::new(site, http, model)),
            _ => Arc::new(OpenAiModel::new(site, http, model)),
        })
    }
}

/// A model of this process.
fn inside(id: &str) -> Peer {
    Peer { system: "merchant_copilot".to_owned(), model: id.to_owned(), server: None }
}

fn first_choice(config: &ModelsConfig, all: &[Arc<Model>]) -> String {
    let first = || all.first().map_or(BUILTIN, |model| &model.card.id);
    if config.default.is_empty() { first().to_owned() } else { config.default.clone() }
}

fn limits(config: &ModelsConfig, model: &ModelConfig) -> Limits {
    let time = |own: Option<u64>, general| Duration::from_millis(own.unwrap_or(general));
    Limits { first_token: time(model.first_token_ms, config.first_token_ms), stall: time(model.stall_ms, config.stall_ms) }
}

fn check(provider: &str, model: &ModelConfig) -> Result<()> {
    let wrong = |what: &str| Err(Error::invalid("bad_config", format!("A model in `models.providers.{provider}` {what}.")));
    if model.id.is_empty() {
        return wrong("has no `id`");
    }
    let prices = [model.price_in, model.price_out, model.price_cached.unwrap_or_default()];
    if prices.iter().any(|price| !price.is_finite() || *price < 0.0) {
        return wrong(&format!("(`{}`) has a price that is no amount of money", model.id));
    }
    Ok(())
}

impl ModelCard {
    /// A card whose id no other has: a second model of the same id goes by `provider/id`.
    fn of(provider: &str, model: &ModelConfig, taken: &mut HashSet<String>) -> Self {
        let mut id = model.id.clone();
        while !taken.insert(id.clone()) {
            id = format!("{provider}/{id}");
        }
        Self {
            name: if model.name.is_empty() { id.clone() } else { model.name.clone() },
            id,
            provider: provider.to_owned(),
            price_in: model.price_in,
            price_out: model.price_out,
            price_cached: model.price_cached,
            currency: model.currency.clone(),
            context: (model.context > 0).then_some(model.context),
        }
    }

    fn builtin(model: &ModelConfig) -> Self {
        Self::of(BUILTIN, model, &mut HashSet::new())
    }
}

impl Model {
    fn of(card: ModelCard, model: &ModelConfig, (chat, peer): (Arc<dyn ChatModel>, Peer), limits: Limits, breaker: Arc<Breaker>) -> Self {
        Self {
            family: Family::of(&model.id),
            gate: Gate::new(model.concurrency, model.queue),
            answer_tokens: model.answer_tokens,
            thinks_first: model.thinks_first == Some(true),
            wary: model.thinks_first.map_or_else(|| wary(&model.id, &peer.system), |_| 0).into(),
            fallback: OnceLock::new(),
            card,
            chat,
            peer: Arc::new(peer),
            limits,
            breaker,
        }
    }

    fn provider_health(&self) -> ProviderHealth {
        let (health, last_error) = self.breaker.health();
        ProviderHealth { health, last_error }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tokens::{Budget, Family};
    use super::super::{EmbedKind, Usage};
    use super::*;
    use crate::config::Secret;

    /// A model without a network that nobody asks here.
    struct NoEmbedder;

    #[async_trait::async_trait]
    impl Embedder for NoEmbedder {
        fn id(&self) -> &str {
            "none"
        }
        fn dimensions(&self) -> usize {
            1
        }
        async fn embed(&self, texts: Vec<String>, _: EmbedKind) -> Result<Vec<Vec<f32>>> {
            Ok(vec![vec![0.0]; texts.len()])
        }
    }

    pub(in super::super) fn build(config: &ModelsConfig) -> Result<Models> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Models::build(config, Arc::new(NoEmbedder))
    }

    /// Short limits and these providers.
    pub(in super::super) fn config(providers: Vec<(&str, ProviderConfig)>) -> ModelsConfig {
        ModelsConfig {
            default: String::new(),
            connect_ms: 500,
            first_token_ms: 3000,
            stall_ms: 300,
            breaker_failures: 0,
            breaker_open_ms: 1000,
            providers: providers.into_iter().map(|(name, provider)| (name.to_owned(), provider)).collect(),
        }
    }

    pub(in super::super) fn provider(base_url: &str, models: Vec<ModelConfig>) -> ProviderConfig {
        ProviderConfig { base_url: base_url.to_owned(), api_key: Secret::new("sk-fake-secret"), models, ..ProviderConfig::default() }
    }

    fn priced(id: &str) -> ModelConfig {
        ModelConfig { price_in: 2.0, price_out: 10.0, price_cached: Some(0.5), currency: "CNY".to_owned(), ..ModelConfig::named(id) }
    }

    #[test]
    fn the_default_is_the_first_configured_and_builtin_otherwise() {
        assert_eq!(build(&config(vec![])).unwrap().default_id(), BUILTIN);
        let models = ["a", "b", "a", "builtin"].map(priced).to_vec();
        let mut config = config(vec![("fake", provider("http://127.0.0.1:1/v1", models))]);
        let models = build(&config).unwrap();
        let ids: Vec<String> = models.cards().into_iter().map(|card| card.id).collect();
        assert_eq!(ids, ["a", "b", "fake/a", "fake/builtin", "builtin"]);
        assert_eq!(models.default_id(), "a");

        config.default = "gone".to_owned();
        let error = build(&config).err().unwrap();
        assert_eq!(error.code(), "model_not_found");
        assert!(error.message().contains("a, b, fake/a"), "{error}");
    }

    #[test]
    fn cached_tokens_have_a_price_of_their_own() {
        let models = build(&config(vec![("fake", provider("http://127.0.0.1:1/v1", vec![priced("a")]))])).unwrap();
        let cost = |cached_tokens| models.select(None).unwrap().cost(Usage { prompt_tokens: 1000, completion_tokens: 100, cached_tokens });
        assert!((cost(0) - 0.003).abs() < 1e-12 && (cost(800) - 0.0018).abs() < 1e-12, "{} {}", cost(0), cost(800));
    }

    #[test]
    fn a_prompt_fits_the_smallest_context_that_may_answer() {
        let model = |id: &str, context: usize, fallback: &[&str]| ModelConfig {
            context,
            fallback: fallback.iter().map(|&id| id.to_owned()).collect(),
            ..ModelConfig::named(id)
        };
        let all = vec![model("gpt-4.1", 8000, &[]), model("gpt-4o", 8000, &["small"]), model("small", 2000, &[]), model("any", 0, &[])];
        let models = build(&config(vec![("fake", provider("http://127.0.0.1:1/v1", all))])).unwrap();
        let budget = |id| models.select(Some(id)).unwrap().prompt_budget(6000, 1200);
        assert_eq!((budget("any").tokens(), budget("gpt-4.1").tokens()), (6000, 6000));
        assert_eq!(budget("small"), Budget::new([(Family::Estimated, 2000 - 1200 - 64)]));
        assert_eq!(budget("gpt-4o"), Budget::new([(Family::O200k, 6000), (Family::Estimated, 2000 - 1200 - 64)]));
    }

    #[test]
    fn a_mistake_in_a_model_is_named_at_the_start() {
        let fails = |model: ModelConfig| build(&config(vec![("mine", provider("http://127.0.0.1:1/v1", vec![model]))])).err().unwrap();
        let itself = ModelConfig { fallback: vec!["a".to_owned()], ..ModelConfig::named("a") };
        let unknown = ModelConfig { fallback: vec!["gone".to_owned()], ..ModelConfig::named("a") };
        let cheap = ModelConfig { price_in: -1.0, ..ModelConfig::named("a") };
        for (model, said) in [(itself, "`a`"), (unknown, "`gone`"), (cheap, "price"), (ModelConfig::default(), "no `id`")] {
            let error = fails(model);
            assert!(error.code() == "bad_config" && error.message().contains(said), "{error}");
        }
        for (base_url, key, what) in [("localhost:8000", "k", "base_url"), ("http://h/v1", "se\ncret", "api_key")] {
            let broken = ProviderConfig { api_key: Secret::new(key), ..provider(base_url, vec![]) };
            let error = build(&config(vec![("mine", broken)])).err().unwrap();
            assert!(error.message().contains(&format!("models.providers.mine.{what}")), "{error}");
            assert!(!format!("{error:?}").contains("cret"));
        }
    }
}
