//! Web pages: one entry per section under its headings, with what a reader of the page sees as text.
//! A comment right under a heading gives fields, as in Markdown.

use std::io::Read;

use chrono_tz::Tz;
use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};

use crate::error::Result;

use super::RowReader;
use super::section::{self, Headings, PATH, Section};

/// What is not part of the text.
const HIDDEN: &[&str] = &["script", "style", "title", "template", "svg", "noscript", "iframe", "object"];
/// What begins on a line of its own.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "section",
    "article",
    "main",
    "header",
    "footer",
    "aside",
    "nav",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "table",
    "blockquote",
    "figure",
    "figcaption",
    "form",
    "fieldset",
    "hr",
    "pre",
    "address",
    "details",
    "summary",
    "body",
];

/// Reads a page called `name`; `policy.zh.html` says that its locale is `zh`.
///
/// # Errors
/// `file_too_large` or `file_unreadable`.
pub fn read(text: impl Read, name: &str, zone: Tz) -> Result<RowReader> {
    let page = section::whole(text)?;
    let mut walk = Walk::new(&page);
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(page.as_str(), emitter) {
        let Ok(token) = token;
        walk.take(token);
    }
    let (sections, notes) = walk.finish();
    Ok(RowReader::with_notes(section::rows(sections, name, zone).into_iter(), notes))
}

