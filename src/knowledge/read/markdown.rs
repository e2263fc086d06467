//! Documents in Markdown: one entry per section under its headings, with the section's source text
//! as the answer. Headings inside quotes, lists and code are text like any other.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use chrono_tz::Tz;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::error::Result;

use super::RowReader;
use super::section::{self, Headings, Section};

/// Reads a document called `name`; `policy.zh.md` says that its locale is `zh`.
///
/// # Errors
/// `file_too_large` or `file_unreadable`.
pub fn read(text: impl Read, name: &str, zone: Tz) -> Result<RowReader> {
    let document = section::whole(text)?;
    let (sections, notes) = sections(&document);
    Ok(RowReader::with_notes(section::rows(sections, name, zone).into_iter(), notes))
}

/// A section as it is found: its text is what its ranges of the document hold.
#[derive(Debug)]
struct Found {
    section: Section,
    /// Where its heading begins.
    at: usize,
    /// Where its heading ends.
    below: usize,
    /// Its text: from heading to heading, without comments.
    body: Vec<Range<usize>>,
}

impl Found {
    fn new(path: Vec<Arc<str>>, at: Range<usize>) -> Self {
        Self { section: Section { path, ..Section::default() }, at: at.start, below: at.end, body: Vec::new() }
    }

    fn into_section(self, document: &str, line: u64) -> Section {
        let text = self.body.iter().map(|range| &document[range.clone()]).collect();
        Section { text, row: line, ..self.section }
    }
}

/// The sections in order, and what people should know about the comments in them.
fn sections(document: &str) -> (Vec<Section>, Vec<String>) {
    let walk = walk(document);
    let (mut at, mut line) = (0, 1);
    let mut line_of = |position: usize| {
        line += document[at..position].bytes().filter(|&byte| byte == b'\n').count() as u64;
        at = position;
        line
    };
    let sections: Vec<_> = walk
        .found
        .into_iter()
        .map(|found| {
            let line = line_of(found.at);
            found.into_section(document, line)
        })
        .collect();
    (sections, walk.notes)
}

fn walk(document: &str) -> Walk<'_> {
    let start = front_matter(document);
    let mut walk = Walk {
        document,
        found: vec![Found::new(Vec::new(), start..start)],
        headings: Headings::default(),
        heading: None,
        depth: 0,
        done: start,
        notes: Vec::new(),
    };
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_HEADING_ATTRIBUTES;
    for (event, range) in Parser::new_ext(&document[start..], options).into_offset_iter() {
        walk.take(event, range.start + start..range.end + start);
    }
    walk.body_until(document.len());
    walk
}

/// Where the text begins, after `---` or `+++` front matter. A line of dashes with a blank line below
/// it is only a line.
fn front_matter(document: &str) -> usize {
    let mut lines = document.split_inclusive('\n').peekable();
    let fence = lines.next().unwrap_or_default();
    let opens = matches!(fence.trim_end(), "---" | "+++") && lines.peek().is_some_and(|line| !line.trim().is_empty());
    if !opens {
        return 0;
    }
    let mut end = fence.len();
    for line in lines {
        end += line.len();
        if line.trim_end() == fence.trim_end() {
            return end;
        }
    }
    0
}

/// Goes through a document's events and collects its sections.
struct Walk<'a> {
    document: &'a str,
    found: Vec<Found>,
    headings: Headings,
    /// The text of the heading that is being read.
    heading: Option<String>,
    /// How many lists, quotes, tables and so on are open.
    depth: usize,
    /// Everything before is in a section, or left out.
    done: usize,
    notes: Vec<String>,
}

