//! The task that owns a session: it feeds the machine, does what the machine says, and waits.

use super::devices::{self, Controls};
use super::local::Local;
use super::peers::Peers;
use super::remote::{Finished, RemoteEvent, Remotes};
use super::signal::{Signal, SignalEvent};
use super::stats::{SentTrack, SessionStats, SessionTimings};
use super::{Command, Shared, Told};
use crate::base::{Error, ErrorCode, Result, TrackId};
#[cfg(feature = "planted-faults")]
use crate::engine::planted;
use crate::session::{
    ConnectionState, Output, PeerCommand, PeerEvent, SessionEndReason, SessionEvent, SessionMachine, Side, TrackKind,
};
use futures_util::FutureExt;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};
use url::Url;

/// For pipelines to end and files to be finished.
const PIPELINES_TIMEOUT: Duration = Duration::from_secs(1);

const STATISTICS_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

pub(super) struct Driver {
    pub(super) server: Url,
    pub(super) token: String,
    pub(super) started: Instant,
    pub(super) machine: SessionMachine,
    pub(super) signal: Signal,
    pub(super) peers: Peers,
    pub(super) locals: Vec<Local>,
    pub(super) remotes: Remotes,
    pub(super) devices: Controls,
    pub(super) happened: mpsc::UnboundedReceiver<RemoteEvent>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) told: Box<dyn Fn(Told) + Send + Sync>,
    pub(super) shared: Arc<Shared>,
    /// When what is measured is to be told.
    pub(super) statistics: Option<Interval>,
    pub(super) timings: SessionTimings,
    /// Held back until everything is closed.
    pub(super) last_event: Option<SessionEvent>,
    /// Those who asked for the end.
    pub(super) leaving: Vec<oneshot::Sender<()>>,
}

impl Driver {
    /// Until the session is over. A fault ends this session, and nothing else.
    pub(super) async fn run(mut self) {
        let whole = AssertUnwindSafe(self.drive()).catch_unwind().await.unwrap_or(false);
        if !whole {
            // Pipelines and connections do not stand on the machine: they are closed as ever.
            tracing::error!("a session had a fault and is closed; please report this log");
            self.shared.faulted.store(true, Relaxed);
            let error = Some(ErrorCode::Internal.into());
            self.last_event = Some(SessionEvent::Ended { reason: SessionEndReason::Internal, error });
        }
        self.close().await;
    }

    /// True at the end, false after a fault.
    async fn drive(&mut self) -> bool {
        while !self.carry_out().await {
            let wake = self.machine.poll_timeout();
            tokio::select! {
                command = self.commands.recv() => self.command(command).await,
                event = self.signal.next() => self.signalled(event),
                (side, event) = self.peers.next() => self.peer(side, event),
                Some(event) = self.happened.recv() => match event {
                    RemoteEvent::Fault => return false,
                    RemoteEvent::KeyFrameNeeded(track) => self.remotes.tracks().request_key_frame(&track).await,
                    RemoteEvent::Device(device, change) => self.tell(devices::event(device, change)),
                    RemoteEvent::FirstMedia(track) => self.first_media(track),
                },
                () = sleep_until(wake) => self.machine.handle_timeout(Instant::now()),
                () = next_tick(&mut self.statistics), if self.timings.joined_ms.is_some() => {
                    let stats = self.stats().await;
                    (self.told)(Told::Statistics(Box::new(stats)));
                }
            }
        }
        true
    }

