//! What a session sends and where it plays to.
//!
//! All that is zero is a default. The defaults send nothing and play to nowhere but the callbacks.

use super::boundary::{StructIn, choice, invalid, optional_string_in, struct_in};
use super::device::POLICIES;
use super::session_callbacks::{Pushes, Session};
use super::voice::voice_in;
use crate::base::{Error, ErrorCode, Result};
use crate::device::{AudioInput, AudioOutput, VideoInput, VideoOutput, audio_push, video_push};
use crate::engine::{SessionSettings, Simulcast};
use std::ffi::c_char;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// No audio is sent.
pub const TRILL_AUDIO_SOURCE_NONE: i32 = 0;
/// A sine tone, 12 dB below overload.
pub const TRILL_AUDIO_SOURCE_TONE: i32 = 1;
/// A WAV file of any rate and channels, in real time.
pub const TRILL_AUDIO_SOURCE_FILE: i32 = 2;
/// What the app pushes with trill_session_push_audio.
pub const TRILL_AUDIO_SOURCE_PUSHED: i32 = 3;
/// The machine's microphone.
pub const TRILL_AUDIO_SOURCE_MICROPHONE: i32 = 4;

/// No video is sent.
pub const TRILL_VIDEO_SOURCE_NONE: i32 = 0;
/// A moving picture with a frame number in it.
pub const TRILL_VIDEO_SOURCE_TEST_PICTURE: i32 = 1;
/// A Y4M file (4:2:0, 8 bit), in real time.
pub const TRILL_VIDEO_SOURCE_FILE: i32 = 2;
/// What the app pushes with trill_session_push_video.
pub const TRILL_VIDEO_SOURCE_PUSHED: i32 = 3;
/// A camera of the machine's, in its format that comes nearest to the size and rate of the settings.
pub const TRILL_VIDEO_SOURCE_CAMERA: i32 = 4;

/// A camera's picture is sent in up to three sizes at a time while there are more than two in the session, so that each of the
/// others gets the one that its connection carries. Between two it comes in one size, fitted to what the other can take: no
/// encoder runs in vain.
pub const TRILL_SIMULCAST_IN_GROUPS: i32 = 0;
/// In several sizes whoever is there.
pub const TRILL_SIMULCAST_ALWAYS: i32 = 1;
/// In one size, which the narrowest connection of all who watch sets.
pub const TRILL_SIMULCAST_NEVER: i32 = 2;

