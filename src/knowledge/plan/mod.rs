//! Rows → what would become of them, before anything is written: added, changed, unchanged,
//! duplicate, conflicting or failed. Pure: what the base holds comes in as [`Base`], so that a dry
//! run and the import itself judge alike.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

use super::commit_store::EntryWrite;
use super::near::near_key;
use super::read::{Field, Given};
use super::store::{Known, StoredPassage};
use super::{EntryDraft, KnowledgeEntry, text};
use crate::ids::EntryId;

mod already;
mod base;
mod clash;
mod complete;
mod facts;
mod identity;
mod nearly;
mod seen;

pub use already::Already;
pub use base::Base;
pub use clash::Clash;
pub use identity::{content_hash, fingerprint};
pub use seen::Place;

use base::Stored;
use clash::Named;
use facts::{Brief, Facts};
use identity::Content;
use seen::{Answered, Scope, Seen, Taken};

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
    /// Somebody decided to write it although it conflicts.
    pub accepted: bool,
    /// Somebody decided to write it over the entry that it conflicts with.
    pub replaces: bool,
    /// The entry that says just this, as a row of this content made it and nobody has changed it since.
    pub stands_as: Option<EntryId>,
    /// Which fields its file has; the others it takes from the entry that it changes.
    given: Given,
    /// The source that its file stands for, when the entry it changes keeps another.
    named_source: Option<String>,
    /// What the file has, hashed.
    content: Content,
    row_hash: OnceLock<i64>,
    // What a row that stands already is not asked for; without an id of its own it is asked for its key and ids.
    question_key: OnceLock<String>,
    key: OnceLock<u128>,
    ids: OnceLock<Vec<EntryId>>,
    near_key: OnceLock<String>,
    answer: OnceLock<u128>,
    facts: OnceLock<Brief>,
}

impl Candidate {
    /// Prepares a row.
    pub fn new(draft: EntryDraft, place: Place) -> Self {
        let content = Content::of(&draft);
        Self {
            row_hash: OnceLock::new(),
            question_key: OnceLock::new(),
            key: OnceLock::new(),
            ids: OnceLock::new(),
            near_key: OnceLock::new(),
            answer: OnceLock::new(),
            facts: OnceLock::new(),
            stands_as: None,
            content_hash: content.hash(),
            content,
            place,
            draft,
            accepted: false,
            replaces: false,
            given: Given::ALL,
            named_source: None,
        }
    }

    /// The normalised question; empty when there is none.
    pub fn question_key(&self) -> &str {
        self.question_key.get_or_init(|| text::question_key(&self.draft.question))
    }

    /// Ids it may have, the preferred one first.
    pub fn ids(&self) -> &[EntryId] {
        self.ids.get_or_init(|| match &self.draft.id {
            Some(id) => vec![EntryId::from_text(id)],
            None => identity::derived_ids(&self.draft, &identity::key(self.question_key(), &self.draft.answer), &self.content_hash),
        })
    }

    /// What it is found again by, in 128 bits.
    fn key(&self) -> u128 {
        *self.key.get_or_init(|| fingerprint(&identity::key(self.question_key(), &self.draft.answer)))
    }

    /// Whether it has a question; letters and ideographs stay such however a text is normalised.
    fn has_question(&self) -> bool {
        let stays = |c: char| c.is_ascii_alphanumeric() || text::is_han(c) && c.is_alphanumeric();
        self.draft.question.chars().any(stays) || !self.question_key().is_empty()
    }

    /// What nearly the same questions share; empty when there is no question.
    pub fn near_key(&self) -> &str {
        self.near_key.get_or_init(|| near_key(&self.draft.question))
    }

    /// What its file says of an entry in 64 bits, with which fields it has: two rows with the same say the same.
    pub fn row_hash(&self) -> i64 {
        *self.row_hash.get_or_init(|| match self.given.has(Field::Source) {
            true => already::row_hash(&self.content_hash, self.given),
            false => already::row_hash(&self.content.hash_without_source(), self.given),
        })
    }

    /// Works out what it is compared by, so that this is done where the row is read.
    pub fn weigh(&self) {
        let _ = (self.ids(), self.key(), self.near_key(), self.answer(), self.facts());
    }

