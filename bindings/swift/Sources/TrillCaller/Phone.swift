import Trill

/// At most one call at a time: the one that rings, is dialled or is ongoing.
actor Phone {
    private let engine: Engine
    private let settings: SessionSettings
    private var call: Call?
    private var session: Session?

    init(engine: Engine, settings: SessionSettings) {
        self.engine = engine
        self.settings = settings
    }

    func obey(_ line: String) async {
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        await complaining("refused") {
            switch (words[0], words.dropFirst().first, call?.sessionID) {
            case ("call", let who?, _): try await dial(who, .audio)
            case ("video", let who?, _): try await dial(who, .video)
            case ("group", let group?, _): try await dial(group, .video, .group)
            case ("log", _, _): for call in try await engine.callLog().calls { say("  \(describe(call))") }
            case (_, _, nil): say("there is no call; commands: call USER, video USER, group GROUP, log, quit")
            case ("accept", _, let id?): try await start(engine.accept(id))
            case ("reject", _, let id?): try await engine.reject(id)
            case ("busy", _, let id?): try await engine.reject(id, reason: .busy)
            case ("cancel", _, let id?): try await engine.cancel(id)
            case ("h", _, let id?): try await engine.end(id)
            case ("mute", _, _): try await session?.setMuted(.microphone, true)
            case ("unmute", _, _): try await session?.setMuted(.microphone, false)
            case ("s", _, _): if let session { try await showStatistics(of: session) }
            default: say("commands: accept, reject, busy, cancel, mute, unmute, s, h, log, quit")
            }
        }
    }

    func show(_ event: Event) async {
        switch event {
        case .call(let event): await show(event)
        case .session(let event): show(event.kind)
        case .login(.loggedOut(let error)): say("! logged out: \(error?.message ?? "")")
        case .login(.reconnecting(let error)): say("! login: \(error?.message ?? "")")
        case .login(.loggedIn), .unrecognized: break
        }
    }

    private func show(_ event: CallEvent) async {
        switch event.kind {
        case .incomingReceived:
            if call == nil {
                call = event.call
                say("\(event.call.initiator.uid) calls: accept, reject or busy?")
            }
        case .outgoingRinging:
            say("it rings")
        case .outgoingAccepted:
            say("\(event.by ?? "somebody") accepted")
            // Of a group each member accepts for itself.
            if session == nil { await complaining("the session did not start") { try await start(event.call) } }
        default:
            if call?.sessionID == event.call.sessionID { (call, session) = (nil, nil) }
            say("the call is over: \(describe(event.call))")
        }
    }

    private func show(_ event: SessionEvent.Kind) {
        switch event {
        case .connected: say("connected")
        case .participantJoined(let participant): say("\(participant.identity) is there")
        case .participantLeft(let participant): say("\(participant.identity) is gone")
        case .track(let track) where track.kind == .muted: say("\(track.identity) is muted")
        case .track(let track) where track.kind == .unmuted: say("\(track.identity) is not muted any more")
        case .firstAudio(let identity, _): say("\(identity) can be heard")
        case .firstVideo(let identity, _, let width, let height): say("\(identity) can be seen, \(width)x\(height)")
        case .reconnecting: say("the connection broke; it is being restored")
        case .reconnected: say("the connection is restored")
        case .failure(let error): say("! \(error.message)")
        case .deviceChanged(let device, _, name: _, let error?): say("! \(device): \(error.message)")
        default: break
        }
    }

    private func dial(_ who: String, _ type: CallType, _ receiver: ReceiverType = .user) async throws {
        var options = CallOptions()
        options.receiverType = receiver
        let dialled = try await engine.initiate(who, type: type, options: options)
        if dialled.status == .initiated {
            call = dialled
            say("calling \(who)")
        }
    }

    private func start(_ accepted: Call) async throws {
        call = accepted
        var settings = settings
        settings.audioOnly = accepted.type == .audio
        let access = try await engine.sessionToken(for: accepted.sessionID)
        session = try await engine.startSession(accepted.sessionID, access: access, settings: settings)
    }

    private func describe(_ call: Call) -> String {
        let how = call.endReason.map { "\($0)" } ?? "\(call.status)"
        return "\(call.initiator.uid) -> \(call.receiver), \(call.type), \(call.duration), \(how)"
    }

    private func showStatistics(of session: Session) async throws {
        let statistics = try await session.statistics()
        for track in statistics.sent {
            let (audio, loss) = ("\(track.audioLevel) dBov", "lost \(track.packetsLost), rtt \(track.roundTrip ?? .zero)")
            say("  > \(track.source): \(track.bytes / 1000) kB, \(track.video.framesPerSecond) fps, \(audio), \(loss)")
        }
        for track in statistics.received {
            let (audio, loss) = ("\(track.audioLevel) dBov", "lost \(track.packetsLost), jitter \(track.audioJitter)")
            let name = "\(track.identity), \(track.source)"
            say("  < \(name): \(track.bytes / 1000) kB, \(track.video.framesPerSecond) fps, \(audio), \(loss)")
        }
    }

    private func complaining(_ what: String, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch {
            say("! \(what): \(error)")
        }
    }
}
