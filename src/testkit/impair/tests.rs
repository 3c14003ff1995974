//! Each test measures what comes out, in virtual time, and says what a network of that kind would show.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A packet every `interval`, each carrying its number, and what came out: `(number, sent, arrived)` in the order of
/// arrival.
struct Run {
    sent: Vec<Duration>,
    arrived: Vec<(usize, Duration)>,
    stats: LinkStats,
}

#[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
fn run(schedule: Schedule, seed: u64, count: usize, bytes: u32, interval: Duration) -> Run {
    let start = Instant::now();
    let mut link = Link::new(schedule, seed, start);
    let (mut sent, mut arrived) = (Vec::new(), Vec::new());
    for n in 0..count {
        let now = start + interval * n as u32;
        while let Some(wake) = link.next_timeout().filter(|&wake| wake <= now) {
            while let Some((at, packet)) = link.poll(wake) {
                assert!(at <= wake);
                arrived.push((packet, at - start));
            }
        }
        link.send(now, bytes, n);
        sent.push(now - start);
    }
    while let Some(wake) = link.next_timeout() {
        while let Some((at, packet)) = link.poll(wake) {
            arrived.push((packet, at - start));
        }
    }
    assert_eq!(link.queued(), (0, 0));
    Run { sent, arrived, stats: link.stats() }
}

fn constant(profile: Profile) -> Schedule {
    Schedule::constant(profile).unwrap()
}

impl Run {
    fn delays_ms(&self) -> Vec<f64> {
        self.arrived.iter().map(|&(n, at)| (at - self.sent[n]).as_secs_f64() * 1e3).collect()
    }

    /// The lengths of the holes in the numbers that arrived.
    fn bursts(&self) -> Vec<usize> {
        let mut seen = vec![false; self.sent.len()];
        self.arrived.iter().for_each(|&(n, _)| seen[n] = true);
        seen.split(|&seen| seen).map(<[bool]>::len).filter(|&length| length > 0).collect()
    }

