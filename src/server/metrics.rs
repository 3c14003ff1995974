//! What `/metrics` shows of ringing and the store.

use super::sfu::{Sample, SampleKind};
use crate::base::{ErrorCode, Result};
use crate::ringing::EndReason;
use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::time::Duration;

pub(super) struct Metrics {
    registry: Registry,
    connections: IntGauge,
    active_calls: IntGauge,
    logins: IntCounterVec,
    requests: IntCounterVec,
    ended: IntCounterVec,
    commit_seconds: Histogram,
    store_failures: IntCounter,
    slow_readers: IntCounter,
    webhooks: IntCounterVec,
    webhooks_pending: IntGauge,
    webhook_seconds: Histogram,
}

impl Metrics {
    pub(super) fn new() -> Result<Self> {
        Self::build().map_err(|e| crate::base::Error::new(ErrorCode::Internal, format!("metrics: {e}")))
    }

    fn build() -> Result<Self, prometheus::Error> {
        let commits = HistogramOpts::new("trill_store_commit_seconds", "Time to make a batch of call changes durable.")
            .buckets(vec![0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0]);
        let deliveries =
            HistogramOpts::new("trill_webhook_delivery_seconds", "From what happened to the webhook being taken.")
                .buckets(vec![0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 86_400.0]);
        let metrics = Self {
            registry: Registry::new(),
            connections: IntGauge::new("trill_ringing_connections", "Devices connected for ringing now.")?,
            active_calls: IntGauge::new("trill_calls_active", "Calls that ring or are ongoing now.")?,
            logins: labelled("trill_ringing_logins_total", "Logins of devices, by result.", &["result"])?,
            requests: labelled("trill_ringing_requests_total", "Requests of devices.", &["method", "result"])?,
            ended: labelled("trill_calls_ended_total", "Ongoing calls that ended, by reason.", &["reason"])?,
            commit_seconds: Histogram::with_opts(commits)?,
            store_failures: IntCounter::new("trill_store_failures_total", "Batches of changes the store refused.")?,
            slow_readers: IntCounter::new("trill_ringing_slow_readers_total", "Devices dropped for not reading.")?,
            webhooks: labelled("trill_webhooks_total", "Webhooks, by what became of them.", &["event", "result"])?,
            webhooks_pending: IntGauge::new("trill_webhooks_pending", "Webhooks that wait in the outbox.")?,
            webhook_seconds: Histogram::with_opts(deliveries)?,
        };
        let registry = &metrics.registry;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.active_calls.clone()))?;
        registry.register(Box::new(metrics.logins.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.ended.clone()))?;
        registry.register(Box::new(metrics.commit_seconds.clone()))?;
        registry.register(Box::new(metrics.store_failures.clone()))?;
        registry.register(Box::new(metrics.slow_readers.clone()))?;
        // What the process uses, under the names that Prometheus gives it.
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        registry.register(Box::new(metrics.webhooks.clone()))?;
        registry.register(Box::new(metrics.webhooks_pending.clone()))?;
        registry.register(Box::new(metrics.webhook_seconds.clone()))?;
        Ok(metrics)
    }

    pub(super) fn connection_opened(&self) {
        self.connections.inc();
    }

    pub(super) fn connection_closed(&self) {
        self.connections.dec();
    }

    pub(super) fn connections(&self) -> i64 {
        self.connections.get()
    }

    pub(super) fn login<T>(&self, result: &Result<T>) {
        self.logins.with_label_values(&[name_of(result)]).inc();
    }

    pub(super) fn request(&self, method: &str, error: Option<ErrorCode>) {
        self.requests.with_label_values(&[method, error.map_or("ok", ErrorCode::name)]).inc();
    }

    pub(super) fn call_ended(&self, reason: EndReason) {
        self.ended.with_label_values(&[reason.name()]).inc();
    }

    pub(super) fn active_calls(&self, count: usize) {
        self.active_calls.set(count as i64);
    }

    pub(super) fn committed<T>(&self, took: Duration, result: &Result<T>) {
        match result {
            Ok(_) => self.commit_seconds.observe(took.as_secs_f64()),
            Err(_) => self.store_failures.inc(),
        }
    }

    pub(super) fn slow_reader(&self) {
        self.slow_readers.inc();
    }

    /// `result`: `delivered`, `failed` (and tried again), `given_up` or `expired`.
    pub(super) fn webhook(&self, event: &str, result: &str) {
        self.webhooks.with_label_values(&[event, result]).inc();
    }

    pub(super) fn webhook_delivered(&self, after: Duration) {
        self.webhook_seconds.observe(after.as_secs_f64());
    }

    pub(super) fn webhooks_pending(&self, count: i64) {
        self.webhooks_pending.set(count);
    }

    pub(super) fn webhooks_stored(&self, count: usize) {
        self.webhooks_pending.add(count as i64);
    }

    pub(super) fn webhooks_settled(&self, count: usize) {
        self.webhooks_pending.sub(count as i64);
    }

    /// All of it and the session server's, in Prometheus's text format.
    pub(super) fn render(&self, sfu: &[Sample]) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be rendered");
        }
        let mut text = String::from_utf8_lossy(&text).into_owned();
        for Sample { name, help, kind, value } in sfu {
            let kind = match kind {
                SampleKind::Counter => "counter",
                SampleKind::Gauge => "gauge",
            };
            text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
        text
    }
}

fn labelled(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn name_of<T>(result: &Result<T>) -> &'static str {
    result.as_ref().map_or_else(|error| error.code().name(), |_| "ok")
}
