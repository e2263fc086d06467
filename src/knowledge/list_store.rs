//! The table of entries in SQL: found by words, narrowed down, the last changed first, a page at a time.

use serde::Deserialize;
use sqlx::AssertSqlSafe;

use super::store::{COLUMNS, EntryRow, KnowledgeStore};
use super::{KnowledgeEntry, Revision};
use crate::db::{Db, containing};
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::on;

/// How long before its end an entry counts as expiring.
const SOON_MS: i64 = 7 * 24 * 3_600_000;

/// Where an entry stands in its validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validity {
    /// It is served now.
    Live,
    /// It is served now, for at most seven more days.
    Expiring,
    /// It is no longer served.
    Expired,
    /// It will be served later.
    Coming,
    /// It was deleted; its history is kept, so it can be brought back.
    Deleted,
}

/// Bounds of a validity: after the first and up to the second.
struct Bounds {
    from: (i64, i64),
    to: (i64, i64),
}

impl Validity {
    fn bounds(self, now: i64) -> Bounds {
        let (any, past, later) = ((-1, i64::MAX), (-1, now), (now, i64::MAX));
        match self {
            Self::Live => Bounds { from: past, to: later },
            Self::Expiring => Bounds { from: any, to: (now, now + SOON_MS) },
            Self::Expired => Bounds { from: any, to: past },
            Self::Coming => Bounds { from: later, to: any },
            Self::Deleted => Bounds { from: any, to: any },
        }
    }
}

/// Which entries are meant; what is none does not narrow them down.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// With these words in a question, a further phrasing or the answer; or this very id.
    pub text: Option<String>,
    /// Of this category.
    pub category: Option<String>,
    /// For this market.
    pub market: Option<String>,
    /// In this language.
    pub locale: Option<String>,
    /// From this source.
    pub source: Option<String>,
    /// Answered without a model, or not.
    pub direct: Option<bool>,
    /// Standing so in their validity.
    pub validity: Option<Validity>,
}

/// What every listing asks. Most rows have no further phrasing: `[]` is not looked into. The bounds of a validity are
/// compared by [`standing`]; here they are only named, because Postgres wants every value to be.
fn meant(db: &Db) -> String {
    let [question, answer, similar] = ["question", "answer", "\"similar\""].map(|column| db.contains(column, "$3"));
    format!(
        "tenant_id = $1 and deleted = $2 \
         and ($3 is null or id = $4 or {question} or {answer} or (length(\"similar\") > 2 and {similar})) \
         and ($5 is null or category = $5) and ($6 is null or market = $6) and ($7 is null or locale = $7) and ($8 is null or source = $8) \
         and ($9 is null or direct = $9) \
         and $10 <= $11 and $12 <= $13"
    )
}

/// What a validity asks beside [`meant`]. Nothing when none is asked for: a database that has to guess how many rows a
/// comparison leaves reads all of them for each page. No beginning is before every moment, no end after every one.
/// Deleted entries have an index of their own, which is taken only when the text of the query says so.
fn standing(listing: &Listing) -> &'static str {
    match listing.validity {
        None => "",
        Some(Validity::Live) => "and (valid_from_ms is null or valid_from_ms <= $11) and (valid_to_ms is null or valid_to_ms > $12)",
        Some(Validity::Expiring) => "and valid_to_ms > $12 and valid_to_ms <= $13",
        Some(Validity::Expired) => "and valid_to_ms <= $13",
        Some(Validity::Coming) => "and valid_from_ms > $10",
        Some(Validity::Deleted) => "and deleted",
    }
}

/// Binds what [`meant`] asks for.
macro_rules! bound {
    ($query:expr, $tenant:expr, $listing:expr, $bounds:expr) => {
        $query
            .bind($tenant)
            .bind($listing.validity == Some(Validity::Deleted))
            .bind($listing.text.as_deref().map(containing))
            .bind($listing.text.as_deref())
            .bind($listing.category.as_deref())
            .bind($listing.market.as_deref())
            .bind($listing.locale.as_deref())
            .bind($listing.source.as_deref())
            .bind($listing.direct)
            .bind($bounds.from.0)
            .bind($bounds.from.1)
            .bind($bounds.to.0)
            .bind($bounds.to.1)
    };
}

impl KnowledgeStore {
    fn bounds(&self, listing: &Listing) -> Bounds {
        let any = Bounds { from: (-1, i64::MAX), to: (-1, i64::MAX) };
        let Timestamp(now) = self.clock.now();
        listing.validity.map_or(any, |validity| validity.bounds(now))
    }

    /// A page of live entries, or of deleted ones, the last changed first, behind `after`.
    pub async fn listed(
        &self,
        tenant: &TenantId,
        listing: &Listing,
        after: Option<&(Revision, EntryId)>,
        limit: usize,
    ) -> Result<Vec<KnowledgeEntry>> {
        let (meant, standing) = (meant(&self.db), standing(listing));
        let sql = AssertSqlSafe(format!(
            "select {COLUMNS} from entries where {meant} {standing} and revision <= $14 and (revision < $14 or id > $15) \
             order by revision desc, id limit $16"
        ));
        let (revision, id) = after.map_or((i64::MAX, ""), |(revision, id)| (*revision, id.as_str()));
        let (bounds, limit) = (self.bounds(listing), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<EntryRow> = on!(&self.db, pool => bound!(sqlx::query_as(sql), tenant, listing, bounds)
            .bind(revision).bind(id).bind(limit).fetch_all(pool).await)?;
        rows.into_iter().map(EntryRow::into_entry).collect()
    }

    /// A page of them in id order, for export: what changes meanwhile keeps its place.
    pub async fn page(&self, tenant: &TenantId, listing: &Listing, after: Option<&EntryId>, limit: usize) -> Result<Vec<KnowledgeEntry>> {
        let (meant, standing) = (meant(&self.db), standing(listing));
        let sql = AssertSqlSafe(format!("select {COLUMNS} from entries where {meant} {standing} and id > $14 order by id limit $15"));
        let after = after.map_or("", EntryId::as_str);
        let (bounds, limit) = (self.bounds(listing), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<EntryRow> =
            on!(&self.db, pool => bound!(sqlx::query_as(sql), tenant, listing, bounds).bind(after).bind(limit).fetch_all(pool).await)?;
        rows.into_iter().map(EntryRow::into_entry).collect()
    }

    /// The first page, and how many there are in all.
    pub async fn listed_first(&self, tenant: &TenantId, listing: &Listing, limit: usize) -> Result<(Vec<KnowledgeEntry>, u64)> {
        let page = self.listed(tenant, listing, None, limit).await?;
        // A page that is not full is all there is: for words that few entries have, no second look at every one.
        let total = if page.len() < limit { page.len() as u64 } else { self.listed_count(tenant, listing).await? };
        Ok((page, total))
    }

    /// How many there are.
    pub async fn listed_count(&self, tenant: &TenantId, listing: &Listing) -> Result<u64> {
        // What every row has to be read for is read in the order of the table; all else is counted in `entries_counted`.
        let order = if listing.text.is_some() { "and revision <= 9223372036854775807" } else { "" };
        let (meant, standing) = (meant(&self.db), standing(listing));
        let sql = AssertSqlSafe(format!("select count(*) from entries where {meant} {standing} {order}"));
        let bounds = self.bounds(listing);
        let count: i64 = on!(&self.db, pool => bound!(sqlx::query_scalar(sql), tenant, listing, bounds).fetch_one(pool).await)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}
