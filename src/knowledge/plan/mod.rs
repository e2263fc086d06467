//! Rows → what would become of them, before anything is written: added, changed, unchanged,
//! duplicate, conflicting or failed. Pure: what the base holds comes in as [`Base`], so that a dry
//! run and the import itself judge alike.

use std::collections::HashMap;

use super::store::Known;
use super::{EntryDraft, KnowledgeEntry, text};
use crate::ids::EntryId;

mod identity;
mod seen;

pub use identity::content_hash;
pub use seen::Place;

pub use identity::fingerprint;
use seen::{Answered, Scope, Seen, Taken};

/// Differing numbers that a conflict names on each side.
const NUMBERS: usize = 5;

/// What an import is allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Write rows although another answers the same question differently.
    pub accept_conflicts: bool,
    /// Do not look for duplicates and conflicts at all.
    pub as_is: bool,
}

/// A row that could be read, prepared for judgement.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its content.
    pub draft: EntryDraft,
    /// Where it stands.
    pub place: Place,
    /// SHA-256 of its content.
    pub content_hash: String,
    /// The normalised question; empty when there is none.
    pub question_key: String,
    /// Ids it may have, the preferred one first.
    pub ids: Vec<EntryId>,
    /// Somebody decided to write it although it conflicts.
    pub accepted: bool,
    key: u128,
    answer: u128,
}

impl Candidate {
    /// Prepares a row.
    pub fn new(draft: EntryDraft, place: Place) -> Self {
        let content_hash = content_hash(&draft);
        let question_key = text::question_key(&draft.question);
        let key = identity::key(&question_key, &draft.answer);
        Self {
            ids: identity::candidates(&draft, &key, &content_hash),
            question_key,
            key: fingerprint(&key),
            answer: fingerprint(&text::normalise(&draft.answer)),
            content_hash,
            place,
            draft,
            accepted: false,
        }
    }

    fn taken(&self, live: bool) -> Taken {
        Taken { content: fingerprint(&self.content_hash), place: self.place, live }
    }
}

/// What the base already holds about a batch of rows.
#[derive(Debug, Default)]
pub struct Base {
    known: HashMap<EntryId, Known>,
    /// Entries by normalised question.
    stored: HashMap<String, Vec<Stored>>,
}

/// An entry that answers the question of a row.
#[derive(Debug)]
struct Stored {
    entry: KnowledgeEntry,
    answer: u128,
    scope: Scope,
}

impl Base {
    /// From what the store says about the candidates' ids and question keys.
    pub fn new(known: Vec<Known>, same_question: Vec<KnowledgeEntry>) -> Self {
        let mut stored: HashMap<_, Vec<_>> = HashMap::new();
        for entry in same_question {
            let (answer, scope) = (fingerprint(&text::normalise(&entry.draft.answer)), Scope::of(&entry.draft));
            stored.entry(text::question_key(&entry.draft.question)).or_default().push(Stored { entry, answer, scope });
        }
        Self { known: known.into_iter().map(|known| (known.id.clone(), known)).collect(), stored }
    }

    fn same_question(&self, key: &str) -> &[Stored] {
        self.stored.get(key).map_or(&[], Vec::as_slice)
    }
}

/// What becomes of a row. Every row read is exactly one of these.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// New: will be written under this id.
    Added(EntryId),
    /// Will be written over what was there.
    Changed(Known),
    /// Already there.
    Unchanged(Known),
    /// Says the same as another row, which the text names; not written.
    Duplicate(String),
    /// Answers a question otherwise than another row, which the text names; held back.
    Conflicting {
        /// What it conflicts with, how, and what to do.
        message: String,
        /// The entry, when it is one of the base.
        with: Option<EntryId>,
    },
    /// Cannot be written.
    Failed {
        /// Stable.
        code: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
}

impl Verdict {
    /// The entry that the row is, or will be.
    pub fn id(&self) -> Option<&EntryId> {
        match self {
            Self::Added(id) => Some(id),
            Self::Changed(known) | Self::Unchanged(known) => Some(&known.id),
            Self::Duplicate(_) | Self::Conflicting { .. } | Self::Failed { .. } => None,
        }
    }

    /// The entry of the base to show beside the row.
    pub fn other(&self) -> Option<&EntryId> {
        match self {
            Self::Changed(known) => Some(&known.id),
            Self::Conflicting { with, .. } => with.as_ref(),
            _ => None,
        }
    }

