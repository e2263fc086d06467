//! The turns of some days in SQL, for the overview.

use futures::TryStreamExt;
use serde::Deserialize;
use sqlx::FromRow;

use super::Memory;
use super::overview::Told;
use crate::error::Result;
use crate::ids::{TenantId, Timestamp};
use crate::on;

#[derive(FromRow)]
struct ToldRow {
    conversation_id: String,
    channel: String,
    created_ms: i64,
    question: String,
    decision: Option<String>,
    status: String,
    finish_reason: Option<String>,
    rating: Option<String>,
    replaced_by: Option<String>,
    usage: String,
    timings: String,
}

/// What is read of a turn's usage and timings; a turn that ended early has less of them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Measured {
    cost: f64,
    currency: String,
    cached: bool,
    first_token: Option<f64>,
    total: Option<f64>,
}

impl Memory {
    /// Tells every ended turn since a moment, in no particular order; of one channel when given.
    pub async fn tell_since(&self, tenant: &TenantId, since: Timestamp, channel: Option<&str>, mut tell: impl FnMut(&Told)) -> Result<()> {
        // Turns have no index by time, but no turn is newer than its conversation.
        let sql = "select t.conversation_id, c.channel, t.created_ms, t.question, t.decision, t.status, t.finish_reason, t.rating, \
             t.replaced_by, t.usage, t.timings from conversations c \
             join turns t on t.tenant_id = c.tenant_id and t.conversation_id = c.id \
             where c.tenant_id = $1 and c.updated_ms >= $2 and t.created_ms >= $2 and t.done_ms is not null \
             and ($3 is null or c.channel = $3)";
        on!(&self.db, pool => {
            let mut rows = sqlx::query_as(sql).bind(tenant).bind(since).bind(channel).fetch(pool);
            while let Some(row) = rows.try_next().await? {
                tell(&told(row)?);
            }
        });
        Ok(())
    }
}

fn told(row: ToldRow) -> Result<Told> {
    let usage: Measured = serde_json::from_str(&row.usage)?;
    let timings: Measured = serde_json::from_str(&row.timings)?;
    Ok(Told {
        conversation: row.conversation_id,
        channel: row.channel,
        created: row.created_ms,
        question: row.question,
        decision: row.decision,
        status: row.status,
        finish_reason: row.finish_reason,
        rating: row.rating,
        replaced: row.replaced_by.is_some(),
        cost: usage.cost,
        currency: usage.currency,
        cached: usage.cached,
        first_token: timings.first_token.map(whole),
        total: timings.total.map(whole),
    })
}

fn whole(ms: f64) -> i64 {
    ms.round() as i64
}
