//! `kb`: what the shop knows, from the command line: import, export, search, eval, stats, delete,
//! reindex, words. Works with and without a running server on the same data directory.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use chrono_tz::Tz;
use clap::Subcommand;
use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{DONE, PROBLEM, print};
use crate::chat::rewrite::{self, Intent};
use crate::config::Fusion;
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::evaluate;
use crate::knowledge::export::{self, ExportFormat};
use crate::knowledge::ingest::{self, ImportOptions, Progress};
use crate::knowledge::list_store::Listing;
use crate::knowledge::read::{Format, dates};
use crate::knowledge::store::Selection;
use crate::knowledge::{Knowledge, Query};

mod show;
pub(super) use show::renewing;
mod words;

/// The commands of `kb`.
#[derive(Debug, Subcommand)]
pub enum KbCommand {
    /// Bring rows in: XLSX, CSV, TSV, JSONL, Markdown, HTML, DOCX, PDF; files or folders
    Import {
        /// Files and folders
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Plan only; nothing is written
        #[arg(long)]
        dry_run: bool,
        /// Write the rows that are not taken here (.xlsx or .csv), to correct and import again
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// csv, jsonl, xlsx, markdown, html, docx or pdf, whatever the file's name
        #[arg(long)]
        format: Option<String>,
        /// utf-8, gb18030, utf-16le …, instead of the guess
        #[arg(long)]
        encoding: Option<String>,
        /// Write conflicting rows too
        #[arg(long)]
        accept_conflicts: bool,
        /// Write every readable row without looking for duplicates and conflicts
        #[arg(long)]
        as_is: bool,
        /// These files are the whole truth for their sources: rows of them that are no longer there are deleted
        #[arg(long)]
        replace_source: bool,
        /// The source of rows that name none, instead of their file's name
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
    },
    /// Write all rows out, so that they can be imported again
    Export {
        /// jsonl, csv or xlsx
        #[arg(long, default_value = "jsonl", value_parser = ExportFormat::from_word)]
        format: ExportFormat,
        /// A file instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Which rows answer a question, and why
    Search {
        /// The question
        query: String,
        /// Most rows to show
        #[arg(long, default_value_t = 10)]
        top: usize,
        /// Rows of this market and of none
        #[arg(long)]
        market: Option<String>,
        /// Rows of this locale and of none
        #[arg(long)]
        locale: Option<String>,
        /// Put the legs together by their scores (weighted) or their ranks (rrf), instead of as configured
        #[arg(long)]
        fusion: Option<Fusion>,
        /// Show words, times and the passage that matched
        #[arg(long)]
        explain: bool,
    },
    /// Measure retrieval on labelled questions (one JSON object a line)
    Eval {
        /// Labelled questions: {"query","relevant":[id…],"exclude"?,"kind"?}
        queries: PathBuf,
        /// Look for better weights and a threshold, judged by cross-validation: no question by what was chosen on it
        #[arg(long)]
        tune: bool,
        /// Only look: keep nothing of what was found. Else it is kept for this tenant, if it does as well on questions
        /// held out as what is in force
        #[arg(long, requires = "tune")]
        no_keep: bool,
        /// What happens anyway; for scripts that say so
        #[arg(long, requires = "tune", conflicts_with = "no_keep", hide = true)]
        keep: bool,
        /// Length of the rankings
        #[arg(long, default_value_t = 50)]
        top: usize,
        /// Ask as on this day (2026-11-23, or with a time), for which the questions were labelled; today when left out
        #[arg(long, value_name = "DATE")]
        on: Option<String>,
    },
    /// Go back from what `eval --tune` keeps to what is configured
    Untune,
    /// What is in the base
    Stats,
    /// Delete rows
    Delete {
        /// These rows
        #[arg(long, value_name = "ID")]
        id: Vec<String>,
        /// All rows of one source
        #[arg(long)]
        source: Option<String>,
        /// Every row of the tenant
        #[arg(long)]
        all: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Build the indexes again from the database, with whatever vectors a changed embedder still has to make
    Reindex,
    /// The shop's own words: kept whole, or the same as others
    Words {
        /// What to do; shows them when left out
        #[command(subcommand)]
        command: Option<words::WordsCommand>,
    },
}

impl KbCommand {
    /// Whether it has nothing to do where nothing was ever kept.
    pub fn reads_only(&self) -> bool {
        use words::WordsCommand::{Add, Set};
        !matches!(self, Self::Import { .. } | Self::Words { command: Some(Add { .. } | Set { .. }) })
    }
}

/// Runs one command.
pub async fn run(command: KbCommand, knowledge: &Knowledge, tenant: &TenantId, json: bool, zone: Tz) -> Result<u8> {
    match command {
        KbCommand::Import { paths, dry_run, report, format, encoding, accept_conflicts, as_is, replace_source, source } => {
            let format = format.as_deref().map(Format::from_word).transpose()?;
            let stop = stop_on_ctrl_c();
            let options = ImportOptions {
                dry_run,
                format,
                encoding,
                accept_conflicts,
                as_is,
                replace_source,
                default_source: source,
                report,
                stop,
                by: "cli".into(),
                ..ImportOptions::default()
            };
            import(knowledge, tenant, &paths, options, json, zone).await
        }
        KbCommand::Export { format, output } => export(knowledge, tenant, format, output.as_deref(), json, zone).await,
        KbCommand::Search { query, top, market, locale, explain, fusion } => {
            if query.trim().is_empty() {
                return Err(Error::invalid("empty_query", "The question is empty. Write what a merchant would ask, in quotes."));
            }
            knowledge.catch_up().await?;
            let found = knowledge.search(tenant, &Query { text: query, market, locale, top, fusion, at: None }).await?;
            if json {
                print::json(&found.to_json())
            } else {
                show::search(&found, explain)
            }
            Ok(DONE)
        }
        KbCommand::Eval { queries, tune, no_keep, keep: _, top, on } => {
            let at = on.map(|on| day(&on, zone)).transpose()?;
            eval(knowledge, tenant, &queries, Tune { tune, keep: !no_keep }, top, at, json).await
        }
        KbCommand::Untune => untune(knowledge, tenant, json).await,
        KbCommand::Stats => stats(knowledge, tenant, json, zone).await,
        KbCommand::Delete { id, source, all, yes } => delete(knowledge, tenant, selection(id, source, all)?, yes, json).await,
        KbCommand::Words { command } => words::run(command, knowledge, tenant, json).await,
        KbCommand::Reindex => {
            let revision = knowledge.reindex(tenant).await?;
            if json {
                print::json(&json!({"revision": revision}))
            } else {
                print::line(format!("The indexes are built again, at revision {revision}."))
            }
            Ok(DONE)
        }
    }
}

fn stop_on_ctrl_c() -> CancellationToken {
    let stop = CancellationToken::new();
    let signal = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            signal.cancel();
        }
    });
    stop
}

