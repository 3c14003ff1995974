/*
 * Two engines call each other through a server: alice with callbacks, who pushes a picture and hears bob's tone; bob sends a
 * test picture, and takes his events from a queue. usage: call SERVER ALICES_TOKEN BOBS_TOKEN
 */
#include "check.h"
#include <unistd.h>

typedef struct phone {
    trill_engine *engine;
    char session_id[129];
    int logged_in, called, ringing, accepted, ended, joined, connected, data, muted, left;
    int pictures, full_pictures, loud_frames, voice_frames, dropped, tokens, started, logs, statistics, done;
    int told_statistics, estimates, failed_files;
} phone;

static phone alice, bob;

static void on_done(void *ud, int32_t status, const trill_error *error) {
    if (status != TRILL_STATUS_OK) {
        fprintf(stderr, "completion: %s\n", error->message);
    }
    CHECK(status == TRILL_STATUS_OK && error == NULL);
    count(ud);
}

static void on_user(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    phone *p = ud;
    if (status != TRILL_STATUS_OK) {
        fprintf(stderr, "login: %s\n", error->message);
    }
    CHECK(status == TRILL_STATUS_OK && user != NULL);
    CHECK(strcmp(user->uid, p == &alice ? "alice" : "bob") == 0);
    count(&p->logged_in);
}

static void on_call(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    if (status != TRILL_STATUS_OK) {
        fprintf(stderr, "call: %s\n", error->message);
    }
    CHECK(status == TRILL_STATUS_OK && call != NULL);
    count(ud);
}

/* Session callbacks. */

static void joined(void *ud, const trill_event *event) {
    CHECK(event->kind == TRILL_EVENT_SESSION_JOINED && event->participant != NULL);
    count(&((phone *)ud)->joined);
}

static void connected(void *ud, const trill_event *event) {
    CHECK(event->kind == TRILL_EVENT_SESSION_CONNECTED);
    count(&((phone *)ud)->connected);
}

static void data(void *ud, const trill_event *event) {
    CHECK(event->data->payload_size == 5 && memcmp(event->data->payload, "hello", 5) == 0);
    CHECK(strcmp(event->data->topic, "chat") == 0 && strcmp(event->data->from, "alice") == 0);
    count(&((phone *)ud)->data);
}

static void muted(void *ud, const trill_event *event) {
    CHECK(strcmp(event->identity, "alice") == 0 && event->track->source == TRILL_SOURCE_CAMERA);
    count(&((phone *)ud)->muted);
}

static void left(void *ud, const trill_event *event) {
    CHECK(event->session_end == TRILL_SESSION_END_LEFT || event->session_end == TRILL_SESSION_END_ROOM_CLOSED);
    count(&((phone *)ud)->left);
}

static void picture(void *ud, const char *identity, const char *track, const trill_video_frame *frame) {
    phone *p = ud;
    CHECK(strcmp(identity, p == &alice ? "bob" : "alice") == 0 && track[0] != 0);
    /* A busy machine sends smaller ones for a while: of the same proportions, but for sides that are made even. */
    CHECK(frame->width <= 320 && frame->height <= 180 && frame->stride_y >= frame->width);
    CHECK(abs((int)(frame->width * 180) - (int)(frame->height * 320)) < 2 * 320);
    CHECK(frame->y && frame->u && frame->v);
    CHECK(trill_engine_free(p->engine) == TRILL_STATUS_IN_CALLBACK);
    if (p == &bob) {
        /* What alice pushed: a light grey. */
        CHECK(frame->y[0] > 180 && frame->y[0] < 220);
    }
    count(&p->pictures);
    if (frame->width == 320 && frame->height == 180) {
        count(&p->full_pictures);
    }
}

static int is_loud(const trill_audio_frame *frame) {
    size_t i;
    CHECK(frame->sample_rate == 48000 && frame->channels == 1 && frame->samples_per_channel == 960);
    for (i = 0; i < frame->samples_per_channel; i++) {
        if (frame->samples[i] > 1000) {
            return 1;
        }
    }
    return 0;
}

static void audio(void *ud, const trill_audio_frame *frame) {
    if (is_loud(frame)) {
        count(&((phone *)ud)->loud_frames);
    }
}

