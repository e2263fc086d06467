//! A row that says only a part of its entry: a sheet without a column for the similar questions does not
//! say that there are none.

use super::{Candidate, identity};
use crate::knowledge::read::{Field, Given};
use crate::knowledge::{EntryDraft, KnowledgeEntry};

impl Candidate {
    /// With the fields that its file has.
    #[must_use]
    pub fn given(mut self, given: Given) -> Self {
        self.given = given;
        self
    }

    /// Whether its file has no column or key for some field.
    pub fn is_partial(&self) -> bool {
        !self.given.is_all()
    }

    /// The source that its file stands for.
    pub fn named_source(&self) -> Option<&String> {
        self.named_source.as_ref().or(self.draft.source.as_ref())
    }

    /// What its file does not say is as the entry has it.
    #[must_use]
    pub fn completed(mut self, entry: &KnowledgeEntry) -> Self {
        let given = self.given;
        // Of the row as its file has it.
        let _ = (self.row_hash(), self.ids());
        let EntryDraft {
            id: _,
            question,
            answer,
            similar,
            negative,
            category,
            tags,
            market,
            locale,
            valid_from,
            valid_to,
            source,
            url,
            direct,
        } = &mut self.draft;
        let old = &entry.draft;
        keep(given, Field::Question, question, &old.question);
        keep(given, Field::Answer, answer, &old.answer);
        keep(given, Field::Similar, similar, &old.similar);
        keep(given, Field::Not, negative, &old.negative);
        keep(given, Field::Category, category, &old.category);
        keep(given, Field::Tags, tags, &old.tags);
        keep(given, Field::Market, market, &old.market);
        keep(given, Field::Locale, locale, &old.locale);
        keep(given, Field::ValidFrom, valid_from, &old.valid_from);
        keep(given, Field::ValidTo, valid_to, &old.valid_to);
        if !given.has(Field::Source) && *source != old.source {
            self.named_source = std::mem::replace(source, old.source.clone());
        }
        keep(given, Field::Url, url, &old.url);
        keep(given, Field::Direct, direct, &old.direct);
        self.content_hash = identity::content_hash(&self.draft);
        (self.question_key, self.key) = Default::default();
        (self.near_key, self.answer, self.facts) = Default::default();
        self.given = Given::ALL;
        self
    }
}

fn keep<T: Clone>(given: Given, field: Field, new: &mut T, old: &T) {
    if !given.has(field) {
        new.clone_from(old);
    }
}
