//! One turn, from the stored question to its terminal event: window → rewrite → search → decide →
//! compose → stream → record. Down once, up once; exactly one `response.done`.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::cite::{self, CiteScanner};
use super::compose::{Parts, compose};
use super::engine::ChatEngine;
use super::reason::{Piece, ReasonSplitter};
use super::replay::EventLog;
use super::rewrite::{self, Intent};
use super::running::SoFar;
use super::suggest;
use super::summing::{self, LOOK_BACK};
use super::{ChatRequest, Done, ErrorReport, EventKind, Source, Stage, Status, Timings, UsageReport, words};
use crate::error::{Error, Result};
use crate::ids::TenantId;
use crate::knowledge::{Decision, Hit, Query, SearchOutcome};
use crate::ledger::{Allowance, Held};
use crate::memory::facts::{self, Fact};
use crate::memory::summary::Remembered;
use crate::memory::{self, Outcome, Turn};
use crate::models::{
    Attempts, CompletionRequest, Delta, FinishReason, Language, Message, Model, ModelError, Reasoning, Role, Started, Usage,
};
use crate::safety::{Checked, HoldBack};
use crate::telemetry;

mod again;
mod guarded;

/// Hits looked at beyond the sources, for suggestions and the trace.
const LOOK_ASIDE: usize = 5;
/// Longest snippet of a source, in characters.
const SNIPPET: usize = 240;
/// Earlier questions looked through so that none is suggested again.
const ASKED_BEFORE: i64 = 400;

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
    /// What the merchant has stated, this message included.
    facts: Vec<Fact>,
    /// Questions that may be suggested.
    next: Vec<String>,
    outcome: Outcome,
    timings: Timings,
    /// Money that this turn may still spend; given back when it is recorded.
    held: Option<Held>,
    attempts: Attempts,
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
        let language = language_of(&request);
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
            facts: Vec::new(),
            next: Vec::new(),
            outcome: Outcome::default(),
            timings: Timings::default(),
            held: None,
            attempts: Attempts::default(),
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
        let ending = self.answer().await.unwrap_or_else(|error| Ending::Broken(report(&error)));
        self.finish(ending).await;
    }

    /// The recipe.
    async fn answer(&mut self) -> Result<Ending> {
        self.emit(status(Stage::Retrieving, None));
        if self.checked.refused {
            return Ok(self.refuse());
        }
        self.check_history().await;
        let earlier = self.earlier().await?;
        let remembered = self.remembered().await?;
        let before = earlier_query(&earlier, self.request.history.as_deref());
        let query = match rewrite::read(before.as_deref(), &self.request.text) {
            Intent::Ask(query) => query,
            Intent::Greet => return Ok(self.greet()),
        };
        let found = self.search(&query).await?;
        if self.cancel.is_cancelled() {
            return Ok(Ending::Cancelled);
        }
        let found = grounded_when_rewritten(found, self.request.text.trim());
        let sources = self.cite_sources(&found);
        match found.decision {
            Decision::Direct => Ok(self.answer_directly(&found.hits, &sources)),
            Decision::None => Ok(self.admit(&found.hits)),
            Decision::Grounded => {
                let readable = self.readable(&sources).await;
                let request = self.compose(&query, &readable, &earlier, &remembered)?;
                self.next = suggest::candidates(&found.hits, &sources);
                let wanted = self.wanted(&found, &sources, &request, &earlier);
                if let Some(kept) = wanted.as_ref().and_then(|wanted| self.engine.0.parts.cache.find(&self.tenant, wanted)) {
                    return Ok(self.answer_again(kept));
                }
                if let Some(reached) = self.spend(&request).await? {
                    return Ok(Ending::Broken(reached));
                }
                self.emit(status(Stage::Generating, None));
                let ending = self.stream(request, sources.len()).await?;
                self.keep(wanted, &ending);
                Ok(ending)
            }
        }
    }

    async fn earlier(&self) -> Result<Vec<Turn>> {
        if self.turn.ordinal <= 1 || self.request.history.is_some() {
            return Ok(Vec::new());
        }
        let memory = &self.engine.0.parts.memory;
        memory.earlier(&self.tenant, &self.turn.conversation_id, self.turn.place, LOOK_BACK).await
    }

    /// What the conversation remembers beside its window, and what this message adds to it.
    async fn remembered(&mut self) -> Result<Remembered> {
        let memory = &self.engine.0.parts.memory;
        let known = match &self.request.history {
            Some(history) => told_by(history),
            None if self.turn.ordinal <= 1 => Remembered::default(),
            None => memory.remembered(&self.tenant, &self.turn.conversation_id).await?,
        };
        self.facts = known.facts.clone();
        facts::merge(&mut self.facts, facts::stated(&self.request.text, self.turn.place));
        if self.facts != known.facts && self.request.history.is_none() {
            memory.keep_facts(&self.tenant, &self.turn.conversation_id, &self.facts).await?;
        }
        Ok(known)
    }

    async fn search(&mut self, query: &str) -> Result<SearchOutcome> {
        let parts = &self.engine.0.parts;
        let asked = Query { text: query.to_owned(), market: self.request.market.clone(), locale: None, top: parts.sources + LOOK_ASIDE };
        let started = Instant::now();
        let found = parts.knowledge.search(&self.tenant, &asked).await?;
        self.timings.retrieval = ms(started);
        self.measure_legs(&found);
        self.outcome.query = query.to_owned();
        self.outcome.decision = serde_json::to_value(found.decision)?.as_str().map(str::to_owned);
        self.outcome.trace = json!({
            "asked": self.request.text.trim(), "query": query, "market": self.request.market,
            "search": found.to_json(), "facts": self.facts,
        });
        Ok(found)
    }

    /// Numbers the hits that count and tells them before any text.
    fn cite_sources(&mut self, found: &SearchOutcome) -> Vec<Hit> {
        let most = match found.decision {
            Decision::Direct => 1,
            Decision::Grounded => self.engine.0.parts.sources,
            Decision::None => 0,
        };
        let hits: Vec<Hit> = found.hits.iter().filter(|hit| hit.passed).take(most).cloned().collect();
        let sources: Vec<Source> = (1..).zip(&hits).map(|(n, hit)| source(n, hit)).collect();
        self.outcome.sources = json!(sources);
        self.so_far.told().sources = self.outcome.sources.clone();
        self.so_far.told().decision = serde_json::to_value(found.decision).ok().and_then(|word| word.as_str().map(str::to_owned));
        self.emit(EventKind::ResponseSources { decision: found.decision, sources });
        hits
    }

    fn greet(&mut self) -> Ending {
        self.outcome.query = self.request.text.clone();
        self.outcome.decision = Some("none".to_owned());
        self.outcome.trace = json!({"intent": "greeting"});
        self.emit(EventKind::ResponseSources { decision: Decision::None, sources: Vec::new() });
        self.say(words::greeting(self.language));
        Ending::Finished(FinishReason::Stop)
    }

    /// The row itself is the answer.
    fn answer_directly(&mut self, hits: &[Hit], sources: &[Hit]) -> Ending {
        let Some(row) = sources.first() else { return self.admit(hits) };
        let (text, citation) = cite::whole(&self.sayable(row), 1);
        self.say(&text);
        self.outcome.citations = json!([citation]);
        self.next = suggest::candidates(hits, sources);
        Ending::Finished(FinishReason::Stop)
    }

    /// The base does not know: says so and offers the nearest questions.
    fn admit(&mut self, hits: &[Hit]) -> Ending {
        self.next = suggest::candidates(hits, &[]);
        self.say(words::not_found(self.language));
        Ending::Finished(FinishReason::Stop)
    }

    fn compose(&mut self, query: &str, sources: &[Hit], earlier: &[Turn], known: &Remembered) -> Result<CompletionRequest> {
        let parts = &self.engine.0.parts;
        let name = self.template_name();
        let template = parts.prompts.get(name)?;
        let (window_tokens, summary_tokens) = summing::split(parts.config.memory_tokens);
        let window = match &self.request.history {
            Some(history) => history.clone(),
            None => memory::window(earlier, window_tokens),
        };
        let recalled = known.summary.recall(query, summary_tokens);
        let told = recalled.clone();
        let answer_tokens = self.request.max_tokens.unwrap_or(u32::MAX).min(parts.config.answer_tokens);
        let request = compose(Parts {
            template,
            reasoning: self.reasoning()?,
            shop: self.tenant.as_str(),
            question: self.request.text.trim(),
            query,
            language: self.language,
            hits: sources,
            market: self.request.market.as_deref(),
            window,
            facts: words::facts(&self.facts, self.language),
            memory: recalled,
            now: parts.knowledge.clock().now(),
            zone: parts.zone,
            budget: self.model.prompt_budget(parts.config.prompt_tokens, answer_tokens),
            answer_tokens,
        })?;
        self.outcome.trace["memory"] = json!({"window_messages": request.messages.len(), "recalled": told});
        self.outcome.trace["prompt"] = json!({"template": name, "version": template.version, "messages": request.messages});
        Ok(request)
    }

    fn template_name(&self) -> &'static str {
        match self.language {
            Language::Zh => "answer.zh",
            Language::En => "answer.en",
        }
    }

    /// The operator's choice, else the template's.
    fn reasoning(&self) -> Result<Reasoning> {
        let parts = &self.engine.0.parts;
        Ok(match parts.config.reasoning.as_str() {
            "off" => Reasoning::Off,
            "hidden" => Reasoning::Hidden,
            "shown" => Reasoning::Shown,
            "native" => Reasoning::Native,
            _ => parts.prompts.get(self.template_name())?.reasoning,
        })
    }

    /// The model speaks; its reasoning is split off and its markers are resolved on the way.
    async fn stream(&mut self, request: CompletionRequest, sources: usize) -> Result<Ending> {
        let model = Arc::clone(&self.model);
        let shown = matches!(self.reasoning()?, Reasoning::Shown | Reasoning::Native);
        let prompt = request.messages.clone();
        let cancel = self.cancel.clone();
        let thoughts = if shown { self.watch(&request) } else { HoldBack::new(Vec::new(), self.language) };
        let mut answer = Answering::new(sources, shown, [thoughts, self.watch(&request)]);
        let mut usage = None;
        let ending = tokio::select! {
            biased;
            () = cancel.cancelled() => Ending::Cancelled,
            ending = self.listen(&model, request, &mut answer, &mut usage) => ending,
        };
        answer.end(self);
        self.note(answer.words.notes());
        self.note(answer.thoughts.notes());
        let by = self.model.card();
        self.outcome.trace["model"] = json!({"id": by.id, "provider": by.provider});
        self.outcome.trace["attempts"] = json!(self.attempts);
        self.outcome.citations = json!(answer.cite.citations());
        // A provider that never said a word is not paid for the question.
        if usage.is_some() || !answer.said.is_empty() || !matches!(ending, Ending::Broken(_)) {
            self.count(usage, &prompt, &answer.said);
        }
        Ok(ending)
    }

    /// Takes the deltas as they come. Dropping this ends the provider's call.
    async fn listen(
        &mut self,
        model: &Arc<Model>,
        request: CompletionRequest,
        answer: &mut Answering,
        usage: &mut Option<Usage>,
    ) -> Ending {
        let Started { model: by, deltas: mut stream } = match model.stream(request, &self.attempts).await {
            Ok(started) => started,
            Err(error) => return Ending::Broken(model_report(&error)),
        };
        self.answered_by(by);
        let mut finish = FinishReason::Stop;
        while let Some(delta) = stream.next().await {
            match delta {
                Ok(Delta::Text(text)) => answer.text(self, &text),
                Ok(Delta::Reasoning(text)) => answer.reasoning(self, &text),
                // Some gateways tell zeros when they do not know.
                Ok(Delta::Usage(tokens)) => *usage = Some(tokens).filter(|tokens| tokens.prompt_tokens > 0).or(*usage),
                Ok(Delta::Finish(reason)) => finish = reason,
                Err(error) => return Ending::Broken(model_report(&error)),
            }
        }
        Ending::Finished(finish)
    }

    /// Another model than the chosen one answers: says so, and is the one that is paid and recorded.
    fn answered_by(&mut self, model: Arc<Model>) {
        if model.card().id != self.told_model {
            self.told_model = model.card().id.clone();
            self.emit(status(Stage::Generating, Some(self.told_model.clone())));
        }
        self.outcome.model = Some(model.card().id.clone());
        self.model = model;
    }

    /// Counts the prompt and holds back what the call may cost at most; the report when that is more
    /// than the shop may still spend.
    async fn spend(&mut self, request: &CompletionRequest) -> Result<Option<ErrorReport>> {
        let texts = request.messages.iter().map(|message| message.content.as_str());
        let (prompt_tokens, family) = (self.model.count(texts) as u64, self.model.family());
        self.outcome.trace["tokens"] = json!({"prompt": prompt_tokens, "family": family, "exact": family.is_exact()});
        let most = Usage { prompt_tokens, completion_tokens: request.max_tokens.unwrap_or_default().into(), cached_tokens: 0 };
        match self.engine.0.parts.ledger.allow(&self.tenant, &self.model.most_costs(most)).await? {
            Allowance::Granted(held) => {
                self.held = held;
                Ok(None)
            }
            Allowance::Reached(limit) => {
                let message = words::spend_limit(self.language, &limit);
                Ok(Some(ErrorReport { code: "spend_limit_reached".to_owned(), message, retryable: false }))
            }
        }
    }

    /// Tokens and money; counted here when the provider told nothing.
    fn count(&mut self, told: Option<Usage>, prompt: &[Message], said: &str) {
        self.outcome.trace["tokens"]["told"] = told.is_some().into();
        let usage = told.unwrap_or_else(|| Usage {
            prompt_tokens: self.model.count(prompt.iter().map(|message| message.content.as_str())) as u64,
            completion_tokens: self.model.family().count(said) as u64,
            cached_tokens: 0,
        });
        let (cost, currency) = (self.model.cost(usage), self.model.card().currency.clone());
        self.outcome.spent = Some(self.engine.0.parts.ledger.spending(self.model.card(), usage, cost));
        let (prompt_tokens, completion_tokens) = (usage.prompt_tokens, usage.completion_tokens);
        let report = UsageReport { prompt_tokens, completion_tokens, cost, currency, cached: false };
        self.outcome.usage = json!(report);
    }

    /// Records the turn, then tells its end: who sees `response.done` finds it stored.
    async fn finish(mut self, ending: Ending) {
        let (status, finish_reason, error) = match ending {
            Ending::Finished(FinishReason::Stop) => (Status::Completed, "stop", None),
            Ending::Finished(FinishReason::Length) => (Status::Incomplete, "length", None),
            Ending::Finished(FinishReason::ContentFilter) => (Status::Incomplete, "content_filter", None),
            Ending::Refused => (Status::Completed, "content_filter", None),
            Ending::Cancelled if self.engine.is_closing() => (Status::Incomplete, "interrupted", None),
            Ending::Cancelled => (Status::Cancelled, "cancelled", None),
            Ending::Broken(error) if self.sent.text.is_empty() => (Status::Failed, "error", Some(error)),
            Ending::Broken(error) => (Status::Incomplete, "error", Some(error)),
        };
        self.emit(EventKind::ResponseTextDone { text: self.sent.text.clone() });
        if status == Status::Completed {
            self.outcome.suggestions = json!(self.suggestions().await);
        }
        self.timings.total = self.elapsed();
        let done = self.done(status, finish_reason, error);
        self.outcome.usage = json!(done.usage);
        self.outcome.answer = std::mem::take(&mut self.sent.text);
        self.outcome.status = serde_json::to_value(status).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
        self.outcome.finish_reason = finish_reason.to_owned();
        self.outcome.error = done.error.as_ref().map(|error| json!(error));
        self.outcome.timings = json!(self.timings);
        self.outcome.numbers = json!(self.so_far.told().numbers);
        normalise(&mut self.outcome);
        let recorded = self.engine.0.parts.memory.record_outcome(&self.tenant, &self.turn.id, &self.outcome).await;
        if let Err(error) = recorded {
            tracing::error!(turn = %self.turn.id, %error, causes = error.causes(), "an answer could not be recorded");
        }
        self.audit().await;
        self.measure();
        self.engine.finished(&self.turn.id);
        self.log.close(&self.turn.id, self.turn.ordinal, EventKind::ResponseDone(Box::new(done)));
        self.sum_up().await;
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
        suggest::answerable(&parts.knowledge, &self.tenant, self.request.market.as_deref(), std::mem::take(&mut self.next), &asked).await
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

    /// One line a turn: who reads logs sees what happened, never what was said.
    fn log_line(&self) {
        let usage = &self.outcome.usage;
        tracing::info!(
            tenant = self.tenant.as_str(),
            conversation = self.turn.conversation_id.as_str(),
            response = self.turn.id.as_str(),
            channel = self.request.channel,
            model = self.model.card().id,
            decision = self.outcome.decision.as_deref().unwrap_or_default(),
            status = self.outcome.status,
            finish_reason = self.outcome.finish_reason,
            error = self.outcome.error.as_ref().and_then(|error| error["code"].as_str()).unwrap_or_default(),
            refused = self.checked.refused,
            cached = usage["cached"].as_bool().unwrap_or_default(),
            prompt_tokens = usage["prompt_tokens"].as_u64().unwrap_or_default(),
            completion_tokens = usage["completion_tokens"].as_u64().unwrap_or_default(),
            cost = usage["cost"].as_f64().unwrap_or_default(),
            queue_ms = self.timings.queue,
            retrieval_ms = self.timings.retrieval,
            first_token_ms = self.timings.first_token,
            total_ms = self.timings.total,
            "turn"
        );
    }

    /// Time per leg of the search.
    fn measure_legs(&self, found: &SearchOutcome) {
        for (leg, time) in [("lexical", found.timings.lexical), ("semantic", found.timings.semantic)] {
            metrics::histogram!(telemetry::LEG_SECONDS, "tenant" => self.tenant.to_string(), "leg" => leg).record(time / 1000.0);
        }
    }

    fn measure(&self) {
        self.log_line();
        if let Some(cost) = self.outcome.usage["cost"].as_f64().filter(|cost| *cost > 0.0) {
            let labels = [
                ("tenant", self.tenant.to_string()),
                ("model", self.model.card().id.clone()),
                ("currency", self.model.card().currency.clone()),
            ];
            metrics::counter!(telemetry::MODEL_COST, &labels).increment((cost * 1_000_000.0).round() as u64);
        }
        let (tenant, model) = (self.tenant.to_string(), self.model.card().id.clone());
        let decision = self.outcome.decision.clone().unwrap_or_default();
        let status = self.outcome.status.clone();
        metrics::counter!(telemetry::TURNS, "tenant" => tenant.clone(), "decision" => decision, "status" => status).increment(1);
        metrics::histogram!(telemetry::FIRST_TOKEN, "tenant" => tenant.clone()).record(self.timings.first_token / 1000.0);
        metrics::histogram!(telemetry::TURN_SECONDS, "tenant" => tenant.clone()).record(self.timings.total / 1000.0);
        metrics::histogram!(telemetry::RETRIEVAL_SECONDS, "tenant" => tenant.clone()).record(self.timings.retrieval / 1000.0);
        for (direction, field) in [("in", "prompt_tokens"), ("out", "completion_tokens")] {
            let tokens = self.outcome.usage[field].as_u64().unwrap_or_default();
            let labels = [("tenant", tenant.clone()), ("model", model.clone()), ("direction", direction.to_owned())];
            metrics::counter!(telemetry::MODEL_TOKENS, &labels).increment(tokens);
        }
        if let Some(code) = self.outcome.error.as_ref().and_then(|error| error["code"].as_str()) {
            metrics::counter!(telemetry::MODEL_ERRORS, "model" => model, "code" => code.to_owned()).increment(1);
        }
    }

    fn done(&self, status: Status, finish_reason: &str, error: Option<ErrorReport>) -> Done {
        Done {
            status,
            finish_reason: finish_reason.to_owned(),
            usage: serde_json::from_value(self.outcome.usage.clone()).unwrap_or_else(|_| self.no_usage()),
            citations: serde_json::from_value(self.outcome.citations.clone()).unwrap_or_default(),
            suggestions: serde_json::from_value(self.outcome.suggestions.clone()).unwrap_or_default(),
            timings_ms: self.timings,
            error,
        }
    }

    fn no_usage(&self) -> UsageReport {
        UsageReport { currency: self.model.card().currency.clone(), ..Default::default() }
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
        self.sent.chars += text.chars().count();
        self.sent.text.push_str(text);
        self.so_far.told().answer.push_str(text);
        self.emit(EventKind::ResponseTextDelta { delta: text.to_owned(), offset });
    }

    fn emit(&self, kind: EventKind) {
        self.log.push_noting(Some(&self.turn.id), kind, |kind, seq| self.so_far.told().numbers.note(kind, seq));
    }

    fn elapsed(&self) -> f64 {
        ms(self.arrived)
    }
}

