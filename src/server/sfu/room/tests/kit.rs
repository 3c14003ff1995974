//! A room and its clients in virtual time, without sockets. The clients are str0m's: full ICE agents, as browsers are.

use crate::base::{ParticipantId, ParticipantIdentity, SessionId, UnixMillis};
use crate::identity::{ApiKey, KeyRing, SessionToken};
use crate::server::sfu::metrics::SfuMetrics;
use crate::server::sfu::peer::PeerSettings;
use crate::server::sfu::room::{Admission, ConnectionId, Output, Room, RoomSettings};
use crate::server::sfu::udp::stun_ufrag;
use crate::server::sfu::{RoomEvent, SfuConfig};
use livekit_protocol::{
    AddTrackRequest, SessionDescription, SignalTarget, TrackSource, TrackType, VideoLayer, signal_request,
    signal_response,
};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use str0m::bwe::BweKind;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Rtc};

/// One way through the network.
pub const DELAY: Duration = Duration::from_millis(10);

/// The longest that a limited link queues; what comes then is lost.
const QUEUE: Duration = Duration::from_millis(200);

pub struct Net {
    pub now: Instant,
    pub room: Room,
    pub clients: Vec<Client>,
    pub events: Vec<RoomEvent>,
    metrics: Arc<SfuMetrics>,
    /// Decides which datagrams to the server are lost.
    pub lose: Loss,
    /// Clients that join take RED, as browsers do.
    pub red: bool,
    /// Clients that join receive every track unless they say otherwise.
    pub auto_subscribe: bool,
    /// What the links to clients carry, in bits a second, and until when each is busy.
    limits: HashMap<usize, (u64, Instant)>,
    in_flight: Vec<(Instant, Parcel)>,
}

pub type Loss = Box<dyn FnMut(&[u8]) -> bool>;

enum Parcel {
    ToServer { source: SocketAddr, bytes: Vec<u8> },
    ToClient { destination: SocketAddr, bytes: Vec<u8> },
}

pub struct Client {
    pub connection: ConnectionId,
    pub id: ParticipantId,
    pub signals: Vec<signal_response::Message>,
    pub disconnected: bool,
    /// What it received, in its order.
    pub received: Vec<RtpPacket>,
    /// How often it was asked for a key frame.
    pub asked_for_key_frames: usize,
    /// The layers of which it was asked for a key frame and has sent none yet.
    pub key_frames_due: HashSet<Option<Rid>>,
    /// What it was asked to send at most, newest last, in bits a second.
    pub asked_to_send: Vec<u64>,
    publisher: Peer,
    subscriber: Peer,
    pending: Option<SdpPendingOffer>,
    /// A client that is off does not take part in ICE.
    pub online: bool,
}

struct Peer {
    rtc: Rtc,
    address: SocketAddr,
    wake: Instant,
}

pub fn server_address() -> SocketAddr {
    "192.0.2.1:7882".parse().unwrap()
}

pub fn config() -> SfuConfig {
    let key = ApiKey::new("key", "a secret of the room tests, 32+ bytes").unwrap();
    SfuConfig::new(server_address(), KeyRing::new(key))
}

pub fn token(identity: &str) -> SessionToken {
    SessionToken::for_call(identity.parse().unwrap(), identity.to_uppercase(), &room_name())
}

fn room_name() -> SessionId {
    SessionId::new("room").unwrap()
}

