//! Which entry a row is, and whether its content is the same as before.

use sha2::{Digest, Sha256};

use crate::ids::EntryId;
use crate::knowledge::{EntryDraft, text};

/// SHA-256 over every field that people wrote, in a fixed order; the id is not content.
pub fn content_hash(draft: &EntryDraft) -> String {
    // Named one by one, so that a new field is not forgotten.
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
    } = draft;
    let content =
        serde_json::json!([question, answer, similar, negative, category, tags, market, locale, valid_from, valid_to, source, url, direct]);
    hex(&Sha256::digest(content.to_string()))
}

/// What a row is found again by: its normalised question, or its answer when it has none.
pub fn key(question_key: &str, answer: &str) -> String {
    if question_key.is_empty() { format!("a:{}", text::question_key(answer)) } else { question_key.to_owned() }
}

/// The ids a row may have. One with an id of its own has only that. For the others it is made from
/// source and question; when another row of the same import has taken that (the same question for
/// another market, say), the more exact ones follow.
pub fn candidates(draft: &EntryDraft, key: &str, content_hash: &str) -> Vec<EntryId> {
    if let Some(id) = &draft.id {
        return vec![EntryId::from_text(id)];
    }
    let source = draft.source.as_deref().unwrap_or_default();
    let market = draft.market.as_deref().unwrap_or_default();
    let locale = draft.locale.as_deref().unwrap_or_default();
    let from = draft.valid_from.map_or_else(String::new, |from| from.0.to_string());
    vec![derived(&[source, key]), derived(&[source, key, market, locale, &from]), derived(&[source, key, content_hash])]
}

fn derived(parts: &[&str]) -> EntryId {
    let hash = hex(&Sha256::digest(parts.join("\0")));
    EntryId::from_text(format!("e_{}", &hash[..20]))
}

/// 128 bits that stand for a text, where millions are kept in mind at once.
pub fn fingerprint(text: &str) -> u128 {
    let hash = Sha256::digest(text);
    hash.iter().take(16).fold(0, |number, &byte| number << 8 | u128::from(byte))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
