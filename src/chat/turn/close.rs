//! The end of a turn: recorded first, then told, so that who sees `response.done` finds it stored.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Ending, Turning, language_of, words};
use crate::chat::{Done, ErrorReport, EventKind, Status, UsageReport, suggest};
use crate::error::Result;
use crate::memory::Outcome;
use crate::models::{FinishReason, Language};

/// Earlier questions looked through so that none is suggested again.
const ASKED_BEFORE: i64 = 400;
/// The code of a model that broke off.
const BROKEN: &str = "model_stream_broken";
/// How long to wait before an end is written down once more.
const RECORD_WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

impl Turning {
    /// Records the turn, then tells its end: who sees `response.done` finds it stored.
    pub(super) async fn finish(mut self, ending: Ending) {
        let (status, finish_reason, error) = match ending {
            Ending::Finished(FinishReason::Stop) => (Status::Completed, "stop", None),
            Ending::Finished(FinishReason::Length) => (Status::Incomplete, "length", None),
            Ending::Finished(FinishReason::ContentFilter) => (Status::Incomplete, "content_filter", None),
            Ending::Refused => (Status::Completed, "content_filter", None),
            Ending::Cancelled if self.engine.is_closing() => {
                (Status::Incomplete, "interrupted", Some(interrupted(self.language, !self.sent.text.is_empty())))
            }
            Ending::Cancelled => (Status::Cancelled, "cancelled", None),
            Ending::Broken(error) if self.sent.text.is_empty() => (Status::Failed, "error", Some(error)),
            Ending::Broken(error) => (Status::Incomplete, "error", Some(halfway(error, self.language))),
        };
        self.emit(EventKind::ResponseTextDone { text: self.sent.text.clone() });
        if status == Status::Completed {
            self.outcome.suggestions = json!(self.suggestions().await);
        }
        // What was announced, but of which nothing came, is no answer without a source.
        self.outcome.unsourced &= !self.sent.text.is_empty();
        self.timings.total = self.elapsed();
        let mut done = self.done(status, finish_reason, error);
        self.outcome.usage = json!(done.usage);
        self.outcome.answer = std::mem::take(&mut self.sent.text);
        self.outcome.status = word(status);
        self.outcome.finish_reason = finish_reason.to_owned();
        self.outcome.error = done.error.as_ref().map(|error| json!(error));
        self.outcome.timings = json!(self.timings);
        self.outcome.numbers = json!(self.so_far.told().numbers);
        normalise(&mut self.outcome);
        if let Err(error) = self.record().await {
            tracing::error!(turn = %self.turn.id, %error, causes = error.causes(), "an answer could not be recorded");
            not_kept(&mut done, &self.outcome.answer, words::not_kept(self.language));
            self.outcome.error = done.error.as_ref().map(|error| json!(error));
            self.outcome.status = word(done.status);
        }
        self.audit().await;
        self.measure();
        self.engine.finished(&self.turn.id);
        self.log.close(&self.turn.id, self.turn.ordinal, EventKind::ResponseDone(Box::new(done)));
        self.trace();
        self.sum_up().await;
    }

    /// Writes the end down; again after a moment when that fails, because the database may be busy or just
    /// starting again.
    async fn record(&self) -> Result<()> {
        let memory = &self.engine.0.parts.memory;
        let mut waits = RECORD_WAITS.iter();
        loop {
            let error = match memory.record_outcome(&self.tenant, &self.turn.id, &self.outcome).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    tracing::warn!(turn = %self.turn.id, "a turn was ended or deleted by somebody else while it was answered");
                    return Ok(());
                }
                Err(error) => error,
            };
            let Some(wait) = waits.next() else { return Err(error) };
            tracing::warn!(turn = %self.turn.id, %error, "an answer is recorded once more");
            tokio::time::sleep(*wait).await;
        }
    }

    /// What could be asked next.
    async fn suggestions(&mut self) -> Vec<String> {
        if self.next.is_empty() {
            return Vec::new();
        }
        let parts = &self.engine.0.parts;
        let asked = match &self.request.history {
            Some(history) => history.iter().map(|message| message.content.clone()).chain([self.request.text.clone()]).collect(),
            None => parts.memory.questions(&self.tenant, &self.turn.conversation_id, ASKED_BEFORE).await.unwrap_or_default(),
        };
        let next = std::mem::take(&mut self.next);
        suggest::fresh(self.offerable(next).await, &asked)
    }

    /// The answer is told; what leaves the window is summed up before the next turn looks for it.
    async fn sum_up(&self) {
        if self.turn.ordinal <= 1 || self.request.history.is_some() {
            return;
        }
        if let Err(error) = self.engine.sum_up(&self.tenant, &self.turn.conversation_id).await {
            tracing::warn!(code = error.code(), causes = error.causes(), "older turns could not be summed up: {error}");
        }
    }

    fn done(&self, status: Status, finish_reason: &str, error: Option<ErrorReport>) -> Done {
        let usage = serde_json::from_value(self.outcome.usage.clone()).unwrap_or_else(|_| self.no_usage());
        Done {
            status,
            finish_reason: finish_reason.to_owned(),
            usage: UsageReport { beside: self.beside(), ..usage },
            citations: serde_json::from_value(self.outcome.citations.clone()).unwrap_or_default(),
            suggestions: serde_json::from_value(self.outcome.suggestions.clone()).unwrap_or_default(),
            timings_ms: self.timings,
            error,
        }
    }
}

/// Some text has come before a model broke off; where it broke nobody knew yet, because the last words were still held back.
fn halfway(error: ErrorReport, language: Language) -> ErrorReport {
    match error.code.as_str() {
        BROKEN => ErrorReport { message: words::broke_off(language).to_owned(), ..error },
        _ => error,
    }
}

/// The server stops: whoever reads only half an answer is told that it is one.
fn interrupted(language: Language, came: bool) -> ErrorReport {
    let message = words::interrupted(language, came).to_owned();
    ErrorReport { code: "shutting_down".to_owned(), message, retryable: true, retry_after_ms: None }
}

/// The report of a turn whose process died: what it would have said itself, had it been told to stop.
pub fn stopped(question: &str, locale: Option<&str>, answer: &str) -> Value {
    json!(interrupted(language_of(question, locale), !answer.is_empty()))
}

/// The report of a turn in whose middle our own code panicked.
pub(in crate::chat) fn panicked(question: &str, locale: Option<&str>, _answer: &str) -> Value {
    let message = words::failed(language_of(question, locale)).to_owned();
    json!(ErrorReport { code: "panicked".to_owned(), message, retryable: false, retry_after_ms: None })
}

/// An answer that could not be stored is not told as a whole one: nobody will find it again.
fn not_kept(done: &mut Done, answer: &str, message: String) {
    done.status = if answer.is_empty() { Status::Failed } else { Status::Incomplete };
    "error".clone_into(&mut done.finish_reason);
    done.error = Some(ErrorReport { code: "answer_not_stored".to_owned(), message, retryable: true, retry_after_ms: None });
}

/// The word that is stored.
fn word(status: Status) -> String {
    serde_json::to_value(status).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// JSON columns are never null.
fn normalise(outcome: &mut Outcome) {
    for list in [&mut outcome.sources, &mut outcome.citations, &mut outcome.suggestions] {
        if list.is_null() {
            *list = Value::Array(Vec::new());
        }
    }
    for object in [&mut outcome.usage, &mut outcome.timings, &mut outcome.trace, &mut outcome.numbers] {
        if object.is_null() {
            *object = json!({});
        }
    }
}
