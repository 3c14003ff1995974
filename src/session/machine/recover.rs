//! A broken connection: first resume the presence that we have, then join anew, until it works or the time is over.

use super::{Output, PeerCommand, Phase, Request, ResumeRequest, SessionMachine};
use crate::base::{Error, ErrorCode};
use crate::session::{SessionEndReason, SessionEvent};
use livekit_protocol as proto;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Recovery {
    /// When the session ends if nothing has worked.
    limit: Instant,
    attempts: u32,
    /// The presence that we had is gone, or could not be taken up: join as if new.
    rejoin: bool,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Between two attempts.
    Waiting { at: Instant },
    /// A signalling connection is being opened; the server's first message is awaited.
    Dialling { deadline: Instant },
    /// Signalling is back; the peer connections are not yet.
    Restoring { deadline: Instant, resumed: bool },
}

/// For one attempt at signalling.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// After that many failed attempts to resume, the server has forgotten us.
const RESUME_ATTEMPTS: u32 = 3;

const FIRST_DELAY: Duration = Duration::from_millis(300);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

impl Recovery {
    pub(super) fn deadline(&self) -> Instant {
        let step = match self.step {
            Step::Waiting { at } => at,
            Step::Dialling { deadline } | Step::Restoring { deadline, .. } => deadline,
        };
        step.min(self.limit)
    }

    /// A join answer is what we wait for.
    pub(super) fn rejoining(&self) -> bool {
        self.rejoin && matches!(self.step, Step::Dialling { .. })
    }

    /// Doubles with each attempt.
    fn delay(&self) -> Duration {
        let doublings = self.attempts.saturating_sub(1).min(8);
        (FIRST_DELAY * 2_u32.pow(doublings)).min(LONGEST_DELAY)
    }
}

impl SessionMachine {
    /// Starts over with the presence that we have; does nothing when that is going on already.
    pub(super) fn recover(&mut self, now: Instant, why: &str) {
        match self.phase {
            Phase::Active { .. } => self.start_recovery(now, false, why),
            Phase::Joining { .. } => self.not_now(),
            Phase::Recovering(_) | Phase::Ended => {}
        }
    }

