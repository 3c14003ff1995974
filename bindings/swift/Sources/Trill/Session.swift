import CTrill
import Foundation

/// The media of a call, or of any room. It ends with `end`, with its call, with its engine, or when the server or the network
/// ends it; after that its functions fail with `Status.sessionNotFound`.
public final class Session: Sendable {
    public let id: String
    /// What happens in this session from its start to its end, which is the last event. For one loop over it; of what happens
    /// before that, the latest 1,024 events are kept.
    public let events: AsyncStream<SessionEvent>

    /// Held, so that a session in use keeps its engine.
    private let engine: Engine
    private let handle: Handle
    private let pushedChannels: Int

    init(engine: Engine, handle: Handle, id: String, settings: SessionSettings, events: AsyncStream<SessionEvent>) {
        self.engine = engine
        self.handle = handle
        self.id = id
        self.events = events
        if case .pushed(_, let channels) = settings.audio, channels > 0 {
            pushedChannels = Int(channels)
        } else {
            pushedChannels = 1
        }
    }

    /// Who is in it at the moment: ourselves first, if the server has let us in.
    public var participants: [Participant] {
        get throws {
            var list: UnsafeMutablePointer<trill_participants>?
            try checked { trill_session_participants(handle.pointer, id, &list, &$0) }
            defer { trill_participants_free(list) }
            return list.map { array($0.pointee.participants, $0.pointee.participant_count).map { Participant(raw: $0) } } ?? []
        }
    }

    /// What is done to our voice.
    public var voiceProcessing: VoiceProcessing {
        get throws {
            var flags: Int32 = 0
            try checked { trill_session_voice_processing(handle.pointer, id, &flags, &$0) }
            return VoiceProcessing(flags: flags)
        }
    }

    /// Says what is done to our voice from the next 20 ms on.
    public func setVoiceProcessing(_ processing: VoiceProcessing) throws {
        try checked { trill_session_set_voice_processing(handle.pointer, id, processing.flags, &$0) }
    }

    /// Takes another of the machine's devices from now on, by name or id; nil for the default one. What comes of it is told as
    /// `SessionEvent.Kind.deviceChanged`.
    public func chooseDevice(_ kind: DeviceKind, _ name: String? = nil, policy: DevicePolicy = .fallBack) throws {
        let name = try name.map(whole)
        try checked { error in
            withText(name) {
                trill_session_choose_device(handle.pointer, id, kind.rawValue, $0, policy.rawValue, &error)
            }
        }
    }

    /// Says how loud one of the machine's microphones or speakers is: 0 for silence, 1 as it is, 4 at most.
    public func setVolume(of kind: DeviceKind, _ volume: Float) throws {
        try checked { trill_session_set_volume(handle.pointer, id, kind.rawValue, volume, &$0) }
    }

    /// Leaves it. After that none of its handlers runs any more. Takes 2 s at most.
    public func end() async throws {
        try await awaitDone { trill_session_end(handle.pointer, id, onDone, $0, &$1) }
    }

    /// Mutes or unmutes what we send of `Source.microphone` or `Source.camera`: while muted nothing is captured or sent, and
    /// the others are told.
    public func setMuted(_ source: Source, _ muted: Bool) async throws {
        try await awaitDone {
            trill_session_set_muted(handle.pointer, id, source.rawValue, muted ? 1 : 0, onDone, $0, &$1)
        }
    }

    /// Takes what we send of one source back, for good.
    public func unpublish(_ source: Source) async throws {
        try await awaitDone { trill_session_unpublish(handle.pointer, id, source.rawValue, onDone, $0, &$1) }
    }

    /// Asks for a track of another participant, or gives it up.
    public func subscribe(to trackID: String, _ wanted: Bool = true) async throws {
        let trackID = try whole(trackID)
        try await awaitDone { trill_session_subscribe(handle.pointer, id, trackID, wanted ? 1 : 0, onDone, $0, &$1) }
    }

