//! How much arrives.

use std::collections::VecDeque;
use std::time::Duration;

/// Over so long it is measured: some frames of video, and yet a change is seen at once.
const WINDOW: Duration = Duration::from_millis(300);
/// "Of late".
const RECENT: Duration = Duration::from_millis(150);
/// A shorter time at the bottleneck tells nothing.
const LEAST_BUSY: Duration = Duration::from_millis(40);
/// In less than that a path that carries packets in bunches tells too much.
const LEAST_RELEASE: Duration = Duration::from_millis(60);
/// The highest rate is that of the last so many windows.
const REMEMBERED: usize = 6;
/// Packets in the window at most: more than 300 Mbit/s of full ones.
const MAX_PACKETS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Delivery {
    packets: VecDeque<Arrival>,
    bytes: u64,
    began: Option<Duration>,
    /// The rates at the ends of the last windows, in bit/s.
    past: VecDeque<f64>,
    last_kept: Duration,
}

#[derive(Debug)]
struct Arrival {
    at: Duration,
    bytes: u32,
    /// Since the packet before, if this one waited in the queue all the while: so much time the bottleneck took for it.
    busy: Option<Duration>,
}

impl Delivery {
    /// `waited`: in the bottleneck's queue.
    pub(super) fn packet(&mut self, arrived: Duration, bytes: u32, waited: Duration) {
        let began = *self.began.get_or_insert(arrived);
        let since = self.packets.back().and_then(|last| arrived.checked_sub(last.at));
        self.packets.push_back(Arrival { at: arrived, bytes, busy: since.filter(|since| *since <= waited) });
        self.bytes += u64::from(bytes);
        let from = arrived.saturating_sub(WINDOW);
        while let Some(first) = self.packets.front()
            && (first.at <= from || self.packets.len() > MAX_PACKETS)
        {
            self.bytes -= u64::from(first.bytes);
            self.packets.pop_front();
        }
        if arrived >= self.last_kept + WINDOW && arrived >= began + WINDOW {
            self.last_kept = arrived;
            if self.past.len() == REMEMBERED {
                self.past.pop_front();
            }
            self.past.extend(self.rate_bps());
        }
    }

    /// `None` before the first window is full.
    pub(super) fn rate_bps(&self) -> Option<f64> {
        let last = self.packets.back()?.at;
        (last >= self.began? + WINDOW).then(|| self.bytes as f64 * 8.0 / WINDOW.as_secs_f64())
    }

    /// Of half a window, in bit/s: nothing before the first packets. Where the bottleneck was busy, only that time counts: what
    /// comes after the end of a queue tells what was sent.
    pub(super) fn rate_of_late_bps(&self) -> f64 {
        let Some(last) = self.packets.back().map(|last| last.at) else { return 0.0 };
        let recent = || self.packets.iter().rev().take_while(|packet| packet.at + RECENT > last);
        let rate = |bytes: u64, time: Duration| bytes as f64 * 8.0 / time.as_secs_f64();
        let busy = recent().filter_map(|packet| Some((u64::from(packet.bytes), packet.busy?)));
        let (bytes, time) = busy.fold((0, Duration::ZERO), |sum, packet| (sum.0 + packet.0, sum.1 + packet.1));
        let all = rate(recent().map(|packet| u64::from(packet.bytes)).sum(), RECENT);
        if time < LEAST_BUSY { all } else { all.max(rate(bytes, time)) }
    }

    /// When the last packet arrived.
    pub(super) fn last(&self) -> Duration {
        self.packets.back().map_or(Duration::ZERO, |last| last.at)
    }

    /// The highest rate of late, and after that time, at which a queue was emptied without a break, in bit/s: the bottleneck carries
    /// so much at least.
    pub(super) fn released_bps(&self, after: Duration) -> Option<f64> {
        let last = self.packets.back()?.at;
        let (mut bytes, mut time, mut highest) = (0, Duration::ZERO, None::<f64>);
        for packet in self.packets.iter().rev().take_while(|packet| packet.at + RECENT > last && packet.at > after) {
            let Some(busy) = packet.busy else { break };
            (bytes, time) = (bytes + u64::from(packet.bytes), time + busy);
            if time >= LEAST_RELEASE {
                let rate = bytes as f64 * 8.0 / time.as_secs_f64();
                highest = Some(highest.map_or(rate, |highest| highest.max(rate)));
            }
        }
        highest
    }

    /// The highest for some windows: sources are uneven.
    pub(super) fn highest_bps(&self) -> f64 {
        self.past.iter().copied().chain(self.rate_bps()).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_end_of_a_queue_the_rate_is_that_of_the_bottleneck_and_not_what_is_sent() {
        // A key frame at once on a link of 1 Mbit/s, 1000 bytes in 8 ms; then a voice.
        let mut delivery = Delivery::default();
        let ms = |ms| Duration::from_millis(ms);
        for n in 0..12 {
            delivery.packet(ms(1000 + 8 * n), 1000, ms(8 * n));
        }
        for n in 0..4 {
            delivery.packet(ms(1110 + 20 * n), 120, Duration::ZERO);
        }
        let rate = delivery.rate_of_late_bps();
        assert!((900e3..1100e3).contains(&rate), "{rate}");
    }
}
