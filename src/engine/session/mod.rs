//! A session, driven: the signalling socket, the peer connections and the media pipelines around the session machine.
//!
//! [`start`] gives a [`SessionHandle`]; what happens is told as [`Told`]. One task owns everything, so that nothing here
//! needs a lock; media goes past it, from the pipelines' threads to the transport's tasks and back.

mod devices;
mod driver;
mod local;
mod peers;
mod remote;
mod settings;
mod signal;
mod stats;

pub use settings::{AudioTaps, SessionSettings, VideoOutputs};
pub use stats::{ReceivedTrack, SentLayer, SentTrack, SessionStats, SessionTimings};

use crate::base::{Error, ErrorCode, Result, TrackId};
use crate::device::kept::DevicePolicy;
use crate::engine::connect;
use crate::engine::pipeline::Playout;
use crate::processing::{VoiceControl, VoiceProcessing};
use crate::session::{MediaDevice, OutgoingData, Roster, SessionEvent, SessionMachine, TrackSource};
use crate::task::answered;
use devices::Controls;
use driver::Driver;
use peers::Peers;
use remote::{RemoteEvent, Remotes};
use signal::Signal;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Leaving takes at most that long, with whatever network.
pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Commands that wait for the driver; more make their callers wait.
const COMMANDS: usize = 64;

/// What a session tells.
#[derive(Debug)]
pub enum Told {
    Event(SessionEvent),
    /// What is measured, as often as [`SessionSettings::statistics_interval`] asks for.
    Statistics(Box<SessionStats>),
}

/// Joins a session with a session token, publishes what `settings` say, and plays the others.
///
/// `url` is the server's, with http, https, ws or wss. Returns at once: [`SessionEvent::Joined`] or
/// [`SessionEvent::Ended`] follows. `told` is called on a thread of `runtime`'s, with one thing after the other; it must not
/// block. The last one is `Ended`; when it comes, connections are closed and files are finished.
///
/// Errors: `invalid_argument` for the URL or a setting, `token_missing`, `media_file` for what is to be sent or played. A
/// device of the machine that does not work is told as [`SessionEvent::DeviceChanged`], and the session goes on.
pub fn start(
    url: &str,
    token: &str,
    mut settings: SessionSettings,
    told: impl Fn(Told) + Send + Sync + 'static,
    runtime: &tokio::runtime::Handle,
) -> Result<SessionHandle> {
    let started = Instant::now();
    let server = connect::websocket_url(url)?;
    settings.machine.check()?;
    if token.is_empty() {
        return Err(Error::new(ErrorCode::TokenMissing, "no session token was given"));
    }
    let statistics = {
        let _within = runtime.enter();
        settings.statistics_interval.map(driver::ticks).transpose()?
    };
    let (happened_sender, happened) = mpsc::unbounded_channel();
    let tell = {
        let happened = happened_sender.clone();
        // The session may be over by then.
        Arc::new(move |device, change| drop(happened.send(RemoteEvent::Device(device, change)))) as devices::Tell
    };
    let local::Opened { speaker, voice, controls, locals } = local::open(&mut settings, &tell)?;
    let playout = Playout::start(speaker)?;
    let remotes = Remotes::new(playout, settings.video_outputs, settings.audio_taps, happened_sender, tell);
    let mut machine = SessionMachine::new(settings.machine, started);
    for local in &locals {
        machine.publish(started, local.track.clone())?;
    }
    let (sender, commands) = mpsc::channel(COMMANDS);
    let shared = Arc::new(Shared::default());
    let driver = Driver {
        server,
        token: token.to_owned(),
        started,
        machine,
        signal: Signal::default(),
        peers: Peers::new(remotes.tracks()),
        locals,
        remotes,
        devices: controls.clone(),
        happened,
        commands,
        told: Box::new(told),
        shared: shared.clone(),
        statistics,
        timings: SessionTimings::default(),
        last_event: None,
        leaving: Vec::new(),
    };
    runtime.spawn(driver.run());
    Ok(SessionHandle { commands: sender, shared, voice, devices: controls })
}

/// A running session. Cheap to clone; when the last one is dropped, the session is left.
#[derive(Clone)]
pub struct SessionHandle {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    voice: Arc<VoiceControl>,
    devices: Controls,
}

enum Command {
    SetMuted(TrackSource, bool, oneshot::Sender<Result<()>>),
    SendData(OutgoingData, oneshot::Sender<Result<()>>),
    Subscribe(TrackId, bool, oneshot::Sender<Result<()>>),
    Unpublish(TrackSource, oneshot::Sender<Result<()>>),
    Stats(oneshot::Sender<SessionStats>),
    Leave(oneshot::Sender<()>),
}

