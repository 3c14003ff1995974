//! Time-outs, busy, call waiting, glare, and what a restart leaves as it is.

use crate::scene::*;
use trill::base::ErrorCode;
use trill::ringing::service::{Input, RoomInput};
use trill::ringing::wire::{Initiate, RejectReason};
use trill::ringing::{CallEventKind as Kind, CallStatus, EndReason, ParticipantState};

#[test]
fn a_call_rings_for_45_s_by_default_and_5_to_180_s_by_request() {
    for (asked, rings) in [(None, 45), (Some(5), 5), (Some(180), 180)] {
        let mut scene = Scene::new();
        let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
        let session = scene.initiate(alice, Initiate { timeout: asked, ..to_user("bob") }).unwrap().session_id;
        scene.pass(secs(rings - 1));
        assert_eq!(scene.call(&session).status, CallStatus::Initiated);
        scene.pass(secs(1));
        assert_eq!(scene.status(&session), (CallStatus::Unanswered, Some(EndReason::Unanswered)));
        assert_eq!(scene.state(&session, "bob"), ParticipantState::Missed);
        assert_eq!(scene.heard(alice), [Kind::OutgoingRinging, Kind::OutgoingUnanswered]);
        assert_eq!(scene.heard(bob), [Kind::IncomingReceived, Kind::IncomingCancelled]);
    }
    let mut scene = Scene::new();
    let (alice, _bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    for asked in [4, 181] {
        let refused = scene.initiate(alice, Initiate { timeout: Some(asked), ..to_user("bob") });
        assert_eq!(code(refused), ErrorCode::InvalidArgument);
    }
}

#[test]
fn the_ring_time_out_survives_a_restart_of_the_server() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.pass(secs(40));
    scene.restart_server();
    scene.pass(secs(4));
    assert_eq!(scene.call(&session).status, CallStatus::Initiated);
    scene.pass(secs(2));
    assert_eq!(scene.call(&session).status, CallStatus::Unanswered);
    assert_eq!(scene.heard(alice), [Kind::OutgoingRinging, Kind::OutgoingUnanswered]);
    assert_eq!(scene.heard(bob), [Kind::IncomingReceived, Kind::IncomingCancelled]);
}

#[test]
fn a_callee_in_a_call_is_busy_by_default_and_does_not_ring() {
    let mut scene = Scene::new();
    let (alice, bob, carol) = (scene.phone("alice/1"), scene.phone("bob/1"), scene.phone("carol/1"));
    let session = scene.dial(alice, "bob");
    // Ringing is not yet being in a call; dialling is.
    let while_it_rings = scene.initiate(carol, to_user("bob")).unwrap();
    assert_eq!(while_it_rings.status, CallStatus::Initiated);
    scene.reject(carol, &while_it_rings.session_id, RejectReason::Cancelled).unwrap();
    scene.accept(bob, &session).unwrap();
    scene.heard(bob);
    for callee in ["bob", "alice"] {
        let call = scene.initiate(carol, to_user(callee)).unwrap();
        assert_eq!((call.status, call.end_reason), (CallStatus::Busy, Some(EndReason::Busy)));
        assert_eq!(call.participants[1].state, ParticipantState::Busy);
    }
    assert_eq!(scene.heard(bob), []);
    assert_eq!(scene.heard(carol), [Kind::OutgoingRinging, Kind::OutgoingBusy, Kind::OutgoingBusy]);
}

#[test]
fn with_call_waiting_it_rings_and_the_app_decides() {
    let mut scene = Scene::new();
    let (alice, bob, waiting) = (scene.phone("alice/1"), scene.phone("bob/1"), scene.phone_with("bob/2", true));
    let carol = scene.phone("carol/1");
    let first = scene.dial(alice, "bob");
    scene.accept(waiting, &first).unwrap();
    scene.heard(bob);
    scene.heard(waiting);
    let second = scene.dial(carol, "bob");
    assert_eq!(scene.heard(waiting), [Kind::IncomingReceived]);
    assert_eq!(scene.heard(bob), [], "a device without call waiting stays still");
    assert_eq!(code(scene.accept(waiting, &second)), ErrorCode::BusySelf);
    scene.end(waiting, &first).unwrap();
    assert_eq!(scene.accept(waiting, &second).unwrap().status, CallStatus::Ongoing);
}

