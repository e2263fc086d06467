//! What two answers to nearly the same question may differ in so that one of them is wrong: numbers with
//! their units (in digits or characters), dates, currencies, and yes or no. Pure; compared by value, told
//! as written.

use serde_json::{Value, json};

use super::fingerprint;
use crate::knowledge::{guards, text};

mod reader;

/// Facts of one kind and side that a message names.
const NAMED: usize = 5;
/// The longest answer of which every fact is looked for; sections of documents have too many to compare.
const CHARS: usize = 4_000;
/// Characters of a clause that a message shows.
const CLAUSE: usize = 20;

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A number, with its unit when it has one.
    Number,
    /// A day or month, or a time of day.
    Date,
    /// What an amount is counted in.
    Currency,
    /// Whether a question that asks for yes or no gets the one or the other.
    Negation,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Number, Self::Date, Self::Currency, Self::Negation];

    /// As a message says it.
    pub fn in_words(self) -> &'static str {
        if self == Self::Negation { "yes or no" } else { self.name() }
    }

    /// Its name in `details`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Date => "date",
            Self::Currency => "currency",
            Self::Negation => "negation",
        }
    }
}

/// One fact of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    kind: Kind,
    /// The same for all spellings.
    value: String,
    /// As it stands there.
    text: String,
}

/// The facts of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<Fact>);

/// The same in a few bytes each, for the rows of a whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief(Box<[(Kind, u32)]>);

impl Facts {
    /// What an answer to a question says.
    pub fn of(question: &str, answer: &str) -> Self {
        if answer.chars().nth(CHARS).is_some() {
            return Self::default();
        }
        let normal = text::normalise(answer);
        let mut facts = reader::read(&normal);
        if asks_yes_or_no(question) {
            facts.extend(yes_or_no(&normal));
        }
        // As it stands there, capitals included.
        let small = answer.to_ascii_lowercase();
        for fact in &mut facts {
            let written = small.find(&fact.text).and_then(|at| answer.get(at..at + fact.text.len()));
            if let Some(written) = written {
                fact.text = written.to_owned();
            }
        }
        Self(facts)
    }

    /// For keeping.
    pub fn brief(&self) -> Brief {
        let few = |fact: &Fact| (fact.kind, u32::try_from(fingerprint(&fact.value) & 0xffff_ffff).unwrap_or_default());
        let mut brief: Vec<_> = self.0.iter().map(few).collect();
        brief.sort_unstable();
        brief.dedup();
        Brief(brief.into())
    }

    /// What differs from another answer, as written: each side's own.
    pub fn differing(&self, other: &Self) -> Differing {
        let own = |these: &Self, those: &Self| {
            let mut own: Vec<(Kind, String)> = Vec::new();
            for fact in &these.0 {
                let there = those.0.iter().any(|that| that.kind == fact.kind && that.value == fact.value);
                let named = (fact.kind, fact.text.clone());
                if !there && !own.contains(&named) {
                    own.push(named);
                }
            }
            own
        };
        Differing { here: own(self, other), there: own(other, self) }
    }
}

impl Brief {
    /// Whether there is nothing that another could contradict.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kinds in which either side says what the other does not: one of them is wrong. What only one of
    /// them mentions contradicts nothing.
    pub fn contradict(&self, other: &Self) -> Vec<Kind> {
        let own = |these: &Self, those: &Self, kind: Kind| these.0.iter().any(|fact| fact.0 == kind && !those.0.contains(fact));
        Kind::ALL.into_iter().filter(|kind| own(self, other, *kind) && own(other, self, *kind)).collect()
    }
}

/// What only either of two answers says.
#[derive(Clone, Debug, Default)]
pub struct Differing {
    here: Vec<(Kind, String)>,
    there: Vec<(Kind, String)>,
}

impl Differing {
    /// For the end of a sentence: `` (here 3,000 元; there 1,000 元)``.
    pub fn in_words(&self) -> String {
        let [here, there] = [&self.here, &self.there].map(|side| told(side).join(", "));
        match (here.is_empty(), there.is_empty()) {
            (true, true) => String::new(),
            (false, true) => format!(" (only here: {here})"),
            (true, false) => format!(" (only there: {there})"),
            (false, false) => format!(" (here {here}; there {there})"),
        }
    }

