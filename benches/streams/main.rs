//! `make bench`: what the server adds to a model's answer, and what it holds out: time to the provider's
//! request, relay of a token, a thousand answers at once, idle sockets, readers that do not read. The
//! server runs in a process of its own; provider, clients and a direct connection beside it share this
//! one, on the same machine. Every number is measured, and nothing is asserted. `BENCH_SCALE=0.02` does
//! the same with a fiftieth of everything.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use merchant_copilot::app::{DEMO, Ground};
use merchant_copilot::config::{Config, Overrides};
use merchant_copilot::ids::TenantId;
use merchant_copilot::tenants::{NewKey, Role};

use self::client::{Heard, Socket, direct};
use self::figures::{Times, head, mb, row};
use self::provider::{Provider, Script};
use self::serving::{Serving, open_files};

#[path = "../base.rs"]
mod base;
mod client;
mod figures;
mod provider;
mod serving;

/// Turns under way in the measurement of added time.
const TURNS: usize = 50;
/// Characters of a token that are as many as its time takes.
const SHORT: usize = 5;
/// Twenty tokens a second.
const GAP: Duration = Duration::from_millis(50);
/// Sockets that are opened at once.
const OPENING: usize = 100;
/// Between a measurement and what it is compared with, so that freed memory is given back.
const SETTLE: Duration = Duration::from_secs(20);
/// How long a slow reader waits before it reads after all.
const LATE: Duration = Duration::from_secs(8);
/// A reader that is silent for longer than the server's patience of 20 s.
const TOO_LATE: Duration = Duration::from_secs(45);

fn main() {
    // `cargo test --all-targets` runs this binary too, without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { Bench::prepare().await.run().await });
}

/// What every measurement needs.
struct Bench {
    scale: f64,
    files: u64,
    folder: tempfile::TempDir,
    key: String,
    provider: Provider,
    questions: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "how much is measured is no configuration")]
