//! Which notice is tried when. The time is passed in; whole outages are tested in no time.
//!
//! Notices of one lane, a call's, go one after the other; lanes do not wait for each other. What the receiver refuses
//! (any answer but 2xx) holds up its lane alone. A receiver that cannot be reached at all is probed with one notice
//! at a time, and with the first that arrives everything flows again.

use super::OutboxEntry;
use crate::base::UnixMillis;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The first wait after a failure. Each further one is twice as long, up to a limit.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait of a notice that the receiver refuses.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The longest wait between two probes of a receiver that cannot be reached.
const LONGEST_PROBE_WAIT: Duration = Duration::from_secs(30);

/// The most notices that are held in memory; the rest stays in the store until there is room.
const MAX_HELD: usize = 4096;

pub(super) struct Schedule {
    concurrency: usize,
    give_up_after: Duration,
    lanes: HashMap<String, Lane>,
    /// The lanes that wait for their time, by that time; of the same time, the older notice first.
    due: BTreeSet<(UnixMillis, i64, String)>,
    in_flight: usize,
    held: usize,
    down: Option<Down>,
    rng: StdRng,
}

struct Lane {
    notices: VecDeque<Arc<OutboxEntry>>,
    /// Failed attempts of the first one.
    attempts: u32,
}

/// The receiver cannot be reached.
struct Down {
    failures: u32,
    probe_at: UnixMillis,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    Attempt(Arc<OutboxEntry>),
    /// It is too old: to be taken out of the outbox.
    GiveUp {
        notice: Arc<OutboxEntry>,
        attempts: u32,
    },
    /// Its time is over, as of a push for a call that rings no more: to be taken out of the outbox.
    Expired(Arc<OutboxEntry>),
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// The receiver answered, and not with 2xx.
    Refused,
    /// No answer, or one that says that nobody is there now.
    Unreachable,
}

