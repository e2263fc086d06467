//! What is left to do, in SQL: messages whose node is gone, answers that the platform did not take, cards that hang.
//! Each is given to one caller by a single update, however many nodes look. Who takes a message over is its newest
//! `attempt`; what an older one writes changes nothing.

use std::time::Duration;

use sqlx::FromRow;

use super::store::BotStore;
use crate::db::Db;
use crate::error::Result;
use crate::ids::Timestamp;
use crate::{in_tx, on};

/// Who answers a message says so this often.
pub const BEAT: Duration = Duration::from_secs(20);
/// Who has not said so for this long answers it no more.
pub const STALE_MS: i64 = 75_000;
/// No pieces, as JSON.
const NOTHING: &str = "[]";
/// Who ends a card has this long for it.
const ENDING_MS: i64 = 60_000;

/// A message that was taken over.
#[derive(Clone, Debug, FromRow)]
pub struct Left {
    /// Its id.
    pub message_id: String,
    /// What was said, as JSON.
    pub payload: String,
    /// The pieces of its answer that have to be said, as JSON; none while it is not answered.
    pub answer: Option<String>,
    /// How often it was begun.
    #[sqlx(rename = "attempts")]
    pub attempt: i64,
}

/// A card that still has to be ended.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Hanging {
    /// Its id.
    #[sqlx(rename = "card_id")]
    pub card: String,
    /// What it has to show.
    #[sqlx(rename = "final_text")]
    pub text: String,
    /// How often that was tried, this time included.
    pub tries: i64,
}

