#![allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]

mod dtx;
mod red;
mod wait;

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
    let packet =
        RtpPacket { sequence, timestamp, marker: false, payload: payload.into(), red: false, audio_level: None };
    ReceivedPacket { packet, arrival }
}

fn number(payload: &Bytes) -> u64 {
    u64::from_be_bytes(payload[1..9].try_into().unwrap())
}

/// Runs packets 0..count over a network that gives each a delay, or loses it, and pulls what fills every `frame_every`.
struct Run {
    pulls: Vec<Pull>,
    buffer: JitterBuffer,
    /// From when a packet was sent to when it was played, in ms, for those that were.
    delays: Vec<u64>,
}

/// What stands for the sound: by how many samples a packet gets shorter or longer where that is not heard.
#[derive(Clone, Copy)]
struct Sound(i64);

/// Somebody talks: a pitch of 200 Hz.
const VOICE: Sound = Sound(240);
/// Nothing in it is alike.
const NOISE: Sound = Sound(0);

fn run(count: u64, frame_every: Duration, sound: Sound, mut delay: impl FnMut(u64) -> Option<Duration>) -> Run {
    let start = Instant::now();
    let mut arrivals: Vec<(Instant, u64)> =
        (0..count).filter_map(|n| Some((start + TICK * n as u32 + delay(n)?, n))).collect();
    arrivals.sort();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut buffer = JitterBuffer::default();
    let (mut pulls, mut delays) = (Vec::new(), Vec::new());
    let mut now = start + Duration::from_millis(7);
    let mut decoded = 0;
    while now < start + TICK * count as u32 {
        while let Some((arrival, n)) = arrivals.next_if(|(arrival, _)| *arrival <= now) {
            buffer.insert(packet(n, arrival));
        }
        while decoded < FRAME {
            let at = now + RtpClock::OPUS.duration(decoded);
            let pull = buffer.pull(now, decoded as usize);
            decoded += match &pull {
                Pull::Packet(payload, pace) => {
                    delays.push((at - (start + TICK * number(payload) as u32)).as_millis() as u64);
                    let longer = match *pace {
                        Pace::Even => 0,
                        Pace::Faster(most) if sound.0 > most as i64 => 0,
                        Pace::Faster(_) => -sound.0,
                        Pace::Fastest(most) => -sound.0.max(120).min(most as i64),
                        Pace::Slower => sound.0,
                    };
                    buffer.paced(longer);
                    FRAME + longer
                }
                Pull::Fec(_, samples) | Pull::Conceal(samples) => *samples as i64,
                Pull::Silence => FRAME,
            };
            pulls.push(pull);
        }
        decoded -= FRAME;
        now += frame_every;
    }
    Run { pulls, buffer, delays }
}

fn played(pulls: &[Pull]) -> Vec<u64> {
    pulls
        .iter()
        .flat_map(|pull| match pull {
            Pull::Packet(payload, _) => vec![number(payload)],
            _ => vec![],
        })
        .collect()
}

#[test]
fn on_an_even_network_every_packet_is_played_once_in_order_within_60_ms() {
    let run = run(500, TICK, NOISE, |_| Some(Duration::from_millis(30)));
    let played = played(&run.pulls);
    assert!(played.windows(2).all(|w| w[1] == w[0] + 1));
    assert!(played.len() >= 494, "{}", played.len());
    assert!(run.delays.iter().all(|&d| d <= 30 + 60), "{:?}", run.delays.iter().max());
    assert_eq!(run.buffer.stats().concealed, 0);
}

#[test]
fn reordered_packets_are_played_in_order() {
    let mut rng = StdRng::seed_from_u64(1);
    let run = run(2000, TICK, NOISE, |_| Some(Duration::from_millis(rng.random_range(10..55))));
    let played = played(&run.pulls);
    assert!(played.windows(2).all(|w| w[1] > w[0]));
    let stats = run.buffer.stats();
    assert!(stats.concealed < 60, "{stats:?}");
    assert!(run.buffer.jitter() > Duration::from_millis(5));
}

#[test]
fn a_lost_packet_is_recovered_from_its_successor() {
    let run = run(1000, TICK, NOISE, |n| (n % 20 != 10).then_some(Duration::from_millis(20)));
    let stats = run.buffer.stats();
    assert_eq!(stats.lost, 50, "{stats:?}");
    assert!(stats.fec_recovered >= 45, "{stats:?}");
    let recovered: Vec<u64> =
        run.pulls.iter().filter_map(|p| if let Pull::Fec(next, 960) = p { Some(number(next)) } else { None }).collect();
    assert!(recovered.iter().all(|n| n % 20 == 11), "{recovered:?}");
}

