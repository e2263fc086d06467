//! A workbook with one sheet of text, written row by row into a temporary file, so that a million rows
//! need no memory. Everything is text: nothing turns into a formula or loses its leading zeros.

use rust_xlsxwriter::{Format, Workbook, XlsxError};

use super::read::apostrophe;
use crate::error::{Error, Result};

/// Rows of a sheet.
const ROWS: u32 = 1_048_576;

/// A workbook under way.
pub struct Book {
    book: Workbook,
    row: u32,
}

impl Book {
    /// Begins a workbook with this header.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn new<'a>(header: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut book = Workbook::new();
        let sheet = book.add_worksheet_with_constant_memory().map_err(unwritable)?;
        sheet.set_freeze_panes(1, 0).map_err(unwritable)?;
        let bold = Format::new().set_bold();
        for (column, name) in (0..).zip(header) {
            let width = if matches!(name, "question" | "answer" | "similar" | "message") { 40 } else { 14 };
            sheet.set_column_width(column, width).map_err(unwritable)?;
            sheet.write_string_with_format(0, column, name, &bold).map_err(unwritable)?;
        }
        Ok(Self { book, row: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// `workbook_full`, or `cell_too_long` for what a spreadsheet cannot hold.
    pub fn add<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> Result<()> {
        self.row += 1;
        if self.row >= ROWS {
            return Err(Error::invalid("workbook_full", format!("A sheet holds {ROWS} rows. Use csv or jsonl for more.")));
        }
        let sheet = self.book.worksheet_from_index(0).map_err(unwritable)?;
        for (column, cell) in (0..).zip(cells) {
            if !cell.is_empty() {
                sheet.write_string(self.row, column, apostrophe::kept(cell)).map_err(unwritable)?;
            }
        }
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// When the temporary file cannot be read back.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.book.save_to_buffer().map_err(unwritable)
    }
}

fn unwritable(error: XlsxError) -> Error {
    match error {
        XlsxError::MaxStringLengthExceeded => {
            Error::invalid("cell_too_long", "A cell is longer than a spreadsheet can hold (32,767 characters). Use csv or jsonl.")
        }
        error => {
            Error::unavailable("disk_unwritable", "The workbook cannot be written. Is the disk for temporary files full?").because(error)
        }
    }
}
