//! The conversation's wire-neutral vocabulary: transports turn their wire into a [`ChatRequest`] and
//! [`ChatEvent`]s back into their wire. The recipe of a turn is [`engine`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::SearchConfig;
use crate::ids::{ConversationId, TurnId};
use crate::models::Message;
use crate::prompts::PromptTemplate;

mod aside;
pub mod cite;
pub mod compose;
mod demos;
pub mod engine;
pub mod numbers;
mod order;
pub mod preview;
pub mod replay;
pub mod resume;
mod retell;
pub mod rewrite;
mod running;
mod suggest;
mod support;
mod summing;
mod turn;
pub mod words;

pub use engine::{Accepted, ChatEngine, EngineParts};
pub use replay::Cursor;
pub use turn::stopped;

/// One question, whatever wire it came over.
#[derive(Clone, Debug, Default)]
pub struct ChatRequest {
    /// The question as typed.
    pub text: String,
    /// The sender's own id for it: the same one again is the same message.
    pub client_msg_id: Option<String>,
    /// The thread to go on with; none opens a new one.
    pub conversation_id: Option<ConversationId>,
    /// Which configured model should answer; none means the default.
    pub model: Option<String>,
    /// Only rows of this market, and those of none.
    pub market: Option<String>,
    /// `zh` or `en`: the language of stock phrases when the question does not tell.
    pub locale: Option<String>,
    /// Whether the first question opens a conversation of that id.
    pub opens: bool,
    /// Earlier messages sent along by a stateless client (the OpenAI wire); none means our memory.
    pub history: Option<Vec<Message>>,
    /// Whose place it takes.
    pub replaces: Option<Replaces>,
    /// Most tokens of the answer, when fewer than configured are wanted.
    pub max_tokens: Option<u32>,
    /// Where it came from: `ws`, `sse`, `openai`, `cli`.
    pub channel: &'static str,
    /// What is tried out for this one question; none means what is in force.
    pub trial: Option<Trial>,
}

/// Settings for one question, instead of those in force.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// How rows are put in order, and when they count.
    pub search: Option<SearchConfig>,
    /// How a model is asked.
    pub template: Option<Arc<PromptTemplate>>,
}

/// The turn whose place a question takes.
#[derive(Clone, Debug)]
pub enum Replaces {
    /// Its question is answered again.
    Again(TurnId),
    /// Its question was edited; by the id of the response or of the message.
    Edited(TurnId),
}

/// One frame of a turn. Serialises to the contract's server frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ChatEvent {
    /// The thread.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation_id: ConversationId,
    /// The answer, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "string", optional))]
    pub response_id: Option<TurnId>,
    /// Strictly increasing within the conversation.
    #[cfg_attr(test, ts(type = "number"))]
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What a [`ChatEvent`] says; `type` on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type")]
pub enum EventKind {
    /// The question is stored.
    #[serde(rename = "message.accepted")]
    MessageAccepted {
        /// The stored question.
        message_id: String,
        /// Whether it had been stored before.
        duplicate: bool,
    },
    /// An answer begins.
    #[serde(rename = "response.created")]
    ResponseCreated {
        /// The question it answers.
        message_id: String,
        /// Who answers.
        model: String,
        /// The answer whose place this one takes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "string", optional))]
        replaces: Option<TurnId>,
    },
    /// What is being done.
    #[serde(rename = "response.status")]
    ResponseStatus {
        /// The step.
        stage: Stage,
        /// A sentence about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        detail: Option<String>,
        /// Who answers, when it is another model than `response.created` said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        model: Option<String>,
    },
    /// What the answer is drawn from; always, before the first text.
    #[serde(rename = "response.sources")]
    ResponseSources {
        /// How sure retrieval is.
        decision: Decision,
        /// In rank order; empty when nothing was found.
        sources: Vec<Source>,
        /// A greeting or thanks: nothing was asked, so nothing is missing. Left out otherwise.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
        courtesy: bool,
        /// A model answers all the same, from what it knows itself: the shop allows it. Left out otherwise.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
        unsourced: bool,
    },
    /// A piece of reasoning, only when it is shown.
    #[serde(rename = "response.reasoning.delta")]
    ResponseReasoningDelta {
        /// The piece.
        delta: String,
    },
    /// A piece of the answer.
    #[serde(rename = "response.text.delta")]
    ResponseTextDelta {
        /// The piece.
        delta: String,
        /// Code points sent before it.
        offset: usize,
    },
    /// The whole answer, authoritative.
    #[serde(rename = "response.text.done")]
    ResponseTextDone {
        /// The answer.
        text: String,
    },
    /// The terminal event: exactly one for each `response.created`.
    #[serde(rename = "response.done")]
    ResponseDone(Box<Done>),
}

