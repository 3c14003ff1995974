//! Whole sessions in virtual time, against a scripted server.

mod alone;
mod layers;
mod peer_failed;

use super::*;
use crate::base::ParticipantIdentity;
use crate::session::{LocalLayer, LocalTrack, TrackKind};
use bytes::Bytes;

const OFFER_WITH_BOBS_AUDIO: &str =
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=msid:PA_bob|mic TR_bob\r\n";

/// The machine, the clock, and everything that came out of it since it was last looked at.
struct Scene {
    machine: SessionMachine,
    now: Instant,
    outputs: Vec<Output>,
}

impl Scene {
    #[allow(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn with(settings: MachineSettings) -> Self {
        let now = Instant::now();
        let machine = SessionMachine::new(settings, now);
        Self { machine, now, outputs: Vec::new() }
    }

    fn new() -> Self {
        Self::with(MachineSettings::default())
    }

    /// Beside those others, negotiated and connected.
    fn connected(others: Vec<proto::ParticipantInfo>, left_alone_timeout: Option<Duration>) -> Self {
        let mut scene = Self::with(MachineSettings { left_alone_timeout, ..MachineSettings::default() });
        scene.signal(Response::Join(join_answer(others)));
        scene.negotiated(1);
        scene.peer(Side::Subscriber, PeerEvent::State(ConnectionState::Connected));
        scene.outputs.clear();
        scene
    }

    fn negotiated(&mut self, number: u32) {
        self.peer(Side::Publisher, PeerEvent::OfferMade { sdp: "offer".into() });
        self.signal(Response::Answer(publish::description("answer", "answer".into(), number)));
    }

    /// Let in, as `ann`, beside those others.
    fn joined(others: Vec<proto::ParticipantInfo>) -> Self {
        let mut scene = Self::new();
        scene.signal(Response::Join(join_answer(others)));
        scene
    }

    /// Joined with a microphone, negotiated and connected.
    fn in_call() -> Self {
        let mut scene = Self::new();
        scene.machine.publish(scene.now, microphone()).unwrap();
        scene.signal(Response::Join(join_answer(vec![bob(false)])));
        scene.publish_confirmed("TR_mic");
        scene.peer(Side::Publisher, PeerEvent::OfferMade { sdp: "offer 1".into() });
        scene.signal(Response::Answer(publish::description("answer", "answer 1".into(), 1)));
        scene.signal(Response::Offer(publish::description("offer", OFFER_WITH_BOBS_AUDIO.into(), 7)));
        scene.peer(Side::Subscriber, PeerEvent::AnswerMade { id: 7, sdp: "answer 7".into() });
        scene.peer(Side::Publisher, PeerEvent::State(ConnectionState::Connected));
        scene.peer(Side::Subscriber, PeerEvent::State(ConnectionState::Connected));
        scene.peer(Side::Publisher, PeerEvent::DataChannelOpen { reliable: true });
        scene.outputs.clear();
        scene
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.outputs.push(output);
        }
    }

    fn signal(&mut self, message: Response) {
        self.machine.handle_signal(self.now, message);
        self.drain();
    }

    fn peer(&mut self, side: Side, event: PeerEvent) {
        self.machine.handle_peer(self.now, side, event);
        self.drain();
    }

    fn publish_confirmed(&mut self, sid: &str) {
        let track = proto::TrackInfo { sid: sid.into(), ..Default::default() };
        let cid = "cid-mic".into();
        self.signal(Response::TrackPublished(proto::TrackPublishedResponse { cid, track: Some(track) }));
    }

    /// Time passes, with every wake-up that the machine asked for, and a server that answers pings or does not.
    fn pass(&mut self, time: Duration, server_alive: bool) {
        let end = self.now + time;
        while let Some(wake) = self.machine.poll_timeout().filter(|wake| *wake <= end) {
            self.now = wake.max(self.now);
            self.machine.handle_timeout(self.now);
            let seen = self.outputs.len();
            self.drain();
            let pinged = self.outputs[seen..].iter().any(|o| matches!(o, Output::Send(Request::PingReq(_))));
            if pinged && server_alive {
                self.signal(Response::PongResp(proto::Pong::default()));
            }
        }
        self.now = end;
    }

    fn events(&self) -> Vec<&SessionEvent> {
        self.outputs.iter().filter_map(|o| if let Output::Event(event) = o { Some(event) } else { None }).collect()
    }

    fn ended(&self) -> Option<(SessionEndReason, Option<ErrorCode>)> {
        self.events().into_iter().find_map(|event| match event {
            SessionEvent::Ended { reason, error } => Some((*reason, error.as_ref().map(Error::code))),
            _ => None,
        })
    }

    fn sent(&self) -> Vec<&Request> {
        self.outputs.iter().filter_map(|o| if let Output::Send(message) = o { Some(message) } else { None }).collect()
    }

    fn commands(&self) -> Vec<&PeerCommand> {
        self.outputs.iter().filter_map(|o| if let Output::Peer(command) = o { Some(command) } else { None }).collect()
    }

    fn dialled(&self) -> Vec<bool> {
        let resume = |o: &Output| if let Output::Connect(r) = o { Some(r.resume.is_some()) } else { None };
        self.outputs.iter().filter_map(resume).collect()
    }
}

