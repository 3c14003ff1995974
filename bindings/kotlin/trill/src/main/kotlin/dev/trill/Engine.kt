package dev.trill

import com.sun.jna.Pointer
import com.sun.jna.ptr.PointerByReference
import dev.trill.internal.CallLogFilterStruct
import dev.trill.internal.CallOptionsStruct
import dev.trill.internal.EngineCallbacksStruct
import dev.trill.internal.EngineConfigStruct
import dev.trill.internal.ResultFunction
import dev.trill.internal.SizeT
import dev.trill.internal.Subscribers
import dev.trill.internal.await
import dev.trill.internal.awaitResult
import dev.trill.internal.awaitStart
import dev.trill.internal.checked
import dev.trill.internal.engineDropFunction
import dev.trill.internal.eventFunction
import dev.trill.internal.library
import dev.trill.internal.readAccess
import dev.trill.internal.readCall
import dev.trill.internal.readPage
import dev.trill.internal.readPushedCall
import dev.trill.internal.readUser
import dev.trill.internal.sized
import dev.trill.internal.subscribersOfEngines
import dev.trill.internal.taken
import dev.trill.internal.toInt
import dev.trill.internal.toStruct
import dev.trill.internal.whole
import java.util.concurrent.CancellationException
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/**
 * One device of one user: it logs in, makes and takes calls, and carries their media.
 *
 * All of it may be used from any thread. Operations suspend until they are done and throw [TrillException] when they fail; to
 * cancel the coroutine ends the wait, and does not take the operation back.
 */
class Engine(config: EngineConfig = EngineConfig()) : AutoCloseable {
    private val subscribers = Subscribers()
    private val handle: Pointer

    init {
        val key = subscribersOfEngines.add(subscribers)
        val configStruct = EngineConfigStruct().sized().apply {
            device_id = config.deviceId?.whole()
            call_waiting = config.callWaiting.toInt()
            worker_threads = config.workerThreads
        }
        val callbacks = EngineCallbacksStruct().sized().apply {
            user_data = key
            event = eventFunction
            drop_user_data = engineDropFunction
        }
        val out = PointerByReference()
        try {
            checked { error -> library.trill_engine_new(configStruct, callbacks, out, error) }
        } catch (refused: TrillException) {
            subscribersOfEngines.remove(key)
            throw refused
        }
        handle = out.value
    }

    /**
     * Everything that happens, to each collector from when it begins to collect until the engine is closed. Begin before what
     * you wait for: `launch(start = CoroutineStart.UNDISPATCHED)` collects at once.
     */
    val events: Flow<Event> = flow {
        val queue = subscribers.subscribe()
        try {
            for (event in queue) emit(event)
        } finally {
            subscribers.unsubscribe(queue)
        }
    }

    /** Who is logged in; null when nobody is. */
    val loggedInUser: User?
        get() = unless(Status.NOT_LOGGED_IN) {
            taken(library::trill_user_free, ::readUser) { out, error -> library.trill_logged_in_user(handle, out, error) }
        }

    /** The call that this device dials or is in. */
    val activeCall: Call?
        get() = unless(Status.CALL_NOT_FOUND) {
            taken(library::trill_call_free, ::readCall) { out, error -> library.trill_call_active(handle, out, error) }
        }

    /** Logs in to a server, by its http, https, ws or wss URL, with a user token that the app's backend minted. */
    suspend fun login(server: String, token: String): User = awaitResult(::readUser) { done, userData, error ->
        library.trill_login(handle, server.whole(), token.whole(), done, userData, error)
    }

    /** This device rings no more. Running sessions go on. */
    suspend fun logout() = await { done, userData, error -> library.trill_logout(handle, done, userData, error) }

    /**
     * Calls somebody. The call then rings, or is busy already, or is ongoing: then the receiver was calling this user at the
     * same time, and the two are in that one call.
     */
    suspend fun initiate(receiver: String, type: CallType = CallType.AUDIO, options: CallOptions = CallOptions()): Call {
        val struct = CallOptionsStruct().sized().apply {
            receiver_type = options.receiverType.code
            category = options.category.code
            timeout_s = options.timeout?.inWholeSeconds?.toInt() ?: 0
            metadata = options.metadata?.whole()
        }
        return awaitResult(::readCall) { done, userData, error ->
            library.trill_call_initiate(handle, receiver.whole(), type.code, struct, done, userData, error)
        }
    }

    /** Accepts a call that rings here; then start its session. */
    suspend fun accept(sessionId: String): Call = ofCall(sessionId, library::trill_call_accept)

