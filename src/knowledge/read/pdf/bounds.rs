//! What a PDF may make its parser do. The parser unpacks to any size, believes every number, and draws by recursion:
//! a file of a few hundred bytes could take all memory or the stack with it, which no caught panic gives back. So
//! the file's bytes are looked at before it parses them, every object as it is read, and every page before it is
//! drawn.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::{Arc, LazyLock};

use flate2::read::{DeflateDecoder, ZlibDecoder};
use pdf_extract::content::Content;
use pdf_extract::{Dictionary, Document, LoadOptions, Object, ObjectId, Stream};
use regex::bytes::Regex;
use weezl::BitOrder;

use super::super::section::too_large;
use super::{damaged, locks, tables};
use crate::error::{Error, Result};

/// Most that all streams may unpack to, and those of them that hold other objects: these take many times their
/// size when they are parsed.
const UNPACKED_BYTES: u64 = 512 * 1024 * 1024;
const OBJECTS_BYTES: u64 = 32 * 1024 * 1024;
/// Most content of a page or a form, and of all pages as often as they are drawn.
const CONTENT_BYTES: usize = 16 * 1024 * 1024;
const DRAWN_BYTES: usize = 256 * 1024 * 1024;
/// Most objects, and numbers that say how wide something is.
const NUMBER_DIGITS: usize = 7;
/// Most pages: each is looked up among all of them.
const PAGES: usize = 10_000;
/// Pages lie in groups, which lie in groups; nobody nests deeper.
const NESTED_GROUPS: usize = 60;
/// Forms may contain forms; nobody nests deeper. And how often a page may draw any.
const NESTED_FORMS: usize = 12;
const FORMS: usize = 20_000;

/// Names that the checks below look for, which could be written in disguise.
const NAMES: [&[u8]; 12] = [
    b"Encrypt",
    b"Filter",
    b"FlateDecode",
    b"LZWDecode",
    b"ASCII85Decode",
    b"W",
    b"Index",
    b"Size",
    b"Columns",
    b"Colors",
    b"BitsPerComponent",
    b"XRef",
];

struct Patterns {
    disguised: Regex,
    wide: Regex,
    no_width: Regex,
    filters: Regex,
    packing: Regex,
    stream: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    // Between two words there may be comments.
    const GAP: &str = r"(?:[\x00\s]|%[^\r\n]*[\r\n])*";
    Patterns {
        disguised: regex(r"/([A-Za-z0-9]*#[A-Za-z0-9#]*)"),
        wide: regex(r"/(?:W|Index|Size|Columns|Colors|BitsPerComponent)\b((?:%[^\r\n]*[\r\n]|[^/<>%])*)"),
        no_width: regex(&format!(r"/W{GAP}\[(?:[\x00\s0+-]|%[^\r\n]*[\r\n])*\]")),
        filters: regex(&format!(r"/Filter{GAP}\[((?:%[^\r\n]*[\r\n]|[^\]%])*)\]")),
        packing: regex(r"/(?:Fl|FlateDecode|LZW|LZWDecode)\b"),
        stream: regex(r"stream[ \t]*(?:\r\n|\n|\r)"),
    }
});

/// A pattern of bytes.
#[expect(clippy::expect_used, reason = "constants, and every test of a PDF compiles them")]
pub fn regex(pattern: &str) -> Regex {
    Regex::new(&format!("(?s-u){pattern}")).expect("the pattern is one")
}

/// Looks at a file before it is parsed.
///
/// # Errors
/// `file_too_large` or `file_unreadable`.
pub fn check_bytes(bytes: &[u8]) -> Result<()> {
    let patterns = &*PATTERNS;
    if patterns.disguised.captures_iter(bytes).any(|name| NAMES.contains(&plain(&name[1]).as_slice())) {
        return Err(damaged("a name is written in disguise"));
    }
    let whole = |number: &[u8]| number.iter().take_while(|byte| **byte != b'.').count();
    let is_wide = |span: &[u8]| span.split(|byte| !byte.is_ascii_digit() && *byte != b'.').any(|number| whole(number) > NUMBER_DIGITS);
    if patterns.wide.captures_iter(bytes).any(|span| is_wide(&span[1])) || patterns.no_width.is_match(bytes) {
        return Err(damaged("a table cannot be as wide as it says"));
    }
    for filters in patterns.filters.captures_iter(bytes) {
        if patterns.packing.find_iter(&filters[1]).count() > 1 {
            return Err(damaged("a stream is packed twice"));
        }
    }
    check_streams(bytes, UNPACKED_BYTES)
}

