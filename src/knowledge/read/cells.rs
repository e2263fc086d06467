//! The cells of one row → [`EntryDraft`]: shared by every format, so that a table and a JSON file
//! mean the same.

use std::collections::HashSet;

use chrono_tz::Tz;

use crate::ids::Timestamp;
use crate::knowledge::{EntryDraft, places};

use super::dates::{self, End};
use super::encoding::BAD;
use super::header::Field;

/// Longest answer, and longest cell of any kind, in characters.
pub const ANSWER_CHARS: usize = 20_000;
/// Longest question.
pub const QUESTION_CHARS: usize = 1_000;
/// Longest further phrasing.
pub const PHRASING_CHARS: usize = 1_000;
/// Longest id, category, tag, market, locale, source.
pub const LABEL_CHARS: usize = 500;
/// Longest url.
pub const URL_CHARS: usize = 2_000;

/// The original text of a row's cells by field. A list of phrasings may be written as a JSON array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells([Option<Box<str>>; Field::ALL.len()]);

/// Why a row cannot be taken, and its cells so that it can be corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// Stable.
    pub code: &'static str,
    /// What is wrong in which field, and what to do.
    pub message: String,
    /// The row as it was read.
    pub cells: Box<Cells>,
}

/// What separates phrasings in a cell, beside `##`.
const PHRASINGS: &[char] = &['|', '；', '\n'];
/// What separates tags: they are words, so commas do too.
const TAGS: &[char] = &['|', '；', ';', ',', '，', '、', '\n'];

/// Left in the middle where somebody put files together.
const BYTE_ORDER: char = '\u{feff}';

