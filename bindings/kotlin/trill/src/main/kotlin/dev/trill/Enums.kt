package dev.trill

/** A number of the C interface. Each enum of them ends in `UNRECOGNIZED`, for what a newer library may say. */
interface Coded {
    val code: Int
}

internal inline fun <reified E> coded(code: Int): E where E : Enum<E>, E : Coded =
    enumValues<E>().let { all -> all.find { it.code == code } ?: all.last() }

private const val UNRECOGNIZED_CODE = -1

enum class CallType(override val code: Int) : Coded {
    /** Voice alone. */
    AUDIO(1),

    /** Voice and picture. */
    VIDEO(2),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

enum class ReceiverType(override val code: Int) : Coded {
    USER(1),
    GROUP(2),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

enum class Category(override val code: Int) : Coded {
    /** Somebody is rung. */
    CALL(1),

    /** A meeting that was agreed on beforehand. */
    MEET(2),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

enum class CallStatus(override val code: Int) : Coded {
    /** It rings, or will once a device of the receiver is there. */
    INITIATED(1),

    /** Accepted: the parties may start the session. */
    ONGOING(2),

    /** It was ongoing and is over. */
    ENDED(3),
    REJECTED(4),

    /** The receiver is in another call. */
    BUSY(5),

    /** The initiator gave up before an answer. */
    CANCELLED(6),

    /** Nobody answered in time. */
    UNANSWERED(7),

    /** The server could not carry it. */
    FAILED(8),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

enum class EndReason(override val code: Int) : Coded {
    /** A party ended the ongoing call. */
    HUNG_UP(1),
    REJECTED(2),

    /** The receiver is in another call. */
    BUSY(3),

    /** The initiator gave up before an answer. */
    CANCELLED(4),

    /** Nobody answered in time. */
    UNANSWERED(5),

    /** The initiator's device lost its connection while it rang and did not come back. */
    CALLER_GONE(6),

    /** A party's device lost its connection in the call and did not come back. */
    CONNECTION_LOST(7),

    /** One party was alone in the session for too long. */
    LEFT_ALONE(8),

    /** The last party left the session. */
    EVERYONE_LEFT(9),

    /** The server could not carry the call. */
    FAILED(10),

    /** The owner removed the user or the group. */
    REMOVED(11),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

enum class PartyState(override val code: Int) : Coded {
    /** The call is for this user; no device has said yet that it rings. */
    INVITED(1),

    /** A device of this user rings. */
    RINGING(2),

    /** In the call, not yet in its session. The initiator is this from the start. */
    ACCEPTED(3),

    /** In the session. */
    JOINED(4),

    /** Was in the session, and left it or lost it. */
    LEFT(5),
    REJECTED(6),

    /** Was in another call. */
    BUSY(7),

    /** The ringing ended without an answer. */
    MISSED(8),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** Why a call is rejected. */
enum class RejectReason(override val code: Int) : Coded {
    /** The callee does not want the call. */
    REJECTED(1),

    /** The callee is in another call. */
    BUSY(2),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** Of a call in the log, as its user saw it. */
enum class Direction(override val code: Int) : Coded {
    OUTGOING(1),
    INCOMING(2),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

enum class TrackKind(override val code: Int) : Coded {
    AUDIO(1),
    VIDEO(2),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** Where a track comes from. An engine publishes [MICROPHONE] and [CAMERA]. */
enum class Source(override val code: Int) : Coded {
    MICROPHONE(1),
    CAMERA(2),
    SCREEN_SHARE(3),
    SCREEN_SHARE_AUDIO(4),

    /** Its publisher does not say. */
    UNKNOWN(5),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** What the server measures of a participant's connection. */
enum class Quality(override val code: Int) : Coded {
    /** Not measured yet. */
    UNKNOWN(0),
    LOST(1),
    POOR(2),
    GOOD(3),
    EXCELLENT(4),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** Why a session is over. */
enum class SessionEnd(override val code: Int) : Coded {
    /** We left. */
    LEFT(1),

