//! What `kb` tells people: calm, aligned, the same facts as `--json`.

use chrono_tz::Tz;

use super::print::{self, count};
use crate::config::Fusion;
use crate::ids::{EntryId, Timestamp};
use crate::knowledge::evaluate::tune::{HeldOut, LEAST, Tuned};
use crate::knowledge::evaluate::{EvalReport, Figures, Gain};
use crate::knowledge::report::{FieldChange, ImportReport, Problem};
use crate::knowledge::store::{Renewal, Stats};
use crate::knowledge::tuning::Tuning;
use crate::knowledge::{Decision, Hit, LegRank, SearchOutcome};

/// Problems shown to people; `--report` has all of them.
const SHOWN: usize = 20;

/// What an import did, the first problems row by row.
pub fn import(report: &ImportReport) {
    let verb = if report.dry_run { "Would be" } else { "Done:" };
    print::line(format!(
        "{verb} {} added, {} changed, {} unchanged, {}, {}, {} failed ({}; revision {}).",
        report.added,
        report.changed,
        report.unchanged,
        count(report.duplicates, "duplicate"),
        count(report.conflicts, "conflict"),
        report.failed,
        count(report.rows(), "row"),
        report.revision
    ));
    if let Some(deleted) = report.deleted {
        print::line(format!(
            "  deleted, because their source no longer has them: {}{}",
            if report.dry_run { "would be " } else { "" },
            count(deleted, "row")
        ));
    }
    for gone in report.deletions.iter().take(SHOWN) {
        print::line(format!("    `{}` of {}: {}", gone.id, gone.source, short(&gone.question)));
    }
    more(report.deleted.unwrap_or_default(), "deleted", "");
    for change in report.changes.iter().take(SHOWN) {
        print::line(format!("  {} row {} changes `{}`", change.file, change.row, change.id));
        for FieldChange { field, old, new } in &change.fields {
            let (old, new) = around_the_change(old, new);
            print::line(format!("    {field:<11} before  {}", said(&old)));
            print::line(format!("    {:<11} after   {}", "", said(&new)));
        }
    }
    if !report.changes.is_empty() {
        more(report.changed, "changed", "");
    }
    for problem in report.duplicated.iter().take(SHOWN) {
        print::line(format!("  {} row {}: {} [{}]", problem.file, problem.row, problem.message, problem.code));
    }
    more(report.duplicates, "duplicate", "");
    for note in &report.notes {
        print::line(format!("  note  {note}"));
    }
    let mut held: Vec<&Problem> = report.errors.iter().chain(&report.conflicting).collect();
    held.sort_by_key(|problem| (&problem.file, &problem.sheet, problem.row));
    for problem in held.into_iter().take(SHOWN) {
        print::line(format!("  {} row {}: {} [{}]", problem.file, problem.row, problem.message, problem.code));
    }
    more(report.failed + report.conflicts, "failed or conflicting", "; --report FILE writes all of them");
    if report.interrupted {
        print::line("Stopped before the end. Run the same command again: it goes on where it stopped.");
    }
}

/// How many of a kind are not shown.
fn more(of: u64, kind: &str, hint: &str) {
    let more = of.saturating_sub(SHOWN as u64);
    if more > 0 {
        print::line(format!("  … and {more} more {kind}{hint}."));
    }
}

/// Two long texts from shortly before the place where they part, so that the lines show what changed.
fn around_the_change(old: &str, new: &str) -> (String, String) {
    const BEFORE: usize = 40;
    let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
    let skip = same.saturating_sub(BEFORE);
    let from = |text: &str| {
        let rest: String = text.chars().skip(skip).collect();
        if skip > 0 { format!("…{rest}") } else { rest }
    };
    (from(old), from(new))
}

/// A field in a line; one that is not set is told so.
fn said(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { short(text) }
}

