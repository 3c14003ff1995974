//! The media options of `trill call` and `trill answer`: files, synthetic sources, or the machine's own devices.

use clap::Args;
use std::path::{Path, PathBuf};
use trill::base::{Error, ErrorCode, ParticipantIdentity, Result};
use trill::device::{AudioInput, AudioOutput, VideoInput, VideoOutput};
use trill::engine::SessionSettings;

#[derive(Args, Clone)]
pub struct MediaOptions {
    /// What the other hears: `default` (the machine's microphone), a microphone's name, a WAV file (looped), `tone`,
    /// `tone:HZ`, or `none`
    #[arg(long, default_value = "default", value_name = "SOURCE")]
    mic: String,
    /// What the other sees in a video call: a Y4M file (looped), `test` (a moving test picture), `test:WIDTHxHEIGHT`,
    /// or `none`
    #[arg(long, default_value = "test", value_name = "SOURCE")]
    camera: String,
    /// Where the other is heard: `default` (the machine's speaker), a speaker's name, a WAV file to write, or `none`
    #[arg(long, default_value = "default", value_name = "SINK")]
    speaker: String,
    /// Where the other's picture goes: a Y4M file, a PNG file (the last picture), or `none`
    #[arg(long, default_value = "none", value_name = "SINK")]
    video_out: String,
    /// What is sent of video at most, in kbit/s
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(30..=20_000), value_name = "KBPS")]
    video_bitrate: u32,
}

impl MediaOptions {
    /// Checked before anybody is rung: a file that cannot be read is no reason to disturb people.
    pub fn check(&self, video: bool) -> Result<()> {
        drop(self.microphone(true)?.open()?);
        if video {
            drop(self.camera()?.open()?);
        }
        self.speaker(true).map(drop)?;
        picture_sink(&self.video_out).map(drop)
    }

    pub fn settings(&self, video: bool) -> Result<SessionSettings> {
        let video_out = self.video_out.clone();
        // The first one who shows something gets the file.
        let taken = std::sync::atomic::AtomicBool::new(false);
        let video_outputs = move |_: &ParticipantIdentity, _: &_, _| {
            if taken.swap(true, std::sync::atomic::Ordering::Relaxed) {
                return VideoOutput::None;
            }
            picture_sink(&video_out).unwrap_or_default()
        };
        Ok(SessionSettings {
            microphone: self.microphone(false)?,
            camera: if video { self.camera()? } else { VideoInput::None },
            speaker: self.speaker(false)?,
            video_outputs: Box::new(video_outputs),
            video_bitrate_bps: self.video_bitrate * 1000,
            ..SessionSettings::default()
        })
    }

    /// `tell`: say it when the machine has none.
    fn microphone(&self, tell: bool) -> Result<AudioInput> {
        let text = self.mic.as_str();
        if text == "none" {
            return Ok(AudioInput::None);
        }
        if let Some(hz) = text.strip_prefix("tone") {
            let hz = if hz.is_empty() { Some(440.0) } else { hz.strip_prefix(':').and_then(|hz| hz.parse().ok()) };
            return match hz {
                Some(hz) => Ok(AudioInput::Tone { hz }),
                None => Err(bad("--mic", text, "a tone is `tone` or `tone:HZ`")),
            };
        }
        if is_file_name(text, &["wav"]) {
            return Ok(AudioInput::File { path: PathBuf::from(text), looped: true });
        }
        microphone(text, tell)
    }

    fn camera(&self) -> Result<VideoInput> {
        let text = self.camera.as_str();
        if text == "none" {
            return Ok(VideoInput::None);
        }
        if let Some(size) = text.strip_prefix("test") {
            let size = match size.strip_prefix(':') {
                None if size.is_empty() => Some((640, 360)),
                Some(size) => size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?))),
                None => None,
            };
            let (width, height) = size.ok_or_else(|| bad("--camera", text, "use `test` or `test:WIDTHxHEIGHT`"))?;
            return Ok(VideoInput::TestPicture { width, height, fps: 30 });
        }
        Ok(VideoInput::File { path: PathBuf::from(text), looped: true })
    }

    fn speaker(&self, tell: bool) -> Result<AudioOutput> {
        let text = self.speaker.as_str();
        if text == "none" {
            return Ok(AudioOutput::None);
        }
        if is_file_name(text, &["wav"]) {
            return Ok(AudioOutput::Wav { path: PathBuf::from(text) });
        }
        speaker(text, tell)
    }
}

fn picture_sink(text: &str) -> Result<VideoOutput> {
    let path = PathBuf::from(text);
    match text {
        "none" => Ok(VideoOutput::None),
        _ if is_file_name(text, &["y4m"]) => Ok(VideoOutput::Y4m { path }),
        _ if is_file_name(text, &["png"]) => Ok(VideoOutput::Png { path, every: None }),
        _ => Err(bad("--video-out", text, "name a .y4m or a .png file, or `none`")),
    }
}

/// The machine's microphone; where it has none, the call is held without, and that is said.
#[cfg(feature = "devices")]
fn microphone(text: &str, tell: bool) -> Result<AudioInput> {
    use trill::device::sound;
    let name = (text != "default").then(|| text.to_owned());
    if name.is_none() && sound::microphones().map_or(true, |found| found.is_empty()) {
        if tell {
            eprintln!(
                "trill: this machine has no microphone: the other will hear nothing (--mic names another source)"
            );
        }
        return Ok(AudioInput::None);
    }
    Ok(AudioInput::Microphone { name })
}

#[cfg(feature = "devices")]
fn speaker(text: &str, tell: bool) -> Result<AudioOutput> {
    use trill::device::sound;
    let name = (text != "default").then(|| text.to_owned());
    if name.is_none() && sound::speakers().map_or(true, |found| found.is_empty()) {
        if tell {
            eprintln!("trill: this machine has no speaker: you will hear nothing (--speaker names another sink)");
        }
        return Ok(AudioOutput::None);
    }
    Ok(AudioOutput::Speaker { name })
}

#[cfg(not(feature = "devices"))]
fn microphone(text: &str, _tell: bool) -> Result<AudioInput> {
    Err(bad("--mic", text, "this build has no devices; name a .wav file, `tone` or `none`"))
}

#[cfg(not(feature = "devices"))]
fn speaker(text: &str, _tell: bool) -> Result<AudioOutput> {
    Err(bad("--speaker", text, "this build has no devices; name a .wav file or `none`"))
}

fn is_file_name(text: &str, extensions: &[&str]) -> bool {
    let extension = Path::new(text).extension().and_then(|e| e.to_str()).unwrap_or_default();
    extensions.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

fn bad(option: &str, value: &str, advice: &str) -> Error {
    Error::new(ErrorCode::InvalidArgument, format!("{option} {value:?}: {advice}"))
}
