//! ChatEngine: the recipe of a turn, readable top to bottom. `answer` stores the question and returns
//! at once; the turn runs in a tracked task of its own, so that a closed tab does not lose the answer,
//! and tells what happens as events in the conversation's log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::replay::{Cursor, EventLog, SEQ_PER_TURN};
use super::turn::Turning;
use super::{ChatRequest, Citation, Done, EventKind, Source, Status, Timings, UsageReport};
use crate::cache::AnswerCache;
use crate::config::ChatConfig;
use crate::error::{Error, Result};
use crate::ids::{ConversationId, OwnerId, TenantId, TurnId};
use crate::knowledge::{Decision, Knowledge};
use crate::memory::{Memory, NewTurn, Turn};
use crate::models::{Model, Models};
use crate::prompts::Prompts;
use crate::safety::{Checked, Safety};
use crate::tenants::Caller;

/// Longest `client_msg_id`, in characters.
pub const CLIENT_MSG_ID_CHARS: usize = 128;

/// Events that tell a stored turn again.
const STORED_EVENTS: u64 = 5;

/// What the engine is built from.
pub struct EngineParts {
    /// Where rows are found.
    pub knowledge: Knowledge,
    /// Where turns are kept.
    pub memory: Memory,
    /// Who can answer.
    pub models: Arc<Models>,
    /// How models are asked.
    pub prompts: Arc<Prompts>,
    /// What may not come in or go out.
    pub safety: Safety,
    /// Answers already given.
    pub cache: AnswerCache,
    /// Lengths and budgets.
    pub config: ChatConfig,
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
    running: Mutex<HashMap<TurnId, Running>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// A conversation with events in memory.
struct Live {
    log: Arc<EventLog>,
    /// Turns of one conversation are answered one after the other.
    queue: Arc<tokio::sync::Mutex<()>>,
    touched: Instant,
}

struct Running {
    tenant: TenantId,
    owner: OwnerId,
    cancel: CancellationToken,
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
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }))
    }

    /// Stores the question and starts its turn; returns as soon as it is stored.
    ///
    /// # Errors
    /// `message_empty`, `message_too_long`, `model_not_found`, `conversation_not_found`,
    /// `shutting_down`, or what the database says.
    pub async fn answer(&self, caller: &Caller, mut request: ChatRequest) -> Result<Accepted> {
        let arrived = Instant::now();
        self.check(&request)?;
        let model = self.0.parts.models.select(request.model.as_deref())?;
        // Before anything is stored: what is personal in a question is never kept.
        let checked = self.0.parts.safety.question(&caller.tenant, request.text.trim()).await;
        request.text.clone_from(&checked.text);
        self.check(&request)?;
        let new = NewTurn {
            owner: &caller.owner,
            conversation: request.conversation_id.as_ref(),
            channel: request.channel,
            client_msg_id: request.client_msg_id.as_deref(),
            question: request.text.trim(),
            model: &model.card().id,
        };
        let recorded = self.0.parts.memory.record_question(&caller.tenant, &new).await?;
        if recorded.duplicate {
            return self.accepted_before(caller, recorded.turn).await;
        }
        Ok(self.start(caller, request, model, recorded.turn, arrived, checked))
    }

    fn check(&self, request: &ChatRequest) -> Result<()> {
        if self.0.tasks.is_closed() {
            return Err(Error::unavailable("shutting_down", "The server is restarting. Send the message again in a moment."));
        }
        if request.text.trim().is_empty() {
            return Err(Error::invalid("message_empty", "The message has no text."));
        }
        let (chars, most) = (request.text.chars().count(), self.0.parts.config.message_chars);
        if chars > most {
            return Err(Error::invalid(
                "message_too_long",
                format!("The message has {chars} characters; at most {most} are read. Shorten it and send it again."),
            ));
        }
        if request.client_msg_id.as_ref().is_some_and(|id| id.is_empty() || id.chars().count() > CLIENT_MSG_ID_CHARS) {
            return Err(Error::invalid("bad_client_msg_id", format!("client_msg_id must have 1 to {CLIENT_MSG_ID_CHARS} characters.")));
        }
        Ok(())
    }

    fn start(&self, caller: &Caller, request: ChatRequest, model: Arc<Model>, turn: Turn, arrived: Instant, checked: Checked) -> Accepted {
        let ordinal = u64::try_from(turn.ordinal).unwrap_or_default();
        let (log, queue) = self.live(&caller.tenant, &turn.conversation_id);
        log.open_turn(ordinal);
        let accepted = log.push(Some(&turn.id), EventKind::MessageAccepted { message_id: message_id(&turn.id), duplicate: false });
        let events = log.after(accepted - 1);
        let cancel = self.0.closing.child_token();
        let running = Running { tenant: caller.tenant.clone(), owner: caller.owner.clone(), cancel: cancel.clone() };
        self.running().insert(turn.id.clone(), running);
        let (conversation_id, response_id) = (turn.conversation_id.clone(), turn.id.clone());
        let turning = Turning::new(self.clone(), caller.tenant.clone(), request, model, turn, log, cancel, arrived).checked(checked);
        let turn = async move {
            let _turn = queue.lock_owned().await;
            turning.run().await;
        };
        // The request's name in the log goes along.
        self.0.tasks.spawn(turn.in_current_span());
        Accepted { conversation_id, response_id, duplicate: false, events }
    }

    /// The events of a message that was accepted before: the running turn's, or the stored one's.
    async fn accepted_before(&self, caller: &Caller, turn: Turn) -> Result<Accepted> {
        let live = self.live(&caller.tenant, &turn.conversation_id).0;
        let is_running = self.running().contains_key(&turn.id);
        let events = if is_running {
            live.after(u64::try_from(turn.ordinal).unwrap_or_default() * SEQ_PER_TURN)
        } else {
            // Numbers must keep rising for a reader who has seen the turns since.
            let conversation = self.0.parts.memory.conversation(&caller.tenant, Some(&caller.owner), &turn.conversation_id).await?;
            live.open_turn(u64::try_from(conversation.turns).unwrap_or_default());
            let first = live.reserve(STORED_EVENTS);
            stored_events(&turn, first).after(first - 1)
        };
        let events = events.of_duplicate(turn.id.clone());
        Ok(Accepted { conversation_id: turn.conversation_id, response_id: turn.id, duplicate: true, events })
    }

    /// Stops a running answer of this caller.
    ///
    /// # Errors
    /// `response_not_found` when none of that id is running, or it is another's.
    pub fn cancel(&self, caller: &Caller, response: &TurnId) -> Result<()> {
        let running = self.running();
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
        self.running().remove(turn);
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<TurnId, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conversation's log and queue; forgets conversations that have been quiet long enough.
    fn live(&self, tenant: &TenantId, conversation: &ConversationId) -> (Arc<EventLog>, Arc<tokio::sync::Mutex<()>>) {
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

/// The id of a turn's question.
pub(super) fn message_id(turn: &TurnId) -> String {
    format!("m_{}", turn.as_str().trim_start_matches("r_"))
}

/// A finished turn as events, for whoever asks the same again.
fn stored_events(turn: &Turn, first: u64) -> Arc<EventLog> {
    let log = EventLog::starting_at(turn.conversation_id.clone(), first);
    let id = Some(&turn.id);
    let model = turn.model.clone().unwrap_or_default();
    log.push(id, EventKind::MessageAccepted { message_id: message_id(&turn.id), duplicate: true });
    log.push(id, EventKind::ResponseCreated { message_id: message_id(&turn.id), model });
    let sources: Vec<Source> = serde_json::from_value(turn.sources.clone()).unwrap_or_default();
    let decision = match turn.decision.as_deref() {
        Some("direct") => Decision::Direct,
        Some("grounded") => Decision::Grounded,
        _ => Decision::None,
    };
    log.push(id, EventKind::ResponseSources { decision, sources });
    log.push(id, EventKind::ResponseTextDone { text: turn.answer.clone() });
    log.push(id, EventKind::ResponseDone(Box::new(stored_done(turn))));
    log
}

fn stored_done(turn: &Turn) -> Done {
    let status = match turn.status.as_str() {
        "completed" => Status::Completed,
        "cancelled" => Status::Cancelled,
        "failed" => Status::Failed,
        _ => Status::Incomplete,
    };
    let citations: Vec<Citation> = serde_json::from_value(turn.citations.clone()).unwrap_or_default();
    let usage: UsageReport = serde_json::from_value(turn.usage.clone()).unwrap_or_default();
    let timings_ms: Timings = serde_json::from_value(turn.timings.clone()).unwrap_or_default();
    Done {
        status,
        finish_reason: turn.finish_reason.clone().unwrap_or_else(|| "interrupted".to_owned()),
        usage,
        citations,
        suggestions: serde_json::from_value(turn.suggestions.clone()).unwrap_or_default(),
        timings_ms,
        error: turn.error.clone().and_then(|error| serde_json::from_value(error).ok()),
    }
}
