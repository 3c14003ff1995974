/* What an app can do wrong, without a server: each is refused with its status and a text, and nothing breaks. */
#include "check.h"

static int called, dropped;

static void on_user(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    *(int32_t *)ud = status;
    CHECK(user == NULL && error != NULL && error->status == status && error->message[0] != 0);
    count(&called);
}

static void on_call(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    *(int32_t *)ud = status;
    CHECK(call == NULL && error != NULL);
    count(&called);
}

static void on_done(void *ud, int32_t status, const trill_error *error) {
    *(int32_t *)ud = status;
    CHECK((status == 0) == (error == NULL));
    count(&called);
}

static void on_statistics(void *ud, int32_t status, const trill_statistics *statistics, const trill_error *error) {
    *(int32_t *)ud = status;
    CHECK(statistics == NULL && error != NULL);
    count(&called);
}

static void never(void *ud, int32_t status, const trill_error *error) {
    (void)ud, (void)status, (void)error;
    CHECK(!"a completion of a call that was refused");
}

static void drop(void *ud) {
    CHECK(ud == &dropped);
    count(&dropped);
}

static void free_inside(void *ud, int32_t status, const trill_error *error) {
    CHECK(status == TRILL_STATUS_OK && error == NULL);
    CHECK(trill_engine_free(ud) == TRILL_STATUS_IN_CALLBACK);
    CHECK(trill_engine_next_event(ud, 0, NULL, NULL) != TRILL_STATUS_OK);
    count(&called);
}

/* Refused with that status, and a text. */
#define REFUSED(expected, call)                                                                                        \
    do {                                                                                                               \
        trill_error *refusal = NULL;                                                                                   \
        trill_error **error = &refusal;                                                                                \
        int32_t status = (call);                                                                                       \
        if (status != (expected)) {                                                                                    \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, trill_status_name(status));                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
        CHECK(refusal != NULL && refusal->status == status && strlen(refusal->message) > 5);                           \
        trill_error_free(refusal);                                                                                     \
    } while (0)

#define WRONG(call) REFUSED(TRILL_STATUS_INVALID_ARGUMENT, call)

