//! One tenant's BM25 index: its fields, how a row becomes documents, how a question becomes a query.

use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::collector::TopDocs;
use tantivy::columnar::{Column, StrColumn};
use tantivy::query::{BooleanQuery, BoostQuery, ConstScoreQuery, Occur, Query, RangeQuery, TermQuery, TermSetQuery};
use tantivy::schema::{FAST, Field, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::{DocId, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, SegmentReader, TantivyDocument, Term};

use super::super::{Filter, LegQuery, Scored, best_per_entry, locale_key, market_key};
use crate::error::{Error, Result};
use crate::ids::EntryId;
use crate::knowledge::store::Change;
use crate::knowledge::words::Terms;
use crate::knowledge::{KnowledgeEntry, Passage, PassageKind, Revision, text};

/// Memory of a writer while it applies changes; it is dropped afterwards.
const WRITER_BYTES: usize = 30_000_000;
/// What a word in the question's phrasing counts, against one in the answer.
const TITLE_BOOST: f32 = 1.0;
const BODY_BOOST: f32 = 0.7;
/// What a gram counts, against a word (measured: 0.3 to 0.6 gain alike on five sets).
const GRAM_BOOST: f32 = 0.5;
/// An entry has several passages; this many documents are taken for each entry that is wanted.
const PASSAGES_PER_ENTRY: usize = 4;
/// The longest question that is searched with, in distinct words and as many grams; the rest adds time
/// and no meaning.
const MOST_WORDS: usize = 128;

/// An open index.
pub(super) struct Shelf {
    index: Index,
    reader: IndexReader,
    fields: Fields,
    /// The shop's words that its rows were cut with.
    terms: Arc<Terms>,
    applied: Mutex<Revision>,
}

#[derive(Clone, Copy)]
pub(super) struct Fields {
    entry: Field,
    seq: Field,
    market: Field,
    locale: Field,
    valid_from: Field,
    valid_to: Field,
    bare: Field,
    title: Field,
    body: Field,
    title_grams: Field,
    body_grams: Field,
}

impl Shelf {
    /// Over an index that has followed to `applied`.
    pub fn new(index: Index, fields: Fields, terms: Arc<Terms>, applied: Revision) -> Result<Self> {
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(broken)?;
        Ok(Self { index, reader, fields, terms, applied: Mutex::new(applied) })
    }

    /// The shop's words that its rows are cut with.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The revision it has followed to.
    pub fn applied(&self) -> Revision {
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over changes and remembers the payload, both or neither.
    pub fn apply(&self, changes: &[Change], revision: Revision, payload: &str) -> Result<()> {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer: IndexWriter = self.index.writer_with_num_threads(1, WRITER_BYTES).map_err(broken)?;
        for change in changes {
            writer.delete_term(Term::from_field_text(self.fields.entry, change.id.as_str()));
            if let Some((entry, passages)) = &change.entry {
                for stored in passages.iter().filter(|stored| stored.passage.kind == PassageKind::Body) {
                    writer.add_document(self.document(entry, &stored.passage)).map_err(broken)?;
                }
            }
        }
        let mut commit = writer.prepare_commit().map_err(broken)?;
        commit.set_payload(payload);
        commit.commit().map_err(broken)?;
        writer.wait_merging_threads().map_err(broken)?;
        self.reader.reload().map_err(broken)?;
        *applied = revision;
        Ok(())
    }

    fn document(&self, entry: &KnowledgeEntry, passage: &Passage) -> TantivyDocument {
        let draft = &entry.draft;
        let mut document = TantivyDocument::new();
        document.add_text(self.fields.entry, entry.id.as_str());
        document.add_u64(self.fields.seq, u64::from(passage.seq));
        document.add_text(self.fields.market, draft.market.as_deref().map(market_key).unwrap_or_default());
        document.add_text(self.fields.locale, draft.locale.as_deref().map(locale_key).unwrap_or_default());
        document.add_i64(self.fields.valid_from, draft.valid_from.map_or(i64::MIN, |at| at.0));
        document.add_i64(self.fields.valid_to, draft.valid_to.map_or(i64::MAX, |at| at.0));
        document.add_u64(self.fields.bare, u64::from(draft.phrasings().next().is_none()));
        let terms = &self.terms;
        let title = |cut: fn(&Terms, &str) -> Vec<String>| draft.phrasings().flat_map(|phrasing| cut(terms, phrasing)).collect::<Vec<_>>();
        document.add_text(self.fields.title, title(Terms::tokens).join(" "));
        document.add_text(self.fields.title_grams, title(Terms::grams).join(" "));
        document.add_text(self.fields.body, text::damped(terms.tokens(&passage.text)).join(" "));
        document.add_text(self.fields.body_grams, text::damped(terms.grams(&passage.text)).join(" "));
        document
    }

    /// The best entries, or those of `only` that match.
    pub fn search(&self, query: &LegQuery, only: Option<&[EntryId]>, limit: usize) -> Result<Vec<Scored>> {
        if query.tokens.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let searcher = self.reader.searcher();
        let documents = limit.saturating_mul(PASSAGES_PER_ENTRY);
        let top = TopDocs::with_limit(documents).order_by_score();
        let found = searcher.search(&self.query(query, only), &top).map_err(broken)?;
        let columns = searcher.segment_readers().iter().map(Columns::of).collect::<Result<Vec<_>>>()?;
        let scored = found.into_iter().map(|(score, at)| columns[at.segment_ord as usize].scored(score, at.doc_id));
        Ok(best_per_entry(scored.collect::<Result<_>>()?, limit))
    }

    /// How much each word tells.
    pub fn weights(&self, tokens: &[String]) -> Result<Vec<f32>> {
        let searcher = self.reader.searcher();
        tokens.iter().map(|token| self.idf(&searcher, token)).collect()
    }

    /// BM25's idf as in Lucene: ln(1 + (N - n + 0.5) / (n + 0.5)).
    fn idf(&self, searcher: &Searcher, word: &str) -> Result<f32> {
        let with = |field| searcher.doc_freq(&Term::from_field_text(field, word)).map_err(broken);
        let with = with(self.fields.title)?.max(with(self.fields.body)?) as f32;
        Ok((1.0 + (searcher.num_docs() as f32 - with + 0.5).max(0.0) / (with + 0.5)).ln())
    }

    fn query(&self, query: &LegQuery, only: Option<&[EntryId]>) -> BooleanQuery {
        let fields = self.fields;
        let words = clauses(&query.tokens, &[(fields.title, TITLE_BOOST), (fields.body, BODY_BOOST)]);
        let gram_fields = [(fields.title_grams, TITLE_BOOST * GRAM_BOOST), (fields.body_grams, BODY_BOOST * GRAM_BOOST)];
        let any = words.into_iter().chain(clauses(&query.grams, &gram_fields)).collect();
        let mut must: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Must, Box::new(BooleanQuery::new(any)))];
        must.extend(self.filters(&query.filter).into_iter().map(silent));
        if let Some(only) = only {
            let terms = only.iter().map(|id| Term::from_field_text(self.fields.entry, id.as_str()));
            must.push(silent(Box::new(TermSetQuery::new(terms))));
        }
        BooleanQuery::new(must)
    }

    fn filters(&self, filter: &Filter) -> Vec<Box<dyn Query>> {
        let now = filter.now.0;
        let until = Bound::Included(Term::from_field_i64(self.fields.valid_from, now));
        let beyond = Bound::Excluded(Term::from_field_i64(self.fields.valid_to, now));
        let mut filters: Vec<Box<dyn Query>> =
            vec![Box::new(RangeQuery::new(Bound::Unbounded, until)), Box::new(RangeQuery::new(beyond, Bound::Unbounded))];
        let market = filter.market.as_deref().map(market_key);
        let locale = filter.locale.as_deref().map(locale_key);
        for (field, wanted) in [(self.fields.market, market), (self.fields.locale, locale)] {
            if let Some(wanted) = wanted {
                let either = ["", wanted.as_str()].map(|word| Term::from_field_text(field, word));
                filters.push(Box::new(TermSetQuery::new(either)));
            }
        }
        filters
    }
}

