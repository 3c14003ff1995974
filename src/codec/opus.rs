//! Opus (RFC 6716) through libopus: 48 kHz mono, 20 ms, tuned for speech.

use super::{AudioDecoder, AudioEncoder};
use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::{AudioFrame, SAMPLE_RATE};
use opus::{Application, Bitrate, Channels};

/// Fullband speech with room for the forward error correction.
pub const DEFAULT_BITRATE_BPS: u32 = 32_000;

/// What libopus takes, in bits a second, for mono.
const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=256_000;

/// The most that libopus makes of one frame (RFC 6716, section 3.4).
const MAX_FRAME_BYTES: usize = 1275;

/// Speech with in-band FEC. Discontinuous transmission is off until it is asked for.
pub struct OpusEncoder {
    encoder: opus::Encoder,
    packet: Box<[u8; MAX_FRAME_BYTES]>,
}

impl OpusEncoder {
    pub fn new(bitrate_bps: u32) -> Result<Self> {
        let mut encoder = opus::Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip).map_err(error)?;
        encoder.set_inband_fec(true).map_err(error)?;
        encoder.set_dtx(false).map_err(error)?;
        let mut this = Self { encoder, packet: Box::new([0; MAX_FRAME_BYTES]) };
        this.set_bitrate(bitrate_bps)?;
        Ok(this)
    }
}

impl AudioEncoder for OpusEncoder {
    fn set_dtx(&mut self, on: bool) -> Result<()> {
        self.encoder.set_dtx(on).map_err(error)
    }

    fn encode(&mut self, frame: &AudioFrame) -> Result<&[u8]> {
        let len = self.encoder.encode(&frame.samples, self.packet.as_mut_slice()).map_err(error)?;
        self.packet.get(..len).ok_or_else(|| ErrorCode::Codec.into())
    }

    fn set_bitrate(&mut self, bps: u32) -> Result<()> {
        let bps = bps.clamp(*BITRATES.start(), *BITRATES.end());
        self.encoder.set_bitrate(Bitrate::Bits(bps as i32)).map_err(error)
    }

    fn set_loss_percent(&mut self, percent: u8) -> Result<()> {
        self.encoder.set_packet_loss_perc(percent.min(100).into()).map_err(error)
    }
}

/// Mono out, whatever comes in: libopus mixes stereo down.
pub struct OpusDecoder {
    decoder: opus::Decoder,
}

impl OpusDecoder {
    pub fn new() -> Result<Self> {
        Ok(Self { decoder: opus::Decoder::new(SAMPLE_RATE, Channels::Mono).map_err(error)? })
    }
}

impl AudioDecoder for OpusDecoder {
    fn decode(&mut self, packet: &[u8], out: &mut [i16]) -> Result<usize> {
        if packet.is_empty() {
            return Err(Error::new(ErrorCode::Codec, "an Opus packet is empty"));
        }
        self.decoder.decode(packet, out, false).map_err(error)
    }

    fn recover(&mut self, successor: &[u8], out: &mut [i16]) -> Result<()> {
        let written = self.decoder.decode(successor, out, true).map_err(error)?;
        silence_rest(out, written);
        Ok(())
    }

    fn conceal(&mut self, out: &mut [i16]) -> Result<()> {
        let written = self.decoder.decode(&[], out, false).map_err(error)?;
        silence_rest(out, written);
        Ok(())
    }
}

fn silence_rest(out: &mut [i16], written: usize) {
    if let Some(rest) = out.get_mut(written..) {
        rest.fill(0);
    }
}

