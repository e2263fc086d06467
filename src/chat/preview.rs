//! What a model would be asked, without asking one: the same search, guardrails, template and budget as a
//! turn's, for people who write templates.

use std::sync::Arc;

use serde::Serialize;

use super::compose::{Composed, PartTokens, Parts, compose};
use super::engine::ChatEngine;
use super::turn::{readable, reasoning, sources_of, template_name};
use crate::config::SearchConfig;
use crate::error::Result;
use crate::ids::TenantId;
use crate::knowledge::{Decision, Query};
use crate::models::tokens::Family;
use crate::models::{Language, Reasoning, Role, Usage};
use crate::prompts::PromptTemplate;

/// A question to try a template on.
#[derive(Clone, Debug, Default)]
pub struct Trying {
    /// The question.
    pub question: String,
    /// The market asked about.
    pub market: Option<String>,
    /// Who would answer; the default model otherwise.
    pub model: Option<String>,
    /// The template; the one in force for the question's language otherwise.
    pub template: Option<Arc<PromptTemplate>>,
    /// How rows are put in order and when they count; as in force otherwise.
    pub search: Option<SearchConfig>,
}

/// What would be asked.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The template's name.
    pub template: String,
    /// Its version.
    pub version: String,
    /// Who would answer.
    pub model: String,
    /// What the base has to say: only `grounded` asks a model.
    pub decision: Decision,
    /// Whether a model would be asked this.
    pub asks_model: bool,
    /// Whether it would be asked under `unsourced.*` instead, for an answer without sources.
    pub unsourced: bool,
    /// The question as guardrails let it through.
    pub question: String,
    /// How the model would reason.
    pub reasoning: Reasoning,
    /// The prompt.
    pub messages: Vec<Previewed>,
    /// What its parts take, as the model counts.
    pub tokens: PartTokens,
    /// How the model counts.
    pub family: Family,
    /// Whether that is the provider's own count, or an estimate on the high side.
    pub exact: bool,
    /// What it would cost.
    pub price: Price,
    /// The rows that were picked as examples.
    pub picked: Vec<String>,
    /// The rows that would be sources, by number.
    pub sources: Vec<Shown>,
}

/// A message of the prompt.
#[derive(Clone, Debug, Serialize)]
pub struct Previewed {
    /// Who speaks.
    pub role: Role,
    /// `system`, `demo`, `user`.
    pub part: &'static str,
    /// The text.
    pub content: String,
    /// What it takes.
    pub tokens: usize,
}

/// Money, at the model's configured prices.
#[derive(Clone, Debug, Serialize)]
pub struct Price {
    /// For the prompt.
    pub prompt: f64,
    /// For the prompt and the longest answer.
    pub most: f64,
    /// In this currency.
    pub currency: String,
    /// Tokens of the longest answer.
    pub answer_tokens: u32,
    /// False when the model has no price: built in, or none is configured.
    pub priced: bool,
}

/// A row that would be a source.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its number in the prompt.
    pub n: u32,
    /// The row.
    pub entry_id: String,
    /// Its question.
    pub title: String,
}

impl ChatEngine {
    /// Renders a template for a question as a turn of this shop would. Nothing is stored, no model is asked.
    ///
    /// # Errors
    /// `message_empty`, `message_too_long`, `model_not_found`, `prompt_invalid`, or what the search says.
    pub async fn preview(&self, tenant: &TenantId, trying: Trying) -> Result<Preview> {
        let parts = &self.0.parts;
        self.check_text(&trying.question)?;
        let model = parts.models.select(trying.model.as_deref())?;
        let question = parts.safety.question(tenant, trying.question.trim()).await.text;
        let language = Language::of(&question);
        let template = match trying.template {
            Some(template) => template,
            None => Arc::clone(parts.prompts.of(tenant).await?.get(template_name(language))?),
        };
        let asked = Query { text: question.clone(), market: trying.market.clone(), top: parts.sources, ..Query::default() };
        let found = match &trying.search {
            Some(tried) => parts.knowledge.search_by(tenant, &asked, tried).await?,
            None => parts.knowledge.search(tenant, &asked).await?,
        };
        let (hits, _) = readable(&parts.safety, tenant, &sources_of(&found, parts.sources)).await;
        let picked = self.picked(tenant, &template.choice, &question, trying.market.as_deref(), &hits).await?;
        let answer_tokens = parts.config.answer_tokens;
        let Composed { request, tokens, parts: names } = compose(Parts {
            template: &template,
            reasoning: reasoning(&parts.config.reasoning, &template),
            shop: tenant.as_str(),
            question: &question,
            query: &question,
            language,
            hits: &hits,
            picked: &picked,
            market: trying.market.as_deref(),
            window: Vec::new(),
            facts: String::new(),
            memory: String::new(),
            now: parts.knowledge.clock().now(),
            zone: parts.zone,
            family: model.family(),
            budget: model.prompt_budget(parts.config.prompt_tokens, answer_tokens),
            answer_tokens,
        })?;
        let family = model.family();
        let message = |(part, message): (&'static str, crate::models::Message)| Previewed {
            role: message.role,
            part,
            tokens: family.count(&message.content),
            content: message.content,
        };
        let cost = |completion_tokens| model.cost(Usage { prompt_tokens: tokens.total as u64, completion_tokens, cached_tokens: 0 });
        let price = Price {
            prompt: cost(0),
            most: cost(answer_tokens.into()),
            currency: model.card().currency.clone(),
            answer_tokens,
            priced: model.card().price_in > 0.0 || model.card().price_out > 0.0,
        };
        let shown = request.grounding.iter().zip(&hits);
        Ok(Preview {
            template: template.name.clone(),
            version: template.label(),
            model: model.card().id.clone(),
            decision: found.decision,
            asks_model: found.decision == Decision::Grounded,
            unsourced: found.decision == Decision::None && self.answers_unsourced(tenant, &model),
            question,
            reasoning: reasoning(&parts.config.reasoning, &template),
            picked: picked.iter().map(|hit| hit.entry.id.to_string()).collect(),
            sources: shown
                .map(|(source, hit)| Shown { n: source.n, entry_id: hit.entry.id.to_string(), title: source.title.clone() })
                .collect(),
            messages: names.into_iter().zip(request.messages).map(message).collect(),
            tokens,
            family,
            exact: family.is_exact(),
            price,
        })
    }
}
