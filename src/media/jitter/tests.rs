#![allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]

use super::*;
use crate::media::rtp::RtpPacket;
use rand::{Rng, SeedableRng, rngs::StdRng};

const TICK: Duration = Duration::from_millis(20);

/// A packet of 20 ms whose payload holds its number.
fn packet(n: u64, arrival: Instant) -> ReceivedPacket {
    let mut payload = vec![31 << 3];
    payload.extend_from_slice(&n.to_be_bytes());
    let timestamp = 5_000u32.wrapping_add((n as u32).wrapping_mul(960));
    let sequence = 65_500u16.wrapping_add(n as u16);
    let packet = RtpPacket { sequence, timestamp, marker: false, payload: payload.into(), audio_level: None };
    ReceivedPacket { packet, arrival }
}

fn number(payload: &Bytes) -> u64 {
    u64::from_be_bytes(payload[1..9].try_into().unwrap())
}

/// Runs packets 0..count over a network that gives each a delay, or loses it, and pulls every `pull_every`.
struct Run {
    pulls: Vec<Pull>,
    buffer: JitterBuffer,
    /// From when a packet was sent to when it was played, in ms, for those that were.
    delays: Vec<u64>,
}

fn run(count: u64, pull_every: Duration, quiet: bool, mut delay: impl FnMut(u64) -> Option<Duration>) -> Run {
    let start = Instant::now();
    let mut arrivals: Vec<(Instant, u64)> =
        (0..count).filter_map(|n| Some((start + TICK * n as u32 + delay(n)?, n))).collect();
    arrivals.sort();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut buffer = JitterBuffer::default();
    let (mut pulls, mut delays) = (Vec::new(), Vec::new());
    let mut now = start + Duration::from_millis(7);
    while now < start + TICK * count as u32 {
        while let Some((arrival, n)) = arrivals.next_if(|(arrival, _)| *arrival <= now) {
            buffer.insert(packet(n, arrival));
        }
        let pull = buffer.pull(now, quiet);
        if let Pull::Packet(payload) = &pull {
            delays.push((now - (start + TICK * number(payload) as u32)).as_millis() as u64);
        }
        pulls.push(pull);
        now += pull_every;
    }
    Run { pulls, buffer, delays }
}

fn played(pulls: &[Pull]) -> Vec<u64> {
    pulls
        .iter()
        .flat_map(|pull| match pull {
            Pull::Packet(payload) => vec![number(payload)],
            Pull::Merge(first, second) => vec![number(first), number(second)],
            _ => vec![],
        })
        .collect()
}

#[test]
fn on_an_even_network_every_packet_is_played_once_in_order_within_60_ms() {
    let run = run(500, TICK, false, |_| Some(Duration::from_millis(30)));
    let played = played(&run.pulls);
    assert!(played.windows(2).all(|w| w[1] == w[0] + 1));
    assert!(played.len() >= 494, "{}", played.len());
    assert!(run.delays.iter().all(|&d| d <= 30 + 60), "{:?}", run.delays.iter().max());
    assert_eq!(run.buffer.stats().concealed, 0);
}

#[test]
fn reordered_packets_are_played_in_order() {
    let mut rng = StdRng::seed_from_u64(1);
    let run = run(2000, TICK, false, |_| Some(Duration::from_millis(rng.random_range(10..55))));
    let played = played(&run.pulls);
    assert!(played.windows(2).all(|w| w[1] > w[0]));
    let stats = run.buffer.stats();
    assert!(stats.concealed < 60, "{stats:?}");
    assert!(run.buffer.jitter() > Duration::from_millis(5));
}

#[test]
fn a_lost_packet_is_recovered_from_its_successor() {
    let run = run(1000, TICK, false, |n| (n % 20 != 10).then_some(Duration::from_millis(20)));
    let stats = run.buffer.stats();
    assert_eq!(stats.lost, 50, "{stats:?}");
    assert!(stats.fec_recovered >= 45, "{stats:?}");
    let recovered: Vec<u64> =
        run.pulls.iter().filter_map(|p| if let Pull::Fec(next, 960) = p { Some(number(next)) } else { None }).collect();
    assert!(recovered.iter().all(|n| n % 20 == 11), "{recovered:?}");
}

