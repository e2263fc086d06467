//! Finds the citation markers in an answer as it streams, wherever it is cut, and makes them uniform:
//! `【1】` and `[1, 2]` become `[1]` and `[1][2]`; a marker of no source goes, together with the space
//! before it. Links, task boxes, escaped brackets, code, and numbers too large to be a source (`[2024]`)
//! are left as they are.
//!
//! A guard that looks at an answer must see it without the markers that go, or `代开[9]发票` would pass it and be told
//! as 代开发票; and what it replaces moves what follows. So one scanner stands [before](CiteScanner::new) the guard, and
//! one that takes nothing out [behind](CiteScanner::behind) it says where the markers are.

use super::Citation;

/// More digits than this name no source: `[2009]` is part of a document's number.
const DIGITS: usize = 2;
/// The longest bracket that is waited for, in bytes.
const LONGEST: usize = 48;

/// Scans one answer. Feed it with [`push`](Self::push), then [`finish`](Self::finish) once.
#[derive(Debug)]
pub struct CiteScanner {
    known: u32,
    /// Whether a marker of no source goes, and does not just stop to be one.
    drops: bool,
    held: Held,
    code: Code,
    /// The last character given out.
    last: char,
    /// Code points given out.
    sent: usize,
    citations: Vec<Citation>,
}

/// What may become a marker.
#[derive(Debug, Default)]
struct Held {
    /// A space before it.
    space: bool,
    /// From the opening bracket on.
    bracket: String,
    /// Whether the bracket is closed and only the next character is waited for: `[1](…)` is a link.
    closed: bool,
}

/// A row as it stands, with the marker of source `n` behind it: nothing inside it is read as a marker.
pub fn whole(text: &str, n: u32) -> (String, Citation) {
    let text = text.trim_end();
    // After Latin text a space keeps the marker out of a word or an address.
    let space = if text.ends_with(|c: char| c.is_ascii()) { " " } else { "" };
    let before = format!("{text}{space}");
    let start = before.chars().count();
    let cited = format!("{before}[{n}]");
    let end = cited.chars().count();
    (cited, Citation { n, start, end })
}

impl CiteScanner {
    /// A scanner for an answer whose sources are numbered 1 to `known`.
    pub fn new(known: u32) -> Self {
        Self { known, drops: true, held: Held::default(), code: Code::default(), last: '\n', sent: 0, citations: Vec::new() }
    }

    /// A scanner for what another one and a guard have let through: a marker of no source, as `[[9]9]` becomes one, is
    /// left as a number in brackets.
    pub fn behind(known: u32) -> Self {
        Self { drops: false, ..Self::new(known) }
    }

    /// Takes the next part of the answer, gives the text that is safe to send by now.
    pub fn push(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + LONGEST);
        for c in text.chars() {
            self.feed(c, &mut out);
        }
        out
    }

    /// The answer is over: gives what was held back.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.settle(&mut out);
        out
    }

    /// The markers so far, in order, in code points of the text given out.
    pub fn citations(&self) -> Vec<Citation> {
        self.citations.clone()
    }

    fn feed(&mut self, c: char, out: &mut String) {
        let code = self.code.next(c);
        if self.held.closed && c == '(' && !code {
            self.held.closed = false;
        }
        if code || !self.held.extends(c) {
            self.settle(out);
        }
        let opens = matches!(c, '[' | '【') && self.last != '\\';
        match c {
            _ if code => self.emit(c, out),
            _ if !self.held.bracket.is_empty() => self.hold(c, out),
            ' ' => self.held.space = true,
            _ if opens => self.held.bracket.push(c),
            _ => self.emit(c, out),
        }
    }

    /// Adds to an open bracket what [`Held::extends`] allowed.
    fn hold(&mut self, c: char, out: &mut String) {
        self.held.bracket.push(c);
        self.held.closed = matches!(c, ']' | '】');
        if c == '】' {
            self.settle(out);
        }
    }

    /// Decides on what is held: a marker, or just text.
    fn settle(&mut self, out: &mut String) {
        let Held { space, bracket, closed } = std::mem::take(&mut self.held);
        let numbers = if closed { numbers(&bracket) } else { None };
        let Some(numbers) = numbers else {
            self.emit_all(space, &bracket, out);
            return;
        };
        let sources: Vec<u32> = numbers.into_iter().filter(|n| (1..=self.known).contains(n)).collect();
        if sources.is_empty() && !self.drops {
            self.emit_all(space, &format!("({})", bracket.trim_matches(['[', ']', '【', '】'])), out);
            return;
        }
        self.emit_all(space && !sources.is_empty(), "", out);
        for n in sources {
            let start = self.sent;
            self.emit_all(false, &format!("[{n}]"), out);
            self.citations.push(Citation { n, start, end: self.sent });
        }
    }

    fn emit_all(&mut self, space: bool, text: &str, out: &mut String) {
        for c in space.then_some(' ').into_iter().chain(text.chars()) {
            self.emit(c, out);
        }
    }

    fn emit(&mut self, c: char, out: &mut String) {
        out.push(c);
        self.last = c;
        self.sent += 1;
    }
}

