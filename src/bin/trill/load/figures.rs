//! What a load found, as JSON and for people.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Serialize)]
pub struct Report {
    pub devices: u32,
    pub connected_in_s: f64,
    /// Connections that the server or the network ended.
    pub lost_connections: u64,
    /// Calls that were to be made.
    pub calls_due: u64,
    /// Of these, those for which no pair of devices was free.
    pub calls_held_back: u64,
    /// Calls of which the callee's device heard.
    pub calls_rung: u64,
    /// Calls that were ended as they should.
    pub calls_ended: u64,
    /// Calls rung, a second.
    pub rate: f64,
    pub initiate_to_incoming_ms: Quantiles,
    pub accept_to_accepted_ms: Quantiles,
    /// By error code.
    pub failures: BTreeMap<String, u64>,
    pub server: Server,
}

#[derive(Debug, Serialize)]
pub struct Server {
    /// Of one core, while calls were made.
    pub cpu_percent: f64,
    /// Resident, in bytes: before the devices came, with all of them idle, and at most.
    pub memory_start: u64,
    pub memory_idle: u64,
    pub memory_peak: u64,
    pub memory_per_idle_device: u64,
}

/// In milliseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Quantiles {
    /// Of microseconds; all 0 when there are none.
    pub fn of(mut samples: Vec<u32>) -> Self {
        samples.sort_unstable();
        // The smallest one that at least this share of all is not above.
        let at = |share: f64| {
            let rank = ((samples.len() as f64 * share).ceil() as usize).clamp(1, samples.len().max(1));
            samples.get(rank - 1).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p95, p99, max } = self;
        write!(f, "p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let server = &self.server;
        writeln!(f, "devices               {} connected in {:.1} s", self.devices, self.connected_in_s)?;
        writeln!(f, "calls                 {} of {} rung, {:.1} a second", self.calls_rung, self.calls_due, self.rate)?;
        writeln!(f, "initiate to incoming  {}", self.initiate_to_incoming_ms)?;
        writeln!(f, "accept to accepted    {}", self.accept_to_accepted_ms)?;
        writeln!(f, "server CPU            {:.0} % of a core", server.cpu_percent)?;
        writeln!(
            f,
            "server memory         {:.0} MiB at first, {:.0} MiB with idle devices ({:.1} KB each), {:.0} MiB at most",
            mib(server.memory_start),
            mib(server.memory_idle),
            server.memory_per_idle_device as f64 / 1000.0,
            mib(server.memory_peak),
        )?;
        let unended = self.calls_rung.saturating_sub(self.calls_ended);
        if unended > 0 || self.calls_held_back > 0 || self.lost_connections > 0 {
            writeln!(
                f,
                "not as it should be   {} calls not ended, {} with no pair free, {} connections lost",
                unended, self.calls_held_back, self.lost_connections
            )?;
        }
        for (code, count) in &self.failures {
            writeln!(f, "failed                {count} with {code}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_samples() {
        let hundred = Quantiles::of((1..=100).rev().map(|n| n * 1000).collect());
        assert_eq!(hundred, Quantiles { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 });
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
        assert_eq!(Quantiles::of(vec![7000]).p99, 7.0);
    }
}
