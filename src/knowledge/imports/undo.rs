//! Taking an applied import back as a whole, for as long as its record is kept.

use super::{Import, Imports, State, WRITTEN, alone, write_record};
use crate::error::{Error, Result};
use crate::ids::TenantId;
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
        let noted = if path.exists() { tokio::fs::read_to_string(path).await? } else { String::new() };
        let mut all = TakenBack { revision: self.knowledge.store().revision().await?, ..TakenBack::default() };
        for line in noted.lines().rev() {
            let done: Written = serde_json::from_str(line)?;
            let TakenBack { restored, deleted, left, revision } = self.knowledge.take_back(tenant, &done, by).await?;
            all = TakenBack { restored: all.restored + restored, deleted: all.deleted + deleted, left: all.left + left, revision };
        }
        import.undone = Some(all);
        write_record(&folder, &import).await?;
        Ok(import)
    }
}
