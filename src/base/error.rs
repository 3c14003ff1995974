//! One error type for the whole engine, with one stable list of codes.
//!
//! The code is what programs act on: it crosses the C ABI as its number, the ringing protocol and `--json` output as
//! its name. The message is for people: it says what was wrong and what to do about it.

use std::fmt;

/// The result of nearly everything in the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: a stable code for the program, a sentence for the person.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    message: String,
}

impl Error {
    /// `message` says what was wrong with *this* request, and what to do. It never holds a secret or a token.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn code(&self) -> ErrorCode {
        self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// Puts what was being done in front of the message; the code stays.
    pub fn context(self, doing: impl fmt::Display) -> Self {
        Self { code: self.code, message: format!("{doing}: {}", self.message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code.name())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {:?})", self.code.name(), self.message)
    }
}

impl std::error::Error for Error {}

impl serde::Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Error", 2)?;
        fields.serialize_field("code", &self.code)?;
        fields.serialize_field("message", &self.message)?;
        fields.end()
    }
}

impl From<ErrorCode> for Error {
    /// An error whose general meaning says it all.
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.meaning())
    }
}

macro_rules! error_codes {
    ($( $(#[$section:meta])* $variant:ident = $number:literal, $name:literal, $meaning:literal; )*) => {
        /// Stable codes. Numbers and names are frozen once released; new ones are added, none is reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $( $(#[$section])* #[doc = $meaning] $variant = $number, )*
        }

        impl ErrorCode {
            /// Every code, in the order of the documented list.
            pub const ALL: &[ErrorCode] = &[ $( ErrorCode::$variant, )* ];

            /// The name in the ringing protocol, in JSON output and in documents.
            pub fn name(self) -> &'static str {
                match self { $( ErrorCode::$variant => $name, )* }
            }

            /// What the code means in general, and what to do about it.
            pub fn meaning(self) -> &'static str {
                match self { $( ErrorCode::$variant => $meaning, )* }
            }

            /// The code with that name, for a reader of the protocol.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $( $name => Some(ErrorCode::$variant), )* _ => None }
            }
        }
    };
}

