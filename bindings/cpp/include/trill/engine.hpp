// The engine: one device of one user.
#ifndef TRILL_CPP_ENGINE_HPP
#define TRILL_CPP_ENGINE_HPP

#include <trill/session.hpp>

namespace trill {

/// Gets the outcome of an operation, once, when the function that took it gave no error. May be empty.
template <typename T>
using Done = std::function<void(Result<T>)>;

struct EngineConfig {
    /// An app keeps it, so that a restart is the same device. Nothing: a new device each time.
    std::optional<std::string> device_id;
    bool call_waiting = false;
    std::uint32_t worker_threads = 0;
};

struct CallOptions {
    ReceiverType receiver_type = ReceiverType::user;
    Category category = Category::call;
    /// How long it rings; 0 for what the server's owner set.
    std::chrono::seconds timeout{0};
    /// JSON.
    std::optional<std::string> metadata;
};

struct CallLogFilter {
    std::uint32_t limit = 0;
    std::optional<CallType> type;
    std::optional<CallStatus> status;
    std::optional<Direction> direction;
    std::optional<Category> category;
    std::optional<std::string> uid, guid, cursor;
    /// With a recording, or without.
    std::optional<bool> recording;
    std::optional<Clock::time_point> since, until;
};

/// What becomes of calls. `by` is who did it; empty when nobody did.
struct CallListener {
    using OnCall = std::function<void(const Call&, const std::string& by)>;
    OnCall incoming_call_received, outgoing_call_ringing, outgoing_call_accepted, outgoing_call_rejected;
    OnCall outgoing_call_busy, outgoing_call_unanswered, incoming_call_cancelled, answered_elsewhere;
    OnCall rejected_elsewhere, call_ended;
};

namespace detail {

/// Hands a std::function over to C, which calls it once.
template <typename T>
class Completion {
public:
    explicit Completion(Done<T> done) : done_(std::make_unique<Done<T>>(std::move(done))) {}

    void* user_data() const { return done_.get(); }
    /// It is C's now if its function took it.
    Result<void> after(Result<void> begun) {
        if (begun) {
            static_cast<void>(done_.release());
        }
        return begun;
    }

    template <typename C>
    static void told(void* user_data, std::int32_t, const C* value, const trill_error* error) noexcept {
        std::unique_ptr<Done<T>> done(static_cast<Done<T>*>(user_data));
        if (*done) {
            (*done)(error ? Result<T>(Error(*error)) : Result<T>(T(*value)));
        }
    }
    static void told_nothing(void* user_data, std::int32_t, const trill_error* error) noexcept {
        std::unique_ptr<Done<void>> done(static_cast<Done<void>*>(user_data));
        if (*done) {
            (*done)(error ? Result<void>(Error(*error)) : Result<void>());
        }
    }

private:
    std::unique_ptr<Done<T>> done_;
};

template <CallListener::OnCall CallListener::*member>
void tell_call(void* user_data, const trill_call* call, const char* by) noexcept {
    (static_cast<CallListener*>(user_data)->*member)(Call(*call), text(by));
}

inline trill_call_listener raw(CallListener& from) {
    using L = CallListener;
    trill_call_listener raw = TRILL_CALL_LISTENER_INIT;
    raw.user_data = &from;
    raw.incoming_call_received = from.incoming_call_received ? tell_call<&L::incoming_call_received> : nullptr;
    raw.outgoing_call_ringing = from.outgoing_call_ringing ? tell_call<&L::outgoing_call_ringing> : nullptr;
    raw.outgoing_call_accepted = from.outgoing_call_accepted ? tell_call<&L::outgoing_call_accepted> : nullptr;
    raw.outgoing_call_rejected = from.outgoing_call_rejected ? tell_call<&L::outgoing_call_rejected> : nullptr;
    raw.outgoing_call_busy = from.outgoing_call_busy ? tell_call<&L::outgoing_call_busy> : nullptr;
    raw.outgoing_call_unanswered = from.outgoing_call_unanswered ? tell_call<&L::outgoing_call_unanswered> : nullptr;
    raw.incoming_call_cancelled = from.incoming_call_cancelled ? tell_call<&L::incoming_call_cancelled> : nullptr;
    raw.answered_elsewhere = from.answered_elsewhere ? tell_call<&L::answered_elsewhere> : nullptr;
    raw.rejected_elsewhere = from.rejected_elsewhere ? tell_call<&L::rejected_elsewhere> : nullptr;
    raw.call_ended = from.call_ended ? tell_call<&L::call_ended> : nullptr;
    raw.drop_user_data = [](void* ud) noexcept { delete static_cast<L*>(ud); };
    return raw;
}

}  // namespace detail

/// Owns an engine, which it frees: not inside a callback of that engine's. Any function may be called on any thread.
/// Functions return at once, save next_event; what they are asked for is told to `done`.
class Engine {
public:
    using OnEvent = std::function<void(const Event&)>;