fn join_answer(others: Vec<proto::ParticipantInfo>) -> proto::JoinResponse {
    proto::JoinResponse {
        room: Some(proto::Room { name: "room".into(), ..Default::default() }),
        participant: Some(participant("PA_ann", "ann")),
        other_participants: others,
        subscriber_primary: true,
        fast_publish: true,
        ping_interval: 5,
        ping_timeout: 15,
        ..Default::default()
    }
}

fn participant(sid: &str, identity: &str) -> proto::ParticipantInfo {
    proto::ParticipantInfo { sid: sid.into(), identity: identity.into(), ..Default::default() }
}

fn bob(muted: bool) -> proto::ParticipantInfo {
    let track = proto::TrackInfo { sid: "TR_bob".into(), muted, ..Default::default() };
    proto::ParticipantInfo { tracks: vec![track], ..participant("PA_bob", "bob") }
}

fn microphone() -> LocalTrack {
    LocalTrack {
        cid: "cid-mic".into(),
        kind: TrackKind::Audio,
        source: TrackSource::Microphone,
        name: String::new(),
        muted: false,
        width: 0,
        height: 0,
        bitrate_bps: 0,
        dtx: false,
        layers: Vec::new(),
    }
}

fn camera() -> LocalTrack {
    let layer =
        |divisor: u32| LocalLayer { width: 1280 / divisor, height: 720 / divisor, bitrate_bps: 1_500 / divisor };
    LocalTrack {
        cid: "cid-cam".into(),
        kind: TrackKind::Video,
        source: TrackSource::Camera,
        width: 1280,
        height: 720,
        bitrate_bps: 1_500,
        layers: [4, 2, 1].map(layer).into(),
        ..microphone()
    }
}

fn leave(reason: proto::DisconnectReason, action: proto::leave_request::Action) -> Response {
    let (reason, action) = (reason as i32, action as i32);
    Response::Leave(proto::LeaveRequest { reason, action, ..Default::default() })
}

#[test]
fn a_track_is_announced_with_whether_silence_is_left_out_of_it() {
    for dtx in [false, true] {
        let mut scene = Scene::new();
        scene.machine.publish(scene.now, LocalTrack { dtx, ..microphone() }).unwrap();
        scene.signal(Response::Join(join_answer(Vec::new())));
        let [Request::AddTrack(request)] = &scene.sent()[..] else { panic!() };
        assert_eq!(request.audio_features.contains(&(proto::AudioTrackFeature::TfNoDtx as i32)), !dtx);
    }
}

