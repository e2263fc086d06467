//! What is fuzzed, for the targets here and for the replay in `tests/it/fuzzing.rs`.

use std::io::{Cursor, Write};
use std::sync::Once;

use merchant_copilot::knowledge::read::{Format, Source};

/// Rows looked at; a small input can have many.
const ROWS: usize = 5_000;
/// More text than that from one input is memory without bounds.
const MOST_TEXT: usize = 256 * 1024 * 1024;

/// What begins a part in an archive that is written as text.
const PART: &[u8] = b"=== ";

/// An archive whose parts are written one below the other, each under a line `=== name`. An archive itself has sums
/// that every change breaks, so that nothing behind them would ever be fuzzed.
fn packed(text: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(PART) {
            // Two parts of one name cannot be written; the text of the second then belongs to the first.
            Some(name) => drop(archive.start_file(String::from_utf8_lossy(name).trim_end(), stored)),
            None => drop(archive.write_all(line)),
        }
    }
    archive.finish().map(Cursor::into_inner).unwrap_or_default()
}

/// Reads a file to its end and looks at every row. An archive may be written as text.
pub fn read(format: Format, data: &[u8]) {
    if matches!(format, Format::Xlsx | Format::Docx | Format::Pdf) {
        // A panic on the reader's own thread is a failed row; the fuzzer's hook would end the process.
        static CAUGHT: Once = Once::new();
        CAUGHT.call_once(|| drop(std::panic::take_hook()));
    }
    let data = if data.starts_with(PART) { packed(data) } else { data.to_vec() };
    let Ok(source) = Source::memory("file", data, Some(format)) else { return };
    let Ok(reader) = source.open(None, chrono_tz::Asia::Shanghai) else { return };
    let mut text = 0;
    for row in reader.take(ROWS) {
        match row.draft {
            Ok(draft) => {
                assert!(!draft.answer.trim().is_empty(), "row {} was read without an answer", row.row);
                text += draft.question.len() + draft.answer.len() + draft.similar.iter().map(String::len).sum::<usize>();
            }
            Err(error) => assert!(!error.code.is_empty() && !error.message.is_empty()),
        }
        assert!(text <= MOST_TEXT, "more text than the file can hold");
    }
}

/// Reads a frame; whatever it is, it is understood or refused with a reason.
pub fn frame(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = merchant_copilot::http::understood(text) {
        assert!(!error.message().is_empty());
    }
}
