//! Speech made shorter or longer by about one period of its pitch, at the same pitch: two stretches that are alike, one
//! period apart, are cross-faded (waveform similarity overlap-add). What the jitter buffer's delay is worked off with, and
//! grows by, while somebody talks.

/// A sound's period, in samples at 48 kHz: 2.5 ms (400 Hz) to 15 ms (67 Hz).
const SHORTEST: usize = 120;
pub const LONGEST: usize = 720;
/// What is cross-faded, and at least compared: 5 ms.
const OVERLAP: usize = 240;
/// What is compared at most: 10 ms.
const COMPARED: usize = 480;
/// Periods are looked for at a rate so many times lower first.
const COARSE: usize = 8;
/// How alike (1 is the same) two stretches must be, so that joining them is not heard.
const ALIKE: f32 = 0.85;
/// How much a longer period is preferred to a shorter one that is a little more alike: it has more effect.
const LENGTH_BONUS: f32 = 0.03;
/// The mean square of what is so quiet (50 dB below overload) that no join in it is heard.
const QUIET: f32 = 32_768.0 * 32_768.0 * 1e-5;

/// Shortens `samples` (48 kHz mono) by one period, of `most` samples at most. Answers how many are left, at the slice's beginning: all
/// where nothing in it is alike, unless `at_any_price`.
pub fn shorten(samples: &mut [i16], most: usize, at_any_price: bool) -> usize {
    let Some(period) = period(samples, most, at_any_price) else { return samples.len() };
    let left = samples.len() - period;
    for n in 0..OVERLAP {
        samples[n] = fade(samples[n], samples[n + period], n);
    }
    samples.copy_within(period + OVERLAP.., OVERLAP);
    left
}

/// Lengthens the first `len` of `samples` (48 kHz mono) by one period. Answers how many there are then: as many as before where
/// nothing is alike, or where there is no room for [`LONGEST`] more.
pub fn lengthen(samples: &mut [i16], len: usize) -> usize {
    if samples.len() < len + LONGEST {
        return len;
    }
    let Some(period) = period(&samples[..len], LONGEST, false) else { return len };
    // The whole once more, a period later, faded into from what followed the first period.
    let mut followed = [0; OVERLAP];
    followed.copy_from_slice(&samples[period..period + OVERLAP]);
    samples.copy_within(..len, period);
    for (n, followed) in followed.into_iter().enumerate() {
        samples[period + n] = fade(followed, samples[period + n], n);
    }
    len + period
}

/// From one to the other, the `n`th of [`OVERLAP`].
fn fade(from: i16, to: i16, n: usize) -> i16 {
    let (n, whole) = (n as i32, OVERLAP as i32);
    ((i32::from(from) * (whole - n) + i32::from(to) * n) / whole) as i16
}

/// By how many samples, `most` at most, the beginning may be moved, so that it is like itself.
fn period(samples: &[i16], most: usize, at_any_price: bool) -> Option<usize> {
    let longest = samples.len().checked_sub(OVERLAP)?.min(LONGEST).min(most);
    if longest < SHORTEST {
        return None;
    }
    // All that would be cut out or faded: a word may begin in it.
    let touched = &samples[..longest + OVERLAP];
    if energy(touched) / (touched.len() as f32) < QUIET {
        return Some(longest);
    }
    let mut rough = [0; (LONGEST + COMPARED) / COARSE];
    let mut len = 0;
    for (rough, samples) in rough.iter_mut().zip(samples.chunks_exact(COARSE)) {
        *rough = (samples.iter().map(|&s| i32::from(s)).sum::<i32>() / COARSE as i32) as i16;
        len += 1;
    }
    let rough = best(&rough[..len], SHORTEST / COARSE..=longest / COARSE, COMPARED / COARSE)?.0 * COARSE;
    let near = rough.saturating_sub(COARSE).max(SHORTEST)..=(rough + COARSE).min(longest);
    let (period, likeness) = best(samples, near, COMPARED)?;
    (at_any_price || likeness >= ALIKE).then_some(period)
}

/// The shift of `samples` by which they are most alike, and how alike they then are.
fn best(samples: &[i16], shifts: std::ops::RangeInclusive<usize>, compared: usize) -> Option<(usize, f32)> {
    let longest = *shifts.end() as f32;
    let rank = |(shift, likeness): (usize, f32)| likeness + LENGTH_BONUS * shift as f32 / longest;
    let alike = shifts.map(|shift| (shift, likeness(samples, shift, compared)));
    alike.max_by(|a, b| rank(*a).total_cmp(&rank(*b)))
}

