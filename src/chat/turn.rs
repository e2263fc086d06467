//! One turn, from the stored question to its terminal event: recall → retrieve → known, or prompt → speak
//! → close. Down once, up once; exactly one `response.done`. The stops on the way are files of `turn/`.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::engine::ChatEngine;
use super::replay::EventLog;
use super::rewrite::{self, Intent};
use super::running::SoFar;
use super::{ChatRequest, ErrorReport, EventKind, Stage, Timings, suggest, words};
use crate::error::{Error, Result};
use crate::ids::TenantId;
use crate::knowledge::{Decision, Hit, SearchOutcome};
use crate::ledger::{Beside, Held};
use crate::memory::facts::Fact;
use crate::memory::summary::Remembered;
use crate::memory::{Outcome, Turn};
use crate::models::{Attempts, FinishReason, Language, Model};
use crate::safety::Checked;
use crate::safety::personal::searchable;
use crate::telemetry::traces;

mod again;
mod close;
mod guarded;
mod known;
mod measure;
mod pay;
mod prompt;
mod recall;
mod retrieve;
mod rewriting;
mod spans;
mod speak;

pub(super) use close::panicked;
pub use close::stopped;
pub(super) use guarded::readable;
pub(super) use prompt::{reasoning, template_name, unsourced_name};
pub(super) use retrieve::{is_web, sources_of};

/// A turn while it runs.
pub(super) struct Turning {
    engine: ChatEngine,
    tenant: TenantId,
    request: ChatRequest,
    model: Arc<Model>,
    turn: Turn,
    log: Arc<EventLog>,
    cancel: CancellationToken,
    so_far: Arc<SoFar>,
    arrived: Instant,
    language: Language,
    checked: Checked,
    sent: Sent,
    /// Goes out before the first word.
    preface: &'static str,
    /// What the merchant has stated, this message included.
    facts: Vec<Fact>,
    /// How a model made a query of it, for the trace; null when none was asked.
    rewriting: Value,
    /// Questions that may be suggested.
    next: Vec<String>,
    outcome: Outcome,
    timings: Timings,
    /// Money that this turn may still spend; given back when it is recorded.
    held: Option<Held>,
    attempts: Attempts,
    /// Calls beside the answer.
    beside: Beside,
    searched: Option<spans::Searched>,
    /// What the provider calls the model that answered.
    named: Option<String>,
    /// The trace that the question belongs to.
    caller: traces::Caller,
    /// The model that was said to answer.
    told_model: String,
}

/// What has gone out so far.
#[derive(Default)]
struct Sent {
    text: String,
    chars: usize,
}

/// How the answering part of a turn ended.
enum Ending {
    Finished(FinishReason),
    /// A guardrail said no.
    Refused,
    Cancelled,
    Broken(ErrorReport),
}

impl Turning {
    #[expect(clippy::too_many_arguments, reason = "built in one place, from what that place has at hand")]
    pub(super) fn new(
        engine: ChatEngine,
        tenant: TenantId,
        request: ChatRequest,
        model: Arc<Model>,
        turn: Turn,
        log: Arc<EventLog>,
        cancel: CancellationToken,
        so_far: Arc<SoFar>,
        arrived: Instant,
    ) -> Self {
        let (language, beside) = (language_of(&request.text, request.locale.as_deref()), Beside::of(cancel.clone()));
        Self {
            engine,
            tenant,
            request,
            model,
            turn,
            log,
            cancel,
            so_far,
            arrived,
            language,
            checked: Checked::default(),
            sent: Sent::default(),
            preface: "",
            facts: Vec::new(),
            rewriting: Value::Null,
            next: Vec::new(),
            outcome: Outcome::default(),
            timings: Timings::default(),
            held: None,
            attempts: Attempts::default(),
            beside,
            searched: None,
            named: None,
            caller: traces::caller(),
            told_model: String::new(),
        }
    }

    /// With what the guardrails said of the question.
    pub(super) fn checked(mut self, checked: Checked) -> Self {
        self.checked = checked;
        self
    }

    /// Runs to the terminal event, whatever happens on the way.
    pub(super) async fn run(mut self) {
        self.timings.queue = self.elapsed();
        self.told_model = self.model.expected().card().id.clone();
        self.log.open_turn(self.turn.ordinal);
        let (message_id, replaces) = (self.turn.message_id.clone(), self.turn.replaces.clone());
        self.emit(EventKind::ResponseCreated { message_id, model: self.told_model.clone(), replaces });
        let ending = self.answer().await.unwrap_or_else(|error| Ending::Broken(report(self.language, &error)));
        self.finish(ending).await;
    }

