import CTrill

extension Event {
    /// What TRILL_EVENT_* says happened, as an event of Swift's.
    init(raw event: trill_event) {
        let by = text(event.by)
        let error = event.error.map { TrillError(raw: $0.pointee) }
        func call(_ kind: CallEvent.Kind) -> Event {
            .call(CallEvent(kind: kind, call: Call(raw: event.call.pointee), by: by))
        }
        func session(_ kind: SessionEvent.Kind) -> Event {
            .session(SessionEvent(sessionID: textOrEmpty(event.session_id), kind: kind))
        }
        func participant() -> Participant { Participant(raw: event.participant.pointee) }
        let identity = textOrEmpty(event.identity)
        func track(_ kind: TrackEvent.Kind) -> Event {
            let track = Track(raw: event.track.pointee)
            return session(.track(TrackEvent(kind: kind, identity: identity, track: track, isLocal: event.local != 0)))
        }

        self = switch EventKind(code: event.kind) {
        case .loggedIn: .login(.loggedIn(User(raw: event.user.pointee)))
        case .loginReconnecting: .login(.reconnecting(error))
        case .loggedOut: .login(.loggedOut(error))

        case .incomingReceived: call(.incomingReceived)
        case .outgoingRinging: call(.outgoingRinging)
        case .outgoingAccepted: call(.outgoingAccepted)
        case .outgoingRejected: call(.outgoingRejected)
        case .outgoingBusy: call(.outgoingBusy)
        case .outgoingUnanswered: call(.outgoingUnanswered)
        case .incomingCancelled: call(.incomingCancelled)
        case .answeredElsewhere: call(.answeredElsewhere)
        case .rejectedElsewhere: call(.rejectedElsewhere)
        case .callEnded: call(.ended)

        case .sessionJoined:
            session(.joined(
                me: participant(),
                others: array(event.participants, event.participant_count).map { Participant(raw: $0) }
            ))
        case .sessionConnected: session(.connected)
        case .participantJoined: session(.participantJoined(participant()))
        case .participantLeft: session(.participantLeft(participant()))
        case .participantUpdated: session(.participantUpdated(participant()))
        case .trackPublished: track(.published)
        case .trackUnpublished: track(.unpublished)
        case .trackSubscribed: track(.subscribed)
        case .trackUnsubscribed: track(.unsubscribed)
        case .trackMuted: track(.muted)
        case .trackUnmuted: track(.unmuted)
        case .firstAudio: session(.firstAudio(identity: identity, trackID: textOrEmpty(event.track_id)))
        case .firstVideo:
            session(.firstVideo(
                identity: identity,
                trackID: textOrEmpty(event.track_id),
                width: Int(event.width),
                height: Int(event.height)
            ))
        case .activeSpeakers:
            session(.activeSpeakers(array(event.speakers, event.speaker_count).map { Speaker(raw: $0) }))
        case .qualityChanged: session(.qualityChanged(identity: identity, Quality(code: event.quality)))
        case .data: session(.data(DataMessage(raw: event.data.pointee)))
        case .sessionReconnecting: session(.reconnecting)
        case .sessionReconnected: session(.reconnected)
        case .sessionError: session(.failure(error ?? TrillError(code: TRILL_STATUS_INTERNAL, message: "")))
        case .sessionEnded: session(.ended(SessionEnd(code: event.session_end), error))
        case .deviceChanged:
            session(.deviceChanged(
                DeviceKind(code: event.device),
                DeviceState(code: event.device_state),
                name: text(event.device_name),
                error
            ))
        case .statistics: session(.statistics(Statistics(raw: event.statistics.pointee)))

        case .unrecognized: .unrecognized(kind: event.kind)
        }
    }
}
