//! Answers already given: what is saved is the model's call, never the retrieval. An answer is given
//! again only to the same question (letter by letter, or of the same [`meaning`]), in the same shop,
//! market, language, day, under the same prompt and model, and only while a fresh retrieval brings the
//! same rows with the same content: editing a row, or adding one that would now be a source, makes the
//! old answer stale, and it is dropped. Kept in memory: a restart forgets.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest, Sha256};

use self::meaning::Meaning;
use crate::config::CacheConfig;
use crate::ids::{Clock, TenantId, Timestamp};
use crate::knowledge::text;
use crate::telemetry;

pub mod meaning;

/// A fingerprint of texts.
pub type Print = [u8; 32];

/// Everything but the question that has to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The market asked about.
    pub market: Option<String>,
    /// The model's id.
    pub model: String,
    /// The language of the answer.
    pub language: &'static str,
    /// The shop's day: prompts name it, and validity depends on it.
    pub day: String,
    /// The template with its version: who changes it, changes the answers.
    pub template: String,
    /// What the model is told beside the question: instruction, mode of reasoning, demos.
    pub prompt: Print,
}

/// A question that is to be answered.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// As it is typed.
    pub question: String,
    /// Its vector.
    pub vector: Vec<f32>,
    /// Who made it: vectors of two embedders are never compared.
    pub embedder: String,
    /// Under which circumstances.
    pub scope: Scope,
    /// The rows that retrieval has just brought, with their content.
    pub rows: Print,
}

/// An answer that a model gave.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedAnswer {
    /// The text, checked and cited.
    pub text: String,
    /// `chat::Citation`s in it.
    pub citations: Value,
}

struct Kept {
    question: String,
    meaning: Meaning,
    vector: Vec<f32>,
    embedder: String,
    scope: Scope,
    rows: Print,
    answer: CachedAnswer,
    kept: Timestamp,
}

/// The room's door.
pub struct AnswerCache {
    config: CacheConfig,
    clock: Clock,
    /// Per shop, the one longest unused first.
    shelves: Mutex<HashMap<TenantId, VecDeque<Kept>>>,
}

impl AnswerCache {
    /// An empty one.
    pub fn new(config: CacheConfig, clock: Clock) -> Self {
        Self { config, clock, shelves: Mutex::default() }
    }

    /// Whether anything is kept at all.
    pub fn is_on(&self) -> bool {
        self.config.enabled && self.config.entries > 0
    }

    /// The answer that was given to the same question, if it still holds.
    pub fn find(&self, tenant: &TenantId, wanted: &Wanted) -> Option<CachedAnswer> {
        if !self.is_on() {
            return None;
        }
        let (answer, result) = self.look(tenant, wanted);
        metrics::counter!(telemetry::CACHE_LOOKUPS, "tenant" => tenant.to_string(), "result" => result).increment(1);
        answer
    }

    fn look(&self, tenant: &TenantId, wanted: &Wanted) -> (Option<CachedAnswer>, &'static str) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shelf) = shelves.get_mut(tenant) else { return (None, "miss") };
        let oldest = self.clock.now().0 - i64::try_from(self.config.ttl_s).unwrap_or(i64::MAX / 2000) * 1000;
        shelf.retain(|kept| kept.kept.0 > oldest);
        let (question, meaning) = (spelling(&wanted.question), Meaning::of(&wanted.question));
        let exact = |kept: &Kept| kept.scope == wanted.scope && kept.question == question;
        let similar = |kept: &Kept| {
            kept.scope == wanted.scope
                && kept.meaning.same(&meaning)
                && kept.embedder == wanted.embedder
                && cosine(&kept.vector, &wanted.vector) >= self.config.similarity
        };
        let before = shelf.len();
        // This very question brings other rows now: what was said from the old ones is over.
        shelf.retain(|kept| !exact(kept) || kept.rows == wanted.rows);
        let missed = if shelf.len() < before { "stale" } else { "miss" };
        let holds = |kept: &Kept| kept.rows == wanted.rows;
        let found = shelf.iter().position(exact).map(|at| (at, "exact"));
        let found = found.or_else(|| shelf.iter().position(|kept| holds(kept) && similar(kept)).map(|at| (at, "similar")));
        let Some((at, result)) = found else { return (None, missed) };
        let Some(kept) = shelf.remove(at) else { return (None, missed) };
        let answer = kept.answer.clone();
        shelf.push_back(kept);
        (Some(answer), result)
    }

