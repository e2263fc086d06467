//! Imports as shops run them, judged row by row; and the promise that every row is counted once.

use proptest::prelude::*;

use super::*;
use crate::ids::Timestamp;

/// A base in memory that an import writes to, as the store would.
#[derive(Clone, Default)]
struct Shop {
    entries: HashMap<EntryId, KnowledgeEntry>,
    row_hashes: HashMap<EntryId, i64>,
}

impl Shop {
    fn base(&self, rows: &[Candidate]) -> Base {
        let known = rows.iter().flat_map(|row| row.ids()).filter_map(|id| self.entries.get(id)).map(known).collect();
        let asked = |entry: &&KnowledgeEntry| rows.iter().any(|row| row.question_key() == text::question_key(&entry.draft.question));
        let nearly = |entry: &&KnowledgeEntry| rows.iter().any(|row| row.near_key() == near_key(&entry.draft.question));
        Base::new(known, self.entries.values().filter(asked).cloned().collect())
            .with_nearly(self.entries.values().filter(nearly).cloned().collect())
    }

    /// Imports rows in batches of two and tells each row's verdict by its first letters; with and without knowing what
    /// stands already, which makes no difference.
    fn import(&mut self, rules: Rules, drafts: &[EntryDraft]) -> Vec<String> {
        let mut quick = self.clone();
        let told = self.import_over(rules, drafts, &Already::default());
        assert_eq!(quick.import_over(rules, drafts, &quick.already()), told);
        let contents =
            |shop: &Self| shop.entries.iter().map(|(id, entry)| (id.clone(), entry.content_hash.clone())).collect::<HashMap<_, _>>();
        assert_eq!(contents(&quick), contents(self));
        told
    }

    fn already(&self) -> Already {
        let stored = |entry: &KnowledgeEntry| match self.row_hashes.get(&entry.id) {
            Some(hash) => (entry.id.clone(), Some(*hash), None),
            None => (entry.id.clone(), None, Some(entry.content_hash.clone())),
        };
        Already::new(self.entries.values().map(stored))
    }

    fn import_over(&mut self, rules: Rules, drafts: &[EntryDraft], already: &Already) -> Vec<String> {
        let mut planner = Planner::new(rules, vec!["faq.csv".into()]);
        let mut rows: Vec<_> = drafts
            .iter()
            .zip(2..)
            .map(|(draft, row)| {
                let draft = EntryDraft { source: draft.source.clone().or(Some("faq.csv".into())), ..draft.clone() };
                let mut row = Candidate::new(draft, Place { file: 0, row });
                row.stands_as = already.standing(&row);
                row
            })
            .collect();
        let mut told = Vec::new();
        for batch in rows.chunks_mut(2) {
            planner.doubt(batch.iter_mut());
            let batch = &*batch;
            for (row, verdict) in batch.iter().zip(planner.judge(batch, &self.base(batch))) {
                told.push(word(&verdict).to_owned());
                if let Verdict::Added(id) | Verdict::Changed(Known { id, .. }) = verdict {
                    self.write(id, row);
                }
            }
        }
        told
    }

    fn write(&mut self, id: EntryId, row: &Candidate) {
        let entry = KnowledgeEntry {
            id: id.clone(),
            draft: row.draft.clone(),
            content_hash: row.content_hash.clone(),
            revision: 1,
            created: Timestamp(0),
            updated: Timestamp(0),
        };
        self.row_hashes.insert(id.clone(), row.row_hash());
        self.entries.insert(id, entry);
    }
}

fn known(entry: &KnowledgeEntry) -> Known {
    Known { id: entry.id.clone(), content_hash: entry.content_hash.clone(), stale_vectors: false }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Added(_) => "added",
        Verdict::Changed(_) => "changed",
        Verdict::Unchanged(_) => "unchanged",
        Verdict::Duplicate(_) => "duplicate",
        Verdict::Conflicting { .. } => "conflicting",
        Verdict::Failed { code, .. } => code,
    }
}

