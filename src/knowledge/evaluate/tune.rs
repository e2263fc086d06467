//! Looks for weights and a threshold that do better on labelled questions: chosen on one half of them,
//! reported on the other beside what is in force.

use serde::Serialize;

use super::{Sample, ids_of_fused, mean_figures, share};
use crate::config::{Fusion, SearchConfig};
use crate::ids::EntryId;
use crate::knowledge::fuse::Weights;
use crate::knowledge::tuning::Tuning;

/// Weights tried lie this far apart.
const STEPS: u16 = 20;
/// Answerable questions of the tuning half that the threshold may lose.
const MOST_LOST: f64 = 0.04;
/// nDCG@10 that a tuning may cost on the other half; less than chance moves it.
const SLACK: f64 = 0.003;
/// With fewer labelled questions a half says nothing.
pub const LEAST: usize = 20;

/// The outcome of tuning.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tuned {
    /// What was chosen.
    #[serde(flatten)]
    pub tuning: Tuning,
    /// The other half with it.
    pub held_out: HeldOut,
    /// The other half with what is in force.
    pub in_force: HeldOut,
    /// Whether it does at least as well as what is in force.
    pub holds: bool,
    /// Whether it was kept for the shop.
    pub kept: bool,
}

/// Figures of the questions that nothing was chosen on.
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

/// Chooses on the even questions, reports on the odd ones.
pub(super) fn on_half(samples: &[Sample], in_force: &SearchConfig) -> Tuned {
    let half = |rest: usize| samples.iter().enumerate().filter(move |(i, _)| i % 2 == rest).map(|(_, sample)| sample).collect::<Vec<_>>();
    let (chosen_on, other) = (half(0), half(1));
    let weights = choose_weights(&chosen_on, in_force.into());
    let grounded_threshold = choose_threshold(&chosen_on);
    let held_out = held_out(&other, weights, grounded_threshold);
    let before = self::held_out(&other, in_force.into(), in_force.grounded_threshold);
    Tuned {
        tuning: Tuning {
            fusion: weights.fusion,
            lexical_weight: weights.lexical,
            lexical_weight_bare: weights.lexical_bare,
            grounded_threshold,
            chosen_on: chosen_on.len(),
            held_out_ndcg10: held_out.ndcg10,
        },
        holds: samples.len() >= LEAST && held_out.ndcg10 >= before.ndcg10 - SLACK,
        held_out,
        in_force: before,
        kept: false,
    }
}

/// One weight after the other, then fusion by ranks; a change must gain something.
fn choose_weights(group: &[&Sample], in_force: Weights) -> Weights {
    let steps = || (0..=STEPS).map(|step| f32::from(step) / f32::from(STEPS));
    let base = Weights { fusion: Fusion::Weighted, ..in_force };
    let mut best = (ndcg(group, in_force), in_force);
    let lexical = steps().map(|lexical| Weights { lexical, ..base }).collect();
    try_all(group, lexical, &mut best);
    let bare = steps().map(|lexical_bare| Weights { lexical_bare, ..Weights { fusion: Fusion::Weighted, ..best.1 } }).collect();
    try_all(group, bare, &mut best);
    try_all(group, vec![Weights { fusion: Fusion::Rrf, ..in_force }], &mut best);
    best.1
}

fn try_all(group: &[&Sample], candidates: Vec<Weights>, best: &mut (f64, Weights)) {
    for weights in candidates {
        let figure = ndcg(group, weights);
        if figure > best.0 {
            *best = (figure, weights);
        }
    }
}

/// The highest that loses at most a few of the answerable.
fn choose_threshold(group: &[&Sample]) -> f32 {
    let mut thresholds = (0..=100u16).rev().map(|step| f32::from(step) / 100.0);
    thresholds.find(|threshold| refused(group, true, *threshold) <= MOST_LOST).unwrap_or(0.0)
}

fn held_out(group: &[&Sample], weights: Weights, threshold: f32) -> HeldOut {
    HeldOut {
        ndcg10: ndcg(group, weights),
        answerable_none: refused(group, true, threshold),
        unanswerable_none: refused(group, false, threshold),
    }
}

fn refused(group: &[&Sample], answerable: bool, threshold: f32) -> f64 {
    share(group.iter().filter(|sample| sample.answerable() == answerable).map(|sample| sample.confidence < threshold))
}

fn ndcg(group: &[&Sample], weights: Weights) -> f64 {
    let answerable = group.iter().filter(|sample| sample.answerable());
    let orders: Vec<(Vec<EntryId>, &[String])> =
        answerable.map(|sample| (ids_of_fused(&sample.ranking.fused(weights), 10), sample.query.relevant.as_slice())).collect();
    mean_figures(orders.iter().map(|(order, relevant)| (order.as_slice(), *relevant))).ndcg10
}
