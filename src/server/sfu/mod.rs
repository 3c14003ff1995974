//! Sessions: LiveKit's signalling, and a selective forwarding unit (SFU) that carries the media.
//!
//! A client's WebSocket ([`signalling`]) goes into a room. Each room is a sans-IO state machine ([`room`]) in a task of
//! its own ([`driver`]). All media of all rooms goes through one UDP socket ([`udp`]), which finds the room of each
//! datagram; str0m does ICE-lite, DTLS, SRTP, RTCP and SCTP of each connection ([`peer`]). Packets are forwarded, never
//! decoded: sequence numbers, timestamps and picture ids are rewritten so that each subscriber sees one unbroken stream
//! ([`forward`]).
//!
//! `Sfu` is cheap to clone; all its methods may be called from any thread within the tokio runtime it was started in.
#![allow(clippy::disallowed_methods, reason = "the driver of rooms: their one source of time")]

mod allocation;
#[doc(hidden)]
pub mod bench;
mod config;
mod data;
mod driver;
mod dtls;
mod forward;
mod layers;
#[doc(hidden)]
pub mod light;
mod metrics;
mod path;
mod peer;
mod quality;
mod red;
mod room;
mod sdp;
mod signalling;
mod speakers;
mod thinning;
mod udp;
mod wire;

pub use config::{IceServer, Limits, SfuConfig};
pub use metrics::{Sample, SampleKind, SfuMetrics};

use crate::base::{Error, ErrorCode, ParticipantId, ParticipantIdentity, Result, SessionId};
use crate::task::answered;
use driver::{Command, RoomHandle};
use livekit_protocol::DisconnectReason;
use peer::PeerSettings;
use room::{ConnectionId, RoomSettings};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use udp::{MediaSocket, Routes};

/// Who may be in which room. Asked before a participant comes in, and once more when it is in.
#[async_trait::async_trait]
pub trait RoomGate: Send + Sync {
    /// An error's code becomes the HTTP answer. Return `Ok` for rooms that are nobody's business but the token's.
    async fn may_join(&self, room: &SessionId, identity: &ParticipantIdentity) -> Result<()>;
}

/// A gate that leaves everything to the tokens.
pub struct OpenGate;

#[async_trait::async_trait]
impl RoomGate for OpenGate {
    async fn may_join(&self, _: &SessionId, _: &ParticipantIdentity) -> Result<()> {
        Ok(())
    }
}

/// What happens in rooms, for whoever keeps account of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomEvent {
    ParticipantJoined {
        room: SessionId,
        identity: ParticipantIdentity,
        id: ParticipantId,
    },
    ParticipantLeft {
        room: SessionId,
        identity: ParticipantIdentity,
        id: ParticipantId,
        reason: DisconnectReason,
    },
    /// One participant has been alone for [`SfuConfig::left_alone_timeout`]. Told once each time; the room stays.
    LeftAlone {
        room: SessionId,
        identity: ParticipantIdentity,
    },
    Closed {
        room: SessionId,
        reason: CloseReason,
    },
}

/// Why a room is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The call that it carried has ended.
    Ended,
    /// Its last participant was alone for too long.
    LeftAlone,
    /// Nobody was in it for [`SfuConfig::empty_timeout`].
    Empty,
    /// The server shuts down.
    Shutdown,
    /// A fault inside the server.
    Fault,
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Ended => Self::RoomDeleted,
            CloseReason::LeftAlone | CloseReason::Empty => Self::RoomClosed,
            CloseReason::Shutdown => Self::ServerShutdown,
            CloseReason::Fault => Self::UnknownReason,
        }
    }
}

/// The running SFU. Dropping the last clone leaves it running; see [`Sfu::shutdown`].
#[derive(Clone)]
pub struct Sfu {
    inner: Arc<Inner>,
}

impl Sfu {
    /// Binds the media socket and starts to receive. Call it within a tokio runtime.
    ///
    /// Fails with `port_in_use`, or `configuration` when the address cannot be bound or no address can be advertised.
    pub fn start(config: SfuConfig, gate: Arc<dyn RoomGate>) -> Result<Self> {
        let metrics = Arc::new(SfuMetrics::default());
        let socket = Arc::new(MediaSocket::bind(&config, metrics.clone())?);
        let crypto = Arc::new(dtls::crypto_provider());
        let certificate = crypto.dtls_provider.generate_certificate();
        let certificate =
            certificate.ok_or_else(|| Error::new(ErrorCode::Internal, "no DTLS certificate could be made"))?;
        tracing::info!(udp = %socket.local_addr(), candidates = ?socket.candidates(), "media is received");
        let peers = PeerSettings { crypto, certificate, candidates: socket.candidates().to_vec() };
        let routes = Arc::new(Routes::default());
        let inner = Arc::new(Inner {
            settings: Arc::new(RoomSettings { config, peers, metrics }),
            gate,
            socket: socket.clone(),
            routes: routes.clone(),
            rooms: Mutex::default(),
            listeners: Mutex::default(),
            connections: AtomicU64::new(0),
            shut_down: AtomicBool::new(false),
            receiver: Mutex::new(None),
        });
        let receiver = tokio::spawn(async move { socket.receive(&routes).await });
        *lock(&inner.receiver) = Some(receiver.abort_handle());
        Ok(Self { inner })
    }

