//! Sending and receiving pipelines, joined by a link in memory that loses, delays and reorders packets from a seed.

#![allow(clippy::disallowed_methods, reason = "pipelines run in real time")]

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use trill::base::Result;
use trill::device::{
    AudioInput, AudioSink, AudioSource, Next, TestPicture, VideoInput, VideoSink, VideoSource, frame_number,
};
use trill::engine::pipeline::{
    AudioReceiver, AudioSender, Feedback, PACKET_QUEUE, PacketInput, PacketSender, Playout, VideoReceiver,
    VideoReceiverReport, VideoSender, VideoSenderSettings,
};
use trill::media::control::SendControl;
use trill::media::frame::{AudioFrame, FRAME_SAMPLES, VideoFrame};
use trill::media::rtp::{ReceivedPacket, RtpPacket};

/// Longer than anything here takes on a machine that is busy with other things.
const BOUND: Duration = Duration::from_secs(20);

/// What a link does to packets.
#[derive(Clone, Copy)]
struct Network {
    delay: Duration,
    /// Each packet waits up to so much longer, which reorders them.
    jitter: Duration,
    loss: f64,
    seed: u64,
}

const GOOD: Network = Network { delay: Duration::from_millis(5), jitter: Duration::ZERO, loss: 0.0, seed: 0 };

/// Carries packets from a sender to a receiver on a thread of its own, until the sender is gone.
struct Link {
    carried: Receiver<RtpPacket>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    fn open(network: Network, to: PacketInput) -> (PacketSender, Self) {
        let (sender, mut packets) = mpsc::channel::<RtpPacket>(PACKET_QUEUE);
        let (seen, carried) = unbounded();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut rng = StdRng::seed_from_u64(network.seed);
                let mut under_way = BTreeMap::new();
                let mut count = 0u64;
                loop {
                    let due = under_way.first_key_value().map(|((due, _), _): (&(Instant, u64), _)| *due);
                    let wait = due.unwrap_or(Instant::now() + Duration::from_secs(1));
                    tokio::select! {
                        packet = packets.recv() => match packet {
                            None => return,
                            Some(packet) => {
                                let _ = seen.send(packet.clone());
                                if !rng.random_bool(network.loss) {
                                    let late = network.jitter.mul_f64(rng.random());
                                    count += 1;
                                    under_way.insert((Instant::now() + network.delay + late, count), packet);
                                }
                            }
                        },
                        () = tokio::time::sleep_until(wait.into()) => {}
                    }
                    while let Some(entry) = under_way.first_entry()
                        && entry.key().0 <= Instant::now()
                    {
                        let arrival = entry.key().0;
                        to.push(ReceivedPacket { packet: entry.remove(), arrival });
                    }
                }
            });
        });
        (sender, Self { carried, thread: Some(thread) })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Sends every frame on to the test.
struct Ear(crossbeam_channel::Sender<AudioFrame>);

impl AudioSink for Ear {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        let _ = self.0.try_send(frame.clone());
        Ok(())
    }
}

struct Eye(crossbeam_channel::Sender<VideoFrame>);

impl VideoSink for Eye {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        let _ = self.0.try_send(frame.clone());
        Ok(())
    }
}

/// The share of the energy of `samples` that is a tone of `hz`, and its amplitude.
fn tone_in(samples: &[i16], hz: f64) -> (f64, f64) {
    let (mut sine, mut cosine, mut energy) = (0.0, 0.0, 1.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = n as f64 * hz * std::f64::consts::TAU / 48_000.0;
        sine += f64::from(*sample) * phase.sin();
        cosine += f64::from(*sample) * phase.cos();
        energy += f64::from(*sample).powi(2);
    }
    let amplitude = 2.0 * f64::hypot(sine, cosine) / samples.len() as f64;
    (amplitude.powi(2) / 2.0 * samples.len() as f64 / energy, amplitude)
}

