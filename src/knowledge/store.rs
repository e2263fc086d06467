//! Entries, passages and the revision in SQL. Every function takes the tenant first. What is written is in
//! `commit_store.rs`; here it is read, so that indexes can follow by "what changed since n".

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow, Row};

use super::tuning::Tuning;
use super::{EntryDraft, KnowledgeEntry, Passage, PassageKind, Revision};
use crate::db::{Db, Tx};
use crate::error::Result;
use crate::ids::{Clock, EntryId, TenantId, Timestamp};
use crate::{in_tx, on};

/// Ids bound in one `in (…)` list; both databases allow far more.
pub(super) const IDS_PER_STATEMENT: usize = 500;

/// A passage as stored: with its vector, when its text has one.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPassage {
    /// The piece of text.
    pub passage: Passage,
    /// Its embedding by the current embedder; `None` when the text has none or it is another's.
    pub vector: Option<Vec<f32>>,
}

/// What changed to one entry since a revision.
#[derive(Clone, Debug)]
pub struct Change {
    /// The entry.
    pub id: EntryId,
    /// When.
    pub revision: Revision,
    /// Its new state; `None` when it was deleted.
    pub entry: Option<(KnowledgeEntry, Vec<StoredPassage>)>,
}

/// What the plan needs to know of a stored entry.
#[derive(Clone, Debug)]
pub struct Known {
    /// The entry.
    pub id: EntryId,
    /// Its stored content hash.
    pub content_hash: String,
    /// Vectors were made by another embedder than the current one.
    pub stale_vectors: bool,
}

impl Known {
    /// An entry that is known to say just what a row says.
    pub fn standing(id: EntryId, row: &super::plan::Candidate) -> Self {
        Self { id, content_hash: row.content_hash.clone(), stale_vectors: false }
    }
}

/// Which entries a deletion means.
#[derive(Clone, Debug)]
pub enum Selection {
    /// These.
    Ids(Vec<EntryId>),
    /// All that came from one source.
    Source(String),
    /// Every entry of the tenant.
    All,
}

/// Counts for `kb stats` and the console.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Stats {
    /// Live entries.
    pub entries: u64,
    /// Their passages.
    pub passages: u64,
    /// The knowledge version.
    pub revision: Revision,
    /// Live entries per category; `""` has none.
    pub by_category: BTreeMap<String, u64>,
    /// Live entries per locale.
    pub by_locale: BTreeMap<String, u64>,
    /// Live entries per market; `""` is for all markets.
    pub by_market: BTreeMap<String, u64>,
    /// Live entries per source; `""` has none.
    pub by_source: BTreeMap<String, u64>,
    /// Entries that stop being served within seven days.
    pub expiring_7d: u64,
    /// Entries that are no longer served.
    pub expired: u64,
    /// Entries that will be served later.
    pub coming: u64,
    /// The first of those that stop being served within seven days, soonest first.
    pub expiring: Vec<Due>,
    /// The first of those that will be served later, soonest first.
    pub becoming_live: Vec<Due>,
    /// The embedder whose vectors are searched.
    pub embedder: String,
    /// How far new vectors are, while they are being made.
    pub renewal: Option<Renewal>,
    /// Words of the shop's own dictionary.
    pub words: usize,
    /// Its groups of synonyms.
    pub synonyms: usize,
    /// What `kb eval --tune` has put in place of the configuration.
    pub tuning: Option<Tuning>,
}

/// Vectors that are being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Renewal {
    /// The embedder that makes them.
    pub embedder: String,
    /// Live entries that have theirs.
    pub done: u64,
    /// Live entries.
    pub of: u64,
}

/// An entry whose validity begins or ends soon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Due {
    /// The entry.
    #[cfg_attr(test, ts(as = "String"))]
    pub id: EntryId,
    /// Its question.
    pub question: String,
    /// When.
    #[cfg_attr(test, ts(as = "i64"))]
    pub at_ms: Timestamp,
}

/// Entries listed in [`Stats`] of each kind.
const DUE_LISTED: i64 = 50;

/// The room's SQL.
#[derive(Clone, Debug)]
pub struct KnowledgeStore {
    pub(super) db: Db,
    pub(super) clock: Clock,
}