#[test]
fn a_join_tells_who_is_there_and_starts_publishing_at_once() {
    let mut scene = Scene::new();
    scene.machine.publish(scene.now, microphone()).unwrap();
    scene.signal(Response::Join(join_answer(vec![bob(false)])));
    let [SessionEvent::Joined { room, local, participants }] = scene.events()[..] else { panic!() };
    assert_eq!((room.as_str(), local.identity.as_str()), ("room", "ann"));
    assert_eq!(participants[0].tracks[0].id.as_str(), "TR_bob");
    // Nothing is waited for: the track is announced and the offer is being made.
    assert!(matches!(scene.sent()[..], [Request::AddTrack(_)]));
    let commands = scene.commands();
    assert!(matches!(commands[0], PeerCommand::Open { .. }));
    assert!(matches!(commands[1], PeerCommand::AddTrack { .. }));
    assert!(matches!(commands[2], PeerCommand::CreateOffer { ice_restart: false }));
}

#[test]
fn without_fast_publish_the_offer_waits_for_the_confirmation() {
    let mut scene = Scene::new();
    scene.machine.publish(scene.now, microphone()).unwrap();
    scene.signal(Response::Join(proto::JoinResponse { fast_publish: false, ..join_answer(vec![]) }));
    assert!(!scene.commands().iter().any(|c| matches!(c, PeerCommand::CreateOffer { .. })));
    scene.publish_confirmed("TR_mic");
    assert!(scene.commands().iter().any(|c| matches!(c, PeerCommand::CreateOffer { .. })));
}

#[test]
fn candidates_wait_for_the_description_that_they_belong_to_in_both_directions() {
    let mut scene = Scene::joined(vec![]);
    scene.outputs.clear();
    scene.peer(Side::Publisher, PeerEvent::Candidate { init: "ours".into() });
    let early = proto::TrickleRequest { candidate_init: "theirs".into(), ..Default::default() };
    scene.signal(Response::Trickle(early));
    assert!(scene.outputs.is_empty());
    scene.peer(Side::Publisher, PeerEvent::OfferMade { sdp: "offer".into() });
    assert!(matches!(scene.sent()[..], [Request::Offer(_), Request::Trickle(_)]));
    scene.signal(Response::Answer(publish::description("answer", "answer".into(), 1)));
    assert!(matches!(scene.commands()[..], [PeerCommand::ApplyAnswer { .. }, PeerCommand::AddCandidate { .. }]));
}

#[test]
fn one_offer_is_out_at_a_time_and_what_changed_meanwhile_is_in_the_next() {
    let mut scene = Scene::joined(vec![]);
    scene.peer(Side::Publisher, PeerEvent::OfferMade { sdp: "offer".into() });
    scene.outputs.clear();
    scene.machine.publish(scene.now, microphone()).unwrap();
    scene.drain();
    assert!(!scene.commands().iter().any(|c| matches!(c, PeerCommand::CreateOffer { .. })));
    scene.signal(Response::Answer(publish::description("answer", "answer".into(), 1)));
    assert!(matches!(
        scene.commands()[..],
        [PeerCommand::AddTrack { .. }, PeerCommand::ApplyAnswer { .. }, PeerCommand::CreateOffer { .. }]
    ));
}

#[test]
fn a_track_that_the_server_never_confirms_is_given_up_with_an_error() {
    let mut scene = Scene::in_call();
    scene.machine.unpublish(scene.now, TrackSource::Microphone).unwrap();
    scene.machine.publish(scene.now, microphone()).unwrap();
    scene.drain();
    scene.peer(Side::Publisher, PeerEvent::OfferMade { sdp: "offer 2".into() });
    scene.signal(Response::Answer(publish::description("answer", "answer 2".into(), 2)));
    scene.peer(Side::Publisher, PeerEvent::OfferMade { sdp: "offer 3".into() });
    scene.signal(Response::Answer(publish::description("answer", "answer 3".into(), 3)));
    scene.outputs.clear();
    scene.pass(Duration::from_secs(11), true);
    let events = scene.events();
    assert!(matches!(events[..], [SessionEvent::Error { error }] if error.code() == ErrorCode::TimedOut));
    assert!(scene.outputs.iter().any(|o| matches!(o, Output::Withdrawn { .. })));
}