    /** The same identity joined from elsewhere. */
    DUPLICATE_IDENTITY(2),

    /** The server put us out. */
    PARTICIPANT_REMOVED(3),

    /** The session was closed for everyone. */
    ROOM_CLOSED(4),

    /** The server is going down. */
    SERVER_SHUTDOWN(5),

    /** The connection broke and could not be restored in time. */
    CONNECTION_LOST(6),

    /** The server answered, but no media path to it was found: UDP is probably blocked. */
    MEDIA_UNREACHABLE(7),

    /** The session never came about; the error says why. */
    JOIN_FAILED(8),

    /** A fault inside Trill: that session was closed, and the engine goes on. Please report it with the log. */
    INTERNAL(9),

    /** Nobody else was in the session for as long as [SessionSettings.leftAloneTimeout] allows. */
    LEFT_ALONE(10),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** What became of a call that a push announced. */
enum class PushOutcome(override val code: Int) : Coded {
    /** It rings here; [CallEvent.IncomingReceived] tells of it, once. */
    RINGING(1),

    /** This device is in the call. */
    IN_CALL(2),

    /** Another device of this user accepted. */
    ANSWERED_ELSEWHERE(3),

    /** Another device of this user rejected. */
    REJECTED_ELSEWHERE(4),

    /** It is over: the caller gave up, nobody answered, or it was talked and ended. */
    OVER(5),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

enum class DeviceKind(override val code: Int) : Coded {
    MICROPHONE(1),
    SPEAKER(2),
    CAMERA(3),

    /** Where a participant's picture goes to. In events only: there is nothing to list. */
    VIDEO_OUTPUT(4),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** What became of one of our devices in a session. */
enum class DeviceState(override val code: Int) : Coded {
    /** It works: for the first time, again, or in the place of another. */
    IN_USE(1),

    /** None works: there is silence, or no picture, until one is found. */
    LOST(2),

    /** None works, and none is looked for. */
    FAILED(3),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** When a camera's picture is sent in several sizes at a time, so that each of the others gets the one that it can take. */
enum class Simulcast(override val code: Int) : Coded {
    /** While there are more than two in the session. Between two it comes in one size, fitted to what the other can take. */
    IN_GROUPS(0),
    ALWAYS(1),

    /** In one size, which the narrowest connection of all who watch sets. */
    NEVER(2),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** What is done when one of the machine's devices is not there, fails, or is not the default one any more. */
enum class DevicePolicy(override val code: Int) : Coded {
    /** The chosen device, and the default one while it is not there. */
    FALL_BACK(0),

    /** The default device, also when that becomes another one. */
    FOLLOW_DEFAULT(1),

    /** The chosen device and no other: silence until it is back. */
    KEEP(2),

    /** The chosen device. Once it fails, silence, until the app chooses again. */
    SILENCE(3),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}

/** What can be done to our voice before it is sent. */
enum class VoiceProcessing(internal val flag: Int) {
    /** Takes what the speaker plays out of what the microphone hears. */
    ECHO_CANCELLATION(1),

    /** Takes steady noise down. */
    NOISE_SUPPRESSION(2),

    /** Brings a soft or distant voice to a level that is easy to hear. */
    GAIN_CONTROL(4),

    /** Takes out what lies below a voice: rumble, wind and hum. */
    HIGH_PASS(8);

    internal companion object {
        /** Nothing is done; 0 stands for the default. */
        const val NONE = 16

        fun of(flags: Int): Set<VoiceProcessing> = entries.filter { flags and it.flag != 0 }.toSet()
    }
}

internal fun Set<VoiceProcessing>.flags(): Int = if (isEmpty()) VoiceProcessing.NONE else sumOf { it.flag }

/** How important a line of the library's log is. */
enum class LogLevel(override val code: Int) : Coded {
    OFF(0),
    ERROR(1),
    WARN(2),
    INFO(3),
    DEBUG(4),
    TRACE(5),
    UNRECOGNIZED(UNRECOGNIZED_CODE),
}