fn row(question: &str, answer: &str) -> EntryDraft {
    EntryDraft { question: question.into(), answer: answer.into(), ..EntryDraft::default() }
}

fn with_id(id: &str, question: &str, answer: &str) -> EntryDraft {
    EntryDraft { id: Some(id.into()), ..row(question, answer) }
}

fn in_market(market: &str, draft: EntryDraft) -> EntryDraft {
    EntryDraft { market: Some(market.into()), ..draft }
}

fn in_days(from: i64, to: i64, draft: EntryDraft) -> EntryDraft {
    EntryDraft { valid_from: Some(Timestamp(from)), valid_to: Some(Timestamp(to)), ..draft }
}

const STRICT: Rules = Rules { accept_conflicts: false, as_is: false };
const ACCEPT: Rules = Rules { accept_conflicts: true, as_is: false };
const AS_IS: Rules = Rules { accept_conflicts: false, as_is: true };

#[test]
fn a_second_import_changes_what_changed() {
    let mut shop = Shop::default();
    let first = [row("怎么退款？", "七天"), with_id("a", "保证金", "1000")];
    assert_eq!(shop.import(STRICT, &first), ["added", "added"]);
    assert_eq!(shop.import(STRICT, &first), ["unchanged", "unchanged"]);
    let second = [row("怎么退款", "十天"), with_id("a", "保证金多少", "1000")];
    assert_eq!(shop.import(STRICT, &second), ["changed", "changed"]);
    assert_eq!(shop.entries.len(), 2);
}

#[test]
fn repeated_rows_are_duplicates_wherever_they_stand() {
    let mut shop = Shop::default();
    let rows = [row("怎么退款？", "七天。"), row("保证金", "1000"), row("怎么退款？", "七天。"), with_id("x", "怎么退款", "七天。")];
    assert_eq!(shop.import(STRICT, &rows), ["added", "added", "duplicate", "duplicate"]);
    assert_eq!(shop.import(STRICT, &rows), ["unchanged", "unchanged", "duplicate", "duplicate"]);
    let elsewhere = EntryDraft { source: Some("other.csv".into()), ..row("怎么退款", "七天。") };
    assert_eq!(shop.import(STRICT, &[elsewhere]), ["duplicate"]);
    let sections = [row("", "Body of a page."), with_id("s", "", "Body of a page."), row("", "Another body.")];
    assert_eq!(shop.import(STRICT, &sections), ["added", "duplicate", "added"]);
}

#[test]
fn contradictions_are_held_back_and_explained() {
    let mut shop = Shop::default();
    let rows = [row("保证金多少", "本地店 1,000 元"), row("别的", "x"), row("保证金多少？", "本地店 2000 元")];
    assert_eq!(shop.import(STRICT, &rows), ["added", "added", "conflicting"]);
    assert_eq!(shop.import(STRICT, &rows), ["unchanged", "unchanged", "conflicting"]);
    let other = EntryDraft { source: Some("new.csv".into()), ..row("保证金多少", "本地店 3,000 元，30 天内交") };
    let candidate = Candidate::new(other, Place { file: 0, row: 9 });
    let verdict = Planner::new(STRICT, vec!["new.csv".into()]).judge([&candidate], &shop.base(std::slice::from_ref(&candidate))).remove(0);
    let Verdict::Conflicting { clash: Clash { message, .. }, .. } = verdict else { panic!("{verdict:?}") };
    assert!(message.contains("from faq.csv (here 3,000 元, 30 天; there 1,000 元)"), "{message}");
    assert_eq!(shop.import(ACCEPT, &rows), ["unchanged", "unchanged", "added"]);
    assert_eq!(shop.import(ACCEPT, &rows), ["unchanged", "unchanged", "unchanged"]);
}

