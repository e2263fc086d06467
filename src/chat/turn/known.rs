//! Answers that need no model: a greeting, a row that is the answer itself, and that the base does not
//! know; and what a model says of that all the same, where the shop allows it.

use serde_json::json;

use super::{Ending, Turning, status, words};
use crate::chat::{EventKind, Stage, cite, rewrite, suggest};
use crate::error::Result;
use crate::knowledge::{Decision, Hit, SearchOutcome};
use crate::memory::Turn;
use crate::memory::summary::Remembered;
use crate::models::FinishReason;

impl Turning {
    pub(super) fn greet(&mut self) -> Ending {
        self.outcome.query = self.request.text.clone();
        // Nothing was searched, so nothing was decided: whoever counts what has no answer counts no greetings.
        self.outcome.trace = json!({"intent": "greeting", "rewrite": self.rewriting});
        self.emit(EventKind::ResponseSources { decision: Decision::None, sources: Vec::new(), courtesy: true, unsourced: false });
        let thanked = rewrite::thanks(&self.request.text);
        self.say(if thanked { words::welcome(self.language) } else { words::greeting(self.language) });
        Ending::Finished(FinishReason::Stop)
    }

    /// The row itself is the answer.
    pub(super) fn answer_directly(&mut self, hits: &[Hit], sources: &[Hit]) -> Ending {
        let Some(row) = sources.first() else { return self.admit(hits) };
        let (text, citation) = cite::whole(&self.sayable(row), 1);
        self.say(&text);
        self.outcome.citations = json!([citation]);
        self.next = suggest::after_answer(hits, sources, self.language);
        Ending::Finished(FinishReason::Stop)
    }

    /// The base does not know: says so and offers the nearest questions.
    pub(super) fn admit(&mut self, hits: &[Hit]) -> Ending {
        self.next = suggest::instead(hits, self.language);
        self.say(words::not_found(self.language));
        Ending::Finished(FinishReason::Stop)
    }

    /// Whether a model answers what the base does not know.
    pub(super) fn answers_unsourced(&self) -> bool {
        self.engine.answers_unsourced(&self.tenant, &self.model)
    }

    /// The model's own knowledge, behind a sentence that says so; never kept for others, because no row says when it is old.
    pub(super) async fn answer_unsourced(&mut self, found: &SearchOutcome, earlier: &[Turn], remembered: &Remembered) -> Result<Ending> {
        let asking = self.asking_unsourced().await?;
        let request = self.compose(&asking, &found.query, &[], earlier, remembered)?;
        self.next = suggest::instead(&found.hits, self.language);
        if let Some(reached) = self.spend(&request).await? {
            return Ok(Ending::Broken(reached));
        }
        self.emit(status(Stage::Generating, None));
        self.preface = words::unsourced(self.language);
        self.stream(asking.reasoning, request, 0).await
    }
}
