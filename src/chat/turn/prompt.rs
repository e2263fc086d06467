//! What a model is asked: the template of the question's language with sources, memory and window, under
//! the budget of the model that answers.

use serde_json::json;

use super::{Turning, words};
use crate::chat::compose::{Parts, compose};
use crate::chat::summing;
use crate::error::Result;
use crate::knowledge::Hit;
use crate::memory::summary::Remembered;
use crate::memory::{self, Turn};
use crate::models::{CompletionRequest, Language, Reasoning};

impl Turning {
    pub(super) fn compose(&mut self, query: &str, sources: &[Hit], earlier: &[Turn], known: &Remembered) -> Result<CompletionRequest> {
        let parts = &self.engine.0.parts;
        let name = self.template_name();
        let template = parts.prompts.get(name)?;
        let (window_tokens, summary_tokens) = summing::split(parts.config.memory_tokens);
        let window = match &self.request.history {
            Some(history) => history.clone(),
            None => memory::window(earlier, window_tokens),
        };
        let recalled = known.summary.recall(query, summary_tokens);
        let told = recalled.clone();
        let answer_tokens = self.request.max_tokens.unwrap_or(u32::MAX).min(parts.config.answer_tokens);
        let request = compose(Parts {
            template,
            reasoning: self.reasoning()?,
            shop: self.tenant.as_str(),
            question: self.request.text.trim(),
            query,
            language: self.language,
            hits: sources,
            market: self.request.market.as_deref(),
            window,
            facts: words::facts(&self.facts, self.language),
            memory: recalled,
            now: parts.knowledge.clock().now(),
            zone: parts.zone,
            budget: self.model.prompt_budget(parts.config.prompt_tokens, answer_tokens),
            answer_tokens,
        })?;
        self.outcome.trace["memory"] = json!({"window_messages": request.messages.len(), "recalled": told});
        self.outcome.trace["prompt"] = json!({"template": name, "version": template.version, "messages": request.messages});
        Ok(request)
    }

    pub(super) fn template_name(&self) -> &'static str {
        match self.language {
            Language::Zh => "answer.zh",
            Language::En => "answer.en",
        }
    }

    /// The operator's choice, else the template's.
    pub(super) fn reasoning(&self) -> Result<Reasoning> {
        let parts = &self.engine.0.parts;
        Ok(match parts.config.reasoning.as_str() {
            "off" => Reasoning::Off,
            "hidden" => Reasoning::Hidden,
            "shown" => Reasoning::Shown,
            "native" => Reasoning::Native,
            _ => parts.prompts.get(self.template_name())?.reasoning,
        })
    }
}
