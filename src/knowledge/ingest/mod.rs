//! Files → the base: a thread reads rows ahead, each batch is judged against what is stored, only what
//! is new is embedded, and one transaction commits it. Nothing is remembered between runs: an import
//! that was stopped, or killed, is run again, and unchanged rows are passed over by their hash.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use tokio_util::sync::CancellationToken;

use super::imports::planned::{PlanWriter, Planned};
use super::owner::Owner;
use super::plan::{Already, Candidate, Place, Planner, Rules, Verdict};
use super::read::{Cells, Field, Format, Source};
use super::report::{ImportReport, Problem, RowTable};
use super::store::{Known, StoredPassage};
use super::{EntryDraft, Knowledge, Passage, follow, read, split};
use crate::compute;
use crate::error::{Error, Result};
use crate::ids::TenantId;
use crate::models::Embedder;

mod ahead;
mod markets;
mod planning;
mod replace;
mod writing;

use ahead::{Batch, Item, read_ahead};
use markets::Strange;
use replace::Kept;
use writing::{How, Write, completed};

pub(super) use writing::Written;

/// How long an import waits for another one into the same tenant.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether the other one is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// For less than this it does not pay to look through the whole base first; tests do it always.
const FEW_BYTES: u64 = if cfg!(test) { 1 } else { 256 * 1024 };

/// From this many conflicts on, when they are also one row in twenty, people are told of `--as-is`.
const MANY_CONFLICTS: u64 = 20;

/// How an import is done.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Judge everything, write nothing.
    pub dry_run: bool,
    /// The files' format, whatever their names.
    pub format: Option<Format>,
    /// The files' encoding, instead of a guess.
    pub encoding: Option<String>,
    /// Write conflicting rows too.
    pub accept_conflicts: bool,
    /// Write every readable row, without looking for duplicates and conflicts.
    pub as_is: bool,
    /// The source of rows that name none, instead of their file's name.
    pub default_source: Option<String>,
    /// The files are the whole truth for their sources: rows of these that no file has are deleted.
    pub replace_source: bool,
    /// Rows of a plan, by their number, that conflict and are written all the same.
    pub accept: HashSet<u64>,
    /// Rows of a plan, by their number, that are written over the entry that they conflict with.
    pub replace: HashSet<u64>,
    /// Rows of a plan, by their number, that are left out.
    pub skip: HashSet<u64>,
    /// Who imports, for the history of the entries.
    pub by: String,
    /// Where to put a table of the rows that were not taken.
    pub report: Option<PathBuf>,
    /// Where to put what becomes of every row, or would.
    pub plan: Option<PathBuf>,
    /// Where to note what was written, so that it can be taken back as a whole.
    pub written: Option<PathBuf>,
    /// Ends the import after the batch that is under way.
    pub stop: CancellationToken,
}

/// How far an import is.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// Rows dealt with.
    pub rows: u64,
    /// Bytes read of all files.
    pub bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// The counts so far.
    pub report: &'a ImportReport,
}

