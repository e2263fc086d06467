//! Changing the embedder under way. The server makes the wanted vectors beside those that serve, some rows at a
//! time; what has one for its present content is never embedded again, so a process that was killed goes on
//! where it was. When no row lacks one, the follower puts the new space in the place of the old one. One process
//! of all that share a database does it. When the old embedder cannot be asked any more the new one serves at
//! once, and rows are found by their words until they have its vectors.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::store::{Filled, Place, Serving};
use super::{Due, Space};
use crate::compute;
use crate::error::{Error, Result};
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::list_store::Listing;
use crate::knowledge::owner::Owner;
use crate::knowledge::store::Renewal;
use crate::knowledge::{Knowledge, Passage, Revision, follow};
use crate::models::EmbedKind;

/// Entries looked at, and embedded, at once.
const LOOKED_AT: usize = 512;
const AT_ONCE: usize = 64;
/// Entries whose vectors are moved at once.
const MOVED: usize = 200;
/// Between steps, so that who wants to write gets a turn.
const BREATH: Duration = Duration::from_millis(10);
/// How long to wait when there is nothing to do, while another process does it, and after a failure.
const IDLE: Duration = Duration::from_millis(300);
const OTHERS: Duration = Duration::from_secs(2);
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Failures in a row after which an embedder that is being replaced is not asked again.
const GIVES_UP: u32 = 3;
/// How long the old vectors stay where they were: other nodes may still follow by them.
const OTHERS_FOLLOW: i64 = 60_000;

/// What the process that makes vectors remembers.
pub(in crate::knowledge) struct Renewer {
    /// Held while it does.
    pub(super) lock: Owner,
    started: Timestamp,
    /// Shops whose embedder is to be replaced by the configured one, with how often it failed lately.
    changing: Mutex<HashMap<TenantId, u32>>,
}

impl Renewer {
    pub(in crate::knowledge) fn new(lock: Owner, started: Timestamp) -> Self {
        Self { lock, started, changing: Mutex::default() }
    }

    fn changing(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, u32>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, tenant: &TenantId, changing: bool) {
        if changing {
            self.changing().entry(tenant.clone()).or_default();
        } else {
            self.changing().remove(tenant);
        }
    }

    pub(super) fn changes(&self, tenant: &TenantId) -> bool {
        self.changing().contains_key(tenant)
    }

    pub(super) fn gave_up(&self, tenant: &TenantId) -> bool {
        self.changing().get(tenant).is_some_and(|failures| *failures >= GIVES_UP)
    }

    /// Notes how an embedder that is being replaced answered; whether it is given up for it.
    pub(super) fn note(&self, tenant: &TenantId, error: Option<&Error>) -> bool {
        let mut changing = self.changing();
        let Some(failures) = changing.get_mut(tenant) else { return false };
        *failures = match error {
            None => 0,
            Some(error) if error.code() == "embedder_refused" => GIVES_UP,
            Some(_) => *failures + 1,
        };
        *failures >= GIVES_UP
    }
}

/// How far the walk over a shop's rows is.
pub(super) struct Walk {
    place: Place,
    settled: bool,
    /// Since when that serves which did when the walk began: another one needs another walk.
    serving_since: Option<Timestamp>,
    /// After a failure it rests.
    failed: Option<Instant>,
}

impl Default for Walk {
    fn default() -> Self {
        Self { place: (0, EntryId::from_text("")), settled: false, serving_since: None, failed: None }
    }
}

impl Walk {
    fn is_of(&mut self, serving: &Serving) {
        if self.serving_since != Some(serving.since) {
            *self = Self { serving_since: Some(serving.since), ..Self::default() };
        }
    }

    fn rests(&self) -> bool {
        self.failed.is_some_and(|at| at.elapsed() < AFTER_FAILURE)
    }
}

