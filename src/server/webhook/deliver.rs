//! The task that empties the outbox of one URL.

use super::post::{Failure, Poster};
use super::schedule::{Outcome, Schedule, Work};
use super::{OutboxEntry, WebhookConfig, Webhooks};
use crate::base::Result;
use crate::identity::KeyRing;
use crate::server::metrics::Metrics;
use crate::server::ringing::Clock;
use crate::server::store::Store;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// How many notices are read from the store at a time.
const PAGE: usize = 256;

/// How long delivered notices may wait to be taken out of the outbox together. A crash in this time sends them again,
/// with the same idempotency key.
const SETTLE: Duration = Duration::from_millis(250);

/// How long after a failure of the store to try again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// How many failures in a row of one notice are logged one by one; after that, each tenth.
const LOGGED_FAILURES: u32 = 3;

type Attempt = Result<(), Failure>;

/// What delivers the webhooks of a server, before it runs.
pub(in crate::server) struct Delivery {
    tasks: Vec<Deliverer>,
}

struct Deliverer {
    target: i64,
    poster: Arc<Poster>,
    schedule: Schedule,
    clock: Clock,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    poke: Arc<Notify>,
    /// Everything up to this one has been read from the outbox.
    read_to: i64,
    /// There may be more in the outbox.
    more: bool,
    /// Dealt with, and still in the outbox.
    settled: Vec<i64>,
    settle_at: Option<Instant>,
    under_way: JoinSet<Attempt>,
    /// What each of them has in hand.
    in_hand: HashMap<Id, Arc<OutboxEntry>>,
}

impl Delivery {
    /// For the webhooks of `config`; nothing when it names no URL. Takes up what an earlier run left in the outbox.
    pub(in crate::server) async fn new(
        config: &WebhookConfig,
        keys: &Arc<KeyRing>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
    ) -> Result<Option<(Webhooks, Self)>> {
        let urls = config.parsed_urls()?;
        if urls.is_empty() {
            return Ok(None);
        }
        let dropped = store.drop_outbox_from(urls.len() as i64).await?;
        if dropped > 0 {
            tracing::warn!(dropped, "webhooks of URLs that are no longer configured were dropped");
        }
        metrics.webhooks_pending(store.outbox_len().await?);
        let signer = config.signer(keys)?;
        let webhooks = Webhooks::new(&config.events, keys.clone(), urls.len());
        let tasks = urls.iter().enumerate().map(|(target, url)| {
            let poster = Poster::new(url, signer.clone(), config.timeout, config.concurrency);
            tracing::info!(url = poster.place(), "webhooks are delivered");
            Deliverer {
                target: target as i64,
                poster: Arc::new(poster),
                schedule: Schedule::new(config.concurrency, config.give_up_after, rand::random()),
                clock: Clock::new(),
                store: store.clone(),
                metrics: metrics.clone(),
                poke: webhooks.pokes[target].clone(),
                read_to: 0,
                more: true,
                settled: Vec::new(),
                settle_at: None,
                under_way: JoinSet::new(),
                in_hand: HashMap::new(),
            }
        });
        Ok(Some((webhooks.clone(), Self { tasks: tasks.collect() })))
    }

    /// Delivers until `stopped` says so. What is under way then is tried again by the next start.
    pub(in crate::server) async fn run(self, stopped: watch::Receiver<bool>) {
        let tasks = self.tasks.into_iter().map(|task| task.run(stopped.clone()));
        futures_util::future::join_all(tasks).await;
    }
}

impl Deliverer {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let retry = self.read().await.is_err() | self.settle(false).await.is_err();
            self.start_due();
            let retry_at = retry.then(|| Instant::now() + STORE_RETRY);
            let wake = self.schedule.next_wake().map(|at| Instant::now() + at.since(self.clock.now()));
            let wake = [wake, self.settle_at.map(|at| retry_at.unwrap_or(at)), retry_at].into_iter().flatten().min();
            let poke = self.poke.clone();
            tokio::select! {
                () = poke.notified() => self.more = true,
                Some(result) = self.under_way.join_next_with_id() => self.ended(result),
                () = sleep_until(wake) => {}
                // An error means that the server was dropped.
                _ = stopped.wait_for(|stop| *stop) => break,
            }
            while let Some(result) = self.under_way.try_join_next_with_id() {
                self.ended(result);
            }
        }
        // It is logged there, and then they are sent once more.
        self.settle(true).await.ok();
    }

    /// Reads on in the outbox as far as there is room.
    async fn read(&mut self) -> Result<()> {
        while self.more && self.schedule.room() >= PAGE {
            let page = self.store.outbox(self.target, self.read_to, PAGE).await?;
            self.more = page.len() == PAGE;
            let now = self.clock.now();
            for notice in page {
                self.read_to = notice.seq;
                self.schedule.add(now, notice);
            }
        }
        Ok(())
    }

    fn start_due(&mut self) {
        while let Some(work) = self.schedule.next(self.clock.now()) {
            match work {
                Work::Attempt(notice) => {
                    let (poster, posted) = (self.poster.clone(), notice.clone());
                    let task = self.under_way.spawn(async move { poster.post(&posted).await });
                    self.in_hand.insert(task.id(), notice);
                }
                Work::GiveUp { notice, attempts } => {
                    tracing::error!(
                        url = self.poster.place(), id = %notice.id, event = %notice.kind, lane = %notice.lane, attempts,
                        "a webhook was given up: it is older than webhooks.give_up_after"
                    );
                    self.metrics.webhook(&notice.kind, "given_up");
                    self.settled(notice.seq);
                }
                Work::Expired(notice) => {
                    tracing::info!(id = %notice.id, lane = %notice.lane, "a push was not delivered in time");
                    self.metrics.webhook(&notice.kind, "expired");
                    self.settled(notice.seq);
                }
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, Attempt), JoinError>) {
        let (id, result) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let reason = format!("the attempt failed: {error}");
                (error.id(), Err(Failure { outcome: Outcome::Refused, reason }))
            }
        };
        let Some(notice) = self.in_hand.remove(&id) else { return };
        let now = self.clock.now();
        match result {
            Ok(()) => {
                self.schedule.done(now, &notice.lane, Outcome::Delivered);
                self.metrics.webhook(&notice.kind, "delivered");
                self.metrics.webhook_delivered(now.since(notice.at));
                self.settled(notice.seq);
            }
            Err(Failure { outcome, reason }) => {
                let failures = self.schedule.done(now, &notice.lane, outcome);
                self.metrics.webhook(&notice.kind, "failed");
                if failures <= LOGGED_FAILURES || failures.is_multiple_of(10) {
                    tracing::warn!(
                        url = self.poster.place(), id = %notice.id, event = %notice.kind, lane = %notice.lane, failures,
                        %reason, "a webhook was not taken; it is tried again"
                    );
                }
            }
        }
    }

    /// The notice is to be taken out of the outbox.
    fn settled(&mut self, seq: i64) {
        self.settled.push(seq);
        self.settle_at.get_or_insert_with(|| Instant::now() + SETTLE);
    }

    /// Takes what is dealt with out of the outbox, many at a time.
    async fn settle(&mut self, at_once: bool) -> Result<()> {
        let due = self.settle_at.is_some_and(|at| at <= Instant::now()) || self.settled.len() >= PAGE;
        if self.settled.is_empty() || !(due || at_once) {
            return Ok(());
        }
        self.store.remove_from_outbox(&self.settled).await?;
        self.metrics.webhooks_settled(self.settled.len());
        self.settled.clear();
        self.settle_at = None;
        Ok(())
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
