//! Vectors side by side in one piece of memory, each in a quarter of its room: a number is a byte, with a scale per
//! vector. The cosine is off by less than 0.003 for vectors of 256 numbers (property-tested), far less than what tells
//! two rows apart. All of them are compared with a question in the order they lie in: 80,000 take less than a
//! millisecond where the processor has AVX2 or better.

use std::ops::Range;

use multiversion::multiversion;

/// The largest byte; -128 is not used, so that a number and its negative are packed alike.
const LARGEST: f32 = 127.0;
/// The largest number of a question, and the largest sum of its products with a row.
const LARGEST_ASKED: f32 = 32_767.0;
const LARGEST_SUM: f32 = 1e9;
/// A row whose owner is gone.
const GONE: u32 = u32::MAX;

/// Unit vectors of one length.
#[derive(Debug, Default)]
pub struct Packed {
    dimensions: usize,
    owners: Vec<u32>,
    seqs: Vec<u32>,
    scales: Vec<f32>,
    bytes: Vec<i8>,
    gone: usize,
}

/// A question's vector as rows are compared with it.
#[derive(Debug)]
pub struct Asked {
    numbers: Vec<i16>,
    scale: f32,
}

impl Asked {
    fn new(vector: &[f32]) -> Self {
        let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        // A sum of products is at most the product of both lengths (Cauchy and Schwarz).
        let longest_row = LARGEST * (vector.len() as f32).sqrt();
        let scale = if largest > 0.0 { (largest / LARGEST_ASKED).max(norm * longest_row / LARGEST_SUM) } else { 1.0 };
        // In range by the choice of the scale; `as` saturates.
        Self { numbers: vector.iter().map(|x| (x / scale).round() as i16).collect(), scale }
    }
}

impl Packed {
    /// A vector as rows are compared with it; none when its length is another one (another embedder's).
    pub fn asked(&self, vector: &[f32]) -> Option<Asked> {
        (vector.len() == self.dimensions && self.gone < self.owners.len()).then(|| Asked::new(vector))
    }

    /// Adds an owner's vectors, each with the number of its passage. Those of another length than the first one's are
    /// left out: one embedder made all of them.
    pub fn add<'a>(&mut self, owner: u32, vectors: impl Iterator<Item = (u32, &'a [f32])>) -> Range<usize> {
        let first = self.owners.len();
        for (seq, vector) in vectors {
            if self.owners.is_empty() {
                self.dimensions = vector.len();
            }
            if vector.len() == self.dimensions {
                self.push(owner, seq, vector);
            }
        }
        first..self.owners.len()
    }

    fn push(&mut self, owner: u32, seq: u32, vector: &[f32]) {
        let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = if largest > 0.0 { largest / LARGEST } else { 1.0 };
        self.owners.push(owner);
        self.seqs.push(seq);
        self.scales.push(scale);
        // In range by the choice of the scale; `as` saturates.
        self.bytes.extend(vector.iter().map(|x| (x / scale).round() as i8));
    }

    /// Takes rows out; they keep their room until `compact`.
    pub fn remove(&mut self, rows: Range<usize>) {
        self.gone += rows.len();
        self.owners[rows].fill(GONE);
    }

    /// Gives the room of rows that are gone back once they are as many as the others. Says where each owner's rows are
    /// then; nothing when all stayed where they were.
    pub fn compact(&mut self) -> Option<Vec<(u32, Range<usize>)>> {
        if self.gone * 2 <= self.owners.len() {
            return None;
        }
        let (mut places, mut to) = (Vec::<(u32, Range<usize>)>::new(), 0);
        for from in 0..self.owners.len() {
            let owner = self.owners[from];
            if owner == GONE {
                continue;
            }
            self.owners[to] = owner;
            self.seqs[to] = self.seqs[from];
            self.scales[to] = self.scales[from];
            self.bytes.copy_within(from * self.dimensions..(from + 1) * self.dimensions, to * self.dimensions);
            to += 1;
            match places.last_mut() {
                Some((last, rows)) if *last == owner => rows.end = to,
                _ => places.push((owner, to - 1..to)),
            }
        }
        self.owners.truncate(to);
        self.seqs.truncate(to);
        self.scales.truncate(to);
        self.bytes.truncate(to * self.dimensions);
        self.gone = 0;
        Some(places)
    }

    /// Each row with its owner and the number of its passage, those that are gone left out. An owner's rows follow each
    /// other.
    pub fn rows(&self) -> impl Iterator<Item = (usize, u32, u32)> {
        let rows = self.owners.iter().zip(&self.seqs).enumerate();
        rows.filter(|(_, (owner, _))| **owner != GONE).map(|(row, (owner, seq))| (row, *owner, *seq))
    }

    /// The number of a row's passage.
    pub fn seq(&self, row: usize) -> u32 {
        self.seqs[row]
    }

    /// The cosine of a row to a unit vector.
    pub fn cosine(&self, row: usize, asked: &Asked) -> f32 {
        let bytes = &self.bytes[row * self.dimensions..(row + 1) * self.dimensions];
        dot(&asked.numbers, bytes) as f32 * (asked.scale * self.scales[row])
    }

    /// A row's vector, as good as it was kept.
    pub fn vector(&self, row: usize) -> Vec<f32> {
        let bytes = &self.bytes[row * self.dimensions..(row + 1) * self.dimensions];
        bytes.iter().map(|&byte| f32::from(byte) * self.scales[row]).collect()
    }
}

