/*
 * A telephone in a terminal. It logs in, calls and is called, and shows levels and statistics while people talk.
 *
 *     native_caller SERVER TOKEN [--wav FILE] [--y4m FILE] [--heard FILE.wav] [--seen FOLDER]
 *                   [--devices]
 *
 * Commands, one a line: call USER, video USER, accept, reject, busy, cancel, mute, unmute, pause, resume, hang up (h), log,
 * statistics (s), devices, quit. With --devices also: microphone NAME, speaker NAME, camera NAME take another one (by name or
 * id; without NAME the default one), and volume NUMBER (0 to 4) is that of the speaker.
 * The engine is polled: a thread takes its events, so that all output comes from there and from the commands.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <trill.h>

typedef struct phone {
    trill_engine *engine;
    trill_session_settings settings;
    pthread_mutex_t mutex;
    /* The call that rings, is dialled or is ongoing; empty for none. Guarded by the mutex. */
    char session_id[129];
    int32_t call_type;
} phone;

static void complain(const char *what, int32_t status, const trill_error *error) {
    printf("! %s: %s (%s)\n", what, error ? error->message : trill_status_text(status), trill_status_name(status));
}

/* Tells of a function's refusal, and frees the error. */
static void check(const char *what, int32_t status, trill_error *error) {
    if (status != TRILL_STATUS_OK) {
        complain(what, status, error);
        trill_error_free(error);
    }
}

/* A copy of the current call's id; 0 when there is none. */
static int current(phone *p, char *id, size_t size) {
    pthread_mutex_lock(&p->mutex);
    snprintf(id, size, "%s", p->session_id);
    pthread_mutex_unlock(&p->mutex);
    return id[0] != 0;
}

static void set_current(phone *p, const char *id, int32_t call_type) {
    pthread_mutex_lock(&p->mutex);
    snprintf(p->session_id, sizeof p->session_id, "%s", id);
    p->call_type = call_type;
    pthread_mutex_unlock(&p->mutex);
}

static void on_done(void *what, int32_t status, const trill_error *error) {
    if (status != TRILL_STATUS_OK) {
        complain(what, status, error);
    }
}

static void on_session_token(void *ud, int32_t status, const trill_session_access *access, const trill_error *error) {
    phone *p = ud;
    char id[129];
    trill_error *refusal = NULL;
    if (status != TRILL_STATUS_OK) {
        complain("no session token", status, error);
        return;
    }
    if (!current(p, id, sizeof id)) {
        return; /* It is over already. */
    }
    p->settings.audio_only = p->call_type == TRILL_CALL_TYPE_AUDIO;
    status = trill_session_start(p->engine, id, access->url, access->token, &p->settings, NULL, on_done,
                                 (void *)"the session did not start", &refusal);
    check("the session did not start", status, refusal);
}

static void start_session(phone *p, const trill_call *call) {
    trill_error *error = NULL;
    set_current(p, call->session_id, call->call_type);
    check("no session token", trill_session_token(p->engine, call->session_id, on_session_token, p, &error), error);
}

static void on_initiated(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    phone *p = ud;
    if (status != TRILL_STATUS_OK) {
        complain("no call", status, error);
    } else if (call->status == TRILL_CALL_STATUS_INITIATED) {
        set_current(p, call->session_id, call->call_type);
        printf("calling %s\n", call->receiver);
    }
}

static void on_accepted(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    if (status != TRILL_STATUS_OK) {
        complain("not accepted", status, error);
    } else {
        start_session(ud, call);
    }
}

static void on_ended(void *ud, int32_t status, const trill_call *call, const trill_error *error) {
    (void)ud, (void)call;
    if (status != TRILL_STATUS_OK) {
        complain("not done", status, error);
    }
}

static void on_login(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    (void)ud;
    if (status != TRILL_STATUS_OK) {
        complain("no login", status, error);
    } else {
        printf("logged in as %s\n", user->uid);
    }
}

