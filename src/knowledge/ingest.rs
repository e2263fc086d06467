//! Rows → plan → embed → commit, batch by batch. Each batch is one transaction under one revision, so
//! an import can be killed at any point: the next run finds what was committed unchanged, by hash, and
//! goes on. Reading happens on a thread of its own behind a bounded channel; memory stays bounded
//! however large the file.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::follow::{embedding_text, stored};
use super::plan::{Fate, Identified, Planner};
use super::read::{Format, ReadRow, RowError, Source};
use super::store::{EntryWrite, StoredPassage};
use super::{EntryDraft, Knowledge, Revision, read, split, write};
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};
use crate::models::EmbedKind;

/// Rows per transaction.
const BATCH: usize = 256;
/// Batches read ahead of the one that is being written.
const READ_AHEAD: usize = 4;
/// Problems listed in the JSON; all of them go into the report file.
const LISTED: usize = 1_000;

/// How an import is done.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Plan only; nothing is written.
    pub dry_run: bool,
    /// Format of every file, whatever its name.
    pub format: Option<Format>,
    /// Encoding of every file.
    pub encoding: Option<String>,
    /// Write conflicting rows too.
    pub accept_conflicts: bool,
    /// Write every readable row without looking for duplicates and conflicts.
    pub as_is: bool,
    /// Where failed and conflicting rows are written, to be corrected and imported again.
    pub report: Option<PathBuf>,
    /// Ends the import after the current batch.
    pub stop: CancellationToken,
}

/// What an import did; every row read counts in exactly one of the six.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct ImportReport {
    pub added: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    pub failed: u64,
    /// The failed rows.
    pub errors: Vec<Problem>,
    /// The conflicting rows.
    pub conflicting: Vec<Problem>,
    /// More problems than are listed here; the report file has all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Stopped before the end; run it again to go on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// What people should know about a file as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub revision: Revision,
}

impl ImportReport {
    /// Rows read.
    pub fn rows(&self) -> u64 {
        self.added + self.changed + self.unchanged + self.duplicates + self.conflicts + self.failed
    }
}

/// One row that needs a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Problem {
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    pub row: u64,
    pub code: String,
    pub message: String,
}

/// How far an import has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Rows done.
    pub rows: u64,
    /// Bytes read so far and in all (of packed files, packed bytes).
    pub bytes: (u64, u64),
}

/// A row on its way, with its place.
struct Placed {
    file: Arc<str>,
    source: Arc<str>,
    row: ReadRow,
}

enum Item {
    Row(Box<Placed>),
    Note(String),
    /// A file that cannot be read at all.
    Unreadable(Error),
}

/// Imports files and folders.
///
/// # Errors
/// When no file can be read, or the database fails; what had been committed stays.
pub async fn import(
    knowledge: &Knowledge,
    tenant: &TenantId,
    paths: &[PathBuf],
    options: ImportOptions,
    zone: chrono_tz::Tz,
    progress: impl Fn(Progress) + Send,
) -> Result<ImportReport> {
    let sources = read::sources(paths, options.format)?;
    import_sources(knowledge, tenant, sources, options, zone, progress).await
}

/// Imports what is open already, such as the compiled-in starter pack.
pub async fn import_sources(
    knowledge: &Knowledge,
    tenant: &TenantId,
    sources: Vec<Source>,
    options: ImportOptions,
    zone: chrono_tz::Tz,
    progress: impl Fn(Progress) + Send,
) -> Result<ImportReport> {
    let total: u64 = sources.iter().map(Source::size).sum();
    let (send, mut rows) = mpsc::channel(READ_AHEAD);
    let reading = {
        let (sources, encoding) = (sources.clone(), options.encoding.clone());
        tokio::task::spawn_blocking(move || read_all(&sources, encoding.as_deref(), zone, &send))
    };
    let mut run = Run::new(knowledge, tenant, options).await?;
    while let Some(batch) = rows.recv().await {
        run.take(batch).await?;
        let taken = sources.iter().map(Source::taken).sum::<u64>().min(total);
        progress(Progress { rows: run.report.rows(), bytes: (taken, total) });
        if run.options.stop.is_cancelled() {
            run.report.interrupted = true;
            break;
        }
    }
    drop(rows);
    reading.await?;
    run.finish(sources.len()).await
}

