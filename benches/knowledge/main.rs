//! `make bench`: a base of 100,000 short entries in one process: import and import again, time and truth of the search
//! with and without filters, how soon a new entry is found, memory. Every number is measured, and nothing is asserted.
//! `BENCH_ENTRIES=1000000` does the same with a million.

use std::path::Path;
use std::time::{Duration, Instant};

use merchant_copilot::app::{DEMO, Ground};
use merchant_copilot::config::{Config, Overrides};
use merchant_copilot::ids::TenantId;
use merchant_copilot::knowledge::ingest::{ImportOptions, import};
use merchant_copilot::knowledge::{EntryDraft, Knowledge, Query, SearchTimings};
use tokio_util::sync::CancellationToken;

use self::figures::{Times, head, mb, row};

mod exact;
#[path = "../streams/figures.rs"]
mod figures;
mod rows;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Another tenant has so many of a hundred entries.
const OTHER: usize = 5;
/// A second import finds one row in so many changed.
const CHANGED: usize = 100;
const QUESTIONS: usize = 500;
const ROUNDS: usize = 5;
/// Questions whose nearest entries are looked for one by one.
const COMPARED: usize = 200;
/// Entries added one by one.
const ADDED: usize = 20;

fn main() {
    // `cargo test --all-targets` runs this binary too, without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(bench());
}

