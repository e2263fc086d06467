//! What a model is asked: the template of the question's language with sources, memory and window, under
//! the budget of the model that answers.

use std::sync::Arc;

use serde_json::json;

use super::{Turning, words};
use crate::chat::compose::{Composed, Parts, compose};
use crate::chat::summing;
use crate::error::Result;
use crate::knowledge::Hit;
use crate::memory::summary::Remembered;
use crate::memory::{self, Turn};
use crate::models::{CompletionRequest, Language, Reasoning};
use crate::prompts::PromptTemplate;

/// How a model is asked.
pub(super) struct Asking {
    pub(super) template: Arc<PromptTemplate>,
    pub(super) reasoning: Reasoning,
    /// Rows that show how to answer such a question.
    pub(super) picked: Vec<Hit>,
}

impl Turning {
    /// The template in force for the shop and the question's language, or the one that is tried out, and how the
    /// model reasons: as the operator says, else as the template does.
    pub(super) async fn asking(&self, query: &str, sources: &[Hit]) -> Result<Asking> {
        let parts = &self.engine.0.parts;
        let template = match self.request.trial.as_ref().and_then(|trial| trial.template.as_ref()) {
            Some(tried) => Arc::clone(tried),
            None => Arc::clone(parts.prompts.of(&self.tenant).await?.get(template_name(self.language))?),
        };
        let reasoning = reasoning(&parts.config.reasoning, &template);
        let picked = self.engine.picked(&self.tenant, &template.choice, query, self.request.market.as_deref(), sources).await?;
        Ok(Asking { template, reasoning, picked })
    }

    /// The template for an answer without sources. It asks for no reasoning; a provider's own may be shown.
    pub(super) async fn asking_unsourced(&self) -> Result<Asking> {
        let parts = &self.engine.0.parts;
        let template = Arc::clone(parts.prompts.of(&self.tenant).await?.get(unsourced_name(self.language))?);
        let reasoning = reasoning(&parts.config.reasoning, &template);
        Ok(Asking { template, reasoning, picked: Vec::new() })
    }

    pub(super) fn compose(
        &mut self,
        asking: &Asking,
        query: &str,
        sources: &[Hit],
        earlier: &[Turn],
        known: &Remembered,
    ) -> Result<CompletionRequest> {
        let parts = &self.engine.0.parts;
        let (window_tokens, summary_tokens) = summing::split(parts.config.memory_tokens);
        let window = match &self.request.history {
            Some(history) => history.clone(),
            None => memory::window(earlier, window_tokens),
        };
        let recalled = known.summary.recall(query, summary_tokens);
        let told = recalled.clone();
        let answer_tokens = self.request.max_tokens.unwrap_or(u32::MAX).min(parts.config.answer_tokens);
        let Composed { request, tokens, .. } = compose(Parts {
            template: &asking.template,
            reasoning: asking.reasoning,
            shop: self.tenant.as_str(),
            question: self.request.text.trim(),
            query,
            language: self.language,
            hits: sources,
            picked: &asking.picked,
            market: self.request.market.as_deref(),
            window,
            facts: words::facts(&self.facts, self.language),
            memory: recalled,
            now: parts.knowledge.clock().now(),
            zone: parts.zone,
            family: self.model.family(),
            budget: self.model.prompt_budget(parts.config.prompt_tokens, answer_tokens),
            answer_tokens,
        })?;
        self.outcome.trace["memory"] = json!({"window_messages": request.messages.len(), "recalled": told});
        self.outcome.trace["prompt"] = json!({"template": asking.template.name, "version": asking.template.label(), "tokens": tokens, "messages": request.messages,
            "demos": {"kind": asking.template.choice.kind, "picked": asking.picked.iter().map(|hit| hit.entry.id.as_str()).collect::<Vec<_>>()}});
        Ok(request)
    }
}

/// The template that answers in a language.
pub(in crate::chat) fn template_name(language: Language) -> &'static str {
    match language {
        Language::Zh => "answer.zh",
        Language::En => "answer.en",
    }
}

/// The template that answers in a language what the base does not know.
pub(in crate::chat) fn unsourced_name(language: Language) -> &'static str {
    match language {
        Language::Zh => "unsourced.zh",
        Language::En => "unsourced.en",
    }
}

/// The operator's choice, else the template's.
pub(in crate::chat) fn reasoning(chosen: &str, template: &PromptTemplate) -> Reasoning {
    match chosen {
        "off" => Reasoning::Off,
        "hidden" => Reasoning::Hidden,
        "shown" => Reasoning::Shown,
        "native" => Reasoning::Native,
        _ => template.reasoning,
    }
}
