//! Gives memory that is no longer used back to the system. The allocator does so only when it is asked
//! for more, and a server that has just imported a base asks for nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Threads that an import used end ten seconds after it; what they leave is found then.
const EVERY: Duration = Duration::from_secs(15);

/// Looks from time to time until `stop`. Takes about a millisecond when there is nothing to give.
pub async fn give_back_forever(stop: &CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = beat.tick() => give_back().await,
            () = stop.cancelled() => return,
        }
    }
}

async fn give_back() {
    // SAFETY: takes no pointer and may be called from any thread at any time; where another allocator
    // serves (tests, benches) there is nothing to collect.
    let collect = || unsafe { libmimalloc_sys::mi_collect(true) };
    // Not on a thread that others wait for.
    if tokio::task::spawn_blocking(collect).await.is_err() {
        tracing::debug!("memory could not be given back");
    }
}
