//! The imports that lie in a tenant's folder: told as a list, the newest first, and cleared away when they are over.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Import, Imports, KEPT_MS, RECORD, State};
use crate::error::{Error, Result};
use crate::ids::{TenantId, Timestamp};

/// Applied imports of files of one tenant that are kept, and apart from them rows that were typed: a team corrects a
/// hundred rows between two files. The list reads all their records.
const MOST_PAST: usize = 200;

/// How far an import came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Came {
    /// Nothing is written yet.
    Planned,
    /// It is being written, or was when the server ended.
    Applying,
    /// It is written.
    Applied,
    /// It was taken back.
    Undone,
}

/// An import in the list of them.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    /// Its name within the tenant.
    pub id: String,
    /// The files by name, in order.
    pub files: Vec<String>,
    /// Who sent the files; once applied, who applied it.
    pub by: String,
    /// When the files came.
    pub created_ms: Timestamp,
    /// When it was written.
    pub applied_ms: Option<Timestamp>,
    /// Until when it is kept.
    pub expires_ms: Timestamp,
    /// How far it came.
    pub state: Came,
    /// How many rows were, or would be, added, changed and so on.
    pub counts: Map<String, Value>,
    /// Whether it has written something and can still be taken back.
    pub undoable: bool,
}

/// A page of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PastPage {
    /// The newest first.
    pub imports: Vec<Past>,
    /// The `after` of the next page; none behind the last.
    pub next: Option<String>,
}

impl From<Import> for Past {
    fn from(import: Import) -> Self {
        let report = import.applied.unwrap_or(import.plan);
        let mut counts = report.as_object().cloned().unwrap_or_default();
        counts.retain(|name, count| name != "revision" && count.is_u64());
        let wrote = ["added", "changed", "deleted"].iter().any(|name| counts.get(*name).and_then(Value::as_u64).is_some_and(|n| n > 0));
        let state = match (import.state, import.undone) {
            (State::Planned, _) => Came::Planned,
            (State::Applying, _) => Came::Applying,
            (State::Applied, None) => Came::Applied,
            (State::Applied, Some(_)) => Came::Undone,
        };
        Self {
            id: import.id,
            files: import.files,
            by: import.by,
            created_ms: import.created_ms,
            applied_ms: import.applied_ms,
            expires_ms: import.expires_ms,
            state,
            counts,
            undoable: wrote && state == Came::Applied,
        }
    }
}

impl Past {
    /// Where it stands in the list.
    fn place(&self) -> Reverse<(Timestamp, String)> {
        Reverse((self.created_ms, self.id.clone()))
    }
}

impl Imports {
    /// A page of a tenant's imports on this server, the newest first.
    ///
    /// # Errors
    /// `bad_page` when `after` is no `next` of a page.
    pub async fn list(&self, tenant: &TenantId, after: Option<&str>, limit: usize) -> Result<PastPage> {
        let after = after.map(place).transpose()?.map(Reverse);
        let (folder, now) = (self.of(tenant), self.knowledge.clock().now());
        let mut all: Vec<Past> = tokio::task::spawn_blocking(move || {
            let kept = records(&folder).into_iter().filter_map(|(_, import)| import).filter(|import| import.expires_ms > now);
            kept.map(Past::from).collect()
        })
        .await?;
        all.sort_by_cached_key(Past::place);
        let mut imports: Vec<Past> = all.into_iter().filter(|past| after.as_ref().is_none_or(|after| past.place() > *after)).collect();
        let more = imports.len() > limit;
        imports.truncate(limit);
        let next = imports.last().filter(|_| more).map(|past| format!("{}:{}", past.created_ms.0, past.id));
        Ok(PastPage { imports, next })
    }
}

/// `<moment>:<id>`: where the next page begins.
fn place(text: &str) -> Result<(Timestamp, String)> {
    let place = text.split_once(':').and_then(|(at, id)| Some((Timestamp(at.parse().ok()?), id.to_owned())));
    place.ok_or_else(|| Error::invalid("bad_page", "`after` must be the `next` of the page before."))
}

/// What lies in a folder, with the records that can be read; nothing when there is no folder yet.
fn records(folder: &Path) -> Vec<(PathBuf, Option<Import>)> {
    let items = std::fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok);
    let read = |path: &Path| serde_json::from_str(&std::fs::read_to_string(path.join(RECORD)).ok()?).ok();
    items.map(|item| (item.path(), read(&item.path()))).collect()
}

