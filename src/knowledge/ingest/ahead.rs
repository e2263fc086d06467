//! Reading ahead: a thread of its own reads, normalises and hashes rows while earlier ones are judged
//! and embedded.

use chrono_tz::Tz;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ImportOptions;
use crate::error::Error;
use crate::knowledge::plan::{Already, Candidate, Place};
use crate::knowledge::read::{Field, ReadRow, RowError, Source};

/// Rows judged, embedded and committed at once, and of those that stand already as they are.
const BATCH_ROWS: usize = 256;
const BATCH_STANDING: usize = 4_096;
/// A batch also ends here, so that rows of huge cells do not fill memory.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Batches read ahead.
const AHEAD: usize = 2;

/// What the reading thread found, in order.
pub enum Item {
    Row {
        /// Counts from 0 over all files; a plan names rows so.
        n: u64,
        file: u32,
        row: u64,
        sheet: Option<String>,
        content: Result<Box<Candidate>, RowError>,
    },
    /// A file that cannot be read at all.
    Unreadable {
        file: u32,
        error: Error,
    },
    Note(String),
}

pub type Batch = Vec<Item>;

/// Reads all sources on a thread of its own; it ends when nobody takes its batches any more.
pub fn read_ahead(sources: Vec<Source>, options: &ImportOptions, zone: Tz, already: Already) -> (mpsc::Receiver<Batch>, JoinHandle<()>) {
    let (encoding, default_source) = (options.encoding.clone(), options.default_source.clone());
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        let mut outbox = Outbox { batch: Vec::new(), fresh: 0, bytes: 0, sender };
        let mut n = 0;
        for (source, file) in sources.iter().zip(0..) {
            let named =
                Named { source: default_source.as_deref().unwrap_or_else(|| source.file_name()), on_purpose: default_source.is_some() };
            let went = match source.open(encoding.as_deref(), zone) {
                Err(error) => outbox.put(Item::Unreadable { file, error }, 0),
                Ok(mut reader) => {
                    let mut prepared = reader.by_ref().map(|row| {
                        n += 1;
                        prepare(n - 1, file, row, &named, &already)
                    });
                    let taken = prepared.all(|(item, bytes)| outbox.put(item, bytes));
                    drop(prepared);
                    let notes = reader.notes().iter().map(|note| Item::Note(format!("{}: {note}", source.name)));
                    taken && notes.into_iter().all(|note| outbox.put(note, 0))
                }
            };
            if !went {
                return;
            }
        }
        outbox.send();
    });
    (receiver, reading)
}

/// Collects items into batches.
struct Outbox {
    batch: Batch,
    fresh: usize,
    bytes: usize,
    sender: mpsc::Sender<Batch>,
}

impl Outbox {
    /// Whether there is still somebody who wants more.
    fn put(&mut self, item: Item, bytes: usize) -> bool {
        let stands = matches!(&item, Item::Row { content: Ok(row), .. } if row.stands_as.is_some());
        self.batch.push(item);
        self.fresh += usize::from(!stands);
        self.bytes += bytes;
        let full = self.fresh >= BATCH_ROWS || self.batch.len() >= BATCH_STANDING || self.bytes >= BATCH_BYTES;
        !full || self.send()
    }

    fn send(&mut self) -> bool {
        (self.fresh, self.bytes) = (0, 0);
        let batch = std::mem::take(&mut self.batch);
        batch.is_empty() || self.sender.blocking_send(batch).is_ok()
    }
}

/// The source of rows that name none.
struct Named<'a> {
    source: &'a str,
    /// Somebody asked for it; otherwise it is only the file's name.
    on_purpose: bool,
}

/// Hashes and normalises a row here, on the reading thread; also tells about how large it is.
fn prepare(n: u64, file: u32, read: ReadRow, named: &Named<'_>, already: &Already) -> (Item, usize) {
    let ReadRow { row, sheet, given, draft } = read;
    let given = if named.on_purpose { given.with(Field::Source) } else { given };
    let (content, bytes) = match draft {
        Ok(mut draft) => {
            draft.source.get_or_insert_with(|| named.source.to_owned());
            let bytes = draft.answer.len() + draft.similar.iter().map(String::len).sum::<usize>();
            let mut row = Box::new(Candidate::new(draft, Place { file, row }).given(given));
            row.stands_as = already.standing(&row);
            if row.stands_as.is_none() {
                row.weigh();
            }
            (Ok(row), bytes)
        }
        Err(mut error) => {
            if error.cells.get(Field::Source).is_empty() {
                error.cells.put(Field::Source, named.source);
            }
            let bytes = Field::ALL.iter().map(|&field| error.cells.get(field).len()).sum();
            (Err(error), bytes)
        }
    };
    (Item::Row { n, file, row, sheet, content }, bytes)
}
