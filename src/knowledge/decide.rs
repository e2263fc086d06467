//! How sure are we, and may we answer? (pure) Fused scores only rank; they are relative to the best
//! hit. The confidence here is absolute: how close the vectors are, how much of the question's telling
//! words the entry has, and how close the question comes to what the base is said not to answer.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;

use serde::Serialize;

use super::gist::{self, AsItIs, Gist, Word};
use super::guards::{self, Amounts};
use super::index::market_key;
use super::{Decision, EntryDraft, Hit, Query, places, text};
use crate::config::SearchConfig;

/// The question as the decision sees it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Word → weight (BM25's idf, or 1 where nothing is known; words that only ask weigh little).
    words: HashMap<Word, f32, BuildHasherDefault<AsItIs>>,
    /// The numbers in the question.
    numbers: Vec<String>,
    /// How many words turn the question round.
    turns: usize,
    /// The amounts in it.
    amounts: Amounts,
    /// `text::question_key` of the question, hashed.
    key: Word,
    /// The market the question came with.
    market: Option<String>,
    /// Countries the question names.
    places: BTreeSet<&'static str>,
}

impl Asked {
    /// From the question, its tokens and their weights.
    pub fn new(query: &Query, tokens: &[String], weights: Option<&[f32]>) -> Self {
        let question = &query.text;
        let weight = |i: usize| weights.and_then(|all| all.get(i)).copied().unwrap_or(1.0);
        let words = tokens.iter().enumerate().map(|(i, token)| (gist::word(token), weight(i) * word_share(is_asking(token)))).collect();
        Self {
            words,
            numbers: text::numbers(question),
            turns: guards::turns(question),
            amounts: guards::amounts(question),
            key: gist::word(&text::question_key(question)),
            market: query.market.clone(),
            places: places::named(question),
        }
    }

    /// The weight of the question's words, and of those that `has` says yes to.
    fn covered(&self, has: impl Fn(&Word) -> bool) -> f32 {
        let total: f32 = self.words.values().sum();
        if total <= 0.0 {
            return 0.0;
        }
        self.words.iter().filter(|(word, _)| has(word)).map(|(_, weight)| weight).sum::<f32>() / total
    }

    /// How much of the question a phrasing has, and how much of the phrasing the question.
    fn overlap(&self, phrasing: &[(Word, bool)]) -> (f32, f32) {
        let share = |of: &mut dyn Iterator<Item = &(Word, bool)>| of.map(|(_, asks)| word_share(*asks)).sum::<f32>();
        let total = share(&mut phrasing.iter());
        if total <= 0.0 {
            return (0.0, 0.0);
        }
        let there = self.covered(|word| phrasing.iter().any(|(other, _)| other == word));
        (there, share(&mut phrasing.iter().filter(|(word, _)| self.words.contains_key(word))) / total)
    }
}

/// Whether a word asks rather than tells (what, how, please …).
pub fn is_asking(word: &str) -> bool {
    ASKING.contains(&word)
}

/// Words that ask say little about what is asked for.
fn word_share(asks: bool) -> f32 {
    if asks { 0.2 } else { 1.0 }
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
    /// Mean cosine of its three closest passages.
    pub support: f32,
    /// Share of the question's telling words that occur anywhere in the entry.
    pub in_entry: f32,
    /// Share of them in the best phrasing.
    pub in_phrasing: f32,
    /// Share of that phrasing's words that the question has.
    pub of_phrasing: f32,
    /// The question is a phrasing of the entry, letter by letter.
    pub exact: bool,
    /// Every phrasing that asks the same says `not` where the question does not, or the other way round.
    pub turned: bool,
    /// The question names an amount where the best phrasing names another, and the entry has none of the
    /// question's (8 % where the row is about 5 %).
    pub other_amount: bool,
}

/// What speaks against any answer from this base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Doubt {
    /// Cosine of the question and the nearest phrasing that some row is said not to answer.
    pub against: f32,
    /// Mean cosine of the three nearest ones.
    pub against_mean: f32,
    /// Overlap in words with the closest of them (harmonic mean of both shares).
    pub against_words: f32,
    /// The question names a country that the base has no market in.
    pub elsewhere: bool,
}

impl Doubt {
    /// From the nearest phrasings that rows are said not to answer, nearest first: cosine and text.
    pub fn new(asked: &Asked, nearest: &[(f32, String)], markets: &BTreeSet<&'static str>) -> Self {
        let three: Vec<f32> = nearest.iter().take(3).map(|(cosine, _)| *cosine).collect();
        let words = nearest.iter().map(|(_, text)| {
            let (there, back) = asked.overlap(&gist::distinct(&text::tokens(text)));
            harmonic(there, back)
        });
        Self {
            against: three.first().copied().unwrap_or_default(),
            against_mean: if three.is_empty() { 0.0 } else { three.iter().sum::<f32>() / three.len() as f32 },
            against_words: words.fold(0.0, f32::max),
            elsewhere: !asked.places.is_empty() && !markets.is_empty() && asked.places.is_disjoint(markets),
        }
    }
}

