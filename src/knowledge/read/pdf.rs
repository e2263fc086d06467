//! PDFs with a text layer: one entry per section under its headings, which are the lines in larger
//! type; a document without any is one entry per page. A page that is only a picture is a failed row.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use chrono_tz::Tz;
use pdf_extract::{Dictionary, Document, MediaBox, Object, ObjectId, OutputDev, OutputError, Transform, output_doc_page};

use crate::error::{Error, Result};

use super::pump::{self, Pump};
use super::section::{self, Headings, Section, too_large};
use super::{Cells, Given, ReadRow, RowReader, Seekable, io_error};

mod bounds;
mod locks;
mod tables;

/// Largest file.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Most characters of text; a page may draw the same form again and again.
const CHARS: usize = 8_000_000;
/// So many lines and curves on a page without text are a drawing.
const DRAWN: usize = 100;
/// A heading's type is this much larger than the text's.
const LARGER: f64 = 1.12;
/// A heading is no longer.
const HEADING_CHARS: usize = 80;

/// Reads a document called `name`; `policy.zh.pdf` says that its locale is `zh`.
///
/// # Errors
/// `file_unreadable`, `file_too_large` or `file_encrypted`.
pub fn read(mut input: Box<dyn Seekable>, name: String, zone: Tz) -> Result<RowReader> {
    pump::start(move |pump| {
        let mut bytes = Vec::new();
        input.by_ref().take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| io_error(&error))?;
        if bytes.len() as u64 > FILE_BYTES {
            return Err(too_large(FILE_BYTES));
        }
        bounds::check_bytes(&bytes)?;
        document(open(bytes)?, &name, pump, zone)
    })
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::invalid("file_unreadable", format!("The PDF is damaged ({error}). Print it to a new PDF and import that."))
}

fn open(bytes: Vec<u8>) -> Result<Document> {
    let document = bounds::load(bytes)?;
    if document.get_pages().is_empty() {
        return Err(damaged("it has no pages"));
    }
    bounds::check(&document)?;
    Ok(document)
}

fn document(document: Document, name: &str, pump: &Pump, zone: Tz) -> Result<()> {
    let pages = document.get_pages();
    let mut lines = Vec::new();
    let (mut left, mut allowed) = (CHARS, bounds::Pages::new(&document));
    for (&number, &id) in &pages {
        let page = allowed.check(id).and_then(|()| page(&document, number, left));
        match page.map_err(|what| format!("Page {number} cannot be read ({what}). Print the PDF to a new one and import that.")) {
            Ok(text) if text.is_empty() && (has_picture(&document, id) || is_drawn(&document, id)) => {
                if !pump.row(page_without_text(number)) {
                    return Ok(());
                }
            }
            Ok(text) => {
                left = left.saturating_sub(text.iter().map(|line| line.text.chars().count()).sum());
                lines.extend(text);
            }
            Err(error) => {
                let row = ReadRow {
                    row: u64::from(number),
                    sheet: None,
                    given: Given::ALL,
                    draft: Err(Cells::default().error("page_unreadable", error)),
                };
                if !pump.row(row) {
                    return Ok(());
                }
            }
        }
    }
    section::rows(sections(lines, name), name, zone).into_iter().all(|row| pump.row(row));
    Ok(())
}

fn page_without_text(page: u32) -> ReadRow {
    let message =
        format!("Page {page} has no text, only a picture or a drawing, as a scan has. Run it through text recognition (OCR), or type it.");
    ReadRow { row: u64::from(page), sheet: None, given: Given::ALL, draft: Err(Cells::default().error("page_without_text", message)) }
}

/// The lines of a page, or why they cannot be read.
fn page(document: &Document, number: u32, left: usize) -> Result<Vec<Line>, String> {
    let mut lines = Lines { page: number, left, ..Lines::default() };
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| output_doc_page(document, &mut lines, number)));
    match done {
        Ok(Ok(())) => Ok(lines.finish()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it uses something unknown".to_owned()),
    }
}

fn subtype(document: &Document, id: ObjectId) -> Option<&[u8]> {
    document.get_object(id).ok()?.as_stream().ok()?.dict.get(b"Subtype").ok()?.as_name().ok()
}

