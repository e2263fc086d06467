//! One selectable model, and how it is called: within its time limits, no more calls at once than it may
//! have, again when that may help, and another in its place when it does not. Never again once the
//! first token has come.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use rand::Rng;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::attempts::{Attempts, Peer, Trial};
use super::breaker::{Breaker, Health, Pass};
use super::gate::{Gate, Place};
use super::registry::BUILTIN;
use super::tokens::{Budget, Family};
use super::{ChatModel, CompletionRequest, Delta, DeltaStream, FinishReason, ModelError, Usage};

#[cfg(test)]
mod tests;

/// Calls after the first that are tried when no token came.
const RETRIES: u32 = 2;
/// Back-off before the first retry; it doubles.
const BACK_OFF: Duration = Duration::from_millis(250);
/// The longest a provider may ask us to wait; beyond it the caller should know.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Its name says that it thinks.
pub(super) const ALWAYS_WARY: u8 = u8::MAX;
/// Answers whose text waits once a model ended reasoning that it had not begun. One that thinks so shows it in each of
/// them; one that somebody talked into the tag streams again after these.
const WARY: u8 = 3;
/// Context that is never given to a prompt's texts: what a wire adds around them.
const MARGIN: usize = 64;

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
    /// Price of a million cached prompt tokens, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_cached: Option<f64>,
    /// Currency of the prices.
    pub currency: String,
    /// Tokens of prompt and answer together, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
}

/// How long a model may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) first_token: Duration,
    pub(super) stall: Duration,
}

/// One selectable model behind its limits.
pub struct Model {
    pub(super) card: ModelCard,
    pub(super) chat: Arc<dyn ChatModel>,
    pub(super) peer: Arc<Peer>,
    pub(super) limits: Limits,
    pub(super) gate: Gate,
    pub(super) breaker: Arc<Breaker>,
    pub(super) family: Family,
    /// Most tokens of an answer, if there is such a limit of its own.
    pub(super) answer_tokens: Option<u32>,
    /// Its answers begin inside `<think>`.
    pub(super) thinks_first: bool,
    /// Answers whose text waits still, because it may think without saying where that begins.
    pub(super) wary: AtomicU8,
    /// Asked in its place; two models may stand in for each other.
    pub(super) fallback: OnceLock<Vec<Weak<Model>>>,
}

/// An answer that has begun.
pub struct Started {
    /// Who really answers.
    pub model: Arc<Model>,
    /// The answer; later errors are items of the stream, which ends with them.
    pub deltas: DeltaStream,
}

impl Model {
    /// What clients see of it.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Starts an answer and waits for its first word: of this model, else of the first of those that
    /// stand in for it. `attempts` hears of every try.
    ///
    /// # Errors
    /// This model's own last error, when none of them said a word.
    pub async fn stream(self: &Arc<Self>, request: CompletionRequest, attempts: &Attempts) -> Result<Started, ModelError> {
        let own = match self.ask(&request, attempts).await {
            Ok(deltas) => return Ok(Started { model: Arc::clone(self), deltas }),
            Err(error) => error,
        };
        // A question that is refused is no better at the next one.
        let others = if matches!(own, ModelError::Refused(_)) { Vec::new() } else { self.stand_ins() };
        // The built-in model quotes sources: where there are none, all it could say is that nothing was found.
        let can_say = |other: &Arc<Self>| other.card.id != BUILTIN || !request.grounding.is_empty();
        for other in others.into_iter().filter(can_say) {
            tracing::warn!(model = self.card.id, other = other.card.id, error = %own, "another model is asked");
            if let Ok(deltas) = other.ask(&request, attempts).await {
                return Ok(Started { model: other, deltas });
            }
        }
        Err(own)
    }

    /// Who would answer now: this model, or the first of those that stand in for it whose provider is not
    /// left alone.
    pub fn expected(self: &Arc<Self>) -> Arc<Self> {
        let there = |model: &Arc<Self>| model.breaker.health().0 != Health::Open;
        self.with_stand_ins().into_iter().find(there).unwrap_or_else(|| Arc::clone(self))
    }

