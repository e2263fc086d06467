//! Tables from workbooks and text: where their header is, and what a row of them means. Above the
//! header there may be a title; a cell that goes over the whole width is a heading among the rows. An
//! apostrophe that keeps a text from being run as a formula does not belong to it.

use chrono_tz::Tz;

use crate::error::{Error, Result};

use super::cells::excerpt;
use super::header::{Columns, Field};
use super::{Cells, ReadRow, apostrophe};

/// Rows that are searched for the header.
pub const HEADER_WITHIN: usize = 20;

/// A row of a table as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextRow {
    /// From 1, as a spreadsheet numbers it.
    pub row: u64,
    /// Its cells from the first column on.
    pub cells: Vec<String>,
}

impl TextRow {
    /// Whether nothing is in it.
    pub fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.trim().is_empty())
    }
}

/// The place of the header among the first rows: the first with an answer column and most known names.
///
/// # Errors
/// `no_question_or_answer_column` with what the first row has; `file_empty`.
pub fn header<'a>(rows: impl Iterator<Item = &'a [String]>) -> Result<(usize, Columns)> {
    let mut best: Option<(usize, usize, Columns)> = None;
    let mut first_error = None;
    for (at, cells) in rows.take(HEADER_WITHIN).enumerate() {
        match Columns::map(cells.iter().map(String::as_str)) {
            Ok(columns) => {
                let known = cells.iter().filter(|cell| Field::find(cell).is_some()).count();
                if best.as_ref().is_none_or(|(most, ..)| known > *most) {
                    best = Some((known, at, columns));
                }
            }
            // A title says less about the table than the row with the most names.
            Err(error) => {
                let filled = cells.iter().filter(|cell| !cell.trim().is_empty()).count();
                if first_error.as_ref().is_none_or(|(most, _)| filled > *most) {
                    first_error = Some((filled, error));
                }
            }
        }
    }
    match (best, first_error) {
        (Some((_, at, columns)), _) => Ok((at, columns)),
        (None, Some((_, error))) => Err(error),
        (None, None) => Err(Error::invalid("file_empty", "The file is empty.")),
    }
}

/// What a row below the header says.
pub fn row(columns: &Columns, row: TextRow, sheet: Option<&str>, zone: Tz) -> ReadRow {
    let mut cells = Cells::default();
    for (at, cell) in row.cells.iter().enumerate() {
        if let Some(field) = columns.field(at) {
            cells.put(field, apostrophe::unmarked(cell));
        }
    }
    let extra: Vec<_> = row.cells.iter().skip(columns.count()).map(String::as_str).filter(|cell| !cell.trim().is_empty()).collect();
    let draft = if extra.is_empty() {
        cells.into_draft(zone)
    } else {
        let message = format!(
            "The row has {} cells, but the header only {}; too many: {}. A cell with a separator inside must stand in quotes.",
            row.cells.len(),
            columns.count(),
            excerpt(&extra.join(" ¦ "))
        );
        Err(cells.error("too_many_cells", message))
    };
    ReadRow { row: row.row, sheet: sheet.map(str::to_owned), given: columns.given(), draft }
}