#[test]
fn nearly_the_same_question_with_a_contrary_answer_is_held_back() {
    let mut shop = Shop::default();
    let rows = [
        row("保证金要交多少？", "本地店 1,000 元。"),
        row("别的", "x"),
        row("请问保证金需要交多少呢", "本地店 1,000 美元。"),
        row("我的保证金交多少", "本地店一千元，关店后退还。"),
        row("跨境店保证金要交多少", "9,000 元。"),
        row("可以退货吗", "可以，请先申请。"),
        row("能不能退货？", "不可以，除非有质量问题。"),
    ];
    let told = ["added", "added", "conflicting", "added", "added", "added", "conflicting"];
    assert_eq!(shop.import(STRICT, &rows), told);
    let again = shop.import(STRICT, &rows);
    assert_eq!(again, ["unchanged", "unchanged", "conflicting", "unchanged", "unchanged", "unchanged", "conflicting"]);
    assert_eq!(shop.import(ACCEPT, &rows)[2], "added");
    assert_eq!(shop.import(STRICT, &rows)[2], "unchanged", "what was accepted stays so");

    let other = EntryDraft { source: Some("new.csv".into()), ..row("保证金我要交多少呢", "本地店 2,000 元。") };
    let candidate = Candidate::new(other, Place { file: 0, row: 9 });
    let verdict = Planner::new(STRICT, vec!["new.csv".into()]).judge([&candidate], &shop.base(std::slice::from_ref(&candidate))).remove(0);
    let Verdict::Conflicting { clash: Clash { message, details }, with: Some(_), changes: None } = verdict else { panic!("{verdict:?}") };
    assert!(message.starts_with("Nearly the same question is answered with a different number"), "{message}");
    assert!(message.contains("here 2,000 元; there ") && message.contains("from faq.csv (“"), "{message}");
    assert_eq!((&details["near"], &details["differ"][0]), (&Value::Bool(true), &Value::from("number")), "{details}");
}

#[test]
fn a_row_replaces_the_entry_that_it_conflicts_with_once() {
    let mut shop = Shop::default();
    shop.import(STRICT, &[with_id("a", "一", "1")]);
    let replacing = |draft: EntryDraft, row: u64| Candidate { replaces: true, ..Candidate::new(draft, Place { file: 0, row }) };
    let rows = [replacing(with_id("b", "一", "2"), 2), replacing(with_id("c", "一", "3"), 3), replacing(row("二", "4"), 4)];
    for rules in [STRICT, ACCEPT] {
        let verdicts = Planner::new(rules, vec!["faq.csv".into()]).judge(&rows, &shop.base(&rows));
        let Verdict::Changed(known) = &verdicts[0] else { panic!("{verdicts:?}") };
        assert_eq!(known.id.as_str(), "a");
        assert!(matches!(&verdicts[1], Verdict::Conflicting { with: None, .. }), "it conflicts with the row before: {verdicts:?}");
        assert!(matches!(&verdicts[2], Verdict::Added(_)), "there is nothing to replace: {verdicts:?}");
    }
}

#[test]
fn a_file_that_changes_both_of_two_near_questions_is_not_held_back() {
    let mut shop = Shop::default();
    let rows = |amount: &str| [row("保证金要交多少？", amount), row("别的", "x"), row("别的二", "y"), row("请问保证金需要交多少", amount)];
    assert_eq!(shop.import(STRICT, &rows("本地店 1,000 元。")), ["added"; 4]);
    assert_eq!(shop.import(STRICT, &rows("本地店 2,000 元。")), ["changed", "unchanged", "unchanged", "changed"]);
    let half = [row("保证金要交多少？", "本地店 3,000 元。"), row("请问保证金需要交多少", "本地店 4,000 元。")];
    assert_eq!(shop.import(STRICT, &half), ["changed", "conflicting"]);
}

