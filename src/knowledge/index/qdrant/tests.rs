//! What is said to a Qdrant server and made of its answers: against a stand-in in this process, and against a
//! real server where `TEST_QDRANT_URL` names one.

use std::time::{Duration, Instant};

use qdrant_client::qdrant::CreateCollection;

use super::stand_in::{KEY, StandIn};
use super::*;
use crate::config::{Config, IndexPlace, Overrides, Secret};
use crate::db::Db;
use crate::ids::{Clock, Timestamp};
use crate::knowledge::evaluate::read_labelled;
use crate::knowledge::index::{Filter, contract};
use crate::knowledge::list_store::Listing;
use crate::knowledge::search::Query;
use crate::knowledge::{EntryDraft, Knowledge, KnowledgeEntry, KnowledgeParts, starter, text};
use crate::models::embed;
use crate::tenants::Tenants;

const SHAPE: Shape<'_> = Shape { database: "db_test", embedder: "test", dimensions: 4 };

fn config(key: &str) -> QdrantConfig {
    QdrantConfig { collection: "copilot".into(), replicas: 0, search_ms: 2_000, api_key: Secret::new(key) }
}

fn at(url: &str, config: &QdrantConfig) -> Cluster {
    Cluster::new(url, config, SHAPE, Vocabulary::default()).unwrap()
}

async fn standing() -> (StandIn, Cluster) {
    let (stand_in, url) = StandIn::start().await;
    (stand_in, at(&url, &config(KEY)))
}

fn shop() -> TenantId {
    TenantId::parse("shop").unwrap()
}

fn question(words: &str, direction: usize) -> LegQuery {
    let mut vector = vec![0.0; 4];
    vector[direction] = 1.0;
    let filter = Filter { now: Timestamp(50), ..Filter::default() };
    LegQuery { tokens: text::tokens(words), grams: text::grams(words), vector, filter }
}

fn rows(count: usize, revision: Revision) -> Vec<Change> {
    (0..count).map(|i| contract::change(&format!("row-{i}"), &format!("保证金 {i}"), i % 4, revision, |_| {})).collect()
}

#[tokio::test]
async fn both_legs_keep_the_contract() {
    for words in [true, false] {
        let (_stand_in, cluster) = standing().await;
        let (lexical, semantic) = cluster.legs();
        contract::holds(if words { &lexical } else { &semantic }).await;
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "where a real server is, if there is one")]
async fn a_real_server_keeps_the_contract() {
    let Ok(url) = std::env::var("TEST_QDRANT_URL") else {
        eprintln!("TEST_QDRANT_URL is not set: no real server was asked");
        return;
    };
    let key = std::env::var("QDRANT_API_KEY").unwrap_or_default();
    for words in [true, false] {
        let config = QdrantConfig { collection: crate::ids::random_token("test-", 8), ..config(&key) };
        let cluster = at(&url, &config);
        let (lexical, semantic) = cluster.legs();
        contract::holds(if words { &lexical } else { &semantic }).await;
        cluster.server.delete_collection().await.unwrap();
    }
}

#[tokio::test]
async fn a_collection_is_made_for_tenants_and_idf() {
    let (stand_in, cluster) = standing().await;
    cluster.prepare(&shop()).await.unwrap();
    let (made, indexed) = stand_in.made();
    assert!(made.collection_name.starts_with("copilot-v2-db_test-"), "{}", made.collection_name);
    assert_eq!(made.sparse_vectors_config.unwrap().map["sparse"].modifier, Some(1), "IDF");
    let tenant = indexed["tenant"].params.as_ref().and_then(|params| params.index_params.as_ref());
    assert!(format!("{tenant:?}").contains("is_tenant: Some(true)"), "{tenant:?}");
    assert_eq!(indexed.len(), 8);
    let other = Cluster::new("http://127.0.0.1:1", &config(KEY), Shape { embedder: "another", ..SHAPE }, Vocabulary::default()).unwrap();
    assert_ne!(other.name(), cluster.name(), "another embedder's vectors never meet these");
}

