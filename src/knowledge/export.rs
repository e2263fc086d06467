//! Entries → a file that imports again as what it was: JSON lines or a table.

use chrono_tz::Tz;
use futures::stream::{self, Stream};
use serde_json::{Value, json};

use super::read::{Cells, Field};
use super::store::KnowledgeStore;
use super::{EntryDraft, KnowledgeEntry};
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId};

/// Entries taken from the database at once.
const PAGE: usize = 500;
/// Tells Excel and WPS that a table is UTF-8.
pub const BOM: &str = "\u{feff}";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One object per line.
    Jsonl,
    /// UTF-8 with a byte order mark, so that spreadsheets read it.
    Csv,
}

impl ExportFormat {
    /// Reads the word of `--format`.
    ///
    /// # Errors
    /// `unknown_format` with the words that are known.
    pub fn from_word(word: &str) -> Result<Self> {
        match word.to_lowercase().as_str() {
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            _ => Err(Error::invalid("unknown_format", format!("`{word}` is no format this version writes; use jsonl or csv."))),
        }
    }
}

/// A piece of the file.
#[derive(Clone, Debug)]
pub struct Page {
    /// Rows in it.
    pub rows: usize,
    /// Its text.
    pub bytes: Vec<u8>,
}

/// Every live entry of a tenant in id order, page by page.
pub fn export<'a>(
    store: &'a KnowledgeStore,
    tenant: &'a TenantId,
    format: ExportFormat,
    zone: Tz,
) -> impl Stream<Item = Result<Page>> + 'a {
    let start = Some((None::<EntryId>, true));
    stream::try_unfold(start, move |state| async move {
        let Some((after, first)) = state else { return Ok(None) };
        let page = store.page(tenant, after.as_ref(), PAGE).await?;
        let bytes = match format {
            ExportFormat::Jsonl => lines(&page, zone),
            ExportFormat::Csv => table(&page, first, zone)?,
        };
        let next = page.last().map(|entry| (Some(entry.id.clone()), false));
        Ok(if bytes.is_empty() { None } else { Some((Page { rows: page.len(), bytes }, next)) })
    })
}

fn lines(entries: &[KnowledgeEntry], zone: Tz) -> Vec<u8> {
    entries.iter().flat_map(|entry| format!("{}\n", object(&entry.draft, zone)).into_bytes()).collect()
}

/// An entry under the contract's names; what is not set is left out.
pub fn object(entry: &EntryDraft, zone: Tz) -> Value {
    let cells = Cells::of(entry, zone);
    let mut object = json!({
        "question": entry.question, "answer": entry.answer, "similar": entry.similar, "not": entry.negative,
        "tags": entry.tags, "direct": entry.direct,
    });
    for field in Field::ALL {
        if !cells.get(field).is_empty() && object.get(field.name()).is_none() {
            object[field.name()] = json!(cells.get(field));
        }
    }
    object
}

fn table(entries: &[KnowledgeEntry], first: bool, zone: Tz) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(if first { BOM.as_bytes().to_vec() } else { Vec::new() });
    if first {
        table.write_record(Field::ALL.map(Field::name)).map_err(unwritable)?;
    }
    for entry in entries {
        let cells = Cells::of(&entry.draft, zone);
        table.write_record(Field::ALL.map(|field| cells.get(field))).map_err(unwritable)?;
    }
    table.into_inner().map_err(|error| Error::internal("internal", "A table could not be written.").because(error.into_error()))
}

fn unwritable(error: csv::Error) -> Error {
    Error::internal("internal", "A table could not be written.").because(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Timestamp;
    use crate::knowledge::read::Source;

    const ZONE: Tz = Tz::Asia__Shanghai;

    fn entry(draft: EntryDraft) -> KnowledgeEntry {
        let (id, at) = (EntryId::from_text(draft.id.clone().unwrap_or_default()), Timestamp(0));
        KnowledgeEntry { id, draft, content_hash: String::new(), revision: 1, created: at, updated: at }
    }

    fn read_back(name: &str, bytes: Vec<u8>) -> Vec<EntryDraft> {
        Source::memory(name, bytes, None).unwrap().open(None, ZONE).unwrap().map(|row| row.draft.unwrap()).collect()
    }

    #[test]
    fn an_object_has_the_contracts_names() {
        let draft = EntryDraft {
            id: Some("a".into()),
            question: "问".into(),
            answer: "答".into(),
            similar: vec!["x".into()],
            ..EntryDraft::default()
        };
        let expected = json!({"id": "a", "question": "问", "answer": "答", "similar": ["x"], "not": [], "tags": [], "direct": false});
        assert_eq!(object(&draft, ZONE), expected);
    }

    fn any_draft() -> impl Strategy<Value = EntryDraft> {
        let word = "[a-z一-三|；,#;\\[\"=]{0,6}[a-z]";
        let words = || {
            proptest::collection::vec(word, 0..3).prop_map(|mut words| {
                words.dedup();
                words.sort();
                words.dedup();
                words
            })
        };
        let label = || proptest::option::of("[a-z]{2}[A-Z]");
        let time = || proptest::option::of(0..4_000_000_000_000_i64);
        (
            ("[a-z#]{1,4}", word, "[a-z\",;\t一\n]{0,9}[a-z]"),
            (words(), words(), words()),
            (label(), label(), label()),
            (time(), any::<bool>()),
        )
            .prop_map(|((id, question, answer), (similar, negative, tags), (category, market, url), (from, direct))| EntryDraft {
                id: Some(id),
                question,
                answer: answer.trim().to_owned(),
                similar,
                negative,
                category: category.clone(),
                tags,
                market,
                locale: Some("zh".into()),
                valid_from: from.map(Timestamp),
                valid_to: from.map(|from| Timestamp(from + 86_400_000 - from % 7)),
                source: category,
                url,
                direct,
            })
    }

    proptest! {
        #[test]
        fn an_export_imports_as_what_it_was(drafts in proptest::collection::vec(any_draft(), 1..4)) {
            let entries: Vec<_> = drafts.iter().cloned().map(entry).collect();
            prop_assert_eq!(&read_back("x.jsonl", lines(&entries, ZONE)), &drafts);
            prop_assert_eq!(&read_back("x.csv", table(&entries, true, ZONE).unwrap()), &drafts);
        }
    }
}
