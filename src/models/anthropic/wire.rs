//! The Messages API as data (pure): the request, and what each event of an answer means.

use serde_json::{Value, json};

use super::super::{CompletionRequest, Delta, FinishReason, ModelError, Role, Usage, complaint};
use crate::config::ModelConfig;

/// The API wants a limit; this one when nobody gave one.
const MOST_TOKENS: u32 = 4096;
/// Tokens to think with, for versions and models that want a number.
const BUDGET: u64 = 2048;
/// The version that has `adaptive` thinking and `output_config`.
const ADAPTIVE: &str = "2026-10-21";
/// Options that are not fields of the request themselves.
const OF_THINKING: [&str; 2] = ["reasoning_effort", "thinking_budget"];

/// The body of a streaming call.
pub(super) fn body(model: &ModelConfig, version: &str, request: &CompletionRequest) -> Value {
    let mut body = json!({
        "model": model.id,
        "max_tokens": request.max_tokens.unwrap_or(MOST_TOKENS),
        "messages": messages(request),
        "stream": true,
    });
    let system = system(request);
    if !system.is_empty() {
        body["system"] = system.into();
    }
    if let Some(temperature) = request.temperature.filter(|_| version < ADAPTIVE) {
        body["temperature"] = temperature.into();
    }
    for (name, value) in model.options.iter().filter(|(name, _)| !OF_THINKING.contains(&name.as_str())) {
        body[name.as_str()] = value.clone();
    }
    if let Some(effort) = model.options.get("reasoning_effort") {
        body["output_config"] = json!({"effort": effort});
    }
    if request.native_reasoning {
        think(&mut body, model, version);
    }
    body
}

/// Asks for thinking that can be shown. A budget is on top of the answer, because the API counts both
/// against `max_tokens`.
fn think(body: &mut Value, model: &ModelConfig, version: &str) {
    let budget = model.options.get("thinking_budget").and_then(Value::as_u64);
    if budget.is_none() && version >= ADAPTIVE {
        body["thinking"] = json!({"type": "adaptive", "display": "summarized"});
        return;
    }
    let budget = budget.unwrap_or(BUDGET).max(1024);
    body["thinking"] = json!({"type": "enabled", "budget_tokens": budget});
    if version >= ADAPTIVE {
        body["thinking"]["display"] = "summarized".into();
    }
    body["max_tokens"] = (body["max_tokens"].as_u64().unwrap_or_default() + budget).into();
}

fn system(request: &CompletionRequest) -> String {
    let system = request.messages.iter().filter(|message| message.role == Role::System);
    system.map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n")
}

/// User and assistant by turns, the user first: two in a row become one.
fn messages(request: &CompletionRequest) -> Value {
    let mut turns: Vec<(Role, String)> = Vec::new();
    let said = request.messages.iter().filter(|message| message.role != Role::System);
    for message in said.skip_while(|message| message.role == Role::Assistant) {
        match turns.last_mut() {
            Some((role, text)) if *role == message.role => {
                text.push_str("\n\n");
                text.push_str(&message.content);
            }
            _ => turns.push((message.role, message.content.clone())),
        }
    }
    turns.into_iter().map(|(role, text)| json!({"role": role, "content": text})).collect()
}

/// What has been heard of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Talk {
    usage: Usage,
    /// What it calls the model.
    model: Option<String>,
    finish: Option<FinishReason>,
    over: bool,
}

impl Talk {
    /// Whether it was said why the answer ends.
    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether nothing comes any more.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The token counts and the reason, once.
    pub(super) fn end(&mut self) -> Vec<Delta> {
        self.over = true;
        let end = [Delta::Usage(self.usage), Delta::Finish(self.finish.unwrap_or(FinishReason::Stop))];
        self.model.take().map(Delta::Model).into_iter().chain(end).collect()
    }

    /// What an event brings; unknown ones bring nothing.
    ///
    /// # Errors
    /// The error that an event tells.
    pub(super) fn hear(&mut self, event: &Value, key: &str) -> Result<Vec<Delta>, ModelError> {
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => {
                self.model = event["message"]["model"].as_str().map(str::to_owned);
                self.count(&event["message"]["usage"]);
            }
            "content_block_start" => return Ok(block(&event["content_block"])),
            "content_block_delta" => return Ok(block(&event["delta"])),
            "message_delta" => {
                self.count(&event["usage"]);
                self.finish = event["delta"]["stop_reason"].as_str().map(finish).or(self.finish);
            }
            "message_stop" => return Ok(self.end()),
            _ => {
                if let Some(error) = complaint::in_stream(event, key) {
                    return Err(error);
                }
            }
        }
        Ok(Vec::new())
    }

    /// Counts are cumulative, and each event tells only some of them.
    fn count(&mut self, usage: &Value) {
        let told = |name: &str| usage[name].as_u64();
        if let Some(fresh) = told("input_tokens") {
            let cached = told("cache_read_input_tokens").unwrap_or_default();
            self.usage.cached_tokens = cached;
            self.usage.prompt_tokens = fresh + cached + told("cache_creation_input_tokens").unwrap_or_default();
        }
        if let Some(said) = told("output_tokens") {
            self.usage.completion_tokens = said;
        }
    }
}

