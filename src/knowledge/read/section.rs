//! Sections of a document → rows, the same for every kind of document: the headings are the question,
//! the text below them the answer, and a comment right under a heading gives further fields.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;

use chrono_tz::Tz;

use crate::error::{Error, Result};

use super::cells::QUESTION_CHARS;
use super::{Cells, Field, Given, ReadRow, cells, io_error};

/// Largest document; sections cannot be told apart before the whole of it is read.
pub const DOCUMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Most that the headings of all sections may come to, each with those above it: a long heading comes again in
/// every section below it.
const HEADINGS_BYTES: usize = 128 * 1024 * 1024;

/// Between the headings of a path.
pub const PATH: &str = " › ";

/// A part of a document under one heading.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The heading with those above it; empty before the first one.
    pub path: Vec<Arc<str>>,
    /// The row it is reported under: a line, a paragraph or a page.
    pub row: u64,
    /// Its text.
    pub text: String,
    /// What comments under the heading say.
    pub fields: Vec<(Field, String)>,
}

/// The headings above the text that is being read, with their levels.
#[derive(Debug, Default)]
pub struct Headings(Vec<(u8, Arc<str>)>);

impl Headings {
    /// A heading begins: those of its level and below end. The path with the new one. A heading that is longer
    /// than a question may be is kept so far that it is refused for it.
    pub fn enter(&mut self, level: u8, text: &str) -> Vec<Arc<str>> {
        self.0.retain(|(above, _)| *above < level);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.0.push((level, text.chars().take(QUESTION_CHARS + 1).collect::<String>().into()));
        self.0.iter().map(|(_, text)| Arc::clone(text)).filter(|text| !text.is_empty()).collect()
    }
}

/// The whole text of a document.
///
/// # Errors
/// `file_too_large` or `file_unreadable`.
pub fn whole(text: impl Read) -> Result<String> {
    let mut document = String::new();
    text.take(DOCUMENT_BYTES + 1).read_to_string(&mut document).map_err(|error| io_error(&error))?;
    if document.len() as u64 > DOCUMENT_BYTES {
        return Err(too_large(DOCUMENT_BYTES));
    }
    Ok(document)
}

/// The error of a document of more than so many bytes.
pub fn too_large(most: u64) -> Error {
    Error::invalid("file_too_large", format!("The document is larger than {} MB. Split it into several files.", most >> 20))
}

