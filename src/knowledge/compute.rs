//! Where the computing for a question runs: on threads of its own, as many as there are processors. More would only take
//! turns, each with a stack and a heap of its own: a thousand questions in the same moment are a queue, not a thousand
//! threads. The system gives them what the other threads leave, so that the words of answers under way, which take
//! microseconds, do not wait for searches, which take milliseconds.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::error::{Error, Result};

/// How much less than other threads these are given (`nice`): about a tenth where both want all.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    /// As many as threads: who has none waits without taking any room here.
    turns: Semaphore,
    jobs: SyncSender<Job>,
}

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let threads = threads();
    let (jobs, waiting) = sync_channel::<Job>(threads);
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..threads {
        let waiting = Arc::clone(&waiting);
        let started = std::thread::Builder::new().name("compute".to_owned()).spawn(move || work(&waiting));
        if let Err(error) = started {
            tracing::error!(%error, "a thread to compute on could not be started");
        }
    }
    Pool { turns: Semaphore::new(threads), jobs }
});

fn work(waiting: &Mutex<Receiver<Job>>) {
    // Without a number it is the thread that asks (on Linux; elsewhere all threads of a process are alike).
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "computing has the same priority as everything else");
    }
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        job();
    }
}

/// Questions looked into at once.
static QUESTIONS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2 * threads()));

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// To be held while a question is computed in several steps, between which it keeps much: a number for each document of
/// a shop. There are as many as keep all threads busy; a thousand at once would fill the memory.
pub async fn question() -> Result<SemaphorePermit<'static>> {
    QUESTIONS.acquire().await.map_err(|error| failed().because(error))
}

fn failed() -> Error {
    Error::internal("compute_failed", "A computation did not come to its end; the log has the cause.")
}

/// Runs it when it is its turn. An error only when it panicked.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let turn = POOL.turns.acquire().await.map_err(|error| failed().because(error))?;
    let (done, result) = oneshot::channel();
    let job = Box::new(move || {
        // Let go by the work itself: who asked may be gone before it ends.
        let _turn = turn;
        // The panic has been told by its hook; who waits hears that nothing came.
        if let Ok(result) = catch_unwind(AssertUnwindSafe(work)) {
            let _nobody_waits = done.send(result);
        }
    });
    POOL.jobs.send(job).map_err(|_| failed())?;
    result.await.map_err(|error| failed().because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        for _ in 0..16 {
            let outcome = run(|| std::hint::black_box(Vec::<u8>::new())[0]).await;
            assert_eq!(outcome.unwrap_err().code(), "compute_failed");
        }
        let many = futures::future::join_all((0..100).map(|n| run(move || n * n))).await;
        assert_eq!(many.into_iter().map(Result::unwrap).sum::<i32>(), 328_350);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn others_go_first() {
        let there = run(|| rustix::process::getpriority_process(None).unwrap()).await.unwrap();
        assert!(there >= NICE, "{there}");
    }
}
