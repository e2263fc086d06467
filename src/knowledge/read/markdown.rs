//! Documents in Markdown: one entry per section under its headings, with the section's source text
//! as the answer. Headings inside quotes, lists and code are text like any other.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

use chrono_tz::Tz;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::error::{Error, Result};

use super::{Cells, Field, ReadRow, RowReader, io_error};

/// Largest document; sections cannot be told apart before the whole of it is read.
const DOCUMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Between the headings of a path.
pub const PATH: &str = " › ";

/// Reads a document called `name`; `policy.zh.md` says that its locale is `zh`.
///
/// # Errors
/// `file_too_large` or `file_unreadable`.
pub fn read(text: impl Read, name: &str, zone: Tz) -> Result<RowReader> {
    let mut document = String::new();
    text.take(DOCUMENT_BYTES + 1).read_to_string(&mut document).map_err(|error| io_error(&error))?;
    if document.len() as u64 > DOCUMENT_BYTES {
        let message = format!("The document is larger than {} MB. Split it into several files.", DOCUMENT_BYTES >> 20);
        return Err(Error::invalid("file_too_large", message));
    }
    let (title, locale) = title_and_locale(name);
    let mut seen = HashMap::new();
    let rows: Vec<ReadRow> =
        sections(&document).into_iter().map(|section| section.row(&document, title, locale, &mut seen, zone)).collect();
    Ok(RowReader { rows: Box::new(rows.into_iter()), notes: Vec::new() })
}

/// `policy.zh.md` → `policy` and `zh`.
fn title_and_locale(name: &str) -> (&str, Option<&str>) {
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    match stem.rsplit_once('.') {
        Some((title, locale)) if locale.len() == 2 && locale.bytes().all(|byte| byte.is_ascii_lowercase()) => (title, Some(locale)),
        _ => (stem, None),
    }
}

/// A part of the document under one heading.
#[derive(Debug, Default)]
struct Section {
    /// The heading with those above it; empty before the first one.
    path: Vec<String>,
    /// Where its heading begins.
    at: usize,
    /// Its text: from heading to heading, without comments.
    body: Vec<Range<usize>>,
}

impl Section {
    fn text(&self, document: &str) -> String {
        self.body.iter().map(|range| &document[range.clone()]).collect::<String>().trim().to_owned()
    }

    fn row(&self, document: &str, title: &str, locale: Option<&str>, seen: &mut HashMap<String, usize>, zone: Tz) -> ReadRow {
        let mut cells = Cells::default();
        let question = if self.path.is_empty() { title.to_owned() } else { self.path.join(PATH) };
        // A heading that comes again in the same place is another section, not the same one changed.
        let times = seen.entry(question.clone()).and_modify(|times| *times += 1).or_insert(1);
        cells.put(Field::Question, &if *times > 1 { format!("{question} ({times})") } else { question });
        if let [_, .., last] = self.path.as_slice() {
            cells.put(Field::Similar, &serde_json::json!([last]).to_string());
        }
        cells.put(Field::Answer, &self.text(document));
        cells.put(Field::Locale, locale.unwrap_or_default());
        let row = 1 + document[..self.at].bytes().filter(|&byte| byte == b'\n').count() as u64;
        ReadRow { row, sheet: None, draft: cells.into_draft(zone) }
    }
}

/// The sections that have text, in order.
fn sections(document: &str) -> Vec<Section> {
    let start = front_matter(document);
    let mut walk = Walk {
        document,
        found: vec![Section { at: start, ..Section::default() }],
        headings: Vec::new(),
        heading: None,
        depth: 0,
        done: start,
    };
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_HEADING_ATTRIBUTES;
    for (event, range) in Parser::new_ext(&document[start..], options).into_offset_iter() {
        walk.take(event, range.start + start..range.end + start);
    }
    walk.body_until(document.len());
    walk.found.into_iter().filter(|section| !section.text(document).is_empty()).collect()
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
    found: Vec<Section>,
    /// The headings above, with their levels.
    headings: Vec<(HeadingLevel, String)>,
    /// The text of the heading that is being read.
    heading: Option<String>,
    /// How many lists, quotes, tables and so on are open.
    depth: usize,
    /// Everything before is in a section, or left out.
    done: usize,
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
                    self.leave_out_comment(range);
                }
                self.depth += 1;
            }
            Event::End(_) => self.depth -= 1,
            Event::InlineHtml(_) => self.leave_out_comment(range),
            Event::Text(text) | Event::Code(text) => self.add_to_heading(&text),
            Event::SoftBreak | Event::HardBreak => self.add_to_heading(" "),
            _ => {}
        }
    }

    fn begin_section(&mut self, level: HeadingLevel, range: Range<usize>) {
        let heading = self.heading.take().unwrap_or_default();
        self.headings.retain(|(above, _)| *above < level);
        self.headings.push((level, heading.trim().to_owned()));
        let path = self.headings.iter().map(|(_, text)| text.clone()).filter(|text| !text.is_empty()).collect();
        self.found.push(Section { path, at: range.start, body: Vec::new() });
        self.done = range.end;
    }

    fn add_to_heading(&mut self, text: &str) {
        if let Some(heading) = &mut self.heading {
            heading.push_str(text);
        }
    }

    /// A comment is a note among authors; merchants never see it.
    fn leave_out_comment(&mut self, range: Range<usize>) {
        let html = self.document[range.clone()].trim();
        if html.starts_with("<!--") && html.ends_with("-->") && self.heading.is_none() {
            self.body_until(range.start);
            self.done = range.end;
        }
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

    proptest! {
        #[test]
        fn sections_are_in_order_and_apart(document in "([#> ]{0,3}[a-z`*_|-]{0,6}\n){0,30}") {
            let sections = sections(&document);
            let mut from = 0;
            for range in sections.iter().flat_map(|section| &section.body) {
                prop_assert!(range.start >= from);
                from = range.end;
            }
        }
    }
}