struct AudioCall {
    sender: Option<AudioSender>,
    control: Arc<SendControl>,
    receiver: AudioReceiver,
    first: Receiver<()>,
    link: Link,
    heard: Receiver<AudioFrame>,
}

fn audio_call(playout: &Playout, hz: f32, network: Network) -> AudioCall {
    let (ear, heard) = bounded(10_000);
    let (told, first) = bounded(1);
    let receiver = playout.add(Some(Box::new(Ear(ear))), Box::new(move || told.send(()).unwrap()), None).unwrap();
    let (out, link) = Link::open(network, receiver.input());
    let control = Arc::new(SendControl::new(32_000));
    control.set_loss_percent((network.loss * 100.0) as u8);
    let source = AudioInput::Tone { hz }.open().unwrap().unwrap();
    let sender = AudioSender::start(source, control.clone(), out).unwrap();
    AudioCall { sender: Some(sender), control, receiver, first, link, heard }
}

/// So many frames, from now on.
fn listen(heard: &Receiver<AudioFrame>, frames: usize) -> Vec<i16> {
    heard.try_iter().for_each(drop);
    (0..frames).flat_map(|_| heard.recv_timeout(BOUND).unwrap().samples).collect()
}

/// Listens again and again until so many frames are as `wanted`: where this machine held a thread up for a while, there
/// is a gap in the sound. What is always wrong is not as wanted within [`BOUND`] either.
#[track_caller]
fn hears(heard: &Receiver<AudioFrame>, frames: usize, wanted: impl Fn(&[i16]) -> bool) {
    let start = Instant::now();
    loop {
        let samples = listen(heard, frames);
        if wanted(&samples) {
            return;
        }
        if start.elapsed() > BOUND {
            let tones = [500.0, 600.0, 1000.0, 1500.0].map(|hz| (hz, tone_in(&samples, hz)));
            panic!("tones, each with its share and amplitude, in what is heard at last: {tones:?}");
        }
    }
}

#[test]
fn a_tone_is_heard_at_its_pitch_and_level_and_as_the_first_audio() {
    let (ear, mixed) = bounded(10_000);
    let playout = Playout::start(Box::new(Ear(ear))).unwrap();
    let call = audio_call(&playout, 1000.0, GOOD);
    call.first.recv_timeout(BOUND).unwrap();
    listen(&call.heard, 15);
    hears(&mixed, 30, |samples| {
        let (share, amplitude) = tone_in(samples, 1000.0);
        let level = call.receiver.stats().report().minus_dbov;
        share > 0.9 && (7000.0..9500.0).contains(&amplitude) && (10..20).contains(&level)
    });
    let sent = call.sender.as_ref().unwrap().stats().report();
    let got = call.receiver.stats().report();
    assert!(sent.packets > 20 && sent.bytes > 0 && sent.dropped == 0, "{sent:?}");
    assert_eq!((got.lost, got.undecodable, got.dropped), (0, 0, 0), "{got:?}");
}

#[test]
fn a_tone_is_heard_through_loss_jitter_and_reordering() {
    let playout = Playout::start(Box::new(Ear(bounded(1).0))).unwrap();
    let bad = Network { delay: Duration::from_millis(20), jitter: Duration::from_millis(45), loss: 0.05, seed: 11 };
    let call = audio_call(&playout, 600.0, bad);
    call.first.recv_timeout(BOUND).unwrap();
    listen(&call.heard, 25);
    // What was concealed may be out of phase: each tenth of a second is judged alone.
    hears(&call.heard, 150, |samples| {
        samples.chunks(5 * FRAME_SAMPLES).filter(|part| tone_in(part, 600.0).0 > 0.8).count() >= 20
    });
    let got = call.receiver.stats().report();
    assert!(got.lost > 0 && got.fec_recovered + got.concealed > 0, "{got:?}");
    assert!(got.jitter_us > 5_000 && got.target_us > 40_000, "{got:?}");
}

