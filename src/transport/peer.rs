//! One peer connection: opened, negotiated, fed with tracks, measured, closed.

use super::codecs;
use super::feedback::Feedbacks;
use super::network::MediaRuntime;
use super::receive::{Negotiated, RemoteTracks};
use super::send::{PacketSource, SendStats, Sending};
use crate::base::{Error, ErrorCode, Result};
use crate::media::control::SendControl;
use crate::session::{ConnectionState, IceServer, PeerEvent, Side, TrackKind};
use bytes::{Bytes, BytesMut};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection as WebRtc, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceCandidateInit, RTCIceConnectionState, RTCIceServer, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
    RTCSessionDescription, SettingEngineBuilder, StatsSelector,
};
use webrtc::rtp_transceiver::RtpSender;

/// ICE checks that often (RFC 8445 section 14.2 allows 5 ms and more). Connecting takes two to three of them: the
/// crate's default of 200 ms is heard, and there are few pairs to check.
const ICE_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Checks of one pair before it is given up: 10 s, since the server may learn of our candidates late.
const ICE_CHECKS: u16 = 500;
/// Silence after which the path counts as disturbed, and then as broken.
const ICE_DISCONNECTED: Duration = Duration::from_secs(4);
const ICE_FAILED: Duration = Duration::from_secs(6);
const ICE_KEEPALIVE: Duration = Duration::from_secs(1);

/// Closing takes at most that long, with whatever network.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Outgoing data that waits for the network, in messages and in bytes.
const DATA_QUEUE: usize = 256;
const DATA_BUFFER: usize = 1 << 20;

const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";

/// How to open a peer connection.
pub struct PeerConfig {
    pub side: Side,
    /// Counts the generations: notices carry it, so that those of a closed connection are told apart.
    pub epoch: u64,
    pub ice_servers: Vec<IceServer>,
    /// See [`super::local_addresses`].
    pub addresses: Vec<SocketAddr>,
    pub notices: NoticeSender,
    pub remote_tracks: RemoteTracks,
}

/// What a peer connection did.
#[derive(Debug)]
pub struct Notice {
    pub epoch: u64,
    pub side: Side,
    pub event: PeerEvent,
}

/// Where peer connections tell what they did. Data messages wait for room (so that the network slows their sender
/// down); everything else is rare and never waits.
#[derive(Clone)]
pub struct NoticeSender {
    pub control: mpsc::UnboundedSender<Notice>,
    pub data: mpsc::Sender<Notice>,
}

/// The path that media takes at the moment.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct PathStats {
    /// Of ICE's own checks; nothing before the first.
    pub rtt_ms: Option<f64>,
    /// Everything on the wire, both directions.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// What this path is estimated to carry of what we send; nothing before there was feedback, or on a connection that
    /// does not send.
    pub estimate_bps: Option<u32>,
    /// How long our packets wait in the queue of its bottleneck.
    pub queue_ms: Option<f64>,
}

/// One WebRTC peer connection. Must be made within a tokio runtime; [`Self::close`] it.
pub struct PeerConnection {
    connection: Arc<dyn WebRtc>,
    side: Side,
    shared: Arc<Shared>,
    /// By cid.
    sending: Mutex<HashMap<String, Sent>>,
    channels: Mutex<HashMap<bool, mpsc::Sender<Bytes>>>,
    /// The latest of ours.
    offer: Mutex<String>,
}

type Sent = (Sending, Arc<dyn RtpSender>);

struct Shared {
    side: Side,
    epoch: u64,
    notices: NoticeSender,
    feedbacks: Arc<Feedbacks>,
    connected: Arc<AtomicBool>,
    /// To be asked for a key frame when the connection comes up: those encoded before went nowhere.
    controls: Mutex<Vec<Arc<SendControl>>>,
    negotiated: Arc<Negotiated>,
    remote_tracks: RemoteTracks,
    /// By us.
    closed: AtomicBool,
    #[cfg(test)]
    faulty: AtomicBool,
}

