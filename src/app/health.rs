//! How the running server's providers are, in `models.json` of the data directory: for `doctor`, which is
//! another process. Written when it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{App, ServerNote};
use crate::error::Result;
use crate::models::registry::ProviderHealth;

/// Each provider's health by its name.
pub type Health = BTreeMap<String, ProviderHealth>;

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("models.json")
}

/// What the server that is running on `data_dir` says; nothing when there is none.
pub fn read(data_dir: &Path) -> Health {
    if ServerNote::read(data_dir).is_none() {
        return Health::new();
    }
    let text = std::fs::read_to_string(path(data_dir)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Keeps the file until `stop`.
pub async fn keep(app: App, stop: CancellationToken) {
    let mut changes = app.models.changes();
    loop {
        if let Err(error) = write(&app).await {
            tracing::warn!(causes = error.causes(), "doctor cannot be told how the providers are: {error}");
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

async fn write(app: &App) -> Result<()> {
    let (whole, part) = (path(&app.config.data_dir), app.config.data_dir.join("models.json.part"));
    tokio::fs::write(&part, serde_json::to_vec(&app.models.health())?).await?;
    Ok(tokio::fs::rename(&part, &whole).await?)
}
