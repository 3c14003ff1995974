//! A bad network, the same one each time: one direction of a path, from a [`Schedule`] of [`Profile`]s and a seed.
//!
//! A packet passes, in this order: the bottleneck (a token bucket behind a drop-tail queue), blackouts, loss in bursts
//! and single loss, duplication, delay with jitter, and being held back so that others overtake it. What is lost has
//! used the bottleneck, as on a radio link.
//!
//! The run loop, in virtual or in real time: [`Link::send`] each packet, wait until [`Link::next_timeout`] or the next
//! packet, then take what [`Link::poll`] gives until it gives nothing more.
//!
//! Each impairment draws from a generator of its own, so that changing one of them leaves the others as they were: the
//! same packets are lost with jitter and without.

mod profile;

pub use profile::{Blackout, Burst, Profile, Schedule, Step};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

/// Packets on the way at most, beside those in the bottleneck's queue: 4 s at 250 Mbit/s.
const MAX_IN_FLIGHT: usize = 100_000;
/// Packets in the bottleneck's queue at most, however large a queue the profile asks for.
const MAX_QUEUED: usize = 100_000;

/// What became of the packets of one direction, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStats {
    /// Packets and bytes that were sent into the link.
    pub sent: u64,
    pub sent_bytes: u64,
    /// Packets and bytes that came out of it, copies included.
    pub delivered: u64,
    pub delivered_bytes: u64,
    /// Did not fit into the bottleneck's queue.
    pub queue_dropped: u64,
    pub blackout_dropped: u64,
    /// Lost alone or in a burst.
    pub lost: u64,
    pub duplicated: u64,
    /// Held back, so that others could overtake them.
    pub held_back: u64,
    /// More than the link can hold, whatever the profile says.
    pub overflowed: u64,
    /// The longest that a packet waited in the bottleneck's queue, in milliseconds.
    pub max_queue_ms: u64,
}

impl std::ops::AddAssign for LinkStats {
    /// Both together: the counts are added up, the longest wait is the longer one.
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
        self.queue_dropped += other.queue_dropped;
        self.blackout_dropped += other.blackout_dropped;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.held_back += other.held_back;
        self.overflowed += other.overflowed;
        self.max_queue_ms = self.max_queue_ms.max(other.max_queue_ms);
    }
}

/// One direction of an impaired path. `P` is whatever a packet is to the caller.
#[derive(Debug)]
pub struct Link<P> {
    schedule: Schedule,
    start: Instant,
    /// How far the bottleneck has been followed.
    time: Instant,
    queue: VecDeque<Queued<P>>,
    queued_bytes: u64,
    /// What may leave the bottleneck at once, in bits. Below zero while a packet is being sent.
    tokens: f64,
    bursting: bool,
    on_the_way: BinaryHeap<Flight<P>>,
    last_arrival: Instant,
    order: u64,
    dice: Dice,
    stats: LinkStats,
}

#[derive(Debug)]
struct Queued<P> {
    since: Instant,
    bytes: u32,
    packet: P,
}

#[derive(Debug)]
struct Flight<P> {
    arrival: Instant,
    order: u64,
    bytes: u32,
    packet: P,
}

/// A generator for each impairment.
#[derive(Debug)]
struct Dice {
    loss: StdRng,
    burst: StdRng,
    duplicate: StdRng,
    jitter: StdRng,
    reorder: StdRng,
}

impl<P: Clone> Link<P> {
    /// The schedule's time begins at `start`. The same seed and packets give the same link.
    pub fn new(schedule: Schedule, seed: u64, start: Instant) -> Self {
        let tokens = schedule.at(Duration::ZERO).bucket_bits();
        Self {
            schedule,
            start,
            time: start,
            queue: VecDeque::new(),
            queued_bytes: 0,
            tokens,
            bursting: false,
            on_the_way: BinaryHeap::new(),
            last_arrival: start,
            order: 0,
            dice: Dice::new(seed),
            stats: LinkStats::default(),
        }
    }

    /// Hands over a packet of `bytes` (as the bottleneck counts them: with its headers). Time does not go backwards: an
    /// earlier `now` than before is taken as that.
    pub fn send(&mut self, now: Instant, bytes: u32, packet: P) {
        self.advance(now);
        self.stats.sent += 1;
        self.stats.sent_bytes += u64::from(bytes);
        let profile = *self.profile();
        if profile.rate_kbps > 0.0 {
            let room = profile.queue_bytes_at_rate();
            // An idle bottleneck takes any packet: otherwise a short queue would pass none at all.
            let fits = self.queue.is_empty() || self.queued_bytes + u64::from(bytes) <= room;
            if !fits || self.queue.len() >= MAX_QUEUED {
                self.stats.queue_dropped += 1;
                return;
            }
        }
        self.queued_bytes += u64::from(bytes);
        self.queue.push_back(Queued { since: self.time, bytes, packet });
        let time = self.time;
        self.advance(time);
    }

    /// The next packet that has arrived by `now`, and when it did.
    pub fn poll(&mut self, now: Instant) -> Option<(Instant, P)> {
        self.advance(now);
        if self.on_the_way.peek()?.arrival > now {
            return None;
        }
        let flight = self.on_the_way.pop()?;
        self.stats.delivered += 1;
        self.stats.delivered_bytes += u64::from(flight.bytes);
        Some((flight.arrival, flight.packet))
    }

