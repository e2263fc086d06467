//! Gives memory that is no longer used back to the system. The allocator does so only when it is asked
//! for more, and a server that has just imported a base asks for nothing; what it has read of its own file
//! (`pages.rs`) it would keep for ever.

use std::ffi::c_long;
use std::time::Duration;

use libmimalloc_sys::{mi_collect, mi_option_set_default, mi_option_t};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pages;

/// Threads that an import used end ten seconds after it; what they leave is found then.
const EVERY: Duration = Duration::from_secs(15);
/// Computed in that time, up to which nobody has asked anything: to look whether another process wrote something
/// takes less, a question and its answer more.
const IDLE: Duration = Duration::from_millis(300);

/// `mi_option_purge_delay` of mimalloc.h, for which the crate has no name.
const PURGE_DELAY: mi_option_t = 15;
/// Milliseconds before what is freed goes back. A hundred leave 8 MB more of an import in
/// memory, a thousand (the allocator's own) 18; one or none makes the import slower and leaves as much as ten.
const SOON: c_long = 10;

/// Has the allocator give back soon what is freed; `MIMALLOC_PURGE_DELAY` in the environment says otherwise.
pub fn give_back_soon() {
    // SAFETY: takes no pointer and sets a number that the allocator reads whenever something is freed; any number will do.
    unsafe { mi_option_set_default(PURGE_DELAY, SOON) }
}

/// Looks from time to time until `stop`. Takes about a millisecond when there is nothing to give.
pub async fn give_back_forever(stop: &CancellationToken) {
    let mut beat = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
    let mut work = Work::begun();
    loop {
        tokio::select! {
            _ = beat.tick() => {
                give_back(unused).await;
                if work.is_over(computed()) {
                    give_back(pages::give_back).await;
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

/// Not on a thread that others wait for.
async fn give_back(what: fn()) {
    if tokio::task::spawn_blocking(what).await.is_err() {
        tracing::debug!("memory could not be given back");
    }
}

fn unused() {
    // SAFETY: takes no pointer and may be called from any thread at any time; where another allocator
    // serves (tests, benches) there is nothing to collect.
    unsafe { mi_collect(true) }
}

/// What this process has computed since it was started.
fn computed() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Tells when work has come to its end.
struct Work {
    computed: Duration,
    under_way: bool,
}

impl Work {
    /// A start is work.
    fn begun() -> Self {
        Self { computed: Duration::ZERO, under_way: true }
    }

    /// Once for each time that there was something to do and then nothing for a whole beat.
    fn is_over(&mut self, computed: Duration) -> bool {
        let idle = computed.saturating_sub(std::mem::replace(&mut self.computed, computed)) <= IDLE;
        std::mem::replace(&mut self.under_way, !idle) && idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_of_the_header() {
        // SAFETY: takes no pointer and reads a number.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // A second as it comes; no other option begins with it but that of guarded blocks, which nobody uses.
        assert!([SOON, 1_000].contains(&delay()), "{}", delay());
        give_back_soon();
        assert_eq!(delay(), SOON);
    }

    #[test]
    fn work_is_over_once() {
        let mut work = Work::begun();
        let beats = [900, 950, 1_000, 2_000, 3_000, 3_300, 3_301].map(Duration::from_millis);
        assert!(Work::begun().is_over(IDLE), "a quick start too");
        assert_eq!(beats.map(|computed| work.is_over(computed)), [false, true, false, false, false, true, false]);
    }

    #[test]
    fn computing_is_counted() {
        let before = computed();
        assert!(before > Duration::ZERO);
        assert!((0_u64..).find(|n| std::hint::black_box(n * n) > 1 << 40).is_some());
        assert!(computed() > before);
    }
}
