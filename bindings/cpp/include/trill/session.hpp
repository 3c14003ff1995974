// How to be in a session, and what it tells.
#ifndef TRILL_CPP_SESSION_HPP
#define TRILL_CPP_SESSION_HPP

#include <trill/types.hpp>

#include <functional>
#include <memory>

namespace trill {

/// Frames are the C structs: what they point to is lent until the function returns, and what is pushed is read during the
/// call.
using VideoFrame = trill_video_frame;
using AudioFrame = trill_audio_frame;

/// What is sent and where it is played to. Zero, none and nothing are the defaults that trill.h tells of.
struct SessionSettings {
    AudioSource audio_source = AudioSource::none;
    std::optional<std::string> audio_file, microphone;
    bool audio_looped = false;
    float audio_tone_hz = 0;
    std::uint32_t audio_sample_rate = 0, audio_channels = 0, audio_bitrate_bps = 0;
    /// Next to nothing is sent of the audio while nobody talks. For voices: music and tones may be taken for noise.
    bool audio_dtx = false;
    /// Nothing: all of it to a microphone's voice.
    std::optional<Voice> voice_processing;

    VideoSource video_source = VideoSource::none;
    std::optional<std::string> video_file, camera;
    bool video_looped = false;
    std::uint32_t video_width = 0, video_height = 0, video_fps = 0, video_bitrate_bps = 0;
    Simulcast simulcast = Simulcast::in_groups;

    bool audio_only = false, start_audio_muted = false, start_video_paused = false;
    bool manual_subscribe = false;
    Milliseconds reconnect_timeout{0};
    /// How long we may be the only one in the session, a second to a day; 0 for without limit.
    Milliseconds left_alone_timeout{0};

    /// Played on a speaker of the machine's, by name or id, or its default.
    bool play = false;
    std::optional<std::string> speaker, audio_output_file, video_output_folder;
    DevicePolicy device_policy = DevicePolicy::fall_back;

