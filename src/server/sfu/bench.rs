//! A room without sockets or clock, for benches/ and tests/: what it costs to forward.

use super::SfuConfig;
use super::light::{Event, LightClient, Outgoing};
use super::metrics::SfuMetrics;
use super::peer::PeerSettings;
use super::room::{Admission, ConnectionId, Output, Room, RoomSettings};
use super::udp::{MediaSocket, Outbox, stun_ufrag};
use crate::base::{Result, SessionId, UnixMillis};
use crate::identity::SessionToken;
use livekit_protocol::{AddTrackRequest, SignalTarget, TrackSource, TrackType, signal_request};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use str0m::media::{MediaKind, Mid};

/// One publisher of one video track and its subscribers, all in one room; the network between them has no delay.
pub struct Fanout {
    now: Instant,
    room: Room,
    clients: Vec<LightClient>,
    mid: Mid,
    sequence: u64,
    to_server: Vec<(SocketAddr, Vec<u8>)>,
    /// Datagrams that the server has sent and nobody has taken yet.
    outputs: std::collections::VecDeque<Output>,
    server: SocketAddr,
    received: usize,
}

impl Fanout {
    /// Everybody is connected, and a key frame has arrived everywhere.
    pub fn new(config: SfuConfig, subscribers: usize) -> Result<Self> {
        let crypto = Arc::new(str0m_aws_lc_rs::default_provider());
        let certificate = crypto.dtls_provider.generate_certificate();
        let certificate = certificate.ok_or(crate::base::ErrorCode::Internal)?;
        let server = config.udp_bind;
        let peers = PeerSettings { crypto, certificate, candidates: vec![server] };
        let settings = Arc::new(RoomSettings { config, peers, metrics: Arc::new(SfuMetrics::default()) });
        let name = SessionId::new("bench")?;
        let now = Instant::now();
        let room = Room::new(now, UnixMillis(0), name.clone(), settings);
        let mut this = Self {
            now,
            room,
            clients: Vec::new(),
            mid: "none".into(),
            sequence: 0,
            to_server: Vec::new(),
            outputs: Default::default(),
            server,
            received: 0,
        };
        for index in 0..=subscribers {
            let identity = format!("client-{index}").parse()?;
            let admission = Admission {
                token: SessionToken::for_call(identity, String::new(), &name),
                connection: ConnectionId(index as u64),
                auto_subscribe: true,
                client_protocol: 0,
                track_in_stream_id: false,
            };
            this.room.join(this.now, UnixMillis(0), admission)?;
            let address = |which| SocketAddr::from(([10, 1, index as u8, which], 5000));
            this.clients.push(LightClient::new(this.now, address(1), address(2))?);
            this.exchange()?;
        }
        let request = AddTrackRequest {
            cid: "camera".into(),
            r#type: TrackType::Video as i32,
            source: TrackSource::Camera as i32,
            ..Default::default()
        };
        this.room.signal_received(this.now, ConnectionId(0), signal_request::Message::AddTrack(request));
        if let Some((mid, offer)) = this.clients[0].publish("camera", MediaKind::Video, &[]) {
            this.mid = mid;
            this.room.signal_received(this.now, ConnectionId(0), offer);
        }
        // Until a picture comes through to everybody; 20 s of virtual time are plenty.
        for frame in 0..2000 {
            this.pass(Duration::from_millis(10))?;
            if frame > 100 {
                this.received = 0;
                this.send(&key_frame())?;
                this.exchange()?;
                if this.received == subscribers {
                    break;
                }
            }
        }
        this.pass(Duration::from_secs(2))?;
        Ok(this)
    }

    /// Lets the publisher send a packet that begins no key frame; it waits at the server's door.
    pub fn publish(&mut self, bytes: usize) -> Result<()> {
        let mut payload = vec![0x5a; bytes];
        payload[..4].copy_from_slice(&[0x90, 0x80, self.sequence as u8 & 0x7f, 1]);
        self.send(&payload)
    }

    /// What is measured: the server takes what waits at its door. Where its answers go is up to the next call.
    pub fn forward(&mut self) {
        for (source, datagram) in self.to_server.drain(..) {
            self.room.datagram(self.now, source, self.server, stun_ufrag(&datagram), &datagram);
        }
        self.room.settle(self.now);
        if self.outputs.is_empty() {
            self.room.swap_outputs(&mut self.outputs);
        }
    }

