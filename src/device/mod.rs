//! Where media comes from and goes to: files, tones, pictures, callbacks, and the machine's microphone, speaker and
//! camera.
//!
//! Level 2. A source paces itself in real time, so that a file is as good as a microphone; a pipeline of `engine` owns
//! it and calls it on a thread of its own. What a user chose is named by [`AudioInput`], [`AudioOutput`],
//! [`VideoInput`] and [`VideoOutput`]; opening it says clearly what is wrong with it.

#![allow(clippy::disallowed_methods, reason = "devices run in real time")]

#[cfg(feature = "devices")]
pub mod camera;
mod custom;
pub mod kept;
mod pace;
mod png;
mod resample;
#[cfg(feature = "devices")]
pub mod sound;
mod synthetic;
mod wav;
mod y4m;

pub(crate) use pace::Pacer;

pub(crate) use custom::Both;
pub use custom::{AudioPush, VideoPush, audio_push, video_push};
pub use png::{PngSink, write_png};
pub use resample::Resampler;
pub use synthetic::{TestPicture, Tone, frame_number};
pub use wav::{WavSink, WavSource};
pub use y4m::{Y4mSink, Y4mSource};

use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::{AudioFrame, VideoFrame};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a source has at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next frame, when it was due.
    Frame,
    /// Nothing became due within [`MAX_WAIT`]: ask again.
    Nothing,
    /// It is over, for good.
    Ended,
}

/// The longest that a source makes its caller wait, so that it can be stopped promptly.
pub const MAX_WAIT: Duration = Duration::from_millis(50);

/// Gives 20 ms of audio every 20 ms.
pub trait AudioSource: Send {
    /// Waits until a frame is due, [`MAX_WAIT`] at most, and fills it.
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next>;

    /// Nothing is wanted until [`Self::resume`]: nothing may be captured.
    fn pause(&mut self) {}

    fn resume(&mut self) {}
}

/// Takes 20 ms of audio every 20 ms. It does not block for longer than a write to disk.
pub trait AudioSink: Send {
    fn play(&mut self, frame: &AudioFrame) -> Result<()>;

    /// What is waiting to be played, for a sink that plays at its own pace: its caller keeps it short but not empty.
    /// `None`: it takes whatever comes.
    fn queued(&self) -> Option<Duration> {
        None
    }

    /// How much of what is [`Self::queued`] is taken at a time; `None`: it is not known.
    fn period(&self) -> Option<Duration> {
        None
    }
}

/// Gives pictures at its own rate.
pub trait VideoSource: Send {
    /// Waits until a picture is due, [`MAX_WAIT`] at most, and writes it to `frame`, whose memory it uses again. Its
    /// timestamp grows from one picture to the next.
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next>;

    /// Nothing is wanted until [`Self::resume`]: nothing may be captured.
    fn pause(&mut self) {}

    fn resume(&mut self) {}
}

/// Takes pictures as they come.
pub trait VideoSink: Send {
    fn show(&mut self, frame: &VideoFrame) -> Result<()>;
}

/// Where a user's voice comes from.
#[derive(Default)]
pub enum AudioInput {
    /// No audio is sent.
    #[default]
    None,
    /// A WAV file in real time: any rate and channels; once, or over and over.
    File { path: PathBuf, looped: bool },
    /// A sine tone, in Hz, 12 dB below overload.
    Tone { hz: f32 },
    /// The microphone of that name or id (see [`sound::microphones`]), or the default one.
    #[cfg(feature = "devices")]
    Microphone { name: Option<String> },
    /// An app's own.
    Custom(Box<dyn AudioSource>),
}

impl AudioInput {
    /// One of the machine's own microphones, in whose room a speaker may be heard as well.
    pub fn is_microphone(&self) -> bool {
        #[cfg(feature = "devices")]
        return matches!(self, Self::Microphone { .. });
        #[cfg(not(feature = "devices"))]
        false
    }

    /// `None` when no audio is to be sent. Fails with `media_file`, `device_unavailable` or `invalid_argument`.
    pub fn open(self) -> Result<Option<Box<dyn AudioSource>>> {
        Ok(Some(match self {
            Self::None => return Ok(None),
            Self::File { path, looped } => Box::new(WavSource::open(&path, looped)?),
            Self::Tone { hz } => Box::new(Tone::new(hz)?),
            #[cfg(feature = "devices")]
            Self::Microphone { name } => Box::new(sound::Microphone::open(name.as_deref())?),
            Self::Custom(source) => source,
        }))
    }
}

/// Where what the others say goes to, mixed.
#[derive(Default)]
pub enum AudioOutput {
    /// Nowhere.
    #[default]
    None,
    /// A WAV file, 48 kHz mono 16 bit.
    Wav {
        path: PathBuf,
    },
    /// The speaker of that name or id (see [`sound::speakers`]), or the default one.
    #[cfg(feature = "devices")]
    Speaker {
        name: Option<String>,
    },
    /// Called every 20 ms on the playout thread; it must not block.
    Callback(Box<dyn FnMut(&AudioFrame) + Send>),
    Custom(Box<dyn AudioSink>),
    /// Both at once. One that fails is left out, and the other goes on. The second gives the pace.
    Both(Box<(AudioOutput, AudioOutput)>),
}

impl AudioOutput {
    /// Fails with `media_file` or `device_unavailable`.
    pub fn open(self) -> Result<Box<dyn AudioSink>> {
        Ok(match self {
            Self::None => Box::new(custom::Nowhere),
            Self::Wav { path } => Box::new(WavSink::create(&path)?),
            #[cfg(feature = "devices")]
            Self::Speaker { name } => Box::new(sound::Speaker::open(name.as_deref())?),
            Self::Callback(callback) => Box::new(custom::AudioCallback(callback)),
            Self::Custom(sink) => sink,
            Self::Both(both) => Box::new(Both::<dyn AudioSink>::new(both.0.open()?, both.1.open()?)),
        })
    }
}

