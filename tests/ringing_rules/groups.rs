//! Calls to groups: each member answers for itself.

use crate::scene::*;
use trill::base::{ErrorCode, GroupId, SessionId};
use trill::ringing::service::RoomInput;
use trill::ringing::wire::RejectReason;
use trill::ringing::{CallEventKind as Kind, CallStatus, EndReason, ParticipantState as State, ReceiverType};

/// Alice, Bob, Carol and Dave, each with a device, in one group.
fn team() -> (Scene, GroupId, [Phone; 4]) {
    let mut scene = Scene::new();
    let phones = ["alice/1", "bob/1", "carol/1", "dave/1"].map(|name| scene.phone(name));
    let guid = scene.group("team", &["alice", "bob", "carol", "dave"]);
    (scene, guid, phones)
}

fn states(scene: &Scene, session: &SessionId) -> Vec<State> {
    scene.call(session).participants.iter().map(|participant| participant.state).collect()
}

#[test]
fn a_group_rings_every_member_except_the_initiator() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let tablet = scene.phone("bob/2");
    let session = scene.dial_group(alice, &guid);
    let call = scene.call(&session);
    assert_eq!((call.receiver_type, call.receiver.id.as_str()), (ReceiverType::Group, "team"));
    assert_eq!(call.receiver.name.as_deref(), Some("team"));
    for phone in [bob, tablet, carol, dave] {
        assert_eq!(scene.heard(phone), [Kind::IncomingReceived]);
    }
    assert_eq!(scene.heard(alice), [Kind::OutgoingRinging], "once");
    assert_eq!(states(&scene, &session), [State::Accepted, State::Ringing, State::Ringing, State::Ringing]);
}

#[test]
fn one_members_reject_or_busy_does_not_end_it_and_the_initiator_hears_who() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.heard(alice);
    scene.reject(bob, &session, RejectReason::Rejected).unwrap();
    scene.reject(carol, &session, RejectReason::Busy).unwrap();
    assert_eq!(scene.call(&session).status, CallStatus::Initiated);
    assert!(scene.rings(dave));
    assert_eq!(scene.heard_by(alice), [(Kind::OutgoingRejected, "bob".into()), (Kind::OutgoingBusy, "carol".into())]);
    scene.accept(dave, &session).unwrap();
    assert_eq!(scene.heard_by(alice), [(Kind::OutgoingAccepted, "dave".into())]);
    assert_eq!(states(&scene, &session), [State::Accepted, State::Rejected, State::Busy, State::Accepted]);
    assert_eq!(code(scene.reject(bob, &session, RejectReason::Rejected)), ErrorCode::NotAllowedInState);
}

#[test]
fn a_group_of_whom_nobody_is_left_who_may_answer_has_rejected_or_is_busy() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.reject(bob, &session, RejectReason::Busy).unwrap();
    scene.reject(carol, &session, RejectReason::Rejected).unwrap();
    scene.heard(alice);
    scene.reject(dave, &session, RejectReason::Busy).unwrap();
    assert_eq!(scene.status(&session), (CallStatus::Rejected, Some(EndReason::Rejected)));
    assert_eq!(scene.heard_by(alice), [(Kind::OutgoingRejected, "dave".into())]);
    let session = scene.dial_group(alice, &guid);
    for phone in [bob, carol, dave] {
        scene.reject(phone, &session, RejectReason::Busy).unwrap();
    }
    assert_eq!(scene.status(&session), (CallStatus::Busy, Some(EndReason::Busy)));
    assert_eq!(scene.active_call(alice), None);
}

#[test]
fn the_initiators_other_device_hears_of_each_member_once() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let tablet = scene.phone("alice/tablet");
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    scene.accept(carol, &session).unwrap();
    scene.reject(dave, &session, RejectReason::Rejected).unwrap();
    let heard = [(Kind::OutgoingAccepted, "bob"), (Kind::OutgoingAccepted, "carol"), (Kind::OutgoingRejected, "dave")];
    assert_eq!(scene.heard_by(tablet), heard.map(|(kind, by)| (kind, by.to_owned())));
}

#[test]
fn nobody_in_by_the_time_out_ends_it() {
    let (mut scene, guid, [alice, bob, carol, _]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.reject(bob, &session, RejectReason::Rejected).unwrap();
    scene.pass(secs(45));
    assert_eq!(scene.status(&session), (CallStatus::Unanswered, Some(EndReason::Unanswered)));
    assert_eq!(states(&scene, &session), [State::Accepted, State::Rejected, State::Missed, State::Missed]);
    assert_eq!(scene.heard(alice), [Kind::OutgoingRinging, Kind::OutgoingRejected, Kind::OutgoingUnanswered]);
    assert_eq!(scene.heard(carol), [Kind::IncomingReceived, Kind::IncomingCancelled]);
}

#[test]
fn the_initiators_cancel_ends_it() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.reject(alice, &session, RejectReason::Cancelled).unwrap();
    assert_eq!(scene.status(&session), (CallStatus::Cancelled, Some(EndReason::Cancelled)));
    for phone in [bob, carol, dave] {
        assert_eq!(scene.heard(phone), [Kind::IncomingReceived, Kind::IncomingCancelled]);
        assert!(!scene.rings(phone));
    }
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    assert_eq!(code(scene.reject(alice, &session, RejectReason::Cancelled)), ErrorCode::NotAllowedInState);
}

