#![allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]

use super::*;
use crate::media::rtp::RtpPacket;
use crate::media::vp8::Packetizer;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// Frames of a few packets each; every `key_every`th is a key frame. The third byte of a frame is its number.
fn packets(frames: u32, key_every: u32, start: Instant) -> Vec<ReceivedPacket> {
    let mut packetizer = Packetizer::new(1);
    let mut sequence = 65_500u16;
    let mut out = Vec::new();
    for n in 0..frames {
        let mut frame = vec![n as u8; 2500 + (n as usize * 97) % 2000];
        frame[0] = u8::from(n % key_every != 0);
        packetizer.packetize(&frame, |payload, marker| {
            let timestamp = n.wrapping_mul(3000).wrapping_add(u32::MAX - 5000);
            let packet = RtpPacket { sequence, timestamp, marker, payload, red: false, audio_level: None };
            out.push(ReceivedPacket { packet, arrival: start + Duration::from_millis(33) * n });
            sequence = sequence.wrapping_add(1);
        });
    }
    out
}

/// The same with temporal layers: every second frame in the upper one, which begins anew every eighth.
fn layered_packets(frames: u32, start: Instant) -> Vec<ReceivedPacket> {
    let layered = |mut received: ReceivedPacket| {
        let frame = number(&received);
        let (id, sync) = ((frame % 2) as u8, u8::from(frame % 8 == 1));
        let mut payload = received.packet.payload.to_vec();
        // X: I alone becomes I, L and T; TL0PICIDX, TID and Y go behind the picture id.
        payload[1] = 0xe0;
        payload.splice(4..4, [(frame / 2) as u8, id << 6 | sync << 5]);
        received.packet.payload = payload.into();
        received
    };
    packets(frames, 1000, start).into_iter().map(layered).collect()
}

/// Of the frame that a packet is of.
fn number(received: &ReceivedPacket) -> u32 {
    received.packet.timestamp.wrapping_sub(u32::MAX - 5000) / 3000
}

/// Gives the packets in, in their order, and collects the numbers of the frames that come out.
fn feed(assembler: &mut FrameAssembler, packets: impl IntoIterator<Item = ReceivedPacket>) -> (Vec<u8>, u32) {
    let (mut frames, mut requests) = (Vec::new(), 0);
    for received in packets {
        let now = received.arrival;
        assembler.insert(received);
        while let Some(picture) = assembler.poll(now) {
            assert_eq!(picture.key, picture.data[0] == 0);
            assert!(picture.data[1..].iter().all(|b| *b == picture.data[1]), "pieces of two frames are mixed");
            frames.push(picture.data[1]);
        }
        requests += u32::from(assembler.take_key_frame_request(now));
    }
    (frames, requests)
}

#[test]
fn frames_come_out_whole_and_in_order() {
    let mut assembler = FrameAssembler::default();
    let (frames, requests) = feed(&mut assembler, packets(100, 1000, Instant::now()));
    assert_eq!(frames, (0..100).collect::<Vec<u8>>());
    assert_eq!(requests, 0);
    assert_eq!(assembler.stats().lost, 0);
}

#[test]
fn reordered_packets_are_put_in_order() {
    let mut rng = StdRng::seed_from_u64(4);
    let mut all = packets(100, 1000, Instant::now());
    for chunk in all.chunks_mut(5) {
        chunk.shuffle(&mut rng);
    }
    let mut assembler = FrameAssembler::default();
    let (frames, _) = feed(&mut assembler, all);
    assert_eq!(frames, (0..100).collect::<Vec<u8>>());
}

#[test]
fn who_comes_in_the_middle_asks_for_a_key_frame_at_once_and_sees_nothing_before_it() {
    let mut assembler = FrameAssembler::default();
    let all = packets(40, 30, Instant::now());
    let (frames, requests) = feed(&mut assembler, all.into_iter().skip(5));
    assert_eq!(frames, (30..40).collect::<Vec<u8>>());
    assert!((1..=3).contains(&requests), "{requests}");
}

#[test]
fn a_repaired_packet_closes_the_hole_and_no_key_frame_is_asked_for() {
    let mut assembler = FrameAssembler::default();
    let mut all = packets(30, 1000, Instant::now());
    let mut repaired = all.remove(20);
    repaired.arrival += Duration::from_millis(100);
    let at = all.iter().position(|p| p.arrival >= repaired.arrival).unwrap();
    all.insert(at, repaired);
    let (frames, requests) = feed(&mut assembler, all);
    assert_eq!(frames, (0..30).collect::<Vec<u8>>());
    assert_eq!(requests, 0);
}

