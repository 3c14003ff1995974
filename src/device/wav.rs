//! WAV files as a microphone and as a speaker.

use super::pace::Pacer;
use super::resample::{RATES, mix_down, to_i16};
use super::{AudioSink, AudioSource, Next, Resampler, create_file, file_error, open_file, write_error};
use crate::base::Result;
use crate::media::frame::{AudioFrame, FRAME_SAMPLES, SAMPLE_RATE};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

const SUPPORTED: &str =
    "WAV files with PCM of 8, 16, 24 or 32 bits or floats of 32, 1 to 32 channels, 4 to 384 kHz can be played";

/// Plays a WAV file in real time.
pub struct WavSource {
    path: PathBuf,
    reader: WavReader<BufReader<File>>,
    looped: bool,
    resampler: Resampler,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    ready: Vec<f32>,
    finished: bool,
    pacer: Pacer,
}

impl WavSource {
    /// Fails with `media_file`, saying what is wrong with the file and what is supported.
    pub fn open(path: &Path, looped: bool) -> Result<Self> {
        let file = open_file(path, SUPPORTED)?;
        let bytes = file.metadata().map_or(u64::MAX, |meta| meta.len());
        let reader = WavReader::new(BufReader::new(file))
            .map_err(|e| file_error(path, format!("is not a WAV file that can be read: {e}"), SUPPORTED))?;
        let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
        let supported = (1..=32).contains(&channels)
            && RATES.contains(&sample_rate)
            && match sample_format {
                SampleFormat::Int => (1..=32).contains(&bits_per_sample),
                SampleFormat::Float => bits_per_sample == 32,
            };
        if !supported {
            let kind = if sample_format == SampleFormat::Float { "floats" } else { "PCM" };
            let found = format!("has {channels} channels of {kind} of {bits_per_sample} bits at {sample_rate} Hz");
            return Err(file_error(path, found, SUPPORTED));
        }
        let stated = u64::from(reader.len()) * u64::from(bits_per_sample.div_ceil(8));
        if stated > bytes {
            let problem = format!("is cut short: its header tells of {stated} bytes of sound, the file has {bytes}");
            return Err(file_error(path, problem, "copy it again"));
        }
        if reader.len() == 0 {
            return Err(file_error(path, "has no sound in it", "choose another file"));
        }
        let resampler = Resampler::new(sample_rate, SAMPLE_RATE)?;
        Ok(Self {
            path: path.into(),
            reader,
            looped,
            resampler,
            interleaved: Vec::new(),
            mono: Vec::new(),
            ready: Vec::new(),
            finished: false,
            pacer: Pacer::new(50, 1),
        })
    }

    /// Reads on until a frame is ready or the file is over.
    fn fill(&mut self) -> Result<()> {
        while self.ready.len() < FRAME_SAMPLES && !self.finished {
            let spec = self.reader.spec();
            let wanted = (spec.sample_rate / 50) as usize * usize::from(spec.channels);
            self.interleaved.clear();
            let read = match spec.sample_format {
                SampleFormat::Float => take(self.reader.samples::<f32>(), wanted, 1.0, &mut self.interleaved),
                SampleFormat::Int => {
                    let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f32;
                    let samples = self.reader.samples::<i32>().map(|sample| sample.map(|s| s as f32));
                    take(samples, wanted, scale, &mut self.interleaved)
                }
            };
            read.map_err(|e| file_error(&self.path, format!("cannot be read on: {e}"), SUPPORTED))?;
            self.mono.clear();
            mix_down(&self.interleaved, spec.channels.into(), &mut self.mono);
            self.resampler.push(&self.mono, &mut self.ready)?;
            if self.interleaved.len() < wanted {
                if self.looped {
                    self.reader
                        .seek(0)
                        .map_err(|e| file_error(&self.path, format!("cannot be rewound: {e}"), SUPPORTED))?;
                } else {
                    self.resampler.flush(&mut self.ready)?;
                    self.finished = true;
                }
            }
        }
        Ok(())
    }
}

fn take(
    samples: impl Iterator<Item = hound::Result<f32>>,
    wanted: usize,
    scale: f32,
    out: &mut Vec<f32>,
) -> hound::Result<()> {
    for sample in samples.take(wanted) {
        out.push(sample? * scale);
    }
    Ok(())
}

impl AudioSource for WavSource {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        if self.finished && self.ready.is_empty() {
            return Ok(Next::Ended);
        }
        if !self.pacer.wait() {
            return Ok(Next::Nothing);
        }
        self.fill()?;
        let samples = self.ready.len().min(FRAME_SAMPLES);
        frame.samples.fill(0);
        frame.samples.iter_mut().zip(&self.ready).for_each(|(to, from)| *to = to_i16(*from));
        self.ready.drain(..samples);
        Ok(Next::Frame)
    }

    fn resume(&mut self) {
        self.pacer.restart();
    }
}

/// Frames between updates of the file's header: a second. What is on disk is a valid file even when the process dies.
const FLUSH_FRAMES: u32 = 50;
/// A WAV file cannot be longer than 4 GiB: 12 hours. What comes later is not recorded.
const MAX_SAMPLES: u32 = (u32::MAX - 4096) / 2;

/// Records 48 kHz mono of 16 bits.
pub struct WavSink {
    path: PathBuf,
    writer: WavWriter<BufWriter<File>>,
    unflushed: u32,
}

impl WavSink {
    /// Fails with `media_file` when the file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let spec =
            WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let file = BufWriter::new(create_file(path)?);
        let mut writer = WavWriter::new(file, spec).map_err(|e| write_error(path, e))?;
        writer.flush().map_err(|e| write_error(path, e))?;
        Ok(Self { path: path.into(), writer, unflushed: 0 })
    }
}

