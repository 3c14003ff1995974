//! From what was seen and heard, and when, to the report.

use super::listen::{Pilot, ToneReader};
use super::picture::{self, PictureMark};
use super::report::{AudioReport, Report, Spread, VideoReport};
use crate::media::frame::{AudioFrame, FRAME_DURATION, VideoFrame};
use std::collections::VecDeque;
use std::time::Duration;

/// Values of one series kept at most.
const MAX_VALUES: usize = 20_000;
/// Pictures over which the usual time between two is taken (W3C webrtc-stats, freezeCount).
const FREEZE_WINDOW: usize = 30;
/// What a freeze is at least longer than the usual time.
const FREEZE_MARGIN: Duration = Duration::from_millis(150);
/// The picture's delay is compared with the sound's when both were measured within this time.
const SAME_TIME: Duration = Duration::from_millis(500);

/// Watches one sender's media as one receiver gets it. Its memory is bounded, however long it watches.
pub struct Analyser {
    stream: u8,
    video: Seen,
    audio: Heard,
    offset: Series,
}

#[derive(Default)]
struct Seen {
    report: VideoReport,
    first: Option<(u64, Duration)>,
    /// The newest picture shown: its number, made not to wrap, and when.
    last: Option<(u64, Duration)>,
    latency: Series,
    /// Of the last picture, in milliseconds, and when.
    last_latency: Option<(f64, Duration)>,
    gaps: VecDeque<Duration>,
}

#[derive(Default)]
struct Heard {
    reader: ToneReader,
    report: AudioReport,
    first_mark: Option<u64>,
    last_mark: Option<u64>,
    latency: Series,
    /// When the pilot or a mark was last heard.
    last: Option<Duration>,
    silent: bool,
}

/// Values of which every one is kept at first, then every second, and so on.
#[derive(Default)]
struct Series {
    values: Vec<f64>,
    stride: u64,
    count: u64,
}

impl Analyser {
    /// Watches pictures of `stream`; those of others are only counted. The tone does not say whose it is: listen to
    /// one sender at a time.
    pub fn new(stream: u8) -> Self {
        Self { stream, video: Seen::default(), audio: Heard::default(), offset: Series::default() }
    }

    /// A picture was shown at `arrival`.
    pub fn video(&mut self, frame: &VideoFrame, arrival: Duration) {
        match picture::read(frame) {
            Some(mark) if mark.stream == self.stream => {
                let report = &mut self.video.report;
                (report.width, report.height) = (frame.width(), frame.height());
                self.video.shown(mark, arrival);
            }
            Some(_) => self.video.report.foreign += 1,
            None => self.video.report.unreadable += 1,
        }
    }

    /// 20 ms of sound, whose first sample was played at `arrival`.
    pub fn audio(&mut self, frame: &AudioFrame, arrival: Duration) {
        let Some((latency, heard_at)) = self.audio.heard(frame, arrival) else { return };
        if let Some((video, seen_at)) = self.video.last_latency
            && heard_at.abs_diff(seen_at) < SAME_TIME
        {
            self.offset.push(latency - video);
        }
    }

    /// What was noticed until `now`. A freeze or silence that is not over counts as far as it got.
    pub fn report(&self, now: Duration) -> Report {
        Report { video: self.video.report(now), audio: self.audio.report(now), av_offset_ms: self.offset.spread() }
    }
}

impl Seen {
    fn shown(&mut self, mark: PictureMark, arrival: Duration) {
        let number = match self.last {
            // Of all the numbers that it may mean, the nearest to the last: 24 bits, and their sign.
            Some((last, _)) => {
                last.wrapping_add_signed(i64::from((mark.number.wrapping_sub(last as u32) << 8) as i32 >> 8))
            }
            // So that one before the first is no number below zero.
            None => (1 << 24) + u64::from(mark.number),
        };
        match self.last {
            Some((last, _)) if number == last => return self.report.repeated += 1,
            Some((last, _)) if number < last => return self.report.out_of_order += 1,
            Some((_, at)) => self.gap(arrival.saturating_sub(at)),
            None => self.first = Some((number, arrival)),
        }
        self.last = Some((number, arrival));
        self.report.shown += 1;
        let latency = signed_ms(arrival, mark.captured(arrival));
        self.latency.push(latency);
        self.last_latency = Some((latency, arrival));
    }

