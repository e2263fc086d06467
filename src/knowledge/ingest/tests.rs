//! Whole imports into a real database with the built-in embedder.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::TryStreamExt;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, Overrides};
use crate::db::Db;
use crate::ids::{Clock, EntryId};
use crate::knowledge::embedders::store::Filled;
use crate::knowledge::export::{ExportFormat, export};
use crate::knowledge::list_store::Listing;
use crate::knowledge::store::Selection;
use crate::knowledge::{KnowledgeEntry, KnowledgeParts, starter};
use crate::models::{EmbedKind, Embedder, embed};
use crate::tenants::Tenants;

const ZONE: Tz = Tz::Asia__Shanghai;

/// The built-in embedder, and how many texts it was given.
struct Counting {
    inner: Arc<dyn Embedder>,
    texts: AtomicUsize,
}

#[async_trait]
impl Embedder for Counting {
    fn id(&self) -> &str {
        self.inner.id()
    }
    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }
    async fn embed(&self, texts: Vec<String>, kind: EmbedKind) -> Result<Vec<Vec<f32>>> {
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        self.inner.embed(texts, kind).await
    }
}

struct Shop {
    folder: TempDir,
    knowledge: Knowledge,
    tenant: TenantId,
    embedder: Arc<Counting>,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::load(None, &Overrides::default()).unwrap();
        let db = Db::open("", folder.path()).await.unwrap();
        let tenant = TenantId::parse("shop").unwrap();
        Tenants::new(db.clone(), Clock::system()).add(&tenant, "Shop").await.unwrap();
        let embedder = Arc::new(Counting { inner: embed::open(&config.embedder).unwrap(), texts: AtomicUsize::new(0) });
        let parts = KnowledgeParts {
            db,
            clock: Clock::system(),
            embedder: embedder.clone(),
            embedding: config.embedder.clone(),
            reranker: None,
            index_dir: folder.path().join("index"),
            index: config.index_place(),
            search: config.search,
        };
        Self { knowledge: Knowledge::open(parts).await.unwrap(), folder, tenant, embedder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn try_import(&self, path: &Path, options: ImportOptions) -> Result<ImportReport> {
        import(&self.knowledge, &self.tenant, &[path.to_owned()], options, ZONE, |_| {}).await
    }

    async fn import(&self, path: &Path) -> ImportReport {
        self.try_import(path, ImportOptions::default()).await.unwrap()
    }

    async fn entries(&self) -> Vec<KnowledgeEntry> {
        self.knowledge.store().page(&self.tenant, &Listing::default(), None, 100_000).await.unwrap()
    }

    /// Texts embedded since the last call.
    fn embedded(&self) -> usize {
        self.embedder.texts.swap(0, Ordering::Relaxed)
    }

    async fn export(&self, format: ExportFormat) -> Vec<u8> {
        let pages: Vec<_> =
            export(self.knowledge.store().clone(), self.tenant.clone(), Listing::default(), format, ZONE).try_collect().await.unwrap();
        pages.into_iter().flat_map(|page| page.bytes).collect()
    }
}

/// Added, changed, unchanged, duplicates, conflicts, failed.
fn counts(report: &ImportReport) -> [u64; 6] {
    [report.added, report.changed, report.unchanged, report.duplicates, report.conflicts, report.failed]
}

const FAQ: &str = "编号,问题,答案,相似问题,失效时间\n\
    a,怎么退款？,七天内原路退回。,退钱##退款流程,2026-12-31\n\
    b,保证金多少？,本地店 1000 元。,,\n\
    ,跨境店保证金？,60000 元。,,\n\
    c,保证金多少,本地店 2000 元。,,\n\
    ,怎么退款,七天内原路退回。,,2026-12-31\n\
    d,什么时候发货,,,\n\
    e,什么时候到账,三天,,明天\n";

#[tokio::test]
async fn every_row_is_counted_once_and_only_news_is_embedded() {
    let shop = Shop::open().await;
    let path = shop.file("faq.csv", FAQ);
    let report = shop.import(&path).await;
    assert_eq!(counts(&report), [3, 0, 0, 1, 1, 2]);
    let errors: Vec<_> = report.errors.iter().map(|error| (error.row, error.code)).collect();
    assert_eq!(errors, [(7, "missing_answer"), (8, "bad_date")]);
    assert!(
        report.conflicting[0].message.contains("differently in row 3 (")
            && report.conflicting[0].message.contains("here 2000 元; there 1000 元")
    );
    assert_eq!(shop.embedded(), 3 + 2 + 3);
    let again = shop.import(&path).await;
    assert_eq!(counts(&again), [0, 0, 3, 1, 1, 2]);
    assert_eq!((shop.embedded(), again.revision), (0, report.revision));
    let path = shop.file("faq.csv", FAQ.replace("1000 元", "1500 元"));
    assert_eq!(counts(&shop.import(&path).await), [0, 1, 2, 1, 1, 2]);
    assert_eq!(shop.embedded(), 2);
}

/// A sheet without all columns says only a part of its entries: what was edited since is looked at, and stays.
#[tokio::test]
async fn a_row_stands_until_its_entry_is_changed_otherwise() {
    let shop = Shop::open().await;
    let path = shop.file("faq.csv", "编号,问题,答案\na,怎么退款？,七天内原路退回。\nb,保证金多少？,1000 元。\nc,几点发货？,16 点。\n");
    assert_eq!(counts(&shop.import(&path).await), [3, 0, 0, 0, 0, 0]);
    let edit = async |id: &str, change: &dyn Fn(&mut EntryDraft)| {
        let id = EntryId::from_text(id);
        let mut draft = shop.knowledge.entry(&shop.tenant, &id).await.unwrap().draft;
        change(&mut draft);
        shop.knowledge.change(&shop.tenant, &id, draft, None, "li").await.unwrap();
    };
    edit("a", &|draft| draft.category = Some("退款".into())).await;
    edit("b", &|draft| draft.answer = "2000 元。".into()).await;
    shop.embedded();
    assert_eq!(counts(&shop.import(&path).await), [0, 1, 2, 0, 0, 0], "the file is right about what it says");
    let entries = shop.entries().await;
    let entry = |id: &str| &entries.iter().find(|entry| entry.id.as_str() == id).unwrap().draft;
    assert_eq!((entry("a").category.as_deref(), entry("b").answer.as_str()), (Some("退款"), "1000 元。"));
    let stored = shop.knowledge.store().row_hashes(&shop.tenant).await.unwrap();
    let hash = |id: &str| stored.iter().find(|(stored, ..)| stored.as_str() == id).unwrap().1;
    assert!(hash("a").is_none() && hash("b").is_some() && hash("c").is_some(), "{stored:?}");
    // What the file is called says nothing of entries that are named by their ids.
    let renamed = shop.file("faq (1).csv", std::fs::read(&path).unwrap());
    assert_eq!(counts(&shop.import(&renamed).await), [0, 0, 3, 0, 0, 0]);
    let gone = Selection::Ids(vec![EntryId::from_text("b")]);
    shop.knowledge.delete(&shop.tenant, &gone, "li").await.unwrap();
    shop.embedded();
    assert_eq!((counts(&shop.import(&path).await), shop.embedded()), ([1, 0, 2, 0, 0, 0], 2), "what was deleted comes again");
    // A row that contradicts one that stands is held back and told which row that is.
    let path = shop.file("faq.csv", "编号,问题,答案\nc,几点发货？,16 点。\nd,请问几点发货呢,18 点。\n");
    let report = shop.import(&path).await;
    assert_eq!(counts(&report), [0, 0, 1, 0, 1, 0]);
    assert!(report.conflicting[0].message.contains("in row 2"), "{}", report.conflicting[0].message);
}

#[tokio::test]
async fn a_dry_run_judges_the_same_and_writes_nothing() {
    let shop = Shop::open().await;
    let path = shop.file("faq.csv", FAQ);
    let dry = shop.try_import(&path, ImportOptions { dry_run: true, ..Default::default() }).await.unwrap();
    assert_eq!((dry.dry_run, dry.revision, shop.entries().await.len(), shop.embedded()), (true, 0, 0, 0));
    assert_eq!(counts(&dry), counts(&shop.import(&path).await));
}

#[tokio::test]
async fn the_report_can_be_corrected_and_imported() {
    let shop = Shop::open().await;
    let (path, report) = (shop.file("faq.csv", FAQ), shop.path("left.csv"));
    shop.try_import(&path, ImportOptions { report: Some(report.clone()), ..Default::default() }).await.unwrap();
    let table = std::fs::read_to_string(&report).unwrap();
    // A repeated row is told about, and needs no correction.
    assert_eq!(table.lines().count(), 1 + 3, "{table}");
    let corrected = table.replace("明天", "2026-12-01").replace("2000 元", "1000 元");
    let report = shop.import(&shop.file("left.csv", corrected)).await;
    // The answer that was missing still is; the others are taken or seen to be the same.
    assert_eq!(counts(&report), [1, 0, 0, 1, 0, 1]);
    let added = shop.entries().await.into_iter().find(|entry| entry.id.as_str() == "e").unwrap();
    assert_eq!(added.draft.source.as_deref(), Some("faq.csv"));
}

#[tokio::test]
async fn what_was_not_taken_is_listed_as_it_stands_in_the_file() {
    let shop = Shop::open().await;
    let path = shop.file("faq.csv", format!("{FAQ}f,保证金多少呢,本地店 3000 元。,,\n,什么时候发货,,,\n"));
    let (report, plan) = (shop.path("left.csv"), shop.path("plan.jsonl"));
    let options = ImportOptions { dry_run: true, report: Some(report.clone()), plan: Some(plan.clone()), ..Default::default() };
    shop.try_import(&path, options).await.unwrap();
    let table = std::fs::read_to_string(&report).unwrap();
    let rows: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
    assert!(rows.len() >= 4 && rows.is_sorted_by_key(|row| row.parse::<u64>().unwrap()), "{table}");
    let planned = std::fs::read_to_string(&plan).unwrap();
    let numbers: Vec<u64> =
        planned.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..9).collect::<Vec<_>>(), "{planned}");
}

