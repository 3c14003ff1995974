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

#ifndef TRILL_H
#define TRILL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trill_error trill_error;
typedef struct trill_engine trill_engine;
typedef struct trill_engine_config trill_engine_config;
typedef struct trill_engine_callbacks trill_engine_callbacks;
typedef struct trill_data trill_data;
typedef struct trill_event trill_event;
typedef struct trill_user trill_user;
typedef struct trill_call_options trill_call_options;
typedef struct trill_call_party trill_call_party;
typedef struct trill_call trill_call;
typedef struct trill_session_access trill_session_access;
typedef struct trill_call_listener trill_call_listener;
typedef struct trill_pushed_call trill_pushed_call;
typedef struct trill_wake trill_wake;
typedef struct trill_device trill_device;
typedef struct trill_devices trill_devices;
typedef struct trill_device_format trill_device_format;
typedef struct trill_device_formats trill_device_formats;
typedef struct trill_session_settings trill_session_settings;
typedef struct trill_session_callbacks trill_session_callbacks;
typedef struct trill_track trill_track;
typedef struct trill_attribute trill_attribute;
typedef struct trill_participant trill_participant;
typedef struct trill_participants trill_participants;
typedef struct trill_speaker trill_speaker;
typedef struct trill_video_frame trill_video_frame;
typedef struct trill_audio_frame trill_audio_frame;
typedef struct trill_sent_track trill_sent_track;
typedef struct trill_received_track trill_received_track;
typedef struct trill_statistics trill_statistics;
typedef struct trill_call_log_filter trill_call_log_filter;
typedef struct trill_call_log_page trill_call_log_page;


/* ==================================================================================================================== */
/*
 * The library
 *
 * Which version this is, and what its errors say.
 */

/**
 * The version of this interface. It grows when a program that was compiled before would not run any more, and so does
 * the library's SONAME; new functions, and new fields at the end of a struct, leave it as it is.
 */
#define TRILL_ABI_VERSION 0

/**
 * Why something did not work: a status, and a text about this very case. A function that can fail gives one through its
 * last parameter, when that is not NULL; free it with trill_error_free. A completion or an event lends one.
 */
struct trill_error {
    /** TRILL_STATUS_*, never 0. */
    int32_t status;
    /** What was wrong and what to do, in English. Never NULL. */
    const char *message;
};

/**
 * A completion without a result: called exactly once, when the operation is over. `status` is 0, or says why it failed;
 * `error` is NULL when it did not, and else lent until the function returns. Runs where the engine's callbacks run.
 */
typedef void (*trill_done)(void *user_data, int32_t status, const trill_error *error);

/**
 * The version of the interface that the library has. A program that loads the library at run time compares it with
 * TRILL_ABI_VERSION before anything else. Any thread.
 */
uint32_t trill_abi_version(void);

/** The version of the library, such as "0.1.0". Static; any thread. */
const char *trill_version(void);

/** What a status means in general, and what to do about it, in English. Never NULL; static; any thread. */
const char *trill_status_text(int32_t status);

/** The name of a status as logs and JSON have it, such as "calling_self". Never NULL; static; any thread. */
const char *trill_status_name(int32_t status);

/**
 * Frees an error that a function gave; NULL is fine. Any thread. Not for errors that a callback was lent.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
 * Also TRILL_STATUS_INTERNAL.
 */
int32_t trill_error_free(trill_error *error);

/* ==================================================================================================================== */
/*
 * Status codes
 *
 * What a function returns and a completion is told: TRILL_STATUS_OK or a negative number. Numbers are frozen once
 * released. Each function's comment names all that it can return. A completion can be told, beside those that stand there,
 * TRILL_STATUS_SHUT_DOWN when the engine is freed before, and TRILL_STATUS_INTERNAL; that of a request to the server also
 * why its login ended meanwhile (TRILL_STATUS_TOKEN_EXPIRED, TRILL_STATUS_DEVICE_REPLACED or TRILL_STATUS_USER_REMOVED), and
 * TRILL_STATUS_SERVER_UNAVAILABLE from a server that is being stopped.
 */

/** It worked. */
#define TRILL_STATUS_OK 0

/** A fault inside Trill. Please report it with the log. */
#define TRILL_STATUS_INTERNAL (-1)

/** A parameter is missing, out of range or not valid; the message names it. */
#define TRILL_STATUS_INVALID_ARGUMENT (-2)

/** The operation was given up because its owner went away or asked for it. */
#define TRILL_STATUS_CANCELLED (-3)

/** No answer came within the stated time. */
#define TRILL_STATUS_TIMED_OUT (-4)

/** This build or this platform cannot do that. */
#define TRILL_STATUS_NOT_SUPPORTED (-5)

/** The engine was shut down; make a new one. */
#define TRILL_STATUS_SHUT_DOWN (-6)

/** A rate or count limit was reached; wait and try again. */
#define TRILL_STATUS_TOO_MANY_REQUESTS (-7)

/** A message or field is over its size limit. */
#define TRILL_STATUS_TOO_LARGE (-8)

/** A message is not in the form that the protocol asks for. */
#define TRILL_STATUS_MALFORMED (-9)

/** That cannot be done inside a callback; do it after the callback has returned. */
#define TRILL_STATUS_IN_CALLBACK (-10)

/** No token was given. Mint one with `trill token` or in your backend. */
#define TRILL_STATUS_TOKEN_MISSING (-100)

/** This is not a JWT with the claims that this use asks for. */
#define TRILL_STATUS_TOKEN_MALFORMED (-101)

/** The token is not signed with HS256, the only algorithm accepted. */
#define TRILL_STATUS_TOKEN_ALGORITHM (-102)

/** The token is not signed with a key of this server. */
#define TRILL_STATUS_TOKEN_WRONG_KEY (-103)

/** The token's time is over; get a new one. */
#define TRILL_STATUS_TOKEN_EXPIRED (-104)

/** The token is not valid yet; check the clock of the machine that minted it. */
#define TRILL_STATUS_TOKEN_NOT_YET_VALID (-105)

/** The token is for another session. */
#define TRILL_STATUS_TOKEN_WRONG_ROOM (-106)

/** The token does not grant this. */
#define TRILL_STATUS_TOKEN_MISSING_GRANT (-107)

/** Log in first. */
#define TRILL_STATUS_NOT_LOGGED_IN (-200)

/** This engine is logged in already; log out first. */
#define TRILL_STATUS_ALREADY_LOGGED_IN (-201)

/** A user cannot call itself. */
#define TRILL_STATUS_CALLING_SELF (-202)

/** No user of that id has ever logged in here. */
#define TRILL_STATUS_USER_UNKNOWN (-203)

/** There is no group of that id. */
#define TRILL_STATUS_GROUP_UNKNOWN (-204)

/** Only members of a group can call it. */
#define TRILL_STATUS_NOT_A_MEMBER (-205)

/** You are dialling or in a call already; end that one first. */
#define TRILL_STATUS_BUSY_SELF (-206)

/** There is no call with that session id. */
#define TRILL_STATUS_CALL_NOT_FOUND (-207)

/** That call is over. */
#define TRILL_STATUS_ALREADY_ENDED (-208)

/** You are in that call already. */
#define TRILL_STATUS_ALREADY_JOINED (-209)

/** You are not a party to that call. */
#define TRILL_STATUS_NOT_A_PARTY (-210)

/** The call's present status does not allow that. */
#define TRILL_STATUS_NOT_ALLOWED_IN_STATE (-211)

/** Nobody has accepted that call yet. */
#define TRILL_STATUS_NOT_YET_ACCEPTED (-212)

/** The same device logged in again elsewhere; this login is over. */
#define TRILL_STATUS_DEVICE_REPLACED (-213)

/** The group has no other members to call. */
#define TRILL_STATUS_EMPTY_GROUP (-214)

/** The owner of the server removed this user. */
#define TRILL_STATUS_USER_REMOVED (-215)

/** This engine is not in a session of that id. */
#define TRILL_STATUS_SESSION_NOT_FOUND (-300)

/** No such participant is in the session. */
#define TRILL_STATUS_PARTICIPANT_NOT_FOUND (-301)

/** There is no such track in the session. */
#define TRILL_STATUS_TRACK_NOT_FOUND (-302)

/** The same identity joined again from elsewhere; this one was put out. */
#define TRILL_STATUS_DUPLICATE_IDENTITY (-303)

/** The session is over. */
#define TRILL_STATUS_ROOM_CLOSED (-304)

/** No media path to the server: UDP is probably blocked by a firewall. */
#define TRILL_STATUS_MEDIA_UNREACHABLE (-305)

/** The server removed this participant from the session. */
#define TRILL_STATUS_PARTICIPANT_REMOVED (-306)

/** The session has as many participants as this server allows. */
#define TRILL_STATUS_ROOM_FULL (-307)

/** The media file cannot be read or is not in a supported format. */
#define TRILL_STATUS_MEDIA_FILE (-400)

/** The device is absent, busy, or access to it was refused. */
#define TRILL_STATUS_DEVICE_UNAVAILABLE (-401)

/** The codec refused the data or the settings. */
#define TRILL_STATUS_CODEC (-402)

/** The server did not answer at that address; check URL, network and firewall. */
#define TRILL_STATUS_SERVER_UNREACHABLE (-500)

/** The server cannot do that at the moment; try again later. */
#define TRILL_STATUS_SERVER_UNAVAILABLE (-501)

/** The server's certificate was not accepted. */
#define TRILL_STATUS_TLS_REFUSED (-502)

/** The connection to the server broke and could not be restored. */
#define TRILL_STATUS_CONNECTION_LOST (-503)

/** Another program listens on that port; choose another or end that program. */
#define TRILL_STATUS_PORT_IN_USE (-504)

/** The store did not take the change (disk full, locked or damaged); nothing was changed. */
#define TRILL_STATUS_STORE_FAILED (-505)

/** The configuration is not valid; the message names the field. */
#define TRILL_STATUS_CONFIGURATION (-506)

/* ==================================================================================================================== */
/*
 * The library's own log
 *
 * What the library does and meets, as lines of text for developers. It holds no tokens and no other secrets.
 */

#define TRILL_LOG_OFF 0

#define TRILL_LOG_ERROR 1

#define TRILL_LOG_WARN 2

#define TRILL_LOG_INFO 3

#define TRILL_LOG_DEBUG 4

#define TRILL_LOG_TRACE 5