    /// An engine with a thread of its own, on which callbacks run, one at a time. `on_event` gets every event.
    static Result<Engine> create(const EngineConfig& config = {}, OnEvent on_event = {}) {
        auto given = std::make_unique<OnEvent>(std::move(on_event));
        trill_engine_callbacks raw = TRILL_ENGINE_CALLBACKS_INIT;
        raw.user_data = given.get();
        if (*given) {
            raw.event = [](void* ud, const trill_event* event) noexcept { (*static_cast<OnEvent*>(ud))(Event(*event)); };
        }
        raw.drop_user_data = [](void* ud) noexcept { delete static_cast<OnEvent*>(ud); };
        Result<Engine> made = create(config, &raw);
        if (made) {
            static_cast<void>(given.release());
        }
        return made;
    }

    /// An engine for an app with a loop of its own: callbacks run, and events come, in next_event.
    static Result<Engine> create_polled(const EngineConfig& config = {}) { return create(config, nullptr); }

    /// Nothing when no event came in that time.
    Result<std::optional<Event>> next_event(Milliseconds timeout) const {
        trill_error* error = nullptr;
        trill_event* event = nullptr;
        const auto status = trill_engine_next_event(get(), static_cast<std::uint32_t>(timeout.count()), &event, &error);
        if (status == TRILL_STATUS_TIMED_OUT) {
            trill_error_free(error);
            return std::optional<Event>();
        }
        if (status != TRILL_STATUS_OK) {
            return detail::taken(status, error);
        }
        const std::unique_ptr<trill_event, decltype(&trill_event_free)> owned(event, trill_event_free);
        return std::optional<Event>(Event(*event));
    }

