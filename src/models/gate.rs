//! How many calls of one model may be under way at once. A bounded number waits; whoever comes beyond
//! that is told at once that the model is busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ModelError;

#[derive(Debug)]
pub(super) struct Gate {
    /// None lets everybody in.
    places: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
    queue: usize,
}

/// A call's place, free again when dropped.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl Gate {
    pub(super) fn new(concurrency: usize, queue: usize) -> Self {
        let places = (concurrency > 0).then(|| Arc::new(Semaphore::new(concurrency)));
        Self { places, waiting: AtomicUsize::new(0), queue }
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes a place, or waits for one in the order of coming.
    ///
    /// # Errors
    /// `model_busy` when as many wait already as may.
    pub(super) async fn enter(&self) -> Result<Place, ModelError> {
        let Some(places) = &self.places else { return Ok(None) };
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Ok(Some(place));
        }
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.queue {
            return Err(ModelError::Busy);
        }
        let place = Arc::clone(places).acquire_owned().await;
        drop(waiting);
        place.map(Some).map_err(|_| ModelError::Busy)
    }
}

/// Somebody in the queue, also one who gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_bounded_number_waits_and_the_next_is_told() {
        let gate = Gate::new(1, 1);
        let first = gate.enter().await.unwrap();
        let mut second = Box::pin(gate.enter());
        assert!(second.as_mut().now_or_never().is_none(), "it waits");
        assert!(matches!(gate.enter().await, Err(ModelError::Busy)));
        drop(first);
        let second = second.await.unwrap();
        let gone = Box::pin(gate.enter()).as_mut().now_or_never();
        assert!(gone.is_none(), "the queue is empty again, so this one may wait");
        drop(second);
        assert!(gate.enter().await.unwrap().is_some());
        assert!(Gate::new(0, 0).enter().await.unwrap().is_none(), "no limit");
    }
}
