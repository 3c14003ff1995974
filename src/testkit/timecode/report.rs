//! What a receiver of time-coded media noticed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Nothing for this long at the end means that a medium does not come any more, in milliseconds.
const GONE_MS: f64 = 2000.0;

/// How values are spread. In the unit of the field that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Values measured.
    pub count: u64,
    pub min: f64,
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoReport {
    /// Of the last picture, in pixels.
    pub width: u32,
    pub height: u32,
    /// Different pictures of this stream.
    pub shown: u64,
    /// Captured between the first and the last one shown, and never shown: lost, or left out by the sender.
    pub missing: u64,
    /// The same picture once more.
    pub repeated: u64,
    /// Older than one shown before.
    pub out_of_order: u64,
    /// Pictures without a readable time code.
    pub unreadable: u64,
    /// Pictures of another stream.
    pub foreign: u64,
    /// Pictures a second, from the first to the last.
    pub fps: f64,
    /// From capture to sight, in milliseconds.
    pub latency_ms: Option<Spread>,
    /// Times that the picture stood, as WebRTC's `freezeCount` has it (W3C webrtc-stats): for more than the mean time
    /// between the last 30 pictures and 150 ms, and more than three times that mean.
    pub freezes: u64,
    /// How long it stood in all, in milliseconds.
    pub frozen_ms: f64,
    /// The longest time from one picture to the next, in milliseconds.
    pub longest_gap_ms: f64,
    /// When the report was made, the last picture was so old, in milliseconds.
    pub last_ms_ago: f64,
}

/// What was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AudioReport {
    /// Frames of 20 ms, with or without the tone in them.
    pub frames: u64,
    /// Time marks heard.
    pub marks: u64,
    /// Time marks between the first and the last that were not heard.
    pub marks_missing: u64,
    /// From capture to ear, in milliseconds.
    pub latency_ms: Option<Spread>,
    /// Times that there was no sound, after the pilot tone was first heard.
    pub silences: u64,
    /// How long they were in all, in milliseconds.
    pub silent_ms: f64,
    /// Places where the pilot tone did not go on as it should have.
    pub jumps: u64,
    /// When the report was made, the tone had been heard so long ago, in milliseconds.
    pub last_ms_ago: f64,
}

/// What one receiver noticed of one sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `None`: no picture of the sender was ever seen.
    pub video: Option<VideoReport>,
    /// `None`: no tone was ever heard.
    pub audio: Option<AudioReport>,
    /// How much later the sound is than the picture, in milliseconds; below zero: earlier.
    pub av_offset_ms: Option<Spread>,
}

/// Which media go one way only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneWay {
    pub audio: bool,
    pub video: bool,
}

impl Report {
    /// Pictures were seen, and still are.
    pub fn sees(&self) -> bool {
        self.video.is_some_and(|video| video.last_ms_ago < GONE_MS)
    }

    /// The tone was heard, and still is.
    pub fn hears(&self) -> bool {
        self.audio.is_some_and(|audio| audio.last_ms_ago < GONE_MS)
    }
}

/// The media that one of two sides gets from the other, which does not get it back.
pub fn one_way(here: &Report, there: &Report) -> OneWay {
    OneWay { audio: here.hears() != there.hears(), video: here.sees() != there.sees() }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.video {
            Some(v) => {
                let (width, height, fps) = (v.width, v.height, v.fps);
                writeln!(f, "video    {width}x{height}, {fps:.1} fps, {} shown, {} missing", v.shown, v.missing)?;
                if let Some(latency) = v.latency_ms {
                    writeln!(f, "         latency {latency} ms")?;
                }
                let (count, sum, longest) = (v.freezes, v.frozen_ms, v.longest_gap_ms);
                writeln!(f, "         {count} freezes ({sum:.0} ms), longest gap {longest:.0} ms")?;
                if v.unreadable + v.out_of_order + v.foreign > 0 {
                    let (unreadable, disorder, foreign) = (v.unreadable, v.out_of_order, v.foreign);
                    writeln!(f, "         {unreadable} unreadable, {disorder} out of order, {foreign} foreign")?;
                }
            }
            None => writeln!(f, "video    none")?,
        }
        match &self.audio {
            Some(a) => {
                let all = a.marks + a.marks_missing;
                writeln!(f, "audio    {} of {all} time marks heard", a.marks)?;
                if let Some(latency) = a.latency_ms {
                    writeln!(f, "         latency {latency} ms")?;
                }
                writeln!(f, "         {} silences ({:.0} ms), {} jumps", a.silences, a.silent_ms, a.jumps)?;
            }
            None => writeln!(f, "audio    none")?,
        }
        match &self.av_offset_ms {
            Some(offset) => write!(f, "A/V      sound later than picture by {offset} ms"),
            None => write!(f, "A/V      not measured"),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, p50, p95, max, .. } = self;
        write!(f, "{p50:.1} (p95 {p95:.1}, {min:.1} to {max:.1})")
    }
}
