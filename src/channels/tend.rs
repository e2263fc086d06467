//! What a desk does on its own: goes on with messages whose node is gone, says again what the platform did not take,
//! ends the cards that hang, and forgets what is old. A message is answered, or given up once and loudly.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

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
/// How often an answer is tried, and the wait before the second try; each further one is three times as long, up to
/// the longest: an outage of three quarters of an hour is survived.
const TRIES: i64 = 10;
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);
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
            let look = tokio::time::sleep(LOOK);
            tokio::pin!(look);
            loop {
                tokio::select! {
                    () = &mut look => break,
                    () = self.freed.notified() => self.tell(self.go_on().await),
                }
            }
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
        for message in store.rest_of_broken_off(self.started).await? {
            tracing::warn!(
                bot,
                message_id = message,
                "the server stopped while an answer was being sent: one piece may not have arrived, the rest is said"
            );
        }
        for message in store.broken_off(self.started).await? {
            let error = Error::timeout("answer_broken_off", "The server stopped while an answer was being sent; it may not have arrived.");
            self.parts.pulse.lost(&error);
            tracing::error!(bot, message_id = message, code = error.code(), "{error}");
        }
        // Whoever can say the answers takes them; a try that cannot succeed would be one less.
        if !self.parts.channel.can_send() {
            return Ok(());
        }
        // Beside the answers that wait: a platform that takes its time with this does not hold them up.
        let desk = Arc::clone(self);
        self.tasks.spawn(async move { desk.tell(desk.tell_lost_replies().await) });
        let free = self.seats.available_permits().min(AT_ONCE);
        let crowded = self.crowded.swap(false, Ordering::AcqRel);
        let left = store.take_over(self.started, i64::try_from(free).unwrap_or_default()).await?;
        if crowded && left.len() == free {
            self.crowded.store(true, Ordering::Release);
        }
        if !left.is_empty() {
            tracing::info!(bot, messages = left.len(), "messages that waited or were left are gone on with");
        }
        // No pause between here and the tasks: who is taken over is answered.
        for left in left {
            let (desk, seat) = (Arc::clone(self), Arc::clone(&self.seats).try_acquire_owned().ok());
            self.tasks.spawn(async move {
                desk.take_over(left).await;
                if let Some(seat) = seat {
                    desk.leave(seat);
                }
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
            Some(answer) => self.say_rest(&left.message_id, &inbound, left.attempt, &answer).await,
            None if left.attempt > MOST_BEGUN => {
                let endless = Error::internal("answer_never_ended", "The message was begun too often without ever being answered.");
                self.tell(self.give_up(&inbound.message_id, left.attempt, Language::Zh, &endless).await);
            }
            None => self.see_to(&inbound, left.attempt, None).await,
        }
    }

    /// Says what of an answer waits, its pieces as JSON.
    pub(super) async fn say_rest(&self, message: &str, inbound: &Inbound, attempt: i64, answer: &str) {
        let saying = async { self.deliver(message, inbound, attempt, &serde_json::from_str::<Vec<Post>>(answer)?).await };
        let outcome = self.while_ours(message, attempt, saying).await;
        self.settle(message, inbound, attempt, outcome).await;
    }

    /// Does the work on a message and says all the while that it is being done. Work that somebody else has taken
    /// over, because that could not be said in time, is dropped: what it would still say would be said twice.
    pub(super) async fn while_ours(&self, message: &str, attempt: i64, work: impl Future<Output = Result<()>>) -> Result<()> {
        let lost = async {
            loop {
                tokio::time::sleep(BEAT).await;
                match self.parts.store.beat(message, attempt).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => tracing::warn!(message_id = message, code = error.code(), causes = error.causes(), "{error}"),
                }
            }
        };
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = lost => {
                tracing::warn!(bot = self.parts.bot, message_id = message, attempt, "another node has taken a message over; it is left to that one");
                Err(settled())
            }
        }
    }

    /// Sends an answer. What certainly did not arrive is kept for later; what may have is not said twice, and what comes
    /// after it is said all the same. Before each piece the rest is kept, so that a crash loses at most that piece.
    pub(super) async fn deliver(&self, message: &str, inbound: &Inbound, attempt: i64, pieces: &[Post]) -> Result<()> {
        let (parts, mut unsure) = (&self.parts, None);
        for (at, piece) in pieces.iter().enumerate() {
            let from = |at: usize| serde_json::to_string(pieces.get(at..).unwrap_or_default());
            if !parts.store.has_still_to_say(message, attempt, &from(at + 1)?).await? {
                return Err(settled());
            }
            let Err(error) = parts.pulse.called(parts.channel.send(inbound, piece).await) else { continue };
            match error.kind() {
                Kind::Timeout => {
                    let (piece, of) = (at + 1, pieces.len());
                    tracing::warn!(
                        bot = parts.bot,
                        message_id = message,
                        piece,
                        of,
                        code = error.code(),
                        causes = error.causes(),
                        "a piece may be lost: {error}"
                    );
                    unsure = Some(error);
                }
                Kind::Unavailable | Kind::RateLimited if attempt < TRIES => {
                    tracing::warn!(
                        bot = parts.bot,
                        message_id = message,
                        code = error.code(),
                        causes = error.causes(),
                        "an answer waits: {error}"
                    );
                    parts.store.say_later(message, attempt, &from(at)?, wait(attempt)).await?;
                    if let Some(unsure) = unsure {
                        parts.pulse.lost(&unsure);
                    }
                    return Err(settled());
                }
                _ => {
                    self.give_up(message, attempt, language_of(inbound), &error).await?;
                    return Err(settled());
                }
            }
        }
        let Some(error) = unsure else { return Ok(()) };
        self.give_up(message, attempt, language_of(inbound), &error).await?;
        Err(settled())
    }

    /// Notes how a message came out.
    pub(super) async fn settle(&self, message: &str, inbound: &Inbound, attempt: i64, outcome: Result<()>) {
        let store = &self.parts.store;
        let noted = match outcome {
            Ok(()) => store.ends(message, attempt).await.map(drop),
            // The next start or another node goes on with it at once.
            Err(error) if error.code() == "answer_interrupted" => store.let_go(message, attempt, Duration::ZERO).await.map(drop),
            Err(error) if error.code() == "answer_settled" => Ok(()),
            Err(error) if attempt < TRIES => {
                let bot = &self.parts.bot;
                tracing::warn!(
                    bot,
                    message_id = message,
                    code = error.code(),
                    causes = error.causes(),
                    "a message is begun again later: {error}"
                );
                store.let_go(message, attempt, wait(attempt)).await.map(drop)
            }
            Err(error) => self.give_up(message, attempt, language_of(inbound), &error).await,
        };
        self.tell(noted);
    }

    /// For good; once. A card that was opened for it says so.
    async fn give_up(&self, message: &str, attempt: i64, language: Language, error: &Error) -> Result<()> {
        let (store, bot) = (&self.parts.store, &self.parts.bot);
        if !store.fails(message, attempt, words::failed(language)).await? {
            return Ok(());
        }
        self.parts.pulse.lost(error);
        tracing::error!(bot, message_id = message, attempt, code = error.code(), causes = error.causes(), "a message is given up: {error}");
        Ok(())
    }

    /// Ends the cards that the platform would not end in their time.
    async fn sweep(&self) -> Result<()> {
        match self.parts.channel.cards() {
            Some(cards) if self.parts.channel.can_send() => sweep(cards, &self.parts.store).await,
            _ => Ok(()),
        }
    }
}

/// What became of the message is noted already, or it is somebody else's.
pub(super) fn settled() -> Error {
    Error::unavailable("answer_settled", "What became of the message is noted already.")
}

fn wait(attempt: i64) -> Duration {
    (FIRST_WAIT * 3_u32.pow(u32::try_from(attempt.clamp(1, TRIES) - 1).unwrap_or_default())).min(LONGEST_WAIT)
}

fn language_of(inbound: &Inbound) -> Language {
    match &inbound.content {
        super::Content::Text(text) => Language::of(text),
        super::Content::Unreadable(_) => Language::Zh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_ten_minutes_and_last_most_of_an_hour() {
        assert_eq!((wait(1), wait(2), wait(5)), (FIRST_WAIT, FIRST_WAIT * 3, Duration::from_secs(405)));
        assert_eq!((wait(6), wait(i64::MAX)), (LONGEST_WAIT, LONGEST_WAIT));
        let all: Duration = (1..TRIES).map(wait).sum();
        assert!(all >= Duration::from_secs(45 * 60) && all <= Duration::from_secs(60 * 60), "{all:?}");
    }
}
