//! Which models there are, and how each is called: within time limits, and again when that may help,
//! but never after the first token.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use rand::Rng;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::extractive::ExtractiveModel;
use super::openai::Endpoint;
use super::{ChatModel, CompletionRequest, DeltaStream, Embedder, ModelError, Usage};
use crate::config::{ModelConfig, ModelsConfig};
use crate::error::{Error, Result};

/// The id of the model that is always there.
pub const BUILTIN: &str = "builtin";

/// Calls after the first that are tried when no token came.
const RETRIES: u32 = 2;
/// Back-off before the first retry; it doubles.
const BACK_OFF: Duration = Duration::from_millis(250);
/// The longest a provider may ask us to wait; beyond it the caller should know.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What clients see of a model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelCard {
    /// What clients select by.
    pub id: String,
    /// What people see.
    pub name: String,
    /// Who serves it.
    pub provider: String,
    /// Price of a million prompt tokens.
    pub price_in: f64,
    /// Price of a million completion tokens.
    pub price_out: f64,
    /// Currency of both prices.
    pub currency: String,
}

/// All configured models; always at least the built-in one.
pub struct Models {
    all: Vec<Arc<Model>>,
    default: String,
}

impl Models {
    /// The providers' models in order of their names, then the built-in one. Sends nothing.
    ///
    /// # Errors
    /// `bad_config` for an address or key that cannot be used, `model_not_found` when the default is
    /// not among the models.
    pub fn build(config: &ModelsConfig, embedder: Arc<dyn Embedder>) -> Result<Self> {
        let limits = Limits { first_token: Duration::from_millis(config.first_token_ms), stall: Duration::from_millis(config.stall_ms) };
        let mut taken = HashSet::from([BUILTIN.to_owned()]);
        let mut all = Vec::new();
        for (name, provider) in &config.providers {
            let endpoint = Endpoint::open(name, provider, Duration::from_millis(config.connect_ms))?;
            for model in &provider.models {
                let card = ModelCard::of(name, model, &mut taken);
                all.push(Arc::new(Model { card, chat: endpoint.model(&model.id), limits }));
            }
        }
        let builtin = Arc::new(ExtractiveModel::new(embedder));
        all.push(Arc::new(Model { card: ModelCard::builtin(), chat: builtin, limits }));
        let models = Self { default: first_choice(config, &all), all };
        models.select(None)?;
        Ok(models)
    }

    /// Every model, in the order of [`build`](Self::build).
    pub fn cards(&self) -> Vec<ModelCard> {
        self.all.iter().map(|model| model.card.clone()).collect()
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
}

fn first_choice(config: &ModelsConfig, all: &[Arc<Model>]) -> String {
    let first = || all.first().map_or(BUILTIN, |model| &model.card.id);
    if config.default.is_empty() { first().to_owned() } else { config.default.clone() }
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
            currency: model.currency.clone(),
        }
    }

    fn builtin() -> Self {
        Self {
            id: BUILTIN.to_owned(),
            name: "Built-in (extractive)".to_owned(),
            provider: BUILTIN.to_owned(),
            price_in: 0.0,
            price_out: 0.0,
            currency: "USD".to_owned(),
        }
    }
}

/// How long a model may be silent.
#[derive(Clone, Copy, Debug)]
struct Limits {
    first_token: Duration,
    stall: Duration,
}

/// One selectable model behind its time limits.
pub struct Model {
    card: ModelCard,
    chat: Arc<dyn ChatModel>,
    limits: Limits,
}

impl Model {
    /// What clients see of it.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Starts an answer and waits for its first delta, trying again while that may help. The limit for
    /// the first token covers all tries together, so that nobody waits longer than it says.
    ///
    /// # Errors
    /// The last try's, when no delta came; later ones are items of the stream, which ends with them.
    pub async fn stream(&self, request: CompletionRequest) -> std::result::Result<DeltaStream, ModelError> {
        let deadline = Instant::now() + self.limits.first_token;
        let mut tries = 0;
        loop {
            let error = match timeout_at(deadline, self.begin(request.clone())).await {
                Ok(Ok(deltas)) => return Ok(deltas),
                Ok(Err(error)) => error,
                Err(_) => return Err(ModelError::Timeout("first token")),
            };
            let Some(wait) = wait_before_retry(tries, &error) else { return Err(error) };
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            tracing::warn!(model = self.card.id, %error, wait_ms = wait.as_millis() as u64, "the model is asked again");
            sleep(wait).await;
            tries += 1;
        }
    }

    /// Money for these tokens, in the card's currency.
    pub fn cost(&self, usage: Usage) -> f64 {
        let price = |tokens: u64, per_million: f64| tokens as f64 * per_million / 1e6;
        price(usage.prompt_tokens, self.card.price_in) + price(usage.completion_tokens, self.card.price_out)
    }

    /// One try, up to and including the first delta.
    async fn begin(&self, request: CompletionRequest) -> std::result::Result<DeltaStream, ModelError> {
        let mut deltas = self.chat.stream(request).await?;
        let first = deltas.next().await.unwrap_or_else(|| Err(ModelError::Broken("there was no answer".to_owned())))?;
        let rest = guard(deltas, self.limits.stall);
        Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
    }
}

/// Ends the stream with an error when it is silent for `stall`, and after any error.
fn guard(deltas: DeltaStream, stall: Duration) -> DeltaStream {
    let next = move |deltas: Option<DeltaStream>| async move {
        let mut deltas = deltas?;
        match timeout(stall, deltas.next()).await {
            Ok(Some(Ok(delta))) => Some((Ok(delta), Some(deltas))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_) => Some((Err(ModelError::Timeout("between tokens")), None)),
        }
    };
    stream::unfold(Some(deltas), next).boxed()
}