impl PeerConnection {
    /// Opens sockets; nothing is sent before there is a description. Errors: `internal`, `invalid_argument` for an ICE
    /// server that cannot be read.
    pub async fn open(config: PeerConfig) -> Result<Self> {
        let feedbacks = Arc::new(Feedbacks::default());
        let shared = Arc::new(Shared {
            side: config.side,
            epoch: config.epoch,
            notices: config.notices,
            feedbacks: feedbacks.clone(),
            connected: Arc::default(),
            controls: Mutex::default(),
            negotiated: Arc::default(),
            remote_tracks: config.remote_tracks,
            closed: AtomicBool::new(false),
            #[cfg(test)]
            faulty: AtomicBool::new(false),
        });
        if config.side == Side::Subscriber {
            shared.remote_tracks.forget_remotes();
        }
        let mut engine = codecs::media_engine().map_err(internal)?;
        let registry = codecs::interceptors(&mut engine, feedbacks, shared.remote_tracks.clone()).map_err(internal)?;
        let settings = SettingEngineBuilder::new()
            .with_ice_connection_attempts(Some(ICE_CHECK_INTERVAL), Some(ICE_CHECKS))
            .with_ice_timeouts(Some(ICE_DISCONNECTED), Some(ICE_FAILED), Some(ICE_KEEPALIVE))
            .with_include_loopback_candidate(config.addresses.iter().any(|address| address.ip().is_loopback()))
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            // As RFC 8842 section 5.3 recommends: it saves a round trip, as only a server of this crate asks for a cookie.
            .with_answering_dtls_role(RTCDtlsRole::Client)
            // After a change of networks the old sockets lead nowhere.
            .with_discard_local_candidates_during_ice_restart(true)
            .build();
        let configuration = RTCConfigurationBuilder::new().with_ice_servers(ice_servers(config.ice_servers)).build();
        let runtime = webrtc::runtime::default_runtime().ok_or_else(|| internal("the webrtc crate has no runtime"))?;
        let connection = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_runtime(Arc::new(MediaRuntime::new(runtime, Driven(shared.clone()))))
            .with_handler(Arc::new(Handler(shared.clone())))
            .with_udp_addrs(config.addresses)
            .with_data_channel_send_buffer_limit(DATA_BUFFER)
            .build()
            .await
            .map_err(internal)?;
        let (sending, channels, offer) = Default::default();
        let peer = Self { connection: Arc::new(connection), side: config.side, shared, sending, channels, offer };
        if peer.side == Side::Publisher {
            peer.open_channels().await?;
        }
        Ok(peer)
    }

    pub fn side(&self) -> Side {
        self.side
    }

