//! `/ws`: the door of copilot.v1. Decides who may open a socket at all, and says why not; what is said on it is
//! [`session`]'s.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use tracing::Instrument;

use self::session::Session;
use super::auth::{Address, CorsGrant, admit};
use super::origin::{is_own_origin, page_origin};
use super::state::{Seat, Shared};
use crate::error::{Error, Result};
use crate::telemetry;
use crate::tenants::{Admission, Credentials, origin_not_allowed};

pub mod frames;
mod session;
#[cfg(test)]
mod wire_ts;
mod writer;

/// The subprotocol's name.
pub const SUBPROTOCOL: &str = "copilot.v1";

/// Each idle socket keeps it; a longer frame is read in several pieces. (axum's own is 128 KiB.)
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 16 * 1024;
/// A frame beyond it would be our own mistake: answers are bounded.
const LARGEST_WRITE: usize = 4 * 1024 * 1024;
/// What the socket layer reads at most, as a multiple of the limit: below it a frame that is too
/// large is read to its end, so that the close frame that says so is not lost in a reset.
const READ_BEYOND_LIMIT: usize = 16;

/// What the session learns from the upgrade request.
pub struct Visit {
    address: IpAddr,
    /// The page that opened the socket.
    origin: Option<String>,
    /// Who showed a key or a console session with the upgrade.
    admission: Option<Admission>,
    _seat: Seat,
}

/// Opens a socket for a page that some site key is good for, for our own pages, and for programs.
pub async fn upgrade(
    State(state): State<Shared>,
    visit: Visit,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    let upgrade =
        upgrade.map_err(|rejection| Error::invalid("websocket_expected", "This address speaks WebSocket only.").because(rejection))?;
    let limit = state.app.config.limits.frame_bytes;
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(LARGEST_WRITE)
        .max_frame_size(limit * READ_BEYOND_LIMIT)
        .max_message_size(limit * READ_BEYOND_LIMIT);
    let tasks = state.tasks.clone();
    Ok(upgrade.on_upgrade(move |socket| tasks.track_future(talk(state, visit, socket).in_current_span())))
}

/// `POST /ws`, a key as its text: why its handshake is refused, which browsers keep from the page that tried. Any page may
/// read this answer, and learns no more of a key than whoever shows it from a program: whether it is good, here.
pub async fn why(State(state): State<Shared>, Address(address): Address, parts: Parts, key: String) -> Result<StatusCode> {
    if let Some(grant) = parts.extensions.get::<CorsGrant>() {
        grant.give();
    }
    let origin = page_origin(&parts);
    let shown = Credentials { key: key.trim(), origin: origin.as_deref(), visitor: None, identity: None };
    state.app.tenants.verify(shown).await.map_err(|error| state.app.limits.refused(address, error))?;
    drop(state.sockets.seat(address)?);
    Ok(StatusCode::NO_CONTENT)
}

/// Reads and writes side by side until both are done.
async fn talk(state: Shared, visit: Visit, socket: WebSocket) {
    let (sink, stream) = socket.split();
    let (outbox, writing) = writer::writer(sink);
    let (code, ()) = tokio::join!(writing, Session::run(state, visit, stream, outbox));
    metrics::counter!(telemetry::SOCKETS_CLOSED, "code" => code.to_string()).increment(1);
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self> {
        let Ok(Address(address)) = Address::from_request_parts(parts, state).await;
        let origin = parts.headers.get(header::ORIGIN).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if let Some(origin) = &origin {
            check_origin(origin, parts, state).await?;
        }
        let admission = admit(parts, state).await?;
        let _seat = state.sockets.seat(address)?;
        Ok(Self { address, origin, admission, _seat })
    }
}

/// Before a key is shown, a page is welcome when any key could be good for it.
async fn check_origin(origin: &str, parts: &Parts, state: &Shared) -> Result<()> {
    if is_own_origin(origin, parts, &state.app.config) || state.app.tenants.is_known_origin(origin).await? {
        return Ok(());
    }
    // Browsers show a page nothing of a refused handshake; whoever set the page up looks here.
    let minute = state.app.clock.now().0 / 60_000;
    if state.foreign_told.swap(minute, Ordering::Relaxed) != minute {
        let origin: String = origin.chars().take(120).collect();
        tracing::warn!(origin, "a page of an origin that no key allows was refused (told once a minute)");
    }
    Err(origin_not_allowed(Some(origin)))
}
