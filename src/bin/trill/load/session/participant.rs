//! One participant: a light client on real sockets. It is told by its signalling what to do, and by the pacer when to
//! send.

use super::board::Board;
use super::payload::{self, Stamp};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use str0m::media::{MediaKind, Mid};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use trill::base::{Error, ErrorCode, Result};
use trill::server::sfu::light::{Event, LightClient, LightPeer, Outgoing};

/// Holds what comes while the machine does something else.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// The largest that the kernel gives at once: datagrams that it has joined.
const BUFFER: usize = 64 * 1024;
/// 30 pictures a second on the clock of video.
const PICTURE_TICKS: u32 = 3000;
/// The first sequence number of a stream.
const FIRST_SEQUENCE: u64 = 1000;

pub type SignalRequest = livekit_protocol::signal_request::Message;
pub type SignalResponse = livekit_protocol::signal_response::Message;

/// What a participant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    pub room: usize,
    /// Its number among the publishers of its room, if it is one.
    pub publisher: Option<u16>,
    /// Publishers in its room.
    pub publishers: usize,
    /// Packets of one picture.
    pub burst: u32,
    /// Packets of one publisher that count, at most.
    pub most: u64,
}

pub struct Participant {
    pub role: Role,
    light: Mutex<Light>,
    /// Of the connection to publish on and of that to receive on, where it has one.
    legs: [Option<Leg>; 2],
    changed: Notify,
    board: Arc<Board>,
}

struct Light {
    client: LightClient,
    sending: Sending,
    heard: Heard,
    asleep_until: Instant,
}

#[derive(Default)]
struct Sending {
    mid: Option<Mid>,
    packets: u64,
    counted: u64,
    key_wanted: bool,
    key: bool,
    payload: Vec<u8>,
}

/// What came, of each publisher.
struct Heard {
    any: Vec<bool>,
    /// A bit for each packet that counts.
    counted: Vec<Vec<u64>>,
    most: u64,
}

impl Participant {
    /// `publishes`, `receives`: on which connections. Errors: `internal`, without a socket.
    pub fn new(role: Role, local: IpAddr, (publishes, receives): (bool, bool), board: Arc<Board>) -> Result<Self> {
        let now = Instant::now();
        let leg = |wanted: bool| wanted.then(|| Leg::bind(local)).transpose();
        let legs = [leg(publishes)?, leg(receives)?];
        // A connection that is never negotiated needs no address of its own.
        let address = |leg: &Option<Leg>| leg.as_ref().map_or(SocketAddr::new(local, 9), |leg| leg.address);
        let client = LightClient::new(now, address(&legs[0]), address(&legs[1]))?;
        let heard =
            Heard { any: vec![false; role.publishers], counted: vec![Vec::new(); role.publishers], most: role.most };
        let light = Light { client, sending: Sending::default(), heard, asleep_until: now };
        Ok(Self { role, light: Mutex::new(light), legs, changed: Notify::new(), board })
    }

    /// The offer for the one video track.
    pub fn publish(&self, cid: &str) -> Result<SignalRequest> {
        let offer = self.act(|light, _| {
            let (mid, offer) = light.client.publish(cid, MediaKind::Video, &[]).ok_or(ErrorCode::Internal)?;
            light.sending.mid = Some(mid);
            Ok(offer)
        })?;
        Ok(offer)
    }

    /// Takes what the server says, and gives the answer if it was an offer.
    pub fn signalled(&self, message: &SignalResponse) -> Result<Option<SignalRequest>> {
        self.act(|light, now| light.client.signalled(now, message))
    }

    /// It can send what it has to send.
    pub fn can_send(&self) -> bool {
        self.lock().client.publisher.is_connected()
    }

    /// Something of every publisher has come.
    pub fn hears_all(&self) -> bool {
        self.lock().heard.any.iter().all(|any| *any)
    }

    /// Sends one packet of `bytes`, stamped with the present time.
    pub fn send(&self, bytes: usize, measured: bool) -> Result<()> {
        let publisher = self.role.publisher.unwrap_or_default();
        let burst = u64::from(self.role.burst);
        self.act(|light, now| {
            let Light { client, sending, .. } = light;
            let Some(mid) = sending.mid else { return Ok(()) };
            let (picture, place) = (sending.packets / burst, sending.packets % burst);
            if place == 0 {
                sending.key = std::mem::take(&mut sending.key_wanted) || picture == 0;
            }
            sending.payload.resize(bytes, 0);
            let stamp = Stamp { publisher, measured, number: sending.counted, sent: since_epoch() };
            payload::write(&mut sending.payload, picture as u16, place == 0, sending.key, &stamp);
            let packet = Outgoing {
                sequence: FIRST_SEQUENCE + sending.packets,
                timestamp: (picture as u32).wrapping_mul(PICTURE_TICKS),
                marker: place + 1 == burst,
                payload: &sending.payload,
            };
            sending.packets += 1;
            if measured {
                sending.counted += 1;
                self.board.published.fetch_add(1, Relaxed);
            }
            client.publisher.send(now, mid, None, packet)
        })
    }

