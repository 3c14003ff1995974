//! What a network does to packets, and how that changes over time.

use crate::base::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The longest delay, jitter or queue, in milliseconds.
const MAX_DELAY_MS: f64 = 60_000.0;
/// The largest queue or bucket, in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// The rates that a bottleneck may have, in kbit/s.
const RATES_KBPS: std::ops::RangeInclusive<f64> = 1.0..=10_000_000.0;
/// The longest schedule, in milliseconds: a week.
const MAX_SCHEDULE_MS: u64 = 7 * 24 * 3600 * 1000;
/// Steps, or blackouts, of one schedule at most.
const MAX_STEPS: usize = 1000;
/// The queue of a bottleneck that does not say: what a home router commonly holds.
const DEFAULT_QUEUE_MS: f64 = 200.0;

/// What a network does to packets. All zero, the default, it does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// One way, in milliseconds, 0 to 60,000.
    pub delay_ms: f64,
    /// The standard deviation of the delay, in milliseconds: normally distributed, never below 0, never more than 4 of
    /// them late. Packets keep their order unless [`Self::jitter_reorders`] says otherwise, which makes the delay of
    /// dense streams longer and its spread smaller than asked for: a late packet holds up those behind it.
    pub jitter_ms: f64,
    /// Each packet's jitter is its own, and a late packet is overtaken.
    pub jitter_reorders: bool,
    /// Packets lost, each by itself, 0 to 100.
    pub loss_percent: f64,
    /// Loss in bursts, beside `loss_percent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// Packets that arrive twice, 0 to 100.
    pub duplicate_percent: f64,
    /// Packets held back by `reorder_delay_ms`, 0 to 100.
    pub reorder_percent: f64,
    /// How long they are held back, in milliseconds, 0 to 60,000.
    pub reorder_delay_ms: f64,
    /// The bottleneck, in kbit/s, 1 to 10,000,000; 0: there is none.
    pub rate_kbps: f64,
    /// What may pass the bottleneck at once after it was idle, in bytes. 0: each packet takes its time.
    pub bucket_bytes: u64,
    /// What the bottleneck's queue holds, as time at its rate, in milliseconds. 0, with `queue_bytes` 0 too: 200 ms.
    pub queue_ms: f64,
    /// The same in bytes. Where both are given, the smaller counts.
    pub queue_bytes: u64,
}

/// The Gilbert-Elliott model in its simple form: nothing is lost in the good state, everything in the bad one, and
/// the chain takes a step with each packet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Packets lost over a long time, 0 to 90.
    pub loss_percent: f64,
    /// Packets lost in a row, on average: 1 to 10,000.
    pub length: f64,
}

/// From this time on the network has this profile. In files and JSON: `at_ms` among the fields of the profile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub struct Step {
    /// Milliseconds since the start.
    pub at_ms: u64,
    #[serde(flatten)]
    pub profile: Profile,
}

/// A time in which nothing passes. The bottleneck goes on: what leaves it meanwhile is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blackout {
    /// Milliseconds since the start.
    pub at_ms: u64,
    pub length_ms: u64,
}

/// Profiles one after the other, and blackouts. In files and JSON: `steps` and `blackouts`, lists of objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Schedule {
    /// The first is at 0, and each later than the one before.
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blackouts: Vec<Blackout>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    blackouts: Vec<Blackout>,
}

impl Schedule {
    /// Fails with `configuration` when a value is out of its range, the steps are not in order, or there are more than
    /// 1000 steps or blackouts. Before the first step the network does nothing to packets.
    pub fn new(mut steps: Vec<Step>, blackouts: Vec<Blackout>) -> Result<Self> {
        if steps.len().max(blackouts.len()) > MAX_STEPS {
            return Err(refused(format!("a schedule has at most {MAX_STEPS} steps and {MAX_STEPS} blackouts")));
        }
        if steps.first().is_none_or(|step| step.at_ms > 0) {
            steps.insert(0, Step { at_ms: 0, profile: Profile::default() });
        }
        if let Some(pair) = steps.windows(2).find(|pair| pair[0].at_ms >= pair[1].at_ms) {
            let (before, after) = (pair[0].at_ms, pair[1].at_ms);
            return Err(refused(format!("a step at {after} ms after one at {before} ms: put them in their order")));
        }
        let ends = blackouts.iter().map(|b| b.at_ms.saturating_add(b.length_ms));
        if let Some(end) = steps.iter().map(|step| step.at_ms).chain(ends).find(|&end| end > MAX_SCHEDULE_MS) {
            return Err(refused(format!("a schedule lasts at most {MAX_SCHEDULE_MS} ms, not {end}")));
        }
        for step in &steps {
            step.profile.check().map_err(|error| error.context(format!("the step at {} ms", step.at_ms)))?;
        }
        Ok(Self { steps, blackouts })
    }