#[test]
fn glare_ends_with_both_in_the_call_that_came_first() {
    let mut scene = Scene::new();
    let (alice, bob, tablet) = (scene.phone("alice/1"), scene.phone("bob/1"), scene.phone("bob/2"));
    let first = scene.dial(alice, "bob");
    let second = scene.initiate(bob, to_user("alice")).unwrap();
    assert_eq!((second.session_id, second.status), (first.clone(), CallStatus::Ongoing));
    assert_eq!(scene.active_call(alice).unwrap().session_id, first);
    assert_eq!(scene.active_call(bob).unwrap().session_id, first);
    assert_eq!(scene.heard(tablet), [Kind::IncomingReceived, Kind::AnsweredElsewhere]);
    assert_eq!(scene.store.len(), 1, "one call, one record");
}

#[test]
fn alone_in_a_session_for_too_long_ends_the_call() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.accept(bob, &session).unwrap();
    scene.room(&session, RoomInput::Joined(uid("alice")));
    scene.room(&session, RoomInput::LeftAlone);
    assert_eq!(scene.status(&session), (CallStatus::Ended, Some(EndReason::LeftAlone)));
    assert_eq!(scene.heard(bob).pop(), Some(Kind::Ended));
}

#[test]
fn caller_callee_their_other_devices_and_the_log_have_one_reason() {
    for reason in [
        EndReason::HungUp,
        EndReason::ConnectionLost,
        EndReason::LeftAlone,
        EndReason::EveryoneLeft,
        EndReason::Rejected,
        EndReason::Busy,
        EndReason::Cancelled,
        EndReason::CallerGone,
        EndReason::Unanswered,
        EndReason::Failed,
        EndReason::Removed,
    ] {
        let mut scene = Scene::new();
        let phones = ["alice/1", "alice/2", "bob/1", "bob/2"].map(|name| scene.phone(name));
        let [alice, _, bob, _] = phones;
        let session = scene.dial(alice, "bob");
        let refuse = |scene: &mut Scene, by, how| drop(scene.reject(by, &session, how).unwrap());
        match reason {
            EndReason::Rejected => refuse(&mut scene, bob, RejectReason::Rejected),
            EndReason::Busy => refuse(&mut scene, bob, RejectReason::Busy),
            EndReason::Cancelled => refuse(&mut scene, alice, RejectReason::Cancelled),
            EndReason::CallerGone => scene.set_online(alice, false),
            EndReason::Removed => scene.input(Input::UserRemoved(uid("bob"))),
            EndReason::Unanswered => {}
            _ => drop(scene.accept(bob, &session).unwrap()),
        }
        match reason {
            EndReason::HungUp => drop(scene.end(bob, &session).unwrap()),
            EndReason::ConnectionLost => scene.set_online(bob, false),
            EndReason::LeftAlone => scene.room(&session, RoomInput::LeftAlone),
            EndReason::EveryoneLeft => scene.room(&session, RoomInput::Closed),
            EndReason::Failed => scene.room(&session, RoomInput::Failed),
            _ => {}
        }
        scene.pass(secs(100));
        for phone in [alice, bob] {
            scene.set_online(phone, true);
        }
        scene.pass(secs(10));
        let logged = scene.call(&session).clone();
        assert_eq!(logged.end_reason, Some(reason));
        let mut told = 0;
        for phone in phones {
            let last = scene.events(phone).into_iter().map(|event| event.call).rfind(|call| call.status.is_over());
            told += usize::from(last.is_some());
            assert!(last.is_none_or(|call| call == logged), "{reason} on another device than {phone:?}");
        }
        assert!(told >= 1, "nobody is told of {reason}");
    }
}

#[test]
fn a_call_in_progress_survives_a_restart_of_the_server() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.accept(bob, &session).unwrap();
    scene.restart_server();
    scene.pass(secs(10));
    assert_eq!(scene.call(&session).status, CallStatus::Ongoing);
    scene.end(bob, &session).unwrap();
    assert_eq!(scene.heard(alice), [Kind::OutgoingRinging, Kind::OutgoingAccepted, Kind::Ended]);
}