impl Schedule {
    pub(super) fn new(concurrency: usize, give_up_after: Duration, seed: u64) -> Self {
        Self {
            concurrency,
            give_up_after,
            lanes: HashMap::new(),
            due: BTreeSet::new(),
            in_flight: 0,
            held: 0,
            down: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// How many more notices may be added.
    pub(super) fn room(&self) -> usize {
        MAX_HELD.saturating_sub(self.held)
    }

    /// Takes on a notice, later than all before it in its lane.
    pub(super) fn add(&mut self, now: UnixMillis, notice: OutboxEntry) {
        self.held += 1;
        let notice = Arc::new(notice);
        match self.lanes.get_mut(&notice.lane) {
            Some(lane) => lane.notices.push_back(notice),
            None => {
                self.due.insert((now, notice.seq, notice.lane.clone()));
                let lane = Lane { notices: VecDeque::from([notice.clone()]), attempts: 0 };
                self.lanes.insert(notice.lane.clone(), lane);
            }
        }
    }

    /// What is to be done now; `None` when nothing is. [`Self::done`] is to follow each attempt.
    pub(super) fn next(&mut self, now: UnixMillis) -> Option<Work> {
        let at_once = if self.down.is_some() { 1 } else { self.concurrency };
        if self.in_flight >= at_once || self.down.as_ref().is_some_and(|down| now < down.probe_at) {
            return None;
        }
        let (_, _, name) = self.due.first().filter(|(at, _, _)| *at <= now).cloned()?;
        self.due.pop_first();
        let lane = self.lanes.get(&name)?;
        let (notice, attempts) = (lane.notices.front()?.clone(), lane.attempts);
        if notice.expires_at.is_some_and(|at| at <= now) {
            self.advance(&name, now);
            return Some(Work::Expired(notice));
        }
        if now.since(notice.at) > self.give_up_after {
            self.advance(&name, now);
            return Some(Work::GiveUp { notice, attempts });
        }
        self.in_flight += 1;
        Some(Work::Attempt(notice))
    }

    /// The attempt of the first notice of `lane` went so. Returns how often it has failed.
    pub(super) fn done(&mut self, now: UnixMillis, lane: &str, outcome: Outcome) -> u32 {
        self.in_flight = self.in_flight.saturating_sub(1);
        if outcome != Outcome::Unreachable {
            self.down = None;
        }
        if outcome == Outcome::Delivered {
            self.advance(lane, now);
            return 0;
        }
        let probe_at = (outcome == Outcome::Unreachable).then(|| self.mark_down(now));
        let Some(lane_state) = self.lanes.get_mut(lane) else { return 0 };
        lane_state.attempts = lane_state.attempts.saturating_add(1);
        let attempts = lane_state.attempts;
        let Some(seq) = lane_state.notices.front().map(|notice| notice.seq) else { return attempts };
        let at = match probe_at {
            // Not before the others: one that makes the receiver fall over must not be the only one that is tried.
            Some(probe_at) => probe_at.max(now + self.wait(attempts, LONGEST_PROBE_WAIT)),
            None => now + self.wait(attempts, LONGEST_WAIT),
        };
        self.due.insert((at, seq, lane.to_owned()));
        attempts
    }

    /// When [`Self::next`] has something to do again, if nothing comes in and no attempt ends before.
    pub(super) fn next_wake(&self) -> Option<UnixMillis> {
        let at_once = if self.down.is_some() { 1 } else { self.concurrency };
        let (first, _, _) = self.due.first().filter(|_| self.in_flight < at_once)?;
        Some(self.down.as_ref().map_or(*first, |down| down.probe_at.max(*first)))
    }

    /// The receiver does not answer. When to try it again.
    fn mark_down(&mut self, now: UnixMillis) -> UnixMillis {
        match &self.down {
            // Another of those that were under way when it fell silent.
            Some(down) if now < down.probe_at => down.probe_at,
            before => {
                let failures = before.as_ref().map_or(1, |down| down.failures.saturating_add(1));
                let probe_at = now + self.wait(failures, LONGEST_PROBE_WAIT);
                self.down = Some(Down { failures, probe_at });
                probe_at
            }
        }
    }

    /// The first notice of the lane is dealt with.
    fn advance(&mut self, name: &str, now: UnixMillis) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        if lane.notices.pop_front().is_some() {
            self.held -= 1;
        }
        lane.attempts = 0;
        match lane.notices.front() {
            Some(next) => drop(self.due.insert((now, next.seq, name.to_owned()))),
            None => drop(self.lanes.remove(name)),
        }
    }

    /// Half of it is jitter: what failed together does not come back together.
    fn wait(&mut self, failures: u32, longest: Duration) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(longest);
        wait.mul_f64(self.rng.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_790_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn notice(seq: i64, lane: &str) -> OutboxEntry {
        OutboxEntry {
            seq,
            target: 0,
            lane: lane.into(),
            id: format!("msg_{seq}"),
            kind: "call_initiated".into(),
            at: START,
            expires_at: None,
            body: "{}".into(),
        }
    }

    fn schedule(concurrency: usize) -> Schedule {
        Schedule::new(concurrency, DAY, 7)
    }

    /// Everything that is to be attempted now, by number.
    fn attempts(schedule: &mut Schedule, now: UnixMillis) -> Vec<i64> {
        std::iter::from_fn(|| schedule.next(now))
            .map(|work| match work {
                Work::Attempt(notice) => notice.seq,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Runs in virtual time until `until`, each attempt answered by `receiver`. Returns what was delivered, and when.
    fn run(
        schedule: &mut Schedule,
        mut now: UnixMillis,
        until: UnixMillis,
        mut receiver: impl FnMut(UnixMillis, &OutboxEntry) -> Outcome,
    ) -> Vec<(UnixMillis, i64)> {
        let mut delivered = Vec::new();
        loop {
            while let Some(work) = schedule.next(now) {
                let Work::Attempt(notice) = work else { continue };
                let outcome = receiver(now, &notice);
                schedule.done(now, &notice.lane, outcome);
                if outcome == Outcome::Delivered {
                    delivered.push((now, notice.seq));
                }
            }
            match schedule.next_wake() {
                Some(wake) if wake <= until => now = wake.max(now),
                _ => return delivered,
            }
        }
    }

    #[test]
    fn a_calls_later_notices_wait_for_its_earlier_and_other_calls_do_not() {
        let mut schedule = schedule(8);
        for (seq, lane) in [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c")] {
            schedule.add(START, notice(seq, lane));
        }
        assert_eq!(attempts(&mut schedule, START), [1, 3, 5]);
        schedule.done(START, "a", Outcome::Refused);
        schedule.done(START, "b", Outcome::Delivered);
        assert_eq!(attempts(&mut schedule, START), [4], "2 waits for 1");
    }

    #[test]
    fn no_more_than_so_many_are_under_way_at_a_time() {
        let mut schedule = schedule(2);
        for seq in 1..=5 {
            schedule.add(START, notice(seq, &format!("lane {seq}")));
        }
        assert_eq!(attempts(&mut schedule, START), [1, 2]);
        assert_eq!(schedule.next_wake(), None, "only an answer makes room");
        schedule.done(START, "lane 2", Outcome::Delivered);
        assert_eq!(attempts(&mut schedule, START), [3]);
    }

    #[test]
    fn a_notice_that_is_refused_waits_ever_longer_up_to_ten_minutes() {
        let mut schedule = schedule(1);
        schedule.add(START, notice(1, "a"));
        let mut tried = Vec::new();
        run(&mut schedule, START, START + Duration::from_secs(7200), |now, _| {
            tried.push(now);
            Outcome::Refused
        });
        let waits: Vec<Duration> = tried.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        assert!(waits[0] >= FIRST_WAIT / 2 && waits[0] <= FIRST_WAIT, "{waits:?}");
        for (failures, wait) in waits.iter().enumerate() {
            let full = FIRST_WAIT.saturating_mul(1 << failures.min(20)).min(LONGEST_WAIT);
            assert!(*wait >= full / 2 - Duration::from_millis(1) && *wait <= full, "{failures}: {waits:?}");
        }
    }

    #[test]
    fn a_receiver_that_is_down_for_an_hour_gets_everything_in_order_once_it_is_back() {
        let (mut schedule, calls) = (schedule(16), 300);
        for seq in 0..3 * calls {
            schedule.add(START, notice(seq, &format!("call {}", seq % calls)));
        }
        let back = START + Duration::from_secs(3600);
        let mut tries_while_down = 0;
        let delivered = run(&mut schedule, START, back + DAY, |now, _| {
            if now < back {
                tries_while_down += 1;
                return Outcome::Unreachable;
            }
            Outcome::Delivered
        });
        assert_eq!(delivered.len(), 3 * calls as usize);
        for call in 0..calls {
            let of_call: Vec<i64> = delivered.iter().map(|(_, seq)| *seq).filter(|seq| seq % calls == call).collect();
            assert_eq!(of_call, [call, call + calls, call + 2 * calls]);
        }
        let last = delivered.iter().map(|(at, _)| *at).max().unwrap();
        assert!(last <= back + LONGEST_PROBE_WAIT, "the last came {:?} after it was back", last.since(back));
        assert!((120..500).contains(&tries_while_down), "{tries_while_down} tries in an hour");
    }

    #[test]
    fn one_notice_that_the_receiver_never_takes_holds_up_nothing_but_its_own_call() {
        for never in [Outcome::Refused, Outcome::Unreachable] {
            let mut schedule = schedule(4);
            for seq in 0..100 {
                schedule.add(START, notice(seq, &format!("call {}", seq % 50)));
            }
            let until = START + Duration::from_secs(120);
            let delivered =
                run(
                    &mut schedule,
                    START,
                    until,
                    |_, notice| {
                        if notice.lane == "call 0" { never } else { Outcome::Delivered }
                    },
                );
            assert_eq!(delivered.len(), 98, "{never:?}");
        }
    }

    #[test]
    fn what_is_too_old_is_given_up_and_a_push_for_a_call_that_is_over_is_dropped() {
        let mut schedule = schedule(4);
        schedule.add(START, notice(1, "old"));
        schedule.add(START, notice(2, "old"));
        schedule.add(START, OutboxEntry { expires_at: Some(START + Duration::from_secs(45)), ..notice(3, "push") });
        for (lane, outcome) in [("old", Outcome::Refused), ("push", Outcome::Refused)] {
            assert!(matches!(schedule.next(START), Some(Work::Attempt(_))));
            schedule.done(START, lane, outcome);
        }
        let later = START + Duration::from_secs(60);
        assert!(matches!(schedule.next(later), Some(Work::Attempt(notice)) if notice.seq == 1));
        schedule.done(later, "old", Outcome::Refused);
        assert!(matches!(schedule.next(later), Some(Work::Expired(notice)) if notice.seq == 3));
        let much_later = START + DAY + Duration::from_secs(1);
        let given_up: Vec<i64> = std::iter::from_fn(|| schedule.next(much_later))
            .map(|work| match work {
                Work::GiveUp { notice, .. } => notice.seq,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(given_up, [1, 2]);
        assert_eq!((schedule.next_wake(), schedule.room()), (None, MAX_HELD));
    }
}
