//! Work that goes on when nobody waits for it any more.

use std::future::Future;
use std::panic::resume_unwind;

/// Does all of it, also when who waits for it goes away in the middle, such as a handler whose client hangs up: steps that belong
/// together are not torn apart. Needs a runtime; a panic is passed on.
pub(super) async fn carried_out<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
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
    use tokio::sync::oneshot;

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
