//! Bytes of unknown encoding → UTF-8, while streaming. Shops save tables from Excel and WPS, so GBK
//! is as likely as UTF-8. What cannot be decoded becomes [`BAD`], which no honest text contains, and
//! turns into an error of the row that holds it: never a silent U+FFFD.

use std::io::{self, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{DecoderResult, Encoding, GB18030, GBK, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::{Error, Result};

/// Stands for bytes that could not be decoded: a Unicode noncharacter, meant for internal use.
pub const BAD: char = '\u{FDD0}';

/// Looked at to guess an encoding: the beginning, and as much from the first non-ASCII byte on.
const SAMPLE: usize = 64 * 1024;

/// What is looked at to guess an encoding.
pub struct Sample {
    head: Vec<u8>,
    /// From the first non-ASCII byte on: a long file may begin with kilobytes of plain ASCII.
    telling: Vec<u8>,
    /// Whether `telling` reaches the end, so that a cut-off character is the file's own fault.
    complete: bool,
}

impl Sample {
    /// Reads as little as tells the encoding; a reader that fails midway is judged by what it gave.
    pub fn take(mut reader: impl Read) -> io::Result<Self> {
        let mut head = Vec::with_capacity(SAMPLE);
        match reader.by_ref().take(SAMPLE as u64).read_to_end(&mut head) {
            Err(error) if head.is_empty() => return Err(error),
            _ => {}
        }
        let mut telling = from_first_non_ascii(&head).to_vec();
        let mut chunk = vec![0; 16 * 1024];
        let mut complete = head.len() < SAMPLE;
        while !complete && telling.len() < SAMPLE {
            let n = reader.read(&mut chunk).unwrap_or(0);
            complete = n == 0;
            let fresh = &chunk[..n];
            telling.extend_from_slice(if telling.is_empty() { from_first_non_ascii(fresh) } else { fresh });
        }
        Ok(Self { head, telling, complete })
    }

    /// Whether there is nothing but white space.
    pub fn is_blank(&self) -> bool {
        let mark = Encoding::for_bom(&self.head).map_or(0, |(_, length)| length);
        self.head.len() < SAMPLE && self.head[mark..].iter().all(u8::is_ascii_whitespace)
    }

    /// The encoding: `forced` when given, else the byte order mark, valid UTF-8, or a guess.
    ///
    /// # Errors
    /// `unknown_encoding` for a label nobody knows, `file_unreadable` for a binary file,
    /// `bad_encoding` when the bytes make no sense in the encoding.
    pub fn encoding(&self, forced: Option<&str>) -> Result<&'static Encoding> {
        let encoding = match forced {
            Some(label) => by_label(label)?,
            None => self.detect()?,
        };
        if self.damage(encoding).is_wrong_encoding() {
            return Err(Error::invalid(
                "bad_encoding",
                format!("The text makes no sense as {}. Save the file as UTF-8, or name its encoding with --encoding.", encoding.name()),
            ));
        }
        Ok(encoding)
    }

    fn detect(&self) -> Result<&'static Encoding> {
        if let Some((encoding, _)) = Encoding::for_bom(&self.head) {
            return Ok(encoding);
        }
        if self.head.contains(&0) {
            return utf16_by_zeros(&self.head).ok_or_else(binary);
        }
        Ok(if self.damage(UTF_8).is_wrong_encoding() { self.guess() } else { UTF_8 })
    }

    fn damage(&self, encoding: &'static Encoding) -> Damage {
        if encoding == UTF_16LE || encoding == UTF_16BE {
            // Here a first byte beyond ASCII may be the middle of a character.
            return Damage::of(&self.head, encoding, self.head.len() < SAMPLE);
        }
        Damage::of(&self.telling, encoding, self.complete)
    }

    fn guess(&self) -> &'static Encoding {
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        detector.feed(&self.telling, self.complete);
        let guess = detector.guess(None, Utf8Detection::Deny);
        // A few Chinese characters alone look like Western letters; those, however, stand singly
        // between plain ones, while GBK comes in pairs.
        let chinese = guess == GBK || (guess.is_single_byte() && high_bytes_come_in_pairs(&self.telling));
        if chinese { GB18030 } else { guess }
    }
}

