//! Tokens and money in SQL. Money is kept in billionths, so that sums are exact.

use sqlx::FromRow;

use super::{Line, Spending};
use crate::db::{Db, Tx};
use crate::error::Result;
use crate::ids::TenantId;
use crate::{in_tx, on};

const BILLIONTHS: f64 = 1e9;

/// Adds what `calls` cost, one or the rest of one, in the transaction that records the answer.
pub(crate) async fn add(tx: &mut Tx, tenant: &TenantId, spent: &Spending, calls: i64) -> Result<()> {
    let sql = "insert into model_usage (tenant_id, day, model, currency, calls, prompt_tokens, completion_tokens, cached_tokens, cost_nano) \
         values ($1, $2, $3, $4, $9, $5, $6, $7, $8) \
         on conflict (tenant_id, day, model, currency) do update set calls = model_usage.calls + excluded.calls, \
         prompt_tokens = model_usage.prompt_tokens + excluded.prompt_tokens, \
         completion_tokens = model_usage.completion_tokens + excluded.completion_tokens, \
         cached_tokens = model_usage.cached_tokens + excluded.cached_tokens, \
         cost_nano = model_usage.cost_nano + excluded.cost_nano";
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    in_tx!(tx, conn => sqlx::query(sql)
        .bind(tenant).bind(&spent.day).bind(&spent.model).bind(&spent.currency)
        .bind(tokens(spent.usage.prompt_tokens)).bind(tokens(spent.usage.completion_tokens)).bind(tokens(spent.usage.cached_tokens))
        .bind((spent.cost * BILLIONTHS).round() as i64).bind(calls)
        .execute(conn).await.map(drop))?;
    Ok(())
}

#[derive(FromRow)]
struct Row {
    day: String,
    model: String,
    currency: String,
    calls: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    cached_tokens: i64,
    cost_nano: i64,
}

/// A tenant's days in a month (2026-11), each model by itself.
pub(super) async fn days(db: &Db, tenant: &TenantId, month: &str) -> Result<Vec<Line>> {
    let sql = "select day, model, currency, calls, prompt_tokens, completion_tokens, cached_tokens, cost_nano from model_usage \
         where tenant_id = $1 and day >= $2 and day <= $3 order by day, model, currency";
    let rows: Vec<Row> = on!(db, pool => sqlx::query_as(sql)
        .bind(tenant).bind(format!("{month}-01")).bind(format!("{month}-31")).fetch_all(pool).await)?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// Money of a month by currency.
pub(super) async fn costs(db: &Db, tenant: &TenantId, month: &str) -> Result<Vec<(f64, String)>> {
    let sql = "select cast(sum(cost_nano) as bigint), currency from model_usage \
         where tenant_id = $1 and day >= $2 and day <= $3 group by currency";
    let rows: Vec<(i64, String)> = on!(db, pool => sqlx::query_as(sql)
        .bind(tenant).bind(format!("{month}-01")).bind(format!("{month}-31")).fetch_all(pool).await)?;
    Ok(rows.into_iter().map(|(nano, currency)| (nano as f64 / BILLIONTHS, currency)).collect())
}

impl From<Row> for Line {
    fn from(row: Row) -> Self {
        Self {
            day: row.day,
            model: row.model,
            calls: row.calls,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            cached_tokens: row.cached_tokens,
            cost: row.cost_nano as f64 / BILLIONTHS,
            currency: row.currency,
        }
    }
}