    /// The model of that id: this one, or one that stands in for it.
    pub fn named(self: &Arc<Self>, id: &str) -> Option<Arc<Self>> {
        self.with_stand_ins().into_iter().find(|model| model.card.id == id)
    }

    /// Money for these tokens, in the card's currency.
    pub fn cost(&self, usage: Usage) -> f64 {
        let price = |tokens: u64, per_million: f64| tokens as f64 * per_million / 1e6;
        let card = &self.card;
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        price(usage.prompt_tokens - cached, card.price_in)
            + price(cached, card.price_cached.unwrap_or(card.price_in))
            + price(usage.completion_tokens, card.price_out)
    }

    /// The most that a call may cost, in each currency that it may be charged in: its own and those of
    /// the models that stand in for it.
    pub fn most_costs(self: &Arc<Self>, usage: Usage) -> Vec<(f64, String)> {
        self.with_stand_ins().iter().map(|model| (model.cost(usage), model.card.currency.clone())).collect()
    }

    /// Tokens of these texts as messages of this model.
    pub fn count<'a>(&self, texts: impl Iterator<Item = &'a str>) -> usize {
        self.family.count_messages(texts)
    }

    /// Whether its answers begin inside `<think>`, because its prompt ends with that tag.
    pub fn thinks_first(&self) -> bool {
        self.thinks_first
    }

    /// Whether it may think without saying where that begins: by its name, because it has not been heard yet and its
    /// chat template may open the tag in the prompt, or because it did.
    pub fn may_think(&self) -> bool {
        self.wary.load(Ordering::Relaxed) > 0
    }

    /// An answer was heard that told what it was: whether it ended reasoning that it had not begun, so that its next
    /// answers wait until they are known to be none.
    pub fn heard(&self, stray: bool) {
        let next = |left: u8| match left {
            // Named for it: always.
            ALWAYS_WARY => None,
            _ if stray => Some(WARY),
            left => left.checked_sub(1),
        };
        // With nothing to change there is nothing to do.
        let _unchanged = self.wary.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// How tokens are counted: for the trace.
    pub fn family(&self) -> Family {
        self.family
    }

    /// What a prompt may have: `wanted` tokens as this model counts them, or less when its context is
    /// smaller, and no more than the models that stand in for it can read.
    pub fn prompt_budget(self: &Arc<Self>, wanted: usize, answer: u32) -> Budget {
        let of = |model: &Arc<Self>| {
            let answer = model.answer_tokens.map_or(answer, |most| most.min(answer));
            let left = model.card.context.map(|context| context.saturating_sub(answer as usize + MARGIN));
            (model.family, left.map_or(wanted, |left| left.min(wanted)))
        };
        Budget::new(self.with_stand_ins().iter().map(of))
    }

    pub(super) fn stand_ins(&self) -> Vec<Arc<Self>> {
        self.fallback.get().into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    fn with_stand_ins(self: &Arc<Self>) -> Vec<Arc<Self>> {
        std::iter::once(Arc::clone(self)).chain(self.stand_ins()).collect()
    }

    /// Asks this model alone, again while that may help. The limit for the first token covers waiting
    /// for a place and all tries together, so that nobody waits longer than it says.
    async fn ask(&self, request: &CompletionRequest, attempts: &Attempts) -> Result<DeltaStream, ModelError> {
        let deadline = Instant::now() + self.limits.first_token;
        let mut last: Option<ModelError> = None;
        let trial = self.trial(attempts);
        let place = match timeout_at(deadline, self.gate.enter()).await.unwrap_or(Err(ModelError::Busy)) {
            Ok(place) => place,
            Err(busy) => return Err(ended(trial, busy)),
        };
        let mut trial = Some(trial);
        for tries in 0.. {
            let trial = trial.take().unwrap_or_else(|| self.trial(attempts));
            let pass = match self.breaker.admit() {
                Ok(pass) => pass,
                Err(left_alone) => return Err(last.unwrap_or(ended(trial, left_alone))),
            };
            trial.sent();
            let error = match timeout_at(deadline, self.begin(request.clone(), &trial)).await {
                Ok(Ok((first, rest))) => return Ok(self.guard(first, rest, trial, pass, place)),
                Ok(Err(error)) => error,
                Err(_) => ModelError::Timeout("first token"),
            };
            let error = error.about(&self.peer.model);
            pass.failed(&error);
            let error = ended(trial, error);
            let wait = wait_before_retry(tries, &error).filter(|wait| Instant::now() + *wait < deadline);
            let Some(wait) = wait else { return Err(error) };
            tracing::warn!(model = self.card.id, %error, wait_ms = wait.as_millis() as u64, "the model is asked again");
            sleep(wait).await;
            last = Some(error);
        }
        Err(last.unwrap_or(ModelError::Busy))
    }

    fn trial(&self, attempts: &Attempts) -> Trial {
        attempts.begin(&self.card.id, &self.card.provider, &self.peer)
    }

    /// One try, up to and including the first word; what was told before it comes along. An end without a word is
    /// no answer, unless the provider says what kept it from giving one, which it would say again.
    async fn begin(&self, mut request: CompletionRequest, trial: &Trial) -> Result<(Vec<Delta>, DeltaStream), ModelError> {
        request.max_tokens = [request.max_tokens, self.answer_tokens].into_iter().flatten().min();
        let mut deltas = self.chat.stream(request).await?;
        let mut first = Vec::new();
        while let Some(delta) = deltas.next().await {
            let delta = delta?;
            let said = is_word(&delta);
            first.push(delta);
            if said {
                return Ok((first, deltas));
            }
        }
        let charged = first.iter().rev().find_map(|delta| match delta {
            Delta::Usage(usage) => Some(*usage).filter(|usage| usage.prompt_tokens > 0),
            _ => None,
        });
        let kept_from_it = |delta: &Delta| matches!(delta, Delta::Finish(FinishReason::Length | FinishReason::ContentFilter));
        match first.iter().any(kept_from_it) {
            true => Ok((first, stream::empty().boxed())),
            false => {
                if let Some(usage) = charged {
                    trial.in_vain(usage);
                }
                Err(ModelError::Broken("there was no answer".to_owned()))
            }
        }
    }

    /// The whole answer: it ends with an error when it is silent too long, and after any error. The
    /// place, the trial and the pass go with it.
    fn guard(&self, first: Vec<Delta>, rest: DeltaStream, trial: Trial, mut pass: Pass, place: Place) -> DeltaStream {
        if first.iter().any(is_word) {
            trial.first_token();
        }
        pass.heard();
        let stall = self.limits.stall;
        let next = move |listening: Option<(DeltaStream, Trial, Pass, Place)>| async move {
            let (mut deltas, trial, pass, place) = listening?;
            let error = match timeout(stall, deltas.next()).await {
                Ok(Some(Ok(delta))) => return Some((Ok(delta), Some((deltas, trial, pass, place)))),
                Ok(Some(Err(error))) => error,
                Ok(None) => {
                    pass.succeeded();
                    trial.end("answered");
                    return None;
                }
                Err(_) => ModelError::Timeout("between tokens"),
            };
            pass.failed(&error);
            Some((Err(ended(trial, error)), None))
        };
        let rest = stream::unfold(Some((rest, trial, pass, place)), next);
        stream::iter(first.into_iter().map(Ok)).chain(rest).boxed()
    }
}

/// Whether somebody waiting for an answer hears something: token counts and an end are none.
fn is_word(delta: &Delta) -> bool {
    matches!(delta, Delta::Text(_) | Delta::Reasoning(_))
}

fn ended(trial: Trial, error: ModelError) -> ModelError {
    trial.end(error.code());
    error
}

/// How long to wait before the next try; none when it would not help or must not be.
fn wait_before_retry(tries: u32, error: &ModelError) -> Option<Duration> {
    if tries >= RETRIES || !error.retryable() {
        return None;
    }
    // Spread, so that callers who failed together do not come back together.
    let spread = rand::rng().random_range(1.0..1.25);
    match error {
        ModelError::RateLimited(Some(asked)) | ModelError::Overloaded(Some(asked)) => Some(*asked).filter(|asked| *asked <= LONGEST_WAIT),
        _ => Some((BACK_OFF * 2_u32.pow(tries)).mul_f64(spread)),
    }
}
