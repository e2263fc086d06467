//! What the doors share beside the app: who is connected, and how they are told to go.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::{LimitsConfig, Secret};
use crate::error::{Error, Result};
use crate::ids::Timestamp;
use crate::telemetry;

/// The state of every handler.
pub type Shared = Arc<HttpState>;

/// The app and what its doors share.
pub struct HttpState {
    /// Every room.
    pub app: App,
    /// The demo page's site key; none when there is no demo tenant.
    pub demo_key: Option<Secret>,
    /// Seats for WebSockets.
    pub sockets: Arc<Sockets>,
    /// Connections that are waited for at the end.
    pub tasks: TaskTracker,
    /// Cancelled when every connection has to close.
    pub closing: CancellationToken,
    /// Tools of other programs.
    pub mcp: super::mcp::Service,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// Since when it serves.
    pub started: Timestamp,
    /// The minute in which a page of a foreign origin was logged last.
    pub foreign_told: AtomicI64,
    /// The one run of labelled questions there may be.
    pub evaluating: Semaphore,
}

impl HttpState {
    /// The state of a server whose demo page has this key.
    pub fn new(app: App, demo_key: Option<Secret>, listen: SocketAddr) -> Self {
        Self {
            mcp: super::mcp::service(app.clone(), listen),
            sockets: Arc::new(Sockets::new(&app.config.limits)),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            metrics: telemetry::metrics(),
            started: app.clock.now(),
            foreign_told: AtomicI64::new(0),
            evaluating: Semaphore::new(1),
            app,
            demo_key,
        }
    }
}

/// Counts open WebSockets, in all and per client address.
#[derive(Debug)]
pub struct Sockets {
    open: Mutex<Open>,
    most: usize,
    most_per_address: usize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One open WebSocket's seat, free again when dropped.
#[derive(Debug)]
pub struct Seat {
    sockets: Arc<Sockets>,
    address: IpAddr,
}

impl Sockets {
    fn new(limits: &LimitsConfig) -> Self {
        Self { open: Mutex::default(), most: limits.sockets, most_per_address: limits.sockets_per_address }
    }

    /// Takes a seat.
    ///
    /// # Errors
    /// `too_many_connections` when the house or this address is full.
    pub fn seat(self: &Arc<Self>, address: IpAddr) -> Result<Seat> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.most {
            return Err(Error::unavailable("too_many_connections", "The server has as many connections as it may. Try again in a moment."));
        }
        let here = open.by_address.entry(address).or_default();
        if *here >= self.most_per_address {
            let message = format!("This address has {here} open connections already. Close some and try again.");
            return Err(Error::rate_limited("too_many_connections", message, std::time::Duration::from_secs(5)));
        }
        *here += 1;
        open.all += 1;
        metrics::gauge!(telemetry::SOCKETS).increment(1);
        Ok(Seat { sockets: Arc::clone(self), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.sockets.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        metrics::gauge!(telemetry::SOCKETS).decrement(1);
        if let Some(here) = open.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_limited_per_address_and_in_all_and_come_back() {
        let limits =
            LimitsConfig { key_per_minute: 1, address_per_minute: 1, frame_bytes: 1, upload_bytes: 1, sockets_per_address: 2, sockets: 3 };
        let sockets = Arc::new(Sockets::new(&limits));
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = sockets.seat(here).unwrap();
        let _second = sockets.seat(here).unwrap();
        assert_eq!(sockets.seat(here).unwrap_err().kind(), crate::error::Kind::RateLimited);
        let _third = sockets.seat(there).unwrap();
        assert_eq!(sockets.seat(there).unwrap_err().kind(), crate::error::Kind::Unavailable);
        drop(first);
        sockets.seat(here).unwrap();
    }
}