fn error(error: opus::Error) -> Error {
    Error::new(ErrorCode::Codec, format!("Opus: {}", error.description()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::frame::FRAME_SAMPLES;
    use crate::media::opus::{MAX_PACKET_SAMPLES, packet_samples};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// A voiced sound: harmonics of a gliding pitch, in syllables.
    fn speech(frame: usize) -> AudioFrame {
        let mut out = AudioFrame::SILENCE;
        for (i, sample) in out.samples.iter_mut().enumerate() {
            let t = (frame * FRAME_SAMPLES + i) as f64 / 48_000.0;
            let phase = std::f64::consts::TAU * (120.0 * t + 4.0 * (t * 2.0).sin());
            let voice: f64 = (1..20).map(|h| (phase * f64::from(h)).sin() / f64::from(h)).sum();
            *sample = (voice * 5000.0 * (0.6 + 0.4 * (t * 18.0).sin())) as i16;
        }
        out
    }

    /// How far `heard` is from `wanted`, in dB: more is nearer.
    fn snr(wanted: &[i16], heard: &[i16]) -> f64 {
        let (mut signal, mut noise) = (1.0, 1.0);
        for (w, h) in wanted.iter().zip(heard) {
            signal += f64::from(*w).powi(2);
            noise += f64::from(i32::from(*w) - i32::from(*h)).powi(2);
        }
        10.0 * f64::log10(signal / noise)
    }

    /// What is heard of a second of speech when the frames that `lost` names do not arrive.
    fn heard(lost: impl Fn(usize) -> bool, recover: bool) -> Vec<[i16; FRAME_SAMPLES]> {
        let mut encoder = OpusEncoder::new(DEFAULT_BITRATE_BPS).unwrap();
        encoder.set_loss_percent(15).unwrap();
        let mut decoder = OpusDecoder::new().unwrap();
        let packets: Vec<Vec<u8>> = (0..50).map(|n| encoder.encode(&speech(n)).unwrap().to_vec()).collect();
        let mut out = [0; MAX_PACKET_SAMPLES];
        (0..packets.len())
            .map(|n| {
                if !lost(n) {
                    assert_eq!(decoder.decode(&packets[n], &mut out).unwrap(), FRAME_SAMPLES);
                } else if recover {
                    decoder.recover(&packets[n + 1], &mut out[..FRAME_SAMPLES]).unwrap();
                } else {
                    decoder.conceal(&mut out[..FRAME_SAMPLES]).unwrap();
                }
                out[..FRAME_SAMPLES].try_into().unwrap()
            })
            .collect()
    }

    #[test]
    fn a_tone_comes_out_as_that_tone_and_as_loud() {
        let mut encoder = OpusEncoder::new(DEFAULT_BITRATE_BPS).unwrap();
        let mut decoder = OpusDecoder::new().unwrap();
        let (mut sine, mut cosine, mut energy) = (0.0, 0.0, 0.0);
        let mut out = [0; MAX_PACKET_SAMPLES];
        for n in 0..50 {
            let mut frame = AudioFrame::SILENCE;
            let phase = |i: usize| ((n * FRAME_SAMPLES + i) as f64 / 48.0) * std::f64::consts::TAU;
            frame.samples.iter_mut().enumerate().for_each(|(i, s)| *s = (phase(i).sin() * 8000.0) as i16);
            let packet = encoder.encode(&frame).unwrap();
            decoder.decode(packet, &mut out).unwrap();
            for (i, sample) in out[..FRAME_SAMPLES].iter().enumerate().filter(|_| n >= 10) {
                sine += f64::from(*sample) * phase(i).sin();
                cosine += f64::from(*sample) * phase(i).cos();
                energy += f64::from(*sample).powi(2);
            }
        }
        let samples = (40 * FRAME_SAMPLES) as f64;
        let share = 2.0 * (sine.powi(2) + cosine.powi(2)) / samples / energy;
        assert!(share > 0.95, "{share} of what is heard is the tone");
        let level = (2.0 * energy / samples).sqrt();
        assert!((7000.0..9000.0).contains(&level), "{level}");
    }

    #[test]
    fn a_lost_packet_sounds_better_recovered_than_concealed() {
        let lost = |n: usize| n % 10 == 5;
        let whole = heard(|_| false, false);
        let measure = |recover| {
            let heard = heard(lost, recover);
            let pick = |all: &[[i16; FRAME_SAMPLES]]| -> Vec<i16> {
                (0..50).filter(|&n| lost(n)).flat_map(|n| all[n]).collect()
            };
            snr(&pick(&whole), &pick(&heard))
        };
        let (recovered, concealed) = (measure(true), measure(false));
        assert!(recovered > 6.0 && recovered > concealed + 3.0, "{recovered} dB against {concealed} dB");
    }

    #[test]
    fn the_bitrate_is_followed() {
        let bytes = |bps| {
            let mut encoder = OpusEncoder::new(32_000).unwrap();
            encoder.set_bitrate(bps).unwrap();
            (0..50).map(|n| encoder.encode(&speech(n)).unwrap().len()).sum::<usize>()
        };
        let (low, high) = (bytes(12_000), bytes(64_000));
        assert!((800..2200).contains(&low) && (5000..10_000).contains(&high), "{low} and {high} bytes in a second");
        assert_eq!(bytes(0), bytes(6_000), "out of range is brought into it");
    }

    #[test]
    fn random_bytes_are_an_error_or_noise_and_never_a_panic() {
        let mut rng = StdRng::seed_from_u64(6);
        let mut decoder = OpusDecoder::new().unwrap();
        let mut out = [0; MAX_PACKET_SAMPLES];
        for _ in 0..2000 {
            let packet: Vec<u8> = (0..rng.random_range(0..60)).map(|_| rng.random()).collect();
            if let Ok(samples) = decoder.decode(&packet, &mut out) {
                assert_eq!(Some(samples), packet_samples(&packet));
            }
            let _ = decoder.recover(&packet, &mut out[..FRAME_SAMPLES]);
        }
        decoder.conceal(&mut out[..FRAME_SAMPLES]).unwrap();
    }
}