#[test]
fn a_burst_of_losses_is_concealed_and_then_skipped() {
    let run = run(200, TICK, false, |n| (!(100..120).contains(&n)).then_some(Duration::from_millis(20)));
    let stats = run.buffer.stats();
    assert_eq!(stats.lost, 20, "{stats:?}");
    assert!(stats.concealed <= 7, "{stats:?}");
    let rest: Vec<u64> = played(&run.pulls).into_iter().filter(|n| *n >= 100).collect();
    assert_eq!(rest, (120..120 + rest.len() as u64).collect::<Vec<_>>(), "the rest is played as before");
    assert!(rest.len() >= 75, "{}", rest.len());
}

#[test]
fn the_wait_follows_the_jitter_up_and_down_again() {
    let mut rng = StdRng::seed_from_u64(2);
    let run = run(3000, TICK, true, |n| {
        let jitter = if (500..1500).contains(&n) { rng.random_range(0..120) } else { 0 };
        Some(Duration::from_millis(20 + jitter))
    });
    let mean = |range: std::ops::Range<usize>| run.delays[range.clone()].iter().sum::<u64>() / range.len() as u64;
    assert!(mean(300..480) < 75, "{}", mean(300..480));
    assert!(mean(1000..1300) > 110, "{}", mean(1000..1300));
    let last = run.delays.len();
    assert!(mean(last - 200..last) < 90, "{}", mean(last - 200..last));
    let late = run.buffer.stats().late;
    assert!(late < 60, "{late}");
}

#[test]
fn a_sender_whose_clock_is_faster_does_not_build_up_delay() {
    // 0.5 %: fifty times what sound cards do, so that a minute shows it.
    let run = run(3000, Duration::from_micros(20_100), true, |_| Some(Duration::from_millis(20)));
    let stats = run.buffer.stats();
    assert!((8..=20).contains(&stats.merged), "{stats:?}");
    assert!(run.buffer.buffered() < Duration::from_millis(120), "{:?}", run.buffer.buffered());
    assert_eq!(stats.lost, 0);
}

#[test]
fn a_sender_whose_clock_is_slower_is_bridged_by_concealment() {
    let run = run(3000, Duration::from_micros(19_900), true, |_| Some(Duration::from_millis(20)));
    let stats = run.buffer.stats();
    assert_eq!(stats.lost, 0, "{stats:?}");
    let fills = run.pulls.iter().filter(|p| matches!(p, Pull::Conceal(_))).count();
    assert!((10..=40).contains(&fills), "{fills}");
}

#[test]
fn without_quiet_a_delay_is_only_worked_off_when_it_is_large() {
    // The network stands for 400 ms, then everything comes at once.
    let delay = |n: u64| Some(Duration::from_millis(if (200..220).contains(&n) { 20 + (220 - n) * 20 } else { 20 }));
    let run = run(1000, TICK, false, delay);
    assert!(*run.delays.last().unwrap() < 300, "{:?}", run.delays.last());
    assert!(run.buffer.stats().merged < 20);
}

#[test]
fn a_sender_that_goes_silent_on_purpose_loses_nothing() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::default();
    let mut pulls = Vec::new();
    // Talk, then a pause of 3 s in which neither numbers nor packets come, but the timestamps go on.
    for tick in 0..300u64 {
        let now = start + TICK * tick as u32;
        if !(50..200).contains(&tick) {
            let mut received = packet(tick, now);
            let sequence = if tick < 50 { tick } else { tick - 150 };
            received.packet.sequence = sequence as u16;
            buffer.insert(received);
        }
        pulls.push(buffer.pull(now + Duration::from_millis(3), false));
    }
    assert_eq!(buffer.stats().lost, 0);
    assert!(pulls[100..200].iter().all(|p| *p == Pull::Silence));
    assert!(played(&pulls).len() >= 145);
    assert!(pulls[205..].iter().all(|p| matches!(p, Pull::Packet(_))), "{:?}", &pulls[195..215]);
}

