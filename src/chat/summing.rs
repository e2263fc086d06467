//! After a turn: what no longer fits the window goes into the conversation's summary, a line a turn
//! at once, and prose when a model is configured, in the background.

use std::sync::Arc;
use std::time::Duration;

use super::engine::ChatEngine;
use super::words;
use crate::error::Result;
use crate::ids::{ConversationId, TenantId};
use crate::ledger::Beside;
use crate::memory::summary::{Said, Summary, fitting};
use crate::models::registry::BUILTIN;
use crate::models::{CompletionRequest, Language, Message, Model, Role};

/// Turns looked back on for the window and for follow-ups.
pub const LOOK_BACK: i64 = 12;
/// Of the memory's tokens so many in a hundred are the window's; the rest is the summary's.
const WINDOW_PERCENT: usize = 75;
/// Turns summed up at once, e.g. after one in the middle was replaced.
const AT_ONCE: i64 = 400;
/// So many turns have to leave the window before a model is asked to write about them.
const PROSE_AFTER: usize = 4;
/// Tokens of the prose.
const PROSE_TOKENS: u32 = 300;
/// Nobody waits for it, but it is not waited for without end.
const PROSE_WITHIN: Duration = Duration::from_secs(120);
/// Characters of an answer that the model is told for its prose.
const TOLD_CHARS: usize = 600;

/// Tokens for the window and for the summary.
pub fn split(memory_tokens: usize) -> (usize, usize) {
    let window = memory_tokens * WINDOW_PERCENT / 100;
    (window, memory_tokens - window)
}

impl ChatEngine {
    /// Sums up what no longer fits the window.
    pub(super) async fn sum_up(&self, tenant: &TenantId, conversation: &ConversationId) -> Result<()> {
        let (memory, config) = (&self.0.parts.memory, &self.0.parts.config);
        let known = memory.remembered(tenant, conversation).await?;
        let said = memory.unsummarised(tenant, conversation, known.summary_to, AT_ONCE).await?;
        let most = usize::try_from(LOOK_BACK).unwrap_or_default();
        let old = &said[..said.len() - fitting(&said, split(config.memory_tokens).0, most)];
        let Some(last) = old.last() else { return Ok(()) };
        let mut summary = known.summary;
        summary.fold(old);
        if memory.keep_summary(tenant, conversation, known.summary_to, &summary, last.place).await? {
            self.write_prose(tenant, conversation, summary, last.place);
        }
        Ok(())
    }

    /// Lets the configured model write about what left the window since it did last.
    fn write_prose(&self, tenant: &TenantId, conversation: &ConversationId, summary: Summary, to: i64) {
        let Ok(model) = self.0.parts.models.select(None) else { return };
        let fresh = summary.lines.iter().filter(|line| line.place > summary.prose_to).count();
        if model.card().id == BUILTIN || fresh < PROSE_AFTER {
            return;
        }
        let (engine, tenant, conversation) = (self.clone(), tenant.clone(), conversation.clone());
        self.afterwards(async move {
            if let Err(error) = engine.prose(&model, &tenant, &conversation, summary, to).await {
                tracing::warn!(code = error.code(), causes = error.causes(), "a conversation could not be summed up: {error}");
            }
        });
    }

    async fn prose(
        &self,
        model: &Arc<Model>,
        tenant: &TenantId,
        conversation: &ConversationId,
        mut summary: Summary,
        to: i64,
    ) -> Result<()> {
        let memory = &self.0.parts.memory;
        let said = memory.unsummarised(tenant, conversation, summary.prose_to, AT_ONCE).await?;
        let said: Vec<Said> = said.into_iter().filter(|turn| turn.place <= to).collect();
        // Without the model's words, because it did not answer or may not be paid any more this month, the
        // lines are there all the same.
        let request = asking_for_prose(&summary.prose, &said);
        let (Ok(prose), _) = self.aside(model, tenant, "summary", request, PROSE_WITHIN, &Beside::default()).await? else {
            return Ok(());
        };
        summary.prose = prose;
        summary.prose_to = to;
        memory.keep_summary(tenant, conversation, to, &summary, to).await.map(drop)
    }
}

fn asking_for_prose(before: &str, said: &[Said]) -> CompletionRequest {
    let language = Language::of(said.last().map_or("", |turn| turn.question.as_str()));
    let message = |role, content| Message { role, content };
    CompletionRequest {
        messages: vec![message(Role::System, words::sum_up(language).to_owned()), message(Role::User, to_sum_up(before, said))],
        language,
        max_tokens: Some(PROSE_TOKENS),
        ..CompletionRequest::default()
    }
}

fn to_sum_up(before: &str, said: &[Said]) -> String {
    let turn = |turn: &Said| format!("Q: {}\nA: {}", turn.question, turn.answer.chars().take(TOLD_CHARS).collect::<String>());
    let turns: Vec<String> = said.iter().map(turn).collect();
    format!("<summary>\n{before}\n</summary>\n<turns>\n{}\n</turns>", turns.join("\n"))
}
