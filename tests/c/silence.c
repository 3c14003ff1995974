/*
 * Two are in a room and say nothing. Alice has that left out of what she sends. Bob asks for it too, but where the settings of
 * his older program have ended: all of his silence is sent. usage: silence URL ALICES_TOKEN BOBS_TOKEN
 */
#include "check.h"

typedef struct member {
    int started, connected, told;
    uint64_t packets;
} member;

static const char *url;
static member alice, bob;

static void on_done(void *ud, int32_t status, const trill_error *error) {
    CHECK(status == TRILL_STATUS_OK && error == NULL);
    count(ud);
}

static void connected(void *ud, const trill_event *event) {
    (void)event;
    count(&((member *)ud)->connected);
}

static void told_statistics(void *ud, const trill_event *event) {
    member *who = ud;
    CHECK(event->statistics->sent_count == 1);
    pthread_mutex_lock(&mutex);
    who->packets = event->statistics->sent[0].packets;
    pthread_mutex_unlock(&mutex);
    count(&who->told);
}

/* `size` is how far the settings of who begins it go. */
static void start(trill_engine *e, const char *token, member *who, size_t size) {
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_session_callbacks callbacks = TRILL_SESSION_CALLBACKS_INIT;
    settings.struct_size = size;
    /* Nothing is pushed: that is silence. */
    settings.audio_source = TRILL_AUDIO_SOURCE_PUSHED;
    settings.statistics_interval_ms = 100;
    settings.audio_dtx = 1;
    callbacks.user_data = who;
    callbacks.connected = connected;
    callbacks.statistics = told_statistics;
    OK(trill_session_start(e, "room", url, token, &settings, &callbacks, on_done, &who->started, error));
    wait_for("the connection", &who->connected, 1);
}

/* How many packets have left by now. What is told next may have been measured before. */
static uint64_t sent(member *who) {
    uint64_t packets;
    int told;
    pthread_mutex_lock(&mutex);
    told = who->told;
    pthread_mutex_unlock(&mutex);
    wait_for("statistics", &who->told, told + 2);
    pthread_mutex_lock(&mutex);
    packets = who->packets;
    pthread_mutex_unlock(&mutex);
    return packets;
}

int main(int argc, char **argv) {
    trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    trill_engine *alices = NULL, *bobs = NULL;
    uint64_t alices_first, bobs_first, of_alice, of_bob;
    int rounds = 0;
    CHECK(argc == 4);
    url = argv[1];
    OK(trill_engine_new(NULL, &callbacks, &alices, error));
    OK(trill_engine_new(NULL, &callbacks, &bobs, error));
    start(alices, argv[2], &alice, sizeof(trill_session_settings));
    start(bobs, argv[3], &bob, offsetof(trill_session_settings, audio_dtx));
    alices_first = sent(&alice);
    bobs_first = sent(&bob);
    /* Three seconds of packets every 20 ms. Alice's are counted for longer, and are some five in a second. */
    do {
        of_bob = sent(&bob) - bobs_first;
    } while (of_bob < 150 && ++rounds < 300);
    of_alice = sent(&alice) - alices_first;
    fprintf(stderr, "%d of alice's packets, %d of bob's\n", (int)of_alice, (int)of_bob);
    CHECK(of_alice > 0 && of_alice * 2 < of_bob);
    CHECK(trill_engine_free(alices) == TRILL_STATUS_OK && trill_engine_free(bobs) == TRILL_STATUS_OK);
    printf("left out\n");
    return 0;
}