/**
 * Gets a line of the log: `level` is TRILL_LOG_*, `target` the part of the library, `message` the text, without a line
 * end; both are lent until the function returns.
 */
typedef void (*trill_log_function)(void *user_data, int32_t level, const char *target, const char *message);

/**
 * Sends the log of the whole library to a function, or nowhere: without this call nothing is logged. A later call replaces
 * the earlier one; when it returns, the earlier function does not run any more.
 *
 * level: TRILL_LOG_*, the least important level that is wanted. function: NULL for none; runs on any thread, on several at
 * a time, and must neither block nor call the library.
 *
 * Status: TRILL_STATUS_NOT_SUPPORTED (the program is a Rust one that has a log of its own: it gets the lines).
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_INTERNAL.
 */
int32_t trill_log_set(int32_t level,
                      trill_log_function function,
                      void *user_data,
                      trill_error **error);

/* ==================================================================================================================== */
/*
 * The engine
 *
 * An engine is made once, and freed last. It tells what happens in one of two ways, chosen when it is made:
 * by callbacks, which run one at a time on one thread of the engine's, or as events that the app takes from a queue with
 * trill_engine_next_event; then all callbacks and completions run on the thread that takes them. Both show the same
 * events. Callbacks may call any function of the library; to free the engine inside one is refused.
 */

/**
 * One device of one user: it logs in, makes and takes calls, and carries their media. Functions that take one may be
 * called from any thread, also inside its callbacks, unless they say otherwise. A handle that was freed, or never was an
 * engine, is refused with TRILL_STATUS_INVALID_ARGUMENT.
 */

/** How to make an engine. Start from TRILL_ENGINE_CONFIG_INIT; zero means default. */
struct trill_engine_config {
    size_t struct_size;
    /**
     * Which of its user's devices this is, up to 128 bytes. An app keeps it, so that a restart is the same device and
     * comes back to its call. NULL: a new device each time.
     */
    const char *device_id;
    /**
     * Not 0: a call that comes while the user is in another one rings here, and the app decides. 0: the server answers
     * it with busy.
     */
    int32_t call_waiting;
    /** Threads for signalling and packets, 1 to 16; 0 for 2. Media has threads of its own. */
    uint32_t worker_threads;
};

/** Gets every event of an engine. `event` and all in it are lent until the function returns. */
typedef void (*trill_event_function)(void *user_data, const trill_event *event);

/** Releases what a user_data points to: called once, after the last use of the user_data. */
typedef void (*trill_drop_user_data)(void *user_data);

/**
 * Where an engine's events go. Start from TRILL_ENGINE_CALLBACKS_INIT; members that are NULL are skipped. An app that
 * uses trill_call_listener_add and the callbacks of sessions needs none of these, but gives the struct all the same.
 */
struct trill_engine_callbacks {
    size_t struct_size;
    /** Handed to each of these functions. */
    void *user_data;
    /** Every event, before it goes to call listeners and to the callbacks of its session. On the engine's thread. */
    trill_event_function event;
    /** Last of all, on the thread that frees the engine. */
    trill_drop_user_data drop_user_data;
};

/**
 * Makes an engine. It is not logged in and uses no network yet.
 *
 * config: read during the call; NULL for the defaults.
 * callbacks: read during the call. NULL: the app takes events with trill_engine_next_event.
 * out: set to the engine, which trill_engine_free frees. On an error it is left as it is, and drop_user_data is not
 * called.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (a setting is out of range).
 * Also TRILL_STATUS_TOO_LARGE, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_engine_new(const trill_engine_config *config,
                         const trill_engine_callbacks *callbacks,
                         trill_engine **out,
                         trill_error **error);

/**
 * Leaves all sessions, logs out, and frees the engine; NULL is fine. Takes 2 s at most, also with the network dead, and
 * as long as a callback that is running. Completions that have not been called are called with TRILL_STATUS_SHUT_DOWN
 * before it returns; after it has returned, no callback runs. Do not hold a lock that a callback waits for.
 *
 * Status: TRILL_STATUS_IN_CALLBACK inside a callback of this engine, media callbacks included: nothing was done;
 * TRILL_STATUS_INVALID_ARGUMENT when it was freed before.
 * Also TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_engine_free(trill_engine *engine);

/**
 * Takes the next event of an engine that was made without callbacks, and waits for it. Meanwhile, and on this thread, run
 * completions, and for the event that is taken the call listeners and the callbacks of its session.
 *
 * timeout_ms: how long to wait for an event; 0 for not at all.
 * out: set to the event, which trill_event_free frees.
 *
 * Status: TRILL_STATUS_TIMED_OUT (there was none; go on), TRILL_STATUS_SHUT_DOWN (the engine is being freed),
 * TRILL_STATUS_IN_CALLBACK, TRILL_STATUS_NOT_SUPPORTED (this engine has callbacks). Any thread, one at a time.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_INTERNAL.
 */
int32_t trill_engine_next_event(trill_engine *engine,
                                uint32_t timeout_ms,
                                trill_event **out,
                                trill_error **error);

/* ==================================================================================================================== */
/*
 * Events
 *
 * Everything that an engine tells, in one struct: `kind` says what happened, and which members are set. Each event is told
 * once; those of one call, and those of one session, in the order in which they happened.
 */

/** Logged in, for the first time or again after a broken connection. Sets user. */
#define TRILL_EVENT_LOGGED_IN 1

/** The connection of the login broke; it is being restored. Calls go on. Sets error. */
#define TRILL_EVENT_LOGIN_RECONNECTING 2

/** The login is over and is not restored: log in again to be reachable. Sets error. */
#define TRILL_EVENT_LOGGED_OUT 3

/** Somebody calls this user: ring. This and all events of calls set session_id, call, and by when somebody did it. */
#define TRILL_EVENT_INCOMING_RECEIVED 100

/** A first device of the callee rings. */
#define TRILL_EVENT_OUTGOING_RINGING 101

/** The callee accepted: start the session. */
#define TRILL_EVENT_OUTGOING_ACCEPTED 102

/** The callee rejected. */
#define TRILL_EVENT_OUTGOING_REJECTED 103

/** The callee is in another call. */
#define TRILL_EVENT_OUTGOING_BUSY 104

/** Nobody answered in time. */
#define TRILL_EVENT_OUTGOING_UNANSWERED 105

/** The initiator gave up, or nobody answered in time: stop ringing. */
#define TRILL_EVENT_INCOMING_CANCELLED 106

/** Another device of this user accepted: stop ringing. */
#define TRILL_EVENT_ANSWERED_ELSEWHERE 107

/** Another device of this user rejected: stop ringing. */
#define TRILL_EVENT_REJECTED_ELSEWHERE 108

/** The call that this device was in, or dialled, is over. */
#define TRILL_EVENT_CALL_ENDED 109

/**
 * The server let us in; media is still connecting. This and all events of sessions set session_id. Sets participant
 * (ourselves), and participants (who was there before; they get no event of their own, nor do their tracks).
 */
#define TRILL_EVENT_SESSION_JOINED 200

/** Media can flow. */
#define TRILL_EVENT_SESSION_CONNECTED 201

/** Sets participant. */
#define TRILL_EVENT_PARTICIPANT_JOINED 202

/** Sets participant. */
#define TRILL_EVENT_PARTICIPANT_LEFT 203

/** Name, metadata or attributes changed. Sets participant. */
#define TRILL_EVENT_PARTICIPANT_UPDATED 204

/** A participant, or (local) we, published a track. This and all events of tracks set identity and track. */
#define TRILL_EVENT_TRACK_PUBLISHED 205

/** A participant, or (local) we, took a track back. */
#define TRILL_EVENT_TRACK_UNPUBLISHED 206

/** The server sends us that track from now on. */
#define TRILL_EVENT_TRACK_SUBSCRIBED 207

/** The server sends us that track no more. */
#define TRILL_EVENT_TRACK_UNSUBSCRIBED 208

/** By its publisher or by the server. */
#define TRILL_EVENT_TRACK_MUTED 209

/** It can be heard or seen again. */
#define TRILL_EVENT_TRACK_UNMUTED 210

/** The first audio of a track was played. Sets identity and track_id. */
#define TRILL_EVENT_FIRST_AUDIO 211

/** The first picture of a track was shown. Sets identity, track_id, width and height. */
#define TRILL_EVENT_FIRST_VIDEO 212

/** Who speaks at the moment. Sets speakers, the loudest first; there are none when all are silent. */
#define TRILL_EVENT_ACTIVE_SPEAKERS 213

/** What the server measures of a participant's connection. Sets identity and quality. */
#define TRILL_EVENT_QUALITY_CHANGED 214

/** A message from a participant. Sets data. */
#define TRILL_EVENT_DATA 215

/** The connection broke; it is being restored, and media may stop meanwhile. */
#define TRILL_EVENT_SESSION_RECONNECTING 216

/** It is restored. */
#define TRILL_EVENT_SESSION_RECONNECTED 217

/** Something failed, and the session goes on without it. Sets error. */
#define TRILL_EVENT_SESSION_ERROR 218

/** The last event of a session. Sets session_end, and error when there is more to say. */
#define TRILL_EVENT_SESSION_ENDED 219

/**
 * One of our own devices, or what the app put in its place, works, is lost or has failed; the session goes on. Sets device
 * and device_state; device_name of the one that works, or error, that says why none does.
 */
#define TRILL_EVENT_DEVICE_CHANGED 220

/** As often as the settings' statistics_interval_ms asks for. Sets statistics. */
#define TRILL_EVENT_STATISTICS 221

/** It works: for the first time, again, or in the place of another. */
#define TRILL_DEVICE_STATE_IN_USE 1

/** None works: there is silence, or no picture, until one is found. */
#define TRILL_DEVICE_STATE_LOST 2

/** None works, and none is looked for. */
#define TRILL_DEVICE_STATE_FAILED 3

/** We left. */
#define TRILL_SESSION_END_LEFT 1

/** The same identity joined from elsewhere. */
#define TRILL_SESSION_END_DUPLICATE_IDENTITY 2

/** The server put us out. */
#define TRILL_SESSION_END_PARTICIPANT_REMOVED 3

/** The session was closed for everyone. */
#define TRILL_SESSION_END_ROOM_CLOSED 4

/** The server is going down. */
#define TRILL_SESSION_END_SERVER_SHUTDOWN 5

/** The connection broke and could not be restored in time. */
#define TRILL_SESSION_END_CONNECTION_LOST 6

