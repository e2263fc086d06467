//! An answer streamed into a card: shown at a shared pace, always whole Markdown, and always ended, by the
//! answer itself, by an error, or later by `sweep` when the platform would not take the end.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::left_store::{BEAT, Hanging};
use super::pace::Share;
use super::store::BotStore;
use super::tend::settled;
use super::{Cards, Inbound, Mention, Post, Pulse, Step, markdown, words};
use crate::error::{Error, Kind, Result};
use crate::models::Language;

/// Longer than this for a free call, and a plain message is the better answer.
const PATIENCE_TO_OPEN: Duration = Duration::from_secs(3);
/// How often an end is tried, and the wait before the second try; it doubles.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Cards ended at a time of those that hang; how often one is tried, the wait before its second try, which doubles,
/// and the longest: some hours of an outage.
const MOST_SWEPT: usize = 20;
const MOST_TRIES: i64 = 12;
const SWEEP_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 60 * 60);
/// The wait where the platform forbids the call.
const FORBIDDEN_WAIT: Duration = Duration::from_secs(60 * 60);

/// Where what happens to cards is noted down.
#[derive(Clone, Copy)]
pub struct Notes<'a> {
    /// Their rows.
    pub store: &'a BotStore,
    /// How the bot is doing.
    pub pulse: &'a Pulse,
}

/// A card while its answer comes.
pub struct Live<'a> {
    cards: &'a dyn Cards,
    notes: Notes<'a>,
    id: String,
    message: String,
    mention: Option<Mention>,
    attempt: i64,
    share: Share,
    due: Instant,
    shown: String,
    /// Since when the database last said that the message is ours.
    ours: Instant,
}

/// How a card ended.
pub enum Ended {
    /// As it should; what did not fit still has to be said.
    Shown(Vec<String>),
    /// The platform did not take it: the answer has to be said elsewhere.
    Refused,
}

impl<'a> Live<'a> {
    /// Opens a card, or goes on with one of an earlier try; none when a plain message is better.
    pub async fn open(cards: &'a dyn Cards, notes: Notes<'a>, to: &Inbound, attempt: i64, earlier: Option<String>) -> Result<Option<Self>> {
        let reopened = earlier.is_some();
        let ours = Instant::now();
        let share = cards.pace().share().await.or_else(|| reopened.then(|| cards.pace().any_share()));
        let Some(share) = share else { return Ok(None) };
        let id = earlier.unwrap_or_else(|| cards.name(to));
        let message = to.message_id.clone();
        let mention = to.asker.staff_id.clone().filter(|_| to.group).map(|id| Mention { id });
        let live = Self { cards, notes, id, message, mention, attempt, share, due: ours, shown: String::new(), ours };
        if !reopened && timeout(PATIENCE_TO_OPEN, cards.pace().turn()).await.is_err() {
            return Ok(None);
        }
        // Remembered first: a crash in between leaves a card that the next start can end.
        notes.store.card_opens(&live.id, &to.message_id).await?;
        let opened = if reopened { cards.reopen(to, &live.id).await } else { cards.open(to, &live.id).await };
        match notes.pulse.called(opened) {
            Ok(()) => Ok(Some(live)),
            Err(error) => {
                notes.pulse.log().warn("no card, a plain message instead", &error);
                live.give_up(&error, reopened).await?;
                Ok(None)
            }
        }
    }

    /// A call that was refused made no card; one that the platform did not answer, or not well, may have, and an earlier
    /// try may have as well.
    async fn give_up(&self, error: &Error, reopened: bool) -> Result<()> {
        match error.kind() {
            Kind::Timeout | Kind::Unavailable => self.hangs().await,
            Kind::RateLimited | Kind::Unauthenticated | Kind::Forbidden if reopened => self.hangs().await,
            _ => self.notes.store.card_done(&self.id).await,
        }
    }

    async fn hangs(&self) -> Result<()> {
        match self.notes.store.card_hangs(&self.id, &self.message, self.attempt, words::see_below()).await? {
            true => Ok(()),
            false => Err(settled()),
        }
    }

    /// The card's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the next update may go.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Shows the text so far, if there is room for a call.
    pub async fn show(&mut self, so_far: &str) {
        self.due = Instant::now() + self.share.interval();
        let text = markdown::closed(&markdown::split(so_far, self.cards.limit()).swap_remove(0));
        if text.trim().is_empty() || text == self.shown || !self.is_ours().await || !self.cards.pace().room().await {
            return;
        }
        match self.notes.pulse.called(self.cards.update(&self.id, &text, Step::Writing).await) {
            Ok(()) => self.shown = text,
            // The next update or the end makes up for it.
            Err(error) => self.notes.pulse.log().warn("a card's update was left out", &error),
        }
    }

