//! Sound in RED: who takes it gets it, who does not gets the Opus in it, and what was lost on the way here comes from it.

use super::SECOND;
use super::kit::Net;
use crate::media::red::RedWriter;
use bytes::BytesMut;
use livekit_protocol::{AddTrackRequest, TrackSource, signal_response};
use str0m::media::Mid;

const OPUS: u8 = 111;
const RED: u8 = 63;

/// A packet as it is, and in RED.
type Packet = (Vec<u8>, Vec<u8>);

/// Packets of 20 ms, each with the two before it.
fn packets(count: usize) -> Vec<Packet> {
    let mut writer = RedWriter::default();
    let packet = |n: usize| {
        let (opus, mut red) = (vec![0x78, n as u8, 1, 2], BytesMut::new());
        writer.write(OPUS, 2, n as u32 * 960, &opus, &mut red);
        (opus, red.to_vec())
    };
    (0..count).map(packet).collect()
}

/// Anna talks in RED; Ben takes RED, Carl does not.
fn a_talk() -> (Net, usize, [usize; 2], Mid) {
    let mut net = Net::new();
    let (anna, ben) = (net.join("anna"), net.join("ben"));
    net.red = false;
    let carl = net.join("carl");
    let mid = net.publish(anna, TrackSource::Microphone);
    net.run_until("everybody is connected", |net| net.clients.iter().all(|client| client.is_connected()));
    net.run(SECOND);
    (net, anna, [ben, carl], mid)
}

/// Payload type, packets after the first, samples after the first, and payload of what was received.
fn received(net: &Net, client: usize) -> Vec<(u8, u64, u32, Vec<u8>)> {
    let mut received: Vec<_> = net.clients[client].received.iter().collect();
    received.sort_by_key(|packet| *packet.seq_no);
    let first = received[0];
    let read = received.iter().map(|packet| {
        let ago = packet.header.timestamp.wrapping_sub(first.header.timestamp);
        (*packet.header.payload_type, *packet.seq_no - *first.seq_no, ago, packet.payload.to_vec())
    });
    read.collect()
}

#[test]
fn who_takes_red_gets_it_and_others_get_what_is_in_it() {
    let (mut net, anna, [ben, carl], mid) = a_talk();
    let packets = packets(5);
    for (n, (_, red)) in packets.iter().enumerate() {
        net.send_red(anna, mid, 100 + n as u64, n as u32 * 960, red);
    }
    net.run(SECOND);
    let expected = |payload_type: u8, pick: fn(&Packet) -> Vec<u8>| -> Vec<_> {
        packets.iter().enumerate().map(|(n, p)| (payload_type, n as u64, n as u32 * 960, pick(p))).collect()
    };
    assert_eq!(received(&net, ben), expected(RED, |packet| packet.1.clone()));
    assert_eq!(received(&net, carl), expected(OPUS, |packet| packet.0.clone()));
    assert_eq!(net.metric("trill_sfu_packets_recovered_total"), 0);
}

#[test]
fn what_was_lost_on_its_way_here_is_taken_from_what_repeats_it_and_sent_on_once() {
    let (mut net, anna, listeners, mid) = a_talk();
    let packets = packets(6);
    // 1 and 2 are lost, 4 is overtaken by 5.
    for n in [0, 3, 5, 4] {
        net.send_red(anna, mid, 100 + n as u64, n as u32 * 960, &packets[n].1);
        net.run(SECOND / 50);
    }
    net.run(SECOND);
    for (client, whole) in listeners.into_iter().zip([true, false]) {
        let received = received(&net, client);
        let numbers: Vec<_> = received.iter().map(|(_, number, ago, _)| (*number, ago / 960)).collect();
        assert_eq!(numbers, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
        for n in [1, 2, 4] {
            assert_eq!((received[n].0, &received[n].3), (OPUS, &packets[n].0), "client {client}, packet {n}");
        }
        assert_eq!(&received[3].3, if whole { &packets[3].1 } else { &packets[3].0 });
    }
    assert_eq!(net.metric("trill_sfu_packets_recovered_total"), 3);
}

#[test]
fn red_that_cannot_be_read_is_counted_and_not_sent_on() {
    let (mut net, anna, [ben, carl], mid) = a_talk();
    for (n, payload) in [&[0xff; 40][..], &[0x80 | OPUS, 0, 0, 200, OPUS, 1], &[OPUS]].into_iter().enumerate() {
        net.send_red(anna, mid, 100 + n as u64, n as u32 * 960, payload);
    }
    net.run(SECOND);
    assert!(net.clients[ben].received.is_empty() && net.clients[carl].received.is_empty());
    assert!(net.metric("trill_sfu_packets_malformed_total") >= 3);
    net.send(anna, mid, 110, 9600, &[0x78, 1, 2]);
    net.run(SECOND);
    for client in [ben, carl] {
        assert_eq!(received(&net, client), [(OPUS, 0, 0, vec![0x78, 1, 2])], "plain Opus passes beside it");
    }
}

#[test]
fn a_track_that_is_not_to_be_sent_in_red_is_answered_without() {
    let mut net = Net::new();
    let (anna, ben) = (net.join("anna"), net.join("ben"));
    let answers = |net: &Net, client: usize| {
        net.clients[client].heard(|message| match message {
            signal_response::Message::Answer(answer) => Some(answer.sdp.to_lowercase().contains("red/48000/2")),
            _ => None,
        })
    };
    let source = TrackSource::Microphone as i32;
    let mid = net.publish_as(anna, AddTrackRequest { source, disable_red: true, ..Default::default() });
    net.publish_as(ben, AddTrackRequest { source, ..Default::default() });
    assert_eq!((answers(&net, anna), answers(&net, ben)), (vec![false], vec![true]));
    let told = net.clients[anna].heard(|message| match message {
        signal_response::Message::TrackPublished(published) => published.track.as_ref().map(|track| track.disable_red),
        _ => None,
    });
    assert_eq!(told, [true]);
    net.run_until("both are connected", |net| net.clients.iter().all(|client| client.is_connected()));
    net.run(SECOND);
    net.send(anna, mid, 100, 0, &[0x78, 1, 2]);
    net.run(SECOND);
    assert_eq!(received(&net, ben), [(OPUS, 0, 0, vec![0x78, 1, 2])]);
}
