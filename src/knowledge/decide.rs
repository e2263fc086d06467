//! How sure are we, and may we answer? (pure) Fused scores only rank; they are relative to the best
//! hit. The confidence here is absolute: it asks how much of the question's telling words the entry
//! has, how much of the entry's phrasing the question has, and how close the vectors are.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{Decision, EntryDraft, Hit, text};
use crate::config::SearchConfig;

/// The question's words with how much each tells.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Word → weight (BM25's idf, or 1 where nothing is known).
    pub words: HashMap<String, f32>,
    /// The numbers in the question.
    pub numbers: Vec<String>,
    /// `text::question_key` of the question.
    pub key: String,
    /// The market the question came with.
    pub market: Option<String>,
}

impl Asked {
    /// From the question's text, its tokens and their weights.
    pub fn new(question: &str, tokens: &[String], weights: Option<&[f32]>) -> Self {
        let weight = |i: usize| weights.and_then(|all| all.get(i)).copied().unwrap_or(1.0);
        let words = tokens.iter().enumerate().map(|(i, token)| (token.clone(), weight(i) * word_share(token))).collect();
        Self { words, numbers: text::numbers(question), key: text::question_key(question), market: None }
    }

    fn covered_by(&self, words: &HashSet<String>) -> f32 {
        let total: f32 = self.words.values().sum();
        if total <= 0.0 {
            return 0.0;
        }
        self.words.iter().filter(|(word, _)| words.contains(*word)).map(|(_, weight)| weight).sum::<f32>() / total
    }
}

/// Whether a word asks rather than tells (what, how, please …).
pub fn is_asking(word: &str) -> bool {
    ASKING.contains(&word)
}

/// Words that ask say little about what is asked for.
fn word_share(word: &str) -> f32 {
    if is_asking(word) { 0.2 } else { 1.0 }
}

#[rustfmt::skip]
const ASKING: &[&str] = &[
    "的", "了", "吗", "呢", "吧", "啊", "呀", "是", "我", "你", "我们", "你们", "请问", "请", "问", "怎么", "怎么办", "怎样", "如何", "什么", "哪",
    "哪些", "哪里", "多少", "几", "要", "能", "可以", "能不能", "可不可以", "是不是", "有没有", "会", "会不会", "想", "在", "和", "与", "或", "这", "那",
    "个", "一", "一个", "一下", "就", "都", "也", "还", "还有", "被", "把", "给", "跟", "到", "从", "后", "时", "时候", "么", "啥", "为",
    "为什么", "需要", "应该", "有", "没有", "没", "不", "the", "a", "an", "is", "are", "be", "do", "doe", "did", "i", "my", "me",
    "we", "our", "you", "your", "it", "to", "of", "for", "in", "on", "at", "and", "or", "what", "how", "when",
    "where", "which", "who", "whi", "can", "could", "should", "would", "will", "if", "with", "from", "by", "there",
    "have", "has", "get", "need", "want", "pleas", "tell", "about", "much", "mani", "long",
];

/// What speaks for an entry, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Evidence {
    /// Cosine of the question and the entry's closest passage.
    pub cosine: f32,
    /// Share of the question's telling words that occur anywhere in the entry.
    pub in_entry: f32,
    /// Share of them in the best phrasing.
    pub in_phrasing: f32,
    /// Share of that phrasing's words that the question has.
    pub of_phrasing: f32,
    /// The question is a phrasing of the entry, letter by letter.
    pub exact: bool,
}

