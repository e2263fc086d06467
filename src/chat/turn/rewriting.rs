//! A follow-up made a question of its own by a model, in one call that also says what the merchant wants.
//! The local rules have had their say before, and have the last word when the model has nothing to offer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Turning, ms, words};
use crate::chat::rewrite::Intent;
use crate::error::Result;
use crate::memory::Turn;
use crate::models::registry::BUILTIN;
use crate::models::{CompletionRequest, Language, Message, Model, Reasoning, Role};

/// Earlier turns that the model is told.
const TURNS: usize = 3;
/// Characters of an answer that it is told.
const TOLD_CHARS: usize = 300;
/// Longest query that is taken from it, in characters.
const QUERY_CHARS: usize = 400;
/// Tokens it may answer with.
const REPLY_TOKENS: u32 = 200;
/// Keeps to the local rules.
const OFF: &str = "off";

/// What a model is to reply.
#[derive(Deserialize)]
struct Reply {
    intent: Wanted,
    #[serde(default)]
    query: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Question,
    Greeting,
}

impl Turning {
    /// What the merchant wants, by a model when one is there to ask; else what the rules have made of it.
    pub(super) async fn understood(&mut self, by_rules: String, follows: bool, earlier: &[Turn]) -> Result<Intent> {
        let Some(model) = self.rewriter()?.filter(|_| follows) else { return Ok(Intent::Ask(by_rules)) };
        let started = Instant::now();
        let request = self.asking_to_rewrite(earlier).await?;
        let within = Duration::from_millis(self.engine.0.parts.config.rewrite_ms);
        let (text, heard) = self.engine.aside(&model, &self.tenant, "rewrite", request, within, &self.beside).await?;
        let mut trace = json!({"model": model.card().id, "rules": by_rules, "ms": ms(started)});
        if let Some(paid) = &heard.paid {
            trace["usage"] = json!({"prompt_tokens": paid.usage.prompt_tokens, "completion_tokens": paid.usage.completion_tokens});
            trace["cost"] = json!(paid.cost);
        }
        // What asks something is no greeting, whatever the model makes of it.
        let asks = self.request.text.contains(['?', '？']);
        let usable = |text: String| reply(&text).filter(|intent| !(asks && *intent == Intent::Greet)).ok_or("unreadable");
        let read = text.and_then(usable);
        let (intent, by, why) = match read {
            Ok(intent) => (intent, "model", Value::Null),
            Err(why) => (Intent::Ask(by_rules), "rules", json!(why)),
        };
        trace["by"] = json!(by);
        trace["why"] = why;
        self.rewriting = trace;
        Ok(intent)
    }

    /// The model that rewrites, if any does.
    fn rewriter(&self) -> Result<Option<Arc<Model>>> {
        let parts = &self.engine.0.parts;
        let model = match parts.config.rewrite_model.as_str() {
            OFF => return Ok(None),
            "" => Arc::clone(&self.model),
            id => parts.models.select(Some(id))?,
        };
        Ok(Some(model).filter(|model| model.card().id != BUILTIN))
    }

    async fn asking_to_rewrite(&self, earlier: &[Turn]) -> Result<CompletionRequest> {
        let name = match self.language {
            Language::Zh => "rewrite.zh",
            Language::En => "rewrite.en",
        };
        let set = self.engine.0.parts.prompts.of(&self.tenant).await?;
        let turns = match &self.request.history {
            Some(history) => exchanges(history),
            None => earlier.iter().map(|turn| exchange(&turn.question, &turn.answer)).collect(),
        };
        let facts = Some(words::facts(&self.facts, self.language)).filter(|facts| !facts.is_empty());
        let latest = &turns[turns.len().saturating_sub(TURNS)..];
        let vars = json!({"question": self.request.text.trim(), "turns": latest, "facts": facts});
        let rendered = set.get(name)?.render(&vars, Reasoning::Off)?;
        let mut messages = vec![Message { role: Role::System, content: rendered.system() }];
        let user = Message { role: Role::User, content: rendered.user() };
        messages.extend(rendered.demos);
        messages.push(user);
        Ok(CompletionRequest { messages, language: self.language, max_tokens: Some(REPLY_TOKENS), ..CompletionRequest::default() })
    }
}

fn exchange(question: &str, answer: &str) -> Value {
    json!({"question": question, "answer": answer.chars().take(TOLD_CHARS).collect::<String>()})
}

/// A stateless client's messages as turns.
fn exchanges(history: &[Message]) -> Vec<Value> {
    let mut turns = Vec::new();
    let mut messages = history.iter().peekable();
    while let Some(message) = messages.next() {
        if message.role == Role::User {
            let answer = messages.next_if(|next| next.role == Role::Assistant);
            turns.push(exchange(&message.content, answer.map_or("", |answer| answer.content.as_str())));
        }
    }
    turns
}

/// Reads a reply: the JSON object in it, however it is wrapped; none when it has no use.
fn reply(text: &str) -> Option<Intent> {
    let (start, end) = (text.find('{')?, text.rfind('}')?);
    let reply: Reply = serde_json::from_str(text.get(start..=end)?).ok()?;
    match reply.intent {
        Wanted::Greeting => Some(Intent::Greet),
        Wanted::Question => {
            let query = reply.query.split_whitespace().collect::<Vec<_>>().join(" ");
            let fits = !query.is_empty() && query.chars().count() <= QUERY_CHARS;
            fits.then_some(Intent::Ask(query))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_however_it_is_wrapped_and_nonsense_is_none() {
        let ask = |query: &str| Some(Intent::Ask(query.into()));
        assert_eq!(reply(r#"{"intent": "question", "query": "跨境店的保证金要交多少？"}"#), ask("跨境店的保证金要交多少？"));
        assert_eq!(reply("```json\n{\"intent\":\"question\",\"query\":\" two\\n lines \"}\n```"), ask("two lines"));
        assert_eq!(reply(r#"{"intent": "greeting", "query": ""}"#), Some(Intent::Greet));
        let long = format!(r#"{{"intent": "question", "query": "{}"}}"#, "长".repeat(401));
        for nonsense in
            ["", "}{", "保证金 10,000 元", r#"{"intent": "question"}"#, r#"{"intent": "other", "query": "q"}"#, r#"{"query": "q"}"#, &long]
        {
            assert_eq!(reply(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_clients_messages_are_turns() {
        let message = |role, content: &str| Message { role, content: content.into() };
        let history = [message(Role::System, "s"), message(Role::User, "a"), message(Role::Assistant, "b"), message(Role::User, "c")];
        assert_eq!(exchanges(&history), [exchange("a", "b"), exchange("c", "")]);
    }
}
