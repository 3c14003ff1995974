// A telephone in a terminal, in C++.
//
//     cpp_caller SERVER TOKEN call USER [SECONDS]     calls, talks for some seconds (5), hangs up
//     cpp_caller SERVER TOKEN answer                  accepts the next call, and talks until it is over
//
// It sends a tone and a test picture, and ends with 0 when the other was heard and seen.
#include <atomic>
#include <cstring>
#include <future>
#include <iostream>
#include <thread>
#include <trill.hpp>

namespace {

class Phone {
public:
    explicit Phone(trill::Engine engine) : engine_(std::move(engine)) {
        trill::CallListener listener;
        listener.incoming_call_received = [this](const trill::Call& call, const std::string& by) {
            std::cout << by << " calls" << std::endl;
            report(engine_.accept(call.session_id, [this](trill::Result<trill::Call> accepted) {
                accepted ? talk(*accepted) : fail(accepted.error());
            }));
        };
        listener.outgoing_call_ringing = [](const trill::Call&, const std::string&) { std::cout << "it rings" << std::endl; };
        listener.outgoing_call_accepted = [this](const trill::Call& call, const std::string& by) {
            std::cout << by << " accepted" << std::endl;
            talk(call);
        };
        const auto is_over = [this](const trill::Call& call, const std::string&) {
            std::cout << "over after " << call.duration.count() << " ms" << std::endl;
            finish();
        };
        listener.outgoing_call_rejected = listener.outgoing_call_busy = listener.outgoing_call_unanswered = is_over;
        listener.incoming_call_cancelled = listener.call_ended = is_over;
        engine_.add_listener("phone", std::move(listener)).value();
    }

    /// Waits until somebody is logged in.
    void login(const std::string& server, const std::string& token) {
        std::promise<trill::Result<trill::User>> promise;
        engine_.login(server, token, [&](trill::Result<trill::User> user) { promise.set_value(std::move(user)); }).value();
        std::cout << "logged in as " << promise.get_future().get().value().uid << std::endl;
    }

    void call(const std::string& user, std::chrono::seconds talk_for) {
        talk_for_ = talk_for;
        engine_.initiate(user, trill::CallType::video, {}, [this](trill::Result<trill::Call> call) {
            if (!call) {
                fail(call.error());
            }
        }).value();
    }

    /// Whether the other was heard and seen, once the call is over.
    bool wait() {
        auto over = over_.get_future();
        if (talk_for_.count() > 0) {
            const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
            while (!(heard_ && seen_) && std::chrono::steady_clock::now() < end &&
                   over.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
            }
            if (over.wait_for(talk_for_) != std::future_status::ready) {
                if (auto call = engine_.active_call()) {
                    report(engine_.end(call->session_id));
                }
            }
        }
        over.wait();
        return heard_ && seen_;
    }

private:
    void talk(const trill::Call& call) {
        report(engine_.session_token(call.session_id, [this, id = call.session_id](auto access) {
            access ? start(id, *access) : fail(access.error());
        }));
    }

    void start(const std::string& id, const trill::SessionAccess& access) {
        trill::SessionSettings settings;
        settings.audio_source = trill::AudioSource::tone;
        settings.video_source = trill::VideoSource::test_picture;
        settings.video_width = 320;
        settings.video_height = 180;
        settings.video_fps = 15;
        trill::SessionCallbacks callbacks;
        callbacks.first_audio = [](const trill::Event& event) { std::cout << *event.identity << " is heard" << std::endl; };
        callbacks.first_video = [](const trill::Event& event) { std::cout << *event.identity << " is seen" << std::endl; };
        callbacks.audio_frame = [this](const trill::AudioFrame& frame) {
            for (std::size_t i = 0; i < frame.samples_per_channel; i++) {
                heard_ = heard_ || frame.samples[i] > 1000;
            }
        };
        callbacks.video_frame = [this](const char*, const char*, const trill::VideoFrame&) { seen_ = true; };
        report(engine_.start_session(id, access, settings, std::move(callbacks), [this](trill::Result<void> started) {
            if (!started) {
                fail(started.error());
            }
        }));
    }

    void report(const trill::Result<void>& result) {
        if (!result) {
            fail(result.error());
        }
    }
    void fail(const trill::Error& error) {
        std::cerr << error.name() << ": " << error.message() << std::endl;
        finish();
    }
    void finish() {
        if (!finished_.exchange(true)) {
            over_.set_value();
        }
    }

    std::atomic<bool> heard_{false}, seen_{false}, finished_{false};
    std::promise<void> over_;
    std::chrono::seconds talk_for_{0};
    // The last member: freed first, so that no callback finds the others gone.
    trill::Engine engine_;
};

}  // namespace

int main(int argc, char** argv) {
    const bool calls = argc >= 5 && std::strcmp(argv[3], "call") == 0;
    if (!calls && !(argc == 4 && std::strcmp(argv[3], "answer") == 0)) {
        std::cerr << "usage: cpp_caller SERVER TOKEN call USER [SECONDS] | cpp_caller SERVER TOKEN answer\n";
        return 2;
    }
    try {
        Phone phone(trill::Engine::create().value());
        phone.login(argv[1], argv[2]);
        if (calls) {
            phone.call(argv[4], std::chrono::seconds(argc > 5 ? std::stoi(argv[5]) : 5));
        }
        return phone.wait() ? 0 : 1;
    } catch (const trill::Error& error) {
        std::cerr << error.name() << ": " << error.message() << '\n';
        return 1;
    }
}
