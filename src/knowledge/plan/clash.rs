//! What a row is told when another says the same, or the opposite: a sentence, and what the sentence is
//! made of for pages that speak another language.

use serde_json::{Value, json};

use super::Candidate;
use crate::knowledge::{KnowledgeEntry, text};

/// Differing numbers that a conflict names on each side.
const NUMBERS: usize = 5;

/// Another row or entry in the way.
#[derive(Clone, Debug)]
pub struct Clash {
    /// For people: what it is and what to do.
    pub message: String,
    /// `row` (and `file`) or `entry` (and `source`) of the other; the numbers that only are `here` and `there`.
    pub details: Value,
}

/// The other one, in words and as data.
pub(super) struct Named {
    pub(super) text: String,
    details: Value,
}

impl Named {
    /// A row of this file, or of another one.
    pub(super) fn row(row: u64, file: Option<&String>) -> Self {
        match file {
            Some(file) => Self { text: format!("row {row} of {file}"), details: json!({"row": row, "file": file}) },
            None => Self { text: format!("row {row}"), details: json!({"row": row}) },
        }
    }

    /// An entry of the base.
    pub(super) fn entry(entry: &KnowledgeEntry) -> Self {
        let details = json!({"entry": entry.id, "source": entry.draft.source});
        match &entry.draft.source {
            Some(source) => Self { text: format!("entry `{}` from {source}", entry.id), details },
            None => Self { text: format!("entry `{}`", entry.id), details },
        }
    }
}

impl Clash {
    /// The row stands there twice.
    pub(super) fn again(other: &Named) -> Self {
        Self { message: format!("The same as {}.", other.text), details: other.details.clone() }
    }

    /// A row and another answer to its question.
    pub(super) fn between(other: &Named, row: &Candidate, answer: u128, their_answer: Option<&String>) -> Self {
        let Named { text: name, details } = other;
        if answer == row.answer {
            return Self { message: format!("The same question and answer as {name}."), details: details.clone() };
        }
        let (here, there) = their_answer.map(|theirs| differing(&row.draft.answer, theirs)).unwrap_or_default();
        let message = format!(
            "The same question is answered differently in {name}{}. Keep one of them, give them different markets or dates, or import with --accept-conflicts.",
            difference(&here, &there)
        );
        let mut details = details.clone();
        (details["here"], details["there"]) = (json!(here), json!(there));
        Self { message, details }
    }
}

/// The numbers that only one of two answers has: what merchants would argue about.
fn differing(ours: &str, theirs: &str) -> (Vec<String>, Vec<String>) {
    let (ours, theirs) = (text::numbers(ours), text::numbers(theirs));
    let only = |these: &[String], those: &[String]| {
        let mut only: Vec<String> = Vec::new();
        for number in these.iter().filter(|number| !those.contains(number)) {
            if !only.contains(number) {
                only.push(number.clone());
            }
        }
        only.truncate(NUMBERS);
        only
    };
    (only(&ours, &theirs), only(&theirs, &ours))
}

fn difference(here: &[String], there: &[String]) -> String {
    match (here.join(", "), there.join(", ")) {
        (a, b) if a.is_empty() && b.is_empty() => String::new(),
        (a, b) if b.is_empty() => format!(" (only here: {a})"),
        (a, b) if a.is_empty() => format!(" (only there: {b})"),
        (a, b) => format!(" (here {a}; there {b})"),
    }
}
