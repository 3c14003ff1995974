//! A device and the person in front of it.

use rand::{Rng, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use trill::base::{DeviceId, ErrorCode, RequestId, Result, SessionId, Uid};
use trill::ringing::client::{Client, ClientSettings};
use trill::ringing::service::ConnectionId;
use trill::ringing::wire::{Answer, Command, Initiate, Reject, RejectReason, Request, SessionRef};
use trill::ringing::{Call, CallEvent, CallEventKind, CallStatus, CallType, EndReason, ReceiverType};

/// The one group: everyone is a member.
pub const GROUP: &str = "everyone";

pub struct App {
    pub uid: Uid,
    pub device: DeviceId,
    pub client: Client,
    pub connection: Option<ConnectionId>,
    /// It cannot connect before this virtual time.
    pub away_until: u64,
    /// When its machine's timer is looked at next, in virtual time.
    pub timer_at: Option<u64>,
    /// What this app was told about calls that are over.
    pub told: BTreeMap<SessionId, (CallStatus, Option<EndReason>)>,
    /// The calls for which this app plays its ring tone.
    pub ringing: BTreeSet<SessionId>,
    asked: BTreeMap<RequestId, Command>,
    /// Each event that came, and the state of its call: none comes twice.
    heard: BTreeSet<(SessionId, u64, CallEventKind, Option<Uid>)>,
    logged_out: bool,
}

impl App {
    pub fn new(uid: Uid, device: DeviceId, call_waiting: bool, seed: u64) -> Self {
        let settings = ClientSettings {
            token: uid.to_string(),
            device_id: device.clone(),
            call_waiting,
            request_timeout: Duration::from_secs(15),
            seed,
        };
        Self {
            uid,
            device,
            client: Client::new(settings),
            connection: None,
            away_until: 0,
            timer_at: None,
            told: BTreeMap::new(),
            ringing: BTreeSet::new(),
            asked: BTreeMap::new(),
            heard: BTreeSet::new(),
            logged_out: false,
        }
    }

    /// The person does something at random. Returns what was asked for.
    pub fn act(&mut self, now: Instant, rng: &mut StdRng, others: &[Uid], calm: bool) -> Option<Command> {
        let active = self.client.active_call().cloned();
        let incoming = self.client.incoming_calls().next().cloned();
        let command = match (active, incoming) {
            (_, Some(call)) if rng.random_bool(0.7) => self.answer(rng, &call),
            (Some(call), _) if call.status == CallStatus::Ongoing => Command::End(session_ref(&call)),
            (Some(call), _) => reject(&call, RejectReason::Cancelled),
            (None, _) if calm => return None,
            (None, _) => {
                let callee = &others[rng.random_range(0..others.len())];
                let timeout = rng.random_bool(0.3).then(|| rng.random_range(5..20));
                let to_user = Initiate { timeout, ..Initiate::user(callee, CallType::Audio) };
                let to_group = || (GROUP.to_owned(), ReceiverType::Group);
                let (receiver, receiver_type) =
                    if rng.random_bool(0.25) { to_group() } else { (to_user.receiver.clone(), ReceiverType::User) };
                Command::Initiate(Initiate { receiver, receiver_type, ..to_user })
            }
        };
        self.ask(now, command.clone());
        Some(command)
    }

    fn answer(&mut self, rng: &mut StdRng, call: &Call) -> Command {
        match rng.random_range(0..10) {
            0 => reject(call, RejectReason::Busy),
            1 | 2 => reject(call, RejectReason::Rejected),
            _ => Command::Accept(session_ref(call)),
        }
    }

    fn ask(&mut self, now: Instant, command: Command) {
        if let Command::Reject(reject) = &command {
            self.ringing.remove(&reject.session_id);
        }
        let id = self.client.request(now, Request::Command(command.clone()));
        self.asked.insert(id, command);
    }

    pub fn told(&mut self, event: CallEvent) {
        let session = event.call.session_id.clone();
        let of = event.by.as_ref().filter(|_| event.call.receiver_type == ReceiverType::Group).map(|by| by.uid.clone());
        let new = self.heard.insert((session.clone(), event.call.revision, event.kind, of));
        assert!(new, "rule `nothing happens twice`: {} is told again: {event:?}", self.device);
        match event.kind {
            CallEventKind::IncomingReceived => {
                let new = self.ringing.insert(session.clone());
                assert!(new, "rule `nothing happens twice`: {} rings for {session}, and rings already", self.device);
                let over = self.told.contains_key(&session);
                assert!(!over, "rule `nobody rings for a call that is over`: {} knew of {session}", self.device);
            }
            CallEventKind::OutgoingRinging | CallEventKind::OutgoingAccepted => {}
            _ => {
                self.ringing.remove(&session);
            }
        }
        self.learn(&event.call);
    }

    pub fn answered(&mut self, id: &RequestId, result: Result<Answer>) {
        let Some(command) = self.asked.remove(id) else { return };
        match result {
            Ok(Answer::Call(call)) => {
                self.ringing.remove(&call.session_id);
                self.learn(&call);
            }
            Ok(other) => panic!("{command:?} was answered with {other:?}"),
            Err(error) => assert!(
                matches!(
                    error.code(),
                    ErrorCode::BusySelf
                        | ErrorCode::AlreadyEnded
                        | ErrorCode::AlreadyJoined
                        | ErrorCode::NotAllowedInState
                        | ErrorCode::StoreFailed
                        | ErrorCode::TimedOut
                        | ErrorCode::CallNotFound
                        // The owner has removed somebody.
                        | ErrorCode::UserUnknown
                        | ErrorCode::UserRemoved
                        | ErrorCode::GroupUnknown
                        | ErrorCode::NotAMember
                        | ErrorCode::NotAParty
                        | ErrorCode::EmptyGroup
                ),
                "{command:?} was refused with {error}"
            ),
        }
    }

    /// Nothing more will come, and an app stops all that it showed.
    pub fn logged_out(&mut self) {
        self.logged_out = true;
        self.ringing.clear();
    }

    pub fn is_logged_out(&self) -> bool {
        self.logged_out
    }

    fn learn(&mut self, call: &Call) {
        if call.status.is_over() {
            let outcome = (call.status, call.end_reason);
            let before = self.told.insert(call.session_id.clone(), outcome);
            let agrees = before.is_none_or(|before| before == outcome);
            assert!(agrees, "rule `all agree`: {} was told {before:?}, now {outcome:?}", self.device);
        }
    }
}

fn session_ref(call: &Call) -> SessionRef {
    SessionRef { session_id: call.session_id.clone() }
}

fn reject(call: &Call, reason: RejectReason) -> Command {
    Command::Reject(Reject { session_id: call.session_id.clone(), reason })
}
