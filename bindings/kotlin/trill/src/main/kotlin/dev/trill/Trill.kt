package dev.trill

import dev.trill.internal.LogFunction
import dev.trill.internal.checked
import dev.trill.internal.library
import dev.trill.internal.onNativeThreads
import dev.trill.internal.textOrEmpty

/** The library as a whole. */
object Trill {
    private var logFunction: LogFunction? = null

    /** Of the library, such as "0.1.0". */
    val version: String get() = library.trill_version()

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
