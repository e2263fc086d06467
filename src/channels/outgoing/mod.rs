//! Webhooks and notices out: empties the outbox of `events/` to the customer's own systems and groups. A loop
//! for each endpoint, so that a slow one keeps nobody waiting, and two that look for what happens by itself.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::deliver::{Endpoint, GIVE_UP_MS};
use self::notices::Notice;
use crate::config::Config;
use crate::error::Result;
use crate::events::store::{Delivery, Outbox, Waiting, Wanted};
use crate::ids::{Clock, TenantId, Timestamp};
use crate::knowledge::Knowledge;
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::telemetry;

mod address;
mod deliver;
mod expiring;
mod notices;
mod sign;
mod state;
mod words;

pub use state::EndpointState;

/// How often an endpoint's rows are looked for.
const BEAT: Duration = Duration::from_secs(1);
/// How often it is looked for what expires and what is too old.
const SWEEP: Duration = Duration::from_secs(10 * 60);
/// Rows taken in one go, and sent at the same time.
const TOGETHER: i64 = 32;
const AT_ONCE: usize = 4;
/// Longer than a try may take: a row whose sender is gone is somebody else's after this.
const LEASE_MS: i64 = 60_000;
/// How long a try may go on when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// The log goes back so far: longer than an expiring entry is one, so that each is told once.
const KEEP_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// What the room is built from.
#[expect(missing_docs, reason = "each field is a room of that name")]
pub struct OutgoingParts<'a> {
    pub config: &'a Config,
    pub outbox: Outbox,
    pub knowledge: Knowledge,
    pub memory: Memory,
    pub ledger: Ledger,
    pub clock: Clock,
}

/// Every endpoint. Cheap to clone.
#[derive(Clone)]
pub struct Outgoing(Arc<Inner>);

struct Inner {
    outbox: Outbox,
    knowledge: Knowledge,
    memory: Memory,
    ledger: Ledger,
    clock: Clock,
    zone: chrono_tz::Tz,
    endpoints: Vec<Arc<Endpoint>>,
    notices: Vec<Notice>,
    stop: CancellationToken,
    loops: TaskTracker,
}

impl Outgoing {
    /// As configured; nothing is sent.
    ///
    /// # Errors
    /// `bad_config`.
    pub fn build(parts: OutgoingParts<'_>) -> Result<Self> {
        let OutgoingParts { config, outbox, knowledge, memory, ledger, clock } = parts;
        let mut endpoints =
            config.webhooks.iter().map(|(name, hook)| Endpoint::webhook(name, hook).map(Arc::new)).collect::<Result<Vec<_>>>()?;
        let mut notices = Vec::new();
        for (name, notice) in &config.notices {
            let group = Endpoint::group(name, notice, clock.clone())?;
            notices.push(Notice::new(&group, name, &notice.at)?);
            endpoints.push(Arc::new(group));
        }
        let (stop, loops) = (CancellationToken::new(), TaskTracker::new());
        let zone = config.zone();
        Ok(Self(Arc::new(Inner { outbox, knowledge, memory, ledger, clock, zone, endpoints, notices, stop, loops })))
    }

    /// Writes down who is told, and begins to tell.
    pub async fn start(&self) -> Result<()> {
        let room = &self.0;
        let programs = room.endpoints.iter().filter(|endpoint| endpoint.is_program());
        let wishes: Vec<_> = programs.map(|endpoint| (endpoint.tenant.clone(), endpoint.name.clone(), endpoint.kinds.clone())).collect();
        room.outbox.subscribe(&wishes).await?;
        for endpoint in &room.endpoints {
            let (room, endpoint) = (Arc::clone(room), Arc::clone(endpoint));
            self.0.loops.spawn(async move { room.tell_forever(&endpoint).await });
        }
        let sweeping = Arc::clone(room);
        self.0.loops.spawn(async move { sweeping.sweep_forever().await });
        let noticing = Arc::clone(room);
        self.0.loops.spawn(async move { notices::notice_forever(&noticing).await });
        Ok(())
    }

    /// Starts no further try.
    pub fn close(&self) {
        self.0.stop.cancel();
        self.0.loops.close();
    }