#[test]
fn two_talkers_are_mixed_and_each_is_heard_alone_at_its_tap() {
    let (ear, mixed) = bounded(10_000);
    let playout = Playout::start(Box::new(Ear(ear))).unwrap();
    let (low, high) = (audio_call(&playout, 500.0, GOOD), audio_call(&playout, 1500.0, GOOD));
    low.first.recv_timeout(BOUND).unwrap();
    high.first.recv_timeout(BOUND).unwrap();
    let (is_heard, is_gone) = (|amplitude: f64| amplitude > 6000.0, |amplitude: f64| amplitude < 500.0);
    let amplitudes = |samples: &[i16]| [500.0, 1500.0].map(|hz| tone_in(samples, hz).1);
    hears(&mixed, 30, |samples| amplitudes(samples).into_iter().all(is_heard));
    for (talker, own) in [(&low, 0), (&high, 1)] {
        hears(&talker.heard, 30, |samples| {
            let amplitudes = amplitudes(samples);
            is_heard(amplitudes[own]) && is_gone(amplitudes[1 - own])
        });
    }
    // One leaves: the other goes on alone.
    drop(low);
    hears(&mixed, 30, |samples| {
        let [low, high] = amplitudes(samples);
        is_gone(low) && is_heard(high)
    });
}

#[test]
fn muted_audio_sends_nothing_and_comes_back_when_unmuted() {
    let playout = Playout::start(Box::new(Ear(bounded(1).0))).unwrap();
    let call = audio_call(&playout, 1000.0, GOOD);
    call.first.recv_timeout(BOUND).unwrap();
    call.control.set_muted(true);
    // What was said before may still be on its way.
    hears(&call.heard, 20, |samples| tone_in(samples, 1000.0).1 < 100.0);
    call.link.carried.try_iter().for_each(drop);
    let silence = listen(&call.heard, 20);
    assert!(call.link.carried.is_empty(), "a muted microphone sends packets");
    assert!(tone_in(&silence, 1000.0).1 < 100.0);
    call.control.set_muted(false);
    let packet = call.link.carried.recv_timeout(BOUND).unwrap();
    assert!(packet.marker, "the first after silence is marked");
    hears(&call.heard, 20, |samples| tone_in(samples, 1000.0).1 > 6000.0);
    assert_eq!(call.receiver.stats().report().lost, 0, "silence on purpose is no loss");
}

struct VideoCall {
    sender: Option<VideoSender>,
    control: Arc<SendControl>,
    receiver: VideoReceiver,
    first: Receiver<()>,
    link: Link,
    seen: Receiver<VideoFrame>,
}

const SIZE: (u32, u32) = (320, 180);

fn video_call(settings: VideoSenderSettings, network: Network) -> VideoCall {
    let (eye, seen) = bounded(10_000);
    let (told, first) = bounded(1);
    let control = Arc::new(SendControl::new(800_000));
    let asked = control.clone();
    let feedback = Arc::new(move |feedback| match feedback {
        Feedback::KeyFrameNeeded => asked.request_key_frame(),
    });
    let receiver =
        VideoReceiver::start(Box::new(Eye(eye)), feedback, Box::new(move || told.send(()).unwrap()), None).unwrap();
    let (out, link) = Link::open(network, receiver.input());
    let source = VideoInput::TestPicture { width: SIZE.0, height: SIZE.1, fps: 30 }.open().unwrap().unwrap();
    let sender = VideoSender::start(source, settings, control.clone(), out).unwrap();
    VideoCall { sender: Some(sender), control, receiver, first, link, seen }
}

impl VideoCall {
    /// Waits until what the receiver reports is as `wanted`.
    fn until(&self, wanted: impl Fn(VideoReceiverReport) -> bool) -> VideoReceiverReport {
        let start = Instant::now();
        loop {
            let report = self.receiver.stats().report();
            if wanted(report) {
                return report;
            }
            assert!(start.elapsed() < BOUND, "{report:?}");
            self.seen.recv_timeout(BOUND).unwrap();
        }
    }
}

