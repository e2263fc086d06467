//! `prompt …`: the templates that speak to the models, as the shop has them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DONE, PROBLEM, ground, has_data, print};
use crate::app::Ground;
use crate::chat::compose::date;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ids::{Clock, TenantId};
use crate::prompts::{Level, LintFinding, PromptTemplate, Prompts, TemplateSet, Variable};

mod preview;
mod versions;

/// `prompt …`
#[derive(Debug, Subcommand)]
pub enum PromptCommand {
    /// All templates in force
    List,
    /// One template: its variables and worked examples
    Show {
        /// As `prompt list` shows it
        name: String,
        /// Only its text, to begin an own version with
        #[arg(long)]
        text: bool,
    },
    /// A template with values of your own
    Render(Render),
    /// What a model would be asked: the real question, its sources, tokens and price
    Preview(preview::Preview),
    /// Everything wrong or odd in the built-in templates, those in `prompts.dir`, or a file
    Lint {
        /// A file that is to become a version, named after its template, e.g. answer.en.md
        file: Option<std::path::PathBuf>,
    },
    /// What the shop has saved, and what was in force when
    Versions {
        /// As `prompt list` shows it
        name: String,
    },
    /// Keep a file as the shop's next version
    Save(versions::Save),
    /// Put a version in force, or roll back to an earlier one
    Publish(versions::Publish),
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
    /// Whether it has nothing to do where nothing was ever kept. Files are checked, and templates shown, without.
    pub fn reads_only(&self) -> bool {
        matches!(self, Self::Preview(_) | Self::Versions { .. } | Self::Publish(_))
    }

    /// Whether it shows what is in force, which a shop may have changed.
    fn shows(&self) -> bool {
        matches!(self, Self::List | Self::Show { .. } | Self::Render(_))
    }

    /// Runs it.
    pub async fn run(self, config: Config, tenant: &str, json: bool) -> Result<u8> {
        if let Self::Lint { file } = &self {
            // A check of files, in a build as well: it needs no database.
            return Ok(lint(&findings(&config, file.as_deref())?, json));
        }
        if let Self::Preview(preview) = self {
            return preview.run(config, tenant, json).await;
        }
        if self.shows() && !has_data(&config) {
            // No shop has changed any: those of this build and of `prompts.dir` are in force.
            return self.show(&TemplateSet::load(Some(&config.prompts.dir))?, &config, tenant, json);
        }
        let reads = self.shows() || self.reads_only();
        let ground = ground(config, reads).await?;
        let tenant = ground.tenant(tenant).await?;
        let prompts = Prompts::open(ground.db.clone(), ground.clock.clone(), &ground.config.prompts.dir).await?;
        let code = self.speak(&prompts, &ground, &tenant, json).await;
        ground.db.close().await;
        code
    }

    async fn speak(self, prompts: &Prompts, ground: &Ground, tenant: &TenantId, json: bool) -> Result<u8> {
        match self {
            Self::Versions { name } => versions::list(prompts, tenant, &name, json).await,
            Self::Save(save) => save.run(prompts, tenant, json).await,
            Self::Publish(publish) => publish.run(prompts, tenant, json).await,
            shown => {
                let set = prompts.of(tenant).await?;
                shown.show(&set, &ground.config, tenant.as_str(), json)
            }
        }
    }

    /// Shows something of the templates in force.
    fn show(self, set: &TemplateSet, config: &Config, tenant: &str, json: bool) -> Result<u8> {
        match self {
            Self::List => Ok(list(set, json)),
            Self::Show { name, text } if text && !json => {
                print::piece(&set.get(&name)?.text);
                Ok(DONE)
            }
            Self::Show { name, .. } => show(set.get(&name)?, json),
            Self::Render(render) => render.run(set, config, tenant, json),
            // Those that show nothing of it are done by now.
            Self::Lint { .. } | Self::Preview(_) | Self::Versions { .. } | Self::Save(_) | Self::Publish(_) => Ok(DONE),
        }
    }
}

fn findings(config: &Config, file: Option<&std::path::Path>) -> Result<Vec<LintFinding>> {
    match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Error::invalid("file_unreadable", format!("{} cannot be read: {error}.", path.display())))?;
            Ok(crate::prompts::lint_file(&path.to_string_lossy(), &text))
        }
        None => Ok(TemplateSet::load(Some(&config.prompts.dir))?.lint()),
    }
}

fn list(set: &TemplateSet, json: bool) -> u8 {
    if json {
        print::json(&json!({"prompts": set.templates().map(|template| head(template)).collect::<Vec<_>>()}));
    } else {
        set.templates().for_each(|template| print::line(format!("{:16} {:30} {}", template.name, template.label(), template.description)));
    }
    DONE
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
        object["text"] = json!(template.text);
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
    fn run(self, prompts: &TemplateSet, config: &Config, tenant: &str, json: bool) -> Result<u8> {
        let template = prompts.get(&self.name)?;
        let given: serde_json::Map<String, Value> = serde_json::from_str(&self.vars)
            .map_err(|error| Error::invalid("bad_vars", format!("--vars is not a JSON object: {error}.")))?;
        let today = date(Clock::system().now(), config.zone());
        let mut vars = json!({"shop": tenant, "today": today, "sources": [], "question": self.question});
        given.into_iter().for_each(|(name, value)| vars[name] = value);
        let rendered = template.render(&vars, template.reasoning)?;
        if json {
            print::json(&json!({"system": rendered.system(), "demos": rendered.demos, "user": rendered.user()}));
            return Ok(DONE);
        }
        print::line(format!("--- system\n{}", rendered.system()));
        rendered.demos.iter().for_each(|message| print::line(format!("--- {} (example)\n{}", json!(message.role), message.content)));
        print::line(format!("--- user\n{}", rendered.user()));
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
    json!({
        "name": template.name, "version": template.version, "description": template.description, "reasoning": template.reasoning,
        "origin": template.origin.word(), "label": template.label(),
    })
}