static void null_pointers(trill_engine *e) {
    trill_engine *none = NULL;
    trill_user *user = NULL;
    trill_call *call = NULL;
    trill_participants *participants = NULL;
    trill_event *event = NULL;
    trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
    trill_video_frame frame = TRILL_VIDEO_FRAME_INIT;
    (void)frame;
    WRONG(trill_engine_new(NULL, NULL, NULL, error));
    WRONG(trill_engine_next_event(none, 0, &event, error));
    WRONG(trill_engine_next_event(e, 0, NULL, error));
    WRONG(trill_login(none, "http://x", "t", NULL, NULL, error));
    WRONG(trill_login(e, NULL, "t", NULL, NULL, error));
    WRONG(trill_login(e, "http://x", NULL, NULL, NULL, error));
    WRONG(trill_logout(none, NULL, NULL, error));
    WRONG(trill_logged_in_user(none, &user, error));
    WRONG(trill_logged_in_user(e, NULL, error));
    WRONG(trill_call_initiate(none, "bob", 1, NULL, NULL, NULL, error));
    WRONG(trill_call_initiate(e, NULL, 1, NULL, NULL, NULL, error));
    WRONG(trill_call_accept(none, "s", NULL, NULL, error));
    WRONG(trill_call_accept(e, NULL, NULL, NULL, error));
    WRONG(trill_call_reject(none, "s", TRILL_REJECT_BUSY, NULL, NULL, error));
    WRONG(trill_call_reject(e, NULL, TRILL_REJECT_BUSY, NULL, NULL, error));
    WRONG(trill_call_cancel(none, "s", NULL, NULL, error));
    WRONG(trill_call_cancel(e, NULL, NULL, NULL, error));
    WRONG(trill_call_end(none, "s", NULL, NULL, error));
    WRONG(trill_call_end(e, NULL, NULL, NULL, error));
    WRONG(trill_call_details(none, "s", NULL, NULL, error));
    WRONG(trill_call_details(e, NULL, NULL, NULL, error));
    WRONG(trill_call_active(none, &call, error));
    WRONG(trill_call_active(e, NULL, error));
    WRONG(trill_call_clear_active(none, NULL, NULL, error));
    WRONG(trill_call_listener_add(none, "l", &listener, error));
    WRONG(trill_call_listener_add(e, NULL, &listener, error));
    WRONG(trill_call_listener_add(e, "l", NULL, error));
    WRONG(trill_call_listener_remove(none, "l", error));
    WRONG(trill_call_listener_remove(e, NULL, error));
    WRONG(trill_session_token(none, "s", NULL, NULL, error));
    WRONG(trill_session_token(e, NULL, NULL, NULL, error));
    WRONG(trill_session_start(none, "s", "http://x", "t", NULL, NULL, never, NULL, error));
    WRONG(trill_session_start(e, NULL, "http://x", "t", NULL, NULL, never, NULL, error));
    WRONG(trill_session_start(e, "s", NULL, "t", NULL, NULL, never, NULL, error));
    WRONG(trill_session_start(e, "s", "http://x", NULL, NULL, NULL, never, NULL, error));
    WRONG(trill_session_end(none, "s", never, NULL, error));
    WRONG(trill_session_end(e, NULL, never, NULL, error));
    WRONG(trill_session_set_muted(e, NULL, 1, 1, never, NULL, error));
    WRONG(trill_session_unpublish(e, NULL, 1, never, NULL, error));
    WRONG(trill_session_subscribe(e, NULL, "t", 1, never, NULL, error));
    WRONG(trill_session_subscribe(e, "s", NULL, 1, never, NULL, error));
    WRONG(trill_session_send_data(e, NULL, NULL, 0, NULL, 1, NULL, 0, never, NULL, error));
    WRONG(trill_session_send_data(e, "s", NULL, 5, NULL, 1, NULL, 0, never, NULL, error));
    WRONG(trill_session_send_data(e, "s", NULL, 0, NULL, 1, NULL, 3, never, NULL, error));
    WRONG(trill_session_participants(e, NULL, &participants, error));
    WRONG(trill_session_participants(e, "s", NULL, error));
    WRONG(trill_session_statistics(e, NULL, NULL, NULL, error));
    WRONG(trill_session_push_audio(e, NULL, NULL, 0, error));
    WRONG(trill_session_push_audio_float(none, "s", NULL, 0, error));
    WRONG(trill_session_push_video(e, NULL, &frame, error));
    WRONG(trill_call_log_fetch(none, NULL, NULL, NULL, error));
    CHECK(trill_engine_free(NULL) == TRILL_STATUS_OK);
    trill_error_free(NULL);
    trill_user_free(NULL);
    trill_call_free(NULL);
    trill_participants_free(NULL);
    trill_event_free(NULL);
    /* An error that nobody wants. */
    CHECK(trill_logout(NULL, NULL, NULL, NULL) == TRILL_STATUS_INVALID_ARGUMENT);
    CHECK(user == NULL && call == NULL && participants == NULL && event == NULL);
}