#[test]
fn after_a_hole_that_is_not_repaired_nothing_comes_out_until_a_key_frame() {
    let mut assembler = FrameAssembler::default();
    let all = packets(60, 30, Instant::now());
    let lost = 20; // In frame 6 or so.
    let (frames, requests) = feed(&mut assembler, all.into_iter().enumerate().filter(|(n, _)| *n != lost).map(|p| p.1));
    let hole = frames.iter().position(|f| *f == 30).unwrap();
    assert!(hole < 8, "{frames:?}");
    assert_eq!(frames[hole..], (30..60).collect::<Vec<u8>>());
    assert!((1..=2).contains(&requests), "{requests}");
    let stats = assembler.stats();
    assert_eq!((stats.freezes, stats.key_frames), (1, 2));
}

#[test]
fn a_repair_that_comes_after_a_key_frame_was_asked_for_is_still_taken() {
    let mut assembler = FrameAssembler::default();
    let mut all = packets(60, 1000, Instant::now());
    let mut lost = all.remove(20);
    let later = lost.arrival + Duration::from_millis(500);
    let behind = all.iter().position(|received| received.arrival > later).unwrap();
    lost.arrival = later;
    all.insert(behind, lost);
    let (frames, requests) = feed(&mut assembler, all);
    assert_eq!(frames, (0..60).collect::<Vec<u8>>());
    assert_eq!((requests, assembler.stats().freezes), (1, 1));
}

#[test]
fn after_an_outage_a_key_frame_is_asked_for_with_the_first_packet() {
    let mut assembler = FrameAssembler::default();
    let all = packets(90, 1000, Instant::now());
    let (before, behind) = (all[20].arrival, all[20].arrival + Duration::from_secs(1));
    feed(&mut assembler, all.iter().filter(|received| received.arrival < before).cloned());
    let (_, requests) = feed(&mut assembler, all.iter().find(|received| received.arrival >= behind).cloned());
    assert_eq!(requests, 1);
}

/// Without the second packet of a frame.
fn with_hole_in(frame: u32, packets: Vec<ReceivedPacket>) -> Vec<ReceivedPacket> {
    let lost = packets.iter().position(|received| number(received) == frame).unwrap() + 1;
    packets.into_iter().enumerate().filter(|(n, _)| *n != lost).map(|(_, received)| received).collect()
}

#[test]
fn a_hole_in_an_upper_temporal_layer_costs_no_more_than_what_refers_to_it() {
    let mut assembler = FrameAssembler::default();
    let (frames, requests) = feed(&mut assembler, with_hole_in(11, layered_packets(60, Instant::now())));
    let expected: Vec<u8> = (0..60).filter(|frame| ![11, 13, 15].contains(frame)).collect();
    assert_eq!(frames, expected, "what comes after it in its layer, until that begins anew");
    assert_eq!((requests, assembler.stats().freezes, assembler.stats().key_frames), (0, 0, 1));
}

#[test]
fn a_hole_in_the_lowest_temporal_layer_needs_a_key_frame() {
    let mut assembler = FrameAssembler::default();
    let (frames, requests) = feed(&mut assembler, with_hole_in(10, layered_packets(60, Instant::now())));
    assert_eq!(frames, (0..10).collect::<Vec<u8>>());
    assert!(requests > 0 && assembler.stats().freezes == 1);
}

#[test]
fn an_upper_temporal_layer_may_vanish_and_come_back() {
    // As a server does it: numbers run on, and one packet of a frame that was left out comes without contents.
    let (mut sequence, mut out) = (100u16, Vec::new());
    for mut received in layered_packets(120, Instant::now()) {
        let layer = Descriptor::parse(&received.packet.payload).unwrap().0;
        let frame = number(&received);
        if layer.temporal_layer == Some(1) && (20..81).contains(&frame) {
            if frame % 8 != 3 || !received.packet.marker {
                continue;
            }
            (received.packet.payload, received.packet.marker) = (Bytes::new(), false);
        }
        received.packet.sequence = sequence;
        sequence = sequence.wrapping_add(1);
        out.push(received);
    }
    let mut assembler = FrameAssembler::default();
    let (frames, requests) = feed(&mut assembler, out);
    let expected: Vec<u8> = (0..120).filter(|frame| frame % 2 == 0 || !(20..81).contains(frame)).collect();
    assert_eq!((frames, requests), (expected, 0));
    assert_eq!((assembler.stats().freezes, assembler.stats().lost), (0, 0));
}

#[test]
fn at_one_picture_a_second_a_hole_is_no_outage_and_is_repaired() {
    let (mut assembler, start) = (FrameAssembler::default(), Instant::now());
    let mut all = packets(8, 1000, start);
    for received in &mut all {
        let n = received.packet.timestamp.wrapping_sub(u32::MAX - 5000) / 3000;
        received.packet.timestamp = n * 90_000;
        received.arrival = start + Duration::from_secs(n.into());
    }
    let mut lost = all.remove(10);
    lost.arrival += Duration::from_millis(100);
    let behind = all.iter().position(|received| received.arrival > lost.arrival).unwrap();
    all.insert(behind, lost);
    let (frames, requests) = feed(&mut assembler, all);
    assert_eq!(frames, (0..8).collect::<Vec<u8>>());
    assert_eq!((requests, assembler.stats().freezes), (0, 0));
}