static void voice(void *ud, const char *identity, const trill_audio_frame *frame) {
    CHECK(strcmp(identity, ud == &alice ? "bob" : "alice") == 0);
    if (is_loud(frame)) {
        count(&((phone *)ud)->voice_frames);
    }
}

/* Her pictures cannot be written: that is told, and they are seen all the same. */
static void device_changed(void *ud, const trill_event *event) {
    CHECK(event->device == TRILL_DEVICE_KIND_VIDEO_OUTPUT && event->device_state == TRILL_DEVICE_STATE_FAILED);
    CHECK(event->error->status == TRILL_STATUS_MEDIA_FILE && event->device_name == NULL);
    count(&((phone *)ud)->failed_files);
}

/* At the interval of the settings; the estimate comes with the first feedback. */
static void told_statistics(void *ud, const trill_event *event) {
    phone *p = ud;
    CHECK(event->kind == TRILL_EVENT_STATISTICS && event->statistics != NULL && p->left == 0);
    CHECK(event->statistics->joined_after_us > 0 && event->statistics->sent_count == 2);
    count(&p->told_statistics);
    if (event->statistics->send_estimate_bps > 0 && event->statistics->send_round_trip_us > 0) {
        count(&p->estimates);
    }
}

static void dropped(void *ud) {
    count(&((phone *)ud)->dropped);
}

static void on_token(void *ud, int32_t status, const trill_session_access *access, const trill_error *error) {
    phone *p = ud;
    char folder[] = "/tmp/trill-call-XXXXXX";
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_session_callbacks callbacks = TRILL_SESSION_CALLBACKS_INIT;
    if (status != TRILL_STATUS_OK) {
        fprintf(stderr, "token: %s\n", error->message);
    }
    CHECK(status == TRILL_STATUS_OK);
    settings.audio_source = p == &alice ? TRILL_AUDIO_SOURCE_PUSHED : TRILL_AUDIO_SOURCE_TONE;
    settings.audio_channels = 2;
    settings.video_source = p == &alice ? TRILL_VIDEO_SOURCE_PUSHED : TRILL_VIDEO_SOURCE_TEST_PICTURE;
    settings.video_width = 320;
    settings.video_height = 180;
    settings.video_fps = 15;
    settings.statistics_interval_ms = 200;
    callbacks.user_data = p;
    callbacks.joined = joined;
    callbacks.connected = connected;
    callbacks.data = data;
    callbacks.track_muted = muted;
    callbacks.ended = left;
    callbacks.video_frame = picture;
    callbacks.audio_frame = audio;
    callbacks.participant_audio_frame = voice;
    callbacks.drop_user_data = dropped;
    callbacks.statistics = told_statistics;
    callbacks.device_changed = device_changed;
    if (p == &bob) {
        CHECK(mkdtemp(folder) != NULL);
        settings.video_output_folder = folder;
    }
    OK(trill_session_start(p->engine, p->session_id, access->url, access->token, &settings, &callbacks, on_done,
                           &p->started, error));
    CHECK(p == &alice || rmdir(folder) == 0);
}

static void start(phone *p, const trill_call *call) {
    CHECK(call->status == TRILL_CALL_STATUS_ONGOING && call->party_count == 2);
    CHECK(call->metadata != NULL && strcmp(call->metadata, "{\"room\":7}") == 0);
    CHECK(call->revision > 0 && call->receiver_avatar == NULL);
    strcpy(p->session_id, call->session_id);
    OK(trill_session_token(p->engine, p->session_id, on_token, p, error));
}

/* Call listeners. */

static void outgoing_ringing(void *ud, const trill_call *call, const char *by) {
    CHECK(call->status == TRILL_CALL_STATUS_INITIATED && strcmp(by, "bob") == 0);
    count(&((phone *)ud)->ringing);
}

static void outgoing_accepted(void *ud, const trill_call *call, const char *by) {
    CHECK(strcmp(by, "bob") == 0);
    start(ud, call);
    count(&((phone *)ud)->accepted);
}

static void bob_accepted(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    (void)error;
    CHECK(status == TRILL_STATUS_OK);
    start(ud, call);
}

