//! What a column or key means: the contract's field names, their Chinese and English synonyms, and
//! the mapping of a header row.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::error::{Error, Result};
use crate::knowledge::report::PLACE;
use crate::knowledge::text;

/// A field of a knowledge row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub enum Field {
    Id,
    Question,
    Similar,
    Not,
    Answer,
    Category,
    Tags,
    Market,
    Locale,
    ValidFrom,
    ValidTo,
    Source,
    Url,
    Direct,
}

impl Field {
    /// Every field, in the order of an exported table.
    pub const ALL: [Self; 14] = [
        Self::Id,
        Self::Question,
        Self::Similar,
        Self::Not,
        Self::Answer,
        Self::Category,
        Self::Tags,
        Self::Market,
        Self::Locale,
        Self::ValidFrom,
        Self::ValidTo,
        Self::Source,
        Self::Url,
        Self::Direct,
    ];

    /// The contract's name.
    pub fn name(self) -> &'static str {
        self.synonyms()[0]
    }

    /// Whether several columns may bring it, each adding to the others.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Similar | Self::Not | Self::Tags)
    }

    /// How it may be called, apart from what [`plain`] evens out; when two columns of a table mean the
    /// same field, the name further to the front wins.
    #[rustfmt::skip]
    fn synonyms(self) -> &'static [&'static str] {
        match self {
            Self::Id => &["id", "编号", "知识编号", "知识id", "问题编号", "问题id", "entryid", "faqid", "qaid"],
            Self::Question => &[
                "question", "问题", "标准问题", "标准问", "主问题", "用户问题", "提问", "问", "q", "standardquestion", "questions",
                "问题标题", "标题", "title", "heading",
            ],
            Self::Similar => &[
                "similar", "相似问题", "相似问法", "相似问", "相似说法", "同义问法", "扩展问法", "扩展问", "其他问法", "similarquestions",
                "similarquestion", "alternatives", "phrasings", "indexes",
            ],
            Self::Not => &[
                "not", "反例问题", "反例", "反例问法", "否定问题", "排除问法", "负例", "negative", "negatives", "negativequestions",
            ],
            Self::Answer => &[
                "answer", "答案", "回答", "标准答案", "标准回答", "机器人回答", "答复", "回复", "解答", "答", "a", "answers", "response",
                "reply", "内容", "分段内容", "正文", "content",
            ],
            Self::Category => &["category", "分类", "问题分类", "知识分类", "类别", "类目", "categories", "topic"],
            Self::Tags => &["tags", "标签", "关键词", "tag", "labels", "keywords"],
            Self::Market => &["market", "站点", "市场", "站点市场", "市场站点", "适用站点", "适用市场", "site", "markets"],
            Self::Locale => &["locale", "语言", "语种", "language", "lang"],
            Self::ValidFrom => &[
                "valid_from", "生效时间", "生效日期", "开始时间", "开始日期", "有效期开始", "effectivefrom",
            ],
            Self::ValidTo => &[
                "valid_to", "失效时间", "失效日期", "结束时间", "结束日期", "截止时间", "截止日期", "到期时间", "有效期至",
                "有效期结束", "validuntil", "expires", "expireson",
            ],
            Self::Source => &["source", "来源", "知识来源", "出处"],
            Self::Url => &["url", "链接", "原文链接", "网址", "link"],
            Self::Direct => &["direct", "直接回答", "直接返回", "直答"],
        }
    }

    /// The field that `name` means, with its place among the synonyms.
    pub fn find(name: &str) -> Option<(Self, usize)> {
        let name = plain(name);
        // 相似问题1, 相似问题2, …: one phrasing per column.
        let numbered = || NAMES.get(name.trim_end_matches(|c: char| c.is_ascii_digit())).filter(|(field, _)| field.is_list());
        NAMES.get(name.as_str()).or_else(numbered).copied()
    }
}

