//! Rooms in virtual time.

mod bad_input;
mod connect;
mod fanout;
mod kit;
mod layers;
mod limit;
mod red;

use crate::base::ErrorCode;
use crate::server::sfu::{CloseReason, RoomEvent};
use kit::{Net, config, token, vp8};
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{
    AddTrackRequest, DisconnectReason, LeaveRequest, MuteTrackRequest, ParticipantInfo, SessionDescription,
    TrackSource, TrackType, UpdateParticipantMetadata, UpdateSubscription, leave_request, request_response,
};
use std::time::Duration;
use str0m::media::Mid;

const SECOND: Duration = Duration::from_secs(1);

/// Two who are connected, the first one publishing its camera, and the section of that.
fn a_camera_and_a_viewer() -> (Net, usize, usize, Mid) {
    let mut net = Net::new();
    let (anna, ben) = (net.join("anna"), net.join("ben"));
    let mid = net.publish(anna, TrackSource::Camera);
    net.run_until("the connections", |net| net.clients.iter().all(|client| client.is_connected()));
    net.run(SECOND);
    (net, anna, ben, mid)
}

fn send_frames(net: &mut Net, from: usize, mid: Mid, frames: std::ops::Range<u64>, key_frame_at: u64) {
    for frame in frames {
        net.send(from, mid, frame, frame as u32 * 3000, &vp8(frame == key_frame_at, frame as u16));
        net.run(Duration::from_millis(33));
    }
}

fn leaves(net: &Net, client: usize) -> Vec<LeaveRequest> {
    net.clients[client].heard(|message| match message {
        Response::Leave(leave) => Some(leave.clone()),
        _ => None,
    })
}

/// What a client was told last of somebody.
fn told_of(net: &Net, client: usize, identity: &str) -> Option<ParticipantInfo> {
    let all = net.clients[client].heard(|message| match message {
        Response::Update(update) => Some(update.participants.clone()),
        Response::Join(join) => Some(join.other_participants.clone()),
        _ => None,
    });
    all.into_iter().flatten().rfind(|info| info.identity == identity)
}

fn track_sid(net: &Net, viewer: usize, identity: &str) -> String {
    told_of(net, viewer, identity).unwrap().tracks[0].sid.clone()
}

#[test]
fn video_is_forwarded_from_its_first_key_frame_which_is_asked_for() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    send_frames(&mut net, anna, mid, 100..105, 0);
    assert!(net.clients[ben].received.is_empty(), "nothing that cannot be decoded");
    assert_eq!(net.clients[anna].asked_for_key_frames, 1, "many packets are one request");
    send_frames(&mut net, anna, mid, 105..115, 105);
    assert_eq!(net.clients[ben].received.len(), 10);
    let payload = &net.clients[ben].received[0].payload;
    assert_eq!(payload[..], vp8(true, 105)[..], "a first stream's payload goes through untouched");
}

#[test]
fn a_packet_lost_on_the_way_to_the_server_is_repaired() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    send_frames(&mut net, anna, mid, 100..110, 100);
    let mut lost = false;
    net.lose = Box::new(move |bytes| {
        let media = bytes.first().is_some_and(|first| first >> 6 == 2) && bytes.get(1).is_some_and(|b| b & 0x7f == 96);
        media && !std::mem::replace(&mut lost, true)
    });
    send_frames(&mut net, anna, mid, 110..130, 100);
    net.run(SECOND);
    let mut pictures: Vec<_> = net.clients[ben].received.iter().map(|packet| packet.payload[3]).collect();
    pictures.sort_unstable();
    pictures.dedup();
    assert_eq!(pictures, (100..130).collect::<Vec<u8>>(), "every picture arrives");
}

#[test]
fn nothing_of_a_muted_track_is_forwarded_and_its_end_needs_a_key_frame() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    send_frames(&mut net, anna, mid, 100..105, 100);
    let sid = track_sid(&net, ben, "anna");
    net.signal(anna, Request::Mute(MuteTrackRequest { sid: sid.clone(), muted: true }));
    assert!(told_of(&net, ben, "anna").unwrap().tracks[0].muted);
    // Not even a key frame, from which forwarding could begin.
    send_frames(&mut net, anna, mid, 105..110, 105);
    assert_eq!(net.clients[ben].received.len(), 5);
    net.signal(anna, Request::Mute(MuteTrackRequest { sid, muted: false }));
    send_frames(&mut net, anna, mid, 110..120, 115);
    assert_eq!(net.clients[ben].received.len(), 10);
    let numbers: Vec<_> = net.clients[ben].received.iter().map(|packet| *packet.seq_no).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap that looks like loss: {numbers:?}");
}

