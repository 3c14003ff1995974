//! What peers send that no honest one would: counted, survived, and bounded in what it costs others.

use super::kit::vp8;
use super::{SECOND, a_camera_and_a_viewer, send_frames};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const SEED: u64 = 20_261_125;

#[test]
fn payloads_that_are_no_vp8_are_counted_and_not_forwarded() {
    println!("seed {SEED}");
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    send_frames(&mut net, anna, mid, 100..105, 100);
    let mut random = StdRng::seed_from_u64(SEED);
    let whole = vp8(false, 1);
    for sequence in 105..405 {
        // The descriptor promises more than there is: X, then I, L, T and K, cut anywhere.
        let mut payload = vec![0x80 | random.random::<u8>() & 0x2f, 0xf0, 0x80, 0, 0, 0];
        payload.truncate(random.random_range(0..5));
        net.send(anna, mid, sequence, sequence as u32 * 3000, &payload);
    }
    net.run(SECOND);
    let dropped = net.metric("trill_sfu_packets_malformed_total");
    assert!(dropped >= 250, "{dropped} of 300 were counted");
    net.clients[ben].received.clear();
    net.send(anna, mid, 500, 500 * 3000, &whole);
    net.run(SECOND);
    assert_eq!(net.clients[ben].received.len(), 1, "what is whole goes on");
}

#[test]
fn sequence_numbers_and_timestamps_may_jump_and_wrap() {
    println!("seed {SEED}");
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    let mut random = StdRng::seed_from_u64(SEED);
    let (mut sequence, mut timestamp) = (65_000u64, u32::MAX - 30_000);
    for frame in 0..600u16 {
        net.send(anna, mid, sequence, timestamp, &vp8(frame == 0, frame));
        net.run(Duration::from_millis(5));
        // Around the wrap, then wherever.
        let jumps = frame > 300;
        sequence += if jumps { random.random_range(1..3000) } else { 2 };
        timestamp = timestamp.wrapping_add(if jumps { random.random() } else { 450 });
    }
    net.run(SECOND);
    let received = &net.clients[ben].received;
    assert!(received.len() >= 301, "{} of 600 arrived", received.len());
    let numbers: Vec<_> = received.iter().take(300).map(|packet| *packet.seq_no).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 2), "over the wrap each number follows its like");
    // The jumps look like the loss of nearly everything, for which a subscriber's video is paused a while.
    net.run(SECOND * 15);
    net.clients[ben].received.clear();
    for picture in 0..60 {
        let whole = vp8(picture % 20 == 0, picture as u16);
        net.send(anna, mid, sequence + picture, picture as u32 * 3000, &whole);
        net.run(Duration::from_millis(33));
    }
    assert!(net.clients[ben].received.len() >= 20, "it goes on afterwards");
}

#[test]
fn a_flood_of_requests_for_key_frames_reaches_the_publisher_as_a_trickle() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    send_frames(&mut net, anna, mid, 100..110, 100);
    let before = net.clients[anna].asked_for_key_frames;
    for _ in 0..1000 {
        net.ask_for_key_frames(ben);
        net.run(Duration::from_millis(3));
    }
    let asked = net.clients[anna].asked_for_key_frames - before;
    assert!((2..=7).contains(&asked), "{asked} in three seconds");
    assert!(net.metric("trill_sfu_plis_in_total") > 500);
    net.clients[ben].received.clear();
    send_frames(&mut net, anna, mid, 110..120, 110);
    assert_eq!(net.clients[ben].received.len(), 10);
}

#[test]
fn datagrams_that_lie_about_their_lengths_are_dropped_and_the_stream_goes_on() {
    println!("seed {SEED}");
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    net.lose = Box::new(move |bytes| {
        if bytes.first().is_some_and(|first| first >> 6 == 2) && bytes.len() > 20 {
            noted.borrow_mut().push(bytes.to_vec());
        }
        false
    });
    send_frames(&mut net, anna, mid, 100..120, 100);
    let before = net.clients[ben].received.len();
    let genuine = seen.take();
    let mut random = StdRng::seed_from_u64(SEED);
    for n in 0..3000 {
        let mut bytes = genuine[n % genuine.len()].clone();
        match n % 6 {
            0 => bytes.truncate(random.random_range(0..bytes.len())),
            // There is padding; an extension of 256 KiB; there are 15 contributing sources.
            1 => bytes[0] |= 0x20,
            2 => {
                bytes[0] |= 0x10;
                bytes[14..16].fill(0xff);
            }
            3 => bytes[0] |= 0x0f,
            4 => {
                let at = random.random_range(0..bytes.len());
                bytes[at] ^= random.random_range(1..=255u8);
            }
            _ => bytes = (0..random.random_range(0..1500)).map(|_| random.random()).collect(),
        }
        net.inject(anna, &bytes);
    }
    net.run(SECOND);
    assert_eq!(net.clients[ben].received.len(), before, "nothing of it is sent on");
    send_frames(&mut net, anna, mid, 120..130, 0);
    assert_eq!(net.clients[ben].received.len(), before + 10);
}

#[test]
fn two_senders_under_one_ssrc_are_survived_and_the_one_that_stays_goes_on() {
    let (mut net, anna, ben, mid) = a_camera_and_a_viewer();
    for frame in 0..300u16 {
        for base in [100, 20_000] {
            let number = base + u64::from(frame);
            net.send(anna, mid, number, number as u32 * 3000, &vp8(frame % 30 == 0, frame));
        }
        net.run(Duration::from_millis(33));
    }
    // It looks like the loss of nearly everything, for which a subscriber's video is paused a while.
    net.run(SECOND * 15);
    net.clients[ben].received.clear();
    for frame in 300..360u16 {
        let number = 20_000 + u64::from(frame);
        net.send(anna, mid, number, number as u32 * 3000, &vp8(frame % 20 == 0, frame));
        net.run(Duration::from_millis(33));
    }
    assert!(net.clients[ben].received.len() >= 20, "{} of 60", net.clients[ben].received.len());
}
