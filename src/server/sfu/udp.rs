//! The one UDP socket of the SFU: receives in batches, finds each datagram's room, sends.
//!
//! A STUN request names its connection by the user name fragment; everything else comes from an address from which STUN
//! with the right password came before. Nothing is parsed further here, so nothing here can be confused.

use super::config::SfuConfig;
use super::metrics::{SfuMetrics, count};
use super::room::RouteKey;
use crate::base::{Error, ErrorCode, Result};
use bytes::{Bytes, BytesMut};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::sync::mpsc;

/// Enough for a burst of key frames of a large room. The kernel may give less; then a warning tells what to set.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// The largest a datagram, or a run of them that the kernel has joined, can be.
const BUFFER: usize = 64 * 1024;

/// The most that is given to the kernel as one: what fits in an IP packet, less its headers.
const MAX_RUN: usize = 65_000;

/// Datagrams taken from the kernel at once.
const BATCH: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };

/// After so many failures to receive in a row, which an ICMP error here and there does not make, each is followed by a pause: a socket
/// that is broken for good would take a processor for itself.
const FAILURES: u32 = 16;
const PAUSE: Duration = Duration::from_millis(100);

/// A datagram on its way to its room.
pub(super) struct Datagram {
    pub at: Instant,
    pub source: SocketAddr,
    /// The candidate at which it came in.
    pub destination: SocketAddr,
    /// Of a STUN request.
    pub ufrag: Option<String>,
    pub bytes: Bytes,
}

/// Where datagrams go. Rooms keep it up to date.
#[derive(Default)]
pub(super) struct Routes {
    map: Mutex<HashMap<RouteKey, mpsc::Sender<Datagram>>>,
}

impl Routes {
    pub fn bind(&self, key: RouteKey, room: mpsc::Sender<Datagram>) {
        self.lock().insert(key, room);
    }

    /// Takes a route away, unless another room has it by now.
    pub fn unbind(&self, key: &RouteKey, room: &mpsc::Sender<Datagram>) {
        let mut map = self.lock();
        if map.get(key).is_some_and(|owner| owner.same_channel(room)) {
            map.remove(key);
        }
    }

    fn find(&self, source: SocketAddr, ufrag: Option<&str>) -> Option<mpsc::Sender<Datagram>> {
        let map = self.lock();
        let by_ufrag = ufrag.and_then(|ufrag| map.get(&RouteKey::Ufrag(ufrag.into())));
        by_ufrag.or_else(|| map.get(&RouteKey::Source(source))).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RouteKey, mpsc::Sender<Datagram>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket as the runtime knows it. Where that is possible it waits for input only: told of room for output as well, a
/// thread would wake for every packet that has left.
#[cfg(unix)]
type Polled = tokio::io::unix::AsyncFd<std::net::UdpSocket>;
#[cfg(not(unix))]
type Polled = tokio::net::UdpSocket;

#[cfg(unix)]
#[allow(
    deprecated,
    reason = "its successor is for owners that may close their descriptor, as a socket of std does not"
)]
fn polled(socket: std::net::UdpSocket) -> io::Result<Polled> {
    Polled::with_interest(socket, Interest::READABLE)
}

#[cfg(not(unix))]
fn polled(socket: std::net::UdpSocket) -> io::Result<Polled> {
    Polled::from_std(socket)
}

/// The socket and the addresses it is known by.
pub(super) struct MediaSocket {
    socket: Polled,
    state: UdpSocketState,
    local: SocketAddr,
    candidates: Vec<SocketAddr>,
    /// The interfaces' own addresses: replies leave from the one that was spoken to.
    interfaces: Vec<IpAddr>,
    metrics: Arc<SfuMetrics>,
}

