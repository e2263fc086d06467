//! The semantic leg in this process: every passage's vector in memory (`packed.rs`). Nothing is on disk to tear. A small
//! shop's rows are compared one by one; of a large one those whose sketches agree best with the question.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use async_trait::async_trait;

use super::packed::{Asked, COMPARED, Packed};
use super::{BEST, COUNTED, Filter, LegQuery, NOTS, PassageIndex, SAME, Scored, locale_key, market_key};
use crate::compute;
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::store::{Change, StoredPassage};
use crate::knowledge::{PassageKind, Revision};

/// Of phrasings that a row does not answer only those count that are close to the question, and these agree with it in
/// most signs: fewer are compared.
const COMPARED_NOTS: usize = 1_024;

/// Vectors of all tenants, each in its own shelf.
#[derive(Debug, Default)]
pub struct VectorIndex {
    shelves: RwLock<HashMap<TenantId, Arc<Kept>>>,
}

/// A shelf, and how far it has come: who asks for that only does not wait for the shelf.
#[derive(Debug, Default)]
struct Kept {
    applied: AtomicI64,
    shelf: RwLock<Shelf>,
}

impl Kept {
    fn read(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, changes: &[Change], revision: Revision) {
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        changes.iter().for_each(|change| shelf.apply(change));
        shelf.compact();
        self.applied.store(revision, Ordering::Release);
    }
}

/// A tenant's entries, each in a slot of its own by which its rows name it.
#[derive(Debug, Default)]
struct Shelf {
    slots: HashMap<EntryId, u32>,
    items: Vec<Option<Item>>,
    /// Of each slot, side by side: a filter looks at all of them.
    gates: Vec<Gate>,
    /// How many of them are bounded.
    bounded: usize,
    markets: Names,
    locales: Names,
    free: Vec<u32>,
    vectors: Packed,
    nots: Packed,
}

/// What a filter asks of an entry.
#[derive(Clone, Copy, Debug)]
struct Gate {
    market: u32,
    locale: u32,
    /// It begins or ends to be valid at some time.
    bounded: bool,
}

/// Numbers of words; 0 is none.
#[derive(Debug, Default)]
struct Names(HashMap<String, u32>);

impl Names {
    fn number(&mut self, name: Option<String>) -> u32 {
        let next = self.0.len() as u32 + 1;
        name.map_or(0, |name| *self.0.entry(name).or_insert(next))
    }

    /// By its number, whether an entry with this name passes.
    fn wanted(&self, name: Option<String>) -> Vec<bool> {
        let mut wanted = vec![name.is_none(); self.0.len() + 1];
        wanted[0] = true;
        if let Some(&number) = name.and_then(|name| self.0.get(&name)) {
            wanted[number as usize] = true;
        }
        wanted
    }
}

#[derive(Debug)]
struct Item {
    id: EntryId,
    market: Option<String>,
    valid_from: Timestamp,
    valid_to: Timestamp,
    bare: bool,
    /// Where its rows are.
    vectors: Range<usize>,
    nots: Range<usize>,
}

/// The best three rows of an entry.
#[derive(Clone, Copy)]
struct Best {
    seq: u32,
    scores: [f32; 3],
    rows: usize,
}

impl Default for Best {
    fn default() -> Self {
        Self { seq: 0, scores: [f32::NEG_INFINITY; 3], rows: 0 }
    }
}

impl Best {
    fn add(&mut self, seq: u32, score: f32) {
        self.rows += 1;
        let [first, second, third] = self.scores;
        if score > first {
            (self.seq, self.scores) = (seq, [score, first, second]);
        } else if score > second {
            self.scores = [first, score, second];
        } else if score > third {
            self.scores[2] = score;
        }
    }

    fn support(&self) -> f32 {
        let there = &self.scores[..self.rows.min(3)];
        there.iter().sum::<f32>() / there.len() as f32
    }
}

impl Item {
    fn is_valid_at(&self, now: Timestamp) -> bool {
        self.valid_from <= now && now < self.valid_to
    }

    fn scored(&self, seq: u32, score: f32, support: f32) -> Scored {
        Scored { entry: self.id.clone(), seq, score, support, market: self.market.clone(), bare: self.bare }
    }
}

