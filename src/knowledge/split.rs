//! Entry → passages: each phrasing of the question by itself, and the answer in pieces that an
//! embedding can hold, cut where paragraphs and sentences end.

use super::{EntryDraft, Passage, PassageKind};

/// Most that one piece weighs: 400 Chinese characters, or 1,200 Latin ones.
const LIMIT: usize = 1200;

/// The passages of an entry, in a fixed order: question, further phrasings, then the answer.
pub fn passages(entry: &EntryDraft) -> Vec<Passage> {
    let question = Some(entry.question.as_str()).filter(|question| !question.trim().is_empty());
    let phrasings = question.into_iter().chain(entry.similar.iter().map(String::as_str));
    let phrasings = phrasings.map(|text| (PassageKind::Phrasing, text));
    let bodies = pieces(&entry.answer).into_iter().map(|text| (PassageKind::Body, text));
    (0..).zip(phrasings.chain(bodies)).map(|(seq, (kind, text))| Passage { seq, kind, text: text.to_owned() }).collect()
}

/// The text in pieces, each as long as it may be. Nothing but white space is lost between them.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cut(rest));
        pieces.push(piece.trim_end());
        rest = after.trim_start();
    }
    pieces
}

/// Where one thing ends and the next begins, the clearest first.
#[derive(Clone, Copy)]
enum Border {
    Paragraph,
    Sentence,
    Clause,
}

impl Border {
    /// Weight from which a piece may end here: better a short piece than one paragraph in two.
    fn from(self) -> usize {
        match self {
            Self::Paragraph => LIMIT / 4,
            Self::Sentence | Self::Clause => LIMIT / 2,
        }
    }
}

/// The byte at which the first piece of `text` ends.
fn cut(text: &str) -> usize {
    let mut weight = 0;
    let mut last = [None; 3];
    let mut chars = text.char_indices().peekable();
    let mut before = ' ';
    while let Some((at, c)) = chars.next() {
        weight += weigh(c);
        if weight > LIMIT {
            return last.into_iter().flatten().next().unwrap_or(at);
        }
        let next = chars.peek().map_or(' ', |&(_, next)| next);
        if let Some(border) = border(before, c, next).filter(|border| weight >= border.from()) {
            last[border as usize] = Some(at + c.len_utf8());
        }
        before = c;
    }
    text.len()
}

/// What ends after `c`.
fn border(before: char, c: char, next: char) -> Option<Border> {
    let closes = |c| matches!(c, '”' | '’' | '」' | '』' | '）' | ')' | '"');
    match c {
        '\n' if next == '\n' || before == '\n' => Some(Border::Paragraph),
        '\n' => Some(Border::Sentence),
        '。' | '！' | '？' | '；' | '…' if !closes(next) && next != c => Some(Border::Sentence),
        '.' | '!' | '?' | ';' if next.is_whitespace() => Some(Border::Sentence),
        _ if closes(c) && matches!(before, '。' | '！' | '？' | '.' | '!' | '?') => Some(Border::Sentence),
        '，' | '、' | '：' => Some(Border::Clause),
        _ if c.is_whitespace() => Some(Border::Clause),
        _ => None,
    }
}

/// A Chinese, Japanese or Korean character says about as much as three Latin letters.
fn weigh(c: char) -> usize {
    if c >= '\u{2e80}' { 3 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weight(text: &str) -> usize {
        text.chars().map(weigh).sum()
    }

    fn bare(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    #[test]
    fn phrasings_come_first_and_a_short_answer_stays_whole() {
        let entry = EntryDraft {
            question: "怎么退款？".into(),
            similar: vec!["退钱".into()],
            answer: "七天内原路退回。\n\n节假日顺延。".into(),
            ..EntryDraft::default()
        };
        let found: Vec<_> = passages(&entry).into_iter().map(|passage| (passage.seq, passage.kind, passage.text)).collect();
        assert_eq!(
            found,
            [
                (0, PassageKind::Phrasing, "怎么退款？".to_owned()),
                (1, PassageKind::Phrasing, "退钱".to_owned()),
                (2, PassageKind::Body, "七天内原路退回。\n\n节假日顺延。".to_owned()),
            ]
        );
        let section = EntryDraft { answer: "正文".into(), ..EntryDraft::default() };
        assert_eq!(passages(&section).len(), 1);
    }

    #[test]
    fn pieces_end_where_paragraphs_then_sentences_end() {
        let paragraph = |c: &str, n: usize| format!("{}。", c.repeat(n));
        let (a, b, c) = (paragraph("甲", 150), paragraph("乙", 300), paragraph("丙", 90));
        let text = format!("{a}\n\n{b}\n\n{c}");
        assert_eq!(pieces(&text), [a.as_str(), &format!("{b}\n\n{c}")]);
        let sentences = "这是一句话，说了一件事。".repeat(60);
        assert!(pieces(&sentences).iter().all(|piece| piece.ends_with('。') && weight(piece) > LIMIT / 2));
        let english = "This is a sentence with 3.5 commas. ".repeat(80);
        assert!(pieces(&english).iter().all(|piece| piece.ends_with("commas.")));
        assert_eq!(pieces(&"x".repeat(3000)).len(), 3);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_long(text in "[一-三a-c。，.! \\n\\t”]{0,4000}") {
            let found = pieces(&text);
            prop_assert_eq!(found.iter().map(|piece| bare(piece)).collect::<String>(), bare(&text));
            for piece in found {
                prop_assert!(weight(piece) <= LIMIT && !piece.is_empty());
            }
        }
    }
}
