//! Worked examples picked for a question: rows of the base that are most like it, found by the search that
//! finds its sources. Never a row that is a source of the answer or says the same as one (it would be the
//! answer in another's clothes), nor the question itself, nor two that are alike.

use std::collections::BTreeSet;

use super::engine::ChatEngine;
use super::turn::readable;
use crate::error::Result;
use crate::ids::TenantId;
use crate::knowledge::{Hit, Query, text};
use crate::models::Language;
use crate::prompts::{DemoChoice, DemoKind};

/// Rows looked at for examples.
const LOOKED_AT: usize = 40;
/// Longest answer that is still an example, in characters.
const ANSWER_CHARS: usize = 600;
/// Texts that share so much of their words say the same.
const ALIKE: f32 = 0.7;

impl ChatEngine {
    /// The rows that show how to answer this question, the most like it first; none unless the template
    /// picks its examples.
    pub(super) async fn picked(
        &self,
        tenant: &TenantId,
        choice: &DemoChoice,
        question: &str,
        market: Option<&str>,
        sources: &[Hit],
    ) -> Result<Vec<Hit>> {
        if choice.kind != DemoKind::Picked {
            return Ok(Vec::new());
        }
        let parts = &self.0.parts;
        let asked = Query { text: question.to_owned(), market: market.map(str::to_owned), top: LOOKED_AT, ..Query::default() };
        let found = parts.knowledge.search(tenant, &asked).await?;
        let picked: Vec<Hit> = pick(&found.hits, sources, question, choice).into_iter().cloned().collect();
        Ok(readable(&parts.safety, tenant, &picked).await.0)
    }
}

/// Up to the wanted number of candidates that may be shown, in their order.
fn pick<'a>(candidates: &'a [Hit], sources: &[Hit], question: &str, choice: &DemoChoice) -> Vec<&'a Hit> {
    let language = Language::of(question);
    let asked = words(question);
    let mut taken: Vec<Said> = sources.iter().map(Said::of).collect();
    let mut picked = Vec::new();
    for hit in candidates {
        if picked.len() == choice.count {
            break;
        }
        let draft = &hit.entry.draft;
        let whole = !draft.question.trim().is_empty() && !draft.answer.trim().is_empty();
        let short = draft.answer.chars().count() <= ANSWER_CHARS;
        let approved = choice.tag.as_ref().is_none_or(|tag| draft.tags.contains(tag));
        let source = sources.iter().any(|source| source.entry.id == hit.entry.id);
        if !whole || !short || !approved || source || Language::of(&draft.question) != language {
            continue;
        }
        let asks_the_same = draft.phrasings().any(|phrasing| alike(&words(phrasing), &asked));
        let said = Said::of(hit);
        if asks_the_same || taken.iter().any(|other| other.same(&said)) {
            continue;
        }
        taken.push(said);
        picked.push(hit);
    }
    picked
}

/// A row's words.
struct Said {
    question: BTreeSet<String>,
    answer: BTreeSet<String>,
}

impl Said {
    fn of(hit: &Hit) -> Self {
        Self { question: words(&hit.entry.draft.question), answer: words(&hit.entry.draft.answer) }
    }

    fn same(&self, other: &Self) -> bool {
        alike(&self.question, &other.question) || alike(&self.answer, &other.answer)
    }
}

fn words(text: &str) -> BTreeSet<String> {
    text::tokens(text).into_iter().collect()
}

/// Whether two texts share most of their words.
fn alike(one: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
    let shared = one.intersection(other).count();
    let all = one.len() + other.len() - shared;
    all > 0 && shared as f32 / all as f32 >= ALIKE
}

#[cfg(test)]
mod tests;
