//! What every question needs of an index's segments, opened once for as long as a segment is there: to open the columns
//! of a few segments, and to take names out of their dictionaries one by one, takes longer than to score documents.

use std::sync::Arc;

use tantivy::columnar::{Column, StrColumn};
use tantivy::index::SegmentId;
use tantivy::{DocId, Searcher, SegmentReader};

use super::shelf::broken;
use crate::error::{Error, Result};
use crate::ids::EntryId;
use crate::knowledge::index::{Filter, Scored, locale_key, market_key};

/// An index as it is at a moment.
pub(super) struct Opened {
    pub searcher: Searcher,
    /// As the searcher's segments.
    pub segments: Vec<Arc<Columns>>,
}

impl Opened {
    /// As the searcher sees it; what was opened before is taken over.
    pub fn new(searcher: Searcher, before: Option<&Self>) -> Result<Self> {
        let segment = |reader: &SegmentReader| {
            let known = before.and_then(|before| before.segments.iter().find(|columns| columns.segment == reader.segment_id()));
            known.map_or_else(|| Columns::of(reader).map(Arc::new), |known| Ok(Arc::clone(known)))
        };
        let segments = searcher.segment_readers().iter().map(segment).collect::<Result<_>>()?;
        Ok(Self { searcher, segments })
    }
}

/// What is kept of a segment's documents. A document that is deleted keeps its own.
pub(super) struct Columns {
    segment: SegmentId,
    entry: Words,
    market: Words,
    locale: Words,
    seq: Column<u64>,
    bare: Column<u64>,
    valid_from: Column<i64>,
    valid_to: Column<i64>,
}

/// Which documents of a segment may be found.
pub(super) struct Gate {
    now: i64,
    markets: Option<Vec<u64>>,
    locales: Option<Vec<u64>>,
}

impl Columns {
    fn of(segment: &SegmentReader) -> Result<Self> {
        let fast = segment.fast_fields();
        let words = |column: &str| {
            let missing = || Error::internal("index_torn", format!("An index segment has no column `{column}`."));
            Words::of(fast.str(column).map_err(broken)?.ok_or_else(missing)?)
        };
        Ok(Self {
            segment: segment.segment_id(),
            entry: words("entry")?,
            market: words("market")?,
            locale: words("locale")?,
            seq: fast.u64("seq").map_err(broken)?,
            bare: fast.u64("bare").map_err(broken)?,
            valid_from: fast.i64("valid_from").map_err(broken)?,
            valid_to: fast.i64("valid_to").map_err(broken)?,
        })
    }

    /// What a filter lets pass.
    pub fn gate(&self, filter: &Filter) -> Gate {
        // Documents of no market, and of no language, are for all.
        let allowed = |words: &Words, wanted: String| ["", &wanted].iter().filter_map(|word| words.number(word)).collect();
        Gate {
            now: filter.now.0,
            markets: filter.market.as_deref().map(|market| allowed(&self.market, market_key(market))),
            locales: filter.locale.as_deref().map(|locale| allowed(&self.locale, locale_key(locale))),
        }
    }

    /// Whether a document may be found.
    pub fn passes(&self, document: DocId, gate: &Gate) -> bool {
        let allowed = |words: &Words, allowed: &Option<Vec<u64>>| {
            allowed.as_ref().is_none_or(|allowed| words.of.first(document).is_some_and(|word| allowed.contains(&word)))
        };
        self.valid_from.first(document).is_none_or(|from| from <= gate.now)
            && self.valid_to.first(document).is_none_or(|to| gate.now < to)
            && allowed(&self.market, &gate.markets)
            && allowed(&self.locale, &gate.locales)
    }

    /// The number of a document's entry in its segment.
    pub fn entry_number(&self, document: DocId) -> Option<u64> {
        self.entry.of.first(document)
    }

    /// A document's entry.
    pub fn entry(&self, document: DocId) -> EntryId {
        EntryId::from_text(self.entry.word(document))
    }

    /// A document as a hit.
    pub fn scored(&self, entry: EntryId, score: f32, document: DocId) -> Scored {
        Scored {
            entry,
            seq: self.seq.first(document).and_then(|seq| u32::try_from(seq).ok()).unwrap_or_default(),
            score,
            support: score,
            market: Some(self.market.word(document).to_owned()).filter(|market| !market.is_empty()),
            bare: self.bare.first(document) == Some(1),
        }
    }
}

/// A column of words, with its dictionary in memory: a few bytes for each distinct one.
struct Words {
    /// The number of each document's word.
    of: Column<u64>,
    /// All words one behind the other, in order.
    text: String,
    /// By its number, where a word ends.
    ends: Vec<usize>,
}

impl Words {
    fn of(column: StrColumn) -> Result<Self> {
        let (dictionary, of) = column.into_parts();
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(dictionary.num_terms()));
        let mut words = dictionary.stream()?;
        while words.advance() {
            let word = std::str::from_utf8(words.key());
            text.push_str(word.map_err(|error| Error::internal("index_torn", "A word of an index segment is no text.").because(error))?);
            ends.push(text.len());
        }
        text.shrink_to_fit();
        Ok(Self { of, text, ends })
    }

    fn at(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)?;
        let from = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(from..end)
    }

    /// A document's word; empty when it has none.
    fn word(&self, document: DocId) -> &str {
        let number = self.of.first(document).and_then(|number| usize::try_from(number).ok());
        number.and_then(|number| self.at(number)).unwrap_or_default()
    }

    /// The number of a word that some document has.
    fn number(&self, word: &str) -> Option<u64> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.at(middle)?.cmp(word) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return u64::try_from(middle).ok(),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}