/// The rows of a document's sections; those without text are only headings.
pub fn rows(sections: Vec<Section>, name: &str, zone: Tz) -> Vec<ReadRow> {
    let (title, locale) = title_and_locale(name);
    let mut seen = HashMap::new();
    let with_text = || sections.iter().filter(|section| !section.text.trim().is_empty());
    if with_text().flat_map(|section| &section.path).map(|heading| heading.len()).sum::<usize>() > HEADINGS_BYTES {
        let message = "Long headings stand above so many sections that they are more than this version reads. Split the document.";
        return vec![ReadRow { row: 1, sheet: None, given: Given::ALL, draft: Err(Cells::default().error("file_too_large", message)) }];
    }
    sections
        .into_iter()
        .filter(|section| !section.text.trim().is_empty())
        .map(|section| section.into_row(title, locale, &mut seen, zone))
        .collect()
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

impl Section {
    fn into_row(self, title: &str, locale: Option<&str>, seen: &mut HashMap<String, usize>, zone: Tz) -> ReadRow {
        let own = |field| self.fields.iter().rev().find(|(named, _)| *named == field).map(|(_, value)| value.as_str());
        let heading = if self.path.is_empty() { title.to_owned() } else { self.path.join(PATH) };
        // A heading that comes again in the same place is another section, not the same one changed.
        let times = seen.entry(heading.clone()).and_modify(|times| *times += 1).or_insert(1);
        let heading = if *times > 1 { format!("{heading} ({times})") } else { heading };
        let mut similar: Vec<String> =
            self.path.last().filter(|_| self.path.len() > 1).map(|heading| heading.to_string()).into_iter().collect();
        similar.extend(own(Field::Question).is_some().then(|| heading.clone()));
        let mut cells = Cells::default();
        cells.put(Field::Question, own(Field::Question).unwrap_or(&heading));
        cells.put(Field::Answer, self.text.trim());
        cells.put(Field::Locale, own(Field::Locale).or(locale).unwrap_or_default());
        cells.put_list(Field::Similar, similar.into_iter().chain(self.items(Field::Similar)));
        cells.put_list(Field::Not, self.items(Field::Not));
        let is_single = |field: &Field| !field.is_list() && !matches!(field, Field::Question | Field::Answer | Field::Locale);
        for field in Field::ALL.into_iter().filter(is_single) {
            cells.put(field, own(field).unwrap_or_default());
        }
        for (_, tags) in self.fields.iter().filter(|(field, _)| *field == Field::Tags) {
            cells.put(Field::Tags, tags);
        }
        ReadRow { row: self.row, sheet: None, given: Given::ALL, draft: cells.into_draft(zone) }
    }

    fn items(&self, field: Field) -> impl Iterator<Item = String> {
        self.fields.iter().filter(move |(named, _)| *named == field).flat_map(|(_, value)| cells::phrasings(value))
    }
}

/// What a comment under a heading says: `similar: a ## b`, `失效时间：2026-12-31`, one field a line; a
/// line below a list that names no field goes on with the list. A comment that names no field is a
/// note among authors. The second part are lines that look like fields but are none.
pub fn fields_of_comment(comment: &str) -> (Vec<(Field, String)>, Vec<String>) {
    let mut fields: Vec<(Field, String)> = Vec::new();
    let mut unknown = HashSet::new();
    for line in comment.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let named = line.split_once([':', '：']);
        let known = named.and_then(|(name, value)| Some((Field::find(name)?.0, value)));
        match (known, fields.last_mut()) {
            // The text below the heading is the answer; a comment that looks like one is a note.
            (Some((Field::Answer, _)), _) => drop(unknown.insert(line.to_owned())),
            (Some((field, value)), _) => fields.push((field, value.trim().to_owned())),
            (None, Some((field, value))) if field.is_list() && named.is_none() => {
                value.push('\n');
                value.push_str(line);
            }
            (None, _) => drop(unknown.insert(line.to_owned())),
        }
    }
    let mut unknown: Vec<_> = if fields.is_empty() { Vec::new() } else { unknown.into_iter().collect() };
    unknown.sort();
    (fields, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_gives_fields_under_every_name_that_tables_have() {
        let comment = "\n 相似问题（可多个）：保证金怎么交 ## 押金多少\n 交多少押金\n valid_to: 2026-12-31\nurl: https://a.example/b?c=d\n";
        let (fields, unknown) = fields_of_comment(comment);
        assert_eq!(
            fields,
            [
                (Field::Similar, "保证金怎么交 ## 押金多少\n交多少押金".to_owned()),
                (Field::ValidTo, "2026-12-31".to_owned()),
                (Field::Url, "https://a.example/b?c=d".to_owned()),
            ]
        );
        assert!(unknown.is_empty());
    }

    #[test]
    fn other_comments_are_notes_and_a_misspelt_field_is_told() {
        for note in ["ask legal", "TODO: check with legal", "", "answer: not here"] {
            assert_eq!(fields_of_comment(note), (Vec::new(), Vec::new()), "{note}");
        }
        let (fields, unknown) = fields_of_comment("market: DE\nsimlar: a ## b");
        assert_eq!((fields.len(), unknown), (1, vec!["simlar: a ## b".to_owned()]));
    }

    #[test]
    fn fields_go_into_the_row() {
        let fields = vec![
            (Field::Similar, "一 ## 二".to_owned()),
            (Field::Similar, "三".to_owned()),
            (Field::Not, "四".to_owned()),
            (Field::Market, "DE".to_owned()),
            (Field::Locale, "de".to_owned()),
            (Field::Tags, "甲、乙".to_owned()),
        ];
        let section = |fields| Section { path: vec!["退还".into(), "标准".into()], row: 3, text: "七天。".into(), fields };
        let row = rows(vec![section(fields)], "x.zh.md", Tz::Asia__Shanghai).remove(0).draft.unwrap();
        assert_eq!((row.question.as_str(), row.answer.as_str()), ("退还 › 标准", "七天。"));
        assert_eq!((row.similar, row.negative), (["标准", "一", "二", "三"].map(str::to_owned).to_vec(), vec!["四".to_owned()]));
        assert_eq!((row.market.as_deref(), row.locale.as_deref(), row.tags.len()), (Some("DE"), Some("de"), 2));
        let asked = section(vec![(Field::Question, "多久退还？".to_owned())]);
        let row = rows(vec![asked], "x.md", Tz::Asia__Shanghai).remove(0).draft.unwrap();
        assert_eq!((row.question.as_str(), row.similar), ("多久退还？", vec!["标准".to_owned(), "退还 › 标准".to_owned()]));
        let bad = section(vec![(Field::ValidTo, "soon".to_owned())]);
        assert_eq!(rows(vec![bad], "x.md", Tz::Asia__Shanghai).remove(0).draft.unwrap_err().code, "bad_date");
    }
}
