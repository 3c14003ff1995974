package dev.trill

/**
 * Why something did not work. [code] is the number of the C interface, frozen once released.
 */
enum class Status(val code: Int) {
    /** A fault inside Trill. Please report it with the log. */
    INTERNAL(-1),

    /** A parameter is missing, out of range or not valid; the message names it. */
    INVALID_ARGUMENT(-2),

    /** The operation was given up because its owner went away or asked for it. */
    CANCELLED(-3),

    /** No answer came within the stated time. */
    TIMED_OUT(-4),

    /** This build or this platform cannot do that. */
    NOT_SUPPORTED(-5),

    /** The engine was shut down; make a new one. */
    SHUT_DOWN(-6),

    /** A rate or count limit was reached; wait and try again. */
    TOO_MANY_REQUESTS(-7),

    /** A message or field is over its size limit. */
    TOO_LARGE(-8),

    /** A message is not in the form that the protocol asks for. */
    MALFORMED(-9),

    /** That cannot be done inside a callback; do it after the callback has returned. */
    IN_CALLBACK(-10),

    /** No token was given. Mint one with `trill token` or in your backend. */
    TOKEN_MISSING(-100),

    /** This is not a JWT with the claims that this use asks for. */
    TOKEN_MALFORMED(-101),

    /** The token is not signed with HS256, the only algorithm accepted. */
    TOKEN_ALGORITHM(-102),

    /** The token is not signed with a key of this server. */
    TOKEN_WRONG_KEY(-103),

    /** The token's time is over; get a new one. */
    TOKEN_EXPIRED(-104),

    /** The token is not valid yet; check the clock of the machine that minted it. */
    TOKEN_NOT_YET_VALID(-105),

    /** The token is for another session. */
    TOKEN_WRONG_ROOM(-106),

    /** The token does not grant this. */
    TOKEN_MISSING_GRANT(-107),

    /** Log in first. */
    NOT_LOGGED_IN(-200),

    /** This engine is logged in already; log out first. */
    ALREADY_LOGGED_IN(-201),

    /** A user cannot call itself. */
    CALLING_SELF(-202),

    /** No user of that id has ever logged in here. */
    USER_UNKNOWN(-203),

    /** There is no group of that id. */
    GROUP_UNKNOWN(-204),

    /** Only members of a group can call it. */
    NOT_A_MEMBER(-205),

    /** You are dialling or in a call already; end that one first. */
    BUSY_SELF(-206),

    /** There is no call with that session id. */
    CALL_NOT_FOUND(-207),

    /** That call is over. */
    ALREADY_ENDED(-208),

    /** You are in that call already. */
    ALREADY_JOINED(-209),

    /** You are not a party to that call. */
    NOT_A_PARTY(-210),

    /** The call's present status does not allow that. */
    NOT_ALLOWED_IN_STATE(-211),

    /** Nobody has accepted that call yet. */
    NOT_YET_ACCEPTED(-212),

    /** The same device logged in again elsewhere; this login is over. */
    DEVICE_REPLACED(-213),

    /** The group has no other members to call. */
    EMPTY_GROUP(-214),

    /** The owner of the server removed this user. */
    USER_REMOVED(-215),

    /** This engine is not in a session of that id. */
    SESSION_NOT_FOUND(-300),

    /** No such participant is in the session. */
    PARTICIPANT_NOT_FOUND(-301),

    /** There is no such track in the session. */
    TRACK_NOT_FOUND(-302),

    /** The same identity joined again from elsewhere; this one was put out. */
    DUPLICATE_IDENTITY(-303),

    /** The session is over. */
    ROOM_CLOSED(-304),

    /** No media path to the server: UDP is probably blocked by a firewall. */
    MEDIA_UNREACHABLE(-305),

    /** The server removed this participant from the session. */
    PARTICIPANT_REMOVED(-306),

    /** The session has as many participants as this server allows. */
    ROOM_FULL(-307),

    /** The media file cannot be read or is not in a supported format. */
    MEDIA_FILE(-400),

    /** The device is absent, busy, or access to it was refused. */
    DEVICE_UNAVAILABLE(-401),

    /** The codec refused the data or the settings. */
    CODEC(-402),

    /** The server did not answer at that address; check URL, network and firewall. */
    SERVER_UNREACHABLE(-500),

    /** The server cannot do that at the moment; try again later. */
    SERVER_UNAVAILABLE(-501),

    /** The server's certificate was not accepted. */
    TLS_REFUSED(-502),

    /** The connection to the server broke and could not be restored. */
    CONNECTION_LOST(-503),

    /** Another program listens on that port; choose another or end that program. */
    PORT_IN_USE(-504),

    /** The store did not take the change (disk full, locked or damaged); nothing was changed. */
    STORE_FAILED(-505),

    /** The configuration is not valid; the message names the field. */
    CONFIGURATION(-506),

    /** A status that this version of the binding does not know; [TrillException.code] has its number. */
    UNRECOGNIZED(1);

    companion object {
        private val byCode = entries.associateBy(Status::code)

        internal fun of(code: Int): Status = byCode[code] ?: UNRECOGNIZED
    }
}

/**
 * An operation that failed, or an event that tells of a failure. [message] says what was wrong and what to do.
 */
class TrillException internal constructor(val code: Int, message: String) : Exception(message) {
    val status: Status = Status.of(code)

    override fun toString(): String = "$status: $message"
}
