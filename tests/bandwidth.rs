//! The sender's bandwidth estimation on bad links, in virtual time: a call's audio and video through an impaired link,
//! with the receiver's feedback on its way back. Each test prints what it saw: `cargo test --test bandwidth -- --nocapture`.

#![allow(clippy::disallowed_methods, reason = "virtual time needs a zero")]

use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::{Duration, Instant};
use trill::media::bandwidth::{BandwidthEstimator, EstimatorSettings, PacketOutcome};
use trill::testkit::impair::{Blackout, Burst, Link, Profile, Schedule, Step};

const SETTINGS: EstimatorSettings = EstimatorSettings { min_bps: 60_000, start_bps: 500_000, max_bps: 5_000_000 };
const AUDIO_BPS: u32 = 64_000;
const MTU: u32 = 1200;
/// One way back, undisturbed.
const BACK: Duration = Duration::from_millis(25);
const FEEDBACK_INTERVAL: u64 = 50;
const SECOND: u64 = 1000;

/// Another one than 7 by the variable TRILL_SEED.
fn seed() -> u64 {
    std::env::var("TRILL_SEED").map_or(7, |seed| seed.parse().unwrap())
}

#[derive(Clone, Copy)]
struct Sent {
    number: usize,
    at: Instant,
    bytes: u32,
    audio: bool,
}

/// For each 100 ms: the bytes that came out of the link, and the longest wait of a packet that came to its queue.
#[derive(Default)]
struct Seen {
    bytes: Vec<u64>,
    queue_ms: Vec<f64>,
    audio_sent: u32,
    audio_lost: u32,
}

impl Seen {
    /// The part of `kbps` that was used, from and to milliseconds.
    fn used(&self, from: u64, to: u64, kbps: f64) -> f64 {
        let bytes: u64 = self.bytes[(from / 100) as usize..(to / 100) as usize].iter().sum();
        let used = bytes as f64 * 8.0 / ((to - from) as f64 * kbps);
        if kbps > 1.0 {
            println!("used from {} s to {} s: {:.0} % of {kbps:.0} kbit/s", from / SECOND, to / SECOND, 100.0 * used);
        }
        used
    }

    /// The 95th percentile of the queue in ms.
    fn queue(&self, from: u64, to: u64) -> f64 {
        let mut queue = self.queue_ms[(from / 100) as usize..(to / 100) as usize].to_vec();
        queue.sort_by(f64::total_cmp);
        queue[queue.len() * 95 / 100]
    }

    fn longest_queue(&self, from: u64, to: u64) -> f64 {
        self.queue_ms[(from / 100) as usize..(to / 100) as usize].iter().copied().fold(0.0, f64::max)
    }
}

/// A call of `seconds`. `wants` is what the picture takes, by the second, of what it may: a source may have little to show.
fn call(name: &str, schedule: Schedule, seconds: u64, wants: impl Fn(u64, u32) -> u32) -> Seen {
    call_with_stalls(name, schedule, seconds, wants, 0.0)
}

/// The receiver is busy now and then, for 30 to 120 ms, so often a second, and sees packets only after that.
fn call_with_stalls(
    name: &str,
    schedule: Schedule,
    seconds: u64,
    wants: impl Fn(u64, u32) -> u32,
    stalls_a_second: f64,
) -> Seen {
    call_from(seed(), name, schedule, seconds, wants, stalls_a_second)
}

