//! A knowledge entry as the row that people keep: the contract's field names, dates in the shop's
//! time zone, and a last day that is included.

use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta};
use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::ids::Timestamp;
use crate::knowledge::KnowledgeEntry;

/// The row, with when it was written.
pub fn row(entry: KnowledgeEntry, zone: Tz) -> Value {
    let draft = entry.draft;
    json!({
        "id": entry.id, "question": draft.question, "answer": draft.answer,
        "similar": draft.similar, "not": draft.negative, "category": draft.category, "tags": draft.tags,
        "market": draft.market, "locale": draft.locale,
        "valid_from": draft.valid_from.map(|at| date(at, zone, TimeDelta::zero())),
        "valid_to": draft.valid_to.map(|at| date(at, zone, TimeDelta::days(1))),
        "source": draft.source, "url": draft.url, "direct": draft.direct,
        "revision": entry.revision, "created_ms": entry.created, "updated_ms": entry.updated,
    })
}

/// A midnight is a date without a time, `back` before it; anything else says its time.
fn date(at: Timestamp, zone: Tz, back: TimeDelta) -> String {
    let local = DateTime::from_timestamp_millis(at.0).unwrap_or_default().with_timezone(&zone);
    if local.time() == NaiveTime::MIN { (local.date_naive() - back).to_string() } else { local.to_rfc3339_opts(SecondsFormat::Secs, true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_of_a_validity_is_included() {
        let zone = chrono_tz::Asia::Shanghai;
        // 2026-01-01T00:00+08:00
        let new_year = Timestamp(1_767_196_800_000);
        assert_eq!(date(new_year, zone, TimeDelta::zero()), "2026-01-01");
        assert_eq!(date(new_year, zone, TimeDelta::days(1)), "2025-12-31");
        assert_eq!(date(Timestamp(new_year.0 + 60_000), zone, TimeDelta::days(1)), "2026-01-01T00:01:00+08:00");
    }
}
