//! Two peer connections over real sockets on loopback: one publishes, one subscribes.

use super::*;
use crate::base::{ErrorCode, TrackId};
use crate::media::control::SendControl;
use crate::media::rtp::{AudioLevel, RtpPacket};
use crate::session::{ConnectionState, PeerEvent, Side, TrackKind};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

/// For anything on loopback that works at all.
const PATIENCE: Duration = Duration::from_secs(10);

const RELIABLE: bool = true;
const LOSSY: bool = false;

struct Pair {
    publisher: PeerConnection,
    subscriber: PeerConnection,
    control: mpsc::UnboundedReceiver<Notice>,
    data: mpsc::Receiver<Notice>,
    tracks: RemoteTracks,
}

impl Pair {
    async fn open() -> Self {
        let (control_tx, control) = mpsc::unbounded_channel();
        let (data_tx, data) = mpsc::channel(16);
        let notices = NoticeSender { control: control_tx, data: data_tx };
        let tracks = RemoteTracks::default();
        let config = |side| PeerConfig {
            side,
            epoch: 1,
            ice_servers: Vec::new(),
            addresses: vec![SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0)],
            notices: notices.clone(),
            remote_tracks: tracks.clone(),
        };
        let publisher = PeerConnection::open(config(Side::Publisher)).await.unwrap();
        let subscriber = PeerConnection::open(config(Side::Subscriber)).await.unwrap();
        Self { publisher, subscriber, control, data, tracks }
    }

    async fn negotiate(&mut self) {
        let offer = self.publisher.create_offer(false).await.unwrap();
        let answer = self.subscriber.answer(offer).await.unwrap();
        self.publisher.apply_answer(answer).await.unwrap();
    }

    /// Carries candidates across until something else is told that `wanted` accepts.
    async fn until(&mut self, wanted: impl Fn(Side, &PeerEvent) -> bool) {
        let told = async {
            loop {
                let notice = self.control.recv().await.unwrap();
                if let PeerEvent::Candidate { init } = &notice.event {
                    let other = if notice.side == Side::Publisher { &self.subscriber } else { &self.publisher };
                    other.add_candidate(init).await.unwrap();
                } else if wanted(notice.side, &notice.event) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("told in time");
    }

    async fn connect(&mut self) {
        self.negotiate().await;
        self.until(|side, event| {
            side == Side::Publisher && matches!(event, PeerEvent::State(ConnectionState::Connected))
        })
        .await;
    }

    async fn close(self) {
        self.publisher.close().await;
        self.subscriber.close().await;
    }
}

fn packet(sequence: u16) -> RtpPacket {
    RtpPacket {
        sequence,
        timestamp: u32::from(sequence) * 960,
        marker: false,
        payload: Bytes::from_static(b"opus"),
        red: false,
        audio_level: Some(AudioLevel { voice: true, minus_dbov: 20 }),
    }
}

/// The same in RED, with the packet before it.
fn packet_in_red(sequence: u16) -> RtpPacket {
    let payload = Bytes::from_static(&[0x80 | 111, 0x0f, 0, 4, 111, b'o', b'p', b'u', b's', b'o', b'p', b'u', b's']);
    RtpPacket { payload, red: true, ..packet(sequence) }
}

fn feed() -> PacketSource {
    feed_with(packet)
}

/// Feeds packets of a track, one in 5 ms, until the receiver goes.
fn feed_with(packet: fn(u16) -> RtpPacket) -> PacketSource {
    let (packets, source) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        for sequence in 0.. {
            ticks.tick().await;
            if packets.send(packet(sequence)).await.is_err() {
                break;
            }
        }
    });
    Arc::new(Mutex::new(source))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_a_published_track_arrive_with_their_audio_level() {
    let mut pair = Pair::open().await;
    let control = Arc::new(SendControl::new(32_000));
    pair.publisher.add_track("mic", TrackKind::Audio, vec![feed()], control).await.unwrap();
    let (sink, received) = crossbeam_channel::bounded(64);
    pair.tracks.attach(&TrackId::new("mic").unwrap(), Box::new(move |packet| sink.try_send(packet).is_ok()));
    pair.connect().await;
    let first = tokio::task::spawn_blocking(move || received.recv_timeout(PATIENCE)).await.unwrap().unwrap();
    assert_eq!(&first.packet.payload[..], b"opus");
    assert_eq!(first.packet.audio_level, Some(AudioLevel { voice: true, minus_dbov: 20 }));
    assert_eq!(first.packet.timestamp, u32::from(first.packet.sequence) * 960);
    let stats = pair.publisher.send_stats("mic").unwrap();
    assert!(stats.packets > 0 && stats.bytes > 0, "{stats:?}");
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_in_red_arrives_as_that_beside_plain_sound_when_it_was_agreed_on() {
    let mut pair = Pair::open().await;
    let control = Arc::new(SendControl::new(32_000));
    let source = feed_with(|sequence| if sequence % 2 == 0 { packet(sequence) } else { packet_in_red(sequence) });
    pair.publisher.add_track("mic", TrackKind::Audio, vec![source], control.clone()).await.unwrap();
    let (sink, received) = crossbeam_channel::bounded(64);
    pair.tracks.attach(&TrackId::new("mic").unwrap(), Box::new(move |packet| sink.try_send(packet).is_ok()));
    assert!(!control.takes_red());
    pair.connect().await;
    assert!(control.takes_red());
    let receive = move || [(); 6].map(|()| received.recv_timeout(PATIENCE).unwrap().packet);
    for packet in tokio::task::spawn_blocking(receive).await.unwrap() {
        let sent =
            if packet.sequence % 2 == 0 { self::packet(packet.sequence) } else { packet_in_red(packet.sequence) };
        assert_eq!(packet, sent);
    }
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_does_not_take_red_gets_the_opus_in_it() {
    let mut pair = Pair::open().await;
    let control = Arc::new(SendControl::new(32_000));
    pair.publisher.add_track("mic", TrackKind::Audio, vec![feed_with(packet_in_red)], control.clone()).await.unwrap();
    let (sink, received) = crossbeam_channel::bounded(64);
    pair.tracks.attach(&TrackId::new("mic").unwrap(), Box::new(move |packet| sink.try_send(packet).is_ok()));
    let offer = pair.publisher.create_offer(false).await.unwrap();
    let without = |sdp: &str| -> String {
        let of_red = |line: &&str| !line.starts_with("a=rtpmap:63 ") && !line.starts_with("a=fmtp:63 ");
        sdp.lines().filter(of_red).map(|line| line.replace("RTP/SAVPF 111 63", "RTP/SAVPF 111") + "\r\n").collect()
    };
    let asked = without(&offer);
    assert_ne!(asked, offer, "RED was offered");
    let answer = pair.subscriber.answer(asked).await.unwrap();
    pair.publisher.apply_answer(answer).await.unwrap();
    pair.until(|side, event| side == Side::Publisher && matches!(event, PeerEvent::State(ConnectionState::Connected)))
        .await;
    assert!(!control.takes_red());
    let first = tokio::task::spawn_blocking(move || received.recv_timeout(PATIENCE)).await.unwrap().unwrap().packet;
    assert_eq!((first.red, &first.payload[..]), (false, &b"opus"[..]));
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_without_a_key_frame_gets_one() {
    let mut pair = Pair::open().await;
    let control = Arc::new(SendControl::new(500_000));
    pair.publisher.add_track("cam", TrackKind::Video, vec![feed()], control.clone()).await.unwrap();
    let (sink, received) = crossbeam_channel::bounded(64);
    let id = TrackId::new("cam").unwrap();
    pair.tracks.attach(&id, Box::new(move |packet| sink.try_send(packet).is_ok()));
    pair.connect().await;
    assert!(control.take_key_frame_request(), "a new connection begins with a key frame");
    tokio::task::spawn_blocking(move || received.recv_timeout(PATIENCE)).await.unwrap().unwrap();
    let deadline = Instant::now() + PATIENCE;
    pair.tracks.request_key_frame(&id).await;
    while !control.take_key_frame_request() {
        assert!(Instant::now() < deadline, "the request never reached the encoder");
        tokio::task::yield_now().await;
    }
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_goes_over_both_channels() {
    let mut pair = Pair::open().await;
    pair.negotiate().await;
    for _ in [RELIABLE, LOSSY] {
        pair.until(|_, event| matches!(event, PeerEvent::DataChannelOpen { .. })).await;
    }
    for reliable in [RELIABLE, LOSSY] {
        pair.publisher.send_data(reliable, Bytes::from_static(b"hello")).unwrap();
        let notice = tokio::time::timeout(PATIENCE, pair.data.recv()).await.unwrap().unwrap();
        let PeerEvent::Data { reliable: over, payload } = notice.event else { panic!() };
        assert_eq!((over, &payload[..]), (reliable, &b"hello"[..]));
    }
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_added_to_a_running_connection_arrives_after_its_own_offer() {
    let mut pair = Pair::open().await;
    pair.connect().await;
    let (sink, received) = crossbeam_channel::bounded(64);
    pair.tracks.attach(&TrackId::new("late").unwrap(), Box::new(move |packet| sink.try_send(packet).is_ok()));
    pair.publisher.add_track("late", TrackKind::Audio, vec![feed()], Arc::new(SendControl::new(0))).await.unwrap();
    pair.negotiate().await;
    tokio::task::spawn_blocking(move || received.recv_timeout(PATIENCE)).await.unwrap().unwrap();
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_with_nobody_at_the_other_end_is_bounded() {
    let pair = Pair::open().await;
    pair.publisher.create_offer(false).await.unwrap();
    let start = Instant::now();
    pair.close().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_nobody_drives_any_more_is_told_to_have_failed_and_one_that_was_closed_is_not() {
    let mut pair = Pair::open().await;
    pair.negotiate().await;
    pair.publisher.plant_panic();
    let failed = async {
        loop {
            let notice = pair.control.recv().await.unwrap();
            match notice.event {
                PeerEvent::Failed(error) => return (notice.side, error),
                // To one that is gone they are of no use.
                PeerEvent::Candidate { init } if notice.side == Side::Publisher => {
                    pair.subscriber.add_candidate(&init).await.unwrap();
                }
                PeerEvent::Candidate { init } => drop(pair.publisher.add_candidate(&init).await),
                _ => {}
            }
        }
    };
    let (side, error) = tokio::time::timeout(PATIENCE, failed).await.expect("told in time");
    assert_eq!((side, error.code()), (Side::Publisher, ErrorCode::Internal));
    pair.publisher.close().await;
    pair.subscriber.close().await;
    while let Ok(notice) = pair.control.try_recv() {
        assert!(!matches!(notice.event, PeerEvent::Failed(_)), "{notice:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_or_candidate_that_is_none_is_an_error() {
    let pair = Pair::open().await;
    assert!(pair.subscriber.answer("v=0 what".into()).await.is_err());
    assert!(pair.publisher.apply_answer(String::new()).await.is_err());
    assert!(pair.publisher.add_candidate("{").await.is_err());
    pair.close().await;
}
