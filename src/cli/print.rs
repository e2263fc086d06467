//! Writing to the terminal. A reader that went away (`… | head`) ends nothing and breaks nothing.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

use serde_json::Value;

/// A line of result.
pub fn line(text: impl Display) {
    let _ = writeln!(stdout(), "{text}");
}

/// How many of a thing, as `1 row` or `2 rows`.
pub fn count(n: impl TryInto<u64>, thing: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    match thing.strip_suffix("ry") {
        _ if n == 1 => format!("1 {thing}"),
        Some(stem) => format!("{n} {stem}ries"),
        None => format!("{n} {thing}s"),
    }
}

/// A piece of result without a line's end, at once.
pub fn piece(text: impl Display) {
    let mut out = stdout();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// The one object of `--json`.
pub fn json(object: &Value) {
    line(object);
}

/// A line for people beside the result.
pub fn aside(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}
