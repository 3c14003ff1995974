//! Two participants of one session on this machine: one sends a WAV and a Y4M file, the other writes down what came, and
//! when. What `scripts/quality` measures our engine with; docs/quality.md tells how.
//!
//!     traced_session SERVER SENDER-TOKEN RECEIVER-TOKEN SPEECH.wav CLIP.y4m VIDEO-KBPS FOLDER [unrecorded]
//!
//! Prints `{"event": "media"}` once sound and picture have come, and ends when its standard input does. In FOLDER are then
//! `heard.s16` (48 kHz, mono), `seen.luma` (each picture's rows of Y, one picture after the other) and `trace.json`, with
//! the times of both ends on one clock. With `unrecorded` all is decoded and nothing but the times is written.

#![allow(clippy::disallowed_methods, reason = "an app may read the clock")]

use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use trill::base::{Error, ErrorCode, Result};
use trill::device::{
    AudioInput, AudioOutput, AudioSink, AudioSource, Next, VideoInput, VideoOutput, VideoSink, VideoSource, WavSource,
    Y4mSource,
};
use trill::engine::session::{self, SessionSettings, Told};
use trill::media::frame::{AudioFrame, FRAME_DURATION, FRAME_SAMPLES, VideoFrame};
use trill::session::SessionEvent;

/// How often the statistics are taken.
const STATISTICS_EVERY: Duration = Duration::from_secs(1);

/// The clock of both ends, and what happened on it, in microseconds since its start.
#[derive(Clone)]
struct Trace {
    zero: Instant,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    /// When a frame's first sample, or a picture, was captured, and how many of the source came before it.
    said: Vec<(u64, usize)>,
    shown: Vec<(u64, usize)>,
    /// When a frame was played or shown, and how many samples came before it, or the picture's width and height.
    heard: Vec<(u64, usize)>,
    seen: Vec<(u64, u32, u32)>,
}

impl Trace {
    fn note(&self, write: impl FnOnce(&mut Log, u64)) {
        let now = self.zero.elapsed().as_micros() as u64;
        write(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner), now);
    }
}

/// Any source, or sink with the file that it writes to, whose times are noted.
struct Traced<T> {
    inner: T,
    trace: Trace,
}

impl AudioSource for Traced<WavSource> {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        let next = self.inner.next_frame(frame)?;
        if next == Next::Frame {
            // A microphone gives a frame when its last sample was captured.
            let before = FRAME_DURATION.as_micros() as u64;
            self.trace.note(|log, now| log.said.push((now.saturating_sub(before), log.said.len() * FRAME_SAMPLES)));
        }
        Ok(next)
    }
}

impl VideoSource for Traced<Y4mSource> {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        let next = self.inner.next_frame(frame)?;
        if next == Next::Frame {
            self.trace.note(|log, now| log.shown.push((now, log.shown.len())));
        }
        Ok(next)
    }
}

impl AudioSink for Traced<Option<BufWriter<File>>> {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        self.trace.note(|log, now| log.heard.push((now, log.heard.len() * FRAME_SAMPLES)));
        let Some(file) = &mut self.inner else { return Ok(()) };
        let bytes: Vec<u8> = frame.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        file.write_all(&bytes).map_err(unwritten)
    }
}

impl VideoSink for Traced<Option<File>> {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        self.trace.note(|log, now| log.seen.push((now, frame.width(), frame.height())));
        self.inner.as_mut().map_or(Ok(()), |file| file.write_all(frame.planes()[0]).map_err(unwritten))
    }
}

fn unwritten(error: std::io::Error) -> Error {
    Error::new(ErrorCode::MediaFile, format!("cannot be written: {error}"))
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [server, sender, receiver, speech, clip, kbps, folder, options @ ..] = &given[..] else {
        let usage = "usage: traced_session SERVER SENDER-TOKEN RECEIVER-TOKEN SPEECH.wav CLIP.y4m VIDEO-KBPS FOLDER [unrecorded]";
        return Err(Error::new(ErrorCode::InvalidArgument, usage));
    };
    let recorded = !options.iter().any(|option| option == "unrecorded");
    let kbps: u32 = kbps.parse().map_err(|_| Error::new(ErrorCode::InvalidArgument, "VIDEO-KBPS is a number"))?;
    let folder = Path::new(folder);
    let create = |name| File::create(folder.join(name)).map_err(unwritten);
    let trace = Trace { zero: Instant::now(), log: Arc::default() };
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let traced_video = {
        let (trace, file) = (trace.clone(), Mutex::new(recorded.then(|| create("seen.luma")).transpose()?));
        // There is one track of pictures; one that comes again after a new connection is written on.
        move || match file.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(File::try_clone).transpose() {
            Ok(inner) => VideoOutput::Custom(Box::new(Traced { inner, trace: trace.clone() })),
            Err(_) => VideoOutput::None,
        }
    };

    let runtime = tokio::runtime::Handle::current();
    let sending = SessionSettings {
        microphone: AudioInput::Custom(Box::new(Traced {
            inner: WavSource::open(Path::new(speech), true)?,
            trace: trace.clone(),
        })),
        camera: VideoInput::Custom(Box::new(Traced {
            inner: Y4mSource::open(Path::new(clip), true)?,
            trace: trace.clone(),
        })),
        video_bitrate_bps: kbps * 1000,
        ..SessionSettings::default()
    };
    let receiving = SessionSettings {
        speaker: AudioOutput::Custom(Box::new(Traced {
            inner: recorded.then(|| create("heard.s16").map(BufWriter::new)).transpose()?,
            trace: trace.clone(),
        })),
        video_outputs: Box::new(move |_, _, _| traced_video()),
        ..SessionSettings::default()
    };
    let (told, mut events) = mpsc::unbounded_channel();
    let receiver = session::start(server, receiver, receiving, move |event| drop(told.send(event)), &runtime)?;
    let sender = session::start(server, sender, sending, |_| {}, &runtime)?;

    let mut over = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let mut every_second = tokio::time::interval(STATISTICS_EVERY);
    let (mut media, mut statistics) = (0, Vec::new());
    loop {
        tokio::select! {
            _ = &mut over => break,
            _ = every_second.tick() => {
                let at = trace.zero.elapsed().as_micros() as u64;
                if let (Ok(sender), Ok(receiver)) = (sender.stats().await, receiver.stats().await) {
                    statistics.push(json!({"at_us": at, "sender": sender, "receiver": receiver}));
                }
            }
            event = events.recv() => match event {
                Some(Told::Event(SessionEvent::FirstAudio { .. } | SessionEvent::FirstVideo { .. })) => {
                    media += 1;
                    if media == 2 {
                        println!("{}", json!({"event": "media"}));
                    }
                }
                Some(Told::Event(SessionEvent::Ended { reason, error })) => {
                    let unknown = || Error::new(ErrorCode::ConnectionLost, format!("the session ended: {reason:?}"));
                    return Err(error.or_else(|| reason.error()).unwrap_or_else(unknown));
                }
                Some(_) => {}
                None => return Err(ErrorCode::ConnectionLost.into()),
            },
        }
    }
    let _ = tokio::join!(sender.leave(), receiver.leave());
    let log = trace.log.lock().unwrap_or_else(PoisonError::into_inner);
    let whole = json!({
        "unix_us": unix.as_micros() as u64, "said": log.said, "shown": log.shown, "heard": log.heard, "seen": log.seen,
        "statistics": statistics,
    });
    serde_json::to_writer(create("trace.json")?, &whole).map_err(|error| unwritten(error.into()))
}