#[tokio::test]
async fn both_legs_are_asked_in_one_round_trip() {
    let (stand_in, cluster) = standing().await;
    let (leg, _) = cluster.legs();
    leg.apply(&shop(), &rows(1_500, 1), 1).await.unwrap();
    let updates: Vec<_> = stand_in.calls().into_iter().filter(|(call, _)| *call == "update_batch").collect();
    assert_eq!(updates.len(), 3, "about 1000 small points a round trip, then the mark: {updates:?}");
    let found = cluster.find(&shop(), &question("保证金", 1), 10).await.unwrap();
    assert_eq!(stand_in.calls(), [("query_batch", 2), ("query_batch", 2)], "rankings, then scores of what the other leg found");
    assert_eq!((found.lexical.len(), found.semantic.len()), (10, 10));
    assert!((found.semantic[0].score - 1.0).abs() < 1e-6 && found.semantic[0].support == found.semantic[0].score);
    let lexical: Vec<_> = found.lexical.iter().chain(&found.lexical_others).map(|hit| &hit.entry).collect();
    assert!(found.semantic.iter().all(|hit| lexical.contains(&&hit.entry)), "each leg scores what the other found");
}

#[tokio::test]
async fn a_crash_between_points_and_mark_is_made_good() {
    let (stand_in, cluster) = standing().await;
    let (leg, _) = cluster.legs();
    leg.apply(&shop(), &rows(10, 1), 1).await.unwrap();
    let before = stand_in.len();
    leg.apply(&shop(), &rows(10, 1), 2).await.unwrap();
    assert_eq!((stand_in.len(), leg.applied(&shop()).await.unwrap()), (before, 2), "written again in place");
    let gone = Change { id: EntryId::from_text("row-3"), revision: 3, entry: None };
    leg.apply(&shop(), &[gone], 3).await.unwrap();
    assert_eq!(stand_in.len(), before - 1);
    stand_in.lose();
    assert_eq!(leg.applied(&shop()).await.unwrap(), 0, "what is lost is followed again from nothing");
}

#[tokio::test]
async fn a_node_that_goes_away_for_a_moment_is_asked_again() {
    let (stand_in, cluster) = standing().await;
    let (leg, _) = cluster.legs();
    leg.apply(&shop(), &rows(4, 1), 1).await.unwrap();
    stand_in.fail(2);
    assert_eq!(leg.search(&shop(), &question("保证金", 0), 3).await.unwrap().len(), 3);
    stand_in.fail(100);
    let error = leg.search(&shop(), &question("保证金", 0), 3).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("index_unreachable", true));
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_hangs() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let started = Instant::now();
    let error = at(&format!("http://{free}"), &config(KEY)).check().await.unwrap_err();
    assert_eq!(error.code(), "index_unreachable");
    assert!(started.elapsed() < Duration::from_secs(4) && error.to_string().contains(&free.to_string()), "{error}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let impatient = QdrantConfig { search_ms: 300, ..config(KEY) };
    let started = Instant::now();
    let (_, leg) = at(&format!("http://{}", silent.local_addr().unwrap()), &impatient).legs();
    let error = leg.search(&shop(), &question("保证金", 0), 3).await.unwrap_err();
    assert_eq!(error.code(), "index_unreachable");
    assert!(started.elapsed() < Duration::from_secs(2));

    let (stand_in, url) = StandIn::start().await;
    for key in ["", "very-secret"] {
        let error = at(&url, &config(key)).check().await.unwrap_err();
        assert_eq!(error.code(), "index_refused");
        assert!(!format!("{error:?} {}", error.causes()).contains("very-secret"));
    }
    let cluster = at(&url, &config(KEY));
    let (leg, _) = cluster.legs();
    let error = leg.search(&shop(), &question("保证金", 0), 3).await.unwrap_err();
    assert_eq!(error.code(), "index_missing");
    stand_in.put(CreateCollection { collection_name: cluster.name().to_owned(), ..CreateCollection::default() });
    assert_eq!(cluster.prepare(&shop()).await.unwrap_err().code(), "index_mismatch");
}

#[tokio::test]
async fn other_words_are_built_beside_and_old_ones_swept() {
    let (stand_in, cluster) = standing().await;
    let (leg, _) = cluster.legs();
    leg.apply(&shop(), &rows(3, 1), 1).await.unwrap();
    let plain = stand_in.len();
    let words = crate::knowledge::words::Words { words: vec!["保证金规则".into()], synonyms: Vec::new() };
    let beside = cluster.beside(&shop(), Arc::new(Terms::new(&words)));
    let (other, _) = beside.legs();
    assert_eq!(other.applied(&shop()).await.unwrap(), 0);
    other.apply(&shop(), &rows(3, 1), 1).await.unwrap();
    assert_eq!(stand_in.len(), 2 * plain, "the old one serves meanwhile");
    assert_eq!(leg.search(&shop(), &question("保证金", 0), 9).await.unwrap().len(), 3);
    cluster.take_over(&shop(), &beside);
    assert_eq!(leg.search(&shop(), &question("保证金", 0), 9).await.unwrap().len(), 3);
    cluster.server.update(vec![delete(cluster.scope(&shop()).of_other_words())]).await.unwrap();
    assert_eq!((stand_in.len(), leg.applied(&shop()).await.unwrap()), (plain, 1));
}

