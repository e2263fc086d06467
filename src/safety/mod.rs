//! What may not come in, get stored, reach a provider or go out: guardrails on the question, on the
//! retrieved text, and on the answer while it streams. Rules find spans in a text; what is to be done
//! with them is a [`Verdict`]. [`Safety`] is the front door; every verdict that was not plain "allow"
//! is audited without the text it was about.

use std::ops::Range;

use async_trait::async_trait;
use serde::Serialize;

use crate::ids::TenantId;
use crate::ledger::Beside;
use crate::models::Language;

mod chain;
mod door;
pub mod fold;
pub mod hold;
pub mod injection;
pub mod judge;
pub mod links;
mod numbers;
pub mod personal;
mod seen;
mod store;
pub mod words;

pub use door::{Safety, SafetyParts};
pub use hold::HoldBack;
pub use store::AuditedVerdict;

/// Which text of a turn is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// What the merchant wrote.
    Question,
    /// What retrieval brought, before a model reads it.
    Source,
    /// What is said.
    Answer,
}

/// What is done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Noted, nothing else.
    Flag,
    /// The span is replaced.
    Redact,
    /// The whole text is not answered.
    Refuse,
}

/// Something a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule, e.g. `personal.phone`.
    pub rule: &'static str,
    /// What is done about it.
    pub action: Action,
    /// The bytes it is about.
    pub span: Range<usize>,
    /// What stands there instead when it is redacted.
    pub instead: String,
}

/// What a guardrail says of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it is; what is only noted comes along.
    Allow(Vec<Finding>),
    /// With these spans replaced.
    Redact(Vec<Finding>),
    /// Not at all; spans in it are replaced before it is stored.
    Refuse(Vec<Finding>),
}

impl Verdict {
    /// The gravest action among the findings decides.
    pub fn of(findings: Vec<Finding>) -> Self {
        match findings.iter().map(|finding| finding.action).max() {
            Some(Action::Refuse) => Self::Refuse(findings),
            Some(Action::Redact) => Self::Redact(findings),
            Some(Action::Flag) | None => Self::Allow(findings),
        }
    }
}

/// What a guardrail may want to know beside the text.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Whose shop.
    pub tenant: &'a TenantId,
    /// Which text it is.
    pub stage: Stage,
    /// The language placeholders are written in.
    pub language: Language,
    /// Told of calls that a guardrail makes, and stops them.
    pub beside: Option<&'a Beside>,
}

/// Judges whole texts. Rules do it at once; another guardrail may ask a model or a service.
#[async_trait]
pub trait Guardrail: Send + Sync {
    /// What is to be done with `text`.
    async fn check(&self, text: &str, look: &Look<'_>) -> Verdict;
}

/// Finds spans in a text, the same ones however much stands around them, so that it also works on an
/// answer of which only a window is seen.
pub trait Rule: Send + Sync {
    /// Everything it finds.
    fn find(&self, text: &str, language: Language) -> Vec<Finding>;

    /// From which byte on the end of `text` may still turn into a finding when more text comes;
    /// `text.len()` when nothing is pending.
    fn open_from(&self, text: &str) -> usize {
        text.len()
    }

    /// Where `text` may be cut instead of at `at`, so that nothing that this rule reads as one is torn:
    /// of what went out only the end is looked at again.
    fn untorn(&self, _text: &str, at: usize) -> usize {
        at
    }
}

/// A text after its guardrails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// With everything replaced that had to be.
    pub text: String,
    /// Whether it may not be answered.
    pub refused: bool,
    /// What was found, for the audit.
    pub notes: Notes,
}

/// What was found, counted, without any text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(std::collections::BTreeMap<(Stage, &'static str, Action), u32>);

impl Notes {
    /// Counts findings.
    pub fn add(&mut self, stage: Stage, findings: &[Finding]) {
        for finding in findings {
            *self.0.entry((stage, finding.rule, finding.action)).or_default() += 1;
        }
    }

    /// Counts what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stage, rule, action and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, &'static str, Action, u32)> + '_ {
        self.0.iter().map(|(&(stage, rule, action), &count)| (stage, rule, action, count))
    }
}

/// Findings without overlaps, in order: those that overlap become one that covers them all.
fn united(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.retain(|finding| finding.action != Action::Flag && !finding.span.is_empty());
    findings.sort_by_key(|finding| (finding.span.start, std::cmp::Reverse(finding.span.end)));
    let mut out: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings {
        match out.last_mut() {
            Some(last) if finding.span.start < last.span.end => last.span.end = last.span.end.max(finding.span.end),
            _ => out.push(finding),
        }
    }
    out
}

/// `text` with what was found replaced.
pub fn redacted(text: &str, findings: &[Finding]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for finding in united(findings.to_vec()) {
        out.push_str(&text[at..finding.span.start]);
        out.push_str(&finding.instead);
        at = finding.span.end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(span: Range<usize>, instead: &str) -> Finding {
        Finding { rule: "test", action: Action::Redact, span, instead: instead.into() }
    }

    #[test]
    fn overlapping_findings_are_covered_as_one() {
        let findings = [finding(4..6, "B"), finding(1..3, "A"), finding(2..5, "C")];
        assert_eq!(redacted("0123456789", &findings), "0A6789");
        assert_eq!(redacted("0123", &[]), "0123");
    }

    #[test]
    fn the_gravest_action_decides() {
        let refuse = Finding { action: Action::Refuse, ..finding(0..1, "") };
        assert!(matches!(Verdict::of(vec![finding(0..1, ""), refuse]), Verdict::Refuse(_)));
        assert!(matches!(Verdict::of(vec![finding(0..1, "")]), Verdict::Redact(_)));
        assert_eq!(Verdict::of(Vec::new()), Verdict::Allow(Vec::new()));
    }
}
