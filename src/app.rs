//! Builds every room from the config and hands them round. [`Ground`] is what every command needs;
//! [`App`] is the whole house, with the demo shop set up on a first start.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::cache::AnswerCache;
use crate::channels::outgoing::{Outgoing, OutgoingParts};
use crate::channels::{Channels, ChannelsParts};
use crate::chat::ChatEngine;
use crate::chat::engine::EngineParts;
use crate::chat::resume::SILENT_MS;
use crate::chat::stopped;
use crate::config::Config;
use crate::db::Db;
use crate::disk;
use crate::error::{Error, Result};
use crate::events::store::Outbox;
use crate::ids::{Clock, TenantId};
use crate::knowledge::{Knowledge, KnowledgeParts, starter};
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::models::{Model, Models, Reranking, embed};
use crate::prompts::Prompts;
use crate::safety::{Safety, SafetyParts};
use crate::telemetry::traces::Traces;
use crate::tenants::{RateLimits, Tenants};

pub mod files;
pub mod health;
pub mod heap;
mod pages;

/// The tenant of the demo page and of commands that name none.
pub const DEMO: &str = "demo";
/// Held by the server of a data directory.
const LOCK: &str = "serve.lock";
/// Under this note is how far the starter pack's import came.
const STARTER_NOTE: &str = "starter_pack";

/// What every command needs: configuration, time, database, tenants.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is a room of that name")]
pub struct Ground {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub db: Db,
    pub tenants: Tenants,
}

impl Ground {
    /// Creates the data directory when it is missing and opens the database in it.
    pub async fn open(config: Config) -> Result<Self> {
        create_data_dir(&config.data_dir)?;
        Self::look(config).await
    }

    /// Opens the database alone, for who only looks at it.
    pub async fn look(config: Config) -> Result<Self> {
        let clock = Clock::system();
        let db = Db::open(&config.database, &config.data_dir).await?;
        let tenants = Tenants::new(db.clone(), clock.clone());
        Ok(Self { config: Arc::new(config), clock, db, tenants })
    }

    /// The tenant of that name. In a database without any tenant `demo` is added on the way, so that
    /// a first `kb import` needs no other command before it.
    ///
    /// # Errors
    /// `tenant_not_found`, which names `tenant add`.
    pub async fn tenant(&self, name: &str) -> Result<TenantId> {
        let id = TenantId::parse(name)?;
        if name == DEMO && self.tenants.list().await?.is_empty() {
            self.ensure_demo().await?;
        }
        Ok(self.tenants.get(&id).await?.id)
    }

    /// Opens what the shop knows.
    pub async fn knowledge(&self) -> Result<Knowledge> {
        let config = Arc::clone(&self.config);
        let opened = tokio::task::spawn_blocking(move || {
            Ok::<_, Error>((embed::open(&config.embedder)?, Reranking::open(&config.rerank, &config.models)?))
        });
        let (embedder, reranker) = opened.await??;
        Knowledge::open(KnowledgeParts {
            db: self.db.clone(),
            clock: self.clock.clone(),
            embedder,
            embedding: self.config.embedder.clone(),
            reranker,
            index_dir: self.config.data_dir.join("index"),
            index: self.config.index_place(),
            search: self.config.search,
        })
        .await
    }

    async fn ensure_demo(&self) -> Result<TenantId> {
        let demo = TenantId::parse(DEMO)?;
        match self.tenants.add(&demo, "Demo").await {
            // Two processes may start at the same time.
            Err(error) if error.code() != "tenant_exists" => Err(error),
            _ => Ok(demo),
        }
    }
}

/// Every room, ready to serve. Cheap to clone.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is a room of that name")]
pub struct App {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub db: Db,
    pub tenants: Tenants,
    pub limits: Arc<RateLimits>,
    pub models: Arc<Models>,
    pub knowledge: Knowledge,
    pub ledger: Ledger,
    pub memory: Memory,
    pub prompts: Prompts,
    pub safety: Safety,
    pub traces: Traces,
    pub engine: ChatEngine,
    pub channels: Channels,
    pub outgoing: Outgoing,
}

impl App {
    /// Builds the rooms for a server, and ends what a crash of the last one left open.
    pub async fn build(config: Config) -> Result<Self> {
        let app = Self::beside(config).await?;
        let interrupted = app.memory.end_interrupted(SILENT_MS, stopped).await?;
        if interrupted > 0 {
            tracing::info!(interrupted, "answers that a crash broke off are marked as incomplete");
        }
        Ok(app)
    }