    /// The server knows nothing of us any more, or what it knows is of no use.
    pub(super) fn recover_by_rejoining(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Active { .. } => self.start_recovery(now, true, "joining anew"),
            Phase::Recovering(recovery) => {
                // The first time at once; a server that keeps saying so is asked less and less often.
                let at = if recovery.rejoin { now + recovery.delay() } else { now };
                recovery.rejoin = true;
                recovery.step = Step::Waiting { at };
                self.hang_up();
            }
            Phase::Joining { .. } => self.not_now(),
            Phase::Ended => {}
        }
    }

    pub(super) fn recovery_timeout(&mut self, now: Instant) {
        let Phase::Recovering(recovery) = &self.phase else { return };
        if recovery.limit <= now {
            let seconds = self.settings.reconnect_timeout.as_secs();
            let message = format!("the connection to the server broke and could not be restored for {seconds} s");
            let error = Error::new(ErrorCode::ConnectionLost, message);
            return self.end(SessionEndReason::ConnectionLost, Some(error));
        }
        match recovery.step {
            Step::Waiting { .. } => self.dial(now),
            Step::Dialling { .. } | Step::Restoring { .. } => self.recovery_step_failed(now),
        }
    }

    pub(super) fn recovery_dial_failed(&mut self, now: Instant, error: Error) {
        tracing::debug!(%error, "reconnecting failed");
        let final_codes = [
            ErrorCode::TlsRefused,
            ErrorCode::TokenExpired,
            ErrorCode::TokenWrongKey,
            ErrorCode::TokenMalformed,
            ErrorCode::TokenMissingGrant,
            ErrorCode::TokenMissing,
        ];
        if final_codes.contains(&error.code()) {
            return self.end(SessionEndReason::ConnectionLost, Some(error.context("reconnecting")));
        }
        self.recovery_step_failed(now);
    }

    pub(super) fn recovery_step_failed(&mut self, now: Instant) {
        let Phase::Recovering(recovery) = &mut self.phase else { return };
        match recovery.step {
            // What breaks while nothing is up is the old connections.
            Step::Waiting { .. } => return,
            Step::Dialling { .. } => {}
            Step::Restoring { resumed, .. } => recovery.rejoin |= resumed,
        }
        recovery.step = Step::Waiting { at: now + recovery.delay() };
        self.hang_up();
    }

    /// A peer connection broke; while signalling is not back that is the one that we are replacing.
    pub(super) fn recovery_peer_lost(&mut self, now: Instant) {
        if matches!(&self.phase, Phase::Recovering(Recovery { step: Step::Restoring { .. }, .. })) {
            self.recovery_step_failed(now);
        }
    }

    /// A peer connection is of no more use: to resume would be to go on with it.
    pub(super) fn replace_peers(&mut self, now: Instant) {
        match &self.phase {
            // That is going on already; what fails once more is tried again later.
            Phase::Recovering(recovery) if recovery.rejoin => self.recovery_peer_lost(now),
            _ => self.recover_by_rejoining(now),
        }
    }

    /// The server takes our presence up again.
    pub(super) fn resumed(&mut self, now: Instant, answer: proto::ReconnectResponse) {
        let Phase::Recovering(recovery) = &mut self.phase else { return };
        if recovery.rejoin || !matches!(recovery.step, Step::Dialling { .. }) {
            return;
        }
        let deadline = now + self.settings.media_timeout;
        recovery.step = Step::Restoring { deadline, resumed: true };
        self.resume_pings(now);
        if !answer.ice_servers.is_empty() {
            let ice_servers = answer.ice_servers.into_iter().map(Into::into).collect();
            self.outputs.push_back(Output::Peer(PeerCommand::SetIceServers { ice_servers }));
        }
        let (offer, publish_tracks) = self.published();
        let (answer, subscription) = self.subscribed();
        let subscription = Some(subscription);
        self.send(Request::SyncState(proto::SyncState {
            offer,
            answer,
            subscription,
            publish_tracks,
            ..Default::default()
        }));
        self.restart_publisher(now);
    }

    /// The server let us in anew; the peer connections follow.
    pub(super) fn rejoined(&mut self, now: Instant) {
        if let Phase::Recovering(recovery) = &mut self.phase {
            let deadline = now + self.settings.media_timeout;
            recovery.step = Step::Restoring { deadline, resumed: false };
        }
    }

    pub(super) fn maybe_recovered(&mut self) {
        let restoring = matches!(&self.phase, Phase::Recovering(Recovery { step: Step::Restoring { .. }, .. }));
        if restoring && self.publisher.is_idle() {
            self.phase = Phase::Active { media_deadline: None };
            if !std::mem::replace(&mut self.connected_once, true) {
                self.event(SessionEvent::Connected);
            }
            self.event(SessionEvent::Reconnected);
        }
    }

    fn start_recovery(&mut self, now: Instant, rejoin: bool, why: &str) {
        tracing::info!(why, "reconnecting");
        let limit = now + self.settings.reconnect_timeout;
        self.phase = Phase::Recovering(Recovery { limit, attempts: 0, rejoin, step: Step::Waiting { at: now } });
        self.event(SessionEvent::Reconnecting);
        self.hang_up();
        self.dial(now);
    }

    fn dial(&mut self, now: Instant) {
        let presence = self.roster.local().map(|local| local.id.clone());
        let Phase::Recovering(recovery) = &mut self.phase else { return };
        recovery.attempts += 1;
        recovery.rejoin |= recovery.attempts > RESUME_ATTEMPTS || presence.is_none();
        recovery.step = Step::Dialling { deadline: now + DIAL_TIMEOUT };
        let resume = presence.filter(|_| !recovery.rejoin).map(|participant| ResumeRequest { participant });
        self.connect(resume);
    }

    fn hang_up(&mut self) {
        self.pings.next = None;
        self.outputs.push_back(Output::CloseSignal);
    }

    /// The server answered the first join with a request to come again.
    fn not_now(&mut self) {
        let error = Error::new(ErrorCode::ServerUnavailable, "the server cannot take us in at the moment; try again");
        self.end(SessionEndReason::JoinFailed, Some(error));
    }
}
