//! The plan of an import on disk, a JSON object a row: what would become of it, and what is in its
//! place now. A plan of a million rows is read page by page.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;

/// What would become of a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Names the row when the plan is applied.
    pub n: u64,
    /// `added`, `changed`, `unchanged`, `duplicate`, `conflicting`, `failed` or `deleted`.
    pub fate: String,
    /// The file, or for a deleted one its source.
    pub file: String,
    /// The sheet of a workbook.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sheet: Option<String>,
    /// From 1, the header counted.
    pub row: u64,
    /// The entry that it is or would be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// What is wrong with it, and what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// What the message is made of, for pages that say it in another language.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<Value>,
    /// The row in the file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<Value>,
    /// The row in the base that it would change or that it conflicts with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old: Option<Value>,
    /// The row in the base that one held back would be written over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub over: Option<Value>,
    /// What the entry that it conflicts with would say if it were replaced: what the file has no column for stays.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instead: Option<Value>,
    /// The cells of a row that failed or conflicts, as the table of `--report` has them; empty ones are left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cells: Option<Value>,
}

/// Writes a plan.
pub struct PlanWriter(BufWriter<File>);

impl PlanWriter {
    /// Begins one, over an older one.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self(BufWriter::new(File::create(path)?)))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// What the disk says.
    pub fn add(&mut self, row: &Planned) -> Result<()> {
        serde_json::to_writer(&mut self.0, row)?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(mut self) -> Result<()> {
        Ok(self.0.flush()?)
    }
}

/// A page of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlanPage {
    /// Its rows.
    pub rows: Vec<Planned>,
    /// The `after` of the next page; none behind the last.
    pub next: Option<u64>,
}

/// Reads up to `limit` rows of one fate, or of all, after so many lines of the plan.
///
/// # Errors
/// What the disk says.
pub fn page(path: &Path, fate: Option<&str>, after: u64, limit: usize) -> Result<PlanPage> {
    let mut page = PlanPage::default();
    for (line, at) in BufReader::new(File::open(path)?).lines().zip(1_u64..) {
        let line = line?;
        if at <= after {
            continue;
        }
        let row: Planned = serde_json::from_str(&line)?;
        if fate.is_some_and(|fate| fate != row.fate) {
            continue;
        }
        if page.rows.len() == limit {
            return Ok(page);
        }
        page.rows.push(row);
        page.next = Some(at);
    }
    page.next = None;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_page_by_page_and_by_fate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.jsonl");
        let mut plan = PlanWriter::create(&path).unwrap();
        for n in 0..10 {
            let fate = if n % 2 == 0 { "added" } else { "failed" };
            plan.add(&Planned { n, fate: fate.to_owned(), row: n + 2, ..Planned::default() }).unwrap();
        }
        plan.finish().unwrap();
        let first = page(&path, Some("failed"), 0, 2).unwrap();
        assert_eq!(first.rows.iter().map(|row| row.n).collect::<Vec<_>>(), [1, 3]);
        let second = page(&path, Some("failed"), first.next.unwrap(), 9).unwrap();
        assert_eq!((second.rows.iter().map(|row| row.n).collect::<Vec<_>>(), second.next), (vec![5, 7, 9], None));
        assert_eq!(page(&path, None, 0, 10).unwrap().next, None);
    }
}
