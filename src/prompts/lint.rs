//! What is wrong or odd in a template, found without running it.

use serde::Serialize;
use serde_json::{Value, json};

use super::{DemoKind, Part, PromptTemplate, Section, parse, render};
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
    /// Stable.
    pub code: &'static str,
    /// What the message is made of, for pages that say it in another language.
    pub details: Value,
    /// What it is and what to do.
    pub message: String,
}

impl LintFinding {
    /// Something that keeps a template from being used.
    pub(super) fn error(file: &str, line: usize, code: &'static str, details: Value, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, level: Level::Error, code, details, message: message.into() }
    }

    /// Something that is probably not as meant.
    pub(super) fn warning(file: &str, line: usize, code: &'static str, details: Value, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(file, line, code, details, message) }
    }

    /// The `prompt_invalid` error that says the same.
    pub(super) fn to_error(&self) -> Error {
        let message = format!("{}, line {}: {}", self.file, self.line, self.message);
        Error::invalid("prompt_invalid", message).with_details(json!({"file": self.file, "line": self.line}))
    }

    /// The same, with everything else that was found in its details.
    pub(super) fn to_error_among(&self, findings: &[Self]) -> Error {
        self.to_error().with_details(json!({"file": self.file, "line": self.line, "findings": findings}))
    }
}

/// Findings in a template whose syntax is right.
pub(super) fn template(template: &PromptTemplate) -> Vec<LintFinding> {
    let file = template.file.as_str();
    let warning = |line, code, details, message: String| LintFinding::warning(file, line, code, details, message);
    let mut findings = Vec::new();
    let mut used = Vec::new();
    for section in &template.sections {
        for name in render::variables(section) {
            if !template.variables.contains_key(&name) {
                let message = format!("`{name}` is not declared; declared are: {}.", template.declared());
                let details = json!({"name": name, "declared": template.declared()});
                findings.push(LintFinding::error(file, line_of(section, &name), "undeclared_variable", details, message));
            }
            used.push(name);
        }
    }
    for (name, variable) in &template.variables {
        if !used.contains(name) {
            let message = format!("`{name}` is declared but not used.");
            findings.push(warning(variable.line, "unused_variable", json!({"name": name}), message));
        }
    }
    let front = |key, nth| line_of_key(&template.text, key, nth);
    let asks = matches!(template.reasoning, Reasoning::Hidden | Reasoning::Shown);
    if asks && !template.sections.iter().any(|section| section.part == Part::Reasoning) {
        let message = "The reasoning is hidden or shown, but no `## Reasoning` asks for any.".to_owned();
        findings.push(warning(front("reasoning", 0), "no_reasoning_part", json!({}), message));
    }
    for (nth, _) in template.demos.iter().enumerate().filter(|(_, demo)| asks && demo.reasoning.trim().is_empty()) {
        let message = "A demo has no reasoning: models will leave it out as well.".to_owned();
        findings.push(warning(front("[[demos]]", nth), "demo_without_reasoning", json!({}), message));
    }
    let choice = &template.choice;
    if choice.kind == DemoKind::Picked && asks && choice.reasoning.trim().is_empty() {
        let message = "Picked demos have no reasoning of their own: say in `demo_reasoning` what stands for it.".to_owned();
        findings.push(warning(front("demo_choice", 0), "picked_without_reasoning", json!({}), message));
    }
    if choice.kind == DemoKind::Fixed && choice.count > template.demos.len() {
        let message = format!("`demo_count` is {}, but there are {} demos.", choice.count, template.demos.len());
        let details = json!({"wanted": choice.count, "there": template.demos.len()});
        findings.push(warning(front("demo_count", 0), "too_few_demos", details, message));
    }
    findings
}

/// The line of the front matter where a key is set, or a table begins, for the `nth` time from 0; line 1 if nowhere.
pub(super) fn line_of_key(text: &str, key: &str, nth: usize) -> usize {
    let front = text.lines().enumerate().skip(1).take_while(|(_, line)| line.trim() != parse::FENCE);
    let named = |line: &str| line.split(['=', '#']).next().is_some_and(|head| head.trim() == key);
    front.filter(|(_, line)| named(line)).nth(nth).map_or(1, |(at, _)| at + 1)
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