#[expect(clippy::disallowed_methods, reason = "how much is measured is no configuration")]
fn entries() -> usize {
    std::env::var("BENCH_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

async fn bench() {
    let entries = entries();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let flags = Overrides { data_dir: Some(dir.path().join("data")), ..Default::default() };
    let config = Config::load(None, &flags).expect("the defaults");
    let zone = config.zone();
    let ground = Ground::open(config).await.expect("the data directory");
    let demo = ground.tenant(DEMO).await.expect("the tenant");
    let other = TenantId::parse("other").expect("a name");
    ground.tenants.add(&other, "Other").await.expect("another tenant");
    let knowledge = ground.knowledge().await.expect("the knowledge");
    let file = |name: &str| dir.path().join(name);
    rows::write(&file("rows.csv"), entries, None);
    rows::write(&file("again.csv"), entries, Some(CHANGED));
    rows::write(&file("other.csv"), entries * OTHER / 100, None);
    let take = async |tenant: &TenantId, name: &str| {
        let began = Instant::now();
        let report = import(&knowledge, tenant, &[file(name)], ImportOptions::default(), zone, |_| {}).await.expect("imported");
        let imported = began.elapsed();
        knowledge.catch_up().await.expect("the indexes");
        (report, imported, began.elapsed())
    };
    head();
    let empty = memory("VmRSS:");
    let (report, imported, first) = take(&demo, "rows.csv").await;
    let rate = report.added as f64 / first.as_secs_f64();
    row(
        &format!("{} entries imported and in both indexes", report.added),
        format!("{:.1} s, {rate:.0} rows/s", first.as_secs_f64()),
        "≥ 2,000 rows/s",
    );
    row("  of it until all were committed", format!("{:.1} s", imported.as_secs_f64()), "");
    let (report, imported, again) = take(&demo, "again.csv").await;
    let share = again.as_secs_f64() / first.as_secs_f64() * 100.0;
    row(
        &format!("again, {} changed and in both indexes", report.changed),
        format!("{:.2} s, {share:.1} % of the first", again.as_secs_f64()),
        "≤ 3 %",
    );
    row("  of it until all were committed", format!("{:.2} s", imported.as_secs_f64()), "");
    let (report, ..) = take(&other, "other.csv").await;
    println!("  beside it {} entries of another tenant, {} questions", report.added, rows::questions(QUESTIONS).len());
    row("memory, most so far / before the import", format!("{:.0} / {:.0} MB", mb(memory("VmHWM:")), mb(empty)), "< 500 MB");

    let bench = Bench { knowledge, questions: rows::questions(QUESTIONS) };
    bench.times("search, one after the other", &demo, None).await;
    bench.times("  of one market in twenty", &demo, Some(rows::MARKETS[1])).await;
    bench.times(&format!("  of a tenant with {OTHER} %"), &other, None).await;
    row("memory while searching, now / most", format!("{:.0} / {:.0} MB", mb(memory("VmRSS:")), mb(memory("VmHWM:"))), "< 500 MB");
    bench.freshness(&demo).await;
    let compared = &bench.questions[..COMPARED.min(bench.questions.len())];
    for (what, tenant, market) in
        [("all", &demo, None), ("one market in twenty", &demo, Some(rows::MARKETS[1])), ("the other tenant", &other, None)]
    {
        let recall = exact::recall(&bench.knowledge, tenant, compared, market).await;
        row(&format!("recall@10 of the vectors, {what}, {} questions", compared.len()), format!("{recall:.4}"), "≥ 0.99");
    }
    ground.db.close().await;
}

struct Bench {
    knowledge: Knowledge,
    questions: Vec<String>,
}

impl Bench {
    async fn search(&self, tenant: &TenantId, text: &str, market: Option<&str>) -> (Duration, SearchTimings, bool) {
        let query = Query { text: text.to_owned(), market: market.map(str::to_owned), top: 10, ..Default::default() };
        let began = Instant::now();
        let outcome = self.knowledge.search(tenant, &query).await.expect("a search");
        let exact = outcome.hits.iter().any(|hit| hit.evidence.exact);
        (began.elapsed(), outcome.timings, exact)
    }

    /// One question after the other, in rounds; in the first one every question is new.
    async fn times(&self, what: &str, tenant: &TenantId, market: Option<&str>) {
        let (mut rounds, mut stages) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let mut times = Vec::new();
            for question in &self.questions {
                let (time, timings, _) = self.search(tenant, question, market).await;
                times.push(time);
                if round > 0 {
                    stages.push(timings);
                }
            }
            let times = Times::of(times);
            if round == 0 {
                row(&format!("{what}: asked for the first time"), format!("p50 / p99  {}", times.both()), "");
            } else {
                rounds.push((times.percentile(50), times.percentile(99)));
            }
        }
        for (name, goal, pick) in [("p50", "≤ 2 ms", (|r: &(f64, f64)| r.0) as fn(&(f64, f64)) -> f64), ("p99", "≤ 10 ms", |r| r.1)] {
            let mut values: Vec<f64> = rounds.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            let (low, middle, high) = (values[0], values[values.len() / 2], values[values.len() - 1]);
            row(&format!("{what}: {name}"), format!("{middle:.2} ms ({low:.2} to {high:.2}, {ROUNDS} rounds)"), goal);
        }
        let median = |pick: fn(&SearchTimings) -> f64| {
            let mut all: Vec<f64> = stages.iter().map(pick).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let (embed, legs, lexical) = (median(|t| t.embed), median(|t| t.legs), median(|t| t.lexical));
        let (semantic, fuse, decide) = (median(|t| t.semantic), median(|t| t.fuse), median(|t| t.decide));
        println!(
            "  embed {embed:.2}, legs {legs:.2} (lexical {lexical:.2}, semantic {semantic:.2}), fuse {fuse:.2}, decide {decide:.2} ms"
        );
    }

    /// From the commit of a new entry until a search finds it, with the follower that a server has.
    async fn freshness(&self, tenant: &TenantId) {
        let stop = CancellationToken::new();
        let (follower, stopping) = (self.knowledge.clone(), stop.clone());
        let following = tokio::spawn(async move { follower.follow_forever(stopping).await });
        let mut times = Vec::new();
        for n in 0..ADDED {
            let question = format!("第 {n} 号新规从哪一天开始执行");
            let draft =
                EntryDraft {
                    question: question.clone(), answer: format!("第 {n} 号新规从下月 1 日起执行。"), ..Default::default()
                };
            self.knowledge.add(tenant, draft, true, "bench").await.expect("added");
            let committed = Instant::now();
            while !self.search(tenant, &question, None).await.2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            times.push(committed.elapsed());
        }
        let times = Times::of(times);
        row(&format!("from a commit until it is found, {} times", times.count()), format!("p50 / most  {}", times.both()), "≤ 1 s");
        stop.cancel();
        following.await.expect("the follower stops");
    }
}

/// This process's memory in bytes, now (`VmRSS:`) or at most (`VmHWM:`).
fn memory(line: &str) -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = text.lines().find_map(|own| own.strip_prefix(line)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}
