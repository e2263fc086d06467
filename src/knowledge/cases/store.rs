//! Labelled questions in SQL, the newest first.

use sqlx::FromRow;

use super::Case;
use crate::error::Result;
use crate::ids::{TenantId, Timestamp};
use crate::knowledge::store::KnowledgeStore;
use crate::{in_tx, on};

#[derive(FromRow)]
struct CaseRow {
    id: String,
    query: String,
    market: Option<String>,
    relevant: String,
    kind: Option<String>,
    created_ms: Timestamp,
    created_by: String,
}

impl CaseRow {
    fn into_case(self) -> Result<Case> {
        let Self { id, query, market, relevant, kind, created_ms, created_by } = self;
        Ok(Case { id, query, market, relevant: serde_json::from_str(&relevant)?, kind, created_ms, created_by })
    }
}

impl KnowledgeStore {
    /// Keeps cases, in place of those of the same ids.
    pub async fn put_cases(&self, tenant: &TenantId, cases: &[Case]) -> Result<()> {
        let sql = "insert into evaluation_cases (tenant_id, id, query, market, relevant, kind, created_ms, created_by) \
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (tenant_id, id) do update set \
             query = excluded.query, relevant = excluded.relevant, kind = excluded.kind, \
             created_ms = excluded.created_ms, created_by = excluded.created_by";
        let mut tx = self.db.begin().await?;
        for case in cases {
            let relevant = serde_json::to_string(&case.relevant)?;
            in_tx!(&mut tx, conn => sqlx::query(sql)
                .bind(tenant).bind(&case.id).bind(&case.query).bind(&case.market).bind(&relevant).bind(&case.kind)
                .bind(case.created_ms).bind(&case.created_by).execute(conn).await.map(drop))?;
        }
        tx.commit().await
    }

    /// A page of cases, the newest first, behind `after` (a moment and an id).
    pub async fn cases(&self, tenant: &TenantId, after: Option<&(Timestamp, String)>, limit: usize) -> Result<Vec<Case>> {
        let sql = "select id, query, market, relevant, kind, created_ms, created_by from evaluation_cases \
             where tenant_id = $1 and created_ms <= $2 and (created_ms < $2 or id < $3) order by created_ms desc, id desc limit $4";
        let (at, id) = after.map_or((Timestamp(i64::MAX), ""), |(at, id)| (*at, id.as_str()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<CaseRow> =
            on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(at).bind(id).bind(limit).fetch_all(pool).await)?;
        rows.into_iter().map(CaseRow::into_case).collect()
    }

    /// How many there are.
    pub async fn count_cases(&self, tenant: &TenantId) -> Result<u64> {
        let sql = "select count(*) from evaluation_cases where tenant_id = $1";
        let count: i64 = on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).fetch_one(pool).await)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Deletes one; whether it was there.
    pub async fn delete_case(&self, tenant: &TenantId, id: &str) -> Result<bool> {
        let sql = "delete from evaluation_cases where tenant_id = $1 and id = $2";
        let deleted = on!(&self.db, pool => sqlx::query(sql).bind(tenant).bind(id).execute(pool).await?.rows_affected());
        Ok(deleted > 0)
    }
}
