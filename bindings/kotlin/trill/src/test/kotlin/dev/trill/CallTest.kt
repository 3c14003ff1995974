package dev.trill

import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import java.util.concurrent.atomic.AtomicReference
import kotlin.time.Duration.Companion.microseconds
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Alice, who pushes a grey picture and a tone, calls Bob, who sends a test picture and a tone. */
class CallTest {
    private val patience = 30.seconds

    /** What one of the two hears and sees. */
    private class Senses {
        val pictures = AtomicInteger()
        val loud = AtomicInteger()
        val voices = ConcurrentLinkedQueue<String>()
        val lastPicture = AtomicReference<VideoFrame>()
        val media = MediaCallbacks(
            video = { _, _, frame ->
                lastPicture.set(frame.copy())
                pictures.incrementAndGet()
            },
            audio = { frame -> if (isLoud(frame)) loud.incrementAndGet() },
            participantAudio = { identity, frame -> if (isLoud(frame) && voices.size < 10) voices += identity },
        )

        private fun isLoud(frame: AudioFrame) = (0 until frame.samples.remaining()).any { frame.samples.get(it) > 1000 }
    }

    @Test
    fun `two engines ring, talk, hang up and find it in the log`() = TestServer().use { server ->
        Engine(EngineConfig(deviceId = "desk")).use { alice ->
            Engine().use { bob -> runBlocking(Dispatchers.Default) { withTimeout(90.seconds) { call(server, alice, bob) } } }
        }
    }

    private suspend fun CoroutineScope.call(server: TestServer, alice: Engine, bob: Engine) {
        assertEquals("alice", alice.login(server.url, server.token("alice")).uid)
        assertEquals("bob", bob.login(server.url, server.token("bob")).uid)
        assertEquals("alice", alice.loggedInUser?.uid)

        val incoming = next<CallEvent.IncomingReceived>(bob.events)
        val ringing = next<CallEvent.OutgoingRinging>(alice.events)
        val accepted = next<CallEvent.OutgoingAccepted>(alice.events)
        val dialled = alice.initiate("bob", CallType.VIDEO, CallOptions(metadata = """{"room":7}"""))
        assertEquals(CallStatus.INITIATED, dialled.status)
        assertEquals("alice" to """{"room":7}""", incoming.await().call.run { initiator.uid to metadata })
        ringing.await()
        assertEquals(dialled.sessionId, alice.activeCall?.sessionId)
        assertEquals(CallStatus.ONGOING, bob.accept(dialled.sessionId).status)
        assertEquals("bob", accepted.await().by)

        val (eyesOfAlice, eyesOfBob) = Senses() to Senses()
        val pushed = SessionSettings(audio = AudioSource.Pushed(channels = 2), video = VideoSource.Pushed)
        val made = SessionSettings(
            audio = AudioSource.Tone(), video = VideoSource.TestPicture, videoWidth = 320, videoHeight = 180, videoFps = 15,
            statisticsInterval = 200.milliseconds,
        )
        val id = dialled.sessionId
        val hers = alice.startSession(id, alice.sessionToken(id), pushed, eyesOfAlice.media)
        val his = bob.startSession(id, bob.sessionToken(id), made, eyesOfBob.media)
        val pusher = Executors.newSingleThreadScheduledExecutor()
        pusher.scheduleAtFixedRate(Pusher(hers), 0, 20, TimeUnit.MILLISECONDS)
        try {
            talk(hers, his, eyesOfAlice, eyesOfBob)
        } finally {
            pusher.shutdown()
        }
        hangUp(alice, bob, hers, his)
    }

