import Foundation
import Testing
import Trill

/// What one of the two hears and sees.
private final class Senses: @unchecked Sendable {
    /// Guards all that follows.
    private let lock = NSLock()
    private var pictureCount = 0
    private var loudCount = 0
    private var lastPicture: VideoFrame?
    private var voiceNames: Set<String> = []

    var pictures: Int { lock.withLock { pictureCount } }
    var loud: Int { lock.withLock { loudCount } }
    var picture: VideoFrame? { lock.withLock { lastPicture } }
    var voices: Set<String> { lock.withLock { voiceNames } }

    var media: MediaHandlers {
        var media = MediaHandlers()
        media.video = { _, _, frame in
            let copy = frame.copy()
            self.lock.withLock {
                self.pictureCount += 1
                self.lastPicture = copy
            }
        }
        media.audio = { frame in
            if Self.isLoud(frame) { self.lock.withLock { self.loudCount += 1 } }
        }
        media.participantAudio = { identity, frame in
            if Self.isLoud(frame) { self.lock.withLock { _ = self.voiceNames.insert(identity) } }
        }
        return media
    }

    private static func isLoud(_ frame: borrowing AudioFrameView) -> Bool { frame.samples.contains { $0 > 1000 } }
}

private let patience = Duration.seconds(30)

/// The first event that `pick` makes something of.
private func first<E: Sendable, T: Sendable>(
    _ what: String, in events: AsyncStream<E>, _ pick: @escaping @Sendable (E) -> T?
) async throws -> T {
    try await withThrowingTaskGroup(of: T?.self) { group in
        group.addTask {
            for await event in events { if let picked = pick(event) { return picked } }
            return nil
        }
        group.addTask {
            try await Task.sleep(for: patience)
            return nil
        }
        defer { group.cancelAll() }
        return try #require(try await group.next() ?? nil, "no \(what) came")
    }
}

private func call(_ what: String, _ kind: CallEvent.Kind, in events: AsyncStream<Event>) async throws -> CallEvent {
    try await first(what, in: events) { if case .call(let event) = $0, event.kind == kind { event } else { nil } }
}

private func eventually(_ what: String, _ holds: () -> Bool) async throws {
    let deadline = ContinuousClock.now + patience
    while !holds() {
        try #require(ContinuousClock.now < deadline, "no \(what) came")
        try await Task.sleep(for: .milliseconds(20))
    }
}

private func status(_ body: () async throws -> Void) async -> Status? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? TrillError)?.status
    }
}

/// Alice, who pushes a grey picture and a tone, calls Bob, who sends a test picture and a tone.
@Suite(.serialized) struct CallTests {
    @Test func twoEnginesRingTalkHangUpAndFindItInTheLog() async throws {
        let server = try TestServer()
        let (alice, bob) = try (Engine(deviceID: "desk"), Engine())
        #expect(try await alice.login(server: server.url, token: server.token("alice")).uid == "alice")
        #expect(try await bob.login(server: server.url, token: server.token("bob")).uid == "bob")
        #expect(alice.loggedInUser?.uid == "alice")

        let (incoming, ringing, accepted) = (bob.events, alice.events, alice.events)
        var options = CallOptions()
        options.metadata = #"{"room":7}"#
        let dialled = try await alice.initiate("bob", type: .video, options: options)
        #expect(dialled.status == .initiated)
        let rings = try await call("ring", .incomingReceived, in: incoming).call
        #expect(rings.initiator.uid == "alice" && rings.metadata == options.metadata)
        _ = try await call("sign that it rings", .outgoingRinging, in: ringing)
        #expect(alice.activeCall?.sessionID == dialled.sessionID)
        #expect(try await bob.accept(dialled.sessionID).status == .ongoing)
        #expect(try await call("answer", .outgoingAccepted, in: accepted).by == "bob")

        let id = dialled.sessionID
        let (sensesOfAlice, sensesOfBob) = (Senses(), Senses())
        let pushed = SessionSettings(audio: .pushed(channels: 2), video: .pushed)
        var made = SessionSettings(audio: .tone(), video: .testPicture)
        (made.videoWidth, made.videoHeight, made.videoFramesPerSecond) = (320, 180, 15)
        made.statisticsInterval = .milliseconds(200)
        let hers = try await alice.startSession(
            id, access: alice.sessionToken(for: id), settings: pushed, media: sensesOfAlice.media)
        let his = try await bob.startSession(
            id, access: bob.sessionToken(for: id), settings: made, media: sensesOfBob.media)
        let pusher = Task { await push(into: hers) }
        defer { pusher.cancel() }

        try await eventually("bob's pictures") { sensesOfAlice.pictures >= 10 }
        try await eventually("alice's pictures") { sensesOfBob.pictures >= 5 }
        try await eventually("bob's tone") { sensesOfAlice.loud >= 25 }
        try await eventually("alice's tone") { sensesOfBob.loud >= 25 }
        #expect(sensesOfBob.voices == ["alice"])
        let seen = try #require(sensesOfBob.picture)
        #expect(seen.width == 320 && seen.height == 180)
        #expect((180...220).contains(seen.y[0]), "a light grey became \(seen.y[0])")
        try await talk(hers, his)
        try await hangUp(alice, bob, hers, his)
    }

