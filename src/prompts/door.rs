//! The room's front door: which templates are in force for a shop now, and how they come to be. What is
//! published on any node, and what changes in the operator's directory, holds for the next question:
//! every look asks for the shop's revision and the directory's state, and reads again what has changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::lint::{Level, LintFinding};
use super::set::TemplateSet;
use super::store::{self, Publication, Signed, Version};
use super::{Origin, PromptTemplate, parse, trial};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{Clock, TenantId};

/// Versions and publications told of a template.
const TOLD: i64 = 200;
/// Longest text of a template and of a note, in characters.
const TEXT_CHARS: usize = 100_000;
const NOTE_CHARS: usize = 500;

/// What a directory looks like from outside: names, sizes and times of its templates.
type Looks = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// Templates of all shops. Cheap to clone.
#[derive(Clone)]
pub struct Prompts(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    /// The operator's templates, if there is such a directory.
    directory: Option<PathBuf>,
    files: Mutex<Files>,
    /// What each shop has of its own, as far as it was asked for.
    shops: Mutex<HashMap<TenantId, OfShop>>,
}

/// The compiled-in templates with the directory's over them.
struct Files {
    set: Arc<TemplateSet>,
    looks: Looks,
}

/// A shop's templates, made of these files at that revision.
struct OfShop {
    revision: i64,
    files: Arc<TemplateSet>,
    set: Arc<TemplateSet>,
}

/// A version that was saved, with what is odd about it.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Its number.
    pub version: i64,
    /// Warnings; a template with errors is not saved.
    pub findings: Vec<LintFinding>,
}

impl Prompts {
    /// Reads the directory: call it at start.
    ///
    /// # Errors
    /// `prompts_dir_missing`, or `prompt_invalid` for a file that cannot be used.
    pub async fn open(db: Db, clock: Clock, directory: &Path) -> Result<Self> {
        let directory = Some(directory.to_owned()).filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = directory.as_ref().filter(|path| !path.is_dir()) {
            let message = format!("`prompts.dir` is {}, which is no directory. Make it, or leave the key empty.", path.display());
            return Err(Error::invalid("prompts_dir_missing", message));
        }
        let (looks, set) = tokio::task::spawn_blocking({
            let directory = directory.clone();
            move || Ok::<_, Error>((looks(directory.as_deref())?, TemplateSet::load(directory.as_deref())?))
        })
        .await??;
        set.check()?;
        let files = Mutex::new(Files { set: Arc::new(set), looks });
        Ok(Self(Arc::new(Inner { db, clock, directory, files, shops: Mutex::default() })))
    }

    /// The templates in force for a shop now.
    pub async fn of(&self, tenant: &TenantId) -> Result<Arc<TemplateSet>> {
        let files = self.files().await?;
        let revision = store::revision(&self.0.db, tenant).await?;
        if revision == 0 {
            return Ok(files);
        }
        if let Some(known) = locked(&self.0.shops).get(tenant)
            && known.revision == revision
            && Arc::ptr_eq(&known.files, &files)
        {
            return Ok(Arc::clone(&known.set));
        }
        let mut set = TemplateSet::clone(&files);
        for (name, version, text) in store::in_force(&self.0.db, tenant).await? {
            if let Some(finding) = set.publish(&name, &text, version) {
                tracing::error!(%tenant, name, version, finding = finding.message, "a published prompt cannot be read; the file's is used");
            }
        }
        let set = Arc::new(set);
        let fresh = OfShop { revision, files, set: Arc::clone(&set) };
        locked(&self.0.shops).insert(tenant.clone(), fresh);
        Ok(set)
    }

    /// The compiled-in templates with the operator's over them. A file that is being edited and cannot be
    /// used leaves what was in force before, and is told in the log.
    pub async fn files(&self) -> Result<Arc<TemplateSet>> {
        if self.0.directory.is_some() {
            let prompts = self.clone();
            tokio::task::spawn_blocking(move || prompts.read_again()).await??;
        }
        Ok(Arc::clone(&locked(&self.0.files).set))
    }

    /// Reads the directory when it does not look as it did. Blocks for as long as a few files take.
    fn read_again(&self) -> Result<()> {
        let directory = self.0.directory.as_deref();
        // Looked at first: what changes while it is read is read again at the next look.
        let seen = looks(directory)?;
        let mut files = locked(&self.0.files);
        if files.looks == seen {
            return Ok(());
        }
        files.looks = seen;
        match TemplateSet::load(directory).and_then(|set| set.check().map(|()| set)) {
            Ok(set) => {
                tracing::info!("the prompts in `prompts.dir` were read again");
                files.set = Arc::new(set);
            }
            Err(error) => tracing::error!("a prompt was edited and cannot be used, the earlier ones stay in force: {error}"),
        }
        Ok(())
    }

    /// Everything wrong or odd in a text that is to become the template of this name.
    ///
    /// # Errors
    /// `prompt_not_found` when nothing asks for a template of that name.
    pub async fn lint(&self, tenant: &TenantId, name: &str, text: &str) -> Result<Vec<LintFinding>> {
        self.of(tenant).await?.get(name)?;
        Ok(trial::lint_file(&format!("{name}.md"), text))
    }

