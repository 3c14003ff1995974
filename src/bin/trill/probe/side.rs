//! One side of a probe: a session, its time-coded media, and a watch on the other side's.

use super::MediaOptions;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use trill::base::{Error, ErrorCode, Result};
use trill::device::{AudioInput, AudioOutput, VideoInput, VideoOutput};
use trill::engine::session::{self, SessionHandle, SessionSettings, SessionStats, Told};
use trill::engine::timecode::{TimecodedAudio, TimecodedVideo, Watch};
use trill::session::{OutgoingData, SessionEvent};
use trill::testkit::timecode::{OneWay, Report, one_way};

/// Marks the message in which a side tells the other what it noticed.
const TOPIC: &str = "trill-probe";
/// The other side may have begun to measure later.
const PEER_PATIENCE: Duration = Duration::from_secs(5);

/// How long the last message may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A running side.
pub struct Side {
    name: &'static str,
    watch: Watch,
    handle: SessionHandle,
    events: mpsc::UnboundedReceiver<SessionEvent>,
}

/// What one side found.
pub struct Found {
    side: &'static str,
    /// What it noticed of the other side's media.
    ours: Report,
    /// What the other side told that it noticed of ours.
    theirs: Option<Report>,
    statistics: Option<SessionStats>,
}

impl Side {
    /// The caller's pictures are stream 1, the answerer's stream 2.
    pub fn start(name: &'static str, server: &str, token: &str, media: &MediaOptions) -> Result<Self> {
        let (stream, other) = if name == "caller" { (1, 2) } else { (2, 1) };
        let watch = Watch::new(other);
        let (width, height) = media.size;
        let seen = watch.clone();
        let mut settings = SessionSettings {
            microphone: AudioInput::Custom(Box::<TimecodedAudio>::default()),
            camera: VideoInput::Custom(Box::new(TimecodedVideo::new(width, height, media.fps, stream)?)),
            speaker: AudioOutput::Custom(watch.audio_sink()),
            video_outputs: Box::new(move |_, _, _| VideoOutput::Custom(seen.video_sink())),
            video_bitrate_bps: media.video_kbps * 1000,
            ..SessionSettings::default()
        };
        settings.video.max_width = width;
        settings.video.max_height = height;
        settings.video.max_fps = media.fps;
        let (told, events) = mpsc::unbounded_channel();
        // Nobody listens any more after the end.
        let tell = move |tells| {
            if let Told::Event(event) = tells {
                drop(told.send(event));
            }
        };
        let handle = session::start(server, token, settings, tell, &tokio::runtime::Handle::current())?;
        Ok(Self { name, watch, handle, events })
    }

    /// Until sound and picture of the other side have come; one that has not come after `wait` is told by the report.
    /// Fails with `timed_out` when neither has, or with the reason when the session ends.
    pub async fn wait_for_media(&mut self, wait: Duration) -> Result<()> {
        let deadline = Instant::now() + wait;
        let (mut heard, mut seen) = (false, false);
        while !(heard && seen) {
            match timeout_at(deadline, self.events.recv()).await {
                Ok(Some(SessionEvent::FirstAudio { .. })) => heard = true,
                Ok(Some(SessionEvent::FirstVideo { .. })) => seen = true,
                Ok(Some(SessionEvent::Ended { reason, error })) => return Err(ended(error.or_else(|| reason.error()))),
                Ok(Some(_)) => {}
                Ok(None) => return Err(ended(None)),
                Err(_) if heard || seen => break,
                Err(_) => {
                    let message = format!("the {} got no media of the other side within {wait:?}", self.name);
                    return Err(Error::new(ErrorCode::TimedOut, message));
                }
            }
        }
        Ok(())
    }

    /// Measures, tells the other side, hears from it, and leaves.
    pub async fn measure(mut self, duration: Duration) -> Found {
        tokio::time::sleep(duration).await;
        let ours = self.watch.report();
        let statistics = self.handle.stats().await.ok();
        let message = OutgoingData {
            payload: serde_json::to_vec(&ours).unwrap_or_default().into(),
            topic: Some(TOPIC.into()),
            reliable: true,
            destinations: Vec::new(),
        };
        let told = self.handle.send_data(message).await;
        let theirs = match told {
            // Until both know, media goes on: the other side may still measure.
            Ok(()) => timeout(PEER_PATIENCE, self.peer_report()).await.ok().flatten(),
            Err(_) => None,
        };
        // What was sent last must get there before the connection is closed.
        let _ = timeout(GOODBYE, self.peer_left()).await;
        if let Err(error) = self.handle.leave().await {
            tracing::warn!(%error, side = self.name, "leaving");
        }
        Found { side: self.name, ours, theirs, statistics }
    }

    async fn peer_left(&mut self) {
        while let Some(event) = self.events.recv().await {
            if matches!(event, SessionEvent::ParticipantLeft { .. }) {
                return;
            }
        }
    }

    async fn peer_report(&mut self) -> Option<Report> {
        while let Some(event) = self.events.recv().await {
            if let SessionEvent::Data { message } = event
                && message.topic.as_deref() == Some(TOPIC)
            {
                return serde_json::from_slice(&message.payload).ok();
            }
        }
        None
    }
}

fn ended(error: Option<Error>) -> Error {
    error.unwrap_or_else(|| ErrorCode::ConnectionLost.into())
}

impl Found {
    /// What did not arrive, for people.
    pub fn complaints(&self) -> Vec<String> {
        let side = self.side;
        let mut complaints = Vec::new();
        for (arrives, medium) in [(self.ours.hears(), "sound"), (self.ours.sees(), "picture")] {
            if !arrives {
                complaints.push(format!("the {side} does not get the other side's {medium}"));
            }
        }
        complaints
    }

    pub fn json(&self) -> Value {
        json!({
            "event": "report",
            "side": self.side,
            "report": self.ours,
            "peer": self.theirs,
            "one_way": self.one_way(),
            "round_trip_ms": self.round_trip_ms(),
            "statistics": self.statistics,
        })
    }

    fn one_way(&self) -> Option<OneWay> {
        self.theirs.as_ref().map(|theirs| one_way(&self.ours, theirs))
    }

    /// The sound's way there and back again, as the sum of the medians: the clocks' difference is not in it.
    fn round_trip_ms(&self) -> Option<f64> {
        let there_and_back = |report: &Report| report.audio?.latency_ms.map(|latency| latency.p50);
        Some(there_and_back(&self.ours)? + there_and_back(self.theirs.as_ref()?)?)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} noticed of the other side:\n{}", self.side, self.ours)?;
        match self.round_trip_ms() {
            Some(sum) => writeln!(f, "both     sound there and back {sum:.1} ms")?,
            None => writeln!(f, "both     the other side did not tell what it noticed")?,
        }
        if let Some(OneWay { audio, video }) = self.one_way().filter(|one_way| one_way.audio || one_way.video) {
            writeln!(f, "         one way only: sound {audio}, picture {video}")?;
        }
        Ok(())
    }
}
