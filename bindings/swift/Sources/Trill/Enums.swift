import CTrill

/// A number of the C interface. Each enum of them ends in `unrecognized`, for what a newer library may say.
protocol Coded: RawRepresentable<Int32>, CaseIterable {
    static var unrecognized: Self { get }
}

extension Coded {
    init(code: Int32) { self = Self(rawValue: code) ?? .unrecognized }
}

public enum CallType: Int32, Sendable, CaseIterable, Coded {
    /// Voice alone.
    case audio = 1
    /// Voice and picture.
    case video = 2
    case unrecognized = -1
}

public enum ReceiverType: Int32, Sendable, CaseIterable, Coded {
    case user = 1
    case group = 2
    case unrecognized = -1
}

public enum Category: Int32, Sendable, CaseIterable, Coded {
    /// Somebody is rung.
    case call = 1
    /// A meeting that was agreed on beforehand.
    case meet = 2
    case unrecognized = -1
}

public enum CallStatus: Int32, Sendable, CaseIterable, Coded {
    /// It rings, or will once a device of the receiver is there.
    case initiated = 1
    /// Accepted: the parties may start the session.
    case ongoing = 2
    /// It was ongoing and is over.
    case ended = 3
    case rejected = 4
    /// The receiver is in another call.
    case busy = 5
    /// The initiator gave up before an answer.
    case cancelled = 6
    /// Nobody answered in time.
    case unanswered = 7
    /// The server could not carry it.
    case failed = 8
    case unrecognized = -1
}

public enum EndReason: Int32, Sendable, CaseIterable, Coded {
    /// A party ended the ongoing call.
    case hungUp = 1
    case rejected = 2
    /// The receiver is in another call.
    case busy = 3
    /// The initiator gave up before an answer.
    case cancelled = 4
    /// Nobody answered in time.
    case unanswered = 5
    /// The initiator's device lost its connection while it rang and did not come back.
    case callerGone = 6
    /// A party's device lost its connection in the call and did not come back.
    case connectionLost = 7
    /// One party was alone in the session for too long.
    case leftAlone = 8
    /// The last party left the session.
    case everyoneLeft = 9
    /// The server could not carry the call.
    case failed = 10
    /// The owner removed the user or the group.
    case removed = 11
    case unrecognized = -1
}

public enum PartyState: Int32, Sendable, CaseIterable, Coded {
    /// The call is for this user; no device has said yet that it rings.
    case invited = 1
    /// A device of this user rings.
    case ringing = 2
    /// In the call, not yet in its session. The initiator is this from the start.
    case accepted = 3
    /// In the session.
    case joined = 4
    /// Was in the session, and left it or lost it.
    case left = 5
    case rejected = 6
    /// Was in another call.
    case busy = 7
    /// The ringing ended without an answer.
    case missed = 8
    case unrecognized = -1
}

/// Why a call is rejected.
public enum RejectReason: Int32, Sendable, CaseIterable, Coded {
    /// The callee does not want the call.
    case rejected = 1
    /// The callee is in another call.
    case busy = 2
    case unrecognized = -1
}

/// Of a call in the log, as its user saw it.
public enum Direction: Int32, Sendable, CaseIterable, Coded {
    case outgoing = 1
    case incoming = 2
    case unrecognized = -1
}

public enum TrackKind: Int32, Sendable, CaseIterable, Coded {
    case audio = 1
    case video = 2
    case unrecognized = -1
}

/// Where a track comes from. An engine publishes `microphone` and `camera`.
public enum Source: Int32, Sendable, CaseIterable, Coded {
    case microphone = 1
    case camera = 2
    case screenShare = 3
    case screenShareAudio = 4
    /// Its publisher does not say.
    case unknown = 5
    case unrecognized = -1
}

/// What the server measures of a participant's connection.
public enum Quality: Int32, Sendable, CaseIterable, Coded {
    /// Not measured yet.
    case unknown = 0
    case lost = 1
    case poor = 2
    case good = 3
    case excellent = 4
    case unrecognized = -1
}