static void wrong_values(trill_engine *e) {
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_session_callbacks callbacks = TRILL_SESSION_CALLBACKS_INIT;
    trill_call_options options = TRILL_CALL_OPTIONS_INIT;
    trill_call_log_filter filter = TRILL_CALL_LOG_FILTER_INIT;
    trill_engine_config config = TRILL_ENGINE_CONFIG_INIT;
    trill_engine *out = NULL;
    trill_devices *devices = NULL;
    trill_device_formats *formats = NULL;
    trill_wake *wake = NULL;
    char *long_text = malloc(100000);
    int i;
    const int32_t wrong[] = {-1, 99, INT32_MIN, INT32_MAX};
    for (i = 0; i < 4; i++) {
        WRONG(trill_call_initiate(e, "bob", wrong[i], NULL, NULL, NULL, error));
        WRONG(trill_call_reject(e, "s", wrong[i], NULL, NULL, error));
        WRONG(trill_session_set_muted(e, "s", wrong[i], 1, never, NULL, error));
        WRONG(trill_log_set(wrong[i], NULL, NULL, error));
        WRONG(trill_devices_list(wrong[i], &devices, error));
        WRONG(trill_device_formats_read(wrong[i], NULL, &formats, error));
        WRONG(trill_session_set_voice_processing(e, "s", wrong[i], error));
        filter.category = wrong[i];
        WRONG(trill_call_log_fetch(e, &filter, NULL, NULL, error));
        filter.category = 0;
        WRONG(trill_session_choose_device(e, "s", wrong[i], NULL, TRILL_DEVICE_POLICY_FALL_BACK, error));
        WRONG(trill_session_choose_device(e, "s", TRILL_DEVICE_KIND_CAMERA, NULL, wrong[i], error));
        WRONG(trill_session_set_volume(e, "s", wrong[i], 1, error));
        filter.recording = wrong[i] == -1 ? -2 : wrong[i];
        WRONG(trill_call_log_fetch(e, &filter, NULL, NULL, error));
        filter.recording = 0;
        settings.device_policy = wrong[i];
        WRONG(trill_session_start(e, "s", "http://x", "t", &settings, NULL, never, NULL, error));
        settings.device_policy = 0;
        settings.simulcast = wrong[i];
        WRONG(trill_session_start(e, "s", "http://x", "t", &settings, NULL, never, NULL, error));
        settings.simulcast = 0;
        settings.voice_processing = wrong[i];
        WRONG(trill_session_start(e, "s", "http://x", "t", &settings, NULL, never, NULL, error));
        settings.voice_processing = 0;
        options.receiver_type = wrong[i];
        WRONG(trill_call_initiate(e, "bob", TRILL_CALL_TYPE_AUDIO, &options, NULL, NULL, error));
        filter.status = wrong[i];
        WRONG(trill_call_log_fetch(e, &filter, NULL, NULL, error));
        settings.audio_source = wrong[i];
        WRONG(trill_session_start(e, "s", "http://x", "t", &settings, NULL, never, NULL, error));
        settings.audio_source = 0;
        settings.video_source = wrong[i];
        WRONG(trill_session_start(e, "s", "http://x", "t", &settings, NULL, never, NULL, error));
        settings.video_source = 0;
    }
    WRONG(trill_session_choose_device(e, "s", TRILL_DEVICE_KIND_VIDEO_OUTPUT, NULL, 0, error));
    WRONG(trill_session_set_volume(e, "s", TRILL_DEVICE_KIND_CAMERA, 1, error));
    options.receiver_type = 0;
    options.metadata = "{";
    WRONG(trill_call_initiate(e, "bob", TRILL_CALL_TYPE_AUDIO, &options, NULL, NULL, error));
    WRONG(trill_login(e, "http://\xff", "t", NULL, NULL, error));
    WRONG(trill_call_accept(e, "a\xc3", NULL, NULL, error));
    WRONG(trill_call_accept(e, "", NULL, NULL, error));
    WRONG(trill_call_listener_remove(e, "nobody", error));
    config.worker_threads = 17;
    WRONG(trill_engine_new(&config, NULL, &out, error));
    REFUSED(TRILL_STATUS_MALFORMED, trill_wake_read((const uint8_t *)"a.b.c", 5, &wake, error));
    REFUSED(TRILL_STATUS_MALFORMED, trill_wake_read(NULL, 0, &wake, error));
    memset(long_text, 'x', 99999);
    REFUSED(TRILL_STATUS_TOO_LARGE, trill_wake_read((const uint8_t *)long_text, 5000, &wake, error));
    REFUSED(TRILL_STATUS_TOO_LARGE, trill_wake_read((const uint8_t *)long_text, 99999, &wake, error));
    CHECK(devices == NULL && wake == NULL);
    long_text[99999] = 0;
    REFUSED(TRILL_STATUS_TOO_LARGE, trill_login(e, "http://x", long_text, NULL, NULL, error));
    REFUSED(TRILL_STATUS_TOO_LARGE,
            trill_session_send_data(e, "s", (uint8_t *)long_text, 99999, NULL, 1, NULL, 0, never, NULL, error));
    free(long_text);
    /* A start that is refused leaves the user_data to the app. */
    callbacks.user_data = &dropped;
    callbacks.drop_user_data = drop;
    settings.audio_source = TRILL_AUDIO_SOURCE_FILE;
    WRONG(trill_session_start(e, "s", "http://x", "t", &settings, &callbacks, never, NULL, error));
    settings.audio_source = TRILL_AUDIO_SOURCE_NONE;
    settings.video_output_folder = "/nowhere/at/all";
    REFUSED(TRILL_STATUS_MEDIA_FILE,
            trill_session_start(e, "s", "http://x", "t", &settings, &callbacks, never, NULL, error));
    CHECK(dropped == 0);
}

