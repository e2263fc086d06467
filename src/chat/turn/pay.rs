//! Tokens and money of a turn: what the call may cost is held back before it, and what it did cost is
//! counted after it.

use serde_json::json;

use super::{Turning, words};
use crate::chat::{BesideReport, ErrorReport, UsageReport};
use crate::error::Result;
use crate::ledger::{Allowance, Paid};
use crate::models::{CompletionRequest, Message, Usage};

impl Turning {
    /// Counts the prompt and holds back what the call may cost at most; the report when that is more
    /// than the shop may still spend.
    pub(super) async fn spend(&mut self, request: &CompletionRequest) -> Result<Option<ErrorReport>> {
        let texts = request.messages.iter().map(|message| message.content.as_str());
        let (prompt_tokens, family) = (self.model.count(texts) as u64, self.model.family());
        self.outcome.trace["tokens"] = json!({"prompt": prompt_tokens, "family": family, "exact": family.is_exact()});
        let most = Usage { prompt_tokens, completion_tokens: request.max_tokens.unwrap_or_default().into(), cached_tokens: 0 };
        match self.engine.0.parts.ledger.allow(&self.tenant, &self.model.most_costs(most)).await? {
            Allowance::Granted(held) => {
                self.held = held;
                Ok(None)
            }
            Allowance::Reached(limit) => {
                let message = words::spend_limit(self.language, &limit);
                Ok(Some(ErrorReport { code: "spend_limit_reached".to_owned(), message, retryable: false, retry_after_ms: None }))
            }
        }
    }

    /// Notes what the call that is made now owes, in case nobody is there to count at its end.
    pub(super) fn owe(&self, prompt: &[Message]) {
        let prompt_tokens = self.model.count(prompt.iter().map(|message| message.content.as_str())) as u64;
        self.so_far.told().owed = Some(self.engine.0.parts.ledger.owed(self.model.card(), prompt_tokens));
    }

    /// Tokens and money; counted here when the provider told nothing.
    pub(super) fn count(&mut self, told: Option<Usage>, prompt: &[Message], said: &str) {
        self.outcome.trace["tokens"]["told"] = told.is_some().into();
        let usage = told.unwrap_or_else(|| Usage {
            prompt_tokens: self.model.count(prompt.iter().map(|message| message.content.as_str())) as u64,
            completion_tokens: self.model.family().count(said) as u64,
            cached_tokens: 0,
        });
        let (cost, currency) = (self.model.cost(usage), self.model.card().currency.clone());
        self.outcome.spent = Some(self.engine.0.parts.ledger.spending(self.model.card(), usage, cost));
        let (prompt_tokens, completion_tokens) = (usage.prompt_tokens, usage.completion_tokens);
        let report = UsageReport { prompt_tokens, completion_tokens, cost, currency, ..UsageReport::default() };
        self.outcome.usage = json!(report);
    }

    /// The calls beside the answer, as its usage tells them.
    pub(super) fn beside(&self) -> Vec<BesideReport> {
        let report = |paid: Paid| BesideReport {
            purpose: paid.purpose.to_owned(),
            model: paid.model,
            prompt_tokens: paid.usage.prompt_tokens,
            completion_tokens: paid.usage.completion_tokens,
            cost: paid.cost,
            currency: paid.currency,
        };
        self.beside.paid().into_iter().map(report).collect()
    }

    pub(super) fn no_usage(&self) -> UsageReport {
        UsageReport { currency: self.model.card().currency.clone(), ..Default::default() }
    }
}