#[test]
fn it_rings_on_for_the_others_when_one_accepts_until_the_time_out_and_goes_on() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.pass(secs(10));
    scene.accept(bob, &session).unwrap();
    assert!(scene.rings(carol) && scene.rings(dave));
    scene.accept(carol, &session).unwrap();
    scene.heard(dave);
    scene.pass(secs(35));
    let told = scene.events(dave);
    assert_eq!((told.len(), told[0].kind, told[0].call.status), (1, Kind::IncomingCancelled, CallStatus::Ongoing));
    assert_eq!(states(&scene, &session), [State::Accepted, State::Accepted, State::Accepted, State::Missed]);
    assert_eq!(scene.call(&session).status, CallStatus::Ongoing);
    assert_eq!(
        scene.heard_by(alice),
        [
            (Kind::OutgoingRinging, "bob".into()),
            (Kind::OutgoingAccepted, "bob".into()),
            (Kind::OutgoingAccepted, "carol".into())
        ]
    );
}

#[test]
fn members_may_join_while_it_is_ongoing_also_after_a_reject_or_a_missed_ring() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    scene.reject(carol, &session, RejectReason::Rejected).unwrap();
    scene.pass(secs(50));
    assert_eq!(code(scene.may_join(&session, "carol")), ErrorCode::NotAParty, "consent is each member's own");
    for (phone, name) in [(carol, "carol"), (dave, "dave")] {
        assert_eq!(scene.accept(phone, &session).unwrap().status, CallStatus::Ongoing);
        assert_eq!(scene.active_call(phone).unwrap().session_id, session);
        scene.may_join(&session, name).unwrap();
    }
}

#[test]
fn who_leaves_is_out_while_it_goes_on_and_may_come_back() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    scene.accept(carol, &session).unwrap();
    for name in ["alice", "bob", "carol"] {
        scene.room(&session, RoomInput::Joined(uid(name)));
    }
    scene.heard(bob);
    let call = scene.end(bob, &session).unwrap();
    assert_eq!((call.status, call.end_reason), (CallStatus::Ongoing, None));
    assert_eq!(scene.state(&session, "bob"), State::Left);
    assert_eq!(scene.put_out, [(session.clone(), Some(uid("bob")))]);
    assert_eq!(scene.heard(bob), [Kind::Ended], "for this device it is over");
    assert_eq!(scene.active_call(bob), None);
    assert_eq!(code(scene.may_join(&session, "bob")), ErrorCode::NotAParty);
    assert_eq!(code(scene.end(bob, &session)), ErrorCode::NotAllowedInState);
    // Not busy: it may call and be called.
    let other = scene.dial(dave, "bob");
    scene.reject(bob, &other, RejectReason::Rejected).unwrap();
    // The initiator, too, may leave and come back, and another device may be the one.
    scene.end(alice, &session).unwrap();
    scene.accept(bob, &session).unwrap();
    scene.end(carol, &session).unwrap();
    scene.accept(alice, &session).unwrap();
    assert_eq!(scene.active_call(alice).unwrap().session_id, session);
    assert_eq!(scene.active_call(bob).unwrap().session_id, session);
}

#[test]
fn it_is_over_when_the_last_one_leaves() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    scene.end(alice, &session).unwrap();
    assert_eq!(scene.call(&session).status, CallStatus::Ongoing);
    scene.heard(carol);
    scene.end(bob, &session).unwrap();
    assert_eq!(scene.status(&session), (CallStatus::Ended, Some(EndReason::EveryoneLeft)));
    assert_eq!(scene.call(&session).ended_by, Some(uid("bob")));
    assert_eq!(scene.heard(carol), [Kind::IncomingCancelled], "who still rang stops");
    assert!(!scene.rings(dave));
    assert_eq!(code(scene.accept(carol, &session)), ErrorCode::AlreadyEnded);
}

