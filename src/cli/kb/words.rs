//! `kb words`: the shop's own dictionary and synonyms.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{DONE, PROBLEM, print, read_text};
use crate::error::Result;
use crate::ids::TenantId;
use crate::knowledge::Knowledge;
use crate::knowledge::words::{Words, lines};

/// The commands of `kb words`.
#[derive(Debug, Subcommand)]
pub enum WordsCommand {
    /// One a line, as `set` reads them
    Show,
    /// Add words; those that mean the same with commas between: kb words add "保证金,押金"
    Add {
        /// Words, or groups
        #[arg(required = true)]
        lines: Vec<String>,
    },
    /// Take words out of the dictionary and of their groups
    Remove {
        /// Words
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Replace all of them: a file with one word a line, several that mean the same with commas between
    Set {
        /// The file
        file: PathBuf,
    },
}

/// Runs one command.
pub async fn run(command: Option<WordsCommand>, knowledge: &Knowledge, tenant: &TenantId, json: bool) -> Result<u8> {
    let stored = knowledge.words(tenant).await?;
    let mut words = stored.words.clone();
    match command.unwrap_or(WordsCommand::Show) {
        WordsCommand::Show => {
            if json {
                print::json(&serde_json::to_value(&stored)?);
            } else {
                print::piece(lines::write(&words));
            }
            return Ok(DONE);
        }
        WordsCommand::Add { lines } => lines.iter().for_each(|line| lines::add(&mut words, line)),
        WordsCommand::Remove { words: gone } => {
            let unknown: Vec<_> = gone.iter().filter(|word| !lines::remove(&mut words, word)).collect();
            if !unknown.is_empty() {
                print::aside(format!("Not among the shop's words: {unknown:?}."));
                return Ok(PROBLEM);
            }
        }
        WordsCommand::Set { file } => words = lines::read(&read_text(&file)?),
    }
    set(words, knowledge, tenant, json).await
}

async fn set(words: Words, knowledge: &Knowledge, tenant: &TenantId, json: bool) -> Result<u8> {
    let (words, revision) = knowledge.set_words(tenant, words, None, "cli").await?;
    // Beside a running server the server builds the index again; without one it is done here.
    if knowledge.owns_index() {
        knowledge.catch_up().await?;
    }
    if json {
        print::json(&json!({"words": words.words, "synonyms": words.synonyms, "revision": revision}));
    } else {
        let (single, groups) = (words.words.len(), words.synonyms.len());
        let (s, gs) = (if single == 1 { "" } else { "s" }, if groups == 1 { "" } else { "s" });
        print::line(format!("{single} word{s} and {groups} group{gs} of synonyms (revision {revision})."));
    }
    Ok(DONE)
}