fn call_from(
    seed: u64,
    name: &str,
    schedule: Schedule,
    seconds: u64,
    wants: impl Fn(u64, u32) -> u32,
    stalls_a_second: f64,
) -> Seen {
    let mut stalled_until = Instant::now();
    let start = Instant::now();
    let base_delay = |elapsed: Duration| schedule.at(elapsed).delay_ms;
    let mut link = Link::<Sent>::new(schedule.clone(), seed, start);
    let mut dice = StdRng::seed_from_u64(seed);
    let mut estimator = BandwidthEstimator::new(SETTINGS);
    let (mut sent, mut arrived): (Vec<Sent>, Vec<Option<Instant>>) = Default::default();
    // Reports on their way back: when they arrive, and up to which packet.
    let mut back: Vec<(Instant, usize, usize)> = Vec::new();
    let (mut reported, mut highest) = (0, 0);
    let mut seen = Seen::default();
    let mut line = String::new();
    for ms in 0..seconds * SECOND {
        let now = start + Duration::from_millis(ms);
        if ms % 100 == 0 {
            seen.bytes.push(0);
            seen.queue_ms.push(0.0);
        }
        let mut send = |bytes: u32, audio: bool| {
            let packet = Sent { number: sent.len(), at: now, bytes, audio };
            seen.audio_sent += u32::from(audio);
            sent.push(packet);
            arrived.push(None);
            link.send(now, bytes, packet);
        };
        if ms % 20 == 0 {
            send(AUDIO_BPS / 50 / 8, true);
        }
        if ms % 33 == 0 {
            let may = estimator.target_bps().saturating_sub(AUDIO_BPS);
            let video = wants(ms / SECOND, may).min(may).max(30_000);
            let mut bytes = (f64::from(video) * 0.033 / 8.0 * dice.random_range(0.7..1.3)) as u32;
            while bytes > 0 {
                send(bytes.clamp(60, MTU), false);
                bytes -= bytes.min(MTU);
            }
        }
        if stalls_a_second > 0.0 && now > stalled_until && dice.random_bool(stalls_a_second / 1e3) {
            stalled_until = now + Duration::from_millis(dice.random_range(30..120));
        }
        while now >= stalled_until
            && let Some((at, packet)) = link.poll(now)
        {
            arrived[packet.number] = Some(if stalls_a_second > 0.0 { now } else { at });
            highest = highest.max(packet.number + 1);
            let slot = seen.bytes.len() - 1;
            seen.bytes[slot] += u64::from(packet.bytes);
            let waited = (at - packet.at).as_secs_f64() * 1e3 - base_delay(packet.at - start);
            let slot = (packet.at - start).as_millis() as usize / 100;
            seen.queue_ms[slot] = seen.queue_ms[slot].max(waited);
        }
        if ms % FEEDBACK_INTERVAL == 0 && highest > reported {
            back.push((now + BACK, reported, highest));
            reported = highest;
        }
        while let Some((_, from, to)) = back.first().copied().filter(|(at, ..)| *at <= now) {
            back.remove(0);
            let outcome = |index: usize| PacketOutcome {
                sent: sent[index].at,
                // As of when the report was made, or at least by now.
                arrived: arrived[index].filter(|at| *at <= now - BACK).map(|at| at - start + Duration::from_secs(77)),
                bytes: sent[index].bytes,
            };
            let outcomes: Vec<_> = (from..to).map(outcome).collect();
            estimator.on_feedback(now, &outcomes);
        }
        if ms % SECOND == SECOND - 1 {
            let rate = seen.used(ms + 1 - SECOND, ms + 1, 1.0);
            let queue = seen.longest_queue(ms + 1 - SECOND, ms + 1);
            line += &format!("{}:{rate:.0}/{:.0}/{queue:.0} ", ms / SECOND, f64::from(estimator.target_bps()) / 1e3);
        }
    }
    let settled = start + Duration::from_millis(seconds * SECOND) - Duration::from_secs(1);
    seen.audio_lost = sent.iter().filter(|p| p.audio && p.at < settled && arrived[p.number].is_none()).count() as u32;
    println!(
        "{name}, seed {seed}: second:kbit/s arrived/estimate/longest queue in ms\n{line}\naudio lost {} of {}",
        seen.audio_lost, seen.audio_sent
    );
    seen
}

fn link(rate_kbps: f64) -> Profile {
    Profile { delay_ms: 25.0, rate_kbps, queue_ms: 1000.0, ..Profile::default() }
}

fn steady(profile: Profile) -> Schedule {
    Schedule::constant(profile).unwrap()
}

fn everything(_: u64, may: u32) -> u32 {
    may
}

#[test]
fn a_link_is_used_within_five_seconds_and_its_queue_stays_short() {
    for kbps in [300.0, 600.0, 1000.0, 2000.0, 4000.0] {
        let seen = call(&format!("{kbps} kbit/s"), steady(link(kbps)), 20, everything);
        let used = seen.used(5000, 20_000, kbps);
        assert!(used > 0.85, "{used:.2} of the link");
        assert!(seen.queue(5000, 20_000) < 130.0, "{:.0} ms", seen.queue(5000, 20_000));
        assert_eq!(seen.audio_lost, 0);
    }
}