fn psnr(a: &VideoFrame, b: &VideoFrame) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let [a, b] = [a.planes()[0], b.planes()[0]];
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 / (squares / a.len() as f64).max(1e-9)).log10()
}

#[test]
fn pictures_are_seen_as_they_were_sent_and_in_order() {
    let call = video_call(VideoSenderSettings::default(), GOOD);
    call.first.recv_timeout(BOUND).unwrap();
    let picture = TestPicture::new(SIZE.0, SIZE.1, 30).unwrap();
    let mut sent = VideoFrame::black(2, 2).unwrap();
    let mut last = None;
    for _ in 0..25 {
        let seen = call.seen.recv_timeout(BOUND).unwrap();
        let number = frame_number(&seen);
        assert!(last.is_none_or(|(before, time)| number > before && seen.timestamp > time), "{number} after {last:?}");
        last = Some((number, seen.timestamp));
        picture.draw(number.into(), &mut sent).unwrap();
        let psnr = psnr(&sent, &seen);
        assert!(psnr > 28.0, "frame {number}: {psnr:.1} dB");
    }
    let report = call.receiver.stats().report();
    assert_eq!((report.width, report.height), (SIZE.0.into(), SIZE.1.into()));
    assert_eq!((report.plis, report.lost, report.undecodable), (0, 0, 0), "{report:?}");
}

#[test]
fn after_loss_a_key_frame_is_asked_for_and_the_picture_is_right_again() {
    let bad = Network { delay: Duration::from_millis(10), jitter: Duration::from_millis(8), loss: 0.02, seed: 5 };
    let call = video_call(VideoSenderSettings::default(), bad);
    let before = call.until(|report| report.plis >= 1 && report.freezes >= 1);
    call.until(|report| report.frames > before.frames + 10 && report.key_frames > before.key_frames);
    // What is shown was never decoded from a broken reference: it looks as it was sent.
    let picture = TestPicture::new(SIZE.0, SIZE.1, 30).unwrap();
    let mut sent = VideoFrame::black(2, 2).unwrap();
    for seen in call.seen.try_iter().chain(call.seen.recv_timeout(BOUND)) {
        picture.draw(frame_number(&seen).into(), &mut sent).unwrap();
        let psnr = psnr(&sent, &seen);
        assert!(psnr > 25.0, "{psnr:.1} dB");
    }
}

#[test]
fn a_key_frame_comes_on_request_but_a_flood_of_requests_is_held_back() {
    let call = video_call(VideoSenderSettings::default(), GOOD);
    call.until(|report| report.frames >= 15);
    call.control.request_key_frame();
    call.until(|report| report.key_frames == 2);
    let start = Instant::now();
    let frames = call.receiver.stats().report().frames;
    while call.receiver.stats().report().frames < frames + 25 {
        call.control.request_key_frame();
        call.seen.recv_timeout(BOUND).unwrap();
    }
    let most = 3 + start.elapsed().as_millis() as u64 / 300;
    let report = call.receiver.stats().report();
    assert!((3..=most + 1).contains(&report.key_frames), "{report:?} in {:?}", start.elapsed());
}

#[test]
fn large_pictures_are_scaled_down_and_fast_ones_thinned_out() {
    let settings = VideoSenderSettings { max_width: 160, max_height: 160, max_fps: 10 };
    let call = video_call(settings, GOOD);
    call.first.recv_timeout(BOUND).unwrap();
    let start = call.seen.recv_timeout(BOUND).unwrap();
    let times: Vec<Duration> = (0..6).map(|_| call.seen.recv_timeout(BOUND).unwrap().timestamp).collect();
    assert_eq!((start.width(), start.height()), (160, 90));
    assert!(times.windows(2).all(|w| w[1] - w[0] >= Duration::from_millis(75)), "{times:?}");
}