#[test]
fn another_market_time_or_language_is_no_contradiction() {
    let mut shop = Shop::default();
    let english = EntryDraft { locale: Some("en".into()), ..row("FBH", "fulfilled by us") };
    let chinese = EntryDraft { locale: Some("zh".into()), ..row("FBH", "官方仓发货") };
    let rows = [
        in_market("SG", row("退货期", "15 天")),
        in_market("MY", row("退货期", "7 天")),
        row("退货期", "10 天"),
        in_days(0, 10, row("满减", "8 折")),
        in_days(10, 20, row("满减", "9 折")),
        english,
        chinese,
    ];
    assert_eq!(shop.import(STRICT, &rows), ["added"; 7]);
    assert_eq!(shop.import(STRICT, &rows), ["unchanged"; 7]);
    let mut turned = rows.clone();
    turned.reverse();
    assert_eq!(shop.import(STRICT, &turned), ["unchanged"; 7]);
    assert_eq!(shop.import(STRICT, &[in_market("SG", row("退货期", "14 天"))]), ["changed"]);
    assert_eq!(shop.entries.len(), 7);
    assert_eq!(shop.import(STRICT, &[in_days(5, 15, with_id("z", "满减", "7 折"))]), ["conflicting"]);
}

#[test]
fn an_id_used_twice_fails_and_names_the_first_row() {
    let mut shop = Shop::default();
    let rows = [with_id("a", "一", "1"), with_id("a", "一", "1"), with_id("a", "二", "2")];
    assert_eq!(shop.import(STRICT, &rows), ["added", "duplicate", "duplicate_id"]);
    assert_eq!(shop.import(AS_IS, &rows), ["unchanged", "duplicate", "duplicate_id"]);
    let candidates: Vec<_> = rows.into_iter().zip(2..).map(|(draft, row)| Candidate::new(draft, Place { file: 0, row })).collect();
    let verdicts = Planner::new(STRICT, vec!["faq.csv".into()]).judge(&candidates, &Base::default());
    let Verdict::Failed { message, .. } = &verdicts[2] else { panic!("{verdicts:?}") };
    assert!(message.contains("`a`") && message.contains("used by row 2,"), "{message}");
}

#[test]
fn as_is_writes_every_row() {
    let mut shop = Shop::default();
    let rows =
        [row("一", "a"), row("一", "b"), row("一", "c"), with_id("x", "一", "a"), with_id("y", "一", "a"), row("", "s"), row("", "s")];
    assert_eq!(shop.import(AS_IS, &rows), ["added", "added", "added", "added", "added", "added", "duplicate"]);
    assert_eq!(shop.import(AS_IS, &rows[..6]), ["unchanged"; 6]);
}

#[test]
fn a_row_that_changes_its_own_entry_is_written_even_when_another_says_the_same() {
    let mut shop = Shop::default();
    shop.import(STRICT, &[with_id("a", "一", "1"), with_id("b", "二", "2")]);
    assert_eq!(shop.import(STRICT, &[with_id("a", "二", "2")]), ["changed"]);
}

#[test]
fn the_hash_covers_every_field_but_the_id() {
    let base = row("q", "a");
    let hash = content_hash(&base);
    assert_eq!(hash, content_hash(&with_id("x", "q", "a")));
    for other in [
        row("q", "A"),
        in_market("SG", base.clone()),
        in_days(1, 2, base.clone()),
        EntryDraft { direct: true, ..base.clone() },
        EntryDraft { similar: vec!["s".into()], ..base.clone() },
        EntryDraft { negative: vec!["s".into()], ..base.clone() },
        EntryDraft { source: Some("s".into()), ..base.clone() },
    ] {
        assert_ne!(hash, content_hash(&other), "{other:?}");
    }
}