/** The server answered, but no media path to it was found: UDP is probably blocked. */
#define TRILL_SESSION_END_MEDIA_UNREACHABLE 7

/** The session never came about; the error says why. */
#define TRILL_SESSION_END_JOIN_FAILED 8

/** A fault inside Trill: that session was closed, and the engine goes on. Please report it with the log. */
#define TRILL_SESSION_END_INTERNAL 9

/** Nobody else was in the session for as long as the settings' left_alone_timeout_ms allows. */
#define TRILL_SESSION_END_LEFT_ALONE 10

/** A message from another participant, or from the server's own API. */
struct trill_data {
    /** The sender's identity; NULL when the server itself sent it. */
    const char *from;
    /** NULL when empty. */
    const uint8_t *payload;
    size_t payload_size;
    /** NULL when there is none. */
    const char *topic;
    /** Not 0: it was sent as a reliable one. */
    int32_t reliable;
};

/**
 * Something happened. Members that `kind` does not set are 0 or NULL. The library makes these structs: new members are
 * added at the end, and an app reads those that its header has.
 */
struct trill_event {
    /** TRILL_EVENT_*. */
    int32_t kind;
    /** Not 0: the track is one of ours. */
    int32_t local;
    /** The call's or the session's. */
    const char *session_id;
    /** Why. */
    const trill_error *error;
    /** Who is logged in. */
    const trill_user *user;
    /** The call, as it is after what happened. */
    const trill_call *call;
    /** The uid of who did it to the call; NULL when nobody did, as with a time-out. */
    const char *by;
    const trill_participant *participant;
    const trill_participant *participants;
    size_t participant_count;
    /** Whose track or quality it is. */
    const char *identity;
    const trill_track *track;
    const char *track_id;
    const trill_speaker *speakers;
    size_t speaker_count;
    const trill_data *data;
    /** In pixels. */
    uint32_t width;
    /** In pixels. */
    uint32_t height;
    /** TRILL_QUALITY_*. */
    int32_t quality;
    /** TRILL_SESSION_END_*. */
    int32_t session_end;
    /** TRILL_DEVICE_KIND_*. */
    int32_t device;
    /** TRILL_DEVICE_STATE_*. */
    int32_t device_state;
    /** NULL when none works. */
    const char *device_name;
    /** What the session sends and receives. */
    const trill_statistics *statistics;
};

/**
 * Frees an event that trill_engine_next_event gave; NULL is fine. Any thread. Not for events that a callback was lent.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
 * Also TRILL_STATUS_INTERNAL.
 */
int32_t trill_event_free(trill_event *event);

/* ==================================================================================================================== */
/*
 * Login
 *
 * A user token, minted by the app's own backend (or by `trill token`), logs a device of that user in. The engine keeps
 * the login up over broken connections, and tells how it stands with TRILL_EVENT_LOGGED_IN, TRILL_EVENT_LOGIN_RECONNECTING
 * and TRILL_EVENT_LOGGED_OUT.
 */

/** A user. Made by the library: new members are added at the end. */
struct trill_user {
    /** Never NULL. */
    const char *uid;
    /** For people; NULL when there is none. */
    const char *name;
    /** An https URL of a picture; NULL when there is none. */
    const char *avatar;
    /** The server owner's own, as JSON, when this is the user that is logged in; else NULL. */
    const char *metadata;
};

/** Told who is logged in. `user` is NULL on failure, `error` otherwise; both are lent until the function returns. */
typedef void (*trill_user_done)(void *user_data,
                                int32_t status,
                                const trill_user *user,
                                const trill_error *error);

/**
 * Logs in to a server. Returns at once.
 *
 * server: its http, https, ws or wss URL. token: a user token. Both are copied.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_ALREADY_LOGGED_IN,
 * TRILL_STATUS_INVALID_ARGUMENT (the URL), TRILL_STATUS_SERVER_UNREACHABLE, TRILL_STATUS_TLS_REFUSED,
 * TRILL_STATUS_TIMED_OUT, one of TRILL_STATUS_TOKEN_*, TRILL_STATUS_USER_REMOVED, TRILL_STATUS_TOO_MANY_REQUESTS,
 * TRILL_STATUS_SERVER_UNAVAILABLE, TRILL_STATUS_STORE_FAILED, TRILL_STATUS_CONNECTION_LOST, TRILL_STATUS_MALFORMED (what answers
 * is no server of Trill's), TRILL_STATUS_NOT_SUPPORTED (it speaks another version), TRILL_STATUS_DEVICE_REPLACED,
 * TRILL_STATUS_NOT_LOGGED_IN or TRILL_STATUS_CANCELLED (the login ended at once).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_login(trill_engine *engine,
                    const char *server,
                    const char *token,
                    trill_user_done done,
                    void *user_data,
                    trill_error **error);

/**
 * Logs out: this device rings no more. Running sessions go on. Returns at once.
 *
 * done: called exactly once if 0 is returned, else not at all; may be NULL. What is not logged in is logged out,
 * and a login that is under way is called off.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_logout(trill_engine *engine,
                     trill_done done,
                     void *user_data,
                     trill_error **error);

/**
 * Who is logged in.
 *
 * out: set to the user, which trill_user_free frees.
 *
 * Status: TRILL_STATUS_NOT_LOGGED_IN.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_logged_in_user(trill_engine *engine, trill_user **out, trill_error **error);

/**
 * Frees a user that trill_logged_in_user gave; NULL is fine. Any thread.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
 * Also TRILL_STATUS_INTERNAL.
 */
int32_t trill_user_free(trill_user *user);

/* ==================================================================================================================== */
/*
 * Calls
 *
 * One initiates; the receiver's devices ring and accept or reject; once it is ongoing both start its session; one ends
 * it. A call is named by its session id. All of these return at once; what becomes of the call is told by events and
 * call listeners.
 */

/** Voice alone. */
#define TRILL_CALL_TYPE_AUDIO 1

/** Voice and picture. */
#define TRILL_CALL_TYPE_VIDEO 2

/** The receiver is a uid. */
#define TRILL_RECEIVER_TYPE_USER 1

/** The receiver is a group's guid. */
#define TRILL_RECEIVER_TYPE_GROUP 2

/** Somebody is rung. */
#define TRILL_CATEGORY_CALL 1

/** A meeting that was agreed on beforehand. */
#define TRILL_CATEGORY_MEET 2

/** It rings, or will once a device of the receiver is there. */
#define TRILL_CALL_STATUS_INITIATED 1

/** Accepted: the parties may start the session. */
#define TRILL_CALL_STATUS_ONGOING 2

/** It was ongoing and is over. */
#define TRILL_CALL_STATUS_ENDED 3

/** The receiver did not want it. */
#define TRILL_CALL_STATUS_REJECTED 4

/** The receiver is in another call. */
#define TRILL_CALL_STATUS_BUSY 5

/** The initiator gave up before an answer. */
#define TRILL_CALL_STATUS_CANCELLED 6

/** Nobody answered in time. */
#define TRILL_CALL_STATUS_UNANSWERED 7

/** The server could not carry it. */
#define TRILL_CALL_STATUS_FAILED 8

/** A party ended the ongoing call. */
#define TRILL_END_REASON_HUNG_UP 1

/** The receiver did not want it. */
#define TRILL_END_REASON_REJECTED 2

/** The receiver is in another call. */
#define TRILL_END_REASON_BUSY 3

/** The initiator gave up before an answer. */
#define TRILL_END_REASON_CANCELLED 4

/** Nobody answered in time. */
#define TRILL_END_REASON_UNANSWERED 5

/** The initiator's device lost its connection while it rang and did not come back. */
#define TRILL_END_REASON_CALLER_GONE 6

/** A party's device lost its connection in the call and did not come back. */
#define TRILL_END_REASON_CONNECTION_LOST 7

/** One party was alone in the session for too long. */
#define TRILL_END_REASON_LEFT_ALONE 8

/** The last party left the session. */
#define TRILL_END_REASON_EVERYONE_LEFT 9

/** The server could not carry the call. */
#define TRILL_END_REASON_FAILED 10

/** The owner removed the user or the group. */
#define TRILL_END_REASON_REMOVED 11

/** The call is for this user; no device has said yet that it rings. */
#define TRILL_PARTY_STATE_INVITED 1

/** A device of this user rings. */
#define TRILL_PARTY_STATE_RINGING 2

/** In the call, not yet in its session. The initiator is this from the start. */
#define TRILL_PARTY_STATE_ACCEPTED 3

/** In the session. */
#define TRILL_PARTY_STATE_JOINED 4

/** Was in the session, and left it or lost it. */
#define TRILL_PARTY_STATE_LEFT 5

/** Did not want the call. */
#define TRILL_PARTY_STATE_REJECTED 6

/** Was in another call. */
#define TRILL_PARTY_STATE_BUSY 7

/** The ringing ended without an answer. */
#define TRILL_PARTY_STATE_MISSED 8

/** The callee does not want the call. */
#define TRILL_REJECT_REJECTED 1

/** The callee is in another call. */
#define TRILL_REJECT_BUSY 2

/** What can be chosen for a call. Start from TRILL_CALL_OPTIONS_INIT; zero means default. */
struct trill_call_options {
    size_t struct_size;
    /** TRILL_RECEIVER_TYPE_*; 0 for a user. */
    int32_t receiver_type;
    /** TRILL_CATEGORY_*; 0 for a call. */
    int32_t category;
    /** How long it rings, in seconds, 5 to 180; 0 for what the server's owner set, by default 45. */
    uint32_t timeout_s;
    /** The app's own, as JSON of up to 4 KiB; the receiver gets it with the call. NULL for none. */
    const char *metadata;
};

/** One party of a call. */
struct trill_call_party {
    const char *uid;
    /** The one device of this user that is in the call, or that answered it; NULL when there is none. */
    const char *device_id;
    /** TRILL_PARTY_STATE_*. */
    int32_t state;
    /** Not 0: was in the session at some time. */
    int32_t joined;
    /** When it first joined the session, in ms since 1970; 0 if never. */
    uint64_t joined_at_ms;
    /** When it last left the session, in ms since 1970; 0 if never. */
    uint64_t left_at_ms;
};

