import Foundation

/// A user as others see it.
public struct User: Sendable, Hashable {
    public let uid: String
    /// For people.
    public let name: String?
    /// An https URL of a picture.
    public let avatar: String?
    /// The server owner's own, as JSON, when this is the user that is logged in.
    public let metadata: String?
}

/// One call, as it was at one moment. Times are by the server's clock.
public struct Call: Sendable, Hashable {
    /// Names the call and its session.
    public let sessionID: String
    public let initiator: User
    /// A uid, or a group's guid.
    public let receiver: String
    public let receiverName: String?
    public let receiverType: ReceiverType
    public let type: CallType
    public let category: Category
    public let status: CallStatus
    public let initiatedAt: Date
    /// When it was accepted.
    public let startedAt: Date?
    public let endedAt: Date?
    /// From accepted to ended; zero until it ended, and when it was never accepted.
    public let duration: Duration
    /// The uid of who ended it; nil when nobody did, as with a time-out.
    public let endedBy: String?
    /// Nil until it is over.
    public let endReason: EndReason?
    /// The initiator first.
    public let parties: [CallParty]
    /// The app's own, as JSON.
    public let metadata: String?
    /// An https URL of a picture.
    public let receiverAvatar: String?
    /// Grows with each change: of two states of one call the one with the greater is the later.
    public let revision: UInt64
}

/// One party of a call.
public struct CallParty: Sendable, Hashable {
    public let uid: String
    /// The one device of this user that is in the call, or that answered it.
    public let deviceID: String?
    public let state: PartyState
    /// Was in the session at some time.
    public let joined: Bool
    public let joinedAt: Date?
    public let leftAt: Date?
}

/// What a party to an ongoing call starts its session with.
public struct SessionAccess: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    /// The session server.
    public let url: String
    /// A LiveKit access token for this one session. A secret.
    public let token: String
    public let expiresAt: Date

    public var description: String { "SessionAccess(url: \(url), expiresAt: \(expiresAt))" }
    public var customMirror: Mirror { Mirror(self, children: ["url": url, "expiresAt": expiresAt]) }
}

/// What became of a call that a push announced.
public struct PushedCall: Sendable, Hashable {
    public let outcome: PushOutcome
    /// As it is now.
    public let call: Call
}

/// What stands in a push's payload. Nothing of it is proven until `Engine.call(fromPush:)` has asked the server.
public struct Wake: Sendable, Hashable {
    /// Whose devices are to ring.
    public let uid: String
    public let sessionID: String
    /// Who calls; without an avatar.
    public let from: User
    /// The guid of the group that is called; nil when it is the user alone.
    public let group: String?
    public let type: CallType
    /// When it is of no use any more.
    public let expiresAt: Date
}

/// A microphone, a speaker or a camera of the machine's.
public struct Device: Sendable, Hashable {
    /// For people.
    public let name: String
    /// Names it where names are not unique.
    public let id: String
    /// The one that is used when none is named.
    public let isDefault: Bool
}

/// One thing that a device can. Of a microphone or speaker, channels and sample rates (in Hz, from the lowest to the highest) are
/// set; of a camera all the others.
public struct DeviceFormat: Sendable, Hashable {
    public let channels: Int
    public let sampleRates: ClosedRange<Int>
    /// Such as "nv12" or "mjpeg"; nil for sound.
    public let pixels: String?
    public let width: Int
    public let height: Int
    /// Pictures a second.
    public let fps: Int
}

/// All that a device can.
public struct DeviceFormats: Sendable, Hashable {
    public let formats: [DeviceFormat]
    /// With what a microphone or speaker is opened in a session; 0 for a camera.
    public let channels: Int
    /// In Hz.
    public let sampleRate: Int
}

/// One page of the call log.
public struct CallLogPage: Sendable, Hashable {
    /// Newest first.
    public let calls: [Call]
    /// The cursor of the page with older calls; nil when there are none.
    public let next: String?
    /// The cursor of the page with newer calls; nil on the first page.
    public let previous: String?
}

/// One presence of someone in a session.
public struct Participant: Sendable, Hashable {
    /// Who it is; in a call, its uid.
    public let identity: String
    /// Names this presence: new at each join.
    public let id: String
    /// For people; may be empty.
    public let name: String
    /// The app's own; may be empty.
    public let metadata: String
    public let tracks: [Track]
    public let isSpeaking: Bool
    /// While speaking, 0 to 1, linear.
    public let level: Float
    public let quality: Quality
    /// The app's own.
    public let attributes: [String: String]
}

/// One published track.
public struct Track: Sendable, Hashable {
    public let id: String
    public let kind: TrackKind
    public let source: Source
    /// For people; may be empty.
    public let name: String
    /// Such as "video/VP8"; empty until the server knows it.
    public let mimeType: String
    public let isMuted: Bool
    /// The server sends it to us.
    public let isSubscribed: Bool
    /// In pixels, as its publisher announced it; 0 for audio.
    public let width: Int
    public let height: Int
}

/// One who speaks.
public struct Speaker: Sendable, Hashable {
    public let identity: String
    /// 0 to 1, linear.
    public let level: Float
}

/// A message from another participant, or from the server's own API.
public struct DataMessage: Sendable, Hashable {
    /// The sender's identity; nil when the server itself sent it.
    public let from: String?
    public let payload: Data
    public let topic: String?
    /// It was sent as a reliable one.
    public let isReliable: Bool
}
