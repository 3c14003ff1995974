//! The machine itself: phases, signalling, pings, the end. Publishing, subscribing, recovery and being alone have files of
//! their own.

mod alone;
mod io;
mod publish;
mod recover;
mod subscribe;
#[cfg(test)]
mod tests;

pub use io::{ConnectRequest, ConnectionState, IceServer, Output, PeerCommand, PeerEvent, ResumeRequest, Side};

use self::io::RefreshedToken;
use self::publish::Publisher;
use self::recover::Recovery;
use self::subscribe::Subscriber;
use super::{MachineSettings, OutgoingData, Roster, SessionEndReason, SessionEvent, TrackSource, data};
use crate::base::{Error, ErrorCode, Result, TrackId};
use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a server that does not say gets.
const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Outgoing data that waits for its channel to open, in bytes.
const MAX_QUEUED_DATA: usize = 1 << 20;

/// One session, from dialling to its end.
#[derive(Debug)]
pub struct SessionMachine {
    settings: MachineSettings,
    started: Instant,
    phase: Phase,
    roster: Roster,
    outputs: VecDeque<Output>,
    token: Option<RefreshedToken>,
    pings: Pings,
    publisher: Publisher,
    subscriber: Subscriber,
    /// Media has been up.
    connected_once: bool,
    /// The server has answered over UDP.
    reachable: bool,
    /// The server wants the subscriber up before anything else (else the publisher).
    subscriber_primary: bool,
    /// Nobody else is there; not known while the connection is broken.
    alone_since: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    /// Dialled; no join answer yet.
    Joining {
        deadline: Instant,
    },
    /// Let in. `media_deadline` until the peer connections are up for the first time.
    Active {
        media_deadline: Option<Instant>,
    },
    Recovering(Recovery),
    Ended,
}

#[derive(Debug)]
struct Pings {
    interval: Duration,
    timeout: Duration,
    /// When to send the next one; nothing while no signalling connection is up.
    next: Option<Instant>,
    heard: Instant,
    rtt: Duration,
}

/// What is common to both peer connections.
#[derive(Debug, Default)]
struct Peer {
    state: ConnectionState,
    /// Both descriptions of the first negotiation are known: candidates can be added.
    remote_described: bool,
    /// Candidates of the server that came before its description.
    early: Vec<String>,
    /// Our own candidates, until the description that they belong to is sent.
    unsent: Option<Vec<String>>,
}

impl SessionMachine {
    /// Dials: the first output is [`Output::Connect`].
    pub fn new(settings: MachineSettings, now: Instant) -> Self {
        let mut machine = Self {
            started: now,
            phase: Phase::Joining { deadline: now + settings.join_timeout },
            roster: Roster::default(),
            outputs: VecDeque::new(),
            token: None,
            pings: Pings {
                interval: DEFAULT_PING_INTERVAL,
                timeout: DEFAULT_PING_TIMEOUT,
                next: None,
                heard: now,
                rtt: Duration::ZERO,
            },
            publisher: Publisher::default(),
            subscriber: Subscriber::default(),
            connected_once: false,
            reachable: false,
            subscriber_primary: true,
            alone_since: None,
            settings,
        };
        machine.connect(None);
        machine
    }

