//! The lexical leg in this process: BM25 by tantivy over the words of `text::tokens`, one index
//! folder per tenant (so neither words nor their statistics ever cross tenants). A piece of an answer is
//! a document with all phrasings of the question (`title`) and the piece (`body`), because the words of
//! a question in a merchant's own language are often spread over several phrasings; each stands there
//! in words and in grams, pairs and threes of characters that rescue typos and unknown words.
//! The commit's payload says which database and revision it followed to, and with which words of the
//! shop; a folder that is torn, of another layout, database or other words is built again, never trusted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tantivy::Index;

pub use self::sheet::Sheet;
use self::shelf::{Shelf, broken, layout};
use super::{LegQuery, PassageIndex, Scored};
use crate::compute;
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};
use crate::knowledge::Revision;
use crate::knowledge::store::Change;
use crate::knowledge::words::{Terms, Vocabulary};

mod bm25;
mod opened;
mod sheet;
mod shelf;

/// Raise it when the fields, or the words that are put into them, change: old folders are then built again.
const LAYOUT: u32 = 6;

/// BM25 indexes of all tenants below one folder.
pub struct LexicalIndex {
    folder: PathBuf,
    database: String,
    /// Only the process that holds the index lock may build or repair a folder.
    writable: AtomicBool,
    vocabulary: Vocabulary,
    shelves: RwLock<HashMap<TenantId, Arc<Shelf>>>,
}

/// Why a folder that is whole is built again all the same.
const OUTDATED: &str = "index_outdated";
/// Where an index is built beside the one that serves; no tenant has such a name.
const BESIDE: &str = ".beside";

impl LexicalIndex {
    /// Indexes below `folder`, following the database named `database`, of texts cut with the words of
    /// their shop.
    pub fn new(folder: PathBuf, database: String, vocabulary: Vocabulary) -> Self {
        Self { folder, database, writable: AtomicBool::new(true), vocabulary, shelves: RwLock::default() }
    }

    /// An empty index of one tenant with other words, to be filled while this one serves.
    pub fn beside(&self, tenant: &TenantId, terms: Arc<Terms>) -> Result<Self> {
        let vocabulary = Vocabulary::default();
        vocabulary.set(tenant, terms);
        let folder = self.folder.join(BESIDE);
        if folder.join(tenant.as_str()).exists() {
            std::fs::remove_dir_all(folder.join(tenant.as_str()))?;
        }
        Ok(Self::new(folder, self.database.clone(), vocabulary))
    }

    /// Serves what was built beside from now on, with its words.
    pub fn take_over(&self, tenant: &TenantId, beside: &Self) -> Result<()> {
        beside.reopen();
        let (built, serving) = (beside.folder.join(tenant.as_str()), self.folder.join(tenant.as_str()));
        // Nobody opens a folder in between.
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        shelves.remove(tenant);
        if serving.exists() {
            std::fs::remove_dir_all(&serving)?;
        }
        if built.exists() {
            std::fs::rename(&built, &serving)?;
        }
        self.vocabulary.set(tenant, beside.vocabulary.of(tenant));
        Ok(())
    }