/** One call, as it was at one moment. Times are in ms since 1970 UTC, by the server's clock; 0 for what has not happened. */
struct trill_call {
    /** Names the call and its session. Never NULL. */
    const char *session_id;
    /** Never NULL. */
    const trill_user *initiator;
    /** A uid or a guid. */
    const char *receiver;
    /** For people; NULL when there is none. */
    const char *receiver_name;
    /** TRILL_RECEIVER_TYPE_*. */
    int32_t receiver_type;
    /** TRILL_CALL_TYPE_*. */
    int32_t call_type;
    /** TRILL_CATEGORY_*. */
    int32_t category;
    /** TRILL_CALL_STATUS_*. */
    int32_t status;
    uint64_t initiated_at_ms;
    /** When it was accepted. */
    uint64_t started_at_ms;
    uint64_t ended_at_ms;
    /** From accepted to ended; 0 until it ended, and when it was never accepted. */
    uint64_t duration_ms;
    /** The uid of who ended it; NULL when nobody did, as with a time-out. */
    const char *ended_by;
    /** TRILL_END_REASON_*; 0 until it is over. */
    int32_t end_reason;
    /** The initiator first. */
    const trill_call_party *parties;
    size_t party_count;
    /** The app's own, as JSON; NULL when none was given. */
    const char *metadata;
    /** An https URL of a picture of the receiver; NULL when there is none. */
    const char *receiver_avatar;
    /** Grows with each change: of two states of one call the one with the greater is the later. */
    uint64_t revision;
};

/**
 * Told of a call as an operation left it. `call` is NULL on failure, `error` otherwise; both are lent until the function
 * returns.
 */
typedef void (*trill_call_done)(void *user_data,
                                int32_t status,
                                const trill_call *call,
                                const trill_error *error);

/** What a party to an ongoing call starts its session with. */
struct trill_session_access {
    /** The session server. */
    const char *url;
    /** A LiveKit access token for this one session. A secret. */
    const char *token;
    /** In ms since 1970. */
    uint64_t expires_at_ms;
};

/** Told the way into a session. `access` is NULL on failure, `error` otherwise; both are lent until the function returns. */
typedef void (*trill_session_access_done)(void *user_data,
                                          int32_t status,
                                          const trill_session_access *access,
                                          const trill_error *error);

/**
 * Calls somebody. The call that `done` gets rings, or is busy already, or is ongoing: then the receiver was calling this
 * user at the same time, and the two are in that one call.
 *
 * receiver: a uid, or a guid with the option receiver_type. call_type: TRILL_CALL_TYPE_*. options: NULL for the defaults.
 * All are read during the call.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_CALLING_SELF, TRILL_STATUS_USER_UNKNOWN, TRILL_STATUS_GROUP_UNKNOWN, TRILL_STATUS_NOT_A_MEMBER,
 * TRILL_STATUS_EMPTY_GROUP, TRILL_STATUS_BUSY_SELF, TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE (metadata); and,
 * as for every request to the server, TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or
 * TRILL_STATUS_CANCELLED (logged out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_initiate(trill_engine *engine,
                            const char *receiver,
                            int32_t call_type,
                            const trill_call_options *options,
                            trill_call_done done,
                            void *user_data,
                            trill_error **error);

/**
 * Accepts a call that rings here; then start its session.
 *
 * session_id: the call's; copied.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_JOINED, TRILL_STATUS_ALREADY_ENDED,
 * TRILL_STATUS_NOT_ALLOWED_IN_STATE (another device was first), TRILL_STATUS_BUSY_SELF, TRILL_STATUS_NOT_A_MEMBER (any more, of
 * the group that is called), or, as for every request to the server, TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS,
 * TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_accept(trill_engine *engine,
                          const char *session_id,
                          trill_call_done done,
                          void *user_data,
                          trill_error **error);

/**
 * Rejects a call that rings here.
 *
 * session_id: the call's; copied. reason: TRILL_REJECT_*.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_ENDED, TRILL_STATUS_INVALID_ARGUMENT (this user
 * dials it: cancel it), TRILL_STATUS_NOT_ALLOWED_IN_STATE, or, as for every request to the server, TRILL_STATUS_TIMED_OUT,
 * TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_reject(trill_engine *engine,
                          const char *session_id,
                          int32_t reason,
                          trill_call_done done,
                          void *user_data,
                          trill_error **error);

/**
 * Gives up a call that this user dials.
 *
 * session_id: the call's; copied.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_ENDED, TRILL_STATUS_NOT_ALLOWED_IN_STATE
 * (it was answered: end it), TRILL_STATUS_INVALID_ARGUMENT (this user is called: reject it), or, as for every request to the server, TRILL_STATUS_TIMED_OUT,
 * TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_cancel(trill_engine *engine,
                          const char *session_id,
                          trill_call_done done,
                          void *user_data,
                          trill_error **error);

/**
 * Ends an ongoing call for everyone; this engine's part in its session ends with it.
 *
 * session_id: the call's; copied.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_ENDED,
 * TRILL_STATUS_NOT_ALLOWED_IN_STATE, or, as for every request to the server, TRILL_STATUS_TIMED_OUT,
 * TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_end(trill_engine *engine,
                       const char *session_id,
                       trill_call_done done,
                       void *user_data,
                       trill_error **error);

/**
 * Asks for one call, as it is now or as it ended.
 *
 * session_id: the call's; copied.
 * done: called exactly once if 0 is returned, else not at all. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, or, as for every request to the server,
 * TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged
 * out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_details(trill_engine *engine,
                           const char *session_id,
                           trill_call_done done,
                           void *user_data,
                           trill_error **error);

/**
 * The call that this device dials or is in.
 *
 * out: set to the call, which trill_call_free frees.
 *
 * Status: TRILL_STATUS_CALL_NOT_FOUND (there is none).
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_active(trill_engine *engine, trill_call **out, trill_error **error);

/**
 * Forgets the active call on this device; nobody else is told.
 *
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_clear_active(trill_engine *engine,
                                trill_done done,
                                void *user_data,
                                trill_error **error);

/**
 * Frees a call that trill_call_active gave; NULL is fine. Any thread.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
 * Also TRILL_STATUS_INTERNAL.
 */
int32_t trill_call_free(trill_call *call);

/**
 * Asks for a session token. Only a party to an ongoing call gets one.
 *
 * session_id: the call's; copied.
 * done: called exactly once if 0 is returned, else not at all. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_NOT_YET_ACCEPTED, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_ENDED, TRILL_STATUS_CALL_NOT_FOUND,
 * TRILL_STATUS_CONFIGURATION (the server does not know its own URL), or, as for every request to the server, TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS,
 * TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_token(trill_engine *engine,
                            const char *session_id,
                            trill_session_access_done done,
                            void *user_data,
                            trill_error **error);

/* ==================================================================================================================== */
/*
 * Call listeners
 *
 * What happens to calls, a function for each kind. An engine has as many listeners as parts of the app want to know; each
 * has an id of the app's choosing.
 */

/**
 * Told what became of a call. `call` is as it is after that, and lent until the function returns. `by` is the uid of who
 * did it, NULL when nobody did, as with a time-out; lent as well.
 */
typedef void (*trill_call_function)(void *user_data, const trill_call *call, const char *by);

/**
 * Start from TRILL_CALL_LISTENER_INIT; members that are NULL are skipped. The functions run where the engine's callbacks
 * run, and may add and remove listeners, themselves included.
 */
struct trill_call_listener {
    size_t struct_size;
    /** Handed to each of these functions. */
    void *user_data;
    /** Somebody calls this user: ring, then trill_call_accept or trill_call_reject. */
    trill_call_function incoming_call_received;
    /** A first device of the callee rings. */
    trill_call_function outgoing_call_ringing;
    /** The callee accepted: start the session. */
    trill_call_function outgoing_call_accepted;
    /** The callee rejected. */
    trill_call_function outgoing_call_rejected;
    /** The callee is in another call. */
    trill_call_function outgoing_call_busy;
    /** Nobody answered in time. */
    trill_call_function outgoing_call_unanswered;
    /** The initiator gave up, or nobody answered in time: stop ringing. */
    trill_call_function incoming_call_cancelled;
    /** Another device of this user accepted: stop ringing. */
    trill_call_function answered_elsewhere;
    /** Another device of this user rejected: stop ringing. */
    trill_call_function rejected_elsewhere;
    /** The call that this device was in, or dialled, is over; call->end_reason says why. */
    trill_call_function call_ended;
    /** Once, when the listener is gone and none of its functions runs any more. */
    trill_drop_user_data drop_user_data;
};

/**
 * Adds a listener; one of the same id is removed first.
 *
 * listener_id: copied. listener: copied; on an error its drop_user_data is not called.
 *
 * Status: TRILL_STATUS_TOO_MANY_REQUESTS (over 256 listeners).
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_listener_add(trill_engine *engine,
                                const char *listener_id,
                                const trill_call_listener *listener,
                                trill_error **error);

/**
 * Removes a listener. After it returns none of its functions begins, and none runs, save the one that it was called
 * from. One that is running is waited for: do not hold a lock that it needs, nor one that any other callback of this engine needs.
 *
 * listener_id: read during the call.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (there is none of that id).
 * Also TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_listener_remove(trill_engine *engine,
                                   const char *listener_id,
                                   trill_error **error);

/* ==================================================================================================================== */
/*
 * Calls from a push
 *
 * A callee without a connected device is woken by a push of its platform's, which carries a small payload from the server.
 * An app that is woken logs in and hands the payload over: then the call rings here, or is known to be over.
 */

/** It rings here; TRILL_EVENT_INCOMING_RECEIVED tells of it, once. */
#define TRILL_PUSH_OUTCOME_RINGING 1

/** This device is in the call. */
#define TRILL_PUSH_OUTCOME_IN_CALL 2

/** Another device of this user accepted. */
#define TRILL_PUSH_OUTCOME_ANSWERED_ELSEWHERE 3

/** Another device of this user rejected. */
#define TRILL_PUSH_OUTCOME_REJECTED_ELSEWHERE 4

/** It is over: the caller gave up, nobody answered, or it was talked and ended. */
#define TRILL_PUSH_OUTCOME_OVER 5

/** What became of a call that a push announced. Made by the library: new members are added at the end. */
struct trill_pushed_call {
    /** TRILL_PUSH_OUTCOME_*. */
    int32_t outcome;
    /** As it is now. Never NULL. */
    const trill_call *call;
};

/** Told what became of a call. `pushed` is NULL on failure, `error` otherwise; both are lent until the function returns. */
typedef void (*trill_pushed_call_done)(void *user_data,
                                       int32_t status,
                                       const trill_pushed_call *pushed,
                                       const trill_error *error);

