/*
 * What is made is freed: engines that log in in vain, with listeners and a session that cannot be, made and freed again and
 * again, and not more memory, files or threads at the end than when it had warmed up. usage: lifetime TIMES
 */
#include "check.h"

#include <dirent.h>
#include <unistd.h>

static int dropped;

static void on_done(void *ud, int32_t status, const trill_error *error) {
    (void)status, (void)error;
    count(ud);
}

static void on_user(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    CHECK(status != TRILL_STATUS_OK && user == NULL && error != NULL);
    count(ud);
}

static void drop(void *ud) {
    (void)ud;
    count(&dropped);
}

static void live_once(void) {
    trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
    trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
    trill_session_callbacks session = TRILL_SESSION_CALLBACKS_INIT;
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_engine *engine = NULL;
    trill_error *refusal = NULL;
    trill_user *user = NULL;
    int before = dropped, done = 0;
    callbacks.drop_user_data = listener.drop_user_data = session.drop_user_data = drop;
    settings.audio_source = TRILL_AUDIO_SOURCE_PUSHED;
    settings.video_source = TRILL_VIDEO_SOURCE_PUSHED;
    OK(trill_engine_new(NULL, &callbacks, &engine, error));
    OK(trill_call_listener_add(engine, "l", &listener, error));
    CHECK(trill_logged_in_user(engine, &user, &refusal) == TRILL_STATUS_NOT_LOGGED_IN);
    trill_error_free(refusal);
    OK(trill_login(engine, "http://127.0.0.1:1", "t", on_user, &done, error));
    OK(trill_session_start(engine, "s", "http://127.0.0.1:1", "t", &settings, &session, on_done, &done, error));
    if (before % 2 == 0) {
        wait_for("both", &done, 2);
    }
    /* Else freed while they run. */
    CHECK(trill_engine_free(engine) == TRILL_STATUS_OK);
    CHECK(done == 2 && dropped == before + 3);
}

static long in_folder(const char *path) {
    DIR *folder = opendir(path);
    long entries = 0;
    CHECK(folder != NULL);
    while (readdir(folder)) {
        entries++;
    }
    closedir(folder);
    return entries;
}

/* In kB. */
static long resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    CHECK(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv) {
    int times = argc > 1 ? atoi(argv[1]) : 1000, i;
    long memory, files, threads;
    for (i = 0; i < times / 5; i++) {
        live_once();
    }
    memory = resident(), files = in_folder("/proc/self/fd"), threads = in_folder("/proc/self/task");
    for (i = 0; i < times; i++) {
        live_once();
    }
    fprintf(stderr, "%d more engines: %ld kB more\n", times, resident() - memory);
    /* What an engine left to end in the background has some seconds for it. */
    for (i = 0; i < 100 && (in_folder("/proc/self/fd") > files || in_folder("/proc/self/task") > threads); i++) {
        const struct timespec pause = {0, 100000000};
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "%ld files were %ld, %ld threads were %ld\n", in_folder("/proc/self/fd"), files,
            in_folder("/proc/self/task"), threads);
    CHECK(in_folder("/proc/self/fd") <= files);
    CHECK(in_folder("/proc/self/task") <= threads);
    /* An engine that leaked a page each time would be seen. */
    CHECK(times < 100 || resident() - memory < 4L * times);
    printf("freed\n");
    return 0;
}
