//! ChatEngine: the recipe of a turn, readable top to bottom. `answer` stores the question and returns
//! at once; the turn runs in a tracked task of its own, so that a closed tab does not lose the answer,
//! and tells what happens as events in the conversation's log.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::order::{Doors, Queue, take_place};
use super::replay::{Cursor, EventLog};
use super::resume::{LOOK_EVERY, SILENT_MS};
use super::retell::{ANSWER_EVENTS, accepted, tell_answer, tell_end};
use super::running::{AllRunning, Running, SoFar};
use super::turn::{Turning, is_web, panicked, stopped};
use super::{ChatRequest, Replaces};
use crate::cache::AnswerCache;
use crate::config::{AnswersConfig, ChatConfig};
use crate::error::{Error, Kind, Result};
use crate::ids::{ConversationId, OwnerId, TenantId, TurnId};
use crate::knowledge::{Knowledge, KnowledgeEntry};
use crate::ledger::Ledger;
use crate::memory::{Instead, Memory, NewTurn, Rating, Turn};
use crate::models::{Language, Model, Models};
use crate::prompts::Prompts;
use crate::safety::fold::is_invisible;
use crate::safety::{Checked, Safety};
use crate::telemetry::traces::Traces;
use crate::tenants::Caller;

/// Longest `client_msg_id`, in characters.
pub const CLIENT_MSG_ID_CHARS: usize = 128;
/// Longest name of a market, in characters.
const MARKET_CHARS: usize = 64;
/// Longest language tag, in characters (RFC 5646, section 4.4.1, suggests no less).
const LOCALE_CHARS: usize = 35;

/// What the engine is built from.
pub struct EngineParts {
    /// Where rows are found.
    pub knowledge: Knowledge,
    /// Where turns are kept.
    pub memory: Memory,
    /// Who can answer.
    pub models: Arc<Models>,
    /// What they cost.
    pub ledger: Ledger,
    /// How models are asked.
    pub prompts: Prompts,
    /// What may not come in or go out.
    pub safety: Safety,
    /// Answers already given.
    pub cache: AnswerCache,
    /// Who is told what turns went through.
    pub traces: Traces,
    /// Lengths and budgets.
    pub config: ChatConfig,
    /// Who allows answers without sources.
    pub answers: AnswersConfig,
    /// Sources an answer may be drawn from.
    pub sources: usize,
    /// The shop's time zone.
    pub zone: chrono_tz::Tz,
}

/// Answers questions, whatever wire they come over.
#[derive(Clone)]
pub struct ChatEngine(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) parts: EngineParts,
    live: Mutex<HashMap<(TenantId, ConversationId), Live>>,
    running: AllRunning,
    doors: Doors,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// A conversation with events in memory.
struct Live {
    log: Arc<EventLog>,
    /// Turns of one conversation are answered one after the other.
    queue: Queue,
    touched: Instant,
}

/// A stored question whose answer is on its way.
pub struct Accepted {
    /// The thread.
    pub conversation_id: ConversationId,
    /// The answer's id.
    pub response_id: TurnId,
    /// Whether the same `client_msg_id` had been accepted before.
    pub duplicate: bool,
    /// Reads the conversation's events from this turn's `message.accepted` on; the transport's part
    /// ends with the `response.done` of `response_id`.
    pub events: Cursor,
}

impl ChatEngine {
    /// Wires the engine.
    pub fn new(parts: EngineParts) -> Self {
        Self(Arc::new(Inner {
            parts,
            live: Mutex::default(),
            running: AllRunning::default(),
            doors: Doors::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }))
    }

