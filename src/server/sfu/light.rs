//! A client of the SFU that neither captures nor decodes: what tests, benches and `trill load` send and receive with.
//!
//! Sans-IO, on str0m: full ICE, DTLS, SRTP and RTCP, as of a browser. Not for apps: the engine is the client.

use crate::base::{Error, ErrorCode, Result};
use livekit_protocol::{SessionDescription, SignalTarget, signal_request, signal_response};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Rtc};

pub use str0m::Event;

/// One participant: a connection to publish on and one to receive on.
pub struct LightClient {
    pub publisher: LightPeer,
    pub subscriber: LightPeer,
    pending: Option<SdpPendingOffer>,
}

/// One connection. Every change to it is followed by [`LightPeer::drain`].
pub struct LightPeer {
    rtc: Rtc,
    address: SocketAddr,
    wake: Instant,
}

/// A packet to publish.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Extended by its rollovers.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
}

impl LightClient {
    /// The addresses are those from which its connections send.
    pub fn new(now: Instant, publisher: SocketAddr, subscriber: SocketAddr) -> Result<Self> {
        let publisher = LightPeer::new(now, publisher)?;
        Ok(Self { publisher, subscriber: LightPeer::new(now, subscriber)?, pending: None })
    }

    pub fn peer(&mut self, target: SignalTarget) -> &mut LightPeer {
        match target {
            SignalTarget::Publisher => &mut self.publisher,
            SignalTarget::Subscriber => &mut self.subscriber,
        }
    }

    /// A section for an announced track, with these simulcast layers (none: a single stream), and the offer to send.
    pub fn publish(&mut self, cid: &str, kind: MediaKind, rids: &[&str]) -> Option<(Mid, signal_request::Message)> {
        let layers = rids.iter().map(|rid| SimulcastLayer::new(rid)).collect();
        let simulcast = (!rids.is_empty()).then_some(Simulcast { send: layers, recv: Vec::new() });
        let mut api = self.publisher.rtc.sdp_api();
        let mid = api.add_media(kind, Direction::SendOnly, None, Some(cid.into()), simulcast);
        let (offer, pending) = api.apply()?;
        self.pending = Some(pending);
        let offer = SessionDescription { r#type: "offer".into(), sdp: offer.to_sdp_string(), ..Default::default() };
        Some((mid, signal_request::Message::Offer(offer)))
    }

    /// Takes what the server says; the answer to send, if it was an offer.
    pub fn signalled(
        &mut self,
        now: Instant,
        message: &signal_response::Message,
    ) -> Result<Option<signal_request::Message>> {
        let answer = match message {
            signal_response::Message::Offer(offer) => {
                let sdp = SdpOffer::from_sdp_string(&offer.sdp).map_err(failed)?;
                let answer = self.subscriber.rtc.sdp_api().accept_offer(sdp).map_err(failed)?.to_sdp_string();
                let id = offer.id;
                let answer = SessionDescription { r#type: "answer".into(), sdp: answer, id, ..Default::default() };
                Some(signal_request::Message::Answer(answer))
            }
            signal_response::Message::Answer(answer) => {
                let answer = SdpAnswer::from_sdp_string(&answer.sdp).map_err(failed)?;
                if let Some(pending) = self.pending.take() {
                    self.publisher.rtc.sdp_api().accept_answer(pending, answer).map_err(failed)?;
                }
                None
            }
            _ => None,
        };
        // An agent begins its checks when time reaches it.
        self.publisher.timeout(now)?;
        self.subscriber.timeout(now)?;
        Ok(answer)
    }
}

impl LightPeer {
    fn new(now: Instant, address: SocketAddr) -> Result<Self> {
        let mut rtc = Rtc::builder()
            .set_crypto_provider(Arc::new(str0m_aws_lc_rs::default_provider()))
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").map_err(failed)?);
        Ok(Self { rtc, address, wake: now })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When [`LightPeer::timeout`] is due.
    pub fn wake(&self) -> Instant {
        self.wake
    }

    pub fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    pub fn is_connected(&self) -> bool {
        self.rtc.is_connected()
    }

    /// Sends one packet of a published track. Nothing happens before it has been negotiated.
    pub fn send(&mut self, now: Instant, mid: Mid, rid: Option<Rid>, packet: Outgoing<'_>) -> Result<()> {
        let Some(payload_type) = self.rtc.media(mid).and_then(|media| media.remote_pts().first().copied()) else {
            return Ok(());
        };
        let mut api = self.rtc.direct_api();
        if let Some(stream) = api.stream_tx_by_mid(mid, rid) {
            let write = RtpWrite::new(payload_type, packet.sequence.into(), packet.timestamp, now, packet.payload);
            stream.write_rtp(write.marker(packet.marker).nackable(true));
        }
        self.timeout(now)
    }

    pub fn receive(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> Result<()> {
        let contents = datagram.try_into().map_err(failed)?;
        let receive = Receive { proto: Protocol::Udp, source, destination: self.address, contents };
        self.rtc.handle_input(Input::Receive(now, receive)).map_err(failed)
    }

    pub fn timeout(&mut self, now: Instant) -> Result<()> {
        self.rtc.handle_input(Input::Timeout(now)).map_err(failed)
    }

    /// What the last change led to: datagrams with their destination, and events.
    pub fn drain(
        &mut self,
        now: Instant,
        mut sent: impl FnMut(SocketAddr, Vec<u8>),
        mut happened: impl FnMut(Event),
    ) -> Result<()> {
        loop {
            match self.rtc.poll_output().map_err(failed)? {
                str0m::Output::Transmit(transmit) => sent(transmit.destination, transmit.contents.into()),
                str0m::Output::Event(event) => happened(event),
                str0m::Output::Timeout(at) if at <= now && self.rtc.is_alive() => self.timeout(now)?,
                str0m::Output::Timeout(at) => {
                    self.wake = at;
                    return Ok(());
                }
            }
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::ConnectionLost, format!("a light client failed: {error}"))
}