    /// The recipe, top to bottom.
    async fn answer(&mut self) -> Result<Ending> {
        self.emit(status(Stage::Retrieving, None));
        self.judge().await;
        if self.checked.refused {
            return Ok(self.refuse());
        }
        if self.cancel.is_cancelled() {
            return Ok(Ending::Cancelled);
        }
        self.check_history().await;
        let earlier = self.earlier().await?;
        let remembered = self.remembered().await?;
        let before = recall::earlier_query(&earlier, self.request.history.as_deref());
        let asked = searchable(&self.request.text);
        let understood = match rewrite::read(before.as_deref(), &asked) {
            Intent::Ask(by_rules) => self.understood(by_rules, before.is_some(), &earlier).await?,
            Intent::Greet => Intent::Greet,
        };
        let Intent::Ask(query) = understood else { return Ok(self.greet()) };
        let mut found = self.search(&query).await?;
        if found.decision == Decision::None
            && query == asked
            && let Some(together) = rewrite::with_what_it_points_at(before.as_deref(), &query)
        {
            found = self.search(&together).await?;
        }
        if self.cancel.is_cancelled() {
            return Ok(Ending::Cancelled);
        }
        let found = retrieve::grounded_when_rewritten(found, &asked);
        let (sources, readable) = self.cite_sources(&found).await;
        match found.decision {
            Decision::Direct => Ok(self.answer_directly(&found.hits, &sources)),
            Decision::None if self.answers_unsourced() => self.answer_unsourced(&found, &earlier, &remembered).await,
            Decision::None => Ok(self.admit(&found.hits)),
            Decision::Grounded => self.ask(&found, &sources, &readable, &earlier, &remembered).await,
        }
    }

    /// The part of the recipe that a model has a word in.
    async fn ask(
        &mut self,
        found: &SearchOutcome,
        sources: &[Hit],
        readable: &[Hit],
        earlier: &[Turn],
        remembered: &Remembered,
    ) -> Result<Ending> {
        let asking = self.asking(&found.query, sources).await?;
        let request = self.compose(&asking, &found.query, readable, earlier, remembered)?;
        self.next = suggest::after_answer(&found.hits, sources, self.language);
        let wanted = self.wanted(&asking, found, sources, &request, earlier);
        if let Some(kept) = wanted.as_ref().and_then(|wanted| self.engine.0.parts.cache.find(&self.tenant, wanted)) {
            return Ok(self.answer_again(kept));
        }
        if let Some(reached) = self.spend(&request).await? {
            return Ok(Ending::Broken(reached));
        }
        self.emit(status(Stage::Generating, None));
        let ending = self.stream(asking.reasoning, request, sources.len()).await?;
        self.keep(wanted, &ending);
        Ok(ending)
    }

    /// Sends a piece of the answer.
    fn say(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.sent.chars == 0 {
            self.timings.first_token = self.elapsed();
        }
        let offset = self.sent.chars;
        let delta = format!("{}{text}", std::mem::take(&mut self.preface));
        self.sent.chars += delta.chars().count();
        self.sent.text.push_str(&delta);
        self.so_far.told().answer.push_str(&delta);
        self.emit(EventKind::ResponseTextDelta { delta, offset });
    }

    fn emit(&self, kind: EventKind) {
        self.log.push_noting(Some(&self.turn.id), kind, |kind, seq| self.so_far.told().numbers.note(kind, seq));
    }

    fn elapsed(&self) -> f64 {
        ms(self.arrived)
    }
}

/// The language to speak: the question's own, else the one the page asked for.
fn language_of(question: &str, locale: Option<&str>) -> Language {
    let letters = question.chars().any(char::is_alphabetic);
    match locale {
        Some(locale) if !letters => {
            if locale.starts_with("en") {
                Language::En
            } else {
                Language::Zh
            }
        }
        _ => Language::of(question),
    }
}

fn status(stage: Stage, model: Option<String>) -> EventKind {
    EventKind::ResponseStatus { stage, detail: None, model }
}

/// What went wrong is for the log and says what an operator does; who asked reads that it was not their question.
fn report(language: Language, error: &Error) -> ErrorReport {
    tracing::error!(code = error.code(), %error, causes = error.causes(), "a turn failed");
    let (code, message) = (error.code().to_owned(), words::failed(language).to_owned());
    ErrorReport { code, message, retryable: error.retryable(), retry_after_ms: ErrorReport::wait_ms(error.retry_after()) }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