static void incoming(void *ud, const trill_call *call, const char *by) {
    phone *p = ud;
    (void)by;
    CHECK(call->call_type == TRILL_CALL_TYPE_VIDEO && strcmp(call->initiator->uid, "alice") == 0);
    OK(trill_call_accept(p->engine, call->session_id, bob_accepted, p, error));
    count(&p->called);
}

static void call_ended(void *ud, const trill_call *call, const char *by) {
    phone *p = ud;
    CHECK(call->end_reason == TRILL_END_REASON_HUNG_UP && strcmp(by, "alice") == 0);
    CHECK(strcmp(call->ended_by, "alice") == 0 && call->duration_ms > 0);
    /* A listener may remove itself. */
    OK(trill_call_listener_remove(p->engine, "phone", error));
    CHECK(trill_engine_free(p->engine) == TRILL_STATUS_IN_CALLBACK);
    count(&p->ended);
}

static void on_log(void *ud, int32_t status, const trill_call_log_page *page, const trill_error *error) {
    (void)error;
    CHECK(status == TRILL_STATUS_OK && page->call_count == 1 && page->next == NULL);
    CHECK(page->calls[0].end_reason == TRILL_END_REASON_HUNG_UP && page->calls[0].party_count == 2);
    count(&((phone *)ud)->logs);
}

/* With a recording: none. Without: all. */
static void on_recorded(void *ud, int32_t status, const trill_call_log_page *page, const trill_error *error) {
    (void)error;
    CHECK(status == TRILL_STATUS_OK && page->call_count == 0);
    count(ud);
}

static void on_statistics(void *ud, int32_t status, const trill_statistics *stats, const trill_error *error) {
    size_t i;
    (void)error;
    CHECK(status == TRILL_STATUS_OK && stats->sent_count == 2 && stats->received_count == 2);
    CHECK(stats->connected_after_us > 0 && stats->bytes_sent > 0);
    for (i = 0; i < stats->received_count; i++) {
        CHECK(strcmp(stats->received[i].identity, "bob") == 0 && stats->received[i].packets > 0);
    }
    count(&((phone *)ud)->statistics);
}

static void log_line(void *ud, int32_t level, const char *target, const char *message) {
    CHECK(ud == &alice && level >= TRILL_LOG_ERROR && level <= TRILL_LOG_DEBUG);
    CHECK(strncmp(target, "trill", 5) == 0 && message != NULL);
}

static volatile int pushing = 1;