static void on_statistics(void *ud, int32_t status, const trill_statistics *stats, const trill_error *error) {
    size_t i;
    (void)ud;
    if (status != TRILL_STATUS_OK) {
        complain("no statistics", status, error);
        return;
    }
    printf("  path %u kbit/s, queue %.1f ms, rtt %.1f ms\n", stats->send_estimate_bps / 1000,
           (double)stats->send_queue_us / 1000, (double)stats->send_round_trip_us / 1000);
    for (i = 0; i < stats->sent_count; i++) {
        const trill_sent_track *t = &stats->sent[i];
        printf("  > %-10s %8lu kB  %4.1f fps  -%lu dBov  lost %u  rtt %.1f ms%s\n",
               t->source == TRILL_SOURCE_CAMERA ? "camera" : "microphone", (unsigned long)(t->bytes / 1000),
               (double)t->video_millifps / 1000, (unsigned long)t->audio_minus_dbov, t->packets_lost,
               (double)t->round_trip_us / 1000, t->muted ? "  muted" : "");
    }
    for (i = 0; i < stats->received_count; i++) {
        const trill_received_track *t = &stats->received[i];
        printf("  < %-10s %8lu kB  %4.1f fps  -%lu dBov  lost %lu  jitter %.1f ms  %ux%u\n", t->identity,
               (unsigned long)(t->bytes / 1000), (double)t->video_millifps / 1000, (unsigned long)t->audio_minus_dbov,
               (unsigned long)t->packets_lost, (double)t->audio_jitter_us / 1000, t->video_width, t->video_height);
    }
}

static void on_log(void *ud, int32_t status, const trill_call_log_page *page, const trill_error *error) {
    size_t i;
    (void)ud;
    if (status != TRILL_STATUS_OK) {
        complain("no log", status, error);
        return;
    }
    for (i = 0; i < page->call_count; i++) {
        const trill_call *c = &page->calls[i];
        printf("  %s -> %s  %s  %lu s  status %d, reason %d\n", c->initiator->uid, c->receiver,
               c->call_type == TRILL_CALL_TYPE_VIDEO ? "video" : "audio", (unsigned long)(c->duration_ms / 1000), c->status,
               c->end_reason);
    }
}

/* By TRILL_DEVICE_KIND_*. */
static const char *const device_names[] = {"microphone", "speaker", "camera", "pictures"};

static void show(phone *p, const trill_event *event) {
    char id[129];
    switch (event->kind) {
    case TRILL_EVENT_INCOMING_RECEIVED:
        if (current(p, id, sizeof id)) {
            break;
        }
        set_current(p, event->session_id, event->call->call_type);
        printf("%s calls: accept, reject or busy?\n", event->call->initiator->uid);
        break;
    case TRILL_EVENT_OUTGOING_RINGING: printf("it rings\n"); break;
    case TRILL_EVENT_OUTGOING_ACCEPTED:
        printf("%s accepted\n", event->by);
        start_session(p, event->call);
        break;
    case TRILL_EVENT_OUTGOING_REJECTED:
    case TRILL_EVENT_OUTGOING_BUSY:
    case TRILL_EVENT_OUTGOING_UNANSWERED:
    case TRILL_EVENT_INCOMING_CANCELLED:
    case TRILL_EVENT_ANSWERED_ELSEWHERE:
    case TRILL_EVENT_REJECTED_ELSEWHERE:
    case TRILL_EVENT_CALL_ENDED:
        if (current(p, id, sizeof id) && strcmp(id, event->session_id) == 0) {
            set_current(p, "", 0);
        }
        printf("the call is over: status %d, reason %d, %lu s\n", event->call->status, event->call->end_reason,
               (unsigned long)(event->call->duration_ms / 1000));
        break;
    case TRILL_EVENT_SESSION_CONNECTED: printf("connected\n"); break;
    case TRILL_EVENT_PARTICIPANT_JOINED: printf("%s is there\n", event->participant->identity); break;
    case TRILL_EVENT_PARTICIPANT_LEFT: printf("%s is gone\n", event->participant->identity); break;
    case TRILL_EVENT_TRACK_MUTED: printf("%s is muted\n", event->identity); break;
    case TRILL_EVENT_TRACK_UNMUTED: printf("%s is not muted any more\n", event->identity); break;
    case TRILL_EVENT_FIRST_AUDIO: printf("%s can be heard\n", event->identity); break;
    case TRILL_EVENT_FIRST_VIDEO: printf("%s can be seen, %ux%u\n", event->identity, event->width, event->height); break;
    case TRILL_EVENT_SESSION_RECONNECTING: printf("the connection broke; it is being restored\n"); break;
    case TRILL_EVENT_SESSION_RECONNECTED: printf("the connection is restored\n"); break;
    case TRILL_EVENT_DEVICE_CHANGED:
        if (event->error) {
            complain(device_names[event->device - 1], event->error->status, event->error);
        } else {
            printf("%s: %s\n", device_names[event->device - 1], event->device_name);
        }
        break;
    case TRILL_EVENT_SESSION_ERROR:
    case TRILL_EVENT_LOGGED_OUT:
    case TRILL_EVENT_LOGIN_RECONNECTING: complain("trouble", event->error->status, event->error); break;
    default: break;
    }
    fflush(stdout);
}

