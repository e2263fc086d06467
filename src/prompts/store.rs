//! A shop's own templates in SQL: versions as they were saved, and the publications that put one of them
//! in force. Both are only ever added to, so that every version can come back.

use serde::Serialize;
use sqlx::FromRow;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{TenantId, Timestamp};
use crate::on;

/// Tries to get a number that another node takes at the same moment.
const TRIES: usize = 5;

/// A template as somebody saved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Version {
    /// Counts from 1 for each template of a shop.
    pub version: i64,
    /// Who saved it: a key's id, or `cli`.
    pub author: String,
    /// What they said about it.
    pub note: String,
    /// When.
    pub created_ms: Timestamp,
    /// The file; left out of lists.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// A version that came into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Publication {
    /// Grows with every publication of the shop, whatever the template.
    pub revision: i64,
    /// Which version; 0 is the file's.
    pub version: i64,
    /// Who did it.
    pub author: String,
    /// Why.
    pub note: String,
    /// When.
    pub created_ms: Timestamp,
}

/// Who does something, why and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub author: &'a str,
    pub note: &'a str,
    pub at: Timestamp,
}

/// Keeps a text under the template's next number, which is returned.
pub(super) async fn save(db: &Db, tenant: &TenantId, name: &str, text: &str, by: Signed<'_>) -> Result<i64> {
    let sql = "insert into prompt_versions (tenant_id, name, version, text, author, note, created_ms) \
         select $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5, $6 from prompt_versions where tenant_id = $1 and name = $2 \
         on conflict do nothing returning version";
    for _ in 0..TRIES {
        let made: Option<i64> = on!(db, pool => sqlx::query_scalar(sql)
            .bind(tenant).bind(name).bind(text).bind(by.author).bind(by.note).bind(by.at)
            .fetch_optional(pool).await)?;
        if let Some(version) = made {
            return Ok(version);
        }
    }
    Err(busy())
}

/// Puts a version in force; the shop's new revision.
pub(super) async fn publish(db: &Db, tenant: &TenantId, name: &str, version: i64, by: Signed<'_>) -> Result<i64> {
    let sql = "insert into prompt_publications (tenant_id, revision, name, version, author, note, created_ms) \
         select $1, coalesce(max(revision), 0) + 1, $2, $3, $4, $5, $6 from prompt_publications where tenant_id = $1 \
         on conflict do nothing returning revision";
    for _ in 0..TRIES {
        let made: Option<i64> = on!(db, pool => sqlx::query_scalar(sql)
            .bind(tenant).bind(name).bind(version).bind(by.author).bind(by.note).bind(by.at)
            .fetch_optional(pool).await)?;
        if let Some(revision) = made {
            return Ok(revision);
        }
    }
    Err(busy())
}

/// The shop's revision; 0 when it never published anything.
pub(super) async fn revision(db: &Db, tenant: &TenantId) -> Result<i64> {
    let sql = "select coalesce(max(revision), 0) from prompt_publications where tenant_id = $1";
    Ok(on!(db, pool => sqlx::query_scalar(sql).bind(tenant).fetch_one(pool).await)?)
}

/// The shop's own texts in force: name, version, text.
pub(super) async fn in_force(db: &Db, tenant: &TenantId) -> Result<Vec<(String, i64, String)>> {
    let sql = "select v.name, v.version, v.text from prompt_publications p \
         join prompt_versions v on v.tenant_id = p.tenant_id and v.name = p.name and v.version = p.version \
         where p.tenant_id = $1 and p.revision = \
         (select max(q.revision) from prompt_publications q where q.tenant_id = p.tenant_id and q.name = p.name)";
    Ok(on!(db, pool => sqlx::query_as(sql).bind(tenant).fetch_all(pool).await)?)
}

/// A template's versions without their text, the newest first.
pub(super) async fn versions(db: &Db, tenant: &TenantId, name: &str, limit: i64) -> Result<Vec<Version>> {
    let sql = "select version, author, note, created_ms, '' as text from prompt_versions \
         where tenant_id = $1 and name = $2 order by version desc limit $3";
    Ok(on!(db, pool => sqlx::query_as(sql).bind(tenant).bind(name).bind(limit).fetch_all(pool).await)?)
}

/// One version.
pub(super) async fn version(db: &Db, tenant: &TenantId, name: &str, version: i64) -> Result<Option<Version>> {
    let sql = "select version, author, note, created_ms, text from prompt_versions where tenant_id = $1 and name = $2 and version = $3";
    Ok(on!(db, pool => sqlx::query_as(sql).bind(tenant).bind(name).bind(version).fetch_optional(pool).await)?)
}

/// What was in force when, the newest first.
pub(super) async fn publications(db: &Db, tenant: &TenantId, name: &str, limit: i64) -> Result<Vec<Publication>> {
    let sql = "select revision, version, author, note, created_ms from prompt_publications \
         where tenant_id = $1 and name = $2 order by revision desc limit $3";
    Ok(on!(db, pool => sqlx::query_as(sql).bind(tenant).bind(name).bind(limit).fetch_all(pool).await)?)
}

fn busy() -> Error {
    Error::conflict("prompt_changed", "Others are changing this shop's prompts at this very moment. Try again.")
}