    Result<void> login(const std::string& server, const std::string& token, Done<User> done = {}) const {
        return begin<User, trill_user>(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_login(get(), server.c_str(), token.c_str(), told, ud, error);
        });
    }
    Result<void> logout(Done<void> done = {}) const {
        return begin(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_logout(get(), told, ud, error);
        });
    }
    Result<User> logged_in_user() const { return read<User>(trill_logged_in_user, trill_user_free); }

    // Calls.

    Result<void> initiate(const std::string& receiver, CallType type, const CallOptions& options = {},
                          Done<Call> done = {}) const {
        trill_call_options raw = TRILL_CALL_OPTIONS_INIT;
        raw.receiver_type = static_cast<std::int32_t>(options.receiver_type);
        raw.category = static_cast<std::int32_t>(options.category);
        raw.timeout_s = static_cast<std::uint32_t>(options.timeout.count());
        raw.metadata = detail::pointer(options.metadata);
        return begin<Call, trill_call>(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_call_initiate(get(), receiver.c_str(), static_cast<std::int32_t>(type), &raw, told, ud, error);
        });
    }
    Result<void> accept(const std::string& session_id, Done<Call> done = {}) const {
        return on_call(trill_call_accept, session_id, std::move(done));
    }
    Result<void> cancel(const std::string& session_id, Done<Call> done = {}) const {
        return on_call(trill_call_cancel, session_id, std::move(done));
    }
    Result<void> end(const std::string& session_id, Done<Call> done = {}) const {
        return on_call(trill_call_end, session_id, std::move(done));
    }
    Result<void> details(const std::string& session_id, Done<Call> done) const {
        return on_call(trill_call_details, session_id, std::move(done));
    }
    Result<void> reject(const std::string& session_id, RejectReason reason, Done<Call> done = {}) const {
        return begin<Call, trill_call>(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_call_reject(get(), session_id.c_str(), static_cast<std::int32_t>(reason), told, ud, error);
        });
    }
    Result<Call> active_call() const { return read<Call>(trill_call_active, trill_call_free); }
    Result<void> clear_active_call(Done<void> done = {}) const {
        return begin(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_call_clear_active(get(), told, ud, error);
        });
    }
    Result<void> call_from_push(const std::uint8_t* payload, std::size_t size, Done<PushedCall> done) const {
        return begin<PushedCall, trill_pushed_call>(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_call_from_push(get(), payload, size, told, ud, error);
        });
    }
    Result<void> call_log(const CallLogFilter& filter, Done<CallLogPage> done) const {
        trill_call_log_filter raw = TRILL_CALL_LOG_FILTER_INIT;
        const auto number = [](const auto& choice) { return choice ? static_cast<std::int32_t>(*choice) : 0; };
        raw.limit = filter.limit;
        raw.call_type = number(filter.type);
        raw.status = number(filter.status);
        raw.direction = number(filter.direction);
        raw.category = number(filter.category);
        raw.uid = detail::pointer(filter.uid);
        raw.guid = detail::pointer(filter.guid);
        raw.cursor = detail::pointer(filter.cursor);
        raw.since_ms = detail::since_1970(filter.since);
        raw.until_ms = detail::since_1970(filter.until);
        raw.recording = filter.recording ? (*filter.recording ? 1 : -1) : 0;
        return begin<CallLogPage, trill_call_log_page>(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_call_log_fetch(get(), &raw, told, ud, error);
        });
    }

    /// A listener of the same id is removed first.
    Result<void> add_listener(const std::string& id, CallListener listener) const {
        auto given = std::make_unique<CallListener>(std::move(listener));
        const trill_call_listener raw = detail::raw(*given);
        auto added = detail::attempt(
            [&](trill_error** error) { return trill_call_listener_add(get(), id.c_str(), &raw, error); });
        if (added) {
            static_cast<void>(given.release());
        }
        return added;
    }
    Result<void> remove_listener(const std::string& id) const {
        return detail::attempt(
            [&](trill_error** error) { return trill_call_listener_remove(get(), id.c_str(), error); });
    }

    // Sessions.

    Result<void> session_token(const std::string& session_id, Done<SessionAccess> done) const {
        return begin<SessionAccess, trill_session_access>(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_session_token(get(), session_id.c_str(), told, ud, error);
        });
    }
    Result<void> start_session(const std::string& session_id, const SessionAccess& access,
                               const SessionSettings& settings = {}, SessionCallbacks callbacks = {},
                               Done<void> done = {}) const {
        auto given = std::make_unique<SessionCallbacks>(std::move(callbacks));
        const trill_session_settings raw_settings = detail::raw(settings);
        const trill_session_callbacks raw_callbacks = detail::raw(*given);
        auto begun = begin(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_session_start(get(), session_id.c_str(), access.url.c_str(), access.token.c_str(), &raw_settings,
                                       &raw_callbacks, told, ud, error);
        });
        if (begun) {
            static_cast<void>(given.release());
        }
        return begun;
    }
    Result<void> end_session(const std::string& session_id, Done<void> done = {}) const {
        return begin(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_session_end(get(), session_id.c_str(), told, ud, error);
        });
    }
    Result<void> set_muted(const std::string& session_id, Source source, bool muted, Done<void> done = {}) const {
        return begin(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_session_set_muted(get(), session_id.c_str(), static_cast<std::int32_t>(source), muted, told, ud,
                                           error);
        });
    }
    Result<void> unpublish(const std::string& session_id, Source source, Done<void> done = {}) const {
        return begin(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_session_unpublish(get(), session_id.c_str(), static_cast<std::int32_t>(source), told, ud, error);
        });
    }
    Result<void> subscribe(const std::string& session_id, const std::string& track_id, bool subscribe,
                           Done<void> done = {}) const {
        return begin(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_session_subscribe(get(), session_id.c_str(), track_id.c_str(), subscribe, told, ud, error);
        });
    }
    /// To everyone when there are no destinations.
    Result<void> send_data(const std::string& session_id, const std::vector<std::uint8_t>& payload,
                           const std::optional<std::string>& topic = {}, bool reliable = true,
                           const std::vector<std::string>& destinations = {}, Done<void> done = {}) const {
        std::vector<const char*> names;
        for (const auto& name : destinations) {
            names.push_back(name.c_str());
        }
        return begin(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_session_send_data(get(), session_id.c_str(), payload.data(), payload.size(),
                                           detail::pointer(topic), reliable, names.data(), names.size(), told, ud, error);
        });
    }
    Result<void> set_voice_processing(const std::string& session_id, Voice voice) const {
        return detail::attempt([&](trill_error** error) {
            return trill_session_set_voice_processing(get(), session_id.c_str(), static_cast<std::int32_t>(voice), error);
        });
    }
    Result<Voice> voice_processing(const std::string& session_id) const {
        std::int32_t voice = 0;
        const auto read = detail::attempt([&](trill_error** error) {
            return trill_session_voice_processing(get(), session_id.c_str(), &voice, error);
        });
        return read ? Result<Voice>(static_cast<Voice>(voice)) : Result<Voice>(read.error());
    }
    /// The device of that name or id, or the default one.
    Result<void> choose_device(const std::string& session_id, DeviceKind kind, const std::optional<std::string>& name = {},
                               DevicePolicy policy = DevicePolicy::fall_back) const {
        return detail::attempt([&](trill_error** error) {
            return trill_session_choose_device(get(), session_id.c_str(), static_cast<std::int32_t>(kind),
                                               detail::pointer(name), static_cast<std::int32_t>(policy), error);
        });
    }
    /// 0 is silence, 1 as it is, 4 the most.
    Result<void> set_volume(const std::string& session_id, DeviceKind kind, float volume) const {
        return detail::attempt([&](trill_error** error) {
            return trill_session_set_volume(get(), session_id.c_str(), static_cast<std::int32_t>(kind), volume, error);
        });
    }
    Result<std::vector<Participant>> participants(const std::string& session_id) const {
        trill_participants* list = nullptr;
        const auto read = detail::attempt([&](trill_error** error) {
            return trill_session_participants(get(), session_id.c_str(), &list, error);
        });
        if (!read) {
            return read.error();
        }
        const std::unique_ptr<trill_participants, decltype(&trill_participants_free)> owned(list, trill_participants_free);
        return detail::list<Participant>(list->participants, list->participant_count);
    }
    Result<void> statistics(const std::string& session_id, Done<Statistics> done) const {
        return begin<Statistics, trill_statistics>(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return trill_session_statistics(get(), session_id.c_str(), told, ud, error);
        });
    }
    Result<void> push_audio(const std::string& session_id, const std::int16_t* samples, std::size_t per_channel) const {
        return detail::attempt([&](trill_error** error) {
            return trill_session_push_audio(get(), session_id.c_str(), samples, per_channel, error);
        });
    }
    Result<void> push_audio(const std::string& session_id, const float* samples, std::size_t per_channel) const {
        return detail::attempt([&](trill_error** error) {
            return trill_session_push_audio_float(get(), session_id.c_str(), samples, per_channel, error);
        });
    }
    Result<void> push_video(const std::string& session_id, const VideoFrame& frame) const {
        return detail::attempt(
            [&](trill_error** error) { return trill_session_push_video(get(), session_id.c_str(), &frame, error); });
    }

    /// For functions of trill.h beside these. Stays this object's.
    trill_engine* get() const noexcept { return engine_.get(); }

