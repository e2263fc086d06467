//! What a desk does on its own: goes on with messages whose node is gone, says again what the platform did not take,
//! ends the cards that hang, and forgets what is old. A message is answered, or given up once and loudly.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::cards::sweep;
use super::desk::Desk;
use super::left_store::{BEAT, Left};
use super::{Inbound, Post, words};
use crate::error::{Error, Kind, Result};
use crate::models::Language;

/// How often is looked for what is left.
const LOOK: Duration = Duration::from_secs(10);
/// How often what is old is forgotten.
const FORGET: Duration = Duration::from_secs(60 * 60);
/// Messages taken over at a time.
const AT_ONCE: usize = 20;
/// How often an answer is tried, and the wait before the second try; each further one is three times as long.
const TRIES: i64 = 6;
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// A message that was begun this often and never ended may be what stops the server.
const MOST_BEGUN: i64 = 10;

impl Desk {
    /// Looks after what is left, for ever.
    pub async fn tend(self: &Arc<Self>) {
        let mut forgot: Option<Instant> = None;
        loop {
            self.tell(self.go_on().await);
            self.tell(self.sweep().await);
            if forgot.is_none_or(|at| at.elapsed() >= FORGET) {
                self.tell(self.parts.store.forget_old().await);
                forgot = Some(Instant::now());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn tell(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            tracing::error!(bot = self.parts.bot, code = error.code(), causes = error.causes(), "{error}");
        }
    }

    async fn go_on(self: &Arc<Self>) -> Result<()> {
        if self.tasks.is_closed() {
            return Ok(());
        }
        let (store, bot) = (&self.parts.store, &self.parts.bot);
        for message in store.broken_off(self.started).await? {
            tracing::error!(bot, message, "the server stopped while an answer was being sent: it may not have arrived");
        }
        let free = self.seats.available_permits().min(AT_ONCE);
        let left = store.take_over(self.started, i64::try_from(free).unwrap_or_default()).await?;
        if !left.is_empty() {
            tracing::info!(bot, messages = left.len(), "messages that were left are gone on with");
        }
        // No pause between here and the tasks: who is taken over is answered.
        for left in left {
            let (desk, seat) = (Arc::clone(self), Arc::clone(&self.seats).try_acquire_owned().ok());
            self.tasks.spawn(async move {
                desk.take_over(left).await;
                drop(seat);
            });
        }
        Ok(())
    }

    async fn take_over(&self, left: Left) {
        let inbound: Inbound = match serde_json::from_str(&left.payload) {
            Ok(inbound) => inbound,
            Err(error) => return self.tell(self.give_up(&left.message_id, left.attempt, Language::Zh, &error.into()).await),
        };
        match left.answer {
            Some(answer) => {
                let _beating = self.beating(&inbound.message_id, left.attempt);
                let outcome = async { self.deliver(&inbound, left.attempt, &serde_json::from_str::<Vec<Post>>(&answer)?).await };
                self.settle(&inbound, left.attempt, outcome.await).await;
            }
            None if left.attempt > MOST_BEGUN => {
                let endless = Error::internal("answer_never_ended", "The message was begun too often without ever being answered.");
                self.tell(self.give_up(&inbound.message_id, left.attempt, Language::Zh, &endless).await);
            }
            None => self.see_to(&inbound, left.attempt, None).await,
        }
    }

    /// Notes whether a callback was let in; a refusal is logged with the bot's name.
    ///
    /// # Errors
    /// The refusal.
    pub fn heard<T>(&self, outcome: Result<T>) -> Result<T> {
        self.parts.pulse.callback(self.told(outcome))
    }

    /// Logs that a message was refused, with the bot's name.
    ///
    /// # Errors
    /// The refusal.
    pub fn told<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| {
            if self.parts.pulse.is_news(error) {
                tracing::warn!(bot = self.parts.bot, code = error.code(), causes = error.causes(), "a callback was refused: {error}");
            }
        })
    }

    /// Says that a message is being worked on for as long as what is returned is held.
    pub(super) fn beating(&self, message: &str, attempt: i64) -> AbortOnDropHandle<()> {
        let (store, message) = (self.parts.store.clone(), message.to_owned());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                if let Err(error) = store.beat(&message, attempt).await {
                    tracing::warn!(message, code = error.code(), causes = error.causes(), "{error}");
                }
            }
        }))
    }

    /// Sends an answer. What certainly did not arrive is kept for later; what may have is not said twice.
    pub(super) async fn deliver(&self, inbound: &Inbound, attempt: i64, pieces: &[Post]) -> Result<()> {
        let (parts, message) = (&self.parts, &inbound.message_id);
        for (at, piece) in pieces.iter().enumerate() {
            let Err(error) = parts.pulse.called(parts.channel.send(inbound, piece).await) else { continue };
            if attempt < TRIES && matches!(error.kind(), Kind::Unavailable | Kind::RateLimited) {
                tracing::warn!(bot = parts.bot, message, code = error.code(), causes = error.causes(), "an answer waits: {error}");
                let rest = serde_json::to_string(pieces.get(at..).unwrap_or_default())?;
                parts.store.say_later(message, attempt, &rest, wait(attempt)).await?;
            } else {
                self.give_up(message, attempt, language_of(inbound), &error).await?;
            }
            return Err(settled());
        }
        Ok(())
    }

    /// Notes how a message came out.
    pub(super) async fn settle(&self, inbound: &Inbound, attempt: i64, outcome: Result<()>) {
        let (store, message) = (&self.parts.store, &inbound.message_id);
        let noted = match outcome {
            Ok(()) => store.ends(message, attempt, "done").await.map(drop),
            // The next start or another node goes on with it at once.
            Err(error) if error.code() == "answer_interrupted" => store.let_go(message, attempt, Duration::ZERO).await.map(drop),
            Err(error) if error.code() == "answer_settled" => Ok(()),
            Err(error) if attempt < TRIES => {
                let bot = &self.parts.bot;
                tracing::warn!(bot, message, code = error.code(), causes = error.causes(), "a message is begun again later: {error}");
                store.let_go(message, attempt, wait(attempt)).await.map(drop)
            }
            Err(error) => self.give_up(message, attempt, language_of(inbound), &error).await,
        };
        self.tell(noted);
    }

    /// For good; once. A card that was opened for it says so.
    async fn give_up(&self, message: &str, attempt: i64, language: Language, error: &Error) -> Result<()> {
        let (store, bot) = (&self.parts.store, &self.parts.bot);
        if !store.ends(message, attempt, "failed").await? {
            return Ok(());
        }
        tracing::error!(bot, message, attempt, code = error.code(), causes = error.causes(), "a message is given up: {error}");
        match store.card_of(message).await? {
            Some(card) => store.card_hangs(&card, words::failed(language)).await,
            None => Ok(()),
        }
    }

    /// Ends the cards that the platform would not end in their time.
    async fn sweep(&self) -> Result<()> {
        match self.parts.channel.cards() {
            Some(cards) => sweep(cards, &self.parts.store).await,
            None => Ok(()),
        }
    }
}

/// What became of the message is noted already, or it is somebody else's.
pub(super) fn settled() -> Error {
    Error::unavailable("answer_settled", "What became of the message is noted already.")
}

fn wait(attempt: i64) -> Duration {
    FIRST_WAIT * 3_u32.pow(u32::try_from(attempt.clamp(1, TRIES) - 1).unwrap_or_default())
}

fn language_of(inbound: &Inbound) -> Language {
    match &inbound.content {
        super::Content::Text(text) => Language::of(text),
        super::Content::Unreadable(_) => Language::Zh,
    }
}
