package dev.trill.internal

import dev.trill.Coded

// Numbers of trill.h that apps meet as classes.

/** TRILL_EVENT_*. */
internal enum class EventKind(override val code: Int) : Coded {
    LOGGED_IN(1),
    LOGIN_RECONNECTING(2),
    LOGGED_OUT(3),
    INCOMING_RECEIVED(100),
    OUTGOING_RINGING(101),
    OUTGOING_ACCEPTED(102),
    OUTGOING_REJECTED(103),
    OUTGOING_BUSY(104),
    OUTGOING_UNANSWERED(105),
    INCOMING_CANCELLED(106),
    ANSWERED_ELSEWHERE(107),
    REJECTED_ELSEWHERE(108),
    CALL_ENDED(109),
    SESSION_JOINED(200),
    SESSION_CONNECTED(201),
    PARTICIPANT_JOINED(202),
    PARTICIPANT_LEFT(203),
    PARTICIPANT_UPDATED(204),
    TRACK_PUBLISHED(205),
    TRACK_UNPUBLISHED(206),
    TRACK_SUBSCRIBED(207),
    TRACK_UNSUBSCRIBED(208),
    TRACK_MUTED(209),
    TRACK_UNMUTED(210),
    FIRST_AUDIO(211),
    FIRST_VIDEO(212),
    ACTIVE_SPEAKERS(213),
    QUALITY_CHANGED(214),
    DATA(215),
    SESSION_RECONNECTING(216),
    SESSION_RECONNECTED(217),
    SESSION_ERROR(218),
    SESSION_ENDED(219),
    DEVICE_CHANGED(220),
    STATISTICS(221),
    UNRECOGNIZED(-1),
}

/** TRILL_AUDIO_SOURCE_*. */
internal enum class AudioSourceKind(override val code: Int) : Coded {
    NONE(0),
    TONE(1),
    FILE(2),
    PUSHED(3),
    MICROPHONE(4),
    UNRECOGNIZED(-1),
}

/** TRILL_VIDEO_SOURCE_*. */
internal enum class VideoSourceKind(override val code: Int) : Coded {
    NONE(0),
    TEST_PICTURE(1),
    FILE(2),
    PUSHED(3),
    CAMERA(4),
    UNRECOGNIZED(-1),
}
