//! Commits of knowledge in SQL: entries, their passages and the next revision are written in one transaction, so that
//! commit order is revision order. What the entries said before is kept by the same transaction, and told.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;

use super::events_store::Telling;
use super::store::{IDS_PER_STATEMENT, KnowledgeStore, StoredPassage, bump, bytes, placeholders};
use super::versions::Action;
use super::versions::store::{Change, keep};
use super::{EntryDraft, Revision};
use crate::db::Tx;
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::in_tx;

/// Entries of one statement.
const ENTRIES_AT_ONCE: usize = 32;

/// Passages of one statement: a database takes few parameters at once.
pub(super) const PASSAGES_AT_ONCE: usize = 64;

/// One entry to write, ready: id made, hash computed, passages embedded.
#[derive(Clone, Debug)]
pub struct EntryWrite {
    /// Its identity.
    pub id: EntryId,
    /// Its content.
    pub draft: EntryDraft,
    /// The normalised standard question (`text::question_key`).
    pub question_key: String,
    /// What nearly the same questions share (`near::near_key`).
    pub near_key: String,
    /// SHA-256 of the normalised content.
    pub content_hash: String,
    /// The hash of the row it was made of; none when it was not made of one.
    pub row_hash: Option<i64>,
    /// What will be retrieved.
    pub passages: Vec<StoredPassage>,
}

/// A commit that is ready but for its last word: dropped, it never was.
pub struct Pending {
    tx: Tx,
    /// The knowledge version that it makes.
    pub revision: Revision,
}

impl Pending {
    /// Makes it so.
    pub async fn commit(self) -> Result<Revision> {
        self.tx.commit().await?;
        Ok(self.revision)
    }
}

impl KnowledgeStore {
    /// Writes and deletes in one transaction under one new revision and returns it; the current one
    /// when there is nothing to do.
    pub async fn commit(&self, tenant: &TenantId, embedder: &str, writes: &[EntryWrite], deletes: &[EntryId]) -> Result<Revision> {
        self.commit_by(tenant, embedder, writes, deletes, "system").await
    }

    /// The same, with who does it; what changed entries said before is kept.
    pub async fn commit_by(
        &self,
        tenant: &TenantId,
        embedder: &str,
        writes: &[EntryWrite],
        deletes: &[EntryId],
        by: &str,
    ) -> Result<Revision> {
        if writes.is_empty() && deletes.is_empty() {
            return self.revision().await;
        }
        self.prepare_commit(tenant, embedder, writes, deletes, by).await?.commit().await
    }

    /// The same, but for the last word: for who notes the revision down first. Nobody else commits meanwhile.
    pub async fn prepare_commit(
        &self,
        tenant: &TenantId,
        embedder: &str,
        writes: &[EntryWrite],
        deletes: &[EntryId],
        by: &str,
    ) -> Result<Pending> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let revision = bump(&mut tx).await?;
        let change = Change { revision, now, by };
        let mut told = Telling::begin(&mut tx, tenant, writes).await?;
        let before = stored(&mut tx, tenant, &writes.iter().map(|write| &write.id).collect::<Vec<_>>()).await?;
        let said = |id: &EntryId| before.get(id).and_then(Option::as_ref);
        let says_else = |write: &EntryWrite| said(&write.id).is_some_and(|hash| *hash != write.content_hash);
        let changed: Vec<&EntryId> = writes.iter().filter(|write| says_else(write)).map(|write| &write.id).collect();
        keep(&mut tx, tenant, &changed, Action::Changed, &change).await?;
        delete_passages(&mut tx, tenant, &before.keys().collect::<Vec<_>>()).await?;
        writes.iter().for_each(|write| told.written(write, says_else(write)));
        for some in writes.chunks(ENTRIES_AT_ONCE) {
            upsert_entries(&mut tx, tenant, some, revision, now).await?;
        }
        insert_passages(&mut tx, tenant, embedder, writes).await?;
        let deletes: Vec<&EntryId> = deletes.iter().collect();
        let before = stored(&mut tx, tenant, &deletes).await?;
        keep(&mut tx, tenant, &deletes, Action::Deleted, &change).await?;
        hide(&mut tx, tenant, &deletes, &change).await?;
        delete_passages(&mut tx, tenant, &deletes).await?;
        deletes.iter().for_each(|id| told.deleted(id, before.get(*id).is_some_and(Option::is_some)));
        told.record(&mut tx, tenant, &change).await?;
        if !writes.is_empty() {
            // Rows in the space of an embedder that no longer serves have to be renewed.
            let late = "update tenant_embedders set wanted = embedder where tenant_id = $1 and embedder <> $2 and wanted is null";
            in_tx!(&mut tx, conn => sqlx::query(late).bind(tenant).bind(embedder).execute(conn).await.map(drop))?;
        }
        Ok(Pending { tx, revision })
    }
}

/// Which of the ids have a row already, with the content hash of those that are live.
async fn stored(tx: &mut Tx, tenant: &TenantId, ids: &[&EntryId]) -> Result<HashMap<EntryId, Option<String>>> {
    let mut stored = HashMap::new();
    for some in ids.chunks(IDS_PER_STATEMENT) {
        let sql = format!("select id, deleted, content_hash from entries where tenant_id = $1 and id in ({})", placeholders(2, some.len()));
        let rows: Vec<(EntryId, bool, String)> = in_tx!(tx, conn => {
            let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(tenant);
            for id in some { query = query.bind(*id); }
            query.fetch_all(conn).await
        })?;
        stored.extend(rows.into_iter().map(|(id, deleted, hash)| (id, (!deleted).then_some(hash))));
    }
    Ok(stored)
}

