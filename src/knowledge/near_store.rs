//! What an import compares its rows with, in SQL: entries that are asked for in nearly the same words, and the rows
//! that entries were made of. Entries of before near keys are given theirs when an import first looks.

use super::KnowledgeEntry;
use super::near::near_key;
use super::store::KnowledgeStore;
use crate::error::Result;
use crate::ids::{EntryId, TenantId};
use crate::{in_tx, on};

/// Rows given their key in one transaction.
const AT_ONCE: i64 = 500;

impl KnowledgeStore {
    /// Live entries whose question has one of these near keys.
    pub async fn with_near_keys(&self, tenant: &TenantId, keys: &[String]) -> Result<Vec<KnowledgeEntry>> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.entries_where(tenant, "near_key", &keys).await
    }

    /// Of which row each live entry was made; with its content hash where that is not known.
    pub async fn row_hashes(&self, tenant: &TenantId) -> Result<Vec<(EntryId, Option<i64>, Option<String>)>> {
        // In the order in which they were written they lie side by side in SQLite's file; left to itself it walks along
        // some other index and jumps about in the whole of it, which takes four times as long.
        let sql = "select id, row_hash, case when row_hash is null then content_hash end from entries \
             where tenant_id = $1 and deleted = $2 order by revision";
        Ok(on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(false).fetch_all(pool).await)?)
    }

    /// Gives every entry of before its near key.
    pub async fn fill_near_keys(&self, tenant: &TenantId) -> Result<()> {
        let without = "select id, question from entries where tenant_id = $1 and near_key is null limit $2";
        let fill = "update entries set near_key = $3 where tenant_id = $1 and id = $2 and near_key is null";
        loop {
            let rows: Vec<(EntryId, String)> =
                on!(&self.db, pool => sqlx::query_as(without).bind(tenant).bind(AT_ONCE).fetch_all(pool).await)?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut tx = self.db.begin().await?;
            for (id, question) in &rows {
                in_tx!(&mut tx, conn => sqlx::query(fill).bind(tenant).bind(id).bind(near_key(question)).execute(conn).await.map(drop))?;
            }
            tx.commit().await?;
        }
    }
}
