//! Notices to groups: once a day what expires and what nobody could answer, and when the month's money runs
//! out. A notice's id follows from group, day and subject, so that it is written once, whoever looks how often.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::{Value, json};

use super::{Endpoint, Inner, complain};
use crate::chat::rewrite::{self, Intent};
use crate::error::{Error, Result};
use crate::events::store::record_for;
use crate::events::{Event, Kind};
use crate::ids::{EntryId, TenantId, Timestamp};
use crate::knowledge::text::question_key;
use crate::memory::overview::Told;

/// How often it is looked whether it is time.
const BEAT: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Entries and questions named in a notice.
const NAMED: usize = 10;
/// Entries counted.
const COUNTED: i64 = 1000;
/// Hundredths of the month's money that are told of.
const SHARES: [u32; 2] = [100, 80];

/// A group and when it is written to.
pub struct Notice {
    endpoint: String,
    tenant: TenantId,
    kinds: Vec<Kind>,
    at: NaiveTime,
}

impl Notice {
    /// A group's, as configured.
    ///
    /// # Errors
    /// `bad_config` when `at` is no time.
    pub fn new(group: &Endpoint, name: &str, at: &str) -> Result<Self> {
        let at = NaiveTime::parse_from_str(at, "%H:%M").map_err(|_| {
            Error::invalid("bad_config", format!("`notices.{name}.at` is `{at}`; expected hours and minutes such as 09:00."))
        })?;
        Ok(Self { endpoint: group.name.clone(), tenant: group.tenant.clone(), kinds: group.kinds.clone(), at })
    }

    fn event(&self, kind: Kind, span: &str, now: Timestamp, data: Value) -> Event {
        let id = format!("ntc_{}_{}_{span}", self.endpoint.trim_start_matches("notices."), kind.as_str().trim_start_matches("notice."));
        Event { id, ..Event::new(kind, now, data) }
    }
}

/// Looks every minute.
pub(super) async fn notice_forever(room: &Inner) {
    if room.notices.is_empty() {
        return;
    }
    let mut written: HashMap<&str, NaiveDate> = HashMap::new();
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = room.stop.cancelled() => return,
        }
        for notice in &room.notices {
            complain(look(room, notice, &mut written).await);
        }
    }
}

async fn look<'a>(room: &Inner, notice: &'a Notice, written: &mut HashMap<&'a str, NaiveDate>) -> Result<()> {
    let now = room.clock.now();
    if notice.kinds.contains(&Kind::NoticeSpend) {
        spend(room, notice, now).await?;
    }
    let today = DateTime::from_timestamp_millis(now.0).unwrap_or_default().with_timezone(&room.zone).date_naive();
    let time = today.and_time(notice.at).and_local_timezone(room.zone).earliest();
    let time = time.map_or(0, |time| time.timestamp_millis());
    if now.0 < time || written.get(notice.endpoint.as_str()) == Some(&today) {
        return Ok(());
    }
    let day = today.to_string();
    if notice.kinds.contains(&Kind::NoticeExpiring) {
        expiring(room, notice, &day, now).await?;
    }
    if notice.kinds.contains(&Kind::NoticeUnanswered) {
        unanswered(room, notice, &day, Timestamp(time - DAY_MS), now).await?;
    }
    written.insert(&notice.endpoint, today);
    Ok(())
}

/// Entries that stop being served within seven days.
async fn expiring(room: &Inner, notice: &Notice, day: &str, now: Timestamp) -> Result<()> {
    let until = Timestamp(now.0 + 7 * DAY_MS);
    let due = room.knowledge.store().expiring(&notice.tenant, until, (now, &EntryId::from_text("")), COUNTED).await?;
    if due.is_empty() {
        return Ok(());
    }
    let local = |at: Timestamp| DateTime::from_timestamp_millis(at.0).unwrap_or_default().with_timezone(&room.zone);
    let entry = |due: &crate::knowledge::store::Due| {
        let name = if due.question.is_empty() { due.id.as_str() } else { &due.question };
        json!({"text": name, "until": local(due.at_ms).format("%m-%d %H:%M").to_string()})
    };
    let named: Vec<Value> = due.iter().take(NAMED).map(entry).collect();
    write(room, notice, notice.event(Kind::NoticeExpiring, day, now, json!({"count": due.len(), "entries": named}))).await
}

/// Questions since a moment that the knowledge had nothing for, the most asked first.
async fn unanswered(room: &Inner, notice: &Notice, day: &str, since: Timestamp, now: Timestamp) -> Result<()> {
    let mut asked: HashMap<String, (String, u64)> = HashMap::new();
    let count = |told: &Told| {
        let key = question_key(&told.question);
        if !key.is_empty() && is_missed(told) {
            let (question, times) = asked.entry(key).or_default();
            question.clone_from(&told.question);
            *times += 1;
        }
    };
    room.memory.tell_since(&notice.tenant, since, None, count).await?;
    if asked.is_empty() {
        return Ok(());
    }
    let all: u64 = asked.values().map(|(_, times)| times).sum();
    let mut questions: Vec<(String, u64)> = asked.into_values().collect();
    questions.sort_by(|(a, often), (b, oftener)| (oftener, a).cmp(&(often, b)));
    let named: Vec<Value> = questions.iter().take(NAMED).map(|(text, times)| json!({"text": text, "times": times})).collect();
    write(room, notice, notice.event(Kind::NoticeUnanswered, day, now, json!({"count": all, "questions": named}))).await
}

/// Answered that the knowledge has nothing; greetings and what a guardrail refused are no gap in it.
fn is_missed(told: &Told) -> bool {
    told.status == "completed"
        && told.decision.as_deref() == Some("none")
        && told.finish_reason.as_deref() != Some("content_filter")
        && !told.replaced
        && matches!(rewrite::read(None, &told.question), Intent::Ask(_))
}

/// The month's money: when most of it is spent, and when all of it is; once each.
async fn spend(room: &Inner, notice: &Notice, now: Timestamp) -> Result<()> {
    let report = room.ledger.report(&notice.tenant, None).await?;
    let Some(limit) = report.limit else { return Ok(()) };
    let reached = |share: &u32| limit.spent * 100.0 >= limit.month * f64::from(*share);
    let Some(share) = SHARES.into_iter().find(reached) else { return Ok(()) };
    let data = json!({
        "month": report.month, "spent": limit.spent, "limit": limit.month, "currency": limit.currency, "share": share,
        "resets_on": limit.resets_on,
    });
    write(room, notice, notice.event(Kind::NoticeSpend, &format!("{}-{share}", report.month), now, data)).await
}

async fn write(room: &Inner, notice: &Notice, event: Event) -> Result<()> {
    let mut tx = room.outbox.begin().await?;
    record_for(&mut tx, &notice.tenant, &notice.endpoint, &event).await?;
    tx.commit().await
}