    /// Serves `/rtc` and `/rtc/validate`, for the server's own router.
    pub fn router(&self) -> axum::Router {
        signalling::router(self.inner.clone())
    }

    /// Where media is received: the port that was taken when 0 was asked for.
    pub fn udp_addr(&self) -> SocketAddr {
        self.inner.socket.local_addr()
    }

    /// Every event from now on. Take each one: what is not taken is kept.
    pub fn events(&self) -> mpsc::UnboundedReceiver<RoomEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.inner.listeners).push(sender);
        receiver
    }

    pub fn metrics(&self) -> Arc<SfuMetrics> {
        self.inner.settings.metrics.clone()
    }

    /// A bug in that room.
    #[cfg(test)]
    pub(super) async fn plant_panic(&self, room: &SessionId) {
        let sent = self.inner.open(room).unwrap().send(driver::Command::Panic).await;
        assert!(sent.is_ok());
    }

    /// Ends a room for everybody in it. Nothing happens when there is none of that name.
    pub async fn close_room(&self, room: &SessionId, reason: CloseReason) {
        if let Some(handle) = self.inner.find(room) {
            // It may be closing by itself.
            let _ = handle.send(Command::Close { reason }).await;
        }
    }

    /// Puts one participant out. Fails with `session_not_found` or `participant_not_found`.
    pub async fn remove(&self, room: &SessionId, identity: &ParticipantIdentity) -> Result<()> {
        let handle = self.inner.find(room).ok_or(ErrorCode::SessionNotFound)?;
        let (reply, answer) = oneshot::channel();
        let remove = Command::Remove { identity: identity.clone(), reply };
        handle.send(remove).await.map_err(|_| Error::from(ErrorCode::SessionNotFound))?;
        answered(&handle, answer).await.ok_or(ErrorCode::SessionNotFound)?
    }

    /// Tells everybody that the server goes away, lets in nobody any more, and stops. Takes 2 s at most.
    pub async fn shutdown(&self) {
        self.inner.shut_down.store(true, Relaxed);
        let rooms: Vec<RoomHandle> = lock(&self.inner.rooms).values().cloned().collect();
        let close = async {
            for room in &rooms {
                let _ = room.send(Command::Close { reason: CloseReason::Shutdown }).await;
            }
            for room in &rooms {
                room.closed().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(2), close).await.is_err() {
            tracing::warn!("rooms did not close in time");
        }
        if let Some(receiver) = lock(&self.inner.receiver).take() {
            receiver.abort();
        }
    }
}

/// What the clones of [`Sfu`] and all connections share.
struct Inner {
    settings: Arc<RoomSettings>,
    gate: Arc<dyn RoomGate>,
    socket: Arc<MediaSocket>,
    routes: Arc<Routes>,
    rooms: Mutex<HashMap<SessionId, RoomHandle>>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<RoomEvent>>>,
    connections: AtomicU64,
    shut_down: AtomicBool,
    receiver: Mutex<Option<tokio::task::AbortHandle>>,
}

impl Inner {
    fn metrics(&self) -> &SfuMetrics {
        &self.settings.metrics
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Relaxed))
    }

    fn find(&self, room: &SessionId) -> Option<RoomHandle> {
        lock(&self.rooms).get(room).filter(|handle| !handle.is_closed()).cloned()
    }

    /// The room of that name, made if it is not there. Fails with `server_unavailable`.
    fn open(self: &Arc<Self>, room: &SessionId) -> Result<RoomHandle> {
        if self.shut_down.load(Relaxed) {
            return Err(Error::new(ErrorCode::ServerUnavailable, "the server is shutting down"));
        }
        let mut rooms = lock(&self.rooms);
        if let Some(handle) = rooms.get(room).filter(|handle| !handle.is_closed()) {
            return Ok(handle.clone());
        }
        if rooms.len() >= self.settings.config.limits.rooms {
            return Err(Error::new(ErrorCode::ServerUnavailable, "this server has as many sessions as it allows"));
        }
        let handle = driver::spawn(room.clone(), self.clone());
        rooms.insert(room.clone(), handle.clone());
        Ok(handle)
    }

    fn publish(&self, event: &RoomEvent) {
        lock(&self.listeners).retain(|listener| listener.send(event.clone()).is_ok());
    }

    /// Forgets a room that is over, unless a new one of its name has taken its place.
    fn closed(&self, room: &SessionId, handle: &RoomHandle) {
        let mut rooms = lock(&self.rooms);
        if rooms.get(room).is_some_and(|held| held.same_channel(handle)) {
            rooms.remove(room);
        }
    }
}

/// The maps behind these locks are whole also after a panic: no code of others runs under them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