    /// Says whether this process holds the index lock.
    pub fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Ordering::Release);
    }

    /// Forgets what is open, so that the next look sees what another process has committed since.
    pub fn reopen(&self) {
        self.shelves.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn shelf(&self, tenant: &TenantId) -> Result<Arc<Shelf>> {
        if let Some(shelf) = self.shelves.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Ok(Arc::clone(shelf));
        }
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = shelves.get(tenant) {
            return Ok(Arc::clone(shelf));
        }
        let shelf = Arc::new(self.open(tenant)?);
        shelves.insert(tenant.clone(), Arc::clone(&shelf));
        Ok(shelf)
    }

    /// The best entries, and what the question scores in all others.
    pub async fn ranked(&self, tenant: &TenantId, query: &LegQuery, limit: usize) -> Result<(Vec<Scored>, Sheet)> {
        let (shelf, query) = (self.shelf(tenant)?, query.clone());
        let ranked = move || {
            let sheet = shelf.sheet(&query)?;
            Ok((sheet.best(limit), sheet))
        };
        compute::run(ranked).await?
    }

    fn open(&self, tenant: &TenantId) -> Result<Shelf> {
        let folder = self.folder.join(tenant.as_str());
        let terms = self.vocabulary.of(tenant);
        let unfit = match self.open_folder(&folder, &terms) {
            Ok(shelf) => return Ok(shelf),
            Err(unfit) => unfit,
        };
        if !self.writable.load(Ordering::Acquire) {
            if !folder.join("meta.json").exists() || untouched(&folder) {
                // Its owner has followed nothing yet. A shop without rows has nothing to wait for, and who wants rows
                // waits for their revision.
                let (schema, fields) = layout();
                return Shelf::new(Index::create_in_ram(schema), fields, terms, 0);
            }
            return Err(Error::unavailable(
                "index_not_ready",
                "The server that owns this data directory is still building the index. Try again in a moment.",
            ));
        }
        if folder.join("meta.json").exists() && !untouched(&folder) {
            match unfit.code() {
                OUTDATED => tracing::info!(%tenant, "{}; the lexical index is built again", unfit.message()),
                _ => tracing::warn!(%tenant, causes = unfit.causes(), "the lexical index is torn; it is built again from the database"),
            }
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let (schema, fields) = layout();
        let index = Index::create_in_dir(&folder, schema).map_err(broken)?;
        Shelf::new(index, fields, terms, 0)
    }

    fn open_folder(&self, folder: &Path, terms: &Arc<Terms>) -> Result<Shelf> {
        let index = Index::open_in_dir(folder).map_err(broken)?;
        let (schema, fields) = layout();
        let payload = index.load_metas().map_err(broken)?.payload.unwrap_or_default();
        let revision = self.followed(&payload, terms)?;
        let damaged = index.validate_checksum().map_err(broken)?;
        if index.schema() != schema || !damaged.is_empty() {
            return Err(Error::internal("index_torn", "a checksum differs"));
        }
        Shelf::new(index, fields, Arc::clone(terms), revision)
    }

    fn payload(&self, revision: Revision, terms: &Terms) -> String {
        format!("{LAYOUT}:{}:{revision}:{}", self.database, terms.fingerprint())
    }

    /// What the folder has followed to.
    ///
    /// # Errors
    /// `index_outdated`: it is whole, and what it was built from is no longer so; its sentence says what has changed.
    fn followed(&self, payload: &str, terms: &Terms) -> Result<Revision> {
        let torn = || Error::internal("index_torn", "what it followed is not told");
        let mut parts = payload.split(':');
        let mut next = || parts.next().ok_or_else(torn);
        let (layout, database, revision) = (next()?, next()?, next()?);
        let words = parts.next().unwrap_or_default();
        let changed = if layout.parse() != Ok(LAYOUT) {
            "another version of this program built it"
        } else if database != self.database {
            "another database is in place"
        } else if words != terms.fingerprint() {
            "the shop's words have changed"
        } else {
            return revision.parse().map_err(|_| torn());
        };
        Err(Error::internal(OUTDATED, changed))
    }
}

/// Whether an index was begun here and nothing was ever committed to it, so that there is nothing to lose.
fn untouched(folder: &Path) -> bool {
    let metas = Index::open_in_dir(folder).and_then(|index| index.load_metas());
    metas.is_ok_and(|metas| metas.payload.is_none() && metas.segments.is_empty())
}

#[async_trait]
impl PassageIndex for LexicalIndex {
    async fn applied(&self, tenant: &TenantId) -> Result<Revision> {
        Ok(self.shelf(tenant)?.applied())
    }

    async fn apply(&self, tenant: &TenantId, changes: &[Change], revision: Revision) -> Result<()> {
        let shelf = self.shelf(tenant)?;
        let payload = self.payload(revision, shelf.terms());
        let changes = changes.to_vec();
        tokio::task::spawn_blocking(move || shelf.apply(&changes, revision, &payload)).await?
    }

    async fn search(&self, tenant: &TenantId, query: &LegQuery, limit: usize) -> Result<Vec<Scored>> {
        Ok(self.ranked(tenant, query, limit).await?.0)
    }

    async fn score(&self, tenant: &TenantId, query: &LegQuery, entries: &[EntryId]) -> Result<Vec<Scored>> {
        let (shelf, query, entries) = (self.shelf(tenant)?, query.clone(), entries.to_vec());
        compute::run(move || shelf.sheet(&query)?.scores(&entries)).await?
    }

