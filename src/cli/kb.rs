//! `kb`: what the shop knows, from the command line: import, export, search, eval, stats, delete,
//! reindex. Works with and without a running server on the same data directory.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{DONE, PROBLEM, print};
use crate::chat::rewrite;
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};
use crate::knowledge::evaluate::{self, EvalReport, Figures};
use crate::knowledge::ingest::{self, ImportOptions, ImportReport, Progress};
use crate::knowledge::read::{Field, Format};
use crate::knowledge::store::Selection;
use crate::knowledge::{Decision, Hit, Knowledge, KnowledgeEntry, LegRank, Query, SearchOutcome, write};

/// Rows fetched at once for an export.
const PAGE: usize = 500;
/// Problems shown to people; `--report` has all of them.
const SHOWN: usize = 20;

/// The commands of `kb`.
#[derive(Debug, Subcommand)]
pub enum KbCommand {
    /// Bring rows in: CSV, TSV, JSONL, Markdown; files or folders
    Import {
        /// Files and folders
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Plan only; nothing is written
        #[arg(long)]
        dry_run: bool,
        /// Write the failed and conflicting rows here as CSV, to correct and import again
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// csv, jsonl or markdown, whatever the file's name
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
    },
    /// Write all rows out, so that they can be imported again
    Export {
        /// jsonl or csv
        #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
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
        /// Show words, times and the passage that matched
        #[arg(long)]
        explain: bool,
    },
    /// Measure retrieval on labelled questions (one JSON object a line)
    Eval {
        /// Labelled questions: {"query","relevant":[id…],"exclude"?,"kind"?}
        queries: PathBuf,
        /// Look for a better weight and threshold on one half, report on the other
        #[arg(long)]
        tune: bool,
        /// Length of the rankings
        #[arg(long, default_value_t = 50)]
        top: usize,
    },
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
    /// Build the indexes again from the database
    Reindex,
}

/// What `kb export` writes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// A table that spreadsheet programs open
    Csv,
}

