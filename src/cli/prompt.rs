//! `prompt list|show|render|lint`: the templates that speak to the models.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DONE, PROBLEM, print};
use crate::chat::compose::date;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ids::Clock;
use crate::prompts::{Level, LintFinding, PromptTemplate, Prompts, Variable};

/// `prompt …`
#[derive(Debug, Subcommand)]
pub enum PromptCommand {
    /// All templates
    List,
    /// One template: its variables and worked examples
    Show {
        /// As `prompt list` shows it
        name: String,
    },
    /// What a model would be sent
    Render(Render),
    /// Everything wrong or odd in any template
    Lint,
}

#[derive(Debug, Args)]
pub struct Render {
    /// As `prompt list` shows it
    name: String,
    /// The question
    #[arg(long, default_value = "")]
    question: String,
    /// Values for variables as a JSON object, e.g. '{"market": "国内站"}'
    #[arg(long, value_name = "JSON", default_value = "{}")]
    vars: String,
}

impl PromptCommand {
    /// Runs it.
    pub fn run(self, config: &Config, tenant: &str, json: bool) -> Result<u8> {
        let prompts = Prompts::load(None)?;
        match self {
            Self::List => list(&prompts, json),
            Self::Show { name } => show(prompts.get(&name)?, json),
            Self::Render(render) => render.run(&prompts, config, tenant, json),
            Self::Lint => Ok(lint(&prompts.lint(), json)),
        }
    }
}

fn list(prompts: &Prompts, json: bool) -> Result<u8> {
    let templates = prompts.names().into_iter().map(|name| prompts.get(name)).collect::<Result<Vec<_>>>()?;
    if json {
        print::json(&json!({"prompts": templates.iter().map(|template| head(template)).collect::<Vec<_>>()}));
    } else {
        templates
            .iter()
            .for_each(|template| print::line(format!("{:16} v{:<3} {}", template.name, template.version, template.description)));
    }
    Ok(DONE)
}

fn show(template: &PromptTemplate, json: bool) -> Result<u8> {
    let mut object = head(template);
    object["variables"] = template
        .variables
        .iter()
        .map(|(name, variable)| json!({"name": name, "kind": kind(variable), "optional": variable.optional}))
        .collect();
    object["demos"] = json!(template.demos);
    if json {
        print::json(&object);
        return Ok(DONE);
    }
    print::line(format!(
        "{} v{}: {}\nreasoning: {}\nvariables:",
        template.name, template.version, template.description, object["reasoning"]
    ));
    for (name, variable) in &template.variables {
        let optional = if variable.optional { ", optional" } else { "" };
        print::line(format!("  {name} ({}{optional})", kind(variable)));
    }
    print::line(format!("worked examples: {}", template.demos.len()));
    template.demos.iter().for_each(|demo| print::line(format!("  {}", demo.question.trim())));
    Ok(DONE)
}

impl Render {
    fn run(self, prompts: &Prompts, config: &Config, tenant: &str, json: bool) -> Result<u8> {
        let template = prompts.get(&self.name)?;
        let given: serde_json::Map<String, Value> = serde_json::from_str(&self.vars)
            .map_err(|error| Error::invalid("bad_vars", format!("--vars is not a JSON object: {error}.")))?;
        let today = date(Clock::system().now(), config.zone());
        let mut vars = json!({"shop": tenant, "today": today, "sources": [], "question": self.question});
        given.into_iter().for_each(|(name, value)| vars[name] = value);
        let rendered = template.render(&vars, template.reasoning)?;
        if json {
            print::json(&json!({"system": rendered.system, "demos": rendered.demos, "user": rendered.user}));
            return Ok(DONE);
        }
        print::line(format!("--- system\n{}", rendered.system));
        rendered.demos.iter().for_each(|message| print::line(format!("--- {} (example)\n{}", json!(message.role), message.content)));
        print::line(format!("--- user\n{}", rendered.user));
        Ok(DONE)
    }
}

fn lint(findings: &[LintFinding], json: bool) -> u8 {
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    if json {
        print::json(&json!({"findings": findings, "errors": errors}));
    } else {
        let word = |level| if level == Level::Error { "error" } else { "warning" };
        findings
            .iter()
            .for_each(|finding| print::line(format!("{}:{}: {}: {}", finding.file, finding.line, word(finding.level), finding.message)));
        print::line(format!("{errors} errors, {} warnings", findings.len() - errors));
    }
    if errors == 0 { DONE } else { PROBLEM }
}

fn kind(variable: &Variable) -> String {
    format!("{:?}", variable.kind).to_lowercase()
}

fn head(template: &PromptTemplate) -> Value {
    json!({"name": template.name, "version": template.version, "description": template.description, "reasoning": template.reasoning})
}
