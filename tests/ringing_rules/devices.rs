//! One user on several devices, and a device that loses its connection.

use crate::scene::*;
use trill::base::ErrorCode;
use trill::ringing::service::{RoomInput, ServiceSettings};
use trill::ringing::wire::RejectReason;
use trill::ringing::{CallEventKind as Kind, CallStatus, EndReason};

#[test]
fn a_call_rings_on_every_device_of_the_callee_and_the_first_tells_the_initiator() {
    let mut scene = Scene::new();
    let (alice, laptop, tablet) = (scene.phone("alice/1"), scene.phone("bob/laptop"), scene.phone("bob/tablet"));
    scene.dial(alice, "bob");
    assert_eq!(scene.heard(laptop), [Kind::IncomingReceived]);
    assert_eq!(scene.heard(tablet), [Kind::IncomingReceived]);
    assert_eq!(scene.heard(alice), [Kind::OutgoingRinging], "once");
}

#[test]
fn the_first_accept_wins_and_every_other_device_is_answered_elsewhere() {
    let mut scene = Scene::new();
    let (alice, laptop, tablet) = (scene.phone("alice/1"), scene.phone("bob/laptop"), scene.phone("bob/tablet"));
    let session = scene.dial(alice, "bob");
    scene.accept(tablet, &session).unwrap();
    assert_eq!(scene.heard(laptop), [Kind::IncomingReceived, Kind::AnsweredElsewhere]);
    assert!(!scene.rings(laptop));
    assert_eq!(code(scene.accept(laptop, &session)), ErrorCode::NotAllowedInState);
    assert_eq!(scene.active_call(laptop), None);
}

#[test]
fn a_reject_on_one_device_stops_the_ringing_on_the_others() {
    let mut scene = Scene::new();
    let (alice, laptop, tablet) = (scene.phone("alice/1"), scene.phone("bob/laptop"), scene.phone("bob/tablet"));
    let session = scene.dial(alice, "bob");
    scene.reject(laptop, &session, RejectReason::Rejected).unwrap();
    assert_eq!(scene.heard(tablet), [Kind::IncomingReceived, Kind::RejectedElsewhere]);
    assert!(!scene.rings(tablet) && !scene.rings(laptop));
}

#[test]
fn accepted_rejected_busy_and_unanswered_are_told_to_each_device_of_the_initiator_with_who() {
    let mut scene = Scene::new();
    let (alice, other, bob) = (scene.phone("alice/1"), scene.phone("alice/2"), scene.phone("bob/1"));
    for (outcome, by) in [
        (Kind::OutgoingRejected, "bob"),
        (Kind::OutgoingBusy, "bob"),
        (Kind::OutgoingUnanswered, ""),
        (Kind::OutgoingAccepted, "bob"),
    ] {
        let session = scene.dial(alice, "bob");
        assert_eq!(scene.heard_by(alice), [(Kind::OutgoingRinging, "bob".into())]);
        match outcome {
            Kind::OutgoingRejected => drop(scene.reject(bob, &session, RejectReason::Rejected).unwrap()),
            Kind::OutgoingBusy => drop(scene.reject(bob, &session, RejectReason::Busy).unwrap()),
            Kind::OutgoingAccepted => drop(scene.accept(bob, &session).unwrap()),
            _ => scene.pass(secs(46)),
        }
        for phone in [alice, other] {
            assert_eq!(scene.heard_by(phone), [(outcome, by.to_owned())]);
        }
    }
}

#[test]
fn a_lost_connection_while_ringing_has_10_s_to_come_back_and_then_the_call_is_cancelled() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.set_online(alice, false);
    // The device tries again after 5 s at the most.
    scene.pass(secs(4));
    assert_eq!(scene.call(&session).status, CallStatus::Initiated);
    scene.set_online(alice, true);
    scene.pass(secs(20));
    assert_eq!(scene.call(&session).status, CallStatus::Initiated, "it came back in time");
    scene.set_online(alice, false);
    scene.pass(secs(11));
    assert_eq!(scene.status(&session), (CallStatus::Cancelled, Some(EndReason::CallerGone)));
    assert_eq!(scene.heard(bob), [Kind::IncomingReceived, Kind::IncomingCancelled]);
    scene.heard(alice);
    scene.set_online(alice, true);
    scene.pass(secs(10));
    let told = scene.events(alice);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind, told[0].call.end_reason), (Kind::Ended, Some(EndReason::CallerGone)));
}

