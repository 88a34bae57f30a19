#include "base/secret.h"
#include "ports/database.h"
#include "ports/database_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mg_database_pool {
    pthread_mutex_t lock;
    pthread_cond_t given_back;
    char *url, *host, *database, *user; /* owned */
    struct mg_secret *password;         /* owned; NULL for none */
    unsigned port;
    int connect_ms, statement_ms;
    size_t most, taken; /* taken: in use or being opened */
    uint64_t generation;
    struct mg_database *idle; /* newest first, so that the rest stays quiet */
};

static struct mg_status
text_copy(const char *text, char **ret_copy)
{
    if (text == NULL)
        return OK;
    return mg_view_to_text(mg_view_text(text), ret_copy);
}

static struct mg_status
pool_fill(struct mg_database_pool *pool, const struct mg_database_address *address)
{
    TRY(text_copy(address->url, &pool->url));
    TRY(text_copy(address->host, &pool->host));
    TRY(text_copy(address->database, &pool->database));
    TRY(text_copy(address->user, &pool->user));
    if (address->password.length != 0)
        TRY(mg_secret_copy(address->password, &pool->password));
    pool->port = address->port;
    pool->connect_ms = address->connect_ms;
    pool->statement_ms = address->statement_ms;
    return OK;
}

struct mg_status
mg_database_pool_new(const struct mg_database_address *address, size_t most,
                     struct mg_database_pool **ret_pool)
{
    OWN(database_pool) pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return fail(OUT_OF_MEMORY);
    pthread_condattr_t attributes;
    mg_must(pthread_mutex_init(&pool->lock, NULL) == 0 && pthread_condattr_init(&attributes) == 0 &&
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
            pthread_cond_init(&pool->given_back, &attributes) == 0);
    (void) pthread_condattr_destroy(&attributes);
    pool->most = most;
    TRY(pool_fill(pool, address));
    *ret_pool = TAKE(pool);
    return OK;
}

/* With the lock held. */
static void
idle_close(struct mg_database_pool *pool)
{
    while (pool->idle != NULL) {
        struct mg_database *database = pool->idle;
        pool->idle = database->next_idle;
        mg_database_close(database);
    }
}

void
mg_database_pool_drop(struct mg_database_pool **pool)
{
    struct mg_database_pool *old = *pool;
    *pool = NULL;
    if (old == NULL)
        return;
    mg_must(old->taken == 0);
    idle_close(old);
    mg_secret_drop(&old->password);
    free(old->url);
    free(old->host);
    free(old->database);
    free(old->user);
    (void) pthread_cond_destroy(&old->given_back);
    (void) pthread_mutex_destroy(&old->lock);
    free(old);
}

/* What a new connection needs, copied under the lock: the credentials may change meanwhile. */
struct recipe {
    char *user; /* owned */
    struct mg_secret *password;
    uint64_t generation;
};

static void
recipe_drop(struct recipe *recipe)
{
    free(recipe->user);
    mg_secret_drop(&recipe->password);
}

static struct mg_status
recipe_copy(const struct mg_database_pool *pool, struct recipe *recipe)
{
    recipe->generation = pool->generation;
    TRY(text_copy(pool->user, &recipe->user));
    if (pool->password != NULL)
        TRY(mg_secret_copy(mg_secret_view(pool->password), &recipe->password));
    return OK;
}

static struct mg_status
connection_new(struct mg_database_pool *pool, const struct recipe *recipe, struct mg_database **ret_database)
{
    const struct mg_database_address address = {
        .url = pool->url,
        .host = pool->host,
        .port = pool->port,
        .database = pool->database,
        .user = recipe->user,
        .connect_ms = pool->connect_ms,
        .statement_ms = pool->statement_ms,
        .password = recipe->password != NULL ? mg_secret_view(recipe->password) : MG_VIEW_EMPTY,
    };
    TRY(mg_database_open(&address, ret_database));
    (*ret_database)->pool = pool;
    (*ret_database)->generation = recipe->generation;
    return OK;
}

/* Waits for a place. With the lock held. */
static struct mg_status
place_take(struct mg_database_pool *pool, int wait_ms)
{
    struct timespec until;
    (void) clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long) (wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (pool->taken >= pool->most)
        if (pthread_cond_timedwait(&pool->given_back, &pool->lock, &until) != 0)
            return fail_with(BUSY, "%zu database connections are in use", pool->most);
    pool->taken++;
    return OK;
}

static void
place_give(struct mg_database_pool *pool)
{
    pool->taken--;
    (void) pthread_cond_signal(&pool->given_back);
}

struct mg_status
mg_database_pool_take(struct mg_database_pool *pool, int wait_ms, struct mg_database **ret_database)
{
    MG_CLEANUP(recipe_drop) struct recipe recipe = {.user = NULL};
    (void) pthread_mutex_lock(&pool->lock);
    struct mg_status status = place_take(pool, wait_ms);
    if (!mg_ok(status)) {
        (void) pthread_mutex_unlock(&pool->lock);
        return status;
    }
    struct mg_database *found = pool->idle;
    if (found != NULL)
        pool->idle = found->next_idle;
    else
        status = recipe_copy(pool, &recipe);
    (void) pthread_mutex_unlock(&pool->lock);
    /* A server that went away shows as a readable socket: found here, not by the next query. */
    if (found != NULL && (PQconsumeInput(found->connection) == 0 || !mg_database_good(found))) {
        mg_database_close(found);
        found = NULL;
        (void) pthread_mutex_lock(&pool->lock);
        idle_close(pool); /* the others are of the same age or older */
        status = recipe_copy(pool, &recipe);
        (void) pthread_mutex_unlock(&pool->lock);
    }
    if (found == NULL && mg_ok(status))
        status = connection_new(pool, &recipe, &found);
    if (!mg_ok(status)) {
        (void) pthread_mutex_lock(&pool->lock);
        place_give(pool);
        (void) pthread_mutex_unlock(&pool->lock);
        return status;
    }
    *ret_database = found;
    return OK;
}

void
mg_database_pool_give(struct mg_database_pool *pool, struct mg_database *database)
{
    const PGTransactionStatusType state = PQtransactionStatus(database->connection);
    if (state != PQTRANS_IDLE && (state != PQTRANS_INTRANS && state != PQTRANS_INERROR))
        database->broken = true;
    else if (state != PQTRANS_IDLE && !mg_ok(mg_database_rollback(database)))
        database->broken = true;
    (void) pthread_mutex_lock(&pool->lock);
    const bool keep = mg_database_good(database) && database->generation == pool->generation;
    if (keep) {
        database->next_idle = pool->idle;
        pool->idle = database;
    }
    place_give(pool);
    (void) pthread_mutex_unlock(&pool->lock);
    if (!keep)
        mg_database_close(database);
}

struct mg_status
mg_database_pool_credentials(struct mg_database_pool *pool, const char *user, struct mg_view password)
{
    OWN_TEXT new_user = NULL;
    OWN(secret) new_password = NULL;
    TRY(text_copy(user, &new_user));
    TRY(mg_secret_copy(password, &new_password));
    (void) pthread_mutex_lock(&pool->lock);
    char *old_user = pool->user;
    struct mg_secret *old_password = pool->password;
    pool->user = TAKE(new_user);
    pool->password = TAKE(new_password);
    pool->generation++;
    idle_close(pool);
    (void) pthread_mutex_unlock(&pool->lock);
    free(old_user);
    mg_secret_drop(&old_password);
    return OK;
}
