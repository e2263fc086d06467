//! What a shop's own labelled questions say about its search: the weights and the threshold that
//! `kb eval --tune` found stand in for the configured ones, for this shop only.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::{Knowledge, Revision};
use crate::config::{Fusion, SearchConfig};
use crate::error::Result;
use crate::ids::TenantId;

pub mod store;

/// What is kept of a tuning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Tuning {
    /// How the legs are put together.
    #[cfg_attr(test, ts(type = "'weighted' | 'rrf'"))]
    pub fusion: Fusion,
    /// The lexical leg's share for entries with a question.
    pub lexical_weight: f32,
    /// Its share for entries that are found by their answer only.
    pub lexical_weight_bare: f32,
    /// Confidence below which the honest answer is "not found".
    pub grounded_threshold: f32,
    /// Labelled questions that it was chosen on.
    pub chosen_on: usize,
    /// nDCG@10 of those questions, each under what was chosen without it (cross-validation).
    pub held_out_ndcg10: f64,
}

impl Tuning {
    /// The configuration with this in place of what it says.
    pub fn over(&self, config: &SearchConfig) -> SearchConfig {
        SearchConfig {
            fusion: self.fusion,
            lexical_weight: self.lexical_weight,
            lexical_weight_bare: self.lexical_weight_bare,
            grounded_threshold: self.grounded_threshold,
            ..*config
        }
    }
}

/// The tunings of every shop that this process has learnt.
#[derive(Clone, Debug, Default)]
pub struct Tunings(Arc<RwLock<HashMap<TenantId, Option<Tuning>>>>);

impl Tunings {
    /// `None` when nothing is known of the shop yet.
    fn learnt(&self, tenant: &TenantId) -> Option<Option<Tuning>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant).copied()
    }

    fn set(&self, tenant: &TenantId, tuning: Option<Tuning>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), tuning);
    }
}

impl Knowledge {
    /// Weights and thresholds in force for a shop.
    pub async fn settings(&self, tenant: &TenantId) -> Result<SearchConfig> {
        let tuning = match self.tunings().learnt(tenant) {
            Some(tuning) => tuning,
            None => self.learn_tuning(tenant).await?,
        };
        Ok(tuning.map_or(*self.search_config(), |tuning| tuning.over(self.search_config())))
    }

    /// Takes over what is kept for a shop.
    pub(super) async fn learn_tuning(&self, tenant: &TenantId) -> Result<Option<Tuning>> {
        let tuning = self.store().tuning(tenant).await?;
        self.tunings().set(tenant, tuning);
        Ok(tuning)
    }

    /// Keeps a tuning for a shop, or with `None` goes back to what is configured.
    pub async fn keep_tuning(&self, tenant: &TenantId, tuning: Option<&Tuning>, by: &str) -> Result<Revision> {
        let revision = self.store().set_tuning(tenant, tuning, by).await?;
        self.nudge();
        Ok(revision)
    }
}
