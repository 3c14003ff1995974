/*
 * Trill: calls in your app. One library that rings people, joins sessions, and carries their audio and video.
 * Written from src/capi by scripts/header; not to be edited.
 *
 * A minimal call, without its error checks. Alice calls Bob and talks; a function for each thing that happens:
 *
 *     #include <stdio.h>
 *     #include <trill.h>
 *
 *     static trill_engine *engine;
 *
 *     static void has_token(void *ud, int32_t status, const trill_session_access *access, const trill_error *error) {
 *         trill_session_settings settings = TRILL_SESSION_SETTINGS_INIT;
 *         settings.audio_source = TRILL_AUDIO_SOURCE_FILE;
 *         settings.audio_file = "hello.wav";
 *         settings.audio_output_file = "bob.wav";
 *         trill_session_start(engine, ud, access->url, access->token, &settings, NULL, NULL, NULL, NULL);
 *     }
 *     static void accepted(void *ud, const trill_call *call, const char *by) {
 *         static char session_id[129];
 *         strcpy(session_id, call->session_id);
 *         trill_session_token(engine, session_id, has_token, session_id, NULL);
 *     }
 *     static void logged_in(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
 *         trill_call_initiate(engine, "bob", TRILL_CALL_TYPE_AUDIO, NULL, NULL, NULL, NULL);
 *     }
 *     int main(void) {
 *         trill_engine_callbacks callbacks = TRILL_ENGINE_CALLBACKS_INIT;
 *         trill_call_listener listener = TRILL_CALL_LISTENER_INIT;
 *         listener.outgoing_call_accepted = accepted;
 *         trill_engine_new(NULL, &callbacks, &engine, NULL);
 *         trill_call_listener_add(engine, "main", &listener, NULL);
 *         trill_login(engine, "https://calls.example.com", ALICES_TOKEN, logged_in, NULL, NULL);
 *         getchar();
 *         trill_engine_free(engine);
 *     }
 *
 * The groups, in the order of a call's life: the library, status codes, its log, the engine, events, login, calls, call
 * listeners, calls from a push, devices, what they can, the settings of a session, what it tells, sessions, voice processing,
 * participants and tracks, frames, statistics, the call log.
 *
 * Status. Functions that can fail return int32_t: TRILL_STATUS_OK (0), or a negative TRILL_STATUS_*. Their last parameter,
 * error, may be NULL; else it is set to an error that says what was wrong and what to do, when and only when they fail;
 * free it with trill_error_free.
 *
 * Completions. What takes time returns at once. When it returned 0, the function that was given (done) is called exactly
 * once with its user_data, a status and the result; when it returned an error, that function is not called.
 *
 * Ownership. Strings in are NUL-terminated UTF-8 of up to 64 KiB, and copied. What a callback is handed is lent until it
 * returns. What a function gives through out is the caller's, who frees it with the function that is named there. Outputs
 * are written only on success. To free what is not the caller's (any more) is refused: what was freed before, what a callback
 * was lent, what is of another kind. What was freed long ago may not be told from something newer in the same place.
 *
 * Structs in begin with struct_size and are begun with their TRILL_<T>_INIT; all that is zero means default. They grow at the
 * end: programs of older headers go on to work, and those of newer ones as long as they use nothing new. Structs that the
 * library makes may grow at the end as well, save those that stand in arrays: never copy one by its size.
 *
 * Threads. Any function may be called on any thread. Callbacks and completions of an engine run one at a time, on one thread
 * of the engine's, or on the one that takes events by trill_engine_next_event; callbacks for frames run on media threads.
 * All may call any function, except that trill_engine_free inside one is refused. C++ exceptions must not leave them.
 */