    /// For programs: `here`, `there`, and in what they `differ`.
    pub fn put_into(&self, details: &mut Value) {
        let mut kinds: Vec<Kind> = self.here.iter().chain(&self.there).map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        (details["here"], details["there"]) = (json!(told(&self.here)), json!(told(&self.there)));
        details["differ"] = json!(kinds.into_iter().map(Kind::name).collect::<Vec<_>>());
    }
}

/// The first of each kind, without saying `30 元` twice because number and currency both differ.
fn told(side: &[(Kind, String)]) -> Vec<&str> {
    let mut told: Vec<&str> = Vec::new();
    for kind in Kind::ALL {
        for (_, text) in side.iter().filter(|(of, _)| *of == kind).take(NAMED) {
            if !told.contains(&text.as_str()) {
                told.push(text);
            }
        }
    }
    told
}

/// Chinese by its particles, English by its first word.
fn asks_yes_or_no(question: &str) -> bool {
    const ASKS: &[&str] = &["吗", "能不能", "可不可以", "是不是", "会不会", "要不要", "需不需要", "有没有", "是否", "能否", "可否"];
    const OPENS: &[&str] = &["do", "does", "did", "is", "are", "can", "could", "may", "will", "would", "should", "must", "has", "have"];
    let question = text::normalise(question);
    let opening = question.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty());
    ASKS.iter().any(|asks| question.contains(asks)) || opening.is_some_and(|word| OPENS.contains(&word))
}

/// By the first clause: what follows explains. One that makes a condition says neither.
fn yes_or_no(answer: &str) -> Option<Fact> {
    let first = answer.split(['。', ',', '!', '?', ';']).next()?.split(". ").next()?;
    let conditional = ["如", "若", "只要", "除非", "if ", "when ", "unless "].iter().any(|opens| first.starts_with(opens));
    let value = if guards::turns(first) % 2 == 1 { "no" } else { "yes" };
    let fact = || Fact { kind: Kind::Negation, value: value.to_owned(), text: first.chars().take(CLAUSE).collect() };
    (!conditional).then(fact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contradiction_needs_both_sides() {
        let kinds = |question: &str, a: &str, b: &str| {
            let brief = |answer: &str| Facts::of(question, answer).brief();
            brief(a).contradict(&brief(b)).into_iter().map(Kind::name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(kinds("多久退款", "七天内退款。", "15 天内退款。"), "number");
        assert_eq!(kinds("多久退款", "七天内退款。", "7 天内原路退款。"), "");
        assert_eq!(kinds("多久退款", "七天内退款。", "尽快退款。"), "", "what only one of them says contradicts nothing");
        assert_eq!(kinds("多少钱", "30 元。", "30 美元。"), "currency");
        assert_eq!(kinds("几时开始", "2026-12-01 开始", "12月2日开始"), "date");
        assert_eq!(kinds("可以退货吗", "可以，请先申请。", "不可以，请先申请。"), "negation");
        assert_eq!(kinds("怎么退货", "请先申请。", "没有收到货时先申请。"), "", "nobody asked for yes or no");
        assert_eq!(kinds("可以退货吗", "不可以，没有例外。", "没有收到货的可以。"), "");
        assert_eq!(kinds("可以退货吗", "如果没有拆封，可以。", "可以。"), "");
        assert_eq!(kinds("Can I return it?", "Yes, you can.", "No."), "negation");
    }

    #[test]
    fn what_differs_is_told_as_written() {
        let between = |a: &str, b: &str| Facts::of("", a).differing(&Facts::of("", b));
        assert_eq!(between("七天，30 元", "十五天，30 美元").in_words(), " (here 七天, 30 元; there 十五天, 30 美元)");
        assert_eq!(between("七天", "7 天内").in_words(), "");
        assert_eq!(between("It is CNY 0.6 a parcel.", "It is USD 12.").in_words(), " (here CNY 0.6; there USD 12)");
        assert_eq!(between("七天", "尽快").in_words(), " (only here: 七天)");
        let mut details = json!({});
        between("七天，30 元", "十五天，30 美元").put_into(&mut details);
        assert_eq!(details, json!({"here": ["七天", "30 元"], "there": ["十五天", "30 美元"], "differ": ["number", "currency"]}));
    }
}