    /// Builds the rooms in floor order and, on a first start, the demo shop; a server may be running on
    /// the same data.
    pub async fn beside(config: Config) -> Result<Self> {
        let ground = Ground::open(config).await?;
        let knowledge = ground.knowledge().await?;
        first_start(&ground, &knowledge).await?;
        Self::wire(ground, knowledge).await
    }

    async fn wire(ground: Ground, knowledge: Knowledge) -> Result<Self> {
        let Ground { config, clock, db, tenants } = ground;
        let models = Arc::new(Models::build(&config.models, Arc::clone(knowledge.embedder()))?);
        let ledger = Ledger::new(db.clone(), clock.clone(), config.zone(), config.spend.clone(), &models.cards())?;
        let memory = Memory::new(db.clone(), clock.clone());
        let safety = Safety::new(SafetyParts {
            config: &config.safety,
            judge: judge(&config, &models)?,
            ledger: ledger.clone(),
            db: db.clone(),
            clock: clock.clone(),
        })?;
        let prompts = Prompts::open(db.clone(), clock.clone(), &config.prompts.dir).await?;
        if !matches!(config.chat.rewrite_model.as_str(), "" | "off") {
            // A name that nobody has is told now, not in a merchant's second question.
            models.select(Some(&config.chat.rewrite_model))?;
        }
        let traces = Traces::open(&config.otel)?;
        let engine = ChatEngine::new(EngineParts {
            traces: traces.clone(),
            knowledge: knowledge.clone(),
            memory: memory.clone(),
            models: Arc::clone(&models),
            ledger: ledger.clone(),
            prompts: prompts.clone(),
            safety: safety.clone(),
            cache: AnswerCache::new(config.cache.clone(), clock.clone()),
            config: config.chat.clone(),
            answers: config.answers.clone(),
            sources: config.search.sources,
            zone: config.zone(),
        });
        let limits = Arc::new(RateLimits::new(&config.limits));
        let channels = Channels::build(&ChannelsParts {
            config: &config.channels,
            answers: &config.answers,
            db: &db,
            clock: &clock,
            tenants: &tenants,
            engine: &engine,
            models: &models,
            memory: &memory,
        })?;
        let outgoing = Outgoing::build(OutgoingParts {
            config: &config,
            outbox: Outbox::new(db.clone(), clock.clone()),
            knowledge: knowledge.clone(),
            memory: memory.clone(),
            ledger: ledger.clone(),
            clock: clock.clone(),
        })?;
        Ok(Self {
            config,
            clock,
            db,
            tenants,
            limits,
            models,
            knowledge,
            ledger,
            memory,
            prompts,
            safety,
            traces,
            engine,
            channels,
            outgoing,
        })
    }
}

/// The model that judges questions, when one is named.
fn judge(config: &Config, models: &Models) -> Result<Option<Arc<Model>>> {
    let named = Some(config.safety.judge.as_str()).filter(|id| !id.is_empty());
    named.map(|id| models.select(Some(id))).transpose()
}

/// An empty database gets tenant `demo` with the starter pack. A start that was interrupted in the
/// middle of it goes on where it stopped; one after somebody else's import leaves theirs alone.
async fn first_start(ground: &Ground, knowledge: &Knowledge) -> Result<()> {
    let fresh = knowledge.store().revision().await? == 0;
    ground.tenants.note_once(STARTER_NOTE, if fresh { "importing" } else { "not wanted" }).await?;
    if ground.tenants.note(STARTER_NOTE).await?.as_deref() != Some("importing") {
        return Ok(());
    }
    tracing::info!("first start: importing the starter pack into tenant `{DEMO}`");
    let demo = ground.ensure_demo().await?;
    starter::import_starter(knowledge, &demo, ground.config.zone()).await?;
    ground.tenants.note_over(STARTER_NOTE, "imported").await
}

/// Only its owner may look into the data directory: it holds the merchants' conversations.
pub fn create_data_dir(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        Error::unavailable(
            "data_dir_unusable",
            format!("The data directory {} cannot be created: {error}. Choose another with --data-dir.", dir.display()),
        )
        .because(error)
    })
}

/// Where the running server of a data directory is; kept in `serve.json` for the other commands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerNote {
    /// The address it listens on.
    pub listen: SocketAddr,
    /// Its process.
    pub pid: u32,
}

impl ServerNote {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("serve.json")
    }

    /// The server that is running on `data_dir`, if any.
    pub fn read(data_dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(Self::path(data_dir)).ok()?;
        // A server that was killed leaves its note behind, but not its lock.
        if ServerLock::is_free(data_dir) { None } else { serde_json::from_str(&text).ok() }
    }
}

