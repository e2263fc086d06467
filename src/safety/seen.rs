//! What the guardrails made of texts of the base. The same rows are looked at for question after question, and the
//! guardrails of a running server do not change.

use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::Checked;

/// Bytes kept; most texts pass as they are and take only [`ROOM`].
const KEPT: u64 = 16 << 20;
/// What a text takes beside itself, about: its key, its place and its notes.
const ROOM: usize = 160;

/// What makes a text pass as it does: the text, whose it is, and what it is looked at beside.
pub type Key = [u8; 32];

/// The key of these parts.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, so that no two lists run together.
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Texts looked at last, each with what became of it; none when it passed as it is.
pub struct Seen(Cache<Key, Option<Arc<Checked>>>);

impl Default for Seen {
    fn default() -> Self {
        let weight = |_: &Key, kept: &Option<Arc<Checked>>| {
            u32::try_from(ROOM + kept.as_ref().map_or(0, |checked| checked.text.len())).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().weigher(weight).max_capacity(KEPT).build())
    }
}

impl Seen {
    /// What became of the text the last time.
    pub fn get(&self, key: &Key, text: &str) -> Option<Checked> {
        let kept = self.0.get(key)?;
        Some(kept.map_or_else(|| Checked { text: text.to_owned(), ..Checked::default() }, |checked| (*checked).clone()))
    }

    /// Keeps what became of the text.
    pub fn keep(&self, key: Key, text: &str, checked: &Checked) {
        let as_it_is = checked.text == text && !checked.refused && checked.notes.is_empty();
        self.0.insert(key, (!as_it_is).then(|| checked.clone().into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_and_what_did_not_come_back() {
        let (seen, text) = (Seen::default(), "满 200 包邮");
        let (clean, struck) = (key(["a", text]), key(["b", text]));
        assert_eq!(seen.get(&clean, text), None);
        let passed = Checked { text: text.into(), ..Checked::default() };
        let refused = Checked { text: "[已屏蔽]".into(), refused: true, ..Checked::default() };
        seen.keep(clean, text, &passed);
        seen.keep(struck, text, &refused);
        assert_eq!((seen.get(&clean, text), seen.get(&struck, text)), (Some(passed), Some(refused)));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
        assert_ne!(key(["a"]), key(["a", ""]));
    }
}
