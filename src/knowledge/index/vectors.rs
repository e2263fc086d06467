//! The semantic leg in this process: every passage's vector in memory, compared one by one. Nothing is
//! on disk to tear, nothing is left out, and it is quick enough for tens of thousands of passages (the
//! measured time of a scan grows by about 12 ms per 100,000 passages of 256 numbers). Vectors are kept
//! as bytes (`packed.rs`), a quarter of what the database holds.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use super::packed::Packed;
use super::{BEST, COUNTED, Filter, LegQuery, NOTS, PassageIndex, SAME, Scored, best_per_entry, locale_key, market_key};
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::store::{Change, StoredPassage};
use crate::knowledge::{KnowledgeEntry, PassageKind, Revision};

/// Vectors of all tenants, each in its own shelf.
#[derive(Debug, Default)]
pub struct VectorIndex {
    shelves: RwLock<HashMap<TenantId, Arc<RwLock<Shelf>>>>,
}

#[derive(Debug, Default)]
struct Shelf {
    applied: Revision,
    entries: HashMap<EntryId, Item>,
}

#[derive(Debug)]
struct Item {
    market: Option<String>,
    locale: Option<String>,
    valid_from: Timestamp,
    valid_to: Timestamp,
    bare: bool,
    vectors: Packed,
    nots: Packed,
}

impl Item {
    fn passes(&self, filter: &Filter) -> bool {
        let same = |own: &Option<String>, wanted: &Option<String>, key: fn(&str) -> String| match (own, wanted) {
            (Some(own), Some(wanted)) => own == wanted || key(own) == key(wanted),
            _ => true,
        };
        self.valid_from <= filter.now
            && filter.now < self.valid_to
            && same(&self.market, &filter.market, market_key)
            && same(&self.locale, &filter.locale, locale_key)
    }

    fn best(&self, id: &EntryId, query: &[f32]) -> Option<Scored> {
        let mut three = [(0, f32::NEG_INFINITY); 3];
        for (seq, score) in self.vectors.cosines(query) {
            if score > three[2].1 {
                three[2] = (seq, score);
                three.sort_by(|a, b| b.1.total_cmp(&a.1));
            }
        }
        let there = &three[..self.vectors.len().min(3)];
        let (seq, score) = *there.first()?;
        let support = there.iter().map(|(_, score)| score).sum::<f32>() / there.len() as f32;
        Some(self.scored(id, seq, score, support))
    }

    fn scored(&self, id: &EntryId, seq: u32, score: f32, support: f32) -> Scored {
        Scored { entry: id.clone(), seq, score, support, market: self.market.clone(), bare: self.bare }
    }

    fn new(entry: &KnowledgeEntry, passages: &[StoredPassage]) -> Self {
        let of = |not: bool| passages.iter().filter(move |stored| (stored.passage.kind == PassageKind::Not) == not);
        Self {
            market: entry.draft.market.clone(),
            locale: entry.draft.locale.clone(),
            valid_from: entry.draft.valid_from.unwrap_or(Timestamp(i64::MIN)),
            valid_to: entry.draft.valid_to.unwrap_or(Timestamp(i64::MAX)),
            bare: entry.draft.phrasings().next().is_none(),
            vectors: of(false).filter_map(vector_of).collect(),
            nots: of(true).filter_map(vector_of).collect(),
        }
    }
}

impl Shelf {
    fn against(&self, query: &[f32], best: &[Scored]) -> Vec<Scored> {
        let nots = self.entries.iter().flat_map(|(id, item)| item.nots.cosines(query).map(move |(seq, score)| (score, id, item, seq)));
        let mut nearest: Vec<_> = nots.filter(|not| not.0 > 0.0).collect();
        let looked_at = NOTS.min(nearest.len());
        if looked_at == 0 {
            return Vec::new();
        }
        nearest.select_nth_unstable_by(looked_at - 1, |a, b| b.0.total_cmp(&a.0));
        nearest.truncate(looked_at);
        nearest.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        let answered: Vec<&Item> = best.iter().take(BEST).filter_map(|hit| self.entries.get(&hit.entry)).collect();
        let says_the_same = |not: &[f32]| answered.iter().any(|item| item.vectors.cosines(not).any(|(_, cosine)| cosine >= SAME));
        let counting = nearest.into_iter().filter(|(_, _, item, seq)| !item.nots.get(*seq).is_some_and(|not| says_the_same(&not)));
        counting.take(COUNTED).map(|(score, id, item, seq)| item.scored(id, seq, score, score)).collect()
    }
}

