package dev.trill.caller

import dev.trill.Call
import dev.trill.CallEvent
import dev.trill.CallOptions
import dev.trill.CallStatus
import dev.trill.CallType
import dev.trill.Engine
import dev.trill.Event
import dev.trill.LoginEvent
import dev.trill.ReceiverType
import dev.trill.RejectReason
import dev.trill.Session
import dev.trill.SessionEvent
import dev.trill.SessionSettings
import dev.trill.Source
import dev.trill.TrillException
import kotlin.time.DurationUnit

/** At most one call at a time: the one that rings, is dialled or is ongoing. */
class Phone(private val engine: Engine, private val settings: SessionSettings) {
    private var call: Call? = null
    private var session: Session? = null

    suspend fun obey(line: String) = complain("refused") {
        val (command, who) = line.split(' ', limit = 2) + ""
        val current = call?.sessionId
        when {
            command == "call" && who.isNotEmpty() -> dial(who, CallType.AUDIO)
            command == "video" && who.isNotEmpty() -> dial(who, CallType.VIDEO)
            command == "group" && who.isNotEmpty() -> dial(who, CallType.VIDEO, ReceiverType.GROUP)
            command == "log" -> engine.callLog().calls.forEach { println("  ${describe(it)}") }
            current == null -> println("there is no call; commands: call USER, video USER, group GROUP, log, quit")
            command == "accept" -> start(engine.accept(current))
            command == "reject" -> engine.reject(current)
            command == "busy" -> engine.reject(current, RejectReason.BUSY)
            command == "cancel" -> engine.cancel(current)
            command == "h" -> engine.end(current)
            command == "mute" || command == "unmute" -> session?.setMuted(Source.MICROPHONE, command == "mute")
            command == "s" -> session?.let { showStatistics(it) }
            else -> println("commands: accept, reject, busy, cancel, mute, unmute, s, h, log, quit")
        }
    }

    suspend fun show(event: Event) {
        when (event) {
            is CallEvent.IncomingReceived -> if (call == null) {
                call = event.call
                println("${event.call.initiator.uid} calls: accept, reject or busy?")
            }
            is CallEvent.OutgoingRinging -> println("it rings")
            is CallEvent.OutgoingAccepted -> {
                println("${event.by} accepted")
                // Of a group each member accepts for itself.
                if (session == null) complain("the session did not start") { start(event.call) }
            }
            is CallEvent -> over(event.call)
            is SessionEvent.Connected -> println("connected")
            is SessionEvent.ParticipantJoined -> println("${event.participant.identity} is there")
            is SessionEvent.ParticipantLeft -> println("${event.participant.identity} is gone")
            is SessionEvent.TrackMuted -> println("${event.identity} is muted")
            is SessionEvent.TrackUnmuted -> println("${event.identity} is not muted any more")
            is SessionEvent.FirstAudio -> println("${event.identity} can be heard")
            is SessionEvent.FirstVideo -> println("${event.identity} can be seen, ${event.width}x${event.height}")
            is SessionEvent.Reconnecting -> println("the connection broke; it is being restored")
            is SessionEvent.Reconnected -> println("the connection is restored")
            is SessionEvent.Failure -> println("! ${event.error.message}")
            is SessionEvent.DeviceChanged -> event.error?.let { println("! ${event.device}: ${it.message}") }
            is LoginEvent.LoggedOut -> println("! logged out: ${event.error?.message}")
            is LoginEvent.Reconnecting -> println("! login: ${event.error?.message}")
            else -> {}
        }
    }

    private suspend fun dial(who: String, type: CallType, receiver: ReceiverType = ReceiverType.USER) {
        val dialled = engine.initiate(who, type, CallOptions(receiverType = receiver))
        if (dialled.status == CallStatus.INITIATED) {
            call = dialled
            println("calling $who")
        }
    }

    private suspend fun start(accepted: Call) {
        call = accepted
        val access = engine.sessionToken(accepted.sessionId)
        session = engine.startSession(
            accepted.sessionId, access, settings.copy(audioOnly = accepted.type == CallType.AUDIO),
        )
    }

    private fun over(ended: Call) {
        if (call?.sessionId == ended.sessionId) {
            call = null
            session = null
        }
        println("the call is over: ${describe(ended)}")
    }

    private fun describe(call: Call): String {
        val seconds = call.duration.toString(DurationUnit.SECONDS)
        return "${call.initiator.uid} -> ${call.receiver}, ${call.type}, $seconds, ${call.endReason ?: call.status}".lowercase()
    }

    private suspend fun showStatistics(session: Session) {
        val statistics = session.statistics()
        for (track in statistics.sent) {
            val (audio, loss) = "${track.audioLevelDbov} dBov" to "lost ${track.packetsLost}, rtt ${track.roundTrip}"
            println("  > ${track.source}: ${track.bytes / 1000} kB, ${track.video.fps} fps, $audio, $loss")
        }
        for (track in statistics.received) {
            val (audio, loss) = "${track.audioLevelDbov} dBov" to "lost ${track.packetsLost}, jitter ${track.audioJitter}"
            println("  < ${track.identity}, ${track.source}: ${track.bytes / 1000} kB, ${track.video.fps} fps, $audio, $loss")
        }
    }

    private suspend fun complain(what: String, block: suspend () -> Unit) = try {
        block()
    } catch (failure: TrillException) {
        println("! $what: ${failure.message} (${failure.status})")
    }
}
