//! `backup DIR`: a consistent copy of the database while the server works on. Indexes are not
//! copied, because they follow from the database.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{DONE, print};
use crate::app::Ground;
use crate::config::Config;
use crate::error::{Error, Result};

/// `backup …`
#[derive(Debug, Args)]
pub struct Backup {
    /// A new or empty directory
    dir: PathBuf,
}

impl Backup {
    /// Runs it.
    pub async fn run(self, config: Config, json: bool) -> Result<u8> {
        let ground = Ground::look(config).await?;
        prepare(&self.dir)?;
        // Under another name until it is whole, so that a broken-off copy is never taken for a backup.
        let (part, whole) = (self.dir.join("copilot.db.part"), self.dir.join("copilot.db"));
        ground.db.copy_to(&part).await?;
        tokio::fs::rename(&part, &whole).await?;
        let bytes = tokio::fs::metadata(&whole).await?.len();
        ground.db.close().await;
        let start = start_command(&self.dir, &whole, !ground.config.database.is_empty());
        if json {
            print::json(&json!({"path": whole, "bytes": bytes, "start": start}));
        } else {
            print::line(format!("Copied {:.1} MB to {}. Start from it with:\n  {start}", bytes as f64 / 1e6, whole.display()));
        }
        Ok(DONE)
    }
}

/// A configured database would win over the copy's, so then the copy has to be named.
fn start_command(dir: &Path, database: &Path, named: bool) -> String {
    let named = if named { format!(" --database sqlite://{}", database.display()) } else { String::new() };
    format!("merchant-copilot serve --data-dir {}{named}", dir.display())
}

fn prepare(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if std::fs::read_dir(dir)?.next().is_some() {
        return Err(Error::conflict(
            "backup_dir_not_empty",
            format!("{} is not empty. Give a new directory for each backup.", dir.display()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        prepare(&dir.path().join("new")).unwrap();
        assert_eq!(prepare(dir.path()).unwrap_err().code(), "backup_dir_not_empty");
    }
}