    /// How often `statistics` is told; 0 for never.
    Milliseconds statistics_interval{0};
};

/// What a session tells. Those for events run where the engine's callbacks run; those for frames on media threads, at the
/// same time as others. An exception that leaves one ends the program.
struct SessionCallbacks {
    using OnEvent = std::function<void(const Event&)>;
    OnEvent joined, connected, participant_joined, participant_left, participant_updated;
    OnEvent track_published, track_unpublished, track_subscribed, track_unsubscribed, track_muted, track_unmuted;
    OnEvent first_audio, first_video, active_speakers, quality_changed, data, reconnecting, reconnected, error, ended;
    OnEvent device_changed, statistics;
    std::function<void(const char* identity, const char* track_id, const VideoFrame&)> video_frame;
    /// The mix of all the others.
    std::function<void(const AudioFrame&)> audio_frame;
    /// What one of them says.
    std::function<void(const char* identity, const AudioFrame&)> participant_audio_frame;
};

namespace detail {

/// Borrows from `from`.
inline trill_session_settings raw(const SessionSettings& from) {
    trill_session_settings raw = TRILL_SESSION_SETTINGS_INIT;
    raw.audio_source = static_cast<std::int32_t>(from.audio_source);
    raw.audio_file = pointer(from.audio_file);
    raw.microphone = pointer(from.microphone);
    raw.audio_looped = from.audio_looped;
    raw.audio_tone_hz = from.audio_tone_hz;
    raw.audio_sample_rate = from.audio_sample_rate;
    raw.audio_channels = from.audio_channels;
    raw.audio_bitrate_bps = from.audio_bitrate_bps;
    raw.audio_dtx = from.audio_dtx;
    raw.voice_processing = from.voice_processing ? static_cast<std::int32_t>(*from.voice_processing) : 0;
    raw.video_source = static_cast<std::int32_t>(from.video_source);
    raw.video_file = pointer(from.video_file);
    raw.camera = pointer(from.camera);
    raw.video_looped = from.video_looped;
    raw.video_width = from.video_width;
    raw.video_height = from.video_height;
    raw.video_fps = from.video_fps;
    raw.video_bitrate_bps = from.video_bitrate_bps;
    raw.simulcast = static_cast<std::int32_t>(from.simulcast);
    raw.audio_only = from.audio_only;
    raw.start_audio_muted = from.start_audio_muted;
    raw.start_video_paused = from.start_video_paused;
    raw.manual_subscribe = from.manual_subscribe;
    raw.reconnect_timeout_ms = whole(from.reconnect_timeout);
    raw.left_alone_timeout_ms = whole(from.left_alone_timeout);
    raw.play = from.play;
    raw.speaker = pointer(from.speaker);
    raw.audio_output_file = pointer(from.audio_output_file);
    raw.video_output_folder = pointer(from.video_output_folder);
    raw.device_policy = static_cast<std::int32_t>(from.device_policy);
    raw.statistics_interval_ms = whole(from.statistics_interval);
    return raw;
}

/// The C side of a member of SessionCallbacks that takes an event.
template <SessionCallbacks::OnEvent SessionCallbacks::*member>
void tell(void* user_data, const trill_event* event) noexcept {
    (static_cast<SessionCallbacks*>(user_data)->*member)(Event(*event));
}

/// Functions that the app did not give stay NULL, so that nothing is made for them.
inline trill_session_callbacks raw(SessionCallbacks& from) {
    using C = SessionCallbacks;
    trill_session_callbacks raw = TRILL_SESSION_CALLBACKS_INIT;
    raw.user_data = &from;
    raw.joined = from.joined ? tell<&C::joined> : nullptr;
    raw.connected = from.connected ? tell<&C::connected> : nullptr;
    raw.participant_joined = from.participant_joined ? tell<&C::participant_joined> : nullptr;
    raw.participant_left = from.participant_left ? tell<&C::participant_left> : nullptr;
    raw.participant_updated = from.participant_updated ? tell<&C::participant_updated> : nullptr;
    raw.track_published = from.track_published ? tell<&C::track_published> : nullptr;
    raw.track_unpublished = from.track_unpublished ? tell<&C::track_unpublished> : nullptr;
    raw.track_subscribed = from.track_subscribed ? tell<&C::track_subscribed> : nullptr;
    raw.track_unsubscribed = from.track_unsubscribed ? tell<&C::track_unsubscribed> : nullptr;
    raw.track_muted = from.track_muted ? tell<&C::track_muted> : nullptr;
    raw.track_unmuted = from.track_unmuted ? tell<&C::track_unmuted> : nullptr;
    raw.first_audio = from.first_audio ? tell<&C::first_audio> : nullptr;
    raw.first_video = from.first_video ? tell<&C::first_video> : nullptr;
    raw.active_speakers = from.active_speakers ? tell<&C::active_speakers> : nullptr;
    raw.quality_changed = from.quality_changed ? tell<&C::quality_changed> : nullptr;
    raw.data = from.data ? tell<&C::data> : nullptr;
    raw.reconnecting = from.reconnecting ? tell<&C::reconnecting> : nullptr;
    raw.reconnected = from.reconnected ? tell<&C::reconnected> : nullptr;
    raw.error = from.error ? tell<&C::error> : nullptr;
    raw.ended = from.ended ? tell<&C::ended> : nullptr;
    raw.device_changed = from.device_changed ? tell<&C::device_changed> : nullptr;
    raw.statistics = from.statistics ? tell<&C::statistics> : nullptr;
    if (from.video_frame) {
        raw.video_frame = [](void* ud, const char* identity, const char* track, const trill_video_frame* frame) noexcept {
            static_cast<C*>(ud)->video_frame(identity, track, *frame);
        };
    }
    if (from.audio_frame) {
        raw.audio_frame = [](void* ud, const trill_audio_frame* frame) noexcept {
            static_cast<C*>(ud)->audio_frame(*frame);
        };
    }
    if (from.participant_audio_frame) {
        raw.participant_audio_frame = [](void* ud, const char* identity, const trill_audio_frame* frame) noexcept {
            static_cast<C*>(ud)->participant_audio_frame(identity, *frame);
        };
    }
    raw.drop_user_data = [](void* ud) noexcept { delete static_cast<C*>(ud); };
    return raw;
}

}  // namespace detail
}  // namespace trill

#endif
