//! One JSON object per line. Keys have the contract's names or their synonyms; unknown ones are
//! passed over. A line that is no object is an error of that line only.

use std::io::{self, BufRead, BufReader, Read};

use chrono_tz::Tz;
use serde_json::{Map, Value};

use crate::knowledge::EntryDraft;

use super::cells::excerpt;
use super::{Cells, Field, Given, ReadRow, RowError, RowReader, broken_off};

/// Longest line in bytes.
const LINE_BYTES: usize = 8 * 1024 * 1024;

/// Reads lines; rows are numbered by line.
pub fn read(text: impl Read + Send + 'static, zone: Tz) -> RowReader {
    let lines = Lines { text: BufReader::with_capacity(64 * 1024, text), line: 0, over: false };
    let rows = lines.map(move |line| match line {
        Line::Text(row, text) => match parse(&text) {
            Ok((cells, given)) => ReadRow { row, sheet: None, given, draft: cells.into_draft(zone) },
            Err(error) => ReadRow { row, sheet: None, given: Given::ALL, draft: Err(error) },
        },
        Line::TooLong(row) => {
            let message = format!("The line is longer than {} MB.", LINE_BYTES >> 20);
            ReadRow { row, sheet: None, given: Given::ALL, draft: Err(Cells::default().error("row_too_long", message)) }
        }
        Line::Broken(row, error) => broken_off(row, &error),
    });
    RowReader::with_notes(rows, Vec::new())
}

enum Line {
    Text(u64, String),
    TooLong(u64),
    Broken(u64, io::Error),
}

/// Lines that are not blank, with their numbers.
struct Lines<R> {
    text: BufReader<R>,
    line: u64,
    over: bool,
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while !self.over {
            self.line += 1;
            match self.read_line() {
                Ok(None) => self.over = true,
                Ok(Some(text)) if text.len() > LINE_BYTES => return Some(Line::TooLong(self.line)),
                Ok(Some(text)) if text.trim_ascii().is_empty() => {}
                // The reader below gives UTF-8 only, and a line is never cut inside a character.
                Ok(Some(text)) => return Some(Line::Text(self.line, String::from_utf8_lossy(&text).into_owned())),
                Err(error) => {
                    self.over = true;
                    return Some(Line::Broken(self.line, error));
                }
            }
        }
        None
    }
}

impl<R: Read> Lines<R> {
    /// The next line, of which no more than the limit and one byte is kept.
    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        self.text.by_ref().take(LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if line.len() > LINE_BYTES && !line.ends_with(b"\n") {
            self.text.skip_until(b'\n')?;
        }
        Ok(if line.is_empty() { None } else { Some(line) })
    }
}

/// The row that a JSON object describes, as a line of a file would.
///
/// # Errors
/// What [`Cells::into_draft`] says, and `bad_field`.
pub fn row_of_object(object: &Map<String, Value>, zone: Tz) -> Result<EntryDraft, RowError> {
    cells(object)?.into_draft(zone)
}

fn parse(line: &str) -> Result<(Cells, Given), RowError> {
    let error = match serde_json::from_str(line) {
        Ok(Value::Object(object)) => return Ok((cells(&object)?, given(&object))),
        Ok(_) => "The line is JSON, but not an object like {\"question\": \"…\", \"answer\": \"…\"}.".to_owned(),
        Err(error) => format!("The line is no JSON (near column {}): {}", error.column(), excerpt(line)),
    };
    let code = if line.contains(super::encoding::BAD) { "bad_encoding" } else { "bad_json" };
    Err(Cells::default().error(code, error))
}

/// The fields that an object has a key for, also when it says `null`.
fn given(object: &Map<String, Value>) -> Given {
    Given::of(object.keys().filter_map(|key| Field::find(key)).map(|(field, _)| field))
}

fn cells(object: &Map<String, Value>) -> Result<Cells, RowError> {
    // By field, then by how well the key names it.
    let mut named: Vec<_> = object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .filter_map(|(key, value)| Field::find(key).map(|(field, place)| (field as usize, place, field, key, value)))
        .collect();
    named.sort_by_key(|&(field, place, ..)| (field, place));
    named.dedup_by_key(|&mut (field, ..)| field);
    let mut cells = Cells::default();
    let mut wrong = None;
    for (_, _, field, key, value) in named {
        match text_of(value) {
            Some(text) => cells.put(field, &text),
            None => wrong = wrong.or(Some(format!("`{key}` must be text{}.", if field.is_list() { " or a list of texts" } else { "" }))),
        }
    }
    match wrong {
        Some(message) => Err(cells.error("bad_field", message)),
        None => Ok(cells),
    }
}

/// A value as the text of a cell; a list stays a JSON list, so that nothing in it is split.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Array(items) => {
            let texts: Vec<_> = items.iter().filter(|item| !item.is_null()).map(text_of).collect::<Option<_>>()?;
            if texts.is_empty() { Some(String::new()) } else { serde_json::to_string(&texts).ok() }
        }
        Value::Null | Value::Object(_) => None,
    }
}
