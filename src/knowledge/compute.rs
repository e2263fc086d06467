//! Where the computing for a question runs: on threads that may be busy for a while, as many at once as there are
//! processors. More would only take turns, each with a stack and a heap of its own: a thousand questions in the same
//! moment are a queue, not a thousand threads.

use std::num::NonZero;
use std::sync::LazyLock;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)));

/// Runs it when it is its turn. An error only when it panicked.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let turn =
        TURNS.acquire().await.map_err(|closed| Error::internal("compute_closed", "Nothing is computed any more.").because(closed))?;
    let ran = tokio::task::spawn_blocking(move || {
        // Let go by the work itself: who asked may be gone before it ends.
        let _turn = turn;
        work()
    });
    Ok(ran.await?)
}
