package dev.trill.internal

import com.sun.jna.Native
import com.sun.jna.Pointer
import com.sun.jna.ptr.PointerByReference
import dev.trill.AudioSource
import dev.trill.MediaCallbacks
import dev.trill.Playback
import dev.trill.SessionSettings
import dev.trill.VideoFrame
import dev.trill.VideoSource
import dev.trill.flags
import java.lang.ref.Reference
import java.nio.ByteBuffer
import kotlin.time.Duration

private val callbacksOfSessions = Registry<MediaCallbacks>()

private val videoFrameFunction = onNativeThreads("trill-media", VideoFrameFunction { userData, identity, trackId, frame ->
    val video = callbacksOfSessions[userData]?.video ?: return@VideoFrameFunction
    video(identity.textOrEmpty(), trackId.textOrEmpty(), readVideoFrame(frame))
})

private val audioFrameFunction = onNativeThreads("trill-media", AudioFrameFunction { userData, frame ->
    callbacksOfSessions[userData]?.audio?.invoke(readAudioFrame(frame))
})

private val participantAudioFunction =
    onNativeThreads("trill-media", ParticipantAudioFunction { userData, identity, frame ->
        callbacksOfSessions[userData]?.participantAudio?.invoke(identity.textOrEmpty(), readAudioFrame(frame))
    })

private val sessionDropFunction =
    onNativeThreads("trill-media", DropFunction { userData -> callbacksOfSessions.remove(userData) })

/** Starts a session with callbacks for media: the library drops them after their last use, or they are dropped at once. */
internal suspend fun awaitStart(
    media: MediaCallbacks?,
    start: (SessionCallbacksStruct?, DoneFunction, Pointer, PointerByReference) -> Int,
) {
    if (media == null) return await { done, userData, error -> start(null, done, userData, error) }
    val key = callbacksOfSessions.add(media)
    val callbacks = SessionCallbacksStruct().sized().apply {
        user_data = key
        video_frame = videoFrameFunction.takeIf { media.video != null }
        audio_frame = audioFrameFunction.takeIf { media.audio != null }
        participant_audio_frame = participantAudioFunction.takeIf { media.participantAudio != null }
        drop_user_data = sessionDropFunction
    }
    await { done, userData, error ->
        start(callbacks, done, userData, error).also { if (it != 0) callbacksOfSessions.remove(key) }
    }
}

internal fun SessionSettings.toStruct(): SessionSettingsStruct = SessionSettingsStruct().sized().also {
    setAudio(it)
    setVideo(it)
    it.audio_only = audioOnly.toInt()
    it.start_audio_muted = startAudioMuted.toInt()
    it.start_video_paused = startVideoPaused.toInt()
    it.audio_output_file = audioOutputFile?.toString()?.whole()
    it.video_output_folder = videoOutputFolder?.toString()?.whole()
    it.manual_subscribe = manualSubscribe.toInt()
    it.reconnect_timeout_ms = reconnectTimeout.toMilliseconds()
    it.left_alone_timeout_ms = leftAloneTimeout.toMilliseconds()
    it.device_policy = devicePolicy.code
    it.statistics_interval_ms = statisticsInterval.toMilliseconds()
    (playback as? Playback.Speaker)?.let { speaker ->
        it.play = 1
        it.speaker = speaker.name?.whole()
    }
}

private fun SessionSettings.setAudio(it: SessionSettingsStruct) {
    it.audio_bitrate_bps = audioBitrate
    it.audio_dtx = audioDtx.toInt()
    it.voice_processing = voiceProcessing?.flags() ?: 0
    when (audio) {
        AudioSource.None -> it.audio_source = AudioSourceKind.NONE.code
        is AudioSource.Tone -> {
            it.audio_source = AudioSourceKind.TONE.code
            it.audio_tone_hz = audio.hz
        }
        is AudioSource.File -> {
            it.audio_source = AudioSourceKind.FILE.code
            it.audio_file = audio.path.toString().whole()
            it.audio_looped = audio.looped.toInt()
        }
        is AudioSource.Pushed -> {
            it.audio_source = AudioSourceKind.PUSHED.code
            it.audio_sample_rate = audio.sampleRate
            it.audio_channels = audio.channels
        }
        is AudioSource.Microphone -> {
            it.audio_source = AudioSourceKind.MICROPHONE.code
            it.microphone = audio.name?.whole()
        }
    }
}

private fun SessionSettings.setVideo(it: SessionSettingsStruct) {
    it.video_width = videoWidth
    it.video_height = videoHeight
    it.video_fps = videoFps
    it.video_bitrate_bps = videoBitrate
    it.simulcast = simulcast.code
    when (video) {
        VideoSource.None -> it.video_source = VideoSourceKind.NONE.code
        VideoSource.TestPicture -> it.video_source = VideoSourceKind.TEST_PICTURE.code
        is VideoSource.File -> {
            it.video_source = VideoSourceKind.FILE.code
            it.video_file = video.path.toString().whole()
            it.video_looped = video.looped.toInt()
        }
        VideoSource.Pushed -> it.video_source = VideoSourceKind.PUSHED.code
        is VideoSource.Camera -> {
            it.video_source = VideoSourceKind.CAMERA.code
            it.camera = video.name?.whole()
        }
    }
}

/** Lends a picture's planes to `push`. */
internal fun <T> VideoFrame.lend(push: (VideoFrameStruct) -> T): T {
    val struct = VideoFrameStruct().sized()
    struct.y = address(y)
    struct.u = address(u)
    struct.v = address(v)
    struct.stride_y = SizeT(strideY.toLong())
    struct.stride_u = SizeT(strideU.toLong())
    struct.stride_v = SizeT(strideV.toLong())
    struct.width = width
    struct.height = height
    struct.rotation = rotation
    struct.timestamp_us = timestamp.inWholeMicroseconds
    try {
        return push(struct)
    } finally {
        Reference.reachabilityFence(this)
    }
}

/** Where a direct buffer's contents begin. */
internal fun address(buffer: ByteBuffer): Pointer = Native.getDirectBufferPointer(buffer).share(buffer.position().toLong())

internal fun Boolean.toInt(): Int = if (this) 1 else 0

/** 0 for null. What does not fit is the most that does, and is refused where there is a limit. */
private fun Duration?.toMilliseconds(): Int =
    this?.inWholeMilliseconds?.let { if (it < 0 || it > 0xffff_ffff) -1 else it.toInt() } ?: 0
