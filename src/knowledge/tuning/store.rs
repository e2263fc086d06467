//! Tunings in SQL, written under a new knowledge revision as a shop's words are.

use super::Tuning;
use crate::error::Result;
use crate::ids::TenantId;
use crate::knowledge::Revision;
use crate::knowledge::store::{KnowledgeStore, bump};
use crate::{in_tx, on};

impl KnowledgeStore {
    /// What is kept for a shop.
    pub async fn tuning(&self, tenant: &TenantId) -> Result<Option<Tuning>> {
        let sql = "select tuning from search_tunings where tenant_id = $1";
        let kept: Option<String> = on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).fetch_optional(pool).await)?;
        Ok(kept.map(|kept| serde_json::from_str(&kept)).transpose()?)
    }

    /// Keeps it, or forgets what is kept; returns the new knowledge version.
    pub async fn set_tuning(&self, tenant: &TenantId, tuning: Option<&Tuning>, by: &str) -> Result<Revision> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let revision = bump(&mut tx).await?;
        let forget = "delete from search_tunings where tenant_id = $1";
        in_tx!(&mut tx, conn => sqlx::query(forget).bind(tenant).execute(conn).await.map(drop))?;
        if let Some(tuning) = tuning {
            let text = serde_json::to_string(tuning)?;
            let keep = "insert into search_tunings (tenant_id, tuning, revision, updated_ms, updated_by) values ($1, $2, $3, $4, $5)";
            in_tx!(&mut tx, conn => sqlx::query(keep)
                .bind(tenant).bind(text).bind(revision).bind(now).bind(by).execute(conn).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(revision)
    }
}
