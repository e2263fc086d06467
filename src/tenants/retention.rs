//! How long a shop keeps what was said, and what that comes to where it leaves it to the server.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A hundred years: beyond it somebody has mistyped.
const MOST_DAYS: u32 = 36_500;

/// Days that a shop keeps things; none is the server's default, 0 keeps them for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Conversations that nobody has gone on with.
    pub conversation_days: Option<u32>,
    /// What shows how an answer came about.
    pub trace_days: Option<u32>,
    /// What the guardrails did.
    pub verdict_days: Option<u32>,
}

impl Retention {
    /// Refuses what nobody can mean.
    ///
    /// # Errors
    /// `bad_retention`.
    pub fn check(&self) -> Result<()> {
        let days = [("conversation_days", self.conversation_days), ("trace_days", self.trace_days), ("verdict_days", self.verdict_days)];
        match days.into_iter().find(|(_, days)| days.is_some_and(|days| days > MOST_DAYS)) {
            Some((name, _)) => {
                let message =
                    format!("`{name}` must be from 0, which keeps for good, to {MOST_DAYS} days, or null for the server's default.");
                Err(Error::invalid("bad_retention", message).with_details(serde_json::json!({"param": name})))
            }
            None => Ok(()),
        }
    }

    /// With the server's defaults where the shop has not decided.
    pub fn or(self, default: Self) -> Self {
        Self {
            conversation_days: self.conversation_days.or(default.conversation_days),
            trace_days: self.trace_days.or(default.trace_days),
            verdict_days: self.verdict_days.or(default.verdict_days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_decides_what_it_wants_and_the_server_the_rest() {
        let default = Retention { conversation_days: Some(0), trace_days: Some(30), verdict_days: Some(30) };
        let own = Retention { conversation_days: Some(7), trace_days: Some(0), verdict_days: None };
        assert_eq!(own.or(default), Retention { conversation_days: Some(7), trace_days: Some(0), verdict_days: Some(30) });
        assert!(own.check().is_ok() && Retention { trace_days: Some(36_501), ..own }.check().is_err());
    }
}
