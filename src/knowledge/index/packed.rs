//! Vectors side by side in one piece of memory, each in half of its room: a number is two bytes, with a scale per
//! vector. The cosine is off by less than 0.0005 for vectors of 256 numbers (property-tested), less than what tells the
//! tenth row from the eleventh. Where there are many, a sketch of each comes first, a bit for the sign of each number:
//! those whose signs agree best with the question's are compared number by number, one in 32 and never few.

use std::ops::Range;

use multiversion::multiversion;

/// The largest number of a row. Larger ones would leave a question's numbers less room below `LARGEST_SUM`.
const LARGEST: f32 = 1_023.0;
/// The largest number of a question, and the largest sum of its products with a row.
const LARGEST_ASKED: f32 = 32_767.0;
const LARGEST_SUM: f32 = 2e9;
/// At least so many rows are compared number by number: all of a small shop.
pub const COMPARED: usize = 4_096;
/// Of more rows, one in so many.
const ONE_IN: usize = 32;
/// Signs in a piece of a sketch.
const SIGNS: usize = u64::BITS as usize;
/// A row whose owner is gone.
const GONE: u32 = u32::MAX;

/// Unit vectors of one length.
#[derive(Debug, Default)]
pub struct Packed {
    dimensions: usize,
    owners: Vec<u32>,
    seqs: Vec<u32>,
    scales: Vec<f32>,
    numbers: Vec<i16>,
    sketches: Vec<u64>,
    gone: usize,
}

/// A question's vector as rows are compared with it.
#[derive(Debug)]
pub struct Asked {
    numbers: Vec<i16>,
    sketch: Vec<u64>,
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
        Self { numbers: vector.iter().map(|x| (x / scale).round() as i16).collect(), sketch: sketch(vector).collect(), scale }
    }
}

/// A bit for each number that is above zero.
fn sketch(vector: &[f32]) -> impl Iterator<Item = u64> {
    vector.chunks(SIGNS).map(|some| some.iter().rev().fold(0, |signs, x| signs << 1 | u64::from(*x > 0.0)))
}

impl Packed {
    /// A vector as rows are compared with it; none when its length is another one (another embedder's).
    pub fn asked(&self, vector: &[f32]) -> Option<Asked> {
        (vector.len() == self.dimensions && !self.is_empty()).then(|| Asked::new(vector))
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
        self.numbers.extend(vector.iter().map(|x| (x / scale).round() as i16));
        self.sketches.extend(sketch(vector));
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
        let pieces = self.dimensions.div_ceil(SIGNS);
        let (mut places, mut to) = (Vec::<(u32, Range<usize>)>::new(), 0);
        for from in 0..self.owners.len() {
            let owner = self.owners[from];
            if owner == GONE {
                continue;
            }
            self.owners[to] = owner;
            self.seqs[to] = self.seqs[from];
            self.scales[to] = self.scales[from];
            self.numbers.copy_within(from * self.dimensions..(from + 1) * self.dimensions, to * self.dimensions);
            self.sketches.copy_within(from * pieces..(from + 1) * pieces, to * pieces);
            to += 1;
            match places.last_mut() {
                Some((last, rows)) if *last == owner => rows.end = to,
                _ => places.push((owner, to - 1..to)),
            }
        }
        self.owners.truncate(to);
        self.seqs.truncate(to);
        self.scales.truncate(to);
        self.numbers.truncate(to * self.dimensions);
        self.sketches.truncate(to * pieces);
        self.gone = 0;
        Some(places)
    }

    /// Rows that may be near, each with its owner: all of the owners that are looked for where there are at most `compared`
    /// rows, otherwise at least so many of those whose sketches agree best with the question's. An owner's rows follow
    /// each other.
    pub fn near(&self, asked: &Asked, compared: usize, wanted: impl Fn(u32) -> bool) -> Vec<(usize, u32)> {
        let there = |owner: u32| owner != GONE && wanted(owner);
        let rows = || self.owners.iter().copied().enumerate();
        if self.owners.len() - self.gone <= compared {
            return rows().filter(|(_, owner)| there(*owner)).collect();
        }
        let mut apart = vec![0; self.owners.len()];
        differences(&self.sketches, &asked.sketch, &mut apart);
        // How many rows there are at each distance says how far to go. Most are at a few distances: neighbours are counted
        // apart, so that none waits until the one before it is counted.
        let mut counts = vec![[0_usize; 4]; self.dimensions + 1];
        for (at, (apart, &owner)) in apart.iter_mut().zip(&self.owners).enumerate() {
            if there(owner) {
                counts[usize::from(*apart)][at % 4] += 1;
            } else {
                *apart = u16::MAX;
            }
        }
        let counts: Vec<usize> = counts.iter().map(|four| four.iter().sum()).collect();
        let enough = compared.max(counts.iter().sum::<usize>() / ONE_IN);
        let mut so_far = 0;
        let short = |count: &&usize| {
            let short = so_far < enough;
            so_far += **count;
            short
        };
        let furthest = counts.iter().take_while(short).count();
        let mut near = Vec::with_capacity(so_far);
        near.extend(rows().zip(apart).filter(|(_, apart)| usize::from(*apart) < furthest).map(|(row, _)| row));
        near
    }

    /// The number of a row's passage.
    pub fn seq(&self, row: usize) -> u32 {
        self.seqs[row]
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.gone == self.owners.len()
    }

    /// The cosines of many rows to a unit vector.
    pub fn cosines(&self, rows: &[(usize, u32)], asked: &Asked) -> Vec<f32> {
        let sums = dots(&asked.numbers, &self.numbers, rows);
        rows.iter().zip(sums).map(|((row, _), sum)| sum as f32 * (asked.scale * self.scales[*row])).collect()
    }

