//! `trill devices`: what this machine has to hear, speak and see with, and whether it works.

use crate::output;
use clap::Args;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use trill::base::{Error, ErrorCode, Result};
use trill::device::camera::{self, Camera, CameraFormat};
use trill::device::sound::{self, SoundDevice};
use trill::device::{AudioInput, AudioOutput, AudioSource, Next, Tone};
use trill::media::frame::AudioFrame;
use trill::media::level::minus_dbov;

/// Softer than this, in dB below overload, is what a muted microphone gives.
const SILENT: u8 = 75;
/// What waits to be played while the test tone sounds.
const AHEAD: usize = 3;

/// List microphones, speakers and cameras, or try one out
#[derive(Args)]
pub struct DevicesCommand {
    /// JSON lines instead of text
    #[arg(long)]
    json: bool,
    /// Show how loud a microphone hears, for some seconds: the default one, or the one of that name or id
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "default", conflicts_with = "test_speaker")]
    test_microphone: Option<String>,
    /// Play a tone on a speaker: the default one, or the one of that name or id
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "default")]
    test_speaker: Option<String>,
    /// How long a test lasts, such as 5s or 1m
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    time: Duration,
}

impl DevicesCommand {
    pub fn run(self) -> Result<()> {
        output::start_log(self.json, "trill=error");
        if let Some(name) = &self.test_microphone {
            return self.test_microphone(chosen(name));
        }
        if let Some(name) = &self.test_speaker {
            return self.test_speaker(chosen(name));
        }
        self.list();
        Ok(())
    }

    fn list(&self) {
        let (microphones, speakers, cameras) = (sound::microphones(), sound::speakers(), camera::cameras());
        if self.json {
            let all = |devices: Result<Vec<SoundDevice>>| {
                let devices = devices.unwrap_or_default().into_iter();
                devices.map(|d| json!({"name": d.name, "id": d.id, "default": d.is_default})).collect::<Vec<_>>()
            };
            let cameras: Vec<_> = cameras.unwrap_or_default().into_iter().map(describe_camera).collect();
            output::line(json!({"microphones": all(microphones), "speakers": all(speakers), "cameras": cameras}));
            return;
        }
        print_sound_devices("microphone", "microphones", microphones);
        print_sound_devices("speaker", "speakers", speakers);
        print_cameras(cameras);
    }

    fn test_microphone(&self, name: Option<String>) -> Result<()> {
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

    fn test_speaker(&self, name: Option<String>) -> Result<()> {
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
}

fn chosen(name: &str) -> Option<String> {
    (name != "default").then(|| name.to_owned())
}

fn print_sound_devices(one: &str, many: &str, devices: Result<Vec<SoundDevice>>) {
    match devices {
        Ok(devices) if devices.is_empty() => println!("This machine has no {one}."),
        Ok(mut devices) => {
            devices.sort_by_key(|device| !device.is_default);
            println!("{}{}:", many[..1].to_uppercase(), &many[1..]);
            let width = devices.iter().map(|device| device.name.chars().count()).max().unwrap_or(0);
            for device in devices {
                let mark = if device.is_default { '*' } else { ' ' };
                println!("  {mark} {:width$}  {}", device.name, device.id);
            }
        }
        Err(error) => println!("No {one} can be used: {error}"),
    }
}

fn describe_camera(camera: Camera) -> serde_json::Value {
    let formats = camera::formats(&camera).unwrap_or_default().into_iter();
    let format = |format: CameraFormat| {
        let pixels = format!("{:?}", format.pixels).to_lowercase();
        json!({"pixels": pixels, "width": format.width, "height": format.height, "fps": format.fps})
    };
    json!({"name": camera.name, "id": camera.id, "formats": formats.map(format).collect::<Vec<_>>()})
}

fn print_cameras(cameras: Result<Vec<Camera>>) {
    match cameras {
        Ok(cameras) if cameras.is_empty() => println!("This machine has no camera."),
        Ok(cameras) => {
            println!("Cameras:");
            for (n, camera) in cameras.into_iter().enumerate() {
                let mark = if n == 0 { '*' } else { ' ' };
                let largest =
                    |formats: Vec<CameraFormat>| formats.into_iter().max_by_key(|f| (f.width * f.height, f.fps));
                let can = match camera::formats(&camera).map(largest) {
                    Ok(Some(most)) => format!("up to {}x{} at {} pictures a second", most.width, most.height, most.fps),
                    Ok(None) => "only compressed formats, which are not supported".to_owned(),
                    Err(error) => error.to_string(),
                };
                println!("  {mark} {}  {}  {can}", camera.name, camera.id);
            }
        }
        Err(error) => println!("No camera can be used: {error}"),
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
