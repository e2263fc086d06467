//! What happens to one message, whatever platform it came from: taken once, understood as a command or a
//! question, answered by the engine, delivered once. What a crash or the platform left undone is `tend.rs`'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use super::cards::{Ended, Live, Notes};
use super::commands::{self, Command};
use super::post::Answer;
use super::store::{BotStore, Thread};
use super::tend::settled;
use super::{Channel, Content, Duty, Inbound, Mention, Post, Pulse, words};
use crate::chat::{Accepted, ChatEngine, ChatRequest, EventKind};
use crate::config::{AiMark, BotMemory};
use crate::error::{Error, Result};
use crate::ids::{KeyId, OwnerId, TenantId, Timestamp, random_token};
use crate::memory::Memory;
use crate::models::{Language, Models};
use crate::tenants::{Caller, Role};

/// Messages a bot answers at the same time. Others wait, up to so many with those that are being answered; beyond
/// that a platform has to deliver them again.
const MOST_AT_ONCE: usize = 200;
const MOST_WAITING: i64 = 5_000;
/// Answers in a row that the base did not have, after which a person is called.
const MISSES: i64 = 2;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It will be answered.
    Now,
    /// It had been taken before.
    Before,
}

/// Where the first try of an answer goes when somebody still waits for it.
pub type Early = oneshot::Sender<Post>;

/// What a desk is built from.
pub struct DeskParts {
    /// `platform/name`.
    pub bot: String,
    /// The shop it speaks for.
    pub tenant: TenantId,
    /// Whose memory a group has.
    pub memory: BotMemory,
    /// Who looks after what it cannot answer.
    pub duty: Duty,
    /// The platform.
    pub channel: Arc<dyn Channel>,
    /// Its rows.
    pub store: BotStore,
    /// Who answers.
    pub engine: ChatEngine,
    /// The models to choose from.
    pub models: Arc<Models>,
    /// What was said before.
    pub turns: Memory,
    /// Under every answer.
    pub mark: AiMark,
    /// How it is doing.
    pub pulse: Arc<Pulse>,
}

/// One bot's desk.
pub struct Desk {
    pub(super) parts: DeskParts,
    pub(super) tasks: TaskTracker,
    pub(super) seats: Arc<Semaphore>,
    /// Whether messages wait for a seat, and that one has become free.
    pub(super) crowded: AtomicBool,
    pub(super) freed: Notify,
    /// What nobody touched since is not this server's.
    pub(super) started: Timestamp,
}

/// One message on the desk.
pub(super) struct Case<'a> {
    pub(super) inbound: &'a Inbound,
    pub(super) owner: OwnerId,
    /// Where the talk goes on: the owner's own row, or one of a thread's.
    pub(super) talk: OwnerId,
    pub(super) language: Language,
    /// Which try it is.
    attempt: i64,
    /// The card of an earlier try.
    card: Option<String>,
    early: Option<Early>,
}

impl Desk {
    /// Sets it up.
    pub fn new(parts: DeskParts) -> Arc<Self> {
        let started = parts.store.now();
        let seats = Arc::new(Semaphore::new(MOST_AT_ONCE));
        Arc::new(Self { parts, tasks: TaskTracker::new(), seats, crowded: AtomicBool::new(false), freed: Notify::new(), started })
    }