impl VectorIndex {
    /// Serves what was built in `beside` from now on.
    pub fn take_over(&self, tenant: &TenantId, beside: &Self) {
        let built = beside.shelves.write().unwrap_or_else(PoisonError::into_inner).remove(tenant).unwrap_or_default();
        self.shelves.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), built);
    }

    fn shelf(&self, tenant: &TenantId) -> Option<Arc<RwLock<Shelf>>> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    fn shelf_or_new(&self, tenant: &TenantId) -> Arc<RwLock<Shelf>> {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shelves.entry(tenant.clone()).or_default())
    }
}

#[async_trait]
impl PassageIndex for VectorIndex {
    async fn applied(&self, tenant: &TenantId) -> Result<Revision> {
        Ok(self.shelf(tenant).map_or(0, |shelf| shelf.read().unwrap_or_else(PoisonError::into_inner).applied))
    }

    async fn apply(&self, tenant: &TenantId, changes: &[Change], revision: Revision) -> Result<()> {
        let shelf = self.shelf_or_new(tenant);
        let mut shelf = shelf.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match &change.entry {
                None => drop(shelf.entries.remove(&change.id)),
                Some((entry, passages)) => {
                    shelf.entries.insert(change.id.clone(), Item::new(entry, passages));
                }
            }
        }
        shelf.applied = revision;
        Ok(())
    }

    async fn search(&self, tenant: &TenantId, query: &LegQuery, limit: usize) -> Result<Vec<Scored>> {
        let Some(shelf) = self.shelf(tenant).filter(|_| query.vector.iter().any(|&x| x != 0.0)) else {
            return Ok(Vec::new());
        };
        let query = query.clone();
        // A scan is pure computation: it belongs on a blocking thread once the shelf is large.
        let scan = move || {
            let shelf = shelf.read().unwrap_or_else(PoisonError::into_inner);
            let valid = shelf.entries.iter().filter(|(_, item)| item.passes(&query.filter));
            let scored = valid.filter_map(|(id, item)| item.best(id, &query.vector)).collect();
            best_per_entry(scored, limit)
        };
        Ok(tokio::task::spawn_blocking(scan).await?)
    }

    async fn score(&self, tenant: &TenantId, query: &LegQuery, entries: &[EntryId]) -> Result<Vec<Scored>> {
        let Some(shelf) = self.shelf(tenant) else { return Ok(Vec::new()) };
        let shelf = shelf.read().unwrap_or_else(PoisonError::into_inner);
        let items = entries.iter().filter_map(|id| shelf.entries.get(id).map(|item| (id, item)));
        Ok(items.filter_map(|(id, item)| item.best(id, &query.vector)).collect())
    }

    async fn against(&self, tenant: &TenantId, query: &LegQuery, best: &[Scored]) -> Result<Vec<Scored>> {
        let Some(shelf) = self.shelf(tenant) else { return Ok(Vec::new()) };
        let (vector, best) = (query.vector.clone(), best.to_vec());
        let look = move || shelf.read().unwrap_or_else(PoisonError::into_inner).against(&vector, &best);
        Ok(tokio::task::spawn_blocking(look).await?)
    }

    async fn clear(&self, tenant: &TenantId) -> Result<()> {
        self.shelves.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        Ok(())
    }
}

fn vector_of(stored: &StoredPassage) -> Option<(u32, &[f32])> {
    Some((stored.passage.seq, stored.vector.as_deref()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_contract_of_a_leg() {
        super::super::contract::holds(&VectorIndex::default()).await;
    }
}
