import CTrill
import Foundation

// What the library lends, copied into values of Swift's. Only the planes and samples of frames are not copied.

func text(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

func textOrEmpty(_ pointer: UnsafePointer<CChar>?) -> String { text(pointer) ?? "" }

extension TrillError {
    init(raw error: trill_error) { self.init(code: error.status, message: textOrEmpty(error.message)) }
}

extension User {
    init(raw user: trill_user) {
        self.init(
            uid: textOrEmpty(user.uid), name: text(user.name), avatar: text(user.avatar), metadata: text(user.metadata))
    }
}

extension Call {
    init(raw call: trill_call) {
        self.init(
            sessionID: textOrEmpty(call.session_id),
            initiator: User(raw: call.initiator.pointee),
            receiver: textOrEmpty(call.receiver),
            receiverName: text(call.receiver_name),
            receiverType: ReceiverType(code: call.receiver_type),
            type: CallType(code: call.call_type),
            category: Category(code: call.category),
            status: CallStatus(code: call.status),
            initiatedAt: Date(milliseconds: call.initiated_at_ms),
            startedAt: date(call.started_at_ms),
            endedAt: date(call.ended_at_ms),
            duration: .milliseconds(call.duration_ms),
            endedBy: text(call.ended_by),
            endReason: call.end_reason == 0 ? nil : EndReason(code: call.end_reason),
            parties: array(call.parties, call.party_count).map { CallParty(raw: $0) },
            metadata: text(call.metadata),
            receiverAvatar: text(call.receiver_avatar),
            revision: call.revision
        )
    }
}

extension CallParty {
    init(raw party: trill_call_party) {
        self.init(
            uid: textOrEmpty(party.uid),
            deviceID: text(party.device_id),
            state: PartyState(code: party.state),
            joined: party.joined != 0,
            joinedAt: date(party.joined_at_ms),
            leftAt: date(party.left_at_ms)
        )
    }
}

extension SessionAccess {
    init(raw access: trill_session_access) {
        let expiresAt = Date(milliseconds: access.expires_at_ms)
        self.init(url: textOrEmpty(access.url), token: textOrEmpty(access.token), expiresAt: expiresAt)
    }
}

extension PushedCall {
    init(raw pushed: trill_pushed_call) {
        self.init(outcome: PushOutcome(code: pushed.outcome), call: Call(raw: pushed.call.pointee))
    }
}

extension Wake {
    init(raw wake: trill_wake) {
        self.init(
            uid: textOrEmpty(wake.uid),
            sessionID: textOrEmpty(wake.session_id),
            from: User(raw: wake.from.pointee),
            group: text(wake.group),
            type: CallType(code: wake.call_type),
            expiresAt: Date(milliseconds: wake.expires_at_ms)
        )
    }
}

extension Device {
    init(raw device: trill_device) {
        self.init(name: textOrEmpty(device.name), id: textOrEmpty(device.id), isDefault: device.is_default != 0)
    }
}

extension DeviceFormats {
    init(raw told: trill_device_formats) {
        self.init(
            formats: array(told.formats, told.format_count).map {
                DeviceFormat(
                    channels: Int($0.channels),
                    sampleRates: Int($0.sample_rate_min)...Int($0.sample_rate_max),
                    pixels: text($0.pixels),
                    width: Int($0.width),
                    height: Int($0.height),
                    fps: Int($0.fps)
                )
            },
            channels: Int(told.channels),
            sampleRate: Int(told.sample_rate)
        )
    }
}

extension CallLogPage {
    init(raw page: trill_call_log_page) {
        let calls = array(page.calls, page.call_count).map { Call(raw: $0) }
        self.init(calls: calls, next: text(page.next), previous: text(page.previous))
    }
}

extension Participant {
    init(raw participant: trill_participant) {
        self.init(
            identity: textOrEmpty(participant.identity),
            id: textOrEmpty(participant.id),
            name: textOrEmpty(participant.name),
            metadata: textOrEmpty(participant.metadata),
            tracks: array(participant.tracks, participant.track_count).map { Track(raw: $0) },
            isSpeaking: participant.speaking != 0,
            level: participant.level,
            quality: Quality(code: participant.quality),
            attributes: Dictionary(
                array(participant.attributes, participant.attribute_count).map { (textOrEmpty($0.name), textOrEmpty($0.value)) },
                uniquingKeysWith: { _, last in last })
        )
    }
}

extension Track {
    init(raw track: trill_track) {
        self.init(
            id: textOrEmpty(track.id),
            kind: TrackKind(code: track.kind),
            source: Source(code: track.source),
            name: textOrEmpty(track.name),
            mimeType: textOrEmpty(track.mime_type),
            isMuted: track.muted != 0,
            isSubscribed: track.subscribed != 0,
            width: Int(track.width),
            height: Int(track.height)
        )
    }
}

extension Speaker {
    init(raw speaker: trill_speaker) { self.init(identity: textOrEmpty(speaker.identity), level: speaker.level) }
}

extension DataMessage {
    init(raw data: trill_data) {
        let payload = data.payload.map { Data(bytes: $0, count: data.payload_size) } ?? Data()
        self.init(from: text(data.from), payload: payload, topic: text(data.topic), isReliable: data.reliable != 0)
    }
}

extension Statistics {
    init(raw statistics: trill_statistics) {
        self.init(
            joinedAfter: passed(statistics.joined_after_us),
            connectedAfter: passed(statistics.connected_after_us),
            firstAudioAfter: passed(statistics.first_audio_after_us),
            firstVideoAfter: passed(statistics.first_video_after_us),
            signalRoundTrip: passed(statistics.signal_round_trip_ms * 1000),
            bytesSent: statistics.bytes_sent,
            bytesReceived: statistics.bytes_received,
            sent: array(statistics.sent, statistics.sent_count).map { SentTrack(raw: $0) },
            received: array(statistics.received, statistics.received_count).map { ReceivedTrack(raw: $0) },
            sendEstimate: statistics.send_estimate_bps == 0 ? nil : statistics.send_estimate_bps,
            sendQueue: .microseconds(statistics.send_queue_us),
            sendRoundTrip: passed(statistics.send_round_trip_us),
            receiveRoundTrip: passed(statistics.receive_round_trip_us),
            playbackUnderruns: statistics.playback_underruns
        )
    }
}

extension SentTrack {
    init(raw track: trill_sent_track) {
        self.init(
            source: Source(code: track.source),
            isMuted: track.muted != 0,
            packets: track.packets,
            bytes: track.bytes,
            packetsLost: track.packets_lost,
            lossPercent: track.loss_percent,
            jitter: .microseconds(track.jitter_us),
            roundTrip: passed(track.round_trip_us),
            audioLevel: -Int(track.audio_minus_dbov),
            video: VideoStatistics(
                frames: track.video_frames,
                keyFrames: track.video_key_frames,
                width: Int(track.video_width),
                height: Int(track.video_height),
                framesPerSecond: Double(track.video_millifps) / 1000
            ),
            videoEncodeTime: .microseconds(track.video_encode_us),
            packetsNacked: track.packets_nacked,
            packetsUnsent: track.packets_unsent,
            videoPLIs: track.video_plis,
            videoLeftOut: track.video_left_out,
            videoCPULimited: track.video_cpu_limited != 0
        )
    }
}

extension ReceivedTrack {
    init(raw track: trill_received_track) {
        self.init(
            identity: textOrEmpty(track.identity),
            trackID: textOrEmpty(track.track_id),
            source: Source(code: track.source),
            packets: track.packets,
            bytes: track.bytes,
            packetsLost: track.packets_lost,
            audioConcealed: track.audio_concealed,
            audioFECRecovered: track.audio_fec_recovered,
            audioJitter: .microseconds(track.audio_jitter_us),
            audioBuffer: .microseconds(track.audio_buffer_us),
            audioLevel: -Int(track.audio_minus_dbov),
            video: VideoStatistics(
                frames: track.video_frames,
                keyFrames: track.video_key_frames,
                width: Int(track.video_width),
                height: Int(track.video_height),
                framesPerSecond: Double(track.video_millifps) / 1000
            ),
            videoPLIs: track.video_plis,
            videoFreezes: track.video_freezes,
            videoDecodeTime: .microseconds(track.video_decode_us),
            packetsDropped: track.packets_dropped,
            undecodable: track.undecodable,
            audioTarget: .microseconds(track.audio_target_us)
        )
    }
}

func array<T>(_ first: UnsafePointer<T>?, _ count: Int) -> UnsafeBufferPointer<T> {
    UnsafeBufferPointer(start: first, count: first == nil ? 0 : count)
}

private func date(_ milliseconds: UInt64) -> Date? {
    milliseconds == 0 ? nil : Date(milliseconds: milliseconds)
}

private func passed(_ microseconds: UInt64) -> Duration? {
    microseconds == 0 ? nil : .microseconds(microseconds)
}

extension Date {
    init(milliseconds: UInt64) { self.init(timeIntervalSince1970: Double(milliseconds) / 1000) }

    var milliseconds: UInt64 { UInt64(max(0, (timeIntervalSince1970 * 1000).rounded())) }
}

extension Duration {
    /// In whole numbers of a unit of this many attoseconds; what does not fit is the most that does, and is refused.
    private func whole(attoseconds unit: Int64) -> Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000_000_000_000 / unit)
        return overflow ? .max : scaled + attoseconds / unit
    }

    var wholeSeconds: UInt32 { UInt32(clamping: components.seconds) }
    var wholeMilliseconds: UInt32 { UInt32(clamping: whole(attoseconds: 1_000_000_000_000_000)) }
    var wholeMicroseconds: UInt64 { UInt64(clamping: whole(attoseconds: 1_000_000_000_000)) }
}
