// Users, calls, participants and what else the library tells, as values that an app may keep.
#ifndef TRILL_CPP_TYPES_HPP
#define TRILL_CPP_TYPES_HPP

#include <trill/result.hpp>

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace trill {

using Clock = std::chrono::system_clock;
using Milliseconds = std::chrono::milliseconds;

namespace detail {
inline std::string text(const char* from) { return from ? from : ""; }
inline std::optional<std::string> maybe(const char* from) {
    return from ? std::optional<std::string>(from) : std::nullopt;
}
inline std::optional<Clock::time_point> when(std::uint64_t ms) {
    return ms ? std::optional<Clock::time_point>(Milliseconds(ms)) : std::nullopt;
}
inline std::uint64_t since_1970(const std::optional<Clock::time_point>& when) {
    return when ? static_cast<std::uint64_t>(std::chrono::duration_cast<Milliseconds>(when->time_since_epoch()).count()) : 0;
}
/// For the C side: what is too long for it is as long as it can be, and is refused where there is a limit.
constexpr std::uint32_t whole(Milliseconds time) {
    constexpr Milliseconds::rep most = UINT32_MAX;
    return static_cast<std::uint32_t>(time.count() < 0 || time.count() > most ? most : time.count());
}
/// For the C side: NULL for nothing.
inline const char* pointer(const std::optional<std::string>& text) { return text ? text->c_str() : nullptr; }
template <typename To, typename From>
std::vector<To> list(const From* first, std::size_t count) {
    return first ? std::vector<To>(first, first + count) : std::vector<To>();
}
}  // namespace detail

struct User {
    std::string uid;
    std::optional<std::string> name, avatar;
    /// JSON, of the user that is logged in.
    std::optional<std::string> metadata;

    User() = default;
    explicit User(const trill_user& from)
        : uid(from.uid), name(detail::maybe(from.name)), avatar(detail::maybe(from.avatar)),
          metadata(detail::maybe(from.metadata)) {}
};

struct Party {
    std::string uid;
    std::optional<std::string> device_id;
    PartyState state;
    bool joined;
    std::optional<Clock::time_point> joined_at, left_at;

    explicit Party(const trill_call_party& from)
        : uid(from.uid), device_id(detail::maybe(from.device_id)), state(static_cast<PartyState>(from.state)),
          joined(from.joined != 0), joined_at(detail::when(from.joined_at_ms)), left_at(detail::when(from.left_at_ms)) {}
};

struct Call {
    std::string session_id;
    User initiator;
    std::string receiver;
    std::optional<std::string> receiver_name;
    ReceiverType receiver_type;
    CallType type;
    Category category;
    CallStatus status;
    std::optional<Clock::time_point> initiated_at, started_at, ended_at;
    Milliseconds duration;
    std::optional<std::string> ended_by;
    std::optional<EndReason> end_reason;
    std::vector<Party> parties;
    /// JSON.
    std::optional<std::string> metadata;
    /// An https URL.
    std::optional<std::string> receiver_avatar;
    /// Of two states of one call the one with the greater is the later.
    std::uint64_t revision;

    explicit Call(const trill_call& from)
        : session_id(from.session_id), initiator(*from.initiator), receiver(detail::text(from.receiver)),
          receiver_name(detail::maybe(from.receiver_name)), receiver_type(static_cast<ReceiverType>(from.receiver_type)),
          type(static_cast<CallType>(from.call_type)), category(static_cast<Category>(from.category)),
          status(static_cast<CallStatus>(from.status)), initiated_at(detail::when(from.initiated_at_ms)),
          started_at(detail::when(from.started_at_ms)), ended_at(detail::when(from.ended_at_ms)),
          duration(from.duration_ms), ended_by(detail::maybe(from.ended_by)),
          end_reason(from.end_reason ? std::optional<EndReason>(static_cast<EndReason>(from.end_reason)) : std::nullopt),
          parties(detail::list<Party>(from.parties, from.party_count)), metadata(detail::maybe(from.metadata)),
          receiver_avatar(detail::maybe(from.receiver_avatar)), revision(from.revision) {}
};

/// What a party to an ongoing call starts its session with.
struct SessionAccess {
    std::string url;
    /// A secret.
    std::string token;
    Clock::time_point expires_at;

    explicit SessionAccess(const trill_session_access& from)
        : url(from.url), token(from.token), expires_at(Milliseconds(from.expires_at_ms)) {}
};

struct PushedCall {
    PushOutcome outcome;
    Call call;

    explicit PushedCall(const trill_pushed_call& from)
        : outcome(static_cast<PushOutcome>(from.outcome)), call(*from.call) {}
};

struct CallLogPage {
    /// Newest first.
    std::vector<Call> calls;
    /// Cursors of the pages with older and with newer calls.
    std::optional<std::string> next, previous;

    explicit CallLogPage(const trill_call_log_page& from)
        : calls(detail::list<Call>(from.calls, from.call_count)), next(detail::maybe(from.next)),
          previous(detail::maybe(from.previous)) {}
};

struct Track {
    std::string id;
    TrackKind kind;
    Source source;
    std::string name, mime_type;
    bool muted, subscribed;
    std::uint32_t width, height;

    explicit Track(const trill_track& from)
        : id(from.id), kind(static_cast<TrackKind>(from.kind)), source(static_cast<Source>(from.source)),
          name(detail::text(from.name)), mime_type(detail::text(from.mime_type)), muted(from.muted != 0),
          subscribed(from.subscribed != 0), width(from.width), height(from.height) {}
};

struct Participant {
    std::string identity, id, name, metadata;
    std::vector<Track> tracks;
    bool speaking;
    /// 0 to 1, linear.
    float level;
    Quality quality;
    std::map<std::string, std::string> attributes;

    explicit Participant(const trill_participant& from)
        : identity(from.identity), id(detail::text(from.id)), name(detail::text(from.name)),
          metadata(detail::text(from.metadata)), tracks(detail::list<Track>(from.tracks, from.track_count)),
          speaking(from.speaking != 0), level(from.level), quality(static_cast<Quality>(from.quality)) {
        for (std::size_t i = 0; i < from.attribute_count; i++) {
            attributes.emplace(from.attributes[i].name, from.attributes[i].value);
        }
    }
};

struct Speaker {
    std::string identity;
    float level;

    explicit Speaker(const trill_speaker& from) : identity(from.identity), level(from.level) {}
};

struct Device {
    std::string name, id;
    bool is_default;

    explicit Device(const trill_device& from) : name(from.name), id(from.id), is_default(from.is_default != 0) {}
};

/// One thing that a device can. Of a microphone or speaker, channels and sample rates (from the lowest to the highest, in Hz) are
/// set; of a camera all the others.
struct DeviceFormat {
    std::uint32_t channels, sample_rate_min, sample_rate_max;
    /// Such as "nv12" or "mjpeg"; empty for sound.
    std::string pixels;
    std::uint32_t width, height, fps;

    explicit DeviceFormat(const trill_device_format& from)
        : channels(from.channels), sample_rate_min(from.sample_rate_min), sample_rate_max(from.sample_rate_max),
          pixels(detail::text(from.pixels)), width(from.width), height(from.height), fps(from.fps) {}
};

/// All that a device can, and with what a microphone or speaker is opened in a session.
struct DeviceFormats {
    std::vector<DeviceFormat> formats;
    std::uint32_t channels, sample_rate;

    explicit DeviceFormats(const trill_device_formats& from)
        : formats(detail::list<DeviceFormat>(from.formats, from.format_count)), channels(from.channels),
          sample_rate(from.sample_rate) {}
};

struct Data {
    /// Nothing when the server itself sent it.
    std::optional<std::string> from;
    std::vector<std::uint8_t> payload;
    std::optional<std::string> topic;
    bool reliable;

    explicit Data(const trill_data& told)
        : from(detail::maybe(told.from)), payload(detail::list<std::uint8_t>(told.payload, told.payload_size)),
          topic(detail::maybe(told.topic)), reliable(told.reliable != 0) {}
};

/// What a session sends and receives. The members of the tracks are those of trill.h.
struct Statistics {
    struct Received : trill_received_track {
        explicit Received(const trill_received_track& from)
            : trill_received_track(from), owner(from.identity), track(from.track_id) {
            // What the C struct points to is lent: these are kept.
            identity = nullptr;
            track_id = nullptr;
        }
        std::string owner, track;
    };

    std::chrono::microseconds joined_after, connected_after, first_audio_after, first_video_after;
    Milliseconds signal_round_trip;
    std::uint64_t bytes_sent, bytes_received;
    std::vector<trill_sent_track> sent;
    std::vector<Received> received;
    /// 0 while it is not known.
    std::uint32_t send_estimate_bps;
    std::chrono::microseconds send_queue, send_round_trip, receive_round_trip;
    std::uint64_t playback_underruns;

    explicit Statistics(const trill_statistics& from)
        : joined_after(from.joined_after_us), connected_after(from.connected_after_us),
          first_audio_after(from.first_audio_after_us), first_video_after(from.first_video_after_us),
          signal_round_trip(from.signal_round_trip_ms), bytes_sent(from.bytes_sent), bytes_received(from.bytes_received),
          sent(detail::list<trill_sent_track>(from.sent, from.sent_count)),
          received(detail::list<Received>(from.received, from.received_count)), send_estimate_bps(from.send_estimate_bps),
          send_queue(from.send_queue_us), send_round_trip(from.send_round_trip_us),
          receive_round_trip(from.receive_round_trip_us), playback_underruns(from.playback_underruns) {}
};

/// Something happened; which members are set, trill.h says for each kind.
struct Event {
    EventKind kind;
    bool local;
    std::optional<std::string> session_id;
    std::optional<Error> error;
    std::optional<User> user;
    std::optional<Call> call;
    std::optional<std::string> by;
    std::optional<Participant> participant;
    std::vector<Participant> participants;
    std::optional<std::string> identity;
    std::optional<Track> track;
    std::optional<std::string> track_id;
    std::vector<Speaker> speakers;
    std::optional<Data> data;
    std::uint32_t width, height;
    Quality quality;
    std::optional<SessionEnd> session_end;
    std::optional<DeviceKind> device;
    std::optional<DeviceState> device_state;
    std::optional<std::string> device_name;
    std::optional<Statistics> statistics;

    explicit Event(const trill_event& from)
        : kind(static_cast<EventKind>(from.kind)), local(from.local != 0), session_id(detail::maybe(from.session_id)),
          error(made<Error>(from.error)), user(made<User>(from.user)), call(made<Call>(from.call)),
          by(detail::maybe(from.by)), participant(made<Participant>(from.participant)),
          participants(detail::list<Participant>(from.participants, from.participant_count)),
          identity(detail::maybe(from.identity)), track(made<Track>(from.track)), track_id(detail::maybe(from.track_id)),
          speakers(detail::list<Speaker>(from.speakers, from.speaker_count)), data(made<Data>(from.data)),
          width(from.width), height(from.height), quality(static_cast<Quality>(from.quality)),
          session_end(from.session_end ? std::optional<SessionEnd>(static_cast<SessionEnd>(from.session_end))
                                       : std::nullopt),
          device(from.device ? std::optional<DeviceKind>(static_cast<DeviceKind>(from.device)) : std::nullopt),
          device_state(from.device_state ? std::optional<DeviceState>(static_cast<DeviceState>(from.device_state))
                                         : std::nullopt),
          device_name(detail::maybe(from.device_name)), statistics(made<Statistics>(from.statistics)) {}

private:
    template <typename To, typename From>
    static std::optional<To> made(const From* from) {
        return from ? std::optional<To>(To(*from)) : std::nullopt;
    }
};

}  // namespace trill

#endif