impl Knowledge {
    /// Makes what vectors are missing until told to stop.
    pub(in crate::knowledge) async fn renew_forever(&self, stop: &CancellationToken) {
        let mut walks = HashMap::new();
        let mut failing = false;
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                done = self.renew_some(&mut walks) => done,
            };
            let pause = match done {
                Ok(pause) => {
                    failing = false;
                    pause
                }
                Err(error) if failing => {
                    tracing::debug!(%error, "still cannot look for missing vectors");
                    AFTER_FAILURE
                }
                Err(error) => {
                    failing = true;
                    tracing::error!(%error, causes = error.causes(), "cannot look for missing vectors; trying again");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// A step for every shop that needs one; how long to wait before the next.
    async fn renew_some(&self, walks: &mut HashMap<TenantId, Walk>) -> Result<Duration> {
        let mut due = Vec::new();
        for (tenant, serving) in self.store().all_serving().await? {
            let renews = self.has_to_renew(&serving);
            self.renewer().set(&tenant, renews && serving.embedder != self.embedder().id());
            let walk = walks.entry(tenant.clone()).or_default();
            walk.is_of(&serving);
            if renews || self.has_to_settle(&serving, walk) {
                due.push((tenant, serving));
            }
        }
        if due.is_empty() {
            self.renewer().lock.release().await;
            return Ok(IDLE);
        }
        if !self.renewer().lock.take().await? {
            return Ok(OTHERS);
        }
        let mut busy = false;
        for (tenant, serving) in due {
            let walk = walks.entry(tenant.clone()).or_default();
            // A shop that fails holds up no other.
            if walk.rests() {
                continue;
            }
            let again = walk.failed.is_some();
            match self.renew_tenant(&tenant, &serving, walk).await {
                Ok(more) => {
                    walk.failed = None;
                    busy |= more;
                }
                Err(error) => {
                    walk.failed = Some(Instant::now());
                    if again {
                        tracing::debug!(%tenant, %error, "still cannot make the missing vectors");
                    } else {
                        tracing::error!(%tenant, %error, causes = error.causes(), "cannot make the missing vectors; trying again");
                    }
                }
            }
        }
        Ok(if busy { BREATH } else { IDLE })
    }

    /// Whether this process has vectors to make for a shop. What was changed or wished since it started was
    /// another's: nodes whose configurations differ do not change back and forth.
    fn has_to_renew(&self, serving: &Serving) -> bool {
        let (own, started) = (self.embedder().id(), self.renewer().started);
        let anothers = |wanted: &str| wanted != own && wanted != serving.embedder;
        if serving.wanted.as_deref().is_some_and(anothers) && serving.wanted_since > started {
            return false;
        }
        if serving.embedder == own { serving.wanted.is_some() } else { serving.since <= started }
    }

    /// Whether vectors that were made beside may be put into their place: nobody makes any, and nobody follows by
    /// the old ones any more.
    fn has_to_settle(&self, serving: &Serving, walk: &Walk) -> bool {
        !walk.settled && serving.wanted.is_none() && serving.since.0 + OTHERS_FOLLOW <= self.clock().now().0
    }

    /// One step; whether there is more to do at once.
    pub(super) async fn renew_tenant(&self, tenant: &TenantId, serving: &Serving, walk: &mut Walk) -> Result<bool> {
        if !self.has_to_renew(serving) {
            walk.settled = !self.store().settle(tenant, &serving.embedder, MOVED).await?;
            return Ok(!walk.settled);
        }
        let (wanted, changing) = (self.embedder().id(), serving.embedder != self.embedder().id());
        self.renewer().set(tenant, changing);
        walk.settled = false;
        if changing && (self.renewer().gave_up(tenant) || self.spaces().open(serving).await.is_none()) {
            self.spaces().put_due(tenant, Due::GivenUp);
            self.nudge();
            return Ok(false);
        }
        if serving.wanted.as_deref() != Some(wanted) {
            self.store().want_embedder(tenant, wanted).await?;
            tracing::info!(%tenant, from = serving.embedder, to = wanted, "the embedder was changed: making the new vectors");
        }
        let window = self.store().lacking(tenant, wanted, &walk.place, LOOKED_AT).await?;
        for some in window.lacking.chunks(AT_ONCE) {
            let rows = self.embed_anew(tenant, some).await?;
            if !(changing && self.store().keep_beside(tenant, wanted, &rows).await?) {
                self.store().renew(tenant, wanted, &rows).await?;
                self.nudge();
            }
        }
        if let Some(place) = window.last {
            walk.place = place;
            return Ok(true);
        }
        let through = walk.place.0;
        if changing {
            self.fill_coming(tenant, through).await?;
            self.spaces().put_due(tenant, Due::Filled(through));
            self.nudge();
        } else if self.store().all_renewed(tenant, wanted, through).await? {
            tracing::info!(%tenant, embedder = wanted, "every row has its vectors");
        }
        Ok(false)
    }

    async fn embed_anew(&self, tenant: &TenantId, ids: &[EntryId]) -> Result<Vec<Filled>> {
        let rows = self.store().texts(tenant, ids).await?;
        let texts = rows.iter().flat_map(|row| row.passages.iter().map(|passage| follow::embedding_text(&row.question, passage)));
        let mut vectors = compute::behind(self.embedder().embed(texts.collect(), EmbedKind::Passage)).await?.into_iter();
        let mut own = |passages: &[Passage]| follow::in_context(passages, vectors.by_ref().take(passages.len()).collect());
        let filled = rows.into_iter().map(|row| Filled {
            vectors: row.passages.iter().map(|passage| passage.seq).zip(own(&row.passages)).collect(),
            id: row.id,
            content_hash: row.content_hash,
        });
        Ok(filled.collect())
    }

    /// Puts new spaces in the place of old ones, where they are ready. The follower does it, so that nobody
    /// follows in between.
    pub(in crate::knowledge) async fn change_as_due(&self) -> Result<()> {
        for (tenant, due) in self.spaces().take_due() {
            match due {
                Due::Filled(through) => self.change_over(&tenant, through).await?,
                Due::GivenUp => self.change_at_once(&tenant).await?,
            }
        }
        Ok(())
    }

    async fn change_over(&self, tenant: &TenantId, through: Revision) -> Result<()> {
        // While another space is being filled this waits for the next time, and follows meanwhile.
        let Ok(_moving) = self.spaces().moving.try_lock() else { return Ok(()) };
        let wanted = self.embedder().id();
        if self.serving(tenant).await?.embedder == wanted {
            self.spaces().forget_coming(tenant);
            return Ok(());
        }
        let space = self.coming(tenant)?;
        let filled = through.min(self.store().tenant_revision(tenant).await?);
        if space.index.semantic().applied(tenant).await? < filled {
            return Ok(());
        }
        if self.store().change_embedder(tenant, wanted, &self.spaces().source(), Some(through), false).await? {
            tracing::info!(%tenant, embedder = wanted, "the new vectors serve");
            self.spaces().replace(tenant, space).await;
            self.renewer().set(tenant, false);
        }
        Ok(())
    }

    async fn change_at_once(&self, tenant: &TenantId) -> Result<()> {
        let (serving, wanted) = (self.serving(tenant).await?, self.embedder().id());
        if serving.embedder == wanted || !self.renewer().lock.owns() {
            return Ok(());
        }
        let _moving = self.spaces().moving.lock().await;
        // The record first: from here on a vector that is made is told to the indexes.
        self.store().change_embedder(tenant, wanted, &self.spaces().source(), None, true).await?;
        tracing::warn!(%tenant, from = serving.embedder, to = wanted, "the new embedder serves at once; rows are found by their words until they have its vectors");
        self.learn_embedder(tenant).await?;
        self.renewer().set(tenant, false);
        Ok(())
    }

    /// The space that is filled while another serves.
    fn coming(&self, tenant: &TenantId) -> Result<Arc<Space>> {
        let mut coming = self.spaces().coming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = coming.get(tenant) {
            return Ok(Arc::clone(space));
        }
        let space = self.spaces().space(Arc::clone(self.embedder()))?;
        coming.insert(tenant.clone(), Arc::clone(&space));
        Ok(space)
    }

    /// Fills the coming space, so that putting it in place takes no time. Nobody else fills it: on a server it is
    /// this process that makes the collection, and its owner follows once it serves.
    async fn fill_coming(&self, tenant: &TenantId, through: Revision) -> Result<()> {
        let _moving = self.spaces().moving.lock().await;
        if self.serving(tenant).await?.embedder == self.embedder().id() {
            return Ok(());
        }
        let space = self.coming(tenant)?;
        if let Some(cluster) = space.index.cluster() {
            cluster.prepare(tenant).await?;
        }
        // On a server the two legs are one.
        self.follow(space.index.semantic(), &space, tenant, Some(through)).await
    }

    /// Makes what vectors are missing for one shop, to the end, unless another process does; for commands that
    /// run without a server.
    pub(in crate::knowledge) async fn renew_to_the_end(&self, tenant: &TenantId) -> Result<()> {
        let mut walk = Walk::default();
        loop {
            let serving = self.serving(tenant).await?;
            if !self.has_to_renew(&serving) || !self.renewer().lock.take().await? {
                self.renewer().lock.release().await;
                return Ok(());
            }
            self.renew_tenant(tenant, &serving, &mut walk).await?;
            self.change_as_due().await?;
        }
    }

    /// How far new vectors of a shop are, while some are being made.
    pub async fn renewal(&self, tenant: &TenantId) -> Result<Option<Renewal>> {
        let Some(embedder) = self.serving(tenant).await?.wanted else { return Ok(None) };
        let of = self.store().listed_count(tenant, &Listing::default()).await?;
        let lacking = self.store().count_lacking(tenant, &embedder).await?;
        Ok((lacking > 0).then(|| Renewal { embedder, done: of.saturating_sub(lacking), of }))
    }
}
