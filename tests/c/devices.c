/*
 * The machine's microphone and speaker from C. Alice uses them, with the speaker's sound in her microphone (a null sink's
 * monitor): so bob, who sends a tone, hears himself, until she turns the speaker down.
 * usage: devices URL ALICES_TOKEN BOBS_TOKEN
 */
#include "check.h"

static int started, in_use[4], lost[4], loud, quiet;

static void on_done(void *ud, int32_t status, const trill_error *error) {
    if (status != TRILL_STATUS_OK) {
        fprintf(stderr, "start: %s\n", error->message);
    }
    CHECK(status == TRILL_STATUS_OK);
    count(ud);
}

static void device_changed(void *ud, const trill_event *event) {
    (void)ud;
    CHECK(event->kind == TRILL_EVENT_DEVICE_CHANGED);
    CHECK(event->device == TRILL_DEVICE_KIND_MICROPHONE || event->device == TRILL_DEVICE_KIND_SPEAKER);
    if (event->device_state == TRILL_DEVICE_STATE_IN_USE) {
        CHECK(event->device_name != NULL && event->device_name[0] != 0 && event->error == NULL);
        count(&in_use[event->device]);
    } else {
        CHECK(event->error->status == TRILL_STATUS_DEVICE_UNAVAILABLE && event->device_name == NULL);
        if (strstr(event->error->message, "no such device") != NULL) {
            count(&lost[event->device]);
        }
    }
}

