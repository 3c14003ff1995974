//! Where all participants write what they saw.

use super::super::figures::Quantiles;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trill::base::Error;

/// Delays below this are kept to the microsecond, those above it to the millisecond, up to the longest.
const FINE: usize = 65_536;
const COARSE: usize = 10_000;

pub struct Board {
    pub delays: Delays,
    /// Packets that count, as the publishers sent them.
    pub published: AtomicU64,
    /// Of these, those that came to subscribers, each once.
    pub received: AtomicU64,
    pub repeated: AtomicU64,
    failures: Mutex<Failures>,
}

#[derive(Clone, Default)]
pub struct Failures {
    pub first: Option<Error>,
    /// By error code.
    pub counts: BTreeMap<String, u64>,
}

impl Board {
    pub fn new() -> Self {
        Self {
            delays: Delays::new(),
            published: AtomicU64::new(0),
            received: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }

    /// A participant is out.
    pub fn failed(&self, error: &Error) {
        let mut failures = self.lock();
        *failures.counts.entry(error.code().name().to_owned()).or_default() += 1;
        failures.first.get_or_insert_with(|| error.clone());
    }

    pub fn failures(&self) -> Failures {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many packets took how long: of one size, however many there are, and without a lock.
pub struct Delays {
    buckets: Vec<AtomicU32>,
    longest: AtomicU64,
}

impl Delays {
    fn new() -> Self {
        let buckets = (0..FINE + COARSE).map(|_| AtomicU32::new(0)).collect();
        Self { buckets, longest: AtomicU64::new(0) }
    }

    pub fn add(&self, delay: Duration) {
        let micros = delay.as_micros() as usize;
        let bucket = if micros < FINE { micros } else { (FINE + micros / 1000).min(FINE + COARSE - 1) };
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.longest.fetch_max(micros as u64, Relaxed);
    }

    /// All 0 when there are none.
    pub fn quantiles(&self) -> Quantiles {
        let total: u64 = self.buckets.iter().map(|bucket| u64::from(bucket.load(Relaxed))).sum();
        let at = |share: f64| {
            let rank = ((total as f64 * share).ceil() as u64).max(1);
            let mut below = 0;
            let found = self.buckets.iter().position(|bucket| {
                below += u64::from(bucket.load(Relaxed));
                below >= rank
            });
            match found {
                None => 0.0,
                Some(micros) if micros < FINE => micros as f64 / 1000.0,
                Some(bucket) => (bucket - FINE) as f64,
            }
        };
        let max = self.longest.load(Relaxed) as f64 / 1000.0;
        Quantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_told_by_their_quantiles() {
        let delays = Delays::new();
        assert_eq!(delays.quantiles(), Quantiles::default());
        (1..=98).for_each(|n| delays.add(Duration::from_micros(n * 10)));
        delays.add(Duration::from_millis(70));
        delays.add(Duration::from_secs(3600));
        assert_eq!(delays.quantiles(), Quantiles { p50: 0.5, p95: 0.95, p99: 70.0, max: 3_600_000.0 });
    }
}
