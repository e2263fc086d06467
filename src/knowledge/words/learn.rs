//! Takes over a shop's words when they change. While the lexical index is built again with the new
//! words beside the old one, questions are still answered with the old words and the old index.

use std::sync::Arc;

use super::store::StoredWords;
use super::{Terms, Words};
use crate::error::Result;
use crate::ids::TenantId;
use crate::knowledge::embedders::Space;
use crate::knowledge::index::both::Index;
use crate::knowledge::{Knowledge, Revision};

impl Knowledge {
    /// A shop's words, with who set them.
    pub async fn words(&self, tenant: &TenantId) -> Result<StoredWords> {
        self.store().words(tenant).await
    }

    /// Replaces a shop's words, with `seen` only those of that revision. They take effect when the follower has
    /// built the lexical index again.
    ///
    /// # Errors
    /// `bad_words`, `words_changed`.
    pub async fn set_words(&self, tenant: &TenantId, words: Words, seen: Option<Revision>, by: &str) -> Result<(Words, Revision)> {
        let words = words.checked()?;
        let revision = self.store().set_words(tenant, &words, seen, by).await?;
        self.nudge();
        Ok((words, revision))
    }

    /// The words that questions of this shop are cut with now.
    pub(in crate::knowledge) async fn terms(&self, tenant: &TenantId) -> Result<Arc<Terms>> {
        if let Some(terms) = self.vocabulary().learnt(tenant) {
            return Ok(terms);
        }
        let terms = Arc::new(Terms::new(&self.store().words(tenant).await?.words));
        self.vocabulary().set(tenant, Arc::clone(&terms));
        Ok(terms)
    }

    /// Looks whether the shop's words have changed, and if so takes them over with an index that was
    /// built with them.
    pub(in crate::knowledge) async fn learn_words(&self, tenant: &TenantId, space: &Space) -> Result<()> {
        let Some(known) = self.vocabulary().learnt(tenant) else { return self.terms(tenant).await.map(drop) };
        let terms = Terms::new(&self.store().words(tenant).await?.words);
        if terms.fingerprint() == known.fingerprint() {
            return Ok(());
        }
        tracing::info!(%tenant, "the shop's words have changed: building its lexical index again");
        let terms = Arc::new(terms);
        match &space.index {
            Index::Cluster { cluster, .. } => {
                let beside = cluster.beside(tenant, terms);
                let (leg, _) = beside.legs();
                if self.owns_index() {
                    self.follow(&leg, space, tenant, None).await?;
                } else {
                    self.wait_for_owner(&leg, space, tenant).await?;
                }
                cluster.take_over(tenant, &beside);
                Ok(())
            }
            Index::Embedded { lexical, .. } if self.owns_index() => {
                let beside = lexical.beside(tenant, terms)?;
                self.follow(&beside, space, tenant, None).await?;
                lexical.take_over(tenant, &beside)
            }
            Index::Embedded { .. } => {
                self.vocabulary().set(tenant, terms);
                self.reopen_lexical();
                Ok(())
            }
        }
    }
}
