//! Tables as text: CSV, TSV, and what Excel and WPS call CSV. Rows are streamed; their numbers are
//! those a spreadsheet shows, so blank lines count and line breaks inside a cell do not.

use std::collections::VecDeque;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono_tz::Tz;
use csv::{Reader, ReaderBuilder, StringRecord};

use crate::error::{Error, Result};

use super::header::{Columns, Field};
use super::sheet::{self, HEADER_WITHIN, TextRow};
use super::{Cells, Given, ReadRow, RowReader, broken_off};

/// Looked at to find the separator.
const SAMPLE: u64 = 64 * 1024;

/// Most bytes one row may have before it is taken for a quote that was never closed.
const ROW_BYTES: u64 = 8 * 1024 * 1024;

/// Comes after the end: when it turns up inside a cell, that cell's quote was never closed.
/// Like [`super::encoding::BAD`] a noncharacter, which no honest text contains.
const END: &str = "\u{FDD1}";

/// Reads a table whose header is the first row that is not blank, or stands below a title.
///
/// # Errors
/// `no_question_or_answer_column`, `file_empty`, or `file_unreadable`.
pub fn read(text: impl Read + Send + 'static, zone: Tz) -> Result<RowReader> {
    let (beginning, rest) = sampled(text).map_err(|error| super::io_error(&error))?;
    let (declared, beginning) = declared(beginning);
    let separator = declared.unwrap_or_else(|| separator(&beginning));
    let mut table = Table::new(Cursor::new(beginning).chain(rest), separator);
    let mut first = VecDeque::new();
    let mut over = false;
    while first.len() < HEADER_WITHIN && !over {
        match table.next_record() {
            Next::Record(record) if record.iter().all(|cell| cell.trim().is_empty()) => {}
            Next::Record(record) => first.push_back(Ok(table.text_row(&record))),
            Next::End => over = true,
            Next::Broken(row) if first.is_empty() => return Err(first_row_broken(&row)),
            Next::Broken(row) => {
                over = true;
                first.push_back(Err(row));
            }
        }
    }
    let (at, columns) = sheet::header(first.iter().map_while(|row| row.as_ref().ok()).map(|row| row.cells.as_slice()))?;
    first.drain(..=at);
    let notes = columns.notes.clone();
    Ok(RowReader::with_notes(Rows { first, table, columns, zone, over }, notes))
}

/// The beginning of a text, however small the pieces are in which it comes, and the rest. A text that
/// breaks off keeps what came before that.
fn sampled(mut text: impl Read + Send + 'static) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut beginning = Vec::new();
    match text.by_ref().take(SAMPLE).read_to_end(&mut beginning) {
        Ok(_) => Ok((beginning, Box::new(text))),
        Err(error) if beginning.is_empty() => Err(error),
        Err(error) => Ok((beginning, Box::new(BreaksOff(Some(error))))),
    }
}

/// Gives its error, and nothing after it.
struct BreaksOff(Option<io::Error>);

impl Read for BreaksOff {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// What Excel writes above a table to say how it is separated (`sep=;`), and the text without that
/// line, which no spreadsheet shows.
fn declared(mut beginning: Vec<u8>) -> (Option<u8>, Vec<u8>) {
    let end = beginning.iter().position(|&byte| byte == b'\n').unwrap_or(beginning.len());
    match beginning[..end] {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] if separator.is_ascii() => {
            beginning.drain(..(end + 1).min(beginning.len()));
            (Some(separator), beginning)
        }
        _ => (None, beginning),
    }
}

fn first_row_broken(row: &ReadRow) -> Error {
    match &row.draft {
        Err(error) => Error::invalid(error.code, error.message.clone()),
        Ok(_) => Error::internal("internal", "A broken row must have an error."),
    }
}

/// The separator under which one of the first lines has most known headers; then the one under which
/// it has most columns.
fn separator(beginning: &[u8]) -> u8 {
    let lines = beginning.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let lines: Vec<_> = lines.take(HEADER_WITHIN).collect();
    let score = |separator: u8| {
        let of_line = |line: &&[u8]| {
            let mut record = StringRecord::new();
            // A header with a line break inside quotes is cut here; what comes before it tells enough.
            let _ = builder(separator).from_reader(*line).read_record(&mut record);
            (record.iter().filter(|name| Field::find(name).is_some()).count(), record.len())
        };
        lines.iter().map(of_line).max_by_key(|&(known, columns)| (known, std::cmp::Reverse(columns)))
    };
    *b",\t;|^~".iter().rev().max_by_key(|&&separator| score(separator)).unwrap_or(&b',')
}