/** What stands in a wake payload. Made by the library: new members are added at the end. */
struct trill_wake {
    /** Whose devices are to ring. Never NULL. */
    const char *uid;
    /** The call's. Never NULL. */
    const char *session_id;
    /** Who calls; without an avatar. Never NULL. */
    const trill_user *from;
    /** The guid of the group that is called; NULL when it is the user alone. */
    const char *group;
    /** TRILL_CALL_TYPE_*. */
    int32_t call_type;
    /** When it is of no use any more, in ms since 1970. */
    uint64_t expires_at_ms;
};

/**
 * Hands over a push's payload, and asks what became of its call. Log in first, or at once before it: it waits for a login
 * that is under way, and finds out within 2 s whether the connection died while the device slept.
 *
 * payload: payload_size bytes as the server gave them to the push service; copied.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_MALFORMED, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_TOKEN_EXPIRED (too late: the call rings no more),
 * TRILL_STATUS_NOT_A_PARTY (it is for another user), TRILL_STATUS_TOKEN_WRONG_KEY (the server did not sign it),
 * TRILL_STATUS_CALL_NOT_FOUND, or, as for every request to the server, TRILL_STATUS_TIMED_OUT,
 * TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_from_push(trill_engine *engine,
                             const uint8_t *payload,
                             size_t payload_size,
                             trill_pushed_call_done done,
                             void *user_data,
                             trill_error **error);

/**
 * Reads who calls out of a push's payload, without a network: for systems that want it shown at once. Nothing of it is
 * proven until trill_call_from_push has asked the server.
 *
 * payload: payload_size bytes, read during the call.
 * out: set to what stands in it, which trill_wake_free frees.
 *
 * Status: TRILL_STATUS_MALFORMED, TRILL_STATUS_TOO_LARGE. Any thread; needs no engine.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_INTERNAL.
 */
int32_t trill_wake_read(const uint8_t *payload,
                        size_t payload_size,
                        trill_wake **out,
                        trill_error **error);

/**
 * Frees what trill_wake_read gave; NULL is fine. Any thread.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
 * Also TRILL_STATUS_INTERNAL.
 */
int32_t trill_wake_free(trill_wake *wake);

/* ==================================================================================================================== */
/*
 * Devices
 *
 * The machine's microphones, speakers and cameras. The settings of a session choose one by its name or id, and so do these
 * functions while it runs.
 */

#define TRILL_DEVICE_KIND_MICROPHONE 1

#define TRILL_DEVICE_KIND_SPEAKER 2

#define TRILL_DEVICE_KIND_CAMERA 3

/** Where a participant's picture goes to. In events only: there is nothing to list. */
#define TRILL_DEVICE_KIND_VIDEO_OUTPUT 4

/** The chosen device, and the default one while it is not there. With no choice: TRILL_DEVICE_POLICY_FOLLOW_DEFAULT. */
#define TRILL_DEVICE_POLICY_FALL_BACK 0

/** The default device, also when that becomes another one; which one was chosen does not matter. */
#define TRILL_DEVICE_POLICY_FOLLOW_DEFAULT 1

/** The chosen device and no other: silence until it is back. With no choice: the one that was the default at first. */
#define TRILL_DEVICE_POLICY_KEEP 2

/** The chosen device. Once it fails, silence, until the app chooses again. */
#define TRILL_DEVICE_POLICY_SILENCE 3

/** One device of the machine's. */
struct trill_device {
    /** For people. Never NULL. */
    const char *name;
    /** Names it where names are not unique. Never NULL. */
    const char *id;
    /** Not 0: the one that is used when none is named. */
    int32_t is_default;
};

/** The devices of one kind. */
struct trill_devices {
    /** NULL when there are none. */
    const trill_device *devices;
    size_t device_count;
};

/**
 * Lists the devices of a kind, as they are now. It asks the system, which can take a second: not for the thread that draws,
 * nor inside callbacks.
 *
 * kind: TRILL_DEVICE_KIND_MICROPHONE, TRILL_DEVICE_KIND_SPEAKER or TRILL_DEVICE_KIND_CAMERA.
 * out: set to the list, which trill_devices_free frees. It is empty when there are none.
 *
 * Status: TRILL_STATUS_DEVICE_UNAVAILABLE (the system does not tell), TRILL_STATUS_NOT_SUPPORTED (a library built without
 * devices). Any thread; needs no engine.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_INTERNAL.
 */
int32_t trill_devices_list(int32_t kind,
                           trill_devices **out,
                           trill_error **error);

/**
 * Frees a list that trill_devices_list gave; NULL is fine. Any thread.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
 * Also TRILL_STATUS_INTERNAL.
 */
int32_t trill_devices_free(trill_devices *devices);

/**
 * Takes another of the machine's devices in a session from now on. What comes of it is told as TRILL_EVENT_DEVICE_CHANGED.
 *
 * session_id: read during the call. kind: TRILL_DEVICE_KIND_MICROPHONE, TRILL_DEVICE_KIND_SPEAKER or
 * TRILL_DEVICE_KIND_CAMERA. name: its name or id, copied; NULL for the default one. policy: TRILL_DEVICE_POLICY_*.
 *
 * Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_DEVICE_UNAVAILABLE (the session was started with something else in
 * its place). Any thread.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 */
int32_t trill_session_choose_device(trill_engine *engine,
                                    const char *session_id,
                                    int32_t kind,
                                    const char *name,
                                    int32_t policy,
                                    trill_error **error);

/**
 * Says how loud one of the machine's microphones or speakers is in a session, for this app alone.
 *
 * session_id: read during the call. kind: TRILL_DEVICE_KIND_MICROPHONE or TRILL_DEVICE_KIND_SPEAKER. volume: 0 for silence, 1
 * as it is, 4 (12 dB more) at most; what gets too loud is clipped.
 *
 * Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_DEVICE_UNAVAILABLE (the session was started with something else in
 * its place). Any thread.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 */
int32_t trill_session_set_volume(trill_engine *engine,
                                 const char *session_id,
                                 int32_t kind,
                                 float volume,
                                 trill_error **error);

/* ==================================================================================================================== */
/*
 * What devices can
 *
 * The channels and rates of a microphone or speaker, the pictures of a camera. A session chooses by itself, so this is for apps
 * that show it or have to know.
 */

/** One thing that a device can. Of a microphone or speaker, channels and sample rates are set; of a camera all the others. */
struct trill_device_format {
    uint32_t channels;
    /** In Hz: all from the lowest to the highest, which may be the same. */
    uint32_t sample_rate_min;
    uint32_t sample_rate_max;
    /** "nv12", "i420", "yuyv", "rgb", "bgr", "gray" or "mjpeg"; more may come. NULL for sound. */
    const char *pixels;
    uint32_t width;
    uint32_t height;
    /** Pictures a second. */
    uint32_t fps;
};

/** All that a device can. */
struct trill_device_formats {
    /** NULL when nothing of it is supported. */
    const trill_device_format *formats;
    /** At most 256 of a microphone or speaker. */
    size_t format_count;
    /**
     * With what a microphone or speaker is opened in a session, the rate in Hz; 0 for a camera, which is opened in the format that
     * comes nearest to the size and rate of the settings.
     */
    uint32_t channels;
    uint32_t sample_rate;
};

/**
 * Asks a device what it can. It is opened for that, without sound or a picture being taken, which can take a second: not for the
 * thread that draws, nor inside callbacks. A call that it is in is not disturbed.
 *
 * kind: TRILL_DEVICE_KIND_MICROPHONE, TRILL_DEVICE_KIND_SPEAKER or TRILL_DEVICE_KIND_CAMERA. name: its name or id, read during
 * the call; NULL for the default one. out: set to what it can, which trill_device_formats_free frees.
 *
 * Status: TRILL_STATUS_DEVICE_UNAVAILABLE (it is not there, taken by another program, or access is refused: the error says
 * which), TRILL_STATUS_NOT_SUPPORTED (a library built without devices). Any thread; needs no engine.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_INTERNAL.
 */
int32_t trill_device_formats_read(int32_t kind,
                                  const char *name,
                                  trill_device_formats **out,
                                  trill_error **error);

/**
 * Frees what trill_device_formats_read gave; NULL is fine. Any thread.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
 * Also TRILL_STATUS_INTERNAL.
 */
int32_t trill_device_formats_free(trill_device_formats *formats);

/* ==================================================================================================================== */
/*
 * What a session sends and where it plays to
 *
 * All that is zero is a default. The defaults send nothing and play to nowhere but the callbacks.
 */

/** No audio is sent. */
#define TRILL_AUDIO_SOURCE_NONE 0

/** A sine tone, 12 dB below overload. */
#define TRILL_AUDIO_SOURCE_TONE 1

/** A WAV file of any rate and channels, in real time. */
#define TRILL_AUDIO_SOURCE_FILE 2

/** What the app pushes with trill_session_push_audio. */
#define TRILL_AUDIO_SOURCE_PUSHED 3

/** The machine's microphone. */
#define TRILL_AUDIO_SOURCE_MICROPHONE 4

/** No video is sent. */
#define TRILL_VIDEO_SOURCE_NONE 0

/** A moving picture with a frame number in it. */
#define TRILL_VIDEO_SOURCE_TEST_PICTURE 1

/** A Y4M file (4:2:0, 8 bit), in real time. */
#define TRILL_VIDEO_SOURCE_FILE 2

/** What the app pushes with trill_session_push_video. */
#define TRILL_VIDEO_SOURCE_PUSHED 3

/** A camera of the machine's, in its format that comes nearest to the size and rate of the settings. */
#define TRILL_VIDEO_SOURCE_CAMERA 4

/**
 * A camera's picture is sent in up to three sizes at a time while there are more than two in the session, so that each of the
 * others gets the one that its connection carries. Between two it comes in one size, fitted to what the other can take: no
 * encoder runs in vain.
 */
#define TRILL_SIMULCAST_IN_GROUPS 0

/** In several sizes whoever is there. */
#define TRILL_SIMULCAST_ALWAYS 1

/** In one size, which the narrowest connection of all who watch sets. */
#define TRILL_SIMULCAST_NEVER 2

