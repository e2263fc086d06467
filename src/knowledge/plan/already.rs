//! What of a base already stands as a row says: for a file that is imported again nearly every row does, and is
//! told by its hash alone.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{Candidate, fingerprint};
use crate::ids::EntryId;
use crate::knowledge::read::Given;

/// The rows that entries were made of, where nobody has changed the entry since: 64 bits of its id, and
/// [`Candidate::row_hash`].
#[derive(Debug, Default)]
pub struct Already(HashMap<u64, i64>);

impl Already {
    /// From what is stored: id and row hash, or the content hash of entries that have none: those of before row hashes
    /// were kept, and those that somebody has edited.
    pub fn new(stored: impl IntoIterator<Item = (EntryId, Option<i64>, Option<String>)>) -> Self {
        let hash = |row: Option<i64>, content: Option<String>| row.or_else(|| Some(row_hash(&content?, Given::ALL)));
        Self(stored.into_iter().filter_map(|(id, row, content)| Some((short(&id), hash(row, content)?))).collect())
    }

    /// The entry that a row would leave as it is.
    pub fn standing(&self, row: &Candidate) -> Option<EntryId> {
        if self.0.is_empty() {
            return None;
        }
        let hash = row.row_hash();
        row.ids().iter().find(|id| self.0.get(&short(id)) == Some(&hash)).cloned()
    }
}

fn short(id: &EntryId) -> u64 {
    (fingerprint(id.as_str()) >> 64) as u64
}

/// 64 bits of SHA-256 over a content hash and which fields were given.
pub fn row_hash(content_hash: &str, given: Given) -> i64 {
    let hash = Sha256::new().chain_update(content_hash).chain_update(given.bits().to_le_bytes()).finalize();
    hash.iter().take(8).fold(0, |number, &byte| number << 8 | i64::from(byte))
}
