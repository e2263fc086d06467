//! The outbox in SQL. A row belongs to a tenant and an endpoint; whoever moves a due row's time sends it.

use serde::Serialize;
use sqlx::FromRow;

use super::{Event, Kind};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::ids::{Clock, ConversationId, TenantId, Timestamp};
use crate::{in_tx, on};

/// Most rows that wait for one endpoint; the oldest ones beyond are given up.
const MOST_WAITING: i64 = 10_000;

/// Writes an event for everybody who is to be told, once for each id.
pub async fn record(tx: &mut Tx, tenant: &TenantId, event: &Event) -> Result<()> {
    let sql = "insert into event_deliveries \
         (tenant_id, id, event_id, event, endpoint, payload, conversation_id, state, attempts, due_ms, since_ms, created_ms, updated_ms) \
         select tenant_id, $2 || '.' || endpoint, $2, event, endpoint, $4, $5, 'waiting', 0, $6, $6, $6, $6 \
         from event_subscriptions where tenant_id = $1 and event = $3 on conflict (tenant_id, id) do nothing";
    in_tx!(tx, conn => sqlx::query(sql)
        .bind(tenant).bind(&event.id).bind(event.kind.as_str()).bind(event.body(tenant)).bind(&event.conversation).bind(event.at)
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Writes an event for one endpoint, whatever it has subscribed, once for each id.
pub async fn record_for(tx: &mut Tx, tenant: &TenantId, endpoint: &str, event: &Event) -> Result<()> {
    let sql = "insert into event_deliveries \
         (tenant_id, id, event_id, event, endpoint, payload, conversation_id, state, attempts, due_ms, since_ms, created_ms, updated_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0, $8, $8, $8, $8) on conflict (tenant_id, id) do nothing";
    let id = format!("{}.{endpoint}", event.id);
    in_tx!(tx, conn => sqlx::query(sql)
        .bind(tenant).bind(id).bind(&event.id).bind(event.kind.as_str()).bind(endpoint).bind(event.body(tenant)).bind(&event.conversation)
        .bind(event.at).execute(conn).await.map(drop))?;
    Ok(())
}

/// Whether anybody is to be told of such events.
pub async fn is_wanted(tx: &mut Tx, tenant: &TenantId, kind: Kind) -> Result<bool> {
    let sql = "select count(*) from event_subscriptions where tenant_id = $1 and event = $2";
    let count: i64 = in_tx!(tx, conn => sqlx::query_scalar(sql).bind(tenant).bind(kind.as_str()).fetch_one(conn).await)?;
    Ok(count > 0)
}

/// Forgets what was told of a conversation.
pub async fn forget(tx: &mut Tx, tenant: &TenantId, conversation: &ConversationId) -> Result<()> {
    let sql = "delete from event_deliveries where tenant_id = $1 and conversation_id = $2";
    in_tx!(tx, conn => sqlx::query(sql).bind(tenant).bind(conversation).execute(conn).await.map(drop))?;
    Ok(())
}

/// A row that is to be sent.
#[derive(Clone, Debug, FromRow)]
#[expect(missing_docs, reason = "the fields are Delivery's")]
pub struct Waiting {
    pub id: String,
    pub event_id: String,
    pub payload: String,
    pub attempts: i64,
    pub due_ms: Timestamp,
    pub since_ms: Timestamp,
}

/// How a try went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// `delivered`, `failed`, or `waiting` for the next try.
    pub state: &'static str,
    /// When that is.
    pub due: Timestamp,
    /// The receiver's status, when it answered.
    pub status: Option<i64>,
    /// What went wrong, in a word.
    pub problem: Option<String>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Delivery {
    /// Its own id: an event's for one endpoint.
    pub id: String,
    /// The event's, which the receiver sees as `webhook-id`.
    pub event_id: String,
    /// What happened.
    pub event: String,
    /// To whom it is told.
    pub endpoint: String,
    /// `waiting`, `delivered`, `failed`.
    #[cfg_attr(test, ts(type = "'waiting' | 'delivered' | 'failed'"))]
    pub state: String,
    /// Tries so far.
    pub attempts: i64,
    /// When a waiting one is tried next.
    #[cfg_attr(test, ts(type = "number"))]
    pub due_ms: Timestamp,
    /// The receiver's last status.
    pub status: Option<i64>,
    /// What went wrong last: `http_500`, `timeout`, `unreachable`, `private_address`, …
    pub problem: Option<String>,
    /// When it happened.
    #[cfg_attr(test, ts(type = "number"))]
    pub created_ms: Timestamp,
    /// When it was tried last.
    #[cfg_attr(test, ts(type = "number"))]
    pub updated_ms: Timestamp,
}

/// How many of an endpoint's deliveries are in a state.
#[derive(Clone, Debug, FromRow)]
pub struct Count {
    /// To whom they are told.
    pub endpoint: String,
    /// `waiting`, `delivered`, `failed`.
    pub state: String,
    /// How many.
    pub count: i64,
    /// When the last of the delivered ones was.
    pub last_ms: Timestamp,
}

/// Which lines of the log are meant.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are Delivery's")]
pub struct Wanted<'a> {
    pub endpoint: Option<&'a str>,
    pub state: Option<&'a str>,
    /// Before this moment; with an id also what happened at it and comes behind that delivery, for the next page.
    pub before: Option<(Timestamp, Option<&'a str>)>,
}

/// The outbox of every shop.
#[derive(Clone, Debug)]
pub struct Outbox {
    db: Db,
    clock: Clock,
}

impl Outbox {
    /// Over an open database.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Starts a transaction, for what happens nowhere else.
    pub async fn begin(&self) -> Result<Tx> {
        self.db.begin().await
    }

    /// Writes down who is told from now on, in place of who was.
    pub async fn subscribe(&self, wishes: &[(TenantId, String, Vec<Kind>)]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        in_tx!(&mut tx, conn => sqlx::query("delete from event_subscriptions").execute(conn).await.map(drop))?;
        let sql = "insert into event_subscriptions (tenant_id, event, endpoint) values ($1, $2, $3) on conflict do nothing";
        for (tenant, endpoint, kinds) in wishes {
            for kind in kinds {
                in_tx!(&mut tx, conn => sqlx::query(sql).bind(tenant).bind(kind.as_str()).bind(endpoint).execute(conn).await.map(drop))?;
            }
        }
        tx.commit().await
    }

    /// On SQLite, where nobody else sends: what a stop broke off is due at once.
    pub async fn take_up(&self, tenant: &TenantId, endpoint: &str) -> Result<()> {
        let Db::Sqlite(pool) = &self.db else { return Ok(()) };
        let sql = "update event_deliveries set due_ms = $3 where tenant_id = $1 and endpoint = $2 and state = 'waiting' and due_ms > $3";
        sqlx::query(sql).bind(tenant).bind(endpoint).bind(self.clock.now()).execute(pool).await?;
        Ok(())
    }

    /// What is due for an endpoint, the longest due first.
    pub async fn due(&self, tenant: &TenantId, endpoint: &str, limit: i64) -> Result<Vec<Waiting>> {
        let sql = "select id, event_id, payload, attempts, due_ms, since_ms from event_deliveries \
             where tenant_id = $1 and endpoint = $2 and state = 'waiting' and due_ms <= $3 order by due_ms, created_ms, id limit $4";
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(tenant).bind(endpoint).bind(self.clock.now()).bind(limit).fetch_all(pool).await)?)
    }

    /// Makes a due row the caller's until a moment; `false` when somebody else was quicker.
    pub async fn claim(&self, tenant: &TenantId, row: &mut Waiting, until: Timestamp) -> Result<bool> {
        let sql = "update event_deliveries set due_ms = $4, attempts = attempts + 1, updated_ms = $5 \
             where tenant_id = $1 and id = $2 and state = 'waiting' and due_ms = $3";
        let claimed = on!(&self.db, pool => sqlx::query(sql)
            .bind(tenant).bind(&row.id).bind(row.due_ms).bind(until).bind(self.clock.now()).execute(pool).await?.rows_affected());
        (row.due_ms, row.attempts) = (until, row.attempts + 1);
        Ok(claimed == 1)
    }

    /// Keeps how a try went, unless somebody else has it by now.
    pub async fn settle(&self, tenant: &TenantId, row: &Waiting, tried: &Tried) -> Result<()> {
        let sql = "update event_deliveries set state = $4, due_ms = $5, status = $6, problem = $7, updated_ms = $8 \
             where tenant_id = $1 and id = $2 and due_ms = $3";
        on!(&self.db, pool => sqlx::query(sql)
            .bind(tenant).bind(&row.id).bind(row.due_ms).bind(tried.state).bind(tried.due).bind(tried.status).bind(&tried.problem)
            .bind(self.clock.now()).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// How many deliveries are in which state, for every endpoint of a shop.
    pub async fn counts(&self, tenant: &TenantId) -> Result<Vec<Count>> {
        let sql = "select endpoint, state, count(*) as count, max(due_ms) as last_ms \
             from event_deliveries where tenant_id = $1 group by endpoint, state";
        Ok(on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).fetch_all(pool).await)?)
    }

    /// The log, the newest first.
    pub async fn log(&self, tenant: &TenantId, wanted: &Wanted<'_>, limit: i64) -> Result<Vec<Delivery>> {
        let sql = "select id, event_id, event, endpoint, state, attempts, due_ms, status, problem, created_ms, updated_ms \
             from event_deliveries where tenant_id = $1 and ($2 is null or endpoint = $2) and ($3 is null or state = $3) \
             and (created_ms < $4 or (created_ms = $4 and $5 is not null and id > $5)) order by created_ms desc, id limit $6";
        let (before, behind) = wanted.before.unwrap_or((Timestamp(i64::MAX), None));
        Ok(on!(&self.db, pool => sqlx::query_as(sql)
            .bind(tenant).bind(wanted.endpoint).bind(wanted.state).bind(before).bind(behind).bind(limit).fetch_all(pool).await)?)
    }

    /// Has a delivery sent again, as if it had just happened: under the same id.
    ///
    /// # Errors
    /// `delivery_not_found`.
    pub async fn send_again(&self, tenant: &TenantId, id: &str) -> Result<()> {
        let sql =
            "update event_deliveries set state = 'waiting', attempts = 0, due_ms = $3, since_ms = $3 where tenant_id = $1 and id = $2";
        let found =
            on!(&self.db, pool => sqlx::query(sql).bind(tenant).bind(id).bind(self.clock.now()).execute(pool).await?.rows_affected());
        if found == 0 {
            return Err(Error::not_found("delivery_not_found", "There is no such delivery; the log keeps them for two weeks."));
        }
        Ok(())
    }

    /// Gives up the oldest of too many that wait for an endpoint; returns how many.
    pub async fn give_up_beyond(&self, tenant: &TenantId, endpoint: &str) -> Result<u64> {
        let newest = "select created_ms from event_deliveries where tenant_id = $1 and endpoint = $2 and state = 'waiting' \
             order by created_ms desc limit 1 offset $3";
        let last: Option<Timestamp> = on!(&self.db, pool => sqlx::query_scalar(newest)
            .bind(tenant).bind(endpoint).bind(MOST_WAITING).fetch_optional(pool).await)?;
        let Some(last) = last else { return Ok(0) };
        let sql = "update event_deliveries set state = 'failed', problem = 'too_many_waiting', updated_ms = $4 \
             where tenant_id = $1 and endpoint = $2 and state = 'waiting' and created_ms <= $3";
        Ok(on!(&self.db, pool => sqlx::query(sql)
            .bind(tenant).bind(endpoint).bind(last).bind(self.clock.now()).execute(pool).await?.rows_affected()))
    }

    /// Gives up what has waited since before a moment, whosever: also for endpoints that are configured no
    /// longer; returns how many.
    pub async fn give_up_before(&self, before: Timestamp) -> Result<u64> {
        let sql = "update event_deliveries set state = 'failed', problem = coalesce(problem, 'not_sent'), updated_ms = $2 \
             where state = 'waiting' and since_ms < $1";
        Ok(on!(&self.db, pool => sqlx::query(sql).bind(before).bind(self.clock.now()).execute(pool).await?.rows_affected()))
    }

    /// Forgets what happened before a moment, whosever, and no longer waits.
    pub async fn forget_before(&self, before: Timestamp) -> Result<u64> {
        let sql = "delete from event_deliveries where created_ms < $1 and state <> 'waiting'";
        Ok(on!(&self.db, pool => sqlx::query(sql).bind(before).execute(pool).await?.rows_affected()))
    }
}