#[test]
fn pictures_of_odd_and_extreme_sizes_are_sent_and_the_track_goes_on() {
    let sizes = [(1, 1), (2, 2), (3, 5), (17, 16), (63, 47), (1, 4000), (4000, 1), (8191, 3), (641, 361), (320, 180)];
    let (push, source) = trill::device::video_push();
    let (eye, seen) = bounded(10_000);
    let control = Arc::new(SendControl::new(800_000));
    let asked = control.clone();
    let feedback = Arc::new(move |Feedback::KeyFrameNeeded| asked.request_key_frame());
    let receiver = VideoReceiver::start(Box::new(Eye(eye)), feedback, Box::new(|| ()), None).unwrap();
    let (out, link) = Link::open(GOOD, receiver.input());
    let sender = VideoSender::start(source, VideoSenderSettings::default(), control, out).unwrap();
    let start = Instant::now();
    for (width, height) in sizes {
        // Until one of that shape is seen at the far end.
        loop {
            assert!(start.elapsed() < BOUND, "no {width}x{height} is seen");
            let mut picture = VideoFrame::black(width, height).unwrap();
            picture.timestamp = start.elapsed();
            picture.planes_mut()[0].fill(200);
            let _ = push.push(picture);
            let shape = |w: u32, h: u32| f64::from(w) / f64::from(h);
            let wanted = |frame: &VideoFrame| {
                let (w, h) = (frame.width(), frame.height());
                // Within 1280x720 both sides are even and at least 2.
                (w, h) == (width, height) || (width > 1280 || height > 720) && (shape(w, h) > 1.0) == (width > height)
            };
            if seen.recv_timeout(Duration::from_millis(40)).is_ok_and(|frame| wanted(&frame)) {
                break;
            }
        }
    }
    assert_eq!(sender.stats().report().ended, 0);
    drop((push, sender, link));
}

#[test]
fn a_picture_that_is_to_be_turned_is_seen_upright() {
    let (push, source) = trill::device::video_push();
    let (eye, seen) = bounded(10_000);
    let receiver = VideoReceiver::start(Box::new(Eye(eye)), Arc::new(|_| ()), Box::new(|| ()), None).unwrap();
    let (out, _link) = Link::open(GOOD, receiver.input());
    let _sender =
        VideoSender::start(source, VideoSenderSettings::default(), Arc::new(SendControl::new(800_000)), out).unwrap();
    let start = Instant::now();
    let turned = loop {
        assert!(start.elapsed() < BOUND, "nothing is seen");
        // Its left half, which a turn clockwise brings to the top, is bright.
        let mut picture = VideoFrame::black(320, 180).unwrap();
        picture.planes_mut()[0].iter_mut().enumerate().for_each(|(at, y)| *y = if at % 320 < 160 { 200 } else { 40 });
        picture.rotation = trill::media::frame::Rotation::Clockwise90;
        picture.timestamp = start.elapsed();
        let _ = push.push(picture);
        if let Ok(frame) = seen.recv_timeout(Duration::from_millis(40)) {
            break frame;
        }
    };
    assert_eq!((turned.width(), turned.height()), (180, 320));
    let luma = turned.planes()[0];
    let (top, bottom) = (luma[40 * 180 + 90], luma[280 * 180 + 90]);
    assert!(top.abs_diff(200) < 20 && bottom.abs_diff(40) < 20, "{top} above, {bottom} below");
}

#[test]
fn muted_video_sends_nothing_and_begins_again_with_a_key_frame() {
    let call = video_call(VideoSenderSettings::default(), GOOD);
    call.until(|report| report.frames >= 5);
    call.control.set_muted(true);
    // What was sent before may still be on its way: until nothing more is carried, or shown, for a while.
    let (mut before, start) = (call.receiver.stats().report(), Instant::now());
    loop {
        let carried = call.link.carried.recv_timeout(Duration::from_millis(300)).is_ok();
        let report = call.receiver.stats().report();
        if !carried && (report.packets, report.frames) == (before.packets, before.frames) {
            break;
        }
        before = report;
        assert!(start.elapsed() < BOUND, "a muted camera sends pictures: {report:?}");
    }
    call.control.set_muted(false);
    call.until(|report| report.frames > before.frames);
    let after = call.receiver.stats().report();
    assert_eq!(after.key_frames, before.key_frames + 1);
    assert_eq!(after.plis, 0);
}