    /// When [`Self::poll`] may give a packet although none was sent. `None`: the link is empty.
    pub fn next_timeout(&self) -> Option<Instant> {
        let arrival = self.on_the_way.peek().map(|flight| flight.arrival);
        let departure = (!self.queue.is_empty()).then(|| self.next_event());
        arrival.into_iter().chain(departure).min()
    }

    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Packets in the bottleneck's queue, and their bytes.
    pub fn queued(&self) -> (usize, u64) {
        (self.queue.len(), self.queued_bytes)
    }

    fn profile(&self) -> &Profile {
        self.schedule.at(self.time - self.start)
    }

    /// Lets the bottleneck work up to `now`, exactly: also over changes of its rate in between.
    fn advance(&mut self, now: Instant) {
        let now = now.max(self.time);
        loop {
            let until = self.next_event().min(now);
            self.refill(until);
            let profile = *self.profile();
            let open = profile.rate_kbps <= 0.0 || self.tokens >= 0.0;
            if open && let Some(head) = self.queue.pop_front() {
                self.queued_bytes -= u64::from(head.bytes);
                if profile.rate_kbps > 0.0 {
                    self.tokens -= f64::from(head.bytes) * 8.0;
                }
                self.depart(head, profile);
            } else if until >= now {
                return;
            }
        }
    }

    /// When the head of the queue may leave, or the profile changes, if that is earlier.
    fn next_event(&self) -> Instant {
        let elapsed = self.time - self.start;
        let change = self.schedule.next_change(elapsed).map(|at| self.start + at);
        let profile = self.schedule.at(elapsed);
        let wait = match profile.rate_kbps > 0.0 && self.tokens < 0.0 {
            // Rounded up, or a wait of less than a nanosecond would never end.
            true => Duration::from_nanos((-self.tokens / profile.rate_kbps * 1e6).ceil() as u64),
            false => Duration::ZERO,
        };
        match self.queue.is_empty() {
            true => change.unwrap_or(self.time + Duration::from_secs(3600)),
            false => change.into_iter().fold(self.time + wait, Instant::min),
        }
    }

    fn refill(&mut self, until: Instant) {
        let profile = *self.profile();
        let earned = (until - self.time).as_secs_f64() * profile.rate_kbps * 1e3;
        self.time = until;
        // A packet may leave when there is no debt; so the bucket proper is what may be saved up beyond that. The
        // last bit is forgiven: it is what rounding leaves.
        self.tokens = (self.tokens + earned).min(profile.bucket_bits());
        if self.tokens.abs() < 1e-3 {
            self.tokens = 0.0;
        }
    }

    /// A packet has left the bottleneck, at `self.time`.
    fn depart(&mut self, head: Queued<P>, profile: Profile) {
        let waited = (self.time - head.since).as_millis() as u64;
        self.stats.max_queue_ms = self.stats.max_queue_ms.max(waited);
        let lost = self.dice.is_lost(&profile, &mut self.bursting);
        let duplicate = self.dice.duplicate.random_bool(profile.duplicate_percent / 100.0);
        let jitter = profile.jitter_ms * standard_normal(&mut self.dice.jitter);
        let held_back = self.dice.reorder.random_bool(profile.reorder_percent / 100.0);
        if self.schedule.is_blacked_out(self.time - self.start) {
            self.stats.blackout_dropped += 1;
            return;
        }
        if lost {
            self.stats.lost += 1;
            return;
        }
        let delay_ms = (profile.delay_ms + jitter).clamp(0.0, profile.delay_ms + 4.0 * profile.jitter_ms);
        let mut arrival = self.time + Duration::from_secs_f64(delay_ms / 1e3);
        if held_back {
            self.stats.held_back += 1;
            arrival += Duration::from_secs_f64(profile.reorder_delay_ms / 1e3);
        } else if !profile.jitter_reorders {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        if duplicate {
            self.stats.duplicated += 1;
            self.fly(arrival, head.bytes, head.packet.clone());
        }
        self.fly(arrival, head.bytes, head.packet);
    }

    fn fly(&mut self, arrival: Instant, bytes: u32, packet: P) {
        if self.on_the_way.len() >= MAX_IN_FLIGHT {
            self.stats.overflowed += 1;
            return;
        }
        self.order += 1;
        self.on_the_way.push(Flight { arrival, order: self.order, bytes, packet });
    }
}

impl Dice {
    fn new(seed: u64) -> Self {
        let mut seeds = StdRng::seed_from_u64(seed);
        let mut next = || StdRng::from_rng(&mut seeds);
        Self { loss: next(), burst: next(), duplicate: next(), jitter: next(), reorder: next() }
    }

    /// Single loss, or loss by the state of a Gilbert-Elliott chain that takes a step with each packet.
    fn is_lost(&mut self, profile: &Profile, bursting: &mut bool) -> bool {
        let alone = self.loss.random_bool(profile.loss_percent / 100.0);
        let Some(burst) = profile.burst else {
            *bursting = false;
            return alone;
        };
        let (begin, end) = burst.transitions();
        *bursting = self.burst.random_bool(if *bursting { 1.0 - end } else { begin });
        alone || *bursting
    }
}

/// Mean 0, standard deviation 1 (the Box-Muller transform).
fn standard_normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

impl<P> Ord for Flight<P> {
    /// The earliest is the greatest: a `BinaryHeap` gives that first. Packets of one time keep their order.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.arrival, other.order).cmp(&(self.arrival, self.order))
    }
}

impl<P> PartialOrd for Flight<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for Flight<P> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<P> Eq for Flight<P> {}

#[cfg(test)]
mod tests;