    /// The word for it, a code, and what people are told.
    pub fn told(&self) -> (&'static str, Option<&'static str>, Option<&str>) {
        match self {
            Self::Added(_) => ("added", None, None),
            Self::Changed(_) => ("changed", None, None),
            Self::Unchanged(_) => ("unchanged", None, None),
            Self::Duplicate(message) => ("duplicate", Some("duplicate"), Some(message)),
            Self::Conflicting { message, .. } => ("conflicting", Some("conflicting"), Some(message)),
            Self::Failed { code, message } => ("failed", Some(code), Some(message)),
        }
    }
}

/// Judges the rows of one import, one after the other.
#[derive(Debug)]
pub struct Planner {
    rules: Rules,
    files: Vec<String>,
    seen: Seen,
    /// Answers of the current batch, to say how a conflicting one differs.
    recent: HashMap<u128, String>,
}

impl Planner {
    /// For an import of these files, by name.
    pub fn new(rules: Rules, files: Vec<String>) -> Self {
        Self { rules, files, seen: Seen::default(), recent: HashMap::new() }
    }

    /// Judges a batch of rows in order against what the base holds about them.
    pub fn judge<'a>(&mut self, rows: impl IntoIterator<Item = &'a Candidate>, base: &Base) -> Vec<Verdict> {
        self.recent.clear();
        rows.into_iter().map(|row| self.judge_one(row, base)).collect()
    }

    fn judge_one(&mut self, row: &Candidate, base: &Base) -> Verdict {
        let id = match self.identify(row, base) {
            Ok(id) => id,
            Err(verdict) => return verdict,
        };
        let known = base.known.get(&id);
        let same = known.is_some_and(|known| known.content_hash == row.content_hash);
        if !same
            && !self.rules.as_is
            && let Some(verdict) = self.rival(row, &id, base)
        {
            if row.draft.id.is_some() {
                self.seen.take(&id, row.taken(false));
            }
            return verdict;
        }
        self.seen.take(&id, row.taken(true));
        self.seen.answer(row.key, Answered { answer: row.answer, scope: Scope::of(&row.draft), place: row.place });
        self.recent.insert(row.answer, row.draft.answer.clone());
        match known {
            Some(known) if same => Verdict::Unchanged(known.clone()),
            Some(known) => Verdict::Changed(known.clone()),
            None => Verdict::Added(id),
        }
    }

    /// The id of a row, or why it has none: an earlier row of this import is the same, or has it.
    fn identify(&self, row: &Candidate, base: &Base) -> Result<EntryId, Verdict> {
        let content = fingerprint(&row.content_hash);
        let again = row.ids.iter().filter_map(|id| self.seen.id(id)).find(|taken| taken.content == content);
        if let Some(first) = again {
            return Err(Verdict::Duplicate(format!("The same as {}.", self.name(first.place, row.place))));
        }
        let free: Vec<_> = row.ids.iter().filter(|id| self.seen.id(id).is_none()).collect();
        // Rows may change places in their file: one that is stored as it is keeps its id, and the more
        // exact ids were given for a reason.
        let stored = |id: &&&EntryId| base.known.get(**id).is_some_and(|known| known.content_hash == row.content_hash);
        let kept = free.iter().find(stored).or_else(|| free.iter().rev().find(|id| base.known.contains_key(**id)));
        match (kept.or(free.first()), row.ids.first().and_then(|id| self.seen.id(id))) {
            (Some(&id), _) => Ok(id.clone()),
            (None, Some(first)) => Err(self.duplicate_id(row, first)),
            (None, None) => Err(Verdict::Failed { code: "internal", message: "The row could not be told from others.".into() }),
        }
    }

    /// The id under which a row that was held back is written into a report: that of the entry it would
    /// change, or else one that nobody has, so that the report imports as what conflicts and never over
    /// the entry that it conflicts with.
    pub fn id_when_held_back(&self, row: &Candidate, base: &Base) -> EntryId {
        let own = row.ids.iter().find(|id| self.seen.id(id).is_none() && base.known.contains_key(*id));
        own.or(row.ids.last()).cloned().unwrap_or_else(|| EntryId::from_text(""))
    }

    fn duplicate_id(&self, row: &Candidate, first: &Taken) -> Verdict {
        let id = row.draft.id.as_deref().unwrap_or_default();
        let message = format!(
            "The id `{id}` is already used by {}, with other content. Give one of them another id.",
            self.name(first.place, row.place)
        );
        Verdict::Failed { code: "duplicate_id", message }
    }

    /// Whether another row or entry says the same, or the opposite.
    fn rival(&self, row: &Candidate, id: &EntryId, base: &Base) -> Option<Verdict> {
        let scope = Scope::of(&row.draft);
        let may_repeat = is_own_change(row, id, base);
        let accepted = self.rules.accept_conflicts || row.accepted;
        let judge = |answer: u128, other: Scope| match answer == row.answer {
            true if other == scope && !may_repeat => Some(duplicate as fn(String, Option<&EntryId>) -> Verdict),
            false if other.meets(&scope) && !accepted => Some(conflicting as fn(String, Option<&EntryId>) -> Verdict),
            _ => None,
        };
        let in_base = base.same_question(&row.question_key);
        let earlier = self.seen.answers(row.key).find_map(|other| {
            let verdict = judge(other.answer, other.scope)?;
            // Of an earlier batch only fingerprints are left, but meanwhile its rows are stored.
            let stored = || in_base.iter().find(|stored| stored.answer == other.answer).map(|stored| &stored.entry.draft.answer);
            let text = self.recent.get(&other.answer).or_else(stored);
            Some(verdict(explain(&self.name(other.place, row.place), row, other.answer, text), None))
        });
        earlier.or_else(|| {
            in_base.iter().filter(|stored| stored.entry.id != *id && !self.is_superseded(&stored.entry)).find_map(|stored| {
                let verdict = judge(stored.answer, stored.scope)?;
                let message = explain(&name_of(&stored.entry), row, stored.answer, Some(&stored.entry.draft.answer));
                Some(verdict(message, Some(&stored.entry.id)))
            })
        })
    }

    /// Whether this import has already judged a newer state of a stored entry.
    fn is_superseded(&self, entry: &KnowledgeEntry) -> bool {
        self.seen.id(&entry.id).is_some_and(|taken| taken.live)
    }

    /// A row's place as another row's problem names it.
    fn name(&self, place: Place, seen_from: Place) -> String {
        match self.files.get(place.file as usize) {
            Some(file) if place.file != seen_from.file => format!("row {} of {file}", place.row),
            _ => format!("row {}", place.row),
        }
    }
}

