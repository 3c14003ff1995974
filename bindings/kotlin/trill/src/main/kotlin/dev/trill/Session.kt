package dev.trill

import com.sun.jna.Pointer
import com.sun.jna.StringArray
import com.sun.jna.ptr.IntByReference
import dev.trill.internal.ParticipantsStruct
import dev.trill.internal.SizeT
import dev.trill.internal.address
import dev.trill.internal.await
import dev.trill.internal.awaitResult
import dev.trill.internal.checked
import dev.trill.internal.lend
import dev.trill.internal.library
import dev.trill.internal.readAll
import dev.trill.internal.readParticipants
import dev.trill.internal.readStatistics
import dev.trill.internal.taken
import dev.trill.internal.toInt
import dev.trill.internal.whole
import java.lang.ref.Reference
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.receiveAsFlow

/**
 * The media of a call, or of any room. It ends with [end], with its call, with its engine, or when the server or the network
 * ends it; after that its functions fail with [Status.SESSION_NOT_FOUND].
 */
class Session internal constructor(
    private val engine: Pointer,
    val id: String,
    private val pushedChannels: Int,
    queue: Channel<Event>,
) {
    /**
     * What happens in this session from its start to its end, which is the last event. For one collector; of what happens
     * before it collects, the latest 1,024 events are kept.
     */
    val events: Flow<SessionEvent> = queue.receiveAsFlow().filterIsInstance<SessionEvent>()

    /** Who is in it at the moment: ourselves first, if the server has let us in. */
    val participants: List<Participant>
        get() = taken(
            library::trill_participants_free,
            { ParticipantsStruct(it).readAll().run { readParticipants(participants, participant_count) } },
        ) { out, error -> library.trill_session_participants(engine, id, out, error) }

    /** What is done to our voice, from the next 20 ms on. */
    var voiceProcessing: Set<VoiceProcessing>
        get() {
            val out = IntByReference()
            checked { error -> library.trill_session_voice_processing(engine, id, out, error) }
            return VoiceProcessing.of(out.value)
        }
        set(value) =
            checked { error -> library.trill_session_set_voice_processing(engine, id, value.flags(), error) }

    /**
     * Takes another of the machine's devices from now on, by name or id; null for the default one. What comes of it is told as
     * [SessionEvent.DeviceChanged].
     */
    fun chooseDevice(kind: DeviceKind, name: String? = null, policy: DevicePolicy = DevicePolicy.FALL_BACK) =
        checked { error ->
            library.trill_session_choose_device(engine, id, kind.code, name?.whole(), policy.code, error)
        }

    /** Says how loud one of the machine's microphones or speakers is: 0 for silence, 1 as it is, 4 at most. */
    fun setVolume(kind: DeviceKind, volume: Float) =
        checked { error -> library.trill_session_set_volume(engine, id, kind.code, volume, error) }

    /** Leaves it. After that no function of its [MediaCallbacks] runs any more. Takes 2 s at most. */
    suspend fun end() = await { done, userData, error -> library.trill_session_end(engine, id, done, userData, error) }

    /**
     * Mutes or unmutes what we send of [Source.MICROPHONE] or [Source.CAMERA]: while muted nothing is captured or sent, and the
     * others are told.
     */
    suspend fun setMuted(source: Source, muted: Boolean) = await { done, userData, error ->
        library.trill_session_set_muted(engine, id, source.code, muted.toInt(), done, userData, error)
    }

    /** Takes what we send of one source back, for good. */
    suspend fun unpublish(source: Source) = await { done, userData, error ->
        library.trill_session_unpublish(engine, id, source.code, done, userData, error)
    }

    /** Asks for a track of another participant, or gives it up. */
    suspend fun subscribe(trackId: String, wanted: Boolean = true) = await { done, userData, error ->
        library.trill_session_subscribe(engine, id, trackId.whole(), wanted.toInt(), done, userData, error)
    }

    /**
     * Sends a message of up to 15 KiB to these identities, or to everyone. Reliable ones come in order, and are resent until
     * they arrive.
     */
    suspend fun sendData(
        payload: ByteArray,
        topic: String? = null,
        reliable: Boolean = true,
        to: List<String> = emptyList(),
    ) = await { done, userData, error ->
        val destinations = if (to.isEmpty()) null else StringArray(Array(to.size) { to[it].whole() }, "UTF-8")
        library.trill_session_send_data(
            engine, id, payload, SizeT(payload.size.toLong()), topic?.whole(), reliable.toInt(), destinations,
            SizeT(to.size.toLong()), done, userData, error,
        )
    }

    /** What it sends and receives. */
    suspend fun statistics(): Statistics = awaitResult(::readStatistics) { done, userData, error ->
        library.trill_session_statistics(engine, id, done, userData, error)
    }

    /**
     * Pushes audio into a session with [AudioSource.Pushed]: interleaved signed 16-bit samples, any number of them. Never
     * blocks. Silence is sent while nothing is pushed; up to 200 ms may wait. One thread at a time.
     */
    fun pushAudio(samples: ShortArray) = checked { error ->
        library.trill_session_push_audio(engine, id, samples, perChannel(samples.size), error)
    }

    /** The same from a direct buffer in native order, from its position to its limit, without a copy in between. */
    fun pushAudio(samples: ByteBuffer) {
        require(samples.isDirect) { "not a direct buffer: use ByteBuffer.allocateDirect" }
        require(samples.order() == ByteOrder.nativeOrder()) { "samples are in native byte order" }
        require(samples.remaining() % Short.SIZE_BYTES == 0) { "a sample has 2 bytes" }
        val count = perChannel(samples.remaining() / Short.SIZE_BYTES)
        checked { error -> library.trill_session_push_audio(engine, id, address(samples), count, error) }
        Reference.reachabilityFence(samples)
    }

    /** The same with samples from -1 to 1. */
    fun pushAudio(samples: FloatArray) = checked { error ->
        library.trill_session_push_audio_float(engine, id, samples, perChannel(samples.size), error)
    }

    /** Pushes a picture into a session with [VideoSource.Pushed]. Never blocks; copied once. */
    fun pushVideo(frame: VideoFrame) =
        frame.lend { struct -> checked { error -> library.trill_session_push_video(engine, id, struct, error) } }

    private fun perChannel(samples: Int): SizeT {
        require(samples % pushedChannels == 0) { "$samples samples are not whole ones of $pushedChannels channels" }
        return SizeT((samples / pushedChannels).toLong())
    }
}