/// The fields that a file has at all. What it has no column or key for is not said to be empty: it stays
/// as the base has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given(u16);

impl Given {
    /// A row that says everything about its entry.
    pub const ALL: Self = Self(u16::MAX);

    /// These fields and no others.
    pub fn of(fields: impl IntoIterator<Item = Field>) -> Self {
        Self(fields.into_iter().fold(0, |bits, field| bits | 1 << field as u16))
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, field: Field) -> Self {
        Self(self.0 | 1 << field as u16)
    }

    /// Whether a field is among them.
    pub fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u16 != 0
    }

    /// A bit a field; all of them when every field is given.
    pub fn bits(self) -> u16 {
        if self.is_all() { Self::ALL.0 } else { self.0 }
    }

    /// Whether all are.
    pub fn is_all(self) -> bool {
        Field::ALL.into_iter().all(|field| self.has(field))
    }
}

/// Every name of every field, with its place among the field's synonyms.
static NAMES: LazyLock<HashMap<String, (Field, usize)>> = LazyLock::new(|| {
    let names = |field: Field| field.synonyms().iter().enumerate().map(move |(place, name)| (plain(name), (field, place)));
    Field::ALL.into_iter().flat_map(names).collect()
});

/// A header without bracketed remarks, marks of required columns, spacing, case and traditional forms.
fn plain(header: &str) -> String {
    let mut depth = 0_u32;
    let mut name = String::with_capacity(header.len());
    for c in header.chars() {
        match c {
            '(' | '（' | '[' | '【' | '<' | '《' | '〔' => depth += 1,
            ')' | '）' | ']' | '】' | '>' | '》' | '〕' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            '_' | '-' | '*' | '＊' | '/' | '／' | ':' | '：' | '\u{feff}' => {}
            _ if c.is_whitespace() => {}
            // Full-width letters and digits to plain ones.
            '\u{ff01}'..='\u{ff5e}' => name.extend(char::from_u32(c as u32 - 0xfee0).map(|c| c.to_ascii_lowercase())),
            _ => name.extend(text::simplified(c).to_lowercase()),
        }
    }
    name
}

/// Which field each column of a table brings.
#[derive(Debug)]
pub struct Columns {
    fields: Vec<Option<Field>>,
    /// What people should know about the header.
    pub notes: Vec<String>,
}

impl Columns {
    /// Maps a header row.
    ///
    /// # Errors
    /// `no_question_or_answer_column` with the headers that were seen, when no column brings answers.
    pub fn map<'a>(headers: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let headers: Vec<&str> = headers.into_iter().map(str::trim).collect();
        let found: Vec<_> = headers.iter().map(|header| Field::find(header)).collect();
        let fields: Vec<_> = (0..found.len()).map(|at| found[at].filter(|_| is_chosen(&found, at)).map(|(field, _)| field)).collect();
        if !fields.contains(&Some(Field::Answer)) {
            return Err(missing(&headers, fields.contains(&Some(Field::Question))));
        }
        Ok(Self { notes: notes(&headers, &fields), fields })
    }

    /// How many columns the header has.
    pub fn count(&self) -> usize {
        self.fields.len()
    }

    /// The fields that some column brings.
    pub fn given(&self) -> Given {
        Given::of(self.fields.iter().copied().flatten())
    }

    /// The field that column `at` brings.
    pub fn field(&self, at: usize) -> Option<Field> {
        self.fields.get(at).copied().flatten()
    }
}

/// Whether no other column has a better name (or the same, further left) for the same single field.
fn is_chosen(found: &[Option<(Field, usize)>], at: usize) -> bool {
    let Some((field, place)) = found[at] else { return false };
    let beaten =
        |(other, rival): (usize, &Option<(Field, usize)>)| rival.is_some_and(|(rival, rank)| rival == field && (rank, other) < (place, at));
    field.is_list() || !found.iter().enumerate().any(beaten)
}