/** How to be in a session. Start from TRILL_SESSION_SETTINGS_INIT; zero means default. */
struct trill_session_settings {
    size_t struct_size;
    /** TRILL_AUDIO_SOURCE_*. */
    int32_t audio_source;
    /** Of TRILL_AUDIO_SOURCE_FILE: not 0 for over and over. */
    int32_t audio_looped;
    /** Of TRILL_AUDIO_SOURCE_FILE. */
    const char *audio_file;
    /** Of TRILL_AUDIO_SOURCE_TONE, in Hz; 0 for 440. */
    float audio_tone_hz;
    /** Of TRILL_AUDIO_SOURCE_PUSHED, in Hz, 4,000 to 384,000; 0 for 48,000. */
    uint32_t audio_sample_rate;
    /** Of TRILL_AUDIO_SOURCE_PUSHED, 1 to 32; 0 for 1. They are mixed down: calls are mono. */
    uint32_t audio_channels;
    /** The most that audio is encoded at (a narrow path gets less), 6,000 to 510,000 bit/s; 0 for 32,000. */
    uint32_t audio_bitrate_bps;
    /** TRILL_VIDEO_SOURCE_*. */
    int32_t video_source;
    /** Of TRILL_VIDEO_SOURCE_FILE: not 0 for over and over. */
    int32_t video_looped;
    /** Of TRILL_VIDEO_SOURCE_FILE. */
    const char *video_file;
    /** The largest picture sent, in pixels, 16 to 8192, and the size of the test picture; 0 for 1280. */
    uint32_t video_width;
    /** As video_width; 0 for 720. */
    uint32_t video_height;
    /** The most pictures sent in a second, 1 to 120; 0 for 30. */
    uint32_t video_fps;
    /**
     * The most that video is encoded at (a narrow path gets less, and smaller pictures), 30,000 to 20,000,000 bit/s; 0 for 1,500,000.
     * Where the picture is sent in several sizes, that of the largest; the others take 40 % of it together.
     */
    uint32_t video_bitrate_bps;
    /** Not 0: no video is sent, and none is received, whatever else is said here. */
    int32_t audio_only;
    /** Not 0: nothing is captured or sent until trill_session_set_muted says so. */
    int32_t start_audio_muted;
    /** As start_audio_muted, for video. */
    int32_t start_video_paused;
    /** Where the mix of all the others goes to, beside the callback audio_frame: a WAV file, made anew. NULL for none. */
    const char *audio_output_file;
    /**
     * Where each picture goes to, beside the callback video_frame: a folder that gets a Y4M file for each track, named by
     * its id. NULL for none. A file of either that fails is told by TRILL_EVENT_DEVICE_CHANGED, and the session goes on.
     */
    const char *video_output_folder;
    /** Not 0: tracks are received only when trill_session_subscribe asks for them. */
    int32_t manual_subscribe;
    /** How long a broken connection is tried to be restored, in ms; 0 for 20,000. */
    uint32_t reconnect_timeout_ms;
    /** Of TRILL_AUDIO_SOURCE_MICROPHONE: its name or id; NULL for the machine's default. */
    const char *microphone;
    /** Of TRILL_VIDEO_SOURCE_CAMERA: its name or id; NULL for the first one. */
    const char *camera;
    /** Not 0: the mix of all the others is played on a speaker of the machine's. */
    int32_t play;
    /** Which one, by name or id; NULL for the machine's default. */
    const char *speaker;
    /**
     * What is done to our voice: TRILL_VOICE_* added up, or TRILL_VOICE_NONE. 0: all of it to a microphone's, nothing to any
     * other source's.
     */
    int32_t voice_processing;
    /** How often TRILL_EVENT_STATISTICS comes, in ms, 100 to 3,600,000; 0 for never. */
    uint32_t statistics_interval_ms;
    /**
     * What is done when one of the machine's devices is not there, fails, or is not the default one any more:
     * TRILL_DEVICE_POLICY_*.
     */
    int32_t device_policy;
    /**
     * How long we may be the only one in the session, in ms, 1,000 to 86,400,000; 0 for without limit. Then it ends, with
     * TRILL_SESSION_END_LEFT_ALONE. It counts from when the last of the others has left, or, while nobody has come yet, from
     * our join; and anew from when a broken connection is restored. For calls the server has a time of its own, of 180 s unless
     * its owner sets another, after which the call itself is over; this one ends the session alone: where the call is to be over
     * as well, hang up with trill_call_end.
     */
    uint32_t left_alone_timeout_ms;
    /** TRILL_SIMULCAST_*. */
    int32_t simulcast;
    /**
     * Not 0: while nobody talks, next to nothing is sent of the audio (discontinuous transmission), and the others hear the
     * noise of the room as it was. For voices: music and tones may be taken for noise.
     */
    int32_t audio_dtx;
};

/* ==================================================================================================================== */
/*
 * What a session tells
 *
 * A function for each kind of event, and functions for media. All may be NULL.
 */

/** Gets each decoded picture of a participant's track. `frame` is lent until the function returns. */
typedef void (*trill_video_frame_function)(void *user_data,
                                           const char *identity,
                                           const char *track_id,
                                           const trill_video_frame *frame);

/** Gets the mix of all the others, 20 ms at a time. `frame` is lent until the function returns. */
typedef void (*trill_audio_frame_function)(void *user_data, const trill_audio_frame *frame);

/** Gets what one participant says, alone, 20 ms at a time. `frame` is lent until the function returns. */
typedef void (*trill_participant_audio_function)(void *user_data,
                                                 const char *identity,
                                                 const trill_audio_frame *frame);

/**
 * Start from TRILL_SESSION_CALLBACKS_INIT; members that are NULL are skipped. Those for events get the event as
 * trill_event describes it, and run where the engine's callbacks run; they may call any function, also the one that ends
 * the session. Those for frames run on media threads, at the same time as others, and must not block: copy the frame and
 * return.
 */
struct trill_session_callbacks {
    size_t struct_size;
    /** Handed to each of these functions. */
    void *user_data;
    /** The server let us in. */
    trill_event_function joined;
    /** Media can flow. */
    trill_event_function connected;
    trill_event_function participant_joined;
    trill_event_function participant_left;
    trill_event_function participant_updated;
    trill_event_function track_published;
    trill_event_function track_unpublished;
    trill_event_function track_subscribed;
    trill_event_function track_unsubscribed;
    trill_event_function track_muted;
    trill_event_function track_unmuted;
    /** The first audio of a track was played. */
    trill_event_function first_audio;
    /** The first picture of a track was shown. */
    trill_event_function first_video;
    trill_event_function active_speakers;
    trill_event_function quality_changed;
    /** A message from a participant. */
    trill_event_function data;
    trill_event_function reconnecting;
    trill_event_function reconnected;
    /** Something failed, and the session goes on without it. */
    trill_event_function error;
    /** The last one. A session that never came about is told by the completion of trill_session_start as well. */
    trill_event_function ended;
    /** On the media thread of the track. */
    trill_video_frame_function video_frame;
    /** On the playout thread of the session. */
    trill_audio_frame_function audio_frame;
    /** On the playout thread of the session. */
    trill_participant_audio_function participant_audio_frame;
    /** Once, after the last of these functions has returned. Not called when trill_session_start returns an error. */
    trill_drop_user_data drop_user_data;
    /** One of our own devices works, is lost or has failed; the session goes on. */
    trill_event_function device_changed;
    /** As often as the settings' statistics_interval_ms asks for. */
    trill_event_function statistics;
};

/* ==================================================================================================================== */
/*
 * Sessions
 *
 * The media of a call, or of any room that a session token opens. With the url and token of trill_session_token one starts
 * it; it ends with trill_session_end, with its call, or when the server or the network ends it.
 */

/**
 * Joins a session, publishes what the settings say, and plays the others. Returns at once.
 *
 * session_id: names it in events and in later calls; of a call, the call's. url: the session server's, with http, https, ws
 * or wss. token: a session token. All are copied.
 * settings: read during the call; NULL for the defaults. callbacks: copied; NULL for none.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. 0 when the server has let us in; media connects
 * meanwhile. Otherwise its status is TRILL_STATUS_ALREADY_JOINED, TRILL_STATUS_SERVER_UNREACHABLE, TRILL_STATUS_TLS_REFUSED,
 * one of TRILL_STATUS_TOKEN_*, TRILL_STATUS_NOT_YET_ACCEPTED, TRILL_STATUS_ROOM_CLOSED (the call is over),
 * TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ROOM_FULL, TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_SERVER_UNAVAILABLE,
 * TRILL_STATUS_STORE_FAILED, TRILL_STATUS_MALFORMED (what answers is no session server), TRILL_STATUS_MEDIA_FILE,
 * TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TIMED_OUT, TRILL_STATUS_CANCELLED (it was ended before), or why the server put us
 * out at once: TRILL_STATUS_DUPLICATE_IDENTITY, TRILL_STATUS_PARTICIPANT_REMOVED or TRILL_STATUS_MEDIA_UNREACHABLE. A
 * microphone, speaker or camera that does not work is no error: TRILL_EVENT_DEVICE_CHANGED tells of it, and it is used as soon
 * as it does.
 *
 * Status: TRILL_STATUS_ALREADY_JOINED (this engine is in it), TRILL_STATUS_MEDIA_FILE (an output cannot be written),
 * TRILL_STATUS_NOT_SUPPORTED (a library built without devices).
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_start(trill_engine *engine,
                            const char *session_id,
                            const char *url,
                            const char *token,
                            const trill_session_settings *settings,
                            const trill_session_callbacks *callbacks,
                            trill_done done,
                            void *user_data,
                            trill_error **error);

/**
 * Leaves a session, also one that is still starting. After `done` none of its callbacks runs any more. Returns at once.
 *
 * session_id: copied.
 * done: called exactly once if 0 is returned, else not at all; may be NULL; within 2 s, also with the network dead. Its
 * status is TRILL_STATUS_SESSION_NOT_FOUND, or TRILL_STATUS_TIMED_OUT when what is left goes on in the background.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_end(trill_engine *engine,
                          const char *session_id,
                          trill_done done,
                          void *user_data,
                          trill_error **error);

/**
 * Mutes or unmutes what we send: while muted nothing is captured or sent, and the others are told. Video is paused in the
 * same way.
 *
 * session_id: copied. source: TRILL_SOURCE_MICROPHONE or TRILL_SOURCE_CAMERA. muted: not 0 for muted.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_SESSION_NOT_FOUND, or
 * TRILL_STATUS_TRACK_NOT_FOUND (we send nothing of that source).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_set_muted(trill_engine *engine,
                                const char *session_id,
                                int32_t source,
                                int32_t muted,
                                trill_done done,
                                void *user_data,
                                trill_error **error);

/**
 * Takes what we send of one source back, for good.
 *
 * session_id: copied. source: TRILL_SOURCE_MICROPHONE or TRILL_SOURCE_CAMERA.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_SESSION_NOT_FOUND or
 * TRILL_STATUS_TRACK_NOT_FOUND.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_unpublish(trill_engine *engine,
                                const char *session_id,
                                int32_t source,
                                trill_done done,
                                void *user_data,
                                trill_error **error);

/**
 * Asks for a track of another participant, or gives it up.
 *
 * session_id, track_id: copied. subscribe: not 0 to ask for it.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_SESSION_NOT_FOUND or
 * TRILL_STATUS_TRACK_NOT_FOUND.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_subscribe(trill_engine *engine,
                                const char *session_id,
                                const char *track_id,
                                int32_t subscribe,
                                trill_done done,
                                void *user_data,
                                trill_error **error);

/**
 * Sends a message to others in a session.
 *
 * session_id, payload, topic, destinations: copied. payload: up to 15 KiB; NULL when payload_size is 0. topic: lets
 * receivers tell messages apart, up to 256 bytes; may be NULL. reliable: not 0 for ordered, and resent until it arrives.
 * destinations: identities; NULL and 0 for everyone.
 * done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_SESSION_NOT_FOUND,
 * TRILL_STATUS_TOO_LARGE, TRILL_STATUS_TOKEN_MISSING_GRANT or TRILL_STATUS_TOO_MANY_REQUESTS.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_send_data(trill_engine *engine,
                                const char *session_id,
                                const uint8_t *payload,
                                size_t payload_size,
                                const char *topic,
                                int32_t reliable,
                                const char *const *destinations,
                                size_t destination_count,
                                trill_done done,
                                void *user_data,
                                trill_error **error);

/* ==================================================================================================================== */
/*
 * Voice processing
 *
 * What is done to our voice before it is sent. By default all of it to a microphone's, and nothing to any other source's.
 */

