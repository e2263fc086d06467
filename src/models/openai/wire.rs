//! What goes over an OpenAI-compatible wire, as data: the request and the chunks of an answer. No network
//! here, so every provider's peculiarity has a plain test.

use serde_json::{Value, json};

use super::super::complaint;
use super::super::kinds::{Kind, Thinking};
use super::super::{CompletionRequest, Delta, FinishReason, Message, ModelError, Role, Usage};
use crate::config::ModelConfig;

/// How much a model should think when nobody said.
const EFFORT: &str = "medium";

/// The body of a streaming call.
pub(super) fn body(model: &ModelConfig, kind: &Kind, request: &CompletionRequest) -> Value {
    let mut body = json!({
        "model": model.id,
        "messages": request.messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if let Some(most) = request.max_tokens {
        body[kind.max_tokens] = most.into();
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = temperature.into();
    }
    for (name, value) in model.options.iter().filter(|(name, _)| !OF_THINKING.contains(&name.as_str())) {
        body[name.as_str()] = value.clone();
    }
    think(&mut body, model, kind, request);
    body
}

/// Options that say how to think rather than how to write.
const OF_THINKING: [&str; 2] = ["reasoning_effort", "thinking_budget"];

/// Tells the provider to use its own reasoning, or not to.
fn think(body: &mut Value, model: &ModelConfig, kind: &Kind, request: &CompletionRequest) {
    let wanted = request.native_reasoning;
    let effort = model.options.get("reasoning_effort");
    match kind.thinking {
        // A model that always thinks may be told how much, even when nobody sees it.
        Thinking::Effort if wanted || effort.is_some() => body["reasoning_effort"] = effort.cloned().unwrap_or_else(|| EFFORT.into()),
        Thinking::Effort | Thinking::Blocks => {}
        Thinking::Flag => body["enable_thinking"] = wanted.into(),
        Thinking::Template => body["chat_template_kwargs"] = json!({"enable_thinking": wanted}),
        Thinking::Kind => {
            body["thinking"] = json!({"type": if wanted { "enabled" } else { "disabled" }});
            if wanted {
                body["messages"] = request.messages.iter().map(with_reasoning).collect();
            }
        }
    }
    if !wanted || kind.thinking == Thinking::Effort {
        return;
    }
    for (name, value) in OF_THINKING.iter().filter_map(|name| Some((name, model.options.get(*name)?))) {
        body[*name] = value.clone();
    }
}

/// We keep no reasoning of earlier turns; one space satisfies an endpoint that insists on some.
fn with_reasoning(message: &Message) -> Value {
    let mut value = json!(message);
    if message.role == Role::Assistant {
        value["reasoning_content"] = " ".into();
    }
    value
}

/// What a chunk brings, in the order reasoning, text, usage, finish; nothing for chunks that bring none.
///
/// # Errors
/// The error that some providers send in place of a chunk.
pub(super) fn deltas(chunk: &Value, key: &str) -> Result<Vec<Delta>, ModelError> {
    if let Some(error) = complaint::in_stream(chunk, key) {
        return Err(error);
    }
    let choice = &chunk["choices"][0];
    let part = if choice["message"].is_object() { &choice["message"] } else { &choice["delta"] };
    let said = |name: &str| part[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let reasoning = ["reasoning_content", "reasoning", "thinking"].into_iter().find_map(said);
    let text = said("content").or_else(|| said("refusal"));
    let found = [
        reasoning.map(Delta::Reasoning),
        text.map(Delta::Text),
        usage(chunk).or_else(|| usage(choice)).map(Delta::Usage),
        choice["finish_reason"].as_str().and_then(finish).map(Delta::Finish),
    ];
    Ok(found.into_iter().flatten().collect())
}

fn usage(holder: &Value) -> Option<Usage> {
    let usage = holder["usage"].as_object()?;
    let tokens = |name: &str| usage.get(name).and_then(Value::as_u64);
    let cached = usage.get("prompt_tokens_details").and_then(|details| details["cached_tokens"].as_u64());
    Some(Usage {
        prompt_tokens: tokens("prompt_tokens").unwrap_or_default(),
        completion_tokens: tokens("completion_tokens").unwrap_or_default(),
        // DeepSeek has a name of its own for it.
        cached_tokens: cached.or_else(|| tokens("prompt_cache_hit_tokens")).unwrap_or_default(),
    })
}

fn finish(reason: &str) -> Option<FinishReason> {
    match reason {
        "" | "null" => None,
        "length" | "max_tokens" => Some(FinishReason::Length),
        "content_filter" | "sensitive" => Some(FinishReason::ContentFilter),
        _ => Some(FinishReason::Stop),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kinds::Site;
    use super::*;
    use crate::config::{ProviderConfig, ProviderKind};

    fn of(kind: ProviderKind, options: Value, request: &CompletionRequest) -> Value {
        let config = ProviderConfig { kind, base_url: "http://h".into(), ..ProviderConfig::default() };
        let model = ModelConfig { options: serde_json::from_value(options).unwrap(), ..ModelConfig::named("m") };
        body(&model, Site::of("mine", &config).unwrap().kind, request)
    }

    #[test]
    fn kinds_have_their_quirks() {
        use ProviderKind as K;
        let request = CompletionRequest {
            messages: vec![Message { role: Role::Assistant, content: "hi".into() }],
            max_tokens: Some(9),
            ..CompletionRequest::default()
        };
        let thinking = CompletionRequest { native_reasoning: true, ..request.clone() };
        let none = || json!({});
        for kind in [K::Openai, K::Azure] {
            assert_eq!(of(kind, none(), &request)["max_completion_tokens"], 9);
            assert_eq!(of(kind, none(), &request).get("max_tokens"), None);
        }
        let usual = of(K::Compatible, none(), &request);
        assert_eq!((&usual["max_tokens"], usual.get("reasoning_effort"), usual.get("temperature")), (&json!(9), None, None));
        assert_eq!(usual["stream_options"]["include_usage"], true);
        assert_eq!(of(K::Gemini, none(), &thinking)["reasoning_effort"], "medium");
        assert_eq!(of(K::Openai, json!({"reasoning_effort": "low"}), &request)["reasoning_effort"], "low");
        let budget = || json!({"thinking_budget": 2000, "top_p": 0.9});
        assert_eq!(of(K::Dashscope, budget(), &request)["enable_thinking"], false);
        assert_eq!(of(K::Dashscope, budget(), &request).get("thinking_budget"), None);
        let qwen = of(K::Dashscope, budget(), &thinking);
        assert_eq!((&qwen["enable_thinking"], &qwen["thinking_budget"], &qwen["top_p"]), (&json!(true), &json!(2000), &json!(0.9)));
        assert_eq!(of(K::Vllm, none(), &request)["chat_template_kwargs"]["enable_thinking"], false);
        assert_eq!(of(K::Deepseek, none(), &request)["thinking"]["type"], "disabled");
        assert_eq!(of(K::Deepseek, none(), &thinking)["messages"][0]["reasoning_content"], " ");
    }

    #[test]
    fn chunks_of_every_dialect() {
        let of = |chunk: Value| deltas(&chunk, "").unwrap();
        for name in ["reasoning_content", "reasoning", "thinking"] {
            let chunk = json!({"choices": [{"delta": {name: "why", "content": null}}]});
            assert_eq!(of(chunk), [Delta::Reasoning("why".into())]);
        }
        assert_eq!(of(json!({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": ""}]})), []);
        assert_eq!(of(json!({"choices": [], "prompt_filter_results": []})), []);
        let used = Delta::Usage(Usage { prompt_tokens: 7, completion_tokens: 3, cached_tokens: 0 });
        let usage = json!({"prompt_tokens": 7, "completion_tokens": 3});
        assert_eq!(of(json!({"choices": [], "usage": usage})), std::slice::from_ref(&used));
        assert_eq!(of(json!({"choices": [{"index": 0, "delta": {}}], "usage": usage})), std::slice::from_ref(&used));
        let last = json!({"choices": [{"delta": {"content": "x"}, "finish_reason": "length", "usage": usage}], "usage": null});
        assert_eq!(of(last), [Delta::Text("x".into()), used, Delta::Finish(FinishReason::Length)]);
    }

    #[test]
    fn cached_tokens_are_found_under_either_name() {
        for usage in [
            json!({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 6}}),
            json!({"prompt_tokens": 9, "prompt_cache_hit_tokens": 6}),
        ] {
            let told = deltas(&json!({"choices": [], "usage": usage}), "").unwrap();
            assert_eq!(told, [Delta::Usage(Usage { prompt_tokens: 9, completion_tokens: 0, cached_tokens: 6 })]);
        }
    }
}
