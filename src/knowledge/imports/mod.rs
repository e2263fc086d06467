//! Imports in two steps, for people who look before they write: uploaded files lie in the data
//! directory with the plan made of them, until they are applied or a day is over. What became of an applied
//! one stays for a month, so that it can be looked at and taken back.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::edit::TakenBack;
use super::ingest::{self, ImportOptions};
use super::read::{Format, Source};
use super::{Knowledge, Revision};
use crate::disk;
use crate::error::{Error, Result};
use crate::ids::{TenantId, Timestamp, random_token};

mod past;
pub mod planned;
mod undo;

use past::clear;
pub use past::{Came, Past, PastPage};
use planned::PlanPage;

/// How long an import waits to be applied.
const KEPT_MS: i64 = 24 * 3_600_000;
/// How long an applied one can be looked at and taken back.
const PAST_MS: i64 = 30 * KEPT_MS;
/// Imports of one tenant that may wait.
const WAITING: usize = 20;
/// What the console names the file of a row that was typed into it.
const TYPED: &str = "console.jsonl";
/// The record of an import in its folder.
const RECORD: &str = "import.json";
/// Locked while it is applied.
const LOCK: &str = "lock";
/// What applying it wrote.
const WRITTEN: &str = "written.jsonl";
/// Its plan; once applied, what became of each row.
const PLAN: &str = "plan.jsonl";
/// What becomes of each row, while it is being applied.
const DOING: &str = "doing.jsonl";
/// What was decided about its rows, while it is being applied.
const DECIDED: &str = "decided.json";

/// How uploaded files are to be read and judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wish {
    /// Their format, whatever their names.
    pub format: Option<String>,
    /// Their encoding, instead of the guess.
    pub encoding: Option<String>,
    /// The source of rows that name none, instead of the file's name.
    pub source: Option<String>,
    /// Write conflicting rows too.
    pub accept_conflicts: bool,
    /// Do not look for duplicates and conflicts.
    pub as_is: bool,
    /// The files are the whole truth for their sources.
    pub replace_source: bool,
}

/// Rows of a plan that somebody decided on, by their `n`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decided {
    /// Conflicting rows to write all the same.
    pub accept: HashSet<u64>,
    /// Every conflicting row.
    pub accept_all: bool,
    /// Conflicting rows to write over the entry that they conflict with.
    pub replace: HashSet<u64>,
    /// Rows to leave out.
    pub skip: HashSet<u64>,
}

/// Where an import stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing is written yet.
    Planned,
    /// It is being written, or was when the server ended; apply it again.
    Applying,
    /// It is written; the files are gone.
    Applied,
}

/// An import as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Import {
    /// Its name within the tenant.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// When the files came.
    pub created_ms: Timestamp,
    /// Until when it is kept.
    pub expires_ms: Timestamp,
    /// Who sent the files; once applied, who applied it.
    #[serde(default)]
    pub by: String,
    /// When it was written.
    #[serde(default)]
    pub applied_ms: Option<Timestamp>,
    /// The files by name, in order.
    pub files: Vec<String>,
    /// How they are read.
    pub options: Wish,
    /// The knowledge version that the plan was made against.
    pub planned_at_revision: Revision,
    /// What would be done: the counts and problems of `kb import --dry-run`.
    pub plan: Value,
    /// What was done.
    pub applied: Option<Value>,
    /// What taking it back did.
    #[serde(default)]
    pub undone: Option<TakenBack>,
}

impl Import {
    /// Whether somebody typed its row into the console.
    fn is_typed(&self) -> bool {
        self.files == [TYPED]
    }
}

/// The imports that wait in a data directory.
#[derive(Clone)]
pub struct Imports {
    folder: PathBuf,
    knowledge: Knowledge,
    zone: Tz,
}

/// A folder that is filled with uploaded files; gone again unless a plan comes of it.
#[derive(Debug)]
pub struct Upload {
    id: String,
    folder: PathBuf,
    files: Vec<String>,
    done: bool,
}

impl Upload {
    /// Where the next file of that name goes.
    pub fn next(&mut self, name: &str) -> PathBuf {
        // Names are for people; files lie under their number, whatever a name tries.
        self.files.push(readable(name));
        self.folder.join((self.files.len() - 1).to_string())
    }
}

