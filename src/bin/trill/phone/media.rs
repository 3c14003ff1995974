//! The media options of `trill call` and `trill answer`: files, synthetic sources, or the machine's own devices.

use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use trill::base::{Error, ErrorCode, ParticipantIdentity, Result};
use trill::device::kept::DevicePolicy;
use trill::device::{AudioInput, AudioOutput, VideoInput, VideoOutput};
use trill::engine::SessionSettings;
use trill::processing::VoiceProcessing;

/// The machine's own device, whichever the system has chosen.
const DEFAULT: &str = "default";
/// What is sent at most, in pixels.
const SENT_SIZE: (u32, u32) = (1280, 720);

#[derive(Args)]
pub struct MediaOptions {
    /// What the other hears: `default` (the machine's microphone), a microphone's name, a WAV file (looped), `tone`,
    /// `tone:HZ`, or `none`
    #[arg(long, default_value = DEFAULT, value_name = "SOURCE")]
    mic: String,
    /// What the other sees in a video call: `default` (the machine's camera), `default:WIDTHxHEIGHT`,
    /// `camera:NAME`, a Y4M file (looped), `test` (a moving test picture), `test:WIDTHxHEIGHT`, or `none`
    #[arg(long, default_value = "test", value_name = "SOURCE")]
    camera: String,
    /// Where the other is heard: `default` (the machine's speaker), a speaker's name, a WAV file to write, or `none`
    #[arg(long, default_value = DEFAULT, value_name = "SINK")]
    speaker: String,
    /// Where the other's picture goes: a Y4M file, a PNG file (the last picture), or `none`
    #[arg(long, default_value = "none", value_name = "SINK")]
    video_out: String,
    /// Send the microphone as it is, without echo cancellation, noise suppression and gain control: for music, and for
    /// measuring
    #[arg(long)]
    raw_mic: bool,
    /// While nobody talks, send next to nothing and let the other hear the noise of the room as it was (discontinuous
    /// transmission): for voices, since music and tones may be taken for noise
    #[arg(long)]
    dtx: bool,
    /// When a device is unplugged, fails, or is not the default one any more: `fall-back` to the default one until it is
    /// back, `follow-default`, `keep` it and wait in silence, or `silence` for good
    #[arg(long, default_value = "fall-back", value_name = "POLICY")]
    device_policy: Policy,
    /// What is sent of video at most, in kbit/s
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(30..=20_000), value_name = "KBPS")]
    video_bitrate: u32,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Policy {
    FallBack,
    FollowDefault,
    Keep,
    Silence,
}

/// What a call is held with: the options, seen to work.
pub struct Media {
    options: MediaOptions,
    /// The machine's own devices, where they are there and were asked for.
    has_microphone: bool,
    has_speaker: bool,
}

impl MediaOptions {
    /// Tries everything out, before anybody is rung: a file that cannot be read is no reason to disturb people. Where
    /// the machine has no default microphone or speaker the call is held without, and that is said.
    ///
    /// Errors: `media_file`, `device_unavailable`, `invalid_argument`.
    pub fn open(self, video: bool) -> Result<Media> {
        let mut media = Media { options: self, has_microphone: true, has_speaker: true };
        if let Err(error) = media.microphone()?.open() {
            media.has_microphone = false;
            without(error, media.options.mic == DEFAULT, "the other will hear nothing (--mic names another source)")?;
        }
        if let Err(error) = try_speaker(media.speaker()?) {
            media.has_speaker = false;
            without(error, media.options.speaker == DEFAULT, "you will hear nothing (--speaker names another sink)")?;
        }
        if video {
            media.camera()?.open()?;
        }
        match picture_sink(&media.options.video_out)? {
            VideoOutput::Y4m { path } if is_file_or_new(&path) => try_file(&path)?,
            other => drop(other.open()?),
        }
        Ok(media)
    }
}

fn try_speaker(speaker: AudioOutput) -> Result<()> {
    match speaker {
        AudioOutput::Wav { path } if is_file_or_new(&path) => try_file(&path),
        other => other.open().map(drop),
    }
}

/// Nothing else would have anything in it that could be lost.
fn is_file_or_new(path: &Path) -> bool {
    path.is_file() || !path.exists()
}

