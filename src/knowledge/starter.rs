//! The starter pack: a small knowledge base, compiled in, so that a first start has something true to
//! answer from. It goes the same way as any import.

use chrono_tz::Tz;
use rust_embed::{Embed, EmbeddedFile};

use super::Knowledge;
use super::ingest::{ImportOptions, import_sources};
use super::read::Source;
use super::report::ImportReport;
use crate::error::Result;
use crate::ids::TenantId;

#[derive(Embed)]
#[folder = "knowledge/starter/"]
struct Pack;

/// Imports the starter pack into a tenant; what is there already is passed over.
pub async fn import_starter(knowledge: &Knowledge, tenant: &TenantId, zone: Tz) -> Result<ImportReport> {
    let report = import_sources(knowledge, tenant, sources()?, ImportOptions::default(), zone, |_| {}).await?;
    if report.has_problems() {
        tracing::warn!(failed = report.failed, conflicts = report.conflicts, first = ?report.errors.first(), "the starter pack has rows that could not be taken");
    }
    Ok(report)
}

fn sources() -> Result<Vec<Source>> {
    let mut names: Vec<_> = Pack::iter().collect();
    names.sort();
    let file = |name: &str| Pack::get(name).map(|EmbeddedFile { data, .. }| data.into_owned());
    names.iter().filter_map(|name| Some(Source::memory(name, file(name)?, None))).collect()
}
