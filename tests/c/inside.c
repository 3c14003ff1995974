/*
 * A session is ended inside each of its callbacks, one after the other; log-out and free are tried in there as well. Bob
 * joins, speaks, shows, mutes and leaves over and over meanwhile, so that everything happens. Of PARTS of such programs this
 * is number PART. usage: inside PART PARTS URL RELAY ALICES_TOKEN LISTENERS_TOKEN BOBS_TOKEN MEETING_TOKEN
 *
 * RELAY leads to URL as well, and cuts each connection after a moment; LISTENERS_TOKEN lets alice publish nothing, and
 * MEETING_TOKEN leads to a room in which somebody changes his metadata all the time.
 */
#include "check.h"

typedef struct round_of {
    trill_engine *engine;
    /* How often the callback that it is about was called; what came of the session. */
    int called, started, ended, dropped, logged_out;
} round_of;

static void on_done(void *ud, int32_t status, const trill_error *error) {
    CHECK((status == TRILL_STATUS_OK) == (error == NULL));
    count(ud);
}

/* What is tried inside a callback. */
static void leave(round_of *r) {
    CHECK(r->dropped == 0);
    CHECK(trill_engine_free(r->engine) == TRILL_STATUS_IN_CALLBACK);
    if (r->called == 0) {
        OK(trill_session_end(r->engine, "s", on_done, &r->ended, error));
        OK(trill_logout(r->engine, on_done, &r->logged_out, error));
    }
    count(&r->called);
}

static void in_event(void *ud, const trill_event *event) {
    CHECK(event->kind >= TRILL_EVENT_SESSION_JOINED && strcmp(event->session_id, "s") == 0);
    leave(ud);
}

static void in_video(void *ud, const char *identity, const char *track, const trill_video_frame *frame) {
    CHECK(identity[0] != 0 && track[0] != 0 && frame->y != NULL);
    leave(ud);
}

static void in_audio(void *ud, const trill_audio_frame *frame) {
    CHECK(frame->samples != NULL);
    leave(ud);
}

static void in_participant_audio(void *ud, const char *identity, const trill_audio_frame *frame) {
    CHECK(identity[0] != 0 && frame->samples != NULL);
    leave(ud);
}

static void in_drop(void *ud) {
    leave(ud);
    count(&((round_of *)ud)->dropped);
}

static void on_drop(void *ud) {
    count(&((round_of *)ud)->dropped);
}

static void in_start(void *ud, int32_t status, const trill_error *error) {
    round_of *r = ud;
    CHECK(status == TRILL_STATUS_OK && error == NULL);
    leave(r);
    count(&r->started);
}

static void on_start(void *ud, int32_t status, const trill_error *error) {
    (void)error;
    /* One that is ended before it has begun was called off. */
    CHECK(status == TRILL_STATUS_OK || status == TRILL_STATUS_CANCELLED);
    count(&((round_of *)ud)->started);
}

enum how { PLAIN, CUT, LISTENING, ASKED, DEVICES, MEETING };

/* Each member of trill_session_callbacks; how its event is brought about. */
static const struct slot {
    const char *name;
    size_t offset;
    enum how how;
} slots[] = {
#define SLOT(member, how) {#member, offsetof(trill_session_callbacks, member), how}
    SLOT(joined, PLAIN),
    SLOT(connected, PLAIN),
    SLOT(participant_joined, PLAIN),
    SLOT(participant_left, PLAIN),
    /* No function of ours changes a participant; other LiveKit clients do. */
    SLOT(participant_updated, MEETING),
    SLOT(track_published, PLAIN),
    SLOT(track_unpublished, PLAIN),
    SLOT(track_subscribed, PLAIN),
    SLOT(track_unsubscribed, PLAIN),
    SLOT(track_muted, PLAIN),
    SLOT(track_unmuted, PLAIN),
    SLOT(first_audio, PLAIN),
    SLOT(first_video, PLAIN),
    SLOT(active_speakers, PLAIN),
    SLOT(quality_changed, PLAIN),
    SLOT(data, PLAIN),
    SLOT(reconnecting, CUT),
    SLOT(reconnected, CUT),
    SLOT(error, LISTENING),
    SLOT(ended, ASKED),
    SLOT(video_frame, PLAIN),
    SLOT(audio_frame, PLAIN),
    SLOT(participant_audio_frame, PLAIN),
    SLOT(drop_user_data, ASKED),
    SLOT(device_changed, DEVICES),
    SLOT(statistics, PLAIN),
};