/// How to be in a session. Start from TRILL_SESSION_SETTINGS_INIT; zero means default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trill_session_settings {
    pub struct_size: usize,
    /// TRILL_AUDIO_SOURCE_*.
    pub audio_source: i32,
    /// Of TRILL_AUDIO_SOURCE_FILE: not 0 for over and over.
    pub audio_looped: i32,
    /// Of TRILL_AUDIO_SOURCE_FILE.
    pub audio_file: *const c_char,
    /// Of TRILL_AUDIO_SOURCE_TONE, in Hz; 0 for 440.
    pub audio_tone_hz: f32,
    /// Of TRILL_AUDIO_SOURCE_PUSHED, in Hz, 4,000 to 384,000; 0 for 48,000.
    pub audio_sample_rate: u32,
    /// Of TRILL_AUDIO_SOURCE_PUSHED, 1 to 32; 0 for 1. They are mixed down: calls are mono.
    pub audio_channels: u32,
    /// The most that audio is encoded at (a narrow path gets less), 6,000 to 510,000 bit/s; 0 for 32,000.
    pub audio_bitrate_bps: u32,
    /// TRILL_VIDEO_SOURCE_*.
    pub video_source: i32,
    /// Of TRILL_VIDEO_SOURCE_FILE: not 0 for over and over.
    pub video_looped: i32,
    /// Of TRILL_VIDEO_SOURCE_FILE.
    pub video_file: *const c_char,
    /// The largest picture sent, in pixels, 16 to 8192, and the size of the test picture; 0 for 1280.
    pub video_width: u32,
    /// As video_width; 0 for 720.
    pub video_height: u32,
    /// The most pictures sent in a second, 1 to 120; 0 for 30.
    pub video_fps: u32,
    /// The most that video is encoded at (a narrow path gets less, and smaller pictures), 30,000 to 20,000,000 bit/s; 0 for 1,500,000.
    /// Where the picture is sent in several sizes, that of the largest; the others take 40 % of it together.
    pub video_bitrate_bps: u32,
    /// Not 0: no video is sent, and none is received, whatever else is said here.
    pub audio_only: i32,
    /// Not 0: nothing is captured or sent until trill_session_set_muted says so.
    pub start_audio_muted: i32,
    /// As start_audio_muted, for video.
    pub start_video_paused: i32,
    /// Where the mix of all the others goes to, beside the callback audio_frame: a WAV file, made anew. NULL for none.
    pub audio_output_file: *const c_char,
    /// Where each picture goes to, beside the callback video_frame: a folder that gets a Y4M file for each track, named by
    /// its id. NULL for none. A file of either that fails is told by TRILL_EVENT_DEVICE_CHANGED, and the session goes on.
    pub video_output_folder: *const c_char,
    /// Not 0: tracks are received only when trill_session_subscribe asks for them.
    pub manual_subscribe: i32,
    /// How long a broken connection is tried to be restored, in ms; 0 for 20,000.
    pub reconnect_timeout_ms: u32,
    /// Of TRILL_AUDIO_SOURCE_MICROPHONE: its name or id; NULL for the machine's default.
    pub microphone: *const c_char,
    /// Of TRILL_VIDEO_SOURCE_CAMERA: its name or id; NULL for the first one.
    pub camera: *const c_char,
    /// Not 0: the mix of all the others is played on a speaker of the machine's.
    pub play: i32,
    /// Which one, by name or id; NULL for the machine's default.
    pub speaker: *const c_char,
    /// What is done to our voice: TRILL_VOICE_* added up, or TRILL_VOICE_NONE. 0: all of it to a microphone's, nothing to any
    /// other source's.
    pub voice_processing: i32,
    /// How often TRILL_EVENT_STATISTICS comes, in ms, 100 to 3,600,000; 0 for never.
    pub statistics_interval_ms: u32,
    /// What is done when one of the machine's devices is not there, fails, or is not the default one any more:
    /// TRILL_DEVICE_POLICY_*.
    pub device_policy: i32,
    /// How long we may be the only one in the session, in ms, 1,000 to 86,400,000; 0 for without limit. Then it ends, with
    /// TRILL_SESSION_END_LEFT_ALONE. It counts from when the last of the others has left, or, while nobody has come yet, from
    /// our join; and anew from when a broken connection is restored. For calls the server has a time of its own, of 180 s unless
    /// its owner sets another, after which the call itself is over; this one ends the session alone: where the call is to be over
    /// as well, hang up with trill_call_end.
    pub left_alone_timeout_ms: u32,
    /// TRILL_SIMULCAST_*.
    pub simulcast: i32,
    /// Not 0: while nobody talks, next to nothing is sent of the audio (discontinuous transmission), and the others hear the
    /// noise of the room as it was. For voices: music and tones may be taken for noise.
    pub audio_dtx: i32,
}

// SAFETY: numbers and pointers.
unsafe impl StructIn for trill_session_settings {}

const SIMULCASTS: &[(i32, Simulcast)] = &[
    (TRILL_SIMULCAST_IN_GROUPS, Simulcast::InGroups),
    (TRILL_SIMULCAST_ALWAYS, Simulcast::Always),
    (TRILL_SIMULCAST_NEVER, Simulcast::Never),
];

/// The engine's settings, and the app's ends of what it pushes. Opens the files to be written.
///
/// Errors: `invalid_argument`, `media_file`.
pub(super) fn read(given: *const trill_session_settings, session: &Arc<Session>) -> Result<(SessionSettings, Pushes)> {
    let given = super::boundary::optional_struct_in(given, "settings")?;
    let mut settings = SessionSettings::default();
    let mut pushes = Pushes::default();
    settings.microphone = audio_input(&given, &mut pushes)?;
    if given.voice_processing != 0 {
        settings.voice = Some(voice_in(given.voice_processing, "settings.voice_processing")?);
    }
    settings.microphone_muted = given.start_audio_muted != 0;
    settings.camera_muted = given.start_video_paused != 0;
    unless_zero(&mut settings.audio_bitrate_bps, given.audio_bitrate_bps);
    settings.audio_dtx = given.audio_dtx != 0;
    unless_zero(&mut settings.video_bitrate_bps, given.video_bitrate_bps);
    unless_zero(&mut settings.video.max_width, given.video_width);
    unless_zero(&mut settings.video.max_height, given.video_height);
    unless_zero(&mut settings.video.max_fps, given.video_fps);
    if given.audio_only == 0 {
        settings.camera = video_input(&given, &settings, &mut pushes)?;
    }
    settings.machine.auto_subscribe = given.manual_subscribe == 0;
    if given.reconnect_timeout_ms != 0 {
        settings.machine.reconnect_timeout = Duration::from_millis(given.reconnect_timeout_ms.into());
    }
    if given.left_alone_timeout_ms != 0 {
        settings.machine.left_alone_timeout = Some(Duration::from_millis(given.left_alone_timeout_ms.into()));
    }
    if given.statistics_interval_ms != 0 {
        settings.statistics_interval = Some(Duration::from_millis(given.statistics_interval_ms.into()));
    }
    settings.device_policy = choice(given.device_policy, "settings.device_policy", POLICIES)?;
    settings.simulcast = choice(given.simulcast, "settings.simulcast", SIMULCASTS)?;
    outputs(&given, session, &mut settings)?;
    Ok((settings, pushes))
}

