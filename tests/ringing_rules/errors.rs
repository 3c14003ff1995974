//! What is refused: an error of its own for each, no ring, and nothing changed.

use crate::scene::*;
use trill::base::{ErrorCode, GroupId, SessionId};
use trill::ringing::service::ServiceSettings;
use trill::ringing::wire::{Initiate, RejectReason};
use trill::ringing::{CallType, MAX_METADATA};

#[test]
fn calling_oneself_an_unknown_user_or_group_an_empty_or_foreign_group_is_an_error_and_no_ring() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let group = |guid: &str| Initiate::group(&GroupId::new(guid).unwrap(), CallType::Audio);
    scene.group("alone", &["alice"]);
    scene.group("empty", &[]);
    scene.group("theirs", &["bob", "carol"]);
    for (initiate, expected) in [
        (to_user("alice"), ErrorCode::CallingSelf),
        (to_user("nobody"), ErrorCode::UserUnknown),
        (group("nothing"), ErrorCode::GroupUnknown),
        (group("bob"), ErrorCode::GroupUnknown),
        (group("alone"), ErrorCode::EmptyGroup),
        (group("empty"), ErrorCode::NotAMember),
        (group("theirs"), ErrorCode::NotAMember),
    ] {
        assert_eq!(code(scene.initiate(alice, initiate.clone())), expected, "{initiate:?}");
    }
    assert!(scene.store.is_empty());
    assert_eq!(scene.heard(bob), []);
}

#[test]
fn a_second_call_while_one_is_dialled_is_busy_self() {
    let mut scene = Scene::new();
    let (alice, other, bob, carol) =
        (scene.phone("alice/1"), scene.phone("alice/2"), scene.phone("bob/1"), scene.phone("carol/1"));
    scene.group("team", &["alice", "bob", "carol"]);
    let session = scene.dial(alice, "bob");
    scene.heard(bob);
    let team = Initiate::group(&GroupId::new("team").unwrap(), CallType::Audio);
    for phone in [alice, other] {
        assert_eq!(code(scene.initiate(phone, to_user("carol"))), ErrorCode::BusySelf);
        assert_eq!(code(scene.initiate(phone, team.clone())), ErrorCode::BusySelf);
    }
    let rung = scene.dial(carol, "alice");
    assert_eq!(scene.call(&rung).status, trill::ringing::CallStatus::Busy);
    scene.reject(alice, &session, RejectReason::Cancelled).unwrap();
    scene.dial(alice, "carol");
}

#[test]
fn metadata_over_4_kib_and_a_group_over_the_limit_are_too_large() {
    let mut scene = Scene::with(ServiceSettings { max_participants: 3, ..ServiceSettings::default() });
    let (alice, _bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let metadata = |len: usize| Some(serde_json::Value::from("x".repeat(len - 2)));
    let over = Initiate { metadata: metadata(MAX_METADATA + 1), ..to_user("bob") };
    assert_eq!(code(scene.initiate(alice, over)), ErrorCode::TooLarge);
    let most = Initiate { metadata: metadata(MAX_METADATA), ..to_user("bob") };
    let session = scene.initiate(alice, most).unwrap().session_id;
    scene.reject(alice, &session, RejectReason::Cancelled).unwrap();
    let fits = scene.group("three", &["alice", "b", "c"]);
    let over = scene.group("four", &["alice", "b", "c", "d"]);
    assert_eq!(code(scene.initiate(alice, Initiate::group(&over, CallType::Audio))), ErrorCode::TooLarge);
    scene.dial_group(alice, &fits);
}

#[test]
fn a_call_that_is_unknown_over_or_somebody_elses_is_refused_for_every_operation() {
    let mut scene = Scene::new();
    let (alice, bob, carol) = (scene.phone("alice/1"), scene.phone("bob/1"), scene.phone("carol/1"));
    let unknown = SessionId::new("no-such-call").unwrap();
    let theirs = scene.dial(alice, "bob");
    for (session, expected) in [(&unknown, ErrorCode::CallNotFound), (&theirs, ErrorCode::NotAParty)] {
        assert_eq!(code(scene.accept(carol, session)), expected);
        assert_eq!(code(scene.reject(carol, session, RejectReason::Rejected)), expected);
        assert_eq!(code(scene.reject(carol, session, RejectReason::Cancelled)), expected);
        assert_eq!(code(scene.end(carol, session)), expected);
    }
    scene.accept(bob, &theirs).unwrap();
    scene.end(bob, &theirs).unwrap();
    let before = scene.call(&theirs).clone();
    assert_eq!(code(scene.accept(bob, &theirs)), ErrorCode::AlreadyEnded);
    assert_eq!(code(scene.reject(bob, &theirs, RejectReason::Rejected)), ErrorCode::AlreadyEnded);
    assert_eq!(code(scene.reject(alice, &theirs, RejectReason::Cancelled)), ErrorCode::AlreadyEnded);
    assert_eq!(code(scene.end(alice, &theirs)), ErrorCode::AlreadyEnded);
    assert_eq!(*scene.call(&theirs), before, "nothing is changed");
}