/// Removes imports that are over, and the oldest of too many; how many are left that wait.
pub(super) fn clear(folder: &Path, now: Timestamp) -> Result<usize> {
    let (mut waiting, mut files, mut typed) = (0, Vec::new(), Vec::new());
    for (path, import) in records(folder) {
        match import {
            Some(import) if import.expires_ms <= now => std::fs::remove_dir_all(&path)?,
            Some(import) if import.state == State::Applied => {
                let past = if import.is_typed() { &mut typed } else { &mut files };
                past.push((Reverse(import.created_ms), path));
            }
            // Somebody has decided on it: it is being written, or can be gone on with.
            Some(import) if import.state == State::Applying => {}
            None if is_old(&path, now) => std::fs::remove_dir_all(&path)?,
            // Not applied yet, or somebody is uploading.
            _ => waiting += 1,
        }
    }
    for mut past in [files, typed] {
        past.sort();
        for (_, path) in past.iter().skip(MOST_PAST) {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(waiting)
}

/// Whether an upload that never became a plan is from before yesterday.
fn is_old(path: &Path, now: Timestamp) -> bool {
    let modified = std::fs::metadata(path).and_then(|data| data.modified());
    let since = modified.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.is_some_and(|since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX) < now.0 - KEPT_MS)
}

#[cfg(test)]
mod tests {
    use super::super::TYPED;
    use super::*;

    fn import(id: &str, created_ms: i64, expires_ms: i64, state: &str) -> Value {
        let (plan, applied) = (serde_json::json!({"added": 0}), serde_json::json!({"added": 1, "notes": ["n"], "revision": 7}));
        let file = if id.starts_with("typed") { TYPED } else { id };
        serde_json::json!({
            "id": id, "state": state, "created_ms": created_ms, "expires_ms": expires_ms, "files": [file], "options": {},
            "planned_at_revision": 1, "plan": plan, "applied": (state == "applied").then_some(applied),
        })
    }

    fn lay(folder: &Path, id: &str, created_ms: i64, expires_ms: i64, state: &str) {
        std::fs::create_dir(folder.join(id)).unwrap();
        std::fs::write(folder.join(id).join(RECORD), import(id, created_ms, expires_ms, state).to_string()).unwrap();
    }

    #[test]
    fn what_is_over_goes_and_the_oldest_of_too_many() {
        let folder = tempfile::tempdir().unwrap();
        lay(folder.path(), "over", 1, 50, "applied");
        lay(folder.path(), "waits", 2, 500, "planned");
        for n in 0..=MOST_PAST {
            lay(folder.path(), &format!("past{n}"), 10 + i64::try_from(n).unwrap(), 500, "applied");
        }
        assert_eq!(clear(folder.path(), Timestamp(100)).unwrap(), 1);
        let there = |id: &str| folder.path().join(id).exists();
        assert_eq!((there("over"), there("waits"), there("past0"), there("past1")), (false, true, false, true));
    }

    #[test]
    fn what_was_typed_pushes_no_file_out() {
        let folder = tempfile::tempdir().unwrap();
        lay(folder.path(), "file", 1, 500, "applied");
        for n in 0..=MOST_PAST {
            lay(folder.path(), &format!("typed{n}"), 10 + i64::try_from(n).unwrap(), 500, "applied");
        }
        assert_eq!(clear(folder.path(), Timestamp(100)).unwrap(), 0);
        let there = |id: &str| folder.path().join(id).exists();
        assert_eq!((there("file"), there("typed0"), there("typed1")), (true, false, true), "the oldest of too many typed ones goes");
    }

    #[test]
    fn what_is_being_written_waits_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        lay(folder.path(), "waits", 2, 500, "planned");
        lay(folder.path(), "typed", 2, 500, "planned");
        lay(folder.path(), "writes", 2, 500, "applying");
        assert_eq!(clear(folder.path(), Timestamp(100)).unwrap(), 2);
        assert!(folder.path().join("writes").exists());
    }

    #[test]
    fn only_what_wrote_something_can_be_taken_back() {
        let told = |state: &str| Past::from(serde_json::from_value::<Import>(import("a", 1, 2, state)).unwrap());
        let (planned, applied) = (told("planned"), told("applied"));
        assert_eq!((planned.state, planned.undoable), (Came::Planned, false));
        assert_eq!((applied.state, applied.undoable), (Came::Applied, true));
        assert_eq!(Value::Object(applied.counts), serde_json::json!({"added": 1}), "numbers, and only of rows");
    }
}
