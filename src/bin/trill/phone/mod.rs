//! A telephone in a terminal: what `trill call` and `trill answer` share.

mod answer;
mod call;
mod live;
mod media;

pub use answer::AnswerCommand;
pub use call::CallCommand;

use crate::client::ClientOptions;
use crate::output;
use clap::Args;
use live::LiveLine;
use media::{Media, MediaOptions};
use serde_json::json;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use trill::base::{DeviceId, Error, ErrorCode, Result, SessionId, Uid};
use trill::engine::{Engine, EngineConfig, Event, EventQueue, LoginEvent, NoEvent, SessionStats};
use trill::ringing::{Call, CallEvent, CallStatus, CallType};
use trill::session::{DeviceState, SessionEvent, TrackSource};

/// How often the live line and the statistics are renewed.
const REFRESH: Duration = Duration::from_secs(1);

/// The longest that the loop waits before it looks at the keyboard and at signals.
const LOOK: Duration = Duration::from_millis(50);

/// How long a call's last event is waited for after hanging up.
const LAST_EVENT: Duration = Duration::from_secs(3);

#[derive(Args)]
pub struct PhoneOptions {
    #[command(flatten)]
    client: ClientOptions,
    #[command(flatten)]
    media: MediaOptions,
    /// Which of your devices this is: the same name is the same device, that comes back to its call
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// Hang up after this time, such as 30s or 5m, counted from the answer
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Print one JSON object for each event and each second's statistics
    #[arg(long)]
    json: bool,
}

/// What a person at the telephone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Enter,
    Reject,
    Busy,
    Mute,
    Pause,
    HangUp,
    /// The keyboard is closed: nothing more will come from it.
    Closed,
}

struct Phone {
    engine: Engine,
    /// Who is logged in.
    uid: Uid,
    events: EventQueue,
    media: Media,
    duration: Option<Duration>,
    json: bool,
    keys: mpsc::Receiver<Key>,
    /// SIGINT and SIGTERM so far.
    signals: Arc<AtomicU32>,
    /// When the present call was hung up here.
    hung_up: Option<Instant>,
    live: LiveLine,
    session: Option<Running>,
}

/// The session of the call, from its start on.
struct Running {
    id: SessionId,
    since: Instant,
    refreshed: Instant,
    muted: bool,
    paused: bool,
    statistics: Option<SessionStats>,
}

/// Something for the command to act on.
#[allow(clippy::large_enum_variant, reason = "short-lived, one at a time")]
enum Happening {
    Event(Event),
    Key(Key),
    /// Nothing, or nothing that concerns it.
    Tick,
}

impl Phone {
    /// Tries the media out, and logs in. `video`: pictures may be sent.
    fn start(options: PhoneOptions, video: bool) -> Result<Self> {
        output::start_log(options.json, "trill=warn");
        let PhoneOptions { client, media, device, duration, json } = options;
        let media = media.open(video)?;
        let signals = Arc::new(AtomicU32::new(0));
        let count = signals.clone();
        ctrlc::set_handler(move || {
            // A first one hangs up; who insists is let go at once.
            if count.fetch_add(1, Relaxed) >= 1 {
                std::process::exit(130);
            }
        })
        .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot listen for signals: {e}")))?;
        let mut config = EngineConfig::default();
        if let Some(device) = device {
            config.device_id = device;
        }
        let token = client.token()?;
        let (engine, events) = Engine::with_queue(config)?;
        let uid = engine.log_in(&client.server, token).wait()?.uid;
        let live = LiveLine::new(!json);
        let (keys, hung_up, session) = (keyboard(), None, None);
        let phone = Self { engine, uid, events, keys, signals, hung_up, live, session, media, duration, json };
        // The login's own event stands in the queue already.
        if let Ok(event) = phone.events.next(LOOK) {
            phone.tell(&event);
        }
        Ok(phone)
    }

    /// Waits for what happens next, tells it, and does what is the same for both commands.
    fn next(&mut self) -> Result<Happening> {
        self.refresh();
        // Once a call was hung up, its last event is what is waited for.
        if self.signals.load(Relaxed) > 0 && self.hung_up.is_none() {
            return Ok(Happening::Key(Key::HangUp));
        }
        if let Ok(key) = self.keys.try_recv() {
            return Ok(self.pressed(key));
        }
        match self.events.next(LOOK) {
            Ok(event) => {
                self.tell(&event);
                match event {
                    Event::Login(LoginEvent::LoggedOut { error }) => Err(error),
                    event => Ok(Happening::Event(event)),
                }
            }
            Err(NoEvent::TimedOut) => Ok(Happening::Tick),
            Err(NoEvent::ShutDown) => Err(ErrorCode::ShutDown.into()),
        }
    }

    /// Carries a call from where it is to its end.
    fn talk(&mut self, call: &mut Call) -> Result<()> {
        let done = self.talk_until_the_end(call);
        self.hung_up = None;
        done
    }

