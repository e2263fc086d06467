//! What models cost: tokens and money per tenant, day and model, and the limit that a tenant may spend in
//! a month. Days and months are those of the shop's time zone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{Datelike, NaiveDate, TimeZone};
use serde::Serialize;

use crate::config::SpendConfig;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{Clock, TenantId, Timestamp};
use crate::models::{Model, ModelCard, Usage};
use crate::telemetry;

mod beside;
mod owed;
mod store;

pub use beside::{Beside, Heard, Paid};
pub use owed::{Owed, Part};
pub(crate) use store::add;

/// What one answer cost, to be written with its turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Spending {
    /// As 2026-11-23.
    pub day: String,
    /// Who answered.
    pub model: String,
    /// Tokens.
    pub usage: Usage,
    /// Money, in `currency`.
    pub cost: f64,
    /// The currency of the model's prices.
    pub currency: String,
}

/// Tokens and money of a model, on a day or in a month.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Line {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub day: String,
    pub model: String,
    pub calls: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cached_tokens: i64,
    pub cost: f64,
    pub currency: String,
}

/// A tenant's month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// As 2026-11.
    pub month: String,
    /// Money by currency.
    pub cost: BTreeMap<String, f64>,
    /// What may be spent; none without a limit.
    pub limit: Option<Limit>,
    /// The models of the month.
    pub models: Vec<Line>,
    /// The same by day.
    pub days: Vec<Line>,
}

/// A limit and how much of it is gone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// What may be spent in a month.
    pub month: f64,
    /// What is spent already, converted.
    pub spent: f64,
    /// The currency of both.
    pub currency: String,
    /// The first day of the next month.
    pub resets_on: String,
    /// When that begins.
    pub resets_at_ms: Timestamp,
}

/// Whether a call may be made.
pub enum Allowance {
    /// It may; its worst cost is held back until this is dropped.
    Granted(Option<Held>),
    /// The month's money is spent.
    Reached(Limit),
}

/// The room's door. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    zone: chrono_tz::Tz,
    config: SpendConfig,
    /// What running calls may cost at most, by tenant: so that many at once do not overshoot.
    held: Mutex<HashMap<TenantId, f64>>,
}

impl Ledger {
    /// Over an open database.
    ///
    /// # Errors
    /// `bad_config` when there is a limit, and a model's price is in a currency without a rate.
    pub fn new(db: Db, clock: Clock, zone: chrono_tz::Tz, config: SpendConfig, cards: &[ModelCard]) -> Result<Self> {
        let limited = config.month > 0.0 || config.tenants.values().any(|month| *month > 0.0);
        let strange = |card: &&ModelCard| card.price_in + card.price_out > 0.0 && config.converted(1.0, &card.currency).is_none();
        if let Some(card) = cards.iter().find(strange).filter(|_| limited) {
            let message = format!(
                "Model `{}` costs {}, and `spend` has a limit in {} without a rate: add `{} = …` under [spend.rates].",
                card.id, card.currency, config.currency, card.currency
            );
            return Err(Error::invalid("bad_config", message));
        }
        Ok(Self(Arc::new(Inner { db, clock, zone, config, held: Mutex::default() })))
    }

    /// What an answer of this model cost, under today's date.
    pub fn spending(&self, card: &ModelCard, usage: Usage, cost: f64) -> Spending {
        let day = self.today().format("%Y-%m-%d").to_string();
        Spending { day, model: card.id.clone(), usage, cost, currency: card.currency.clone() }
    }

    /// Writes down what a call cost that belongs to no turn.
    pub async fn record(&self, tenant: &TenantId, model: &Model, usage: Usage) -> Result<()> {
        let spent = self.spending(model.card(), usage, model.cost(usage));
        let mut tx = self.0.db.begin().await?;
        store::add(&mut tx, tenant, &spent, 1).await?;
        tx.commit().await?;
        measure(tenant, &spent);
        Ok(())
    }

    /// Asks for a call that costs at most one of these; a call that costs nothing is always granted.
    pub async fn allow(&self, tenant: &TenantId, most: &[(f64, String)]) -> Result<Allowance> {
        let Some(month) = self.0.config.limit(tenant.as_str()) else { return Ok(Allowance::Granted(None)) };
        let converted = most.iter().filter_map(|(cost, currency)| self.0.config.converted(*cost, currency));
        let worst = converted.fold(0.0, f64::max);
        if worst <= 0.0 {
            return Ok(Allowance::Granted(None));
        }
        // Looked up before the lock: what ends meanwhile is counted twice for a moment, never not at all.
        let limit = self.limit(tenant, month).await?;
        let mut held = self.held();
        let running = held.entry(tenant.clone()).or_default();
        if limit.spent + *running + worst > month {
            return Ok(Allowance::Reached(limit));
        }
        *running += worst;
        Ok(Allowance::Granted(Some(Held { ledger: self.clone(), tenant: tenant.clone(), amount: worst })))
    }