/* Takes a struct, without being harmed by it: the status says whether it was taken. */
typedef int32_t (*taker)(trill_engine *engine, const void *given);

static int32_t take_engine(const void *config, const void *callbacks) {
    trill_engine *engine = NULL;
    int32_t status = trill_engine_new(config, callbacks, &engine, NULL);
    CHECK((status == TRILL_STATUS_OK) == (engine != NULL));
    CHECK(trill_engine_free(engine) == TRILL_STATUS_OK);
    return status;
}

static int32_t take_config(trill_engine *e, const void *given) {
    (void)e;
    return take_engine(given, NULL);
}

static int32_t take_callbacks(trill_engine *e, const void *given) {
    (void)e;
    return take_engine(NULL, given);
}

static int32_t take_listener(trill_engine *e, const void *given) {
    return trill_call_listener_add(e, "v", given, NULL);
}

static int32_t take_options(trill_engine *e, const void *given) {
    return trill_call_initiate(e, "bob", TRILL_CALL_TYPE_AUDIO, given, NULL, NULL, NULL);
}

static int32_t take_filter(trill_engine *e, const void *given) {
    return trill_call_log_fetch(e, given, NULL, NULL, NULL);
}

static int32_t take_session(trill_engine *e, const void *settings, const void *session) {
    static int number;
    char id[32];
    snprintf(id, sizeof id, "version %d", number++);
    return trill_session_start(e, id, "http://127.0.0.1:1", "t", settings, session, NULL, NULL, NULL);
}

static int32_t take_settings(trill_engine *e, const void *given) {
    return take_session(e, given, NULL);
}

static int32_t take_session_callbacks(trill_engine *e, const void *given) {
    return take_session(e, NULL, given);
}

static int32_t take_frame(trill_engine *e, const void *given) {
    return trill_session_push_video(e, "gone", given, NULL);
}

/* Every struct that an app fills in, as an older and as a newer header has it: in memory of just that size. */
static void sizes(trill_engine *e, size_t ours, taker take, int32_t taken) {
    const size_t none[] = {0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX};
    const size_t newer = ours + 3 * sizeof(void *);
    size_t i, *given;
    /* The oldest of all, with nothing but its size. */
    given = malloc(sizeof *given);
    *given = sizeof *given;
    CHECK(take(e, given) == taken);
    for (i = 0; i < sizeof none / sizeof *none; i++) {
        *given = none[i];
        CHECK(take(e, given) == TRILL_STATUS_INVALID_ARGUMENT);
    }
    free(given);
    given = calloc(1, ours);
    *given = ours;
    CHECK(take(e, given) == taken);
    free(given);
    given = calloc(1, newer);
    *given = newer;
    CHECK(take(e, given) == taken);
    /* What it asks for in its last byte is not known here. */
    ((unsigned char *)given)[newer - 1] = 1;
    CHECK(take(e, given) == TRILL_STATUS_INVALID_ARGUMENT);
    free(given);
}

