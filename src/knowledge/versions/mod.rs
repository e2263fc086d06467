//! What entries said before: every change and deletion keeps the state it ended, with who did it.

use serde::Serialize;

use super::{EntryDraft, Revision};
use crate::ids::Timestamp;

pub(super) mod store;

/// A state of an entry that was ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The knowledge version that ended it.
    pub revision: Revision,
    /// What ended it.
    pub action: Action,
    /// Who: a key's id, or `cli`.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What the entry said until then.
    pub before: EntryDraft,
}

/// What ended a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Another content.
    Changed,
    /// Its deletion.
    Deleted,
}

impl Action {
    /// The word in storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Deleted => "deleted",
        }
    }
}
