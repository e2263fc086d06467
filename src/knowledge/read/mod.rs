//! Files of many formats and encodings → rows, one after the other, in bounded memory. Each file of
//! this folder reads one format; [`cells`] says what a row means, the same for all of them.

use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chrono_tz::Tz;
use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::knowledge::EntryDraft;

pub mod apostrophe;
pub mod cells;
pub mod header;

mod archive;
mod csv;
pub mod dates;
mod docx;
mod encoding;
mod folder;
mod html;
mod jsonl;
mod markdown;
mod number;
mod pdf;
mod pump;
mod section;
mod sheet;
mod xlsx;

pub use cells::{Cells, RowError};
pub use header::{Field, Given};
pub use jsonl::row_of_object;

use encoding::{Sample, Utf8Reader};

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table with a header row, separated by commas, tabs or semicolons.
    Csv,
    /// One JSON object per line.
    Jsonl,
    /// A workbook of Excel or WPS; every sheet with a header is a table.
    Xlsx,
    /// A document; one entry per section under its headings.
    Markdown,
    /// The same from a web page.
    Html,
    /// The same from Word or WPS.
    Docx,
    /// The same from the text layer of a PDF.
    Pdf,
}

impl Format {
    /// The format that a file's name tells; `.gz` may follow.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        Self::from_word(name.rsplit_once('.')?.1).ok()
    }

    /// Reads the word of `--format`.
    ///
    /// # Errors
    /// `unknown_format` with the words that are known.
    pub fn from_word(word: &str) -> Result<Self> {
        match word.to_lowercase().as_str() {
            "csv" | "tsv" | "txt" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "xlsx" | "xlsm" => Ok(Self::Xlsx),
            "md" | "markdown" => Ok(Self::Markdown),
            "html" | "htm" | "xhtml" => Ok(Self::Html),
            "docx" => Ok(Self::Docx),
            "pdf" => Ok(Self::Pdf),
            _ => Err(Error::invalid("unknown_format", format!("`{word}` is no format this version reads. {READABLE}"))),
        }
    }
}

const READABLE: &str = "It reads .xlsx, .csv, .tsv, .jsonl, .jsonl.gz, .md, .html, .docx and .pdf; save an older .xls or .doc as one of these. --format csv|jsonl|xlsx|markdown|html|docx|pdf reads a file whatever its name.";

/// Between the headings in a section's question.
pub fn markdown_path() -> &'static str {
    section::PATH
}

/// One row as read.
#[derive(Clone, Debug)]
pub struct ReadRow {
    /// From 1, the header counted; in a document the line of the heading.
    pub row: u64,
    /// Which sheet of a workbook.
    pub sheet: Option<String>,
    /// Which fields its file has at all.
    pub given: Given,
    /// Its content, or what is wrong with it.
    pub draft: Result<EntryDraft, RowError>,
}

/// Something that rows can be read from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as given, for messages.
    pub name: String,
    format: Format,
    input: Input,
    taken: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
enum Input {
    File(PathBuf),
    Memory(Bytes),
}

/// The rows of one [`Source`], in order.
pub struct RowReader {
    told: Box<dyn Iterator<Item = Told> + Send>,
    notes: Vec<String>,
}

/// What a reader comes upon.
enum Told {
    Row(Box<ReadRow>),
    Note(String),
}

impl RowReader {
    fn new(told: impl Iterator<Item = Told> + Send + 'static) -> Self {
        Self { told: Box::new(told), notes: Vec::new() }
    }

    fn with_notes(rows: impl Iterator<Item = ReadRow> + Send + 'static, notes: Vec<String>) -> Self {
        Self { told: Box::new(rows.map(|row| Told::Row(Box::new(row)))), notes }
    }

    /// What people should know about the part of the file that was read, such as columns not used.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Iterator for RowReader {
    type Item = ReadRow;
    fn next(&mut self) -> Option<ReadRow> {
        loop {
            match self.told.next()? {
                Told::Row(row) => return Some(*row),
                Told::Note(note) => self.notes.push(note),
            }
        }
    }
}

/// Opens one file.
///
/// # Errors
/// `unknown_format`, or what [`Source::open`] says.
pub fn open(path: &Path, format: Option<Format>, encoding: Option<&str>, zone: Tz) -> Result<RowReader> {
    Source::file(path, format)?.open(encoding, zone)
}

/// What `paths` hold: the files themselves, and every readable file inside folders, sorted.
///
/// # Errors
/// `file_unreadable`, `unknown_format` or `no_readable_files`, naming the path.
pub fn sources(paths: &[PathBuf], format: Option<Format>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.is_dir() {
            sources.extend(folder::files(path)?.into_iter().map(|(file, format)| Source::at(file, format)));
        } else {
            sources.push(Source::file(path, format)?);
        }
    }
    Ok(sources)
}

impl Source {
    /// A file, of the given format or the one its name tells.
    ///
    /// # Errors
    /// `file_unreadable` when there is none, `unknown_format` when its name tells nothing.
    pub fn file(path: &Path, format: Option<Format>) -> Result<Self> {
        std::fs::metadata(path).map_err(|error| unreadable(&path.display().to_string(), error))?;
        let format = format.or_else(|| Format::of(path)).ok_or_else(|| {
            Error::invalid("unknown_format", format!("{}: the ending tells no format this version reads. {READABLE}", path.display()))
        })?;
        Ok(Self::at(path.to_owned(), format))
    }

    fn at(path: PathBuf, format: Format) -> Self {
        Self { name: path.display().to_string(), format, input: Input::File(path), taken: Arc::default() }
    }

