//! Whole calls in virtual time: devices, networks, the store, the owner and the server's crashes, all from one seed.
//!
//! The two machines are the real ones. Around them is a small world that delays, loses, doubles and cuts, fails to
//! store, removes users and members, and kills the server at the worst moments. Rules are checked after every step;
//! after each schedule the world is left in peace, and then everything must agree. docs/testing.md has the switches.
#![allow(clippy::disallowed_methods, reason = "a start for the devices' virtual clocks is all that is read")]

mod app;
mod world;

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use world::{Totals, World};

/// How many schedules run when nobody says: enough to meet each rare race.
const SCHEDULES: u64 = 100_000;

/// So many meet everything that can happen.
const ENOUGH: u64 = 400;

#[test]
fn calls_end_and_everyone_agrees_under_any_schedule() {
    if let Some(seed) = number("TRILL_SIM_SEED") {
        let totals = World::new(seed, true).run();
        return println!("seed {seed} holds: {totals:?}");
    }
    let schedules = number("TRILL_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let totals = run(schedules);
    println!("figure: {schedules} schedules hold: {totals:?}");
    if schedules >= ENOUGH {
        totals.assert_everything_happened();
    }
}

/// Runs the first seeds on every core. Of a seed that fails, it says how to see it again.
fn run(schedules: u64) -> Totals {
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let mut totals = Totals::default();
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= schedules {
                break;
            }
            match catch_unwind(|| World::new(seed, false).run()) {
                Ok(seen) => totals.add(&seen),
                Err(panic) => {
                    failed.store(true, Ordering::Relaxed);
                    eprintln!("\nthe schedule that failed: TRILL_SIM_SEED={seed}\n");
                    std::panic::resume_unwind(panic);
                }
            }
        }
        totals
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut totals = Totals::default();
        for worker in workers {
            totals.add(&worker.join().expect("every schedule holds"));
        }
        totals
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