#[tokio::test]
async fn a_market_that_is_no_country_is_pointed_out_once_and_a_slip_fails() {
    let shop = Shop::open().await;
    let table = "question,answer,market\na,1,JP\nb,2,Japn\nc,3,Japn\nd,4,XX\ne,5,全部\nf,6,日本站\ng,7,ke\n";
    let path = shop.file("faq.csv", table);
    for dry_run in [true, false] {
        let report = shop.try_import(&path, ImportOptions { dry_run, ..Default::default() }).await.unwrap();
        assert_eq!(counts(&report), [6, 0, 0, 0, 0, 1], "{report:?}");
        assert_eq!((report.errors[0].row, report.errors[0].code), (5, "bad_market"));
        let said = report.notes.iter().filter(|note| note.contains("`Japn` (2 rows, the first is 3)")).count();
        assert_eq!((said, report.notes.len()), (1, 1), "{:?}", report.notes);
    }
    // It is one of the shop's markets now.
    assert!(shop.import(&path).await.notes.is_empty());
}

#[tokio::test]
async fn an_import_that_was_stopped_goes_on() {
    let shop = Shop::open().await;
    let lines: String = (0..1_000).map(|n| format!("{{\"question\":\"问题 {n}\",\"answer\":\"答案 {n}\"}}\n")).collect();
    let path = shop.file("many.jsonl", lines);
    let stop = CancellationToken::new();
    stop.cancel();
    let first = shop.try_import(&path, ImportOptions { stop, ..Default::default() }).await.unwrap();
    assert_eq!((first.interrupted, first.added, first.rows()), (true, 256, 256));
    let second = shop.import(&path).await;
    assert_eq!((second.interrupted, counts(&second)), (false, [744, 0, 256, 0, 0, 0]));
}

