//! The wire-level tests, in one binary: a real server on a free port with a temporary database and
//! the built-in models. What talks to third-party programs is in `tests/peers`.

mod as_root;
mod bots;
mod cases;
mod console;
mod described;
mod dingtalk;
mod dingtalk_crowds;
mod documents;
mod doors;
mod embedders;
mod fake_embeddings;
mod fake_provider;
mod fake_server;
mod fault_server;
mod faults;
mod feishu;
mod files;
mod fuzzing;
mod gone;
mod guarded;
mod house;
mod hub;
mod identity;
mod imports;
mod killed;
mod killed_bots;
mod killed_counting;
mod logbook;
mod logged;
mod mcp;
mod models;
mod neighbour;
mod openai;
mod outgoing;
mod people;
mod plans;
mod process;
mod prompts;
mod refused;
mod remembering;
mod rerank;
mod resume;
mod retrieval;
mod rewriting;
mod safety;
mod server;
mod story;
mod traces;
mod trials;
mod tuning;
mod two_importers;
mod unsourced;
mod slack;
mod wecom;
mod wecom_line;
mod words;
mod ws;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

/// A fresh database on the server behind `TEST_POSTGRES_URL`; `scripts/with-postgres.sh` sets it.
#[expect(clippy::disallowed_methods, reason = "what the tests run against is no configuration")]
pub async fn postgres_database(name: &str) -> Option<String> {
    let Ok(url) = std::env::var("TEST_POSTGRES_URL") else {
        // Past the harness, which keeps what a test that passes prints to itself.
        let _ = writeln!(std::io::stderr(), "skipped: {name} needs TEST_POSTGRES_URL (scripts/with-postgres.sh cargo test sets it)");
        return None;
    };
    let name = format!("mc_{name}_{}", std::process::id());
    let mut admin = PgConnection::connect(&url).await.unwrap();
    for statement in [format!("drop database if exists {name} with (force)"), format!("create database {name}")] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    }
    admin.close().await.unwrap();
    Some(PgConnectOptions::from_str(&url).unwrap().database(&name).to_url_lossy().to_string())
}

/// The Python that `scripts/test-tools.sh` installed, if it has that package.
#[expect(clippy::disallowed_methods, reason = "where the tests' tools are is no configuration")]
pub fn python_with(package: &str) -> Option<PathBuf> {
    let variable = |name| std::env::var(name).ok().map(PathBuf::from);
    let usual = || Some(variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?.join("merchant-copilot"));
    let python = variable("MC_CACHE").or_else(usual)?.join("peers/venv/bin/python");
    let found = Command::new(&python).args(["-c", &format!("import {package}")]).status().is_ok_and(|status| status.success());
    if !found {
        println!("skipped: {package} is not installed (scripts/test-tools.sh installs it)");
    }
    found.then_some(python)
}
