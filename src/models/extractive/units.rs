//! Cuts a source's text into the pieces that may be quoted by themselves: sentences, whole list items,
//! whole tables and code blocks.

use std::ops::Range;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sentence,
    /// A list item with its continuation lines.
    Item,
    /// A table or a code block.
    Block,
    Heading,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Bytes of the text, without white space around it.
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
    /// Counts paragraphs: a blank line or another kind begins the next.
    pub(super) paragraph: usize,
}

/// The pieces of a text, in order.
pub(super) fn units(text: &str) -> Vec<Unit> {
    let mut cutter = Cutter { text, units: Vec::new(), paragraph: 0, fence: None, prose: 0..0 };
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        cutter.line(start..start + line.len());
        start += line.len();
    }
    cutter.end_prose();
    if let Some(opened) = cutter.fence {
        cutter.add(opened..text.len(), Kind::Block);
    }
    cutter.units
}

struct Cutter<'a> {
    text: &'a str,
    units: Vec<Unit>,
    paragraph: usize,
    /// Where an open code block began.
    fence: Option<usize>,
    /// Lines of running text that are not cut into sentences yet.
    prose: Range<usize>,
}

impl Cutter<'_> {
    fn line(&mut self, range: Range<usize>) {
        let raw = &self.text[range.clone()];
        let line = raw.trim();
        let indented = raw.starts_with("  ") || raw.starts_with('\t');
        if self.fence.is_none() && self.is_prose(line, indented) {
            let start = if self.prose.is_empty() { range.start } else { self.prose.start };
            self.prose = start..range.end;
            return;
        }
        self.end_prose();
        if line.starts_with("```") {
            match self.fence.take() {
                Some(opened) => self.add(opened..range.end, Kind::Block),
                None => self.fence = Some(range.start),
            }
        } else if self.fence.is_some() {
            // Inside a code block: taken whole when it closes.
        } else if line.is_empty() {
            self.paragraph += 1;
        } else if line.starts_with('#') {
            self.add(range, Kind::Heading);
        } else if is_item(line) {
            self.add(range, Kind::Item);
        } else if line.starts_with('|') {
            self.add_or_extend(range, Kind::Block);
        } else {
            self.add_or_extend(range, Kind::Item);
        }
    }

    /// Not a heading, item, row or fence, and not the indented next line of an item.
    fn is_prose(&self, line: &str, indented: bool) -> bool {
        let continues = indented && self.prose.is_empty() && self.units.last().is_some_and(|unit| unit.kind == Kind::Item);
        let marked = line.is_empty() || line.starts_with("```") || line.starts_with('#') || line.starts_with('|') || is_item(line);
        !marked && !continues
    }

    fn end_prose(&mut self) {
        let prose = std::mem::replace(&mut self.prose, 0..0);
        for sentence in sentences(&self.text[prose.clone()]) {
            self.add(prose.start + sentence.start..prose.start + sentence.end, Kind::Sentence);
        }
    }

    fn add(&mut self, range: Range<usize>, kind: Kind) {
        let piece = &self.text[range.clone()];
        let start = range.start + (piece.len() - piece.trim_start().len());
        let end = start + piece.trim().len();
        if start == end {
            return;
        }
        if self.units.last().is_some_and(|last| last.kind != kind) {
            self.paragraph += 1;
        }
        self.units.push(Unit { range: start..end, kind, paragraph: self.paragraph });
    }

    /// Grows the piece before when it is of the same kind and paragraph.
    fn add_or_extend(&mut self, range: Range<usize>, kind: Kind) {
        match self.units.last_mut() {
            Some(last) if last.kind == kind && last.paragraph == self.paragraph => {
                last.range.end = range.start + self.text[range].trim_end().len();
            }
            _ => self.add(range, kind),
        }
    }
}

/// An "item" of more bytes is a whole text that lost its line breaks: it is cut into sentences.
const LONGEST_ITEM: usize = 600;

/// Whether a line begins like a list item: `- `, `1. `, `2）`, `（三）`, `四、`, `①`.
fn is_item(line: &str) -> bool {
    if line.len() > LONGEST_ITEM {
        return false;
    }
    let mut chars = line.chars();
    let Some(first) = chars.next() else { return false };
    let rest = chars.as_str();
    if matches!(first, '-' | '*' | '+' | '•' | '·') {
        return rest.starts_with(' ');
    }
    if matches!(first, '①'..='⑳') {
        return true;
    }
    let inner = if matches!(first, '(' | '（') { rest } else { line };
    let number = inner.trim_start_matches(|c: char| c.is_ascii_digit() || "一二三四五六七八九十".contains(c));
    let digits = inner.len() - number.len();
    let mut after = number.chars();
    let mark = after.next().unwrap_or_default();
    if digits == 0 || digits > 6 {
        return false;
    }
    match first {
        '(' | '（' => matches!(mark, ')' | '）'),
        _ => matches!(mark, '、' | '）' | ')') || (matches!(mark, '.' | '．') && !after.next().is_some_and(char::is_alphanumeric)),
    }
}

