//! The base that benches ask: the starter pack's English rows, repeated for invented branches.

use std::path::Path;

use merchant_copilot::app::{DEMO, Ground};
use merchant_copilot::config::Config;
use merchant_copilot::knowledge::evaluate::read_labelled;
use merchant_copilot::knowledge::ingest::{ImportOptions, import_sources};
use merchant_copilot::knowledge::read::Source;
use serde_json::{Value, json};

/// A merchant's row has a few phrasings, not the pack's dozens.
const PHRASINGS: usize = 3;

/// So many entries in tenant `demo`, for branches 1, 2, 3 …; rows that answer by themselves do so only
/// when `direct`.
pub async fn fill(config: Config, entries: usize, direct: bool) {
    let zone = config.zone();
    let ground = Ground::open(config).await.expect("the data directory");
    let demo = ground.tenant(DEMO).await.expect("the tenant");
    let knowledge = ground.knowledge().await.expect("the knowledge");
    let pack = std::fs::read_to_string(folder().join("starter/merchant_qa.en.jsonl")).expect("the pack");
    let rows: Vec<Value> = pack.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let mut lines = String::new();
    for n in 0..entries {
        let mut row = rows[n % rows.len()].clone();
        let branch = n / rows.len();
        for list in ["similar", "not"] {
            if let Some(phrasings) = row[list].as_array_mut() {
                phrasings.truncate(PHRASINGS);
            }
        }
        row["id"] = json!(format!("{}-{branch}", row["id"].as_str().unwrap_or_default()));
        if branch > 0 {
            row["question"] = json!(format!("{} (branch {branch})", row["question"].as_str().unwrap_or_default()));
        }
        if !direct {
            row["direct"] = json!(false);
        }
        lines.push_str(&row.to_string());
        lines.push('\n');
    }
    let source = Source::memory("bench.jsonl", lines, None).expect("a source");
    let options = ImportOptions { as_is: true, ..Default::default() };
    import_sources(&knowledge, &demo, vec![source], options, zone, |_| {}).await.expect("imported");
    ground.db.close().await;
}

/// So many of the pack's labelled questions.
pub fn questions(count: usize) -> Vec<String> {
    let text = std::fs::read_to_string(folder().join("eval/starter.jsonl")).expect("the questions");
    read_labelled(&text).expect("labelled questions").into_iter().map(|labelled| labelled.query).take(count).collect()
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("knowledge")
}
