//! What an import has read so far, in one or two hundred bytes a row: enough to tell a second row with
//! the same id or the same question, however long the file is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::ids::EntryId;
use crate::knowledge::EntryDraft;

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

/// Everything read so far.
#[derive(Debug, Default)]
pub struct Seen {
    ids: HashMap<u128, Taken>,
    /// The first answer to each question, without a list of its own, because few have another.
    first: HashMap<u128, Noted>,
    more: HashMap<u128, Vec<Noted>>,
    scopes: Vec<Scope>,
    numbers: HashMap<Scope, u32>,
}

impl Seen {
    /// The row that took `id`, if any did.
    pub fn id(&self, id: &EntryId) -> Option<&Taken> {
        self.ids.get(&fingerprint(id.as_str()))
    }

    /// The answers given to a question so far.
    pub fn answers(&self, key: u128) -> impl Iterator<Item = Answered> {
        let more = self.more.get(&key).into_iter().flatten();
        self.first.get(&key).into_iter().chain(more).filter_map(|noted| {
            let scope = *self.scopes.get(noted.scope as usize)?;
            Some(Answered { answer: noted.answer, scope, place: Place { file: noted.file, row: noted.row } })
        })
    }

    /// Notes that a row has taken `id`.
    pub fn take(&mut self, id: &EntryId, taken: Taken) {
        self.ids.insert(fingerprint(id.as_str()), taken);
    }

    /// Notes that a row answers a question.
    pub fn answer(&mut self, key: u128, answered: Answered) {
        let Answered { answer, scope, place } = answered;
        let scope = *self.numbers.entry(scope).or_insert_with(|| {
            self.scopes.push(scope);
            u32::try_from(self.scopes.len() - 1).unwrap_or(u32::MAX)
        });
        let noted = Noted { answer, row: place.row, file: place.file, scope };
        match self.first.entry(key) {
            Entry::Vacant(free) => {
                free.insert(noted);
            }
            Entry::Occupied(_) => self.more.entry(key).or_default().push(noted),
        }
    }
}
