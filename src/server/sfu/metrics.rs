//! Counters of the SFU, for the operator's `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! metrics {
    ($( $kind:ident $name:ident, $help:literal; )*) => {
        /// Gauges and counters, updated as things happen and readable at any time from any thread.
        #[derive(Debug, Default)]
        pub struct SfuMetrics {
            $( #[doc = $help] pub(super) $name: AtomicU64, )*
        }

        impl SfuMetrics {
            /// Every value now, in a fixed order.
            pub fn samples(&self) -> Vec<Sample> {
                vec![ $( Sample {
                    name: concat!("trill_sfu_", stringify!($name)),
                    help: $help,
                    kind: SampleKind::$kind,
                    value: self.$name.load(Relaxed),
                }, )* ]
            }
        }
    };
}

metrics! {
    Gauge rooms, "Rooms open now.";
    Gauge participants, "Participants in all rooms now.";
    Gauge tracks, "Tracks published now.";
    Gauge subscriptions, "Tracks forwarded to a subscriber now.";
    Counter packets_in_total, "UDP datagrams received.";
    Counter bytes_in_total, "Bytes of UDP datagrams received.";
    Counter packets_out_total, "UDP datagrams sent.";
    Counter bytes_out_total, "Bytes of UDP datagrams sent.";
    Counter packets_forwarded_total, "RTP packets written to subscribers.";
    Counter packets_dropped_total, "Datagrams dropped: unknown sender, full queue, or refused by the socket.";
    Counter packets_malformed_total, "RTP packets not forwarded: their payload is not what their track carries.";
    Counter packets_recovered_total, "Packets of sound that were lost on their way here and taken from redundant ones (RFC 2198).";
    Counter nacks_in_total, "Retransmissions that subscribers asked for (RFC 4585 NACK).";
    Counter nacks_out_total, "Retransmissions that were asked of publishers.";
    Counter plis_in_total, "Key frames that subscribers asked for (PLI or FIR).";
    Counter plis_out_total, "Key frames that were asked of publishers, after requests were merged.";
    Counter data_messages_total, "Data messages delivered, one for each receiver.";
    Counter data_dropped_total, "Data messages dropped: too large, not granted, or a receiver too slow.";
    Counter joins_total, "Participants that joined.";
    Counter joins_refused_total, "Attempts to join that were refused.";
    Counter resumes_total, "Participants that resumed after their signalling broke.";
    Counter room_failures_total, "Rooms closed by a fault inside the server.";
}

/// One value of [`SfuMetrics`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: SampleKind,
    pub value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    Counter,
    Gauge,
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}

/// Moves a gauge by `by`, which may be negative.
pub(super) fn shift(gauge: &AtomicU64, by: i64) {
    gauge.fetch_add(by as u64, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_goes_up_and_down_and_names_are_unique() {
        let metrics = SfuMetrics::default();
        shift(&metrics.rooms, 2);
        shift(&metrics.rooms, -1);
        assert_eq!(metrics.samples()[0].value, 1);
        let names: std::collections::HashSet<_> = metrics.samples().iter().map(|s| s.name).collect();
        assert_eq!(names.len(), metrics.samples().len());
    }
}