    /// Does all that the machine wants by now. True at the end.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Connect(request) => {
                    if let Some(token) = &request.token {
                        self.token.clone_from(&token.0);
                    }
                    self.signal.dial(&self.server, &self.token, &request);
                }
                Output::CloseSignal => self.signal = Signal::Down,
                Output::Send(message) => self.signal.send(message),
                Output::Peer(PeerCommand::SendData { reliable, payload }) => {
                    // A message that does not fit is the app's business, not the connection's end.
                    if let Err(error) = self.peers.send_data(reliable, payload) {
                        self.tell(SessionEvent::Error { error });
                    }
                }
                Output::Peer(command) => {
                    if let Some((side, event)) = self.peers.carry_out(command, &mut self.locals).await {
                        self.machine.handle_peer(Instant::now(), side, event);
                    }
                }
                Output::SetSending { cid, sending } => {
                    if let Some(local) = self.locals.iter_mut().find(|local| local.track.cid == cid) {
                        local.track.muted = !sending;
                        local.control.set_muted(!sending);
                    }
                }
                Output::SetWanted { cid, wanted } => {
                    if let Some(local) = self.locals.iter().find(|local| local.track.cid == cid) {
                        local.set_wanted(wanted);
                    }
                }
                Output::Withdrawn { cid } => {
                    let (over, kept) = self.locals.drain(..).partition(|local| local.track.cid == cid);
                    self.locals = kept;
                    drop_elsewhere::<Vec<Local>>(over);
                }
                Output::Event(event) => self.event(event),
                Output::Ended => return true,
            }
        }
        let roster = self.machine.roster();
        self.shared.set_roster(roster);
        let others = roster.others().count();
        self.locals.iter().for_each(|local| local.others_present(others));
        false
    }

    async fn command(&mut self, command: Option<Command>) {
        match command {
            // Every handle is gone: nobody is there to use the session.
            None => self.machine.leave(),
            Some(Command::Leave(done)) => {
                self.leaving.push(done);
                self.machine.leave();
            }
            Some(Command::SetMuted(source, muted, answer)) => {
                // Silence must not wait for anything.
                if muted && let Some(local) = self.locals.iter().find(|local| local.track.source == source) {
                    local.control.set_muted(true);
                }
                reply(answer, self.machine.set_muted(source, muted));
            }
            Some(Command::SendData(data, answer)) => {
                #[cfg(feature = "planted-faults")]
                {
                    planted::fault("session", &data);
                    self.locals.iter().for_each(|local| planted::in_media(&local.control, &data));
                }
                reply(answer, self.machine.send_data(data));
            }
            Some(Command::Subscribe(track, subscribe, answer)) => {
                reply(answer, self.machine.subscribe(&track, subscribe));
            }
            Some(Command::Unpublish(source, answer)) => {
                reply(answer, self.machine.unpublish(Instant::now(), source));
            }
            Some(Command::Stats(answer)) => {
                let stats = self.stats().await;
                // Who asked may have gone.
                let _ = answer.send(stats);
            }
        }
    }

    fn signalled(&mut self, event: SignalEvent) {
        let now = Instant::now();
        match event {
            SignalEvent::Opened(address) => self.peers.reached_from(address),
            SignalEvent::Failed(error) => self.machine.handle_signal_failed(now, error),
            SignalEvent::Message(message) => self.machine.handle_signal(now, *message),
            SignalEvent::Closed => self.machine.handle_signal_closed(now),
        }
    }

    fn peer(&mut self, side: Side, event: PeerEvent) {
        if side == Side::Publisher && matches!(event, PeerEvent::State(ConnectionState::Connected)) {
            for local in &mut self.locals {
                if let Err(error) = local.start(self.remotes.fault()) {
                    let error = error.context(format!("sending {}", local.track.name));
                    (self.told)(Told::Event(SessionEvent::Error { error }));
                }
            }
        }
        self.machine.handle_peer(Instant::now(), side, event);
    }

    fn first_media(&mut self, track: TrackId) {
        let Some(participant) = self.remotes.participant(&track).cloned() else { return };
        self.tell(match self.remotes.picture_size(&track) {
            Some((width, height)) => SessionEvent::FirstVideo { participant, track, width, height },
            None => SessionEvent::FirstAudio { participant, track },
        });
    }

    fn event(&mut self, event: SessionEvent) {
        match &event {
            SessionEvent::TrackSubscribed { participant, track } => {
                if let Err(error) = self.remotes.start(participant, track) {
                    let kind = if track.kind == TrackKind::Audio { "audio" } else { "video" };
                    let error = error.context(format!("playing {kind} of {participant}"));
                    self.tell(event);
                    return self.tell(SessionEvent::Error { error });
                }
            }
            SessionEvent::TrackUnsubscribed { track, .. } => drop_elsewhere(self.remotes.stop(&track.id)),
            SessionEvent::Ended { .. } => {
                self.last_event = Some(event);
                return;
            }
            _ => {}
        }
        self.tell(event);
    }

    fn tell(&mut self, event: SessionEvent) {
        let elapsed = Some(self.started.elapsed().as_secs_f64() * 1000.0);
        match &event {
            SessionEvent::Joined { .. } => {
                self.timings.joined_ms = elapsed;
                self.shared.joined(Ok(()));
            }
            SessionEvent::Connected => self.timings.connected_ms = elapsed,
            SessionEvent::FirstAudio { .. } => self.timings.first_audio_ms = self.timings.first_audio_ms.or(elapsed),
            SessionEvent::FirstVideo { .. } => self.timings.first_video_ms = self.timings.first_video_ms.or(elapsed),
            _ => {}
        }
        // Before the event, so that who asks on hearing of it sees it.
        self.shared.set_roster(self.machine.roster());
        (self.told)(Told::Event(event));
    }

    async fn stats(&mut self) -> SessionStats {
        let (publisher, subscriber) = self.peers.path_stats().await;
        let sent = self.locals.iter().map(|local| {
            let (audio, video) = local.reports();
            let network = self.peers.send_stats(&local.track.cid);
            let (source, muted, layers) = (local.track.source, local.track.muted, local.layer_reports());
            SentTrack { source, muted, network, audio, video, layers }
        });
        SessionStats {
            timings: self.timings,
            signal_rtt_ms: self.machine.signal_rtt().as_millis() as u64,
            publisher,
            subscriber,
            playback_underruns: self.devices.speaker.as_ref().map_or(0, |speaker| speaker.underruns()),
            sent: sent.collect(),
            received: self.remotes.stats(),
        }
    }

    /// Bounded, with whatever network: the farewell, the pipelines and the connections at the same time.
    async fn close(mut self) {
        // What had a fault may have it again, and the end is told in any case.
        if let Ok(stats) = AssertUnwindSafe(self.stats()).catch_unwind().await {
            self.shared.set_stats(stats);
        }
        let over: (Vec<Local>, Finished) = (std::mem::take(&mut self.locals), self.remotes.stop_all());
        let pipelines = tokio::task::spawn_blocking(move || drop(over));
        let farewell = async {
            self.signal.finish().await;
        };
        let (_, pipelines, ()) =
            tokio::join!(farewell, tokio::time::timeout(PIPELINES_TIMEOUT, pipelines), self.peers.close());
        if pipelines.is_err() {
            tracing::warn!("a media pipeline did not end in time");
        }
        let event = self.last_event.take();
        let error = match &event {
            Some(SessionEvent::Ended { error: Some(error), .. }) => error.clone(),
            _ => Error::from(ErrorCode::Cancelled),
        };
        // First: who waits for the join may start the next one of the same id, and this is not its end.
        if let Some(event) = event {
            (self.told)(Told::Event(event));
        }
        self.shared.joined(Err(error));
        for done in self.leaving.drain(..) {
            // Who asked may have gone.
            let _ = done.send(());
        }
    }
}

/// Joining a pipeline's thread takes milliseconds that the driver does not have.
fn drop_elsewhere<T: Send + 'static>(value: T) {
    tokio::task::spawn_blocking(move || drop(value));
}

fn reply(answer: oneshot::Sender<Result<()>>, result: Result<()>) {
    // Who asked may have gone.
    let _ = answer.send(result);
}

/// Within a runtime. Errors: `invalid_argument` when it is out of range.
pub(super) fn ticks(interval: Duration) -> Result<Interval> {
    if !STATISTICS_INTERVALS.contains(&interval) {
        let problem = format!("statistics_interval is {interval:?}; it goes from 100 ms to an hour");
        return Err(Error::new(ErrorCode::InvalidArgument, problem));
    }
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(ticks)
}

async fn next_tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
