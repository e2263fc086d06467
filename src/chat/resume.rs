//! Going on after a broken line: everything a reader has not seen, from memory where this process
//! told it, from the database where another did or the server was restarted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};

use super::ChatEvent;
use super::engine::ChatEngine;
use super::numbers::{SEQ_PER_TURN, start_of};
use super::replay::{EventLog, TooSlow};
use super::retell::retell;
use super::turn::stopped;
use crate::error::{Error, Result};
use crate::ids::{ConversationId, TenantId};
use crate::memory::Turn;
use crate::tenants::Caller;

/// Events as they come, some at a time.
pub type Batches = BoxStream<'static, Result<Vec<ChatEvent>>>;

/// Stored turns read at a time.
const PAGE: i64 = 20;
/// How often a turn that another process answers is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A running turn that nobody has been at work on for so long has no process any more. Its process
/// says so every half second.
pub const SILENT_MS: i64 = 20_000;

impl ChatEngine {
    /// Everything that was told in a conversation after `last_seq`, and what is still to come; ends
    /// when no answer is under way.
    ///
    /// # Errors
    /// `conversation_not_found` when it does not exist or is another's.
    pub async fn resume(&self, caller: &Caller, conversation: &ConversationId, last_seq: u64) -> Result<Batches> {
        let found = self.0.parts.memory.conversation(&caller.tenant, Some(&caller.owner), conversation).await?;
        // Nobody has seen more than there is: a number beyond it must not hide what is still to come.
        let last_seq = last_seq.min(start_of(found.turns + 1));
        let (log, _) = self.live(&caller.tenant, conversation);
        let here = log.whole_after();
        if here.is_some_and(|here| last_seq >= here) {
            return Ok(live(log, last_seq));
        }
        let retelling = Retelling {
            engine: self.clone(),
            tenant: caller.tenant.clone(),
            conversation: conversation.clone(),
            log,
            ordinal: i64::try_from(last_seq / SEQ_PER_TURN).unwrap_or(i64::MAX).max(1),
            last: here.map(|here| i64::try_from(here / SEQ_PER_TURN).unwrap_or(i64::MAX)),
            at: last_seq,
            page: VecDeque::new(),
        };
        Ok(retelling.events())
    }
}

/// The rest from memory.
fn live(log: Arc<EventLog>, after: u64) -> Batches {
    log.after(after).until_idle().map(|batch| batch.map_err(too_slow)).boxed()
}

/// The code of [`too_slow`].
pub const TOO_SLOW: &str = "too_slow";

/// The reader is beyond help: it has to ask for the stored answer instead.
pub fn too_slow(_: TooSlow) -> Error {
    Error::unavailable(
        TOO_SLOW,
        "The connection is too slow: events were lost. The answer is kept; read it with GET /api/v1/conversations/{id}.",
    )
}

/// A place in the stored turns of a conversation.
struct Retelling {
    engine: ChatEngine,
    tenant: TenantId,
    conversation: ConversationId,
    log: Arc<EventLog>,
    /// The next turn to tell.
    ordinal: i64,
    /// The last one that is not whole in memory, if any is there.
    last: Option<i64>,
    /// What was told.
    at: u64,
    page: VecDeque<Turn>,
}

enum Place {
    Stored(Box<Retelling>),
    Live(Batches),
    End,
}

impl Retelling {
    /// The stored turns, then the rest from memory.
    fn events(self) -> Batches {
        let step = |mut place: Place| async move {
            loop {
                place = match place {
                    Place::Stored(mut stored) => match stored.next().await {
                        Ok(Some(batch)) => return Some((Ok(batch), Place::Stored(stored))),
                        Ok(None) => Place::Live(live(Arc::clone(&stored.log), stored.at)),
                        Err(error) => return Some((Err(error), Place::End)),
                    },
                    Place::Live(mut events) => return events.next().await.map(|batch| (batch, Place::Live(events))),
                    Place::End => return None,
                }
            }
        };
        stream::unfold(Place::Stored(Box::new(self)), step).boxed()
    }

    /// What comes next from the database; none when memory has the rest.
    async fn next(&mut self) -> Result<Option<Vec<ChatEvent>>> {
        while let Some(turn) = self.turn().await? {
            if self.last.is_some_and(|last| turn.ordinal > last) || self.log.is_open(&turn.id) {
                return Ok(None);
            }
            let told = retell(&turn, self.at);
            let elsewhere = turn.status == "running";
            if let Some(event) = told.last() {
                self.at = event.seq;
            }
            if elsewhere && told.is_empty() {
                self.wait(&turn).await?;
            }
            if !elsewhere {
                self.ordinal = turn.ordinal + 1;
            }
            if !told.is_empty() {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }

    async fn turn(&mut self) -> Result<Option<Turn>> {
        if self.page.is_empty() {
            let memory = &self.engine.0.parts.memory;
            self.page = memory.turns_from(&self.tenant, &self.conversation, self.ordinal, PAGE).await?.into();
        }
        let turn = self.page.pop_front();
        // A running turn is read anew each time: the rest of the page waits behind it.
        if turn.as_ref().is_some_and(|turn| turn.status == "running") {
            self.page.clear();
        }
        Ok(turn)
    }

    /// Waits a moment for another process's turn, or ends it when nobody is at work on it.
    async fn wait(&self, turn: &Turn) -> Result<()> {
        if !self.engine.0.parts.memory.end_if_silent(&self.tenant, &turn.id, SILENT_MS, stopped).await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}
