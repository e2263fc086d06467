//! A line to a platform that we open ourselves and keep: opened again for ever, after waits drawn at random,
//! with the next one standing before an old one is let go.

use std::time::Duration;

use futures::SinkExt;
use futures::stream::SplitSink;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, Result};

/// Waits between two tries, drawn at random up to a bound that doubles.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A line that stood this long was a good one: waits start over.
const STABLE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);
const LARGEST_FRAME: usize = 1 << 20;
/// How often is looked whether the line is ours to open.
const ELSEWHERE: Duration = Duration::from_secs(5);

/// An open connection.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Keeps a bot's line open until `stop`. `connect` gives none while another node has the line; `serve` tells by its
/// [`Leaving`] when another one is wanted.
pub async fn keep<C, S>(bot: &str, stop: &CancellationToken, connect: impl Fn() -> C, serve: impl Fn(Socket, Leaving) -> S)
where
    C: Future<Output = Result<Option<Socket>>>,
    S: Future<Output = ()> + Send + 'static,
{
    let lines = TaskTracker::new();
    let mut wait = Backoff::default();
    while !stop.is_cancelled() {
        let (began, mut pause) = (Instant::now(), Duration::ZERO);
        let opened = tokio::select! {
            opened = connect() => opened,
            () = stop.cancelled() => break,
        };
        match opened {
            Ok(Some(socket)) => {
                tracing::info!(bot, "the line is open");
                let (going, gone) = oneshot::channel();
                lines.spawn(serve(socket, Leaving { going: Some(going), heard: false, pause: Duration::ZERO }));
                let (worked, after) = gone.await.unwrap_or_default();
                // A line that worked was a good one, however short.
                if worked || began.elapsed() >= STABLE {
                    wait = Backoff::default();
                }
                pause = after;
            }
            Ok(None) => (pause, wait) = (ELSEWHERE, Backoff::default()),
            Err(error) => tracing::warn!(bot, code = error.code(), causes = error.causes(), "no line, trying on: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause + wait.next()) => {}
            () = stop.cancelled() => {}
        }
    }
    lines.close();
    lines.wait().await;
}

/// Opens a connection. The address may hold a ticket: it stays out of the error.
///
/// # Errors
/// `stream_unreachable`.
pub async fn open(address: &str) -> Result<Socket> {
    let config = WebSocketConfig::default().max_message_size(Some(LARGEST_FRAME)).max_frame_size(Some(LARGEST_FRAME));
    let lost = || Error::unavailable("stream_unreachable", "The platform's gateway does not take the connection.");
    let opened = timeout(CONNECT, connect_async_with_config(address, Some(config), false)).await.map_err(|_| lost())?;
    opened.map(|(socket, _)| socket).map_err(|error| lost().because(error))
}

/// Reads a frame.
///
/// # Errors
/// `bad_callback` when it is not JSON.
pub fn frame(text: &str) -> Result<Value> {
    let bad = |error| Error::invalid("bad_callback", format!("A frame is not JSON ({error}) and is left out."));
    serde_json::from_str(text).map_err(bad)
}

/// Hangs up.
pub async fn goodbye(mut sink: SplitSink<Socket, Message>) {
    let _ = timeout(Duration::from_secs(1), sink.send(Message::Close(None))).await;
}

/// Tells that another line is wanted, at the latest when it is dropped.
pub struct Leaving {
    going: Option<oneshot::Sender<(bool, Duration)>>,
    heard: bool,
    pause: Duration,
}

impl Leaving {
    /// Something came over this line: it works.
    pub fn heard(&mut self) {
        self.heard = true;
    }

    /// The next line is not wanted before that.
    pub fn pause(&mut self, pause: Duration) {
        self.pause = pause;
    }

    /// The next line is wanted now.
    pub fn leave(&mut self) {
        if let Some(going) = self.going.take() {
            // Nobody waits for it once we stop.
            let _ = going.send((self.heard, self.pause));
        }
    }

    /// Whether the next line is wanted already.
    pub fn is_leaving(&self) -> bool {
        self.going.is_none()
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits with full jitter, so that many bots do not come back at the same moment.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    fn bound(&self) -> Duration {
        (SHORTEST_WAIT * 2_u32.saturating_pow(self.0.min(10))).min(LONGEST_WAIT)
    }

    fn next(&mut self) -> Duration {
        // The first one is short: the platform changes its lines as a matter of course.
        let bound = if self.0 == 0 { SHORTEST_WAIT / 4 } else { self.bound() };
        self.0 += 1;
        bound.mul_f64(rand::random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_never_end() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..200).map(|_| backoff.next()).collect();
        assert!(waits[0] <= SHORTEST_WAIT / 4 && waits.iter().all(|wait| *wait <= LONGEST_WAIT));
        assert!(waits[10..].iter().any(|wait| *wait > LONGEST_WAIT / 2));
        assert_eq!(backoff.bound(), LONGEST_WAIT);
    }
}
