//! One tenant's BM25 index: its fields, and how a row becomes documents.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tantivy::schema::{FAST, Field, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::super::{LegQuery, locale_key, market_key};
use super::bm25;
use super::opened::Opened;
use super::sheet::Sheet;
use crate::error::{Error, Result};
use crate::knowledge::store::Change;
use crate::knowledge::words::Terms;
use crate::knowledge::{KnowledgeEntry, Passage, PassageKind, Revision, text};

/// Memory of a writer while it applies changes; it is dropped afterwards.
const WRITER_BYTES: usize = 30_000_000;

/// An open index.
pub(super) struct Shelf {
    index: Index,
    reader: IndexReader,
    /// As searches see it.
    opened: RwLock<Arc<Opened>>,
    fields: Fields,
    /// The shop's words that its rows were cut with.
    terms: Arc<Terms>,
    applied: Mutex<Revision>,
}

#[derive(Clone, Copy)]
pub(super) struct Fields {
    pub entry: Field,
    pub seq: Field,
    pub market: Field,
    pub locale: Field,
    pub valid_from: Field,
    pub valid_to: Field,
    pub bare: Field,
    pub title: Field,
    pub body: Field,
    pub title_grams: Field,
    pub body_grams: Field,
}

impl Shelf {
    /// Over an index that has followed to `applied`.
    pub fn new(index: Index, fields: Fields, terms: Arc<Terms>, applied: Revision) -> Result<Self> {
        let reader: IndexReader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(broken)?;
        let opened = RwLock::new(Arc::new(Opened::new(reader.searcher(), None)?));
        Ok(Self { index, reader, opened, fields, terms, applied: Mutex::new(applied) })
    }

    fn opened(&self) -> Arc<Opened> {
        Arc::clone(&self.opened.read().unwrap_or_else(PoisonError::into_inner))
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
        let opened = Arc::new(Opened::new(self.reader.searcher(), Some(&*self.opened()))?);
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = opened;
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

    /// What the question scores in every document.
    pub fn sheet(&self, query: &LegQuery) -> Result<Sheet> {
        Sheet::of(self.opened(), self.fields, query)
    }

    /// How much each word tells.
    pub fn weights(&self, tokens: &[String]) -> Result<Vec<f32>> {
        let opened = self.opened();
        tokens.iter().map(|token| self.idf(&opened.searcher, token)).collect()
    }

    fn idf(&self, searcher: &Searcher, word: &str) -> Result<f32> {
        let with = |field| searcher.doc_freq(&Term::from_field_text(field, word)).map_err(broken);
        Ok(bm25::idf(with(self.fields.title)?.max(with(self.fields.body)?) as f32, searcher.num_docs() as f32))
    }
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
        locale: schema.add_text_field("locale", STRING | FAST),
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
