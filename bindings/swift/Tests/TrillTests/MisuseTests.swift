import Foundation
import Testing

@testable import Trill

/// What an app does wrong becomes an error that says so.
@Suite struct MisuseTests {
    private func refused(_ status: Status, _ text: String, _ body: () async throws -> Void) async {
        do {
            try await body()
            Issue.record("it was not refused")
        } catch let error as TrillError {
            #expect(error.status == status)
            #expect(text.isEmpty || error.message.contains(text))
        } catch {
            Issue.record(error)
        }
    }

    @Test func whatNeedsALoginSaysSo() async throws {
        let engine = try Engine()
        #expect(engine.loggedInUser == nil)
        #expect(engine.activeCall == nil)
        await refused(.notLoggedIn, "Log in") { try await engine.initiate("bob") }
        await refused(.notLoggedIn, "Log in") { _ = try await engine.callLog() }
        await engine.close()
    }

    @Test func badArgumentsAreRefusedWithTheirNames() async throws {
        let engine = try Engine()
        await refused(.invalidArgument, "URL") { try await engine.login(server: "no url", token: "token") }
        await refused(.invalidArgument, "worker_threads") { _ = try Engine(workerThreads: 99) }
        await refused(.invalidArgument, "NUL") { try await engine.initiate("bob\0x") }
        var settings = SessionSettings()
        settings.audioOutputFile = "/no/such/folder/out.wav"
        await refused(.mediaFile, "/no/such/folder") {
            _ = try await engine.startSession("s", url: "ws://127.0.0.1:1", token: "t", settings: settings)
        }
        settings = SessionSettings()
        for time in [Duration.milliseconds(999), .seconds(48 * 3600), .milliseconds(4_294_967_296 + 5000)] {
            settings.leftAloneTimeout = time
            await refused(.invalidArgument, "left_alone_timeout") {
                _ = try await engine.startSession("s", url: "ws://127.0.0.1:1", token: "t", settings: settings)
            }
        }
        await refused(.serverUnreachable, "127.0.0.1") {
            _ = try await engine.startSession("s", url: "ws://127.0.0.1:1", token: "t")
        }
        await engine.close()
    }

    @Test func aClosedEngineRefusesAndItsEventsAreOver() async throws {
        let engine = try Engine()
        let events = engine.events
        await engine.close()
        await engine.close()
        for await event in events { Issue.record("an event of a closed engine: \(event)") }
        for await event in engine.events { Issue.record("an event of a closed engine: \(event)") }
        await #expect(throws: TrillError.self) { try await engine.login(server: "http://127.0.0.1:1", token: "t") }
    }

    @Test func whatAHandlerOrAnEngineHoldsIsLetGo() async throws {
        final class Held: Sendable {}
        weak var held: Held?
        var events: AsyncStream<Event>?
        do {
            let engine = try Engine()
            events = engine.events
            let object = Held()
            held = object
            var media = MediaHandlers()
            media.audio = { _ in _ = object }
            _ = try? await engine.startSession("s", url: "ws://127.0.0.1:1", token: "t", media: media)
        }
        // Nobody holds the engine any more: it closes by itself, and its streams end when all is let go.
        if let events { for await _ in events {} }
        #expect(held == nil)
    }

    @Test func aPushsPayloadIsReadWithoutANetworkAndWhatIsNoneIsRefused() async throws {
        let claims = #"{"use":"wake","exp":1,"sub":"bob","sessionId":"s1","from":{"uid":"alice"},"type":"VIDEO"}"#
        let body = Data(claims.utf8).base64EncodedString().replacingOccurrences(of: "=", with: "")
        let wake = try Library.readWake(Data("h.\(body).s".utf8))
        #expect(wake.uid == "bob" && wake.sessionID == "s1" && wake.from.uid == "alice")
        #expect(wake.type == .video && wake.expiresAt == Date(timeIntervalSince1970: 1))
        await refused(.malformed, "") { _ = try Library.readWake(Data([1, 2, 3])) }
        let engine = try Engine()
        await refused(.notLoggedIn, "Log in") { _ = try await engine.call(fromPush: Data("h.\(body).s".utf8)) }
        await engine.close()
    }

    @Test func devicesAreListedOrItIsSaidWhyNot() async throws {
        for kind in [DeviceKind.microphone, .speaker, .camera] {
            // Machines of tests have none of them, or any.
            #expect(try Library.devices(kind).allSatisfy { !$0.name.isEmpty && !$0.id.isEmpty })
            await refused(.deviceUnavailable, "no such device") {
                _ = try Library.deviceFormats(kind, name: "no such device")
            }
        }
        await refused(.invalidArgument, "kind") { _ = try Library.devices(.unrecognized) }
    }

    @Test func theSecretOfASessionIsNotInItsText() {
        let access = SessionAccess(url: "wss://calls.example.com", token: "secret", expiresAt: Date())
        var dumped = ""
        dump(access, to: &dumped)
        #expect(!"\(access)".contains("secret") && !String(reflecting: access).contains("secret"))
        #expect(!dumped.contains("secret"))
    }

    @Test func durationsBecomeWholeUnits() {
        #expect(Duration.seconds(1.5).wholeMilliseconds == 1500)
        #expect(Duration.microseconds(40_000_000_001).wholeMicroseconds == 40_000_000_001)
        #expect(Duration.seconds(-3).wholeSeconds == 0)
        #expect(Duration.seconds(Int64.max).wholeMilliseconds == UInt32.max)
    }
}