/// Says that it is over after a few frames.
struct Short(u32, Arc<Mutex<u32>>);

impl AudioSource for Short {
    fn next_frame(&mut self, _: &mut AudioFrame) -> Result<Next> {
        *self.1.lock().unwrap() += 1;
        self.0 -= 1;
        Ok(if self.0 == 0 { Next::Ended } else { Next::Frame })
    }
}

#[test]
fn a_source_that_is_over_ends_its_track_quietly() {
    let (out, mut packets) = mpsc::channel(PACKET_QUEUE);
    let asked = Arc::default();
    let source = Box::new(Short(4, Arc::clone(&asked)));
    let sender = AudioSender::start(source, Arc::new(SendControl::new(32_000)), out).unwrap();
    let mut count = 0;
    while packets.blocking_recv().is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
    let stats = sender.stats();
    drop(sender);
    assert_eq!((stats.report().ended, *asked.lock().unwrap()), (1, 4));
}

/// Never has anything, and waits for it as long as it may.
struct Idle {
    /// Its other end tells when this is gone.
    _alive: crossbeam_channel::Sender<()>,
}

impl VideoSource for Idle {
    fn next_frame(&mut self, _: &mut VideoFrame) -> Result<Next> {
        std::thread::sleep(trill::device::MAX_WAIT);
        Ok(Next::Nothing)
    }
}

/// A thread that hangs is left behind after a while, which takes less time than this on any machine.
fn ends_in_time(what: &str, end: impl FnOnce()) {
    let start = Instant::now();
    end();
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
}

/// Waits until nobody can send there any more: a thread that ends lets go of all that it had, one that hangs does not.
fn until_gone<T>(what: &str, from: &Receiver<T>) {
    let deadline = Instant::now() + BOUND;
    loop {
        match from.recv_deadline(deadline) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(_) if Instant::now() < deadline => {}
            _ => panic!("{what} goes on"),
        }
    }
}

#[test]
fn every_pipeline_ends_when_it_is_dropped_and_that_does_not_take_long() {
    let (ear, mixed) = bounded(1);
    let playout = Playout::start(Box::new(Ear(ear))).unwrap();
    let mut audio = audio_call(&playout, 440.0, GOOD);
    let mut video = video_call(VideoSenderSettings::default(), GOOD);
    let (out, _packets) = mpsc::channel(PACKET_QUEUE);
    let control = Arc::new(SendControl::new(500_000));
    let (alive, idles) = bounded(0);
    let idle = Box::new(Idle { _alive: alive });
    let idle = VideoSender::start(idle, VideoSenderSettings::default(), control, out).unwrap();
    video.first.recv_timeout(BOUND).unwrap();
    audio.first.recv_timeout(BOUND).unwrap();
    // A sender had the only way into its link, a receiver the only way to who hears and sees.
    ends_in_time("sending audio", || drop(audio.sender.take()));
    until_gone("sending audio", &audio.link.carried);
    ends_in_time("sending video", || drop(video.sender.take()));
    until_gone("sending video", &video.link.carried);
    ends_in_time("an idle source", || drop(idle));
    until_gone("an idle source", &idles);
    ends_in_time("receiving video", || drop(video.receiver));
    until_gone("receiving video", &video.seen);
    ends_in_time("receiving audio", || drop((audio.receiver, playout)));
    until_gone("a participant's audio", &audio.heard);
    until_gone("receiving audio", &mixed);
}
