//! Changing the embedder under way. The server makes the wanted vectors beside those that serve, some rows at a
//! time; what has one for its present content is never embedded again, so a process that was killed goes on
//! where it was. When no row lacks one, the follower puts the new space in the place of the old one. One process
//! of all that share a database does it. When the old embedder cannot be asked any more the new one serves at
//! once, and rows are found by their words until they have its vectors.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::store::{Filled, Place, Serving};
use super::{Due, Space};
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::index::PassageIndex;
use crate::knowledge::index::both::Index;
use crate::knowledge::list_store::Listing;
use crate::knowledge::owner::Owner;
use crate::knowledge::store::Renewal;
use crate::knowledge::{Knowledge, Revision, follow};
use crate::models::EmbedKind;

/// Entries looked at, and embedded, at once.
const LOOKED_AT: usize = 512;
const AT_ONCE: usize = 64;
/// Entries whose vectors are moved at once.
const MOVED: usize = 200;
/// How long to wait when there is nothing to do, and after a failure.
const IDLE: Duration = Duration::from_millis(300);
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long the old vectors stay where they were: other nodes may still follow by them.
const OTHERS_FOLLOW: i64 = 60_000;

/// What the process that makes vectors remembers.
pub(in crate::knowledge) struct Renewer {
    /// Held while it does.
    pub(super) lock: Owner,
    started: Timestamp,
    changing: Mutex<HashSet<TenantId>>,
}

impl Renewer {
    pub(in crate::knowledge) fn new(lock: Owner, started: Timestamp) -> Self {
        Self { lock, started, changing: Mutex::default() }
    }

    fn set(&self, tenant: &TenantId, changing: bool) {
        let mut all = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = if changing { all.insert(tenant.clone()) } else { all.remove(tenant) };
    }
}

/// How far the walk over a shop's rows is.
pub(super) struct Walk {
    place: Place,
    settled: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self { place: (0, EntryId::from_text("")), settled: false }
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
                Ok(busy) => {
                    failing = false;
                    if busy { Duration::ZERO } else { IDLE }
                }
                Err(error) if failing => {
                    tracing::debug!(%error, "still cannot make the missing vectors");
                    AFTER_FAILURE
                }
                Err(error) => {
                    failing = true;
                    tracing::error!(%error, causes = error.causes(), "cannot make the missing vectors; trying again");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// A step for every shop that needs one; whether there is more to do at once.
    async fn renew_some(&self, walks: &mut HashMap<TenantId, Walk>) -> Result<bool> {
        let (mut busy, mut idle) = (false, true);
        for (tenant, serving) in self.store().all_serving().await? {
            let walk = walks.entry(tenant.clone()).or_default();
            if walk.settled && !self.has_to_renew(&serving) {
                continue;
            }
            idle = false;
            if self.renewer().lock.take().await? {
                busy |= self.renew_tenant(&tenant, &serving, walk).await?;
            }
        }
        if idle {
            self.renewer().lock.release().await;
        }
        Ok(busy)
    }

    /// Whether this process has vectors to make for a shop. What was changed since it started was another's wish:
    /// nodes whose configurations differ do not change back and forth.
    fn has_to_renew(&self, serving: &Serving) -> bool {
        if serving.embedder == self.embedder().id() { serving.wanted.is_some() } else { serving.since <= self.renewer().started }
    }

    pub(super) async fn renew_tenant(&self, tenant: &TenantId, serving: &Serving, walk: &mut Walk) -> Result<bool> {
        let (wanted, changing) = (self.embedder().id(), serving.embedder != self.embedder().id());
        self.renewer().set(tenant, changing && self.has_to_renew(serving));
        if !self.has_to_renew(serving) {
            return self.settle_tenant(tenant, serving, walk).await;
        }
        walk.settled = false;
        if changing && self.spaces().open(serving).await.is_none() {
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
            self.spaces().put_due(tenant, Due::Filled(through));
            self.nudge();
        } else if self.store().all_renewed(tenant, wanted, through).await? {
            tracing::info!(%tenant, embedder = wanted, "every row has its vectors");
        }
        Ok(false)
    }

    /// Puts vectors that were made beside into their place, once nobody follows by the old ones.
    async fn settle_tenant(&self, tenant: &TenantId, serving: &Serving, walk: &mut Walk) -> Result<bool> {
        let due = serving.since.0 + OTHERS_FOLLOW <= self.clock().now().0;
        // Another process is making some.
        if serving.wanted.is_some() || !due {
            return Ok(false);
        }
        walk.settled = !self.store().settle(tenant, &serving.embedder, MOVED).await?;
        Ok(!walk.settled)
    }

    async fn embed_anew(&self, tenant: &TenantId, ids: &[EntryId]) -> Result<Vec<Filled>> {
        let rows = self.store().whole(tenant, ids).await?;
        let texts = rows.iter().flat_map(|(entry, passages)| passages.iter().map(|passage| follow::embedding_text(&entry.draft, passage)));
        let mut vectors = self.embedder().embed(texts.collect(), EmbedKind::Passage).await?.into_iter();
        let mut next = || vectors.next().and_then(follow::told);
        let filled = rows.into_iter().map(|(entry, passages)| Filled {
            vectors: passages.iter().map(|passage| (passage.seq, next())).collect(),
            id: entry.id,
            content_hash: entry.content_hash,
        });
        Ok(filled.collect())
    }

    /// Whether this process is replacing the embedder that serves a shop.
    pub(super) fn changes_embedder(&self, tenant: &TenantId) -> bool {
        self.renewer().changing.lock().unwrap_or_else(PoisonError::into_inner).contains(tenant)
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
        let space = self.coming(tenant)?;
        if self.serving(tenant).await?.embedder == space.embedder.id() {
            return Ok(());
        }
        // Rows behind `through` have no vector yet.
        self.fill_space(&space, tenant, Some(through)).await?;
        let wanted = space.embedder.id();
        if self.store().change_embedder(tenant, wanted, &self.spaces().source(), Some(through), false).await? {
            tracing::info!(%tenant, embedder = wanted, "the new vectors serve");
            self.put_in_place(tenant, space);
        }
        Ok(())
    }

    async fn change_at_once(&self, tenant: &TenantId) -> Result<()> {
        let (serving, wanted) = (self.serving(tenant).await?, self.embedder().id());
        if serving.embedder == wanted || !self.renewer().lock.owns() {
            return Ok(());
        }
        // The record first: from here on a vector that is made is told to the indexes.
        self.store().change_embedder(tenant, wanted, &self.spaces().source(), None, true).await?;
        tracing::warn!(%tenant, from = serving.embedder, to = wanted, "the new embedder serves at once; rows are found by their words until they have its vectors");
        let space = self.spaces().space(Arc::clone(self.embedder()))?;
        self.fill_space(&space, tenant, None).await?;
        self.put_in_place(tenant, space);
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

    /// Fills a space that nobody else fills: on a server it is this process that makes it.
    async fn fill_space(&self, space: &Space, tenant: &TenantId, through: Option<Revision>) -> Result<()> {
        let leg: &dyn PassageIndex = match &space.index {
            Index::Embedded { semantic, .. } => semantic,
            Index::Cluster { cluster, lexical, .. } => {
                cluster.prepare(tenant).await?;
                lexical
            }
        };
        self.follow(leg, space, tenant, through).await
    }

    fn put_in_place(&self, tenant: &TenantId, space: Arc<Space>) {
        self.spaces().set(tenant, space);
        self.spaces().coming.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        self.renewer().set(tenant, false);
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
