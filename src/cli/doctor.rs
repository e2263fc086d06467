//! `doctor`: what is configured, reachable, missing, and what to do about it. Where nothing is kept yet it says what
//! `serve` would make, and makes nothing; a database that is there it opens as every command does, which brings its tables to
//! this version: an empty one of Postgres gets them.

use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use rustix::fs::{Access, access};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use super::kb::renewing;
use super::{DONE, PROBLEM, has_data, neighbour, print};
use crate::app::{Ground, ServerNote, health};
use crate::config::{BotMode, Config, DEFAULTS, ModelConfig, ProviderConfig};
use crate::error::{Error, Result};
use crate::knowledge::Knowledge;
use crate::models::probe::{self, KeySeen};
use crate::models::registry::ProviderHealth;
use crate::models::{Health, ModelError, embed};

/// How long the indexes may take before doctor says that they are behind.
const CATCH_UP: Duration = Duration::from_secs(20);

/// `doctor …`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print every configuration key with its default
    #[arg(long)]
    defaults: bool,
    /// Ask a model of each provider for one token where nothing else shows that the key is taken; it costs that token
    #[arg(long = "try")]
    spend: bool,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Note,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), state: State::Ok, found: found.into(), advice: None }
    }
    fn note(what: &str, found: impl Into<String>, advice: &str) -> Self {
        Self { what: what.to_owned(), state: State::Note, found: found.into(), advice: Some(advice.to_owned()) }
    }
    fn problem(what: &str, found: impl Into<String>, advice: &str) -> Self {
        Self { what: what.to_owned(), state: State::Problem, found: found.into(), advice: Some(advice.to_owned()) }
    }
    fn error(what: &str, error: &Error) -> Self {
        Self { what: what.to_owned(), state: State::Problem, found: error.to_string(), advice: None }
    }
}

/// Every configuration key with its default.
pub fn print_defaults() -> u8 {
    print::piece(DEFAULTS);
    DONE
}

impl Doctor {
    /// Whether only the keys are asked for, not how anything is.
    pub fn wants_defaults(&self) -> bool {
        self.defaults
    }

    /// Runs it.
    pub async fn run(self, config: Config, json: bool) -> Result<u8> {
        let findings = examine(config, self.spend).await;
        let problems = findings.iter().filter(|finding| finding.state == State::Problem).count();
        if json {
            print::json(&json!({"findings": findings, "problems": problems}));
        } else {
            findings.iter().for_each(show);
            print::line(if problems == 0 { "\nAll is well.".to_owned() } else { format!("\nProblems: {problems}") });
        }
        Ok(if problems == 0 { DONE } else { PROBLEM })
    }
}

fn show(finding: &Finding) {
    let mark = match finding.state {
        State::Ok => "ok",
        State::Note => "note",
        State::Problem => "PROBLEM",
    };
    print::line(format!("{mark:8} {:22} {}", finding.what, finding.found));
    if let Some(advice) = &finding.advice {
        print::line(format!("{:31} → {advice}", ""));
    }
}

async fn examine(config: Config, spend: bool) -> Vec<Finding> {
    let mut findings = vec![data_dir(&config.data_dir), address(&config).await];
    findings.extend(kept(&config).await);
    findings.extend(models(&config, spend).await);
    findings.extend(channels(&config));
    findings.extend(health::read(&config.data_dir).iter().filter_map(|(name, health)| server_finding(name, health)));
    findings
}

fn data_dir(dir: &Path) -> Finding {
    let (there, shown) = (dir.exists(), std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()));
    let usable = if there { writable(dir) } else { creatable(&shown) };
    match usable {
        Ok(()) if there => Finding::ok("data directory", dir.display().to_string()),
        Ok(()) => Finding::note(
            "data directory",
            format!("{}: there is none yet", shown.display()),
            "`serve` makes it. If yours is elsewhere, name it with --data-dir or COPILOT_DATA_DIR.",
        ),
        Err(error) => {
            let found = format!("{} cannot be {}: {error}", dir.display(), if there { "written" } else { "made" });
            Finding::problem("data directory", found, "Give its rights to this user, or choose another with --data-dir.")
        }
    }
}

fn writable(dir: &Path) -> IoResult<()> {
    let probe = dir.join(".doctor");
    std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe))
}

/// Whether a directory could be made there, as far as can be told without making it.
fn creatable(dir: &Path) -> IoResult<()> {
    let above = dir.ancestors().find(|above| above.exists()).ok_or(ErrorKind::NotFound)?;
    match above.is_dir() {
        true => access(above, Access::WRITE_OK | Access::EXEC_OK).map_err(IoError::from),
        false => Err(ErrorKind::NotADirectory.into()),
    }
}

async fn address(config: &Config) -> Finding {
    if let Some(note) = ServerNote::read(&config.data_dir) {
        return Finding::ok("server", format!("running on {} (process {})", note.listen, note.pid));
    }
    match neighbour::listen(&config.listen).await {
        Ok(_) => Finding::ok("server", format!("not running; {} is free", config.listen)),
        Err(error) => Finding::error("server", &error),
    }
}