fn resolve<'a>(document: &'a Document, object: &'a Object) -> Option<&'a Object> {
    document.dereference(object).ok().map(|(_, object)| object)
}

fn has_picture(document: &Document, page: ObjectId) -> bool {
    let Ok((own, ids)) = document.get_page_resources(page) else { return false };
    let dictionaries = own.into_iter().chain(ids.iter().filter_map(|id| document.get_dictionary(*id).ok()));
    dictionaries
        .filter_map(|resources| resolve(document, resources.get(b"XObject").ok()?)?.as_dict().ok())
        .flat_map(Dictionary::iter)
        .filter_map(|(_, object)| object.as_reference().ok())
        .any(|id| subtype(document, id) == Some(b"Image".as_slice()))
}

/// Whether a page has a picture inside its own content, or more lines than a frame or a rule has: text that
/// was turned into outlines looks so.
fn is_drawn(document: &Document, page: ObjectId) -> bool {
    let Ok(content) = document.get_and_decode_page_content(page) else { return false };
    let operators = || content.operations.iter().map(|operation| operation.operator.as_str());
    let strokes = operators().filter(|operator| matches!(*operator, "l" | "c" | "v" | "y" | "re")).count();
    strokes >= DRAWN || operators().any(|operator| operator == "BI")
}

/// A line of text with the size of its type.
#[derive(Clone, Debug, Default)]
struct Line {
    page: u32,
    text: String,
    size: f64,
    /// Further below the line before it than lines of one paragraph are.
    gap: bool,
}

/// Puts characters together to lines.
#[derive(Default)]
struct Lines {
    page: u32,
    left: usize,
    lines: Vec<Line>,
    line: Line,
    /// Where the last character ended.
    last: Option<(f64, f64)>,
}

impl Lines {
    fn finish(mut self) -> Vec<Line> {
        self.end_of_line(false);
        self.lines.retain(|line| !line.text.trim().is_empty());
        self.lines
    }

    fn end_of_line(&mut self, gap: bool) {
        let next = Line { page: self.page, gap, ..Line::default() };
        self.lines.push(std::mem::replace(&mut self.line, next));
    }
}

