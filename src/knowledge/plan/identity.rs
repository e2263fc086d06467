//! Which entry a row is, and whether its content is the same as before.

use sha2::{Digest, Sha256};

use crate::ids::EntryId;
use crate::knowledge::{EntryDraft, text};

/// SHA-256 over every field that people wrote, in a fixed order; the id is not content.
pub fn content_hash(draft: &EntryDraft) -> String {
    hash_under(draft, draft.source.as_ref())
}

/// The same of a file that names no source: what such a file is called says nothing of the entry.
pub fn hash_without_source(draft: &EntryDraft) -> String {
    hash_under(draft, None)
}

fn hash_under(draft: &EntryDraft, source: Option<&String>) -> String {
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
        source: _,
        url,
        direct,
    } = draft;
    let content = (question, answer, similar, negative, category, tags, market, locale, valid_from, valid_to, source, url, direct);
    let mut hash = Hashing(Sha256::new());
    // Strings, lists and numbers into a hash: there is nothing that could fail.
    let written = serde_json::to_writer(&mut hash, &content);
    debug_assert!(written.is_ok());
    hex(&hash.0.finalize())
}

/// Takes what is written.
struct Hashing(Sha256);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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
        assert_eq!(hash_without_source(&draft), hex(&Sha256::digest(content.replace("\"faq.csv\"", "null"))));
        assert_eq!(hex(&[0, 255, 18]), "00ff12");
    }
}
