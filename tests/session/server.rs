//! A session server of our own on loopback, with a runtime of its own so that it can vanish or freeze, and a proxy that
//! can cut its TCP connections.

use super::link;
use axum::serve::ListenerExt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use trill::base::{ParticipantIdentity, SessionId, UnixMillis};
use trill::identity::{ApiKey, KeyRing, LEEWAY, SessionToken};
use trill::server::sfu::{OpenGate, Sfu, SfuConfig};
use trill::testkit::impair::Profile;

const SECRET: &str = "a-secret-for-tests-of-thirty-two-bytes-or-more";

/// Of the tokens.
const LIFETIME: Duration = Duration::from_secs(600);

pub struct TestServer {
    runtime: Option<Runtime>,
    address: SocketAddr,
    udp: SocketAddr,
    /// Holds the server's only worker while it is frozen.
    frozen: Option<std::sync::mpsc::Sender<()>>,
    network: link::Network,
}

impl TestServer {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Clients are told to send media to an address where nobody listens: what they see of a firewall without UDP.
    pub fn without_udp() -> Self {
        Self::start_with(|config| config.advertised_ips = vec![IpAddr::from([127, 0, 0, 2])])
    }

    /// Clients are given a new token each second.
    pub fn refreshing() -> Self {
        Self::start_with(|config| config.token_refresh = Duration::from_secs(1))
    }

    /// Media goes through a network like that, both ways.
    pub fn behind(profile: Profile) -> Self {
        Self::between(profile, profile)
    }

    /// One to which media goes through `up`, and from which it comes through `down`.
    pub fn between(up: Profile, down: Profile) -> Self {
        let server = Self::start_with(|config| config.advertised_ips = vec![link::ADDRESS]);
        server.next_clients_between(up, down);
        if let Some(runtime) = &server.runtime {
            runtime.block_on(link::open(server.udp, server.network.clone()));
        }
        server
    }

    /// The network of those who come from now on.
    pub fn next_clients_between(&self, up: Profile, down: Profile) {
        *self.network.lock().unwrap() = (up, down);
    }

    fn start_with(change: impl FnOnce(&mut SfuConfig)) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), change)
    }

    fn start_at(http: SocketAddr, change: impl FnOnce(&mut SfuConfig)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = SfuConfig::new(loopback, KeyRing::new(key(SECRET)));
        change(&mut config);
        let (address, udp) = runtime.block_on(async {
            let sfu = Sfu::start(config, Arc::new(OpenGate)).unwrap();
            let udp = sfu.udp_addr();
            let listener = TcpListener::bind(http).await.unwrap();
            let address = listener.local_addr().unwrap();
            let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
            tokio::spawn(async move { axum::serve(listener, sfu.router()).await });
            (address, udp)
        });
        Self { runtime: Some(runtime), address, udp, frozen: None, network: link::Network::default() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new server at the address of one that was killed: it knows nobody.
    pub fn restart(&mut self) {
        self.kill();
        *self = Self::start_at(self.address, |_| {});
    }

    /// Gone at once, with all its sockets.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }

    /// Its sockets stay open and nothing answers: what a dead network looks like.
    pub fn freeze(&mut self) {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (asleep, fell_asleep) = std::sync::mpsc::channel();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                asleep.send(()).unwrap();
                // An error is the thaw.
                let _ = held.recv();
            });
        }
        fell_asleep.recv_timeout(Duration::from_secs(10)).expect("the worker takes the task");
        self.frozen = Some(hold);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.frozen = None;
        self.kill();
    }
}

/// A token for the room that all these tests use.
pub fn token(identity: &str) -> String {
    mint(identity, &key(SECRET), UnixMillis::now())
}

pub fn token_of_another_key(identity: &str) -> String {
    mint(identity, &key("another-secret-of-thirty-two-bytes-or-more!!"), UnixMillis::now())
}

pub fn expired_token(identity: &str) -> String {
    mint(identity, &key(SECRET), UnixMillis(UnixMillis::now().0 - 3_600_000))
}

/// A token that the server refuses, as expired, when `left` has passed.
pub fn token_for(left: Duration, identity: &str) -> String {
    let spent = LIFETIME + LEEWAY - left;
    mint(identity, &key(SECRET), UnixMillis(UnixMillis::now().0 - spent.as_millis() as u64))
}

fn mint(identity: &str, key: &ApiKey, now: UnixMillis) -> String {
    let room = SessionId::new("room").unwrap();
    let identity = ParticipantIdentity::new(identity).unwrap();
    SessionToken::for_call(identity, String::new(), &room).mint(key, now, LIFETIME)
}

fn key(secret: &str) -> ApiKey {
    ApiKey::new("test", secret).unwrap()
}

/// Carries TCP to a server, until it is told to cut.
pub struct Proxy {
    address: SocketAddr,
    cut: broadcast::Sender<()>,
    _runtime: Runtime,
}

impl Proxy {
    pub fn to(server: &TestServer) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (cut, _) = broadcast::channel(1);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (target, cuts) = (server.address, cut.clone());
        runtime.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { address, cut, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the connections there are; new ones work.
    pub fn cut(&self) {
        self.cut.send(()).expect("a connection is there to be cut");
    }
}