/// Whether pictures of the others are not wanted.
pub(super) fn is_audio_only(given: *const trill_session_settings) -> Result<bool> {
    if given.is_null() {
        return Ok(false);
    }
    Ok(struct_in(given, "settings")?.audio_only != 0)
}

fn unless_zero(setting: &mut u32, given: u32) {
    if given != 0 {
        *setting = given;
    }
}

fn audio_input(given: &trill_session_settings, pushes: &mut Pushes) -> Result<AudioInput> {
    #[derive(Clone, Copy)]
    enum Source {
        None,
        Tone,
        File,
        Pushed,
        Microphone,
    }
    let known = [
        (TRILL_AUDIO_SOURCE_NONE, Source::None),
        (TRILL_AUDIO_SOURCE_TONE, Source::Tone),
        (TRILL_AUDIO_SOURCE_FILE, Source::File),
        (TRILL_AUDIO_SOURCE_PUSHED, Source::Pushed),
        (TRILL_AUDIO_SOURCE_MICROPHONE, Source::Microphone),
    ];
    Ok(match choice(given.audio_source, "settings.audio_source", &known)? {
        Source::None => AudioInput::None,
        Source::Microphone => microphone(optional_string_in(given.microphone, "settings.microphone")?)?,
        Source::Tone if given.audio_tone_hz == 0.0 => AudioInput::Tone { hz: 440.0 },
        Source::Tone => AudioInput::Tone { hz: given.audio_tone_hz },
        Source::File => {
            AudioInput::File { path: path(given.audio_file, "settings.audio_file")?, looped: given.audio_looped != 0 }
        }
        Source::Pushed => {
            let rate = if given.audio_sample_rate == 0 { 48_000 } else { given.audio_sample_rate };
            let channels = given.audio_channels.max(1);
            let channels = u16::try_from(channels)
                .map_err(|_| invalid(format!("settings.audio_channels is {channels}; 1 to 32 are taken")))?;
            let (push, source) = audio_push(rate, channels)?;
            pushes.audio = Some((push, channels.into()));
            AudioInput::Custom(source)
        }
    })
}

#[cfg(feature = "devices")]
fn microphone(name: Option<String>) -> Result<AudioInput> {
    Ok(AudioInput::Microphone { name })
}

#[cfg(feature = "devices")]
fn speaker(name: Option<String>) -> Result<AudioOutput> {
    Ok(AudioOutput::Speaker { name })
}

#[cfg(feature = "devices")]
fn camera(name: Option<String>, settings: &SessionSettings) -> Result<VideoInput> {
    let size = &settings.video;
    Ok(VideoInput::Camera { name, width: size.max_width, height: size.max_height, fps: size.max_fps })
}

#[cfg(not(feature = "devices"))]
fn camera(_: Option<String>, _: &SessionSettings) -> Result<VideoInput> {
    Err(without_devices())
}

#[cfg(not(feature = "devices"))]
fn microphone(_: Option<String>) -> Result<AudioInput> {
    Err(without_devices())
}

#[cfg(not(feature = "devices"))]
fn speaker(_: Option<String>) -> Result<AudioOutput> {
    Err(without_devices())
}

#[cfg(not(feature = "devices"))]
pub(super) fn without_devices() -> Error {
    Error::new(
        ErrorCode::NotSupported,
        "this library was built without the machine's own microphone, speaker and camera",
    )
}

fn video_input(given: &trill_session_settings, settings: &SessionSettings, pushes: &mut Pushes) -> Result<VideoInput> {
    #[derive(Clone, Copy)]
    enum Source {
        None,
        TestPicture,
        File,
        Pushed,
        Camera,
    }
    let known = [
        (TRILL_VIDEO_SOURCE_NONE, Source::None),
        (TRILL_VIDEO_SOURCE_TEST_PICTURE, Source::TestPicture),
        (TRILL_VIDEO_SOURCE_FILE, Source::File),
        (TRILL_VIDEO_SOURCE_PUSHED, Source::Pushed),
        (TRILL_VIDEO_SOURCE_CAMERA, Source::Camera),
    ];
    Ok(match choice(given.video_source, "settings.video_source", &known)? {
        Source::None => VideoInput::None,
        Source::Camera => camera(optional_string_in(given.camera, "settings.camera")?, settings)?,
        Source::TestPicture => VideoInput::TestPicture {
            width: settings.video.max_width,
            height: settings.video.max_height,
            fps: settings.video.max_fps,
        },
        Source::File => {
            VideoInput::File { path: path(given.video_file, "settings.video_file")?, looped: given.video_looped != 0 }
        }
        Source::Pushed => {
            let (push, source) = video_push();
            pushes.video = Some(push);
            VideoInput::Custom(source)
        }
    })
}

