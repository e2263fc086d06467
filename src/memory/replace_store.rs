//! Turns that take another's place, in SQL: an answer asked for again, a message edited.

use sqlx::AssertSqlSafe;

use super::store::{TURN, TurnRow, no_response};
use super::{Fact, Turn};
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::ids::{ConversationId, TenantId, TurnId};
use crate::in_tx;

/// The turn whose place another takes.
#[derive(Clone, Copy, Debug)]
pub enum Instead<'a> {
    /// Its question is answered again: the new answer stands where the old one stood.
    Again(&'a TurnId),
    /// Its question was edited: it and what followed leave the memory.
    Edited(&'a TurnId),
}

/// Marks the turns whose place the new one takes. The conversation's row is locked by now, so two
/// cannot take the same place.
pub(super) async fn replace(tx: &mut Tx, tenant: &TenantId, instead: Instead<'_>, turn: &mut Turn) -> Result<()> {
    let (Instead::Again(old) | Instead::Edited(old)) = instead;
    let sql = AssertSqlSafe(format!("select {TURN} from turns where tenant_id = $1 and conversation_id = $2 and id = $3"));
    let row: Option<TurnRow> =
        in_tx!(tx, conn => sqlx::query_as(sql).bind(tenant).bind(&turn.conversation_id).bind(old).fetch_optional(conn).await)?;
    let old = row.ok_or_else(|| no_response(old))?.into_turn()?;
    may_be_replaced(&old)?;
    let sql = match instead {
        Instead::Again(_) => {
            "update turns set replaced_by = $1 where tenant_id = $2 and conversation_id = $3 and place = $4 and replaced_by is null"
        }
        Instead::Edited(_) => {
            "update turns set replaced_by = $1 where tenant_id = $2 and conversation_id = $3 and place >= $4 and replaced_by is null"
        }
    };
    in_tx!(tx, conn => sqlx::query(sql)
        .bind(&turn.id).bind(tenant).bind(&turn.conversation_id).bind(old.place)
        .execute(conn).await.map(drop))?;
    turn.replaces = Some(old.id);
    if let Instead::Again(_) = instead {
        turn.place = old.place;
        turn.message_id = old.message_id;
    }
    forget_summary(tx, tenant, &turn.conversation_id, old.place).await?;
    match instead {
        Instead::Again(_) => Ok(()),
        Instead::Edited(_) => forget_facts(tx, tenant, &turn.conversation_id, old.place).await,
    }
}

/// A summary that tells of an answer that is no longer meant is made anew.
async fn forget_summary(tx: &mut Tx, tenant: &TenantId, conversation: &ConversationId, place: i64) -> Result<()> {
    let sql = "update conversations set summary = '', summary_to = 0 where tenant_id = $1 and id = $2 and summary_to >= $3";
    in_tx!(tx, conn => sqlx::query(sql).bind(tenant).bind(conversation).bind(place).execute(conn).await.map(drop))?;
    Ok(())
}

/// What was stated by a message that was edited, or after it, is not remembered.
async fn forget_facts(tx: &mut Tx, tenant: &TenantId, conversation: &ConversationId, place: i64) -> Result<()> {
    let sql = "select facts from conversations where tenant_id = $1 and id = $2";
    let facts: String = in_tx!(tx, conn => sqlx::query_scalar(sql).bind(tenant).bind(conversation).fetch_one(conn).await)?;
    let mut facts: Vec<Fact> = serde_json::from_str(&facts)?;
    facts.retain(|fact| fact.place < place);
    let sql = "update conversations set facts = $3 where tenant_id = $1 and id = $2";
    let facts = serde_json::to_string(&facts)?;
    in_tx!(tx, conn => sqlx::query(sql).bind(tenant).bind(conversation).bind(facts).execute(conn).await.map(drop))?;
    Ok(())
}

fn may_be_replaced(old: &Turn) -> Result<()> {
    if let Some(by) = &old.replaced_by {
        let message = format!("`{}` has been replaced by `{by}`. Replace that one.", old.id);
        return Err(Error::conflict("response_replaced", message).with_details(serde_json::json!({"replaced_by": by})));
    }
    if old.status == "running" {
        return Err(Error::conflict("response_running", "The answer is still running. Cancel it first, or wait for its end."));
    }
    Ok(())
}