impl Net {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: SfuConfig) -> Self {
        let crypto = Arc::new(str0m_aws_lc_rs::default_provider());
        let certificate = crypto.dtls_provider.generate_certificate().unwrap();
        let peers = PeerSettings { crypto, certificate, candidates: vec![server_address()] };
        let metrics = Arc::new(SfuMetrics::default());
        let settings = Arc::new(RoomSettings { config, peers, metrics: metrics.clone() });
        #[allow(clippy::disallowed_methods, reason = "the one moment from which virtual time is counted")]
        let now = Instant::now();
        Self {
            now,
            room: Room::new(now, UnixMillis(0), room_name(), settings),
            clients: Vec::new(),
            events: Vec::new(),
            metrics,
            lose: Box::new(|_| false),
            red: true,
            auto_subscribe: true,
            limits: HashMap::new(),
            in_flight: Vec::new(),
        }
    }

    /// Somebody joins with LiveKit's defaults. The index of the client.
    pub fn join(&mut self, identity: &str) -> usize {
        self.join_with(token(identity)).unwrap()
    }

    pub fn join_with(&mut self, token: SessionToken) -> crate::base::Result<usize> {
        let index = self.clients.len();
        let connection = ConnectionId(index as u64);
        let auto_subscribe = self.auto_subscribe;
        let admission = Admission { token, connection, auto_subscribe, client_protocol: 0, track_in_stream_id: false };
        let id = self.room.join(self.now, UnixMillis(0), admission)?;
        self.clients.push(Client {
            connection,
            id,
            signals: Vec::new(),
            disconnected: false,
            received: Vec::new(),
            asked_for_key_frames: 0,
            key_frames_due: HashSet::new(),
            asked_to_send: Vec::new(),
            publisher: Peer::new(self.now, index, 1, self.red),
            subscriber: Peer::new(self.now, index, 2, self.red),
            pending: None,
            online: true,
        });
        self.carry();
        Ok(index)
    }

    /// It comes back with a new signalling connection, under the same sid.
    pub fn resume(&mut self, index: usize, identity: &str) -> crate::base::Result<ParticipantId> {
        let client = &mut self.clients[index];
        client.connection = ConnectionId(client.connection.0 + 1000);
        client.disconnected = false;
        let (connection, id) = (client.connection, client.id.clone());
        let identity = ParticipantIdentity::new(identity).unwrap();
        let resumed = self.room.resume(self.now, id.as_str(), &identity, connection);
        self.carry();
        resumed
    }

    pub fn signal(&mut self, index: usize, message: signal_request::Message) {
        self.room.signal_received(self.now, self.clients[index].connection, message);
        self.carry();
    }

    /// A counter or gauge of the server.
    pub fn metric(&self, name: &str) -> u64 {
        self.metrics.samples().into_iter().find(|sample| sample.name == name).unwrap().value
    }

    /// Seen from the server, ICE is up on that connection of a client's, with keys or without.
    pub fn ice_is_up(&mut self, index: usize, target: SignalTarget) -> bool {
        let connection = Some(self.clients[index].connection);
        let found = self.room.participants.values_mut().find(|participant| participant.connection == connection);
        found.is_some_and(|participant| participant.peer(target).is_connected())
    }

    /// From now on the link to a client carries so many bits a second.
    pub fn limit(&mut self, index: usize, bits_per_second: u64) {
        self.limits.insert(index, (bits_per_second, self.now));
    }

    /// Announces a track and offers it. The mid of its section.
    pub fn publish(&mut self, index: usize, source: TrackSource) -> Mid {
        self.publish_layers(index, source, &[])
    }

    /// The same with simulcast.
    pub fn publish_layers(&mut self, index: usize, source: TrackSource, layers: &[VideoLayer]) -> Mid {
        let request = AddTrackRequest { source: source as i32, layers: layers.to_vec(), ..Default::default() };
        self.publish_as(index, request)
    }

    /// The same, announced with whatever else the request says.
    pub fn publish_as(&mut self, index: usize, mut request: AddTrackRequest) -> Mid {
        let kind = match request.source() {
            TrackSource::Microphone => (MediaKind::Audio, TrackType::Audio),
            _ => (MediaKind::Video, TrackType::Video),
        };
        let cid = format!("cid-{index}-{}", request.source().as_str_name());
        (request.cid, request.r#type) = (cid.clone(), kind.1 as i32);
        let layers = request.layers.clone();
        self.signal(index, signal_request::Message::AddTrack(request));
        let client = &mut self.clients[index];
        let mut api = client.publisher.rtc.sdp_api();
        let send = layers.iter().map(|layer| SimulcastLayer::new(&layer.rid)).collect();
        let simulcast = (!layers.is_empty()).then_some(Simulcast { send, recv: Vec::new() });
        let mid = api.add_media(kind.0, Direction::SendOnly, None, Some(cid), simulcast);
        let change = api.apply().unwrap();
        self.offer(index, change);
        mid
    }

    /// Offers a data channel and no media, as LiveKit's clients do when they join.
    pub fn offer_channel(&mut self, index: usize) {
        let mut api = self.clients[index].publisher.rtc.sdp_api();
        api.add_channel("_reliable".into());
        let change = api.apply().unwrap();
        self.offer(index, change);
    }

    fn offer(&mut self, index: usize, (offer, pending): (SdpOffer, SdpPendingOffer)) {
        self.clients[index].pending = Some(pending);
        let offer = SessionDescription { r#type: "offer".into(), sdp: offer.to_sdp_string(), ..Default::default() };
        self.signal(index, signal_request::Message::Offer(offer));
    }

    /// Sends one packet of a published track.
    pub fn send(&mut self, index: usize, mid: Mid, sequence: u64, timestamp: u32, payload: &[u8]) {
        self.send_layer(index, (mid, None), sequence, timestamp, payload);
    }

    /// The same of one simulcast layer.
    pub fn send_layer(
        &mut self,
        index: usize,
        (mid, rid): (Mid, Option<Rid>),
        sequence: u64,
        timestamp: u32,
        payload: &[u8],
    ) {
        let pt = self.clients[index].publisher.rtc.media(mid).unwrap().remote_pts()[0];
        self.send_as(index, (mid, rid), pt, sequence, timestamp, payload);
    }

    /// Sends sound in RED: `payload` is that.
    pub fn send_red(&mut self, index: usize, mid: Mid, sequence: u64, timestamp: u32, payload: &[u8]) {
        let params = self.clients[index].publisher.rtc.codec_config().params();
        let pt = params.iter().find_map(|params| params.red()).expect("RED was agreed on");
        self.send_as(index, (mid, None), pt, sequence, timestamp, payload);
    }

    fn send_as(
        &mut self,
        index: usize,
        (mid, rid): (Mid, Option<Rid>),
        pt: Pt,
        sequence: u64,
        timestamp: u32,
        payload: &[u8],
    ) {
        let now = self.now;
        let peer = &mut self.clients[index].publisher;
        let mut api = peer.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, rid).unwrap();
        stream.write_rtp(RtpWrite::new(pt, sequence.into(), timestamp, now, payload).nackable(true));
        peer.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.carry();
    }

    /// A datagram comes to the server as if from where a client sends.
    pub fn inject(&mut self, index: usize, bytes: &[u8]) {
        let source = self.clients[index].publisher.address;
        self.room.datagram(self.now, source, server_address(), stun_ufrag(bytes), bytes);
        self.room.settle(self.now);
        self.carry();
    }

    /// A client asks for a key frame of everything that it receives.
    pub fn ask_for_key_frames(&mut self, index: usize) {
        let ssrcs: HashSet<_> = self.clients[index].received.iter().map(|packet| packet.header.ssrc).collect();
        let subscriber = &mut self.clients[index].subscriber;
        for ssrc in ssrcs {
            if let Some(stream) = subscriber.rtc.direct_api().stream_rx(&ssrc) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
        subscriber.rtc.handle_input(Input::Timeout(self.now)).unwrap();
        self.carry();
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.carry();
        while self.now < end {
            let parcels = self.in_flight.iter().map(|(at, _)| *at);
            let peers = self.clients.iter().flat_map(|client| [client.publisher.wake, client.subscriber.wake]);
            let next = parcels.chain(peers).min().unwrap_or(end).min(self.room.wake());
            self.now = next.max(self.now + Duration::from_micros(100)).min(end);
            self.deliver();
            self.room.settle(self.now);
            for client in self.clients.iter_mut().filter(|client| client.online) {
                for peer in [&mut client.publisher, &mut client.subscriber] {
                    if peer.wake <= self.now {
                        peer.rtc.handle_input(Input::Timeout(self.now)).unwrap();
                    }
                }
            }
            if self.room.closed().is_none() && self.room.wake() <= self.now {
                self.room.timeout(self.now);
            }
            self.carry();
        }
    }

    /// Runs until `done`, for 10 s at most.
    pub fn run_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..1000 {
            if done(self) {
                return;
            }
            self.run(Duration::from_millis(10));
        }
        panic!("{what} did not happen within 10 s");
    }

    /// What has arrived by now. The room is not settled.
    pub fn deliver(&mut self) {
        let (due, later) = std::mem::take(&mut self.in_flight).into_iter().partition(|(at, _)| *at <= self.now);
        self.in_flight = later;
        let due: Vec<(Instant, Parcel)> = due;
        for (_, parcel) in due {
            match parcel {
                Parcel::ToServer { source, bytes } => {
                    self.room.datagram(self.now, source, server_address(), stun_ufrag(&bytes), &bytes);
                }
                Parcel::ToClient { destination, bytes } => {
                    let Some(index) = client_at(destination).filter(|index| self.clients[*index].online) else {
                        continue;
                    };
                    let client = &mut self.clients[index];
                    for peer in [&mut client.publisher, &mut client.subscriber] {
                        if peer.address == destination {
                            peer.receive(self.now, &bytes);
                        }
                    }
                    // str0m holds one received packet at a time.
                    self.drain_client(index);
                }
            }
        }
    }

    /// Carries everything from where it came out to where it goes in, until nothing more comes out.
    fn carry(&mut self) {
        loop {
            let outputs = self.room.take_outputs();
            let mut moved = !outputs.is_empty();
            for output in outputs {
                self.carry_out(output);
            }
            for index in 0..self.clients.len() {
                moved |= self.drain_client(index);
            }
            if !moved {
                return;
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Transmit { destination, contents, .. } => {
                let mut at = self.now;
                let limit = client_at(destination).and_then(|index| self.limits.get_mut(&index));
                if let Some((rate, free_at)) = limit {
                    if free_at.saturating_duration_since(at) > QUEUE {
                        return;
                    }
                    let bits = (contents.len() + 28) as f64 * 8.0;
                    *free_at = at.max(*free_at) + Duration::from_secs_f64(bits / *rate as f64);
                    at = *free_at;
                }
                self.in_flight.push((at + DELAY, Parcel::ToClient { destination, bytes: contents }));
            }
            Output::Signal { connection, message } => {
                let Some(index) = self.clients.iter().position(|client| client.connection == connection) else {
                    return;
                };
                if let Some(answer) = self.clients[index].signalled(self.now, *message) {
                    self.room.signal_received(self.now, connection, answer);
                }
            }
            Output::Disconnect { connection } => {
                let client = self.clients.iter_mut().find(|client| client.connection == connection);
                client.into_iter().for_each(|client| client.disconnected = true);
            }
            Output::Event(event) => self.events.push(event),
            Output::Bind(_) | Output::Unbind(_) => {}
        }
    }

    fn drain_client(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        client.publisher.drain(self.now, &mut sent, &mut events);
        client.subscriber.drain(self.now, &mut sent, &mut events);
        let moved = !(sent.is_empty() && events.is_empty());
        for event in events {
            match event {
                Event::RtpPacket(packet) => client.received.push(packet),
                Event::KeyframeRequest(request) => {
                    client.asked_for_key_frames += 1;
                    client.key_frames_due.insert(request.rid);
                }
                Event::EgressBitrateEstimate(BweKind::Remb { estimate, .. }) => {
                    client.asked_to_send.push(estimate.as_u64());
                }
                _ => {}
            }
        }
        for (source, bytes) in sent {
            if client.online && !(self.lose)(&bytes) {
                self.in_flight.push((self.now + DELAY, Parcel::ToServer { source, bytes }));
            }
        }
        moved
    }
}

impl Client {
    /// What the server said of `kind`, newest last.
    pub fn heard<T>(&self, kind: impl Fn(&signal_response::Message) -> Option<T>) -> Vec<T> {
        self.signals.iter().filter_map(kind).collect()
    }

    pub fn is_connected(&self) -> bool {
        self.subscriber.rtc.is_connected()
    }

    fn signalled(&mut self, now: Instant, message: signal_response::Message) -> Option<signal_request::Message> {
        let answer = match &message {
            signal_response::Message::Offer(offer) if self.online => {
                let sdp = SdpOffer::from_sdp_string(&offer.sdp).unwrap();
                let answer = self.subscriber.rtc.sdp_api().accept_offer(sdp).unwrap().to_sdp_string();
                let id = offer.id;
                let answer = SessionDescription { r#type: "answer".into(), sdp: answer, id, ..Default::default() };
                Some(signal_request::Message::Answer(answer))
            }
            signal_response::Message::Answer(answer) => {
                let answer = SdpAnswer::from_sdp_string(&answer.sdp).unwrap();
                let pending = self.pending.take().unwrap();
                self.publisher.rtc.sdp_api().accept_answer(pending, answer).unwrap();
                None
            }
            _ => None,
        };
        // An agent begins its checks when time reaches it.
        self.publisher.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.subscriber.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.signals.push(message);
        answer
    }
}

impl Peer {
    fn new(now: Instant, client: usize, which: u8, red: bool) -> Self {
        let address = SocketAddr::from(([10, 0, client as u8, which], 5000));
        let mut rtc = Rtc::builder()
            .set_crypto_provider(Arc::new(str0m_aws_lc_rs::default_provider()))
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, red)
            .enable_vp8(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        Self { rtc, address, wake: now }
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        let contents = bytes.try_into().unwrap();
        let receive = Receive { proto: Protocol::Udp, source: server_address(), destination: self.address, contents };
        self.rtc.handle_input(Input::Receive(now, receive)).unwrap();
    }

    fn drain(&mut self, now: Instant, sent: &mut Vec<(SocketAddr, Vec<u8>)>, events: &mut Vec<Event>) {
        loop {
            match self.rtc.poll_output().unwrap() {
                str0m::Output::Transmit(transmit) => sent.push((self.address, transmit.contents.to_vec())),
                str0m::Output::Event(event) => events.push(event),
                str0m::Output::Timeout(at) if at <= now && self.rtc.is_alive() => {
                    self.rtc.handle_input(Input::Timeout(now)).unwrap();
                }
                str0m::Output::Timeout(at) => {
                    self.wake = at;
                    return;
                }
            }
        }
    }
}

/// The client with that address.
fn client_at(address: SocketAddr) -> Option<usize> {
    match address.ip() {
        IpAddr::V4(ip) => Some(usize::from(ip.octets()[2])),
        IpAddr::V6(_) => None,
    }
}

/// A VP8 packet that is a whole frame.
pub fn vp8(key_frame: bool, picture: u16) -> Vec<u8> {
    let inter = u8::from(!key_frame);
    vec![0x90, 0x80, 0x80 | (picture >> 8) as u8, picture as u8, inter, 1, 2, 3, 4, 5, 6, 7, 8, 9]
}