    /// Stores the question and starts its turn; returns as soon as it is stored.
    ///
    /// # Errors
    /// `message_empty`, `message_has_nul`, `message_too_long`, `bad_client_msg_id`, `bad_market`, `bad_locale`,
    /// `model_not_found`, `conversation_not_found`, `client_msg_id_reused`,
    /// `response_not_found`, `response_replaced` or `response_running` for an edited message,
    /// `shutting_down`, or what the database says.
    pub async fn answer(&self, caller: &Caller, mut request: ChatRequest) -> Result<Accepted> {
        let arrived = Instant::now();
        self.check(&request)?;
        let model = self.0.parts.models.select(request.model.as_deref())?;
        // Before anything is stored: what is personal in a question is never kept.
        let mut checked = self.0.parts.safety.question(&caller.tenant, request.text.trim()).await;
        request.text.clone_from(&checked.text);
        // A market stands in the prompt like the question.
        if let Some(market) = &mut request.market {
            let named = self.0.parts.safety.question(&caller.tenant, market.trim()).await;
            checked.refused |= named.refused;
            checked.notes.merge(&named.notes);
            *market = named.text;
        }
        self.check(&request)?;
        if let Some(Replaces::Edited(named)) = &request.replaces {
            let old = self.0.parts.memory.meant(&caller.tenant, &caller.owner, named).await?;
            request.conversation_id.get_or_insert(old.conversation_id);
            request.replaces = Some(Replaces::Edited(old.id));
        }
        let new = NewTurn {
            owner: &caller.owner,
            conversation: request.conversation_id.as_ref(),
            channel: request.channel,
            client_msg_id: request.client_msg_id.as_deref(),
            question: request.text.trim(),
            model: &model.card().id,
            market: request.market.as_deref(),
            locale: request.locale.as_deref(),
            instead: request.replaces.as_ref().map(|replaces| match replaces {
                Replaces::Again(old) => Instead::Again(old),
                Replaces::Edited(old) => Instead::Edited(old),
            }),
        };
        let memory = &self.0.parts.memory;
        // Held until the turn has its place: turns are answered in the order in which they are stored.
        let _door = match &request.conversation_id {
            Some(conversation) => Some(self.0.doors.enter(&caller.tenant, conversation).await),
            None => None,
        };
        let recorded = match memory.record_question(&caller.tenant, &new).await {
            Err(error) if request.opens && error.code() == "conversation_not_found" => {
                let id = request.conversation_id.as_ref().ok_or(error)?;
                memory.open_named(&caller.tenant, &caller.owner, id, request.channel, request.text.trim()).await?;
                memory.record_question(&caller.tenant, &new).await?
            }
            recorded => recorded?,
        };
        if recorded.duplicate {
            return self.accepted_before(caller, recorded.turn).await;
        }
        Ok(self.start(caller, request, model, recorded.turn, arrived, checked))
    }

    /// Answers a question once more, by the same model or another; the new answer takes the old one's
    /// place in memory.
    ///
    /// # Errors
    /// `response_not_found` when it does not exist or is another's, `response_replaced`,
    /// `response_running`, and those of [`answer`](Self::answer).
    pub async fn regenerate(&self, caller: &Caller, response: &TurnId, model: Option<String>, channel: &'static str) -> Result<Accepted> {
        let old = self.0.parts.memory.turn(&caller.tenant, Some(&caller.owner), response).await?;
        let before = old.model.filter(|id| self.0.parts.models.select(Some(id)).is_ok());
        let request = ChatRequest {
            text: old.question,
            conversation_id: Some(old.conversation_id),
            model: model.or(before),
            market: old.market,
            locale: old.locale,
            replaces: Some(Replaces::Again(old.id)),
            channel,
            ..ChatRequest::default()
        };
        self.answer(caller, request).await
    }

    /// Keeps what somebody thinks of an answer, instead of what they said before; what is personal in their
    /// words is not kept.
    ///
    /// # Errors
    /// `response_not_found` when there is none, or it is another's.
    pub async fn rate(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        response: &TurnId,
        rating: Rating,
        reasons: &[String],
        comment: Option<&str>,
    ) -> Result<()> {
        let parts = &self.0.parts;
        let mut kept = Vec::with_capacity(reasons.len());
        for reason in reasons {
            kept.push(parts.safety.aside(tenant, reason).await.text);
        }
        let comment = match comment {
            Some(comment) => Some(parts.safety.aside(tenant, comment).await.text),
            None => None,
        };
        parts.memory.rate(tenant, owner, response, rating, &kept, comment.as_deref()).await
    }

    fn check(&self, request: &ChatRequest) -> Result<()> {
        if self.0.tasks.is_closed() {
            return Err(Error::unavailable("shutting_down", "The server is restarting. Send the message again in a moment."));
        }
        self.check_text(&request.text)?;
        let named = [
            ("bad_client_msg_id", "client_msg_id", &request.client_msg_id, 1, CLIENT_MSG_ID_CHARS),
            ("bad_market", "market", &request.market, 0, MARKET_CHARS),
            ("bad_locale", "locale", &request.locale, 0, LOCALE_CHARS),
        ];
        for (code, field, text, least, most) in named {
            let wrong = |text: &String| !(least..=most).contains(&text.chars().count()) || text.contains(char::is_control);
            if text.as_ref().is_some_and(wrong) {
                return Err(Error::invalid(
                    code,
                    format!("{field} must have {least} to {most} characters, without line breaks and control characters."),
                ));
            }
        }
        Ok(())
    }

