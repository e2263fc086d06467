//! A shop's words in SQL. They are written under a new knowledge revision, by which every process that
//! follows the database learns of them.

use serde::Serialize;
use sqlx::FromRow;

use super::Words;
use crate::error::{Error, Result};
use crate::ids::{TenantId, Timestamp};
use crate::knowledge::Revision;
use crate::knowledge::store::{KnowledgeStore, bump};
use crate::{in_tx, on};

/// A shop's words with who set them last.
#[derive(Clone, Debug, Serialize)]
pub struct StoredWords {
    /// The words.
    #[serde(flatten)]
    pub words: Words,
    /// The knowledge version that they came with; 0 when the shop has none.
    pub revision: Revision,
    /// When.
    pub updated_ms: Timestamp,
    /// Who.
    pub updated_by: String,
}

#[derive(FromRow)]
struct WordsRow {
    words: String,
    synonyms: String,
    revision: Revision,
    updated_ms: Timestamp,
    updated_by: String,
}

impl KnowledgeStore {
    /// A shop's words; empty when it has none of its own.
    pub async fn words(&self, tenant: &TenantId) -> Result<StoredWords> {
        let sql = "select words, synonyms, revision, updated_ms, updated_by from search_words where tenant_id = $1";
        let row: Option<WordsRow> = on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).fetch_optional(pool).await)?;
        let Some(row) = row else {
            return Ok(StoredWords { words: Words::default(), revision: 0, updated_ms: Timestamp(0), updated_by: String::new() });
        };
        let words = Words { words: serde_json::from_str(&row.words)?, synonyms: serde_json::from_str(&row.synonyms)? };
        Ok(StoredWords { words, revision: row.revision, updated_ms: row.updated_ms, updated_by: row.updated_by })
    }

    /// Replaces a shop's words, with `seen` only those of that revision; returns the new knowledge version.
    ///
    /// # Errors
    /// `words_changed`: somebody else replaced them in the meantime.
    pub async fn set_words(&self, tenant: &TenantId, words: &Words, seen: Option<Revision>, by: &str) -> Result<Revision> {
        let (list, groups) = (serde_json::to_string(&words.words)?, serde_json::to_string(&words.synonyms)?);
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // Writers go one after the other from here on, so what is read now is what is replaced.
        let revision = bump(&mut tx).await?;
        if let Some(seen) = seen {
            let sql = "select revision from search_words where tenant_id = $1";
            let now: Option<Revision> = in_tx!(&mut tx, conn => sqlx::query_scalar(sql).bind(tenant).fetch_optional(conn).await)?;
            if now.unwrap_or(0) != seen {
                let message = "The shop's words were changed by somebody else in the meantime. Load them again.";
                return Err(Error::conflict("words_changed", message.to_owned()));
            }
        }
        let sql = "insert into search_words (tenant_id, words, synonyms, revision, updated_ms, updated_by) values ($1, $2, $3, $4, $5, $6) \
             on conflict (tenant_id) do update set words = excluded.words, synonyms = excluded.synonyms, \
             revision = excluded.revision, updated_ms = excluded.updated_ms, updated_by = excluded.updated_by";
        in_tx!(&mut tx, conn => sqlx::query(sql)
            .bind(tenant).bind(list).bind(groups).bind(revision).bind(now).bind(by)
            .execute(conn).await.map(drop))?;
        tx.commit().await?;
        Ok(revision)
    }
}
