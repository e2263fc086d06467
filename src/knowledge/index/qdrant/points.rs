//! A row as points of the collection, and what is asked for as filters and queries (pure). A piece of an
//! answer is a point with both vectors; a phrasing, and one that the row does not answer, has the dense one
//! only. A shop has one point more, the mark, which says how far its points have followed the database.

use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::{
    Condition, Filter as Conditions, IdfParams, NamedVectors, PointId, PointStruct, Query, QueryPoints, Range, ScoredPoint, SearchParams,
    Value, Vector, VectorInput, Vectors,
};
use sha2::{Digest, Sha256};

use super::super::{Filter, LegQuery, Scored, locale_key, market_key};
use super::sparse::{self, Field, Sparse};
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::store::StoredPassage;
use crate::knowledge::words::Terms;
use crate::knowledge::{KnowledgeEntry, PassageKind, Revision};

/// The vectors' names.
pub const DENSE: &str = "dense";
pub const SPARSE: &str = "sparse";
/// What of a point a hit needs.
const TOLD: [&str; 4] = ["entry", "seq", "market", "bare"];
/// Times beyond these are "always": the server compares them as floating point numbers.
const EVER: i64 = 1 << 52;
/// What the mark is, among the kinds of passages.
const MARK: &str = "mark";

/// Whose points: a shop's, cut with its words as they are.
#[derive(Clone, Debug)]
pub struct Scope {
    tenant: String,
    words: String,
}

impl Scope {
    /// Of a shop whose texts are cut with these words.
    pub fn new(tenant: &TenantId, terms: &Terms) -> Self {
        let words = if terms.fingerprint().is_empty() { "plain" } else { terms.fingerprint() };
        Self { tenant: tenant.as_str().to_owned(), words: words.to_owned() }
    }

    fn conditions(&self) -> Vec<Condition> {
        vec![Condition::matches("tenant", self.tenant.clone()), Condition::matches("words", self.words.clone())]
    }

    fn payload(&self, kind: &str) -> Vec<(&'static str, Value)> {
        vec![("tenant", self.tenant.as_str().into()), ("words", self.words.as_str().into()), ("kind", kind.into())]
    }

    /// The same for the same passage, so that writing it again replaces it.
    fn id(&self, entry: &str, seq: &str) -> PointId {
        let hash = Sha256::digest([&self.tenant, &self.words, entry, seq].join("\0"));
        let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into()
    }

    /// The mark's id.
    pub fn mark_id(&self) -> PointId {
        self.id("", MARK)
    }

    /// The mark of a revision. It has neither vector, so no search finds it.
    pub fn mark(&self, revision: Revision) -> PointStruct {
        let mut payload = self.payload(MARK);
        payload.push(("revision", revision.into()));
        point(self.mark_id(), NamedVectors::default(), payload)
    }

    /// Points of these entries but for those just written.
    pub fn replaced(&self, entries: &[EntryId], written: Vec<PointId>) -> Conditions {
        let mut must = self.conditions();
        must.push(of_entries(entries));
        let written = (!written.is_empty()).then(|| Condition::has_id(written));
        Conditions { must, must_not: written.into_iter().collect(), ..Conditions::default() }
    }

    /// Pieces of answers: what the words of a question are looked for in.
    pub fn pieces(&self) -> Conditions {
        let mut must = self.conditions();
        must.push(Condition::matches("kind", PassageKind::Body.as_str().to_owned()));
        Conditions::must(must)
    }

    /// The shop's points that were cut with other words.
    pub fn of_other_words(&self) -> Conditions {
        Conditions {
            must: vec![Condition::matches("tenant", self.tenant.clone())],
            must_not: vec![Condition::matches("words", self.words.clone())],
            ..Conditions::default()
        }
    }

