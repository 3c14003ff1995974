//! Who gets which layer of a simulcast camera, over links that carry more or less.

use super::kit::Net;
use super::{SECOND, track_sid};
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{StreamState, TrackSource, UpdateTrackSettings, VideoLayer, VideoQuality};
use std::time::Duration;
use str0m::media::{Mid, Rid};

/// Name, width, height, and the packets of a frame. With 1000 bytes each at 30 frames a second: 0.25, 0.75, 2 Mbit/s.
const LAYERS: [(&str, u32, u32, usize); 3] = [("q", 320, 180, 1), ("h", 640, 360, 3), ("f", 1280, 720, 8)];

const FRAME: Duration = Duration::from_millis(33);

struct Camera {
    client: usize,
    mid: Mid,
    frame: u64,
    sequences: [u64; 3],
    /// So many of its layers are sent, the lowest ones.
    layers: usize,
    /// Every second picture is in an upper temporal layer.
    temporal: bool,
}

impl Camera {
    fn publish(net: &mut Net, client: usize) -> Self {
        let layers = LAYERS.iter().zip([VideoQuality::Low, VideoQuality::Medium, VideoQuality::High]);
        let layer = |(layer, quality): (&(&str, u32, u32, usize), VideoQuality)| VideoLayer {
            quality: quality as i32,
            width: layer.1,
            height: layer.2,
            rid: layer.0.into(),
            ..Default::default()
        };
        let layers: Vec<_> = layers.map(layer).collect();
        let mid = net.publish_layers(client, TrackSource::Camera, &layers);
        Self { client, mid, frame: 0, sequences: [1000; 3], layers: 3, temporal: false }
    }

    /// Sends pictures of all layers, key frames where they are asked for.
    fn run(&mut self, net: &mut Net, time: Duration) {
        let end = net.now + time;
        while net.now < end {
            for (index, (rid, _, _, packets)) in LAYERS.iter().enumerate().take(self.layers) {
                let rid = Rid::from(*rid);
                let due = &mut net.clients[self.client].key_frames_due;
                let key_frame = due.remove(&Some(rid)) || self.frame == 0;
                for packet in 0..*packets {
                    let begins = if packet == 0 { 0x90 } else { 0x80 };
                    let inter = u8::from(!key_frame || packet > 0);
                    let mut payload = vec![index as u8; 1000];
                    let (high, low) = (0x80 | (self.frame >> 8) as u8, self.frame as u8);
                    if self.temporal {
                        let layer = if self.frame % 2 == 1 { 0x60 } else { 0 };
                        let base = (self.frame / 2) as u8;
                        payload[..7].copy_from_slice(&[begins, 0xe0, high, low, base, layer, inter]);
                    } else {
                        payload[..5].copy_from_slice(&[begins, 0x80, high, low, inter]);
                    }
                    self.sequences[index] += 1;
                    let at = self.frame as u32 * 3000;
                    net.send_layer(self.client, (self.mid, Some(rid)), self.sequences[index], at, &payload);
                }
            }
            self.frame += 1;
            net.run(FRAME);
        }
    }
}

/// Anna with a camera; the others receive it. They are connected, and a second has passed.
fn watched(viewers: &[&str]) -> (Net, Camera, Vec<usize>) {
    let mut net = Net::new();
    let anna = net.join("anna");
    let viewers: Vec<_> = viewers.iter().map(|name| net.join(name)).collect();
    let camera = Camera::publish(&mut net, anna);
    net.run_until("the connections", |net| net.clients.iter().all(|client| client.is_connected()));
    net.run(SECOND);
    (net, camera, viewers)
}

/// How many packets of each layer a client got since the last time.
fn layers_of(net: &mut Net, client: usize) -> [usize; 3] {
    let mut counts = [0; 3];
    for packet in net.clients[client].received.drain(..) {
        if let Some(count) = packet.payload.last().and_then(|layer| counts.get_mut(usize::from(*layer))) {
            *count += 1;
        }
    }
    counts
}

fn settings(sid: String, width: u32, height: u32) -> Request {
    Request::TrackSetting(UpdateTrackSettings { track_sids: vec![sid], width, height, ..Default::default() })
}

