//! Turns under way in SQL: how far they are, that somebody is at work on them, and the end of those
//! whose process died.

use serde_json::{Value, json};
use sqlx::FromRow;

use super::Memory;
use crate::db::{Db, Tx};
use crate::error::Result;
use crate::ids::{TenantId, Timestamp, TurnId};
use crate::in_tx;
use crate::ledger::{self, Owed, Part};

/// How far a running turn is.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are Turn's")]
pub struct Progress {
    pub tenant: TenantId,
    pub turn: TurnId,
    pub answer: String,
    pub decision: Option<String>,
    pub unsourced: bool,
    pub sources: Value,
    pub numbers: Value,
    pub owed: Option<Owed>,
}

/// The report of a turn whose process died, from its question, the locale it was asked in and what came of the answer.
pub type Report = fn(question: &str, locale: Option<&str>, answer: &str) -> Value;

impl Memory {
    /// Notes how far running turns are, all at once; a turn that has ended meanwhile stays as it is.
    pub async fn note_progress(&self, all: &[Progress]) -> Result<()> {
        let now = self.clock.now();
        let sql = "update turns set answer = $3, decision = $4, sources = $5, numbers = $6, alive_ms = $7, owed = $8, unsourced = $9 \
             where tenant_id = $1 and id = $2 and status = 'running'";
        let mut tx = self.db.begin().await?;
        for one in all {
            let owed = one.owed.as_ref().map(serde_json::to_string).transpose()?;
            in_tx!(&mut tx, conn => sqlx::query(sql)
                .bind(&one.tenant).bind(&one.turn).bind(&one.answer).bind(&one.decision)
                .bind(one.sources.to_string()).bind(one.numbers.to_string()).bind(now).bind(owed).bind(one.unsourced)
                .execute(conn).await.map(drop))?;
        }
        tx.commit().await
    }

    /// Turns that a crash left running end as incomplete; returns how many. With Postgres another
    /// node may be answering, so only turns that nobody has been at work on for `silent_ms` are meant. Each gets the
    /// `report` as its error.
    pub async fn end_interrupted(&self, silent_ms: i64, report: Report) -> Result<u64> {
        let now = self.clock.now();
        let before = Timestamp(match self.db {
            Db::Sqlite(_) => now.0,
            Db::Postgres(_) => now.0 - silent_ms,
        });
        let sql = "update turns set status = 'incomplete', finish_reason = 'interrupted', unsourced = unsourced and answer <> '', done_ms = $1 \
             where status = 'running' and alive_ms <= $2 returning tenant_id, id, question, locale, answer, owed";
        let mut tx = self.db.begin().await?;
        let left: Vec<Left> = in_tx!(&mut tx, conn => sqlx::query_as(sql).bind(now).bind(before).fetch_all(conn).await)?;
        let ended = left.len() as u64;
        tell(&mut tx, &left, report).await?;
        pay(&mut tx, left).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Ends one turn that nobody has been at work on for `silent_ms`, with the `report` as its error; whether it did.
    pub async fn end_if_silent(&self, tenant: &TenantId, turn: &TurnId, silent_ms: i64, report: Report) -> Result<bool> {
        let now = self.clock.now();
        let sql = "update turns set status = 'incomplete', finish_reason = 'interrupted', unsourced = unsourced and answer <> '', done_ms = $3 \
             where tenant_id = $1 and id = $2 and status = 'running' and alive_ms <= $4 returning tenant_id, id, question, locale, answer, owed";
        let mut tx = self.db.begin().await?;
        let left: Vec<Left> = in_tx!(&mut tx, conn => sqlx::query_as(sql)
            .bind(tenant).bind(turn).bind(now).bind(Timestamp(now.0 - silent_ms))
            .fetch_all(conn).await)?;
        let ended = !left.is_empty();
        tell(&mut tx, &left, report).await?;
        pay(&mut tx, left).await?;
        tx.commit().await?;
        Ok(ended)
    }
}

/// A turn that nobody was at work on any more.
#[derive(FromRow)]
struct Left {
    tenant_id: TenantId,
    id: TurnId,
    question: String,
    locale: Option<String>,
    answer: String,
    owed: Option<String>,
}

/// Why these turns ended, for whoever reads them.
async fn tell(tx: &mut Tx, left: &[Left], report: Report) -> Result<()> {
    for turn in left {
        let error = report(&turn.question, turn.locale.as_deref(), &turn.answer).to_string();
        let sql = "update turns set error = $3 where tenant_id = $1 and id = $2";
        in_tx!(tx, conn => sqlx::query(sql).bind(&turn.tenant_id).bind(&turn.id).bind(&error).execute(conn).await.map(drop))?;
    }
    Ok(())
}

/// Counts what is known to be owed for turns that nobody has ended: the provider has answered all the same.
async fn pay(tx: &mut Tx, left: Vec<Left>) -> Result<()> {
    for turn in left {
        let Some(owed) = turn.owed else { continue };
        let spent = serde_json::from_str::<Owed>(&owed)?.with(&turn.answer);
        let usage = json!({
            "prompt_tokens": spent.usage.prompt_tokens, "completion_tokens": spent.usage.completion_tokens,
            "cost": spent.cost, "currency": spent.currency,
        });
        let sql = "update turns set usage = $3 where tenant_id = $1 and id = $2";
        in_tx!(tx, conn => sqlx::query(sql).bind(&turn.tenant_id).bind(&turn.id).bind(usage.to_string()).execute(conn).await.map(drop))?;
        ledger::add(tx, &turn.tenant_id, &spent, 1).await?;
    }
    Ok(())
}

/// What was paid for a turn by whoever ended it in its node's place, if anything was; from now on that is `usage`.
pub(super) async fn paid(tx: &mut Tx, tenant: &TenantId, turn: &TurnId, usage: &Value) -> Result<Option<Part>> {
    let find = "select usage from turns where tenant_id = $1 and id = $2 and finish_reason = 'interrupted'";
    let told: Option<String> = in_tx!(tx, conn => sqlx::query_scalar(find).bind(tenant).bind(turn).fetch_optional(conn).await)?;
    let paid = told.and_then(|told| serde_json::from_str::<Part>(&told).ok()).filter(|paid| paid.prompt_tokens > 0);
    if paid.is_some() {
        let sql = "update turns set usage = $3 where tenant_id = $1 and id = $2";
        in_tx!(tx, conn => sqlx::query(sql).bind(tenant).bind(turn).bind(usage.to_string()).execute(conn).await.map(drop))?;
    }
    Ok(paid)
}
