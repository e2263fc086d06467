//! Changing the embedder of a running shop: an endpoint takes the place of the model compiled in, with vectors of
//! another length, while questions are asked, rows are imported and the server is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use merchant_copilot::config::EmbedderSource;
use merchant_copilot::ids::{EntryId, TenantId, Timestamp};
use merchant_copilot::knowledge::Revision;
use merchant_copilot::knowledge::embedders::store::{Filled, Serving};
use merchant_copilot::knowledge::store::KnowledgeStore;
use serde_json::Value;

use super::fake_embeddings::{DIMENSIONS, Embeddings};
use super::process::{Serving as Process, Shop, command, finish};
use super::server::PATIENCE;

const ROWS: usize = 600;
/// Rows embedded in one step (`embedders/change.rs`): what a kill may cost.
const STEP: usize = 64;

/// Who asks all the time is not held up.
const UNHURRIED: [(&str, &str); 2] = [("COPILOT_LIMITS__ADDRESS_PER_MINUTE", "1000000"), ("COPILOT_LIMITS__KEY_PER_MINUTE", "1000000")];

/// What a request of rows takes.
const PACE: Duration = Duration::from_millis(60);

/// A server of this shop with the endpoint as its embedder.
fn serve(shop: &Shop, endpoint: &Embeddings) -> Process {
    let environment = endpoint.environment();
    let environment = environment.iter().map(|(name, value)| (*name, value.as_str())).chain(UNHURRIED);
    Process::start_with(&shop.data, &environment.collect::<Vec<_>>())
}

fn question(n: usize) -> String {
    const PLACES: [&str; 6] = ["仓库", "直播间", "跨境店", "旗舰店", "退货点", "客服组"];
    const DEEDS: [&str; 5] = ["由谁盘点", "怎么预约验厂", "几点截单", "如何申请停业", "在哪里换班"];
    format!("第{n}号{}{}？", PLACES[n % PLACES.len()], DEEDS[n % DEEDS.len()])
}

fn rows(range: std::ops::Range<usize>) -> String {
    let rows = range.map(|n| format!("row-{n},{},见第 {n} 页的说明。\n", question(n)));
    std::iter::once("id,question,answer\n".to_owned()).chain(rows).collect()
}

/// Somebody who asks.
struct Asker {
    client: reqwest::Client,
    key: String,
}