impl BotStore {
    /// Takes over what nobody works on any more and what is to be said again, the oldest first. With SQLite there is
    /// one server, so whatever nobody touched since it `started` is nobody's.
    pub async fn take_over(&self, started: Timestamp, most: i64) -> Result<Vec<Left>> {
        let sql = "update channel_messages set attempts = attempts + 1, updated_ms = $4, due_ms = $5, \
             state = case when state = 'unsent' then 'sending' else state end \
             where tenant_id = $1 and bot = $2 and state in ('taken', 'unsent') \
             and (due_ms <= $4 or (state = 'taken' and updated_ms < $3)) \
             and message_id in (select message_id from channel_messages where tenant_id = $1 and bot = $2 \
             and state in ('taken', 'unsent') and (due_ms <= $4 or (state = 'taken' and updated_ms < $3)) \
             order by created_ms limit $6) \
             returning message_id, payload, answer, attempts";
        let now = self.clock.now();
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(self.before(started)).bind(now).bind(Timestamp(now.0 + STALE_MS)).bind(most)
            .fetch_all(pool).await)?)
    }

    /// Takes up one answer that waits to be said; none when it is not its time, or somebody else has it.
    pub async fn take_up(&self, message: &str) -> Result<Option<Left>> {
        let sql = "update channel_messages set attempts = attempts + 1, updated_ms = $4, due_ms = $5, state = 'sending' \
             where tenant_id = $1 and bot = $2 and message_id = $3 and state = 'unsent' and due_ms <= $4 \
             returning message_id, payload, answer, attempts";
        let now = self.clock.now();
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(message).bind(now).bind(Timestamp(now.0 + STALE_MS))
            .fetch_optional(pool).await)?)
    }

    /// Leaves what a crash broke off between two pieces to be said further, without the piece that was on its way: that
    /// may have arrived. Returns the messages' ids.
    pub async fn rest_of_broken_off(&self, started: Timestamp) -> Result<Vec<String>> {
        let sql = "update channel_messages set state = 'unsent', updated_ms = $4, due_ms = $4 \
             where tenant_id = $1 and bot = $2 and state = 'sending' and answer is not null and answer <> '[]' \
             and (due_ms <= $4 or updated_ms < $3) returning message_id";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql)
            .bind(&self.tenant).bind(&self.bot).bind(self.before(started)).bind(self.clock.now()).fetch_all(pool).await)?)
    }

    /// Gives up what a crash broke off while it was being said: it may have arrived. Returns the messages' ids.
    pub async fn broken_off(&self, started: Timestamp) -> Result<Vec<String>> {
        let sql = "update channel_messages set state = 'failed', payload = '', answer = null, updated_ms = $4 \
             where tenant_id = $1 and bot = $2 and state = 'sending' and (answer is null or answer = '[]') \
             and (due_ms <= $4 or updated_ms < $3) returning message_id";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql)
            .bind(&self.tenant).bind(&self.bot).bind(self.before(started)).bind(self.clock.now()).fetch_all(pool).await)?)
    }

    fn before(&self, started: Timestamp) -> Timestamp {
        match self.db {
            Db::Sqlite(_) => started,
            Db::Postgres(_) => Timestamp(i64::MIN),
        }
    }

    /// Says that a message is being worked on.
    pub async fn beat(&self, message: &str, attempt: i64) -> Result<bool> {
        let due = Timestamp(self.clock.now().0 + STALE_MS);
        self.becomes(message, attempt, &Step { from: "taken,sending", to: None, due, answer: None }).await
    }

    /// From here on its answer may be out; `false` when somebody else has the message.
    pub async fn sending(&self, message: &str, attempt: i64) -> Result<bool> {
        let due = Timestamp(self.clock.now().0 + STALE_MS);
        self.becomes(message, attempt, &Step { from: "taken,sending", to: Some("sending"), due, answer: Some(NOTHING) }).await
    }

    /// Keeps what has to be said after the piece that goes out now, as JSON; `false` when somebody else has the message.
    pub async fn has_still_to_say(&self, message: &str, attempt: i64, rest: &str) -> Result<bool> {
        let due = Timestamp(self.clock.now().0 + STALE_MS);
        self.becomes(message, attempt, &Step { from: "sending", to: None, due, answer: Some(rest) }).await
    }

    /// Leaves a message that is not answered to whoever looks after so long.
    pub async fn let_go(&self, message: &str, attempt: i64, wait: Duration) -> Result<bool> {
        self.becomes(message, attempt, &Step { from: "taken", to: None, due: self.after(wait), answer: None }).await
    }

    /// Keeps what of an answer certainly did not arrive, to be said after so long.
    pub async fn say_later(&self, message: &str, attempt: i64, answer: &str, wait: Duration) -> Result<bool> {
        let due = self.after(wait);
        self.becomes(message, attempt, &Step { from: "sending", to: Some("unsent"), due, answer: Some(answer) }).await
    }

    /// It is done. What was said is forgotten; `false` when somebody else has it.
    pub async fn ends(&self, message: &str, attempt: i64) -> Result<bool> {
        let sql = "update channel_messages set state = 'done', payload = '', answer = null, updated_ms = $5 \
             where tenant_id = $1 and bot = $2 and message_id = $3 and attempts = $4 and state in ('taken', 'sending')";
        let ended = on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(message).bind(attempt).bind(self.clock.now())
            .execute(pool).await?.rows_affected());
        Ok(ended == 1)
    }

    /// It has failed for good, and a card that was opened for it has to say so: both or neither, whatever stops the
    /// server in between. `false` when somebody else has it.
    pub async fn fails(&self, message: &str, attempt: i64, card_says: &str) -> Result<bool> {
        let failed = "update channel_messages set state = 'failed', payload = '', answer = null, updated_ms = $5 \
             where tenant_id = $1 and bot = $2 and message_id = $3 and attempts = $4 and state in ('taken', 'sending')";
        let hangs = "update channel_cards set state = 'hanging', final_text = $4, updated_ms = $5 \
             where tenant_id = $1 and bot = $2 and message_id = $3 and state <> 'done'";
        let (now, mut tx) = (self.clock.now(), self.db.begin().await?);
        let ours = in_tx!(&mut tx, conn => sqlx::query(failed)
            .bind(&self.tenant).bind(&self.bot).bind(message).bind(attempt).bind(now)
            .execute(conn).await.map(|done| done.rows_affected()))?;
        if ours == 0 {
            return Ok(false);
        }
        in_tx!(&mut tx, conn => sqlx::query(hangs)
            .bind(&self.tenant).bind(&self.bot).bind(message).bind(card_says).bind(now)
            .execute(conn).await.map(drop))?;
        tx.commit().await?;
        Ok(true)
    }

    fn after(&self, wait: Duration) -> Timestamp {
        Timestamp(self.clock.now().0 + i64::try_from(wait.as_millis()).unwrap_or(STALE_MS))
    }

    async fn becomes(&self, message: &str, attempt: i64, step: &Step<'_>) -> Result<bool> {
        let sql = "update channel_messages set state = coalesce($6, state), due_ms = $7, answer = coalesce($8, answer), updated_ms = $9 \
             where tenant_id = $1 and bot = $2 and message_id = $3 and attempts = $4 and state in ($5, $10)";
        let (from, or) = step.from.split_once(',').unwrap_or((step.from, step.from));
        let changed = on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(message).bind(attempt).bind(from).bind(step.to).bind(step.due)
            .bind(step.answer).bind(self.clock.now()).bind(or)
            .execute(pool).await?.rows_affected());
        Ok(changed == 1)
    }

    /// A card that is open although its message is over hangs: the answer went another way than the card that an earlier
    /// try had opened, or a crash broke it off while it was being said.
    pub async fn open_cards_hang(&self, answered: &str, failed: &str) -> Result<()> {
        let sql = "update channel_cards set state = 'hanging', updated_ms = $3, \
             final_text = case when exists (select 1 from channel_messages m where m.tenant_id = $1 and m.bot = $2 \
             and m.message_id = channel_cards.message_id and m.state = 'done') then $4 else $5 end \
             where tenant_id = $1 and bot = $2 and state = 'open' and exists (select 1 from channel_messages m \
             where m.tenant_id = $1 and m.bot = $2 and m.message_id = channel_cards.message_id and m.state in ('done', 'failed'))";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(self.clock.now()).bind(answered).bind(failed)
            .execute(pool).await.map(drop))?;
        Ok(())
    }

    /// The card whose turn it is to be ended, given to one caller. One whose message is not over waits: the next try
    /// goes on with it, or it has to say something else.
    pub async fn next_hanging(&self) -> Result<Option<Hanging>> {
        let sql = "update channel_cards set tries = tries + 1, due_ms = $4 \
             where tenant_id = $1 and bot = $2 and state = 'hanging' and final_text is not null and due_ms <= $3 \
             and card_id = (select card_id from channel_cards where tenant_id = $1 and bot = $2 and state = 'hanging' \
             and final_text is not null and due_ms <= $3 and not exists (select 1 from channel_messages m \
             where m.tenant_id = channel_cards.tenant_id and m.bot = channel_cards.bot \
             and m.message_id = channel_cards.message_id and m.state not in ('done', 'failed')) \
             order by due_ms, created_ms, card_id limit 1) \
             returning card_id, final_text, tries";
        let now = self.clock.now();
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(now).bind(Timestamp(now.0 + ENDING_MS)).fetch_optional(pool).await)?)
    }

    /// A card is not tried again before so long: others have their turn. A try that was none is not `counted`.
    pub async fn card_waits(&self, card: &str, wait: Duration, counted: bool) -> Result<()> {
        let sql = "update channel_cards set due_ms = $4, tries = tries - $5 \
             where tenant_id = $1 and bot = $2 and card_id = $3 and state = 'hanging'";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(self.after(wait)).bind(i64::from(!counted))
            .execute(pool).await.map(drop))?;
        Ok(())
    }
}

/// How a message goes on.
struct Step<'a> {
    /// One state or two.
    from: &'static str,
    to: Option<&'static str>,
    due: Timestamp,
    answer: Option<&'a str>,
}
