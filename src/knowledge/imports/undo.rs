//! Taking an applied import back as a whole, for as long as its record is kept.

use std::collections::HashSet;

use super::{Import, Imports, State, WRITTEN, alone, write_record};
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};
use crate::knowledge::edit::TakenBack;
use crate::knowledge::ingest::{self, Written};
use tokio_util::sync::CancellationToken;

impl Imports {
    /// Takes back what an import wrote and deleted, the last commit first. Entries that somebody has changed
    /// since stay as they are.
    ///
    /// # Errors
    /// `import_not_found`, `import_not_applied`, `import_undone`, `import_running`.
    pub async fn undo(&self, tenant: &TenantId, id: &str, by: &str) -> Result<Import> {
        let folder = self.folder_of(tenant, id)?;
        self.get(tenant, id).await?;
        let _alone = alone(&folder)?;
        let _one_at_a_time = ingest::one_at_a_time(&self.knowledge, tenant, &CancellationToken::new()).await?;
        let mut import = self.get(tenant, id).await?;
        if import.state != State::Applied {
            return Err(Error::conflict("import_not_applied", "This import is not applied, so there is nothing to take back."));
        }
        if import.undone.is_some() {
            return Err(Error::conflict("import_undone", "This import was taken back already."));
        }
        let path = folder.join(WRITTEN);
        // An import that wrote nothing has noted nothing.
        let noted = if path.exists() { tokio::fs::read(path).await? } else { Vec::new() };
        // A line may be torn in the middle of a character.
        let noted = String::from_utf8_lossy(&noted);
        let mut all = TakenBack { revision: self.knowledge.store().revision().await?, ..TakenBack::default() };
        // What was broken off before its commit is noted again by who went on: the last line of an entry counts.
        let mut seen = HashSet::new();
        for done in read(&noted, id).rev() {
            let mut fresh = |ids: Vec<EntryId>| -> Vec<EntryId> { ids.into_iter().filter(|id| seen.insert(id.clone())).collect() };
            let Written { revision, added, changed, deleted } = done;
            let done = Written { revision, added: fresh(added), changed: fresh(changed), deleted: fresh(deleted) };
            let TakenBack { restored, deleted, left, revision } = self.knowledge.take_back(tenant, &done, by).await?;
            all = TakenBack { restored: all.restored + restored, deleted: all.deleted + deleted, left: all.left + left, revision };
        }
        import.undone = Some(all);
        write_record(&folder, &import).await?;
        Ok(import)
    }
}

/// The lines that can be read. One that was torn off was never committed: it is noted before.
fn read(noted: &str, import: &str) -> impl DoubleEndedIterator<Item = Written> {
    noted.lines().filter(|line| !line.is_empty()).filter_map(move |line| {
        serde_json::from_str(line)
            .inspect_err(|error| tracing::warn!(import, %error, "a torn line of what an import wrote is passed over"))
            .ok()
    })
}
