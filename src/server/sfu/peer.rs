//! One WebRTC connection of a participant: an str0m `Rtc`, fed and drained by its contract.
//!
//! Every change to the `Rtc` is followed by [`Peer::drive`], which drains it: of packets that were written, and nothing else, until
//! they are out. That rests on str0m 0.25, which is pinned, giving its events and feedback before packets. A participant has two peers: it offers on
//! the publisher, we offer on the subscriber, one offer at a time.

use super::room::{Output, RouteKey};
use crate::base::{Error, ErrorCode, Result};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use str0m::bwe::Bitrate;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{DatagramRecv, Protocol, Receive};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Candidate, Event, IceConnectionState, Input, Rtc};

/// How often str0m reports loss and round-trip time.
const STATS_INTERVAL: Duration = Duration::from_millis(250);

/// As often as those of video: until both have come, a receiver cannot bring them together.
const AUDIO_REPORTS: Duration = Duration::from_secs(1);

/// Packets kept for retransmission on each video stream, and for how long: a packet may be asked for three times where a
/// round trip takes 250 ms. Each takes half a kilobyte beside its payload, for each subscriber.
const RETRANSMIT_PACKETS: usize = 1024;
const RETRANSMIT_AGE: Duration = Duration::from_millis(800);

/// The share of what is sent that retransmissions may take: room for heavy loss, and a bound for a peer that asks
/// for everything again and again.
const RETRANSMIT_SHARE: f32 = 0.4;

/// What a subscriber's connection is taken to carry until that is known. Probes find more within a second.
const INITIAL_ESTIMATE: Bitrate = Bitrate::mbps(1);

/// Remote candidates taken of one client. ICE-lite needs none of them; they only speed up demultiplexing.
const MAX_REMOTE_CANDIDATES: usize = 32;

/// Source addresses that lead to one connection at one time: candidate pairs of a client with many networks. A client
/// that roams further loses the oldest.
const MAX_SOURCES: usize = 16;

/// User name fragments that lead to one connection: the present one, and those of ICE restarts just before it.
const MAX_UFRAGS: usize = 4;

/// Reliable messages that wait for a slow receiver, in bytes. Over it, it has fallen behind for good.
const MAX_BACKLOG: usize = 2 * 1024 * 1024;

/// Draining more than this in one go means that str0m and we disagree about time.
const MAX_DRAIN: usize = 20_000;

/// Timers that are due so soon are due now.
const PACER_STEP: Duration = Duration::from_micros(10);

/// After each packet, str0m's pacer waits for time to move by this much before it gives the next.
const NEXT_PACKET: Duration = Duration::from_micros(1);

/// How often a connection that is down gets its time to come up anew, as signalling has come back: one that was never up, and one that
/// was. Without a limit, who comes back again and again and never connects would hold its place for ever.
const MAX_EXPECTED_AGAIN: [u8; 2] = [3, 20];

/// After so many timers in a row that led to nothing, and were due again at once, time has to pass.
const MAX_IDLE: usize = 4;
const IDLE_WAIT: Duration = Duration::from_millis(1);

/// What all peers of a server share.
pub(super) struct PeerSettings {
    pub crypto: Arc<CryptoProvider>,
    pub certificate: DtlsCert,
    /// What clients are told to send to.
    pub candidates: Vec<SocketAddr>,
}

/// Which of the two LiveKit data channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Reliable,
    Lossy,
}

/// A change to the media that a subscriber gets.
#[derive(Debug)]
pub(super) struct Changes {
    /// Kind, stream id and track id of each new section.
    pub add: Vec<(MediaKind, String, String)>,
    pub stop: Vec<Mid>,
    pub restart_ice: bool,
    pub open_channels: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.stop.is_empty() && !self.restart_ice && !self.open_channels
    }
}

pub(super) struct Peer {
    rtc: Rtc,
    wake: Instant,
    pending: Option<SdpPendingOffer>,
    reliable: Option<ChannelId>,
    lossy: Option<ChannelId>,
    backlog: VecDeque<Vec<u8>>,
    backlog_bytes: usize,
    /// Oldest first.
    ufrags: VecDeque<RouteKey>,
    sources: VecDeque<RouteKey>,
    remote_candidates: usize,
    ice_connected: bool,
    connected_once: bool,
    /// str0m takes no step at a time before its last one, and datagrams are stamped before they are queued.
    latest: Instant,
    /// How often time is still to be moved for a datagram that came in while ICE was not connected.
    unsettled: u8,
    /// Since when it should be connected and is not.
    down_since: Option<Instant>,
    /// How often its time was given anew since it was up last.
    expected_again: u8,
    /// What the estimator was told last.
    wanted_bitrate: (u64, u64),
    /// It is in the room's list of connections to drain.
    queued: bool,
    /// RTP was written and waits for time to move.
    written: bool,
    /// Of each packet that was written and has not come out yet, its stream.
    owed: Vec<Ssrc>,
    /// Something else than written packets is to be drained.
    whole: bool,
    /// When the room will look at [`Peer::wake`]: no later than that.
    pub booked: Option<Instant>,
}

