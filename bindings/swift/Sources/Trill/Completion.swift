import CTrill

/// Where C's completions end: who waits for one, as a user_data that is owned until it is called.
private class Completion {
    func finish(_ status: Int32, _ result: UnsafeRawPointer?, _ error: UnsafePointer<trill_error>?) {}
}

private final class Waiting<Value: Sendable>: Completion {
    private let continuation: CheckedContinuation<Value, any Error>
    private let read: (UnsafeRawPointer?) -> Value

    init(_ continuation: CheckedContinuation<Value, any Error>, _ read: @escaping (UnsafeRawPointer?) -> Value) {
        self.continuation = continuation
        self.read = read
    }

    override func finish(_ status: Int32, _ result: UnsafeRawPointer?, _ error: UnsafePointer<trill_error>?) {
        if status == TRILL_STATUS_OK {
            continuation.resume(returning: read(result))
        } else {
            continuation.resume(throwing: failure(status, error))
        }
    }
}

typealias ErrorPointer = UnsafeMutablePointer<trill_error>

/// Starts an operation and waits until it is done. To cancel the task does not take the operation back.
func awaitDone(
    _ start: (_ userData: UnsafeMutableRawPointer, _ error: inout ErrorPointer?) -> Int32
) async throws {
    try await awaitCompletion({ _ in }, start)
}

/// The same for an operation with a result, which is copied.
func awaitResult<Raw, Value: Sendable>(
    _ read: @escaping (Raw) -> Value,
    _ start: (_ userData: UnsafeMutableRawPointer, _ error: inout ErrorPointer?) -> Int32
) async throws -> Value {
    try await awaitCompletion({ read($0!.load(as: Raw.self)) }, start)
}

private func awaitCompletion<Value: Sendable>(
    _ read: @escaping (UnsafeRawPointer?) -> Value,
    _ start: (UnsafeMutableRawPointer, inout ErrorPointer?) -> Int32
) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let waiting = Unmanaged<Completion>.passRetained(Waiting(continuation, read))
        do {
            try checked { start(waiting.toOpaque(), &$0) }
        } catch {
            waiting.release()
            continuation.resume(throwing: error)
        }
    }
}

// What C calls, one function for each of its types.

func onDone(_ userData: UnsafeMutableRawPointer?, _ status: Int32, _ error: UnsafePointer<trill_error>?) {
    finish(userData, status, nil, error)
}

func onUser(
    _ userData: UnsafeMutableRawPointer?, _ status: Int32, _ user: UnsafePointer<trill_user>?,
    _ error: UnsafePointer<trill_error>?
) {
    finish(userData, status, user, error)
}

func onCall(
    _ userData: UnsafeMutableRawPointer?, _ status: Int32, _ call: UnsafePointer<trill_call>?,
    _ error: UnsafePointer<trill_error>?
) {
    finish(userData, status, call, error)
}

func onAccess(
    _ userData: UnsafeMutableRawPointer?, _ status: Int32, _ access: UnsafePointer<trill_session_access>?,
    _ error: UnsafePointer<trill_error>?
) {
    finish(userData, status, access, error)
}

func onPushedCall(
    _ userData: UnsafeMutableRawPointer?, _ status: Int32, _ pushed: UnsafePointer<trill_pushed_call>?,
    _ error: UnsafePointer<trill_error>?
) {
    finish(userData, status, pushed, error)
}

func onStatistics(
    _ userData: UnsafeMutableRawPointer?, _ status: Int32, _ statistics: UnsafePointer<trill_statistics>?,
    _ error: UnsafePointer<trill_error>?
) {
    finish(userData, status, statistics, error)
}

func onPage(
    _ userData: UnsafeMutableRawPointer?, _ status: Int32, _ page: UnsafePointer<trill_call_log_page>?,
    _ error: UnsafePointer<trill_error>?
) {
    finish(userData, status, page, error)
}

private func finish(
    _ userData: UnsafeMutableRawPointer?, _ status: Int32, _ result: UnsafeRawPointer?,
    _ error: UnsafePointer<trill_error>?
) {
    Unmanaged<Completion>.fromOpaque(userData!).takeRetainedValue().finish(status, result, error)
}

/// Calls a function that can fail, and throws what it says.
func checked(_ call: (inout ErrorPointer?) -> Int32) throws {
    var error: ErrorPointer?
    let status = call(&error)
    if status != TRILL_STATUS_OK {
        defer { trill_error_free(error) }
        throw failure(status, error.map { UnsafePointer($0) })
    }
}

/// What a status and its error say; the status's own text when there is no error.
func failure(_ status: Int32, _ error: UnsafePointer<trill_error>?) -> TrillError {
    error.map { TrillError(raw: $0.pointee) } ?? TrillError(code: status, message: String(cString: trill_status_text(status)))
}

/// A string or none, as C takes it.
func withText<Result>(_ text: String?, _ body: (UnsafePointer<CChar>?) throws -> Result) rethrows -> Result {
    guard let text else { return try body(nil) }
    return try text.withCString(body)
}

/// A string that C sees whole: it ends at its first NUL.
func whole(_ text: String) throws -> String {
    if text.utf8.contains(0) {
        throw TrillError(code: TRILL_STATUS_INVALID_ARGUMENT, message: "a string has a NUL character in it")
    }
    return text
}