fn scale() -> f64 {
    std::env::var("BENCH_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

impl Bench {
    async fn prepare() -> Self {
        let (scale, files) = (scale(), open_files());
        let folder = tempfile::tempdir().expect("a temporary directory");
        let script = Script { tokens: 40, gap: GAP, chars: SHORT, together: 0 };
        let provider = Provider::start(script).await;
        let bench = Self { scale, files, folder, key: String::new(), provider, questions: base::questions(300) };
        let flags = Overrides { data_dir: Some(bench.data()), ..Default::default() };
        let config = Config::load(None, &flags).expect("the defaults");
        let (filling, entries) = (Instant::now(), bench.many(10_000));
        base::fill(config.clone(), entries, false).await;
        println!("{entries} entries imported in {:.1} s; {files} files may be open\n", filling.elapsed().as_secs_f64());
        let ground = Ground::open(config).await.expect("the data");
        let new = NewKey { role: Role::Member, origins: Vec::new(), label: "bench".into(), expires: None };
        let (_, key) = ground.tenants.issue(&TenantId::parse(DEMO).expect("a name"), new).await.expect("a key");
        ground.db.close().await;
        std::fs::write(bench.config(TURNS), bench.configuration(TURNS)).expect("written");
        std::fs::write(bench.config(1), bench.configuration(1)).expect("written");
        Self { key: key.reveal().to_owned(), ..bench }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn config(&self, models: usize) -> PathBuf {
        self.folder.path().join(format!("bench-{models}.toml"))
    }

    /// The defaults, but for limits per key and address (here everybody has the same) and so many models: one
    /// for each turn where the provider must know whose question it reads.
    fn configuration(&self, models: usize) -> String {
        let models: String = (0..models).map(|n| format!("[[models.providers.mock.models]]\nid = \"m{n}\"\n")).collect();
        format!(
            "[limits]\nkey_per_minute = 10000000\naddress_per_minute = 10000000\nsockets_per_address = 20000\nsockets = 20000\n[models]\nfirst_token_ms = 120000\n\
             [models.providers.mock]\nkind = \"compatible\"\nbase_url = \"http://{}/v1\"\napi_key = \"sk-bench\"\n{models}",
            self.provider.address
        )
    }

    fn many(&self, all: usize) -> usize {
        ((all as f64 * self.scale).round() as usize).max(1)
    }

    async fn serve(&self, models: usize) -> Serving {
        let (data, config) = (self.data(), self.config(models));
        Serving::start(Path::new(&data), Path::new(&config)).await
    }

    async fn run(mut self) {
        head();
        let asked = self.added_time().await;
        let Some(question) = asked else { return println!("no question was put to the provider") };
        self.idle_sockets(&question).await;
        self.streams_at_once(&question).await;
        self.slow_readers(&question).await;
    }

    /// Questions one after the other in fifty conversations at once, and the same tokens directly.
    async fn added_time(&mut self) -> Option<String> {
        let rounds = self.many(20).max(2);
        let script = Script { tokens: 40, gap: GAP, chars: SHORT, together: 0 };
        self.provider.plays(script);
        let plain = reqwest::Client::new();
        let by_hand = (0..TURNS).map(|_| async {
            let mut times = Vec::new();
            for _ in 0..rounds.div_ceil(4) {
                times.extend(direct(&self.provider, &plain, SHORT).await.tokens);
            }
            times
        });
        let by_hand = Times::of(join_all(by_hand).await.into_iter().flatten());

        let serving = self.serve(TURNS).await;
        let mut sockets = self.sockets(&serving, TURNS, false).await;
        let turns = sockets.iter_mut().enumerate().map(|(n, socket)| self.ask_on(socket, n, rounds + 1));
        let (mut added, mut relayed, mut question) = (Vec::new(), Vec::new(), None);
        for (to_provider, tokens, asked) in join_all(turns).await {
            added.extend(to_provider);
            relayed.extend(tokens);
            question = question.or(asked);
        }
        let (added, relayed) = (Times::of(added), Times::of(relayed));
        let what = format!("from question to provider request, {TURNS} turns, {} questions", added.count());
        row(&what, format!("p50 / p99  {}", added.both()), "≤ 5 / 20 ms");
        row(&format!("a token direct, {TURNS} streams, {} tokens", by_hand.count()), format!("p50 / p99  {}", by_hand.both()), "");
        row(&format!("a token through us, {TURNS} turns, {} tokens", relayed.count()), format!("p50 / p99  {}", relayed.both()), "");
        let more = |percent| relayed.percentile(percent) - by_hand.percentile(percent);
        row("  what we add to it", format!("p50 / p99  {:.2} / {:.2} ms", more(50), more(99)), "p99 ≤ 1 ms");
        // The worst case: everybody asks in the same moment.
        let question = question?;
        let this = &*self;
        let burst = sockets.iter_mut().enumerate().map(|(n, socket)| async move {
            let model = format!("m{}", n % TURNS);
            let asked = socket.ask(&format!("burst-{n}"), this.question(n), &model).await;
            socket.hear(&this.provider, SHORT).await;
            this.provider.arrival(&model).map(|at| at.saturating_duration_since(asked))
        });
        let burst = Times::of(join_all(burst).await.into_iter().flatten());
        row(&format!("  {} questions in the same moment", burst.count()), format!("p50 / p99  {}", burst.both()), "");
        Some(question)
    }

    fn question(&self, n: usize) -> &str {
        &self.questions[n % self.questions.len()]
    }

    /// One conversation partner after the other on a socket: times to the provider, times of tokens, and a
    /// question that a model was asked. The first answer warms up.
    async fn ask_on(&self, socket: &mut Socket, n: usize, rounds: usize) -> (Vec<Duration>, Vec<Duration>, Option<String>) {
        let (model, mut added, mut tokens, mut put) = (format!("m{n}"), Vec::new(), Vec::new(), None);
        tokio::time::sleep(GAP * n as u32).await;
        for round in 0..rounds {
            let question = self.question(n * 7 + round * 13);
            let asked = socket.ask(&format!("{n}-{round}"), question, &model).await;
            let heard = socket.hear(&self.provider, SHORT).await;
            let Some(arrived) = self.provider.arrival(&model).filter(|_| round > 0) else { continue };
            put.get_or_insert_with(|| question.to_owned());
            added.push(arrived.saturating_duration_since(asked));
            tokens.extend(heard.tokens);
        }
        (added, tokens, put)
    }

    async fn sockets(&self, serving: &Serving, count: usize, far: bool) -> Vec<Socket> {
        stream::iter(0..count).map(|_| Socket::open(serving.address, &self.key, far)).buffer_unordered(OPENING).collect().await
    }

    async fn warm_up(&self, serving: &Serving, question: &str) {
        self.provider.plays(Script { tokens: 40, gap: Duration::from_millis(2), chars: SHORT, together: 0 });
        for mut socket in self.sockets(serving, 8, false).await {
            for id in ["a", "b", "c"] {
                socket.ask(&merchant_copilot::ids::random_token(id, 12), question, "m0").await;
                socket.hear(&self.provider, SHORT).await;
            }
        }
        tokio::time::sleep(SETTLE).await;
    }

    async fn idle_sockets(&self, question: &str) {
        let wanted = self.many(10_000);
        let count = wanted.min(usize::try_from(self.files).unwrap_or(wanted).saturating_sub(500));
        let serving = self.serve(1).await;
        self.warm_up(&serving, question).await;
        let before = serving.resident();
        let sockets = self.sockets(&serving, count, false).await;
        tokio::time::sleep(SETTLE).await;
        let each = serving.resident().saturating_sub(before) as f64 / count as f64 / 1024.0;
        row(&format!("an idle socket with its session, {count} open"), format!("{each:.1} KB each"), "≤ 12 KB");
        if count < wanted {
            println!("  {wanted} were wanted; this machine allows {} open files", self.files);
        }
        drop(sockets);
    }

    async fn streams_at_once(&self, question: &str) {
        let (count, tokens) = (self.many(1_000), 200);
        let script = Script { tokens, gap: GAP, chars: SHORT, together: count };
        // What the machine makes of provider and clients alone.
        self.provider.plays(script);
        let plain = reqwest::Client::new();
        let heard = join_all((0..count).map(|_| direct(&self.provider, &plain, SHORT))).await;
        row(&format!("{count} streams direct, {tokens} tokens each: rate, mean / slowest"), rates(&heard), "");
        let times = Times::of(heard.into_iter().flat_map(|heard| heard.tokens));
        row("  a token direct", format!("p50 / p99  {}", times.both()), "");
        let serving = self.serve(1).await;
        self.warm_up(&serving, question).await;
        let watch = serving.watch();
        let before = serving.resident();
        self.provider.plays(script);
        let mut sockets = self.sockets(&serving, count, false).await;
        let heard = join_all(sockets.iter_mut().map(|socket| self.one(socket, question, SHORT))).await;
        let came: usize = heard.iter().map(|heard| heard.tokens.len()).sum();
        row(&format!("{count} turns at once, {tokens} tokens each: lost tokens"), count * tokens - came.min(count * tokens), "0");
        row("  rate, mean / slowest turn", rates(&heard), "20 tokens/s");
        let times = Times::of(heard.into_iter().flat_map(|heard| heard.tokens));
        row("  a token through us", format!("p50 / p99  {}", times.both()), "");
        row("  memory: growth at most", format!("{:.0} MB", mb(watch.most() - before)), "");
    }

    async fn one(&self, socket: &mut Socket, question: &str, chars: usize) -> Heard {
        socket.ask(&merchant_copilot::ids::random_token("m", 12), question, "m0").await;
        socket.hear(&self.provider, chars).await
    }

    /// The same answers to readers that read and to readers that do not.
    async fn slow_readers(&self, question: &str) {
        let (count, chars, tokens) = (self.many(1_000), 120, 200);
        let script = Script { tokens, gap: GAP, chars, together: count };
        let mut grown = Vec::new();
        for slow in [false, true] {
            let serving = self.serve(1).await;
            self.warm_up(&serving, question).await;
            let watch = serving.watch();
            let before = serving.resident();
            self.provider.plays(script);
            let mut sockets = self.sockets(&serving, count, true).await;
            let readers = sockets.iter_mut().enumerate().map(|(n, socket)| async move {
                socket.ask(&merchant_copilot::ids::random_token("m", 12), question, "m0").await;
                if slow {
                    tokio::time::sleep(if n % 2 == 0 { LATE } else { TOO_LATE }).await;
                }
                socket.hear(&self.provider, chars).await
            });
            let heard = join_all(readers).await;
            let growth = watch.most() - before;
            grown.push(growth);
            let whole = |heard: &&Heard| heard.closed.is_none() && heard.chars == tokens * chars && heard.whole == Some(tokens * chars);
            let (whole, closed) = (heard.iter().filter(whole).count(), heard.iter().filter(|heard| heard.closed.is_some()).count());
            let who = if slow { "slow" } else { "prompt" };
            let answer = tokens * chars * 3 / 1024;
            let goal = if slow { "< 64 MB" } else { "" };
            row(&format!("{count} {who} readers of {answer} KB each: growth at most"), format!("{:.0} MB", mb(growth)), goal);
            row("  had every character / were closed / neither", format!("{whole} / {closed} / {}", count - whole - closed), "0 neither");
        }
        let more = mb(grown[1]) - mb(grown[0]);
        row("  slow readers' own part of the growth", format!("{more:.0} MB"), "< 64 MB");
    }
}

fn rates(heard: &[Heard]) -> String {
    let rates: Vec<f64> = heard.iter().filter_map(rate).collect();
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    format!("{mean:.2} / {slowest:.2} tokens/s")
}

/// Tokens a second from the first to the last.
fn rate(heard: &Heard) -> Option<f64> {
    let (first, last) = heard.span?;
    (heard.tokens.len() > 1).then(|| (heard.tokens.len() - 1) as f64 / last.duration_since(first).as_secs_f64())
}
