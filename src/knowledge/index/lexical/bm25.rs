//! BM25 of every document at once, one word after the other: each posting adds to the sum of its document. Conditions
//! are looked at only where a sum is among the best (`sheet.rs`). With the forty words and grams of a question this is
//! several times quicker than a tree of queries that walks through all of them document by document.

use std::sync::Arc;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Searcher, Term};

/// From so many documents on, what a word that stands there once adds is worked out before, for every length of a text.
const MANY: u64 = 1_024;
/// As in Lucene and tantivy.
const K1: f32 = 1.2;
const B: f32 = 0.75;

/// A field in all segments.
struct Texts {
    field: Field,
    segments: Vec<(Arc<InvertedIndexReader>, FieldNormReader)>,
    /// What is added to a word's count in a text of so many words, by the number that stands for its length.
    lengths: [f32; 256],
}

impl Texts {
    fn of(searcher: &Searcher, field: Field) -> tantivy::Result<Self> {
        let readers = searcher.segment_readers().iter();
        let segments = readers.map(|segment| Ok((segment.inverted_index(field)?, segment.get_fieldnorms_reader(field)?)));
        let segments = segments.collect::<tantivy::Result<Vec<_>>>()?;
        let words: u64 = segments.iter().map(|(index, _)| index.total_num_tokens()).sum();
        let mean = words as f32 / documents(searcher);
        let length = |id: usize| FieldNormReader::id_to_fieldnorm(id as u8) as f32;
        Ok(Self { field, segments, lengths: std::array::from_fn(|id| K1 * (1.0 - B + B * length(id) / mean)) })
    }
}

/// With those that are deleted and not yet merged away, as tantivy counts.
fn documents(searcher: &Searcher) -> f32 {
    searcher.segment_readers().iter().map(|segment| segment.max_doc() as f32).sum()
}

/// How much a word tells that is in so many of all documents: ln(1 + (N - n + 0.5) / (n + 0.5)).
pub(super) fn idf(with: f32, all: f32) -> f32 {
    (1.0 + (all - with + 0.5).max(0.0) / (with + 0.5)).ln()
}

/// Words that are looked for in a field, and what each counts there.
pub(super) struct Asked<'a> {
    pub field: Field,
    pub boost: f32,
    pub words: &'a [&'a str],
}

/// What words score in documents.
pub(super) struct Sums {
    /// Per segment the sum of each document over words in fields.
    pub documents: Vec<Vec<f32>>,
    /// Per field in how many documents each word is.
    pub with: Vec<Vec<u64>>,
}

/// Adds up what is asked for.
pub(super) fn sums(searcher: &Searcher, asked: &[Asked<'_>]) -> tantivy::Result<Sums> {
    let mut sums: Vec<Vec<f32>> = searcher.segment_readers().iter().map(|segment| vec![0.0; segment.max_doc() as usize]).collect();
    let all = documents(searcher);
    let mut counts = Vec::with_capacity(asked.len());
    for &Asked { field, boost, words } in asked {
        let texts = Texts::of(searcher, field)?;
        let mut counted = Vec::with_capacity(words.len());
        for word in words {
            let term = Term::from_field_text(texts.field, word);
            let found = texts.segments.iter().map(|(index, _)| index.get_term_info(&term)).collect::<std::io::Result<Vec<_>>>()?;
            let with: u64 = found.iter().flatten().map(|found| u64::from(found.doc_freq)).sum();
            counted.push(with);
            let weight = boost * idf(with as f32, all) * (1.0 + K1);
            let share = |length: u8, count: f32| weight * count / (count + texts.lengths[usize::from(length)]);
            // In most documents that have it a word stands once: of many documents that share is only looked up.
            let once: Option<[f32; 256]> = (with >= MANY).then(|| std::array::from_fn(|length| share(length as u8, 1.0)));
            for (((index, lengths), found), sums) in texts.segments.iter().zip(&found).zip(&mut sums) {
                let Some(found) = found else { continue };
                match &once {
                    Some(once) => add(index, lengths, found, sums, |length, count| match count {
                        1 => once[usize::from(length)],
                        _ => share(length, count as f32),
                    })?,
                    None => add(index, lengths, found, sums, |length, count| share(length, count as f32))?,
                }
            }
        }
        counts.push(counted);
    }
    Ok(Sums { documents: sums, with: counts })
}

/// Adds a word's share to every document that has it.
fn add(
    index: &InvertedIndexReader,
    lengths: &FieldNormReader,
    found: &TermInfo,
    sums: &mut [f32],
    share: impl Fn(u8, u32) -> f32,
) -> std::io::Result<()> {
    let mut postings = index.read_block_postings_from_terminfo(found, IndexRecordOption::WithFreqs)?;
    while !postings.docs().is_empty() {
        for (&document, &count) in postings.docs().iter().zip(postings.freqs()) {
            sums[document as usize] += share(lengths.fieldnorm_id(document), count);
        }
        postings.advance();
    }
    Ok(())
}
