//! The command line: one file per command. Results go to standard output, for people or with `--json`
//! as one object; progress, logs and errors for people go to standard error.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde_json::json;

use crate::app::{DEMO, Ground};
use crate::config::{Config, Overrides};
use crate::db;
use crate::disk;
use crate::error::{Error, Result};
use crate::telemetry;

mod access;
mod backup;
mod chat;
mod doctor;
pub mod kb;
mod neighbour;
mod print;
mod prompt;
mod serve;
mod usage;
mod simulate;

/// Done.
pub const DONE: u8 = 0;
/// Done in part, or a problem was found and reported.
pub const PROBLEM: u8 = 1;
/// Could not run.
pub const FAILED: u8 = 2;

/// A retrieval-augmented copilot server for merchants.
#[derive(Debug, Parser)]
#[command(name = "merchant-copilot", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Options {
    /// Where database and indexes live [env: COPILOT_DATA_DIR] [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration on top of the defaults
    #[arg(long, global = true, value_name = "FILE", env = "COPILOT_CONFIG")]
    config: Option<PathBuf>,
    /// The shop that the command is about
    #[arg(long, global = true, value_name = "NAME", default_value = DEMO)]
    tenant: String,
    /// One machine-readable object on standard output
    #[arg(long, global = true)]
    json: bool,
    /// sqlite://… or postgres://… [env: COPILOT_DATABASE]
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// `embedded:` or the address of a Qdrant server, http://host:6334 [env: COPILOT_INDEX]
    #[arg(long, global = true, value_name = "URL")]
    index: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Chat in the terminal, with the running server or one of its own
    Chat(chat::Chat),
    /// The knowledge base: import, export, search, evaluate
    #[command(subcommand)]
    Kb(kb::KbCommand),
    /// Prompt templates
    #[command(subcommand)]
    Prompt(prompt::PromptCommand),
    /// Shops and business lines
    #[command(subcommand)]
    Tenant(access::TenantCommand),
    /// Keys for programs, sites and admins
    #[command(subcommand)]
    Key(access::KeyCommand),
    /// What models cost in a month
    Usage(usage::Usage),
    /// Try a bot on a local platform, with no account
    #[command(subcommand)]
    Simulate(simulate::Simulate),
    /// Copy the data directory's database while the server runs
    Backup(backup::Backup),
    /// What is configured, reachable, missing, and what to do
    Doctor(doctor::Doctor),
}

/// Runs a command line and returns the exit code.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Looked for by hand, since it is in no command line that could not be read.
    let json = arguments.iter().any(|argument| argument == "--json");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(shown) if json && shown.use_stderr() => {
            complain(&Error::invalid("bad_usage", shown.to_string().trim_end()), true);
            return FAILED;
        }
        Err(shown) => {
            let _ = shown.print();
            return if shown.use_stderr() { FAILED } else { DONE };
        }
    };
    let json = cli.options.json;
    match execute(cli).await {
        Ok(code) => code,
        Err(error) => {
            complain(&error, json);
            FAILED
        }
    }
}

async fn execute(cli: Cli) -> Result<u8> {
    if let Command::Doctor(doctor) = &cli.command
        && doctor.wants_defaults()
    {
        // Asked for, too, by whoever's own configuration cannot be read.
        return Ok(doctor::print_defaults());
    }
    let config = cli.options.config()?;
    let data_dir = config.data_dir.clone();
    // What a command that was killed could not give away any more.
    disk::hand_over(&data_dir);
    let outcome = perform(cli, config).await;
    disk::hand_over(&data_dir);
    outcome
}

async fn perform(Cli { options, command }: Cli, mut config: Config) -> Result<u8> {
    if !matches!(command, Command::Serve(_)) && config.log.filter == "info" {
        // What a server tells of its day is noise beside a command's result.
        config.log.filter = "warn,sqlx=error".to_owned();
    }
    telemetry::log_to_stderr(&config.log)?;
    let Options { tenant, json, .. } = options;
    let new = Beginning::of(&config);
    if reads_only(&command)
        && let Some(Beginning { place, another, .. }) = &new
    {
        let place = place.display();
        return Err(Error::not_found(
            "no_data",
            format!("There is no data in {place}. Run this where the server runs, {another}, or begin with `serve` or `kb import`."),
        ));
    }
    // A plan is made of an empty base as well, and begins none.
    let scratch = match &new {
        Some(_) if plans_only(&command) => Some(tempfile::tempdir()?),
        _ => None,
    };
    if let Some(scratch) = &scratch {
        scratch.path().clone_into(&mut config.data_dir);
        config.database.clear();
    }
    // A server says itself where it is.
    let new = new.filter(|_| !matches!(command, Command::Serve(_)));
    let outcome = dispatch(command, config, &tenant, json).await;
    if let Some(Beginning { place, another, .. }) = new.filter(|new| new.file.exists()) {
        print::aside(format!("There was no shop in {}: this began a new one there. If yours is elsewhere, {another}.", place.display()));
    }
    outcome
}

