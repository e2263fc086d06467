//! Indexes are followers of the database: each leg keeps, per tenant, passages up to the revision it
//! has applied, and can always be thrown away and built again. Both legs report their own scores, so
//! that fusion, the decision and the trace are one piece of code whatever stands behind the trait.

use async_trait::async_trait;

use super::store::Change;
use super::{Revision, text};
use crate::error::Result;
use crate::ids::{EntryId, TenantId, Timestamp};

pub mod both;
pub mod lexical;
mod packed;
pub mod qdrant;
pub mod vectors;

/// Two phrasings this close say the same: a `not` of one row is no evidence against a row that it is a
/// question of.
const SAME: f32 = 0.85;
/// How many of the nearest `not` phrasings are looked at, and how many of those that count are told.
const NOTS: usize = 24;
const COUNTED: usize = 5;
/// How many of the best hits a `not` phrasing is compared with.
const BEST: usize = 10;

/// What a leg is asked with; each leg uses its part.
#[derive(Clone, Debug, Default)]
pub struct LegQuery {
    /// The question's words (`text::tokens`).
    pub tokens: Vec<String>,
    /// Its pieces of characters (`text::grams`).
    pub grams: Vec<String>,
    /// The question's vector, all zero when it has none.
    pub vector: Vec<f32>,
    /// Which entries may be found.
    pub filter: Filter,
}

/// Which entries may be found.
#[derive(Clone, Debug)]
pub struct Filter {
    /// This market and entries of none; `None` does not filter.
    pub market: Option<String>,
    /// This locale and entries of none; `None` does not filter.
    pub locale: Option<String>,
    /// Valid at this time.
    pub now: Timestamp,
}

/// What spellings of a market have in common: `sg` and `SG` are one.
pub fn market_key(market: &str) -> String {
    text::normalise(market)
}

/// The language of a tag: `zh-CN` and `zh` are one.
pub fn locale_key(locale: &str) -> String {
    let normal = text::normalise(locale);
    normal.split(['-', '_']).next().unwrap_or_default().to_owned()
}

impl Default for Filter {
    fn default() -> Self {
        Self { market: None, locale: None, now: Timestamp(0) }
    }
}

/// An entry with its best passage in one leg.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The entry.
    pub entry: EntryId,
    /// Its passage.
    pub seq: u32,
    /// The leg's own score; higher is better.
    pub score: f32,
    /// The mean score of its three best passages; the same as `score` where a leg has one per entry.
    pub support: f32,
    /// The market the entry is for.
    pub market: Option<String>,
    /// The entry has no question of its own and is found by its answer only.
    pub bare: bool,
}

impl Scored {
    /// A hit for every market on an entry with a question.
    #[cfg(test)]
    pub fn plain(entry: &str, score: f32) -> Self {
        Self { entry: EntryId::from_text(entry), seq: 0, score, support: score, market: None, bare: false }
    }
}

/// One retrieval leg.
#[async_trait]
pub trait PassageIndex: Send + Sync {
    /// The revision this leg has followed to, 0 for none.
    async fn applied(&self, tenant: &TenantId) -> Result<Revision>;
    /// Takes over changes (in revision order) and remembers the revision, both or neither.
    async fn apply(&self, tenant: &TenantId, changes: &[Change], revision: Revision) -> Result<()>;
    /// The best entries, best first, one passage each.
    async fn search(&self, tenant: &TenantId, query: &LegQuery, limit: usize) -> Result<Vec<Scored>>;
    /// This leg's scores of given entries, those it can score.
    async fn score(&self, tenant: &TenantId, query: &LegQuery, entries: &[EntryId]) -> Result<Vec<Scored>>;
    /// Forgets everything of the tenant.
    async fn clear(&self, tenant: &TenantId) -> Result<()>;
    /// The nearest phrasings that some entry is said *not* to answer, nearest first, leaving out those
    /// that say the same as a passage of one of the `best` hits; a leg that does not know says none.
    async fn against(&self, _tenant: &TenantId, _query: &LegQuery, _best: &[Scored]) -> Result<Vec<Scored>> {
        Ok(Vec::new())
    }
    /// How much each of the words tells (BM25's idf); a leg that does not know says nothing.
    async fn weights(&self, _tenant: &TenantId, _tokens: &[String]) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }
}

/// Keeps each entry's best passage; best entries first, ties by id so that an answer is repeatable.
pub(crate) fn best_per_entry(mut scored: Vec<Scored>, limit: usize) -> Vec<Scored> {
    scored.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.entry.cmp(&b.entry)).then(a.seq.cmp(&b.seq)));
    let mut seen = std::collections::HashSet::new();
    scored.retain(|hit| seen.insert(hit.entry.clone()));
    scored.truncate(limit);
    scored
}

