//! The proxy: one task, all clients, and the links that their packets pass.

use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trill::base::{Error, ErrorCode, Result};
use trill::testkit::impair::{Link, LinkStats, Schedule};

/// What IPv4 and UDP add to a payload: the bottleneck counts it.
const HEADER_BYTES: u32 = 28;
/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// Packets from the server that wait for the proxy; more of them wait in the sockets, where the kernel drops.
const INBOX: usize = 1024;
/// A client without a packet for this long makes room for another.
const IDLE: Duration = Duration::from_secs(60);

/// A UDP proxy between clients and one server.
pub struct Proxy {
    listen: UdpSocket,
    listen_addr: SocketAddr,
    upstream: SocketAddr,
    /// Up, towards the server, and down.
    schedules: [Schedule; 2],
    seed: u64,
    shared: bool,
    max_clients: usize,
    clients: HashMap<SocketAddr, Client>,
    links: HashMap<LinkKey, [Link<Parcel>; 2]>,
    /// When the first packet came: the schedules begin then.
    began: Option<Instant>,
    from_server: mpsc::Sender<Parcel>,
    inbox: mpsc::Receiver<Parcel>,
    totals: Totals,
}

/// What went through in all.
#[derive(Default, Serialize)]
pub struct Totals {
    pub clients: u64,
    /// Packets of clients that were too many.
    pub refused: u64,
    /// Packets that the system did not take: most often because nobody listens at the server's port.
    pub send_errors: u64,
    pub up: LinkStats,
    pub down: LinkStats,
}

/// A client, or `None` for the link of all.
type LinkKey = Option<SocketAddr>;

/// A datagram, and whose it is.
type Parcel = (SocketAddr, Arc<[u8]>);

struct Client {
    upstream: Arc<UdpSocket>,
    reader: JoinHandle<()>,
    last_packet: Instant,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Proxy {
    /// Fails with `port_in_use`, or `invalid_argument` for an address that this machine does not have.
    pub async fn bind(
        listen: SocketAddr,
        upstream: SocketAddr,
        schedules: [Schedule; 2],
        seed: u64,
        shared: bool,
        max_clients: usize,
    ) -> Result<Self> {
        let refused = |error: io::Error| {
            let code = match error.kind() {
                io::ErrorKind::AddrInUse => ErrorCode::PortInUse,
                _ => ErrorCode::InvalidArgument,
            };
            Error::new(code, format!("cannot listen on {listen}: {error}"))
        };
        let listen = UdpSocket::bind(listen).await.map_err(refused)?;
        let listen_addr = listen.local_addr().map_err(refused)?;
        let (from_server, inbox) = mpsc::channel(INBOX);
        Ok(Self {
            listen,
            listen_addr,
            upstream,
            schedules,
            seed,
            shared,
            max_clients,
            clients: HashMap::new(),
            links: HashMap::new(),
            began: None,
            from_server,
            inbox,
            totals: Totals::default(),
        })
    }

    pub fn listen_addr(&self) -> SocketAddr {
        self.listen_addr
    }

    /// Up, and down.
    pub fn schedules(&self) -> [&Schedule; 2] {
        self.schedules.each_ref()
    }

    /// Relays until `stop`. What is on the way then is dropped. `on_client` is called for each new client.
    pub async fn run(mut self, stop: impl Future<Output = ()>, on_client: impl Fn(SocketAddr)) -> Totals {
        tokio::pin!(stop);
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let wake = self.links.values().flatten().filter_map(Link::next_timeout).min();
            let timer = async {
                match wake {
                    Some(wake) => tokio::time::sleep_until(wake.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => break,
                received = self.listen.recv_from(&mut buffer) => match received {
                    Ok((length, client)) => self.accept(client, &buffer[..length], &on_client).await,
                    // Of a packet that was sent before: the sender's own business.
                    Err(error) => tracing::debug!(%error, "receiving from clients"),
                },
                Some((client, packet)) = self.inbox.recv() => {
                    if self.clients.contains_key(&client) {
                        self.enter(1, client, packet);
                    }
                }
                () = timer => {}
            }
            self.deliver().await;
        }
        for links in self.links.values() {
            self.totals.up += links[0].stats();
            self.totals.down += links[1].stats();
        }
        self.totals
    }

    async fn accept(&mut self, client: SocketAddr, packet: &[u8], on_client: &impl Fn(SocketAddr)) {
        let now = Instant::now();
        if let Some(known) = self.clients.get_mut(&client) {
            known.last_packet = now;
        } else {
            if self.clients.len() >= self.max_clients && !self.evict_idle(now) {
                self.totals.refused += 1;
                return;
            }
            match self.connect(client, now).await {
                Ok(new) => self.clients.insert(client, new),
                Err(error) => {
                    tracing::warn!(%client, %error, "no socket for a client");
                    self.totals.refused += 1;
                    return;
                }
            };
            self.totals.clients += 1;
            on_client(client);
        }
        self.enter(0, client, packet.into());
    }

    /// A socket of its own for a client, and a task that reads the server's answers from it.
    async fn connect(&self, client: SocketAddr, now: Instant) -> io::Result<Client> {
        let any: SocketAddr = match self.upstream {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let upstream = Arc::new(UdpSocket::bind(any).await?);
        upstream.connect(self.upstream).await?;
        let (socket, from_server) = (Arc::clone(&upstream), self.from_server.clone());
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; MAX_DATAGRAM];
            loop {
                match socket.recv(&mut buffer).await {
                    Ok(length) => {
                        if from_server.send((client, buffer[..length].into())).await.is_err() {
                            return;
                        }
                    }
                    // The server's port was closed when something was sent to it; it may open yet.
                    Err(error) => tracing::debug!(%client, %error, "receiving from the server"),
                }
            }
        });
        Ok(Client { upstream, reader, last_packet: now })
    }

