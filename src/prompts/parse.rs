//! A file → a template: the front matter between `+++` lines, then the parts under their headings.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::lint::{Level, LintFinding};
use super::{Demo, DemoChoice, DemoKind, Origin, Part, PromptTemplate, Section, Variable, VariableKind, render};
use crate::models::Reasoning;

const FENCE: &str = "+++";

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
    let error = |line: usize, message: String| LintFinding { file: file.to_owned(), line, level: Level::Error, message };
    let text = text.trim_start_matches('\u{feff}');
    let (front, body, body_line) =
        split(text).ok_or_else(|| error(1, "The file must begin with a `+++` line, TOML, and a second `+++` line.".to_owned()))?;
    // The front matter starts on line 2, after the fence.
    let line_at = |offset: usize| 2 + front[..offset.min(front.len())].matches('\n').count();
    let mut parsed: Front =
        toml::from_str(front).map_err(|wrong| error(line_at(wrong.span().map_or(0, |span| span.start)), wrong.message().to_owned()))?;
    if parsed.name != stem(file) {
        let message = format!("`name` is `{}`, but the file's name says `{}`.", parsed.name, stem(file));
        return Err(error(2, message));
    }
    let mut variables = BTreeMap::new();
    for (name, written) in &parsed.variables {
        let line = line_at(written.span().start);
        let variable = variable(written.get_ref(), line)
            .ok_or_else(|| error(line, format!("`{name}` has no known type: use string, number, bool or list, with `?` if optional.")))?;
        variables.insert(name.clone(), variable);
    }
    let sections = sections(body, body_line).map_err(|(line, message)| error(line, message))?;
    for section in &sections {
        render::syntax(section).map_err(|(line, message)| error(line, message))?;
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

/// The parts under their headings.
fn sections(body: &str, first_line: usize) -> Result<Vec<Section>, (usize, String)> {
    let mut sections: Vec<Section> = Vec::new();
    for (i, line) in body.lines().enumerate() {
        let number = first_line + i;
        if let Some(heading) = line.strip_prefix("## ") {
            let part = Part::named(heading.trim()).ok_or_else(|| (number, unknown_part(heading)))?;
            if sections.iter().any(|section| section.part == part) {
                return Err((number, format!("`## {heading}` is there twice.")));
            }
            sections.push(Section { part, source: "\n".repeat(number), line: number });
        } else if let Some(section) = sections.last_mut() {
            section.source.push_str(line);
            section.source.push('\n');
        } else if !line.trim().is_empty() {
            return Err((number, "Text before the first part: begin with `## Instruction`.".to_owned()));
        }
    }
    for needed in [Part::Instruction, Part::Input] {
        if !sections.iter().any(|section| section.part == needed) {
            return Err((first_line, format!("The part `## {needed:?}` is missing.")));
        }
    }
    Ok(sections)
}

fn unknown_part(heading: &str) -> String {
    format!("`## {heading}` is no part of a prompt: use Instruction, Context, Reasoning, Input or Output (`###` inside them).")
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
