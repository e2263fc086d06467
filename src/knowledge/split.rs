//! Entry → passages (pure): a passage for the question and each further phrasing, pieces of the answer
//! cut at paragraph and sentence ends, the phrasings it does not answer, and the sentences of long
//! pieces. The same entry is always cut the same way.

use super::text::is_han;
use super::{EntryDraft, Passage, PassageKind};

/// Longest piece of an answer in characters, where Chinese is written; a Chinese character carries
/// about as much as three Latin letters.
pub const PIECE_CHARS: usize = 400;
const LATIN_FACTOR: usize = 3;
/// Pieces from this long on are also cut into sentences; in a shorter one they say the same as the piece.
const LONG_CHARS: usize = 100;
/// Neighbouring sentences shorter than the first are put together, as long as they stay below the second.
const SENTENCE_CHARS: (usize, usize) = (15, 80);

/// What of an entry is retrieved.
pub fn passages(draft: &EntryDraft) -> Vec<Passage> {
    let phrasings = draft.phrasings().map(|phrasing| (PassageKind::Phrasing, phrasing.clone()));
    let pieces = pieces(&draft.answer);
    let spoken: Vec<String> = pieces.iter().flat_map(|piece| spoken(piece)).collect();
    let bodies = pieces.into_iter().map(|piece| (PassageKind::Body, piece));
    let negative = draft.negative.iter().map(|phrasing| (PassageKind::Not, phrasing.clone()));
    let spoken = spoken.into_iter().map(|text| (PassageKind::Sentence, text));
    let numbered = (0..).zip(phrasings.chain(bodies).chain(negative).chain(spoken));
    numbered.map(|(seq, (kind, text))| Passage { seq, kind, text }).collect()
}

/// What is shown for one passage, without cutting what need not be cut: its text, of a sentence the piece it is from.
pub fn shown(draft: &EntryDraft, seq: u32) -> Option<String> {
    let at = seq as usize;
    if let Some(phrasing) = draft.phrasings().nth(at) {
        return Some(phrasing.clone());
    }
    let mut pieces = pieces(&draft.answer);
    let at = at - draft.phrasings().count();
    if at < pieces.len() {
        return Some(pieces.swap_remove(at));
    }
    let at = at - pieces.len();
    if let Some(phrasing) = draft.negative.get(at) {
        return Some(phrasing.clone());
    }
    let mut sentence = at - draft.negative.len();
    pieces.into_iter().find(|piece| {
        let own = spoken(piece).len();
        let here = sentence < own;
        sentence = sentence.saturating_sub(own);
        here
    })
}

/// The sentences of a long piece, short ones together; none when the piece is short or a single one.
fn spoken(piece: &str) -> Vec<String> {
    let factor = if mostly_han(piece) { 1 } else { LATIN_FACTOR };
    if piece.chars().count() < LONG_CHARS * factor {
        return Vec::new();
    }
    let (least, most) = (SENTENCE_CHARS.0 * factor, SENTENCE_CHARS.1 * factor);
    let mut out = Vec::new();
    let mut together = String::new();
    let mut chars = 0;
    for sentence in sentences(piece) {
        let more = sentence.chars().count();
        if chars + more > most {
            close(&mut out, &mut together);
            chars = 0;
        }
        together.push_str(sentence);
        chars += more;
        if chars >= least {
            close(&mut out, &mut together);
            chars = 0;
        }
    }
    close(&mut out, &mut together);
    if out.len() > 1 { out } else { Vec::new() }
}

/// Whole sentences packed into pieces; a sentence over the limit is cut where it must be.
fn pieces(answer: &str) -> Vec<String> {
    let most = if mostly_han(answer) { PIECE_CHARS } else { PIECE_CHARS * LATIN_FACTOR };
    let mut pieces: Vec<String> = Vec::new();
    let mut piece = String::new();
    let mut chars = 0;
    for sentence in sentences(answer) {
        for part in cut(sentence, most) {
            let more = part.chars().count();
            if chars + more > most {
                close(&mut pieces, &mut piece);
                chars = 0;
            }
            piece.push_str(part);
            chars += more;
        }
    }
    close(&mut pieces, &mut piece);
    pieces
}

fn close(pieces: &mut Vec<String>, piece: &mut String) {
    if !piece.trim().is_empty() {
        pieces.push(piece.trim().to_owned());
    }
    piece.clear();
}

fn mostly_han(text: &str) -> bool {
    let han = text.chars().filter(|&c| is_han(c)).count();
    han * 4 > text.chars().filter(|c| !c.is_whitespace()).count()
}

