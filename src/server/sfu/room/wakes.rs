//! The timers of a room's connections, in order.
//!
//! A timer that moves on, as most do with each packet, keeps its place: it is looked at too early then, and moved.

use super::ParticipantKey;
use crate::server::sfu::peer::Peer;
use livekit_protocol::SignalTarget;
use std::collections::BTreeSet;
use std::time::Instant;

#[derive(Default)]
pub(super) struct Wakes {
    /// One of each connection, which knows its time ([`Peer::booked`]).
    order: BTreeSet<(Instant, ParticipantKey, SignalTarget)>,
}

impl Wakes {
    /// When to look at a connection next.
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, ..)| *at)
    }

    /// Has a connection looked at when it wants that, at the latest.
    pub fn book(&mut self, key: ParticipantKey, target: SignalTarget, peer: &mut Peer) {
        let at = peer.wake();
        if peer.booked.is_some_and(|booked| booked <= at) {
            return;
        }
        self.forget(key, target, peer);
        peer.booked = Some(at);
        self.order.insert((at, key, target));
    }

    pub fn forget(&mut self, key: ParticipantKey, target: SignalTarget, peer: &mut Peer) {
        if let Some(at) = peer.booked.take() {
            self.order.remove(&(at, key, target));
        }
    }

    /// Takes out a connection that is to be looked at now. Book it anew.
    pub fn take(&mut self, now: Instant) -> Option<(ParticipantKey, SignalTarget)> {
        let first = *self.order.first().filter(|(at, ..)| *at <= now)?;
        self.order.remove(&first);
        Some((first.1, first.2))
    }
}
