//! What is heard of a voice on lossy networks, in virtual time and from a seed: the sender's pipeline, two legs with a
//! server between them, and the receiver's.
//!
//! `cargo test --lib pipeline::tests -- --nocapture` prints the figures, `scripts/lib/speech-loss` the PESQ of real speech: it
//! names a WAV file (48 kHz, mono, 16 bits) to be said with TRILL_TEST_SPEECH, and where to leave what was heard with
//! TRILL_TEST_SPEECH_OUT.

#![allow(clippy::disallowed_methods, reason = "virtual time needs a zero")]

use super::audio_receiver::Track;
use super::audio_sender::Pipeline;
use super::{AudioReceiverReport, PACKET_QUEUE};
use crate::base::Result;
use crate::device::{AudioSource, Next};
use crate::media::control::SendControl;
use crate::media::frame::{AudioFrame, FRAME_DURATION, FRAME_SAMPLES};
use crate::media::red::Red;
use crate::media::rtp::{ReceivedPacket, RtpPacket};
use crate::testkit::impair::{Link, Profile, Schedule};
use crate::testkit::speech::Speech;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

mod timecoded;

/// How long each call lasts.
const FRAMES: usize = 12 * 50;
/// IP, UDP, RTP with its extensions, and SRTP, as a bottleneck counts them.
const HEADERS: u32 = 62;

/// Another one than 7 by the variable TRILL_SEED.
fn seed() -> u64 {
    std::env::var("TRILL_SEED").map_or(7, |seed| seed.parse().unwrap())
}

struct Heard {
    samples: Vec<i16>,
    report: AudioReceiverReport,
    /// Of each packet that was sent: of which frame it is, and its size with headers.
    sent: Vec<(usize, u32)>,
    /// What was sent, with headers.
    kbps: f64,
}

/// Nobody asks for its frames: the test hands them over.
struct NoSource;

impl AudioSource for NoSource {
    fn next_frame(&mut self, _: &mut AudioFrame) -> Result<Next> {
        Ok(Next::Ended)
    }
}

fn audio_sender(control: Arc<SendControl>) -> (Pipeline, mpsc::Receiver<RtpPacket>) {
    let (out, packets) = mpsc::channel(PACKET_QUEUE);
    (Pipeline::new(Box::new(NoSource), control, out).unwrap(), packets)
}

fn said(frames: usize) -> Vec<i16> {
    if let Some(path) = std::env::var_os("TRILL_TEST_SPEECH") {
        let mut reader = hound::WavReader::open(path).unwrap();
        let samples: Vec<i16> = reader.samples().map(|sample| sample.unwrap()).collect();
        return samples.into_iter().cycle().take(frames * FRAME_SAMPLES).collect();
    }
    let (mut voice, mut frame) = (Speech::new(3, 130.0), AudioFrame::SILENCE);
    let mut next = || {
        voice.next_frame(&mut frame);
        frame.samples
    };
    (0..frames).flat_map(|_| next()).collect()
}

/// What a server does that knows RED: what was lost on its way there goes before what repeats it.
#[derive(Default)]
struct Server {
    seen: HashSet<u16>,
}

impl Server {
    fn pass(&mut self, packet: RtpPacket, mut on: impl FnMut(RtpPacket)) {
        if !self.seen.insert(packet.sequence) {
            return;
        }
        if packet.red {
            let started = self.seen.len() > 1;
            for block in Red::parse(&packet.payload).unwrap().blocks() {
                let sequence = packet.sequence.wrapping_sub(block.back);
                if started && self.seen.insert(sequence) {
                    let timestamp = packet.timestamp.wrapping_sub(block.offset);
                    let payload = packet.payload.slice(block.range);
                    on(RtpPacket { sequence, timestamp, payload, red: false, marker: false, audio_level: None });
                }
            }
        }
        on(packet);
    }
}

/// Each of the two legs loses so much of what it gets, in percent, after 20 ms.
fn call(said: &[i16], loss_percent: f64, red: bool) -> Heard {
    let leg = Profile { delay_ms: 20.0, jitter_ms: 2.0, loss_percent, ..Profile::default() };
    call_as(Call { leg, red, dtx: false, phase_ms: 13, pictures: false }, said)
}

struct Call {
    /// What each of the two legs does.
    leg: Profile,
    red: bool,
    dtx: bool,
    /// The receiver plays a frame so many ms after the sender gave one.
    phase_ms: u64,
    pictures: bool,
}

/// What passes a leg. Of a picture only its size counts.
#[derive(Clone)]
enum Load {
    Voice(RtpPacket),
    Picture(u32),
}