struct Walk<'a> {
    page: &'a str,
    found: Vec<Section>,
    headings: Headings,
    /// The level, the line and the text of the heading that is being read.
    heading: Option<(u8, u64, String)>,
    /// The element that is passed over, and how many of its kind are open.
    hidden: Option<(String, usize)>,
    /// Elements open in which spaces count.
    preformatted: usize,
    /// In a cell of a table, whose row stays in one line.
    in_cell: bool,
    line: u64,
    at: usize,
    notes: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(page: &'a str) -> Self {
        Self {
            page,
            found: vec![Section { row: 1, ..Section::default() }],
            headings: Headings::default(),
            heading: None,
            hidden: None,
            preformatted: 0,
            in_cell: false,
            line: 1,
            at: 0,
            notes: Vec::new(),
        }
    }

    fn take(&mut self, token: Token<usize>) {
        match token {
            Token::StartTag(tag) => {
                let name = String::from_utf8_lossy(&tag.name).into_owned();
                self.start(&name, tag.self_closing, tag.span.start);
            }
            Token::EndTag(tag) => self.end(&String::from_utf8_lossy(&tag.name)),
            Token::String(text) if self.hidden.is_none() => self.text(&String::from_utf8_lossy(&text.value)),
            Token::Comment(comment) if self.hidden.is_none() => self.comment(&String::from_utf8_lossy(&comment.value)),
            _ => {}
        }
    }

    fn start(&mut self, name: &str, self_closing: bool, at: usize) {
        if let Some((hidden, depth)) = &mut self.hidden {
            *depth += usize::from(hidden == name && !self_closing);
            return;
        }
        match (name, level(name)) {
            (_, Some(level)) => {
                self.end_heading();
                self.heading = Some((level, self.line_of(at), String::new()));
            }
            (name, _) if HIDDEN.contains(&name) && !self_closing => self.hidden = Some((name.to_owned(), 1)),
            ("br", _) => self.break_line(),
            ("li", _) => {
                self.break_line();
                self.push("- ");
            }
            ("tr", _) => {
                self.end_cell();
                self.break_line();
                self.push("| ");
            }
            ("td" | "th", _) => {
                self.end_cell();
                self.in_cell = true;
            }
            (name, _) if BLOCKS.contains(&name) => {
                self.preformatted += usize::from(name == "pre");
                self.break_block();
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((hidden, depth)) = &mut self.hidden {
            *depth -= usize::from(hidden == name);
            if *depth == 0 {
                self.hidden = None;
            }
            return;
        }
        match name {
            "td" | "th" => self.end_cell(),
            "tr" => self.end_cell(),
            "table" => {
                self.end_cell();
                self.break_block();
            }
            "pre" => {
                self.preformatted = self.preformatted.saturating_sub(1);
                self.break_block();
            }
            name if level(name).is_some() => self.end_heading(),
            name if BLOCKS.contains(&name) => self.break_block(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.preformatted > 0 && self.heading.is_none() {
            self.push(text);
            return;
        }
        // Any run of white space is one space, also across tags.
        for piece in text.split_inclusive(char::is_whitespace) {
            let word = piece.trim_end();
            self.push(word);
            if word.len() < piece.len() {
                let target = self.target();
                if !target.ends_with(char::is_whitespace) && !target.is_empty() {
                    target.push(' ');
                }
            }
        }
    }

    fn comment(&mut self, comment: &str) {
        let Some(section) = self.found.last_mut() else { return };
        if self.heading.is_none() && !section.path.is_empty() && section.text.trim().is_empty() {
            let (fields, unknown) = section::fields_of_comment(comment);
            section.fields.extend(fields);
            let heading = section.path.join(PATH);
            self.notes.extend(unknown.iter().map(|line| format!("under `{heading}` the comment line `{line}` names no field")));
        }
    }

    fn target(&mut self) -> &mut String {
        match &mut self.heading {
            Some((.., text)) => text,
            // There is one from the beginning.
            None => &mut self.found.last_mut().expect("a section before the first heading").text,
        }
    }

    fn push(&mut self, text: &str) {
        self.target().push_str(text);
    }

    fn end_cell(&mut self) {
        if std::mem::take(&mut self.in_cell) {
            let target = self.target();
            target.truncate(target.trim_end_matches(' ').len());
            target.push_str(" | ");
        }
    }

    fn break_line(&mut self) {
        let in_cell = self.in_cell;
        let target = self.target();
        // A list's item begins on the line of its dash.
        if target == "- " || target.ends_with("\n- ") {
            return;
        }
        if in_cell {
            target.push_str(if target.ends_with(' ') { "" } else { " " });
            return;
        }
        target.truncate(target.trim_end_matches(' ').len());
        if !target.is_empty() && !target.ends_with('\n') {
            target.push('\n');
        }
    }

    fn break_block(&mut self) {
        self.break_line();
        let target = self.target();
        if target.ends_with('\n') && !target.ends_with("\n\n") {
            target.push('\n');
        }
    }

    fn end_heading(&mut self) {
        if let Some((level, row, text)) = self.heading.take() {
            let path = self.headings.enter(level, &text);
            self.found.push(Section { path, row, ..Section::default() });
        }
    }

    fn line_of(&mut self, at: usize) -> u64 {
        let at = at.clamp(self.at, self.page.len());
        self.line += self.page.as_bytes()[self.at..at].iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.at = at;
        self.line
    }

    fn finish(mut self) -> (Vec<Section>, Vec<String>) {
        self.end_heading();
        if let Some((name, _)) = &self.hidden {
            self.notes.push(format!("a <{name}> is never closed; what follows it is not read"));
        }
        for section in &mut self.found {
            section.text = tidy(&section.text);
        }
        (self.found, self.notes)
    }
}

fn level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    }
}

/// Without spaces at line ends, and with no more than one blank line on end.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.lines().map(str::trim_end) {
        blank = if line.is_empty() { blank + 1 } else { 0 };
        if blank < 2 {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn entries(page: &str) -> (Vec<(u64, String, String)>, Vec<String>) {
        let mut reader = read(Cursor::new(page.to_owned()), "page.zh.html", Tz::UTC).unwrap();
        let rows = reader.by_ref().map(|row| (row.row, row.draft.unwrap())).map(|(row, d)| (row, d.question, d.answer)).collect();
        (rows, reader.notes().to_vec())
    }

    #[test]
    fn a_page_is_read_as_it_is_seen() {
        let page = "<!DOCTYPE html><html><head><title>x</title><style>p{}</style><script>if (a<b) '</p>'</script></head>\n<body>\n<p>Before &amp;\nafter.</p>\n<h1>保证金\n <em>规则</em></h1>\n<!-- market: DE -->\n<p>一<br>二</p><ul><li><p>三</p></li><li>四 <b>五</b></li></ul>\n<h2>金额</h2><table><tr><th><p>站点</p></th><th>金额</tr><tr><td>SG</td><td>500</td></tr></table><svg><text>no</text></svg>\n<pre>a\n  b</pre>\n<h2>空</h2><h3>深</h3>底";
        let (rows, notes) = entries(page);
        let seen: Vec<_> = rows.iter().map(|(row, q, a)| (*row, q.as_str(), a.as_str())).collect();
        assert_eq!(
            seen,
            [
                (1, "page", "Before & after."),
                (5, "保证金 规则", "一\n二\n\n- 三\n\n- 四 五"),
                (9, "保证金 规则 › 金额", "| 站点 | 金额 |\n| SG | 500 |\n\na\n  b"),
                (12, "保证金 规则 › 空 › 深", "底"),
            ]
        );
        assert!(notes.is_empty());
        let row = read(Cursor::new(page.to_owned()), "page.html", Tz::UTC).unwrap().nth(1).unwrap();
        assert_eq!(row.draft.unwrap().market.as_deref(), Some("DE"));
    }

    #[test]
    fn broken_pages_are_read_as_far_as_they_go() {
        let (rows, notes) = entries("<h1>a<h2>b<p>c</p><h2>d</h2>e<script>f");
        let seen: Vec<_> = rows.iter().map(|(_, q, a)| (q.as_str(), a.as_str())).collect();
        assert_eq!(seen, [("d", "e")].map(|(q, a)| (if q == "d" { "a › d" } else { q }, a)));
        assert_eq!(notes, ["a <script> is never closed; what follows it is not read"]);
        assert!(entries(&"<div>".repeat(100_000)).0.is_empty());
    }
}
