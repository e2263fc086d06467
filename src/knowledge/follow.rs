//! Brings each index up to the latest revision. The same loop is start-up recovery, the CLI importing
//! while the server runs, and `reindex`: the database is the truth, indexes ask "what changed since".
//! One process at a time writes the index folder; the others read what it has committed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::embedders::Space;
use super::index::PassageIndex;
use super::index::both::Index;
use super::index::vectors::VectorIndex;
use super::{Knowledge, PassageKind, Revision};
use crate::error::{Error, Result};
use crate::ids::TenantId;

/// How often a server looks for another process's commit.
const POLL: Duration = Duration::from_millis(200);
/// How many entries are taken over at once.
const BATCH: usize = 2_000;
/// How long a reader waits for the process that owns the index.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a writer waits for its own change to be found, and how often it looks.
const SETTLE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

impl Knowledge {
    /// Brings every tenant's indexes to the latest revision, or waits until the process that owns
    /// the index folder has done so. A shop that fails holds up no other: its error is told when all had their turn.
    pub async fn catch_up(&self) -> Result<Revision> {
        let latest = self.store().revision().await?;
        let mut failed = None;
        for tenant in self.store().tenants().await? {
            if let Err(error) = self.catch_up_tenant(&tenant).await {
                if error.code() == "index_unreachable" {
                    // The server is every shop's, and each would wait for it anew.
                    return Err(error);
                }
                tracing::debug!(%tenant, %error, "cannot follow a shop's knowledge");
                failed.get_or_insert(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.saw_revision(latest);
        Ok(latest)
    }

    async fn catch_up_tenant(&self, tenant: &TenantId) -> Result<()> {
        self.learn_embedder(tenant).await?;
        let space = self.space(tenant)?;
        if let Some(cluster) = space.index.cluster()
            && self.try_own_index().await?
        {
            cluster.prepare(tenant).await?;
        }
        self.learn_words(tenant, &space).await?;
        self.learn_tuning(tenant).await?;
        let (lexical, semantic) = (space.index.lexical(), space.index.semantic());
        let words = async {
            match self.owns_index() {
                true => self.follow(lexical, &space, tenant, None).await,
                false => self.wait_for_owner(lexical, &space, tenant).await,
            }
        };
        let vectors = async {
            match space.index.cluster() {
                // On a server the two are one.
                Some(_) => Ok(()),
                None => self.follow(semantic, &space, tenant, None).await,
            }
        };
        // Side by side, and both to their end: what one has begun to take over is not left in the middle.
        let (words, vectors) = tokio::join!(words, vectors);
        words.and(vectors)?;
        self.note_markets(tenant).await?;
        self.set_ready(tenant);
        Ok(())
    }

    /// Applies what changed since the leg's revision, batch by batch, as the embedder of its space sees it; no
    /// further than `through`, where there is one.
    pub(super) async fn follow(&self, leg: &dyn PassageIndex, space: &Space, tenant: &TenantId, through: Option<Revision>) -> Result<()> {
        let newest = self.store().tenant_revision(tenant).await?;
        let applied = leg.applied(tenant).await?;
        // Asked again: the leg of a server may have followed what was committed in between.
        if applied > newest && applied > self.store().tenant_revision(tenant).await? {
            // The database was replaced by an older copy of itself: what was followed is void.
            leg.clear(tenant).await?;
        }
        loop {
            let after = leg.applied(tenant).await?;
            let mut changes = self.store().changes(tenant, space.embedder.id(), after, BATCH).await?;
            changes.retain(|change| through.is_none_or(|through| change.revision <= through));
            let Some(last) = changes.last() else { return Ok(()) };
            leg.apply(tenant, &changes, last.revision).await?;
        }
    }

    /// Waits until the owner has brought the leg up, or brings it up itself when there is none any more.
    pub(super) async fn wait_for_owner(&self, leg: &dyn PassageIndex, space: &Space, tenant: &TenantId) -> Result<()> {
        let newest = self.store().tenant_revision(tenant).await?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.reopen_lexical();
            let applied = match leg.applied(tenant).await {
                Ok(applied) => applied,
                Err(error) if error.code() == "index_not_ready" => 0,
                Err(error) => return Err(error),
            };
            if applied >= newest {
                return Ok(());
            }
            if self.try_own_index().await? {
                return self.follow(leg, space, tenant, None).await;
            }
            if tokio::time::Instant::now() > deadline {
                return Err(index_behind());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until searches see a revision, a few seconds at most: who has just written should find it,
    /// but what is written stays written while an index lags behind.
    pub async fn settle(&self, revision: Revision) {
        let deadline = tokio::time::Instant::now() + SETTLE;
        while self.revision_seen() < revision && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Follows the database, and makes vectors that are missing, until told to stop (the server's background
    /// loop).
    pub async fn follow_forever(&self, stop: CancellationToken) {
        tokio::join!(self.keep_following(&stop), self.renew_forever(&stop));
    }

    /// An error is logged and tried again: a full disk that has room again heals by itself.
    async fn keep_following(&self, stop: &CancellationToken) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
                () = self.nudged() => {}
            }
            // A shop whose index fails keeps no other from its new vectors.
            let (followed, changed) = (self.follow_once().await, self.change_as_due().await);
            match followed.and(changed) {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!(%error, "still cannot follow the knowledge"),
                Err(error) => {
                    failing = true;
                    tracing::error!(%error, causes = error.causes(), "cannot follow the knowledge; trying again");
                    tokio::time::sleep(POLL * 5).await;
                }
            }
        }
    }

    async fn follow_once(&self) -> Result<()> {
        let rebuilt = self.rebuild_as_wished().await;
        // A tenant that was added since has no revision of its own yet, and is ready all the same.
        let added = self.store().tenants().await?.iter().any(|tenant| !self.ready(tenant));
        if added || self.store().revision().await? != self.revision_seen() || self.should_look() {
            self.catch_up().await?;
            if self.owns_index() {
                for cluster in self.spaces().home.clusters() {
                    cluster.sweep().await?;
                }
            }
        }
        rebuilt
    }

    /// Throws the tenant's indexes away and builds them again from the database. Beside a running
    /// server the server does it, because the index folder is its own; this waits until it has.
    ///
    /// # Errors
    /// `index_behind` when the server has not done it in time.
    pub async fn reindex(&self, tenant: &TenantId) -> Result<Revision> {
        if !self.try_own_index().await? {
            let space = self.space(tenant)?;
            if space.index.cluster().is_some() {
                // The owner may be on another machine; it finds the index empty and fills it again.
                space.index.lexical().clear(tenant).await?;
                return self.catch_up().await;
            }
            return self.ask_owner_to_rebuild(tenant).await;
        }
        self.rebuild(tenant).await?;
        self.renew_to_the_end(tenant).await?;
        self.catch_up().await
    }

    /// What serves goes on serving until the new indexes have everything.
    async fn rebuild(&self, tenant: &TenantId) -> Result<()> {
        self.learn_embedder(tenant).await?;
        let space = self.space(tenant)?;
        match &space.index {
            Index::Embedded { lexical, semantic } => {
                let (words, vectors) = (lexical.beside(tenant, self.terms(tenant).await?)?, VectorIndex::default());
                self.follow(&words, &space, tenant, None).await?;
                self.follow(&vectors, &space, tenant, None).await?;
                lexical.take_over(tenant, &words)?;
                semantic.take_over(tenant, &vectors);
            }
            Index::Cluster { lexical, .. } => lexical.clear(tenant).await?,
        }
        self.catch_up_tenant(tenant).await
    }

    /// A file in the index folder is the wish; the owner takes it away when it is fulfilled.
    async fn ask_owner_to_rebuild(&self, tenant: &TenantId) -> Result<Revision> {
        let wish = self.rebuild_wish(tenant);
        std::fs::write(&wish, "")?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while wish.exists() {
            if tokio::time::Instant::now() > deadline {
                return Err(index_behind());
            }
            tokio::time::sleep(POLL).await;
        }
        self.catch_up().await
    }

    async fn rebuild_as_wished(&self) -> Result<()> {
        if !self.owns_index() {
            return Ok(());
        }
        let mut rebuilt = Ok(());
        for tenant in self.store().tenants().await? {
            let wish = self.rebuild_wish(&tenant);
            if wish.exists() {
                tracing::info!(%tenant, "building the indexes again, as `kb reindex` asked");
                match self.rebuild(&tenant).await {
                    Ok(()) => std::fs::remove_file(wish)?,
                    Err(error) => rebuilt = rebuilt.and(Err(error)),
                }
            }
        }
        rebuilt
    }
}

fn index_behind() -> Error {
    Error::unavailable(
        "index_behind",
        "The server that owns this data directory has not caught up with the latest change. Try again in a moment.",
    )
}

/// What is embedded for a passage: a piece of an answer is embedded together with its question, so
/// that it is found by what it is about.
pub fn embedding_text(question: &str, passage: &super::Passage) -> String {
    let text = match passage.kind {
        PassageKind::Body if !question.is_empty() => format!("{question}\n{}", passage.text),
        _ => passage.text.clone(),
    };
    super::text::normalise(&text)
}

/// The vectors of an entry's passages as they are searched: a sentence lies between itself and the piece it is
/// from, because alone it does not say what it is about.
pub fn in_context(passages: &[super::Passage], vectors: Vec<Vec<f32>>) -> Vec<Option<Vec<f32>>> {
    let mut vectors: Vec<Option<Vec<f32>>> = vectors.into_iter().map(told).collect();
    for at in 0..vectors.len().min(passages.len()) {
        let sentence = &passages[at];
        if sentence.kind != PassageKind::Sentence {
            continue;
        }
        let holds = |piece: &super::Passage| piece.kind == PassageKind::Body && piece.text.contains(&sentence.text);
        let whole = passages.iter().position(holds).and_then(|piece| vectors.get(piece)?.clone());
        vectors[at] = match (vectors[at].take(), whole) {
            (Some(own), Some(whole)) => told(super::search::middle(vec![own, whole])),
            (own, whole) => own.or(whole),
        };
    }
    vectors
}

/// An all-zero vector (no known token) is kept as none.
pub fn told(vector: Vec<f32>) -> Option<Vec<f32>> {
    vector.iter().any(|&x| x != 0.0).then_some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};
    use crate::db::Db;
    use crate::ids::Clock;
    use crate::knowledge::{EntryDraft, KnowledgeParts, Query};
    use crate::models::embed;
    use crate::tenants::Tenants;

    #[tokio::test]
    async fn a_shop_whose_leg_fails_holds_up_no_other_and_heals() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::load(None, &Overrides::default()).unwrap();
        let db = Db::open("", folder.path()).await.unwrap();
        let index_dir = folder.path().join("index");
        let parts = KnowledgeParts {
            db: db.clone(),
            clock: Clock::system(),
            embedder: embed::open(&config.embedder).unwrap(),
            embedding: config.embedder.clone(),
            reranker: None,
            index_dir: index_dir.clone(),
            index: config.index_place(),
            search: config.search,
        };
        let knowledge = Knowledge::open(parts).await.unwrap();
        // In the order of the follower: the one that fails comes first.
        let [broken, sound] = ["broken", "sound"].map(|name| TenantId::parse(name).unwrap());
        for tenant in [&broken, &sound] {
            Tenants::new(db.clone(), Clock::system()).add(tenant, "Shop").await.unwrap();
            let draft = EntryDraft { question: "仓库几点关门？".into(), answer: "十八点。".into(), ..EntryDraft::default() };
            knowledge.add(tenant, draft, false, "test").await.unwrap();
        }
        let newest = knowledge.store().revision().await.unwrap();
        let finds = async |tenant: &TenantId| {
            let asked = Query { text: "仓库几点关门".into(), top: 3, ..Query::default() };
            knowledge.search(tenant, &asked).await.unwrap().hits.len()
        };

        // No folder of words can be made where a file lies.
        std::fs::write(index_dir.join("broken"), "in the way").unwrap();
        for _ in 0..2 {
            knowledge.follow_once().await.unwrap_err();
            assert!(knowledge.ready(&sound) && !knowledge.ready(&broken));
            assert!(knowledge.revision_seen() < newest, "not followed");
        }
        assert_eq!(finds(&sound).await, 1);
        let semantic = knowledge.space(&broken).unwrap();
        let behind = knowledge.store().tenant_revision(&broken).await.unwrap();
        assert_eq!(semantic.index.semantic().applied(&broken).await.unwrap(), behind, "its other leg went to its end");

        std::fs::remove_file(index_dir.join("broken")).unwrap();
        knowledge.follow_once().await.unwrap();
        assert!(knowledge.ready(&broken));
        assert_eq!((knowledge.revision_seen(), finds(&broken).await), (newest, 1), "healed in the next round");
    }
}