/// A database that is not there yet and that a command would begin.
struct Beginning {
    file: PathBuf,
    /// The data directory, or the file where one is named.
    place: PathBuf,
    /// How another is named.
    another: &'static str,
}

impl Beginning {
    /// None where there is one, or where it is another server's: that is asked itself.
    fn of(config: &Config) -> Option<Self> {
        let file = db::file(&config.database, &config.data_dir).filter(|file| !file.exists())?;
        let (place, another) = match config.database.is_empty() {
            true => (&config.data_dir, "name its directory with --data-dir or COPILOT_DATA_DIR"),
            false => (&file, "name its database with --database or COPILOT_DATABASE"),
        };
        let place = std::path::absolute(place).unwrap_or_else(|_| place.clone());
        Some(Self { file, place, another })
    }
}

async fn dispatch(command: Command, config: Config, tenant: &str, json: bool) -> Result<u8> {
    let reads = reads_only(&command);
    match command {
        Command::Serve(serve) => serve.run(config, tenant, json).await,
        Command::Chat(chat) => chat.run(config, tenant, json).await,
        Command::Kb(command) => knowledge(command, config, tenant, json).await,
        Command::Prompt(command) => command.run(config, tenant, json).await,
        Command::Tenant(command) => command.run(ground(config, reads).await?, json).await,
        Command::Key(command) => command.run(ground(config, reads).await?, tenant, json).await,
        Command::Usage(usage) => usage.run(ground(config, reads).await?, tenant, json).await,
        Command::Simulate(simulate) => simulate.run(config, tenant, json).await,
        Command::Backup(backup) => backup.run(config, json).await,
        Command::Doctor(doctor) => doctor.run(config, json).await,
    }
}

/// Whether a command has nothing to do where nothing was ever kept. (`doctor` has: it says so.)
fn reads_only(command: &Command) -> bool {
    match command {
        Command::Kb(command) => command.reads_only(),
        Command::Prompt(command) => command.reads_only(),
        Command::Tenant(command) => matches!(command, access::TenantCommand::List),
        // What nobody issued is neither listed nor revoked.
        Command::Key(command) => !matches!(command, access::KeyCommand::Issue(_)),
        Command::Usage(_) | Command::Backup(_) => true,
        Command::Serve(_) | Command::Chat(_) | Command::Simulate(_) | Command::Doctor(_) => false,
    }
}

/// Whether a command only says what it would do.
fn plans_only(command: &Command) -> bool {
    matches!(command, Command::Kb(kb::KbCommand::Import { dry_run: true, .. }))
}

/// Whether there is a database, as far as this machine can tell.
fn has_data(config: &Config) -> bool {
    Beginning::of(config).is_none()
}

/// Who only reads makes no data directory, also where the database is another server's.
async fn ground(config: Config, reads: bool) -> Result<Ground> {
    if reads { Ground::look(config).await } else { Ground::open(config).await }
}

async fn knowledge(command: kb::KbCommand, config: Config, tenant: &str, json: bool) -> Result<u8> {
    let ground = Ground::open(config).await?;
    let tenant = ground.tenant(tenant).await?;
    let knowledge = ground.knowledge().await?;
    let outcome = kb::run(command, &knowledge, &tenant, json, ground.config.zone()).await;
    ground.db.close().await;
    outcome
}

impl Options {
    fn config(&self) -> Result<Config> {
        let overrides =
            Overrides { data_dir: self.data_dir.clone(), listen: None, database: self.database.clone(), index: self.index.clone() };
        Config::load(self.config.as_deref(), &overrides)
    }
}

/// Tells what went wrong: to people on standard error, to programs on standard output.
fn complain(error: &Error, json: bool) {
    if json {
        print::json(&json!({"error": error.body()}));
    } else {
        print::aside(format!("merchant-copilot: {error}"));
    }
    tracing::debug!(code = error.code(), causes = error.causes(), "the command failed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        let cli = Cli::try_parse_from(["merchant-copilot", "--json", "tenant", "list", "--data-dir", "/tmp/x"]).unwrap();
        assert!(cli.options.json && cli.options.tenant == "demo");
        assert_eq!(cli.options.data_dir, Some(PathBuf::from("/tmp/x")));
    }
}
