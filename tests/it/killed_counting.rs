//! An import killed with SIGKILL at seeded points, with a real embeddings endpoint that counts: no row is lost or
//! doubled, no row that was committed is embedded again unless it changed, and both indexes have what the database
//! has. `TEST_KILLS=50` kills at fifty points.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::fake_embeddings::Embeddings;
use super::killed::kills;
use super::process::{Serving, Shop, command, finish};
use super::server::PATIENCE;

/// Points without `TEST_KILLS`.
const KILLS: usize = 6;
const ROWS: usize = 600;
/// Rows committed at once (`ingest/ahead.rs`): what a kill may cost.
const BATCH: usize = 256;
/// Every row is embedded by its question, by its other phrasing, and by its answer.
const TEXTS: usize = 3;
/// One row in so many changes from one version of the file to the next.
const CHANGED: usize = 3;

fn question(n: usize) -> String {
    const PLACES: [&str; 7] = ["仓库", "直播间", "跨境店", "旗舰店", "退货点", "客服组", "保税仓"];
    const DEEDS: [&str; 5] = ["由谁盘点", "怎么预约验厂", "几点截单", "如何申请停业", "在哪里换班"];
    format!("第{n}号{}{}？", PLACES[n % PLACES.len()], DEEDS[n % DEEDS.len()])
}

/// What a row says in this version of the file.
fn answer(n: usize, version: usize) -> String {
    let of = (0..=version).rev().find(|of| *of == 0 || (n + of).is_multiple_of(CHANGED)).unwrap();
    format!("见第 {n} 页的说明（第{of}版）。")
}

fn file(version: usize) -> String {
    let rows = (0..ROWS).map(|n| format!("row-{n},{},编号{n}的地方归谁管,{}\n", question(n), answer(n, version)));
    std::iter::once("id,question,similar,answer\n".to_owned()).chain(rows).collect()
}

/// The row that a text is of; every text names it first.
fn row_of(text: &str) -> usize {
    let digits: String = text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no row in {text}"))
}

/// Where an import is killed: after what part of the texts it would send has come, and how long after that.
#[derive(Debug)]
struct Point {
    part: f64,
    then: Duration,
}

/// The same in every run. One in four when all has come: in the last commit, or while the indexes are written.
fn points() -> Vec<Point> {
    let numbers = std::iter::successors(Some(20_261_127_u64), |n| {
        Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    });
    let point = |n: u64| Point {
        part: if (n >> 33).is_multiple_of(4) { 1.0 } else { ((n >> 20) % 1_000) as f64 / 1_000.0 },
        then: Duration::from_micros((n >> 40) % 90_000),
    };
    numbers.skip(1).take(kills(KILLS)).map(point).collect()
}

/// The rows in the database, by number; none when there is no database yet.
async fn stored(shop: &Shop) -> BTreeMap<usize, String> {
    let path: PathBuf = shop.data.join("copilot.db");
    if !path.exists() {
        return BTreeMap::new();
    }
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let rows: Result<Vec<(String, String)>, _> = sqlx::query_as("select id, answer from entries").fetch_all(&mut connection).await;
    connection.close().await.unwrap();
    // A process killed in its first moments leaves a database without tables.
    rows.unwrap_or_default().into_iter().map(|(id, answer)| (id["row-".len()..].parse().unwrap(), answer)).collect()
}

/// How many rows are as in this version of the file.
fn as_in(rows: &BTreeMap<usize, String>, version: usize) -> BTreeSet<usize> {
    rows.iter().filter(|(n, said)| **said == answer(**n, version)).map(|(n, _)| *n).collect()
}

struct Import<'a> {
    shop: &'a Shop,
    endpoint: &'a Embeddings,
    file: PathBuf,
}

impl Import<'_> {
    /// Whether it was killed before it was done; the texts it sent.
    async fn killed_at(&self, point: &Point, lacking: usize) -> (bool, Vec<String>) {
        let (sent, wanted) = (self.endpoint.seen.texts().len(), (lacking * TEXTS) as f64 * point.part);
        let mut import = command(&self.shop.data);
        import.envs(self.endpoint.environment()).env("COPILOT_EMBEDDER__BATCH", "40");
        let mut child = import.args(["kb", "import"]).arg(&self.file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while ((self.endpoint.seen.texts().len() - sent) as f64) < wanted && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the import does not get to {point:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(point.then).await;
        let done = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        // What is on its way to the endpoint still comes.
        let mut seen = self.endpoint.seen.texts().len();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = self.endpoint.seen.texts().len();
            if now == seen {
                break;
            }
            seen = now;
        }
        (!done, self.endpoint.seen.texts()[sent..].to_vec())
    }

    fn to_its_end(&self) -> [u64; 6] {
        let mut import = command(&self.shop.data);
        finish(import.envs(self.endpoint.environment()).args(["kb", "import"]).arg(&self.file)).done().counts()
    }
}