impl Held {
    /// Whether `c` can go on with what is held, so that it need not be decided yet.
    fn extends(&self, c: char) -> bool {
        match self.bracket.chars().next() {
            None => !self.space || matches!(c, '[' | '【'),
            Some(_) if self.closed || self.bracket.len() >= LONGEST => false,
            Some('[') => c == ']' || within(c),
            Some(_) => c == '】' || within(c),
        }
    }
}

fn within(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, ' ' | ',' | '，' | '、')
}

/// The numbers between the brackets, if it is a marker.
fn numbers(bracket: &str) -> Option<Vec<u32>> {
    let inner = bracket.trim_matches(['[', ']', '【', '】']);
    let number = |part: &str| part.trim().parse().ok().filter(|_| part.trim().len() <= DIGITS);
    inner.split([',', '，', '、']).map(number).collect()
}

/// Where Markdown code is, as far as needed to leave brackets in it alone: spans on one line, and blocks
/// fenced with backticks.
#[derive(Debug)]
struct Code {
    /// Backticks that opened the code; 0 outside.
    opened_by: usize,
    fenced: bool,
    /// Backticks in a row just now.
    run: usize,
    run_starts_line: bool,
    at_line_start: bool,
}

impl Default for Code {
    fn default() -> Self {
        Self { opened_by: 0, fenced: false, run: 0, run_starts_line: false, at_line_start: true }
    }
}

impl Code {
    /// Whether `c` is inside code or one of its backticks.
    fn next(&mut self, c: char) -> bool {
        if c == '`' {
            if self.run == 0 {
                self.run_starts_line = self.at_line_start;
            }
            self.run += 1;
            self.at_line_start = false;
            return true;
        }
        if self.run > 0 {
            self.end_run();
        }
        if c == '\n' && !self.fenced {
            self.opened_by = 0;
        }
        self.at_line_start = c == '\n' || (self.at_line_start && c == ' ');
        self.opened_by > 0
    }

    fn end_run(&mut self) {
        if self.opened_by == 0 {
            self.opened_by = self.run;
            self.fenced = self.run >= 3 && self.run_starts_line;
        } else if self.closes() {
            self.opened_by = 0;
            self.fenced = false;
        }
        self.run = 0;
    }

    fn closes(&self) -> bool {
        if self.fenced { self.run >= self.opened_by && self.run_starts_line } else { self.run == self.opened_by }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan<'a>(known: u32, parts: impl IntoIterator<Item = &'a str>) -> (String, Vec<Citation>) {
        let mut scanner = CiteScanner::new(known);
        let mut text: String = parts.into_iter().map(|part| scanner.push(part)).collect();
        text.push_str(&scanner.finish());
        (text, scanner.citations())
    }