    /// One profile for all time. Fails with `configuration` when a value is out of its range.
    pub fn constant(profile: Profile) -> Result<Self> {
        Self::new(vec![Step { at_ms: 0, profile }], Vec::new())
    }

    /// A network that does nothing to packets.
    pub fn clean() -> Self {
        Self { steps: vec![Step { at_ms: 0, profile: Profile::default() }], blackouts: Vec::new() }
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub fn blackouts(&self) -> &[Blackout] {
        &self.blackouts
    }

    /// The profile at a time since the start.
    pub fn at(&self, elapsed: Duration) -> &Profile {
        let next = self.steps.partition_point(|step| Duration::from_millis(step.at_ms) <= elapsed);
        &self.steps[next.saturating_sub(1)].profile
    }

    /// When the next step begins, after `elapsed`.
    pub fn next_change(&self, elapsed: Duration) -> Option<Duration> {
        let next = self.steps.partition_point(|step| Duration::from_millis(step.at_ms) <= elapsed);
        self.steps.get(next).map(|step| Duration::from_millis(step.at_ms))
    }

    pub fn is_blacked_out(&self, elapsed: Duration) -> bool {
        self.blackouts.iter().any(|blackout| {
            let from = Duration::from_millis(blackout.at_ms);
            (from..from + Duration::from_millis(blackout.length_ms)).contains(&elapsed)
        })
    }
}

impl TryFrom<serde_json::Map<String, serde_json::Value>> for Step {
    type Error = Error;
    /// By hand, because flattened structs take fields of any name.
    fn try_from(mut fields: serde_json::Map<String, serde_json::Value>) -> Result<Self> {
        let at_ms = fields.remove("at_ms").unwrap_or_default();
        let at_ms = serde_json::from_value(at_ms).map_err(|error| refused(format!("at_ms: {error}")))?;
        let profile = serde_json::from_value(fields.into()).map_err(|error| refused(error.to_string()))?;
        Ok(Self { at_ms, profile })
    }
}

impl TryFrom<Unchecked> for Schedule {
    type Error = Error;
    fn try_from(unchecked: Unchecked) -> Result<Self> {
        Self::new(unchecked.steps, unchecked.blackouts)
    }
}

impl Profile {
    /// What the queue holds at this rate.
    pub(super) fn queue_bytes_at_rate(&self) -> u64 {
        let ms = if self.queue_ms > 0.0 { self.queue_ms } else { DEFAULT_QUEUE_MS };
        let of_time = (ms * self.rate_kbps / 8.0) as u64;
        match (self.queue_ms > 0.0, self.queue_bytes) {
            (_, 0) => of_time,
            (true, bytes) => of_time.min(bytes),
            (false, bytes) => bytes,
        }
    }

    pub(super) fn bucket_bits(&self) -> f64 {
        self.bucket_bytes as f64 * 8.0
    }

