//! A machine of any speed with a camera or a file, in virtual time and from a seed.

#![allow(clippy::disallowed_methods, reason = "virtual time needs a zero")]

use super::*;
use crate::media::simulcast::{Conditions, LayerAllocator, WantedLayers, layers_of};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::VecDeque;

const HD: (u32, u32) = (1280, 720);
const APART: f64 = 1.0 / 30.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// It stamps pictures with the time, keeps two, and loses those that come while they wait.
    Camera,
    /// It goes on where it was, and from now on when it is far behind.
    File,
}

/// One picture that was encoded.
#[derive(Clone, Copy, Debug)]
struct Encoded {
    /// In seconds.
    at: f64,
    layers: usize,
    size: (u32, u32),
    limited: bool,
}

struct Machine {
    rng: StdRng,
    start: Instant,
    now: f64,
    source: Source,
    /// When the next picture is made, and its number at a file.
    due: f64,
    number: u64,
    waiting: VecDeque<f64>,
    ladder: EffortLadder,
    allocator: LayerAllocator,
    conditions: Conditions,
    /// On the source's clock.
    last: f64,
    encoded: Vec<Encoded>,
}

impl Machine {
    fn new(source: Source, is_group: bool) -> Self {
        let seed = std::env::var("TRILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        println!("TRILL_SEED={seed}");
        let wanted = WantedLayers::ALL;
        Self {
            rng: StdRng::seed_from_u64(seed),
            start: Instant::now(),
            now: 0.0,
            source,
            due: 0.0,
            number: 0,
            waiting: VecDeque::new(),
            ladder: EffortLadder::new(30),
            allocator: LayerAllocator::new(layers_of(HD, 1_500_000)),
            conditions: Conditions { full: HD, bitrate_bps: 3_000_000, wanted, is_group, fewer_layers: 0 },
            last: f64::MIN,
            encoded: Vec::new(),
        }
    }

    /// The next picture's time on the source's clock, and waits until there is one.
    fn next(&mut self) -> f64 {
        if self.source == Source::File {
            if self.now > self.due + 0.5 {
                self.due = self.now;
            }
            self.now = self.now.max(self.due);
            (self.due, self.number) = (self.due + APART, self.number + 1);
            return self.number as f64 * APART;
        }
        loop {
            while self.due <= self.now {
                if self.waiting.len() < 2 {
                    self.waiting.push_back(self.due);
                }
                self.due += APART * self.rng.random_range(0.9..1.1);
            }
            match self.waiting.pop_front() {
                Some(media) => return media,
                None => self.now = self.due,
            }
        }
    }

    /// Until then, in seconds; a picture of 720p in three layers takes about so many milliseconds.
    fn run(&mut self, until: f64, slowness_ms: f64) {
        while self.now < until {
            let media = self.next();
            let apart = self.ladder.apart().map_or(APART * 0.75, |apart| apart.as_secs_f64());
            if media < self.last + apart {
                continue;
            }
            self.last = media;
            let now = self.start + Duration::from_secs_f64(self.now);
            let effort = self.ladder.begin(now, Duration::from_secs_f64(media));
            let conditions = Conditions { fewer_layers: effort.fewer_layers, ..self.conditions };
            let shares = self.allocator.allocate(now, &conditions);
            let plan = layers_of(HD, 1_500_000);
            let sent: Vec<_> =
                (0..3).filter(|layer| shares.bps[*layer] > 0).map(|layer| plan[layer].size(HD)).collect();
            let mut sizes = sent.iter().map(|size| effort.size(*size));
            // Small pictures take more for each pixel, and each picture takes something.
            let pixels =
                |(w, h): (u32, u32)| f64::from(w * h) / f64::from(HD.0 * HD.1) * if w > 640 { 1.0 } else { 1.6 };
            let work: f64 = sizes.clone().map(pixels).sum::<f64>() / 1.5 + 0.02;
            let took = work * slowness_ms / 1000.0 * self.rng.random_range(0.8..1.2);
            self.now += took;
            self.ladder.encoded(Duration::from_secs_f64(took), shares.unsent, sent.clone());
            let size = sizes.next_back().unwrap();
            let limited = effort.is_limited(shares.left_out);
            self.encoded.push(Encoded { at: self.now, layers: sent.len(), size, limited });
        }
    }

    fn between(&self, from: f64, until: f64) -> impl Iterator<Item = &Encoded> {
        self.encoded.iter().filter(move |picture| (from..until).contains(&picture.at))
    }

    fn fps(&self, from: f64, until: f64) -> f64 {
        self.between(from, until).count() as f64 / (until - from)
    }

    /// How often what is sent of a picture changed.
    fn changes(&self) -> usize {
        self.encoded.windows(2).filter(|two| (two[0].layers, two[0].size) != (two[1].layers, two[1].size)).count()
    }

    fn last(&self) -> Encoded {
        *self.encoded.last().unwrap()
    }
}

#[test]
fn on_a_slow_machine_the_highest_layers_are_given_up_within_two_seconds_and_the_picture_is_fluent() {
    for source in [Source::Camera, Source::File] {
        for slowness in [45.0, 60.0, 100.0, 200.0, 300.0, 500.0] {
            let mut machine = Machine::new(source, true);
            machine.run(20.0, slowness);
            let gone = machine.encoded.iter().find(|picture| picture.layers < 3).unwrap().at;
            let (at_first, then) = (machine.fps(0.0, 1.0), machine.fps(3.0, 20.0));
            println!(
                "{source:?}, {slowness} ms: {at_first:.0} fps, {gone:.2} s, then {then:.1} fps in {} layers, {} changes",
                machine.last().layers,
                machine.changes()
            );
            assert!(gone < 2.0, "{gone:.2} s");
            // The lowest layer takes 43 ms at the slowest: every second picture is sent.
            assert!(then > if slowness < 400.0 { 29.0 } else { 14.5 }, "{then:.1} fps");
            assert!(machine.last().limited);
        }
    }
}

#[test]
fn what_was_given_up_comes_back_when_the_load_is_gone_and_stays() {
    for source in [Source::Camera, Source::File] {
        for (before, slowness, after) in [(10.0, 150.0, 10.0), (15.0, 60.0, 15.0), (10.0, 500.0, 16.0)] {
            let mut machine = Machine::new(source, true);
            machine.run(10.0, before);
            machine.run(25.0, slowness);
            machine.run(100.0, after);
            assert_eq!(machine.between(0.0, 10.0).filter(|picture| picture.layers < 3 || picture.limited).count(), 0);
            let back = machine.encoded.iter().rfind(|picture| picture.limited).unwrap().at;
            println!("{source:?}, {slowness} ms: back after {:.1} s, {} changes", back - 25.0, machine.changes());
            assert!(back < 45.0, "{back:.1} s");
            assert!(machine.changes() <= 4);
            assert!((machine.last().layers, machine.last().size) == (3, HD));
        }
    }
}

#[test]
fn a_load_at_the_edge_does_not_make_layers_come_and_go() {
    for source in [Source::Camera, Source::File] {
        for slowness in [24.0, 26.0, 28.0, 30.0, 31.0, 32.0, 33.0, 34.0, 36.0, 40.0, 70.0, 76.0] {
            let mut machine = Machine::new(source, true);
            machine.run(600.0, slowness);
            let fps = machine.fps(3.0, 600.0);
            println!("{source:?}, {slowness} ms: {} changes in ten minutes, {fps:.1} fps", machine.changes());
            assert!(machine.changes() <= 9, "{slowness} ms: {} changes", machine.changes());
            assert!(fps > 29.0, "{fps:.1} fps");
        }
    }
}

#[test]
fn a_picture_of_one_layer_gets_smaller_then_rarer_and_comes_back() {
    for source in [Source::Camera, Source::File] {
        let mut machine = Machine::new(source, false);
        machine.run(20.0, 80.0);
        let small = machine.last();
        assert!(small.size.0 < 1280 && small.size.0 >= 320 && small.limited, "{small:?}");
        assert!(machine.fps(3.0, 20.0) > 25.0);
        machine.run(40.0, 1000.0);
        assert_eq!((machine.last().size, machine.last().layers), ((320, 180), 1));
        let rare = machine.fps(30.0, 40.0);
        assert!((6.0..16.0).contains(&rare), "{rare} fps");
        let gap = machine.encoded.windows(2).filter(|two| two[0].at > 30.0).map(|two| two[1].at - two[0].at);
        assert!(gap.fold(0.0, f64::max) < 0.25, "evenly");
        machine.run(140.0, 15.0);
        assert_eq!((machine.last().size, machine.last().limited), (HD, false));
        assert!(machine.fps(130.0, 140.0) > 29.0);
    }
}

#[test]
fn a_machine_that_keeps_up_gives_nothing_up_whatever_its_source_does() {
    for source in [Source::Camera, Source::File] {
        let mut machine = Machine::new(source, true);
        machine.run(10.0, 23.0);
        // A picture that takes long now and then, as a key frame does.
        for second in 11..40 {
            machine.run(f64::from(second), 15.0);
            machine.run(f64::from(second) + 0.01, 100.0);
        }
        // Muted for a while.
        machine.now += 100.0;
        machine.run(160.0, 15.0);
        // Layers that the network does not carry are no matter of time.
        machine.conditions.bitrate_bps = 300_000;
        machine.run(180.0, 15.0);
        assert!(machine.encoded.iter().all(|picture| !picture.limited));
        assert_eq!(machine.last().layers, 1);
    }
}

#[test]
fn where_the_network_has_taken_the_highest_layer_the_next_one_is_given_up() {
    let mut machine = Machine::new(Source::Camera, true);
    machine.conditions.bitrate_bps = 600_000;
    machine.run(2.5, 200.0);
    assert_eq!(machine.last().layers, 1, "66 ms for two layers");
    machine.conditions.bitrate_bps = 3_000_000;
    machine.run(4.0, 200.0);
    assert_eq!(machine.last().layers, 1);
}

#[test]
fn whatever_the_load_does_something_is_sent_and_changes_are_rare() {
    let mut machine = Machine::new(Source::Camera, true);
    let mut slowness = 20.0;
    for second in 0..1800 {
        if machine.rng.random_bool(0.02) {
            slowness = [8.0, 20.0, 40.0, 100.0, 400.0][machine.rng.random_range(0..5)];
        }
        if machine.rng.random_bool(0.01) {
            machine.conditions.is_group = !machine.conditions.is_group;
        }
        machine.run(f64::from(second + 1), slowness);
    }
    let fps = machine.fps(0.0, 1800.0);
    println!("{} changes in half an hour, {fps:.1} fps", machine.changes());
    assert!(machine.changes() < 240, "{}", machine.changes());
    assert!(fps > 25.0, "{fps:.1} fps");
}
