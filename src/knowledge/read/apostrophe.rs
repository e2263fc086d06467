//! Texts that a spreadsheet would run as a formula: written into a table as text with one apostrophe
//! before them, as people type it, and read without it. Each takes back exactly what the other did.

/// What a formula, or what a spreadsheet makes one of, begins with; some take the full-width signs as well. A line end
/// within a cell comes back from a table as `\n`, whichever it was.
const RUNS: [char; 11] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n'];

/// Whether a text is to be marked: it would run, or be taken for one that is marked.
fn runs(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(RUNS)
}

/// A cell for a table as text.
pub fn marked(text: &str) -> String {
    if runs(text) { format!("'{text}") } else { text.to_owned() }
}

/// A cell for a workbook, where a text is one and never runs: only what [`unmarked`] would shorten is marked.
pub fn kept(text: &str) -> String {
    if text.starts_with('\'') { marked(text) } else { text.to_owned() }
}

/// What a cell of either says.
pub fn unmarked(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| runs(text)).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_run_gets_an_apostrophe_and_loses_it_again() {
        for (text, table, workbook) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")", "=HYPERLINK(\"x\")"),
            ("-5 元", "'-5 元", "-5 元"),
            ("+86 20", "'+86 20", "+86 20"),
            ("@all", "'@all", "@all"),
            ("＝１", "'＝１", "＝１"),
            ("\tx", "'\tx", "\tx"),
            ("\rx", "'\rx", "\rx"),
            ("'=x", "''=x", "''=x"),
            ("''=x", "'''=x", "'''=x"),
            ("'tis", "'tis", "'tis"),
            ("'", "'", "'"),
            ("1=1", "1=1", "1=1"),
            ("", "", ""),
        ] {
            assert_eq!((marked(text).as_str(), kept(text).as_str()), (table, workbook));
        }
        // Typed so by hand, or marked once and then read: text.
        assert_eq!((unmarked("'=x"), unmarked("=x"), unmarked("'tis"), unmarked("''")), ("=x", "=x", "'tis", "''"));
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "['=+@＝－\\-\\t\\r\\na一]{0,6}") {
            let (table, workbook) = (marked(&text), kept(&text));
            prop_assert_eq!((unmarked(&table), unmarked(&workbook)), (text.as_str(), text.as_str()));
            prop_assert!(!table.starts_with(RUNS));
        }
    }
}
