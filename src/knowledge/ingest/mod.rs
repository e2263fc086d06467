//! Files → the base: a thread reads rows ahead, each batch is judged against what is stored, only what
//! is new is embedded, and one transaction commits it. Nothing is remembered between runs: an import
//! that was stopped, or killed, is run again, and unchanged rows are passed over by their hash.

use std::collections::HashSet;
use std::path::PathBuf;

use chrono_tz::Tz;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::plan::{Base, Candidate, Place, Planner, Rules, Verdict};
use super::read::{Cells, Field, Format, ReadRow, RowError, Source};
use super::report::{ImportReport, Problem, RowTable};
use super::store::{EntryWrite, Known, StoredPassage};
use super::{EntryDraft, Knowledge, follow, read, split};
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};
use crate::models::EmbedKind;

/// Rows judged, embedded and committed at once.
const BATCH_ROWS: usize = 256;
/// A batch also ends here, so that rows of huge cells do not fill memory.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Batches read ahead.
const AHEAD: usize = 2;

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
    /// Where to put a table of the rows that were not taken.
    pub report: Option<PathBuf>,
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
    let mut run = Run::start(knowledge, tenant, &sources, &options, zone).await?;
    let (mut batches, reading) = read_ahead(sources.clone(), &options, zone);
    while let Some(batch) = batches.recv().await {
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
    run.finish().await
}

/// What the reading thread found, in order.
enum Item {
    Row {
        file: u32,
        row: u64,
        sheet: Option<String>,
        content: Result<Box<Candidate>, RowError>,
    },
    /// A file that cannot be read at all.
    Unreadable {
        file: u32,
        error: Error,
    },
    Note(String),
}

type Batch = Vec<Item>;

/// Reads all sources on a thread of its own; it ends when nobody takes its batches any more.
fn read_ahead(sources: Vec<Source>, options: &ImportOptions, zone: Tz) -> (mpsc::Receiver<Batch>, JoinHandle<()>) {
    let (encoding, default_source) = (options.encoding.clone(), options.default_source.clone());
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        let mut outbox = Outbox { batch: Vec::new(), bytes: 0, sender };
        for (source, file) in sources.iter().zip(0..) {
            let default_source = default_source.as_deref().unwrap_or_else(|| source.file_name());
            let went = match source.open(encoding.as_deref(), zone) {
                Err(error) => outbox.put(Item::Unreadable { file, error }, 0),
                Ok(reader) => {
                    let notes: Vec<_> = reader.notes().iter().map(|note| Item::Note(format!("{}: {note}", source.name))).collect();
                    let told = notes.into_iter().all(|note| outbox.put(note, 0));
                    told && reader.map(|row| prepare(file, row, default_source)).all(|(item, bytes)| outbox.put(item, bytes))
                }
            };
            if !went {
                return;
            }
        }
        outbox.send();
    });
    (receiver, reading)
}

/// Collects items into batches.
struct Outbox {
    batch: Batch,
    bytes: usize,
    sender: mpsc::Sender<Batch>,
}

impl Outbox {
    /// Whether there is still somebody who wants more.
    fn put(&mut self, item: Item, bytes: usize) -> bool {
        self.batch.push(item);
        self.bytes += bytes;
        let full = self.batch.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES;
        !full || self.send()
    }

    fn send(&mut self) -> bool {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        batch.is_empty() || self.sender.blocking_send(batch).is_ok()
    }
}

/// Hashes and normalises a row here, on the reading thread; also tells about how large it is.
fn prepare(file: u32, read: ReadRow, default_source: &str) -> (Item, usize) {
    let ReadRow { row, sheet, draft } = read;
    let (content, bytes) = match draft {
        Ok(mut draft) => {
            draft.source.get_or_insert_with(|| default_source.to_owned());
            let bytes = draft.answer.len() + draft.similar.iter().map(String::len).sum::<usize>();
            (Ok(Box::new(Candidate::new(draft, Place { file, row }))), bytes)
        }
        Err(mut error) => {
            if error.cells.get(Field::Source).is_empty() {
                error.cells.put(Field::Source, default_source);
            }
            let bytes = Field::ALL.iter().map(|&field| error.cells.get(field).len()).sum();
            (Err(error), bytes)
        }
    };
    (Item::Row { file, row, sheet, content }, bytes)
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
    unreadable: Vec<Error>,
}

/// A row that goes into the table of those not taken.
struct Left {
    status: &'static str,
    problem: Problem,
    cells: Cells,
}