/// Why a session is over.
public enum SessionEnd: Int32, Sendable, CaseIterable, Coded {
    /// We left.
    case left = 1
    /// The same identity joined from elsewhere.
    case duplicateIdentity = 2
    /// The server put us out.
    case participantRemoved = 3
    /// The session was closed for everyone.
    case roomClosed = 4
    /// The server is going down.
    case serverShutdown = 5
    /// The connection broke and could not be restored in time.
    case connectionLost = 6
    /// The server answered, but no media path to it was found: UDP is probably blocked.
    case mediaUnreachable = 7
    /// The session never came about; the error says why.
    case joinFailed = 8
    /// A fault inside Trill: that session was closed, and the engine goes on. Please report it with the log.
    case `internal` = 9
    /// Nobody else was in the session for as long as the settings' `leftAloneTimeout` allows.
    case leftAlone = 10
    case unrecognized = -1
}

/// What became of a call that a push announced.
public enum PushOutcome: Int32, Sendable, CaseIterable, Coded {
    /// It rings here; `CallEvent.Kind.incomingReceived` tells of it, once.
    case ringing = 1
    /// This device is in the call.
    case inCall = 2
    /// Another device of this user accepted.
    case answeredElsewhere = 3
    /// Another device of this user rejected.
    case rejectedElsewhere = 4
    /// It is over: the caller gave up, nobody answered, or it was talked and ended.
    case over = 5
    case unrecognized = -1
}

public enum DeviceKind: Int32, Sendable, CaseIterable, Coded {
    case microphone = 1
    case speaker = 2
    case camera = 3
    /// Where a participant's picture goes to. In events only: there is nothing to list.
    case videoOutput = 4
    case unrecognized = -1
}

/// What became of one of our devices in a session.
public enum DeviceState: Int32, Sendable, CaseIterable, Coded {
    /// It works: for the first time, again, or in the place of another.
    case inUse = 1
    /// None works: there is silence, or no picture, until one is found.
    case lost = 2
    /// None works, and none is looked for.
    case failed = 3
    case unrecognized = -1
}

/// When a camera's picture is sent in several sizes at a time, so that each of the others gets the one that it can take.
public enum Simulcast: Int32, Sendable, CaseIterable, Coded {
    /// While there are more than two in the session. Between two it comes in one size, fitted to what the other can take.
    case inGroups = 0
    case always = 1
    /// In one size, which the narrowest connection of all who watch sets.
    case never = 2
    case unrecognized = -1
}

/// What is done when one of the machine's devices is not there, fails, or is not the default one any more.
public enum DevicePolicy: Int32, Sendable, CaseIterable, Coded {
    /// The chosen device, and the default one while it is not there.
    case fallBack = 0
    /// The default device, also when that becomes another one.
    case followDefault = 1
    /// The chosen device and no other: silence until it is back.
    case keep = 2
    /// The chosen device. Once it fails, silence, until the app chooses again.
    case silence = 3
    case unrecognized = -1
}

/// What is done to our voice before it is sent.
public struct VoiceProcessing: OptionSet, Sendable, Hashable {
    public let rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Takes what the speaker plays out of what the microphone hears.
    public static let echoCancellation = VoiceProcessing(rawValue: TRILL_VOICE_ECHO_CANCELLATION)
    /// Takes steady noise down.
    public static let noiseSuppression = VoiceProcessing(rawValue: TRILL_VOICE_NOISE_SUPPRESSION)
    /// Brings a soft or distant voice to a level that is easy to hear.
    public static let gainControl = VoiceProcessing(rawValue: TRILL_VOICE_GAIN_CONTROL)
    /// Takes out what lies below a voice: rumble, wind and hum.
    public static let highPass = VoiceProcessing(rawValue: TRILL_VOICE_HIGH_PASS)

    /// As C has it: nothing is a number of its own, since 0 stands for the default.
    var flags: Int32 { isEmpty ? TRILL_VOICE_NONE : rawValue }

    init(flags: Int32) { self.init(rawValue: flags == TRILL_VOICE_NONE ? 0 : flags) }
}

/// How important a line of the library's log is.
public enum LogLevel: Int32, Sendable, CaseIterable, Coded {
    case off = 0
    case error = 1
    case warn = 2
    case info = 3
    case debug = 4
    case trace = 5
    case unrecognized = -1
}