/// The text or thinking of a block's start or delta; other blocks are not for readers.
fn block(part: &Value) -> Vec<Delta> {
    let said = |name: &str| part[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match part["type"].as_str().unwrap_or_default() {
        "text" | "text_delta" => said("text").map(Delta::Text).into_iter().collect(),
        "thinking" | "thinking_delta" => said("thinking").map(Delta::Reasoning).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn finish(reason: &str) -> FinishReason {
    match reason {
        "max_tokens" | "model_context_window_exceeded" | "pause_turn" => FinishReason::Length,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

/// The deltas of an answer that came in one piece, as gateways send it that do not stream.
///
/// # Errors
/// The error it is instead.
pub(super) fn whole(body: &Value, key: &str) -> Result<Vec<Delta>, ModelError> {
    if let Some(error) = complaint::in_stream(body, key) {
        return Err(error);
    }
    let blocks = body["content"].as_array().ok_or_else(|| ModelError::Broken("the answer has no content".to_owned()))?;
    let mut talk = Talk { finish: body["stop_reason"].as_str().map(finish), ..Talk::default() };
    talk.count(&body["usage"]);
    Ok(blocks.iter().flat_map(block).chain(talk.end()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::Message;
    use super::*;

    fn request(said: &[(Role, &str)]) -> CompletionRequest {
        let messages = said.iter().map(|(role, text)| Message { role: *role, content: (*text).to_owned() }).collect();
        CompletionRequest { messages, max_tokens: Some(100), ..CompletionRequest::default() }
    }

    #[test]
    fn the_system_stands_apart_and_turns_alternate() {
        let said = [
            (Role::System, "Be brief."),
            (Role::Assistant, "dropped: nobody asked"),
            (Role::User, "a"),
            (Role::User, "b"),
            (Role::System, "Cite."),
            (Role::Assistant, "c"),
            (Role::User, "d"),
        ];
        let body = body(&ModelConfig::named("claude-x"), "2026-10-21", &request(&said));
        assert_eq!(body["system"], "Be brief.\n\nCite.");
        let turns = json!([{"role": "user", "content": "a\n\nb"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}]);
        assert_eq!(body["messages"], turns);
        assert_eq!((&body["max_tokens"], &body["stream"], body.get("thinking")), (&json!(100), &json!(true), None));
        assert_eq!(super::body(&ModelConfig::named("m"), "x", &request(&[(Role::User, "a")])).get("system"), None);
    }

    #[test]
    fn thinking_is_asked_for_in_the_words_of_the_version() {
        let wanted = CompletionRequest { native_reasoning: true, ..request(&[(Role::User, "a")]) };
        let of = |version: &str, options: Value| {
            body(&ModelConfig { options: serde_json::from_value(options).unwrap(), ..ModelConfig::named("m") }, version, &wanted)
        };
        assert_eq!(of("2026-10-21", json!({}))["thinking"], json!({"type": "adaptive", "display": "summarized"}));
        let budget = of("2026-10-21", json!({"thinking_budget": 3000, "reasoning_effort": "high"}));
        assert_eq!((&budget["thinking"]["budget_tokens"], &budget["max_tokens"]), (&json!(3000), &json!(3100)));
        assert_eq!((&budget["output_config"]["effort"], budget.get("thinking_budget")), (&json!("high"), None));
        let old = of("2023-06-01", json!({"temperature": 0.2}));
        assert_eq!((&old["thinking"], &old["temperature"]), (&json!({"type": "enabled", "budget_tokens": 2048}), &json!(0.2)));
    }

    #[test]
    fn counts_are_put_together_from_both_ends() {
        let mut talk = Talk::default();
        let start = json!({"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 1}}});
        assert_eq!(talk.hear(&start, "").unwrap(), []);
        for unknown in [
            json!({"type": "ping"}),
            json!({"type": "from_the_future"}),
            json!({"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x"}}),
        ] {
            assert_eq!(talk.hear(&unknown, "").unwrap(), []);
        }
        let end = json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 12}});
        talk.hear(&end, "").unwrap();
        let usage = Usage { prompt_tokens: 100, completion_tokens: 12, cached_tokens: 90 };
        assert_eq!(talk.hear(&json!({"type": "message_stop"}), "").unwrap(), [Delta::Usage(usage), Delta::Finish(FinishReason::Length)]);
        assert!(talk.is_over());
    }

    #[test]
    fn a_whole_message_is_read_too() {
        let body = json!({"type": "message", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}], "stop_reason": "refusal", "usage": {"input_tokens": 1, "output_tokens": 2}});
        let deltas = whole(&body, "").unwrap();
        assert_eq!(deltas[..2], [Delta::Reasoning("hm".into()), Delta::Text("ok".into())]);
        assert_eq!(deltas[3], Delta::Finish(FinishReason::ContentFilter));
        assert!(whole(&json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}), "").is_err());
        assert!(whole(&json!({}), "").is_err());
    }
}