#[test]
fn each_subscriber_gets_what_its_connection_carries() {
    let (mut net, mut camera, viewers) = watched(&["ben", "carl"]);
    let [ben, carl] = viewers[..] else { unreachable!() };
    net.limit(carl, 600_000);
    camera.run(&mut net, SECOND * 8);
    // What came while the estimates grew is not counted.
    let _ = (layers_of(&mut net, ben), layers_of(&mut net, carl));

    camera.run(&mut net, SECOND * 2);
    let (wide, narrow) = (layers_of(&mut net, ben), layers_of(&mut net, carl));
    assert!(wide[2] > 450 && wide[0] + wide[1] == 0, "all of the best: {wide:?}");
    assert!(narrow[0] > 55 && narrow[1] + narrow[2] == 0, "all of the lowest: {narrow:?}");

    net.limit(carl, 5_000_000);
    camera.run(&mut net, SECOND * 8);
    layers_of(&mut net, carl);
    camera.run(&mut net, SECOND * 2);
    let widened = layers_of(&mut net, carl);
    assert!(widened[2] > 450 && widened[0] + widened[1] == 0, "the best, since it fits: {widened:?}");
}

#[test]
fn what_does_not_fit_at_all_is_paused_and_resumed_and_both_are_told() {
    let (mut net, mut camera, viewers) = watched(&["ben"]);
    let ben = viewers[0];
    let told = |net: &Net| {
        net.clients[ben].heard(|message| match message {
            Response::StreamStateUpdate(update) => Some(update.stream_states[0].state()),
            _ => None,
        })
    };
    camera.run(&mut net, SECOND * 3);
    assert_eq!(told(&net), []);
    net.limit(ben, 50_000);
    camera.run(&mut net, SECOND * 10);
    assert_eq!(told(&net), [StreamState::Paused]);
    layers_of(&mut net, ben);
    camera.run(&mut net, SECOND);
    assert_eq!(layers_of(&mut net, ben), [0; 3]);
    net.limit(ben, 5_000_000);
    camera.run(&mut net, SECOND * 20);
    assert_eq!(told(&net), [StreamState::Paused, StreamState::Active]);
    layers_of(&mut net, ben);
    camera.run(&mut net, SECOND);
    assert!(layers_of(&mut net, ben).iter().sum::<usize>() > 25);
}

#[test]
fn a_small_window_gets_a_small_picture_and_the_publisher_learns_what_nobody_wants() {
    let (mut net, mut camera, viewers) = watched(&["ben"]);
    let (anna, ben) = (camera.client, viewers[0]);
    let told = |net: &Net| {
        net.clients[anna].heard(|message| match message {
            Response::SubscribedQualityUpdate(update) => {
                let enabled = update.subscribed_codecs[0].qualities.iter().filter(|quality| quality.enabled);
                Some(enabled.count())
            }
            _ => None,
        })
    };
    let sid = track_sid(&net, ben, "anna");
    camera.run(&mut net, SECOND * 4);
    net.signal(ben, settings(sid.clone(), 300, 200));
    camera.run(&mut net, SECOND);
    layers_of(&mut net, ben);
    camera.run(&mut net, SECOND);
    let small = layers_of(&mut net, ben);
    assert!(small[0] > 25 && small[1] + small[2] == 0, "{small:?}");
    assert_eq!(told(&net), [] as [usize; 0], "a window may grow again at once");
    camera.run(&mut net, SECOND * 5);
    assert_eq!(told(&net), [1], "only the lowest");

    net.signal(ben, settings(sid.clone(), 1280, 720));
    camera.run(&mut net, SECOND);
    assert_eq!(told(&net), [1, 3]);
    let hide = UpdateTrackSettings { track_sids: vec![sid], disabled: true, ..Default::default() };
    net.signal(ben, Request::TrackSetting(hide));
    camera.run(&mut net, SECOND * 6);
    assert_eq!(told(&net), [1, 3, 0], "nobody looks");
}

