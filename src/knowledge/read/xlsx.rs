//! Workbooks of Excel and WPS, row by row: every sheet that has a header is a table. Merged cells count
//! in each of their places, formulas by their value, dates and numbers as a person sees them.

use std::collections::{HashSet, VecDeque};

use calamine::{Cell, DataRef, Dimensions, ExcelDateTime, Reader, Xlsx, XlsxError};
use chrono_tz::Tz;

use crate::error::{Error, Result};

use super::archive::Most;
use super::cells::{ANSWER_CHARS, Cells};
use super::header::{Columns, Field};
use super::pump::{self, Pump};
use super::sheet::{self, HEADER_WITHIN, TextRow};
use super::{ReadRow, RowReader, Seekable, archive, number};

/// Cells further right are not read; no table of questions is that wide.
const COLUMNS: u32 = 256;
/// A million rows are a few hundred megabytes of sheets, which are read as they unpack.
const MOST: Most = Most { all: 1024 * 1024 * 1024, kept: 256 * 1024 * 1024 };
/// Text kept of one cell: more than any field may have, so that it is refused with its length.
const CELL_BYTES: usize = 4 * ANSWER_CHARS + 4;

/// Reads a workbook.
///
/// # Errors
/// `file_unreadable`, `file_too_large`, and `no_question_or_answer_column` when no sheet has a header.
pub fn read(input: Box<dyn Seekable>, zone: Tz) -> Result<RowReader> {
    pump::start(move |pump| {
        let mut zip = archive::open(input)?;
        let formulas = archive::check_size(&mut zip, &MOST)?;
        archive::check_strings(&mut zip)?;
        book(Xlsx::new(zip.into_inner()).map_err(unreadable)?, formulas, pump, zone)
    })
}

