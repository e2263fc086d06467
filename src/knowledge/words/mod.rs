//! A shop's own words in the text pipeline: a dictionary of words that are kept whole, and groups of
//! words that mean the same. Both indexes and questions go through [`Terms`], so that every word of a
//! group is the same word on both sides; a shop without words of its own has plain `text::tokens`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::text;
use crate::error::{Error, Result};
use crate::ids::TenantId;

mod learn;
pub mod lines;
pub mod store;
#[cfg(test)]
mod tests;

/// Most words, groups, words in a group, and characters in a word.
const MOST_WORDS: usize = 20_000;
const MOST_GROUPS: usize = 5_000;
const MOST_IN_GROUP: usize = 20;
const MOST_CHARS: usize = 40;
/// Other ways of saying the question whose vectors are taken into the question's.
const MOST_VARIANTS: usize = 3;

/// What a shop says about words, as it is stored and told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Words that are kept whole: products, programmes, names of pages.
    pub words: Vec<String>,
    /// Groups of words that mean the same; the first one stands for all.
    pub synonyms: Vec<Vec<String>>,
}

impl Words {
    /// Trimmed, without repeats, and within bounds.
    ///
    /// # Errors
    /// `bad_words` naming the word.
    pub fn checked(self) -> Result<Self> {
        if self.words.len() > MOST_WORDS || self.synonyms.len() > MOST_GROUPS {
            return Err(bad(format!("A shop may have {MOST_WORDS} words and {MOST_GROUPS} groups of synonyms.")));
        }
        let mut seen = HashSet::new();
        let mut words = Vec::with_capacity(self.words.len());
        for word in self.words {
            let (word, key) = checked(&word)?;
            if seen.insert(key) {
                words.push(word);
            }
        }
        let mut grouped = HashSet::new();
        let mut synonyms = Vec::with_capacity(self.synonyms.len());
        for group in self.synonyms {
            let mut own = Vec::with_capacity(group.len());
            for word in group {
                let (word, key) = checked(&word)?;
                if !grouped.insert(key) {
                    return Err(bad(format!("`{word}` stands twice among the synonyms; a word belongs to one group.")));
                }
                own.push(word);
            }
            if own.len() < 2 || own.len() > MOST_IN_GROUP {
                let first = own.first().map_or("", String::as_str);
                return Err(bad(format!("The group of `{first}` has {} words; it needs 2 to {MOST_IN_GROUP}.", own.len())));
            }
            synonyms.push(own);
        }
        Ok(Self { words, synonyms })
    }
}

/// The word as it is told, and as it is compared.
fn checked(word: &str) -> Result<(String, String)> {
    let told = word.split_whitespace().collect::<Vec<_>>().join(" ");
    let key = text::normalise(&told);
    let letters = key.chars().filter(|c| c.is_alphanumeric()).count();
    if letters < 2 || told.chars().count() > MOST_CHARS {
        return Err(bad(format!("`{told}` cannot be a word: it needs at least 2 letters and at most {MOST_CHARS} characters.")));
    }
    Ok((told, key))
}

fn bad(message: String) -> Error {
    Error::invalid("bad_words", message)
}

