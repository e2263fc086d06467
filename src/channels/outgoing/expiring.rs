//! What happens by itself: entries whose time runs out within seven days. The event's id follows from entry
//! and time, so that each is told once, whoever looks how often.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::Endpoint;
use crate::error::Result;
use crate::events::store::{Outbox, record};
use crate::events::{Event, Kind};
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::Knowledge;
use crate::knowledge::store::Due;

const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Entries looked at in one go.
const PAGE: i64 = 500;

/// Writes the events of those tenants that somebody wants to hear about.
pub async fn tell(outbox: &Outbox, knowledge: &Knowledge, endpoints: &[Arc<Endpoint>], now: Timestamp) -> Result<()> {
    let wanting = endpoints.iter().filter(|endpoint| endpoint.kinds.contains(&Kind::EntryExpiring));
    let tenants: BTreeSet<&TenantId> = wanting.map(|endpoint| &endpoint.tenant).collect();
    for tenant in tenants {
        let mut after = (now, EntryId::from_text(""));
        loop {
            let page = knowledge.store().expiring(tenant, Timestamp(now.0 + WEEK_MS), (after.0, &after.1), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = (last.at_ms, last.id.clone());
            let mut tx = outbox.begin().await?;
            for due in &page {
                record(&mut tx, tenant, &event(due, now)).await?;
            }
            tx.commit().await?;
        }
    }
    Ok(())
}

fn event(due: &Due, now: Timestamp) -> Event {
    let hash = Sha256::digest(format!("{}\n{}", due.at_ms.0, due.id));
    let id: String = hash.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    let data = json!({"id": due.id, "question": due.question, "valid_to": due.at_ms.rfc3339()});
    Event { id: format!("evt_{id}"), ..Event::new(Kind::EntryExpiring, now, data) }
}
