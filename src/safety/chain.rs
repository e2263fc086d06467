//! Guardrails one after the other: each sees what the one before it left, and a refusal ends it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Action, Checked, Finding, Guardrail, Look, Rule, Verdict, redacted};

/// Rules as one guardrail.
pub struct Rules(pub Vec<Arc<dyn Rule>>);

#[async_trait]
impl Guardrail for Rules {
    async fn check(&self, text: &str, look: &Look<'_>) -> Verdict {
        Verdict::of(self.0.iter().flat_map(|rule| rule.find(text, look.language)).collect())
    }
}

/// Runs a text through its guardrails.
pub async fn check(guardrails: &[Arc<dyn Guardrail>], text: &str, look: &Look<'_>) -> Checked {
    let mut checked = Checked { text: text.to_owned(), ..Checked::default() };
    for guardrail in guardrails {
        let (findings, refused) = match guardrail.check(&checked.text, look).await {
            Verdict::Allow(findings) | Verdict::Redact(findings) => (findings, false),
            Verdict::Refuse(findings) => (findings, true),
        };
        checked.text = redacted(&checked.text, &findings);
        checked.notes.add(look.stage, &findings);
        checked.refused = refused;
        if refused {
            break;
        }
    }
    checked
}

/// A finding about a text as a whole, which has no span to replace.
pub fn about_all(rule: &'static str, action: Action) -> Finding {
    Finding { rule, action, span: 0..0, instead: String::new() }
}
