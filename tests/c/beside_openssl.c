/* The static library and OpenSSL in one program: both do their cryptography. usage: beside_openssl SERVER TOKEN */
#include "check.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>

static int logged_in;

static void on_user(void *ud, int32_t status, const trill_user *user, const trill_error *error) {
    (void)ud, (void)error;
    CHECK(status == TRILL_STATUS_OK && strcmp(user->uid, "alice") == 0);
    count(&logged_in);
}

int main(int argc, char **argv) {
    trill_engine *engine = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    SSL_CTX *context;
    int turn;
    CHECK(argc == 3);
    for (turn = 0; turn < 2; turn++) {
        CHECK(EVP_Digest("abc", 3, digest, &length, EVP_sha256(), NULL) == 1);
        CHECK(length == 32 && digest[0] == 0xba && digest[31] == 0xad);
        context = SSL_CTX_new(TLS_client_method());
        CHECK(context != NULL);
        SSL_CTX_free(context);
        if (turn == 0) {
            OK(trill_engine_new(NULL, NULL, &engine, error));
            OK(trill_login(engine, argv[1], argv[2], on_user, NULL, error));
            while (!logged_in) {
                trill_event *event = NULL;
                trill_engine_next_event(engine, 1000, &event, NULL);
                trill_event_free(event);
            }
            CHECK(trill_engine_free(engine) == TRILL_STATUS_OK);
        }
    }
    wait_for("the login", &logged_in, 1);
    printf("both\n");
    return 0;
}
