//! Vectors of one row in a quarter of their room: each number as a byte, with a scale per vector. The
//! cosine is off by less than 0.003 for vectors of 256 numbers (property-tested), far less than what
//! tells two rows apart.

/// The largest byte; -128 is not used, so that a number and its negative are packed alike.
const LARGEST: f32 = 127.0;

/// Unit vectors of one length, each with the number of its passage.
#[derive(Debug, Default)]
pub struct Packed {
    dimensions: usize,
    seqs: Vec<u32>,
    scales: Vec<f32>,
    bytes: Vec<i8>,
}

impl Packed {
    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.seqs.len()
    }

    /// Each passage with its cosine to a unit vector; none when their lengths differ (another
    /// embedder's).
    pub fn cosines(&self, query: &[f32]) -> impl Iterator<Item = (u32, f32)> {
        let there = if query.len() == self.dimensions { self.seqs.len() } else { 0 };
        let vectors = self.bytes.chunks_exact(self.dimensions.max(1));
        self.seqs.iter().zip(&self.scales).zip(vectors).take(there).map(|((seq, scale), bytes)| (*seq, scale * dot(query, bytes)))
    }

    /// A passage's vector, as good as it was kept.
    pub fn get(&self, seq: u32) -> Option<Vec<f32>> {
        let at = self.seqs.iter().position(|&other| other == seq)?;
        let bytes = self.bytes.get(at * self.dimensions..(at + 1) * self.dimensions)?;
        Some(bytes.iter().map(|&byte| f32::from(byte) * self.scales[at]).collect())
    }

    fn push(&mut self, seq: u32, vector: &[f32]) {
        let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = if largest > 0.0 { largest / LARGEST } else { 1.0 };
        self.seqs.push(seq);
        self.scales.push(scale);
        // In range by the choice of the scale; `as` saturates.
        self.bytes.extend(vector.iter().map(|x| (x / scale).round() as i8));
    }
}

impl<'a> FromIterator<(u32, &'a [f32])> for Packed {
    /// Vectors of another length than the first one's are left out: one embedder made all of them.
    fn from_iter<I: IntoIterator<Item = (u32, &'a [f32])>>(vectors: I) -> Self {
        let mut packed = Self::default();
        for (seq, vector) in vectors {
            if packed.seqs.is_empty() {
                packed.dimensions = vector.len();
            }
            if vector.len() == packed.dimensions {
                packed.push(seq, vector);
            }
        }
        packed.seqs.shrink_to_fit();
        packed.scales.shrink_to_fit();
        packed.bytes.shrink_to_fit();
        packed
    }
}

/// Of the same length.
fn dot(numbers: &[f32], bytes: &[i8]) -> f32 {
    // Eight sums side by side, which the compiler turns into vector instructions.
    let (a8, a_rest) = numbers.as_chunks::<8>();
    let (b8, b_rest) = bytes.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (x, y) in a8.iter().zip(b8) {
        for lane in 0..8 {
            sums[lane] += x[lane] * f32::from(y[lane]);
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * f32::from(*y)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_length_has_no_cosine_and_is_not_kept() {
        let packed: Packed = [(0, &[1.0, 0.0][..]), (1, &[1.0][..])].into_iter().collect();
        assert_eq!(packed.len(), 1);
        assert_eq!(packed.cosines(&[1.0]).count(), 0);
        assert_eq!(packed.cosines(&[1.0, 0.0]).collect::<Vec<_>>(), [(0, 1.0)]);
        assert_eq!(Packed::default().cosines(&[]).count(), 0);
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
            let packed: Packed = [(7, &vector[..])].into_iter().collect();
            let (seq, kept) = packed.cosines(&query).next().unwrap();
            prop_assert_eq!(seq, 7);
            prop_assert!((kept - exact).abs() < 0.003, "{} {}", kept, exact);
            let again = packed.get(7).unwrap();
            prop_assert!(vector.iter().zip(&again).all(|(x, y)| (x - y).abs() < 0.002));
        }
    }
}
