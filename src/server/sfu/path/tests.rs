//! A link of which everything is known, and a publisher who learns of the limit a while later.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const STEP: Duration = Duration::from_millis(20);
const REPORT: Duration = Duration::from_millis(260);
const BASE: Duration = Duration::from_millis(40);

struct Sim {
    path: Path,
    start: Instant,
    now: Instant,
    /// What the publisher would send, in bits a second, and after how long it follows a limit.
    demand: f64,
    follows_after: Option<Duration>,
    /// What the link carries and queues, in bits a second and bits; what it loses by itself, and how much later packets come at
    /// most.
    capacity: f64,
    longest_queue: f64,
    loss: f64,
    /// Packets are lost as the dice fall, so many in a row in the mean, if at all; and what is left of the last one.
    burst: Option<f64>,
    in_burst: bool,
    rest: f64,
    jitter: Duration,
    /// The standard deviation of packets' delay each way, which keep their order; and when the last ones come out.
    jitter_in_order: Duration,
    out: [Instant; 2],
    is_down: bool,
    queue: f64,
    /// When packets went into the queue and how long they wait; and how long the last one waited that came out.
    waiting: VecDeque<(Instant, Duration)>,
    waited: Duration,
    sent: f64,
    /// Sent and lost in each step of the last second, and what the limit was.
    steps: VecDeque<(f64, f64)>,
    limits: VecDeque<(Instant, f64)>,
    random: SmallRng,
    delivered: f64,
}

