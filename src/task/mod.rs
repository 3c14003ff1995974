//! Asking a task: the answer of one that may end at any moment.
//!
//! Level 0: imports nothing from the crate.

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

#[cfg(test)]
mod tests {
    use super::*;
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
}
