//! Zip archives that are documents. What they unpack to is bounded before anybody reads it: a small
//! file can unpack to terabytes, and what it says of its own size need not be true.

use std::io::{self, Read, SeekFrom};

use quick_xml::Reader;
use quick_xml::events::Event;
use zip::ZipArchive;

use crate::error::{Error, Result};

use super::Seekable;

/// What the parts of an archive may unpack to.
pub struct Most {
    /// All of them.
    pub all: u64,
    /// Those that are kept in memory, such as a workbook's table of strings.
    pub kept: u64,
}

/// Texts that a workbook may say it has: room is made for so many before one is read.
const STRINGS: u64 = 20_000_000;
/// Most parts.
const PARTS: usize = 10_000;

/// Opens an archive.
///
/// # Errors
/// `file_encrypted` when it has a password, `file_unreadable` when it is none, `file_too_large` when it
/// has too many parts.
pub fn open<R: Seekable>(mut input: R) -> Result<ZipArchive<R>> {
    if let Some(error) = container(&mut input)? {
        return Err(error);
    }
    input.rewind()?;
    let archive = ZipArchive::new(input).map_err(|error| {
        Error::invalid(
            "file_unreadable",
            "The file is damaged, protected by a password, or not what its name says. Open it, save it again, and import that.",
        )
        .because(error)
    })?;
    if archive.len() > PARTS {
        return Err(Error::invalid("file_too_large", format!("The file consists of {} parts; {PARTS} are allowed.", archive.len())));
    }
    Ok(archive)
}

/// Office puts a document with a password into the kind of file that its versions of before 2007 wrote.
const CONTAINER: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
/// The stream in it that is the document; names are UTF-16.
const ENCRYPTED: &str = "EncryptedPackage";
/// As much of a container's directory as is looked at: 32 names.
const DIRECTORY: u64 = 4096;

/// What to say of such a file, if it is one.
fn container<R: Seekable>(input: &mut R) -> Result<Option<Error>> {
    let mut head = Vec::with_capacity(512);
    input.take(512).read_to_end(&mut head)?;
    if !head.starts_with(&CONTAINER) || head.len() < 512 {
        return Ok(None);
    }
    // The header says how large a sector is and which one the directory begins with.
    let sector = 1u64 << u16::from_le_bytes([head[0x1e], head[0x1f]]).clamp(9, 16);
    let first = u64::from(u32::from_le_bytes([head[0x30], head[0x31], head[0x32], head[0x33]]));
    let mut directory = Vec::new();
    input.seek(SeekFrom::Start((first + 1) * sector))?;
    input.take(DIRECTORY).read_to_end(&mut directory)?;
    let name: Vec<u8> = ENCRYPTED.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Ok(Some(if directory.windows(name.len()).any(|here| here == name) {
        Error::invalid("file_encrypted", "The document is protected by a password. Save it without one, and import that.")
    } else {
        Error::invalid(
            "file_unreadable",
            "This is a file of Excel or Word 97-2003, whatever its name says. Save it as .xlsx or .docx, and import that.",
        )
    }))
}

/// Unpacks everything once into nothing, to know how much it is, and whether a sheet of it has formulas.
///
/// # Errors
/// `file_too_large`, or `file_unreadable` when a part is damaged.
pub fn check_size<R: Seekable>(archive: &mut ZipArchive<R>, most: &Most) -> Result<bool> {
    let (mut all, mut kept) = (0, 0);
    let mut sheets = Formulas::default();
    for at in 0..archive.len() {
        let part = archive.by_index(at).map_err(damaged)?;
        let name = part.name().map_err(damaged)?.to_lowercase();
        // Pictures are never unpacked.
        if name.contains("/media/") {
            continue;
        }
        // The tables beside the sheets are kept, wherever they lie.
        let is_streamed = name.contains("worksheets/") && !name.ends_with("sharedstrings.xml") && !name.ends_with("styles.xml");
        let mut part = part.take(most.all - all + 1);
        let size = if is_streamed { io::copy(&mut part, &mut sheets) } else { io::copy(&mut part, &mut io::sink()) }.map_err(damaged)?;
        all += size;
        kept += if is_streamed { 0 } else { size };
        if all > most.all || kept > most.kept {
            return Err(Error::invalid("file_too_large", "The file unpacks to more than this version reads. Split it into several files."));
        }
    }
    Ok(sheets.seen)
}

/// Whether what follows the name of an attribute is a number of more texts than there may be.
fn too_many(text: &str) -> bool {
    let value = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\'' | '+'));
    let digits = &value[..value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len())];
    !digits.is_empty() && digits.parse::<u64>().map_or(true, |count| count > STRINGS)
}

/// Whether every table of a workbook's texts says of itself in earnest how many it has.
///
/// # Errors
/// `file_unreadable` when it cannot be so.
pub fn check_strings<R: Seekable>(archive: &mut ZipArchive<R>) -> Result<()> {
    for at in 0..archive.len() {
        let Ok(part) = archive.by_index(at) else { continue };
        if !part.name().is_ok_and(|name| name.to_lowercase().ends_with("sharedstrings.xml")) {
            continue;
        }
        let (mut xml, mut buffer) = (Reader::from_reader(io::BufReader::new(part)), Vec::new());
        // As forgiving as the library that makes the room: whatever it passes over must not hide the number.
        let config = xml.config_mut();
        (config.check_end_names, config.check_comments, config.expand_empty_elements) = (false, false, true);
        // What is damaged is told by whoever reads it.
        while let Ok(event) = xml.read_event_into(&mut buffer) {
            match event {
                Event::Start(tag) if tag.local_name().as_ref() == "sst" => {
                    if tag.split("uniqueCount").skip(1).any(too_many) {
                        let message =
                            "The workbook says that it has more texts than can be. Open it, save it again as .xlsx, and import that.";
                        return Err(Error::invalid("file_unreadable", message));
                    }
                    break;
                }
                Event::Eof => break,
                _ => buffer.clear(),
            }
        }
    }
    Ok(())
}

/// Looks out for the element `f`, with or without a prefix, in what is written to it.
#[derive(Default)]
struct Formulas {
    seen: bool,
    last: [u8; 2],
}

impl io::Write for Formulas {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            self.seen |= matches!(self.last, [b'<' | b':', b'f']) && matches!(byte, b'>' | b' ' | b'/');
            self.last = [self.last[1], byte];
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One part as text, if there is one of that name.
///
/// # Errors
/// `file_too_large` when it is more than `most` bytes, or `file_unreadable`.
pub fn part<R: Seekable>(archive: &mut ZipArchive<R>, name: &str, most: u64) -> Result<Option<String>> {
    let part = match archive.by_name(name) {
        Ok(part) => part,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(damaged(error)),
    };
    let mut bytes = Vec::new();
    part.take(most + 1).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 > most {
        return Err(super::section::too_large(most));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::invalid("file_unreadable", "A part of the file is damaged. Get a whole copy, or open it, save it again, and import that.")
        .because(io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn a_small_file_that_unpacks_to_much_is_refused() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in ["xl/sharedStrings.xml", "xl/worksheets/sheet1.xml", "xl/media/picture.png"] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(&[b' '; 100_000]).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        assert!(bytes.len() < 2_000);
        let checked =
            |all, kept| check_size(&mut open(Cursor::new(bytes.clone())).unwrap(), &Most { all, kept }).map_err(|error| error.code());
        assert_eq!(checked(200_000, 100_000), Ok(false));
        assert_eq!(checked(199_999, 100_000), Err("file_too_large"));
        assert_eq!(checked(200_000, 99_999), Err("file_too_large"));
    }
}
