//! How long one may be the only one in a session.

use super::*;

const ALONE: Duration = Duration::from_secs(60);

/// Connected, and beside those others, with a limit to being alone.
fn with_limit(others: Vec<proto::ParticipantInfo>) -> Scene {
    Scene::connected(others, Some(ALONE))
}

fn comes(who: proto::ParticipantInfo) -> Response {
    Response::Update(proto::ParticipantUpdate { participants: vec![who] })
}

fn goes(who: proto::ParticipantInfo) -> Response {
    comes(proto::ParticipantInfo { state: proto::participant_info::State::Disconnected as i32, ..who })
}

/// Just before the limit it goes on, and just after it is over.
fn ends_in(scene: &mut Scene, time: Duration) {
    scene.pass(time - Duration::from_millis(1), true);
    assert_eq!(scene.ended(), None);
    scene.pass(Duration::from_millis(1), true);
    assert_eq!(scene.ended(), Some((SessionEndReason::LeftAlone, None)));
    assert_eq!(scene.machine.poll_timeout(), None);
}

#[test]
fn who_is_left_alone_for_too_long_leaves_with_that_reason() {
    let mut scene = with_limit(vec![bob(false), participant("PA_eve", "eve")]);
    scene.pass(10 * ALONE, true);
    scene.signal(goes(bob(false)));
    scene.pass(10 * ALONE, true);
    assert_eq!(scene.ended(), None, "one is left");
    scene.signal(goes(participant("PA_eve", "eve")));
    ends_in(&mut scene, ALONE);
    assert!(scene.sent().iter().any(|m| matches!(m, Request::Leave(_))), "the server is told");
}

#[test]
fn nobody_who_comes_counts_as_being_alone_from_the_join_on() {
    ends_in(&mut with_limit(vec![]), ALONE);
}

#[test]
fn company_in_time_stops_the_clock_and_its_departure_starts_it_anew() {
    let mut scene = with_limit(vec![]);
    scene.pass(ALONE - Duration::from_millis(1), true);
    scene.signal(comes(bob(false)));
    scene.pass(10 * ALONE, true);
    // Another presence in the place of the first is no departure.
    scene.signal(comes(participant("PA_bob2", "bob")));
    scene.pass(10 * ALONE, true);
    assert_eq!(scene.ended(), None);
    scene.signal(goes(participant("PA_bob2", "bob")));
    ends_in(&mut scene, ALONE);
}

#[test]
fn without_a_limit_one_may_be_alone_for_ever() {
    let mut scene = Scene::connected(vec![], None);
    scene.pass(Duration::from_secs(48 * 3600), true);
    assert_eq!(scene.ended(), None);
}

#[test]
fn while_the_connection_is_broken_nobody_counts_as_alone_and_then_anew() {
    let mut scene = with_limit(vec![]);
    scene.pass(ALONE - Duration::from_secs(1), true);
    scene.machine.handle_signal_closed(scene.now);
    scene.drain();
    scene.pass(Duration::from_secs(2), true);
    assert_eq!(scene.ended(), None, "who is there is not known");
    scene.signal(Response::Reconnect(proto::ReconnectResponse::default()));
    scene.negotiated(2);
    assert!(scene.events().iter().any(|e| matches!(e, SessionEvent::Reconnected)));
    ends_in(&mut scene, ALONE);
}

#[test]
fn a_limit_to_being_alone_goes_from_a_second_to_a_day() {
    let check = |seconds: f64| {
        let left_alone_timeout = Some(Duration::from_secs_f64(seconds));
        MachineSettings { left_alone_timeout, ..MachineSettings::default() }.check()
    };
    assert_eq!((check(1.0), check(86_400.0)), (Ok(()), Ok(())));
    for wrong in [0.0, 0.999, 86_400.1, 1e9] {
        let error = check(wrong).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("left_alone_timeout"), "{error}");
    }
}
