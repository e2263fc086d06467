//! "Something changed": wakes whoever follows the database. A listener also wakes by itself now and
//! then, because another process (the CLI importing) can commit without being able to call.

use std::time::Duration;

use tokio::sync::watch;

/// How long a change made by another process may stay unnoticed.
const POLL: Duration = Duration::from_millis(500);

/// Where changes are announced. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Bus {
    /// Within this process.
    Local(watch::Sender<u64>),
}

/// Hears of changes; see [`Bus::subscribe`].
#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

impl Bus {
    /// A bus within this process.
    pub fn local() -> Self {
        Self::Local(watch::Sender::new(0))
    }

    /// Announces a change.
    pub fn notify(&self) {
        let Self::Local(count) = self;
        count.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears every change from now on.
    pub fn subscribe(&self) -> Listener {
        let Self::Local(count) = self;
        Listener(count.subscribe())
    }
}

impl Listener {
    /// Waits until something changed since the last call, or may have.
    pub async fn changed(&mut self) {
        if !matches!(tokio::time::timeout(POLL, self.0.changed()).await, Ok(Ok(()))) {
            // Nothing announced, or nobody left to announce: look anyway, at the pace of the poll.
            if self.0.has_changed().is_err() {
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_made_while_nobody_waits_is_heard() {
        let bus = Bus::local();
        let mut listener = bus.subscribe();
        bus.notify();
        tokio::time::timeout(POLL / 2, listener.changed()).await.unwrap();
        assert!(tokio::time::timeout(POLL / 4, listener.changed()).await.is_err());
        listener.changed().await;
    }
}
