//! Discontinuous transmission: who is silent sends a packet that says so, then one of comfort noise every 400 ms.

use super::*;

/// Without a frame in it: nothing follows.
const SILENT: &[u8] = &[31 << 3];
/// Ticks of 20 ms.
const REFRESH: u64 = 20;
const TALK: u64 = 100;
const PAUSE: u64 = 500;

/// What is sent in a tick, when somebody talks for 2 s and pauses for 10 s, again and again.
#[derive(Clone, Copy, PartialEq)]
enum Sent {
    Voice,
    Noise,
    Silent,
    Nothing,
}

fn sent(tick: u64) -> Sent {
    match tick % (TALK + PAUSE) {
        at if at < TALK => Sent::Voice,
        at => match (at - TALK) % REFRESH {
            0 if at > TALK => Sent::Noise,
            0 | 1 => Sent::Silent,
            _ => Sent::Nothing,
        },
    }
}

struct Outcome {
    pulls: Vec<Pull>,
    stats: JitterStats,
    targets: Vec<Duration>,
    /// From when each packet of voice was sent to when it was played.
    delays: Vec<Duration>,
}

fn run_dtx(ticks: u64, mut delay: impl FnMut(u64) -> Option<Duration>) -> Outcome {
    let start = Instant::now();
    let mut arrivals = Vec::new();
    let mut sequence = 100u16;
    for tick in (0..ticks).filter(|tick| sent(*tick) != Sent::Nothing) {
        sequence += 1;
        let at = start + TICK * tick as u32;
        let Some(delay) = delay(tick) else { continue };
        let mut received = packet(tick, at + delay);
        received.packet.sequence = sequence;
        if sent(tick) == Sent::Silent {
            received.packet.payload = Bytes::from_static(SILENT);
        }
        arrivals.push(received);
    }
    arrivals.sort_by_key(|received| received.arrival);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut buffer = JitterBuffer::default();
    let (mut pulls, mut targets, mut delays) = (Vec::new(), Vec::new(), Vec::new());
    for tick in 0..ticks {
        let now = start + TICK * tick as u32 + Duration::from_millis(7);
        while let Some(received) = arrivals.next_if(|received| received.arrival <= now) {
            buffer.insert(received);
        }
        let pull = buffer.pull(now, 0);
        if let Pull::Packet(payload, _) = &pull
            && payload.len() > 2
            && sent(number(payload)) == Sent::Voice
        {
            delays.push(now - (start + TICK * number(payload) as u32));
        }
        pulls.push(pull);
        targets.push(buffer.target());
    }
    Outcome { pulls, stats: buffer.stats(), targets, delays }
}

#[test]
fn a_pause_is_no_loss_and_sounds_of_comfort_noise() {
    let outcome = run_dtx(3 * (TALK + PAUSE), |_| Some(Duration::from_millis(30)));
    let stats = outcome.stats;
    assert_eq!((stats.lost, stats.late, stats.concealed, stats.fec_recovered), (0, 0, 0, 0), "{stats:?}");
    let pause = (TALK + 10) as usize..(TALK + PAUSE) as usize;
    let silent = outcome.pulls[pause].iter().filter(|pull| **pull == Pull::Silence).count();
    assert_eq!(silent, 0, "the line sounds dead");
    assert!(outcome.delays.len() >= 3 * TALK as usize - 5, "{}", outcome.delays.len());
    let (first, last) = (outcome.delays[TALK as usize / 2], outcome.delays[outcome.delays.len() - 10]);
    assert!(
        outcome.delays.iter().all(|delay| *delay <= first + TICK),
        "{first:?}, then up to {:?}",
        outcome.delays.iter().max()
    );
    assert!(last <= first, "{first:?}, then {last:?}");
}

#[test]
fn pauses_do_not_make_the_wait_longer() {
    let mut rng = StdRng::seed_from_u64(8);
    let outcome = run_dtx(4 * (TALK + PAUSE), |_| Some(Duration::from_millis(rng.random_range(20..40))));
    let before = outcome.targets[TALK as usize - 1];
    let longest = outcome.targets[TALK as usize..].iter().max().unwrap();
    assert!(*longest <= before + Duration::from_millis(10), "{before:?}, then {longest:?}");
    assert_eq!(outcome.stats.lost, 0, "{:?}", outcome.stats);
}

#[test]
fn loss_in_a_pause_is_counted_as_no_more_than_it_is() {
    let mut rng = StdRng::seed_from_u64(9);
    let mut missing = 0;
    let outcome = run_dtx(4 * (TALK + PAUSE), |_| {
        let lost = rng.random_bool(0.1);
        missing += u64::from(lost);
        (!lost).then_some(Duration::from_millis(30))
    });
    let lost = outcome.stats.lost;
    assert!(lost <= missing && lost + 5 >= missing, "{missing} did not come, {lost} were taken for lost");
    assert!(
        outcome.delays.iter().all(|delay| *delay < Duration::from_millis(150)),
        "{:?}",
        outcome.delays.iter().max()
    );
}