/// `similar` is a reserved word in Postgres.
pub(super) const COLUMNS: &str = "id, question, answer, \"similar\", negative, category, tags, market, locale, valid_from_ms, valid_to_ms, source, url, direct, content_hash, deleted, revision, created_ms, updated_ms";

#[derive(FromRow)]
pub(super) struct EntryRow {
    id: EntryId,
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
    content_hash: String,
    deleted: bool,
    revision: Revision,
    created_ms: Timestamp,
    updated_ms: Timestamp,
}

impl EntryRow {
    pub(super) fn into_entry(self) -> Result<KnowledgeEntry> {
        let draft = EntryDraft {
            id: Some(self.id.as_str().to_owned()),
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
        Ok(KnowledgeEntry {
            id: self.id,
            draft,
            content_hash: self.content_hash,
            revision: self.revision,
            created: self.created_ms,
            updated: self.updated_ms,
        })
    }
}

#[derive(FromRow)]
struct PassageRow {
    entry_id: EntryId,
    seq: i64,
    kind: String,
    text: String,
    vector: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct KnownRow {
    id: EntryId,
    content_hash: String,
    stale: i64,
}

impl KnowledgeStore {
    /// Over an open database.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// The knowledge version of the whole database.
    pub async fn revision(&self) -> Result<Revision> {
        let sql = "select revision from knowledge_revision where one = 1";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).fetch_one(pool).await)?)
    }

    /// Every tenant, for the follower.
    pub async fn tenants(&self) -> Result<Vec<TenantId>> {
        let sql = "select id from tenants order by id";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).fetch_all(pool).await)?)
    }

    /// The newest revision that touched this tenant, 0 when none did.
    pub async fn tenant_revision(&self, tenant: &TenantId) -> Result<Revision> {
        let sql = "select coalesce(max(revision), 0) from entries where tenant_id = $1";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).fetch_one(pool).await)?)
    }

    /// Entries touched after a revision, oldest change first. The last revision in the answer is
    /// complete even when `limit` falls inside it.
    pub async fn changes(&self, tenant: &TenantId, embedder: &str, after: Revision, limit: usize) -> Result<Vec<Change>> {
        let until_sql = "select max(revision) from (select revision from entries where tenant_id = $1 and revision > $2 order by revision limit $3) first";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let until: Option<Revision> =
            on!(&self.db, pool => sqlx::query_scalar(until_sql).bind(tenant).bind(after).bind(limit).fetch_one(pool).await)?;
        let Some(until) = until else { return Ok(Vec::new()) };
        let sql = AssertSqlSafe(format!(
            "select {COLUMNS} from entries where tenant_id = $1 and revision > $2 and revision <= $3 order by revision, id"
        ));
        let rows: Vec<EntryRow> = on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(after).bind(until).fetch_all(pool).await)?;
        let live: Vec<EntryId> = rows.iter().filter(|row| !row.deleted).map(|row| row.id.clone()).collect();
        let mut passages = self.passages(tenant, embedder, &live).await?;
        rows.into_iter()
            .map(|row| {
                let (id, revision) = (row.id.clone(), row.revision);
                let entry = if row.deleted {
                    None
                } else {
                    let own = passages.remove(id.as_str()).unwrap_or_default();
                    Some((row.into_entry()?, own))
                };
                Ok(Change { id, revision, entry })
            })
            .collect()
    }

    /// With the vectors of this embedder, those kept beside another's too; in one statement, so that none is
    /// missed while it is moved.
    async fn passages(&self, tenant: &TenantId, embedder: &str, ids: &[EntryId]) -> Result<BTreeMap<String, Vec<StoredPassage>>> {
        let mut by_entry: BTreeMap<String, Vec<StoredPassage>> = BTreeMap::new();
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            let sql = format!(
                "select p.entry_id, p.seq, p.kind, p.text, case when p.embedder = $2 then p.vector else v.vector end as vector \
                 from passages p left join passage_vectors v on p.embedder <> $2 and v.tenant_id = p.tenant_id and v.embedder = $2 \
                 and v.entry_id = p.entry_id and v.seq = p.seq and v.content_hash = \
                 (select e.content_hash from entries e where e.tenant_id = p.tenant_id and e.id = p.entry_id) \
                 where p.tenant_id = $1 and p.entry_id in ({}) order by p.entry_id, p.seq",
                placeholders(3, chunk.len())
            );
            let rows: Vec<PassageRow> = on!(&self.db, pool => {
                let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(tenant).bind(embedder);
                for id in chunk { query = query.bind(id); }
                query.fetch_all(pool).await
            })?;
            for row in rows {
                let entry = row.entry_id.as_str().to_owned();
                let vector = row.vector.as_deref().map(floats);
                by_entry.entry(entry).or_default().push(StoredPassage { passage: passage(row.seq, &row.kind, row.text), vector });
            }
        }
        Ok(by_entry)
    }

    /// Live entries with these ids, in no particular order.
    pub async fn entries(&self, tenant: &TenantId, ids: &[EntryId]) -> Result<Vec<KnowledgeEntry>> {
        let keys: Vec<&str> = ids.iter().map(EntryId::as_str).collect();
        self.entries_where(tenant, "id", &keys).await
    }

    /// Live entries whose normalised standard question is one of these keys.
    pub async fn with_question_keys(&self, tenant: &TenantId, keys: &[String]) -> Result<Vec<KnowledgeEntry>> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.entries_where(tenant, "question_key", &keys).await
    }

    pub(super) async fn entries_where(&self, tenant: &TenantId, column: &'static str, keys: &[&str]) -> Result<Vec<KnowledgeEntry>> {
        let mut entries = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(IDS_PER_STATEMENT) {
            let sql = format!(
                "select {COLUMNS} from entries where tenant_id = $1 and deleted = $2 and {column} in ({})",
                placeholders(3, chunk.len())
            );
            let rows: Vec<EntryRow> = on!(&self.db, pool => {
                let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(tenant).bind(false);
                for key in chunk { query = query.bind(*key); }
                query.fetch_all(pool).await
            })?;
            for row in rows {
                entries.push(row.into_entry()?);
            }
        }
        Ok(entries)
    }

    /// What is stored under these ids (live entries only).
    pub async fn known(&self, tenant: &TenantId, embedder: &str, ids: &[EntryId]) -> Result<Vec<Known>> {
        let mut known = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            let sql = format!(
                "select e.id, e.content_hash, count(p.seq) as stale from entries e \
                 left join passages p on p.tenant_id = e.tenant_id and p.entry_id = e.id and p.embedder <> $2 \
                 and not exists (select 1 from passage_vectors v where v.tenant_id = e.tenant_id and v.embedder = $2 \
                 and v.entry_id = e.id and v.content_hash = e.content_hash) \
                 where e.tenant_id = $1 and e.deleted = $3 and e.id in ({}) group by e.id, e.content_hash",
                placeholders(4, chunk.len())
            );
            let rows: Vec<KnownRow> = on!(&self.db, pool => {
                let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(tenant).bind(embedder).bind(false);
                for id in chunk { query = query.bind(id); }
                query.fetch_all(pool).await
            })?;
            known.extend(rows.into_iter().map(|row| Known { id: row.id, content_hash: row.content_hash, stale_vectors: row.stale > 0 }));
        }
        Ok(known)
    }

    /// Ids of live entries in the selection.
    pub async fn selected(&self, tenant: &TenantId, selection: &Selection) -> Result<Vec<EntryId>> {
        match selection {
            Selection::Ids(ids) => {
                // Each once: an id that is named twice may come in two statements.
                let ids: Vec<EntryId> = ids.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
                Ok(self.entries(tenant, &ids).await?.into_iter().map(|entry| entry.id).collect())
            }
            Selection::Source(source) => {
                let sql = "select id from entries where tenant_id = $1 and deleted = $2 and source = $3 order by id";
                Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).bind(false).bind(source).fetch_all(pool).await)?)
            }
            Selection::All => {
                let sql = "select id from entries where tenant_id = $1 and deleted = $2 order by id";
                Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).bind(false).fetch_all(pool).await)?)
            }
        }
    }

    /// The markets that live entries are for.
    pub async fn markets(&self, tenant: &TenantId) -> Result<Vec<String>> {
        let sql = "select distinct market from entries where tenant_id = $1 and not deleted and market is not null";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).fetch_all(pool).await)?)
    }

    /// Counts of what is stored.
    pub async fn stats(&self, tenant: &TenantId, embedder: &str) -> Result<Stats> {
        let now = self.clock.now();
        let week = Timestamp(now.0 + 7 * 24 * 3_600_000);
        let counts = "select count(*) as entries, \
            coalesce(sum(case when valid_to_ms <= $3 then 1 else 0 end), 0) as expired, \
            coalesce(sum(case when valid_to_ms > $3 and valid_to_ms <= $4 then 1 else 0 end), 0) as expiring, \
            coalesce(sum(case when valid_from_ms > $3 then 1 else 0 end), 0) as coming \
            from entries where tenant_id = $1 and deleted = $2";
        let (entries, expired, expiring, coming): (i64, i64, i64, i64) = on!(&self.db, pool => {
            let row = sqlx::query(counts).bind(tenant).bind(false).bind(now).bind(week).fetch_one(pool).await?;
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)
        });
        let passages: i64 = on!(&self.db, pool => sqlx::query_scalar("select count(*) from passages where tenant_id = $1").bind(tenant).fetch_one(pool).await)?;
        let [by_category, by_market, by_locale, by_source] = self.counts(tenant).await?;
        Ok(Stats {
            entries: unsigned(entries),
            passages: unsigned(passages),
            revision: self.revision().await?,
            by_category,
            by_locale,
            by_market,
            by_source,
            expiring_7d: unsigned(expiring),
            expired: unsigned(expired),
            coming: unsigned(coming),
            expiring: if expiring > 0 { self.due(tenant, "valid_to_ms", now, week).await? } else { Vec::new() },
            becoming_live: if coming > 0 { self.due(tenant, "valid_from_ms", now, Timestamp(i64::MAX)).await? } else { Vec::new() },
            embedder: embedder.to_owned(),
            ..Stats::default()
        })
    }

    async fn due(&self, tenant: &TenantId, column: &'static str, after: Timestamp, until: Timestamp) -> Result<Vec<Due>> {
        let sql = AssertSqlSafe(format!(
            "select id, question, {column} as at_ms from entries where tenant_id = $1 and deleted = $2 \
             and {column} > $3 and {column} <= $4 order by {column}, id limit $5"
        ));
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(tenant).bind(false).bind(after).bind(until).bind(DUE_LISTED).fetch_all(pool).await)?)
    }

    /// Live entries per category, market, locale and source, in one walk along `entries_counted`.
    async fn counts(&self, tenant: &TenantId) -> Result<[BTreeMap<String, u64>; 4]> {
        let sql = "select coalesce(category, ''), coalesce(market, ''), coalesce(locale, ''), coalesce(source, ''), count(*) \
             from entries where tenant_id = $1 and deleted = $2 group by category, market, locale, source";
        let rows: Vec<(String, String, String, String, i64)> =
            on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(false).fetch_all(pool).await)?;
        let mut counts: [BTreeMap<String, u64>; 4] = Default::default();
        for (category, market, locale, source, count) in rows {
            for (counts, name) in counts.iter_mut().zip([category, market, locale, source]) {
                *counts.entry(name).or_default() += unsigned(count);
            }
        }
        Ok(counts)
    }

    /// Names this database, so that an index can tell when it was built from another one.
    pub async fn database_id(&self) -> Result<String> {
        let fresh = crate::ids::random_token("db_", 16);
        let insert = "insert into meta (key, value) values ('database_id', $1) on conflict (key) do nothing";
        on!(&self.db, pool => sqlx::query(insert).bind(fresh).execute(pool).await.map(drop))?;
        let select = "select value from meta where key = 'database_id'";
        Ok(on!(&self.db, pool => sqlx::query_scalar(select).fetch_one(pool).await)?)
    }
}

/// The next knowledge version, within the transaction that is it.
pub(super) async fn bump(tx: &mut Tx) -> Result<Revision> {
    let sql = "update knowledge_revision set revision = revision + 1 where one = 1 returning revision";
    Ok(in_tx!(tx, conn => sqlx::query_scalar(sql).fetch_one(conn).await)?)
}

/// Keeps others from committing until this transaction ends, without a version of its own.
pub(super) async fn hold(tx: &mut Tx) -> Result<()> {
    let sql = "update knowledge_revision set revision = revision where one = 1";
    Ok(in_tx!(tx, conn => sqlx::query(sql).execute(conn).await.map(drop))?)
}

pub(super) fn passage(seq: i64, kind: &str, text: String) -> Passage {
    Passage { seq: u32::try_from(seq).unwrap_or(u32::MAX), kind: PassageKind::from_word(kind), text }
}

/// `$first, $first+1, …`
pub(super) fn placeholders(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
