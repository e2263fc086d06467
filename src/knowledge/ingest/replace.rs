//! Replacing a source: rows of it that the imported files no longer have are deleted at the end.

use std::collections::{BTreeSet, HashSet};

use super::{Run, Written};
use crate::error::Result;
use crate::ids::EntryId;
use crate::knowledge::KnowledgeEntry;
use crate::knowledge::export::object;
use crate::knowledge::imports::planned::Planned;
use crate::knowledge::plan::{Candidate, Verdict, fingerprint};
use crate::knowledge::report::Deletion;
use crate::knowledge::store::Selection;

/// Entries deleted at once.
const DELETED_AT_ONCE: usize = 1_000;
/// Characters of the answer that name an entry without a question.
const NAMED_BY: usize = 80;

/// What the files have.
#[derive(Default)]
pub struct Kept {
    sources: BTreeSet<String>,
    ids: HashSet<u128>,
}

impl Kept {
    /// A row of a file stays, whatever becomes of it.
    pub fn row(&mut self, row: &Candidate, verdict: &Verdict) {
        if let Some(source) = row.named_source()
            && !self.sources.contains(source)
        {
            self.sources.insert(source.clone());
        }
        match verdict.id() {
            Some(id) => drop(self.ids.insert(fingerprint(id.as_str()))),
            // A row that is held back is in the file all the same, under any of its names.
            None => self.under_any_name(row),
        }
    }

    /// A row that nobody judged.
    pub fn under_any_name(&mut self, row: &Candidate) {
        self.ids.extend(row.ids().iter().map(|id| fingerprint(id.as_str())));
    }
}

impl Run<'_> {
    /// Deletes, or only counts, what the replaced sources no longer have. With a row that failed
    /// nobody can tell which entry it was, so nothing is deleted.
    pub(super) async fn delete_gone(&mut self) -> Result<()> {
        let Some(kept) = self.kept.take() else { return Ok(()) };
        self.report.deleted = Some(0);
        if self.report.failed > 0 || self.report.interrupted {
            let note = "nothing was deleted from the replaced sources, because not every row of the files could be read; correct them and import again";
            self.report.notes.push(note.to_owned());
            return Ok(());
        }
        for source in &kept.sources {
            let stored = self.knowledge.store().selected(self.tenant, &Selection::Source(source.clone())).await?;
            let gone: Vec<EntryId> = stored.into_iter().filter(|id| !kept.ids.contains(&fingerprint(id.as_str()))).collect();
            for some in gone.chunks(DELETED_AT_ONCE) {
                self.delete(source, some).await?;
            }
        }
        Ok(())
    }

    async fn delete(&mut self, source: &str, ids: &[EntryId]) -> Result<()> {
        let zone = self.zone;
        // All of them for a plan on disk, else only those that the report names.
        let shown = if self.plan.is_some() { ids.len() } else { self.report.deletions_left().min(ids.len()) };
        let mut gone = self.knowledge.store().entries(self.tenant, &ids[..shown]).await?;
        gone.sort_by(|a, b| a.id.cmp(&b.id));
        for KnowledgeEntry { id, draft, .. } in &gone {
            let question = if draft.question.is_empty() { draft.answer.chars().take(NAMED_BY).collect() } else { draft.question.clone() };
            self.report.add_deletion(Deletion { id: id.clone(), question, source: source.to_owned() });
        }
        if self.plan.is_some() {
            let planned = gone.into_iter().map(|entry| Planned {
                fate: "deleted".to_owned(),
                file: source.to_owned(),
                id: Some(entry.id.as_str().to_owned()),
                old: Some(object(&entry.draft, zone)),
                ..Planned::default()
            });
            self.write_plan(planned.collect()).await?;
        }
        if !self.dry_run {
            self.commit("", &[], ids, Written { deleted: ids.to_vec(), ..Written::default() }).await?;
        }
        self.report.deleted = Some(self.report.deleted.unwrap_or_default() + ids.len() as u64);
        Ok(())
    }
}