    /// Whether nobody can have taken the message over: a text that is late would stand over the end that they gave the
    /// card. Asked anew only when it was long ago.
    async fn is_ours(&mut self) -> bool {
        if self.ours.elapsed() < BEAT {
            return true;
        }
        let asked = Instant::now();
        let ours = self.notes.store.beat(&self.message, self.attempt).await.unwrap_or(false);
        if ours {
            self.ours = asked;
        }
        ours
    }

    /// Ends it with the whole text, whatever that takes.
    pub async fn end(self, text: &str, whole: bool) -> Result<Ended> {
        let mut pieces = markdown::split(text, self.cards.limit());
        let first = pieces.remove(0);
        // Kept together with the card's end, or a crash between the two would lose it.
        let posts: Vec<Post> = match pieces.is_empty() {
            true => Vec::new(),
            false => {
                let rest = Post::new(Language::of(text), pieces.join("\n\n"));
                Post { mention: self.mention.clone(), ..rest }.pieces(self.cards.limit())
            }
        };
        let rest = serde_json::to_string(&posts)?;
        let step = if whole { Step::Done } else { Step::Failed };
        let mut wait = FIRST_WAIT;
        for attempt in 1..=TRIES {
            self.cards.pace().turn().await;
            // The turn may have been long in coming.
            if !self.notes.store.beat(&self.message, self.attempt).await? {
                return Err(settled());
            }
            match self.notes.pulse.called(self.cards.update(&self.id, &first, step).await) {
                Ok(()) => {
                    // Who has taken the message over says the rest.
                    return match self.notes.store.card_answered(&self.id, &self.message, self.attempt, &rest).await? {
                        true => Ok(Ended::Shown(pieces)),
                        false => Err(settled()),
                    };
                }
                Err(error) if attempt == TRIES || is_final(&error) => {
                    self.notes.pulse.log().warn("a card could not be ended, a message instead", &error);
                    break;
                }
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
        self.hangs().await?;
        Ok(Ended::Refused)
    }
}

/// Ends the cards that could not be ended in their time, each in its turn. A platform that is not well is left alone
/// until the next time, so that an outage does not use up the month's calls.
pub async fn sweep(cards: &dyn Cards, store: &BotStore) -> Result<()> {
    store.open_cards_hang(words::see_below(), &words::failed_in_both()).await?;
    for _ in 0..MOST_SWEPT {
        let Some(Hanging { card, text, tries }) = store.next_hanging().await? else { return Ok(()) };
        let mut outcome = finish(cards, &card, &text).await;
        if outcome.as_ref().is_err_and(|error| error.kind() == Kind::Invalid) {
            // Perhaps a slip of the platform, and a card given up hangs for ever: only two refusals count.
            tokio::time::sleep(FIRST_WAIT).await;
            outcome = finish(cards, &card, &text).await;
        }
        match outcome {
            Ok(()) => store.card_done(&card).await?,
            // It never was, or is no more.
            Err(error) if error.kind() == Kind::Invalid => store.card_done(&card).await?,
            // A quota that is used up says nothing about the card, nor would the next one have more luck.
            Err(error) if error.kind() == Kind::Forbidden => {
                tracing::debug!(bot = store.bot, card, code = error.code(), "cards wait: {error}");
                return store.card_waits(&card, FORBIDDEN_WAIT, false).await;
            }
            Err(error) if tries >= MOST_TRIES => {
                tracing::warn!(
                    bot = store.bot,
                    card,
                    tries,
                    code = error.code(),
                    causes = error.causes(),
                    "a card is left unfinished: {error}"
                );
                store.card_done(&card).await?;
            }
            Err(error) => {
                tracing::debug!(bot = store.bot, card, tries, code = error.code(), "a card still hangs: {error}");
                store
                    .card_waits(
                        &card,
                        (SWEEP_WAIT * 2_u32.pow(u32::try_from(tries.clamp(1, 10)).unwrap_or(10) - 1)).min(LONGEST_WAIT),
                        true,
                    )
                    .await?;
                if error.retryable() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

async fn finish(cards: &dyn Cards, card: &str, text: &str) -> Result<()> {
    cards.pace().turn().await;
    cards.update(card, text, Step::Done).await
}

/// Trying again changes nothing.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), Kind::Invalid | Kind::Unauthenticated | Kind::Forbidden)
}