/// Whether a recording can be written there. What is there stays: nobody has answered yet.
fn try_file(path: &Path) -> Result<()> {
    let is_new = !path.exists();
    std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
        Error::new(
            ErrorCode::MediaFile,
            format!("{}: cannot be written: {error}; choose another place", path.display()),
        )
    })?;
    if is_new {
        // What cannot be removed is empty.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Goes on without a default device; a source that was asked for by name must work.
fn without(error: Error, is_default: bool, instead: &str) -> Result<()> {
    if !is_default {
        return Err(error);
    }
    eprintln!("trill: {error}: {instead}");
    Ok(())
}

impl Media {
    pub fn settings(&self, video: bool) -> Result<SessionSettings> {
        let video_out = self.options.video_out.clone();
        // The first one who shows something gets the file.
        let taken = AtomicBool::new(false);
        let video_outputs = move |_: &ParticipantIdentity, _: &_, _| {
            if taken.swap(true, Relaxed) {
                return VideoOutput::None;
            }
            picture_sink(&video_out).unwrap_or_default()
        };
        Ok(SessionSettings {
            microphone: self.microphone()?,
            camera: if video { self.camera()? } else { VideoInput::None },
            speaker: self.speaker()?,
            voice: self.options.raw_mic.then_some(VoiceProcessing::NONE),
            audio_dtx: self.options.dtx,
            device_policy: match self.options.device_policy {
                Policy::FallBack => DevicePolicy::FallBack,
                Policy::FollowDefault => DevicePolicy::FollowDefault,
                Policy::Keep => DevicePolicy::Keep,
                Policy::Silence => DevicePolicy::Silence,
            },
            video_outputs: Box::new(video_outputs),
            video_bitrate_bps: self.options.video_bitrate * 1000,
            ..SessionSettings::default()
        })
    }

    fn microphone(&self) -> Result<AudioInput> {
        let text = self.options.mic.as_str();
        if text == "none" || !self.has_microphone {
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
        microphone(text)
    }

    fn camera(&self) -> Result<VideoInput> {
        let text = self.options.camera.as_str();
        if text == "none" {
            return Ok(VideoInput::None);
        }
        if let Some(size) = text.strip_prefix("test") {
            let size = match size.strip_prefix(':') {
                None if size.is_empty() => Some((640, 360)),
                Some(size) => parse_size(size),
                None => None,
            };
            let (width, height) = size.ok_or_else(|| bad("--camera", text, "use `test` or `test:WIDTHxHEIGHT`"))?;
            return Ok(VideoInput::TestPicture { width, height, fps: 30 });
        }
        if let Some(name) = text.strip_prefix("camera:") {
            return camera(Some(name), SENT_SIZE);
        }
        if let Some(rest) = text.strip_prefix(DEFAULT)
            && (rest.is_empty() || rest.starts_with(':'))
        {
            let size = if rest.is_empty() { Some(SENT_SIZE) } else { parse_size(&rest[1..]) };
            let size = size.ok_or_else(|| bad("--camera", text, "use `default` or `default:WIDTHxHEIGHT`"))?;
            return camera(None, size);
        }
        Ok(VideoInput::File { path: PathBuf::from(text), looped: true })
    }

    fn speaker(&self) -> Result<AudioOutput> {
        let text = self.options.speaker.as_str();
        if text == "none" || !self.has_speaker {
            return Ok(AudioOutput::None);
        }
        if is_file_name(text, &["wav"]) {
            return Ok(AudioOutput::Wav { path: PathBuf::from(text) });
        }
        speaker(text)
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

#[cfg(feature = "devices")]
fn microphone(text: &str) -> Result<AudioInput> {
    Ok(AudioInput::Microphone { name: (text != DEFAULT).then(|| text.to_owned()) })
}

#[cfg(feature = "devices")]
fn speaker(text: &str) -> Result<AudioOutput> {
    Ok(AudioOutput::Speaker { name: (text != DEFAULT).then(|| text.to_owned()) })
}

/// As near as the camera comes to that size, in pixels, and 30 pictures a second.
#[cfg(feature = "devices")]
fn camera(name: Option<&str>, (width, height): (u32, u32)) -> Result<VideoInput> {
    Ok(VideoInput::Camera { name: name.map(str::to_owned), width, height, fps: 30 })
}

#[cfg(not(feature = "devices"))]
fn camera(_name: Option<&str>, _size: (u32, u32)) -> Result<VideoInput> {
    Err(bad("--camera", "default", "this build has no devices; name a .y4m file, `test` or `none`"))
}

#[cfg(not(feature = "devices"))]
fn microphone(text: &str) -> Result<AudioInput> {
    Err(bad("--mic", text, "this build has no devices; name a .wav file, `tone` or `none`"))
}

#[cfg(not(feature = "devices"))]
fn speaker(text: &str) -> Result<AudioOutput> {
    Err(bad("--speaker", text, "this build has no devices; name a .wav file or `none`"))
}

fn parse_size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

fn is_file_name(text: &str, extensions: &[&str]) -> bool {
    let extension = Path::new(text).extension().and_then(|e| e.to_str()).unwrap_or_default();
    extensions.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

fn bad(option: &str, value: &str, advice: &str) -> Error {
    Error::new(ErrorCode::InvalidArgument, format!("{option} {value:?}: {advice}"))
}
