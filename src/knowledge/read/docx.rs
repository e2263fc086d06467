//! Documents of Word and WPS: one entry per section under its headings. What is a heading is told by
//! the paragraph's style, or by its outline level. Deleted text of a tracked change is not read.

use std::collections::HashMap;

use chrono_tz::Tz;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::error::{Error, Result};

use super::pump;
use super::section::{self, Headings, Section};
use super::{Cells, Given, ReadRow, RowReader, Seekable, archive};

/// Most that the text of a document may unpack to.
const TEXT_BYTES: u64 = 128 * 1024 * 1024;
/// Most that its styles may unpack to.
const STYLE_BYTES: u64 = 16 * 1024 * 1024;
/// Tables stand in tables; what lies deeper is read as text of the innermost that counts, for every row is copied
/// into the one around it.
const NESTED_TABLES: usize = 20;
/// Styles are derived from one another; nobody derives deeper.
const DERIVED: usize = 20;

/// Reads a document called `name`; `policy.zh.docx` says that its locale is `zh`.
///
/// # Errors
/// `file_unreadable` or `file_too_large`.
pub fn read(input: Box<dyn Seekable>, name: String, zone: Tz) -> Result<RowReader> {
    pump::start(move |pump| {
        let mut zip = archive::open(input)?;
        let styles = archive::part(&mut zip, "word/styles.xml", STYLE_BYTES)?;
        let Some(text) = archive::part(&mut zip, "word/document.xml", TEXT_BYTES)? else {
            return Err(Error::invalid("file_unreadable", "The file is no Word document: it has no word/document.xml."));
        };
        let levels = styles.map(|styles| heading_styles(&styles)).transpose()?.unwrap_or_default();
        let mut rows = section::rows(sections(&text, &levels)?, &name, zone);
        if rows.is_empty() {
            rows.push(without_text());
        }
        rows.into_iter().all(|row| pump.row(row));
        Ok(())
    })
}

fn without_text() -> ReadRow {
    let message = "The document has no text; pictures of text cannot be read. Type it, or run it through text recognition.";
    ReadRow { row: 1, sheet: None, given: Given::ALL, draft: Err(Cells::default().error("no_text", message)) }
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::invalid("file_unreadable", format!("The document is damaged ({error}). Open it, save it again, and import that."))
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.try_get_attribute(name).ok()??;
    Some(quick_xml::escape::unescape(&found.value).ok()?.into_owned())
}

