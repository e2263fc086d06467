//! How the shop's answers went over some days: counts, times and money by day and by channel, and what
//! was asked most. Pure: turns go in one by one, figures come out.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use serde::Serialize;

use crate::ids::{ConversationId, Timestamp};
use crate::knowledge::text::question_key;

/// Questions listed.
const TOP: usize = 20;

/// What is counted of a turn.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are Turn's")]
pub struct Told {
    pub conversation: String,
    pub channel: String,
    pub created: i64,
    pub question: String,
    pub decision: Option<String>,
    pub status: String,
    pub finish_reason: Option<String>,
    pub rating: Option<String>,
    /// Another answer took its place: it cost money and time, but is no further question.
    pub replaced: bool,
    pub cost: f64,
    pub currency: String,
    /// Answered from the cache.
    pub cached: bool,
    pub first_token: Option<i64>,
    pub total: Option<i64>,
}

/// How many, how quick, how dear.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Figures {
    /// Questions that have an answer.
    pub questions: u64,
    /// Answered from the knowledge, or with a courtesy.
    pub answered: u64,
    /// Answered that the knowledge has nothing, or not at all because a guardrail said so.
    pub refused: u64,
    /// Failed, broken off or stopped.
    pub failed: u64,
    /// Rated up.
    pub up: u64,
    /// Rated down.
    pub down: u64,
    /// Given again from the cache.
    pub cached: u64,
    /// Milliseconds to the first text that half of the answers took at most.
    pub first_token_p50: Option<u64>,
    /// The same for 95 of 100.
    pub first_token_p95: Option<u64>,
    /// Milliseconds to the end that half of the answers took at most.
    pub total_p50: Option<u64>,
    /// The same for 95 of 100.
    pub total_p95: Option<u64>,
    /// Money by currency.
    pub cost: BTreeMap<String, f64>,
}

/// The figures of a day or of a channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "OverviewPart"))]
pub struct Part {
    /// The day, as 2026-11-23, or the channel.
    pub name: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A question that was asked often.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "AskedQuestion"))]
pub struct Asked {
    /// As it was asked last.
    pub question: String,
    /// How often.
    pub count: u64,
    /// How often it was refused.
    pub refused: u64,
    /// How often its answer was rated down.
    pub down: u64,
    /// Where it was asked last.
    #[cfg_attr(test, ts(as = "String"))]
    pub conversation_id: ConversationId,
}

/// Some days of a shop.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Overview {
    /// All of it.
    pub total: Figures,
    /// Every day, also those without a question, oldest first.
    pub days: Vec<Part>,
    /// Every channel, the busiest first.
    pub channels: Vec<Part>,
    /// What was asked most.
    pub questions: Vec<Asked>,
}

#[derive(Default)]
struct Sum {
    figures: Figures,
    first_token: Vec<i64>,
    total: Vec<i64>,
}

impl Sum {
    fn add(&mut self, told: &Told) {
        if told.cost > 0.0 {
            *self.figures.cost.entry(told.currency.clone()).or_default() += told.cost;
        }
        if told.replaced {
            return;
        }
        let figures = &mut self.figures;
        figures.questions += 1;
        match told {
            _ if told.is_refused() => figures.refused += 1,
            _ if told.status == "completed" => figures.answered += 1,
            _ => figures.failed += 1,
        }
        figures.up += u64::from(told.rating.as_deref() == Some("up"));
        figures.down += u64::from(told.rating.as_deref() == Some("down"));
        figures.cached += u64::from(told.cached);
        if told.status == "completed" {
            self.first_token.extend(told.first_token);
            self.total.extend(told.total);
        }
    }

    fn figures(mut self) -> Figures {
        self.first_token.sort_unstable();
        self.total.sort_unstable();
        Figures {
            first_token_p50: quantile(&self.first_token, 50),
            first_token_p95: quantile(&self.first_token, 95),
            total_p50: quantile(&self.total, 50),
            total_p95: quantile(&self.total, 95),
            ..self.figures
        }
    }
}

/// The smallest value that `percent` of the sorted ones do not exceed.
fn quantile(sorted: &[i64], percent: usize) -> Option<u64> {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).map(|value| u64::try_from(*value).unwrap_or_default())
}

impl Told {
    fn is_refused(&self) -> bool {
        let guarded = self.finish_reason.as_deref() == Some("content_filter");
        self.status == "completed" && (self.decision.as_deref() == Some("none") || guarded)
    }

    /// A greeting or thanks: answered, and nothing was asked.
    fn is_courtesy(&self) -> bool {
        self.status == "completed" && self.decision.is_none()
    }
}

/// Counts turns.
pub struct Counting {
    zone: Tz,
    total: Sum,
    days: BTreeMap<NaiveDate, Sum>,
    channels: BTreeMap<String, Sum>,
    questions: HashMap<String, (Asked, i64)>,
}

impl Counting {
    /// From one day to another, both included.
    pub fn new(zone: Tz, first: NaiveDate, last: NaiveDate) -> Self {
        let days = first.iter_days().take_while(|day| *day <= last).map(|day| (day, Sum::default())).collect();
        Self { zone, total: Sum::default(), days, channels: BTreeMap::new(), questions: HashMap::new() }
    }