/// Gathers what speaks for an entry.
pub fn evidence(asked: &Asked, draft: &EntryDraft, cosine: f32) -> Evidence {
    let mut best = Evidence { cosine: cosine.clamp(0.0, 1.0), ..Default::default() };
    let mut all: HashSet<String> = text::tokens(&draft.answer).into_iter().collect();
    for phrasing in std::iter::once(&draft.question).chain(&draft.similar).filter(|phrasing| !phrasing.is_empty()) {
        let words: HashSet<String> = text::tokens(phrasing).into_iter().collect();
        let (there, back) = (asked.covered_by(&words), share_of(&words, asked));
        if harmonic(there, back) > harmonic(best.in_phrasing, best.of_phrasing) {
            (best.in_phrasing, best.of_phrasing) = (there, back);
        }
        best.exact |= !asked.key.is_empty() && text::question_key(phrasing) == asked.key;
        all.extend(words);
    }
    all.extend(draft.category.iter().chain(&draft.tags).chain(&draft.market).flat_map(|label| text::tokens(label)));
    best.in_entry = asked.covered_by(&all);
    best
}

fn share_of(words: &HashSet<String>, asked: &Asked) -> f32 {
    let total: f32 = words.iter().map(|word| word_share(word)).sum();
    if total <= 0.0 {
        return 0.0;
    }
    words.iter().filter(|word| asked.words.contains_key(*word)).map(|word| word_share(word)).sum::<f32>() / total
}

fn harmonic(a: f32, b: f32) -> f32 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

/// Logistic weights, set by hand; fits on `knowledge/eval` told answerable from unanswerable no better.
const BIAS: f32 = -5.0;
const COSINE: f32 = 5.0;
const IN_ENTRY: f32 = 3.0;
const PHRASING: f32 = 3.0;

/// How much of the question a phrasing must have, and how much of the phrasing the question, for the
/// row to answer by itself.
const SAME_THERE: f32 = 0.8;
const SAME_BACK: f32 = 0.6;

impl Evidence {
    /// Whether question and phrasing ask the same: nearly all telling words of each are in the other.
    pub fn asks_the_same(self) -> bool {
        self.exact || (self.in_phrasing >= SAME_THERE && self.of_phrasing >= SAME_BACK)
    }

    /// One number from 0 to 1 on which thresholds mean the same in every mode.
    pub fn confidence(self) -> f32 {
        if self.exact {
            return 1.0;
        }
        let phrasing = harmonic(self.in_phrasing, self.of_phrasing);
        let z = BIAS + COSINE * self.cosine + IN_ENTRY * self.in_entry + PHRASING * phrasing;
        1.0 / (1.0 + (-z).exp())
    }
}

/// Whether the question is one of the phrasings that must not match this entry.
pub fn ruled_out(asked: &Asked, draft: &EntryDraft) -> bool {
    draft.negative.iter().any(|phrasing| text::question_key(phrasing) == asked.key)
}

/// Decides over hits in rank order and marks which passed.
pub fn decide(asked: &Asked, hits: &mut [Hit], config: &SearchConfig) -> Decision {
    for hit in hits.iter_mut() {
        if ruled_out(asked, &hit.entry.draft) {
            hit.reason = Some("the question is listed under `not` of this row".into());
            hit.score = 0.0;
        } else if hit.score < config.grounded_threshold {
            hit.reason = Some(format!("confidence {:.2} is below {:.2}", hit.score, config.grounded_threshold));
        }
        hit.passed = hit.reason.is_none();
    }
    let Some(first) = hits.iter().find(|hit| hit.passed) else { return Decision::None };
    let rivals = hits.iter().filter(|hit| hit.passed && hit.entry.id != first.entry.id);
    let rival = rivals.map(|hit| hit.score).fold(0.0, f32::max);
    let clear = first.score >= config.direct_threshold && first.score > rival;
    let draft = &first.entry.draft;
    if draft.direct && clear && first.evidence.asks_the_same() && numbers_agree(asked, draft) && market_meant(asked, draft) {
        Decision::Direct
    } else {
        Decision::Grounded
    }
}

/// A row of one market answers directly only a question about that market: one that names it, comes
/// with it, or is a phrasing of the row letter by letter.
fn market_meant(asked: &Asked, draft: &EntryDraft) -> bool {
    let Some(market) = &draft.market else { return true };
    let phrasings = std::iter::once(&draft.question).chain(&draft.similar);
    asked.market.as_ref() == Some(market)
        || asked.words.contains_key(&market.to_lowercase())
        || phrasings.clone().any(|phrasing| text::question_key(phrasing) == asked.key)
        || place_words(&draft.question).any(|word| asked.words.contains_key(&word))
}