fn path(pointer: *const c_char, name: &str) -> Result<PathBuf> {
    let text = optional_string_in(pointer, name)?;
    text.map(PathBuf::from).ok_or_else(|| invalid(format!("{name} is NULL, but the source is a file")))
}

fn outputs(given: &trill_session_settings, session: &Arc<Session>, settings: &mut SessionSettings) -> Result<()> {
    let file = optional_string_in(given.audio_output_file, "settings.audio_output_file")?;
    let mut outputs = AudioOutput::None;
    if let Some(path) = file {
        // Opened here, so that a file that cannot be written is refused.
        outputs = AudioOutput::Custom(AudioOutput::Wav { path: path.into() }.open()?);
    }
    if session.wants_audio() {
        outputs = beside(outputs, audio_callback(session.clone(), None));
    }
    if given.play != 0 {
        let speaker = speaker(optional_string_in(given.speaker, "settings.speaker")?)?;
        outputs = beside(outputs, speaker);
    }
    settings.speaker = outputs;
    if session.wants_participant_audio() {
        let taps = session.clone();
        settings.audio_taps =
            Some(Box::new(move |identity, _| audio_callback(taps.clone(), Some(identity.to_string())).open().ok()));
    }
    let folder = optional_string_in(given.video_output_folder, "settings.video_output_folder")?.map(PathBuf::from);
    if let Some(folder) = &folder
        && !folder.is_dir()
    {
        let what = format!("settings.video_output_folder: {} is not a folder; make it first", folder.display());
        return Err(Error::new(ErrorCode::MediaFile, what));
    }
    let shows = session.clone();
    settings.video_outputs = Box::new(move |identity, track, _| {
        let file = folder.as_deref().map(|folder| VideoOutput::Y4m { path: picture_file(folder, track.as_str()) });
        if !shows.wants_video() {
            return file.unwrap_or_default();
        }
        let (show, identity, track) = (shows.clone(), identity.to_string(), track.to_string());
        let shown = VideoOutput::Callback(Box::new(move |frame| show.video_frame(&identity, &track, frame)));
        match file {
            Some(file) => VideoOutput::Both(Box::new((shown, file))),
            None => shown,
        }
    });
    Ok(())
}

fn beside(outputs: AudioOutput, another: AudioOutput) -> AudioOutput {
    match outputs {
        AudioOutput::None => another,
        others => AudioOutput::Both(Box::new((others, another))),
    }
}

/// Tells the app what is heard: of one participant, or of all.
fn audio_callback(session: Arc<Session>, of: Option<String>) -> AudioOutput {
    let mut frames = 0;
    AudioOutput::Callback(Box::new(move |frame| {
        session.audio_frame(of.as_deref(), frame, frames);
        frames += 1;
    }))
}

/// A track's id comes from the server: it may not lead out of the folder.
fn picture_file(folder: &Path, track: &str) -> PathBuf {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    folder.join(format!("{}.y4m", track.chars().map(safe).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::boundary::optional_struct_in;
    use std::mem::offset_of;
    use std::ptr;

    #[test]
    fn silence_is_left_out_when_it_is_asked_for_and_never_of_an_older_program() {
        let callbacks = optional_struct_in(ptr::null(), "callbacks").unwrap();
        let session = Arc::new(Session::new(0, callbacks, false));
        let zeros: trill_session_settings = optional_struct_in(ptr::null(), "settings").unwrap();
        let whole = size_of::<trill_session_settings>();
        // The header before it had padding there, which INIT sets to zero; this is one that ends before.
        let older = offset_of!(trill_session_settings, audio_dtx);
        let cases = [(whole, 0, false), (whole, 1, true), (whole, -1, true), (older, 1, false)];
        for (struct_size, audio_dtx, left_out) in cases {
            let given = trill_session_settings { struct_size, audio_dtx, ..zeros };
            let (settings, _) = read(&given, &session).unwrap();
            assert_eq!(settings.audio_dtx, left_out, "{audio_dtx} in {struct_size} bytes");
        }
    }

    #[test]
    fn a_track_named_by_a_hostile_server_stays_in_the_folder() {
        assert_eq!(picture_file(Path::new("out"), "../../TR_a/b"), Path::new("out/______TR_a_b.y4m"));
    }
}