/// Reads everything in batches; ends early when nobody listens any more.
fn read_all(sources: &[Source], encoding: Option<&str>, zone: chrono_tz::Tz, send: &mpsc::Sender<Vec<Item>>) {
    let mut batch = Vec::with_capacity(BATCH);
    for source in sources {
        let (file, name): (Arc<str>, Arc<str>) = (source.name.as_str().into(), source.file_name().into());
        let rows = match source.open(encoding, zone) {
            Ok(rows) => rows,
            Err(error) => {
                batch.push(Item::Unreadable(error));
                continue;
            }
        };
        batch.extend(rows.notes().iter().map(|note| Item::Note(format!("{file}: {note}"))));
        for row in rows {
            batch.push(Item::Row(Box::new(Placed { file: Arc::clone(&file), source: Arc::clone(&name), row })));
            if batch.len() >= BATCH && send.blocking_send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err() {
                return;
            }
        }
    }
    // A listener that is gone was stopped; there is nobody to tell.
    let _ = send.blocking_send(batch);
}

/// One import while it runs.
struct Run<'a> {
    knowledge: &'a Knowledge,
    tenant: &'a TenantId,
    options: ImportOptions,
    planner: Planner,
    report: ImportReport,
    sheet: Option<csv::Writer<std::fs::File>>,
    unreadable: Vec<Error>,
}

impl<'a> Run<'a> {
    async fn new(knowledge: &'a Knowledge, tenant: &'a TenantId, options: ImportOptions) -> Result<Self> {
        let sheet = options.report.as_deref().map(open_sheet).transpose()?;
        let planner = Planner::new(options.as_is, options.accept_conflicts);
        let report = ImportReport { revision: knowledge.store().revision().await?, ..Default::default() };
        Ok(Self { knowledge, tenant, options, planner, report, sheet, unreadable: Vec::new() })
    }

    async fn take(&mut self, batch: Vec<Item>) -> Result<()> {
        let mut rows = Vec::with_capacity(batch.len());
        for item in batch {
            match item {
                Item::Note(note) => self.report.notes.push(note),
                Item::Unreadable(error) => self.unreadable(error)?,
                Item::Row(placed) => {
                    let Placed { file, source, row } = *placed;
                    match row.draft {
                        Ok(draft) => rows.push((file, row.sheet, row.row, Identified::new(draft, &source))),
                        Err(error) => self.failed(&file, row.sheet, row.row, error)?,
                    }
                }
            }
        }
        let store = self.knowledge.store();
        let ids: Vec<EntryId> = rows.iter().map(|(_, _, _, new)| new.id.clone()).collect();
        let known = store.known(self.tenant, self.knowledge.embedder().id(), &ids).await?;
        let known: HashMap<&str, _> = known.iter().map(|known| (known.id.as_str(), known)).collect();
        let mut askers: HashMap<String, Vec<super::KnowledgeEntry>> = HashMap::new();
        if !self.options.as_is {
            let keys: HashSet<String> = rows.iter().map(|(_, _, _, new)| new.question_key.clone()).filter(|key| !key.is_empty()).collect();
            for entry in store.with_question_keys(self.tenant, &keys.into_iter().collect::<Vec<_>>()).await? {
                askers.entry(super::text::question_key(&entry.draft.question)).or_default().push(entry);
            }
        }
        let mut writes = Vec::new();
        for (file, sheet, row, new) in rows {
            let same = askers.get(&new.question_key).map_or(&[][..], Vec::as_slice);
            let fate = self.planner.decide(row, &new, known.get(new.id.as_str()).copied(), same);
            if self.count(&file, sheet, row, fate, &new.draft)? {
                writes.push(new);
            }
        }
        self.write(writes).await
    }