    private suspend fun CoroutineScope.talk(hers: Session, his: Session, eyesOfAlice: Senses, eyesOfBob: Senses) {
        eventually("bob's pictures") { eyesOfAlice.pictures.get() >= 10 }
        eventually("alice's pictures") { eyesOfBob.pictures.get() >= 5 }
        eventually("bob's tone") { eyesOfAlice.loud.get() >= 25 }
        eventually("alice's tone") { eyesOfBob.loud.get() >= 25 }
        eventually("alice's voice alone") { eyesOfBob.voices.isNotEmpty() }
        assertEquals(setOf("alice"), eyesOfBob.voices.toSet())
        val seen = eyesOfBob.lastPicture.get()
        assertEquals(320 to 180, seen.width to seen.height)
        assertTrue((seen.y.get(0).toInt() and 0xff) in 180..220) { "a light grey became ${seen.y.get(0)}" }

        assertEquals(listOf("alice", "bob"), hers.participants.map { it.identity })
        his.voiceProcessing = setOf(VoiceProcessing.HIGH_PASS, VoiceProcessing.GAIN_CONTROL)
        assertEquals(setOf(VoiceProcessing.HIGH_PASS, VoiceProcessing.GAIN_CONTROL), his.voiceProcessing)
        his.voiceProcessing = emptySet()
        assertEquals(emptySet<VoiceProcessing>(), his.voiceProcessing)

        val statistics = hers.statistics()
        assertEquals(2, statistics.sent.size)
        assertTrue(statistics.received.all { it.identity == "bob" && it.packets > 0 })
        assertTrue(statistics.connectedAfter!! > 0.seconds)

        val measured = next<SessionEvent.Measured>(his.events).await()
        assertEquals(his.id to 2, measured.sessionId to measured.statistics.sent.size)
        // He has none of the machine's devices.
        val choice = runCatching { his.chooseDevice(DeviceKind.MICROPHONE, "any", DevicePolicy.KEEP) }
        assertEquals(Status.DEVICE_UNAVAILABLE, choice.status())
        assertEquals(Status.DEVICE_UNAVAILABLE, runCatching { his.setVolume(DeviceKind.SPEAKER, 0.5f) }.status())

        val message = next<SessionEvent.Data>(his.events)
        hers.sendData("hello".encodeToByteArray(), topic = "chat", to = listOf("bob"))
        message.await().message.let {
            assertArrayEquals("hello".encodeToByteArray(), it.payload)
            assertEquals("chat" to "alice", it.topic to it.from)
        }
        val muted = next<SessionEvent.TrackMuted>(his.events)
        hers.setMuted(Source.CAMERA, true)
        assertEquals("alice" to Source.CAMERA, muted.await().run { identity to track.source })
    }

    private suspend fun CoroutineScope.hangUp(alice: Engine, bob: Engine, hers: Session, his: Session) {
        val endForBob = next<CallEvent.Ended>(bob.events)
        val endOfHis = next<SessionEvent.Ended>(his.events)
        val ended = alice.end(hers.id)
        assertEquals(EndReason.HUNG_UP, ended.endReason)
        assertEquals("alice", endForBob.await().by)
        endOfHis.await()
        assertEquals(Status.SESSION_NOT_FOUND, runCatching { his.statistics() }.status())
        assertNull(alice.activeCall)
        for (engine in listOf(alice, bob)) {
            val page = engine.callLog(CallLogFilter(type = CallType.VIDEO))
            assertEquals(listOf(hers.id to EndReason.HUNG_UP), page.calls.map { it.sessionId to it.endReason })
            assertTrue(page.calls[0].duration > 0.seconds && page.calls[0].parties.all { it.joined })
        }
        alice.logout()
        assertNull(alice.loggedInUser)
    }

    @Test
    fun `the log is filtered by what it is asked for, and a user has the metadata that its owner gave it`() =
        TestServer().use { server ->
            Engine().use { alice ->
                runBlocking {
                    withTimeout(patience) {
                        Engine().use { bob ->
                            assertNull(bob.login(server.url, server.token("bob")).metadata)
                        }
                        server.put("users/alice", """{"name": "Alice", "metadata": {"desk": 4}}""")
                        server.put("groups/team", """{"name": "Team"}""")
                        for (member in listOf("alice", "bob")) server.put("groups/team/members/$member", "")
                        val user = alice.login(server.url, server.token("alice"))
                        assertEquals("Alice" to """{"desk":4}""", user.name to user.metadata)

                        val toBob = alice.initiate("bob").sessionId
                        alice.cancel(toBob)
                        val group = CallOptions(receiverType = ReceiverType.GROUP, category = Category.MEET)
                        val toTeam = alice.initiate("team", options = group).sessionId
                        alice.cancel(toTeam)
                        suspend fun found(filter: CallLogFilter) = alice.callLog(filter).calls.map { it.sessionId }
                        assertEquals(listOf(toTeam, toBob), found(CallLogFilter()))
                        assertEquals(listOf(toBob), found(CallLogFilter(category = Category.CALL)))
                        assertEquals(listOf(toTeam), found(CallLogFilter(category = Category.MEET)))
                        assertEquals(listOf(toTeam), found(CallLogFilter(guid = "team")))
                        assertEquals(emptyList<String>(), found(CallLogFilter(guid = "nobodys")))
                        assertEquals(listOf(toTeam, toBob), found(CallLogFilter(recording = false)))
                        assertEquals(emptyList<String>(), found(CallLogFilter(recording = true)))
                    }
                }
            }
        }

