//! What the channels remember, in SQL: messages seen, where each asker's talk goes on, open cards. Every
//! row carries the tenant and the bot.

use sqlx::FromRow;

use super::Inbound;
use super::left_store::STALE_MS;
use crate::db::{Db, Tx};
use crate::error::Result;
use crate::ids::{Clock, ConversationId, OwnerId, TenantId, Timestamp, TurnId};
use crate::models::Language;
use crate::{in_tx, on};

/// Messages are remembered so long: a captured signature is good for an hour, a redelivery for minutes.
const KEEP_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// One bot's rows.
#[derive(Clone, Debug)]
pub struct BotStore {
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) tenant: TenantId,
    pub(super) bot: String,
}

/// Where an asker's talk goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Thread {
    /// The conversation; none before the first question and after `/new`.
    pub conversation_id: Option<ConversationId>,
    /// The model that was chosen.
    pub model: Option<String>,
    /// Answers in a row that the base did not have.
    pub misses: i64,
    /// `zh` or `en`, as the last question was asked.
    pub language: Option<String>,
}

/// The answer that a card shows.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CardAnswer {
    /// Whose it is.
    pub owner_id: OwnerId,
    /// Its id.
    pub response_id: TurnId,
    /// Who may rate it; everybody when nobody is named.
    pub rater: Option<String>,
}

/// What a card shows, for a platform that asks.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Shown {
    /// The text so far; none before the first of it.
    #[sqlx(rename = "final_text")]
    pub text: Option<String>,
    /// The card's state.
    pub state: String,
    /// The state of the message it answers.
    pub message_state: Option<String>,
    /// When that was taken.
    pub asked_ms: i64,
}

impl BotStore {
    /// The rows of one bot, named `platform/name`.
    pub fn new(db: Db, clock: Clock, tenant: TenantId, bot: String) -> Self {
        Self { db, clock, tenant, bot }
    }