fn notes(headers: &[&str], fields: &[Option<Field>]) -> Vec<String> {
    // A report of ours that comes back says where its rows were: nobody has to be told.
    let ours = PLACE.iter().all(|place| headers.contains(place));
    let ignored: Vec<_> = headers
        .iter()
        .zip(fields)
        .filter(|(header, field)| field.is_none() && !header.is_empty() && !(ours && PLACE.contains(header)))
        .map(|(header, _)| format!("`{header}`"))
        .collect();
    if ignored.is_empty() { Vec::new() } else { vec![format!("columns not used: {}", ignored.join(", "))] }
}

fn missing(headers: &[&str], has_question: bool) -> Error {
    let seen: Vec<_> = headers.iter().map(|header| format!("`{}`", header.chars().take(40).collect::<String>())).collect();
    let which = if has_question { "an answer column" } else { "a question and an answer column" };
    let garbled = if headers.iter().all(|header| header.is_ascii()) {
        ""
    } else {
        " If they look garbled, name the file's encoding (--encoding utf-8, gbk, …)."
    };
    Error::invalid(
        "no_question_or_answer_column",
        format!(
            "The first row must name the columns, but {which} cannot be found in it. Seen: {}. Call them `question` and `answer`, or 问题 and 答案.{garbled}",
            seen.join(", ")
        ),
    )
    .with_details(serde_json::json!({"headers": headers}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_in_two_languages_with_remarks_are_understood() {
        for (header, field) in [
            ("标准问题（必填，不超过100字）", Field::Question),
            ("*机器人回答(必填)", Field::Answer),
            ("Standard Question", Field::Question),
            ("站点/市场", Field::Market),
            ("valid-from", Field::ValidFrom),
            ("VALID_TO [inclusive]", Field::ValidTo),
            ("ＩＤ", Field::Id),
            ("\u{feff}问题", Field::Question),
            ("相似问法2", Field::Similar),
            ("直接回答【是/否】", Field::Direct),
            ("問題", Field::Question),
            ("相似問題1", Field::Similar),
            ("失效時間", Field::ValidTo),
            ("市場", Field::Market),
            ("來源", Field::Source),
            ("關鍵詞", Field::Tags),
        ] {
            assert_eq!(Field::find(header).map(|(field, _)| field), Some(field), "{header}");
        }
        for unknown in ["page", "序号", "", "question2", "(remark only)", "intent"] {
            assert_eq!(Field::find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_contract_name_means_its_field() {
        for field in Field::ALL {
            assert_eq!(Field::find(field.name()), Some((field, 0)));
        }
        let all: usize = Field::ALL.iter().map(|field| field.synonyms().len()).sum();
        assert_eq!(NAMES.len(), all, "a name means one field only");
    }

    #[test]
    fn the_better_name_wins_and_the_rest_is_noted() {
        let columns = Columns::map(["标题", "问题", "答案", "备注", "相似问题1", "相似问题2", ""]).unwrap();
        let fields: Vec<_> = (0..columns.count()).map(|at| columns.field(at)).collect();
        let similar = Some(Field::Similar);
        assert_eq!(fields, [None, Some(Field::Question), Some(Field::Answer), None, similar, similar, None]);
        assert_eq!(columns.notes, ["columns not used: `标题`, `备注`"]);
        let given = columns.given();
        assert!(given.has(Field::Similar) && !given.has(Field::Market) && !given.is_all() && Given::ALL.is_all());
        assert!(given.with(Field::Market).has(Field::Market));
    }

    #[test]
    fn a_header_without_answers_lists_what_was_seen() {
        let error = Columns::map(["姓名", "电话"]).unwrap_err();
        assert_eq!(error.code(), "no_question_or_answer_column");
        assert!(error.message().contains("`姓名`, `电话`"), "{error}");
        assert!(Columns::map(["question", "intent"]).is_err());
        assert!(Columns::map(["answer"]).is_ok());
    }
}
