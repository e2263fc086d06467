//! How long a shop keeps what was said: the setting, for admins, and the sweeper that forgets by it while the
//! server runs. What a shop leaves open is as `chat.retention_days`, `chat.trace_days` and `safety.audit_days` say.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::auth::Admin;
use super::problem::Body;
use super::state::Shared;
use crate::app::App;
use crate::config::Config;
use crate::error::Result;
use crate::ids::{TenantId, Timestamp};
use crate::tenants::Retention;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// Conversations deleted in a row before others get their turn at the database.
const AT_ONCE: i64 = 100;
const BREATH: Duration = Duration::from_millis(50);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What a shop has decided, and what that comes to.
#[derive(Serialize)]
pub struct Decided {
    #[serde(flatten)]
    own: Retention,
    in_force: Retention,
}

/// The shop's setting.
pub async fn show(State(state): State<Shared>, Admin(caller): Admin) -> Result<Json<Decided>> {
    let own = state.app.tenants.retention(&caller.tenant).await?;
    Ok(Json(Decided { own, in_force: own.or(defaults(&state.app.config)) }))
}

/// Sets it; the sweeper follows within a quarter of an hour.
pub async fn set(State(state): State<Shared>, Admin(caller): Admin, Body(own): Body<Retention>) -> Result<Json<Decided>> {
    state.app.tenants.set_retention(&caller.tenant, own).await?;
    tracing::info!(
        tenant = caller.tenant.as_str(),
        key = caller.key.as_str(),
        conversation_days = own.conversation_days,
        trace_days = own.trace_days,
        verdict_days = own.verdict_days,
        "how long things are kept was set"
    );
    Ok(Json(Decided { own, in_force: own.or(defaults(&state.app.config)) }))
}

/// From when on a shop's verdicts are kept.
pub async fn verdicts_since(app: &App, tenant: &TenantId) -> Result<Timestamp> {
    let in_force = app.tenants.retention(tenant).await?.or(defaults(&app.config));
    Ok(before(app, in_force.verdict_days).unwrap_or(Timestamp(0)))
}

fn defaults(config: &Config) -> Retention {
    Retention {
        conversation_days: Some(config.chat.retention_days),
        trace_days: Some(config.chat.trace_days),
        verdict_days: Some(config.safety.audit_days),
    }
}

/// The moment so many days ago; none for what is kept for good.
fn before(app: &App, days: Option<u32>) -> Option<Timestamp> {
    let days = days.filter(|days| *days > 0)?;
    Some(Timestamp(app.clock.now().0 - i64::from(days) * DAY_MS))
}

/// Looks from time to time until `stop`.
pub async fn forget_forever(app: &App, stop: &CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            outcome = forget(app) => {
                if let Err(error) = outcome {
                    tracing::error!(code = error.code(), causes = error.causes(), "old conversations could not be forgotten: {error}");
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn forget(app: &App) -> Result<()> {
    for shop in app.tenants.list().await? {
        let retention = app.tenants.retention(&shop.id).await?.or(defaults(&app.config));
        forget_of(app, &shop.id, retention).await?;
    }
    app.memory.settle().await
}

async fn forget_of(app: &App, tenant: &TenantId, retention: Retention) -> Result<()> {
    if let Some(before) = before(app, retention.conversation_days) {
        let mut forgotten = 0;
        loop {
            let some = app.memory.forget_before(tenant, before, AT_ONCE).await?;
            forgotten += some;
            if some == 0 {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        if forgotten > 0 {
            tracing::info!(tenant = tenant.as_str(), forgotten, days = retention.conversation_days, "old conversations are deleted");
        }
    }
    if let Some(before) = before(app, retention.trace_days) {
        while app.memory.drop_traces_before(tenant, before).await? > 0 {
            tokio::time::sleep(BREATH).await;
        }
    }
    if let Some(before) = before(app, retention.verdict_days) {
        app.safety.forget_before(tenant, before).await?;
    }
    Ok(())
}
