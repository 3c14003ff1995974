//! A peer connection that is of no more use: a command to it failed, or it has ended by itself.

use super::*;

fn failed() -> PeerEvent {
    PeerEvent::Failed(ErrorCode::Internal.into())
}

#[test]
fn the_session_is_joined_anew_with_other_ones_as_to_resume_would_keep_it() {
    for side in [Side::Publisher, Side::Subscriber] {
        let mut scene = Scene::in_call();
        scene.peer(side, failed());
        assert!(matches!(scene.events()[..], [SessionEvent::Reconnecting]));
        assert_eq!(scene.dialled(), [false], "{side:?}");
        scene.outputs.clear();
        scene.signal(Response::Join(join_answer(vec![bob(false)])));
        assert!(matches!(scene.commands()[0], PeerCommand::Open { .. }));
    }
}

#[test]
fn what_was_to_be_resumed_with_it_is_joined_anew_at_once() {
    let mut scene = Scene::in_call();
    scene.machine.handle_signal_closed(scene.now);
    scene.drain();
    assert_eq!(scene.dialled(), [true]);
    scene.outputs.clear();
    scene.peer(Side::Publisher, failed());
    scene.pass(Duration::ZERO, true);
    assert_eq!(scene.dialled(), [false]);
}

#[test]
fn those_that_fail_time_and_again_end_the_session_in_the_end() {
    let mut scene = Scene::in_call();
    scene.peer(Side::Publisher, failed());
    for _ in 0..1000 {
        if scene.ended().is_some() {
            break;
        }
        if scene.dialled() == [false] {
            scene.outputs.clear();
            scene.signal(Response::Join(join_answer(Vec::new())));
            scene.peer(Side::Subscriber, failed());
        }
        scene.pass(Duration::from_millis(100), true);
    }
    assert_eq!(scene.ended(), Some((SessionEndReason::ConnectionLost, Some(ErrorCode::ConnectionLost))));
}
