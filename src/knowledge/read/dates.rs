//! Dates as people write them in tables → [`Timestamp`], in the shop's time zone.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::ids::Timestamp;

/// Which end of a validity a date is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A day begins at its midnight.
    From,
    /// A day is included: the end is the next midnight.
    To,
}

/// Reads `2026-11-01`, `2026/11/1`, `2026.11.1`, `20261101` or `2026年11月1日`, each with or without
/// `HH:MM[:SS]`, or RFC 3339; `None` when it is none of these.
pub fn parse(text: &str, zone: Tz, end: End) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(exact) = DateTime::parse_from_rfc3339(text) {
        return Some(Timestamp(exact.timestamp_millis()));
    }
    let plain: String = text.chars().map(half_width).collect();
    let (date, time) = split(&plain);
    let date = parse_date(date)?;
    let local = match (time, end) {
        ("", End::From) => date.and_time(NaiveTime::MIN),
        ("", End::To) | ("24:00" | "24:00:00", _) => date.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN),
        (time, _) => date.and_time(parse_time(time)?),
    };
    in_zone(local, zone)
}

/// The shortest text that [`parse`] reads as the same instant: a day where it is one.
pub fn show(at: Timestamp, zone: Tz, end: End) -> String {
    let local = DateTime::from_timestamp_millis(at.0).unwrap_or_default().with_timezone(&zone);
    let last_day = match end {
        End::From => local,
        End::To => local - TimeDelta::milliseconds(1),
    };
    let day = last_day.format("%Y-%m-%d").to_string();
    if parse(&day, zone, end) == Some(at) { day } else { local.to_rfc3339_opts(SecondsFormat::AutoSi, false) }
}

/// Whether a cell says that there is no limit.
pub fn is_unlimited(text: &str) -> bool {
    matches!(text.trim(), "" | "-" | "—" | "/" | "无" | "不限" | "长期" | "长期有效" | "永久" | "永久有效")
}

fn half_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    }
}

/// Date and time, split after 日, or else at the first space or `T`.
fn split(text: &str) -> (&str, &str) {
    let at = text.find('日').or_else(|| text.find([' ', 'T'])).unwrap_or(text.len());
    let (date, rest) = text.split_at(at);
    (date, rest.trim_start_matches(['日', 'T', ' ']))
}

fn parse_date(text: &str) -> Option<NaiveDate> {
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return NaiveDate::parse_from_str(text, "%Y%m%d").ok();
    }
    let mut parts = text.split(['-', '/', '.', '年', '月']);
    let mut next = |most: usize| {
        let part = parts.next()?.trim();
        let digits = (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    let (year, month, day): (u32, u32, u32) = (next(4)?, next(2)?, next(2)?);
    let complete = parts.next().is_none() && year >= 1900;
    complete.then(|| NaiveDate::from_ymd_opt(year.cast_signed(), month, day)).flatten()
}

fn parse_time(text: &str) -> Option<NaiveTime> {
    let text = text.replace(['时', '点'], ":").replace('分', ":").replace('秒', "");
    let text = text.trim_end_matches(':');
    ["%H:%M", "%H:%M:%S", "%H:%M:%S%.f"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())
}

/// The instant of a local time; one that is skipped by a change of clocks means an hour later.
fn in_zone(local: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    let shifted = || zone.from_local_datetime(&local.checked_add_signed(TimeDelta::hours(1))?).earliest();
    let instant = zone.from_local_datetime(&local).earliest().or_else(shifted)?;
    Some(Timestamp(instant.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: Tz = Tz::Asia__Shanghai;

    fn at(text: &str, end: End) -> String {
        parse(text, ZONE, end).map_or_else(|| "none".to_owned(), Timestamp::rfc3339)
    }

    #[test]
    fn a_day_is_the_shops_day_and_its_end_is_included() {
        for day in ["2026-11-01", "2026/11/1", "2026.11.01", "20261101", "2026年11月1日", "2026 年 11 月 1 日", "２０２６－１１－０１"]
        {
            assert_eq!(at(day, End::From), "2026-10-31T16:00:00Z", "{day}");
            assert_eq!(at(day, End::To), "2026-11-01T16:00:00Z", "{day}");
        }
    }

    #[test]
    fn a_time_is_taken_as_it_is() {
        for text in ["2026-11-01 08:30", "2026-11-1 08:30:00", "2026年11月1日 8时30分", "2026-11-01T00:30:00Z", "2026-11-01T08:30:00+08:00"]
        {
            assert_eq!(at(text, End::To), "2026-11-01T00:30:00Z", "{text}");
        }
        assert_eq!(at("2026-11-01 24:00", End::To), "2026-11-01T16:00:00Z");
    }

    #[test]
    fn what_is_shown_is_read_back() {
        let parse = |text: &str, end| parse(text, ZONE, end).unwrap();
        for end in [End::From, End::To] {
            assert_eq!(show(parse("2026-11-01", end), ZONE, end), "2026-11-01");
            let exact = parse("2026-11-01 08:30", end);
            assert_eq!(show(exact, ZONE, end), "2026-11-01T08:30:00+08:00");
            for millis in [0, 1, -62_000, 1_793_462_400_000, 1_793_462_399_999] {
                assert_eq!(parse(&show(Timestamp(millis), ZONE, end), end), Timestamp(millis));
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["soon", "2026-13-01", "2026-02-30", "26-11-01", "2026-11", "11/01/2026", "2026-11-01 25:00", "2026-11-01-02", "45962"]
        {
            assert_eq!(parse(text, ZONE, End::From), None, "{text}");
        }
    }

    #[test]
    fn a_midnight_that_is_skipped_by_the_clocks_still_exists() {
        // Beirut moved its clocks forward at midnight.
        assert!(parse("2026-03-29", Tz::Asia__Beirut, End::From).is_some());
    }
}