/// The database and what is in it; a look begins no shop.
async fn kept(config: &Config) -> Vec<Finding> {
    if !has_data(config) {
        return vec![Finding::note(
            "database",
            "none yet",
            "The first `serve` begins one, with the shop `demo` and sample knowledge; `tenant add NAME` or `kb import` begin an empty one. What serves with it (embedder, index) is looked at from then on.",
        )];
    }
    let ground = match Ground::look(config.clone()).await {
        Ok(ground) => ground,
        Err(error) => return vec![Finding::error("database", &error)],
    };
    let mut findings = database(&ground).await;
    match config.data_dir.exists() {
        true => findings.extend(knowledge(&ground).await),
        // Of a database elsewhere, which others may serve.
        false => {
            findings.push(Finding::note("index", "none here yet", "`serve` makes it in the data directory; it is looked at from then on."))
        }
    }
    ground.db.close().await;
    findings
}

async fn database(ground: &Ground) -> Vec<Finding> {
    let name = format!("database ({})", ground.db.name());
    let tenants = match ground.db.ping().await {
        Ok(()) => ground.tenants.list().await,
        Err(error) => Err(error),
    };
    match tenants {
        Ok(tenants) if tenants.is_empty() => {
            vec![
                Finding::ok(&name, "answers"),
                Finding::note(
                    "tenants",
                    "none yet",
                    "The first `serve` adds `demo` with sample knowledge; `tenant add NAME` adds your own.",
                ),
            ]
        }
        Ok(tenants) => {
            let names: Vec<&str> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
            vec![Finding::ok(&name, "answers"), Finding::ok("tenants", names.join(", "))]
        }
        Err(error) => vec![Finding::error(&name, &error)],
    }
}

async fn knowledge(ground: &Ground) -> Vec<Finding> {
    let knowledge = match ground.knowledge().await {
        Ok(knowledge) => knowledge,
        Err(error) => return vec![Finding::error("embedder", &error)],
    };
    let embedder = format!("{}, {} dimensions, run by {}", knowledge.embedder().id(), knowledge.embedder().dimensions(), embed::runtime());
    let embedder = match embed::runtime() {
        "tract" if ground.config.embedder.source != "builtin" => Finding::note(
            "embedder",
            embedder,
            "Set ORT_DYLIB_PATH to a libonnxruntime (the PyPI wheel onnxruntime has one): transformers run 3-4 times faster.",
        ),
        _ => Finding::ok("embedder", embedder),
    };
    let server = match knowledge.check_index().await {
        Ok(server) => server.map_or_else(String::new, |server| format!("; {server}")),
        Err(error) => return vec![embedder, Finding::error("index", &error)],
    };
    let index = match timeout(CATCH_UP, knowledge.catch_up()).await {
        Ok(Ok(revision)) => Finding::ok("index", format!("at revision {revision}, as the database{server}")),
        Ok(Err(error)) => Finding::error("index", &error),
        Err(_) => {
            Finding::note("index", "still catching up with the database", "The server serves meanwhile; `kb reindex` builds it anew.")
        }
    };
    let mut findings = vec![embedder, index];
    findings.extend(renewals(ground, &knowledge).await);
    findings
}

/// Shops whose vectors are being made again.
async fn renewals(ground: &Ground, knowledge: &Knowledge) -> Vec<Finding> {
    let mut findings = Vec::new();
    for tenant in ground.tenants.list().await.unwrap_or_default() {
        match knowledge.renewal(&tenant.id).await {
            Ok(None) => {}
            Ok(Some(renewal)) => findings.push(Finding::note(
                "embedder, changing",
                format!("{}: {}", tenant.id, renewing(&renewal)),
                "The server goes on with it while it runs; `kb reindex` does it at once when no server does.",
            )),
            Err(error) => findings.push(Finding::error("embedder, changing", &error)),
        }
    }
    findings
}

async fn models(config: &Config, spend: bool) -> Vec<Finding> {
    if config.models.providers.is_empty() {
        return vec![Finding::note(
            "models",
            "the built-in one only; it quotes the knowledge",
            "For a real model set OPENAI_API_KEY (with OPENAI_BASE_URL and OPENAI_MODEL), DASHSCOPE_API_KEY, DEEPSEEK_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY.",
        )];
    }
    let limit = Duration::from_millis(config.models.connect_ms);
    let asked = config.models.providers.iter().map(async |(name, provider)| provider_finding(name, provider, limit, spend).await);
    let mut findings: Vec<Finding> = futures::future::join_all(asked).await;
    findings
        .push(Finding::ok("default model", if config.models.default.is_empty() { "the first one above" } else { &config.models.default }));
    findings
}