private:
    struct Free {
        void operator()(trill_engine* engine) const noexcept { trill_engine_free(engine); }
    };

    explicit Engine(trill_engine* engine) : engine_(engine) {}

    static Result<Engine> create(const EngineConfig& config, const trill_engine_callbacks* callbacks) {
        trill_engine_config raw = TRILL_ENGINE_CONFIG_INIT;
        raw.device_id = detail::pointer(config.device_id);
        raw.call_waiting = config.call_waiting;
        raw.worker_threads = config.worker_threads;
        trill_engine* engine = nullptr;
        const auto made =
            detail::attempt([&](trill_error** error) { return trill_engine_new(&raw, callbacks, &engine, error); });
        return made ? Result<Engine>(Engine(engine)) : Result<Engine>(made.error());
    }

    template <typename T, typename C, typename Begin>
    static Result<void> begin(Done<T> done, Begin call) {
        detail::Completion<T> completion(std::move(done));
        return completion.after(detail::attempt([&](trill_error** error) {
            return call(&detail::Completion<T>::template told<C>, completion.user_data(), error);
        }));
    }
    template <typename Begin>
    static Result<void> begin(Done<void> done, Begin call) {
        detail::Completion<void> completion(std::move(done));
        return completion.after(detail::attempt([&](trill_error** error) {
            return call(&detail::Completion<void>::told_nothing, completion.user_data(), error);
        }));
    }
    template <typename OnCall>
    Result<void> on_call(OnCall function, const std::string& session_id, Done<Call> done) const {
        return begin<Call, trill_call>(std::move(done), [&](auto told, void* ud, trill_error** error) {
            return function(get(), session_id.c_str(), told, ud, error);
        });
    }
    template <typename T, typename C>
    Result<T> read(std::int32_t (*function)(trill_engine*, C**, trill_error**), std::int32_t (*free)(C*)) const {
        C* found = nullptr;
        const auto read = detail::attempt([&](trill_error** error) { return function(get(), &found, error); });
        if (!read) {
            return read.error();
        }
        const std::unique_ptr<C, std::int32_t (*)(C*)> owned(found, free);
        return T(*found);
    }

    std::unique_ptr<trill_engine, Free> engine_;
};

/// The machine's devices of a kind. It asks the system, which can take a second.
inline Result<std::vector<Device>> devices(DeviceKind kind) {
    trill_devices* list = nullptr;
    const auto read = detail::attempt(
        [&](trill_error** error) { return trill_devices_list(static_cast<std::int32_t>(kind), &list, error); });
    if (!read) {
        return read.error();
    }
    const std::unique_ptr<trill_devices, decltype(&trill_devices_free)> owned(list, trill_devices_free);
    return detail::list<Device>(list->devices, list->device_count);
}

/// What a device can: the one of that name or id, or the default one. It is opened for that, which can take a second.
inline Result<DeviceFormats> device_formats(DeviceKind kind, const std::optional<std::string>& name = std::nullopt) {
    trill_device_formats* formats = nullptr;
    const auto read = detail::attempt([&](trill_error** error) {
        return trill_device_formats_read(static_cast<std::int32_t>(kind), detail::pointer(name), &formats, error);
    });
    if (!read) {
        return read.error();
    }
    const std::unique_ptr<trill_device_formats, decltype(&trill_device_formats_free)> owned(formats,
                                                                                            trill_device_formats_free);
    return DeviceFormats(*formats);
}

}  // namespace trill

#endif