static void *take_events(void *ud) {
    phone *p = ud;
    trill_event *event = NULL;
    int32_t status;
    while ((status = trill_engine_next_event(p->engine, 1000, &event, NULL)) == TRILL_STATUS_OK ||
           status == TRILL_STATUS_TIMED_OUT) {
        if (status == TRILL_STATUS_OK) {
            show(p, event);
            trill_event_free(event);
        }
    }
    return NULL;
}

static void list_devices(void) {
    int32_t kind;
    for (kind = TRILL_DEVICE_KIND_MICROPHONE; kind <= TRILL_DEVICE_KIND_CAMERA; kind++) {
        trill_devices *list = NULL;
        trill_error *error = NULL;
        int32_t status = trill_devices_list(kind, &list, &error);
        size_t i;
        check(device_names[kind - 1], status, error);
        for (i = 0; list && i < list->device_count; i++) {
            printf("  %-10s %s%s\n", device_names[kind - 1], list->devices[i].name, list->devices[i].is_default ? "  (default)" : "");
        }
        trill_devices_free(list);
    }
}

/* Which kind of device a command is about, and what stands behind it (NULL for nothing); 0 for none. */
static int32_t device_in(const char *line, const char **name) {
    int32_t kind;
    for (kind = TRILL_DEVICE_KIND_MICROPHONE; kind <= TRILL_DEVICE_KIND_CAMERA; kind++) {
        size_t length = strlen(device_names[kind - 1]);
        if (strncmp(line, device_names[kind - 1], length) == 0 && (line[length] == 0 || line[length] == ' ')) {
            *name = line[length] ? line + length + 1 : NULL;
            return kind;
        }
    }
    return 0;
}

