//! Words in, words out: the traits [`ChatModel`] and [`Embedder`] with their wire-neutral
//! vocabulary. This room has never heard of tenants, knowledge or HTTP requests of ours; a provider
//! is chosen in [`registry`].

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

mod anthropic;
mod attempts;
mod breaker;
mod complaint;
pub mod embed;
pub mod extractive;
#[cfg(test)]
pub(crate) mod fake;
mod gate;
mod http_client;
mod hub;
mod keys;
mod kinds;
pub mod model;
mod onnx;
pub mod openai;
pub mod probe;
pub mod reason;
pub mod registry;
pub mod rerank;
pub mod tokens;

pub use attempts::{Attempt, Attempts, Peer};
pub use breaker::{Health, LastError};
pub use model::{Model, ModelCard, Started};
pub use registry::Models;
pub use rerank::{Reranker, Reranking};

/// Who says a [`Message`] on a model's wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// Role and text on a model's wire (never the stored thing; that is a Turn).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Message {
    pub role: Role,
    pub content: String,
}

/// One numbered source as data, so that the extractive model need not parse its own prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Grounding {
    /// The number that `[n]` markers refer to, from 1.
    pub n: u32,
    /// The entry's question or heading.
    pub title: String,
    /// The entry's answer or the retrieved part of it.
    pub text: String,
    /// How sure retrieval is, 0 to 1.
    pub score: f32,
}

/// The language a stock phrase is said in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Chinese: the default where nothing tells otherwise.
    #[default]
    Zh,
    /// English.
    En,
}

impl Language {
    /// Chinese when the text has a Han character, English when it has only Latin letters.
    pub fn of(text: &str) -> Self {
        let han = |c: char| matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}');
        if text.chars().any(han) || !text.chars().any(|c| c.is_ascii_alphabetic()) { Self::Zh } else { Self::En }
    }

    /// `zh` or `en`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }
}

/// How a model is asked to reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reasoning {
    /// No step-by-step section.
    Off,
    /// Step by step inside `<think>`, kept from clients.
    #[default]
    Hidden,
    /// Step by step inside `<think>`, streamed to clients as reasoning.
    Shown,
    /// The provider's own reasoning, streamed to clients as reasoning; no section in the prompt.
    Native,
}

/// One call of a chat model.
#[derive(Clone, Debug, Default)]
pub struct CompletionRequest {
    /// The messages, system first.
    pub messages: Vec<Message>,
    /// The sources, as data.
    pub grounding: Vec<Grounding>,
    /// The stand-alone question, as data.
    pub question: String,
    /// Language for a model that writes stock phrases itself.
    pub language: Language,
    /// Most tokens to answer with.
    pub max_tokens: Option<u32>,
    /// Sampling temperature; unset leaves the provider's default.
    pub temperature: Option<f32>,
    /// Whether the provider should use its own reasoning.
    pub native_reasoning: bool,
}

/// One piece of a streamed answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Reasoning from the provider's own field.
    Reasoning(String),
    /// Answer text (reasoning written inline is still inside).
    Text(String),
    /// Token counts; the last one wins.
    Usage(Usage),
    /// What the provider calls the model that answers; never the first piece.
    Model(String),
    /// Why the model stopped.
    Finish(FinishReason),
}

/// Tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens sent.
    pub prompt_tokens: u64,
    /// Tokens received, reasoning included.
    pub completion_tokens: u64,
    /// Those of the sent ones that the provider had cached.
    #[serde(default)]
    pub cached_tokens: u64,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum FinishReason {
    Stop,
    Length,
    ContentFilter,
}

/// Deltas as they come. Dropping the stream ends the provider's call.
pub type DeltaStream = BoxStream<'static, Result<Delta, ModelError>>;

/// A model that answers.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Starts an answer. An error here, or as the stream's first item, came before any token.
    async fn stream(&self, request: CompletionRequest) -> Result<DeltaStream, ModelError>;
}

/// Whether a text is asked or stored; some models want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum EmbedKind {
    Query,
    Passage,
}

/// A model that turns texts into vectors of one length, each of norm 1 (or all zero for a text that
/// it has no token for).
#[async_trait]
pub trait Embedder: Send + Sync {
    /// Names the model and version; vectors of different ids are never compared.
    fn id(&self) -> &str;
    /// Length of every vector.
    fn dimensions(&self) -> usize;
    /// One vector per text, in order.
    async fn embed(&self, texts: Vec<String>, kind: EmbedKind) -> crate::error::Result<Vec<Vec<f32>>>;
}

/// What went wrong at a provider, by what can be done. Never holds a key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ModelError {
    /// The key is refused or has no balance: tell the operator.
    #[error("the provider refuses the key: {0}")]
    Unauthorized(String),
    /// Wait.
    #[error("the provider asks to slow down")]
    RateLimited(Option<Duration>),
    /// The provider has too much to do: wait.
    #[error("the provider is overloaded")]
    Overloaded(Option<Duration>),
    /// As many calls as this server may make at once are under way, and as many as may wait are waiting.
    #[error("the model is busy with other questions of this server")]
    Busy,
    /// There is no model of the configured name: tell the operator.
    #[error("the provider does not know the model: {0}")]
    Unknown(String),
    /// Our request is refused (too long, blocked content): trying again will not help.
    #[error("the provider refuses the request: {0}")]
    Refused(String),
    /// Not reachable, or failing.
    #[error("the provider is not available: {0}")]
    Unavailable(String),
    /// Nothing came in time; the text names which limit.
    #[error("the provider is too slow: {0}")]
    Timeout(&'static str),
    /// The stream ended or broke in the middle.
    #[error("the provider's answer broke off: {0}")]
    Broken(String),
    /// All the tokens that an answer may have went into reasoning.
    #[error("the model reached its limit of tokens before the first word of its answer")]
    Unfinished,
}

impl ModelError {
    /// The contract's stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "model_unauthorized",
            Self::RateLimited(_) => "model_rate_limited",
            Self::Overloaded(_) => "model_overloaded",
            Self::Busy => "model_busy",
            Self::Unknown(_) => "model_unknown",
            Self::Refused(_) => "model_refused",
            Self::Unavailable(_) => "model_unavailable",
            Self::Timeout(_) => "model_timeout",
            Self::Broken(_) => "model_stream_broken",
            Self::Unfinished => "model_unfinished",
        }
    }
    /// How long the provider asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(wait) | Self::Overloaded(wait) => *wait,
            _ => None,
        }
    }
    /// Whether the same question may succeed later.
    pub fn retryable(&self) -> bool {
        !matches!(self, Self::Unauthorized(_) | Self::Unknown(_) | Self::Refused(_))
    }
    /// The same with the name that the provider was asked for, which it may not repeat.
    pub(super) fn about(self, model: &str) -> Self {
        match self {
            Self::Unknown(text) => Self::Unknown(format!("`{model}` ({text})")),
            other => other,
        }
    }
}
