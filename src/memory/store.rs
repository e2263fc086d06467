//! Conversations and turns in SQL.

use serde_json::Value;
use sqlx::{AssertSqlSafe, FromRow};

use super::events::Ended;
use super::replace_store::{Instead, replace};
use super::{Conversation, Feedback, Rating, Turn};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::events;
use crate::ids::{Clock, ConversationId, OwnerId, TenantId, Timestamp, TurnId};
use crate::ledger::{self, Spending};
use crate::{in_tx, on};

/// A question to store.
#[derive(Clone, Debug)]
pub struct NewTurn<'a> {
    /// Who asks.
    pub owner: &'a OwnerId,
    /// The thread to go on with; none opens a new one.
    pub conversation: Option<&'a ConversationId>,
    /// Where it came from.
    pub channel: &'a str,
    /// The asker's own id for it.
    pub client_msg_id: Option<&'a str>,
    /// As it was asked.
    pub question: &'a str,
    /// Who is to answer.
    pub model: &'a str,
    /// The market asked about.
    pub market: Option<&'a str>,
    /// The page's language.
    pub locale: Option<&'a str>,
    /// Whose place it takes.
    pub instead: Option<Instead<'a>>,
}

/// A stored question.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The turn, fresh or the one that had been stored before.
    pub turn: Turn,
    /// Whether the same `client_msg_id` had been stored before.
    pub duplicate: bool,
}

/// How a turn ended.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are Turn's")]
pub struct Outcome {
    pub query: String,
    pub answer: String,
    pub decision: Option<String>,
    pub unsourced: bool,
    pub status: String,
    pub finish_reason: String,
    pub error: Option<Value>,
    pub sources: Value,
    pub citations: Value,
    pub suggestions: Value,
    pub usage: Value,
    pub timings: Value,
    pub trace: Value,
    pub numbers: Value,
    /// Who really answered, when it was another model than the one asked for.
    pub model: Option<String>,
    /// What the model cost.
    pub spent: Option<Spending>,
}

/// The room's door.
#[derive(Clone, Debug)]
pub struct Memory {
    pub(super) db: Db,
    pub(super) clock: Clock,
}

pub(super) const TURN: &str = "id, conversation_id, ordinal, owner_id, client_msg_id, question, query, answer, decision, model, status, finish_reason, error, sources, citations, suggestions, usage, timings, trace, created_ms, done_ms, numbers, alive_ms, place, message_id, replaces, replaced_by, rating, reasons, remark, rated_ms, market, locale, unsourced";
pub(super) const CONVERSATION: &str = "id, owner_id, channel, title, turns, created_ms, updated_ms";
/// Characters of the first question that name a conversation.
const TITLE_CHARS: usize = 60;

#[derive(FromRow)]
pub(super) struct TurnRow {
    id: TurnId,
    conversation_id: ConversationId,
    ordinal: i64,
    owner_id: OwnerId,
    client_msg_id: Option<String>,
    question: String,
    query: String,
    answer: String,
    decision: Option<String>,
    model: Option<String>,
    status: String,
    finish_reason: Option<String>,
    error: Option<String>,
    sources: String,
    citations: String,
    suggestions: String,
    usage: String,
    timings: String,
    trace: String,
    created_ms: Timestamp,
    done_ms: Option<Timestamp>,
    numbers: String,
    alive_ms: Timestamp,
    place: i64,
    message_id: Option<String>,
    replaces: Option<TurnId>,
    replaced_by: Option<TurnId>,
    rating: Option<String>,
    reasons: String,
    remark: Option<String>,
    rated_ms: Option<Timestamp>,
    market: Option<String>,
    locale: Option<String>,
    unsourced: bool,
}

impl TurnRow {
    pub(super) fn into_turn(self) -> Result<Turn> {
        let json = |text: String| serde_json::from_str::<Value>(&text);
        let feedback = match (self.rating.as_deref(), self.rated_ms) {
            (Some(word), Some(rated)) => Some(Feedback {
                rating: if word == "up" { Rating::Up } else { Rating::Down },
                reasons: serde_json::from_str(&self.reasons)?,
                comment: self.remark,
                rated,
            }),
            _ => None,
        };
        Ok(Turn {
            message_id: self.message_id.unwrap_or_else(|| message_id(&self.id)),
            feedback,
            numbers: json(self.numbers)?,
            alive_ms: self.alive_ms,
            place: self.place,
            replaces: self.replaces,
            replaced_by: self.replaced_by,
            market: self.market,
            locale: self.locale,
            id: self.id,
            conversation_id: self.conversation_id,
            ordinal: self.ordinal,
            owner: self.owner_id,
            client_msg_id: self.client_msg_id,
            question: self.question,
            query: self.query,
            answer: self.answer,
            decision: self.decision,
            unsourced: self.unsourced,
            model: self.model,
            status: self.status,
            finish_reason: self.finish_reason,
            error: self.error.map(json).transpose()?,
            sources: json(self.sources)?,
            citations: json(self.citations)?,
            suggestions: json(self.suggestions)?,
            usage: json(self.usage)?,
            timings: json(self.timings)?,
            trace: json(self.trace)?,
            created_ms: self.created_ms,
            done_ms: self.done_ms,
        })
    }
}

