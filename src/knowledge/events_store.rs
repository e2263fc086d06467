//! What is told of entries to the customer's own systems, in SQL: what a commit changed, and what stops
//! being served soon.

use std::collections::HashSet;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::commit_store::EntryWrite;
use super::store::{Due, IDS_PER_STATEMENT, KnowledgeStore, placeholders};
use super::versions::store::Change;
use crate::db::Tx;
use crate::error::Result;
use crate::events::{Event, Kind, store as events};
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::{in_tx, on};

/// Entries told of in one event.
const TOGETHER: usize = 200;

/// Collects what a commit changes, when somebody is to be told.
pub(super) struct Telling {
    /// Entries of the commit that were there before; none when nobody is to be told.
    before: Option<HashSet<EntryId>>,
    entries: Vec<Value>,
}

impl Telling {
    /// Looks before anything is written.
    pub(super) async fn begin(tx: &mut Tx, tenant: &TenantId, writes: &[EntryWrite]) -> Result<Self> {
        let wanted = events::is_wanted(tx, tenant, Kind::EntryChanged).await?;
        let before = if wanted { Some(live(tx, tenant, writes).await?) } else { None };
        Ok(Self { before, entries: Vec::new() })
    }

    /// An entry was written; `changed` when it was there and said something else. New vectors are no change.
    pub(super) fn written(&mut self, write: &EntryWrite, changed: bool) {
        let Some(before) = &self.before else { return };
        let action = match changed {
            true => "changed",
            false if before.contains(&write.id) => return,
            false => "added",
        };
        self.entries.push(json!({"id": write.id, "action": action, "question": write.draft.question}));
    }

    /// An entry was deleted, unless it was not there.
    pub(super) fn deleted(&mut self, id: &EntryId, was_there: bool) {
        if self.before.is_some() && was_there {
            self.entries.push(json!({"id": id, "action": "deleted"}));
        }
    }

    /// Writes it into the outbox.
    pub(super) async fn record(self, tx: &mut Tx, tenant: &TenantId, change: &Change<'_>) -> Result<()> {
        for entries in self.entries.chunks(TOGETHER) {
            let data = json!({"revision": change.revision, "by": change.by, "entries": entries});
            events::record(tx, tenant, &Event::new(Kind::EntryChanged, change.now, data)).await?;
        }
        Ok(())
    }
}

async fn live(tx: &mut Tx, tenant: &TenantId, writes: &[EntryWrite]) -> Result<HashSet<EntryId>> {
    let mut found = HashSet::new();
    for some in writes.chunks(IDS_PER_STATEMENT) {
        let sql = format!("select id from entries where tenant_id = $1 and deleted = $2 and id in ({})", placeholders(3, some.len()));
        let ids: Vec<EntryId> = in_tx!(tx, conn => {
            let mut query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(tenant).bind(false);
            for write in some { query = query.bind(&write.id); }
            query.fetch_all(conn).await
        })?;
        found.extend(ids);
    }
    Ok(found)
}

impl KnowledgeStore {
    /// Live entries that stop being served within a span, the soonest first, those behind `after`.
    pub async fn expiring(&self, tenant: &TenantId, until: Timestamp, after: (Timestamp, &EntryId), limit: i64) -> Result<Vec<Due>> {
        let sql = "select id, question, valid_to_ms as at_ms from entries where tenant_id = $1 and deleted = $2 \
             and (valid_to_ms > $3 or (valid_to_ms = $3 and id > $4)) and valid_to_ms <= $5 order by valid_to_ms, id limit $6";
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(tenant).bind(false).bind(after.0).bind(after.1).bind(until).bind(limit).fetch_all(pool).await)?)
    }
}
