/// Something happened. Events of one call, and those of one session, come in the order in which they happened.
public enum Event: Sendable {
    case login(LoginEvent)
    case call(CallEvent)
    case session(SessionEvent)
    /// What this version of the binding does not know.
    case unrecognized(kind: Int32)
}

/// How the login stands.
public enum LoginEvent: Sendable {
    /// For the first time, or again after a broken connection.
    case loggedIn(User)
    /// The connection of the login broke; it is being restored. Calls go on.
    case reconnecting(TrillError?)
    /// The login is over and is not restored: log in again to be reachable.
    case loggedOut(TrillError?)
}

/// What became of a call.
public struct CallEvent: Sendable {
    public enum Kind: Sendable {
        /// Somebody calls this user: ring, then accept or reject.
        case incomingReceived
        /// A first device of the callee rings.
        case outgoingRinging
        /// The callee accepted: start the session.
        case outgoingAccepted
        case outgoingRejected
        /// The callee is in another call.
        case outgoingBusy
        /// Nobody answered in time.
        case outgoingUnanswered
        /// The initiator gave up, or nobody answered in time: stop ringing.
        case incomingCancelled
        /// Another device of this user accepted: stop ringing.
        case answeredElsewhere
        /// Another device of this user rejected: stop ringing.
        case rejectedElsewhere
        /// The call that this device was in, or dialled, is over; `call.endReason` says why.
        case ended
    }

    public let kind: Kind
    /// The call, as it is after what happened.
    public let call: Call
    /// The uid of who did it; nil when nobody did, as with a time-out.
    public let by: String?
}

/// What happens in a session.
public struct SessionEvent: Sendable {
    public enum Kind: Sendable {
        /// The server let us in; media is still connecting. There are no further events of who was there before.
        case joined(me: Participant, others: [Participant])
        /// Media can flow.
        case connected
        case participantJoined(Participant)
        case participantLeft(Participant)
        /// Name, metadata or attributes changed.
        case participantUpdated(Participant)
        case track(TrackEvent)
        /// The first audio of a track was played.
        case firstAudio(identity: String, trackID: String)
        /// The first picture of a track was shown; its size is in pixels.
        case firstVideo(identity: String, trackID: String, width: Int, height: Int)
        /// Who speaks at the moment, the loudest first; nobody when all are silent.
        case activeSpeakers([Speaker])
        /// What the server measures of a participant's connection.
        case qualityChanged(identity: String, Quality)
        /// A message from a participant.
        case data(DataMessage)
        /// The connection broke; it is being restored, and media may stop meanwhile.
        case reconnecting
        /// It is restored.
        case reconnected
        /// Something failed, and the session goes on without it.
        case failure(TrillError)
        /// One of our own devices, or what the app put in its place, works, is lost or has failed; the session goes on. The
        /// name is that of the one that works, the error says why none does.
        case deviceChanged(DeviceKind, DeviceState, name: String?, TrillError?)
        /// As often as the settings ask for.
        case statistics(Statistics)
        /// The last event of a session.
        case ended(SessionEnd, TrillError?)
    }

    public let sessionID: String
    public let kind: Kind
}

/// What happens to a track.
public struct TrackEvent: Sendable {
    public enum Kind: Sendable {
        case published
        case unpublished
        /// The server sends us that track from now on.
        case subscribed
        /// The server sends us that track no more.
        case unsubscribed
        /// By its publisher or by the server.
        case muted
        /// It can be heard or seen again.
        case unmuted
    }

    public let kind: Kind
    /// Whose track it is.
    public let identity: String
    public let track: Track
    /// The track is one of ours.
    public let isLocal: Bool
}
