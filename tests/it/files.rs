//! A folder of spiteful files: each imports rightly, or fails with the row and the code that the
//! manifest names. `files/make.py` makes them.

use std::path::Path;

use merchant_copilot::knowledge::read;
use serde::Deserialize;

#[derive(Deserialize)]
struct Spiteful {
    file: String,
    wrong: String,
    read: Option<Vec<String>>,
    error: Option<String>,
}

fn seen(path: &Path) -> Result<Vec<String>, String> {
    let rows = read::open(path, None, None, chrono_tz::Asia::Shanghai).map_err(|error| error.code().to_owned())?;
    Ok(rows
        .map(|row| match row.draft {
            Ok(draft) => format!("{} {}={}", row.row, draft.question, draft.answer),
            Err(error) => format!("{} !{}", row.row, error.code),
        })
        .collect())
}

#[test]
fn every_spiteful_file_is_read_rightly_or_fails_with_its_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/files");
    let manifest: Vec<Spiteful> = serde_json::from_str(&std::fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    let mut there: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    there.retain(|name| name != "manifest.json" && name != "make.py");
    there.sort();
    let mut listed: Vec<_> = manifest.iter().map(|spiteful| spiteful.file.clone()).collect();
    listed.sort();
    assert_eq!(there, listed, "every file is in the manifest");
    let mut wrong = Vec::new();
    for spiteful in &manifest {
        let expected = match (&spiteful.read, &spiteful.error) {
            (Some(rows), None) => Ok(rows.clone()),
            (None, Some(code)) => Err(code.clone()),
            _ => panic!("{}: either `read` or `error`", spiteful.file),
        };
        let seen = seen(&folder.join(&spiteful.file));
        if seen != expected {
            wrong.push(format!("{} ({}):\n  is       {seen:?}\n  expected {expected:?}", spiteful.file, spiteful.wrong));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