/// The same assertions for every implementation of the seam.
#[cfg(test)]
pub(crate) mod contract {
    use super::*;
    use crate::knowledge::store::StoredPassage;
    use crate::knowledge::{EntryDraft, KnowledgeEntry, Passage, PassageKind, text};

    fn unit(direction: usize) -> Vec<f32> {
        let mut vector = vec![0.0; 4];
        vector[direction] = 1.0;
        vector
    }

    pub fn change(id: &str, question: &str, direction: usize, revision: Revision, edit: impl FnOnce(&mut EntryDraft)) -> Change {
        let mut draft = EntryDraft { question: question.into(), answer: "…".into(), ..Default::default() };
        edit(&mut draft);
        let entry = KnowledgeEntry {
            id: EntryId::from_text(id),
            draft,
            content_hash: String::new(),
            revision,
            created: Timestamp(0),
            updated: Timestamp(0),
        };
        let passage = Passage { seq: 0, kind: PassageKind::Body, text: question.into() };
        let stored = StoredPassage { passage, vector: Some(unit(direction)) };
        Change { id: entry.id.clone(), revision, entry: Some((entry, vec![stored])) }
    }

    fn ask(question: &str, direction: usize) -> LegQuery {
        LegQuery {
            tokens: text::tokens(question),
            grams: text::grams(question),
            vector: unit(direction),
            filter: Filter { now: Timestamp(50), ..Default::default() },
        }
    }

    async fn found(index: &dyn PassageIndex, tenant: &TenantId, query: &LegQuery) -> Vec<String> {
        let hits = index.search(tenant, query, 10).await.unwrap();
        hits.into_iter().filter(|hit| hit.score > 0.0).map(|hit| hit.entry.to_string()).collect()
    }

    /// Follows, filters, replaces, deletes, forgets; never crosses tenants.
    pub async fn holds(index: &dyn PassageIndex) {
        let (shop, other) = (TenantId::parse("shop").unwrap(), TenantId::parse("other").unwrap());
        assert_eq!(index.applied(&shop).await.unwrap(), 0);
        let changes = [
            change("deposit", "保证金多少", 0, 1, |_| {}),
            change("customs", "清关资料", 1, 1, |draft| (draft.market, draft.locale) = (Some("CN".into()), Some("zh".into()))),
            change("past", "旧的保证金", 2, 2, |draft| draft.valid_to = Some(Timestamp(50))),
            change("coming", "新的保证金", 3, 2, |draft| draft.valid_from = Some(Timestamp(51))),
        ];
        index.apply(&shop, &changes, 2).await.unwrap();
        assert_eq!(index.applied(&shop).await.unwrap(), 2);
        assert_eq!(found(index, &shop, &ask("保证金", 0)).await, ["deposit"]);
        assert!(found(index, &other, &ask("保证金", 0)).await.is_empty(), "another tenant sees nothing");
        assert!(found(index, &shop, &ask("旧的", 2)).await.is_empty(), "an expired entry is not served");
        assert!(found(index, &shop, &ask("新的", 3)).await.is_empty(), "a coming entry is not served yet");
        let mut elsewhere = ask("清关", 1);
        elsewhere.filter.market = Some("SG".into());
        assert!(found(index, &shop, &elsewhere).await.is_empty(), "another market's entry");
        elsewhere.filter.market = Some("CN".into());
        assert_eq!(found(index, &shop, &elsewhere).await, ["customs"]);
        elsewhere.filter.market = Some("cn".into());
        elsewhere.filter.locale = Some("ZH-cn".into());
        assert_eq!(found(index, &shop, &elsewhere).await, ["customs"], "however the market and the language are written");
        elsewhere.filter.locale = Some("en".into());
        assert!(found(index, &shop, &elsewhere).await.is_empty(), "another language's entry");

        let scored = index.score(&shop, &ask("保证金", 0), &[EntryId::from_text("deposit")]).await.unwrap();
        assert_eq!(scored.len(), 1);

        index.apply(&shop, &[change("deposit", "押金规则", 2, 3, |_| {})], 3).await.unwrap();
        assert_eq!(found(index, &shop, &ask("押金", 2)).await.first().map(String::as_str), Some("deposit"));
        assert!(!found(index, &shop, &ask("保证金", 0)).await.contains(&"deposit".to_owned()), "the old text is gone");
        index.apply(&shop, &[Change { id: EntryId::from_text("deposit"), revision: 4, entry: None }], 4).await.unwrap();
        assert!(!found(index, &shop, &ask("押金", 2)).await.contains(&"deposit".to_owned()));
        index.clear(&shop).await.unwrap();
        assert_eq!(index.applied(&shop).await.unwrap(), 0);
        assert!(found(index, &shop, &ask("清关", 1)).await.is_empty());
    }
}