    /// A text that nobody has saved, as a template, if it could be published.
    ///
    /// # Errors
    /// `prompt_not_found`, `prompt_too_long`, or `prompt_invalid` with file, line and what to do.
    pub async fn draft(&self, tenant: &TenantId, name: &str, text: &str) -> Result<PromptTemplate> {
        self.of(tenant).await?.get(name)?;
        Ok(checked(name, text)?.0)
    }

    /// Keeps a text as the template's next version; nothing changes for merchants yet.
    ///
    /// # Errors
    /// As [`draft`](Self::draft), and `note_too_long`.
    pub async fn save(&self, tenant: &TenantId, name: &str, text: &str, author: &str, note: &str) -> Result<Saved> {
        self.of(tenant).await?.get(name)?;
        let (_, findings) = checked(name, text)?;
        let version = store::save(&self.0.db, tenant, name, text, self.signed(author, note)?).await?;
        Ok(Saved { version, findings })
    }

    /// Puts a version in force, an earlier one as well; 0 is the file's. It holds from the next question on.
    ///
    /// # Errors
    /// `prompt_not_found`, `version_not_found`, `prompt_invalid`, `note_too_long`.
    pub async fn publish(&self, tenant: &TenantId, name: &str, version: i64, author: &str, note: &str) -> Result<i64> {
        let template = self.version_of(tenant, name, version).await?;
        refuse_errors(&trial::findings(&template))?;
        store::publish(&self.0.db, tenant, name, version, self.signed(author, note)?).await
    }

    /// Versions that were saved, the newest first, without their texts.
    pub async fn versions(&self, tenant: &TenantId, name: &str) -> Result<Vec<Version>> {
        self.of(tenant).await?.get(name)?;
        store::versions(&self.0.db, tenant, name, TOLD).await
    }

    /// What was in force when, the newest first.
    pub async fn publications(&self, tenant: &TenantId, name: &str) -> Result<Vec<Publication>> {
        store::publications(&self.0.db, tenant, name, TOLD).await
    }

    /// One version with its text; 0 is the file's, which nobody saved.
    ///
    /// # Errors
    /// `prompt_not_found`, `version_not_found`.
    pub async fn version(&self, tenant: &TenantId, name: &str, version: i64) -> Result<Option<Version>> {
        self.of(tenant).await?.get(name)?;
        if version == 0 {
            return Ok(None);
        }
        store::version(&self.0.db, tenant, name, version).await?.map(Some).ok_or_else(|| unknown(name, version))
    }

    /// The same as a template.
    ///
    /// # Errors
    /// `prompt_not_found`, `version_not_found`, or `prompt_invalid` when this release cannot read it.
    pub async fn version_of(&self, tenant: &TenantId, name: &str, version: i64) -> Result<Arc<PromptTemplate>> {
        match self.version(tenant, name, version).await? {
            None => Ok(Arc::clone(self.files().await?.get(name)?)),
            Some(saved) => {
                let template = read_text(name, &saved.text, Origin::Shop(version)).map_err(|finding| finding.to_error())?;
                Ok(Arc::new(template))
            }
        }
    }

    fn signed<'a>(&self, author: &'a str, note: &'a str) -> Result<Signed<'a>> {
        if note.chars().count() > NOTE_CHARS {
            return Err(Error::invalid("note_too_long", format!("The note is longer than {NOTE_CHARS} characters.")));
        }
        Ok(Signed { author, note: note.trim(), at: self.0.clock.now() })
    }
}

/// The template of a text that could be published, with its warnings.
fn checked(name: &str, text: &str) -> Result<(PromptTemplate, Vec<LintFinding>)> {
    if text.chars().count() > TEXT_CHARS {
        return Err(Error::invalid("prompt_too_long", format!("The template is longer than {TEXT_CHARS} characters.")));
    }
    let template = read_text(name, text, Origin::Shop(0)).map_err(|finding| finding.to_error())?;
    let findings = trial::findings(&template);
    refuse_errors(&findings)?;
    Ok((template, findings))
}

fn read_text(name: &str, text: &str, origin: Origin) -> std::result::Result<PromptTemplate, LintFinding> {
    parse::template(&format!("{name}.md"), text, origin)
}

fn refuse_errors(findings: &[LintFinding]) -> Result<()> {
    match findings.iter().find(|finding| finding.level == Level::Error) {
        Some(first) => Err(first.to_error_among(findings)),
        None => Ok(()),
    }
}

fn looks(directory: Option<&Path>) -> Result<Looks> {
    let mut looks = Looks::new();
    for entry in directory.map(std::fs::read_dir).transpose()?.into_iter().flatten() {
        let path = entry?.path();
        // One that has gone in the meantime is not there.
        if path.extension().is_some_and(|extension| extension == "md")
            && let Ok(about) = std::fs::metadata(&path)
        {
            looks.push((path, about.len(), about.modified().ok()));
        }
    }
    looks.sort();
    Ok(looks)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(name: &str, version: i64) -> Error {
    Error::not_found("version_not_found", format!("`{name}` has no version {version}."))
}