#[test]
fn a_burst_of_losses_is_concealed_and_then_skipped() {
    let run = run(200, TICK, NOISE, |n| (!(100..120).contains(&n)).then_some(Duration::from_millis(20)));
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
    let run = run(3500, TICK, VOICE, |n| {
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
fn clocks_that_drift_apart_for_an_hour_neither_build_up_delay_nor_lose_anything() {
    // 300 ppm, the sender's clock the faster one and the slower one.
    for every in [Duration::from_nanos(20_006_000), Duration::from_nanos(19_994_000)] {
        let run = run(180_000, every, VOICE, |_| Some(Duration::from_millis(20)));
        let stats = run.buffer.stats();
        let (first, rest) = run.delays.split_at(500);
        let usual = first[200..].iter().max().unwrap();
        assert!(rest.iter().all(|d| d <= &(usual + 40)), "{usual} ms, then up to {:?} ms", rest.iter().max());
        // 1.08 s in an hour.
        let changed = (stats.removed_samples + stats.inserted_samples) / 48;
        assert!((900..1300).contains(&changed), "{changed} ms: {stats:?}");
        assert_eq!((stats.lost, stats.late), (0, 0), "{stats:?}");
        assert!(stats.concealed < 5, "{stats:?}");
    }
}

#[test]
fn a_delay_from_a_queue_is_worked_off_while_somebody_talks() {
    // The network's queue grows for 3 s, stands for 3 s, and is gone.
    let queued = |n: u64| match n {
        200..350 => (n - 200) * 2,
        350..500 => 300,
        _ => 0,
    };
    let run = run(2500, TICK, VOICE, |n| Some(Duration::from_millis(20 + queued(n))));
    let (before, stats) = (run.delays[190], run.buffer.stats());
    // What it grew and shrank by in a second is kept for 10 seconds, and what it grew by in another one for 30.
    for (more, seconds) in [(140, 14), (40, 34)] {
        let back = run.delays.iter().rposition(|d| *d > before + more).unwrap();
        assert!(back < 500 + 50 * seconds, "{more} ms more after {} ms", (back - 500) * 20);
    }
    assert!(stats.lost + stats.late <= 1 && stats.concealed < 20, "{stats:?}");
}

#[test]
fn a_burst_after_a_standstill_is_worked_off_at_any_price() {
    // The network stands for 400 ms, then everything comes at once.
    let delay = |n: u64| Some(Duration::from_millis(if (200..220).contains(&n) { 20 + (220 - n) * 20 } else { 20 }));
    let run = run(1000, TICK, NOISE, delay);
    assert!(*run.delays.last().unwrap() < 300, "{:?}", run.delays.last());
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
        pulls.push(buffer.pull(now + Duration::from_millis(3), 0));
    }
    assert_eq!(buffer.stats().lost, 0);
    assert!(pulls[100..200].iter().all(|p| *p == Pull::Silence));
    assert!(played(&pulls).len() >= 145);
    assert!(pulls[205..].iter().all(|p| matches!(p, Pull::Packet(..))), "{:?}", &pulls[195..215]);
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
        if let Pull::Packet(payload, _) = buffer.pull(now, 0) {
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
        pulls.push(buffer.pull(now + Duration::from_millis(1), 0));
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
            buffer.pull(now, 0);
        }
        assert!(buffer.held <= CAPACITY);
    }
    // And it still plays what is right afterwards.
    let now = start + TICK * 20_000;
    let pulls: Vec<Pull> = (0..100u64)
        .map(|n| {
            buffer.insert(packet(n, now + TICK * n as u32));
            buffer.pull(now + TICK * n as u32, 0)
        })
        .collect();
    assert!(played(&pulls).len() > 80, "{}", played(&pulls).len());
}

#[test]
fn two_senders_under_one_ssrc_are_survived_and_the_one_that_stays_is_played() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::default();
    let mut pulls = Vec::new();
    for tick in 0..600u64 {
        let now = start + TICK * tick as u32;
        buffer.insert(packet(tick, now));
        if tick < 300 {
            buffer.insert(packet(tick + 30_000, now));
        }
        pulls.push(buffer.pull(now + Duration::from_millis(1), 0));
        assert!(buffer.held <= CAPACITY);
    }
    assert!(buffer.stats().discarded > 500, "{:?}", buffer.stats());
    assert!(played(&pulls[310..]).len() > 280, "{:?}", buffer.stats());
}
