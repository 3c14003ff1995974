//! How long packets wait: as long as the network asks for, and not longer.

use super::*;

/// As [`run`], asked for frames in each of ten phases of 2 ms against the packets, which are made every 20 ms: in which they are is chance.
/// What was waited in the network alone is not counted.
fn in_all_phases(count: u64, network: u64, mut delay: impl FnMut(u64, u64) -> u64) -> (Vec<u64>, Vec<Run>) {
    let runs: Vec<Run> = (0..10)
        .map(|phase| run(count, TICK, VOICE, |n| Some(Duration::from_millis(network + 2 * phase + delay(phase, n)))))
        .collect();
    let waits = runs.iter().zip(0..).flat_map(|(run, phase)| {
        // After three seconds.
        run.delays[150..].iter().map(move |delay| delay.saturating_sub(network + 2 * phase))
    });
    let mut waits: Vec<u64> = waits.collect();
    waits.sort();
    (waits, runs)
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[test]
fn on_an_even_network_packets_wait_for_about_a_frame_after_three_seconds() {
    let (waits, runs) = in_all_phases(1000, 20, |_, _| 0);
    let (median, most) = (percentile(&waits, 50), percentile(&waits, 95));
    println!("median {median} ms, p95 {most} ms");
    assert!(median <= 22 && most <= 30, "median {median} ms, p95 {most} ms");
    for run in runs {
        let stats = run.buffer.stats();
        assert_eq!((stats.concealed, stats.lost), (0, 0), "{stats:?}");
        // Once at the beginning, and then no more.
        assert!(stats.removed_samples + stats.inserted_samples <= 40 * 48, "{stats:?}");
    }
}

/// A bell curve's sum of twelve, in ms, of so many ms of standard deviation.
fn jitter(rng: &mut StdRng, deviation: f64) -> f64 {
    ((0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0) * deviation
}

/// Of 30 ms, with the packets in order: they come when the one before them has come, at the earliest.
#[test]
fn jitter_of_30_ms_is_waited_for_and_hardly_anything_is_concealed() {
    let mut rng = StdRng::seed_from_u64(30);
    let mut came = 0;
    let (waits, runs) = in_all_phases(3000, 0, |_, n| {
        came = if n == 0 { 0 } else { came };
        came = came.max(n * 20 + (90.0 + jitter(&mut rng, 30.0)).max(0.0) as u64);
        came - n * 20
    });
    let concealed: u64 = runs.iter().map(|run| run.buffer.stats().concealed).sum();
    println!("median {} ms, concealed {concealed} of {} frames", percentile(&waits, 50), 10 * 3000);
    // Of the delay 90 ms are the network's.
    let median = percentile(&waits, 50) - 90;
    assert!((70..115).contains(&median), "{median} ms");
    // As many as a wait of 20 ms more on all networks left.
    assert!(concealed <= 52, "{concealed}");
}

#[test]
fn threads_that_are_late_now_and_then_do_not_have_the_sound_changed_all_the_time() {
    let mut rng = StdRng::seed_from_u64(40);
    let (_, runs) = in_all_phases(3000, 20, |_, _| {
        let late = -4.0 * (1.0 - rng.random::<f64>()).ln();
        late as u64 + if rng.random_bool(0.01) { 40 } else { 0 }
    });
    let changed: u64 = runs.iter().map(|r| r.buffer.stats().removed_samples + r.buffer.stats().inserted_samples).sum();
    // In ms a second.
    let changed = changed / 48 / 600;
    println!("changed by {changed} ms in each second");
    assert!(changed <= 5, "{changed}");
}

/// Everything stands still for 100 ms from each of these packets on; the target at the end, in ms.
fn target_after(stops: &[u64], packets: u64) -> u128 {
    let late = |n: u64| {
        let since = stops.iter().filter_map(|stop| n.checked_sub(*stop)).min();
        since.map_or(0, |since| 100u64.saturating_sub(20 * since))
    };
    run(packets, TICK, VOICE, |n| Some(Duration::from_millis(20 + late(n)))).buffer.target().as_millis()
}

#[test]
fn a_peak_that_comes_again_is_waited_for_longer_than_one_alone() {
    let one = [1000, 1200].map(|packets| target_after(&[600], packets));
    let again = [1900, 2600].map(|packets| target_after(&[600, 1000], packets));
    assert!(target_after(&[10], 350) < 30, "how it begins says little of what is to come");
    println!("target: {one:?} ms 8 and 12 s after one peak, {again:?} ms 18 and 32 s after another");
    assert!(one[0] >= 100 && one[1] < 30 && again[0] >= 100 && again[1] < 30, "{one:?}, {again:?} ms");
}

#[test]
fn a_longer_way_is_no_jitter() {
    let run = run(1100, TICK, VOICE, |n| Some(Duration::from_millis(if n < 500 { 20 } else { 320 })));
    let target = run.buffer.target();
    assert!(target < Duration::from_millis(50), "{target:?}");
}
