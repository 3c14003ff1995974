//! Packets that repeat those before them.

use super::*;
use crate::media::red::RedWriter;
use bytes::BytesMut;

/// Packets of 20 ms, each with up to `redundant` of those before it, that come 30 ms after they were sent.
fn sent(count: u64, redundant: usize, start: Instant) -> Vec<ReceivedPacket> {
    let mut writer = RedWriter::default();
    let with_red = |n: u64| {
        let mut received = packet(n, start + TICK * n as u32 + Duration::from_millis(30));
        let mut payload = BytesMut::new();
        writer.write(111, redundant, received.packet.timestamp, &received.packet.payload, &mut payload);
        (received.packet.payload, received.packet.red) = (payload.freeze(), true);
        received
    };
    (0..count).map(with_red).collect()
}

/// Inserts them when they come and pulls every 20 ms.
fn played_of(received: Vec<ReceivedPacket>, start: Instant, ticks: u32) -> (Vec<Pull>, JitterStats) {
    let mut buffer = JitterBuffer::default();
    let mut received = received.into_iter().peekable();
    let pulls = (0..ticks).map(|tick| {
        let now = start + TICK * tick + Duration::from_millis(7);
        while let Some(received) = received.next_if(|received| received.arrival <= now) {
            buffer.insert(received);
        }
        buffer.pull(now, 0)
    });
    (pulls.collect(), buffer.stats())
}

#[test]
fn what_was_lost_is_played_from_the_packets_that_repeat_it() {
    for (redundant, in_a_row) in [(1, 1), (2, 1), (2, 2)] {
        let start = Instant::now();
        // After a while in which the buffer learns that packets get lost.
        let lost = |n: u64| n % 10 < in_a_row && n > 0;
        let received = sent(500, redundant, start).into_iter().enumerate();
        let received = received.filter(|(n, _)| !lost(*n as u64)).map(|(_, received)| received).collect();
        let (pulls, stats) = played_of(received, start, 490);
        let played = played(&pulls);
        assert!(played.windows(2).filter(|w| w[1] != w[0] + 1).count() <= 3, "{redundant}, {in_a_row}: {stats:?}");
        assert!(stats.red_recovered >= 46 * in_a_row, "{redundant}, {in_a_row}: {stats:?}");
        assert!(stats.red_recovered <= stats.lost && stats.duplicate == 0 && stats.late == 0, "{stats:?}");
        assert!(stats.concealed + stats.fec_recovered <= 6, "{stats:?}");
    }
}

#[test]
fn a_packet_that_comes_after_what_repeats_it_is_neither_lost_nor_a_duplicate() {
    let start = Instant::now();
    let mut received = sent(200, 2, start);
    for pair in received[1..].chunks_exact_mut(2) {
        // Each second one overtakes the one before it.
        let arrival = pair[1].arrival;
        pair.swap(0, 1);
        (pair[0].arrival, pair[1].arrival) = (arrival, arrival);
    }
    let (pulls, stats) = played_of(received.clone(), start, 195);
    assert!(played(&pulls).windows(2).all(|w| w[1] == w[0] + 1));
    assert_eq!((stats.lost, stats.late, stats.duplicate, stats.red_recovered), (0, 0, 0, 0), "{stats:?}");
    let twice = received.into_iter().flat_map(|received| [received.clone(), received]).collect();
    let (again, stats) = played_of(twice, start, 195);
    assert_eq!(played(&again), played(&pulls));
    assert!((190..=200).contains(&stats.duplicate), "{stats:?}");
}

#[test]
fn red_that_cannot_be_read_is_counted_and_hostile_red_does_no_harm() {
    let mut rng = StdRng::seed_from_u64(5);
    let start = Instant::now();
    let mut buffer = JitterBuffer::default();
    let mut now = start;
    for _ in 0..20_000 {
        now += TICK / 4;
        let mut received = packet(0, now);
        received.packet.red = true;
        // Mostly numbers near each other, so that blocks fall into gaps.
        received.packet.sequence = rng.random_range(0..40);
        received.packet.timestamp = rng.random_range(0..40_000);
        received.packet.payload = (0..rng.random_range(0..40)).map(|_| rng.random::<u8>()).collect::<Vec<_>>().into();
        buffer.insert(received);
        buffer.pull(now, 0);
        assert!(buffer.held <= CAPACITY);
    }
    assert!(buffer.stats().invalid > 1000, "{:?}", buffer.stats());
    let received: Vec<_> = sent(300, 2, now).into_iter().collect();
    let pulls: Vec<Pull> = received
        .into_iter()
        .map(|received| {
            let arrival = received.arrival;
            buffer.insert(received);
            buffer.pull(arrival, 0)
        })
        .collect();
    assert!(played(&pulls[100..]).len() > 150, "{}", played(&pulls).len());
}

#[test]
fn what_a_server_recovered_and_passes_on_late_is_no_jitter() {
    let start = Instant::now();
    let mut received = sent(500, 1, start);
    // Each 50th was lost on its way to the server, which takes it from the next one: so it comes with that one, and alone.
    for n in (50..499).step_by(50) {
        received[n] = packet(n as u64, received[n + 1].arrival);
    }
    let mut buffer = JitterBuffer::default();
    received.into_iter().for_each(|received| buffer.insert(received));
    let recovered = buffer.delay.target();
    assert!(recovered < Duration::from_millis(20), "{recovered:?}");
}