/// Runs one command.
pub async fn run(command: KbCommand, knowledge: &Knowledge, tenant: &TenantId, json: bool, zone: chrono_tz::Tz) -> Result<u8> {
    match command {
        KbCommand::Import { paths, dry_run, report, format, encoding, accept_conflicts, as_is } => {
            let format = format.as_deref().map(Format::from_word).transpose()?;
            let stop = stop_on_ctrl_c();
            let options = ImportOptions { dry_run, format, encoding, accept_conflicts, as_is, report, stop };
            import(knowledge, tenant, &paths, options, json, zone).await
        }
        KbCommand::Export { format, output } => export(knowledge, tenant, format, output.as_deref(), json).await,
        KbCommand::Search { query, top, market, locale, explain } => {
            knowledge.catch_up().await?;
            let found = knowledge.search(tenant, &Query { text: query, market, locale, top }).await?;
            if json {
                print::json(&found.to_json())
            } else {
                show_search(&found, explain)
            }
            Ok(DONE)
        }
        KbCommand::Eval { queries, tune, top } => eval(knowledge, tenant, &queries, tune, top, json).await,
        KbCommand::Stats => stats(knowledge, tenant, json).await,
        KbCommand::Delete { id, source, all, yes } => delete(knowledge, tenant, selection(id, source, all)?, yes, json).await,
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

async fn import(
    knowledge: &Knowledge,
    tenant: &TenantId,
    paths: &[PathBuf],
    options: ImportOptions,
    json: bool,
    zone: chrono_tz::Tz,
) -> Result<u8> {
    let dry_run = options.dry_run;
    let bar = progress_bar();
    let advance = |progress: Progress| {
        bar.set_length(progress.bytes.1);
        bar.set_position(progress.bytes.0);
        bar.set_message(format!("{} rows", progress.rows));
    };
    let report = ingest::import(knowledge, tenant, paths, options, zone, advance).await;
    bar.finish_and_clear();
    let report = report?;
    // Without a server the indexes catch up here, so that the next question need not wait.
    if !dry_run && knowledge.owns_index() {
        knowledge.catch_up().await?;
    }
    if json {
        print::json(&serde_json::to_value(&report)?)
    } else {
        show_import(&report, dry_run)
    }
    let clean = report.failed == 0 && report.conflicts == 0 && !report.interrupted;
    Ok(if clean { DONE } else { PROBLEM })
}

/// On a terminal only: bytes, rate, time left.
fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {bytes_per_sec}  {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show_import(report: &ImportReport, dry_run: bool) {
    let verb = if dry_run { "Would be" } else { "Done:" };
    print::line(format!(
        "{verb} {} added, {} changed, {} unchanged, {} duplicates, {} conflicts, {} failed ({} rows; revision {}).",
        report.added,
        report.changed,
        report.unchanged,
        report.duplicates,
        report.conflicts,
        report.failed,
        report.rows(),
        report.revision
    ));
    for note in &report.notes {
        print::line(format!("  note  {note}"));
    }
    for problem in report.errors.iter().chain(&report.conflicting).take(SHOWN) {
        print::line(format!("  {} row {}: {} [{}]", problem.file, problem.row, problem.message, problem.code));
    }
    let more = (report.failed + report.conflicts).saturating_sub(SHOWN as u64);
    if more > 0 {
        print::line(format!("  … and {more} more; --report FILE writes all of them."));
    }
    if report.interrupted {
        print::line("Stopped before the end. Run the same command again: it goes on where it stopped.");
    }
}

async fn export(knowledge: &Knowledge, tenant: &TenantId, format: ExportFormat, output: Option<&Path>, json: bool) -> Result<u8> {
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(std::io::BufWriter::new(
            std::fs::File::create(path)
                .map_err(|error| Error::invalid("output_unwritable", format!("{} cannot be written: {error}.", path.display())))?,
        )),
        None => Box::new(std::io::BufWriter::new(std::io::stdout())),
    };
    let mut page_out = |bytes: Vec<u8>| out.write_all(&bytes);
    page_out(head(format)?)?;
    let (mut after, mut rows) = (None::<EntryId>, 0_usize);
    loop {
        let page = knowledge.store().page(tenant, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        rows += page.len();
        page_out(body(format, &page)?)?;
    }
    out.flush()?;
    if let Some(path) = output {
        if json {
            print::json(&json!({"rows": rows, "file": path}));
        } else {
            print::aside(format!("{rows} rows written to {}.", path.display()));
        }
    }
    Ok(DONE)
}

/// What stands before the first row.
fn head(format: ExportFormat) -> Result<Vec<u8>> {
    match format {
        ExportFormat::Jsonl => Ok(Vec::new()),
        ExportFormat::Csv => {
            let mut table = csv::Writer::from_writer(write::BOM.as_bytes().to_vec());
            table.write_record(Field::ALL.map(Field::name)).map_err(table_error)?;
            table.into_inner().map_err(|error| table_error(error.into_error().into()))
        }
    }
}

fn body(format: ExportFormat, entries: &[KnowledgeEntry]) -> Result<Vec<u8>> {
    match format {
        ExportFormat::Jsonl => Ok(entries.iter().flat_map(|entry| format!("{}\n", write::to_json(&entry.draft)).into_bytes()).collect()),
        ExportFormat::Csv => {
            let mut table = csv::Writer::from_writer(Vec::new());
            for entry in entries {
                table.write_record(write::to_cells(&entry.draft)).map_err(table_error)?;
            }
            table.into_inner().map_err(|error| table_error(error.into_error().into()))
        }
    }
}

fn table_error(error: csv::Error) -> Error {
    Error::internal("output_unwritable", format!("The table cannot be written: {error}.")).because(error)
}

fn show_search(found: &SearchOutcome, explain: bool) {
    let decision = match found.decision {
        Decision::Direct => "direct: the first row answers by itself",
        Decision::Grounded => "grounded: a model answers from the rows that passed",
        Decision::None => "none: the base does not know",
    };
    print::line(decision);
    for (place, hit) in (1..).zip(&found.hits) {
        show_hit(place, hit, explain);
    }
    if explain {
        print::line(format!("words   {}", found.terms.join(" · ")));
        let t = found.timings;
        print::line(format!(
            "time    embed {:.1}  legs {:.1}  fuse {:.1}  decide {:.1}  total {:.1} ms",
            t.embed, t.legs, t.fuse, t.decide, t.total
        ));
    }
}

fn show_hit(place: usize, hit: &Hit, explain: bool) {
    let leg = |name: &str, place: Option<LegRank>| match place {
        Some(LegRank { rank: 0, score, .. }) => format!("{name} –  ({score:.2})"),
        Some(LegRank { rank, score, .. }) => format!("{name} #{rank} ({score:.2})"),
        None => format!("{name} –"),
    };
    let mark = if hit.passed { "✓" } else { "·" };
    let question = if hit.entry.draft.question.is_empty() { &hit.passage } else { &hit.entry.draft.question };
    print::line(format!("{place:>2} {mark} {:.2}  {question}", hit.score));
    print::line(format!("          {}  {}  {}", hit.entry.id, leg("lexical", hit.lexical), leg("semantic", hit.semantic)));
    if explain {
        print::line(format!("          fused {:.3}  matched: {}", hit.fused, hit.passage.chars().take(80).collect::<String>()));
        if let Some(reason) = &hit.reason {
            print::line(format!("          {reason}"));
        }
    }
}

async fn eval(knowledge: &Knowledge, tenant: &TenantId, path: &Path, tune: bool, top: usize, json: bool) -> Result<u8> {
    let mut queries = evaluate::read_labelled(&read_text(path)?)?;
    for query in &mut queries {
        let before = query.history.iter().fold(None, |before: Option<String>, said| Some(rewrite::standalone(before.as_deref(), said)));
        query.query = rewrite::standalone(before.as_deref(), &query.query);
    }
    knowledge.catch_up().await?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(queries.len() as u64) } else { ProgressBar::hidden() };
    let report = evaluate::run(knowledge, tenant, queries, top, tune, |done| bar.set_position(done as u64)).await?;
    bar.finish_and_clear();
    if json {
        print::json(&serde_json::to_value(&report)?)
    } else {
        show_eval(&report)
    }
    Ok(DONE)
}

fn read_text(path: &Path) -> Result<String> {
    use std::io::Read;
    let unreadable = |error: std::io::Error| Error::invalid("file_unreadable", format!("{} cannot be read: {error}.", path.display()));
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).map_err(unreadable)?;
        return Ok(text);
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("bad_encoding", format!("{} is not UTF-8.", path.display())))
}

