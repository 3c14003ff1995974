package dev.trill

import java.nio.file.Path
import java.time.Instant
import kotlin.time.Duration

/** How to make an engine. */
data class EngineConfig(
    /**
     * Which of its user's devices this is, up to 128 bytes. An app keeps it, so that a restart is the same device and comes
     * back to its call. Null: a new device each time.
     */
    val deviceId: String? = null,
    /** A call that comes while the user is in another one rings here; otherwise the server answers it with busy. */
    val callWaiting: Boolean = false,
    /** Threads for signalling and packets, 1 to 16; 0 for the default. Media has threads of its own. */
    val workerThreads: Int = 0,
)

/** What can be chosen for a call. */
data class CallOptions(
    val receiverType: ReceiverType = ReceiverType.USER,
    val category: Category = Category.CALL,
    /** How long it rings, in whole seconds, 5 to 180; null for what the server's owner set. */
    val timeout: Duration? = null,
    /** The app's own, as JSON of up to 4 KiB; the receiver gets it with the call. */
    val metadata: String? = null,
)

/** Where the audio that we send comes from. */
sealed interface AudioSource {
    data object None : AudioSource

    /** A sine tone, 12 dB below overload. */
    data class Tone(val hz: Float = 440f) : AudioSource

    /** A WAV file of any rate and channels, in real time. */
    data class File(val path: Path, val looped: Boolean = false) : AudioSource

    /** What the app pushes with [Session.pushAudio]: interleaved samples. They are mixed down: calls are mono. */
    data class Pushed(/** In Hz, 4,000 to 384,000. */ val sampleRate: Int = 48_000, /** 1 to 32. */ val channels: Int = 1) :
        AudioSource

    /** A microphone, by name or id; null for the machine's default. */
    data class Microphone(val name: String? = null) : AudioSource
}

/** Where the pictures that we send come from. */
sealed interface VideoSource {
    data object None : VideoSource

    /** A moving picture with a frame number in it. */
    data object TestPicture : VideoSource

    /** A Y4M file (4:2:0, 8 bit), in real time. */
    data class File(val path: Path, val looped: Boolean = false) : VideoSource

    /** What the app pushes with [Session.pushVideo]. */
    data object Pushed : VideoSource

    /** A camera, by name or id; null for the first one. */
    data class Camera(val name: String? = null) : VideoSource
}

/** Where the mix of all the others is played, beside [MediaCallbacks.audio] and the file. */
sealed interface Playback {
    data object None : Playback

    /** A speaker, by name or id; null for the machine's default. */
    data class Speaker(val name: String? = null) : Playback
}

/** How to be in a session. 0 means the library's default. */
data class SessionSettings(
    val audio: AudioSource = AudioSource.None,
    /** 6,000 to 510,000 bit/s; 0 for 32,000. */
    val audioBitrate: Int = 0,
    /**
     * While nobody talks, next to nothing is sent of the audio (discontinuous transmission), and the others hear the noise of
     * the room as it was. For voices: music and tones may be taken for noise.
     */
    val audioDtx: Boolean = false,
    /** What is done to our voice. Null: all of it to a microphone's, nothing to any other source's. */
    val voiceProcessing: Set<VoiceProcessing>? = null,
    val video: VideoSource = VideoSource.None,
    /** The largest picture sent, in pixels, and the size of the test picture; 0 for 1280 x 720. */
    val videoWidth: Int = 0,
    val videoHeight: Int = 0,
    /** The most pictures sent in a second, 1 to 120; 0 for 30. */
    val videoFps: Int = 0,
    /** 30,000 to 20,000,000 bit/s; 0 for 1,500,000. Of the largest picture where it is sent in several sizes. */
    val videoBitrate: Int = 0,
    val simulcast: Simulcast = Simulcast.IN_GROUPS,
    /** No video is sent, and none is received, whatever else is said here. */
    val audioOnly: Boolean = false,
    /** Nothing is captured or sent until [Session.setMuted] says so. */
    val startAudioMuted: Boolean = false,
    val startVideoPaused: Boolean = false,
    val playback: Playback = Playback.None,
    /** A WAV file, made anew, that gets the mix of all the others. */
    val audioOutputFile: Path? = null,
    /** A folder that gets a Y4M file for each track, named by its id. */
    val videoOutputFolder: Path? = null,
    /** Tracks are received only when [Session.subscribe] asks for them. */
    val manualSubscribe: Boolean = false,
    /** How long a broken connection is tried to be restored; null for 20 s. */
    val reconnectTimeout: Duration? = null,
    /**
     * How long we may be the only one in the session, a second to a day; null for without limit. Then it ends with
     * [SessionEnd.LEFT_ALONE]. It counts from when the last of the others has left, or, while nobody has come yet, from our join.
     */
    val leftAloneTimeout: Duration? = null,
    /** What is done when one of the machine's devices is not there, fails, or is not the default one any more. */
    val devicePolicy: DevicePolicy = DevicePolicy.FALL_BACK,
    /** How often [SessionEvent.Measured] comes, 100 ms to an hour; null for never. */
    val statisticsInterval: Duration? = null,
)

/** Which calls a page of the log holds. What is null does not filter. */
data class CallLogFilter(
    /** Calls on one page, 1 to 100; 0 for 30. */
    val limit: Int = 0,
    val type: CallType? = null,
    val status: CallStatus? = null,
    val direction: Direction? = null,
    val category: Category? = null,
    /** Calls with this other user. */
    val uid: String? = null,
    /** Calls of this group. */
    val guid: String? = null,
    /** With a recording (this version makes none), or without. */
    val recording: Boolean? = null,
    /** Initiated at or after this time. */
    val since: Instant? = null,
    /** Initiated before this time. */
    val until: Instant? = null,
    /** [CallLogPage.next] or [CallLogPage.previous] of an earlier page with the same filter. */
    val cursor: String? = null,
)
