//! Changing single entries: what a row of a file would do, with the same checks; and taking a change
//! back.

use std::collections::{HashMap, HashSet};

use super::commit_store::EntryWrite;
use super::ingest::{self, Written};
use super::plan::{Base, Candidate, Place, Planner, Rules, Verdict};
use super::{EntryDraft, Knowledge, KnowledgeEntry, Revision};
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};

/// What taking back did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TakenBack {
    /// Entries that say again what they said before.
    pub restored: u64,
    /// Entries that are gone again.
    pub deleted: u64,
    /// Entries that somebody has changed since; they stay.
    pub left: u64,
    /// The knowledge version after it.
    pub revision: Revision,
}

/// The source of rows that are typed in.
const SOURCE: &str = "console";

impl Knowledge {
    /// Adds an entry.
    ///
    /// # Errors
    /// `entry_exists`, `entry_conflicts` (unless accepted) or `entry_duplicate`, naming the other.
    pub async fn add(&self, tenant: &TenantId, mut draft: EntryDraft, accept_conflicts: bool, by: &str) -> Result<KnowledgeEntry> {
        draft.source.get_or_insert_with(|| SOURCE.to_owned());
        let row = Candidate::new(draft, Place { file: 0, row: 1 });
        let known = self.store().known(tenant, self.writer(tenant).await?.id(), row.ids()).await?;
        let same_question = self.store().with_question_keys(tenant, &[row.question_key().to_owned()]).await?;
        self.store().fill_near_keys(tenant).await?;
        let nearly = self.store().with_near_keys(tenant, &[row.near_key().to_owned()]).await?;
        let rules = Rules { accept_conflicts, as_is: false };
        let base = Base::new(known, same_question).with_nearly(nearly);
        let verdict = Planner::new(rules, Vec::new()).judge([&row], &base).pop();
        match verdict {
            Some(Verdict::Added(id)) => self.write(tenant, id, row, by).await,
            Some(Verdict::Changed(known) | Verdict::Unchanged(known)) => {
                Err(Error::conflict("entry_exists", format!("This question is already in the entry `{}`. Change that one.", known.id)))
            }
            Some(Verdict::Conflicting { clash, .. }) => Err(Error::conflict("entry_conflicts", clash.message).with_details(clash.details)),
            Some(Verdict::Duplicate(clash)) => Err(Error::conflict("entry_duplicate", clash.message).with_details(clash.details)),
            Some(Verdict::Failed { code, message }) => Err(Error::invalid(code, message)),
            None => Err(Error::internal("internal", "A row was not judged.")),
        }
    }

    /// Gives an entry another content.
    ///
    /// # Errors
    /// `entry_not_found`; `entry_changed` when it is not what the caller has seen.
    pub async fn change(
        &self,
        tenant: &TenantId,
        id: &EntryId,
        mut draft: EntryDraft,
        seen: Option<Revision>,
        by: &str,
    ) -> Result<KnowledgeEntry> {
        let now = self.entry(tenant, id).await?;
        if seen.is_some_and(|seen| seen != now.revision) {
            return Err(changed_since(id));
        }
        draft.source = draft.source.or(now.draft.source);
        self.write(tenant, id.clone(), Candidate::new(draft, Place { file: 0, row: 1 }), by).await
    }

    /// Takes the last change, or the deletion, of an entry back; done twice it changes nothing. With `seen` only
    /// when that is still the last one, so that nobody takes back what somebody else did since.
    ///
    /// # Errors
    /// `entry_not_found`, also when nothing was ever changed: `nothing_to_undo`; `entry_changed`.
    pub async fn undo(&self, tenant: &TenantId, id: &EntryId, seen: Option<Revision>, by: &str) -> Result<KnowledgeEntry> {
        let last = self.store().versions(tenant, id, 1).await?.pop();
        let Some(last) = last else {
            self.entry(tenant, id).await?;
            return Err(Error::conflict("nothing_to_undo", format!("The entry `{id}` was never changed.")));
        };
        // What was brought back ended no version, so the last one may be older than what happened last.
        if let Some(seen) = seen
            && (seen != last.revision || self.store().last_touched(tenant, id).await? != Some(seen))
        {
            return Err(changed_since(id));
        }
        self.write(tenant, id.clone(), Candidate::new(last.before, Place { file: 0, row: 1 }), by).await
    }

    /// Takes back what one commit did, but for entries that were changed since.
    pub(super) async fn take_back(&self, tenant: &TenantId, done: &Written, by: &str) -> Result<TakenBack> {
        let untouched: HashSet<EntryId> = self.store().last_touched_by(tenant, done.revision).await?.into_iter().collect();
        let mut before: HashMap<EntryId, EntryDraft> = self.store().ended_by(tenant, done.revision).await?.into_iter().collect();
        let gone: Vec<EntryId> = done.added.iter().filter(|id| untouched.contains(*id)).cloned().collect();
        let back: Vec<(EntryId, Candidate)> = (done.changed.iter().chain(&done.deleted))
            .filter(|id| untouched.contains(*id))
            .filter_map(|id| Some((id.clone(), Candidate::new(before.remove(id)?, Place { file: 0, row: 1 }))))
            .collect();
        let all = (done.added.len() + done.changed.len() + done.deleted.len()) as u64;
        let (deleted, restored) = (gone.len() as u64, back.len() as u64);
        let (embedder, passages) = ingest::embed(self, tenant, back.iter().map(|(_, row)| &row.draft)).await?;
        let writes: Vec<EntryWrite> = back.into_iter().zip(passages).map(|((id, row), passages)| row.into_write(id, passages)).collect();
        let revision = self.store().commit_by(tenant, embedder.id(), &writes, &gone, by).await?;
        self.nudge();
        Ok(TakenBack { restored, deleted, left: all - deleted - restored, revision })
    }

    async fn write(&self, tenant: &TenantId, id: EntryId, row: Candidate, by: &str) -> Result<KnowledgeEntry> {
        let (embedder, mut passages) = ingest::embed(self, tenant, std::iter::once(&row.draft)).await?;
        let write = row.into_write(id.clone(), passages.pop().unwrap_or_default());
        self.store().commit_by(tenant, embedder.id(), &[write], &[], by).await?;
        self.nudge();
        self.entry(tenant, &id).await
    }
}

fn changed_since(id: &EntryId) -> Error {
    Error::conflict("entry_changed", format!("The entry `{id}` was changed by somebody else in the meantime. Load it again."))
}