fn by_label(label: &str) -> Result<&'static Encoding> {
    let encoding = Encoding::for_label_no_replacement(label.trim().as_bytes()).ok_or_else(|| {
        Error::invalid(
            "unknown_encoding",
            format!("`{label}` is no encoding known here; use for example utf-8, gbk, gb18030, utf-16le, utf-16be or big5."),
        )
    })?;
    Ok(if encoding == GBK { GB18030 } else { encoding })
}

fn binary() -> Error {
    Error::invalid("file_unreadable", "This is a binary file, not text. Save a spreadsheet as CSV, a document as Markdown.")
}

/// UTF-16 without a mark shows in its commas and line ends: every second byte of them is zero.
fn utf16_by_zeros(head: &[u8]) -> Option<&'static Encoding> {
    let zeros_at = |odd: usize| head.iter().skip(odd).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros_at(0), zeros_at(1));
    let encoding = if odd > even { UTF_16LE } else { UTF_16BE };
    // The other byte is zero in one character of 256, such as 退.
    let clear = even.min(odd) * 2 < even.max(odd);
    let whole = &head[..head.len() - head.len() % 2];
    (clear && is_text(&encoding.decode_without_bom_handling(whole).0)).then_some(encoding)
}

fn is_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}'))
}

fn from_first_non_ascii(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(bytes.len());
    &bytes[first..]
}

fn high_bytes_come_in_pairs(bytes: &[u8]) -> bool {
    bytes.split(u8::is_ascii).all(|run| run.len().is_multiple_of(2))
}

/// How much of a sample an encoding could not read.
struct Damage {
    good: usize,
    bad: usize,
}

impl Damage {
    fn of(sample: &[u8], encoding: &'static Encoding, complete: bool) -> Self {
        let mut text = [0; 4096];
        let mut decoder = encoding.new_decoder_with_bom_removal();
        let mut damage = Self { good: 0, bad: 0 };
        let mut rest = sample;
        loop {
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(rest, &mut text, complete);
            rest = &rest[read..];
            // Continuation bytes are not counted, so this is non-ASCII characters.
            damage.good += text[..written].iter().filter(|&&byte| byte >= 0xc0).count();
            match result {
                DecoderResult::InputEmpty => return damage,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => damage.bad += 1,
            }
        }
    }

    /// A stray broken character is an error of its row; one in three means the wrong encoding.
    fn is_wrong_encoding(&self) -> bool {
        self.bad * 2 > self.good
    }
}

/// Decodes while reading: UTF-8 comes out, without a byte order mark, with `\n` for every line end,
/// and with [`BAD`] where bytes could not be decoded.
pub struct Utf8Reader<R> {
    inner: R,
    decoder: encoding_rs::Decoder,
    input: Vec<u8>,
    /// The undecoded part of `input`.
    from: usize,
    to: usize,
    output: Vec<u8>,
    given: usize,
    after_return: bool,
    ended: bool,
}

impl<R: Read> Utf8Reader<R> {
    /// Decodes what `inner` gives.
    pub fn new(inner: R, encoding: &'static Encoding) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_with_bom_removal(),
            input: vec![0; 32 * 1024],
            from: 0,
            to: 0,
            output: Vec::with_capacity(96 * 1024),
            given: 0,
            after_return: false,
            ended: false,
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        if self.from == self.to {
            self.to = self.inner.read(&mut self.input)?;
            self.from = 0;
        }
        let last = self.to == 0;
        let mut text = [0; 8 * 1024];
        let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(&self.input[self.from..self.to], &mut text, last);
        self.from += read;
        self.push(&text[..written]);
        match result {
            DecoderResult::Malformed(..) => self.push(BAD.encode_utf8(&mut [0; 4]).as_bytes()),
            DecoderResult::InputEmpty => self.ended = last,
            DecoderResult::OutputFull => {}
        }
        Ok(())
    }

