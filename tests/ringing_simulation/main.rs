//! Whole calls in virtual time: devices, networks, the store and the server's crashes, all from one printed seed.
//!
//! The two machines are the real ones. Around them is a small world that delays, loses and cuts, fails to store, and
//! kills the server at the worst moments. After each schedule the world is left in peace, and then everything must
//! agree. `TRILL_SIM_SCHEDULES=20000 cargo test --test ringing_simulation` runs more; `TRILL_SIM_SEED=n` runs one and prints
//! all that happens in it.
#![allow(clippy::disallowed_methods, reason = "a start for the devices' virtual clocks is all that is read")]

mod app;
mod world;

use world::World;

/// How many schedules run by default: enough to meet each rare race, few enough for every build.
const SCHEDULES: u64 = 400;

#[test]
fn calls_end_and_everyone_agrees_under_any_schedule() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("TRILL_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRILL_SIM_SCHEDULES").unwrap_or(SCHEDULES),
    };
    let mut totals = world::Totals::default();
    let schedules = seeds.end - seeds.start;
    for seed in seeds {
        let result = std::panic::catch_unwind(|| World::new(seed, schedules == 1).run());
        match result {
            Ok(seen) => totals.add(&seen),
            Err(panic) => {
                eprintln!("\nthe schedule that failed: TRILL_SIM_SEED={seed}\n");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{schedules} schedules: {totals:?}");
    if schedules >= SCHEDULES {
        totals.assert_everything_happened();
    }
}
