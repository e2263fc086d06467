//! What people replied where the copilot had called them, in SQL: kept with the conversation.

use serde::{Serialize, Serializer};
use sqlx::FromRow;

use super::Memory;
use super::store::no_conversation;
use crate::error::Result;
use crate::ids::{ConversationId, OwnerId, TenantId, Timestamp, TurnId};
use crate::{in_tx, on};

/// A reply by a person.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct HumanReply {
    /// Its id.
    pub id: String,
    /// Who speaks: always `human`.
    #[sqlx(skip)]
    pub role: Human,
    /// The answer after which the person was called.
    pub response_id: Option<TurnId>,
    /// What had been asked.
    pub question: String,
    /// What the person said.
    pub text: String,
    /// Who that was.
    #[serde(rename = "by")]
    pub said_by: String,
    /// When.
    pub created_ms: Timestamp,
}

/// Neither the asker nor the copilot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Human;

impl Serialize for Human {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str("human")
    }
}

/// A reply to be kept.
#[expect(missing_docs, reason = "the fields are HumanReply's")]
pub struct NewHumanReply<'a> {
    pub id: &'a str,
    pub response_id: Option<&'a TurnId>,
    pub question: &'a str,
    pub text: &'a str,
    pub said_by: &'a str,
}

impl Memory {
    /// Keeps a person's reply with the conversation; the same one again changes nothing.
    ///
    /// # Errors
    /// `conversation_not_found` when it was deleted or is another's.
    pub async fn add_human_reply(&self, tenant: &TenantId, owner: &OwnerId, id: &ConversationId, reply: &NewHumanReply<'_>) -> Result<()> {
        let touched = "update conversations set updated_ms = $4 where tenant_id = $1 and id = $2 and owner_id = $3";
        let added = "insert into human_replies (tenant_id, id, conversation_id, response_id, question, text, said_by, created_ms) \
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (tenant_id, id) do nothing";
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let there = in_tx!(&mut tx, conn => sqlx::query(touched)
            .bind(tenant).bind(id).bind(owner).bind(now).execute(conn).await?.rows_affected());
        if there == 0 {
            return Err(no_conversation());
        }
        in_tx!(&mut tx, conn => sqlx::query(added)
            .bind(tenant).bind(reply.id).bind(id).bind(reply.response_id).bind(reply.question)
            .bind(reply.text).bind(reply.said_by).bind(now)
            .execute(conn).await.map(drop))?;
        tx.commit().await
    }

    /// What people said in a conversation, oldest first.
    pub async fn human_replies(&self, tenant: &TenantId, id: &ConversationId) -> Result<Vec<HumanReply>> {
        let sql = "select id, response_id, question, text, said_by, created_ms from human_replies \
             where tenant_id = $1 and conversation_id = $2 order by created_ms, id";
        Ok(on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(id).fetch_all(pool).await)?)
    }
}