    /** Rejects a call that rings here. */
    suspend fun reject(sessionId: String, reason: RejectReason = RejectReason.REJECTED): Call =
        awaitResult(::readCall) { done, userData, error ->
            library.trill_call_reject(handle, sessionId.whole(), reason.code, done, userData, error)
        }

    /** Gives up a call that this user dials. */
    suspend fun cancel(sessionId: String): Call = ofCall(sessionId, library::trill_call_cancel)

    /** Ends an ongoing call for everyone; this engine's part in its session ends with it. */
    suspend fun end(sessionId: String): Call = ofCall(sessionId, library::trill_call_end)

    /** One call, as it is now or as it ended. */
    suspend fun details(sessionId: String): Call = ofCall(sessionId, library::trill_call_details)

    /** Forgets the active call on this device; nobody else is told. */
    suspend fun clearActiveCall() =
        await { done, userData, error -> library.trill_call_clear_active(handle, done, userData, error) }

    /**
     * Hands over a push's payload, as the server gave it to the push service, and asks what became of its call. Log in first, or
     * at once before it: it waits for a login that is under way.
     */
    suspend fun callFromPush(payload: ByteArray): PushedCall = awaitResult(::readPushedCall) { done, userData, error ->
        library.trill_call_from_push(handle, payload, SizeT(payload.size.toLong()), done, userData, error)
    }

    /** The way into the session of an ongoing call. */
    suspend fun sessionToken(sessionId: String): SessionAccess = awaitResult(::readAccess) { done, userData, error ->
        library.trill_session_token(handle, sessionId.whole(), done, userData, error)
    }

    /**
     * Joins a session, publishes what the settings say, and plays the others. It returns when the server has let us in; media
     * connects meanwhile. If the coroutine is cancelled before, the session is left.
     */
    suspend fun startSession(
        sessionId: String,
        access: SessionAccess,
        settings: SessionSettings = SessionSettings(),
        media: MediaCallbacks? = null,
    ): Session = startSession(sessionId, access.url, access.token, settings, media)

    /** The same with the URL and the token of any LiveKit server, without a call. */
    suspend fun startSession(
        sessionId: String,
        url: String,
        token: String,
        settings: SessionSettings = SessionSettings(),
        media: MediaCallbacks? = null,
    ): Session {
        val struct = settings.toStruct()
        val queue: Channel<Event> = subscribers.subscribe(sessionId)
        try {
            awaitStart(media) { callbacks, done, userData, error ->
                library.trill_session_start(
                    handle, sessionId.whole(), url.whole(), token.whole(), struct, callbacks, done, userData, error,
                )
            }
        } catch (failure: Throwable) {
            subscribers.unsubscribe(queue)
            if (failure is CancellationException) library.trill_session_end(handle, sessionId, null, null, null)
            throw failure
        }
        return Session(handle, sessionId, (settings.audio as? AudioSource.Pushed)?.channels ?: 1, queue)
    }

    /** A page of this user's call log: the newest, or what the filter says. */
    suspend fun callLog(filter: CallLogFilter = CallLogFilter()): CallLogPage {
        val struct = CallLogFilterStruct().sized().apply {
            limit = filter.limit
            call_type = filter.type?.code ?: 0
            status = filter.status?.code ?: 0
            direction = filter.direction?.code ?: 0
            uid = filter.uid?.whole()
            since_ms = filter.since?.toEpochMilli() ?: 0
            until_ms = filter.until?.toEpochMilli() ?: 0
            cursor = filter.cursor?.whole()
            category = filter.category?.code ?: 0
            guid = filter.guid?.whole()
            recording = filter.recording?.let { if (it) 1 else -1 } ?: 0
        }
        return awaitResult(::readPage) { done, userData, error ->
            library.trill_call_log_fetch(handle, struct, done, userData, error)
        }
    }

    /**
     * Leaves all sessions, logs out, and ends the flows of events. Blocks for 2 s at most, also with the network dead; what
     * still waits fails with [Status.SHUT_DOWN]. Does nothing the second time. Not inside [MediaCallbacks].
     */
    override fun close() {
        val status = library.trill_engine_free(handle)
        if (status == Status.IN_CALLBACK.code) throw TrillException(status, library.trill_status_text(status))
    }

    private suspend fun ofCall(
        sessionId: String,
        start: (Pointer, String, ResultFunction, Pointer, PointerByReference) -> Int,
    ): Call = awaitResult(::readCall) { done, userData, error -> start(handle, sessionId.whole(), done, userData, error) }

    private inline fun <T : Any> unless(status: Status, get: () -> T): T? = try {
        get()
    } catch (failure: TrillException) {
        if (failure.status == status) null else throw failure
    }
}