    /// Keeps an answer, instead of an older one to the same question.
    pub fn keep(&self, tenant: &TenantId, wanted: Wanted, answer: CachedAnswer) {
        if !self.is_on() {
            return;
        }
        let Wanted { question, vector, embedder, scope, rows } = wanted;
        let meaning = Meaning::of(&question);
        let kept = Kept { question: spelling(&question), meaning, vector, embedder, scope, rows, answer, kept: self.clock.now() };
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(tenant.clone()).or_default();
        shelf.retain(|old| old.scope != kept.scope || old.question != kept.question);
        shelf.push_back(kept);
        while shelf.len() > self.config.entries {
            shelf.pop_front();
        }
    }
}

/// A fingerprint of texts in order; where one ends counts.
pub fn print<'a>(texts: impl IntoIterator<Item = &'a str>) -> Print {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

/// What spellings of the same question have in common: no more than width, case and the last mark.
fn spelling(question: &str) -> String {
    text::normalise(question).trim_end_matches(['?', '？', '。', '.', '!', ' ']).to_owned()
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let length = (dot(one, one) * dot(other, other)).sqrt();
    if one.len() == other.len() && length > 0.0 { dot(one, other) / length } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cache(clock: &Clock) -> AnswerCache {
        AnswerCache::new(CacheConfig { enabled: true, entries: 3, ttl_s: 60, similarity: 0.9 }, clock.clone())
    }

    fn wanted(question: &str) -> Wanted {
        let scope = Scope {
            market: None,
            model: "m".into(),
            language: "zh",
            day: "2026-11-25".into(),
            template: "t 1".into(),
            prompt: print(["instruction"]),
        };
        Wanted { question: question.into(), vector: vec![1.0, 0.0], embedder: "e".into(), scope, rows: print(["deposit", "hash"]) }
    }

    fn answer(text: &str) -> CachedAnswer {
        CachedAnswer { text: text.into(), citations: Value::Null }
    }

    fn shop(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn the_same_question_is_answered_again_and_another_is_not() {
        let clock = Clock::fixed(Timestamp(1_000));
        let (cache, demo) = (cache(&clock), shop("demo"));
        cache.keep(&demo, wanted("保证金怎么退？"), answer("a"));
        for again in ["保证金怎么退", "保證金怎麼退？", "怎么退保证金"] {
            assert_eq!(cache.find(&demo, &wanted(again)), Some(answer("a")), "{again}");
        }
        let unlike = Wanted { vector: vec![0.0, 1.0], ..wanted("怎么退保证金") };
        assert_eq!(cache.find(&demo, &unlike), None, "the vectors have to agree too");
        let other = Wanted { embedder: "another".into(), ..wanted("怎么退保证金") };
        assert_eq!(cache.find(&demo, &other), None, "another embedder's vector says nothing about it");
        assert_eq!(cache.find(&demo, &wanted("保证金怎么交")), None);
        clock.set(Timestamp(61_001));
        assert_eq!(cache.find(&demo, &wanted("保证金怎么退")), None, "past its time");
    }

    #[test]
    fn other_rows_drop_the_answer_for_good() {
        let (cache, demo) = (cache(&Clock::fixed(Timestamp(0))), shop("demo"));
        cache.keep(&demo, wanted("保证金怎么退"), answer("a"));
        let edited = Wanted { rows: print(["deposit", "another hash"]), ..wanted("保证金怎么退") };
        assert_eq!(cache.find(&demo, &edited), None);
        assert_eq!(cache.find(&demo, &wanted("保证金怎么退")), None, "not even when the row is put back");
    }

    #[test]
    fn the_longest_unused_goes_first_and_every_shop_has_its_own_shelf() {
        let (cache, demo) = (cache(&Clock::fixed(Timestamp(0))), shop("demo"));
        cache.keep(&shop("other"), wanted("问题甲"), answer("other"));
        for question in ["问题甲", "问题乙", "问题丙"] {
            cache.keep(&demo, wanted(question), answer(question));
        }
        assert!(cache.find(&demo, &wanted("问题甲")).is_some());
        cache.keep(&demo, wanted("问题丁"), answer("丁"));
        assert_eq!(cache.find(&demo, &wanted("问题乙")), None);
        assert!(cache.find(&demo, &wanted("问题甲")).is_some());
        assert_eq!(cache.find(&shop("other"), &wanted("问题甲")), Some(answer("other")));
    }

    #[test]
    fn nothing_is_kept_while_it_is_off() {
        let off = AnswerCache::new(CacheConfig { enabled: false, entries: 9, ttl_s: 60, similarity: 0.9 }, Clock::system());
        off.keep(&shop("demo"), wanted("问题甲"), answer("a"));
        assert_eq!(off.find(&shop("demo"), &wanted("问题甲")), None);
    }

    /// What may differ between two questions, and must.
    #[derive(Clone, Debug, PartialEq)]
    struct Case {
        tenant: usize,
        market: usize,
        model: usize,
        day: usize,
        row: usize,
        number: u32,
        polarity: usize,
        name: usize,
    }

    fn case() -> impl Strategy<Value = Case> {
        (0..2usize, 0..3usize, 0..2usize, 0..2usize, 0..3usize, 0..40u32, 0..3usize, 0..4usize).prop_map(
            |(tenant, market, model, day, row, number, polarity, name)| Case { tenant, market, model, day, row, number, polarity, name },
        )
    }

    impl Case {
        fn wanted(&self, polite: bool) -> (TenantId, Wanted) {
            let name = ["美国站", "英国站", "跨境店", "本地店"][self.name];
            let verb = ["能退", "不能退", "没退"][self.polarity];
            let question = format!("{}{name}保证金 {} 天{verb}怎么办", if polite { "请问" } else { "" }, self.number);
            let mut wanted = wanted(&question);
            wanted.scope.market = [None, Some("US".to_owned()), Some("UK".to_owned())][self.market].clone();
            wanted.scope.model = ["m", "n"][self.model].to_owned();
            wanted.scope.day = ["2026-11-25", "2026-11-26"][self.day].to_owned();
            wanted.rows = print([["a", "b", "c"][self.row]]);
            (shop(["demo", "other"][self.tenant]), wanted)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn an_answer_is_given_again_only_where_nothing_that_matters_differs(first in case(), other in case(), field in 0..9usize, polite in any::<bool>()) {
            let second = first.with(field, &other);
            let cache = cache(&Clock::fixed(Timestamp(0)));
            let (tenant, kept) = first.wanted(false);
            cache.keep(&tenant, kept, answer("kept"));
            // Every vector is the same here, so only the guards stand between the questions.
            let (tenant, asked) = second.wanted(polite);
            prop_assert_eq!(cache.find(&tenant, &asked).is_some(), first == second);
            let (tenant, asked) = first.wanted(polite);
            prop_assert_eq!(cache.find(&tenant, &asked).is_some(), first == second || polite || !first.same_but_rows(&second));
        }
    }

    impl Case {
        /// The same with one thing of another; the last is nothing.
        fn with(&self, field: usize, other: &Self) -> Self {
            let mut case = self.clone();
            match field {
                0 => case.tenant = other.tenant,
                1 => case.market = other.market,
                2 => case.model = other.model,
                3 => case.day = other.day,
                4 => case.row = other.row,
                5 => case.number = other.number,
                6 => case.polarity = other.polarity,
                7 => case.name = other.name,
                _ => {}
            }
            case
        }

        fn same_but_rows(&self, other: &Self) -> bool {
            Self { row: 0, ..self.clone() } == Self { row: 0, ..other.clone() }
        }
    }
}
