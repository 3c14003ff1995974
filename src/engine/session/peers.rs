//! The two peer connections of a session, as the machine commands them.

use super::local::Local;
use crate::base::{Error, ErrorCode, Result};
use crate::session::{IceServer, PeerCommand, PeerEvent, Side};
use crate::transport::{Notice, NoticeSender, PathStats, PeerConfig, PeerConnection, RemoteTracks, SendStats};
use std::net::{IpAddr, SocketAddr};
use tokio::sync::mpsc;

/// Data messages that wait for the driver; then the network slows their sender down.
const DATA_QUEUE: usize = 64;

pub(super) struct Peers {
    /// Counts the pairs: what one that was replaced still tells is not listened to.
    epoch: u64,
    pair: Option<Pair>,
    remote_tracks: RemoteTracks,
    addresses: Vec<SocketAddr>,
    sender: NoticeSender,
    control: mpsc::UnboundedReceiver<Notice>,
    data: mpsc::Receiver<Notice>,
}

struct Pair {
    publisher: PeerConnection,
    subscriber: PeerConnection,
}

impl Peers {
    pub(super) fn new(remote_tracks: RemoteTracks) -> Self {
        let (control_sender, control) = mpsc::unbounded_channel();
        let (data_sender, data) = mpsc::channel(DATA_QUEUE);
        let sender = NoticeSender { control: control_sender, data: data_sender };
        let addresses = crate::transport::local_addresses(None);
        Self { epoch: 0, pair: None, remote_tracks, addresses, sender, control, data }
    }

    /// The local address that reaches the server.
    pub(super) fn reached_from(&mut self, address: Option<IpAddr>) {
        self.addresses = crate::transport::local_addresses(address);
    }

    /// Waits for what the present pair tells. May be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> (Side, PeerEvent) {
        loop {
            // States before data: what a connection says is worth more when it is known to be up.
            let notice = tokio::select! {
                biased;
                notice = self.control.recv() => notice,
                notice = self.data.recv() => notice,
            };
            match notice {
                Some(notice) if notice.epoch == self.epoch => return (notice.side, notice.event),
                Some(_) => {}
                // Cannot be: a sender is held here.
                None => std::future::pending().await,
            }
        }
    }

    /// Does what the machine wants. What the peer connection answers is to be told to the machine. `locals` is
    /// exclusive because devices may be moved between threads, not shared.
    pub(super) async fn carry_out(&mut self, command: PeerCommand, locals: &mut [Local]) -> Option<(Side, PeerEvent)> {
        let side = side_of(&command);
        match self.try_carry_out(command, locals).await {
            Ok(event) => event.map(|event| (side, event)),
            Err(error) => Some((side, PeerEvent::Failed(error))),
        }
    }

    /// Queues a data message. Errors: `too_many_requests`, `not_allowed_in_state`.
    pub(super) fn send_data(&self, reliable: bool, payload: bytes::Bytes) -> Result<()> {
        self.pair()?.publisher.send_data(reliable, payload)
    }

    pub(super) fn send_stats(&self, cid: &str) -> SendStats {
        self.pair.as_ref().and_then(|pair| pair.publisher.send_stats(cid)).unwrap_or_default()
    }

    /// Of the publisher and of the subscriber.
    pub(super) async fn path_stats(&self) -> (PathStats, PathStats) {
        match &self.pair {
            Some(pair) => tokio::join!(pair.publisher.path_stats(), pair.subscriber.path_stats()),
            None => Default::default(),
        }
    }

    /// Bounded, with whatever network.
    pub(super) async fn close(&mut self) {
        if let Some(pair) = self.pair.take() {
            pair.close().await;
        }
    }

    async fn try_carry_out(&mut self, command: PeerCommand, locals: &mut [Local]) -> Result<Option<PeerEvent>> {
        match command {
            PeerCommand::Open { ice_servers } => self.open(ice_servers).await?,
            PeerCommand::SetIceServers { ice_servers } => {
                let pair = self.pair()?;
                pair.publisher.set_ice_servers(ice_servers.clone()).await?;
                pair.subscriber.set_ice_servers(ice_servers).await?;
            }
            PeerCommand::AddTrack { cid, kind } => {
                let local = locals.iter_mut().find(|local| local.track.cid == cid);
                let outlet = local.map(|local| (local.packets.clone(), local.control.clone()));
                let (packets, control) = outlet.ok_or_else(|| Error::from(ErrorCode::TrackNotFound))?;
                self.pair()?.publisher.add_track(&cid, kind, packets, control).await?;
            }
            PeerCommand::RemoveTrack { cid } => self.pair()?.publisher.remove_track(&cid).await?,
            PeerCommand::CreateOffer { ice_restart } => {
                let sdp = self.pair()?.publisher.create_offer(ice_restart).await?;
                return Ok(Some(PeerEvent::OfferMade { sdp }));
            }
            PeerCommand::ApplyAnswer { sdp } => self.pair()?.publisher.apply_answer(sdp).await?,
            PeerCommand::Answer { id, sdp } => {
                let sdp = self.pair()?.subscriber.answer(sdp).await?;
                return Ok(Some(PeerEvent::AnswerMade { id, sdp }));
            }
            PeerCommand::AddCandidate { side, init } => {
                let pair = self.pair()?;
                let peer = if side == Side::Publisher { &pair.publisher } else { &pair.subscriber };
                // One candidate of several that cannot be used is no reason to give up the others.
                if let Err(error) = peer.add_candidate(&init).await {
                    tracing::debug!(%error, ?side, "a candidate of the server is left out");
                }
            }
            PeerCommand::SendData { reliable, payload } => self.send_data(reliable, payload)?,
        }
        Ok(None)
    }

    async fn open(&mut self, ice_servers: Vec<IceServer>) -> Result<()> {
        if let Some(old) = self.pair.take() {
            // In the background: the new ones are wanted at once.
            tokio::spawn(old.close());
        }
        self.epoch += 1;
        let config = |side| PeerConfig {
            side,
            epoch: self.epoch,
            ice_servers: ice_servers.clone(),
            addresses: self.addresses.clone(),
            notices: self.sender.clone(),
            remote_tracks: self.remote_tracks.clone(),
        };
        let publisher = PeerConnection::open(config(Side::Publisher));
        let subscriber = PeerConnection::open(config(Side::Subscriber));
        let (publisher, subscriber) = tokio::try_join!(publisher, subscriber)?;
        self.pair = Some(Pair { publisher, subscriber });
        Ok(())
    }

    fn pair(&self) -> Result<&Pair> {
        self.pair.as_ref().ok_or_else(|| Error::new(ErrorCode::NotAllowedInState, "no peer connection is open"))
    }
}

impl Pair {
    async fn close(self) {
        tokio::join!(self.publisher.close(), self.subscriber.close());
    }
}

fn side_of(command: &PeerCommand) -> Side {
    match command {
        PeerCommand::Answer { .. } => Side::Subscriber,
        PeerCommand::AddCandidate { side, .. } => *side,
        _ => Side::Publisher,
    }
}
