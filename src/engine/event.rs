//! The one enum of everything that an app is told. Callbacks, bindings, the command's output and the tests render it.

use super::session::SessionStats;
use crate::base::{Error, SessionId};
use crate::ringing::{CallEvent, User};
use crate::session::SessionEvent;
use serde::Serialize;

/// Something happened. Each event is told once; those of one plane in the order in which they happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "plane", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The login to the ringing server.
    Login(LoginEvent),
    /// A call.
    Call(CallEvent),
    /// A session that this engine started.
    Session {
        session: SessionId,
        #[serde(flatten)]
        event: SessionEvent,
    },
    /// What a session sends and receives, as often as
    /// [`SessionSettings::statistics_interval`](super::SessionSettings) asks for.
    Statistics { session: SessionId, statistics: Box<SessionStats> },
}

/// How the login stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoginEvent {
    /// Logged in, for the first time or again after a broken connection: calls can be made and received.
    LoggedIn { user: User },
    /// The connection broke; it is being restored. Calls go on: the server waits for the device for a while.
    Reconnecting { error: Error },
    /// The login is over and is not restored; `error` says why. Log in again to be reachable.
    LoggedOut { error: Error },
}

impl Event {
    /// What an app that is far behind can do without: a later event of the same kind tells more than a lost one, or
    /// the sender has no limit of its own.
    pub(super) fn is_expendable(&self) -> bool {
        matches!(
            self,
            Event::Statistics { .. }
                | Event::Session {
                    event: SessionEvent::ActiveSpeakers { .. }
                        | SessionEvent::QualityChanged { .. }
                        | SessionEvent::Data { .. },
                    ..
                }
        )
    }
}