/// The steps of `response.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum Stage {
    Retrieving,
    Generating,
}

pub use crate::knowledge::Decision;

/// One numbered source of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Source {
    /// What `[n]` refers to, from 1.
    pub n: u32,
    /// The row.
    pub entry_id: String,
    /// Its question or heading.
    pub title: String,
    /// The retrieved part of its answer.
    pub snippet: String,
    /// Where it is published, if anywhere.
    pub url: Option<String>,
    /// Confidence from 0 to 1.
    pub score: f32,
}

/// Where an answer quotes a source, in code points of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[expect(missing_docs, reason = "the names are the wire's")]
pub struct Citation {
    pub n: u32,
    pub start: usize,
    pub end: usize,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum Status {
    Completed,
    Incomplete,
    Cancelled,
    Failed,
}

/// The content of `response.done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Done {
    /// How it ended.
    pub status: Status,
    /// `stop`, `length`, `content_filter`, `cancelled`, `error`, `interrupted`.
    pub finish_reason: String,
    /// Tokens and money.
    pub usage: UsageReport,
    /// Where the answer quotes its sources.
    pub citations: Vec<Citation>,
    /// Questions that could come next.
    pub suggestions: Vec<String>,
    /// Time per stage.
    pub timings_ms: Timings,
    /// What went wrong, unless completed or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub error: Option<ErrorReport>,
}

/// Tokens and money of one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[expect(missing_docs, reason = "the names are the wire's")]
pub struct UsageReport {
    #[cfg_attr(test, ts(type = "number"))]
    pub prompt_tokens: u64,
    #[cfg_attr(test, ts(type = "number"))]
    pub completion_tokens: u64,
    pub cost: f64,
    pub currency: String,
    // Given before and given again, without a call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub cached: bool,
    // Calls beside the answer, each with its own money: they are not in the numbers above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<BesideReport>>"))]
    pub beside: Vec<BesideReport>,
}

/// Tokens and money of a call beside the answer; `purpose` is `rewrite`, `judge`, or
/// `in_vain`: a try that came to nothing and is charged all the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[expect(missing_docs, reason = "the names are the wire's")]
pub struct BesideReport {
    pub purpose: String,
    pub model: String,
    #[cfg_attr(test, ts(type = "number"))]
    pub prompt_tokens: u64,
    #[cfg_attr(test, ts(type = "number"))]
    pub completion_tokens: u64,
    pub cost: f64,
    pub currency: String,
}

/// Milliseconds per stage, with fractions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Timings {
    /// Waiting for the turn before.
    pub queue: f64,
    /// Searching the knowledge.
    pub retrieval: f64,
    /// From the question's arrival to the first text.
    pub first_token: f64,
    /// From the question's arrival to the end.
    pub total: f64,
}

/// The contract's error object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[expect(missing_docs, reason = "the names are the wire's")]
pub struct ErrorReport {
    pub code: String,
    pub message: String,
    pub retryable: bool,
    // How long whoever refused asks to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub retry_after_ms: Option<u64>,
}

impl ErrorReport {
    /// A wait as it is told.
    pub fn wait_ms(wait: Option<std::time::Duration>) -> Option<u64> {
        wait.and_then(|wait| u64::try_from(wait.as_millis()).ok())
    }
}
