//! A conversation's event log: numbers its events and lets any number of readers follow at their own
//! pace. A turn never waits for a reader; a slow reader finds the text deltas it missed joined into
//! one, so its backlog is bounded by the answer's length and the terminal event is never lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{ChatEvent, EventKind};
use crate::ids::{ConversationId, TurnId};

/// Events that a log keeps at most; beyond it the oldest finished turns are forgotten, and a reader
/// that far behind is told so.
const KEEP: usize = 20_000;

/// Sequence numbers of a turn start at its ordinal times this, so that they keep rising across a
/// restart without a write per event: event 17 of turn 3 is 3 000 017.
pub const SEQ_PER_TURN: u64 = 1_000_000;

/// The events of one conversation.
#[derive(Debug)]
pub struct EventLog {
    conversation: ConversationId,
    events: Mutex<VecDeque<ChatEvent>>,
    last: watch::Sender<u64>,
}

impl EventLog {
    /// An empty log.
    pub fn new(conversation: ConversationId) -> Arc<Self> {
        Arc::new(Self { conversation, events: Mutex::default(), last: watch::Sender::new(0) })
    }

    /// Makes room for the next turn's numbers.
    pub fn open_turn(&self, ordinal: u64) {
        self.last.send_modify(|last| *last = (*last).max(ordinal * SEQ_PER_TURN));
    }

    /// Appends an event and wakes the readers.
    pub fn push(&self, turn: Option<&TurnId>, kind: EventKind) -> u64 {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = *self.last.borrow() + 1;
        events.push_back(ChatEvent { conversation_id: self.conversation.clone(), response_id: turn.cloned(), seq, kind });
        while events.len() > KEEP {
            events.pop_front();
        }
        drop(events);
        self.last.send_replace(seq);
        seq
    }

    /// A reader of everything after `seq`.
    pub fn after(self: &Arc<Self>, seq: u64) -> Cursor {
        Cursor { changed: self.last.subscribe(), log: Arc::clone(self), at: seq, duplicate: None }
    }

    /// The number of the newest event.
    pub fn last_seq(&self) -> u64 {
        *self.last.borrow()
    }

    fn read_after(&self, at: u64) -> Option<Vec<ChatEvent>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        // A dropped prefix shows as a full log whose first event is beyond the reader.
        if events.len() >= KEEP && events.front().is_some_and(|first| first.seq > at + 1) {
            return None;
        }
        let from = events.partition_point(|event| event.seq <= at);
        let mut batch: Vec<ChatEvent> = Vec::new();
        for event in events.iter().skip(from) {
            let joined = batch.last_mut().is_some_and(|last| joins(last, event));
            if !joined {
                batch.push(event.clone());
            }
        }
        Some(batch)
    }
}

/// Joins a delta onto the delta of the same answer before it.
fn joins(last: &mut ChatEvent, next: &ChatEvent) -> bool {
    if last.response_id != next.response_id {
        return false;
    }
    match (&mut last.kind, &next.kind) {
        (EventKind::ResponseTextDelta { delta, .. }, EventKind::ResponseTextDelta { delta: more, .. })
        | (EventKind::ResponseReasoningDelta { delta }, EventKind::ResponseReasoningDelta { delta: more }) => {
            delta.push_str(more);
            last.seq = next.seq;
            true
        }
        _ => false,
    }
}

/// The reader was so far behind that events are gone.
#[derive(Debug)]
pub struct TooSlow;

/// A place in an [`EventLog`].
#[derive(Debug)]
pub struct Cursor {
    log: Arc<EventLog>,
    changed: watch::Receiver<u64>,
    at: u64,
    /// The turn whose message this reader had sent before.
    duplicate: Option<TurnId>,
}

impl Cursor {
    /// Waits for events after this place and takes them all, adjacent deltas joined.
    ///
    /// # Errors
    /// [`TooSlow`] when events after this place are no longer kept.
    pub async fn next(&mut self) -> Result<Vec<ChatEvent>, TooSlow> {
        loop {
            self.changed.borrow_and_update();
            let mut batch = self.log.read_after(self.at).ok_or(TooSlow)?;
            if let Some(last) = batch.last() {
                self.at = last.seq;
                self.mark(&mut batch);
                return Ok(batch);
            }
            if self.changed.changed().await.is_err() {
                return Err(TooSlow);
            }
        }
    }

    /// Says `duplicate: true` to this reader in the acceptance of that turn's message.
    pub fn of_duplicate(mut self, turn: TurnId) -> Self {
        self.duplicate = Some(turn);
        self
    }

    fn mark(&self, batch: &mut [ChatEvent]) {
        for event in batch.iter_mut().filter(|event| self.duplicate.is_some() && event.response_id == self.duplicate) {
            if let EventKind::MessageAccepted { duplicate, .. } = &mut event.kind {
                *duplicate = true;
            }
        }
    }

    /// The conversation it reads.
    pub fn conversation(&self) -> &ConversationId {
        &self.log.conversation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(text: &str, offset: usize) -> EventKind {
        EventKind::ResponseTextDelta { delta: text.to_owned(), offset }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_deltas_joined_and_numbers_rise_across_turns() {
        let log = EventLog::new(ConversationId::from_text("c"));
        let turn = TurnId::from_text("r");
        log.open_turn(1);
        let mut reader = log.after(0);
        log.push(Some(&turn), delta("保证", 0));
        log.push(Some(&turn), delta("金", 2));
        log.push(Some(&turn), EventKind::ResponseTextDone { text: "保证金".into() });
        let batch = reader.next().await.unwrap();
        assert_eq!(batch.len(), 2);
        assert_eq!(batch[0].kind, delta("保证金", 0));
        assert_eq!(batch[0].seq, SEQ_PER_TURN + 2);
        log.open_turn(2);
        log.push(Some(&turn), delta("x", 0));
        assert_eq!(reader.next().await.unwrap()[0].seq, 2 * SEQ_PER_TURN + 1);
    }

    #[tokio::test]
    async fn a_reader_left_behind_is_told() {
        let log = EventLog::new(ConversationId::from_text("c"));
        let turn = TurnId::from_text("r");
        let mut reader = log.after(0);
        for _ in 0..=KEEP {
            log.push(Some(&turn), EventKind::ResponseTextDone { text: String::new() });
        }
        assert!(reader.next().await.is_err());
    }
}
