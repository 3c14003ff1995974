import CTrill
import Foundation

/// One device of one user: it logs in, makes and takes calls, and carries their media.
///
/// All of it may be used from any task or thread. Operations throw `TrillError` when they fail; to cancel the task that waits
/// for one does not take it back. An engine that nobody holds any more is closed in the background.
public final class Engine: Sendable {
    private let handle: Handle
    private let hub: EventHub

    /// - Parameters:
    ///   - deviceID: Which of its user's devices this is, up to 128 bytes. An app keeps it, so that a restart is the same
    ///     device and comes back to its call. Nil: a new device each time.
    ///   - callWaiting: A call that comes while the user is in another one rings here; otherwise the server answers it with
    ///     busy.
    ///   - workerThreads: For signalling and packets, 1 to 16; 0 for the default. Media has threads of its own.
    public init(deviceID: String? = nil, callWaiting: Bool = false, workerThreads: UInt32 = 0) throws {
        guard trill_abi_version() == TRILL_ABI_VERSION else {
            let message = "libtrill has version \(trill_abi_version()) of its interface, and this is for \(TRILL_ABI_VERSION)"
            throw TrillError(code: TRILL_STATUS_NOT_SUPPORTED, message: message)
        }
        let hub = EventHub()
        var config = trill_engine_config_init()
        config.call_waiting = callWaiting ? 1 : 0
        config.worker_threads = workerThreads
        let userData = Unmanaged.passRetained(hub)
        var callbacks = trill_engine_callbacks_init()
        callbacks.user_data = userData.toOpaque()
        callbacks.event = { userData, event in
            Unmanaged<EventHub>.fromOpaque(userData!).takeUnretainedValue().tell(Event(raw: event!.pointee))
        }
        callbacks.drop_user_data = { userData in
            Unmanaged<EventHub>.fromOpaque(userData!).takeRetainedValue().close()
        }
        var engine: OpaquePointer?
        do {
            let deviceID = try deviceID.map(whole)
            try checked { error in
                withText(deviceID) {
                    config.device_id = $0
                    return trill_engine_new(&config, &callbacks, &engine, &error)
                }
            }
        } catch {
            userData.release()
            throw error
        }
        self.hub = hub
        handle = Handle(pointer: engine!)
    }

    deinit {
        let handle = handle
        DispatchQueue.global().async { trill_engine_free(handle.pointer) }
    }

    /// Everything that happens from now until the engine is closed: each use gives a stream of its own. Take it before what
    /// you wait for.
    public var events: AsyncStream<Event> { hub.events() }

    /// Who is logged in; nil when nobody is.
    public var loggedInUser: User? {
        var user: UnsafeMutablePointer<trill_user>?
        guard trill_logged_in_user(handle.pointer, &user, nil) == TRILL_STATUS_OK, let user else { return nil }
        defer { trill_user_free(user) }
        return User(raw: user.pointee)
    }

    /// The call that this device dials or is in.
    public var activeCall: Call? {
        var call: UnsafeMutablePointer<trill_call>?
        guard trill_call_active(handle.pointer, &call, nil) == TRILL_STATUS_OK, let call else { return nil }
        defer { trill_call_free(call) }
        return Call(raw: call.pointee)
    }

    /// Logs in to a server, by its http, https, ws or wss URL, with a user token that the app's backend minted.
    @discardableResult
    public func login(server: String, token: String) async throws -> User {
        let (server, token) = try (whole(server), whole(token))
        return try await awaitResult(User.init(raw:)) {
            trill_login(handle.pointer, server, token, onUser, $0, &$1)
        }
    }

    /// This device rings no more. Running sessions go on.
    public func logout() async throws {
        try await awaitDone { trill_logout(handle.pointer, onDone, $0, &$1) }
    }

    /// Calls somebody. The call then rings, or is busy already, or is ongoing: then the receiver was calling this user at the
    /// same time, and the two are in that one call.
    @discardableResult
    public func initiate(
        _ receiver: String, type: CallType = .audio, options: CallOptions = CallOptions()
    ) async throws -> Call {
        let (receiver, metadata) = try (whole(receiver), options.metadata.map(whole))
        var raw = trill_call_options_init()
        raw.receiver_type = options.receiverType.rawValue
        raw.category = options.category.rawValue
        raw.timeout_s = options.timeout?.wholeSeconds ?? 0
        return try await awaitResult(Call.init(raw:)) { userData, error in
            withText(metadata) {
                raw.metadata = $0
                return trill_call_initiate(handle.pointer, receiver, type.rawValue, &raw, onCall, userData, &error)
            }
        }
    }

    /// Accepts a call that rings here; then start its session.
    @discardableResult
    public func accept(_ sessionID: String) async throws -> Call {
        try await ofCall(sessionID) { trill_call_accept($0, $1, onCall, $2, &$3) }
    }

    /// Rejects a call that rings here.
    @discardableResult
    public func reject(_ sessionID: String, reason: RejectReason = .rejected) async throws -> Call {
        try await ofCall(sessionID) { trill_call_reject($0, $1, reason.rawValue, onCall, $2, &$3) }
    }

