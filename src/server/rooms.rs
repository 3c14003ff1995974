//! Where ringing and sessions meet: who may be in the room of a call, and what the room says about the call.

use super::ringing::Ringing;
use super::sfu::{CloseReason, RoomEvent, RoomGate, Sfu};
use crate::base::{ParticipantIdentity, Result, SessionId, Uid};
use crate::ringing::service::RoomInput;
use tokio::sync::mpsc;

/// Keeps the room of a call closed until the callee has accepted, and after the call is over. Other rooms are free.
pub(super) struct CallGate(pub(super) Ringing);

#[async_trait::async_trait]
impl RoomGate for CallGate {
    async fn may_join(&self, room: &SessionId, identity: &ParticipantIdentity) -> Result<()> {
        self.0.may_join(room, identity).await
    }
}

/// Tells ringing what happens in rooms, until one of the two stops.
pub(super) async fn report(mut events: mpsc::UnboundedReceiver<RoomEvent>, ringing: Ringing) {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = ringing.stopped() => return,
        };
        let Some(event) = event else { return };
        if let Some((session, event)) = input(event)
            && ringing.room(session, event).await.is_err()
        {
            return;
        }
    }
}

/// The rooms as ringing sees them. Nothing here waits.
pub(super) struct Rooms(pub(super) Sfu);

impl Rooms {
    /// The call is over: out with everybody.
    pub(super) fn close(&self, session: &SessionId) {
        let (sfu, session) = (self.0.clone(), session.clone());
        tokio::spawn(async move { sfu.close_room(&session, CloseReason::Ended).await });
    }

    /// One party has left a call that goes on.
    pub(super) fn put_out(&self, session: &SessionId, uid: &Uid) {
        let Ok(identity) = ParticipantIdentity::new(uid.as_str()) else { return };
        let (sfu, session) = (self.0.clone(), session.clone());
        // Most have left the room by themselves.
        tokio::spawn(async move { sfu.remove(&session, &identity).await.ok() });
    }
}

fn input(event: RoomEvent) -> Option<(SessionId, RoomInput)> {
    // An identity that is no uid is not that of a party.
    let uid = |identity: ParticipantIdentity| Uid::new(identity.as_str()).ok();
    match event {
        RoomEvent::ParticipantJoined { room, identity, .. } => Some((room, RoomInput::Joined(uid(identity)?))),
        RoomEvent::ParticipantLeft { room, identity, .. } => Some((room, RoomInput::Left(uid(identity)?))),
        RoomEvent::LeftAlone { room, .. } => Some((room, RoomInput::LeftAlone)),
        RoomEvent::Closed { room, reason } => match reason {
            CloseReason::LeftAlone => Some((room, RoomInput::LeftAlone)),
            CloseReason::Empty => Some((room, RoomInput::Closed)),
            CloseReason::Fault => Some((room, RoomInput::Failed)),
            // The call is over already, or goes on with the next start of this server.
            CloseReason::Ended | CloseReason::Shutdown => None,
        },
    }
}
