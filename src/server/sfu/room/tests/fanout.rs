//! One publisher, many subscribers.

use super::kit::{DELAY, Net, vp8};
use super::{SECOND, send_frames};
use crate::server::sfu::room::Output;
use livekit_protocol::TrackSource;
use std::time::Duration;
use str0m::media::Mid;

const VIEWERS: usize = 5;

/// A camera and its viewers, all connected, who have had a key frame. Its client and section.
fn watched() -> (Net, usize, Mid) {
    let mut net = Net::new();
    let camera = net.join("camera");
    let viewers: Vec<_> = (0..VIEWERS).map(|viewer| net.join(&format!("viewer-{viewer}"))).collect();
    let mid = net.publish(camera, TrackSource::Camera);
    net.run_until("the connections", |net| net.clients.iter().all(|client| client.is_connected()));
    net.run(SECOND);
    send_frames(&mut net, camera, mid, 100..130, 100);
    viewers.iter().for_each(|viewer| assert_eq!(net.clients[*viewer].received.len(), 30));
    (net, camera, mid)
}

#[test]
fn the_first_subscribers_packet_is_out_before_the_lasts_is_made() {
    let (mut net, camera, mid) = watched();
    net.send(camera, mid, 130, 130 * 3000, &vp8(false, 130));
    net.now += DELAY;
    net.deliver();
    let mut parts = Vec::new();
    loop {
        let more = net.room.settle_some(net.now, 1);
        let sent = net.room.take_outputs().into_iter().filter(|output| matches!(output, Output::Transmit { .. }));
        parts.push(sent.count());
        if !more {
            break;
        }
    }
    parts.retain(|sent| *sent > 0);
    assert_eq!(parts, [1; VIEWERS]);
}

#[test]
fn packets_that_come_close_together_all_go_out_at_once() {
    let (mut net, camera, mid) = watched();
    for packet in 130..140 {
        net.send(camera, mid, packet, 130 * 3000, &vp8(false, 130));
    }
    let before = net.clients[camera + 1].received.len();
    // Less than a millisecond for all that is to be done between the two ways.
    net.run(DELAY * 2 + Duration::from_micros(900));
    assert_eq!(net.clients[camera + 1].received.len(), before + 10);
}

#[test]
fn reports_reach_subscribers_though_packets_leave_no_time_between_them() {
    let (mut net, camera, mid) = watched();
    net.clients.iter_mut().for_each(|client| client.received.clear());
    for packet in 130..1130 {
        net.send(camera, mid, packet, packet as u32 * 270, &vp8(false, 130));
        net.run(Duration::from_millis(3));
    }
    for viewer in 1..=VIEWERS {
        let reports = net.clients[viewer].received.iter().filter_map(|packet| packet.last_sender_info);
        let mut times: Vec<_> = reports.map(|report| report.ntp_time).collect();
        times.dedup();
        assert!(times.len() >= 3, "one a second: {}", times.len());
    }
}

#[test]
fn nothing_is_kept_for_a_subscriber_whose_handshake_takes_seconds() {
    let mut net = Net::new();
    let camera = net.join("camera");
    let mid = net.publish(camera, TrackSource::Camera);
    net.run_until("the camera's connection", |net| net.clients[camera].is_connected());
    // DTLS alone is lost (RFC 7983): ICE comes up.
    net.lose = Box::new(|bytes| (20..=63).contains(&bytes[0]));
    let viewer = net.join("viewer");
    let mut frames = 0..u64::MAX;
    let mut second = |net: &mut Net| {
        for frame in frames.by_ref().take(30) {
            net.send(camera, mid, frame, frame as u32 * 3000, &vp8(frame % 15 == 0, frame as u16));
            net.run(Duration::from_millis(33));
        }
    };
    // The client repeats its flight after about 1, 3 and 7 s, and that is within the time that it has.
    (0..4).for_each(|_| second(&mut net));
    assert!(net.clients[viewer].received.is_empty());
    net.lose = Box::new(|_| false);
    let seconds = (1..20).find(|_| {
        second(&mut net);
        !net.clients[viewer].received.is_empty()
    });
    assert!(seconds.is_some(), "it is connected in the end");
    let received = net.clients[viewer].received.len();
    assert!(received <= 30, "{received} packets in the first second");
}
