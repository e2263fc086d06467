//! The terminal chat's line to a server: finds one or starts one, issues itself a key where it may,
//! and gives both back at the end.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::app::{self, App, Ground, ServerLock, ServerNote};
use crate::cli::neighbour::{self, Socket};
use crate::cli::serve::no_server;
use crate::config::{AiMark, ChannelsConfig, Config, Secret};
use crate::error::{Error, Result};
use crate::http;
use crate::ids::{KeyId, TenantId, Timestamp};
use crate::tenants::{NewKey, Role, TERMINAL_CHAT};

/// How long the chat's own key would live if it could not be revoked at the end.
const KEY_MS: i64 = 60 * 60 * 1000;

/// An open session.
pub struct Link {
    socket: Socket,
    ready: Ready,
    guest: Option<Guest>,
}

/// What the server's greeting tells.
#[derive(Default)]
struct Ready {
    models: Vec<String>,
    ai_mark: AiMark,
}

/// What was set up for this chat alone.
struct Guest {
    ground: Ground,
    tenant: TenantId,
    key: KeyId,
    server: Option<OwnServer>,
}

/// A server of our own, for as long as we chat.
struct OwnServer {
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
    _lock: ServerLock,
}

impl Link {
    /// To a server elsewhere, with a key for it.
    pub async fn elsewhere(url: &str, key: &Secret) -> Result<Self> {
        let (socket, ready) = connect(&socket_url(url)?, key).await?;
        Ok(Self { socket, ready, guest: None })
    }

    /// To the server of this data directory, or to one that is started for this chat.
    pub async fn here(config: Config, tenant: &str) -> Result<Self> {
        let running = ServerNote::read(&config.data_dir);
        let (address, server) = match running {
            Some(note) => (note.listen.to_string(), None),
            None => start(&config).await?,
        };
        let ground = Ground::open(config).await?;
        let tenant = ground.tenant(tenant).await?;
        let expires = Timestamp(ground.clock.now().0 + KEY_MS);
        let new = NewKey { role: Role::Member, origins: vec![], label: TERMINAL_CHAT.to_owned(), expires: Some(expires) };
        let (key, secret) = ground.tenants.issue(&tenant, new).await?;
        let guest = Guest { ground, tenant, key: key.id, server };
        match connect(&format!("ws://{address}/ws"), &secret).await {
            Ok((socket, ready)) => Ok(Self { socket, ready, guest: Some(guest) }),
            Err(error) => {
                guest.leave().await;
                Err(error)
            }
        }
    }

    /// The models that may be named.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.ready.models.iter().map(String::as_str)
    }

    /// What stands under every answer.
    pub fn ai_mark(&self) -> &AiMark {
        &self.ready.ai_mark
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        self.socket.send(Message::text(frame.to_string())).await.map_err(|error| lost("").because(error))
    }

    /// Waits for the next frame.
    pub async fn frame(&mut self) -> Result<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(text.as_str())?),
                Some(Ok(Message::Close(Some(close)))) => return Err(lost(&format!(" ({}: {})", u16::from(close.code), close.reason))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(lost("").because(error)),
                None => return Err(lost("")),
            }
        }
    }

    /// Answers the server's pings while nobody asks anything; returns when the line is lost.
    pub async fn idle(&mut self) -> Result<()> {
        loop {
            self.frame().await?;
        }
    }

    /// Says goodbye and gives back what was set up for the chat.
    pub async fn close(mut self) {
        let _ = self.socket.close(None).await;
        if let Some(guest) = self.guest {
            guest.leave().await;
        }
    }
}

impl Guest {
    async fn leave(self) {
        if let Err(error) = self.ground.tenants.revoke(&self.tenant, &self.key).await {
            tracing::warn!(code = error.code(), "the chat's own key stays valid for up to an hour: {error}");
        }
        if let Some(OwnServer { stop, task, .. }) = self.server {
            stop.cancel();
            let _ = task.await;
        }
        self.ground.db.close().await;
    }
}

/// Starts a server on any free port.
async fn start(config: &Config) -> Result<(String, Option<OwnServer>)> {
    let lock = ServerLock::take(&config.data_dir)
        .map_err(|error| if error.code() == "data_dir_in_use" { no_server(&config.data_dir) } else { error })?;
    let listener = app::listen("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    // Somebody chats here: no bot should go on line for as long as that takes.
    let config = Config { channels: ChannelsConfig::default(), ..config.clone() };
    let app = App::build(config).await?;
    app.knowledge.catch_up().await?;
    lock.announce(address)?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(http::serve(listener, app, stop.clone()));
    Ok((address.to_string(), Some(OwnServer { stop, task, _lock: lock })))
}

async fn connect(url: &str, key: &Secret) -> Result<(Socket, Ready)> {
    let mut link = Link { socket: neighbour::open(url).await?, ready: Ready::default(), guest: None };
    link.send(&json!({"type": "session.open", "id": "open", "token": key.reveal()})).await?;
    let ready = link.frame().await?;
    if ready["type"] != "session.ready" {
        // What the server says of a site key is for a page's owner.
        let message = if ready["code"] == "origin_not_allowed" {
            "A site key opens the chat on its pages only. The terminal needs a member key: `merchant-copilot key issue --role member`."
        } else {
            ready["message"].as_str().unwrap_or("The server did not greet.")
        };
        return Err(Error::unauthenticated("session_refused", message));
    }
    let models = ready["models"].as_array().into_iter().flatten().filter_map(|model| model["id"].as_str().map(str::to_owned)).collect();
    let ai_mark =
        serde_json::from_value(ready["ai_mark"].clone()).map_err(|error| lost(": its greeting is not understood").because(error))?;
    Ok((link.socket, Ready { models, ai_mark }))
}

fn socket_url(url: &str) -> Result<String> {
    let base = url.trim_end_matches('/').trim_end_matches("/ws");
    match base.split_once("://") {
        Some(("http" | "ws", host)) => Ok(format!("ws://{host}/ws")),
        _ => Err(Error::invalid(
            "bad_url",
            format!(
                "`{url}` is not a server's address: give http://HOST:PORT (encrypted addresses are not supported by the terminal chat)."
            ),
        )),
    }
}

fn lost(why: &str) -> Error {
    Error::unavailable("connection_lost", format!("The connection to the server was lost{why}. Start the chat again."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_address_becomes_the_sockets() {
        for url in ["http://127.0.0.1:8787", "http://127.0.0.1:8787/", "ws://127.0.0.1:8787/ws"] {
            assert_eq!(socket_url(url).unwrap(), "ws://127.0.0.1:8787/ws");
        }
        assert_eq!(socket_url("127.0.0.1:8787").unwrap_err().code(), "bad_url");
    }
}