#[tokio::test]
async fn one_bad_file_among_several_is_reported_and_alone_is_an_error() {
    let shop = Shop::open().await;
    shop.file("in/a.csv", "name,phone\n1,2\n");
    shop.file("in/b.md", "# 退款\n\n七天。\n");
    shop.file("in/c.jsonl", "");
    let report = shop.import(&shop.path("in")).await;
    assert_eq!(counts(&report), [1, 0, 0, 0, 0, 2]);
    let codes: Vec<_> = report.errors.iter().map(|error| (error.file.ends_with(".csv"), error.row, error.code)).collect();
    assert_eq!(codes, [(true, 1, "no_question_or_answer_column"), (false, 1, "file_empty")]);
    let alone = shop.try_import(&shop.path("in/c.jsonl"), ImportOptions::default()).await.unwrap_err();
    assert_eq!(alone.code(), "file_empty");
}

#[tokio::test]
async fn an_export_imports_as_unchanged() {
    let shop = Shop::open().await;
    shop.import(&shop.file("faq.csv", FAQ)).await;
    for (name, format) in [("out.jsonl", ExportFormat::Jsonl), ("out.csv", ExportFormat::Csv)] {
        let path = shop.file(name, shop.export(format).await);
        assert_eq!(counts(&shop.import(&path).await), [0, 0, 3, 0, 0, 0], "{name}");
    }
    let other = Shop::open().await;
    let path = other.file("out.csv", shop.export(ExportFormat::Csv).await);
    assert_eq!(other.import(&path).await.added, 3);
    assert_eq!(other.export(ExportFormat::Jsonl).await, shop.export(ExportFormat::Jsonl).await);
}