/* 0 to quit. */
static int obey(phone *p, const char *line) {
    trill_error *error = NULL;
    char id[129], who[129];
    const char *name = NULL;
    int32_t kind = device_in(line, &name);
    float volume;
    int has_call = current(p, id, sizeof id);
    int32_t status = TRILL_STATUS_OK;
    if (strcmp(line, "quit") == 0) {
        return 0;
    } else if (sscanf(line, "call %128s", who) == 1) {
        status = trill_call_initiate(p->engine, who, TRILL_CALL_TYPE_AUDIO, NULL, on_initiated, p, &error);
    } else if (sscanf(line, "video %128s", who) == 1) {
        status = trill_call_initiate(p->engine, who, TRILL_CALL_TYPE_VIDEO, NULL, on_initiated, p, &error);
    } else if (strcmp(line, "devices") == 0) {
        list_devices();
    } else if (strcmp(line, "log") == 0) {
        status = trill_call_log_fetch(p->engine, NULL, on_log, p, &error);
    } else if (!has_call) {
        printf("there is no call; commands: call USER, video USER, devices, log, quit\n");
    } else if (strcmp(line, "accept") == 0) {
        status = trill_call_accept(p->engine, id, on_accepted, p, &error);
    } else if (strcmp(line, "reject") == 0) {
        status = trill_call_reject(p->engine, id, TRILL_REJECT_REJECTED, on_ended, p, &error);
    } else if (strcmp(line, "busy") == 0) {
        status = trill_call_reject(p->engine, id, TRILL_REJECT_BUSY, on_ended, p, &error);
    } else if (strcmp(line, "cancel") == 0) {
        status = trill_call_cancel(p->engine, id, on_ended, p, &error);
    } else if (strcmp(line, "h") == 0 || strcmp(line, "hang up") == 0) {
        status = trill_call_end(p->engine, id, on_ended, p, &error);
    } else if (strcmp(line, "mute") == 0 || strcmp(line, "unmute") == 0) {
        status = trill_session_set_muted(p->engine, id, TRILL_SOURCE_MICROPHONE, line[0] == 'm', on_done,
                                         (void *)"not muted", &error);
    } else if (strcmp(line, "pause") == 0 || strcmp(line, "resume") == 0) {
        status = trill_session_set_muted(p->engine, id, TRILL_SOURCE_CAMERA, line[0] == 'p', on_done, (void *)"not paused",
                                         &error);
    } else if (kind != 0) {
        status = trill_session_choose_device(p->engine, id, kind, name, TRILL_DEVICE_POLICY_FALL_BACK, &error);
    } else if (sscanf(line, "volume %f", &volume) == 1) {
        status = trill_session_set_volume(p->engine, id, TRILL_DEVICE_KIND_SPEAKER, volume, &error);
    } else if (strcmp(line, "s") == 0 || strcmp(line, "statistics") == 0) {
        status = trill_session_statistics(p->engine, id, on_statistics, p, &error);
    } else {
        printf("commands: accept, reject, busy, cancel, mute, unmute, pause, resume, microphone, speaker, camera, volume, s, h, "
               "log, devices, quit\n");
    }
    check("refused", status, error);
    return 1;
}

int main(int argc, char **argv) {
    static phone p;
    trill_error *error = NULL;
    pthread_t events;
    char line[256];
    int i;
    if (argc < 3) {
        fprintf(stderr, "usage: native_caller SERVER TOKEN [--wav FILE] [--y4m FILE] [--heard FILE.wav] "
                        "[--seen FOLDER] [--devices]\n");
        return 2;
    }
    /* Also when it is not a terminal: a script waits for these lines. */
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    p.settings = TRILL_SESSION_SETTINGS_INIT;
    pthread_mutex_init(&p.mutex, NULL);
    p.settings.audio_source = TRILL_AUDIO_SOURCE_TONE;
    p.settings.video_source = TRILL_VIDEO_SOURCE_TEST_PICTURE;
    for (i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--devices") == 0) {
            p.settings.audio_source = TRILL_AUDIO_SOURCE_MICROPHONE;
            p.settings.video_source = TRILL_VIDEO_SOURCE_CAMERA;
            p.settings.play = 1;
        } else if (i + 1 < argc && strcmp(argv[i], "--wav") == 0) {
            p.settings.audio_source = TRILL_AUDIO_SOURCE_FILE;
            p.settings.audio_file = argv[++i];
            p.settings.audio_looped = 1;
        } else if (i + 1 < argc && strcmp(argv[i], "--y4m") == 0) {
            p.settings.video_source = TRILL_VIDEO_SOURCE_FILE;
            p.settings.video_file = argv[++i];
            p.settings.video_looped = 1;
        } else if (i + 1 < argc && strcmp(argv[i], "--heard") == 0) {
            p.settings.audio_output_file = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--seen") == 0) {
            p.settings.video_output_folder = argv[++i];
        } else {
            fprintf(stderr, "%s: no such option, or its file is missing\n", argv[i]);
            return 2;
        }
    }
    if (trill_engine_new(NULL, NULL, &p.engine, &error) != TRILL_STATUS_OK) {
        check("no engine", error->status, error);
        return 1;
    }
    if (pthread_create(&events, NULL, take_events, &p) != 0) {
        return 1;
    }
    check("no login", trill_login(p.engine, argv[1], argv[2], on_login, &p, &error), error);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        if (line[0] != 0 && !obey(&p, line)) {
            break;
        }
        fflush(stdout);
    }
    trill_engine_free(p.engine);
    pthread_join(events, NULL);
    return 0;
}
