//! What is wrong or odd in a template, found without running it.

use serde::Serialize;

use super::{DemoKind, Part, PromptTemplate, Section, render};
use crate::error::Error;
use crate::models::Reasoning;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The template cannot be used, or fails for some values.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LintFinding {
    /// The template's file.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// How bad it is.
    pub level: Level,
    /// What it is and what to do.
    pub message: String,
}

impl LintFinding {
    /// The `prompt_invalid` error that says the same.
    pub(super) fn to_error(&self) -> Error {
        let message = format!("{}, line {}: {}", self.file, self.line, self.message);
        Error::invalid("prompt_invalid", message).with_details(serde_json::json!({"file": self.file, "line": self.line}))
    }

    /// The same, with everything else that was found in its details.
    pub(super) fn to_error_among(&self, findings: &[Self]) -> Error {
        self.to_error().with_details(serde_json::json!({"file": self.file, "line": self.line, "findings": findings}))
    }
}

/// Findings in a template whose syntax is right.
pub(super) fn template(template: &PromptTemplate) -> Vec<LintFinding> {
    let finding = |line: usize, level: Level, message: String| LintFinding { file: template.file.clone(), line, level, message };
    let mut findings = Vec::new();
    let mut used = Vec::new();
    for section in &template.sections {
        for name in render::variables(section) {
            if !template.variables.contains_key(&name) {
                let message = format!("`{name}` is not declared; declared are: {}.", template.declared());
                findings.push(finding(line_of(section, &name), Level::Error, message));
            }
            used.push(name);
        }
    }
    for (name, variable) in &template.variables {
        if !used.contains(name) {
            findings.push(finding(variable.line, Level::Warning, format!("`{name}` is declared but not used.")));
        }
    }
    let asks = matches!(template.reasoning, Reasoning::Hidden | Reasoning::Shown);
    if asks && !template.sections.iter().any(|section| section.part == Part::Reasoning) {
        let message = "The reasoning is hidden or shown, but no `## Reasoning` asks for any.".to_owned();
        findings.push(finding(1, Level::Warning, message));
    }
    if asks && template.demos.iter().any(|demo| demo.reasoning.trim().is_empty()) {
        findings.push(finding(1, Level::Warning, "A demo has no reasoning: models will leave it out as well.".to_owned()));
    }
    let choice = &template.choice;
    if choice.kind == DemoKind::Picked && asks && choice.reasoning.trim().is_empty() {
        let message = "Picked demos have no reasoning of their own: say in `demo_reasoning` what stands for it.".to_owned();
        findings.push(finding(1, Level::Warning, message));
    }
    if choice.kind == DemoKind::Fixed && choice.count > template.demos.len() {
        let message = format!("`demo_count` is {}, but there are {} demos.", choice.count, template.demos.len());
        findings.push(finding(1, Level::Warning, message));
    }
    findings
}

/// The first line of a section that has `name` as a word in a tag.
fn line_of(section: &Section, name: &str) -> usize {
    let is_word = |line: &str, at: usize| {
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        !line[..at].ends_with(part) && !line[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    let has = |line: &str| line.contains('{') && line.match_indices(name).any(|(at, _)| is_word(line, at));
    section.source.lines().position(has).map_or(section.line, |at| at + 1)
}
