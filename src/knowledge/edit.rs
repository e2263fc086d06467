//! Changing single entries: what a row of a file would do, with the same checks; and taking a change
//! back.

use super::ingest;
use super::plan::{Base, Candidate, Place, Planner, Rules, Verdict};
use super::store::EntryWrite;
use super::{EntryDraft, Knowledge, KnowledgeEntry, Revision};
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};

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
        let known = self.store().known(tenant, self.embedder().id(), &row.ids).await?;
        let same_question = self.store().with_question_keys(tenant, std::slice::from_ref(&row.question_key)).await?;
        let rules = Rules { accept_conflicts, as_is: false };
        let verdict = Planner::new(rules, Vec::new()).judge([&row], &Base::new(known, same_question)).pop();
        match verdict {
            Some(Verdict::Added(id)) => self.write(tenant, id, row, by).await,
            Some(Verdict::Changed(known) | Verdict::Unchanged(known)) => {
                Err(Error::conflict("entry_exists", format!("This question is already in the entry `{}`. Change that one.", known.id)))
            }
            Some(Verdict::Conflicting { message, .. }) => Err(Error::conflict("entry_conflicts", message)),
            Some(Verdict::Duplicate(message)) => Err(Error::conflict("entry_duplicate", message)),
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
            let message = format!("The entry `{id}` was changed by somebody else in the meantime. Load it again.");
            return Err(Error::conflict("entry_changed", message));
        }
        draft.source = draft.source.or(now.draft.source);
        self.write(tenant, id.clone(), Candidate::new(draft, Place { file: 0, row: 1 }), by).await
    }

    /// Takes the last change, or the deletion, of an entry back; done twice it changes nothing.
    ///
    /// # Errors
    /// `entry_not_found`, also when nothing was ever changed: `nothing_to_undo`.
    pub async fn undo(&self, tenant: &TenantId, id: &EntryId, by: &str) -> Result<KnowledgeEntry> {
        let last = self.store().versions(tenant, id, 1).await?.pop();
        let Some(last) = last else {
            self.entry(tenant, id).await?;
            return Err(Error::conflict("nothing_to_undo", format!("The entry `{id}` was never changed.")));
        };
        self.write(tenant, id.clone(), Candidate::new(last.before, Place { file: 0, row: 1 }), by).await
    }

    async fn write(&self, tenant: &TenantId, id: EntryId, row: Candidate, by: &str) -> Result<KnowledgeEntry> {
        let passages = ingest::embed(self, std::iter::once(&row.draft)).await?.pop().unwrap_or_default();
        let Candidate { draft, question_key, content_hash, .. } = row;
        let write = EntryWrite { id: id.clone(), draft, question_key, content_hash, passages };
        self.store().commit_by(tenant, self.embedder().id(), &[write], &[], by).await?;
        self.nudge();
        self.entry(tenant, &id).await
    }
}