error_codes! {
    // General
    Internal = -1, "internal", "A fault inside Trill. Please report it with the log.";
    InvalidArgument = -2, "invalid_argument", "A parameter is missing, out of range or not valid; the message names it.";
    Cancelled = -3, "cancelled", "The operation was given up because its owner went away or asked for it.";
    TimedOut = -4, "timed_out", "No answer came within the stated time.";
    NotSupported = -5, "not_supported", "This build or this platform cannot do that.";
    ShutDown = -6, "shut_down", "The engine was shut down; make a new one.";
    TooManyRequests = -7, "too_many_requests", "A rate or count limit was reached; wait and try again.";
    TooLarge = -8, "too_large", "A message or field is over its size limit.";
    Malformed = -9, "malformed", "A message is not in the form that the protocol asks for.";
    InCallback = -10, "in_callback", "That cannot be done inside a callback; do it after the callback has returned.";

    // Tokens
    TokenMissing = -100, "token_missing", "No token was given. Mint one with `trill token` or in your backend.";
    TokenMalformed = -101, "token_malformed", "This is not a JWT with the claims that this use asks for.";
    TokenAlgorithm = -102, "token_algorithm", "The token is not signed with HS256, the only algorithm accepted.";
    TokenWrongKey = -103, "token_wrong_key", "The token is not signed with a key of this server.";
    TokenExpired = -104, "token_expired", "The token's time is over; get a new one.";
    TokenNotYetValid = -105, "token_not_yet_valid", "The token is not valid yet; check the clock of the machine that minted it.";
    TokenWrongRoom = -106, "token_wrong_room", "The token is for another session.";
    TokenMissingGrant = -107, "token_missing_grant", "The token does not grant this.";

    // Ringing
    NotLoggedIn = -200, "not_logged_in", "Log in first.";
    AlreadyLoggedIn = -201, "already_logged_in", "This engine is logged in already; log out first.";
    CallingSelf = -202, "calling_self", "A user cannot call itself.";
    UserUnknown = -203, "user_unknown", "No user of that id has ever logged in here.";
    GroupUnknown = -204, "group_unknown", "There is no group of that id.";
    NotAMember = -205, "not_a_member", "Only members of a group can call it.";
    BusySelf = -206, "busy_self", "You are dialling or in a call already; end that one first.";
    CallNotFound = -207, "call_not_found", "There is no call with that session id.";
    AlreadyEnded = -208, "already_ended", "That call is over.";
    AlreadyJoined = -209, "already_joined", "You are in that call already.";
    NotAParty = -210, "not_a_party", "You are not a party to that call.";
    NotAllowedInState = -211, "not_allowed_in_state", "The call's present status does not allow that.";
    NotYetAccepted = -212, "not_yet_accepted", "Nobody has accepted that call yet.";
    DeviceReplaced = -213, "device_replaced", "The same device logged in again elsewhere; this login is over.";
    EmptyGroup = -214, "empty_group", "The group has no other members to call.";
    UserRemoved = -215, "user_removed", "The owner of the server removed this user.";

    // Session
    SessionNotFound = -300, "session_not_found", "This engine is not in a session of that id.";
    ParticipantNotFound = -301, "participant_not_found", "No such participant is in the session.";
    TrackNotFound = -302, "track_not_found", "There is no such track in the session.";
    DuplicateIdentity = -303, "duplicate_identity", "The same identity joined again from elsewhere; this one was put out.";
    RoomClosed = -304, "room_closed", "The session is over.";
    MediaUnreachable = -305, "media_unreachable", "No media path to the server: UDP is probably blocked by a firewall.";
    ParticipantRemoved = -306, "participant_removed", "The server removed this participant from the session.";
    RoomFull = -307, "room_full", "The session has as many participants as this server allows.";

    // Media and devices
    MediaFile = -400, "media_file", "The media file cannot be read or is not in a supported format.";
    DeviceUnavailable = -401, "device_unavailable", "The device is absent, busy, or access to it was refused.";
    Codec = -402, "codec", "The codec refused the data or the settings.";

    // Server and network
    ServerUnreachable = -500, "server_unreachable", "The server did not answer at that address; check URL, network and firewall.";
    ServerUnavailable = -501, "server_unavailable", "The server cannot do that at the moment; try again later.";
    TlsRefused = -502, "tls_refused", "The server's certificate was not accepted.";
    ConnectionLost = -503, "connection_lost", "The connection to the server broke and could not be restored.";
    PortInUse = -504, "port_in_use", "Another program listens on that port; choose another or end that program.";
    StoreFailed = -505, "store_failed", "The store did not take the change (disk full, locked or damaged); nothing was changed.";
    Configuration = -506, "configuration", "The configuration is not valid; the message names the field.";
}

impl ErrorCode {
    /// The number that crosses the C ABI: negative, never 0.
    pub fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for ErrorCode {
    /// A name from a newer peer reads as `internal`: an old client still learns that its request failed.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Ok(Self::from_name(&name).unwrap_or(ErrorCode::Internal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_names_are_unique_and_numbers_negative() {
        let numbers: HashSet<i32> = ErrorCode::ALL.iter().map(|c| c.number()).collect();
        let names: HashSet<&str> = ErrorCode::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
        assert_eq!(names.len(), ErrorCode::ALL.len());
        assert!(numbers.iter().all(|n| *n < 0));
    }

    #[test]
    fn a_code_reads_back_from_its_name() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
        }
    }

    /// `TRILL_BLESS=1 cargo test` writes the page anew.
    #[test]
    fn the_documented_list_is_the_list() {
        let mut page = String::from(
            "# Error codes\n\nOne list for every surface: the C ABI returns the number, the ringing protocol and `--json` \
             output carry the\nname. Numbers and names are frozen once released. This page is written from \
             `src/base/error.rs`.\n\n| number | name | meaning |\n| ---: | --- | --- |\n",
        );
        for code in ErrorCode::ALL {
            page += &format!("| {} | `{}` | {} |\n", code.number(), code.name(), code.meaning());
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        if std::env::var_os("TRILL_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            page,
            "docs/errors.md has drifted; TRILL_BLESS=1 writes it"
        );
    }

    #[test]
    fn context_keeps_the_code_and_leads_the_message() {
        let error = Error::from(ErrorCode::MediaFile).context("opening a.wav");
        assert_eq!(error.code(), ErrorCode::MediaFile);
        assert!(error.message().starts_with("opening a.wav: "));
    }
}
