//! What an import would do with each row, before anything is written: added, changed, unchanged,
//! duplicate, conflicting or failed, exactly one of them. Pure; the caller looks up what the base
//! already has.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::store::Known;
use super::{EntryDraft, KnowledgeEntry, text};
use crate::ids::{EntryId, Timestamp};

/// A row with its identity.
#[derive(Clone, Debug)]
pub struct Identified {
    /// The row's own id, else one made from its source and its normalised question.
    pub id: EntryId,
    /// `text::question_key` of the question; empty when it has none.
    pub question_key: String,
    /// SHA-256 of its content.
    pub content_hash: String,
    /// Its content.
    pub draft: EntryDraft,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Written for the first time.
    Added,
    /// Written over its older content.
    Changed,
    /// Already stored exactly so; embedded again only when its vectors are another embedder's.
    Unchanged {
        /// Vectors of another embedder.
        stale: bool,
    },
    /// Says what another row says; the text names it.
    Duplicate(String),
    /// Asks what another row asks and answers otherwise; held back.
    Conflicting(String),
    /// Cannot be taken: code and message.
    Failed(&'static str, String),
}

impl Identified {
    /// Gives a row its identity; `default_source` stands in for rows that name none.
    pub fn new(mut draft: EntryDraft, default_source: &str) -> Self {
        let source = draft.source.get_or_insert_with(|| default_source.to_owned()).clone();
        let question_key = text::question_key(&draft.question);
        let id = draft.id.clone().unwrap_or_else(|| {
            let key = if question_key.is_empty() { text::question_key(&draft.answer) } else { question_key.clone() };
            format!("e_{}", &hex(&format!("{source}\0{key}"))[..20])
        });
        let content_hash = content_hash(&draft);
        Self { id: EntryId::from_text(id), question_key, content_hash, draft }
    }
}

fn content_hash(draft: &EntryDraft) -> String {
    let content = json!([
        draft.question,
        draft.answer,
        draft.similar,
        draft.negative,
        draft.category,
        draft.tags,
        draft.market,
        draft.locale,
        draft.valid_from,
        draft.valid_to,
        draft.source,
        draft.url,
        draft.direct,
    ]);
    hex(&content.to_string())
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Remembers the rows of one run, by hashes only, so that a million rows need little memory.
#[derive(Debug, Default)]
pub struct Planner {
    as_is: bool,
    accept_conflicts: bool,
    ids: HashMap<u64, (u64, u64)>,
    questions: HashMap<u64, Vec<Asked>>,
}

#[derive(Debug)]
struct Asked {
    id: u64,
    row: u64,
    answer: u64,
    market: Option<String>,
    validity: (Option<Timestamp>, Option<Timestamp>),
}

impl Planner {
    /// `as_is` writes every readable row without looking for duplicates and conflicts;
    /// `accept_conflicts` writes conflicting rows too.
    pub fn new(as_is: bool, accept_conflicts: bool) -> Self {
        Self { as_is, accept_conflicts, ..Default::default() }
    }

    /// Decides over the next row. `known` is what is stored under its id, `same_question` the stored
    /// entries that ask the same.
    pub fn decide(&mut self, row: u64, new: &Identified, known: Option<&Known>, same_question: &[KnowledgeEntry]) -> Fate {
        let (id, content) = (hash(&new.id), hash(&new.content_hash));
        if let Some((first, before)) = self.ids.get(&id) {
            if *before == content {
                return Fate::Duplicate(format!("the same row as row {first}"));
            }
            if !self.as_is {
                let message = format!(
                    "Row {first} has the same identity `{}` and says something else. Give one of them another id, or delete it.",
                    new.id
                );
                return Fate::Failed("duplicate_id", message);
            }
        }
        let fate = self.against_base(new, known, same_question);
        if matches!(fate, Fate::Added | Fate::Changed | Fate::Unchanged { .. }) {
            self.ids.insert(id, (row, content));
            self.remember(row, new);
        }
        fate
    }

    fn against_base(&self, new: &Identified, known: Option<&Known>, same_question: &[KnowledgeEntry]) -> Fate {
        let fate = match known {
            Some(known) if known.content_hash == new.content_hash => return Fate::Unchanged { stale: known.stale_vectors },
            Some(_) => Fate::Changed,
            None => Fate::Added,
        };
        if self.as_is || new.question_key.is_empty() {
            return fate;
        }
        self.rival(new, same_question).unwrap_or(fate)
    }

    /// Another row with the same question for the same market and time.
    fn rival(&self, new: &Identified, same_question: &[KnowledgeEntry]) -> Option<Fate> {
        let draft = &new.draft;
        let answer = text::question_key(&draft.answer);
        let mut others = same_question.iter().filter(|other| other.id != new.id && !self.ids.contains_key(&hash(&other.id)));
        if let Some(other) = others.find(|other| meets(draft, &other.draft.market, (other.draft.valid_from, other.draft.valid_to))) {
            let same = text::question_key(&other.draft.answer) == answer;
            return self.clash(same, &format!("entry `{}`", other.id), Some((draft, &other.draft.answer)));
        }
        let (id, answer) = (hash(&new.id), hash(&answer));
        for asked in self.questions.get(&hash(&new.question_key)).into_iter().flatten() {
            if asked.id != id && meets(draft, &asked.market, asked.validity) {
                return self.clash(asked.answer == answer, &format!("row {}", asked.row), None);
            }
        }
        None
    }

    fn clash(&self, same_answer: bool, other: &str, texts: Option<(&EntryDraft, &String)>) -> Option<Fate> {
        if same_answer {
            return Some(Fate::Duplicate(format!("{other} says the same")));
        }
        let numbers = texts.map(|(draft, other)| different_numbers(&draft.answer, other)).unwrap_or_default();
        let message = format!(
            "{other} asks the same and answers otherwise{numbers}. Correct one of them, tell them apart by market or validity, or import with --accept-conflicts."
        );
        (!self.accept_conflicts).then_some(Fate::Conflicting(message))
    }

    fn remember(&mut self, row: u64, new: &Identified) {
        if new.question_key.is_empty() {
            return;
        }
        let asked = Asked {
            id: hash(&new.id),
            row,
            answer: hash(&text::question_key(&new.draft.answer)),
            market: new.draft.market.clone(),
            validity: (new.draft.valid_from, new.draft.valid_to),
        };
        self.questions.entry(hash(&new.question_key)).or_default().push(asked);
    }
}

/// The same market, and a time when both are valid.
fn meets(draft: &EntryDraft, market: &Option<String>, (from, to): (Option<Timestamp>, Option<Timestamp>)) -> bool {
    let starts_before = |start: Option<Timestamp>, end: Option<Timestamp>| match (start, end) {
        (Some(start), Some(end)) => start < end,
        _ => true,
    };
    draft.market == *market && starts_before(draft.valid_from, to) && starts_before(from, draft.valid_to)
}

fn different_numbers(new: &str, old: &str) -> String {
    let (new, old) = (text::numbers(new), text::numbers(old));
    let only =
        |these: &[String], those: &[String]| these.iter().filter(|n| !those.contains(n)).take(4).cloned().collect::<Vec<_>>().join(", ");
    match (only(&new, &old), only(&old, &new)) {
        (here, there) if here.is_empty() && there.is_empty() => String::new(),
        (here, there) => format!(" ({} here, {} there)", or_none(here), or_none(there)),
    }
}

fn or_none(list: String) -> String {
    if list.is_empty() { "no such number".into() } else { list }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: Option<&str>, question: &str, answer: &str) -> Identified {
        let draft = EntryDraft { id: id.map(str::to_owned), question: question.into(), answer: answer.into(), ..Default::default() };
        Identified::new(draft, "rules.csv")
    }

    fn stored(new: &Identified) -> KnowledgeEntry {
        KnowledgeEntry {
            id: new.id.clone(),
            draft: new.draft.clone(),
            content_hash: new.content_hash.clone(),
            revision: 1,
            created: Timestamp(0),
            updated: Timestamp(0),
        }
    }

    fn known(new: &Identified) -> Known {
        Known { id: new.id.clone(), content_hash: new.content_hash.clone(), question_key: new.question_key.clone(), stale_vectors: false }
    }

    #[test]
    fn identity_is_the_id_or_the_source_with_the_question() {
        assert_eq!(row(Some("a"), "问", "答").id.as_str(), "a");
        assert_eq!(row(None, "怎么开店？", "一").id, row(None, "怎么开店", "二").id);
        assert_ne!(row(None, "", "一").id, row(None, "", "二").id);
    }

    #[test]
    fn every_row_has_one_fate() {
        let mut plan = Planner::new(false, false);
        let first = row(Some("a"), "保证金多少", "60,000 元");
        assert_eq!(plan.decide(2, &first, None, &[]), Fate::Added);
        assert!(matches!(plan.decide(3, &first, None, &[]), Fate::Duplicate(_)));
        assert!(matches!(plan.decide(4, &row(Some("a"), "保证金多少", "别的"), None, &[]), Fate::Failed("duplicate_id", _)));
        assert!(matches!(plan.decide(5, &row(Some("b"), "保证金多少？", "60,000 元。"), None, &[]), Fate::Duplicate(_)));
        assert!(matches!(plan.decide(6, &row(Some("c"), "保证金多少？", "10,000 元"), None, &[]), Fate::Conflicting(_)));
        let mut elsewhere = row(Some("d"), "保证金多少", "SGD 2,000");
        elsewhere.draft.market = Some("SG".into());
        assert_eq!(plan.decide(7, &elsewhere, None, &[]), Fate::Added, "another market is no conflict");
    }

    #[test]
    fn the_base_is_looked_at_too() {
        let old = row(Some("a"), "保证金多少", "60,000 元");
        let mut plan = Planner::new(false, false);
        assert_eq!(plan.decide(2, &old, Some(&known(&old)), &[]), Fate::Unchanged { stale: false });
        let mut plan = Planner::new(false, false);
        assert_eq!(plan.decide(2, &row(Some("a"), "保证金多少", "80,000 元"), Some(&known(&old)), &[stored(&old)]), Fate::Changed);
        let mut plan = Planner::new(false, false);
        let fate = plan.decide(2, &row(Some("b"), "保证金多少", "80,000 元"), None, &[stored(&old)]);
        assert!(matches!(&fate, Fate::Conflicting(message) if message.contains("80000 here, 60000 there")), "{fate:?}");
        assert_eq!(Planner::new(false, true).decide(2, &row(Some("b"), "保证金多少", "8 元"), None, &[stored(&old)]), Fate::Added);
        assert_eq!(Planner::new(true, false).decide(2, &row(Some("b"), "保证金多少", "60,000 元"), None, &[stored(&old)]), Fate::Added);
    }
}