    /// Counts a row; whether it must be written.
    fn count(&mut self, file: &str, sheet: Option<String>, row: u64, fate: Fate, draft: &EntryDraft) -> Result<bool> {
        match fate {
            Fate::Added => self.report.added += 1,
            Fate::Changed => self.report.changed += 1,
            Fate::Unchanged { stale } => {
                self.report.unchanged += 1;
                return Ok(stale);
            }
            Fate::Duplicate(_) => {
                self.report.duplicates += 1;
                return Ok(false);
            }
            Fate::Conflicting(message) => {
                self.report.conflicts += 1;
                let problem = Problem { file: file.to_owned(), sheet, row, code: "conflicting".into(), message };
                self.note(problem, &write::to_cells(draft), true)?;
                return Ok(false);
            }
            Fate::Failed(code, message) => {
                self.report.failed += 1;
                let problem = Problem { file: file.to_owned(), sheet, row, code: code.into(), message };
                self.note(problem, &write::to_cells(draft), false)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn failed(&mut self, file: &str, sheet: Option<String>, row: u64, error: RowError) -> Result<()> {
        self.report.failed += 1;
        let cells = write::raw_cells(&error.cells);
        self.note(Problem { file: file.to_owned(), sheet, row, code: error.code.into(), message: error.message }, &cells, false)
    }

    /// One file of several may be unreadable; its failure counts as a row of its own.
    fn unreadable(&mut self, error: Error) -> Result<()> {
        self.report.failed += 1;
        let file = error.message().split(": ").next().unwrap_or_default().to_owned();
        let problem = Problem { file, sheet: None, row: 0, code: error.code().into(), message: error.message().to_owned() };
        self.unreadable.push(error);
        self.note(problem, &[], false)
    }

    fn note(&mut self, problem: Problem, cells: &[String], conflict: bool) -> Result<()> {
        if let Some(sheet) = &mut self.sheet {
            let status = if conflict { "conflicting" } else { "failed" };
            let place = [problem.file.as_str(), &problem.row.to_string(), status, &problem.code, &problem.message].map(str::to_owned);
            let padding = std::iter::repeat_n(String::new(), read::Field::ALL.len().saturating_sub(cells.len()));
            sheet.write_record(place.into_iter().chain(cells.iter().cloned()).chain(padding)).map_err(sheet_error)?;
        }
        let list = if conflict { &mut self.report.conflicting } else { &mut self.report.errors };
        if list.len() < LISTED {
            list.push(problem);
        } else {
            self.report.truncated = true;
        }
        Ok(())
    }

    async fn write(&mut self, rows: Vec<Identified>) -> Result<()> {
        if self.options.dry_run || rows.is_empty() {
            return Ok(());
        }
        let writes = self.embed(rows).await?;
        let embedder = self.knowledge.embedder().id();
        self.report.revision = self.knowledge.store().commit(self.tenant, embedder, &writes, &[]).await?;
        self.knowledge.nudge();
        Ok(())
    }

    async fn embed(&self, rows: Vec<Identified>) -> Result<Vec<EntryWrite>> {
        let cut: Vec<_> = rows.iter().map(|row| split::passages(&row.draft)).collect();
        let texts: Vec<String> =
            rows.iter().zip(&cut).flat_map(|(row, passages)| passages.iter().map(|passage| embedding_text(&row.draft, passage))).collect();
        let mut vectors = self.knowledge.embedder().embed(texts, EmbedKind::Passage).await?.into_iter();
        let mut writes = Vec::with_capacity(rows.len());
        for (row, passages) in rows.into_iter().zip(cut) {
            let passages: Vec<StoredPassage> =
                passages.into_iter().map(|passage| stored(passage, vectors.next().unwrap_or_default())).collect();
            writes.push(EntryWrite {
                id: row.id,
                draft: row.draft,
                question_key: row.question_key,
                content_hash: row.content_hash,
                passages,
            });
        }
        Ok(writes)
    }

    async fn finish(mut self, files: usize) -> Result<ImportReport> {
        if let Some(mut sheet) = self.sheet.take() {
            sheet.flush()?;
        }
        // When nothing at all could be read, that is the answer, not a report of zero rows.
        if self.unreadable.len() == files
            && let Some(error) = self.unreadable.into_iter().next()
        {
            return Err(error);
        }
        Ok(self.report)
    }
}

fn open_sheet(path: &Path) -> Result<csv::Writer<std::fs::File>> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)
        .map_err(|error| Error::invalid("report_unwritable", format!("The report {} cannot be written: {error}.", path.display())))?;
    file.write_all(write::BOM.as_bytes())?;
    let mut sheet = csv::Writer::from_writer(file);
    let place = ["file", "row", "status", "code", "message"];
    sheet.write_record(place.into_iter().chain(read::Field::ALL.map(read::Field::name))).map_err(sheet_error)?;
    Ok(sheet)
}

fn sheet_error(error: csv::Error) -> Error {
    Error::internal("report_unwritable", format!("The report cannot be written: {error}.")).because(error)
}
