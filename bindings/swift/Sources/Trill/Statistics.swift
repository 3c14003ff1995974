/// What a session sends and receives. Counters and times are since its start; nil for what is not yet.
public struct Statistics: Sendable, Hashable {
    public let joinedAfter: Duration?
    public let connectedAfter: Duration?
    public let firstAudioAfter: Duration?
    public let firstVideoAfter: Duration?
    /// Of the latest ping over signalling.
    public let signalRoundTrip: Duration?
    /// Everything on the wire of our connections, headers of IP and UDP left out.
    public let bytesSent: UInt64
    public let bytesReceived: UInt64
    public let sent: [SentTrack]
    public let received: [ReceivedTrack]
    /// What our path to the server is estimated to carry of what we send, in bit/s; nil before there was feedback.
    public let sendEstimate: UInt32?
    /// How long our packets wait in the queue of that path's bottleneck.
    public let sendQueue: Duration
    /// Of the connection that we send on, by ICE's own checks.
    public let sendRoundTrip: Duration?
    /// Of the connection that we receive on.
    public let receiveRoundTrip: Duration?
    /// How often one of the machine's speakers ran out of sound: each run of silence counts once.
    public let playbackUnderruns: UInt64
}

/// One track that we send.
public struct SentTrack: Sendable, Hashable {
    public let source: Source
    public let isMuted: Bool
    public let packets: UInt64
    /// RTP payload.
    public let bytes: UInt64
    /// By the receiver's count; repaired ones may be in it.
    public let packetsLost: UInt32
    /// Smoothed, 0 to 100.
    public let lossPercent: UInt32
    /// By the receiver's measure (RFC 3550).
    public let jitter: Duration
    /// Nil until it is known.
    public let roundTrip: Duration?
    /// Of audio: how loud the last frame was, in dB to overload: -127 to 0.
    public let audioLevel: Int
    public let video: VideoStatistics
    /// What encoding a picture takes, smoothed.
    public let videoEncodeTime: Duration
    /// Packets that the receiver asked for again.
    public let packetsNacked: UInt64
    /// Packets that were made and not sent: there was no connection, or no room.
    public let packetsUnsent: UInt64
    /// Requests for a key frame that came in.
    public let videoPLIs: UInt64
    /// Pictures left out to hold the bitrate.
    public let videoLeftOut: UInt64
    /// Layers, size or pictures are left out because the machine has not the time to encode them.
    public let videoCPULimited: Bool
}

/// One track that we receive.
public struct ReceivedTrack: Sendable, Hashable {
    /// Whose it is.
    public let identity: String
    public let trackID: String
    public let source: Source
    public let packets: UInt64
    /// RTP payload.
    public let bytes: UInt64
    /// Packets that never came, or too late.
    public let packetsLost: UInt64
    /// Pieces of 20 ms that were made up because a packet was missing.
    public let audioConcealed: UInt64
    /// Lost packets recovered from their successors.
    public let audioFECRecovered: UInt64
    /// Interarrival jitter (RFC 3550).
    public let audioJitter: Duration
    /// Audio waiting to be played.
    public let audioBuffer: Duration
    /// Of audio: how loud the last frame was, in dB to overload: -127 to 0.
    public let audioLevel: Int
    public let video: VideoStatistics
    /// Requests for a key frame.
    public let videoPLIs: UInt64
    /// Times that the picture stood until a key frame came.
    public let videoFreezes: UInt64
    /// What decoding a picture takes, smoothed.
    public let videoDecodeTime: Duration
    /// Packets that came and were not looked at: there was no room.
    public let packetsDropped: UInt64
    /// Packets of audio, or pictures, that the decoder refused.
    public let undecodable: UInt64
    /// How long audio waits, as the network's jitter asks for.
    public let audioTarget: Duration
}

/// The pictures of a track; all zero for audio.
public struct VideoStatistics: Sendable, Hashable {
    public let frames: UInt64
    public let keyFrames: UInt64
    /// In pixels.
    public let width: Int
    public let height: Int
    /// Pictures a second.
    public let framesPerSecond: Double
}