/// A node's view of one shop, with its own folder; `url` names its index server.
async fn node(folder: &std::path::Path, db: &Db, url: Option<&str>) -> Knowledge {
    let defaults = Config::load(None, &Overrides::default()).unwrap();
    let index = match url {
        Some(url) => IndexPlace::Qdrant { url: url.to_owned(), config: QdrantConfig { search_ms: 20_000, ..config(KEY) } },
        None => IndexPlace::Embedded,
    };
    let parts = KnowledgeParts {
        db: db.clone(),
        clock: Clock::system(),
        embedder: embed::open(&defaults.embedder).unwrap(),
        embedding: defaults.embedder.clone(),
        reranker: None,
        index_dir: folder.to_owned(),
        index,
        search: defaults.search,
    };
    Knowledge::open(parts).await.unwrap()
}

#[tokio::test]
async fn a_server_answers_the_starter_pack_as_this_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open("", folder.path()).await.unwrap();
    let tenant = shop();
    Tenants::new(db.clone(), Clock::system()).add(&tenant, "Shop").await.unwrap();
    let (stand_in, url) = StandIn::start().await;
    let own = node(&folder.path().join("own"), &db, None).await;
    let shared = node(&folder.path().join("shared"), &db, Some(&url)).await;
    // Another node beside it: it waits for the first, which writes.
    let second = node(&folder.path().join("shared"), &db, Some(&url)).await;
    assert!(shared.owns_index() && !second.owns_index());
    starter::import_starter(&own, &tenant, chrono_tz::Tz::Asia__Shanghai).await.unwrap();
    let labelled = read_labelled(include_str!("../../../../knowledge/eval/starter.jsonl")).unwrap();
    let asked: Vec<_> = labelled.iter().filter(|question| !question.relevant.is_empty()).step_by(9).take(32).collect();
    assert!(asked.len() > 30);
    // The stand-in compares every point: only what is asked for stays, and some more.
    let all = own.store().page(&tenant, &Listing::default(), None, 100_000).await.unwrap();
    let wanted = |entry: &KnowledgeEntry| asked.iter().any(|question| question.relevant.iter().any(|id| id == entry.id.as_str()));
    let others = all.iter().filter(|entry| !wanted(entry)).skip(40).map(|entry| entry.id.clone());
    own.store().commit(&tenant, own.embedder().id(), &[], &others.collect::<Vec<_>>()).await.unwrap();
    for knowledge in [&own, &shared, &second] {
        knowledge.catch_up().await.unwrap();
    }
    let (mut same, mut right_own, mut right_shared) = (0, 0, 0);
    for question in &asked {
        let query = Query { text: question.query.clone(), top: 5, ..Query::default() };
        let (here, there) = (own.search(&tenant, &query).await.unwrap(), second.search(&tenant, &query).await.unwrap());
        let first = |outcome: &crate::knowledge::search::SearchOutcome| outcome.hits.first().map(|hit| hit.entry.id.clone());
        let right = |id: &Option<EntryId>| id.as_ref().is_some_and(|id| question.relevant.iter().any(|right| right == id.as_str()));
        let (here, there) = (first(&here), first(&there));
        same += usize::from(here == there);
        right_own += usize::from(right(&here));
        right_shared += usize::from(right(&there));
    }
    let told = format!("of {}: the same first row {same}, right in this process {right_own}, on the server {right_shared}", asked.len());
    eprintln!("{told}");
    assert!(same * 100 >= asked.len() * 85 && right_shared * 100 >= right_own * 95, "{told}");

    // A collection that is lost comes back by itself, from the database.
    stand_in.lose();
    let query = Query { text: asked[0].query.clone(), top: 3, ..Query::default() };
    assert_eq!(second.search(&tenant, &query).await.unwrap_err().code(), "index_missing");
    shared.catch_up().await.unwrap();
    assert!(!second.search(&tenant, &query).await.unwrap().hits.is_empty());
    let draft = EntryDraft {
        question: "如何预约上门验厂".into(), answer: "在 供应链 > 验厂 里预约。".into(), ..EntryDraft::default()
    };
    shared.add(&tenant, draft, false, "test").await.unwrap();
    shared.catch_up().await.unwrap();
    let query = Query { text: "如何预约上门验厂".into(), top: 3, ..Query::default() };
    assert!(second.search(&tenant, &query).await.unwrap().hits[0].score > 0.99, "asked letter by letter");
}