static void versions(trill_engine *e) {
    struct {
        trill_call_options options;
        uint64_t newer;
    } future;
    trill_call_options options = TRILL_CALL_OPTIONS_INIT;
    int32_t status = 0;
    int before;
    memset(&future, 0, sizeof future);
    future.options.struct_size = sizeof future;
    before = called;
    OK(trill_call_initiate(e, "bob", TRILL_CALL_TYPE_AUDIO, &future.options, on_call, &status, error));
    wait_for("the answer", &called, before + 1);
    CHECK(status == TRILL_STATUS_NOT_LOGGED_IN);
    future.newer = 1;
    WRONG(trill_call_initiate(e, "bob", TRILL_CALL_TYPE_AUDIO, &future.options, NULL, NULL, error));
    /* An older program's struct ends before the metadata: what follows is not ours to read. */
    options.struct_size = offsetof(trill_call_options, metadata);
    options.metadata = (const char *)1;
    OK(trill_call_initiate(e, "bob", TRILL_CALL_TYPE_AUDIO, &options, NULL, NULL, error));
    sizes(e, sizeof(trill_engine_config), take_config, TRILL_STATUS_OK);
    sizes(e, sizeof(trill_engine_callbacks), take_callbacks, TRILL_STATUS_OK);
    sizes(e, sizeof(trill_call_listener), take_listener, TRILL_STATUS_OK);
    sizes(e, sizeof(trill_call_options), take_options, TRILL_STATUS_OK);
    sizes(e, sizeof(trill_call_log_filter), take_filter, TRILL_STATUS_OK);
    sizes(e, sizeof(trill_session_settings), take_settings, TRILL_STATUS_OK);
    sizes(e, sizeof(trill_session_callbacks), take_session_callbacks, TRILL_STATUS_OK);
    sizes(e, sizeof(trill_video_frame), take_frame, TRILL_STATUS_SESSION_NOT_FOUND);
}

static int lines;

static void log_line(void *ud, int32_t level, const char *target, const char *message) {
    CHECK(ud == &lines && strncmp(target, "trill", 5) == 0);
    if (level == TRILL_LOG_ERROR && strstr(message, "freed before") != NULL) {
        count(&lines);
    }
}

static void free_lent(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    CHECK(status != TRILL_STATUS_OK && user == NULL);
    CHECK(trill_error_free((trill_error *)error) == TRILL_STATUS_INVALID_ARGUMENT && error->status == status);
    count(ud);
}

static void *free_wake(void *wake) {
    return trill_wake_free(wake) == TRILL_STATUS_OK ? wake : NULL;
}

/* What is freed twice, was lent, or is of another kind: refused, with a line in the log. */
static void not_to_be_freed(trill_engine *e, trill_engine *polled) {
    static const char payload[] = "h.eyJ1c2UiOiJ3YWtlIiwiZXhwIjoxLCJzdWIiOiJib2IiLCJzZXNzaW9uSWQiOiJzMSIsI"
                                  "mZyb20iOnsidWlkIjoiYWxpY2UiLCJuYW1lIjoiQWxpY2UifSwidHlwZSI6IlZJREVPIn0.s";
    trill_error *refusal = NULL;
    trill_wake *wake = NULL;
    trill_devices *devices = NULL;
    trill_event *event = NULL;
    trill_user of_the_app = {0};
    pthread_t threads[8];
    int i, answered = 0, freed = 0;
#define NOT_OURS(call) CHECK((call) == TRILL_STATUS_INVALID_ARGUMENT)
    OK(trill_log_set(TRILL_LOG_ERROR, log_line, &lines, error));
    WRONG(trill_login(NULL, "http://x", "t", NULL, NULL, error));
    NOT_OURS(trill_login(NULL, "http://x", "t", NULL, NULL, &refusal));
    CHECK(trill_error_free(refusal) == TRILL_STATUS_OK);
    NOT_OURS(trill_error_free(refusal));
    CHECK(lines == 1);
    OK(trill_devices_list(TRILL_DEVICE_KIND_CAMERA, &devices, error));
    NOT_OURS(trill_participants_free((trill_participants *)devices));
    NOT_OURS(trill_user_free(&of_the_app));
    NOT_OURS(trill_call_free((trill_call *)(size_t)8));
    CHECK(trill_devices_free(devices) == TRILL_STATUS_OK);
    NOT_OURS(trill_devices_free(devices));
    NOT_OURS(trill_device_formats_free((trill_device_formats *)(size_t)8));
    OK(trill_session_start(polled, "event", "http://127.0.0.1:1", "t", NULL, NULL, NULL, NULL, error));
    OK(trill_engine_next_event(polled, 20000, &event, error));
    CHECK(event->kind == TRILL_EVENT_SESSION_ENDED && event->error != NULL);
    NOT_OURS(trill_error_free((trill_error *)event->error));
    CHECK(trill_event_free(event) == TRILL_STATUS_OK);
    NOT_OURS(trill_event_free(event));
    OK(trill_login(e, "http://127.0.0.1:1", "t", free_lent, &answered, error));
    wait_for("the answer", &answered, 1);
    /* Of many that free the same, one does. */
    OK(trill_wake_read((const uint8_t *)payload, sizeof payload - 1, &wake, error));
    for (i = 0; i < 8; i++) {
        CHECK(pthread_create(&threads[i], NULL, free_wake, wake) == 0);
    }
    for (i = 0; i < 8; i++) {
        void *result = NULL;
        CHECK(pthread_join(threads[i], &result) == 0);
        freed += result != NULL;
    }
    CHECK(freed == 1 && lines == 1 + 5 + 2 + 1 + 7);
    OK(trill_log_set(TRILL_LOG_OFF, NULL, NULL, error));
#ifdef FORGETS
    /* For a search for leaks to find. */
    OK(trill_wake_read((const uint8_t *)payload, sizeof payload - 1, &wake, error));
    wake = NULL;
#endif
}

