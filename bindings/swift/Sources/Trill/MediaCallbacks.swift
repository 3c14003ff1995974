import CTrill

/// Handlers as C holds them: the user_data of a session's callbacks.
struct MediaCallbacks {
    private final class Box {
        let handlers: MediaHandlers

        init(_ handlers: MediaHandlers) { self.handlers = handlers }

        static func of(_ userData: UnsafeMutableRawPointer?) -> MediaHandlers {
            Unmanaged<Box>.fromOpaque(userData!).takeUnretainedValue().handlers
        }
    }

    private let box: Unmanaged<Box>?

    init(_ handlers: MediaHandlers?) { box = handlers.map { Unmanaged.passRetained(Box($0)) } }

    /// What C does after the last use, for a session that never began.
    func drop() { box?.release() }

    func withRaw<Result>(_ body: (UnsafePointer<trill_session_callbacks>?) -> Result) -> Result {
        guard let box else { return body(nil) }
        let handlers = box.takeUnretainedValue().handlers
        var raw = trill_session_callbacks_init()
        raw.user_data = box.toOpaque()
        if handlers.video != nil {
            raw.video_frame = { userData, identity, trackID, frame in
                Box.of(userData).video?(textOrEmpty(identity), textOrEmpty(trackID), VideoFrameView(raw: frame!.pointee))
            }
        }
        if handlers.audio != nil {
            raw.audio_frame = { userData, frame in Box.of(userData).audio?(AudioFrameView(raw: frame!.pointee)) }
        }
        if handlers.participantAudio != nil {
            raw.participant_audio_frame = { userData, identity, frame in
                Box.of(userData).participantAudio?(textOrEmpty(identity), AudioFrameView(raw: frame!.pointee))
            }
        }
        raw.drop_user_data = { userData in Unmanaged<Box>.fromOpaque(userData!).release() }
        return body(&raw)
    }
}

extension VideoFrameView {
    init(raw frame: trill_video_frame) {
        let (width, height) = (Int(frame.width), Int(frame.height))
        func plane(_ first: UnsafePointer<UInt8>?, _ stride: Int, _ width: Int, _ height: Int) -> Plane {
            Plane(bytes: UnsafeBufferPointer(start: first, count: stride * (height - 1) + width), stride: stride)
        }
        self.init(
            width: width,
            height: height,
            y: plane(frame.y, frame.stride_y, width, height),
            u: plane(frame.u, frame.stride_u, (width + 1) / 2, (height + 1) / 2),
            v: plane(frame.v, frame.stride_v, (width + 1) / 2, (height + 1) / 2),
            rotation: Int(frame.rotation),
            timestamp: .microseconds(frame.timestamp_us)
        )
    }
}

extension AudioFrameView {
    init(raw frame: trill_audio_frame) {
        samples = array(frame.samples, frame.samples_per_channel * Int(frame.channels))
        sampleRate = Int(frame.sample_rate)
        channels = Int(frame.channels)
        timestamp = .microseconds(frame.timestamp_us)
    }
}