/// What is kept of a segment's documents, opened once for a search.
struct Columns {
    entry: StrColumn,
    market: StrColumn,
    seq: Column<u64>,
    bare: Column<u64>,
}

impl Columns {
    fn of(segment: &SegmentReader) -> Result<Self> {
        let fast = segment.fast_fields();
        let words = |column: &str| {
            let missing = || Error::internal("index_torn", format!("An index segment has no column `{column}`."));
            fast.str(column).map_err(broken)?.ok_or_else(missing)
        };
        let numbers = |column: &str| fast.u64(column).map_err(broken);
        Ok(Self { entry: words("entry")?, market: words("market")?, seq: numbers("seq")?, bare: numbers("bare")? })
    }

    fn scored(&self, score: f32, document: DocId) -> Result<Scored> {
        let word = |column: &StrColumn| -> Result<String> {
            let mut word = String::new();
            if let Some(ordinal) = column.term_ords(document).next() {
                column.ord_to_str(ordinal, &mut word)?;
            }
            Ok(word)
        };
        Ok(Scored {
            entry: EntryId::from_text(word(&self.entry)?),
            seq: self.seq.first(document).and_then(|seq| u32::try_from(seq).ok()).unwrap_or_default(),
            score,
            support: score,
            market: Some(word(&self.market)?).filter(|market| !market.is_empty()),
            bare: self.bare.first(document) == Some(1),
        })
    }
}

