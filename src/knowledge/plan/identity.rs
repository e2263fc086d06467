//! Which entry a row is, and whether its content is the same as before.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::ids::EntryId;
use crate::knowledge::{EntryDraft, text};

/// SHA-256 over every field that people wrote, in a fixed order; the id is not content.
pub fn content_hash(draft: &EntryDraft) -> String {
    Content::of(draft).hash()
}

/// What a row says, hashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    whole: [u8; 32],
    without_source: [u8; 32],
}

impl Content {
    /// Both hashes for little more than one: nearly everything stands before the source.
    pub(super) fn of(draft: &EntryDraft) -> Self {
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
        // One array, taken apart before the source: `[…` and `,source,url,direct]`.
        let mut text = json(&(question, answer, similar, negative, category, tags, market, locale, valid_from, valid_to));
        text.pop();
        let before = Sha256::new().chain_update(&text);
        let with = |source: Option<&String>| {
            let mut rest = json(&(source, url, direct));
            if let Some(opening) = rest.first_mut() {
                *opening = b',';
            }
            before.clone().chain_update(&rest).finalize().into()
        };
        let whole = with(source.as_ref());
        Self { whole, without_source: if source.is_some() { with(None) } else { whole } }
    }

    /// The content hash.
    pub(super) fn hash(&self) -> String {
        hex(&self.whole)
    }

    /// The same of a file that names no source: what such a file is called says nothing of the entry.
    pub(super) fn hash_without_source(&self) -> String {
        hex(&self.without_source)
    }

    /// 128 bits of it.
    pub(super) fn fingerprint(&self) -> u128 {
        first_bits(&self.whole)
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    // Strings, lists and numbers into memory: there is nothing that could fail.
    let written = serde_json::to_writer(&mut text, value);
    debug_assert!(written.is_ok());
    text
}

/// What a row is found again by: its normalised question, or its answer when it has none.
pub fn key(question_key: &str, answer: &str) -> String {
    if question_key.is_empty() { format!("a:{}", text::question_key(answer)) } else { question_key.to_owned() }
}

/// The ids a row without one of its own may have. It is made from source and question; when another row
/// of the same import has taken that (the same question for another market, say), the more exact ones follow.
pub fn derived_ids(draft: &EntryDraft, key: &str, content_hash: &str) -> Vec<EntryId> {
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
    first_bits(&Sha256::digest(text))
}

fn first_bits(hash: &[u8]) -> u128 {
    hash.iter().take(16).fold(0, |number, &byte| number << 8 | u128::from(byte))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries keep it: another way of writing it down would make every row of every shop a changed one.
    #[test]
    fn the_hash_stays_what_it_was() {
        let draft = EntryDraft {
            question: "怎么退款？".into(),
            answer: "\"七天\"内。".into(),
            tags: vec!["a".into()],
            source: Some("faq.csv".into()),
            valid_from: Some(crate::ids::Timestamp(7)),
            ..EntryDraft::default()
        };
        let content = r#"["怎么退款？","\"七天\"内。",[],[],null,["a"],null,null,7,null,"faq.csv",null,false]"#;
        assert_eq!(content_hash(&draft), hex(&Sha256::digest(content)));
        let without = content.replace("\"faq.csv\"", "null");
        assert_eq!(Content::of(&draft).hash_without_source(), hex(&Sha256::digest(&without)));
        let unnamed = Content::of(&EntryDraft { source: None, ..draft });
        assert_eq!((unnamed.hash(), unnamed.hash_without_source()), (hex(&Sha256::digest(&without)), hex(&Sha256::digest(&without))));
        assert_eq!(hex(&[0, 255, 18]), "00ff12");
    }
}