    /// Makes room; false when every client is busy.
    fn evict_idle(&mut self, now: Instant) -> bool {
        let oldest = self.clients.iter().min_by_key(|(_, client)| client.last_packet);
        let Some((&address, client)) = oldest else { return false };
        if now.duration_since(client.last_packet) < IDLE {
            return false;
        }
        self.clients.remove(&address);
        if let Some(links) = self.links.remove(&Some(address)) {
            self.totals.up += links[0].stats();
            self.totals.down += links[1].stats();
        }
        true
    }

    /// A packet enters the link up (0) or down (1).
    fn enter(&mut self, direction: usize, client: SocketAddr, packet: Arc<[u8]>) {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let key = (!self.shared).then_some(client);
        // The n-th link is the same in each run.
        let seed = self.seed.wrapping_add(2 * self.totals.clients);
        let links = self.links.entry(key).or_insert_with(|| {
            let [up, down] = self.schedules.clone();
            [Link::new(up, seed, began), Link::new(down, seed.wrapping_add(1), began)]
        });
        let bytes = packet.len() as u32 + HEADER_BYTES;
        links[direction].send(now, bytes, (client, packet));
    }

    /// Sends on what has arrived at the other end of its link.
    async fn deliver(&mut self) {
        let now = Instant::now();
        for [up, down] in self.links.values_mut() {
            while let Some((_, (client, packet))) = up.poll(now) {
                if let Some(client) = self.clients.get(&client) {
                    self.totals.send_errors += u64::from(client.upstream.send(&packet).await.is_err());
                }
            }
            while let Some((_, (client, packet))) = down.poll(now) {
                self.totals.send_errors += u64::from(self.listen.send_to(&packet, client).await.is_err());
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} clients", self.clients)?;
        for (name, s) in [("up", self.up), ("down", self.down)] {
            writeln!(
                f,
                "{name:>5}: {} packets in, {} out; {} lost, {} in blackouts, {} over the queue ({} ms at most), {} \
                 twice, {} held back",
                s.sent,
                s.delivered,
                s.lost,
                s.blackout_dropped,
                s.queue_dropped + s.overflowed,
                s.max_queue_ms,
                s.duplicated,
                s.held_back,
            )?;
        }
        if self.refused + self.send_errors > 0 {
            writeln!(f, "       {} refused, {} not taken by the system", self.refused, self.send_errors)?;
        }
        Ok(())
    }
}