/// Each distinct word in each field, with the field's boost.
fn clauses(words: &[String], fields: &[(Field, f32)]) -> Vec<(Occur, Box<dyn Query>)> {
    let mut seen = std::collections::HashSet::new();
    let distinct = words.iter().filter(|word| seen.insert(word.as_str())).take(MOST_WORDS);
    let terms = distinct.flat_map(|word| fields.iter().map(move |&(field, boost)| (Term::from_field_text(field, word), boost)));
    terms
        .map(|(term, boost)| {
            let term = TermQuery::new(term, IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(BoostQuery::new(Box::new(term), boost)) as Box<dyn Query>)
        })
        .collect()
}

/// A condition that must hold and adds nothing to the score.
fn silent(query: Box<dyn Query>) -> (Occur, Box<dyn Query>) {
    (Occur::Must, Box::new(ConstScoreQuery::new(query, 0.0)))
}

/// The fields of every index.
pub(super) fn layout() -> (Schema, Fields) {
    // Texts arrive as words joined by single spaces, so the tokenizer here only cuts at spaces.
    let words = TextFieldIndexing::default().set_tokenizer("whitespace").set_index_option(IndexRecordOption::WithFreqs);
    let words = TextOptions::default().set_indexing_options(words);
    let mut schema = Schema::builder();
    let fields = Fields {
        entry: schema.add_text_field("entry", STRING | FAST),
        seq: schema.add_u64_field("seq", FAST),
        market: schema.add_text_field("market", STRING | FAST),
        locale: schema.add_text_field("locale", STRING),
        valid_from: schema.add_i64_field("valid_from", FAST),
        valid_to: schema.add_i64_field("valid_to", FAST),
        bare: schema.add_u64_field("bare", FAST),
        title: schema.add_text_field("title", words.clone()),
        body: schema.add_text_field("body", words.clone()),
        title_grams: schema.add_text_field("title_grams", words.clone()),
        body_grams: schema.add_text_field("body_grams", words),
    };
    (schema.build(), fields)
}

/// What the library reports, as our error.
pub(super) fn broken(error: tantivy::TantivyError) -> Error {
    if let tantivy::TantivyError::IoError(io) = &error
        && io.kind() == std::io::ErrorKind::StorageFull
    {
        return Error::unavailable("disk_full", "The disk is full: the index cannot be written. Free some space; nothing is lost.")
            .because(error);
    }
    Error::internal("index_error", "The lexical index failed; `kb reindex` builds it again.").because(error)
}