/// Sentences with their ends and the white space after them.
pub fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (sentence, after) = rest.split_at(sentence_end(rest));
        rest = after;
        Some(sentence)
    })
}

/// The byte after the first sentence: after 。！？； or a line break, and after a Latin full stop only
/// when white space follows, so that 0.5 and file names stay whole.
fn sentence_end(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        let next = chars.peek().map(|&(_, next)| next);
        let ends = match c {
            '。' | '！' | '？' | '；' | '\n' => true,
            '.' | '!' | '?' | ';' => next.is_none_or(char::is_whitespace),
            _ => false,
        };
        if ends {
            while chars.next_if(|&(_, next)| next.is_whitespace() || "”’」』）)\"".contains(next)).is_some() {}
            return chars.peek().map_or(text.len(), |&(at, _)| at);
        }
    }
    text.len()
}

fn cut(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((at, _)) = rest.char_indices().nth(most) {
        let (part, after) = rest.split_at(at);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrasings_first_then_the_answer_in_sentences() {
        let draft =
            EntryDraft { question: "问".into(), similar: vec!["再问".into()], answer: "答。".repeat(300), ..Default::default() };
        let cut = passages(&draft);
        assert_eq!((cut[0].text.as_str(), cut[1].text.as_str()), ("问", "再问"));
        let (pieces, sentences) = cut[2..].split_at(2);
        assert!(pieces.iter().all(|passage| passage.kind == PassageKind::Body && passage.text.ends_with('。')));
        assert!(!sentences.is_empty() && sentences.iter().all(|passage| passage.kind == PassageKind::Sentence));
        assert!(cut.iter().map(|passage| passage.seq).eq(0..cut.len() as u32));
    }

    #[test]
    fn what_is_shown_is_the_passage_or_the_piece_of_the_sentence() {
        let draft = EntryDraft {
            question: "问".into(),
            similar: vec!["再问".into()],
            answer: (0..60).map(|n| format!("第{n}条说的是另外一件很不一样的事情。")).collect(),
            negative: vec!["不问".into(), "也不问".into()],
            ..Default::default()
        };
        let all = passages(&draft);
        let pieces: Vec<&Passage> = all.iter().filter(|one| one.kind == PassageKind::Body).collect();
        let (mut sentences, mut last) = (0, 0);
        for one in &all {
            let text = shown(&draft, one.seq).unwrap();
            if one.kind == PassageKind::Sentence {
                let piece = pieces.iter().position(|piece| piece.text == text).unwrap();
                assert!(text.contains(&one.text) && piece >= last, "{text}");
                (sentences, last) = (sentences + 1, piece);
            } else {
                assert_eq!(text, one.text);
            }
        }
        assert_eq!((sentences, last), (60, pieces.len() - 1));
        assert_eq!(shown(&draft, all.len() as u32), None);
    }

    #[test]
    fn a_long_piece_is_cut_into_its_sentences_too() {
        let told: Vec<String> = (0..12).map(|i| format!("第{i}条说的是另外一件很不一样的事情。")).collect();
        let draft = EntryDraft { answer: format!("短。{}", told.concat()), negative: vec!["不答".into()], ..Default::default() };
        let cut = passages(&draft);
        let kinds: Vec<PassageKind> = cut.iter().map(|passage| passage.kind).collect();
        assert_eq!(kinds[..2], [PassageKind::Body, PassageKind::Not]);
        let sentences: Vec<&str> = cut[2..].iter().map(|passage| passage.text.as_str()).collect();
        assert_eq!(sentences[0], format!("短。{}", told[0]), "a short one goes with its neighbour");
        assert_eq!((sentences.len(), sentences[11]), (12, told[11].as_str()));
        assert!(cut[2..].iter().all(|passage| passage.kind == PassageKind::Sentence && cut[0].text.contains(&passage.text)));
        let short = EntryDraft { answer: "一句话说完。还有一句。".into(), ..Default::default() };
        assert_eq!(passages(&short).len(), 1, "what is short is only a piece");
    }

    #[test]
    fn a_decimal_is_no_sentence_end() {
        assert_eq!(sentences("The fee is 0.5 %. Pay it.").collect::<Vec<_>>(), ["The fee is 0.5 %. ", "Pay it."]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_and_no_piece_is_too_long(answer in "[a-z保证金0-9。.!\n ]{0,3000}") {
            let pieces = pieces(&answer);
            let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            proptest::prop_assert_eq!(squeeze(&pieces.concat()), squeeze(&answer));
            proptest::prop_assert!(pieces.iter().all(|piece| piece.chars().count() <= PIECE_CHARS * LATIN_FACTOR));
        }
    }
}