#[test]
fn a_server_that_never_answers_the_join_is_an_error_in_time() {
    let mut scene = Scene::new();
    scene.pass(Duration::from_secs(11), false);
    assert_eq!(scene.ended(), Some((SessionEndReason::JoinFailed, Some(ErrorCode::ServerUnreachable))));
}

#[test]
fn a_refused_token_ends_the_session_with_its_own_code() {
    let mut scene = Scene::new();
    scene.machine.handle_signal_failed(scene.now, ErrorCode::TokenExpired.into());
    scene.drain();
    assert_eq!(scene.ended(), Some((SessionEndReason::JoinFailed, Some(ErrorCode::TokenExpired))));
}

#[test]
fn blocked_udp_is_told_within_ten_seconds_instead_of_a_silent_call() {
    let mut scene = Scene::joined(vec![bob(false)]);
    scene.pass(Duration::from_secs(10), true);
    assert_eq!(scene.ended(), Some((SessionEndReason::MediaUnreachable, Some(ErrorCode::MediaUnreachable))));
    assert!(scene.sent().iter().any(|m| matches!(m, Request::Leave(_))), "the server is told as well");
}

#[test]
fn where_udp_gets_through_and_no_keys_the_server_is_joined_anew_but_not_for_ever() {
    let mut scene = Scene::joined(vec![bob(false)]);
    scene.pass(Duration::from_secs(5), true);
    scene.peer(Side::Subscriber, PeerEvent::Reachable);
    scene.outputs.clear();
    scene.pass(Duration::from_secs(5), true);
    assert_eq!(scene.ended(), None);
    assert!(scene.outputs.iter().any(|output| matches!(output, Output::Connect(request) if request.resume.is_none())));
    scene.signal(Response::Join(join_answer(vec![bob(false)])));
    scene.peer(Side::Subscriber, PeerEvent::Reachable);
    scene.pass(Duration::from_secs(30), true);
    assert_eq!(scene.ended(), Some((SessionEndReason::ConnectionLost, Some(ErrorCode::ConnectionLost))));
}

#[test]
fn a_description_that_cannot_be_used_is_not_blamed_on_the_network() {
    let mut scene = Scene::joined(vec![]);
    scene.peer(Side::Subscriber, PeerEvent::Failed(ErrorCode::Malformed.into()));
    assert_eq!(scene.ended(), Some((SessionEndReason::JoinFailed, Some(ErrorCode::Malformed))));
}

#[test]
fn a_subscription_is_told_when_the_offer_is_answered_and_its_end_when_an_offer_lacks_it() {
    let mut scene = Scene::joined(vec![bob(false)]);
    scene.signal(Response::Offer(publish::description("offer", OFFER_WITH_BOBS_AUDIO.into(), 1)));
    scene.outputs.clear();
    scene.peer(Side::Subscriber, PeerEvent::AnswerMade { id: 1, sdp: "answer".into() });
    assert!(matches!(scene.events()[..], [SessionEvent::TrackSubscribed { track, .. }] if track.subscribed));
    let without = OFFER_WITH_BOBS_AUDIO.replace("sendonly", "inactive");
    scene.signal(Response::Offer(publish::description("offer", without, 2)));
    scene.outputs.clear();
    scene.peer(Side::Subscriber, PeerEvent::AnswerMade { id: 2, sdp: "answer".into() });
    assert!(matches!(scene.events()[..], [SessionEvent::TrackUnsubscribed { .. }]));
}