static void *push(void *unused) {
    static uint8_t grey[320 * 180];
    static int16_t tone[2 * 960];
    uint64_t at = 0;
    int i;
    (void)unused;
    memset(grey, 200, sizeof grey);
    for (i = 0; i < 960; i++) {
        tone[2 * i] = tone[2 * i + 1] = (int16_t)((i / 48) % 2 ? 8000 : -8000);
    }
    while (pushing) {
        const struct timespec pause = {0, 20000000};
        trill_video_frame frame = TRILL_VIDEO_FRAME_INIT;
        frame.y = grey;
        frame.u = frame.v = grey;
        frame.stride_y = 320;
        frame.stride_u = frame.stride_v = 160;
        frame.width = 320;
        frame.height = 180;
        frame.timestamp_us = at;
        /* Refused before the start, after the end, and when it is too fast: all of that is fine here. */
        trill_session_push_audio(alice.engine, alice.session_id, tone, 960, NULL);
        if (at % 60000 == 0) {
            trill_session_push_video(alice.engine, alice.session_id, &frame, NULL);
        }
        at += 20000;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static int polled_statistics;

static void *poll_bob(void *unused) {
    int32_t status;
    (void)unused;
    do {
        trill_event *event = NULL;
        status = trill_engine_next_event(bob.engine, 1000, &event, NULL);
        CHECK((status == TRILL_STATUS_OK) == (event != NULL));
        polled_statistics += event != NULL && event->kind == TRILL_EVENT_STATISTICS && event->statistics->sent_count == 2;
        trill_event_free(event);
    } while (status == TRILL_STATUS_OK || status == TRILL_STATUS_TIMED_OUT);
    return NULL;
}

/* What a push says is read without a network. */
static void read_wake(void) {
    static const char payload[] = "h.eyJ1c2UiOiJ3YWtlIiwiZXhwIjoxLCJzdWIiOiJib2IiLCJzZXNzaW9uSWQiOiJzMSIsI"
                                  "mZyb20iOnsidWlkIjoiYWxpY2UiLCJuYW1lIjoiQWxpY2UifSwidHlwZSI6IlZJREVPIn0.s";
    trill_wake *wake = NULL;
    OK(trill_wake_read((const uint8_t *)payload, sizeof payload - 1, &wake, error));
    CHECK(strcmp(wake->uid, "bob") == 0 && strcmp(wake->session_id, "s1") == 0 && wake->group == NULL);
    CHECK(strcmp(wake->from->uid, "alice") == 0 && strcmp(wake->from->name, "Alice") == 0);
    CHECK(wake->call_type == TRILL_CALL_TYPE_VIDEO && wake->expires_at_ms == 1000);
    trill_wake_free(wake);
}

int main(int argc, char **argv) {
    trill_engine_config config = TRILL_ENGINE_CONFIG_INIT;
    trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
    trill_call_options options = TRILL_CALL_OPTIONS_INIT;
    trill_participants *participants = NULL;
    trill_call *active = NULL;
    trill_user *user = NULL;
    pthread_t pusher, poller;
    int32_t voice_processing = 0;
    trill_call_log_filter filter = TRILL_CALL_LOG_FILTER_INIT;
    int freed = 0, recorded = 0;

    CHECK(argc == 4);
    CHECK(trill_abi_version() == TRILL_ABI_VERSION);
    read_wake();
    OK(trill_log_set(TRILL_LOG_DEBUG, log_line, &alice, error));

    config.device_id = "desk";
    callbacks.user_data = &alice;
    callbacks.drop_user_data = dropped;
    OK(trill_engine_new(&config, &callbacks, &alice.engine, error));
    OK(trill_engine_new(NULL, NULL, &bob.engine, error));

    listener.user_data = &alice;
    listener.outgoing_call_ringing = outgoing_ringing;
    listener.outgoing_call_accepted = outgoing_accepted;
    listener.call_ended = call_ended;
    OK(trill_call_listener_add(alice.engine, "phone", &listener, error));
    memset(&listener, 0, sizeof listener);
    listener.struct_size = sizeof listener;
    listener.user_data = &bob;
    listener.incoming_call_received = incoming;
    listener.call_ended = call_ended;
    OK(trill_call_listener_add(bob.engine, "phone", &listener, error));

    OK(trill_login(alice.engine, argv[1], argv[2], on_user, &alice, error));
    OK(trill_login(bob.engine, argv[1], argv[3], on_user, &bob, error));
    CHECK(pthread_create(&poller, NULL, poll_bob, NULL) == 0);
    wait_for("alice's login", &alice.logged_in, 1);
    wait_for("bob's login", &bob.logged_in, 1);
    OK(trill_logged_in_user(alice.engine, &user, error));
    CHECK(strcmp(user->uid, "alice") == 0);
    trill_user_free(user);

    options.metadata = "{\"room\":7}";
    OK(trill_call_initiate(alice.engine, "bob", TRILL_CALL_TYPE_VIDEO, &options, on_call, &alice.done, error));
    wait_for("the ringing", &alice.ringing, 1);
    wait_for("the accept", &alice.accepted, 1);
    CHECK(pthread_create(&pusher, NULL, push, NULL) == 0);
    wait_for("alice's session", &alice.connected, 1);
    wait_for("bob's session", &bob.connected, 1);
    wait_for("bob's pictures", &alice.pictures, 10);
    wait_for("alice's pictures", &bob.pictures, 5);
    wait_for("a picture of bob's in full size", &alice.full_pictures, 1);
    wait_for("a picture of alice's in full size", &bob.full_pictures, 1);
    wait_for("bob's tone in the mix", &alice.loud_frames, 25);
    wait_for("bob's tone alone", &alice.voice_frames, 25);
    wait_for("alice's tone", &bob.loud_frames, 25);
    wait_for("the file that cannot be", &bob.failed_files, 1);
    wait_for("statistics without asking", &alice.told_statistics, 3);
    wait_for("an estimate", &alice.estimates, 1);

    OK(trill_call_active(alice.engine, &active, error));
    CHECK(strcmp(active->session_id, alice.session_id) == 0);
    trill_call_free(active);
    OK(trill_session_participants(alice.engine, alice.session_id, &participants, error));
    CHECK(participants->participant_count == 2 && strcmp(participants->participants[0].identity, "alice") == 0);
    trill_participants_free(participants);
    OK(trill_session_voice_processing(alice.engine, alice.session_id, &voice_processing, error));
    CHECK(voice_processing == TRILL_VOICE_NONE);
    OK(trill_session_set_voice_processing(alice.engine, alice.session_id, TRILL_VOICE_GAIN_CONTROL | TRILL_VOICE_HIGH_PASS,
                                          error));
    OK(trill_session_voice_processing(alice.engine, alice.session_id, &voice_processing, error));
    CHECK(voice_processing == (TRILL_VOICE_GAIN_CONTROL | TRILL_VOICE_HIGH_PASS));
    /* She has none of the machine's devices. */
    CHECK(trill_session_choose_device(alice.engine, alice.session_id, TRILL_DEVICE_KIND_MICROPHONE, "any",
                                      TRILL_DEVICE_POLICY_KEEP, NULL) == TRILL_STATUS_DEVICE_UNAVAILABLE);
    CHECK(trill_session_set_volume(alice.engine, alice.session_id, TRILL_DEVICE_KIND_SPEAKER, 1, NULL) ==
          TRILL_STATUS_DEVICE_UNAVAILABLE);
    OK(trill_session_statistics(alice.engine, alice.session_id, on_statistics, &alice, error));
    wait_for("the statistics", &alice.statistics, 1);

    OK(trill_session_send_data(alice.engine, alice.session_id, (const uint8_t *)"hello", 5, "chat", 1, NULL, 0, NULL, NULL,
                               error));
    wait_for("the message", &bob.data, 1);
    OK(trill_session_set_muted(alice.engine, alice.session_id, TRILL_SOURCE_CAMERA, 1, on_done, &alice.done, error));
    wait_for("the mute", &bob.muted, 1);

    OK(trill_call_end(alice.engine, alice.session_id, on_call, &alice.done, error));
    wait_for("alice's end", &alice.ended, 1);
    wait_for("bob's end", &bob.ended, 1);
    wait_for("the end of alice's session", &alice.left, 1);
    wait_for("the end of bob's session", &bob.left, 1);
    wait_for("the user_data of alice's session", &alice.dropped, 1);
    wait_for("alice's completions", &alice.done, 3);
    OK(trill_call_log_fetch(alice.engine, NULL, on_log, &alice, error));
    OK(trill_call_log_fetch(bob.engine, NULL, on_log, &bob, error));
    wait_for("alice's log", &alice.logs, 1);
    wait_for("bob's log", &bob.logs, 1);
    filter.recording = -1;
    OK(trill_call_log_fetch(alice.engine, &filter, on_log, &alice, error));
    filter.recording = 1;
    OK(trill_call_log_fetch(alice.engine, &filter, on_recorded, &recorded, error));
    wait_for("what was not recorded", &alice.logs, 2);
    wait_for("what was recorded", &recorded, 1);

    pushing = 0;
    CHECK(pthread_join(pusher, NULL) == 0);
    OK(trill_logout(alice.engine, on_done, &freed, error));
    wait_for("the logout", &freed, 1);
    CHECK(trill_engine_free(alice.engine) == TRILL_STATUS_OK);
    CHECK(alice.dropped == 2);
    CHECK(trill_engine_free(alice.engine) == TRILL_STATUS_INVALID_ARGUMENT);
    CHECK(trill_engine_free(bob.engine) == TRILL_STATUS_OK);
    CHECK(pthread_join(poller, NULL) == 0);
    CHECK(polled_statistics > 0);
    CHECK(bob.dropped == 1);
    OK(trill_log_set(TRILL_LOG_OFF, NULL, NULL, error));
    printf("called\n");
    return 0;
}
