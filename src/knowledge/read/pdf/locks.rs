//! PDFs that are encrypted with an empty password, only to forbid printing. The parser would open one while it reads it,
//! and unpack what then lies open without asking. So it is shown no lock: it reads the objects as they lie there, with
//! the same checks as in any other file (`bounds.rs`); then they are opened here, and looked at before they are unpacked.

use std::sync::LazyLock;

use pdf_extract::encryption::decrypt_object;
use pdf_extract::xref::XrefEntry;
use pdf_extract::{Document, EncryptionState, Object, ObjectId, ObjectStream, Stream};
use regex::bytes::Regex;

use super::bounds;
use super::damaged;
use crate::error::{Error, Result};

/// The entry of a file's last words that says how it is locked, and what it is called until it is opened: as long, so
/// that everything stays where the file says it is.
const LOCK: &[u8] = b"Encrypt";
const HIDDEN: &[u8] = b"EncrypX";
/// The type of a stream that holds other objects, and what it is called until it is opened.
const HOLDER: &[u8] = b"ObjStm";
const SEALED: &[u8] = b"ObjStX";

static WRITTEN: LazyLock<Regex> = LazyLock::new(|| bounds::regex(r"/Encrypt\b"));

/// Takes the lock out of the parser's sight. Says whether there may be one.
pub fn hide(bytes: &mut [u8]) -> bool {
    let places: Vec<usize> = WRITTEN.find_iter(bytes).map(|found| found.start() + 1).collect();
    for &at in &places {
        bytes[at..at + HIDDEN.len()].copy_from_slice(HIDDEN);
    }
    !places.is_empty()
}

/// Keeps the parser from unpacking a stream of objects.
pub fn seal(stream: &mut Stream) {
    stream.dict.set("Type", Object::Name(SEALED.to_vec()));
}

/// Opens a document whose lock was hidden. `size` is what a stream of objects will unpack to, or why it must not.
///
/// # Errors
/// `file_encrypted`, `file_unreadable` or what `size` says.
pub fn open(document: &mut Document, mut size: impl FnMut(&Stream) -> Result<()>) -> Result<()> {
    if let Some(lock) = document.trailer.remove(HIDDEN) {
        document.trailer.set(LOCK, lock);
        decrypt(document)?;
    }
    let sealed = |(&id, object): (&ObjectId, &Object)| object.as_stream().is_ok_and(|stream| stream.dict.has_type(SEALED)).then_some(id);
    let sealed: Vec<ObjectId> = document.objects.iter().filter_map(sealed).collect();
    for id in sealed {
        let Some(Object::Stream(stream)) = document.objects.get_mut(&id) else { continue };
        stream.dict.set("Type", Object::Name(HOLDER.to_vec()));
        size(stream)?;
        let Ok(held) = ObjectStream::new(stream) else { continue };
        for (own, object) in held.objects {
            // An older copy of the same object is not the one that counts.
            let here = match document.reference_table.get(own.0) {
                Some(XrefEntry::Compressed { container, .. }) => *container == id.0,
                _ => true,
            };
            if here {
                document.objects.entry(own).or_insert(object);
            }
        }
    }
    Ok(())
}

fn decrypt(document: &mut Document) -> Result<()> {
    let locked = || Error::invalid("file_encrypted", "The PDF is protected by a password. Save it without one.");
    document.authenticate_password("").map_err(|_| locked())?;
    let state = EncryptionState::decode(document, "").map_err(damaged)?;
    let lock = document.trailer.remove(LOCK).and_then(|lock| lock.as_reference().ok());
    for (&id, object) in &mut document.objects {
        if Some(id) != lock {
            // What cannot be opened stays as it is, and is no text then.
            let _ = decrypt_object(&state, id, object);
        }
    }
    document.encryption_state = Some(state);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_hidden_wherever_it_is_written_and_nothing_moves() {
        let mut bytes = b"<< /EncryptMetadata true /Encrypt 9 0 R/Encrypt<<>> >>".to_vec();
        assert!(hide(&mut bytes));
        assert_eq!(bytes, b"<< /EncryptMetadata true /EncrypX 9 0 R/EncrypX<<>> >>");
        assert!(!hide(&mut bytes));
    }
}