/// Gathers what speaks for an entry.
pub fn evidence(asked: &Asked, gist: &Gist, cosine: f32, support: f32) -> Evidence {
    let overlaps: Vec<_> = gist.phrasings.iter().map(|phrasing| (asked.overlap(&phrasing.words), phrasing)).collect();
    let closest = overlaps.iter().max_by(|a, b| harmonic(a.0.0, a.0.1).total_cmp(&harmonic(b.0.0, b.0.1)));
    let best = closest.map(|(overlap, _)| *overlap).unwrap_or_default();
    let same = || overlaps.iter().filter(|((there, back), _)| asks_the_same(*there, *back));
    Evidence {
        turned: same().next().is_some() && same().all(|(_, phrasing)| phrasing.turns != asked.turns),
        other_amount: closest.is_some_and(|(_, phrasing)| guards::other_amount(&asked.amounts, &phrasing.amounts, &gist.amounts)),
        cosine: cosine.clamp(0.0, 1.0),
        support: support.clamp(0.0, 1.0),
        in_entry: asked.covered(|word| gist.words.contains(word)),
        in_phrasing: best.0,
        of_phrasing: best.1,
        exact: gist.keys.contains(&asked.key),
    }
}

fn harmonic(a: f32, b: f32) -> f32 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

/// Logistic weights of two judgements; the less sure one counts. Both are fitted on the even lines of
/// `knowledge/eval` (see its README), the first also on questions about other things altogether, and
/// the odd lines are reported. `TOPIC`: is the row about this at all? Its bias is moved so that both
/// mean the same at `grounded_threshold`.
const TOPIC: Weights = Weights { bias: -5.4, cosine: 4.2, support: 5.4, in_entry: 2.0, phrasing: 1.4 };
/// Is it the row, rather than a neighbour that looks like it? What speaks against comes off.
const NEIGHBOUR: Weights = Weights { bias: -3.5, cosine: 8.8, support: 6.5, in_entry: 1.9, phrasing: 0.6 };
const AGAINST: f32 = -1.0;
const AGAINST_MEAN: f32 = -5.7;
const AGAINST_WORDS: f32 = -9.1;
const ELSEWHERE: f32 = -3.3;
/// Phrasings that some row does not answer count no more than this against a row whose own evidence is
/// strong: they are other rows' words.
const AGAINST_STRONG: f32 = -3.0;
/// From this cosine on, the evidence is strong even where the words are others.
const STRONG: f32 = 0.85;
/// Another amount in what otherwise looks the same. In a story the amounts are circumstances, so the
/// phrasing must have about half of the question's words and the question half of the phrasing's.
const OTHER_AMOUNT: f32 = -5.0;
const LOOKS_THE_SAME: f32 = 0.5;

struct Weights {
    bias: f32,
    cosine: f32,
    support: f32,
    in_entry: f32,
    phrasing: f32,
}

impl Weights {
    fn of(&self, evidence: Evidence) -> f32 {
        self.bias
            + self.cosine * evidence.cosine
            + self.support * evidence.support
            + self.in_entry * evidence.in_entry
            + self.phrasing * evidence.alike()
    }
}

/// How much of the question a phrasing must have, and how much of the phrasing the question, for the
/// row to answer by itself.
const SAME_THERE: f32 = 0.8;
const SAME_BACK: f32 = 0.6;

fn asks_the_same(there: f32, back: f32) -> bool {
    there >= SAME_THERE && back >= SAME_BACK
}

impl Evidence {
    /// Whether question and phrasing ask the same: nearly all telling words of each are in the other.
    pub fn asks_the_same(self) -> bool {
        self.exact || asks_the_same(self.in_phrasing, self.of_phrasing)
    }

    /// Words in common with the best phrasing, seen from both sides.
    fn alike(self) -> f32 {
        harmonic(self.in_phrasing, self.of_phrasing)
    }

    /// How likely the row is about the same thing at all, whether or not it answers.
    pub fn about(self) -> f32 {
        1.0 / (1.0 + (-TOPIC.of(self)).exp())
    }