type Wrong = (&'static str, String);

impl Cells {
    /// The original text of `field`.
    pub fn get(&self, field: Field) -> &str {
        self.0[field as usize].as_deref().unwrap_or_default()
    }

    /// Puts text into `field`; a second column of the same list field is added to the first.
    pub fn put(&mut self, field: Field, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let cell = &mut self.0[field as usize];
        *cell = Some(match cell {
            Some(before) => format!("{before}\n{text}").into(),
            None => text.into(),
        });
    }

    /// Puts items into a list field as they are, whatever separators they have in them.
    pub fn put_list(&mut self, field: Field, items: impl IntoIterator<Item = String>) {
        let items: Vec<String> = items.into_iter().collect();
        if !items.is_empty() {
            self.put(field, &serde_json::json!(items).to_string());
        }
    }

    /// The cells that [`Cells::into_draft`] reads as this entry again.
    pub fn of(entry: &EntryDraft, zone: Tz) -> Self {
        let mut cells = Self::default();
        let date = |at: Option<Timestamp>, end| at.map(|at| dates::show(at, zone, end)).unwrap_or_default();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        for (field, text) in [
            (Field::Id, text(&entry.id)),
            (Field::Question, entry.question.clone()),
            (Field::Similar, join(&entry.similar, PHRASINGS)),
            (Field::Not, join(&entry.negative, PHRASINGS)),
            (Field::Answer, entry.answer.clone()),
            (Field::Category, text(&entry.category)),
            (Field::Tags, join(&entry.tags, TAGS)),
            (Field::Market, text(&entry.market)),
            (Field::Locale, text(&entry.locale)),
            (Field::ValidFrom, date(entry.valid_from, End::From)),
            (Field::ValidTo, date(entry.valid_to, End::To)),
            (Field::Source, text(&entry.source)),
            (Field::Url, text(&entry.url)),
            (Field::Direct, if entry.direct { "true".to_owned() } else { String::new() }),
        ] {
            cells.put(field, &text);
        }
        cells
    }

    /// The cells as they are, under the contract's names.
    pub fn to_json(&self) -> serde_json::Value {
        let filled = Field::ALL.into_iter().filter(|&field| !self.get(field).is_empty());
        filled.map(|field| (field.name().to_owned(), self.get(field).into())).collect::<serde_json::Map<_, _>>().into()
    }

    /// An error about this row.
    pub fn error(self, code: &'static str, message: impl Into<String>) -> RowError {
        RowError { code, message: message.into(), cells: Box::new(self) }
    }

    /// The entry that this row describes.
    ///
    /// # Errors
    /// `bad_encoding`, `cell_too_long`, `missing_answer`, `bad_date`, `bad_validity`, `bad_market` or
    /// `bad_boolean`, naming the field.
    pub fn into_draft(self, zone: Tz) -> Result<EntryDraft, RowError> {
        self.draft(zone).map_err(|(code, message)| self.error(code, message))
    }

    /// What tells which entry a row without an id is, when the row as a whole cannot be read.
    pub fn glimpse(&self) -> Option<EntryDraft> {
        let draft = EntryDraft {
            question: fold(self.get(Field::Question)),
            answer: clean(self.get(Field::Answer)),
            market: self.label(Field::Market).filter(|market| !means_all(market)),
            locale: self.label(Field::Locale).map(locale_tag),
            source: self.label(Field::Source),
            ..EntryDraft::default()
        };
        Some(draft).filter(|draft| self.get(Field::Id).is_empty() && !(draft.question.is_empty() && draft.answer.is_empty()))
    }

    fn draft(&self, zone: Tz) -> Result<EntryDraft, Wrong> {
        self.check_text()?;
        let (valid_from, valid_to) = self.validity(zone)?;
        let question = fold(self.get(Field::Question));
        let draft = EntryDraft {
            id: self.label(Field::Id),
            similar: self.phrasings(Field::Similar)?,
            negative: self.phrasings(Field::Not)?,
            answer: clean(self.get(Field::Answer)),
            category: self.label(Field::Category),
            tags: list(self.get(Field::Tags), TAGS),
            market: self.label(Field::Market).filter(|market| !means_all(market)),
            locale: self.label(Field::Locale).map(locale_tag),
            valid_from,
            valid_to,
            source: self.label(Field::Source),
            url: self.label(Field::Url),
            direct: self.boolean(Field::Direct)?,
            question,
        };
        if draft.answer.is_empty() {
            return Err(("missing_answer", "The answer is empty. Write one, or delete the row.".into()));
        }
        if let Some(market) = draft.market.as_ref().filter(|market| places::is_no_code(market)) {
            let message = format!(
                "`market` is `{market}`, which is no country's code. Write one (JP, 日本站, Japan), or leave it empty for all markets."
            );
            return Err(("bad_market", message));
        }
        Ok(draft)
    }

    /// What holds for every cell: readable, and not longer than its field may be.
    fn check_text(&self) -> Result<(), Wrong> {
        for field in Field::ALL {
            let text = self.get(field);
            if text.contains(BAD) {
                return Err((
                    "bad_encoding",
                    format!(
                        "`{}` has bytes that are no text in the file's encoding. Correct the cell, or name the encoding with --encoding.",
                        field.name()
                    ),
                ));
            }
            check_length(field.name(), text, most(field))?;
        }
        Ok(())
    }

    fn phrasings(&self, field: Field) -> Result<Vec<String>, Wrong> {
        let phrasings = list(self.get(field), PHRASINGS);
        phrasings.iter().try_for_each(|text| check_length(field.name(), text, PHRASING_CHARS))?;
        Ok(phrasings)
    }

    fn label(&self, field: Field) -> Option<String> {
        Some(fold(self.get(field))).filter(|text| !text.is_empty())
    }

    fn boolean(&self, field: Field) -> Result<bool, Wrong> {
        match self.get(field).trim().to_lowercase().as_str() {
            "" | "否" | "不" | "false" | "0" | "no" | "n" | "off" | "×" | "✗" => Ok(false),
            "是" | "true" | "1" | "yes" | "y" | "on" | "√" | "✓" => Ok(true),
            other => Err(("bad_boolean", format!("`{}` is `{}`; write yes or no (是 or 否).", field.name(), excerpt(other)))),
        }
    }

    fn validity(&self, zone: Tz) -> Result<(Option<Timestamp>, Option<Timestamp>), Wrong> {
        let from = self.date(Field::ValidFrom, zone, End::From)?;
        let to = self.date(Field::ValidTo, zone, End::To)?;
        if from.zip(to).is_some_and(|(from, to)| to <= from) {
            let (from, to) = (self.get(Field::ValidFrom).trim(), self.get(Field::ValidTo).trim());
            return Err((
                "bad_validity",
                format!("`valid_to` ({to}) is not after `valid_from` ({from}), so the row would never be served."),
            ));
        }
        Ok((from, to))
    }

    fn date(&self, field: Field, zone: Tz, end: End) -> Result<Option<Timestamp>, Wrong> {
        let text = self.get(field);
        if dates::is_unlimited(text) {
            return Ok(None);
        }
        dates::parse(text, zone, end).map(Some).ok_or_else(|| {
            let message =
                format!("`{}` is `{}`, which is no date. Write it like 2026-11-01 or 2026-11-01 08:30.", field.name(), excerpt(text));
            ("bad_date", message)
        })
    }
}

/// Longest text of a field in characters.
fn most(field: Field) -> usize {
    match field {
        Field::Answer | Field::Similar | Field::Not | Field::Tags => ANSWER_CHARS,
        Field::Question => QUESTION_CHARS,
        Field::Url => URL_CHARS,
        _ => LABEL_CHARS,
    }
}

fn check_length(name: &str, text: &str, most: usize) -> Result<(), Wrong> {
    // Bytes are at least characters: most cells are never counted.
    let chars = if text.len() > most { text.trim().chars().count() } else { 0 };
    if chars > most {
        return Err(("cell_too_long", format!("`{name}` has {chars} characters; {most} are allowed. Split it into several rows.")));
    }
    Ok(())
}

/// The items of a cell: a JSON array as it is, anything else split at `##` and `separators`; trimmed,
/// without empty and repeated ones.
fn list(cell: &str, separators: &[char]) -> Vec<String> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Vec::new();
    }
    let array = if cell.starts_with('[') { serde_json::from_str::<Vec<String>>(cell).ok() } else { None };
    let items = array.unwrap_or_else(|| cell.split("##").flat_map(|part| part.split(separators)).map(str::to_owned).collect());
    let mut seen = HashSet::new();
    items.iter().map(|item| fold(item)).filter(|item| !item.is_empty() && seen.insert(item.clone())).collect()
}

