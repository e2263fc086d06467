//! A template with values → the messages of a prompt.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value, json};

use super::lint::LintFinding;
use super::{Demo, Part, PromptTemplate, Section, VariableKind};
use crate::error::Result;
use crate::models::{Message, Reasoning, Role};

/// What comes out of a step of rendering, or what is wrong with the template.
type Rendering<T> = std::result::Result<T, LintFinding>;

/// The messages of a prompt, before earlier turns are put between them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the parts'")]
pub struct Rendered {
    pub instruction: String,
    /// Empty unless the prompt is to ask for it.
    pub reasoning: String,
    pub output: String,
    /// Worked examples: a user's and an assistant's message each.
    pub demos: Vec<Message>,
    pub context: String,
    pub input: String,
}

impl Rendered {
    /// The system message: instruction, reasoning and output.
    pub fn system(&self) -> String {
        paragraphs([&self.instruction, &self.reasoning, &self.output])
    }

    /// The user message: context and input.
    pub fn user(&self) -> String {
        paragraphs([&self.context, &self.input])
    }
}

impl PromptTemplate {
    /// Renders with values for the declared variables; others are ignored, so that a template need not
    /// use all that a caller knows.
    ///
    /// # Errors
    /// `prompt_invalid` with file and line: a variable that is missing, of another type, or not declared.
    pub fn render(&self, vars: &Value, mode: Reasoning) -> Result<Rendered> {
        self.render_with(vars, mode, &[])
    }

    /// The same with worked examples that were picked for this question; the template's own fill up what
    /// they leave of the wanted number.
    ///
    /// # Errors
    /// `prompt_invalid` with file and line.
    pub fn render_with(&self, vars: &Value, mode: Reasoning, picked: &[Demo]) -> Result<Rendered> {
        self.try_render(vars, mode, picked).map_err(|finding| finding.to_error())
    }

    /// The part that says what is known, by itself: for an example of a row.
    ///
    /// # Errors
    /// `prompt_invalid` with file and line.
    pub fn context(&self, vars: &Value) -> Result<String> {
        self.values(vars).and_then(|values| self.part(Part::Context, &values)).map_err(|finding| finding.to_error())
    }

    /// The same, with what is wrong as a finding.
    pub(super) fn try_render(&self, vars: &Value, mode: Reasoning, picked: &[Demo]) -> Rendering<Rendered> {
        let values = self.values(vars)?;
        let thinks = matches!(mode, Reasoning::Hidden | Reasoning::Shown);
        let mut demos = Vec::with_capacity(self.choice.count * 2);
        for demo in picked.iter().chain(&self.demos).take(self.choice.count) {
            demos.extend(self.demo(demo, &values, thinks)?);
        }
        Ok(Rendered {
            instruction: self.part(Part::Instruction, &values)?,
            reasoning: if thinks { self.part(Part::Reasoning, &values)? } else { String::new() },
            output: self.part(Part::Output, &values)?,
            demos,
            context: self.part(Part::Context, &values)?,
            input: self.part(Part::Input, &values)?,
        })
    }

