//! What the server's owner changes takes effect in calls at once.

use crate::scene::*;
use trill::base::{ErrorCode, GroupId};
use trill::ringing::service::{Input, RoomInput};
use trill::ringing::{CallEventKind as Kind, CallStatus, EndReason, ParticipantState as State, User};

#[test]
fn a_removed_user_is_out_of_its_calls_at_once_and_its_devices_are_logged_out() {
    let mut scene = Scene::new();
    let (alice, bob, tablet) = (scene.phone("alice/1"), scene.phone("bob/1"), scene.phone("bob/2"));
    let session = scene.dial(alice, "bob");
    scene.accept(bob, &session).unwrap();
    scene.room(&session, RoomInput::Joined(uid("bob")));
    scene.input(Input::UserRemoved(uid("bob")));
    assert_eq!(scene.status(&session), (CallStatus::Ended, Some(EndReason::Removed)));
    assert_eq!(scene.put_out, [(session.clone(), None)]);
    assert_eq!(scene.heard(alice).pop(), Some(Kind::Ended));
    for phone in [bob, tablet] {
        assert_eq!(scene.logged_out(phone), Some(ErrorCode::UserRemoved));
    }
    assert_eq!(code(scene.initiate(alice, to_user("bob"))), ErrorCode::UserUnknown);
}

#[test]
fn a_removed_user_rings_nowhere_and_is_rung_no_more() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.input(Input::UserRemoved(uid("alice")));
    assert_eq!(scene.status(&session), (CallStatus::Failed, Some(EndReason::Removed)));
    assert_eq!(scene.heard(bob), [Kind::IncomingReceived, Kind::IncomingCancelled]);
    let carol = scene.phone("carol/1");
    let session = scene.dial(carol, "bob");
    scene.input(Input::UserRemoved(uid("bob")));
    assert_eq!(scene.status(&session), (CallStatus::Failed, Some(EndReason::Removed)));
    assert_eq!(scene.heard(carol), [Kind::OutgoingRinging, Kind::Ended]);
}

#[test]
fn a_removed_member_is_out_of_the_groups_calls_and_cannot_come_back_until_it_is_a_member_again() {
    let mut scene = Scene::new();
    let [alice, bob, carol] = ["alice/1", "bob/1", "carol/1"].map(|name| scene.phone(name));
    let guid = scene.group("team", &["alice", "bob", "carol"]);
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    scene.heard(bob);
    scene.input(Input::MemberRemoved { guid: guid.clone(), uid: uid("bob") });
    scene.input(Input::MemberRemoved { guid: guid.clone(), uid: uid("carol") });
    assert_eq!(scene.call(&session).status, CallStatus::Ongoing, "the initiator waits in it");
    assert_eq!((scene.state(&session, "bob"), scene.state(&session, "carol")), (State::Left, State::Missed));
    assert_eq!(scene.put_out, [(session.clone(), Some(uid("bob")))]);
    assert_eq!(scene.heard(bob), [Kind::Ended]);
    assert_eq!(scene.heard(carol), [Kind::IncomingReceived, Kind::IncomingCancelled]);
    assert_eq!(code(scene.accept(bob, &session)), ErrorCode::NotAMember);
    assert_eq!(code(scene.may_join(&session, "bob")), ErrorCode::NotAParty);
    scene.input(Input::MemberAdded { guid, user: User::new(uid("bob")) });
    scene.accept(bob, &session).unwrap();
}

#[test]
fn a_new_member_rings_for_the_groups_call_that_rings_and_may_join_one_that_is_ongoing() {
    let mut scene = Scene::new();
    let [alice, bob, carol, dave] = ["alice/1", "bob/1", "carol/1", "dave/1"].map(|name| scene.phone(name));
    let guid = scene.group("team", &["alice", "bob"]);
    let session = scene.dial_group(alice, &guid);
    scene.input(Input::MemberAdded { guid: guid.clone(), user: User::new(uid("carol")) });
    assert_eq!(scene.heard(carol), [Kind::IncomingReceived]);
    scene.accept(bob, &session).unwrap();
    scene.pass(secs(46));
    scene.input(Input::MemberAdded { guid, user: User::new(uid("dave")) });
    assert_eq!((scene.heard(dave), scene.state(&session, "dave")), (vec![], State::Missed));
    scene.accept(dave, &session).unwrap();
}

#[test]
fn the_last_who_may_answer_being_removed_ends_the_call_and_so_does_the_group_being_removed() {
    let mut scene = Scene::new();
    let [alice, bob, _carol] = ["alice/1", "bob/1", "carol/1"].map(|name| scene.phone(name));
    let guid = scene.group("pair", &["alice", "bob"]);
    let session = scene.dial_group(alice, &guid);
    scene.input(Input::MemberRemoved { guid: guid.clone(), uid: uid("bob") });
    assert_eq!(scene.status(&session), (CallStatus::Failed, Some(EndReason::Removed)));
    let guid: GroupId = scene.group("team", &["alice", "bob", "carol"]);
    let session = scene.dial_group(alice, &guid);
    scene.accept(bob, &session).unwrap();
    scene.input(Input::GroupRemoved(guid));
    assert_eq!(scene.status(&session), (CallStatus::Ended, Some(EndReason::Removed)));
    assert_eq!(scene.heard(alice).pop(), Some(Kind::Ended));
}