    /// A tenant's month, as 2026-11; none is the current one.
    ///
    /// # Errors
    /// `bad_month`.
    pub async fn report(&self, tenant: &TenantId, month: Option<&str>) -> Result<Report> {
        let first = match month {
            Some(month) => parse_month(month)?,
            None => first_of_month(self.today()),
        };
        let days = store::days(&self.0.db, tenant, &month_of(first)).await?;
        let mut cost = BTreeMap::new();
        for line in &days {
            *cost.entry(line.currency.clone()).or_default() += line.cost;
        }
        let limit = match self.0.config.limit(tenant.as_str()) {
            Some(month) if first == first_of_month(self.today()) => Some(self.limit(tenant, month).await?),
            _ => None,
        };
        Ok(Report { month: month_of(first), cost, limit, models: by_model(&days), days })
    }

    async fn limit(&self, tenant: &TenantId, month: f64) -> Result<Limit> {
        let first = first_of_month(self.today());
        let costs = store::costs(&self.0.db, tenant, &month_of(first)).await?;
        let spent = costs.iter().filter_map(|(cost, currency)| self.0.config.converted(*cost, currency)).sum();
        let next = first.checked_add_months(chrono::Months::new(1)).unwrap_or(first);
        let midnight = self.0.zone.from_local_datetime(&next.and_time(chrono::NaiveTime::MIN)).earliest();
        Ok(Limit {
            month,
            spent,
            currency: self.0.config.currency.clone(),
            resets_on: next.format("%Y-%m-%d").to_string(),
            resets_at_ms: Timestamp(midnight.map_or(0, |at| at.timestamp_millis())),
        })
    }

    fn today(&self) -> NaiveDate {
        let now = chrono::DateTime::from_timestamp_millis(self.0.clock.now().0).unwrap_or_default();
        now.with_timezone(&self.0.zone).date_naive()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TenantId, f64>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokens and money as operators see them: of answers, and of calls beside them.
pub fn measure(tenant: &TenantId, spent: &Spending) {
    let labels = |last: (&'static str, String)| [("tenant", tenant.to_string()), ("model", spent.model.clone()), last];
    for (direction, tokens) in [("in", spent.usage.prompt_tokens), ("out", spent.usage.completion_tokens)] {
        metrics::counter!(telemetry::MODEL_TOKENS, &labels(("direction", direction.to_owned()))).increment(tokens);
    }
    if spent.cost > 0.0 {
        let micros = (spent.cost * 1_000_000.0).round() as u64;
        metrics::counter!(telemetry::MODEL_COST, &labels(("currency", spent.currency.clone()))).increment(micros);
    }
}

/// Money held back for a running call. Drop it once the call's real cost is written.
pub struct Held {
    ledger: Ledger,
    tenant: TenantId,
    amount: f64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.ledger.held();
        if let Some(running) = held.get_mut(&self.tenant) {
            *running -= self.amount;
            if *running < 1e-12 {
                held.remove(&self.tenant);
            }
        }
    }
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

fn month_of(day: NaiveDate) -> String {
    day.format("%Y-%m").to_string()
}

fn parse_month(month: &str) -> Result<NaiveDate> {
    let day = NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d").ok();
    day.filter(|_| month.len() == 7).ok_or_else(|| {
        Error::invalid("bad_month", format!("`{month}` is no month; expected one such as 2026-11."))
            .with_details(serde_json::json!({"param": "month"}))
    })
}

/// The days of each model together.
fn by_model(days: &[Line]) -> Vec<Line> {
    let mut models: BTreeMap<(&str, &str), Line> = BTreeMap::new();
    for line in days {
        let sum = models.entry((&line.model, &line.currency)).or_insert_with(|| Line {
            model: line.model.clone(),
            currency: line.currency.clone(),
            ..Line::default()
        });
        sum.calls += line.calls;
        sum.prompt_tokens += line.prompt_tokens;
        sum.completion_tokens += line.completion_tokens;
        sum.cached_tokens += line.cached_tokens;
        sum.cost += line.cost;
    }
    models.into_values().collect()
}
