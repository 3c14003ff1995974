package dev.trill.internal

import com.sun.jna.Pointer
import com.sun.jna.ptr.PointerByReference
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicLong
import kotlinx.coroutines.suspendCancellableCoroutine

/** What C is given as user_data: a number instead of an address, so that nothing has to stay at its place in memory. */
internal class Registry<T : Any> {
    private val entries = ConcurrentHashMap<Long, T>()
    private val ids = AtomicLong()

    fun add(entry: T): Pointer {
        val id = ids.incrementAndGet()
        entries[id] = entry
        return Pointer.createConstant(id)
    }

    operator fun get(key: Pointer?): T? = entries[Pointer.nativeValue(key)]

    fun remove(key: Pointer?): T? = entries.remove(Pointer.nativeValue(key))
}

private typealias Finish = (status: Int, result: Pointer?, error: Pointer?) -> Unit

private val waiting = Registry<Finish>()

private val doneFunction = onNativeThreads("trill-events", DoneFunction { userData, status, error ->
    waiting.remove(userData)?.invoke(status, null, error)
})

private val resultFunction = onNativeThreads("trill-events", ResultFunction { userData, status, result, error ->
    waiting.remove(userData)?.invoke(status, result, error)
})

/** Starts an operation and waits until it is done. To cancel the coroutine ends the wait, not the operation. */
internal suspend fun await(start: (done: DoneFunction, userData: Pointer, error: PointerByReference) -> Int) =
    awaitCompletion({ }) { userData, error -> start(doneFunction, userData, error) }

/** The same for an operation with a result, which [read] copies. */
internal suspend fun <T> awaitResult(
    read: (Pointer) -> T,
    start: (done: ResultFunction, userData: Pointer, error: PointerByReference) -> Int,
): T = awaitCompletion({ read(checkNotNull(it)) }) { userData, error -> start(resultFunction, userData, error) }

private suspend fun <T> awaitCompletion(read: (Pointer?) -> T, start: (Pointer, PointerByReference) -> Int): T =
    suspendCancellableCoroutine { continuation ->
        val userData = waiting.add { status, result, error ->
            continuation.resumeWith(runCatching { if (status == 0) read(result) else throw failure(status, error) })
        }
        val refused = runCatching { checked { error -> start(userData, error) } }.exceptionOrNull()
        if (refused != null && waiting.remove(userData) != null) continuation.resumeWith(Result.failure(refused))
    }

/** Calls a function that can fail, and throws what it says. */
internal inline fun checked(call: (PointerByReference) -> Int) {
    val error = PointerByReference()
    val status = call(error)
    if (status != 0) throw takeFailure(status, error.value)
}

/** Calls a function that gives something, reads that, and frees it. */
internal inline fun <T> taken(
    free: (Pointer?) -> Int,
    read: (Pointer) -> T,
    call: (out: PointerByReference, error: PointerByReference) -> Int,
): T {
    val out = PointerByReference()
    checked { error -> call(out, error) }
    try {
        return read(out.value)
    } finally {
        free(out.value)
    }
}

internal fun takeFailure(status: Int, error: Pointer?) = try {
    failure(status, error)
} finally {
    library.trill_error_free(error)
}

/** A string that C sees whole. */
internal fun String.whole(): String = also { require('\u0000' !in it) { "a string with a NUL character in it" } }