    /// Counts one.
    pub fn add(&mut self, told: &Told) {
        let day = DateTime::from_timestamp_millis(told.created).unwrap_or_default().with_timezone(&self.zone).date_naive();
        let Some(day) = self.days.get_mut(&day) else { return };
        day.add(told);
        self.total.add(told);
        self.channels.entry(told.channel.clone()).or_default().add(told);
        let key = question_key(&told.question);
        if told.replaced || told.is_courtesy() || key.is_empty() {
            return;
        }
        let fresh =
            || (Asked { question: String::new(), count: 0, refused: 0, down: 0, conversation_id: ConversationId::from_text("") }, -1);
        let (asked, last) = self.questions.entry(key).or_insert_with(fresh);
        asked.count += 1;
        asked.refused += u64::from(told.is_refused());
        asked.down += u64::from(told.rating.as_deref() == Some("down"));
        if told.created > *last {
            *last = told.created;
            asked.question = told.question.trim().to_owned();
            asked.conversation_id = ConversationId::from_text(told.conversation.clone());
        }
    }

    /// What came of it.
    pub fn overview(self) -> Overview {
        let mut channels: Vec<Part> = self.channels.into_iter().map(|(name, sum)| Part { name, figures: sum.figures() }).collect();
        channels.sort_by_key(|part| std::cmp::Reverse(part.figures.questions));
        let mut questions: Vec<(Asked, i64)> = self.questions.into_values().collect();
        questions.sort_by(|(a, a_last), (b, b_last)| (b.count, b_last, &b.question).cmp(&(a.count, a_last, &a.question)));
        Overview {
            total: self.total.figures(),
            days: self.days.into_iter().map(|(day, sum)| Part { name: day.to_string(), figures: sum.figures() }).collect(),
            channels,
            questions: questions.into_iter().take(TOP).map(|(asked, _)| asked).collect(),
        }
    }
}

/// The first of `days` days that end today, and the moment it begins.
pub fn since(now: Timestamp, zone: Tz, days: u32) -> (NaiveDate, NaiveDate, Timestamp) {
    let today = DateTime::from_timestamp_millis(now.0).unwrap_or_default().with_timezone(&zone).date_naive();
    let first = today - chrono::Days::new(u64::from(days.saturating_sub(1)));
    let midnight = first.and_time(chrono::NaiveTime::MIN).and_local_timezone(zone).earliest();
    (first, today, Timestamp(midnight.map_or(0, |at| at.timestamp_millis())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: Tz = chrono_tz::Asia::Shanghai;
    /// 2026-01-02T00:30+08:00
    const NOW: i64 = 1_767_285_000_000;

    fn told(question: &str) -> Told {
        let decision = Some("grounded".to_owned());
        Told { question: question.into(), channel: "ws".into(), created: NOW, decision, status: "completed".into(), ..Told::default() }
    }

    #[test]
    fn days_are_those_of_the_shop_and_none_is_left_out() {
        let (first, last, from) = since(Timestamp(NOW), ZONE, 2);
        assert_eq!((first.to_string(), last.to_string()), ("2026-01-01".into(), "2026-01-02".into()));
        assert_eq!(from, Timestamp(NOW - 24 * 3_600_000 - 30 * 60_000));
        let mut counting = Counting::new(ZONE, first, last);
        counting.add(&told("保证金多少？"));
        let seen = counting.overview();
        assert_eq!(seen.days.iter().map(|day| day.figures.questions).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_turn_counts_once_and_a_replaced_one_only_costs() {
        let (first, last, _) = since(Timestamp(NOW), ZONE, 1);
        let mut counting = Counting::new(ZONE, first, last);
        counting.add(&Told { first_token: Some(100), total: Some(900), cost: 0.5, currency: "CNY".into(), ..told("保证金多少？") });
        counting.add(&Told { replaced: true, cost: 0.25, currency: "CNY".into(), ..told("保证金多少？") });
        counting.add(&Told { decision: Some("none".into()), rating: Some("down".into()), created: NOW + 1, ..told(" 保证金多少 ") });
        counting.add(&Told { status: "failed".into(), channel: "openai".into(), ..told("清关") });
        let seen = counting.overview();
        let all = &seen.total;
        assert_eq!((all.questions, all.answered, all.refused, all.failed, all.down), (3, 1, 1, 1, 1));
        assert_eq!((all.first_token_p50, all.total_p95, all.cost["CNY"]), (Some(100), Some(900), 0.75));
        assert_eq!(seen.channels.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["ws", "openai"]);
        assert_eq!(seen.questions.len(), 2);
        let top = &seen.questions[0];
        assert_eq!((top.question.as_str(), top.count, top.refused, top.down), ("保证金多少", 2, 1, 1));
    }

    #[test]
    fn a_greeting_is_answered_and_no_question_that_is_asked_often() {
        let (first, last, _) = since(Timestamp(NOW), ZONE, 1);
        let mut counting = Counting::new(ZONE, first, last);
        counting.add(&Told { decision: None, ..told("你好") });
        counting.add(&Told { decision: None, status: "failed".into(), ..told("清关") });
        let seen = counting.overview();
        assert_eq!((seen.total.answered, seen.total.refused, seen.total.failed), (1, 0, 1));
        assert_eq!(seen.questions.iter().map(|asked| asked.question.as_str()).collect::<Vec<_>>(), ["清关"]);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert_eq!(quantile(&[], 50), None);
        assert_eq!(quantile(&[7], 95), Some(7));
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!((quantile(&hundred, 50), quantile(&hundred, 95)), (Some(50), Some(95)));
    }
}
