//! `prompt versions|save|publish`: a shop's own versions, from the terminal.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::super::{DONE, print};
use crate::error::{Error, Result};
use crate::ids::TenantId;
use crate::prompts::Prompts;

/// Who signs what is done at the terminal.
const AUTHOR: &str = "cli";

/// `prompt save NAME FILE`
#[derive(Debug, Args)]
pub struct Save {
    /// As `prompt list` shows it
    name: String,
    /// The template
    file: PathBuf,
    /// Why it is so
    #[arg(long, default_value = "")]
    note: String,
    /// Put it in force at once
    #[arg(long)]
    publish: bool,
}

/// `prompt publish NAME VERSION`
#[derive(Debug, Args)]
pub struct Publish {
    /// As `prompt list` shows it
    name: String,
    /// As `prompt versions` shows it; 0 is the file's
    version: i64,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
}

impl Save {
    pub async fn run(self, prompts: &Prompts, tenant: &TenantId, json: bool) -> Result<u8> {
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| Error::invalid("file_unreadable", format!("{} cannot be read: {error}.", self.file.display())))?;
        let saved = prompts.save(tenant, &self.name, &text, AUTHOR, &self.note).await?;
        saved.findings.iter().for_each(|finding| print::aside(format!("line {}: {}", finding.line, finding.message)));
        if self.publish {
            prompts.publish(tenant, &self.name, saved.version, AUTHOR, &self.note).await?;
        }
        if json {
            print::json(&json!({"name": self.name, "version": saved.version, "published": self.publish, "findings": saved.findings}));
        } else {
            let state = if self.publish { "saved and in force" } else { "saved" };
            print::line(format!("{} version {}: {state}", self.name, saved.version));
        }
        Ok(DONE)
    }
}

impl Publish {
    pub async fn run(self, prompts: &Prompts, tenant: &TenantId, json: bool) -> Result<u8> {
        let revision = prompts.publish(tenant, &self.name, self.version, AUTHOR, &self.note).await?;
        if json {
            print::json(&json!({"name": self.name, "version": self.version, "revision": revision}));
        } else {
            print::line(format!("{} version {}: in force from the next question on", self.name, self.version));
        }
        Ok(DONE)
    }
}

/// What the shop has saved, and what was in force when.
pub async fn list(prompts: &Prompts, tenant: &TenantId, name: &str, json: bool) -> Result<u8> {
    let versions = prompts.versions(tenant, name).await?;
    let publications = prompts.publications(tenant, name).await?;
    let in_force = publications.first().map_or(0, |newest| newest.version);
    if json {
        print::json(&json!({"in_force": in_force, "versions": versions, "publications": publications}));
        return Ok(DONE);
    }
    for version in &versions {
        let mark = if version.version == in_force { "*" } else { " " };
        print::line(format!("{mark} {:>4}  {}  {:14} {}", version.version, version.created_ms.rfc3339(), version.author, version.note));
    }
    print::line(format!("{}    0  the file's", if in_force == 0 { "*" } else { " " }));
    Ok(DONE)
}