#[test]
fn requests_for_a_key_frame_keep_half_a_second_apart() {
    let mut assembler = FrameAssembler::default();
    // 3 s without any key frame: the first was lost.
    let (frames, requests) = feed(&mut assembler, packets(91, 1000, Instant::now()).into_iter().skip(4));
    assert!(frames.is_empty());
    assert!((5..=7).contains(&requests), "{requests}");
}

#[test]
fn padding_between_frames_is_no_hole() {
    let mut assembler = FrameAssembler::default();
    let mut shifted = 0;
    let mut all = Vec::new();
    for mut received in packets(10, 1000, Instant::now()) {
        received.packet.sequence = received.packet.sequence.wrapping_add(shifted);
        let end = received.packet.marker;
        all.push(received.clone());
        if end {
            shifted += 1;
            received.packet.sequence = received.packet.sequence.wrapping_add(1);
            received.packet.payload = Bytes::new();
            received.packet.marker = false;
            all.push(received);
        }
    }
    let (frames, _) = feed(&mut assembler, all);
    assert_eq!(frames, (0..10).collect::<Vec<u8>>());
}

#[test]
fn random_packets_neither_panic_nor_come_out_as_frames_of_two_streams() {
    let mut rng = StdRng::seed_from_u64(5);
    let start = Instant::now();
    let mut assembler = FrameAssembler::default();
    for n in 0..20_000u32 {
        let arrival = start + Duration::from_millis(n.into());
        let packet = RtpPacket {
            sequence: rng.random_range(0..500) * 131,
            timestamp: rng.random(),
            marker: rng.random(),
            payload: (0..rng.random_range(0..12)).map(|_| rng.random::<u8>()).collect::<Vec<_>>().into(),
            red: false,
            audio_level: None,
        };
        assembler.insert(ReceivedPacket { packet, arrival });
        while assembler.poll(arrival).is_some() {}
        assembler.take_key_frame_request(arrival);
    }
    assert!(assembler.stats().invalid > 0);
    let later = start + Duration::from_secs(30);
    let (frames, _) = feed(&mut assembler, packets(20, 1000, later));
    assert_eq!(frames.last(), Some(&19));
}

#[test]
fn a_key_frame_waiting_behind_a_hole_is_taken_at_once() {
    let mut assembler = FrameAssembler::default();
    let all: Vec<_> = packets(12, 6, Instant::now());
    let lost = all.iter().position(|p| p.packet.timestamp == 5u32.wrapping_mul(3000).wrapping_add(u32::MAX - 5000));
    let (frames, requests) = feed(
        &mut assembler,
        all.into_iter().enumerate().filter(|(n, _)| Some(*n) != lost).map(|(_, received)| received),
    );
    assert_eq!(frames, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
    assert_eq!(requests, 0);
}

#[test]
fn frames_that_never_complete_are_given_up_and_the_next_whole_one_is_shown() {
    let mut assembler = FrameAssembler::default();
    let start = Instant::now();
    // Ten minutes without the last packet of any frame, then without the first.
    let mut all = packets(6000, 1000, start);
    let end = all.last().unwrap().arrival;
    all.retain(|received| {
        let begins = received.packet.payload[0] & 0x10 != 0;
        if received.arrival < start + Duration::from_secs(100) { !received.packet.marker } else { !begins }
    });
    let (frames, requests) = feed(&mut assembler, all);
    assert!(frames.is_empty(), "{frames:?}");
    assert!((300..420).contains(&requests), "{requests} in 200 s");
    let (frames, _) = feed(&mut assembler, packets(5, 1000, end + Duration::from_secs(1)));
    assert_eq!(frames, [0, 1, 2, 3, 4]);
}

#[test]
fn two_senders_under_one_ssrc_are_survived_and_the_one_that_stays_is_shown() {
    let mut assembler = FrameAssembler::default();
    let start = Instant::now();
    let other = packets(150, 30, start).into_iter().map(|mut received| {
        received.packet.sequence = received.packet.sequence.wrapping_add(30_000);
        received
    });
    let mut all: Vec<_> = packets(300, 30, start).into_iter().chain(other).collect();
    all.sort_by_key(|received| received.arrival);
    let (frames, _) = feed(&mut assembler, all);
    let rest: Vec<u8> = (180..=255).chain(0..44).collect();
    assert!(frames.ends_with(&rest), "{frames:?}");
}
