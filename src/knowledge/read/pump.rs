//! Readers of archives and binary documents work on a thread of their own and hand over row by row:
//! memory stays bounded by the channel, and a reader that panics on a spiteful file ends with a failed
//! row instead of taking the process along.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::{Error, Result};

use super::{Cells, Given, ReadRow, RowReader, Told};

/// Rows read ahead.
const AHEAD: usize = 256;
/// Deep documents are parsed by recursion; the readers limit its depth, and this is room for it.
const STACK_BYTES: usize = 32 * 1024 * 1024;

/// Where a reader puts what it finds.
pub struct Pump(SyncSender<Message>);

enum Message {
    Told(Told),
    End(Result<()>),
}

impl Pump {
    /// Hands over a row; `false` when nobody wants more.
    pub fn row(&self, row: ReadRow) -> bool {
        self.0.send(Message::Told(Told::Row(Box::new(row)))).is_ok()
    }

    /// Hands over something that people should know about the file.
    pub fn note(&self, note: String) {
        // When nobody listens any more, the next row ends the reader.
        let _ = self.0.send(Message::Told(Told::Note(note)));
    }
}

/// Starts a reader and waits for its first row.
///
/// # Errors
/// The reader's own when it ends before a row.
pub fn start(work: impl FnOnce(&Pump) -> Result<()> + Send + 'static) -> Result<RowReader> {
    let (sender, receiver) = sync_channel(AHEAD);
    let thread = std::thread::Builder::new().name("reader".into()).stack_size(STACK_BYTES);
    thread.spawn(move || {
        let pump = Pump(sender);
        let ended = catch_unwind(AssertUnwindSafe(|| work(&pump))).unwrap_or_else(|_| Err(stumbled()));
        let _ = pump.0.send(Message::End(ended));
    })?;
    let (mut first, mut last) = (Vec::new(), 0);
    loop {
        match receiver.recv() {
            Ok(Message::Told(told)) => {
                if let Told::Row(row) = &told {
                    last = row.row;
                }
                first.push(told);
                if last > 0 {
                    break;
                }
            }
            Ok(Message::End(ended)) => {
                ended?;
                break;
            }
            Err(_) => return Err(stumbled()),
        }
    }
    Ok(RowReader::new(first.into_iter().chain(Pumped { receiver, row: last, over: false })))
}

fn stumbled() -> Error {
    Error::invalid(
        "file_unreadable",
        "The file is damaged, or uses something this version cannot read. Open it in the program it comes from, save it again, and import that.",
    )
}

struct Pumped {
    receiver: Receiver<Message>,
    row: u64,
    over: bool,
}

impl Iterator for Pumped {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        if self.over {
            return None;
        }
        let ended = match self.receiver.recv() {
            Ok(Message::Told(told)) => {
                if let Told::Row(row) = &told {
                    self.row = row.row;
                }
                return Some(told);
            }
            Ok(Message::End(ended)) => ended,
            // A reader that sends rows sends an end, or was already at it.
            Err(_) => Ok(()),
        };
        self.over = true;
        let error = ended.err()?;
        let message = format!("{} The rows before this one were read.", error.message());
        let row = ReadRow { row: self.row + 1, sheet: None, given: Given::ALL, draft: Err(Cells::default().error(error.code(), message)) };
        Some(Told::Row(Box::new(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: u64) -> ReadRow {
        ReadRow { row, sheet: None, given: Given::ALL, draft: Err(Cells::default().error("x", "x")) }
    }

    #[test]
    fn a_panic_is_an_error_or_a_last_row() {
        assert_eq!(start(|_| panic!("spite")).err().unwrap().code(), "file_unreadable");
        let reader = start(|pump| {
            pump.row(row(7));
            pump.note("seen".into());
            panic!("spite")
        });
        let mut reader = reader.unwrap();
        let rows: Vec<_> = reader.by_ref().map(|row| (row.row, row.draft.unwrap_err().code)).collect();
        assert_eq!(rows, [(7, "x"), (8, "file_unreadable")]);
        assert_eq!(reader.notes(), ["seen"]);
    }

    #[test]
    fn a_reader_nobody_listens_to_stops() {
        let (told, heard) = sync_channel(0);
        let reader = start(move |pump| {
            while pump.row(row(1)) {}
            let _ = told.send(());
            Ok(())
        });
        drop(reader);
        heard.recv().unwrap();
    }
}
