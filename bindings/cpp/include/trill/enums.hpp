// The constants of trill.h as scoped enumerations. What each means stands there.
//
// Their values are the header's own; a test sees to it that none is missing.
#ifndef TRILL_CPP_ENUMS_HPP
#define TRILL_CPP_ENUMS_HPP

#include <cstdint>
#include <trill.h>

namespace trill {

enum class Status : std::int32_t {
    ok = TRILL_STATUS_OK,
    internal = TRILL_STATUS_INTERNAL,
    invalid_argument = TRILL_STATUS_INVALID_ARGUMENT,
    cancelled = TRILL_STATUS_CANCELLED,
    timed_out = TRILL_STATUS_TIMED_OUT,
    not_supported = TRILL_STATUS_NOT_SUPPORTED,
    shut_down = TRILL_STATUS_SHUT_DOWN,
    too_many_requests = TRILL_STATUS_TOO_MANY_REQUESTS,
    too_large = TRILL_STATUS_TOO_LARGE,
    malformed = TRILL_STATUS_MALFORMED,
    in_callback = TRILL_STATUS_IN_CALLBACK,
    token_missing = TRILL_STATUS_TOKEN_MISSING,
    token_malformed = TRILL_STATUS_TOKEN_MALFORMED,
    token_algorithm = TRILL_STATUS_TOKEN_ALGORITHM,
    token_wrong_key = TRILL_STATUS_TOKEN_WRONG_KEY,
    token_expired = TRILL_STATUS_TOKEN_EXPIRED,
    token_not_yet_valid = TRILL_STATUS_TOKEN_NOT_YET_VALID,
    token_wrong_room = TRILL_STATUS_TOKEN_WRONG_ROOM,
    token_missing_grant = TRILL_STATUS_TOKEN_MISSING_GRANT,
    not_logged_in = TRILL_STATUS_NOT_LOGGED_IN,
    already_logged_in = TRILL_STATUS_ALREADY_LOGGED_IN,
    calling_self = TRILL_STATUS_CALLING_SELF,
    user_unknown = TRILL_STATUS_USER_UNKNOWN,
    group_unknown = TRILL_STATUS_GROUP_UNKNOWN,
    not_a_member = TRILL_STATUS_NOT_A_MEMBER,
    busy_self = TRILL_STATUS_BUSY_SELF,
    call_not_found = TRILL_STATUS_CALL_NOT_FOUND,
    already_ended = TRILL_STATUS_ALREADY_ENDED,
    already_joined = TRILL_STATUS_ALREADY_JOINED,
    not_a_party = TRILL_STATUS_NOT_A_PARTY,
    not_allowed_in_state = TRILL_STATUS_NOT_ALLOWED_IN_STATE,
    not_yet_accepted = TRILL_STATUS_NOT_YET_ACCEPTED,
    device_replaced = TRILL_STATUS_DEVICE_REPLACED,
    empty_group = TRILL_STATUS_EMPTY_GROUP,
    user_removed = TRILL_STATUS_USER_REMOVED,
    session_not_found = TRILL_STATUS_SESSION_NOT_FOUND,
    participant_not_found = TRILL_STATUS_PARTICIPANT_NOT_FOUND,
    track_not_found = TRILL_STATUS_TRACK_NOT_FOUND,
    duplicate_identity = TRILL_STATUS_DUPLICATE_IDENTITY,
    room_closed = TRILL_STATUS_ROOM_CLOSED,
    media_unreachable = TRILL_STATUS_MEDIA_UNREACHABLE,
    participant_removed = TRILL_STATUS_PARTICIPANT_REMOVED,
    room_full = TRILL_STATUS_ROOM_FULL,
    media_file = TRILL_STATUS_MEDIA_FILE,
    device_unavailable = TRILL_STATUS_DEVICE_UNAVAILABLE,
    codec = TRILL_STATUS_CODEC,
    server_unreachable = TRILL_STATUS_SERVER_UNREACHABLE,
    server_unavailable = TRILL_STATUS_SERVER_UNAVAILABLE,
    tls_refused = TRILL_STATUS_TLS_REFUSED,
    connection_lost = TRILL_STATUS_CONNECTION_LOST,
    port_in_use = TRILL_STATUS_PORT_IN_USE,
    store_failed = TRILL_STATUS_STORE_FAILED,
    configuration = TRILL_STATUS_CONFIGURATION,
};

enum class CallType : std::int32_t {
    audio = TRILL_CALL_TYPE_AUDIO,
    video = TRILL_CALL_TYPE_VIDEO,
};

enum class ReceiverType : std::int32_t {
    user = TRILL_RECEIVER_TYPE_USER,
    group = TRILL_RECEIVER_TYPE_GROUP,
};

enum class Category : std::int32_t {
    call = TRILL_CATEGORY_CALL,
    meet = TRILL_CATEGORY_MEET,
};

enum class CallStatus : std::int32_t {
    initiated = TRILL_CALL_STATUS_INITIATED,
    ongoing = TRILL_CALL_STATUS_ONGOING,
    ended = TRILL_CALL_STATUS_ENDED,
    rejected = TRILL_CALL_STATUS_REJECTED,
    busy = TRILL_CALL_STATUS_BUSY,
    cancelled = TRILL_CALL_STATUS_CANCELLED,
    unanswered = TRILL_CALL_STATUS_UNANSWERED,
    failed = TRILL_CALL_STATUS_FAILED,
};

enum class EndReason : std::int32_t {
    hung_up = TRILL_END_REASON_HUNG_UP,
    rejected = TRILL_END_REASON_REJECTED,
    busy = TRILL_END_REASON_BUSY,
    cancelled = TRILL_END_REASON_CANCELLED,
    unanswered = TRILL_END_REASON_UNANSWERED,
    caller_gone = TRILL_END_REASON_CALLER_GONE,
    connection_lost = TRILL_END_REASON_CONNECTION_LOST,
    left_alone = TRILL_END_REASON_LEFT_ALONE,
    everyone_left = TRILL_END_REASON_EVERYONE_LEFT,
    failed = TRILL_END_REASON_FAILED,
    removed = TRILL_END_REASON_REMOVED,
};

enum class PartyState : std::int32_t {
    invited = TRILL_PARTY_STATE_INVITED,
    ringing = TRILL_PARTY_STATE_RINGING,
    accepted = TRILL_PARTY_STATE_ACCEPTED,
    joined = TRILL_PARTY_STATE_JOINED,
    left = TRILL_PARTY_STATE_LEFT,
    rejected = TRILL_PARTY_STATE_REJECTED,
    busy = TRILL_PARTY_STATE_BUSY,
    missed = TRILL_PARTY_STATE_MISSED,
};

enum class RejectReason : std::int32_t {
    rejected = TRILL_REJECT_REJECTED,
    busy = TRILL_REJECT_BUSY,
};

enum class PushOutcome : std::int32_t {
    ringing = TRILL_PUSH_OUTCOME_RINGING,
    in_call = TRILL_PUSH_OUTCOME_IN_CALL,
    answered_elsewhere = TRILL_PUSH_OUTCOME_ANSWERED_ELSEWHERE,
    rejected_elsewhere = TRILL_PUSH_OUTCOME_REJECTED_ELSEWHERE,
    over = TRILL_PUSH_OUTCOME_OVER,
};

enum class Direction : std::int32_t {
    outgoing = TRILL_DIRECTION_OUTGOING,
    incoming = TRILL_DIRECTION_INCOMING,
};

enum class EventKind : std::int32_t {
    logged_in = TRILL_EVENT_LOGGED_IN,
    login_reconnecting = TRILL_EVENT_LOGIN_RECONNECTING,
    logged_out = TRILL_EVENT_LOGGED_OUT,
    incoming_received = TRILL_EVENT_INCOMING_RECEIVED,
    outgoing_ringing = TRILL_EVENT_OUTGOING_RINGING,
    outgoing_accepted = TRILL_EVENT_OUTGOING_ACCEPTED,
    outgoing_rejected = TRILL_EVENT_OUTGOING_REJECTED,
    outgoing_busy = TRILL_EVENT_OUTGOING_BUSY,
    outgoing_unanswered = TRILL_EVENT_OUTGOING_UNANSWERED,
    incoming_cancelled = TRILL_EVENT_INCOMING_CANCELLED,
    answered_elsewhere = TRILL_EVENT_ANSWERED_ELSEWHERE,
    rejected_elsewhere = TRILL_EVENT_REJECTED_ELSEWHERE,
    call_ended = TRILL_EVENT_CALL_ENDED,
    session_joined = TRILL_EVENT_SESSION_JOINED,
    session_connected = TRILL_EVENT_SESSION_CONNECTED,
    participant_joined = TRILL_EVENT_PARTICIPANT_JOINED,
    participant_left = TRILL_EVENT_PARTICIPANT_LEFT,
    participant_updated = TRILL_EVENT_PARTICIPANT_UPDATED,
    track_published = TRILL_EVENT_TRACK_PUBLISHED,
    track_unpublished = TRILL_EVENT_TRACK_UNPUBLISHED,
    track_subscribed = TRILL_EVENT_TRACK_SUBSCRIBED,
    track_unsubscribed = TRILL_EVENT_TRACK_UNSUBSCRIBED,
    track_muted = TRILL_EVENT_TRACK_MUTED,
    track_unmuted = TRILL_EVENT_TRACK_UNMUTED,
    first_audio = TRILL_EVENT_FIRST_AUDIO,
    first_video = TRILL_EVENT_FIRST_VIDEO,
    active_speakers = TRILL_EVENT_ACTIVE_SPEAKERS,
    quality_changed = TRILL_EVENT_QUALITY_CHANGED,
    data = TRILL_EVENT_DATA,
    session_reconnecting = TRILL_EVENT_SESSION_RECONNECTING,
    session_reconnected = TRILL_EVENT_SESSION_RECONNECTED,
    session_error = TRILL_EVENT_SESSION_ERROR,
    session_ended = TRILL_EVENT_SESSION_ENDED,
    device_changed = TRILL_EVENT_DEVICE_CHANGED,
    statistics = TRILL_EVENT_STATISTICS,
};

enum class SessionEnd : std::int32_t {
    left = TRILL_SESSION_END_LEFT,
    duplicate_identity = TRILL_SESSION_END_DUPLICATE_IDENTITY,
    participant_removed = TRILL_SESSION_END_PARTICIPANT_REMOVED,
    room_closed = TRILL_SESSION_END_ROOM_CLOSED,
    server_shutdown = TRILL_SESSION_END_SERVER_SHUTDOWN,
    connection_lost = TRILL_SESSION_END_CONNECTION_LOST,
    media_unreachable = TRILL_SESSION_END_MEDIA_UNREACHABLE,
    join_failed = TRILL_SESSION_END_JOIN_FAILED,
    internal = TRILL_SESSION_END_INTERNAL,
    left_alone = TRILL_SESSION_END_LEFT_ALONE,
};

enum class AudioSource : std::int32_t {
    none = TRILL_AUDIO_SOURCE_NONE,
    tone = TRILL_AUDIO_SOURCE_TONE,
    file = TRILL_AUDIO_SOURCE_FILE,
    pushed = TRILL_AUDIO_SOURCE_PUSHED,
    microphone = TRILL_AUDIO_SOURCE_MICROPHONE,
};

enum class VideoSource : std::int32_t {
    none = TRILL_VIDEO_SOURCE_NONE,
    test_picture = TRILL_VIDEO_SOURCE_TEST_PICTURE,
    file = TRILL_VIDEO_SOURCE_FILE,
    pushed = TRILL_VIDEO_SOURCE_PUSHED,
    camera = TRILL_VIDEO_SOURCE_CAMERA,
};

enum class Voice : std::int32_t {
    echo_cancellation = TRILL_VOICE_ECHO_CANCELLATION,
    noise_suppression = TRILL_VOICE_NOISE_SUPPRESSION,
    gain_control = TRILL_VOICE_GAIN_CONTROL,
    high_pass = TRILL_VOICE_HIGH_PASS,
    none = TRILL_VOICE_NONE,
};

enum class TrackKind : std::int32_t {
    audio = TRILL_TRACK_KIND_AUDIO,
    video = TRILL_TRACK_KIND_VIDEO,
};

enum class Source : std::int32_t {
    microphone = TRILL_SOURCE_MICROPHONE,
    camera = TRILL_SOURCE_CAMERA,
    screen_share = TRILL_SOURCE_SCREEN_SHARE,
    screen_share_audio = TRILL_SOURCE_SCREEN_SHARE_AUDIO,
    unknown = TRILL_SOURCE_UNKNOWN,
};

enum class Quality : std::int32_t {
    unknown = TRILL_QUALITY_UNKNOWN,
    lost = TRILL_QUALITY_LOST,
    poor = TRILL_QUALITY_POOR,
    good = TRILL_QUALITY_GOOD,
    excellent = TRILL_QUALITY_EXCELLENT,
};

enum class DeviceKind : std::int32_t {
    microphone = TRILL_DEVICE_KIND_MICROPHONE,
    speaker = TRILL_DEVICE_KIND_SPEAKER,
    camera = TRILL_DEVICE_KIND_CAMERA,
    video_output = TRILL_DEVICE_KIND_VIDEO_OUTPUT,
};

enum class DeviceState : std::int32_t {
    in_use = TRILL_DEVICE_STATE_IN_USE,
    lost = TRILL_DEVICE_STATE_LOST,
    failed = TRILL_DEVICE_STATE_FAILED,
};

enum class DevicePolicy : std::int32_t {
    fall_back = TRILL_DEVICE_POLICY_FALL_BACK,
    follow_default = TRILL_DEVICE_POLICY_FOLLOW_DEFAULT,
    keep = TRILL_DEVICE_POLICY_KEEP,
    silence = TRILL_DEVICE_POLICY_SILENCE,
};

enum class Simulcast : std::int32_t {
    in_groups = TRILL_SIMULCAST_IN_GROUPS,
    always = TRILL_SIMULCAST_ALWAYS,
    never = TRILL_SIMULCAST_NEVER,
};

enum class LogLevel : std::int32_t {
    off = TRILL_LOG_OFF,
    error = TRILL_LOG_ERROR,
    warn = TRILL_LOG_WARN,
    info = TRILL_LOG_INFO,
    debug = TRILL_LOG_DEBUG,
    trace = TRILL_LOG_TRACE,
};

/// Several things to be done to a voice.
constexpr Voice operator|(Voice one, Voice other) noexcept {
    return static_cast<Voice>(static_cast<std::int32_t>(one) | static_cast<std::int32_t>(other));
}

}  // namespace trill

#endif