/// Where a user's picture comes from.
#[derive(Default)]
pub enum VideoInput {
    /// No video is sent.
    #[default]
    None,
    /// A Y4M file (4:2:0, 8 bit) in real time; once, or over and over.
    File { path: PathBuf, looped: bool },
    /// A moving picture with a frame number that [`frame_number`] reads. `fps` is from 1 to 120.
    TestPicture { width: u32, height: u32, fps: u32 },
    /// The camera of that name or id (see [`camera::cameras`]), or the first, in its format that comes nearest to this
    /// size in pixels and these pictures a second.
    #[cfg(feature = "devices")]
    Camera { name: Option<String>, width: u32, height: u32, fps: u32 },
    /// An app's own.
    Custom(Box<dyn VideoSource>),
}

impl VideoInput {
    /// `None` when no video is to be sent. Fails with `media_file`, `device_unavailable` or `invalid_argument`.
    pub fn open(self) -> Result<Option<Box<dyn VideoSource>>> {
        Ok(Some(match self {
            Self::None => return Ok(None),
            Self::File { path, looped } => Box::new(Y4mSource::open(&path, looped)?),
            Self::TestPicture { width, height, fps } => Box::new(TestPicture::new(width, height, fps)?),
            #[cfg(feature = "devices")]
            Self::Camera { name, width, height, fps } => {
                Box::new(camera::CameraSource::open(name.as_deref(), (width, height), fps)?)
            }
            Self::Custom(source) => source,
        }))
    }
}

/// Where one participant's picture goes to.
#[derive(Default)]
pub enum VideoOutput {
    /// Nowhere.
    #[default]
    None,
    /// A Y4M file at a constant 30 frames a second; a change of the picture's size is scaled to the first.
    Y4m {
        path: PathBuf,
    },
    /// PNG files. With `every`: `name-0001.png` and so on, at that interval of media time. Without: the last picture.
    Png {
        path: PathBuf,
        every: Option<Duration>,
    },
    /// Called with each picture on the receiver's thread; it must not block.
    Callback(Box<dyn FnMut(&VideoFrame) + Send>),
    Custom(Box<dyn VideoSink>),
    /// Both at once. One that fails is left out, and the other goes on.
    Both(Box<(VideoOutput, VideoOutput)>),
}

impl VideoOutput {
    /// Fails with `media_file`.
    pub fn open(self) -> Result<Box<dyn VideoSink>> {
        Ok(match self {
            Self::None => Box::new(custom::Nowhere),
            Self::Y4m { path } => Box::new(Y4mSink::create(&path)?),
            Self::Png { path, every } => Box::new(PngSink::create(&path, every)?),
            Self::Callback(callback) => Box::new(custom::VideoCallback(callback)),
            Self::Custom(sink) => sink,
            Self::Both(both) => Box::new(Both::<dyn VideoSink>::new(both.0.open()?, both.1.open()?)),
        })
    }
}

/// To read from. `supported`: what can be read. Errors: `media_file`.
fn open_file(path: &Path, supported: &str) -> Result<File> {
    refuse_pipe(path)?;
    File::open(path).map_err(|e| file_error(path, format!("cannot be opened: {e}"), supported))
}

/// To write to; what is in it goes. Errors: `media_file`.
fn create_file(path: &Path) -> Result<File> {
    refuse_pipe(path)?;
    File::create(path).map_err(|e| write_error(path, e))
}

/// Who opens a pipe (FIFO) waits for its other end, for ever where nobody comes; and in most of these files one has to go back.
fn refuse_pipe(path: &Path) -> Result<()> {
    #[cfg(unix)]
    let is_pipe = {
        use std::os::unix::fs::FileTypeExt;
        std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
    };
    #[cfg(not(unix))]
    let is_pipe = false;
    if is_pipe { Err(file_error(path, "is a pipe and no file", "choose another place")) } else { Ok(()) }
}

fn write_error(path: &Path, error: impl std::fmt::Display) -> Error {
    file_error(path, format!("cannot be written: {error}"), "check the folder, its rights and the free space")
}

/// An error about a media file: it names the file, what was wrong and what to do.
fn file_error(path: &Path, problem: impl std::fmt::Display, advice: &str) -> Error {
    Error::new(ErrorCode::MediaFile, format!("{}: {problem}; {advice}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_refused_at_once_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (told, refusals) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let path = || pipe.clone();
            told.send(("WAV out", AudioOutput::Wav { path: path() }.open().err())).unwrap();
            told.send(("Y4M out", VideoOutput::Y4m { path: path() }.open().err())).unwrap();
            told.send(("PNG out", VideoOutput::Png { path: path(), every: None }.open().err())).unwrap();
            told.send(("a picture", write_png(&VideoFrame::black(2, 2).unwrap(), &path()).err())).unwrap();
            told.send(("WAV in", AudioInput::File { path: path(), looped: false }.open().err())).unwrap();
            told.send(("Y4M in", VideoInput::File { path: path(), looped: false }.open().err())).unwrap();
        });
        for _ in 0..6 {
            let (what, refusal) = refusals.recv_timeout(Duration::from_secs(10)).expect("nobody waits at a pipe");
            let refusal = refusal.unwrap_or_else(|| panic!("{what} was opened"));
            assert_eq!(refusal.code(), ErrorCode::MediaFile, "{what}");
            assert!(refusal.message().contains("pipe"), "{what}: {refusal}");
        }
    }
}