/// Every row by its words and by its meaning, first, and no more passages than the database has.
async fn indexes_have_everything(shop: &Shop, endpoint: &Embeddings) {
    let environment = endpoint.environment();
    let environment = environment.iter().map(|(name, value)| (*name, value.as_str()));
    let unhurried = [("COPILOT_LIMITS__ADDRESS_PER_MINUTE", "1000000"), ("COPILOT_LIMITS__KEY_PER_MINUTE", "1000000")];
    let process = Serving::start_with(&shop.data, &environment.chain(unhurried).collect::<Vec<_>>());
    process.ready().await;
    let key = shop.run(["key", "issue", "--role", "admin"]).done().json["key"].as_str().unwrap().to_owned();
    for n in 0..ROWS {
        let path = format!("/api/v1/knowledge/search?top=3&q={}", question(n));
        let found = process.until(&path, &key, |status, _| status == 200).await;
        let hits = found["hits"].as_array().unwrap();
        let (first, id) = (&hits[0], format!("row-{n}"));
        assert!(first["id"] == *id && hits[1..].iter().all(|hit| hit["id"] != *id), "row {n}: {found}");
        let rank = |leg: &str| first[leg]["rank"].as_u64().unwrap_or(u64::MAX);
        assert!(rank("lexical") == 1 && rank("semantic") <= 2, "row {n}: {found}");
    }
}

/// Reads a file into it.
fn put(shop: &Shop, version: usize) -> PathBuf {
    shop.file("rows.csv", file(version))
}

#[tokio::test]
async fn a_killed_import_embeds_what_it_lacks_and_nothing_else() {
    let (shop, endpoint) = (Shop::new(), Embeddings::start(Duration::from_millis(4)));
    let (mut version, mut killed, mut in_the_middle, mut wasted, mut changed) = (0, 0, 0, 0, ROWS);
    let mut import = Import { shop: &shop, endpoint: &endpoint, file: put(&shop, 0) };
    let began = Instant::now();
    for point in points() {
        let before = as_in(&stored(&shop).await, version);
        let (was_killed, sent) = import.killed_at(&point, ROWS - before.len()).await;
        let rows = stored(&shop).await;
        let after = as_in(&rows, version);
        // Nothing is lost, also of what the file had before.
        assert!(after.is_superset(&before), "{point:?}");
        assert!(rows.iter().all(|(n, said)| after.contains(n) || version > 0 && *said == answer(*n, version - 1)), "{point:?}");
        // Once each, of rows that were not as in the file; what was not committed is one batch at most.
        let unique: HashSet<&String> = sent.iter().collect();
        assert_eq!(unique.len(), sent.len(), "{point:?}: a text was sent twice");
        let of: BTreeSet<usize> = sent.iter().map(|text| row_of(text)).collect();
        assert!(of.is_disjoint(&before), "{point:?}: a row that was there was embedded again");
        let caught = of.difference(&after).count();
        assert!(caught <= if was_killed { BATCH } else { 0 }, "{point:?}: {caught} rows were embedded and not committed");
        let new: Vec<usize> = after.difference(&before).copied().collect();
        assert!(new.iter().all(|n| of.contains(n)), "{point:?}: rows were committed without being embedded");
        wasted += sent.iter().filter(|text| !after.contains(&row_of(text))).count();
        killed += usize::from(was_killed);
        in_the_middle += usize::from(was_killed && after.len() > before.len() && after.len() < ROWS);
        if after.len() == ROWS {
            version += 1;
            changed += (0..ROWS).filter(|n| answer(*n, version) != answer(*n, version - 1)).count();
            import.file = put(&shop, version);
        }
    }
    let lacking = ROWS - as_in(&stored(&shop).await, version).len();
    let counts = import.to_its_end();
    assert_eq!((counts[0] + counts[1], counts[2]), (lacking as u64, (ROWS - lacking) as u64), "{counts:?}");
    assert_eq!(counts[3..], [0, 0, 0], "{counts:?}");
    let sent = endpoint.seen.texts().len();
    assert_eq!(sent, changed * TEXTS + wasted, "what had to be embedded, and what the kills caught");
    assert_eq!(import.to_its_end(), [0, 0, ROWS as u64, 0, 0, 0]);
    assert_eq!(endpoint.seen.texts().len(), sent, "the same file again embeds nothing");

    let rows = stored(&shop).await;
    assert_eq!((rows.len(), as_in(&rows, version).len()), (ROWS, ROWS), "every row once, as in the last file");
    let stats = shop.run(["kb", "stats"]).done().json;
    assert_eq!((&stats["entries"], &stats["passages"]), (&ROWS.into(), &(ROWS * TEXTS).into()), "{stats}");
    indexes_have_everything(&shop, &endpoint).await;
    println!(
        "{killed} kills ({in_the_middle} between two commits), {version} whole versions, {} texts to embed, {sent} sent, {wasted} of them caught by a kill, {:?}",
        changed * TEXTS,
        began.elapsed()
    );
    assert!(killed >= points().len() / 2, "killed only {killed} times");
}
