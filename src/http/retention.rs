//! Forgets what the operator wants forgotten, while the server runs: conversations after
//! `chat.retention_days`, traces after `chat.trace_days`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::error::Result;
use crate::ids::Timestamp;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// Conversations deleted in a row before others get their turn at the database.
const AT_ONCE: i64 = 100;
const BREATH: Duration = Duration::from_millis(50);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

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
    let before = |days: u32| (days > 0).then(|| Timestamp(app.clock.now().0 - i64::from(days) * DAY_MS));
    if let Some(before) = before(app.config.chat.retention_days) {
        let mut forgotten = 0;
        loop {
            let some = app.memory.forget_before(before, AT_ONCE).await?;
            forgotten += some;
            if some == 0 {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        if forgotten > 0 {
            tracing::info!(forgotten, "conversations older than chat.retention_days are deleted");
        }
    }
    if let Some(before) = before(app.config.chat.trace_days) {
        while app.memory.drop_traces_before(before).await? > 0 {
            tokio::time::sleep(BREATH).await;
        }
    }
    Ok(())
}