impl Sim {
    fn new(demand: f64) -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one moment from which virtual time is counted")]
        let start = Instant::now();
        Self {
            path: Path::default(),
            start,
            now: start,
            demand,
            follows_after: Some(Duration::from_millis(300)),
            capacity: 10e6,
            longest_queue: 80e3,
            loss: 0.0,
            burst: None,
            in_burst: false,
            rest: 0.0,
            jitter: Duration::ZERO,
            jitter_in_order: Duration::ZERO,
            out: [start; 2],
            is_down: false,
            queue: 0.0,
            waiting: VecDeque::new(),
            waited: Duration::ZERO,
            sent: 0.0,
            steps: VecDeque::new(),
            limits: VecDeque::new(),
            random: SmallRng::seed_from_u64(7),
            delivered: 0.0,
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let limit = self.path.limit_bps().map_or(f64::INFINITY, |limit| limit as f64);
        self.limits.push_back((self.now, limit));
        let known = self.follows_after.map(|after| self.now - after);
        while self.limits.get(1).is_some_and(|(at, _)| known.is_some_and(|known| *at <= known)) {
            self.limits.pop_front();
        }
        let followed = self.limits.front().filter(|_| known.is_some()).map_or(f64::INFINITY, |(_, limit)| *limit);
        let sent = self.demand.min(followed) * STEP.as_secs_f64();
        let kept = self.burst.map_or(sent * (1.0 - self.loss), |burst| self.sent_by_chance(sent, burst));
        let kept = kept * if self.is_down { 0.0 } else { 1.0 };
        let fits = kept.min(self.longest_queue + self.capacity * STEP.as_secs_f64() - self.queue);
        let out = (self.queue + fits).min(self.capacity * STEP.as_secs_f64());
        self.queue += fits - out;
        self.waiting.push_back((self.now, self.queueing()));
        while let Some((_, waits)) = self.waiting.front().copied().filter(|(at, waits)| *at + *waits <= self.now) {
            self.waited = waits;
            self.waiting.pop_front();
        }
        self.delivered += out;
        self.sent += sent;
        self.steps.push_back((sent, sent - fits));
        if self.steps.len() > 50 {
            self.steps.pop_front();
        }
        // Packets of a step there, and one of feedback back.
        let there = (sent / PACKET_BITS).ceil() as u32;
        let in_order = self.in_order(0, there, self.now);
        let back = self.in_order(1, 1, self.now + in_order);
        let passed = (self.now - self.start).as_millis();
        if passed.is_multiple_of(REPORT.as_millis()) {
            let (sent, lost) = self.steps.iter().fold((0.0, 0.0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
            let jitter = self.jitter.mul_f64(self.random.random_range(0.0..=1.0));
            let report = Report {
                sent: (self.sent / 8.0) as u64,
                // Of the last second nothing is reported yet when reports come later than that.
                loss: (!self.is_down && BASE + self.waited < WINDOW).then_some((lost / sent) as f32),
                round_trip: Some(BASE + self.waited + jitter + in_order + back),
            };
            self.path.reported(self.now, report, false);
        }
    }

    /// How much later than it would the last of so many packets comes out.
    fn in_order(&mut self, way: usize, packets: u32, at: Instant) -> Duration {
        for _ in 0..packets {
            // The sum of twelve even dice is nearly a normal distribution.
            let normal: f64 = (0..12).map(|_| self.random.random_range(0.0..1.0)).sum::<f64>() - 6.0;
            let later = self.jitter_in_order.mul_f64(normal.max(0.0));
            self.out[way] = self.out[way].max(at + later);
        }
        self.out[way].saturating_duration_since(at)
    }

    fn sent_by_chance(&mut self, sent: f64, burst: f64) -> f64 {
        self.rest += sent;
        let packets = (self.rest / PACKET_BITS) as u32;
        self.rest -= f64::from(packets) * PACKET_BITS;
        let begins = (self.loss / (1.0 - self.loss) / burst).min(1.0);
        let mut lost = 0;
        for _ in 0..packets {
            // With bursts of one packet this is loss at random, but for two in a row, which are never lost.
            self.in_burst = self.random.random_bool(if self.in_burst { 1.0 - 1.0 / burst } else { begins });
            lost += u32::from(self.in_burst);
        }
        sent - f64::from(lost) * PACKET_BITS
    }

    fn queueing(&self) -> Duration {
        Duration::from_secs_f64(self.queue.max(0.0) / self.capacity)
    }

    /// What is delivered of what is wanted or fits, 0 to 1, and the longest queue.
    fn run(&mut self, seconds: u64) -> (f64, Duration) {
        let (until, before) = (self.now + Duration::from_secs(seconds), self.delivered);
        let mut longest = Duration::ZERO;
        while self.now < until {
            self.step();
            longest = longest.max(self.queueing());
        }
        let possible = self.demand.min(self.capacity) * seconds as f64;
        ((self.delivered - before) / possible, longest)
    }
}

#[test]
fn on_a_wide_link_there_is_no_limit() {
    let mut sim = Sim::new(1.5e6);
    assert!(sim.run(20).0 > 0.99);
    assert_eq!(sim.path.limit_bps(), None);
    assert!(sim.path.arrives_bps().is_some_and(|arrives| arrives.abs_diff(1_500_000) < 30_000));
}

#[test]
fn a_narrow_link_is_used_well_and_its_queue_kept_short() {
    for (narrow, longest_queue) in [(400e3, 80e3), (400e3, 2e6), (900e3, 180e3), (150e3, 30e3)] {
        let mut sim = Sim::new(1.5e6);
        sim.run(10);
        (sim.capacity, sim.longest_queue) = (narrow, longest_queue);
        sim.run(8);
        let (used, longest) = sim.run(60);
        println!("figure: {narrow} bit/s, {longest_queue} bits of queue: {used:.2} used, at most {longest:?} of queue");
        assert!(used > 0.8, "{used} of {narrow}");
        assert!(longest < Duration::from_millis(500), "{longest:?}");
        sim.capacity = 5e6;
        sim.run(10);
        assert!(sim.run(5).0 > 0.9, "all of it again, from {narrow}");
    }
}

#[test]
fn what_is_lost_when_a_link_gets_narrow_does_not_lower_the_limit_again() {
    for (narrow, longest_queue) in [(400e3, 80e3), (900e3, 180e3)] {
        // Wherever the change falls between reports.
        let used = |steps| {
            let mut sim = Sim::new(1.5e6);
            sim.run(8);
            (0..steps).for_each(|_| sim.step());
            (sim.capacity, sim.longest_queue) = (narrow, longest_queue);
            sim.run(2);
            sim.run(3).0
        };
        let mean = (0..40).map(used).sum::<f64>() / 40.0;
        println!("figure: after a change to {narrow} bit/s, from 2 to 5 s on: {mean:.2} used");
        assert!(mean > 0.92, "{mean:.2}");
    }
}

#[test]
fn loss_that_has_nothing_to_do_with_the_rate_is_no_limit() {
    for loss in [0.1, 0.2, 0.4] {
        let mut sim = Sim::new(1.5e6);
        sim.run(10);
        sim.loss = loss;
        sim.run(8);
        let (used, _) = sim.run(20);
        assert!(used > 0.95 * (1.0 - loss), "{used} with {loss} lost");
        assert_eq!(sim.path.limit_bps(), None);
    }
}

#[test]
fn jitter_is_no_queue() {
    let mut sim = Sim::new(1.5e6);
    sim.jitter = Duration::from_millis(300);
    let (used, _) = sim.run(60);
    assert!(used > 0.8, "{used}");
}

#[test]
fn jitter_in_order_is_no_queue() {
    for jitter_ms in [30, 100] {
        let used = |seed| {
            let mut sim = Sim::new(200e3);
            sim.random = SmallRng::seed_from_u64(seed);
            sim.jitter_in_order = Duration::from_millis(jitter_ms);
            // It begins with little, as calls do.
            for _ in 0..8 {
                sim.run(1);
                sim.demand = (sim.demand * 1.3).min(1.5e6);
            }
            sim.demand = 1.5e6;
            sim.run(30).0
        };
        let mut used: Vec<f64> = (0..40).map(used).collect();
        used.sort_by(f64::total_cmp);
        let mean = used.iter().sum::<f64>() / used.len() as f64;
        println!("figure: {jitter_ms} ms of jitter in order: {mean:.2} used, third-worst {:.2} of 40", used[2]);
        assert!(mean > 0.8, "{jitter_ms} ms: {mean:.2}");
    }
}

#[test]
fn a_queue_is_seen_through_jitter() {
    let run = |seed| {
        let mut sim = Sim::new(1.5e6);
        sim.random = SmallRng::seed_from_u64(seed);
        sim.jitter_in_order = Duration::from_millis(100);
        sim.run(10);
        // A queue of five seconds.
        (sim.capacity, sim.longest_queue) = (400e3, 2e6);
        sim.run(8);
        sim.run(60)
    };
    let (used, mut longest): (Vec<f64>, Vec<Duration>) = (0..40).map(run).unzip();
    longest.sort();
    let mean = used.iter().sum::<f64>() / used.len() as f64;
    println!(
        "figure: 400 kbit/s, 100 ms of jitter: {mean:.2} used, queue {:?}, third-worst {:?}",
        longest[20], longest[37]
    );
    assert!(mean > 0.75, "{mean:.2}");
    assert!(longest[20] < Duration::from_millis(600) && longest[37] < Duration::from_millis(900), "{longest:?}");
}

#[test]
fn a_silence_is_no_limit() {
    let mut sim = Sim::new(1.5e6);
    sim.run(10);
    sim.is_down = true;
    sim.run(3);
    sim.is_down = false;
    sim.run(2);
    assert_eq!(sim.path.limit_bps(), None);
    assert!(sim.run(10).0 > 0.99);
}

#[test]
fn a_publisher_that_does_not_follow_is_noticed() {
    let mut sim = Sim::new(1.5e6);
    sim.follows_after = None;
    sim.run(5);
    assert!(!sim.path.is_overrun(sim.now));
    (sim.capacity, sim.longest_queue) = (300e3, 60e3);
    sim.run(5);
    assert!(sim.path.is_overrun(sim.now), "{:?}", sim.path.limit_bps());
    let limit = sim.path.limit_bps().unwrap();
    assert!((100_000..320_000).contains(&limit), "{limit}");

    // And where it is only ever seen that packets come seconds late.
    let mut sim = Sim::new(1.5e6);
    sim.follows_after = None;
    sim.jitter = Duration::from_millis(30);
    sim.run(5);
    (sim.capacity, sim.longest_queue) = (100e3, 500e3);
    sim.run(10);
    assert!(sim.path.is_overrun(sim.now), "{:?}", sim.path.limit_bps());
}

/// What of 1.5 Mbit/s is used of what comes through, in 10 s that begin 10 s after a call's first second: the mean and the
/// third-worst of a hundred.
fn used_by_chance(loss: f64, burst: f64) -> (f64, f64) {
    let used = |seed| {
        let mut sim = Sim::new(100e3);
        (sim.loss, sim.burst, sim.random) = (loss, Some(burst), SmallRng::seed_from_u64(seed));
        sim.run(1);
        sim.demand = 1.5e6;
        sim.run(10);
        sim.run(10).0 / (1.0 - loss)
    };
    let mut used: Vec<f64> = (0..100).map(used).collect();
    used.sort_by(f64::total_cmp);
    let mean = used.iter().sum::<f64>() / 100.0;
    println!("{loss} lost in bursts of {burst}: {mean:.2} used, third-worst {:.2}", used[2]);
    (mean, used[2])
}

#[test]
fn much_loss_that_comes_as_the_dice_fall_takes_little_however_little_is_sent_at_first() {
    for loss in [0.1, 0.2, 0.35] {
        // At random, so many are lost in a row.
        let (_, worst) = used_by_chance(loss, 1.0 / (1.0 - loss));
        assert!(worst > 0.7, "{loss}: {worst:.2}");
    }
}

#[test]
fn loss_in_bursts_takes_little() {
    for loss in [0.05, 0.1, 0.2, 0.3] {
        let (mean, _) = used_by_chance(loss, 4.0);
        assert!(mean > 0.8, "{loss}: {mean:.2}");
    }
}

#[test]
fn congestion_without_a_queue_is_told_by_loss() {
    let mut sim = Sim::new(1.5e6);
    sim.run(20);
    // A queue of 10 ms is too short to be seen.
    (sim.capacity, sim.longest_queue) = (400e3, 4e3);
    sim.run(15);
    let limits: Vec<u64> = (0..20).map(|_| (sim.run(1), sim.path.limit_bps().unwrap_or(u64::MAX)).1).collect();
    let fitting = limits.iter().filter(|limit| (200_000..700_000).contains(*limit)).count();
    assert!(fitting >= 15, "{limits:?}");
}
