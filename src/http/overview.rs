//! How the shop's answers went over some days.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::auth::Admin;
use super::state::Shared;
use crate::error::Result;
use crate::memory::overview::{Counting, Overview, since};

/// Most days in one answer: a quarter.
const MOST: u32 = 92;
/// Days when nobody says how many.
const DAYS: u32 = 30;

/// `?days=&channel=`
#[derive(Deserialize)]
pub struct Asked {
    days: Option<u32>,
    channel: Option<String>,
}

/// Figures by day and by channel, and what was asked most.
pub async fn show(State(state): State<Shared>, Admin(caller): Admin, Query(asked): Query<Asked>) -> Result<Json<Overview>> {
    let zone = state.app.config.zone();
    let days = asked.days.unwrap_or(DAYS).clamp(1, MOST);
    let channel = asked.channel.as_deref().filter(|channel| !channel.is_empty());
    let (first, last, from) = since(state.app.clock.now(), zone, days);
    let mut counting = Counting::new(zone, first, last);
    state.app.memory.tell_since(&caller.tenant, from, channel, |told| counting.add(told)).await?;
    Ok(Json(counting.overview()))
}
