//! In SQL: whose vectors a shop is searched by, and vectors of another embedder while they are being made. They
//! are walked to in the order of revisions, so what is written meanwhile comes behind.

use sqlx::{AssertSqlSafe, FromRow};

use crate::config::EmbedderSource;
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::commit_store::PASSAGES_AT_ONCE;
use crate::knowledge::store::{IDS_PER_STATEMENT, KnowledgeStore, bump, bytes, hold, passage, placeholders, unsigned};
use crate::knowledge::{Passage, Revision};
use crate::{in_tx, on};

/// Whose vectors a shop is searched by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// The embedder's id.
    pub embedder: String,
    /// How it is opened again, when that is known.
    pub source: Option<EmbedderSource>,
    /// Since when.
    pub since: Timestamp,
    /// Whose vectors are being made, if any are.
    pub wanted: Option<String>,
    /// Since when another's are wanted.
    pub wanted_since: Timestamp,
}

#[derive(FromRow)]
struct ServingRow {
    tenant_id: TenantId,
    embedder: String,
    source: String,
    since_ms: Timestamp,
    wanted: Option<String>,
    wanted_ms: Timestamp,
}

impl ServingRow {
    fn serving(self) -> (TenantId, Serving) {
        let Self { tenant_id, embedder, source, since_ms, wanted, wanted_ms } = self;
        // What another version wrote is as good as nothing.
        let source = serde_json::from_str(&source).ok();
        (tenant_id, Serving { embedder, source, since: since_ms, wanted, wanted_since: wanted_ms })
    }
}

/// How far a walk over a shop's entries is: they are in the order of revision and id.
pub type Place = (Revision, EntryId);

/// Some entries of a walk.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Those that lack a vector.
    pub lacking: Vec<EntryId>,
    /// The last one looked at; `None` when there was none.
    pub last: Option<Place>,
}

/// What is embedded of one entry.
#[derive(Clone, Debug)]
pub struct Texts {
    /// The entry.
    pub id: EntryId,
    /// Its content.
    pub content_hash: String,
    /// Its question, which goes with every piece of its answer.
    pub question: String,
    /// Its passages, in order.
    pub passages: Vec<Passage>,
}

/// The vectors of one entry, by the number of the passage.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The entry.
    pub id: EntryId,
    /// The content they are of.
    pub content_hash: String,
    /// `None` for a text that has none.
    pub vectors: Vec<(u32, Option<Vec<f32>>)>,
}

/// An entry `e` that has no vectors of the embedder `$2`, neither in its passages nor beside them.
const LACKS: &str = "exists (select 1 from passages p where p.tenant_id = e.tenant_id and p.entry_id = e.id and p.embedder <> $2) \
     and not exists (select 1 from passage_vectors v where v.tenant_id = e.tenant_id and v.embedder = $2 and v.entry_id = e.id \
     and v.content_hash = e.content_hash)";

#[derive(FromRow)]
struct LackingRow {
    id: EntryId,
    revision: Revision,
    lacks: i64,
}

#[derive(FromRow)]
struct TextRow {
    id: EntryId,
    content_hash: String,
    question: String,
    seq: i64,
    kind: String,
    text: String,
}

impl KnowledgeStore {
    /// Whose vectors each shop is searched by; a shop that nobody has searched or filled yet has none.
    pub async fn all_serving(&self) -> Result<Vec<(TenantId, Serving)>> {
        let sql = "select tenant_id, embedder, source, since_ms, wanted, wanted_ms from tenant_embedders order by tenant_id";
        let rows: Vec<ServingRow> = on!(&self.db, pool => sqlx::query_as(sql).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(ServingRow::serving).collect())
    }

