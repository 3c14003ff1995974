//! Trying a device out, before somebody is called with it.

use crate::output;
use serde_json::json;
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use trill::base::{Error, ErrorCode, Result};
use trill::device::camera::CameraSource;
use trill::device::{AudioInput, AudioOutput, AudioSource, Next, Tone, VideoSource, write_png};
use trill::media::frame::{AudioFrame, VideoFrame};
use trill::media::level::minus_dbov;

/// Softer than this, in dB below overload, is what a muted microphone gives.
const SILENT: u8 = 75;
/// What waits to be played while the test tone sounds.
const AHEAD: usize = 3;
/// How late one hears oneself: enough to tell it from one's own voice in the room.
const LOOPBACK_FRAMES: usize = 25;
/// What a camera is asked for, as in a call.
const PICTURE: (u32, u32, u32) = (1280, 720, 30);
/// A camera needs a moment to find its exposure.
const SETTLE: Duration = Duration::from_secs(1);

pub struct Tryout {
    pub json: bool,
    pub time: Duration,
}

impl Tryout {
    pub fn microphone(&self, name: Option<String>) -> Result<()> {
        let mut microphone = AudioInput::Microphone { name }.open()?.ok_or_else(|| Error::from(ErrorCode::Internal))?;
        let live = !self.json && std::io::stdout().is_terminal();
        if !self.json {
            println!("Say something: {} s.", self.time.as_secs());
        }
        let start = Instant::now();
        let (mut frame, mut loudest, mut since_shown, mut frames) = (AudioFrame::SILENCE, u8::MAX, u8::MAX, 0u32);
        while start.elapsed() < self.time {
            match microphone.next_frame(&mut frame)? {
                Next::Frame => {}
                Next::Nothing => continue,
                Next::Ended => break,
            }
            let level = minus_dbov(&frame.samples);
            loudest = loudest.min(level);
            since_shown = since_shown.min(level);
            frames += 1;
            if frames.is_multiple_of(5) {
                let shown = std::mem::replace(&mut since_shown, u8::MAX);
                if live {
                    print!("\r{}", meter(shown));
                    let _ = std::io::stdout().flush();
                } else if self.json {
                    output::line(json!({"event": "level", "dbov": -i32::from(shown)}));
                }
            }
        }
        let heard = frames > 0 && loudest < SILENT;
        if self.json {
            let loudest = (frames > 0).then(|| -i32::from(loudest));
            output::line(json!({"event": "result", "heard": heard, "frames": frames, "loudest_dbov": loudest}));
        } else {
            let clear = if live { "\r\x1b[K" } else { "" };
            match (frames, heard) {
                (0, _) => println!("{clear}The microphone brought no sound at all; is it taken by another program?"),
                (_, false) => println!("{clear}Nothing but silence: is the microphone muted, or the wrong one chosen?"),
                _ => println!("{clear}The microphone works; the loudest was {loudest} dB below overload."),
            }
        }
        Ok(())
    }

    pub fn speaker(&self, name: Option<String>) -> Result<()> {
        let mut speaker = AudioOutput::Speaker { name }.open()?;
        let mut tone = Tone::new(440.0)?;
        if !self.json {
            println!("Playing a tone: {} s.", self.time.as_secs());
        }
        for _ in 0..AHEAD {
            speaker.play(&AudioFrame::SILENCE)?;
        }
        let start = Instant::now();
        let mut frame = AudioFrame::SILENCE;
        while start.elapsed() < self.time {
            // The tone comes at its own pace, which is the speaker's as nearly as a test of some seconds asks for.
            if tone.next_frame(&mut frame)? == Next::Frame {
                speaker.play(&frame)?;
            }
        }
        let end = Instant::now();
        while speaker.queued().is_some_and(|queued| !queued.is_zero()) && end.elapsed() < Duration::from_millis(500) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.json {
            output::line(json!({"event": "result", "played_ms": start.elapsed().as_millis() as u64}));
        } else {
            println!("Played. If you heard nothing, look at the volume, or name another speaker.");
        }
        Ok(())
    }

