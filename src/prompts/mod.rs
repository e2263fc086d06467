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
//! demo_choice = "fixed"           fixed (those below), picked (rows like the question), or none
//! demo_count = 2                  how many; all of the fixed ones unless it is given
//! demo_tag = "…"                  picked: only rows with this tag
//! demo_reasoning = "…"            picked: what stands for their reasoning
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

use serde::{Deserialize, Serialize};

use crate::models::Reasoning;

mod door;
mod lint;
mod parse;
mod render;
mod set;
mod store;
mod trial;

pub use door::{Prompts, Saved};
pub use lint::{Level, LintFinding};
pub use render::Rendered;
pub use set::TemplateSet;
pub use store::{Publication, Version};
pub use trial::lint_file;

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
    /// Which examples a question gets.
    pub choice: DemoChoice,
    /// Who wrote it.
    pub origin: Origin,
    /// The file it was read from, as written.
    pub text: String,
    /// Stands for this very text: the first half of its SHA-256, in hex.
    pub digest: String,
    /// Where it came from, for errors.
    file: String,
    sections: Vec<Section>,
}

impl PromptTemplate {
    /// Its version for traces and for the key of an answer given again: two templates share it only when
    /// they say the same.
    pub fn label(&self) -> String {
        let version = match self.origin {
            Origin::BuiltIn => format!("builtin {}", self.version),
            Origin::File => format!("file {}", self.version),
            Origin::Shop(version) => format!("shop {version}"),
        };
        format!("{version} ({})", self.digest)
    }
}

/// Who wrote a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is compiled in.
    BuiltIn,
    /// The operator: a file in the configured directory.
    File,
    /// The shop: its published version of this number.
    Shop(i64),
}

impl Origin {
    /// `builtin`, `file` or `shop`.
    pub fn word(self) -> &'static str {
        match self {
            Self::BuiltIn => "builtin",
            Self::File => "file",
            Self::Shop(_) => "shop",
        }
    }
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

/// Which worked examples go into a prompt, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoChoice {
    /// Where they come from.
    pub kind: DemoKind,
    /// How many at most.
    pub count: usize,
    /// Picked ones have this tag; any row of the base otherwise.
    pub tag: Option<String>,
    /// What stands for the reasoning of picked ones, whose rows have none.
    pub reasoning: String,
}

/// Where worked examples come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DemoKind {
    /// Those of the template.
    #[default]
    Fixed,
    /// Rows of the base that are most like the question, and then the template's.
    Picked,
    /// None.
    None,
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

#[cfg(test)]
mod tests;