    /// Bytes already in memory, called `name`.
    ///
    /// # Errors
    /// `unknown_format` when no format is given and the name tells none.
    pub fn memory(name: &str, bytes: impl Into<Bytes>, format: Option<Format>) -> Result<Self> {
        let format = format.or_else(|| Format::of(Path::new(name))).ok_or_else(|| {
            Error::invalid("unknown_format", format!("{name}: the ending tells no format this version reads. {READABLE}"))
        })?;
        Ok(Self { name: name.to_owned(), format, input: Input::Memory(bytes.into()), taken: Arc::default() })
    }

    /// An uploaded file that lies under another name than it had.
    ///
    /// # Errors
    /// As [`Source::file`].
    pub fn spooled(name: &str, path: PathBuf, format: Option<Format>) -> Result<Self> {
        let known = format.or_else(|| Format::of(Path::new(name)));
        let format = known.ok_or_else(|| {
            Error::invalid("unknown_format", format!("{name}: the ending tells no format this version reads. {READABLE}"))
        })?;
        Ok(Self { name: name.to_owned(), format, input: Input::File(path), taken: Arc::default() })
    }

    /// The file's name without folders: the source of rows that name none.
    pub fn file_name(&self) -> &str {
        self.name.rsplit(['/', '\\']).next().unwrap_or(&self.name)
    }

    /// Bytes to be read.
    pub fn size(&self) -> u64 {
        match &self.input {
            Input::File(path) => std::fs::metadata(path).map_or(0, |data| data.len()),
            Input::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Bytes read so far, while a reader is at work elsewhere.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Starts reading; `encoding` overrides the guess.
    ///
    /// # Errors
    /// About the file as a whole, naming it: `file_unreadable`, `file_empty`, `bad_encoding`,
    /// `unknown_encoding`, `file_too_large`, `no_question_or_answer_column`.
    pub fn open(&self, encoding: Option<&str>, zone: Tz) -> Result<RowReader> {
        self.start(encoding, zone).map_err(|error| self.named(error))
    }

    fn start(&self, encoding: Option<&str>, zone: Tz) -> Result<RowReader> {
        let name = self.file_name().to_owned();
        match self.format {
            Format::Xlsx => return xlsx::read(self.seekable()?, zone),
            Format::Docx => return docx::read(self.seekable()?, name, zone),
            Format::Pdf => return pdf::read(self.seekable()?, name, zone),
            Format::Csv | Format::Jsonl | Format::Markdown | Format::Html => {}
        }
        let sample = Sample::take(self.bytes()?).map_err(|error| io_error(&error))?;
        if sample.is_blank() {
            return Err(Error::invalid("file_empty", "The file is empty."));
        }
        let encoding = sample.encoding(encoding)?;
        self.taken.store(0, Ordering::Relaxed);
        let text = Utf8Reader::new(self.bytes()?, encoding);
        match self.format {
            Format::Csv => csv::read(text, zone),
            Format::Jsonl => Ok(jsonl::read(text, zone)),
            Format::Html => html::read(text, &name, zone),
            _ => markdown::read(text, &name, zone),
        }
    }

    /// The content for readers that jump about in it.
    fn seekable(&self) -> Result<Box<dyn Seekable>> {
        // They say nothing of how far they are.
        self.taken.store(self.size(), Ordering::Relaxed);
        if self.size() == 0 {
            return Err(Error::invalid("file_empty", "The file is empty."));
        }
        Ok(match &self.input {
            Input::File(path) => Box::new(BufReader::new(std::fs::File::open(path).map_err(|error| io_error(&error))?)),
            Input::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
        })
    }

    /// The content from its beginning, unpacked when it is packed.
    fn bytes(&self) -> Result<Box<dyn Read + Send>> {
        let mut raw: Box<dyn Read + Send> = match &self.input {
            Input::File(path) => Box::new(std::fs::File::open(path).map_err(|error| io_error(&error))?),
            Input::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
        };
        let mut magic = Vec::with_capacity(2);
        raw.by_ref().take(2).read_to_end(&mut magic).map_err(|error| io_error(&error))?;
        let packed = magic == [0x1f, 0x8b];
        let counted = Counted { inner: Cursor::new(magic).chain(raw), taken: self.taken.clone() };
        Ok(if packed { Box::new(MultiGzDecoder::new(counted)) } else { Box::new(counted) })
    }

    fn named(&self, error: Error) -> Error {
        let mut named = Error::new(error.kind(), error.code(), format!("{}: {}", self.name, error.message()));
        if let Some(details) = error.details() {
            named = named.with_details(details.clone());
        }
        named.because(error)
    }
}

/// What archives and PDFs are read from.
trait Seekable: Read + Seek + Send {}
impl<T: Read + Seek + Send> Seekable for T {}

/// Counts what was read, for the progress bar.
struct Counted<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(target)?;
        self.taken.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

fn unreadable(name: &str, error: std::io::Error) -> Error {
    Error::invalid("file_unreadable", format!("{name} cannot be read: {error}.")).because(error)
}

fn io_error(error: &std::io::Error) -> Error {
    Error::invalid("file_unreadable", format!("The file cannot be read: {error}."))
}

/// The last "row" of a file that breaks off: everything before it was read.
fn broken_off(row: u64, error: &std::io::Error) -> ReadRow {
    let (code, what) = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ("file_truncated", "The file ends in the middle, as after an interrupted download"),
        _ => ("file_unreadable", "The file cannot be read any further"),
    };
    let message = format!("{what} ({error}). The rows before this one were read; get a whole copy and import it again.");
    ReadRow { row, sheet: None, given: Given::ALL, draft: Err(Cells::default().error(code, message)) }
}

#[cfg(test)]
mod tests;
