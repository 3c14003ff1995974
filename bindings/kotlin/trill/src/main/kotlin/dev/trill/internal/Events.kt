package dev.trill.internal

import com.sun.jna.Pointer
import dev.trill.CallEvent
import dev.trill.Event
import dev.trill.LoginEvent
import dev.trill.SessionEvent
import dev.trill.coded
import java.util.concurrent.CopyOnWriteArrayList
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.channels.Channel

/** What TRILL_EVENT_* says happened, as an event of Kotlin's. */
internal fun readEvent(pointer: Pointer): Event = EventStruct(pointer).readAll().run {
    val session = session_id.textOrEmpty()
    val who = identity.textOrEmpty()
    val ours = local != 0
    fun call() = readCall(checkNotNull(call))
    fun participant() = readParticipant(checkNotNull(participant))
    fun track() = readTrack(checkNotNull(track))
    fun error() = error?.let(::readError)
    when (coded<EventKind>(kind)) {
        EventKind.LOGGED_IN -> LoginEvent.LoggedIn(readUser(checkNotNull(user)))
        EventKind.LOGIN_RECONNECTING -> LoginEvent.Reconnecting(error())
        EventKind.LOGGED_OUT -> LoginEvent.LoggedOut(error())

        EventKind.INCOMING_RECEIVED -> CallEvent.IncomingReceived(call(), by.text())
        EventKind.OUTGOING_RINGING -> CallEvent.OutgoingRinging(call(), by.text())
        EventKind.OUTGOING_ACCEPTED -> CallEvent.OutgoingAccepted(call(), by.text())
        EventKind.OUTGOING_REJECTED -> CallEvent.OutgoingRejected(call(), by.text())
        EventKind.OUTGOING_BUSY -> CallEvent.OutgoingBusy(call(), by.text())
        EventKind.OUTGOING_UNANSWERED -> CallEvent.OutgoingUnanswered(call(), by.text())
        EventKind.INCOMING_CANCELLED -> CallEvent.IncomingCancelled(call(), by.text())
        EventKind.ANSWERED_ELSEWHERE -> CallEvent.AnsweredElsewhere(call(), by.text())
        EventKind.REJECTED_ELSEWHERE -> CallEvent.RejectedElsewhere(call(), by.text())
        EventKind.CALL_ENDED -> CallEvent.Ended(call(), by.text())

        EventKind.SESSION_JOINED ->
            SessionEvent.Joined(session, participant(), readParticipants(participants, participant_count))
        EventKind.SESSION_CONNECTED -> SessionEvent.Connected(session)
        EventKind.PARTICIPANT_JOINED -> SessionEvent.ParticipantJoined(session, participant())
        EventKind.PARTICIPANT_LEFT -> SessionEvent.ParticipantLeft(session, participant())
        EventKind.PARTICIPANT_UPDATED -> SessionEvent.ParticipantUpdated(session, participant())
        EventKind.TRACK_PUBLISHED -> SessionEvent.TrackPublished(session, who, track(), ours)
        EventKind.TRACK_UNPUBLISHED -> SessionEvent.TrackUnpublished(session, who, track(), ours)
        EventKind.TRACK_SUBSCRIBED -> SessionEvent.TrackSubscribed(session, who, track(), ours)
        EventKind.TRACK_UNSUBSCRIBED -> SessionEvent.TrackUnsubscribed(session, who, track(), ours)
        EventKind.TRACK_MUTED -> SessionEvent.TrackMuted(session, who, track(), ours)
        EventKind.TRACK_UNMUTED -> SessionEvent.TrackUnmuted(session, who, track(), ours)
        EventKind.FIRST_AUDIO -> SessionEvent.FirstAudio(session, who, track_id.textOrEmpty())
        EventKind.FIRST_VIDEO -> SessionEvent.FirstVideo(session, who, track_id.textOrEmpty(), width, height)
        EventKind.ACTIVE_SPEAKERS -> SessionEvent.ActiveSpeakers(session, readSpeakers(speakers, speaker_count))
        EventKind.QUALITY_CHANGED -> SessionEvent.QualityChanged(session, who, coded(quality))
        EventKind.DATA -> SessionEvent.Data(session, readData(checkNotNull(data)))
        EventKind.SESSION_RECONNECTING -> SessionEvent.Reconnecting(session)
        EventKind.SESSION_RECONNECTED -> SessionEvent.Reconnected(session)
        EventKind.SESSION_ERROR -> SessionEvent.Failure(session, checkNotNull(error()))
        EventKind.SESSION_ENDED -> SessionEvent.Ended(session, coded(session_end), error())
        EventKind.DEVICE_CHANGED ->
            SessionEvent.DeviceChanged(session, coded(device), coded(device_state), device_name.text(), error())
        EventKind.STATISTICS -> SessionEvent.Measured(session, readStatistics(checkNotNull(statistics)))

        EventKind.UNRECOGNIZED -> Event.Unrecognized(kind)
    }
}

/** Those who want an engine's events, each with a queue of its own. */
internal class Subscribers {
    private class Subscriber(val queue: Channel<Event>, val sessionId: String?)

    private val all = CopyOnWriteArrayList<Subscriber>()

    @Volatile
    private var over = false

    /** For all events, none of which is lost. */
    fun subscribe(): Channel<Event> = add(Subscriber(Channel(Channel.UNLIMITED), null))

    /** For one session's, of which the latest are kept until they are taken. */
    fun subscribe(sessionId: String): Channel<Event> =
        add(Subscriber(Channel(KEPT_EVENTS, BufferOverflow.DROP_OLDEST), sessionId))

    fun unsubscribe(queue: Channel<Event>) {
        all.removeIf { it.queue == queue }
        queue.close()
    }

    fun tell(event: Event) {
        for (subscriber in all) {
            if (subscriber.sessionId == null) {
                subscriber.queue.trySend(event)
            } else if (event is SessionEvent && event.sessionId == subscriber.sessionId) {
                subscriber.queue.trySend(event)
                if (event is SessionEvent.Ended) unsubscribe(subscriber.queue)
            }
        }
    }

    /** There are no more events. */
    fun close() {
        over = true
        all.forEach { unsubscribe(it.queue) }
    }

    private fun add(subscriber: Subscriber): Channel<Event> {
        all += subscriber
        if (over) unsubscribe(subscriber.queue)
        return subscriber.queue
    }

    private companion object {
        const val KEPT_EVENTS = 1024
    }
}

internal val subscribersOfEngines = Registry<Subscribers>()

internal val eventFunction = onNativeThreads("trill-events", EventFunction { userData, event ->
    subscribersOfEngines[userData]?.tell(readEvent(event))
})

internal val engineDropFunction = DropFunction { userData -> subscribersOfEngines.remove(userData)?.close() }