    /// Takes a message; returns as soon as it is stored. The answer goes to `early` when it is one
    /// message and somebody still listens there, else to the chat.
    ///
    /// # Errors
    /// `bot_busy`, `shutting_down`, or what the database says: the platform has to deliver it again.
    pub async fn take(self: &Arc<Self>, inbound: Inbound, early: Option<Early>) -> Result<Taken> {
        if self.tasks.is_closed() {
            return Err(Error::unavailable("shutting_down", "The server is restarting. Deliver the message again in a moment."));
        }
        let desk = Arc::clone(self);
        // A task of its own: a platform that hangs up while the message is being stored would take its answer along.
        let taking = self.tasks.spawn(async move {
            let store = &desk.parts.store;
            let seat = Arc::clone(&desk.seats).try_acquire_owned().ok();
            if seat.is_none() && store.unanswered().await? >= MOST_WAITING {
                let sentence = "This bot has as many questions as it can answer. Deliver the message again later.";
                return Err(Error::unavailable("bot_busy", sentence));
            }
            if !store.take(&inbound, seat.is_some()).await? {
                return Ok(Taken::Before);
            }
            let Some(seat) = seat else {
                desk.crowded.store(true, Ordering::Release);
                return Ok(Taken::Now);
            };
            let answering = Arc::clone(&desk);
            desk.tasks.spawn(async move {
                answering.see_to(&inbound, 1, early).await;
                answering.leave(seat);
            });
            Ok(Taken::Now)
        });
        taking.await?
    }

    /// Makes room for who waits.
    pub(super) fn leave(&self, seat: OwnedSemaphorePermit) {
        drop(seat);
        if self.crowded.load(Ordering::Acquire) {
            self.freed.notify_one();
        }
    }

