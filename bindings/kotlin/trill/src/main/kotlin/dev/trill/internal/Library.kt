package dev.trill.internal

import com.sun.jna.Callback
import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Library
import com.sun.jna.Native
import com.sun.jna.Pointer
import com.sun.jna.StringArray
import com.sun.jna.ptr.IntByReference
import com.sun.jna.ptr.PointerByReference

/** trill.h, function by function. Strings are UTF-8; every `error` is optional there and always asked for here. */
internal interface TrillLibrary : Library {
    fun trill_abi_version(): Int

    fun trill_version(): String

    fun trill_status_text(status: Int): String

    fun trill_error_free(error: Pointer?): Int

    fun trill_log_set(level: Int, function: LogFunction?, userData: Pointer?, error: PointerByReference): Int

    fun trill_engine_new(
        config: EngineConfigStruct,
        callbacks: EngineCallbacksStruct,
        out: PointerByReference,
        error: PointerByReference,
    ): Int

    fun trill_engine_free(engine: Pointer): Int

    fun trill_login(
        engine: Pointer,
        server: String,
        token: String,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_logout(engine: Pointer, done: DoneFunction, userData: Pointer, error: PointerByReference): Int

    fun trill_logged_in_user(engine: Pointer, out: PointerByReference, error: PointerByReference): Int

    fun trill_user_free(user: Pointer?): Int

    fun trill_call_initiate(
        engine: Pointer,
        receiver: String,
        callType: Int,
        options: CallOptionsStruct,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_call_accept(
        engine: Pointer,
        sessionId: String,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_call_reject(
        engine: Pointer,
        sessionId: String,
        reason: Int,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_call_cancel(
        engine: Pointer,
        sessionId: String,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_call_end(
        engine: Pointer,
        sessionId: String,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_call_details(
        engine: Pointer,
        sessionId: String,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_call_active(engine: Pointer, out: PointerByReference, error: PointerByReference): Int

    fun trill_call_clear_active(engine: Pointer, done: DoneFunction, userData: Pointer, error: PointerByReference): Int

    fun trill_call_free(call: Pointer?): Int

    fun trill_session_token(
        engine: Pointer,
        sessionId: String,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_call_from_push(
        engine: Pointer,
        payload: ByteArray,
        payloadSize: SizeT,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_wake_read(payload: ByteArray, payloadSize: SizeT, out: PointerByReference, error: PointerByReference): Int

    fun trill_wake_free(wake: Pointer?): Int

    fun trill_devices_list(kind: Int, out: PointerByReference, error: PointerByReference): Int

    fun trill_devices_free(devices: Pointer?): Int

    fun trill_device_formats_read(kind: Int, name: String?, out: PointerByReference, error: PointerByReference): Int

    fun trill_device_formats_free(formats: Pointer?): Int

    fun trill_session_start(
        engine: Pointer,
        sessionId: String,
        url: String,
        token: String,
        settings: SessionSettingsStruct,
        callbacks: SessionCallbacksStruct?,
        done: DoneFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_session_end(
        engine: Pointer,
        sessionId: String,
        done: DoneFunction?,
        userData: Pointer?,
        error: PointerByReference?,
    ): Int

    fun trill_session_set_muted(
        engine: Pointer,
        sessionId: String,
        source: Int,
        muted: Int,
        done: DoneFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_session_unpublish(
        engine: Pointer,
        sessionId: String,
        source: Int,
        done: DoneFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_session_subscribe(
        engine: Pointer,
        sessionId: String,
        trackId: String,
        subscribe: Int,
        done: DoneFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_session_send_data(
        engine: Pointer,
        sessionId: String,
        payload: ByteArray?,
        payloadSize: SizeT,
        topic: String?,
        reliable: Int,
        destinations: StringArray?,
        destinationCount: SizeT,
        done: DoneFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_session_set_voice_processing(
        engine: Pointer,
        sessionId: String,
        processing: Int,
        error: PointerByReference,
    ): Int

    fun trill_session_voice_processing(
        engine: Pointer,
        sessionId: String,
        out: IntByReference,
        error: PointerByReference,
    ): Int

    fun trill_session_choose_device(
        engine: Pointer,
        sessionId: String,
        kind: Int,
        name: String?,
        policy: Int,
        error: PointerByReference,
    ): Int

    fun trill_session_set_volume(
        engine: Pointer,
        sessionId: String,
        kind: Int,
        volume: Float,
        error: PointerByReference,
    ): Int

    fun trill_session_participants(
        engine: Pointer,
        sessionId: String,
        out: PointerByReference,
        error: PointerByReference,
    ): Int

    fun trill_participants_free(participants: Pointer?): Int

    fun trill_session_push_audio(
        engine: Pointer,
        sessionId: String,
        samples: Pointer,
        samplesPerChannel: SizeT,
        error: PointerByReference,
    ): Int

    fun trill_session_push_audio(
        engine: Pointer,
        sessionId: String,
        samples: ShortArray,
        samplesPerChannel: SizeT,
        error: PointerByReference,
    ): Int

    fun trill_session_push_audio_float(
        engine: Pointer,
        sessionId: String,
        samples: FloatArray,
        samplesPerChannel: SizeT,
        error: PointerByReference,
    ): Int

    fun trill_session_push_video(
        engine: Pointer,
        sessionId: String,
        frame: VideoFrameStruct,
        error: PointerByReference,
    ): Int

    fun trill_session_statistics(
        engine: Pointer,
        sessionId: String,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int

    fun trill_call_log_fetch(
        engine: Pointer,
        filter: CallLogFilterStruct,
        done: ResultFunction,
        userData: Pointer,
        error: PointerByReference,
    ): Int
}

/** trill_done. */
internal fun interface DoneFunction : Callback {
    fun invoke(userData: Pointer?, status: Int, error: Pointer?)
}

/** trill_user_done, trill_call_done and all others with a result. */
internal fun interface ResultFunction : Callback {
    fun invoke(userData: Pointer?, status: Int, result: Pointer?, error: Pointer?)
}

internal fun interface LogFunction : Callback {
    fun invoke(userData: Pointer?, level: Int, target: Pointer, message: Pointer)
}

internal fun interface EventFunction : Callback {
    fun invoke(userData: Pointer?, event: Pointer)
}

internal fun interface DropFunction : Callback {
    fun invoke(userData: Pointer?)
}

internal fun interface VideoFrameFunction : Callback {
    fun invoke(userData: Pointer?, identity: Pointer, trackId: Pointer, frame: Pointer)
}

internal fun interface AudioFrameFunction : Callback {
    fun invoke(userData: Pointer?, frame: Pointer)
}

internal fun interface ParticipantAudioFunction : Callback {
    fun invoke(userData: Pointer?, identity: Pointer, frame: Pointer)
}

/** The interface that this binding was written for. */
internal const val ABI_VERSION = 0

/** The library, loaded when it is first needed: `jna.library.path`, the system's places, on Android the app's own. */
internal val library: TrillLibrary by lazy {
    val options = mapOf(Library.OPTION_STRING_ENCODING to "UTF-8")
    val loaded = Native.load("trill", TrillLibrary::class.java, options)
    val version = loaded.trill_abi_version()
    check(version == ABI_VERSION) { "libtrill has version $version of its interface, and this is for version $ABI_VERSION" }
    loaded
}

/**
 * Makes a callback cheap on the library's threads: such a thread is attached to the virtual machine once, not for each call,
 * and does not keep the program running.
 */
internal fun <C : Callback> onNativeThreads(name: String, callback: C): C {
    Native.setCallbackThreadInitializer(callback, CallbackThreadInitializer(true, false, name))
    return callback
}
