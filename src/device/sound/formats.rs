//! What a microphone or a speaker can: numbers of channels, and rates.
//!
//! Listing devices opens no sound card by its name: one that is taken would say nothing, and one that sleeps would wake up. What one can
//! is asked of it alone.

use super::{choose, microphone, speaker, unavailable, with_sample_type};
use crate::base::Result;
use crate::device::resample::RATES;
use cpal::traits::DeviceTrait;
use cpal::{SampleFormat, SupportedStreamConfig, SupportedStreamConfigRange};
use std::ops::RangeInclusive;

/// More is told of no device. ALSA's converting devices have one for each of 64 numbers of channels, cards a dozen.
const MOST: usize = 256;

/// So many channels, and the rates at which a device has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundFormat {
    /// At least one.
    pub channels: u16,
    /// In Hz, within 4 to 384 kHz: all from the lowest to the highest, which may be the same.
    pub rates: RangeInclusive<u32>,
}

/// What a microphone or a speaker can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundFormats {
    /// The channels with which it is opened in a session: as many as it has by default. Voice is mono beyond that.
    pub channels: u16,
    /// The rate at which it is opened, in Hz: 48000 where it has that, or else its default one.
    pub rate: u32,
    /// All that it can, fewest channels and lowest rates first; at most 256.
    pub all: Vec<SoundFormat>,
}

/// What the microphone of that name or id can, or the default one. It is opened for that, without a sound being taken.
///
/// Fails with `device_unavailable` when it is gone, taken by another program, access is refused, or when none of its formats
/// is understood here.
pub fn microphone_formats(name: Option<&str>) -> Result<SoundFormats> {
    let device = microphone::device(name)?;
    let told = |error: &cpal::Error| unavailable("the microphone", error);
    let default = device.default_input_config().map_err(|e| told(&e))?;
    formats(default, device.supported_input_configs().map_err(|e| told(&e))?)
}

/// As [`microphone_formats`], of a speaker.
pub fn speaker_formats(name: Option<&str>) -> Result<SoundFormats> {
    let device = speaker::device(name)?;
    let told = |error: &cpal::Error| unavailable("the speaker", error);
    let default = device.default_output_config().map_err(|e| told(&e))?;
    formats(default, device.supported_output_configs().map_err(|e| told(&e))?)
}

fn formats(
    default: SupportedStreamConfig,
    supported: impl Iterator<Item = SupportedStreamConfigRange>,
) -> Result<SoundFormats> {
    let supported: Vec<_> = supported.collect();
    let mut ranges: Vec<(u16, u32, u32)> = supported
        .iter()
        .filter(|range| range.channels() > 0 && is_understood(range.sample_format()))
        .map(|range| {
            let (least, most) = (*RATES.start(), *RATES.end());
            (range.channels(), range.min_sample_rate().max(least), range.max_sample_rate().min(most))
        })
        .filter(|(_, low, high)| low <= high)
        .collect();
    ranges.sort_unstable();
    let mut all: Vec<SoundFormat> = Vec::new();
    for (channels, low, high) in ranges {
        if let Some(last) = all.last_mut()
            && last.channels == channels
            && low <= last.rates.end().saturating_add(1)
        {
            // The same again for another kind of sample, or more of it.
            last.rates = *last.rates.start()..=high.max(*last.rates.end());
        } else if all.len() < MOST {
            all.push(SoundFormat { channels, rates: low..=high });
        }
    }
    let (chosen, config) = choose(default, supported.into_iter())?;
    with_sample_type!(chosen.sample_format(), Sample => Ok(size_of::<Sample>()))?;
    Ok(SoundFormats { channels: config.channels, rate: config.sample_rate, all })
}

fn is_understood(format: SampleFormat) -> bool {
    with_sample_type!(format, Sample => Ok(size_of::<Sample>())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorCode;
    use cpal::SupportedBufferSize::Unknown;

    fn told(default: (u16, u32), can: &[(u16, u32, u32, SampleFormat)]) -> Result<SoundFormats> {
        let default = SupportedStreamConfig::new(default.0, default.1, Unknown, SampleFormat::I16);
        let can = can.iter();
        formats(
            default,
            can.map(|(n, low, high, kind)| SupportedStreamConfigRange::new(*n, *low, *high, Unknown, *kind)),
        )
    }

    fn format(channels: u16, low: u32, high: u32) -> SoundFormat {
        SoundFormat { channels, rates: low..=high }
    }

    #[test]
    fn what_is_told_once_for_each_kind_of_sample_is_one_thing() {
        let can = [
            (2, 48_000, 48_000, SampleFormat::F32),
            (2, 44_100, 44_100, SampleFormat::I16),
            (1, 8_000, 48_000, SampleFormat::I16),
            (2, 48_000, 48_000, SampleFormat::I16),
            (1, 16_000, 96_000, SampleFormat::F32),
        ];
        let told = told((2, 44_100), &can).unwrap();
        assert_eq!((told.channels, told.rate), (2, 48_000), "our own rate, in its default format");
        assert_eq!(told.all, [format(1, 8_000, 96_000), format(2, 44_100, 44_100), format(2, 48_000, 48_000)]);
    }

    #[test]
    fn what_no_device_can_and_what_is_not_understood_is_left_out() {
        // As ALSA's converting devices tell: any rate at all, of up to 64 channels, in two dozen kinds of samples.
        let kinds = [SampleFormat::I16, SampleFormat::F32, SampleFormat::DsdU8, SampleFormat::I64];
        let can: Vec<_> = kinds.into_iter().flat_map(|kind| (0..=64).map(move |n| (n, 1, u32::MAX, kind))).collect();
        let told = told((2, 44_100), &can).unwrap();
        assert_eq!(told.all.len(), 64);
        assert!(told.all.iter().all(|format| format.rates == (4_000..=384_000)));
        assert_eq!(told.all[0].channels, 1);
    }

    #[test]
    fn a_device_that_lists_without_end_is_cut_off() {
        let can: Vec<_> = (1..=500).map(|n| (n, 8_000, 8_000, SampleFormat::I16)).collect();
        assert_eq!(told((1, 8_000), &can).unwrap().all.len(), MOST);
    }

    #[test]
    fn a_device_that_could_not_be_opened_is_not_told_as_one_that_could() {
        let error = told((2, 768_000), &[(2, 768_000, 768_000, SampleFormat::I16)]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
        let default = SupportedStreamConfig::new(2, 48_000, Unknown, SampleFormat::DsdU8);
        assert!(formats(default, std::iter::empty()).is_err());
    }
}