#[test]
fn a_link_that_gets_narrow_and_wide_again_is_followed() {
    let at = |at_ms, kbps| Step { at_ms, profile: link(kbps) };
    let schedule = Schedule::new(vec![at(0, 2000.0), at(15_000, 500.0), at(30_000, 1500.0)], Vec::new()).unwrap();
    let seen = call("2 Mbit/s, 500 kbit/s, 1.5 Mbit/s", schedule, 45, everything);
    for (from, to, kbps) in [(5000, 15_000, 2000.0), (20_000, 30_000, 500.0), (35_000, 45_000, 1500.0)] {
        let used = seen.used(from, to, kbps);
        assert!(used > 0.85, "{used:.2} of {kbps} kbit/s");
    }
    println!("queue after the change down: {:.0?}", &seen.queue_ms[150..175]);
    // A second after the change down.
    assert!(seen.longest_queue(16_000, 30_000) < 200.0, "{:.0} ms", seen.longest_queue(16_000, 30_000));
}

#[test]
fn what_is_lost_when_a_link_gets_narrow_does_not_halve_the_rate_again() {
    // The queue overflows before anybody can know.
    let at = |at_ms, kbps| Step { at_ms, profile: Profile { delay_ms: 20.0, queue_ms: 200.0, ..link(kbps) } };
    let schedule = Schedule::new(vec![at(0, 2000.0), at(9_000, 500.0)], Vec::new()).unwrap();
    let wants = |_, may: u32| may.min(1_500_000);
    let mut used = 0.0;
    for seed in seed()..seed() + 10 {
        let seen = call_from(seed, "1.5 of 2 Mbit/s, 500 kbit/s", schedule.clone(), 14, wants, 0.0);
        used += seen.used(11_000, 13_000, 500.0) / 10.0;
    }
    println!("{used:.2} used from two to four seconds after the change");
    assert!(used > 0.88, "{used:.2}");
}

#[test]
fn loss_that_the_path_has_by_itself_takes_little() {
    for (loss_percent, at_least) in [(1.0, 0.85), (5.0, 0.8), (10.0, 0.75), (20.0, 0.6)] {
        let profile = Profile { loss_percent, ..link(2000.0) };
        let seen = call(&format!("{loss_percent} % loss"), steady(profile), 30, everything);
        let used = seen.used(10_000, 30_000, 2000.0 * (1.0 - loss_percent / 100.0));
        assert!(used > at_least, "{used:.2} of the link");
        assert!(seen.queue(10_000, 30_000) < 150.0, "{:.0} ms", seen.queue(10_000, 30_000));
    }
}

#[test]
fn loss_in_bursts_takes_little() {
    for (loss_percent, at_least) in [(1.0, 0.85), (5.0, 0.75), (10.0, 0.75), (20.0, 0.65)] {
        let burst = Some(Burst { loss_percent, length: 4.0 });
        let profile = Profile { burst, ..link(2000.0) };
        let seen = call(&format!("{loss_percent} % loss in bursts"), steady(profile), 40, everything);
        let used = seen.used(10_000, 40_000, 2000.0 * (1.0 - loss_percent / 100.0));
        assert!(used > at_least, "{used:.2} of the link");
    }
}

#[test]
fn with_jitter_that_keeps_the_order_a_part_of_the_link_is_used() {
    for (jitter_ms, at_least, longest) in [(10.0, 0.8, 150.0), (30.0, 0.8, 300.0), (100.0, 0.55, 500.0)] {
        let profile = Profile { jitter_ms, ..link(2000.0) };
        // As the dice fall it is half or twice as much: the mean of some.
        let (mut used, mut queue) = (0.0, 0.0);
        for seed in seed()..seed() + 6 {
            let seen =
                call_from(seed, &format!("{jitter_ms} ms jitter in order"), steady(profile), 30, everything, 0.0);
            used += seen.used(10 * SECOND, 30 * SECOND, 2000.0) / 6.0;
            queue += seen.queue(10_000, 30_000) / 6.0;
        }
        println!("{jitter_ms} ms jitter in order: {used:.2} of the link used, queue and jitter {queue:.0} ms (p95)");
        assert!(used > at_least && queue < longest, "{used:.2}, {queue:.0} ms");
    }
}