/// Held by the one server of a data directory, and let go when it ends, however it ends.
#[derive(Debug)]
pub struct ServerLock {
    _file: File,
    data_dir: PathBuf,
}

impl ServerLock {
    /// Makes this process the server of `data_dir`.
    ///
    /// # Errors
    /// `data_dir_in_use`.
    pub fn take(data_dir: &Path) -> Result<Self> {
        create_data_dir(data_dir)?;
        match disk::lock(&data_dir.join(LOCK))? {
            Some(file) => Ok(Self { _file: file, data_dir: data_dir.to_owned() }),
            None => Err(in_use(data_dir)),
        }
    }

    /// Whether it could be taken, for who leaves nothing behind where it cannot.
    ///
    /// # Errors
    /// `data_dir_in_use`.
    pub fn check(data_dir: &Path) -> Result<()> {
        let lock = data_dir.join(LOCK);
        if lock.exists() && disk::lock(&lock)?.is_none() { Err(in_use(data_dir)) } else { Ok(()) }
    }

    /// Leaves a note for the other commands.
    pub fn announce(&self, listen: SocketAddr) -> Result<()> {
        let note = ServerNote { listen, pid: std::process::id() };
        Ok(std::fs::write(ServerNote::path(&self.data_dir), serde_json::to_vec(&note)?)?)
    }

    fn is_free(data_dir: &Path) -> bool {
        disk::open_lock(&data_dir.join(LOCK)).is_ok_and(|file| file.try_lock_shared().is_ok())
    }
}

impl Drop for ServerLock {
    fn drop(&mut self) {
        // A note without a server only makes the next command look twice.
        let _ = std::fs::remove_file(ServerNote::path(&self.data_dir));
    }
}

fn in_use(data_dir: &Path) -> Error {
    let place = ServerNote::read(data_dir).map_or_else(String::new, |note| format!(" (on {}, process {})", note.listen, note.pid));
    let message = format!(
        "Another server is running on the data directory {}{place}. Go on with that one, stop it first, or choose another with --data-dir.",
        data_dir.display()
    );
    Error::conflict("data_dir_in_use", message)
}

/// The code of [`address_in_use`].
pub const ADDRESS_IN_USE: &str = "address_in_use";

/// The error of an address that somebody else has; says how to choose the next one.
pub fn address_in_use(address: &str, by: &str) -> Error {
    let next = |taken: SocketAddr| SocketAddr::new(taken.ip(), taken.port().checked_add(1).unwrap_or(8788));
    let next = address.parse().map_or(SocketAddr::from(([127, 0, 0, 1], 8788)), next);
    let message = format!(
        "{address} is in use by {by}. To run this one too, choose another address with `--listen {next}`, or COPILOT_LISTEN={next} in the environment."
    );
    Error::conflict(ADDRESS_IN_USE, message)
}

/// Takes the configured address.
///
/// # Errors
/// `address_in_use`, `bad_listen_address`; both say how to choose another.
pub async fn listen(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => address_in_use(address, "another program"),
        _ => Error::invalid(
            "bad_listen_address",
            format!("Cannot listen on {address}: {error}. Give host and port, e.g. --listen 127.0.0.1:8787."),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_has_one_server_and_its_note_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 8787));
        let lock = ServerLock::take(dir.path()).unwrap();
        lock.announce(address).unwrap();
        for refused in [ServerLock::take(dir.path()).unwrap_err(), ServerLock::check(dir.path()).unwrap_err()] {
            assert!(refused.code() == "data_dir_in_use" && refused.message().contains(&address.to_string()), "{refused}");
        }
        assert_eq!(ServerNote::read(dir.path()).unwrap().listen, address);
        drop(lock);
        assert_eq!(ServerNote::read(dir.path()), None);
        ServerLock::check(dir.path()).unwrap();
        ServerLock::take(dir.path()).unwrap();
        let none = dir.path().join("none");
        ServerLock::check(&none).unwrap();
        assert!(!none.exists(), "a look makes no directory");
    }

    #[tokio::test]
    async fn an_address_in_use_says_how_to_choose_another() {
        let first = listen("127.0.0.1:0").await.unwrap();
        let taken = first.local_addr().unwrap().to_string();
        let error = listen(&taken).await.unwrap_err();
        assert_eq!(error.code(), "address_in_use");
        assert!(error.message().contains("--listen"));
        assert!(address_in_use("0.0.0.0:9000", "a cat").message().contains("--listen 0.0.0.0:9001"));
    }
}