impl Shelf {
    fn apply(&mut self, change: &Change) {
        if let Some(slot) = self.slots.remove(&change.id)
            && let Some(item) = self.items[slot as usize].take()
        {
            self.vectors.remove(item.vectors);
            self.nots.remove(item.nots);
            self.bounded -= usize::from(self.gates[slot as usize].bounded);
            self.free.push(slot);
        }
        let Some((entry, passages)) = &change.entry else { return };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            self.gates.push(Gate { market: 0, locale: 0, bounded: false });
            (self.items.len() - 1) as u32
        });
        self.gates[slot as usize] = Gate {
            market: self.markets.number(entry.draft.market.as_deref().map(market_key)),
            locale: self.locales.number(entry.draft.locale.as_deref().map(locale_key)),
            bounded: entry.draft.valid_from.is_some() || entry.draft.valid_to.is_some(),
        };
        self.bounded += usize::from(self.gates[slot as usize].bounded);
        let of = |not: bool| passages.iter().filter(move |stored| (stored.passage.kind == PassageKind::Not) == not).filter_map(vector_of);
        self.items[slot as usize] = Some(Item {
            id: change.id.clone(),
            market: entry.draft.market.clone(),
            valid_from: entry.draft.valid_from.unwrap_or(Timestamp(i64::MIN)),
            valid_to: entry.draft.valid_to.unwrap_or(Timestamp(i64::MAX)),
            bare: entry.draft.phrasings().next().is_none(),
            vectors: self.vectors.add(slot, of(false)),
            nots: self.nots.add(slot, of(true)),
        });
        self.slots.insert(change.id.clone(), slot);
    }

    fn compact(&mut self) {
        for (slot, rows) in self.vectors.compact().into_iter().flatten() {
            if let Some(item) = &mut self.items[slot as usize] {
                item.vectors = rows;
            }
        }
        for (slot, rows) in self.nots.compact().into_iter().flatten() {
            if let Some(item) = &mut self.items[slot as usize] {
                item.nots = rows;
            }
        }
    }

    fn item(&self, slot: u32) -> Option<&Item> {
        self.items.get(slot as usize)?.as_ref()
    }

    /// By its slot, whether an entry may be found; none when all may.
    fn may(&self, filter: &Filter) -> Option<Vec<bool>> {
        if filter.market.is_none() && filter.locale.is_none() && self.bounded == 0 {
            return None;
        }
        let markets = self.markets.wanted(filter.market.as_deref().map(market_key));
        let locales = self.locales.wanted(filter.locale.as_deref().map(locale_key));
        let valid = |item: &Option<Item>| item.as_ref().is_some_and(|item| item.is_valid_at(filter.now));
        let may =
            |(gate, item): (&Gate, _)| markets[gate.market as usize] && locales[gate.locale as usize] && (!gate.bounded || valid(item));
        Some(self.gates.iter().zip(&self.items).map(may).collect())
    }

    /// The best entries that may be found, best first, ties by id so that an answer is repeatable.
    fn search(&self, query: &[f32], filter: &Filter, limit: usize) -> Vec<Scored> {
        let Some(asked) = self.vectors.asked(query) else { return Vec::new() };
        let near = match self.may(filter) {
            Some(may) => self.vectors.near(&asked, COMPARED, |slot| may[slot as usize]),
            None => self.vectors.near(&asked, COMPARED, |_| true),
        };
        let mut best: Vec<(f32, u32)> = Vec::with_capacity(near.len());
        let cosines = self.vectors.cosines(&near, &asked);
        for ((_, slot), cosine) in near.into_iter().zip(cosines) {
            match best.last_mut() {
                Some((most, last)) if *last == slot => *most = most.max(cosine),
                _ => best.push((cosine, slot)),
            }
        }
        let id = |slot: u32| self.item(slot).map(|item| &item.id);
        let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then_with(|| id(a.1).cmp(&id(b.1)));
        if limit > 0 && limit < best.len() {
            best.select_nth_unstable_by(limit - 1, order);
        }
        best.truncate(limit);
        // With all of their rows: the sketches may have left out an entry's best.
        let mut best: Vec<Scored> = best.into_iter().filter_map(|(_, slot)| self.scored(slot, &asked)).collect();
        best.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.entry.cmp(&b.entry)));
        best
    }

    /// An entry with the best of its passages.
    fn scored(&self, slot: u32, asked: &Asked) -> Option<Scored> {
        let item = self.item(slot).filter(|item| !item.vectors.is_empty())?;
        let mut best = Best::default();
        item.vectors.clone().for_each(|row| best.add(self.vectors.seq(row), self.vectors.cosine(row, asked)));
        Some(item.scored(best.seq, best.scores[0], best.support()))
    }

    fn score(&self, query: &[f32], entries: &[EntryId]) -> Vec<Scored> {
        let Some(asked) = self.vectors.asked(query) else { return Vec::new() };
        entries.iter().filter_map(|id| self.scored(*self.slots.get(id)?, &asked)).collect()
    }

    fn against(&self, query: &[f32], best: &[Scored]) -> Vec<Scored> {
        let Some(asked) = self.nots.asked(query) else { return Vec::new() };
        let near = self.nots.near(&asked, COMPARED_NOTS, |_| true);
        let cosines = self.nots.cosines(&near, &asked);
        let nots = near.into_iter().zip(cosines);
        let nots = nots.filter_map(|((row, slot), cosine)| Some((cosine, row, self.item(slot)?)));
        let mut nearest: Vec<_> = nots.filter(|not| not.0 > 0.0).collect();
        let looked_at = NOTS.min(nearest.len());
        if looked_at == 0 {
            return Vec::new();
        }
        nearest.select_nth_unstable_by(looked_at - 1, |a, b| b.0.total_cmp(&a.0));
        nearest.truncate(looked_at);
        nearest.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.2.id.cmp(&b.2.id)));
        let answered = best.iter().take(BEST).filter_map(|hit| self.item(*self.slots.get(&hit.entry)?));
        let answered: Vec<usize> = answered.flat_map(|item| item.vectors.clone()).collect();
        let says_the_same = |row: usize| {
            let not = self.vectors.asked(&self.nots.vector(row));
            not.is_some_and(|not| answered.iter().any(|&row| self.vectors.cosine(row, &not) >= SAME))
        };
        let counting = nearest.into_iter().filter(|(_, row, _)| !says_the_same(*row));
        counting.take(COUNTED).map(|(score, row, item)| item.scored(self.nots.seq(row), score, score)).collect()
    }
}

