//! A time-coded call over a bad network, from source to sink, and what its user notices: the pipelines of both sides, and
//! the impairment model between them, in virtual time and from a seed. No packet is sent twice here (that is the transport's
//! work), so the picture has only key frames to recover with.
//!
//! Each test prints its report: `cargo test --lib pipeline::tests::timecoded -- --nocapture`.

use super::super::audio_receiver::Track;
use super::super::video_receiver::Pipeline as VideoIn;
use super::super::video_sender::Pipeline as VideoOut;
use super::super::{AudioReceiverReport, Feedback, PACKET_QUEUE, VideoSenderSettings};
use super::{NoSource, audio_sender, seed};
use crate::base::Result;
use crate::device::{Next, VideoSink, VideoSource};
use crate::media::control::SendControl;
use crate::media::frame::{AudioFrame, FRAME_DURATION, VideoFrame};
use crate::media::rtp::{ReceivedPacket, RtpPacket};
use crate::media::simulcast::Layer;
use crate::testkit::impair::{Link, Profile, Schedule};
use crate::testkit::timecode::{Analyser, Picture, Report, ToneTrack};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long each call lasts.
const CALL: Duration = Duration::from_secs(10);
const STREAM: u8 = 2;
/// IP, UDP, SRTP and RTP, as the bottleneck counts them.
const OVERHEAD: u32 = 28 + 12 + 16;
/// What the clock shows when a call begins.
const EPOCH: Duration = Duration::from_secs(1_000_000);
/// One way back, undisturbed.
const BACK: Duration = Duration::from_millis(25);
const FPS: u32 = 30;

impl VideoSource for NoSource {
    fn next_frame(&mut self, _: &mut VideoFrame) -> Result<Next> {
        Ok(Next::Ended)
    }
}

/// Eyes that look at the clock of the call.
struct Eyes {
    analyser: Arc<Mutex<Analyser>>,
    now: Arc<Mutex<Duration>>,
}

impl VideoSink for Eyes {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        self.analyser.lock().unwrap().video(frame, *self.now.lock().unwrap());
        Ok(())
    }
}

/// One direction of a call over such a network: the audio's way and the video's are alike.
fn call(name: &str, profile: Profile) -> (Report, AudioReceiverReport) {
    call_from(name, profile, seed())
}

fn call_from(name: &str, profile: Profile, seed: u64) -> (Report, AudioReceiverReport) {
    let start = Instant::now();
    let analyser = Arc::new(Mutex::new(Analyser::new(STREAM)));
    let now = Arc::new(Mutex::new(EPOCH));
    let links = [1, 2].map(|n| Link::new(Schedule::constant(profile).unwrap(), seed * 10 + n, start));
    let [mut audio_link, mut video_link] = links;
    let arrived =
        |link: &mut Link<RtpPacket>, at| link.poll(at).map(|(arrival, packet)| ReceivedPacket { packet, arrival });
    let size = |packet: &RtpPacket| packet.payload.len() as u32 + OVERHEAD;

    let audio_control = Arc::new(SendControl::new(32_000));
    audio_control.set_loss_percent(profile.loss_percent as u8);
    let (mut audio_out, mut audio_packets) = audio_sender(audio_control);
    let mut tone = ToneTrack::new(EPOCH);
    let mut track = Track::new().unwrap();

    let control = Arc::new(SendControl::new(500_000));
    // The transport sets the pace of large frames, and there is none.
    control.set_pace(u32::MAX);
    let (out, mut video_packets) = mpsc::channel(PACKET_QUEUE);
    let layer = Layer { divisor: 1, bitrate_bps: control.max_bitrate_bps() };
    let settings = VideoSenderSettings { max_fps: FPS, ..VideoSenderSettings::default() };
    let mut video_out = VideoOut::new(Box::new(NoSource), settings, control.clone(), vec![(layer, out)]).unwrap();
    let picture = Picture::new(320, 180, STREAM).unwrap();
    let key_frame_needed = Arc::new(AtomicBool::new(false));
    let needed = key_frame_needed.clone();
    let feedback = Arc::new(move |Feedback::KeyFrameNeeded| needed.store(true, Relaxed));
    let eyes = Box::new(Eyes { analyser: analyser.clone(), now: now.clone() });
    let mut video_in = VideoIn::new(eyes, feedback, Box::new(|| {}), None).unwrap();
    let mut requests: Vec<Duration> = Vec::new();

    let (mut frame, mut sound, mut heard) =
        (VideoFrame::black(2, 2).unwrap(), AudioFrame::SILENCE, AudioFrame::SILENCE);
    let mut number = 0;
    for elapsed in (0..CALL.as_millis() as u64).map(Duration::from_millis) {
        let at = start + elapsed;
        *now.lock().unwrap() = EPOCH + elapsed;
        // As with a real microphone, a frame is there when its last sample was captured.
        if tone.position() + FRAME_DURATION <= EPOCH + elapsed {
            tone.next_frame(&mut sound);
            assert!(audio_out.send(&sound).unwrap());
        }
        if Duration::from_secs(number.into()) / FPS <= elapsed {
            frame.timestamp = elapsed;
            picture.draw(number, EPOCH + elapsed, &mut frame).unwrap();
            assert!(video_out.send(&frame, at).unwrap());
            number += 1;
        }
        while let Ok(packet) = audio_packets.try_recv() {
            audio_link.send(at, size(&packet), packet);
        }
        while let Ok(packet) = video_packets.try_recv() {
            video_link.send(at, size(&packet), packet);
        }
        while let Some(received) = arrived(&mut audio_link, at) {
            track.input.push(received);
        }
        while let Some(received) = arrived(&mut video_link, at) {
            video_in.input.push(received);
        }
        video_in.step(at);
        if key_frame_needed.swap(false, Relaxed) {
            requests.push(elapsed + BACK);
        }
        if requests.pop_if(|due| *due <= elapsed).is_some() {
            control.request_key_frame();
        }
        // In another phase than the sender's frames.
        if elapsed.as_millis() % 20 == 13 {
            track.next_frame(at, &mut heard);
            analyser.lock().unwrap().audio(&heard, EPOCH + elapsed);
        }
    }
    let (report, audio) = (analyser.lock().unwrap().report(EPOCH + CALL), track.stats.report());
    println!("{name}, seed {seed}: {profile}\n{report}");
    println!("audio lost {}, recovered {}, concealed {}\n", audio.lost, audio.fec_recovered, audio.concealed);
    (report, audio)
}