impl MediaSocket {
    /// Binds. Fails with `port_in_use`, or `configuration` when the address is not this machine's or none is usable.
    pub fn bind(config: &SfuConfig, metrics: Arc<SfuMetrics>) -> Result<Self> {
        let bind = config.udp_bind;
        let fail = |e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => Error::new(
                ErrorCode::PortInUse,
                format!("UDP {bind} for media is in use; choose another port or end that program"),
            ),
            _ => Error::new(ErrorCode::Configuration, format!("UDP {bind} for media cannot be bound: {e}")),
        };
        let socket = std::net::UdpSocket::bind(bind).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        let state = UdpSocketState::new((&socket).into()).map_err(fail)?;
        enlarge_buffers(&socket, &state);
        let local = socket.local_addr().map_err(fail)?;
        let socket = polled(socket).map_err(fail)?;
        let interfaces: Vec<IpAddr> = interface_addresses()?.into_iter().filter(|ip| covers(local.ip(), *ip)).collect();
        let advertised = match config.advertised_ips.is_empty() {
            true => interfaces.clone(),
            false => config.advertised_ips.clone(),
        };
        let candidates: Vec<_> = advertised.into_iter().map(|ip| SocketAddr::new(ip, local.port())).collect();
        if candidates.is_empty() {
            return Err(Error::new(
                ErrorCode::Configuration,
                format!("no network interface has an address that {bind} covers; set the advertised addresses"),
            ));
        }
        Ok(Self { socket, state, local, candidates, interfaces, metrics })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What clients are told to send to.
    pub fn candidates(&self) -> &[SocketAddr] {
        &self.candidates
    }

