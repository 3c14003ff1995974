/*
 * 16 threads call everything at random on a few engines, which others of them make and free meanwhile. Nothing crashes, and
 * every completion that was promised is called. It tells which function's completion was told which status.
 * usage: chaos SERVER TOKEN TOKEN SECONDS SEED
 */
#include "check.h"

#define THREADS 16
#define ENGINES 3

static trill_engine *volatile engines[ENGINES];
static const char *server, *tokens[2];
static volatile int running = 1;
static long promised, kept;

static struct outcome {
    const char *function;
    int32_t status;
} outcomes[512];
static size_t outcome_count;

/* The user_data of each completion is the name of the function that promised it. */
static void on_done(void *ud, int32_t status, const trill_error *error) {
    size_t i = 0;
    CHECK((status == 0) == (error == NULL));
    pthread_mutex_lock(&mutex);
    while (i < outcome_count && (outcomes[i].status != status || strcmp(outcomes[i].function, ud) != 0)) {
        i++;
    }
    if (i == outcome_count) {
        CHECK(outcome_count < sizeof outcomes / sizeof *outcomes);
        outcomes[outcome_count].function = ud;
        outcomes[outcome_count++].status = status;
    }
    kept++;
    pthread_mutex_unlock(&mutex);
}
static void on_user(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    CHECK((status == 0) == (user != NULL));
    on_done(ud, status, error);
}
static void on_call(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    CHECK((status == 0) == (call != NULL && call->session_id[0] != 0));
    on_done(ud, status, error);
}
static void on_access(void *ud, int32_t status, const trill_session_access *access, const trill_error *error) {
    CHECK((status == 0) == (access != NULL));
    on_done(ud, status, error);
}
static void on_pushed(void *ud, int32_t status, const trill_pushed_call *pushed, const trill_error *error) {
    CHECK((status == 0) == (pushed != NULL));
    on_done(ud, status, error);
}
static void on_log(void *ud, int32_t status, const trill_call_log_page *page, const trill_error *error) {
    CHECK((status == 0) == (page != NULL));
    on_done(ud, status, error);
}
static void on_statistics(void *ud, int32_t status, const trill_statistics *stats, const trill_error *error) {
    CHECK((status == 0) == (stats != NULL));
    on_done(ud, status, error);
}

/* What a callback is handed names its engine: calls come back into the library from all of them. */
static void on_event(void *ud, const trill_event *event) {
    trill_engine *engine = engines[(size_t)ud];
    CHECK(event->kind != 0);
    if (event->kind == TRILL_EVENT_INCOMING_RECEIVED) {
        trill_call_accept(engine, event->session_id, NULL, NULL, NULL);
    }
    if (event->session_id != NULL && event->kind >= TRILL_EVENT_SESSION_JOINED && event->kind % 3 == 0) {
        trill_session_end(engine, event->session_id, NULL, NULL, NULL);
    }
    trill_call_listener_remove(engine, "l", NULL);
}

static void on_listener(void *ud, const trill_call *call, const char *by) {
    (void)by;
    CHECK(call->session_id[0] != 0);
    trill_call_listener_remove(engines[(size_t)ud], "l", NULL);
}

static trill_engine *made(size_t at) {
    trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    trill_engine *engine = NULL;
    callbacks.user_data = (void *)at;
    callbacks.event = on_event;
    OK(trill_engine_new(NULL, &callbacks, &engine, error));
    return engine;
}

