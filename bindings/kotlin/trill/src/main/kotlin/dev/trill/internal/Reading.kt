package dev.trill.internal

import com.sun.jna.Pointer
import dev.trill.AudioFrame
import dev.trill.Call
import dev.trill.CallLogPage
import dev.trill.CallParty
import dev.trill.DataMessage
import dev.trill.Device
import dev.trill.DeviceFormat
import dev.trill.DeviceFormats
import dev.trill.Participant
import dev.trill.PushedCall
import dev.trill.ReceivedTrack
import dev.trill.SentTrack
import dev.trill.SessionAccess
import dev.trill.Speaker
import dev.trill.Statistics
import dev.trill.Track
import dev.trill.TrillException
import dev.trill.User
import dev.trill.VideoFrame
import dev.trill.VideoStatistics
import dev.trill.Wake
import dev.trill.coded
import java.nio.ByteBuffer
import java.time.Instant
import kotlin.time.Duration
import kotlin.time.Duration.Companion.microseconds
import kotlin.time.Duration.Companion.milliseconds

// What the library lends, copied into values of Kotlin's. Only the planes and samples of frames are not copied.

internal fun Pointer?.text(): String? = this?.getString(0, "UTF-8")

internal fun Pointer?.textOrEmpty(): String = text().orEmpty()

/** What an operation's status and error say; the status's own text when there is no error. */
internal fun failure(status: Int, error: Pointer?): TrillException =
    error?.let(::readError) ?: TrillException(status, library.trill_status_text(status))

internal fun readError(pointer: Pointer): TrillException =
    ErrorStruct(pointer).readAll().let { TrillException(it.status, it.message.textOrEmpty()) }

internal fun readUser(pointer: Pointer): User =
    UserStruct(pointer).readAll().let {
        User(it.uid.textOrEmpty(), it.name.text(), it.avatar.text(), it.metadata.text())
    }

internal fun readCall(pointer: Pointer): Call = CallStruct(pointer).readAll().let {
    Call(
        sessionId = it.session_id.textOrEmpty(),
        initiator = readUser(checkNotNull(it.initiator)),
        receiver = it.receiver.textOrEmpty(),
        receiverName = it.receiver_name.text(),
        receiverType = coded(it.receiver_type),
        type = coded(it.call_type),
        category = coded(it.category),
        status = coded(it.status),
        initiatedAt = Instant.ofEpochMilli(it.initiated_at_ms),
        startedAt = instant(it.started_at_ms),
        endedAt = instant(it.ended_at_ms),
        duration = it.duration_ms.milliseconds,
        endedBy = it.ended_by.text(),
        endReason = if (it.end_reason == 0) null else coded(it.end_reason),
        parties = readArray(it.parties, it.party_count, ::CallPartyStruct) { party ->
            CallParty(
                uid = party.uid.textOrEmpty(),
                deviceId = party.device_id.text(),
                state = coded(party.state),
                joined = party.joined != 0,
                joinedAt = instant(party.joined_at_ms),
                leftAt = instant(party.left_at_ms),
            )
        },
        metadata = it.metadata.text(),
        receiverAvatar = it.receiver_avatar.text(),
        revision = it.revision,
    )
}

internal fun readAccess(pointer: Pointer): SessionAccess = SessionAccessStruct(pointer).readAll().let {
    SessionAccess(it.url.textOrEmpty(), it.token.textOrEmpty(), Instant.ofEpochMilli(it.expires_at_ms))
}

internal fun readPushedCall(pointer: Pointer): PushedCall =
    PushedCallStruct(pointer).readAll().let { PushedCall(coded(it.outcome), readCall(checkNotNull(it.call))) }

internal fun readWake(pointer: Pointer): Wake = WakeStruct(pointer).readAll().let {
    Wake(
        uid = it.uid.textOrEmpty(),
        sessionId = it.session_id.textOrEmpty(),
        from = readUser(checkNotNull(it.from)),
        group = it.group.text(),
        type = coded(it.call_type),
        expiresAt = Instant.ofEpochMilli(it.expires_at_ms),
    )
}