#[tokio::test]
async fn the_starter_pack_is_taken_whole() {
    let shop = Shop::open().await;
    let report = starter::import_starter(&shop.knowledge, &shop.tenant, ZONE).await.unwrap();
    assert!(report.added > 400 && counts(&report)[1..] == [0; 5], "{report:?}");
    let again = starter::import_starter(&shop.knowledge, &shop.tenant, ZONE).await.unwrap();
    assert_eq!(counts(&again), [0, 0, report.added, 0, 0, 0]);
    // Sections have ids made from their file and heading; the labelled questions know them by these.
    let ids: std::collections::HashSet<String> = shop.entries().await.into_iter().map(|entry| entry.id.as_str().to_owned()).collect();
    let labelled = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/knowledge/eval")).unwrap();
    let texts = labelled.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let made = regex::Regex::new("\"(e_[0-9a-f]{20})\"").unwrap();
    let wanted: Vec<String> =
        texts.flat_map(|text| made.captures_iter(&text).map(|found| found[1].to_owned()).collect::<Vec<_>>()).collect();
    assert!(wanted.len() > 50, "{}", wanted.len());
    assert_eq!(wanted.iter().find(|id| !ids.contains(*id)), None);
    // And as a merchant's own files it has neither duplicates nor conflicts.
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("knowledge/starter");
    let own = Shop::open().await.try_import(&folder, ImportOptions { dry_run: true, ..Default::default() }).await.unwrap();
    assert_eq!(counts(&own), [report.added, 0, 0, 0, 0, 0], "{:?} {:?}", own.errors, own.conflicting);
}

