import Foundation

/// Those who want an engine's events, each with a queue of its own. C holds it as the user_data of the engine's callbacks.
final class EventHub: @unchecked Sendable {
    private enum Subscriber {
        case all(AsyncStream<Event>.Continuation)
        case session(String, AsyncStream<SessionEvent>.Continuation)
    }

    /// Guards all that follows.
    private let lock = NSLock()
    private var subscribers: [Int: Subscriber] = [:]
    private var nextID = 0
    private var isOver = false

    /// All events, none of which is lost.
    func events() -> AsyncStream<Event> {
        let (stream, continuation) = AsyncStream<Event>.makeStream()
        let id = add(.all(continuation))
        continuation.onTermination = { [weak self] _ in self?.remove(id) }
        return stream
    }

    /// Those of one session, of which the latest are kept until they are taken.
    func events(ofSession sessionID: String) -> AsyncStream<SessionEvent> {
        let (stream, continuation) = AsyncStream<SessionEvent>.makeStream(bufferingPolicy: .bufferingNewest(1024))
        let id = add(.session(sessionID, continuation))
        continuation.onTermination = { [weak self] _ in self?.remove(id) }
        return stream
    }

    func tell(_ event: Event) {
        for subscriber in lock.withLock({ Array(subscribers.values) }) {
            switch (subscriber, event) {
            case (.all(let continuation), _):
                continuation.yield(event)
            case (.session(let sessionID, let continuation), .session(let event)) where event.sessionID == sessionID:
                continuation.yield(event)
                if case .ended = event.kind { continuation.finish() }
            default:
                break
            }
        }
    }

    /// There are no more events.
    func close() {
        let last = lock.withLock {
            isOver = true
            return Array(subscribers.values)
        }
        last.forEach(finish)
    }

    private func add(_ subscriber: Subscriber) -> Int {
        let (id, tooLate) = lock.withLock {
            nextID += 1
            if !isOver { subscribers[nextID] = subscriber }
            return (nextID, isOver)
        }
        if tooLate { finish(subscriber) }
        return id
    }

    private func remove(_ id: Int) {
        lock.withLock { _ = subscribers.removeValue(forKey: id) }
    }

    private func finish(_ subscriber: Subscriber) {
        switch subscriber {
        case .all(let continuation): continuation.finish()
        case .session(_, let continuation): continuation.finish()
        }
    }
}