/// The answer while a model speaks.
struct Answering {
    split: ReasonSplitter,
    /// Holds reasoning that is shown back until it is known to be harmless.
    thoughts: HoldBack,
    /// The same for the answer itself.
    words: HoldBack,
    cite: CiteScanner,
    shown: bool,
    /// Everything the model said, for counting tokens.
    said: String,
}

impl Answering {
    fn new(sources: usize, shown: bool, [thoughts, words]: [HoldBack; 2]) -> Self {
        let most = u32::try_from(sources).unwrap_or_default();
        Self { split: ReasonSplitter::new(), thoughts, words, cite: CiteScanner::new(most), shown, said: String::new() }
    }

    fn text(&mut self, turning: &mut Turning, text: &str) {
        self.said.push_str(text);
        let pieces = self.split.push(text);
        self.pieces(turning, pieces);
    }

    fn reasoning(&mut self, turning: &mut Turning, text: &str) {
        self.said.push_str(text);
        self.show(turning, text);
    }

    fn end(&mut self, turning: &mut Turning) {
        let pieces = self.split.finish();
        self.pieces(turning, pieces);
        self.shown_out(turning);
        let text = self.words.finish();
        let rest = self.cite.push(&text) + &self.cite.finish();
        turning.say(&rest);
    }

    fn pieces(&mut self, turning: &mut Turning, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    self.shown_out(turning);
                    let harmless = self.words.push(&text);
                    let ready = self.cite.push(&harmless);
                    turning.say(&ready);
                }
                Piece::Reasoning(text) => self.show(turning, &text),
            }
        }
    }

    fn show(&mut self, turning: &Turning, text: &str) {
        if self.shown {
            let delta = self.thoughts.push(text);
            Self::think(turning, delta);
        }
    }

    /// No more reasoning for now: what was held back of it goes out before the answer.
    fn shown_out(&mut self, turning: &Turning) {
        let delta = self.thoughts.finish();
        Self::think(turning, delta);
    }

    fn think(turning: &Turning, delta: String) {
        if !delta.is_empty() {
            turning.emit(EventKind::ResponseReasoningDelta { delta });
        }
    }
}

