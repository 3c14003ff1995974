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

/// Closes the room of a call that is over. Does not wait for it.
pub(super) fn close(sfu: &Sfu, session: &SessionId) {
    let (sfu, session) = (sfu.clone(), session.clone());
    tokio::spawn(async move { sfu.close_room(&session, CloseReason::Ended).await });
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