    @Test
    fun `a rejected call, a cancelled call and a call to nobody end as they should`() = TestServer().use { server ->
        Engine().use { alice ->
            Engine().use { bob ->
                runBlocking {
                    withTimeout(patience) {
                        alice.login(server.url, server.token("alice"))
                        bob.login(server.url, server.token("bob"))
                        val rings = next<CallEvent.IncomingReceived>(bob.events)
                        val rejected = next<CallEvent.OutgoingRejected>(alice.events)
                        val first = alice.initiate("bob").sessionId
                        rings.await()
                        bob.reject(first)
                        assertEquals(EndReason.REJECTED, rejected.await().call.endReason)
                        val cancelled = next<CallEvent.IncomingCancelled>(bob.events)
                        alice.cancel(alice.initiate("bob").sessionId)
                        assertEquals(CallStatus.CANCELLED, cancelled.await().call.status)
                        assertEquals(Status.USER_UNKNOWN, runCatching { alice.initiate("nobody") }.status())
                        val early = runCatching { alice.startSession(first, alice.sessionToken(first)) }
                        assertEquals(Status.ALREADY_ENDED, early.status())
                    }
                }
            }
        }
    }

    @Test
    fun `who is alone for as long as is set is out with that reason`() = TestServer().use { server ->
        Engine().use { engine ->
            runBlocking {
                val end = next<SessionEvent.Ended>(engine.events)
                val settings = SessionSettings(leftAloneTimeout = 1.seconds)
                engine.startSession("meeting", server.url, server.sessionToken("meeting", "alice"), settings)
                assertEquals(SessionEnd.LEFT_ALONE to null, end.await().run { this.end to error })
            }
        }
    }

    @Test
    fun `a server that goes away is told, and in the log, which holds no token`() {
        val lines = ConcurrentLinkedQueue<String>()
        val server = TestServer()
        val token = server.sessionToken("meeting", "alice")
        Trill.log(LogLevel.DEBUG) { level, target, message -> lines += "$level $target $message" }
        try {
            Engine().use { engine ->
                runBlocking {
                    val session = engine.startSession("meeting", server.url, token, SessionSettings(audio = AudioSource.Tone()))
                    val broken = next<SessionEvent.Reconnecting>(session.events)
                    server.close()
                    assertEquals("meeting", broken.await().sessionId)
                    session.end()
                }
            }
        } finally {
            Trill.logOff()
            server.close()
        }
        assertTrue(lines.any { it.startsWith("DEBUG trill") } && lines.none { token in it }) { lines.joinToString("\n") }
    }

    /** Twice a loud 24 Hz square wave, and a light grey picture at each third turn. */
    private class Pusher(private val session: Session) : Runnable {
        private val tone = ShortArray(2 * 960) { if (it / 96 % 2 == 0) 8000 else -8000 }
        private var turns = 0L

        override fun run() {
            // What does not fit is dropped, which is fine here.
            runCatching { session.pushAudio(tone) }
            if (turns % 3 == 0L) {
                val frame = VideoFrame.allocate(320, 180, timestamp = (turns * 20_000).microseconds)
                for (i in 0 until frame.y.capacity()) frame.y.put(i, 200.toByte())
                runCatching { session.pushVideo(frame) }
            }
            turns++
        }
    }

    /** The next event of a kind, from now on. */
    private inline fun <reified E : Event> CoroutineScope.next(events: Flow<Event>) =
        async(start = CoroutineStart.UNDISPATCHED) { withTimeout(patience) { events.filterIsInstance<E>().first() } }

    private suspend fun eventually(what: String, holds: () -> Boolean) {
        val deadline = System.nanoTime() + patience.inWholeNanoseconds
        while (!holds()) {
            check(System.nanoTime() < deadline) { "no $what came within $patience" }
            delay(20)
        }
    }

    private fun Result<*>.status(): Status? = (exceptionOrNull() as? TrillException)?.status
}