fn book(mut book: Xlsx<Box<dyn Seekable>>, formulas: bool, pump: &Pump, zone: Tz) -> Result<()> {
    let (mut headless, mut any) = (Vec::new(), false);
    let names = book.sheet_names();
    for name in &names {
        let merges = match book.merge_cells_by_sheet_name(name) {
            Ok(merges) => Merges::new(merges),
            Err(XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let unvalued = if formulas { unvalued(&mut book, name)? } else { HashSet::new() };
        let cells = match book.worksheet_cells_reader(name) {
            Ok(cells) => cells,
            // Sheets of charts have no cells.
            Err(XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let mut sheet = Sheet { name, pump, zone, rows: Rows::new(cells, merges, unvalued), headings: Vec::new() };
        match sheet.read()? {
            Outcome::Done => any = true,
            Outcome::Empty => {}
            Outcome::NoHeader(error) => headless.push((name, error)),
            Outcome::Unwanted => return Ok(()),
        }
    }
    if !any {
        let nothing = || Error::invalid("file_empty", "The workbook has no sheet with anything in it.");
        return Err(headless.into_iter().next().map_or_else(nothing, |(_, error)| error));
    }
    for (name, error) in headless {
        pump.note(format!("the sheet `{name}` is not read: {}", error.message()));
    }
    Ok(())
}

/// Cells whose formula was never computed: programs that write workbooks leave that to Excel.
fn unvalued(book: &mut Xlsx<Box<dyn Seekable>>, sheet: &str) -> Result<HashSet<(u32, u32)>> {
    let mut found = HashSet::new();
    let mut cells = match book.worksheet_cells_reader(sheet) {
        Ok(cells) => cells,
        Err(XlsxError::NotAWorksheet(_)) => return Ok(found),
        Err(error) => return Err(unreadable(error)),
    };
    while let Some(cell) = cells.next_cell_with_formula_metadata().map_err(unreadable)? {
        let without = cell.formula.is_some() && matches!(cell.value, DataRef::Empty);
        if without && cell.pos.1 < COLUMNS {
            found.insert(cell.pos);
        }
    }
    Ok(found)
}

fn unreadable(error: XlsxError) -> Error {
    let what = match &error {
        XlsxError::Password => "The workbook is protected by a password. Save it without one.".to_owned(),
        _ => format!("The workbook is damaged ({error}). Open it, save it again as .xlsx, and import that."),
    };
    Error::invalid("file_unreadable", what).because(error)
}

enum Outcome {
    Done,
    /// Nothing is in it.
    Empty,
    /// It has no header, and what the error is when no other sheet has one.
    NoHeader(Error),
    /// Nobody wants more rows.
    Unwanted,
}

struct Sheet<'a> {
    name: &'a str,
    pump: &'a Pump,
    zone: Tz,
    rows: Rows<'a>,
    /// Rows that are one merged cell.
    headings: Vec<u64>,
}

impl Sheet<'_> {
    fn read(&mut self) -> Result<Outcome> {
        let mut first = VecDeque::new();
        while first.len() < HEADER_WITHIN
            && let Some(row) = self.rows.next()?
        {
            first.push_back(row);
        }
        let (at, columns) = match sheet::header(first.iter().map(|row| row.text.cells.as_slice())) {
            Ok(header) => header,
            Err(_) if first.is_empty() => return Ok(Outcome::Empty),
            Err(error) => return Ok(Outcome::NoHeader(error)),
        };
        first.drain(..=at);
        columns.notes.iter().for_each(|note| self.pump.note(format!("sheet `{}`: {note}", self.name)));
        while let Some(row) = first.pop_front().map_or_else(|| self.rows.next(), |row| Ok(Some(row)))? {
            if !self.put(&columns, row) {
                return Ok(Outcome::Unwanted);
            }
        }
        if !self.headings.is_empty() {
            let rows: Vec<_> = self.headings.iter().take(20).map(u64::to_string).collect();
            let many = self.headings.len();
            self.pump.note(format!("sheet `{}`: {many} rows of one merged cell are headings and not read: {}", self.name, rows.join(", ")));
        }
        Ok(Outcome::Done)
    }

    fn put(&mut self, columns: &Columns, row: BookRow) -> bool {
        let covered = |field| {
            (0..columns.count())
                .any(|at| columns.field(at) == Some(field) && row.one_cell.is_some_and(|(from, to)| (from..=to).contains(&at)))
        };
        if covered(Field::Question) && covered(Field::Answer) {
            self.headings.push(row.text.row);
            return true;
        }
        let broken = row.errors.iter().find_map(|(at, what)| columns.field(*at as usize).map(|field| (field, *at, what.clone())));
        let mut read = sheet::row(columns, row.text, Some(self.name), self.zone);
        if let Some((field, column, what)) = broken {
            let cells = match read.draft {
                Ok(draft) => Cells::of(&draft, self.zone),
                Err(error) => *error.cells,
            };
            let (name, cell) = (field.name(), format!("{}{}", letters(column), read.row));
            let error = match what {
                Some(what) => {
                    let message =
                        format!("`{name}` is a formula with the error {what} (cell {cell}). Correct the formula, or write its value.");
                    cells.error("formula_error", message)
                }
                None => {
                    let message = format!(
                        "`{name}` is a formula that was never computed (cell {cell}). Open the workbook in Excel or WPS and save it, or write the value."
                    );
                    cells.error("formula_without_value", message)
                }
            };
            read = ReadRow { draft: Err(error), ..read };
        }
        self.pump.row(read)
    }
}

/// A row of a sheet, merged cells filled.
struct BookRow {
    text: TextRow,
    /// Columns whose formula has an error, or `None` for no value at all.
    errors: Vec<(u32, Option<String>)>,
    /// From which column to which, when the row is a single merged cell.
    one_cell: Option<(usize, usize)>,
}

type CellReader<'a> = calamine::XlsxCellReader<'a, Box<dyn Seekable>>;

/// The rows of a sheet that have anything in them.
struct Rows<'a> {
    cells: CellReader<'a>,
    merges: Merges,
    /// Formulas without a value.
    unvalued: HashSet<(u32, u32)>,
    /// The first cell of the next row.
    ahead: Option<(Cell<DataRef<'a>>, usize)>,
    over: bool,
}

impl<'a> Rows<'a> {
    fn new(cells: CellReader<'a>, merges: Merges, unvalued: HashSet<(u32, u32)>) -> Self {
        Self { cells, merges, unvalued, ahead: None, over: false }
    }

    fn next(&mut self) -> Result<Option<BookRow>> {
        loop {
            let Some(first) = self.ahead.take().map_or_else(|| self.cell(), |cell| Ok(Some(cell)))? else { return Ok(None) };
            let at = first.0.get_position().0;
            let mut row = BookRow { text: TextRow { row: u64::from(at) + 1, cells: Vec::new() }, errors: Vec::new(), one_cell: None };
            let mut next = Some(first);
            while let Some((cell, style)) = next {
                if cell.get_position().0 != at {
                    self.ahead = Some((cell, style));
                    break;
                }
                self.take(&mut row, &cell, style);
                next = self.cell()?;
            }
            let is_blank = row.text.is_blank();
            let own: Vec<_> = (0..row.text.cells.len()).filter(|&at| !row.text.cells[at].trim().is_empty()).collect();
            self.merges.fill(at, &mut row.text.cells);
            if let [only] = own[..] {
                row.one_cell = self.merges.width(at, only);
            }
            // A row of which only merged cells from above are left says nothing of its own.
            if !is_blank || !row.errors.is_empty() {
                return Ok(Some(row));
            }
        }
    }

    /// The next cell; the reader must not be asked again after its last one.
    fn cell(&mut self) -> Result<Option<(Cell<DataRef<'a>>, usize)>> {
        if self.over {
            return Ok(None);
        }
        let cell = self.cells.next_cell_with_style_id().map_err(unreadable)?;
        self.over = cell.is_none();
        Ok(cell)
    }

    fn take(&self, row: &mut BookRow, cell: &Cell<DataRef<'_>>, style: usize) {
        let column = cell.get_position().1;
        if column >= COLUMNS {
            return;
        }
        let code = || {
            self.cells.styles().get(style).and_then(|style| style.number_format.as_ref()).map_or("General", |format| &format.format_code)
        };
        let text = match cell.get_value() {
            DataRef::Empty => {
                if self.unvalued.contains(&cell.get_position()) {
                    row.errors.push((column, None));
                }
                return;
            }
            DataRef::Error(error) => {
                row.errors.push((column, Some(error.to_string())));
                return;
            }
            DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => beginning(text),
            DataRef::SharedString(text) => beginning(text),
            DataRef::Int(value) => value.to_string(),
            DataRef::Float(value) => number::show(*value, code()),
            DataRef::Bool(value) => value.to_string(),
            DataRef::DateTime(value) => date(value),
        };
        let at = column as usize;
        if row.text.cells.len() <= at {
            row.text.cells.resize(at + 1, String::new());
        }
        row.text.cells[at] = text;
    }
}

/// A column as people call it: A, …, Z, AA, ….
fn letters(column: u32) -> String {
    let last = char::from_digit(column % 26 + 10, 36).unwrap_or('?').to_ascii_uppercase();
    if column < 26 { last.to_string() } else { format!("{}{last}", letters(column / 26 - 1)) }
}

fn beginning(text: &str) -> String {
    text[..text.floor_char_boundary(CELL_BYTES)].to_owned()
}

/// A day, a day with its time, a time, or a duration.
fn date(value: &ExcelDateTime) -> String {
    let days = value.as_f64();
    if value.is_duration() {
        let minutes = (days * 24.0 * 60.0).round();
        return format!("{}:{:02}", (minutes / 60.0).trunc(), minutes % 60.0);
    }
    let (year, month, day, hour, minute, second, _) = value.to_ymd_hms_milli();
    let time = if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") };
    match (days < 1.0, hour == 0 && minute == 0 && second == 0) {
        (true, _) => time,
        (false, true) => format!("{year:04}-{month:02}-{day:02}"),
        (false, false) => format!("{year:04}-{month:02}-{day:02} {time}"),
    }
}

/// The merged cells of a sheet, whose text stands in their first place only.
struct Merges {
    /// Still to come, the first one last.
    coming: Vec<Dimensions>,
    /// Those that reach into the row at hand, with their text.
    open: Vec<(Dimensions, String)>,
}

impl Merges {
    fn new(mut merges: Vec<Dimensions>) -> Self {
        merges.retain(|merge| merge.start.0 <= merge.end.0 && merge.start.1 <= merge.end.1);
        merges.sort_by_key(|merge| std::cmp::Reverse(merge.start));
        Self { coming: merges, open: Vec::new() }
    }

    /// Gives each place of a merged cell its text. Rows come in order, and merged cells do not overlap: of those
    /// that do the first counts.
    fn fill(&mut self, row: u32, cells: &mut Vec<String>) {
        self.open.retain(|(merge, _)| merge.end.0 >= row);
        while let Some(merge) = self.coming.pop_if(|merge| merge.start.0 <= row) {
            let text = cells.get(merge.start.1 as usize).filter(|_| merge.start.0 == row);
            let overlaps = |(open, _): &(Dimensions, String)| open.start.1 <= merge.end.1 && merge.start.1 <= open.end.1;
            if merge.end.0 >= row
                && merge.start.1 < COLUMNS
                && let Some(text) = text
                && !self.open.iter().any(overlaps)
            {
                self.open.push((merge, text.clone()));
            }
        }
        for (merge, text) in &self.open {
            let to = merge.end.1.min(COLUMNS - 1) as usize;
            if cells.len() <= to {
                cells.resize(to + 1, String::new());
            }
            cells[merge.start.1 as usize..=to].iter_mut().filter(|cell| cell.is_empty()).for_each(|cell| cell.clone_from(text));
        }
    }

    /// The columns of the merged cell that begins in this place, when it is wider than one.
    fn width(&self, row: u32, column: usize) -> Option<(usize, usize)> {
        let begins = |merge: &&(Dimensions, String)| merge.0.start == (row, u32::try_from(column).unwrap_or(u32::MAX));
        self.open.iter().find(begins).map(|(merge, _)| (column, merge.end.1 as usize)).filter(|(from, to)| to > from)
    }
}

#[cfg(test)]
mod tests {
    use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook, Worksheet};

    use super::super::Source;
    use super::*;

    const ZONE: Tz = Tz::Asia__Shanghai;

    fn workbook(sheets: &[&dyn Fn(&mut Worksheet)]) -> Vec<u8> {
        let mut book = Workbook::new();
        for fill in sheets {
            fill(book.add_worksheet());
        }
        book.save_to_buffer().unwrap()
    }

    fn table(sheet: &mut Worksheet, from: u32, rows: &[&[&str]]) {
        for (row, cells) in (from..).zip(rows) {
            for (column, cell) in (0..).zip(*cells) {
                sheet.write(row, column, *cell).unwrap();
            }
        }
    }

    fn read_all(bytes: Vec<u8>) -> (Vec<ReadRow>, Vec<String>) {
        let mut reader = Source::memory("x.xlsx", bytes, None).unwrap().open(None, ZONE).unwrap();
        let rows = reader.by_ref().collect();
        (rows, reader.notes().to_vec())
    }

    #[test]
    fn a_table_below_a_title_with_merged_cells() {
        let bytes = workbook(&[&|sheet| {
            let plain = Format::new();
            sheet.merge_range(0, 0, 0, 3, "商家问答 2026", &plain).unwrap();
            table(
                sheet,
                2,
                &[&["分类", "问题（必填）", "答案", "相似问题"], &["", "一", "甲", "a##b"], &["", "二", "乙"], &["", "三", ""]],
            );
            sheet.merge_range(3, 0, 5, 0, "物流", &plain).unwrap();
            sheet.merge_range(4, 2, 5, 2, "乙", &plain).unwrap();
            sheet.merge_range(6, 0, 6, 3, "第二部分", &plain).unwrap();
            table(sheet, 7, &[&["钱", "四", "丁"]]);
        }]);
        let (rows, notes) = read_all(bytes);
        let seen: Vec<_> = rows.iter().map(|row| (row.row, row.draft.clone().unwrap())).collect();
        let short: Vec<_> = seen.iter().map(|(row, d)| (*row, d.question.as_str(), d.answer.as_str(), d.category.as_deref())).collect();
        let logistics = Some("物流");
        assert_eq!(
            short,
            [(4, "一", "甲", logistics), (5, "二", "乙", logistics), (6, "三", "乙", logistics), (8, "四", "丁", Some("钱"))]
        );
        assert_eq!(seen[0].1.similar, ["a", "b"]);
        assert_eq!(notes, ["sheet `Sheet1`: 1 rows of one merged cell are headings and not read: 7"]);
    }

    #[test]
    fn values_are_what_a_person_sees() {
        let bytes = workbook(&[&|sheet| {
            table(sheet, 0, &[&["id", "问题", "答案", "失效时间", "生效时间"], &["", "佣金"]]);
            sheet.write(1, 0, 1_234_567_890_123_i64).unwrap();
            sheet.write_number_with_format(1, 2, 0.15, &Format::new().set_num_format("0%")).unwrap();
            let (day, time) = (Format::new().set_num_format("yyyy/m/d"), Format::new().set_num_format("yyyy-mm-dd hh:mm"));
            sheet.write_datetime_with_format(1, 3, ExcelDateTime::parse_from_str("2026-12-31").unwrap(), &day).unwrap();
            sheet.write_datetime_with_format(1, 4, ExcelDateTime::parse_from_str("2026-11-01 08:30").unwrap(), &time).unwrap();
            sheet.write(2, 1, "合计").unwrap();
            sheet.write_formula(2, 2, Formula::new("=CONCAT(1,2)").set_result("12 元")).unwrap();
            sheet.write(3, 1, "坏").unwrap();
            sheet.write_formula(3, 2, Formula::new("=1/0").set_result("#DIV/0!")).unwrap();
        }]);
        let (rows, _) = read_all(bytes);
        let first = rows[0].draft.clone().unwrap();
        assert_eq!((first.id.as_deref(), first.answer.as_str()), (Some("1234567890123"), "15%"));
        assert_eq!(first.valid_to.unwrap().rfc3339(), "2026-12-31T16:00:00Z");
        assert_eq!(first.valid_from.unwrap().rfc3339(), "2026-11-01T00:30:00Z");
        assert_eq!(rows[1].draft.clone().unwrap().answer, "12 元");
        let bad = rows[2].draft.clone().unwrap_err();
        assert_eq!((rows[2].row, bad.code, bad.cells.get(Field::Question)), (4, "formula_error", "坏"));
    }

    #[test]
    fn a_formula_that_was_never_computed_is_an_error_of_its_cell() {
        let bytes = workbook(&[&|sheet| {
            table(sheet, 0, &[&["问题", "答案"], &["一", "甲"], &["二"]]);
            sheet.write_formula(2, 1, Formula::new("=CONCAT(1,2)").set_result("VALUE")).unwrap();
        }]);
        // What a program that computes nothing writes: the formula alone.
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut without = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for at in 0..archive.len() {
            let mut part = archive.by_index(at).unwrap();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut part, &mut text).unwrap();
            without.start_file(part.name().unwrap().into_owned(), zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut without, text.replace("<v>VALUE</v>", "").as_bytes()).unwrap();
        }
        let (rows, _) = read_all(without.finish().unwrap().into_inner());
        assert!(rows[0].draft.is_ok());
        let error = rows[1].draft.clone().unwrap_err();
        assert_eq!(error.code, "formula_without_value");
        assert!(error.message.contains("cell B3"), "{}", error.message);
        assert_eq!([0, 25, 26, 255].map(letters), ["A", "Z", "AA", "IV"]);
    }

    #[test]
    fn every_sheet_with_a_header_is_read() {
        let bytes = workbook(&[
            &|sheet| table(sheet, 0, &[&["填写说明"], &["每行一个问题"]]),
            &|sheet| table(sheet, 0, &[&["问题", "答案"], &["一", "甲"]]),
            &|_| {},
            &|sheet| table(sheet, 0, &[&["Question", "Answer"], &["two", ""]]),
        ]);
        let (rows, notes) = read_all(bytes);
        let seen: Vec<_> = rows.iter().map(|row| (row.sheet.as_deref().unwrap(), row.row, row.draft.is_ok())).collect();
        assert_eq!(seen, [("Sheet2", 2, true), ("Sheet4", 2, false)]);
        assert!(notes.len() == 1 && notes[0].contains("`Sheet1`"), "{notes:?}");
        let none = workbook(&[&|sheet| table(sheet, 0, &[&["名称", "价格"]])]);
        let error = Source::memory("x.xlsx", none, None).unwrap().open(None, ZONE).err().unwrap();
        assert_eq!(error.code(), "no_question_or_answer_column");
    }

    #[test]
    fn a_merge_over_everything_costs_nothing() {
        let mut merges = Merges::new(vec![Dimensions { start: (0, 0), end: (1_048_575, 16_383) }]);
        let mut cells = vec!["a".to_owned()];
        merges.fill(0, &mut cells);
        assert_eq!((cells.len(), cells[255].as_str()), (256, "a"));
    }

    #[test]
    fn what_is_no_workbook_says_so() {
        for bytes in [&b"PK\x03\x04broken"[..], b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"question,answer\na,b\n"] {
            let error = Source::memory("x.xlsx", bytes, None).unwrap().open(None, ZONE).err().unwrap();
            assert_eq!(error.code(), "file_unreadable");
        }
    }
}
