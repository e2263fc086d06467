//! The one error of this crate: what happened, in a sentence for people, under a stable code for
//! programs. Its [`Kind`] says what the caller can do about it; only `http/problem.rs` turns a kind
//! into a status code and only the edge (HTTP, WebSocket, CLI) logs it, once.
//!
//! Use [`Error::invalid`] and friends where the cause is known; `?` on a library error becomes
//! `internal` with its source kept. A second error type exists only where our own code branches on
//! it (`models::ModelError`).

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Show a valid key.
    Unauthenticated,
    /// Ask with a key of another role or from an allowed origin.
    Forbidden,
    /// Look elsewhere: it does not exist, or belongs to somebody else.
    NotFound,
    /// Correct the input.
    Invalid,
    /// Somebody else changed or holds it: look, then try again.
    Conflict,
    /// Wait for `retry_after`.
    RateLimited,
    /// Nothing: a rule refuses this.
    Refused,
    /// Try again later: a part that is needed is not there now.
    Unavailable,
    /// Try again: it took too long.
    Timeout,
    /// Report it: our fault.
    Internal,
}

/// An error with a stable code and a sentence that says what happened and what to do.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    code: &'static str,
    message: String,
    details: Option<serde_json::Value>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {$(
        #[doc = concat!("An error of kind [`Kind::", stringify!($kind), "`].")]
        pub fn $name(code: &'static str, message: impl Into<String>) -> Self {
            Self::new(Kind::$kind, code, message)
        }
    )*};
}

impl Error {
    /// An error from its parts.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, code, message: message.into(), details: None, retry_after: None, source: None }))
    }

    constructors! {
        unauthenticated => Unauthenticated,
        forbidden => Forbidden,
        not_found => NotFound,
        invalid => Invalid,
        conflict => Conflict,
        refused => Refused,
        unavailable => Unavailable,
        timeout => Timeout,
        internal => Internal,
    }

    /// Too many requests; `wait` is when the next one is welcome.
    pub fn rate_limited(code: &'static str, message: impl Into<String>, wait: Duration) -> Self {
        let mut error = Self::new(Kind::RateLimited, code, message);
        error.0.retry_after = Some(wait);
        error
    }

    /// Keeps the cause for the log.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds machine-readable details to what the caller sees.
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
    /// The stable `snake_case` code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }
    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// Machine-readable details, if any.
    pub fn details(&self) -> Option<&serde_json::Value> {
        self.0.details.as_ref()
    }
    /// How long to wait before the next try, when known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        matches!(self.0.kind, Kind::RateLimited | Kind::Unavailable | Kind::Timeout)
    }
    /// The chain of causes in one line, for the log.
    pub fn causes(&self) -> String {
        let mut line = String::new();
        let mut next = self.source();
        while let Some(cause) = next {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        line
    }
    /// The contract's error object: `{"code","message","details"?}`.
    pub fn body(&self) -> serde_json::Value {
        let mut body = serde_json::json!({"code": self.code(), "message": self.message()});
        if let Some(details) = self.details() {
            body["details"] = details.clone();
        }
        body
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}: {}", self.0.kind, self.0.code, self.0.message)?;
        if let Some(source) = &self.0.source {
            write!(f, " (because {source:?})")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

const DISK_FULL: &str = "The disk is full. Try again when there is room; nothing that was reported as done is lost.";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|db| db.code()).unwrap_or_default();
        match &error {
            // SQLite primary code 13 is SQLITE_FULL; Postgres 53100 is disk_full.
            _ if code == "13" || code == "53100" => Self::unavailable("disk_full", DISK_FULL),
            // SQLite 5 and 261 are SQLITE_BUSY and its recovery form, after the busy timeout.
            _ if code == "5" || code == "261" || matches!(error, sqlx::Error::PoolTimedOut) => {
                Self::unavailable("database_busy", "The database is busy. Try again in a moment.")
            }
            // Postgres 22021: U+0000, which SQLite takes.
            _ if code == "22021" => Self::invalid("bad_text", "The request has a character that is no text (U+0000). Leave it out."),
            sqlx::Error::Io(_) => Self::unavailable(
                "database_unreachable",
                "The database does not answer. `merchant-copilot doctor` tells which one is configured.",
            ),
            _ => Self::internal("database_error", "The database refused a statement; the log has the cause."),
        }
        .because(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::unavailable("disk_full", DISK_FULL).because(error);
        }
        Self::internal("io_error", format!("Reading or writing failed: {error}.")).because(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal("json_error", "Stored JSON could not be read.").because(error)
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal("task_failed", "A background computation stopped unexpectedly.").because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_kept_and_not_shown() {
        let error = Error::unavailable("disk_full", "no room").because(std::io::Error::other("inner secret"));
        assert_eq!(error.to_string(), "no room");
        assert_eq!(error.causes(), "inner secret");
        assert!(!error.body().to_string().contains("secret"));
        assert!(error.retryable());
    }
}
