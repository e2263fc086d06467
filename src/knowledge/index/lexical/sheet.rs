//! What a question scores in every document of one tenant: the best entries, and those of given ones.

use std::collections::HashSet;

use tantivy::columnar::{Column, StrColumn};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Searcher, SegmentReader, TERMINATED, Term};

use super::bm25;
use super::shelf::{Fields, broken};
use crate::error::{Error, Result};
use crate::ids::EntryId;
use crate::knowledge::index::{Filter, LegQuery, Scored, best_per_entry, locale_key, market_key};

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

/// A question's scores.
pub struct Sheet {
    searcher: Searcher,
    fields: Fields,
    /// Per segment the score of each document.
    sums: Vec<Vec<f32>>,
    segments: Vec<Segment>,
}

/// A document's score and place, the segment's number first.
type Place = (f32, usize, DocId);

impl Sheet {
    /// Scores every document that has a word or a gram of the question.
    pub(super) fn of(searcher: Searcher, fields: Fields, query: &LegQuery) -> Result<Self> {
        // Grams rescue words; where there is none, there is nothing to be found.
        let grams = if query.tokens.is_empty() { Vec::new() } else { distinct(&query.grams) };
        let words = distinct(&query.tokens);
        let sums = [
            (fields.title, TITLE_BOOST, &words[..]),
            (fields.body, BODY_BOOST, &words[..]),
            (fields.title_grams, TITLE_BOOST * GRAM_BOOST, &grams[..]),
            (fields.body_grams, BODY_BOOST * GRAM_BOOST, &grams[..]),
        ];
        let sums = bm25::sums(&searcher, &sums).map_err(broken)?;
        let segments = searcher.segment_readers().iter().map(|reader| Segment::of(reader, &query.filter)).collect::<Result<_>>()?;
        Ok(Self { searcher, fields, sums, segments })
    }

    /// The best entries that may be found, best first.
    pub fn best(&self, limit: usize) -> Result<Vec<Scored>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut seen = HashSet::new();
        let mut scored = Vec::with_capacity(limit);
        for (score, segment, document) in self.best_documents(limit.saturating_mul(PASSAGES_PER_ENTRY)) {
            let columns = &self.segments[segment];
            if seen.insert((segment, columns.entry.term_ords(document).next())) {
                scored.push(columns.scored(score, document)?);
            }
            if scored.len() == limit {
                break;
            }
        }
        Ok(best_per_entry(scored, limit))
    }

    /// So many documents, best first.
    fn best_documents(&self, most: usize) -> Vec<Place> {
        let order = |a: &Place, b: &Place| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2)));
        let (mut best, mut least): (Vec<Place>, f32) = (Vec::with_capacity(most * 2), 0.0);
        for (n, (sums, segment)) in self.sums.iter().zip(&self.segments).enumerate() {
            let alive = self.searcher.segment_reader(n as u32).alive_bitset();
            for (document, &sum) in (0..).zip(sums) {
                if sum <= least || alive.is_some_and(|alive| !alive.is_alive(document)) || !segment.passes(document) {
                    continue;
                }
                best.push((sum, n, document));
                // Whatever comes now has to be better than the worst of those.
                if best.len() == most * 2 {
                    best.select_nth_unstable_by(most - 1, order);
                    best.truncate(most);
                    least = best[most - 1].0;
                }
            }
        }
        best.sort_unstable_by(order);
        best.truncate(most);
        best
    }

    /// The scores of these entries, those that may be found and have any.
    pub fn scores(&self, entries: &[EntryId]) -> Result<Vec<Scored>> {
        // Most are in the largest segments, and each is in only one.
        let mut segments: Vec<usize> = (0..self.segments.len()).collect();
        segments.sort_by_key(|&n| std::cmp::Reverse(self.sums[n].len()));
        let indexes = segments.iter().map(|&n| self.searcher.segment_reader(n as u32).inverted_index(self.fields.entry).map_err(broken));
        let indexes = indexes.collect::<Result<Vec<_>>>()?;
        let mut scored = Vec::with_capacity(entries.len());
        for id in entries {
            let term = Term::from_field_text(self.fields.entry, id.as_str());
            for (&n, index) in segments.iter().zip(&indexes) {
                let Some(mut documents) = index.read_postings(&term, IndexRecordOption::Basic)? else { continue };
                let reader = self.searcher.segment_reader(n as u32);
                let mut there = false;
                while documents.doc() != TERMINATED {
                    let document = documents.doc();
                    documents.advance();
                    if reader.is_deleted(document) {
                        continue;
                    }
                    there = true;
                    let sum = self.sums[n][document as usize];
                    if sum > 0.0 && self.segments[n].passes(document) {
                        scored.push(self.segments[n].scored(sum, document)?);
                    }
                }
                if there {
                    break;
                }
            }
        }
        Ok(best_per_entry(scored, entries.len()))
    }
}

/// The distinct ones, as many as are searched with.
fn distinct(words: &[String]) -> Vec<&str> {
    let mut seen = HashSet::new();
    words.iter().map(String::as_str).filter(|word| seen.insert(*word)).take(MOST_WORDS).collect()
}

/// What is kept of a segment's documents, opened once for a search, and which of them may be found.
struct Segment {
    entry: StrColumn,
    market: StrColumn,
    seq: Column<u64>,
    bare: Column<u64>,
    valid_from: Column<i64>,
    valid_to: Column<i64>,
    now: i64,
    markets: Option<Allowed>,
    locales: Option<Allowed>,
}

/// The words that a column may have.
struct Allowed {
    column: StrColumn,
    words: Vec<u64>,
}

impl Allowed {
    fn of(column: StrColumn, wanted: &str) -> Result<Self> {
        let mut words = Vec::new();
        for word in ["", wanted] {
            words.extend(column.dictionary().term_ord(word.as_bytes())?);
        }
        Ok(Self { column, words })
    }

    fn has(&self, document: DocId) -> bool {
        self.column.ords().first(document).is_some_and(|word| self.words.contains(&word))
    }
}

impl Segment {
    fn of(segment: &SegmentReader, filter: &Filter) -> Result<Self> {
        let fast = segment.fast_fields();
        let words = |column: &str| {
            let missing = || Error::internal("index_torn", format!("An index segment has no column `{column}`."));
            fast.str(column).map_err(broken)?.ok_or_else(missing)
        };
        let market = words("market")?;
        let allowed = |column: StrColumn, wanted: Option<String>| wanted.map(|wanted| Allowed::of(column, &wanted)).transpose();
        Ok(Self {
            entry: words("entry")?,
            seq: fast.u64("seq").map_err(broken)?,
            bare: fast.u64("bare").map_err(broken)?,
            valid_from: fast.i64("valid_from").map_err(broken)?,
            valid_to: fast.i64("valid_to").map_err(broken)?,
            now: filter.now.0,
            markets: allowed(market.clone(), filter.market.as_deref().map(market_key))?,
            locales: allowed(words("locale")?, filter.locale.as_deref().map(locale_key))?,
            market,
        })
    }

    fn passes(&self, document: DocId) -> bool {
        self.valid_from.first(document).is_none_or(|from| from <= self.now)
            && self.valid_to.first(document).is_none_or(|to| self.now < to)
            && self.markets.as_ref().is_none_or(|allowed| allowed.has(document))
            && self.locales.as_ref().is_none_or(|allowed| allowed.has(document))
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
