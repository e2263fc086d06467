//! The starter pack, compiled in: `knowledge/starter` goes through the same reader, plan and ingest
//! as a merchant's own file.

use rust_embed::RustEmbed;

use super::Knowledge;
use super::ingest::{ImportOptions, import_sources};
use super::read::Source;
use super::report::ImportReport;
use crate::error::Result;
use crate::ids::TenantId;

#[derive(RustEmbed)]
#[folder = "knowledge/starter"]
struct Pack;

/// Imports the starter pack; run again after an interruption it goes on where it stopped.
pub async fn import_starter(knowledge: &Knowledge, tenant: &TenantId, zone: chrono_tz::Tz) -> Result<ImportReport> {
    let mut names: Vec<_> = Pack::iter().collect();
    names.sort();
    let mut sources = Vec::with_capacity(names.len());
    for name in &names {
        if let Some(file) = Pack::get(name) {
            sources.push(Source::memory(&format!("starter/{name}"), file.data.into_owned(), None)?);
        }
    }
    // The pack is reviewed here; rows that differ by market or date only are meant so.
    let options = ImportOptions { as_is: true, ..Default::default() };
    import_sources(knowledge, tenant, sources, options, zone, |_| {}).await
}