impl Walk<'_> {
    fn take(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(Tag::Heading { .. }) if self.depth == 0 => {
                self.body_until(range.start);
                self.heading = Some(String::new());
            }
            Event::End(TagEnd::Heading(level)) if self.depth == 0 => self.begin_section(level, range),
            Event::Start(tag) => {
                if matches!(tag, Tag::HtmlBlock) {
                    self.leave_out_comments(range.clone());
                    if self.done > range.start {
                        self.leave_out_rest(range.end);
                    }
                }
                self.depth += 1;
            }
            Event::End(_) => self.depth -= 1,
            Event::InlineHtml(_) => self.leave_out_comments(range),
            Event::Text(text) | Event::Code(text) => self.add_to_heading(&text),
            Event::SoftBreak | Event::HardBreak => self.add_to_heading(" "),
            _ => {}
        }
    }

    fn begin_section(&mut self, level: HeadingLevel, range: Range<usize>) {
        let heading = self.heading.take().unwrap_or_default();
        let path = self.headings.enter(level as u8, &heading);
        self.done = range.end;
        self.found.push(Found::new(path, range));
    }

    fn add_to_heading(&mut self, text: &str) {
        if let Some(heading) = &mut self.heading {
            heading.push_str(text);
        }
    }

    /// A comment is a note among authors, or fields of the row; merchants never see it.
    fn leave_out_comments(&mut self, range: Range<usize>) {
        if self.heading.is_some() {
            return;
        }
        let mut from = range.start;
        while let Some(start) = self.document[from..range.end].find("<!--").map(|at| from + at) {
            let Some(length) = self.document[start..range.end].find("-->") else { return };
            let end = start + length + 3;
            self.body_until(start);
            self.done = end;
            self.take_fields(start, end);
            from = end;
        }
    }

    /// The line break after a comment belongs to it.
    fn leave_out_rest(&mut self, end: usize) {
        if self.done < end && self.document[self.done..end].trim().is_empty() {
            self.done = end;
        }
    }

    /// Right under a heading, that is with no text between, a comment may say fields.
    fn take_fields(&mut self, start: usize, end: usize) {
        let inside = self.document[start..end].trim_start_matches("<!--").trim_end_matches("-->");
        let Some(found) = self.found.last_mut() else { return };
        let blank = found.body.iter().all(|range| self.document[range.clone()].trim().is_empty());
        if found.section.path.is_empty() || found.below > start || !blank {
            return;
        }
        let (fields, unknown) = section::fields_of_comment(inside);
        found.section.fields.extend(fields);
        let heading = found.section.path.join(section::PATH);
        self.notes.extend(unknown.iter().map(|line| format!("under `{heading}` the comment line `{line}` names no field")));
    }

    /// Gives everything up to `end` to the current section.
    fn body_until(&mut self, end: usize) {
        if let Some(section) = self.found.last_mut()
            && self.done < end
        {
            section.body.push(self.done..end);
        }
        self.done = self.done.max(end);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::knowledge::EntryDraft;
    use proptest::prelude::*;

    fn entries(document: &str, name: &str) -> Vec<(u64, EntryDraft)> {
        let rows = read(Cursor::new(document.to_owned()), name, Tz::Asia__Shanghai).unwrap();
        rows.map(|row| (row.row, row.draft.unwrap())).collect()
    }

    const DOCUMENT: &str = "---\ntitle: x\n---\nBefore.\n\n# 保证金 `规则`\n\n## 标准\n\n| 站点 | 金额 |\n|---|---|\n| SG | 500 |\n\n<!-- ask legal -->\n```\n# no heading\n```\n\n> # quoted\n\nSetext\n------\nText <!-- note --> goes on.\n\n# 退还\n七天。\n## 标准\n十天。\n## 标准\n九十天。\n";

    #[test]
    fn each_section_is_an_entry_under_its_path() {
        let found = entries(DOCUMENT, "deposit.zh.md");
        let questions: Vec<_> = found.iter().map(|(row, entry)| (*row, entry.question.as_str())).collect();
        assert_eq!(
            questions,
            [
                (4, "deposit"),
                (8, "保证金 规则 › 标准"),
                (21, "保证金 规则 › Setext"),
                (25, "退还"),
                (27, "退还 › 标准"),
                (29, "退还 › 标准 (2)"),
            ]
        );
        let standard = &found[1].1;
        assert_eq!(standard.answer, "| 站点 | 金额 |\n|---|---|\n| SG | 500 |\n\n```\n# no heading\n```\n\n> # quoted");
        assert_eq!((standard.similar.as_slice(), standard.locale.as_deref()), (&["标准".to_owned()][..], Some("zh")));
        assert_eq!(found[2].1.answer, "Text  goes on.");
    }

    #[test]
    fn a_document_without_headings_is_one_entry() {
        let found = entries("七天无理由退货。\n\n以签收为准。", "退货 规则.md");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, found[0].1.question.as_str()), (1, "退货 规则"));
        assert_eq!(found[0].1.locale, None);
        assert_eq!(entries("---\n\nA line above.\n\n---\n", "x.md")[0].1.answer, "---\n\nA line above.\n\n---");
        assert!(entries("# Only a heading\n\n## And another\n", "x.md").is_empty());
    }

    const FIELDS: &str = "# 保证金\n<!-- similar: 押金 ## 质保金 -->\n<!--\nmarket: DE\n失效时间：2026-12-31\n-->\n\n五百。\n<!-- market: FR -->\n\n## 退还\n<!-- ask legal --> 七天 <!-- note --> 内。\n";

    #[test]
    fn a_comment_right_under_a_heading_gives_fields() {
        let found = entries(FIELDS, "x.md");
        let deposit = &found[0].1;
        assert_eq!((deposit.answer.as_str(), deposit.market.as_deref()), ("五百。", Some("DE")));
        assert_eq!((deposit.similar.len(), deposit.valid_to.is_some()), (2, true));
        let back = &found[1].1;
        assert_eq!((back.answer.as_str(), back.market.as_deref()), ("七天  内。", None));
        assert_eq!((found[1].0, back.similar.as_slice()), (11, &["退还".to_owned()][..]));
        let notes = read(Cursor::new("# a\n<!-- market: DE\nsimlar: b -->\nc\n"), "x.md", Tz::UTC).unwrap().notes;
        assert_eq!(notes, ["under `a` the comment line `simlar: b` names no field"]);
    }

    proptest! {
        #[test]
        fn sections_are_in_order_and_apart(document in "([#> ]{0,3}[a-z`*_|-]{0,6}\n){0,30}") {
            let walk = walk(&document);
            let mut from = 0;
            for range in walk.found.iter().flat_map(|found| &found.body) {
                prop_assert!(range.start >= from);
                from = range.end;
            }
        }
    }
}