    /// All that passages of these kinds may be found of, where `entries` says so only of those.
    fn found(&self, filter: &Filter, kinds: &[PassageKind], entries: Option<&[EntryId]>) -> Conditions {
        let mut must = self.conditions();
        must.push(Condition::matches("kind", kinds.iter().map(|kind| kind.as_str().to_owned()).collect::<Vec<_>>()));
        let now = filter.now.0 as f64;
        must.push(Condition::range("valid_from", Range { lte: Some(now), ..Range::default() }));
        must.push(Condition::range("valid_to", Range { gt: Some(now), ..Range::default() }));
        let wanted = [("market", filter.market.as_deref().map(market_key)), ("locale", filter.locale.as_deref().map(locale_key))];
        must.extend(wanted.into_iter().filter_map(|(field, key)| Some(Condition::matches(field, vec![String::new(), key?]))));
        must.extend(entries.map(of_entries));
        Conditions::must(must)
    }

    /// Pieces of answers by the question's words.
    pub fn by_words(&self, query: &LegQuery, entries: Option<&[EntryId]>, limit: usize) -> QueryPoints {
        let filter = self.found(&query.filter, &[PassageKind::Body], entries);
        let sparse = sparse::question(&query.tokens, &query.grams);
        QueryPoints { params: Some(self.corpus()), ..ask(SPARSE, sparse_input(sparse), filter, limit) }
    }

    /// Phrasings, pieces and sentences by the question's vector; of given entries all, compared exactly.
    pub fn by_vector(&self, query: &LegQuery, entries: Option<&[EntryId]>, limit: usize) -> QueryPoints {
        let filter = self.found(&query.filter, &[PassageKind::Phrasing, PassageKind::Body, PassageKind::Sentence], entries);
        let params = entries.map(|_| SearchParams { exact: Some(true), ..SearchParams::default() });
        QueryPoints { params, ..ask(DENSE, VectorInput::new_dense(query.vector.clone()), filter, limit) }
    }

    /// Phrasings that rows do not answer, by the question's vector.
    pub fn by_not(&self, query: &LegQuery, limit: usize) -> QueryPoints {
        // Whenever valid: as in this process, a row that is not served still tells what is no question of it.
        let mut must = self.conditions();
        must.push(Condition::matches("kind", PassageKind::Not.as_str().to_owned()));
        let asked = ask(DENSE, VectorInput::new_dense(query.vector.clone()), Conditions::must(must), limit);
        QueryPoints { with_vectors: Some(vec![DENSE].into()), ..asked }
    }

    /// The vectors of given entries' passages, the nearest to the question first.
    pub fn vectors_of(&self, query: &LegQuery, entries: &[EntryId], limit: usize) -> QueryPoints {
        QueryPoints { with_vectors: Some(vec![DENSE].into()), ..self.by_vector(query, Some(entries), limit) }
    }

    /// The piece that has most of one word: its score over its own value is how much the word tells.
    pub fn with_word(&self, word: &str) -> QueryPoints {
        let asked = ask(SPARSE, sparse_input(vec![(sparse::word(word), 1.0)]), self.pieces(), 1);
        QueryPoints { params: Some(self.corpus()), with_vectors: Some(vec![SPARSE].into()), ..asked }
    }

    /// Words tell as much as they do in this shop's own texts, not in everybody's.
    fn corpus(&self) -> SearchParams {
        SearchParams { idf: Some(IdfParams { corpus: Some(self.pieces()) }), ..SearchParams::default() }
    }