#[test]
fn a_lost_connection_in_a_call_has_60_s_to_come_back_and_then_the_call_ends() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.accept(bob, &session).unwrap();
    scene.set_online(bob, false);
    scene.pass(secs(54));
    scene.set_online(bob, true);
    scene.pass(secs(10));
    assert_eq!(scene.call(&session).status, CallStatus::Ongoing, "it came back in time");
    scene.heard(alice);
    scene.set_online(bob, false);
    scene.pass(secs(61));
    assert_eq!(scene.status(&session), (CallStatus::Ended, Some(EndReason::ConnectionLost)));
    assert_eq!(scene.heard(alice), [Kind::Ended]);
}

#[test]
fn who_is_in_the_session_needs_no_connection_for_ringing() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.accept(bob, &session).unwrap();
    scene.room(&session, RoomInput::Joined(uid("bob")));
    scene.set_online(bob, false);
    scene.pass(secs(300));
    assert_eq!(scene.call(&session).status, CallStatus::Ongoing);
    scene.room(&session, RoomInput::Left(uid("bob")));
    scene.pass(secs(61));
    assert_eq!(scene.status(&session), (CallStatus::Ended, Some(EndReason::ConnectionLost)));
}

#[test]
fn a_device_that_comes_back_gets_the_present_state_and_not_the_missed_history() {
    let mut scene = Scene::new();
    let (alice, bob, tablet) = (scene.phone("alice/1"), scene.phone("bob/1"), scene.phone("bob/tablet"));
    let session = scene.dial(alice, "bob");
    scene.heard(alice);
    scene.heard(tablet);
    scene.set_online(alice, false);
    scene.set_online(tablet, false);
    scene.accept(bob, &session).unwrap();
    scene.pass(secs(2));
    scene.set_online(alice, true);
    scene.pass(secs(10));
    assert_eq!(scene.heard(alice), [Kind::OutgoingAccepted]);
    scene.set_online(tablet, true);
    scene.pass(secs(10));
    assert_eq!(scene.heard(tablet), [Kind::AnsweredElsewhere]);
    scene.set_online(tablet, false);
    let second = scene.end(bob, &session).map(|_| scene.dial(alice, "bob")).unwrap();
    scene.reject(bob, &second, RejectReason::Rejected).unwrap();
    scene.set_online(tablet, true);
    scene.pass(secs(10));
    assert_eq!(scene.heard(tablet), [], "it never knew of that call");
}

#[test]
fn a_device_id_used_twice_replaces_the_earlier_login() {
    let mut scene = Scene::new();
    let first = scene.phone("alice/1");
    let bob = scene.phone("bob/1");
    let session = scene.dial(first, "bob");
    let second = scene.phone("alice/1");
    assert_eq!(scene.logged_out(first), Some(ErrorCode::DeviceReplaced));
    assert_eq!(scene.active_call(second).unwrap().session_id, session, "it has the state of the one before");
    scene.accept(bob, &session).unwrap();
    assert_eq!(scene.heard(second), [Kind::OutgoingRinging, Kind::OutgoingAccepted]);
}

#[test]
fn devices_and_open_calls_of_a_user_are_limited() {
    let mut scene = Scene::with(ServiceSettings { max_devices: 2, max_open_calls: 2, ..ServiceSettings::default() });
    scene.phone("bob/1");
    scene.phone("bob/2");
    let third = scene.phone("bob/3");
    // A first login that is refused is over.
    assert_eq!(scene.logged_out(third), Some(ErrorCode::TooManyRequests));
    for caller in ["alice", "carol", "dave"] {
        let phone = scene.phone(&format!("{caller}/1"));
        let call = scene.initiate(phone, to_user("bob")).map(|call| call.status).map_err(|error| error.code());
        let expected = if caller == "dave" { Err(ErrorCode::TooManyRequests) } else { Ok(CallStatus::Initiated) };
        assert_eq!(call, expected, "{caller}");
    }
}