/// The packets of a picture beside a voice on a leg of that rate: they take more and more of it, a tenth more than there is at
/// last, and then less again, as with a sender who tries what the leg carries; and no two are alike.
fn picture(kbps: f64, at: Duration, random: &mut StdRng) -> impl Iterator<Item = u32> + use<> {
    const RISES_FOR: f64 = 8.0;
    const VOICE_KBPS: f64 = 56.0;
    let part = 0.75 + 0.35 * (at.as_secs_f64() % RISES_FOR) / RISES_FOR;
    let bytes = (kbps * part - VOICE_KBPS) * 33.0 / 8.0 * random.random_range(0.5..1.5);
    let packets = (bytes / 1200.0).ceil();
    std::iter::repeat_n((bytes / packets) as u32, packets as usize)
}

fn call_as(Call { leg, red, dtx, phase_ms, pictures }: Call, said: &[i16]) -> Heard {
    let start = Instant::now();
    let mut random = StdRng::seed_from_u64(seed());
    let control = Arc::new(SendControl::new(crate::codec::opus::DEFAULT_BITRATE_BPS));
    control.set_takes_red(red);
    control.set_dtx(dtx);
    control.set_loss_percent(leg.loss_percent as u8);
    let (mut sender, mut packets) = audio_sender(control);
    let mut legs = [1, 2].map(|n| Link::new(Schedule::constant(leg).unwrap(), seed() * 10 + n, start));
    let mut server = Server::default();
    let mut track = Track::new().unwrap();
    let (mut heard, mut frame, mut sent) = (Vec::new(), AudioFrame::SILENCE, Vec::new());
    let size = |packet: &RtpPacket| packet.payload.len() as u32 + HEADERS;
    for (n, samples) in said.chunks_exact(FRAME_SAMPLES).enumerate() {
        let now = start + FRAME_DURATION * n as u32;
        frame.samples.copy_from_slice(samples);
        assert!(sender.send(&frame).unwrap());
        while let Ok(packet) = packets.try_recv() {
            sent.push((n, size(&packet)));
            legs[0].send(now, size(&packet), Load::Voice(packet));
        }
        for ms in 0..20 {
            let at = now + Duration::from_millis(ms);
            if pictures && (at - start).as_millis().is_multiple_of(33) {
                picture(leg.rate_kbps, at - start, &mut random)
                    .for_each(|bytes| legs[0].send(at, bytes, Load::Picture(bytes)));
            }
            while let Some((arrival, load)) = legs[0].poll(at) {
                match load {
                    Load::Voice(packet) => {
                        server.pass(packet, |packet| legs[1].send(arrival, size(&packet), Load::Voice(packet)));
                    }
                    Load::Picture(bytes) => legs[1].send(arrival, bytes, load),
                }
            }
            while let Some((arrival, load)) = legs[1].poll(at) {
                if let Load::Voice(packet) = load {
                    assert!(track.input.push(ReceivedPacket { packet, arrival }));
                }
            }
            if ms == phase_ms {
                track.next_frame(at, &mut frame);
                heard.extend_from_slice(&frame.samples);
            }
        }
    }
    let seconds = said.len() as f64 / 48_000.0;
    let bytes: u32 = sent.iter().map(|(_, size)| size).sum();
    Heard { samples: heard, report: track.stats.report(), sent, kbps: f64::from(bytes) * 8.0 / seconds / 1000.0 }
}

/// How alike pieces of 60 ms are in two sounds, 0 to 1, and how much later they are in the second, in ms: the normalised
/// cross-correlation at 8 kHz, at the delay where it is highest.
fn alike(said: &[i16], heard: &[i16]) -> Vec<(f64, f64)> {
    const PIECE: usize = 480;
    const LATEST: usize = 8 * 120;
    let down = |samples: &[i16]| -> Vec<f64> {
        samples.chunks_exact(6).map(|part| part.iter().map(|s| f64::from(*s)).sum::<f64>() / 6.0).collect()
    };
    let (said, heard) = (down(said), down(heard));
    let energy = |samples: &[f64]| samples.iter().map(|s| s * s).sum::<f64>();
    // The first second is for finding the right wait.
    let begins = (8000..heard.len().saturating_sub(LATEST + PIECE)).step_by(PIECE);
    let pieces = begins.filter_map(|begin| {
        let piece = &said[begin..begin + PIECE];
        let loudness = energy(piece);
        if loudness < PIECE as f64 * 200.0 * 200.0 {
            return None;
        }
        let at = |lag: usize| {
            let there = &heard[begin + lag..begin + lag + PIECE];
            let dot: f64 = piece.iter().zip(there).map(|(a, b)| a * b).sum();
            dot / (loudness * energy(there)).sqrt().max(1.0)
        };
        let best = (0..LATEST).map(|lag| (at(lag), lag as f64 / 8.0)).max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(best)
    });
    pieces.collect()
}