    /// A row's points; vectors of another length than the collection's are left out.
    pub fn points(&self, entry: &KnowledgeEntry, passages: &[StoredPassage], terms: &Terms, dimensions: usize) -> Vec<PointStruct> {
        let draft = &entry.draft;
        let cut = |texts: &mut dyn Iterator<Item = &String>| {
            let mut field = Field::default();
            for text in texts {
                field.words.extend(terms.tokens(text));
                field.grams.extend(terms.grams(text));
            }
            field
        };
        let title = cut(&mut draft.phrasings());
        let mut points = Vec::with_capacity(passages.len());
        for stored in passages {
            let passage = &stored.passage;
            let mut vectors = NamedVectors::default();
            if let Some(dense) = stored.vector.as_ref().filter(|vector| vector.len() == dimensions) {
                vectors.vectors.insert(DENSE.to_owned(), Vector::from(dense.clone()));
            }
            if passage.kind == PassageKind::Body {
                let sparse = sparse::document(&title, &cut(&mut std::iter::once(&passage.text)).damped());
                if !sparse.is_empty() {
                    vectors.vectors.insert(SPARSE.to_owned(), Vector::from(sparse));
                }
            }
            if vectors.vectors.is_empty() {
                continue;
            }
            let ever = |at: Option<Timestamp>, otherwise: i64| at.map_or(otherwise, |at| at.0.clamp(-EVER, EVER));
            let mut payload = self.payload(passage.kind.as_str());
            payload.extend([
                ("entry", entry.id.as_str().into()),
                ("seq", i64::from(passage.seq).into()),
                ("market", draft.market.as_deref().map(market_key).unwrap_or_default().into()),
                ("locale", draft.locale.as_deref().map(locale_key).unwrap_or_default().into()),
                ("valid_from", ever(draft.valid_from, -EVER).into()),
                ("valid_to", ever(draft.valid_to, EVER).into()),
                ("bare", draft.phrasings().next().is_none().into()),
            ]);
            points.push(point(self.id(entry.id.as_str(), &passage.seq.to_string()), vectors, payload));
        }
        points
    }
}

/// All of a shop's points.
pub fn of_tenant(tenant: &TenantId) -> Conditions {
    Conditions::must([Condition::matches("tenant", tenant.as_str().to_owned())])
}

/// The mark when it still says what it said before.
pub fn unmoved(revision: Revision) -> Conditions {
    Conditions::must([Condition::matches("revision", revision)])
}

/// The revision that a mark says.
pub fn revision_of(payload: &std::collections::HashMap<String, Value>) -> Option<Revision> {
    match payload.get("revision")?.kind.as_ref()? {
        Kind::IntegerValue(revision) => Some(*revision),
        _ => None,
    }
}

/// A hit; none when the point is not one of ours.
pub fn scored(point: &ScoredPoint) -> Option<Scored> {
    let text = |key: &str| match point.payload.get(key)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.as_str()),
        _ => None,
    };
    let seq = match point.payload.get("seq")?.kind.as_ref()? {
        Kind::IntegerValue(seq) => u32::try_from(*seq).ok()?,
        _ => return None,
    };
    let bare = matches!(point.payload.get("bare").and_then(|value| value.kind.as_ref()), Some(Kind::BoolValue(true)));
    Some(Scored {
        entry: EntryId::from_text(text("entry")?),
        seq,
        score: point.score,
        support: point.score,
        market: text("market").filter(|market| !market.is_empty()).map(str::to_owned),
        bare,
    })
}

fn of_entries(entries: &[EntryId]) -> Condition {
    Condition::matches("entry", entries.iter().map(|entry| entry.as_str().to_owned()).collect::<Vec<_>>())
}

fn sparse_input(sparse: Sparse) -> VectorInput {
    let (dimensions, values): (Vec<u32>, Vec<f32>) = sparse.into_iter().unzip();
    VectorInput::new_sparse(dimensions, values)
}

/// The collection is named by who sends it.
fn ask(vector: &str, nearest: VectorInput, filter: Conditions, limit: usize) -> QueryPoints {
    QueryPoints {
        query: Some(Query::from(nearest)),
        using: Some(vector.to_owned()),
        filter: Some(filter),
        limit: Some(limit as u64),
        with_payload: Some(TOLD.to_vec().into()),
        ..QueryPoints::default()
    }
}

fn point(id: PointId, vectors: NamedVectors, payload: Vec<(&'static str, Value)>) -> PointStruct {
    let payload = payload.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    PointStruct { id: Some(id), vectors: Some(Vectors::from(vectors)), payload }
}