    /// The same for one shop.
    pub async fn serving(&self, tenant: &TenantId) -> Result<Option<Serving>> {
        let sql = "select tenant_id, embedder, source, since_ms, wanted, wanted_ms from tenant_embedders where tenant_id = $1";
        let row: Option<ServingRow> = on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).fetch_optional(pool).await)?;
        Ok(row.map(|row| row.serving().1))
    }

    /// Who made the vectors of a shop whose embedder was never put down.
    pub async fn embedder_of_rows(&self, tenant: &TenantId) -> Result<Option<String>> {
        let sql = "select embedder from passages where tenant_id = $1 order by entry_id, seq limit 1";
        Ok(on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).fetch_optional(pool).await)?)
    }

    /// Puts a shop's embedder down unless another process was quicker, and tells what is put down.
    pub async fn first_serving(&self, tenant: &TenantId, serving: &Serving) -> Result<Serving> {
        let sql = "insert into tenant_embedders (tenant_id, embedder, source, since_ms, wanted) values ($1, $2, $3, $4, $5) \
             on conflict (tenant_id) do nothing";
        let source = source_text(serving.source.as_ref())?;
        on!(&self.db, pool => sqlx::query(sql)
            .bind(tenant).bind(&serving.embedder).bind(source).bind(serving.since).bind(&serving.wanted)
            .execute(pool).await.map(drop))?;
        Ok(self.serving(tenant).await?.unwrap_or_else(|| serving.clone()))
    }

    /// Says whose vectors are being made, for whoever asks how far it is and whoever wishes otherwise.
    pub async fn want_embedder(&self, tenant: &TenantId, embedder: &str) -> Result<()> {
        let sql = "update tenant_embedders set wanted = $2, wanted_ms = $3 where tenant_id = $1 and (wanted is null or wanted <> $2)";
        let now = self.clock.now();
        on!(&self.db, pool => sqlx::query(sql).bind(tenant).bind(embedder).bind(now).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// From now on the shop is searched by this embedder, unless something was written behind `through`: then
    /// nothing happens. With `lacking`, rows without its vectors are still to be renewed.
    pub async fn change_embedder(
        &self,
        tenant: &TenantId,
        embedder: &str,
        source: &EmbedderSource,
        through: Option<Revision>,
        lacking: bool,
    ) -> Result<bool> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // Who commits an entry takes the next revision too, so that none comes in between.
        bump(&mut tx).await?;
        let newest = "select coalesce(max(revision), 0) from entries where tenant_id = $1";
        let newest: Revision = in_tx!(&mut tx, conn => sqlx::query_scalar(newest).bind(tenant).fetch_one(conn).await)?;
        if through.is_some_and(|through| newest > through) {
            return Ok(false);
        }
        let sql = "update tenant_embedders set embedder = $2, source = $3, since_ms = $4, wanted = $5 where tenant_id = $1";
        let source = source_text(Some(source))?;
        in_tx!(&mut tx, conn => sqlx::query(sql)
            .bind(tenant).bind(embedder).bind(source).bind(now).bind(lacking.then_some(embedder))
            .execute(conn).await.map(drop))?;
        tx.commit().await?;
        Ok(true)
    }

    /// Every row up to `through` has the vectors it is searched by; whether none was written behind it.
    pub async fn all_renewed(&self, tenant: &TenantId, embedder: &str, through: Revision) -> Result<bool> {
        let sql = "update tenant_embedders set wanted = null where tenant_id = $1 and embedder = $2 \
             and not exists (select 1 from entries e where e.tenant_id = $1 and e.revision > $3)";
        let mut tx = self.db.begin().await?;
        // Who is about to commit a row of another embedder sees either this or the wish that it leaves in place.
        hold(&mut tx).await?;
        let done = in_tx!(&mut tx, conn => sqlx::query(sql)
            .bind(tenant).bind(embedder).bind(through).execute(conn).await.map(|done| done.rows_affected()))?;
        tx.commit().await?;
        Ok(done > 0)
    }

    /// The next entries of a walk, with those of them that have no vectors of this embedder.
    pub async fn lacking(&self, tenant: &TenantId, embedder: &str, after: &Place, limit: usize) -> Result<Window> {
        let sql = AssertSqlSafe(format!(
            "select e.id, e.revision, cast(case when not e.deleted and {LACKS} then 1 else 0 end as bigint) as lacks \
             from (select tenant_id, id, revision, content_hash, deleted from entries \
             where tenant_id = $1 and (revision, id) > ($3, $4) order by revision, id limit $5) e order by e.revision, e.id"
        ));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<LackingRow> = on!(&self.db, pool => sqlx::query_as(sql)
            .bind(tenant).bind(embedder).bind(after.0).bind(&after.1).bind(limit).fetch_all(pool).await)?;
        let last = rows.last().map(|row| (row.revision, row.id.clone()));
        Ok(Window { lacking: rows.into_iter().filter(|row| row.lacks > 0).map(|row| row.id).collect(), last })
    }

    /// How many live entries have no vectors of this embedder.
    pub async fn count_lacking(&self, tenant: &TenantId, embedder: &str) -> Result<u64> {
        let sql = AssertSqlSafe(format!("select count(*) from entries e where e.tenant_id = $1 and not e.deleted and {LACKS}"));
        let count: i64 = on!(&self.db, pool => sqlx::query_scalar(sql).bind(tenant).bind(embedder).fetch_one(pool).await)?;
        Ok(unsigned(count))
    }

    /// The texts of these live entries, read in one statement, so that they are of the content they are said to be.
    pub async fn texts(&self, tenant: &TenantId, ids: &[EntryId]) -> Result<Vec<Texts>> {
        let mut all: Vec<Texts> = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            let sql = format!(
                "select e.id, e.content_hash, e.question, p.seq, p.kind, p.text from entries e \
                 join passages p on p.tenant_id = e.tenant_id and p.entry_id = e.id \
                 where e.tenant_id = $1 and not e.deleted and e.id in ({}) order by e.id, p.seq",
                placeholders(2, chunk.len())
            );
            let rows: Vec<TextRow> = on!(&self.db, pool => {
                let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(tenant);
                for id in chunk { query = query.bind(id); }
                query.fetch_all(pool).await
            })?;
            for TextRow { id, content_hash, question, seq, kind, text } in rows {
                if all.last().is_none_or(|last| last.id != id) {
                    all.push(Texts { id, content_hash, question, passages: Vec::new() });
                }
                if let Some(last) = all.last_mut() {
                    last.passages.push(passage(seq, &kind, text));
                }
            }
        }
        Ok(all)
    }

    /// Keeps vectors beside those that serve; not once theirs serve, because an index that has been filled would
    /// never hear of them.
    pub async fn keep_beside(&self, tenant: &TenantId, embedder: &str, rows: &[Filled]) -> Result<bool> {
        // The record is held until these are there.
        let another_serves = "update tenant_embedders set embedder = embedder where tenant_id = $1 and embedder <> $2";
        let forget = "delete from passage_vectors where tenant_id = $1 and embedder = $2 and entry_id = $3";
        let mut tx = self.db.begin().await?;
        let beside = in_tx!(&mut tx, conn => sqlx::query(another_serves)
            .bind(tenant).bind(embedder).execute(conn).await.map(|done| done.rows_affected()))?;
        if beside == 0 {
            return Ok(false);
        }
        for Filled { id, content_hash, vectors } in rows {
            in_tx!(&mut tx, conn => sqlx::query(forget).bind(tenant).bind(embedder).bind(id).execute(conn).await.map(drop))?;
            for some in vectors.chunks(PASSAGES_AT_ONCE) {
                let places: Vec<String> = (0..some.len()).map(|i| format!("($1, $2, $3, $4, ${}, ${})", 5 + i * 2, 6 + i * 2)).collect();
                let sql = format!(
                    "insert into passage_vectors (tenant_id, embedder, entry_id, content_hash, seq, vector) values {}",
                    places.join(", ")
                );
                in_tx!(&mut tx, conn => {
                    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant).bind(embedder).bind(id).bind(content_hash);
                    for (seq, vector) in some {
                        query = query.bind(i64::from(*seq)).bind(vector.as_deref().map(bytes));
                    }
                    query.execute(conn).await.map(drop)
                })?;
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Gives entries the vectors they are searched by, under one new revision, those whose content is still what
    /// was embedded: what was changed or deleted meanwhile is left as it is.
    pub async fn renew(&self, tenant: &TenantId, embedder: &str, rows: &[Filled]) -> Result<()> {
        let touch = "update entries set revision = $5 where tenant_id = $1 and id = $2 and content_hash = $3 and deleted = $4";
        let renew = "update passages set embedder = $4, vector = $5 where tenant_id = $1 and entry_id = $2 and seq = $3";
        let mut tx = self.db.begin().await?;
        let revision = bump(&mut tx).await?;
        for Filled { id, content_hash, vectors } in rows {
            let same = in_tx!(&mut tx, conn => sqlx::query(touch)
                .bind(tenant).bind(id).bind(content_hash).bind(false).bind(revision)
                .execute(conn).await.map(|done| done.rows_affected()))?;
            if same != 1 {
                continue;
            }
            for (seq, vector) in vectors {
                in_tx!(&mut tx, conn => sqlx::query(renew)
                    .bind(tenant).bind(id).bind(i64::from(*seq)).bind(embedder).bind(vector.as_deref().map(bytes))
                    .execute(conn).await.map(drop))?;
            }
        }
        tx.commit().await
    }

    /// Moves some of the vectors kept beside to where they are searched from, and drops those of other embedders
    /// and of other content; whether there were any.
    pub async fn settle(&self, tenant: &TenantId, serving: &str, limit: usize) -> Result<bool> {
        let next = "select distinct embedder, entry_id from passage_vectors where tenant_id = $1 order by embedder, entry_id limit $2";
        let holds = "from passage_vectors v join entries e on e.tenant_id = v.tenant_id and e.id = v.entry_id and e.content_hash = v.content_hash \
             where v.tenant_id = passages.tenant_id and v.embedder = $2 and v.entry_id = passages.entry_id and v.seq = passages.seq";
        let take = format!(
            "update passages set embedder = $2, vector = (select v.vector {holds}) \
             where tenant_id = $1 and entry_id = $3 and embedder <> $2 and exists (select 1 {holds})"
        );
        let forget = "delete from passage_vectors where tenant_id = $1 and embedder = $2 and entry_id = $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut tx = self.db.begin().await?;
        // Imports touch the same rows, in their own order.
        hold(&mut tx).await?;
        let some: Vec<(String, EntryId)> = in_tx!(&mut tx, conn => sqlx::query_as(next).bind(tenant).bind(limit).fetch_all(conn).await)?;
        for (embedder, id) in &some {
            if embedder == serving {
                in_tx!(&mut tx, conn => sqlx::query(AssertSqlSafe(take.clone()))
                    .bind(tenant).bind(embedder).bind(id).execute(conn).await.map(drop))?;
            }
            in_tx!(&mut tx, conn => sqlx::query(forget).bind(tenant).bind(embedder).bind(id).execute(conn).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(!some.is_empty())
    }
}

fn source_text(source: Option<&EmbedderSource>) -> Result<String> {
    Ok(source.map(serde_json::to_string).transpose()?.unwrap_or_default())
}
