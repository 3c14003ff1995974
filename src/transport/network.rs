//! Sockets: which local addresses media uses, how large receive buffers are, and handshakes that are sent again.

use super::handshake::{Handshakes, is_handshake};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, Transmit,
    UdpSocketState,
};

/// Half a second of 8 Mbit/s, and room for a burst while this process does not run. The kernel may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;
/// A STUN or TURN server whose name is not found by then is done without.
const RESOLVE_WITHIN: Duration = Duration::from_secs(1);
/// After so many failures to receive in a row, each is followed by a pause. The crate tries again at once, as an ICMP error here and
/// there is nothing; a socket that only fails would take a processor for itself.
const FAILURES: u32 = 16;
const PAUSE: Duration = Duration::from_millis(100);

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

/// Another runtime whose sockets have larger receive buffers, so that a burst of video is not lost in the kernel, and
/// send DTLS handshakes again in time. One for each connection.
#[derive(Debug)]
pub(super) struct MediaRuntime {
    runtime: Arc<dyn Runtime>,
    with_driver: Mutex<Option<Box<dyn Any + Send>>>,
}

impl MediaRuntime {
    /// `with_driver` is dropped when the task that drives the connection ends, panics or is called off: the first one that the crate
    /// spawns.
    pub(super) fn new(runtime: Arc<dyn Runtime>, with_driver: impl Any + Send) -> Self {
        let with_driver: Box<dyn Any + Send> = Box::new(with_driver);
        Self { runtime, with_driver: Mutex::new(Some(with_driver)) }
    }
}

impl Runtime for MediaRuntime {
    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let buffer = |state: UdpSocketState| state.set_recv_buffer_size((&socket).into(), RECEIVE_BUFFER);
        if let Err(error) = UdpSocketState::new((&socket).into()).and_then(buffer) {
            tracing::debug!(%error, "the receive buffer of a media socket stays as it is");
        }
        let watched = Watched { socket: self.runtime.wrap_udp_socket(socket)?, handshakes: Mutex::default() };
        Ok(Arc::new(MediaSocket::new(watched, self.runtime.clone())))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        let Some(with_driver) = lock(&self.with_driver).take() else { return self.runtime.spawn(future) };
        self.runtime.spawn(Box::pin(async move {
            let _until_the_end = with_driver;
            future.await;
        }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.runtime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        self.runtime.connect_tcp(remote)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        let found = self.runtime.resolve_host(host);
        // Meanwhile the crate does nothing else for this connection: no other way is tried, and no media is read.
        Box::pin(async move {
            tokio::time::timeout(RESOLVE_WITHIN, found).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
        })
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.runtime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.runtime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.runtime.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.runtime.yield_now()
    }

    fn name(&self) -> &'static str {
        self.runtime.name()
    }
}

/// A socket on which handshakes are watched, and sent again.
#[derive(Debug)]
struct MediaSocket {
    watched: Arc<Watched>,
    runtime: Arc<dyn Runtime>,
    /// What is received takes no lock while this is not set.
    fails: AtomicBool,
    failures: Mutex<Failures>,
}

impl MediaSocket {
    fn new(watched: Watched, runtime: Arc<dyn Runtime>) -> Self {
        Self { watched: Arc::new(watched), runtime, fails: AtomicBool::new(false), failures: Mutex::default() }
    }
}

/// To receive has failed.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Failures {
    fn rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failures").field("in_a_row", &self.in_a_row).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Watched {
    socket: Arc<dyn AsyncUdpSocket>,
    handshakes: Mutex<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    handshakes: Handshakes,
    /// A task sends again what is due.
    repeating: bool,
}

