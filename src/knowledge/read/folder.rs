//! A folder → the files in it that can be read, sorted, so that an import is the same every time.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

use super::{Format, READABLE, unreadable};

/// Every readable file in `folder` and below. Hidden files, linked folders and plain `.txt` (which
/// is a table only when somebody says so) are passed over.
///
/// # Errors
/// `file_unreadable`, or `no_readable_files` when nothing is left.
pub fn files(folder: &Path) -> Result<Vec<(PathBuf, Format)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let fail = |error| unreadable(&folder.display().to_string(), error);
        for item in std::fs::read_dir(&folder).map_err(fail)? {
            let item = item.map_err(fail)?;
            let path = item.path();
            // Word and Excel keep a `~$` file beside one that is open.
            if item.file_name().to_string_lossy().starts_with(['.', '~']) {
                continue;
            }
            if item.file_type().map_err(fail)?.is_dir() {
                folders.push(path);
            } else if let Some(format) = readable(&path) {
                found.push((path, format));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    if found.is_empty() {
        return Err(Error::invalid("no_readable_files", format!("{} has no file that can be read. {READABLE}", folder.display())));
    }
    Ok(found)
}

fn readable(path: &Path) -> Option<Format> {
    let is_txt = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("txt"));
    Format::of(path).filter(|_| path.is_file() && !is_txt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_in_order_and_with_its_folders() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a/z.md", "a/y.jsonl.gz", "notes.txt", ".hidden.csv", "c.doc"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let names: Vec<_> =
            files(root.path()).unwrap().iter().map(|(path, _)| path.strip_prefix(root.path()).unwrap().display().to_string()).collect();
        assert_eq!(names, ["a/y.jsonl.gz", "a/z.md", "b.csv"]);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(files(empty.path()).unwrap_err().code(), "no_readable_files");
    }
}