    /// One number from 0 to 1 on which thresholds mean the same in every mode.
    pub fn confidence(self, doubt: Doubt) -> f32 {
        if self.exact {
            return 1.0;
        }
        let against = AGAINST * doubt.against + AGAINST_MEAN * doubt.against_mean + AGAINST_WORDS * doubt.against_words;
        let strong = self.asks_the_same() || self.cosine >= STRONG;
        let against = if strong { against.max(AGAINST_STRONG) } else { against };
        let elsewhere = if doubt.elsewhere { ELSEWHERE } else { 0.0 };
        let other_amount = if self.other_amount && self.alike() >= LOOKS_THE_SAME { OTHER_AMOUNT } else { 0.0 };
        let z = TOPIC.of(self).min(NEIGHBOUR.of(self) + against + elsewhere) + other_amount;
        1.0 / (1.0 + (-z).exp())
    }
}

/// Decides over hits in rank order and marks which passed.
pub fn decide(asked: &Asked, hits: &mut [Hit], config: &SearchConfig) -> Decision {
    for hit in hits.iter_mut() {
        if hit.gist.not_keys.contains(&asked.key) {
            hit.reason = Some("the question is listed under `not` of this row".into());
            hit.score = 0.0;
        } else if hit.score < config.grounded_threshold {
            hit.reason = Some(format!("confidence {:.2} is below {:.2}", hit.score, config.grounded_threshold));
        }
        hit.passed = hit.reason.is_none();
    }
    let Some(at) = hits.iter().position(|hit| hit.passed) else { return Decision::None };
    let refused = not_directly(asked, hits, at, config);
    let first = &mut hits[at];
    if first.entry.draft.direct && refused.is_none() {
        return Decision::Direct;
    }
    first.direct_refused = refused.filter(|_| first.entry.draft.direct).map(str::to_owned);
    Decision::Grounded
}

/// Why the first row that passed must not answer by itself; what looks alike is told apart here.
fn not_directly(asked: &Asked, hits: &[Hit], at: usize, config: &SearchConfig) -> Option<&'static str> {
    let first = &hits[at];
    let rivals = hits.iter().filter(|hit| hit.passed && hit.entry.id != first.entry.id);
    let rival = rivals.map(|hit| hit.score).fold(0.0, f32::max);
    let gist = &first.gist;
    let there = |number: &String| gist.numbers.contains(number) || gist.amounts.values().any(|values| values.contains(number));
    let numbers_agree = asked.numbers.iter().all(there);
    let evidence = first.evidence;
    let reasons = [
        (first.score < config.direct_threshold, "its confidence is below `direct_threshold`"),
        (first.score <= rival, "another row is as sure"),
        (!evidence.asks_the_same(), "question and phrasing do not have nearly all their words in common"),
        (evidence.turned && !evidence.exact, "one of question and phrasing says `not` where the other does not"),
        (!numbers_agree || evidence.other_amount && !evidence.exact, "the question names a number or date that the row does not have"),
        (!market_meant(asked, &first.entry.draft, evidence), "the row is for one market, and the question is not about that one"),
    ];
    reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
}

