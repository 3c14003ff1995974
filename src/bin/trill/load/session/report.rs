//! What a load of sessions found, as JSON and for people.

use super::super::figures::Quantiles;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Serialize)]
pub struct Report {
    pub rooms: usize,
    /// In all rooms.
    pub publishers: usize,
    pub subscribers: usize,
    pub payload_bytes: usize,
    pub measured_s: f64,
    /// From the publishers to the server.
    pub packets_published: u64,
    /// What subscribers should have got of these, and did get.
    pub packets_due: u64,
    pub packets_forwarded: u64,
    pub packets_repeated: u64,
    pub loss_percent: f64,
    /// From the publisher's send call to the kernel's stamp at the subscriber's socket.
    pub added_delay_ms: Quantiles,
    /// Packets of the publishers that went out more than 1 ms after they were due.
    pub sent_late: u64,
    pub server: Server,
    /// What this command itself used, of one core.
    pub load_cpu_percent: f64,
    /// Participants that fell out while it ran, by error code.
    pub failures: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub struct Server {
    /// Of one core.
    pub cpu_percent: f64,
    /// Everything that the process did, for each packet that a subscriber got.
    pub cpu_us_per_packet: f64,
    /// Resident, in bytes: before anybody came, with the publishers alone, and with all at the end.
    pub memory_start: u64,
    pub memory_publishers: u64,
    pub memory_end: u64,
    pub memory_per_subscriber: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let server = &self.server;
        writeln!(
            f,
            "participants    {} publishers, {} subscribers, in {} rooms",
            self.publishers, self.subscribers, self.rooms
        )?;
        writeln!(
            f,
            "packets         {} of {} bytes in, {} out, {:.0} a second",
            self.packets_published,
            self.payload_bytes,
            self.packets_forwarded,
            self.packets_forwarded as f64 / self.measured_s
        )?;
        writeln!(
            f,
            "lost            {:.3} % ({} of {})",
            self.loss_percent,
            self.packets_due.saturating_sub(self.packets_forwarded),
            self.packets_due
        )?;
        let Quantiles { p50, p95, p99, max } = self.added_delay_ms;
        writeln!(f, "added delay     p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")?;
        writeln!(
            f,
            "server CPU      {:.2} us for each packet out, {:.0} % of a core",
            server.cpu_us_per_packet, server.cpu_percent
        )?;
        writeln!(
            f,
            "server memory   {:.1} MiB at first, {:.1} MiB with the publishers, {:.1} MiB at the end: {:.0} KB for each \
             subscriber",
            mib(server.memory_start),
            mib(server.memory_publishers),
            mib(server.memory_end),
            server.memory_per_subscriber as f64 / 1000.0
        )?;
        writeln!(f, "this command    {:.0} % of a core, {} packets sent late", self.load_cpu_percent, self.sent_late)?;
        for (code, count) in &self.failures {
            writeln!(f, "fell out        {count} with {code}")?;
        }
        Ok(())
    }
}