    pub fn loopback(&self) -> Result<()> {
        let missing = || Error::from(ErrorCode::Internal);
        let mut microphone = AudioInput::Microphone { name: None }.open()?.ok_or_else(missing)?;
        let mut speaker = AudioOutput::Speaker { name: None }.open()?;
        if !self.json {
            println!(
                "Say something, with headphones on: you hear it half a second later, for {} s.",
                self.time.as_secs()
            );
        }
        let start = Instant::now();
        let (mut loudest, mut played) = (u8::MAX, 0u32);
        let mut late = VecDeque::from(vec![AudioFrame::SILENCE; LOOPBACK_FRAMES]);
        let mut frame = AudioFrame::SILENCE;
        while start.elapsed() < self.time {
            if microphone.next_frame(&mut frame)? == Next::Frame {
                loudest = loudest.min(minus_dbov(&frame.samples));
                late.push_back(frame.clone());
                speaker.play(&late.pop_front().unwrap_or_default())?;
                played += 1;
            }
        }
        let heard = played > 0 && loudest < SILENT;
        if self.json {
            output::line(
                json!({"event": "result", "heard": heard, "frames": played, "loudest_dbov": -i32::from(loudest)}),
            );
        } else if heard {
            println!(
                "The loudest was {loudest} dB below overload. If you did not hear it, look at the speaker's volume."
            );
        } else {
            println!("Nothing but silence: is the microphone muted, or the wrong one chosen?");
        }
        Ok(())
    }

    pub fn camera(&self, name: Option<String>, path: &Path) -> Result<()> {
        let (width, height, fps) = PICTURE;
        let mut camera = CameraSource::open(name.as_deref(), (width, height), fps)?;
        let format = camera.format();
        let mut frame = VideoFrame::black(2, 2)?;
        let (mut pictures, mut first) = (0u32, None);
        let mut last = Duration::ZERO;
        let start = Instant::now();
        loop {
            if camera.next_frame(&mut frame)? == Next::Frame {
                pictures += 1;
                last = frame.timestamp;
                first.get_or_insert(last);
            }
            let shown = last.saturating_sub(first.unwrap_or(last));
            if pictures > 1 && shown >= SETTLE.min(self.time) || start.elapsed() > self.time && pictures > 0 {
                break;
            }
        }
        write_png(&frame, path)?;
        let seconds = last.saturating_sub(first.unwrap_or(last)).as_secs_f64();
        let rate = if seconds > 0.0 { f64::from(pictures - 1) / seconds } else { 0.0 };
        let pixels = format!("{:?}", format.pixels).to_lowercase();
        if self.json {
            output::line(json!({
                "event": "result", "width": frame.width(), "height": frame.height(), "pixels": pixels, "pictures": pictures,
                "fps": (rate * 10.0).round() / 10.0, "wanted_fps": format.fps, "picture": path,
            }));
        } else {
            println!(
                "The camera works: {}x{} ({pixels}), {rate:.1} of {} pictures a second; one is in {}.",
                frame.width(),
                frame.height(),
                format.fps,
                path.display()
            );
        }
        Ok(())
    }
}

/// A bar from 60 dB below overload up to it.
fn meter(minus_dbov: u8) -> String {
    const WIDTH: usize = 40;
    let filled = usize::from(60u8.saturating_sub(minus_dbov)) * WIDTH / 60;
    format!("[{}{}] {:>4} dB", "#".repeat(filled), " ".repeat(WIDTH - filled), -i32::from(minus_dbov))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_is_empty_for_silence_and_full_at_overload() {
        assert_eq!(meter(127), format!("[{}] -127 dB", " ".repeat(40)));
        assert_eq!(meter(0), format!("[{}]    0 dB", "#".repeat(40)));
        assert_eq!(meter(30).matches('#').count(), 20);
    }
}