static unsigned next(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* A promise is taken back when the function refused. */
#define PROMISE(function, ...)                                                                                         \
    do {                                                                                                               \
        __atomic_add_fetch(&promised, 1, __ATOMIC_SEQ_CST);                                                            \
        if (function(__VA_ARGS__, (void *)#function, NULL) != TRILL_STATUS_OK) {                                       \
            __atomic_sub_fetch(&promised, 1, __ATOMIC_SEQ_CST);                                                        \
        }                                                                                                              \
    } while (0)

static void something(unsigned *state) {
    size_t at = next(state) % ENGINES;
    trill_engine *e = engines[at], *gone;
    const char *ids[] = {"s", "t", "nobody's", ""}, *id = ids[next(state) % 4];
    const char *receivers[] = {"alice", "bob", "nobody"};
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
    trill_video_frame frame = TRILL_VIDEO_FRAME_INIT;
    trill_participants *participants = NULL;
    trill_event *event = NULL;
    trill_call *call = NULL;
    trill_user *user = NULL;
    static uint8_t plane[64 * 64];
    int16_t samples[480] = {0};
    int32_t choice = (int32_t)(next(state) % 7) - 1;
    switch (next(state) % 28) {
    case 0:
        if (next(state) % 40 == 0) {
            trill_engine *fresh = made(at);
            gone = __atomic_exchange_n(&engines[at], fresh, __ATOMIC_SEQ_CST);
            CHECK(trill_engine_free(gone) == TRILL_STATUS_OK);
        }
        break;
    case 1: PROMISE(trill_login, e, server, tokens[at % 2], on_user); break;
    case 2: if (next(state) % 10 == 0) { PROMISE(trill_logout, e, on_done); } break;
    case 3: if (trill_logged_in_user(e, &user, NULL) == 0) { trill_user_free(user); } break;
    case 4: PROMISE(trill_call_initiate, e, receivers[next(state) % 3], choice, NULL, on_call); break;
    case 5: if (trill_call_active(e, &call, NULL) == 0) {
            PROMISE(trill_session_token, e, call->session_id, on_access);
            PROMISE(trill_call_end, e, call->session_id, on_call);
            trill_call_free(call);
        } break;
    case 6: PROMISE(trill_call_reject, e, id, choice, on_call); break;
    case 7: PROMISE(trill_call_cancel, e, id, on_call); break;
    case 8: PROMISE(trill_call_details, e, id, on_call); break;
    case 9: PROMISE(trill_call_clear_active, e, on_done); break;
    case 10:
        listener.user_data = (void *)at;
        listener.incoming_call_received = listener.call_ended = on_listener;
        trill_call_listener_add(e, id, &listener, NULL);
        break;
    case 11: trill_call_listener_remove(e, id, NULL); break;
    case 12:
        settings.audio_source = TRILL_AUDIO_SOURCE_PUSHED;
        settings.video_source = choice;
        settings.statistics_interval_ms = choice < 3 ? 0 : 100;
        PROMISE(trill_session_start, e, id, server, tokens[0], &settings, NULL, on_done);
        break;
    case 13: PROMISE(trill_session_end, e, id, on_done); break;
    case 14: PROMISE(trill_session_set_muted, e, id, choice, choice & 1, on_done); break;
    case 15: PROMISE(trill_session_unpublish, e, id, choice, on_done); break;
    case 16: PROMISE(trill_session_subscribe, e, id, "t", choice & 1, on_done); break;
    case 17: PROMISE(trill_session_send_data, e, id, plane, 64, NULL, choice & 1, NULL, 0, on_done); break;
    case 18: if (trill_session_participants(e, id, &participants, NULL) == 0) { trill_participants_free(participants); } break;
    case 19: trill_session_push_audio(e, id, samples, 480, NULL); break;
    case 20:
        frame.y = frame.u = frame.v = plane;
        frame.stride_y = frame.stride_u = frame.stride_v = 64;
        frame.width = frame.height = (uint32_t)(choice + 1) * 10;
        trill_session_push_video(e, id, &frame, NULL);
        break;
    case 21: PROMISE(trill_session_statistics, e, id, on_statistics); break;
    case 22: PROMISE(trill_call_log_fetch, e, NULL, on_log); break;
    case 24: trill_session_choose_device(e, id, choice, choice & 1 ? NULL : "any", choice & 3, NULL); break;
    case 25: trill_session_set_volume(e, id, choice, (float)choice, NULL); break;
    case 26: PROMISE(trill_call_accept, e, id, on_call); break;
    case 27: PROMISE(trill_call_from_push, e, plane, 64, on_pushed); break;
    case 23: CHECK(trill_engine_next_event(e, 0, &event, NULL) != TRILL_STATUS_OK); break;
    }
}

static void *run(void *ud) {
    unsigned state = (unsigned)(size_t)ud;
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
        something(&state);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    size_t i;
    CHECK(argc == 6);
    server = argv[1], tokens[0] = argv[2], tokens[1] = argv[3];
    printf("seed %s\n", argv[5]);
    for (i = 0; i < ENGINES; i++) {
        engines[i] = made(i);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, run, (void *)((size_t)atoi(argv[5]) + 7919 * i)) == 0);
    }
    {
        const struct timespec pause = {atoi(argv[4]), 0};
        nanosleep(&pause, NULL);
    }
    __atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (i = 0; i < ENGINES; i++) {
        CHECK(trill_engine_free(engines[i]) == TRILL_STATUS_OK);
    }
    fprintf(stderr, "%ld completions promised, %ld kept\n", promised, kept);
    CHECK(promised == kept && kept > 0);
    for (i = 0; i < outcome_count; i++) {
        printf("told %s %s\n", outcomes[i].function, trill_status_name(outcomes[i].status));
    }
    printf("done\n");
    return 0;
}