/// Whether a row changes the entry that it wrote before, which has to be done even when another says
/// the same. Where the id was made from the question, that entry may be another row's, for another
/// market or time.
fn is_own_change(row: &Candidate, id: &EntryId, base: &Base) -> bool {
    let scope = Scope::of(&row.draft);
    let own_before = |stored: &Stored| stored.entry.id == *id && stored.scope == scope;
    base.known.contains_key(id) && (row.draft.id.is_some() || base.same_question(&row.question_key).iter().any(own_before))
}

fn duplicate(message: String, _: Option<&EntryId>) -> Verdict {
    Verdict::Duplicate(message)
}

fn conflicting(message: String, with: Option<&EntryId>) -> Verdict {
    Verdict::Conflicting { message, with: with.cloned() }
}

fn name_of(entry: &KnowledgeEntry) -> String {
    match &entry.draft.source {
        Some(source) => format!("entry `{}` from {source}", entry.id),
        None => format!("entry `{}`", entry.id),
    }
}

fn explain(other: &str, row: &Candidate, answer: u128, their_answer: Option<&String>) -> String {
    if answer == row.answer {
        return format!("The same question and answer as {other}.");
    }
    let difference = their_answer.map(|theirs| difference(&row.draft.answer, theirs)).unwrap_or_default();
    format!(
        "The same question is answered differently in {other}{difference}. Keep one of them, give them different markets or dates, or import with --accept-conflicts."
    )
}

/// The numbers in which two answers differ: what merchants would argue about.
fn difference(ours: &str, theirs: &str) -> String {
    let (ours, theirs) = (text::numbers(ours), text::numbers(theirs));
    let only = |these: &[String], those: &[String]| {
        let mut only: Vec<&str> = Vec::new();
        for number in these.iter().filter(|number| !those.contains(number)) {
            if !only.contains(&number.as_str()) {
                only.push(number);
            }
        }
        only.truncate(NUMBERS);
        only.join(", ")
    };
    match (only(&ours, &theirs), only(&theirs, &ours)) {
        (a, b) if a.is_empty() && b.is_empty() => String::new(),
        (a, b) if b.is_empty() => format!(" (only here: {a})"),
        (a, b) if a.is_empty() => format!(" (only there: {b})"),
        (a, b) => format!(" (here {a}; there {b})"),
    }
}

#[cfg(test)]
mod tests;