    fn talk_until_the_end(&mut self, call: &mut Call) -> Result<()> {
        while !self.is_over_here(call) {
            match self.next()? {
                Happening::Event(Event::Call(event)) if event.call.session_id == call.session_id => {
                    let was = std::mem::replace(call, event.call);
                    let is_accepted = was.status == CallStatus::Initiated && call.status == CallStatus::Ongoing;
                    if is_accepted && self.hung_up.is_none() {
                        self.join(call)?;
                    }
                }
                Happening::Event(Event::Session { event: SessionEvent::Ended { error: Some(error), .. }, .. }) => {
                    self.session_failed(call, error)?;
                }
                Happening::Key(Key::Enter | Key::HangUp) if self.hung_up.is_none() => {
                    self.hang_up(call)?;
                    self.hung_up = Some(Instant::now());
                }
                _ if self.hung_up.is_none() && self.is_time_up() => {
                    self.hang_up(call)?;
                    self.hung_up = Some(Instant::now());
                }
                _ => {}
            }
            if self.hung_up.is_some_and(|since| since.elapsed() > LAST_EVENT) {
                *call = self.engine.call(&call.session_id).wait()?;
                self.hung_up = Some(Instant::now());
            }
        }
        Ok(())
    }

    /// Over for everyone, or for this user, who has left a group's call that goes on.
    fn is_over_here(&self, call: &Call) -> bool {
        let in_it = || call.participant(&self.uid).is_some_and(|party| party.is_in_call());
        call.status.is_over() || (call.status == CallStatus::Ongoing && !in_it())
    }

    /// Joins the session of an accepted call. When that fails the call is ended: nobody shall wait for us in it.
    fn join(&mut self, call: &mut Call) -> Result<()> {
        let joined = self.try_join(call);
        if joined.is_err() {
            self.session = None;
            // The first error is the one to tell.
            let _ = self.hang_up(call);
        }
        joined
    }

    fn try_join(&mut self, call: &Call) -> Result<()> {
        let access = self.engine.session_token(&call.session_id).wait()?;
        let settings = self.media.settings(call.call_type == CallType::Video)?;
        let (id, now) = (call.session_id.clone(), Instant::now());
        let running =
            Running { id: id.clone(), since: now, refreshed: now, muted: false, paused: false, statistics: None };
        self.session = Some(running);
        self.engine.start_session(&id, access.url, access.token, settings).wait()
    }

    /// Whether the time that was given for the call is over.
    fn is_time_up(&self) -> bool {
        match (&self.session, self.duration) {
            (Some(session), Some(limit)) => session.since.elapsed() >= limit,
            _ => false,
        }
    }