    const CASES: [(&str, &str, &[u32]); 18] = [
        ("保证金 1000 元[1]。", "保证金 1000 元[1]。", &[1]),
        ("见【2】和【1，3】", "见[2]和[1][3]", &[2, 1, 3]),
        ("both [1, 2] and [1][3] [2]", "both [1][2] and [1][3] [2]", &[1, 2, 1, 3, 2]),
        ("gone [9], kept [1, 9]. [0]", "gone, kept [1].", &[1]),
        ("no space[7]here  [8] x", "no spacehere  x", &[]),
        ("a [link [1]](u) and [1](http://x/[2])", "a [link [1]](u) and [1](http://x/[2])", &[1, 2]),
        ("- [ ] todo\n- [x] done [1]", "- [ ] todo\n- [x] done [1]", &[1]),
        ("`a[1]` and ``b`[9]`` then [1]", "`a[1]` and ``b`[9]`` then [1]", &[1]),
        ("```js\na[9] `\n```\nso [1]", "```js\na[9] `\n```\nso [1]", &[1]),
        ("one ` alone [9]\nthen [9] [1]", "one ` alone [9]\nthen [1]", &[1]),
        ("国税发[2009]15号[1]", "国税发[2009]15号[1]", &[1]),
        ("\\[1] and [^1] and [1-3] and [1", "\\[1] and [^1] and [1-3] and [1", &[]),
        ("[ 2 ]", "[2]", &[2]),
        ("[]【】[,]", "[]【】[,]", &[]),
        ("[[1]]", "[[1]]", &[1]),
        ("[1】 【2] ", "[1】 【2] ", &[]),
        ("end [12]", "end", &[]),
        ("[1]\n[2]", "[1]\n[2]", &[1, 2]),
    ];

    #[test]
    fn known_texts_scan_as_expected_wherever_they_are_cut() {
        for (text, expected, cited) in CASES {
            let whole = scan(3, [text]);
            assert_eq!(whole.0, expected, "{text:?}");
            assert_eq!(whole.1.iter().map(|citation| citation.n).collect::<Vec<_>>(), cited, "{text:?}");
            for (at, _) in text.char_indices() {
                assert_eq!(scan(3, [&text[..at], &text[at..]]), whole, "{text:?} at {at}");
            }
        }
    }

    #[test]
    fn a_row_is_cited_as_it_stands() {
        assert_eq!(whole("见[7]。\n", 1), ("见[7]。[1]".to_owned(), Citation { n: 1, start: 5, end: 8 }));
        assert_eq!(whole("in 3 days", 2), ("in 3 days [2]".to_owned(), Citation { n: 2, start: 10, end: 13 }));
    }

    #[test]
    fn behind_a_guard_nothing_goes_any_more() {
        let mut before = CiteScanner::new(3);
        let mut behind = CiteScanner::behind(3);
        let seen = before.push("代开[[9]9]发票 [1]。") + &before.finish();
        let told = behind.push(&seen) + &behind.finish();
        assert_eq!((seen.as_str(), told.as_str()), ("代开[9]发票 [1]。", "代开(9)发票 [1]。"));
        assert_eq!(behind.citations(), [Citation { n: 1, start: 8, end: 11 }]);
    }

    #[test]
    fn only_what_may_be_a_marker_is_held_back() {
        let mut scanner = CiteScanner::new(3);
        assert_eq!(scanner.push("元 "), "元");
        assert_eq!(scanner.push("[1"), "");
        assert_eq!(scanner.push("]"), "");
        assert_eq!(scanner.push("。"), " [1]。");
        assert_eq!(scanner.citations(), [Citation { n: 1, start: 2, end: 5 }]);
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing_and_spans_hold_their_marker(
            parts in prop::collection::vec("([12]|\\[|\\]|【|】|\\[1\\]|\\[9\\]|【2】|[ ,，`\n(a中😀]|```|\\\\){0,5}", 0..8)
        ) {
            let whole = parts.concat();
            let (text, citations) = scan(2, parts.iter().map(String::as_str));
            prop_assert_eq!(&(text.clone(), citations.clone()), &scan(2, [whole.as_str()]));
            for citation in citations {
                let span: String = text.chars().skip(citation.start).take(citation.end - citation.start).collect();
                prop_assert_eq!(span, format!("[{}]", citation.n));
            }
        }
    }
}