    /// Gives up a call that this user dials.
    @discardableResult
    public func cancel(_ sessionID: String) async throws -> Call {
        try await ofCall(sessionID) { trill_call_cancel($0, $1, onCall, $2, &$3) }
    }

    /// Ends an ongoing call for everyone; this engine's part in its session ends with it.
    @discardableResult
    public func end(_ sessionID: String) async throws -> Call {
        try await ofCall(sessionID) { trill_call_end($0, $1, onCall, $2, &$3) }
    }

    /// One call, as it is now or as it ended.
    public func details(of sessionID: String) async throws -> Call {
        try await ofCall(sessionID) { trill_call_details($0, $1, onCall, $2, &$3) }
    }

    /// Forgets the active call on this device; nobody else is told.
    public func clearActiveCall() async throws {
        try await awaitDone { trill_call_clear_active(handle.pointer, onDone, $0, &$1) }
    }

    /// Hands over a push's payload, as the server gave it to the push service, and asks what became of its call. Log in first, or
    /// at once before it: it waits for a login that is under way.
    public func call(fromPush payload: Data) async throws -> PushedCall {
        try await awaitResult(PushedCall.init(raw:)) { userData, error in
            payload.withUnsafeBytes {
                let bytes = $0.bindMemory(to: UInt8.self).baseAddress
                return trill_call_from_push(handle.pointer, bytes, payload.count, onPushedCall, userData, &error)
            }
        }
    }

    /// The way into the session of an ongoing call.
    public func sessionToken(for sessionID: String) async throws -> SessionAccess {
        let sessionID = try whole(sessionID)
        return try await awaitResult(SessionAccess.init(raw:)) {
            trill_session_token(handle.pointer, sessionID, onAccess, $0, &$1)
        }
    }

    /// Joins a session, publishes what the settings say, and plays the others. It returns when the server has let us in; media
    /// connects meanwhile. If the task is cancelled meanwhile, the session is left.
    public func startSession(
        _ sessionID: String,
        access: SessionAccess,
        settings: SessionSettings = SessionSettings(),
        media: MediaHandlers? = nil
    ) async throws -> Session {
        try await startSession(sessionID, url: access.url, token: access.token, settings: settings, media: media)
    }

    /// The same with the URL and the token of any LiveKit server, without a call.
    public func startSession(
        _ sessionID: String,
        url: String,
        token: String,
        settings: SessionSettings = SessionSettings(),
        media: MediaHandlers? = nil
    ) async throws -> Session {
        let (sessionID, url, token) = try (whole(sessionID), whole(url), whole(token))
        let events = hub.events(ofSession: sessionID)
        let callbacks = MediaCallbacks(media)
        do {
            try await awaitDone { userData, error in
                let status = settings.withRaw { settings in
                    callbacks.withRaw { callbacks in
                        trill_session_start(
                            handle.pointer, sessionID, url, token, settings, callbacks, onDone, userData, &error)
                    }
                }
                if status != TRILL_STATUS_OK { callbacks.drop() }
                return status
            }
        }
        let session = Session(engine: self, handle: handle, id: sessionID, settings: settings, events: events)
        if Task.isCancelled {
            try? await session.end()
            throw CancellationError()
        }
        return session
    }

    /// A page of this user's call log: the newest, or what the filter says.
    public func callLog(_ filter: CallLogFilter = CallLogFilter()) async throws -> CallLogPage {
        let (uid, guid, cursor) = try (filter.uid.map(whole), filter.guid.map(whole), filter.cursor.map(whole))
        var raw = trill_call_log_filter_init()
        raw.limit = filter.limit
        raw.call_type = filter.type?.rawValue ?? 0
        raw.status = filter.status?.rawValue ?? 0
        raw.direction = filter.direction?.rawValue ?? 0
        raw.category = filter.category?.rawValue ?? 0
        raw.since_ms = filter.since?.milliseconds ?? 0
        raw.until_ms = filter.until?.milliseconds ?? 0
        raw.recording = filter.recording.map { $0 ? 1 : -1 } ?? 0
        return try await awaitResult(CallLogPage.init(raw:)) { userData, error in
            withText(uid) { uid in
                withText(guid) { guid in
                    withText(cursor) { cursor in
                        raw.uid = uid
                        raw.guid = guid
                        raw.cursor = cursor
                        return trill_call_log_fetch(handle.pointer, &raw, onPage, userData, &error)
                    }
                }
            }
        }
    }

    /// Leaves all sessions, logs out, and ends the streams of events. Takes 2 s at most, also with the network dead; what still
    /// waits fails with `Status.shutDown`. Does nothing the second time.
    public func close() async {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { [handle] in
                trill_engine_free(handle.pointer)
                continuation.resume()
            }
        }
    }

    private func ofCall(
        _ sessionID: String,
        _ start: (OpaquePointer, String, UnsafeMutableRawPointer, inout ErrorPointer?) -> Int32
    ) async throws -> Call {
        let sessionID = try whole(sessionID)
        return try await awaitResult(Call.init(raw:)) { start(handle.pointer, sessionID, $0, &$1) }
    }
}

/// The engine as C knows it: a number that C checks at each use, so that it may be used from any thread, and too late.
struct Handle: @unchecked Sendable {
    let pointer: OpaquePointer
}