    /// Receives and keeps time, until the connection fails.
    pub async fn run(&self) -> Error {
        let mut buffers = [vec![0; BUFFER], vec![0; BUFFER]];
        let [publish_buffer, receive_buffer] = &mut buffers;
        loop {
            let wake = self.next_wake();
            let done = tokio::select! {
                received = receive(self.legs[0].as_ref(), publish_buffer) => self.received(0, received, publish_buffer),
                received = receive(self.legs[1].as_ref(), receive_buffer) => self.received(1, received, receive_buffer),
                () = tokio::time::sleep_until(wake.into()) => self.act(|light, now| light.timeout(now)),
                () = self.changed.notified() => Ok(()),
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    fn next_wake(&self) -> Instant {
        let mut light = self.lock();
        light.asleep_until = light.wake(&self.legs);
        light.asleep_until
    }

    fn received(&self, leg: usize, received: io::Result<RecvMeta>, buffer: &[u8]) -> Result<()> {
        // An ICMP error of an earlier send: the connection's own timers judge that.
        let Ok(meta) = received else { return Ok(()) };
        let at = meta.timestamp.unwrap_or_else(since_epoch);
        self.act(|light, now| {
            for datagram in buffer.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
                light.peer(leg).receive(now, meta.addr, datagram)?;
                // str0m holds one received packet at a time.
                light.drain(now, at, &self.legs, &self.board)?;
            }
            Ok(())
        })
    }

    fn act<T>(&self, step: impl FnOnce(&mut Light, Instant) -> Result<T>) -> Result<T> {
        let mut light = self.lock();
        let now = Instant::now();
        let done = step(&mut light, now)?;
        light.drain(now, since_epoch(), &self.legs, &self.board)?;
        if light.wake(&self.legs) < light.asleep_until {
            self.changed.notify_one();
        }
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Light> {
        self.light.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Light {
    fn peer(&mut self, leg: usize) -> &mut LightPeer {
        if leg == 0 { &mut self.client.publisher } else { &mut self.client.subscriber }
    }

    /// Of the connections that are used.
    fn wake(&self, legs: &[Option<Leg>; 2]) -> Instant {
        match legs {
            [Some(_), None] => self.client.publisher.wake(),
            [None, Some(_)] => self.client.subscriber.wake(),
            _ => self.client.publisher.wake().min(self.client.subscriber.wake()),
        }
    }

    fn timeout(&mut self, now: Instant) -> Result<()> {
        for leg in 0..2 {
            if self.peer(leg).wake() <= now {
                self.peer(leg).timeout(now)?;
            }
        }
        Ok(())
    }

    fn drain(&mut self, now: Instant, at: Duration, legs: &[Option<Leg>; 2], board: &Board) -> Result<()> {
        let Self { client, sending, heard, .. } = self;
        for (peer, leg) in [&mut client.publisher, &mut client.subscriber].into_iter().zip(legs) {
            let send = |to, bytes: Vec<u8>| leg.iter().for_each(|leg| leg.send(to, &bytes));
            peer.drain(now, send, |event| match event {
                Event::RtpPacket(packet) => heard.note(&packet.payload, at, board),
                Event::KeyframeRequest(_) => sending.key_wanted = true,
                _ => {}
            })?;
            if !peer.rtc().is_alive() {
                return Err(Error::new(ErrorCode::ConnectionLost, "a media connection was closed"));
            }
        }
        Ok(())
    }
}

impl Heard {
    fn note(&mut self, payload: &[u8], at: Duration, board: &Board) {
        let Some(stamp) = Stamp::read(payload) else { return };
        let publisher = usize::from(stamp.publisher);
        let (Some(any), Some(counted)) = (self.any.get_mut(publisher), self.counted.get_mut(publisher)) else { return };
        *any = true;
        if !stamp.measured || stamp.number >= self.most {
            return;
        }
        let (word, bit) = ((stamp.number / 64) as usize, 1u64 << (stamp.number % 64));
        if counted.len() <= word {
            counted.resize(word + 1, 0);
        }
        let word = &mut counted[word];
        if *word & bit != 0 {
            board.repeated.fetch_add(1, Relaxed);
            return;
        }
        *word |= bit;
        board.received.fetch_add(1, Relaxed);
        board.delays.add(at.saturating_sub(stamp.sent));
    }
}

/// A connection's socket.
struct Leg {
    socket: UdpSocket,
    state: UdpSocketState,
    address: SocketAddr,
}

impl Leg {
    fn bind(local: IpAddr) -> Result<Self> {
        let fail = |e: io::Error| Error::new(ErrorCode::Internal, format!("no UDP socket on {local}: {e}"));
        let socket = std::net::UdpSocket::bind((local, 0)).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let state = UdpSocketState::new((&socket).into()).map_err(fail)?;
        state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER).map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        Ok(Self { socket: UdpSocket::from_std(socket).map_err(fail)?, state, address })
    }

    /// What the kernel does not take is lost, as on any full link.
    fn send(&self, destination: SocketAddr, contents: &[u8]) {
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        if let Err(error) = self.state.try_send((&self.socket).into(), &transmit) {
            tracing::debug!(%destination, %error, "a datagram was not sent");
        }
    }
}

/// The next datagrams of a leg; never anything of none.
async fn receive(leg: Option<&Leg>, buffer: &mut [u8]) -> io::Result<RecvMeta> {
    let Some(leg) = leg else { return std::future::pending().await };
    let mut metas = [RecvMeta::default()];
    let read = || leg.state.recv((&leg.socket).into(), &mut [IoSliceMut::new(buffer)], &mut metas);
    leg.socket.async_io(Interest::READABLE, read).await?;
    let [meta] = metas;
    Ok(meta)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
