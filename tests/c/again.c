/*
 * The next session of an id can begin in each function that is told of the end of one. No server is there: each ends at once.
 */
#include "check.h"

#define SESSIONS 3

static trill_engine *engine;
static int begun, told, answered, ended[SESSIONS];

static void on_done(void *ud, int32_t status, const trill_error *error) {
    (void)ud;
    CHECK(status == TRILL_STATUS_SERVER_UNREACHABLE && error != NULL);
    count(&answered);
}

static void on_ended(void *ud, const trill_event *event);

static void start(void) {
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_session_callbacks callbacks = TRILL_SESSION_CALLBACKS_INIT;
    settings.audio_source = TRILL_AUDIO_SOURCE_NONE;
    callbacks.user_data = &ended[begun++];
    callbacks.ended = on_ended;
    OK(trill_session_start(engine, "room", "ws://127.0.0.1:1", "token", &settings, &callbacks, on_done, NULL, error));
}

/* Gets every event, before the session's own function does. */
static void on_event(void *ud, const trill_event *event) {
    (void)ud;
    if (event->kind == TRILL_EVENT_SESSION_ENDED) {
        if (begun == 1) {
            start();
        }
        count(&told);
    }
}

static void on_ended(void *ud, const trill_event *event) {
    CHECK(event->kind == TRILL_EVENT_SESSION_ENDED);
    if (ud == &ended[1]) {
        start();
    }
    count(ud);
}

int main(void) {
    trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    int i;
    callbacks.event = on_event;
    OK(trill_engine_new(NULL, &callbacks, &engine, error));
    start();
    wait_for("the ends", &told, SESSIONS);
    wait_for("the answers", &answered, SESSIONS);
    CHECK(trill_engine_free(engine) == TRILL_STATUS_OK);
    for (i = 0; i < SESSIONS; i++) {
        CHECK(ended[i] == 1);
    }
    printf("again\n");
    return 0;
}
