//! A session of our engine that is watched: what it was told, what it hears, what it sees.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use trill::device::{AudioInput, AudioOutput, VideoInput, VideoOutput, frame_number};
use trill::engine::session::{SessionHandle, SessionSettings, Told, start};
use trill::media::frame::{AudioFrame, SAMPLE_RATE, VideoFrame};
use trill::session::SessionEvent;

/// The bound on every wait. Nothing here takes long; a machine under load may.
pub const SOON: Duration = Duration::from_secs(20);

pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 180;

pub struct Client {
    pub handle: SessionHandle,
    pub runtime: Runtime,
    events: mpsc::Receiver<SessionEvent>,
    heard: Arc<Mutex<Heard>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// The latest second of what the speaker got.
#[derive(Default)]
struct Heard {
    samples: VecDeque<i16>,
    total: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub width: u32,
    pub height: u32,
    pub number: u16,
}

impl Client {
    /// Sends a tone of that pitch and a small test picture.
    pub fn join(url: &str, token: &str, hz: f32) -> Self {
        Self::join_with(url, token, |settings| {
            settings.microphone = AudioInput::Tone { hz };
            settings.camera = VideoInput::TestPicture { width: WIDTH, height: HEIGHT, fps: 15 };
        })
    }

    /// Sends nothing.
    pub fn listen(url: &str, token: &str) -> Self {
        Self::join_with(url, token, |_| {})
    }

    pub fn join_with(url: &str, token: &str, change: impl FnOnce(&mut SessionSettings)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (told, events) = mpsc::channel();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut settings = SessionSettings {
            speaker: {
                let heard = heard.clone();
                AudioOutput::Callback(Box::new(move |frame| heard.lock().unwrap().take(frame)))
            },
            video_outputs: {
                let seen = seen.clone();
                Box::new(move |_, _, _| {
                    let seen = seen.clone();
                    VideoOutput::Callback(Box::new(move |frame| seen.lock().unwrap().push(Seen::of(frame))))
                })
            },
            video_bitrate_bps: 300_000,
            ..SessionSettings::default()
        };
        change(&mut settings);
        // The receiver goes before the session when a test fails.
        let tell = move |tells| {
            if let Told::Event(event) = tells {
                drop(told.send(event));
            }
        };
        let handle = start(url, token, settings, tell, runtime.handle()).unwrap();
        Self { handle, runtime, events, heard, seen }
    }

    /// The next event that `wanted` picks something from; those before it are let go.
    pub fn wait_for<T>(&self, what: &str, wanted: impl Fn(&SessionEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        let mut others = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => match wanted(&event) {
                    Some(found) => return found,
                    None => others.push(event),
                },
                Err(error) => panic!("waiting for {what}: {error:?}; told instead: {others:#?}"),
            }
        }
    }

    pub fn wait_until_connected(&self) {
        self.wait_for("the connection", |event| matches!(event, SessionEvent::Connected).then_some(()));
    }

    /// Waits for half a second of loud audio in one go, and tells its pitch in Hz.
    pub fn hear(&self) -> f32 {
        let begin = self.heard.lock().unwrap().total;
        let enough = SAMPLE_RATE as usize / 2;
        self.poll("audio", || {
            let heard = self.heard.lock().unwrap();
            let fresh = (heard.total - begin).min(heard.samples.len());
            let latest: Vec<i16> = heard.samples.iter().rev().take(enough).copied().collect();
            (fresh >= enough && loud(&latest)).then(|| pitch(&latest))
        })
    }

    pub fn wait_for_silence(&self) {
        self.poll("silence", || {
            let heard = self.heard.lock().unwrap();
            let latest: Vec<i16> = heard.samples.iter().rev().take(SAMPLE_RATE as usize / 5).copied().collect();
            latest.iter().all(|sample| sample.unsigned_abs() < 100).then_some(())
        });
    }

    /// Waits for so many pictures from now on.
    pub fn see(&self, pictures: usize) -> Vec<Seen> {
        let begin = self.seen.lock().unwrap().len();
        self.poll("pictures", || {
            let seen = self.seen.lock().unwrap();
            (seen.len() >= begin + pictures).then(|| seen[begin..].to_vec())
        })
    }

    pub fn leave(&self) -> Duration {
        let start = Instant::now();
        self.runtime.block_on(self.handle.leave()).unwrap();
        start.elapsed()
    }

    /// What the callbacks gather, and statistics, have no event to wait for: they are looked at often, with a bound.
    pub fn poll<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "waiting for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Heard {
    fn take(&mut self, frame: &AudioFrame) {
        self.total += frame.samples.len();
        self.samples.extend(frame.samples);
        let surplus = self.samples.len().saturating_sub(SAMPLE_RATE as usize);
        self.samples.drain(..surplus);
    }
}

impl Seen {
    fn of(frame: &VideoFrame) -> Self {
        Self { width: frame.width(), height: frame.height(), number: frame_number(frame) }
    }
}

/// Loud in every piece of 20 ms.
fn loud(samples: &[i16]) -> bool {
    samples.chunks(960).all(|piece| piece.iter().any(|sample| sample.unsigned_abs() > 1000))
}

/// From the upward crossings of zero.
fn pitch(samples: &[i16]) -> f32 {
    let crossings = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    crossings as f32 * SAMPLE_RATE as f32 / samples.len() as f32
}
