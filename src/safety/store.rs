//! The audit of verdicts in SQL: which rule did what in which turn, never the text.

use serde::Serialize;
use sqlx::FromRow;

use super::Notes;
use crate::db::Db;
use crate::error::Result;
use crate::ids::{TenantId, Timestamp, TurnId, random_token};
use crate::{in_tx, on};

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct AuditedVerdict {
    /// Its id.
    pub id: String,
    /// The turn it was about.
    #[serde(rename = "response_id")]
    pub turn_id: TurnId,
    /// `question`, `source`, `answer`.
    pub stage: String,
    /// Which rule.
    pub rule: String,
    /// `flag`, `redact`, `refuse`.
    pub action: String,
    /// How often in that text.
    pub hits: i64,
    /// When.
    pub created_ms: Timestamp,
}

/// Writes a turn's verdicts.
pub async fn record(db: &Db, tenant: &TenantId, turn: &TurnId, notes: &Notes, now: Timestamp) -> Result<()> {
    let sql = "insert into safety_verdicts (tenant_id, id, turn_id, stage, rule, action, hits, created_ms) values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let mut tx = db.begin().await?;
    for (stage, rule, action, hits) in notes.iter() {
        let (stage, action) = (word(&stage)?, word(&action)?);
        in_tx!(&mut tx, conn => sqlx::query(sql)
            .bind(tenant).bind(random_token("v_", 16)).bind(turn).bind(stage).bind(rule).bind(action).bind(i64::from(hits)).bind(now)
            .execute(conn).await.map(drop))?;
    }
    tx.commit().await
}

/// The newest verdicts before `before`.
pub async fn newest(db: &Db, tenant: &TenantId, since: Timestamp, before: Timestamp, limit: i64) -> Result<Vec<AuditedVerdict>> {
    let sql = "select id, turn_id, stage, rule, action, hits, created_ms from safety_verdicts \
         where tenant_id = $1 and created_ms >= $2 and created_ms < $3 order by created_ms desc, id limit $4";
    Ok(on!(db, pool => sqlx::query_as(sql).bind(tenant).bind(since).bind(before).bind(limit).fetch_all(pool).await)?)
}

/// Deletes what is older.
pub async fn forget_before(db: &Db, tenant: &TenantId, before: Timestamp) -> Result<u64> {
    let sql = "delete from safety_verdicts where tenant_id = $1 and created_ms < $2";
    Ok(on!(db, pool => sqlx::query(sql).bind(tenant).bind(before).execute(pool).await?.rows_affected()))
}

/// The word that a variant serialises to.
fn word(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}
