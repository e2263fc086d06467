//! The templates that are in force together: those compiled in, over them the operator's directory, over
//! them what a shop has published.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::lint::{Level, LintFinding};
use super::{Origin, PromptTemplate, parse, trial};
use crate::error::{Error, Result};

/// The templates compiled in: file and text.
const BUILTIN: [(&str, &str); 6] = [
    ("prompts/answer.en.md", include_str!("../../prompts/answer.en.md")),
    ("prompts/answer.zh.md", include_str!("../../prompts/answer.zh.md")),
    ("prompts/rewrite.en.md", include_str!("../../prompts/rewrite.en.md")),
    ("prompts/rewrite.zh.md", include_str!("../../prompts/rewrite.zh.md")),
    ("prompts/unsourced.en.md", include_str!("../../prompts/unsourced.en.md")),
    ("prompts/unsourced.zh.md", include_str!("../../prompts/unsourced.zh.md")),
];

/// Templates by name.
#[derive(Clone, Debug, Default)]
pub struct TemplateSet {
    templates: BTreeMap<String, Arc<PromptTemplate>>,
    /// Files that cannot be read as a template, by the name they should have.
    broken: BTreeMap<String, LintFinding>,
}

impl TemplateSet {
    /// The built-in templates and, over them, every `*.md` of a directory but its readme (the directory
    /// need not exist). A file that is no template is kept as a finding of [`lint`](Self::lint);
    /// [`check`](Self::check) turns it into an error. Reads files.
    ///
    /// # Errors
    /// `io_error` when the directory cannot be read.
    pub fn load(dir_override: Option<&Path>) -> Result<Self> {
        let mut set = Self::default();
        for (file, text) in BUILTIN {
            set.add(file, text, Origin::BuiltIn);
        }
        let Some(directory) = dir_override.filter(|directory| directory.is_dir()) else { return Ok(set) };
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let named = path.file_stem().is_some_and(|stem| !stem.eq_ignore_ascii_case("readme"));
            if named && path.extension().is_some_and(|extension| extension == "md") {
                let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
                set.add(&path.to_string_lossy(), &text, Origin::File);
            }
        }
        Ok(set)
    }

    /// Puts a file in the place of an earlier one of the same name.
    pub(super) fn add(&mut self, file: &str, text: &str, origin: Origin) {
        let name = parse::stem(file).to_owned();
        self.broken.remove(&name);
        self.templates.remove(&name);
        match parse::template(file, text, origin) {
            Ok(template) => drop(self.templates.insert(name, Arc::new(template))),
            Err(finding) => drop(self.broken.insert(name, finding)),
        }
    }

    /// One file as a template.
    ///
    /// # Errors
    /// `prompt_invalid` with file and line.
    #[cfg(test)]
    pub fn with(file: &str, text: &str) -> Result<PromptTemplate> {
        parse::template(file, text, Origin::File).map_err(|finding| finding.to_error())
    }

    /// Puts a shop's own version over the file's. One that this release cannot read leaves the file's in
    /// force, and is a finding.
    pub(super) fn publish(&mut self, name: &str, text: &str, version: i64) -> Option<&LintFinding> {
        match parse::template(&format!("{name}.md"), text, Origin::Shop(version)) {
            Ok(template) => {
                self.templates.insert(name.to_owned(), Arc::new(template));
                None
            }
            Err(finding) => {
                self.broken.insert(name.to_owned(), finding);
                self.broken.get(name)
            }
        }
    }

    /// The names of the usable templates, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.templates.keys().map(String::as_str).collect()
    }

    /// The usable templates, in order of their names.
    pub fn templates(&self) -> impl Iterator<Item = &Arc<PromptTemplate>> {
        self.templates.values()
    }

    /// The template of this name.
    ///
    /// # Errors
    /// `prompt_invalid` when its file is no template, `prompt_not_found`, which lists what there is.
    pub fn get(&self, name: &str) -> Result<&Arc<PromptTemplate>> {
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
        findings.extend(self.templates.values().flat_map(|template| trial::findings(template)));
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
