// Numbers of trill.h that apps meet as cases with values.

/// TRILL_EVENT_*.
enum EventKind: Int32, CaseIterable, Coded {
    case loggedIn = 1
    case loginReconnecting = 2
    case loggedOut = 3
    case incomingReceived = 100
    case outgoingRinging = 101
    case outgoingAccepted = 102
    case outgoingRejected = 103
    case outgoingBusy = 104
    case outgoingUnanswered = 105
    case incomingCancelled = 106
    case answeredElsewhere = 107
    case rejectedElsewhere = 108
    case callEnded = 109
    case sessionJoined = 200
    case sessionConnected = 201
    case participantJoined = 202
    case participantLeft = 203
    case participantUpdated = 204
    case trackPublished = 205
    case trackUnpublished = 206
    case trackSubscribed = 207
    case trackUnsubscribed = 208
    case trackMuted = 209
    case trackUnmuted = 210
    case firstAudio = 211
    case firstVideo = 212
    case activeSpeakers = 213
    case qualityChanged = 214
    case data = 215
    case sessionReconnecting = 216
    case sessionReconnected = 217
    case sessionError = 218
    case sessionEnded = 219
    case deviceChanged = 220
    case statistics = 221
    case unrecognized = -1
}

/// TRILL_AUDIO_SOURCE_*.
enum AudioSourceKind: Int32, CaseIterable, Coded {
    case none = 0
    case tone = 1
    case file = 2
    case pushed = 3
    case microphone = 4
    case unrecognized = -1
}

/// TRILL_VIDEO_SOURCE_*.
enum VideoSourceKind: Int32, CaseIterable, Coded {
    case none = 0
    case testPicture = 1
    case file = 2
    case pushed = 3
    case camera = 4
    case unrecognized = -1
}
