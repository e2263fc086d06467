//! Ended states in SQL. They are written in the transaction that ends them.

use sqlx::{AssertSqlSafe, FromRow};

use super::{Action, Version};
use crate::db::Tx;
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::store::{IDS_PER_STATEMENT, KnowledgeStore, placeholders};
use crate::knowledge::{EntryDraft, Revision};
use crate::{in_tx, on};

const CONTENT: &str = "question, answer, \"similar\", negative, category, tags, market, locale, valid_from_ms, valid_to_ms, source, url, direct, content_hash";

/// Who changes an entry, when, and under which revision.
pub struct Change<'a> {
    /// The new knowledge version.
    pub revision: Revision,
    /// The time.
    pub now: Timestamp,
    /// Who.
    pub by: &'a str,
}

/// Keeps what live entries say now, before that ends.
pub async fn keep(tx: &mut Tx, tenant: &TenantId, ids: &[&EntryId], action: Action, change: &Change<'_>) -> Result<()> {
    for some in ids.chunks(IDS_PER_STATEMENT) {
        let sql = format!(
            "insert into entry_versions (tenant_id, entry_id, revision, action, changed_by, at_ms, {CONTENT}) \
             select tenant_id, id, $2, $3, $4, $5, {CONTENT} from entries where tenant_id = $1 and deleted = $6 and id in ({})",
            placeholders(7, some.len())
        );
        in_tx!(tx, conn => {
            let mut query = sqlx::query(AssertSqlSafe(sql))
                .bind(tenant).bind(change.revision).bind(action.as_str()).bind(change.by).bind(change.now).bind(false);
            for id in some { query = query.bind(*id); }
            query.execute(conn).await.map(drop)
        })?;
    }
    Ok(())
}

#[derive(FromRow)]
struct EndedRow {
    entry_id: EntryId,
    #[sqlx(flatten)]
    version: VersionRow,
}

#[derive(FromRow)]
struct VersionRow {
    revision: Revision,
    action: String,
    changed_by: String,
    at_ms: Timestamp,
    question: String,
    answer: String,
    similar: String,
    negative: String,
    category: Option<String>,
    tags: String,
    market: Option<String>,
    locale: Option<String>,
    valid_from_ms: Option<Timestamp>,
    valid_to_ms: Option<Timestamp>,
    source: Option<String>,
    url: Option<String>,
    direct: bool,
}

impl VersionRow {
    fn into_version(self, id: &EntryId) -> Result<Version> {
        let before = EntryDraft {
            id: Some(id.as_str().to_owned()),
            question: self.question,
            answer: self.answer,
            similar: serde_json::from_str(&self.similar)?,
            negative: serde_json::from_str(&self.negative)?,
            category: self.category,
            tags: serde_json::from_str(&self.tags)?,
            market: self.market,
            locale: self.locale,
            valid_from: self.valid_from_ms,
            valid_to: self.valid_to_ms,
            source: self.source,
            url: self.url,
            direct: self.direct,
        };
        let action = if self.action == Action::Deleted.as_str() { Action::Deleted } else { Action::Changed };
        Ok(Version { revision: self.revision, action, by: self.changed_by, at: self.at_ms, before })
    }
}

impl KnowledgeStore {
    /// What entries said before this revision changed or deleted them.
    pub async fn ended_by(&self, tenant: &TenantId, revision: Revision) -> Result<Vec<(EntryId, EntryDraft)>> {
        let sql = format!(
            "select entry_id, revision, action, changed_by, at_ms, {CONTENT} from entry_versions where tenant_id = $1 and revision = $2"
        );
        let rows: Vec<EndedRow> =
            on!(&self.db, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(tenant).bind(revision).fetch_all(pool).await)?;
        let ended = |EndedRow { entry_id, version }: EndedRow| version.into_version(&entry_id).map(|version| (entry_id, version.before));
        rows.into_iter().map(ended).collect()
    }

    /// Entries, also deleted ones, that nothing has touched since this revision did.
    pub async fn last_touched_by(&self, tenant: &TenantId, revision: Revision) -> Result<Vec<EntryId>> {
        let sql = "select id from entries where tenant_id = $1 and revision = $2";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).bind(revision).fetch_all(pool).await)?)
    }

    /// What touched an entry last, also a deleted one.
    pub async fn last_touched(&self, tenant: &TenantId, id: &EntryId) -> Result<Option<Revision>> {
        let sql = "select revision from entries where tenant_id = $1 and id = $2";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).bind(id).fetch_optional(pool).await)?)
    }

    /// The ended states of an entry, the newest first.
    pub async fn versions(&self, tenant: &TenantId, id: &EntryId, limit: usize) -> Result<Vec<Version>> {
        let sql = format!(
            "select revision, action, changed_by, at_ms, {CONTENT} from entry_versions \
             where tenant_id = $1 and entry_id = $2 order by revision desc limit $3"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<VersionRow> =
            on!(&self.db, pool => sqlx::query_as(AssertSqlSafe(sql)).bind(tenant).bind(id).bind(limit).fetch_all(pool).await)?;
        rows.into_iter().map(|row| row.into_version(id)).collect()
    }
}
