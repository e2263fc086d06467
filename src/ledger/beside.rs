//! Short calls of a model beside an answer: a better query, a judgement, notes on a conversation. Allowed
//! before they are made, and paid however they end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Allowance, Ledger};
use crate::error::Result;
use crate::ids::TenantId;
use crate::models::{Attempts, CompletionRequest, Delta, DeltaStream, FinishReason, Model, Usage, reason};

/// Calls beside one answer: what stops them, what was tried, and what they cost. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Nobody wants the answer any more.
    pub cancel: CancellationToken,
    /// Every try, for the trace.
    pub attempts: Attempts,
    paid: Arc<Mutex<Vec<Paid>>>,
}

/// What a call beside an answer took.
#[derive(Clone, Debug, PartialEq)]
pub struct Paid {
    /// What for: `rewrite`, `judge`, `summary`; `in_vain` for a try that came to nothing and is charged all the same.
    pub purpose: &'static str,
    /// Who was asked, by its id.
    pub model: String,
    /// Tokens: the provider's, else counted here.
    pub usage: Usage,
    /// Money, in `currency`.
    pub cost: f64,
    /// The currency of the model's prices.
    pub currency: String,
}

impl Beside {
    /// Of an answer that may be cancelled.
    pub fn of(cancel: CancellationToken) -> Self {
        Self { cancel, ..Self::default() }
    }

    /// What was paid so far.
    pub fn paid(&self) -> Vec<Paid> {
        self.paid.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What came of a call.
#[derive(Debug, Default)]
pub struct Heard {
    /// What was said, without reasoning.
    pub text: String,
    /// Why it is not whole, or why nothing came, as a stable word.
    pub broke_off: Option<&'static str>,
    /// What it took; none when nobody was asked, or the provider never said a word.
    pub paid: Option<Paid>,
    said: String,
    told: Option<Usage>,
    /// The provider stopped it before its end.
    cut: bool,
}

impl Heard {
    fn nothing(why: &'static str) -> Self {
        Self { broke_off: Some(why), ..Self::default() }
    }
}

impl Ledger {
    /// Asks a model, and waits so long at most. A provider that refuses or fails before its first word is not paid; one that was
    /// cut off while it was at work is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ask(
        &self,
        tenant: &TenantId,
        model: &Arc<Model>,
        purpose: &'static str,
        request: CompletionRequest,
        within: Duration,
        beside: &Beside,
    ) -> Result<Heard> {
        let prompt_tokens = model.count(request.messages.iter().map(|message| message.content.as_str())) as u64;
        let completion_tokens = request.max_tokens.unwrap_or_default().into();
        let most = Usage { prompt_tokens, completion_tokens, cached_tokens: 0 };
        let Allowance::Granted(_held) = self.allow(tenant, &model.most_costs(most)).await? else {
            return Ok(Heard::nothing("spend_limit_reached"));
        };
        let deadline = Instant::now() + within;
        let cut = async {
            tokio::select! {
                biased;
                () = beside.cancel.cancelled() => "cancelled",
                () = sleep_until(deadline) => "timeout",
            }
        };
        tokio::pin!(cut);
        let started = tokio::select! {
            biased;
            why = &mut cut => Err(why),
            started = model.stream(request, &beside.attempts) => Ok(started),
        };
        self.pay_in_vain(tenant, model, &beside.attempts, beside).await?;
        let (by, mut heard) = match started {
            Err(why) if beside.attempts.was_cut_off() => (Arc::clone(model), Heard::nothing(why)),
            Err(why) => return Ok(Heard::nothing(why)),
            Ok(Err(error)) => {
                tracing::warn!(%error, model = model.card().id, purpose, "a call beside the answer failed");
                return Ok(Heard::nothing(error.code()));
            }
            Ok(Ok(started)) => {
                let heard = listen(started.deltas, cut).await;
                (started.model, heard)
            }
        };
        let counted = by.family().count(&heard.said) as u64;
        let usage = heard.told.unwrap_or(Usage { completion_tokens: counted, ..most });
        heard.paid = Some(self.pay(tenant, &by, purpose, usage, beside).await?);
        heard.text = reason::said(&heard.text, &by, heard.cut || heard.broke_off.is_some());
        Ok(heard)
    }

    /// Pays for the tries of a model, and of those that stand in for it, that came to nothing although their provider
    /// charges for them.
    pub async fn pay_in_vain(&self, tenant: &TenantId, model: &Arc<Model>, attempts: &Attempts, beside: &Beside) -> Result<()> {
        for (id, usage) in attempts.take_unpaid() {
            if let Some(by) = model.named(&id) {
                self.pay(tenant, &by, "in_vain", usage, beside).await?;
            }
        }
        Ok(())
    }

    async fn pay(&self, tenant: &TenantId, by: &Model, purpose: &'static str, usage: Usage, beside: &Beside) -> Result<Paid> {
        self.record(tenant, by, usage).await?;
        let paid = Paid { purpose, model: by.card().id.clone(), usage, cost: by.cost(usage), currency: by.card().currency.clone() };
        beside.paid.lock().unwrap_or_else(PoisonError::into_inner).push(paid.clone());
        Ok(paid)
    }
}

/// Takes what comes until it ends, breaks off or is cut.
async fn listen(mut deltas: DeltaStream, mut cut: std::pin::Pin<&mut impl Future<Output = &'static str>>) -> Heard {
    let mut heard = Heard::default();
    loop {
        let delta = tokio::select! {
            biased;
            why = &mut cut => {
                heard.broke_off = Some(why);
                break;
            }
            delta = deltas.next() => delta,
        };
        match delta {
            None => break,
            Some(Ok(Delta::Text(text))) => {
                heard.text.push_str(&text);
                heard.said.push_str(&text);
            }
            Some(Ok(Delta::Reasoning(text))) => heard.said.push_str(&text),
            // Some gateways tell zeros when they do not know.
            Some(Ok(Delta::Usage(usage))) => heard.told = Some(usage).filter(|usage| usage.prompt_tokens > 0).or(heard.told),
            Some(Ok(Delta::Finish(reason))) => heard.cut = reason != FinishReason::Stop,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "a call beside the answer broke off");
                heard.broke_off = Some(error.code());
                break;
            }
        }
    }
    heard
}