#[test]
fn a_member_whose_device_is_gone_for_60_s_is_out_and_the_others_go_on() {
    let (mut scene, guid, [alice, bob, carol, _]) = team();
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    scene.accept(carol, &session).unwrap();
    scene.set_online(bob, false);
    scene.pass(secs(61));
    assert_eq!(scene.call(&session).status, CallStatus::Ongoing);
    assert_eq!(scene.state(&session, "bob"), State::Left);
    scene.heard(bob);
    scene.set_online(bob, true);
    scene.pass(secs(10));
    assert_eq!(scene.heard(bob), [Kind::Ended], "back, it hears that it is out");
    for phone in [alice, carol] {
        scene.set_online(phone, false);
    }
    scene.pass(secs(61));
    assert_eq!(scene.status(&session), (CallStatus::Ended, Some(EndReason::ConnectionLost)));
}

#[test]
fn first_accept_wins_and_reject_stops_the_ringing_for_each_members_own_devices_alone() {
    let (mut scene, guid, [alice, bob, carol, _]) = team();
    let (bob2, carol2) = (scene.phone("bob/2"), scene.phone("carol/2"));
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    scene.reject(carol2, &session, RejectReason::Rejected).unwrap();
    assert_eq!(scene.heard(bob2), [Kind::IncomingReceived, Kind::AnsweredElsewhere]);
    assert_eq!(scene.heard(carol), [Kind::IncomingReceived, Kind::RejectedElsewhere]);
    assert_eq!(code(scene.accept(bob2, &session)), ErrorCode::NotAllowedInState);
    assert_eq!(code(scene.accept(bob, &session)), ErrorCode::AlreadyJoined);
}

#[test]
fn a_member_in_another_call_is_busy_unless_it_has_call_waiting() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let (erin, waiting) = (scene.phone("erin/1"), scene.phone_with("dave/2", true));
    let other = scene.dial(bob, "erin");
    scene.accept(erin, &other).unwrap();
    let daves = scene.phone("frank/1");
    let daves_call = scene.dial(daves, "dave");
    scene.accept(dave, &daves_call).unwrap();
    scene.heard(dave);
    scene.heard(waiting);
    let session = scene.dial_group(alice, &guid);
    assert_eq!(states(&scene, &session), [State::Accepted, State::Busy, State::Ringing, State::Ringing]);
    assert_eq!(scene.heard(waiting), [Kind::IncomingReceived]);
    assert_eq!(scene.heard(dave), []);
    assert!(scene.rings(carol));
    assert_eq!(code(scene.accept(bob, &session)), ErrorCode::BusySelf);
    scene.end(bob, &other).unwrap();
    scene.accept(bob, &session).unwrap();
}

#[test]
fn a_group_of_whom_all_are_busy_is_busy_at_once() {
    let (mut scene, _, [alice, bob, carol, _]) = team();
    let guid = scene.group("pair", &["alice", "bob", "carol"]);
    let other = scene.dial(bob, "carol");
    scene.accept(carol, &other).unwrap();
    let session = scene.dial_group(alice, &guid);
    assert_eq!(scene.status(&session), (CallStatus::Busy, Some(EndReason::Busy)));
    assert_eq!(scene.heard(alice), [Kind::OutgoingBusy]);
}

#[test]
fn there_is_no_glare_with_groups() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    let first = scene.dial_group(alice, &guid);
    let second = scene.dial_group(bob, &guid);
    assert_ne!(first, second);
    // Each dials, so each is busy for the other's.
    assert_eq!(scene.state(&second, "alice"), State::Busy);
    assert_eq!(scene.heard(carol), [Kind::IncomingReceived, Kind::IncomingReceived]);
    scene.accept(carol, &first).unwrap();
    scene.accept(dave, &second).unwrap();
    assert_eq!(scene.active_call(carol).unwrap().session_id, first);
    // And a user who calls the initiator of a group's call finds it busy.
    let erin = scene.phone("erin/1");
    let call = scene.dial(erin, "alice");
    assert_eq!(scene.call(&call).status, CallStatus::Busy);
}

#[test]
fn a_member_who_logs_in_while_it_rings_rings_too_and_a_restart_changes_nothing() {
    let (mut scene, guid, [alice, bob, carol, dave]) = team();
    scene.set_online(bob, false);
    let session = scene.dial_group(alice, &guid);
    scene.accept(carol, &session).unwrap();
    scene.restart_server();
    scene.pass(secs(8));
    scene.set_online(bob, true);
    scene.pass(secs(8));
    assert_eq!(scene.heard(bob), [Kind::IncomingReceived]);
    assert!(scene.rings(dave), "it has rung all along");
    assert_eq!(scene.heard(dave), [Kind::IncomingReceived]);
    scene.accept(bob, &session).unwrap();
    scene.pass(secs(45));
    assert_eq!(states(&scene, &session), [State::Accepted, State::Accepted, State::Accepted, State::Missed]);
    assert_eq!(
        scene.heard_by(alice),
        [
            (Kind::OutgoingRinging, "carol".into()),
            (Kind::OutgoingAccepted, "carol".into()),
            (Kind::OutgoingAccepted, "bob".into())
        ]
    );
}