#[test]
fn a_subscriber_may_take_leave_of_a_track_and_have_it_back() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    send_frames(&mut net, anna, mid, 100..105, 100);
    let choose = |subscribe, sid: String| {
        Request::Subscription(UpdateSubscription { track_sids: vec![sid], subscribe, ..Default::default() })
    };
    let sid = track_sid(&net, ben, "anna");
    net.signal(ben, choose(false, sid.clone()));
    send_frames(&mut net, anna, mid, 105..110, 105);
    assert_eq!(net.clients[ben].received.len(), 5);
    net.signal(ben, choose(true, sid));
    net.run(SECOND);
    send_frames(&mut net, anna, mid, 110..115, 110);
    assert_eq!(net.clients[ben].received.len(), 10);
}

#[test]
fn the_same_identity_again_puts_the_earlier_one_out() {
    let mut net = Net::new();
    let (anna, ben) = (net.join("anna"), net.join("ben"));
    let again = net.join("anna");
    assert_eq!(leaves(&net, anna)[0].reason(), DisconnectReason::DuplicateIdentity);
    assert!(net.clients[anna].disconnected && !net.clients[again].disconnected);
    let seen = told_of(&net, ben, "anna").unwrap();
    assert_eq!((seen.state(), seen.sid.as_str()), (State::Joined, net.clients[again].id.as_str()));
}

#[test]
fn somebody_hidden_is_not_seen_and_sees() {
    let mut net = Net::new();
    let anna = net.join("anna");
    let mut hidden = token("ghost");
    hidden.video.hidden = true;
    let ghost = net.join_with(hidden).unwrap();
    assert_eq!(told_of(&net, anna, "ghost"), None);
    assert!(told_of(&net, ghost, "anna").is_some());
}

#[test]
fn a_track_that_the_token_does_not_grant_is_refused() {
    let mut net = Net::new();
    let mut limited = token("anna");
    limited.video.can_publish_sources = vec!["microphone".into()];
    let anna = net.join_with(limited).unwrap();
    for (source, kind, granted) in
        [(TrackSource::Microphone, TrackType::Audio, true), (TrackSource::Camera, TrackType::Video, false)]
    {
        let (cid, source) = (format!("{source:?}"), source as i32);
        let request = AddTrackRequest { cid, source, r#type: kind as i32, ..Default::default() };
        net.signal(anna, Request::AddTrack(request));
        let published = matches!(net.clients[anna].signals.last(), Some(Response::TrackPublished(_)));
        assert_eq!(published, granted);
    }
    let Some(Response::RequestResponse(response)) = net.clients[anna].signals.last() else { panic!("no refusal") };
    assert_eq!(response.reason(), request_response::Reason::NotAllowed);
}

#[test]
fn who_may_not_subscribe_gets_nothing_and_may_still_publish() {
    let mut net = Net::new();
    let mut deaf = token("anna");
    deaf.video.can_subscribe = Some(false);
    let (anna, ben) = (net.join_with(deaf).unwrap(), net.join("ben"));
    let to_ben = net.publish(anna, TrackSource::Camera);
    let to_anna = net.publish(ben, TrackSource::Camera);
    net.run(SECOND * 2);
    send_frames(&mut net, anna, to_ben, 100..105, 100);
    send_frames(&mut net, ben, to_anna, 100..105, 100);
    assert_eq!(net.clients[ben].received.len(), 5);
    assert!(net.clients[anna].received.is_empty());
    assert!(leaves(&net, anna).is_empty());
}

#[test]
fn own_metadata_changes_only_with_the_grant() {
    let mut net = Net::new();
    let mut granted = token("anna");
    granted.video.can_update_own_metadata = Some(true);
    let (anna, ben) = (net.join_with(granted).unwrap(), net.join("ben"));
    let change = || UpdateParticipantMetadata { metadata: "new".into(), ..Default::default() };
    net.signal(anna, Request::UpdateMetadata(change()));
    net.signal(ben, Request::UpdateMetadata(change()));
    assert_eq!(told_of(&net, ben, "anna").unwrap().metadata, "new");
    assert_eq!(told_of(&net, anna, "ben").unwrap().metadata, "");
}

#[test]
fn a_full_room_takes_nobody_more_but_one_of_its_own_again() {
    let mut limited = config();
    limited.limits.participants = 1;
    let mut net = Net::with(limited);
    net.join("anna");
    assert_eq!(net.join_with(token("ben")).unwrap_err().code(), ErrorCode::RoomFull);
    net.join("anna");
}

#[test]
fn a_client_whose_media_never_connects_is_told_and_put_out() {
    let mut net = Net::new();
    let (anna, ben) = (net.join("anna"), net.join("ben"));
    net.clients[ben].online = false;
    net.run(config().connect_timeout + SECOND);
    assert_eq!(leaves(&net, ben)[0].reason(), DisconnectReason::JoinFailure);
    assert_eq!(told_of(&net, anna, "ben").unwrap().state(), State::Disconnected);
    assert!(leaves(&net, anna).is_empty());
}

#[test]
fn broken_signalling_may_be_resumed_and_nobody_notices() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    let connection = net.clients[ben].connection;
    net.room.connection_lost(net.now, connection);
    net.run(config().resume_timeout / 2);
    net.resume(ben, "ben").unwrap();
    let first = net.clients[ben].signals.iter().position(|signal| matches!(signal, Response::Reconnect(_)));
    let after = &net.clients[ben].signals[first.unwrap() + 1..];
    assert!(matches!(after, [Response::Update(_), Response::RoomUpdate(_), Response::Offer(_), ..]), "{after:?}");
    net.run(SECOND);
    send_frames(&mut net, anna, mid, 100..105, 100);
    assert_eq!(net.clients[ben].received.len(), 5);
    assert_eq!(told_of(&net, anna, "ben").unwrap().state(), State::Active);
}