    /// Sends, from the address that the client knows us by. What the kernel does not take at once is lost, as on any
    /// full link: retransmission repairs it. `segment_size`: the contents are several datagrams of that size, of which
    /// the last may be shorter; false when the kernel does not take them together.
    fn send(&self, source: SocketAddr, destination: SocketAddr, contents: &[u8], segment_size: Option<usize>) -> bool {
        let src_ip = Some(source.ip()).filter(|ip| self.local.ip().is_unspecified() && self.interfaces.contains(ip));
        let destination = self.wire_address(destination);
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip };
        let datagrams = segment_size.map_or(1, |size| contents.len().div_ceil(size)) as u64;
        match self.state.try_send((&self.socket).into(), &transmit) {
            Ok(()) => {
                count(&self.metrics.packets_out_total, datagrams);
                count(&self.metrics.bytes_out_total, contents.len() as u64);
                true
            }
            // Its parts are tried one by one.
            Err(error) if segment_size.is_some() && error.kind() != io::ErrorKind::WouldBlock => false,
            Err(error) => {
                tracing::debug!(%destination, %error, "a datagram was not sent");
                count(&self.metrics.packets_dropped_total, datagrams);
                true
            }
        }
    }

    /// Receives for as long as it is polled.
    pub async fn receive(&self, routes: &Routes) {
        let mut storage = vec![0u8; BATCH * BUFFER];
        let mut metas = [RecvMeta::default(); BATCH];
        let mut slab = BytesMut::new();
        let mut failures: u32 = 0;
        loop {
            let take = || {
                let mut slices = storage.chunks_mut(BUFFER).map(IoSliceMut::new);
                let mut buffers: [IoSliceMut; BATCH] =
                    std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
                self.state.recv((&self.socket).into(), &mut buffers, &mut metas)
            };
            #[cfg(unix)]
            let received = {
                let mut take = take;
                self.socket.async_io(Interest::READABLE, |_| take()).await
            };
            #[cfg(not(unix))]
            let received = self.socket.async_io(Interest::READABLE, take).await;
            let filled = match received {
                Ok(filled) => filled,
                // An ICMP error of an earlier send, on some systems: nothing of ours.
                Err(error) => {
                    tracing::debug!(%error, "receiving media failed");
                    failures = failures.saturating_add(1);
                    if failures >= FAILURES {
                        if failures.is_power_of_two() {
                            tracing::error!(%error, failures, "no media can be received");
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                    continue;
                }
            };
            failures = 0;
            let at = Instant::now();
            for (meta, buffer) in metas.iter().zip(storage.chunks(BUFFER)).take(filled) {
                let joined = buffer.get(..meta.len).unwrap_or_default();
                for datagram in joined.chunks(meta.stride.max(1)) {
                    self.dispatch(routes, at, meta, datagram, &mut slab);
                }
            }
        }
    }

    fn dispatch(&self, routes: &Routes, at: Instant, meta: &RecvMeta, datagram: &[u8], slab: &mut BytesMut) {
        count(&self.metrics.packets_in_total, 1);
        count(&self.metrics.bytes_in_total, datagram.len() as u64);
        let source = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
        let ufrag = stun_ufrag(datagram);
        let sent = match (routes.find(source, ufrag), self.candidate(meta.dst_ip, source)) {
            (Some(room), Some(destination)) => {
                let ufrag = ufrag.map(str::to_owned);
                // Many datagrams share one allocation.
                if slab.capacity() < datagram.len() {
                    slab.reserve(BUFFER.max(datagram.len()));
                }
                slab.extend_from_slice(datagram);
                let bytes = slab.split().freeze();
                room.try_send(Datagram { at, source, destination, ufrag, bytes }).is_ok()
            }
            _ => false,
        };
        if !sent {
            count(&self.metrics.packets_dropped_total, 1);
        }
    }

    /// The candidate that stands for the address at which a datagram came in. Behind a one-to-one NAT that address is
    /// not one itself: then it is the one of the same family.
    fn candidate(&self, local: Option<IpAddr>, source: SocketAddr) -> Option<SocketAddr> {
        let local = local.map(|ip| ip.to_canonical());
        let exact = self.candidates.iter().find(|candidate| Some(candidate.ip()) == local);
        exact.or_else(|| self.candidates.iter().find(|candidate| candidate.is_ipv4() == source.is_ipv4())).copied()
    }

    /// An IPv4 destination as a dual-stack socket wants it.
    fn wire_address(&self, destination: SocketAddr) -> SocketAddr {
        match (self.local, destination) {
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            _ => destination,
        }
    }
}

/// What a room sends, put together: datagrams of one size for one receiver go to the kernel as one (generic
/// segmentation offload), which costs it little more than one.
pub(super) struct Outbox {
    socket: Arc<MediaSocket>,
    /// Of one size, but for the last, which may be shorter.
    run: Vec<Vec<u8>>,
    bytes: usize,
    source: SocketAddr,
    destination: SocketAddr,
    joined: Vec<u8>,
}

impl Outbox {
    pub fn new(socket: Arc<MediaSocket>) -> Self {
        let nowhere = socket.local;
        Self { socket, run: Vec::new(), bytes: 0, source: nowhere, destination: nowhere, joined: Vec::new() }
    }

    /// Takes a datagram, to be sent by [`Outbox::flush`] at the latest.
    pub fn push(&mut self, source: SocketAddr, destination: SocketAddr, datagram: Vec<u8>) {
        if !self.continues(source, destination, &datagram) {
            self.flush();
        }
        (self.source, self.destination) = (source, destination);
        self.bytes += datagram.len();
        self.run.push(datagram);
    }

    fn continues(&self, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) -> bool {
        let (Some(first), Some(last)) = (self.run.first(), self.run.last()) else { return true };
        (self.source, self.destination) == (source, destination)
            && datagram.len() <= first.len()
            && last.len() == first.len()
            && self.run.len() < self.socket.state.max_gso_segments()
            && self.bytes + datagram.len() <= MAX_RUN
    }

    pub fn flush(&mut self) {
        let Some(size) = self.run.first().map(Vec::len) else { return };
        let together = self.run.len() > 1 && {
            self.joined.clear();
            self.run.iter().for_each(|datagram| self.joined.extend_from_slice(datagram));
            self.socket.send(self.source, self.destination, &self.joined, Some(size))
        };
        for datagram in self.run.drain(..) {
            if !together {
                self.socket.send(self.source, self.destination, &datagram, None);
            }
        }
        self.bytes = 0;
    }
}

fn enlarge_buffers(socket: &std::net::UdpSocket, state: &UdpSocketState) {
    let set = state
        .set_recv_buffer_size(socket.into(), SOCKET_BUFFER)
        .and_then(|()| state.set_send_buffer_size(socket.into(), SOCKET_BUFFER));
    let got = state.recv_buffer_size(socket.into()).unwrap_or_default();
    if set.is_err() || got < SOCKET_BUFFER {
        tracing::warn!(
            got,
            wanted = SOCKET_BUFFER,
            "the kernel gives media a small buffer; with many participants raise net.core.rmem_max and wmem_max"
        );
    }
}

fn interface_addresses() -> Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs().map_err(|e| {
        Error::new(
            ErrorCode::Configuration,
            format!("the network interfaces cannot be listed ({e}); set the advertised addresses"),
        )
    })?;
    // Link-local IPv6 needs a scope that a candidate cannot carry.
    let usable = |ip: &IpAddr| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).filter(usable).collect();
    // Loopback last: it is for clients on this very machine.
    addresses.sort_by_key(IpAddr::is_loopback);
    Ok(addresses)
}

/// A socket bound to `bind` receives what is sent to `ip`.
fn covers(bind: IpAddr, ip: IpAddr) -> bool {
    match bind {
        IpAddr::V4(any) if any.is_unspecified() => ip.is_ipv4(),
        IpAddr::V6(any) if any.is_unspecified() => true,
        exact => exact == ip,
    }
}

