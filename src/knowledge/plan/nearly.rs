//! Rows whose question is asked nearly the same elsewhere, with an answer that contradicts theirs: in a
//! number, a date, a currency, or yes and no.

use super::clash::Clash;
use super::facts::{Facts, Kind};
use super::seen::{Nearly, Scope};
use super::{Base, Candidate, Planner, Stored, Verdict, fingerprint};
use crate::ids::EntryId;

impl Candidate {
    /// Whether there is a question, and something in the answer that another could contradict.
    pub fn may_contradict(&self) -> bool {
        !self.near_key().is_empty() && !self.facts().is_empty()
    }
}

impl Planner {
    /// Whether an earlier row or a stored entry contradicts a row.
    pub(super) fn nearly_asked(&self, row: &Candidate, id: &EntryId, base: &Base) -> Option<Verdict> {
        if self.accepts(row) || !row.may_contradict() {
            return None;
        }
        let scope = Scope::of(&row.draft);
        let earlier = self.seen.nearly_answered(fingerprint(row.near_key())).find_map(|Nearly { question, answered, facts }| {
            let apart = question != row.key() && answered.answer != row.answer() && answered.scope.meets(&scope);
            let kinds = apart.then(|| row.facts().contradict(&facts)).filter(|kinds| !kinds.is_empty())?;
            let theirs = self.recent.get(&answered.answer).map(|answer| Facts::of(&row.draft.question, answer));
            Some((Clash::nearly(&self.name(answered.place, row.place), row, &kinds, theirs.as_ref()), None))
        });
        let in_base = || {
            let stored = base.nearly.get(row.near_key())?;
            stored.iter().filter(|stored| self.may_be_held_against(row, id, stored, base)).find_map(|stored| {
                let draft = &stored.entry.draft;
                let (kinds, theirs) = contradiction(row, stored, scope)?;
                let (name, with) = self.other(&stored.entry, row.place);
                Some((Clash::nearly(&name.asking(&draft.question), row, &kinds, Some(&theirs)), with.cloned()))
            })
        };
        earlier.or_else(in_base).map(|(clash, with)| Verdict::Conflicting { clash, with, changes: None })
    }

    /// A row that changes its entry is not held against what its own source says elsewhere: the file may
    /// change that too, further down, unless it was seen to leave it as it is.
    fn may_be_held_against(&self, row: &Candidate, id: &EntryId, stored: &Stored, base: &Base) -> bool {
        let own_source = base.known.contains_key(id) && stored.entry.draft.source == row.draft.source;
        let stays = self.seen.id(&stored.entry.id).is_some_and(|taken| taken.stays);
        stored.entry.id != *id && (stays || !own_source) && !self.is_superseded(&stored.entry)
    }
}

fn contradiction(row: &Candidate, stored: &Stored, scope: Scope) -> Option<(Vec<Kind>, Facts)> {
    let draft = &stored.entry.draft;
    let same_question = crate::knowledge::text::question_key(&draft.question) == row.question_key();
    if same_question || stored.answer == row.answer() || !stored.scope.meets(&scope) {
        return None;
    }
    let theirs = Facts::of(&draft.question, &draft.answer);
    let kinds = row.facts().contradict(&theirs.brief());
    (!kinds.is_empty()).then_some((kinds, theirs))
}