    /// How it is doing.
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.parts.pulse
    }

    fn notes(&self) -> Notes<'_> {
        Notes { store: &self.parts.store, pulse: &self.parts.pulse }
    }

    /// Takes nothing more.
    pub fn close(&self) {
        self.tasks.close();
    }

    /// Waits until everything taken is answered.
    pub async fn drained(&self) {
        self.tasks.wait().await;
    }

    /// Answers a message that is ours, and notes how that came out.
    pub(super) async fn see_to(&self, inbound: &Inbound, attempt: i64, early: Option<Early>) {
        let said = match &inbound.content {
            Content::Text(text) => text.as_str(),
            Content::Unreadable(_) => "",
        };
        let answering = async {
            let card = if attempt > 1 { self.parts.store.card_of(&inbound.message_id).await? } else { None };
            let (owner, talk) = (self.owner(inbound), self.owner_in(inbound, &inbound.conversation));
            let case = Case { inbound, owner, talk, language: Language::of(said), attempt, card, early };
            self.attend(case, said).await
        };
        let outcome = self.while_ours(&inbound.message_id, attempt, answering).await;
        self.settle(&inbound.message_id, inbound, attempt, outcome).await;
    }

    async fn attend(&self, case: Case<'_>, said: &str) -> Result<()> {
        if let Content::Unreadable(kind) = &case.inbound.content {
            return self.say(case, words::unreadable(kind)).await;
        }
        if said.trim().is_empty() {
            let text = words::empty(case.language);
            return self.say(case, text).await;
        }
        if let Some(reply) = self.reply_without_command(case.inbound, said).await? {
            return self.pass_on(case, &reply).await;
        }
        match commands::read(said) {
            Some(command) => self.obey(case, command, said).await,
            None => self.ask(case, said).await,
        }
    }

    async fn obey(&self, mut case: Case<'_>, command: Command, said: &str) -> Result<()> {
        case.language = match &command {
            Command::Human(more) if !more.is_empty() => Language::of(more),
            Command::Answer(reply) if !reply.is_empty() => Language::of(said),
            _ => self.language_of_command(&case, said).await?,
        };
        let language = case.language;
        let text = match command {
            Command::Help => words::help(language).to_owned(),
            Command::New => {
                self.go_on_with(&case, None).await?;
                words::fresh(language).to_owned()
            }
            Command::Human(_) => self.call_a_human(&case, said).await?.to_owned(),
            Command::Answer(reply) => return self.pass_on(case, &reply).await,
            Command::Model(id) => self.model(&case, id.as_deref()).await?,
        };
        self.say(case, text).await
    }

    async fn model(&self, case: &Case<'_>, id: Option<&str>) -> Result<String> {
        let (models, language) = (&self.parts.models, case.language);
        let known: Vec<String> = models.cards().into_iter().map(|card| card.id).collect();
        match id {
            Some(id) if known.iter().any(|known| known == id) => {
                self.parts.store.choose_model(&case.owner, Some(id)).await?;
                Ok(words::model_set(language, id))
            }
            _ => {
                let chosen = self.parts.store.thread(&case.owner).await?.model;
                let current = chosen.as_deref().unwrap_or(models.default_id());
                let complaint = id.map(|id| words::model_unknown(language, id)).unwrap_or_default();
                Ok(complaint + &words::models(language, current, &known))
            }
        }
    }

    async fn ask(&self, mut case: Case<'_>, question: &str) -> Result<()> {
        let mut live = match self.parts.channel.cards() {
            Some(cards) => Live::open(cards, self.notes(), case.inbound, case.attempt, case.card.take()).await?,
            None => None,
        };
        let (mut text, whole) = match self.answer(&case, question, live.as_mut()).await {
            Ok(answer) if answer.was_interrupted() => return Err(interrupted()),
            Ok(answer) => {
                let note = self.after(&case, &answer, question).await?;
                (answer.markdown(case.language, &self.parts.mark) + &note, answer.is_whole())
            }
            Err(error) if error.code() == "shutting_down" => return Err(interrupted()),
            Err(error) => (self.apology(&case, &error), false),
        };
        let Some(live) = live else { return self.say(case, text).await };
        match live.end(&text, whole).await? {
            Ended::Shown(rest) if rest.is_empty() => return Ok(()),
            Ended::Shown(rest) => text = rest.join("\n\n"),
            Ended::Refused => {}
        }
        self.say(case, text).await
    }

    fn apology(&self, case: &Case<'_>, error: &Error) -> String {
        match error.code() {
            "message_too_long" => words::too_long(case.language).to_owned(),
            code => {
                tracing::error!(bot = self.parts.bot, code, causes = error.causes(), "a question was not answered: {error}");
                words::failed(case.language).to_owned()
            }
        }
    }

    /// Counts what the base did not have; the second time in a row calls a person and says so.
    async fn after(&self, case: &Case<'_>, answer: &Answer, question: &str) -> Result<String> {
        let (store, message) = (&self.parts.store, &case.inbound.message_id);
        let misses = store.count(&case.owner, message, answer.is_miss(), case.language).await?;
        if !answer.is_miss() || !self.has_duty() {
            return Ok(String::new());
        }
        // An earlier try of this message may have called and counted from the beginning.
        let due = misses >= MISSES || store.called_for(message).await?.is_some();
        if !due || self.call_a_human(case, question).await? != words::called(case.language) {
            return Ok(String::new());
        }
        store.forget_misses(&case.owner).await?;
        Ok(format!("\n\n{}", words::called_after_misses(case.language)))
    }

    /// Has the engine answer. A message that a stop broke off is asked once more.
    async fn answer(&self, case: &Case<'_>, question: &str, mut live: Option<&mut Live<'_>>) -> Result<Answer> {
        let id = message_key(&case.inbound.message_id);
        let accepted = self.accept(case, question, id.clone()).await?;
        let duplicate = accepted.duplicate;
        self.note_card(case, &accepted, live.as_deref()).await?;
        let answer = follow(accepted, live.as_deref_mut()).await?;
        if !(duplicate && answer.was_interrupted()) {
            return Ok(answer);
        }
        let again = self.accept(case, question, random_token(&format!("{id}."), 8)).await?;
        self.note_card(case, &again, live.as_deref()).await?;
        follow(again, live).await
    }

    /// Remembers whose answer a card shows, for its buttons.
    async fn note_card(&self, case: &Case<'_>, accepted: &Accepted, live: Option<&Live<'_>>) -> Result<()> {
        let Some(live) = live else { return Ok(()) };
        let shared = case.inbound.group && self.parts.memory == BotMemory::Group;
        let rater = case.inbound.asker.staff_id.as_deref().filter(|_| !shared);
        self.parts.store.card_answers(live.id(), &case.owner, &accepted.response_id, rater).await
    }

    async fn accept(&self, case: &Case<'_>, question: &str, client_msg_id: String) -> Result<Accepted> {
        let caller = self.caller(&case.owner);
        let mut thread = self.parts.store.thread(&case.talk).await?;
        if case.talk != case.owner {
            thread.model = self.parts.store.thread(&case.owner).await?.model;
        }
        let request = |thread: Thread| ChatRequest {
            text: question.to_owned(),
            client_msg_id: Some(client_msg_id.clone()),
            conversation_id: thread.conversation_id,
            model: thread.model,
            channel: self.parts.channel.platform(),
            ..ChatRequest::default()
        };
        let accepted = match self.parts.engine.answer(&caller, request(thread.clone())).await {
            // The model or the conversation is no more: go on without.
            Err(error) if error.code() == "model_not_found" => {
                self.parts.store.choose_model(&case.owner, None).await?;
                self.parts.engine.answer(&caller, request(Thread { model: None, ..thread.clone() })).await
            }
            Err(error) if error.code() == "conversation_not_found" => {
                self.parts.engine.answer(&caller, request(Thread { conversation_id: None, ..thread.clone() })).await
            }
            outcome => outcome,
        }?;
        if thread.conversation_id.as_ref() != Some(&accepted.conversation_id) {
            self.go_on_with(case, Some(&accepted.conversation_id)).await?;
        }
        Ok(accepted)
    }

    /// Says something where the message came from, once.
    pub(super) async fn say(&self, case: Case<'_>, text: impl Into<String>) -> Result<()> {
        let Case { inbound, language, attempt, early, .. } = case;
        let mention = inbound.asker.staff_id.clone().filter(|_| inbound.group).map(|id| Mention { id });
        let pieces = Post { mention, ..Post::new(language, text) }.pieces(self.parts.channel.limit());
        // From here on it may be out: a crash must not say it twice.
        if !self.parts.store.sending(&inbound.message_id, attempt).await? {
            return Err(settled());
        }
        let pieces = match (early, pieces.as_slice()) {
            (Some(early), [_]) => match early.send(pieces.into_iter().next().unwrap_or_else(|| Post::new(language, ""))) {
                Ok(()) => return Ok(()),
                Err(unheard) => vec![unheard],
            },
            _ => pieces,
        };
        self.deliver(&inbound.message_id, inbound, attempt, &pieces).await
    }

    fn caller(&self, owner: &OwnerId) -> Caller {
        let key = KeyId::from_text(&self.parts.bot);
        Caller { tenant: self.parts.tenant.clone(), role: Role::Member, key, owner: owner.clone() }
    }
}

