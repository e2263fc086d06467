//! Conversations as a list in SQL: found, deleted for good, and forgotten when their time is over.

use serde::Deserialize;
use sqlx::AssertSqlSafe;

use super::store::{CONVERSATION, ConversationRow, no_conversation};
use super::{Conversation, Memory, Rating};
use crate::db::containing;
use crate::error::Result;
use crate::ids::{ConversationId, OwnerId, TenantId, Timestamp};
use crate::{events, in_tx, on};

/// Which conversations are meant; what is none does not narrow them down.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// Of this owner only.
    pub owner: Option<&'a OwnerId>,
    /// With these words in a question or an answer.
    pub text: Option<&'a str>,
    /// With an answer rated so.
    pub rating: Option<Rating>,
    /// Opened over this wire.
    pub channel: Option<&'a str>,
    /// With an answer decided so.
    pub decision: Option<&'a str>,
    /// With an answer that went so.
    pub went: Option<Went>,
    /// Behind this one in the list.
    pub before: Option<(Timestamp, ConversationId)>,
}

/// How an answer did not go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Went {
    /// Nothing was found, or a guardrail said no; as the overview counts them.
    Refused,
    /// There was no answer.
    Failed,
    /// It broke off.
    Incomplete,
    /// Who asked did not want it any more.
    Cancelled,
    /// Any of the three, as the overview counts them.
    Unfinished,
}

impl Went {
    /// What SQL asks of a turn.
    fn condition(self) -> &'static str {
        match self {
            Self::Refused => "t.status = 'completed' and (t.decision = 'none' or t.finish_reason = 'content_filter')",
            Self::Failed => "t.status = 'failed'",
            Self::Incomplete => "t.status = 'incomplete'",
            Self::Cancelled => "t.status = 'cancelled'",
            Self::Unfinished => "t.status in ('failed', 'incomplete', 'cancelled')",
        }
    }
}

/// Turns that lose their trace in one go.
const TRACES_AT_ONCE: i64 = 500;

impl Memory {
    /// Conversations, the last changed first.
    pub async fn conversations(&self, tenant: &TenantId, filter: &Filter<'_>, limit: i64) -> Result<Vec<Conversation>> {
        let [question, answer] = ["t.question", "t.answer"].map(|column| self.db.contains(column, "$6"));
        let (every, went) = filter.went.map_or(("1 = 1", "1 = 1"), |went| ("1 = 0", went.condition()));
        let sql = AssertSqlSafe(format!(
            "select {CONVERSATION} from conversations c where tenant_id = $1 \
             and ($2 is null or owner_id = $2) and ($3 is null or channel = $3) \
             and (updated_ms < $4 or (updated_ms = $4 and id > $5)) \
             and (({every} and $6 is null and $7 is null and $8 is null) or exists (select 1 from turns t \
                 where t.tenant_id = c.tenant_id and t.conversation_id = c.id \
                 and ($6 is null or {question} or {answer}) \
                 and ($7 is null or t.rating = $7) and ($8 is null or t.decision = $8) and {went})) \
             order by updated_ms desc, id limit $9"
        ));
        let (updated, id) = filter.before.clone().unwrap_or((Timestamp(i64::MAX), ConversationId::from_text("")));
        let rating = filter.rating.and_then(Rating::stored);
        let pattern = filter.text.map(containing);
        let rows: Vec<ConversationRow> = on!(&self.db, pool => sqlx::query_as(sql)
            .bind(tenant).bind(filter.owner).bind(filter.channel).bind(updated).bind(&id)
            .bind(&pattern).bind(rating).bind(filter.decision).bind(limit)
            .fetch_all(pool).await)?;
        Ok(rows.into_iter().map(Conversation::from).collect())
    }

    /// Deletes a conversation with everything that was said in it.
    ///
    /// # Errors
    /// `conversation_not_found` when it does not exist or is another's.
    pub async fn delete_conversation(&self, tenant: &TenantId, owner: Option<&OwnerId>, id: &ConversationId) -> Result<()> {
        self.conversation(tenant, owner, id).await?;
        if !self.delete_one(tenant, id).await? {
            return Err(no_conversation());
        }
        self.db.empty_log().await
    }

    /// Leaves nothing of what was deleted in the database's log, also of what could not be settled at once.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle(&self) -> Result<()> {
        self.db.empty_log().await
    }

    async fn delete_one(&self, tenant: &TenantId, id: &ConversationId) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        for sql in [
            "delete from turns where tenant_id = $1 and conversation_id = $2",
            "delete from human_replies where tenant_id = $1 and conversation_id = $2",
            // Their names stay: who replies to one is told, and no other asker gets the reply.
            "update human_calls set state = 'deleted', inbound = '{}', question = '' where tenant_id = $1 and conversation_id = $2",
        ] {
            in_tx!(&mut tx, conn => sqlx::query(sql).bind(tenant).bind(id).execute(conn).await.map(drop))?;
        }
        let one = "delete from conversations where tenant_id = $1 and id = $2";
        events::store::forget(&mut tx, tenant, id).await?;
        let gone = in_tx!(&mut tx, conn => sqlx::query(one).bind(tenant).bind(id).execute(conn).await?.rows_affected());
        tx.commit().await?;
        Ok(gone == 1)
    }

    /// Deletes up to `limit` conversations of a shop that nobody has gone on with since `before`;
    /// returns how many.
    pub async fn forget_before(&self, tenant: &TenantId, before: Timestamp, limit: i64) -> Result<u64> {
        let sql = "select id from conversations where tenant_id = $1 and updated_ms < $2 order by updated_ms limit $3";
        let old: Vec<ConversationId> =
            on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).bind(before).bind(limit).fetch_all(pool).await)?;
        let mut gone = 0;
        for id in old {
            gone += u64::from(self.delete_one(tenant, &id).await?);
        }
        Ok(gone)
    }

    /// Drops traces of a shop's turns that ended before a moment, some at a time; returns how many.
    pub async fn drop_traces_before(&self, tenant: &TenantId, before: Timestamp) -> Result<u64> {
        let sql = "update turns set trace = '{}' where tenant_id = $1 and id in \
             (select id from turns where tenant_id = $1 and done_ms is not null and done_ms < $2 and trace <> '{}' limit $3)";
        Ok(on!(&self.db, pool => sqlx::query(sql).bind(tenant).bind(before).bind(TRACES_AT_ONCE).execute(pool).await?.rows_affected()))
    }
}
