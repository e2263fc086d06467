//! Looks for weights and a threshold that do better on labelled questions, by cross-validation: every
//! question is judged once by settings that were chosen without it, beside what is in force.
//!
//! `direct_threshold` stays as configured. A direct answer needs more than confidence (no rival as sure, nearly the
//! same words, the same numbers), so of a few hundred questions hardly one is left that it answers wrongly and by which
//! a threshold could be chosen: the lowest would always win, and a wrong row would go out with no model to notice. And
//! labels say which rows answer, not which may answer alone.

use std::collections::HashMap;

use serde::Serialize;

use super::{Sample, figures, ids_of_fused};
use crate::config::{Fusion, SearchConfig};
use crate::knowledge::fuse::Weights;
use crate::knowledge::plan::fingerprint;
use crate::knowledge::tuning::Tuning;

/// Weights tried lie this far apart.
const STEPS: u16 = 20;
/// Answerable questions that the threshold may lose of those it is chosen on.
const MOST_LOST: f64 = 0.04;
/// nDCG@10 that a tuning may cost; less than chance moves it.
const SLACK: f64 = 0.003;
/// Parts that the questions fall into.
pub const FOLDS: usize = 5;
/// Part of what decides which question falls into which part, so that every run has the same.
const SEED: &str = "2026-11-26";
/// With fewer labelled questions a part says nothing.
pub const LEAST: usize = 20;

/// The outcome of tuning.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tuned {
    /// What was chosen on all questions.
    #[serde(flatten)]
    pub tuning: Tuning,
    /// Parts that were held out, one after the other.
    pub folds: usize,
    /// Every question under what was chosen without its part.
    pub held_out: HeldOut,
    /// Every question under what is in force.
    pub in_force: HeldOut,
    /// Whether it does at least as well as what is in force.
    pub holds: bool,
    /// Whether it was kept for the shop.
    pub kept: bool,
}

/// Figures of questions under settings that were not chosen on them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeldOut {
    /// Fused nDCG@10.
    #[serde(rename = "ndcg@10")]
    pub ndcg10: f64,
    /// Share of the answerable that are refused.
    pub answerable_none: f64,
    /// Share of the unanswerable that are refused.
    pub unanswerable_none: f64,
}

/// Chooses without each part in turn and judges that part; what is proposed in the end is chosen on all.
pub(super) fn cross_validated(samples: &[Sample], in_force: &SearchConfig) -> Tuned {
    let mut gains = Gains::of(samples);
    let part_of = folds(&samples.iter().map(|sample| (sample.answerable(), sample.query.query.as_str())).collect::<Vec<_>>());
    let parted = |fold: usize| (0..samples.len()).partition::<Vec<_>, _>(|&question| part_of[question] == fold);
    let mut judged = Vec::new();
    for fold in 0..FOLDS {
        let (out, rest) = parted(fold);
        let (weights, threshold) = choose(&mut gains, &rest, in_force);
        judged.extend(gains.outcomes(&out, weights, threshold));
    }
    let all: Vec<usize> = (0..samples.len()).collect();
    let (weights, grounded_threshold) = choose(&mut gains, &all, in_force);
    let held_out = HeldOut::of(&judged);
    let before = HeldOut::of(&gains.outcomes(&all, in_force.into(), in_force.grounded_threshold));
    Tuned {
        tuning: Tuning {
            fusion: weights.fusion,
            lexical_weight: weights.lexical,
            lexical_weight_bare: weights.lexical_bare,
            grounded_threshold,
            chosen_on: samples.len(),
            held_out_ndcg10: held_out.ndcg10,
        },
        folds: FOLDS,
        holds: samples.len() >= LEAST && held_out.ndcg10 >= before.ndcg10 - SLACK,
        held_out,
        in_force: before,
        kept: false,
    }
}

/// The part of each question, given whether it is answerable and its text: as many of either kind in every
/// part, and the same whatever the order of the file.
fn folds(questions: &[(bool, &str)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..questions.len()).collect();
    order.sort_by_cached_key(|&at| (questions[at].0, fingerprint(&format!("{SEED}{}", questions[at].1))));
    let mut part_of = vec![0; questions.len()];
    for (place, question) in order.into_iter().enumerate() {
        part_of[question] = place % FOLDS;
    }
    part_of
}

fn choose(gains: &mut Gains<'_>, group: &[usize], in_force: &SearchConfig) -> (Weights, f32) {
    let sure: Vec<(bool, f32)> = group.iter().map(|&at| &gains.samples[at]).map(|one| (one.answerable(), one.confidence)).collect();
    (choose_weights(gains, group, in_force.into()), choose_threshold(&sure).unwrap_or(in_force.grounded_threshold))
}

/// One weight after the other, then fusion by ranks; a change must gain something.
fn choose_weights(gains: &mut Gains<'_>, group: &[usize], in_force: Weights) -> Weights {
    let steps = || (0..=STEPS).map(|step| f32::from(step) / f32::from(STEPS));
    let base = Weights { fusion: Fusion::Weighted, ..in_force };
    let mut best = (gains.mean(group, in_force), in_force);
    let mut try_all = |candidates: Vec<Weights>, best: &mut (f64, Weights)| {
        for weights in candidates {
            let figure = gains.mean(group, weights);
            if figure > best.0 {
                *best = (figure, weights);
            }
        }
    };
    try_all(steps().map(|lexical| Weights { lexical, ..base }).collect(), &mut best);
    let bare = steps().map(|lexical_bare| Weights { lexical_bare, ..Weights { fusion: Fusion::Weighted, ..best.1 } }).collect();
    try_all(bare, &mut best);
    try_all(vec![Weights { fusion: Fusion::Rrf, ..in_force }], &mut best);
    best.1
}