    fn arrived_between(&self, from: Duration, to: Duration) -> usize {
        self.arrived.iter().filter(|(_, at)| (from..to).contains(at)).count()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn a_clean_network_gives_each_packet_at_once_and_in_order() {
    let run = run(Schedule::clean(), 1, 1000, 1200, Duration::from_millis(1));
    assert!(run.arrived.iter().enumerate().all(|(at, &(n, time))| at == n && time == run.sent[n]));
    assert_eq!(run.arrived.len(), 1000);
}

#[test]
fn the_same_seed_gives_the_same_network_and_another_seed_another() {
    let profile = Profile {
        delay_ms: 30.0,
        jitter_ms: 10.0,
        loss_percent: 5.0,
        burst: Some(Burst { loss_percent: 5.0, length: 4.0 }),
        duplicate_percent: 1.0,
        reorder_percent: 2.0,
        reorder_delay_ms: 20.0,
        rate_kbps: 1000.0,
        ..Profile::default()
    };
    let arrivals = |seed| run(constant(profile), seed, 2000, 1000, Duration::from_millis(10)).arrived;
    assert_eq!(arrivals(7), arrivals(7));
    assert_ne!(arrivals(7), arrivals(8));
}

#[test]
fn single_loss_is_of_the_rate_asked_for_and_falls_anywhere() {
    let run =
        run(constant(Profile { loss_percent: 10.0, ..Profile::default() }), 2, 100_000, 200, Duration::from_millis(20));
    let lost = run.stats.lost as f64 / 1000.0;
    assert!((9.6..10.4).contains(&lost), "{lost} %");
    assert_eq!(run.stats.lost as usize + run.arrived.len(), 100_000);
    let bursts = run.bursts();
    let length = bursts.iter().sum::<usize>() as f64 / bursts.len() as f64;
    assert!((1.08..1.15).contains(&length), "1 / (1 - 0.1) in a row when each is by itself: {length}");
}

#[test]
fn burst_loss_is_of_the_rate_and_the_length_asked_for() {
    let burst = Some(Burst { loss_percent: 8.0, length: 5.0 });
    let run = run(constant(Profile { burst, ..Profile::default() }), 3, 200_000, 200, Duration::from_millis(20));
    let lost = run.stats.lost as f64 / 2000.0;
    assert!((7.4..8.6).contains(&lost), "{lost} %");
    let bursts = run.bursts();
    let length = bursts.iter().sum::<usize>() as f64 / bursts.len() as f64;
    assert!((4.7..5.3).contains(&length), "{length} packets in a row");
}

#[test]
fn the_same_packets_are_lost_with_jitter_and_without() {
    let lossy = Profile { loss_percent: 10.0, ..Profile::default() };
    let survivors = |profile| {
        let run = run(constant(profile), 4, 1000, 200, Duration::from_millis(20));
        run.arrived.into_iter().map(|(n, _)| n).collect::<Vec<_>>()
    };
    assert_eq!(survivors(lossy), survivors(Profile { delay_ms: 50.0, jitter_ms: 10.0, ..lossy }));
}

#[test]
fn jitter_is_normally_distributed_about_the_delay() {
    let profile = Profile { delay_ms: 100.0, jitter_ms: 10.0, jitter_reorders: true, ..Profile::default() };
    let run = run(constant(profile), 5, 20_000, 200, Duration::from_millis(20));
    let mut delays = run.delays_ms();
    let (mean, deviation) = (mean(&delays), deviation(&delays));
    assert!((99.7..100.3).contains(&mean) && (9.8..10.2).contains(&deviation), "{mean} ms, {deviation} ms");
    delays.sort_by(f64::total_cmp);
    let share_within_one = delays.iter().filter(|d| (90.0..110.0).contains(*d)).count() as f64 / 20_000.0;
    assert!((0.67..0.70).contains(&share_within_one), "{share_within_one} within one deviation");
    assert!(delays[0] >= 50.0 && delays[19_999] <= 140.0);
}

#[test]
fn jitter_keeps_the_order_unless_told_otherwise() {
    let profile = Profile { delay_ms: 50.0, jitter_ms: 30.0, ..Profile::default() };
    let in_order = |profile| {
        let run = run(constant(profile), 6, 5000, 200, Duration::from_millis(5));
        (run.arrived.windows(2).all(|pair| pair[0].0 < pair[1].0), deviation(&run.delays_ms()))
    };
    let (ordered, deviation) = in_order(profile);
    assert!(ordered && deviation > 8.0, "{deviation} ms");
    assert!(!in_order(Profile { jitter_reorders: true, ..profile }).0);
}

#[test]
fn packets_held_back_are_overtaken_by_as_many_as_pass_meanwhile() {
    let profile = Profile { reorder_percent: 3.0, reorder_delay_ms: 50.0, ..Profile::default() };
    let run = run(constant(profile), 7, 20_000, 200, Duration::from_millis(20));
    let late: Vec<f64> = run.delays_ms().into_iter().filter(|&delay| delay > 0.0).collect();
    assert_eq!(late.len() as u64, run.stats.held_back);
    assert!((500..700).contains(&late.len()), "{} of 20,000", late.len());
    assert!(late.iter().all(|&delay| (delay - 50.0).abs() < 0.01));
}

#[test]
fn copies_arrive_as_often_as_asked_for() {
    let run = run(
        constant(Profile { duplicate_percent: 5.0, ..Profile::default() }),
        8,
        20_000,
        200,
        Duration::from_millis(20),
    );
    assert_eq!(run.arrived.len() as u64, 20_000 + run.stats.duplicated);
    assert!((850..1150).contains(&run.stats.duplicated), "{}", run.stats.duplicated);
}

#[test]
fn a_bottleneck_passes_its_rate_and_its_queue_holds_its_time_and_no_more() {
    // 2 Mbit/s into 1 Mbit/s.
    let profile = Profile { rate_kbps: 1000.0, queue_ms: 150.0, ..Profile::default() };
    let run = run(constant(profile), 9, 10_000, 1000, Duration::from_millis(4));
    for second in 1..39 {
        let passed = run.arrived_between(SECOND * second, SECOND * (second + 1));
        assert!((124..=126).contains(&passed), "{passed} packets of 8 kbit in second {second}");
    }
    let longest = run.delays_ms().into_iter().fold(0.0, f64::max);
    assert!((140.0..=158.0).contains(&longest), "{longest} ms: the queue and the packet being sent");
    assert_eq!(run.stats.queue_dropped as usize + run.arrived.len(), 10_000);
    assert!((4900..5050).contains(&run.stats.queue_dropped), "{}", run.stats.queue_dropped);
}

#[test]
fn a_bottleneck_leaves_a_stream_that_fits_alone() {
    let profile = Profile { rate_kbps: 1000.0, ..Profile::default() };
    let run = run(constant(profile), 10, 1000, 1000, Duration::from_millis(9));
    assert_eq!(run.stats.queue_dropped, 0);
    assert!(run.delays_ms().iter().all(|&delay| delay == 0.0));
}

#[test]
fn a_bucket_lets_what_was_saved_up_pass_at_once() {
    // Ten packets at one time, each second; the link is idle in between.
    let passed_at_once = |bucket_bytes| {
        let profile = Profile { rate_kbps: 100.0, bucket_bytes, queue_ms: 1000.0, ..Profile::default() };
        let run = run(constant(profile), 11, 10, 1000, Duration::ZERO);
        run.delays_ms().iter().filter(|&&delay| delay == 0.0).count()
    };
    assert_eq!(passed_at_once(0), 1);
    assert_eq!(passed_at_once(5000), 6);
}

#[test]
fn a_change_of_rate_also_drains_what_is_queued_already() {
    let step = |at_ms, rate_kbps| Step { at_ms, profile: Profile { rate_kbps, queue_ms: 400.0, ..Profile::default() } };
    let schedule = Schedule::new(vec![step(0, 2000.0), step(10_000, 500.0), step(20_000, 1500.0)], vec![]).unwrap();
    // 1.6 Mbit/s all the time.
    let run = run(schedule, 12, 6000, 1000, Duration::from_millis(5));
    let kbps = |from: u32, to: u32| run.arrived_between(SECOND * from, SECOND * to) as f64 * 8.0 / f64::from(to - from);
    assert!((1590.0..=1610.0).contains(&kbps(1, 9)), "{}", kbps(1, 9));
    assert!((495.0..=505.0).contains(&kbps(11, 19)), "{}", kbps(11, 19));
    assert!((1490.0..=1510.0).contains(&kbps(21, 29)), "{}", kbps(21, 29));
    let longest = run.delays_ms().into_iter().fold(0.0, f64::max);
    assert!((350.0..=420.0).contains(&longest), "{longest} ms of queue after the fall");
}

#[test]
fn nothing_passes_in_a_blackout_and_everything_before_and_after() {
    let blackout = Blackout { at_ms: 2000, length_ms: 3000 };
    let schedule = Schedule::new(vec![], vec![blackout]).unwrap();
    let run = run(schedule, 13, 500, 200, Duration::from_millis(20));
    assert_eq!(run.bursts(), [150]);
    assert_eq!(run.stats.blackout_dropped, 150);
    assert_eq!(run.arrived_between(SECOND * 2, SECOND * 5), 0);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
fn what_is_on_the_way_is_bounded() {
    let start = Instant::now();
    let mut link = Link::new(constant(Profile { delay_ms: 60_000.0, ..Profile::default() }), 14, start);
    (0..MAX_IN_FLIGHT + 10).for_each(|n| link.send(start, 100, n));
    assert_eq!(link.stats().overflowed, 10);
    let slow = Profile { rate_kbps: 1.0, queue_bytes: MAX_QUEUED as u64 * 1000, ..Profile::default() };
    let mut link = Link::new(constant(slow), 15, start);
    (0..MAX_QUEUED + 10).for_each(|n| link.send(start, 1, n));
    assert_eq!(link.queued().0, MAX_QUEUED);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "an arbitrary origin of virtual time")]
fn a_poll_that_comes_late_gives_the_times_at_which_packets_did_arrive() {
    let start = Instant::now();
    let mut link = Link::new(constant(Profile { rate_kbps: 100.0, delay_ms: 5.0, ..Profile::default() }), 16, start);
    (0..3).for_each(|n| link.send(start, 1000, n));
    let late = start + SECOND;
    let times: Vec<u128> = std::iter::from_fn(|| link.poll(late)).map(|(at, _)| (at - start).as_millis()).collect();
    assert_eq!(times, [5, 85, 165]);
}