#define SLOTS (sizeof slots / sizeof *slots)
_Static_assert(sizeof(trill_session_callbacks) ==
                   offsetof(trill_session_callbacks, joined) + SLOTS * sizeof(trill_event_function),
               "a callback is missing in the table");

static const char *url, *relay, *alices_token, *listeners_token, *bobs_token, *meeting_token;

static void set(trill_session_callbacks *callbacks, const struct slot *slot) {
    char *member = (char *)callbacks + slot->offset;
    if (strcmp(slot->name, "video_frame") == 0) {
        callbacks->video_frame = in_video;
    } else if (strcmp(slot->name, "audio_frame") == 0) {
        callbacks->audio_frame = in_audio;
    } else if (strcmp(slot->name, "participant_audio_frame") == 0) {
        callbacks->participant_audio_frame = in_participant_audio;
    } else if (strcmp(slot->name, "drop_user_data") == 0) {
        callbacks->drop_user_data = in_drop;
    } else {
        trill_event_function function = in_event;
        memcpy(member, &function, sizeof function);
    }
}

/* Each function for sessions, on one that is over. */
static void use_after_the_end(trill_engine *e) {
    trill_video_frame frame = TRILL_VIDEO_FRAME_INIT;
    trill_participants *participants = NULL;
    static const uint8_t plane[4];
    const int16_t samples[2] = {0, 0};
    const float floats[2] = {0, 0};
    int32_t processing = 0;
    int done = 0;
    frame.y = frame.u = frame.v = plane;
    frame.stride_y = frame.stride_u = frame.stride_v = 2;
    frame.width = frame.height = 2;
#define GONE(call) CHECK((call) == TRILL_STATUS_SESSION_NOT_FOUND)
    GONE(trill_session_push_audio(e, "s", samples, 2, NULL));
    GONE(trill_session_push_audio_float(e, "s", floats, 2, NULL));
    GONE(trill_session_push_video(e, "s", &frame, NULL));
    GONE(trill_session_participants(e, "s", &participants, NULL));
    GONE(trill_session_set_voice_processing(e, "s", TRILL_VOICE_NONE, NULL));
    GONE(trill_session_voice_processing(e, "s", &processing, NULL));
    GONE(trill_session_choose_device(e, "s", TRILL_DEVICE_KIND_MICROPHONE, NULL, TRILL_DEVICE_POLICY_FALL_BACK, NULL));
    GONE(trill_session_set_volume(e, "s", TRILL_DEVICE_KIND_SPEAKER, 1, NULL));
    OK(trill_session_set_muted(e, "s", TRILL_SOURCE_MICROPHONE, 1, on_done, &done, error));
    OK(trill_session_unpublish(e, "s", TRILL_SOURCE_MICROPHONE, on_done, &done, error));
    OK(trill_session_subscribe(e, "s", "t", 1, on_done, &done, error));
    OK(trill_session_send_data(e, "s", NULL, 0, NULL, 1, NULL, 0, on_done, &done, error));
    OK(trill_session_end(e, "s", on_done, &done, error));
    wait_for("what is asked of a session that is over", &done, 5);
}