#[test]
fn who_does_not_come_back_in_time_has_left_and_cannot_resume() {
    let (mut net, anna, ben, _) = a_camera_and_a_viewer();
    let connection = net.clients[ben].connection;
    net.room.connection_lost(net.now, connection);
    net.run(config().resume_timeout + SECOND);
    assert_eq!(told_of(&net, anna, "ben").unwrap().state(), State::Disconnected);
    assert_eq!(net.resume(ben, "ben").unwrap_err().code(), ErrorCode::ParticipantNotFound);
    let thief = net.resume(anna, "ben");
    assert_eq!(thief.unwrap_err().code(), ErrorCode::ParticipantNotFound, "a sid alone is no proof of identity");
}

#[test]
fn the_last_one_is_told_of_once_and_an_empty_room_closes() {
    let mut net = Net::new();
    let (anna, ben) = (net.join("anna"), net.join("ben"));
    net.run(config().left_alone_timeout + SECOND);
    let alone = |net: &Net| net.events.iter().filter(|event| matches!(event, RoomEvent::LeftAlone { .. })).count();
    assert_eq!(alone(&net), 0);
    net.signal(ben, Request::Leave(LeaveRequest::default()));
    net.run(config().left_alone_timeout * 2);
    assert_eq!(alone(&net), 1);
    net.signal(anna, Request::Leave(LeaveRequest::default()));
    net.run(config().empty_timeout + SECOND);
    assert_eq!(net.room.closed(), Some(CloseReason::Empty));
    assert!(matches!(net.events.last(), Some(RoomEvent::Closed { reason: CloseReason::Empty, .. })));
}

#[test]
fn a_closed_room_says_why_and_lets_nobody_in() {
    let mut net = Net::new();
    let anna = net.join("anna");
    net.room.close(net.now, CloseReason::Ended);
    net.run(Duration::from_millis(1));
    assert_eq!(leaves(&net, anna)[0].reason(), DisconnectReason::RoomDeleted);
    assert!(net.clients[anna].disconnected);
    assert_eq!(net.join_with(token("ben")).unwrap_err().code(), ErrorCode::RoomClosed);
}

#[test]
fn an_unusable_offer_costs_its_sender_the_session_and_nobody_else() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    let carl = net.join("carl");
    let sdp = SessionDescription { r#type: "offer".into(), sdp: "v=0\r\nm=audio".into(), ..Default::default() };
    net.signal(carl, Request::Offer(sdp));
    assert_eq!(leaves(&net, carl)[0].action(), leave_request::Action::Reconnect);
    send_frames(&mut net, anna, mid, 100..105, 100);
    assert_eq!(net.clients[ben].received.len(), 5);
}

#[test]
fn datagrams_that_are_bent_on_the_way_do_no_harm() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    send_frames(&mut net, anna, mid, 100..105, 100);
    let source = "10.0.0.1:5000".parse().unwrap();
    let mut seed = 7u32;
    for length in 0..2000usize {
        let random = |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let mut datagram: Vec<u8> = (0..length % 200).map(random).collect();
        if let Some(first) = datagram.first_mut() {
            // Each of the protocols in turn: STUN, DTLS, RTP and RTCP.
            *first = [0, 22, 128, 129][length % 4];
        }
        net.room.datagram(net.now, source, kit::server_address(), None, &datagram);
        net.room.settle(net.now);
    }
    send_frames(&mut net, anna, mid, 105..110, 105);
    assert_eq!(net.clients[ben].received.len(), 10);
}