/// The share of pieces that are as they were in `whole`, what is heard without loss, and how much later in the median, in ms.
fn figures(name: &str, whole: &[i16], heard: &Heard) -> (f64, f64) {
    let mut pieces = alike(whole, &heard.samples);
    let share = pieces.iter().filter(|(alike, _)| *alike > 0.8).count() as f64 / pieces.len() as f64;
    let mean = pieces.iter().map(|(alike, _)| alike).sum::<f64>() / pieces.len() as f64;
    pieces.sort_by(|a, b| a.1.total_cmp(&b.1));
    let delay = pieces[pieces.len() / 2].1;
    let report = &heard.report;
    println!(
        "{name}: {:.1} kbit/s, {:.0} % of the pieces alike (mean {mean:.3}), heard {delay:.0} ms later; of {} packets lost {}, \
         by FEC {}, by RED {}, concealed {}, target {} ms",
        heard.kbps,
        100.0 * share,
        report.packets,
        report.lost,
        report.fec_recovered,
        report.red_recovered,
        report.concealed,
        report.target_us / 1000,
    );
    (share, delay)
}

fn write(path: &std::path::Path, samples: &[i16]) {
    let sample_format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 16, sample_format };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
}

#[test]
fn a_voice_is_understood_when_a_fifth_of_its_packets_is_lost() {
    let said = said(FRAMES);
    let whole = call(&said, 0.0, false).samples;
    // The two legs lose 19 % together.
    let compare = |red| figures(&format!("loss-10-red-{red}"), &whole, &call(&said, 10.0, red));
    let [(without, _), (with, later)] = [false, true].map(compare);
    assert!(with >= 0.97, "only {:.0} % is as without loss", 100.0 * with);
    assert!(without < 0.95, "{:.0} % without RED: the test tells nothing", 100.0 * without);
    assert!(later < 50.0, "{later} ms later");
}

#[test]
fn red_costs_no_delay_where_nothing_is_lost() {
    let said = said(FRAMES / 2);
    let whole = call(&said, 0.0, false).samples;
    let (alike, later) = figures("loss-0-red-true", &whole, &call(&said, 0.0, true));
    assert!(alike >= 0.99 && later < 1.0, "{alike}, {later} ms later");
}

/// From when a sample is made at a source until a sink is given it, by all that is between but the network: a frame of 20 ms, Opus,
/// and the jitter buffer. In which phase frames are made and played is chance, so all are tried.
#[test]
fn on_a_clean_link_a_voice_is_heard_50_ms_later() {
    let said = said(FRAMES);
    let leg = Profile { delay_ms: 0.5, jitter_ms: 0.3, ..Profile::default() };
    let mut delays = Vec::new();
    for phase in (0..20).step_by(4) {
        let heard = call_as(Call { leg, red: true, dtx: false, phase_ms: phase, pictures: false }, &said);
        assert_eq!((heard.report.concealed, heard.report.lost), (0, 0), "phase {phase}: {:?}", heard.report);
        // Without the first three seconds, in which it is not known whether anything gets lost.
        let pieces = alike(&said[96_000..], &heard.samples[96_000..]).into_iter().filter(|(alike, _)| *alike > 0.8);
        delays.extend(pieces.map(|(_, later)| later + 20.0 + phase as f64));
    }
    delays.sort_by(f64::total_cmp);
    let [median, most] = [50, 95].map(|percent| delays[(delays.len() - 1) * percent / 100]);
    println!("mouth to ear: median {median:.0} ms, p95 {most:.0} ms, of {} pieces", delays.len());
    assert!(
        delays.len() > 200 && median <= 52.0 && most <= 60.0,
        "median {median} ms, p95 {most} ms of {}",
        delays.len()
    );
}