    /// Sends what comes out of `sources` as the layers of a track whose msid is `cid`, lowest first, from the next offer on;
    /// several are simulcast (RFC 8853). There are [`MAX_LAYERS`](crate::media::simulcast::MAX_LAYERS) at most.
    pub async fn add_track(
        &self,
        cid: &str,
        kind: TrackKind,
        sources: Vec<PacketSource>,
        control: Arc<SendControl>,
    ) -> Result<()> {
        let sending = Sending::start(cid, kind, sources, &control, &self.shared.connected);
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        };
        let transceiver =
            self.connection.add_transceiver_from_track(sending.track.clone(), Some(init)).await.map_err(internal)?;
        let sender = transceiver.sender().await.map_err(internal)?;
        let sender = sender.ok_or_else(|| internal("a transceiver that sends has no sender"))?;
        for layer in &sending.layers {
            self.shared.feedbacks.insert(layer.ssrc, layer.feedback.clone());
        }
        lock(&self.shared.controls).push(control);
        lock(&self.sending).insert(cid.to_owned(), (sending, sender));
        Ok(())
    }

    /// Without effect when there is no such track.
    pub async fn remove_track(&self, cid: &str) -> Result<()> {
        let removed = lock(&self.sending).remove(cid);
        if let Some((sending, sender)) = removed {
            sending.layers.iter().for_each(|layer| self.shared.feedbacks.remove(layer.ssrc));
            self.connection.remove_track(&sender).await.map_err(internal)?;
        }
        Ok(())
    }

    /// Makes an offer and sets it as the local description; candidates are gathered from here on.
    pub async fn create_offer(&self, ice_restart: bool) -> Result<String> {
        if ice_restart {
            self.connection.restart_ice().await.map_err(internal)?;
        }
        let offer = self.connection.create_offer(None).await.map_err(internal)?;
        let sdp = offer.sdp.clone();
        self.connection.set_local_description(offer).await.map_err(internal)?;
        lock(&self.offer).clone_from(&sdp);
        Ok(sdp)
    }

    /// Errors: `malformed` when it does not fit the offer.
    pub async fn apply_answer(&self, sdp: String) -> Result<()> {
        let answer = RTCSessionDescription::answer(sdp.clone()).map_err(malformed)?;
        self.connection.set_remote_description(answer).await.map_err(malformed)?;
        let offer = lock(&self.offer).clone();
        for (sending, _) in lock(&self.sending).values() {
            sending.negotiated(&offer, &sdp);
        }
        Ok(())
    }

    /// Applies the other side's offer, and sets the answer to it as the local description.
    /// Errors: `malformed` when the offer cannot be read or applied.
    pub async fn answer(&self, offer: String) -> Result<String> {
        self.shared.negotiated.read(&offer);
        let offer = RTCSessionDescription::offer(offer).map_err(malformed)?;
        self.connection.set_remote_description(offer).await.map_err(malformed)?;
        let answer = self.connection.create_answer(None).await.map_err(internal)?;
        let sdp = answer.sdp.clone();
        self.connection.set_local_description(answer).await.map_err(internal)?;
        Ok(sdp)
    }

    /// `init` is the JSON of `RTCIceCandidateInit`. Errors: `malformed`.
    pub async fn add_candidate(&self, init: &str) -> Result<()> {
        let init: RTCIceCandidateInit = serde_json::from_str(init).map_err(malformed)?;
        if init.candidate.is_empty() {
            return Ok(());
        }
        self.connection.add_ice_candidate(init).await.map_err(malformed)
    }

    /// Used from the next ICE restart on.
    pub async fn set_ice_servers(&self, servers: Vec<IceServer>) -> Result<()> {
        let configuration = RTCConfigurationBuilder::new().with_ice_servers(ice_servers(servers)).build();
        self.connection.set_configuration(configuration).await.map_err(internal)
    }

    /// Queues a message. Errors: `too_many_requests` when the network does not keep up, `not_allowed_in_state` on a
    /// connection without data channels.
    pub fn send_data(&self, reliable: bool, payload: Bytes) -> Result<()> {
        let channels = lock(&self.channels);
        let queue = channels.get(&reliable).ok_or_else(|| Error::from(ErrorCode::NotAllowedInState))?;
        queue.try_send(payload).map_err(|_| {
            Error::new(ErrorCode::TooManyRequests, "the network does not keep up with the data messages; send fewer")
        })
    }

    /// By cid.
    pub fn send_stats(&self, cid: &str) -> Option<SendStats> {
        lock(&self.sending).get(cid).map(|(sending, _)| sending.stats())
    }

    pub async fn path_stats(&self) -> PathStats {
        let report = self.connection.get_stats(Instant::now(), StatsSelector::None).await;
        let mut stats = PathStats::default();
        if let Some(transport) = report.transport() {
            stats.bytes_sent = transport.bytes_sent;
            stats.bytes_received = transport.bytes_received;
        }
        let pairs = report.candidate_pairs();
        let measured = pairs.filter(|pair| pair.nominated && pair.current_round_trip_time > 0.0);
        let path = self.shared.feedbacks.path();
        stats.estimate_bps = path.map(|(estimate, _)| estimate);
        stats.queue_ms = path.map(|(_, queue)| queue.as_secs_f64() * 1000.0);
        stats.rtt_ms = measured.map(|pair| pair.current_round_trip_time * 1000.0).reduce(f64::min);
        stats
    }

    /// At most a second, with whatever network. Nothing is heard of it afterwards but what was on its way.
    pub async fn close(&self) {
        self.shared.closed.store(true, Relaxed);
        lock(&self.sending).clear();
        lock(&self.channels).clear();
        match tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, side = ?self.side, "closing a peer connection"),
            Err(_) => tracing::warn!(side = ?self.side, "a peer connection did not close in time"),
        }
    }

    /// A bug, where the connection is driven, with its next change of state.
    #[cfg(test)]
    pub(super) fn plant_panic(&self) {
        self.shared.faulty.store(true, Relaxed);
    }

    async fn open_channels(&self) -> Result<()> {
        let lossy = RTCDataChannelInit { ordered: false, max_retransmits: Some(0), ..Default::default() };
        let reliable = RTCDataChannelInit { ordered: true, ..Default::default() };
        for (label, is_reliable, init) in [(LOSSY, false, lossy), (RELIABLE, true, reliable)] {
            let channel = self.connection.create_data_channel(label, Some(init)).await.map_err(internal)?;
            let (queue, waiting) = mpsc::channel(DATA_QUEUE);
            lock(&self.channels).insert(is_reliable, queue);
            tokio::spawn(send_queued(channel.clone(), waiting));
            tokio::spawn(self.shared.clone().read_channel(channel, is_reliable));
        }
        Ok(())
    }
}