/// A name as it is meant: `#46` is a letter.
fn plain(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'#').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(meant) => {
                plain.push(meant);
                rest = &after[2..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

/// Unpacks everything that may be a stream once into nothing.
fn check_streams(bytes: &[u8], most: u64) -> Result<()> {
    let lzw = memchr::memmem::find(bytes, b"LZW").is_some();
    let mut left = most;
    for found in PATTERNS.stream.find_iter(bytes) {
        // What is no such stream ends at once with an error.
        let data = &bytes[found.end()..];
        let mut taken = inflated(data, left)?;
        if lzw {
            taken = taken.max(unfolded(data, left)?);
        }
        left -= taken;
    }
    Ok(())
}

/// How much the parser would inflate: when there is no such stream, it tries again behind the first two bytes.
fn inflated(data: &[u8], left: u64) -> Result<u64> {
    match counted(ZlibDecoder::new(data), left)? {
        0 => counted(DeflateDecoder::new(data.get(2..).unwrap_or_default()), left),
        count => Ok(count),
    }
}

fn counted(unpacked: impl Read, left: u64) -> Result<u64> {
    let mut unpacked = unpacked.take(left + 1);
    let (mut buffer, mut all) = ([0; 16 * 1024], 0);
    while let Ok(count @ 1..) = unpacked.read(&mut buffer) {
        all += count as u64;
    }
    if all > left { Err(too_large(UNPACKED_BYTES)) } else { Ok(all) }
}

/// How much the older packing would unpack to, in either of its two kinds.
fn unfolded(data: &[u8], left: u64) -> Result<u64> {
    let decoders = [weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8), weezl::decode::Decoder::new(BitOrder::Msb, 8)];
    let mut most = 0;
    for mut decoder in decoders {
        let mut into = Bounded { left, all: 0 };
        // An error is the end of what is packed, or that it is too much.
        let _ = decoder.into_stream(&mut into).decode_all(data).status;
        if into.all > left {
            return Err(too_large(UNPACKED_BYTES));
        }
        most = most.max(into.all);
    }
    Ok(most)
}

/// Counts what is written to it, and takes no more than is left.
struct Bounded {
    left: u64,
    all: u64,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.all += bytes.len() as u64;
        if self.all > self.left { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What has been read of a document. The parser's hook is a plain function, and works on the reader's own thread.
#[derive(Default)]
struct Loading {
    streams: HashSet<ObjectId>,
    objects: u64,
    error: Option<Error>,
    /// It may be encrypted: what it is made of is looked at once it is opened.
    locked: bool,
}

thread_local! {
    static LOADING: RefCell<Loading> = RefCell::default();
}

/// Parses a file that [`check_bytes`] has passed.
///
/// # Errors
/// `file_too_large`, `file_encrypted` or `file_unreadable`.
pub fn load(mut bytes: Vec<u8>) -> Result<Document> {
    let locked = locks::hide(&mut bytes);
    LOADING.set(Loading { locked, ..Loading::default() });
    let document = Document::load_mem_with_options(&bytes, LoadOptions::with_filter(taken));
    let Loading { error, mut objects, .. } = LOADING.take();
    let mut document = error.map_or_else(|| document.map_err(damaged), Err)?;
    if locked {
        locks::open(&mut document, |stream| {
            objects += objects_size(stream, OBJECTS_BYTES - objects)?;
            Ok(())
        })?;
    }
    Ok(document)
}

/// Every object passes here before what it holds is unpacked. A table may name one stream a million times; it is
/// taken once.
fn taken(id: ObjectId, object: &mut Object) -> Option<(ObjectId, Object)> {
    let Object::Stream(stream) = object else { return Some((id, object.clone())) };
    LOADING.with_borrow_mut(|loading| {
        if !loading.streams.insert(id) {
            return None;
        }
        if stream.dict.has_type(b"ObjStm") && loading.locked {
            locks::seal(stream);
        } else if stream.dict.has_type(b"ObjStm") {
            match objects_size(stream, OBJECTS_BYTES - loading.objects) {
                Ok(size) => loading.objects += size,
                Err(error) => {
                    loading.error.get_or_insert(error);
                    stream.content.clear();
                }
            }
        }
        // Only what lies inside another object is taken from here, and a stream never does.
        Some((id, Object::Null))
    })
}

fn objects_size(stream: &Stream, left: u64) -> Result<u64> {
    match stream.filters().unwrap_or_default()[..] {
        [] => Ok(stream.content.len() as u64),
        [b"FlateDecode"] => inflated(&stream.content, left),
        [b"LZWDecode"] => unfolded(&stream.content, left),
        _ => Err(damaged("its objects are packed in an unknown way")),
    }
    .and_then(|size| if size > left { Err(too_large(OBJECTS_BYTES)) } else { Ok(size) })
}

/// Looks at a document's streams and fonts before pages are drawn.
///
/// # Errors
/// `file_too_large` or `file_unreadable`.
pub fn check(document: &Document) -> Result<()> {
    if document.get_pages().len() > PAGES {
        return Err(Error::invalid("file_too_large", format!("The PDF has more than {PAGES} pages. Split it into several files.")));
    }
    let mut left = UNPACKED_BYTES;
    let seen = if document.was_encrypted() { Seen::Nothing } else { Seen::Bytes };
    for stream in document.objects.values().filter_map(|object| object.as_stream().ok()) {
        left -= unpacked(stream, seen, left)?;
    }
    tables::check(document)
}

/// What [`check_bytes`] has seen of the streams.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    /// Those that are not written as letters first.
    Bytes,
    /// None: they were encrypted.
    Nothing,
}

/// What a stream unpacks to that has not been seen.
fn unpacked(stream: &Stream, seen: Seen, left: u64) -> Result<u64> {
    let filters = stream.filters().unwrap_or_default();
    let is_packing = |filter: &&[u8]| matches!(*filter, b"FlateDecode" | b"LZWDecode");
    if filters.iter().filter(|filter| is_packing(filter)).count() > 1 {
        return Err(damaged("a stream is packed twice"));
    }
    let Some(at) = filters.iter().position(is_packing).filter(|at| *at > 0 || seen == Seen::Nothing) else { return Ok(0) };
    if at == 0 {
        return if filters[0] == b"FlateDecode" { inflated(&stream.content, left) } else { unfolded(&stream.content, left) };
    }
    let letters = filters[..at].iter().map(|name| Object::Name(name.to_vec())).collect::<Vec<_>>();
    let mut dictionary = Dictionary::new();
    dictionary.set("Filter", letters);
    let Ok(packed) = Stream::new(dictionary, stream.content.clone()).decompressed_content() else { return Ok(0) };
    if filters[at] == b"FlateDecode" { inflated(&packed, left) } else { unfolded(&packed, left) }
}

/// The names of what a form draws, and the size of its content.
type Form = (Arc<[Vec<u8>]>, usize);

/// What is looked at of pages before they are drawn.
pub struct Pages<'a> {
    document: &'a Document,
    /// Content that may still be drawn.
    left: usize,
    forms: HashMap<ObjectId, Form>,
}

impl<'a> Pages<'a> {
    /// Of this document.
    pub fn new(document: &'a Document) -> Self {
        Self { document, left: DRAWN_BYTES, forms: HashMap::new() }
    }

    /// Whether a page may be drawn.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&mut self, page: ObjectId) -> Result<(), String> {
        let resources = self.resources(page)?;
        let mut size = 0;
        for id in self.document.get_page_contents(page) {
            let stream = self.document.get_object(id).and_then(Object::as_stream);
            size += stream.map_or(0, |stream| content_of(stream).len());
            self.take(size)?;
        }
        self.left -= size;
        let content = self.document.get_page_content(page).map_err(|error| error.to_string())?;
        let mut draws = FORMS;
        self.draw(&drawn(&content), resources, 0, &mut draws)
    }

    fn take(&self, size: usize) -> Result<(), String> {
        if size > CONTENT_BYTES.min(self.left) { Err("it draws more than is read".to_owned()) } else { Ok(()) }
    }

    /// A page's own resources, or those of the group that it is in.
    fn resources(&self, page: ObjectId) -> Result<Option<&'a Dictionary>, String> {
        let mut at = self.document.get_dictionary(page).map_err(|error| error.to_string())?;
        let mut found = None;
        for _ in 0..NESTED_GROUPS {
            found = found.or_else(|| dictionary(self.document, at, b"Resources"));
            match at.get(b"Parent").and_then(Object::as_reference).and_then(|id| self.document.get_dictionary(id)) {
                Ok(parent) => at = parent,
                Err(_) => return Ok(found),
            }
        }
        Err("its groups contain themselves".to_owned())
    }

    /// Follows what is drawn as drawing does: a form without resources of its own has those of whoever draws it.
    fn draw(&mut self, names: &[Vec<u8>], resources: Option<&'a Dictionary>, depth: usize, draws: &mut usize) -> Result<(), String> {
        let objects = resources.and_then(|resources| dictionary(self.document, resources, b"XObject"));
        for name in names {
            let id = objects.and_then(|objects| objects.get(name).ok()?.as_reference().ok());
            let Some(id) = id else { continue };
            let Ok(form) = self.document.get_object(id).and_then(Object::as_stream) else { continue };
            if form.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|kind| kind == b"Image") {
                continue;
            }
            if depth == NESTED_FORMS {
                return Err("it contains itself".to_owned());
            }
            *draws = draws.checked_sub(1).ok_or("it draws the same forms again and again")?;
            let (inner, size) = match self.forms.get(&id) {
                Some(known) => known.clone(),
                None => {
                    let content = content_of(form);
                    self.take(content.len())?;
                    let known = (drawn(&content).into(), content.len());
                    self.forms.insert(id, known.clone());
                    known
                }
            };
            self.take(size)?;
            self.left -= size;
            let own = dictionary(self.document, &form.dict, b"Resources").or(resources);
            self.draw(&inner, own, depth + 1, draws)?;
        }
        Ok(())
    }
}