impl Asker {
    fn of(shop: &Shop) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = shop.run(["key", "issue", "--role", "admin"]).done().json["key"].as_str().unwrap().to_owned();
        Self { client: reqwest::Client::new(), key }
    }

    async fn get(&self, process: &Process, path: &str, query: &[(&str, &str)]) -> Value {
        let address = reqwest::Url::parse_with_params(&format!("{}{path}", process.url), query).unwrap();
        let answer = self.client.get(address).bearer_auth(&self.key).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn stats(&self, process: &Process) -> Value {
        self.get(process, "/api/v1/knowledge/stats", &[]).await
    }

    /// The place of the row among what was found by meaning; the row has to be found in any case.
    async fn asks(&self, process: &Process, n: usize) -> Option<u64> {
        let own = self.hit(process, n).await.unwrap_or_else(|| panic!("row {n} is not found"));
        own["semantic"]["rank"].as_u64()
    }

    /// The row among what is found for its question.
    async fn hit(&self, process: &Process, n: usize) -> Option<Value> {
        let asked = format!("请问{}", question(n));
        let found = self.get(process, "/api/v1/knowledge/search", &[("q", &asked), ("top", "10")]).await;
        let hits = found["hits"].as_array().unwrap();
        hits.iter().find(|hit| hit["id"] == format!("row-{n}")).cloned()
    }

    /// Waits until the row is found by its meaning: within a second of its commit, with room for a busy machine.
    async fn follows(&self, process: &Process, n: usize) {
        let began = Instant::now();
        while !self.hit(process, n).await.is_some_and(|own| own["semantic"]["rank"].is_u64()) {
            assert!(began.elapsed() < Duration::from_secs(15), "row {n} is not found by its meaning");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_changed_embedder_embeds_beside_and_every_question_finds_its_row_meanwhile() {
    let (shop, endpoint) = (Shop::new(), Embeddings::start(PACE));
    let file = shop.file("rows.csv", rows(0..ROWS));
    let as_is = |path: &std::path::Path| shop.run([std::ffi::OsStr::new("kb"), "import".as_ref(), path.as_os_str(), "--as-is".as_ref()]);
    assert_eq!(as_is(&file).done().counts(), [ROWS as u64, 0, 0, 0, 0, 0]);
    let asker = Asker::of(&shop);
    let builtin = shop.run(["kb", "stats"]).done().json["embedder"].as_str().unwrap().to_owned();
    assert!(builtin.starts_with("builtin-"), "{builtin}");

    let mut process = serve(&shop, &endpoint);
    process.ready().await;
    let (mut asked, mut killed, mut imported, mut halfway) = (0, false, false, BTreeSet::new());
    let began = Instant::now();
    loop {
        let stats = asker.stats(&process).await;
        let renewal = &stats["renewal"];
        if stats["embedder"] != builtin {
            assert!(renewal.is_null(), "{stats}");
            break;
        }
        let done = renewal["done"].as_u64().unwrap_or_default();
        halfway.insert(done);
        assert!(began.elapsed() < PATIENCE * 6, "{stats}");
        if done >= 100 && !imported {
            endpoint.seen.holds.store(true, Ordering::Relaxed);
            let late = shop.file("late.csv", rows(ROWS..ROWS + 1));
            assert_eq!(as_is(&late).done().counts(), [1, 0, 0, 0, 0, 0]);
            imported = true;
            // Found by its meaning while the change to the other embedder stands still.
            asker.follows(&process, ROWS).await;
            endpoint.seen.holds.store(false, Ordering::Relaxed);
        }
        if done >= 250 && !killed {
            process.kill();
            process = serve(&shop, &endpoint);
            process.ready().await;
            killed = true;
        }
        for _ in 0..5 {
            let n = asked * 7919 % ROWS;
            let rank = asker.asks(&process, n).await;
            assert!(rank.is_some_and(|rank| rank > 0), "row {n}: by its words only ({rank:?})");
            asked += 1;
        }
    }
    assert!(killed && imported && halfway.len() > 5, "{killed} {imported} {halfway:?}");
    let stats = asker.stats(&process).await;
    assert_eq!(stats["embedder"], format!("api:127.0.0.1:pairs:{DIMENSIONS}"), "{stats}");
    for n in (0..=ROWS).step_by(25) {
        assert!(asker.asks(&process, n).await.is_some_and(|rank| rank > 0), "row {n} by the new vectors");
    }

    // What had a vector before the kill was not embedded again, but for the step that it caught.
    let counts: BTreeMap<String, usize> = endpoint.counts().into_iter().filter(|(text, _)| !text.starts_with("请问")).collect();
    let (texts, twice): (usize, usize) = (counts.len(), counts.values().filter(|count| **count > 1).count());
    let per_row = texts.div_ceil(ROWS + 1);
    assert!(counts.values().all(|count| *count <= 2) && twice <= STEP * per_row, "{twice} of {texts} texts were sent twice");
    eprintln!("{ROWS} rows, {texts} texts, {twice} sent twice, {asked} questions in {:.1} s", began.elapsed().as_secs_f64());

    // The same on the command line, with the same configuration.
    let mut kb = command(&shop.data);
    let ran = finish(kb.envs(endpoint.environment()).args(["kb", "search", &question(3)])).done();
    assert_eq!(ran.json["hits"][0]["id"], "row-3");
}

#[tokio::test]
async fn an_old_embedder_that_refuses_costs_no_answer() {
    let (shop, endpoint) = (Shop::new(), Embeddings::start(PACE));
    let file = shop.file("rows.csv", rows(0..40));
    let mut import = command(&shop.data);
    finish(import.envs(endpoint.environment()).args(["kb", "import", "--as-is"]).arg(&file)).done();
    endpoint.seen.refuses.store(true, Ordering::Relaxed);
    let asker = Asker::of(&shop);
    let process = Process::start_with(&shop.data, &UNHURRIED);
    process.ready().await;
    let began = Instant::now();
    let mut n = 0;
    // By their words at first.
    while asker.stats(&process).await["embedder"].as_str().unwrap().starts_with("api:") {
        asker.asks(&process, n % 40).await;
        n += 1;
        assert!(began.elapsed() < PATIENCE);
    }
    while !asker.stats(&process).await["renewal"].is_null() {
        asker.asks(&process, n % 40).await;
        n += 1;
        assert!(began.elapsed() < PATIENCE);
    }
    // The last rows are followed a moment later.
    for n in 0..40 {
        asker.follows(&process, n).await;
    }
}

/// Every function of the store, on either database; `shop` has two rows of `e1`. Leaves them as they were, under
/// the revision it tells.
pub async fn story(store: &KnowledgeStore, shop: &TenantId, other: &TenantId) -> Revision {
    let (a, b) = (EntryId::from_text("a"), EntryId::from_text("b"));
    let source = EmbedderSource { source: "builtin".into(), model: String::new(), dimensions: 0 };
    assert_eq!((store.serving(shop).await.unwrap(), store.serving(other).await.unwrap()), (None, None));
    assert_eq!(store.embedder_of_rows(shop).await.unwrap().as_deref(), Some("e1"));
    assert_eq!(store.embedder_of_rows(other).await.unwrap(), None);
    let first =
        Serving { embedder: "e1".into(), source: Some(source.clone()), since: Timestamp(5), wanted: None, wanted_since: Timestamp(0) };
    assert_eq!(store.first_serving(shop, &first).await.unwrap(), first);
    let late = Serving { embedder: "e9".into(), ..first.clone() };
    assert_eq!(store.first_serving(shop, &late).await.unwrap(), first, "the first one stays");
    store.want_embedder(shop, "e2").await.unwrap();
    let all = store.all_serving().await.unwrap();
    let wanted_since = all[0].1.wanted_since;
    assert!(wanted_since > Timestamp(0));
    assert_eq!(all, [(shop.clone(), Serving { wanted: Some("e2".into()), wanted_since, ..first })]);

    // The walk, one by one, to its end.
    let start = (0, EntryId::from_text(""));
    let one = store.lacking(shop, "e2", &start, 1).await.unwrap();
    assert_eq!((one.lacking, one.last.clone()), (vec![a.clone()], Some((1, a.clone()))));
    let two = store.lacking(shop, "e2", &one.last.unwrap(), 9).await.unwrap();
    assert_eq!(two.lacking, std::slice::from_ref(&b));
    assert!(store.lacking(shop, "e2", &two.last.unwrap(), 9).await.unwrap().last.is_none());
    let own = store.lacking(shop, "e1", &start, 9).await.unwrap();
    assert!(own.lacking.is_empty() && own.last.is_some());
    assert!(store.lacking(other, "e2", &start, 9).await.unwrap().last.is_none());
    assert_eq!((store.count_lacking(shop, "e2").await.unwrap(), store.count_lacking(shop, "e1").await.unwrap()), (2, 0));
    let texts = store.texts(shop, std::slice::from_ref(&a)).await.unwrap();
    assert_eq!((texts.len(), texts[0].passages.len(), texts[0].question.as_str()), (1, 1, "保证金"));
    assert_eq!(texts[0].content_hash, "hash of 保证金");

    // Vectors beside are seen by their embedder only, and only while the content is theirs.
    let filled =
        |id: &EntryId, hash: &str, vector: Vec<f32>| Filled { id: id.clone(), content_hash: hash.into(), vectors: vec![(0, Some(vector))] };
    let vectors = async |embedder: &str| -> Vec<Option<Vec<f32>>> {
        let changes = store.changes(shop, embedder, 0, 9).await.unwrap();
        changes.into_iter().map(|change| change.entry.unwrap().1[0].vector.clone()).collect()
    };
    let (of_a, of_b) = (vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]);
    store.keep_beside(shop, "e2", &[filled(&a, "hash of 保证金", of_a.clone()), filled(&b, "another", of_b.clone())]).await.unwrap();
    assert_eq!(store.count_lacking(shop, "e2").await.unwrap(), 1);
    assert_eq!(vectors("e2").await, [Some(of_a.clone()), None]);
    let before = [Some(vec![0.5, -0.5]), Some(vec![1.0, 0.0])];
    assert_eq!(vectors("e1").await, before);
    let known = store.known(shop, "e2", &[a.clone(), b.clone()]).await.unwrap();
    let stale: BTreeSet<&str> = known.iter().filter(|known| known.stale_vectors).map(|known| known.id.as_str()).collect();
    assert_eq!(stale, BTreeSet::from(["b"]));
    store.keep_beside(shop, "e2", &[filled(&b, "hash of 清关", of_b.clone())]).await.unwrap();
    assert_eq!(store.count_lacking(shop, "e2").await.unwrap(), 0);

    // The change, unless something was written behind it; then the vectors move.
    assert!(!store.change_embedder(shop, "e2", &source, Some(0), false).await.unwrap());
    assert_eq!(store.serving(shop).await.unwrap().unwrap().embedder, "e1");
    let revision = store.revision().await.unwrap();
    assert!(store.change_embedder(shop, "e2", &source, Some(1), false).await.unwrap());
    assert!(!store.keep_beside(shop, "e2", &[filled(&b, "hash of 清关", of_a.clone())]).await.unwrap(), "it serves now");
    let now = store.serving(shop).await.unwrap().unwrap();
    assert_eq!((now.embedder.as_str(), now.wanted, store.revision().await.unwrap()), ("e2", None, revision + 1));
    assert_eq!((vectors("e2").await, vectors("e1").await), (vec![Some(of_a.clone()), Some(of_b.clone())], before.to_vec()));
    let mut steps = 0;
    while store.settle(shop, "e2", 1).await.unwrap() {
        steps += 1;
    }
    assert_eq!(steps, 2);
    assert_eq!((vectors("e2").await, vectors("e1").await), (vec![Some(of_a), Some(of_b)], vec![None, None]));

    // Renewed in place, what was not changed meanwhile.
    let one = |hash| filled(&b, hash, vec![1.0, 0.0]);
    store.renew(shop, "e1", &[filled(&a, "hash of 保证金", vec![0.5, -0.5]), one("another")]).await.unwrap();
    let lacking = store.lacking(shop, "e1", &start, 9).await.unwrap();
    assert_eq!(lacking.lacking, std::slice::from_ref(&b));
    assert!(store.tenant_revision(shop).await.unwrap() > 1, "the indexes are told");
    store.renew(shop, "e1", &[filled(&a, "hash of 保证金", vec![0.5, -0.5]), one("hash of 清关")]).await.unwrap();
    assert_eq!(vectors("e1").await, before);
    let through = store.tenant_revision(shop).await.unwrap();
    assert!(store.change_embedder(shop, "e1", &source, None, true).await.unwrap());
    assert_eq!(store.serving(shop).await.unwrap().unwrap().wanted.as_deref(), Some("e1"));
    assert!(!store.all_renewed(shop, "e1", through - 1).await.unwrap());
    assert!(store.all_renewed(shop, "e1", through).await.unwrap());
    assert_eq!(store.serving(shop).await.unwrap().unwrap().wanted, None);
    through
}