/// Ends when the queue's owner closes, or the channel does.
async fn send_queued(channel: Arc<dyn DataChannel>, mut waiting: mpsc::Receiver<Bytes>) {
    while let Some(payload) = waiting.recv().await {
        if let Err(error) = channel.send(BytesMut::from(&payload[..])).await {
            tracing::debug!(%error, "data message not sent");
        }
    }
}

impl Shared {
    fn tell(&self, event: PeerEvent) {
        // The other end goes first at the end of a session.
        let _ = self.notices.control.send(Notice { epoch: self.epoch, side: self.side, event });
    }

    async fn read_channel(self: Arc<Self>, channel: Arc<dyn DataChannel>, reliable: bool) {
        while let Some(event) = channel.poll().await {
            match event {
                DataChannelEvent::OnOpen if self.side == Side::Publisher => {
                    self.tell(PeerEvent::DataChannelOpen { reliable });
                }
                DataChannelEvent::OnMessage(message) => {
                    let event = PeerEvent::Data { reliable, payload: message.data.freeze() };
                    if self.notices.data.send(Notice { epoch: self.epoch, side: self.side, event }).await.is_err() {
                        break;
                    }
                }
                DataChannelEvent::OnClose => break,
                _ => {}
            }
        }
    }
}

/// Goes with the task that drives the connection, and tells that nobody does any more. The crate itself tells nobody: what it is asked
/// would be answered, and nothing sent or received.
struct Driven(Arc<Shared>);

impl Drop for Driven {
    fn drop(&mut self) {
        if !self.0.closed.load(Relaxed) {
            self.0.connected.store(false, Relaxed);
            self.0.tell(PeerEvent::Failed(internal("it is not driven any more")));
        }
    }
}

/// The crate calls it on its own event loop: nothing here waits.
struct Handler(Arc<Shared>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        match event.candidate.to_json().ok().and_then(|init| serde_json::to_string(&init).ok()) {
            Some(init) => self.0.tell(PeerEvent::Candidate { init }),
            None => tracing::debug!("a candidate of ours cannot be written down"),
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if matches!(state, RTCIceConnectionState::Connected | RTCIceConnectionState::Completed) {
            self.0.tell(PeerEvent::Reachable);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        #[cfg(test)]
        assert!(!self.0.faulty.load(Relaxed), "a bug, for a test");
        let state = match state {
            RTCPeerConnectionState::Connecting => ConnectionState::Connecting,
            RTCPeerConnectionState::Connected => ConnectionState::Connected,
            RTCPeerConnectionState::Disconnected => ConnectionState::Disconnected,
            RTCPeerConnectionState::Failed => ConnectionState::Failed,
            RTCPeerConnectionState::Closed => ConnectionState::Closed,
            _ => ConnectionState::New,
        };
        tracing::debug!(side = ?self.0.side, ?state, "peer connection");
        let connected = state == ConnectionState::Connected;
        if connected {
            lock(&self.0.controls).iter().for_each(|control| control.request_key_frame());
        }
        // A disturbed path is tried on.
        let usable = connected || state == ConnectionState::Disconnected;
        self.0.connected.store(usable, Relaxed);
        self.0.tell(PeerEvent::State(state));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let shared = self.0.clone();
        tokio::spawn(async move {
            // A label that cannot be read is that of a channel which is closed already.
            let reliable = channel.label().await.is_ok_and(|label| label != LOSSY);
            shared.read_channel(channel, reliable).await;
        });
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        tokio::spawn(self.0.remote_tracks.clone().drain(track, self.0.negotiated.clone()));
    }
}

/// Those that the crate can use: STUN, and TURN over UDP.
fn ice_servers(servers: Vec<IceServer>) -> Vec<RTCIceServer> {
    let usable = |url: &String| {
        let url = url.to_ascii_lowercase();
        let udp = !url.contains("transport=") || url.contains("transport=udp");
        (url.starts_with("stun:") || url.starts_with("turn:")) && udp
    };
    servers
        .into_iter()
        .map(|server| RTCIceServer {
            urls: server.urls.into_iter().filter(usable).collect(),
            username: server.username,
            credential: server.credential,
        })
        .filter(|server| !server.urls.is_empty())
        .collect()
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Internal, format!("peer connection: {error}"))
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Malformed, format!("the server's session description or candidate: {error}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
