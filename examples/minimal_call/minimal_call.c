/*
 * The minimal call: alice rings bob, says what is in a WAV file, and writes what he says to another.
 *
 *     cc minimal_call.c $(pkg-config --cflags --libs trill) -o minimal_call
 *     ./minimal_call http://127.0.0.1:7880 TOKEN bob hello.wav heard.wav      (Enter hangs up)
 */
#include <stdio.h>
#include <trill.h>

static trill_engine *engine;
static char session_id[129];
static char **arguments;

static int failed(int32_t status, const trill_error *error) {
    if (status != TRILL_STATUS_OK) {
        fprintf(stderr, "%s\n", error ? error->message : trill_status_text(status));
    }
    return status != TRILL_STATUS_OK;
}

static void on_token(void *ud, int32_t status, const trill_session_access *access, const trill_error *error) {
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    if (failed(status, error)) {
        return;
    }
    settings.audio_source = TRILL_AUDIO_SOURCE_FILE;
    settings.audio_file = arguments[4];
    settings.audio_output_file = arguments[5];
    failed(trill_session_start(engine, session_id, access->url, access->token, &settings, NULL, NULL, ud, NULL), NULL);
}

static void on_accepted(void *ud, const trill_call *call, const char *by) {
    printf("%s accepted\n", by);
    snprintf(session_id, sizeof session_id, "%s", call->session_id);
    trill_session_token(engine, session_id, on_token, ud, NULL);
}

static void on_ended(void *ud, const trill_call *call, const char *by) {
    (void)ud;
    printf("the call is over after %lu ms, ended by %s\n", (unsigned long)call->duration_ms, by ? by : "nobody");
}

static void on_call(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    (void)ud, (void)call;
    failed(status, error);
}

static void on_login(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    (void)user;
    if (!failed(status, error)) {
        trill_call_initiate(engine, arguments[3], TRILL_CALL_TYPE_AUDIO, NULL, on_call, ud, NULL);
    }
}

int main(int argc, char **argv) {
    trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
    if (argc != 6) {
        fprintf(stderr, "usage: minimal_call SERVER TOKEN RECEIVER SEND.wav HEARD.wav\n");
        return 2;
    }
    arguments = argv;
    listener.outgoing_call_accepted = on_accepted;
    listener.call_ended = on_ended;
    if (trill_engine_new(NULL, &callbacks, &engine, NULL) != TRILL_STATUS_OK) {
        return 1;
    }
    trill_call_listener_add(engine, "main", &listener, NULL);
    trill_login(engine, argv[1], argv[2], on_login, NULL, NULL);
    getchar();
    trill_call_end(engine, session_id, NULL, NULL, NULL);
    return trill_engine_free(engine) == TRILL_STATUS_OK ? 0 : 1;
}
