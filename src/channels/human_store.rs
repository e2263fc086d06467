//! Who a bot called a person for, in SQL. Every row carries the tenant and the bot.

use sqlx::FromRow;

use super::Inbound;
use super::store::BotStore;
use crate::error::Result;
use crate::ids::{ConversationId, OwnerId, TurnId, random_token};
use crate::on;

/// Calls a person can choose from without naming one.
const MOST: i64 = 50;

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
    /// What was asked.
    pub question: String,
}

/// A call to be kept; the fields are [`Call`]'s.
pub struct NewCall<'a> {
    pub inbound: &'a Inbound,
    pub owner: &'a OwnerId,
    pub conversation_id: Option<&'a ConversationId>,
    pub response_id: Option<&'a TurnId>,
    pub question: &'a str,
}

impl BotStore {
    /// Remembers a call; returns the code it is named by.
    pub async fn call(&self, call: &NewCall<'_>) -> Result<String> {
        let sql = "insert into human_calls (tenant_id, bot, code, conversation, inbound, owner_id, conversation_id, response_id, \
             question, state, created_ms, updated_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'open', $10, $10) \
             on conflict (tenant_id, bot, code) do nothing";
        let payload = serde_json::to_string(call.inbound)?;
        loop {
            let code = random_token("", 4).to_lowercase();
            let kept = on!(&self.db, pool => sqlx::query(sql)
                .bind(&self.tenant).bind(&self.bot).bind(&code).bind(&call.inbound.conversation).bind(&payload).bind(call.owner)
                .bind(call.conversation_id).bind(call.response_id).bind(call.question).bind(self.clock.now())
                .execute(pool).await?.rows_affected());
            if kept == 1 {
                return Ok(code);
            }
        }
    }

    /// Whether there is, or lately was, a call of that name.
    pub async fn is_call(&self, code: &str) -> Result<bool> {
        let sql = "select count(*) from human_calls where tenant_id = $1 and bot = $2 and code = $3";
        let calls: i64 =
            on!(&self.db, pool => sqlx::query_scalar(sql).bind(&self.tenant).bind(&self.bot).bind(code).fetch_one(pool).await)?;
        Ok(calls > 0)
    }

    /// The calls that nobody has answered, the newest first.
    pub async fn open_calls(&self) -> Result<Vec<Call>> {
        let sql = "select code, conversation, inbound, owner_id, conversation_id, response_id, question from human_calls \
             where tenant_id = $1 and bot = $2 and state = 'open' order by created_ms desc, code limit $3";
        Ok(on!(&self.db, pool => sqlx::query_as(sql).bind(&self.tenant).bind(&self.bot).bind(MOST).fetch_all(pool).await)?)
    }

    /// A call becomes `answered`, or `open` again; `false` when it was so already.
    pub async fn call_becomes(&self, code: &str, state: &str) -> Result<bool> {
        let sql = "update human_calls set state = $4, updated_ms = $5 where tenant_id = $1 and bot = $2 and code = $3 and state <> $4";
        let changed = on!(&self.db, pool => sqlx::query(sql)
            .bind(&self.tenant).bind(&self.bot).bind(code).bind(state).bind(self.clock.now())
            .execute(pool).await?.rows_affected());
        Ok(changed == 1)
    }
}