#[test]
fn only_a_row_that_says_all_the_same_stands() {
    let same = EntryDraft {
        similar: vec!["退钱".into()],
        negative: vec!["换货".into()],
        category: Some("售后".into()),
        tags: vec!["退款".into()],
        locale: Some("zh".into()),
        source: Some("faq.csv".into()),
        url: Some("https://a.example".into()),
        direct: true,
        ..in_market("SG", in_days(1, 2, row("怎么退款", "七天")))
    };
    let changes: [fn(&mut EntryDraft); 13] = [
        |row| row.question.push('？'),
        |row| row.answer.push('。'),
        |row| row.similar.push("退款流程".into()),
        |row| row.negative.clear(),
        |row| row.category = None,
        |row| row.tags.clear(),
        |row| row.market = Some("MY".into()),
        |row| row.locale = Some("en".into()),
        |row| row.valid_from = None,
        |row| row.valid_to = Some(Timestamp(3)),
        |row| row.source = Some("other.csv".into()),
        |row| row.url = None,
        |row| row.direct = false,
    ];
    let candidate = |draft: &EntryDraft| Candidate::new(draft.clone(), Place { file: 0, row: 2 });
    for id in [None, Some("a".to_owned())] {
        let same = EntryDraft { id, ..same.clone() };
        let (made, hash) = (candidate(&same).ids()[0].clone(), candidate(&same).row_hash());
        let already = Already::new([(made.clone(), Some(hash), None)]);
        assert_eq!(already.standing(&candidate(&same)), Some(made.clone()));
        for change in changes {
            let mut other = same.clone();
            change(&mut other);
            assert_eq!(already.standing(&candidate(&other)), None, "{other:?}");
        }
        let fewer = candidate(&same).given(Given::of([Field::Id, Field::Question, Field::Answer]));
        assert_eq!(already.standing(&fewer), None, "a file with fewer columns says less");
        // An entry that somebody edited has no hash of a row, and stands only for a row that says what it says now.
        let edited = content_hash(&EntryDraft { answer: "十天".into(), ..same.clone() });
        assert_eq!(Already::new([(made.clone(), None, Some(edited))]).standing(&candidate(&same)), None);
        assert_eq!(Already::new([(made.clone(), None, Some(content_hash(&same)))]).standing(&candidate(&same)), Some(made));
        assert_eq!(Already::default().standing(&candidate(&same)), None, "an entry that was deleted is not listed");
    }
}

#[test]
fn a_question_is_known_without_its_key() {
    for (question, has) in [("怎么退款", true), ("FBH?", true), ("ราคา", true), ("", false), ("？！", false), ("䷀", false), ("①", true)]
    {
        let row = Candidate::new(row(question, "a"), Place { file: 0, row: 2 });
        assert_eq!((row.has_question(), !row.question_key().is_empty()), (has, has), "{question}");
    }
}

fn any_draft() -> impl Strategy<Value = EntryDraft> {
    let id = proptest::option::weighted(0.3, "[ab]");
    let market = proptest::option::of("[SM]");
    (id, "[一二]?", "[1-3]", market, 0..2_i64).prop_map(|(id, question, answer, market, from)| EntryDraft {
        id,
        market,
        valid_from: Some(Timestamp(from)),
        ..row(&question, &answer)
    })
}

proptest! {
    #[test]
    fn importing_again_writes_nothing(drafts in proptest::collection::vec(any_draft(), 0..12)) {
        let mut shop = Shop::default();
        let first = shop.import(STRICT, &drafts);
        prop_assert_eq!(first.len(), drafts.len());
        prop_assert_eq!(shop.entries.len(), first.iter().filter(|word| *word == "added").count());
        let again = shop.import(STRICT, &drafts);
        prop_assert!(!writes(&again), "{:?} then {:?}", first, again);
    }

    /// Rows with and without ids that contradict each other may change places once.
    #[test]
    fn accepted_contradictions_settle(drafts in proptest::collection::vec(any_draft(), 0..12)) {
        let mut shop = Shop::default();
        let told: Vec<_> = (0..4).map(|_| shop.import(ACCEPT, &drafts)).collect();
        prop_assert!(!writes(&told[3]), "{told:?}");
    }
}

fn writes(told: &[String]) -> bool {
    told.iter().any(|word| word == "added" || word == "changed")
}