fn show_eval(report: &EvalReport) {
    let line = |name: &str, f: Figures| {
        print::line(format!(
            "{name:<10} nDCG@10 {:.3}   MRR@10 {:.3}   recall@10 {:.3}   recall@50 {:.3}",
            f.ndcg10, f.mrr10, f.recall10, f.recall50
        ));
    };
    print::line(format!("{} questions", report.queries));
    line("lexical", report.legs.lexical);
    line("semantic", report.legs.semantic);
    line("fused", report.legs.fused);
    print::line(format!(
        "decided none: {:.1} % of the unanswerable (good), {:.1} % of the answerable (bad)",
        report.unanswerable_none * 100.0,
        report.answerable_none * 100.0
    ));
    for (kind, one) in &report.kinds {
        let ndcg = one.ndcg10.map_or_else(|| "        –".to_owned(), |ndcg| format!("nDCG@10 {ndcg:.3}"));
        print::line(format!("  {kind:<14} {:>4} questions   {ndcg}   none {:.1} %", one.queries, one.none * 100.0));
    }
    print::line(format!("search p50 {:.1} ms, p99 {:.1} ms", report.latency_ms.p50, report.latency_ms.p99));
    if let Some(tuned) = report.tuned {
        print::line(format!(
            "tuned on half: lexical_weight {:.2}, grounded_threshold {:.2}; on the other half nDCG@10 {:.3}, none {:.1} % of the unanswerable, {:.1} % of the answerable",
            tuned.lexical_weight,
            tuned.grounded_threshold,
            tuned.held_out_ndcg10,
            tuned.held_out_unanswerable_none * 100.0,
            tuned.held_out_answerable_none * 100.0
        ));
    }
}

async fn stats(knowledge: &Knowledge, tenant: &TenantId, json: bool) -> Result<u8> {
    let stats = knowledge.stats(tenant).await?;
    if json {
        print::json(&serde_json::to_value(&stats)?);
        return Ok(DONE);
    }
    print::line(format!(
        "{} entries, {} passages, revision {}, embedder {}",
        stats.entries, stats.passages, stats.revision, stats.embedder
    ));
    print::line(format!("{} expire within a week, {} have expired, {} are still to come", stats.expiring_7d, stats.expired, stats.coming));
    for (name, counts) in [("category", &stats.by_category), ("market", &stats.by_market), ("locale", &stats.by_locale)] {
        let list = counts.iter().map(|(word, n)| format!("{} {n}", if word.is_empty() { "(none)" } else { word }));
        print::line(format!("by {name}: {}", list.collect::<Vec<_>>().join(", ")));
    }
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
    let (deleted, revision) = knowledge.delete(tenant, &selection).await?;
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