impl AudioSink for WavSink {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        if self.writer.len() >= MAX_SAMPLES {
            return Ok(());
        }
        let mut samples = self.writer.get_i16_writer(FRAME_SAMPLES as u32);
        frame.samples.iter().for_each(|sample| samples.write_sample(*sample));
        samples.flush().map_err(|e| write_error(&self.path, e))?;
        self.unflushed += 1;
        if self.unflushed >= FLUSH_FRAMES {
            self.unflushed = 0;
            self.writer.flush().map_err(|e| write_error(&self.path, e))?;
        }
        Ok(())
    }
}

impl Drop for WavSink {
    fn drop(&mut self) {
        if let Err(error) = self.writer.flush() {
            tracing::warn!(path = %self.path.display(), %error, "the end of a recording could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorCode;

    fn write(path: &Path, spec: WavSpec, seconds: f32) {
        let mut writer = WavWriter::create(path, spec).unwrap();
        for n in 0..(spec.sample_rate as f32 * seconds) as u32 {
            let value = (n as f32 * 500.0 * std::f32::consts::TAU / spec.sample_rate as f32).sin() * 0.5;
            for channel in 0..spec.channels {
                // The tone is in all channels but the last of several.
                let value = if channel > 0 && channel + 1 == spec.channels { 0.0 } else { value };
                match spec.sample_format {
                    SampleFormat::Float => writer.write_sample(value).unwrap(),
                    SampleFormat::Int => {
                        let full = (1i64 << (spec.bits_per_sample - 1)) as f32;
                        writer.write_sample((value * full) as i32).unwrap();
                    }
                }
            }
        }
        writer.finalize().unwrap();
    }

    fn read(source: &mut WavSource, most: usize) -> Vec<i16> {
        let mut frame = AudioFrame::SILENCE;
        let mut samples = Vec::new();
        while samples.len() < most * FRAME_SAMPLES {
            match source.next_frame(&mut frame).unwrap() {
                Next::Frame => samples.extend_from_slice(&frame.samples),
                Next::Nothing => {}
                Next::Ended => break,
            }
        }
        samples
    }

    #[test]
    fn every_format_plays_at_its_pitch_and_level() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        for (channels, sample_rate, bits_per_sample, sample_format) in [
            (1, 8_000, 8, SampleFormat::Int),
            (1, 16_000, 16, SampleFormat::Int),
            (2, 44_100, 16, SampleFormat::Int),
            (3, 48_000, 24, SampleFormat::Int),
            (1, 22_050, 32, SampleFormat::Int),
            (2, 96_000, 32, SampleFormat::Float),
        ] {
            let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format };
            write(&path, spec, 0.2);
            let samples = read(&mut WavSource::open(&path, false).unwrap(), 100);
            assert!((9_600..=9_600 + 2 * FRAME_SAMPLES).contains(&samples.len()), "{spec:?}: {}", samples.len());
            let rises = samples[..9_500].windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
            assert!((97..=100).contains(&rises), "{spec:?}: {rises} turns of 500 Hz in 200 ms");
            let level = samples[2_000..7_000].iter().max().unwrap();
            let expected = 16_384 * (if channels > 1 { channels - 1 } else { 1 }) as i32 / i32::from(channels);
            assert!((i32::from(*level) - expected).abs() < 400, "{spec:?}: {level}, not {expected}");
        }
    }

    #[test]
    fn a_looped_file_goes_on_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        // 100 ms hold 50 turns: the seam is not seen in the zero crossings.
        let spec = WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        write(&path, spec, 0.1);
        let samples = read(&mut WavSource::open(&path, true).unwrap(), 16);
        assert_eq!(samples.len(), 16 * FRAME_SAMPLES);
        let rises = samples.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        assert!((155..=161).contains(&rises), "{rises}");
    }

    #[test]
    fn what_is_not_a_playable_wav_file_is_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("speech.mp3");
        let refused = |path: &Path| {
            let error = WavSource::open(path, false).err().unwrap();
            assert_eq!(error.code(), ErrorCode::MediaFile);
            assert!(error.message().contains(&*path.to_string_lossy()), "{error}");
            error.message().to_owned()
        };
        assert!(refused(&path).contains("cannot be opened"));
        std::fs::write(&path, b"ID3 and so on").unwrap();
        assert!(refused(&path).contains("not a WAV file"));
        assert!(refused(&path).contains("PCM of 8, 16, 24 or 32"));
        let path = dir.path().join("a.wav");
        let spec = WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        write(&path, spec, 0.1);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(refused(&path).contains("cut short"));
        write(&path, spec, 0.0);
        assert!(refused(&path).contains("no sound"));
        write(&path, WavSpec { sample_rate: 1_000, ..spec }, 0.1);
        assert!(refused(&path).contains("1000 Hz"));
        for len in 0..whole.len().min(200) {
            std::fs::write(&path, &whole[..len]).unwrap();
            refused(&path);
        }
    }

    #[test]
    fn a_recording_is_a_valid_file_before_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        let mut sink = WavSink::create(&path).unwrap();
        assert_eq!(WavReader::open(&path).unwrap().len(), 0);
        for _ in 0..FLUSH_FRAMES + 10 {
            sink.play(&AudioFrame { samples: [77; FRAME_SAMPLES] }).unwrap();
        }
        assert!(WavReader::open(&path).unwrap().len() >= 48_000, "as a process that is killed would leave it");
        drop(sink);
        let mut reader = WavReader::open(&path).unwrap();
        assert_eq!(reader.len(), 60 * FRAME_SAMPLES as u32);
        assert!(reader.samples::<i16>().all(|sample| sample.unwrap() == 77));
        let error = WavSink::create(&dir.path().join("no/such/folder.wav")).err().unwrap();
        assert!(error.message().contains("cannot be written"), "{error}");
    }
}
