//! Tasks: the answer of one that may end at any moment, and work that goes on when nobody waits for it any more.
//!
//! Level 0: imports nothing from the crate.

use std::future::Future;
use std::panic::resume_unwind;
use tokio::sync::{mpsc, oneshot};

/// Waits for the answer to a request that was put into the queue of a task. `None`: the task has ended without one.
///
/// A request that comes into the queue in the very moment in which its reader goes lies there for as long as the queue itself, and
/// with it the other end of `answer`: waiting for that alone would never end. (A reader that closes its queue and answers what is in it
/// afterwards may be missed.)
pub async fn answered<R, T>(queue: &mpsc::Sender<R>, mut answer: oneshot::Receiver<T>) -> Option<T> {
    tokio::select! {
        biased;
        answer = &mut answer => answer.ok(),
        // It may have been given in between.
        () = queue.closed() => answer.try_recv().ok(),
    }
}

/// Does all of it, also when who waits for it goes away in the middle, such as a handler whose client hangs up: steps that belong
/// together are not torn apart. Needs a runtime; a panic is passed on.
pub async fn carried_out<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // It is called off with the runtime, and so is this.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::time::Duration;

    #[tokio::test]
    async fn a_request_that_comes_as_its_reader_goes_ends_with_it() {
        let (queue, reader) = mpsc::channel(1);
        let (reply, answer) = oneshot::channel::<()>();
        // What `send` does, with the reader's end in between.
        let place = queue.reserve().await.unwrap();
        drop(reader);
        place.send(reply);
        let answer = tokio::time::timeout(Duration::from_secs(10), answered(&queue, answer)).await;
        assert_eq!(answer, Ok(None));
    }

    #[tokio::test]
    async fn an_answer_counts_though_the_task_has_ended_since() {
        let (queue, mut reader) = mpsc::channel(1);
        let (reply, answer) = oneshot::channel();
        queue.send(reply).await.unwrap();
        reader.recv().await.unwrap().send(7).unwrap();
        drop(reader);
        assert_eq!(answered(&queue, answer).await, Some(7));
    }

    #[tokio::test]
    async fn work_goes_on_when_who_waits_for_it_goes_away() {
        let (go, wait) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let mut waiting = Box::pin(carried_out(async move {
            wait.await.unwrap();
            done.send(7).unwrap();
        }));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        go.send(()).unwrap();
        let done = tokio::time::timeout(Duration::from_secs(10), is_done).await;
        assert_eq!(done, Ok(Ok(7)));
    }
}
