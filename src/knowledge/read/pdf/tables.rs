//! The tables by which fonts tell what their numbers mean. The library that reads them unfolds every range, and reads
//! brackets by recursion; both are bounded here.

use std::collections::HashSet;
use std::sync::LazyLock;

use pdf_extract::{Document, Object, ObjectId, Stream};
use regex::bytes::Regex;

use super::bounds::regex;
use super::damaged;
use crate::error::Result;

/// Most that a table may be, how deep its brackets may go, and how many characters its ranges may have.
const TABLE_BYTES: usize = 4 * 1024 * 1024;
const TABLE_DEPTH: usize = 50;
const TABLE_CHARS: u64 = 1 << 20;

static COMMENT: LazyLock<Regex> = LazyLock::new(|| regex(r"%[^\r\n]*"));
static ARRAY: LazyLock<Regex> = LazyLock::new(|| regex(r"\[[^\]]*\]"));
static CODE: LazyLock<Regex> = LazyLock::new(|| regex(r"<([0-9A-Fa-f\s]*)>"));

/// Streams that a font reads as a table of characters.
fn note_tables(document: &Document, object: &Object, tables: &mut HashSet<ObjectId>) {
    let dictionary = match object {
        Object::Array(array) => return array.iter().for_each(|object| note_tables(document, object, tables)),
        Object::Dictionary(dictionary) => dictionary,
        Object::Stream(stream) => &stream.dict,
        _ => return,
    };
    for (key, value) in dictionary.iter() {
        if matches!(key.as_slice(), b"ToUnicode" | b"Encoding") {
            tables.extend(document.dereference(value).ok().and_then(|(id, _)| id));
        }
        note_tables(document, value, tables);
    }
}

/// Looks at the tables of a document's fonts.
///
/// # Errors
/// `file_unreadable`.
pub fn check(document: &Document) -> Result<()> {
    let mut tables = HashSet::new();
    document.objects.values().for_each(|object| note_tables(document, object, &mut tables));
    tables.into_iter().filter_map(|id| document.get_object(id).ok()?.as_stream().ok()).try_for_each(check_table)
}

fn check_table(stream: &Stream) -> Result<()> {
    let content = stream.decompressed_content().unwrap_or_else(|_| stream.content.clone());
    let wrong = || Err(damaged("a font's table of characters has no end"));
    if content.len() > TABLE_BYTES {
        return wrong();
    }
    let mut depth = 0_usize;
    for byte in &content {
        match byte {
            b'[' | b'(' | b'<' => depth += 1,
            b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > TABLE_DEPTH {
            return wrong();
        }
    }
    let content = COMMENT.replace_all(&content, b"".as_slice());
    let mut chars = 0_u64;
    for start in memchr::memmem::find_iter(&content, b"beginbfrange") {
        let block = &content[start..];
        let block = &block[..memchr::memmem::find(block, b"endbfrange").unwrap_or(block.len())];
        if block.contains(&b'(') {
            return wrong();
        }
        let block = ARRAY.replace_all(block, b"<>".as_slice());
        let codes: Vec<u64> = CODE.captures_iter(&block).map(|code| code_of(&code[1])).collect();
        chars += codes.chunks(3).map(|range| range.get(1).map_or(0, |to| to.saturating_sub(range[0]) + 1)).sum::<u64>();
        if chars > TABLE_CHARS {
            return wrong();
        }
    }
    Ok(())
}

/// A code of so many hexadecimal digits; the last four bytes count.
fn code_of(digits: &[u8]) -> u64 {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(u64::from);
    digits.iter().filter_map(digit).fold(0, |code, digit| ((code << 4) | digit) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use pdf_extract::Dictionary;

    use super::*;

    #[test]
    fn a_table_of_characters_has_an_end() {
        let table = |text: &str| check_table(&Stream::new(Dictionary::new(), text.as_bytes().to_vec())).is_ok();
        let good =
            "2 beginbfchar <0001> <4E00> <0002> <9FA5> endbfchar 2 beginbfrange <0000> <FFFF> <0000> <01> <02> [<0041> <0042>] endbfrange";
        assert!(table(good));
        assert!(!table("1 beginbfrange <00000000> <FFFFFFFF> <0000> endbfrange"));
        assert!(!table("1 beginbfrange <00> % ]\n <00FFFFFFFF> <0000>"));
        assert!(!table("1 beginbfrange (aaaa) <FFFFFFFF> <0000> endbfrange"));
        assert!(!table(&"[".repeat(100_000)) && !table(&"(".repeat(100_000)) && !table(&"<<".repeat(100_000)));
    }
}