    /// Whether a question can be read.
    pub(super) fn check_text(&self, text: &str) -> Result<()> {
        if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
            return Err(Error::invalid("message_empty", "The message has no text."));
        }
        // Postgres stores no U+0000, and nobody types it.
        if text.contains('\0') {
            return Err(Error::invalid("message_has_nul", "The message has a character that is no text (U+0000). Leave it out."));
        }
        let (chars, most) = (text.chars().count(), self.0.parts.config.message_chars);
        if chars > most {
            return Err(Error::invalid(
                "message_too_long",
                format!("The message has {chars} characters; at most {most} are read. Shorten it and send it again."),
            ));
        }
        Ok(())
    }

    fn start(&self, caller: &Caller, request: ChatRequest, model: Arc<Model>, turn: Turn, arrived: Instant, checked: Checked) -> Accepted {
        let (log, queue) = self.live(&caller.tenant, &turn.conversation_id);
        let seq = log.accept(&turn.id, turn.ordinal, accepted(&turn, false));
        let events = log.after(seq - 1);
        let cancel = self.0.closing.child_token();
        let so_far = Arc::new(SoFar::default());
        let running = Running {
            tenant: caller.tenant.clone(),
            owner: caller.owner.clone(),
            conversation: turn.conversation_id.clone(),
            cancel: cancel.clone(),
            so_far: Arc::clone(&so_far),
        };
        self.0.running.locked().insert(turn.id.clone(), running);
        let (conversation_id, response_id) = (turn.conversation_id.clone(), turn.id.clone());
        let turning = Turning::new(self.clone(), caller.tenant.clone(), request, model, turn, Arc::clone(&log), cancel, so_far, arrived);
        let (engine, tenant, id) = (self.clone(), caller.tenant.clone(), response_id.clone());
        let place = take_place(queue);
        let turn = async move {
            let _turn = place.await;
            if AssertUnwindSafe(turning.checked(checked).run()).catch_unwind().await.is_err()
                && let Err(error) = engine.end_broken(&tenant, &id, &log).await
            {
                tracing::error!(code = error.code(), causes = error.causes(), turn = %id, "a broken turn could not be ended");
            }
        };
        // The request's name in the log goes along.
        self.0.tasks.spawn(turn.in_current_span());
        Accepted { conversation_id, response_id, duplicate: false, events }
    }

    /// Our own fault must not leave a turn without its end, nor what was said of it without a record.
    async fn end_broken(&self, tenant: &TenantId, id: &TurnId, log: &Arc<EventLog>) -> Result<()> {
        if let Some(said) = self.0.running.strike_off(id) {
            self.0.parts.memory.note_progress(&[said]).await?;
        }
        self.0.parts.memory.end_if_silent(tenant, id, 0, panicked).await?;
        let turn = self.0.parts.memory.turn(tenant, None, id).await?;
        if log.is_open(id) {
            tell_end(log, &turn);
        }
        Ok(())
    }

    /// The events of a message that was accepted before: the running turn's, or the stored one's.
    async fn accepted_before(&self, caller: &Caller, turn: Turn) -> Result<Accepted> {
        let live = self.live(&caller.tenant, &turn.conversation_id).0;
        let (conversation_id, response_id) = (turn.conversation_id.clone(), turn.id.clone());
        let is_running = self.0.running.locked().contains_key(&turn.id);
        let events = if is_running {
            live.of_turn(&turn.id).of_duplicate(turn.id.clone())
        } else {
            // Numbers must keep rising for a reader who has seen the turns since.
            let conversation = self.0.parts.memory.conversation(&caller.tenant, Some(&caller.owner), &turn.conversation_id).await?;
            live.rise_above(conversation.turns);
            self.told_again(caller, live, turn)
        };
        Ok(Accepted { conversation_id, response_id, duplicate: true, events })
    }

    /// A stored turn, told to one reader only; one that another process answers, when it has ended.
    fn told_again(&self, caller: &Caller, live: Arc<EventLog>, turn: Turn) -> Cursor {
        let first = live.reserve(1);
        let told = EventLog::starting_at(turn.conversation_id.clone(), first);
        let events = told.after(first - 1);
        told.accept(&turn.id, 0, accepted(&turn, true));
        let tell = move |turn: &Turn| {
            told.skip_to(live.reserve(ANSWER_EVENTS));
            tell_answer(&told, turn);
        };
        if turn.status != "running" {
            tell(&turn);
            return events;
        }
        let (engine, tenant) = (self.clone(), caller.tenant.clone());
        self.0.tasks.spawn(async move {
            // Who waits is told an end in any case: one that broke off when there is no turn any more.
            tell(&engine.ended(&tenant, &turn.id).await.unwrap_or(turn));
        });
        events
    }

    /// A turn of another process once it has ended, or once nobody is at work on it any more; none when it was
    /// deleted or this server stops. A database that is not well is asked again.
    async fn ended(&self, tenant: &TenantId, turn: &TurnId) -> Option<Turn> {
        let memory = &self.0.parts.memory;
        let look = || async {
            let found = memory.turn(tenant, None, turn).await?;
            if found.status == "running" {
                memory.end_if_silent(tenant, turn, SILENT_MS, stopped).await?;
            }
            Ok::<_, Error>(found)
        };
        let mut failing = false;
        loop {
            match look().await {
                Ok(found) if found.status != "running" => return Some(found),
                Ok(_) => failing = false,
                Err(error) if error.kind() == Kind::NotFound => return None,
                Err(error) => {
                    if !failing {
                        tracing::warn!(code = error.code(), causes = error.causes(), "a repeated message cannot be followed; trying on");
                    }
                    failing = true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.0.closing.cancelled() => return None,
            }
        }
    }

    /// Deletes a conversation for good; answers under way in it are stopped.
    ///
    /// # Errors
    /// `conversation_not_found` when it does not exist or is another's.
    pub async fn delete(&self, caller: &Caller, conversation: &ConversationId) -> Result<()> {
        let memory = &self.0.parts.memory;
        memory.conversation(&caller.tenant, caller.sees(), conversation).await?;
        for running in self.0.running.locked().values() {
            if running.tenant == caller.tenant && running.conversation == *conversation {
                running.cancel.cancel();
            }
        }
        memory.delete_conversation(&caller.tenant, caller.sees(), conversation).await?;
        let mut live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.remove(&(caller.tenant.clone(), conversation.clone()));
        Ok(())
    }

    /// A row as a reader may see it: what the guardrails take out of an answer that is drawn from it, they take out of it.
    pub async fn presentable(&self, tenant: &TenantId, mut entry: KnowledgeEntry) -> KnowledgeEntry {
        let safety = &self.0.parts.safety;
        let draft = &mut entry.draft;
        let given = [draft.answer.clone(), draft.url.clone().unwrap_or_default()];
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        draft.url = draft.url.take().filter(|url| is_web(url));
        for text in [&mut draft.question, &mut draft.answer].into_iter().chain(&mut draft.market).chain(&mut draft.category) {
            let readable = safety.source(tenant, text).await.text;
            *text = safety.shown(tenant, Language::of(&readable), &readable, &given).text;
        }
        entry
    }

    /// Notes down how far running answers are, so that another process can tell them and a crash
    /// loses little; until `stop`.
    pub async fn note_forever(&self, stop: &CancellationToken) {
        self.0.running.note_forever(&self.0.parts.memory, stop).await;
    }

    /// Stops a running answer of this caller.
    ///
    /// # Errors
    /// `response_not_found` when none of that id is running, or it is another's.
    pub fn cancel(&self, caller: &Caller, response: &TurnId) -> Result<()> {
        let running = self.0.running.locked();
        let own = running.get(response).filter(|turn| turn.tenant == caller.tenant && turn.owner == caller.owner);
        let Some(turn) = own else {
            return Err(Error::not_found("response_not_found", format!("No answer `{response}` is running.")));
        };
        turn.cancel.cancel();
        Ok(())
    }

    /// Stops accepting, gives running turns the configured time, then ends them as incomplete.
    pub async fn shutdown(&self) {
        self.0.tasks.close();
        let grace = Duration::from_millis(self.0.parts.config.drain_ms);
        if tokio::time::timeout(grace, self.0.tasks.wait()).await.is_err() {
            self.0.closing.cancel();
            self.0.tasks.wait().await;
        }
        self.0.closing.cancel();
    }

    /// Whether the server is stopping (then a cancelled turn was not cancelled by its owner).
    pub(super) fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    pub(super) fn finished(&self, turn: &TurnId) {
        self.0.running.locked().remove(turn);
    }

    /// Work after an answer that nobody waits for, but the shutdown.
    pub(super) fn afterwards(&self, work: impl Future<Output = ()> + Send + 'static) {
        let closing = self.0.closing.clone();
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = closing.cancelled() => {}
            }
        });
    }

    /// The conversation's log and queue; forgets conversations that have been quiet long enough.
    pub(super) fn live(&self, tenant: &TenantId, conversation: &ConversationId) -> (Arc<EventLog>, Queue) {
        let keep = Duration::from_millis(self.0.parts.config.replay_ms);
        let mut live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, one| Arc::strong_count(&one.queue) > 1 || one.touched.elapsed() < keep);
        let one = live.entry((tenant.clone(), conversation.clone())).or_insert_with(|| Live {
            log: EventLog::new(conversation.clone()),
            queue: Arc::default(),
            touched: Instant::now(),
        });
        one.touched = Instant::now();
        (Arc::clone(&one.log), Arc::clone(&one.queue))
    }
}

#[cfg(test)]
mod tests;
