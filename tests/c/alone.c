/*
 * Two are in a room; when one has left, the other is alone for as long as it has set, and out then. One that comes where nobody
 * is, the same. One whose start failed tries again in the answer. usage: alone URL ALICES_TOKEN BOBS_TOKEN
 */
#include "check.h"

typedef struct member {
    int started, connected, seen, gone, ended, left;
} member;

static const char *url, *alices_token, *bobs_token;
static trill_engine *alices, *bobs;
static member alice, bob, again, once, twice, retried;

static void on_done(void *ud, int32_t status, const trill_error *error) {
    CHECK(status == TRILL_STATUS_OK && error == NULL);
    count(ud);
}

/* Who was there before, with what his token says of him. */
static void joined(void *ud, const trill_event *event) {
    const trill_participant *other = event->participants;
    (void)ud;
    if (event->participant_count == 1) {
        CHECK(other->attribute_count == 2 && strcmp(other->attributes[0].name, "desk") == 0);
        CHECK(strcmp(other->attributes[0].value, "4") == 0 && strcmp(other->attributes[1].value, "") == 0);
    }
    CHECK(event->participant_count == 1 || other == NULL);
}

static void connected(void *ud, const trill_event *event) {
    (void)event;
    count(&((member *)ud)->connected);
}

static void seen(void *ud, const trill_event *event) {
    CHECK(event->participant != NULL);
    count(&((member *)ud)->seen);
}

static void gone(void *ud, const trill_event *event) {
    (void)event;
    count(&((member *)ud)->gone);
}

static void ended(void *ud, const trill_event *event) {
    CHECK(event->session_end == TRILL_SESSION_END_LEFT_ALONE && event->error == NULL);
    count(&((member *)ud)->ended);
}

static void start(trill_engine *e, const char *token, member *who, uint32_t limit);

/* Begins the next of the same id at once. */
static void back_again(void *ud, const trill_event *event) {
    CHECK(ud == &once && event->session_end == TRILL_SESSION_END_LEFT);
    start(bobs, bobs_token, &twice, 0);
}

static void start(trill_engine *e, const char *token, member *who, uint32_t limit) {
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_session_callbacks callbacks = TRILL_SESSION_CALLBACKS_INIT;
    settings.left_alone_timeout_ms = limit;
    callbacks.user_data = who;
    callbacks.joined = joined;
    callbacks.connected = connected;
    callbacks.participant_joined = seen;
    callbacks.participant_left = gone;
    callbacks.ended = who == &once ? back_again : limit ? ended : NULL;
    OK(trill_session_start(e, "room", url, token, &settings, &callbacks, on_done, &who->started, error));
}

/* Tries again under the same id at once, with a token that is one. */
static void try_again(void *ud, int32_t status, const trill_error *error) {
    CHECK(ud == NULL && status == TRILL_STATUS_TOKEN_MALFORMED && error != NULL);
    start(alices, alices_token, &retried, 0);
}

int main(int argc, char **argv) {
    trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    trill_participants *participants = NULL;
    CHECK(argc == 4);
    url = argv[1], alices_token = argv[2], bobs_token = argv[3];
    OK(trill_engine_new(NULL, &callbacks, &alices, error));
    OK(trill_engine_new(NULL, &callbacks, &bobs, error));
    start(bobs, bobs_token, &bob, 0);
    wait_for("bob", &bob.connected, 1);
    start(alices, alices_token, &alice, 1000);
    wait_for("alice", &alice.connected, 1);
    OK(trill_session_end(bobs, "room", on_done, &bob.left, error));
    wait_for("bob's departure", &alice.gone, 1);
    wait_for("alice's end", &alice.ended, 1);
    CHECK(alice.seen == 0 && bob.seen == 1 && bob.ended == 0);
    /* It comes too late, and is not for the next one of that id. */
    OK(trill_session_end(alices, "room", NULL, NULL, error));
    start(alices, alices_token, &again, 1000);
    wait_for("the end of one whom nobody met", &again.ended, 1);
    CHECK(again.gone == 0 && again.started == 1);
    start(bobs, bobs_token, &once, 0);
    wait_for("bob again", &once.connected, 1);
    OK(trill_session_end(bobs, "room", on_done, &once.left, error));
    wait_for("his end", &once.left, 1);
    wait_for("the next one", &twice.connected, 1);
    OK(trill_session_participants(bobs, "room", &participants, error));
    CHECK(participants->participant_count == 1 && trill_participants_free(participants) == TRILL_STATUS_OK);
    OK(trill_session_start(alices, "room", url, "no token", NULL, NULL, try_again, NULL, error));
    wait_for("the one after a start that failed", &retried.connected, 1);
    CHECK(trill_engine_free(alices) == TRILL_STATUS_OK && trill_engine_free(bobs) == TRILL_STATUS_OK);
    printf("alone\n");
    return 0;
}
