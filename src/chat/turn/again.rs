//! Answers given again: when a turn may take its answer from the cache, and when it leaves one there.

use serde_json::json;

use super::prompt::Asking;
use super::{Ending, Turning, words};
use crate::cache::{CachedAnswer, Scope, Wanted, print};
use crate::chat::UsageReport;
use crate::chat::compose::date;
use crate::knowledge::{Hit, SearchOutcome};
use crate::memory::Turn;
use crate::models::{CompletionRequest, FinishReason, Language};

impl Turning {
    /// What the cache is asked for; none for a turn whose answer depends on what was said before, on whom
    /// it was said to, or on anything else that another's question would not share.
    pub(super) fn wanted(
        &self,
        asking: &Asking,
        found: &SearchOutcome,
        sources: &[Hit],
        request: &CompletionRequest,
        earlier: &[Turn],
    ) -> Option<Wanted> {
        let parts = &self.engine.0.parts;
        let alone = earlier.is_empty() && self.request.history.as_ref().is_none_or(Vec::is_empty);
        let as_typed = found.query == self.request.text.trim() && self.checked.notes.is_empty();
        let as_others = self.request.replaces.is_none() && self.request.max_tokens.is_none() && self.request.trial.is_none();
        if !(parts.cache.is_on() && alone && as_typed && as_others) {
            return None;
        }
        let facts = words::facts(&self.facts, self.language);
        let versions = sources.iter().flat_map(|hit| [hit.entry.id.as_str(), &hit.entry.content_hash]);
        let read = request.grounding.iter().flat_map(|source| [source.title.as_str(), &source.text]);
        let (_, told) = request.messages.split_last()?;
        Some(Wanted {
            question: found.query.clone(),
            vector: found.vector.clone(),
            embedder: found.embedder.clone(),
            rows: print(versions.chain(read)),
            scope: Scope {
                market: self.request.market.clone(),
                model: self.model.card().id.clone(),
                language: match self.language {
                    Language::Zh => "zh",
                    Language::En => "en",
                },
                day: date(parts.knowledge.clock().now(), parts.zone),
                template: format!("{} {}", asking.template.name, asking.template.label()),
                prompt: print(told.iter().map(|message| message.content.as_str()).chain([facts.as_str()])),
            },
        })
    }

    /// Gives an answer again: no call, no tokens, and marked so.
    pub(super) fn answer_again(&mut self, kept: CachedAnswer) -> Ending {
        self.say(&kept.text);
        self.outcome.citations = kept.citations;
        self.outcome.usage = json!(UsageReport { cached: true, ..self.no_usage() });
        self.outcome.trace["cached"] = json!(true);
        Ending::Finished(FinishReason::Stop)
    }

    /// Keeps a whole answer; one that was cut short, or that another model gave, is no answer to others.
    pub(super) fn keep(&self, wanted: Option<Wanted>, ending: &Ending) {
        let whole = matches!(ending, Ending::Finished(FinishReason::Stop)) && !self.sent.text.is_empty();
        if let Some(wanted) = wanted.filter(|wanted| whole && wanted.scope.model == self.model.card().id) {
            let answer = CachedAnswer { text: self.sent.text.clone(), citations: self.outcome.citations.clone() };
            self.engine.0.parts.cache.keep(&self.tenant, wanted, answer);
        }
    }
}
