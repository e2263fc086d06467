//! Rows back out, with the contract's field names, so that they can be imported again: for export and
//! for the report of rows that need a correction.

use serde_json::{Map, Value, json};

use super::EntryDraft;
use super::read::{Cells, Field};
use crate::ids::Timestamp;

/// A byte order mark, by which spreadsheet programs know UTF-8.
pub const BOM: &str = "\u{feff}";
/// Between several phrasings in one cell.
const BETWEEN: &str = "##";

/// One exported line of JSON.
pub fn to_json(draft: &EntryDraft) -> Value {
    let mut row = Map::new();
    for field in Field::ALL {
        let value = match field {
            Field::Similar => json!(draft.similar),
            Field::Not => json!(draft.negative),
            Field::Tags => json!(draft.tags),
            Field::Direct => json!(draft.direct),
            _ => json!(cell(draft, field)),
        };
        let empty = value.as_str().is_some_and(str::is_empty);
        if !empty || matches!(field, Field::Question | Field::Answer) {
            row.insert(field.name().to_owned(), value);
        }
    }
    Value::Object(row)
}

/// The cells of a table's row, in the order of [`Field::ALL`].
pub fn to_cells(draft: &EntryDraft) -> Vec<String> {
    Field::ALL.iter().map(|&field| cell(draft, field)).collect()
}

/// The cells of a row that could not be read.
pub fn raw_cells(cells: &Cells) -> Vec<String> {
    Field::ALL.iter().map(|&field| cells.get(field).to_owned()).collect()
}

fn cell(draft: &EntryDraft, field: Field) -> String {
    let label = |label: &Option<String>| label.clone().unwrap_or_default();
    // With a time, an end is exact and not moved to the end of its day when it is read again.
    let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339).unwrap_or_default();
    match field {
        Field::Id => label(&draft.id),
        Field::Question => draft.question.clone(),
        Field::Similar => draft.similar.join(BETWEEN),
        Field::Not => draft.negative.join(BETWEEN),
        Field::Answer => draft.answer.clone(),
        Field::Category => label(&draft.category),
        Field::Tags => draft.tags.join(BETWEEN),
        Field::Market => label(&draft.market),
        Field::Locale => label(&draft.locale),
        Field::ValidFrom => time(draft.valid_from),
        Field::ValidTo => time(draft.valid_to),
        Field::Source => label(&draft.source),
        Field::Url => label(&draft.url),
        Field::Direct => {
            if draft.direct {
                "true".into()
            } else {
                String::new()
            }
        }
    }
}