    private func talk(_ hers: Session, _ his: Session) async throws {
        #expect(try hers.participants.map(\.identity) == ["alice", "bob"])
        try his.setVoiceProcessing([.highPass, .gainControl])
        #expect(try his.voiceProcessing == [.highPass, .gainControl])
        try his.setVoiceProcessing([])
        #expect(try his.voiceProcessing == [])

        let statistics = try await hers.statistics()
        #expect(statistics.sent.count == 2 && statistics.received.count == 2)
        #expect(statistics.received.allSatisfy { $0.identity == "bob" && $0.packets > 0 })
        #expect(try #require(statistics.connectedAfter) > .zero)

        // He has none of the machine's devices.
        #expect(await status { try his.chooseDevice(.microphone, "any", policy: .keep) } == .deviceUnavailable)
        #expect(await status { try his.setVolume(of: .speaker, 0.5) } == .deviceUnavailable)

        try await hers.send(Data("hello".utf8), topic: "chat", to: ["bob"])
        try await hers.setMuted(.camera, true)
        // One loop over his events: none was lost before it begins. A message and a mute come on ways of their own.
        let told = try await first("message and a mute", in: his.events.scan()) { events -> [SessionEvent]? in
            let isMuted = events.contains {
                if case .track(let event) = $0.kind, event.kind == .muted {
                    event.identity == "alice" && event.track.source == .camera
                } else {
                    false
                }
            }
            return isMuted && events.contains { if case .data = $0.kind { true } else { false } } ? events : nil
        }
        #expect(told.contains { if case .joined = $0.kind { true } else { false } })
        #expect(told.contains {
            if case .statistics(let statistics) = $0.kind { statistics.sent.count == 2 } else { false }
        })
        #expect(told.contains {
            if case .data(let message) = $0.kind {
                message.payload == Data("hello".utf8) && message.topic == "chat" && message.from == "alice"
            } else {
                false
            }
        })
    }

    private func hangUp(_ alice: Engine, _ bob: Engine, _ hers: Session, _ his: Session) async throws {
        let (endOfCall, endOfSession) = (bob.events, bob.events)
        #expect(try await alice.end(hers.id).endReason == .hungUp)
        #expect(try await call("end", .ended, in: endOfCall).by == "alice")
        _ = try await first("end of his session", in: endOfSession) {
            if case .session(let event) = $0, case .ended = event.kind { true } else { nil }
        }
        #expect(await status { _ = try await his.statistics() } == .sessionNotFound)
        #expect(alice.activeCall == nil)
        for engine in [alice, bob] {
            var filter = CallLogFilter()
            filter.type = .video
            let page = try await engine.callLog(filter)
            #expect(page.calls.map(\.sessionID) == [hers.id] && page.calls[0].endReason == .hungUp)
            #expect(page.calls[0].duration > .zero && page.calls[0].parties.allSatisfy(\.joined))
            (filter.recording, filter.category) = (false, .call)
            #expect(try await engine.callLog(filter).calls.count == 1)
            filter.recording = true
            #expect(try await engine.callLog(filter).calls.isEmpty)
        }
        try await alice.logout()
        #expect(alice.loggedInUser == nil)
        await alice.close()
        await bob.close()
    }

    @Test func callsThatAreRejectedCancelledOrToNobodyEndAsTheyShould() async throws {
        let server = try TestServer()
        let (alice, bob) = try (Engine(), Engine())
        try await alice.login(server: server.url, token: server.token("alice"))
        try await bob.login(server: server.url, token: server.token("bob"))
        let (rings, rejected, cancelled) = (bob.events, alice.events, bob.events)
        let first = try await alice.initiate("bob").sessionID
        _ = try await call("ring", .incomingReceived, in: rings)
        try await bob.reject(first)
        #expect(try await call("rejection", .outgoingRejected, in: rejected).call.endReason == .rejected)
        try await alice.cancel(alice.initiate("bob").sessionID)
        #expect(try await call("cancellation", .incomingCancelled, in: cancelled).call.status == .cancelled)
        #expect(await status { try await alice.initiate("nobody") } == .userUnknown)
        #expect(await status { _ = try await alice.sessionToken(for: first) } == .alreadyEnded)
        await alice.close()
        await bob.close()
    }

    @Test func whoIsAloneForAsLongAsIsSetIsOutWithThatReason() async throws {
        let server = try TestServer()
        let engine = try Engine()
        var settings = SessionSettings()
        settings.leftAloneTimeout = .seconds(1)
        let session = try await engine.startSession(
            "meeting", url: server.url, token: server.sessionToken("meeting", "alice"), settings: settings)
        let end = try await first("end", in: session.events) {
            if case .ended(let end, let error) = $0.kind { error == nil ? end : .unrecognized } else { nil }
        }
        #expect(end == .leftAlone)
        await engine.close()
    }

    @Test func aServerThatGoesAwayIsToldAndInTheLogWhichHoldsNoToken() async throws {
        let server = try TestServer()
        let token = try server.sessionToken("meeting", "alice")
        let lines = Lines()
        try Library.log(.debug) { level, target, message in lines.add("\(level) \(target) \(message)") }
        let engine = try Engine()
        let session = try await engine.startSession(
            "meeting", url: server.url, token: token, settings: SessionSettings(audio: .tone()))
        server.stop()
        try await first("broken connection", in: session.events) { if case .reconnecting = $0.kind { () } else { nil } }
        try await session.end()
        await engine.close()
        try Library.log(.off, to: nil)
        #expect(lines.all.contains { $0.hasPrefix("debug trill") })
        #expect(!lines.all.contains { $0.contains(token) })
    }
}