impl OutputDev for Lines {
    fn begin_page(&mut self, _: u32, _: &MediaBox, _: Option<(f64, f64, f64, f64)>) -> Result<(), OutputError> {
        self.line.page = self.page;
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn output_character(&mut self, place: &Transform, width: f64, _: f64, font_size: f64, text: &str) -> Result<(), OutputError> {
        self.left = self.left.checked_sub(1).ok_or(OutputError::PdfError(pdf_extract::Error::Unimplemented("more text than is read")))?;
        let size = font_size * (place.m11 * place.m22 - place.m12 * place.m21).abs().sqrt();
        let (x, y) = (place.m31, place.m32);
        if let Some((end, before)) = self.last {
            let down = (y - before).abs();
            if down > size * 0.5 {
                self.end_of_line(down > size * 1.9);
            } else if x > end + size * 0.2 && !self.line.text.ends_with(' ') {
                self.line.text.push(' ');
            }
        }
        self.line.size = self.line.size.max((size * 10.0).round() / 10.0);
        self.line.text.push_str(text);
        self.last = Some((x + width * size, y));
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

/// The sections of a document: larger lines are headings, the largest the highest.
fn sections(lines: Vec<Line>, name: &str) -> Vec<Section> {
    let levels = levels(&lines);
    if levels.is_empty() {
        return pages(&lines, name);
    }
    let mut headings = Headings::default();
    let mut found = vec![Section { row: 1, ..Section::default() }];
    let mut before: Option<u8> = None;
    for line in lines {
        let level = level_of(&line, &levels);
        match (level, found.last_mut()) {
            // A heading may go over two lines.
            (Some(level), Some(section)) if before == Some(level) && !line.gap => {
                let joined = joined(section.path.last().map_or("", |heading| &**heading), &line.text);
                section.path = headings.enter(level, &joined);
            }
            (Some(level), _) => {
                let path = headings.enter(level, &line.text);
                found.push(Section { path, row: u64::from(line.page), ..Section::default() });
            }
            (None, Some(section)) => add(&mut section.text, &line),
            (None, None) => {}
        }
        before = level;
    }
    found
}

/// One section per page.
fn pages(lines: &[Line], name: &str) -> Vec<Section> {
    let mut pages: BTreeMap<u32, String> = BTreeMap::new();
    for line in lines {
        add(pages.entry(line.page).or_default(), line);
    }
    let single = pages.len() == 1;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let path = |page: u32| if single { Vec::new() } else { vec![stem.clone().into(), format!("p. {page}").into()] };
    pages.into_iter().map(|(page, text)| Section { path: path(page), row: u64::from(page), text, ..Section::default() }).collect()
}

/// The sizes of headings in tenths of a point, with their levels from 1.
fn levels(lines: &[Line]) -> HashMap<i64, u8> {
    let mut chars: HashMap<i64, usize> = HashMap::new();
    for line in lines {
        *chars.entry(tenths(line.size)).or_default() += line.text.chars().count();
    }
    let Some(body) = chars.iter().max_by_key(|(size, count)| (**count, -**size)).map(|(size, _)| *size) else { return HashMap::new() };
    #[expect(clippy::cast_precision_loss, reason = "sizes of type are small")]
    let larger = |size: &&i64| **size as f64 >= body as f64 * LARGER;
    let mut sizes: Vec<_> = chars.keys().filter(larger).copied().collect();
    sizes.sort_unstable_by_key(|size| -size);
    sizes.into_iter().zip((1..=6).chain(std::iter::repeat(6))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "sizes of type are small")]
fn tenths(size: f64) -> i64 {
    (size * 10.0).round() as i64
}

fn level_of(line: &Line, levels: &HashMap<i64, u8>) -> Option<u8> {
    levels.get(&tenths(line.size)).copied().filter(|_| line.text.trim().chars().count() <= HEADING_CHARS)
}

fn add(text: &mut String, line: &Line) {
    if line.gap && !text.is_empty() {
        text.push_str("\n\n");
        text.push_str(line.text.trim());
    } else {
        *text = joined(text, &line.text);
    }
}

/// Two lines as one: with a space between words, without one between Chinese characters.
fn joined(before: &str, after: &str) -> String {
    let (before, after) = (before.trim_end(), after.trim());
    let is_latin = |c: Option<char>| c.is_some_and(|c| c.is_ascii());
    let space = if is_latin(before.chars().last()) && is_latin(after.chars().next()) { " " } else { "" };
    format!("{before}{space}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(page: u32, size: f64, text: &str) -> Line {
        Line { page, size, text: text.into(), gap: false }
    }

    #[test]
    fn larger_lines_are_headings() {
        let lines = vec![
            line(1, 20.0, "保证金"),
            line(1, 20.0, "规则"),
            line(1, 10.0, "新店须缴"),
            line(1, 10.0, "纳。See the"),
            line(1, 10.0, "table below, it is long enough to be the body."),
            line(2, 14.0, "退还"),
            line(2, 10.0, "七天。"),
        ];
        let found = sections(lines, "x.pdf");
        let seen: Vec<_> = found.iter().map(|s| (s.row, s.path.join("/"), s.text.as_str())).collect();
        assert_eq!(seen[1], (1, "保证金规则".into(), "新店须缴纳。See the table below, it is long enough to be the body."));
        assert_eq!(seen[2], (2, "保证金规则/退还".into(), "七天。"));
    }

    #[test]
    fn without_headings_a_page_is_an_entry() {
        let found = sections(vec![line(1, 10.0, "一"), line(2, 10.0, "二")], "规则.pdf");
        let seen: Vec<_> = found.iter().map(|s| (s.row, s.path.join("/"), s.text.as_str())).collect();
        assert_eq!(seen, [(1, "规则/p. 1".into(), "一"), (2, "规则/p. 2".into(), "二")]);
        assert!(sections(vec![line(1, 10.0, "一")], "规则.pdf")[0].path.is_empty());
    }
}
