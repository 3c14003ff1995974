/*
 * An app that a push woke: bob logs in and hands the payload over. The call rings, once; then he is in it; then it is over.
 * usage: push SERVER BOBS_TOKEN CAROLS_TOKEN PAYLOAD
 */
#include "check.h"

struct answer {
    int32_t status, outcome;
    int came;
};

static int rings, done;
static char session_id[129];

static void incoming(void *ud, const trill_call *call, const char *by) {
    (void)ud;
    CHECK(strcmp(by, "alice") == 0 && strcmp(call->initiator->uid, "alice") == 0);
    count(&rings);
}

static void on_user(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    (void)error;
    CHECK(status == TRILL_STATUS_OK && user != NULL);
    count(ud);
}

static void on_call(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    (void)error;
    CHECK(status == TRILL_STATUS_OK && call != NULL);
    count(ud);
}

static void on_pushed(void *ud, int32_t status, const trill_pushed_call *pushed, const trill_error *error) {
    struct answer *answer = ud;
    CHECK((status == TRILL_STATUS_OK) == (pushed != NULL) && (status == TRILL_STATUS_OK) == (error == NULL));
    answer->status = status;
    if (pushed != NULL) {
        CHECK(strcmp(pushed->call->initiator->uid, "alice") == 0 && strcmp(pushed->call->receiver, "bob") == 0);
        answer->outcome = pushed->outcome;
        strcpy(session_id, pushed->call->session_id);
    }
    count(&answer->came);
}

/* Hands a payload over, and waits for what became of its call. */
static struct answer hand_over(trill_engine *engine, const char *payload, size_t size) {
    struct answer answer = {0, 0, 0};
    OK(trill_call_from_push(engine, (const uint8_t *)payload, size, on_pushed, &answer, error));
    wait_for("what became of the call", &answer.came, 1);
    return answer;
}

int main(int argc, char **argv) {
    trill_engine_callbacks none = TRILL_ENGINE_CALLBACKS_INIT;
    trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
    trill_engine *bob = NULL, *carol = NULL;
    int logged_in = 0;
    struct answer answer;
    const char *payload;
    char *changed_payload;
    size_t size;
    CHECK(argc == 5);
    payload = argv[4], size = strlen(payload);
    OK(trill_engine_new(NULL, &none, &bob, error));
    OK(trill_engine_new(NULL, &none, &carol, error));
    listener.incoming_call_received = incoming;
    OK(trill_call_listener_add(bob, "phone", &listener, error));
    CHECK(hand_over(bob, payload, size).status == TRILL_STATUS_NOT_LOGGED_IN);

    /* At once after the login, which is still under way. */
    OK(trill_login(bob, argv[1], argv[2], on_user, &logged_in, error));
    answer = hand_over(bob, payload, size);
    CHECK(answer.status == TRILL_STATUS_OK && answer.outcome == TRILL_PUSH_OUTCOME_RINGING);
    wait_for("the login", &logged_in, 1);
    wait_for("the ringing", &rings, 1);
    CHECK(hand_over(bob, payload, size).outcome == TRILL_PUSH_OUTCOME_RINGING);

    /* What is none, what is none of hers, and what somebody changed. */
    CHECK(hand_over(bob, "a.b.c", 5).status == TRILL_STATUS_MALFORMED);
    changed_payload = strdup(payload);
    changed_payload[size - 5] = payload[size - 5] == 'A' ? 'B' : 'A';
    CHECK(hand_over(bob, changed_payload, size).status == TRILL_STATUS_TOKEN_WRONG_KEY);
    free(changed_payload);
    OK(trill_login(carol, argv[1], argv[3], on_user, &logged_in, error));
    CHECK(hand_over(carol, payload, size).status == TRILL_STATUS_NOT_A_PARTY);

    OK(trill_call_accept(bob, session_id, on_call, &done, error));
    wait_for("the accept", &done, 1);
    CHECK(hand_over(bob, payload, size).outcome == TRILL_PUSH_OUTCOME_IN_CALL);
    OK(trill_call_end(bob, session_id, on_call, &done, error));
    wait_for("the end", &done, 2);
    CHECK(hand_over(bob, payload, size).outcome == TRILL_PUSH_OUTCOME_OVER);
    CHECK(rings == 1);
    CHECK(trill_engine_free(bob) == TRILL_STATUS_OK && trill_engine_free(carol) == TRILL_STATUS_OK);
    printf("woken\n");
    return 0;
}
