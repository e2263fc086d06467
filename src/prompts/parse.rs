//! A file → a template: the front matter between `+++` lines, then the parts under their headings.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::lint::{self, LintFinding};
use super::{Demo, DemoChoice, DemoKind, Origin, Part, PromptTemplate, Section, Variable, VariableKind, render};
use crate::models::Reasoning;

/// Stands before and after the front matter.
pub(super) const FENCE: &str = "+++";

/// The front matter as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    name: String,
    version: u32,
    description: String,
    reasoning: Reasoning,
    #[serde(default)]
    variables: BTreeMap<String, toml::Spanned<String>>,
    #[serde(default)]
    demos: Vec<Demo>,
    #[serde(default)]
    demo_choice: DemoKind,
    #[serde(default)]
    demo_count: Option<usize>,
    #[serde(default)]
    demo_tag: Option<String>,
    #[serde(default)]
    demo_reasoning: String,
}

/// Picked examples unless the template says how many.
const PICKED: usize = 2;

impl Front {
    fn choice(&mut self) -> DemoChoice {
        let all = if self.demo_choice == DemoKind::Picked { PICKED } else { self.demos.len() };
        DemoChoice {
            kind: self.demo_choice,
            count: if self.demo_choice == DemoKind::None { 0 } else { self.demo_count.unwrap_or(all) },
            tag: self.demo_tag.take(),
            reasoning: std::mem::take(&mut self.demo_reasoning),
        }
    }
}

/// A file's name without folder and `.md`.
pub(super) fn stem(file: &str) -> &str {
    let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or(file);
    name.strip_suffix(".md").unwrap_or(name)
}

/// Reads a template, up to and including its syntax.
pub(super) fn template(file: &str, text: &str, origin: Origin) -> Result<PromptTemplate, LintFinding> {
    let error = |line: usize, code, details, message: String| LintFinding::error(file, line, code, details, message);
    let text = text.trim_start_matches('\u{feff}');
    let no_fence =
        || error(1, "no_front_matter", json!({}), "The file must begin with a `+++` line, TOML, and a second `+++` line.".to_owned());
    let (front, body, body_line) = split(text).ok_or_else(no_fence)?;
    // The front matter starts on line 2, after the fence.
    let line_at = |offset: usize| 2 + front[..offset.min(front.len())].matches('\n').count();
    let mut parsed: Front = toml::from_str(front).map_err(|wrong| {
        let line = line_at(wrong.span().map_or(0, |span| span.start));
        error(line, "bad_front_matter", json!({"said": wrong.message()}), wrong.message().to_owned())
    })?;
    if parsed.name != stem(file) {
        let message = format!("`name` is `{}`, but the file's name says `{}`.", parsed.name, stem(file));
        let line = lint::line_of_key(text, "name", 0);
        return Err(error(line, "wrong_name", json!({"name": parsed.name, "expected": stem(file)}), message));
    }
    let mut variables = BTreeMap::new();
    for (name, written) in &parsed.variables {
        let line = line_at(written.span().start);
        let variable = variable(written.get_ref(), line).ok_or_else(|| {
            let message = format!("`{name}` has no known type: use string, number, bool or list, with `?` if optional.");
            error(line, "unknown_type", json!({"name": name}), message)
        })?;
        variables.insert(name.clone(), variable);
    }
    let sections = sections(body, body_line).map_err(|wrong| error(wrong.line, wrong.code, wrong.details, wrong.message))?;
    for section in &sections {
        render::syntax(section).map_err(|(line, message)| error(line, "bad_syntax", json!({"said": message}), message))?;
    }
    let choice = parsed.choice();
    Ok(PromptTemplate {
        name: parsed.name,
        version: parsed.version,
        description: parsed.description,
        reasoning: parsed.reasoning,
        variables,
        choice,
        demos: parsed.demos,
        origin,
        text: text.to_owned(),
        digest: Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
        file: file.to_owned(),
        sections,
    })
}

/// Front matter, body, and the line the body starts on.
fn split(text: &str) -> Option<(&str, &str, usize)> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().filter(|line| line.trim() == FENCE)?;
    let mut end = first.len();
    for (i, line) in lines.enumerate() {
        if line.trim() == FENCE {
            return Some((&text[first.len()..end], &text[end + line.len()..], i + 3));
        }
        end += line.len();
    }
    None
}

fn variable(written: &str, line: usize) -> Option<Variable> {
    let (kind, optional) = match written.strip_suffix('?') {
        Some(kind) => (kind, true),
        None => (written, false),
    };
    let kind = match kind {
        "string" => VariableKind::String,
        "number" => VariableKind::Number,
        "bool" => VariableKind::Bool,
        "list" => VariableKind::List,
        _ => return None,
    };
    Some(Variable { kind, optional, line })
}

/// What is wrong with the parts.
struct Wrong {
    line: usize,
    code: &'static str,
    details: Value,
    message: String,
}

/// The parts under their headings.
fn sections(body: &str, first_line: usize) -> Result<Vec<Section>, Wrong> {
    let mut sections: Vec<Section> = Vec::new();
    for (i, line) in body.lines().enumerate() {
        let number = first_line + i;
        if let Some(heading) = line.strip_prefix("## ") {
            let part = Part::named(heading.trim()).ok_or_else(|| unknown_part(number, heading))?;
            if sections.iter().any(|section| section.part == part) {
                let message = format!("`## {heading}` is there twice.");
                return Err(Wrong { line: number, code: "part_twice", details: json!({"part": heading.trim()}), message });
            }
            sections.push(Section { part, source: "\n".repeat(number), line: number });
        } else if let Some(section) = sections.last_mut() {
            section.source.push_str(line);
            section.source.push('\n');
        } else if !line.trim().is_empty() {
            let message = "Text before the first part: begin with `## Instruction`.".to_owned();
            return Err(Wrong { line: number, code: "text_before_parts", details: json!({}), message });
        }
    }
    for needed in [Part::Instruction, Part::Input] {
        if !sections.iter().any(|section| section.part == needed) {
            let (details, message) = (json!({"part": format!("{needed:?}")}), format!("The part `## {needed:?}` is missing."));
            return Err(Wrong { line: first_line, code: "part_missing", details, message });
        }
    }
    Ok(sections)
}

fn unknown_part(line: usize, heading: &str) -> Wrong {
    let message =
        format!("`## {heading}` is no part of a prompt: use Instruction, Context, Reasoning, Input or Output (`###` inside them).");
    Wrong { line, code: "unknown_part", details: json!({"part": heading.trim()}), message }
}

impl Part {
    fn named(name: &str) -> Option<Self> {
        match name {
            "Instruction" => Some(Self::Instruction),
            "Context" => Some(Self::Context),
            "Reasoning" => Some(Self::Reasoning),
            "Input" => Some(Self::Input),
            "Output" => Some(Self::Output),
            _ => None,
        }
    }
}
