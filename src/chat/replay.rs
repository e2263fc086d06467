//! A conversation's event log: numbers its events and lets any number of readers follow at their own
//! pace. A turn never waits for a reader; a slow reader finds the text deltas it missed joined into
//! one, so its backlog is bounded by the answer's length and the terminal event is never lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{self, Stream};
use tokio::sync::watch;

use super::numbers::{end_of, start_of, step};
use super::{ChatEvent, EventKind};
use crate::ids::{ConversationId, TurnId};

/// Events that a log keeps at most; beyond it the oldest finished turns are forgotten, and a reader
/// that far behind is told so.
const KEEP: usize = 20_000;

/// The events of one conversation.
#[derive(Debug)]
pub struct EventLog {
    conversation: ConversationId,
    held: Mutex<Held>,
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    events: VecDeque<ChatEvent>,
    /// Turns that were accepted and have not ended.
    open: Vec<TurnId>,
    /// Everything after this number is here, once there is a turn.
    whole_after: Option<u64>,
    /// The last event that was forgotten.
    forgotten: u64,
}

impl EventLog {
    /// An empty log.
    pub fn new(conversation: ConversationId) -> Arc<Self> {
        Arc::new(Self { conversation, held: Mutex::default(), last: watch::Sender::new(0) })
    }

    /// Starts counting at `seq`.
    pub fn starting_at(conversation: ConversationId, seq: u64) -> Arc<Self> {
        let log = Self::new(conversation);
        log.skip_to(seq);
        log
    }

    // Numbers change only while the events are locked, so that none is given twice.

    /// Tells that a turn's message is stored. Its numbers begin here, or with its answer when another
    /// turn is still being told.
    pub fn accept(&self, turn: &TurnId, ordinal: i64, kind: EventKind) -> u64 {
        let mut held = self.locked();
        if held.open.is_empty() {
            self.rise_to(start_of(ordinal));
        }
        if held.whole_after.is_none() {
            held.whole_after = Some(*self.last.borrow());
        }
        held.open.push(turn.clone());
        let seq = *self.last.borrow() + 1;
        self.append(&mut held, Some(turn), seq, kind)
    }

    /// Makes room for a turn's numbers.
    pub fn open_turn(&self, ordinal: i64) {
        let _held = self.locked();
        self.rise_to(start_of(ordinal));
    }

    /// Goes on counting behind that turn's numbers, unless a turn is being told: its are the newest.
    pub fn rise_above(&self, ordinal: i64) {
        if self.locked().open.is_empty() {
            self.rise_to(end_of(ordinal));
        }
    }

    /// Goes on counting at `seq`, unless the numbers are beyond it.
    pub fn skip_to(&self, seq: u64) {
        let _held = self.locked();
        self.rise_to(seq - 1);
    }

    /// Takes numbers for events that are told to one reader only; returns the first.
    pub fn reserve(&self, count: u64) -> u64 {
        let _held = self.locked();
        let first = *self.last.borrow() + 1;
        self.rise_to(first + count - 1);
        first
    }

    /// Appends an event and wakes the readers.
    pub fn push(&self, turn: Option<&TurnId>, kind: EventKind) -> u64 {
        self.push_noting(turn, kind, |_, _| {})
    }

    /// The same, and lets `note` know the number before any reader does.
    pub fn push_noting(&self, turn: Option<&TurnId>, kind: EventKind, note: impl FnOnce(&EventKind, u64)) -> u64 {
        let mut held = self.locked();
        let seq = *self.last.borrow() + step(&kind);
        note(&kind, seq);
        self.append(&mut held, turn, seq, kind)
    }

    /// Appends the terminal event of a turn. Its deltas are joined: a number is enough to cut them
    /// again where a reader left.
    pub fn close(&self, turn: &TurnId, ordinal: i64, kind: EventKind) -> u64 {
        let mut held = self.locked();
        held.open.retain(|open| open != turn);
        let seq = end_of(ordinal).max(*self.last.borrow() + 1);
        let events = std::mem::take(&mut held.events);
        held.events = joined(events).into();
        self.append(&mut held, Some(turn), seq, kind)
    }

    fn append(&self, held: &mut Held, turn: Option<&TurnId>, seq: u64, kind: EventKind) -> u64 {
        held.events.push_back(ChatEvent { conversation_id: self.conversation.clone(), response_id: turn.cloned(), seq, kind });
        while held.events.len() > KEEP {
            held.forgotten = held.events.pop_front().map_or(held.forgotten, |event| event.seq);
            held.whole_after = held.whole_after.max(Some(held.forgotten));
        }
        self.last.send_replace(seq);
        seq
    }

    fn rise_to(&self, seq: u64) {
        self.last.send_if_modified(|last| {
            *last = (*last).max(seq);
            false
        });
    }

