//! The house keeps its rules: rooms import only rooms above them, every file says what it is for, SQL
//! and axum stay in their places, and ARCHITECTURE.md names the rooms that exist.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()) {
            if item.is_dir() {
                folders.push(item);
            } else if item.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&item).unwrap();
                found.push((item.strip_prefix(root().join("src")).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The rooms in the order of lib.rs.
fn rooms() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.split(';').next());
    names.map(str::to_owned).collect()
}

fn room_of(file: &Path) -> String {
    let first = file.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Code without comments and strings' worth of doubt: the text before `//` on each line.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn a_file_imports_only_rooms_above_its_own() {
    let rooms = rooms();
    let floor = |room: &str| rooms.iter().position(|name| name == room);
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(own) = floor(&room_of(&file)) else { continue };
        for (line, code) in code(&text) {
            for used in code.split("crate::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if floor(&name).is_some_and(|other| other > own) {
                    wrong.push(format!("{}:{line} uses {name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "rooms below may not know rooms above:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> =
        sources().iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(file, _)| file.display().to_string()).collect();
    assert!(silent.is_empty(), "no `//!` in the first line of {silent:?}");
}

#[test]
fn sql_and_axum_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let name = file.display().to_string();
        let may_sql = name.ends_with("store.rs") || name == "db.rs";
        for (line, code) in code(&text) {
            if code.contains("sqlx::query") && !may_sql {
                wrong.push(format!("{name}:{line} speaks SQL"));
            }
            if code.contains("axum::") && room_of(&file) != "http" {
                wrong.push(format!("{name}:{line} knows axum"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for room in rooms() {
        assert!(map.contains(&format!("`{room}")), "ARCHITECTURE.md does not name `{room}`");
    }
}