    /// The names of the variables, for messages.
    pub(super) fn declared(&self) -> String {
        self.variables.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// A demo in the form of the real question: its own context, and the same input with its question
    /// and without anything optional.
    fn demo(&self, demo: &Demo, values: &Map<String, Value>, thinks: bool) -> Rendering<[Message; 2]> {
        let mut values = values.clone();
        for (name, variable) in self.variables.iter().filter(|(_, variable)| variable.optional) {
            values.insert(name.clone(), variable.kind.empty());
        }
        values.insert("question".to_owned(), demo.question.trim().into());
        let asked = paragraphs([demo.context.trim(), self.part(Part::Input, &values)?.as_str()]);
        let reasoning = demo.reasoning.trim();
        let answer = demo.answer.trim();
        let said = match thinks && !reasoning.is_empty() {
            true => format!("<think>\n{reasoning}\n</think>\n\n{answer}"),
            false => answer.to_owned(),
        };
        Ok([Message { role: Role::User, content: asked }, Message { role: Role::Assistant, content: said }])
    }

    /// The declared variables with their values.
    fn values(&self, vars: &Value) -> Rendering<Map<String, Value>> {
        let mut values = Map::new();
        for (name, variable) in &self.variables {
            let given = &vars[name.as_str()];
            let wrong = |what: &str| {
                let details = json!({"name": name, "kind": variable.kind.word()});
                LintFinding::error(&self.file, variable.line, "value_does_not_fit", details, format!("`{name}` {what}."))
            };
            let value = match given {
                Value::Null if variable.optional => variable.kind.empty(),
                Value::Null => return Err(wrong("has no value, and it is not optional")),
                _ if !variable.kind.fits(given) => return Err(wrong(&format!("must be a {}", variable.kind.word()))),
                _ => given.clone(),
            };
            values.insert(name.clone(), value);
        }
        Ok(values)
    }

    /// One part, rendered; empty when the template has none.
    fn part(&self, part: Part, values: &Map<String, Value>) -> Rendering<String> {
        let Some(section) = self.sections.iter().find(|section| section.part == part) else { return Ok(String::new()) };
        let values = minijinja::Value::from(Serde(values));
        environment().render_str(&section.source, values).map(|text| text.trim().to_owned()).map_err(|error| {
            let (line, message) = describe(&error, section);
            let details = json!({"said": message, "declared": self.declared()});
            LintFinding::error(&self.file, line, "render_failed", details, format!("{message}; declared are: {}.", self.declared()))
        })
    }
}

impl VariableKind {
    pub(super) fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::List => value.is_array(),
        }
    }

    fn empty(self) -> Value {
        match self {
            Self::String => json!(""),
            Self::Number => json!(0),
            Self::Bool => json!(false),
            Self::List => json!([]),
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Bool => "bool",
            Self::List => "list",
        }
    }
}

/// Checks a section's syntax; the line and the reason when it is wrong.
pub(super) fn syntax(section: &Section) -> Result<(), (usize, String)> {
    environment().template_from_str(&section.source).map(drop).map_err(|error| describe(&error, section))
}

/// The variables a section looks up, sorted, without minijinja's own functions.
pub(super) fn variables(section: &Section) -> Vec<String> {
    let environment = environment();
    let Ok(template) = environment.template_from_str(&section.source) else { return Vec::new() };
    let own: Vec<&str> = environment.globals().map(|(name, _)| name).collect();
    let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    names.retain(|name| !own.contains(&name.as_str()));
    names.sort();
    names
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // A line with nothing but a tag leaves no empty line behind.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.add_filter("data", data);
    environment
}

/// Tags that mean something to a model or to the reader of its answer.
const TAGS: [&str; 5] = ["source", "think", "reasoning", "thought", "seed:think"];

/// Keeps what somebody else wrote from closing a source's tag, or from opening one, and from being echoed as a tag of
/// reasoning: `</source>` → `‹/source>`.
fn data(text: String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let name = rest[at + 1..].trim_start_matches('/').to_ascii_lowercase();
        out.push(if TAGS.iter().any(|tag| name.starts_with(tag)) { '‹' } else { '<' });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out
}

/// The file's line and a sentence for a template error.
fn describe(error: &minijinja::Error, section: &Section) -> (usize, String) {
    let message = match error.detail() {
        Some(detail) if error.kind() == ErrorKind::UndefinedError => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    (error.line().unwrap_or(section.line), message)
}

/// Joins what is not empty with a blank line between.
fn paragraphs<T: AsRef<str>, const N: usize>(parts: [T; N]) -> String {
    let said: Vec<&str> = parts.iter().map(AsRef::<str>::as_ref).filter(|part| !part.is_empty()).collect();
    said.join("\n\n")
}
