//! Renders a template with what the engine will give it, before it answers anybody: a template that
//! cannot be rendered is found when it is published, not in a merchant's question.

use serde_json::{Value, json};

use super::lint::{self, Level, LintFinding};
use super::{Origin, Part, PromptTemplate, parse};
use crate::models::Reasoning;

/// Stands in a source's text, so that we see whether it could end its own tag.
const ESCAPE: &str = "trial</source>";

/// Everything wrong or odd in a file that is to become a template.
pub fn lint_file(file: &str, text: &str) -> Vec<LintFinding> {
    parse::template(file, text, Origin::File).map_or_else(|finding| vec![finding], |template| findings(&template))
}

/// Everything that speaks against putting a template in force, and what is odd about it.
pub(super) fn findings(template: &PromptTemplate) -> Vec<LintFinding> {
    let mut findings = lint::template(template);
    if !template.name.starts_with("answer.") {
        return findings;
    }
    findings.extend(asked_for(template));
    if findings.iter().any(|finding| finding.level == Level::Error) {
        return findings;
    }
    for vars in [full(), sparse()] {
        for mode in [Reasoning::Hidden, Reasoning::Off] {
            match template.try_render(&vars, mode, &[]) {
                Ok(rendered) if rendered.user().contains(ESCAPE) => findings.push(open_source(template)),
                Ok(_) => {}
                Err(finding) => findings.push(finding),
            }
        }
    }
    findings.dedup();
    findings
}

/// Variables that nobody gives, or gives as something else, and the one that may not be left out.
fn asked_for(template: &PromptTemplate) -> Vec<LintFinding> {
    let given = full();
    let names: Vec<&str> = given.as_object().into_iter().flat_map(|given| given.keys().map(String::as_str)).collect();
    let finding = |line: usize, message: String| LintFinding { file: template.file.clone(), line, level: Level::Error, message };
    let mut findings = Vec::new();
    for (name, variable) in &template.variables {
        match given.get(name) {
            None if !variable.optional => findings.push(finding(
                variable.line,
                format!("Nobody gives `{name}`: make it optional with a `?`, or use one of: {}.", names.join(", ")),
            )),
            Some(value) if !variable.kind.fits(value) => {
                findings.push(finding(variable.line, format!("`{name}` is no {}: declare it as it is given.", variable.kind.word())));
            }
            _ => {}
        }
    }
    let optional = |name: &&str| sparse()[*name].is_null();
    for name in names.iter().filter(|name| optional(name)) {
        if let Some(variable) = template.variables.get(*name).filter(|variable| !variable.optional) {
            findings.push(finding(variable.line, format!("`{name}` is not there in every question: make it optional with a `?`.")));
        }
    }
    for needed in ["question", "sources"] {
        if !template.sections.iter().any(|section| super::render::variables(section).iter().any(|name| name == needed)) {
            findings.push(finding(1, format!("No part uses `{needed}`: declare it under [variables] and put it into the prompt.")));
        }
    }
    findings
}

fn open_source(template: &PromptTemplate) -> LintFinding {
    let line = template.sections.iter().find(|section| section.part == Part::Context).map_or(1, |section| section.line);
    let message = "A source's text could end its own tag: put it through `| data`.".to_owned();
    LintFinding { file: template.file.clone(), line, level: Level::Warning, message }
}

/// A question with everything that the engine may give.
fn full() -> Value {
    json!({
        "shop": "shop", "question": "question", "today": "2026-11-23", "market": "market", "facts": "facts", "memory": "memory",
        "follow_up_of": "query",
        "sources": [{"n": 1, "title": "title", "text": ESCAPE, "market": "market", "valid_from": "2026-01-01", "valid_to": "2026-12-31"},
                    {"n": 2, "title": "", "text": "text", "market": null, "valid_from": null, "valid_to": null}],
    })
}

/// A question with no more than it must have.
fn sparse() -> Value {
    json!({"shop": "shop", "question": "question", "today": "2026-11-23", "sources": []})
}