#[test]
fn a_client_that_wants_few_pictures_gets_few_without_a_gap_and_all_again_without_a_key_frame() {
    let (mut net, mut camera, viewers) = watched(&["ben"]);
    let ben = viewers[0];
    camera.temporal = true;
    camera.run(&mut net, SECOND * 5);
    let track_sids = vec![track_sid(&net, ben, "anna")];
    let quality = VideoQuality::High as i32;
    let wish = |fps| UpdateTrackSettings { track_sids: track_sids.clone(), quality, fps, ..Default::default() };
    let asked = net.clients[camera.client].asked_for_key_frames;
    net.clients[ben].received.clear();
    let mut counts = Vec::new();
    for fps in [15, 30] {
        net.signal(ben, Request::TrackSetting(wish(fps)));
        camera.run(&mut net, SECOND);
        let from = net.clients[ben].received.len();
        camera.run(&mut net, SECOND * 2);
        let is_upper = |packet: &&str0m::rtp::RtpPacket| packet.payload[5] == 0x60;
        let received = &net.clients[ben].received[from..];
        counts.push((received.len(), received.iter().filter(is_upper).count()));
    }
    let [(few, upper), (all, _)] = counts[..] else { unreachable!() };
    assert!((235..=250).contains(&few) && upper == 0, "half of 8 packets in 30 pictures a second: {few}, {upper}");
    assert!((475..=495).contains(&all), "{all}");
    let received = &net.clients[ben].received;
    assert!(received.iter().all(|packet| packet.payload.last() == Some(&2)), "all of the best layer");
    assert!(received.windows(2).all(|pair| *pair[1].seq_no == *pair[0].seq_no + 1), "sequence numbers run on");
    let picture = |packet: &str0m::rtp::RtpPacket| u16::from_be_bytes([packet.payload[2] & 0x7f, packet.payload[3]]);
    let mut pictures: Vec<_> = received.iter().map(picture).collect();
    pictures.dedup();
    assert!(pictures.windows(2).all(|pair| pair[1] == pair[0] + 1), "and picture ids: {pictures:?}");
    assert_eq!(net.clients[camera.client].asked_for_key_frames, asked);
}

#[test]
fn who_watches_a_layer_that_its_publisher_gives_up_gets_the_next_lower_one_within_a_second_and_goes_back() {
    let (mut net, mut camera, viewers) = watched(&["ben", "carl"]);
    let [ben, carl] = viewers[..] else { unreachable!() };
    camera.run(&mut net, SECOND * 4);
    net.signal(carl, settings(track_sid(&net, carl, "anna"), 300, 200));
    camera.run(&mut net, SECOND);
    camera.layers = 2;
    camera.run(&mut net, SECOND);
    let _ = (layers_of(&mut net, ben), layers_of(&mut net, carl));
    camera.run(&mut net, SECOND);
    let [lower, lowest] = [ben, carl].map(|viewer| layers_of(&mut net, viewer));
    assert!(lower[1] >= 87 && lower[0] + lower[2] == 0, "all of the middle one: {lower:?}");
    assert!(lowest[0] >= 29 && lowest[1] + lowest[2] == 0, "as before: {lowest:?}");
    let paused = |net: &Net| {
        net.clients[ben].heard(|message| matches!(message, Response::StreamStateUpdate(_)).then_some(())).len()
    };
    assert_eq!(paused(&net), 0, "nothing is paused");

    camera.layers = 3;
    // It begins with a key frame, as the engine's layers do.
    net.clients[camera.client].key_frames_due.insert(Some("f".into()));
    camera.run(&mut net, SECOND);
    layers_of(&mut net, ben);
    camera.run(&mut net, SECOND);
    let back = layers_of(&mut net, ben);
    assert!(back[2] >= 232 && back[0] + back[1] == 0, "all of the best: {back:?}");
}

#[test]
fn a_subscriber_of_simulcast_sees_one_stream_without_gaps() {
    let (mut net, mut camera, viewers) = watched(&["ben"]);
    let ben = viewers[0];
    let sid = track_sid(&net, ben, "anna");
    for (width, height) in [(300, 200), (1280, 720), (640, 360), (1280, 720)] {
        net.signal(ben, settings(sid.clone(), width, height));
        camera.run(&mut net, SECOND * 2);
    }
    let received = &net.clients[ben].received;
    let mut seen: Vec<_> = received.iter().filter_map(|packet| packet.payload.last()).copied().collect();
    seen.dedup();
    assert!(seen.len() >= 4, "several layers: {seen:?}");
    assert!(received.windows(2).all(|pair| pair[0].header.ssrc == pair[1].header.ssrc));
    assert!(received.windows(2).all(|pair| *pair[1].seq_no == *pair[0].seq_no + 1), "sequence numbers run on");
    let step = |pair: &[str0m::rtp::RtpPacket]| pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
    assert!(received.windows(2).map(step).all(|step| step < 9000), "and so does time");
    let picture = |packet: &str0m::rtp::RtpPacket| u16::from_be_bytes([packet.payload[2] & 0x7f, packet.payload[3]]);
    let mut pictures: Vec<_> = received.iter().map(picture).collect();
    pictures.dedup();
    assert!(pictures.windows(2).all(|pair| pair[1] == pair[0] + 1), "and picture ids: {pictures:?}");
}
