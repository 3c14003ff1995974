/// Why something did not work. The raw value is the number of the C interface, frozen once released.
public enum Status: Int32, Sendable, CaseIterable {
    /// A fault inside Trill. Please report it with the log.
    case `internal` = -1
    /// A parameter is missing, out of range or not valid; the message names it.
    case invalidArgument = -2
    /// The operation was given up because its owner went away or asked for it.
    case cancelled = -3
    /// No answer came within the stated time.
    case timedOut = -4
    /// This build or this platform cannot do that.
    case notSupported = -5
    /// The engine was shut down; make a new one.
    case shutDown = -6
    /// A rate or count limit was reached; wait and try again.
    case tooManyRequests = -7
    /// A message or field is over its size limit.
    case tooLarge = -8
    /// A message is not in the form that the protocol asks for.
    case malformed = -9
    /// That cannot be done inside a callback; do it after the callback has returned.
    case inCallback = -10
    /// No token was given. Mint one with `trill token` or in your backend.
    case tokenMissing = -100
    /// This is not a JWT with the claims that this use asks for.
    case tokenMalformed = -101
    /// The token is not signed with HS256, the only algorithm accepted.
    case tokenAlgorithm = -102
    /// The token is not signed with a key of this server.
    case tokenWrongKey = -103
    /// The token's time is over; get a new one.
    case tokenExpired = -104
    /// The token is not valid yet; check the clock of the machine that minted it.
    case tokenNotYetValid = -105
    /// The token is for another session.
    case tokenWrongRoom = -106
    /// The token does not grant this.
    case tokenMissingGrant = -107
    /// Log in first.
    case notLoggedIn = -200
    /// This engine is logged in already; log out first.
    case alreadyLoggedIn = -201
    /// A user cannot call itself.
    case callingSelf = -202
    /// No user of that id has ever logged in here.
    case userUnknown = -203
    /// There is no group of that id.
    case groupUnknown = -204
    /// Only members of a group can call it.
    case notAMember = -205
    /// You are dialling or in a call already; end that one first.
    case busySelf = -206
    /// There is no call with that session id.
    case callNotFound = -207
    /// That call is over.
    case alreadyEnded = -208
    /// You are in that call already.
    case alreadyJoined = -209
    /// You are not a party to that call.
    case notAParty = -210
    /// The call's present status does not allow that.
    case notAllowedInState = -211
    /// Nobody has accepted that call yet.
    case notYetAccepted = -212
    /// The same device logged in again elsewhere; this login is over.
    case deviceReplaced = -213
    /// The group has no other members to call.
    case emptyGroup = -214
    /// The owner of the server removed this user.
    case userRemoved = -215
    /// This engine is not in a session of that id.
    case sessionNotFound = -300
    /// No such participant is in the session.
    case participantNotFound = -301
    /// There is no such track in the session.
    case trackNotFound = -302
    /// The same identity joined again from elsewhere; this one was put out.
    case duplicateIdentity = -303
    /// The session is over.
    case roomClosed = -304
    /// No media path to the server: UDP is probably blocked by a firewall.
    case mediaUnreachable = -305
    /// The server removed this participant from the session.
    case participantRemoved = -306
    /// The session has as many participants as this server allows.
    case roomFull = -307
    /// The media file cannot be read or is not in a supported format.
    case mediaFile = -400
    /// The device is absent, busy, or access to it was refused.
    case deviceUnavailable = -401
    /// The codec refused the data or the settings.
    case codec = -402
    /// The server did not answer at that address; check URL, network and firewall.
    case serverUnreachable = -500
    /// The server cannot do that at the moment; try again later.
    case serverUnavailable = -501
    /// The server's certificate was not accepted.
    case tlsRefused = -502
    /// The connection to the server broke and could not be restored.
    case connectionLost = -503
    /// Another program listens on that port; choose another or end that program.
    case portInUse = -504
    /// The store did not take the change (disk full, locked or damaged); nothing was changed.
    case storeFailed = -505
    /// The configuration is not valid; the message names the field.
    case configuration = -506
    /// A status that this version of the binding does not know; `TrillError.code` has its number.
    case unrecognized = 1
}

/// An operation that failed, or an event that tells of a failure.
public struct TrillError: Error, Sendable, Equatable, CustomStringConvertible {
    public let status: Status
    /// The status as a number.
    public let code: Int32
    /// What was wrong and what to do.
    public let message: String

    init(code: Int32, message: String) {
        self.status = Status(rawValue: code) ?? .unrecognized
        self.code = code
        self.message = message
    }

    public var description: String { "\(status): \(message)" }
}
