//! Two machines that share a Postgres database and import into one shop at once: the second waits for the first,
//! and then has nothing to do. One that is killed holds nobody up.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::fake_embeddings::Embeddings;
use super::process::{Shop, command};
use super::server::PATIENCE;

const ROWS: usize = 300;

fn import(shop: &Shop, url: &str, endpoint: &Embeddings, file: &Path) -> Command {
    let mut import = command(&shop.data);
    import.envs(endpoint.environment()).args(["--database", url, "kb", "import"]).arg(file);
    import
}

fn begin(mut import: Command) -> Child {
    import.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn counts(child: Child) -> [u64; 3] {
    let output = child.wait_with_output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert!(output.status.success(), "{json}");
    ["added", "unchanged", "conflicts"].map(|name| json[name].as_u64().unwrap())
}

#[tokio::test]
async fn two_machines_that_import_at_once_come_one_after_the_other() {
    let Some(url) = super::postgres_database("two_importers").await else { return };
    let (one, other, endpoint) = (Shop::new(), Shop::new(), Embeddings::start(Duration::ZERO));
    let rows: String = (0..ROWS).map(|n| format!("row-{n},第{n}号仓库由谁盘点？,见第 {n} 页。\n")).collect();
    let file = one.file("rows.csv", format!("id,question,answer\n{rows}"));
    let come = async |texts: usize| {
        let deadline = Instant::now() + PATIENCE;
        while endpoint.seen.texts().len() < texts {
            assert!(Instant::now() < deadline, "only {} texts have come", endpoint.seen.texts().len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = |holds: bool| endpoint.seen.holds.store(holds, Ordering::Relaxed);
    held(true);
    let mut first = begin(import(&one, &url, &endpoint, &file));
    come(1).await;
    let sent = endpoint.seen.texts().len();
    let second = begin(import(&other, &url, &endpoint, &file));
    // Long enough for the second to have begun; it sends nothing while the first has the lock.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(endpoint.seen.texts().len() <= sent + 20, "the second one does not wait");
    assert!(first.try_wait().unwrap().is_none());
    // The first is killed in the middle, and the second goes on at once.
    first.kill().unwrap();
    first.wait().unwrap();
    held(false);
    assert_eq!(counts(second), [ROWS as u64, 0, 0]);

    // Both to their end: one of them has it all to do, the other nothing.
    let changed = other.file("rows.csv", format!("id,question,answer\n{}", rows.replace("页", "章")));
    let sent = endpoint.seen.texts().len();
    let both = [begin(import(&one, &url, &endpoint, &changed)), begin(import(&other, &url, &endpoint, &changed))].map(counts);
    let mut unchanged = both.map(|[_, unchanged, _]| unchanged);
    unchanged.sort_unstable();
    assert_eq!(unchanged, [0, ROWS as u64], "{both:?}");
    assert_eq!(endpoint.seen.texts().len() - sent, ROWS * 2, "every row is embedded once");
}