    /// The next thing to do; nothing when there is none until the next happening or [`Self::poll_timeout`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`]. May change with every call of anything else.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Joining { deadline } => Some(*deadline),
            Phase::Active { media_deadline } => *media_deadline,
            Phase::Recovering(recovery) => Some(recovery.deadline()),
            Phase::Ended => return None,
        };
        let ping = self.pings.next.map(|next| next.min(self.pings.heard + self.pings.timeout));
        [own, ping, self.publisher.deadline(), self.alone_deadline()].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.phase {
            Phase::Joining { deadline } if *deadline <= now => {
                let error = Error::new(ErrorCode::ServerUnreachable, "the server did not let us in in time");
                self.end(SessionEndReason::JoinFailed, Some(error));
            }
            Phase::Active { media_deadline: Some(deadline) } if *deadline <= now => self.media_unreachable(now),
            Phase::Recovering(recovery) if recovery.deadline() <= now => self.recovery_timeout(now),
            _ => {}
        }
        if self.pings.next.is_some() {
            self.ping(now);
        }
        self.publish_timeouts(now);
        self.watch_company(now);
    }

    /// The signalling connection could not be opened. The error's code says whether trying again is of any use.
    pub fn handle_signal_failed(&mut self, now: Instant, error: Error) {
        match &self.phase {
            Phase::Joining { .. } => self.end(SessionEndReason::JoinFailed, Some(error)),
            Phase::Recovering(_) => self.recovery_dial_failed(now, error),
            Phase::Active { .. } | Phase::Ended => {}
        }
    }

    /// The signalling connection broke, or the server closed it without a word.
    pub fn handle_signal_closed(&mut self, now: Instant) {
        match &self.phase {
            Phase::Joining { .. } => {
                let error = Error::new(ErrorCode::ServerUnreachable, "the server hung up before it let us in");
                self.end(SessionEndReason::JoinFailed, Some(error));
            }
            Phase::Active { .. } => self.recover(now, "the signalling connection broke"),
            Phase::Recovering(_) => self.recovery_step_failed(now),
            Phase::Ended => {}
        }
        self.watch_company(now);
    }

    /// The server said something.
    pub fn handle_signal(&mut self, now: Instant, message: Response) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        self.pings.heard = now;
        match message {
            Response::Join(join) => self.joined(now, join),
            Response::Reconnect(answer) => self.resumed(now, answer),
            Response::Leave(leave) => self.told_to_leave(now, leave),
            Response::Offer(offer) => self.subscriber_offer(offer),
            Response::Answer(answer) => self.publisher_answer(now, answer),
            Response::Trickle(trickle) => self.trickle(trickle),
            Response::Update(update) => self.participants(update.participants),
            Response::TrackPublished(published) => self.track_published(now, published),
            Response::TrackUnpublished(unpublished) => self.track_unpublished(now, &unpublished.track_sid),
            Response::RequestResponse(response) => self.request_response(response),
            Response::Mute(mute) => self.server_mute(&mute),
            Response::SubscribedQualityUpdate(update) => self.layers_wanted(&update),
            Response::SubscriptionResponse(response) => self.subscription_failed(&response),
            Response::SpeakersChanged(changed) => {
                let event = self.roster.apply_speakers(&changed.speakers);
                self.event(event);
            }
            Response::ConnectionQuality(update) => {
                for info in &update.updates {
                    if let Some(event) = self.roster.apply_quality(info) {
                        self.event(event);
                    }
                }
            }
            Response::RefreshToken(token) => self.token = Some(RefreshedToken(token)),
            Response::PongResp(pong) => self.pong(now, pong.last_ping_timestamp),
            // What the others tell concerns features that we do not announce.
            other => tracing::trace!(message = name_of(&other), "left aside"),
        }
        self.watch_company(now);
    }

    /// A peer connection did something.
    pub fn handle_peer(&mut self, now: Instant, side: Side, event: PeerEvent) {
        if matches!(self.phase, Phase::Ended | Phase::Joining { .. }) {
            return;
        }
        match event {
            PeerEvent::State(state) => self.peer_state(now, side, state),
            PeerEvent::Reachable => self.reachable = true,
            PeerEvent::OfferMade { sdp } => self.offer_made(now, sdp),
            PeerEvent::AnswerMade { id, sdp } => self.answer_made(id, sdp),
            PeerEvent::Candidate { init } => self.own_candidate(side, init),
            PeerEvent::DataChannelOpen { reliable } => self.data_channel_open(reliable),
            PeerEvent::Data { reliable, payload } => match data::decode(&payload, reliable, &self.roster) {
                Ok(Some(message)) => self.event(SessionEvent::Data { message }),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "data message dropped"),
            },
            PeerEvent::Failed(error) => {
                tracing::warn!(%error, ?side, "peer connection failed");
                match self.phase {
                    // It never worked, and that is not the network's fault.
                    Phase::Active { media_deadline: Some(_) } => self.end(SessionEndReason::JoinFailed, Some(error)),
                    _ => self.replace_peers(now),
                }
            }
        }
        self.watch_company(now);
    }

    /// Sends a message to others. Errors: `too_large`, `token_missing_grant`, `too_many_requests` when more than a
    /// megabyte waits for the connection, `session_not_found` after the end.
    pub fn send_data(&mut self, data: OutgoingData) -> Result<()> {
        self.check_open()?;
        // Before the join it is not known: then it waits, as all that is sent before the connection is up.
        if self.roster.local().is_some() && !self.publisher.may_publish_data {
            return Err(no_data_grant());
        }
        let payload = data::encode(&data, self.roster.local().map(|p| &p.identity))?;
        self.publisher.queue_data(data.reliable, payload, &mut self.outputs)
    }

    /// Asks for tracks of others, or gives them up. With auto-subscribe only the second is needed.
    /// Errors: `track_not_found`, `session_not_found` after the end.
    pub fn subscribe(&mut self, track: &TrackId, subscribe: bool) -> Result<()> {
        self.check_open()?;
        self.update_subscription(track, subscribe)
    }

    /// Mutes or unmutes our track of that source. Errors: `track_not_found`, `session_not_found` after the end.
    pub fn set_muted(&mut self, source: TrackSource, muted: bool) -> Result<()> {
        self.check_open()?;
        self.mute_own(source, muted)
    }

    /// Says goodbye and ends. Idempotent.
    pub fn leave(&mut self) {
        self.end(SessionEndReason::Left, None);
    }

    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Round trip of the latest ping over signalling; zero before the first.
    pub fn signal_rtt(&self) -> Duration {
        self.pings.rtt
    }

    fn connect(&mut self, resume: Option<ResumeRequest>) {
        let token = self.token.clone();
        let auto_subscribe = self.settings.auto_subscribe;
        self.outputs.push_back(Output::Connect(ConnectRequest { auto_subscribe, token, resume }));
    }

    fn joined(&mut self, now: Instant, join: proto::JoinResponse) {
        let first = match &self.phase {
            Phase::Joining { .. } => true,
            Phase::Recovering(recovery) if recovery.rejoining() => false,
            _ => return,
        };
        let Some(local) = join.participant else {
            let error = Error::new(ErrorCode::Malformed, "the server's join answer names no participant");
            return self.end(SessionEndReason::JoinFailed, Some(error));
        };
        let permission = local.permission.clone();
        self.forget_presence();
        let mut events = Vec::new();
        self.roster.replace(local, join.other_participants, &mut events);
        let Some(local) = self.roster.local().cloned() else {
            let error = Error::new(ErrorCode::Malformed, "the server's join answer names a participant without id");
            return self.end(SessionEndReason::JoinFailed, Some(error));
        };
        self.subscriber_primary = join.subscriber_primary;
        self.start_pings(now, join.ping_interval, join.ping_timeout);
        let ice_servers = join.ice_servers.into_iter().map(IceServer::from).collect();
        self.outputs.push_back(Output::Peer(PeerCommand::Open { ice_servers }));
        let refused = self.publisher.joined(permission, join.fast_publish);
        self.subscriber = Subscriber::default();
        if first {
            self.phase = Phase::Active { media_deadline: Some(now + self.settings.media_timeout) };
            let participants = self.roster.others().cloned().collect();
            let room = join.room.map(|room| room.name).unwrap_or_default();
            self.event(SessionEvent::Joined { room, local, participants });
        } else {
            events.into_iter().for_each(|event| self.event(event));
            self.rejoined(now);
        }
        if refused {
            self.event(SessionEvent::Error { error: no_data_grant() });
        }
        self.publish_all(now);
    }

    fn told_to_leave(&mut self, now: Instant, leave: proto::LeaveRequest) {
        use proto::DisconnectReason as Why;
        use proto::leave_request::Action;
        match leave.action() {
            Action::Resume => return self.recover(now, "the server asks us to resume"),
            Action::Reconnect => return self.recover_by_rejoining(now),
            // Servers before protocol 13 set no action.
            Action::Disconnect if leave.can_reconnect => return self.recover_by_rejoining(now),
            Action::Disconnect => {}
        }
        let joining = matches!(self.phase, Phase::Joining { .. });
        let reason = match leave.reason() {
            Why::ClientInitiated => SessionEndReason::Left,
            Why::DuplicateIdentity => SessionEndReason::DuplicateIdentity,
            Why::ParticipantRemoved => SessionEndReason::ParticipantRemoved,
            Why::RoomDeleted | Why::RoomClosed => SessionEndReason::RoomClosed,
            Why::ServerShutdown => SessionEndReason::ServerShutdown,
            Why::MediaFailure => SessionEndReason::MediaUnreachable,
            _ if joining => SessionEndReason::JoinFailed,
            _ => SessionEndReason::ConnectionLost,
        };
        self.end(reason, None);
    }

    fn participants(&mut self, infos: Vec<proto::ParticipantInfo>) {
        let mut events = Vec::new();
        for info in infos {
            if let (Some(permission), true) = (&info.permission, self.is_local(&info.sid)) {
                self.publisher.permitted(permission);
            }
            self.roster.apply(info, &mut events);
        }
        events.into_iter().for_each(|event| self.event(event));
        self.subscriptions_changed();
    }

    fn is_local(&self, sid: &str) -> bool {
        self.roster.local().is_some_and(|local| local.id.as_str() == sid)
    }

    fn trickle(&mut self, trickle: proto::TrickleRequest) {
        // An empty candidate, or `final` alone, says that there are no more.
        if trickle.candidate_init.is_empty() {
            return;
        }
        let side = match trickle.target() {
            proto::SignalTarget::Publisher => Side::Publisher,
            proto::SignalTarget::Subscriber => Side::Subscriber,
        };
        let peer = self.peer(side);
        let init = trickle.candidate_init;
        if peer.remote_described {
            self.outputs.push_back(Output::Peer(PeerCommand::AddCandidate { side, init }));
        } else {
            peer.keep_early(init);
        }
    }

    fn own_candidate(&mut self, side: Side, init: String) {
        if let Some(unsent) = &mut self.peer(side).unsent {
            unsent.push(init);
        } else {
            self.send_candidate(side, init);
        }
    }

    fn send_candidate(&mut self, side: Side, candidate_init: String) {
        let target = side.target() as i32;
        self.send(Request::Trickle(proto::TrickleRequest { candidate_init, target, r#final: false }));
    }

    /// Our description is out: its candidates may follow.
    fn local_described(&mut self, side: Side) {
        for init in self.peer(side).unsent.take().unwrap_or_default() {
            self.send_candidate(side, init);
        }
    }

    /// The server's description is being applied: its candidates may follow.
    fn remote_described(&mut self, side: Side) {
        let peer = self.peer(side);
        peer.remote_described = true;
        for init in std::mem::take(&mut peer.early) {
            self.outputs.push_back(Output::Peer(PeerCommand::AddCandidate { side, init }));
        }
    }

    fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Publisher => &mut self.publisher.peer,
            Side::Subscriber => &mut self.subscriber.peer,
        }
    }

    fn peer_state(&mut self, now: Instant, side: Side, state: ConnectionState) {
        self.peer(side).state = state;
        match state {
            ConnectionState::Connected => self.media_changed(),
            ConnectionState::Failed => self.peer_lost(now),
            _ => {}
        }
    }

    /// The primary connection is up, and the other as well if it is needed.
    fn media_is_up(&self) -> bool {
        let up = |peer: &Peer| peer.state == ConnectionState::Connected;
        let publisher_needed = !self.subscriber_primary || self.publisher.has_tracks();
        let subscriber_needed = self.subscriber_primary;
        (!publisher_needed || up(&self.publisher.peer)) && (!subscriber_needed || up(&self.subscriber.peer))
    }

    fn media_changed(&mut self) {
        if !self.media_is_up() {
            return;
        }
        match &mut self.phase {
            Phase::Active { media_deadline } if media_deadline.is_some() => {
                *media_deadline = None;
                self.connected_once = true;
                self.event(SessionEvent::Connected);
            }
            Phase::Recovering(_) => self.maybe_recovered(),
            _ => {}
        }
    }

    fn peer_lost(&mut self, now: Instant) {
        match &self.phase {
            Phase::Active { media_deadline: Some(_) } => self.media_unreachable(now),
            Phase::Active { .. } => self.recover(now, "a peer connection failed"),
            Phase::Recovering(_) => self.recovery_peer_lost(now),
            Phase::Joining { .. } | Phase::Ended => {}
        }
    }

    /// There is no media path, and never was one.
    fn media_unreachable(&mut self, now: Instant) {
        if self.reachable {
            // UDP is not blocked: what was lost were too many packets, or the server's answers over TCP.
            return self.recover_by_rejoining(now);
        }
        let waited = now.saturating_duration_since(self.started).as_secs();
        let message = format!(
            "the server answers, but after {waited} s there is no media path to it: UDP is probably blocked by a firewall"
        );
        self.end(SessionEndReason::MediaUnreachable, Some(Error::new(ErrorCode::MediaUnreachable, message)));
    }

    fn start_pings(&mut self, now: Instant, interval: i32, timeout: i32) {
        let seconds = |given: i32, default| match u64::try_from(given) {
            Ok(given @ 1..=600) => Duration::from_secs(given),
            _ => default,
        };
        self.pings.interval = seconds(interval, DEFAULT_PING_INTERVAL);
        self.pings.timeout = seconds(timeout, DEFAULT_PING_TIMEOUT);
        self.resume_pings(now);
    }

    fn resume_pings(&mut self, now: Instant) {
        self.pings.heard = now;
        self.pings.next = Some(now + self.pings.interval);
    }

    fn ping(&mut self, now: Instant) {
        if now >= self.pings.heard + self.pings.timeout {
            self.pings.next = None;
            return match &self.phase {
                Phase::Active { .. } => self.recover(now, "the server no longer answers pings"),
                Phase::Recovering(_) => self.recovery_step_failed(now),
                Phase::Joining { .. } | Phase::Ended => {}
            };
        }
        if self.pings.next.is_some_and(|next| next <= now) {
            self.pings.next = Some(now + self.pings.interval);
            let timestamp = self.millis(now);
            let rtt = self.pings.rtt.as_millis() as i64;
            self.send(Request::PingReq(proto::Ping { timestamp, rtt }));
        }
    }

    fn pong(&mut self, now: Instant, sent: i64) {
        if let Ok(rtt) = u64::try_from(self.millis(now).saturating_sub(sent)) {
            self.pings.rtt = Duration::from_millis(rtt);
        }
    }

    /// Our own clock in pings: only we read it back.
    fn millis(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.started).as_millis() as i64
    }

    fn end(&mut self, reason: SessionEndReason, error: Option<Error>) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if !matches!(self.phase, Phase::Joining { .. }) {
            let leave = proto::LeaveRequest {
                reason: proto::DisconnectReason::ClientInitiated as i32,
                action: proto::leave_request::Action::Disconnect as i32,
                ..Default::default()
            };
            self.send(Request::Leave(leave));
        }
        self.phase = Phase::Ended;
        self.pings.next = None;
        let error = error.or_else(|| reason.error());
        self.event(SessionEvent::Ended { reason, error });
        self.outputs.push_back(Output::Ended);
    }

    fn check_open(&self) -> Result<()> {
        match self.phase {
            Phase::Ended => Err(Error::new(ErrorCode::SessionNotFound, "the session is over")),
            _ => Ok(()),
        }
    }

    fn send(&mut self, message: Request) {
        self.outputs.push_back(Output::Send(message));
    }

    fn event(&mut self, event: SessionEvent) {
        self.outputs.push_back(Output::Event(event));
    }
}

impl Peer {
    /// Candidates of one peer that are kept at most; a server needs a handful.
    const MAX_EARLY: usize = 64;

    fn fresh() -> Self {
        Self { unsent: Some(Vec::new()), ..Self::default() }
    }

    fn keep_early(&mut self, init: String) {
        if self.early.len() < Self::MAX_EARLY {
            self.early.push(init);
        }
    }
}

fn no_data_grant() -> Error {
    Error::new(ErrorCode::TokenMissingGrant, "the token does not grant canPublishData")
}

/// For logs: the message may hold what does not belong there.
fn name_of(message: &Response) -> &'static str {
    match message {
        Response::RoomUpdate(_) => "room_update",
        Response::StreamStateUpdate(_) => "stream_state_update",
        Response::SubscriptionPermissionUpdate(_) => "subscription_permission_update",
        Response::TrackSubscribed(_) => "track_subscribed",
        Response::Pong(_) => "pong",
        _ => "other",
    }
}
