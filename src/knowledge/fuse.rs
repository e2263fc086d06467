//! Puts the two legs' rankings together (pure). Weighted scores are the default, because measured on
//! ten sets they beat BM25 alone on all ten while reciprocal rank fusion lost where one leg is weak.

use std::collections::HashMap;

use super::LegRank;
use super::index::Scored;
use crate::ids::EntryId;

/// An entry after fusion.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    /// The entry.
    pub entry: EntryId,
    /// Its passage that matched best in the leg that contributed more.
    pub seq: u32,
    /// The fused score.
    pub score: f32,
    /// Its place in the BM25 leg.
    pub lexical: Option<LegRank>,
    /// Its place in the vector leg.
    pub semantic: Option<LegRank>,
}

/// One leg: its ranking, then scores of further candidates that it did not list.
#[derive(Clone, Copy, Debug, Default)]
pub struct LegResult<'a> {
    /// Best first.
    pub ranked: &'a [Scored],
    /// Candidates of the other leg, scored by this one.
    pub others: &'a [Scored],
}

impl<'a> LegResult<'a> {
    fn places(self) -> impl Iterator<Item = (&'a Scored, LegRank)> {
        let ranked = self.ranked.iter().enumerate().map(|(i, hit)| (hit, LegRank { rank: i + 1, score: hit.score }));
        ranked.chain(self.others.iter().map(|hit| (hit, LegRank { rank: 0, score: hit.score })))
    }
}

/// `weight · bm25 / best bm25 + (1 − weight) · max(cosine, 0)` over the union of both legs' candidates,
/// best first. A leg that brings nothing is gated: the other one decides alone.
pub fn weighted(lexical: LegResult<'_>, semantic: LegResult<'_>, weight: f32) -> Vec<Fused> {
    let best = lexical.ranked.first().map_or(0.0, |hit| hit.score);
    let any_vector = semantic.ranked.first().is_some_and(|hit| hit.score > 0.0);
    let weight = match (best > 0.0, any_vector) {
        (true, true) => weight,
        (true, false) => 1.0,
        _ => 0.0,
    };
    let mut fused: HashMap<&EntryId, Fused> = HashMap::new();
    for (hit, place) in lexical.places() {
        let share = if best > 0.0 { weight * place.score / best } else { 0.0 };
        let empty = Fused { entry: hit.entry.clone(), seq: hit.seq, score: 0.0, lexical: None, semantic: None };
        let entry = fused.entry(&hit.entry).or_insert(empty);
        entry.score += share;
        entry.lexical = Some(place);
    }
    for (hit, place) in semantic.places() {
        let share = (1.0 - weight) * place.score.max(0.0);
        let empty = Fused { entry: hit.entry.clone(), seq: hit.seq, score: 0.0, lexical: None, semantic: None };
        let entry = fused.entry(&hit.entry).or_insert(empty);
        if share > entry.score {
            entry.seq = hit.seq;
        }
        entry.score += share;
        entry.semantic = Some(place);
    }
    let mut fused: Vec<Fused> = fused.into_values().collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.entry.cmp(&b.entry)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(entry: &str, score: f32) -> Scored {
        Scored { entry: EntryId::from_text(entry), seq: 0, score }
    }

    fn order(fused: &[Fused]) -> Vec<&str> {
        fused.iter().map(|f| f.entry.as_str()).collect()
    }

    #[test]
    fn both_legs_count_and_a_silent_leg_is_gated() {
        let lexical = [hit("a", 10.0), hit("b", 8.0)];
        let semantic = [hit("b", 0.9), hit("a", 0.2)];
        let legs = |s| LegResult { ranked: s, others: &[] };
        assert_eq!(order(&weighted(legs(&lexical), legs(&semantic), 0.5)), ["b", "a"]);
        let alone = weighted(legs(&lexical), legs(&[]), 0.5);
        assert_eq!((order(&alone), alone[0].score), (vec!["a", "b"], 1.0));
        assert_eq!(order(&weighted(legs(&[]), legs(&semantic), 0.5)), ["b", "a"]);
        assert!(weighted(legs(&[]), legs(&[]), 0.5).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn scores_stay_between_zero_and_one(scores in proptest::collection::vec((0.0f32..50.0, -1.0f32..1.0), 1..30), weight in 0.0f32..=1.0) {
            let mut lexical: Vec<_> = scores.iter().enumerate().map(|(i, s)| hit(&i.to_string(), s.0)).collect();
            lexical.sort_by(|a, b| b.score.total_cmp(&a.score));
            let semantic: Vec<_> = scores.iter().enumerate().map(|(i, s)| hit(&i.to_string(), s.1)).collect();
            for fused in weighted(LegResult { ranked: &lexical, others: &[] }, LegResult { ranked: &[], others: &semantic }, weight) {
                proptest::prop_assert!((0.0..=1.0001).contains(&fused.score));
            }
        }
    }
}
