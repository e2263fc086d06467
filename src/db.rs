//! One door to two databases. [`Db`] is chosen by a URL; stores write one SQL text for both, with
//! `$1` placeholders, and run it through the `on!` macro. SQL lives here and in `*/store.rs` only.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::error::{Error, Result};

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Db {
    /// A file beside the server: the default.
    Sqlite(SqlitePool),
    /// A server of its own, for more than one node.
    Postgres(PgPool),
}

/// A transaction on either database; dropped without [`Tx::commit`] it is rolled back.
pub enum Tx {
    /// On SQLite, taken with `begin immediate` so that two writers queue instead of failing.
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    /// On Postgres.
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// Runs the same expression on whichever database is open: `on!(db, pool => query.fetch_one(pool))`.
#[macro_export]
macro_rules! on {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Sqlite($pool) => $body,
            $crate::db::Db::Postgres($pool) => $body,
        }
    };
}

/// The same inside a transaction: `in_tx!(tx, conn => query.execute(conn))`.
#[macro_export]
macro_rules! in_tx {
    ($tx:expr, $conn:ident => $body:expr) => {
        match $tx {
            $crate::db::Tx::Sqlite(tx) => {
                let $conn = &mut **tx;
                $body
            }
            $crate::db::Tx::Postgres(tx) => {
                let $conn = &mut **tx;
                $body
            }
        }
    };
}

/// How long a SQLite writer waits for another (the CLI importing while the server runs).
const BUSY: Duration = Duration::from_secs(30);

impl Db {
    /// Opens and migrates the database behind `url`; an empty one means `copilot.db` in `data_dir`.
    ///
    /// # Errors
    /// `bad_database_url`, `database_unreachable`, or `migration_failed`.
    pub async fn open(url: &str, data_dir: &Path) -> Result<Self> {
        let url = if url.is_empty() { format!("sqlite://{}", data_dir.join("copilot.db").display()) } else { url.to_owned() };
        let db = match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sqlite") => Self::Sqlite(open_sqlite(&url).await?),
            Some("postgres" | "postgresql") => Self::Postgres(open_postgres(&url).await?),
            _ => {
                return Err(Error::invalid(
                    "bad_database_url",
                    "`database` must start with sqlite:// or postgres:// (or be empty for a file in the data directory).",
                ));
            }
        };
        db.migrate().await?;
        Ok(db)
    }

    async fn migrate(&self) -> Result<()> {
        let outcome = match self {
            Self::Sqlite(pool) => sqlx::migrate!("migrations/sqlite").run(pool).await,
            Self::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await,
        };
        outcome.map_err(|error| {
            Error::unavailable(
                "migration_failed",
                "The database could not be brought to this version. It may have been written by a newer merchant-copilot, or its disk is full or read-only.",
            )
            .because(error)
        })
    }

    /// Starts a transaction that will write.
    pub async fn begin(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin_with("begin immediate").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// `sqlite` or `postgres`, for `doctor` and the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Answers when the database does.
    pub async fn ping(&self) -> Result<()> {
        on!(self, pool => sqlx::query("select 1").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Writes a consistent copy into `target` while others go on working (SQLite only).
    ///
    /// # Errors
    /// `backup_needs_pg_dump` on Postgres, which has its own tools for this.
    pub async fn copy_to(&self, target: &Path) -> Result<()> {
        let Self::Sqlite(pool) = self else {
            return Err(Error::invalid("backup_needs_pg_dump", "This data lives in Postgres: back it up with pg_dump."));
        };
        let target = target.to_str().ok_or_else(|| Error::invalid("bad_path", "The backup's path is not UTF-8."))?;
        sqlx::query("vacuum into $1").bind(target).execute(pool).await?;
        Ok(())
    }

    /// Closes all connections, so that SQLite folds its log back into the file.
    pub async fn close(&self) {
        on!(self, pool => pool.close().await);
    }
}

impl Tx {
    /// Makes it so.
    pub async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// A pattern for `lower(column) like $1 escape '\\'`: these words somewhere, with nothing special about `%` and `_`.
pub fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

async fn open_sqlite(url: &str) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| Error::invalid("bad_database_url", "The sqlite:// URL cannot be read.").because(error))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY)
        .foreign_keys(true);
    SqlitePoolOptions::new()
        .max_connections(8)
        // A full disk makes SQLite roll back by itself, and sqlx goes on counting the transaction it had: such a
        // connection is closed, or every later `begin` on it would fail long after there is room again.
        .after_release(|connection, _| {
            Box::pin(async move {
                // A rollback that a dropped transaction asked for is done before this answers.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(options)
        .await
        .map_err(unreachable)
}

async fn open_postgres(url: &str) -> Result<PgPool> {
    // The URL holds a password: its text never goes into an error.
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        Error::invalid("bad_database_url", "The postgres:// URL cannot be read; expected postgres://user:password@host:port/name.")
    })?;
    PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(10)).connect_with(options).await.map_err(unreachable)
}

fn unreachable(error: sqlx::Error) -> Error {
    let full = Error::from(error);
    if full.code() == "disk_full" {
        return full;
    }
    let causes = full.causes();
    Error::unavailable("database_unreachable", format!("The database cannot be opened: {causes}.")).because(full)
}