internal fun readDevices(pointer: Pointer): List<Device> = DevicesStruct(pointer).readAll().let { list ->
    readArray(list.devices, list.device_count, ::DeviceStruct) {
        Device(it.name.textOrEmpty(), it.id.textOrEmpty(), it.is_default != 0)
    }
}

internal fun readDeviceFormats(pointer: Pointer): DeviceFormats = DeviceFormatsStruct(pointer).readAll().let { told ->
    val formats = readArray(told.formats, told.format_count, ::DeviceFormatStruct) {
        val rates = it.sample_rate_min..it.sample_rate_max
        DeviceFormat(it.channels, rates, it.pixels.text(), it.width, it.height, it.fps)
    }
    DeviceFormats(formats, told.channels, told.sample_rate)
}

internal fun readPage(pointer: Pointer): CallLogPage = CallLogPageStruct(pointer).readAll().let { page ->
    val calls = readArray(page.calls, page.call_count, ::CallStruct) { readCall(it.pointer) }
    CallLogPage(calls, page.next.text(), page.previous.text())
}

internal fun readTrack(pointer: Pointer): Track = TrackStruct(pointer).readAll().let {
    Track(
        id = it.id.textOrEmpty(),
        kind = coded(it.kind),
        source = coded(it.source),
        name = it.name.textOrEmpty(),
        mimeType = it.mime_type.textOrEmpty(),
        muted = it.muted != 0,
        subscribed = it.subscribed != 0,
        width = it.width,
        height = it.height,
    )
}

internal fun readParticipant(pointer: Pointer): Participant = ParticipantStruct(pointer).readAll().let {
    Participant(
        identity = it.identity.textOrEmpty(),
        id = it.id.textOrEmpty(),
        name = it.name.textOrEmpty(),
        metadata = it.metadata.textOrEmpty(),
        tracks = readArray(it.tracks, it.track_count, ::TrackStruct) { track -> readTrack(track.pointer) },
        speaking = it.speaking != 0,
        level = it.level,
        quality = coded(it.quality),
        attributes = readArray(it.attributes, it.attribute_count, ::AttributeStruct) { attribute ->
            attribute.name.textOrEmpty() to attribute.value.textOrEmpty()
        }.toMap(),
    )
}

internal fun readParticipants(first: Pointer?, count: SizeT): List<Participant> =
    readArray(first, count, ::ParticipantStruct) { readParticipant(it.pointer) }

internal fun readSpeakers(first: Pointer?, count: SizeT): List<Speaker> =
    readArray(first, count, ::SpeakerStruct) { Speaker(it.identity.textOrEmpty(), it.level) }

internal fun readData(pointer: Pointer): DataMessage = DataStruct(pointer).readAll().let {
    val payload = it.payload?.getByteArray(0, it.payload_size.toInt()) ?: ByteArray(0)
    DataMessage(it.from.text(), payload, it.topic.text(), it.reliable != 0)
}

internal fun readStatistics(pointer: Pointer): Statistics = StatisticsStruct(pointer).readAll().let {
    Statistics(
        joinedAfter = passed(it.joined_after_us),
        connectedAfter = passed(it.connected_after_us),
        firstAudioAfter = passed(it.first_audio_after_us),
        firstVideoAfter = passed(it.first_video_after_us),
        signalRoundTrip = passed(it.signal_round_trip_ms * 1000),
        bytesSent = it.bytes_sent,
        bytesReceived = it.bytes_received,
        sent = readArray(it.sent, it.sent_count, ::SentTrackStruct, ::sentTrack),
        received = readArray(it.received, it.received_count, ::ReceivedTrackStruct, ::receivedTrack),
        sendEstimate = Integer.toUnsignedLong(it.send_estimate_bps).takeIf { bps -> bps > 0 },
        sendQueue = it.send_queue_us.microseconds,
        sendRoundTrip = passed(it.send_round_trip_us),
        receiveRoundTrip = passed(it.receive_round_trip_us),
        playbackUnderruns = it.playback_underruns,
    )
}

