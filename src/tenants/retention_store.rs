//! How long shops keep things, in SQL.

use super::{Retention, Tenants};
use crate::error::Result;
use crate::ids::TenantId;
use crate::on;

impl Tenants {
    /// What a shop has decided; nothing at first.
    pub async fn retention(&self, tenant: &TenantId) -> Result<Retention> {
        let sql = "select conversation_days, trace_days, verdict_days from retention where tenant_id = $1";
        let row: Option<(Option<i64>, Option<i64>, Option<i64>)> =
            on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).fetch_optional(pool).await)?;
        let days = |days: Option<i64>| days.and_then(|days| u32::try_from(days).ok());
        Ok(row.map_or_else(Retention::default, |(conversations, traces, verdicts)| Retention {
            conversation_days: days(conversations),
            trace_days: days(traces),
            verdict_days: days(verdicts),
        }))
    }

    /// Decides anew, in place of everything decided before.
    ///
    /// # Errors
    /// `bad_retention`.
    pub async fn set_retention(&self, tenant: &TenantId, retention: Retention) -> Result<()> {
        retention.check()?;
        let sql = "insert into retention (tenant_id, conversation_days, trace_days, verdict_days, updated_ms) values ($1, $2, $3, $4, $5) \
             on conflict (tenant_id) do update set conversation_days = excluded.conversation_days, trace_days = excluded.trace_days, \
             verdict_days = excluded.verdict_days, updated_ms = excluded.updated_ms";
        let days = |days: Option<u32>| days.map(i64::from);
        on!(&self.db, pool => sqlx::query(sql)
            .bind(tenant).bind(days(retention.conversation_days)).bind(days(retention.trace_days)).bind(days(retention.verdict_days))
            .bind(self.clock.now())
            .execute(pool).await.map(drop))?;
        Ok(())
    }
}