/// How long to wait before the next try; none when it would not help or must not be.
fn wait_before_retry(tries: u32, error: &ModelError) -> Option<Duration> {
    if tries >= RETRIES || !error.retryable() {
        return None;
    }
    // Spread, so that callers who failed together do not come back together.
    let spread = rand::rng().random_range(1.0..1.25);
    match error {
        ModelError::RateLimited(Some(asked)) => Some(*asked).filter(|asked| *asked <= LONGEST_WAIT),
        _ => Some((BACK_OFF * 2_u32.pow(tries)).mul_f64(spread)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Step, answer, delta, reply, streaming};
    use super::super::{Delta, EmbedKind, Message, Role};
    use super::*;

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

    fn config(fake: Option<&Fake>, ids: &[&str]) -> ModelsConfig {
        let model = |id: &&str| ModelConfig {
            id: (*id).to_owned(),
            name: String::new(),
            price_in: 2.0,
            price_out: 10.0,
            currency: "CNY".to_owned(),
        };
        let provider = fake.map(|fake| {
            let mut provider = fake.provider();
            provider.models = ids.iter().map(model).collect();
            ("fake".to_owned(), provider)
        });
        ModelsConfig {
            default: String::new(),
            connect_ms: 500,
            first_token_ms: 3000,
            stall_ms: 300,
            providers: provider.into_iter().collect(),
        }
    }

    fn build(config: &ModelsConfig) -> Result<Models> {
        Models::build(config, Arc::new(NoEmbedder))
    }

    async fn ask(config: &ModelsConfig) -> Vec<std::result::Result<Delta, ModelError>> {
        let request =
            CompletionRequest { messages: vec![Message { role: Role::User, content: "q".into() }], ..CompletionRequest::default() };
        match build(config).unwrap().select(None).unwrap().stream(request).await {
            Ok(deltas) => deltas.collect().await,
            Err(error) => vec![Err(error)],
        }
    }

    #[tokio::test]
    async fn the_default_is_the_first_configured_and_builtin_otherwise() {
        assert_eq!(build(&config(None, &[])).unwrap().default_id(), BUILTIN);
        let fake = Fake::start(|_| Vec::new()).await;
        let mut config = config(Some(&fake), &["a", "b", "a", "builtin"]);
        let models = build(&config).unwrap();
        let ids: Vec<String> = models.cards().into_iter().map(|card| card.id).collect();
        assert_eq!(ids, ["a", "b", "fake/a", "fake/builtin", "builtin"]);
        assert_eq!(models.default_id(), "a");
        let cost = models.select(None).unwrap().cost(Usage { prompt_tokens: 1000, completion_tokens: 100 });
        assert!((cost - 0.003).abs() < 1e-12, "{cost}");

        config.default = "gone".to_owned();
        let error = build(&config).err().unwrap();
        assert_eq!(error.code(), "model_not_found");
        assert!(error.message().contains("a, b, fake/a"), "{error}");
    }

    #[tokio::test]
    async fn a_failing_provider_is_asked_again_before_the_first_token() {
        let fake = Fake::start(|nth| match nth {
            0 => reply(429, "Retry-After: 0\r\n", "{}"),
            1 => reply(500, "", "oops"),
            _ => answer(&["yes"]),
        })
        .await;
        let items = ask(&config(Some(&fake), &["m"])).await;
        assert_eq!(items[0].as_ref().unwrap(), &Delta::Text("yes".into()));
        assert_eq!(fake.seen().len(), 3);
    }

    #[tokio::test]
    async fn what_cannot_help_is_not_tried_again() {
        for (status, headers) in [(401, ""), (400, ""), (429, "Retry-After: 60\r\n")] {
            let fake = Fake::start(move |_| reply(status, headers, "{}")).await;
            assert!(ask(&config(Some(&fake), &["m"])).await[0].is_err());
            assert_eq!(fake.seen().len(), 1, "{status}");
        }
        let fake = Fake::start(|_| reply(503, "", "{}")).await;
        assert!(matches!(ask(&config(Some(&fake), &["m"])).await[0], Err(ModelError::Unavailable(_))));
        assert_eq!(fake.seen().len(), 3);
    }

    #[tokio::test]
    async fn nothing_is_tried_again_after_the_first_token() {
        let fake = Fake::start(|_| vec![streaming(), delta("content", "half")]).await;
        let items = ask(&config(Some(&fake), &["m"])).await;
        assert!(matches!(&items[..], [Ok(Delta::Text(_)), Err(ModelError::Broken(_))]), "{items:?}");
        assert_eq!(fake.seen().len(), 1);
    }

    #[tokio::test]
    async fn silence_has_limits() {
        let fake = Fake::start(|_| vec![streaming(), Step::Hang]).await;
        let mut limits = config(Some(&fake), &["m"]);
        limits.first_token_ms = 200;
        let items = ask(&limits).await;
        assert!(matches!(items[..], [Err(ModelError::Timeout("first token"))]), "{items:?}");
        fake.somebody_left().await;
        assert_eq!(fake.seen().len(), 1);

        let fake = Fake::start(|_| vec![streaming(), delta("content", "half"), Step::Hang]).await;
        let items = ask(&config(Some(&fake), &["m"])).await;
        assert!(matches!(items[..], [Ok(_), Err(ModelError::Timeout("between tokens"))]), "{items:?}");
        fake.somebody_left().await;
    }
}
