//! What a running answer owes its provider as far as is known before its end: noted down with the turn, so that
//! a crash does not lose it.

use serde::{Deserialize, Serialize};

use super::{Ledger, Spending};
use crate::models::{ModelCard, Usage, tokens};

/// A call that was made, and at what prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    day: String,
    model: String,
    prompt_tokens: u64,
    price_in: f64,
    price_out: f64,
    currency: String,
}

/// What of a call was paid before its end was known, as its turn's usage tells it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the fields are UsageReport's")]
pub struct Part {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub cost: f64,
}

impl Spending {
    /// What is left to pay of it.
    pub fn beyond(&self, paid: Part) -> Self {
        let usage = Usage {
            prompt_tokens: self.usage.prompt_tokens.saturating_sub(paid.prompt_tokens),
            completion_tokens: self.usage.completion_tokens.saturating_sub(paid.completion_tokens),
            cached_tokens: self.usage.cached_tokens,
        };
        Self { usage, cost: (self.cost - paid.cost).max(0.0), ..self.clone() }
    }
}

impl Owed {
    /// The same call at another model, which answered instead.
    pub fn answered_by(self, card: &ModelCard) -> Self {
        let (model, currency) = (card.id.clone(), card.currency.clone());
        Self { model, currency, price_in: card.price_in, price_out: card.price_out, ..self }
    }

    /// What it comes to with what was said of the answer; of tokens nobody has seen, such as reasoning, nothing
    /// is known.
    pub fn with(self, answer: &str) -> Spending {
        let usage = Usage { prompt_tokens: self.prompt_tokens, completion_tokens: tokens::count(answer) as u64, cached_tokens: 0 };
        let cost = (usage.prompt_tokens as f64 * self.price_in + usage.completion_tokens as f64 * self.price_out) / 1e6;
        Spending { day: self.day, model: self.model, usage, cost, currency: self.currency }
    }
}

impl Ledger {
    /// What a call of this model owes once it is made, under today's date.
    pub fn owed(&self, card: &ModelCard, prompt_tokens: u64) -> Owed {
        Owed {
            day: self.today().format("%Y-%m-%d").to_string(),
            model: card.id.clone(),
            prompt_tokens,
            price_in: card.price_in,
            price_out: card.price_out,
            currency: card.currency.clone(),
        }
    }
}
