import Foundation

/// What can be chosen for a call.
public struct CallOptions: Sendable {
    public var receiverType = ReceiverType.user
    public var category = Category.call
    /// How long it rings, in whole seconds, 5 to 180; nil for what the server's owner set.
    public var timeout: Duration?
    /// The app's own, as JSON of up to 4 KiB; the receiver gets it with the call.
    public var metadata: String?

    public init() {}
}

/// Where the audio that we send comes from.
public enum AudioSource: Sendable {
    case none
    /// A sine tone, 12 dB below overload.
    case tone(hertz: Float = 440)
    /// A WAV file of any rate and channels, in real time.
    case file(path: String, looped: Bool = false)
    /// What the app pushes with `Session.pushAudio`: interleaved samples of 4,000 to 384,000 Hz and 1 to 32 channels. They
    /// are mixed down: calls are mono.
    case pushed(sampleRate: UInt32 = 48_000, channels: UInt32 = 1)
    /// A microphone, by name or id; nil for the machine's default.
    case microphone(String? = nil)
}

/// Where the pictures that we send come from.
public enum VideoSource: Sendable {
    case none
    /// A moving picture with a frame number in it.
    case testPicture
    /// A Y4M file (4:2:0, 8 bit), in real time.
    case file(path: String, looped: Bool = false)
    /// What the app pushes with `Session.pushVideo`.
    case pushed
    /// A camera, by name or id; nil for the first one.
    case camera(String? = nil)
}

/// Where the mix of all the others is played, beside the handler and the file.
public enum Playback: Sendable {
    case none
    /// A speaker, by name or id; nil for the machine's default.
    case speaker(String? = nil)
}

/// How to be in a session. 0 means the library's default.
public struct SessionSettings: Sendable {
    public var audio = AudioSource.none
    /// 6,000 to 510,000 bit/s; 0 for 32,000.
    public var audioBitrate: UInt32 = 0
    /// While nobody talks, next to nothing is sent of the audio (discontinuous transmission), and the others hear the noise of
    /// the room as it was. For voices: music and tones may be taken for noise.
    public var audioDTX = false
    /// What is done to our voice. Nil: all of it to a microphone's, nothing to any other source's.
    public var voiceProcessing: VoiceProcessing?
    public var video = VideoSource.none
    /// The largest picture sent, in pixels, and the size of the test picture; 0 for 1280 x 720.
    public var videoWidth: UInt32 = 0
    public var videoHeight: UInt32 = 0
    /// The most pictures sent in a second, 1 to 120; 0 for 30.
    public var videoFramesPerSecond: UInt32 = 0
    /// 30,000 to 20,000,000 bit/s; 0 for 1,500,000. Of the largest picture where it is sent in several sizes.
    public var videoBitrate: UInt32 = 0
    public var simulcast = Simulcast.inGroups
    /// No video is sent, and none is received, whatever else is said here.
    public var audioOnly = false
    /// Nothing is captured or sent until `Session.setMuted` says so.
    public var startAudioMuted = false
    public var startVideoPaused = false
    public var playback = Playback.none
    /// A WAV file, made anew, that gets the mix of all the others.
    public var audioOutputFile: String?
    /// A folder that gets a Y4M file for each track, named by its id.
    public var videoOutputFolder: String?
    /// Tracks are received only when `Session.subscribe` asks for them.
    public var manualSubscribe = false
    /// How long a broken connection is tried to be restored; nil for 20 s.
    public var reconnectTimeout: Duration?
    /// How long we may be the only one in the session, a second to a day; nil for without limit. Then it ends with
    /// `SessionEnd.leftAlone`. It counts from when the last of the others has left, or, while nobody has come yet, from our join.
    public var leftAloneTimeout: Duration?
    /// What is done when one of the machine's devices is not there, fails, or is not the default one any more.
    public var devicePolicy = DevicePolicy.fallBack
    /// How often `SessionEvent.Kind.statistics` comes, 100 ms to an hour; nil for never.
    public var statisticsInterval: Duration?

    public init(audio: AudioSource = .none, video: VideoSource = .none, playback: Playback = .none) {
        self.audio = audio
        self.video = video
        self.playback = playback
    }
}

/// Which calls a page of the log holds. What is nil does not filter.
public struct CallLogFilter: Sendable {
    /// Calls on one page, 1 to 100; 0 for 30.
    public var limit: UInt32 = 0
    public var type: CallType?
    public var status: CallStatus?
    public var direction: Direction?
    public var category: Category?
    /// Calls with this other user.
    public var uid: String?
    /// Calls of this group.
    public var guid: String?
    /// With a recording (this version makes none), or without.
    public var recording: Bool?
    /// Initiated at or after this time.
    public var since: Date?
    /// Initiated before this time.
    public var until: Date?
    /// `CallLogPage.next` or `CallLogPage.previous` of an earlier page with the same filter.
    public var cursor: String?

    public init() {}
}