    /// Takes a message, to answer it now or to leave it to who has time first; `false` when it had been taken before,
    /// by whichever node.
    pub async fn take(&self, inbound: &Inbound, now: bool) -> Result<bool> {
        let sql = "insert into channel_messages (tenant_id, bot, message_id, state, payload, attempts, created_ms, updated_ms, due_ms) \
             values ($1, $2, $3, 'taken', $4, $5, $6, $6, $7) on conflict (tenant_id, bot, message_id) do nothing";
        let (payload, at) = (serde_json::to_string(inbound)?, self.clock.now());
        let due = if now { Timestamp(at.0 + STALE_MS) } else { at };
        let taken = on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(&inbound.message_id).bind(payload).bind(i64::from(now)).bind(at).bind(due)
            .execute(pool).await?.rows_affected());
        Ok(taken == 1)
    }

    /// Messages that are not answered yet.
    pub async fn unanswered(&self) -> Result<i64> {
        let sql = "select count(*) from channel_messages where tenant_id = $1 and bot = $2 and state = 'taken'";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(&self.tenant).bind(&self.bot).fetch_one(pool).await)?)
    }

    /// What became of a message.
    pub async fn state_of(&self, message: &str) -> Result<Option<String>> {
        let sql = "select state from channel_messages where tenant_id = $1 and bot = $2 and message_id = $3";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql)
            .bind(&self.tenant).bind(&self.bot).bind(message).fetch_optional(pool).await)?)
    }

    /// When a message was dealt with last, and how many there were, over the days that are remembered.
    pub async fn recent(&self) -> Result<(Option<Timestamp>, i64)> {
        let sql = "select max(updated_ms), count(*) from channel_messages \
             where tenant_id = $1 and bot = $2 and updated_ms >= $3";
        let since = Timestamp(self.clock.now().0 - KEEP_MS);
        Ok(on!(&self.db, pool => sqlx::query_as(sql).bind(&self.tenant).bind(&self.bot).bind(since).fetch_one(pool).await)?)
    }

    /// Forgets messages, cards and calls for a person of long ago.
    pub async fn forget_old(&self) -> Result<()> {
        let before = Timestamp(self.clock.now().0 - KEEP_MS);
        for sql in [
            "delete from channel_messages where tenant_id = $1 and bot = $2 and updated_ms < $3",
            "delete from channel_cards where tenant_id = $1 and bot = $2 and updated_ms < $3",
            "delete from human_calls where tenant_id = $1 and bot = $2 and updated_ms < $3",
        ] {
            on!(&self.db, pool => sqlx::query(sql).bind(&self.tenant).bind(&self.bot).bind(before).execute(pool).await.map(drop))?;
        }
        Ok(())
    }

    /// Where an asker's talk goes on.
    pub async fn thread(&self, owner: &OwnerId) -> Result<Thread> {
        let sql =
            "select conversation_id, model, misses, language from channel_threads where tenant_id = $1 and bot = $2 and owner_id = $3";
        let found: Option<Thread> = on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(owner).fetch_optional(pool).await)?;
        Ok(found.unwrap_or_default())
    }

    /// Keeps the conversation to go on with; none starts a new one.
    pub async fn continue_with(&self, owner: &OwnerId, conversation: Option<&ConversationId>) -> Result<()> {
        self.set(owner, "conversation_id", conversation.map(ConversationId::as_str)).await
    }

    /// Keeps the model to ask.
    pub async fn choose_model(&self, owner: &OwnerId, model: Option<&str>) -> Result<()> {
        self.set(owner, "model", model).await
    }

    async fn set(&self, owner: &OwnerId, column: &'static str, value: Option<&str>) -> Result<()> {
        let mut tx = self.open_thread(owner).await?;
        let sql = match column {
            "model" => "update channel_threads set model = $4, updated_ms = $5 where tenant_id = $1 and bot = $2 and owner_id = $3",
            _ => "update channel_threads set conversation_id = $4, updated_ms = $5 where tenant_id = $1 and bot = $2 and owner_id = $3",
        };
        in_tx!(&mut tx, conn => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(owner).bind(value).bind(self.clock.now())
            .execute(conn).await.map(drop))?;
        tx.commit().await
    }

    /// Counts the answer to a message, once, and remembers in which language it was asked; returns how many in a row the
    /// base did not have.
    pub async fn count(&self, owner: &OwnerId, message: &str, miss: bool, language: Language) -> Result<i64> {
        let mut tx = self.open_thread(owner).await?;
        let sql = "update channel_threads set counted = $4, updated_ms = $6, language = $7, \
             misses = case when counted = $4 then misses when $5 = 1 then misses + 1 else 0 end \
             where tenant_id = $1 and bot = $2 and owner_id = $3 returning misses";
        let misses: i64 = in_tx!(&mut tx, conn => sqlx::query_scalar(sql)
            .bind(&self.tenant).bind(&self.bot).bind(owner).bind(message).bind(i32::from(miss)).bind(self.clock.now()).bind(language.code())
            .fetch_one(conn).await)?;
        tx.commit().await?;
        Ok(misses)
    }

    /// Counts from the beginning: somebody was called.
    pub async fn forget_misses(&self, owner: &OwnerId) -> Result<()> {
        let sql = "update channel_threads set misses = 0, updated_ms = $4 where tenant_id = $1 and bot = $2 and owner_id = $3";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(owner).bind(self.clock.now()).execute(pool).await.map(drop))?;
        Ok(())
    }

    async fn open_thread(&self, owner: &OwnerId) -> Result<Tx> {
        let mut tx = self.db.begin().await?;
        let sql = "insert into channel_threads (tenant_id, bot, owner_id, misses, updated_ms) values ($1, $2, $3, 0, $4) \
             on conflict (tenant_id, bot, owner_id) do nothing";
        in_tx!(&mut tx, conn => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(owner).bind(self.clock.now())
            .execute(conn).await.map(drop))?;
        Ok(tx)
    }

    /// Remembers a card before it is shown; one that is known stays as it is.
    pub async fn card_opens(&self, card: &str, message: &str) -> Result<()> {
        let sql = "insert into channel_cards (tenant_id, bot, card_id, message_id, state, created_ms, updated_ms) \
             values ($1, $2, $3, $4, 'open', $5, $5) on conflict (tenant_id, bot, card_id) do nothing";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(message).bind(self.clock.now())
            .execute(pool).await.map(drop))?;
        Ok(())
    }

    /// What the platform calls a card; none while it has not made it.
    pub async fn platform_card(&self, card: &str) -> Result<Option<String>> {
        let sql = "select platform_id from channel_cards where tenant_id = $1 and bot = $2 and card_id = $3 and platform_id is not null";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).fetch_optional(pool).await)?)
    }

    /// Remembers what the platform calls a card.
    pub async fn card_is(&self, card: &str, platform_id: &str) -> Result<()> {
        let sql = "update channel_cards set platform_id = $4, updated_ms = $5 where tenant_id = $1 and bot = $2 and card_id = $3";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(platform_id).bind(self.clock.now())
            .execute(pool).await.map(drop))?;
        Ok(())
    }

    /// What the platform calls a card, and the number of its next change; none while it has not made it.
    pub async fn next_change(&self, card: &str) -> Result<Option<(String, i64)>> {
        let sql = "update channel_cards set changes = changes + 1, updated_ms = $4 \
             where tenant_id = $1 and bot = $2 and card_id = $3 and platform_id is not null returning platform_id, changes";
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(self.clock.now()).fetch_optional(pool).await)?)
    }

    /// The card shows all it will.
    pub async fn card_done(&self, card: &str) -> Result<()> {
        let sql = "update channel_cards set state = 'done', updated_ms = $4 where tenant_id = $1 and bot = $2 and card_id = $3";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(self.clock.now()).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// The card shows the answer to its message: from here on a crash must not answer it once more. What did not fit,
    /// `rest` as JSON, is said also after one. `false`, and nothing noted, when somebody else has the message.
    pub async fn card_answered(&self, card: &str, message: &str, attempt: i64, rest: &str) -> Result<bool> {
        let done = "update channel_cards set state = 'done', updated_ms = $4 where tenant_id = $1 and bot = $2 and card_id = $3";
        let sending = "update channel_messages set state = 'sending', answer = $6, updated_ms = $4 \
             where tenant_id = $1 and bot = $2 and message_id = $3 and attempts = $5 and state = 'taken'";
        let mut tx = self.db.begin().await?;
        let ours = in_tx!(&mut tx, conn => sqlx::query(sending)
            .bind(&self.tenant).bind(&self.bot).bind(message).bind(self.clock.now()).bind(attempt).bind(rest)
            .execute(conn).await.map(|done| done.rows_affected()))?;
        if ours == 0 {
            return Ok(false);
        }
        in_tx!(&mut tx, conn => sqlx::query(done)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(self.clock.now())
            .execute(conn).await.map(drop))?;
        tx.commit().await?;
        Ok(true)
    }

    /// The card could not be ended; `text` is what it still has to show. `false`, and nothing noted, when somebody else
    /// has its message.
    pub async fn card_hangs(&self, card: &str, message: &str, attempt: i64, text: &str) -> Result<bool> {
        let sql = "update channel_cards set state = 'hanging', final_text = $4, updated_ms = $5 \
             where tenant_id = $1 and bot = $2 and card_id = $3 and exists (select 1 from channel_messages m \
             where m.tenant_id = $1 and m.bot = $2 and m.message_id = $6 and m.attempts = $7)";
        let hangs = on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(text).bind(self.clock.now()).bind(message).bind(attempt)
            .execute(pool).await?.rows_affected());
        Ok(hangs == 1)
    }

    /// Keeps a card's text for a platform that asks for it; `done` when that is all. What is done stays so.
    pub async fn card_shows(&self, card: &str, text: &str, done: bool) -> Result<()> {
        let sql = "update channel_cards set final_text = $4, state = case when $5 = 1 then 'done' else state end, updated_ms = $6 \
             where tenant_id = $1 and bot = $2 and card_id = $3 and (state = 'open' or $5 = 1)";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(text).bind(i32::from(done)).bind(self.clock.now())
            .execute(pool).await.map(drop))?;
        Ok(())
    }

    /// What a card shows now.
    pub async fn shown(&self, card: &str) -> Result<Option<Shown>> {
        let sql = "select c.final_text, c.state, m.state as message_state, coalesce(m.created_ms, c.created_ms) as asked_ms \
             from channel_cards c left join channel_messages m \
             on m.tenant_id = c.tenant_id and m.bot = c.bot and m.message_id = c.message_id \
             where c.tenant_id = $1 and c.bot = $2 and c.card_id = $3";
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).fetch_optional(pool).await)?)
    }

    /// Forgets the text of cards that nobody asks for any more: it is kept with the conversation.
    pub async fn forget_texts(&self, older_than_ms: i64) -> Result<()> {
        let before = Timestamp(self.clock.now().0 - older_than_ms);
        let sql = "update channel_cards set final_text = null \
             where tenant_id = $1 and bot = $2 and state = 'done' and final_text is not null and updated_ms < $3";
        on!(&self.db, pool => sqlx::query(sql).bind(&self.tenant).bind(&self.bot).bind(before).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Remembers whose answer a card shows.
    pub async fn card_answers(&self, card: &str, owner: &OwnerId, response: &TurnId, rater: Option<&str>) -> Result<()> {
        let sql = "update channel_cards set owner_id = $4, response_id = $5, rater = $6 \
             where tenant_id = $1 and bot = $2 and card_id = $3";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).bind(owner).bind(response).bind(rater)
            .execute(pool).await.map(drop))?;
        Ok(())
    }

    /// The answer that a card shows; none when there is no such card, or nothing was answered in it.
    pub async fn answer_of_card(&self, card: &str) -> Result<Option<CardAnswer>> {
        let sql = "select owner_id, response_id, rater from channel_cards \
             where tenant_id = $1 and bot = $2 and card_id = $3 and response_id is not null";
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(card).fetch_optional(pool).await)?)
    }

    /// The card that was opened for a message and still has to be ended.
    pub(super) async fn card_of(&self, message: &str) -> Result<Option<String>> {
        let sql = "select card_id from channel_cards \
             where tenant_id = $1 and bot = $2 and message_id = $3 and state <> 'done' order by created_ms desc limit 1";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql)
            .bind(&self.tenant).bind(&self.bot).bind(message).fetch_optional(pool).await)?)
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Counts a call of the platform; returns how many there were this month.
    pub async fn count_call(&self, month: &str) -> Result<i64> {
        let sql = "insert into channel_calls (tenant_id, bot, month, calls) values ($1, $2, $3, 1) \
             on conflict (tenant_id, bot, month) do update set calls = channel_calls.calls + 1 returning calls";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(&self.tenant).bind(&self.bot).bind(month).fetch_one(pool).await)?)
    }

    /// Calls of the platform in a month.
    pub async fn calls(&self, month: &str) -> Result<i64> {
        let sql = "select calls from channel_calls where tenant_id = $1 and bot = $2 and month = $3";
        let calls: Option<i64> =
            on!(&self.db, pool => sqlx::query_scalar(sql).bind(&self.tenant).bind(&self.bot).bind(month).fetch_optional(pool).await)?;
        Ok(calls.unwrap_or_default())
    }

    /// Takes the line to the platform for so long, or keeps it; `false` while another node has it. With SQLite
    /// there is no other, and a line whose process died is free at once.
    pub async fn hold_line(&self, holder: &str, for_ms: i64) -> Result<bool> {
        let now = self.clock.now();
        let before = match self.db {
            Db::Sqlite(_) => Timestamp(i64::MAX),
            Db::Postgres(_) => now,
        };
        let sql = "insert into channel_lines (tenant_id, bot, holder, until_ms) values ($1, $2, $3, $4) \
             on conflict (tenant_id, bot) do update set holder = excluded.holder, until_ms = excluded.until_ms \
             where channel_lines.holder = excluded.holder or channel_lines.until_ms <= $5";
        let held = on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(holder).bind(Timestamp(now.0 + for_ms)).bind(before)
            .execute(pool).await?.rows_affected());
        Ok(held == 1)
    }

    /// Lets a line go that is held for `lease_ms` at a time, so that another node need not wait. One that is held for
    /// longer stays: nobody is to open it meanwhile.
    pub async fn let_line_go(&self, holder: &str, lease_ms: i64) -> Result<()> {
        let sql = "delete from channel_lines where tenant_id = $1 and bot = $2 and holder = $3 and until_ms <= $4";
        let leased = Timestamp(self.clock.now().0 + lease_ms);
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(holder).bind(leased).execute(pool).await.map(drop))?;
        Ok(())
    }
}