impl AsyncUdpSocket for MediaSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let sent = self.watched.socket.poll_send(cx, transmit);
        if matches!(sent, Poll::Ready(Ok(_))) && is_handshake(transmit.contents) {
            let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
            let mut watch = self.watched.lock();
            for datagram in transmit.contents.chunks(size) {
                watch.handshakes.sent(self.runtime.now(), transmit.destination, datagram);
            }
            if watch.handshakes.next_timeout().is_some() && !std::mem::replace(&mut watch.repeating, true) {
                let (watched, runtime) = (Arc::downgrade(&self.watched), self.runtime.clone());
                drop(self.runtime.spawn(Box::pin(repeat(watched, runtime))));
            }
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.fails.load(Relaxed) {
            ready!(lock(&self.failures).rest(cx));
        }
        let received = self.watched.socket.poll_recv(cx, buffers, metas);
        match &received {
            Poll::Ready(Ok(_)) if self.fails.load(Relaxed) => {
                lock(&self.failures).in_a_row = 0;
                self.fails.store(false, Relaxed);
            }
            Poll::Ready(Err(error)) => {
                let mut failures = lock(&self.failures);
                self.fails.store(true, Relaxed);
                failures.in_a_row = failures.in_a_row.saturating_add(1);
                if failures.in_a_row >= FAILURES {
                    if failures.in_a_row.is_power_of_two() {
                        tracing::warn!(%error, failures = failures.in_a_row, "no media can be received on a socket");
                    }
                    failures.pause = Some(self.runtime.sleep(PAUSE));
                }
            }
            Poll::Ready(Ok(_)) | Poll::Pending => {}
        }
        if let Poll::Ready(Ok(filled)) = &received {
            for (meta, buffer) in metas.iter().zip(buffers.iter()).take(*filled) {
                let joined = buffer.get(..meta.len).unwrap_or_default();
                for datagram in joined.chunks(meta.stride.max(1)).filter(|datagram| is_handshake(datagram)) {
                    self.watched.lock().handshakes.received(datagram);
                }
            }
        }
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.watched.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.watched.socket.max_gro_segments()
    }
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, Watch> {
        lock(&self.handshakes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends again what is due, until nothing is, or the socket is gone.
async fn repeat(watched: Weak<Watched>, runtime: Arc<dyn Runtime>) {
    loop {
        let Some(due) = watched.upgrade().and_then(|watched| {
            let mut watch = watched.lock();
            let due = watch.handshakes.next_timeout();
            watch.repeating = due.is_some();
            due
        }) else {
            return;
        };
        runtime.sleep(due.saturating_duration_since(runtime.now())).await;
        let Some(watched) = watched.upgrade() else { return };
        let again = watched.lock().handshakes.poll(runtime.now());
        for (to, datagram) in again {
            if let Err(error) = watched.socket.send_to(&datagram, to).await {
                tracing::debug!(%error, "a handshake was not sent again");
            }
        }
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

    /// One that only fails, as if each packet of ours had been refused.
    #[derive(Debug)]
    struct Broken;

    impl AsyncUdpSocket for Broken {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn poll_send(&self, _: &mut Context<'_>, _: &Transmit<'_>) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()))
        }
    }

    #[tokio::test]
    async fn a_socket_that_only_fails_is_not_read_without_a_pause() {
        let watched = Watched { socket: Arc::new(Broken), handshakes: Mutex::default() };
        let socket = MediaSocket::new(watched, webrtc::runtime::default_runtime().unwrap());
        let began = Instant::now();
        for _ in 0..FAILURES + 3 {
            let received = std::future::poll_fn(|cx| socket.poll_recv(cx, &mut [], &mut [])).await;
            assert_eq!(received.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        assert!(began.elapsed() >= PAUSE * 3, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_comes_with_the_driver_goes_with_it_also_in_a_panic() {
        for panics in [false, true] {
            let (held, goes) = tokio::sync::oneshot::channel::<()>();
            let runtime = MediaRuntime::new(webrtc::runtime::default_runtime().unwrap(), held);
            drop(runtime.spawn(Box::pin(async move { assert!(!panics, "a bug, for a test") })));
            let gone = tokio::time::timeout(Duration::from_secs(10), goes).await;
            assert!(gone.expect("it goes with the task").is_err());
        }
    }
}