impl VectorIndex {
    /// Serves what was built in `beside` from now on.
    pub fn take_over(&self, tenant: &TenantId, beside: &Self) {
        let built = beside.shelves.write().unwrap_or_else(PoisonError::into_inner).remove(tenant).unwrap_or_default();
        self.shelves.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), built);
    }

    fn kept(&self, tenant: &TenantId) -> Option<Arc<Kept>> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    fn kept_or_new(&self, tenant: &TenantId) -> Arc<Kept> {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shelves.entry(tenant.clone()).or_default())
    }
}

#[async_trait]
impl PassageIndex for VectorIndex {
    async fn applied(&self, tenant: &TenantId) -> Result<Revision> {
        Ok(self.kept(tenant).map_or(0, |kept| kept.applied.load(Ordering::Acquire)))
    }

    async fn apply(&self, tenant: &TenantId, changes: &[Change], revision: Revision) -> Result<()> {
        let (kept, changes) = (self.kept_or_new(tenant), changes.to_vec());
        // Waits for searches under way, and new ones for it.
        Ok(tokio::task::spawn_blocking(move || kept.apply(&changes, revision)).await?)
    }

    async fn search(&self, tenant: &TenantId, query: &LegQuery, limit: usize) -> Result<Vec<Scored>> {
        let Some(kept) = self.kept(tenant).filter(|_| query.vector.iter().any(|&x| x != 0.0)) else {
            return Ok(Vec::new());
        };
        let (vector, filter) = (query.vector.clone(), query.filter.clone());
        compute::run(move || kept.read().search(&vector, &filter, limit)).await
    }

    async fn score(&self, tenant: &TenantId, query: &LegQuery, entries: &[EntryId]) -> Result<Vec<Scored>> {
        let Some(kept) = self.kept(tenant).filter(|_| !entries.is_empty()) else { return Ok(Vec::new()) };
        let (vector, entries) = (query.vector.clone(), entries.to_vec());
        compute::run(move || kept.read().score(&vector, &entries)).await
    }

    async fn against(&self, tenant: &TenantId, query: &LegQuery, best: &[Scored]) -> Result<Vec<Scored>> {
        // Many shops have no such phrasing: that is seen without waiting for a thread, or for who writes.
        let none = |kept: &Arc<Kept>| kept.shelf.try_read().is_ok_and(|shelf| shelf.nots.is_empty());
        let Some(kept) = self.kept(tenant).filter(|kept| !none(kept)) else { return Ok(Vec::new()) };
        let (vector, best) = (query.vector.clone(), best.to_vec());
        compute::run(move || kept.read().against(&vector, &best)).await
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

    #[test]
    fn only_what_a_filter_or_a_time_may_keep_out_is_looked_at() {
        use super::super::contract::change;
        let (mut shelf, now) = (Shelf::default(), Filter { now: Timestamp(50), ..Filter::default() });
        shelf.apply(&change("a", "押金", 0, 1, |draft| draft.market = Some("SG".into())));
        assert_eq!(shelf.may(&now), None);
        assert_eq!(shelf.may(&Filter { market: Some("MY".into()), ..now.clone() }), Some(vec![false]));
        shelf.apply(&change("b", "运费", 1, 2, |draft| draft.valid_to = Some(Timestamp(50))));
        assert_eq!((shelf.may(&now), shelf.bounded), (Some(vec![true, false]), 1));
        shelf.apply(&change("b", "运费", 1, 3, |_| {}));
        assert_eq!((shelf.may(&now), shelf.bounded), (None, 0));
        shelf.apply(&change("b", "运费", 1, 4, |draft| draft.valid_from = Some(Timestamp(60))));
        shelf.apply(&Change { id: EntryId::from_text("b"), revision: 5, entry: None });
        assert_eq!((shelf.may(&now), shelf.bounded), (None, 0), "what is gone bounds nothing");
    }
}