#[derive(FromRow)]
pub(super) struct ConversationRow {
    id: ConversationId,
    owner_id: OwnerId,
    channel: String,
    title: String,
    turns: i64,
    created_ms: Timestamp,
    updated_ms: Timestamp,
}

impl From<ConversationRow> for Conversation {
    fn from(row: ConversationRow) -> Self {
        Self {
            id: row.id,
            owner: row.owner_id,
            channel: row.channel,
            title: row.title,
            turns: row.turns,
            created: row.created_ms,
            updated: row.updated_ms,
        }
    }
}

impl Memory {
    /// Over an open database.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Stores a question in its own or a new conversation. The same `client_msg_id` of the same owner
    /// is stored once, whatever races.
    ///
    /// # Errors
    /// `conversation_not_found` when it does not exist or is another's, `client_msg_id_reused` when another
    /// question came with the same id.
    pub async fn record_question(&self, tenant: &TenantId, new: &NewTurn<'_>) -> Result<Recorded> {
        if let Some(turn) = self.said_before(tenant, new).await? {
            return Ok(Recorded { turn, duplicate: true });
        }
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let (conversation, ordinal) = match new.conversation {
            Some(id) => (id.clone(), continue_conversation(&mut tx, tenant, new.owner, id, now).await?),
            None => (open_conversation(&mut tx, tenant, new, now).await?, 1),
        };
        let mut turn = fresh_turn(new, conversation, ordinal, now);
        if let Some(instead) = new.instead {
            replace(&mut tx, tenant, instead, &mut turn).await?;
        }
        if insert_turn(&mut tx, tenant, &turn).await? {
            tx.commit().await?;
            return Ok(Recorded { turn, duplicate: false });
        }
        // Somebody stored the same message between our look and our insert: theirs counts.
        drop(tx);
        let turn = self.said_before(tenant, new).await?;
        let turn = turn.ok_or_else(|| Error::conflict("message_conflict", "The message could not be stored. Send it again."))?;
        Ok(Recorded { turn, duplicate: true })
    }

    /// Opens a conversation of a given id, unless it is there already.
    pub async fn open_named(&self, tenant: &TenantId, owner: &OwnerId, id: &ConversationId, channel: &str, title: &str) -> Result<()> {
        let sql = "insert into conversations (tenant_id, id, owner_id, channel, title, turns, created_ms, updated_ms) \
             values ($1, $2, $3, $4, $5, 0, $6, $6) on conflict (tenant_id, id) do nothing";
        let title: String = title.chars().take(TITLE_CHARS).collect();
        on!(&self.db, pool => sqlx::query(sql)
            .bind(tenant).bind(id).bind(owner).bind(channel).bind(title).bind(self.clock.now())
            .execute(pool).await.map(drop))?;
        Ok(())
    }

