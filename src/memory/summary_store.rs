//! What a conversation remembers beside its window, in SQL.

use sqlx::FromRow;

use super::summary::{Remembered, Said, Summary};
use super::{Fact, Memory};
use crate::error::Result;
use crate::ids::{ConversationId, TenantId};
use crate::on;

#[derive(FromRow)]
struct Row {
    summary: String,
    summary_to: i64,
    facts: String,
}

impl Memory {
    /// What the conversation remembers; nothing when it is gone.
    pub async fn remembered(&self, tenant: &TenantId, conversation: &ConversationId) -> Result<Remembered> {
        let sql = "select summary, summary_to, facts from conversations where tenant_id = $1 and id = $2";
        let row: Option<Row> = on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(conversation).fetch_optional(pool).await)?;
        let Some(row) = row else { return Ok(Remembered::default()) };
        let summary = if row.summary.is_empty() { Summary::default() } else { serde_json::from_str(&row.summary)? };
        Ok(Remembered { summary, summary_to: row.summary_to, facts: serde_json::from_str(&row.facts)? })
    }

    /// Turns that are meant and not in the summary yet, oldest first.
    pub async fn unsummarised(&self, tenant: &TenantId, conversation: &ConversationId, after: i64, limit: i64) -> Result<Vec<Said>> {
        let sql = "select place, question, answer from turns \
             where tenant_id = $1 and conversation_id = $2 and place > $3 and replaced_by is null and status <> 'running' order by place limit $4";
        Ok(on!(&self.db, pool =>
            sqlx::query_as(sql).bind(tenant).bind(conversation).bind(after).bind(limit).fetch_all(pool).await)?)
    }

    /// Keeps a summary, unless another was written since `before` (or a turn in it was replaced).
    pub async fn keep_summary(
        &self,
        tenant: &TenantId,
        conversation: &ConversationId,
        before: i64,
        summary: &Summary,
        to: i64,
    ) -> Result<bool> {
        let sql = "update conversations set summary = $4, summary_to = $5 where tenant_id = $1 and id = $2 and summary_to = $3";
        let text = serde_json::to_string(summary)?;
        let kept = on!(&self.db, pool => sqlx::query(sql)
            .bind(tenant).bind(conversation).bind(before).bind(text).bind(to)
            .execute(pool).await?.rows_affected());
        Ok(kept == 1)
    }

    /// Keeps what the merchant has stated.
    pub async fn keep_facts(&self, tenant: &TenantId, conversation: &ConversationId, facts: &[Fact]) -> Result<()> {
        let sql = "update conversations set facts = $3 where tenant_id = $1 and id = $2";
        let text = serde_json::to_string(facts)?;
        on!(&self.db, pool => sqlx::query(sql).bind(tenant).bind(conversation).bind(text).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// The questions of a conversation, the newest first.
    pub async fn questions(&self, tenant: &TenantId, conversation: &ConversationId, limit: i64) -> Result<Vec<String>> {
        let sql = "select question from turns where tenant_id = $1 and conversation_id = $2 order by ordinal desc limit $3";
        Ok(on!(&self.db, pool =>
            sqlx::query_scalar(sql).bind(tenant).bind(conversation).bind(limit).fetch_all(pool).await)?)
    }
}
