//! Changes of the embedder, seen by several processes on one database, with both kinds of index.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, IndexPlace, Overrides, Secret};
use crate::db::Db;
use crate::error::Error;
use crate::ids::{Clock, EntryId};
use crate::knowledge::commit_store::EntryWrite;
use crate::knowledge::follow::embedding_text;
use crate::knowledge::index::qdrant::stand_in::{KEY, StandIn};
use crate::knowledge::search::Query;
use crate::knowledge::store::StoredPassage;
use crate::knowledge::{EntryDraft, KnowledgeParts, split};
use crate::tenants::Tenants;

/// Counts pairs of characters into as many places as it has; it counts the texts it is given, and can fail.
#[derive(Default)]
struct Pairs {
    id: String,
    dimensions: usize,
    texts: AtomicUsize,
    fails: AtomicBool,
}

#[async_trait]
impl Embedder for Pairs {
    fn id(&self) -> &str {
        &self.id
    }
    fn dimensions(&self) -> usize {
        self.dimensions
    }
    async fn embed(&self, texts: Vec<String>, _: EmbedKind) -> Result<Vec<Vec<f32>>> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::unavailable("embedder_unavailable", "It is gone."));
        }
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        Ok(texts.iter().map(|text| pairs(text, self.dimensions)).collect())
    }
}

