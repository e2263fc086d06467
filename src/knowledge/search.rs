//! stub
use super::{Decision, Hit, Revision};
use serde::Serialize;
/// What is searched with.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub text: String,
    /// Rows of this market and of none; `None` does not filter.
    pub market: Option<String>,
    /// Rows of this locale and of none; `None` does not filter.
    pub locale: Option<String>,
    /// Most hits to return.
    pub top: usize,
}
/// What a search brought.
#[derive(Clone, Debug)]
pub struct SearchOutcome {
    pub query: String,
    pub decision: Decision,
    /// In rank order, failed near-misses included (`passed` false).
    pub hits: Vec<Hit>,
    pub revision: Revision,
    pub timings: SearchTimings,
}
/// Milliseconds per stage.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SearchTimings { pub embed: f64, pub legs: f64, pub fuse: f64, pub load: f64, pub total: f64 }
impl SearchOutcome {
    /// The contract's `kb search` JSON.
    pub fn to_json(&self) -> serde_json::Value { unimplemented!() }
}
