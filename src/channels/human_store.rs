//! Who a bot called a person for, in SQL. Every row carries the tenant and the bot.

use sqlx::FromRow;

use super::store::BotStore;
use super::{Inbound, Post};
use crate::error::Result;
use crate::ids::{ConversationId, OwnerId, TurnId, random_token};
use crate::{in_tx, on};

/// Calls a person can choose from without naming one.
const MOST: i64 = 50;
/// The state of a call whose conversation was deleted: of it only its name is left (`Memory::delete_conversation`).
pub const DELETED: &str = "deleted";
/// Whoever could not be told of a lost reply is told again after this long at first, then after twice as long each time,
/// up to an hour: longer than telling them takes, and few enough calls for any month's quota.
const AGAIN_MS: i64 = 60_000;
const AGAIN_AT_MOST_MS: i64 = 60 * 60_000;

/// Somebody waits for a person.
#[derive(Clone, Debug, FromRow)]
pub struct Call {
    /// What the person names it by.
    pub code: String,
    /// The platform's id of the chat.
    pub conversation: String,
    /// The message, as JSON.
    pub inbound: String,
    /// Who owns the conversation.
    pub owner_id: OwnerId,
    /// The conversation, if something had been asked.
    pub conversation_id: Option<ConversationId>,
    /// The last answer in it.
    pub response_id: Option<TurnId>,
    /// What was asked; empty once the conversation is deleted.
    pub question: String,
}

impl Call {
    /// Whether its conversation was deleted since.
    pub fn is_deleted(&self) -> bool {
        self.question.is_empty()
    }
}

/// A call to be kept; the fields are [`Call`]'s.
pub struct NewCall<'a> {
    pub inbound: &'a Inbound,
    pub owner: &'a OwnerId,
    pub conversation_id: Option<&'a ConversationId>,
    pub response_id: Option<&'a TurnId>,
    pub question: &'a str,
}

/// A call that is kept.
#[derive(Clone, Debug, FromRow)]
pub struct Kept {
    /// What the person names it by.
    pub code: String,
    /// Whether whoever is on duty knows of it.
    pub told: bool,
}

impl BotStore {
    /// Remembers a call, one for each message.
    pub async fn call(&self, call: &NewCall<'_>) -> Result<Kept> {
        let sql = "insert into human_calls (tenant_id, bot, code, conversation, inbound, owner_id, conversation_id, response_id, \
             question, message_id, state, created_ms, updated_ms) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11, $11) on conflict do nothing";
        let payload = serde_json::to_string(call.inbound)?;
        loop {
            let code = random_token("", 4).to_lowercase();
            on!(&self.db, pool => sqlx::query(sql)
                .bind(&self.tenant).bind(&self.bot).bind(&code).bind(&call.inbound.conversation).bind(&payload).bind(call.owner)
                .bind(call.conversation_id).bind(call.response_id).bind(call.question).bind(&call.inbound.message_id)
                .bind(self.clock.now()).execute(pool).await.map(drop))?;
            // None: another call has that code.
            if let Some(kept) = self.called_for(&call.inbound.message_id).await? {
                return Ok(kept);
            }
        }
    }