/// The words of a question that name a place of business, such as 德国站 or Singapore.
fn place_words(question: &str) -> impl Iterator<Item = String> {
    text::tokens(question).into_iter().filter(|word| PLACES.contains(&word.as_str()))
}

#[rustfmt::skip]
const PLACES: &[&str] = &[
    "中国", "中国站", "国内", "大陆", "新加坡", "马来西亚", "马来", "美国", "英国", "德国", "日本", "欧洲", "欧盟", "法国", "韩国", "泰国", "越南", "澳洲", "加拿大",
    "cn", "sg", "my", "us", "uk", "de", "jp", "eu", "china", "singapor", "malaysia", "america", "american", "usa", "britain", "british", "german", "germani",
    "japan", "japanes", "europ", "franc", "korea", "thailand", "vietnam", "australia", "canada",
];

/// A question about 7 days is not answered directly with the row about 15 days because they look
/// alike: every number asked about must occur in the row.
fn numbers_agree(asked: &Asked, draft: &EntryDraft) -> bool {
    let mut known: HashSet<String> = text::numbers(&draft.answer).into_iter().collect();
    known.extend(std::iter::once(&draft.question).chain(&draft.similar).flat_map(|phrasing| text::numbers(phrasing)));
    asked.numbers.iter().all(|number| known.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{EntryId, Timestamp};
    use crate::knowledge::KnowledgeEntry;

    fn asked(question: &str) -> Asked {
        Asked::new(question, &text::tokens(question), None)
    }

    fn draft(question: &str, answer: &str) -> EntryDraft {
        EntryDraft { question: question.into(), answer: answer.into(), direct: true, ..Default::default() }
    }

    fn hit(draft: EntryDraft, score: f32) -> Hit {
        let evidence = Evidence { in_phrasing: 1.0, of_phrasing: 1.0, ..Default::default() };
        let entry = KnowledgeEntry {
            id: EntryId::from_text("e"),
            draft,
            content_hash: String::new(),
            revision: 1,
            created: Timestamp(0),
            updated: Timestamp(0),
        };
        Hit { entry, passage: String::new(), score, fused: score, lexical: None, semantic: None, evidence, passed: false, reason: None }
    }

    fn config() -> SearchConfig {
        SearchConfig { lexical_weight: 0.5, candidates: 100, direct_threshold: 0.86, grounded_threshold: 0.5, sources: 5 }
    }

    #[test]
    fn more_evidence_is_more_confidence() {
        let row = draft("跨境店保证金是多少？", "跨境店保证金为 60,000 元。");
        let close = evidence(&asked("跨境店的保证金要多少"), &row, 0.9).confidence();
        let far = evidence(&asked("怎么修打印机"), &row, 0.1).confidence();
        assert!(close > 0.8 && far < 0.2, "{close} {far}");
        assert!(evidence(&asked("跨境店保证金是多少"), &row, 0.0).exact);
    }

    #[test]
    fn another_number_is_never_a_direct_answer() {
        let row = draft("15天内可以退货吗", "支持 15 天无理由退货。");
        let mut hits = [hit(row.clone(), 0.95)];
        assert_eq!(decide(&asked("7天内可以退货吗"), &mut hits, &config()), Decision::Grounded);
        let mut hits = [hit(row, 0.95)];
        assert_eq!(decide(&asked("15天可以退货吗"), &mut hits, &config()), Decision::Direct);
    }

    #[test]
    fn a_phrasing_under_not_keeps_the_row_out() {
        let mut row = draft("怎么开店", "…");
        row.negative = vec!["怎么关店？".into()];
        let mut hits = [hit(row, 0.95)];
        assert_eq!(decide(&asked("怎么关店"), &mut hits, &config()), Decision::None);
        assert!(!hits[0].passed);
    }
}
