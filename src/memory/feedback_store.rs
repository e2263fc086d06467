//! What readers thought of answers, in SQL: kept with the turn, changeable by who asked.

use serde::Serialize;
use serde_json::json;
use sqlx::{AssertSqlSafe, FromRow};

use super::events::Judged;
use super::store::no_response;
use super::{Feedback, Memory, Rating};
use crate::error::Result;
use crate::ids::{ConversationId, OwnerId, TenantId, Timestamp, TurnId};
use crate::{events, in_tx, on};

/// An answer that was rated.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are Turn's")]
pub struct Rated {
    pub response_id: TurnId,
    pub conversation_id: ConversationId,
    pub question: String,
    pub answer: String,
    pub decision: Option<String>,
    pub model: Option<String>,
    #[serde(flatten)]
    pub feedback: Feedback,
}

#[derive(FromRow)]
struct RatedRow {
    id: TurnId,
    conversation_id: ConversationId,
    question: String,
    answer: String,
    decision: Option<String>,
    model: Option<String>,
    rating: String,
    reasons: String,
    remark: Option<String>,
    rated_ms: Timestamp,
}

impl Memory {
    /// Keeps what the asker thinks of an answer; the newest word counts.
    ///
    /// # Errors
    /// `response_not_found` when it does not exist or was given to another.
    pub async fn rate(
        &self,
        tenant: &TenantId,
        owner: &OwnerId,
        turn: &TurnId,
        rating: Rating,
        reasons: &[String],
        comment: Option<&str>,
    ) -> Result<()> {
        let (reasons, comment) = if rating == Rating::None { (&[][..], None) } else { (reasons, comment) };
        let now = self.clock.now();
        let rated = rating.stored().map(|_| now);
        let sql = "update turns set rating = $4, reasons = $5, remark = $6, rated_ms = $7 \
             where tenant_id = $1 and owner_id = $2 and id = $3 returning conversation_id, question, answer";
        let mut tx = self.db.begin().await?;
        let found: Option<Judged> = in_tx!(&mut tx, conn => sqlx::query_as(sql)
            .bind(tenant).bind(owner).bind(turn).bind(rating.stored()).bind(json!(reasons).to_string()).bind(comment).bind(rated)
            .fetch_optional(conn).await)?;
        let judged = found.ok_or_else(|| no_response(turn))?;
        events::store::record(&mut tx, tenant, &judged.event(turn, rating, reasons, comment, now)).await?;
        tx.commit().await
    }

    /// Rated answers, the newest rating first; of one rating and before a moment when given.
    pub async fn rated(&self, tenant: &TenantId, rating: Option<Rating>, before: Option<Timestamp>, limit: i64) -> Result<Vec<Rated>> {
        let sql = AssertSqlSafe(
            "select id, conversation_id, question, answer, decision, model, rating, reasons, remark, rated_ms from turns \
             where tenant_id = $1 and rated_ms is not null and rated_ms < $2 and rating is not null and ($3 is null or rating = $3) \
             order by rated_ms desc, id limit $4"
                .to_owned(),
        );
        let before = before.unwrap_or(Timestamp(i64::MAX));
        let word = rating.and_then(Rating::stored);
        let rows: Vec<RatedRow> =
            on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(before).bind(word).bind(limit).fetch_all(pool).await)?;
        rows.into_iter().map(RatedRow::into_rated).collect()
    }
}

impl RatedRow {
    fn into_rated(self) -> Result<Rated> {
        Ok(Rated {
            response_id: self.id,
            conversation_id: self.conversation_id,
            question: self.question,
            answer: self.answer,
            decision: self.decision,
            model: self.model,
            feedback: Feedback {
                rating: if self.rating == "up" { Rating::Up } else { Rating::Down },
                reasons: serde_json::from_str(&self.reasons)?,
                comment: self.remark,
                rated: self.rated_ms,
            },
        })
    }
}