/* Both count up while they last, and begin anew: so many pieces of 20 ms in a row. */
static void audio(void *ud, const trill_audio_frame *frame) {
    int is_loud = 0;
    size_t i;
    (void)ud;
    for (i = 0; i < frame->samples_per_channel; i++) {
        is_loud |= frame->samples[i] > 1000;
    }
    pthread_mutex_lock(&mutex);
    loud = is_loud ? loud + 1 : 0;
    quiet = is_loud ? 0 : quiet + 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* What one can: by its id, and by no name as the default one; what is not there is told. */
static void can(int32_t kind, const char *id) {
    trill_device_formats *formats = NULL, *again = NULL;
    trill_error *why = NULL;
    size_t at;
    OK(trill_device_formats_read(kind, id, &formats, error));
    CHECK(formats->format_count > 0);
    for (at = 0; at < formats->format_count; at++) {
        const trill_device_format *format = &formats->formats[at];
        if (kind == TRILL_DEVICE_KIND_CAMERA) {
            CHECK(format->pixels != NULL && format->width > 0 && format->height > 0 && format->fps > 0);
            CHECK(format->channels == 0 && formats->sample_rate == 0);
        } else {
            CHECK(format->pixels == NULL && format->channels > 0 && format->fps == 0);
            CHECK(format->sample_rate_min >= 4000 && format->sample_rate_min <= format->sample_rate_max);
            CHECK(formats->sample_rate == 48000 && formats->channels > 0);
        }
    }
    OK(trill_device_formats_read(kind, NULL, &again, error));
    CHECK(again->format_count == formats->format_count);
    CHECK(trill_device_formats_free(again) == TRILL_STATUS_OK);
    again = NULL;
    CHECK(trill_device_formats_read(kind, "no such device", &again, &why) == TRILL_STATUS_DEVICE_UNAVAILABLE);
    CHECK(again == NULL && strstr(why->message, "no such device") != NULL);
    CHECK(trill_error_free(why) == TRILL_STATUS_OK);
    CHECK(trill_device_formats_free(formats) == TRILL_STATUS_OK);
}

/* How many there are; at least one, and at most one of them the default. */
static size_t list(int32_t kind) {
    trill_devices *devices = NULL;
    size_t at, count, defaults = 0;
    OK(trill_devices_list(kind, &devices, error));
    for (at = 0; at < devices->device_count; at++) {
        CHECK(devices->devices[at].name[0] != 0 && devices->devices[at].id[0] != 0);
        defaults += devices->devices[at].is_default != 0;
        if (devices->devices[at].is_default) {
            can(kind, devices->devices[at].id);
        }
    }
    CHECK(devices->device_count == 0 || defaults == 1);
    count = devices->device_count;
    trill_devices_free(devices);
    return count;
}

static void on_statistics(void *ud, int32_t status, const trill_statistics *statistics, const trill_error *error) {
    (void)error;
    CHECK(status == TRILL_STATUS_OK && statistics->sent_count == 1);
    CHECK(statistics->playback_underruns < 1000);
    count(ud);
}

int main(int argc, char **argv) {
    trill_engine_callbacks none = TRILL_ENGINE_CALLBACKS_INIT;
    trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
    trill_session_callbacks callbacks = TRILL_SESSION_CALLBACKS_INIT;
    trill_engine *alice = NULL, *bob = NULL;
    const int32_t microphone = TRILL_DEVICE_KIND_MICROPHONE, speaker = TRILL_DEVICE_KIND_SPEAKER;
    int measured = 0;
    CHECK(argc == 4);
    CHECK(list(microphone) > 0 && list(speaker) > 0);
    list(TRILL_DEVICE_KIND_CAMERA);

    OK(trill_engine_new(NULL, &none, &alice, error));
    OK(trill_engine_new(NULL, &none, &bob, error));
    settings.audio_source = TRILL_AUDIO_SOURCE_MICROPHONE;
    settings.voice_processing = TRILL_VOICE_NONE;
    settings.play = 1;
    settings.device_policy = TRILL_DEVICE_POLICY_KEEP;
    callbacks.device_changed = device_changed;
    OK(trill_session_start(alice, "s", argv[1], argv[2], &settings, &callbacks, on_done, &started, error));
    settings = TRILL_SESSION_SETTINGS_INIT;
    settings.audio_source = TRILL_AUDIO_SOURCE_TONE;
    callbacks.device_changed = NULL;
    callbacks.audio_frame = audio;
    OK(trill_session_start(bob, "s", argv[1], argv[3], &settings, &callbacks, on_done, &started, error));
    wait_for("the sessions", &started, 2);
    wait_for("a microphone", &in_use[microphone], 1);
    wait_for("a speaker", &in_use[speaker], 1);
    wait_for("the tone, once around", &loud, 25);

    OK(trill_session_set_volume(alice, "s", speaker, 0, error));
    wait_for("silence from the speaker", &quiet, 25);
    OK(trill_session_set_volume(alice, "s", speaker, 1, error));
    wait_for("the tone again", &loud, 25);
    OK(trill_session_set_volume(alice, "s", microphone, 0, error));
    wait_for("silence from the microphone", &quiet, 25);
    OK(trill_session_set_volume(alice, "s", microphone, 1, error));
    CHECK(trill_session_set_volume(alice, "s", microphone, 4.5f, NULL) == TRILL_STATUS_INVALID_ARGUMENT);

    /* Another one, that is not there; then the default one. */
    OK(trill_session_choose_device(alice, "s", microphone, "no such device", TRILL_DEVICE_POLICY_KEEP, error));
    wait_for("the loss of the microphone", &lost[microphone], 1);
    wait_for("silence from no microphone", &quiet, 25);
    OK(trill_session_choose_device(alice, "s", microphone, NULL, TRILL_DEVICE_POLICY_FALL_BACK, error));
    wait_for("the microphone again", &in_use[microphone], 2);
    wait_for("the tone at last", &loud, 25);
    /* Of a kind that the session does not use. */
    CHECK(trill_session_choose_device(alice, "s", TRILL_DEVICE_KIND_CAMERA, NULL, TRILL_DEVICE_POLICY_KEEP, NULL) ==
          TRILL_STATUS_DEVICE_UNAVAILABLE);

    OK(trill_session_statistics(alice, "s", on_statistics, &measured, error));
    wait_for("the statistics", &measured, 1);
    CHECK(trill_engine_free(alice) == TRILL_STATUS_OK && trill_engine_free(bob) == TRILL_STATUS_OK);
    printf("heard\n");
    return 0;
}