static void stale_ids(trill_engine *e) {
    trill_participants *participants = NULL;
    trill_call *call = NULL;
    trill_user *user = NULL;
    trill_video_frame frame = TRILL_VIDEO_FRAME_INIT;
    int16_t samples[2] = {0, 0};
    int32_t status = 0;
    int before = called;
    OK(trill_call_accept(e, "gone", on_call, &status, error));
    wait_for("the answer", &called, before + 1);
    CHECK(status == TRILL_STATUS_NOT_LOGGED_IN);
    OK(trill_session_end(e, "gone", on_done, &status, error));
    wait_for("the answer", &called, before + 2);
    CHECK(status == TRILL_STATUS_SESSION_NOT_FOUND);
    OK(trill_session_statistics(e, "gone", on_statistics, &status, error));
    wait_for("the answer", &called, before + 3);
    CHECK(status == TRILL_STATUS_SESSION_NOT_FOUND);
    REFUSED(TRILL_STATUS_SESSION_NOT_FOUND, trill_session_participants(e, "gone", &participants, error));
    REFUSED(TRILL_STATUS_SESSION_NOT_FOUND, trill_session_push_audio(e, "gone", samples, 2, error));
    REFUSED(TRILL_STATUS_SESSION_NOT_FOUND, trill_session_push_video(e, "gone", &frame, error));
    REFUSED(TRILL_STATUS_SESSION_NOT_FOUND, trill_session_set_voice_processing(e, "gone", TRILL_VOICE_NONE, error));
    REFUSED(TRILL_STATUS_SESSION_NOT_FOUND, trill_session_voice_processing(e, "gone", &status, error));
    REFUSED(TRILL_STATUS_SESSION_NOT_FOUND,
            trill_session_choose_device(e, "gone", TRILL_DEVICE_KIND_SPEAKER, NULL, TRILL_DEVICE_POLICY_KEEP, error));
    REFUSED(TRILL_STATUS_SESSION_NOT_FOUND,
            trill_session_set_volume(e, "gone", TRILL_DEVICE_KIND_MICROPHONE, 0.5f, error));
    REFUSED(TRILL_STATUS_NOT_LOGGED_IN, trill_logged_in_user(e, &user, error));
    REFUSED(TRILL_STATUS_CALL_NOT_FOUND, trill_call_active(e, &call, error));
}