    async fn clear(&self, tenant: &TenantId) -> Result<()> {
        self.shelves.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        let folder = self.folder.join(tenant.as_str());
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        Ok(())
    }

    async fn weights(&self, tenant: &TenantId, tokens: &[String]) -> Result<Option<Vec<f32>>> {
        self.shelf(tenant)?.weights(tokens).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::words::Words;

    fn index(folder: &Path) -> LexicalIndex {
        LexicalIndex::new(folder.to_owned(), "db_test".into(), Vocabulary::default())
    }

    #[tokio::test]
    async fn keeps_the_contract_of_a_leg() {
        let folder = tempfile::tempdir().unwrap();
        super::super::contract::holds(&index(folder.path())).await;
    }

    #[tokio::test]
    async fn a_torn_or_foreign_folder_starts_again_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let tenant = TenantId::parse("shop").unwrap();
        index(folder.path()).apply(&tenant, &[], 7).await.unwrap();
        assert_eq!(index(folder.path()).applied(&tenant).await.unwrap(), 7);
        let foreign = LexicalIndex::new(folder.path().to_owned(), "db_other".into(), Vocabulary::default());
        assert_eq!(foreign.applied(&tenant).await.unwrap(), 0);
        std::fs::write(folder.path().join("shop/meta.json"), "{torn").unwrap();
        assert!(!untouched(&folder.path().join("shop")));
        assert_eq!(index(folder.path()).applied(&tenant).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_folder_of_other_words_or_of_another_database_is_outdated_and_not_torn() {
        let folder = tempfile::tempdir().unwrap();
        let tenant = TenantId::parse("shop").unwrap();
        let shop = folder.path().join("shop");
        index(folder.path()).apply(&tenant, &[], 7).await.unwrap();
        let unfit = |database: &str, terms: Terms| {
            let index = LexicalIndex::new(folder.path().to_owned(), database.to_owned(), Vocabulary::default());
            let error = index.open_folder(&shop, &Arc::new(terms)).err().expect("it does not fit");
            (error.code(), error.message().to_owned())
        };
        let words = Words { words: vec!["店小蜜".into()], ..Words::default() };
        assert_eq!(unfit("db_test", Terms::new(&words)), (OUTDATED, "the shop's words have changed".to_owned()));
        assert_eq!(unfit("db_other", Terms::default()).0, OUTDATED);
        std::fs::write(shop.join("meta.json"), "{torn").unwrap();
        assert_ne!(unfit("db_test", Terms::new(&words)).0, OUTDATED);
    }

    #[tokio::test]
    async fn an_index_only_begun_is_not_torn() {
        let folder = tempfile::tempdir().unwrap();
        let tenant = TenantId::parse("shop").unwrap();
        let shop = folder.path().join("shop");
        assert!(!untouched(&shop), "there is nothing");
        index(folder.path()).applied(&tenant).await.unwrap();
        assert!(untouched(&shop), "looked at before the first import");
        index(folder.path()).apply(&tenant, &[], 1).await.unwrap();
        assert!(!untouched(&shop), "an import was followed");
    }

    #[tokio::test]
    async fn who_only_reads_finds_nothing_where_nothing_was_followed_and_waits_where_it_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let tenant = TenantId::parse("shop").unwrap();
        let reader = index(folder.path());
        reader.set_writable(false);
        assert_eq!(reader.applied(&tenant).await.unwrap(), 0, "the owner has not looked at it");
        assert!(!folder.path().join("shop").exists(), "only the owner makes a folder");
        index(folder.path()).applied(&tenant).await.unwrap();
        reader.reopen();
        let asked = LegQuery { tokens: vec!["押金".into()], ..LegQuery::default() };
        assert!(reader.search(&tenant, &asked, 9).await.unwrap().is_empty(), "the owner has begun it");
        index(folder.path()).apply(&tenant, &[], 7).await.unwrap();
        reader.reopen();
        assert_eq!(reader.applied(&tenant).await.unwrap(), 7);
        std::fs::write(folder.path().join("shop/meta.json"), "{torn").unwrap();
        reader.reopen();
        assert_eq!(reader.applied(&tenant).await.unwrap_err().code(), "index_not_ready");
    }
}
