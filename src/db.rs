//! One door to two databases. [`Db`] is chosen by a URL; stores write one SQL text for both, with
//! `$1` placeholders, and run it through the `on!` macro. SQL lives here and in `*/store.rs` only.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection};

use crate::error::{Error, Result};

/// The database of a data directory.
pub const FILE: &str = "copilot.db";

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

/// A lock that other processes respect, for as long as its connection stands.
#[derive(Debug)]
pub struct DbLock(sqlx::PgConnection);

impl DbLock {
    /// Whether the connection still stands, and with it the lock.
    pub async fn still_held(&mut self) -> bool {
        self.0.ping().await.is_ok()
    }
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
/// How long readers are waited for when the log is emptied.
const LOG_PATIENCE: Duration = Duration::from_millis(100);

impl Db {
    /// In SQL: whether a column has the words of a pattern from [`containing`], be its letters large or small.
    /// SQLite's `like` takes them as one by itself, and for the very letters that its `lower` knows; on a hundred
    /// thousand rows the copies that `lower` makes are a third of the time.
    pub fn contains(&self, column: &str, pattern: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("{column} like {pattern} escape '\\'"),
            Self::Postgres(_) => format!("lower({column}) like {pattern} escape '\\'"),
        }
    }

    /// Opens and migrates the database behind `url`; an empty one means `copilot.db` in `data_dir`.
    ///
    /// # Errors
    /// `bad_database_url`, `database_unreachable`, or `migration_failed`.
    pub async fn open(url: &str, data_dir: &Path) -> Result<Self> {
        let url = if url.is_empty() { format!("sqlite://{}", data_dir.join(FILE).display()) } else { url.to_owned() };
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

    /// Takes the lock of that name, unless another process that uses this database has it (Postgres only). It
    /// has a connection of its own, and goes with it.
    ///
    /// # Errors
    /// `lock_needs_postgres` on SQLite, whose processes share a folder and lock a file in it.
    pub async fn try_lock(&self, name: &str) -> Result<Option<DbLock>> {
        let Self::Postgres(pool) = self else {
            return Err(Error::internal("lock_needs_postgres", "Locks of the database are Postgres's."));
        };
        let mut connection = pool.acquire().await?;
        let sql = "select pg_try_advisory_lock(hashtextextended($1, 0))";
        let taken: bool = sqlx::query_scalar(sql).bind(name).fetch_one(&mut *connection).await?;
        // Whoever does not get it gives the connection back: some ask again and again.
        Ok(taken.then(|| DbLock(connection.detach())))
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

    /// Folds SQLite's log back into the file and empties it, so that nothing of a deleted row stays in it. Waits for who
    /// reads just now no longer than `LOG_PATIENCE`, because writers wait meanwhile: whoever needs it asks again.
    ///
    /// # Errors
    /// What the database says; that somebody reads is none.
    pub async fn empty_log(&self) -> Result<()> {
        let Self::Sqlite(pool) = self else { return Ok(()) };
        let mut connection = pool.acquire().await?;
        let busy = |wait: Duration| AssertSqlSafe(format!("pragma busy_timeout = {}", wait.as_millis()));
        sqlx::query(busy(LOG_PATIENCE)).execute(&mut *connection).await?;
        let emptied = sqlx::query("pragma wal_checkpoint(truncate)").execute(&mut *connection).await;
        sqlx::query(busy(BUSY)).execute(&mut *connection).await?;
        emptied?;
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

/// The file that is kept behind a URL, as [`Db::open`] reads it; none where another server keeps the database, or where
/// only that can say what is wrong with the URL.
pub fn file(url: &str, data_dir: &Path) -> Option<PathBuf> {
    match url {
        "" => Some(data_dir.join(FILE)),
        url if url.starts_with("sqlite://") => Some(SqliteConnectOptions::from_str(url).ok()?.get_filename().to_owned()),
        _ => None,
    }
}

/// A pattern for [`Db::contains`]: these words somewhere, with nothing special about `%` and `_`.
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
        // What is deleted for good is overwritten, not just left as free space in the file.
        .pragma("secure_delete", "ON")
        .foreign_keys(true);
    let file = options.get_filename().display().to_string();
    SqlitePoolOptions::new()
        .max_connections(8)
        // A file does not hang up, and who gives a connection back has looked at it: asking again before each query is a
        // round to the connection's thread that every search would wait for.
        .test_before_acquire(false)
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
        .map_err(|error| {
            // SQLITE_NOTADB.
            if error.as_database_error().and_then(|db| db.code()).as_deref() != Some("26") {
                return unreachable(&format!("The database {file}"), error);
            }
            let message = format!("{file} is no SQLite database. Move it away, restore it from a backup, or choose another --data-dir.");
            Error::unavailable("not_a_database", message).because(error)
        })
}

async fn open_postgres(url: &str) -> Result<PgPool> {
    // The URL holds a password: its text never goes into an error.
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        Error::invalid("bad_database_url", "The postgres:// URL cannot be read; expected postgres://user:password@host:port/name.")
    })?;
    let place = place(&options);
    let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(10));
    pool.connect_with(options).await.map_err(|error| unreachable(&format!("The database {place}"), error))
}

/// Where a Postgres database is, without who signs in there: `host:port/name`.
fn place(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or_else(|| options.get_host().into(), |folder| folder.to_string_lossy());
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.into_owned() };
    let name = options.get_database().map(|name| format!("/{name}")).unwrap_or_default();
    format!("{host}:{}{name}", options.get_port())
}

fn unreachable(what: &str, error: sqlx::Error) -> Error {
    // Postgres 28000 and 28P01: the sign-in is refused, in words that name the user.
    let refused = matches!(error.as_database_error().and_then(|db| db.code()).as_deref(), Some("28000" | "28P01"));
    let full = Error::from(error);
    if full.code() == "disk_full" {
        return full;
    }
    let causes = if refused { "it does not let in the user with the password of the URL".to_owned() } else { full.causes() };
    Error::unavailable("database_unreachable", format!("{what} cannot be opened: {causes}.")).because(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_cannot_be_reached_is_named_without_who_signs_in() {
        let folder = tempfile::tempdir().unwrap();
        let error = Db::open("postgres://keeper:hush@nowhere.invalid:5544/shop", folder.path()).await.unwrap_err();
        assert_eq!(error.code(), "database_unreachable");
        assert!(error.message().starts_with("The database nowhere.invalid:5544/shop cannot be opened: "), "{error}");
        assert!(!error.message().contains("keeper") && !error.message().contains("hush"), "{error}");
    }

    #[test]
    fn a_database_is_a_file_or_elsewhere() {
        let at = |url: &str| file(url, Path::new("/data")).map(|file| file.display().to_string());
        assert_eq!(at("").as_deref(), Some("/data/copilot.db"));
        assert_eq!(at("sqlite:///srv/a%20shop.db?mode=rwc").as_deref(), Some("/srv/a shop.db"));
        for elsewhere in ["postgres://u:p@db.example.com/shop", "sqlite:///srv/shop.db?mode=nonsense", "nonsense"] {
            assert_eq!(at(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_place_has_host_port_and_name() {
        for (url, expected) in [
            ("postgres://u:p@db.example.com:5432/shop", "db.example.com:5432/shop"),
            ("postgres://u:p@[::1]:6000/shop", "[::1]:6000/shop"),
            ("postgres://u:p@10.0.0.7:6000/shop?application_name=x", "10.0.0.7:6000/shop"),
        ] {
            assert_eq!(place(&PgConnectOptions::from_str(url).unwrap()), expected);
        }
    }
}