/// The sum of the products of numbers that are equally many.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn dot(numbers: &[i16], bytes: &[i8]) -> i32 {
    numbers.iter().zip(bytes).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(vectors: &[(u32, &[f32])]) -> Packed {
        let mut packed = Packed::default();
        for (owner, vector) in vectors {
            packed.add(*owner, [(7, *vector)].into_iter());
        }
        packed
    }

    #[test]
    fn another_length_has_no_cosine_and_is_not_kept() {
        let packed = packed(&[(0, &[1.0, 0.0]), (1, &[1.0])]);
        assert_eq!(packed.rows().collect::<Vec<_>>(), [(0, 0, 7)]);
        assert!(packed.asked(&[1.0]).is_none());
        assert_eq!(packed.cosine(0, &packed.asked(&[1.0, 0.0]).unwrap()), 1.0);
        assert!(Packed::default().asked(&[]).is_none());
    }

    #[test]
    fn rows_that_are_gone_give_their_room_back() {
        let mut packed = packed(&[(0, &[1.0, 0.0]), (1, &[0.0, 1.0]), (1, &[0.6, 0.8]), (2, &[-1.0, 0.0])]);
        packed.remove(0..1);
        assert!(packed.compact().is_none(), "most are still there");
        packed.remove(1..3);
        assert_eq!(packed.compact(), Some(vec![(2, 0..1)]));
        assert_eq!((packed.rows().collect::<Vec<_>>(), packed.vector(0)), (vec![(0, 2, 7)], vec![-1.0, 0.0]));
        packed.remove(0..1);
        assert_eq!(packed.compact(), Some(Vec::new()));
        assert_eq!(packed.add(3, [(0, &[1.0][..])].into_iter()), 0..1, "an empty one takes any length");
    }

    fn unit() -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-1.0f32..1.0, 256).prop_map(|vector| {
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
            vector.into_iter().map(|x| x / norm).collect()
        })
    }

    proptest! {
        #[test]
        fn a_cosine_is_nearly_exact(query in unit(), vector in unit()) {
            let exact: f32 = query.iter().zip(&vector).map(|(x, y)| x * y).sum();
            let packed = packed(&[(0, &vector)]);
            let kept = packed.cosine(0, &packed.asked(&query).unwrap());
            prop_assert!((kept - exact).abs() < 0.003, "{} {}", kept, exact);
            prop_assert!(vector.iter().zip(&packed.vector(0)).all(|(x, y)| (x - y).abs() < 0.002));
        }

        /// The largest whole numbers that there can be do not run over.
        #[test]
        fn a_vector_is_one_with_itself_however_long(length in 1usize..4_096, at in 0usize..4_096) {
            let mut vector = vec![1.0 / (length as f32).sqrt(); length];
            vector[at % length] *= -1.0;
            let packed = packed(&[(0, &vector)]);
            prop_assert!((packed.cosine(0, &packed.asked(&vector).unwrap()) - 1.0).abs() < 0.003);
        }
    }
}
