//! What an import did: counts and problems for programs, and a table of the rows that were not taken,
//! with their cells, to be corrected and imported again.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Revision;
use super::book::Book;
use super::export::BOM;
use super::read::{Cells, Field, apostrophe};
use crate::error::{Error, Result};
use crate::ids::EntryId;

/// Problems listed in a report; the table of [`RowTable`] has all of them.
const LISTED: usize = 1_000;

/// The contract's `kb import` JSON. Every row read counts in exactly one of the six.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportReport {
    /// New rows.
    pub added: u64,
    /// Rows whose content is other than before.
    pub changed: u64,
    /// Rows that were there already.
    pub unchanged: u64,
    /// Rows that say the same as another; not written.
    pub duplicates: u64,
    /// Rows that answer a question otherwise than another; held back.
    pub conflicts: u64,
    /// Rows that could not be read or written.
    pub failed: u64,
    /// The failed rows.
    pub errors: Vec<Problem>,
    /// Whether there are more of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub errors_truncated: bool,
    /// The conflicting rows.
    pub conflicting: Vec<Problem>,
    /// Whether there are more of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub conflicting_truncated: bool,
    /// Rows deleted because their source no longer has them; only when a source was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<u64>,
    /// Rows that somebody decided to leave out.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// In a plan: what changed rows said before, and would say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RowChange>,
    /// The first duplicates, each with the row or entry that it repeats.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub duplicated: Vec<Problem>,
    /// The first of the rows counted in `deleted`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deletions: Vec<Deletion>,
    /// What people should know about a file as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Nothing was written, only judged.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// It was stopped before the end; a second import goes on where it stopped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// The knowledge version afterwards.
    pub revision: Revision,
}

/// One row that needs somebody's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Its sheet, in a workbook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// From 1, the header counted.
    pub row: u64,
    /// Stable.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// What a changed row said and would say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// The file as it was named.
    pub file: String,
    /// From 1, the header counted.
    pub row: u64,
    /// The entry.
    pub id: EntryId,
    /// Its answer in the base.
    pub old: String,
    /// Its answer in the file.
    pub new: String,
    /// Every field that differs, as its cell would be written.
    pub fields: Vec<FieldChange>,
}

/// One field of a changed row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its name in a table.
    pub field: String,
    /// In the base; empty when it was not set.
    pub old: String,
    /// In the file; empty when it clears it.
    pub new: String,
}

/// A row that its source no longer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// The entry.
    pub id: EntryId,
    /// Its question, or the beginning of its answer when it has none.
    pub question: String,
    /// Its source.
    pub source: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl ImportReport {
    /// Notes a changed row, as long as the list is not full.
    pub fn add_change(&mut self, change: RowChange) {
        list(&mut self.changes, change);
    }

    /// Notes a duplicate, as long as the list is not full; it is counted where it is judged.
    pub fn add_duplicate(&mut self, problem: Problem) {
        list(&mut self.duplicated, problem);
    }

    /// Notes a deletion, as long as the list is not full; it is counted where it is done.
    pub fn add_deletion(&mut self, deletion: Deletion) {
        list(&mut self.deletions, deletion);
    }

    /// How many deletions the list has room for.
    pub fn deletions_left(&self) -> usize {
        LISTED - self.deletions.len()
    }

    /// Rows read.
    pub fn rows(&self) -> u64 {
        self.added + self.changed + self.unchanged + self.duplicates + self.conflicts + self.failed
    }

    /// Whether somebody should look at it.
    pub fn has_problems(&self) -> bool {
        self.failed > 0 || self.conflicts > 0 || self.interrupted
    }

    /// Counts a failed row.
    pub fn add_failed(&mut self, problem: Problem) {
        self.failed += 1;
        self.errors_truncated |= !list(&mut self.errors, problem);
    }

    /// Counts a conflicting row.
    pub fn add_conflict(&mut self, problem: Problem) {
        self.conflicts += 1;
        self.conflicting_truncated |= !list(&mut self.conflicting, problem);
    }
}

fn list<T>(listed: &mut Vec<T>, one: T) -> bool {
    let fits = listed.len() < LISTED;
    if fits {
        listed.push(one);
    }
    fits
}

/// A table of rows that were not taken: where, what and why, then their own cells under the usual
/// headers. A workbook when its name ends so, else UTF-8 with a byte order mark, so that spreadsheets
/// read it, and with an apostrophe before what they would run.
pub struct RowTable {
    path: PathBuf,
    table: Written,
}

enum Written {
    Csv(Box<csv::Writer<File>>),
    Xlsx(Box<Book>),
}

/// What a report says of each row before its cells.
pub const PLACE: [&str; 6] = ["file", "sheet", "row", "status", "code", "message"];

