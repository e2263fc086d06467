//! Where the guardrails stand in a turn: a refused question, sources a model may read, an answer that is
//! watched while it is said, and the audit.

use serde_json::json;

use super::{Ending, Turning, words};
use crate::chat::EventKind;
use crate::error::Result;
use crate::ids::TenantId;
use crate::knowledge::{Decision, Hit};
use crate::models::{CompletionRequest, Role};
use crate::safety::{HoldBack, Notes, Safety};

/// Rows as a model may read them, and what was found in them.
pub(in crate::chat) async fn readable(safety: &Safety, tenant: &TenantId, rows: &[Hit]) -> (Vec<Hit>, Notes) {
    let (mut rows, mut notes) = (rows.to_vec(), Notes::default());
    for hit in &mut rows {
        let draft = &mut hit.entry.draft;
        let texts = [&mut draft.question, &mut draft.answer, &mut hit.passage].into_iter().chain(&mut draft.market);
        for text in texts {
            let checked = safety.source(tenant, text).await;
            *text = checked.text;
            notes.merge(&checked.notes);
        }
    }
    (rows, notes)
}

impl Turning {
    /// Asks the model that judges questions, where there is one, about what the rules let through. In the turn, not
    /// before it: a message that was sent twice is judged once, and nobody waits for it to be accepted.
    pub(super) async fn judge(&mut self) {
        if self.checked.refused {
            return;
        }
        let judged = self.engine.0.parts.safety.judge(&self.tenant, &self.request.text, &self.beside).await;
        self.checked.refused = judged.refused;
        self.checked.notes.merge(&judged.notes);
    }

    /// A question that is not answered: kindly, without a search and without a model that answers.
    pub(super) fn refuse(&mut self) -> Ending {
        self.outcome.query = self.request.text.clone();
        self.outcome.decision = Some("none".to_owned());
        self.outcome.trace = json!({"intent": "refused"});
        self.emit(EventKind::ResponseSources { decision: Decision::None, sources: Vec::new(), courtesy: false, unsourced: false });
        self.say(words::refused(self.language));
        Ending::Refused
    }

    /// The sources as a model reads them.
    pub(super) async fn readable(&mut self, sources: &[Hit]) -> Vec<Hit> {
        let (hits, notes) = readable(&self.engine.0.parts.safety, &self.tenant, sources).await;
        self.checked.notes.merge(&notes);
        hits
    }

    /// Earlier messages of a stateless client go to the provider like the question, so they are checked
    /// like it.
    pub(super) async fn check_history(&mut self) {
        let safety = self.engine.0.parts.safety.clone();
        for message in self.request.history.iter_mut().flatten() {
            let checked = safety.aside(&self.tenant, &message.content).await;
            message.content = checked.text;
            self.checked.notes.merge(&checked.notes);
        }
    }

    /// Watches what a model says. It may name what it was given, but not repeat its instruction.
    pub(super) fn watch(&self, request: &CompletionRequest) -> HoldBack {
        let (mut instruction, mut given) = (String::new(), Vec::with_capacity(request.messages.len()));
        for message in &request.messages {
            match message.role {
                // The first is ours; the others are a client's own.
                Role::System if instruction.is_empty() => instruction.push_str(&message.content),
                _ => given.push(message.content.as_str()),
            }
        }
        self.engine.0.parts.safety.answer(&self.tenant, self.language, &given, &instruction)
    }

    /// A row that is the answer itself, as it may be said.
    pub(super) fn sayable(&mut self, row: &Hit) -> String {
        let draft = &row.entry.draft;
        let given = [draft.answer.as_str(), draft.url.as_deref().unwrap_or_default()];
        self.presentable(&draft.answer, &given)
    }

    /// A text of a row as it may go to a client: like an answer that is drawn from `given`.
    pub(super) fn presentable(&mut self, text: &str, given: &[&str]) -> String {
        let shown = self.engine.0.parts.safety.shown(&self.tenant, self.language, text, given);
        self.checked.notes.merge(&shown.notes);
        shown.text
    }

    /// Questions that may be offered as they are: one in which something had to be replaced would find no row.
    pub(super) async fn offerable(&mut self, questions: Vec<String>) -> Vec<String> {
        let mut offerable = Vec::with_capacity(questions.len());
        for question in questions {
            let checked = self.engine.0.parts.safety.source(&self.tenant, &question).await;
            self.checked.notes.merge(&checked.notes);
            if checked.text == question && self.presentable(&question, &[]) == question {
                offerable.push(question);
            }
        }
        offerable
    }

    /// Counts what was found in what was said.
    pub(super) fn note(&mut self, notes: &Notes) {
        self.checked.notes.merge(notes);
    }

    /// Writes the turn's verdicts down; an audit that fails is told, and the turn goes on.
    pub(super) async fn audit(&self) {
        let recorded: Result<()> = self.engine.0.parts.safety.record(&self.tenant, &self.turn.id, &self.checked.notes).await;
        if let Err(error) = recorded {
            tracing::error!(turn = %self.turn.id, %error, causes = error.causes(), "verdicts could not be audited");
        }
    }
}