/// Sentences of running text, as byte ranges.
fn sentences(prose: &str) -> Vec<Range<usize>> {
    let chars: Vec<(usize, char)> = prose.char_indices().collect();
    let mut found = Vec::new();
    let mut start = 0;
    let mut i = 0;
    while i < chars.len() {
        let mut next = i + 1;
        if ends_sentence(&chars, i) {
            while next < chars.len() && is_closing(chars[next].1) {
                next += 1;
            }
            let end = chars.get(next).map_or(prose.len(), |&(at, _)| at);
            found.push(start..end);
            start = end;
        }
        i = next;
    }
    found.push(start..prose.len());
    found
}

fn ends_sentence(chars: &[(usize, char)], i: usize) -> bool {
    let c = chars[i].1;
    let next = chars.get(i + 1).map(|&(_, c)| c);
    match c {
        '。' | '！' | '？' | '…' => !next.is_some_and(|next| "。！？…".contains(next)),
        '!' | '?' => next.is_none_or(|next| next.is_whitespace() || !next.is_ascii()),
        '.' => next.is_none_or(char::is_whitespace) && !abbreviates(chars, i) && starts_sentence(chars, i + 1),
        // A wrapped line goes on in lower case; any other line break ends what came before it.
        '\n' => !chars[i + 1..].iter().find(|(_, c)| !c.is_whitespace()).is_some_and(|(_, c)| c.is_lowercase()),
        _ => false,
    }
}

fn is_closing(c: char) -> bool {
    matches!(c, '”' | '’' | '」' | '』' | '）' | ')' | '"' | '\'' | '】' | '》')
}

/// Whether what follows looks like the start of a sentence: not a small letter.
fn starts_sentence(chars: &[(usize, char)], from: usize) -> bool {
    !chars[from..].iter().find(|(_, c)| !c.is_whitespace()).is_some_and(|(_, c)| c.is_lowercase())
}

/// Whether the full stop at `i` belongs to a short form such as "No." or "e.g.".
fn abbreviates(chars: &[(usize, char)], i: usize) -> bool {
    const SHORT: [&str; 10] = ["no", "mr", "mrs", "ms", "dr", "inc", "ltd", "vs", "approx", "e.g"];
    let from = chars[..i].iter().rposition(|(_, c)| c.is_whitespace()).map_or(0, |at| at + 1);
    let word: String = chars[from..i].iter().map(|(_, c)| c.to_ascii_lowercase()).collect();
    SHORT.contains(&word.trim_start_matches('('))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(&str, Kind)> {
        units(text).into_iter().map(|unit| (&text[unit.range], unit.kind)).collect()
    }

    #[test]
    fn sentences_in_both_languages() {
        use Kind::Sentence as S;
        assert_eq!(cut("先交1.5万元。（可退）再审核！好吗？"), [("先交1.5万元。", S), ("（可退）再审核！", S), ("好吗？", S)]);
        let text = "Pay No. 3 first, e.g. by card. It takes 3.5 days!\nSee a?b=1 for\nmore.";
        assert_eq!(cut(text), [("Pay No. 3 first, e.g. by card.", S), ("It takes 3.5 days!", S), ("See a?b=1 for\nmore.", S)]);
        assert_eq!(cut("他说：“可以。”然后"), [("他说：“可以。”", S), ("然后", S)]);
    }

    #[test]
    fn lists_tables_and_code_stay_whole() {
        use Kind::{Block, Heading, Item, Sentence};
        let text = "# 材料\n需要：\n\n1. 执照。正本。\n   彩色\n- 法人证件\n（三）其他\n\n|a|b|\n|-|-|\n```\nx\n\ny\n```\n1.5 倍";
        let expected = [
            ("# 材料", Heading),
            ("需要：", Sentence),
            ("1. 执照。正本。\n   彩色", Item),
            ("- 法人证件", Item),
            ("（三）其他", Item),
            ("|a|b|\n|-|-|", Block),
            ("```\nx\n\ny\n```", Block),
            ("1.5 倍", Sentence),
        ];
        assert_eq!(cut(text), expected);
        assert_eq!(cut("\n \n"), []);
    }
}