/// A row of one market answers directly only a question about that market: one that names it, comes
/// with it, or is a phrasing of the row letter by letter.
fn market_meant(asked: &Asked, draft: &EntryDraft, evidence: Evidence) -> bool {
    let Some(market) = &draft.market else { return true };
    evidence.exact || asked.market.as_deref().map(market_key) == Some(market_key(market)) || places::is_for(market, &asked.places)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::{EntryId, Timestamp};
    use crate::knowledge::KnowledgeEntry;

    fn asked(question: &str) -> Asked {
        Asked::new(&Query { text: question.into(), ..Default::default() }, &text::tokens(question), None)
    }

    fn draft(question: &str, answer: &str) -> EntryDraft {
        EntryDraft { question: question.into(), answer: answer.into(), direct: true, ..Default::default() }
    }

    pub(crate) fn hit(draft: EntryDraft, score: f32) -> Hit {
        let evidence = Evidence { in_phrasing: 1.0, of_phrasing: 1.0, ..Default::default() };
        let gist = Arc::new(Gist::of(&draft));
        let entry = KnowledgeEntry {
            id: EntryId::from_text("e"),
            draft,
            content_hash: String::new(),
            revision: 1,
            created: Timestamp(0),
            updated: Timestamp(0),
        };
        Hit {
            entry,
            passage: String::new(),
            score,
            fused: score,
            lexical: None,
            semantic: None,
            rerank: None,
            evidence,
            gist,
            folded: Vec::new(),
            passed: false,
            reason: None,
            matched: Vec::new(),
            direct_refused: None,
        }
    }

    fn config() -> SearchConfig {
        SearchConfig {
            fusion: crate::config::Fusion::Weighted,
            lexical_weight: 0.5,
            lexical_weight_bare: 0.5,
            candidates: 100,
            direct_threshold: 0.86,
            grounded_threshold: 0.5,
            sources: 5,
        }
    }

    #[test]
    fn more_evidence_is_more_confidence() {
        let row = draft("跨境店保证金是多少？", "跨境店保证金为 60,000 元。");
        let row = Gist::of(&row);
        let close = evidence(&asked("跨境店的保证金要多少"), &row, 0.9, 0.8);
        let far = evidence(&asked("怎么修打印机"), &row, 0.1, 0.1);
        let none = Doubt::default();
        assert!(close.confidence(none) > 0.8 && far.confidence(none) < 0.3, "{close:?} {far:?}");
        assert!(evidence(&asked("跨境店保证金是多少"), &row, 0.0, 0.0).exact);
        let doubt = Doubt { against: 0.9, against_mean: 0.8, against_words: 0.9, elsewhere: false };
        let near = evidence(&asked("保证金能退吗"), &row, 0.6, 0.5);
        assert!(near.confidence(doubt) < near.confidence(none), "{near:?}");
    }

    #[test]
    fn a_country_without_a_market_is_a_doubt() {
        let (asked, markets) = (asked("韩国站的保证金是多少"), BTreeSet::from(["CN", "JP"]));
        assert!(Doubt::new(&asked, &[], &markets).elsewhere);
        assert!(!Doubt::new(&asked, &[], &BTreeSet::new()).elsewhere, "a base without markets says nothing about countries");
        assert!(!Doubt::new(&asked, &[], &BTreeSet::from(["KR"])).elsewhere);
    }

    #[test]
    fn another_number_is_never_a_direct_answer() {
        let row = draft("15天内可以退货吗", "支持 15 天无理由退货。");
        let mut hits = [hit(row.clone(), 0.95)];
        assert_eq!(decide(&asked("7天内可以退货吗"), &mut hits, &config()), Decision::Grounded);
        let mut hits = [hit(row, 0.95)];
        assert_eq!(decide(&asked("15天可以退货吗"), &mut hits, &config()), Decision::Direct);
    }

    /// The decision on a question with the evidence that the row itself gives, and why not directly.
    fn decided(question: &str, row: &EntryDraft) -> (Decision, Option<String>) {
        let asked = asked(question);
        let mut hit = hit(row.clone(), 0.95);
        hit.evidence = evidence(&asked, &hit.gist, 0.95, 0.9);
        let mut hits = [hit];
        let decision = decide(&asked, &mut hits, &config());
        (decision, hits[0].direct_refused.clone())
    }

    #[test]
    fn the_opposite_is_never_a_direct_answer() {
        let mut deposit = draft("跨境店不用交保证金吗", "要交 60,000 元。");
        for (question, row) in [
            ("佣金不超过5%怎么办", draft("佣金超过5%怎么办", "…")),
            ("不可以贴牌吗", draft("可以贴牌吗", "…")),
            ("跨境店要交保证金吗", deposit.clone()),
        ] {
            let (decision, refused) = decided(question, &row);
            assert_eq!(decision, Decision::Grounded, "{question}");
            assert!(refused.is_some(), "{question}");
        }
        assert_eq!(decided("跨境店不用交保证金吗？", &deposit).0, Decision::Direct);
        deposit.similar = vec!["跨境店要不要交保证金".into()];
        assert_eq!(decided("跨境店要交保证金吗", &deposit).0, Decision::Direct, "a phrasing that says the same is there");
    }

    #[test]
    fn another_amount_needs_other_evidence() {
        for (question, phrasing) in [
            ("佣金超过8%怎么办", "佣金超过5%怎么办"),
            ("12月12日的活动怎么报名", "11月11日的活动怎么报名"),
            ("签收十五天还能退货吗", "签收七天还能退货吗"),
        ] {
            let (asked, row) = (asked(question), draft(phrasing, "…"));
            assert_eq!(decided(question, &row).0, Decision::Grounded, "{question}");
            let there = evidence(&asked, &Gist::of(&row), 0.8, 0.8);
            let without = Evidence { other_amount: false, ..there };
            assert!(there.other_amount && there.confidence(Doubt::default()) < without.confidence(Doubt::default()), "{there:?}");
            assert!(there.confidence(Doubt::default()) < 0.9, "{there:?}");
        }
    }

    #[test]
    fn what_one_row_does_not_answer_another_may() {
        let row = draft("店铺名称怎么修改", "…");
        let there = evidence(&asked("怎么修改店铺名称"), &Gist::of(&row), 0.9, 0.8);
        let doubt = Doubt { against: 1.0, against_mean: 0.8, against_words: 1.0, elsewhere: false };
        assert!(there.confidence(doubt) > 0.5, "{}", there.confidence(doubt));
        let weak = evidence(&asked("怎么注销店铺名称"), &Gist::of(&draft("店铺装修", "…")), 0.6, 0.5);
        assert!(weak.confidence(doubt) < 0.1);
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
