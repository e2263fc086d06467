//! What the base holds about a batch of rows: their entries, and those that answer the same or nearly the
//! same questions.

use std::borrow::Cow;
use std::collections::HashMap;

use super::seen::Scope;
use super::{Candidate, fingerprint};
use crate::ids::EntryId;
use crate::knowledge::near::near_key;
use crate::knowledge::store::Known;
use crate::knowledge::{KnowledgeEntry, text};

/// What the base already holds about a batch of rows.
#[derive(Debug, Default)]
pub struct Base {
    pub(super) known: HashMap<EntryId, Known>,
    /// Entries by normalised question.
    stored: HashMap<String, Vec<Stored>>,
    /// Entries by what nearly the same questions share.
    pub(super) nearly: HashMap<String, Vec<Stored>>,
    /// Entries that rows say only a part of.
    partly: HashMap<EntryId, KnowledgeEntry>,
}

/// An entry that answers the question of a row.
#[derive(Debug)]
pub struct Stored {
    pub(super) entry: KnowledgeEntry,
    pub(super) answer: u128,
    pub(super) scope: Scope,
}

impl Stored {
    fn by(key: fn(&str) -> String, entries: Vec<KnowledgeEntry>) -> HashMap<String, Vec<Self>> {
        let mut stored: HashMap<_, Vec<_>> = HashMap::new();
        for entry in entries {
            let (answer, scope) = (fingerprint(&text::normalise(&entry.draft.answer)), Scope::of(&entry.draft));
            stored.entry(key(&entry.draft.question)).or_default().push(Self { entry, answer, scope });
        }
        stored
    }
}

impl Base {
    /// From what the store says about the candidates' ids and question keys.
    pub fn new(known: Vec<Known>, same_question: Vec<KnowledgeEntry>) -> Self {
        Self {
            known: known.into_iter().map(|known| (known.id.clone(), known)).collect(),
            stored: Stored::by(text::question_key, same_question),
            ..Self::default()
        }
    }

    /// With the entries that are asked for in nearly the same words.
    #[must_use]
    pub fn with_nearly(mut self, entries: Vec<KnowledgeEntry>) -> Self {
        self.nearly = Stored::by(near_key, entries);
        self
    }

    /// With the entries that rows say only a part of.
    #[must_use]
    pub fn with_partly(mut self, entries: Vec<KnowledgeEntry>) -> Self {
        self.partly = entries.into_iter().map(|entry| (entry.id.clone(), entry)).collect();
        self
    }

    /// Whether the entry of that id is stored with this content.
    pub(super) fn has(&self, id: &EntryId, row: &Candidate) -> bool {
        let Some(known) = self.known.get(id) else { return false };
        known.content_hash == row.content_hash || self.seen_whole(row, id).content_hash == known.content_hash
    }

    /// The row with what its file does not say taken from the entry of that id.
    pub fn whole(&self, row: Candidate, id: &EntryId) -> Candidate {
        match self.part_of(&row, id) {
            Some(entry) => row.completed(entry),
            None => row,
        }
    }

    /// The entry of that id, when the row says only a part of it.
    fn part_of(&self, row: &Candidate, id: &EntryId) -> Option<&KnowledgeEntry> {
        let replaced = || self.rival(row, id).filter(|_| row.replaces);
        self.partly.get(id).or_else(replaced).filter(|_| row.is_partial())
    }

    /// The entry of that id among those that a row may conflict with.
    pub(super) fn rival(&self, row: &Candidate, id: &EntryId) -> Option<&KnowledgeEntry> {
        let nearly = self.nearly.get(row.near_key()).map_or(&[][..], Vec::as_slice);
        let rivals = self.same_question(row.question_key()).iter().chain(nearly);
        rivals.map(|stored| &stored.entry).find(|entry| entry.id == *id)
    }

    pub(super) fn seen_whole<'a>(&self, row: &'a Candidate, id: &EntryId) -> Cow<'a, Candidate> {
        match self.part_of(row, id) {
            Some(entry) => Cow::Owned(row.clone().completed(entry)),
            None => Cow::Borrowed(row),
        }
    }

    pub(super) fn same_question(&self, key: &str) -> &[Stored] {
        self.stored.get(key).map_or(&[], Vec::as_slice)
    }
}
