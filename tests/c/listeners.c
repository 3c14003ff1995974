/*
 * Inside each function of a call listener, the listener removes itself, adds another, logs out, and may not free its engine.
 * usage: listeners SERVER TOKEN..., two tokens, of a caller and of whom it calls, for each function
 */
#include "check.h"

typedef struct round_of {
    trill_engine *caller, *callee, *callees_other, *watched;
    char session_id[129];
    int logged_in, placed, done, called, dropped, logged_out;
} round_of;

static void on_user(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    CHECK(status == TRILL_STATUS_OK && user != NULL && error == NULL);
    count(&((round_of *)ud)->logged_in);
}

static void on_placed(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    round_of *r = ud;
    CHECK(status == TRILL_STATUS_OK && error == NULL);
    strcpy(r->session_id, call->session_id);
    count(&r->placed);
}

static void on_call(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    CHECK((status == TRILL_STATUS_OK) == (call != NULL && error == NULL));
    count(&((round_of *)ud)->done);
}

static void on_done(void *ud, int32_t status, const trill_error *error) {
    CHECK(status == TRILL_STATUS_OK && error == NULL);
    count(ud);
}

static void dropped(void *ud) {
    count(&((round_of *)ud)->dropped);
}

static void inside(void *ud, const trill_call *call, const char *by) {
    round_of *r = ud;
    trill_call_listener another = TRILL_CALL_LISTENER_INIT;
    (void)by;
    CHECK(call->session_id[0] != 0 && r->called == 0 && r->dropped == 0);
    OK(trill_call_listener_remove(r->watched, "l", error));
    /* It still runs. */
    CHECK(r->dropped == 0);
    CHECK(trill_call_listener_remove(r->watched, "l", NULL) == TRILL_STATUS_INVALID_ARGUMENT);
    OK(trill_call_listener_add(r->watched, "another", &another, error));
    CHECK(trill_engine_free(r->watched) == TRILL_STATUS_IN_CALLBACK);
    OK(trill_session_end(r->watched, call->session_id, NULL, NULL, error));
    OK(trill_logout(r->watched, on_done, &r->logged_out, error));
    count(&r->called);
}

enum what { NOTHING, ACCEPT, REJECT, BUSY, CANCEL, HANG_UP, WAIT };

/* Each function of a listener; at whose end it is called, and what for. */
static const struct slot {
    const char *name;
    size_t offset;
    int at_caller;
    enum what what;
} slots[] = {
#define SLOT(member, at_caller, what) {#member, offsetof(trill_call_listener, member), at_caller, what}
    SLOT(incoming_call_received, 0, NOTHING),
    SLOT(outgoing_call_ringing, 1, NOTHING),
    SLOT(outgoing_call_accepted, 1, ACCEPT),
    SLOT(outgoing_call_rejected, 1, REJECT),
    SLOT(outgoing_call_busy, 1, BUSY),
    SLOT(outgoing_call_unanswered, 1, WAIT),
    SLOT(incoming_call_cancelled, 0, CANCEL),
    SLOT(answered_elsewhere, 0, ACCEPT),
    SLOT(rejected_elsewhere, 0, REJECT),
    SLOT(call_ended, 1, HANG_UP),
};

#define SLOTS (sizeof slots / sizeof *slots)
_Static_assert(sizeof(trill_call_listener) == offsetof(trill_call_listener, incoming_call_received) +
                                                  SLOTS * sizeof(trill_call_function) + sizeof(trill_drop_user_data),
               "a function is missing in the table");

static void play(const struct slot *slot, const char *server, const char *callers_token, const char *callees_token) {
    trill_engine_callbacks none = TRILL_ENGINE_CALLBACKS_INIT;
    trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
    trill_call_options options = TRILL_CALL_OPTIONS_INIT;
    trill_call_function function = inside;
    round_of r = {0};
    fprintf(stderr, "inside %s\n", slot->name);
    OK(trill_engine_new(NULL, &none, &r.caller, error));
    OK(trill_engine_new(NULL, &none, &r.callee, error));
    OK(trill_engine_new(NULL, &none, &r.callees_other, error));
    r.watched = slot->at_caller ? r.caller : r.callee;
    listener.user_data = &r;
    listener.drop_user_data = dropped;
    memcpy((char *)&listener + slot->offset, &function, sizeof function);
    OK(trill_call_listener_add(r.watched, "l", &listener, error));
    OK(trill_login(r.caller, server, callers_token, on_user, &r, error));
    OK(trill_login(r.callee, server, callees_token, on_user, &r, error));
    OK(trill_login(r.callees_other, server, callees_token, on_user, &r, error));
    wait_for("the logins", &r.logged_in, 3);
    options.timeout_s = slot->what == WAIT ? 5 : 0;
    {
        trill_user *callee = NULL;
        OK(trill_logged_in_user(r.callee, &callee, error));
        OK(trill_call_initiate(r.caller, callee->uid, TRILL_CALL_TYPE_AUDIO, &options, on_placed, &r, error));
        trill_user_free(callee);
    }
    wait_for("the call", &r.placed, 1);
    switch (slot->what) {
    case NOTHING:
    case WAIT: break;
    case ACCEPT:
    case HANG_UP: OK(trill_call_accept(r.callees_other, r.session_id, on_call, &r, error)); break;
    case REJECT: OK(trill_call_reject(r.callees_other, r.session_id, TRILL_REJECT_REJECTED, on_call, &r, error)); break;
    case BUSY: OK(trill_call_reject(r.callees_other, r.session_id, TRILL_REJECT_BUSY, on_call, &r, error)); break;
    case CANCEL: OK(trill_call_cancel(r.caller, r.session_id, on_call, &r, error)); break;
    }
    if (slot->what == HANG_UP) {
        wait_for("the accept", &r.done, 1);
        OK(trill_call_end(r.callees_other, r.session_id, on_call, &r, error));
    }
    wait_for(slot->name, &r.called, 1);
    wait_for("the listener's user_data", &r.dropped, 1);
    wait_for("the log-out", &r.logged_out, 1);
    CHECK(trill_engine_free(r.caller) == TRILL_STATUS_OK);
    CHECK(trill_engine_free(r.callee) == TRILL_STATUS_OK);
    CHECK(trill_engine_free(r.callees_other) == TRILL_STATUS_OK);
    CHECK(r.called == 1 && r.dropped == 1);
}

int main(int argc, char **argv) {
    size_t at;
    CHECK((size_t)argc == 2 + 2 * SLOTS);
    for (at = 0; at < SLOTS; at++) {
        play(&slots[at], argv[1], argv[2 + 2 * at], argv[3 + 2 * at]);
    }
    printf("heard\n");
    return 0;
}