impl<'a> Run<'a> {
    async fn start(knowledge: &'a Knowledge, tenant: &'a TenantId, sources: &[Source], options: &ImportOptions, zone: Tz) -> Result<Self> {
        let table = match options.report.clone() {
            Some(path) => Some(tokio::task::spawn_blocking(move || RowTable::create(&path)).await??),
            None => None,
        };
        let files: Vec<_> = sources.iter().map(|source| source.name.clone()).collect();
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
        })
    }

    async fn take(&mut self, batch: Batch) -> Result<()> {
        let mut left = Vec::new();
        let mut rows = Vec::with_capacity(batch.len());
        for item in batch {
            match item {
                Item::Note(note) => self.report.notes.push(note),
                Item::Unreadable { file, error } => {
                    let problem = self.problem(file, 1, None, error.code(), error.message().to_owned());
                    left.push(Left { status: "failed", problem, cells: Cells::default() });
                    self.unreadable.push(error);
                }
                Item::Row { file, row, sheet, content: Err(error) } => {
                    let problem = self.problem(file, row, sheet, error.code, error.message);
                    left.push(Left { status: "failed", problem, cells: *error.cells });
                }
                Item::Row { sheet, content: Ok(candidate), .. } => rows.push((sheet, *candidate)),
            }
        }
        self.judge_and_write(rows, &mut left).await?;
        self.tell(left).await
    }

    async fn judge_and_write(&mut self, rows: Vec<(Option<String>, Candidate)>, left: &mut Vec<Left>) -> Result<()> {
        let base = self.look_up(&rows).await?;
        let verdicts = self.planner.judge(rows.iter().map(|(_, row)| row), &base);
        let mut counted = ImportReport::default();
        let mut writes = Vec::new();
        for ((sheet, row), verdict) in rows.into_iter().zip(verdicts) {
            let (status, code, message) = match verdict {
                Verdict::Added(id) => {
                    counted.added += 1;
                    writes.push((id, row));
                    continue;
                }
                Verdict::Changed(known) => {
                    counted.changed += 1;
                    writes.push((known.id, row));
                    continue;
                }
                Verdict::Unchanged(Known { id, stale_vectors, .. }) => {
                    counted.unchanged += 1;
                    if stale_vectors {
                        writes.push((id, row));
                    }
                    continue;
                }
                Verdict::Duplicate(message) => {
                    counted.duplicates += 1;
                    ("duplicate", "duplicate", message)
                }
                Verdict::Conflicting(message) => ("conflicting", "conflicting", message),
                Verdict::Failed { code, message } => ("failed", code, message),
            };
            let problem = self.problem(row.place.file, row.place.row, sheet, code, message);
            left.push(Left { status, problem, cells: Cells::of(&row.draft, self.zone) });
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

    async fn look_up(&self, rows: &[(Option<String>, Candidate)]) -> Result<Base> {
        let ids: Vec<EntryId> = rows.iter().flat_map(|(_, row)| row.ids.iter().cloned()).collect();
        let (store, embedder) = (self.knowledge.store(), self.knowledge.embedder().id());
        let known = store.known(self.tenant, embedder, &ids).await?;
        if self.as_is {
            return Ok(Base::new(known, Vec::new()));
        }
        let keys: HashSet<&String> = rows.iter().map(|(_, row)| &row.question_key).filter(|key| !key.is_empty()).collect();
        let keys: Vec<String> = keys.into_iter().cloned().collect();
        Ok(Base::new(known, store.with_question_keys(self.tenant, &keys).await?))
    }

    async fn write(&mut self, rows: Vec<(EntryId, Candidate)>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let passages = self.embed(rows.iter().map(|(_, row)| &row.draft)).await?;
        let writes: Vec<_> = rows
            .into_iter()
            .zip(passages)
            .map(|((id, row), passages)| EntryWrite {
                id,
                draft: row.draft,
                question_key: row.question_key,
                content_hash: row.content_hash,
                passages,
            })
            .collect();
        self.knowledge.store().commit(self.tenant, self.knowledge.embedder().id(), &writes, &[]).await?;
        self.knowledge.nudge();
        Ok(())
    }

    /// The passages of each draft with their vectors; all of a batch are embedded in one call.
    async fn embed(&self, drafts: impl Iterator<Item = &EntryDraft>) -> Result<Vec<Vec<StoredPassage>>> {
        let mut texts = Vec::new();
        let mut by_draft = Vec::new();
        for draft in drafts {
            let passages = split::passages(draft);
            texts.extend(passages.iter().map(|passage| follow::embedding_text(draft, passage)));
            by_draft.push(passages);
        }
        let mut vectors = self.knowledge.embedder().embed(texts, EmbedKind::Passage).await?.into_iter();
        let mut stored = |passage| follow::stored(passage, vectors.next().unwrap_or_default());
        Ok(by_draft.into_iter().map(|passages| passages.into_iter().map(&mut stored).collect()).collect())
    }

    fn problem(&self, file: u32, row: u64, sheet: Option<String>, code: &'static str, message: String) -> Problem {
        let file = self.files.get(file as usize).cloned().unwrap_or_default();
        Problem { file, sheet, row, code, message }
    }

    /// Counts the rows that were not taken, and writes them into the table.
    async fn tell(&mut self, left: Vec<Left>) -> Result<()> {
        for Left { status, problem, .. } in &left {
            match *status {
                "failed" => self.report.add_failed(problem.clone()),
                "conflicting" => self.report.add_conflict(problem.clone()),
                _ => {}
            }
        }
        let Some(mut table) = self.table.take() else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || {
            left.iter().try_for_each(|left| table.add(left.status, &left.problem, &left.cells))?;
            table.flush()?;
            Ok::<_, Error>(table)
        });
        self.table = Some(written.await??);
        Ok(())
    }

    async fn finish(mut self) -> Result<ImportReport> {
        // When nothing at all could be read, that is the answer, not a report of zero rows.
        if self.unreadable.len() == self.files.len()
            && let Some(error) = self.unreadable.into_iter().next()
        {
            return Err(error);
        }
        // A handful are contradictions; this many are headings that come again in every document.
        if self.report.conflicts >= MANY_CONFLICTS && self.report.conflicts * 20 > self.report.rows() {
            let note = "many rows share their question with another: for sections of documents, whose headings repeat, import with --as-is";
            self.report.notes.push(note.to_owned());
        }
        self.report.revision = self.knowledge.store().revision().await?;
        Ok(self.report)
    }
}

#[cfg(test)]
mod tests;
