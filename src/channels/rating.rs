//! Buttons of a card: what a reader thinks of an answer, kept with it like feedback from anywhere else.

use super::Desk;
use crate::error::Result;
use crate::memory::Rating;

/// Most reasons, and characters of one.
const REASONS: usize = 10;
const REASON_CHARS: usize = 64;
/// Longest comment, in characters.
const COMMENT_CHARS: usize = 2_000;

/// Somebody pressed a button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Of this card.
    pub card: String,
    /// As the platform calls those who can be mentioned.
    pub by: String,
    /// What it means.
    pub rating: Rating,
    /// What was ticked.
    pub reasons: Vec<String>,
    /// What was written.
    pub comment: Option<String>,
}

impl Vote {
    /// Cut to what is kept: a platform cannot be told that a form was too long.
    pub fn new(card: String, by: String, rating: Rating, reasons: &[String], comment: Option<&str>) -> Self {
        let cut = |text: &str, most| text.trim().chars().take(most).collect::<String>();
        let reasons = reasons.iter().map(|reason| cut(reason, REASON_CHARS)).filter(|reason| !reason.is_empty()).take(REASONS);
        let comment = comment.map(|comment| cut(comment, COMMENT_CHARS)).filter(|comment| !comment.is_empty());
        Self { card, by, rating, reasons: reasons.collect(), comment }
    }
}

impl Desk {
    /// Keeps a vote with the answer that the card shows; `false` when it is not this one's to rate. Where
    /// everybody has a memory of their own only the asker rates, in a shared one everybody does. The newest
    /// word counts, so the same button again changes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn rate(&self, vote: &Vote) -> Result<bool> {
        let parts = &self.parts;
        let Some(shown) = parts.store.answer_of_card(&vote.card).await? else { return Ok(false) };
        if shown.rater.is_some_and(|rater| rater != vote.by) {
            return Ok(false);
        }
        let comment = vote.comment.as_deref();
        match parts.engine.rate(&parts.tenant, &shown.owner_id, &shown.response_id, vote.rating, &vote.reasons, comment).await {
            // It was deleted since.
            Err(error) if error.code() == "response_not_found" => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }
}