    fn gap(&mut self, gap: Duration) {
        if self.is_freeze(gap) {
            self.report.freezes += 1;
            self.report.frozen_ms += ms(gap);
        }
        self.report.longest_gap_ms = self.report.longest_gap_ms.max(ms(gap));
        if self.gaps.len() == FREEZE_WINDOW {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }

    fn is_freeze(&self, gap: Duration) -> bool {
        let usual = self.gaps.iter().sum::<Duration>() / self.gaps.len().max(1) as u32;
        !self.gaps.is_empty() && gap > (usual * 3).max(usual + FREEZE_MARGIN)
    }

    fn report(&self, now: Duration) -> Option<VideoReport> {
        let ((first, began), (last, ended)) = (self.first?, self.last?);
        let mut report = self.report;
        let since = now.saturating_sub(ended);
        report.last_ms_ago = ms(since);
        report.longest_gap_ms = report.longest_gap_ms.max(ms(since));
        if self.is_freeze(since) {
            report.freezes += 1;
            report.frozen_ms += ms(since);
        }
        report.missing = (last - first + 1).saturating_sub(report.shown);
        let seconds = (ended - began).as_secs_f64();
        let rate = if seconds > 0.0 { (report.shown - 1) as f64 / seconds } else { 0.0 };
        report.fps = (rate * 1e3).round() / 1e3;
        report.latency_ms = self.latency.spread();
        Some(report)
    }
}

impl Heard {
    /// The delay of a mark, in milliseconds, and when it was heard.
    fn heard(&mut self, frame: &AudioFrame, arrival: Duration) -> Option<(f64, Duration)> {
        self.report.frames += 1;
        let mark = self.reader.push(frame, arrival);
        match self.reader.pilot() {
            Pilot::Silent => {
                if self.last.is_some() {
                    self.report.silences += u64::from(!self.silent);
                    self.report.silent_ms += ms(FRAME_DURATION);
                    self.silent = true;
                }
            }
            Pilot::Covered => self.silent = false,
            pilot => {
                self.report.jumps += u64::from(pilot == Pilot::Jumped);
                self.last = Some(arrival);
                self.silent = false;
            }
        }
        let mark = mark.filter(|mark| self.last_mark.is_none_or(|last| mark.number > last))?;
        self.last_mark = Some(mark.number);
        self.last = Some(arrival);
        self.first_mark.get_or_insert(mark.number);
        self.report.marks += 1;
        let latency = signed_ms(mark.arrival, mark.captured);
        self.latency.push(latency);
        Some((latency, mark.arrival))
    }

    fn report(&self, now: Duration) -> Option<AudioReport> {
        let mut report = self.report;
        report.last_ms_ago = ms(now.saturating_sub(self.last?));
        if let (Some(first), Some(last)) = (self.first_mark, self.last_mark) {
            report.marks_missing = (last - first + 1).saturating_sub(report.marks);
        }
        report.latency_ms = self.latency.spread();
        Some(report)
    }
}

impl Series {
    fn push(&mut self, value: f64) {
        self.stride = self.stride.max(1);
        if self.count.is_multiple_of(self.stride) {
            if self.values.len() == MAX_VALUES {
                let mut at = 0;
                self.values.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.stride *= 2;
            }
            self.values.push(value);
        }
        self.count += 1;
    }

    fn spread(&self) -> Option<Spread> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get((values.len().saturating_sub(1) as f64 * share).round() as usize).copied();
        let micros = |value: f64| (value * 1e3).round() / 1e3;
        let (min, p50, p95, max) = (at(0.0)?, at(0.5)?, at(0.95)?, at(1.0)?);
        Some(Spread { count: self.count, min: micros(min), p50: micros(p50), p95: micros(p95), max: micros(max) })
    }
}

/// In whole microseconds, as reports are read by people too.
fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

fn signed_ms(later: Duration, earlier: Duration) -> f64 {
    match later.checked_sub(earlier) {
        Some(time) => ms(time),
        None => -ms(earlier - later),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_bounded_and_its_spread_stays_right() {
        let mut series = Series::default();
        (0..1_000_000).for_each(|n| series.push(f64::from(n)));
        assert!(series.values.len() <= MAX_VALUES);
        let spread = series.spread().unwrap();
        assert_eq!(spread.count, 1_000_000);
        assert!((spread.p50 - 500_000.0).abs() < 1000.0 && (spread.p95 - 950_000.0).abs() < 1000.0, "{spread:?}");
        assert!(Series::default().spread().is_none());
    }
}
