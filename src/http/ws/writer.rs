//! The writing half of a WebSocket: one task writes, everybody else hands it frames. A socket that
//! takes nothing for a while is given up, so a stalled reader holds a bounded amount of memory for a
//! bounded time.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message};
use futures::{Sink, SinkExt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long one frame may take to leave.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a goodbye may take to leave.
const GOODBYE: Duration = Duration::from_secs(5);
/// Frames that may wait; beyond it their senders wait, and text deltas join meanwhile.
const QUEUE: usize = 32;

/// Why a socket is closed: copilot.v1's code and a word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close(pub u16, pub &'static str);

impl Close {
    /// The server stops.
    pub const AWAY: Self = Self(1001, "the server stops");
    /// Text that is not UTF-8.
    pub const NOT_TEXT: Self = Self(1007, "not UTF-8");
    /// A frame beyond `limits.frame_bytes`.
    pub const TOO_LARGE: Self = Self(1009, "frame too large");
    /// A reader that does not keep up.
    pub const TOO_SLOW: Self = Self(1013, "too slow");
    /// The first frame was not `session.open`.
    pub const PROTOCOL: Self = Self(4400, "expected session.open");
    /// A token that is not good.
    pub const UNAUTHENTICATED: Self = Self(4401, "token refused");
    /// A page on no list.
    pub const ORIGIN: Self = Self(4403, "origin not allowed");
    /// No `session.open` in time, or nothing at all for long.
    pub const TIMEOUT: Self = Self(4408, "nothing came in time");
    /// Too many refused frames in a row.
    pub const RATE: Self = Self(4429, "too many requests");
}

/// What the writer is handed.
#[derive(Debug)]
enum Outgoing {
    Text(String),
    Ping,
    Close(Close),
}

/// Hands frames to the writer.
#[derive(Clone, Debug)]
pub struct Outbox(mpsc::Sender<Outgoing>);

/// The socket is gone.
#[derive(Debug)]
pub struct Gone;

impl Outbox {
    /// Waits for room and hands over a frame.
    pub async fn send(&self, frame: &impl Serialize) -> Result<(), Gone> {
        let text = serde_json::to_string(frame).map_err(|_| Gone)?;
        self.0.send(Outgoing::Text(text)).await.map_err(|_| Gone)
    }

    /// Hands over a ping, unless frames are waiting that tell as much.
    pub fn ping(&self) {
        let _busy = self.0.try_send(Outgoing::Ping);
    }

    /// Says goodbye; nothing is written after it.
    pub async fn close(&self, close: Close) {
        let _gone = timeout(GOODBYE, self.0.send(Outgoing::Close(close))).await;
    }

    /// Waits until the writer gives up.
    pub async fn gone(&self) {
        self.0.closed().await;
    }
}

/// An outbox and the task that empties it into `socket`; the task ends after a goodbye, when the
/// socket breaks or stalls, or when every outbox is gone. It returns the code it closed with.
pub fn writer<S>(socket: S) -> (Outbox, impl Future<Output = u16>)
where
    S: Sink<Message> + Unpin,
{
    let (sender, queue) = mpsc::channel(QUEUE);
    (Outbox(sender), write(queue, socket, PATIENCE))
}

async fn write<S: Sink<Message> + Unpin>(mut queue: mpsc::Receiver<Outgoing>, mut socket: S, patience: Duration) -> u16 {
    while let Some(outgoing) = queue.recv().await {
        let message = match outgoing {
            Outgoing::Text(text) => Message::Text(text.into()),
            Outgoing::Ping => Message::Ping(bytes::Bytes::new()),
            Outgoing::Close(close) => return say_goodbye(&mut socket, close).await,
        };
        match timeout(patience, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return 1006,
            Err(_) => return say_goodbye(&mut socket, Close::TOO_SLOW).await,
        }
    }
    1000
}

async fn say_goodbye<S: Sink<Message> + Unpin>(socket: &mut S, Close(code, reason): Close) -> u16 {
    let frame = CloseFrame { code, reason: reason.into() };
    // The other side may be gone already; then there is nobody to tell.
    let _ = timeout(GOODBYE, socket.send(Message::Close(Some(frame)))).await;
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use futures::channel::mpsc as pipe;

    #[tokio::test]
    async fn frames_leave_in_order_and_nothing_after_the_goodbye() {
        let (socket, sent) = pipe::unbounded();
        let (outbox, task) = writer(socket);
        outbox.send(&1).await.unwrap();
        outbox.ping();
        outbox.close(Close::AWAY).await;
        outbox.send(&2).await.unwrap();
        assert_eq!(task.await, 1001);
        assert!(outbox.send(&3).await.is_err());
        drop(outbox);
        let sent: Vec<Message> = sent.collect().await;
        let goodbye = CloseFrame { code: 1001, reason: "the server stops".into() };
        assert_eq!(sent, [Message::Text("1".into()), Message::Ping(bytes::Bytes::new()), Message::Close(Some(goodbye))]);
    }

    #[tokio::test]
    async fn a_socket_that_takes_nothing_is_given_up() {
        let (socket, _never_read) = pipe::channel(0);
        let (sender, queue) = mpsc::channel(QUEUE);
        let outbox = Outbox(sender);
        outbox.send(&1).await.unwrap();
        outbox.send(&2).await.unwrap();
        assert_eq!(write(queue, socket, Duration::from_millis(20)).await, 1013);
        outbox.gone().await;
    }
}
