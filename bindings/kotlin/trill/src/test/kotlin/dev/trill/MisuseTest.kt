package dev.trill

import java.nio.ByteBuffer
import java.nio.file.Path
import java.time.Instant
import java.util.Base64
import kotlin.time.Duration.Companion.days
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout

/** What an app does wrong becomes an exception that says so. */
@Timeout(60)
class MisuseTest {
    private fun refused(status: Status, text: String, block: suspend () -> Unit) {
        val refusal = assertThrows(TrillException::class.java) { runBlocking { block() } }
        assertEquals(status, refusal.status)
        assertTrue(text in refusal.message!!) { refusal.message }
    }

    @Test
    fun `what needs a login says so`() = Engine().use { engine ->
        assertNull(engine.loggedInUser)
        assertNull(engine.activeCall)
        refused(Status.NOT_LOGGED_IN, "Log in") { engine.initiate("bob") }
        refused(Status.NOT_LOGGED_IN, "Log in") { engine.callLog() }
    }

    @Test
    fun `bad arguments are refused with their names`() = Engine().use { engine ->
        refused(Status.INVALID_ARGUMENT, "URL") { engine.login("no url", "token") }
        refused(Status.INVALID_ARGUMENT, "worker_threads") { Engine(EngineConfig(workerThreads = 99)).close() }
        assertThrows(IllegalArgumentException::class.java) { runBlocking { engine.initiate("bob\u0000x") } }
        val settings = SessionSettings(audioOutputFile = Path.of("/no/such/folder/out.wav"))
        refused(Status.MEDIA_FILE, "/no/such/folder") { engine.startSession("s", "ws://127.0.0.1:1", "t", settings) }
    }

    @Test
    fun `a session that cannot be joined fails with the reason`() = Engine().use { engine ->
        refused(Status.SERVER_UNREACHABLE, "127.0.0.1") { engine.startSession("s", "ws://127.0.0.1:1", "t") }
    }

    @Test
    fun `a time that is out of range is refused, and none wraps around to one that is not`() = Engine().use { engine ->
        for (time in listOf(999.milliseconds, 2.days, 4_294_967_296.milliseconds + 5.seconds, -5.seconds)) {
            refused(Status.INVALID_ARGUMENT, "left_alone_timeout") {
                engine.startSession("s", "ws://127.0.0.1:1", "t", SessionSettings(leftAloneTimeout = time))
            }
        }
    }

    @Test
    fun `a closed engine refuses, and its events are over`() {
        val engine = Engine()
        engine.close()
        engine.close()
        assertEquals(emptyList<Event>(), runBlocking { engine.events.toList() })
        assertThrows(TrillException::class.java) { runBlocking { engine.login("http://127.0.0.1:1", "t") } }
    }

    @Test
    fun `planes that are too small never reach the library`() {
        val (luma, chroma) = ByteBuffer.allocateDirect(16 * 16) to ByteBuffer.allocateDirect(8 * 8)
        VideoFrame(16, 16, luma, chroma, chroma)
        for (make in listOf<() -> VideoFrame>(
            { VideoFrame(16, 18, luma, chroma, chroma) },
            { VideoFrame(16, 16, luma, chroma, chroma, strideY = 15) },
            { VideoFrame(16, 16, luma, chroma, chroma, strideU = 9) },
            { VideoFrame(16, 16, ByteBuffer.allocate(256), chroma, chroma) },
            { VideoFrame(0, 16, luma, chroma, chroma) },
        )) assertThrows(IllegalArgumentException::class.java) { make() }
    }

    @Test
    fun `a push's payload is read without a network, and what is none is refused`() {
        val claims = """{"use":"wake","exp":1,"sub":"bob","sessionId":"s1","from":{"uid":"alice"},"type":"VIDEO"}"""
        val body = Base64.getUrlEncoder().withoutPadding().encodeToString(claims.encodeToByteArray())
        val wake = Trill.readWake("h.$body.s".encodeToByteArray())
        assertEquals(listOf("bob", "s1", "alice"), listOf(wake.uid, wake.sessionId, wake.from.uid))
        assertEquals(CallType.VIDEO to Instant.ofEpochSecond(1), wake.type to wake.expiresAt)
        refused(Status.MALFORMED, "") { Trill.readWake(byteArrayOf(1, 2, 3)) }
        Engine().use { refused(Status.NOT_LOGGED_IN, "Log in") { it.callFromPush("h.$body.s".encodeToByteArray()) } }
    }

    @Test
    fun `devices are listed, or it is said why not`() {
        for (kind in listOf(DeviceKind.MICROPHONE, DeviceKind.SPEAKER, DeviceKind.CAMERA)) {
            // Machines of tests have none of them, or any.
            assertTrue(Trill.devices(kind).all { it.name.isNotEmpty() && it.id.isNotEmpty() })
            refused(Status.DEVICE_UNAVAILABLE, "no such device") { Trill.deviceFormats(kind, "no such device") }
        }
        refused(Status.INVALID_ARGUMENT, "kind") { Trill.devices(DeviceKind.UNRECOGNIZED) }
    }

    @Test
    fun `the secret of a session is not in its text`() {
        val access = SessionAccess("wss://calls.example.com", "secret", Instant.EPOCH)
        assertFalse("secret" in "$access")
    }
}