/// A follow-up made to stand alone is our reading of it, so a row never answers it without a model.
fn grounded_when_rewritten(mut found: SearchOutcome, asked: &str) -> SearchOutcome {
    if found.decision == Decision::Direct && found.query != asked {
        found.decision = Decision::Grounded;
    }
    found
}

/// The language to speak: the question's own, else the one the page asked for.
fn language_of(request: &ChatRequest) -> Language {
    let letters = request.text.chars().any(char::is_alphabetic);
    match request.locale.as_deref() {
        Some(locale) if !letters => {
            if locale.starts_with("en") {
                Language::En
            } else {
                Language::Zh
            }
        }
        _ => Language::of(&request.text),
    }
}

/// The query before this question: as it was searched with, or the client's last user message.
fn earlier_query(earlier: &[Turn], history: Option<&[Message]>) -> Option<String> {
    if let Some(history) = history {
        return history.iter().rev().find(|message| message.role == Role::User).map(|message| message.content.clone());
    }
    let asked = earlier.iter().rev().find(|turn| turn.trace.get("intent").is_none())?;
    Some(if asked.query.is_empty() { asked.question.clone() } else { asked.query.clone() })
}

fn source(n: u32, hit: &Hit) -> Source {
    let draft = &hit.entry.draft;
    let quoted = if draft.answer.contains(&hit.passage) && !hit.passage.is_empty() { &hit.passage } else { &draft.answer };
    Source {
        n,
        entry_id: hit.entry.id.to_string(),
        title: if draft.question.is_empty() { quoted.chars().take(40).collect() } else { draft.question.clone() },
        snippet: quoted.chars().take(SNIPPET).collect(),
        url: draft.url.clone(),
        score: hit.score,
    }
}

/// What a stateless client's messages state.
fn told_by(history: &[Message]) -> Remembered {
    let mut known = Remembered::default();
    for message in history.iter().filter(|message| message.role == Role::User) {
        facts::merge(&mut known.facts, facts::stated(&message.content, 0));
    }
    known
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

fn status(stage: Stage, model: Option<String>) -> EventKind {
    EventKind::ResponseStatus { stage, detail: None, model }
}

fn report(error: &Error) -> ErrorReport {
    if error.kind() == crate::error::Kind::Internal {
        tracing::error!(code = error.code(), %error, causes = error.causes(), "a turn failed");
    }
    ErrorReport { code: error.code().to_owned(), message: error.message().to_owned(), retryable: error.retryable() }
}

fn model_report(error: &ModelError) -> ErrorReport {
    tracing::warn!(code = error.code(), %error, "the model did not answer");
    ErrorReport { code: error.code().to_owned(), message: words::model_failed(error), retryable: error.retryable() }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
