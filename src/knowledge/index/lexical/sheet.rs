//! What a question scores in every document of one tenant: the best entries, and those of given ones.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, TERMINATED, Term};

use super::bm25::{self, Asked, Sums};
use super::opened::{Gate, Opened};
use super::shelf::{Fields, broken};
use crate::error::Result;
use crate::ids::EntryId;
use crate::knowledge::index::{LegQuery, Scored, best_per_entry};

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
    opened: Arc<Opened>,
    fields: Fields,
    /// Per segment the score of each document.
    sums: Vec<Vec<f32>>,
    /// Per segment which documents may be found.
    gates: Vec<Gate>,
    /// How much each of the words tells.
    telling: HashMap<String, f32>,
}

/// A document's score and place, the segment's number first.
type Place = (f32, usize, DocId);

impl Sheet {
    /// Scores every document that has a word or a gram of the question.
    pub(super) fn of(opened: Arc<Opened>, fields: Fields, query: &LegQuery) -> Result<Self> {
        // Grams rescue words; where there is none, there is nothing to be found.
        let grams = if query.tokens.is_empty() { Vec::new() } else { distinct(&query.grams) };
        let words = distinct(&query.tokens);
        let asked = [
            Asked { field: fields.title, boost: TITLE_BOOST, words: &words },
            Asked { field: fields.body, boost: BODY_BOOST, words: &words },
            Asked { field: fields.title_grams, boost: TITLE_BOOST * GRAM_BOOST, words: &grams },
            Asked { field: fields.body_grams, boost: BODY_BOOST * GRAM_BOOST, words: &grams },
        ];
        let Sums { documents: sums, with } = bm25::sums(&opened.searcher, &asked).map_err(broken)?;
        let all = opened.searcher.num_docs() as f32;
        let telling = |((word, title), body): ((&&str, &u64), &u64)| ((*word).to_owned(), bm25::idf(*title.max(body) as f32, all));
        let telling = words.iter().zip(&with[0]).zip(&with[1]).map(telling).collect();
        let gates = opened.segments.iter().map(|columns| columns.gate(&query.filter)).collect();
        Ok(Self { opened, fields, sums, gates, telling })
    }

    /// How much each of the words tells, as the index's own `weights` do; nothing when one was not searched with.
    pub fn weights(&self, tokens: &[String]) -> Option<Vec<f32>> {
        tokens.iter().map(|token| self.telling.get(token).copied()).collect()
    }

    /// The best entries that may be found, best first.
    pub fn best(&self, limit: usize) -> Vec<Scored> {
        if limit == 0 {
            return Vec::new();
        }
        let mut seen = HashSet::new();
        let mut scored = Vec::with_capacity(limit);
        for (score, segment, document) in self.best_documents(limit.saturating_mul(PASSAGES_PER_ENTRY)) {
            let columns = &self.opened.segments[segment];
            if seen.insert((segment, columns.entry_number(document))) {
                scored.push(columns.scored(columns.entry(document), score, document));
            }
            if scored.len() == limit {
                break;
            }
        }
        best_per_entry(scored, limit)
    }

    /// So many documents, best first.
    fn best_documents(&self, most: usize) -> Vec<Place> {
        let order = |a: &Place, b: &Place| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2)));
        let (mut best, mut least): (Vec<Place>, f32) = (Vec::with_capacity(most * 2), 0.0);
        for (n, ((sums, columns), gate)) in self.sums.iter().zip(&self.opened.segments).zip(&self.gates).enumerate() {
            let alive = self.opened.searcher.segment_reader(n as u32).alive_bitset();
            for (document, &sum) in (0..).zip(sums) {
                if sum <= least || alive.is_some_and(|alive| !alive.is_alive(document)) || !columns.passes(document, gate) {
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
        let (searcher, columns) = (&self.opened.searcher, &self.opened.segments);
        let mut segments: Vec<usize> = (0..columns.len()).collect();
        segments.sort_by_key(|&n| std::cmp::Reverse(self.sums[n].len()));
        let indexes = segments.iter().map(|&n| searcher.segment_reader(n as u32).inverted_index(self.fields.entry).map_err(broken));
        let indexes = indexes.collect::<Result<Vec<_>>>()?;
        let mut scored = Vec::with_capacity(entries.len());
        for id in entries {
            let term = Term::from_field_text(self.fields.entry, id.as_str());
            for (&n, index) in segments.iter().zip(&indexes) {
                let Some(mut documents) = index.read_postings(&term, IndexRecordOption::Basic)? else { continue };
                let reader = searcher.segment_reader(n as u32);
                let mut there = false;
                while documents.doc() != TERMINATED {
                    let document = documents.doc();
                    documents.advance();
                    if reader.is_deleted(document) {
                        continue;
                    }
                    there = true;
                    let sum = self.sums[n][document as usize];
                    if sum > 0.0 && columns[n].passes(document, &self.gates[n]) {
                        scored.push(columns[n].scored(id.clone(), sum, document));
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
