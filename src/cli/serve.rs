//! `serve`: the server, what it says when it starts, and how it stops.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{DONE, PROBLEM, neighbour, print};
use crate::app::{App, ServerLock, files, heap};
use crate::config::{Config, Secret};
use crate::error::{Error, Result};
use crate::http;
use crate::ids::TenantId;

/// `serve …`
#[derive(Debug, Args)]
pub struct Serve {
    /// The address to listen on [env: COPILOT_LISTEN] [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Serve {
    /// Serves until Ctrl-C or SIGTERM; a second one stops at once.
    pub async fn run(self, mut config: Config, tenant: &str, json: bool) -> Result<u8> {
        config.listen = self.listen.unwrap_or(config.listen);
        heap::give_back_soon();
        files::raise(config.limits.sockets);
        // Both are looked at before either is made: who is refused leaves no directory behind.
        ServerLock::check(&config.data_dir)?;
        let listener = neighbour::listen(&config.listen).await?;
        let lock = ServerLock::take(&config.data_dir)?;
        let address = listener.local_addr()?;
        let app = App::build(config).await?;
        lock.announce(address)?;
        greet(&app, address, tenant, json).await?;
        let stop = CancellationToken::new();
        let db = app.db.clone();
        let code = tokio::select! {
            outcome = http::serve(listener, app, stop.clone()) => outcome.map(|()| DONE)?,
            hurry = asked_to_stop(stop) => hurry.map(|()| PROBLEM)?,
        };
        db.close().await;
        Ok(code)
    }
}

/// Cancels `stop` on the first signal and returns on the second.
async fn asked_to_stop(stop: CancellationToken) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    either(&mut interrupt, &mut terminate).await;
    print::aside("Stopping: running answers get a moment. Ctrl-C again stops at once.");
    stop.cancel();
    either(&mut interrupt, &mut terminate).await;
    Ok(())
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Prints where everything is.
async fn greet(app: &App, address: SocketAddr, tenant: &str, json: bool) -> Result<()> {
    let base = page_address(app, address);
    let signin = sign_in(app, tenant).await?;
    let console = match &signin {
        Some((_, token)) => format!("{base}/console/#signin={}", token.reveal()),
        None => format!("{base}/console/"),
    };
    if json {
        let tenant = signin.as_ref().map(|(tenant, _)| tenant.as_str());
        print::json(
            &json!({"listen": address, "url": format!("{base}/"), "console": console, "tenant": tenant, "model": app.models.default_id()}),
        );
        return Ok(());
    }
    print::line(format!(
        "merchant-copilot {} is serving.\n\n  Page     {base}/\n  Console  {console}\n           (the link signs in once, within 15 minutes)\n  Data     {} ({})\n  Model    {}\n\nCtrl-C stops.",
        env!("CARGO_PKG_VERSION"),
        app.config.data_dir.display(),
        app.db.name(),
        model_line(app),
    ));
    Ok(())
}

/// A link for the tenant of `--tenant`, or for the first one when that does not exist.
async fn sign_in(app: &App, tenant: &str) -> Result<Option<(TenantId, Secret)>> {
    let tenants = app.tenants.list().await?;
    let named = tenants.iter().find(|known| known.id.as_str() == tenant).or(tenants.first());
    let Some(tenant) = named.map(|tenant| tenant.id.clone()) else { return Ok(None) };
    let token = app.tenants.issue_link(&tenant).await?;
    Ok(Some((tenant, token)))
}

fn page_address(app: &App, address: SocketAddr) -> String {
    match app.config.public_url.trim_end_matches('/') {
        "" if address.ip().is_unspecified() => format!("http://127.0.0.1:{}", address.port()),
        "" => format!("http://{address}"),
        public => public.to_owned(),
    }
}

fn model_line(app: &App) -> String {
    let model = app.models.default_id();
    if !app.config.models.providers.is_empty() {
        return model.to_owned();
    }
    format!(
        "{model} (built in: quotes the knowledge, needs no key)\n           For a real model set OPENAI_API_KEY (and OPENAI_BASE_URL, OPENAI_MODEL), DASHSCOPE_API_KEY,\n           DEEPSEEK_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, and start again."
    )
}

/// The error of a server that is asked to do what it cannot while another holds its place.
pub fn no_server(data_dir: &std::path::Path) -> Error {
    Error::unavailable(
        "no_server",
        format!(
            "A server holds {} but does not say where it listens. Wait until it has started, or give --url and --key.",
            data_dir.display()
        ),
    )
}