    fn check(&self) -> Result<()> {
        let times = [
            ("delay_ms", self.delay_ms),
            ("jitter_ms", self.jitter_ms),
            ("reorder_delay_ms", self.reorder_delay_ms),
            ("queue_ms", self.queue_ms),
        ];
        let shares = [
            ("loss_percent", self.loss_percent),
            ("duplicate_percent", self.duplicate_percent),
            ("reorder_percent", self.reorder_percent),
        ];
        for (name, value) in times {
            within(name, value, 0.0..=MAX_DELAY_MS)?;
        }
        for (name, value) in shares {
            within(name, value, 0.0..=100.0)?;
        }
        for (name, bytes) in [("bucket_bytes", self.bucket_bytes), ("queue_bytes", self.queue_bytes)] {
            within(name, bytes as f64, 0.0..=MAX_BYTES as f64)?;
        }
        if self.rate_kbps != 0.0 {
            within("rate_kbps", self.rate_kbps, RATES_KBPS)?;
        }
        if let Some(burst) = self.burst {
            within("burst loss_percent", burst.loss_percent, 0.0..=90.0)?;
            within("burst length", burst.length, 1.0..=10_000.0)?;
        }
        if self.reorder_percent > 0.0 && self.reorder_delay_ms == 0.0 {
            return Err(refused("reorder_percent needs reorder_delay_ms: how long packets are held back".into()));
        }
        Ok(())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.rate_kbps > 0.0 {
            parts.push(format!("{} kbit/s, queue {} bytes", self.rate_kbps, self.queue_bytes_at_rate()));
        }
        if self.delay_ms > 0.0 || self.jitter_ms > 0.0 {
            let order = if self.jitter_reorders { ", any order" } else { "" };
            parts.push(format!("delay {} ms, deviation {} ms{order}", self.delay_ms, self.jitter_ms));
        }
        if self.loss_percent > 0.0 {
            parts.push(format!("loss {} %", self.loss_percent));
        }
        if let Some(burst) = self.burst {
            parts.push(format!("loss {} % in bursts of {}", burst.loss_percent, burst.length));
        }
        if self.reorder_percent > 0.0 {
            parts.push(format!("{} % held back {} ms", self.reorder_percent, self.reorder_delay_ms));
        }
        if self.duplicate_percent > 0.0 {
            parts.push(format!("{} % twice", self.duplicate_percent));
        }
        if parts.is_empty() {
            parts.push("clean".into());
        }
        f.write_str(&parts.join("; "))
    }
}

impl Burst {
    /// The probabilities that a burst begins, and ends, with a packet.
    pub(super) fn transitions(&self) -> (f64, f64) {
        let loss = self.loss_percent / 100.0;
        let end = 1.0 / self.length;
        ((end * loss / (1.0 - loss)).min(1.0), end)
    }
}

fn within(name: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(refused(format!("{name} is {value}, not from {} to {}", range.start(), range.end())))
}

fn refused(message: String) -> Error {
    Error::new(ErrorCode::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_from_json_and_tells_a_mistake_by_its_name() {
        let read = |text: &str| serde_json::from_str::<Schedule>(text);
        let schedule =
            read(r#"{"steps": [{"at_ms": 0, "rate_kbps": 2000}, {"at_ms": 30000, "rate_kbps": 500}]}"#).unwrap();
        assert_eq!(schedule.at(Duration::from_millis(29_999)).rate_kbps, 2000.0);
        assert_eq!(schedule.at(Duration::from_secs(30)).rate_kbps, 500.0);
        assert_eq!(schedule.next_change(Duration::ZERO), Some(Duration::from_secs(30)));
        assert_eq!(schedule.next_change(Duration::from_secs(30)), None);
        let again = read(&serde_json::to_string(&schedule).unwrap()).unwrap();
        assert_eq!(again, schedule);

        for (text, named) in [
            (r#"{"steps": [{"at_ms": 0, "loss_percent": 101}]}"#, "loss_percent"),
            (r#"{"steps": [{"at_ms": 0, "loss": 5}]}"#, "loss"),
            (r#"{"steps": [{"at_ms": 0, "rate_kbps": 0.5}]}"#, "rate_kbps"),
            (r#"{"steps": [{"at_ms": 0, "delay_ms": -1}]}"#, "delay_ms"),
            (r#"{"steps": [{"at_ms": 5}, {"at_ms": 5}]}"#, "order"),
            (r#"{"steps": [{"at_ms": 0, "burst": {"loss_percent": 5, "length": 0}}]}"#, "burst length"),
            (r#"{"steps": [{"at_ms": 0, "reorder_percent": 5}]}"#, "reorder_delay_ms"),
            (r#"{"blackouts": [{"at_ms": 0, "length_ms": 18446744073709551615}]}"#, "lasts"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn not_a_number_is_refused() {
        assert!(Schedule::constant(Profile { delay_ms: f64::NAN, ..Profile::default() }).is_err());
        assert!(Schedule::constant(Profile { loss_percent: f64::INFINITY, ..Profile::default() }).is_err());
    }

    #[test]
    fn the_queue_is_the_smaller_of_time_and_bytes() {
        let profile = Profile { rate_kbps: 800.0, ..Profile::default() };
        assert_eq!(profile.queue_bytes_at_rate(), 20_000, "200 ms");
        assert_eq!(Profile { queue_ms: 100.0, ..profile }.queue_bytes_at_rate(), 10_000);
        assert_eq!(Profile { queue_bytes: 50_000, ..profile }.queue_bytes_at_rate(), 50_000);
        assert_eq!(Profile { queue_ms: 100.0, queue_bytes: 5_000, ..profile }.queue_bytes_at_rate(), 5_000);
    }
}
