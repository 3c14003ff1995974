//! Sockets: which local addresses media uses, and how large their receive buffers are.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, UdpSocketState,
};

/// Half a second of 8 Mbit/s, and room for a burst while this process does not run. The kernel may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Where to bind sockets for media: the address that reaches the signalling server (loopback included), and every
/// interface of each family that has a way out.
pub fn local_addresses(to_server: Option<IpAddr>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    // Expanded into one socket for each interface, anew at each ICE restart: the machine may have changed networks.
    let v4 = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let v6 = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    // Addresses reserved for documentation; nothing is sent to them.
    for (unspecified, outside) in
        [(v4, IpAddr::from([192, 0, 2, 1])), (v6, IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))]
    {
        if source_address(unspecified, outside).is_some_and(|ip| !ip.is_loopback()) {
            addresses.push(SocketAddr::new(unspecified, 0));
        }
    }
    if let Some(ip) = to_server.map(|ip| ip.to_canonical())
        && (ip.is_loopback() || addresses.iter().all(|address| address.is_ipv4() != ip.is_ipv4()))
    {
        addresses.insert(0, SocketAddr::new(ip, 0));
    }
    if addresses.is_empty() {
        addresses.push(SocketAddr::new(v4, 0));
    }
    addresses
}

/// The address that the kernel would send from.
fn source_address(unspecified: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(unspecified, 0)).ok()?;
    socket.connect(SocketAddr::new(to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Another runtime, with larger receive buffers: a burst of video must not be lost in the kernel.
#[derive(Debug)]
pub(super) struct Buffered(pub(super) Arc<dyn Runtime>);

impl Runtime for Buffered {
    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let buffer = |state: UdpSocketState| state.set_recv_buffer_size((&socket).into(), RECEIVE_BUFFER);
        if let Err(error) = UdpSocketState::new((&socket).into()).and_then(buffer) {
            tracing::debug!(%error, "the receive buffer of a media socket stays as it is");
        }
        self.0.wrap_udp_socket(socket)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        self.0.spawn(future)
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.0.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        self.0.connect_tcp(remote)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        self.0.resolve_host(host)
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.0.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.0.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.0.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.0.yield_now()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_this_machine_is_reached_over_loopback_first() {
        let addresses = local_addresses(Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(addresses[0], SocketAddr::from(([127, 0, 0, 1], 0)));
    }

    #[test]
    fn there_is_always_an_address_to_bind() {
        assert!(!local_addresses(None).is_empty());
    }
}
