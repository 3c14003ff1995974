//! The line that stands below the others while one talks: time, rates, loss, pictures, levels.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use trill::engine::SessionStats;

/// Below this nothing is shown of a level, in dB below overload.
const QUIET_DB: u64 = 60;

pub struct LiveLine {
    /// Nothing when there is no person to look at it.
    bar: Option<ProgressBar>,
    last: RefCell<Option<(Instant, Totals)>>,
}

/// Bytes so far.
#[derive(Clone, Copy, Default)]
struct Totals {
    sent_audio: u64,
    sent_video: u64,
    received_audio: u64,
    received_video: u64,
}

impl LiveLine {
    pub fn new(for_a_person: bool) -> Self {
        let bar = (for_a_person && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self { bar, last: RefCell::default() }
    }

    /// A line above the live one.
    pub fn say(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{words}")),
            None => println!("{words}"),
        }
    }

    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.last.replace(None);
    }

    pub fn show(&self, elapsed: Duration, muted: bool, paused: bool, stats: &SessionStats) {
        let Some(bar) = &self.bar else { return };
        let now = Instant::now();
        let totals = Totals::of(stats);
        let Some((then, before)) = self.last.replace(Some((now, totals))) else { return };
        let seconds = now.duration_since(then).as_secs_f64().max(0.001);
        let kbps = |now: u64, before: u64| (now.saturating_sub(before) as f64 * 8.0 / 1000.0 / seconds).round();
        let mut line = format!(
            "{:02}:{:02}  up {}+{} kbit/s  down {}+{} kbit/s",
            elapsed.as_secs() / 60,
            elapsed.as_secs() % 60,
            kbps(totals.sent_audio, before.sent_audio),
            kbps(totals.sent_video, before.sent_video),
            kbps(totals.received_audio, before.received_audio),
            kbps(totals.received_video, before.received_video),
        );
        let (lost, packets) = loss(stats);
        line += &format!("  loss {:.1} %", 100.0 * lost as f64 / (packets + lost).max(1) as f64);
        if let Some(video) = stats.received.iter().find_map(|track| track.video) {
            line += &format!("  {}x{} {} fps", video.width, video.height, (video.millifps + 500) / 1000);
        }
        let mine = stats.sent.iter().find_map(|track| track.audio).map_or(127, |audio| audio.minus_dbov);
        let theirs = stats.received.iter().filter_map(|track| track.audio).map(|audio| audio.minus_dbov).min();
        line += &format!("  you {}  them {}", meter(mine), meter(theirs.unwrap_or(127)));
        if muted {
            line += "  [muted]";
        }
        if paused {
            line += "  [video paused]";
        }
        bar.set_message(line);
        bar.tick();
    }
}

impl Totals {
    fn of(stats: &SessionStats) -> Self {
        Self {
            sent_audio: stats.sent.iter().filter_map(|t| t.audio).map(|a| a.bytes).sum(),
            sent_video: stats.sent.iter().filter_map(|t| t.video).map(|v| v.bytes).sum(),
            received_audio: stats.received.iter().filter_map(|t| t.audio).map(|a| a.bytes).sum(),
            received_video: stats.received.iter().filter_map(|t| t.video).map(|v| v.bytes).sum(),
        }
    }
}

/// Packets that never came, and those that did.
fn loss(stats: &SessionStats) -> (u64, u64) {
    stats.received.iter().fold((0, 0), |(lost, packets), track| {
        let audio = track.audio.map_or((0, 0), |a| (a.lost, a.packets));
        let video = track.video.map_or((0, 0), |v| (v.lost, v.packets));
        (lost + audio.0 + video.0, packets + audio.1 + video.1)
    })
}

/// Six steps from quiet to loud.
fn meter(minus_dbov: u64) -> String {
    let loud = QUIET_DB.saturating_sub(minus_dbov).min(QUIET_DB);
    let steps = (loud * 6).div_ceil(QUIET_DB) as usize;
    "#".repeat(steps) + &".".repeat(6 - steps)
}