/// What handles see without asking the driver.
struct Shared {
    roster: Mutex<Roster>,
    /// Those of the end.
    stats: Mutex<Option<SessionStats>>,
    /// Ended by a fault of ours.
    faulted: AtomicBool,
    joined: watch::Sender<Option<Result<()>>>,
}

impl SessionHandle {
    /// Waits until the server has let us in. Errors: why it did not.
    pub async fn joined(&self) -> Result<()> {
        let mut joined = self.shared.joined.subscribe();
        match joined.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            _ => Err(ErrorCode::ShutDown.into()),
        }
    }

    /// Mutes or unmutes our track of that source: muted, nothing is captured and nothing is sent.
    /// Errors: `track_not_found`, `session_not_found` after the end.
    pub async fn set_muted(&self, source: TrackSource, muted: bool) -> Result<()> {
        self.ask(|answer| Command::SetMuted(source, muted, answer)).await?
    }

    /// What is done to our voice from the next frame on.
    pub fn set_voice_processing(&self, processing: VoiceProcessing) {
        self.voice.set(processing);
    }

    pub fn voice_processing(&self) -> VoiceProcessing {
        self.voice.processing()
    }

    /// Takes another of the machine's devices, that of a name or id or the default one, from now on; what comes of it is
    /// told as [`SessionEvent::DeviceChanged`]. Errors: `device_unavailable` when the session was started with a file or
    /// something of the app's in its place.
    pub fn choose_device(&self, device: MediaDevice, name: Option<String>, policy: DevicePolicy) -> Result<()> {
        self.devices.of(device)?.choose(name, policy);
        Ok(())
    }

    /// How loud a microphone or speaker of the machine's is: 0 to 4, 1 is unchanged. Errors: `invalid_argument`, and as
    /// [`Self::choose_device`].
    pub fn set_volume(&self, device: MediaDevice, volume: f32) -> Result<()> {
        self.devices.of(device)?.set_volume(volume)
    }

    /// Takes our track of that source back, for good. Errors: `track_not_found`, `session_not_found` after the end.
    pub async fn unpublish(&self, source: TrackSource) -> Result<()> {
        self.ask(|answer| Command::Unpublish(source, answer)).await?
    }

    /// Sends a message to others. A reliable one sent before the connection is up waits for it; a lossy one is lost.
    /// Errors: `too_large`, `token_missing_grant`, `too_many_requests`, `session_not_found` after the end.
    pub async fn send_data(&self, data: OutgoingData) -> Result<()> {
        self.ask(|answer| Command::SendData(data, answer)).await?
    }

    /// Asks for a track of another participant, or gives it up.
    /// Errors: `track_not_found`, `session_not_found` after the end.
    pub async fn subscribe(&self, track: TrackId, subscribe: bool) -> Result<()> {
        self.ask(|answer| Command::Subscribe(track, subscribe, answer)).await?
    }

    /// Who is there; after the end, who was.
    pub fn roster(&self) -> Roster {
        lock(&self.shared.roster).clone()
    }

    /// What is measured at the moment; after the end, at the last one. Errors: `session_not_found` when the session was
    /// cut off without an end.
    pub async fn stats(&self) -> Result<SessionStats> {
        match self.ask(Command::Stats).await {
            Ok(stats) => Ok(stats),
            Err(error) => lock(&self.shared.stats).clone().ok_or(error),
        }
    }

    /// Says goodbye and closes everything; after it, `Ended` has been told. Idempotent.
    /// Errors: `timed_out` when it was not done within 2 s; what is left goes on in the background.
    pub async fn leave(&self) -> Result<()> {
        match tokio::time::timeout(LEAVE_TIMEOUT, self.ask(Command::Leave)).await {
            // No answer: it was over before.
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorCode::TimedOut, "leaving the session took over 2 s")),
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        if self.commands.send(command(sender)).await.is_ok()
            && let Some(answer) = answered(&self.commands, answer).await
        {
            return Ok(answer);
        }
        // Over, or about to be: only then it is known whether by a fault.
        self.commands.closed().await;
        if self.shared.faulted.load(Relaxed) {
            return Err(Error::new(ErrorCode::Internal, "the session had a fault; please report it with the log"));
        }
        Err(Error::new(ErrorCode::SessionNotFound, "the session is over"))
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            roster: Mutex::default(),
            stats: Mutex::default(),
            faulted: AtomicBool::new(false),
            joined: watch::Sender::new(None),
        }
    }
}

impl Shared {
    fn set_roster(&self, roster: &Roster) {
        lock(&self.roster).clone_from(roster);
    }

    fn set_stats(&self, stats: SessionStats) {
        *lock(&self.stats) = Some(stats);
    }

    /// The first result counts.
    fn joined(&self, result: Result<()>) {
        self.joined.send_if_modified(|joined| {
            let first = joined.is_none();
            if first {
                *joined = Some(result);
            }
            first
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
