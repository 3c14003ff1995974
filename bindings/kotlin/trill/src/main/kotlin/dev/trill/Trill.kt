package dev.trill

import dev.trill.internal.LogFunction
import dev.trill.internal.SizeT
import dev.trill.internal.checked
import dev.trill.internal.library
import dev.trill.internal.onNativeThreads
import dev.trill.internal.readDeviceFormats
import dev.trill.internal.readDevices
import dev.trill.internal.readWake
import dev.trill.internal.taken
import dev.trill.internal.textOrEmpty

/** The library as a whole. */
object Trill {
    private var logFunction: LogFunction? = null

    /** Of the library, such as "0.1.0". */
    val version: String get() = library.trill_version()

    /**
     * The machine's devices of a kind, as they are now. It asks the system, which can take a second: not for the thread that
     * draws.
     */
    fun devices(kind: DeviceKind): List<Device> = taken(library::trill_devices_free, ::readDevices) { out, error ->
        library.trill_devices_list(kind.code, out, error)
    }

    /**
     * What a device can: the one of that name or id, or the default one. It is opened for that, which can take a second: not for
     * the thread that draws.
     */
    fun deviceFormats(kind: DeviceKind, name: String? = null): DeviceFormats =
        taken(library::trill_device_formats_free, ::readDeviceFormats) { out, error ->
            library.trill_device_formats_read(kind.code, name, out, error)
        }

    /** Reads who calls out of a push's payload, without a network: for systems that want it shown at once. */
    fun readWake(payload: ByteArray): Wake = taken(library::trill_wake_free, ::readWake) { out, error ->
        library.trill_wake_read(payload, SizeT(payload.size.toLong()), out, error)
    }

    /**
     * Sends the library's log to a function, from the given level on; without this nothing is logged. A later call replaces the
     * earlier one. The function runs on any thread, on several at a time, and must neither block nor call the library.
     */
    @Synchronized
    fun log(level: LogLevel, sink: (level: LogLevel, target: String, message: String) -> Unit) {
        val function = onNativeThreads("trill-log", LogFunction { _, code, target, message ->
            sink(coded(code), target.textOrEmpty(), message.textOrEmpty())
        })
        checked { error -> library.trill_log_set(level.code, function, null, error) }
        logFunction = function
    }

    /** Nothing is logged any more. */
    @Synchronized
    fun logOff() {
        checked { error -> library.trill_log_set(LogLevel.OFF.code, null, null, error) }
        logFunction = null
    }
}
