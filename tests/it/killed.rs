//! Imports killed with SIGKILL at seeded points and run again: no row is lost or doubled, and none that was
//! committed is embedded again. `TEST_KILLS=50` kills at fifty points; each takes the time of a start.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::process::{Shop, command};
use super::server::PATIENCE;

/// Points without `TEST_KILLS`.
const KILLS: usize = 12;
const ROWS: usize = 2_000;
/// Rows committed at once (`ingest/ahead.rs`): what a kill may cost.
const BATCH: usize = 256;

/// The file as it is for the so-manieth time; every row's answer is another each time.
fn many(version: usize) -> String {
    let rows = (0..ROWS).map(|i| format!("row-{i},第{i}号仓库由谁盘点？,第{i}号仓库由 {} 组盘点（第{version}版）。\n", i % 17));
    std::iter::once("id,question,answer\n".to_owned()).chain(rows).collect()
}

/// Where an import is killed: after how many batches have begun to be embedded, and how long after that.
#[derive(Debug)]
struct Point {
    batches: usize,
    then: Duration,
}

/// How often something is killed.
#[expect(clippy::disallowed_methods, reason = "how long the tests may take is no configuration")]
pub fn kills(usual: usize) -> usize {
    std::env::var("TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(usual)
}

/// The same in every run: one in five before anything is embedded.
fn points() -> Vec<Point> {
    let numbers = std::iter::successors(Some(20_261_125_u64), |n| {
        Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    });
    let batches = |n: u64| match n % 5 {
        0 => 0,
        4 => 2,
        _ => 1,
    };
    let point = |n: u64| Point { batches: batches(n >> 33), then: Duration::from_micros((n >> 40) % 60_000) };
    numbers.skip(1).take(kills(KILLS)).map(point).collect()
}

/// The rows that have been embedded, batch by batch, as the log says.
fn embedded(log: &Path) -> Vec<usize> {
    let text = std::fs::read_to_string(log).unwrap();
    let rows = |line: &str| line.split("embedding rows=").nth(1)?.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(rows).collect()
}

/// Rows embedded, and whether it was killed before it was done.
async fn import_until(shop: &Shop, file: &Path, log: &Path, point: &Point) -> (usize, bool) {
    let mut import = command(&shop.data);
    import.env("COPILOT_LOG__FILTER", "merchant_copilot::knowledge::ingest=debug");
    let mut child = import.args(["kb", "import"]).arg(file).stdout(Stdio::null()).stderr(File::create(log).unwrap()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while embedded(log).len() < point.batches && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the import does not get to {point:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(point.then).await;
    let done = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    (embedded(log).iter().sum(), !done)
}

/// The rows of this version in the database.
async fn committed(shop: &Shop, version: usize) -> usize {
    let file: PathBuf = shop.data.join("copilot.db");
    if !file.exists() {
        return 0;
    }
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(PATIENCE).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let like = format!("%（第{version}版）%");
    // A process killed in its first moments leaves a database without tables.
    let count: Result<i64, _> =
        sqlx::query_scalar("select count(*) from entries where answer like $1").bind(like).fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    count.map_or(0, |count| usize::try_from(count).unwrap())
}

#[tokio::test]
async fn a_killed_import_goes_on_loses_nothing_and_embeds_nothing_twice() {
    let shop = Shop::new();
    let log = shop.file("import.log", "");
    let wanted = kills(KILLS);
    let (mut version, mut kills, mut in_the_middle) = (0, 0, 0);
    let mut file = shop.file("many.csv", many(version));
    for point in points() {
        let before = committed(&shop, version).await;
        let (embedded, killed) = import_until(&shop, &file, &log, &point).await;
        let after = committed(&shop, version).await;
        // What was embedded is committed now, but for the one batch that the kill caught.
        let caught = embedded.checked_sub(after - before).expect("rows are embedded before they are committed");
        assert!(caught <= if killed { BATCH } else { 0 }, "{point:?}: {embedded} rows were embedded and {} committed", after - before);
        kills += usize::from(killed);
        in_the_middle += usize::from(killed && after > 0 && after < ROWS);
        if after == ROWS {
            version += 1;
            file = shop.file("many.csv", many(version));
        }
    }
    println!("{kills} kills, {in_the_middle} of them in the middle, {version} versions");
    assert!(kills >= wanted * 4 / 5 && in_the_middle >= wanted / 4, "killed only {kills} times, {in_the_middle} in the middle");

    let before = committed(&shop, version).await;
    let counts = shop.import(&file).done().counts();
    assert_eq!(
        (counts[0] + counts[1], counts[2], counts[3..].iter().sum::<u64>()),
        ((ROWS - before) as u64, before as u64, 0_u64),
        "{counts:?}"
    );
    assert_eq!(shop.import(&file).done().counts(), [0, 0, ROWS as u64, 0, 0, 0]);
    let rows = shop.export();
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row.split('"').find(|part| part.starts_with("row-"))).collect();
    assert_eq!((rows.len(), ids.len()), (ROWS, ROWS), "every row once");
    assert!(rows.iter().all(|row| row.contains(&format!("（第{version}版）"))), "every row as it is in the last file");
    for i in [0, 255, 256, 1234, ROWS - 1] {
        let found = shop.search(&format!("第{i}号仓库由谁盘点？"));
        assert!(found.contains(&format!("row-{i}")), "row-{i} in {found:?}");
    }
}
