//! A time-coded call over a bad network, from source to sink, and what its user notices: pipelines on both sides, and
//! the impairment model between them. No packet is sent twice here (that is the transport's work), so the picture has
//! only key frames to recover with.
//!
//! Each test prints its report: `cargo test --test impaired_media -- --nocapture`.

#![allow(clippy::disallowed_methods, reason = "pipelines run in real time")]

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use trill::engine::pipeline::{
    AudioReceiverReport, AudioSender, Feedback, PACKET_QUEUE, PacketInput, PacketSender, Playout, VideoReceiver,
    VideoSender, VideoSenderSettings,
};
use trill::engine::timecode::{TimecodedAudio, TimecodedVideo, Watch};
use trill::media::control::SendControl;
use trill::media::rtp::{ReceivedPacket, RtpPacket};
use trill::testkit::impair::{Link, Profile, Schedule};
use trill::testkit::timecode::Report;

/// How long each call lasts.
const CALL: Duration = Duration::from_secs(8);
const STREAM: u8 = 2;
/// IP, UDP, SRTP and RTP, as the bottleneck counts them.
const OVERHEAD: u32 = 28 + 12 + 16;

/// Carries packets through a link, in real time, until the sender is gone.
fn carry(profile: Profile, seed: u64, to: PacketInput) -> (PacketSender, JoinHandle<()>) {
    let (sender, mut packets) = mpsc::channel::<RtpPacket>(PACKET_QUEUE);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut link = Link::new(Schedule::constant(profile).unwrap(), seed, Instant::now());
        runtime.block_on(async {
            loop {
                let wake = link.next_timeout().unwrap_or(Instant::now() + Duration::from_secs(1));
                tokio::select! {
                    packet = packets.recv() => match packet {
                        None => return,
                        Some(packet) => {
                            let bytes = packet.payload.len() as u32 + OVERHEAD;
                            link.send(Instant::now(), bytes, packet);
                        }
                    },
                    () = tokio::time::sleep_until(wake.into()) => {}
                }
                while let Some((arrival, packet)) = link.poll(Instant::now()) {
                    to.push(ReceivedPacket { packet, arrival });
                }
            }
        });
    });
    (sender, thread)
}

/// One direction of a call over such a network.
fn call(name: &str, profile: Profile, seed: u64) -> (Report, AudioReceiverReport) {
    let watch = Watch::new(STREAM);
    let playout = Playout::start(watch.audio_sink()).unwrap();
    let audio = playout.add(None, Box::new(|| {}), None).unwrap();
    let (audio_out, audio_link) = carry(profile, seed, audio.input());
    let audio_control = Arc::new(SendControl::new(32_000));
    audio_control.set_loss_percent(profile.loss_percent as u8);
    let audio_sender = AudioSender::start(Box::<TimecodedAudio>::default(), audio_control, audio_out).unwrap();

    let video_control = Arc::new(SendControl::new(500_000));
    let asked = video_control.clone();
    let feedback = Arc::new(move |Feedback::KeyFrameNeeded| asked.request_key_frame());
    let video = VideoReceiver::start(watch.video_sink(), feedback, Box::new(|| {}), None).unwrap();
    let (video_out, video_link) = carry(profile, seed + 1, video.input());
    let camera = Box::new(TimecodedVideo::new(320, 180, 30, STREAM).unwrap());
    let video_sender = VideoSender::start(camera, VideoSenderSettings::default(), video_control, video_out).unwrap();

    std::thread::sleep(CALL);
    let (report, audio_report) = (watch.report(), audio.stats().report());
    println!(
        "{name}, seed {seed}: {profile}\n{report}\naudio lost {}, recovered {}, concealed {}; video PLIs {}\n",
        audio_report.lost,
        audio_report.fec_recovered,
        audio_report.concealed,
        video.stats().report().plis,
    );
    drop((audio_sender, video_sender));
    audio_link.join().unwrap();
    video_link.join().unwrap();
    (report, audio_report)
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

/// Beyond the network's own delay there are 20 ms of framing, 6.5 of look-ahead, jitter buffer and playout: 80 ms on a
/// quiet machine. The bounds leave room for one that is busy with other tests. `silent_ms` is what may count as silence:
/// a pure tone comes back from in-band FEC about 9 dB quieter, which the analyser takes for silence now and then, so it
/// is the network's share of loss, twice.
fn assert_speech_is_whole(report: &Report, marks_missing: u64, silent_ms: f64, network_ms: f64) {
    let audio = report.audio.unwrap();
    let latency = audio.latency_ms.unwrap();
    assert!(report.hears() && audio.marks >= 12 && audio.marks_missing <= marks_missing, "{report}");
    assert!(audio.silent_ms <= silent_ms, "{report}");
    assert!(latency.p50 < network_ms + 400.0, "{report}");
}

#[test]
fn on_a_clean_network_nothing_is_noticed() {
    let (report, stats) = call("clean", NETWORK, 1);
    assert_speech_is_whole(&report, 1, 300.0, 25.0);
    assert!(stats.lost <= 5 && stats.undecodable == 0, "{stats:?}");
    let video = report.video.unwrap();
    assert_eq!((video.unreadable, video.out_of_order, video.foreign), (0, 0, 0), "{report}");
    assert!(video.fps > 20.0 && video.freezes <= 3 && video.longest_gap_ms < 1500.0, "{report}");
    assert!(video.latency_ms.unwrap().p50 < 25.0 + 100.0, "{report}");
}

#[test]
fn at_5_percent_loss_speech_is_whole() {
    let (report, stats) = call("5 % loss", Profile { loss_percent: 5.0, ..NETWORK }, 2);
    assert_speech_is_whole(&report, 2, 800.0, 25.0);
    assert!(stats.fec_recovered > stats.lost / 2, "{stats:?}");
    assert!(report.sees(), "{report}");
}

#[test]
fn at_10_percent_loss_speech_is_whole_and_the_picture_comes_back() {
    let (report, stats) = call("10 % loss", Profile { loss_percent: 10.0, ..NETWORK }, 3);
    assert_speech_is_whole(&report, 2, 1600.0, 25.0);
    assert!(stats.fec_recovered > stats.lost / 2, "{stats:?}");
    let video = report.video.unwrap();
    assert!(video.shown > 10 && video.unreadable == 0 && video.longest_gap_ms < 6000.0, "{report}");
}

#[test]
fn with_30_ms_of_jitter_speech_is_whole_and_the_picture_moves() {
    let (report, _) = call("30 ms jitter", Profile { delay_ms: 60.0, jitter_ms: 30.0, ..NETWORK }, 4);
    assert_speech_is_whole(&report, 2, 300.0, 60.0);
    let video = report.video.unwrap();
    assert!(video.fps > 20.0 && video.freezes <= 3, "{report}");
}