/** Takes what the speaker plays out of what the microphone hears. */
#define TRILL_VOICE_ECHO_CANCELLATION 1

/** Takes steady noise down. */
#define TRILL_VOICE_NOISE_SUPPRESSION 2

/** Brings a soft or distant voice to a level that is easy to hear. */
#define TRILL_VOICE_GAIN_CONTROL 4

/** Takes out what lies below a voice: rumble, wind and hum. */
#define TRILL_VOICE_HIGH_PASS 8

/** Nothing is done: the sound passes as it is. Not together with others. */
#define TRILL_VOICE_NONE 16

/**
 * Says what is done to our voice from the next 20 ms on.
 *
 * session_id: read during the call. processing: TRILL_VOICE_* added up, or TRILL_VOICE_NONE.
 *
 * Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_INVALID_ARGUMENT (processing). Any thread.
 * Also TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 */
int32_t trill_session_set_voice_processing(trill_engine *engine,
                                           const char *session_id,
                                           int32_t processing,
                                           trill_error **error);

/**
 * What is done to our voice.
 *
 * session_id: read during the call. out: set to TRILL_VOICE_* added up, or to TRILL_VOICE_NONE.
 *
 * Status: TRILL_STATUS_SESSION_NOT_FOUND. Any thread.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 */
int32_t trill_session_voice_processing(trill_engine *engine,
                                       const char *session_id,
                                       int32_t *out,
                                       trill_error **error);

/* ==================================================================================================================== */
/*
 * Participants and tracks
 *
 * Who is in a session, and what they publish. A participant is named by its identity, which in a call is its uid; a track
 * by its id.
 */

#define TRILL_TRACK_KIND_AUDIO 1

#define TRILL_TRACK_KIND_VIDEO 2

/** Where a track comes from. This engine publishes TRILL_SOURCE_MICROPHONE and TRILL_SOURCE_CAMERA. */
#define TRILL_SOURCE_MICROPHONE 1

#define TRILL_SOURCE_CAMERA 2

#define TRILL_SOURCE_SCREEN_SHARE 3

#define TRILL_SOURCE_SCREEN_SHARE_AUDIO 4

/** Its publisher does not say. */
#define TRILL_SOURCE_UNKNOWN 5

/** Not measured yet. */
#define TRILL_QUALITY_UNKNOWN 0

#define TRILL_QUALITY_LOST 1

#define TRILL_QUALITY_POOR 2

#define TRILL_QUALITY_GOOD 3

#define TRILL_QUALITY_EXCELLENT 4

/** One published track. */
struct trill_track {
    /** Never NULL. */
    const char *id;
    /** TRILL_TRACK_KIND_*. */
    int32_t kind;
    /** TRILL_SOURCE_*. */
    int32_t source;
    /** For people; may be empty. */
    const char *name;
    /** Such as "video/VP8"; empty until the server knows it. */
    const char *mime_type;
    int32_t muted;
    /** Not 0: the server sends it to us. */
    int32_t subscribed;
    /** In pixels, as its publisher announced it; 0 for audio. */
    uint32_t width;
    /** In pixels, as its publisher announced it; 0 for audio. */
    uint32_t height;
};

/** One of a participant's attributes. */
struct trill_attribute {
    /** Never NULL. */
    const char *name;
    /** Never NULL; may be empty. */
    const char *value;
};

/** One presence of someone in a session. */
struct trill_participant {
    /** Who it is. Never NULL. */
    const char *identity;
    /** Names this presence: new at each join. */
    const char *id;
    /** For people; may be empty. */
    const char *name;
    /** The app's own; may be empty. */
    const char *metadata;
    const trill_track *tracks;
    size_t track_count;
    int32_t speaking;
    /** While speaking, 0 to 1, linear. */
    float level;
    /** TRILL_QUALITY_*. */
    int32_t quality;
    /** The app's own, each of them a name and a value; ordered by name. */
    const trill_attribute *attributes;
    size_t attribute_count;
};

/** Everyone in a session. */
struct trill_participants {
    /** Ourselves first, if the server has let us in. */
    const trill_participant *participants;
    size_t participant_count;
};

/** One who speaks. */
struct trill_speaker {
    const char *identity;
    /** 0 to 1, linear. */
    float level;
};

/**
 * Who is in a session at the moment.
 *
 * session_id: read during the call.
 * out: set to the list, which trill_participants_free frees.
 *
 * Status: TRILL_STATUS_SESSION_NOT_FOUND.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_participants(trill_engine *engine,
                                   const char *session_id,
                                   trill_participants **out,
                                   trill_error **error);

/**
 * Frees a list that trill_session_participants gave; NULL is fine. Any thread.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
 * Also TRILL_STATUS_INTERNAL.
 */
int32_t trill_participants_free(trill_participants *participants);

/* ==================================================================================================================== */
/*
 * Frames
 *
 * Decoded media for the app, and media that the app pushes instead of a device. Handing a frame over copies it at most
 * once; a callback is lent the engine's own memory.
 */

/**
 * One I420 picture: 8-bit planes Y, U, V; U and V have half the width and height, rounded up. Start from
 * TRILL_VIDEO_FRAME_INIT to push one.
 */
struct trill_video_frame {
    size_t struct_size;
    const uint8_t *y;
    const uint8_t *u;
    const uint8_t *v;
    /** Bytes from one row of y to the next, at least width. */
    size_t stride_y;
    /** Bytes from one row of u to the next, at least half the width, rounded up. */
    size_t stride_u;
    /** As stride_u, for v. */
    size_t stride_v;
    /** In pixels, 1 to 8192. */
    uint32_t width;
    /** In pixels, 1 to 8192. */
    uint32_t height;
    /** How to turn it before it is shown, clockwise: 0, 90, 180 or 270. */
    uint32_t rotation;
    /** On the track's own clock, in microseconds; grows from one picture to the next. */
    uint64_t timestamp_us;
};

/** Audio: interleaved signed 16-bit samples. Made by the library: new members are added at the end. */
struct trill_audio_frame {
    /** samples_per_channel * channels of them. */
    const int16_t *samples;
    size_t samples_per_channel;
    /** In Hz; 48,000 at present. */
    uint32_t sample_rate;
    /** 1 at present: calls are mono. */
    uint32_t channels;
    /** Since the first frame, in microseconds. */
    uint64_t timestamp_us;
};

/**
 * Pushes audio into a session that was started with TRILL_AUDIO_SOURCE_PUSHED: interleaved signed 16-bit samples of the
 * rate and channels in its settings, any number of them. Never blocks; copies what it takes. Silence is sent while nothing
 * is pushed; up to 200 ms may wait.
 *
 * session_id: read during the call. samples: samples_per_channel * channels of them, read during the call.
 *
 * Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_NOT_ALLOWED_IN_STATE (another source), TRILL_STATUS_TOO_MANY_REQUESTS
 * (faster than real time: what does not fit is dropped), TRILL_STATUS_SHUT_DOWN (nothing is sent any more). Any thread, one
 * at a time for one session.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_INTERNAL.
 */
int32_t trill_session_push_audio(trill_engine *engine,
                                 const char *session_id,
                                 const int16_t *samples,
                                 size_t samples_per_channel,
                                 trill_error **error);

/**
 * As trill_session_push_audio, with samples from -1 to 1.
 *
 * Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_NOT_ALLOWED_IN_STATE, TRILL_STATUS_TOO_MANY_REQUESTS,
 * TRILL_STATUS_SHUT_DOWN. Any thread, one at a time for one session.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_INTERNAL.
 */
int32_t trill_session_push_audio_float(trill_engine *engine,
                                       const char *session_id,
                                       const float *samples,
                                       size_t samples_per_channel,
                                       trill_error **error);

/**
 * Pushes a picture into a session that was started with TRILL_VIDEO_SOURCE_PUSHED. Never blocks; copies it once.
 *
 * session_id: read during the call. frame: read during the call, its planes as well.
 *
 * Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_NOT_ALLOWED_IN_STATE (another source), TRILL_STATUS_TOO_MANY_REQUESTS
 * (faster than they are encoded: this one was dropped), TRILL_STATUS_SHUT_DOWN (nothing is sent any more). Any thread.
 * Also TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_INTERNAL.
 */
int32_t trill_session_push_video(trill_engine *engine,
                                 const char *session_id,
                                 const trill_video_frame *frame,
                                 trill_error **error);

/* ==================================================================================================================== */
/*
 * Statistics
 *
 * What a session sends and receives, track by track. Counters are since the start of the session. An app asks for them, or
 * has them told at an interval of the settings'.
 */

