//! Turns under way in SQL: how far they are, that somebody is at work on them, and the end of those
//! whose process died.

use serde_json::Value;

use super::Memory;
use crate::db::Db;
use crate::error::Result;
use crate::ids::{TenantId, Timestamp, TurnId};
use crate::{in_tx, on};

/// How far a running turn is.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are Turn's")]
pub struct Progress {
    pub tenant: TenantId,
    pub turn: TurnId,
    pub answer: String,
    pub decision: Option<String>,
    pub sources: Value,
    pub numbers: Value,
}

impl Memory {
    /// Notes how far running turns are, all at once; a turn that has ended meanwhile stays as it is.
    pub async fn note_progress(&self, all: &[Progress]) -> Result<()> {
        let now = self.clock.now();
        let sql = "update turns set answer = $3, decision = $4, sources = $5, numbers = $6, alive_ms = $7 \
             where tenant_id = $1 and id = $2 and status = 'running'";
        let mut tx = self.db.begin().await?;
        for one in all {
            in_tx!(&mut tx, conn => sqlx::query(sql)
                .bind(&one.tenant).bind(&one.turn).bind(&one.answer).bind(&one.decision)
                .bind(one.sources.to_string()).bind(one.numbers.to_string()).bind(now)
                .execute(conn).await.map(drop))?;
        }
        tx.commit().await
    }

    /// Turns that a crash left running end as incomplete; returns how many. With Postgres another
    /// node may be answering, so only turns that nobody has been at work on for `silent_ms` are meant.
    pub async fn end_interrupted(&self, silent_ms: i64) -> Result<u64> {
        let now = self.clock.now();
        let before = Timestamp(match self.db {
            Db::Sqlite(_) => now.0,
            Db::Postgres(_) => now.0 - silent_ms,
        });
        let sql = "update turns set status = 'incomplete', finish_reason = 'interrupted', done_ms = $1 where status = 'running' and alive_ms <= $2";
        Ok(on!(&self.db, pool => sqlx::query(sql).bind(now).bind(before).execute(pool).await?.rows_affected()))
    }

    /// Ends one turn that nobody has been at work on for `silent_ms`; whether it did.
    pub async fn end_if_silent(&self, tenant: &TenantId, turn: &TurnId, silent_ms: i64) -> Result<bool> {
        let now = self.clock.now();
        let sql = "update turns set status = 'incomplete', finish_reason = 'interrupted', done_ms = $3 \
             where tenant_id = $1 and id = $2 and status = 'running' and alive_ms <= $4";
        let ended = on!(&self.db, pool => sqlx::query(sql)
            .bind(tenant).bind(turn).bind(now).bind(Timestamp(now.0 - silent_ms))
            .execute(pool).await?.rows_affected());
        Ok(ended == 1)
    }
}