/// The server's part of USERNAME in a STUN message (RFC 8489, section 14.3; RFC 8445, section 7.1.1).
pub(super) fn stun_ufrag(datagram: &[u8]) -> Option<&str> {
    const HEADER: usize = 20;
    const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    const USERNAME: u16 = 0x0006;
    if *datagram.first()? > 3 || datagram.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    let mut attributes = datagram.get(HEADER..)?;
    while let [t0, t1, l0, l1, rest @ ..] = attributes {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if u16::from_be_bytes([*t0, *t1]) == USERNAME {
            let name = std::str::from_utf8(rest.get(..length)?).ok()?;
            return name.split_once(':').map(|(server, _)| server);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (kind, value) in attributes {
            message.extend(kind.to_be_bytes());
            message.extend((value.len() as u16).to_be_bytes());
            message.extend(*value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        message
    }

    #[test]
    fn a_stun_request_names_its_connection() {
        assert_eq!(stun_ufrag(&stun(&[(0x24, &[0; 4]), (6, b"server:client")])), Some("server"));
        assert_eq!(stun_ufrag(&stun(&[(0x25, b""), (6, b"s:c")])), Some("s"));
    }

    #[test]
    fn what_is_cut_short_or_no_stun_names_nothing() {
        let whole = stun(&[(0x24, &[0; 4]), (6, b"server:client")]);
        for length in 0..whole.len() - 3 {
            assert_eq!(stun_ufrag(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(stun_ufrag(&stun(&[(6, b"nocolon")])), None);
        assert_eq!(stun_ufrag(&stun(&[(6, &[0xff, 0xfe, b':', b'x'])])), None);
        let mut rtp = whole;
        rtp[0] = 0x80;
        assert_eq!(stun_ufrag(&rtp), None);
    }

    #[tokio::test]
    async fn what_goes_to_the_kernel_together_arrives_one_by_one_and_in_order() {
        let key = crate::identity::ApiKey::new("key", "a secret of the socket tests, 32+ bytes").unwrap();
        let config = SfuConfig::new("127.0.0.1:0".parse().unwrap(), crate::identity::KeyRing::new(key));
        let metrics = Arc::new(SfuMetrics::default());
        let socket = Arc::new(MediaSocket::bind(&config, metrics.clone()).unwrap());
        let receivers = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let sizes = [[900usize, 900, 900, 300, 900, 1200, 1200].as_slice(), &[50, 60]];
        let mut outbox = Outbox::new(socket.clone());
        for (receiver, sizes) in receivers.iter().zip(sizes) {
            for (number, size) in sizes.iter().enumerate() {
                outbox.push(socket.local_addr(), receiver.local_addr().unwrap(), vec![number as u8; *size]);
            }
        }
        outbox.flush();
        for (receiver, sizes) in receivers.iter().zip(sizes) {
            receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            for (number, size) in sizes.iter().enumerate() {
                let mut buffer = [0; 2000];
                let length = receiver.recv(&mut buffer).unwrap();
                assert_eq!((length, buffer[0]), (*size, number as u8));
            }
        }
        let out = metrics.packets_out_total.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(out, 9, "each is counted");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_socket_that_only_fails_does_not_keep_a_processor_busy() {
        use std::io::Write;
        let key = crate::identity::ApiKey::new("key", "a secret of the socket tests, 32+ bytes").unwrap();
        let config = SfuConfig::new("127.0.0.1:0".parse().unwrap(), crate::identity::KeyRing::new(key));
        let mut socket = MediaSocket::bind(&config, Arc::default()).unwrap();
        // A pipe with something in it: always ready, and no datagram can be received from it.
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        socket.socket = polled(std::os::fd::OwnedFd::from(reader).into()).unwrap();
        let routes = Routes::default();
        let mut receiving = std::pin::pin!(socket.receive(&routes));
        let began = Instant::now();
        let mut rests = 0;
        std::future::poll_fn(|cx| {
            assert!(receiving.as_mut().poll(cx).is_pending());
            rests += 1;
            if rests > 5 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert!(began.elapsed() >= PAUSE * 3, "it has tried for the fifth time after {:?}", began.elapsed());
    }

    #[test]
    fn a_wildcard_covers_its_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(covers(ip("0.0.0.0"), ip("10.0.0.1")) && !covers(ip("0.0.0.0"), ip("::1")));
        assert!(covers(ip("::"), ip("10.0.0.1")) && covers(ip("::"), ip("::1")));
        assert!(covers(ip("127.0.0.1"), ip("127.0.0.1")) && !covers(ip("127.0.0.1"), ip("10.0.0.1")));
    }
}