private final class Lines: @unchecked Sendable {
    private let lock = NSLock()
    private var lines: [String] = []

    var all: [String] { lock.withLock { lines } }

    func add(_ line: String) { lock.withLock { lines.append(line) } }
}

/// A loud square wave of two channels, and a light grey picture at each third turn.
private func push(into session: Session) async {
    let tone = (0..<2 * 960).map { Int16($0 / 96 % 2 == 0 ? 8000 : -8000) }
    var turn = 0
    while !Task.isCancelled {
        // What does not fit is dropped, which is fine here.
        try? session.pushAudio(tone)
        if turn.isMultiple(of: 3) {
            var frame = VideoFrame(width: 320, height: 180, timestamp: .milliseconds(turn * 20))
            frame.y = [UInt8](repeating: 200, count: frame.y.count)
            try? session.pushVideo(frame)
        }
        turn += 1
        try? await Task.sleep(for: .milliseconds(20))
    }
}

extension AsyncStream where Element: Sendable {
    /// All elements so far, at each new one.
    fileprivate func scan() -> AsyncStream<[Element]> {
        let (stream, continuation) = AsyncStream<[Element]>.makeStream()
        let task = Task {
            var all: [Element] = []
            for await element in self {
                all.append(element)
                continuation.yield(all)
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }
}