    /// Ends the call, or this user's part in a group's, whatever it is at; a call that is over already is as good. The last
    /// event of a call that is over follows, and is waited for: who reads the events shall see it.
    fn hang_up(&mut self, call: &mut Call) -> Result<()> {
        self.measure();
        self.note("hanging_up", "hanging up", json!({}));
        let ended = match self.engine.end_call(&call.session_id).wait() {
            Err(error) if error.code() == ErrorCode::NotAllowedInState => {
                self.engine.cancel_call(&call.session_id).wait()
            }
            other => other,
        };
        match ended {
            // Out of a group's call, that goes on.
            Ok(ended) if !ended.status.is_over() => *call = ended,
            Ok(_) => {}
            Err(error) if error.code() == ErrorCode::AlreadyEnded => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The session is over, and the call, as far as is known here, is not: without media there is no call.
    fn session_failed(&mut self, call: &mut Call, error: Error) -> Result<()> {
        // The room is closed when a call ends: its last event is on the way.
        if error.code() == ErrorCode::RoomClosed {
            return Ok(());
        }
        self.hang_up(call)?;
        Err(error)
    }

    /// What there is to say at the end of a session: its statistics.
    fn summarise(&mut self, call: &Call) {
        let Some(session) = self.session.take() else { return };
        self.live.clear();
        if self.json {
            output::line(json!({"event": "summary", "call": call, "statistics": session.statistics}));
        }
    }

    fn pressed(&mut self, key: Key) -> Happening {
        let Some(session) = &mut self.session else { return Happening::Key(key) };
        let (source, muted) = match key {
            Key::Mute => {
                session.muted = !session.muted;
                (TrackSource::Microphone, session.muted)
            }
            Key::Pause => {
                session.paused = !session.paused;
                (TrackSource::Camera, session.paused)
            }
            other => return Happening::Key(other),
        };
        if let Err(error) = self.engine.set_muted(&session.id, source, muted).wait() {
            self.live.say(&format!("that did not work: {error}"));
        }
        Happening::Tick
    }

    fn refresh(&mut self) {
        let due = self.session.as_ref().is_some_and(|session| session.refreshed.elapsed() >= REFRESH);
        if !due || !self.measure() {
            return;
        }
        let Some(session) = &self.session else { return };
        let Some(statistics) = &session.statistics else { return };
        if self.json {
            output::line(json!({"event": "statistics", "session": session.id, "statistics": statistics}));
        } else {
            self.live.show(session.since.elapsed(), session.muted, session.paused, statistics);
        }
    }

    /// Takes the session's statistics; false when there is no session to take them of.
    fn measure(&mut self) -> bool {
        let Some(session) = &mut self.session else { return false };
        session.refreshed = Instant::now();
        let Ok(statistics) = self.engine.statistics(&session.id).wait() else { return false };
        session.statistics = Some(statistics);
        true
    }

    /// Something that the command itself does.
    fn note(&self, event: &str, words: &str, mut fields: serde_json::Value) {
        if self.json {
            fields["event"] = json!(event);
            output::line(fields);
        } else {
            self.live.say(words);
        }
    }

    fn tell(&self, event: &Event) {
        if self.json {
            output::line(json!(event));
        } else if let Some(words) = words(event) {
            self.live.say(&words);
        }
    }
}

/// An event in the words of a person; nothing for what only programs want to know.
fn words(event: &Event) -> Option<String> {
    use trill::ringing::CallEventKind as Kind;
    Some(match event {
        Event::Login(LoginEvent::LoggedIn { user }) => format!("logged in as {}", user.uid),
        Event::Login(LoginEvent::Reconnecting { error }) => format!("connection lost, trying again: {error}"),
        Event::Login(_) => return None,
        Event::Call(CallEvent { kind, call, by }) => {
            let (from, to) = (&call.initiator.uid, &call.receiver.id);
            // Of a group it is one member who rings or answers.
            let who = by.as_ref().map_or(to.as_str(), |by| by.uid.as_str());
            match kind {
                Kind::IncomingReceived => format!("{from} calls ({})", call.call_type.name().to_lowercase()),
                Kind::OutgoingRinging => format!("it rings at {who}"),
                Kind::OutgoingAccepted => format!("{who} accepted"),
                Kind::OutgoingRejected => format!("{who} does not want to talk now"),
                Kind::OutgoingBusy => format!("{who} is busy"),
                Kind::OutgoingUnanswered => format!("{to} does not answer"),
                Kind::IncomingCancelled => format!("{from} has stopped calling"),
                Kind::AnsweredElsewhere => "answered on another device".into(),
                Kind::RejectedElsewhere => "rejected on another device".into(),
                Kind::Ended => {
                    let reason = call.end_reason.map(|r| r.name().replace('_', " ")).unwrap_or_default();
                    format!("call over after {} s ({reason})", call.duration_ms.div_ceil(1000))
                }
            }
        }
        Event::Session { event, .. } => match event {
            SessionEvent::Joined { .. } => "joined the session; Enter hangs up, m mutes, v pauses video".into(),
            SessionEvent::Connected => "media connected".into(),
            SessionEvent::FirstAudio { participant, .. } => format!("you hear {participant}"),
            SessionEvent::FirstVideo { participant, width, height, .. } => {
                format!("you see {participant} ({width}x{height})")
            }
            SessionEvent::ParticipantJoined { participant } => format!("{} is in", participant.identity),
            SessionEvent::ParticipantLeft { participant } => format!("{} has left", participant.identity),
            SessionEvent::TrackMuted { participant, track } => format!("{participant}: {} off", source(track.source)),
            SessionEvent::TrackUnmuted { participant, track } => format!("{participant}: {} on", source(track.source)),
            SessionEvent::Reconnecting => "connection broken, trying again".into(),
            SessionEvent::Reconnected => "connected again".into(),
            SessionEvent::DeviceChanged { device, state, name, error } => {
                let device = format!("{device:?}").to_lowercase();
                let error = error.as_ref().map(ToString::to_string).unwrap_or_default();
                match state {
                    DeviceState::InUse => format!("{device}: {}", name.as_deref().unwrap_or("in use")),
                    DeviceState::Lost => format!("{device}: {error}; looking for one"),
                    _ => format!("{device}: {error}"),
                }
            }
            SessionEvent::Error { error } => format!("trouble: {error}"),
            SessionEvent::Ended { error: Some(error), .. } => format!("the session ended: {error}"),
            _ => return None,
        },
        _ => return None,
    })
}

fn source(source: TrackSource) -> &'static str {
    match source {
        TrackSource::Microphone => "microphone",
        TrackSource::Camera => "camera",
        TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screen share",
        TrackSource::Unknown => "track",
    }
}

/// Lines from the keyboard, when there is one: Enter alone accepts a call or hangs up.
fn keyboard() -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel();
    if std::io::stdin().is_terminal() {
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
                let key = match line.trim() {
                    "" => Key::Enter,
                    "r" => Key::Reject,
                    "b" => Key::Busy,
                    "m" => Key::Mute,
                    "v" => Key::Pause,
                    "q" => Key::HangUp,
                    _ => continue,
                };
                if sender.send(key).is_err() {
                    return;
                }
            }
            // The telephone may be gone already.
            let _ = sender.send(Key::Closed);
        });
    }
    keys
}