#[tokio::test]
async fn two_imports_into_one_tenant_come_one_after_the_other() {
    let shop = Shop::open().await;
    let file = shop.file("a.csv", "问题,答案\n一,甲\n");
    let other = shop.knowledge.import_lock(&shop.tenant);
    assert!(other.take().await.unwrap());
    let stop = CancellationToken::new();
    stop.cancel();
    let refused = shop.try_import(&file, ImportOptions { stop, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code(), "import_running");
    let plan = shop.try_import(&file, ImportOptions { dry_run: true, ..Default::default() }).await.unwrap();
    assert_eq!(counts(&plan), [1, 0, 0, 0, 0, 0], "a plan need not wait");
    let waiting = tokio::time::timeout(Duration::from_millis(300), shop.import(&file)).await;
    assert!(waiting.is_err());
    drop(other);
    assert_eq!(counts(&shop.import(&file).await), [1, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_replaced_source_has_only_what_its_file_has() {
    let shop = Shop::open().await;
    shop.import(&shop.file("a.csv", "问题,答案\n一,甲\n二,乙\n三,丙\n")).await;
    shop.import(&shop.file("b.csv", "问题,答案\n四,丁\n")).await;
    let replace = || ImportOptions { replace_source: true, ..Default::default() };
    let broken = shop.file("a.csv", "问题,答案\n一,甲\n二,\n");
    let report = shop.try_import(&broken, replace()).await.unwrap();
    assert_eq!(
        (counts(&report), report.deleted, report.notes.len()),
        ([0, 0, 1, 0, 0, 1], Some(0), 1),
        "with a failed row nothing is deleted"
    );
    let file = shop.file("a.csv", "问题,答案\n一,甲\n二,乙二\n五,戊\n");
    let plan = shop.try_import(&file, ImportOptions { dry_run: true, ..replace() }).await.unwrap();
    assert_eq!((counts(&plan), plan.deleted), ([1, 1, 1, 0, 0, 0], Some(1)));
    assert_eq!((plan.changes[0].old.as_str(), plan.changes[0].new.as_str()), ("乙", "乙二"));
    assert_eq!(shop.entries().await.len(), 4, "a plan writes nothing");
    let report = shop.try_import(&file, replace()).await.unwrap();
    assert_eq!((counts(&report), report.deleted), ([1, 1, 1, 0, 0, 0], Some(1)));
    let mut questions: Vec<_> = shop.entries().await.into_iter().map(|entry| entry.draft.question).collect();
    questions.sort();
    assert_eq!(questions, ["一", "二", "五", "四"]);
}

#[tokio::test]
async fn a_report_imported_again_never_takes_the_place_of_what_is_there() {
    let shop = Shop::open().await;
    let faq = "问题,答案,相似问题,直接回答\n\
        保证金多少,1000 元,押金多少##要交多少押金,是\n\
        保证金多少,2000 元,,\n\
        保证金多少,1000 元,,是\n";
    let path = shop.file("faq.csv", faq);
    for name in ["report.csv", "report.xlsx"] {
        let report = ImportOptions { report: Some(shop.path(name)), ..ImportOptions::default() };
        shop.try_import(&path, report).await.unwrap();
        let before = shop.entries().await;
        assert_eq!((before.len(), before[0].draft.answer.as_str(), before[0].draft.similar.len()), (1, "1000 元", 2));
        let again = shop.import(&shop.path(name)).await;
        assert_eq!(counts(&again), [0, 0, 0, 0, 1, 0], "{again:?}");
        assert_eq!(shop.entries().await, before);
    }
    let report = std::fs::read_to_string(shop.path("report.csv")).unwrap();
    let corrected = shop.file("corrected.csv", report.replace("2000 元", "1000 元"));
    let same = shop.import(&corrected).await;
    assert_eq!((same.changed, same.added, same.conflicts), (0, 0, 0), "corrected, it says what is there: {same:?}");
    assert!(shop.entries().await[0].draft.direct, "and costs the entry nothing");

    let accepted = ImportOptions { accept_conflicts: true, ..ImportOptions::default() };
    let both = shop.try_import(&shop.path("report.csv"), accepted).await.unwrap();
    assert_eq!(counts(&both), [1, 0, 0, 0, 0, 0], "accepted, it stands beside the other");
    assert_eq!(counts(&shop.import(&path).await), [0, 0, 2, 1, 0, 0], "and is the file's own row");
}

#[tokio::test]
async fn a_failed_row_that_was_corrected_stands_beside_its_twin() {
    let shop = Shop::open().await;
    let faq = "问题,答案,市场,生效日期\n\
        保证金多少,日本 3000 元,JP,2026-13-45\n\
        保证金多少,1000 元,CN,\n\
        退货几天,七天,CN,\n";
    let path = shop.file("faq.csv", faq);
    let report = || ImportOptions { report: Some(shop.path("report.csv")), ..ImportOptions::default() };
    assert_eq!(counts(&shop.try_import(&path, report()).await.unwrap()), [2, 0, 0, 0, 0, 1]);
    let correct = |from: &str, to: &str| {
        let report = std::fs::read_to_string(shop.path("report.csv")).unwrap();
        assert!(report.contains(from), "{report}");
        shop.file("corrected.csv", report.replace(from, to))
    };
    let answers = || async {
        let mut answers: Vec<_> = shop.entries().await.into_iter().map(|entry| entry.draft.answer).collect();
        answers.sort();
        answers
    };
    let corrected = shop.import(&correct("2026-13-45", "2026-11-01")).await;
    assert_eq!(counts(&corrected), [1, 0, 0, 0, 0, 0], "{corrected:?}");
    assert_eq!(answers().await, ["1000 元", "七天", "日本 3000 元"]);
    // The same file once more: the twin fails again, under the entry's own name, and its correction changes just that.
    let again = shop.file("faq.csv", faq.replace("日本 3000", "日本 4000"));
    assert_eq!(counts(&shop.try_import(&again, report()).await.unwrap()), [0, 0, 2, 0, 0, 1]);
    let corrected = shop.import(&correct("2026-13-45", "2026-11-01")).await;
    assert_eq!((corrected.failed, corrected.added + corrected.changed + corrected.conflicts), (0, 1), "{corrected:?}");
    assert!(answers().await.contains(&"1000 元".to_owned()) && answers().await.contains(&"七天".to_owned()));
    // A failed edit of a row without a twin changes that row.
    let edit = shop.file("faq.csv", "问题,答案,市场,生效日期\n退货几天,十五天,CN,昨天前\n");
    assert_eq!(counts(&shop.try_import(&edit, report()).await.unwrap()), [0, 0, 0, 0, 0, 1]);
    let corrected = shop.import(&correct("昨天前", "2026-11-01")).await;
    assert_eq!(counts(&corrected), [0, 1, 0, 0, 0, 0], "{corrected:?}");
    assert!(!answers().await.contains(&"七天".to_owned()));
}

#[tokio::test]
async fn questions_are_answered_while_the_indexes_are_built_again() {
    let shop = Shop::open().await;
    let rows: String = (0..300).map(|n| format!("第{n}号仓库几点关门,{n} 号仓库晚上八点关门\n")).collect();
    shop.import(&shop.file("hours.csv", format!("问题,答案\n{rows}"))).await;
    shop.knowledge.catch_up().await.unwrap();
    let asked = crate::knowledge::Query { text: "第7号仓库几点关门".into(), top: 3, ..Default::default() };
    let again = shop.knowledge.reindex(&shop.tenant);
    tokio::pin!(again);
    let mut searches = 0;
    loop {
        tokio::select! {
            biased;
            done = &mut again => {
                done.unwrap();
                break;
            }
            found = shop.knowledge.search(&shop.tenant, &asked) => {
                let found = found.unwrap();
                assert_eq!(found.hits[0].entry.draft.question, "第7号仓库几点关门");
                assert!(found.hits[0].lexical.is_some() && found.hits[0].semantic.is_some());
                searches += 1;
            }
        }
    }
    assert!(searches > 0);
}

#[tokio::test]
async fn an_entry_named_twice_among_many_is_deleted_once_and_can_be_brought_back() {
    const MANY: usize = 1_001;
    let shop = Shop::open().await;
    let rows: String = (0..MANY).map(|n| format!("r{n},第{n}号仓库由谁盘点？,由{n}组盘点。\n")).collect();
    let path = shop.file("many.csv", format!("编号,问题,答案\n{rows}"));
    let as_is = ImportOptions { as_is: true, ..ImportOptions::default() };
    assert_eq!(counts(&shop.try_import(&path, as_is).await.unwrap())[0], MANY as u64);
    // The last one is named again, behind so many others that it comes in another statement.
    let mut ids: Vec<EntryId> = (0..MANY).map(|n| EntryId::from_text(format!("r{n}"))).collect();
    ids.insert(0, ids[MANY - 1].clone());
    let (deleted, revision) = shop.knowledge.delete(&shop.tenant, &Selection::Ids(ids.clone()), "test").await.unwrap();
    assert_eq!((deleted, shop.entries().await.len()), (MANY as u64, 0));
    assert_eq!(shop.knowledge.store().ended_by(&shop.tenant, revision).await.unwrap().len(), MANY, "what each said is kept");
    let back = shop.knowledge.undo(&shop.tenant, &ids[0], None, "test").await.unwrap();
    assert_eq!((back.id, shop.entries().await.len()), (ids[0].clone(), 1));
}

#[tokio::test]
async fn what_cannot_be_noted_is_not_committed() {
    let shop = Shop::open().await;
    let path = shop.file("faq.csv", "编号,问题,答案\na,一,甲\nb,二,乙\n");
    let noting = |name: &str| ImportOptions { written: Some(shop.path(name)), ..ImportOptions::default() };
    std::fs::create_dir(shop.path("in the way")).unwrap();
    shop.try_import(&path, noting("in the way")).await.unwrap_err();
    assert!(shop.entries().await.is_empty(), "nobody could take it back");
    // Whoever goes on writes it, and notes it under the revision that it has.
    assert_eq!(counts(&shop.try_import(&path, noting("written.jsonl")).await.unwrap())[0], 2);
    let noted = std::fs::read_to_string(shop.path("written.jsonl")).unwrap();
    let done: Written = serde_json::from_str(&noted).unwrap();
    assert_eq!((done.added.len(), done.revision), (2, shop.entries().await[0].revision));
}

#[tokio::test]
async fn new_vectors_do_not_undo_what_was_edited_or_deleted_meanwhile() {
    let shop = Shop::open().await;
    shop.import(&shop.file("faq.csv", "问题,答案\n一,甲\n二,乙\n三,丙\n")).await;
    let store = shop.knowledge.store();
    let before = shop.entries().await;
    let passages = split::passages(&before[0].draft);
    let filled = |entry: &KnowledgeEntry| Filled {
        id: entry.id.clone(),
        content_hash: entry.content_hash.clone(),
        vectors: passages.iter().map(|passage| (passage.seq, Some(vec![1.0]))).collect(),
    };
    let stale: Vec<Filled> = before.iter().map(filled).collect();
    // While they were embedded, one was edited and one deleted.
    let edited = EntryDraft { answer: "甲二".into(), ..before[0].draft.clone() };
    shop.knowledge.change(&shop.tenant, &before[0].id, edited, None, "test").await.unwrap();
    store.commit(&shop.tenant, "other", &[], &[before[1].id.clone()]).await.unwrap();
    store.renew(&shop.tenant, "other", &stale).await.unwrap();
    let after = shop.entries().await;
    let answers: Vec<_> = after.iter().map(|entry| entry.draft.answer.as_str()).collect();
    assert_eq!((after.len(), answers.contains(&"甲二")), (2, true), "{answers:?}");
    let third = after.iter().find(|entry| entry.id == before[2].id).unwrap();
    assert_eq!((third.updated, third.revision > before[2].revision), (before[2].updated, true), "only its vectors are new");
}
