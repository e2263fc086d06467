//! A bot's log: each line with the bot's name and a stable code, and of each kind one a minute, however many forgers
//! there are or however long a platform is unwell. The next line says how many were left out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::ids::{Clock, Timestamp};

/// The same is not logged again before.
const QUIET_MS: i64 = 60_000;
/// The code of a bot that there is none of.
const UNKNOWN: &str = "bot_not_found";
/// Longest word of somebody else's in a line.
const LONGEST_WORD: usize = 64;

/// What is logged of one bot. Its kinds are those that the code names, so it stays small whatever comes in.
#[derive(Debug)]
pub struct Log {
    bot: String,
    clock: Clock,
    lines: Mutex<BTreeMap<(&'static str, &'static str), Line>>,
}

/// The last line of a kind.
#[derive(Debug)]
struct Line {
    at: Timestamp,
    left_out: u64,
}

impl Log {
    /// Of the bot with this name.
    pub fn new(bot: impl Into<String>, clock: Clock) -> Self {
        Self { bot: bot.into(), clock, lines: Mutex::default() }
    }

    /// Something that was refused or survived.
    pub fn warn(&self, what: &'static str, error: &Error) {
        if let Some(left_out) = self.is_due(what, error.code()) {
            tracing::warn!(bot = self.bot, code = error.code(), causes = error.causes(), left_out, "{what}: {error}");
        }
    }

    /// Something that somebody has to look after.
    pub fn error(&self, what: &'static str, error: &Error) {
        if let Some(left_out) = self.is_due(what, error.code()) {
            tracing::error!(bot = self.bot, code = error.code(), causes = error.causes(), left_out, "{what}: {error}");
        }
    }

    /// Something that happens. `which` comes from outside: it is cut, and has no line of its own.
    pub fn info(&self, what: &'static str, code: &'static str, which: &str) {
        if let Some(left_out) = self.is_due(what, code) {
            tracing::info!(bot = self.bot, code, which = word(which), left_out, "{what}");
        }
    }

    /// Somebody calls a bot that there is none of; whatever names are tried, it is one line a minute.
    pub fn unknown(&self, platform: &'static str, name: &str) {
        if let Some(left_out) = self.is_due(platform, UNKNOWN) {
            tracing::warn!(bot = format!("{platform}/{}", word(name)), code = UNKNOWN, left_out, "a bot that is not configured was called");
        }
    }

    /// How many were left out since the last line; none while another one would be too soon.
    fn is_due(&self, what: &'static str, code: &'static str) -> Option<u64> {
        let now = self.clock.now();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.get_mut(&(what, code)) else {
            lines.insert((what, code), Line { at: now, left_out: 0 });
            return Some(0);
        };
        if now.0.saturating_sub(line.at.0) < QUIET_MS {
            line.left_out += 1;
            return None;
        }
        line.at = now;
        Some(std::mem::take(&mut line.left_out))
    }
}

/// A word of somebody else's as it may stand in a line.
pub fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_WORD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_one_line_a_minute_and_the_next_says_what_was_left_out() {
        let clock = Clock::fixed(Timestamp(5));
        let log = Log::new("dingtalk/shop", clock.clone());
        assert_eq!((log.is_due("a", "x"), log.is_due("a", "x"), log.is_due("a", "x")), (Some(0), None, None));
        assert_eq!((log.is_due("a", "y"), log.is_due("b", "x")), (Some(0), Some(0)), "others have their own");
        clock.set(Timestamp(5 + QUIET_MS - 1));
        assert_eq!(log.is_due("a", "x"), None);
        clock.set(Timestamp(5 + QUIET_MS));
        assert_eq!((log.is_due("a", "x"), log.is_due("a", "x")), (Some(3), None));
    }

    #[test]
    fn a_word_from_outside_has_no_line_of_its_own() {
        assert_eq!(word("shop\r\nERROR forged"), "shopERROR forged");
        assert_eq!(word(&"长".repeat(1_000)).chars().count(), LONGEST_WORD);
    }
}
