//! Files of the data directory that processes of different users share: locks between them, and whose files they are.
//! A command that root runs beside a service of another user leaves nothing there that the service cannot write.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Dir, FileType, Gid, Mode, OFlags, Stat, Uid, fchown, fstat, openat};
use rustix::io::Result as Done;
use rustix::process::geteuid;

use crate::error::{Error, Result};

/// Locks a file until what is returned is dropped; none while another process has it.
///
/// # Errors
/// `lock_unusable`, which names the file and what to do.
pub fn lock(path: &Path) -> Result<Option<File>> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable(path, error)),
    }
}

/// Opens a file to be locked, and makes it where it is missing.
///
/// # Errors
/// `lock_unusable`, which names the file and what to do.
pub fn open_lock(path: &Path) -> Result<File> {
    let made = File::options().create(true).append(true).custom_flags(flags(OFlags::NOFOLLOW)).open(path);
    match made {
        Ok(file) => {
            like_its_folder(path, &file);
            Ok(file)
        }
        // Another user made it. Nothing is ever written to it, and who may read it may lock it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => File::open(path).map_err(|_| unusable(path, error)),
        Err(error) => Err(unusable(path, error)),
    }
}

/// Gives what root made in a folder, and below it, to whom the folder belongs. Nothing to do for anybody but root, or in
/// a folder of root's own.
pub fn hand_over(folder: &Path) {
    if !geteuid().is_root() {
        return;
    }
    let given = || {
        // The folder itself may be a link, as systemd makes it for a service without a user of its own.
        let folder = rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let owner = fstat(&folder)?;
        if owner.st_uid == 0 { Ok(()) } else { give_below(&folder, &owner) }
    };
    match given() {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => tracing::warn!(%error, folder = %folder.display(), "what root made could not be given to the folder's owner"),
    }
}

/// No link is followed and no pipe waited for: whoever owns the folder may put there what it likes.
const QUIETLY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

fn give_below(folder: &OwnedFd, owner: &Stat) -> Done<()> {
    for item in Dir::read_from(folder)? {
        let item = item?;
        if matches!(item.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        // A link, a socket, or gone by now.
        let Ok(file) = openat(folder, item.file_name(), OFlags::RDONLY | QUIETLY, Mode::empty()) else { continue };
        give(&file, owner)?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::Directory {
            give_below(&file, owner)?;
        }
    }
    Ok(())
}

/// Gives a file of root's away, unless it has another name somewhere else.
fn give(file: impl AsFd, owner: &Stat) -> Done<()> {
    let found = fstat(&file)?;
    let own = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => true,
        FileType::RegularFile => found.st_nlink == 1,
        _ => false,
    };
    match own && found.st_uid == 0 {
        true => fchown(file, Some(Uid::from_raw(owner.st_uid)), Some(Gid::from_raw(owner.st_gid))),
        false => Ok(()),
    }
}

/// At once, because a service may want the lock while the command still runs.
fn like_its_folder(path: &Path, file: &File) {
    if !geteuid().is_root() {
        return;
    }
    let given = path.parent().map(|folder| rustix::fs::stat(folder).and_then(|owner| give(file, &owner)));
    if let Some(Err(error)) = given {
        tracing::warn!(%error, file = %path.display(), "a lock could not be given to the folder's owner");
    }
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or_default()
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::StorageFull {
        return error.into();
    }
    let path = path.display();
    let message = format!(
        "The lock {path} cannot be opened: {error}. It has to belong to the user that the server runs as, like everything \
         in the data directory; give it to that user with chown."
    );
    Error::unavailable("lock_unusable", message).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_free_again_when_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap();
        assert!(held.is_some() && lock(&path).unwrap().is_none());
        drop(held);
        assert!(lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_that_cannot_be_opened_is_named_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("lock"), folder.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let error = lock(&path).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("lock_unusable", crate::error::Kind::Unavailable));
        assert!(error.message().contains(&path.display().to_string()) && error.message().contains("chown"), "{error}");
        assert!(!elsewhere.exists());
    }
}