/// Imports files and folders.
///
/// # Errors
/// Before anything is written: what [`read::sources`] says, `report_unwritable`, and the first file's
/// own error when no file can be read. Later: what the database or the embedder says; what was
/// committed stays.
pub async fn import(
    knowledge: &Knowledge,
    tenant: &TenantId,
    paths: &[PathBuf],
    options: ImportOptions,
    zone: Tz,
    progress: impl Fn(Progress<'_>) + Send,
) -> Result<ImportReport> {
    let (paths, format) = (paths.to_vec(), options.format);
    let sources = tokio::task::spawn_blocking(move || read::sources(&paths, format)).await??;
    import_sources(knowledge, tenant, sources, options, zone, progress).await
}

/// Imports what was already found.
///
/// # Errors
/// As [`import`].
pub async fn import_sources(
    knowledge: &Knowledge,
    tenant: &TenantId,
    sources: Vec<Source>,
    options: ImportOptions,
    zone: Tz,
    progress: impl Fn(Progress<'_>) + Send,
) -> Result<ImportReport> {
    let total_bytes = sources.iter().map(Source::size).sum();
    // Held to the end; a plan writes nothing and need not wait.
    let lock = if options.dry_run { None } else { Some(one_at_a_time(knowledge, tenant, &options.stop).await?) };
    let mut run = Run::start(knowledge, tenant, &sources, &options, zone).await?;
    let already = if total_bytes < FEW_BYTES { Already::default() } else { already(knowledge, tenant).await? };
    let (mut batches, reading) = read_ahead(sources.clone(), &options, zone, already);
    while let Some(batch) = batches.recv().await {
        still_alone(lock.as_ref(), tenant).await?;
        run.take(batch).await?;
        let bytes = sources.iter().map(Source::taken).sum();
        progress(Progress { rows: run.report.rows(), bytes, total_bytes, report: &run.report });
        if options.stop.is_cancelled() {
            run.report.interrupted = true;
            break;
        }
    }
    drop(batches);
    reading.await?;
    still_alone(lock.as_ref(), tenant).await?;
    run.finish().await
}

/// What stands already; nothing while vectors are being renewed, because a row that stands is not looked at again.
async fn already(knowledge: &Knowledge, tenant: &TenantId) -> Result<Already> {
    match knowledge.serving(tenant).await?.wanted {
        Some(_) => Ok(Already::default()),
        None => Ok(Already::new(knowledge.store().row_hashes(tenant).await?)),
    }
}

/// The passages of each draft with their vectors, and who made these; all of a batch are embedded in one call.
pub(super) async fn embed(
    knowledge: &Knowledge,
    tenant: &TenantId,
    drafts: impl Iterator<Item = &EntryDraft>,
) -> Result<(Arc<dyn Embedder>, Vec<Vec<StoredPassage>>)> {
    let mut texts = Vec::new();
    let mut by_draft = Vec::new();
    for draft in drafts {
        let passages = split::passages(draft);
        texts.extend(passages.iter().map(|passage| follow::embedding_text(&draft.question, passage)));
        by_draft.push(passages);
    }
    let (embedder, vectors) = compute::behind(knowledge.embed_rows(tenant, texts)).await?;
    let mut vectors = vectors.into_iter();
    let stored = |passages: Vec<Passage>| {
        let own = follow::in_context(&passages, vectors.by_ref().take(passages.len()).collect());
        passages.into_iter().zip(own).map(|(passage, vector)| StoredPassage { passage, vector }).collect()
    };
    Ok((embedder, by_draft.into_iter().map(stored).collect()))
}

/// Waits until no other import into this tenant is under way. A killed one holds nothing up: the system, or the
/// database, gives its lock back.
///
/// # Errors
/// `import_running` when the other one takes too long, or somebody stops the waiting.
pub(super) async fn one_at_a_time(knowledge: &Knowledge, tenant: &TenantId, stop: &CancellationToken) -> Result<Owner> {
    let lock = knowledge.import_lock(tenant);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !lock.take().await? {
        if tokio::time::Instant::now() > deadline || stop.is_cancelled() {
            let message = format!("Another import into `{tenant}` is under way. Try again when it is done.");
            return Err(Error::conflict("import_running", message));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(lock)
}

/// Whether it is still alone: a lock of the database is lost with its connection, and then another import may have
/// begun.
async fn still_alone(lock: Option<&Owner>, tenant: &TenantId) -> Result<()> {
    let Some(lock) = lock else { return Ok(()) };
    if lock.take().await? {
        return Ok(());
    }
    let message = format!(
        "The connection that kept other imports into `{tenant}` away was lost, and another one has begun. What was written stays; import the \
         file again when that one is done."
    );
    Err(Error::conflict("import_running", message))
}

/// One import under way.
struct Run<'a> {
    knowledge: &'a Knowledge,
    tenant: &'a TenantId,
    files: Vec<String>,
    planner: Planner,
    as_is: bool,
    dry_run: bool,
    zone: Tz,
    report: ImportReport,
    table: Option<RowTable>,
    plan: Option<PlanWriter>,
    /// Rows of the plan that are judged and wait for those of their batch that could not be.
    planned: Vec<Planned>,
    strange: Strange,
    kept: Option<Kept>,
    accept: HashSet<u64>,
    replace: HashSet<u64>,
    skip: HashSet<u64>,
    by: String,
    written: Option<PathBuf>,
    unreadable: Vec<Error>,
}

/// A row that goes into the table of those not taken.
struct Left {
    n: u64,
    file: u32,
    status: &'static str,
    problem: Problem,
    cells: Cells,
}

impl Left {
    /// A duplicate needs no work, and imported again it would be taken for a change of its twin.
    fn is_to_correct(&self) -> bool {
        self.status != "duplicate"
    }
}

/// A row to be judged.
struct Judged {
    n: u64,
    sheet: Option<String>,
    row: Candidate,
}

impl<'a> Run<'a> {
    async fn start(knowledge: &'a Knowledge, tenant: &'a TenantId, sources: &[Source], options: &ImportOptions, zone: Tz) -> Result<Self> {
        let table = match options.report.clone() {
            Some(path) => Some(tokio::task::spawn_blocking(move || RowTable::create(&path)).await??),
            None => None,
        };
        let files: Vec<_> = sources.iter().map(|source| source.name.clone()).collect();
        if !options.as_is {
            knowledge.store().fill_near_keys(tenant).await?;
        }
        let plan = match options.plan.clone() {
            Some(path) => Some(tokio::task::spawn_blocking(move || PlanWriter::create(&path)).await??),
            None => None,
        };
        Ok(Self {
            planner: Planner::new(Rules { accept_conflicts: options.accept_conflicts, as_is: options.as_is }, files.clone()),
            report: ImportReport { dry_run: options.dry_run, ..ImportReport::default() },
            as_is: options.as_is,
            dry_run: options.dry_run,
            unreadable: Vec::new(),
            knowledge,
            tenant,
            files,
            zone,
            table,
            plan,
            planned: Vec::new(),
            strange: Strange::default(),
            kept: options.replace_source.then(Kept::default),
            accept: options.accept.clone(),
            replace: options.replace.clone(),
            skip: options.skip.clone(),
            by: options.by.clone(),
            written: options.written.clone(),
        })
    }

    async fn take(&mut self, batch: Batch) -> Result<()> {
        self.look_at_markets(&batch).await?;
        let mut left = Vec::new();
        let mut rows = Vec::with_capacity(batch.len());
        let mut nameless = Vec::new();
        let mut skipped = Vec::new();
        for item in batch {
            match item {
                Item::Note(note) => self.report.notes.push(note),
                Item::Unreadable { file, error } => {
                    let problem = self.problem(file, 1, None, error.code(), error.message().to_owned());
                    left.push(Left { n: u64::MAX, file, status: "failed", problem, cells: Cells::default() });
                    self.unreadable.push(error);
                }
                Item::Row { n, file, row, sheet, content } if self.skip.contains(&n) => {
                    self.report.skipped += 1;
                    skipped.push(self.plan_skipped(n, file, row, sheet, &content));
                    if let (Some(kept), Ok(row)) = (&mut self.kept, content) {
                        kept.under_any_name(&row);
                    }
                }
                Item::Row { n, file, row, sheet, content: Err(error) } => {
                    let problem = self.problem(file, row, sheet, error.code, error.message);
                    if let Some(glimpse) = error.cells.glimpse() {
                        nameless.push((left.len(), Candidate::new(glimpse, Place { file, row })));
                    }
                    left.push(Left { n, file, status: "failed", problem, cells: *error.cells });
                }
                Item::Row { n, sheet, content: Ok(mut row), .. } => {
                    row.accepted = self.accept.contains(&n);
                    row.replaces = self.replace.contains(&n);
                    rows.push(Judged { n, sheet, row: *row });
                }
            }
        }
        self.judge_and_write(rows, nameless, &mut left).await?;
        self.tell(left, skipped).await
    }

    /// `nameless` are rows that could not be read and have no id, with their places in `left`.
    async fn judge_and_write(&mut self, mut rows: Vec<Judged>, nameless: Vec<(usize, Candidate)>, left: &mut Vec<Left>) -> Result<()> {
        self.planner.doubt(rows.iter_mut().map(|judged| &mut judged.row));
        let candidates =
            rows.iter().map(|judged| &judged.row).filter(|row| row.stands_as.is_none()).chain(nameless.iter().map(|(_, row)| row));
        let base = self.look_up(&candidates.collect::<Vec<_>>()).await?;
        let verdicts = self.planner.judge(rows.iter().map(|judged| &judged.row), &base);
        // The report names them, or they would be taken for another row of their question once corrected.
        for (at, row) in &nameless {
            if let Some(id) = self.planner.id_when_unreadable(row, &base) {
                left[*at].cells.put(Field::Id, id.as_str());
            }
        }
        let rows = completed(rows, &verdicts, &base);
        self.plan_rows(&rows, &verdicts).await?;
        let mut counted = ImportReport::default();
        let mut writes = Vec::new();
        let write = |how, id, row| Write { how, id, row };
        for (Judged { n, sheet, row }, verdict) in rows.into_iter().zip(verdicts) {
            if let Some(kept) = &mut self.kept {
                kept.row(&row, &verdict);
            }
            let (status, code, message) = match verdict {
                Verdict::Added(id) => {
                    counted.added += 1;
                    writes.push(write(How::Added, id, row));
                    continue;
                }
                Verdict::Changed(known) => {
                    counted.changed += 1;
                    writes.push(write(How::Changed, known.id, row));
                    continue;
                }
                Verdict::Unchanged(Known { id, stale_vectors, .. }) => {
                    counted.unchanged += 1;
                    if stale_vectors {
                        writes.push(write(How::Same, id, row));
                    }
                    continue;
                }
                Verdict::Duplicate(clash) => {
                    counted.duplicates += 1;
                    ("duplicate", "duplicate", clash.message)
                }
                Verdict::Conflicting { clash, .. } => ("conflicting", "conflicting", clash.message),
                Verdict::Failed { code, message } => ("failed", code, message),
            };
            let problem = self.problem(row.place.file, row.place.row, sheet, code, message);
            let mut cells = Cells::of(&row.draft, self.zone);
            if status == "conflicting" && row.draft.id.is_none() {
                cells.put(Field::Id, self.planner.id_when_held_back(&row, &base).as_str());
            }
            left.push(Left { n, file: row.place.file, status, problem, cells });
        }
        if !self.dry_run {
            self.write(writes).await?;
        }
        // Counted only now: what could not be committed was not done.
        self.report.added += counted.added;
        self.report.changed += counted.changed;
        self.report.unchanged += counted.unchanged;
        self.report.duplicates += counted.duplicates;
        Ok(())
    }

    fn problem(&self, file: u32, row: u64, sheet: Option<String>, code: &'static str, message: String) -> Problem {
        let file = self.files.get(file as usize).cloned().unwrap_or_default();
        Problem { file, sheet, row, code, message }
    }

    /// Counts the rows that were not taken, and writes them into the table.
    async fn tell(&mut self, mut left: Vec<Left>, skipped: Vec<Planned>) -> Result<()> {
        // As they stand in their file: those that could not be read were put aside first.
        left.sort_by_key(|left| (left.file, left.n));
        for Left { status, problem, .. } in &left {
            match *status {
                "failed" => self.report.add_failed(problem.clone()),
                "conflicting" => self.report.add_conflict(problem.clone()),
                _ => self.report.add_duplicate(problem.clone()),
            }
        }
        self.plan_unjudged(&left, skipped).await?;
        let Some(mut table) = self.table.take() else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || {
            let mut to_correct = left.iter().filter(|left| left.is_to_correct());
            to_correct.try_for_each(|left| table.add(left.status, &left.problem, &left.cells))?;
            table.flush()?;
            Ok::<_, Error>(table)
        });
        self.table = Some(written.await??);
        Ok(())
    }

    async fn finish(mut self) -> Result<ImportReport> {
        if let Some(table) = self.table.take() {
            tokio::task::spawn_blocking(move || table.finish()).await??;
        }
        // When nothing at all could be read, that is the answer, not a report of zero rows.
        if self.unreadable.len() == self.files.len()
            && let Some(error) = self.unreadable.pop()
        {
            return Err(error);
        }
        // A handful are contradictions; this many are headings that come again in every document.
        if self.report.conflicts >= MANY_CONFLICTS && self.report.conflicts * 20 > self.report.rows() {
            let note = "many rows share their question with another: for sections of documents, whose headings repeat, import with --as-is";
            self.report.notes.push(note.to_owned());
        }
        if self.report.rows() == 0 {
            self.report.notes.push("nothing to import: there is no row below the headings".to_owned());
        }
        self.note_markets();
        self.delete_gone().await?;
        if let Some(plan) = self.plan.take() {
            tokio::task::spawn_blocking(move || plan.finish()).await??;
        }
        self.report.revision = self.knowledge.store().revision().await?;
        Ok(self.report)
    }
}

#[cfg(test)]
mod tests;
