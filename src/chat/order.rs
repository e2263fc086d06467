//! The order of a conversation's turns: stored one after the other, and answered in the order in which they
//! were stored.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};

use crate::ids::{ConversationId, TenantId};

/// Conversations behind the same door wait for each other while a question is stored, which is short.
const DOORS: usize = 256;

/// One question of a conversation at a time is stored and takes its place in the queue. A fixed number of doors,
/// so that ids nobody has ever heard of cost no memory.
pub struct Doors {
    doors: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Doors {
    fn default() -> Self {
        Self { doors: (0..DOORS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl Doors {
    /// Waits for whoever is storing a question of this conversation.
    pub async fn enter(&self, tenant: &TenantId, conversation: &ConversationId) -> MutexGuard<'_, ()> {
        let hash = self.hasher.hash_one((tenant, conversation)) as usize;
        self.doors[hash % DOORS].lock().await
    }
}

/// A conversation's turn is whoever holds it; tokio's lock is given in the order it was asked for.
pub type Queue = Arc<Mutex<()>>;

/// Takes the next place in the queue at once; what is returned waits until it is the turn's own. Asking only in
/// the turn's task would leave the order to the scheduler.
pub fn take_place(queue: Queue) -> impl Future<Output = OwnedMutexGuard<()>> + Send + 'static {
    // Unconstrained: a task that has used up its budget would be put off before it has taken the place.
    let mut place = Box::pin(tokio::task::unconstrained(queue.lock_owned()));
    let free = place.as_mut().now_or_never();
    async move {
        match free {
            Some(turn) => turn,
            None => place.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn turns_go_in_the_order_in_which_their_places_were_taken() {
        let (queue, done) = (Queue::default(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let tasks: Vec<_> = (0..200)
            .map(|nth| {
                let (place, done) = (take_place(Arc::clone(&queue)), Arc::clone(&done));
                tokio::spawn(async move {
                    // Later ones come to wait first.
                    tokio::time::sleep(std::time::Duration::from_micros(20 * (200 - nth))).await;
                    let _turn = place.await;
                    done.lock().unwrap().push(nth);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*done.lock().unwrap(), (0..200).collect::<Vec<u64>>());
    }

    #[tokio::test]
    async fn a_place_that_is_given_up_holds_nobody_up() {
        let queue = Queue::default();
        let (first, second, third) = (take_place(Arc::clone(&queue)), take_place(Arc::clone(&queue)), take_place(queue));
        drop(second);
        drop(first.await);
        let waited = tokio::time::timeout(std::time::Duration::from_secs(5), third).await;
        assert!(waited.is_ok());
    }
}