    /// The call that was made for a message.
    pub async fn called_for(&self, message: &str) -> Result<Option<Kept>> {
        let sql = "select code, told_ms is not null as told from human_calls where tenant_id = $1 and bot = $2 and message_id = $3";
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(message).fetch_optional(pool).await)?)
    }

    /// Whoever is on duty knows of a call.
    pub async fn call_is_told(&self, code: &str) -> Result<()> {
        let sql = "update human_calls set told_ms = $4, updated_ms = $4 where tenant_id = $1 and bot = $2 and code = $3";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(code).bind(self.clock.now()).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// The call of that name, if somebody still waits.
    pub async fn open_call(&self, code: &str) -> Result<Option<Call>> {
        let sql = "select code, conversation, inbound, owner_id, conversation_id, response_id, question from human_calls \
             where tenant_id = $1 and bot = $2 and code = $3 and state = 'open'";
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(code).fetch_optional(pool).await)?)
    }

    /// `open`, `answered` or `deleted` where there is, or lately was, a call of that name.
    pub async fn state_of_call(&self, code: &str) -> Result<Option<String>> {
        let sql = "select state from human_calls where tenant_id = $1 and bot = $2 and code = $3";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(&self.tenant).bind(&self.bot).bind(code).fetch_optional(pool).await)?)
    }

    /// The newest of the calls that nobody has answered.
    pub async fn open_calls(&self) -> Result<Vec<Call>> {
        let sql = "select code, conversation, inbound, owner_id, conversation_id, response_id, question from human_calls \
             where tenant_id = $1 and bot = $2 and state = 'open' order by created_ms desc, code limit $3";
        Ok(on!(&self.db, pool => sqlx::query_as(sql).bind(&self.tenant).bind(&self.bot).bind(MOST).fetch_all(pool).await)?)
    }

    /// The call that a reply answered.
    pub async fn call_of_reply(&self, reply: &str) -> Result<Option<Call>> {
        let sql = "select code, conversation, inbound, owner_id, conversation_id, response_id, question from human_calls \
             where tenant_id = $1 and bot = $2 and reply_id = $3";
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(&self.tenant).bind(&self.bot).bind(reply).fetch_optional(pool).await)?)
    }

    /// A call becomes answered by a reply, and `pieces`, what the asker has to be shown elsewhere, wait to be sent: both
    /// or neither, whatever stops the server. The same reply again changes nothing; `false` when another was first.
    pub async fn answer_call(&self, call: &Call, reply: &str, pieces: Option<&[Post]>) -> Result<bool> {
        let answered = "update human_calls set state = 'answered', reply_id = $4, updated_ms = $5, lost_ms = null \
             where tenant_id = $1 and bot = $2 and code = $3 and (state = 'open' or reply_id = $4)";
        let waits = "insert into channel_messages (tenant_id, bot, message_id, state, payload, answer, attempts, created_ms, updated_ms, \
             due_ms) values ($1, $2, $3, 'unsent', $4, $5, 0, $6, $6, $6) on conflict (tenant_id, bot, message_id) do nothing";
        let (now, mut tx) = (self.clock.now(), self.db.begin().await?);
        let ours = in_tx!(&mut tx, conn => sqlx::query(answered)
            .bind(&self.tenant).bind(&self.bot).bind(&call.code).bind(reply).bind(now)
            .execute(conn).await.map(|done| done.rows_affected()))?;
        if ours == 0 {
            return Ok(false);
        }
        if let Some(pieces) = pieces {
            let pieces = serde_json::to_string(pieces)?;
            in_tx!(&mut tx, conn => sqlx::query(waits)
                .bind(&self.tenant).bind(&self.bot).bind(reply).bind(&call.inbound).bind(pieces).bind(now)
                .execute(conn).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// A call waits for a person again: the reply to it did not arrive.
    pub async fn call_reopens(&self, code: &str, reply: &str) -> Result<()> {
        let sql = "update human_calls set state = 'open', reply_id = null, updated_ms = $5 \
             where tenant_id = $1 and bot = $2 and code = $3 and reply_id = $4";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(code).bind(reply).bind(self.clock.now()).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Opens the calls again whose reply failed for good, and gives one of which nobody on duty knows: to one caller,
    /// however many nodes look, and again later until [`loss_is_told`](Self::loss_is_told).
    pub async fn lost_reply(&self) -> Result<Option<Call>> {
        let opens = "update human_calls set state = case when state = 'answered' then 'open' else state end, reply_id = null, \
             updated_ms = $3, lost_ms = $3 where tenant_id = $1 and bot = $2 and state in ('answered', 'deleted') and reply_id in \
             (select message_id from channel_messages where tenant_id = $1 and bot = $2 and state = 'failed')";
        let now = self.clock.now();
        on!(&self.db, pool => sqlx::query(opens).bind(&self.tenant).bind(&self.bot).bind(now).execute(pool).await.map(drop))?;
        // The time since it was lost doubles from try to try.
        let untold = "update human_calls set lost_ms = $3 + case when $3 - updated_ms < $4 then $4 when $3 - updated_ms > $5 then $5 \
             else $3 - updated_ms end where tenant_id = $1 and bot = $2 and lost_ms <= $3 and state in ('open', 'deleted') and code in \
             (select code from human_calls where tenant_id = $1 and bot = $2 and lost_ms <= $3 and state in ('open', 'deleted') \
             order by lost_ms, code limit 1) \
             returning code, conversation, inbound, owner_id, conversation_id, response_id, question";
        Ok(on!(&self.db, pool => sqlx::query_as(untold)
            .bind(&self.tenant).bind(&self.bot).bind(now.0).bind(AGAIN_MS).bind(AGAIN_AT_MOST_MS).fetch_optional(pool).await)?)
    }

    /// Whoever is on duty knows that a reply was lost.
    pub async fn loss_is_told(&self, code: &str) -> Result<()> {
        let sql = "update human_calls set lost_ms = null where tenant_id = $1 and bot = $2 and code = $3";
        on!(&self.db, pool => sqlx::query(sql).bind(&self.tenant).bind(&self.bot).bind(code).execute(pool).await.map(drop))?;
        Ok(())
    }
}
