//! What the base has to say: the search, and the hits that are told as sources before any text.

use std::time::Instant;

use serde_json::json;

use super::spans::Searched;
use super::{Turning, ms};
use crate::chat::{EventKind, Source};
use crate::error::Result;
use crate::knowledge::{Decision, Hit, Query, SearchOutcome};

/// Hits looked at beyond the sources, for suggestions and the trace.
const LOOK_ASIDE: usize = 5;
/// Characters of a quote that stand for a title.
const TITLE: usize = 40;
/// Longest snippet of a source, in characters: as a passage in Latin letters may be, so that what is marked in a row
/// is what was quoted of it and does not end in the middle of a sentence.
const SNIPPET: usize = 1_200;

impl Turning {
    pub(super) async fn search(&mut self, query: &str) -> Result<SearchOutcome> {
        let parts = &self.engine.0.parts;
        let asked =
            Query { text: query.to_owned(), market: self.request.market.clone(), top: parts.sources + LOOK_ASIDE, ..Query::default() };
        let started = Instant::now();
        let found = match self.request.trial.as_ref().and_then(|trial| trial.search) {
            Some(tried) => parts.knowledge.search_by(&self.tenant, &asked, &tried).await?,
            None => parts.knowledge.search(&self.tenant, &asked).await?,
        };
        self.timings.retrieval = ms(started);
        self.measure_legs(&found);
        self.searched = Some(Searched::new(started, &found));
        self.outcome.query = query.to_owned();
        self.outcome.decision = serde_json::to_value(found.decision)?.as_str().map(str::to_owned);
        self.outcome.trace = json!({
            "asked": self.request.text.trim(), "query": query, "market": self.request.market,
            "search": found.to_json(), "facts": self.facts, "rewrite": self.rewriting,
        });
        Ok(found)
    }

    /// Numbers the hits that count and tells them before any text: the hits, and the same as a model may read them.
    /// What is shown of a row has passed the guardrails like an answer.
    pub(super) async fn cite_sources(&mut self, found: &SearchOutcome) -> (Vec<Hit>, Vec<Hit>) {
        let hits = sources_of(found, self.engine.0.parts.sources);
        let readable = self.readable(&hits).await;
        let mut sources = Vec::with_capacity(hits.len());
        for (n, hit) in (1..).zip(&readable) {
            sources.push(self.source(n, hit));
        }
        self.outcome.sources = json!(sources);
        self.so_far.told().sources = self.outcome.sources.clone();
        let unsourced = found.decision == Decision::None && self.answers_unsourced();
        self.outcome.unsourced = unsourced;
        let mut told = self.so_far.told();
        told.decision = serde_json::to_value(found.decision).ok().and_then(|word| word.as_str().map(str::to_owned));
        told.unsourced = unsourced;
        drop(told);
        self.emit(EventKind::ResponseSources { decision: found.decision, sources, courtesy: false, unsourced });
        (hits, readable)
    }

    fn source(&mut self, n: u32, hit: &Hit) -> Source {
        let draft = &hit.entry.draft;
        let quoted = if draft.answer.contains(&hit.passage) && !hit.passage.is_empty() { &hit.passage } else { &draft.answer };
        let given = [draft.answer.as_str(), draft.url.as_deref().unwrap_or_default()];
        let (title, quoted) = (self.presentable(&draft.question, &given), self.presentable(quoted, &given));
        Source {
            n,
            entry_id: hit.entry.id.to_string(),
            title: if title.is_empty() { quoted.chars().take(TITLE).collect() } else { title },
            snippet: quoted.chars().take(SNIPPET).collect(),
            url: draft.url.clone().filter(|url| is_web(url)),
            score: hit.score,
        }
    }
}

/// Whether a reader may be led there: a row's address is whatever somebody wrote into its cell.
pub(in crate::chat) fn is_web(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// The hits that count, of which a model gets `most`.
pub(in crate::chat) fn sources_of(found: &SearchOutcome, most: usize) -> Vec<Hit> {
    let most = match found.decision {
        Decision::Direct => 1,
        Decision::Grounded => most,
        Decision::None => 0,
    };
    found.hits.iter().filter(|hit| hit.passed).take(most).cloned().collect()
}

/// A follow-up made to stand alone is our reading of it, so a row never answers it without a model.
pub(super) fn grounded_when_rewritten(mut found: SearchOutcome, asked: &str) -> SearchOutcome {
    if found.decision == Decision::Direct && found.query != asked {
        found.decision = Decision::Grounded;
    }
    found
}
