//! Knowledge: the front door of the room.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use serde::Serialize;
use crate::config::{Config, SearchConfig};
use crate::db::Db;
use crate::error::Result;
use crate::ids::{Clock, EntryId, TenantId};
use crate::models::Embedder;
use super::store::{KnowledgeStore, Selection};
use super::{KnowledgeEntry, Query, Revision, SearchOutcome};

/// What the room is built from.
pub struct KnowledgeParts {
    pub db: Db,
    pub clock: Clock,
    pub embedder: Arc<dyn Embedder>,
    pub index_dir: PathBuf,
    pub search: SearchConfig,
}

/// Counts for `kb stats` and the console.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    pub entries: u64,
    pub passages: u64,
    pub revision: Revision,
    pub by_category: BTreeMap<String, u64>,
    pub by_locale: BTreeMap<String, u64>,
    pub by_market: BTreeMap<String, u64>,
    pub expiring_7d: u64,
    pub expired: u64,
    pub embedder: String,
}

#[derive(Clone)]
pub struct Knowledge { }

impl Knowledge {
    pub fn build(parts: KnowledgeParts) -> Result<Self> { unimplemented!() }
    /// Brings every index to the latest revision once; then `follow_forever` keeps them there.
    pub async fn catch_up(&self) -> Result<Revision> { unimplemented!() }
    /// Follows the database until `stop` resolves (the server's background loop).
    pub async fn follow_forever(&self, stop: tokio_util::sync::CancellationToken) { unimplemented!() }
    /// Whether the tenant's indexes have been brought up at least once (for /readyz).
    pub fn ready(&self, tenant: &TenantId) -> bool { unimplemented!() }
    pub async fn search(&self, tenant: &TenantId, query: &Query) -> Result<SearchOutcome> { unimplemented!() }
    pub async fn entry(&self, tenant: &TenantId, id: &EntryId) -> Result<Option<KnowledgeEntry>> { unimplemented!() }
    pub async fn stats(&self, tenant: &TenantId) -> Result<Stats> { unimplemented!() }
    pub async fn delete(&self, tenant: &TenantId, selection: &Selection) -> Result<(u64, Revision)> { unimplemented!() }
    /// Throws the tenant's indexes away and builds them again from the database.
    pub async fn reindex(&self, tenant: &TenantId) -> Result<Revision> { unimplemented!() }
    pub fn store(&self) -> &KnowledgeStore { unimplemented!() }
    pub fn embedder(&self) -> &Arc<dyn Embedder> { unimplemented!() }
    pub fn clock(&self) -> &Clock { unimplemented!() }
}