/** The planes are views of the library's memory. */
internal fun readVideoFrame(pointer: Pointer): VideoFrame = VideoFrameStruct(pointer).readAll().let {
    fun plane(at: Pointer?, stride: SizeT, width: Int, height: Int): ByteBuffer =
        checkNotNull(at).getByteBuffer(0, VideoFrame.planeSize(stride.toInt(), width, height)).asReadOnlyBuffer()

    val (halfWidth, halfHeight) = (it.width + 1) / 2 to (it.height + 1) / 2
    VideoFrame(
        width = it.width,
        height = it.height,
        y = plane(it.y, it.stride_y, it.width, it.height),
        u = plane(it.u, it.stride_u, halfWidth, halfHeight),
        v = plane(it.v, it.stride_v, halfWidth, halfHeight),
        strideY = it.stride_y.toInt(),
        strideU = it.stride_u.toInt(),
        strideV = it.stride_v.toInt(),
        rotation = it.rotation,
        timestamp = it.timestamp_us.microseconds,
    )
}

/** The samples are a view of the library's memory. */
internal fun readAudioFrame(pointer: Pointer): AudioFrame = AudioFrameStruct(pointer).readAll().let {
    val bytes = it.samples_per_channel.toLong() * it.channels * Short.SIZE_BYTES
    val samples = checkNotNull(it.samples).getByteBuffer(0, bytes).asShortBuffer().asReadOnlyBuffer()
    AudioFrame(samples, it.sample_rate, it.channels, it.timestamp_us.microseconds)
}

private fun sentTrack(it: SentTrackStruct) = SentTrack(
    source = coded(it.source),
    muted = it.muted != 0,
    packets = it.packets,
    bytes = it.bytes,
    packetsLost = Integer.toUnsignedLong(it.packets_lost),
    lossPercent = it.loss_percent,
    jitter = it.jitter_us.microseconds,
    roundTrip = passed(it.round_trip_us),
    audioLevelDbov = -it.audio_minus_dbov.toInt(),
    video = VideoStatistics(
        it.video_frames, it.video_key_frames, it.video_width, it.video_height, it.video_millifps / 1000.0,
    ),
    videoEncodeTime = it.video_encode_us.microseconds,
    packetsNacked = it.packets_nacked,
    packetsUnsent = it.packets_unsent,
    videoPlis = it.video_plis,
    videoLeftOut = it.video_left_out,
    videoCpuLimited = it.video_cpu_limited != 0L,
)

private fun receivedTrack(it: ReceivedTrackStruct) = ReceivedTrack(
    identity = it.identity.textOrEmpty(),
    trackId = it.track_id.textOrEmpty(),
    source = coded(it.source),
    packets = it.packets,
    bytes = it.bytes,
    packetsLost = it.packets_lost,
    audioConcealed = it.audio_concealed,
    audioFecRecovered = it.audio_fec_recovered,
    audioJitter = it.audio_jitter_us.microseconds,
    audioBuffer = it.audio_buffer_us.microseconds,
    audioLevelDbov = -it.audio_minus_dbov.toInt(),
    video = VideoStatistics(
        it.video_frames, it.video_key_frames, it.video_width, it.video_height, it.video_millifps / 1000.0,
    ),
    videoPlis = it.video_plis,
    videoFreezes = it.video_freezes,
    videoDecodeTime = it.video_decode_us.microseconds,
    packetsDropped = it.packets_dropped,
    undecodable = it.undecodable,
    audioTarget = it.audio_target_us.microseconds,
)

/** An array's structs, one after the other in memory. */
private fun <S : Struct, T> readArray(first: Pointer?, count: SizeT, struct: (Pointer?) -> S, read: (S) -> T): List<T> {
    if (first == null) return emptyList()
    val size = struct(null).size().toLong()
    return List(count.toInt()) { read(struct(first.share(it * size)).readAll()) }
}

private fun instant(ms: Long): Instant? = if (ms == 0L) null else Instant.ofEpochMilli(ms)

private fun passed(us: Long): Duration? = if (us == 0L) null else us.microseconds