/// An answer in a line.
fn short(text: &str) -> String {
    const CHARS: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// What a search found, best first.
pub fn search(found: &SearchOutcome, explain: bool) {
    let decision = match found.decision {
        Decision::Direct => "direct: the first row answers by itself",
        Decision::Grounded => "grounded: a model answers from the rows that passed",
        Decision::None => "none: the base does not know",
    };
    print::line(decision);
    for (place, hit) in (1..).zip(&found.hits) {
        self::hit(place, hit, explain);
    }
    if explain {
        print::line(format!("words   {}", found.terms.join(" · ")));
        let weights = found.weights;
        print::line(match weights.fusion {
            Fusion::Weighted => format!(
                "fusion  weighted: lexical {:.2}, semantic {:.2}; rows without a question: lexical {:.2}",
                weights.lexical,
                1.0 - weights.lexical,
                weights.lexical_bare
            ),
            Fusion::Rrf => "fusion  rrf: by ranks, both legs alike".to_owned(),
        });
        let doubt = found.doubt;
        let elsewhere = if doubt.elsewhere { ", names a country without a market" } else { "" };
        print::line(format!(
            "doubt   nearest question that rows do not answer: {:.2} (words {:.2}){elsewhere}",
            doubt.against, doubt.against_words
        ));
        if let Some(reranked) = &found.reranked {
            let done = match &reranked.error {
                Some(error) => format!("failed, the fused order stands: {} [{}]", error.message, error.code),
                None => format!("put {} rows in order", reranked.candidates),
            };
            print::line(format!("rerank  {} {done}", reranked.model));
        }
        let t = found.timings;
        print::line(format!(
            "time    embed {:.1}  legs {:.1}  fuse {:.1}  rerank {:.1}  decide {:.1}  total {:.1} ms",
            t.embed, t.legs, t.fuse, t.rerank, t.decide, t.total
        ));
    }
}

fn hit(place: usize, hit: &Hit, explain: bool) {
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
        let rerank = hit.rerank.map_or_else(String::new, |score| format!("  rerank {score:.3}"));
        print::line(format!("          fused {:.3}{rerank}  matched: {}", hit.fused, hit.passage.chars().take(80).collect::<String>()));
        if !hit.folded.is_empty() {
            print::line(format!("          says the same: {}", hit.folded.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
        }
        print::line(format!("          words: {}", hit.matched.join(" · ")));
        if let Some(refused) = &hit.direct_refused {
            print::line(format!("          not direct: {refused}"));
        }
        if let Some(reason) = &hit.reason {
            print::line(format!("          {reason}"));
        }
    }
}

/// How good retrieval is.
pub fn eval(report: &EvalReport) {
    let line = |name: &str, f: Figures| {
        print::line(format!(
            "{name:<10} nDCG@10 {:.3}   MRR@10 {:.3}   recall@10 {:.3}   recall@50 {:.3}",
            f.ndcg10, f.mrr10, f.recall10, f.recall50
        ));
    };
    print::line(count(report.queries, "question"));
    if !report.unknown.is_empty() {
        let some: Vec<&str> = report.unknown.iter().take(5).map(EntryId::as_str).collect();
        let more = if report.unknown.len() > some.len() { ", …" } else { "" };
        print::line(format!("{} in `relevant` that no row has: {}{more}", count(report.unknown.len(), "id"), some.join(", ")));
    }
    if report.answerable == 0 {
        print::line("none of them has a row that answers it (`relevant` is empty), so there is no order to measure");
    } else {
        line("lexical", report.legs.lexical);
        line("semantic", report.legs.semantic);
        line("fused", report.legs.fused);
        if let Some(reranked) = report.legs.reranked {
            line("reranked", reranked);
        }
        if let Some(gain) = report.gain {
            let Gain { mean, low, high } = gain;
            print::line(format!("fused over lexical {mean:+.3} nDCG@10, 95 % interval {low:+.3} to {high:+.3} (paired t)"));
        }
    }
    let share = |of: usize, share: f64| if of == 0 { "–".to_owned() } else { format!("{:.1} %", share * 100.0) };
    print::line(format!(
        "decided none: {} of the unanswerable (good), {} of the answerable (bad)",
        share(report.queries - report.answerable, report.unanswerable_none),
        share(report.answerable, report.answerable_none)
    ));
    for (kind, one) in &report.kinds {
        let ndcg = one.ndcg10.map_or_else(|| "        –".to_owned(), |ndcg| format!("nDCG@10 {ndcg:.3}"));
        print::line(format!("  {kind:<14} {:>4} questions   {ndcg}   none {:.1} %", one.queries, one.none * 100.0));
    }
    print::line(format!("search p50 {:.1} ms, p99 {:.1} ms", report.latency_ms.p50, report.latency_ms.p99));
    if let Some(tuned) = &report.tuned {
        self::tuned(tuned);
    }
}

fn tuned(tuned: &Tuned) {
    let line = |name: &str, f: HeldOut| {
        print::line(format!(
            "  {name:<9} nDCG@10 {:.3}, none {:.1} % of the unanswerable, {:.1} % of the answerable",
            f.ndcg10,
            f.unanswerable_none * 100.0,
            f.answerable_none * 100.0
        ));
    };
    print::line(format!(
        "tuned on {}: {}; every question judged by what was chosen without its part of {}",
        count(tuned.tuning.chosen_on, "question"),
        in_words(&tuned.tuning),
        tuned.folds
    ));
    line("tuned", tuned.held_out);
    line("in force", tuned.in_force);
    print::line(match (tuned.kept, tuned.holds) {
        (true, _) => "  kept for this tenant; `kb untune` goes back".to_owned(),
        (false, true) => "  not kept, as --no-keep says; without it this would be in force for the tenant".to_owned(),
        (false, false) if tuned.tuning.chosen_on < LEAST => format!("  not kept: fewer than {LEAST} questions say nothing"),
        (false, false) => "  not kept: on questions held out it does worse than what is in force".to_owned(),
    });
}

fn in_words(tuning: &Tuning) -> String {
    let fusion = if tuning.fusion == Fusion::Rrf { "fusion rrf, " } else { "" };
    format!(
        "{fusion}lexical_weight {:.2}, lexical_weight_bare {:.2}, grounded_threshold {:.2}",
        tuning.lexical_weight, tuning.lexical_weight_bare, tuning.grounded_threshold
    )
}

/// A moment as the shop's clock shows it.
fn local(at: Timestamp, zone: Tz) -> String {
    chrono::DateTime::from_timestamp_millis(at.0).unwrap_or_default().with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
}

/// How far new vectors are.
pub fn renewing(Renewal { embedder, done, of }: &Renewal) -> String {
    format!("re-embedding {} of {} for {embedder}", grouped(*done), grouped(*of))
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let ends: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|three| std::str::from_utf8(three).ok()).collect();
    ends.join(",")
}

/// What is in the base.
pub fn stats(stats: &Stats, zone: Tz) {
    print::line(format!(
        "{}, {}, revision {}, embedder {}",
        count(stats.entries, "entry"),
        count(stats.passages, "passage"),
        stats.revision,
        stats.embedder
    ));
    if let Some(renewal) = &stats.renewal {
        print::line(renewing(renewal));
    }
    print::line(format!("{} expire within a week, {} have expired, {} are still to come", stats.expiring_7d, stats.expired, stats.coming));
    if stats.words + stats.synonyms > 0 {
        print::line(format!("{} of its own, {} of synonyms", count(stats.words, "word"), count(stats.synonyms, "group")));
    }
    if let Some(tuning) = &stats.tuning {
        print::line(format!(
            "tuned on {}: {}; nDCG@10 on questions held out {:.3}",
            count(tuning.chosen_on, "question"),
            in_words(tuning),
            tuning.held_out_ndcg10
        ));
    }
    for (what, due) in [("expires", &stats.expiring), ("becomes live", &stats.becoming_live)] {
        for entry in due {
            print::line(format!("  {what} {}  {}  {}", local(entry.at_ms, zone), entry.id, entry.question));
        }
    }
    for (name, counts) in [("category", &stats.by_category), ("market", &stats.by_market), ("locale", &stats.by_locale)] {
        let list = counts.iter().map(|(word, n)| format!("{} {n}", if word.is_empty() { "(none)" } else { word }));
        print::line(format!("by {name}: {}", list.collect::<Vec<_>>().join(", ")));
    }
}
