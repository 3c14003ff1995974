package dev.trill

/** Something happened. Events of one call, and those of one session, come in the order in which they happened. */
sealed interface Event {
    /** What this version of the binding does not know. */
    data class Unrecognized(val kind: Int) : Event
}

/** How the login stands. */
sealed interface LoginEvent : Event {
    /** For the first time, or again after a broken connection. */
    data class LoggedIn(val user: User) : LoginEvent

    /** The connection of the login broke; it is being restored. Calls go on. */
    data class Reconnecting(val error: TrillException?) : LoginEvent

    /** The login is over and is not restored: log in again to be reachable. */
    data class LoggedOut(val error: TrillException?) : LoginEvent
}

/** What became of a call. */
sealed interface CallEvent : Event {
    /** The call, as it is after what happened. */
    val call: Call

    /** The uid of who did it; null when nobody did, as with a time-out. */
    val by: String?

    /** Somebody calls this user: ring, then accept or reject. */
    data class IncomingReceived(override val call: Call, override val by: String?) : CallEvent

    /** A first device of the callee rings. */
    data class OutgoingRinging(override val call: Call, override val by: String?) : CallEvent

    /** The callee accepted: start the session. */
    data class OutgoingAccepted(override val call: Call, override val by: String?) : CallEvent

    data class OutgoingRejected(override val call: Call, override val by: String?) : CallEvent

    /** The callee is in another call. */
    data class OutgoingBusy(override val call: Call, override val by: String?) : CallEvent

    /** Nobody answered in time. */
    data class OutgoingUnanswered(override val call: Call, override val by: String?) : CallEvent

    /** The initiator gave up, or nobody answered in time: stop ringing. */
    data class IncomingCancelled(override val call: Call, override val by: String?) : CallEvent

    /** Another device of this user accepted: stop ringing. */
    data class AnsweredElsewhere(override val call: Call, override val by: String?) : CallEvent

    /** Another device of this user rejected: stop ringing. */
    data class RejectedElsewhere(override val call: Call, override val by: String?) : CallEvent

    /** The call that this device was in, or dialled, is over; [Call.endReason] says why. */
    data class Ended(override val call: Call, override val by: String?) : CallEvent
}

/** What happens in a session. */
sealed interface SessionEvent : Event {
    val sessionId: String

    /** The server let us in; media is still connecting. There are no further events of who was there before. */
    data class Joined(override val sessionId: String, val me: Participant, val others: List<Participant>) : SessionEvent

    /** Media can flow. */
    data class Connected(override val sessionId: String) : SessionEvent

    data class ParticipantJoined(override val sessionId: String, val participant: Participant) : SessionEvent

    data class ParticipantLeft(override val sessionId: String, val participant: Participant) : SessionEvent

    /** Name, metadata or attributes changed. */
    data class ParticipantUpdated(override val sessionId: String, val participant: Participant) : SessionEvent

    /** What happens to a track. */
    sealed interface OfTrack : SessionEvent {
        /** Whose track it is. */
        val identity: String
        val track: Track

        /** The track is one of ours. */
        val local: Boolean
    }

    data class TrackPublished(
        override val sessionId: String,
        override val identity: String,
        override val track: Track,
        override val local: Boolean,
    ) : OfTrack

    data class TrackUnpublished(
        override val sessionId: String,
        override val identity: String,
        override val track: Track,
        override val local: Boolean,
    ) : OfTrack

    /** The server sends us that track from now on. */
    data class TrackSubscribed(
        override val sessionId: String,
        override val identity: String,
        override val track: Track,
        override val local: Boolean,
    ) : OfTrack

    /** The server sends us that track no more. */
    data class TrackUnsubscribed(
        override val sessionId: String,
        override val identity: String,
        override val track: Track,
        override val local: Boolean,
    ) : OfTrack

    /** By its publisher or by the server. */
    data class TrackMuted(
        override val sessionId: String,
        override val identity: String,
        override val track: Track,
        override val local: Boolean,
    ) : OfTrack

    /** It can be heard or seen again. */
    data class TrackUnmuted(
        override val sessionId: String,
        override val identity: String,
        override val track: Track,
        override val local: Boolean,
    ) : OfTrack

    /** The first audio of a track was played. */
    data class FirstAudio(override val sessionId: String, val identity: String, val trackId: String) : SessionEvent

    /** The first picture of a track was shown. */
    data class FirstVideo(
        override val sessionId: String,
        val identity: String,
        val trackId: String,
        val width: Int,
        val height: Int,
    ) : SessionEvent

    /** Who speaks at the moment, the loudest first; nobody when all are silent. */
    data class ActiveSpeakers(override val sessionId: String, val speakers: List<Speaker>) : SessionEvent

    /** What the server measures of a participant's connection. */
    data class QualityChanged(override val sessionId: String, val identity: String, val quality: Quality) : SessionEvent

    /** A message from a participant. */
    data class Data(override val sessionId: String, val message: DataMessage) : SessionEvent

    /** The connection broke; it is being restored, and media may stop meanwhile. */
    data class Reconnecting(override val sessionId: String) : SessionEvent

    /** It is restored. */
    data class Reconnected(override val sessionId: String) : SessionEvent

    /** Something failed, and the session goes on without it. */
    data class Failure(override val sessionId: String, val error: TrillException) : SessionEvent

    /**
     * One of our own devices, or what the app put in its place, works, is lost or has failed; the session goes on. [name] is
     * that of the one that works, [error] says why none does.
     */
    data class DeviceChanged(
        override val sessionId: String,
        val device: DeviceKind,
        val state: DeviceState,
        val name: String?,
        val error: TrillException?,
    ) : SessionEvent

    /** What it sends and receives, as often as the settings ask for. */
    data class Measured(override val sessionId: String, val statistics: Statistics) : SessionEvent

    /** The last event of a session. */
    data class Ended(override val sessionId: String, val end: SessionEnd, val error: TrillException?) : SessionEvent
}
