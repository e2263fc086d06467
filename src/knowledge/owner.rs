//! Which process writes the indexes, makes vectors that are missing, or imports: whoever holds a lock. Where the
//! indexes are a folder it is a file in it; what nodes share is locked in the database that they share too.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

use crate::db::{Db, DbLock};
use crate::disk;
use crate::error::Result;

/// Where the lock is.
enum Place {
    File(PathBuf),
    Database { db: Db, name: String },
}

/// Held for as long as it exists.
enum Held {
    File(#[expect(dead_code, reason = "held, not read")] File),
    Database(DbLock),
}

/// A lock between processes.
pub struct Owner {
    place: Place,
    held: Mutex<Option<Held>>,
    owns: AtomicBool,
}

impl Owner {
    /// Of what is this machine's.
    pub fn by_file(path: PathBuf) -> Self {
        Self { place: Place::File(path), held: Mutex::default(), owns: AtomicBool::new(false) }
    }

    /// Of what is in the database: a lock of this name where nodes can share it, or a file where processes of one
    /// machine do.
    pub fn of_database(db: &Db, name: String, path: PathBuf) -> Self {
        let place = match db {
            Db::Postgres(_) => Place::Database { db: db.clone(), name },
            Db::Sqlite(_) => Place::File(path),
        };
        Self { place, held: Mutex::default(), owns: AtomicBool::new(false) }
    }

    /// Whether this process has it, as far as it knows.
    pub fn owns(&self) -> bool {
        self.owns.load(Ordering::Acquire)
    }

    /// Takes it unless another process has it. A lock of the database goes with the connection, so it is
    /// looked at again.
    pub async fn take(&self) -> Result<bool> {
        let mut held = self.held.lock().await;
        if let Some(Held::Database(lock)) = held.as_mut()
            && !lock.still_held().await
        {
            *held = None;
            self.owns.store(false, Ordering::Release);
        }
        if held.is_none() {
            *held = match &self.place {
                Place::File(path) => disk::lock(path)?.map(Held::File),
                Place::Database { db, name } => db.try_lock(name).await?.map(Held::Database),
            };
        }
        self.owns.store(held.is_some(), Ordering::Release);
        Ok(held.is_some())
    }
}

impl Owner {
    /// Lets it go, so that another process may have it.
    pub async fn release(&self) {
        let mut held = self.held.lock().await;
        *held = None;
        self.owns.store(false, Ordering::Release);
    }
}
