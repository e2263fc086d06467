//! Somebody who is told, as admins see them: what of, and how many of their deliveries went how.

use serde::Serialize;

use super::deliver::Endpoint;
use crate::events::Kind;
use crate::events::store::Count;
use crate::ids::Timestamp;

/// One endpoint with the counts of its log.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct EndpointState {
    /// As the configuration calls it; a group's begins with `notices.`.
    pub name: String,
    /// `webhook`: a program; `notice`: a group.
    #[cfg_attr(test, ts(type = "'webhook' | 'notice'"))]
    pub kind: &'static str,
    /// The receiver's host.
    pub host: String,
    /// What it is told.
    pub events: Vec<&'static str>,
    /// Deliveries that will be tried.
    pub waiting: i64,
    /// Deliveries that arrived.
    pub delivered: i64,
    /// Deliveries that were given up.
    pub failed: i64,
    /// When one arrived last.
    #[cfg_attr(test, ts(type = "number | null"))]
    pub last_delivered_ms: Option<Timestamp>,
}

impl EndpointState {
    pub(super) fn new(endpoint: &Endpoint, counts: &[Count]) -> Self {
        let of = |state: &str| counts.iter().find(|count| count.endpoint == endpoint.name && count.state == state);
        let count = |state: &str| of(state).map_or(0, |count| count.count);
        Self {
            name: endpoint.name.clone(),
            kind: if endpoint.is_program() { "webhook" } else { "notice" },
            host: endpoint.host(),
            events: endpoint.kinds.iter().copied().map(Kind::as_str).collect(),
            waiting: count("waiting"),
            delivered: count("delivered"),
            failed: count("failed"),
            last_delivered_ms: of("delivered").map(|count| count.last_ms),
        }
    }
}