/// Makes entries tombstones.
async fn hide(tx: &mut Tx, tenant: &TenantId, ids: &[&EntryId], change: &Change<'_>) -> Result<()> {
    for some in ids.chunks(IDS_PER_STATEMENT) {
        let sql = format!(
            "update entries set deleted = $2, revision = $3, updated_ms = $4 where tenant_id = $1 and id in ({})",
            placeholders(5, some.len())
        );
        in_tx!(tx, conn => {
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant).bind(true).bind(change.revision).bind(change.now);
            for id in some { query = query.bind(*id); }
            query.execute(conn).await.map(drop)
        })?;
    }
    Ok(())
}

/// Several in one statement: a base is filled with a hundred thousand of them.
async fn upsert_entries(tx: &mut Tx, tenant: &TenantId, writes: &[EntryWrite], revision: Revision, now: Timestamp) -> Result<()> {
    /// Parameters that all rows share, and those of each.
    const SHARED: usize = 4;
    const OWN: usize = 18;
    let row = |nth: usize| {
        let own: Vec<String> = (SHARED + nth * OWN + 1..=SHARED + (nth + 1) * OWN).map(|n| format!("${n}")).collect();
        format!("($1, $2, $3, $4, $4, {})", own.join(", "))
    };
    let rows: Vec<String> = (0..writes.len()).map(row).collect();
    let sql = format!(
        "insert into entries (tenant_id, deleted, revision, created_ms, updated_ms, id, question, answer, \"similar\", negative, category, \
         tags, market, locale, valid_from_ms, valid_to_ms, source, url, direct, question_key, content_hash, near_key, row_hash) \
         values {} \
         on conflict (tenant_id, id) do update set question = excluded.question, answer = excluded.answer, \
         \"similar\" = excluded.\"similar\", negative = excluded.negative, category = excluded.category, tags = excluded.tags, \
         market = excluded.market, locale = excluded.locale, valid_from_ms = excluded.valid_from_ms, \
         valid_to_ms = excluded.valid_to_ms, source = excluded.source, url = excluded.url, direct = excluded.direct, \
         question_key = excluded.question_key, content_hash = excluded.content_hash, deleted = excluded.deleted, \
         revision = excluded.revision, updated_ms = excluded.updated_ms, near_key = excluded.near_key, row_hash = excluded.row_hash",
        rows.join(", ")
    );
    let lists = |draft: &EntryDraft| -> Result<[String; 3]> {
        Ok([serde_json::to_string(&draft.similar)?, serde_json::to_string(&draft.negative)?, serde_json::to_string(&draft.tags)?])
    };
    let lists = writes.iter().map(|write| lists(&write.draft)).collect::<Result<Vec<_>>>()?;
    in_tx!(tx, conn => {
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant).bind(false).bind(revision).bind(now);
        for (write, [similar, negative, tags]) in writes.iter().zip(lists) {
            let draft = &write.draft;
            query = query.bind(&write.id).bind(&draft.question).bind(&draft.answer).bind(similar).bind(negative)
                .bind(&draft.category).bind(tags).bind(&draft.market).bind(&draft.locale).bind(draft.valid_from)
                .bind(draft.valid_to).bind(&draft.source).bind(&draft.url).bind(draft.direct).bind(&write.question_key)
                .bind(&write.content_hash).bind(&write.near_key).bind(write.row_hash);
        }
        query.execute(conn).await.map(drop)
    })?;
    Ok(())
}

async fn delete_passages(tx: &mut Tx, tenant: &TenantId, ids: &[&EntryId]) -> Result<()> {
    for some in ids.chunks(IDS_PER_STATEMENT) {
        let sql = format!("delete from passages where tenant_id = $1 and entry_id in ({})", placeholders(2, some.len()));
        in_tx!(tx, conn => {
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant);
            for id in some { query = query.bind(*id); }
            query.execute(conn).await.map(drop)
        })?;
    }
    Ok(())
}

async fn insert_passages(tx: &mut Tx, tenant: &TenantId, embedder: &str, writes: &[EntryWrite]) -> Result<()> {
    let all: Vec<_> = writes.iter().flat_map(|write| write.passages.iter().map(|passage| (&write.id, passage))).collect();
    for some in all.chunks(PASSAGES_AT_ONCE) {
        let row = |n: usize| format!("($1, $2, ${}, ${}, ${}, ${}, ${})", n, n + 1, n + 2, n + 3, n + 4);
        let rows: Vec<String> = (0..some.len()).map(|i| row(3 + i * 5)).collect();
        let sql = format!("insert into passages (tenant_id, embedder, entry_id, seq, kind, text, vector) values {}", rows.join(", "));
        in_tx!(tx, conn => {
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant).bind(embedder);
            for (id, StoredPassage { passage, vector }) in some {
                query = query.bind(*id).bind(i64::from(passage.seq)).bind(passage.kind.as_str()).bind(&passage.text).bind(vector.as_deref().map(bytes));
            }
            query.execute(conn).await.map(drop)
        })?;
    }
    Ok(())
}
