//! What the base holds about a batch, and writing what was judged: embed, commit, and note it down for
//! whoever takes the import back.

use std::collections::HashSet;
use std::io::SeekFrom;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::{Judged, Run, embed};
use crate::error::Result;
use crate::ids::EntryId;
use crate::knowledge::Revision;
use crate::knowledge::commit_store::EntryWrite;
use crate::knowledge::plan::{Base, Candidate, Verdict};

/// Why a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Added,
    Changed,
    /// Its content stays; its vectors are of another embedder.
    Same,
}

/// A row to write.
pub(super) struct Write {
    pub(super) how: How,
    pub(super) id: EntryId,
    pub(super) row: Candidate,
}

/// What one commit of an import did, or was about to do when it was broken off.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Written {
    /// The knowledge version that it made.
    pub revision: Revision,
    /// Entries that were not there.
    #[serde(default)]
    pub added: Vec<EntryId>,
    /// Entries that said something else.
    #[serde(default)]
    pub changed: Vec<EntryId>,
    /// Entries that are gone.
    #[serde(default)]
    pub deleted: Vec<EntryId>,
}

/// Rows that change an entry, or would if they were not held back, with what their file does not say as the entry
/// has it: a report and a plan of them have every column. Also those with an id of their own.
pub(super) fn completed(rows: Vec<Judged>, verdicts: &[Verdict], base: &Base) -> Vec<Judged> {
    let complete = |(judged, verdict): (Judged, &Verdict)| {
        let id = match verdict {
            Verdict::Changed(known) | Verdict::Unchanged(known) => known.id.clone(),
            Verdict::Conflicting { changes: Some(id), .. } => id.clone(),
            _ => match (&judged.row.draft.id, judged.row.ids().first()) {
                (Some(_), Some(id)) => id.clone(),
                _ => return judged,
            },
        };
        Judged { row: base.whole(judged.row, &id), ..judged }
    };
    rows.into_iter().zip(verdicts).map(complete).collect()
}

impl Run<'_> {
    pub(super) async fn look_up(&self, rows: &[&Candidate]) -> Result<Base> {
        let ids: Vec<EntryId> = rows.iter().flat_map(|row| row.ids().iter().cloned()).collect();
        let (store, embedder) = (self.knowledge.store(), self.knowledge.writer(self.tenant).await?);
        let known = store.known(self.tenant, embedder.id(), &ids).await?;
        let partial: HashSet<&EntryId> = rows.iter().filter(|row| row.is_partial()).flat_map(|row| row.ids()).collect();
        let partly: Vec<EntryId> = known.iter().map(|known| &known.id).filter(|id| partial.contains(id)).cloned().collect();
        let partly = store.entries(self.tenant, &partly).await?;
        if self.as_is {
            return Ok(Base::new(known, Vec::new()).with_partly(partly));
        }
        let keys: HashSet<&str> = rows.iter().map(|row| row.question_key()).filter(|key| !key.is_empty()).collect();
        let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        // What is stored as it is contradicts nobody anew.
        let unchanged: HashSet<&String> = known.iter().map(|known| &known.content_hash).collect();
        let fresh = rows.iter().filter(|row| row.may_contradict() && !unchanged.contains(&row.content_hash));
        let near: HashSet<&str> = fresh.map(|row| row.near_key()).collect();
        let near: Vec<String> = near.into_iter().map(str::to_owned).collect();
        let nearly = store.with_near_keys(self.tenant, &near).await?;
        Ok(Base::new(known, store.with_question_keys(self.tenant, &keys).await?).with_nearly(nearly).with_partly(partly))
    }

    pub(super) async fn write(&mut self, rows: Vec<Write>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        tracing::debug!(rows = rows.len(), "embedding");
        let (embedder, passages) = embed(self.knowledge, self.tenant, rows.iter().map(|write| &write.row.draft)).await?;
        let ids = |how: How| rows.iter().filter(|write| write.how == how).map(|write| write.id.clone()).collect();
        let done = Written { added: ids(How::Added), changed: ids(How::Changed), ..Written::default() };
        let writes: Vec<_> = rows
            .into_iter()
            .zip(passages)
            .map(|(Write { id, row, .. }, passages)| {
                let row_hash = Some(row.row_hash());
                EntryWrite { row_hash, ..row.into_write(id, passages) }
            })
            .collect();
        self.commit(embedder.id(), &writes, &[], done).await
    }

    /// Notes down what is about to be done, then commits: a kill in between leaves a line too many, which takes nothing
    /// back, rather than rows that nobody could take back.
    pub(super) async fn commit(&self, embedder: &str, writes: &[EntryWrite], deletes: &[EntryId], done: Written) -> Result<()> {
        let pending = self.knowledge.store().prepare_commit(self.tenant, embedder, writes, deletes, &self.by).await?;
        if let Some(path) = &self.written {
            note(path, &serde_json::to_string(&Written { revision: pending.revision, ..done })?).await?;
        }
        pending.commit().await?;
        self.knowledge.nudge();
        Ok(())
    }
}

/// Appends a line; one that was torn off before it stays a line of its own.
async fn note(path: &Path, line: &str) -> Result<()> {
    let mut file = tokio::fs::OpenOptions::new().create(true).read(true).append(true).open(path).await?;
    let length = file.metadata().await?.len();
    let mut torn = false;
    if length > 0 {
        file.seek(SeekFrom::Start(length - 1)).await?;
        torn = file.read_u8().await? != b'\n';
    }
    let begin = if torn { "\n" } else { "" };
    file.write_all(format!("{begin}{line}\n").as_bytes()).await?;
    Ok(file.flush().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_was_torn_off_takes_no_other_along() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written.jsonl");
        for line in ["{\"a\":1}", "{\"b\":2}"] {
            note(&path, line).await.unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\":2}\n");
        std::fs::write(&path, "{\"a\":1}\n{\"b").unwrap();
        note(&path, "{\"c\":3}").await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\n{\"c\":3}\n");
    }
}