/** One track that we send. Members of the other kind of media are 0. */
struct trill_sent_track {
    /** TRILL_SOURCE_*. */
    int32_t source;
    int32_t muted;
    uint64_t packets;
    /** RTP payload. */
    uint64_t bytes;
    /** By the receiver's count; repaired ones may be in it. */
    uint32_t packets_lost;
    /** Smoothed, 0 to 100. */
    uint32_t loss_percent;
    /** By the receiver's measure (RFC 3550), in microseconds. */
    uint64_t jitter_us;
    /** Round trip, in microseconds; 0 until it is known. */
    uint64_t round_trip_us;
    /** How loud the last frame was, in dB below overload: 0 to 127. */
    uint64_t audio_minus_dbov;
    uint64_t video_frames;
    uint64_t video_key_frames;
    /** In pixels. */
    uint32_t video_width;
    /** In pixels. */
    uint32_t video_height;
    /** Pictures a second, in thousandths. */
    uint64_t video_millifps;
    /** What encoding a picture takes, smoothed, in microseconds. */
    uint64_t video_encode_us;
    /** Packets that the receiver asked for again. */
    uint64_t packets_nacked;
    /** Packets that were made and not sent: there was no connection, or no room. */
    uint64_t packets_unsent;
    /** Requests for a key frame that came in. */
    uint64_t video_plis;
    /** Pictures left out to hold the bitrate. */
    uint64_t video_left_out;
    /** 1 while layers, size or pictures are left out because the machine has not the time to encode them. */
    uint64_t video_cpu_limited;
};

/** One track that we receive. Members of the other kind of media are 0. */
struct trill_received_track {
    /** Whose it is. */
    const char *identity;
    const char *track_id;
    /** TRILL_SOURCE_*. */
    int32_t source;
    uint64_t packets;
    /** RTP payload. */
    uint64_t bytes;
    /** Packets that never came, or too late. */
    uint64_t packets_lost;
    /** Pieces of 20 ms that were made up because a packet was missing. */
    uint64_t audio_concealed;
    /** Lost packets recovered from their successors. */
    uint64_t audio_fec_recovered;
    /** Interarrival jitter (RFC 3550), in microseconds. */
    uint64_t audio_jitter_us;
    /** Audio waiting to be played, in microseconds. */
    uint64_t audio_buffer_us;
    /** How loud the last frame was, in dB below overload: 0 to 127. */
    uint64_t audio_minus_dbov;
    uint64_t video_frames;
    uint64_t video_key_frames;
    /** Requests for a key frame. */
    uint64_t video_plis;
    /** Times that the picture stood until a key frame came. */
    uint64_t video_freezes;
    /** In pixels. */
    uint32_t video_width;
    /** In pixels. */
    uint32_t video_height;
    /** Pictures a second, in thousandths. */
    uint64_t video_millifps;
    /** What decoding a picture takes, smoothed, in microseconds. */
    uint64_t video_decode_us;
    /** Packets that came and were not looked at: there was no room. */
    uint64_t packets_dropped;
    /** Packets of audio, or pictures, that the decoder refused. */
    uint64_t undecodable;
    /** How long audio waits, as the network's jitter asks for, in microseconds. */
    uint64_t audio_target_us;
};

/** A session at one moment. Made by the library: new members are added at the end. */
struct trill_statistics {
    /** From the start of the session, in microseconds; 0 for what has not happened. */
    uint64_t joined_after_us;
    /** As joined_after_us. */
    uint64_t connected_after_us;
    /** As joined_after_us. */
    uint64_t first_audio_after_us;
    /** As joined_after_us. */
    uint64_t first_video_after_us;
    /** Round trip of the latest ping over signalling, in ms; 0 before the first. */
    uint64_t signal_round_trip_ms;
    /** Everything on the wire of our connections, headers of IP and UDP left out. */
    uint64_t bytes_sent;
    /** As bytes_sent. */
    uint64_t bytes_received;
    const trill_sent_track *sent;
    size_t sent_count;
    const trill_received_track *received;
    size_t received_count;
    /** What our path to the server is estimated to carry of what we send, in bit/s; 0 before there was feedback. */
    uint32_t send_estimate_bps;
    /** How long our packets wait in the queue of that path's bottleneck, in microseconds; 0 also while it is not known. */
    uint64_t send_queue_us;
    /** Round trip of the connection that we send on, by ICE's own checks, in microseconds; 0 before the first. */
    uint64_t send_round_trip_us;
    /** As send_round_trip_us, of the connection that we receive on. */
    uint64_t receive_round_trip_us;
    /** How often one of the machine's speakers ran out of sound: each run of silence counts once. */
    uint64_t playback_underruns;
};

/**
 * Told the statistics of a session. `statistics` is NULL on failure, `error` otherwise; both are lent until the function
 * returns.
 */
typedef void (*trill_statistics_done)(void *user_data,
                                      int32_t status,
                                      const trill_statistics *statistics,
                                      const trill_error *error);

/**
 * Asks what a session sends and receives.
 *
 * session_id: copied.
 * done: called exactly once if 0 is returned, else not at all. Its status is TRILL_STATUS_SESSION_NOT_FOUND.
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_session_statistics(trill_engine *engine,
                                 const char *session_id,
                                 trill_statistics_done done,
                                 void *user_data,
                                 trill_error **error);

/* ==================================================================================================================== */
/*
 * The call log
 *
 * Every call leaves a record for each party. The log comes in pages, newest first, that stay what they are while calls
 * are added.
 */

/** This user made the call. */
#define TRILL_DIRECTION_OUTGOING 1

/** This user was called. */
#define TRILL_DIRECTION_INCOMING 2

/** Which calls a page holds. Start from TRILL_CALL_LOG_FILTER_INIT; what is 0 or NULL does not filter. */
struct trill_call_log_filter {
    size_t struct_size;
    /** Calls on one page, 1 to 100; 0 for 30. */
    uint32_t limit;
    /** TRILL_CALL_TYPE_*. */
    int32_t call_type;
    /** TRILL_CALL_STATUS_*. */
    int32_t status;
    /** TRILL_DIRECTION_*. */
    int32_t direction;
    /** Calls with this other user. */
    const char *uid;
    /** Initiated at or after this time, in ms since 1970. */
    uint64_t since_ms;
    /** Initiated before this time, in ms since 1970. */
    uint64_t until_ms;
    /** `next` or `previous` of an earlier page with the same filter. */
    const char *cursor;
    /** TRILL_CATEGORY_*. */
    int32_t category;
    /** Calls of this group. */
    const char *guid;
    /** 1 for calls with a recording (this version makes none), -1 for those without. */
    int32_t recording;
};

/** One page of the log. Made by the library: new members are added at the end. */
struct trill_call_log_page {
    /** Newest first. */
    const trill_call *calls;
    size_t call_count;
    /** The cursor of the page with older calls; NULL when there are none. */
    const char *next;
    /** The cursor of the page with newer calls; NULL on the first page. */
    const char *previous;
};

/** Told a page of the log. `page` is NULL on failure, `error` otherwise; both are lent until the function returns. */
typedef void (*trill_call_log_done)(void *user_data,
                                    int32_t status,
                                    const trill_call_log_page *page,
                                    const trill_error *error);

/**
 * Asks for a page of this user's call log.
 *
 * filter: read during the call; NULL for the newest 30.
 * done: called exactly once if 0 is returned, else not at all. Its status is TRILL_STATUS_NOT_LOGGED_IN,
 * TRILL_STATUS_INVALID_ARGUMENT (the limit or the cursor), TRILL_STATUS_TOO_LARGE (the cursor), or, as for every request to the server,
 * TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged
 * out meanwhile).
 *
 * Status: TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_SHUT_DOWN, TRILL_STATUS_INTERNAL.
 * Any thread.
 */
int32_t trill_call_log_fetch(trill_engine *engine,
                             const trill_call_log_filter *filter,
                             trill_call_log_done done,
                             void *user_data,
                             trill_error **error);

#define TRILL_ENGINE_CONFIG_INIT trill_engine_config_init()

/** All defaults. */
static inline trill_engine_config trill_engine_config_init(void)
{
    trill_engine_config init;
    memset(&init, 0, sizeof init);
    init.struct_size = sizeof init;
    return init;
}

#define TRILL_ENGINE_CALLBACKS_INIT trill_engine_callbacks_init()

/** All defaults. */
static inline trill_engine_callbacks trill_engine_callbacks_init(void)
{
    trill_engine_callbacks init;
    memset(&init, 0, sizeof init);
    init.struct_size = sizeof init;
    return init;
}

#define TRILL_CALL_OPTIONS_INIT trill_call_options_init()

/** All defaults. */
static inline trill_call_options trill_call_options_init(void)
{
    trill_call_options init;
    memset(&init, 0, sizeof init);
    init.struct_size = sizeof init;
    return init;
}

#define TRILL_CALL_LISTENER_INIT trill_call_listener_init()

/** All defaults. */
static inline trill_call_listener trill_call_listener_init(void)
{
    trill_call_listener init;
    memset(&init, 0, sizeof init);
    init.struct_size = sizeof init;
    return init;
}

#define TRILL_SESSION_SETTINGS_INIT trill_session_settings_init()

/** All defaults. */
static inline trill_session_settings trill_session_settings_init(void)
{
    trill_session_settings init;
    memset(&init, 0, sizeof init);
    init.struct_size = sizeof init;
    return init;
}

#define TRILL_SESSION_CALLBACKS_INIT trill_session_callbacks_init()

/** All defaults. */
static inline trill_session_callbacks trill_session_callbacks_init(void)
{
    trill_session_callbacks init;
    memset(&init, 0, sizeof init);
    init.struct_size = sizeof init;
    return init;
}

#define TRILL_VIDEO_FRAME_INIT trill_video_frame_init()

/** All defaults. */
static inline trill_video_frame trill_video_frame_init(void)
{
    trill_video_frame init;
    memset(&init, 0, sizeof init);
    init.struct_size = sizeof init;
    return init;
}

#define TRILL_CALL_LOG_FILTER_INIT trill_call_log_filter_init()

/** All defaults. */
static inline trill_call_log_filter trill_call_log_filter_init(void)
{
    trill_call_log_filter init;
    memset(&init, 0, sizeof init);
    init.struct_size = sizeof init;
    return init;
}

#ifdef __cplusplus
}
#endif

#endif /* TRILL_H */