/// Who talks to the copilot from outside, and who is told: what is configured, not whether it answers, which
/// the console's test button shows.
fn channels(config: &Config) -> Vec<Finding> {
    let mode = |mode: BotMode| if mode == BotMode::Stream { "stream" } else { "webhook" };
    let of = |platform: &'static str, name: &str, how: &str, tenant: &str| format!("{platform} {name} ({how}, {tenant})");
    let bots = &config.channels;
    let mut names: Vec<String> = bots.dingtalk.iter().map(|(name, bot)| of("dingtalk", name, mode(bot.mode), &bot.tenant)).collect();
    names.extend(bots.feishu.iter().map(|(name, bot)| of("feishu", name, "webhook", &bot.tenant)));
    names.extend(bots.wecom.iter().map(|(name, bot)| of("wecom", name, mode(bot.mode), &bot.tenant)));
    names.extend(bots.slack.iter().map(|(name, bot)| of("slack", name, "webhook", &bot.tenant)));
    let bots = match names.is_empty() {
        true => Finding::ok("bots", "none; `simulate dingtalk` shows one without an account"),
        false => Finding::ok("bots", names.join(", ")),
    };
    let told =
        config.webhooks.keys().map(|name| format!("webhook {name}")).chain(config.notices.keys().map(|name| format!("notice {name}")));
    let told: Vec<String> = told.collect();
    let mut findings = vec![bots];
    if !told.is_empty() {
        findings.push(Finding::ok("told of events", told.join(", ")));
    }
    findings
}

async fn provider_finding(name: &str, provider: &ProviderConfig, limit: Duration, spend: bool) -> Finding {
    let what = format!("provider {name}");
    let models: Vec<String> = provider.models.iter().map(model_line).collect();
    let key = match (provider.api_key.is_empty(), provider.key_file.as_os_str().is_empty()) {
        (true, true) => "no key".to_owned(),
        (true, false) => format!("key in {}", provider.key_file.display()),
        _ => "key set".to_owned(),
    };
    let found = format!("{} ({key}; models: {})", provider.base_url, models.join(", "));
    match probe::probe(name, provider, limit, spend).await {
        Ok(_) if models.is_empty() => Finding::problem(&what, found, "List its models under [[models.providers.NAME.models]]."),
        Ok(seen) if !seen.unknown.is_empty() => {
            let found = format!("{found} answers, but does not know {}", seen.unknown.join(", "));
            Finding::problem(
                &what,
                found,
                "Write the model as the provider names it: OPENAI_MODEL, or `id` under [[models.providers.NAME.models]].",
            )
        }
        Ok(seen) => match seen.key {
            KeySeen::None => Finding::ok(&what, format!("{found} answers")),
            KeySeen::Taken => Finding::ok(&what, format!("{found} answers and takes the key")),
            KeySeen::Untried => Finding::note(
                &what,
                format!("{found} answers; key not tried"),
                "What it answered needed no key, so a wrong one is not seen here. `doctor --try` asks a model for one token, which costs that token.",
            ),
        },
        Err(error) => Finding::problem(&what, format!("{found}: {error}"), remedy(&error)),
    }
}

/// A model with its price and context.
fn model_line(model: &ModelConfig) -> String {
    let price = (model.price_in + model.price_out > 0.0)
        .then(|| format!("{} {} and {} per million tokens in and out", model.currency, model.price_in, model.price_out));
    let context = (model.context > 0).then(|| format!("context {}", model.context));
    match price.into_iter().chain(context).collect::<Vec<_>>().join(", ") {
        known if known.is_empty() => model.id.clone(),
        known => format!("{} ({known})", model.id),
    }
}

/// What the running server has met at a provider, when that was no good.
fn server_finding(name: &str, provider: &ProviderHealth) -> Option<Finding> {
    let what = format!("provider {name}, served");
    let last = provider.last_error.as_ref().map_or_else(String::new, |error| format!("; last error {}: {}", error.code, error.message));
    match provider.health {
        Health::Open | Health::Probing => {
            let found = format!("the running server leaves it alone after failures in a row{last}");
            Some(Finding::problem(&what, found, "It is tried again by itself; a `fallback` for its models keeps answers coming."))
        }
        // It is there, so its health is good; what is asked of it is not.
        _ if provider.last_error.as_ref().is_some_and(|error| error.code == "model_unknown") => {
            let found = format!("the running server was told that there is no such model{last}");
            Some(Finding::problem(&what, found, "Write the model as the provider names it, and start the server again."))
        }
        Health::Failing => Some(Finding::note(&what, format!("its last call failed{last}"), "If it stays so, see the line above.")),
        Health::Ok | Health::Unknown => None,
    }
}

fn remedy(error: &ModelError) -> &'static str {
    match error {
        ModelError::Unauthorized(_) => "The key is refused: check it and its balance with the provider.",
        ModelError::Timeout(_) => "Nothing came in time: check the network and base_url, or raise models.connect_ms.",
        _ => "Check base_url, the network and a proxy on the way, or select another model meanwhile.",
    }
}
