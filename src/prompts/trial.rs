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
    let Some(given) = Given::to(&template.name) else { return findings };
    findings.extend(asked_for(template, &given));
    if findings.iter().any(|finding| finding.level == Level::Error) {
        return findings;
    }
    for vars in [&given.full, &given.sparse] {
        for mode in [Reasoning::Hidden, Reasoning::Off] {
            match template.try_render(vars, mode, &[]) {
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
fn asked_for(template: &PromptTemplate, given: &Given) -> Vec<LintFinding> {
    let names: Vec<&str> = given.full.as_object().into_iter().flat_map(|given| given.keys().map(String::as_str)).collect();
    let finding = |line: usize, code, details, message: String| LintFinding::error(&template.file, line, code, details, message);
    let mut findings = Vec::new();
    for (name, variable) in &template.variables {
        match given.full.get(name) {
            None if !variable.optional => findings.push(finding(
                variable.line,
                "variable_not_given",
                json!({"name": name, "known": names.join(", ")}),
                format!("Nobody gives `{name}`: make it optional with a `?`, or use one of: {}.", names.join(", ")),
            )),
            Some(value) if !variable.kind.fits(value) => {
                let message = format!("`{name}` is no {}: declare it as it is given.", variable.kind.word());
                findings.push(finding(variable.line, "wrong_type", json!({"name": name, "kind": variable.kind.word()}), message));
            }
            _ => {}
        }
    }
    for name in names.iter().filter(|name| given.sparse[**name].is_null()) {
        if let Some(variable) = template.variables.get(*name).filter(|variable| !variable.optional) {
            let message = format!("`{name}` is not there in every question: make it optional with a `?`.");
            findings.push(finding(variable.line, "variable_not_always_given", json!({"name": name}), message));
        }
    }
    for needed in given.needed {
        if !template.sections.iter().any(|section| super::render::variables(section).iter().any(|name| name == needed)) {
            let message = format!("No part uses `{needed}`: declare it under [variables] and put it into the prompt.");
            let line = lint::line_of_key(&template.text, "[variables]", 0);
            findings.push(finding(line, "variable_needed", json!({"name": needed}), message));
        }
    }
    findings
}

fn open_source(template: &PromptTemplate) -> LintFinding {
    let line = template.sections.iter().find(|section| section.part == Part::Context).map_or(1, |section| section.line);
    let message = "A source's text could end its own tag: put it through `| data`.".to_owned();
    LintFinding::warning(&template.file, line, "open_source", json!({}), message)
}

/// What the engine gives to templates of a kind.
struct Given {
    /// Everything that it may give.
    full: Value,
    /// No more than it always gives.
    sparse: Value,
    /// What a template has no use without.
    needed: [&'static str; 2],
}

impl Given {
    /// By the template's name; none for one that nothing asks for.
    fn to(name: &str) -> Option<Self> {
        let source =
            json!({"n": 1, "title": "title", "text": ESCAPE, "market": "market", "valid_from": "2026-01-01", "valid_to": "2026-12-31"});
        let bare = json!({"n": 2, "title": "", "text": "text", "market": null, "valid_from": null, "valid_to": null});
        match name.split_once('.')?.0 {
            "answer" => Some(Self {
                full: json!({
                    "shop": "shop", "question": "question", "today": "2026-11-23", "market": "market", "facts": "facts",
                    "memory": "memory", "follow_up_of": "query", "sources": [source, bare],
                }),
                sparse: json!({"shop": "shop", "question": "question", "today": "2026-11-23", "sources": []}),
                needed: ["question", "sources"],
            }),
            "rewrite" => Some(Self {
                full: json!({"question": "question", "facts": "facts", "turns": [{"question": "question", "answer": "answer"}]}),
                sparse: json!({"question": "question", "turns": []}),
                needed: ["question", "turns"],
            }),
            "unsourced" => Some(Self {
                full: json!({
                    "shop": "shop", "question": "question", "today": "2026-11-23", "market": "market", "facts": "facts",
                    "memory": "memory", "follow_up_of": "query",
                }),
                sparse: json!({"shop": "shop", "question": "question", "today": "2026-11-23"}),
                needed: ["question", "shop"],
            }),
            _ => None,
        }
    }
}