#[test]
fn an_offer_before_its_participants_update_is_as_good_as_one_after() {
    let mut scene = Scene::joined(vec![]);
    scene.signal(Response::Offer(publish::description("offer", OFFER_WITH_BOBS_AUDIO.into(), 1)));
    scene.peer(Side::Subscriber, PeerEvent::AnswerMade { id: 1, sdp: "answer".into() });
    scene.outputs.clear();
    scene.signal(Response::Update(proto::ParticipantUpdate { participants: vec![bob(false)] }));
    assert!(matches!(
        scene.events()[..],
        [
            SessionEvent::ParticipantJoined { .. },
            SessionEvent::TrackPublished { .. },
            SessionEvent::TrackSubscribed { .. }
        ]
    ));
}

#[test]
fn our_mute_stops_sending_and_is_told_to_the_server_and_a_repeat_does_nothing() {
    let mut scene = Scene::in_call();
    scene.machine.set_muted(TrackSource::Microphone, true).unwrap();
    scene.machine.set_muted(TrackSource::Microphone, true).unwrap();
    scene.drain();
    assert!(matches!(&scene.outputs[0], Output::SetSending { sending: false, .. }));
    assert!(matches!(scene.sent()[..], [Request::Mute(mute)] if mute.muted && mute.sid == "TR_mic"));
    assert!(matches!(scene.events()[..], [SessionEvent::TrackMuted { .. }]));
}

#[test]
fn a_mute_before_the_track_is_confirmed_reaches_the_server_after_it() {
    let mut scene = Scene::new();
    scene.machine.publish(scene.now, microphone()).unwrap();
    scene.signal(Response::Join(join_answer(vec![])));
    scene.machine.set_muted(TrackSource::Microphone, true).unwrap();
    scene.drain();
    scene.outputs.clear();
    scene.publish_confirmed("TR_mic");
    assert!(matches!(scene.sent()[..], [Request::Mute(mute)] if mute.muted));
}

#[test]
fn a_mute_by_the_server_stops_sending() {
    let mut scene = Scene::in_call();
    scene.signal(Response::Mute(proto::MuteTrackRequest { sid: "TR_mic".into(), muted: true }));
    assert!(matches!(&scene.outputs[0], Output::SetSending { sending: false, .. }));
    assert!(matches!(scene.events()[..], [SessionEvent::TrackMuted { .. }]));
    assert!(scene.sent().is_empty(), "the server knows already");
}

#[test]
fn another_participants_mute_is_told() {
    let mut scene = Scene::in_call();
    scene.signal(Response::Update(proto::ParticipantUpdate { participants: vec![bob(true)] }));
    assert!(matches!(scene.events()[..], [SessionEvent::TrackMuted { track, .. }] if track.subscribed));
}

#[test]
fn reliable_data_waits_for_its_channel_and_a_flood_of_it_is_refused() {
    let mut scene = Scene::joined(vec![]);
    scene.outputs.clear();
    let message = OutgoingData { payload: Bytes::from(vec![0; 15 * 1024]), reliable: true, ..OutgoingData::default() };
    let refused = (0..100).find_map(|_| scene.machine.send_data(message.clone()).err()).unwrap();
    assert_eq!(refused.code(), ErrorCode::TooManyRequests);
    scene.peer(Side::Publisher, PeerEvent::DataChannelOpen { reliable: true });
    let sent = scene.commands().len();
    assert!(sent > 50, "what was taken is sent once the channel is open: {sent}");
}

