//! How long calls stay in the log: those that ended longer ago are removed, a few at a time.

use super::store::Store;
use crate::base::{Result, UnixMillis};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often to look.
const EVERY: Duration = Duration::from_secs(600);

/// Calls in one transaction: short, so that ringing, which writes too, hardly waits.
const BATCH: u32 = 100;

/// Between two batches: ringing goes first.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs until the server stops. `keep` is how long a call stays after its end.
pub(super) async fn run(store: Arc<dyn Store>, keep: Duration, mut stopped: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            // An error means that the server was dropped.
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        match sweep(store.as_ref(), keep, UnixMillis::now()).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed old calls from the log"),
            // The store has said why; the next time may go better.
            Err(error) => tracing::warn!(%error, "old calls stay in the log for now"),
        }
    }
}

/// Removes what is too old at `now`. Returns how many calls that were.
async fn sweep(store: &dyn Store, keep: Duration, now: UnixMillis) -> Result<u64> {
    let before = UnixMillis(now.0.saturating_sub(keep.as_millis() as u64));
    let mut removed = 0;
    loop {
        let batch = store.forget_calls(before, BATCH).await?;
        removed += batch;
        if batch < u64::from(BATCH) {
            return Ok(removed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringing::LogFilter;
    use crate::server::store::tests::{DAY, nth, save, store};

    #[tokio::test]
    async fn a_call_stays_for_its_days_and_then_goes() {
        let (_dir, store) = store().await;
        let records: Vec<_> = (0..240).map(nth).filter(|record| record.call.status.is_over()).collect();
        save(&store, &records).await;
        let count = async || {
            let all = LogFilter { limit: Some(100), ..LogFilter::default() };
            store.log(None, &all).await.unwrap().calls.len()
        };
        let keep = Duration::from_millis(30 * DAY);
        let first = records[0].call.ended_at.unwrap();
        assert_eq!(sweep(&store, keep, first + keep).await.unwrap(), 0, "not before its time is over");
        let all = records.len() as u64;
        assert_eq!(sweep(&store, keep, first + keep + Duration::from_millis(1000)).await.unwrap(), all);
        assert_eq!(count().await, 0);
    }
}