impl RowTable {
    /// Begins the table, over an older one of that name.
    ///
    /// # Errors
    /// `report_unwritable` with the path.
    pub fn create(path: &Path) -> Result<Self> {
        let fail = |error: std::io::Error| unwritable(path, error);
        let mut file = File::create(path).map_err(fail)?;
        let header = || PLACE.into_iter().chain(Field::ALL.map(Field::name));
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("xlsx")) {
            return Ok(Self { path: path.to_owned(), table: Written::Xlsx(Box::new(Book::new(header())?)) });
        }
        std::io::Write::write_all(&mut file, BOM.as_bytes()).map_err(fail)?;
        let mut table = Self { path: path.to_owned(), table: Written::Csv(Box::new(csv::Writer::from_writer(file))) };
        table.record(header())?;
        Ok(table)
    }

    /// Adds a row: `status` is `failed` or `conflicting`.
    pub fn add(&mut self, status: &str, problem: &Problem, cells: &Cells) -> Result<()> {
        let row = problem.row.to_string();
        let sheet = problem.sheet.as_deref().unwrap_or_default();
        let head = [&problem.file, sheet, &row, status, problem.code, &problem.message];
        self.record(head.into_iter().chain(Field::ALL.map(|field| cells.get(field))))
    }

    /// Makes sure that everything added so far is in the file; a workbook is written at the end.
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.table {
            Written::Csv(table) => table.flush().map_err(|error| unwritable(&self.path, error)),
            Written::Xlsx(_) => Ok(()),
        }
    }

    /// Ends the table.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        match self.table {
            Written::Csv(_) => Ok(()),
            Written::Xlsx(book) => std::fs::write(&self.path, book.finish()?).map_err(|error| unwritable(&self.path, error)),
        }
    }

    fn record<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> Result<()> {
        match &mut self.table {
            Written::Csv(table) => table.write_record(cells.map(apostrophe::marked)).map_err(|error| unwritable(&self.path, error.into())),
            Written::Xlsx(book) => book.add(cells),
        }
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    let path = path.display();
    Error::invalid("report_unwritable", format!("The report {path} cannot be written: {error}.")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::read::open;

    fn problem(row: u64) -> Problem {
        Problem { file: "faq.csv".into(), sheet: None, row, code: "bad_date", message: "no date".into() }
    }

    #[test]
    fn a_report_lists_so_many_and_counts_all() {
        let mut report = ImportReport::default();
        (0..1_200).for_each(|row| report.add_failed(problem(row)));
        assert_eq!((report.failed, report.errors.len(), report.errors_truncated), (1_200, 1_000, true));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["errors"][0], serde_json::json!({"file": "faq.csv", "row": 0, "code": "bad_date", "message": "no date"}));
        assert!(json.get("interrupted").is_none() && json["revision"] == 0);
    }

    #[test]
    fn the_consoles_table_has_the_same_columns() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/web/console/report.ts")).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        assert!(page.contains(&format!("PLACE = [{}]", names(&PLACE))), "where and why");
        assert!(page.contains(r"/^'*[=+\-@＝＋－＠\t\r\n]/"), "what is marked, as `apostrophe` reads it");
        assert!(page.contains(&format!("FIELDS = [{}]", names(&Field::ALL.map(Field::name)))), "the row's own cells");
    }

    #[test]
    fn the_table_of_rows_imports_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut cells = Cells::default();
        cells.put(Field::Question, "怎么\"退款\"");
        cells.put(Field::Answer, "七天，\n原路");
        cells.put(Field::Source, "faq.csv");
        cells.put(Field::Category, "=1+1");
        cells.put(Field::Url, "'@x");
        for name in ["report.csv", "report.xlsx"] {
            let path = folder.path().join(name);
            let mut table = RowTable::create(&path).unwrap();
            table.add("failed", &problem(7), &cells).unwrap();
            table.finish().unwrap();
            let rows: Vec<_> = open(&path, None, None, chrono_tz::UTC).unwrap().map(|row| row.draft.unwrap()).collect();
            assert_eq!((rows[0].question.as_str(), rows[0].answer.as_str()), ("怎么\"退款\"", "七天，\n原路"));
            assert_eq!(rows[0].source.as_deref(), Some("faq.csv"));
            assert_eq!((rows[0].category.as_deref(), rows[0].url.as_deref()), (Some("=1+1"), Some("'@x")), "{name}");
        }
        let text = std::fs::read_to_string(folder.path().join("report.csv")).unwrap();
        assert!(text.contains(",'=1+1,") && text.contains(",''@x,"), "a spreadsheet would run it: {text}");
        assert_eq!(RowTable::create(folder.path()).err().unwrap().code(), "report_unwritable");
    }
}