/// The highest that loses at most a few of the answerable, given of each question whether it is and how sure the best
/// row is. None without questions of both kinds: then one side only would pull at it.
fn choose_threshold(questions: &[(bool, f32)]) -> Option<f32> {
    let answerable: Vec<f32> = questions.iter().filter(|(answerable, _)| *answerable).map(|(_, confidence)| *confidence).collect();
    if answerable.is_empty() || answerable.len() == questions.len() {
        return None;
    }
    let lost = |threshold: f32| answerable.iter().filter(|confidence| **confidence < threshold).count() as f64;
    let mut thresholds = (0..=100u16).rev().map(|step| f32::from(step) / 100.0);
    thresholds.find(|threshold| lost(*threshold) <= MOST_LOST * answerable.len() as f64)
}

/// nDCG@10 of every question under the weights asked for, each computed once for all parts.
struct Gains<'a> {
    samples: &'a [Sample],
    known: HashMap<(bool, u32, u32), Vec<f64>>,
}

impl<'a> Gains<'a> {
    fn of(samples: &'a [Sample]) -> Self {
        Self { samples, known: HashMap::new() }
    }

    fn under(&mut self, weights: Weights) -> &[f64] {
        let key = (weights.fusion == Fusion::Rrf, weights.lexical.to_bits(), weights.lexical_bare.to_bits());
        let gain = |sample: &Sample| figures(&ids_of_fused(&sample.ranking.fused(weights), 10), &sample.query.relevant).ndcg10;
        self.known.entry(key).or_insert_with(|| self.samples.iter().map(gain).collect())
    }

    /// Over the answerable questions of a group.
    fn mean(&mut self, group: &[usize], weights: Weights) -> f64 {
        let samples = self.samples;
        let gains = self.under(weights);
        mean(group.iter().filter(|&&at| samples[at].answerable()).map(|&at| gains[at]))
    }

    fn outcomes(&mut self, group: &[usize], weights: Weights, threshold: f32) -> Vec<Outcome> {
        let samples = self.samples;
        let gains = self.under(weights);
        let outcome =
            |&at: &usize| Outcome { answerable: samples[at].answerable(), gain: gains[at], refused: samples[at].confidence < threshold };
        group.iter().map(outcome).collect()
    }
}

/// What one question came to.
struct Outcome {
    answerable: bool,
    gain: f64,
    refused: bool,
}

impl HeldOut {
    fn of(outcomes: &[Outcome]) -> Self {
        let refused = |answerable: bool| {
            mean(outcomes.iter().filter(|outcome| outcome.answerable == answerable).map(|outcome| f64::from(u8::from(outcome.refused))))
        };
        Self {
            ndcg10: mean(outcomes.iter().filter(|outcome| outcome.answerable).map(|outcome| outcome.gain)),
            answerable_none: refused(true),
            unanswerable_none: refused(false),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count == 0.0 { 0.0 } else { sum / count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_share_of_either_kind_whatever_the_order() {
        let texts: Vec<String> = (0..40).map(|i| format!("问题 {i}")).collect();
        let questions: Vec<(bool, &str)> = texts.iter().enumerate().map(|(i, text)| (i < 25, text.as_str())).collect();
        let parts = folds(&questions);
        for fold in 0..FOLDS {
            let of = |answerable: bool| questions.iter().zip(&parts).filter(|((a, _), part)| *a == answerable && **part == fold).count();
            assert_eq!((of(true), of(false)), (5, 3), "part {fold}");
        }
        let turned: Vec<_> = questions.iter().rev().copied().collect();
        let mut again = folds(&turned);
        again.reverse();
        assert_eq!(parts, again);
        assert!(folds(&[]).is_empty());
    }

    #[test]
    fn a_threshold_is_chosen_only_where_questions_of_both_kinds_pull_at_it() {
        let sure = |answerable: bool, confidences: &[f32]| confidences.iter().map(|&one| (answerable, one)).collect::<Vec<_>>();
        let (answerable, unanswerable) = (sure(true, &[0.705, 0.9, 0.95]), sure(false, &[0.2, 0.6]));
        assert_eq!(choose_threshold(&[answerable.clone(), unanswerable.clone()].concat()), Some(0.7));
        assert_eq!(choose_threshold(&answerable), None, "nothing to refuse: any threshold only costs");
        assert_eq!(choose_threshold(&unanswerable), None, "nothing to lose: it would refuse everything");
        assert_eq!(choose_threshold(&[]), None);
    }

    #[test]
    fn figures_are_those_of_all_parts_together() {
        let outcome = |answerable, gain, refused| Outcome { answerable, gain, refused };
        let all = HeldOut::of(&[outcome(true, 1.0, false), outcome(true, 0.5, true), outcome(false, 0.0, true)]);
        assert_eq!((all.ndcg10, all.answerable_none, all.unanswerable_none), (0.75, 0.5, 1.0));
        assert_eq!(HeldOut::of(&[]).ndcg10, 0.0);
    }
}
