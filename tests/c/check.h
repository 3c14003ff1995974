/* What the C tests share: a check that says where it failed, and waiting for something with a bound. */
#ifndef CHECK_H
#define CHECK_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <trill.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A status that is to be 0; else the error says why. */
#define OK(call)                                                                                                       \
    do {                                                                                                               \
        trill_error *failure = NULL;                                                                                   \
        trill_error **error = &failure;                                                                                \
        if ((call) != TRILL_STATUS_OK) {                                                                               \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, failure ? failure->message : "no error");    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Counts something that another thread waits for. */
static inline void count(int *counter) {
    pthread_mutex_lock(&mutex);
    ++*counter;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* Waits until it was counted so often, 60 s at most. */
static inline void wait_for(const char *what, const int *counter, int least) {
    struct timespec end;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 60;
    pthread_mutex_lock(&mutex);
    while (*counter < least && !late) {
        late = pthread_cond_timedwait(&changed, &mutex, &end) != 0;
    }
    pthread_mutex_unlock(&mutex);
    if (late) {
        fprintf(stderr, "waited in vain for %s\n", what);
        exit(1);
    }
}

#endif