fn pairs(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    let characters: Vec<char> = text.chars().collect();
    for pair in characters.windows(2) {
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        vector[usize::try_from(hasher.finish() % dimensions as u64).unwrap()] += 1.0;
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
    vector.iter().map(|x| x / norm).collect()
}

fn embedder(dimensions: usize) -> Arc<Pairs> {
    Arc::new(Pairs { id: format!("pairs:{dimensions}"), dimensions, ..Pairs::default() })
}

fn shop() -> TenantId {
    TenantId::parse("shop").unwrap()
}

/// A database with one shop, and where processes have their folders.
struct Place {
    folder: TempDir,
    db: Db,
    url: Option<String>,
    _stand_in: Option<StandIn>,
}

impl Place {
    async fn new(on_server: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open("", folder.path()).await.unwrap();
        Tenants::new(db.clone(), Clock::system()).add(&shop(), "Shop").await.unwrap();
        let (stand_in, url) = if on_server { Some(StandIn::start().await).unzip() } else { (None, None) };
        Self { folder, db, url, _stand_in: stand_in }
    }

    /// A process whose configuration names that embedder; those of one folder share locks.
    async fn process(&self, folder: &str, embedder: Arc<dyn Embedder>) -> Knowledge {
        let config = Config::load(None, &Overrides::default()).unwrap();
        let index = match self.url.clone() {
            Some(url) => IndexPlace::Qdrant {
                url,
                config: QdrantConfig { collection: "copilot".into(), replicas: 0, search_ms: 20_000, api_key: Secret::new(KEY) },
            },
            None => IndexPlace::Embedded,
        };
        let parts = KnowledgeParts {
            db: self.db.clone(),
            clock: Clock::system(),
            embedder,
            embedding: config.embedder.clone(),
            reranker: None,
            index_dir: Path::new(self.folder.path()).join(folder),
            index,
            search: config.search,
        };
        Knowledge::open(parts).await.unwrap()
    }
}

async fn add(knowledge: &Knowledge, n: usize) {
    let draft = EntryDraft {
        question: format!("第{n}号仓库由谁盘点？"), answer: format!("由 {n} 组盘点。"), ..EntryDraft::default()
    };
    knowledge.add(&shop(), draft, true, "test").await.unwrap();
}

/// The row is found, and by its meaning too.
async fn finds(knowledge: &Knowledge, n: usize) -> bool {
    let query = Query { text: format!("第{n}号仓库由谁盘点"), top: 3, ..Query::default() };
    let found = knowledge.search(&shop(), &query).await.unwrap();
    let own = found.hits.iter().find(|hit| hit.entry.draft.answer.contains(&format!(" {n} 组"))).expect("the row is found");
    own.semantic.is_some_and(|semantic| semantic.score > 0.5)
}

async fn serving(knowledge: &Knowledge) -> (String, Option<crate::knowledge::store::Renewal>) {
    let stats = knowledge.stats(&shop()).await.unwrap();
    (stats.embedder, stats.renewal)
}

/// The old embedder stays open in a process; it could not be opened again by its record.
fn knows(knowledge: &Knowledge, old: &Arc<Pairs>) {
    let old: Arc<dyn Embedder> = old.clone();
    knowledge.spaces().opened.try_lock().unwrap().insert(old.id().to_owned(), Some(old));
}

#[tokio::test]
async fn the_old_vectors_serve_until_the_new_ones_are_complete() {
    for on_server in [false, true] {
        let place = Place::new(on_server).await;
        let (old, new) = (embedder(64), embedder(96));
        let first = place.process("a", old.clone()).await;
        for n in 0..5 {
            add(&first, n).await;
        }
        first.catch_up().await.unwrap();
        drop(first);

        let second = place.process("a", new.clone()).await;
        knows(&second, &old);
        second.catch_up().await.unwrap();
        assert_eq!(serving(&second).await, ("pairs:64".into(), None));
        assert!(finds(&second, 3).await, "by the vectors of the old one");
        // Half way: two steps of its walk, then a row that comes in between.
        let mut walk = change::Walk::default();
        assert!(second.renewer().lock.take().await.unwrap());
        let record = second.serving(&shop()).await.unwrap();
        second.renew_tenant(&shop(), &record, &mut walk).await.unwrap();
        assert_eq!(new.texts.load(Ordering::Relaxed), 5 * passages());
        add(&second, 5).await;
        second.catch_up().await.unwrap();
        let (embedder, renewal) = serving(&second).await;
        let renewal = renewal.unwrap();
        assert_eq!((embedder.as_str(), renewal.embedder.as_str(), renewal.done, renewal.of), ("pairs:64", "pairs:96", 5, 6));
        assert!(finds(&second, 5).await, "a new row is found at once");
        drop(second);

        // As after a kill: what was made is not made again.
        let third = place.process("a", new.clone()).await;
        knows(&third, &old);
        third.catch_up().await.unwrap();
        let asked = Query { text: "第2号仓库由谁盘点".into(), top: 3, ..Query::default() };
        let ranking = third.rank(&shop(), &asked).await.unwrap();
        third.renew_to_the_end(&shop()).await.unwrap();
        assert_eq!(new.texts.load(Ordering::Relaxed), 6 * passages());
        assert_eq!(serving(&third).await, ("pairs:96".into(), None));
        for n in 0..6 {
            assert!(finds(&third, n).await, "{n} by the new vectors");
        }
        // A search that began before the change ends in the space where it began.
        let fused = ranking.fused(third.search_config().into());
        let concluded = third.conclude(&shop(), &asked, &ranking, fused, third.search_config()).await.unwrap();
        assert!(concluded.hits[0].semantic.is_some() && ranking.asked.vector.len() == 64);
        // Later the vectors are where they are searched from, and nothing is left beside them.
        while third.store().settle(&shop(), "pairs:96", 2).await.unwrap() {}
        assert_eq!(third.store().embedder_of_rows(&shop()).await.unwrap().as_deref(), Some("pairs:96"));
        third.reindex(&shop()).await.unwrap();
        assert!(finds(&third, 4).await);
        assert_eq!(new.texts.load(Ordering::Relaxed) - questions(), 6 * passages(), "nothing was embedded for it");
    }
}

/// Texts of a row of [`add`].
fn passages() -> usize {
    let draft =
        EntryDraft { question: "第1号仓库由谁盘点？".into(), answer: "由 1 组盘点。".into(), ..EntryDraft::default() };
    crate::knowledge::split::passages(&draft).len()
}

/// Questions asked by the new vectors above.
fn questions() -> usize {
    7
}

#[tokio::test]
async fn another_process_takes_the_change_over_and_nobody_changes_back() {
    let place = Place::new(false).await;
    let (old, new) = (embedder(64), embedder(96));
    let first = place.process("a", old.clone()).await;
    for n in 0..4 {
        add(&first, n).await;
    }
    first.catch_up().await.unwrap();
    let second = place.process("b", new.clone()).await;
    knows(&second, &old);
    knows(&first, &new);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    second.renew_to_the_end(&shop()).await.unwrap();
    second.catch_up().await.unwrap();
    assert!(finds(&first, 1).await, "it goes on in its own space");
    first.catch_up().await.unwrap();
    assert_eq!(first.space(&shop()).unwrap().embedder.id(), "pairs:96");
    for knowledge in [&first, &second] {
        for n in 0..4 {
            assert!(finds(knowledge, n).await);
        }
    }
    // Its configuration still names the old one, but that was so before the change.
    let texts = old.texts.load(Ordering::Relaxed);
    first.renew_to_the_end(&shop()).await.unwrap();
    add(&first, 4).await;
    first.catch_up().await.unwrap();
    assert!(finds(&first, 4).await);
    assert_eq!((serving(&first).await.0.as_str(), old.texts.load(Ordering::Relaxed)), ("pairs:96", texts));
}

#[tokio::test]
async fn an_embedder_that_is_gone_is_replaced_at_once_and_rows_are_found_by_their_words_meanwhile() {
    let place = Place::new(false).await;
    let (old, new) = (embedder(64), embedder(96));
    let first = place.process("a", old.clone()).await;
    for n in 0..4 {
        add(&first, n).await;
    }
    drop(first);
    // It cannot be opened by its record: that names the model compiled in.
    let second = place.process("a", new.clone()).await;
    second.catch_up().await.unwrap();
    assert!(!finds(&second, 2).await, "by its words");
    second.renew_to_the_end(&shop()).await.unwrap();
    second.catch_up().await.unwrap();
    assert_eq!(serving(&second).await, ("pairs:96".into(), None));
    assert!(finds(&second, 2).await);
    drop(second);

    // It can be opened, but fails at the first question.
    let third = place.process("a", old.clone()).await;
    knows(&third, &new);
    third.catch_up().await.unwrap();
    let mut walk = change::Walk::default();
    assert!(third.renewer().lock.take().await.unwrap());
    third.renew_tenant(&shop(), &third.serving(&shop()).await.unwrap(), &mut walk).await.unwrap();
    new.fails.store(true, Ordering::Relaxed);
    assert!(!finds(&third, 1).await && !finds(&third, 2).await, "no error: by its words");
    third.change_as_due().await.unwrap();
    assert_eq!(serving(&third).await.0, "pairs:96", "it may come back");
    add(&third, 4).await;
    third.change_as_due().await.unwrap();
    assert_eq!(serving(&third).await.0, "pairs:64", "it is given up");
    third.catch_up().await.unwrap();
    assert!(finds(&third, 1).await, "what was made already is used");
    third.renew_to_the_end(&shop()).await.unwrap();
    third.catch_up().await.unwrap();
    assert_eq!(serving(&third).await, ("pairs:64".into(), None));
    for n in 0..5 {
        assert!(finds(&third, n).await, "{n}");
    }
}

#[tokio::test]
async fn vectors_that_were_being_made_when_the_old_embedder_was_given_up_are_searched() {
    let place = Place::new(false).await;
    let (old, new) = (embedder(64), embedder(96));
    let first = place.process("a", old.clone()).await;
    for n in 0..4 {
        add(&first, n).await;
    }
    drop(first);
    let second = place.process("a", new.clone()).await;
    knows(&second, &old);
    second.catch_up().await.unwrap();
    assert!(second.renewer().lock.take().await.unwrap());
    // The step has read the record; then the change is made at once; then the step goes on.
    let before = second.serving(&shop()).await.unwrap();
    second.spaces().put_due(&shop(), Due::GivenUp);
    second.change_as_due().await.unwrap();
    knows(&second, &old);
    let mut walk = change::Walk::default();
    while second.renew_tenant(&shop(), &before, &mut walk).await.unwrap() {}
    second.change_as_due().await.unwrap();
    second.catch_up().await.unwrap();
    for n in 0..4 {
        assert!(finds(&second, n).await, "{n}");
    }
    second.renew_to_the_end(&shop()).await.unwrap();
    assert_eq!((serving(&second).await, new.texts.load(Ordering::Relaxed)), (("pairs:96".into(), None), 4 * passages() + 4));
}

#[tokio::test]
async fn rows_from_before_embedders_were_put_down_change_over_too() {
    let place = Place::new(false).await;
    let (old, new) = (embedder(64), embedder(96));
    let first = place.process("a", old.clone()).await;
    // Written as by a version that puts no embedder down.
    let draft =
        EntryDraft { question: "第1号仓库由谁盘点？".into(), answer: "由 1 组盘点。".into(), ..EntryDraft::default() };
    let passages = split::passages(&draft);
    let texts = passages.iter().map(|passage| embedding_text(&draft.question, passage)).collect();
    let vectors = old.embed(texts, EmbedKind::Passage).await.unwrap();
    let passages = passages.into_iter().zip(vectors).map(|(passage, vector)| StoredPassage { passage, vector: Some(vector) });
    let write = EntryWrite {
        id: EntryId::from_text("one"),
        question_key: draft.question.clone(),
        near_key: String::new(),
        row_hash: None,
        content_hash: "of the first".into(),
        passages: passages.collect(),
        draft,
    };
    first.store().commit(&shop(), old.id(), &[write], &[]).await.unwrap();
    drop(first);
    let second = place.process("a", new.clone()).await;
    knows(&second, &old);
    second.catch_up().await.unwrap();
    assert_eq!(serving(&second).await.0, "pairs:64");
    second.renew_to_the_end(&shop()).await.unwrap();
    second.catch_up().await.unwrap();
    assert_eq!(serving(&second).await, ("pairs:96".into(), None));
    assert!(finds(&second, 1).await);
}

#[tokio::test]
async fn a_wish_is_taken_back_by_a_newer_process_only() {
    let place = Place::new(false).await;
    let (old, new) = (embedder(64), embedder(96));
    let first = place.process("a", old.clone()).await;
    for n in 0..4 {
        add(&first, n).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let second = place.process("b", new.clone()).await;
    knows(&second, &old);
    assert!(second.renewer().lock.take().await.unwrap());
    let record = second.serving(&shop()).await.unwrap();
    second.renew_tenant(&shop(), &record, &mut change::Walk::default()).await.unwrap();
    drop(second);
    // The other node is older than the wish: what has been made stays.
    first.renew_to_the_end(&shop()).await.unwrap();
    assert_eq!(serving(&first).await.0, "pairs:64");
    assert_eq!(first.store().count_lacking(&shop(), "pairs:96").await.unwrap(), 0);
    assert_eq!(first.serving(&shop()).await.unwrap().wanted.as_deref(), Some("pairs:96"));
    drop(first);
    // Somebody has put the old one back into the configuration.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let third = place.process("a", old.clone()).await;
    let texts = old.texts.load(Ordering::Relaxed);
    third.renew_to_the_end(&shop()).await.unwrap();
    assert_eq!((third.serving(&shop()).await.unwrap().wanted, old.texts.load(Ordering::Relaxed)), (None, texts));
    while third.store().settle(&shop(), "pairs:64", 2).await.unwrap() {}
    assert_eq!(third.store().count_lacking(&shop(), "pairs:96").await.unwrap(), 4);
    third.catch_up().await.unwrap();
    assert!(finds(&third, 3).await);
}

#[tokio::test]
async fn a_node_that_cannot_open_what_serves_keeps_its_index_for_the_others_and_takes_the_new_one_over() {
    for on_server in [false, true] {
        let place = Place::new(on_server).await;
        let (old, new) = (embedder(64), embedder(96));
        let first = place.process("a", old.clone()).await;
        for n in 0..4 {
            add(&first, n).await;
        }
        first.catch_up().await.unwrap();
        // On SQLite each has its own folder, and owns the index: this one cannot open the old embedder.
        let blind = place.process("b", new.clone()).await;
        blind.catch_up().await.unwrap();
        assert!(!finds(&blind, 2).await, "by its words");
        assert!(finds(&first, 2).await);
        let second = place.process("c", new.clone()).await;
        knows(&second, &old);
        second.catch_up().await.unwrap();
        second.renew_to_the_end(&shop()).await.unwrap();
        for node in [&second, &blind] {
            node.catch_up().await.unwrap();
            assert!(finds(node, 2).await, "by the new vectors");
        }
    }
}
