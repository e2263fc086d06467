//! What a row is told when another says the same, or the opposite: a sentence, and what the sentence is
//! made of for pages that speak another language.

use serde_json::{Value, json};

use super::Candidate;
use super::facts::{Facts, Kind};
use crate::knowledge::KnowledgeEntry;

const WHAT_TO_DO: &str = "Keep one of them, give them different markets or dates, or import with --accept-conflicts.";

/// Another row or entry in the way.
#[derive(Clone, Debug)]
pub struct Clash {
    /// For people: what it is and what to do.
    pub message: String,
    /// `row` (and `file`) or `entry` (and `source`) of the other; what only is `here` and `there`, as written, and in
    /// what they `differ` (`number`, `date`, `currency`, `negation`); `near` when the questions are not the same.
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

    /// With its question, where that is another.
    pub(super) fn asking(mut self, question: &str) -> Self {
        self.text.push_str(&format!(" (“{question}”)"));
        self.details["question"] = json!(question);
        self
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
        if answer == row.answer() {
            return Self { message: format!("The same question and answer as {name}."), details: details.clone() };
        }
        let facts = |answer: &str| Facts::of(&row.draft.question, answer);
        let differing = their_answer.map(|theirs| facts(&row.draft.answer).differing(&facts(theirs))).unwrap_or_default();
        let message = format!("The same question is answered differently in {name}{}. {WHAT_TO_DO}", differing.in_words());
        let mut details = details.clone();
        differing.put_into(&mut details);
        Self { message, details }
    }

    /// A row and an answer to nearly its question that contradicts it in these kinds.
    pub(super) fn nearly(other: &Named, row: &Candidate, kinds: &[Kind], theirs: Option<&Facts>) -> Self {
        let ours = Facts::of(&row.draft.question, &row.draft.answer);
        let differing = theirs.map(|theirs| ours.differing(theirs)).unwrap_or_default();
        let message = format!(
            "Nearly the same question is answered with a different {} in {}{}. {WHAT_TO_DO}",
            kinds.iter().map(|kind| kind.in_words()).collect::<Vec<_>>().join(" and "),
            other.text,
            differing.in_words()
        );
        let mut details = other.details.clone();
        differing.put_into(&mut details);
        (details["near"], details["differ"]) = (json!(true), json!(kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>()));
        Self { message, details }
    }
}