    async fn said_before(&self, tenant: &TenantId, new: &NewTurn<'_>) -> Result<Option<Turn>> {
        let Some(said) = new.client_msg_id else { return Ok(None) };
        let sql = AssertSqlSafe(format!("select {TURN} from turns where tenant_id = $1 and owner_id = $2 and client_msg_id = $3"));
        let row: Option<TurnRow> =
            on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(new.owner).bind(said).fetch_optional(pool).await)?;
        let turn = row.map(TurnRow::into_turn).transpose()?;
        match &turn {
            Some(turn) if turn.question != new.question => Err(Error::conflict(
                "client_msg_id_reused",
                "Another message was sent with this client_msg_id. Choose a new id for each message, and repeat it only to send the same one again.",
            )),
            _ => Ok(turn),
        }
    }

    /// The turn of this owner that a response's or a message's id means; of a message that was answered
    /// more than once, the turn that counts.
    ///
    /// # Errors
    /// `response_not_found` when there is none, or it is another's.
    pub async fn meant(&self, tenant: &TenantId, owner: &OwnerId, named: &TurnId) -> Result<Turn> {
        let sql = AssertSqlSafe(format!(
            "select {TURN} from turns where tenant_id = $1 and owner_id = $2 and (id = $3 or message_id = $3) \
             order by case when replaced_by is null then 0 else 1 end, ordinal desc limit 1"
        ));
        let row: Option<TurnRow> =
            on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(owner).bind(named).fetch_optional(pool).await)?;
        row.ok_or_else(|| no_response(named))?.into_turn()
    }

    /// Stores how a running turn ended, together with what it cost; whether it was still running. One that was
    /// ended or deleted meanwhile stays so, but is paid: what whoever ended it has not paid yet.
    pub async fn record_outcome(&self, tenant: &TenantId, id: &TurnId, outcome: &Outcome) -> Result<bool> {
        let sql = "update turns set query = $3, answer = $4, decision = $5, status = $6, finish_reason = $7, error = $8, \
             sources = $9, citations = $10, suggestions = $11, usage = $12, timings = $13, trace = $14, done_ms = $15, numbers = $16, \
             model = coalesce($17, model), unsourced = $18 where tenant_id = $1 and id = $2 and status = 'running' \
             returning conversation_id, question, model, market, locale";
        let error = outcome.error.as_ref().map(Value::to_string);
        let mut tx = self.db.begin().await?;
        let turn: Option<Ended> = in_tx!(&mut tx, conn => sqlx::query_as(sql)
            .bind(tenant).bind(id).bind(&outcome.query).bind(&outcome.answer).bind(&outcome.decision)
            .bind(&outcome.status).bind(&outcome.finish_reason).bind(error)
            .bind(outcome.sources.to_string()).bind(outcome.citations.to_string()).bind(outcome.suggestions.to_string())
            .bind(outcome.usage.to_string()).bind(outcome.timings.to_string()).bind(outcome.trace.to_string())
            .bind(self.clock.now()).bind(outcome.numbers.to_string()).bind(&outcome.model).bind(outcome.unsourced)
            .fetch_optional(conn).await)?;
        let was_running = turn.is_some();
        if let Some(event) = turn.and_then(|turn| turn.event(id, outcome, self.clock.now())) {
            events::store::record(&mut tx, tenant, &event).await?;
        }
        if let Some(spent) = &outcome.spent {
            let paid = if was_running { None } else { super::running_store::paid(&mut tx, tenant, id, &outcome.usage).await? };
            match paid {
                Some(paid) => ledger::add(&mut tx, tenant, &spent.beyond(paid), 0).await?,
                None => ledger::add(&mut tx, tenant, spent, 1).await?,
            }
        }
        tx.commit().await?;
        Ok(was_running)
    }

    /// What is remembered before `place`, oldest first, at most `limit` of the newest: turns whose
    /// place another took are not. Without the traces of searches, which are long and which nobody asks for here.
    pub async fn earlier(&self, tenant: &TenantId, conversation: &ConversationId, place: i64, limit: i64) -> Result<Vec<Turn>> {
        let turn = TURN.replace(", trace,", ", case when decision is null then trace else '{}' end as trace,");
        let sql = AssertSqlSafe(format!(
            "select {turn} from turns where tenant_id = $1 and conversation_id = $2 and place < $3 and replaced_by is null \
             order by place desc, ordinal desc limit $4"
        ));
        let rows: Vec<TurnRow> = on!(&self.db, pool =>
            sqlx::query_as(sql).bind(tenant).bind(conversation).bind(place).bind(limit).fetch_all(pool).await)?;
        rows.into_iter().rev().map(TurnRow::into_turn).collect()
    }

    /// The turns from `ordinal` on, in order, replaced ones too, at most `limit`.
    pub async fn turns_from(&self, tenant: &TenantId, conversation: &ConversationId, ordinal: i64, limit: i64) -> Result<Vec<Turn>> {
        let sql = AssertSqlSafe(format!(
            "select {TURN} from turns where tenant_id = $1 and conversation_id = $2 and ordinal >= $3 order by ordinal limit $4"
        ));
        let rows: Vec<TurnRow> = on!(&self.db, pool =>
            sqlx::query_as(sql).bind(tenant).bind(conversation).bind(ordinal).bind(limit).fetch_all(pool).await)?;
        rows.into_iter().map(TurnRow::into_turn).collect()
    }

    /// One conversation.
    ///
    /// # Errors
    /// `conversation_not_found` when it does not exist or is another's.
    pub async fn conversation(&self, tenant: &TenantId, owner: Option<&OwnerId>, id: &ConversationId) -> Result<Conversation> {
        let sql = AssertSqlSafe(format!("select {CONVERSATION} from conversations where tenant_id = $1 and id = $2"));
        let row: Option<ConversationRow> = on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(id).fetch_optional(pool).await)?;
        let found = row.map(Conversation::from).filter(|found| owner.is_none_or(|owner| *owner == found.owner));
        found.ok_or_else(no_conversation)
    }

    /// The turns of a conversation in order.
    pub async fn turns(&self, tenant: &TenantId, conversation: &ConversationId) -> Result<Vec<Turn>> {
        self.turns_from(tenant, conversation, 0, i64::MAX).await
    }

    /// One turn.
    ///
    /// # Errors
    /// `response_not_found` when it does not exist or is another's.
    pub async fn turn(&self, tenant: &TenantId, owner: Option<&OwnerId>, id: &TurnId) -> Result<Turn> {
        let sql = AssertSqlSafe(format!("select {TURN} from turns where tenant_id = $1 and id = $2"));
        let row: Option<TurnRow> = on!(&self.db, pool => sqlx::query_as(sql).bind(tenant).bind(id).fetch_optional(pool).await)?;
        let turn = row.map(TurnRow::into_turn).transpose()?.filter(|turn| owner.is_none_or(|owner| *owner == turn.owner));
        turn.ok_or_else(|| no_response(id))
    }
}

