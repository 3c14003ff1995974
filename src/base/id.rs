//! Identifiers: newtypes over strings, so that a uid is never passed where a session id belongs.

use crate::base::{Error, ErrorCode, Result};
use std::fmt;

/// The longest identifier accepted from outside, in bytes.
const MAX_LEN: usize = 128;

macro_rules! string_ids {
    ($( $(#[$doc:meta])* $name:ident; )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Fails with `invalid_argument` when empty, over 128 bytes, or holding a control character.
            pub fn new(id: impl Into<String>) -> Result<Self> {
                let id = id.into();
                check(stringify!($name), &id)?;
                Ok(Self(id))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(id: String) -> Result<Self> {
                Self::new(id)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(id: &str) -> Result<Self> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )* };
}

string_ids! {
    /// A user, as the app's own backend names it: the `sub` of its user token.
    Uid;
    /// A group of users, as the app's own backend names it.
    GroupId;
    /// One device of a user. Chosen by the device and kept by it; unique for its user.
    DeviceId;
    /// A call, and the LiveKit room that carries its media: the room's name is the session id.
    SessionId;
    /// A client's name for one of its requests: the same request sent twice has one effect.
    RequestId;
    /// Who a participant is (LiveKit *identity*): the `sub` of its session token. Unique in a session.
    ParticipantIdentity;
    /// One presence of a participant in a session (LiveKit *participant sid*, `PA_...`). New at each join.
    ParticipantId;
    /// One published track (LiveKit *track sid*, `TR_...`).
    TrackId;
}

fn check(kind: &str, id: &str) -> Result<()> {
    let fault = if id.is_empty() {
        "is empty"
    } else if id.len() > MAX_LEN {
        "is over 128 bytes"
    } else if id.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorCode::InvalidArgument, format!("{kind} {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_outside_is_checked_when_it_is_parsed() {
        assert!(Uid::new("alice").is_ok());
        for bad in ["", "a\nb", &"x".repeat(129)] {
            assert_eq!(Uid::new(bad).unwrap_err().code(), ErrorCode::InvalidArgument);
            assert!(serde_json::from_value::<Uid>(serde_json::Value::from(bad)).is_err());
        }
    }
}