#[test]
fn with_jitter_a_good_part_of_the_link_is_used() {
    for (jitter_ms, at_least) in [(10.0, 0.6), (30.0, 0.5), (100.0, 0.4)] {
        let profile = Profile { jitter_ms, jitter_reorders: true, ..link(2000.0) };
        let seen = call(&format!("{jitter_ms} ms jitter"), steady(profile), 20, everything);
        let used = seen.used(5000, 20_000, 2000.0);
        assert!(used > at_least, "{used:.2} of the link");
    }
}

#[test]
fn where_the_queue_is_too_short_to_be_seen_loss_tells() {
    let seen = call("a queue of 30 ms", steady(Profile { queue_ms: 30.0, ..link(1000.0) }), 30, everything);
    let used = seen.used(10_000, 30_000, 1000.0);
    assert!(used > 0.7, "{used:.2} of the link");
    let lost = f64::from(seen.audio_lost) / f64::from(seen.audio_sent);
    assert!(lost < 0.15, "{lost:.2} of the audio lost");
}

#[test]
fn after_a_blackout_the_rate_is_back_in_five_seconds() {
    let schedule = Schedule::new(
        vec![Step { at_ms: 0, profile: link(2000.0) }],
        vec![Blackout { at_ms: 12_000, length_ms: 3000 }],
    );
    let seen = call("a blackout of 3 s", schedule.unwrap(), 30, everything);
    let used = seen.used(20_000, 30_000, 2000.0);
    assert!(used > 0.85, "{used:.2} of the link");
    assert!(seen.longest_queue(16_000, 30_000) < 200.0);
}

#[test]
fn a_burst_after_a_long_time_of_little_does_not_flood_the_link() {
    let wants = |second, may| if (10..20).contains(&second) { 100_000 } else { may };
    let seen = call("little to show from 10 s to 20 s", steady(link(1000.0)), 30, wants);
    assert!(seen.longest_queue(20_000, 30_000) < 200.0, "{:.0} ms", seen.longest_queue(20_000, 30_000));
    let used = seen.used(25_000, 30_000, 1000.0);
    assert!(used > 0.85, "{used:.2} of the link");
}

/// An encoder takes less than it may for a while, and then all of it.
#[test]
fn what_was_not_used_does_not_flood_a_narrow_link_afterwards() {
    for kbps in [300.0, 1000.0] {
        let part = (kbps * 900.0) as u32 - AUDIO_BPS;
        let wants = |second, may| if second >= 10 && second % 10 < 8 { part } else { may };
        let (mut queue, mut used) = (0.0, 0.0);
        for seed in seed()..seed() + 10 {
            let seen = call_from(seed, &format!("90 % of {kbps} kbit/s"), steady(link(kbps)), 40, wants, 0.0);
            for all in [18_000, 28_000, 38_000] {
                queue += seen.longest_queue(all, all + 2000) / 30.0;
                used += seen.used(all, all + 2000, kbps) / 30.0;
            }
        }
        println!("{kbps} kbit/s: a queue of {queue:.0} ms in the mean, {used:.2} used");
        assert!(queue < 135.0 && used > 0.9, "{queue:.0} ms, {used:.2}");
    }
}

#[test]
fn a_link_that_gets_wide_is_used_by_an_encoder_that_takes_less_than_it_may() {
    let at = |at_ms, kbps| Step { at_ms, profile: link(kbps) };
    let schedule = Schedule::new(vec![at(0, 300.0), at(12_000, 2000.0)], Vec::new()).unwrap();
    let seen = call("80 % of what it may", schedule, 40, |_, may| may / 5 * 4);
    let used = seen.used(30_000, 40_000, 2000.0);
    assert!(used > 0.75, "{used:.2} of the link");
}

#[test]
fn a_computer_that_is_busy_now_and_then_is_not_taken_for_a_narrow_link() {
    // The source takes what it is set to only in part, as an encoder does that leaves out frames.
    for (loss_percent, stalls) in [(0.0, 1.0), (0.0, 4.0), (5.0, 4.0)] {
        let profile = Profile { loss_percent, ..link(2000.0) };
        let name = format!("{stalls} stalls a second, {loss_percent} % loss");
        let seen = call_with_stalls(&name, steady(profile), 30, |_, _| 600_000, stalls);
        let used = seen.used(10_000, 30_000, 600.0);
        assert!(used > 0.8, "{used:.2} of what the source has");
    }
}