    fn locked(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader of everything after `seq`.
    pub fn after(self: &Arc<Self>, seq: u64) -> Cursor {
        Cursor { changed: self.last.subscribe(), log: Arc::clone(self), at: seq, duplicate: None }
    }

    /// A reader of everything from the acceptance of a turn's message on.
    pub fn of_turn(self: &Arc<Self>, turn: &TurnId) -> Cursor {
        let held = self.locked();
        let first = held.events.iter().find(|event| event.response_id.as_ref() == Some(turn)).map(|event| event.seq);
        drop(held);
        self.after(first.map_or_else(|| *self.last.borrow(), |seq| seq - 1))
    }

    /// The number after which every event is here; none before the first turn.
    pub fn whole_after(&self) -> Option<u64> {
        self.locked().whole_after
    }

    /// Whether this process is at work on a turn.
    pub fn is_open(&self, turn: &TurnId) -> bool {
        self.locked().open.contains(turn)
    }

    /// The events after a number, and whether no turn is under way.
    fn read_after(&self, at: u64) -> Result<(Vec<ChatEvent>, bool), TooSlow> {
        let held = self.locked();
        if at < held.forgotten {
            return Err(TooSlow);
        }
        let from = held.events.partition_point(|event| event.seq <= at);
        let mut batch = joined(held.events.iter().skip(from).cloned());
        if let Some(first) = batch.first_mut() {
            cut(first, at);
        }
        Ok((batch, held.open.is_empty()))
    }
}

/// Adjacent deltas of one answer as one.
fn joined(events: impl IntoIterator<Item = ChatEvent>) -> Vec<ChatEvent> {
    let mut batch: Vec<ChatEvent> = Vec::new();
    for event in events {
        let joined = batch.last_mut().is_some_and(|last| joins(last, &event));
        if !joined {
            batch.push(event);
        }
    }
    batch
}

/// Takes off the beginning of a delta that a reader has who has seen `at`.
fn cut(event: &mut ChatEvent, at: u64) {
    let begins = event.seq - step(&event.kind);
    let seen = usize::try_from(at.saturating_sub(begins)).unwrap_or_default();
    if let EventKind::ResponseTextDelta { offset, .. } = &mut event.kind {
        *offset += seen;
    }
    if let EventKind::ResponseTextDelta { delta, .. } | EventKind::ResponseReasoningDelta { delta } = &mut event.kind {
        *delta = delta.chars().skip(seen).collect();
    }
}

/// Joins a delta onto the delta of the same answer before it.
fn joins(last: &mut ChatEvent, next: &ChatEvent) -> bool {
    // Numbers between them belong to something else: a cut would go wrong.
    if last.response_id != next.response_id || next.seq - step(&next.kind) != last.seq {
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
            if let (batch, _) = self.read()?
                && !batch.is_empty()
            {
                return Ok(batch);
            }
            self.changed.changed().await.map_err(|_| TooSlow)?;
        }
    }

    /// The same until no turn is under way.
    pub fn until_idle(self) -> impl Stream<Item = Result<Vec<ChatEvent>, TooSlow>> + Send {
        stream::unfold(Some(self), |cursor| async move {
            let mut cursor = cursor?;
            match cursor.next_unless_idle().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(cursor))),
                Ok(None) => None,
                Err(slow) => Some((Err(slow), None)),
            }
        })
    }

    async fn next_unless_idle(&mut self) -> Result<Option<Vec<ChatEvent>>, TooSlow> {
        loop {
            match self.read()? {
                (batch, _) if !batch.is_empty() => return Ok(Some(batch)),
                (_, true) => return Ok(None),
                _ => self.changed.changed().await.map_err(|_| TooSlow)?,
            }
        }
    }

    fn read(&mut self) -> Result<(Vec<ChatEvent>, bool), TooSlow> {
        self.changed.borrow_and_update();
        let (mut batch, idle) = self.log.read_after(self.at)?;
        if let Some(last) = batch.last() {
            self.at = last.seq;
            self.mark(&mut batch);
        }
        Ok((batch, idle))
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
    use super::super::numbers::SEQ_PER_TURN;
    use super::*;
    use futures::StreamExt;

    fn delta(text: &str, offset: usize) -> EventKind {
        EventKind::ResponseTextDelta { delta: text.to_owned(), offset }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_deltas_joined_and_numbers_rise_across_turns() {
        let log = EventLog::new(ConversationId::from_text("c"));
        let turn = TurnId::from_text("r");
        log.accept(&turn, 1, EventKind::MessageAccepted { message_id: "m".into(), duplicate: false });
        let mut reader = log.after(SEQ_PER_TURN + 1);
        log.push(Some(&turn), delta("保证", 0));
        log.push(Some(&turn), delta("金", 2));
        log.push(Some(&turn), EventKind::ResponseTextDone { text: "保证金".into() });
        let batch = reader.next().await.unwrap();
        assert_eq!(batch.len(), 2);
        assert_eq!(batch[0].kind, delta("保证金", 0));
        assert_eq!(batch[0].seq, SEQ_PER_TURN + 4);
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

    #[tokio::test]
    async fn a_reader_goes_on_at_any_character_also_after_the_end() {
        let log = EventLog::new(ConversationId::from_text("c"));
        let (turn, text) = (TurnId::from_text("r"), "保证金😀退还");
        log.accept(&turn, 1, EventKind::MessageAccepted { message_id: "m".into(), duplicate: false });
        for (offset, part) in [(0, "保证"), (2, "金😀退"), (5, "还")] {
            log.push(Some(&turn), delta(part, offset));
        }
        let all = |batch: Vec<ChatEvent>| match &batch[0].kind {
            EventKind::ResponseTextDelta { delta, offset } => (*offset, delta.clone()),
            other => panic!("{other:?}"),
        };
        for ended in [false, true] {
            if ended {
                log.close(&turn, 1, EventKind::ResponseTextDone { text: text.into() });
            }
            for seen in 0..6 {
                let (offset, rest) = all(log.after(SEQ_PER_TURN + 1 + seen).next().await.unwrap());
                assert_eq!((offset, rest), (seen as usize, text.chars().skip(seen as usize).collect()));
            }
        }
        assert_eq!(log.after(0).until_idle().collect::<Vec<_>>().await.len(), 1, "nothing is under way");
        assert_eq!(log.accept(&turn, 2, delta("", 0)), 2 * SEQ_PER_TURN + 1);
    }
}