fn likeness(samples: &[i16], shift: usize, compared: usize) -> f32 {
    let moved = &samples[shift..];
    let len = moved.len().min(compared);
    let (first, second) = (&samples[..len], &moved[..len]);
    let product: f32 = first.iter().zip(second).map(|(&a, &b)| f32::from(a) * f32::from(b)).sum();
    let energies = energy(first) * energy(second);
    if energies > 0.0 { product / energies.sqrt() } else { 0.0 }
}

fn energy(samples: &[i16]) -> f32 {
    samples.iter().map(|&s| f32::from(s) * f32::from(s)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::frame::FRAME_SAMPLES;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// A voiced sound of so many Hz, with harmonics.
    fn voice(hertz: f64, len: usize) -> Vec<i16> {
        let wave = |t: f64| (1..8).map(|h| (t * f64::from(h)).sin() / f64::from(h)).sum::<f64>();
        (0..len).map(|n| (6000.0 * wave(n as f64 * hertz * std::f64::consts::TAU / 48_000.0)) as i16).collect()
    }

    /// The largest step from one sample to the next: a click is one.
    fn step(samples: &[i16]) -> i32 {
        samples.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap()
    }

    /// `sound`, frame by frame through `change`, joined again.
    fn changed(sound: &[i16], change: impl Fn(&mut Vec<i16>)) -> Vec<i16> {
        sound
            .chunks_exact(FRAME_SAMPLES)
            .flat_map(|frame| {
                let mut frame = frame.to_vec();
                change(&mut frame);
                frame
            })
            .collect()
    }

    fn faster(frame: &mut Vec<i16>) {
        let left = shorten(frame, LONGEST, false);
        frame.truncate(left);
    }

    fn slower(frame: &mut Vec<i16>) {
        let len = frame.len();
        frame.resize(len + LONGEST, 0);
        let long = lengthen(frame, len);
        frame.truncate(long);
    }

    #[test]
    fn a_voice_gets_shorter_and_longer_by_whole_periods_without_a_click() {
        for hertz in [80.0, 110.0, 205.0, 330.0] {
            let sound = voice(hertz, 50 * FRAME_SAMPLES);
            let (short, long) = (changed(&sound, faster), changed(&sound, slower));
            assert!(short.len() < sound.len() * 8 / 10, "{hertz} Hz: {} left of {}", short.len(), sound.len());
            assert!(long.len() > sound.len() * 12 / 10, "{hertz} Hz: {} of {}", long.len(), sound.len());
            let most = step(&sound) * 5 / 4;
            assert!(step(&short) <= most && step(&long) <= most, "{hertz} Hz: {} {} {most}", step(&short), step(&long));
            // The pitch is what it was: as many periods in a second.
            let rises = |s: &[i16]| s.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count() as f64 / s.len() as f64;
            for other in [&short, &long] {
                assert!((rises(other) / rises(&sound) - 1.0).abs() < 0.03, "{hertz} Hz: {}", rises(other));
            }
        }
    }

    #[test]
    fn noise_is_left_alone_unless_it_must_be_shorter() {
        let mut rng = StdRng::seed_from_u64(4);
        let noise: Vec<i16> = (0..FRAME_SAMPLES).map(|_| rng.random_range(-8000..8000)).collect();
        assert_eq!(shorten(&mut noise.clone(), LONGEST, false), FRAME_SAMPLES);
        assert!(shorten(&mut noise.clone(), LONGEST, true) < FRAME_SAMPLES);
        let mut room = noise.clone();
        room.resize(FRAME_SAMPLES + LONGEST, 0);
        assert_eq!(lengthen(&mut room, FRAME_SAMPLES), FRAME_SAMPLES);
        assert_eq!(room[..FRAME_SAMPLES], noise);
    }

    #[test]
    fn silence_is_cut_and_filled_as_far_as_possible() {
        assert_eq!(shorten(&mut [3; FRAME_SAMPLES], LONGEST, false), FRAME_SAMPLES - LONGEST);
        assert_eq!(lengthen(&mut [3; FRAME_SAMPLES + LONGEST], FRAME_SAMPLES), FRAME_SAMPLES + LONGEST);
    }

    #[test]
    fn a_word_that_begins_after_silence_is_not_cut_off() {
        let mut onset = [3; FRAME_SAMPLES];
        onset[COMPARED..].copy_from_slice(&voice(150.0, FRAME_SAMPLES - COMPARED));
        let before = energy(&onset);
        let left = shorten(&mut onset, LONGEST, false);
        assert!(energy(&onset[..left]) > before * 0.9);
    }

    #[test]
    fn pieces_of_any_length_are_taken() {
        for len in (0..6000).step_by(40) {
            let mut sound = voice(150.0, len);
            assert!(shorten(&mut sound.clone(), LONGEST, true) <= len);
            assert_eq!(lengthen(&mut sound, len), len, "no room");
            sound.resize(len + LONGEST, 0);
            assert!(lengthen(&mut sound, len) >= len);
        }
    }
}
