//! OpenAI's chat completion request, as far as it means something here (pure). Unknown fields are
//! accepted and ignored, as its clients expect.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::chat::ChatRequest;
use crate::error::{Error, Result};
use crate::models::{Message, Role};

/// The request.
#[derive(Debug, Deserialize)]
pub struct CompletionBody {
    pub model: Option<String>,
    #[serde(default)]
    pub messages: Vec<WireMessage>,
    #[serde(default)]
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    /// The client's name for whoever asks.
    pub user: Option<String>,
    #[serde(default)]
    n: Value,
    #[serde(default)]
    tools: Value,
    #[serde(default)]
    functions: Value,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    response_format: Value,
}

#[derive(Debug, Deserialize)]
pub struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
}

/// One message; `content` is a text, a list of parts, or null beside tool calls.
#[derive(Debug, Deserialize)]
pub struct WireMessage {
    pub role: String,
    #[serde(default)]
    pub content: Value,
}

impl CompletionBody {
    /// Whether the answer is streamed.
    pub fn streams(&self) -> bool {
        self.stream.unwrap_or_default()
    }

    /// Whether the stream tells its usage.
    pub fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or_default()
    }

    /// Refuses what would be answered with something else than was asked for; what only shades an answer
    /// (sampling, seeds, metadata) is ignored.
    ///
    /// # Errors
    /// `unsupported_parameter`, which names it.
    pub fn check(&self) -> Result<()> {
        let some = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
        let format = self.response_format["type"].as_str().is_some_and(|kind| kind != "text");
        let refused = [
            ("n", self.n.as_u64().is_some_and(|n| n > 1), "only one answer is given to a question: leave `n` out"),
            ("tools", some(&self.tools) && self.tool_choice != "none", "the copilot calls no tools: leave `tools` out"),
            ("functions", some(&self.functions), "the copilot calls no functions: leave `functions` out"),
            ("response_format", format, "answers are text with citations: leave `response_format` out"),
        ];
        let Some((param, _, why)) = refused.into_iter().find(|(_, asked, _)| *asked) else { return Ok(()) };
        let message = format!("`{param}` is not supported: {why}.");
        Err(Error::invalid("unsupported_parameter", message).with_details(json!({"param": param})))
    }

    /// The last user message is the question; what stands before it is the history.
    ///
    /// # Errors
    /// `invalid_request` without a user message.
    pub fn into_request(self) -> Result<ChatRequest> {
        let last = self.messages.iter().rposition(|message| message.role == "user").ok_or_else(no_question)?;
        let history = self.messages[..last].iter().filter_map(WireMessage::as_history).collect();
        Ok(ChatRequest {
            text: self.messages[last].text(),
            model: self.model.filter(|model| !model.is_empty()),
            history: Some(history),
            max_tokens: self.max_completion_tokens.or(self.max_tokens).filter(|most| *most > 0),
            channel: "openai",
            ..ChatRequest::default()
        })
    }
}

impl WireMessage {
    fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
            _ => String::new(),
        }
    }

    /// Tool messages and empty ones say nothing to a model without tools.
    fn as_history(&self) -> Option<Message> {
        let role = match self.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" | "developer" => Role::System,
            _ => return None,
        };
        let content = self.text();
        (!content.trim().is_empty()).then_some(Message { role, content })
    }
}

fn no_question() -> Error {
    Error::invalid("invalid_request", "`messages` needs at least one message with role `user`.").with_details(json!({"param": "messages"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: Value) -> Result<ChatRequest> {
        serde_json::from_value::<CompletionBody>(body).unwrap().into_request()
    }

    #[test]
    fn the_last_user_message_is_the_question_and_the_rest_is_history() {
        let asked = request(json!({
            "model": "m", "temperature": 1, "tools": [],
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "保证金多少？"},
                {"role": "assistant", "content": null, "tool_calls": []},
                {"role": "tool", "content": "42"},
                {"role": "assistant", "content": "1000 元。"},
                {"role": "user", "content": [{"type": "text", "text": "什么时候退？"}, {"type": "image_url", "image_url": {"url": "x"}}]},
            ],
        }));
        let asked = asked.unwrap();
        assert_eq!((asked.text.as_str(), asked.model.as_deref(), asked.channel), ("什么时候退？", Some("m"), "openai"));
        let history = asked.history.unwrap();
        assert_eq!(history.iter().map(|message| message.role).collect::<Vec<_>>(), [Role::System, Role::User, Role::Assistant]);
    }

    #[test]
    fn what_cannot_be_given_is_refused_by_name_and_the_rest_is_taken() {
        let check = |more: Value| {
            let mut body = json!({"messages": [{"role": "user", "content": "x"}]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<CompletionBody>(body).unwrap().check()
        };
        for fine in [
            json!({"n": 1, "tools": [], "response_format": {"type": "text"}, "seed": 1, "logit_bias": {}, "user": "u", "metadata": {"a": "b"}}),
            json!({"n": null, "tools": [{"type": "function"}], "tool_choice": "none", "parallel_tool_calls": true}),
        ] {
            check(fine).unwrap();
        }
        for (param, value) in [
            ("n", json!(2)),
            ("tools", json!([{"type": "function"}])),
            ("functions", json!([{"name": "f"}])),
            ("response_format", json!({"type": "json_schema"})),
        ] {
            let error = check(json!({param: value})).unwrap_err();
            assert_eq!((error.code(), &error.details().unwrap()["param"]), ("unsupported_parameter", &json!(param)));
        }
    }

    #[test]
    fn what_cannot_be_asked_names_its_field() {
        for messages in [json!([]), json!([{"role": "system", "content": "x"}])] {
            let error = request(json!({"messages": messages})).unwrap_err();
            assert_eq!((error.code(), &error.details().unwrap()["param"]), ("invalid_request", &json!("messages")));
        }
    }
}
