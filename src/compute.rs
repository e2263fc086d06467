//! Where computing runs: on threads of its own, as many as there are processors. More would only take turns, each with a
//! stack and a heap of its own: a thousand questions in the same moment are a queue, not a thousand threads. What nobody
//! waits for, an import's vectors, runs [`behind`] them: on other threads, which the system gives what the others leave.

use std::future::Future;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::error::{Error, Result};

/// How much less than other threads those behind are given (`nice`): about a tenth where both want all. Those for
/// questions are given as much as any: less made no difference to the words of answers under way that could be measured
/// (docs/performance.md), and on a machine that is busy with something else a search took a hundred times as long.
const NICE_BEHIND: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    /// As many as threads: who has none waits without taking any room here.
    turns: Semaphore,
    jobs: SyncSender<Job>,
}

impl Pool {
    fn start(name: &str, nice: Option<i32>) -> Self {
        let threads = threads();
        let (jobs, waiting) = sync_channel::<Job>(threads);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads {
            let waiting = Arc::clone(&waiting);
            let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&waiting, nice));
            if let Err(error) = started {
                tracing::error!(%error, "a thread to compute on could not be started");
            }
        }
        Self { turns: Semaphore::new(threads), jobs }
    }
}

// A thread can only ever be given less, so that each rank has its own.
static QUESTIONS_FIRST: LazyLock<Pool> = LazyLock::new(|| Pool::start("compute", None));
static THE_REST: LazyLock<Pool> = LazyLock::new(|| Pool::start("behind", Some(NICE_BEHIND)));

tokio::task_local! {
    /// Set in what runs behind.
    static BEHIND: ();
}

fn work(waiting: &Mutex<Receiver<Job>>, nice: Option<i32>) {
    if let Some(nice) = nice {
        give_way(nice);
    }
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        job();
    }
}

#[cfg(target_os = "linux")]
fn give_way(nice: i32) {
    // Without a number it is the thread that asks.
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(%error, "computing has the same priority as everything else");
    }
}

/// Elsewhere all threads of a process are alike.
#[cfg(not(target_os = "linux"))]
fn give_way(_nice: i32) {}

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

/// What this computes, at whatever depth, is computed behind questions.
pub async fn behind<F: Future>(work: F) -> F::Output {
    BEHIND.scope((), work).await
}

/// Runs it when it is its turn. An error only when it panicked.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let pool = if BEHIND.try_with(|()| ()).is_ok() { &*THE_REST } else { &*QUESTIONS_FIRST };
    let turn = pool.turns.acquire().await.map_err(|error| failed().because(error))?;
    let (done, result) = oneshot::channel();
    let job = Box::new(move || {
        // Let go by the work itself: who asked may be gone before it ends.
        let _turn = turn;
        // The panic has been told by its hook; who waits hears that nothing came.
        if let Ok(result) = catch_unwind(AssertUnwindSafe(work)) {
            let _nobody_waits = done.send(result);
        }
    });
    pool.jobs.send(job).map_err(|_| failed())?;
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
    async fn what_nobody_waits_for_gives_way() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let there = run(nice).await.unwrap();
        let behind = behind(run(nice)).await.unwrap();
        assert_eq!(there, nice());
        assert!(behind >= NICE_BEHIND, "{behind}");
        assert_eq!(run(nice).await.unwrap(), there, "a question after it is not behind");
    }
}