    /// Sends a message of up to 15 KiB to these identities, or to everyone. Reliable ones come in order, and are resent until
    /// they arrive.
    public func send(
        _ payload: Data, topic: String? = nil, reliable: Bool = true, to destinations: [String] = []
    ) async throws {
        let (topic, destinations) = try (topic.map(whole), destinations.map(whole))
        try await awaitDone { userData, error in
            withText(topic) { topic in
                withTexts(destinations) { destinations in
                    payload.withUnsafeBytes { payload in
                        trill_session_send_data(
                            handle.pointer, id, payload.bindMemory(to: UInt8.self).baseAddress, payload.count, topic,
                            reliable ? 1 : 0, destinations.baseAddress, destinations.count, onDone, userData, &error)
                    }
                }
            }
        }
    }

    /// What it sends and receives.
    public func statistics() async throws -> Statistics {
        try await awaitResult(Statistics.init(raw:)) {
            trill_session_statistics(handle.pointer, id, onStatistics, $0, &$1)
        }
    }

    /// Pushes audio into a session with `AudioSource.pushed`: interleaved signed 16-bit samples, any number of them. Never
    /// blocks. Silence is sent while nothing is pushed; up to 200 ms may wait. One thread at a time.
    public func pushAudio(_ samples: UnsafeBufferPointer<Int16>) throws {
        let count = try perChannel(samples.count)
        try checked { trill_session_push_audio(handle.pointer, id, samples.baseAddress, count, &$0) }
    }

    /// The same with samples from -1 to 1.
    public func pushAudio(_ samples: UnsafeBufferPointer<Float>) throws {
        let count = try perChannel(samples.count)
        try checked { trill_session_push_audio_float(handle.pointer, id, samples.baseAddress, count, &$0) }
    }

    public func pushAudio(_ samples: [Int16]) throws { try samples.withUnsafeBufferPointer(pushAudio) }

    public func pushAudio(_ samples: [Float]) throws { try samples.withUnsafeBufferPointer(pushAudio) }

    /// Pushes a picture into a session with `VideoSource.pushed`. Never blocks; copied once.
    public func pushVideo(_ frame: VideoFrame) throws { try frame.withView(pushVideo) }

    /// The same from memory of the app's, as of a camera's buffer.
    public func pushVideo(_ frame: borrowing VideoFrameView) throws {
        var raw = trill_video_frame_init()
        raw.y = frame.y.bytes.baseAddress
        raw.u = frame.u.bytes.baseAddress
        raw.v = frame.v.bytes.baseAddress
        raw.stride_y = frame.y.stride
        raw.stride_u = frame.u.stride
        raw.stride_v = frame.v.stride
        raw.width = UInt32(frame.width)
        raw.height = UInt32(frame.height)
        raw.rotation = UInt32(clamping: frame.rotation)
        raw.timestamp_us = frame.timestamp.wholeMicroseconds
        try checked { trill_session_push_video(handle.pointer, id, &raw, &$0) }
    }

    private func perChannel(_ samples: Int) throws -> Int {
        guard samples.isMultiple(of: pushedChannels) else {
            let message = "\(samples) samples are not whole ones of \(pushedChannels) channels"
            throw TrillError(code: TRILL_STATUS_INVALID_ARGUMENT, message: message)
        }
        return samples / pushedChannels
    }
}

extension VideoFrame {
    /// The picture as it is, for as long as `body` runs.
    public func withView<Result>(_ body: (borrowing VideoFrameView) throws -> Result) rethrows -> Result {
        try y.withUnsafeBufferPointer { y in
            try u.withUnsafeBufferPointer { u in
                try v.withUnsafeBufferPointer { v in
                    try body(VideoFrameView(
                        width: width,
                        height: height,
                        y: .init(bytes: y, stride: width),
                        u: .init(bytes: u, stride: (width + 1) / 2),
                        v: .init(bytes: v, stride: (width + 1) / 2),
                        rotation: rotation,
                        timestamp: timestamp
                    ))
                }
            }
        }
    }
}

/// Strings as C's array of them.
private func withTexts<Result>(
    _ texts: [String], _ body: (UnsafeBufferPointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
    let copies = texts.map { strdup($0) }
    defer { copies.forEach { free($0) } }
    return copies.map { UnsafePointer($0) }.withUnsafeBufferPointer(body)
}
