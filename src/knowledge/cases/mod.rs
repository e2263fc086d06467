//! A shop's own labelled questions, kept in the console: what is asked and which rows answer it. `compare.rs` runs
//! them under the settings in force and under others.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Knowledge;
use super::text::normalise;
use crate::error::{Error, Result};
use crate::ids::{TenantId, Timestamp};

pub mod compare;
pub mod store;

/// Most cases of a shop.
pub const MOST: u64 = 10_000;
/// Longest question of a case, in characters.
const LONGEST: usize = 2_000;
/// Most rows that answer one question.
const MOST_RELEVANT: usize = 100;

/// A question with its label, as it is given.
#[derive(Clone, Debug, Deserialize)]
pub struct CaseDraft {
    /// What is asked.
    pub query: String,
    /// Rows that answer it; empty when the base cannot.
    pub relevant: Vec<String>,
    /// Asked of this market.
    #[serde(default)]
    pub market: Option<String>,
    /// A group to report by.
    #[serde(default)]
    pub kind: Option<String>,
}

/// A question with its label, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Case {
    /// Follows from question and market.
    pub id: String,
    /// What is asked.
    pub query: String,
    /// Asked of this market.
    pub market: Option<String>,
    /// Rows that answer it; empty when the base cannot.
    pub relevant: Vec<String>,
    /// A group to report by.
    pub kind: Option<String>,
    /// When it was kept.
    #[cfg_attr(test, ts(type = "number"))]
    pub created_ms: Timestamp,
    /// The key that kept it.
    pub created_by: String,
}

impl CaseDraft {
    fn kept(self, at: Timestamp, by: &str) -> Result<Case> {
        let bad = |why: &str| Err(Error::invalid("bad_case", format!("A labelled question cannot be kept: {why}.")));
        let query = self.query.trim().to_owned();
        let market = self.market.map(|market| market.trim().to_owned()).filter(|market| !market.is_empty());
        if query.is_empty() {
            return bad("`query` is empty");
        }
        if query.chars().count() > LONGEST || self.relevant.len() > MOST_RELEVANT {
            return bad("`query` may have 2,000 characters and `relevant` 100 ids");
        }
        let words = self.relevant.iter().chain(&market).chain(&self.kind).chain([&query]);
        if words.into_iter().any(|text| text.contains('\0')) {
            return bad("it has a NUL character");
        }
        let mut relevant = self.relevant;
        relevant.sort();
        relevant.dedup();
        Ok(Case {
            id: id_of(&query, market.as_deref()),
            query,
            market,
            relevant,
            kind: self.kind,
            created_ms: at,
            created_by: by.to_owned(),
        })
    }
}

/// The same question of the same market is the same case, however it is spelled.
fn id_of(query: &str, market: Option<&str>) -> String {
    let hash = Sha256::digest(format!("{}\0{}", normalise(query), market.unwrap_or_default()));
    format!("case_{}", hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect::<String>())
}

impl Knowledge {
    /// Keeps labelled questions; one that is known gets its new label.
    ///
    /// # Errors
    /// `bad_case`, `too_many_cases`.
    pub async fn keep_cases(&self, tenant: &TenantId, drafts: Vec<CaseDraft>, by: &str) -> Result<Vec<Case>> {
        let now = self.clock().now();
        let cases = drafts.into_iter().map(|draft| draft.kept(now, by)).collect::<Result<Vec<_>>>()?;
        if self.store().count_cases(tenant).await? + cases.len() as u64 > MOST {
            let message = format!("A shop keeps at most {MOST} labelled questions. Delete some first.");
            return Err(Error::invalid("too_many_cases", message));
        }
        self.store().put_cases(tenant, &cases).await?;
        Ok(cases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(query: &str, market: Option<&str>) -> CaseDraft {
        CaseDraft { query: query.into(), relevant: vec!["b".into(), "a".into(), "b".into()], market: market.map(str::to_owned), kind: None }
    }

    #[test]
    fn the_same_question_in_another_spelling_is_the_same_case() {
        let kept = |query, market| draft(query, market).kept(Timestamp(1), "k").unwrap();
        let case = kept(" How much is the Deposit? ", None);
        assert_eq!((case.query.as_str(), case.relevant.join("")), ("How much is the Deposit?", "ab".into()));
        assert_eq!(case.id, kept("how much is the deposit?", Some(" ")).id);
        assert_ne!(case.id, kept("how much is the deposit?", Some("US")).id);
    }

    #[test]
    fn what_is_no_question_is_refused() {
        for query in ["", "  ", &"问".repeat(LONGEST + 1)] {
            assert_eq!(draft(query, None).kept(Timestamp(1), "k").unwrap_err().code(), "bad_case");
        }
    }
}