/// Style ids that make a heading, with its level from 1; 0 is the document's title.
fn heading_styles(styles: &str) -> Result<HashMap<String, u8>> {
    let mut own: HashMap<String, (Option<u8>, Option<String>)> = HashMap::new();
    let mut id = String::new();
    let mut xml = Reader::from_str(styles);
    loop {
        match xml.read_event().map_err(damaged)? {
            Event::Start(tag) if tag.local_name().as_ref() == "style" => id = attribute(&tag, "w:styleId").unwrap_or_default(),
            Event::Empty(tag) | Event::Start(tag) => {
                let value = attribute(&tag, "w:val").unwrap_or_default();
                let style = own.entry(id.clone()).or_default();
                match tag.local_name().as_ref() {
                    "name" => style.0 = style.0.or_else(|| level_of_name(&value)),
                    "outlineLvl" => style.0 = style.0.or_else(|| outline(&value)),
                    "basedOn" => style.1 = Some(value),
                    _ => {}
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let level = |id: &String| {
        let chain = std::iter::successors(Some(id), |id| own.get(*id)?.1.as_ref());
        chain.take(DERIVED).find_map(|id| own.get(id)?.0)
    };
    Ok(own.keys().filter_map(|id| Some((id.clone(), level(id)?))).collect())
}

/// `heading 2`, `标题 2`, `Title`.
fn level_of_name(name: &str) -> Option<u8> {
    let name = name.to_lowercase().replace(' ', "");
    match name.as_str() {
        "title" => Some(0),
        _ => name.strip_prefix("heading").or_else(|| name.strip_prefix("标题"))?.parse().ok().filter(|level| (1..=9).contains(level)),
    }
}

/// An outline level as Word writes it: 0 is the first, 9 is body text.
fn outline(value: &str) -> Option<u8> {
    value.parse().ok().filter(|level| *level < 9).map(|level: u8| level + 1)
}

fn sections(document: &str, levels: &HashMap<String, u8>) -> Result<Vec<Section>> {
    let mut walk = Walk {
        levels,
        found: vec![Section { row: 1, ..Section::default() }],
        headings: Headings::default(),
        paragraph: String::new(),
        level: None,
        list: false,
        count: 0,
        cells: Vec::new(),
        deeper: 0,
        in_text: false,
        fallback: 0,
    };
    let mut xml = Reader::from_str(document);
    loop {
        match xml.read_event().map_err(damaged)? {
            Event::Start(tag) => walk.start(&tag),
            Event::Empty(tag) => {
                walk.start(&tag);
                walk.end(tag.local_name().as_ref());
            }
            Event::End(tag) => walk.end(tag.local_name().as_ref()),
            Event::Text(text) if walk.takes_text() => walk.paragraph.push_str(&text),
            Event::CData(text) if walk.takes_text() => walk.paragraph.push_str(&text),
            Event::GeneralRef(name) if walk.takes_text() => {
                let text = quick_xml::escape::unescape(&format!("&{};", &*name)).map(std::borrow::Cow::into_owned);
                walk.paragraph.push_str(&text.unwrap_or_default());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    walk.end_paragraph();
    Ok(walk.found)
}

struct Walk<'a> {
    levels: &'a HashMap<String, u8>,
    found: Vec<Section>,
    headings: Headings,
    /// The text of the paragraph that is being read, its heading level, and whether it is in a list.
    paragraph: String,
    level: Option<u8>,
    list: bool,
    count: u64,
    /// The cells of each table row that is open; tables may stand in tables.
    cells: Vec<Vec<String>>,
    /// Rows that are open beyond those.
    deeper: usize,
    in_text: bool,
    /// Word writes a text box twice, the second time for older versions.
    fallback: usize,
}

impl Walk<'_> {
    fn takes_text(&self) -> bool {
        self.in_text && self.fallback == 0
    }

    fn start(&mut self, tag: &BytesStart<'_>) {
        let value = || attribute(tag, "w:val").unwrap_or_default();
        match tag.local_name().as_ref() {
            "p" => {
                self.count += 1;
                (self.level, self.list) = (None, false);
            }
            "pStyle" => self.level = self.level.or_else(|| self.levels.get(&value()).copied()),
            "outlineLvl" => self.level = outline(&value()).or(self.level),
            "numPr" => self.list = true,
            "t" => self.in_text = true,
            "tab" if self.fallback == 0 => self.paragraph.push('\t'),
            "br" | "cr" if self.fallback == 0 => self.paragraph.push('\n'),
            "tr" if self.cells.len() == NESTED_TABLES => self.deeper += 1,
            "tr" => self.cells.push(Vec::new()),
            "tc" if self.deeper > 0 => {}
            "tc" => self.cells.last_mut().into_iter().for_each(|cells| cells.push(String::new())),
            "Fallback" => self.fallback += 1,
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "t" => self.in_text = false,
            "p" => self.end_paragraph(),
            "tr" if self.deeper > 0 => self.deeper -= 1,
            "tr" => self.end_row(),
            "Fallback" => self.fallback = self.fallback.saturating_sub(1),
            _ => {}
        }
    }

    fn end_paragraph(&mut self) {
        let text = std::mem::take(&mut self.paragraph);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        match (self.cells.last_mut().and_then(|cells| cells.last_mut()), self.level.take()) {
            (Some(cell), _) => {
                cell.push_str(if cell.is_empty() { "" } else { " " });
                cell.push_str(&text.replace('\n', " "));
            }
            (None, Some(level)) => {
                let path = self.headings.enter(level, text);
                self.found.push(Section { path, row: self.count, ..Section::default() });
            }
            (None, None) => self.line(&format!("{}{text}\n", if self.list { "- " } else { "\n" })),
        }
    }

    fn end_row(&mut self) {
        let Some(cells) = self.cells.pop() else { return };
        let line = cells.iter().map(|cell| cell.trim()).collect::<Vec<_>>().join(" | ");
        match self.cells.last_mut().and_then(|outer| outer.last_mut()) {
            Some(outer) => outer.push_str(&format!(" {line}")),
            None => self.line(&format!("| {line} |\n")),
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(section) = self.found.last_mut() {
            section.text.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::SimpleFileOptions;

    use super::*;

    fn docx(parts: &[(&str, &str)]) -> Box<dyn Seekable> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in parts {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        Box::new(Cursor::new(zip.finish().unwrap().into_inner()))
    }

    const STYLES: &str = r#"<w:styles><w:style w:styleId="1"><w:name w:val="heading 1"/></w:style><w:style w:styleId="a"><w:name w:val="公司标题"/><w:basedOn w:val="2"/></w:style><w:style w:styleId="2"><w:name w:val="标题 2"/></w:style><w:style w:styleId="x"><w:name w:val="x"/><w:basedOn w:val="x"/></w:style></w:styles>"#;

    #[test]
    fn sections_tables_and_lists() {
        let p = |style: &str, text: &str| format!(r#"<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"#);
        let body = [
            "<w:document><w:body>".to_owned(),
            p("x", "开头"),
            p("1", "保证金"),
            "<w:p><w:r><w:t>一</w:t></w:r><w:del><w:r><w:delText>旧</w:delText></w:r></w:del><w:r><w:br/><w:t>A &amp; B</w:t></w:r></w:p>".into(),
            "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>条</w:t></w:r></w:p>".into(),
            p("a", "金额"),
            "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>SG</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>500</w:t></w:r></w:p></w:tc></w:tr></w:tbl>".into(),
            "<mc:AlternateContent><mc:Choice><w:p><w:r><w:t>框</w:t></w:r></w:p></mc:Choice><mc:Fallback><w:p><w:r><w:t>框</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>".into(),
            "</w:body></w:document>".into(),
        ]
        .concat();
        let rows = read(docx(&[("word/styles.xml", STYLES), ("word/document.xml", &body)]), "x.docx".into(), Tz::UTC).unwrap();
        let rows: Vec<_> = rows.map(|row| (row.row, row.draft.unwrap())).map(|(row, d)| (row, d.question, d.answer)).collect();
        let seen: Vec<_> = rows.iter().map(|(row, q, a)| (*row, q.as_str(), a.as_str())).collect();
        assert_eq!(seen, [(1, "x", "开头"), (2, "保证金", "一\nA & B\n- 条"), (5, "保证金 › 金额", "| SG | 500 |\n\n框")]);
    }

    #[test]
    fn what_is_no_document_says_so() {
        let code = |input| read(input, "x.docx".into(), Tz::UTC).err().unwrap().code();
        assert_eq!(code(Box::new(Cursor::new(b"no zip".to_vec()))), "file_unreadable");
        assert_eq!(code(docx(&[("a", "b")])), "file_unreadable");
        assert_eq!(code(docx(&[("word/document.xml", "<w:document><w:body></w:p>")])), "file_unreadable");
        let empty = read(docx(&[("word/document.xml", "<w:document/>")]), "x.docx".into(), Tz::UTC).unwrap().next().unwrap();
        assert_eq!(empty.draft.unwrap_err().code, "no_text");
        let bomb = " ".repeat(usize::try_from(TEXT_BYTES).unwrap() + 1);
        assert_eq!(code(docx(&[("word/document.xml", &bomb)])), "file_too_large");
    }
}