/// Somebody talks for 3 s, is silent for 6 in a room that is not quite silent, and talks again.
#[test]
fn with_dtx_next_to_nothing_is_sent_in_silence_and_a_voice_after_it_is_whole() {
    const TALK: usize = 150;
    const PAUSE: usize = 300;
    let mut random = StdRng::seed_from_u64(seed());
    let mut said = said(2 * TALK + PAUSE);
    // Words that begin when the pause ends.
    let (words, pause) = (said[50 * FRAME_SAMPLES..][..TALK * FRAME_SAMPLES].to_vec(), TALK * FRAME_SAMPLES);
    said[pause + PAUSE * FRAME_SAMPLES..].copy_from_slice(&words);
    said[pause..][..PAUSE * FRAME_SAMPLES].iter_mut().for_each(|sample| *sample = random.random_range(-30..=30));

    let leg = Profile { delay_ms: 20.0, jitter_ms: 2.0, ..Profile::default() };
    for red in [false, true] {
        let [whole, with] =
            [false, true].map(|dtx| call_as(Call { leg, red, dtx, phase_ms: 13, pictures: false }, &said));
        // From a second after the voice: the encoder waits whether it comes again, and learns how the room sounds.
        let silent = TALK + 50..TALK + PAUSE;
        // Without headers, and with them.
        let kbps = |heard: &Heard| {
            let sizes = heard.sent.iter().filter(|(n, _)| silent.contains(n)).map(|(_, size)| *size);
            let (packets, bytes) = sizes.fold((0, 0), |sum, size| (sum.0 + 1, sum.1 + size));
            [bytes - packets * HEADERS, bytes].map(|bytes| f64::from(bytes) * 0.008 / (silent.len() as f64 / 50.0))
        };
        let ([payload, all], [_, all_without]) = (kbps(&with), kbps(&whole));
        println!("red {red}: {payload:.1} kbit/s in silence, {all:.1} with headers; {all_without:.1} without DTX");
        assert!(payload < 2.0 && all < 4.5 && all_without > 40.0, "{payload}, {all} of {all_without} kbit/s");
        let report = &with.report;
        assert_eq!((report.lost, report.late, report.concealed, report.undecodable), (0, 0, 0, 0), "{report:?}");
        // Each word, the first one with its beginning. A second before it is for the wait, which may be another one now.
        let after = (TALK + PAUSE) * FRAME_SAMPLES;
        let understood = |heard: &Heard| {
            let pieces = alike(&said[after - 48_000..], &heard.samples[after - 48_000..]);
            pieces.iter().filter(|(alike, _)| *alike > 0.8).count() as f64 / pieces.len() as f64
        };
        let (before, now) = (understood(&whole), understood(&with));
        assert!(before > 0.9 && now >= before - 0.03, "{now} of the pieces are as said, {before} without DTX");
        let loudness = |heard: &Heard| {
            let onset = &heard.samples[after..][..25 * FRAME_SAMPLES];
            onset.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>()
        };
        let onset = loudness(&with) / loudness(&whole);
        assert!((0.8..1.25).contains(&onset), "the beginning has {onset} of its energy");
        // The room is heard in the pause, as it was.
        let room = &with.samples[(TALK + 100) * FRAME_SAMPLES..][..100 * FRAME_SAMPLES];
        let quietest = room.chunks_exact(FRAME_SAMPLES).filter(|frame| frame.iter().all(|sample| *sample == 0)).count();
        assert_eq!(quietest, 0, "the line sounds dead");
    }
}

/// What scripts/lib/speech-loss measures PESQ of. Without TRILL_TEST_SPEECH_OUT there is nothing to do.
#[test]
fn what_is_said_and_heard_can_be_listened_to() {
    let Some(folder) = std::env::var_os("TRILL_TEST_SPEECH_OUT") else { return };
    let (folder, said) = (std::path::Path::new(&folder), said(FRAMES * 5 / 3));
    write(&folder.join("said.wav"), &said);
    for loss in [0, 1, 5, 10, 20, 30] {
        for (red, name) in [(false, "without"), (true, "with")] {
            let heard = call(&said, loss.into(), red);
            println!("{loss:02}-{name}: {:.0} kbit/s", heard.kbps);
            write(&folder.join(format!("{loss:02}-{name}.wav")), &heard.samples);
        }
    }
}

/// The same on networks that lose nothing: with so much of a deviation of the delay on each leg, or narrow and with pictures.
#[test]
fn what_is_said_and_heard_on_other_networks_can_be_listened_to() {
    let Some(folder) = std::env::var_os("TRILL_TEST_SPEECH_OUT") else { return };
    let (folder, said) = (std::path::Path::new(&folder), said(FRAMES * 10 / 3));
    write(&folder.join("said-long.wav"), &said);
    for jitter_ms in [30.0, 100.0] {
        let leg = Profile { delay_ms: 20.0, jitter_ms, ..Profile::default() };
        let heard = call_as(Call { leg, red: true, dtx: false, phase_ms: 13, pictures: false }, &said);
        println!("jitter-{jitter_ms}: {:?}", heard.report);
        write(&folder.join(format!("jitter-{jitter_ms}.wav")), &heard.samples);
    }
    for rate_kbps in [300.0, 1000.0] {
        let leg = Profile { delay_ms: 20.0, rate_kbps, queue_ms: 200.0, ..Profile::default() };
        let heard = call_as(Call { leg, red: false, dtx: false, phase_ms: 13, pictures: true }, &said);
        println!("narrow-{rate_kbps}: {:?}", heard.report);
        write(&folder.join(format!("narrow-{rate_kbps}.wav")), &heard.samples);
    }
}
