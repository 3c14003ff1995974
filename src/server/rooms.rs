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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{DeviceId, RequestId};
    use crate::ringing::service::ConnectionId;
    use crate::ringing::wire::{Answer, Command, Initiate, ServerMessage, SessionRef};
    use crate::ringing::{Call, CallEventKind, CallStatus, CallType, EndReason, User};
    use crate::server::ringing::Outgoing;
    use crate::server::{ApiKeyConfig, Server, ServerConfig};
    use std::time::Duration;

    struct Device {
        connection: ConnectionId,
        messages: mpsc::Receiver<Outgoing>,
    }

    impl Device {
        async fn connect(server: &Server, uid: &str) -> Self {
            let user = User::new(uid.parse().unwrap());
            let device = DeviceId::new("telephone").unwrap();
            let (connection, messages) = server.ringing.connect(user, device, false).await.unwrap();
            Self { connection, messages }
        }

        async fn next(&mut self) -> ServerMessage {
            match tokio::time::timeout(Duration::from_secs(10), self.messages.recv()).await {
                Ok(Some(Outgoing::Message(message))) => *message,
                other => panic!("no message within 10 s: {other:?}"),
            }
        }

        async fn ask(&mut self, server: &Server, command: Command) -> Call {
            let id = RequestId::new("request").unwrap();
            server.ringing.command(self.connection, id, command).await.unwrap();
            loop {
                if let ServerMessage::Response(response) = self.next().await {
                    match response.into_result() {
                        Ok(Answer::Call(call)) => return *call,
                        other => panic!("{other:?}"),
                    }
                }
            }
        }

        async fn until_ended(&mut self) -> Call {
            loop {
                match self.next().await {
                    ServerMessage::Event(event) if event.kind == CallEventKind::Ended => return event.call,
                    _ => {}
                }
            }
        }
    }

    #[tokio::test]
    async fn a_fault_in_the_room_of_a_call_ends_the_call_for_both_with_that_reason() {
        let folder = tempfile::tempdir().unwrap();
        let secret = "a secret of the room tests, of 32 bytes and more".into();
        let server = Server::start(ServerConfig {
            http: "127.0.0.1:0".parse().unwrap(),
            udp: "127.0.0.1:0".parse().unwrap(),
            api_keys: vec![ApiKeyConfig { id: "key".into(), secret }],
            database: folder.path().join("calls.db").to_str().unwrap().into(),
            ..ServerConfig::default()
        })
        .await
        .unwrap();
        let mut alice = Device::connect(&server, "alice").await;
        let mut bob = Device::connect(&server, "bob").await;
        let initiate = Initiate::user(&"bob".parse().unwrap(), CallType::Audio);
        let session_id = alice.ask(&server, Command::Initiate(initiate)).await.session_id;
        let call = bob.ask(&server, Command::Accept(SessionRef { session_id: session_id.clone() })).await;
        assert_eq!(call.status, CallStatus::Ongoing);

        server.sfu.plant_panic(&session_id).await;
        for device in [&mut alice, &mut bob] {
            let call = device.until_ended().await;
            assert_eq!((call.status, call.end_reason), (CallStatus::Ended, Some(EndReason::Failed)));
        }
        let stored = server.store.call(&session_id).await.unwrap().unwrap().call;
        assert_eq!((stored.status, stored.end_reason), (CallStatus::Ended, Some(EndReason::Failed)));
        server.shutdown().await;
    }
}
