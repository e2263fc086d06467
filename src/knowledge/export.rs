//! Entries → a file that imports again as what it was: JSON lines, a table or a workbook.

use chrono_tz::Tz;
use futures::stream::{self, Stream};
use serde_json::{Value, json};

use super::book::Book;
use super::list_store::Listing;
use super::read::{Cells, Field, apostrophe};
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
    /// UTF-8 with a byte order mark, so that spreadsheets read it, and an apostrophe before what they would run.
    Csv,
    /// A workbook.
    Xlsx,
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
            "xlsx" => Ok(Self::Xlsx),
            _ => Err(Error::invalid("unknown_format", format!("`{word}` is no format this version writes; use jsonl, csv or xlsx."))),
        }
    }

    /// The ending of a file's name, and what a browser is told that it is.
    pub fn ending_and_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Jsonl => ("jsonl", "application/x-ndjson"),
            Self::Csv => ("csv", "text/csv; charset=utf-8"),
            Self::Xlsx => ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
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

/// Where an export is.
struct Place {
    after: Option<EntryId>,
    first: bool,
    /// A workbook can only be given away whole.
    book: Option<Book>,
}

/// The entries of a tenant that a listing means, in id order, page by page.
pub fn export(
    store: KnowledgeStore,
    tenant: TenantId,
    listing: Listing,
    format: ExportFormat,
    zone: Tz,
) -> impl Stream<Item = Result<Page>> + Send {
    let start = Some(Place { after: None, first: true, book: None });
    stream::try_unfold(start, move |place| {
        let (store, tenant, listing) = (store.clone(), tenant.clone(), listing.clone());
        async move {
            let Some(mut place) = place else { return Ok(None) };
            let page = store.page(&tenant, &listing, place.after.as_ref(), PAGE).await?;
            let bytes = match format {
                ExportFormat::Jsonl => lines(&page, zone),
                ExportFormat::Csv => table(&page, place.first, zone)?,
                ExportFormat::Xlsx => sheet(&page, &mut place.book, zone)?,
            };
            let is_last = page.is_empty();
            place.after = page.last().map(|entry| entry.id.clone());
            place.first = false;
            let next = (!is_last).then_some(place);
            Ok(if is_last && bytes.is_empty() { None } else { Some((Page { rows: page.len(), bytes }, next)) })
        }
    })
}

/// Adds a page to the workbook; after the last one, the workbook.
fn sheet(entries: &[KnowledgeEntry], book: &mut Option<Book>, zone: Tz) -> Result<Vec<u8>> {
    let mut open = match book.take() {
        Some(book) => book,
        None => Book::new(Field::ALL.map(Field::name).into_iter())?,
    };
    for entry in entries {
        let cells = Cells::of(&entry.draft, zone);
        open.add(Field::ALL.map(|field| cells.get(field)).into_iter())?;
    }
    if entries.is_empty() {
        return open.finish();
    }
    *book = Some(open);
    Ok(Vec::new())
}

fn lines(entries: &[KnowledgeEntry], zone: Tz) -> Vec<u8> {
    entries.iter().flat_map(|entry| format!("{}\n", whole(&entry.draft, zone)).into_bytes()).collect()
}

/// The same with `null` for what is not set: a key that is missing would leave a field as the base has it.
fn whole(entry: &EntryDraft, zone: Tz) -> Value {
    let mut object = object(entry, zone);
    for field in Field::ALL {
        if object.get(field.name()).is_none() {
            object[field.name()] = Value::Null;
        }
    }
    object
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
        table.write_record(Field::ALL.map(|field| apostrophe::marked(cells.get(field)))).map_err(unwritable)?;
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
        let word = "['+@a-z一-三|；,#;\\[\"=]{0,6}[a-z]";
        let words = || {
            proptest::collection::vec(word, 0..3).prop_map(|mut words| {
                words.dedup();
                words.sort();
                words.dedup();
                words
            })
        };
        // Four letters: `all` is every market, and two that are no country's code are a slip.
        let label = || proptest::option::of("[a-z]{3}[A-Z]");
        let time = || proptest::option::of(0..4_000_000_000_000_i64);
        (
            ("['=a-z#]{1,4}", word, "['=a-z\",;\t一\n]{0,9}[a-z]"),
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
            let mut book = None;
            prop_assert!(sheet(&entries, &mut book, ZONE).unwrap().is_empty());
            prop_assert_eq!(&read_back("x.xlsx", sheet(&[], &mut book, ZONE).unwrap()), &drafts);
        }
    }
}
