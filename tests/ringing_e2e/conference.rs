//! A group's call with its media: three engines on one server, and the owner's backend that is told of it.

use crate::receiver::Receiver;
use crate::support::*;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use trill::base::{ErrorCode, SessionId};
use trill::device::AudioInput;
use trill::engine::{Engine, EngineConfig, Event, EventQueue, LoginEvent, SessionSettings};
use trill::ringing::webhook::NoticeKind;
use trill::ringing::wire::{Initiate, RejectReason};
use trill::ringing::{Call, CallEvent, CallEventKind, CallStatus, CallType, Direction, EndReason, LogFilter};
use trill::server::CallConfig;
use trill::session::{SessionEndReason, SessionEvent};

/// An engine that is logged in, and what it is told.
struct Phone {
    engine: Engine,
    events: EventQueue,
}

impl Phone {
    async fn log_in(server: &TestServer, uid: &str) -> Self {
        let (engine, events) = Engine::with_queue(EngineConfig::default()).unwrap();
        engine.log_in(server.url(), user_token(uid)).await.unwrap();
        Self { engine, events }
    }

    /// The next event that `wanted` picks something from; those before it are let go.
    fn until<T>(&self, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        loop {
            let event = self.events.next(deadline.saturating_duration_since(Instant::now()));
            let event = event.unwrap_or_else(|none| panic!("waiting for {what}: {none:?}"));
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    fn until_call(&self, kind: CallEventKind) -> CallEvent {
        self.until(kind.name(), |event| match event {
            Event::Call(event) if event.kind == kind => Some(event.clone()),
            _ => None,
        })
    }

    /// Hears each of these for the first time, in whatever order.
    fn hears(&self, others: &[&str]) {
        let mut missing: BTreeSet<&str> = others.iter().copied().collect();
        self.until(&format!("the voices of {others:?}"), |event| {
            if let Event::Session { event: SessionEvent::FirstAudio { participant, .. }, .. } = event {
                missing.remove(participant.as_str());
            }
            missing.is_empty().then_some(())
        });
    }

    fn sees_leave(&self, who: &str) {
        self.until(&format!("the departure of {who}"), |event| match event {
            Event::Session { event: SessionEvent::ParticipantLeft { participant }, .. } => {
                (participant.identity.as_str() == who).then_some(())
            }
            _ => None,
        });
    }

    /// Joins the session of a call with a voice of its own.
    async fn join(&self, session: &SessionId, hz: f32) {
        let access = self.engine.session_token(session).await.unwrap();
        let settings = SessionSettings { microphone: AudioInput::Tone { hz }, ..SessionSettings::default() };
        self.engine.start_session(session, access.url, access.token, settings).await.unwrap();
    }

    /// Hangs up: the call is over for this engine, and its session with it.
    async fn hang_up(&self, session: &SessionId) -> Call {
        let call = self.engine.end_call(session).await.unwrap();
        let (mut call_is_over, mut session_is_over) = (false, false);
        self.until("the end of the call and of the session", |event| {
            match event {
                Event::Call(event) => call_is_over |= event.kind == CallEventKind::Ended,
                Event::Session { event: SessionEvent::Ended { reason, .. }, .. } => {
                    let expected =
                        [SessionEndReason::Left, SessionEndReason::ParticipantRemoved, SessionEndReason::RoomClosed];
                    assert!(expected.contains(reason), "{reason:?}");
                    session_is_over = true;
                }
                _ => {}
            }
            (call_is_over && session_is_over).then_some(())
        });
        assert_eq!(self.engine.active_call(), None);
        call
    }

    /// The only call in this user's log.
    async fn logged(&self, direction: Direction) -> Call {
        let filter = LogFilter { direction: Some(direction), ..LogFilter::default() };
        let mut calls = self.engine.call_log(filter).await.unwrap().calls;
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }
}

/// Three members of a group, each logged in.
async fn team(server: &TestServer) -> [Phone; 3] {
    let put = async |path: &str, body| {
        let answer = http_json(server, "PUT", path, admin(), body).await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.body);
    };
    put("/v1/groups/team", json!({"name": "Team"})).await;
    for uid in ["alice", "bob", "carol"] {
        put(&format!("/v1/users/{uid}"), json!({})).await;
        put(&format!("/v1/groups/team/members/{uid}"), json!({})).await;
    }
    [Phone::log_in(server, "alice").await, Phone::log_in(server, "bob").await, Phone::log_in(server, "carol").await]
}

fn to_team() -> Initiate {
    Initiate::group(&"team".parse().unwrap(), CallType::Audio)
}

/// The next notice that is not about ringing, which its members' telephones do when they like; whom it is about.
async fn next_step(receiver: &mut Receiver) -> (NoticeKind, Option<String>) {
    loop {
        let notice = receiver.next().await.notice;
        if notice.kind != NoticeKind::CallRinging {
            return (notice.kind, notice.participant.map(|participant| participant.uid.to_string()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_talks_a_member_joins_late_one_leaves_and_it_is_over_when_the_last_one_leaves() {
    let mut receiver = Receiver::start().await;
    let url = receiver.url();
    let server = TestServer::start_with(|config| config.webhooks.urls = vec![url]).await;
    let [alice, bob, carol] = team(&server).await;
    let session = alice.engine.initiate_call(to_team()).await.unwrap().session_id;
    bob.until_call(CallEventKind::IncomingReceived);
    carol.until_call(CallEventKind::IncomingReceived);
    carol.engine.reject_call(&session, RejectReason::Rejected).await.unwrap();
    assert_eq!(alice.until_call(CallEventKind::OutgoingRejected).by.unwrap().uid, uid("carol"));
    bob.engine.accept_call(&session).await.unwrap();
    assert_eq!(alice.until_call(CallEventKind::OutgoingAccepted).by.unwrap().uid, uid("bob"));
    bob.join(&session, 500.0).await;
    alice.join(&session, 400.0).await;
    alice.hears(&["bob"]);
    bob.hears(&["alice"]);

    // She has thought better of it.
    carol.engine.accept_call(&session).await.unwrap();
    assert_eq!(alice.until_call(CallEventKind::OutgoingAccepted).by.unwrap().uid, uid("carol"));
    carol.join(&session, 600.0).await;
    carol.hears(&["alice", "bob"]);
    alice.hears(&["carol"]);
    bob.hears(&["carol"]);

    // It was her call, and it goes on without her.
    assert_eq!(alice.hang_up(&session).await.status, CallStatus::Ongoing);
    bob.sees_leave("alice");
    carol.sees_leave("alice");
    assert_eq!(bob.engine.active_call().unwrap().status, CallStatus::Ongoing);
    let voice_of_carol = async || {
        let statistics = bob.engine.statistics(&session).await.unwrap();
        let track = statistics.received.iter().find(|track| track.participant.as_str() == "carol");
        track.and_then(|track| track.audio).map(|audio| audio.packets).expect("she is heard")
    };
    // Statistics have no event to wait for.
    let (before, deadline) = (voice_of_carol().await, Instant::now() + SOON);
    while voice_of_carol().await < before + 25 {
        assert!(Instant::now() < deadline, "the voice of who stayed has stopped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(carol.hang_up(&session).await.status, CallStatus::Ongoing);
    bob.sees_leave("carol");
    let ended = bob.hang_up(&session).await;
    assert_eq!((ended.status, ended.end_reason), (CallStatus::Ended, Some(EndReason::EveryoneLeft)));
    assert_eq!(ended.ended_by, Some(uid("bob")));
    assert!(ended.participants.iter().all(|party| party.joined && party.joined_at.is_some()), "{ended:?}");

    assert_eq!(alice.logged(Direction::Outgoing).await, ended);
    assert_eq!(bob.logged(Direction::Incoming).await, ended);
    assert_eq!(carol.logged(Direction::Incoming).await, ended);
    for (kind, who) in [
        (NoticeKind::CallInitiated, None),
        (NoticeKind::CallStarted, None),
        (NoticeKind::ParticipantJoined, Some("bob")),
        (NoticeKind::ParticipantJoined, Some("alice")),
        (NoticeKind::ParticipantJoined, Some("carol")),
        (NoticeKind::ParticipantLeft, Some("alice")),
        (NoticeKind::ParticipantLeft, Some("carol")),
        (NoticeKind::CallEnded, None),
    ] {
        assert_eq!(next_step(&mut receiver).await, (kind, who.map(str::to_owned)));
    }
    server.server.shutdown().await;
    receiver.expect_nothing_more();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_alone_in_a_session_for_180_s_or_as_set_is_in_no_call_any_more() {
    assert_eq!(CallConfig::default().left_alone, Duration::from_secs(180));
    let server = TestServer::start_with(|config| config.calls.left_alone = Duration::from_secs(1)).await;
    let alice = Phone::log_in(&server, "alice").await;
    let bob = Phone::log_in(&server, "bob").await;
    let session = alice.engine.initiate_call(call_to("bob")).await.unwrap().session_id;
    bob.until_call(CallEventKind::IncomingReceived);
    bob.engine.accept_call(&session).await.unwrap();
    alice.join(&session, 400.0).await;
    for phone in [&alice, &bob] {
        let call = phone.until_call(CallEventKind::Ended).call;
        assert_eq!((call.status, call.end_reason), (CallStatus::Ended, Some(EndReason::LeftAlone)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_deleted_while_talking_is_out_of_call_session_and_login_at_once_and_the_others_talk_on() {
    let server = TestServer::start().await;
    let [alice, bob, carol] = team(&server).await;
    let session = alice.engine.initiate_call(to_team()).await.unwrap().session_id;
    for (phone, hz) in [(&bob, 500.0), (&carol, 600.0)] {
        phone.until_call(CallEventKind::IncomingReceived);
        phone.engine.accept_call(&session).await.unwrap();
        phone.join(&session, hz).await;
    }
    alice.join(&session, 400.0).await;
    alice.hears(&["bob", "carol"]);
    let deleted = http(&server, "DELETE", "/v1/users/carol", &[admin()]).await;
    assert_eq!(deleted.status, 204, "{}", deleted.body);

    let (mut out_of_call, mut out_of_session, mut logged_out) = (false, false, false);
    carol.until("the end of everything", |event| {
        match event {
            Event::Call(event) => out_of_call |= event.kind == CallEventKind::Ended,
            Event::Session { event: SessionEvent::Ended { .. }, .. } => out_of_session = true,
            Event::Login(LoginEvent::LoggedOut { error }) => logged_out = error.code() == ErrorCode::UserRemoved,
            _ => {}
        }
        (out_of_call && out_of_session && logged_out).then_some(())
    });
    assert_eq!((carol.engine.active_call(), carol.engine.logged_in_user()), (None, None));
    for phone in [&alice, &bob] {
        phone.sees_leave("carol");
        assert_eq!(phone.engine.active_call().unwrap().status, CallStatus::Ongoing);
    }
    assert_eq!(bob.hang_up(&session).await.status, CallStatus::Ongoing);
    assert_eq!(alice.hang_up(&session).await.end_reason, Some(EndReason::EveryoneLeft));
}