    /// Takes decoded text; `\r\n` and a lone `\r` become `\n`.
    fn push(&mut self, text: &[u8]) {
        for &byte in text {
            match byte {
                b'\r' => self.output.push(b'\n'),
                b'\n' if self.after_return => {}
                _ => self.output.push(byte),
            }
            self.after_return = byte == b'\r';
        }
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() && !self.ended {
            self.refill()?;
        }
        let n = target.len().min(self.output.len() - self.given);
        target[..n].copy_from_slice(&self.output[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{BIG5, SHIFT_JIS, WINDOWS_1252};
    use proptest::prelude::*;

    fn guess(bytes: &[u8]) -> Result<&'static Encoding> {
        Sample::take(bytes).unwrap().encoding(None)
    }

    fn decode(bytes: &[u8], encoding: &'static Encoding) -> String {
        let mut text = String::new();
        Utf8Reader::new(bytes, encoding).read_to_string(&mut text).unwrap();
        text
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn usual_encodings_are_recognised() {
        let text = "问题,答案\n怎么退款,七天\n";
        for (bytes, expected) in [
            (text.as_bytes().to_vec(), UTF_8),
            (b"question,answer\n".to_vec(), UTF_8),
            (GBK.encode(text).0.into_owned(), GB18030),
            (GBK.encode("q,a\n退,否\n").0.into_owned(), GB18030),
            (BIG5.encode("問題,答案\n怎麼退款,七天\n").0.into_owned(), BIG5),
            (SHIFT_JIS.encode("返品,七日以内にお願いします").0.into_owned(), SHIFT_JIS),
            (WINDOWS_1252.encode("question,answer\ncrème,à la carte\n").0.into_owned(), WINDOWS_1252),
            (utf16(text, false), UTF_16LE),
            (utf16(text, true), UTF_16BE),
            ([&[0xff, 0xfe][..], &utf16(text, false)].concat(), UTF_16LE),
        ] {
            assert_eq!(guess(&bytes).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_long_ascii_beginning_does_not_hide_gbk() {
        let mut bytes = b"question,answer\n".repeat(20_000);
        bytes.extend_from_slice(&GBK.encode("怎么退款,七天内原路退回\n").0);
        assert_eq!(guess(&bytes).unwrap(), GB18030);
    }

    #[test]
    fn one_broken_character_does_not_flip_the_encoding() {
        let mut bytes = "问题,答案\n".repeat(50).into_bytes();
        bytes.extend_from_slice(b"\xff\xfeabc\n");
        bytes.extend_from_slice("怎么退款\n".as_bytes());
        assert_eq!(guess(&bytes).unwrap(), UTF_8);
        let text = decode(&bytes, UTF_8);
        assert_eq!(text.matches(BAD).count(), 2);
        assert!(!text.contains('\u{FFFD}') && text.ends_with("怎么退款\n"));
    }

    #[test]
    fn binary_and_hopeless_bytes_are_refused() {
        let noise: Vec<u8> = (0..4000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(guess(&noise).unwrap_err().code(), "file_unreadable");
        let gbk = GBK.encode("怎么退款").0;
        assert_eq!(Sample::take(&*gbk).unwrap().encoding(Some("utf-8")).unwrap_err().code(), "bad_encoding");
        assert_eq!(Sample::take(&b"x"[..]).unwrap().encoding(Some("klingon")).unwrap_err().code(), "unknown_encoding");
    }

    #[test]
    fn marks_go_and_line_ends_become_one() {
        assert_eq!(decode("\u{feff}a\r\nb\rc\n\r\n".as_bytes(), UTF_8), "a\nb\nc\n\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_was_encoded_comes_back(text in "[a-z,\\n一-龥￥é😀]{0,1000}") {
            for encoding in [UTF_8, GB18030] {
                prop_assert_eq!(&decode(&encoding.encode(&text).0, encoding), &text);
            }
            prop_assert_eq!(&decode(&utf16(&text, false), UTF_16LE), &text);
            prop_assert_eq!(&decode(&utf16(&text, true), UTF_16BE), &text);
        }

        #[test]
        fn any_bytes_decode_to_valid_utf8(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            for encoding in [UTF_8, GB18030, UTF_16LE] {
                decode(&bytes, encoding);
            }
        }
    }
}
