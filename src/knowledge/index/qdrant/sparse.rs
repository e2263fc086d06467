//! Texts as sparse vectors (pure): a dimension per word of `text::tokens` and per gram of `text::grams`,
//! numbered by a hash, with what BM25 makes of how often it stands there. The rest of BM25, how much a word
//! tells, is the server's IDF modifier. The lengths that BM25 compares with are constants, so that a row's
//! vector follows from the row alone.

use std::collections::{BTreeMap, HashSet};

use crate::knowledge::text::damped;

/// BM25's constants, as tantivy has them.
const K1: f32 = 1.2;
const B: f32 = 0.75;
/// What a word in the question's phrasing counts, against one in the answer; as in the index of this process.
const TITLE_BOOST: f32 = 1.0;
const BODY_BOOST: f32 = 0.7;
/// What a gram counts, against a word.
const GRAM_BOOST: f32 = 0.5;
/// How many words all phrasings of a question, and a piece of an answer, usually have.
const TITLE_WORDS: f32 = 120.0;
const BODY_WORDS: f32 = 60.0;
/// The longest question that is searched with, in distinct words and as many grams.
const MOST_WORDS: usize = 128;

/// A sparse vector: dimensions, each once and rising, with their values.
pub type Sparse = Vec<(u32, f32)>;

/// A field in words and in grams.
#[derive(Debug, Default)]
pub struct Field {
    /// Its words, repeats kept.
    pub words: Vec<String>,
    /// Its grams, repeats kept.
    pub grams: Vec<String>,
}

impl Field {
    /// With repeats counting less and less.
    pub fn damped(self) -> Self {
        Self { words: damped(self.words), grams: damped(self.grams) }
    }
}

/// A piece of an answer with all phrasings of its question.
pub fn document(title: &Field, body: &Field) -> Sparse {
    let mut values = BTreeMap::new();
    for (field, usual, boost) in [(title, TITLE_WORDS, TITLE_BOOST), (body, BODY_WORDS, BODY_BOOST)] {
        saturate(&field.words, word, usual, boost, &mut values);
        // A text has about as many grams as words in Chinese, and more in English.
        saturate(&field.grams, gram, usual * 1.5, boost, &mut values);
    }
    values.into_iter().collect()
}

/// A question: each distinct word once, grams for less.
pub fn question(words: &[String], grams: &[String]) -> Sparse {
    let mut values = BTreeMap::new();
    let mut add = |texts: &[String], number: fn(&str) -> u32, value: f32| {
        let mut seen = HashSet::new();
        let distinct = texts.iter().filter(|text| seen.insert(text.as_str())).take(MOST_WORDS);
        distinct.for_each(|text| *values.entry(number(text)).or_default() += value);
    };
    add(words, word, 1.0);
    add(grams, gram, GRAM_BOOST);
    values.into_iter().collect()
}

/// The dimension of a word.
pub fn word(text: &str) -> u32 {
    hashed(b'w', text)
}

fn gram(text: &str) -> u32 {
    hashed(b'g', text)
}

/// BM25's term frequency part: grows with the count, ever less, and counts less in a long text.
fn saturate(texts: &[String], number: fn(&str) -> u32, usual: f32, boost: f32, into: &mut BTreeMap<u32, f32>) {
    let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
    texts.iter().for_each(|text| *counts.entry(number(text)).or_default() += 1.0);
    let length = K1 * (1.0 - B + B * texts.len() as f32 / usual);
    for (dimension, count) in counts {
        *into.entry(dimension).or_default() += boost * count * (K1 + 1.0) / (count + length);
    }
}

/// FNV-1a folded to 32 bits: the same on every machine and in every version, which a stored number must be.
fn hashed(kind: u8, text: &str) -> u32 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = std::iter::once(kind).chain(text.bytes()).fold(0xcbf2_9ce4_8422_2325, step);
    // Both halves; what is cut off is in the fold.
    ((hash >> 32) ^ hash) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn value(of: &Sparse, dimension: u32) -> f32 {
        of.iter().find(|(at, _)| *at == dimension).map_or(0.0, |(_, value)| *value)
    }

    #[test]
    fn numbers_never_change() {
        assert_eq!([word("保证金"), word("deposit"), gram("保证")], [1294689774, 3856289997, 3950887885]);
        assert_ne!(word("保证"), gram("保证"), "a gram is not the word it looks like");
    }

    #[test]
    fn a_word_of_the_question_counts_more_and_repeats_count_less() {
        let field = |text: &str| Field { words: words(text), grams: Vec::new() };
        let title = document(&field("deposit"), &Field::default());
        let body = document(&Field::default(), &field("deposit"));
        assert!(value(&title, word("deposit")) > value(&body, word("deposit")));
        let twice = document(&field("deposit deposit"), &Field::default());
        let (one, two) = (value(&title, word("deposit")), value(&twice, word("deposit")));
        assert!(one < two && two < 2.0 * one);
        let long = document(&field(&format!("deposit {}", "x ".repeat(500))), &Field::default());
        assert!(value(&long, word("deposit")) < one);
    }

    proptest! {
        #[test]
        fn dimensions_rise_and_values_are_positive(texts in proptest::collection::vec("[a-c]{1,2}", 0..300)) {
            let field = Field { words: texts.clone(), grams: texts.clone() };
            for vector in [document(&field, &field), question(&texts, &texts)] {
                prop_assert!(vector.windows(2).all(|pair| pair[0].0 < pair[1].0));
                prop_assert!(vector.iter().all(|(_, value)| value.is_finite() && *value > 0.0));
            }
        }
    }
}
