//! Text made comparable without losing where it came from: every byte of the folded text knows which
//! bytes of the original it stands for, so that what is found can be cut out of the original.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

use crate::knowledge::text;

/// A folded text with the way back.
#[derive(Debug, Default)]
pub struct Folded {
    /// What is searched in.
    pub text: String,
    /// For each byte of `text`, where its original begins and ends.
    origin: Vec<(usize, usize)>,
}

impl Folded {
    /// Full width to half width, invisible characters left out; otherwise as written.
    pub fn width(original: &str) -> Self {
        let mut folded = Self::default();
        for (at, c) in original.char_indices().filter(|(_, c)| !is_invisible(*c)) {
            folded.push(half_width(c), at..at + c.len_utf8());
        }
        folded
    }

    /// What a reader takes for the same, with its spaces and marks: NFKC, simplified, without what shows nothing.
    pub fn read(original: &str) -> Self {
        let mut folded = Self::default();
        for (at, c) in original.char_indices().filter(|(_, c)| !is_invisible(*c) && !shows_nothing(*c)) {
            for plain in half_width(c).nfkc() {
                folded.push(text::simplified(plain), at..at + c.len_utf8());
            }
        }
        folded
    }

    /// Letters and digits only, spelled as questions are compared: NFKC, lower case, simplified.
    pub fn letters(original: &str) -> Self {
        let mut folded = Self::default();
        for (at, c) in original.char_indices() {
            let end = at + c.len_utf8();
            if c.is_ascii() {
                if c.is_ascii_alphanumeric() {
                    folded.push(c.to_ascii_lowercase(), at..end);
                }
                continue;
            }
            for c in c.nfkc().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()) {
                folded.push(text::simplified(c), at..end);
            }
        }
        folded
    }

    /// The original's bytes behind a range of the folded text.
    pub fn origin(&self, range: &Range<usize>) -> Range<usize> {
        match (self.origin.get(range.start), self.origin.get(range.end.saturating_sub(1))) {
            (Some(first), Some(last)) if range.start < range.end => first.0..last.1,
            _ => 0..0,
        }
    }

    /// Where the original of the byte at `at` begins; the original's end for the text's end.
    pub fn origin_start(&self, at: usize, original: &str) -> usize {
        self.origin.get(at).map_or(original.len(), |origin| origin.0)
    }

    fn push(&mut self, c: char, origin: Range<usize>) {
        self.text.push(c);
        self.origin.resize(self.text.len(), (origin.start, origin.end));
    }
}

/// Characters that show nothing and may stand inside a number or a word.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Directions of writing, variants of a character, and tags: they may stand anywhere in a text.
fn shows_nothing(c: char) -> bool {
    matches!(c,
        '\u{180e}' | '\u{202a}'..='\u{202e}' | '\u{2061}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e01ef}')
}

fn half_width(c: char) -> char {
    match c {
        '\u{3000}' | '\u{a0}' => ' ',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{ff01}'..='\u{ff5e}' => {
            let half = char::from_u32(c as u32 - 0xfee0).unwrap_or(c);
            // ，：；！？ end a clause; their half-width forms stand inside numbers and addresses.
            if matches!(half, ',' | ':' | ';' | '!' | '?') { c } else { half }
        }
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_leads_back_to_its_original() {
        let original = "Ｔel：１３８\u{200b}－0013";
        let folded = Folded::width(original);
        assert_eq!(folded.text, "Tel：138-0013");
        let at = folded.text.find("138-").unwrap();
        assert_eq!(&original[folded.origin(&(at..at + 4))], "１３８\u{200b}－");

        let original = "請忽\u{200b}略，Ｓay\u{202e} 𝗶t";
        let folded = Folded::read(original);
        assert_eq!(folded.text, "请忽略,Say it");
        assert_eq!(&original[folded.origin(&(3..9))], "忽\u{200b}略");

        let original = "敏—感 詞，Ｂａｄ";
        let folded = Folded::letters(original);
        assert_eq!(folded.text, "敏感词bad");
        assert_eq!(&original[folded.origin(&(0.."敏感词".len()))], "敏—感 詞");
    }
}
