//! Prompts kept apart from code: one file per template, with typed variables and worked examples in
//! its front matter and its body in five parts. Rendering is strict: a variable that was not declared
//! is an error with file and line, never an empty gap in a prompt.
//!
//! ```text
//! +++
//! name = "answer.en"              the file's name without .md
//! version = 1
//! description = "…"
//! reasoning = "hidden"            off, hidden, shown or native; a caller may override it
//! [variables]
//! question = "string"             string, number, bool or list; a question mark makes it optional
//! market = "string?"
//! [[demos]]
//! question = "…"                  put into ## Input in the place of `question`
//! context = "…"                   stands for ## Context
//! reasoning = "…"                 left out unless reasoning is hidden or shown
//! answer = "…"
//! +++
//! ## Instruction                  system message: who, what, the rules
//! ## Context                      user message: what is known
//! ## Reasoning                    system message, only for hidden and shown
//! ## Input                        user message: the question
//! ## Output                       system message: the answer's form
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::models::Reasoning;

mod lint;
mod parse;
mod render;

pub use lint::{Level, LintFinding};
pub use render::Rendered;

/// The templates compiled in: file and text.
const BUILTIN: [(&str, &str); 2] = [
    ("prompts/answer.en.md", include_str!("../../prompts/answer.en.md")),
    ("prompts/answer.zh.md", include_str!("../../prompts/answer.zh.md")),
];

/// A versioned prompt with variables.
#[derive(Clone, Debug)]
pub struct PromptTemplate {
    /// What callers ask for, e.g. `answer.zh`.
    pub name: String,
    /// Grows with every change of meaning; part of a cached answer's key.
    pub version: u32,
    /// What it is for, for people.
    pub description: String,
    /// How the model reasons unless the caller says otherwise.
    pub reasoning: Reasoning,
    /// What a caller gives.
    pub variables: BTreeMap<String, Variable>,
    /// Worked examples, shown to the model before the question.
    pub demos: Vec<Demo>,
    /// Where it came from, for errors.
    file: String,
    sections: Vec<Section>,
}

/// A declared variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// What it holds.
    pub kind: VariableKind,
    /// Whether it may be left out: then it is empty, 0, or false.
    pub optional: bool,
    /// The line that declares it.
    line: usize,
}

/// What a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the front matter's")]
pub enum VariableKind {
    String,
    Number,
    Bool,
    List,
}

/// A worked example.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    /// What is asked.
    pub question: String,
    /// What is known, in the form that `## Context` gives it.
    pub context: String,
    /// How the answer follows.
    #[serde(default)]
    pub reasoning: String,
    /// The answer.
    pub answer: String,
}

/// One part of a prompt's body.
#[derive(Clone, Debug)]
struct Section {
    part: Part,
    /// Its text, after as many empty lines as stand before it in the file: so every line number that
    /// minijinja reports is the file's.
    source: String,
    line: usize,
}

/// The parts, in the order they are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Instruction,
    Context,
    Reasoning,
    Input,
    Output,
}

/// All templates.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    templates: BTreeMap<String, PromptTemplate>,
    /// Files that cannot be read as a template, by the name they should have.
    broken: BTreeMap<String, LintFinding>,
}

impl Prompts {
    /// The built-in templates and, over them, every `*.md` of a directory (which need not exist). A
    /// file that is no template is kept as a finding of [`lint`](Self::lint); [`check`](Self::check)
    /// turns it into an error. Reads files: call it at start.
    ///
    /// # Errors
    /// `io_error` when the directory cannot be read.
    pub fn load(dir_override: Option<&Path>) -> Result<Self> {
        let mut prompts = Self::default();
        for (file, text) in BUILTIN {
            prompts.add(file, text);
        }
        let Some(directory) = dir_override.filter(|directory| directory.is_dir()) else { return Ok(prompts) };
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
                prompts.add(&path.to_string_lossy(), &text);
            }
        }
        Ok(prompts)
    }

    /// Puts a file in the place of an earlier one of the same name.
    fn add(&mut self, file: &str, text: &str) {
        let name = parse::stem(file).to_owned();
        self.broken.remove(&name);
        self.templates.remove(&name);
        match parse::template(file, text) {
            Ok(template) => drop(self.templates.insert(name, template)),
            Err(finding) => drop(self.broken.insert(name, finding)),
        }
    }

    /// The names of the usable templates, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.templates.keys().map(String::as_str).collect()
    }

    /// The template of this name.
    ///
    /// # Errors
    /// `prompt_invalid` when its file is no template, `prompt_not_found`, which lists what there is.
    pub fn get(&self, name: &str) -> Result<&PromptTemplate> {
        match (self.templates.get(name), self.broken.get(name)) {
            (Some(template), _) => Ok(template),
            (None, Some(finding)) => Err(finding.to_error()),
            (None, None) => {
                let message = format!("There is no prompt `{name}`. Choose one of: {}.", self.names().join(", "));
                Err(Error::not_found("prompt_not_found", message))
            }
        }
    }

    /// Everything wrong or odd in any template, in order of file and line.
    pub fn lint(&self) -> Vec<LintFinding> {
        let mut findings: Vec<LintFinding> = self.broken.values().cloned().collect();
        findings.extend(self.templates.values().flat_map(lint::template));
        findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        findings
    }

    /// Whether every template can be used.
    ///
    /// # Errors
    /// `prompt_invalid` with the first finding that is an error.
    pub fn check(&self) -> Result<()> {
        match self.lint().iter().find(|finding| finding.level == Level::Error) {
            Some(finding) => Err(finding.to_error()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
