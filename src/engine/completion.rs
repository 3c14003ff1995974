//! The answer to an operation that takes time.

use crate::base::{ErrorCode, Result};
use futures_util::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The pending result of an engine operation. The operation runs whether or not anyone looks at this.
///
/// `await` it, block on it with [`wait`](Self::wait), or hand it a function with [`then`](Self::then). Every operation
/// of the engine is bounded in time by itself, so each of the three comes to an end.
#[must_use = "the operation runs anyway, but its error would go unseen"]
pub struct Completion<T> {
    result: oneshot::Receiver<Result<T>>,
    runtime: tokio::runtime::Handle,
}

impl<T: Send + 'static> Completion<T> {
    /// Runs `operation` on the engine's runtime.
    pub(super) fn spawn(
        runtime: &tokio::runtime::Handle,
        operation: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Self {
        let (sender, result) = oneshot::channel();
        runtime.spawn(async move {
            // A fault of ours must not look like a shut-down to who waits.
            let result = AssertUnwindSafe(operation).catch_unwind().await;
            let result = result.unwrap_or_else(|_| Err(ErrorCode::Internal.into()));
            // Nobody has to listen: the operation's effect is what counts.
            let _ = sender.send(result);
        });
        Self { result, runtime: runtime.clone() }
    }

    /// Blocks the calling thread until the result is there.
    pub fn wait(self) -> Result<T> {
        futures_executor::block_on(self)
    }

    /// Calls `done` with the result, once, on a thread of the engine's; `done` must not block.
    pub fn then(self, done: impl FnOnce(Result<T>) + Send + 'static) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move { done(self.await) });
    }
}

impl<T> Future for Completion<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender goes without an answer only when the runtime was shut down under the operation.
        Pin::new(&mut self.result).poll(cx).map(|result| result.unwrap_or(Err(ErrorCode::ShutDown.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_can_be_waited_for_without_a_runtime_of_ones_own() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        assert_eq!(Completion::spawn(runtime.handle(), async { Ok(7) }).wait(), Ok(7));
    }

    #[test]
    fn an_operation_with_a_fault_says_internal() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let completion = Completion::<()>::spawn(runtime.handle(), async { panic!("planted") });
        assert_eq!(completion.wait().unwrap_err().code(), ErrorCode::Internal);
    }

    #[test]
    fn an_operation_cut_off_by_shut_down_says_so() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let completion = Completion::<()>::spawn(runtime.handle(), std::future::pending());
        runtime.shutdown_background();
        assert_eq!(completion.wait().unwrap_err().code(), ErrorCode::ShutDown);
    }
}