    /// What would go out now, for [`BenchSocket::send`]. Not measured.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        let contents = |output: &Output| match output {
            Output::Transmit { contents, .. } => Some(contents.clone()),
            _ => None,
        };
        self.outputs.iter().filter_map(contents).collect()
    }

    /// Lets the clients take what was sent to them, answer, and time pass. Not measured; the number of packets that
    /// arrived.
    pub fn settle(&mut self, time: Duration) -> Result<usize> {
        self.received = 0;
        self.exchange()?;
        self.pass(time)?;
        Ok(self.received)
    }

    fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.sequence += 1;
        let timestamp = (self.sequence * 3000) as u32;
        let packet = Outgoing { sequence: 1000 + self.sequence, timestamp, marker: true, payload };
        let (now, mid) = (self.now, self.mid);
        self.clients[0].publisher.send(now, mid, None, packet)?;
        self.drain(0)
    }

    fn pass(&mut self, time: Duration) -> Result<()> {
        let end = self.now + time;
        while self.now < end {
            let wakes = self.clients.iter().flat_map(|c| [c.publisher.wake(), c.subscriber.wake()]);
            let next = wakes.min().unwrap_or(end).min(self.room.wake());
            self.now = next.max(self.now + Duration::from_micros(200)).min(end);
            for index in 0..self.clients.len() {
                let client = &mut self.clients[index];
                for peer in [&mut client.publisher, &mut client.subscriber] {
                    if peer.wake() <= self.now {
                        peer.timeout(self.now)?;
                    }
                }
            }
            if self.room.wake() <= self.now {
                self.room.timeout(self.now);
            }
            self.exchange()?;
        }
        Ok(())
    }

    /// Carries everything from where it came out to where it goes in, until nothing more comes out.
    fn exchange(&mut self) -> Result<()> {
        loop {
            for index in 0..self.clients.len() {
                self.drain(index)?;
            }
            let waits = !self.to_server.is_empty();
            self.forward();
            if self.outputs.is_empty() && !waits {
                return Ok(());
            }
            for output in std::mem::take(&mut self.outputs) {
                match output {
                    Output::Transmit { destination, contents, source } => {
                        let SocketAddr::V4(v4) = destination else { continue };
                        let [.., index, which] = v4.ip().octets();
                        let Some(client) = self.clients.get_mut(usize::from(index)) else { continue };
                        let target = if which == 1 { SignalTarget::Publisher } else { SignalTarget::Subscriber };
                        client.peer(target).receive(self.now, source, &contents)?;
                        // str0m holds one received packet at a time.
                        self.drain(usize::from(index))?;
                    }
                    Output::Signal { connection, message } => {
                        let Some(client) = self.clients.get_mut(connection.0 as usize) else { continue };
                        if let Some(answer) = client.signalled(self.now, &message)? {
                            self.room.signal_received(self.now, connection, answer);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn drain(&mut self, index: usize) -> Result<()> {
        let client = &mut self.clients[index];
        for peer in [&mut client.publisher, &mut client.subscriber] {
            let source = peer.address();
            let (to_server, received) = (&mut self.to_server, &mut self.received);
            peer.drain(
                self.now,
                |_, bytes| to_server.push((source, bytes)),
                |event| *received += usize::from(matches!(event, Event::RtpPacket(_))),
            )?;
        }
        Ok(())
    }
}

/// The SFU's socket, and where it sends to.
pub struct BenchSocket {
    outbox: Outbox,
    source: SocketAddr,
    destination: SocketAddr,
}

impl BenchSocket {
    /// Call it within a tokio runtime.
    pub fn new(config: &SfuConfig, destination: SocketAddr) -> Result<Self> {
        let socket = MediaSocket::bind(config, Arc::new(SfuMetrics::default()))?;
        Ok(Self { source: socket.local_addr(), outbox: Outbox::new(Arc::new(socket)), destination })
    }

    /// Measured as well: datagrams go out through a real socket, those of `run` in a row to one subscriber.
    pub fn send(&mut self, datagrams: Vec<Vec<u8>>, run: usize) {
        for (number, datagram) in datagrams.into_iter().enumerate() {
            if number % run == 0 {
                self.outbox.flush();
            }
            self.outbox.push(self.source, self.destination, datagram);
        }
        self.outbox.flush();
    }
}

fn key_frame() -> Vec<u8> {
    let mut payload = vec![0; 900];
    payload[..5].copy_from_slice(&[0x90, 0x80, 1, 0, 1]);
    payload
}