/// Reads an answer to its end and shows it in the card as it comes.
async fn follow(accepted: Accepted, mut live: Option<&mut Live<'_>>) -> Result<Answer> {
    let Accepted { response_id, mut events, .. } = accepted;
    let (mut answer, mut fresh) = (Answer::default(), false);
    loop {
        let due = live.as_ref().filter(|_| fresh).map(|live| live.due());
        let batch = tokio::select! {
            batch = events.next() => batch,
            () = at(due) => {
                if let Some(live) = live.as_deref_mut() {
                    live.show(&answer.text).await;
                }
                fresh = false;
                continue;
            }
        };
        let batch = batch.map_err(|_| Error::internal("events_lost", "The events of an answer were lost."))?;
        for event in batch.into_iter().filter(|event| event.response_id.as_ref() == Some(&response_id)) {
            fresh |= matches!(event.kind, EventKind::ResponseTextDelta { .. });
            answer.hear(event);
            if answer.done.is_some() {
                return Ok(answer);
            }
        }
    }
}

fn interrupted() -> Error {
    Error::unavailable("answer_interrupted", "The server stopped; the next start or another node answers.")
}

async fn at(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The platform's id in a form every length of which fits `client_msg_id`.
fn message_key(message: &str) -> String {
    format!("m_{}", digest(&[message]))
}

/// A name for these texts together.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