fn content_of(stream: &Stream) -> Vec<u8> {
    stream.decompressed_content().unwrap_or_else(|_| stream.content.clone())
}

/// The names of what a content draws, in order.
fn drawn(content: &[u8]) -> Vec<Vec<u8>> {
    let Ok(content) = Content::decode(content) else { return Vec::new() };
    let draws = content.operations.into_iter().filter(|operation| operation.operator == "Do");
    draws.filter_map(|operation| operation.operands.first()?.as_name().ok().map(<[u8]>::to_vec)).collect()
}

fn dictionary<'a>(document: &'a Document, from: &'a Dictionary, key: &[u8]) -> Option<&'a Dictionary> {
    document.dereference(from.get(key).ok()?).ok()?.1.as_dict().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_unpack_to_much_are_refused() {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, &[b' '; 100_000]).unwrap();
        let stream = [b"<< /Filter /FlateDecode >>\nstream\n", packed.finish().unwrap().as_slice(), b"\nendstream"].concat();
        assert!(check_streams(&stream, 100_000).is_ok());
        assert_eq!(check_streams(&stream, 99_999).unwrap_err().code(), "file_too_large");
        // Without its first two bytes it is read all the same.
        let headless = [b"stream\n\0\0", &stream[stream.windows(2).position(|two| two == b"m\n").unwrap() + 4..]].concat();
        assert_eq!(check_streams(&headless, 99_999).unwrap_err().code(), "file_too_large");
        let mut lzw = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8);
        let lzw = [b"<< /Filter /LZWDecode >>\nstream\n", lzw.encode(&[b' '; 100_000]).unwrap().as_slice(), b"\nendstream"].concat();
        assert!(lzw.len() < 2_000 && check_streams(&lzw, 100_000).is_ok());
        assert_eq!(check_streams(&lzw, 99_999).unwrap_err().code(), "file_too_large");
    }

    #[test]
    fn what_was_encrypted_is_counted_once_it_is_open() {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, &[b' '; 100_000]).unwrap();
        let mut dictionary = Dictionary::new();
        dictionary.set("Filter", Object::Name(b"FlateDecode".to_vec()));
        let stream = Stream::new(dictionary, packed.finish().unwrap());
        assert_eq!(unpacked(&stream, Seen::Bytes, 0).unwrap(), 0, "seen in the file's bytes");
        assert_eq!(unpacked(&stream, Seen::Nothing, 100_000).unwrap(), 100_000);
        assert_eq!(unpacked(&stream, Seen::Nothing, 99_999).unwrap_err().code(), "file_too_large");
    }

    #[test]
    fn what_would_take_all_memory_is_refused_before_it_is_parsed() {
        for wrong in [
            "/Filter [ /FlateDecode /FlateDecode ]",
            "/Filter%\n[/FlateDecode/ASCII85Decode % ]\n /FlateDecode]",
            "/Filter /Fl#61teDecode",
            "/Type /XRef /W [ 1 999999999999999 1 ]",
            "/Type /XRef /W [ 0 0 0 ] /Index [ 0 9 ]",
            "/Index [ 0 % /\n 99999999 ]",
            "/DecodeParms << /Predictor 12 /Columns 99999999 >>",
        ] {
            assert_eq!(check_bytes(wrong.as_bytes()).err().map(|error| error.code()), Some("file_unreadable"), "{wrong}");
        }
        for right in [
            "/Filter [ /ASCII85Decode /FlateDecode ]",
            "/F#20ont /W [ 1 2 1 ] /Index [ 0 9999 ] /Size 9999999",
            "/W [ 0 [ 556.1523437500 278.0000000001 ] ] /Size 12 /Root 1 0 R",
        ] {
            assert!(check_bytes(right.as_bytes()).is_ok(), "{right}");
        }
    }
}