    /// The cosine of a row to a unit vector.
    pub fn cosine(&self, row: usize, asked: &Asked) -> f32 {
        dot(&asked.numbers, self.numbers(row)) as f32 * (asked.scale * self.scales[row])
    }

    /// A row's vector, as good as it was kept.
    pub fn vector(&self, row: usize) -> Vec<f32> {
        self.numbers(row).iter().map(|&number| f32::from(number) * self.scales[row]).collect()
    }

    fn numbers(&self, row: usize) -> &[i16] {
        &self.numbers[row * self.dimensions..(row + 1) * self.dimensions]
    }
}

/// The sum of the products of numbers that are equally many.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn dot(asked: &[i16], numbers: &[i16]) -> i32 {
    asked.iter().zip(numbers).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

/// The same of these rows of all numbers.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn dots(asked: &[i16], all: &[i16], rows: &[(usize, u32)]) -> Vec<i32> {
    let mut sums = Vec::with_capacity(rows.len());
    for (row, _) in rows {
        let numbers = &all[row * asked.len()..(row + 1) * asked.len()];
        sums.push(asked.iter().zip(numbers).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum());
    }
    sums
}

/// In how many signs each sketch differs from the question's.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vpopcntdq", "x86_64+avx2+popcnt"))]
fn differences(sketches: &[u64], asked: &[u64], apart: &mut [u16]) {
    let differing = |sketch: &[u64], asked: &[u64]| sketch.iter().zip(asked).map(|(x, y)| (x ^ y).count_ones() as u16).sum();
    // The built-in vectors' size is known to the compiler.
    match <&[u64; 4]>::try_from(asked) {
        Ok(asked) => sketches.as_chunks::<4>().0.iter().zip(apart).for_each(|(sketch, apart)| *apart = differing(sketch, asked)),
        Err(_) => sketches.chunks_exact(asked.len()).zip(apart).for_each(|(sketch, apart)| *apart = differing(sketch, asked)),
    }
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

    fn all(packed: &Packed, asked: &[f32]) -> Vec<(usize, u32)> {
        packed.near(&packed.asked(asked).unwrap(), COMPARED, |_| true)
    }

    /// Vectors about one of a few hundred topics each, as a shop's rows are; the same numbers give the same ones.
    fn about(topics: usize, n: usize) -> Vec<f32> {
        use rand::{Rng, SeedableRng};
        let mut topic = rand::rngs::StdRng::seed_from_u64((n % topics) as u64);
        let mut own = rand::rngs::StdRng::seed_from_u64(1_000_000 + n as u64);
        let vector: Vec<f32> = (0..256).map(|_| topic.random_range(-1.0..1.0) + own.random_range(-1.0..1.0f32)).collect();
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.into_iter().map(|x| x / norm).collect()
    }

    #[test]
    fn the_nearest_of_many_are_among_those_compared() {
        let (topics, rows) = (300, 3 * COMPARED);
        let mut packed = Packed::default();
        for n in 0..rows {
            packed.add(n as u32, [(0, &about(topics, n)[..])].into_iter());
        }
        packed.remove(0..10);
        // As many as for rows, and as few as for phrasings that a row does not answer.
        for (asked, compared) in (0..20).flat_map(|asked| [(asked, COMPARED), (asked, 1_024)]) {
            let asked = packed.asked(&about(topics, rows + asked)).unwrap();
            let mut exact: Vec<(f32, usize)> = (10..rows).map(|row| (packed.cosine(row, &asked), row)).collect();
            exact.sort_by(|a, b| b.0.total_cmp(&a.0));
            let near = packed.near(&asked, compared, |_| true);
            let one_by_one: Vec<f32> = near.iter().map(|(row, _)| packed.cosine(*row, &asked)).collect();
            assert_eq!(packed.cosines(&near, &asked), one_by_one);
            assert!((compared..rows / 2).contains(&near.len()), "{}", near.len());
            assert!(near.is_sorted() && near.iter().all(|(row, owner)| *row as u32 == *owner && *row >= 10));
            let found = exact.iter().take(10).filter(|(_, row)| near.binary_search(&(*row, *row as u32)).is_ok()).count();
            assert_eq!(found, 10, "of {compared}");
            assert_eq!(packed.near(&asked, compared, |owner| owner < 100).len(), 90, "few are all compared");
        }
    }

    #[test]
    fn another_length_has_no_cosine_and_is_not_kept() {
        let packed = packed(&[(0, &[1.0, 0.0]), (1, &[1.0])]);
        assert_eq!(all(&packed, &[1.0, 0.0]), [(0, 0)]);
        assert!(packed.asked(&[1.0]).is_none());
        assert!((packed.cosine(0, &packed.asked(&[1.0, 0.0]).unwrap()) - 1.0).abs() < 0.0005);
        assert!(Packed::default().asked(&[]).is_none());
    }

    #[test]
    fn rows_that_are_gone_give_their_room_back() {
        let mut packed = packed(&[(0, &[1.0, 0.0]), (1, &[0.0, 1.0]), (1, &[0.6, 0.8]), (2, &[-1.0, 0.0])]);
        packed.remove(0..1);
        assert!(packed.compact().is_none(), "most are still there");
        packed.remove(1..3);
        assert_eq!(packed.compact(), Some(vec![(2, 0..1)]));
        assert_eq!((all(&packed, &[1.0, 0.0]), packed.vector(0)), (vec![(0, 2)], vec![-1.0, 0.0]));
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
            prop_assert!((kept - exact).abs() < 0.0005, "{} {}", kept, exact);
            prop_assert!(vector.iter().zip(&packed.vector(0)).all(|(x, y)| (x - y).abs() < 0.0002));
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