impl Peer {
    /// One that a participant publishes on.
    pub fn publisher(now: Instant, settings: &PeerSettings) -> Self {
        Self::new(now, settings, None)
    }

    /// One that a participant receives on: what it carries is estimated.
    pub fn subscriber(now: Instant, settings: &PeerSettings) -> Self {
        Self::new(now, settings, Some(INITIAL_ESTIMATE))
    }

    fn new(now: Instant, settings: &PeerSettings, estimate: Option<Bitrate>) -> Self {
        let mut rtc = Rtc::builder()
            .enable_bwe(estimate)
            .set_crypto_provider(settings.crypto.clone())
            .set_dtls_cert(settings.certificate.clone())
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, true)
            .enable_vp8(true)
            .set_send_buffer_video(RETRANSMIT_PACKETS)
            .set_stats_interval(Some(STATS_INTERVAL))
            .set_rtcp_report_interval_audio(AUDIO_REPORTS)
            .build(now);
        for address in &settings.candidates {
            match Candidate::host(*address, "udp") {
                Ok(candidate) => drop(rtc.add_local_candidate(candidate)),
                Err(error) => tracing::warn!(%address, %error, "an address is of no use as an ICE candidate"),
            }
        }
        Self {
            rtc,
            wake: now,
            pending: None,
            reliable: None,
            lossy: None,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            ufrags: VecDeque::new(),
            sources: VecDeque::new(),
            remote_candidates: 0,
            ice_connected: false,
            connected_once: false,
            latest: now,
            unsettled: 0,
            down_since: None,
            expected_again: 0,
            wanted_bitrate: (0, 0),
            queued: false,
            written: false,
            owed: Vec::new(),
            whole: true,
            booked: None,
        }
    }

    /// Tells the estimator what more would be good for, in bits a second: the next layer up, and all that is wanted. It
    /// probes for that. Small changes are not worth a probe.
    pub fn want_bitrate(&mut self, next: u64, desired: u64) {
        let differs = |new: u64, old: u64| new.abs_diff(old) > old / 10;
        if differs(next, self.wanted_bitrate.0) || differs(desired, self.wanted_bitrate.1) {
            self.wanted_bitrate = (next, desired);
            // A probe may begin.
            self.whole = true;
            self.rtc.bwe().set_bitrate(Bitrate::bps(next), Bitrate::bps(desired));
        }
    }

    /// Notes that it is to be drained. False when that was noted already.
    pub fn queue(&mut self) -> bool {
        self.whole = true;
        self.queue_written()
    }

    /// The same, when nothing but [`Peer::write`] has changed it.
    pub fn queue_written(&mut self) -> bool {
        !std::mem::replace(&mut self.queued, true)
    }

    /// It is about to be drained. False when it was not to be.
    pub fn unqueue(&mut self) -> bool {
        std::mem::replace(&mut self.queued, false)
    }

    /// Puts a packet on a stream. Follow with [`Peer::drive`]; several packets may be driven at once.
    pub fn write(&mut self, ssrc: Ssrc, packet: RtpWrite) -> bool {
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&ssrc) else { return false };
        stream.write_rtp(packet);
        self.written = true;
        self.owed.push(ssrc);
        true
    }

    /// From now on it should come up: the other side has, or is about to get, what it needs for that.
    pub fn expect(&mut self, now: Instant) {
        if !self.is_connected() {
            self.down_since.get_or_insert(now);
        }
    }

    /// It has time again to come up, a few times: signalling has come back.
    pub fn expect_again(&mut self, now: Instant) {
        let most = MAX_EXPECTED_AGAIN[usize::from(self.connected_once)];
        if self.down_since.is_some() && self.expected_again < most {
            self.expected_again += 1;
            self.down_since = Some(now);
        }
    }

    /// It has been down for longer than that.
    pub fn is_overdue(&self, now: Instant, timeout: Duration) -> bool {
        self.down_since.is_some_and(|since| now.saturating_duration_since(since) >= timeout)
    }

    /// When [`Peer::timeout`] is due.
    pub fn wake(&self) -> Instant {
        self.wake
    }

    /// ICE is up now.
    pub fn is_connected(&self) -> bool {
        self.ice_connected && self.rtc.is_alive()
    }

    /// What is written now goes out. Before the handshake is through, which may take seconds on a bad network, str0m would keep all of it
    /// and send it at once then.
    pub fn takes_media(&self) -> bool {
        self.is_connected() && self.connected_once
    }

    /// Media has been able to flow at some time.
    pub fn was_connected(&self) -> bool {
        self.connected_once
    }

    /// False once the other side has closed it or it has failed.
    pub fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// The raw connection, for media. Follow with [`Peer::drive`].
    pub fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    /// Makes the server send this connection's datagrams here.
    fn bind(&mut self, key: RouteKey, outputs: &mut VecDeque<Output>) {
        let (bound, most) = match key {
            RouteKey::Ufrag(_) => (&mut self.ufrags, MAX_UFRAGS),
            RouteKey::Source(_) => (&mut self.sources, MAX_SOURCES),
        };
        if !bound.contains(&key) {
            if bound.len() >= most {
                outputs.extend(bound.pop_front().map(Output::Unbind));
            }
            bound.push_back(key.clone());
        }
        outputs.push_back(Output::Bind(key));
    }

    /// Binds the present user name fragment. It changes with each ICE restart.
    pub fn bind_credentials(&mut self, outputs: &mut VecDeque<Output>) {
        let ufrag = self.rtc.direct_api().local_ice_credentials().ufrag;
        self.bind(RouteKey::Ufrag(ufrag), outputs);
    }

    /// The keys that lead to this peer, for its end.
    pub fn routes(&self) -> impl Iterator<Item = &RouteKey> {
        self.ufrags.iter().chain(&self.sources)
    }

    /// A datagram that came in for this connection. Not taken when it does not belong to it after all. `by_name`: it is
    /// a STUN request that named us. Its password is checked here, and from then on its source leads here, also when
    /// another connection had that address before.
    pub fn receive(
        &mut self,
        now: Instant,
        (source, destination): (SocketAddr, SocketAddr),
        by_name: bool,
        datagram: &[u8],
        outputs: &mut VecDeque<Output>,
    ) -> Result<bool> {
        let Ok(contents) = DatagramRecv::try_from(datagram) else { return Ok(false) };
        self.latest = self.latest.max(now);
        let input = Input::Receive(self.latest, Receive { proto: Protocol::Udp, source, destination, contents });
        if !self.rtc.accepts(&input) {
            return Ok(false);
        }
        if by_name {
            self.bind(RouteKey::Source(source), outputs);
        }
        self.rtc.handle_input(input).map_err(failed)?;
        if !self.ice_connected {
            self.unsettled = 2;
        }
        Ok(true)
    }

    pub fn timeout(&mut self, now: Instant) -> Result<()> {
        self.latest = self.latest.max(now);
        self.rtc.handle_input(Input::Timeout(self.latest)).map_err(failed)
    }

    /// Drains what the last change led to: datagrams into `outputs`, the rest into `events`.
    ///
    /// To go through all of an `Rtc` costs as much as a packet. So after packets that were written, and nothing else, it
    /// ends when they are out: timers stay as they were, and what the pacer wants to look at once more can wait for them.
    pub fn drive(&mut self, now: Instant, outputs: &mut VecDeque<Output>, events: &mut Vec<Event>) -> Result<()> {
        self.whole |= self.wake <= now;
        // What was written is sent when time moves, even if by nothing.
        if std::mem::replace(&mut self.written, false) && self.rtc.is_alive() {
            self.timeout(now)?;
        }
        let mut idle = 0;
        for _ in 0..MAX_DRAIN {
            match self.rtc.poll_output().map_err(failed)? {
                str0m::Output::Transmit(transmit) => {
                    idle = 0;
                    let contents: Vec<u8> = transmit.contents.into();
                    let was_owed = self.settle_debt(&contents);
                    let (source, destination) = (transmit.source, transmit.destination);
                    outputs.push_back(Output::Transmit { source, destination, contents });
                    if was_owed && !self.owed.is_empty() {
                        self.timeout(self.latest.max(now) + NEXT_PACKET)?;
                    } else if was_owed && !self.whole {
                        return Ok(());
                    }
                }
                str0m::Output::Event(event) => {
                    idle = 0;
                    self.notice(now, &event);
                    events.push(event);
                }
                // Its pacer gives one packet at a time, and the next one a microsecond later.
                str0m::Output::Timeout(at)
                    if at <= self.latest.max(now) + PACER_STEP && idle < MAX_IDLE && self.rtc.is_alive() =>
                {
                    idle += 1;
                    self.timeout(at.max(now))?;
                }
                // As ICE-lite, str0m takes a queued STUN request when time moves, and looks at the state that it led
                // to when time moves again. Left to its own timers, a nomination can take a second to be seen.
                str0m::Output::Timeout(_) if self.unsettled > 0 && self.rtc.is_alive() => {
                    self.unsettled -= 1;
                    self.timeout(now)?;
                }
                str0m::Output::Timeout(at) => {
                    // A timer that is due and leads to nothing, such as a probe without padding to send, has to wait.
                    self.wake = if idle < MAX_IDLE { at } else { at.max(now + IDLE_WAIT) };
                    self.owed.clear();
                    self.whole = false;
                    return Ok(());
                }
            }
        }
        Err(Error::new(ErrorCode::Internal, "a media connection does not come to rest"))
    }

    /// That datagram is one of the packets that were written: no retransmission, padding or feedback.
    fn settle_debt(&mut self, datagram: &[u8]) -> bool {
        // RTP is told from RTCP by its second byte (RFC 5761, section 4).
        let [0x80..=0xbf, kind, _, _, _, _, _, _, a, b, c, d, ..] = *datagram else { return false };
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        let found = self.owed.iter().position(|owed| **owed == ssrc).filter(|_| !(192..=223).contains(&kind));
        found.map(|index| self.owed.swap_remove(index)).is_some()
    }

    fn notice(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Connected => {
                self.connected_once = true;
                if self.ice_connected {
                    self.came_up();
                }
            }
            Event::IceConnectionStateChange(state) => {
                self.ice_connected = matches!(state, IceConnectionState::Connected | IceConnectionState::Completed);
                // The first time it is not up before there are keys: who answers pings alone does not hold its place for ever.
                // And a connection that never was is missed only when it is expected: nobody may mean to use it.
                match (self.ice_connected, self.connected_once) {
                    (true, true) => self.came_up(),
                    (false, true) => {
                        self.down_since.get_or_insert(now);
                    }
                    (_, false) => {}
                }
            }
            Event::ChannelOpen(id, label) => match label.as_str() {
                "_reliable" => self.reliable = Some(*id),
                "_lossy" => self.lossy = Some(*id),
                _ => {}
            },
            Event::ChannelClose(id) => {
                self.reliable = self.reliable.filter(|open| open != id);
                self.lossy = self.lossy.filter(|open| open != id);
            }
            Event::ChannelBufferedAmountLow(_) => self.flush_backlog(),
            _ => {}
        }
    }

    fn came_up(&mut self) {
        (self.down_since, self.expected_again) = (None, 0);
    }

    /// Which data channel that is.
    pub fn channel(&self, id: ChannelId) -> Option<Channel> {
        match Some(id) {
            id if id == self.reliable => Some(Channel::Reliable),
            id if id == self.lossy => Some(Channel::Lossy),
            _ => None,
        }
    }

    /// Takes the other side's offer and gives the answer.
    pub fn answer(&mut self, offer: &str, outputs: &mut VecDeque<Output>) -> Result<String> {
        let offer = SdpOffer::from_sdp_string(offer).map_err(|e| malformed_sdp("offer", e))?;
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(|e| malformed_sdp("offer", e))?;
        self.bind_credentials(outputs);
        Ok(answer.to_sdp_string())
    }

    /// True while an offer of ours waits for its answer.
    pub fn is_negotiating(&self) -> bool {
        self.pending.is_some()
    }

    /// Offers `changes`: the SDP, and the mid of each added section in its order. Nothing when nothing changes.
    pub fn offer(&mut self, changes: &Changes, outputs: &mut VecDeque<Output>) -> Option<(String, Vec<Mid>)> {
        let mut api = self.rtc.sdp_api();
        if changes.open_channels {
            let channel = |label: &str, ordered, reliability| ChannelConfig {
                label: label.into(),
                ordered,
                reliability,
                ..Default::default()
            };
            let lossy = Reliability::MaxRetransmits { retransmits: 0 };
            api.add_channel_with_config(channel("_reliable", true, Reliability::Reliable));
            api.add_channel_with_config(channel("_lossy", false, lossy));
        }
        for mid in &changes.stop {
            api.stop_media(*mid);
        }
        let mids = changes.add.iter().map(|(kind, stream, track)| {
            api.add_media(*kind, Direction::SendOnly, Some(stream.clone()), Some(track.clone()), None)
        });
        let mids = mids.collect();
        let restarted = changes.restart_ice.then(|| api.ice_restart(true));
        let (offer, pending) = api.apply()?;
        self.pending = Some(pending);
        if let Some(credentials) = restarted {
            self.bind(RouteKey::Ufrag(credentials.ufrag), outputs);
        }
        Some((offer.to_sdp_string(), mids))
    }

    /// Takes the answer to the outstanding offer. False when there is none: an answer that came twice.
    pub fn accept(&mut self, answer: &str) -> Result<bool> {
        let Some(pending) = self.pending.take() else { return Ok(false) };
        let answer = SdpAnswer::from_sdp_string(answer).map_err(|e| malformed_sdp("answer", e))?;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(|e| malformed_sdp("answer", e))?;
        Ok(true)
    }

    /// Gives up the outstanding offer: its answer was lost with the signalling connection.
    pub fn forget_offer(&mut self) {
        self.pending = None;
    }

    /// A trickled candidate, as in `RTCIceCandidateInit.candidate`. Ones that mean nothing here (mDNS names) are passed over.
    pub fn add_candidate(&mut self, candidate: &str) {
        if self.remote_candidates >= MAX_REMOTE_CANDIDATES {
            return;
        }
        if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
            self.remote_candidates += 1;
            self.rtc.add_remote_candidate(candidate);
        }
    }

    pub fn is_audio(&self, mid: Mid) -> bool {
        self.rtc.media(mid).is_some_and(|media| media.kind() == MediaKind::Audio)
    }

    /// The payload type that was agreed for a codec on that section.
    pub fn payload_type(&self, mid: Mid, codec: Codec) -> Option<Pt> {
        let agreed = self.rtc.media(mid)?.remote_pts();
        let params = self.rtc.codec_config().params().iter();
        params.filter(|p| p.spec().codec == codec).map(|p| p.pt()).find(|pt| agreed.contains(pt))
    }

    /// The payload type of RED around Opus, when that was agreed on.
    pub fn red_payload_type(&self) -> Option<Pt> {
        self.rtc.codec_config().params().iter().find(|p| p.spec().codec == Codec::Opus)?.red()
    }

    /// Readies the stream that carries what is sent in that section.
    pub fn outgoing(&mut self, mid: Mid) -> Option<Ssrc> {
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None)?;
        // The publisher has paced it already.
        stream.set_unpaced(true);
        stream.set_rtx_cache(RETRANSMIT_PACKETS, RETRANSMIT_AGE, Some(RETRANSMIT_SHARE));
        Some(stream.ssrc())
    }

    /// True when data can be sent here.
    pub fn has_channel(&self, channel: Channel) -> bool {
        self.channel_id(channel).is_some()
    }

    /// Sends a message. False when it was dropped, as the receiver is too slow or the channel is not open.
    pub fn send(&mut self, channel: Channel, message: &[u8]) -> bool {
        let Some(id) = self.channel_id(channel) else { return false };
        let behind = channel == Channel::Reliable && !self.backlog.is_empty();
        if !behind {
            let Some(mut open) = self.rtc.channel(id) else { return false };
            if open.write(true, message).unwrap_or(false) {
                return true;
            }
            open.set_buffered_amount_low_threshold(MAX_BACKLOG / 64);
        }
        if channel == Channel::Lossy || self.backlog_bytes + message.len() > MAX_BACKLOG {
            return false;
        }
        self.backlog_bytes += message.len();
        self.backlog.push_back(message.to_vec());
        true
    }

    fn flush_backlog(&mut self) {
        let Some(mut open) = self.reliable.and_then(|id| self.rtc.channel(id)) else { return };
        while let Some(message) = self.backlog.front() {
            if !open.write(true, message).unwrap_or(false) {
                return;
            }
            self.backlog_bytes -= message.len();
            self.backlog.pop_front();
        }
    }

    fn channel_id(&self, channel: Channel) -> Option<ChannelId> {
        match channel {
            Channel::Reliable => self.reliable,
            Channel::Lossy => self.lossy,
        }
    }
}

fn failed(error: str0m::RtcError) -> Error {
    Error::new(ErrorCode::ConnectionLost, format!("the media connection failed: {error}"))
}

fn malformed_sdp(what: &str, error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Malformed, format!("the SDP {what} cannot be used: {error}"))
}