async fn import(knowledge: &Knowledge, tenant: &TenantId, paths: &[PathBuf], options: ImportOptions, json: bool, zone: Tz) -> Result<u8> {
    let bar = progress_bar();
    let advance = |progress: Progress<'_>| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.bytes);
        bar.set_message(format!("{} rows", progress.rows));
    };
    let report = ingest::import(knowledge, tenant, paths, options, zone, advance).await;
    bar.finish_and_clear();
    let report = report?;
    // Without a server the indexes catch up here, so that the next question need not wait.
    if !report.dry_run && knowledge.owns_index() {
        knowledge.catch_up().await?;
    }
    if json {
        print::json(&serde_json::to_value(&report)?)
    } else {
        show::import(&report)
    }
    Ok(if report.has_problems() { PROBLEM } else { DONE })
}

/// On a terminal only: bytes, rate, time left.
fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {bytes_per_sec}  {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

async fn export(knowledge: &Knowledge, tenant: &TenantId, format: ExportFormat, output: Option<&Path>, json: bool, zone: Tz) -> Result<u8> {
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(
            std::fs::File::create(path)
                .map_err(|error| Error::invalid("output_unwritable", format!("{} cannot be written: {error}.", path.display())))?,
        ),
        None => Box::new(std::io::stdout()),
    };
    let mut rows = 0;
    let mut pages = pin!(export::export(knowledge.store().clone(), tenant.clone(), Listing::default(), format, zone));
    while let Some(page) = pages.try_next().await? {
        match out.write_all(&page.bytes).and_then(|()| out.flush()) {
            // A reader that has seen enough, as in `… | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(DONE),
            written => written?,
        }
        rows += page.rows;
    }
    if let Some(path) = output {
        if json {
            print::json(&json!({"rows": rows, "file": path}));
        } else {
            print::aside(format!("{rows} rows written to {}.", path.display()));
        }
    }
    Ok(DONE)
}

