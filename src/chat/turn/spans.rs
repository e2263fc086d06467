//! A turn as a trace, by OpenTelemetry's conventions for generative AI: the turn, its search with both
//! legs, and every call of a model. What was said is told only where the operator wants it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Turning;
use crate::knowledge::{SearchOutcome, SearchTimings};
use crate::models::Attempt;
use crate::telemetry::traces::{Step, list};

/// When the base was searched, and how long its parts took.
pub(super) struct Searched {
    from: Instant,
    to: Instant,
    timings: SearchTimings,
    hits: usize,
}

impl Searched {
    pub(super) fn new(from: Instant, found: &SearchOutcome) -> Self {
        Self { from, to: Instant::now(), timings: found.timings, hits: found.hits.len() }
    }

    /// The search, its embedding and its two legs, which run side by side.
    fn step(&self, shop: &str) -> Step {
        let part = |name: &str, operation: &'static str, from: f64, took: f64| {
            let from = self.from + millis(from);
            let step = Step::new(name, from, (from + millis(took)).min(self.to)).fact("gen_ai.operation.name", operation);
            step.fact("gen_ai.data_source.id", shop.to_owned())
        };
        let times = self.timings;
        let mut step = Step::new(format!("retrieval {shop}"), self.from, self.to)
            .fact("gen_ai.operation.name", "retrieval")
            .fact("gen_ai.data_source.id", shop.to_owned())
            .fact("copilot.retrieval.hits", self.hits as i64);
        step.inside = vec![
            part("embeddings", "embeddings", 0.0, times.embed),
            part("retrieval lexical", "retrieval", times.embed, times.lexical).fact("copilot.retrieval.leg", "lexical"),
            part("retrieval semantic", "retrieval", times.embed, times.semantic).fact("copilot.retrieval.leg", "semantic"),
        ];
        step
    }
}

impl Turning {
    /// Tells the turn to whoever collects traces.
    pub(super) fn trace(&self) {
        let parts = &self.engine.0.parts;
        if !parts.traces.is_on() {
            return;
        }
        let conversation = self.turn.conversation_id.to_string();
        let mut turn = Step::new("invoke_workflow turn", self.arrived, Instant::now())
            .fact("gen_ai.operation.name", "invoke_workflow")
            .fact("gen_ai.workflow.name", "turn")
            .fact("gen_ai.conversation.id", conversation.clone())
            .fact("gen_ai.response.finish_reasons", list(&self.outcome.finish_reason))
            .fact("copilot.tenant", self.tenant.to_string())
            .fact("copilot.response.id", self.turn.id.to_string())
            .fact("copilot.channel", self.request.channel)
            .fact("copilot.decision", self.outcome.decision.clone().unwrap_or_default())
            .fact("copilot.status", self.outcome.status.clone())
            .fact("copilot.cached", self.outcome.usage["cached"].as_bool().unwrap_or_default());
        turn.error = self.outcome.error.as_ref().and_then(|error| error["code"].as_str()).map(str::to_owned);
        turn.inside.extend(self.searched.iter().map(|searched| searched.step(self.tenant.as_str())));
        let paid = self.beside();
        let beside = self.beside.attempts.all().into_iter().map(|attempt| {
            let usage = paid.iter().find(|paid| paid.model == attempt.model());
            call(&attempt, &conversation, &json!(usage))
        });
        turn.inside.extend(beside);
        for attempt in self.attempts.all() {
            let mut step = call(&attempt, &conversation, &self.outcome.usage);
            if attempt.first_token().is_some() {
                step = step.fact("gen_ai.response.finish_reasons", list(&self.outcome.finish_reason));
                step = self.named(step);
            }
            if parts.traces.with_content() {
                step = self.with_content(step, attempt.first_token().is_some());
            }
            turn.inside.push(step);
        }
        parts.traces.tell(turn, &self.caller, parts.knowledge.clock().now());
    }

    /// With the name that the provider gives the model, where it gave one.
    fn named(&self, step: Step) -> Step {
        match &self.named {
            Some(name) => step.fact("gen_ai.response.model", name.clone()),
            None => step,
        }
    }

    /// With what the model was asked and what it said, as messages.
    fn with_content(&self, step: Step, answered: bool) -> Step {
        let message = |role: &Value, text: &Value| json!({"role": role, "parts": [{"type": "text", "content": text}]});
        let prompt = self.outcome.trace["prompt"]["messages"].as_array();
        let asked: Vec<Value> = prompt.into_iter().flatten().map(|asked| message(&asked["role"], &asked["content"])).collect();
        let step = step.fact("gen_ai.input.messages", json!(asked).to_string());
        if !answered {
            return step;
        }
        let mut said = message(&json!("assistant"), &json!(self.outcome.answer));
        said["finish_reason"] = json!(self.outcome.finish_reason);
        step.fact("gen_ai.output.messages", json!([said]).to_string())
    }
}

/// One call of a model; tokens belong to the one that gave some.
fn call(attempt: &Attempt, conversation: &str, usage: &Value) -> Step {
    let peer = attempt.peer();
    let mut step = Step::new(format!("chat {}", peer.model), attempt.started(), attempt.started() + attempt.took())
        .fact("gen_ai.operation.name", "chat")
        .fact("gen_ai.provider.name", peer.system.clone())
        .fact("gen_ai.request.model", peer.model.clone())
        .fact("gen_ai.request.stream", true)
        .fact("gen_ai.conversation.id", conversation.to_owned());
    if let Some((host, port)) = &peer.server {
        step.outside = true;
        step = step.fact("server.address", host.clone()).fact("server.port", i64::from(*port));
    }
    if let Some(first) = attempt.first_token() {
        step = step.fact("gen_ai.response.time_to_first_chunk", first.as_secs_f64());
        for (name, field) in [("gen_ai.usage.input_tokens", "prompt_tokens"), ("gen_ai.usage.output_tokens", "completion_tokens")] {
            if let Some(tokens) = usage[field].as_i64() {
                step = step.fact(name, tokens);
            }
        }
    }
    step.error = attempt.error().map(str::to_owned);
    step
}

fn millis(time: f64) -> Duration {
    Duration::from_secs_f64(time.max(0.0) / 1000.0)
}