pub(super) fn no_conversation() -> Error {
    Error::not_found("conversation_not_found", "There is no such conversation. Leave conversation_id out to open a new one.")
}

async fn open_conversation(tx: &mut Tx, tenant: &TenantId, new: &NewTurn<'_>, now: Timestamp) -> Result<ConversationId> {
    let id = ConversationId::random();
    let title: String = new.question.chars().take(TITLE_CHARS).collect();
    let sql = "insert into conversations (tenant_id, id, owner_id, channel, title, turns, created_ms, updated_ms) values ($1, $2, $3, $4, $5, 1, $6, $6)";
    in_tx!(tx, conn => sqlx::query(sql)
        .bind(tenant).bind(&id).bind(new.owner).bind(new.channel).bind(title).bind(now)
        .execute(conn).await.map(drop))?;
    Ok(id)
}

async fn continue_conversation(tx: &mut Tx, tenant: &TenantId, owner: &OwnerId, id: &ConversationId, now: Timestamp) -> Result<i64> {
    let sql =
        "update conversations set turns = turns + 1, updated_ms = $4 where tenant_id = $1 and id = $2 and owner_id = $3 returning turns";
    let ordinal: Option<i64> =
        in_tx!(tx, conn => sqlx::query_scalar(sql).bind(tenant).bind(id).bind(owner).bind(now).fetch_optional(conn).await)?;
    ordinal.ok_or_else(no_conversation)
}

/// The id of a turn's question.
pub fn message_id(turn: &TurnId) -> String {
    format!("m_{}", turn.as_str().trim_start_matches("r_"))
}

pub(super) fn no_response(id: &TurnId) -> Error {
    Error::not_found("response_not_found", format!("There is no response `{id}`."))
}

fn fresh_turn(new: &NewTurn<'_>, conversation_id: ConversationId, ordinal: i64, now: Timestamp) -> Turn {
    let empty = || Value::Array(Vec::new());
    let object = || Value::Object(serde_json::Map::new());
    let id = TurnId::random();
    Turn {
        message_id: message_id(&id),
        id,
        conversation_id,
        ordinal,
        owner: new.owner.clone(),
        client_msg_id: new.client_msg_id.map(str::to_owned),
        question: new.question.to_owned(),
        query: String::new(),
        answer: String::new(),
        decision: None,
        unsourced: false,
        model: Some(new.model.to_owned()),
        status: "running".to_owned(),
        finish_reason: None,
        error: None,
        sources: empty(),
        citations: empty(),
        suggestions: empty(),
        usage: object(),
        timings: object(),
        trace: object(),
        created_ms: now,
        done_ms: None,
        numbers: object(),
        alive_ms: now,
        place: ordinal,
        replaces: None,
        replaced_by: None,
        market: new.market.map(str::to_owned),
        locale: new.locale.map(str::to_owned),
        feedback: None,
    }
}

/// Whether it was inserted; `false` when the same message had been stored.
async fn insert_turn(tx: &mut Tx, tenant: &TenantId, turn: &Turn) -> Result<bool> {
    let sql = "insert into turns (tenant_id, id, conversation_id, ordinal, owner_id, client_msg_id, question, query, answer, model, status, \
         sources, citations, suggestions, usage, timings, trace, created_ms, alive_ms, place, message_id, replaces, market, locale) \
         values ($1, $2, $3, $4, $5, $6, $7, '', '', $8, $9, '[]', '[]', '[]', '{}', '{}', '{}', $10, $10, $11, $12, $13, $14, $15) \
         on conflict (tenant_id, owner_id, client_msg_id) do nothing";
    let inserted = in_tx!(tx, conn => sqlx::query(sql)
        .bind(tenant).bind(&turn.id).bind(&turn.conversation_id).bind(turn.ordinal).bind(&turn.owner)
        .bind(&turn.client_msg_id).bind(&turn.question).bind(&turn.model).bind(&turn.status).bind(turn.created_ms).bind(turn.place).bind(&turn.message_id).bind(&turn.replaces)
        .bind(&turn.market).bind(&turn.locale)
        .execute(conn).await?.rows_affected());
    Ok(inserted == 1)
}
