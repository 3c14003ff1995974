/*
 * A panic inside the engine, planted at four places, as an app sees it: its status, an event, and a library that goes on.
 * Needs a library with the feature planted-faults. usage: fault URL TOKEN TOKEN
 */
#include "check.h"

static int ended, dropped, joined;

struct answer {
    int32_t status;
    int came;
};

static void on_done(void *ud, int32_t status, const trill_error *error) {
    struct answer *answer = ud;
    CHECK((status == TRILL_STATUS_OK) == (error == NULL));
    answer->status = status;
    count(&answer->came);
}

static void on_joined(void *ud, const trill_event *event) {
    (void)ud, (void)event;
    count(&joined);
}

static void on_ended(void *ud, const trill_event *event) {
    if (ud != NULL) {
        CHECK(event->session_end == TRILL_SESSION_END_INTERNAL);
        CHECK(event->error != NULL && event->error->status == TRILL_STATUS_INTERNAL);
    }
    count(&ended);
}

static void on_dropped(void *ud) {
    (void)ud;
    count(&dropped);
}

static void start(trill_engine *engine, const char *url, const char *token, void *ud) {
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_session_callbacks callbacks = TRILL_SESSION_CALLBACKS_INIT;
    struct answer answer = {0, 0};
    int before = joined;
    settings.audio_source = TRILL_AUDIO_SOURCE_TONE;
    callbacks.user_data = ud;
    callbacks.joined = on_joined;
    callbacks.ended = on_ended;
    callbacks.drop_user_data = on_dropped;
    OK(trill_session_start(engine, "s", url, token, &settings, &callbacks, on_done, &answer, error));
    wait_for("the start", &answer.came, 1);
    CHECK(answer.status == TRILL_STATUS_OK);
    wait_for("the session", &joined, before + 1);
}

/* Sends a message, and says with which status. */
static int32_t tell(trill_engine *engine, const char *topic) {
    struct answer answer = {0, 0};
    OK(trill_session_send_data(engine, "s", NULL, 0, topic, 1, NULL, 0, on_done, &answer, error));
    wait_for("the answer", &answer.came, 1);
    return answer.status;
}

int main(int argc, char **argv) {
    trill_engine_callbacks none = TRILL_ENGINE_CALLBACKS_INIT;
    trill_engine *alice = NULL, *bob = NULL;
    trill_error *told = NULL;
    CHECK(argc == 4);
    OK(trill_engine_new(NULL, &none, &alice, error));
    OK(trill_engine_new(NULL, &none, &bob, error));
    start(alice, argv[1], argv[2], &alice);
    start(bob, argv[1], argv[3], NULL);

    /* In an operation: that one fails. */
    CHECK(tell(alice, "planted fault: operation") == TRILL_STATUS_INTERNAL);
    CHECK(tell(alice, "news") == TRILL_STATUS_OK && ended == 0);

    /* In a session: it ends with an event, and can be started again. */
    CHECK(tell(alice, "planted fault: session") == TRILL_STATUS_INTERNAL);
    wait_for("the end of the session", &ended, 1);
    wait_for("its user_data", &dropped, 1);
    CHECK(tell(alice, "news") == TRILL_STATUS_SESSION_NOT_FOUND);
    CHECK(tell(bob, "news") == TRILL_STATUS_OK && ended == 1);
    start(alice, argv[1], argv[2], &alice);
    CHECK(tell(alice, "news") == TRILL_STATUS_OK);

    /* On a media thread, of which no operation knows: the session ends all the same. */
    CHECK(tell(alice, "planted fault: media") == TRILL_STATUS_OK);
    wait_for("the end of the session without media", &ended, 2);
    wait_for("its user_data", &dropped, 2);
    CHECK(tell(alice, "news") == TRILL_STATUS_SESSION_NOT_FOUND);
    CHECK(tell(bob, "news") == TRILL_STATUS_OK && ended == 2);
    start(alice, argv[1], argv[2], NULL);
    CHECK(tell(alice, "news") == TRILL_STATUS_OK);

    /* In a function itself: its engine is not trusted any more, another one is. */
    CHECK(trill_session_send_data(alice, "s", NULL, 0, "planted fault: entry", 1, NULL, 0, NULL, NULL, &told) ==
          TRILL_STATUS_INTERNAL);
    CHECK(told != NULL && told->status == TRILL_STATUS_INTERNAL && strlen(told->message) > 5);
    trill_error_free(told);
    CHECK(trill_session_send_data(alice, "s", NULL, 0, "news", 1, NULL, 0, NULL, NULL, &told) == TRILL_STATUS_INTERNAL);
    CHECK(strstr(told->message, "can only be freed") != NULL);
    trill_error_free(told);
    CHECK(tell(bob, "news") == TRILL_STATUS_OK);
    CHECK(trill_engine_free(alice) == TRILL_STATUS_OK);
    CHECK(dropped == 3);
    CHECK(trill_engine_free(bob) == TRILL_STATUS_OK);
    CHECK(dropped == 4);
    printf("contained\n");
    return 0;
}