/// The phrasings that a cell holds.
pub fn phrasings(cell: &str) -> Vec<String> {
    list(cell, PHRASINGS)
}

/// The cell that [`list`] takes apart into these items: joined by `##`, or a JSON array where an item
/// has a separator in it.
fn join(items: &[String], separators: &[char]) -> String {
    let joined = items.join("##");
    if list(&joined, separators) == items { joined } else { serde_json::json!(items).to_string() }
}

/// Text of several lines: no control characters (they carry no meaning, and databases refuse some),
/// no white space at the ends.
fn clean(text: &str) -> String {
    let kept = |c: &char| (!c.is_control() || matches!(c, '\n' | '\t')) && *c != BYTE_ORDER;
    if text.chars().all(|c| kept(&c)) {
        return text.trim().to_owned();
    }
    text.replace("\r\n", "\n").replace('\r', "\n").chars().filter(kept).collect::<String>().trim().to_owned()
}

/// Text of one line: like [`clean`], with every run of white space as one space.
fn fold(text: &str) -> String {
    if !text.contains(|c: char| c == BYTE_ORDER || c.is_control() || c.is_whitespace()) {
        return text.to_owned();
    }
    let spaced: String = text.chars().filter(|&c| c != BYTE_ORDER).map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn means_all(market: &str) -> bool {
    matches!(market.to_lowercase().as_str(), "*" | "all" | "全部" | "所有" | "不限" | "全部站点" | "所有站点")
}

fn locale_tag(text: String) -> String {
    match text.to_lowercase().as_str() {
        "中文" | "简体中文" | "汉语" | "chinese" => "zh".into(),
        "英文" | "英语" | "english" => "en".into(),
        _ => text,
    }
}

/// The beginning of a cell, for a message.
pub fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    let text = fold(text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(cells: &[(Field, &str)]) -> Result<EntryDraft, RowError> {
        let mut row = Cells::default();
        for &(field, text) in cells {
            row.put(field, text);
        }
        row.into_draft(Tz::Asia__Shanghai)
    }

    fn code(cells: &[(Field, &str)]) -> &'static str {
        let answer = [(Field::Answer, "七天")];
        draft(&[&answer, cells].concat()).map_or_else(|error| error.code, |_| "ok")
    }

    #[test]
    fn phrasings_are_split_where_the_contract_says() {
        let row = draft(&[
            (Field::Answer, "a"),
            (Field::Similar, "一##二|三；四\n五\n\n一"),
            (Field::Similar, "六 # 七; 八"),
            (Field::Not, r#"["a|b", "c；d"]"#),
            (Field::Tags, "保证金##本地店、退款,物流"),
        ])
        .unwrap();
        assert_eq!(row.similar, ["一", "二", "三", "四", "五", "六 # 七; 八"]);
        assert_eq!(row.negative, ["a|b", "c；d"]);
        assert_eq!(row.tags, ["保证金", "本地店", "退款", "物流"]);
    }

    #[test]
    fn wrong_cells_are_named_by_code_and_field() {
        let long = "长".repeat(100_000);
        for (cells, expected) in [
            (&[][..], "ok"),
            (&[(Field::ValidFrom, "明天")], "bad_date"),
            (&[(Field::ValidFrom, "2026-11-02"), (Field::ValidTo, "2026-11-01")], "bad_validity"),
            (&[(Field::ValidFrom, "2026-11-01"), (Field::ValidTo, "2026-11-01")], "ok"),
            (&[(Field::ValidTo, "长期有效")], "ok"),
            (&[(Field::Direct, "maybe")], "bad_boolean"),
            (&[(Field::Market, "XX")], "bad_market"),
            (&[(Field::Direct, " 是 ")], "ok"),
            (&[(Field::Category, long.as_str())], "cell_too_long"),
            (&[(Field::Similar, &long[..3 * 1001])], "cell_too_long"),
            (&[(Field::Question, "坏\u{FDD0}字")], "bad_encoding"),
        ] {
            assert_eq!(code(cells), expected, "{:?}", cells.first().map(|(field, _)| field));
        }
        let error = draft(&[(Field::Question, "怎么退款"), (Field::Answer, " \n ")]).unwrap_err();
        assert_eq!((error.code, error.cells.get(Field::Question)), ("missing_answer", "怎么退款"));
        assert_eq!(draft(&[(Field::Answer, &long)]).unwrap_err().code, "cell_too_long");
    }

    #[test]
    fn text_keeps_its_lines_and_loses_what_means_nothing() {
        let row = draft(&[
            (Field::Question, " 怎么\r\n退款 "),
            (Field::Answer, "\n一\r\n二\u{0}\n"),
            (Field::Market, "全部"),
            (Field::Locale, "中文"),
        ])
        .unwrap();
        assert_eq!((row.question.as_str(), row.answer.as_str()), ("怎么 退款", "一\n二"));
        assert_eq!((row.market, row.locale.as_deref()), (None, Some("zh")));
    }
}