int main(void) {
    trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
    trill_session_callbacks session = TRILL_SESSION_CALLBACKS_INIT;
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_engine *engine = NULL, *polled = NULL;
    trill_event *event = NULL;
    int32_t status = 0;
    const uint32_t alone[] = {1, 999, 1000, 86400000, 86400001, UINT32_MAX};
    char id[16];
    size_t i;
    int before;

    CHECK(strcmp(trill_status_name(TRILL_STATUS_CALLING_SELF), "calling_self") == 0);
    CHECK(strcmp(trill_status_name(TRILL_STATUS_OK), "ok") == 0 && strcmp(trill_status_name(7), "unknown") == 0);
    CHECK(strlen(trill_status_text(TRILL_STATUS_IN_CALLBACK)) > 10 && strlen(trill_status_text(12345)) > 10);

    callbacks.user_data = &dropped;
    callbacks.drop_user_data = drop;
    OK(trill_engine_new(NULL, &callbacks, &engine, error));
    OK(trill_engine_new(NULL, NULL, &polled, error));
    null_pointers(engine);
    wrong_values(engine);
    versions(engine);
    stale_ids(engine);
    not_to_be_freed(engine, polled);
    REFUSED(TRILL_STATUS_NOT_SUPPORTED, trill_engine_next_event(engine, 0, &event, error));
    REFUSED(TRILL_STATUS_TIMED_OUT, trill_engine_next_event(polled, 0, &event, error));

    /* Inside a callback, on both kinds of engine. */
    before = called;
    OK(trill_logout(engine, free_inside, engine, error));
    wait_for("the logout", &called, before + 1);
    OK(trill_logout(polled, free_inside, polled, error));
    while (called < before + 2) {
        CHECK(trill_engine_next_event(polled, 100, &event, NULL) == TRILL_STATUS_TIMED_OUT);
    }

    /* A listener of the same id replaces the earlier one, whose user_data is released. */
    listener.user_data = &dropped;
    listener.drop_user_data = drop;
    OK(trill_call_listener_add(engine, "l", &listener, error));
    OK(trill_call_listener_add(engine, "l", &listener, error));
    CHECK(dropped == 1);
    OK(trill_call_listener_remove(engine, "l", error));
    CHECK(dropped == 2);

    /* A setting that is out of range is told as a failure of the start. */
    settings.statistics_interval_ms = 99;
    before = called;
    OK(trill_session_start(engine, "often", "http://127.0.0.1:1", "t", &settings, NULL, on_done, &status, error));
    wait_for("the refusal", &called, before + 1);
    CHECK(status == TRILL_STATUS_INVALID_ARGUMENT);
    settings.statistics_interval_ms = 0;
    for (i = 0; i < sizeof alone / sizeof *alone; i++) {
        settings.left_alone_timeout_ms = alone[i];
        before = called;
        snprintf(id, sizeof id, "alone %d", (int)i);
        OK(trill_session_start(engine, id, "http://127.0.0.1:1", "t", &settings, NULL, on_done, &status, error));
        wait_for("the refusal", &called, before + 1);
        CHECK(status == (alone[i] == 1000 || alone[i] == 86400000 ? TRILL_STATUS_SERVER_UNREACHABLE
                                                                  : TRILL_STATUS_INVALID_ARGUMENT));
    }

    settings.left_alone_timeout_ms = 0;
    settings.video_source = TRILL_VIDEO_SOURCE_PUSHED;
    for (i = 0; i < 3; i++) {
        settings.video_width = i == 0 ? 15 : 16;
        settings.video_height = i == 1 ? 8193 : 8192;
        settings.video_fps = i == 2 ? 121 : 120;
        before = called;
        snprintf(id, sizeof id, "video %d", (int)i);
        OK(trill_session_start(engine, id, "http://127.0.0.1:1", "t", &settings, NULL, on_done, &status, error));
        wait_for("the refusal", &called, before + 1);
        CHECK(status == TRILL_STATUS_INVALID_ARGUMENT);
    }

    /* A session that cannot be, on the other hand, is told of once. */
    session.user_data = &dropped;
    session.drop_user_data = drop;
    before = called;
    OK(trill_session_start(engine, "s", "http://127.0.0.1:1", "t", NULL, &session, on_done, &status, error));
    wait_for("the failure", &called, before + 1);
    CHECK(status == TRILL_STATUS_SERVER_UNREACHABLE);
    wait_for("the user_data", &dropped, 3);

    /* Freed while operations run: each completion is called, and the engine is gone. */
    before = called;
    OK(trill_login(polled, "http://127.0.0.1:1", "t", on_user, &status, error));
    CHECK(trill_engine_free(polled) == TRILL_STATUS_OK);
    CHECK(called == before + 1);
    OK(trill_login(engine, "http://192.0.2.1:9", "t", on_user, &status, error));
    CHECK(trill_engine_free(engine) == TRILL_STATUS_OK);
    CHECK(called == before + 2);
    CHECK(dropped == 4);
    CHECK(trill_engine_free(engine) == TRILL_STATUS_INVALID_ARGUMENT);
    WRONG(trill_login(engine, "http://x", "t", on_user, &status, error));
    CHECK(called == before + 2);
    printf("refused\n");
    return 0;
}