fn day(text: &str, zone: Tz) -> Result<Timestamp> {
    let wrong = || Error::invalid("bad_date", format!("--on: `{text}` is no date. Write 2026-11-23, or 2026-11-23 18:00."));
    dates::parse(text, zone, dates::End::From).ok_or_else(wrong)
}

/// What is done beyond measuring.
struct Tune {
    tune: bool,
    keep: bool,
}

async fn eval(
    knowledge: &Knowledge,
    tenant: &TenantId,
    path: &Path,
    tune: Tune,
    top: usize,
    at: Option<Timestamp>,
    json: bool,
) -> Result<u8> {
    let mut queries = evaluate::read_labelled(&read_text(path)?)?;
    for query in &mut queries {
        query.at = at;
        let before = query.history.iter().fold(None, |before: Option<String>, said| Some(rewrite::standalone(before.as_deref(), said)));
        match rewrite::read(before.as_deref(), &query.query) {
            Intent::Ask(alone) => query.query = alone,
            Intent::Greet => query.small_talk = true,
        }
    }
    knowledge.catch_up().await?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(queries.len() as u64) } else { ProgressBar::hidden() };
    let mut report = evaluate::run(knowledge, tenant, queries, top, tune.tune, |done| bar.set_position(done as u64)).await?;
    bar.finish_and_clear();
    let mut refused = false;
    if let Some(tuned) = report.tuned.as_mut().filter(|_| tune.keep) {
        tuned.kept = tuned.holds;
        refused = !tuned.holds;
        if tuned.kept {
            knowledge.keep_tuning(tenant, Some(&tuned.tuning), "cli").await?;
        }
    }
    if json {
        print::json(&serde_json::to_value(&report)?)
    } else {
        show::eval(&report)
    }
    Ok(if refused { PROBLEM } else { DONE })
}

async fn untune(knowledge: &Knowledge, tenant: &TenantId, json: bool) -> Result<u8> {
    let revision = knowledge.keep_tuning(tenant, None, "cli").await?;
    if json {
        print::json(&json!({"tuning": null, "revision": revision}));
    } else {
        print::line("The configured weights and threshold are in force.");
    }
    Ok(DONE)
}

fn read_text(path: &Path) -> Result<String> {
    let unreadable = |error: std::io::Error| Error::invalid("file_unreadable", format!("{} cannot be read: {error}.", path.display()));
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).map_err(unreadable)?;
        return Ok(text);
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("bad_encoding", format!("{} is not UTF-8.", path.display())))
}

async fn stats(knowledge: &Knowledge, tenant: &TenantId, json: bool, zone: Tz) -> Result<u8> {
    let stats = knowledge.stats(tenant).await?;
    if json {
        print::json(&serde_json::to_value(&stats)?);
        return Ok(DONE);
    }
    show::stats(&stats, zone);
    Ok(DONE)
}

fn selection(ids: Vec<String>, source: Option<String>, all: bool) -> Result<Selection> {
    match (ids.is_empty(), source, all) {
        (false, None, false) => Ok(Selection::Ids(ids.into_iter().map(EntryId::from_text).collect())),
        (true, Some(source), false) => Ok(Selection::Source(source)),
        (true, None, true) => Ok(Selection::All),
        _ => Err(Error::invalid("bad_selection", "Say which rows: --id ID (several times), or --source S, or --all.")),
    }
}

async fn delete(knowledge: &Knowledge, tenant: &TenantId, selection: Selection, yes: bool, json: bool) -> Result<u8> {
    let count = knowledge.store().selected(tenant, &selection).await?.len();
    if count > 0 && !yes && !confirmed(count, tenant)? {
        print::aside("Nothing was deleted.");
        return Ok(PROBLEM);
    }
    let (deleted, revision) = knowledge.delete(tenant, &selection, "cli").await?;
    if knowledge.owns_index() {
        knowledge.catch_up().await?;
    }
    if json {
        print::json(&json!({"deleted": deleted, "revision": revision}));
    } else {
        print::line(format!("{deleted} rows deleted (revision {revision})."));
    }
    Ok(if deleted == 0 { PROBLEM } else { DONE })
}

fn confirmed(count: usize, tenant: &TenantId) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::invalid("confirmation_needed", format!("{count} rows of `{tenant}` would be deleted. Say --yes to do it.")));
    }
    print::piece(format!("Delete {count} rows of `{tenant}`? [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes" | "是"))
}