/// A file's name without its folders, and without characters that turn around or break up what stands beside it.
fn readable(name: &str) -> String {
    let turns = |char: char| matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|&char| !char.is_control() && !turns(char)).collect();
    let name = name.trim();
    if name.is_empty() { "upload".to_owned() } else { name.to_owned() }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.done {
            // What stays behind is removed after a day.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Imports {
    /// In the folder `imports` of a data directory.
    pub fn new(data_dir: &Path, knowledge: Knowledge, zone: Tz) -> Self {
        Self { folder: data_dir.join("imports"), knowledge, zone }
    }

    fn of(&self, tenant: &TenantId) -> PathBuf {
        self.folder.join(tenant.as_str())
    }

    /// Begins an upload, after removing what is older than a day.
    ///
    /// # Errors
    /// `too_many_imports`.
    pub async fn begin(&self, tenant: &TenantId) -> Result<Upload> {
        let (folder, now) = (self.of(tenant), self.knowledge.clock().now());
        tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            if clear(&folder, now)? >= WAITING {
                let message = format!("{WAITING} imports wait to be applied. Apply or delete some of them first.");
                return Err(Error::conflict("too_many_imports", message));
            }
            let id = random_token("im_", 16);
            let folder = folder.join(&id);
            std::fs::create_dir(&folder)?;
            Ok(Upload { id, folder, files: Vec::new(), done: false })
        })
        .await?
    }

    /// Makes the plan of an upload.
    ///
    /// # Errors
    /// `no_file`, and what an import says of files that cannot be read at all.
    pub async fn plan(&self, tenant: &TenantId, mut upload: Upload, wish: Wish, by: &str) -> Result<Import> {
        if upload.files.is_empty() {
            return Err(Error::invalid("no_file", "Send at least one file, as the field `file` of multipart/form-data."));
        }
        let now = self.knowledge.clock().now();
        let planned_at_revision = self.knowledge.store().tenant_revision(tenant).await?;
        let sources = sources(&upload.folder, &upload.files, &wish)?;
        let options = ImportOptions { dry_run: true, plan: Some(upload.folder.join(PLAN)), ..options(&wish)? };
        let report = ingest::import_sources(&self.knowledge, tenant, sources, options, self.zone, |_| {}).await?;
        let import = Import {
            id: upload.id.clone(),
            state: State::Planned,
            created_ms: now,
            expires_ms: Timestamp(now.0 + KEPT_MS),
            by: by.to_owned(),
            applied_ms: None,
            files: upload.files.clone(),
            options: wish,
            planned_at_revision,
            plan: serde_json::to_value(&report)?,
            applied: None,
            undone: None,
        };
        write_record(&upload.folder, &import).await?;
        upload.done = true;
        Ok(import)
    }

    /// One import.
    ///
    /// # Errors
    /// `import_not_found`.
    pub async fn get(&self, tenant: &TenantId, id: &str) -> Result<Import> {
        let folder = self.folder_of(tenant, id)?;
        let text = tokio::fs::read_to_string(folder.join(RECORD)).await.map_err(|_| not_found(id))?;
        let import: Import = serde_json::from_str(&text)?;
        if import.expires_ms <= self.knowledge.clock().now() { Err(not_found(id)) } else { Ok(import) }
    }

    /// A page of its plan; once applied, of what became of its rows.
    ///
    /// # Errors
    /// `import_not_found`.
    pub async fn rows(&self, tenant: &TenantId, id: &str, fate: Option<String>, after: u64, limit: usize) -> Result<PlanPage> {
        let path = self.folder_of(tenant, id)?.join(PLAN);
        if !path.exists() {
            return Ok(PlanPage::default());
        }
        tokio::task::spawn_blocking(move || planned::page(&path, fate.as_deref(), after, limit)).await?
    }

    /// Writes what was planned, but for what was decided otherwise. Broken off in the middle it can be
    /// applied again, and goes on with what was decided then.
    ///
    /// # Errors
    /// `import_not_found`, `import_applied`, `import_running`, `plan_outdated` when the base has changed since.
    pub async fn apply(&self, tenant: &TenantId, id: &str, decided: Decided, by: &str) -> Result<Import> {
        let folder = self.folder_of(tenant, id)?;
        self.to_apply(tenant, id).await?;
        let _alone = alone(&folder)?;
        // Again: whoever held it before may have applied it.
        let mut import = self.to_apply(tenant, id).await?;
        let revision = self.knowledge.store().tenant_revision(tenant).await?;
        if import.state == State::Planned && revision != import.planned_at_revision {
            let message = "The knowledge has changed since this plan was made. Upload the files again and look at the new plan.";
            return Err(Error::conflict("plan_outdated", message));
        }
        let sources = sources(&folder, &import.files, &import.options)?;
        let before = if import.state == State::Applying { decided_before(&folder).await? } else { None };
        let decided = if let Some(before) = before {
            before
        } else {
            // Before the record says that it is being applied: whoever goes on finds it.
            tokio::fs::write(folder.join(DECIDED), serde_json::to_vec(&decided)?).await?;
            decided
        };
        let Decided { accept, accept_all, replace, skip } = decided;
        let asked = options(&import.options)?;
        let accept_conflicts = asked.accept_conflicts || accept_all;
        let (written, plan) = (Some(folder.join(WRITTEN)), Some(folder.join(DOING)));
        let options = ImportOptions { accept, accept_conflicts, replace, skip, by: by.to_owned(), written, plan, ..asked };
        import.state = State::Applying;
        // From now on there is something to take back.
        import.expires_ms = Timestamp(self.knowledge.clock().now().0 + PAST_MS);
        write_record(&folder, &import).await?;
        let report = ingest::import_sources(&self.knowledge, tenant, sources, options, self.zone, |_| {}).await?;
        let now = self.knowledge.clock().now();
        import.state = State::Applied;
        import.applied = Some(serde_json::to_value(&report)?);
        (import.by, import.applied_ms, import.expires_ms) = (by.to_owned(), Some(now), Timestamp(now.0 + PAST_MS));
        // Before the record says so: what is not renamed would be taken for what was done.
        tokio::fs::rename(folder.join(DOING), folder.join(PLAN)).await?;
        write_record(&folder, &import).await?;
        for name in (0..import.files.len()).map(|n| n.to_string()).chain([DECIDED.to_owned(), LOCK.to_owned()]) {
            // What stays behind is removed with the record.
            let _ = tokio::fs::remove_file(folder.join(name)).await;
        }
        Ok(import)
    }

    async fn to_apply(&self, tenant: &TenantId, id: &str) -> Result<Import> {
        match self.get(tenant, id).await? {
            import if import.state == State::Applied => Err(Error::conflict("import_applied", "This import is applied already.")),
            import => Ok(import),
        }
    }

    /// Forgets an import that waits, and its files. One that has begun to be written stays: its record is the way back.
    ///
    /// # Errors
    /// `import_not_found`, `import_applied`, `import_applying`, `import_running`.
    pub async fn delete(&self, tenant: &TenantId, id: &str) -> Result<()> {
        let folder = self.folder_of(tenant, id)?;
        self.to_delete(tenant, id).await?;
        let _alone = alone(&folder)?;
        // Again: whoever held it before may have applied it.
        self.to_delete(tenant, id).await?;
        Ok(tokio::fs::remove_dir_all(folder).await?)
    }

    async fn to_delete(&self, tenant: &TenantId, id: &str) -> Result<()> {
        if self.to_apply(tenant, id).await?.state == State::Planned {
            return Ok(());
        }
        let message = "Writing this import has begun. Apply it again to write the rest; then it can be taken back.";
        Err(Error::conflict("import_applying", message))
    }

    /// An id comes from a path of somebody's request: only what could be one is looked up.
    fn folder_of(&self, tenant: &TenantId, id: &str) -> Result<PathBuf> {
        let legal = id.starts_with("im_") && id.len() < 64 && id[3..].bytes().all(|byte| byte.is_ascii_alphanumeric());
        if legal { Ok(self.of(tenant).join(id)) } else { Err(not_found(id)) }
    }
}