fn builder(separator: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(separator);
    builder
}

/// The records of a table with their spreadsheet rows.
struct Table<R> {
    records: Reader<Budgeted<R>>,
    budget: Arc<AtomicU64>,
    /// The row of the record read last.
    row: u64,
}

enum Next {
    Record(StringRecord),
    End,
    /// Nothing can be read any further, and why.
    Broken(Box<ReadRow>),
}

type Ended<R> = io::Chain<R, Cursor<String>>;

impl<R: Read> Table<Ended<R>> {
    fn new(text: R, separator: u8) -> Self {
        let budget = Arc::new(AtomicU64::new(0));
        let ended = text.chain(Cursor::new(format!("\n{END}\n")));
        let records = builder(separator).from_reader(Budgeted { inner: ended, left: budget.clone() });
        Self { records, budget, row: 0 }
    }

    fn next_record(&mut self) -> Next {
        let mut record = StringRecord::new();
        let before = self.records.position().line();
        self.budget.store(ROW_BYTES, Ordering::Relaxed);
        let more = match self.records.read_record(&mut record) {
            Ok(more) => more,
            Err(error) => return Next::Broken(Box::new(self.broken(error))),
        };
        // Every line ends in a single `\n`: those neither inside cells nor at the end are blank lines.
        let lines = self.records.position().line() - before;
        let inside = record.iter().flat_map(str::bytes).filter(|&byte| byte == b'\n').count() as u64;
        self.row += lines.saturating_sub(inside).max(1);
        if !more || record.get(0) == Some(END) {
            return Next::End;
        }
        if record.iter().any(|cell| cell.contains(END)) {
            return Next::Broken(Box::new(self.unclosed()));
        }
        Next::Record(record)
    }

    fn text_row(&self, record: &StringRecord) -> TextRow {
        TextRow { row: self.row, cells: record.iter().map(str::to_owned).collect() }
    }

    fn broken(&mut self, error: csv::Error) -> ReadRow {
        let row = self.row + 1;
        match error.into_kind() {
            csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
                self.row = row;
                self.unclosed()
            }
            csv::ErrorKind::Io(error) => broken_off(row, &error),
            other => broken_off(row, &io::Error::other(format!("{other:?}"))),
        }
    }

    fn unclosed(&self) -> ReadRow {
        let message = "A cell of this row begins with a quote (\") that is never closed, so nothing from here on can be told apart. Close the quote, or write it twice (\"\") where it belongs to the text.";
        ReadRow { row: self.row, sheet: None, given: Given::ALL, draft: Err(Cells::default().error("quote_not_closed", message)) }
    }
}

/// Refuses to read more than the budget that is left, so that one endless row cannot fill memory.
struct Budgeted<R> {
    inner: R,
    left: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
#[error("the row is longer than {ROW_BYTES} bytes")]
struct TooLong;

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(target)?;
        let left = self.left.load(Ordering::Relaxed);
        if n as u64 > left {
            return Err(io::Error::other(TooLong));
        }
        self.left.store(left - n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

struct Rows<R> {
    /// Rows that were read while the header was looked for.
    first: VecDeque<Result<TextRow, Box<ReadRow>>>,
    table: Table<R>,
    columns: Columns,
    zone: Tz,
    over: bool,
}

impl<R: Read> Iterator for Rows<Ended<R>> {
    type Item = ReadRow;

    fn next(&mut self) -> Option<ReadRow> {
        if let Some(first) = self.first.pop_front() {
            return Some(first.map_or_else(|broken| *broken, |row| sheet::row(&self.columns, row, None, self.zone)));
        }
        while !self.over {
            match self.table.next_record() {
                // Rows of nothing but separators are what spreadsheets leave below a table.
                Next::Record(record) if record.iter().all(|cell| cell.trim().is_empty()) => {}
                Next::Record(record) => return Some(sheet::row(&self.columns, self.table.text_row(&record), None, self.zone)),
                Next::End => self.over = true,
                Next::Broken(row) => {
                    self.over = true;
                    return Some(*row);
                }
            }
        }
        None
    }
}