#[test]
fn a_short_pause_does_not_use_up_the_wait_that_jitter_asks_for() {
    let start = Instant::now();
    // Every tenth packet comes 180 ms late, so that all wait for that long. The sender pauses for 160 ms.
    let sent = |n: u64| start + TICK * n as u32 + Duration::from_millis(if n < 500 { 0 } else { 160 });
    let mut arrivals: Vec<(Instant, u64)> =
        (0..600).map(|n| (sent(n) + Duration::from_millis(if n % 10 == 5 { 180 } else { 0 }), n)).collect();
    arrivals.sort();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut buffer = JitterBuffer::default();
    let mut delays = vec![Duration::ZERO; 600];
    for tick in 0..590 {
        let now = start + TICK * tick + Duration::from_millis(1);
        while let Some((arrival, n)) = arrivals.next_if(|(arrival, _)| *arrival <= now) {
            let mut received = packet(n, arrival);
            if n >= 500 {
                received.packet.timestamp = received.packet.timestamp.wrapping_add(160 * 48);
            }
            buffer.insert(received);
        }
        if let Pull::Packet(payload) = buffer.pull(now, false) {
            let n = number(&payload);
            delays[n as usize] = now - sent(n);
        }
    }
    let shortest = |range: std::ops::Range<usize>| *delays[range].iter().filter(|d| !d.is_zero()).min().unwrap();
    assert!(shortest(480..500) > Duration::from_millis(150), "{:?}", shortest(480..500));
    assert!(shortest(500..520) > Duration::from_millis(150), "{:?}", shortest(500..520));
}

#[test]
fn a_duplicate_and_a_packet_that_is_no_opus_are_dropped() {
    let now = Instant::now();
    let mut buffer = JitterBuffer::default();
    buffer.insert(packet(0, now));
    buffer.insert(packet(0, now));
    let mut bad = packet(1, now);
    bad.packet.payload = Bytes::from_static(&[3]);
    buffer.insert(bad);
    let mut huge = packet(2, now);
    huge.packet.payload = vec![31 << 3; 2000].into();
    buffer.insert(huge);
    let stats = buffer.stats();
    assert_eq!((stats.duplicate, stats.invalid, stats.received), (1, 2, 4));
}

#[test]
fn a_stream_that_begins_anew_is_played_from_its_new_start() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::default();
    let mut pulls = Vec::new();
    for tick in 0..200u64 {
        let now = start + TICK * tick as u32;
        // After 100 packets other numbers and another clock.
        buffer.insert(packet(if tick < 100 { tick } else { tick + 20_000 }, now));
        pulls.push(buffer.pull(now + Duration::from_millis(1), false));
    }
    assert!(played(&pulls[110..]).len() > 85, "{:?}", buffer.stats());
}

#[test]
fn random_packets_neither_panic_nor_grow_the_buffer() {
    let mut rng = StdRng::seed_from_u64(3);
    let start = Instant::now();
    let mut buffer = JitterBuffer::default();
    for tick in 0..20_000u32 {
        let now = start + TICK * tick / 4;
        let mut received = packet(0, now);
        received.packet.sequence = rng.random();
        received.packet.timestamp = rng.random();
        received.packet.payload = (0..rng.random_range(0..20)).map(|_| rng.random::<u8>()).collect::<Vec<_>>().into();
        buffer.insert(received);
        if tick % 4 == 0 {
            buffer.pull(now, rng.random());
        }
        assert!(buffer.held <= CAPACITY);
    }
    // And it still plays what is right afterwards.
    let now = start + TICK * 20_000;
    let pulls: Vec<Pull> = (0..100u64)
        .map(|n| {
            buffer.insert(packet(n, now + TICK * n as u32));
            buffer.pull(now + TICK * n as u32, false)
        })
        .collect();
    assert!(played(&pulls).len() > 80, "{}", played(&pulls).len());
}
