//! What is fuzzed, for the targets here and for the replay in `tests/it/fuzzing.rs`.

use std::sync::Once;

use merchant_copilot::knowledge::read::{Format, Source};

/// Rows looked at; a small input can have many.
const ROWS: usize = 5_000;
/// More text than that from one input is memory without bounds.
const MOST_TEXT: usize = 256 * 1024 * 1024;

/// Reads a file to its end and looks at every row.
pub fn read(format: Format, data: &[u8]) {
    if matches!(format, Format::Xlsx | Format::Docx | Format::Pdf) {
        // A panic on the reader's own thread is a failed row; the fuzzer's hook would end the process.
        static CAUGHT: Once = Once::new();
        CAUGHT.call_once(|| drop(std::panic::take_hook()));
    }
    let Ok(source) = Source::memory("file", data.to_vec(), Some(format)) else { return };
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
