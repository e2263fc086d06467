//! Answers that need no model: a greeting, a row that is the answer itself, and that the base does not
//! know.

use serde_json::json;

use super::{Ending, Turning, words};
use crate::chat::{EventKind, cite, rewrite, suggest};
use crate::knowledge::{Decision, Hit};
use crate::models::FinishReason;

impl Turning {
    pub(super) fn greet(&mut self) -> Ending {
        self.outcome.query = self.request.text.clone();
        // Nothing was searched, so nothing was decided: whoever counts what has no answer counts no greetings.
        self.outcome.trace = json!({"intent": "greeting", "rewrite": self.rewriting});
        self.emit(EventKind::ResponseSources { decision: Decision::None, sources: Vec::new(), courtesy: true });
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
}