#[test]
fn data_sent_before_the_join_waits_and_is_refused_by_a_token_without_that_right() {
    let message = OutgoingData { reliable: true, ..OutgoingData::default() };
    for granted in [true, false] {
        let mut scene = Scene::new();
        scene.machine.send_data(message.clone()).unwrap();
        let mut join = join_answer(vec![]);
        let permission = proto::ParticipantPermission { can_publish_data: granted, ..Default::default() };
        join.participant.as_mut().unwrap().permission = Some(permission);
        scene.signal(Response::Join(join));
        scene.peer(Side::Publisher, PeerEvent::DataChannelOpen { reliable: true });
        let sent = scene.commands().iter().any(|c| matches!(c, PeerCommand::SendData { .. }));
        assert_eq!(sent, granted);
        match scene.events()[..] {
            [SessionEvent::Joined { .. }] => assert!(granted),
            [SessionEvent::Joined { .. }, SessionEvent::Error { error }] => {
                assert_eq!((error.code(), granted), (ErrorCode::TokenMissingGrant, false));
            }
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_reason_to_leave_has_its_own_end() {
    use proto::DisconnectReason as Why;
    use proto::leave_request::Action::Disconnect;
    for (why, end) in [
        (Why::DuplicateIdentity, SessionEndReason::DuplicateIdentity),
        (Why::ParticipantRemoved, SessionEndReason::ParticipantRemoved),
        (Why::RoomDeleted, SessionEndReason::RoomClosed),
        (Why::ServerShutdown, SessionEndReason::ServerShutdown),
    ] {
        let mut scene = Scene::in_call();
        scene.signal(leave(why, Disconnect));
        assert_eq!(scene.ended().unwrap().0, end);
        assert!(matches!(scene.outputs.last(), Some(Output::Ended)));
    }
}

#[test]
fn leaving_says_goodbye_once_and_nothing_works_after_it() {
    let mut scene = Scene::in_call();
    scene.machine.leave();
    scene.machine.leave();
    scene.drain();
    assert!(matches!(scene.sent()[..], [Request::Leave(_)]));
    assert_eq!(scene.ended(), Some((SessionEndReason::Left, None)));
    assert_eq!(scene.machine.poll_timeout(), None);
    assert!(scene.machine.set_muted(TrackSource::Microphone, true).is_err());
}

#[test]
fn a_lost_signalling_connection_is_resumed_and_the_media_path_sought_anew() {
    let mut scene = Scene::in_call();
    scene.machine.handle_signal_closed(scene.now);
    scene.drain();
    assert!(matches!(scene.events()[..], [SessionEvent::Reconnecting]));
    assert_eq!(scene.dialled(), [true]);
    scene.outputs.clear();
    scene.signal(Response::Reconnect(proto::ReconnectResponse::default()));
    let [Request::SyncState(state)] = scene.sent()[..] else { panic!() };
    assert_eq!(state.publish_tracks[0].track.as_ref().unwrap().sid, "TR_mic");
    assert!(matches!(scene.commands()[..], [PeerCommand::CreateOffer { ice_restart: true }]));
    scene.peer(Side::Publisher, PeerEvent::OfferMade { sdp: "offer 2".into() });
    assert!(scene.events().is_empty(), "not before the server has answered the restart");
    scene.signal(Response::Answer(publish::description("answer", "answer 2".into(), 2)));
    assert!(matches!(scene.events()[..], [SessionEvent::Reconnected]));
}

#[test]
fn a_server_that_forgot_us_is_joined_anew_with_the_same_tracks() {
    let mut scene = Scene::in_call();
    scene.machine.handle_signal_closed(scene.now);
    scene.drain();
    scene.signal(leave(proto::DisconnectReason::StateMismatch, proto::leave_request::Action::Reconnect));
    scene.pass(Duration::from_millis(1), true);
    assert_eq!(scene.dialled(), [true, false]);
    scene.outputs.clear();
    scene.signal(Response::Join(join_answer(vec![bob(false)])));
    assert!(matches!(
        scene.commands()[..],
        [PeerCommand::Open { .. }, PeerCommand::AddTrack { .. }, PeerCommand::CreateOffer { ice_restart: false }]
    ));
    assert!(scene.events().iter().any(|e| matches!(e, SessionEvent::TrackUnsubscribed { .. })));
    scene.publish_confirmed("TR_mic2");
    scene.peer(Side::Publisher, PeerEvent::OfferMade { sdp: "offer".into() });
    scene.signal(Response::Answer(publish::description("answer", "answer".into(), 1)));
    scene.peer(Side::Publisher, PeerEvent::State(ConnectionState::Connected));
    scene.peer(Side::Subscriber, PeerEvent::State(ConnectionState::Connected));
    assert!(matches!(scene.events().last(), Some(SessionEvent::Reconnected)));
}

#[test]
fn a_server_that_stays_away_ends_the_session_in_bounded_time() {
    let mut scene = Scene::in_call();
    let start = scene.now;
    scene.machine.handle_signal_closed(scene.now);
    for _ in 0..1000 {
        scene.drain();
        if scene.ended().is_some() {
            break;
        }
        match scene.outputs.last() {
            Some(Output::Connect(_)) => {
                scene.machine.handle_signal_failed(scene.now, ErrorCode::ServerUnreachable.into());
                scene.outputs.retain(|o| !matches!(o, Output::Connect(_)));
            }
            _ => {
                scene.now = scene.machine.poll_timeout().unwrap();
                scene.machine.handle_timeout(scene.now);
            }
        }
    }
    assert_eq!(scene.ended(), Some((SessionEndReason::ConnectionLost, Some(ErrorCode::ConnectionLost))));
    assert_eq!(scene.now - start, MachineSettings::default().reconnect_timeout);
}

#[test]
fn a_silent_server_is_noticed_by_its_missing_pongs() {
    let mut scene = Scene::in_call();
    scene.pass(Duration::from_secs(60), true);
    assert!(scene.events().is_empty(), "a server that answers pings is left alone");
    scene.pass(Duration::from_secs(16), false);
    assert!(matches!(scene.events()[..], [SessionEvent::Reconnecting]));
}

#[test]
fn a_failed_peer_connection_in_a_call_is_restored_not_given_up() {
    let mut scene = Scene::in_call();
    scene.peer(Side::Publisher, PeerEvent::State(ConnectionState::Failed));
    assert!(matches!(scene.events()[..], [SessionEvent::Reconnecting]));
    assert_eq!(scene.dialled(), [true]);
}

#[test]
fn a_refreshed_token_is_used_for_the_next_dial() {
    let mut scene = Scene::in_call();
    scene.signal(Response::RefreshToken("new".into()));
    scene.machine.handle_signal_closed(scene.now);
    scene.drain();
    let request = scene.outputs.iter().find_map(|o| if let Output::Connect(r) = o { Some(r) } else { None });
    assert_eq!(request.unwrap().token.as_ref().unwrap().0, "new");
}

#[test]
fn a_token_without_the_right_to_publish_gives_an_error_and_the_session_goes_on() {
    let mut scene = Scene::new();
    scene.machine.publish(scene.now, microphone()).unwrap();
    let mut join = join_answer(vec![]);
    let permission = proto::ParticipantPermission { can_subscribe: true, ..Default::default() };
    join.participant.as_mut().unwrap().permission = Some(permission);
    scene.signal(Response::Join(join));
    let refused =
        |e: &&SessionEvent| matches!(e, SessionEvent::Error { error } if error.code() == ErrorCode::TokenMissingGrant);
    assert!(scene.events().iter().any(refused));
    assert_eq!(scene.ended(), None);
    let error = scene.machine.send_data(OutgoingData::default()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TokenMissingGrant);
}

#[test]
fn data_of_another_participant_is_told_with_its_sender() {
    let mut scene = Scene::in_call();
    let bob = ParticipantIdentity::new("bob").unwrap();
    let data = OutgoingData { payload: Bytes::from_static(b"hi"), reliable: true, ..OutgoingData::default() };
    let payload = data::encode(&data, Some(&bob)).unwrap();
    scene.peer(Side::Subscriber, PeerEvent::Data { reliable: true, payload });
    let [SessionEvent::Data { message }] = scene.events()[..] else { panic!() };
    assert_eq!((message.from.as_ref(), &message.payload[..]), (Some(&bob), &b"hi"[..]));
}
