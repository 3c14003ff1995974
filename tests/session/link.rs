//! A bad network for media: a UDP proxy that delays and loses, from a seed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use trill::testkit::impair::{Link, Profile, Schedule};

/// Where clients of a server behind a bad network are told to send media to; the port is the server's own.
pub const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// The network of a client that appears now: up to the server, and down from it.
pub type Network = Arc<Mutex<(Profile, Profile)>>;

/// Listens at [`ADDRESS`] and the server's port, and carries datagrams both ways, until its runtime goes. What is lost comes from a
/// seed: another one than 7 by the variable TRILL_SEED.
pub async fn open(server: SocketAddr, network: Network) {
    let seed: u64 = std::env::var("TRILL_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("a bad network from seed {seed}");
    let listener = Arc::new(UdpSocket::bind(SocketAddr::new(ADDRESS, server.port())).await.unwrap());
    tokio::spawn(async move {
        let mut clients: HashMap<SocketAddr, mpsc::UnboundedSender<Vec<u8>>> = HashMap::new();
        let mut buffer = vec![0; 65_535];
        while let Ok((length, client)) = listener.recv_from(&mut buffer).await {
            let seed = seed * 1000 + 2 * clients.len() as u64;
            let client_link = clients.entry(client).or_insert_with(|| {
                let (sender, datagrams) = mpsc::unbounded_channel();
                let network = *network.lock().unwrap();
                tokio::spawn(carry(client, server, listener.clone(), datagrams, network, seed));
                sender
            });
            let _ = client_link.send(buffer[..length].to_vec());
        }
    });
}

/// One client's datagrams, up and down, through a link each.
async fn carry(
    client: SocketAddr,
    server: SocketAddr,
    listener: Arc<UdpSocket>,
    mut datagrams: mpsc::UnboundedReceiver<Vec<u8>>,
    (up, down): (Profile, Profile),
    seed: u64,
) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    let schedule = |profile| Schedule::constant(profile).unwrap();
    let mut up: Link<Vec<u8>> = Link::new(schedule(up), seed, Instant::now());
    let mut down: Link<Vec<u8>> = Link::new(schedule(down), seed + 1, Instant::now());
    let mut buffer = vec![0; 65_535];
    loop {
        let idle = Instant::now() + Duration::from_secs(1);
        let wake = up.next_timeout().into_iter().chain(down.next_timeout()).fold(idle, Instant::min);
        tokio::select! {
            datagram = datagrams.recv() => match datagram {
                Some(datagram) => up.send(Instant::now(), datagram.len() as u32, datagram),
                None => return,
            },
            Ok(length) = socket.recv(&mut buffer) => {
                down.send(Instant::now(), length as u32, buffer[..length].to_vec());
            }
            () = tokio::time::sleep_until(wake.into()) => {}
        }
        while let Some((_, datagram)) = up.poll(Instant::now()) {
            let _ = socket.send(&datagram).await;
        }
        while let Some((_, datagram)) = down.poll(Instant::now()) {
            let _ = listener.send_to(&datagram, client).await;
        }
    }
}
