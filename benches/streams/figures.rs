//! What was measured, as people read it: a name, the number, the goal beside it.

use std::time::Duration;

/// Times, sorted when asked.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many of a hundred are within, in milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }

    /// "p50 / p99", in milliseconds.
    pub fn both(&self) -> String {
        format!("{:.2} / {:.2} ms", self.percentile(50), self.percentile(99))
    }
}

/// Prints a line of the table.
pub fn row(what: &str, measured: impl std::fmt::Display, goal: &str) {
    println!("| {what:<64} | {:<44} | {goal:<14} |", measured.to_string());
}

/// Prints the table's head.
pub fn head() {
    row("what", "measured", "goal");
    println!("|{}|{}|{}|", "-".repeat(66), "-".repeat(46), "-".repeat(16));
}

pub fn mb(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