/// [`Words`] ready for cutting texts.
#[derive(Debug, Default)]
pub struct Terms {
    /// Names this state of the words; empty for none.
    fingerprint: String,
    /// By first character, the longest first.
    known: HashMap<char, Vec<Term>>,
    /// The groups, normalised.
    groups: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Term {
    /// As it stands in normalised text.
    text: String,
    /// Its group and its place there.
    group: Option<(usize, usize)>,
    /// What it is indexed as: the word that stands for its group, whole and in pieces.
    tokens: Vec<String>,
}

/// A stretch of normalised text.
enum Piece<'a> {
    Plain(&'a str),
    Term(&'a Term),
}

impl Terms {
    /// Of a shop's words.
    pub fn new(words: &Words) -> Self {
        if words.words.is_empty() && words.synonyms.is_empty() {
            return Self::default();
        }
        let normal = |word: &String| text::normalise(word);
        let groups: Vec<Vec<String>> = words.synonyms.iter().map(|group| group.iter().map(normal).collect()).collect();
        // A word of a group may stand in the dictionary too; the group says more.
        let mut all: BTreeMap<String, Option<(usize, usize)>> = words.words.iter().map(|word| (normal(word), None)).collect();
        for (g, group) in groups.iter().enumerate() {
            all.extend(group.iter().enumerate().map(|(m, word)| (word.clone(), Some((g, m)))));
        }
        let mut known: HashMap<char, Vec<Term>> = HashMap::new();
        for (text, group) in all {
            let Some(first) = text.chars().next() else { continue };
            let tokens = whole_and_pieces(group.map_or(&text, |(g, _)| &groups[g][0]));
            known.entry(first).or_default().push(Term { text, group, tokens });
        }
        known.values_mut().for_each(|terms| terms.sort_by_key(|term| std::cmp::Reverse(term.text.len())));
        let told = serde_json::to_vec(words).unwrap_or_default();
        let fingerprint = Sha256::digest(told)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { fingerprint, known, groups }
    }

    /// Names this state of the words; empty for none.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The words a text is found by, in order, repeats kept.
    pub fn tokens(&self, text: &str) -> Vec<String> {
        let normal = text::normalise(text);
        let mut out = Vec::with_capacity(normal.len() / 3);
        for piece in self.pieces(&normal) {
            match piece {
                Piece::Plain(text) => text::cut(text, &mut out),
                Piece::Term(term) => out.extend_from_slice(&term.tokens),
            }
        }
        out
    }

    /// Pieces of characters a text is found by, see `text::grams`.
    pub fn grams(&self, text: &str) -> Vec<String> {
        text::grams(&self.canonical(text))
    }

    /// The text, normalised, with every word of a group replaced by the one that stands for it.
    pub fn canonical(&self, text: &str) -> String {
        self.told(text, |_, _| 0)
    }

    /// Other ways of saying the text: its synonyms exchanged. None when it has no synonyms.
    pub fn variants(&self, text: &str) -> Vec<String> {
        let normal = text::normalise(text);
        let found = self.pieces(&normal);
        let sizes = found.iter().filter_map(|piece| match piece {
            Piece::Term(Term { group: Some((g, _)), .. }) => Some(self.groups[*g].len()),
            _ => None,
        });
        let most = sizes.max().unwrap_or(1) - 1;
        (1..=most.min(MOST_VARIANTS))
            .map(|shift| self.told(&normal, |size, at| if shift < size { (at + shift) % size } else { at }))
            .collect()
    }

    /// The text with each word of a group replaced by another of it, by the group's size and its place.
    fn told(&self, text: &str, choose: impl Fn(usize, usize) -> usize) -> String {
        let normal = text::normalise(text);
        let told = self.pieces(&normal).into_iter().map(|piece| match piece {
            Piece::Plain(text) => text,
            Piece::Term(Term { group: Some((g, m)), .. }) => self.groups[*g][choose(self.groups[*g].len(), *m)].as_str(),
            Piece::Term(term) => term.text.as_str(),
        });
        told.collect()
    }

    /// Cuts normalised text where known words stand: from left to right, the longest first.
    fn pieces<'a>(&'a self, normal: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let (mut from, mut at) = (0, 0);
        while let Some(first) = normal[at..].chars().next() {
            let here = |term: &&Term| normal[at..].starts_with(&term.text) && stands_alone(normal, at, at + term.text.len());
            let Some(term) = self.known.get(&first).and_then(|terms| terms.iter().find(here)) else {
                at += first.len_utf8();
                continue;
            };
            if from < at {
                pieces.push(Piece::Plain(&normal[from..at]));
            }
            pieces.push(Piece::Term(term));
            at += term.text.len();
            from = at;
        }
        if from < at {
            pieces.push(Piece::Plain(&normal[from..at]));
        }
        pieces
    }
}

/// A word of letters is not found inside a longer one; ideographs have no such ends.
fn stands_alone(text: &str, from: usize, to: usize) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !text::is_han(c));
    let (before, first) = (text[..from].chars().next_back(), text[from..to].chars().next());
    let (last, after) = (text[from..to].chars().next_back(), text[to..].chars().next());
    !(letter(before) && letter(first) || letter(last) && letter(after))
}

/// A word as one token, before it the words it is made of, so that a part of it still finds it.
fn whole_and_pieces(word: &str) -> Vec<String> {
    // The lexical index cuts at spaces.
    let whole = word.replace(' ', "_");
    let mut tokens = Vec::new();
    text::cut(word, &mut tokens);
    tokens.retain(|piece| *piece != whole && piece.chars().count() > 1);
    tokens.push(whole);
    tokens
}

/// The words of every shop that this process has learnt.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary(Arc<RwLock<HashMap<TenantId, Arc<Terms>>>>);

impl Vocabulary {
    /// A shop's words, when they are known.
    pub fn learnt(&self, tenant: &TenantId) -> Option<Arc<Terms>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// A shop's words; none of its own when nothing is known.
    pub fn of(&self, tenant: &TenantId) -> Arc<Terms> {
        self.learnt(tenant).unwrap_or_default()
    }

    /// Takes over a shop's words.
    pub fn set(&self, tenant: &TenantId, terms: Arc<Terms>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), terms);
    }
}
