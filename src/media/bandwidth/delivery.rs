//! How much arrives.

use std::collections::VecDeque;
use std::time::Duration;

/// Over so long it is measured: some frames of video, and yet a change is seen at once.
const WINDOW: Duration = Duration::from_millis(300);
/// "Of late".
const RECENT: Duration = Duration::from_millis(150);
/// The highest rate is that of the last so many windows.
const REMEMBERED: usize = 6;
/// Packets in the window at most: more than 300 Mbit/s of full ones.
const MAX_PACKETS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Delivery {
    packets: VecDeque<(Duration, u32)>,
    bytes: u64,
    began: Option<Duration>,
    /// The rates at the ends of the last windows, in bit/s.
    past: VecDeque<f64>,
    last_kept: Duration,
}

impl Delivery {
    pub(super) fn packet(&mut self, arrived: Duration, bytes: u32) {
        let began = *self.began.get_or_insert(arrived);
        self.packets.push_back((arrived, bytes));
        self.bytes += u64::from(bytes);
        let from = arrived.saturating_sub(WINDOW);
        while let Some((first, bytes)) = self.packets.front().copied()
            && (first <= from || self.packets.len() > MAX_PACKETS)
        {
            self.packets.pop_front();
            self.bytes -= u64::from(bytes);
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
        let (last, _) = self.packets.back()?;
        (*last >= self.began? + WINDOW).then(|| self.bytes as f64 * 8.0 / WINDOW.as_secs_f64())
    }

    /// Of half a window, in bit/s: nothing before the first packets.
    pub(super) fn rate_of_late_bps(&self) -> f64 {
        let Some((last, _)) = self.packets.back() else { return 0.0 };
        let recent = self.packets.iter().rev().take_while(|(arrived, _)| *arrived + RECENT > *last);
        recent.map(|(_, bytes)| f64::from(*bytes)).sum::<f64>() * 8.0 / RECENT.as_secs_f64()
    }

    /// The highest for some windows: sources are uneven.
    pub(super) fn highest_bps(&self) -> f64 {
        self.past.iter().copied().chain(self.rate_bps()).fold(0.0, f64::max)
    }
}