const NETWORK: Profile = Profile {
    delay_ms: 25.0,
    jitter_ms: 0.0,
    jitter_reorders: false,
    loss_percent: 0.0,
    burst: None,
    duplicate_percent: 0.0,
    reorder_percent: 0.0,
    reorder_delay_ms: 0.0,
    rate_kbps: 0.0,
    bucket_bytes: 0,
    queue_ms: 0.0,
    queue_bytes: 0,
};

/// Beyond the network's own delay there are 20 ms of framing, 6.5 of look-ahead, jitter buffer and playout.
fn assert_speech_is_whole(report: &Report, latency_ms: f64) {
    let audio = report.audio.unwrap();
    assert!(report.hears() && audio.marks >= 19 && audio.marks_missing == 0, "{report}");
    assert!(audio.silent_ms <= 60.0 && audio.latency_ms.unwrap().p50 < latency_ms, "{report}");
}

#[test]
fn on_a_clean_network_nothing_is_noticed() {
    let (report, stats) = call("clean", NETWORK);
    assert_speech_is_whole(&report, 25.0 + 65.0);
    assert!(stats.lost == 0 && stats.undecodable == 0, "{stats:?}");
    let video = report.video.unwrap();
    assert_eq!((video.unreadable, video.out_of_order, video.foreign, video.freezes), (0, 0, 0, 0), "{report}");
    assert!(video.fps > 29.5 && video.longest_gap_ms < 50.0, "{report}");
    assert!(video.latency_ms.unwrap().p95 < 25.0 + 10.0, "{report}");
}

#[test]
fn with_30_ms_of_jitter_speech_is_whole_and_the_picture_moves() {
    let (report, _) = call("30 ms jitter", Profile { delay_ms: 60.0, jitter_ms: 30.0, ..NETWORK });
    assert_speech_is_whole(&report, 60.0 + 150.0);
    let video = report.video.unwrap();
    assert!(video.fps > 28.0 && video.freezes == 0, "{report}");
}

/// What is lost is chance: five calls are judged together, of 100 time marks and 1500 pictures.
fn with_loss(loss_percent: f64, marks_missing: u64, shown: u64) {
    let (mut missed, mut silent_ms, mut seen) = (0, 0.0, 0);
    for seed in (0..5).map(|n| seed() * 10 + n) {
        let (report, stats) = call_from(&format!("{loss_percent} % loss"), Profile { loss_percent, ..NETWORK }, seed);
        let (audio, video) = (report.audio.unwrap(), report.video.unwrap());
        assert!(report.hears() && audio.latency_ms.unwrap().p50 < 25.0 + 100.0, "{report}");
        assert!(stats.fec_recovered > stats.lost / 2, "{stats:?}");
        assert_eq!((video.unreadable, video.out_of_order), (0, 0), "a broken picture was shown: {report}");
        missed += 20u64.saturating_sub(audio.marks);
        silent_ms += audio.silent_ms;
        seen += video.shown;
    }
    let figures = format!("{missed} of 100 time marks missing, {silent_ms} ms silent, {seen} of 1500 pictures shown");
    println!("{loss_percent} % loss: {figures}");
    // A pure tone comes back from in-band FEC about 9 dB quieter, which the analyser takes for silence now and then.
    assert!(missed <= marks_missing && silent_ms <= 250.0 * loss_percent && seen >= shown, "{figures}");
}

#[test]
fn at_5_percent_loss_speech_is_whole_and_the_picture_comes_back() {
    with_loss(5.0, 8, 250);
}

#[test]
fn at_10_percent_loss_speech_is_understood_and_the_picture_comes_back() {
    with_loss(10.0, 12, 60);
}