fn not_found(id: &str) -> Error {
    Error::not_found("import_not_found", format!("There is no import `{id}`. A plan is kept for a day, what was applied for a month."))
}

/// Holds an import, so that nobody applies or deletes it in the meantime. The record's own name cannot be
/// locked: it is written anew at every step.
fn alone(folder: &Path) -> Result<File> {
    let running = || Error::conflict("import_running", "This import is being applied right now. Look at it again in a moment.");
    disk::lock(&folder.join(LOCK))?.ok_or_else(running)
}

fn options(wish: &Wish) -> Result<ImportOptions> {
    Ok(ImportOptions {
        encoding: wish.encoding.clone(),
        default_source: wish.source.clone(),
        accept_conflicts: wish.accept_conflicts,
        as_is: wish.as_is,
        replace_source: wish.replace_source,
        ..ImportOptions::default()
    })
}

fn sources(folder: &Path, files: &[String], wish: &Wish) -> Result<Vec<Source>> {
    let format = wish.format.as_deref().map(Format::from_word).transpose()?;
    files.iter().enumerate().map(|(n, name)| Source::spooled(name, folder.join(n.to_string()), format)).collect()
}

/// What was decided when applying it began; none when a server before this one began it.
async fn decided_before(folder: &Path) -> Result<Option<Decided>> {
    match tokio::fs::read(folder.join(DECIDED)).await {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Over the old record, in one step: a reader sees one or the other.
async fn write_record(folder: &Path, import: &Import) -> Result<()> {
    let fresh = folder.join("import.json.new");
    tokio::fs::write(&fresh, serde_json::to_vec(import)?).await?;
    Ok(tokio::fs::rename(fresh, folder.join(RECORD)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_is_readable_whatever_it_tries() {
        for (name, shown) in [
            ("../规则 1.csv", "规则 1.csv"),
            ("C:\\fakepath\\faq.xlsx", "faq.xlsx"),
            ("faq\u{202e}vsc.exe", "faqvsc.exe"),
            ("a\nb\r\u{0}.csv", "ab.csv"),
            ("<b>.csv", "<b>.csv"),
            (" \u{2066}/ ", "upload"),
        ] {
            assert_eq!(readable(name), shown, "{name:?}");
        }
    }
}