/* `slot` is NULL for the completion of the start, and for the engine's own function for events. */
static void play(const struct slot *slot, int by_engine) {
    trill_engine_callbacks engine_callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    trill_session_callbacks callbacks = TRILL_SESSION_CALLBACKS_INIT;
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    enum how how = slot ? slot->how : PLAIN;
    round_of r = {0};
    const char *name = slot ? slot->name : by_engine ? "the engine's callback" : "the completion of the start";
    fprintf(stderr, "inside %s\n", name);
    callbacks.user_data = &r;
    callbacks.drop_user_data = on_drop;
    if (slot != NULL) {
        set(&callbacks, slot);
    }
    if (by_engine) {
        engine_callbacks.user_data = &r;
        engine_callbacks.event = in_event;
    }
    settings.audio_source = TRILL_AUDIO_SOURCE_TONE;
    settings.audio_tone_hz = 300;
    settings.statistics_interval_ms = 100;
    if (how == DEVICES) {
        /* There is one, or there is none: either is told. */
        settings.audio_source = TRILL_AUDIO_SOURCE_MICROPHONE;
    }
    OK(trill_engine_new(NULL, &engine_callbacks, &r.engine, error));
    OK(trill_session_start(r.engine, "s", how == CUT ? relay : url,
                           how == LISTENING ? listeners_token : how == MEETING ? meeting_token : alices_token, &settings,
                           &callbacks, slot || by_engine ? on_start : in_start, &r, error));
    wait_for("the start", &r.started, 1);
    if (how == ASKED) {
        OK(trill_session_end(r.engine, "s", on_done, &r.ended, error));
    }
    wait_for(name, &r.called, 1);
    wait_for("the end", &r.ended, how == ASKED ? 2 : 1);
    wait_for("the log-out", &r.logged_out, 1);
    wait_for("the user_data", &r.dropped, 1);
    use_after_the_end(r.engine);
    CHECK(trill_engine_free(r.engine) == TRILL_STATUS_OK);
    CHECK(r.dropped == 1);
}

static volatile int going = 1;

static void rest(void) {
    const struct timespec pause = {0, 300000000};
    nanosleep(&pause, NULL);
}

static void *bob(void *unused) {
    trill_engine_callbacks none = TRILL_ENGINE_CALLBACKS_INIT;
    trill_engine *e = NULL;
    (void)unused;
    OK(trill_engine_new(NULL, &none, &e, error));
    while (going) {
        trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
        int done = 0;
        settings.audio_source = TRILL_AUDIO_SOURCE_TONE;
        settings.video_source = TRILL_VIDEO_SOURCE_TEST_PICTURE;
        settings.video_width = 160;
        settings.video_height = 90;
        settings.video_fps = 10;
        OK(trill_session_start(e, "s", url, bobs_token, &settings, NULL, on_done, &done, error));
        wait_for("bob", &done, 1);
        rest(), rest(), rest();
        OK(trill_session_send_data(e, "s", (const uint8_t *)"hello", 5, NULL, 1, NULL, 0, on_done, &done, error));
        OK(trill_session_set_muted(e, "s", TRILL_SOURCE_CAMERA, 1, on_done, &done, error));
        rest();
        OK(trill_session_set_muted(e, "s", TRILL_SOURCE_CAMERA, 0, on_done, &done, error));
        rest();
        OK(trill_session_unpublish(e, "s", TRILL_SOURCE_CAMERA, on_done, &done, error));
        rest();
        OK(trill_session_end(e, "s", on_done, &done, error));
        wait_for("bob's end", &done, 6);
    }
    CHECK(trill_engine_free(e) == TRILL_STATUS_OK);
    return NULL;
}

int main(int argc, char **argv) {
    size_t part, parts, at;
    pthread_t thread;
    CHECK(argc == 9);
    part = (size_t)atoi(argv[1]), parts = (size_t)atoi(argv[2]);
    url = argv[3], relay = argv[4], alices_token = argv[5], listeners_token = argv[6], bobs_token = argv[7];
    meeting_token = argv[8];
    CHECK(pthread_create(&thread, NULL, bob, NULL) == 0);
    if (part == 0) {
        play(NULL, 0);
        play(NULL, 1);
    }
    for (at = part; at < SLOTS; at += parts) {
        play(&slots[at], 0);
    }
    going = 0;
    CHECK(pthread_join(thread, NULL) == 0);
    printf("ended\n");
    return 0;
}