    /// Waits for the running tries.
    pub async fn drained(&self) {
        self.0.loops.wait().await;
    }

    /// Who is told what in a shop, and how that goes.
    ///
    /// # Errors
    /// What the database says.
    pub async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<EndpointState>> {
        let counts = self.0.outbox.counts(tenant).await?;
        let own = self.0.endpoints.iter().filter(|endpoint| &endpoint.tenant == tenant);
        Ok(own.map(|endpoint| EndpointState::new(endpoint, &counts)).collect())
    }

    /// The log of a shop, the newest first.
    pub async fn log(&self, tenant: &TenantId, wanted: &Wanted<'_>, limit: i64) -> Result<Vec<Delivery>> {
        self.0.outbox.log(tenant, wanted, limit).await
    }

    /// Has a delivery sent again, under the same id.
    ///
    /// # Errors
    /// `delivery_not_found`.
    pub async fn send_again(&self, tenant: &TenantId, id: &str) -> Result<()> {
        self.0.outbox.send_again(tenant, id).await
    }
}

impl Inner {
    async fn tell_forever(&self, endpoint: &Endpoint) {
        complain(self.outbox.take_up(&endpoint.tenant, &endpoint.name).await);
        let hurry = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let telling = async {
            while !self.stop.is_cancelled() {
                let more = self.tell(endpoint).await.unwrap_or_else(|error| {
                    complain(Err(error));
                    false
                });
                if !more {
                    tokio::select! {
                        () = tokio::time::sleep(BEAT) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
            }
        };
        tokio::select! {
            () = telling => {}
            () = hurry => {}
        }
    }

    /// Sends what is due; whether there may be more.
    async fn tell(&self, endpoint: &Endpoint) -> Result<bool> {
        let due = self.outbox.due(&endpoint.tenant, &endpoint.name, TOGETHER).await?;
        let full = due.len() as i64 == TOGETHER;
        let each = |row| async move { complain(self.tell_one(endpoint, row).await) };
        futures::stream::iter(due).for_each_concurrent(AT_ONCE, each).await;
        Ok(full)
    }

    async fn tell_one(&self, endpoint: &Endpoint, mut row: Waiting) -> Result<()> {
        let until = Timestamp(self.clock.now().0 + LEASE_MS);
        if self.stop.is_cancelled() || !self.outbox.claim(&endpoint.tenant, &mut row, until).await? {
            return Ok(());
        }
        let tried = endpoint.attempt(&row, &self.clock).await;
        let (tenant, name, state) = (endpoint.tenant.to_string(), endpoint.name.clone(), tried.state);
        metrics::counter!(telemetry::EVENT_DELIVERIES, "tenant" => tenant, "endpoint" => name, "result" => state).increment(1);
        let problem = tried.problem.as_deref().unwrap_or_default();
        match state {
            "failed" => tracing::error!(endpoint = endpoint.name, id = row.event_id, problem, "an event could not be delivered"),
            // Once for a row; the log has the rest.
            "waiting" if row.attempts == 1 => {
                tracing::warn!(endpoint = endpoint.name, id = row.event_id, problem, "an event was not taken, trying on");
            }
            _ => {}
        }
        self.outbox.settle(&endpoint.tenant, &row, &tried).await
    }

    async fn sweep_forever(&self) {
        let mut beat = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                () = self.stop.cancelled() => return,
            }
            tokio::select! {
                outcome = self.sweep() => complain(outcome),
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn sweep(&self) -> Result<()> {
        let now = self.clock.now().0;
        let mut lost = self.outbox.give_up_before(Timestamp(now - GIVE_UP_MS)).await?;
        for endpoint in &self.endpoints {
            lost += self.outbox.give_up_beyond(&endpoint.tenant, &endpoint.name).await?;
        }
        if lost > 0 {
            tracing::error!(lost, "events were given up: they waited for too long, or too many of them");
        }
        self.outbox.forget_before(Timestamp(now - KEEP_MS)).await?;
        expiring::tell(&self.outbox, &self.knowledge, &self.endpoints, Timestamp(now)).await
    }
}

fn complain(outcome: Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(code = error.code(), causes = error.causes(), "webhooks: {error}");
    }
}