    /// To be written under an id, not as a row of a file.
    pub fn into_write(self, id: EntryId, passages: Vec<StoredPassage>) -> EntryWrite {
        let (question_key, near_key) = (self.question_key().to_owned(), self.near_key().to_owned());
        let Self { draft, content_hash, .. } = self;
        EntryWrite { id, draft, question_key, near_key, content_hash, row_hash: None, passages }
    }

    fn answer(&self) -> u128 {
        *self.answer.get_or_init(|| fingerprint(&text::normalise(&self.draft.answer)))
    }

    /// What its answer says that another may contradict.
    fn facts(&self) -> &Brief {
        self.facts.get_or_init(|| Facts::of(&self.draft.question, &self.draft.answer).brief())
    }

    fn taken(&self, live: bool) -> Taken {
        Taken { content: self.content.fingerprint(), place: self.place, live, stays: false }
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
    Duplicate(Clash),
    /// Answers a question otherwise than another row, which the text names; held back.
    Conflicting {
        /// What it conflicts with, how, and what to do.
        clash: Clash,
        /// The entry, when it is one of the base.
        with: Option<EntryId>,
        /// The entry that it would change if it were written; none when it would stand beside the other.
        changes: Option<EntryId>,
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

    /// The entry that a plan names: the row's own, or for one held back the one that it would change.
    pub fn would_be(&self) -> Option<&EntryId> {
        self.over().or_else(|| self.id())
    }

    /// Whether somebody may decide that a row held back replaces the entry that it conflicts with.
    pub fn may_replace(&self) -> bool {
        matches!(self, Self::Conflicting { with: Some(_), changes: None, .. })
    }

    /// The entry that a row held back would be written over.
    pub fn over(&self) -> Option<&EntryId> {
        match self {
            Self::Conflicting { changes, .. } => changes.as_ref(),
            _ => None,
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

    /// What programs and pages say the message from.
    pub fn details(&self) -> Option<&Value> {
        match self {
            Self::Duplicate(clash) | Self::Conflicting { clash, .. } => Some(&clash.details),
            _ => None,
        }
    }

    /// The word for it, a code, and what people are told.
    pub fn told(&self) -> (&'static str, Option<&'static str>, Option<&str>) {
        match self {
            Self::Added(_) => ("added", None, None),
            Self::Changed(_) => ("changed", None, None),
            Self::Unchanged(_) => ("unchanged", None, None),
            Self::Duplicate(clash) => ("duplicate", Some("duplicate"), Some(&clash.message)),
            Self::Conflicting { clash, .. } => ("conflicting", Some("conflicting"), Some(&clash.message)),
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

    /// Of rows that stand already, those whose entry another row may have taken must be looked at like any other.
    pub fn doubt<'a>(&self, rows: impl IntoIterator<Item = &'a mut Candidate>) {
        let rows: Vec<_> = rows.into_iter().collect();
        let mut named: HashMap<&EntryId, usize> = HashMap::new();
        for id in rows.iter().flat_map(|row| row.ids()) {
            *named.entry(id).or_default() += 1;
        }
        let taken = |id: &EntryId| self.seen.id(id).is_some() || named.get(id) != Some(&1);
        let doubted: Vec<bool> = rows.iter().map(|row| row.stands_as.as_ref().is_some_and(taken)).collect();
        for (row, _) in rows.into_iter().zip(doubted).filter(|(_, doubted)| *doubted) {
            row.stands_as = None;
        }
    }

    /// Judges a batch of rows in order against what the base holds about them.
    pub fn judge<'a>(&mut self, rows: impl IntoIterator<Item = &'a Candidate>, base: &Base) -> Vec<Verdict> {
        self.recent.clear();
        rows.into_iter().map(|row| self.judge_one(row, base)).collect()
    }

    fn judge_one(&mut self, row: &Candidate, base: &Base) -> Verdict {
        if let Some(id) = &row.stands_as {
            self.seen.take(id, Taken { stays: true, ..row.taken(true) });
            if !row.has_question() {
                // The base finds others of the same question, not of the same answer.
                self.seen.answer(row.key(), Answered { answer: row.answer(), scope: Scope::of(&row.draft), place: row.place });
            }
            return Verdict::Unchanged(Known::standing(id.clone(), row));
        }
        let id = match self.identify(row, base) {
            Ok(id) => id,
            Err(verdict) => return verdict,
        };
        let replaced = self.replaced(row, &id, base);
        let decided = replaced.is_some();
        let (id, known) = match replaced {
            Some(other) => {
                // Its own name is not free for another row either.
                self.seen.take(&id, row.taken(false));
                (other.id.clone(), Some(other))
            }
            None => (id.clone(), base.known.get(&id).cloned()),
        };
        let whole = base.seen_whole(row, &id);
        let row = whole.as_ref();
        let same = known.as_ref().is_some_and(|known| known.content_hash == row.content_hash);
        // Whoever said what it replaces has decided: another entry that conflicts as well stays beside it, as it did before.
        if !same
            && !decided
            && !self.rules.as_is
            && let Some(mut verdict) = self.rival(row, &id, base).or_else(|| self.nearly_asked(row, &id, base))
        {
            if let Verdict::Conflicting { changes, .. } = &mut verdict {
                *changes = known.map(|known| known.id);
            }
            if row.draft.id.is_some() {
                self.seen.take(&id, row.taken(false));
            }
            return verdict;
        }
        self.seen.take(&id, row.taken(true));
        let answered = Answered { answer: row.answer(), scope: Scope::of(&row.draft), place: row.place };
        self.seen.answer(row.key(), answered);
        if !self.rules.as_is && row.may_contradict() {
            self.seen.nearly(fingerprint(row.near_key()), row.key(), answered, row.facts().clone());
        }
        self.recent.insert(row.answer(), row.draft.answer.clone());
        match known {
            Some(known) if same => Verdict::Unchanged(known),
            Some(known) => Verdict::Changed(known),
            None => Verdict::Added(id),
        }
    }

    /// The id of a row, or why it has none: an earlier row of this import is the same, or has it.
    fn identify(&self, row: &Candidate, base: &Base) -> Result<EntryId, Verdict> {
        let content = row.content.fingerprint();
        let again = row.ids().iter().filter_map(|id| self.seen.id(id)).find(|taken| taken.content == content);
        if let Some(first) = again {
            return Err(Verdict::Duplicate(Clash::again(&self.name(first.place, row.place))));
        }
        let free: Vec<_> = row.ids().iter().filter(|id| self.seen.id(id).is_none()).collect();
        // Rows may change places in their file: one that is stored as it is keeps its id, and the more
        // exact ids were given for a reason.
        let stored = |id: &&&EntryId| base.has(id, row);
        let kept = free.iter().find(stored).or_else(|| free.iter().rev().find(|id| base.known.contains_key(**id)));
        match (kept.or(free.first()), row.ids().first().and_then(|id| self.seen.id(id))) {
            (Some(&id), _) => Ok(id.clone()),
            (None, Some(first)) => Err(self.duplicate_id(row, first)),
            (None, None) => Err(Verdict::Failed { code: "internal", message: "The row could not be told from others.".into() }),
        }
    }

    /// The id under which a row that was held back is written into a report: that of the entry it would
    /// change, or else one that nobody has, so that the report imports as what conflicts and never over
    /// the entry that it conflicts with.
    pub fn id_when_held_back(&self, row: &Candidate, base: &Base) -> EntryId {
        let own = row.ids().iter().find(|id| self.seen.id(id).is_none() && base.known.contains_key(*id));
        own.or(row.ids().last()).cloned().unwrap_or_else(|| EntryId::from_text(""))
    }

    /// The same for a row that could not be read, of which only some fields are known. It changes a stored
    /// entry only where nobody can doubt which: one for the same market and language, that no row of this
    /// import is. Once corrected, any other comes beside what is there.
    pub fn id_when_unreadable(&self, row: &Candidate, base: &Base) -> Option<EntryId> {
        let asked = base.same_question(row.question_key());
        let (market, locale) = (&row.draft.market, &row.draft.locale);
        let meant = |entry: &EntryDraft| {
            (&entry.market, &entry.locale) == (market, locale) || (asked.len() == 1 && market.is_none() && locale.is_none())
        };
        let own = row
            .ids()
            .iter()
            .rev()
            .find(|id| self.seen.id(id).is_none() && asked.iter().any(|stored| stored.entry.id == **id && meant(&stored.entry.draft)));
        own.or(row.ids().last()).cloned()
    }

    fn duplicate_id(&self, row: &Candidate, first: &Taken) -> Verdict {
        let id = row.draft.id.as_deref().unwrap_or_default();
        let message = format!(
            "The id `{id}` is already used by {}, with other content. Give one of them another id.",
            self.name(first.place, row.place).text
        );
        Verdict::Failed { code: "duplicate_id", message }
    }

    /// Whether another row or entry says the same, or the opposite.
    fn rival(&self, row: &Candidate, id: &EntryId, base: &Base) -> Option<Verdict> {
        let scope = Scope::of(&row.draft);
        let may_repeat = is_own_change(row, id, base);
        let accepted = self.accepts(row);
        let judge = |answer: u128, other: Scope| match answer == row.answer() {
            true if other == scope && !may_repeat => Some(duplicate as fn(Clash, Option<&EntryId>) -> Verdict),
            false if other.meets(&scope) && !accepted => Some(conflicting as fn(Clash, Option<&EntryId>) -> Verdict),
            _ => None,
        };
        let in_base = base.same_question(row.question_key());
        let earlier = self.seen.answers(row.key()).find_map(|other| {
            let verdict = judge(other.answer, other.scope)?;
            // Of an earlier batch only fingerprints are left, but meanwhile its rows are stored.
            let stored = || in_base.iter().find(|stored| stored.answer == other.answer).map(|stored| &stored.entry.draft.answer);
            let text = self.recent.get(&other.answer).or_else(stored);
            Some(verdict(Clash::between(&self.name(other.place, row.place), row, other.answer, text), None))
        });
        earlier.or_else(|| {
            in_base.iter().filter(|stored| stored.entry.id != *id && !self.is_superseded(&stored.entry)).find_map(|stored| {
                let verdict = judge(stored.answer, stored.scope)?;
                let (name, with) = self.other(&stored.entry, row.place);
                Some(verdict(Clash::between(&name, row, stored.answer, Some(&stored.entry.draft.answer)), with))
            })
        })
    }

    /// Whether a row is written although it conflicts. One that replaces an entry conflicts with that one alone.
    fn accepts(&self, row: &Candidate) -> bool {
        (self.rules.accept_conflicts || row.accepted) && !row.replaces
    }

    /// The entry that a row is to be written over by somebody's decision: the one that it conflicts with, when it would
    /// stand beside it otherwise.
    fn replaced(&self, row: &Candidate, id: &EntryId, base: &Base) -> Option<Known> {
        if !row.replaces || self.rules.as_is || base.known.contains_key(id) {
            return None;
        }
        match self.rival(row, id, base).or_else(|| self.nearly_asked(row, id, base))? {
            Verdict::Conflicting { with: Some(other), .. } => base.rival(row, &other).map(known_of),
            _ => None,
        }
    }

    /// Whether this import has already judged a newer state of a stored entry.
    fn is_superseded(&self, entry: &KnowledgeEntry) -> bool {
        self.seen.id(&entry.id).is_some_and(|taken| taken.live && !taken.stays)
    }

    /// An entry as another row's problem names it, and its id; where an earlier row says the same, that row and no id.
    fn other<'a>(&self, entry: &'a KnowledgeEntry, seen_from: Place) -> (Named, Option<&'a EntryId>) {
        match self.seen.id(&entry.id).filter(|taken| taken.stays) {
            Some(taken) => (self.name(taken.place, seen_from), None),
            None => (Named::entry(entry), Some(&entry.id)),
        }
    }

    /// A row's place as another row's problem names it.
    fn name(&self, place: Place, seen_from: Place) -> Named {
        let file = self.files.get(place.file as usize).filter(|_| place.file != seen_from.file);
        Named::row(place.row, file)
    }
}

/// Whether a row changes the entry that it wrote before, which has to be done even when another says
/// the same. Where the id was made from the question, that entry may be another row's, for another
/// market or time.
fn is_own_change(row: &Candidate, id: &EntryId, base: &Base) -> bool {
    let scope = Scope::of(&row.draft);
    let own_before = |stored: &Stored| stored.entry.id == *id && stored.scope == scope;
    base.known.contains_key(id) && (row.draft.id.is_some() || base.same_question(row.question_key()).iter().any(own_before))
}

/// A stored entry, as one that a row is written over.
fn known_of(entry: &KnowledgeEntry) -> Known {
    Known { id: entry.id.clone(), content_hash: entry.content_hash.clone(), stale_vectors: false }
}

fn duplicate(clash: Clash, _: Option<&EntryId>) -> Verdict {
    Verdict::Duplicate(clash)
}

fn conflicting(clash: Clash, with: Option<&EntryId>) -> Verdict {
    Verdict::Conflicting { clash, with: with.cloned(), changes: None }
}

#[cfg(test)]
mod tests;
