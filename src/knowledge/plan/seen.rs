//! What an import has read so far, in one or two hundred bytes a row: enough to tell a second row with
//! the same id or the same question, however long the file is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::ids::EntryId;
use crate::knowledge::EntryDraft;

use super::facts::Brief;
use super::identity::fingerprint;

/// Where a row stands: which file of the import, and which row in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index into the import's files.
    pub file: u32,
    /// As [`ReadRow::row`](crate::knowledge::read::ReadRow).
    pub row: u64,
}

/// An identity that an earlier row has taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Fingerprint of its content hash.
    pub content: u128,
    /// Who took it.
    pub place: Place,
    /// Whether that row is, or will be, in the base; one that is held back is not.
    pub live: bool,
    /// Whether the entry stays as it is, so that the base itself tells what that row says.
    pub stays: bool,
}

/// Where and when an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    market: u128,
    locale: Option<u128>,
    from: i64,
    to: i64,
}

impl Scope {
    /// The scope that a row's fields describe.
    pub fn of(draft: &EntryDraft) -> Self {
        Self {
            market: fingerprint(draft.market.as_deref().unwrap_or_default()),
            locale: draft.locale.as_deref().map(fingerprint),
            from: draft.valid_from.map_or(i64::MIN, |from| from.0),
            to: draft.valid_to.map_or(i64::MAX, |to| to.0),
        }
    }

    /// Whether one merchant could be given either answer: same market, a common day, and not two
    /// languages. A row for one market beside one for all is an exception to a rule, not a conflict.
    pub fn meets(&self, other: &Self) -> bool {
        let languages = self.locale.zip(other.locale);
        self.market == other.market && self.from < other.to && other.from < self.to && languages.is_none_or(|(a, b)| a == b)
    }
}

/// An answer to a question that an earlier row gave.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Fingerprint of the normalised answer.
    pub answer: u128,
    /// Where and when it holds.
    pub scope: Scope,
    /// Who gave it.
    pub place: Place,
}

/// [`Answered`], with the scope by its number: a million rows share a few.
#[derive(Clone, Copy, Debug)]
struct Noted {
    answer: u128,
    row: u64,
    file: u32,
    scope: u32,
}

/// An answer to nearly the same question.
#[derive(Clone, Debug)]
pub struct Nearly {
    /// Fingerprint of the question itself.
    pub question: u128,
    /// Its answer.
    pub answered: Answered,
    /// What it says that another may contradict.
    pub facts: Brief,
}

/// [`Nearly`], as [`Noted`].
#[derive(Clone, Debug)]
struct NotedNearly {
    question: u128,
    noted: Noted,
    facts: Brief,
}

/// Everything read so far.
#[derive(Debug, Default)]
pub struct Seen {
    ids: HashMap<u128, Taken>,
    answers: Several<Noted>,
    nearly: Several<NotedNearly>,
    scopes: Vec<Scope>,
    numbers: HashMap<Scope, u32>,
}

/// Values by key; the first of each without a list of its own, because few keys have another.
#[derive(Debug)]
struct Several<T> {
    first: HashMap<u128, T>,
    more: HashMap<u128, Vec<T>>,
}

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self { first: HashMap::new(), more: HashMap::new() }
    }
}

impl<T> Several<T> {
    fn get(&self, key: u128) -> impl Iterator<Item = &T> {
        self.first.get(&key).into_iter().chain(self.more.get(&key).into_iter().flatten())
    }

    fn add(&mut self, key: u128, value: T) {
        match self.first.entry(key) {
            Entry::Vacant(free) => drop(free.insert(value)),
            Entry::Occupied(_) => self.more.entry(key).or_default().push(value),
        }
    }
}

impl Seen {
    /// The row that took `id`, if any did.
    pub fn id(&self, id: &EntryId) -> Option<&Taken> {
        self.ids.get(&fingerprint(id.as_str()))
    }

    /// The answers given to a question so far.
    pub fn answers(&self, key: u128) -> impl Iterator<Item = Answered> {
        self.answers.get(key).filter_map(|noted| self.answered(noted))
    }

    /// The answers given so far to questions that share a near key.
    pub fn nearly_answered(&self, near_key: u128) -> impl Iterator<Item = Nearly> {
        self.nearly.get(near_key).filter_map(|NotedNearly { question, noted, facts }| {
            Some(Nearly { question: *question, answered: self.answered(noted)?, facts: facts.clone() })
        })
    }

    /// Notes that a row has taken `id`.
    pub fn take(&mut self, id: &EntryId, taken: Taken) {
        self.ids.insert(fingerprint(id.as_str()), taken);
    }

    /// Notes that a row answers a question.
    pub fn answer(&mut self, key: u128, answered: Answered) {
        let noted = self.note(answered);
        self.answers.add(key, noted);
    }

    /// Notes what an answer says, for nearly the same questions.
    pub fn nearly(&mut self, near_key: u128, question: u128, answered: Answered, facts: Brief) {
        let noted = self.note(answered);
        self.nearly.add(near_key, NotedNearly { question, noted, facts });
    }

    fn answered(&self, noted: &Noted) -> Option<Answered> {
        let scope = *self.scopes.get(noted.scope as usize)?;
        Some(Answered { answer: noted.answer, scope, place: Place { file: noted.file, row: noted.row } })
    }

    fn note(&mut self, answered: Answered) -> Noted {
        let Answered { answer, scope, place } = answered;
        let scope = *self.numbers.entry(scope).or_insert_with(|| {
            self.scopes.push(scope);
            u32::try_from(self.scopes.len() - 1).unwrap_or(u32::MAX)
        });
        Noted { answer, row: place.row, file: place.file, scope }
    }
}
