//! Status codes.
//!
//! What a function returns and a completion is told: TRILL_STATUS_OK or a negative number. Numbers are frozen once
//! released. Each function's comment names all that it can return. A completion can be told, beside those that stand there,
//! TRILL_STATUS_SHUT_DOWN when the engine is freed before, and TRILL_STATUS_INTERNAL; that of a request to the server also
//! why its login ended meanwhile (TRILL_STATUS_TOKEN_EXPIRED, TRILL_STATUS_DEVICE_REPLACED or TRILL_STATUS_USER_REMOVED), and
//! TRILL_STATUS_SERVER_UNAVAILABLE from a server that is being stopped.

/// It worked.
pub const TRILL_STATUS_OK: i32 = 0;
/// A fault inside Trill. Please report it with the log.
pub const TRILL_STATUS_INTERNAL: i32 = -1;
/// A parameter is missing, out of range or not valid; the message names it.
pub const TRILL_STATUS_INVALID_ARGUMENT: i32 = -2;
/// The operation was given up because its owner went away or asked for it.
pub const TRILL_STATUS_CANCELLED: i32 = -3;
/// No answer came within the stated time.
pub const TRILL_STATUS_TIMED_OUT: i32 = -4;
/// This build or this platform cannot do that.
pub const TRILL_STATUS_NOT_SUPPORTED: i32 = -5;
/// The engine was shut down; make a new one.
pub const TRILL_STATUS_SHUT_DOWN: i32 = -6;
/// A rate or count limit was reached; wait and try again.
pub const TRILL_STATUS_TOO_MANY_REQUESTS: i32 = -7;
/// A message or field is over its size limit.
pub const TRILL_STATUS_TOO_LARGE: i32 = -8;
/// A message is not in the form that the protocol asks for.
pub const TRILL_STATUS_MALFORMED: i32 = -9;
/// That cannot be done inside a callback; do it after the callback has returned.
pub const TRILL_STATUS_IN_CALLBACK: i32 = -10;
/// No token was given. Mint one with `trill token` or in your backend.
pub const TRILL_STATUS_TOKEN_MISSING: i32 = -100;
/// This is not a JWT with the claims that this use asks for.
pub const TRILL_STATUS_TOKEN_MALFORMED: i32 = -101;
/// The token is not signed with HS256, the only algorithm accepted.
pub const TRILL_STATUS_TOKEN_ALGORITHM: i32 = -102;
/// The token is not signed with a key of this server.
pub const TRILL_STATUS_TOKEN_WRONG_KEY: i32 = -103;
/// The token's time is over; get a new one.
pub const TRILL_STATUS_TOKEN_EXPIRED: i32 = -104;
/// The token is not valid yet; check the clock of the machine that minted it.
pub const TRILL_STATUS_TOKEN_NOT_YET_VALID: i32 = -105;
/// The token is for another session.
pub const TRILL_STATUS_TOKEN_WRONG_ROOM: i32 = -106;
/// The token does not grant this.
pub const TRILL_STATUS_TOKEN_MISSING_GRANT: i32 = -107;
/// Log in first.
pub const TRILL_STATUS_NOT_LOGGED_IN: i32 = -200;
/// This engine is logged in already; log out first.
pub const TRILL_STATUS_ALREADY_LOGGED_IN: i32 = -201;
/// A user cannot call itself.
pub const TRILL_STATUS_CALLING_SELF: i32 = -202;
/// No user of that id has ever logged in here.
pub const TRILL_STATUS_USER_UNKNOWN: i32 = -203;
/// There is no group of that id.
pub const TRILL_STATUS_GROUP_UNKNOWN: i32 = -204;
/// Only members of a group can call it.
pub const TRILL_STATUS_NOT_A_MEMBER: i32 = -205;
/// You are dialling or in a call already; end that one first.
pub const TRILL_STATUS_BUSY_SELF: i32 = -206;
/// There is no call with that session id.
pub const TRILL_STATUS_CALL_NOT_FOUND: i32 = -207;
/// That call is over.
pub const TRILL_STATUS_ALREADY_ENDED: i32 = -208;
/// You are in that call already.
pub const TRILL_STATUS_ALREADY_JOINED: i32 = -209;
/// You are not a party to that call.
pub const TRILL_STATUS_NOT_A_PARTY: i32 = -210;
/// The call's present status does not allow that.
pub const TRILL_STATUS_NOT_ALLOWED_IN_STATE: i32 = -211;
/// Nobody has accepted that call yet.
pub const TRILL_STATUS_NOT_YET_ACCEPTED: i32 = -212;
/// The same device logged in again elsewhere; this login is over.
pub const TRILL_STATUS_DEVICE_REPLACED: i32 = -213;
/// The group has no other members to call.
pub const TRILL_STATUS_EMPTY_GROUP: i32 = -214;
/// The owner of the server removed this user.
pub const TRILL_STATUS_USER_REMOVED: i32 = -215;
/// This engine is not in a session of that id.
pub const TRILL_STATUS_SESSION_NOT_FOUND: i32 = -300;
/// No such participant is in the session.
pub const TRILL_STATUS_PARTICIPANT_NOT_FOUND: i32 = -301;
/// There is no such track in the session.
pub const TRILL_STATUS_TRACK_NOT_FOUND: i32 = -302;
/// The same identity joined again from elsewhere; this one was put out.
pub const TRILL_STATUS_DUPLICATE_IDENTITY: i32 = -303;
/// The session is over.
pub const TRILL_STATUS_ROOM_CLOSED: i32 = -304;
/// No media path to the server: UDP is probably blocked by a firewall.
pub const TRILL_STATUS_MEDIA_UNREACHABLE: i32 = -305;
/// The server removed this participant from the session.
pub const TRILL_STATUS_PARTICIPANT_REMOVED: i32 = -306;
/// The session has as many participants as this server allows.
pub const TRILL_STATUS_ROOM_FULL: i32 = -307;
/// The media file cannot be read or is not in a supported format.
pub const TRILL_STATUS_MEDIA_FILE: i32 = -400;
/// The device is absent, busy, or access to it was refused.
pub const TRILL_STATUS_DEVICE_UNAVAILABLE: i32 = -401;
/// The codec refused the data or the settings.
pub const TRILL_STATUS_CODEC: i32 = -402;
/// The server did not answer at that address; check URL, network and firewall.
pub const TRILL_STATUS_SERVER_UNREACHABLE: i32 = -500;
/// The server cannot do that at the moment; try again later.
pub const TRILL_STATUS_SERVER_UNAVAILABLE: i32 = -501;
/// The server's certificate was not accepted.
pub const TRILL_STATUS_TLS_REFUSED: i32 = -502;
/// The connection to the server broke and could not be restored.
pub const TRILL_STATUS_CONNECTION_LOST: i32 = -503;
/// Another program listens on that port; choose another or end that program.
pub const TRILL_STATUS_PORT_IN_USE: i32 = -504;
/// The store did not take the change (disk full, locked or damaged); nothing was changed.
pub const TRILL_STATUS_STORE_FAILED: i32 = -505;
/// The configuration is not valid; the message names the field.
pub const TRILL_STATUS_CONFIGURATION: i32 = -506;

#[cfg(test)]
mod tests {
    use crate::base::ErrorCode;

    #[test]
    fn every_error_code_is_a_status_of_the_same_number_and_meaning() {
        for code in ErrorCode::ALL {
            let constant = format!(
                "/// {}\npub const TRILL_STATUS_{}: i32 = {};\n",
                code.meaning(),
                code.name().to_uppercase(),
                code.number()
            );
            assert!(include_str!("status.rs").contains(&constant), "missing:\n{constant}");
        }
        assert_eq!(include_str!("status.rs").matches("\npub const TRILL_STATUS_").count(), ErrorCode::ALL.len() + 1);
    }
}
