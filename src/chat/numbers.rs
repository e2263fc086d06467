//! How a turn's events are numbered (pure). Turn n begins at n · 1,000,000; a delta takes as many
//! numbers as it has code points, anything else one; the terminal event always takes n,999,999. So a
//! number says how much of the text its reader has, and a stored turn is told again from the very
//! character where a line broke, by any process.

use serde::{Deserialize, Serialize};

use super::EventKind;

/// Where the next turn's numbers begin, so that they keep rising across a restart without a write per
/// event.
pub const SEQ_PER_TURN: u64 = 1_000_000;
/// The terminal event's place among a turn's numbers.
const DONE: u64 = SEQ_PER_TURN - 1;

/// The first number that a turn may use is the one after this.
pub fn start_of(ordinal: i64) -> u64 {
    u64::try_from(ordinal).unwrap_or_default() * SEQ_PER_TURN
}

/// The number of a turn's terminal event.
pub fn end_of(ordinal: i64) -> u64 {
    start_of(ordinal) + DONE
}

/// How many numbers an event takes.
pub fn step(kind: &EventKind) -> u64 {
    match kind {
        EventKind::ResponseTextDelta { delta, .. } | EventKind::ResponseReasoningDelta { delta } => chars(delta).max(1) as u64,
        _ => 1,
    }
}

/// Code points.
pub fn chars(text: &str) -> usize {
    text.chars().count()
}

/// The numbers a turn was told with, kept with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// `response.created`.
    pub created: u64,
    /// `response.sources`.
    pub sources: u64,
    /// The number before a run of text and the code points before it. One run unless something else
    /// was told in the middle of the text.
    pub text: Vec<(u64, usize)>,
    /// `response.text.done`.
    pub text_done: u64,
}

impl Numbers {
    /// Takes note of an event that was told.
    pub fn note(&mut self, kind: &EventKind, seq: u64) {
        match kind {
            EventKind::ResponseCreated { .. } => self.created = seq,
            EventKind::ResponseSources { .. } => self.sources = seq,
            EventKind::ResponseTextDone { .. } => self.text_done = seq,
            EventKind::ResponseTextDelta { offset, .. } => self.note_text(seq - step(kind), *offset),
            _ => {}
        }
    }

    fn note_text(&mut self, before: u64, offset: usize) {
        let goes_on = self.text.last().is_some_and(|(seq, chars)| seq + (offset - chars) as u64 == before);
        if !goes_on {
            self.text.push((before, offset));
        }
    }

    /// Code points of the text that a reader has who has seen everything up to `seq`.
    pub fn seen(&self, seq: u64, total: usize) -> usize {
        let run = self.text.partition_point(|(before, _)| *before <= seq);
        let Some((before, chars)) = run.checked_sub(1).map(|at| self.text[at]) else { return 0 };
        let end = self.text.get(run).map_or(total, |(_, chars)| *chars);
        end.min(chars + usize::try_from(seq - before).unwrap_or(usize::MAX))
    }

    /// The number of the event that brought the text up to so many code points.
    pub fn at(&self, count: usize) -> u64 {
        let run = self.text.iter().rev().find(|(_, chars)| *chars < count);
        run.map_or(0, |(before, chars)| before + (count - chars) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_how_much_text_its_reader_has() {
        let delta = |delta: &str, offset| EventKind::ResponseTextDelta { delta: delta.into(), offset };
        let mut numbers = Numbers::default();
        numbers.note(&delta("保证", 0), 107);
        numbers.note(&delta("金😀", 2), 109);
        // Something else was told: number 110.
        numbers.note(&delta("退", 4), 111);
        assert_eq!(numbers.text, [(105, 0), (110, 4)]);
        let seen: Vec<usize> = [0, 104, 105, 106, 109, 110, 111, 999].iter().map(|seq| numbers.seen(*seq, 5)).collect();
        assert_eq!(seen, [0, 0, 0, 1, 4, 4, 5, 5]);
        assert_eq!([1, 4, 5].map(|count| numbers.at(count)), [106, 109, 111]);
        for count in 1..=5 {
            assert_eq!(numbers.seen(numbers.at(count), 5), count);
        }
    }
}
